//! Handovers, and who may write about a service, judged against small logs.

use registry_proto::{
    log::{Hash, Kind},
    terms::{Land, LogId},
    wire::registry::{
        Lifecycle, Mitfederfuehrung, Mitzeichnung, PublishRequest, Record, SubscriptionMove,
        SubscriptionState as State, Uebergabe, UebergabeSchritt as Schritt, VersionStatus,
        record::Record as R,
    },
};

use super::{Submission, content_of};
use crate::{
    authorize::{Principal, Role},
    envelope::{Envelope, Purpose},
    fold::testing::{Log, definition, uuid},
    moves::uebergabe::OWNERS_MAX,
    reject::Reject,
    validate::{CodeLists, tests as samples},
    view::{QueryError, tests::World},
};

use Land::{HE, RP, SL, TH};
use Schritt::{Angebot, Annahme, Ruecknahme};

const TODAY: &str = "2026-11-23";
const NUMBER: &str = "99050012104000";

/// The Saarland has service 1 in version 1.0.0, Thüringen is interested (Nachnutzung 9).
struct Logs {
    all: Vec<Log>,
    offer: Option<Hash>,
}

// === impl Logs ===

impl Logs {
    fn new() -> Self {
        let all = [SL, HE, TH, RP].map(Log::of).to_vec();
        let mut logs = Self { all, offer: None };
        logs.log(SL).define(uuid(1), "Waffenbesitzkarte", &[NUMBER]);
        logs.log(SL).release(uuid(1), "1.0.0", "2026-01-01", "");
        let said = interest(State::Interesse);
        logs.log(TH).say(Kind::SubscriptionMove, uuid(9), None, &said);
        logs
    }

    fn log(&mut self, land: Land) -> &mut Log {
        self.all.iter_mut().find(|it| it.id.land == land).expect("a Land of the test")
    }

    fn offered(mut self, from: Land, to: Land) -> Self {
        let said = Uebergabe {
            von_land: from.to_string(),
            an_land: to.to_string(),
            schritt: Angebot as i32,
            ..handover()
        };
        self.offer = Some(self.log(from).say(Kind::Uebergabe, uuid(1), None, &said));
        self
    }

    fn answered(mut self, land: Land, schritt: Schritt) -> Self {
        let said = Uebergabe { schritt: schritt as i32, angebot: self.angebot(), ..handover() };
        self.log(land).say(Kind::Uebergabe, uuid(1), None, &said);
        self
    }

    fn handed_over(self, from: Land, to: Land) -> Self {
        self.offered(from, to).answered(to, Annahme)
    }

    fn angebot(&self) -> bytes::Bytes {
        self.offer.map(|it| it.as_bytes().to_vec()).unwrap_or_default().into()
    }

    fn step(&self, schritt: Schritt, from: Land, to: Land) -> R {
        let angebot = if schritt == Angebot { Default::default() } else { self.angebot() };
        R::Uebergabe(Uebergabe {
            von_land: from.to_string(),
            an_land: to.to_string(),
            schritt: schritt as i32,
            angebot,
            ..handover()
        })
    }

    fn judged(&self, own: Land, said: Vec<R>) -> Result<Submission, QueryError> {
        let records = said.into_iter().map(|it| Record { record: Some(it), ..Record::default() });
        let request = PublishRequest { records: records.collect(), ..PublishRequest::default() };
        let envelope = Envelope {
            request,
            purpose: Purpose::Publish,
            principal: Some(Principal::with_roles("p-1", &[Role::Publisher])),
            today: TODAY.parse().expect("a day"),
            wall_ms: 1_795_000_000_000,
            entropy: [4; 32],
        };
        let authorized = envelope.authenticate()?.authorize()?;
        let submission = Submission::validate(authorized, own, CodeLists::shipped())?;
        let world = World::of(&self.all);
        let own = LogId { land: own, epoch: 1 };
        let contents = |at: crate::fold::Position| {
            let log = self.all.iter().find(|it| it.id == at.log).expect("a log");
            let body = log.entries[usize::try_from(at.index).expect("small")].body.clone();
            Ok(content_of(&body.expect("a body")))
        };
        submission.judge(&world.catalogue(), own, TODAY.parse().expect("a day"), &contents)
    }

