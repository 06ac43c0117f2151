//! What all parties of a Verbund must compute alike.
//!
//! - [`wire`]: the messages of `verbund.registry.v1`, `verbund.peer.v1` and `verbund.admin.v1`
//!   (generated code, committed; a test regenerates it), with feature `grpc` also the clients
//!   and servers.
//! - [`approval`]: what a second person confirms.
//! - [`artefact`]: how a file is cut into chunks, and their digests.
//! - [`charter`]: who is a member, under which keys and names.
//! - [`epoch`]: how a log begins again when what was signed of it is lost.
//! - [`erasure`]: which entry an erasure names, and the proof that a body is missing for a reason.
//! - [`evidence`]: proof that the owner of a log signed two histories.
//! - [`join`]: the token that invites a Land, and the card it answers with.
//! - [`key`]: a key that signs, wherever it is kept.
//! - [`receipt`]: who holds which log since when, signed by the holder.
//! - [`terms`]: the words of the domain, parsed once.
//! - [`log`]: header, leaf hash, tree, checkpoint, proofs, signed statements; pure functions.
//! - [`statement`]: what a Land signs outside of its log.

pub mod approval;
pub mod artefact;
pub mod charter;
pub mod epoch;
pub mod erasure;
pub mod evidence;
pub mod german;
pub mod join;
pub mod key;
pub mod log;
pub mod receipt;
pub mod statement;
pub mod terms;
pub mod wire;
