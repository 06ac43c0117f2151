//! What happens when the file system fails, at each single call.

use std::{io::ErrorKind, path::Path};

use bytes::Bytes;

use crate::{
    AppendError, Body, CheckpointRecord, EntryRef, EraseError, Group, Journal, Label, OpenReport,
    Options, StoredBody, disk::faults,
};

fn open(dir: &Path) -> (Journal, OpenReport) {
    let label = Label { verbund: [1; 32], land: "TH".to_owned(), epoch: 3 };
    Journal::open(dir, &label, Options { segment_bytes: 1_500 }, &mut |_| {}).unwrap()
}

/// Appends `count` entries with bodies of 200 bytes.
fn append(journal: &mut Journal, count: u64) -> Result<u64, AppendError> {
    let size = journal.reader().size();
    let headers: Vec<_> = (size..size + count).map(|i| i.to_le_bytes()).collect();
    let body = Body::Present { salt: b"salt salt salt s", bytes: &[0x42; 200] };
    let entries: Vec<_> = headers.iter().map(|header| EntryRef { header, body }).collect();
    let note = Bytes::from_static(b"note");
    let checkpoint = CheckpointRecord { note, note_size: size + count, proof: Vec::new() };
    let (received_unix_ms, from) = (1, "");
    journal.append(&Group { entries: &entries, checkpoint: &checkpoint, received_unix_ms, from })
}

fn check(journal: &Journal, size: u64, erased: &[u64]) {
    let reader = journal.reader();
    assert_eq!((reader.size(), reader.frontier().size()), (size, size));
    for index in 0..size {
        let stored = reader.entry(index).unwrap();
        assert_eq!(stored.header, index.to_le_bytes()[..]);
        assert_eq!(stored.body == StoredBody::Erased, erased.contains(&index), "entry {index}");
    }
    assert_eq!(reader.scrub(&mut |_, _| {}).unwrap(), []);
}

/// Runs the group append that begins a new segment, and dies at each call of the disk in turn.
#[test]
fn a_crash_at_any_call_of_an_append_leaves_all_or_nothing_of_the_group() {
    let mut outcomes = [0; 2];
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path());
        append(&mut journal, 2).unwrap();
        append(&mut journal, 2).unwrap();
        faults::fail_after(steps, ErrorKind::Other);
        let result = append(&mut journal, 2);
        let failed = faults::clear();
        if result.is_err() {
            assert!(matches!(result, Err(AppendError::Io { .. })));
            check(&journal, 4, &[]);
            assert!(matches!(append(&mut journal, 1), Err(AppendError::Poisoned { .. })));
            assert!(matches!(journal.erase(0), Err(EraseError::Poisoned { .. })));
        } else if failed {
            // only the tiles failed: the group is durable, and the next one is refused
            assert_eq!(journal.reader().size(), 6);
            assert!(matches!(append(&mut journal, 1), Err(AppendError::Poisoned { .. })));
        }
        drop(journal);
        let (mut journal, report) = open(dir.path());
        assert_eq!(report.findings, []);
        let size = journal.reader().size();
        assert!(size == 6 || (size == 4 && result.is_err()), "after {steps} calls");
        outcomes[usize::from(size == 6)] += 1;
        check(&journal, size, &[]);
        append(&mut journal, 3).unwrap();
        check(&journal, size + 3, &[]);
        if !failed {
            break;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_crash_at_any_call_of_an_erasure_leaves_a_whole_body_or_none() {
    for index in [1, 5] {
        for steps in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (mut journal, _) = open(dir.path());
            (0..3).for_each(|_| assert!(append(&mut journal, 2).is_ok()));
            faults::fail_after(steps, ErrorKind::Other);
            let result = journal.erase(index);
            let failed = faults::clear();
            assert_eq!(result.is_err(), failed);
            drop(journal);
            let (mut journal, report) = open(dir.path());
            assert_eq!((report.size, report.findings), (6, vec![]));
            let erased = journal.reader().entry(index).unwrap().body == StoredBody::Erased;
            assert!(erased || failed);
            assert_eq!(report.erasures_completed, u64::from(erased && failed));
            journal.erase(index).unwrap();
            check(&journal, 6, &[index]);
            assert!(!dir.path().join("erasing").exists());
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn a_crash_at_any_call_of_opening_can_be_opened_again() {
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path());
        (0..3).for_each(|_| assert!(append(&mut journal, 2).is_ok()));
        // an erasure that did not finish, a torn tail, lost tiles and a lost index
        faults::fail_after(5, ErrorKind::Other);
        assert!(journal.erase(1).is_err());
        assert!(faults::clear());
        drop(journal);
        let last = dir.path().join("00000000000000000004.seg");
        let bytes = std::fs::read(&last).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        std::fs::write(&last, &bytes[..end - 10]).unwrap();
        std::fs::remove_dir_all(dir.path().join("tiles")).unwrap();
        std::fs::remove_file(dir.path().join("00000000000000000000.idx")).unwrap();

        let label = Label { verbund: [1; 32], land: "TH".to_owned(), epoch: 3 };
        let options = Options { segment_bytes: 1_500 };
        faults::fail_after(steps, ErrorKind::Other);
        let opened = Journal::open(dir.path(), &label, options, &mut |_| {}).is_ok();
        let failed = faults::clear();
        assert_eq!(opened, !failed);
        let (journal, report) = open(dir.path());
        assert_eq!(report.findings, []);
        check(&journal, 4, &[1]);
        if opened {
            break;
        }
    }
}

#[test]
fn a_full_disk_has_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    append(&mut journal, 1).unwrap();
    faults::fail_after(0, ErrorKind::StorageFull);
    let full = append(&mut journal, 1);
    faults::clear();
    assert!(matches!(full, Err(AppendError::DiskFull { operation: "write", .. })));
    assert!(matches!(append(&mut journal, 1), Err(AppendError::Poisoned { .. })));
    drop(journal);
    let (mut journal, report) = open(dir.path());
    assert!(report.cut_bytes > 0);
    assert_eq!(append(&mut journal, 1).unwrap(), 2);
}
