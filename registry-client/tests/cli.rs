//! The command line against a scripted node.

mod support;

use registry_proto::wire::registry::{
    Angebot, AngebotNachnutzung, Anschluss, AnschlussState, AnschlussStatus, AsOf, Auftraggeber,
    Gebietswechsel, GetStatusResponse, Provenance, ReplicationState, ResolveLeistungResponse,
    ServiceSummary, ServiceVersion, Version, VersionSummary,
};
use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt};

use crate::support::{Bench, Ran, bare, prove::World};

fn services(count: usize) -> Vec<ServiceSummary> {
    (0..count)
        .map(|index| ServiceSummary {
            service_id: format!("00000000-0000-7000-8000-{index:012}"),
            land: "SL".to_owned(),
            bezeichnung: format!("Dienst {index}"),
            leistungsschluessel: vec!["99050012104000".to_owned()],
            ..ServiceSummary::default()
        })
        .collect()
}

fn json(ran: &Ran) -> serde_json::Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).expect("JSON")
}

#[test]
fn lists_are_complete_over_pages_unless_a_limit_cuts_them() {
    let bench = Bench::new();
    bench.node.script().services = services(7);
    let all = json(&bench.registry(&["service", "list", "-o", "json"]));
    assert_eq!(all["services"].as_array().map(Vec::len), Some(7));
    assert_eq!(all["services"][6]["bezeichnung"], "Dienst 6");
    assert_eq!(all["services"][0]["leistungsschluessel"][0], "99050012104000");

    let ran = bench.registry(&["service", "list", "-o", "json", "--limit", "3"]);
    assert_eq!(json(&ran)["services"].as_array().map(Vec::len), Some(3));
    assert!(ran.err.contains("abgeschnitten"), "{ran:?}");
    let ran = bench.registry(&["service", "list", "--limit", "7"]);
    assert!(!ran.err.contains("abgeschnitten"), "{ran:?}");

    bench.node.script().versions = (0..5)
        .map(|n| VersionSummary { version: format!("1.{n}.0"), ..Default::default() })
        .collect();
    let all = json(&bench.registry(&["version", "list", "x", "-o", "json"]));
    assert_eq!(all["versions"].as_array().map(Vec::len), Some(5));
}

#[test]
fn an_empty_list_is_a_list() {
    let bench = Bench::new();
    let empty = json(&bench.registry(&["service", "list", "-o", "json"]));
    assert_eq!(empty["services"], serde_json::json!([]));
    let ran = bench.registry(&["service", "list", "-o", "yaml"]);
    assert!(ran.out.starts_with("services: []\n"), "{ran:?}");
}

