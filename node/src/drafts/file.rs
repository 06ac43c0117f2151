//! The file of a draft: one line that names the format, the SHA-256 of what follows in hexadecimal
//! digits, and the encoded `verbund.registry.v1.Draft`.

use prost::Message;
use registry_core::limits::DRAFT_BYTES_MAX;
use registry_proto::wire::registry::Draft;
use sha2::{Digest, Sha256};

/// Why a file is no draft; German for those who keep drafts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("die Datei ist kein Entwurf")]
    Form,
    #[error("die Datei hat das Format einer neueren Version des Knotens")]
    Newer,
    #[error("der Inhalt passt nicht zu seiner Prüfsumme")]
    Digest,
    #[error("der Inhalt ist nicht lesbar")]
    Content,
}

/// A draft as it is kept.
pub(super) fn encode(draft: &Draft) -> Vec<u8> {
    let body = draft.encode_to_vec();
    let mut file = Vec::with_capacity(HEAD_BYTES + body.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(VERSION);
    file.extend_from_slice(hex::encode(Sha256::digest(&body)).as_bytes());
    file.push(b'\n');
    file.extend_from_slice(&body);
    file
}

/// Reads what [`encode`] made.
pub(super) fn decode(file: &[u8]) -> Result<Draft, Damage> {
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
    Draft::decode(body).map_err(|_| Damage::Content)
}

const MAGIC: &[u8] = b"registry draft ";
const VERSION: &[u8] = b"1\n";
const VERSION_BYTES_MAX: usize = 10;
const DIGEST_BYTES: usize = 64;
const HEAD_BYTES: usize = MAGIC.len() + VERSION.len() + DIGEST_BYTES + 1;
/// Bytes of a file: the records, and what is said of them.
pub(super) const FILE_BYTES_MAX: usize = DRAFT_BYTES_MAX + HEAD_BYTES + (4 << 10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let draft = Draft { draft_id: "x".to_owned(), revision: 7, ..Draft::default() };
        let file = encode(&draft);
        assert_eq!(decode(&file), Ok(draft));
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
            (b"registry draft", Damage::Form),
            (b"registry draft 2\nanything", Damage::Newer),
            (b"registry draft 10\n", Damage::Newer),
            (b"registry draft x\n", Damage::Form),
            (b"registry draft \n", Damage::Form),
            (b"registry draft 1\n00", Damage::Form),
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
