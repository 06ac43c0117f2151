//! Proof that the owner of a log signed two histories. It travels and verifies without a node:
//! two checkpoints and, when their sizes differ, a consistency proof that gives the larger tree
//! another beginning than the smaller one.
//!
//! A consistency proof that leads to a signed root fixes the root of the beginning as well
//! (SHA-256 collides for nobody), so one that proves *another* beginning than the owner signed
//! convicts the owner. Whoever shows it needs no trust.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    charter::Charter,
    log::{
        CheckpointError, Hash, NOTE_BYTES_MAX, Origin, OwnerKeys, PROOF_HASHES_MAX, ProofRejected,
        SignedCheckpoint, check_consistency,
    },
    terms::{Land, LogId},
    wire::registry as wire,
};

/// Bytes of encoded evidence.
pub const EVIDENCE_BYTES_MAX: usize = 48 << 10;

/// The form this software writes and reads.
const FORMAT: u32 = 1;

const _: () = assert!(EVIDENCE_BYTES_MAX >= 2 * NOTE_BYTES_MAX + 40 * PROOF_HASHES_MAX + 256);

/// Two checkpoints of one log that cannot both be true: verified, or made of verified ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    older: SignedCheckpoint,
    newer: SignedCheckpoint,
    raw: Bytes,
}

