//! The file of a reset: one line that names the format, the SHA-256 of what follows in hexadecimal
//! digits, and the encoded `verbund.registry.v1.EpochReset`.

use bytes::Bytes;
use registry_proto::epoch::RESET_BYTES_MAX;
use sha2::{Digest, Sha256};

/// Why a file is not what this node wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// No such file.
    #[error("the file holds no reset")]
    Form,
    /// Written by newer software.
    #[error("the file has the format of a newer version of the node")]
    Newer,
    /// Changed since.
    #[error("the content does not fit its digest")]
    Digest,
    /// Whole, and no reset all the same.
    #[error("the content is no reset")]
    Content,
    /// About another log or epoch.
    #[error("the content is about another epoch than the name of the file")]
    OtherName,
}

/// A reset as it is kept.
pub(super) fn encode(reset: &Bytes) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEAD_BYTES + reset.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(VERSION);
    file.extend_from_slice(hex::encode(Sha256::digest(reset)).as_bytes());
    file.push(b'\n');
    file.extend_from_slice(reset);
    file
}

/// Reads what [`encode`] made.
pub(super) fn decode(file: &[u8]) -> Result<Bytes, Damage> {
    let rest = file.strip_prefix(MAGIC).ok_or(Damage::Form)?;
    let Some(rest) = rest.strip_prefix(VERSION) else {
        let digits = rest.iter().take_while(|it| it.is_ascii_digit()).count();
        let newer = digits > 0 && rest.get(digits) == Some(&b'\n');
        return Err(if newer { Damage::Newer } else { Damage::Form });
    };
    let (digest, reset) = rest.split_at_checked(DIGEST_BYTES).ok_or(Damage::Form)?;
    let reset = reset.strip_prefix(b"\n").ok_or(Damage::Form)?;
    if digest != hex::encode(Sha256::digest(reset)).as_bytes() {
        return Err(Damage::Digest);
    }
    Ok(Bytes::copy_from_slice(reset))
}

const MAGIC: &[u8] = b"registry epoch reset ";
const VERSION: &[u8] = b"1\n";
const DIGEST_BYTES: usize = 64;
const HEAD_BYTES: usize = MAGIC.len() + VERSION.len() + DIGEST_BYTES + 1;
/// Bytes of a file.
pub(super) const FILE_BYTES_MAX: usize = RESET_BYTES_MAX + HEAD_BYTES;
