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

type Spot = (Land, u64);

/// A node: its own copies of the logs, in its own order of arrival.
struct Node {
    journals: Vec<MemoryJournal>,
    index: Index,
    folder: Folder,
    watches: Watches,
    shutdown: CancellationToken,
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
enum Filter {
    All,
    Service(u8),
    Number(&'static str),
    Land(Land),
}

/// A client that keeps what it was sent.
#[derive(Default)]
struct Client {
    snapshot: Vec<Spot>,
    /// Where the snapshot ended.
    cut: Option<Token>,
    batches: Vec<Vec<Spot>>,
    token: Option<Vec<u8>>,
}

// === impl Node ===

impl Node {
    fn new(admission: Admission) -> Self {
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

    fn append(&self, log: usize, items: &[Item]) {
        self.journals[log].append(items);
        self.folder.notifier().notify();
    }

    fn begin(&self, start: Start, filter: Filter) -> Result<WatchStream, Reject> {
        self.watches.begin(&reader("r"), &filter.request(start))
    }
}

fn reader(pseudonym: &str) -> Principal {
    Principal { pseudonym: pseudonym.to_owned(), roles: vec![Role::Reader], peer: None }
}

fn runtime() -> Runtime {
    // waits for bookmarks pass at once
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

// === impl Filter ===

impl Filter {
    fn request(self, start: Start) -> WatchRequest {
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
    fn take(&mut self, response: WatchResponse) -> bool {
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
    fn start(&mut self, first: &Start) -> Start {
        match &self.token {
            Some(token) => Start::ResumeToken(token.clone().into()),
            None => {
                self.snapshot.clear();
                first.clone()
            }
        }
    }
}

fn spot(event: &registry_proto::wire::registry::WatchEvent) -> Spot {
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

async fn next_batch(watch: &mut WatchStream) -> Vec<Spot> {
    loop {
        if let Message::Batch(batch) = watch.next().await.unwrap().unwrap().message.unwrap() {
            return batch.events.iter().map(spot).collect();
        }
    }
}

#[test]
fn a_token_ahead_of_the_node_waits() {
    runtime().block_on(async {
        let [ahead, behind] = [(); 2].map(|()| Node::new(Admission::default()));
        for _ in 0..3 {
            ahead.append(1, &[Item::Define(1, NUMBER_A)]);
        }
        wait_folded(&ahead.index, &ahead.journals[1]);
        let mut client = Client::default();
        let mut watch = ahead.begin(Start::Now(true), Filter::All).unwrap();
        client.take(watch.next().await.unwrap().unwrap());
        let start = client.start(&Start::Now(true));

        behind.append(1, &[Item::Define(1, NUMBER_A)]);
        wait_folded(&behind.index, &behind.journals[1]);
        let mut watch = behind.begin(start, Filter::All).unwrap();
        for _ in 0..2 {
            behind.append(1, &[Item::Define(1, NUMBER_A)]);
        }
        behind.append(1, &[Item::Define(2, NUMBER_A)]);
        assert_eq!(next_batch(&mut watch).await, [(Land::SL, 3)]);
    });
}

#[test]
fn an_overlong_batch_goes_without_its_last_records() {
    runtime().block_on(async {
        let node = Node::new(Admission::default());
        let mut watch = node.begin(Start::Now(true), Filter::All).unwrap();
        let body = |n: u8| {
            let version = registry_proto::wire::registry::ServiceVersion {
                service_id: uuid(n).to_string(),
                version: "1.0.0".to_owned(),
                lizenz: "x".repeat(1_000_000),
                ..Default::default()
            };
            let body = prost::Message::encode_to_vec(&version).into();
            Item::Body(registry_proto::log::Kind::ServiceVersion, n, body)
        };
        for read_from_ring in [true, false] {
            let items: Vec<_> = (0..6).map(body).collect();
            node.append(1, &items);
            wait_folded(&node.index, &node.journals[1]);
            if !read_from_ring {
                node.index.recent().clear();
            }
            loop {
                let message = watch.next().await.unwrap().unwrap();
                assert!(
                    prost::Message::encoded_len(&message)
                        <= registry_core::limits::MESSAGE_BYTES_MAX
                );
                if let Some(Message::Batch(batch)) = message.message {
                    let records = batch.events.iter().map(|event| event.record.is_some());
                    let records: Vec<_> = records.collect();
                    assert_eq!(records, [true, true, true, true, false, false]);
                    break;
                }
            }
        }
    });
}

#[test]
fn a_damaged_journal_holds_up_its_own_log_only() {
    runtime().block_on(async {
        let node = Node::new(Admission::default());
        let mut watch = node.begin(Start::Snapshot(true), Filter::All).unwrap();
        watch.next().await.unwrap().unwrap();
        node.append(0, &[Item::Define(1, NUMBER_A)]);
        wait_folded(&node.index, &node.journals[0]);
        node.journals[0].damage(0);
        node.index.recent().clear();
        node.append(1, &[Item::Define(1, NUMBER_A)]);
        assert_eq!(next_batch(&mut watch).await, [(Land::SL, 0)]);
        node.journals[0].repair();
        assert_eq!(next_batch(&mut watch).await, [(Land::RP, 0)]);
    });
}

#[test]
fn limits_hold_and_places_are_given_back() {
    let node = Node::new(Admission::new(3, 2));
    let begin =
        |who: &str| node.watches.begin(&reader(who), &Filter::All.request(Start::Now(true)));
    let busy = |result: Result<WatchStream, Reject>| match result {
        Err(Reject::Busy { limit, max }) => (limit, max),
        other => panic!("{other:?}"),
    };
    let (a, _b) = (begin("one").unwrap(), begin("one").unwrap());
    assert_eq!(busy(begin("one")), ("watches of one certificate", 2));
    let _c = begin("two").unwrap();
    assert_eq!(busy(begin("three")), ("watches at this node", 3));
    drop(a);
    let _d = begin("three").unwrap();
}

#[test]
fn a_watch_ends_with_a_reason_when_the_node_stops() {
    runtime().block_on(async {
        let node = Node::new(Admission::default());
        let mut watch = node.begin(Start::Now(true), Filter::All).unwrap();
        watch.next().await.unwrap().unwrap();
        node.shutdown.cancel();
        match watch.next().await {
            Some(Err(Reject::Unavailable { reason, .. })) => assert_eq!(reason, "SHUTTING_DOWN"),
            other => panic!("{other:?}"),
        }
        assert!(watch.next().await.is_none());
        assert!(node.begin(Start::Now(true), Filter::All).is_err());
    });
}

#[test]
fn a_start_of_another_form_is_refused() {
    let node = Node::new(Admission::default());
    let mut foreign = Token::default().encode(&"cd".repeat(32).parse().unwrap());
    let cases = [
        (Some(Start::Snapshot(false)), "start"),
        (None, "start"),
        (Some(Start::ResumeToken(Vec::new().into())), "resume_token"),
        (Some(Start::ResumeToken(foreign.clone().into())), "resume_token"),
        (
            Some(Start::ResumeToken({
                foreign.push(1);
                foreign.into()
            })),
            "resume_token",
        ),
    ];
    for (start, expected) in cases {
        let request = WatchRequest { start, ..WatchRequest::default() };
        match node.watches.begin(&reader("r"), &request) {
            Err(Reject::Invalid(all)) => assert_eq!(all[0].field, expected),
            other => panic!("{other:?}"),
        }
    }
    let request = WatchRequest {
        start: Some(Start::Now(true)),
        laender: vec!["SL".to_owned(); 1_001],
        ..WatchRequest::default()
    };
    assert!(matches!(node.watches.begin(&reader("r"), &request), Err(Reject::Invalid(_))));
}
