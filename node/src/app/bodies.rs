//! Bodies of a journal held against what its owner signed.

use registry_journal::Reader;
use registry_proto::log::Header;

use crate::forged::is_forged;

/// The first entry whose body is not the one that its header names. What cannot be read is damage of
/// another kind, and passed over.
pub(super) fn first_forged(reader: &Reader) -> Option<u64> {
    let mut next = 0;
    while next < reader.size() {
        let Ok(entries) = reader.read(next, CHUNK_BYTES, CHUNK_ENTRIES) else {
            next += 1;
            continue;
        };
        next += entries.len().max(1) as u64;
        let forged = entries.iter().find(|it| {
            let header = Header::parse(&it.header);
            header.is_ok_and(|header| is_forged(&header, it))
        });
        if let Some(entry) = forged {
            return Some(entry.index);
        }
    }
    None
}

const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;
