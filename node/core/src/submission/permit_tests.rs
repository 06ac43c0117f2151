//! Rules with bounds, asked about records against small logs.

use std::sync::Arc;

use registry_proto::{
    log::Kind,
    terms::{Land, Themenfeld},
    wire::registry::{
        Anschluss, AnschlussStatus, Lifecycle, Mitzeichnung, PublishRequest, Record,
        ServiceDefinition, ServiceVersion, SubscriptionMove, SubscriptionState, VersionStatus,
        record::Record as R,
    },
};
use uuid::Uuid;

use super::{Submission, permit_draft};
use crate::{
    authorize::{Action, Certificate, Effect, Principal, Role, Rule, Scope, Who},
    envelope::{Envelope, Purpose},
    fold::testing::{Log, uuid},
    reject::Reject,
    validate::{
        CodeLists,
        tests::{minimal_definition, minimal_version},
    },
    view::{QueryError, tests::World},
};

const BAUEN: Themenfeld = Themenfeld::BauenWohnen;
const UNTERNEHMEN: Themenfeld = Themenfeld::UnternehmensfuehrungEntwicklung;

/// The Saarland has services 1 (Bauen) and 2 (Unternehmen) and re-uses service 3 (Bauen) of
/// Rheinland-Pfalz as Nachnutzung 9; service 4 of Rheinland-Pfalz is not known here.
fn world() -> World {
    let (mut sl, mut rp) = (Log::of(Land::SL), Log::of(Land::RP));
    sl.say(Kind::ServiceDefinition, uuid(1), None, &of(uuid(1), BAUEN));
    sl.release(uuid(1), "1.0.0", "2026-01-01", "");
    sl.say(Kind::ServiceDefinition, uuid(2), None, &of(uuid(2), UNTERNEHMEN));
    let of_rp = ServiceDefinition { land: "RP".to_owned(), ..of(uuid(3), BAUEN) };
    rp.say(Kind::ServiceDefinition, uuid(3), None, &of_rp);
    sl.say(Kind::SubscriptionMove, uuid(9), None, &reuse(9, 3));
    World::of(&[sl, rp])
}

fn of(service: Uuid, themenfeld: Themenfeld) -> ServiceDefinition {
    ServiceDefinition {
        service_id: service.to_string(),
        themenfeld: themenfeld.code().to_owned(),
        ..minimal_definition()
    }
}

fn reuse(id: u8, service: u8) -> SubscriptionMove {
    SubscriptionMove {
        subscription_id: uuid(id).to_string(),
        service_id: uuid(service).to_string(),
        publisher_land: "RP".to_owned(),
        subscriber_land: "SL".to_owned(),
        zustand: SubscriptionState::Interesse as i32,
        version_requirement: "^1".to_owned(),
        gebiete: vec!["10041".to_owned()],
        ..SubscriptionMove::default()
    }
}

fn status(service: u8, lifecycle: Lifecycle) -> R {
    let only = |wanted, text: &str| match lifecycle == wanted {
        true => text.to_owned(),
        false => String::new(),
    };
    R::VersionStatus(VersionStatus {
        service_id: uuid(service).to_string(),
        version: "1.0.0".to_owned(),
        lifecycle: lifecycle as i32,
        abkuendigung_am: only(Lifecycle::Abgekuendigt, "2026-12-01"),
        abschaltung_am: only(Lifecycle::Abgekuendigt, "2027-12-01"),
        grund: only(Lifecycle::Zurueckgezogen, "Versuch"),
        ..VersionStatus::default()
    })
}

fn rule(name: &str, change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule::grant(name, Role::Publisher);
    change(&mut rule);
    rule
}

fn principal(rules: &[Rule]) -> Principal {
    let certificate = Certificate {
        names: Vec::new(),
        spki: [1; 32],
        issuer: "CN=CA".to_owned(),
        subject: "CN=a".to_owned(),
        under_client_anchors: true,
        peer: None,
        barred: None,
    };
    Principal::of(&certificate, rules)
}