/// Why bytes prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Too many bytes.
    #[error("evidence has at most {EVIDENCE_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form.
    #[error("the bytes are no encoded evidence")]
    Undecodable,
    /// Made by newer software.
    #[error("format is {found}, expected {FORMAT}")]
    Format {
        /// Format found.
        found: u32,
    },
    /// Of another Verbund.
    #[error("verbund is not that of the charter")]
    OtherVerbund,
    /// The Land is no member, or no Land.
    #[error("land is {found:?}, which is no member of the charter")]
    NoMember {
        /// What stands there.
        found: String,
    },
    /// Of another log than asked for.
    #[error("the evidence is not about {expected}")]
    OtherLog {
        /// The log asked for.
        expected: LogId,
    },
    /// A checkpoint that does not verify.
    #[error("{which}: the checkpoint does not verify")]
    Checkpoint {
        /// Field.
        which: &'static str,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// `older` is the larger one.
    #[error("older signs {older} entries and newer only {newer}")]
    Order {
        /// Size of `older`.
        older: u64,
        /// Size of `newer`.
        newer: u64,
    },
    /// A hash has no 32 bytes, or there are too many.
    #[error("{field}: expected hashes of 32 bytes, at most {PROOF_HASHES_MAX}")]
    Hashes {
        /// Field.
        field: &'static str,
    },
    /// The proof does not lead to the root of `newer`.
    #[error("the proof does not lead to the root that newer signs")]
    Proof(#[source] ProofRejected),
    /// Both can be true.
    #[error("the two checkpoints do not contradict each other")]
    Consistent,
}

// === impl Equivocation ===

impl Equivocation {
    /// Two checkpoints of one size with different roots. `None` when they are not that.
    pub fn of_one_size(one: &SignedCheckpoint, other: &SignedCheckpoint) -> Option<Self> {
        let same = one.checkpoint.origin == other.checkpoint.origin && one.size() == other.size();
        (same && one.root() != other.root())
            .then(|| Self::assemble(one.clone(), other.clone(), None, &[]))
    }

    /// Two checkpoints of two sizes: `proof` shows that the tree of `newer` has `root` at the size
    /// of `older`, which signs another root.
    ///
    /// # Errors
    ///
    /// [`EvidenceError::Order`], [`EvidenceError::Proof`], [`EvidenceError::Consistent`], and
    /// [`EvidenceError::OtherLog`] for checkpoints of two logs.
    pub fn of_two_sizes(
        older: &SignedCheckpoint,
        newer: &SignedCheckpoint,
        root: &Hash,
        proof: &[Hash],
    ) -> Result<Self, EvidenceError> {
        if older.checkpoint.origin != newer.checkpoint.origin {
            return Err(EvidenceError::OtherLog { expected: older.checkpoint.origin.log });
        }
        contradicts(older, newer, root, proof)?;
        Ok(Self::assemble(older.clone(), newer.clone(), Some(root), proof))
    }

    /// Verifies evidence about one log under the keys of its owner.
    ///
    /// # Errors
    ///
    /// See [`EvidenceError`].
    pub fn verify(
        raw: &Bytes,
        origin: &Origin,
        keys: &impl OwnerKeys,
    ) -> Result<Self, EvidenceError> {
        let it = decode(raw)?;
        if it.verbund[..] != origin.verbund.as_bytes()[..] {
            return Err(EvidenceError::OtherVerbund);
        }
        if it.land != origin.log.land.code() || it.epoch != origin.log.epoch {
            return Err(EvidenceError::OtherLog { expected: origin.log });
        }
        let checkpoint = |which: &'static str, note: &Bytes| {
            keys.verify(note, origin).map_err(|source| EvidenceError::Checkpoint { which, source })
        };
        let (older, newer) = (checkpoint("older", &it.older)?, checkpoint("newer", &it.newer)?);
        if older.size() == newer.size() {
            if older.root() == newer.root() {
                return Err(EvidenceError::Consistent);
            }
        } else {
            let field = "root";
            let root = Hash::try_from(&it.root[..]).map_err(|_| EvidenceError::Hashes { field })?;
            contradicts(&older, &newer, &root, &hashes(&it.proof)?)?;
        }
        Ok(Self { older, newer, raw: raw.clone() })
    }

    /// Verifies evidence about whatever log of the Verbund it names.
    ///
    /// # Errors
    ///
    /// See [`EvidenceError`].
    pub fn verify_under(raw: &Bytes, charter: &Charter) -> Result<Self, EvidenceError> {
        let it = decode(raw)?;
        let land = it.land.parse::<Land>().ok();
        let Some(member) = land.and_then(|land| charter.member(land)) else {
            let found = it.land.chars().take(16).collect();
            return Err(EvidenceError::NoMember { found });
        };
        let log = LogId { land: member.land, epoch: it.epoch };
        Self::verify(raw, &Origin { verbund: charter.id(), log }, &member.keyring())
    }

    /// The log that was forked.
    pub fn log(&self) -> LogId {
        self.older.checkpoint.origin.log
    }

    /// The checkpoint of the smaller size, or one of two of one size.
    pub fn older(&self) -> &SignedCheckpoint {
        &self.older
    }

    /// The other checkpoint.
    pub fn newer(&self) -> &SignedCheckpoint {
        &self.newer
    }

    /// An encoded [`wire::Evidence`], byte for byte as it came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn assemble(
        older: SignedCheckpoint,
        newer: SignedCheckpoint,
        root: Option<&Hash>,
        proof: &[Hash],
    ) -> Self {
        let origin = older.checkpoint.origin;
        let bytes = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
        let raw = wire::Evidence {
            format: FORMAT,
            verbund: Bytes::copy_from_slice(origin.verbund.as_bytes()),
            land: origin.log.land.code().to_owned(),
            epoch: origin.log.epoch,
            older: older.raw().clone(),
            newer: newer.raw().clone(),
            root: root.map(bytes).unwrap_or_default(),
            proof: proof.iter().map(bytes).collect(),
        };
        Self { older, newer, raw: raw.encode_to_vec().into() }
    }
}

/// The log that evidence says it is about; nothing of it is verified.
///
/// # Errors
///
/// [`EvidenceError::TooLong`], [`EvidenceError::Undecodable`], [`EvidenceError::Format`].
pub fn claimed_log(raw: &Bytes) -> Result<(String, u64), EvidenceError> {
    decode(raw).map(|it| (it.land, it.epoch))
}

fn decode(raw: &Bytes) -> Result<wire::Evidence, EvidenceError> {
    if raw.len() > EVIDENCE_BYTES_MAX {
        return Err(EvidenceError::TooLong { found: raw.len() });
    }
    let it = wire::Evidence::decode(raw.clone()).map_err(|_| EvidenceError::Undecodable)?;
    if it.format != FORMAT {
        return Err(EvidenceError::Format { found: it.format });
    }
    Ok(it)
}

