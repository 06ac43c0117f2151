//! Resets of a log: who must sign, what is refused, and the form of the file.

use std::{fs, path::Path};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{
    charter::Charter,
    epoch::{EpochReset, REASON_BYTES_MAX, RESET_BYTES_MAX, Reset, ResetError as E, TakenReset},
    key::Key,
    log::{Hash, VerbundId, leaf_hash},
    statement::StatementError,
    terms::{
        Land::{self, HE, RP, SL, TH},
        LogId,
    },
    wire::registry as wire,
};

const MEMBERS: [(Land, u8); 4] = [(HE, 10), (RP, 20), (SL, 30), (TH, 40)];
const TIME: i64 = 1_795_449_600_123;

fn key(seed: u8) -> Key {
    SigningKey::from_bytes(&[seed; 32]).into()
}

fn seed(land: Land) -> u8 {
    MEMBERS.iter().find(|it| it.0 == land).expect("a member").1
}

fn charter() -> Charter {
    let public = |seed| Bytes::copy_from_slice(key(seed).public().as_bytes());
    let members = MEMBERS.map(|(land, seed)| wire::Member {
        land: land.code().to_owned(),
        log_key: public(seed),
        freshness_key: public(seed + 1),
        offline_key: public(seed + 2),
        nodes: vec![wire::MemberNode {
            name: format!("node.{}.example", land.code().to_lowercase()),
            spki_pins: vec![vec![seed; 32].into()],
        }],
        ..wire::Member::default()
    });
    let charter = wire::Charter {
        format_level: 1,
        name: "Verbund Mitte".to_owned(),
        threshold: 3,
        members: members.to_vec(),
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).expect("a charter")
}

fn said() -> EpochReset {
    EpochReset {
        log: LogId { land: SL, epoch: 1 },
        size: 4_711,
        root: leaf_hash(b"root"),
        reason: "Datenträger verloren".to_owned(),
        unix_ms: TIME,
    }
}

fn signed() -> Reset {
    said().sign(charter().id(), &key(seed(SL) + 2)).expect("signed")
}

fn agreed(mut reset: Reset, laender: &[Land]) -> Reset {
    for land in laender {
        let freshness = key(seed(*land) + 1);
        reset = reset.countersign(charter().id(), *land, &freshness, TIME).expect("signed");
    }
    reset
}

/// What becomes of a reset, on the way through its encoded form.
#[track_caller]
fn check(reset: &Reset, expect: Result<(), E>) {
    let taken = Reset::read(&reset.encode()).and_then(|it| it.complete(&charter()));
    assert_eq!(taken.map(|it| assert_eq!(it.encode(), reset.encode())), expect);
}

#[test]
fn it_counts_when_more_than_half_of_the_others_agree() {
    check(&signed(), Err(E::Missing { missing: 2 }));
    check(&agreed(signed(), &[RP]), Err(E::Missing { missing: 1 }));
    check(&agreed(signed(), &[RP, RP]), Err(E::Missing { missing: 1 }));
    check(&agreed(signed(), &[RP, TH]), Ok(()));
    check(&agreed(signed(), &[TH, HE, RP]), Ok(()));
    // two copies that went to different members
    let mut merged = agreed(signed(), &[RP]);
    merged.merge(agreed(signed(), &[HE])).expect("the same reset");
    check(&merged, Ok(()));
    let other = EpochReset { size: 9, ..said() };
    let other = other.sign(charter().id(), &key(seed(SL) + 2)).expect("signed");
    assert_eq!(merged.merge(other), Err(E::Different));
}

#[test]
fn whoever_has_no_say_does_not_count() {
    let statement = |by, source| Err(E::Statement { by, source });
    // the online keys of the owner are no offline key
    for online in [key(seed(SL)), key(seed(SL) + 1)] {
        let forged = said().sign(charter().id(), &online).expect("signed");
        check(&agreed(forged, &[RP, TH]), statement(SL, StatementError::Key));
    }
    let elsewhere = VerbundId::from_bytes([9; 32]);
    let forged = said().sign(elsewhere, &key(seed(SL) + 2)).expect("signed");
    check(&agreed(forged, &[RP, TH]), statement(SL, StatementError::Signature));
    // for a member with the key of another one
    let forged =
        signed().countersign(charter().id(), TH, &key(seed(RP) + 1), TIME).expect("signed");
    check(&agreed(forged, &[RP]), statement(TH, StatementError::Key));
    let forged = signed().countersign(elsewhere, TH, &key(seed(TH) + 1), TIME).expect("signed");
    check(&agreed(forged, &[RP]), statement(TH, StatementError::Signature));
    let stranger = signed().countersign(charter().id(), Land::BY, &key(1), TIME).expect("signed");
    check(&agreed(stranger, &[RP, TH]), Err(E::NoMember(Land::BY)));
    let own = signed().countersign(charter().id(), SL, &key(seed(SL) + 1), TIME);
    assert_eq!(own, Err(E::NoMember(SL)));
}