/// `expect` is "ok", or reason, field and bounds of a refusal.
#[track_caller]
fn check(rules: &[Rule], said: Vec<R>, expect: &str) {
    let got = match permitted(rules, said, Purpose::Publish) {
        Ok(it) => {
            assert!(it.is_permitted());
            "ok".to_owned()
        }
        Err(QueryError::Reject(Reject::Forbidden(it))) => {
            format!("{} {} {}", it.reason, it.field, it.scope)
        }
        Err(other) => panic!("{other:?}"),
    };
    assert!(got.starts_with(expect), "{got}\nnot {expect}");
}

fn permitted(rules: &[Rule], said: Vec<R>, purpose: Purpose) -> Result<Submission, QueryError> {
    let records = said.into_iter().map(|it| Record { record: Some(it), expected_revision: None });
    let envelope = Envelope {
        request: PublishRequest { records: records.collect(), ..PublishRequest::default() },
        purpose,
        principal: Some(principal(rules)),
        today: "2026-11-23".parse().expect("a day"),
        wall_ms: 1_795_000_000_000,
        entropy: [4; 32],
    };
    let authorized = envelope.authenticate()?.authorize()?;
    let submission = Submission::validate(authorized, Land::SL, CodeLists::shipped())?;
    submission.permit(&world().catalogue(), Land::SL)
}

fn bauen() -> [Rule; 1] {
    [rule("bau", |it| it.scope.themenfelder = vec![BAUEN])]
}

#[test]
fn a_version_belongs_to_the_themenfeld_of_its_definition() {
    let release = |service: u8| {
        let service_id = uuid(service).to_string();
        R::ServiceVersion(ServiceVersion { service_id, ..minimal_version() })
    };
    let define = |service, themenfeld| R::ServiceDefinition(of(uuid(service), themenfeld));
    check(&bauen(), vec![status(1, Lifecycle::Abgekuendigt)], "ok");
    let elsewhere = "OUT_OF_SCOPE records[0].version_status land=SL \
                     themenfeld=unternehmensfuehrung_entwicklung";
    check(&bauen(), vec![status(2, Lifecycle::Abgekuendigt)], elsewhere);
    check(&bauen(), vec![define(5, BAUEN)], "ok");
    check(&bauen(), vec![define(5, UNTERNEHMEN)], "OUT_OF_SCOPE records[0].service_definition");
    // a service cannot be drawn into the own Themenfeld, nor pushed out of it
    check(&bauen(), vec![define(2, BAUEN)], "OUT_OF_SCOPE records[0].service_definition");
    check(&bauen(), vec![define(1, UNTERNEHMEN)], "OUT_OF_SCOPE records[0].service_definition");
    // of a new service the definition of the same batch counts
    check(&bauen(), vec![define(5, BAUEN), release(5)], "ok");
    check(&bauen(), vec![release(5)], "OUT_OF_SCOPE records[0].service_version land=SL service=");
    check(&bauen(), vec![release(1), release(2)], "OUT_OF_SCOPE records[1].service_version");
}

#[test]
fn moves_about_the_services_of_others_count_for_their_owner() {
    let connect = || {
        R::Anschluss(Anschluss {
            subscription_id: uuid(9).to_string(),
            ars: "100410100100".to_owned(),
            status: AnschlussStatus::Angeschlossen as i32,
            seit: "2026-11-01".to_owned(),
            ..Anschluss::default()
        })
    };
    let sign = R::Mitzeichnung(Mitzeichnung {
        service_id: uuid(3).to_string(),
        land: "RP".to_owned(),
        leaf_hash: vec![1; 32].into(),
        ..Mitzeichnung::default()
    });
    let of_rp = [rule("rp", |it| it.scope.laender = vec![Land::RP])];
    let of_sl = [rule("sl", |it| it.scope.laender = vec![Land::SL])];
    for said in [R::SubscriptionMove(reuse(9, 3)), connect(), sign] {
        check(&of_rp, vec![said.clone()], "ok");
        check(&bauen(), vec![said.clone()], "ok");
        check(&of_sl, vec![said], "OUT_OF_SCOPE records[0]");
    }
    let unknown = R::SubscriptionMove(reuse(8, 4));
    check(&of_rp, vec![unknown.clone()], "ok");
    check(&bauen(), vec![unknown], "OUT_OF_SCOPE records[0].subscription_move land=RP service=");
}

