//! Makes the tiles of a journal again where they are not what its headers say.

use registry_proto::log::{Frontier, leaf_hash};

use crate::{Journal, ReadError, tiles::TileWriter};

/// Entries read at once.
const READ_ENTRIES: usize = 10_000;

// === impl Journal ===

impl Journal {
    /// The tree of the first `size` entries, made of their headers alone.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`], [`ReadError::Damaged`] if one of them cannot be read, whatever became of
    /// the bodies, [`ReadError::Io`].
    pub fn tree_of_headers(&self, size: u64) -> Result<Frontier, ReadError> {
        let (reader, mut tree) = (self.reader(), Frontier::default());
        if size > reader.size() {
            return Err(ReadError::OutOfRange { index: reader.size(), size: reader.size() });
        }
        while tree.size() < size {
            let most = usize::try_from(size - tree.size()).unwrap_or(usize::MAX);
            let headers = reader.headers(tree.size(), most.min(READ_ENTRIES))?;
            headers.iter().for_each(|it| tree.push(leaf_hash(it)));
        }
        Ok(tree)
    }

    /// Makes the tiles again from the headers, up to the first one that cannot be read: from there
    /// on they may know what is lost, and stay. Tells how many hashes in them were others.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`].
    pub fn retile(&mut self) -> Result<u64, ReadError> {
        let reader = self.reader();
        let size = reader.frontier().size();
        let (mut tiles, _) = TileWriter::begin(&self.shared.tiles);
        let (mut next, mut rewritten) = (0, 0);
        while next < size {
            let most = usize::try_from(size - next).unwrap_or(usize::MAX).min(READ_ENTRIES);
            let headers = match reader.headers(next, most) {
                Ok(headers) => headers,
                Err(failure @ ReadError::Io { .. }) => return Err(failure),
                Err(_) => break,
            };
            next += headers.len() as u64;
            headers.iter().for_each(|it| tiles.push(leaf_hash(it)));
            rewritten += tiles.settle()?;
        }
        tiles.sync()?;
        Ok(rewritten)
    }
}
