//! A node with a large catalogue: how fast it fills, starts, and answers.
//!
//! ```sh
//! cargo bench -p registry-tests --bench catalogue            # 100,000 services
//! cargo bench -p registry-tests --bench catalogue -- --smoke # seconds, only to see that it runs
//! cargo bench -p registry-tests --bench catalogue -- --dir d # keeps the data, to measure it again:
//! cargo bench -p registry-tests --bench catalogue -- --measure d/sl/node.toml
//! ```
//!
//! Four Länder publish in batches over the front door; SL has all four logs. Then a process of its
//! own starts SL on that data and asks it inside the node, one question at a time. A Leistung has
//! some 200 services here, in the shipped catalogue it has one: what a first answer about it costs
//! grows with that number, some 3 µs for each.

#[path = "catalogue/questions.rs"]
mod questions;
#[path = "catalogue/records.rs"]
mod records;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use registry_node::{
    app::{App, Bound, Listeners, SOFTWARE},
    config::Config,
    data::Lists,
    demo::{Prepared, prepare},
    lifecycle::Shutdown,
    reads::{self, Reads},
};
use registry_proto::{
    terms::{Land, LogId},
    wire::registry::PublishRequest,
};
use registry_tests::bench::{Latencies, anywhere, bind, connect, start, wait};

use crate::records::{Draw, LAENDER};

/// As in the binary of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    services: usize,
    /// Searches of each kind, and questions.
    samples: usize,
}

const FULL: Size = Size { services: 100_000, samples: 2_000 };
const SMOKE: Size = Size { services: 2_000, samples: 88 };
const SEED: u64 = 20_231_130;
/// What the issue of this catalogue asks for on the reference machine, milliseconds at p99.
const SEARCH_TARGET_MS: f64 = 10.0;
const RESOLVE_TARGET_MS: f64 = 1.0;

fn main() {
    registry_node::memory::small_pages().expect("as in the binary of the node");
    let args: Vec<String> = std::env::args().collect();
    let size = if args.iter().any(|it| it == "--smoke") { SMOKE } else { FULL };
    let path = |name: &str| {
        let at = args.iter().position(|it| it == name)?;
        args.get(at + 1).map(Path::new)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    match path("--measure") {
        Some(config) => runtime.block_on(measure(size, config)),
        None => runtime.block_on(run(size, path("--dir"))),
    }
}

async fn run(size: Size, kept: Option<&Path>) {
    let temporary = tempfile::tempdir().expect("temporary directory");
    let dir = kept.unwrap_or_else(|| temporary.path());
    println!("data in {}", dir.display());
    println!("{} services of four Länder, one version each; seed {SEED}", size.services);
    let (listeners, bound) = bind(LAENDER.len()).await;
    let members: Vec<(Land, Bound)> = LAENDER.into_iter().zip(bound).collect();
    let prepared = prepare(dir, "Messung", &members).expect("prepared");
    fill(size, &prepared, listeners).await;
    let config = prepared.config(Land::SL);
    println!("\nstarted on this data");
    again(size, &config);
    let data = Config::load(&config).expect("configuration").data_dir;
    for derived in ["index", "search"] {
        std::fs::remove_dir_all(data.join(derived)).expect("deleted");
    }
    println!("\nstarted on the journals alone");
    again(Size { samples: 0, ..size }, &config);
}

/// Publishes the share of each Land at its own node, one Land after the other.
async fn fill(size: Size, prepared: &Prepared, listeners: Vec<Listeners>) {
    let mut draw = Draw::new(SEED);
    let share = size.services / LAENDER.len();
    let mut places = LAENDER.into_iter().zip(listeners).rev();
    let (_, own) = places.next().expect("SL is the last");
    let sl = start(prepared, Land::SL, own).await;
    println!(
        "\n{:<8}{:>16}{:>22}{:>22}",
        "filled", "services/s", "queryable at SL", "searchable at SL"
    );
    for (land, listeners) in places {
        let node = start(prepared, land, listeners).await;
        publish(prepared, &node, &sl, draw.batches(land, share)).await;
        node.stop().await;
    }
    publish(prepared, &sl, &sl, draw.batches(Land::SL, share)).await;
    sl.stop().await;
}

async fn publish(prepared: &Prepared, node: &App, sl: &App, batches: Vec<PublishRequest>) {
    let land = node.identity().land;
    wait("the fence opens", || node.board().load().fence_open).await;
    let client = connect(prepared, node, true).await;
    let services: usize = batches.iter().map(|it| it.records.len() / 2).sum();
    let begun = Instant::now();
    for batch in batches {
        client.publish(batch).await.expect("published");
    }
    let published = begun.elapsed();
    let log = LogId { land, epoch: 1 };
    let all = services as u64 * 2;
    wait("queryable", || sl.index().store().cut().size(log) >= all).await;
    let queryable = begun.elapsed() - published;
    wait("searchable", || sl.search().cut().is_some_and(|cut| cut.size(log) >= all)).await;
    let searchable = begun.elapsed() - published;
    println!(
        "{land:<8}{:>16.0}{:>20.1} s{:>20.1} s",
        services as f64 / published.as_secs_f64(),
        queryable.as_secs_f64(),
        searchable.as_secs_f64()
    );
}

/// Measures in a process of its own, whose memory is that of one node.
fn again(size: Size, config: &Path) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    if size.services == SMOKE.services {
        command.arg("--smoke");
    }
    if size.samples == 0 {
        command.arg("--start-only");
    }
    let status = command.arg("--measure").arg(config).status().expect("started");
    assert!(status.success(), "the measurement failed: {status}");
}

