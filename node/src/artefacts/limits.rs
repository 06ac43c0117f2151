//! Limits of artefacts that belong to this node; those of the format stand in
//! `registry_proto::artefact`.

use std::time::Duration;

use registry_proto::artefact::{ARTEFACT_BYTES_MAX, CHUNK_BYTES, FRAME_BYTES_MAX};

/// Chunks that are received at once; each is in memory.
pub const UPLOADS_MAX: usize = 16;
/// Chunks that one certificate sends at once.
pub const UPLOADS_PER_IDENTITY_MAX: usize = 4;
/// Chunks that are sent at once; each is in memory.
pub const PULLS_MAX: usize = 24;
/// Chunks that are sent to one certificate at once.
pub const PULLS_PER_IDENTITY_MAX: usize = 8;
/// Bytes of chunks that were sent here and that no version refers to yet.
pub const STAGED_BYTES_MAX: u64 = 16 << 30;
/// Chunks that are fetched at once.
pub const FETCHES_MAX: usize = 4;
/// Bytes of one frame that is sent.
pub const FRAME_BYTES: usize = 512 << 10;
/// A sender or receiver that does nothing for this long is given up.
pub const FRAME_WAIT: Duration = Duration::from_secs(60);
/// Shortest and longest wait before a chunk is asked for again.
pub const RETRY_MIN: Duration = Duration::from_millis(500);
/// See [`RETRY_MIN`].
pub const RETRY_MAX: Duration = Duration::from_secs(300);

const _: () = assert!(FRAME_BYTES <= FRAME_BYTES_MAX);
const _: () = assert!(STAGED_BYTES_MAX >= 4 * ARTEFACT_BYTES_MAX);
const _: () = assert!(UPLOADS_MAX + PULLS_MAX + FETCHES_MAX <= (512 << 20) / CHUNK_BYTES as usize);
const _: () = assert!(PULLS_PER_IDENTITY_MAX >= FETCHES_MAX);
