//! A throw-away PKI for the demo and for tests: one root, a sub-CA per Land and one for readers.
//!
//! The anchor of a Land in the charter is its *own sub-CA certificate*, so that a chain of another
//! Land does not count for it; clients trust the bundle `ca.pem`. The keys of the CAs are never
//! written: nobody can add a certificate later.

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber,
};
use registry_proto::terms::Land;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};
use zeroize::Zeroizing;

use crate::tls::{Leaf, MaterialError, read_certificates};

/// Domain of all names in the PKI.
pub const DOMAIN: &str = "demo.example";

/// The files of a PKI on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pki {
    dir: PathBuf,
}

/// Certificate and key of one end entity, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificate, then its sub-CA.
    pub certificate: PathBuf,
    /// Private key, readable by the owner only.
    pub key: PathBuf,
}

/// A CA whose key lives in memory only.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    is_root: bool,
}

/// What an end-entity certificate shall say.
#[derive(Clone, Debug)]
pub struct Request {
    /// DNS names and IP addresses of the SAN; the first is the common name too.
    pub names: Vec<String>,
    /// What it is for.
    pub usage: Usage,
    /// Begin of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

/// What an end-entity certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Serves and dials.
    Node,
    /// Serves only; no node can be run with it.
    Server,
    /// Dials.
    Client,
}

/// A certificate with its key.
pub struct Issued {
    /// End entity first, then its sub-CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// The chain as PEM.
    pub chain_pem: String,
    /// The key as PEM.
    pub key_pem: Zeroizing<String>,
}

/// Why there is no PKI.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
    /// A file or directory cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of an earlier start cannot be used.
    #[error("{} of an earlier start cannot be used; delete the directory to begin anew", path.display())]
    Kept {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: MaterialError,
    },
    /// A certificate of an earlier start is too old.
    #[error("{} has expired; delete the directory to begin anew", path.display())]
    Expired {
        /// Which.
        path: PathBuf,
    },
}

// === impl Pki ===

