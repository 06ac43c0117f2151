//! Signed notes (C2SP signed-note) with Ed25519 signatures and timestamped cosignatures (C2SP
//! tlog-cosignature).
//!
//! Signature lines are read and written by the crate `signed_note`, and key ids are its. Its
//! `Note::verify` is not used: it verifies the first line of a key only and passes over further
//! ones unseen, it cannot say which key failed, it knows no cosignature, and it accepts what
//! `verify` of dalek accepts, where we want [`VerifyingKey::verify_strict`] so that all nodes of
//! a Verbund always agree.

use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::key_id;

/// Bytes of a signed note; enough for 64 Ed25519 cosignatures beside our two lines.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Signature lines of a note: the two of the Land and at most 64 of others.
pub const NOTE_SIGNATURES_MAX: usize = 2 + 64;

const ED25519: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;

const _: () = assert!(NOTE_BYTES_MAX >= 200 * NOTE_SIGNATURES_MAX);

/// Why bytes are no note, or a note is not signed as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too many bytes.
    #[error("a note has at most {NOTE_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No UTF-8.
    #[error("a note is UTF-8")]
    NotUtf8,
    /// A control character other than the newline.
    #[error("a note has no control character but the newline")]
    ControlCharacter,
    /// No empty line before the signatures.
    #[error("no empty line divides text and signatures")]
    NoSignatureBlock,
    /// The last line does not end.
    #[error("the last line of the note has no newline")]
    Unterminated,
    /// Too many signature lines.
    #[error("a note has at most {NOTE_SIGNATURES_MAX} signature lines, found {found}")]
    TooManySignatures {
        /// Lines found.
        found: usize,
    },
    /// A line of the signature block is no signature line.
    #[error("line {at} of the signatures is malformed")]
    SignatureLine {
        /// Line, from 1.
        at: usize,
    },
    /// A signature that must be there is not.
    #[error("the {which} is missing")]
    Missing {
        /// LandSignature one.
        which: LandSignature,
    },
    /// A key signed twice.
    #[error("the {which} stands there twice")]
    Twice {
        /// LandSignature one.
        which: LandSignature,
    },
    /// A signature is wrong.
    #[error("the {which} is wrong")]
    Wrong {
        /// LandSignature one.
        which: LandSignature,
    },
}

/// The two signatures of a Land under a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LandSignature {
    /// Plain Ed25519 over the text.
    Log,
    /// `cosignature/v1`, with a time.
    Freshness,
}

/// A note taken apart; nothing is verified yet.
#[derive(Debug)]
pub(super) struct Note<'a> {
    /// With its last newline.
    pub(super) text: &'a str,
    signatures: Vec<signed_note::Signature>,
}

/// Line of a plain Ed25519 signature.
pub(super) fn signature_line(name: &str, key: &VerifyingKey, signature: &Signature) -> String {
    line(name, id(name, ED25519, key), &signature.to_bytes())
}

/// Line of a timestamped cosignature.
pub(super) fn cosignature_line(
    name: &str,
    key: &VerifyingKey,
    unix_seconds: u64,
    signature: &Signature,
) -> String {
    let mut blob = [0; 72];
    blob[..8].copy_from_slice(&unix_seconds.to_be_bytes());
    blob[8..].copy_from_slice(&signature.to_bytes());
    line(name, id(name, COSIGNATURE_V1, key), &blob)
}

/// What a cosignature signs.
pub(super) fn cosigned_message(unix_seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

// === impl Note ===

impl<'a> Note<'a> {
    /// Takes a note apart. Lines of keys that nobody here knows are allowed.
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, NoteError> {
        if raw.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { found: raw.len() });
        }
        let note = std::str::from_utf8(raw).map_err(|_| NoteError::NotUtf8)?;
        if note.bytes().any(|b| b != b'\n' && b.is_ascii_control()) {
            return Err(NoteError::ControlCharacter);
        }
        let divide = note.rfind("\n\n").ok_or(NoteError::NoSignatureBlock)?;
        let (text, block) = (&note[..=divide], &note[divide + 2..]);
        let lines = block.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
        let found = lines.split('\n').count();
        if found > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures { found });
        }
        let signatures = lines.split('\n').enumerate().map(|(at, line)| {
            signed_note::Signature::from_bytes(line.as_bytes())
                .map_err(|_| NoteError::SignatureLine { at: at + 1 })
        });
        Ok(Self { text, signatures: signatures.collect::<Result<_, _>>()? })
    }

    /// Verifies the plain signature of `key`.
    pub(super) fn verify(&self, name: &str, key: &VerifyingKey) -> Result<(), NoteError> {
        let which = LandSignature::Log;
        let blob = self.only(name, id(name, ED25519, key), which)?;
        let signature = Signature::from_slice(blob).map_err(|_| NoteError::Wrong { which })?;
        key.verify_strict(self.text.as_bytes(), &signature).map_err(|_| NoteError::Wrong { which })
    }

    /// Verifies the cosignature of `key` and returns its time.
    pub(super) fn verify_cosignature(
        &self,
        name: &str,
        key: &VerifyingKey,
    ) -> Result<u64, NoteError> {
        let which = LandSignature::Freshness;
        let blob = self.only(name, id(name, COSIGNATURE_V1, key), which)?;
        let (time, signature) = blob.split_first_chunk().ok_or(NoteError::Wrong { which })?;
        let unix_seconds = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).map_err(|_| NoteError::Wrong { which })?;
        key.verify_strict(cosigned_message(unix_seconds, self.text).as_bytes(), &signature)
            .map_err(|_| NoteError::Wrong { which })?;
        Ok(unix_seconds)
    }

    fn only(&self, name: &str, id: u32, which: LandSignature) -> Result<&[u8], NoteError> {
        let mut lines = self.signatures.iter().filter(|s| s.id() == id && s.name() == name);
        match (lines.next(), lines.next()) {
            (Some(line), None) => Ok(line.signature()),
            (None, _) => Err(NoteError::Missing { which }),
            (Some(_), Some(_)) => Err(NoteError::Twice { which }),
        }
    }
}

// === impl LandSignature ===

impl std::fmt::Display for LandSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "signature of the log key",
            Self::Freshness => "cosignature of the freshness key",
        })
    }
}

fn id(name: &str, algorithm: u8, key: &VerifyingKey) -> u32 {
    let mut encoded = [algorithm; 33];
    encoded[1..].copy_from_slice(key.as_bytes());
    key_id(name, &encoded)
}

fn line(name: &str, id: u32, signature: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let blob = [&id.to_be_bytes(), signature].concat();
    format!("\u{2014} {name} {}\n", BASE64_STANDARD.encode(blob))
}
