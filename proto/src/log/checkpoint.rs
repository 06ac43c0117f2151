//! The signed head of a log (C2SP tlog-checkpoint), signed by its Land twice: once for ever, and
//! once with a time, because the first alone could be replayed for ever.

use std::{fmt, str::FromStr};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use super::{
    Hash, VerbundId,
    note::{self, Note, NoteError},
};
use crate::terms::LogId;

/// First line of a checkpoint and name of its keys: `<verbund>/<land>/<epoch>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The Verbund.
    pub verbund: VerbundId,
    /// The log.
    pub log: LogId,
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected <verbund, 64 lower-case hexadecimal digits>/<land>/<epoch>")]
pub struct ParseOriginError;

/// Public keys under which checkpoints of a Land count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKeys {
    /// Signs checkpoints.
    pub log: VerifyingKey,
    /// Cosigns them with a time.
    pub freshness: VerifyingKey,
}

/// Both signing keys of a Land.
#[derive(Clone)]
pub struct LogSigner {
    log: SigningKey,
    freshness: SigningKey,
}

/// What a checkpoint says; not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: Origin,
    /// Leaves of its tree.
    pub size: u64,
    /// Root of its tree.
    pub root: Hash,
}

/// A checkpoint with both signatures of its Land: made here, or verified. There is no other way
/// to have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// Time of the cosignature, seconds since 1970-01-01 UTC.
    pub fresh_unix_seconds: u64,
    raw: Bytes,
}

/// Why a checkpoint is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed, or a signature is missing or wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text has not the three lines of a checkpoint.
    #[error("the text of the note is not the three lines of a checkpoint")]
    Lines,
    /// A checkpoint of another log.
    #[error("the checkpoint is not one of {expected}")]
    Origin {
        /// The log asked for.
        expected: Origin,
    },
    /// The second line is no size.
    #[error("the size is no decimal number without leading zeros")]
    Size,
    /// The third line is no hash.
    #[error("the root is no base64 of 32 bytes")]
    Root,
    /// A tree without leaves has another root.
    #[error("the root is not that of a tree without leaves")]
    EmptyRoot,
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Signs with both keys.
    pub fn sign(&self, signer: &LogSigner, unix_seconds: u64) -> SignedCheckpoint {
        let name = self.origin.to_string();
        let text = self.text(&name);
        let signature = signer.log.sign(text.as_bytes());
        let cosigned = note::cosigned_message(unix_seconds, &text);
        let cosignature = signer.freshness.sign(cosigned.as_bytes());
        let keys = signer.keys();
        let raw = [
            text,
            "\n".to_owned(),
            note::signature_line(&name, &keys.log, &signature),
            note::cosignature_line(&name, &keys.freshness, unix_seconds, &cosignature),
        ]
        .concat();
        SignedCheckpoint { checkpoint: *self, fresh_unix_seconds: unix_seconds, raw: raw.into() }
    }

    fn parse(text: &str, origin: &Origin, name: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split_terminator('\n');
        let (Some(first), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        if first != name {
            return Err(CheckpointError::Origin { expected: *origin });
        }
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = BASE64_STANDARD.decode(root).map_err(|_| CheckpointError::Root)?;
        let root = Hash::try_from(&root[..]).map_err(|_| CheckpointError::Root)?;
        if size == 0 && root != Hash::EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: *origin, size, root })
    }

    fn text(&self, name: &str) -> String {
        format!("{name}\n{}\n{}\n", self.size, BASE64_STANDARD.encode(self.root.as_bytes()))
    }
}

// === impl SignedCheckpoint ===

impl SignedCheckpoint {
    /// Reads a note and verifies both signatures of the Land. Signatures of others (witnesses) may
    /// stand there and are not looked at. Whether size and time go on is the caller's to check.
    pub fn verify(raw: &[u8], origin: &Origin, keys: &LogKeys) -> Result<Self, CheckpointError> {
        let note = Note::parse(raw)?;
        let name = origin.to_string();
        let checkpoint = Checkpoint::parse(note.text, origin, &name)?;
        note.verify(&name, &keys.log)?;
        let fresh_unix_seconds = note.verify_cosignature(&name, &keys.freshness)?;
        Ok(Self { checkpoint, fresh_unix_seconds, raw: Bytes::copy_from_slice(raw) })
    }

    /// The note, byte for byte.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Root of the tree.
    pub fn root(&self) -> &Hash {
        &self.checkpoint.root
    }
}

// === impl LogSigner ===

impl LogSigner {
    /// Takes the key that signs checkpoints and the key that cosigns them.
    pub fn new(log: SigningKey, freshness: SigningKey) -> Self {
        Self { log, freshness }
    }

    /// The public keys.
    pub fn keys(&self) -> LogKeys {
        LogKeys { log: self.log.verifying_key(), freshness: self.freshness.verifying_key() }
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSigner").finish_non_exhaustive()
    }
}

// === impl LogKeys ===

impl LogKeys {
    /// The log key as other tools for signed notes want it: `<origin>+<id>+<base64>`.
    pub fn log_verifier_key(&self, origin: &Origin) -> String {
        signed_note::new_ed25519_verifier_key(&origin.to_string(), &self.log)
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.verbund, self.log)
    }
}

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (verbund, log) = text.split_once('/').ok_or(ParseOriginError)?;
        Ok(Self {
            verbund: verbund.parse().map_err(|_| ParseOriginError)?,
            log: log.parse().map_err(|_| ParseOriginError)?,
        })
    }
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    if canonical { text.parse().ok() } else { None }
}
