//! A model of what watchers must see, and nodes that get the same logs in another order.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use registry_core::{
    authorize::{Principal, Role},
    reject::Reject,
    view::Token,
};
use registry_proto::{
    terms::Land,
    wire::registry::{WatchRequest, WatchResponse, watch_request::Start, watch_response::Message},
};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Admission, WatchStream, Watches};
use crate::{
    folder::Folder,
    index::Index,
    journals::{JournalRead, Stored},
    status::StatusBoard,
    testing::{Item, MemoryJournal, NUMBER_A, NUMBER_B, folded, uuid, verbund, wait_folded},
};

const LAENDER: [Land; 3] = [Land::RP, Land::SL, Land::TH];

pub(super) type Spot = (Land, u64);

/// A node: its own copies of the logs, in its own order of arrival.
pub(super) struct Node {
    pub(super) journals: Vec<MemoryJournal>,
    pub(super) index: Index,
    pub(super) folder: Folder,
    pub(super) watches: Watches,
    pub(super) shutdown: CancellationToken,
}

/// Entries as the model knows them.
#[derive(Clone, Debug)]
struct Known {
    at: Spot,
    /// First entry of its batch.
    batch: u64,
    item: Item,
}

/// What happens in a run.
#[derive(Clone, Debug)]
enum Step {
    /// A node gets the next batches of a log.
    Deliver { node: usize, log: usize, batches: usize },
    /// The watcher takes messages.
    Read(usize),
    /// The watcher goes on at this node.
    Switch(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Filter {
    All,
    Service(u8),
    Number(&'static str),
    Land(Land),
}

/// A client that keeps what it was sent.
#[derive(Default)]
pub(super) struct Client {
    snapshot: Vec<Spot>,
    /// Where the snapshot ended.
    cut: Option<Token>,
    batches: Vec<Vec<Spot>>,
    token: Option<Vec<u8>>,
}

// === impl Node ===

impl Node {
    pub(super) fn new(admission: Admission) -> Self {
        let journals = LAENDER.map(MemoryJournal::of).to_vec();
        let (index, folder) = folded(&journals);
        let shutdown = CancellationToken::new();
        let watches = Watches::new(
            verbund(),
            index.clone(),
            StatusBoard::new(),
            Arc::new(admission),
            shutdown.clone(),
        );
        Self { journals, index, folder, watches, shutdown }
    }

    pub(super) fn append(&self, log: usize, items: &[Item]) {
        self.journals[log].append(items);
        self.folder.notifier().notify();
    }

    pub(super) fn begin(&self, start: Start, filter: Filter) -> Result<WatchStream, Reject> {
        self.watches.begin(&reader("r"), &filter.request(start))
    }
}

pub(super) fn reader(pseudonym: &str) -> Principal {
    Principal::with_roles(pseudonym, &[Role::Reader])
}

pub(super) fn runtime() -> Runtime {
    // waits for bookmarks pass at once
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

// === impl Filter ===

impl Filter {
    pub(super) fn request(self, start: Start) -> WatchRequest {
        let mut request = WatchRequest { start: Some(start), ..WatchRequest::default() };
        match self {
            Self::All => {}
            Self::Service(service) => request.service_ids = vec![uuid(service).to_string()],
            Self::Number(number) => request.leistungsschluessel = vec![number.to_owned()],
            Self::Land(land) => request.laender = vec![land.code().to_owned()],
        }
        request
    }

    fn follows(self, land: Land) -> bool {
        !matches!(self, Self::Land(other) if other != land)
    }

    /// Whether an event of the history passes.
    fn passes(self, all: &[Known], event: &Known) -> bool {
        match self {
            Self::All => true,
            Self::Service(service) => event.item.service() == service,
            Self::Land(land) => event.at.0 == land,
            Self::Number(number) => {
                let before = number_before(all, event.at.0, event.item.service(), event.at.1);
                before == Some(number)
                    || matches!(event.item, Item::Define(_, brings) if brings == number)
            }
        }
    }

    /// Whether an entry of the state at a cut passes.
    fn passes_state(self, all: &[Known], entry: &Known, size: u64) -> bool {
        match self {
            Self::Number(number) => {
                number_before(all, entry.at.0, entry.item.service(), size) == Some(number)
            }
            Self::All | Self::Service(_) | Self::Land(_) => self.passes(all, entry),
        }
    }
}

fn number_before(all: &[Known], land: Land, service: u8, index: u64) -> Option<&'static str> {
    all.iter().rev().find_map(|known| match known.item {
        Item::Define(of, number) if of == service && known.at.0 == land && known.at.1 < index => {
            Some(number)
        }
        _ => None,
    })
}

/// The newest definitions and first versions at a cut.
fn state_at(all: &[Known], filter: Filter, cut: &Token) -> Vec<Spot> {
    let mut state: BTreeMap<(Land, u8, &str), &Known> = BTreeMap::new();
    for known in all {
        let size = cut.next(known.at.0).map_or(0, |(_, next)| next);
        if known.at.1 >= size || !filter.passes_state(all, known, size) {
            continue;
        }
        match known.item {
            Item::Define(service, _) => {
                state.insert((known.at.0, service, ""), known);
            }
            Item::Release(service, number) => {
                state.entry((known.at.0, service, number)).or_insert(known);
            }
            Item::Other(_) | Item::Body(..) => {}
        }
    }
    let mut spots: Vec<_> = state.values().map(|known| known.at).collect();
    spots.sort();
    spots
}

/// The batches from a cut on, in the order of each log.
fn history_from(all: &[Known], filter: Filter, cut: &Token, land: Land) -> Vec<Vec<Spot>> {
    let from = cut.next(land).map_or(0, |(_, next)| next);
    let mut batches: BTreeMap<u64, Vec<Spot>> = BTreeMap::new();
    for known in all {
        if known.at.0 == land && known.at.1 >= from && filter.passes(all, known) {
            batches.entry(known.batch).or_default().push(known.at);
        }
    }
    batches.into_values().collect()
}

// === impl Client ===

impl Client {
    /// Takes a message; true if it carried a token.
    pub(super) fn take(&mut self, response: WatchResponse) -> bool {
        let token = match response.message.unwrap() {
            Message::Snapshot(part) => {
                assert!(part.events.len() <= 500);
                self.snapshot.extend(part.events.iter().map(spot));
                assert_eq!(part.complete, !part.resume_token.is_empty());
                if !part.complete {
                    return false;
                }
                self.cut = Some(Token::parse(&part.resume_token, &verbund()).unwrap());
                part.resume_token
            }
            Message::Batch(batch) => {
                assert!(!batch.events.is_empty());
                self.batches.push(batch.events.iter().map(spot).collect());
                batch.resume_token
            }
            Message::Bookmark(bookmark) => {
                self.cut.get_or_insert_with(|| {
                    Token::parse(&bookmark.resume_token, &verbund()).unwrap()
                });
                bookmark.resume_token
            }
        };
        self.token = Some(token.to_vec());
        true
    }

    /// How the watch goes on elsewhere.
    pub(super) fn start(&mut self, first: &Start) -> Start {
        match &self.token {
            Some(token) => Start::ResumeToken(token.clone().into()),
            None => {
                self.snapshot.clear();
                first.clone()
            }
        }
    }
}

pub(super) fn spot(event: &registry_proto::wire::registry::WatchEvent) -> Spot {
    let provenance = event.provenance.as_ref().unwrap();
    let position = provenance.position.as_ref().unwrap();
    (position.land.parse().unwrap(), position.index)
}

// === impl Item ===

impl Item {
    fn service(&self) -> u8 {
        match self {
            Self::Define(service, _)
            | Self::Release(service, _)
            | Self::Other(service)
            | Self::Body(_, service, _) => *service,
        }
    }
}

/// All batches of all logs: what is stored, and what the model knows of it.
fn publish(script: &[Vec<Vec<Item>>]) -> (Vec<Vec<Vec<Stored>>>, Vec<Known>) {
    let (mut stored, mut known) = (Vec::new(), Vec::new());
    for (land, batches) in LAENDER.into_iter().zip(script) {
        let journal = MemoryJournal::of(land);
        let mut of_log = Vec::new();
        for items in batches {
            let first = journal.size();
            journal.append(items);
            let indexes = first..;
            known.extend(indexes.zip(items).map(|(index, item)| Known {
                at: (land, index),
                batch: first,
                item: item.clone(),
            }));
            of_log.push(journal.entries()[usize::try_from(first).unwrap()..].to_vec());
        }
        stored.push(of_log);
    }
    (stored, known)
}

fn items() -> impl Strategy<Value = Vec<Vec<Vec<Item>>>> {
    let item = (0..6_u8, 0..3_u8, 0..3_usize).prop_map(|(what, service, n)| match what {
        0 => Item::Define(service, NUMBER_A),
        1 => Item::Define(service, NUMBER_B),
        2 => Item::Other(service),
        _ => Item::Release(service, ["1.0.0", "1.1.0", "2.0.0"][n]),
    });
    let batch = prop::collection::vec(item, 1..5);
    let log = prop::collection::vec(batch, 0..12);
    prop::collection::vec(log, 3)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize, 0..3_usize, 1..4_usize)
            .prop_map(|(node, log, batches)| Step::Deliver { node, log, batches }),
        3 => (1..5_usize).prop_map(Step::Read),
        1 => (0..2_usize).prop_map(Step::Switch),
    ];
    prop::collection::vec(step, 0..40)
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::All),
        Just(Filter::Service(1)),
        Just(Filter::Number(NUMBER_A)),
        Just(Filter::Land(Land::SL)),
    ]
}