/// The charter after another one, which lists this of the first epoch of SL: one more member, another
/// freshness key of RP, another offline key of SL.
fn later(of: &Charter, listed: Option<Hash>, seed: u8) -> Charter {
    let public = |seed| Bytes::copy_from_slice(key(seed).public().as_bytes());
    let mut next = of.draft_of_next();
    let find = |it: &wire::Member, land: Land| it.land == land.code();
    let rp = next.members.iter_mut().find(|it| find(it, RP)).expect("a member");
    let cut = Some(wire::LogCut { epoch: 1, size: 9, root: vec![7; 32].into() });
    let former = wire::FormerKeys {
        log_key: rp.log_key.clone(),
        freshness_key: std::mem::replace(&mut rp.freshness_key, public(seed + 3)),
        cut,
    };
    rp.former_keys.push(former);
    let sl = next.members.iter_mut().find(|it| find(it, SL)).expect("a member");
    sl.offline_key = public(seed + 4);
    sl.epoch_resets = listed.iter().map(|it| it.as_bytes().to_vec().into()).collect();
    if of.member(Land::BY).is_none() {
        let newcomer = wire::Member {
            land: Land::BY.code().to_owned(),
            log_key: public(seed),
            freshness_key: public(seed + 1),
            offline_key: public(seed + 2),
            nodes: vec![wire::MemberNode {
                name: "node.by.example".to_owned(),
                spki_pins: vec![vec![seed; 32].into()],
            }],
            ..wire::Member::default()
        };
        next.members.insert(0, newcomer);
        next.threshold = 4;
    }
    of.successor(next.encode_to_vec().into()).expect("a successor").0
}

/// What becomes of a reset under a charter and those before it.
#[track_caller]
fn check_later(reset: &Reset, charters: &[Charter], expect: Result<(), E>) {
    let (last, past) = charters.split_last().expect("a charter");
    let taken = Reset::read(&reset.encode()).and_then(|it| it.counts(last, past));
    assert_eq!(taken.map(|it| assert_eq!(it.encode(), reset.encode())), expect);
}

#[test]
fn what_a_later_charter_lists_counts_if_it_was_complete_before() {
    let reset = agreed(signed(), &[RP, TH]);
    let other_key = Err(E::Statement { by: SL, source: StatementError::Key });
    let (genesis, listed) = (charter(), Some(reset.digest()));
    let without = later(&genesis, None, 60);
    let with = later(&genesis, listed, 60);
    let third = later(&with, listed, 70);
    check_later(&reset, &[genesis.clone(), with.clone()], Ok(()));
    check_later(&reset, &[genesis.clone(), with.clone(), third.clone()], Ok(()));
    // listed, and complete under none of the charters that are known
    check_later(&reset, &[with.clone(), third], other_key.clone());
    // complete under the charter before, whose keys may be in other hands by now
    check_later(&reset, &[genesis.clone(), without.clone()], other_key.clone());
    assert!(reset.was_complete(&[genesis.clone(), without.clone()]));
    assert!(!reset.was_complete(&[without]));
    // nobody keeps anything under a digest that is listed but what was signed
    for copy in [signed(), agreed(signed(), &[RP]), tampered(&reset)] {
        assert_eq!(Some(copy.digest()), listed);
        check_later(&copy, &[genesis.clone(), with.clone()], other_key.clone());
        assert!(!copy.was_complete(std::slice::from_ref(&genesis)));
    }
    let other = EpochReset { size: 9, ..said() };
    let other = agreed(other.sign(charter().id(), &key(seed(SL) + 2)).expect("signed"), &[RP, TH]);
    let refused = Err(E::OtherListed { listed: reset.digest() });
    check_later(&other, &[genesis, with.clone()], refused.clone());
    assert_eq!(other.verify(&with).map(drop), refused);
}

/// What is left of a reset under the last of these charters once the keys before it are left out.
#[track_caller]
fn check_former(reset: &Reset, charters: &[Charter], left: &[Land], expect: Result<usize, E>) {
    let (last, past) = charters.split_last().expect("a charter");
    let anew = reset.clone().without_former(last, past);
    assert_eq!(anew.consents().collect::<Vec<_>>(), left);
    assert_eq!(anew.digest(), reset.digest());
    assert_eq!(anew.verify(last), expect);
}

#[test]
fn whoever_has_another_key_agrees_to_the_same_reset_anew() {
    let genesis = charter();
    let mut next = genesis.draft_of_next();
    let rp = next.members.iter_mut().find(|it| it.land == RP.code()).expect("a member");
    let fresh = Bytes::copy_from_slice(key(90).public().as_bytes());
    rp.former_keys.push(wire::FormerKeys {
        log_key: rp.log_key.clone(),
        freshness_key: std::mem::replace(&mut rp.freshness_key, fresh),
        cut: Some(wire::LogCut { epoch: 1, size: 9, root: vec![7; 32].into() }),
    });
    let next = genesis.successor(next.encode_to_vec().into()).expect("a successor").0;
    let charters = [genesis, next.clone()];
    let old = agreed(signed(), &[RP, TH]);
    let missing = Err(E::Statement { by: RP, source: StatementError::Key });
    assert_eq!(old.verify(&next).map(drop), missing);
    check_former(&old, &charters, &[TH], Ok(1));
    check_former(&old, &charters[..1], &[RP, TH], Ok(0));
    let at = |ms| agreed(signed(), &[TH]).countersign(next.id(), RP, &key(90), ms).expect("signed");
    check_former(&at(TIME), &charters, &[RP, TH], Ok(0));
    // a key that was never that of the member is told, not left out
    let forged = signed().countersign(next.id(), TH, &key(91), TIME).expect("signed");
    let other_key = Err(E::Statement { by: TH, source: StatementError::Key });
    check_former(&forged, &charters, &[TH], other_key);
    // copies from before and after, in any order
    for (one, other) in [(old.clone(), at(TIME + 1)), (at(TIME + 1), old)] {
        let mut merged = one;
        merged.merge(other).expect("the same reset");
        assert_eq!(merged.verify(&next), Ok(0));
    }
}

