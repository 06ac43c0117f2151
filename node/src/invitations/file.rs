//! The file of an invitation: one line that names the format, the SHA-256 of what follows in
//! hexadecimal digits, and the encoded `verbund.registry.v1.KeptInvitation`.

use prost::Message;
use registry_core::invitations::{Invitation, Presented};
use registry_proto::{
    join::{CARD_BYTES_MAX, InvitationId, JoinCard},
    log::Hash,
    wire::registry::KeptInvitation,
};
use sha2::{Digest, Sha256};

/// Why a file is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("the file is no invitation")]
    Form,
    #[error("the file has the form of newer software")]
    Newer,
    #[error("the content does not fit its digest")]
    Digest,
    #[error("the content cannot be read")]
    Content,
}

/// An invitation as it is kept, in a file that stands there.
pub(super) fn encode(it: &Invitation, place: String) -> Vec<u8> {
    let body = KeptInvitation {
        invitation_id: it.id.to_string(),
        land: it.land.code().to_owned(),
        secret_digest: it.secret.as_bytes().to_vec().into(),
        created_by: it.created_by.clone(),
        created_unix_ms: it.created_ms,
        expires_unix_ms: it.expires_ms,
        presented_unix_ms: it.presented.as_ref().map_or(0, |it| it.at_ms),
        presented: it.presented.as_ref().map(|it| it.signed.clone()),
        place,
    };
    let body = body.encode_to_vec();
    let digest = hex::encode(Sha256::digest(&body));
    [MAGIC, VERSION, digest.as_bytes(), b"\n", &body].concat()
}

/// Reads what [`encode`] made: the invitation, and where its file stood.
pub(super) fn decode(file: &[u8]) -> Result<(Invitation, String), Damage> {
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
    read(KeptInvitation::decode(body).map_err(|_| Damage::Content)?).ok_or(Damage::Content)
}

fn read(mut it: KeptInvitation) -> Option<(Invitation, String)> {
    let place = std::mem::take(&mut it.place);
    let presented = match it.presented {
        None => None,
        Some(signed) => {
            let card = JoinCard::claimed(&signed).ok()?;
            let (digest, member) = (card.digest, card.member);
            Some(Presented { at_ms: it.presented_unix_ms, signed, digest, member })
        }
    };
    let invitation = Invitation {
        id: InvitationId::parse(&it.invitation_id)?,
        land: it.land.parse().ok()?,
        secret: Hash::try_from(&it.secret_digest[..]).ok()?,
        created_by: it.created_by,
        created_ms: it.created_unix_ms,
        expires_ms: it.expires_unix_ms,
        presented,
    };
    Some((invitation, place))
}

const MAGIC: &[u8] = b"registry invitation ";
const VERSION: &[u8] = b"1\n";
const VERSION_BYTES_MAX: usize = 10;
const DIGEST_BYTES: usize = 64;
/// Bytes of a file: the card, its proofs, and what is said of it.
pub(super) const FILE_BYTES_MAX: usize = CARD_BYTES_MAX + (8 << 10);

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use registry_proto::{
        join::JoinSecret,
        key::Key,
        log::VerbundId,
        terms::Land,
        wire::registry::{Member, SignedJoinCard},
    };

    use super::*;

    /// An invitation that was used.
    pub(in super::super) fn used() -> Invitation {
        let id = InvitationId::from_bytes([0xab; 8]);
        let keys = [1, 2, 3].map(|it| Key::from(ed25519_dalek::SigningKey::from_bytes(&[it; 32])));
        let member = Member { land: "BY".to_owned(), ..Member::default() };
        let verbund = VerbundId::from_bytes([7; 32]);
        let signed = JoinCard::sign(id, member.clone(), verbund, keys.each_ref()).unwrap();
        Invitation {
            id,
            land: Land::BY,
            secret: JoinSecret::from_bytes([9; 32]).digest(),
            created_by: "p-0011223344556677".to_owned(),
            created_ms: 1_795_000_000_000,
            expires_ms: 1_796_209_600_000,
            presented: Some(Presented {
                at_ms: 1_795_000_100_000,
                digest: Hash::of(&signed.card),
                signed,
                member,
            }),
        }
    }

    #[test]
    fn the_format_is_what_it_was() {
        check_golden("invitation.golden", "");
        check_golden("invitation-2.golden", "4711 1795000000000000000");
        let (unused, place) = (Invitation { presented: None, ..used() }, "1 2".to_owned());
        assert_eq!(decode(&encode(&unused, place.clone())), Ok((unused, place)));
    }

    #[track_caller]
    fn check_golden(name: &str, place: &str) {
        let path = format!("{}/src/invitations/{name}", env!("CARGO_MANIFEST_DIR"));
        let fresh = encode(&used(), place.to_owned());
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !std::fs::exists(&path).unwrap() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(decode(&golden), Ok((used(), place.to_owned())));
        assert_eq!(fresh, golden);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let file = encode(&used(), String::new());
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            assert!(decode(&other).is_err(), "byte {at}");
            assert!(decode(&file[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(decode(b"registry invitation 2\nany"), Err(Damage::Newer));
        assert_eq!(decode(b"registry invitation x\n"), Err(Damage::Form));
    }

    #[test]
    fn the_largest_card_fits_its_file() {
        let mut large = used();
        let presented = large.presented.as_mut().unwrap();
        let anchors = vec![vec![1; 15 << 10].into(); 3];
        let keys = [1, 2, 3].map(|it| Key::from(ed25519_dalek::SigningKey::from_bytes(&[it; 32])));
        let member = Member { anchors, ..presented.member.clone() };
        let verbund = VerbundId::from_bytes([7; 32]);
        let signed: SignedJoinCard =
            JoinCard::sign(large.id, member, verbund, keys.each_ref()).unwrap();
        let card = signed.card.len();
        presented.signed = signed;
        let place = "9".repeat(60);
        assert!(encode(&large, place).len() + CARD_BYTES_MAX - card <= FILE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode(&[MAGIC, VERSION, &bytes].concat());
        }
    }
}
