use std::{collections::BTreeSet, path::Path, sync::Arc};

use prost::Message as _;
use registry_core::{
    fold::{FOLD_VERSION, Fact, Position},
    reject::Reject,
    view::Facts,
};
use registry_proto::{
    log::{Hash, Kind},
    terms::Land,
    wire::registry::{Erasure, GetServiceRequest, ListServicesRequest},
};

use super::Folder;
use crate::{
    batches::{BatchError, read_batches},
    erasure::Erasures,
    guard::Keeper,
    index::Index,
    journals::{Beginning, JournalRead, Journals, ParseError},
    store::{OpenOutcome, Store},
    testing::{
        Item, MemoryJournal, NUMBER_A, NUMBER_B, eventually, folded, folded_with, uuid,
        wait_folded, wait_open, withdraw,
    },
};

fn publish_some(journal: &MemoryJournal, batches: u8) {
    for n in 0..batches {
        journal.append(&[
            Item::Define(n % 5, if n % 2 == 0 { NUMBER_A } else { NUMBER_B }),
            Item::Release(n % 5, ["1.0.0", "1.1.0", "2.0.0"][usize::from(n % 3)]),
            Item::Other(n),
        ]);
    }
}

fn all(index: &Index) -> Vec<Fact> {
    index.store().scan(&[1], &[2], false, usize::MAX).unwrap()
}

fn services(index: &Index) -> usize {
    let list = |view: &registry_core::view::Catalogue<'_, Store>| {
        view.list_services(&ListServicesRequest::default())
    };
    index.ask(list).unwrap().0.items.len()
}

#[test]
fn only_whole_batches_are_shown() {
    let [whole, partial] = [(); 2].map(|()| {
        let journal = MemoryJournal::of(Land::SL);
        journal.append(&[Item::Define(1, NUMBER_A)]);
        journal.append(&[Item::Define(2, NUMBER_A), Item::Define(3, NUMBER_A)]);
        journal
    });
    // the second batch is here up to its middle
    partial.truncate(2);
    let (index, _folder) = folded(&[partial]);
    assert_eq!((index.store().cut().size(whole.log), services(&index)), (1, 1));
    let (index, _folder) = folded(&[whole]);
    assert_eq!(services(&index), 3);
}

#[test]
fn new_entries_are_shown_and_announced() {
    let journal = MemoryJournal::of(Land::SL);
    let (index, folder) = folded(std::slice::from_ref(&journal));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for n in 1..20 {
        let size = journal.append(&[Item::Define(n, NUMBER_A)]);
        folder.notifier().notify();
        runtime.block_on(index.wait_folded(journal.log, size)).unwrap();
        assert_eq!(services(&index), usize::from(n));
    }
}

#[test]
fn a_log_that_cannot_be_read_does_not_stop_the_others() {
    let (broken, sound) = (MemoryJournal::of(Land::HE), MemoryJournal::of(Land::SL));
    publish_some(&broken, 10);
    broken.damage(6);
    publish_some(&sound, 10);
    let (index, folder) = folded(&[broken.clone(), sound.clone()]);
    wait_folded(&index, &sound);
    assert_eq!(index.store().cut().size(broken.log), 6);
    assert!(index.status().contains("HE/1: cannot read the journal"), "{}", index.status());
    sound.append(&[Item::Define(77, NUMBER_A)]);
    folder.notifier().notify();
    wait_folded(&index, &sound);

    broken.repair();
    folder.notifier().notify();
    wait_folded(&index, &broken);
    assert_eq!(index.status(), "ready");
}