/// The same with a signature that does not hold.
fn tampered(reset: &Reset) -> Reset {
    let mut wire = wire::EpochReset::decode(reset.encode()).expect("a reset");
    let mut signed = wire::SignedStatement::decode(wire.consents[0].clone()).expect("a consent");
    signed.signature = vec![1; 64].into();
    wire.consents[0] = signed.encode_to_vec().into();
    Reset::read(&wire.encode_to_vec().into()).expect("the right form")
}

/// A change of the encoded form of a reset that is complete.
#[track_caller]
fn check_changed(change: impl FnOnce(&mut wire::EpochReset), expect: E) {
    let raw = agreed(signed(), &[RP, TH]).encode();
    let mut changed = wire::EpochReset::decode(raw).expect("a reset");
    change(&mut changed);
    let raw = Bytes::from(changed.encode_to_vec());
    assert_eq!(Reset::read(&raw).and_then(|it| it.complete(&charter())), Err(expect));
}

/// A change of what its owner signed, under the signature of before.
#[track_caller]
fn check_said(change: impl FnOnce(&mut wire::EpochResetStatement), expect: E) {
    check_changed(
        |it| {
            let mut signed = wire::SignedStatement::decode(it.statement.clone()).expect("signed");
            let mut said =
                wire::EpochResetStatement::decode(signed.payload.clone()).expect("a statement");
            change(&mut said);
            signed.payload = said.encode_to_vec().into();
            it.statement = signed.encode_to_vec().into();
            it.consents.clear();
        },
        expect,
    );
}

#[test]
fn what_was_changed_is_refused_with_the_reason() {
    let field = |field, expected| E::Field { field, expected };
    let signature = E::Statement { by: SL, source: StatementError::Signature };
    check_said(|it| it.size -= 1, signature.clone());
    check_said(|it| it.epoch = 2, signature.clone());
    check_said(|it| it.reason.push('!'), signature);
    check_said(|it| it.epoch = 0, field("epoch", "a number from 1 that another one follows"));
    check_said(
        |it| it.epoch = u64::MAX,
        field("epoch", "a number from 1 that another one follows"),
    );
    check_said(|it| it.root = Bytes::new(), field("root", "32 bytes"));
    check_said(|it| it.size = 0, field("root", "the root of the empty tree"));
    check_said(|it| it.land = "XX".to_owned(), field("land", "a Land"));
    let long = "x".repeat(REASON_BYTES_MAX + 1);
    check_said(|it| it.reason = long, field("reason", "at most 500 bytes"));
    check_changed(|it| it.consents.push(it.consents[0].clone()), E::Twice(RP));
    check_changed(|it| it.consents.push(Bytes::from_static(b"\xff")), E::Undecodable);
    check_changed(|it| it.statement = Bytes::from_static(b"\xff"), E::Undecodable);
    let other = EpochReset { size: 9, ..said() };
    let other = other.sign(charter().id(), &key(seed(SL) + 2)).expect("signed");
    let other = wire::EpochReset::decode(agreed(other, &[HE]).encode()).expect("a reset");
    check_changed(|it| it.consents.extend(other.consents), E::OtherReset(HE));
    let found = RESET_BYTES_MAX + 1;
    assert_eq!(Reset::read(&vec![0; found].into()), Err(E::TooLong { found }));
}

#[test]
fn the_form_of_a_reset() {
    let fresh = agreed(signed(), &[RP, TH]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/epoch-reset-1.hex");
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines: Vec<_> = fresh.encode().chunks(32).map(hex::encode).collect();
        fs::write(&path, lines.join("\n") + "\n").expect("written");
    }
    let text = fs::read_to_string(&path).expect("golden file");
    let raw = Bytes::from(hex::decode(text.split_whitespace().collect::<String>()).expect("hex"));
    let read = Reset::read(&raw).expect("a reset");
    assert_eq!((read.said(), &read), (&said(), &fresh), "signing is deterministic");
    assert_eq!(read.consents().collect::<Vec<_>>(), [RP, TH]);
    assert_eq!(read.said().next(), LogId { land: SL, epoch: 2 });
    let kept = TakenReset::kept(&raw).expect("kept");
    assert_eq!((kept.digest(), kept.encode()), (fresh.digest(), raw));
}
