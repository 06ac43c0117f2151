//! Files that derive from the segments, and who may open a journal.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;

use registry_journal::{
    AppendError, Body, CheckpointRecord, EntryRef, Finding, Group, Journal, Label, OpenError,
    Options, Part, ReadError,
};
use registry_proto::log::HashTiles;

use common::{append, check, entry, fill, label, no_findings, open, record, segments, small};

#[test]
fn sealed_segments_open_by_their_index_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, report) = open(dir.path(), &small());
    assert!(report.created);
    let models = fill(&mut journal, &[6; 20], 100);
    drop(journal);
    let sealed = segments(dir.path()).len() - 1;
    assert!(sealed > 5);

    // a sealed segment is not read when it is opened, so this shows only later
    let first = &segments(dir.path())[0];
    let place = fs::read(first).unwrap().windows(6).position(|place| place == b"geheim").unwrap();
    flip(first, place);
    let (journal, report) = open(dir.path(), &small());
    assert_eq!((report.indexes_rebuilt, report.findings), (0, vec![]));
    let damaged = journal.reader().entry(0);
    assert!(matches!(damaged, Err(ReadError::Damaged { index: 0, part: Part::Body })));
    flip(first, place);
    check(&journal.reader(), &models);
    drop(journal);

    let indexes: Vec<_> = common::files(dir.path())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "idx"))
        .collect();
    fs::remove_file(&indexes[0]).unwrap();
    fs::write(&indexes[1], b"short").unwrap();
    let mut bytes = fs::read(&indexes[2]).unwrap();
    bytes[60] ^= 1;
    fs::write(&indexes[2], bytes).unwrap();
    fs::copy(&indexes[4], &indexes[3]).unwrap();
    let (journal, report) = open(dir.path(), &small());
    assert_eq!((report.indexes_rebuilt, report.findings), (4, vec![]));
    check(&journal.reader(), &models);
    drop(journal);
    assert_eq!(open(dir.path(), &small()).1.indexes_rebuilt, 0);
}

#[test]
fn tiles_are_made_again_when_missing_short_or_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 40_000 };
    let (mut journal, _) = open(dir.path(), &options);
    let models = fill(&mut journal, &[30; 20], 60);
    assert!(segments(dir.path()).len() > 2);
    drop(journal);
    let leaves = dir.path().join("tiles/0.hashes");
    let roots = dir.path().join("tiles/1.hashes");
    let right = (fs::read(&leaves).unwrap(), fs::read(&roots).unwrap());
    assert_eq!((right.0.len(), right.1.len()), (600 * 32, 2 * 32));

    let spoil: [(&str, &dyn Fn()); 6] = [
        ("missing", &|| fs::remove_dir_all(dir.path().join("tiles")).unwrap()),
        ("short leaves", &|| fs::write(&leaves, &right.0[..700]).unwrap()),
        ("no roots", &|| fs::remove_file(&roots).unwrap()),
        ("wrong edge", &|| flip(&leaves, 599 * 32)),
        ("wrong root", &|| flip(&roots, 40)),
        ("too long", &|| fs::write(&leaves, [right.0.as_slice(), &[9; 100]].concat()).unwrap()),
    ];
    for (what, spoil) in spoil {
        spoil();
        let (journal, report) = open(dir.path(), &options);
        assert_eq!((report.size, report.findings), (600, vec![]), "{what}");
        check(&journal.reader(), &models);
        no_findings(&journal.reader());
        assert_eq!((fs::read(&leaves).unwrap(), fs::read(&roots).unwrap()), right, "{what}");
    }
    // a wrong hash far from the edge is left to the scrub
    flip(&leaves, 0);
    let (journal, _) = open(dir.path(), &options);
    let findings = journal.reader().scrub(&mut |_, _| {}).unwrap();
    assert_eq!(findings, [Finding::Leaf { index: 0 }, Finding::Tile { level: 1, index: 0 }]);
}

#[test]
fn a_damaged_header_with_lost_tiles_stops_appending_but_not_reading() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &Options::default());
    let models = fill(&mut journal, &[3, 3], 40);
    drop(journal);
    let path = &segments(dir.path())[0];
    let bytes = fs::read(path).unwrap();
    let place = bytes.windows(8).position(|place| place == b"header 1").unwrap();
    flip(path, place);
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    let (mut journal, report) = open(dir.path(), &Options::default());
    assert_eq!((report.size, report.findings.len()), (6, 1));
    assert_eq!(common::check_damaged(&journal.reader(), &models), 1);
    assert_eq!(journal.reader().frontier().size(), 1);
    let refused = append(&mut journal, &[entry(6, 10)]);
    assert!(matches!(refused, Err(AppendError::TreeUnknown { index: 1 })));
    let missing = HashTiles::read(&journal.reader(), 0, 1, 1);
    assert!(matches!(missing, Err(ReadError::NoHashes { .. })));
}

#[test]
fn one_journal_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &small());
    let second = Journal::open(dir.path(), &label(), small(), &mut |_| {});
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    drop(journal);
    open(dir.path(), &small());
}

