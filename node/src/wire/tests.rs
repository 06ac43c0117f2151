//! The handlers over real facts and journals, without a socket.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_core::{
    authorize::{PeerIdentity, Principal, Role},
    fold::FOLD_VERSION,
};
use registry_proto::{
    charter::Charter,
    log::{
        Checkpoint, Frontier, Hash, Kind, LogSigner, Origin, SignedCheckpoint, check_inclusion,
        leaf_hash, prove_consistency,
    },
    terms::Land,
    wire::registry::{
        self as wire, GetInclusionProofRequest, GetServiceRequest, GetStatusRequest,
        GetVersionRequest, ListServicesRequest, ListVersionsRequest, LogPosition,
        ResolveLeistungRequest, ResolveVersionRequest, SearchServicesRequest, ServiceVersion,
        SuggestRequest, Zeitpunkt, ZustaendigeStelle, catalogue_service_server::CatalogueService,
    },
};
use tonic::{Code, Request};
use tonic_types::StatusExt;

use super::{answer::Answering, catalogue::CatalogueApi};
use crate::{
    data::Lists,
    driver::Clock,
    folder::Folder,
    guard::Keeper,
    index::Index,
    journals::{JournalRead, Journals, Signed, Tiles},
    reads::{self, Reads},
    search::Search,
    status::StatusBoard,
    store::Store,
    testing::{
        Item, MemoryJournal, NUMBER_A, NUMBER_B, RECEIVED_MS, RECORDED_MS, folded, uuid,
        wait_folded,
    },
};

fn signer(seed: u8) -> LogSigner {
    LogSigner::new(SigningKey::from_bytes(&[seed; 32]), SigningKey::from_bytes(&[seed + 1; 32]))
}

fn charter() -> Charter {
    let keys = signer(1).keys();
    let member = wire::Member {
        land: "SL".to_owned(),
        log_key: keys.log.as_bytes().to_vec().into(),
        freshness_key: keys.freshness.as_bytes().to_vec().into(),
        offline_key: SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes().to_vec().into(),
        nodes: vec![wire::MemberNode {
            name: "sl-1.example".to_owned(),
            spki_pins: vec![Bytes::from(vec![7; 32])],
        }],
        anchors: Vec::new(),
        quota: None,
        ..wire::Member::default()
    };
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Probe".to_owned(),
        test: true,
        threshold: 1,
        members: vec![member],
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).unwrap()
}

fn api(index: Index) -> CatalogueApi {
    let me = PeerIdentity { land: Land::SL, node: "sl-1.example".to_owned() };
    let search = Search::at_once(index.clone());
    let reads = Reads::new(reads::Setup {
        index,
        search,
        board: StatusBoard::new(),
        charter: charter(),
        me,
        lists: Lists::shipped(),
        clock: Clock::start(),
        software: "1.2.3",
    });
    CatalogueApi::new(Answering::new(reads))
}

fn request<T>(message: T) -> Request<T> {
    let reader = Principal::with_roles("r", &[Role::Reader]);
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(reader));
    request
}

fn journal() -> MemoryJournal {
    let journal = MemoryJournal::of(Land::SL);
    journal.append(&[Item::Define(1, NUMBER_A), Item::Release(1, "1.0.0")]);
    journal.append(&[Item::Release(1, "2.0.0")]);
    journal.append(&[Item::Define(2, NUMBER_B)]);
    journal
}

fn checkpoint(journal: &MemoryJournal, size: usize) {
    let mut tree = Frontier::default();
    for leaf in journal.leaves().into_iter().take(size) {
        tree.push(leaf);
    }
    let origin = Origin { verbund: charter().id(), log: journal.log };
    let head = Checkpoint { origin, size: size as u64, root: tree.root() };
    let signed = head.sign(&signer(1), 1_700_000_000).unwrap();
    let (note, size) = (signed.raw().clone(), size as u64);
    journal.set_checkpoint(Signed { note, size, here: size, proof: Vec::new() });
}

