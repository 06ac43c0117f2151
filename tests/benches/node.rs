//! What a node does per second, next to what the bare transport does, in one run on one machine.
//!
//! ```sh
//! cargo bench -p registry-tests --bench node            # all
//! cargo bench -p registry-tests --bench node -- --smoke # seconds, only to see that it runs
//! cargo bench -p registry-tests --bench node -- --rates    # publishing and reading alone
//! cargo bench -p registry-tests --bench node -- --catch-up # catching up alone
//! ```
//!
//! Every figure has a ratio to a tonic echo of 2 KB each way over the same mutual TLS with as many
//! clients. Clients and nodes share the machine and the process.

#[path = "node/echo.rs"]
mod echo;
#[path = "node/load.rs"]
mod load;

use std::time::{Duration, Instant};

use registry_node::{
    app::{App, Listeners},
    config::Config,
    demo::{Prepared, prepare},
    lifecycle::Shutdown,
};
use registry_proto::terms::{
    Land::{RP, SL},
    LogId,
};
use registry_tests::bench::{bind, start, wait};

use crate::load::{Rate, clients, latency, publish_many, rate};

/// As in the binary of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is measured.
struct Size {
    /// Time per rate.
    span: Duration,
    /// Entries of the catch-up.
    entries: u64,
    /// Publications whose way to the watch is timed.
    samples: usize,
}

/// What is measured.
struct Parts {
    rates: bool,
    catch_up: bool,
}

const FULL: Size = Size { span: Duration::from_secs(8), entries: 200_000, samples: 1_000 };
const SMOKE: Size = Size { span: Duration::from_millis(500), entries: 5_000, samples: 50 };
const MANY: usize = 64;
/// Times that each rate is measured; the mean counts.
const TURNS: u32 = 8;

fn main() {
    registry_node::memory::small_pages().expect("as in the binary of the node");
    let asked = |flag: &str| std::env::args().any(|it| it == flag);
    let size = if asked("--smoke") { SMOKE } else { FULL };
    let parts = Parts { rates: !asked("--catch-up"), catch_up: !asked("--rates") };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(run(&size, &parts));
}

async fn run(size: &Size, parts: &Parts) {
    let dir = tempfile::tempdir().expect("temporary directory");
    println!("data in {}; payload 2 KB", dir.path().display());
    let (listeners, bound) = bind(2).await;
    let members: Vec<_> = [SL, RP].into_iter().zip(bound).collect();
    let prepared = prepare(dir.path(), "Messung", &members).expect("prepared");
    let mut listeners = listeners.into_iter();
    let sl = start(&prepared, SL, listeners.next().expect("SL")).await;
    let rp_listeners = listeners.next().expect("RP");

    // the fence of SL opens as soon as RP has answered once
    let rp = start(&prepared, RP, rp_listeners).await;
    wait("the fence opens", || sl.board().load().fence_open).await;
    wait("the fence opens", || rp.board().load().fence_open).await;
    let latencies = latency(&prepared, &sl, &rp, size.samples).await;
    rp.stop().await;
    if parts.rates {
        rates(size, &prepared, &sl).await;
    }
    if parts.catch_up {
        publish_many(&prepared, &sl, size.entries).await;
        Box::pin(catch_up(&prepared, &sl)).await;
    }
    println!("\npublish at SL to watch at RP          {latencies}");
    sl.stop().await;
}

async fn rates(size: &Size, prepared: &Prepared, sl: &App) {
    let echo = echo::start(prepared, sl).await;
    println!("\n{:<38} {:>12} {:>10}", "", "per second", "of echo");
    for (count, what) in [(1, "1 client"), (MANY, "64 clients")] {
        let echoes = echo.clients(count).await;
        let publishers = clients(prepared, sl, count, true).await;
        let readers = clients(prepared, sl, count, false).await;
        let mut totals = [Rate::default(); 3];
        // by turns, so that a machine that becomes slower or faster does so for all
        for _ in 0..TURNS {
            let span = size.span / TURNS;
            totals[0].add(rate(&echoes, span, echo::call).await);
            totals[1].add(rate(&publishers, span, load::publish).await);
            totals[2].add(rate(&readers, span, load::read).await);
        }
        let [echoed, published, read] = totals.map(|it| it.per_second());
        row(&format!("bare echo, {what}"), echoed, None);
        row(&format!("durable publish, {what}"), published, Some(echoed));
        row(&format!("read by id, {what}"), read, Some(echoed));
    }
    echo.stop().await;
}

/// RP was away while SL published; it comes back with an empty disk and its old name.
async fn catch_up(prepared: &Prepared, sl: &App) {
    let log = LogId { land: SL, epoch: 1 };
    let config = Config::load(&prepared.config(RP)).expect("configuration");
    std::fs::remove_dir_all(config.data_dir.join("journal").join("SL")).expect("emptied");
    std::fs::remove_dir_all(config.data_dir.join("index")).expect("emptied");
    let all = size(sl, log);
    let listeners = Listeners::bind(&config.listen).await.expect("bound");
    let begun = Instant::now();
    let rp = App::start(config, listeners, Shutdown::new()).await.expect("RP starts");
    wait("RP has begun", || size(&rp, log) > 0).await;
    let connected = begun.elapsed();
    wait("durable", || size(&rp, log) >= all).await;
    let durable = begun.elapsed() - connected;
    wait("queryable", || rp.index().store().cut().size(log) >= all).await;
    let queryable = begun.elapsed() - connected;
    let per_second = |took: Duration| all as f64 / took.as_secs_f64();
    println!(
        "\ncatch-up of {all} entries, {:.2} s after the start the first is durable",
        connected.as_secs_f64()
    );
    row("catch-up, durable and verified", per_second(durable), None);
    row("catch-up, queryable", per_second(queryable), None);
    rp.stop().await;
}

/// Durable entries, read from the journal itself rather than from the board that lags behind it.
fn size(app: &App, log: LogId) -> u64 {
    app.index().journals().find(log).map_or(0, |it| it.size())
}

fn row(what: &str, per_second: f64, echo: Option<f64>) {
    match echo {
        Some(echo) => println!("{what:<38} {per_second:>12.0} {:>10.2}", per_second / echo),
        None => println!("{what:<38} {per_second:>12.0}"),
    }
}
