//! What of `node.toml` commands need that only read files: no more of it has to be right, because
//! they are for the days on which something is not.

use std::path::{Path, PathBuf};

use registry_proto::{
    charter::{Charter, Member},
    terms::Land,
};
use rustls::pki_types::CertificateDer;

use super::{Config, ConfigError, Data, Problems, Unlock, check::Check, raw::RawConfig, words};
use crate::{
    policy::Rules,
    tls::{CrlError, Crls, Issuers, MemberTrust},
};

/// Whose node it is, and where its data is.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The Land, as the charter in force names it.
    pub member: Member,
    /// Name of the node; of a node that the charter does not name any more, too.
    pub node: String,
    /// Where journal and index live.
    pub data_dir: PathBuf,
    /// The charter in force.
    pub charter: Charter,
    /// All charters so far, the genesis charter first.
    pub charters: Vec<Charter>,
}

/// Everything of a node that ends some day, from its files.
#[derive(Debug)]
pub struct Dated {
    /// Name of the node.
    pub node: String,
    /// Its certificate, then its sub-CAs.
    pub chain: Vec<CertificateDer<'static>>,
    /// Members of the charters.
    pub members: Vec<MemberTrust>,
    /// Anchors for readers, publishers and operators.
    pub client_anchors: Vec<CertificateDer<'static>>,
    /// Revocation lists, as a start would take them.
    pub crls: Crls,
    /// Why a start would leave others out, in German.
    pub left_out: Vec<String>,
}

/// What decides who may do what at a node, from its files.
#[derive(Debug)]
pub struct Ruled {
    /// The Land of the node.
    pub land: Land,
    /// Members of the charters.
    pub members: Vec<MemberTrust>,
    /// Anchors for readers, publishers and operators.
    pub client_anchors: Vec<CertificateDer<'static>>,
    /// Revocation lists, as a start would take them.
    pub crls: Crls,
    /// Why a start would leave others out, in German.
    pub left_out: Vec<String>,
    /// The rules.
    pub rules: Rules,
}

// === impl Dated ===

impl Dated {
    /// Reads the certificates and lists of a node, and of the rest of the file what leads to them.
    /// None of them has to be valid, and no key is looked at.
    ///
    /// # Errors
    ///
    /// All problems of these at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let keys = ["node", "charter", "data_dir", CERTIFICATE, ANCHORS, CRLS];
        judged(path, &keys, |check, raw| {
            let data_dir = check.data_dir(raw.data_dir.as_deref());
            let (charters, _) = check.charters(raw.charter.as_deref(), data_dir.as_deref());
            let (chain, client_anchors) = (
                check.certificates(CERTIFICATE, raw.tls.certificate.as_deref()),
                check.certificates(ANCHORS, raw.tls.client_anchors.as_deref()),
            );
            let (chain, client_anchors) = (chain?, client_anchors?);
            let members = MemberTrust::of_all(&charters);
            let issuers = Issuers::of(&members, &client_anchors, &chain);
            let (crls, left_out) = check.crls(&raw.tls.crls, None, &issuers);
            let node = raw.node.clone()?;
            Some(Self { node, chain, members, client_anchors, crls, left_out })
        })
    }
}

// === impl Ruled ===

impl Ruled {
    /// Reads the rules of a node, under whose anchors certificates count, and which are revoked.
    /// Neither its keys nor its own certificate are looked at.
    ///
    /// # Errors
    ///
    /// All problems of these at once. Of lists only that none is left where they are required, or that
    /// a file is not there: a start ends there too.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let keys =
            ["land", "charter", "data_dir", ANCHORS, CRLS, "tls.crl_required", "clients", "policy"];
        judged(path, &keys, |check, raw| {
            let land = check.land("land", raw.land.as_deref());
            let data_dir = check.data_dir(raw.data_dir.as_deref());
            let (charters, _) = check.charters(raw.charter.as_deref(), data_dir.as_deref());
            let client_anchors = check.certificates(ANCHORS, raw.tls.client_anchors.as_deref());
            let members = MemberTrust::of_all(&charters);
            let anchors = client_anchors.as_deref().unwrap_or_default();
            let issuers = Issuers::of(&members, anchors, &[]);
            let paths = &raw.tls.crls;
            let (crls, left_out) = check.crls(paths, raw.tls.crl_required, &issuers);
            if crls.is_missing() && !left_out.is_empty() {
                let reason = format!("{}: {}", words::crl(&CrlError::None), left_out.join("; "));
                check.wrong("tls.crls", paths.join(", "), reason);
            }
            let rules = check.rules(&raw.clients, raw.policy_file.as_deref(), raw.four_eyes);
            let (land, client_anchors) = (land?, client_anchors?);
            Some(Self { land, members, client_anchors, crls, left_out, rules })
        })
    }
}