    /// `expect` is "ok" with parts of warnings, or a reason with parts of its description.
    #[track_caller]
    fn check(&self, own: Land, said: R, expect: &str) {
        let got = match self.judged(own, vec![said.clone()]) {
            Ok(it) => {
                let warnings = it.records.iter().flat_map(|it| &it.warnings);
                let warnings: Vec<_> = warnings.map(|it| it.description.as_str()).collect();
                format!("ok {}", warnings.join("; "))
            }
            Err(QueryError::Reject(Reject::Invalid(all))) => {
                format!("{} {}", all[0].reason, all[0].description)
            }
            Err(QueryError::Reject(Reject::Precondition { reason, description })) => {
                format!("{reason} {description}")
            }
            Err(QueryError::Reject(Reject::NotFound { what, .. })) => format!("not found {what}"),
            Err(other) => format!("{other:?}"),
        };
        let mut parts = expect.split(": ");
        let begins = parts.next().is_some_and(|reason| got.starts_with(reason));
        assert!(begins && parts.all(|part| got.contains(part)), "{said:?}\n{got}\nnot {expect}");
    }
}

fn handover() -> Uebergabe {
    Uebergabe { service_id: uuid(1).to_string(), ..Uebergabe::default() }
}

fn interest(zustand: State) -> SubscriptionMove {
    SubscriptionMove {
        subscription_id: uuid(9).to_string(),
        service_id: uuid(1).to_string(),
        publisher_land: "SL".to_owned(),
        subscriber_land: "TH".to_owned(),
        zustand: zustand as i32,
        version_requirement: "^1".to_owned(),
        gebiete: vec!["16051".to_owned()],
        ..SubscriptionMove::default()
    }
}

/// The publisher talks with Thüringen.
fn talk(publisher: Land) -> R {
    let publisher_land = publisher.to_string();
    R::SubscriptionMove(SubscriptionMove { publisher_land, ..interest(State::Abstimmung) })
}

fn revision() -> R {
    let mut it = samples::minimal_definition();
    it.service_id = uuid(1).to_string();
    it.land = String::new();
    R::ServiceDefinition(it)
}

fn withdrawal() -> R {
    R::VersionStatus(VersionStatus {
        service_id: uuid(1).to_string(),
        version: "1.0.0".to_owned(),
        lifecycle: Lifecycle::Zurueckgezogen as i32,
        grund: "Lücke".to_owned(),
        ..VersionStatus::default()
    })
}

#[test]
fn only_the_owner_offers_and_once() {
    let new = Logs::new();
    new.check(SL, new.step(Angebot, SL, HE), "ok: gehen mit über: TH (interesse)");
    new.check(HE, new.step(Angebot, HE, TH), "OTHER_LAND: gehört SL");
    let unknown = Uebergabe { service_id: uuid(5).to_string(), ..handover() };
    let unknown = Uebergabe { von_land: "SL".into(), an_land: "HE".into(), schritt: 1, ..unknown };
    new.check(SL, R::Uebergabe(unknown), "not found service");
    let offered = Logs::new().offered(SL, HE);
    let names = "ILLEGAL_MOVE: schon HE angeboten: möglich: ruecknahme; HE kann: annahme";
    offered.check(SL, offered.step(Angebot, SL, RP), names);
    let back = Logs::new().offered(SL, HE).answered(SL, Ruecknahme);
    back.check(SL, back.step(Angebot, SL, RP), "ok");
    let gone = Logs::new().handed_over(SL, HE);
    gone.check(SL, gone.step(Angebot, SL, RP), "OTHER_LAND: seit der Übergabe HE");
    gone.check(HE, gone.step(Angebot, HE, SL), "ok");
    let mut other = Logs::new();
    other.log(HE).define(uuid(1), "Etwas anderes", &[NUMBER]);
    other.check(SL, other.step(Angebot, SL, HE), "HANDOVER_OTHER_SERVICE: HE hat");
}

