//! Moves judged against small logs.

use registry_proto::{
    log::{Hash, Kind},
    terms::{Land, LogId},
    wire::registry::{
        Anschluss, AnschlussStatus, Bestaetigung, Kontakt, Lifecycle, Mitfederfuehrung,
        Mitzeichnung, PublishRequest, Record, SubscriptionMove, SubscriptionState as State,
        VersionStatus, record::Record as R,
    },
};

use super::Submission;
use crate::{
    authorize::{Principal, Role},
    envelope::{Envelope, Purpose},
    fold::testing::{Log, definition, uuid},
    reject::Reject,
    validate::CodeLists,
    view::{QueryError, tests::World},
};

const TODAY: &str = "2026-11-23";
const NUMBER: &str = "99050012104000";
/// Wall clock of the day before; the judge is told its day.
const WALL_MS: i64 = 1_795_000_000_000;

/// The Saarland has service 1 in version 1.0.0; Nachnutzung 9 is that of Thüringen.
struct Logs {
    sl: Log,
    th: Log,
    head: Option<Hash>,
}

// === impl Logs ===

impl Logs {
    fn new() -> Self {
        let mut sl = Log::of(Land::SL);
        sl.define(uuid(1), "Waffenbesitzkarte", &[NUMBER]);
        sl.release(uuid(1), "1.0.0", "2026-01-01", "");
        Self { sl, th: Log::of(Land::TH), head: None }
    }

    /// The Nachnutzung went through these states.
    fn after(states: &[State]) -> Self {
        let mut logs = Self::new();
        for state in states {
            let by_owner = matches!(state, State::Abstimmung | State::Zugesagt | State::Abgelehnt);
            let log = if by_owner { &mut logs.sl } else { &mut logs.th };
            let said = step(*state);
            logs.head = Some(log.say(Kind::SubscriptionMove, uuid(9), logs.head, &said));
        }
        logs
    }

    /// In use.
    fn bound() -> Self {
        Self::after(&WAY)
    }

    fn deprecated(mut self, end: &str) -> Self {
        let said = status(Lifecycle::Abgekuendigt, "2026-11-23", end);
        self.sl.say(Kind::VersionStatus, uuid(1), None, &said);
        self
    }

    fn acknowledged(mut self, anlass: Lifecycle) -> Self {
        let said = acknowledgement("1.0.0", anlass);
        self.th.say(Kind::Bestaetigung, uuid(9), self.head, &said);
        self
    }

    fn breaking(mut self) -> Self {
        let mut version = crate::fold::testing::version(uuid(1), "2.0.0", "2026-11-01", "");
        version.versionshinweis = Some(registry_proto::wire::registry::Versionshinweis {
            text: "neu".to_owned(),
            breaking: true,
        });
        self.sl.say(Kind::ServiceVersion, uuid(1), None, &version);
        self
    }

    fn judged(&self, own: Land, today: &str, key: &str, said: Vec<R>) -> Verdict {
        let records =
            said.into_iter().map(|it| Record { record: Some(it), expected_revision: None });
        let request = PublishRequest {
            records: records.collect(),
            idempotency_key: key.to_owned(),
            ..PublishRequest::default()
        };
        let envelope = Envelope {
            request,
            purpose: Purpose::Publish,
            principal: Some(Principal::with_roles("p-1", &[Role::Publisher])),
            today: today.parse().expect("a day"),
            wall_ms: WALL_MS,
            entropy: [4; 32],
        };
        let authorized = envelope.authenticate()?.authorize()?;
        let submission = Submission::validate(authorized, own, CodeLists::shipped())?;
        let world = World::of(&[self.sl.clone(), self.th.clone()]);
        let own = LogId { land: own, epoch: 1 };
        let contents = |_| Err(Reject::Storage { operation: "reading a body" });
        submission.judge(&world.catalogue(), own, today.parse().expect("a day"), &contents)
    }

    /// `expect` is "ok", "ok: " and part of a warning, or a reason and part of its description.
    #[track_caller]
    fn check(&self, own: Land, today: &str, said: R, expect: &str) {
        let got = shown(self.judged(own, today, "", vec![said.clone()]));
        let (reason, text) = expect.split_once(": ").unwrap_or((expect, ""));
        assert!(got.starts_with(reason) && got.contains(text), "{said:?}\n{got}\nnot {expect}");
        assert!(expect != "ok" || got == "ok", "{said:?}\n{got}");
    }
}

type Verdict = Result<Submission, QueryError>;