async fn measure(size: Size, config: &Path) {
    let mut config = Config::load(config).expect("configuration");
    config.listen = anywhere();
    let charter = config.charter.clone();
    let listeners = Listeners::bind(&config.listen).await.expect("bound");
    let begun = Instant::now();
    let sl = App::start(config, listeners, Shutdown::new()).await.expect("starts");
    let serves = begun.elapsed();
    let entries = |log: LogId| sl.index().journals().find(log).map_or(0, |it| it.size());
    let logs = LAENDER.map(|land| LogId { land, epoch: 1 });
    let all: u64 = logs.map(entries).iter().sum();
    // a node that stops adds how far its audit log has come
    let published = size.services as u64 * 2;
    let expected = published..=published + LAENDER.len() as u64;
    assert!(expected.contains(&all), "{all} entries in four logs, expected {expected:?}");
    let whole = |size: &dyn Fn(LogId) -> u64| logs.iter().all(|&log| size(log) >= entries(log));
    wait("queryable", || sl.index().readable().is_ok_and(|(_, cut)| whole(&|log| cut.size(log))))
        .await;
    let queryable = begun.elapsed();
    let filled = resident();
    wait("searchable", || sl.search().cut().is_some_and(|cut| whole(&|log| cut.size(log)))).await;
    row("serves", serves);
    row("queryable", queryable);
    row("searchable", begun.elapsed());
    println!("memory when queryable: {filled}; when searchable: {}", resident());
    if !std::env::args().any(|it| it == "--start-only") {
        let reads = Reads::new(reads::Setup {
            index: sl.index().clone(),
            search: sl.search().clone(),
            board: sl.board().clone(),
            charter,
            me: sl.identity().clone(),
            lists: Lists::shipped(),
            clock: sl.driver().clock(),
            software: SOFTWARE,
        });
        ask(size, &reads);
        println!("\nmemory after all questions: {}", resident());
    }
    sl.stop().await;
}

fn ask(size: Size, reads: &Reads) {
    let mut draw = Draw::new(SEED + 1);
    println!(
        "\n{:<28}{:>9}{:>9}{:>9}{:>9}{:>10}",
        "milliseconds", "p50", "p99", "max", "calls", "hits"
    );
    let mut all = Vec::new();
    let only_resolve = std::env::args().any(|it| it == "--resolve");
    let kinds = if only_resolve { 0 } else { usize::MAX };
    for searches in questions::searches(&mut draw, size.samples).into_iter().take(kinds) {
        let (took, hits) = searches.run(reads);
        all.extend_from_slice(&took);
        distribution(&format!("search: {}", searches.kind), &Latencies::of(took), hits);
    }
    let all = Latencies::of(all);
    distribution("search: all", &all, f64::NAN);
    let asked = questions::questions(&mut draw, size.samples);
    let (cold, offers) = questions::resolve(reads, &asked);
    distribution("resolve: never asked before", &cold, offers);
    let (kept, offers) = questions::resolve(reads, &asked);
    distribution("resolve: asked before", &kept, offers);
    let asked = questions::about(&mut draw, records::crowded(), size.samples.min(200));
    let (crowd, offers) = questions::resolve(reads, &asked);
    let services = size.services / records::CROWD;
    distribution(&format!("resolve: among {services}"), &crowd, offers);
    println!();
    target("search", all.at(0.99), SEARCH_TARGET_MS);
    target("resolve", cold.at(0.99), RESOLVE_TARGET_MS);
}

fn distribution(what: &str, of: &Latencies, hits: f64) {
    let (p50, p99, max) = (of.at(0.5), of.at(0.99), of.at(1.0));
    let hits = if hits.is_nan() { String::new() } else { format!("{hits:.0}") };
    println!("{what:<28}{p50:>9.3}{p99:>9.3}{max:>9.3}{:>9}{hits:>10}", of.count());
}

fn target(what: &str, p99: f64, most: f64) {
    let said = if p99 <= most { "met" } else { "MISSED" };
    println!("{what:<8} p99 {p99:>8.3} ms, target {most:>4.0} ms: {said}");
}

fn row(what: &str, took: Duration) {
    println!("{what:<28}{:>9.2} s after the start", took.as_secs_f64());
}

/// What the system counts for this process.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
        kib.map_or_else(|| "?".to_owned(), |kib| (kib / 1_024).to_string())
    };
    format!("{} MiB of its own and {} MiB of mapped files", mib("RssAnon:"), mib("RssFile:"))
}
