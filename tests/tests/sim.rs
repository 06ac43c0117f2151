//! The real core in a simulated world. `SIM_SEED=n cargo test -p registry-tests --test sim` runs
//! one seed; `SIM_SEEDS=n` runs that many.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_core::{FencePolicy, limits, status::LogState};
use registry_proto::{
    log::Kind,
    terms::{
        Land::{self, HE, RP, SL, TH},
        LogId,
    },
};
use registry_tests::{
    records::{definition, request, service_id, version},
    sim::{Chaos, World},
};

const MESH: [(Land, Land); 6] = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
/// No link between SL and TH.
const SPLIT: [(Land, Land); 5] = [(SL, RP), (SL, HE), (RP, HE), (RP, TH), (HE, TH)];
const LINE: [(Land, Land); 3] = [(SL, RP), (RP, HE), (HE, TH)];
const ALL: [Land; 4] = [SL, RP, HE, TH];
const CALM: Chaos = Chaos { cut: 0.0, crash: 0.0, unsynced_survives: 0.0, jump: 0.0 };
const STORM: Chaos = Chaos { cut: 0.06, crash: 0.01, unsynced_survives: 0.5, jump: 0.005 };
const WILD: Chaos = Chaos { cut: 0.01, crash: 0.004, unsynced_survives: 0.5, jump: 0.002 };

fn check(seeds_default: u64, scenario: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    if let Some(seed) = number("SIM_SEED") {
        scenario(seed);
        return;
    }
    for seed in 0..number("SIM_SEEDS").unwrap_or(seeds_default) {
        println!("seed={seed}");
        scenario(seed);
    }
}

/// Publishes `count` services with a version each, at random nodes and moments.
fn publish_some(world: &mut World, rng: &mut SmallRng, count: u64, from: u64) {
    for n in from..from + count {
        let land = ALL[rng.random_range(0..ALL.len())];
        let id = service_id(n);
        let mut it = request(
            vec![definition(&id, &format!("Dienst {n}"))],
            vec![version(&id, "1.0.0", &"x".repeat(rng.random_range(1..400)))],
        );
        it.ack_peers = rng.random_range(0..3);
        let _ = world.publish(land, it);
        world.run_for(rng.random_range(0..300));
    }
}

//     SL - RP
//     | x |
//     HE - TH
#[test]
fn a_mesh_converges() {
    check(20, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed, &ALL, &MESH, CALM);
        world.until(60_000, "fences open", World::all_open);
        publish_some(&mut world, &mut rng, 30, 0);
        world.until(60_000, "all acknowledged", |it| it.acknowledged() == 60);
        world.until(60_000, "converged", World::converged);
        world.assert_nothing_lost();
    });
}

//     SL - RP - HE - TH
#[test]
fn a_line_converges_through_relays() {
    check(20, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.until(60_000, "fences open", World::all_open);
        publish_some(&mut world, &mut rng, 30, 0);
        world.until(60_000, "converged", World::converged);
        world.assert_nothing_lost();
    });
}

#[test]
fn nothing_acknowledged_is_lost_through_crashes_and_broken_streams() {
    check(40, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xC0FFEE);
        let links: &[_] = if seed % 2 == 0 { &MESH } else { &LINE };
        let mut world = World::new(seed, &ALL, links, WILD);
        publish_some(&mut world, &mut rng, 120, 0);
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
        assert!(world.acknowledged() > 0, "seed {seed}: nothing was acknowledged");
    });
}

#[test]
fn a_lost_disk_comes_back_from_partners_without_a_second_history() {
    check(12, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed, &ALL, &MESH, CALM);
        world.until(60_000, "fences open", World::all_open);
        publish_some(&mut world, &mut rng, 25, 0);
        world.until(60_000, "converged", World::converged);
        world.lose_disk(SL);
        // the oracle fails if SL signs before it has its own log back
        publish_some(&mut world, &mut rng, 25, 100);
        world.until(120_000, "converged", |it| it.converged() && it.all_open());
        let id = service_id(1_000);
        let again = request(vec![definition(&id, "Danach")], vec![]);
        let ticket = world.publish(SL, again).expect("SL is up");
        world.until(60_000, "answered", |it| it.answer(SL, ticket).is_some());
        assert!(world.answer(SL, ticket).is_some_and(Result::is_ok), "seed {seed}");
        assert_eq!(world.disk(SL).count(log(SL), Kind::Recovered), 1, "seed {seed}");
        world.until(60_000, "converged", World::converged);
        world.assert_nothing_lost();
    });
}