#[test]
fn a_body_that_its_owner_did_not_sign_is_never_shown() {
    let (forged, sound) = (MemoryJournal::of(Land::HE), MemoryJournal::of(Land::SL));
    let other = MemoryJournal::of(Land::HE);
    for journal in [&forged, &sound] {
        publish_some(journal, 10);
    }
    other.append(&[Item::Define(9, NUMBER_B)]);
    let another = other.entries()[0].body.clone().unwrap().1;
    let genuine = forged.entries()[3].body.clone().unwrap().1;
    let at = Position { log: forged.log, index: 3 };
    let told = format!("{:?}", BTreeSet::from([at]));
    let refused = |index: &Index| match index.entry(at) {
        Err(Reject::Unavailable { reason, .. }) => reason == "JOURNAL_DAMAGED",
        _ => false,
    };

    // before it is folded: the log waits there, the others go on
    forged.forge(3, another.clone());
    let (index, folder) = folded(&[forged.clone(), sound.clone()]);
    wait_folded(&index, &sound);
    assert_eq!(index.store().cut().size(forged.log), 3);
    assert!(index.status().contains("HE/1: the body of entry"), "{}", index.status());
    assert!(refused(&index));
    assert_eq!(format!("{:?}", index.journals().forged()), told);
    forged.forge(3, genuine);
    folder.notifier().notify();
    wait_folded(&index, &forged);
    assert_eq!(index.status(), "ready");

    // and afterwards: to a reader, and to a watch that reads the journal
    let (index, _folder) = folded(&[forged.clone(), sound]);
    wait_folded(&index, &forged);
    assert!(index.entry(at).is_ok());
    forged.forge(3, another);
    assert!(refused(&index));
    assert_eq!(format!("{:?}", index.journals().forged()), told);
    let batches = read_batches(index.journals(), &forged, forged.log, 0, 6);
    assert!(matches!(batches, Err(BatchError::Parse(ParseError::Body { .. }))), "{batches:?}");
}

/// An epoch that ended, of three services, and the next one, which erases this entry of it
/// and has a service of its own.
fn epochs(index: u64) -> [MemoryJournal; 2] {
    let old = MemoryJournal::of(Land::SL);
    old.append(&[Item::Define(1, NUMBER_A)]);
    old.append(&[Item::Define(2, NUMBER_A), Item::Define(3, NUMBER_A)]);
    let mut new = MemoryJournal::of(Land::SL);
    new.log.epoch = 2;
    let leaf = old.leaves()[usize::try_from(index).unwrap()];
    let leaf_hash = leaf.as_bytes().to_vec().into();
    let said = Erasure { index, leaf_hash, grund: "Probe".to_owned(), epoch: 1 };
    new.append(&[Item::Body(Kind::Erasure, 9, said.encode_to_vec().into())]);
    new.append(&[Item::Define(4, NUMBER_A)]);
    [old, new]
}

#[test]
fn a_later_epoch_does_not_wait_for_a_damaged_or_incomplete_one_and_erases_what_comes_of_it() {
    // of the erased entry nothing is here; a batch is open that has it; the journal is damaged there
    for (here, damaged) in [(1, None), (2, None), (3, Some(1)), (3, Some(2))] {
        for index in [1, 2] {
            let [old, new] = epochs(index);
            let all = old.entries();
            old.truncate(here);
            damaged.inspect(|at| old.damage(*at));
            let dir = tempfile::tempdir().unwrap();
            // on its own, without the lists of erasures
            let known = Erasures::open(dir.path(), []).unwrap();
            let whole = Arc::new(old.clone());
            let journals = Journals::default();
            let (log, erasures) = (old.log, known.seen());
            journals.insert(log, Arc::new(Beginning { whole, size: 3, log, erasures }));
            journals.insert(new.log, Arc::new(new.clone()));
            let store = Store::in_memory(FOLD_VERSION).unwrap();
            let index = Index::new(store, journals, Keeper::in_memory(100));
            let folder = Folder::start(index.clone(), &OpenOutcome::New, None).unwrap();
            wait_open(&index);
            wait_folded(&index, &new);
            assert_eq!(services(&index), 2);
            let stuck = index.status().contains("SL/1: cannot read the journal");
            assert_eq!(stuck, damaged.is_some(), "{}", index.status());
            old.repair();
            old.extend(&all[here..]);
            folder.notifier().notify();
            wait_folded(&index, &old);
            assert_eq!(services(&index), 3, "what is erased never shows");
        }
    }
}

#[test]
fn facts_of_an_erased_entry_go_also_if_the_journal_is_damaged_there() {
    let journal = MemoryJournal::of(Land::SL);
    for n in 1..=3 {
        journal.append(&[Item::Define(n, NUMBER_A)]);
    }
    let (index, folder) = folded(std::slice::from_ref(&journal));
    let leaves = journal.leaves();
    journal.damage(0);
    let erase = |index_of: u64, leaf: Hash, spoke_of: u8| {
        let leaf_hash = leaf.as_bytes().to_vec().into();
        let said = Erasure { index: index_of, leaf_hash, grund: "Probe".to_owned(), epoch: 0 };
        journal.append(&[Item::Body(Kind::Erasure, spoke_of, said.encode_to_vec().into())]);
        folder.notifier().notify();
        wait_folded(&index, &journal);
        services(&index)
    };
    // one that names another leaf erases nothing, and is in no other's way
    assert_eq!(erase(0, leaves[1], 1), 3);
    assert_eq!(erase(0, leaves[0], 1), 2);
    assert_eq!(erase(1, leaves[0], 2), 2);
    assert_eq!(erase(1, leaves[1], 2), 1);
}

