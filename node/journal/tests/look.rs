//! A journal that is read beside its writer.

mod common;

use std::fs;

use common::{fill, label, open, same, small};
use registry_journal::{Looked, Stored, look};

fn looked(dir: &std::path::Path) -> (Looked, Vec<Stored>) {
    let mut all = Vec::new();
    let looked = look(dir, &label(), &mut |it| all.push(it)).expect("readable");
    (looked, all)
}

#[test]
fn a_look_sees_what_is_durable_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(looked(&dir.path().join("absent")).0, Looked::default());
    let (mut journal, _) = open(dir.path(), &small());
    let models = fill(&mut journal, &[3, 1, 8, 2, 5], 200);
    let files = || {
        let mut files: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|it| it.unwrap().path())
            .filter(|it| it.is_file())
            .map(|it| (it.clone(), fs::read(it).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    assert!(before.len() > 4, "several segments");
    let (seen, all) = looked(dir.path());
    assert_eq!((seen.size, seen.missing, all.len()), (19, 0, 19));
    assert!(all.iter().zip(&models).all(|(stored, model)| same(stored, model)));
    assert_eq!(seen.last, journal.reader().last_checkpoint());
    assert_eq!(files(), before);
    drop(journal);

    // damage is counted
    let (path, mut bytes) =
        before.into_iter().find(|it| it.0.ends_with("00000000000000000000.seg")).unwrap();
    let at = bytes.windows(8).position(|it| it == b"header 1").unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    let (seen, all) = looked(dir.path());
    assert_eq!((seen.size, seen.missing, all.len()), (19, 1, 18));
}
