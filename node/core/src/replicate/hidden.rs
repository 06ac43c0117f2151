//! What is here of the own log and nobody else is known to have seen, kept from everybody until
//! partners have said what they know.
//!
//! A node that was not stopped in order, or without a partner, may have signed entries that only its
//! disk has. If somebody went on from a copy meanwhile, to show them would make two histories of what
//! nobody but this node has seen. So after a start they are shown when the fence opens, and if they
//! are not what partners have, they are set aside.
//!
//! A head alone moves nothing away. Who shows it is asked for a beginning of its tree, which only who
//! holds the entries can prove: that it begins with what others have seen of the log here. If it does
//! not, both histories were shown to others, and that is evidence as ever.

use std::collections::BTreeMap;

use registry_proto::{
    log::{Hash, SignedCheckpoint},
    terms::LogId,
    wire::peer::{AskBeginning, Beginning, peer_message::Message},
};

use crate::{
    authorize::PeerIdentity,
    now::Now,
    replicate::{
        Heard, PeerFault, Replication, SessionId, Shown, Wish, common::proved, doubts::Suspect,
    },
};

/// How much of the own log others are known to have seen: what a receipt or cosignature of another
/// member names and is a beginning of what is here. Nothing of another history counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// What is kept back.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    end: Option<End>,
    /// Who was asked how its head leads here.
    asked: BTreeMap<SessionId, Asked>,
    /// A head of the own log contradicts it: nothing is signed before that is settled.
    doubted: bool,
    /// It is not what partners have, and is about to be set aside.
    contradicted: bool,
}

/// The end of the own log that is kept back.
#[derive(Clone, Copy, Debug)]
struct End {
    seen: Seen,
    /// Entries that were here at the start.
    here: u64,
}

/// A head that a partner is to show a beginning of.
#[derive(Debug)]
struct Asked {
    suspect: Suspect,
    /// Size of the beginning.
    at: u64,
    /// What the partner did, if the head agrees with what is here.
    fault: Option<PeerFault>,
}

// === impl Seen ===

impl Default for Seen {
    fn default() -> Self {
        Self { size: 0, root: Hash::EMPTY_ROOT }
    }
}

// === impl Hidden ===

impl Hidden {
    /// True if the end of the own log is kept back and nothing that a partner had has fitted it yet;
    /// `received` entries are verified.
    pub(super) fn may_be_astray(&self, received: u64) -> bool {
        self.end.is_some_and(|it| it.here == received)
    }
}

// === impl Replication ===

impl Replication {
    /// Keeps the own log back: of `here` entries others are known to have seen the first.
    pub(crate) fn hide_own(&mut self, here: u64, seen: Seen) {
        self.hidden.end = Some(End { seen, here });
    }

    /// Shows it from now on; partners are told with the next beacon.
    pub(crate) fn reveal_own(&mut self) {
        if self.hidden.end.take().is_some() {
            self.hidden.asked.clear();
            self.pump_followers(self.own);
        }
    }

    /// True while a log is kept back.
    pub(crate) fn hides(&self, log: LogId) -> bool {
        self.hidden_log() == Some(log)
    }

    pub(super) fn hidden_log(&self) -> Option<LogId> {
        self.hidden.end.map(|_| self.own)
    }

    /// True if a signed head is known that contradicts what was kept back.
    pub(crate) fn is_doubted(&self) -> bool {
        self.hidden.doubted
    }

    /// True unless the own log is kept back and the disk has yet to say whether it begins with what a
    /// partner showed.
    pub(crate) fn is_looked_at(&self, shown: Option<Shown>) -> bool {
        let (Some(_), Some(shown)) = (self.hidden.end, shown) else { return true };
        self.replica(self.own).is_none_or(|it| it.is_looked_at(shown.size, &shown.root))
    }

    /// True if the disk could not say that.
    pub(crate) fn is_unread(&self, shown: Shown) -> bool {
        self.replica(self.own).is_some_and(|it| it.is_unread(shown.size, &shown.root))
    }

    /// True if a head of this size may contradict only what nobody has seen.
    pub(super) fn is_unseen(&self, log: LogId, size: u64) -> bool {
        log == self.own && self.hidden.end.is_some_and(|it| size > it.seen.size)
    }

