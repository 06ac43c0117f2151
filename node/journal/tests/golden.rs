//! Journals in released formats open for ever.

mod common;

use std::path::Path;

use registry_journal::{Journal, Label, OpenReport, Options, StoredBody};

#[test]
fn a_journal_of_format_level_1_opens() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/level-1");
    let dir = tempfile::tempdir().unwrap();
    common::copy(&golden, dir.path());
    let label = Label { verbund: [0xAB; 32], land: "SL".to_owned(), epoch: 3 };
    let options = Options { segment_bytes: 1_500 };
    let (journal, report) = Journal::open(dir.path(), &label, options, &mut |_| {}).unwrap();
    assert_eq!(report, OpenReport { size: 12, tiles_knew: 12, ..OpenReport::default() });

    let reader = journal.reader();
    for stored in reader.read(0, usize::MAX, usize::MAX).unwrap() {
        let (index, group) = (stored.index, stored.index / 3);
        assert_eq!(stored.header, format!("header {index}"));
        let expected = match index {
            4 => StoredBody::Withheld,
            7 | 8 => StoredBody::Erased,
            _ => StoredBody::Present {
                salt: *b"0123456789abcdef",
                bytes: format!("body {index}").repeat(20).into(),
            },
        };
        assert_eq!(stored.body, expected);
        assert_eq!(stored.received_unix_ms, 1_700_000_000_000 + group as i64);
        assert_eq!(&*stored.from, if group % 2 == 0 { "" } else { "rp-1" });
    }
    let last = reader.last_checkpoint().unwrap();
    assert_eq!((last.covers, last.record.note_size), (12, 20));
    assert_eq!((last.record.note, last.record.proof.len()), ("note 20".into(), 1));
    assert_eq!(reader.last_complete_checkpoint().unwrap().covers, 9);
    let root = "bf12bb211fa961bffd8be47e5a4d9cf1b485a1b370cb3d038721aa8017d4afae";
    assert_eq!(reader.frontier().root().to_string(), root);
    common::no_findings(&reader);
}
