use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use registry_core::fold::Position;
use registry_journal::{
    Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options, StoredBody,
};
use registry_proto::{
    log::{Hash, Kind, leaf_hash},
    terms::{Land, LogId},
    wire::{peer::BatchEntry, registry::Erasure},
};

use super::{BEYOND_MAX, Ends, Erasures, LEAVES_MAX, Rest, list::WRITES};
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
    erasures.note(NEW, &found, journal.reader().size());
    erasures.settle(NEW, journal).unwrap();
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
    // and whoever asks is told
    let discarded = [0, 1].map(|index| erasures.is_discarded(Position { log: NEW, index }));
    assert_eq!(discarded, [false, true]);
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
fn an_erasure_that_names_another_leaf_is_not_in_the_way_of_one_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let (wrong, (old, _)) = (leaf_hash(b"another"), logs(2, &[]));
    let right = |at: usize| leaf_hash(&old[at].header);
    let (_, new) = logs(0, &[(0, wrong), (1, wrong), (0, right(0)), (1, right(1))]);
    let mut journals = [open(dir.path(), OLD), open(dir.path(), NEW)];
    // one of the two entries is here, the other comes later
    append(&mut journals[0], &old[..1]);
    let erasures = opened(dir.path(), 2, 0, None);
    for said in new.chunks(2) {
        assert_eq!(note(&erasures, &mut journals[1], said), 2);
        erasures.settle(OLD, &mut journals[0]).unwrap();
    }
    assert_eq!(erased(&journals[0]), [0]);
    let (header, body) = (old[1].header.clone(), old[1].body.as_ref().unwrap().1.clone());
    let mut late = [BatchEntry { header, body, ..BatchEntry::default() }];
    erasures.withdraw(OLD, 1, &mut late);
    assert!(late[0].body.is_empty());
    // a missing body is excused by the erasure that names its entry
    for (index, it) in (0..).zip(&old) {
        let by = erasures.by(Position { log: OLD, index }, leaf_hash(&it.header));
        assert_eq!(by, [Position { log: NEW, index: 2 + index }]);
        assert_eq!(erasures.by(Position { log: OLD, index }, leaf_hash(b"third")), []);
    }
    // and what is listed, done and read again is that
    let listed: Vec<_> = erasures.of(NEW).iter().map(|it| it.by.index).collect();
    assert_eq!(listed, [3, 2]);
    erasures.done(erasures.open_ones());
    assert_eq!(erasures.open_ones(), []);
    let again = opened(dir.path(), 2, 4, None);
    assert_eq!((again.every(NEW).len(), again.open_ones().len()), (4, 0));

    // so many leaves of one entry, and no more
    let many: Vec<_> = (0..20).map(|n: u8| (0, leaf_hash(&[n]))).collect();
    let (_, more) = logs(0, &many);
    let found = |it: &[Stored]| {
        let said = it.iter().map(|it| (&it.header, &it.body.as_ref().unwrap().1));
        erasures.found(NEW, &journals[1].reader(), said).len()
    };
    assert_eq!(found(&more), LEAVES_MAX - 2);
}

#[test]
fn a_body_that_is_damaged_is_overwritten_and_confirmed_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryJournal::of(OLD.land);
    for n in 0..3 {
        memory.append(&[Item::Define(n, NUMBER_A)]);
    }
    for leaf in [leaf_hash(b"another"), memory.leaves()[1]] {
        let leaf_hash = leaf.as_bytes().to_vec().into();
        let said = Erasure { index: 1, leaf_hash, grund: "Probe".to_owned(), epoch: 0 };
        memory.append(&[Item::Body(Kind::Erasure, 1, said.encode_to_vec().into())]);
    }
    let entries = memory.entries();
    let mut journal = open(dir.path(), OLD);
    append(&mut journal, &entries);
    let stands = damage(dir.path(), &entries[1]);
    assert!(journal.reader().entry(1).is_err() && stands());

    let erasures = opened(dir.path(), 5, 0, None);
    let said = entries[3..].iter().map(|it| (&it.header, &it.body.as_ref().unwrap().1));
    let found = erasures.found(OLD, &journal.reader(), said);
    assert_eq!((found.len(), found[0].0.by), (1, 4), "the one that names its leaf");
    erasures.note(OLD, &found, 5);
    assert!(erasures.open_ones().iter().all(|it| !it.gone));
    erasures.settle(OLD, &mut journal).unwrap();
    assert!(erasures.open_ones().iter().all(|it| it.gone && it.by.index == 4));
    assert!(!stands());
}

