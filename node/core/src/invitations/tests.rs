//! Invitations, one case after the other.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{key::Key, wire::registry as wire};

use super::*;

const NOW: i64 = 1_795_000_000_000;
const ID: InvitationId = InvitationId::from_bytes([1; 8]);
const SECRET: [u8; 32] = [2; 32];

fn keys(seed: u8) -> [Key; 3] {
    [seed, seed + 1, seed + 2].map(|it| Key::from(SigningKey::from_bytes(&[it; 32])))
}

fn member(land: Land, seed: u8) -> Member {
    let keys = keys(seed);
    let [log, freshness, offline] =
        keys.each_ref().map(|it| Bytes::copy_from_slice(it.public().as_bytes()));
    Member {
        land: land.code().to_owned(),
        log_key: log,
        freshness_key: freshness,
        offline_key: offline,
        nodes: vec![wire::MemberNode {
            name: format!("node-{seed}.{}.example", land.code().to_lowercase()),
            spki_pins: vec![vec![seed; 32].into()],
        }],
        ..Member::default()
    }
}

fn charter() -> Charter {
    let charter = wire::Charter {
        format_level: 1,
        name: "Verbund".to_owned(),
        threshold: 3,
        members: [(Land::HE, 10), (Land::RP, 20), (Land::SL, 30), (Land::TH, 40)]
            .map(|(land, seed)| member(land, seed))
            .to_vec(),
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).expect("a charter")
}

fn card(member: Member, seed: u8) -> SignedJoinCard {
    let keys = keys(seed);
    JoinCard::sign(ID, member, charter().id(), keys.each_ref()).expect("signs")
}

fn wanted(id: u8) -> Wanted {
    Wanted {
        land: Land::BY,
        valid_ms: 0,
        by: "p-1".to_owned(),
        id: InvitationId::from_bytes([id; 8]),
        secret: JoinSecret::from_bytes(SECRET),
    }
}

fn invited() -> Invitations {
    let mut all = Invitations::default();
    let made = all.make(&wanted(1), &charter(), NOW).expect("made");
    all.put(made);
    all
}

/// The reason of a refusal.
#[track_caller]
fn reason<T: std::fmt::Debug>(outcome: Result<T, Reject>) -> &'static str {
    match outcome.expect_err("refused") {
        Reject::NotInvited => "NOT_INVITED",
        Reject::Precondition { reason, .. } => reason,
        Reject::Invalid(all) => all[0].reason,
        Reject::Busy { .. } => "BUSY",
        other => panic!("{other}"),
    }
}

#[test]
fn a_token_counts_once_and_the_same_card_again() {
    let mut all = invited();
    let mine = card(member(Land::BY, 50), 50);
    let id = ID.to_string();
    assert_eq!(reason(all.ask(&id, &SECRET, NOW)), "NOT_PRESENTED");
    let Verdict::Keep(kept) = all.present(&id, &SECRET, &mine, &charter(), NOW).expect("new")
    else {
        panic!("new")
    };
    assert_eq!(kept.expires_ms, NOW + JOIN_WAIT_MS_MAX);
    assert_eq!(kept.waiting(&charter()), Some(&member(Land::BY, 50)));
    // nothing is changed until it is kept
    assert_eq!(reason(all.ask(&id, &SECRET, NOW)), "NOT_PRESENTED");
    all.put((*kept).clone());
    let late = NOW + INVITATION_MS_MAX;
    let again = all.present(&id, &SECRET, &mine, &charter(), late);
    assert_eq!(again, Ok(Verdict::Known(kept.clone())));
    assert_eq!(all.ask(&id, &SECRET, late), Ok(&*kept));
    let other = card(member(Land::BY, 60), 60);
    assert_eq!(reason(all.present(&id, &SECRET, &other, &charter(), late)), "TOKEN_USED");
    let over = NOW + JOIN_WAIT_MS_MAX;
    assert_eq!(reason(all.present(&id, &SECRET, &mine, &charter(), over)), "TOKEN_EXPIRED");
    assert_eq!(reason(all.ask(&id, &SECRET, over)), "TOKEN_EXPIRED");
}

