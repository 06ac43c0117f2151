use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use registry_core::{
    fold::{Fact, Position, keys},
    view::Facts,
};
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};

use uuid::Uuid;

use super::{
    OpenOutcome, Progress, Publication, PublishError, Store,
    backend::Backend,
    overlay::Generation,
    sled_store::{Opener, SledStore},
    stamp::Stamp,
};
use crate::testing::eventually;

const LOG: LogId = LogId { land: Land::SL, epoch: 1 };
const FIRST: &[u8] = &[1];
const LAST: &[u8] = &[2];

fn fact(n: u64) -> Fact {
    Fact { key: [&[1_u8][..], &n.to_be_bytes()].concat(), value: n.to_string().into_bytes() }
}

fn publication(from: u64, size: u64) -> Publication {
    let facts = (from..size).map(fact).collect();
    Publication { log: LOG, from, size, last: Hash::from_bytes([9; 32]), facts, erased: Vec::new() }
}

fn open(dir: &Path) -> (Store, OpenOutcome) {
    Store::open(&dir.join("index"), 1, "boot").unwrap()
}

/// What every store does, whatever is below it.
fn conforms(store: &Store) {
    assert_eq!(store.progress(LOG), Progress::START);
    store.publish(publication(0, 100)).unwrap();
    assert_eq!(store.cut().size(LOG), 100);
    let gap = Err(PublishError::Gap { log: LOG });
    assert_eq!(store.publish(publication(0, 100)), gap);
    assert_eq!(store.publish(publication(150, 160)), gap);
    assert_eq!(store.publish(publication(100, 100)), gap);
    // in the overlay, in the backend, and in between
    for round in 0..3 {
        if round > 0 {
            let size = 100 * (round + 1);
            store.publish(publication(size - 100, size)).unwrap();
        }
        reads_all(store, 100 * (round + 1));
        eventually(|| store.waiting() == 0);
        reads_all(store, 100 * (round + 1));
    }
    store.reset().unwrap();
    assert_eq!(store.progress(LOG), Progress::START);
    assert!(store.scan(FIRST, LAST, false, 10).unwrap().is_empty());
    store.publish(publication(0, 7)).unwrap();
    reads_all(store, 7);
    eventually(|| store.waiting() == 0);
    reads_all(store, 7);
    store.close();
    assert_eq!(store.publish(publication(7, 8)), Err(PublishError::Closed));
    reads_all(store, 7);
}

fn reads_all(store: &Store, size: u64) {
    let all: Vec<_> = (0..size).map(fact).collect();
    assert_eq!(store.scan(FIRST, LAST, false, 1_000).unwrap(), all);
    let mut reversed: Vec<_> = all.clone();
    reversed.reverse();
    assert_eq!(store.scan(FIRST, LAST, true, 1_000).unwrap(), reversed);
    assert_eq!(store.scan(FIRST, LAST, true, 3).unwrap(), reversed[..3]);
    let (from, to) = (fact(2).key, fact(6).key);
    assert_eq!(store.scan(&from, &to, false, 3).unwrap(), all[2..5]);
    assert_eq!(store.scan(&from, &to, true, 9).unwrap().len(), 4);
    assert!(store.scan(&to, &from, false, 3).unwrap().is_empty());
    assert_eq!(store.get(&fact(3).key).unwrap(), Some(fact(3).value));
    assert_eq!(store.get(&fact(size).key).unwrap(), None);
}

#[test]
fn memory_conforms() {
    conforms(&Store::in_memory(1).unwrap());
}

#[test]
fn sled_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (store, outcome) = open(dir.path());
    assert_eq!(outcome, OpenOutcome::New);
    conforms(&store);
}

#[test]
fn a_closed_index_is_ready_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.publish(publication(0, 30_000)).unwrap();
    store.close();
    drop(store);
    // also after the machine was started again
    let (store, outcome) = Store::open(&dir.path().join("index"), 1, "next boot").unwrap();
    assert_eq!(outcome, OpenOutcome::Ready);
    assert_eq!(store.progress(LOG).size, 30_000);
    assert_eq!(store.scan(FIRST, LAST, false, 40_000).unwrap().len(), 30_000);
}

/// Leaves an index as a killed process would: written, not closed.
fn killed(dir: &Path) {
    let (store, _) = open(dir);
    store.publish(publication(0, 500)).unwrap();
    eventually(|| store.waiting() == 0);
}

fn rebuilds(dir: &Path, fold_version: u32, boot: &str, expected: &str) {
    let (store, outcome) = Store::open(&dir.join("index"), fold_version, boot).unwrap();
    match outcome {
        OpenOutcome::Rebuild(reason) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.progress(LOG), Progress::START);
    assert!(store.scan(FIRST, LAST, false, 10).unwrap().is_empty());
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let broken = names.filter(|name| name.to_string_lossy().starts_with("index.broken-")).count();
    assert_eq!(broken, 1);
}