fn shown(verdict: Verdict) -> String {
    match verdict {
        Ok(it) => {
            let own = |text: &&str| ["Bestätigung", "Nachnutz"].iter().any(|it| text.contains(it));
            let warnings = it.records.iter().flat_map(|it| &it.warnings);
            let warnings: Vec<_> = warnings.map(|it| it.description.as_str()).filter(own).collect();
            if warnings.is_empty() { "ok".to_owned() } else { format!("ok: {warnings:?}") }
        }
        Err(QueryError::Reject(Reject::Invalid(all))) => {
            format!("{}: {}", all[0].reason, all[0].description)
        }
        Err(QueryError::Reject(Reject::Precondition { reason, description })) => {
            format!("{reason}: {description}")
        }
        Err(QueryError::Reject(Reject::NotFound { what, name })) => {
            format!("not found: {what} {name}")
        }
        Err(other) => format!("{other:?}"),
    }
}

fn step(zustand: State) -> SubscriptionMove {
    let mut it = SubscriptionMove {
        subscription_id: uuid(9).to_string(),
        service_id: uuid(1).to_string(),
        publisher_land: "SL".to_owned(),
        subscriber_land: "TH".to_owned(),
        zustand: zustand as i32,
        ..SubscriptionMove::default()
    };
    match zustand {
        State::Interesse => {
            it.version_requirement = "^1".to_owned();
            it.gebiete = vec!["16051".to_owned(), "16053".to_owned()];
        }
        State::Vertrag => it.vertrag_id = "V-1".to_owned(),
        State::Abgelehnt | State::Beendet => it.grund = "weil".to_owned(),
        _ => {}
    }
    it
}

fn status(lifecycle: Lifecycle, announced: &str, end: &str) -> VersionStatus {
    let grund = if lifecycle == Lifecycle::Zurueckgezogen { "Lücke" } else { "" };
    VersionStatus {
        service_id: uuid(1).to_string(),
        version: "1.0.0".to_owned(),
        lifecycle: lifecycle as i32,
        abkuendigung_am: announced.to_owned(),
        abschaltung_am: end.to_owned(),
        grund: grund.to_owned(),
        ..VersionStatus::default()
    }
}

fn acknowledgement(version: &str, anlass: Lifecycle) -> Bestaetigung {
    Bestaetigung {
        subscription_id: uuid(9).to_string(),
        service_id: uuid(1).to_string(),
        version: version.to_owned(),
        anlass: anlass as i32,
        ..Bestaetigung::default()
    }
}

fn connected(ars: &str) -> R {
    R::Anschluss(Anschluss {
        subscription_id: uuid(9).to_string(),
        ars: ars.to_owned(),
        status: AnschlussStatus::Angeschlossen as i32,
        seit: "2026-11-01".to_owned(),
        ..Anschluss::default()
    })
}

fn moves(lifecycle: Lifecycle, announced: &str, end: &str) -> R {
    R::VersionStatus(status(lifecycle, announced, end))
}

const WAY: [State; 5] =
    [State::Interesse, State::Abstimmung, State::Zugesagt, State::Vertrag, State::Produktiv];

#[test]
fn a_version_moves_on_only_by_its_rules_and_days() {
    use Lifecycle::{Abgekuendigt, Abgeschaltet, Zurueckgezogen};
    let new = Logs::new();
    let (end, later) = ("2027-05-01", "2027-08-01");
    new.check(Land::SL, TODAY, moves(Abgekuendigt, TODAY, end), "ok");
    new.check(Land::SL, TODAY, moves(Zurueckgezogen, "", ""), "ok");
    let names = "LIFECYCLE_MOVE: möglich: abgekuendigt, zurueckgezogen";
    new.check(Land::SL, TODAY, moves(Abgeschaltet, "", ""), names);
    let backdated = moves(Abgekuendigt, "2026-01-01", "2026-05-01");
    new.check(Land::SL, TODAY, backdated, "ABKUENDIGUNG_RUECKWIRKEND: 2026-01-01 liegt vor heute");
    let another = VersionStatus { version: "7.0.0".to_owned(), ..status(Abgekuendigt, TODAY, end) };
    new.check(Land::SL, TODAY, R::VersionStatus(another), "VERSION_UNKNOWN: 7.0.0");
    let replaced = VersionStatus {
        nachfolger_version: "2.0.0".to_owned(),
        ..status(Abgekuendigt, TODAY, end)
    };
    let replaced = R::VersionStatus(replaced);
    new.check(Land::SL, TODAY, replaced.clone(), "ok: Nachfolgerin 2.0.0");
    Logs::new().breaking().check(Land::SL, TODAY, replaced, "ok");
    // the version of another Land is none of ours
    new.check(Land::TH, TODAY, moves(Abgekuendigt, TODAY, end), "VERSION_UNKNOWN: TH hat");

    let told = Logs::new().deprecated(end);
    let early = "ABSCHALTUNG_FRIST: erst am 2027-05-01";
    told.check(Land::SL, "2027-04-30", moves(Abgeschaltet, "", ""), early);
    told.check(Land::SL, end, moves(Abgeschaltet, "", ""), "ok");
    let back = "ABSCHALTUNG_FRIST: nach hinten";
    told.check(Land::SL, TODAY, moves(Abgekuendigt, TODAY, "2027-03-01"), back);
    // the day of the deprecation stays as it was said
    told.check(Land::SL, "2027-01-01", moves(Abgekuendigt, TODAY, later), "ok");
}