#[test]
fn an_offer_is_taken_by_its_successor_and_taken_back_by_its_owner() {
    let offered = Logs::new().offered(SL, HE);
    offered.check(HE, offered.step(Annahme, SL, HE), "ok");
    offered.check(SL, offered.step(Ruecknahme, SL, HE), "ok");
    offered.check(TH, offered.step(Annahme, SL, TH), "OTHER_LAND: annehmen kann es HE");
    offered.check(RP, offered.step(Ruecknahme, RP, HE), "OTHER_LAND: das Angebot ist von SL");
    offered.check(HE, offered.step(Annahme, RP, HE), "OTHER_OFFER: von SL");
    let mut unknown = Logs::new().offered(SL, HE);
    unknown.offer = Some(Hash::EMPTY_ROOT);
    unknown.check(HE, unknown.step(Annahme, SL, HE), "not found Angebot");

    let taken = Logs::new().handed_over(SL, HE);
    let nothing = "ILLEGAL_MOVE: HE hat das Angebot angenommen (HE/1/0): HE kann: angebot";
    taken.check(SL, taken.step(Ruecknahme, SL, HE), nothing);
    taken.check(HE, taken.step(Annahme, SL, HE), nothing);
    let back = Logs::new().offered(SL, HE).answered(SL, Ruecknahme);
    let gone = "ILLEGAL_MOVE: SL hat das Angebot zurückgenommen (SL/1/3): SL kann: angebot";
    back.check(HE, back.step(Annahme, SL, HE), gone);
    back.check(SL, back.step(Ruecknahme, SL, HE), gone);
    // who began another service of this UUID meanwhile takes none
    let mut other = Logs::new().offered(SL, HE);
    other.log(HE).define(uuid(1), "Etwas anderes", &[NUMBER]);
    other.check(HE, other.step(Annahme, SL, HE), "HANDOVER_OTHER_SERVICE: HE hat");
}

#[test]
fn while_an_offer_stands_the_service_does_not_change() {
    let offered = Logs::new().offered(SL, HE);
    let open = "HANDOVER_OPEN: HE angeboten (SL/1/2): uebergabe zuruecknehmen";
    offered.check(SL, revision(), open);
    offered.check(SL, withdrawal(), open);
    offered.check(SL, talk(SL), open);
    offered.check(HE, revision(), "HANDOVER_NOT_TAKEN: SL bietet HE: uebergabe annehmen");
    // others have nothing to do with it
    offered.check(RP, revision(), "ok");
    let back = Logs::new().offered(SL, HE).answered(SL, Ruecknahme);
    back.check(SL, revision(), "ok");
    back.check(SL, withdrawal(), "ok");
    back.check(SL, talk(SL), "ok");
}

#[test]
fn after_a_handover_the_new_owner_writes_and_the_former_does_not() {
    let gone = Logs::new().handed_over(SL, HE);
    let other = "OTHER_LAND: seit der Übergabe HE";
    gone.check(SL, revision(), other);
    gone.check(SL, withdrawal(), other);
    gone.check(SL, talk(SL), other);
    // as a client says it that was told who owns the service
    let end = SubscriptionMove {
        publisher_land: "HE".to_owned(),
        grund: "weil".to_owned(),
        ..interest(State::Beendet)
    };
    gone.check(SL, R::SubscriptionMove(end.clone()), other);
    gone.check(SL, talk(HE), other);
    gone.check(RP, R::SubscriptionMove(end), "OTHER_LAND: RP ist an dieser Nachnutzung nicht");
    gone.check(TH, talk(HE), "ILLEGAL_MOVE: das umsetzende Land kann: abstimmung");
    gone.check(HE, revision(), "ok");
    gone.check(HE, withdrawal(), "ok");
    gone.check(HE, talk(HE), "ok");
    // interest is in the owner of today
    let again = |publisher: &str| {
        R::SubscriptionMove(SubscriptionMove {
            subscription_id: uuid(8).to_string(),
            publisher_land: publisher.to_owned(),
            ..interest(State::Interesse)
        })
    };
    gone.check(TH, again("SL"), "SERVICE_UNKNOWN: SL hat die Leistung: an HE übergeben");
    gone.check(TH, again("HE"), "ok: schon eine offene Nachnutzung");

    let back = Logs::new().handed_over(SL, HE).handed_over(HE, SL);
    back.check(SL, revision(), "ok");
    back.check(HE, revision(), "OTHER_LAND: seit der Übergabe SL");
    let judged = back.judged(SL, vec![revision()]).expect("the owner revises");
    assert_eq!(judged.records[0].handovers_seen, Some(4));
}

