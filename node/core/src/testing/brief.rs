//! Effects in short words, so that a test reads as a list of what happens.

use registry_proto::wire::peer::{RefusalReason, peer_message::Message};

use crate::{
    node::{Effect, Notice},
    reject::Reject,
    replicate::{CloseReason, Report},
};

/// One effect in words.
pub(crate) fn brief(effect: &Effect) -> String {
    match effect {
        Effect::Reply { ticket, outcome: Ok(published) } => {
            let record = |it: &crate::log::PublishedRecord| {
                let index = it.index.map_or_else(|| "-".to_owned(), |it| it.to_string());
                if it.unchanged { format!("{index}=") } else { index }
            };
            let records: Vec<_> = published.records.iter().map(record).collect();
            let holders: String =
                published.acknowledged_by.iter().map(|it| format!(" {it}")).collect();
            format!("reply {} [{}]{holders}", ticket.0, records.join(" "))
        }
        Effect::Reply { ticket, outcome: Err(reject) } => {
            format!("reply {} {}", ticket.0, refused(reject))
        }
        Effect::Commit(it) => {
            let size = it.checkpoint.size;
            format!("commit {}..{size}", size - it.entries.len() as u64)
        }
        Effect::Freshen { checkpoint, .. } => format!("freshen {}", checkpoint.size),
        Effect::Store(it) => format!("store {} +{} of {}", it.log, it.entries.len(), it.note_size),
        Effect::Send { session, message } => format!("{} <- {}", session.0, said(message)),
        Effect::SendRange(it) => {
            format!("{} <- range {} {}..{} #{}", it.session.0, it.log, it.from, it.upto, it.follow)
        }
        Effect::Attest(it) => {
            let receipt = it.receipt.as_ref().map_or(0, |it| it.size);
            let cosigned = it.checkpoint.as_ref().map_or(0, |it| it.size());
            format!("attest {} {receipt} {cosigned}", it.log)
        }
        Effect::KeepReceipt(it) => {
            let it = it.receipt();
            format!("keep receipt {} {} {}", it.holder, it.log, it.size)
        }
        Effect::KeepCosigned(it) => {
            let log = it.signed().checkpoint.origin.log;
            format!("keep cosigned {} {log} {}", it.witness(), it.signed().size())
        }
        Effect::Examine(it) => {
            format!("examine {} at {} by {}", it.log, it.suspect.size(), it.against.size())
        }
        Effect::Look(it) => format!("look {} at {} of {}", it.log, it.size, it.of),
        Effect::KeepEvidence { log, begin_again, .. } => {
            let then = if *begin_again { ", begin again" } else { "" };
            format!("keep evidence {log}{then}")
        }
        Effect::Close { session, reason } => {
            let reason = match reason {
                CloseReason::Duplicate => "duplicate",
                CloseReason::Silent => "silent",
                CloseReason::Fault(fault) => fault.label(),
            };
            format!("close {} {reason}", session.0)
        }
        Effect::KeepReset(it) => format!("keep reset of {}", it.said().log),
        Effect::ShowCharters(it) => format!("{} <- charters from {}", it.session.0, it.from),
        Effect::VerifyCharters(it) => format!("verify charters of {}", it.session.0),
        Effect::FollowCharters(it) => {
            let numbers: String =
                it.steps.iter().map(|(charter, _)| format!(" {}", charter.number())).collect();
            format!("follow charters{numbers} of {}", it.peer.land)
        }
        Effect::BeginAgain { log } => format!("begin again {log}"),
        Effect::SetAside { log } => format!("set aside {log}"),
        Effect::Report(notice) => noticed(notice),
    }
}

fn refused(reject: &Reject) -> String {
    match reject {
        Reject::Invalid(all) => all.iter().map(|it| it.reason).collect::<Vec<_>>().join(" "),
        Reject::Fenced { .. } => "FENCED".to_owned(),
        Reject::Unavailable { reason, .. } | Reject::Precondition { reason, .. } => {
            (*reason).to_owned()
        }
        Reject::Busy { limit, .. } => format!("busy {limit}"),
        Reject::OverQuota { limit, max, retry_ms } => format!("over {max} {limit}, {retry_ms:?}"),
        Reject::AckTimeout { position, acknowledged_by, asked } => {
            format!("timeout at {position}: {} of {asked}", acknowledged_by.join(" "))
        }
        Reject::Conflict { .. } => "conflict".to_owned(),
        Reject::MovedOn { .. } => "moved on".to_owned(),
        Reject::Denied { .. }
        | Reject::NotFound { .. }
        | Reject::ResyncRequired { .. }
        | Reject::Forbidden(_)
        | Reject::NotInvited
        | Reject::Throttled { .. }
        | Reject::Storage { .. } => reject.to_string(),
    }
}