// === impl Reading ===

impl Reading {
    /// Reads `land`, `node`, `charter` and `data_dir`; nothing else in the file is judged.
    ///
    /// # Errors
    ///
    /// All problems of these at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        judged(path, &["land", "node", "charter", "data_dir"], |check, raw| {
            let land = check.land("land", raw.land.as_deref());
            let data_dir = check.data_dir(raw.data_dir.as_deref());
            let (charters, _) = check.charters(raw.charter.as_deref(), data_dir.as_deref());
            let charter = charters.last().cloned();
            let member = land.and_then(|land| check.member(land, charter.as_ref()).cloned());
            Some(Self {
                member: member?,
                node: raw.node.clone()?,
                data_dir: data_dir?,
                charter: charter?,
                charters,
            })
        })
    }

    /// Reads `data_dir` and the charter in force: what is kept there is judged by it.
    ///
    /// # Errors
    ///
    /// All problems of these at once.
    pub fn kept(path: &Path) -> Result<(PathBuf, Charter), ConfigError> {
        judged(path, &["charter", "data_dir"], |check, raw| {
            let data_dir = check.data_dir(raw.data_dir.as_deref());
            let (charters, _) = check.charters(raw.charter.as_deref(), data_dir.as_deref());
            Some((data_dir?, charters.into_iter().next_back()?))
        })
    }

    /// Reads `node` alone.
    ///
    /// # Errors
    ///
    /// It is missing, or the file is no TOML.
    pub fn node(path: &Path) -> Result<String, ConfigError> {
        judged(path, &["node"], |_, raw| raw.node.clone())
    }

    /// Reads `data_dir` alone.
    ///
    /// # Errors
    ///
    /// It is missing, or the file is no TOML.
    pub fn data_dir(path: &Path) -> Result<PathBuf, ConfigError> {
        judged(path, &["data_dir"], |check, raw| check.data_dir(raw.data_dir.as_deref()))
    }

    /// Reads `[data]` alone: where data packages are installed and who may sign them, if that is
    /// configured.
    ///
    /// # Errors
    ///
    /// All problems of these at once.
    pub fn data(path: &Path) -> Result<Option<Data>, ConfigError> {
        judged(path, &["data"], |check, raw| {
            Some(check.data(raw.data_package.as_deref(), &raw.data_keys))
        })
    }
}

/// What `read` makes of a file, if there is no problem with the file as such or with these keys.
pub(super) fn judged<T>(
    path: &Path,
    keys: &[&str],
    read: impl FnOnce(&mut Check<'_>, &RawConfig) -> Option<T>,
) -> Result<T, ConfigError> {
    let mut problems = Problems::default();
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let found = Config::table(path, &mut problems).and_then(|(table, _)| {
        let raw = RawConfig::read(table, &mut problems);
        problems.0.retain(|it| keys.iter().any(|key| concerns(&it.key, key)));
        read(&mut Check::new(base, &Unlock::Sealed, &mut problems), &raw)
    });
    match found {
        Some(found) if problems.0.is_empty() => Ok(found),
        _ => Err(ConfigError { path: path.to_owned(), problems: problems.0 }),
    }
}

/// `tls.crls[0]` is a part of `tls.crls`, `policy.file` one of `policy`.
fn concerns(problem: &str, key: &str) -> bool {
    problem.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
}

const CERTIFICATE: &str = "tls.certificate";
const ANCHORS: &str = "tls.client_anchors";
const CRLS: &str = "tls.crls";
