//! Charters: what is accepted, and what each broken rule is called.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_proto::{
    charter::{Charter, CharterProblem as P, MEMBERS_MAX, Quota},
    log::Hash,
    terms::Land,
    wire::registry as wire,
};

fn key(seed: u8) -> Bytes {
    Bytes::copy_from_slice(&SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
}

fn member(land: Land, seed: u8) -> wire::Member {
    let name = format!("node.{}.example", land.code().to_lowercase());
    wire::Member {
        land: land.code().to_owned(),
        log_key: key(seed),
        freshness_key: key(seed + 1),
        offline_key: key(seed + 2),
        nodes: vec![wire::MemberNode { name, spki_pins: vec![vec![seed; 32].into()] }],
        anchors: vec![vec![0x30, seed].into()],
        quota: Some(wire::Quota { bytes_per_day: 1 << 30, entries_per_day: 0 }),
        ..wire::Member::default()
    }
}

/// HE, RP, SL, TH; three votes of four.
fn charter() -> wire::Charter {
    let members = [Land::HE, Land::RP, Land::SL, Land::TH];
    wire::Charter {
        format_level: 1,
        number: 0,
        name: "Verbund Mitte".to_owned(),
        test: true,
        threshold: 3,
        members: members.iter().zip([10, 20, 30, 40]).map(|(l, s)| member(*l, s)).collect(),
        ..wire::Charter::default()
    }
}

/// The one place that touches the API: a change of a good charter, and what is wrong then.
#[track_caller]
fn check_parse(change: impl FnOnce(&mut wire::Charter), expect: &[P]) {
    let mut charter = charter();
    change(&mut charter);
    let got = match Charter::parse(charter.encode_to_vec().into()) {
        Ok(_) => vec![],
        Err(error) => error.problems,
    };
    assert_eq!(got, expect);
}

#[test]
fn a_charter_gives_back_what_it_says() {
    let raw = Bytes::from(charter().encode_to_vec());
    let charter = Charter::parse(raw.clone()).unwrap();
    assert_eq!(charter.id().as_bytes(), Hash::of(&raw).as_bytes());
    assert_eq!(charter.raw(), &raw);
    assert_eq!(
        (charter.name(), charter.is_test(), charter.threshold()),
        ("Verbund Mitte", true, 3)
    );
    let lands: Vec<_> = charter.members().iter().map(|member| member.land).collect();
    assert_eq!(lands, [Land::HE, Land::RP, Land::SL, Land::TH]);
    let member = charter.member(Land::SL).unwrap();
    assert_eq!(member.keys.log.to_bytes()[..], key(30)[..]);
    assert_eq!(member.keys.freshness.to_bytes()[..], key(31)[..]);
    assert_eq!(member.offline_key.to_bytes()[..], key(32)[..]);
    assert_eq!(member.nodes[0].name, "node.sl.example");
    assert_eq!(member.nodes[0].spki_pins, [[30; 32]]);
    assert_eq!(member.anchors, [vec![0x30, 30]]);
    assert_eq!(member.quota, Quota { bytes_per_day: 1 << 30, entries_per_day: 0 });
    assert_eq!(charter.member(Land::BY), None);
}

#[test]
fn unknown_fields_belong_to_the_id() {
    let mut raw = charter().encode_to_vec();
    let known = Charter::parse(raw.clone().into()).unwrap();
    raw.extend([0xa2, 0x06, 0x01, 0x07]); // field 100
    let newer = Charter::parse(raw.into()).unwrap();
    assert_eq!(newer.members(), known.members());
    assert_ne!(newer.id(), known.id());
}

#[test]
fn one_two_and_three_members_need_all() {
    for (members, least) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        for threshold in 0..=5 {
            let expect: &[P] = if (least..=members).contains(&(threshold as usize)) {
                &[]
            } else {
                &[P::Threshold { found: threshold, least, members }]
            };
            let change = |c: &mut wire::Charter| {
                c.members.truncate(members);
                c.threshold = threshold;
            };
            check_parse(change, expect);
        }
    }
}

#[test]
fn every_broken_rule_has_its_name() {
    let xx = "XX".parse::<Land>().unwrap_err();
    check_parse(|_| {}, &[]);
    check_parse(|c| c.format_level = 2, &[P::FormatLevel { found: 2 }]);
    check_parse(|c| c.number = 1, &[P::Number { found: 1 }]);
    for name in ["", "  ", "a\nb", &"x".repeat(201)] {
        check_parse(|c| c.name = name.to_owned(), &[P::Name]);
    }
    check_parse(|c| c.name = "ü".repeat(200), &[]);
    check_parse(|c| c.members.clear(), &[P::MemberCount { found: 0 }]);
    check_parse(|c| c.members[1].land = "XX".into(), &[P::Land { member: 1, source: xx }]);
    check_parse(
        |c| c.members.swap(1, 2),
        &[P::LandOrder { member: 2, land: Land::RP, before: Land::SL }],
    );
    check_parse(
        |c| c.members[1].land = "HE".into(),
        &[P::LandOrder { member: 1, land: Land::HE, before: Land::HE }],
    );
    let key_of = |member, field| P::Key { member, field };
    check_parse(|c| c.members[0].log_key.clear(), &[key_of(0, "log_key")]);
    check_parse(|c| c.members[0].freshness_key.truncate(31), &[key_of(0, "freshness_key")]);
    // no point of the curve, and a point of small order
    check_parse(|c| c.members[3].offline_key = vec![2; 32].into(), &[key_of(3, "offline_key")]);
    check_parse(|c| c.members[3].offline_key = vec![0; 32].into(), &[key_of(3, "offline_key")]);
    check_parse(
        |c| c.members[2].offline_key = key(11),
        &[P::KeyTwice { member: 2, field: "offline_key" }],
    );
    check_parse(
        |c| c.members[2].freshness_key = key(30),
        &[P::KeyTwice { member: 2, field: "freshness_key" }],
    );
}