fn said(message: &Message) -> String {
    match message {
        Message::Hello(_) => "hello".to_owned(),
        Message::Heads(it) => format!("heads #{}", it.nonce),
        Message::Beacon(it) => {
            let heads: String =
                it.heads.iter().map(|it| format!(" {}={}", it.land, it.size)).collect();
            format!("beacon{heads}")
        }
        Message::Follow(it) => format!("follow {}/{} from {}", it.land, it.epoch, it.from),
        Message::Unfollow(it) => format!("unfollow {}/{}", it.land, it.epoch),
        Message::Ack(it) => format!("ack {}/{} {}", it.land, it.epoch, it.size),
        Message::Refusal(it) => {
            let reason = RefusalReason::try_from(it.reason).expect("known");
            format!("refusal {}/{} {reason:?}", it.land, it.epoch)
        }
        Message::AskHeads(it) => format!("ask #{}", it.nonce),
        Message::Receipts(it) => format!("receipts {}", it.items.len()),
        Message::Cosignatures(it) => format!("cosignatures {}", it.items.len()),
        Message::Evidence(it) => format!("evidence {}", it.items.len()),
        Message::EpochResets(it) => format!("resets {}", it.items.len()),
        Message::AskCharters(it) => format!("ask charters from {}", it.from),
        Message::Charters(it) => format!("charters from {} +{}", it.from, it.steps.len()),
        Message::AskBeginning(it) => {
            format!("ask beginning {}/{} {} of {}", it.land, it.epoch, it.size, it.of)
        }
        Message::Beginning(it) => {
            let told = if it.root.is_empty() { "no" } else { "a" };
            format!("{told} beginning {}/{} {} of {}", it.land, it.epoch, it.size, it.of)
        }
        Message::Batch(_) => "batch".to_owned(),
    }
}

fn noticed(notice: &Notice) -> String {
    match notice {
        Notice::Replication(Report::PeerFault { peer, fault }) => {
            format!("fault {} {}", peer.land, fault.label())
        }
        Notice::Replication(Report::Lapse { peer, lapse }) => {
            format!("lapse {} {}", peer.land, lapse.label())
        }
        Notice::Replication(Report::LogStopped { peer, fault }) => {
            format!("stopped by {} {}", peer.land, fault.label())
        }
        Notice::Replication(Report::LaterCharter { peer, number }) => {
            format!("later charter {number} of {}", peer.land)
        }
        Notice::Replication(Report::EpochEnded { peer, log, size }) => {
            format!("ended {log} at {size} by {}", peer.land)
        }
        Notice::Replication(Report::OverQuota { log }) => format!("over quota {log}"),
        Notice::Replication(Report::Ahead { log, ms }) => format!("{log} is {ms} ms ahead"),
        Notice::Replication(Report::Replayed { peer, log, first }) => {
            let again = if *first { "" } else { " again" };
            format!("replayed {log} by {}{again}", peer.land)
        }
        Notice::Replication(Report::Refused { peer, log }) => {
            format!("refused {} {log}", peer.land)
        }
        Notice::FenceOpened => "fence open".to_owned(),
        Notice::FenceOpenedUnfenced { waited_ms } => format!("fence unfenced {waited_ms}"),
        Notice::FenceClosed { .. } => "fence closed".to_owned(),
        Notice::Recovered { from, upto } => format!("recovered {from}..{upto}"),
        Notice::Copied { size, .. } => format!("copied {size}"),
        Notice::OwnLogFailed => "own log failed".to_owned(),
        Notice::Unsigned => "unsigned".to_owned(),
        Notice::LogFailed { log } => format!("log failed {log}"),
    }
}
