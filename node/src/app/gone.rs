//! Bodies that are gone from epochs of the own Land that ended: where no erasure that counts says so,
//! because a reset discarded it, the node says it again.

use std::collections::HashMap;

use registry_core::log::OwnServices;
use registry_journal::{Reader, Stored, StoredBody};
use registry_proto::{
    erasure::{Erasing, is_erasure},
    log::{Hash, Header, leaf_hash},
    terms::LogId,
};

use crate::driver::writer::stored_body;

/// What was found in the own journals.
#[derive(Debug)]
pub(super) struct Gone {
    newest: LogId,
    entries: Vec<(Header, Hash)>,
    /// Why, by entry and its leaf.
    said: HashMap<(LogId, u64, Hash), String>,
}

// === impl Gone ===

impl Gone {
    /// Nothing is found yet; `newest` is the epoch that runs.
    pub(super) fn before(newest: LogId) -> Self {
        Self { newest, entries: Vec::new(), said: HashMap::new() }
    }

    /// Looks at an entry of the own Land, as far as its epoch counts.
    pub(super) fn look(&mut self, entry: &Stored, header: &Header) {
        if header.log != self.newest && entry.body == StoredBody::Erased {
            self.entries.push((header.clone(), leaf_hash(&entry.header)));
        }
    }

    /// Looks at what a reset discarded of an epoch. What cannot be read there is in nobody's way.
    pub(super) fn look_beyond(&mut self, reader: &Reader, counts: u64) {
        let mut next = counts;
        while next < reader.size() {
            let Ok(entries) = reader.read(next, CHUNK_BYTES, CHUNK_ENTRIES) else {
                next += 1;
                continue;
            };
            next += entries.len().max(1) as u64;
            for entry in &entries {
                let Ok(header) = Header::parse(&entry.header) else { continue };
                self.look(entry, &header);
                let body = stored_body(entry).filter(|_| is_erasure(&entry.header));
                let said = body.and_then(|body| Erasing::read(&header, body).ok());
                self.said.extend(said.map(|it| ((it.log, it.index, it.leaf), it.grund)));
            }
        }
    }

    /// Tells the core what is gone; how many erasures it will say.
    pub(super) fn tell(self, services: &mut OwnServices) -> usize {
        for (header, leaf) in self.entries {
            let grund = self.said.get(&(header.log, header.index, leaf));
            services.gone(&header, leaf, grund.map(String::as_str));
        }
        services.erasures_to_say()
    }
}

const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use registry_journal::{
        Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options, StoredBody,
    };
    use registry_proto::{log::Kind, terms::Land, wire::registry::Erasure};

    use super::*;
    use crate::testing::{Item, MemoryJournal, NUMBER_A, verbund};

    /// Three definitions, of which the newest entry erases the second, and nothing has its body.
    fn journal(dir: &std::path::Path) -> Journal {
        let memory = MemoryJournal::of(Land::SL);
        for n in 0..3 {
            memory.append(&[Item::Define(n, NUMBER_A)]);
        }
        let leaf_hash = memory.leaves()[1].as_bytes().to_vec().into();
        let said = Erasure { index: 1, leaf_hash, grund: "Probe".to_owned(), epoch: 0 };
        memory.append(&[Item::Body(Kind::Erasure, 1, said.encode_to_vec().into())]);
        let label = Label { verbund: *verbund().as_bytes(), land: "SL".to_owned(), epoch: 1 };
        let (mut journal, _) =
            Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("opens");
        let entries = memory.entries();
        let refs: Vec<_> = entries
            .iter()
            .map(|it| {
                let (salt, bytes) = it.body.as_ref().expect("a body");
                EntryRef { header: &it.header, body: Body::Present { salt, bytes } }
            })
            .collect();
        let checkpoint =
            CheckpointRecord { note: b"note"[..].into(), note_size: 4, proof: Vec::new() };
        let (entries, checkpoint) = (&refs[..], &checkpoint);
        let group = Group { entries, checkpoint, received_unix_ms: 1, from: "" };
        journal.append(&group).expect("durable");
        journal.erase(1).expect("overwritten");
        journal
    }

    #[test]
    fn what_a_reset_discarded_is_found_with_its_reason_and_what_counts_is_not_said_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = journal(dir.path()).reader();
        let stored = reader.read(0, usize::MAX, usize::MAX).expect("read");
        assert_eq!(stored[1].body, StoredBody::Erased);
        let found = |epoch, counts: usize| {
            let mut gone = Gone::before(LogId { land: Land::SL, epoch });
            let mut services = OwnServices::default();
            for entry in &stored[..counts] {
                let header = Header::parse(&entry.header).expect("a header");
                let body = stored_body(entry).map(|it| it.as_ref());
                services.learn(&header, leaf_hash(&entry.header), body);
                gone.look(entry, &header);
            }
            gone.look_beyond(&reader, counts as u64);
            let said: Vec<_> = gone.said.values().cloned().collect();
            (gone.entries.len(), said, gone.tell(&mut services))
        };
        let probe = || vec!["Probe".to_owned()];
        assert_eq!(found(2, 3), (1, probe(), 1));
        // what is not kept itself is erased for those who still have it
        assert_eq!(found(2, 1), (1, probe(), 1));
        // it counts, or the epoch still runs
        assert_eq!(found(2, 4), (1, vec![], 0));
        assert_eq!(found(1, 4), (0, vec![], 0));
    }
}