#[test]
fn who_waits_is_gone_once_a_charter_names_the_land() {
    let mut all = invited();
    let mine = card(member(Land::BY, 50), 50);
    let verdict = all.present(&ID.to_string(), &SECRET, &mine, &charter(), NOW);
    let Ok(Verdict::Keep(kept)) = verdict else { panic!("new") };
    all.put(*kept);
    let next = charter().admitting(member(Land::BY, 50));
    assert_eq!(next.threshold, 4);
    let (next, changes) = charter().successor(next.encode_to_vec().into()).expect("follows");
    assert!(changes.contains(&registry_proto::charter::Change::Admitted(Land::BY)));
    let kept = all.ask(&ID.to_string(), &SECRET, NOW).expect("still there, to be told");
    assert_eq!(kept.waiting(&next), None);
    assert_eq!(reason(all.make(&wanted(2), &next, NOW)), "ALREADY_MEMBER");
    // whoever was admitted is told so, also when it asks with its card
    let again = all.present(&ID.to_string(), &SECRET, &mine, &next, NOW);
    assert!(matches!(again, Ok(Verdict::Known(_))), "{again:?}");
}

#[test]
fn strangers_learn_nothing() {
    let all = invited();
    let mine = card(member(Land::BY, 50), 50);
    let (id, other) = (ID.to_string(), InvitationId::from_bytes([9; 8]).to_string());
    let present = |id: &str, secret: &[u8]| all.present(id, secret, &mine, &charter(), NOW);
    for (id, secret) in [
        (&id[..], &[3; 32][..]),
        (&id[..], &SECRET[..31]),
        (&id[..], &[]),
        (&other[..], &SECRET[..]),
        ("", &SECRET[..]),
        ("0101010101010101\n", &SECRET[..]),
    ] {
        assert_eq!(present(id, secret), Err(Reject::NotInvited), "{id:?}");
    }
    let late = NOW + INVITATION_MS_DEFAULT;
    let expired = all.present(&id, &SECRET, &mine, &charter(), late);
    assert_eq!(reason(expired), "TOKEN_EXPIRED");
    assert_eq!(all.present(&id, &[3; 32], &mine, &charter(), late), Err(Reject::NotInvited));
}

#[test]
fn a_card_keeps_the_rules() {
    let all = invited();
    let id = ID.to_string();
    let present = |card: &SignedJoinCard| all.present(&id, &SECRET, card, &charter(), NOW);
    let other_land = card(member(Land::BW, 50), 50);
    assert_eq!(reason(present(&other_land)), "OTHER_LAND");
    let stolen = card(member(Land::BY, 50), 60);
    assert_eq!(reason(present(&stolen)), "CARD");
    let garbage = SignedJoinCard { card: Bytes::from_static(b"\xff"), proofs: Vec::new() };
    assert_eq!(reason(present(&garbage)), "CARD");
    let nameless = Member { nodes: Vec::new(), ..member(Land::BY, 50) };
    assert_eq!(reason(present(&card(nameless, 50))), "CHARTER_RULE");
    // the name of another member's node
    let taken = Member { nodes: member(Land::SL, 30).nodes, ..member(Land::BY, 50) };
    assert_eq!(reason(present(&card(taken, 50))), "CHARTER_RULE");
    let suspended = Member { state: 1, ..member(Land::BY, 50) };
    assert_eq!(reason(present(&card(suspended, 50))), "CHARTER_RULE");
    let keys = keys(50);
    let for_another = JoinCard::sign(
        InvitationId::from_bytes([9; 8]),
        member(Land::BY, 50),
        charter().id(),
        keys.each_ref(),
    );
    assert_eq!(reason(present(&for_another.expect("signs"))), "OTHER_INVITATION");
}

#[test]
fn invitations_are_bounded_and_end() {
    let mut all = Invitations::default();
    assert_eq!(all.open_until_ms(), 0);
    let long = Wanted { valid_ms: INVITATION_MS_MAX + 1, ..wanted(1) };
    assert_eq!(reason(all.make(&long, &charter(), NOW)), "RANGE");
    assert_eq!(reason(all.make(&Wanted { valid_ms: -1, ..wanted(1) }, &charter(), NOW)), "RANGE");
    let member = Wanted { land: Land::SL, ..wanted(1) };
    assert_eq!(reason(all.make(&member, &charter(), NOW)), "ALREADY_MEMBER");
    for id in 0..INVITATIONS_MAX {
        let made = all.make(&wanted(u8::try_from(id).unwrap()), &charter(), NOW);
        all.put(made.expect("made"));
    }
    assert_eq!(reason(all.make(&wanted(200), &charter(), NOW)), "BUSY");
    let end = NOW + INVITATION_MS_DEFAULT + INVITATION_KEPT_MS;
    assert_eq!(all.open_until_ms(), end);
    assert!(all.over(end - 1).is_empty());
    assert_eq!(all.over(end).len(), INVITATIONS_MAX);
    for id in all.over(end) {
        all.remove(id);
    }
    assert_eq!((all.iter().count(), all.open_until_ms()), (0, 0));
}