#[test]
fn an_index_of_a_killed_process_is_trusted_until_the_machine_goes_down() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    let (store, outcome) = open(dir.path());
    assert_eq!((outcome, store.progress(LOG).size), (OpenOutcome::Ready, 500));
    drop(store);
    rebuilds(dir.path(), 1, "next boot", "went down");
}

#[test]
fn an_index_of_another_fold_version_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    rebuilds(dir.path(), 2, "boot", "version");
    // and only one broken index is kept
    rebuilds(dir.path(), 3, "boot", "version");
}

#[test]
fn an_index_of_another_layout_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path());
    let mut stamp =
        Stamp { fold_version: 1, boot_id: "boot".to_owned(), ..Stamp::default() }.encode();
    stamp[0] = 1;
    store.set_stamp(&stamp);
    drop(store);
    let opener = Opener { fold_version: 1, boot_id: "boot" };
    let (_, _, outcome) = SledStore::open(&dir.path().join("engine"), opener).unwrap();
    let reason = "it has layout 1, this software has layout 2".to_owned();
    assert_eq!(outcome, OpenOutcome::Rebuild(reason));
}

#[test]
fn an_index_without_its_database_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    fs::remove_file(dir.path().join("index/1/db")).unwrap();
    rebuilds(dir.path(), 1, "boot", "");
}

#[test]
fn a_damaged_index_is_rebuilt_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    for part in 0..8_usize {
        let case = dir.path().join(part.to_string());
        fs::create_dir(&case).unwrap();
        killed(&case);
        let path = case.join("index/1/db");
        let mut bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        if part == 7 {
            bytes.truncate(used / 2);
        } else {
            let at = used * part / 7;
            bytes[at..at + 64].fill(0xa5);
        }
        fs::write(&path, bytes).unwrap();
        let (store, outcome) = open(&case);
        match outcome {
            OpenOutcome::Rebuild(_) => assert_eq!(store.progress(LOG), Progress::START),
            // the damage lay where nothing is read
            OpenOutcome::Ready => {
                let size = store.progress(LOG).size;
                let found = store.scan(FIRST, LAST, false, 1_000).unwrap();
                assert_eq!(found, (0..size).map(fact).collect::<Vec<_>>());
            }
            OpenOutcome::New => panic!("the directory was there"),
        }
    }
}

#[test]
fn an_index_in_use_is_not_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(dir.path());
    assert!(Store::open(&dir.path().join("index"), 1, "boot").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The fact of the entry `n`, which says something.
fn said(n: u64) -> Fact {
    let key = keys::definition(Uuid::from_u128(1), Position { log: LOG, index: n });
    Fact { key, value: format!("MARKER-{n}").into_bytes() }
}

fn says(from: u64, size: u64, erased: &[u64]) -> Publication {
    let facts = (from..size).map(said).collect();
    let erased = erased.iter().map(|index| Position { log: LOG, index: *index }).collect();
    Publication { facts, erased, ..publication(from, size) }
}

/// Entries whose facts can be read.
fn told(store: &Store, reverse: bool, limit: usize) -> Vec<u64> {
    let facts = store.scan(FIRST, LAST, reverse, limit).unwrap();
    facts.iter().map(|it| keys::position(&it.key).unwrap().index).collect()
}

/// Files below a directory that contain `marker`.
fn files_with(dir: &Path, marker: &str) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += files_with(&path, marker);
        } else if fs::read(&path).unwrap().windows(marker.len()).any(|it| it == marker.as_bytes()) {
            found += 1;
        }
    }
    found
}

#[test]
fn what_is_erased_is_out_of_sight_at_once_and_then_off_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.publish(says(0, 6, &[])).unwrap();
    eventually(|| store.waiting() == 0);
    store.shared.backend.flush().unwrap();
    assert!(files_with(dir.path(), "MARKER-2") > 0);
    // one in the backend, one in the overlay, one in the same publication
    store.publish(says(6, 8, &[])).unwrap();
    store.publish(says(8, 10, &[2, 7, 8])).unwrap();
    let check = |store: &Store| {
        assert_eq!(told(store, false, 100), [0, 1, 3, 4, 5, 6, 9]);
        assert_eq!(told(store, true, 3), [9, 6, 5]);
        assert_eq!(told(store, false, 3), [0, 1, 3]);
        assert_eq!(store.get(&said(2).key).unwrap(), None);
        assert_eq!(store.get(&said(3).key).unwrap(), Some(said(3).value));
    };
    check(&store);
    eventually(|| !store.erases());
    check(&store);
    for n in [2, 7, 8] {
        assert_eq!(files_with(dir.path(), &format!("MARKER-{n}")), 0, "{n}");
    }
    store.close();
    drop(store);
    let (store, outcome) = open(dir.path());
    assert_eq!((outcome, store.progress(LOG).size), (OpenOutcome::Ready, 10));
    check(&store);
    // a rebuild leaves nothing behind either
    store.reset().unwrap();
    assert_eq!(files_with(dir.path(), "MARKER-"), 0);
}

