use std::{path::Path, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use registry_journal::{
    Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options, StoredBody,
};
use registry_proto::{
    log::{Hash, Kind, leaf_hash},
    terms::{Land, LogId},
    wire::{peer::BatchEntry, registry::Erasure},
};

use super::{BEYOND_MAX, Ends, Erasures, list::WRITES};
use crate::{
    journals::{Beginning, JournalRead as _, Stored},
    testing::{Item, MemoryJournal, NUMBER_A, verbund},
};

const OLD: LogId = LogId { land: Land::SL, epoch: 1 };
const NEW: LogId = LogId { land: Land::SL, epoch: 2 };

fn open(dir: &Path, log: LogId) -> Journal {
    let label =
        Label { verbund: *verbund().as_bytes(), land: log.land.to_string(), epoch: log.epoch };
    let dir = dir.join(log.epoch.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    Journal::open(&dir, &label, Options::default(), &mut |_| {}).unwrap().0
}

fn append(journal: &mut Journal, entries: &[Stored]) {
    let refs = entries.iter().map(|it| EntryRef {
        header: &it.header,
        body: match &it.body {
            Some((salt, bytes)) => Body::Present { salt, bytes },
            None => Body::Erased,
        },
    });
    let refs: Vec<_> = refs.collect();
    let note_size = journal.reader().size() + refs.len() as u64;
    let checkpoint =
        CheckpointRecord { note: Bytes::from_static(b"note"), note_size, proof: vec![] };
    let group = Group { entries: &refs, checkpoint: &checkpoint, received_unix_ms: 1, from: "" };
    journal.append(&group).unwrap();
}

/// So many definitions in the first epoch, and erasures of these entries in the second.
fn logs(count: u8, erased: &[(u64, Hash)]) -> (Vec<Stored>, Vec<Stored>) {
    let old = MemoryJournal::of(OLD.land);
    for n in 0..count {
        old.append(&[Item::Define(n, NUMBER_A)]);
    }
    let mut new = MemoryJournal::of(NEW.land);
    new.log = NEW;
    let leaves = old.leaves();
    let all = (0..).zip(leaves).take(usize::from(count)).chain(erased.iter().copied());
    for (index, leaf) in all {
        let leaf_hash = leaf.as_bytes().to_vec().into();
        let said = Erasure { index, leaf_hash, grund: "Probe".to_owned(), epoch: OLD.epoch };
        new.append(&[Item::Body(Kind::Erasure, 0, said.encode_to_vec().into())]);
    }
    (old.entries(), new.entries())
}

fn opened(dir: &Path, old: u64, new: u64, discards: Option<u64>) -> Erasures {
    let erasures = Erasures::open(dir, [OLD, NEW]).unwrap();
    erasures.opened(OLD, old, Some(Ends { counts: old, known: old }));
    erasures.opened(NEW, new, discards.map(|counts| Ends { counts, known: new }));
    erasures
}

/// Stores the erasures and notes them; how many are found.
fn note(erasures: &Erasures, journal: &mut Journal, entries: &[Stored]) -> usize {
    append(journal, entries);
    let said = entries.iter().map(|it| (&it.header, &it.body.as_ref().unwrap().1));
    let found = erasures.found(NEW, &journal.reader(), said);
    erasures.erase(NEW, journal, &found, journal.reader().size()).unwrap();
    found.len()
}

fn erased(journal: &Journal) -> Vec<u64> {
    let stored = journal.reader().read(0, usize::MAX, usize::MAX).unwrap();
    let gone = stored.iter().filter(|it| it.body == StoredBody::Erased);
    gone.map(|it| it.index).collect()
}

#[test]
fn what_a_reset_discards_erases_nothing_and_readers_see_no_body_that_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = logs(3, &[]);
    let mut journals = [open(dir.path(), OLD), open(dir.path(), NEW)];
    append(&mut journals[0], &old);
    let erasures = opened(dir.path(), 3, 0, None);
    assert_eq!(note(&erasures, &mut journals[1], &new[..2]), 2);
    assert_eq!(erased(&journals[0]), Vec::<u64>::new(), "its owner was not asked yet");
    let hidden = |erasures: Erasures| {
        let whole = Arc::new(journals[0].reader());
        let beginning = Beginning { whole, size: 3, log: OLD, erasures: erasures.seen() };
        let read = beginning.read(0, usize::MAX, usize::MAX).unwrap();
        let one = beginning.read(1, usize::MAX, 1).unwrap();
        assert_eq!(one[0], read[1]);
        read.iter().map(|it| it.erased && it.body.is_none()).collect::<Vec<_>>()
    };
    assert_eq!(hidden(erasures), [true, true, false]);
    // the second erasure lies behind the cut of another reset
    let erasures = opened(dir.path(), 3, 2, Some(1));
    assert_eq!(hidden(erasures.clone()), [true, false, false]);
    erasures.resume(OLD, &mut journals[0]).unwrap();
    erasures.resume(NEW, &mut journals[1]).unwrap();
    erasures.settle(OLD, &mut journals[0]).unwrap();
    assert_eq!(erased(&journals[0]), [0]);
    // and the end of the second epoch was set aside
    let erasures = opened(dir.path(), 3, 0, None);
    erasures.settle(OLD, &mut journals[0]).unwrap();
    assert_eq!((erased(&journals[0]), erasures.every(NEW).len()), (vec![0], 0));
}

#[test]
fn many_erasures_of_an_earlier_epoch_write_their_list_a_few_times() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = logs(200, &[]);
    let mut journals = [open(dir.path(), OLD), open(dir.path(), NEW)];
    append(&mut journals[0], &old[..20]);
    let erasures = opened(dir.path(), 200, 0, None);
    WRITES.set(0);
    assert_eq!(note(&erasures, &mut journals[1], &new), 200);
    assert_eq!(WRITES.take(), 1);
    erasures.settle(OLD, &mut journals[0]).unwrap();
    assert_eq!((WRITES.take(), erased(&journals[0]).len()), (1, 20));
    let entry = |it: &Stored| BatchEntry {
        header: it.header.clone(),
        body: it.body.as_ref().unwrap().1.clone(),
        ..BatchEntry::default()
    };
    let mut late: Vec<_> = old[20..].iter().map(entry).collect();
    erasures.withdraw(OLD, 20, &mut late);
    assert!(late.iter().all(|it| it.body.is_empty()));
    let gone = |it: &Stored| Stored { body: None, ..it.clone() };
    append(&mut journals[0], &old[20..].iter().map(gone).collect::<Vec<_>>());
    assert_eq!((WRITES.take(), erasures.of(NEW).len()), (0, 200));
    assert_eq!(erasures.done(erasures.open_ones()).len(), 200);
    assert_eq!((WRITES.take(), erasures.open_ones().len()), (1, 0));
    // the next start has nothing to do again
    let erasures = opened(dir.path(), 200, 200, None);
    erasures.resume(OLD, &mut journals[0]).unwrap();
    erasures.resume(NEW, &mut journals[1]).unwrap();
    let all = erasures.of(NEW);
    assert!(all.len() == 200 && all.iter().all(|it| it.gone && it.done), "{all:?}");
    assert!(WRITES.take() <= 1);
}

#[test]
fn entries_that_never_were_leave_no_row_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let leaf = leaf_hash(b"none");
    let (_, new) = logs(2, &[(1 + BEYOND_MAX, leaf), (2 + BEYOND_MAX, leaf), (u64::MAX, leaf)]);
    let mut journal = open(dir.path(), NEW);
    let erasures = opened(dir.path(), 2, 0, None);
    assert_eq!(note(&erasures, &mut journal, &new), 3);
    assert_eq!((erasures.every(NEW).len(), erasures.void()[&Land::SL]), (3, 2));
}
