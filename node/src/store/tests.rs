use std::{fs, path::Path};

use registry_core::{fold::Fact, view::Facts};
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};

use super::{OpenOutcome, Progress, Publication, PublishError, Store};
use crate::testing::eventually;

const LOG: LogId = LogId { land: Land::SL, epoch: 1 };
const FIRST: &[u8] = &[1];
const LAST: &[u8] = &[2];

fn fact(n: u64) -> Fact {
    Fact { key: [&[1_u8][..], &n.to_be_bytes()].concat(), value: n.to_string().into_bytes() }
}

fn publication(from: u64, size: u64) -> Publication {
    let facts = (from..size).map(fact).collect();
    Publication { log: LOG, from, size, last: Hash::from_bytes([9; 32]), facts }
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
fn an_index_without_its_database_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    fs::remove_file(dir.path().join("index/db")).unwrap();
    rebuilds(dir.path(), 1, "boot", "");
}

#[test]
fn a_damaged_index_is_rebuilt_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    for part in 0..8_usize {
        let case = dir.path().join(part.to_string());
        fs::create_dir(&case).unwrap();
        killed(&case);
        let path = case.join("index/db");
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