#[test]
fn an_erasure_that_was_cut_off_ends_with_an_index_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.publish(says(0, 6, &[])).unwrap();
    eventually(|| store.waiting() == 0);
    // as a process leaves it that dies between writing that it erases and erasing
    let stamp = Stamp { erasing: true, ..store.shared.lock().stamp.clone() };
    store.shared.backend.apply(&Default::default(), &stamp).unwrap();
    store.shared.backend.flush().unwrap();
    drop(store);
    let (store, outcome) = open(dir.path());
    assert!(matches!(outcome, OpenOutcome::Rebuild(_)), "{outcome:?}");
    assert_eq!(store.progress(LOG), Progress::START);
    assert_eq!(files_with(dir.path(), "MARKER-"), 0);
}

/// An empty database of its own, below the store.
fn engine(dir: &Path) -> SledStore {
    let opener = Opener { fold_version: 1, boot_id: "boot" };
    SledStore::open(&dir.join("engine"), opener).unwrap().0
}

/// A fact that stands anywhere among the others.
fn scattered(n: u64) -> Fact {
    fact(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A key that often begins as others do.
fn any_key(rng: &mut StdRng) -> Vec<u8> {
    let service = rng.random_range(0..12_u8).pow(2);
    let length = rng.random_range(1..5);
    let rest = (0..length).map(|_| rng.random_range(0..6_u8));
    [1, service].into_iter().chain(rest).collect()
}

#[test]
fn leaves_are_read_as_if_each_fact_stood_alone() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path());
    let mut model = Generation::new();
    for round in 0..60_u32 {
        let count = [1, 3, 40, 300][rng.random_range(0..4)];
        let mut facts = Generation::new();
        for _ in 0..count {
            facts.insert(any_key(&mut rng), vec![7; rng.random_range(0..40)]);
        }
        facts.insert(any_key(&mut rng), round.to_be_bytes().to_vec());
        model.extend(facts.clone());
        store.apply(&facts, &Stamp::default()).unwrap();
        for _ in 0..20 {
            let (mut from, mut to) = (any_key(&mut rng), any_key(&mut rng));
            if rng.random_bool(0.2) {
                (from, to) = (FIRST.to_vec(), LAST.to_vec());
            }
            let limit = [1, 2, 33, 10_000][rng.random_range(0..4)];
            let held: Vec<Fact> = model
                .iter()
                .filter(|(key, _)| (&from..&to).contains(key))
                .map(|(key, value)| Fact { key: key.clone(), value: value.clone() })
                .collect();
            let forward: Vec<_> = held.iter().take(limit).cloned().collect();
            assert_eq!(store.scan(&from, &to, false, limit).unwrap(), forward, "round {round}");
            let backward: Vec<_> = held.iter().rev().take(limit).cloned().collect();
            assert_eq!(store.scan(&from, &to, true, limit).unwrap(), backward, "round {round}");
            assert_eq!(store.get(&from).unwrap(), model.get(&from).cloned());
        }
    }
    // no leaf is lost or counted twice, also in the next database
    let kept = store.purge(&BTreeSet::new(), &Stamp::default()).unwrap();
    assert_eq!(kept, model.len() as u64);
    let all = store.scan(FIRST, LAST, false, usize::MAX).unwrap();
    let all: Generation = all.into_iter().map(|it| (it.key, it.value)).collect();
    assert_eq!(all, model);
}

#[test]
fn who_reads_while_leaves_are_split_sees_each_fact_once_and_in_order() {
    const FACTS: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let store = engine(dir.path());
    let applied = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // from both ends and into the middle of what is there
            for n in 0..FACTS {
                let Fact { key, value } = scattered(n);
                store.apply(&[(key, value)].into(), &Stamp::default()).unwrap();
                applied.store(n + 1, Ordering::SeqCst);
            }
        });
        for reverse in [false, true].into_iter().cycle() {
            let before = applied.load(Ordering::SeqCst);
            let found = store.scan(FIRST, LAST, reverse, usize::MAX).unwrap();
            let keys: BTreeSet<_> = found.iter().map(|it| &it.key).collect();
            for n in 0..before {
                assert!(keys.contains(&scattered(n).key), "{n} of {before}, reverse {reverse}");
            }
            let follows = |it: &[Fact]| (it[0].key < it[1].key) != reverse;
            assert!(found.windows(2).all(follows));
            if before == FACTS {
                break;
            }
        }
    });
}
