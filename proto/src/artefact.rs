//! How a file is cut into chunks: what is sent, verified, stored and resumed.

use sha2::{Digest, Sha256};

use crate::{
    log::{Hash, HashLengthError},
    wire::registry::Artefakt,
};

/// Bytes of a chunk; the last one of an artefact may be shorter.
pub const CHUNK_BYTES: u32 = 8 << 20;
/// Bytes of an artefact.
pub const ARTEFACT_BYTES_MAX: u64 = 2 << 30;
/// Chunks of an artefact.
pub const CHUNKS_MAX: usize = (ARTEFACT_BYTES_MAX / CHUNK_BYTES as u64) as usize;
/// Bytes of one frame on the wire.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Chunks one request may ask about.
pub const CHUNKS_ASKED_MAX: usize = 1_024;
/// Artefacts one request may ask about.
pub const ARTEFACTS_ASKED_MAX: usize = 64;
/// Types of artefacts that describe an interface: nodes compare them with those of the version before.
pub const COMPARED_TYPES: [&str; 3] = ["openapi", "json_schema", "xdatenfelder"];
/// Bytes of an artefact that is compared.
pub const COMPARED_BYTES_MAX: u64 = 4 << 20;

const _: () = assert!(FRAME_BYTES_MAX <= CHUNK_BYTES as usize);
const _: () = assert!(CHUNKS_ASKED_MAX >= CHUNKS_MAX);
const _: () = assert!(ARTEFACT_BYTES_MAX.is_multiple_of(CHUNK_BYTES as u64));

/// A descriptor whose length and chunks fit each other. Whether the digests are those of any file
/// only the bytes can tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layout {
    sha256: Hash,
    bytes: u64,
    chunks: Vec<Hash>,
}

/// A descriptor that hangs together with no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Too long.
    #[error("{bytes} bytes; an artefact has at most {ARTEFACT_BYTES_MAX}")]
    Bytes {
        /// As stated.
        bytes: u64,
    },
    /// Another number of chunks than the length asks for.
    #[error("{found} chunks; {bytes} bytes have {expected}")]
    Chunks {
        /// Chunks named.
        found: usize,
        /// Length stated.
        bytes: u64,
        /// Chunks of that length.
        expected: u64,
    },
    /// A digest is none.
    #[error("digest of {what}")]
    Digest {
        /// Of what ("the whole", "chunk 3").
        what: String,
        /// Why.
        #[source]
        source: HashLengthError,
    },
}

/// Computes the digests of a file that is read from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Digester {
    whole: Sha256,
    chunk: Sha256,
    in_chunk: u32,
    bytes: u64,
    chunks: Vec<Hash>,
}

// === impl Layout ===

impl Layout {
    /// Judges the form of a descriptor.
    ///
    /// # Errors
    ///
    /// [`LayoutError`].
    pub fn of(descriptor: &Artefakt) -> Result<Self, LayoutError> {
        let bytes = descriptor.bytes;
        if bytes > ARTEFACT_BYTES_MAX {
            return Err(LayoutError::Bytes { bytes });
        }
        let (found, expected) = (descriptor.chunks.len(), bytes.div_ceil(CHUNK_BYTES.into()));
        if found as u64 != expected {
            return Err(LayoutError::Chunks { found, bytes, expected });
        }
        let digest = |what: &dyn Fn() -> String, raw: &[u8]| {
            Hash::try_from(raw).map_err(|source| LayoutError::Digest { what: what(), source })
        };
        let sha256 = digest(&|| "the whole".to_owned(), &descriptor.sha256)?;
        let chunks = descriptor.chunks.iter().enumerate();
        let chunks = chunks.map(|(at, raw)| digest(&|| format!("chunk {at}"), raw));
        Ok(Self { sha256, bytes, chunks: chunks.collect::<Result<_, _>>()? })
    }