#[tokio::test]
async fn every_read_answers_with_records_and_what_they_rest_on() {
    let (index, _folder) = folded(&[journal()]);
    let api = api(index);
    let service_id = uuid(1).to_string();

    let listed = api.list_services(request(ListServicesRequest::default())).await.unwrap();
    let listed = listed.into_inner();
    assert_eq!(listed.services.len(), 2);
    assert_eq!((listed.as_of[0].land.as_str(), listed.as_of[0].folded), ("SL", 4));

    let ask = GetServiceRequest { service_id: service_id.clone(), ..Default::default() };
    let answer = api.get_service(request(ask)).await.unwrap().into_inner();
    let service = answer.service.unwrap();
    assert_eq!(service.definition.unwrap().leistungsschluessel, [NUMBER_A]);
    assert_eq!((service.latest_version.as_str(), service.version_count), ("2.0.0", 2));
    assert_eq!(service.provenance.unwrap().position.unwrap().index, 0);
    assert_eq!(answer.as_of.unwrap().folded, 4);

    let ask = ListVersionsRequest { service_id: service_id.clone(), ..Default::default() };
    let answer = api.list_versions(request(ask)).await.unwrap().into_inner();
    let numbers: Vec<_> = answer.versions.iter().map(|it| it.version.as_str()).collect();
    assert_eq!(numbers, ["2.0.0", "1.0.0"]);

    let ask = GetVersionRequest {
        service_id: service_id.clone(),
        version: "1.0.0".to_owned(),
        ..Default::default()
    };
    let answer = api.get_version(request(ask)).await.unwrap().into_inner();
    let version = answer.version.unwrap();
    assert_eq!(version.version.unwrap().version, "1.0.0");
    let provenance = version.provenance.unwrap();
    assert_eq!(provenance.position.unwrap().index, 1);
    assert!(provenance.received_at.is_some() && provenance.recorded_at.is_some());

    let ask = ResolveVersionRequest {
        service_id,
        requirement: "^1".to_owned(),
        valid_at: "2026-11-23".to_owned(),
        ..Default::default()
    };
    let answer = api.resolve_version(request(ask)).await.unwrap().into_inner();
    assert_eq!(answer.version.unwrap().version.unwrap().version, "1.0.0");

    let ask = SearchServicesRequest { query: "LEISTUNG 2".to_owned(), ..Default::default() };
    let answer = api.search_services(request(ask)).await.unwrap().into_inner();
    assert_eq!((answer.total, answer.services[0].service_id.clone()), (1, uuid(2).to_string()));
    assert_eq!(answer.as_of.len(), 1);
    let ask = SuggestRequest { prefix: "leist".to_owned(), ..Default::default() };
    let answer = api.suggest(request(ask)).await.unwrap().into_inner();
    let texts: Vec<_> = answer.suggestions.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["Leistung 1", "Leistung 2"]);

    let status = api.get_status(request(GetStatusRequest {})).await.unwrap().into_inner();
    assert_eq!((status.verbund, status.test), (charter().id().to_string(), true));
    assert_eq!((status.land.as_str(), status.node.as_str()), ("SL", "sl-1.example"));
    assert_eq!((status.index.as_str(), status.software.as_str()), ("ready", "1.2.3"));
}

