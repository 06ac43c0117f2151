//! What a crash or a bad disk leaves: complete groups stay, nothing wrong is ever read.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, io::Write};

use registry_journal::{Erased, Finding, OpenReport, Options, Part, StoredBody};

use common::{append, check, check_damaged, copy, entry, fill, no_findings, open, segments, small};

fn large() -> Options {
    Options::default()
}

#[test]
fn every_truncation_of_the_last_group_leaves_the_groups_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let (mut journal, _) = open(&whole, &large());
    let mut models = fill(&mut journal, &[3, 1, 2], 40);
    let before = journal.reader().bytes();
    let kept = models.len();
    models.extend([entry(6, 40), entry(7, 40)]);
    append(&mut journal, &models[kept..]).unwrap();
    let after = journal.reader().bytes();
    drop(journal);

    for length in before..=after {
        copy(&whole, &cut);
        let file = fs::OpenOptions::new().write(true).open(&segments(&cut)[0]).unwrap();
        file.set_len(length).unwrap();
        let (mut journal, report) = open(&cut, &large());
        let complete = length == after;
        let mut expected = models.clone();
        expected.truncate(if complete { models.len() } else { kept });
        assert_eq!(report.findings, [], "cut at {length}");
        assert_eq!(report.size, expected.len() as u64);
        assert_eq!(report.tiles_knew, models.len() as u64);
        assert!(complete || report.cut_bytes <= length - before);
        check(&journal.reader(), &expected);
        let next = entry(expected.len() as u64, 60);
        append(&mut journal, std::slice::from_ref(&next)).unwrap();
        expected.push(next);
        check(&journal.reader(), &expected);
        drop(journal);
        let (journal, report) = open(&cut, &large());
        let clean =
            OpenReport { size: report.size, tiles_knew: report.size, ..OpenReport::default() };
        assert_eq!(report, clean);
        check(&journal.reader(), &expected);
        no_findings(&journal.reader());
    }
}

#[test]
fn holes_in_a_group_that_never_reached_the_tiles_are_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, torn) = (dir.path().join("whole"), dir.path().join("torn"));
    let (mut journal, _) = open(&whole, &large());
    let models = fill(&mut journal, &[3, 4], 40);
    drop(journal);
    for known in [true, false] {
        copy(&whole, &torn);
        let path = &segments(&torn)[0];
        let mut bytes = fs::read(path).unwrap();
        let hole = position(&bytes, b"header 4");
        bytes[hole..hole + 8].fill(0);
        fs::write(path, bytes).unwrap();
        if !known {
            fs::remove_dir_all(torn.join("tiles")).unwrap();
        }
        let (journal, report) = open(&torn, &large());
        if known {
            let lost = Finding::Entries { from: 4, to: 5, part: Part::Header };
            assert_eq!((report.size, report.findings), (7, vec![lost]));
            assert_eq!(check_damaged(&journal.reader(), &models), 1);
        } else {
            assert_eq!((report.size, report.findings, report.entries_dropped), (3, vec![], 4));
            check(&journal.reader(), &models[..3]);
        }
    }
}

#[test]
fn damage_before_a_later_group_is_a_finding_and_appending_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &large());
    let mut models = fill(&mut journal, &[3, 4, 2], 40);
    drop(journal);
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    // from within entry 3 to within entry 5, over the prefix of entry 4
    let (from, to) = (position(&bytes, b"header 3"), position(&bytes, b"header 5"));
    bytes[from..to].fill(0xAA);
    fs::write(path, bytes).unwrap();

    let (mut journal, report) = open(dir.path(), &large());
    assert_eq!((report.size, report.cut_bytes), (9, 0));
    assert!(report.findings.iter().any(|f| matches!(f, Finding::Garbage { .. })));
    assert_eq!(check_damaged(&journal.reader(), &models), 3);
    models.push(entry(9, 40));
    append(&mut journal, &models[9..]).unwrap();
    assert_eq!(check_damaged(&journal.reader(), &models), 3);
    drop(journal);
    let (journal, report) = open(dir.path(), &large());
    assert_eq!(report.size, 10);
    assert_eq!(check_damaged(&journal.reader(), &models), 3);
    assert!(!journal.reader().scrub(&mut |_, _| {}).unwrap().is_empty());
}