#[test]
fn the_log_learns_what_the_service_brought_along() {
    let mut gone = Logs::new().handed_over(SL, HE);
    let mut version = samples::minimal_version();
    version.service_id = uuid(1).to_string();
    version.version = "1.2.0".to_owned();
    let published = R::ServiceVersion(version.clone());
    let inherited = |logs: &Logs| {
        let judged = logs.judged(HE, vec![published.clone()]).expect("the owner publishes");
        let record = &judged.records[0];
        let of = record.inherited.clone().expect("the service was taken over");
        let last = of.last.map(|it| it.to_string());
        (last, of.stands.map(|(at, mark)| (at.to_string(), mark.content == record.content)))
    };
    assert_eq!(inherited(&gone), (Some("1.0.0".to_owned()), None));
    gone.log(SL).say(Kind::ServiceVersion, uuid(1), None, &version);
    // from after the offer: it does not count
    assert_eq!(inherited(&gone), (Some("1.0.0".to_owned()), None));

    let mut early = Logs::new();
    early.log(SL).say(Kind::ServiceVersion, uuid(1), None, &version);
    let early = early.handed_over(SL, HE);
    let stands = Some(("SL/1/2".to_owned(), true));
    assert_eq!(inherited(&early), (Some("1.2.0".to_owned()), stands));
}

#[test]
fn a_joint_service_moves_when_enough_of_its_leaders_agree() {
    let joint = |laender: &[&str], k| {
        let mut logs = Logs::new();
        let mut it = definition(SL, uuid(1), "gemeinsam", &[NUMBER]);
        let laender = laender.iter().map(|it| (*it).to_owned()).collect();
        it.mitfederfuehrung = Some(Mitfederfuehrung { laender, k });
        logs.log(SL).say(Kind::ServiceDefinition, uuid(1), None, &it);
        logs
    };
    let sign = |logs: &Logs| Mitzeichnung {
        service_id: uuid(1).to_string(),
        land: "SL".to_owned(),
        leaf_hash: logs.angebot(),
        ..Mitzeichnung::default()
    };
    let waits = joint(&["RP"], 1);
    waits.check(SL, waits.step(Angebot, SL, HE), "ok: 1 von 1 mitgezeichnet haben (RP)");
    let mut waits = waits.offered(SL, HE);
    let missing = "COUNTERSIGNATURES_MISSING: fehlen 1 von 1: offen: RP";
    waits.check(HE, waits.step(Annahme, SL, HE), missing);
    waits.check(TH, R::Mitzeichnung(sign(&waits)), "OTHER_LAND: TH führt");
    waits.check(RP, R::Mitzeichnung(sign(&waits)), "ok");
    let said = sign(&waits);
    waits.log(RP).say(Kind::Mitzeichnung, uuid(1), None, &said);
    waits.check(HE, waits.step(Annahme, SL, HE), "ok");
    // a leader that takes it agrees by that
    let leader = joint(&["HE", "RP"], 1).offered(SL, HE);
    leader.check(HE, leader.step(Annahme, SL, HE), "ok");
    // and what was taken without enough agreement does not move
    let early = joint(&["RP"], 1).handed_over(SL, HE);
    early.check(HE, revision(), "HANDOVER_NOT_TAKEN");
}

#[test]
fn a_handover_stands_alone_in_its_batch() {
    let new = Logs::new();
    let batch = vec![revision(), new.step(Angebot, SL, HE)];
    let refused = new.judged(SL, batch).expect_err("two things about one service");
    assert!(format!("{refused:?}").contains("ONE_MOVE_A_BATCH"), "{refused:?}");
}

#[test]
fn a_service_is_handed_over_so_often_and_no_more() {
    let mut logs = Logs::new();
    for at in 1..OWNERS_MAX {
        let (from, to) = if at % 2 == 1 { (SL, HE) } else { (HE, SL) };
        logs = logs.handed_over(from, to);
    }
    let offer = logs.step(Angebot, HE, SL);
    logs.check(HE, offer, "HANDOVER_COUNT");
}