#[test]
fn another_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &small()));
    let others = [
        Label { epoch: 2, ..label() },
        Label { land: "RP".to_owned(), ..label() },
        Label { verbund: [8; 32], ..label() },
    ];
    for other in others {
        let refused = Journal::open(dir.path(), &other, small(), &mut |_| {});
        assert!(matches!(refused, Err(OpenError::OtherLog { .. })));
    }
    let nameless = Label { land: String::new(), ..label() };
    let refused = Journal::open(dir.path(), &nameless, small(), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::Land { .. })));
    let refused = Journal::open(dir.path(), &label(), Options { segment_bytes: 0 }, &mut |_| {});
    assert!(matches!(refused, Err(OpenError::SegmentBytes { .. })));
}

#[test]
fn a_newer_format_is_refused_and_a_damaged_level_is_not_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &small());
    let models = fill(&mut journal, &[2], 10);
    drop(journal);
    let path = &segments(dir.path())[0];
    flip(path, 8);
    let (journal, report) = open(dir.path(), &small());
    assert_eq!(report.findings, [Finding::SegmentHeader { segment: 0 }]);
    check(&journal.reader(), &models);
    drop(journal);
    flip(path, 12);
    let refused = Journal::open(dir.path(), &label(), small(), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::NewerFormat { .. })));
}

#[test]
fn limits_are_checked_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &small());
    let big = vec![0; (1 << 20) + 1];
    let header = EntryRef { header: &big[..65_535], body: Body::Withheld };
    let full = Body::Present { salt: &[0; 16], bytes: &big[1..] };
    let (long, name) = (vec![0; 9_000], "n".repeat(256));
    let mut note = record(1);
    note.note = long.into();
    let mut proof = record(1);
    proof.proof = vec![proof.proof[0]; 65];
    let ok = EntryRef { header: b"h", body: Body::Erased };
    let refused: &[(&[EntryRef<'_>], _, &str)] = &[
        (&[EntryRef { header: &big[..65_536], ..ok }], record(1), ""),
        (&[EntryRef { body: Body::Present { salt: &[0; 16], bytes: &big }, ..ok }], record(1), ""),
        (&[ok], note, ""),
        (&[ok], proof, ""),
        (&[ok], record(1), &name),
        (&[EntryRef { body: full, ..ok }; 257], record(1_000), ""),
    ];
    for (entries, checkpoint, from) in refused {
        let result = journal.append(&Group { entries, checkpoint, received_unix_ms: 0, from });
        assert!(matches!(result, Err(AppendError::TooLarge { .. })));
    }
    assert!(matches!(append(&mut journal, &[]), Err(AppendError::Empty)));
    let checkpoint = record(1);
    let group = Group { entries: &[ok; 2], checkpoint: &checkpoint, received_unix_ms: 0, from: "" };
    assert!(matches!(journal.append(&group), Err(AppendError::NoteBehind { .. })));
    let entries = [EntryRef { body: full, ..header }];
    let size = journal.append(&Group { entries: &entries, ..group }).unwrap();
    let stored = journal.reader().read(0, 1, 10).unwrap();
    assert_eq!((size, stored.len(), stored[0].header.len()), (1, 1, 65_535));
}

#[test]
fn the_newest_complete_checkpoint_is_found_behind_incomplete_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &small());
    fill(&mut journal, &[3], 100);
    let ahead = record(1_000);
    for _ in 0..10 {
        let one = entry(0, 300);
        let group = Group {
            entries: &[common::as_ref(&one)],
            checkpoint: &ahead,
            received_unix_ms: 5,
            from: "rp-1",
        };
        journal.append(&group).unwrap();
    }
    for _ in 0..2 {
        let reader = journal.reader();
        assert_eq!(reader.last_complete_checkpoint().unwrap().covers, 3);
        let last = reader.last_checkpoint().unwrap();
        assert_eq!((last.covers, last.record), (13, ahead.clone()));
        let stored = reader.entry(12).unwrap();
        assert_eq!((&*stored.from, stored.received_unix_ms), ("rp-1", 5));
        drop(journal);
        journal = open(dir.path(), &small()).0;
    }
}

#[test]
fn a_checkpoint_over_an_entry_is_the_newest_complete_one_or_that_of_the_newest_group() {
    let without = |note_size| CheckpointRecord { note: Vec::new().into(), ..record(note_size) };
    // a group behind three entries, and up to where a checkpoint is found
    for (last, over) in [(record(4), 4), (record(9), 4), (without(4), 3), (without(9), 3)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path(), &small());
        fill(&mut journal, &[3], 100);
        let one = entry(3, 300);
        let entries = &[common::as_ref(&one)];
        let group = Group { entries, checkpoint: &last, received_unix_ms: 5, from: "rp-1" };
        journal.append(&group).unwrap();
        for _ in 0..2 {
            let reader = journal.reader();
            let at = |index| reader.checkpoint_over(index).map(|it| it.record);
            assert_eq!(at(4), None);
            assert_eq!(at(3), (over == 4).then(|| last.clone()));
            let complete = if last == record(4) { record(4) } else { record(3) };
            assert_eq!(at(2), Some(complete));
            drop(journal);
            journal = open(dir.path(), &small()).0;
        }
    }
}

fn flip(path: &std::path::Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] ^= 1 << 2;
    fs::write(path, bytes).unwrap();
}
