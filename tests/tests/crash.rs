//! `kill -9` at random points while publishers run: what was acknowledged is everywhere
//! afterwards. `CRASH_KILLS=n` sets the number of kills, `CRASH_SEED=n` the order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_client::{Class, Client, ClientConfig};
use registry_proto::{
    terms::Land::{self, HE, RP, SL, TH},
    wire::registry::{GetVersionRequest, LogPosition},
};
use registry_tests::{
    cluster::{Cluster, Who, connected, eventually},
    records::{definition, request, service_id, version},
};
use tokio::task::JoinSet;

const ALL: [Land; 4] = [SL, RP, HE, TH];
const MESH: [(Land, Land); 6] = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
const KILLS: usize = 6;
/// Acknowledged publications per kill.
const PER_KILL: usize = 20;
const LIMIT: Duration = Duration::from_secs(120);

/// A version that was acknowledged, and what was promised with it.
#[derive(Clone, Debug)]
struct Promise {
    service: String,
    version: String,
    position: LogPosition,
    leaf: Bytes,
}

/// What the publishers share with the killer.
#[derive(Clone, Debug, Default)]
struct Shared {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    promises: Arc<Mutex<Vec<Promise>>>,
}

//     SL - RP
//     | x |      each with two publishers that never rest
//     HE - TH
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_versions_survive_kill_minus_nine() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let kills = number("CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("CRASH_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("seed={seed} kills={kills}");
    let begun = Instant::now();
    let mut rng = SmallRng::seed_from_u64(seed as u64);
    let mut cluster = Cluster::start(&ALL, &MESH).await;

    let shared = Shared::default();
    let mut publishers = JoinSet::new();
    for (n, land) in ALL.into_iter().enumerate() {
        for lane in 0..2 {
            let config = cluster.client_config(land, Who::Publisher(land));
            let id = service_id((n * 10 + lane) as u64);
            publishers.spawn(publish(config, id, shared.clone()));
        }
    }
    let killed = kill_some(&mut cluster, kills, &mut rng, &shared).await;
    shared.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = publishers.join_next().await {
        ended.expect("a publisher panicked");
    }

    cluster.wait_open(&ALL).await;
    let promises = shared.promises.lock().expect("not poisoned").clone();
    let took = begun.elapsed().as_secs_f64();
    println!("{} acknowledged, {killed} kills, {took:.1} s", promises.len());
    assert!(promises.len() >= kills * PER_KILL);
    for land in ALL {
        let client = cluster.client(land, Who::Reader).await.expect("reachable");
        for promise in &promises {
            let what = format!("seed={seed}: {land} shows {promise:?}");
            eventually(LIMIT, &what, async || shows(&client, promise).await).await;
        }
    }
    println!("all of them at all four nodes after {:.1} s", begun.elapsed().as_secs_f64());
}

/// Kills nodes at random moments and starts them again, until there were enough kills and enough
/// acknowledged publications.
async fn kill_some(
    cluster: &mut Cluster,
    kills: usize,
    rng: &mut SmallRng,
    shared: &Shared,
) -> usize {
    let acknowledged = || shared.count.load(Ordering::SeqCst);
    let mut killed = 0;
    while killed < kills {
        let wanted = acknowledged() + rng.random_range(1..=2 * PER_KILL);
        eventually(LIMIT, "publications go on", async || acknowledged() >= wanted).await;
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
    eventually(LIMIT, "enough acknowledged", async || acknowledged() >= kills * PER_KILL).await;
    killed
}

/// True once the node shows the version where and as it was promised.
async fn shows(client: &Client, promise: &Promise) -> bool {
    let request = GetVersionRequest {
        service_id: promise.service.clone(),
        version: promise.version.clone(),
        ..GetVersionRequest::default()
    };
    let Ok(answer) = client.version(request).await else { return false };
    let shown = answer.version.and_then(|it| it.provenance).expect("a version has a place");
    assert_eq!(shown.position.as_ref(), Some(&promise.position), "{promise:?} moved");
    assert_eq!(shown.leaf_hash, promise.leaf, "{promise:?} changed");
    true
}

/// Publishes version after version; what was not answered is asked again, as a client would.
async fn publish(config: ClientConfig, id: String, shared: Shared) {
    let mut next = 0;
    let mut client = None;
    while !shared.stop.load(Ordering::SeqCst) {
        let connected = match client.take() {
            Some(client) => client,
            None => connected(&config, LIMIT).await,
        };
        let number = format!("1.0.{next}");
        let definition = definition(&id, "Dienst unter Beschuss");
        let records = request(vec![definition], vec![version(&id, &number, "x")]);
        match connected.publish(records).await {
            Ok(answer) => {
                let version = answer.records.into_iter().find(|it| it.version == number);
                let version = version.expect("the version is answered");
                shared.promises.lock().expect("not poisoned").push(Promise {
                    service: id.clone(),
                    version: number,
                    position: version.position.expect("published records have a place"),
                    leaf: version.leaf_hash,
                });
                shared.count.fetch_add(1, Ordering::SeqCst);
                next += 1;
                client = Some(connected);
            }
            Err(failure) => {
                // only what a crash explains
                assert_eq!(failure.class(), Class::Unavailable, "{failure:?}");
            }
        }
    }
}
