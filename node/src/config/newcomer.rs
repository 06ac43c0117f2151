//! What of `node.toml` counts before the Land is a member: there is no charter yet to hold the rest
//! against.

use std::path::{Path, PathBuf};

use registry_proto::{key::Key, log::LogSigner, terms::Land};

use super::{Config, ConfigError, Problems, Unlock, check::Check, raw::RawConfig};
use crate::tls::Profile;

/// A node whose Land is not a member yet.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// Its Land.
    pub land: Land,
    /// Its name.
    pub node: String,
    /// Where the charters are to stand.
    pub charter: PathBuf,
    /// The keys of the log.
    pub signer: LogSigner,
    /// The key that is kept offline, here for this once.
    pub offline: Key,
    /// What handshakes may use.
    pub profile: Profile,
}

// === impl Newcomer ===

impl Newcomer {
    /// Reads what is needed; what else is in the file is judged when the node starts. `offline` says
    /// where the offline key is, from the directory of the file.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn load(path: &Path, offline: &str, unlock: &Unlock) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let newcomer = Self::read(path, offline, unlock, &mut problems);
        match newcomer {
            Some(newcomer) if problems.0.is_empty() => Ok(newcomer),
            _ => Err(ConfigError { path: path.to_owned(), problems: problems.0 }),
        }
    }

    fn read(path: &Path, offline: &str, unlock: &Unlock, problems: &mut Problems) -> Option<Self> {
        let (table, _) = Config::table(path, problems)?;
        let raw = RawConfig::read(table, problems);
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let mut check = Check::new(base, unlock, problems);
        let land = check.land("land", raw.land.as_deref());
        let keys = check.keys_of_newcomer(&raw.keys, offline);
        let charter = raw.charter.as_deref().map(|it| check.path(it));
        let default = Profile::BSI;
        let profile = Profile {
            tls12: raw.tls.tls12.unwrap_or(default.tls12),
            hybrid: raw.tls.hybrid.unwrap_or(default.hybrid),
        };
        let (signer, offline) = keys?;
        Some(Self { land: land?, node: raw.node?, charter: charter?, signer, offline, profile })
    }
}
