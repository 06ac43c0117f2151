//! The signed head of a log (C2SP tlog-checkpoint), signed by its Land twice: once for ever, and
//! once with a time, because the first alone could be replayed for ever.

use std::{fmt, str::FromStr};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use ed25519_dalek::{SignatureError, Signer, VerifyingKey};

use super::{
    COSIGNED_BYTES_MAX, Hash, VerbundId,
    note::{self, LandSignature, Note, NoteError},
};
use crate::{key::Key, terms::LogId};

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
    log: Key,
    freshness: Key,
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
    /// Log key and freshness key that signed.
    by: [[u8; 32]; 2],
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
    /// More bytes than a checkpoint with one cosignature needs.
    #[error("a cosigned checkpoint has at most {COSIGNED_BYTES_MAX} bytes, found {found}")]
    CosignedTooLong {
        /// Bytes found.
        found: usize,
    },
    /// A tree without leaves has another root.
    #[error("the root is not that of a tree without leaves")]
    EmptyRoot,
    /// Signed in the name of the owner with a key that nobody here knows: of a charter to come, or of
    /// somebody else.
    #[error("the {which} is by a key that is not known")]
    UnknownKey {
        /// Which signature.
        which: LandSignature,
    },
    /// Signed by keys of the owner that do not count at this place.
    #[error("{size} entries are signed by keys of the owner that do not count there")]
    OtherKeys {
        /// Size that is signed.
        size: u64,
    },
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Signs with both keys.
    ///
    /// # Errors
    ///
    /// A key that is kept in a token does not sign. Nothing is signed then that anyone sees.
    pub fn sign(
        &self,
        signer: &LogSigner,
        unix_seconds: u64,
    ) -> Result<SignedCheckpoint, SignatureError> {
        let name = self.origin.to_string();
        let text = self.text(&name);
        let signature = signer.log.try_sign(text.as_bytes())?;
        let cosigned = note::cosigned_message(unix_seconds, &text);
        let cosignature = signer.freshness.try_sign(cosigned.as_bytes())?;
        let keys = signer.keys();
        let raw = [
            text,
            "\n".to_owned(),
            note::signature_line(&name, &keys.log, &signature),
            note::cosignature_line(&name, &keys.freshness, unix_seconds, &cosignature),
        ]
        .concat();
        let raw = raw.into();
        let (fresh_unix_seconds, by) = (unix_seconds, keys.bytes());
        Ok(SignedCheckpoint { checkpoint: *self, fresh_unix_seconds, by, raw })
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
        let refused = |error: NoteError| match error {
            NoteError::Missing { which } if note.is_signed(&name, which) => {
                CheckpointError::UnknownKey { which }
            }
            other => other.into(),
        };
        note.verify(&name, &keys.log).map_err(refused)?;
        let fresh = note.verify_cosignature(&name, &keys.freshness);
        let fresh_unix_seconds = fresh.map_err(refused)?;
        let raw = Bytes::copy_from_slice(raw);
        Ok(Self { checkpoint, fresh_unix_seconds, by: keys.bytes(), raw })
    }

    /// The note, byte for byte.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// True if these keys signed it.
    pub fn is_by(&self, keys: &LogKeys) -> bool {
        self.by == keys.bytes()
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
    pub fn new(log: impl Into<Key>, freshness: impl Into<Key>) -> Self {
        Self { log: log.into(), freshness: freshness.into() }
    }

    /// The key that signs checkpoints.
    pub fn log(&self) -> &Key {
        &self.log
    }

    /// The key that cosigns with a time; statements of the node (receipts and the like) are signed
    /// with it too.
    pub fn freshness(&self) -> &Key {
        &self.freshness
    }

    /// The public keys.
    pub fn keys(&self) -> LogKeys {
        LogKeys { log: *self.log.public(), freshness: *self.freshness.public() }
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

    fn bytes(&self) -> [[u8; 32]; 2] {
        [self.log.to_bytes(), self.freshness.to_bytes()]
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

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, SigningKey};
    use signed_note::{Note as OtherNote, StandardVerifier, VerifierList};

    use super::*;
    use crate::log::leaf_hash;

    const TIME: u64 = 1_790_000_000;

    fn signer(log: u8, freshness: u8) -> LogSigner {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]);
        LogSigner::new(key(log), key(freshness))
    }

    fn origin() -> Origin {
        format!("{}/SL/1", "0f".repeat(32)).parse().unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: origin(), size: 1_234, root: leaf_hash(b"root") }
    }

    fn note() -> String {
        String::from_utf8(checkpoint().sign(&signer(1, 2), TIME).unwrap().raw().to_vec()).unwrap()
    }

    /// The one place that touches the API: a note, and what becomes of it.
    #[track_caller]
    fn check_verify(raw: &str, expect: Result<u64, CheckpointError>) {
        let got = SignedCheckpoint::verify(raw.as_bytes(), &origin(), &signer(1, 2).keys());
        assert_eq!(got.map(|signed| signed.fresh_unix_seconds), expect, "{raw}");
    }

    #[test]
    fn what_is_signed_verifies() {
        let empty = Checkpoint { origin: origin(), size: 0, root: Hash::EMPTY_ROOT };
        let large = Checkpoint { size: u64::MAX, ..checkpoint() };
        for checkpoint in [checkpoint(), empty, large] {
            for time in [0, TIME, u64::MAX] {
                let signed = checkpoint.sign(&signer(1, 2), time).unwrap();
                let keys = signer(1, 2).keys();
                let got = SignedCheckpoint::verify(signed.raw(), &origin(), &keys);
                assert_eq!(got, Ok(signed.clone()));
                assert_eq!((signed.size(), signed.root()), (checkpoint.size, &checkpoint.root));
                assert_eq!(signed.fresh_unix_seconds, time);
            }
        }
    }

    #[test]
    fn other_tools_verify_the_log_signature() {
        let vkey = signer(1, 2).keys().log_verifier_key(&origin());
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
        let (verified, others) =
            OtherNote::from_bytes(note().as_bytes()).unwrap().verify(&known).unwrap();
        assert_eq!((verified.len(), others.len()), (1, 1));
        // the other is c2sp.org/tlog-cosignature: time, then the signature over time and text
        let blob = others[0].signature();
        assert_eq!((blob.len(), &blob[..8]), (72, &TIME.to_be_bytes()[..]));
        let text = note().split_once("\n\n").unwrap().0.to_owned();
        let message = format!("cosignature/v1\ntime {TIME}\n{text}\n");
        let signature = Signature::from_slice(&blob[8..]).unwrap();
        let key = signer(1, 2).keys().freshness;
        assert!(key.verify_strict(message.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn notes_that_say_something_else_are_refused_by_name() {
        use CheckpointError as E;
        use LandSignature::{Freshness, Log};
        let note = note();
        let lines: Vec<_> = note.lines().collect();
        let with = |at: usize, line: &str| {
            let mut lines = lines.clone();
            lines[at] = line;
            lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>()
        };
        let wrong = |which| Err(E::Note(NoteError::Wrong { which }));
        let missing = |which| Err(E::Note(NoteError::Missing { which }));
        let twice = |which| Err(E::Note(NoteError::Twice { which }));
        let other_origin = lines[0].replace("/SL/1", "/SL/2");
        let misplaced = Err(E::Origin { expected: origin() });
        check_verify(&note, Ok(TIME));
        check_verify(&with(0, &other_origin), misplaced.clone());
        check_verify(&with(0, &lines[0].replace("/SL/", "/sl/")), misplaced.clone());
        check_verify(&with(0, ""), misplaced);
        check_verify(&with(1, "1235"), wrong(Log));
        for size in ["01234", "+1234", "-1", "", "0x4d2", "1234 ", "18446744073709551616"] {
            check_verify(&with(1, size), Err(E::Size));
        }
        check_verify(&with(1, "0"), Err(E::EmptyRoot));
        check_verify(&with(2, &BASE64_STANDARD.encode([1; 32])), wrong(Log));
        for root in [&lines[2][..43], "", "AAAA", &BASE64_STANDARD.encode([1; 33])] {
            check_verify(&with(2, root), Err(E::Root));
        }
        check_verify(&with(2, &format!("{}\nextension", lines[2])), Err(E::Lines));
        check_verify(&with(2, &format!("{}\n", lines[2])), Err(E::Lines));
        check_verify(&note.replacen(lines[2], "", 1).replacen("\n\n\n", "\n\n", 1), Err(E::Lines));
        check_verify(&note.replace(&format!("{}\n", lines[4]), ""), missing(Log));
        check_verify(&note.replace(&format!("{}\n", lines[5]), ""), missing(Freshness));
        check_verify(&format!("{note}{}\n", lines[4]), twice(Log));
        check_verify(&format!("{note}{}\n", lines[5]), twice(Freshness));
        let exchanged = lines[4].replace(lines[0], "other");
        check_verify(&with(4, &exchanged), missing(Log));
    }

    #[test]
    fn signatures_of_others_are_tolerated_and_never_needed() {
        let witness = |n: u8| {
            let key = SigningKey::from_bytes(&[n; 32]);
            let name = format!("witness.example/{n}");
            note::cosignature_line(&name, &key.verifying_key(), TIME, &key.sign(b"anything"))
        };
        let more: String = (3..67).map(witness).collect();
        check_verify(&format!("{}{more}", note()), Ok(TIME));
        let too_many = NoteError::TooManySignatures { found: 67 };
        check_verify(&format!("{}{more}{}", note(), witness(67)), Err(too_many.into()));
    }

    #[test]
    fn other_keys_and_other_logs_are_refused() {
        use LandSignature::{Freshness, Log};
        let raw = note();
        for (keys, which) in [(signer(3, 2), Log), (signer(1, 3), Freshness), (signer(2, 1), Log)] {
            let got = SignedCheckpoint::verify(raw.as_bytes(), &origin(), &keys.keys());
            assert_eq!(got, Err(CheckpointError::UnknownKey { which }));
        }
        for text in [format!("{}/SL/2", "0f".repeat(32)), format!("{}/SL/1", "0e".repeat(32))] {
            let expected: Origin = text.parse().unwrap();
            let got = SignedCheckpoint::verify(raw.as_bytes(), &expected, &signer(1, 2).keys());
            assert_eq!(got, Err(CheckpointError::Origin { expected }));
        }
    }

    #[test]
    fn no_truncation_and_no_changed_byte_verifies() {
        let raw = note().into_bytes();
        let keys = signer(1, 2).keys();
        for end in 0..raw.len() {
            let got = SignedCheckpoint::verify(&raw[..end], &origin(), &keys);
            assert!(got.is_err(), "cut at {end}");
        }
        for at in 0..raw.len() {
            for change in (0..8).map(|bit| raw[at] ^ 1 << bit).chain(*b"\nA= /0") {
                let mut changed = raw.clone();
                changed[at] = change;
                let got = SignedCheckpoint::verify(&changed, &origin(), &keys);
                assert!(got.is_err() || changed == raw, "byte {at} set to {change}");
            }
        }
    }

    #[test]
    fn an_origin_has_one_text() {
        let text = origin().to_string();
        assert_eq!(text, format!("{}/SL/1", "0f".repeat(32)));
        for other in [
            text.to_uppercase(),
            text[1..].to_owned(),
            format!("{text}/"),
            text.replace("/1", "/01"),
            text.replace("/SL/1", ""),
            String::new(),
        ] {
            assert_eq!(other.parse::<Origin>(), Err(ParseOriginError), "{other}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", signer(1, 2)), "LogSigner { .. }");
    }
}
