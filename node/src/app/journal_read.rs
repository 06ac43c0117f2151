//! A journal on disk, as the read side sees it.

use registry_journal::{CheckpointRecord, Reader, StoredBody};
use registry_proto::log::{Hash, HashTiles};

use crate::journals::{JournalRead, ReadError, Signed, Stored};

impl JournalRead for Reader {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn read(
        &self,
        from: u64,
        bytes_max: usize,
        entries_max: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let entries = Self::read(self, from, bytes_max, entries_max)
            .map_err(|error| ReadError(Box::new(error)))?;
        Ok(entries.into_iter().map(stored).collect())
    }

    fn checkpoint_over(&self, index: u64) -> Option<Signed> {
        // what a reset keeps may be here without any checkpoint of its owner
        let over = Self::checkpoint_over(self, index)?;
        let CheckpointRecord { note, note_size: size, proof } = over.record;
        Some(Signed { note, size, here: over.covers, proof })
    }

    fn hashes(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError> {
        HashTiles::read(self, level, from, count).map_err(|error| ReadError(Box::new(error)))
    }
}

fn stored(entry: registry_journal::Stored) -> Stored {
    let erased = entry.body == StoredBody::Erased;
    let body = match entry.body {
        StoredBody::Present { salt, bytes } => Some((salt, bytes)),
        StoredBody::Withheld | StoredBody::Erased => None,
    };
    Stored {
        index: entry.index,
        header: entry.header,
        body,
        erased,
        received_unix_ms: entry.received_unix_ms,
    }
}
