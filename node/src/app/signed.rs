//! Whether the entries of a journal are those that its owner signed, as far as it tells itself.
//!
//! Checksums find what a medium lost. Who changes a journal on purpose makes them anew, and the tree
//! as well, but not the signatures.

use registry_journal::Reader;
use registry_proto::{
    charter::Member,
    log::{CheckpointError, Origin, OwnerKeys as _, check_consistency},
};

/// Whether the newest checkpoint of a journal is one of this log, and of these entries. True where
/// there is none or nobody here can say: keys of a charter that is not here yet, an epoch that ended.
/// True too if its owner is known to have signed two histories: nobody would bring it again.
pub(super) fn may_be_signed(
    reader: &Reader,
    owner: &Member,
    origin: &Origin,
    is_forked: bool,
) -> bool {
    let Some(newest) = reader.last_checkpoint().filter(|_| !is_forked) else { return true };
    let record = newest.record;
    // what a reset keeps counts by its root; behind damage nothing can be said, nor without the hash of a
    // damaged header
    let size = reader.size();
    if record.note.is_empty() || newest.covers != size || reader.frontier().size() != size {
        return true;
    }
    match owner.keyring().verify(&record.note, origin) {
        Ok(signed) => {
            let (here, tree) = (reader.size(), reader.frontier().root());
            let (size, root) = (signed.size(), signed.root());
            check_consistency(&record.proof, here, &tree, size, root).is_ok()
        }
        Err(error) => !matches!(error, CheckpointError::Origin { .. }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bytes::Bytes;
    use ed25519_dalek::SigningKey;
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    use registry_proto::{
        log::{Checkpoint, Frontier, Hash, LogSigner, leaf_hash, prove_consistency},
        terms::{Land, LogId},
    };

    use super::*;
    use crate::charters::tests::decided;

    #[test]
    fn a_journal_is_held_against_what_its_owner_signed() {
        let (charters, _) = decided();
        let owner = charters[0].member(Land::SL).expect("a member");
        let log = LogId { land: Land::SL, epoch: 1 };
        let origin = Origin { verbund: charters[0].id(), log };
        let elsewhere = Origin { log: LogId { epoch: 2, ..log }, ..origin };
        let note = |origin, words: &[&str], seeds: [u8; 2]| {
            let [log, freshness] = seeds.map(|it| SigningKey::from_bytes(&[it; 32]));
            let head = Checkpoint { origin, size: words.len() as u64, root: root(words) };
            let signed = head.sign(&LogSigner::new(log, freshness), 1_795_449_600);
            signed.expect("signed").raw().clone()
        };
        let all = ["a", "b", "c"];
        let dir = tempfile::tempdir().expect("a directory");
        let mut whole = open(&dir.path().join("whole"));
        append(&mut whole, &all, record(Bytes::new(), 3, Vec::new()));
        let proof = prove_consistency(&whole.reader(), 2, 3).expect("proved");
        let signed = |words: &[&str]| note(origin, words, [1, 2]);
        let complete = |words: &[&str]| record(signed(words), words.len() as u64, Vec::new());
        let check = |name: &str, words: &[&str], record: CheckpointRecord, expected: bool| {
            let mut journal = open(&dir.path().join(name));
            append(&mut journal, words, record);
            let reader = journal.reader();
            assert_eq!(may_be_signed(&reader, owner, &origin, false), expected, "{name}");
            assert!(may_be_signed(&reader, owner, &origin, true), "{name}");
        };
        check("as signed", &all, complete(&all), true);
        check("a part", &all[..2], record(signed(&all), 3, proof.clone()), true);
        check("kept by a reset", &all, record(Bytes::new(), 3, Vec::new()), true);
        check("another entry", &["a", "x", "c"], complete(&all), false);
        check("another entry in a part", &["a", "x"], record(signed(&all), 3, proof), false);
        let of = |origin, seeds| record(note(origin, &all, seeds), 3, Vec::new());
        check("of another log", &all, of(elsewhere, [1, 2]), false);
        check("of a key to come", &all, of(origin, [8, 9]), true);
        let nothing = open(&dir.path().join("nothing"));
        assert!(may_be_signed(&nothing.reader(), owner, &origin, false));
        // a header is damaged and the tiles are lost, so the tree is not known: that is nobody's forgery
        let path = dir.path().join("damaged");
        let mut damaged = open(&path);
        append(&mut damaged, &all[..2], complete(&all[..2]));
        append(&mut damaged, &all[2..], complete(&all));
        drop(damaged);
        fs::remove_dir_all(path.join("tiles")).expect("removed");
        let segment = path.join("00000000000000000000.seg");
        let mut bytes = fs::read(&segment).expect("a segment");
        let header = bytes.windows(5).position(|it| it == b"bbody").expect("there");
        bytes[header] ^= 1;
        fs::write(&segment, bytes).expect("written");
        let reader = open(&path).reader();
        assert_eq!((reader.size(), reader.frontier().size()), (3, 1));
        assert!(may_be_signed(&reader, owner, &origin, false));
    }

    fn open(dir: &Path) -> Journal {
        let label = Label { verbund: [1; 32], land: "SL".to_owned(), epoch: 1 };
        Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("opens").0
    }

    fn record(note: Bytes, note_size: u64, proof: Vec<Hash>) -> CheckpointRecord {
        CheckpointRecord { note, note_size, proof }
    }

    fn append(journal: &mut Journal, words: &[&str], checkpoint: CheckpointRecord) {
        let body = Body::Present { salt: &[2; 16], bytes: b"body" };
        let entries: Vec<_> =
            words.iter().map(|it| EntryRef { header: it.as_bytes(), body }).collect();
        let group = Group {
            entries: &entries,
            checkpoint: &checkpoint,
            received_unix_ms: 1,
            from: "th-1.example",
        };
        journal.append(&group).expect("durable");
    }

    fn root(words: &[&str]) -> Hash {
        let mut tree = Frontier::default();
        words.iter().for_each(|it| tree.push(leaf_hash(it.as_bytes())));
        tree.root()
    }
}