fn deliver(node: &Node, stored: &[Vec<Vec<Stored>>], done: &mut [usize], log: usize, n: usize) {
    for batch in stored[log].iter().skip(done[log]).take(n) {
        node.journals[log].extend(batch);
        node.folder.notifier().notify();
        done[log] += 1;
    }
}

/// Runs a script and gives what the client saw in the end.
async fn run(script: &[Vec<Vec<Item>>], steps: &[Step], first: Start, filter: Filter) -> Client {
    let (stored, _) = publish(script);
    let nodes = [(); 2].map(|()| Node::new(Admission::default()));
    let mut done = [[0; 3]; 2];
    let mut at = 0;
    let mut client = Client::default();
    let mut watch = nodes[at].begin(first.clone(), filter).unwrap();
    for step in steps {
        match step {
            Step::Deliver { node, log, batches } => {
                deliver(&nodes[*node], &stored, &mut done[*node], *log, *batches);
            }
            Step::Read(messages) => {
                for _ in 0..*messages {
                    client.take(watch.next().await.unwrap().unwrap());
                }
            }
            Step::Switch(node) => {
                at = *node;
                watch = nodes[at].begin(client.start(&first), filter).unwrap();
            }
        }
    }
    for (node, done) in nodes.iter().zip(&mut done) {
        for (log, batches) in stored.iter().enumerate() {
            deliver(node, &stored, done, log, batches.len());
            wait_folded(&node.index, &node.journals[log]);
        }
    }
    let whole = Token::at(&nodes[at].index.store().cut(), |land| filter.follows(land));
    while client.token != Some(whole.encode(&verbund())) {
        client.take(watch.next().await.unwrap().unwrap());
    }
    client
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn snapshot_and_follow_are_the_whole_history(
        script in items(),
        steps in steps(),
        filter in filter(),
        snapshot in any::<bool>(),
    ) {
        let first = if snapshot { Start::Snapshot(true) } else { Start::Now(true) };
        let client = runtime().block_on(run(&script, &steps, first, filter));
        let (_, all) = publish(&script);
        let cut = client.cut.clone().unwrap();
        // the state at the cut, exactly
        let mut state = client.snapshot.clone();
        state.sort();
        prop_assert_eq!(state, if snapshot { state_at(&all, filter, &cut) } else { Vec::new() });
        // ordered, unique, reliable, atomic; resumable as the run switched between nodes;
        // bookmarkable as it ended with the token of everything
        for land in LAENDER {
            let of_land = |batch: &&Vec<Spot>| batch[0].0 == land;
            let seen: Vec<_> = client.batches.iter().filter(of_land).cloned().collect();
            let expected = if filter.follows(land) {
                history_from(&all, filter, &cut, land)
            } else {
                Vec::new()
            };
            prop_assert_eq!(seen, expected);
        }
    }
}
