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
pub(crate) mod words;

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
use sha2::{Digest, Sha256};

pub use artefacts::{ArtefactConfig, ArtefactStore, FetchPolicy, S3};
pub(crate) use check::{is_dns_name, is_host_and_port};
pub use keys::{KeyPlaces, KeysHeld, Unlock};
pub use newcomer::Newcomer;
pub use reading::{Dated, Reading, Ruled};

use crate::{
    audit::Target,
    charters::Decisions,
    fit_connect::Roots,
    observe::Format,
    policy::Rules,
    serving::{Patience, Quota},
    tls::{
        CrlFile, Crls, Material, MaterialError, MemberTrust, Profile, read_certificates, read_crls,
        read_private_key,
    },
};

/// A configuration that keeps every rule, with the charter and keys it names.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read.
    pub file: PathBuf,
    /// SHA-256 of the file as it was read; it may be another one since.
    pub file_sha256: [u8; 32],
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

/// What becomes of revocation lists that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    /// They are problems.
    Judged,
    /// Whoever starts goes without them.
    LeftOut,
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

    /// Reads and judges a configuration for a start, with all files it names. What is wrong with
    /// revocation lists is left to [`Self::material_at_start`]: one of somebody else's CA keeps no node
    /// from starting.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &Unlock::default())
    }

    /// [`Config::load_with`] that also refuses revocation lists which a start would leave out.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(path: &Path, unlock: &Unlock) -> Result<Self, ConfigError> {
        Self::load_and(path, unlock, Lists::Judged)
    }

    /// [`Config::load`] with a say in how the keys are opened.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load_with(path: &Path, unlock: &Unlock) -> Result<Self, ConfigError> {
        Self::load_and(path, unlock, Lists::LeftOut)
    }

    fn load_and(path: &Path, unlock: &Unlock, lists: Lists) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let config = Self::read(path, unlock, lists, &mut problems);
        match config {
            Some(config) if problems.0.is_empty() => Ok(config),
            _ => Err(ConfigError { path: path.to_owned(), problems: problems.0 }),
        }
    }

    /// Reads certificate, key, anchors and revocation lists for a start. Lists that cannot be used are
    /// left out, see [`Tls::lists_at_start`].
    ///
    /// # Errors
    ///
    /// A file cannot be read or used.
    pub fn material(&self) -> Result<Material, MaterialError> {
        self.material_at_start(None).map(|(material, _)| material)
    }

    /// [`Self::material`] of a node that used the lists `before` until now, and why others were left
    /// out.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used.
    pub fn material_at_start(
        &self,
        before: Option<&Crls>,
    ) -> Result<(Material, Vec<MaterialError>), MaterialError> {
        let mut material = Material {
            chain: read_certificates(&self.tls.certificate)?,
            key: read_private_key(&self.tls.key)?,
            members: MemberTrust::of_all(&self.charters),
            client_anchors: read_certificates(&self.tls.client_anchors)?,
            rules: self.tls.rules.read()?,
            crls: Crls::default(),
        };
        let (crls, left_out) = self.tls.lists_at_start(before, &material)?;
        material.crls = crls;
        Ok((material, left_out))
    }

    /// The configured nodes of members that take part; the others refuse, and are refused.
    pub fn active_peers(&self) -> impl Iterator<Item = &Peer> {
        let takes_part = |land| self.charter.member(land).is_some_and(Member::is_active);
        self.peers.iter().filter(move |it| takes_part(it.identity.land))
    }

    fn read(path: &Path, unlock: &Unlock, lists: Lists, problems: &mut Problems) -> Option<Self> {
        let (table, sha256) = Self::table(path, problems)?;
        let raw = raw::RawConfig::read(table, problems);
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let config = check::Check::new(base, unlock, problems).with(lists).config(path, raw)?;
        Some(Self { file_sha256: sha256, ..config })
    }

    /// What a file says, and its SHA-256.
    fn table(path: &Path, problems: &mut Problems) -> Option<(toml::Table, [u8; 32])> {
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
            Ok(table) => Some((table, Sha256::digest(&text).into())),
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
    /// The revocation lists that can be used beside `material`, and why others cannot: of a file that
    /// is damaged or not there, of a CA that is known here by keys that did not sign them, or above a
    /// limit. What they would have replaced of `before` stays.
    ///
    /// # Errors
    ///
    /// There is none although they are required.
    pub fn lists_at_start(
        &self,
        before: Option<&Crls>,
        material: &Material,
    ) -> Result<(Crls, Vec<MaterialError>), MaterialError> {
        let before = before.cloned().unwrap_or_else(|| Crls::none(self.crl_required));
        let (crls, left_out) = before.renewed(self.read_crl_files(), &material.issuers());
        if crls.is_missing() { Err(MaterialError::NoCrls(left_out)) } else { Ok((crls, left_out)) }
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