#[test]
fn every_broken_rule_of_a_node_has_its_name() {
    check_parse(|c| c.members[0].nodes.clear(), &[P::NodeCount { member: 0, found: 0 }]);
    let seventeen = |c: &mut wire::Charter| {
        c.members[0].nodes = (0..17)
            .map(|n| wire::MemberNode { name: format!("n{n}.example"), spki_pins: vec![] })
            .collect();
    };
    check_parse(seventeen, &[P::NodeCount { member: 0, found: 17 }]);
    for name in [
        "",
        ".",
        "a..b",
        "a.",
        ".a",
        "-a",
        "a-",
        "A.example",
        "a_b",
        "a b",
        "ä.de",
        "127.0.0.1",
        "[::1]",
        "*.a.de",
        &"a".repeat(64),
        &"a.".repeat(127),
        "a\n",
    ] {
        let problem = P::NodeName { member: 1, node: 0 };
        check_parse(|c| c.members[1].nodes[0].name = name.to_owned(), &[problem]);
    }
    for name in ["localhost", "a", "1.example", "xn--mller-kva.de", "a-b.c-d"] {
        check_parse(|c| c.members[1].nodes[0].name = name.to_owned(), &[]);
    }
    check_parse(
        |c| c.members[1].nodes[0].name = "node.he.example".into(),
        &[P::NodeNameTwice { member: 1, node: 0, name: "node.he.example".into() }],
    );
    let pin = |member, node, pin, found| P::Pin { member, node, pin, found };
    check_parse(|c| c.members[1].nodes[0].spki_pins[0].truncate(20), &[pin(1, 0, 0, 20)]);
    check_parse(
        |c| c.members[1].nodes[0].spki_pins = vec![vec![10; 32].into()],
        &[P::PinOfOther { member: 1, node: 0, pin: 0 }],
    );
    let seventeen = |c: &mut wire::Charter| {
        c.members[1].nodes[0].spki_pins = (100..117).map(|n| vec![n; 32].into()).collect();
    };
    check_parse(seventeen, &[P::PinCount { member: 1, node: 0, found: 17 }]);
    let second_node = |c: &mut wire::Charter| {
        let first = c.members[1].nodes[0].clone();
        c.members[1].nodes.push(wire::MemberNode { name: "second.rp.example".into(), ..first });
    };
    check_parse(second_node, &[]);
    check_parse(|c| c.members[1].nodes[0].spki_pins.clear(), &[]);
    check_parse(|c| c.members[1].anchors.clear(), &[]);
    let neither = |c: &mut wire::Charter| {
        c.members[1].anchors.clear();
        c.members[1].nodes[0].spki_pins.clear();
    };
    check_parse(neither, &[P::NoTrust { member: 1, node: 0 }]);
    check_parse(|c| c.members[1].anchors[0].clear(), &[P::AnchorEmpty { member: 1, anchor: 0 }]);
    check_parse(
        |c| c.members[1].anchors = vec![vec![1].into(); 17],
        &[P::AnchorCount { member: 1, found: 17 }],
    );
}

#[test]
fn all_problems_are_reported_together() {
    let change = |c: &mut wire::Charter| {
        c.format_level = 0;
        c.threshold = 2;
        c.members[0].log_key.clear();
        c.members[2].nodes[0].name = "A".into();
        c.members[3].land.clear();
    };
    let no_land = "".parse::<Land>().unwrap_err();
    let expect = [
        P::FormatLevel { found: 0 },
        P::Threshold { found: 2, least: 3, members: 4 },
        P::Key { member: 0, field: "log_key" },
        P::NodeName { member: 2, node: 0 },
        P::Land { member: 3, source: no_land },
    ];
    check_parse(change, &expect);
    let mut charter = charter();
    change(&mut charter);
    let text = Charter::parse(charter.encode_to_vec().into()).unwrap_err().to_string();
    assert!(text.contains("format_level is 0, expected 1; threshold is 2"), "{text}");
    assert!(text.contains("members[2].nodes[0].name: no DNS name in lower case"), "{text}");
}

#[test]
fn hostile_bytes_end_in_a_few_problems() {
    let many = wire::Charter { members: vec![wire::Member::default(); 10_000], ..charter() };
    let error = Charter::parse(many.encode_to_vec().into()).unwrap_err();
    assert_eq!(error.problems[0], P::MemberCount { found: 10_000 });
    assert!(error.problems.len() < 6 * MEMBERS_MAX, "{}", error.problems.len());
    let long = Charter::parse(vec![0; (1 << 20) + 1].into()).unwrap_err();
    assert_eq!(long.problems, [P::TooLong { found: (1 << 20) + 1 }]);
    let raw = charter().encode_to_vec();
    assert_eq!(Charter::parse(vec![0xff; 9].into()).unwrap_err().problems, [P::Undecodable]);
    let id = Charter::parse(raw.clone().into()).unwrap().id();
    for end in 0..raw.len() {
        // between two members the rest may be a charter, but never that of the same Verbund
        let cut = Charter::parse(raw[..end].to_vec().into());
        assert!(cut.is_err() || cut.is_ok_and(|cut| cut.id() != id), "cut at {end}");
    }
    for bit in 0..raw.len() * 8 {
        let mut raw = raw.clone();
        raw[bit / 8] ^= 1 << (bit % 8);
        let _ = Charter::parse(raw.into());
    }
}
