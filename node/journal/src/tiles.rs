//! Hash tiles: the tree as flat files, derived from the headers.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use registry_proto::log::{Frontier, Hash, node_hash, tile_root};

use crate::{
    disk::{self, Create},
    error::Failure,
    format::HASH_BYTES,
};

/// Tile levels; 256^8 leaves are more than an index can name.
pub(crate) const LEVELS: usize = 8;
const WIDTH: usize = 256;

/// The files, for reading.
#[derive(Debug)]
pub(crate) struct TileFiles {
    dir: PathBuf,
    levels: [OnceLock<File>; LEVELS],
}

/// Adds leaves. What is pushed reaches the files with [`TileWriter::flush`].
#[derive(Debug)]
pub(crate) struct TileWriter {
    files: Arc<TileFiles>,
    levels: [Level; LEVELS],
}

#[derive(Debug, Default)]
struct Level {
    /// Hashes in the file.
    written: u64,
    /// Bytes that follow them.
    pending: Vec<u8>,
    /// Hashes of the last tile, as long as it is incomplete.
    partial: Vec<Hash>,
}

// === impl TileFiles ===

impl TileFiles {
    /// Opens the files that are there.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        disk::create_dir(dir)?;
        let files = Self { dir: dir.to_owned(), levels: Default::default() };
        for level in 0..LEVELS {
            let path = files.path(level);
            if path.exists() {
                let _ = files.levels[level].set(disk::open_rw(&path, Create::Never)?);
            }
        }
        Ok(files)
    }

    fn path(&self, level: usize) -> PathBuf {
        self.dir.join(format!("{level}.hashes"))
    }

    /// The file of a level, created if absent.
    fn file(&self, level: usize) -> Result<&File, Failure> {
        match self.levels[level].get() {
            Some(file) => Ok(file),
            None => {
                let file = disk::open_rw(&self.path(level), Create::IfAbsent)?;
                Ok(self.levels[level].get_or_init(|| file))
            }
        }
    }

    /// Hashes in the file of a level.
    pub(crate) fn len(&self, level: usize) -> Result<u64, Failure> {
        match self.levels[level].get() {
            Some(file) => Ok(disk::len(file, &self.path(level))? / HASH_BYTES as u64),
            None => Ok(0),
        }
    }

    /// `count` hashes of a level. `None` if the file does not hold them all.
    pub(crate) fn read(
        &self,
        level: usize,
        from: u64,
        count: usize,
    ) -> Result<Option<Vec<Hash>>, Failure> {
        let Some(file) = self.levels.get(level).and_then(OnceLock::get) else {
            return Ok((count == 0).then(Vec::new));
        };
        let Some(offset) = from.checked_mul(HASH_BYTES as u64) else { return Ok(None) };
        let bytes = disk::read_at(file, &self.path(level), offset, count * HASH_BYTES)?;
        let hashes = bytes.chunks_exact(HASH_BYTES).map(Hash::try_from).collect::<Result<_, _>>();
        Ok(hashes.ok().filter(|hashes: &Vec<Hash>| hashes.len() == count))
    }
}

// === impl TileWriter ===

impl TileWriter {
    /// Goes on after `size` leaves, with the tree that the files hold. `None` if they are too
    /// short for that.
    pub(crate) fn resume(
        files: &Arc<TileFiles>,
        size: u64,
    ) -> Result<Option<(Self, Frontier)>, Failure> {
        let mut levels: [Level; LEVELS] = Default::default();
        for (number, level) in levels.iter_mut().enumerate() {
            level.written = size >> (8 * number);
            let partial = level.written % WIDTH as u64;
            let from = level.written - partial;
            match files.read(number, from, partial as usize)? {
                Some(hashes) => level.partial = hashes,
                None => return Ok(None),
            }
            if files.len(number)? < level.written {
                return Ok(None);
            }
        }
        let mut peaks = Vec::new();
        for level in levels.iter().rev() {
            push_peaks(&level.partial, &mut peaks);
        }
        let writer = Self { files: Arc::clone(files), levels };
        Ok(Frontier::from_peaks(size, peaks).map(|frontier| (writer, frontier)))
    }