impl Pki {
    /// The PKI in `dir/pki`; made there if it is missing, kept as it is otherwise. It appears
    /// as a whole or not at all.
    ///
    /// # Errors
    ///
    /// It cannot be made, or what is there cannot be used any more.
    pub fn ensure(dir: &Path, lands: &[Land], now: OffsetDateTime) -> Result<Self, PkiError> {
        let pki = Self { dir: dir.join("pki") };
        if pki.dir.exists() {
            pki.check(lands, now)?;
            return Ok(pki);
        }
        let fresh = dir.join("pki.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(cannot_write(&fresh))?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&fresh)
            .map_err(cannot_write(&fresh))?;
        Self { dir: fresh.clone() }.write_all(lands, now)?;
        fs::rename(&fresh, &pki.dir).map_err(cannot_write(&pki.dir))?;
        Ok(pki)
    }

    /// Name of the node of a Land.
    pub fn node_name(land: Land) -> String {
        format!("{}-1.{DOMAIN}", lower(land))
    }

    /// Name of the publisher of a Land.
    pub fn publisher_name(land: Land) -> String {
        format!("publisher-{}.{DOMAIN}", lower(land))
    }

    /// Name of the operator of a Land.
    pub fn operator_name(land: Land) -> String {
        format!("operator-{}.{DOMAIN}", lower(land))
    }

    /// Root and all sub-CAs; what clients trust.
    pub fn bundle(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The sub-CA of a Land; its anchor in the charter.
    pub fn anchor(&self, land: Land) -> PathBuf {
        self.dir.join(format!("{}-ca.pem", lower(land)))
    }

    /// The sub-CA of a Land and that of readers; `client_anchors` of the Land's node. With the
    /// bundle instead, another Land's CA could name a publisher of this one.
    pub fn client_anchors(&self, land: Land) -> PathBuf {
        self.dir.join(format!("{}-clients.pem", lower(land)))
    }

    /// Certificate of the node of a Land.
    pub fn node(&self, land: Land) -> Files {
        self.files(&format!("{}-1", lower(land)))
    }

    /// Certificate of the operator of a Land.
    pub fn operator(&self, land: Land) -> Files {
        self.files(&format!("operator-{}", lower(land)))
    }

    /// Certificate of the publisher of a Land.
    pub fn publisher(&self, land: Land) -> Files {
        self.files(&format!("publisher-{}", lower(land)))
    }

    /// Certificate of a reader, accepted by every node.
    pub fn reader(&self) -> Files {
        self.files("reader")
    }

    fn files(&self, name: &str) -> Files {
        Files {
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        }
    }

    fn write_all(&self, lands: &[Land], now: OffsetDateTime) -> Result<(), PkiError> {
        let root = Authority::root("Demo Root CA", now)?;
        let readers = root.sub("Demo Readers CA", now)?;
        let mut bundle = root.pem() + &readers.pem();
        let reader = readers.issue(&Request::client(format!("reader.{DOMAIN}"), now))?;
        write_pair(&self.reader(), &reader)?;
        for &land in lands {
            let ca = root.sub(&format!("Demo {land} CA"), now)?;
            bundle.push_str(&ca.pem());
            write(&self.anchor(land), &ca.pem(), 0o644)?;
            write(&self.client_anchors(land), &(ca.pem() + &readers.pem()), 0o644)?;
            let node = Request::node(Self::node_name(land), now);
            write_pair(&self.node(land), &ca.issue(&node)?)?;
            let operator = Request::client(Self::operator_name(land), now);
            write_pair(&self.operator(land), &ca.issue(&operator)?)?;
            let publisher = Request::client(Self::publisher_name(land), now);
            write_pair(&self.publisher(land), &ca.issue(&publisher)?)?;
        }
        write(&self.bundle(), &bundle, 0o644)
    }

    fn check(&self, lands: &[Land], now: OffsetDateTime) -> Result<(), PkiError> {
        let mut files = vec![self.bundle(), self.reader().certificate];
        for &land in lands {
            files.extend([self.anchor(land), self.client_anchors(land)]);
            for pair in [self.node(land), self.operator(land), self.publisher(land)] {
                files.push(pair.certificate);
            }
        }
        for path in files {
            let kept = |source| PkiError::Kept { path: path.clone(), source };
            for certificate in read_certificates(&path).map_err(kept)? {
                let leaf = Leaf::parse(&certificate)
                    .map_err(|error| kept(MaterialError::Certificate(error)))?;
                if leaf.not_after <= now.unix_timestamp() {
                    return Err(PkiError::Expired { path });
                }
            }
        }
        Ok(())
    }
}

// === impl Authority ===

impl Authority {
    /// A self-signed root.
    ///
    /// # Errors
    ///
    /// No key or certificate can be made.
    pub fn root(name: &str, now: OffsetDateTime) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = ca_params(name, BasicConstraints::Constrained(1), now);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, key)?, is_root: true })
    }

    /// A CA below this one, for end entities only.
    ///
    /// # Errors
    ///
    /// No key or certificate can be made.
    pub fn sub(&self, name: &str, now: OffsetDateTime) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = ca_params(name, BasicConstraints::Constrained(0), now);
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer)?;
        Ok(Self { issuer, is_root: false })
    }

    /// A certificate for an end entity.
    ///
    /// # Errors
    ///
    /// A name is no DNS name or IP address, or no key or certificate can be made.
    pub fn issue(&self, request: &Request) -> Result<Issued, PkiError> {
        self.issue_for(request, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
    }

    /// As [`Self::issue`], for a key that is there already.
    ///
    /// # Errors
    ///
    /// As [`Self::issue`].
    pub fn issue_for(&self, request: &Request, key: &KeyPair) -> Result<Issued, PkiError> {
        let certificate = request.params()?.signed_by(key, &self.issuer)?;
        let mut issued = Issued::new(certificate, key);
        if !self.is_root {
            issued.chain.push(self.der());
            issued.chain_pem.push_str(&self.pem());
        }
        Ok(issued)
    }

    /// A revocation list as PEM.
    ///
    /// # Errors
    ///
    /// It would end before it begins, or a certificate cannot be read.
    pub fn crl(
        &self,
        number: u64,
        revoked: &[&Issued],
        next_update: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let begun = next_update.min(OffsetDateTime::now_utc()) - SKEW;
        let serial = |issued: &&Issued| {
            let serial = issued.chain.first().and_then(serial_of)?;
            Some(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: begun,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let revoked_certs: Option<Vec<_>> = revoked.iter().map(serial).collect();
        let list = CertificateRevocationListParams {
            this_update: begun,
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.ok_or(rcgen::Error::CouldNotParseCertificate)?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// The certificate of the CA.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The certificate of the CA as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

// === impl Request ===

impl Request {
    /// A node: its name, `localhost` and the loopback addresses.
    pub fn node(name: impl Into<String>, now: OffsetDateTime) -> Self {
        let mut request = Self::client(name, now);
        request.names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        request.usage = Usage::Node;
        request
    }

    /// A client with one name.
    pub fn client(name: impl Into<String>, now: OffsetDateTime) -> Self {
        Self {
            names: vec![name.into()],
            usage: Usage::Client,
            not_before: now - SKEW,
            not_after: now + VALIDITY,
        }
    }

    /// A self-signed certificate; counts only where it is pinned.
    ///
    /// # Errors
    ///
    /// A name is no DNS name or IP address, or no key or certificate can be made.
    pub fn self_signed(&self) -> Result<Issued, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Issued::new(self.params()?.self_signed(&key)?, &key))
    }

    fn params(&self) -> Result<CertificateParams, PkiError> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = self.names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match self.usage {
            Usage::Node => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

// === impl Issued ===

impl Issued {
    fn new(certificate: rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem().into(),
        }
    }
}

/// Without the key.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

fn ca_params(name: &str, constraints: BasicConstraints, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = now - SKEW;
    params.not_after = now + VALIDITY;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn serial_of(der: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.raw_serial().to_vec())
}

fn write_pair(files: &Files, issued: &Issued) -> Result<(), PkiError> {
    write(&files.certificate, &issued.chain_pem, 0o644)?;
    write(&files.key, &issued.key_pem, 0o600)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    use io::Write as _;

    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(cannot_write(path))
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let path = path.to_owned();
    |source| PkiError::Write { path, source }
}

fn lower(land: Land) -> String {
    land.code().to_ascii_lowercase()
}

const VALIDITY: Duration = Duration::days(90);
/// Certificates begin this long ago, for clocks that differ.
const SKEW: Duration = Duration::hours(1);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_start_keeps_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let lands = [Land::SL, Land::RP];
        let first = Pki::ensure(dir.path(), &lands, now).unwrap();
        let before = contents(&first.dir);
        for name in [
            "ca.pem",
            "sl-ca.pem",
            "sl-1.pem",
            "rp-1.key",
            "operator-sl.pem",
            "publisher-rp.key",
            "reader.pem",
            "reader.key",
        ] {
            assert!(before.iter().any(|(own, _)| own == name), "{name}");
        }
        let again = Pki::ensure(dir.path(), &lands, now).unwrap();
        assert_eq!(again, first);
        assert_eq!(contents(&again.dir), before);
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::ensure(dir.path(), &[Land::SL], OffsetDateTime::now_utc()).unwrap();
        for file in fs::read_dir(&pki.dir).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            let is_key = file.path().extension().is_some_and(|end| end == "key");
            assert!(!is_key || mode == 0o600, "{:?} {mode:o}", file.path());
        }
        let now = OffsetDateTime::now_utc();
        let issued = Request::node("sl-1.example".to_owned(), now).self_signed().unwrap();
        let shown = format!("{issued:?}");
        assert!(shown.contains("CERTIFICATE") && !shown.contains("PRIVATE KEY"), "{shown}");
    }

    #[test]
    fn what_is_left_of_an_interrupted_start_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pki.new")).unwrap();
        fs::write(dir.path().join("pki.new/ca.pem"), "half").unwrap();
        assert!(Pki::ensure(dir.path(), &[Land::SL], OffsetDateTime::now_utc()).is_ok());
        assert!(!dir.path().join("pki.new").exists());
    }

    #[test]
    fn an_expired_or_damaged_pki_is_named_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let pki = Pki::ensure(dir.path(), &[Land::SL], now).unwrap();
        let later = now + VALIDITY + Duration::days(1);
        let error = Pki::ensure(dir.path(), &[Land::SL], later).unwrap_err();
        assert!(matches!(error, PkiError::Expired { .. }), "{error}");
        fs::remove_file(pki.anchor(Land::SL)).unwrap();
        let error = Pki::ensure(dir.path(), &[Land::SL], now).unwrap_err();
        assert!(matches!(error, PkiError::Kept { .. }), "{error}");
    }

    fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|file| {
                let file = file.unwrap();
                (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
            })
            .collect();
        all.sort();
        all
    }
}