#[test]
fn what_a_rule_forbids_is_refused_to_whom_another_allows_all() {
    let forbid = rule("sperre", |it| {
        (it.effect, it.role, it.who) = (Effect::Deny, None, Who::Any);
        it.actions = vec![Action::Retire];
        it.scope = Scope { themenfelder: vec![BAUEN], ..Scope::default() };
    });
    let rules = [rule("alle", |_| {}), forbid];
    check(&rules, vec![status(1, Lifecycle::Abgekuendigt)], "RULE_DENIES records[0]");
    check(&rules, vec![R::ServiceDefinition(of(uuid(1), BAUEN))], "ok");
    check(&rules, vec![status(2, Lifecycle::Abgekuendigt)], "ok");
    // nobody knows the Themenfeld of what is not here
    check(&rules, vec![status(7, Lifecycle::Zurueckgezogen)], "RULE_DENIES records[0]");
}

#[test]
fn a_second_person_is_needed_where_no_rule_lets_act_alone() {
    let rules = [
        rule("alle", |it| it.four_eyes = true),
        rule("bau", |it| it.scope.themenfelder = vec![BAUEN]),
    ];
    let needs = |said: Vec<R>, purpose| permitted(&rules, said, purpose).unwrap().needs_second();
    let define = |service, themenfeld| R::ServiceDefinition(of(uuid(service), themenfeld));
    assert!(!needs(vec![define(5, BAUEN)], Purpose::Publish));
    assert!(needs(vec![define(5, UNTERNEHMEN)], Purpose::Publish));
    assert!(needs(vec![define(5, BAUEN), define(6, UNTERNEHMEN)], Purpose::Publish));
    assert!(needs(vec![define(1, UNTERNEHMEN)], Purpose::Publish), "out of the own Themenfeld");
    assert!(needs(vec![status(2, Lifecycle::Abgekuendigt)], Purpose::Publish));
    assert!(!needs(vec![status(1, Lifecycle::Abgekuendigt)], Purpose::Publish));
    for purpose in [Purpose::Draft, Purpose::Confirm] {
        assert!(!needs(vec![define(5, UNTERNEHMEN)], purpose), "{purpose:?}");
    }
}

#[test]
fn drafts_are_kept_within_the_bounds_too() {
    let drafts = [rule("entwürfe", |it| {
        it.actions = vec![Action::Draft];
        it.scope.themenfelder = vec![BAUEN];
    })];
    let world = world();
    let check = |definition: ServiceDefinition, expect: Result<(), &str>| {
        let record = Record { record: Some(R::ServiceDefinition(definition)), ..Record::default() };
        let got = permit_draft(&principal(&drafts), &[record], &world.catalogue(), Land::SL);
        match (got, expect) {
            (Ok(()), Ok(())) => {}
            (Err(QueryError::Reject(Reject::Forbidden(it))), Err(reason)) => {
                assert_eq!(it.reason, reason);
            }
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
    };
    check(of(uuid(5), BAUEN), Ok(()));
    check(of(uuid(5), UNTERNEHMEN), Err("OUT_OF_SCOPE"));
    check(of(uuid(2), BAUEN), Err("OUT_OF_SCOPE"));
    check(ServiceDefinition::default(), Ok(()));
    // seeing how it would fare is no publishing
    let said = || vec![R::ServiceDefinition(of(uuid(5), BAUEN))];
    assert!(permitted(&drafts, said(), Purpose::Draft).is_ok_and(|it| it.dry_run));
    assert!(permitted(&drafts, said(), Purpose::Publish).is_err());
    let nobody = Arc::new(Principal::with_roles("n", &[Role::Reader]));
    assert!(permit_draft(&nobody, &[], &world.catalogue(), Land::SL).is_err());
}
