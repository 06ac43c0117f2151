//! Quotas of the charter over real connections: what its own node refuses, and what others take slower.

use registry_client::ClientError;
use registry_proto::{
    terms::Land::{HE, RP},
    wire::peer::{Follow, Head, Heads, peer_message::Message},
};
use registry_tests::{
    arena::{Arena, Run},
    chronicle::{Chronicle, empty_head},
    cluster::Who,
    partner::Partner,
    records::{definition, request, service_id},
};

const TIME: u64 = 1_795_449_600;

//     HE signs fifty entries and may add twenty a day; RP may add five
#[tokio::test(flavor = "multi_thread")]
async fn a_log_beyond_its_quota_is_refused_at_home_and_taken_slower_elsewhere() {
    let run = Run { quotas: &[(HE, 20), (RP, 5)], ..Run::default() };
    let arena = Arena::start(run).await;
    let honest = arena.honest().await;

    let mut log = Chronicle::of(&arena, HE);
    for _ in 0..50 {
        log.grow();
    }
    let mut owner = arena.partner(RP, HE).await;
    let follow = follows(&mut owner, empty_head(HE)).await;
    owner.send(Message::Heads(Heads { heads: vec![log.head(&arena, TIME)], nonce: 0 })).await;
    owner.send(Message::Batch(log.batch(&arena, &follow))).await;
    let unfollowed = owner.expect(|it| match it {
        Message::Unfollow(it) if it.land == "HE" => Some(()),
        _ => None,
    });
    unfollowed.await.expect("open").expect("RP takes no more");
    let stored = owner.expect(|it| match it {
        Message::Ack(it) if it.land == "HE" && it.size == 50 => Some(()),
        _ => None,
    });
    stored.await.expect("open").expect("what had come is kept");
    log.grow();
    owner.send(Message::Heads(Heads { heads: vec![log.head(&arena, TIME + 1)], nonce: 0 })).await;
    let slowed = "registry_replication_state{land=\"HE\",state=\"slowed\"}";
    arena.counted(RP, slowed, 1).await;

    // its own node says no before it signs, and tells what helps
    let client = arena.client(RP, Who::Publisher(RP)).await;
    let records = |from: u64| {
        let all = (from..from + 3).map(|at| definition(&service_id(at), "Ein Dienst"));
        request(all.collect(), vec![])
    };
    client.publish(records(1)).await.expect("within the quota");
    let refused = client.publish(records(4)).await.expect_err("beyond the quota");
    let ClientError::Refused { refusal, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, tonic::Code::ResourceExhausted);
    assert_eq!(refusal.reason.as_deref(), Some("LOG_QUOTA"));
    assert_eq!(refusal.metadata.get("max").map(String::as_str), Some("5"));

    // nobody else is held up
    honest.goes_on().await;
    drop(owner);
    arena.stop().await;
}

async fn follows(partner: &mut Partner, head: Head) -> Follow {
    partner.send(Message::Heads(Heads { heads: vec![head], nonce: 0 })).await;
    let follow = partner.expect(|it| match it {
        Message::Follow(it) if it.land == "HE" => Some(it),
        _ => None,
    });
    follow.await.expect("open").expect("RP follows")
}