fn hashes(proof: &[Bytes]) -> Result<Vec<Hash>, EvidenceError> {
    let refused = || EvidenceError::Hashes { field: "proof" };
    if proof.len() > PROOF_HASHES_MAX {
        return Err(refused());
    }
    proof.iter().map(|it| Hash::try_from(&it[..]).map_err(|_| refused())).collect()
}

fn contradicts(
    older: &SignedCheckpoint,
    newer: &SignedCheckpoint,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), EvidenceError> {
    let (n, m) = (older.size(), newer.size());
    if n > m {
        return Err(EvidenceError::Order { older: n, newer: m });
    }
    // every tree begins with the empty one: of that a proof says nothing
    if n == 0 || root == older.root() {
        return Err(EvidenceError::Consistent);
    }
    check_consistency(proof, n, root, m, newer.root()).map_err(EvidenceError::Proof)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::log::{
        Checkpoint, Frontier, HashTiles, LogSigner, leaf_hash, prove_consistency, tree_root,
    };

    /// A history of fewer than 256 leaves.
    struct History(Vec<Hash>);

    impl HashTiles for History {
        type Error = Infallible;

        fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
            assert_eq!(level, 0);
            let from = usize::try_from(from).unwrap();
            Ok(self.0[from..from + count].to_vec())
        }
    }

    impl History {
        /// Leaves that differ from those of other histories from `fork` on.
        fn new(name: &str, fork: usize, size: usize) -> Self {
            let leaf = |at: usize| match at < fork {
                true => leaf_hash(format!("common {at}").as_bytes()),
                false => leaf_hash(format!("{name} {at}").as_bytes()),
            };
            Self((0..size).map(leaf).collect())
        }

        fn root(&self, size: usize) -> Hash {
            let mut tree = Frontier::default();
            self.0[..size].iter().for_each(|it| tree.push(*it));
            tree.root()
        }

        fn signed(&self, size: usize) -> SignedCheckpoint {
            Checkpoint { origin: origin(), size: size as u64, root: self.root(size) }
                .sign(&signer(), 1_790_000_000)
                .unwrap()
        }

        fn proof(&self, old: usize, new: usize) -> Vec<Hash> {
            prove_consistency(self, old as u64, new as u64).unwrap()
        }
    }

    fn signer() -> LogSigner {
        LogSigner::new(SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]))
    }

    fn origin() -> Origin {
        format!("{}/SL/1", "0f".repeat(32)).parse().unwrap()
    }

    #[track_caller]
    fn check(raw: &Bytes, expected: Result<(), EvidenceError>) {
        let got = Equivocation::verify(raw, &origin(), &signer().keys());
        assert_eq!(got.map(|_| ()), expected);
    }

    fn changed(raw: &Bytes, change: impl FnOnce(&mut wire::Evidence)) -> Bytes {
        let mut it = wire::Evidence::decode(raw.clone()).unwrap();
        change(&mut it);
        it.encode_to_vec().into()
    }

    #[test]
    fn every_fork_of_small_histories_is_proved_and_no_honest_growth_is() {
        let one = History::new("one", 8, 20);
        for fork in 0..20 {
            let other = History::new("other", fork, 20);
            for n in 1..=20 {
                for m in n..=20 {
                    let (older, newer) = (one.signed(n), other.signed(m));
                    let forked = one.root(n) != other.root(n);
                    let made = if n == m {
                        Equivocation::of_one_size(&older, &newer)
                    } else {
                        let (root, proof) = (other.root(n), other.proof(n, m));
                        assert_eq!(tree_root(&other, n as u64), Ok(root));
                        Equivocation::of_two_sizes(&older, &newer, &root, &proof).ok()
                    };
                    assert_eq!(made.is_some(), forked, "fork at {fork}, sizes {n} and {m}");
                    if let Some(made) = made {
                        check(made.raw(), Ok(()));
                    }
                }
            }
        }
    }

    #[test]
    fn evidence_that_proves_nothing_is_refused_by_name() {
        use EvidenceError as E;
        let (one, other) = (History::new("one", 4, 9), History::new("other", 4, 12));
        let (older, newer) = (one.signed(9), other.signed(12));
        let (root, proof) = (other.root(9), other.proof(9, 12));
        let made = Equivocation::of_two_sizes(&older, &newer, &root, &proof).unwrap();
        let raw = made.raw();
        assert_eq!(claimed_log(raw), Ok(("SL".to_owned(), 1)));
        check(raw, Ok(()));
        check(&Bytes::from_static(b"\xff"), Err(E::Undecodable));
        let long = Bytes::from(vec![0; EVIDENCE_BYTES_MAX + 1]);
        check(&long, Err(E::TooLong { found: EVIDENCE_BYTES_MAX + 1 }));
        check(&changed(raw, |it| it.format = 2), Err(E::Format { found: 2 }));
        check(&changed(raw, |it| it.verbund = vec![1; 32].into()), Err(E::OtherVerbund));
        let expected = origin().log;
        check(&changed(raw, |it| it.land = "HE".to_owned()), Err(E::OtherLog { expected }));
        check(&changed(raw, |it| it.epoch = 2), Err(E::OtherLog { expected }));
        let swapped = changed(raw, |it| std::mem::swap(&mut it.older, &mut it.newer));
        check(&swapped, Err(E::Order { older: 12, newer: 9 }));
        check(&changed(raw, |it| it.newer = it.older.clone()), Err(E::Consistent));
        let real = Bytes::copy_from_slice(older.root().as_bytes());
        check(&changed(raw, |it| it.root = real.clone()), Err(E::Consistent));
        check(&changed(raw, |it| it.root = Bytes::new()), Err(E::Hashes { field: "root" }));
        let short = |it: &mut wire::Evidence| it.proof[0] = Bytes::from_static(b"x");
        check(&changed(raw, short), Err(E::Hashes { field: "proof" }));
        let many = |it: &mut wire::Evidence| it.proof = vec![real.clone(); PROOF_HASHES_MAX + 1];
        check(&changed(raw, many), Err(E::Hashes { field: "proof" }));
        let made_up = changed(raw, |it| it.root = vec![7; 32].into());
        check(&made_up, Err(E::Proof(ProofRejected::Mismatch)));
        let proofless = changed(raw, |it| it.proof.clear());
        check(&proofless, Err(E::Proof(ProofRejected::Mismatch)));
    }

    #[test]
    fn a_checkpoint_of_somebody_else_convicts_nobody() {
        let (one, other) = (History::new("one", 4, 9), History::new("other", 4, 9));
        let made = Equivocation::of_one_size(&one.signed(9), &other.signed(9)).unwrap();
        let strange =
            LogSigner::new(SigningKey::from_bytes(&[3; 32]), SigningKey::from_bytes(&[4; 32]));
        let forged = other.signed(9).checkpoint.sign(&strange, 1).unwrap().raw().clone();
        let raw = changed(made.raw(), |it| it.newer = forged);
        let got = Equivocation::verify(&raw, &origin(), &signer().keys());
        assert!(matches!(got, Err(EvidenceError::Checkpoint { which: "newer", .. })), "{got:?}");
        // the same bytes under other keys
        let got = Equivocation::verify(made.raw(), &origin(), &strange.keys());
        assert!(matches!(got, Err(EvidenceError::Checkpoint { which: "older", .. })), "{got:?}");
    }

    #[test]
    fn no_changed_byte_convicts() {
        let (one, other) = (History::new("one", 2, 5), History::new("other", 2, 7));
        let made = Equivocation::of_two_sizes(
            &one.signed(5),
            &other.signed(7),
            &other.root(5),
            &other.proof(5, 7),
        )
        .unwrap();
        for at in 0..made.raw().len() {
            let mut bytes = made.raw().to_vec();
            bytes[at] ^= 1;
            let got = Equivocation::verify(&bytes.into(), &origin(), &signer().keys());
            assert!(got.is_err(), "byte {at}");
        }
    }
}
