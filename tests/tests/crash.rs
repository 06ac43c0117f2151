//! `kill -9` at random points while publishers run: what was acknowledged is everywhere
//! afterwards. `CRASH_KILLS=n` sets the number of kills, `CRASH_SEED=n` the order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_client::{Client, ClientConfig, ClientError};
use registry_proto::{
    terms::Land::{self, HE, RP, SL, TH},
    wire::registry::GetVersionRequest,
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};

const ALL: [Land; 4] = [SL, RP, HE, TH];
const MESH: [(Land, Land); 6] = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
const KILLS: usize = 6;
/// Acknowledged publications per kill.
const PER_KILL: usize = 20;
const LIMIT: Duration = Duration::from_secs(120);

/// Versions that were acknowledged: service and version.
type Acknowledged = Arc<Mutex<Vec<(String, String)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_versions_survive_kill_minus_nine() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let kills = number("CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("CRASH_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("seed={seed} kills={kills}");
    let mut rng = SmallRng::seed_from_u64(seed as u64);
    let mut cluster = Cluster::start(&ALL, &MESH).await;

    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let acknowledged = Acknowledged::default();
    let mut publishers = tokio::task::JoinSet::new();
    for (n, land) in ALL.into_iter().enumerate() {
        for lane in 0..2 {
            let config = cluster.client_config(land, Who::Publisher(land));
            let id = service_id((n * 10 + lane) as u64);
            let (stop, count) = (stop.clone(), count.clone());
            publishers.spawn(publish(config, id, stop, count, acknowledged.clone()));
        }
    }

    let mut killed = 0;
    while killed < kills {
        let wanted = count.load(Ordering::SeqCst) + rng.random_range(1..=2 * PER_KILL);
        eventually(LIMIT, "publications go on", async || count.load(Ordering::SeqCst) >= wanted)
            .await;
        let land = ALL[rng.random_range(0..ALL.len())];
        cluster.kill(land);
        killed += 1;
        // sometimes a second one while the first is down: reading goes on, writing may wait
        let second = ALL[rng.random_range(0..ALL.len())];
        if rng.random_bool(0.2) && second != land {
            cluster.kill(second);
            killed += 1;
            cluster.run(second);
        }
        cluster.run(land);
    }
    eventually(LIMIT, "enough acknowledged", async || {
        count.load(Ordering::SeqCst) >= kills * PER_KILL
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = publishers.join_next().await {
        ended.expect("a publisher panicked");
    }

    cluster.wait_open(&ALL).await;
    let all = acknowledged.lock().expect("not poisoned").clone();
    println!("{} acknowledged, {killed} kills", all.len());
    assert!(all.len() >= kills * PER_KILL);
    for land in ALL {
        let client = cluster.client(land, Who::Reader).await.expect("reachable");
        for (service, version) in &all {
            let what = format!("seed={seed}: {land} shows {service} {version}");
            eventually(LIMIT, &what, async || shows(&client, service, version).await).await;
        }
    }
}

async fn shows(client: &Client, service: &str, version: &str) -> bool {
    let request = GetVersionRequest {
        service_id: service.to_owned(),
        version: version.to_owned(),
        land: String::new(),
    };
    client.version(request).await.is_ok()
}

/// Publishes version after version; what was not answered is asked again, as a client would.
async fn publish(
    config: ClientConfig,
    id: String,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    acknowledged: Acknowledged,
) {
    let mut client = None;
    let mut next = 0;
    while !stop.load(Ordering::SeqCst) {
        let connected = match client.take() {
            Some(client) => client,
            None => match Client::connect(config.clone()).await {
                Ok(client) => client,
                Err(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
            },
        };
        let number = format!("1.0.{next}");
        let records = request(
            vec![definition(&id, "Dienst unter Beschuss")],
            vec![version(&id, &number, "x")],
        );
        match connected.publish(records).await {
            Ok(_) => {
                acknowledged.lock().expect("not poisoned").push((id.clone(), number));
                count.fetch_add(1, Ordering::SeqCst);
                next += 1;
                client = Some(connected);
            }
            Err(failure) => assert_passing(&failure),
        }
    }
}

/// Only what a crash explains.
fn assert_passing(failure: &ClientError) {
    let class = failure.class();
    assert!(
        matches!(class, registry_client::Class::Unavailable | registry_client::Class::Other),
        "{failure:?}"
    );
}