/// Services of which the catalogue says that their version can be used.
fn in_use(index: &Index) -> usize {
    let today = "2026-06-01".parse().unwrap();
    let used = |service| {
        let asked = index.ask(|view| Ok(view.standings(Land::SL, uuid(service))?));
        // while a rebuild begins nothing can be said
        let Ok((all, _)) = asked else { return false };
        all.iter().any(|it| it.serves_on(today))
    };
    (1..=40).filter(|service| used(*service)).count()
}

#[test]
fn a_mass_retirement_is_held_until_an_operator_accepts_it() {
    let journal = MemoryJournal::of(Land::SL);
    for service in 1..=40 {
        journal.append(&[Item::Define(service, NUMBER_A), Item::Release(service, "1.0.0")]);
    }
    let (index, folder) = folded_with(std::slice::from_ref(&journal), Keeper::in_memory(30));
    let retire = |services: std::ops::RangeInclusive<u8>| {
        let items: Vec<_> = services.map(|service| withdraw(service, "1.0.0")).collect();
        journal.append(&items);
        folder.notifier().notify();
        wait_folded(&index, &journal);
    };
    // a quarter is within the share, more is not, and then nothing of it counts
    retire(1..=10);
    assert_eq!((in_use(&index), index.keeper().held().len()), (30, 0));
    retire(11..=20);
    assert_eq!((in_use(&index), index.keeper().held().len()), (40, 20));
    // an index that is built anew comes to the same
    let (generation, _) = index.readable().unwrap();
    folder.notifier().rebuild();
    eventually(|| index.still(generation).is_err());
    wait_open(&index);
    assert_eq!((in_use(&index), index.keeper().held().len()), (40, 20));
    assert_eq!(index.keeper().accept(journal.log).unwrap(), 20);
    assert_eq!(in_use(&index), 20);
}

#[test]
fn retirements_of_long_ago_are_held_only_if_their_versions_were_in_use_here() {
    const LATER_MS: i64 = 90 * 86_400_000;
    let log = MemoryJournal::of(Land::SL);
    for service in 1..=40 {
        log.append(&[Item::Define(service, NUMBER_A), Item::Release(service, "1.0.0")]);
    }
    let published = log.size();
    for service in 1..=20 {
        log.append(&[withdraw(service, "1.0.0")]);
    }
    // entries from this index on came three months after they were written
    let held = |late_from: u64| {
        let here = MemoryJournal::of(Land::SL);
        let late = |entry: &crate::journals::Stored| {
            let late = if entry.index < late_from { 0 } else { LATER_MS };
            let received_unix_ms = entry.received_unix_ms + late;
            crate::journals::Stored { received_unix_ms, ..entry.clone() }
        };
        here.extend(&log.entries().iter().map(late).collect::<Vec<_>>());
        let keeper = Keeper::in_memory(30);
        let (index, _folder) = folded_with(std::slice::from_ref(&here), keeper);
        (in_use(&index), index.keeper().held().len())
    };
    assert_eq!(held(log.size()), (40, 20), "as it was written");
    assert_eq!(held(published), (40, 20), "after three months without the owner");
    assert_eq!(held(0), (20, 0), "at a node that is new");
}

#[test]
fn a_body_of_garbage_is_counted_and_skipped() {
    let journal = MemoryJournal::of(Land::SL);
    let garbage = bytes::Bytes::from_static(&[0xff; 40]);
    journal.append(&[Item::Body(Kind::ServiceDefinition, 1, garbage)]);
    journal.append(&[Item::Define(2, NUMBER_A)]);
    let (index, _folder) = folded(&[journal]);
    assert_eq!((index.unreadable(), services(&index)), (1, 1));
}

