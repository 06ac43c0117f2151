//! Manifests against a scripted node: what is sent, and how it ends.

mod support;

use tonic::{Code, Status};

use crate::support::{Bench, Ran};

const IDS: [&str; 2] =
    ["01930000-0000-7000-8000-000000000001", "01930000-0000-7000-8000-000000000002"];

/// A node of SL and a directory with a definition of each service, which differ from those there.
fn bench(land: &str) -> (Bench, String) {
    let bench = Bench::new();
    bench.node.script().status.land = "SL".to_owned();
    bench.node.script().revision = 7;
    let dir = bench.pki.path("katalog");
    std::fs::create_dir(&dir).expect("directory");
    for id in IDS {
        let text = format!(
            "service_definition:\n  service_id: {id}\n  land: {land}\n  themenfeld: umwelt\n"
        );
        std::fs::write(dir.join(format!("{id}.yaml")), text).expect("manifest");
    }
    let dir = dir.to_str().expect("UTF-8").to_owned();
    (bench, dir)
}

fn results(ran: &Ran) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let services = answer["services"].as_array().expect("services");
    services.iter().map(|it| it["result"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn each_service_is_a_batch_that_names_the_revision_it_was_decided_on() {
    let (bench, dir) = bench("SL");
    let ran = bench.registry(&["apply", "-f", &dir, "-o", "json"]);
    assert_eq!((ran.code, results(&ran)), (Some(0), vec!["changed".to_owned(); 2]), "{ran:?}");
    let published = std::mem::take(&mut bench.node.script().published);
    assert_eq!(published.len(), 2);
    for request in &published {
        let revisions: Vec<_> = request.records.iter().map(|it| it.expected_revision).collect();
        assert_eq!(revisions, [Some(7)]);
    }
    let ran = bench.registry(&["apply", "-f", &dir, "--atomic"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let published = std::mem::take(&mut bench.node.script().published);
    assert_eq!(published.iter().map(|it| it.records.len()).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_refused_service_does_not_hold_up_the_others() {
    let (bench, dir) = bench("SL");
    bench.node.script().refused = [Status::aborted("is at revision 9 by now")].into();
    let ran = bench.registry(&["apply", "-f", &dir, "-o", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(results(&ran), ["refused", "changed"]);
    assert!(ran.err.contains("inzwischen geändert: is at revision 9"), "{ran:?}");
    assert!(ran.err.contains("abgelehnt: 1 von 2 Diensten"), "{ran:?}");
    // all or nothing
    bench.node.script().refused = [Status::aborted("is at revision 9 by now")].into();
    let ran = bench.registry(&["apply", "-f", &dir, "--atomic"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
}

#[test]
fn a_node_that_cannot_ends_it() {
    let (bench, dir) = bench("SL");
    let refusal = |_| Status::new(Code::ResourceExhausted, "too much today");
    bench.node.script().refused = (0..2).map(refusal).collect();
    let ran = bench.registry(&["apply", "-f", &dir, "-o", "json"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(results(&ran), ["not_tried", "not_tried"]);
    assert_eq!(bench.node.script().published.len(), 1);
    assert!(!ran.err.contains("idempotency"), "{ran:?}");
}

#[test]
fn services_of_others_are_not_sent() {
    let (bench, dir) = bench("HE");
    let ran = bench.registry(&["apply", "-f", &dir]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("der Steckbrief nennt HE, dieser Knoten schreibt für SL"), "{ran:?}");
    assert!(bench.node.script().published.is_empty());
}

#[test]
fn a_comparison_tells_differences_from_failures() {
    let (bench, dir) = bench("SL");
    let ran = bench.registry(&["diff", "-f", &dir]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("themenfeld") && !ran.err.contains("Fehler"), "{ran:?}");
    bench.node.script().refusal = Some(Status::internal("because of the test"));
    let ran = bench.registry(&["diff", "-f", &dir]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(6), ""), "{ran:?}");
    let ran = bench.registry(&["diff", "-f", "gibt-es-nicht"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    bench.node.script().refusal = None;
    let empty = format!(
        "service_definition:\n  service_id: {}\n  bezeichnung:\n  - language_code: de\n    text: \
         Gewerbe Anmeldung\n",
        IDS[0]
    );
    std::fs::write(format!("{dir}/{}.yaml", IDS[0]), empty).expect("manifest");
    // the scripted definition names no Land, so that one difference remains
    let ran = bench.registry(&["diff", "-f", &format!("{dir}/{}.yaml", IDS[0]), "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let changes = &answer["services"][0]["records"][0]["changes"];
    assert_eq!(changes.as_array().map(Vec::len), Some(1), "{ran:?}");
    assert_eq!(changes[0]["path"], "land");
}
