//! What speaks against the owner of a log, as its replica knows it.

use bytes::Bytes;
use registry_proto::{
    evidence::{Equivocation, EvidenceError},
    log::Hash,
};

use super::Replica;
use crate::replicate::{
    doubts::{Examination, Found, Suspect},
    fault::OwnerFault,
};

impl Replica {
    /// Proof that the owner equivocates.
    pub(crate) fn evidence(&self) -> Option<&Equivocation> {
        self.doubts.evidence.as_ref()
    }

    /// Proof that [`Replica::learn`] found, once.
    pub(crate) fn take_proved(&mut self) -> Option<Equivocation> {
        self.doubts.proved.take()
    }

    /// What [`Replica::learn`] found stops nothing: it is to be settled otherwise.
    pub(crate) fn spare(&mut self) {
        (self.doubts.proved, self.stopped) = (None, None);
    }

    /// Verifies evidence about this log.
    pub(crate) fn verify_evidence(&self, raw: &Bytes) -> Result<Equivocation, EvidenceError> {
        Equivocation::verify(raw, &self.origin, &self.keys)
    }

    /// The owner equivocates: nothing more is accepted.
    pub(crate) fn convict(&mut self, proved: Equivocation) -> OwnerFault {
        let (log, size) = (self.origin.log, proved.older().size());
        self.doubts.convicted(proved);
        self.stopped.get_or_insert(OwnerFault::Equivocation { log, size }).clone()
    }

    /// True unless the disk has yet to say whether what is durable here begins with this.
    pub(crate) fn is_looked_at(&self, size: u64, root: &Hash) -> bool {
        let durable = (self.durable, &self.durable_root) == (size, root);
        let can_be =
            self.served.as_ref().is_some_and(|it| (size..=self.durable).contains(&it.size()));
        let told = self.doubts.knows_root(size, root) || self.doubts.is_unread(size, root);
        size == 0 || durable || told || !can_be
    }

    /// True if the disk could not say whether what is here begins with this.
    pub(crate) fn is_unread(&self, size: u64, root: &Hash) -> bool {
        self.doubts.is_unread(size, root)
    }

    /// Takes note of a verified head that may contradict the tree here.
    pub(crate) fn suspect(&mut self, suspect: Suspect) {
        let same =
            |size: u64, root: &Hash| size == suspect.signed.size() && root == suspect.signed.root();
        if !same(self.durable, &self.durable_root) {
            self.doubts.add(suspect);
        }
    }

    /// The disk told a root of the tree here.
    pub(crate) fn know(&mut self, size: u64, root: Hash) {
        self.doubts.know(size, root);
    }

    /// The next head to be held against what the disk has.
    pub(crate) fn next_examination(&mut self) -> Option<Examination> {
        let against = self.served.as_ref().filter(|it| it.size() <= self.durable)?;
        self.doubts.next(self.origin.log, against)
    }

    /// What the disk says about a head; evidence if it convicts the owner.
    pub(crate) fn examined(
        &mut self,
        of: &Examination,
        found: Option<&Found>,
    ) -> Option<Equivocation> {
        self.doubts.examined(of, found)
    }
}