    /// Begins without leaves.
    pub(crate) fn begin(files: &Arc<TileFiles>) -> (Self, Frontier) {
        (Self { files: Arc::clone(files), levels: Default::default() }, Frontier::default())
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in &mut self.levels {
            level.pending.extend_from_slice(hash.as_bytes());
            level.partial.push(hash);
            let Ok(tile) = <&[Hash; WIDTH]>::try_from(level.partial.as_slice()) else { return };
            hash = tile_root(tile);
            level.partial.clear();
        }
    }

    /// Writes what is pending, without syncing it.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.pending.is_empty() {
                continue;
            }
            let file = self.files.file(number)?;
            let at = level.written * HASH_BYTES as u64;
            disk::write_at(file, &self.files.path(number), &level.pending, at)?;
            level.advance();
        }
        Ok(())
    }

    /// Like [`TileWriter::flush`], but writes only what is not there already. Says how many hashes
    /// were not.
    pub(crate) fn settle(&mut self) -> Result<u64, Failure> {
        let mut rewritten = 0;
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.pending.is_empty() {
                continue;
            }
            let (file, path) = (self.files.file(number)?, self.files.path(number));
            let at = level.written * HASH_BYTES as u64;
            let there = disk::read_at(file, &path, at, level.pending.len())?;
            if there != level.pending {
                let same = there
                    .chunks(HASH_BYTES)
                    .zip(level.pending.chunks(HASH_BYTES))
                    .filter(|(a, b)| a == b)
                    .count();
                rewritten += (level.pending.len() / HASH_BYTES - same) as u64;
                disk::write_at(file, &path, &level.pending, at)?;
            }
            level.advance();
        }
        Ok(rewritten)
    }

    /// Removes what stands in the files beyond the leaves pushed: it belonged to entries that
    /// were cut.
    pub(crate) fn trim(&self) -> Result<(), Failure> {
        for (number, level) in self.levels.iter().enumerate() {
            let Some(file) = self.files.levels[number].get() else { continue };
            let (path, length) = (self.files.path(number), level.written * HASH_BYTES as u64);
            if disk::len(file, &path)? > length {
                disk::set_len(file, &path, length)?;
                disk::sync(file, &path)?;
            }
        }
        Ok(())
    }

    /// Makes the files durable.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        for number in 0..LEVELS {
            if let Some(file) = self.files.levels[number].get() {
                disk::sync(file, &self.files.path(number))?;
            }
        }
        Ok(())
    }
}

// === impl Level ===

impl Level {
    fn advance(&mut self) {
        self.written += (self.pending.len() / HASH_BYTES) as u64;
        self.pending.clear();
    }
}

/// Roots of the complete subtrees over the hashes of an incomplete tile, largest first.
fn push_peaks(mut hashes: &[Hash], peaks: &mut Vec<Hash>) {
    while !hashes.is_empty() {
        let width = 1 << hashes.len().ilog2();
        let (subtree, rest) = hashes.split_at(width);
        let mut level = subtree.to_vec();
        while level.len() > 1 {
            level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        peaks.extend(level);
        hashes = rest;
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::log::leaf_hash;

    use super::*;

    #[test]
    fn resumed_edge_is_the_frontier_at_every_size() {
        let dir = tempfile::tempdir().unwrap();
        let files = Arc::new(TileFiles::open(&dir.path().join("tiles")).unwrap());
        let (mut writer, mut frontier) = TileWriter::resume(&files, 0).unwrap().unwrap();
        for i in 0..1_000_u32 {
            let leaf = leaf_hash(&i.to_le_bytes());
            writer.push(leaf);
            frontier.push(leaf);
            if i % 7 == 0 {
                writer.flush().unwrap();
                let (_, resumed) = TileWriter::resume(&files, frontier.size()).unwrap().unwrap();
                assert_eq!(resumed, frontier);
            }
        }
        assert!(TileWriter::resume(&files, 1_001).unwrap().is_none());
    }
}
