//! Groups that no longer count are taken away and kept; the journal goes on from before them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, path::Path};

use common::{Model, append, check, entry, files, fill, label, no_findings, open};
use registry_journal::{ASIDE, Journal, Options};

const GROUPS: [usize; 7] = [3, 1, 4, 2, 5, 1, 4];

/// The one place that touches the API: retreats, opens again, and goes on with other entries.
#[track_caller]
fn check_retreat(segment_bytes: u64, upto: u64, left: u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes };
    let (mut journal, _) = open(dir.path(), &options);
    let mut models = fill(&mut journal, &GROUPS, 300);
    let retreat = journal.retreat(upto).unwrap();
    assert_eq!(retreat.size, left, "{segment_bytes} {upto}");
    assert_eq!(aside(dir.path()), retreat.aside);
    assert_eq!(retreat.aside.is_empty(), left == models.len() as u64);
    let kept: Vec<u8> = retreat.aside.iter().flat_map(|it| fs::read(it).unwrap()).collect();
    let holds = |needle: &[u8]| kept.windows(needle.len()).any(|it| it == needle);
    for (index, model) in models.iter().enumerate() {
        assert_eq!(
            holds(&[&model.header[..], b"body "].concat()),
            has_body(index, left),
            "{index}"
        );
    }

    let (mut journal, report) = open(dir.path(), &options);
    assert_eq!((report.findings, report.cut_bytes), (Vec::new(), 0));
    models.truncate(left as usize);
    check(&journal.reader(), &models);
    let other: Vec<Model> = (100..106).map(|it| entry(it, 500)).collect();
    append(&mut journal, &other).unwrap();
    models.extend(other);
    check(&journal.reader(), &models);
    drop(journal);
    let (journal, _) = open(dir.path(), &options);
    check(&journal.reader(), &models);
    no_findings(&journal.reader());
    Journal::retreat(journal, u64::MAX).unwrap();
    assert_eq!(aside(dir.path()), retreat.aside);
    assert_eq!(label().land, "SL");
}

fn aside(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = files(dir);
    all.retain(|it| it.extension().is_some_and(|it| it == ASIDE));
    all
}

/// Entries that were taken away and have a body.
fn has_body(index: usize, left: u64) -> bool {
    index as u64 >= left && index % 5 != 4
}

#[test]
fn the_last_groups_are_taken_away_and_the_log_goes_on() {
    for segment_bytes in [1 << 20, 4_000, 1_500] {
        for (upto, left) in
            [(20, 20), (19, 16), (16, 16), (15, 15), (12, 10), (9, 8), (3, 3), (2, 0), (0, 0)]
        {
            check_retreat(segment_bytes, upto, left);
        }
    }
}