//     SL - RP
//     | x |      SL gets a backup back; in every second world streams break and nodes crash
//     HE - TH
#[test]
fn a_restored_backup_pulls_back_what_it_lacks_and_goes_on_behind_it() {
    check(8, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xBAC);
        let mut world = World::new(seed, &ALL, &MESH, CALM);
        world.until(60_000, "fences open", World::all_open);
        let count = rng.random_range(0..30);
        publish_some(&mut world, &mut rng, count, 0);
        let backup = world.disk(SL).clone();
        publish_some(&mut world, &mut rng, 60, 100);
        world.until(60_000, "converged", World::converged);
        let (before, behind) = (world.disk(SL).size(log(SL)), backup.size(log(SL)));
        if seed % 2 == 1 {
            world.set_chaos(STORM);
        }
        world.restore(SL, &backup);
        publish_some(&mut world, &mut rng, 40, 1_000);
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
        let recovered = world.disk(SL).count(log(SL), Kind::Recovered);
        assert_eq!(recovered > 0, before > behind, "seed {seed}: {behind} of {before}");
    });
}

//     SL - RP - HE - TH
#[test]
fn a_machine_that_was_suspended_signs_nothing_before_a_partner_answers() {
    check(8, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x51EE);
        let chaos = if seed % 2 == 0 { CALM } else { WILD };
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.until(60_000, "fences open", World::all_open);
        publish_some(&mut world, &mut rng, 30, 0);
        world.set_chaos(chaos);
        let unsettled = world.disk(TH).size(log(TH));
        world.suspend(TH);
        world.run_for(rng.random_range(11_000..600_000));
        publish_some(&mut world, &mut rng, 30, 100);
        assert!(world.disk(TH).size(log(TH)) >= unsettled, "seed {seed}");
        world.cut(HE, TH);
        world.resume(TH);
        // the first thing it hears after it slept; in the wild it may be down
        let record = request(vec![definition(&service_id(500), "Zuerst")], vec![]);
        if let Some(ticket) = world.publish(TH, record) {
            let refused = world.answer(TH, ticket).and_then(|it| it.as_ref().err());
            assert!(refused.is_some_and(|it| it.to_string().contains("jump of the clock")));
        }
        world.run_for(30_000);
        assert!(!world.all_open(), "seed {seed}: opened without an answer");
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

//     SL - RP - HE - TH        both clocks of TH go on; what waited for it comes first
#[test]
fn a_process_that_stood_still_signs_nothing_before_a_partner_answers() {
    check(8, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xF02E);
        let chaos = if seed % 2 == 0 { CALM } else { WILD };
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.until(60_000, "fences open", World::all_open);
        // a busy machine lets a process wait for a while
        world.freeze(TH);
        world.run_for(rng.random_range(100..limits::FROZEN_MS - 1_000));
        world.resume(TH);
        world.run_for(300);
        assert!(world.all_open(), "seed {seed}: a stall is no freeze");
        publish_some(&mut world, &mut rng, 30, 0);
        world.set_chaos(chaos);
        world.freeze(TH);
        // streams stand for the shorter ones: answers to earlier questions wait in them
        world.run_for(rng.random_range(limits::FROZEN_MS + 500..40_000));
        world.cut(HE, TH);
        world.resume(TH);
        let record = request(vec![definition(&service_id(500), "Zuerst")], vec![]);
        if let Some(ticket) = world.publish(TH, record) {
            let refused = world.answer(TH, ticket).and_then(|it| it.as_ref().err());
            assert!(refused.is_some_and(|it| it.to_string().contains("stood still")));
        }
        // what was under way to the disk is there, and nothing comes behind it
        world.run_for(2_000);
        let size = world.disk(TH).size(log(TH));
        world.run_for(30_000);
        assert!(!world.all_open(), "seed {seed}: opened without an answer");
        assert!(seed % 2 == 1 || world.disk(TH).size(log(TH)) == size, "seed {seed}: it signed");
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

//     SL -/- RP, two members: each is the only one that can confirm the other
#[test]
fn of_two_members_one_alone_waits_or_says_that_it_did_not() {
    let available = FencePolicy::Available { after_ms: 30_000 };
    check(6, |seed| {
        let mut world = World::new(seed, &[SL, RP], &[(SL, RP)], CALM);
        world.until(60_000, "fences open", World::all_open);
        let publish = |world: &mut World, n: u64| {
            let record = request(vec![definition(&service_id(n), "Zu zweit")], vec![]);
            world.publish(SL, record).expect("SL is up")
        };
        publish(&mut world, 1);
        world.until(60_000, "converged", |it| it.disk(RP).size(log(SL)) == 1 && it.converged());
        // strict: neither a restart nor a lost disk nor sleep makes it sign alone
        world.cut(SL, RP);
        for event in ["restart", "sleep", "lost disk"] {
            match event {
                "restart" => {
                    world.crash(SL);
                    world.start(SL);
                }
                "sleep" => {
                    world.suspend(SL);
                    world.run_for(3_600_000);
                    world.resume(SL);
                }
                _ => world.lose_disk(SL),
            }
            world.run_for(600_000);
            let ticket = publish(&mut world, 2);
            assert!(world.answer(SL, ticket).is_some_and(Result::is_err), "seed {seed}: {event}");
        }
        world.heal();
        world.until(120_000, "back again", |it| it.converged() && it.all_open());
        assert_eq!(world.disk(RP).count(log(SL), Kind::Recovered), 1, "seed {seed}");
        // available: it goes on after the time its own clock has seen, and says so
        world.set_fence(SL, available);
        world.until(60_000, "open", World::all_open);
        world.cut(SL, RP);
        world.suspend(SL);
        world.run_for(3_600_000);
        world.resume(SL);
        world.run_for(29_000);
        let ticket = publish(&mut world, 3);
        assert!(world.answer(SL, ticket).is_some_and(Result::is_err), "seed {seed}: too early");
        world.run_for(2_000);
        let ticket = publish(&mut world, 3);
        world.until(5_000, "published", |it| it.answer(SL, ticket).is_some_and(Result::is_ok));
        assert_eq!(world.disk(SL).count(log(SL), Kind::Unfenced), 1, "seed {seed}");
        world.heal();
        world.until(60_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

//     SL - RP - HE -/- TH
#[test]
fn a_fenced_land_refuses_until_a_partner_answers() {
    check(10, |seed| {
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.cut(HE, TH);
        world.crash(TH);
        world.start(TH);
        world.run_for(120_000);
        let id = service_id(0);
        let ticket = world.publish(TH, request(vec![definition(&id, "Vorher")], vec![]));
        let ticket = ticket.expect("TH is up");
        let refused = world.answer(TH, ticket).expect("answered at once");
        let text = refused.as_ref().expect_err("fenced").to_string();
        assert!(text.contains("[[peers]]"), "names the way out: {text}");
        world.heal();
        world.until(60_000, "open", World::all_open);
    });
}

#[test]
fn the_policy_available_signs_an_unfenced_entry_and_goes_on() {
    check(10, |seed| {
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.set_fence(TH, FencePolicy::Available { after_ms: 30_000 });
        world.until(60_000, "fences open", World::all_open);
        let record = request(vec![definition(&service_id(0), "Vorher")], vec![]);
        world.publish(TH, record).expect("TH is up");
        world.until(60_000, "one entry", |it| it.disk(SL).size(log(TH)) == 1 && it.converged());
        // what it signed before is not here: it never goes on alone
        world.cut(HE, TH);
        world.lose_disk(TH);
        world.run_for(600_000);
        assert_eq!(world.disk(TH).size(log(TH)), 0, "seed {seed}: signed from an empty disk");
        world.heal();
        world.until(120_000, "back again", |it| it.converged() && it.all_open());
        // it has all that it signed
        world.cut(HE, TH);
        world.crash(TH);
        world.start(TH);
        let begun = world.now_ms();
        let unfenced = |it: &World| it.disk(TH).count(log(TH), Kind::Unfenced) == 1;
        world.until(60_000, "goes on", unfenced);
        assert!(world.now_ms() >= begun + 30_000, "seed {seed}: opened too early");
        world.heal();
        world.until(60_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

#[test]
fn a_jump_of_the_clock_closes_the_fence_until_a_partner_answers() {
    check(10, |seed| {
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.until(60_000, "open", World::all_open);
        world.cut(HE, TH);
        world.shift_clock(TH, 3_600_000);
        world.until(5_000, "closed", |it| !it.all_open());
        world.run_for(60_000);
        assert!(!world.all_open(), "seed {seed}: opened without an answer");
        world.heal();
        world.until(60_000, "open again", World::all_open);
    });
}

//     SL - RP
//     | x |        TH lies in every third message
//     HE - TH
#[test]
fn a_liar_keeps_the_others_from_nothing() {
    check(40, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let chaos = if seed % 2 == 0 { CALM } else { WILD };
        let mut world = World::new(seed, &ALL, &MESH, chaos);
        world.set_liar(TH);
        publish_some(&mut world, &mut rng, 60, 0);
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

//     SL - RP - HE - TH        HE lies: TH hears of the others through it only
#[test]
fn a_liar_in_between_delays_and_forges_nothing() {
    check(20, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new(seed, &ALL, &LINE, CALM);
        world.set_liar(HE);
        publish_some(&mut world, &mut rng, 30, 0);
        // the oracle compares every copy with the truth after every step
        world.until(900_000, "converged", |it| it.converged() && it.all_open());
    });
}

// All others hold the log when its owner loses it; whoever answers first knows enough. Then
// streams break and nodes crash while it comes back.
#[test]
fn a_lost_disk_comes_back_through_crashes_and_broken_streams() {
    check(8, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xD15C);
        let mut world = World::new(seed, &ALL, &MESH, CALM);
        world.until(60_000, "fences open", World::all_open);
        publish_some(&mut world, &mut rng, 200, 0);
        world.until(60_000, "converged", World::converged);
        world.set_chaos(STORM);
        world.lose_disk(SL);
        publish_some(&mut world, &mut rng, 60, 1_000);
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        world.assert_nothing_lost();
    });
}

//     SL - RP
//     | x |        the disk of SL and a copy of it take turns; either may hold what nobody has seen
//     HE - TH
#[test]
fn of_an_old_disk_that_starts_again_what_nobody_has_seen_is_set_aside() {
    let all_aside = std::cell::Cell::new(0);
    check(24, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xA51DE);
        let mut world = World::new(seed, &ALL, &MESH, CALM);
        world.watch(SL);
        world.until(60_000, "fences open", World::all_open);
        let count = rng.random_range(0..12);
        publish_some(&mut world, &mut rng, count, 0);
        world.until(60_000, "converged", World::converged);
        world.run_for(rng.random_range(0..3_000));
        let mut other = world.disk(SL).clone();
        // entries that only the other disk has, and what others had when it was taken away
        let (mut unseen, mut seen) = (0, world.seen_of(SL));
        for turn in 0..rng.random_range(2..5) {
            // what others see
            let chaos = if rng.random_bool(0.5) { STORM } else { CALM };
            world.set_chaos(chaos);
            let count = rng.random_range(0..15);
            publish_some(&mut world, &mut rng, count, 1_000 * (turn + 1));
            world.calm();
            world.until(400_000, "together", |it| it.converged() && it.all_open());
            let before = world.set_aside_of(SL);
            all_aside.set(all_aside.get().max(before));
            let here = publish_alone(&mut world, &mut rng, 1_000 * (turn + 1) + 500);
            // the other one signs where this one did, unless nothing was said without it
            let is_astray = unseen > 0 && world.seen_of(SL) > seen;
            (unseen, seen) = (here, world.seen_of(SL));
            world.heal();
            world.set_chaos(if rng.random_bool(0.5) { STORM } else { CALM });
            world.change_disks(SL, &mut other, turn == 0);
            world.run_for(rng.random_range(0..120_000));
            world.calm();
            world.until(400_000, "settled", |it| it.converged() && it.all_open());
            let gone = world.set_aside_of(SL) - before;
            assert_eq!(gone > 0, is_astray, "seed {seed}, turn {turn}: {gone} set aside");
            world.assert_nothing_lost();
            world.assert_one_history();
        }
        all_aside.set(all_aside.get().max(world.set_aside_of(SL)));
    });
    println!("set aside at most {} entries in a world", all_aside.get());
    assert!(all_aside.get() > 0, "no seed came to it");
}

//     SL - RP - HE        SL is killed while it speaks, and another disk is put in place of its own
#[test]
fn a_disk_in_place_of_another_signs_nothing_where_partners_were_told_of_more() {
    let stayed_closed = std::cell::Cell::new(0);
    check(16, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x70_1D);
        let mut world = World::new(seed, &[SL, RP, HE], &LINE[..2], CALM);
        world.watch(SL);
        world.until(60_000, "fences open", World::all_open);
        let mut other = world.disk(SL).clone();
        for turn in 0..rng.random_range(2..6) {
            for n in 0..rng.random_range(1..6) {
                let id = service_id(100 * (turn + 1) + n);
                let record = request(vec![definition(&id, "Mitten im Wort")], vec![]);
                world.publish(SL, record).expect("SL is up");
                world.run_for(rng.random_range(0..90));
            }
            world.change_disks(SL, &mut other, true);
            let begun = world.now_ms();
            while !world.is_open(SL) && world.now_ms() < begun + 200_000 {
                world.run_for(500);
            }
            if !world.is_open(SL) {
                // the partner knows of more than it holds: the disk that has it is needed
                stayed_closed.set(stayed_closed.get() + 1);
                world.change_disks(SL, &mut other, true);
            }
            world.until(300_000, "settled", |it| it.converged() && it.all_open());
            world.assert_nothing_lost();
            world.assert_one_history();
        }
    });
    println!("needed the disk of before {} times", stayed_closed.get());
}

/// Publishes at SL while nobody can see it; entries that only its disk has then.
fn publish_alone(world: &mut World, rng: &mut SmallRng, from: u64) -> u64 {
    [RP, HE, TH].iter().for_each(|it| world.cut(SL, *it));
    for n in from..from + rng.random_range(0..5) {
        let record = request(vec![definition(&service_id(n), "Nur hier")], vec![]);
        world.publish(SL, record).expect("SL is up");
        world.run_for(rng.random_range(0..400));
    }
    world.run_for(rng.random_range(0..4) * 50);
    world.disk(SL).size(log(SL)) - world.seen_of(SL)
}

//     SL - RP        SL shows HE another history than RP and TH
//     | x |
//     HE - TH
#[test]
fn two_histories_stop_that_log_everywhere_and_no_other() {
    check(12, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0xF0);
        let links: &[_] = if seed % 2 == 0 { &MESH } else { &SPLIT };
        let mut world = World::new(seed, &ALL, links, CALM);
        world.until(60_000, "fences open", World::all_open);
        let count = rng.random_range(0..12);
        publish_some(&mut world, &mut rng, count, 0);
        world.until(60_000, "converged", World::converged);
        // all have cosigned what there is
        world.run_for(3_000);
        let before = world.disk(RP).size(log(SL));
        world.set_double(SL, &[HE]);
        publish_some(&mut world, &mut rng, 12, 100);
        let id = service_id(500);
        let _ = world.publish(SL, request(vec![definition(&id, "Zwiespalt")], vec![]));
        let stopped = |it: &World, land| it.state(land, SL) == Some((LogState::Quarantined, true));
        world.until(20_000, "convicted", |it| [RP, HE, TH].iter().all(|land| stopped(it, *land)));
        // what was under way to the disks is there now
        world.run_for(1_000);
        // what was verified stays, and what was convicted stays so after a restart
        let held: Vec<u64> = [RP, HE, TH].iter().map(|it| world.disk(*it).size(log(SL))).collect();
        // what only one side saw is disputed at both
        for land in [RP, HE, TH] {
            let cosigned = world.cosigned(land, SL).expect("up");
            assert!(cosigned <= before, "seed {seed}: {land} disputes only from {cosigned} on");
        }
        assert!(held.iter().all(|it| *it >= before), "seed {seed}: {held:?}");
        // both sides find out how far they are the same, and dispute from there on
        let places = |it: &World| [RP, HE, TH].map(|land| it.cosigned(land, SL));
        let all_same = |it: &World| places(it).windows(2).all(|two| two[0] == two[1]);
        world.until(30_000, "disputed from one place on", |it| {
            all_same(it) && it.cosigned(RP, SL) == Some(before)
        });
        world.crash(RP);
        world.start(RP);
        publish_some(&mut world, &mut rng, 12, 200);
        world.until(60_000, "others converged", World::converged);
        assert!(stopped(&world, RP), "seed {seed}");
        world.until(30_000, "disputed from one place on again", all_same);
        for (land, size) in [RP, HE, TH].iter().zip(held) {
            assert_eq!(world.disk(*land).size(log(SL)), size, "seed {seed}: {land} took more");
        }
    });
}

//     SL - RP - HE - TH
#[test]
fn every_land_learns_who_holds_what_through_crashes() {
    check(12, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x4EC);
        let links: &[_] = if seed % 2 == 0 { &MESH } else { &LINE };
        let mut world = World::new(seed, &ALL, links, if seed % 3 == 0 { CALM } else { WILD });
        publish_some(&mut world, &mut rng, 40, 0);
        world.calm();
        world.until(300_000, "converged", |it| it.converged() && it.all_open());
        // a second for each hop, and for each statement
        let all_told = |it: &World| {
            ALL.iter().all(|at| {
                ALL.iter().all(|owner| {
                    let size = it.disk(*at).size(log(*owner));
                    let newest = size.saturating_sub(1);
                    let holders = it.disk(*at).holders(log(*owner), newest);
                    let known = holders.iter().filter(|(_, held)| *held == size).count();
                    size == 0 || (known == 3 && it.cosigned(*at, *owner) == Some(size))
                })
            })
        };
        world.until(30_000, "all know who holds what", all_told);
        for owner in ALL {
            let first = world.disk(SL).holders(log(owner), 0);
            let known = first.iter().all(|(holder, size)| *holder != owner && *size > 0);
            assert!(known, "seed {seed}: {first:?}");
        }
    });
}

//     SL - RP - HE        RP keeps the entries of SL from HE, but not its heads
#[test]
fn entries_behind_a_head_show_within_two_beacons() {
    check(10, |seed| {
        let mut world = World::new(seed, &[SL, RP, HE], &LINE[..2], CALM);
        world.until(60_000, "fences open", World::all_open);
        world.until(60_000, "converged", World::converged);
        world.withhold(RP, HE, SL, false);
        let id = service_id(seed);
        let ticket = world.publish(SL, request(vec![definition(&id, "Fehlt")], vec![]));
        let ticket = ticket.expect("SL is up");
        world.until(10_000, "published", |it| it.answer(SL, ticket).is_some_and(Result::is_ok));
        let state = |it: &World| it.state(HE, SL).map(|it| it.0);
        world.until(2 * limits::BEACON_MS, "shown", |it| state(it) == Some(LogState::CatchingUp));
        assert_eq!(world.disk(HE).size(log(SL)), 0, "seed {seed}: the entries came");
    });
}

//     SL - RP - HE        RP keeps everything of SL from HE
#[test]
fn a_withheld_head_shows_as_stale_after_three_minutes() {
    check(4, |seed| {
        let mut world = World::new(seed, &[SL, RP, HE], &LINE[..2], CALM);
        world.until(60_000, "fences open", World::all_open);
        let id = service_id(seed);
        let _ = world.publish(SL, request(vec![definition(&id, "Zuletzt")], vec![]));
        let id = service_id(1_000 + seed);
        let _ = world.publish(RP, request(vec![definition(&id, "Daneben")], vec![]));
        let state = |it: &World| it.state(HE, SL).map(|it| it.0);
        let live = Some(LogState::Live);
        world.until(60_000, "converged", |it| {
            let both = [(HE, SL), (HE, RP)].map(|(at, of)| it.state(at, of).map(|it| it.0));
            both == [live, live] && it.converged()
        });
        // a freshness comes about once a minute; it goes on for longer than one without
        world.run_for(2 * limits::STALE_AFTER_MS);
        assert_eq!(state(&world), live, "seed {seed}");
        world.withhold(RP, HE, SL, true);
        world.run_for(limits::STALE_AFTER_MS - limits::FRESHNESS_RENEW_MS - 5_000);
        assert_eq!(state(&world), live, "seed {seed}: too early");
        world.until(limits::FRESHNESS_RENEW_MS + 6_000, "stale", |it| {
            state(it) == Some(LogState::Stale)
        });
        // only that log, and only there
        assert_eq!(world.state(HE, RP).map(|it| it.0), live, "seed {seed}");
        assert_eq!(world.state(RP, SL).map(|it| it.0), live, "seed {seed}");
    });
}

fn log(land: Land) -> LogId {
    LogId { land, epoch: 1 }
}
