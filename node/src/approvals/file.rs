//! The file of a submission that waits: one line that names the format, the SHA-256 of what follows
//! in hexadecimal digits, and the encoded `verbund.registry.v1.KeptApproval`.

use prost::Message;
use registry_core::limits::MESSAGE_BYTES_MAX;
use registry_proto::wire::registry::KeptApproval;
use sha2::{Digest, Sha256};

/// Why a file is none; German for those who decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("die Datei ist keine wartende Einreichung")]
    Form,
    #[error("die Datei hat das Format einer neueren Version des Knotens")]
    Newer,
    #[error("der Inhalt passt nicht zu seiner Prüfsumme")]
    Digest,
    #[error("der Inhalt ist nicht lesbar")]
    Content,
}

/// A submission as it is kept.
pub(super) fn encode(kept: &KeptApproval) -> Vec<u8> {
    let body = kept.encode_to_vec();
    let mut file = Vec::with_capacity(HEAD_BYTES + body.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(VERSION);
    file.extend_from_slice(hex::encode(Sha256::digest(&body)).as_bytes());
    file.push(b'\n');
    file.extend_from_slice(&body);
    file
}

/// Reads what [`encode`] made.
pub(super) fn decode(file: &[u8]) -> Result<KeptApproval, Damage> {
    let rest = file.strip_prefix(MAGIC).ok_or(Damage::Form)?;
    let Some(rest) = rest.strip_prefix(VERSION) else {
        let line = rest.iter().take(VERSION_BYTES_MAX).position(|it| *it == b'\n');
        let number = line.and_then(|end| rest.get(..end));
        let number = number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit));
        return Err(if number { Damage::Newer } else { Damage::Form });
    };
    let (digest, body) = rest.split_at_checked(DIGEST_BYTES).ok_or(Damage::Form)?;
    let body = body.strip_prefix(b"\n").ok_or(Damage::Form)?;
    if digest != hex::encode(Sha256::digest(body)).as_bytes() {
        return Err(Damage::Digest);
    }
    KeptApproval::decode(body).map_err(|_| Damage::Content)
}

const MAGIC: &[u8] = b"registry approval ";
const VERSION: &[u8] = b"1\n";
const VERSION_BYTES_MAX: usize = 10;
const DIGEST_BYTES: usize = 64;
const HEAD_BYTES: usize = MAGIC.len() + VERSION.len() + DIGEST_BYTES + 1;
/// Bytes of a file: the request, and what is said of it.
pub(super) const FILE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + HEAD_BYTES + (4 << 10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> KeptApproval {
        KeptApproval {
            approval_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            request: vec![1, 2, 3].into(),
            submitted_by: "p-0011223344556677".to_owned(),
            person_key: vec![7; 32].into(),
            person_subject: vec![8; 32].into(),
            submitted_at: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 0 }),
            expires_at: Some(prost_types::Timestamp { seconds: 1_796_209_600, nanos: 0 }),
        }
    }

    #[test]
    fn the_format_is_what_it_was() {
        let golden = include_bytes!("approval.golden");
        assert_eq!(decode(golden), Ok(kept()));
        assert_eq!(encode(&kept()), golden);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let file = encode(&kept());
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            assert!(decode(&other).is_err(), "byte {at}");
            assert!(decode(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        for (file, expect) in [
            (&b""[..], Damage::Form),
            (b"registry approval 2\nanything", Damage::Newer),
            (b"registry approval x\n", Damage::Form),
            (b"registry approval 1\n00", Damage::Form),
        ] {
            assert_eq!(decode(file), Err(expect), "{:?}", String::from_utf8_lossy(file));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode(&[MAGIC, VERSION, &bytes].concat());
        }
    }
}
