//! Tells what bears out the charter in force: in the status, in metrics, and in the log.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use registry_core::{
    authorize::PeerIdentity,
    charter::{Chain, Told},
};
use registry_proto::{
    charter::Charter,
    wire::registry::{CharterSource, CharterStanding},
};
use tracing::{error, info, warn};

use super::Sources;
use crate::{observe::Metrics, status::StatusBoard};

/// What was told last.
#[derive(Debug)]
pub(super) struct Standing {
    board: StatusBoard,
    metrics: Arc<Metrics>,
    said: BTreeMap<u64, Told>,
}

// === impl Standing ===

impl Standing {
    pub(super) fn new(board: StatusBoard, metrics: Arc<Metrics>) -> Self {
        Self { board, metrics, said: BTreeMap::new() }
    }

    pub(super) fn show(&mut self, chain: &Chain, followed: &Charter, sources: &Sources) {
        let standing = words(chain, followed, sources);
        let metrics = self.metrics.charters();
        metrics.set(standing.number, standing.unproved.len(), standing.contradicted.len());
        metrics.set_told(standing.sources.len());
        self.board.set_charter(standing);
        for (number, told) in chain.told() {
            if self.said.get(number) == Some(told) {
                continue;
            }
            let digest = chain.step(*number).map(|(_, it)| it.digest().to_string());
            let digest = digest.unwrap_or_default();
            match told {
                Told::Unproved => warn!(
                    number,
                    digest,
                    "this charter was told to the node, and neither votes for it nor a proof of \
                     them are here; compare its digest with other Länder"
                ),
                Told::Contradicted => error!(
                    number,
                    digest,
                    "the votes in the logs decide another charter than this one, which was told \
                     to the node; get the chain of charters from other Länder"
                ),
                Told::Proved => {}
            }
        }
        let settled = self.said.iter().filter(|(number, told)| {
            **told == Told::Unproved && !chain.told().contains_key(number)
        });
        settled.for_each(|(number, _)| info!(number, "the votes for this charter are here now"));
        self.said.clone_from(chain.told());
    }
}

/// What bears out the charters of a chain, at a node that runs under one of them. After a start the
/// votes go before what was told, so that a chain they contradict is not the one that is followed.
pub(super) fn words(chain: &Chain, followed: &Charter, sources: &Sources) -> CharterStanding {
    let of = |wanted: Told| {
        let told = chain.told().iter().filter(move |(_, it)| **it == wanted);
        told.map(|(number, _)| *number).collect()
    };
    let mut contradicted: Vec<u64> = of(Told::Contradicted);
    let number = followed.number();
    let same = chain.past().iter().find(|it| it.charter.number() == number);
    if same.is_some_and(|it| it.charter.digest() != followed.digest())
        && !contradicted.contains(&number)
    {
        contradicted.push(number);
    }
    CharterStanding {
        number: chain.current().number(),
        digest: Bytes::copy_from_slice(chain.current().digest().as_bytes()),
        unproved: of(Told::Unproved),
        contradicted,
        later: None,
        barred: None,
        sources: sources.iter().map(source).collect(),
    }
}

fn source((number, from): (&u64, &PeerIdentity)) -> CharterSource {
    CharterSource { number: *number, land: from.land.code().to_owned(), node: from.node.clone() }
}
