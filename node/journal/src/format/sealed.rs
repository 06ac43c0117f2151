//! What stands around the records: the header of a segment, its index file, the note of an
//! erasure under way.

use crc32c::{crc32c, crc32c_append};
use registry_proto::log::{Frontier, Hash};

use super::{HASH_BYTES, LAND_BYTES_MAX, LEVEL, Mark, field, u32_at, u64_at};
use crate::Label;

const SEGMENT_MAGIC: [u8; 8] = *b"RGJSEG\r\n";
const INDEX_MAGIC: [u8; 8] = *b"RGJIDX\r\n";
const INTENT_MAGIC: [u8; 8] = *b"RGJERA\r\n";
const FIXED_BYTES: usize = 128;
const INDEX_FIXED_BYTES: usize = 48;

/// What a segment begins with.
#[derive(Clone, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) mark: Mark,
    pub(crate) before: Frontier,
}

/// Why a segment header is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Damaged,
    Newer { level: u32 },
    OtherLog { found: Label },
}

/// The index file of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) mark: Mark,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) last: u32,
    pub(crate) complete: u32,
    pub(crate) offsets: Vec<u32>,
}

/// The index of the entry that is being erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent(pub(crate) u64);

/// Bytes of the header of the segment that begins at `first`.
pub(crate) fn header_len(first: u64) -> usize {
    FIXED_BYTES + first.count_ones() as usize * HASH_BYTES
}

/// CRC of `bytes` without the four at 12.
fn crc_around(bytes: &[u8]) -> Option<u32> {
    Some(crc32c_append(crc32c(bytes.get(..12)?), bytes.get(16..)?))
}

// === impl SegmentHeader ===

impl SegmentHeader {
    pub(crate) fn encode(&self, label: &Label) -> Vec<u8> {
        let first = self.before.size();
        let mut out = vec![0; FIXED_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&LEVEL.to_le_bytes());
        out[16..24].copy_from_slice(&self.mark);
        out[24..32].copy_from_slice(&first.to_le_bytes());
        out[32..40].copy_from_slice(&label.epoch.to_le_bytes());
        out[40..72].copy_from_slice(&label.verbund);
        out[72] = label.land.len() as u8;
        out[80..80 + label.land.len()].copy_from_slice(label.land.as_bytes());
        for peak in self.before.peaks() {
            out.extend_from_slice(peak.as_bytes());
        }
        let crc = crc32c_append(crc32c(&out[..12]), &out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header of the segment whose name says `first`; `bytes` are the first
    /// [`header_len`] bytes of the file, or fewer if it is shorter.
    pub(crate) fn parse(bytes: &[u8], first: u64, label: &Label) -> Result<Self, HeaderFault> {
        let damaged = HeaderFault::Damaged;
        let level = u32_at(bytes, 8).ok_or(HeaderFault::Damaged)?;
        if field(bytes, 0) != Some(SEGMENT_MAGIC) || bytes.len() != header_len(first) {
            return Err(damaged);
        }
        if level != LEVEL {
            // a damaged level field must not look like a newer format
            let mut ours = bytes.to_vec();
            ours[8..12].copy_from_slice(&LEVEL.to_le_bytes());
            let flipped = crc_around(&ours) == u32_at(bytes, 12);
            return Err(if flipped { damaged } else { HeaderFault::Newer { level } });
        }
        if crc_around(bytes) != u32_at(bytes, 12) {
            return Err(damaged);
        }
        let (header, found, size) = Self::fields(bytes).ok_or(HeaderFault::Damaged)?;
        if found != *label {
            return Err(HeaderFault::OtherLog { found });
        }
        if size != first || header.mark[0] == 0 { Err(damaged) } else { Ok(header) }
    }

    fn fields(bytes: &[u8]) -> Option<(Self, Label, u64)> {
        let land_len = usize::from(*bytes.get(72)?);
        if land_len > LAND_BYTES_MAX {
            return None;
        }
        let found = Label {
            verbund: field(bytes, 40)?,
            land: std::str::from_utf8(bytes.get(80..80 + land_len)?).ok()?.to_owned(),
            epoch: u64_at(bytes, 32)?,
        };
        let peaks = bytes
            .get(FIXED_BYTES..)?
            .chunks_exact(HASH_BYTES)
            .map(Hash::try_from)
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        let size = u64_at(bytes, 24)?;
        let before = Frontier::from_peaks(size, peaks)?;
        Some((Self { mark: field(bytes, 16)?, before }, found, size))
    }
}

// === impl SegmentIndex ===

impl SegmentIndex {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; INDEX_FIXED_BYTES];
        out[..8].copy_from_slice(&INDEX_MAGIC);
        out[8..12].copy_from_slice(&LEVEL.to_le_bytes());
        out[16..24].copy_from_slice(&self.mark);
        out[24..32].copy_from_slice(&self.first.to_le_bytes());
        out[32..40].copy_from_slice(&self.end.to_le_bytes());
        out[40..44].copy_from_slice(&self.last.to_le_bytes());
        out[44..48].copy_from_slice(&self.complete.to_le_bytes());
        out.reserve(self.offsets.len() * 4);
        for offset in &self.offsets {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        let crc = crc32c_append(crc32c(&out[..12]), &out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads an index file. `None` if it is not intact or of another format level.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if field(bytes, 0)? != INDEX_MAGIC
            || u32_at(bytes, 8)? != LEVEL
            || crc_around(bytes)? != u32_at(bytes, 12)?
            || !bytes.len().is_multiple_of(4)
        {
            return None;
        }
        Some(Self {
            mark: field(bytes, 16)?,
            first: u64_at(bytes, 24)?,
            end: u64_at(bytes, 32)?,
            last: u32_at(bytes, 40)?,
            complete: u32_at(bytes, 44)?,
            offsets: bytes
                .get(INDEX_FIXED_BYTES..)?
                .chunks_exact(4)
                .filter_map(|b| b.try_into().ok().map(u32::from_le_bytes))
                .collect(),
        })
    }
}

// === impl Intent ===

impl Intent {
    pub(crate) fn encode(self) -> [u8; 20] {
        let mut out = [0; 20];
        out[..8].copy_from_slice(&INTENT_MAGIC);
        out[8..16].copy_from_slice(&self.0.to_le_bytes());
        let crc = crc32c(&out[..16]);
        out[16..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the note. `None` if it was not written completely: then nothing was erased yet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let intact = bytes.len() == 20
            && field(bytes, 0)? == INTENT_MAGIC
            && crc32c(bytes.get(..16)?) == u32_at(bytes, 16)?;
        if intact { u64_at(bytes, 8).map(Self) } else { None }
    }
}
