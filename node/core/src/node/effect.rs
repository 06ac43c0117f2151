//! What a node wants done.

use bytes::Bytes;
use registry_proto::{
    epoch::TakenReset,
    log::{Checkpoint, Cosigned},
    receipt::SignedReceipt,
    terms::LogId,
    wire::peer::peer_message::Message,
};

use crate::{
    fence::Ordered,
    log::{Commit, Published, Ticket},
    reject::Reject,
    replicate::{
        Attest, ChartersAsked, CloseReason, Examination, Look, ProvedCharters, Report, SendRange,
        SessionId, Store, ToldCharters,
    },
};

/// Something to do.
#[derive(Debug)]
pub enum Effect {
    /// Answer a submission.
    Reply {
        /// Of which.
        ticket: Ticket,
        /// The answer.
        outcome: Result<Published, Reject>,
    },
    /// Sign, write and sync a group of the own log.
    Commit(Commit),
    /// Sign the own head again, for its freshness only; nothing is written.
    Freshen {
        /// The head.
        checkpoint: Checkpoint,
        /// Time to sign, milliseconds since 1970-01-01 UTC.
        wall_ms: i64,
        /// Whether that still counts.
        ordered: Ordered,
    },
    /// Write and sync a group of a log.
    Store(Store),
    /// Send a message.
    Send {
        /// To whom.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// Read entries and send them.
    SendRange(SendRange),
    /// Sign what this Land states, and keep it.
    Attest(Attest),
    /// Keep a receipt of another Land.
    KeepReceipt(SignedReceipt),
    /// Keep a cosignature; the newest of each Land about each log is enough.
    KeepCosigned(Cosigned),
    /// Read roots and a proof.
    Examine(Examination),
    /// Read a root and a proof.
    Look(Look),
    /// Keep evidence that the owner of a log signed two histories.
    KeepEvidence {
        /// The log.
        log: LogId,
        /// An encoded `verbund.registry.v1.Evidence`.
        raw: Bytes,
        /// Then stop and begin again: what is here of the log may be another history than its reset
        /// keeps. The shell MUST NOT before the evidence is durable, because it is what sets that aside.
        begin_again: bool,
    },
    /// Keep a reset of a log durably, then stop and begin again under it. The shell MUST keep the
    /// first that is taken of an epoch and no other.
    KeepReset(TakenReset),
    /// Answer a partner that asks for later charters.
    ShowCharters(ChartersAsked),
    /// Verify charters that a partner told.
    VerifyCharters(ToldCharters),
    /// Hold charters that a partner told against the votes that are here; if nothing contradicts
    /// them, keep them durably with what proves them, then stop and begin again under the last one.
    FollowCharters(ProvedCharters),
    /// Stop and begin again: what the own log rests on has come back.
    BeginAgain {
        /// The own log.
        log: LogId,
    },
    /// Stop and begin again without what is here of a log: it is another history than its reset
    /// keeps. The shell MUST remember that durably before it stops.
    SetAside {
        /// The epoch that ended.
        log: LogId,
    },
    /// End a stream.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Tell the operator.
    Report(Notice),
}

/// Something an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// About a partner or a log.
    Replication(Report),
    /// The fence opened.
    FenceOpened,
    /// The fence opened without an answer, by policy.
    FenceOpenedUnfenced {
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// The fence closed.
    FenceClosed {
        /// Its state in words.
        state: String,
        /// What closed it, of a closed list; a label of a metric.
        why: &'static str,
    },
    /// Entries of the own log came back from partners.
    Recovered {
        /// The first of them.
        from: u64,
        /// End, exclusive.
        upto: u64,
    },
    /// Another copy of this node signs with the same keys. The shell MUST keep that in mind: the
    /// next start tells `Setup::moved`.
    Copied {
        /// Entries the copy signed.
        size: u64,
        /// When it signed, seconds since 1970-01-01 UTC.
        unix_seconds: u64,
    },
    /// The own log cannot be written.
    OwnLogFailed,
    /// A key of the Land does not sign.
    Unsigned,
    /// A log cannot be written.
    LogFailed {
        /// Which.
        log: LogId,
    },
}