#[test]
fn garbage_after_the_last_group_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &large());
    let models = fill(&mut journal, &[3, 4], 40_000);
    let end = journal.reader().bytes();
    drop(journal);
    let path = &segments(dir.path())[0];
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&[0x55; 3_000]).unwrap();
    let (journal, report) = open(dir.path(), &large());
    assert_eq!((report.size, report.entries_dropped, report.findings), (7, 0, vec![]));
    assert!(report.cut_bytes >= 3_000);
    assert_eq!(fs::metadata(path).unwrap().len(), end);
    check(&journal.reader(), &models);
}

#[test]
fn no_flipped_byte_makes_a_panic_or_a_wrong_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bad) = (dir.path().join("whole"), dir.path().join("bad"));
    let tiny = Options { segment_bytes: 1_100 };
    let (mut journal, _) = open(&whole, &tiny);
    let mut models = fill(&mut journal, &[2, 1, 2, 3], 20);
    journal.erase(2).unwrap();
    models[2].body = StoredBody::Erased;
    let end = journal.reader().bytes();
    drop(journal);
    let all = segments(&whole);
    assert_eq!(all.len(), 2);
    let sealed = fs::metadata(&all[0]).unwrap().len();
    fs::OpenOptions::new().write(true).open(&all[1]).unwrap().set_len(end - sealed + 2).unwrap();
    for path in common::files(&whole) {
        let original = fs::read(&path).unwrap();
        let name = path.strip_prefix(&whole).unwrap();
        for place in 0..original.len() {
            copy(&whole, &bad);
            let mut bytes = original.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(bad.join(name), bytes).unwrap();
            let (mut journal, report) = open(&bad, &tiny);
            let size = report.size as usize;
            let reader = journal.reader();
            let refused = check_damaged(&reader, &models);
            assert!(refused <= 1, "{name:?} byte {place}: {refused} refused");
            assert!(size == models.len() || size == models.len() - 3, "{name:?} byte {place}");
            assert!(!reader.entry(2).is_ok_and(|e| e.body != StoredBody::Erased));
            append(&mut journal, &models[..1]).unwrap();
            let mut longer = models[..size].to_vec();
            longer.push(models[0].clone());
            assert_eq!(
                check_damaged(&reader, &longer),
                refused,
                "{name:?} byte {place} {report:?}"
            );
            // what scrubbing finds was not silently lost, and it never fails
            reader.scrub(&mut |_, _| {}).unwrap();
        }
    }
}

#[test]
fn erased_bodies_are_gone_from_every_file_and_stay_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &small());
    let mut models = fill(&mut journal, &[2, 3, 1, 4, 2, 2, 3], 100);
    let root = journal.reader().frontier();
    for index in [0, 4, 7, 16] {
        assert_eq!(journal.erase(index).unwrap(), Erased::Now);
        assert_eq!(journal.erase(index).unwrap(), Erased::Already);
        models[index as usize].body = StoredBody::Erased;
    }
    assert!(journal.erase(17).is_err());
    for index in [0, 7, 16_u8] {
        assert!(!common::contains(dir.path(), format!("body {index} ").as_bytes()));
        assert!(!common::contains(dir.path(), &[index + 1; 16]));
    }
    assert!(common::contains(dir.path(), b"body 1 "));
    for _ in 0..2 {
        assert_eq!(journal.reader().frontier(), root);
        check(&journal.reader(), &models);
        no_findings(&journal.reader());
        drop(journal);
        for path in common::files(dir.path()) {
            if path.extension().is_some_and(|e| e == "idx") {
                fs::remove_file(path).unwrap();
            }
        }
        journal = open(dir.path(), &small()).0;
    }
}

#[test]
fn a_lost_or_empty_last_segment_shows_in_what_the_tiles_knew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &small());
    let models = fill(&mut journal, &[6, 6, 6, 6], 100);
    drop(journal);
    let all = segments(dir.path());
    assert!(all.len() > 2);
    fs::write(all.last().unwrap(), b"").unwrap();
    let (mut journal, report) = open(dir.path(), &small());
    assert_eq!((report.size, report.tiles_knew, report.findings), (18, 24, vec![]));
    check(&journal.reader(), &models[..18]);
    append(&mut journal, &models[18..]).unwrap();
    check(&journal.reader(), &models);
    drop(journal);
    fs::remove_file(&all[1]).unwrap();
    let (journal, report) = open(dir.path(), &small());
    assert_eq!(report.size, 24);
    assert_eq!(check_damaged(&journal.reader(), &models), 6);
}

fn position(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|place| place == needle).unwrap()
}