#[tokio::test]
async fn a_proof_holds_against_the_signed_root() {
    let journal = journal();
    checkpoint(&journal, 3);
    let (index, _folder) = folded(std::slice::from_ref(&journal));
    let api = api(index);
    let ask = |index| GetInclusionProofRequest {
        position: Some(LogPosition { land: "SL".to_owned(), epoch: 1, index }),
    };
    let beyond_note = api.get_inclusion_proof(request(ask(3))).await.unwrap_err();
    assert_eq!(beyond_note.code(), Code::Unavailable);
    // one over more than is here
    let longer = MemoryJournal::of(Land::SL);
    longer.extend(&journal.entries());
    longer.append(&[Item::Other(6), Item::Other(7), Item::Other(8)]);
    checkpoint(&longer, 7);
    let proof = prove_consistency(&Tiles(&longer), 4, 7).unwrap();
    let signed = longer.checkpoint_over(0).unwrap();
    let beyond = Signed { here: 4, proof, ..signed };
    for index in [0, 1, 2, 3, 0, 1, 2] {
        if index == 3 {
            journal.set_checkpoint(beyond.clone());
        }
        let answer = api.get_inclusion_proof(request(ask(index))).await.unwrap().into_inner();
        let origin = Origin { verbund: charter().id(), log: journal.log };
        let keys = signer(1).keys();
        let signed =
            SignedCheckpoint::verify(answer.checkpoint.as_bytes(), &origin, &keys).unwrap();
        let proof: Vec<_> =
            answer.proof.iter().map(|it| Hash::try_from(&it[..]).unwrap()).collect();
        let leaf = leaf_hash(&answer.header);
        check_inclusion(&proof, signed.size(), signed.root(), index, &leaf).unwrap();
        assert_eq!(answer.salt.len(), 16);
        assert!(!answer.body.is_empty());
    }
    let beyond_log = api.get_inclusion_proof(request(ask(4))).await.unwrap_err();
    assert_eq!(beyond_log.code(), Code::NotFound);
    let nothing = GetInclusionProofRequest { position: None };
    let nothing = api.get_inclusion_proof(request(nothing)).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    // a note that does not fit the journal is not passed on
    let other = MemoryJournal::of(Land::SL);
    other.append(&[Item::Define(3, NUMBER_A), Item::Define(4, NUMBER_A), Item::Other(5)]);
    checkpoint(&other, 3);
    journal.set_checkpoint(other.checkpoint_over(0).unwrap());
    let wrong = api.get_inclusion_proof(request(ask(0))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Internal);
}

/// A service that serves the Saarland, with a body that is responsible for all of it and one for
/// the Regionalverband.
fn serving() -> Item {
    let body = |gebiet: &str| ZustaendigeStelle {
        name: format!("Stelle für {gebiet}"),
        gebiet: gebiet.to_owned(),
        ..ZustaendigeStelle::default()
    };
    let version = ServiceVersion {
        service_id: uuid(1).to_string(),
        version: "3.0.0".to_owned(),
        lifecycle: wire::Lifecycle::Freigegeben as i32,
        onlinedienste: vec![wire::Onlinedienst {
            vertrauensniveau: "20".to_owned(),
            ..wire::Onlinedienst::default()
        }],
        verfuegbarkeitsgebiet: vec!["10".to_owned()],
        zustaendige_stellen: vec![body("10"), body("10041")],
        ..ServiceVersion::default()
    };
    Item::Body(Kind::ServiceVersion, 1, version.encode_to_vec().into())
}

