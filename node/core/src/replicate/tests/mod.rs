//! What partners may say, right and wrong, and what follows: messages through `Node::handle`.

mod charters;
mod common;
mod cuts;
mod erasure;
mod evidence;
mod faults;
mod kept;
mod lent;
mod owners;
mod quota;
mod serving;
mod sessions;
mod sources;
mod testimony;

use registry_proto::terms::Land;

use crate::testing::{Bench, log};

/// Rheinland-Pfalz (session 1) and Thüringen (session 2) both hold ten entries of the log of
/// Rheinland-Pfalz and of that of Hessen; the node follows both logs from the first on.
fn bench() -> Bench {
    let mut bench = Bench::open();
    for land in [Land::RP, Land::HE] {
        bench.author(land).append(10);
    }
    for (session, land) in [(1, Land::RP), (2, Land::TH)] {
        bench.connect(session, land);
        bench.tell(session, Land::RP, 10, 10);
        bench.tell(session, Land::HE, 10, 10);
    }
    bench
}

/// Entries of a log that are verified and durable here.
fn held(bench: &Bench, land: Land) -> u64 {
    let status = bench.node.status(bench.now);
    status.logs.iter().find(|it| it.log == log(land)).map_or(0, |it| it.size)
}

/// Sends all ten entries of a log and lets them become durable; they are taken.
#[track_caller]
fn delivers(bench: &mut Bench, session: u64, land: Land) {
    let said = bench.send(session, land, 0, 10, 10);
    assert_eq!(said, [format!("store {land}/1 +10 of 10")]);
    let said = bench.stored(land);
    assert_eq!(said, [format!("{session} <- ack {land}/1 10")]);
    assert_eq!(held(bench, land), 10);
}
