//! Watches in single situations.

use prost::Message as _;
use registry_core::{reject::Reject, view::Token};
use registry_proto::{
    log::Kind,
    terms::Land,
    wire::registry::{WatchRequest, watch_request::Start, watch_response::Message},
};
use tokio_stream::StreamExt;

use super::{
    Admission, WatchStream,
    tests::{Client, Filter, Node, Spot, reader, runtime, spot},
};
use crate::testing::{Item, NUMBER_A, NUMBER_B, uuid, wait_folded};

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
            Item::Body(Kind::ServiceVersion, n, body)
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

/// Nachnutzung 9 of service 1 of the Saarland by Thüringen, and a Kommune of it.
fn subscribed(node: &Node) {
    use registry_proto::wire::registry as wire;
    let body = |kind, n, bytes: Vec<u8>| Item::Body(kind, n, bytes.into());
    let first = wire::SubscriptionMove {
        subscription_id: uuid(9).to_string(),
        service_id: uuid(1).to_string(),
        publisher_land: "SL".to_owned(),
        subscriber_land: "TH".to_owned(),
        zustand: wire::SubscriptionState::Interesse as i32,
        ..wire::SubscriptionMove::default()
    };
    let kommune = wire::Anschluss {
        subscription_id: uuid(9).to_string(),
        ars: "16051".to_owned(),
        seit: "2026-11-01".to_owned(),
        ..wire::Anschluss::default()
    };
    let status = wire::VersionStatus {
        service_id: uuid(1).to_string(),
        version: "1.0.0".to_owned(),
        lifecycle: wire::Lifecycle::Zurueckgezogen as i32,
        ..wire::VersionStatus::default()
    };
    node.append(
        2,
        &[
            body(Kind::SubscriptionMove, 9, first.encode_to_vec()),
            body(Kind::Anschluss, 9, kommune.encode_to_vec()),
        ],
    );
    node.append(1, &[body(Kind::VersionStatus, 1, status.encode_to_vec())]);
    wait_folded(&node.index, &node.journals[2]);
    wait_folded(&node.index, &node.journals[1]);
}

#[test]
fn moves_are_seen_in_the_snapshot_and_live_under_the_filters_of_their_service() {
    runtime().block_on(async {
        let node = Node::new(Admission::default());
        node.append(1, &[Item::Define(1, NUMBER_A), Item::Define(2, NUMBER_B)]);
        wait_folded(&node.index, &node.journals[1]);
        let follow = |filter| node.begin(Start::Now(true), filter).unwrap();
        let mut live = [
            (follow(Filter::Service(1)), true),
            (follow(Filter::Number(NUMBER_A)), true),
            (follow(Filter::Service(2)), false),
            (follow(Filter::Number(NUMBER_B)), false),
        ];
        for (watch, _) in &mut live {
            watch.next().await.unwrap().unwrap();
        }
        subscribed(&node);
        node.append(1, &[Item::Define(1, NUMBER_A), Item::Define(2, NUMBER_B)]);
        for (mut watch, moved) in live {
            let mut seen = Vec::new();
            // the batch with the definitions comes to all of them, and to some it is the first
            while !seen.iter().any(|it| matches!(it, (Land::SL, 3..))) || (moved && seen.len() < 4)
            {
                seen.extend(next_batch(&mut watch).await);
            }
            let moves = seen.iter().filter(|(land, at)| *land == Land::TH || *at == 2).count();
            assert_eq!(moves, if moved { 3 } else { 0 }, "{seen:?}");
        }
        for (filter, expected) in [
            (Filter::All, 5),
            (Filter::Service(1), 4),
            (Filter::Number(NUMBER_A), 4),
            (Filter::Service(2), 1),
            (Filter::Number(NUMBER_B), 1),
            (Filter::Land(Land::TH), 2),
        ] {
            let mut watch = node.begin(Start::Snapshot(true), filter).unwrap();
            let first = watch.next().await.unwrap().unwrap();
            let Some(Message::Snapshot(part)) = first.message else { panic!("a snapshot") };
            assert_eq!(part.events.len(), expected, "{filter:?}");
            let named = |it: &&registry_proto::wire::registry::WatchEvent| {
                Kind::from_wire(it.kind) == Kind::Anschluss
            };
            for event in part.events.iter().filter(named) {
                assert_eq!(event.service_id, uuid(1).to_string());
            }
        }
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