#[tokio::test]
async fn an_answer_about_a_leistung_holds_all_that_a_caller_needs() {
    let journal = journal();
    journal.append(&[serving()]);
    checkpoint(&journal, 5);
    let (index, _folder) = folded(std::slice::from_ref(&journal));
    let api = api(index);
    let ask = |ars: &str, with_proof| ResolveLeistungRequest {
        leistungsschluessel: NUMBER_A.to_owned(),
        ars: ars.to_owned(),
        valid_at: "2026-11-23".to_owned(),
        with_proof,
        ..ResolveLeistungRequest::default()
    };
    // the second time from memory
    for with_proof in [false, false, true] {
        let answer = api.resolve_leistung(request(ask("10041", with_proof))).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!((answer.total, answer.valid_at.as_str()), (1, "2026-11-23"));
        assert_eq!(answer.as_of[0].folded, 5);
        let [angebot] = answer.angebote.as_slice() else { panic!("{answer:?}") };
        assert_eq!((angebot.land.as_str(), angebot.gebiet.as_str()), ("SL", "10"));
        assert_eq!(angebot.service.as_ref().unwrap().bezeichnung, "Leistung 1");
        assert_eq!(angebot.definition.as_ref().unwrap().index, 0);
        assert_eq!(angebot.onlinedienste[0].vertrauensniveau, "20");
        assert_eq!(angebot.zustaendige_stellen[0].gebiet, "10041");
        assert_eq!(angebot.zustaendige_stellen.len(), 1);
        let version = angebot.version.as_ref().unwrap();
        assert_eq!(version.version.as_ref().unwrap().version, "3.0.0");
        assert!(version.life.as_ref().unwrap().released);
        let proofs = [&angebot.proof, &angebot.definition_proof];
        assert!(proofs.iter().all(|it| it.is_some() == with_proof));
    }
    let unchanged = api.resolve_leistung(request(ask("10041", false))).await.unwrap().into_inner();
    assert_eq!((unchanged.gebiete, unchanged.gebietswechsel), (vec!["10041".to_owned()], vec![]));
    let hanau = api.resolve_leistung(request(ask("064350014014", false))).await.unwrap();
    let hanau = hanau.into_inner();
    assert_eq!(hanau.ars, "064350014014");
    assert_eq!(hanau.gebiete, ["064150000000"]);
    let change = wire::Gebietswechsel {
        ab: "2026-01-01".to_owned(),
        vorher: vec!["064350014014".to_owned()],
        nachher: vec!["064150000000".to_owned()],
    };
    assert_eq!(hanau.gebietswechsel, [change]);
    let nobody = api.resolve_leistung(request(ask("07", true))).await.unwrap().into_inner();
    assert_eq!((nobody.total, nobody.angebote.len(), nobody.as_of.len()), (0, 0, 1));
    let wrong = api.resolve_leistung(request(ask("1", false))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);

    let ask = GetServiceRequest {
        service_id: uuid(1).to_string(),
        with_proof: true,
        ..Default::default()
    };
    assert!(api.get_service(request(ask)).await.unwrap().into_inner().proof.is_some());
}

/// How many entries answers rest on that show the state of a time; the same for all calls.
#[track_caller]
fn check_past(api: &CatalogueApi, zeitpunkt: Zeitpunkt, entries: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let service_id = uuid(1).to_string();
        let zeitpunkt = Some(zeitpunkt);
        let ask = ListServicesRequest { zeitpunkt, ..Default::default() };
        let listed = api.list_services(request(ask)).await.unwrap().into_inner();
        assert_eq!(listed.as_of[0].folded, entries);
        assert_eq!(listed.services.len(), [0, 0, 1, 1, 2][entries as usize]);

        let ask =
            GetServiceRequest { service_id: service_id.clone(), zeitpunkt, ..Default::default() };
        let service = api.get_service(request(ask)).await;
        let ask = ListVersionsRequest {
            service_id: service_id.clone(),
            zeitpunkt,
            ..ListVersionsRequest::default()
        };
        let versions = api.list_versions(request(ask)).await;
        let ask = GetVersionRequest {
            service_id: service_id.clone(),
            version: "2.0.0".to_owned(),
            zeitpunkt,
            ..GetVersionRequest::default()
        };
        let second = api.get_version(request(ask)).await;
        let ask = ResolveVersionRequest {
            service_id,
            valid_at: "2026-11-23".to_owned(),
            zeitpunkt,
            ..ResolveVersionRequest::default()
        };
        let best = api.resolve_version(request(ask)).await;
        if entries == 0 {
            let refused = [service.is_err(), versions.is_err(), second.is_err(), best.is_err()];
            assert_eq!(refused, [true; 4]);
            return;
        }
        let service = service.unwrap().into_inner();
        assert_eq!(service.as_of.unwrap().folded, entries);
        let count = u32::try_from(entries).unwrap().min(3) - 1;
        assert_eq!(service.service.unwrap().version_count, count);
        assert_eq!(versions.unwrap().into_inner().versions.len(), count as usize);
        assert_eq!(second.is_ok(), count == 2);
        let best = best.unwrap().into_inner().version.unwrap().version.unwrap();
        assert_eq!(best.version, format!("{count}.0.0"));
    });
}

