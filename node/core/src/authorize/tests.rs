use super::*;
use registry_proto::terms::Themenfeld;
use uuid::Uuid;

const BAUEN: Themenfeld = Themenfeld::BauenWohnen;
const BILDUNG: Themenfeld = Themenfeld::Bildung;
const ONE: Uuid = Uuid::from_u128(1);

#[test]
fn every_role_allows_exactly_its_own() {
    use Action::{
        Confirm, Countersign, Draft, Handover, Operate, Publish, Read, Replicate, Retire, Reuse,
    };
    let publishing = [Read, Publish, Retire, Reuse, Countersign, Handover, Draft, Confirm];
    for (roles, allowed) in [
        (vec![], vec![]),
        (vec![Role::Reader], vec![Read]),
        (vec![Role::Publisher], publishing.to_vec()),
        (vec![Role::Operator], vec![Read, Operate]),
        (vec![Role::Peer], vec![Read, Replicate]),
        (vec![Role::Peer, Role::Publisher], [&publishing[..], &[Replicate]].concat()),
    ] {
        let principal = Principal::with_roles("p-1", &roles);
        assert_eq!(principal.roles(), roles);
        for action in Action::ALL {
            match require(&principal, action) {
                Ok(permit) => {
                    assert!(allowed.contains(&action), "{principal:?} may {action:?}");
                    assert_eq!(permit.action(), action);
                }
                Err(reject) => {
                    assert!(!allowed.contains(&action), "{principal:?} may not {action:?}");
                    assert!(matches!(reject, Reject::Denied { .. }), "{reject}");
                }
            }
        }
    }
}

#[test]
fn a_refusal_names_who_what_and_the_way_out() {
    let principal = Principal::with_roles("p-1", &[Role::Reader, Role::Peer]);
    let text = require(&principal, Action::Publish).expect_err("denied").to_string();
    for words in ["publish", "p-1", "[reader, peer]", "publisher is needed", "[[clients]]"] {
        assert!(text.contains(words), "{text}");
    }
}

fn rule(name: &str, change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule::grant(name, Role::Publisher);
    change(&mut rule);
    rule
}

fn target(themenfeld: Option<Themenfeld>) -> Target {
    Target { land: Some(Land::SL), themenfeld, service: Some(ONE) }
}

/// `expected` is the name of the rule that decides, with a `!` if it forbids, or nothing.
#[track_caller]
fn check(rules: &[Rule], action: Action, target: &Target, expected: &str) {
    let verdict = decide(rules, action, target);
    let got = match &verdict {
        Verdict::Allowed(rule) => rule.name.clone(),
        Verdict::Forbidden(rule) => format!("!{}", rule.name),
        Verdict::Unmatched => String::new(),
    };
    assert_eq!(got, expected, "{action:?} {target}");
    let refusal = verdict.refusal(rules, action, target);
    assert_eq!(refusal.is_none(), !got.is_empty() && !got.starts_with('!'));
    if let Some(refusal) = refusal {
        assert_eq!(refusal.reason == "RULE_DENIES", got.starts_with('!'), "{refusal}");
    }
}

#[test]
fn a_rule_covers_what_lies_within_all_its_bounds() {
    let bound = rule("bau", |it| {
        it.scope.themenfelder = vec![BAUEN];
        it.scope.laender = vec![Land::SL];
    });
    let rules = [bound];
    check(&rules, Action::Publish, &target(Some(BAUEN)), "bau");
    check(&rules, Action::Publish, &target(Some(BILDUNG)), "");
    check(&rules, Action::Publish, &target(None), "");
    let elsewhere = Target { land: Some(Land::RP), ..target(Some(BAUEN)) };
    check(&rules, Action::Publish, &elsewhere, "");
    check(&rules, Action::Publish, &Target::default(), "");
    // what is read is the same for all
    check(&rules, Action::Read, &Target::default(), "bau");
    check(&rules, Action::Operate, &target(Some(BAUEN)), "");
    let one = [rule("eine", |it| it.scope.services = vec![ONE])];
    check(&one, Action::Retire, &target(None), "eine");
    check(&one, Action::Retire, &Target { service: Some(Uuid::nil()), ..target(None) }, "");
}

