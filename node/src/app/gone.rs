//! Bodies that are gone from the logs of the own Land: where no erasure that counts says so, because a
//! reset discarded it or it was set aside with the end of the log, the node says it again.

use std::collections::HashMap;

use registry_core::log::OwnServices;
use registry_journal::{Reader, Stored, StoredBody};
use registry_proto::{
    erasure::{Erasing, is_erasure},
    log::{Hash, Header, leaf_hash},
    terms::LogId,
};

use crate::{driver::writer::stored_body, forged::is_forged};

/// What was found in the own journals.
#[derive(Debug, Default)]
pub(super) struct Gone {
    entries: Vec<(Header, Hash)>,
    /// Why, by entry and its leaf.
    said: HashMap<(LogId, u64, Hash), String>,
}

// === impl Gone ===

impl Gone {
    /// Looks at an entry of the own Land, as far as its epoch counts.
    pub(super) fn look(&mut self, entry: &Stored, header: &Header) {
        if entry.body == StoredBody::Erased {
            self.entries.push((header.clone(), leaf_hash(&entry.header)));
        }
    }

    /// Looks at what a reset discarded of an epoch.
    pub(super) fn look_beyond(&mut self, reader: &Reader, counts: u64) {
        beyond(reader, counts, |entry, header| {
            self.look(entry, header);
            self.hear(entry, header);
        });
    }

    /// Takes the reasons of erasures that are about to be set aside with the end of the log, behind the
    /// first `kept` entries. What they erased there nobody else has.
    pub(super) fn hear_aside(&mut self, reader: &Reader, kept: u64) {
        beyond(reader, kept, |entry, header| self.hear(entry, header));
    }

    fn hear(&mut self, entry: &Stored, header: &Header) {
        let counts = is_erasure(&entry.header) && !is_forged(header, entry);
        let body = stored_body(entry).filter(|_| counts);
        let said = body.and_then(|body| Erasing::read(header, body).ok());
        self.said.extend(said.map(|it| ((it.log, it.index, it.leaf), it.grund)));
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

/// Looks at all that can be read behind the first so many entries; what cannot is in nobody's way.
fn beyond(reader: &Reader, counts: u64, mut look: impl FnMut(&Stored, &Header)) {
    let mut next = counts;
    while next < reader.size() {
        let Ok(entries) = reader.read(next, CHUNK_BYTES, CHUNK_ENTRIES) else {
            next += 1;
            continue;
        };
        next += entries.len().max(1) as u64;
        for entry in &entries {
            if let Ok(header) = Header::parse(&entry.header) {
                look(entry, &header);
            }
        }
    }
}

const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use registry_journal::{Journal, StoredBody};
    use registry_proto::{log::Kind, terms::Land, wire::registry::Erasure};

    use super::*;
    use crate::testing::{Item, MemoryJournal, NUMBER_A, on_disk};

    /// Three definitions, of which the newest entry erases the second, and nothing has its body.
    fn journal(dir: &std::path::Path) -> Journal {
        let memory = MemoryJournal::of(Land::SL);
        for n in 0..3 {
            memory.append(&[Item::Define(n, NUMBER_A)]);
        }
        let leaf_hash = memory.leaves()[1].as_bytes().to_vec().into();
        let said = Erasure { index: 1, leaf_hash, grund: "Probe".to_owned(), epoch: 0 };
        memory.append(&[Item::Body(Kind::Erasure, 1, said.encode_to_vec().into())]);
        let mut journal = on_disk(dir, &memory);
        journal.erase(1).expect("overwritten");
        journal
    }

    #[test]
    fn what_was_discarded_is_found_with_its_reason_and_what_counts_is_not_said_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = journal(dir.path()).reader();
        let stored = reader.read(0, usize::MAX, usize::MAX).expect("read");
        assert_eq!(stored[1].body, StoredBody::Erased);
        let found = |counts: usize, aside: bool| {
            let mut gone = Gone::default();
            let mut services = OwnServices::default();
            for entry in &stored[..counts] {
                let header = Header::parse(&entry.header).expect("a header");
                let body = stored_body(entry).map(|it| it.as_ref());
                services.learn(&header, leaf_hash(&entry.header), body);
                gone.look(entry, &header);
            }
            if aside {
                gone.hear_aside(&reader, counts as u64);
            } else {
                gone.look_beyond(&reader, counts as u64);
            }
            let said: Vec<_> = gone.said.values().cloned().collect();
            (gone.entries.len(), said, gone.tell(&mut services))
        };
        let probe = || vec!["Probe".to_owned()];
        assert_eq!(found(3, false), (1, probe(), 1));
        // what is not kept itself is erased for those who still have it
        assert_eq!(found(1, false), (1, probe(), 1));
        // it counts
        assert_eq!(found(4, false), (1, vec![], 0));
        // of what is set aside of a log that goes on, nobody else has what it erased there
        assert_eq!(found(3, true), (1, probe(), 1));
        assert_eq!(found(1, true), (0, probe(), 0));
    }
}
