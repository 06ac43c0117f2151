//! What can happen to a node.

use bytes::Bytes;
use registry_proto::{
    log::{Cosigned, SignedCheckpoint},
    receipt::SignedReceipt,
    terms::LogId,
    wire::peer::peer_message::Message,
};

use crate::{
    audit::AuditHead,
    authorize::PeerIdentity,
    log::Ticket,
    replicate::{Examination, Found, Hindrance, Look, SendRange, SessionId, VerifiedCharters},
    submission::Submission,
};

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Someone publishes. At most [`crate::limits::SUBMISSIONS_WAITING_MAX`] wait at a time.
    Submit {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to publish.
        submission: Submission,
    },
    /// An operator says something about the next charter. Answered once it is staged: it is said
    /// when it stands in the log, which [`crate::charter::Chain`] is told.
    Vote {
        /// Comes back with the answer.
        ticket: Ticket,
        /// Pseudonym of the operator.
        principal: String,
        /// An encoded vote that [`crate::charter::Chain::vote`] made.
        body: Bytes,
    },
    /// The commit under way is durable, under this checkpoint.
    Committed {
        /// Signed as ordered.
        signed: SignedCheckpoint,
    },
    /// The disk of the own log failed; nothing more can be written before a restart.
    CommitFailed,
    /// The commit under way was not signed, because the token with the key does not answer; nothing
    /// of it was written or shown.
    CommitUnsigned,
    /// The commit under way was not signed, because the order was void; nothing of it was written or
    /// shown.
    CommitVoid,
    /// The own head was not signed again, because the token with the key does not answer.
    FreshenFailed,
    /// The own head was not signed again, because the order was void.
    FreshenVoid,
    /// The own head was signed again.
    Freshened {
        /// Signed as ordered.
        signed: SignedCheckpoint,
    },
    /// The oldest group of a log under way is durable.
    Stored {
        /// The log.
        log: LogId,
        /// Entries of the own log in it: empty unless the own log comes back.
        learned: Vec<Learned>,
    },
    /// The disk of a log failed; it is not followed before a restart.
    StoreFailed {
        /// The log.
        log: LogId,
    },
    /// An erasure is durable, or was found at the start, and is not carried out yet. MUST come before
    /// the group it stands in is told as durable.
    Erasing {
        /// The log.
        log: LogId,
        /// Index of the erasure.
        by: u64,
    },
    /// An erasure is carried out: the body is in no journal, index or store of this node any more,
    /// durably.
    Erased {
        /// The log.
        log: LogId,
        /// Index of the erasure.
        by: u64,
    },
    /// The catalogue of this node shows the own log up to `size`.
    Folded {
        /// Entries.
        size: u64,
    },
    /// A stream with a partner stands.
    SessionOpened {
        /// Its name; never used before.
        session: SessionId,
        /// Who the certificate says it is.
        peer: PeerIdentity,
        /// True when this node dialled.
        dialled: bool,
    },
    /// A stream ended.
    SessionClosed {
        /// Which.
        session: SessionId,
    },
    /// A partner said something.
    Received {
        /// On which stream.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// A range was sent: entries before `next`.
    RangeSent {
        /// As ordered.
        range: SendRange,
        /// First entry that was not sent.
        next: u64,
        /// Bytes of headers, salts and bodies that were sent.
        bytes: u64,
    },
    /// A range could not be read.
    RangeFailed {
        /// As ordered.
        range: SendRange,
    },
    /// What this Land states was signed, and the receipt is durable.
    Attested {
        /// The log.
        log: LogId,
        /// As ordered; none when none was, or it could not be signed or kept.
        receipt: Option<Box<SignedReceipt>>,
        /// As ordered; none when none was, or it could not be signed.
        cosigned: Option<Box<Cosigned>>,
    },
    /// The disk was asked about a head.
    Examined {
        /// As ordered.
        examination: Box<Examination>,
        /// `None` when the disk cannot tell.
        found: Option<Found>,
    },
    /// The disk was asked for a beginning of a log.
    Looked {
        /// As ordered.
        look: Look,
        /// `None` when the disk cannot tell.
        found: Option<Found>,
    },
    /// Charters that a partner told are verified.
    VerifiedCharters {
        /// Who told them.
        session: SessionId,
        /// `None` if it failed here.
        verified: Option<Box<VerifiedCharters>>,
    },
    /// The node does not begin again under charters that a partner proved
    /// ([`super::Effect::FollowCharters`]). The shell MUST tell it when it has tried.
    Hindered {
        /// Who told them.
        peer: PeerIdentity,
        /// Why.
        why: Hindrance,
    },
    /// The audit log of this node has grown, durably.
    Audited {
        /// How far.
        head: AuditHead,
        /// Whether an administrative act is among the new lines.
        soon: bool,
    },
    /// The node stops; what it wants to say in its log it says now.
    Stopping,
    /// Time passed; comes at least every 200 ms.
    Tick,
    /// The time that [`super::Node::rest`] named has come.
    Due,
}

/// An entry of the own log that came back from a partner.
#[derive(Debug)]
pub struct Learned {
    /// Raw header.
    pub header: Bytes,
    /// Body.
    pub body: Bytes,
}