#[test]
fn a_rule_covers_its_actions_and_reading() {
    let rules = [rule("schreibt", |it| it.actions = vec![Action::Publish, Action::Draft])];
    check(&rules, Action::Publish, &target(None), "schreibt");
    check(&rules, Action::Draft, &target(None), "schreibt");
    check(&rules, Action::Retire, &target(None), "");
    check(&rules, Action::Read, &Target::default(), "schreibt");
}

#[test]
fn one_rule_that_lets_act_alone_is_enough() {
    let second = rule("vier-augen", |it| it.four_eyes = true);
    let alone = rule("allein", |it| it.scope.themenfelder = vec![BAUEN]);
    let check = |rules: &[Rule], themenfeld, expected| {
        assert_eq!(may_alone(rules, Action::Publish, &target(themenfeld)), expected, "{rules:?}");
    };
    check(std::slice::from_ref(&second), Some(BAUEN), false);
    check(&[second.clone(), alone.clone()], Some(BAUEN), true);
    check(&[second.clone(), alone.clone()], Some(BILDUNG), false);
    check(&[second, alone], None, false);
}

#[test]
fn what_forbids_goes_before_what_allows_in_whatever_order() {
    let allow = rule("alle", |_| {});
    let deny = rule("sperre", |it| {
        (it.effect, it.role) = (Effect::Deny, None);
        it.actions = vec![Action::Retire];
        it.scope.themenfelder = vec![BAUEN];
    });
    for rules in [[allow.clone(), deny.clone()], [deny.clone(), allow.clone()]] {
        check(&rules, Action::Retire, &target(Some(BAUEN)), "!sperre");
        check(&rules, Action::Retire, &target(None), "!sperre"); // nobody knows better
        check(&rules, Action::Retire, &target(Some(BILDUNG)), "alle");
        check(&rules, Action::Publish, &target(Some(BAUEN)), "alle");
    }
    let nothing = Rule { actions: Vec::new(), scope: Scope::default(), ..deny };
    let bound = Rule { scope: deny_scope(), ..nothing.clone() };
    check(&[allow.clone(), bound], Action::Read, &Target::default(), "alle");
    let publisher = Rule { role: Some(Role::Publisher), ..nothing.clone() };
    check(&[allow.clone(), publisher.clone()], Action::Publish, &target(None), "!sperre");
    check(&[allow.clone(), publisher], Action::Read, &Target::default(), "alle");
    let rules = [allow, nothing, Rule::grant("betrieb", Role::Operator)];
    for action in [Action::Read, Action::Publish, Action::Operate] {
        check(&rules, action, &target(Some(BILDUNG)), "!sperre");
    }
}

fn deny_scope() -> Scope {
    Scope { themenfelder: vec![BAUEN], ..Scope::default() }
}

#[test]
fn what_is_allowed_somewhere_is_not_refused_before_the_object_is_known() {
    let concerned = |rules: &[Rule]| Principal { rules: rules.into(), ..nobody() };
    let bound = rule("bau", |it| {
        it.scope.themenfelder = vec![BAUEN];
        it.actions = vec![Action::Publish];
    });
    let partly = rule("teil", |it| {
        it.effect = Effect::Deny;
        it.scope.themenfelder = vec![BILDUNG];
    });
    let whole = Rule { scope: Scope::default(), name: "sperre".to_owned(), ..partly.clone() };
    let principal = concerned(&[bound.clone(), partly]);
    assert!(require(&principal, Action::Publish).is_ok());
    let refused = |principal: &Principal, action| match require(principal, action) {
        Err(Reject::Forbidden(refusal)) => (refusal.reason, refusal.rules.join(",")),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&principal, Action::Retire), ("OUT_OF_SCOPE", "bau".to_owned()));
    let principal = concerned(&[bound, whole]);
    assert_eq!(refused(&principal, Action::Publish), ("RULE_DENIES", "sperre".to_owned()));
}

fn nobody() -> Principal {
    Principal::with_roles("p-1", &[])
}

