//! The keys of a log over time: which ones must have signed a checkpoint follows from the place
//! that it signs, never from when it comes.

use super::{CheckpointError, LogKeys, Origin, SignedCheckpoint};

/// Under which keys checkpoints of a log count.
pub trait OwnerKeys {
    /// Reads a note and verifies both signatures of the owner.
    ///
    /// # Errors
    ///
    /// See [`CheckpointError`].
    fn verify(&self, raw: &[u8], origin: &Origin) -> Result<SignedCheckpoint, CheckpointError>;

    /// All pairs of keys that ever counted, the newest first.
    fn pairs(&self) -> Vec<&LogKeys>;
}

/// The keys of a log and those that they replaced.
///
/// Replaced keys count for places up to where they were replaced, that one included: what they
/// signed before stays verifiable, and whoever still has them can add nothing. The keys after
/// them count from that place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    former: Vec<Former>,
    current: LogKeys,
}

/// Keys that were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The keys.
    pub keys: LogKeys,
    /// Epoch and size of the last place they count for.
    pub upto: (u64, u64),
}

// === impl Keyring ===

impl Keyring {
    /// Keys in use, and those they replaced, oldest first and in the order of their places.
    pub fn new(former: Vec<Former>, current: LogKeys) -> Self {
        Self { former, current }
    }

    /// The keys in use.
    pub fn current(&self) -> &LogKeys {
        &self.current
    }

    /// The last place that replaced keys count for: epoch and size.
    pub fn replaced_at(&self) -> Option<(u64, u64)> {
        self.former.last().map(|it| it.upto)
    }

    /// Which keys made a checkpoint, 0 for the oldest. Of two checkpoints of one size the one of
    /// the newer keys is the newer one, whatever time the older ones state.
    pub fn generation(&self, signed: &SignedCheckpoint) -> usize {
        let former = self.former.iter().position(|it| signed.is_by(&it.keys));
        former.unwrap_or(self.former.len())
    }

    /// The keys that made a checkpoint.
    pub fn keys_of(&self, signed: &SignedCheckpoint) -> &LogKeys {
        self.former.get(self.generation(signed)).map_or(&self.current, |it| &it.keys)
    }

    /// True if the keys of a generation count at a place.
    fn counts(&self, generation: usize, place: (u64, u64)) -> bool {
        let begins = generation.checked_sub(1).and_then(|it| self.former.get(it));
        let ends = self.former.get(generation);
        begins.is_none_or(|it| place >= it.upto) && ends.is_none_or(|it| place <= it.upto)
    }
}

impl OwnerKeys for Keyring {
    fn verify(&self, raw: &[u8], origin: &Origin) -> Result<SignedCheckpoint, CheckpointError> {
        let mut refused = None;
        let all = self.former.iter().map(|it| &it.keys).chain([&self.current]);
        for (generation, keys) in all.enumerate().collect::<Vec<_>>().into_iter().rev() {
            match SignedCheckpoint::verify(raw, origin, keys) {
                Ok(signed) if self.counts(generation, (origin.log.epoch, signed.size())) => {
                    return Ok(signed);
                }
                Ok(signed) => {
                    refused = Some(CheckpointError::OtherKeys { size: signed.size() });
                }
                // what the keys in use say about it tells most, unless they did not sign it
                Err(error) => {
                    let known =
                        refused.filter(|it| !matches!(it, CheckpointError::UnknownKey { .. }));
                    refused = known.or(Some(error));
                }
            }
        }
        Err(refused.unwrap_or(CheckpointError::Lines))
    }

    fn pairs(&self) -> Vec<&LogKeys> {
        let former = self.former.iter().rev().map(|it| &it.keys);
        [&self.current].into_iter().chain(former).collect()
    }
}

impl OwnerKeys for LogKeys {
    fn verify(&self, raw: &[u8], origin: &Origin) -> Result<SignedCheckpoint, CheckpointError> {
        SignedCheckpoint::verify(raw, origin, self)
    }

    fn pairs(&self) -> Vec<&LogKeys> {
        vec![self]
    }
}

impl From<LogKeys> for Keyring {
    fn from(current: LogKeys) -> Self {
        Self { former: Vec::new(), current }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::log::{Checkpoint, LandSignature, LogSigner, NoteError, leaf_hash};

    fn signer(log: u8, freshness: u8) -> LogSigner {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]);
        LogSigner::new(key(log), key(freshness))
    }

    fn origin() -> Origin {
        format!("{}/SL/1", "0f".repeat(32)).parse().unwrap()
    }

    // 1 2 up to 10, then 3 2 up to 20, then 3 4
    fn ring() -> Keyring {
        let former =
            |log, freshness, size| Former { keys: signer(log, freshness).keys(), upto: (1, size) };
        Keyring::new(vec![former(1, 2, 10), former(3, 2, 20)], signer(3, 4).keys())
    }

    /// The one place that touches the API: who signs which size, and which keys that were.
    #[track_caller]
    fn check(log: u8, freshness: u8, size: u64, expect: Option<usize>) {
        let checkpoint = Checkpoint { origin: origin(), size, root: leaf_hash(b"root") };
        let made = checkpoint.sign(&signer(log, freshness), 7).unwrap();
        let got = ring().verify(made.raw(), &origin());
        match expect {
            Some(generation) => {
                let got = got.unwrap();
                assert_eq!((got.size(), ring().generation(&got)), (size, generation));
                assert_eq!(*ring().keys_of(&got), signer(log, freshness).keys());
            }
            None => assert_eq!(got, Err(CheckpointError::OtherKeys { size })),
        }
    }

    #[test]
    fn keys_count_where_they_were_in_use_and_nowhere_else() {
        for (size, expect) in [(1, Some(0)), (10, Some(0)), (11, None), (20, None), (21, None)] {
            check(1, 2, size, expect);
        }
        for (size, expect) in [(9, None), (10, Some(1)), (20, Some(1)), (21, None)] {
            check(3, 2, size, expect);
        }
        for (size, expect) in [(10, None), (19, None), (20, Some(2)), (u64::MAX, Some(2))] {
            check(3, 4, size, expect);
        }
    }

    #[test]
    fn keys_that_never_counted_count_nowhere() {
        let checkpoint = Checkpoint { origin: origin(), size: 5, root: leaf_hash(b"root") };
        for (log, freshness) in [(5, 6), (1, 4), (1, 6)] {
            let made = checkpoint.sign(&signer(log, freshness), 7).unwrap();
            let got = ring().verify(made.raw(), &origin());
            let missing = matches!(got, Err(CheckpointError::UnknownKey { .. }));
            assert!(missing, "{log} {freshness}: {got:?}");
        }
    }

    #[test]
    fn what_was_changed_under_a_former_key_is_wrong_and_not_unknown() {
        let checkpoint = Checkpoint { origin: origin(), size: 5, root: leaf_hash(b"root") };
        let made = checkpoint.sign(&signer(1, 2), 7).unwrap();
        let changed = String::from_utf8_lossy(made.raw()).replacen("\n5\n", "\n6\n", 1);
        let got = ring().verify(changed.as_bytes(), &origin());
        let wrong = NoteError::Wrong { which: LandSignature::Log };
        assert_eq!(got, Err(wrong.into()));
    }
}
