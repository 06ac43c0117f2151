//! Readers beside the writer.

mod common;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use registry_journal::{Options, StoredBody};
use registry_proto::log::{check_inclusion, leaf_hash, prove_inclusion};

use common::{append, check, entry, fill, no_findings, open};

#[test]
fn readers_see_whole_groups_while_the_writer_appends_rolls_and_erases() {
    const GROUP: u64 = 7;
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &Options { segment_bytes: 20_000 });
    let reader = journal.reader();
    let done = AtomicBool::new(false);
    let mut models = Vec::new();
    thread::scope(|scope| {
        for seed in 0..3 {
            let (reader, done) = (reader.clone(), &done);
            scope.spawn(move || {
                let mut from = seed;
                while !done.load(Ordering::Relaxed) {
                    let (frontier, size) = (reader.frontier(), reader.size());
                    assert_eq!(frontier.size() % GROUP, 0);
                    assert!(size >= frontier.size());
                    from = if from >= size { 0 } else { from };
                    for stored in reader.read(from, 9_000, 40).unwrap() {
                        let expected = entry(stored.index, 150);
                        assert_eq!(stored.header, expected.header);
                        assert!(stored.body == expected.body || stored.body == StoredBody::Erased);
                        from = stored.index + 1;
                    }
                    if frontier.size() > 0 {
                        let (index, size) = (from % frontier.size(), frontier.size());
                        let proof = prove_inclusion(&reader, size, index).unwrap();
                        let leaf = leaf_hash(&entry(index, 0).header);
                        check_inclusion(&proof, size, &frontier.root(), index, &leaf).unwrap();
                    }
                    if seed == 0 {
                        no_findings(&reader);
                    }
                }
            });
        }
        for group in 0..120 {
            let from = group * GROUP;
            models.extend((from..from + GROUP).map(|index| entry(index, 150)));
            append(&mut journal, &models[from as usize..]).unwrap();
            journal.erase(from / 2).unwrap();
            models[(from / 2) as usize].body = StoredBody::Erased;
        }
        done.store(true, Ordering::Relaxed);
    });
    check(&reader, &models);
    no_findings(&reader);
}

#[test]
fn reading_gives_at_least_one_entry_and_keeps_to_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &Options { segment_bytes: 20_000 });
    fill(&mut journal, &[5; 30], 1_000);
    let reader = journal.reader();
    assert_eq!(reader.read(3, 0, 10).unwrap().len(), 1);
    assert_eq!(reader.read(3, 1, 10).unwrap().len(), 1);
    assert_eq!(reader.read(3, usize::MAX, 0).unwrap().len(), 0);
    assert_eq!(reader.read(3, usize::MAX, 50).unwrap().len(), 50);
    assert_eq!(reader.read(0, usize::MAX, usize::MAX).unwrap().len(), 150);
    assert_eq!(reader.read(149, usize::MAX, usize::MAX).unwrap().len(), 1);
    assert_eq!(reader.read(150, usize::MAX, usize::MAX).unwrap().len(), 0);
    assert_eq!(reader.read(u64::MAX, usize::MAX, usize::MAX).unwrap().len(), 0);
    assert!(reader.entry(150).is_err());
    let some = reader.read(0, 5_000, usize::MAX).unwrap();
    assert!((3..=5).contains(&some.len()), "{}", some.len());
}