#[test]
fn a_retirement_waits_for_acknowledgements_and_a_withdrawal_does_not() {
    use Lifecycle::{Abgekuendigt, Abgeschaltet, Zurueckgezogen};
    let end = "2027-05-01";
    let retire = || moves(Abgeschaltet, "", "");
    let told = Logs::bound().deprecated(end);
    told.check(Land::SL, end, retire(), "MISSING_ACKNOWLEDGEMENTS: TH (0 Kommunen)");
    let anyway = VersionStatus {
        ohne_bestaetigung_grund: "TH antwortet nicht".to_owned(),
        ..status(Abgeschaltet, "", "")
    };
    told.check(Land::SL, end, R::VersionStatus(anyway), "ok: Bestätigungen fehlen: TH");
    told.check(Land::SL, end, moves(Zurueckgezogen, "", ""), "ok");
    Logs::bound().deprecated(end).acknowledged(Abgekuendigt).check(Land::SL, end, retire(), "ok");
    // without a contract nobody has to be waited for
    Logs::after(&WAY[..3]).deprecated(end).check(Land::SL, end, retire(), "ok");
}

#[test]
fn a_nachnutzung_moves_only_as_its_state_and_side_allow() {
    #[track_caller]
    fn check(way: usize, own: Land, to: State, expect: &str) {
        let said = R::SubscriptionMove(step(to));
        Logs::after(&WAY[..way]).check(own, TODAY, said, expect);
    }
    check(0, Land::TH, State::Interesse, "ok");
    check(0, Land::SL, State::Abstimmung, "not found: Nachnutzung");
    check(0, Land::TH, State::Produktiv, "ILLEGAL_MOVE: möglich: interesse");
    check(1, Land::SL, State::Abstimmung, "ok");
    check(1, Land::SL, State::Abgelehnt, "ok");
    check(1, Land::SL, State::Zugesagt, "ILLEGAL_MOVE: möglich: abstimmung, abgelehnt");
    check(1, Land::TH, State::Vertrag, "ILLEGAL_MOVE: das umsetzende Land kann: abstimmung");
    check(1, Land::TH, State::Beendet, "ok");
    check(2, Land::SL, State::Zugesagt, "ok");
    check(3, Land::TH, State::Vertrag, "ok");
    check(4, Land::TH, State::Produktiv, "ok");
    check(5, Land::TH, State::Produktiv, "ok");
    check(5, Land::SL, State::Beendet, "ok");
    check(5, Land::TH, State::Interesse, "ILLEGAL_MOVE: möglich: produktiv, beendet");
}

#[test]
fn a_nachnutzung_begins_only_with_a_service_that_is_known() {
    let logs = Logs::new();
    let other = SubscriptionMove { service_id: uuid(5).to_string(), ..step(State::Interesse) };
    logs.check(Land::TH, TODAY, R::SubscriptionMove(other), "SERVICE_UNKNOWN: SL hat hier keine");
    let again = SubscriptionMove { subscription_id: uuid(8).to_string(), ..step(State::Interesse) };
    let open = "ok: schon eine offene Nachnutzung";
    Logs::after(&WAY[..1]).check(Land::TH, TODAY, R::SubscriptionMove(again), open);
    let hijacked = SubscriptionMove {
        subscriber_land: "HE".to_owned(),
        gebiete: vec!["06".to_owned()],
        ..step(State::Interesse)
    };
    let said = R::SubscriptionMove(hijacked);
    Logs::after(&WAY[..1]).check(Land::HE, TODAY, said, "OTHER_NACHNUTZUNG: SL für TH");
}

#[test]
fn kommunen_are_connected_by_the_subscriber_under_a_contract_inside_its_areas() {
    Logs::after(&WAY[..3]).check(Land::TH, TODAY, connected("16051"), "NO_CONTRACT: ZUGESAGT");
    let bound = Logs::bound();
    bound.check(Land::TH, TODAY, connected("16051"), "ok");
    bound.check(Land::TH, TODAY, connected("16052"), "ARS_OUTSIDE: 16052");
    bound.check(Land::SL, TODAY, connected("10041"), "OTHER_LAND: anschließende Land (TH)");
    Logs::new().check(Land::TH, TODAY, connected("16051"), "not found: Nachnutzung");
    let batch = vec![connected("16051"), connected("16053")];
    let judged = bound.judged(Land::TH, TODAY, "", batch).expect("any number of Kommunen");
    assert!(judged.records.iter().all(|it| it.of_service.uuid() == uuid(1)));
}

