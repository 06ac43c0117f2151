//! Clients, and what they ask for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use registry_client::{
    Client,
    watch::{Start, Update, WatchFilter},
};
use registry_node::{app::App, demo::Prepared};
use registry_proto::wire::registry::{GetVersionRequest, PublishResponse};
use registry_tests::{
    bench::{Latencies, connect},
    records::{definition, request, service_id, version},
};
use tonic::{
    Request, Status,
    codec::{Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstCodec;

/// A note that makes a version 2 KB large.
fn note() -> String {
    let bare = version(&service_id(0), "1.1.100000000", "").encoded_len();
    "x".repeat(2_048 - bare - 2)
}

/// Calls, and the time they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    calls: u64,
    span: Duration,
}

static SERVICES: AtomicU64 = AtomicU64::new(1_000_000);

/// A client with a service of its own, which has a version 1.0.0.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    service: String,
    next: Arc<Ready>,
}

/// A request to publish a version 1.1.n, on the wire but for the n.
struct Ready {
    request: Vec<u8>,
    /// Where the digits of n stand.
    digits: std::ops::Range<usize>,
}

/// Sends what is on the wire already, as the echo does.
#[derive(Default)]
struct Sends;

pub(crate) async fn clients(
    prepared: &Prepared,
    app: &App,
    count: usize,
    publish: bool,
) -> Vec<Caller> {
    let mut all = Vec::new();
    for _ in 0..count {
        let service = service_id(SERVICES.fetch_add(1, Ordering::Relaxed));
        let publisher = connect(prepared, app, true).await;
        let records = request(
            vec![definition(&service, "Messung")],
            vec![version(&service, "1.0.0", &note())],
        );
        publisher.publish(records).await.expect("prepared");
        let client = if publish { publisher } else { connect(prepared, app, false).await };
        let next = Arc::new(Ready::of(&service));
        all.push(Caller { client, service, next });
    }
    all
}

/// A publication whose record was built before, as that of the echo is: what is measured is the
/// node, not who loads it.
pub(crate) async fn publish(caller: Caller, n: u64) {
    let mut grpc = tonic::client::Grpc::new(caller.client.channel());
    grpc.ready().await.expect("ready");
    let path = PathAndQuery::from_static("/verbund.registry.v1.PublishService/Publish");
    let answer = grpc.unary(Request::new(caller.next.nth(n)), path, Sends).await;
    let answer = answer.expect("published").into_inner();
    assert!(answer.records[0].position.is_some() && !answer.records[0].unchanged);
}

pub(crate) async fn read(caller: Caller, _n: u64) {
    let asked = GetVersionRequest {
        service_id: caller.service.clone(),
        version: "1.0.0".to_owned(),
        ..GetVersionRequest::default()
    };
    let answer = caller.client.version(asked).await.expect("read");
    assert!(answer.version.is_some());
}

/// Calls per second of all clients together, each with one call under way.
pub(crate) async fn rate<C, F>(clients: &[C], span: Duration, call: fn(C, u64) -> F) -> Rate
where
    C: Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    // warm up
    let first = FIRST.fetch_add(FIRST_STEP, Ordering::Relaxed);
    for client in clients {
        call(client.clone(), first).await;
    }
    let begun = Instant::now();
    let mut work = tokio::task::JoinSet::new();
    for client in clients {
        let client = client.clone();
        work.spawn(async move {
            let mut calls = 0;
            while begun.elapsed() < span {
                calls += 1;
                call(client.clone(), first + calls).await;
            }
            calls
        });
    }
    let calls = work.join_all().await.into_iter().sum();
    Rate { calls, span: begun.elapsed() }
}

// === impl Ready ===

impl Ready {
    fn of(service: &str) -> Self {
        let number = FIRST_NUMBER.to_string();
        let request = request(vec![], vec![version(service, &format!("1.1.{number}"), &note())]);
        let request = request.encode_to_vec();
        let found = request.windows(number.len()).position(|it| it == number.as_bytes());
        let at = found.expect("the number of the version");
        Self { digits: at..at + number.len(), request }
    }

    /// As many digits each time: nothing else changes.
    fn nth(&self, n: u64) -> Bytes {
        let mut request = self.request.clone();
        request[self.digits.clone()].copy_from_slice((FIRST_NUMBER + n).to_string().as_bytes());
        request.into()
    }
}

// === impl Sends ===

impl Codec for Sends {
    type Encode = Bytes;
    type Decode = PublishResponse;
    type Encoder = Self;
    type Decoder = <ProstCodec<PublishResponse, PublishResponse> as Codec>::Decoder;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<PublishResponse, PublishResponse>::default().decoder()
    }
}

impl Encoder for Sends {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

// === impl Rate ===

impl Rate {
    /// Both as one.
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.span += other.span;
    }

    pub(crate) fn per_second(self) -> f64 {
        self.calls as f64 / self.span.as_secs_f64()
    }
}

/// Numbers of calls go on from turn to turn: a version is published once.
static FIRST: AtomicU64 = AtomicU64::new(0);
const FIRST_STEP: u64 = 1_000_000;
/// Number of the first version: all have as many digits.
const FIRST_NUMBER: u64 = 100_000_000;

/// Fills the log with versions of 2 KB, a thousand a batch.
pub(crate) async fn publish_many(prepared: &Prepared, app: &App, entries: u64) {
    let client = connect(prepared, app, true).await;
    let note = note();
    let begun = Instant::now();
    for batch in 0..entries / 1_000 {
        let service = service_id(2_000_000 + batch);
        let versions = (0..999).map(|n| version(&service, &format!("1.0.{n}"), &note)).collect();
        let records = request(vec![definition(&service, "Menge")], versions);
        client.publish(records).await.expect("published");
    }
    let per_second = entries as f64 / begun.elapsed().as_secs_f64();
    println!("\n{:<38} {per_second:>12.0}", "publish in batches of 1,000, 1 client");
}

/// Time from the call of publish at one node to the event of a watch at another.
pub(crate) async fn latency(
    prepared: &Prepared,
    at: &App,
    seen_at: &App,
    samples: usize,
) -> Latencies {
    let publisher = connect(prepared, at, true).await;
    let watcher = connect(prepared, seen_at, false).await;
    let service = service_id(3_000_000);
    let define = request(vec![definition(&service, "Latenz")], vec![]);
    publisher.publish(define).await.expect("published");
    let mut watch = watcher.watch(Start::Snapshot, WatchFilter::default()).await.expect("watch");
    loop {
        if let Update::Snapshot { complete: true, .. } = watch.next().await.expect("watch") {
            break;
        }
    }
    let note = note();
    let mut all = Vec::with_capacity(samples);
    for n in 0..samples {
        let wanted = format!("1.0.{n}");
        let record = version(&service, &wanted, &note);
        let (begun, publisher) = (Instant::now(), publisher.clone());
        let published = publisher.publish(request(vec![], vec![record]));
        let (published, took) = tokio::join!(published, async {
            loop {
                if let Update::Batch { .. } = watch.next().await.expect("watch") {
                    return begun.elapsed();
                }
            }
        });
        published.expect("published");
        all.push(took);
    }
    Latencies::of(all)
}