    /// SHA-256 of all bytes.
    pub fn sha256(&self) -> Hash {
        self.sha256
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Digest and length of each chunk, in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = (Hash, u32)> {
        let all = self.chunks.iter().copied().enumerate();
        all.map(|(at, chunk)| (chunk, self.chunk_bytes(at)))
    }

    fn chunk_bytes(&self, at: usize) -> u32 {
        let left = self.bytes.saturating_sub(at as u64 * u64::from(CHUNK_BYTES));
        u32::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)
    }
}

// === impl Digester ===

impl Default for Digester {
    fn default() -> Self {
        Self {
            whole: Sha256::new(),
            chunk: Sha256::new(),
            in_chunk: 0,
            bytes: 0,
            chunks: Vec::new(),
        }
    }
}

impl Digester {
    /// Takes the next bytes.
    pub fn update(&mut self, mut data: &[u8]) {
        self.whole.update(data);
        self.bytes += data.len() as u64;
        while !data.is_empty() {
            let room = (CHUNK_BYTES - self.in_chunk) as usize;
            let (now, rest) = data.split_at(room.min(data.len()));
            self.chunk.update(now);
            self.in_chunk += now.len() as u32; // at most a chunk
            if self.in_chunk == CHUNK_BYTES {
                self.end_chunk();
            }
            data = rest;
        }
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digests of what was taken.
    pub fn finish(mut self) -> Layout {
        if self.in_chunk > 0 {
            self.end_chunk();
        }
        let sha256 = Hash::from_bytes(self.whole.finalize().into());
        Layout { sha256, bytes: self.bytes, chunks: self.chunks }
    }

    fn end_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunks.push(Hash::from_bytes(chunk.finalize().into()));
        self.in_chunk = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(layout: &Layout) -> Artefakt {
        let raw = |hash: Hash| hash.as_bytes().to_vec().into();
        Artefakt {
            bytes: layout.bytes(),
            sha256: raw(layout.sha256()),
            chunks: layout.chunks().map(|(hash, _)| raw(hash)).collect(),
            ..Artefakt::default()
        }
    }

    fn digested(data: &[u8], step: usize) -> Layout {
        let mut digester = Digester::default();
        data.chunks(step).for_each(|part| digester.update(part));
        digester.finish()
    }

    #[test]
    fn chunks_are_the_same_however_a_file_is_read() {
        let data: Vec<u8> = (0..CHUNK_BYTES + 5).map(|at| at as u8).collect();
        let layout = digested(&data, data.len());
        assert_eq!(layout, digested(&data, 3_000_001));
        assert_eq!(layout.sha256(), Hash::of(&data));
        let (first, last) = data.split_at(CHUNK_BYTES as usize);
        let chunks: Vec<_> = layout.chunks().collect();
        assert_eq!(chunks, [(Hash::of(first), CHUNK_BYTES), (Hash::of(last), 5)]);
        assert_eq!(Layout::of(&descriptor(&layout)), Ok(layout));
        assert_eq!(digested(first, 1 << 20).chunks().len(), 1);
        assert_eq!(digested(&[], 1).chunks().len(), 0);
    }

    #[test]
    fn a_descriptor_that_fits_no_file_is_refused() {
        let sound = descriptor(&digested(b"file", 4));
        let with = |change: fn(&mut Artefakt)| {
            let mut changed = sound.clone();
            change(&mut changed);
            Layout::of(&changed).expect_err("refused").to_string()
        };
        assert!(with(|it| it.bytes = ARTEFACT_BYTES_MAX + 1).contains("at most"));
        assert_eq!(with(|it| it.bytes = 0), "1 chunks; 0 bytes have 0");
        assert_eq!(with(|it| it.chunks.clear()), "0 chunks; 4 bytes have 1");
        assert_eq!(with(|it| it.sha256 = vec![1].into()), "digest of the whole");
        assert_eq!(with(|it| it.chunks[0] = vec![1; 33].into()), "digest of chunk 0");
    }
}