fn ms(unix_ms: i64) -> Option<prost_types::Timestamp> {
    Some(crate::batches::timestamp(unix_ms))
}

#[test]
fn a_state_of_the_past_is_shown_by_either_clock() {
    let journal = journal();
    let (index, folder) = folded(std::slice::from_ref(&journal));
    let api = api(index.clone());
    let both = |recorded, received| Zeitpunkt {
        recorded_at: ms(RECORDED_MS + recorded),
        seen_at: ms(RECEIVED_MS + 1_000 * received),
    };
    let recorded = |at| Zeitpunkt { seen_at: None, ..both(at, 0) };
    let seen = |at| Zeitpunkt { recorded_at: None, ..both(0, at) };
    // the first batch has two entries
    for (at, entries) in [(-1, 0), (0, 0), (1, 2), (2, 3), (3, 4), (99, 4)] {
        check_past(&api, recorded(at), entries);
        check_past(&api, seen(at), entries);
        check_past(&api, both(99, at), entries);
        check_past(&api, both(at, 99), entries);
    }
    check_past(&api, Zeitpunkt::default(), 4);
    // what comes later does not change it
    journal.append(&[Item::Release(1, "9.0.0")]);
    folder.notifier().notify();
    wait_folded(&index, &journal);
    for (at, entries) in [(-1, 0), (1, 2), (2, 3), (3, 4)] {
        check_past(&api, recorded(at), entries);
        check_past(&api, seen(at), entries);
    }
}

#[tokio::test]
async fn a_time_that_is_none_is_refused_and_a_damaged_entry_is_named() {
    let journal = journal();
    let (index, _folder) = folded(std::slice::from_ref(&journal));
    let api = api(index);
    let ask = |seconds| ListServicesRequest {
        zeitpunkt: Some(Zeitpunkt {
            recorded_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            seen_at: None,
        }),
        ..ListServicesRequest::default()
    };
    let wrong = api.list_services(request(ask(i64::MAX))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    journal.damage(3);
    let damaged = api.list_services(request(ask(RECORDED_MS / 1_000))).await.unwrap_err();
    assert_eq!(damaged.code(), Code::Unavailable);
    journal.repair();
    api.list_services(request(ask(RECORDED_MS / 1_000))).await.unwrap();
}

#[tokio::test]
async fn a_caller_without_identity_or_role_is_refused() {
    let (index, _folder) = folded(&[journal()]);
    let api = api(index);
    let nobody = api.list_services(Request::new(ListServicesRequest::default())).await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    let mut request = Request::new(ListServicesRequest::default());
    let stranger = Principal::with_roles("x", &[]);
    request.extensions_mut().insert(Arc::new(stranger));
    assert_eq!(api.list_services(request).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn an_index_that_is_built_answers_unavailable_but_tells_its_state() {
    let journals = Journals::default();
    let journal = journal();
    journals.insert(journal.log, Arc::new(journal.clone()));
    let index =
        Index::new(Store::in_memory(FOLD_VERSION).unwrap(), journals, Keeper::in_memory(100));
    let api = api(index.clone());
    let refused = api.list_services(request(ListServicesRequest::default())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "INDEX_REBUILDING");
    assert!(details.retry_info().is_some());
    let status = api.get_status(request(GetStatusRequest {})).await.unwrap().into_inner();
    assert!(status.index.starts_with("rebuilding"), "{}", status.index);

    let _folder = Folder::start(index.clone(), &crate::store::OpenOutcome::New, None).unwrap();
    index.wait_folded(journal.log, journal.size()).await.unwrap();
    crate::testing::wait_open(&index);
    assert!(api.list_services(request(ListServicesRequest::default())).await.is_ok());
}