fn certificate() -> Certificate {
    Certificate {
        names: vec!["a.example".to_owned()],
        spki: [7; 32],
        issuer: "CN=SL CA".to_owned(),
        subject: "CN=a.example".to_owned(),
        under_client_anchors: true,
        peer: None,
        barred: None,
    }
}

#[test]
fn rules_concern_certificates_by_name_pin_or_subject() {
    let check = |who: Who, effect, under_client_anchors, expected: Option<Mismatch>| {
        let rule = rule("r", |it| (it.who, it.effect) = (who, effect));
        let certificate = Certificate { under_client_anchors, ..certificate() };
        assert_eq!(rule.mismatch(&certificate), expected, "{rule:?}");
        assert_eq!(rule.concerns(&certificate), expected.is_none());
    };
    let name = |name: &str| Who::Name(name.to_owned());
    let subject = |issuer: &str| {
        let subject = "CN=a.example".to_owned();
        Who::Subject { issuer: issuer.to_owned(), subject }
    };
    let (allow, deny) = (Effect::Allow, Effect::Deny);
    let unanchored = Some(Mismatch::NotUnderClientAnchors);
    check(Who::Any, allow, true, None);
    check(Who::Any, allow, false, unanchored);
    check(Who::Any, deny, false, None);
    check(name("a.example"), allow, true, None);
    check(name("a.example"), allow, false, unanchored);
    check(name("a.example"), deny, false, None);
    check(name("b.example"), allow, true, Some(Mismatch::Other));
    check(Who::Spki([7; 32]), allow, false, None);
    check(Who::Spki([8; 32]), allow, true, Some(Mismatch::Other));
    check(subject("CN=SL CA"), allow, true, None);
    check(subject("CN=SL CA"), allow, false, unanchored);
    check(subject("CN=RP CA"), allow, true, Some(Mismatch::Other));
    check(Who::Members, allow, true, Some(Mismatch::NoMember));
    let peer = Some(PeerIdentity { land: Land::RP, node: "rp-1".to_owned() });
    let node = Certificate { peer, under_client_anchors: false, ..certificate() };
    assert!(Rule::of_charter().concerns(&node));
    assert_eq!(Principal::of(&node, &[Rule::of_charter()]).roles(), [Role::Peer]);
}

#[test]
fn one_key_or_one_subject_is_one_person() {
    let same = |change: fn(&mut Certificate)| {
        let mut other = certificate();
        change(&mut other);
        Person::of(&certificate()).is_same(&Person::of(&other))
    };
    assert!(same(|it| it.subject = "CN=b".to_owned()), "the key");
    assert!(same(|it| it.spki = [8; 32]), "the subject");
    assert!(!same(|it| (it.spki, it.subject) = ([8; 32], "CN=b".to_owned())));
    assert!(!same(|it| (it.spki, it.subject) = ([8; 32], String::new())), "no subject is no name");
    let unnamed = |name: &str, key| Certificate {
        names: vec![name.to_owned()],
        spki: [key; 32],
        subject: String::new(),
        ..certificate()
    };
    let person = |name, key| Person::of(&unnamed(name, key));
    assert!(person("x", 1).is_same(&person("x", 2)));
    assert!(!person("x", 1).is_same(&person("y", 2)));
}

#[test]
fn a_node_whose_member_takes_no_part_is_told_so_and_may_nothing() {
    for (removed, expect) in [(false, "MEMBER_SUSPENDED"), (true, "MEMBER_REMOVED")] {
        let peer = PeerIdentity { land: Land::RP, node: "rp-1".to_owned() };
        let barred = Some(Barred { peer, removed });
        let node = Certificate { barred, under_client_anchors: false, ..certificate() };
        let principal = Principal::of(&node, &[Rule::of_charter()]);
        assert_eq!(principal.roles(), []);
        let Err(Reject::Precondition { reason, .. }) = require(&principal, Action::Replicate)
        else {
            panic!("a reason");
        };
        assert_eq!(reason, expect);
        assert!(matches!(require(&principal, Action::Read), Err(Reject::Denied { .. })));
    }
}