#[test]
fn a_damaged_body_of_an_epoch_that_ended_is_overwritten_and_keeps_back_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let old = logs(3, &[]).0;
    let (wrong, right) = (leaf_hash(b"another"), leaf_hash(&old[1].header));
    let new = logs(0, &[(1, wrong), (1, right), (2, leaf_hash(&old[2].header))]).1;
    let mut journals = [open(dir.path(), OLD), open(dir.path(), NEW)];
    append(&mut journals[0], &old);
    let stands = damage(dir.path(), &old[1]);
    assert!(journals[0].reader().entry(1).is_err() && stands());
    let erasures = opened(dir.path(), 3, 0, None);
    assert_eq!(note(&erasures, &mut journals[1], &new), 3);
    erasures.settle(OLD, &mut journals[0]).unwrap();
    assert!(!stands(), "the rest of the body is still in the journal");
    // the one that fits, the one that names another leaf, and the one behind them
    assert!(erasures.open_ones().iter().all(|it| it.gone));
    assert_eq!(erasures.done(erasures.open_ones()).len(), 3);
    assert_eq!(erasures.of(NEW).iter().map(|it| it.by.index).collect::<Vec<_>>(), [2]);
    // and the next start finds nothing to do
    let again = opened(dir.path(), 3, 3, None);
    again.settle(OLD, &mut journals[0]).unwrap();
    assert_eq!(again.open_ones(), []);
}

/// Makes one byte of the body of an entry of [`OLD`] another one on the disk; whether the others still
/// stand there.
fn damage(dir: &Path, entry: &Stored) -> impl Fn() -> bool + use<> {
    let file = dir.join("1/00000000000000000000.seg");
    let body = entry.body.as_ref().unwrap().1.slice(1..);
    let mut bytes = std::fs::read(&file).unwrap();
    let place = move |bytes: &[u8]| bytes.windows(body.len()).position(|it| *it == *body);
    let at = place(&bytes).unwrap();
    bytes[at - 1] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    move || place(&std::fs::read(&file).unwrap()).is_some()
}

#[test]
fn an_erasure_that_somebody_wrote_on_this_disk_erases_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryJournal::of(OLD.land);
    for n in 0..3 {
        memory.append(&[Item::Define(n, NUMBER_A)]);
    }
    let said = |index: usize| {
        let leaf_hash = memory.leaves()[index].as_bytes().to_vec().into();
        let index = index as u64;
        Erasure { index, leaf_hash, grund: "Probe".to_owned(), epoch: 0 }.encode_to_vec()
    };
    for _ in 0..2 {
        memory.append(&[Item::Body(Kind::Erasure, 1, said(1).into())]);
    }
    memory.forge(3, said(2).into());
    let mut journal = open(dir.path(), OLD);
    append(&mut journal, &memory.entries());
    // as a start finds it that comes after the writer died
    let erasures = opened(dir.path(), 5, 0, None);
    erasures.resume(OLD, &mut journal).unwrap();
    assert_eq!(erased(&journal), [1]);
    assert_eq!(erasures.of(OLD).iter().map(|it| it.by.index).collect::<Vec<_>>(), [4]);
    let told = Position { log: OLD, index: 3 };
    assert_eq!(format!("{:?}", erasures.forged()), format!("{{{told:?}}}"));
}

#[test]
fn what_is_to_be_erased_can_be_left_after_each_entry_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = logs(5, &[]);
    let mut journals = [open(dir.path(), OLD), open(dir.path(), NEW)];
    append(&mut journals[0], &old);
    let erasures = opened(dir.path(), 5, 0, None);
    note(&erasures, &mut journals[1], &new);
    let (mut rest, mut steps) = (Some(Rest::default()), 0);
    while let Some(from) = rest {
        assert_eq!(erased(&journals[0]).len(), steps);
        rest = erasures.step(OLD, &mut journals[0], from, Duration::ZERO).unwrap();
        steps += usize::from(rest.is_some());
    }
    assert_eq!(steps, 5);
    assert!(erasures.of(NEW).iter().all(|it| it.gone));
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
