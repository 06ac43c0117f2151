//! The signed log of a Land: header, leaf, tree, proofs, checkpoint. Pure functions; no key at
//! rest, no clock. The table "Signed statements" of `ARCHITECTURE.md` lists what is signed.

mod checkpoint;
mod continued;
mod cosigned;
mod hash;
mod header;
mod keyring;
mod note;
mod proof;
mod tree;
mod vkey;

pub use checkpoint::{
    Checkpoint, CheckpointError, LogKeys, LogSigner, Origin, ParseOriginError, SignedCheckpoint,
};
pub use continued::Continued;
pub use cosigned::{COSIGNED_BYTES_MAX, Cosigned};
pub use hash::{
    Hash, HashLengthError, ParseHashError, VerbundId, body_digest, leaf_hash, node_hash,
};
pub use header::{
    BODY_BYTES_MAX, FORMAT_LEVEL, HEADER_BYTES_MAX, Header, HeaderError, Kind, PRINCIPAL_BYTES_MAX,
    REFERENCES_MAX, Reference, RequestId,
};
pub use keyring::{Former, Keyring, OwnerKeys};
pub use note::{LandSignature, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, NoteError};
pub use proof::{
    HashTiles, PROOF_HASHES_MAX, ProofError, ProofRejected, check_consistency, check_inclusion,
    prove_consistency, prove_inclusion, tree_root,
};
pub use tree::{Frontier, TREE_SIZE_MAX, tile_root};
pub use vkey::{ParseVerifierKeyError, VerifierKey, VerifyNoteError, sign_note, verify_note};