#[test]
fn readers_are_refused_until_everything_is_folded() {
    let journal = MemoryJournal::of(Land::SL);
    publish_some(&journal, 3);
    let journals = Journals::default();
    journals.insert(journal.log, Arc::new(journal));
    let index =
        Index::new(Store::in_memory(FOLD_VERSION).unwrap(), journals, Keeper::in_memory(100));
    let request = GetServiceRequest { service_id: uuid(1).to_string(), ..Default::default() };
    match index.ask(|view| view.service(&request)) {
        Err(Reject::Unavailable { reason: "INDEX_REBUILDING", description }) => {
            assert!(description.contains("SL/1 0 of 9"), "{description}");
        }
        other => panic!("{other:?}"),
    }
    let outcome = OpenOutcome::Rebuild("for a test".to_owned());
    let _folder = Folder::start(index.clone(), &outcome, None).unwrap();
    wait_open(&index);
    assert!(index.ask(|view| view.service(&request)).is_ok());
}

#[test]
fn an_index_that_contradicts_its_journal_is_built_again() {
    let journal = MemoryJournal::of(Land::SL);
    publish_some(&journal, 20);
    let (index, folder) = folded(std::slice::from_ref(&journal));
    drop(folder);
    // the journal was restored: first shorter, then with other entries of the same number
    let other = MemoryJournal::of(Land::SL);
    for size in [30_u64, 61] {
        while other.size() < size {
            other.append(&[Item::Define(9, NUMBER_B), Item::Define(8, NUMBER_A)]);
        }
        let journals = Journals::default();
        journals.insert(other.log, Arc::new(other.clone()));
        let index = Index::new(index.store().clone(), journals, Keeper::in_memory(100));
        let _folder = Folder::start(index.clone(), &OpenOutcome::Ready, None).unwrap();
        wait_open(&index);
        assert_eq!((services(&index), index.store().cut().size(other.log)), (2, size));
        let (fresh, _folder) = folded(std::slice::from_ref(&other));
        assert_eq!(all(&index), all(&fresh));
        other.truncate(0);
        other.append(&[Item::Define(9, NUMBER_A)]);
    }
}

#[test]
fn a_rebuild_on_demand_needs_no_new_entry_and_never_shows_an_empty_list() {
    let journal = MemoryJournal::of(Land::SL);
    publish_some(&journal, 200);
    let (index, folder) = folded(std::slice::from_ref(&journal));
    let (before, size) = (services(&index), journal.size());
    let (generation, _) = index.readable().unwrap();
    folder.notifier().rebuild();
    // what was read before the rebuild no longer counts: it has begun
    eventually(|| index.still(generation).is_err());
    wait_open(&index);
    assert_eq!((services(&index), index.store().cut().size(journal.log)), (before, size));
}

/// Folds journals into an index on disk, and stops as a killed or an orderly process.
fn on_disk(dir: &Path, journals: &[MemoryJournal], boot: &str, orderly: bool) -> Vec<Fact> {
    let set = Journals::default();
    for journal in journals {
        set.insert(journal.log, Arc::new(journal.clone()));
    }
    let (store, outcome) = Store::open(dir, FOLD_VERSION, boot).unwrap();
    let index = Index::new(store, set, Keeper::in_memory(100));
    let folder = Folder::start(index.clone(), &outcome, None).unwrap();
    wait_open(&index);
    for journal in journals {
        wait_folded(&index, journal);
    }
    let facts = all(&index);
    drop(folder);
    if orderly {
        index.store().close();
    } else {
        eventually(|| index.store().waiting() == 0);
    }
    facts
}

#[test]
fn a_rebuilt_index_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let journals = [Land::SL, Land::RP, Land::TH].map(MemoryJournal::of);
    for (n, journal) in (20..).zip(&journals) {
        publish_some(journal, n);
    }
    let first = on_disk(&path, &journals, "boot 1", true);
    assert_eq!(on_disk(&path, &journals, "boot 1", false), first, "opened again");
    assert_eq!(on_disk(&path, &journals, "boot 2", true), first, "after a power loss");
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(on_disk(&path, &journals, "boot 2", true), first, "deleted");
    std::fs::write(path.join("db"), [0x5a; 4_096]).unwrap();
    assert_eq!(on_disk(&path, &journals, "boot 2", true), first, "overwritten");
    publish_some(&journals[0], 3);
    let grown = on_disk(&path, &journals, "boot 2", true);
    assert_eq!(grown, all(&folded(&journals).0), "grown while closed");
}