#[test]
fn tables_are_aligned_and_have_no_colours() {
    let bench = Bench::new();
    bench.node.script().services = services(2);
    let ran = bench.registry(&["service", "list"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    let column = |line: &str, text: &str| line.find(text).map(|at| line[..at].chars().count());
    assert_eq!(column(lines[0], "Bezeichnung"), column(lines[1], "Dienst 0"), "{ran:?}");
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn a_log_that_is_not_live_is_pointed_out() {
    let bench = Bench::new();
    let log = |land: &str, state: ReplicationState| AsOf {
        land: land.to_owned(),
        state: state.into(),
        ..AsOf::default()
    };
    bench.node.script().as_of =
        vec![log("SL", ReplicationState::Live), log("TH", ReplicationState::Stale)];
    let ran = bench.registry(&["service", "list"]);
    assert!(ran.err.contains("TH ist veraltet") && !ran.err.contains("SL ist"), "{ran:?}");
}

#[test]
fn hits_beyond_the_limit_are_told() {
    let bench = Bench::new();
    bench.node.script().services = services(3);
    let ran = bench.registry(&["search", "gewerbe", "--limit", "1", "-o", "json"]);
    assert_eq!(json(&ran)["total"], 3);
    assert!(ran.err.contains("2 weitere Treffer"), "{ran:?}");
}

#[test]
fn a_service_is_shown_in_every_format() {
    let bench = Bench::new();
    let ran = bench.registry(&["service", "show", "abc"]);
    assert!(ran.out.contains("Bezeichnung") && ran.out.contains("Gewerbe Anmeldung"), "{ran:?}");
    let shown = json(&bench.registry(&["service", "show", "abc", "-o", "json"]));
    assert_eq!(shown["service"]["definition"]["service_id"], "abc");
    let ran = bench.registry(&["service", "show", "abc", "-o", "yaml"]);
    assert!(ran.out.contains("service_id: abc"), "{ran:?}");
}

#[test]
fn each_code_of_a_node_has_its_exit_code() {
    let bench = Bench::new();
    let codes = [
        (Code::InvalidArgument, 3),
        (Code::PermissionDenied, 3),
        (Code::AlreadyExists, 3),
        (Code::FailedPrecondition, 3),
        (Code::Unauthenticated, 3),
        (Code::NotFound, 4),
        (Code::Unavailable, 5),
        (Code::DeadlineExceeded, 5),
        (Code::ResourceExhausted, 5),
        (Code::Internal, 1),
        (Code::OutOfRange, 1),
    ];
    for (code, exit) in codes {
        bench.node.script().refusal = Some(Status::new(code, "because of the test"));
        let ran = bench.registry(&["status"]);
        assert_eq!(ran.code, Some(exit), "{code:?} {ran:?}");
        assert!(ran.err.starts_with("Fehler: "), "{ran:?}");
        assert!(ran.err.contains("because of the test"), "{ran:?}");
        assert_eq!(ran.out, "");
    }
}

#[test]
fn no_answer_in_time_is_unavailable() {
    let bench = Bench::new();
    bench.node.script().silent = true;
    let ran = bench.registry(&["status", "--timeout", "200ms"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("keine Antwort innerhalb von 200ms"), "{ran:?}");
}

#[test]
fn every_field_violation_has_its_line_with_file_and_document() {
    let bench = Bench::new();
    let violation = |field: &str, description: &str| FieldViolation {
        field: field.to_owned(),
        description: description.to_owned(),
        reason: "RULE".to_owned(),
        localized_message: None,
    };
    let bad = BadRequest::new(vec![
        violation("records[0].service_definition.land", "HE publishes at HE"),
        violation("records[1].service_version.version", "1.0.0 is taken"),
    ]);
    let mut details = ErrorDetails::new();
    details.set_bad_request(bad.field_violations).set_error_info(
        "BAD_RECORDS",
        "verbund.registry.v1",
        std::collections::HashMap::new(),
    );
    let status = Status::with_error_details(Code::InvalidArgument, "2 findings", details);
    bench.node.script().refusal = Some(status);
    let file = bench
        .file("a.yaml", "service_definition: {land: HE}\n---\nservice_version: {version: 1.0.0}\n");
    let ran = bench.registry(&["publish", "-f", &file]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let lines: Vec<_> = ran.err.lines().collect();
    assert_eq!(lines[0], "Fehler: abgelehnt, 2 Befunde:", "{ran:?}");
    assert!(lines[1].contains("a.yaml, Dokument 1, service_definition.land: HE publishes at HE"));
    assert!(
        lines[2].contains("a.yaml, Dokument 2, service_version.version: 1.0.0 is taken [RULE]")
    );
}

#[test]
fn an_unknown_key_is_refused_with_file_document_and_path_before_anything_is_sent() {
    let bench = Bench::new();
    let file = bench.file(
        "b.yaml",
        "service_definition: {land: SL}\n---\nservice_version:\n  onlinedienste:\n  - lnk: x\n",
    );
    let ran = bench.registry(&["publish", "-f", &file]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("b.yaml, Dokument 2, service_version.onlinedienste[0].lnk:"),
        "{ran:?}"
    );
    assert!(ran.err.contains("meinten Sie link?"), "{ran:?}");
    assert!(bench.node.script().published.is_empty());
}

#[test]
fn all_files_together_are_one_batch() {
    let bench = Bench::new();
    let yaml = bench.file("a.yaml", "records:\n- service_definition: {land: SL}\n");
    let other = bench.file(
        "b.json",
        r#"{"service_version":{"version":"1.0.0","parameter":[{"name":"a","pflicht":true}]}}"#,
    );
    let ran = bench.registry(&["publish", "-f", &yaml, &other, "--ack-peers", "1", "-o", "json"]);
    assert_eq!(json(&ran)["records"][1]["position"]["index"], "1");
    let script = bench.node.script();
    let [request] = &script.published[..] else { panic!("one batch") };
    assert_eq!((request.records.len(), request.ack_peers, request.dry_run), (2, 1, false));
}

#[test]
fn a_publication_is_tried_again_under_the_same_key() {
    let bench = Bench::new();
    let file = bench.file("a.yaml", "service_definition: {land: SL}\n");
    bench.node.script().unavailable = 2;
    let ran = bench.registry(&["publish", "-f", &file]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.err.matches("neuer Versuch in").count(), 2, "{ran:?}");
    let keys: Vec<_> = {
        let script = bench.node.script();
        script.published.iter().map(|it| it.idempotency_key.clone()).collect()
    };
    assert!(keys.len() == 3 && keys[0].len() == 32, "{keys:?}");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");

    // a dry run has nothing to be met again, and is not tried again
    bench.node.script().unavailable = 1;
    let ran = bench.registry(&["publish", "-f", &file, "--dry-run"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let args = ["publish", "-f", &file, "--idempotency-key", "k-1", "--expected-revision", "7"];
    let ran = bench.registry(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let script = bench.node.script();
    let last = script.published.last().expect("published");
    assert_eq!(last.idempotency_key, "k-1");
    assert_eq!(last.records[0].expected_revision, Some(7));
}

#[test]
fn csv_is_for_the_matrix_only() {
    let bench = Bench::new();
    let ran = bench.registry(&["service", "list", "-o", "csv"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("nur bei registry nachnutzung matrix"), "{ran:?}");
}

#[test]
fn the_examples_can_be_published_as_they_are_read() {
    let bench = Bench::new();
    let service = bench.registry(&["example", "service"]);
    let version = bench.registry(&["example", "version"]);
    let service = bench.file("service.yaml", &service.out);
    let version = bench.file("version.yaml", &version.out);
    let ran = bench.registry(&["publish", "-f", &service, "-f", &version, "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("2 Datensätze geprüft, nichts geschrieben"), "{ran:?}");
    assert!(bench.node.script().published[0].dry_run);
}

#[test]
fn an_offer_names_the_nachnutzung_that_brings_it() {
    let bench = Bench::new();
    let anschluss = Anschluss {
        ars: "16051".to_owned(),
        status: AnschlussStatus::Angeschlossen as i32,
        seit: "2026-02-01".to_owned(),
        ..Anschluss::default()
    };
    let nachnutzung = AngebotNachnutzung {
        subscriber_land: "TH".to_owned(),
        version_requirement: "^1".to_owned(),
        auftraggeber: vec![Auftraggeber { name: "Zweckverband".to_owned(), gebiete: vec![] }],
        vertrag_id: "V-1".to_owned(),
        anschluss: Some(AnschlussState { anschluss: Some(anschluss), ..AnschlussState::default() }),
        ..AngebotNachnutzung::default()
    };
    let angebot = Angebot {
        gebiet: "16051".to_owned(),
        nachnutzung: Some(nachnutzung),
        ..Angebot::default()
    };
    let wechsel = Gebietswechsel {
        ab: "2026-01-01".to_owned(),
        vorher: vec!["16099".to_owned(), "16098".to_owned()],
        nachher: vec!["16051".to_owned()],
    };
    bench.node.script().offers = ResolveLeistungResponse {
        angebote: vec![angebot],
        total: 3,
        gebiete: vec!["16051".to_owned()],
        gebietswechsel: vec![wechsel],
        ..Default::default()
    };
    let ran = bench.registry(&["resolve", "99050012104000", "16051"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = "Gebietsänderung zum 2026-01-01: aus 16099, 16098 wurde 16051";
    assert!(ran.err.contains(told), "{ran:?}");
    for words in
        ["durch TH für Zweckverband, Anforderung ^1", "V-1", "16051 angeschlossen seit 2026-02-01"]
    {
        assert!(ran.out.contains(words), "{words} {ran:?}");
    }
    assert!(ran.err.contains("2 weitere Angebote"), "{ran:?}");
    let found = json(&bench.registry(&["resolve", "99050012104000", "16051", "-o", "json"]));
    assert_eq!(found["angebote"][0]["nachnutzung"]["subscriber_land"], "TH");
    assert_eq!((&found["ars"], &found["verified"]), (&"16051".into(), &false.into()));
    assert_eq!(
        (&found["gebiete"][0], &found["gebietswechsel"][0]["vorher"][1]),
        (&"16051".into(), &"16098".into())
    );

    bench.node.script().offers = ResolveLeistungResponse::default();
    let none = bench.registry(&["resolve", "99050012104000", "10", "--am", "2026-11-23"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
    assert!(none.err.contains("in 10 bietet am 2026-11-23 kein Land"), "{none:?}");
}

#[test]
fn an_offer_that_is_not_proved_is_not_shown() {
    let bench = Bench::new();
    let world = World::new(3);
    let charter = bench.pki.path("charter.binpb");
    std::fs::write(&charter, world.charter.raw()).expect("file");
    let charter = charter.to_str().expect("UTF-8");
    let angebot = |proof| Angebot {
        land: "SL".to_owned(),
        version: Some(Version {
            version: Some(ServiceVersion::default()),
            provenance: Some(Provenance {
                position: Some(World::position(1)),
                ..Provenance::default()
            }),
            life: None,
        }),
        proof,
        ..Angebot::default()
    };
    // no proof; a proof of another entry; a proof of another content
    for proof in [None, Some(world.answer(2)), Some(world.answer(1))] {
        bench.node.script().offers =
            ResolveLeistungResponse { angebote: vec![angebot(proof)], ..Default::default() };
        let ran = bench.registry(&["resolve", "99050012104000", "10", "--charter", charter]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.starts_with("Fehler: "), "{ran:?}");
    }
}

#[test]
fn a_verbund_for_testing_says_so() {
    let bench = Bench::new();
    bench.node.script().status =
        GetStatusResponse { test: true, fence: "open".to_owned(), ..GetStatusResponse::default() };
    let ran = bench.registry(&["status"]);
    assert!(ran.out.contains("Testverbund"), "{ran:?}");
    assert_eq!(json(&bench.registry(&["status", "-o", "json"]))["test"], true);
    bench.node.script().status.test = false;
    let ran = bench.registry(&["status"]);
    assert!(!ran.out.contains("Testverbund"), "{ran:?}");
}

#[test]
fn text_of_a_node_cannot_steer_the_terminal() {
    let bench = Bench::new();
    bench.node.script().services = services(1);
    bench.node.script().services[0].bezeichnung = "a\u{1b}[2Jb".to_owned();
    let ran = bench.registry(&["service", "list"]);
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
    bench.node.script().refusal = Some(Status::not_found("x\u{1b}[2Jy"));
    let ran = bench.registry(&["service", "list"]);
    assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn a_wrong_call_is_answered_in_german_with_code_2() {
    for args in
        [&["servic"][..], &["service", "list", "--land", "XX"], &["status"], &["proof", "x"]]
    {
        let ran = Ran::from(bare().args(args).output().expect("binary runs"));
        assert_eq!(ran.code, Some(2), "{args:?} {ran:?}");
        assert!(ran.err.starts_with("Fehler: "), "{ran:?}");
    }
    let help = Ran::from(bare().args(["publish", "--help"]).output().expect("binary runs"));
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Beispiele:") && help.out.contains("Aufruf: registry publish"));
    assert!(!help.out.contains("Usage") && !help.out.contains("Options"), "{help:?}");
}

#[test]
fn completions_and_examples_need_no_node() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::from(bare().args(["completion", shell]).output().expect("binary runs"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("registry"), "{shell}");
    }
}
