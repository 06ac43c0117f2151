//! A journal on disk, as the read side sees it.

use bytes::Bytes;
use registry_journal::{Reader, StoredBody};
use registry_proto::log::{Hash, HashTiles};

use crate::journals::{JournalRead, ReadError, Stored};

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

    fn checkpoint(&self) -> Option<(u64, Bytes)> {
        let newest = self.last_complete_checkpoint()?;
        // what a reset keeps may be here without any checkpoint of its owner
        (!newest.record.note.is_empty()).then_some((newest.covers, newest.record.note))
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
