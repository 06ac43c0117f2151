//! One line of the audit log: a JSON object with a fixed order of its members, so that each line
//! has one form only, and the hash that chains it to the line before.
//!
//! The hash is SHA-256 over [`DOMAIN`], a zero byte and the line without its last member; that
//! holds the hash of the line before.

use registry_core::limits::AUDIT_LINE_BYTES_MAX;
use registry_proto::log::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::audit::Act;

/// What is hashed first.
pub const DOMAIN: &str = "verbund-registry/audit/v1";
/// Version of the form.
pub const VERSION: u32 = 1;

/// A line, without the hash that seals it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// [`VERSION`].
    pub v: u32,
    /// Its number, from 0, without a gap.
    pub seq: u64,
    /// UTC to the millisecond; never before the line before.
    pub time: String,
    /// What was done: the name of a method, or of an act of the node itself.
    pub act: String,
    /// What became of it: `OK`, a code of gRPC, or why a handshake was refused.
    pub outcome: String,
    /// Pseudonym of the principal, as it stands in the log of the Land.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// Names in its certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Address it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// How often, where many were counted together.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// In words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Hash of the line before; zeros in the first.
    pub prev: String,
}

/// Why text is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More bytes than a line has.
    #[error("ist länger als {AUDIT_LINE_BYTES_MAX} Byte")]
    TooLong,
    /// Not the form of a line.
    #[error("ist keine Zeile eines Auditlogs")]
    Form,
    /// Written by newer software.
    #[error("hat die Version {0}; diese Software kennt nur {VERSION}")]
    Version(u32),
    /// Its own hash is another.
    #[error("wurde geändert: ihr Hash passt nicht zu ihrem Inhalt")]
    Hash,
}

// === impl Line ===

impl Line {
    /// The line of an act. What is too long is cut.
    pub(crate) fn of(act: &Act, seq: u64, time_ms: i64, prev: &Hash) -> Self {
        let names = act.names.iter().take(NAMES_MAX).map(|it| cut(it, NAME_CHARS_MAX));
        Self {
            v: VERSION,
            seq,
            time: written(time_ms),
            act: cut(&act.act, NAME_CHARS_MAX),
            outcome: cut(&act.outcome, NAME_CHARS_MAX),
            who: cut(&act.who, NAME_CHARS_MAX),
            names: names.collect(),
            from: cut(&act.from, NAME_CHARS_MAX),
            object: cut(&act.object, TEXT_CHARS_MAX),
            count: act.count.max(1),
            note: cut(&act.note, TEXT_CHARS_MAX),
            prev: prev.to_string(),
        }
    }

    /// The line as it is written, without a newline, and its hash.
    pub fn seal(&self) -> (String, Hash) {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        // a struct of texts and numbers always becomes JSON
        let written = serde_json::to_writer(&mut json, self);
        let text = written.ok().and_then(|()| String::from_utf8(json).ok());
        let mut text = text.unwrap_or_default();
        let hash = hash(&text);
        if text.pop().is_some() {
            text.push_str(SEAL);
            text.push_str(&hash.to_string());
            text.push_str("\"}");
        }
        (text, hash)
    }

    /// Reads a line and compares its hash with what it says.
    ///
    /// # Errors
    ///
    /// See [`LineError`].
    pub fn parse(text: &str) -> Result<(Self, Hash), LineError> {
        if text.len() > AUDIT_LINE_BYTES_MAX {
            return Err(LineError::TooLong);
        }
        let (head, seal) = text.rsplit_once(SEAL).ok_or(LineError::Form)?;
        let stated = seal.strip_suffix("\"}").ok_or(LineError::Form)?;
        let text = format!("{head}}}");
        let line: Self = serde_json::from_str(&text).map_err(|_| version_or_form(&text))?;
        if line.v != VERSION {
            return Err(LineError::Version(line.v));
        }
        // one form only: what is written otherwise was not written by a node
        if serde_json::to_string(&line).ok().as_deref() != Some(&text) {
            return Err(LineError::Form);
        }
        let hash = hash(&text);
        if hash.to_string() != stated {
            return Err(LineError::Hash);
        }
        Ok((line, hash))
    }

    /// When, Unix milliseconds.
    pub fn unix_ms(&self) -> Option<i64> {
        let time =
            OffsetDateTime::parse(&self.time, &time::format_description::well_known::Rfc3339);
        let nanos = time.ok()?.unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1_000_000)).ok()
    }
}

/// A time as lines have it.
pub fn written(unix_ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    time.ok().and_then(|it| it.format(TIME).ok()).unwrap_or_default()
}

fn hash(text: &str) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update([0]);
    hasher.update(text);
    Hash::from_bytes(hasher.finalize().into())
}

fn version_or_form(text: &str) -> LineError {
    let value = serde_json::from_str::<serde_json::Value>(text).ok();
    let version = value.as_ref().and_then(|it| it.get("v")).and_then(serde_json::Value::as_u64);
    match version.and_then(|it| u32::try_from(it).ok()) {
        Some(version) if version > VERSION => LineError::Version(version),
        _ => LineError::Form,
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// More than most lines have.
const USUAL_BYTES: usize = 640;

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

const SEAL: &str = ",\"hash\":\"";
const NAMES_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 400;
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

// a character may become \u0000, and two texts and eight names are cut
const _: () = assert!(
    AUDIT_LINE_BYTES_MAX >= 6 * (2 * (TEXT_CHARS_MAX + 1) + 8 * (NAME_CHARS_MAX + 1)) + 512
);
