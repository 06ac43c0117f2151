//! `node.toml`: read, judged as a whole, and refused with every problem at once.
//!
//! [`Config::load`] binds no port and writes nothing. Relative paths count from the directory of
//! the file. A problem is reported, never repaired.

mod artefacts;
mod charter;
mod check;
mod fit_connect;
mod keys;
mod newcomer;
mod raw;
mod reading;
mod rights;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use registry_core::authorize::PeerIdentity;
use registry_proto::{
    charter::{Charter, Member},
    log::{LogSigner, VerifierKey},
    terms::Land,
};

pub use artefacts::{ArtefactConfig, ArtefactStore, FetchPolicy, S3};
pub(crate) use check::{is_dns_name, is_host_and_port};
pub use keys::{KeyPlaces, KeysHeld, Unlock};
pub use newcomer::Newcomer;
pub use reading::{Dated, Reading, Ruled};

use crate::{
    audit::Target,
    charters::Decisions,
    fit_connect::Roots,
    lifecycle::chain,
    observe::Format,
    policy::Rules,
    serving::{Patience, Quota},
    tls::{
        Crl, CrlError, CrlFile, Crls, Material, MaterialError, MemberTrust, Profile,
        read_certificates, read_crls, read_private_key,
    },
};

/// A configuration that keeps every rule, with the charter and keys it names.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Land this node speaks for.
    pub land: Land,
    /// Name of this node in the charter.
    pub node: String,
    /// Where journal and index live; may not exist yet.
    pub data_dir: PathBuf,
    /// The charter in force, the last of `charters`.
    pub charter: Charter,
    /// All charters so far, the genesis charter first.
    pub charters: Vec<Charter>,
    /// Why they followed, as far as that is proved; all verified.
    pub decisions: Decisions,
    /// Where the signing keys are.
    pub keys: KeyPlaces,
    /// All signing keys that were opened; none if the keys are sealed.
    pub keys_held: KeysHeld,
    /// Signing keys of the Land's log; they fit the charter.
    pub signer: LogSigner,
    /// Addresses to listen on.
    pub listen: Listen,
    /// Certificate, key and anchors.
    pub tls: Tls,
    /// Nodes to dial.
    pub peers: Vec<Peer>,
    /// What one certificate may ask for at most.
    pub limits: Quota,
    /// What to do while no partner confirms the own head.
    pub fence: FencePolicy,
    /// How long nobody else may have signed with the keys of the Land before a node that was
    /// copied, restored or behind signs again.
    pub fence_quiet: Duration,
    /// Share of the versions of another Land that it may retire within a day before an operator
    /// has to accept it, in percent.
    pub mass_retirement_percent: u32,
    /// How to log.
    pub log: Log,
    /// Where lines of the audit log are sent as they are written.
    pub audit_syslog: Option<Target>,
    /// Files of versions.
    pub artefacts: ArtefactConfig,
    /// Where data packages are installed, and who may sign them.
    pub data: Option<Data>,
    /// Whose word counts for the signatures of delivery points.
    pub fit_connect: Roots,
    /// How long a stop may take.
    pub shutdown_grace: Duration,
    /// How long clients may take; the file cannot change it.
    pub patience: Patience,
}

/// Addresses to listen on; distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Catalogue, publish, watch, peers.
    pub grpc: SocketAddr,
    /// Web with client certificates.
    pub web: Option<SocketAddr>,
    /// Admin service.
    pub admin: SocketAddr,
    /// Metrics and probes, plain HTTP.
    pub monitoring: SocketAddr,
    /// Plain HTTP with anonymous reading; loopback only.
    pub http: Option<SocketAddr>,
    /// For Länder that are not members yet; nothing listens there unless it is configured.
    pub join: Option<SocketAddr>,
}

/// Files of the mutual TLS, and what handshakes may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The node's certificate, then its sub-CAs; PEM.
    pub certificate: PathBuf,
    /// Its key; PEM.
    pub key: PathBuf,
    /// Anchors for readers, publishers and operators; PEM.
    pub client_anchors: PathBuf,
    /// Certificate revocation lists; PEM or DER.
    pub crls: Vec<PathBuf>,
    /// Whether a certificate counts whose issuer has no list here, or an expired one.
    pub crl_required: bool,
    /// What handshakes may use.
    pub profile: Profile,
    /// Who may do what.
    pub rules: Rules,
}

/// A node to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it must prove to be.
    pub identity: PeerIdentity,
    /// `host:port`.
    pub address: String,
}

/// Where data packages are installed, and who may sign them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The folder; may not exist yet.
    pub package: PathBuf,
    /// Keys of which one signs; at least one.
    pub keys: Vec<VerifierKey>,
}

/// What to do while no partner confirms the own head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FencePolicy {
    /// Sign nothing.
    Strict,
    /// Sign again after this time, and say so in the log of the Land.
    Available {
        /// The time.
        after: Duration,
    },
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Shape of a line.
    pub format: Format,
    /// As in `RUST_LOG`.
    pub level: String,
}

/// Everything that is wrong with a configuration. A process that gets one exits with 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// At least one, in the order of the keys in the documentation.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `tls.certificate`, `peers[0].land`; `(file)` if the file cannot be read at all.
    pub key: String,
    /// What stands there; [`Problem::MISSING`] if nothing does.
    pub value: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