    /// A head of more entries than others have seen is not of the tree here. Who shows it is asked
    /// where both part.
    pub(super) fn doubt(&mut self, signed: SignedCheckpoint, peer: &PeerIdentity) -> Option<Heard> {
        let End { seen, .. } = self.hidden.end?;
        self.hidden.doubted = true;
        let (id, session) =
            self.sessions.iter().find(|(_, it)| it.is_open() && it.peer == *peer)?;
        let (id, held) = (*id, session.heads.get(&self.own).copied().unwrap_or_default());
        if seen.size == 0 {
            // nothing that others have seen can be contradicted
            return (held >= signed.size()).then(|| self.contradicted()).flatten();
        }
        let suspect = Suspect { signed, peer: peer.clone() };
        self.ask_end(id, Asked { suspect, at: seen.size, fault: None });
        None
    }

    /// What a partner sends under its checkpoint does not go on from what is kept back, or its proof is
    /// false. Which of both, a beginning of its tree tells.
    pub(super) fn went_astray(
        &mut self,
        id: SessionId,
        signed: SignedCheckpoint,
        fault: PeerFault,
        now: Now,
    ) {
        // another partner may do better meanwhile
        self.turn_away(id, self.own, now);
        let (Some(End { here, .. }), Some(session)) = (self.hidden.end, self.sessions.get(&id))
        else {
            return;
        };
        let suspect = Suspect { signed, peer: session.peer.clone() };
        self.ask_end(id, Asked { suspect, at: here, fault: Some(fault) });
    }

    /// Asks, unless this partner has yet to answer another such question.
    fn ask_end(&mut self, id: SessionId, asked: Asked) {
        let sessions = &self.sessions;
        self.hidden.asked.retain(|id, _| sessions.contains_key(id));
        if self.hidden.asked.contains_key(&id) || self.hidden.contradicted {
            return;
        }
        let (land, epoch) = (self.own.land.code().to_owned(), self.own.epoch);
        let ask = AskBeginning { land, epoch, size: asked.at, of: asked.suspect.signed.size() };
        self.hidden.asked.insert(id, asked);
        self.send(id, Message::AskBeginning(ask));
    }

    /// A partner answers. Who cannot prove the beginning of its tree does not hold it; another may.
    pub(super) fn told_end(&mut self, id: SessionId, told: &Beginning, now: Now) -> Option<Heard> {
        let End { seen, here } = self.hidden.end?;
        let of = |it: &Asked| (it.at, it.suspect.signed.size());
        self.hidden.asked.get(&id).filter(|it| of(it) == (told.size, told.of))?;
        let Asked { suspect, at, fault } = self.hidden.asked.remove(&id)?;
        let root = proved(told, &(suspect.signed.size(), *suspect.signed.root()))?;
        if at == here && fault.is_some() {
            let ours = self.replica(self.own).map(|it| it.durable_root());
            if ours == Some(root) {
                self.not_taken(id, self.own, fault?, now).ok()?;
                return None;
            }
            self.hidden.doubted = true;
            if seen.size > 0 {
                self.ask_end(id, Asked { suspect, at: seen.size, fault: None });
                return None;
            }
        } else if root != seen.root {
            // others have seen what this contradicts: shown and proved as ever
            self.reveal_own();
            self.suspect(self.own, suspect.signed, suspect.peer);
            return None;
        }
        self.contradicted()
    }

    /// What is kept back is not what partners have: nobody is told of it, and it is set aside.
    fn contradicted(&mut self) -> Option<Heard> {
        if std::mem::replace(&mut self.hidden.contradicted, true) {
            return None;
        }
        self.recovered_own();
        self.wishes.push_back(Wish::SetAside(self.own));
        Some(Heard::OwnEndContradicted)
    }

    /// True if a node of another member has a session here.
    pub(crate) fn has_partner(&self) -> bool {
        self.partners().next().is_some()
    }

    /// True when each of them says that it holds so much of the own log durably.
    pub(crate) fn is_held_by_partners(&self, size: u64) -> bool {
        let held = |id| self.sessions.get(&id).and_then(|it| it.heads.get(&self.own));
        self.partners().all(|id| held(id).is_some_and(|it| *it >= size))
    }

    fn partners(&self) -> impl Iterator<Item = SessionId> {
        let open = self.sessions.iter().filter(|(_, it)| it.is_open());
        open.filter(|(_, it)| it.peer.land != self.own.land).map(|(id, _)| *id)
    }
}
