//! An owner without its disk: whom it asks before it takes a body of its past for gone, which a reset
//! discarded the erasure of.

use bytes::Bytes;
use registry_proto::{
    terms::Land::{self, HE, RP, SL, TH},
    wire::peer::{Batch, Beacon, BodyState, peer_message::Message},
};

use super::kept::{Forked, KEPT};
use crate::{
    limits,
    node::{Effect, Input},
    replicate::SessionId,
};

/// What a partner shows, which comes at that second: its Land, and entries whose bodies it lacks.
type Shows = (u64, Land, &'static [usize]);

/// What a partner does that is not as it should be.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    /// It never delivers.
    Silent(Land),
    /// It shows other entries.
    Lies(Land),
}

/// The saarland with an empty disk, and a log of which six entries are kept. Each partner holds them
/// and delivers at once, unless it is an odd one. Seconds until the entries are stored, and what is missing then.
fn recovers(partners: &[Shows], odd: Option<Odd>) -> Option<(u64, Vec<u64>)> {
    let mut forked = Forked::of(SL);
    (1..4).for_each(|index| forked.kept.append_erasure(index));
    let mut bench = forked.node(Vec::new());
    for second in 0..120 {
        for (session, (at, land, _)) in (1..).zip(partners) {
            if *at == second {
                bench.connect(session, *land);
                bench.say(session, forked.head());
            } else if *at < second {
                bench.say(session, Message::Beacon(Beacon::default()));
            }
        }
        for (session, (at, land, lacks)) in (1..).zip(partners).cycle().take(3 * partners.len()) {
            let number = bench.follow(session, SL);
            if *at > second || number == 0 || odd == Some(Odd::Silent(*land)) {
                continue;
            }
            let mut shown = batch(&forked, KEPT, number, lacks);
            if odd == Some(Odd::Lies(*land)) {
                shown.entries.swap(0, 5);
            }
            let message = Message::Batch(shown);
            let input = Input::Received { session: SessionId(session), message };
            let stored = bench.handle(input).into_iter().find_map(|it| match it {
                Effect::Store(it) => Some(it),
                _ => None,
            });
            if let Some(store) = stored {
                let missing = |it: &registry_proto::wire::peer::BatchEntry| it.body.is_empty();
                let entries = (0..).zip(&store.entries);
                let missing = entries.filter(|(_, it)| missing(it)).map(|(at, _)| at).collect();
                assert_eq!(store.entries.len() as u64, KEPT);
                return Some((second, missing));
            }
        }
        bench.later(1_000);
    }
    None
}

/// What is kept up to there, without some bodies, which erasures behind the cut excuse.
fn batch(forked: &Forked, to: u64, number: u64, lacks: &[usize]) -> Batch {
    let Message::Batch(mut batch) = forked.batch(0, to, number) else { panic!("a batch") };
    for at in lacks {
        let by = 9 + *at;
        let entry = &mut batch.entries[*at];
        (entry.salt, entry.body) = (Bytes::new(), Bytes::new());
        entry.body_state = BodyState::Erased.into();
        entry.erasure = Some(forked.kept.prove_later(by, 13));
    }
    batch
}

#[track_caller]
fn check(partners: &[Shows], odd: Option<Odd>, seconds: u64, missing: &[u64]) {
    let (at, lacks) = recovers(partners, odd).expect("it recovers");
    assert_eq!(lacks, missing);
    // it looks again every few seconds
    let late = seconds + limits::SOURCE_STALL_MS / 1_000 + 1;
    assert!((seconds..=late).contains(&at), "after {at} s");
}

#[test]
fn an_owner_asks_all_partners_before_it_takes_a_body_for_gone() {
    check(&[(0, TH, &[])], None, 0, &[]);
    // one that has it
    check(&[(0, TH, &[1]), (0, HE, &[])], None, 0, &[]);
    check(&[(0, HE, &[1]), (0, RP, &[1]), (0, TH, &[])], None, 0, &[]);
    // nobody has all of it
    check(&[(0, TH, &[1]), (0, HE, &[2])], None, 0, &[]);
    check(&[(0, TH, &[1, 2]), (0, HE, &[2, 3]), (0, RP, &[1, 2])], None, 0, &[2]);
    // a node of the own Land is asked too, and is nobody who has to be
    check(&[(0, SL, &[1]), (0, TH, &[])], None, 0, &[]);
    check(&[(0, SL, &[1]), (0, RP, &[1]), (0, HE, &[1]), (0, TH, &[])], None, 0, &[]);
    check(&[(0, SL, &[1]), (0, RP, &[1]), (0, HE, &[1]), (0, TH, &[1])], None, 0, &[1]);
    // all were asked
    check(&[(0, HE, &[1]), (0, RP, &[1]), (0, TH, &[1])], None, 0, &[1]);
    // the others are away, come in time, or too late
    let wait = limits::LENT_WAIT_MS / 1_000;
    check(&[(0, TH, &[1])], None, wait, &[1]);
    check(&[(0, TH, &[1]), (6, HE, &[])], None, 6, &[]);
    check(&[(0, TH, &[1]), (90, HE, &[])], None, wait, &[1]);
    // who shows something else was not asked
    let all = [(0, HE, &[1][..]), (0, RP, &[1]), (0, TH, &[])];
    check(&all, Some(Odd::Lies(TH)), wait, &[1]);
    // one of them says nothing of it
    let ask = limits::LENT_ASK_MS / 1_000;
    let (at, lacks) =
        recovers(&[(0, HE, &[1]), (0, TH, &[])], Some(Odd::Silent(TH))).expect("it recovers");
    assert!((wait..=ask + 10).contains(&at), "after {at} s");
    assert_eq!(lacks, [1]);
}

#[test]
fn what_others_have_shown_makes_no_batch_too_large() {
    let mut forked = Forked::with(SL, &vec![7; 300 << 10]);
    (1..4).for_each(|index| forked.kept.append_erasure(index));
    let mut bench = forked.node(Vec::new());
    let partners: [(u64, Land, &[usize]); 2] = [(1, HE, &[1]), (2, TH, &[2])];
    for (session, land, _) in partners {
        bench.connect(session, land);
        bench.say(session, forked.head());
    }
    let mut stored = None;
    for (session, _, lacks) in partners.into_iter().cycle().take(4) {
        let number = bench.follow(session, SL);
        if number > 0 {
            // three bodies, and a fourth would not fit
            let message = Message::Batch(batch(&forked, 4, number, lacks));
            let effects = bench.handle(Input::Received { session: SessionId(session), message });
            stored = stored.or_else(|| {
                effects.into_iter().find_map(|it| match it {
                    Effect::Store(it) => Some(it.entries),
                    _ => None,
                })
            });
        }
    }
    let stored = stored.expect("it is taken at once");
    assert_eq!(stored.iter().map(|it| it.body.len()).collect::<Vec<_>>(), [300 << 10; 4]);
}
