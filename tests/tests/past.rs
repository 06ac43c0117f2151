//! Three times are kept apart: the day that validity is asked for, what the owner had said by a
//! time, and what a node knew by then. Asked of real processes.

use std::time::Duration;

use prost_types::Timestamp;
use registry_client::Client;
use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{Provenance, ResolveLeistungRequest, ResolveLeistungResponse, Zeitpunkt},
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};

const LIMIT: Duration = Duration::from_secs(30);
const NUMBER: &str = "99050012104000";

//     SL - RP     RP is down while SL publishes the second version
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_and_what_was_seen_by_a_time_are_two_questions() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    let id = service_id(1);
    let first = request(vec![definition(&id, "Dienst")], vec![version(&id, "1.0.0", "erste")]);
    cluster.publish(SL, first).await.expect("published");
    shows(&cluster, RP, "1.0.0").await;
    cluster.kill(RP);
    let second = request(vec![], vec![version(&id, "1.1.0", "zweite")]);
    cluster.publish(SL, second).await.expect("published");
    cluster.run(RP);
    cluster.wait_open(&[RP]).await;
    shows(&cluster, RP, "1.1.0").await;

    let [sl, rp] = [client(&cluster, SL).await, client(&cluster, RP).await];
    let Provenance { recorded_at, received_at, .. } = entry(&ask(&rp, None, None).await);
    let (said, seen) = (recorded_at.expect("recorded"), received_at.expect("received"));
    assert!(ms(said) < ms(seen), "RP saw it after a restart");
    let before = |at| stamp(ms(at) - 1);

    check(&rp, Some(said), None, "1.1.0").await;
    check(&rp, Some(before(said)), None, "1.0.0").await;
    check(&rp, None, Some(seen), "1.1.0").await;
    check(&rp, None, Some(before(seen)), "1.0.0").await;
    check(&rp, Some(seen), Some(before(seen)), "1.0.0").await;
    check(&rp, Some(before(said)), Some(seen), "1.0.0").await;
    // the same moment at the owner, who knew what it said
    check(&sl, None, Some(before(seen)), "1.1.0").await;
    check(&sl, Some(before(said)), None, "1.0.0").await;
    // long before anything was said
    let nothing = ask(&rp, Some(stamp(0)), None).await;
    assert_eq!((nothing.total, nothing.angebote.len()), (0, 0));
    assert!(nothing.as_of.iter().all(|it| it.folded == 0), "{:?}", nothing.as_of);

    let charter = cluster.dir().join("charter.binpb");
    let charter = charter.to_str().expect("UTF-8");
    let args = ["resolve", NUMBER, "10041", "--am", DAY, "--charter", charter];
    let shown = cluster.registry(RP, Who::Reader, &args).output().expect("runs");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(text.contains("1.1.0") && text.contains("2 Einträge"), "{text}");
}

const DAY: &str = "2026-11-23";

async fn client(cluster: &Cluster, land: Land) -> Client {
    cluster.client(land, Who::Reader).await.expect("connected")
}

async fn shows(cluster: &Cluster, land: Land, number: &str) {
    let client = client(cluster, land).await;
    eventually(LIMIT, &format!("{land} shows {number}"), async || {
        let answer = ask(&client, None, None).await;
        answer.total == 1 && offered(&answer) == number
    })
    .await;
}

async fn check(
    client: &Client,
    recorded_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    expect: &str,
) {
    let answer = ask(client, recorded_at, seen_at).await;
    assert_eq!(offered(&answer), expect, "recorded {recorded_at:?}, seen {seen_at:?}");
}

async fn ask(
    client: &Client,
    recorded_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
) -> ResolveLeistungResponse {
    let request = ResolveLeistungRequest {
        leistungsschluessel: NUMBER.to_owned(),
        ars: "10041".to_owned(),
        valid_at: DAY.to_owned(),
        zeitpunkt: Some(Zeitpunkt { recorded_at, seen_at }),
        ..ResolveLeistungRequest::default()
    };
    client.resolve_leistung(request).await.expect("answered")
}

fn offered(answer: &ResolveLeistungResponse) -> String {
    let version = answer.angebote.first().and_then(|it| it.version.as_ref());
    version.and_then(|it| it.version.as_ref()).map(|it| it.version.clone()).unwrap_or_default()
}

fn entry(answer: &ResolveLeistungResponse) -> Provenance {
    let version = answer.angebote[0].version.clone().expect("a version");
    version.provenance.expect("a provenance")
}

fn ms(at: Timestamp) -> i64 {
    at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000
}

fn stamp(unix_ms: i64) -> Timestamp {
    let nanos = i32::try_from(unix_ms.rem_euclid(1_000) * 1_000_000).expect("below a second");
    Timestamp { seconds: unix_ms.div_euclid(1_000), nanos }
}
