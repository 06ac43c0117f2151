//! A journal with known content, and its comparison.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each file uses a part")]

use std::{fs, path::Path};

use registry_journal::{
    Body, CheckpointRecord, EntryRef, Finding, Group, Journal, Label, OpenReport, Options,
    ReadError, Reader, Stored, StoredBody,
};
use registry_proto::log::{
    Frontier, check_consistency, check_inclusion, leaf_hash, prove_consistency, prove_inclusion,
};

/// What an entry should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) header: Vec<u8>,
    pub(crate) body: StoredBody,
}

pub(crate) fn label() -> Label {
    Label { verbund: [7; 32], land: "SL".to_owned(), epoch: 1 }
}

pub(crate) fn small() -> Options {
    Options { segment_bytes: 2_000 }
}

pub(crate) fn open(dir: &Path, options: &Options) -> (Journal, OpenReport) {
    Journal::open(dir, &label(), options.clone(), &mut |_| {}).unwrap()
}

/// Entry `index` with a body of about `bytes`; every fifth is withheld.
pub(crate) fn entry(index: u64, bytes: usize) -> Model {
    let text = format!("body {index} geheim ").repeat(bytes / 16 + 1);
    let body = if index % 5 == 4 {
        StoredBody::Withheld
    } else {
        StoredBody::Present {
            salt: [(index as u8).wrapping_add(1); 16],
            bytes: text.into_bytes().into(),
        }
    };
    Model { header: format!("header {index}").into_bytes(), body }
}

pub(crate) fn record(note_size: u64) -> CheckpointRecord {
    let note = format!("note for {note_size}").into_bytes().into();
    CheckpointRecord { note, note_size, proof: vec![leaf_hash(b"proof"); 2] }
}

/// Appends the entries as one group.
pub(crate) fn append(
    journal: &mut Journal,
    entries: &[Model],
) -> Result<u64, registry_journal::AppendError> {
    let size = journal.reader().size() + entries.len() as u64;
    let refs: Vec<_> = entries.iter().map(as_ref).collect();
    let checkpoint = record(size);
    journal.append(&Group {
        entries: &refs,
        checkpoint: &checkpoint,
        received_unix_ms: 1_000,
        from: "sl-1",
    })
}

pub(crate) fn as_ref(model: &Model) -> EntryRef<'_> {
    let body = match &model.body {
        StoredBody::Present { salt, bytes } => Body::Present { salt, bytes },
        StoredBody::Withheld => Body::Withheld,
        StoredBody::Erased => Body::Erased,
    };
    EntryRef { header: &model.header, body }
}

/// Appends groups of these sizes and returns all entries.
pub(crate) fn fill(journal: &mut Journal, groups: &[usize], bytes: usize) -> Vec<Model> {
    let mut all = Vec::new();
    for group in groups {
        let from = all.len() as u64;
        let entries: Vec<_> = (from..from + *group as u64).map(|i| entry(i, bytes)).collect();
        append(journal, &entries).unwrap();
        all.extend(entries);
    }
    all
}

pub(crate) fn same(stored: &Stored, model: &Model) -> bool {
    stored.header == model.header && stored.body == model.body && &*stored.from == "sl-1"
}

/// Everything is there, the tree is right, and proofs verify.
pub(crate) fn check(reader: &Reader, models: &[Model]) {
    assert_eq!(reader.size(), models.len() as u64);
    let mut frontier = Frontier::default();
    for (index, model) in models.iter().enumerate() {
        let stored = reader.entry(index as u64).unwrap();
        assert!(same(&stored, model), "entry {index}: {stored:?} is not {model:?}");
        frontier.push(leaf_hash(&model.header));
    }
    assert_eq!(reader.frontier(), frontier);
    let mut next = 0;
    while next < reader.size() {
        for stored in reader.read(next, 1_500, 7).unwrap() {
            assert_eq!(stored.index, next);
            assert!(same(&stored, &models[next as usize]));
            next += 1;
        }
    }
    check_proofs(reader, models);
    if !models.is_empty() {
        let last = reader.last_checkpoint().unwrap();
        assert_eq!((last.covers, last.record), (reader.size(), record(reader.size())));
    }
}

fn check_proofs(reader: &Reader, models: &[Model]) {
    let size = models.len() as u64;
    let root = reader.frontier().root();
    for index in (0..size).step_by(11) {
        let proof = prove_inclusion(reader, size, index).unwrap();
        let leaf = leaf_hash(&models[index as usize].header);
        check_inclusion(&proof, size, &root, index, &leaf).unwrap();
        let mut old = Frontier::default();
        models[..index as usize].iter().for_each(|model| old.push(leaf_hash(&model.header)));
        let proof = prove_consistency(reader, index, size).unwrap();
        check_consistency(&proof, index, &old.root(), size, &root).unwrap();
    }
}

/// Each entry is right or refused. Returns how many are refused.
pub(crate) fn check_damaged(reader: &Reader, models: &[Model]) -> usize {
    let mut refused = 0;
    for index in 0..reader.size() {
        match reader.entry(index) {
            Ok(stored) => assert!(same(&stored, &models[index as usize]), "wrong {index}"),
            Err(ReadError::Damaged { index: damaged, .. }) => {
                assert_eq!(damaged, index);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    let mut next = 0;
    while next < reader.size() {
        match reader.read(next, 10_000, 100) {
            Ok(all) => {
                assert!(!all.is_empty());
                all.iter().for_each(|one| assert!(same(one, &models[one.index as usize])));
                next += all.len() as u64;
            }
            Err(ReadError::Damaged { index, .. }) => next = index + 1,
            Err(other) => panic!("{other}"),
        }
    }
    refused
}

pub(crate) fn no_findings(reader: &Reader) {
    assert_eq!(reader.scrub(&mut |_, _| {}).unwrap(), Vec::<Finding>::new());
}

/// Files below `dir`, without directories.
pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

pub(crate) fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = files(dir);
    all.retain(|path| path.extension().is_some_and(|e| e == "seg"));
    all
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

pub(crate) fn contains(dir: &Path, needle: &[u8]) -> bool {
    files(dir)
        .iter()
        .any(|path| fs::read(path).unwrap().windows(needle.len()).any(|place| place == needle))
}
