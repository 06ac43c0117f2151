//! A checkpoint with the cosignature of a witness (C2SP tlog-cosignature): another Land that has
//! verified that it is consistent with everything the witness has seen of the log.

use bytes::Bytes;
use ed25519_dalek::{SignatureError, Signer, VerifyingKey};

use super::{
    CheckpointError, LogKeys, LogSigner, Origin, OwnerKeys, SignedCheckpoint, VerbundId,
    note::{self, Note},
};
use crate::terms::Land;

/// Bytes of a note with the two lines of the owner and that of a witness.
pub const COSIGNED_BYTES_MAX: usize = 1_024;

/// A checkpoint that a witness cosigned: made here, or verified.
///
/// The witness uses its freshness key under the name `<verbund>/<land>`. What it signs begins with
/// the origin of another log than its own, so the cosignature never passes for the freshness of
/// its own log, and the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    signed: SignedCheckpoint,
    witness: Land,
    unix_seconds: u64,
    raw: Bytes,
}

// === impl Cosigned ===

impl Cosigned {
    /// Cosigns a checkpoint that was verified under `owner`; `signer` MUST be that of the witness.
    /// Lines of others under the checkpoint are left out.
    ///
    /// # Errors
    ///
    /// A key that is kept in a token does not sign.
    pub fn sign(
        signed: &SignedCheckpoint,
        owner: &LogKeys,
        witness: Land,
        signer: &LogSigner,
        unix_seconds: u64,
    ) -> Result<Self, SignatureError> {
        let origin = signed.checkpoint.origin;
        let name = witness_name(origin.verbund, witness);
        // what was verified can be taken apart again
        let unverified = |_| SignatureError::new();
        let note = Note::parse(signed.raw()).map_err(unverified)?;
        let lines = note.owner_lines(&origin.to_string(), &owner.log, &owner.freshness);
        let lines = lines.map_err(unverified)?;
        let key = signer.freshness();
        let cosigned = note::cosigned_message(unix_seconds, note.text);
        let signature = key.try_sign(cosigned.as_bytes())?;
        let line = note::cosignature_line(&name, key.public(), unix_seconds, &signature);
        let raw = [note.text, "\n", &lines, &line].concat().into();
        Ok(Self { signed: signed.clone(), witness, unix_seconds, raw })
    }

    /// Verifies a note with both signatures of the owner and the cosignature of a witness.
    ///
    /// # Errors
    ///
    /// See [`CheckpointError`].
    pub fn verify(
        raw: &Bytes,
        origin: &Origin,
        owner: &impl OwnerKeys,
        witness: Land,
        key: &VerifyingKey,
    ) -> Result<Self, CheckpointError> {
        if raw.len() > COSIGNED_BYTES_MAX {
            return Err(CheckpointError::CosignedTooLong { found: raw.len() });
        }
        let note = Note::parse(raw)?;
        let name = witness_name(origin.verbund, witness);
        let unix_seconds = note.verify_cosignature(&name, key)?;
        let (owner_name, mut lines) = (origin.to_string(), None);
        for keys in owner.pairs() {
            let found = note.owner_lines(&owner_name, &keys.log, &keys.freshness);
            // if there are none, those of the keys in use are missing
            lines = match lines {
                Some(Err(_)) if found.is_ok() => Some(found),
                before => before.or(Some(found)),
            };
        }
        let lines = lines.transpose()?.unwrap_or_default();
        // the checkpoint alone, as its owner made it
        let bare = [note.text, "\n", &lines].concat();
        let signed = owner.verify(bare.as_bytes(), origin)?;
        Ok(Self { signed, witness, unix_seconds, raw: raw.clone() })
    }

    /// The checkpoint.
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Who cosigned.
    pub fn witness(&self) -> Land {
        self.witness
    }

    /// Time of the cosignature, seconds since 1970-01-01 UTC.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }

    /// The note with all three lines, byte for byte.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

fn witness_name(verbund: VerbundId, witness: Land) -> String {
    format!("{verbund}/{witness}")
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::log::{Checkpoint, LandSignature, NoteError, leaf_hash};

    fn signer(seed: u8) -> LogSigner {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]);
        LogSigner::new(key(seed), key(seed + 1))
    }

    fn origin(land: &str) -> Origin {
        format!("{}/{land}/1", "0f".repeat(32)).parse().unwrap()
    }

    fn cosigned() -> Cosigned {
        let checkpoint = Checkpoint { origin: origin("SL"), size: 7, root: leaf_hash(b"root") };
        let signed = checkpoint.sign(&signer(1), 1_790_000_000).unwrap();
        Cosigned::sign(&signed, &signer(1).keys(), Land::RP, &signer(3), 1_790_000_060).unwrap()
    }

    #[track_caller]
    fn check(raw: &Bytes, witness: Land, key: u8, expected: Result<u64, CheckpointError>) {
        let key = signer(key).keys().freshness;
        let got = Cosigned::verify(raw, &origin("SL"), &signer(1).keys(), witness, &key);
        assert_eq!(got.map(|it| it.unix_seconds()), expected);
    }

    #[test]
    fn what_is_cosigned_verifies_for_its_witness_only() {
        let it = cosigned();
        assert_eq!((it.witness(), it.signed().size()), (Land::RP, 7));
        let missing =
            || Err(CheckpointError::Note(NoteError::Missing { which: LandSignature::Freshness }));
        check(it.raw(), Land::RP, 3, Ok(1_790_000_060));
        check(it.raw(), Land::HE, 3, missing());
        check(it.raw(), Land::RP, 5, missing());
        // without its line it is a checkpoint still, and no cosigned one
        check(it.signed().raw(), Land::RP, 3, missing());
    }

    #[test]
    fn no_cosignature_passes_for_the_freshness_of_an_own_log() {
        // RP's freshness key under SL's checkpoint, shown as a checkpoint of RP
        let it = cosigned();
        let got = SignedCheckpoint::verify(it.raw(), &origin("RP"), &signer(3).keys());
        assert!(matches!(got, Err(CheckpointError::Origin { .. })), "{got:?}");
    }

    #[test]
    fn lines_of_others_are_left_out() {
        let it = cosigned();
        // a note that carries the line of one witness already, cosigned by another
        let noisy = SignedCheckpoint::verify(it.raw(), &origin("SL"), &signer(1).keys()).unwrap();
        let again =
            Cosigned::sign(&noisy, &signer(1).keys(), Land::HE, &signer(5), 1_790_000_061).unwrap();
        assert_eq!(again.raw().iter().filter(|it| **it == b'\n').count(), 3 + 1 + 3);
        check(again.raw(), Land::HE, 5, Ok(1_790_000_061));
    }
}
