//! What speaks for and against the owner of a log: the roots it stands for, and heads that have
//! yet to be held against them.

use std::collections::VecDeque;

use registry_proto::{
    evidence::Equivocation,
    log::{Hash, SignedCheckpoint},
    terms::LogId,
};

use crate::{authorize::PeerIdentity, limits};

/// A root of a log at a size, proved to be the beginning of what the owner signed in `note`.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    note: SignedCheckpoint,
    /// Consistency proof from here to `note`; empty when `note` signs this size.
    proof: Vec<Hash>,
}

/// A signed head that is to be compared with the tree here.
#[derive(Clone, Debug)]
pub(crate) struct Suspect {
    pub(crate) signed: SignedCheckpoint,
    /// Who showed it.
    pub(crate) peer: PeerIdentity,
}

/// A question to the disk: which root has the log at the size of `suspect`, and how does it lead
/// to `against`?
///
/// The shell MUST answer each with `Input::Examined`; no other of the log is asked before.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The log.
    pub log: LogId,
    /// The head in question.
    pub suspect: SignedCheckpoint,
    /// Newest head that the entries here cover; at least as large.
    pub against: SignedCheckpoint,
    /// Who showed the head in question.
    pub peer: PeerIdentity,
}

/// What the disk says.
#[derive(Clone, Debug)]
pub struct Found {
    /// Root at the size of the suspect.
    pub root: Hash,
    /// Consistency proof from there to the head it was held against.
    pub proof: Vec<Hash>,
}

// === impl Point ===

impl Point {
    /// What a checkpoint itself says.
    pub(crate) fn signed(note: &SignedCheckpoint) -> Self {
        Self { size: note.size(), root: *note.root(), note: note.clone(), proof: Vec::new() }
    }

    /// A beginning of what `note` signs. `proof` MUST have been checked.
    pub(crate) fn under(size: u64, root: Hash, note: SignedCheckpoint, proof: Vec<Hash>) -> Self {
        Self { size, root, note, proof }
    }

    /// The checkpoint, if it signs exactly this.
    pub(crate) fn complete(&self) -> Option<&SignedCheckpoint> {
        (self.note.size() == self.size).then_some(&self.note)
    }

    /// Proof that whoever signed both equivocates; `None` when `signed` is of another size or
    /// agrees.
    pub(crate) fn convicts(&self, signed: &SignedCheckpoint) -> Option<Equivocation> {
        if signed.size() != self.size || *signed.root() == self.root {
            return None;
        }
        match self.complete() {
            Some(note) => Equivocation::of_one_size(note, signed),
            None => Equivocation::of_two_sizes(signed, &self.note, &self.root, &self.proof).ok(),
        }
    }
}

// === impl Examination ===

impl Examination {
    /// Proof of equivocation, if that is what the disk found; `Err` when the answer does not even
    /// lead to what is here (a damaged disk convicts nobody).
    pub(crate) fn judge(&self, found: &Found) -> Result<Option<Equivocation>, Unusable> {
        let (suspect, against) = (&self.suspect, &self.against);
        if found.root == *suspect.root() {
            return Ok(None);
        }
        if suspect.size() == against.size() {
            return Equivocation::of_one_size(suspect, against).ok_or(Unusable).map(Some);
        }
        Equivocation::of_two_sizes(suspect, against, &found.root, &found.proof)
            .map(Some)
            .map_err(|_| Unusable)
    }
}

/// What was read from the disk contradicts what is verified here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusable;

/// What is known about the honesty of an owner.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Proof that it equivocates, passed on already.
    pub(crate) evidence: Option<Equivocation>,
    /// The same, found a moment ago.
    pub(crate) proved: Option<Equivocation>,
    /// Roots (with their sizes) of the tree here that were at hand lately.
    known: VecDeque<(u64, Hash)>,
    /// Heads to be held against the tree here, oldest first.
    suspects: VecDeque<Suspect>,
    /// Heads that the disk could say nothing about, lately.
    unread: VecDeque<(u64, Hash)>,
    examining: bool,
}

// === impl Doubts ===

impl Doubts {
    /// Remembers a root of the tree here.
    pub(crate) fn know(&mut self, size: u64, root: Hash) {
        if self.known.len() >= limits::ROOTS_KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((size, root));
    }

    /// The matter is settled.
    pub(crate) fn convicted(&mut self, proved: Equivocation) {
        self.evidence = Some(proved);
        self.suspects.clear();
    }

    /// A verified head that may contradict the tree here.
    pub(crate) fn add(&mut self, suspect: Suspect) {
        let signed = &suspect.signed;
        let waits = |it: &Suspect| it.signed.checkpoint == signed.checkpoint;
        let settled = signed.size() == 0 || self.evidence.is_some() || self.knows(signed);
        if settled || self.suspects.iter().any(waits) {
            return;
        }
        if self.suspects.len() >= limits::SUSPECTS_MAX {
            self.suspects.pop_front();
        }
        self.suspects.push_back(suspect);
    }

    /// The next head that the entries here reach, `against` being the newest they cover; none
    /// while one is looked at.
    pub(crate) fn next(&mut self, log: LogId, against: &SignedCheckpoint) -> Option<Examination> {
        if self.examining {
            return None;
        }
        let suspects = std::mem::take(&mut self.suspects);
        self.suspects = suspects.into_iter().filter(|it| !self.knows(&it.signed)).collect();
        let at = self.suspects.iter().position(|it| it.signed.size() <= against.size())?;
        let Suspect { signed: suspect, peer } = self.suspects.remove(at)?;
        self.examining = true;
        Some(Examination { log, suspect, against: against.clone(), peer })
    }

    /// The disk has answered, or cannot; evidence if that convicts the owner.
    pub(crate) fn examined(
        &mut self,
        of: &Examination,
        found: Option<&Found>,
    ) -> Option<Equivocation> {
        self.examining = false;
        let head = (of.suspect.size(), *of.suspect.root());
        self.unread.retain(|it| *it != head);
        let judged = found.map(|it| (it, of.judge(it)));
        let Some((found, Ok(proved))) = judged else {
            if self.unread.len() >= limits::SUSPECTS_MAX {
                self.unread.pop_front();
            }
            self.unread.push_back(head);
            return None;
        };
        if proved.is_none() {
            self.know(of.suspect.size(), found.root);
        }
        proved
    }

    /// True if the disk could say nothing about a head when it was asked last.
    pub(crate) fn is_unread(&self, size: u64, root: &Hash) -> bool {
        self.unread.iter().any(|it| (it.0, &it.1) == (size, root))
    }

    /// True when a checkpoint is known to be of the tree here.
    pub(crate) fn knows(&self, signed: &SignedCheckpoint) -> bool {
        self.knows_root(signed.size(), signed.root())
    }

    /// True when the tree here is known to have this root at this size.
    pub(crate) fn knows_root(&self, size: u64, root: &Hash) -> bool {
        self.known.iter().any(|it| (it.0, &it.1) == (size, root))
    }
}
