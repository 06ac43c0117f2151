//! What is here of an epoch that a reset ended, held against what that keeps. What does not fit is
//! set aside before anything reads the journal, and comes back from partners.

use registry_journal::Reader;
use registry_proto::log::{Hash, check_consistency, tree_root};

/// How a journal stands to the reset that ended its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    /// It is a beginning of what is kept, or begins with all of it.
    Yes,
    /// It is another history.
    No,
    /// It is a part, and nothing here says of which history.
    Unknown,
}

/// Holds a journal against what a reset keeps.
pub(super) fn fits(reader: &Reader, size: u64, root: &Hash) -> Fits {
    let here = reader.size();
    if here >= size {
        // also where the tree cannot be read: what cannot be verified does not count
        let same = tree_root(reader, size).is_ok_and(|it| it == *root);
        return if same { Fits::Yes } else { Fits::No };
    }
    let (newest, tree) = (reader.last_checkpoint(), reader.frontier().root());
    let leads_there = newest.is_some_and(|it| {
        let (note_size, proof) = (it.record.note_size, &it.record.proof);
        note_size == size && check_consistency(proof, here, &tree, size, root).is_ok()
    });
    if here == 0 || leads_there { Fits::Yes } else { Fits::Unknown }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    use registry_proto::log::{Frontier, leaf_hash, prove_consistency};

    use super::*;

    fn open(dir: &std::path::Path) -> Journal {
        let label = Label { verbund: [1; 32], land: "RP".to_owned(), epoch: 1 };
        Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("opens").0
    }

    fn append(journal: &mut Journal, words: &[&str], note_size: u64, proof: Vec<Hash>) {
        let body = Body::Present { salt: &[2; 16], bytes: b"body" };
        let entries: Vec<_> =
            words.iter().map(|it| EntryRef { header: it.as_bytes(), body }).collect();
        let checkpoint = CheckpointRecord { note: Bytes::new(), note_size, proof };
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

    #[test]
    fn a_journal_fits_if_its_own_records_prove_it() {
        let kept = ["a", "b", "c", "d"];
        let dir = tempfile::tempdir().expect("a directory");
        let mut whole = open(&dir.path().join("whole"));
        append(&mut whole, &kept, 4, Vec::new());
        append(&mut whole, &["beyond"], 5, Vec::new());
        let proof = prove_consistency(&whole.reader(), 2, 4).expect("proved");
        let check = |name: &str, words: &[&str], note_size, proof, expected| {
            let dir = dir.path().join(name);
            let mut journal = open(&dir);
            if !words.is_empty() {
                append(&mut journal, words, note_size, proof);
            }
            drop(journal);
            // as it is found at a start
            assert_eq!(fits(&open(&dir).reader(), 4, &root(&kept)), expected, "{name}");
        };
        assert_eq!(fits(&whole.reader(), 4, &root(&kept)), Fits::Yes);
        check("nothing", &[], 0, Vec::new(), Fits::Yes);
        check("a part, proved", &["a", "b"], 4, proof.clone(), Fits::Yes);
        check("another part under that proof", &["a", "x"], 4, proof, Fits::Unknown);
        check("a part under a checkpoint", &["a", "b"], 2, Vec::new(), Fits::Unknown);
        check("another history", &["a", "b", "x", "d"], 4, Vec::new(), Fits::No);
        check("another one, longer", &["a", "x", "c", "d", "e"], 5, Vec::new(), Fits::No);
    }
}
