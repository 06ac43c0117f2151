//! The real core in a simulated world. `SIM_SEED=n cargo test -p registry-tests --test sim` runs
//! one seed; `SIM_SEEDS=n` runs that many.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_core::FencePolicy;
use registry_proto::terms::Land::{self, HE, RP, SL, TH};
use registry_tests::{
    records::{definition, request, service_id, version},
    sim::{Chaos, World},
};

const MESH: [(Land, Land); 6] = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
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
    check(20, |seed| {
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
        world.until(60_000, "converged", World::converged);
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
        world.cut(HE, TH);
        world.set_fence(TH, FencePolicy::Available { after_ms: 30_000 });
        world.until(60_000, "one entry", |it| {
            it.disk(TH).size(registry_proto::terms::LogId { land: TH, epoch: 1 }) == 1
        });
        assert!(world.now_ms() >= 30_000, "seed {seed}: opened too early");
        world.heal();
        world.until(60_000, "converged", |it| it.converged() && it.all_open());
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
    check(40, |seed| {
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
