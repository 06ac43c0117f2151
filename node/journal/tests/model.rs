//! Random operations against a plain vector.

mod common;

use proptest::prelude::*;
use registry_journal::{Erased, StoredBody};

use common::{append, check, entry, no_findings, open, small};

#[derive(Clone, Debug)]
enum Op {
    Append { bodies: Vec<usize> },
    Erase { place: usize },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(0..600_usize, 1..8).prop_map(|bodies| Op::Append { bodies }),
        2 => any::<prop::sample::Index>().prop_map(|i| Op::Erase { place: i.index(64) }),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn behaves_like_a_vector(ops in prop::collection::vec(op(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path(), &small());
        let mut models = Vec::new();
        for op in ops {
            match op {
                Op::Append { bodies } => {
                    let from = models.len() as u64;
                    models.extend((from..).zip(bodies).map(|(i, bytes)| entry(i, bytes)));
                    let size = append(&mut journal, &models[from as usize..]).unwrap();
                    prop_assert_eq!(size, models.len() as u64);
                }
                Op::Erase { place } if place < models.len() => {
                    let already = models[place].body == StoredBody::Erased;
                    let erased = journal.erase(place as u64).unwrap();
                    prop_assert_eq!(erased == Erased::Already, already);
                    models[place].body = StoredBody::Erased;
                }
                Op::Erase { place } => prop_assert!(journal.erase(place as u64).is_err()),
                Op::Reopen => {
                    drop(journal);
                    let (again, report) = open(dir.path(), &small());
                    prop_assert!(report.findings.is_empty());
                    prop_assert_eq!((report.cut_bytes, report.tile_hashes_rewritten), (0, 0));
                    journal = again;
                }
            }
        }
        check(&journal.reader(), &models);
        no_findings(&journal.reader());
    }
}