#[test]
fn only_what_is_owed_is_acknowledged() {
    use Lifecycle::{Abgekuendigt, Freigegeben, Zurueckgezogen};
    let said = |version: &str, anlass| R::Bestaetigung(acknowledgement(version, anlass));
    let nothing = "NOT_OWED: offen: nichts";
    Logs::bound().check(Land::TH, TODAY, said("1.0.0", Abgekuendigt), nothing);
    let breaks = Logs::bound().breaking();
    breaks.check(Land::TH, TODAY, said("2.0.0", Freigegeben), "ok");
    breaks.check(Land::TH, TODAY, said("1.0.0", Abgekuendigt), "NOT_OWED: 2.0.0 FREIGEGEBEN");
    let told = Logs::bound().deprecated("2027-05-01");
    told.check(Land::TH, TODAY, said("1.0.0", Abgekuendigt), "ok");
    told.check(Land::SL, TODAY, said("1.0.0", Abgekuendigt), "OTHER_LAND: anschließende Land (TH)");
    let mut withdrawn = Logs::bound();
    withdrawn.sl.say(Kind::VersionStatus, uuid(1), None, &status(Zurueckgezogen, "", ""));
    withdrawn.check(Land::TH, TODAY, said("1.0.0", Zurueckgezogen), "ok");
}

#[test]
fn only_co_owners_countersign_and_only_what_is_there() {
    let mut logs = Logs::new();
    let mut joint = definition(Land::SL, uuid(1), "gemeinsam", &[NUMBER]);
    joint.mitfederfuehrung = Some(Mitfederfuehrung { laender: vec!["TH".to_owned()], k: 1 });
    logs.sl.say(Kind::ServiceDefinition, uuid(1), None, &joint);
    logs.sl.release(uuid(1), "1.1.0", "2026-02-01", "");
    let said = |leaf: Hash| {
        R::Mitzeichnung(Mitzeichnung {
            service_id: uuid(1).to_string(),
            land: "SL".to_owned(),
            leaf_hash: leaf.as_bytes().to_vec().into(),
            hinweise: Vec::new(),
        })
    };
    let leaf = |logs: &Logs, at: usize| logs.sl.entries[at].leaf;
    logs.check(Land::TH, TODAY, said(leaf(&logs, 3)), "ok");
    logs.check(Land::HE, TODAY, said(leaf(&logs, 3)), "OTHER_LAND: HE führt");
    // before the definition that names the co-owners
    logs.check(Land::TH, TODAY, said(leaf(&logs, 1)), "OTHER_LAND: TH führt");
    logs.check(Land::TH, TODAY, said(Hash::EMPTY_ROOT), "not found: Eintrag");
}

#[test]
fn a_contact_of_another_land_is_refused_with_its_name() {
    let of = |n| {
        R::Kontakt(Kontakt {
            service_id: uuid(n).to_string(),
            rolle: "fachlich".to_owned(),
            stelle: "Amt".to_owned(),
            email: "amt@example.de".to_owned(),
            ..Kontakt::default()
        })
    };
    let logs = Logs::new();
    logs.check(Land::SL, TODAY, of(1), "ok");
    logs.check(Land::TH, TODAY, of(1), "OTHER_LAND: gehört SL; dieser Knoten schreibt für TH");
    logs.check(Land::TH, TODAY, of(5), "not found: service of this Land");
}

#[test]
fn two_moves_of_one_object_in_a_batch_are_refused() {
    let way = [State::Vertrag, State::Produktiv].map(|it| R::SubscriptionMove(step(it)));
    let got = shown(Logs::after(&WAY[..3]).judged(Land::TH, TODAY, "", way.to_vec()));
    assert!(got.starts_with("ONE_MOVE_A_BATCH"), "{got}");
}

#[test]
fn a_request_that_may_be_a_repetition_is_left_to_the_log() {
    let again = || vec![R::SubscriptionMove(step(State::Produktiv))];
    let ended = || Logs::after(&[WAY.as_slice(), &[State::Beendet]].concat());
    let judged = ended().judged(Land::TH, TODAY, "key", again()).expect("left to the log");
    assert!(matches!(judged.refused, Some(Reject::Invalid(_))), "{judged:?}");
    let got = shown(ended().judged(Land::TH, TODAY, "", again()));
    assert!(got.starts_with("ILLEGAL_MOVE"), "{got}");
}