/// Collects problems.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

// === impl Config ===

impl Config {
    /// The charters before the one in force, oldest first.
    pub fn past_charters(&self) -> &[Charter] {
        self.charters.split_last().map_or(&[], |(_, past)| past)
    }

    /// Reads and judges a configuration, with all files it names.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &Unlock::default())
    }

    /// [`Config::load`] with a say in how the keys are opened.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load_with(path: &Path, unlock: &Unlock) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let config = Self::read(path, unlock, &mut problems);
        match config {
            Some(config) if problems.0.is_empty() => Ok(config),
            _ => Err(ConfigError { path: path.to_owned(), problems: problems.0 }),
        }
    }

    /// Reads certificate, key and anchors anew; for the start and for every reload.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used.
    pub fn material(&self) -> Result<Material, MaterialError> {
        Ok(Material {
            chain: read_certificates(&self.tls.certificate)?,
            key: read_private_key(&self.tls.key)?,
            members: MemberTrust::of_all(&self.charters),
            client_anchors: read_certificates(&self.tls.client_anchors)?,
            rules: self.tls.rules.read()?,
            crls: self.tls.read_crls()?,
        })
    }

    /// The configured nodes of members that take part; the others refuse, and are refused.
    pub fn active_peers(&self) -> impl Iterator<Item = &Peer> {
        let takes_part = |land| self.charter.member(land).is_some_and(Member::is_active);
        self.peers.iter().filter(move |it| takes_part(it.identity.land))
    }

    fn read(path: &Path, unlock: &Unlock, problems: &mut Problems) -> Option<Self> {
        let raw = raw::RawConfig::read(Self::table(path, problems)?, problems);
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        check::Check::new(base, unlock, problems).config(raw)
    }

    fn table(path: &Path, problems: &mut Problems) -> Option<toml::Table> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.add(
                    "(file)",
                    path.display(),
                    format!("kann nicht gelesen werden: {error}"),
                );
                return None;
            }
        };
        match text.parse::<toml::Table>() {
            Ok(table) => Some(table),
            Err(error) => {
                let reason = format!("ist kein TOML: {}", error.to_string().trim_end());
                problems.add("(file)", path.display(), reason);
                None
            }
        }
    }
}

// === impl Tls ===

impl Tls {
    /// Reads all revocation lists anew.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a list in it cannot be used.
    pub fn read_crls(&self) -> Result<Crls, MaterialError> {
        let mut all: Vec<Crl> = Vec::new();
        for path in &self.crls {
            all.extend(read_crls(path)?);
        }
        Crls::new(all, self.crl_required).map_err(MaterialError::Crls)
    }

    /// Reads the files of revocation lists anew, each for itself.
    pub fn read_crl_files(&self) -> Vec<CrlFile> {
        self.crls.iter().map(|path| (path.clone(), read_crls(path))).collect()
    }
}

// === impl Problem ===

impl Problem {
    /// Value of a key that is not there.
    pub const MISSING: &'static str = "(fehlt)";
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.reason)
    }
}

// === impl Problems ===

impl Problems {
    fn add(&mut self, key: impl Into<String>, value: impl fmt::Display, reason: impl Into<String>) {
        let (key, value, reason) = (key.into(), value.to_string(), reason.into());
        self.0.push(Problem { key, value, reason });
    }
}

/// What is wrong with a file of certificates or keys, in the words of this list.
fn of_material(error: &MaterialError) -> String {
    match error {
        MaterialError::Read { path, source } => {
            format!("{}: kann nicht gelesen werden: {source}", path.display())
        }
        MaterialError::Mode { path, mode } => format!(
            "{path}: andere haben Zugriff auf den privaten Schlüssel (Modus {mode:04o}); abstellen \
             mit: chmod o-rwx,g-wx {path}",
            path = path.display()
        ),
        MaterialError::Pem { path, source } => {
            format!("{}: keine gültige PEM-Datei: {source}", path.display())
        }
        MaterialError::Missing { path, what: "certificate" } => {
            format!("{}: enthält kein Zertifikat", path.display())
        }
        MaterialError::Missing { path, .. } => {
            format!("{}: enthält keinen privaten Schlüssel", path.display())
        }
        MaterialError::TooLong { path, limit } => {
            format!("{}: länger als {limit} Bytes", path.display())
        }
        MaterialError::Crl { path, source } => {
            format!("{}: eine Sperrliste ist unbrauchbar: {source}", path.display())
        }
        other => chain(other),
    }
}

/// Why revocation lists cannot be used together.
fn of_crl(error: &CrlError) -> String {
    match error {
        CrlError::Signature { issuer } => format!(
            "die Liste von „{issuer}“ hat keiner der Schlüssel signiert, die für diesen Namen bekannt \
             sind (Anker der Charta, tls.client_anchors, Kette in tls.certificate)"
        ),
        CrlError::Limit { limit, .. } => {
            format!(
                "zu viele Listen, oder von zu vielen CAs Listen zweier Schlüssel (Grenze {limit})"
            )
        }
        other => other.to_string(),
    }
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, path) = (self.problems.len(), self.path.display());
        write!(f, "{path} ist nicht brauchbar, {count} Fehler")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
