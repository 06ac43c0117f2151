//! What is here of an epoch that a reset ended, held against what that keeps. What does not fit is
//! set aside before anything reads the journal, and comes back from partners.

use registry_journal::{Journal, ReadError};
use registry_proto::log::{Hash, check_consistency, tree_root};
use tracing::warn;

/// How a journal stands to the reset that ended its epoch.
#[derive(Debug)]
pub(super) enum Fits {
    /// It is a beginning of what is kept, or begins with all of it.
    Yes,
    /// It is another history.
    No,
    /// It is a part, and nothing here says of which history.
    Unknown,
    /// It cannot be read, so nobody can say. That moves nothing away.
    Damaged(ReadError),
}

/// Holds a journal against what a reset keeps.
pub(super) fn fits(journal: &mut Journal, size: u64, root: &Hash) -> Fits {
    let reader = journal.reader();
    let here = reader.size();
    if here >= size {
        return match begins_with(journal, size, root) {
            Ok(true) => Fits::Yes,
            Ok(false) => Fits::No,
            Err(damage) => Fits::Damaged(damage),
        };
    }
    let (newest, tree) = (reader.last_checkpoint(), reader.frontier().root());
    let leads_there = newest.is_some_and(|it| {
        let (note_size, proof) = (it.record.note_size, &it.record.proof);
        note_size == size && check_consistency(proof, here, &tree, size, root).is_ok()
    });
    if here == 0 || leads_there { Fits::Yes } else { Fits::Unknown }
}

/// Whether a journal begins with a tree. Tiles derive from the headers, so where they say no, or nothing,
/// the headers decide; if these say yes, the tiles are made again.
///
/// # Errors
///
/// If neither can be read.
pub(super) fn begins_with(
    journal: &mut Journal,
    size: u64,
    root: &Hash,
) -> Result<bool, ReadError> {
    if tree_root(&journal.reader(), size).is_ok_and(|it| it == *root) {
        return Ok(true);
    }
    if journal.tree_of_headers(size)?.root() != *root {
        return Ok(false);
    }
    let hashes = journal.retile()?;
    warn!(hashes, "the tree of a journal was damaged, and is made again from its entries");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bytes::Bytes;
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    use registry_proto::log::{Frontier, leaf_hash, prove_consistency};

    use super::*;

    fn open(dir: &Path) -> Journal {
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
            let found = format!("{:?}", fits(&mut open(&dir), 4, &root(&kept)));
            assert_eq!(found, format!("{expected:?}"), "{name}");
        };
        assert!(matches!(fits(&mut whole, 4, &root(&kept)), Fits::Yes));
        check("nothing", &[], 0, Vec::new(), Fits::Yes);
        check("a part, proved", &["a", "b"], 4, proof.clone(), Fits::Yes);
        check("another part under that proof", &["a", "x"], 4, proof, Fits::Unknown);
        check("a part under a checkpoint", &["a", "b"], 2, Vec::new(), Fits::Unknown);
        check("another history", &["a", "b", "x", "d"], 4, Vec::new(), Fits::No);
        check("another one, longer", &["a", "x", "c", "d", "e"], 5, Vec::new(), Fits::No);
    }

    fn words(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    fn root_of(words: &[String]) -> Hash {
        root(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A journal of 600 entries in several segments, which was damaged and is opened again.
    fn damaged(damage: &dyn Fn(&Path)) -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().expect("a directory");
        let label = Label { verbund: [1; 32], land: "RP".to_owned(), epoch: 1 };
        let open = || {
            let small = Options { segment_bytes: 4096 };
            Journal::open(dir.path(), &label, small, &mut |_| ()).expect("opens").0
        };
        let (mut journal, all) = (open(), words(600));
        for (n, some) in (1..).zip(all.chunks(30)) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            append(&mut journal, &some, n * 30, Vec::new());
        }
        drop(journal);
        damage(dir.path());
        let journal = open();
        (dir, journal)
    }

    fn flip(path: &Path, at: u64) {
        let mut bytes = fs::read(path).expect("a file");
        bytes[usize::try_from(at).expect("small")] ^= 1;
        fs::write(path, bytes).expect("written");
    }

    fn cut(path: &Path, length: usize) {
        let bytes = fs::read(path).expect("a file");
        fs::write(path, &bytes[..length]).expect("written");
    }

    type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));

    #[test]
    fn a_damaged_tree_is_made_again_and_what_is_kept_stays() {
        let (leaves, roots) = ("tiles/0.hashes", "tiles/1.hashes");
        // 200 and 300 need leaves, 512 the roots of tiles, 600 both
        let spoil: [Spoil<'_>; 6] = [
            ("a leaf", &|dir| flip(&dir.join(leaves), 40)),
            ("another leaf", &|dir| flip(&dir.join(leaves), 290 * 32)),
            ("a root", &|dir| flip(&dir.join(roots), 3)),
            ("few leaves", &|dir| cut(&dir.join(leaves), 100 * 32 + 7)),
            ("no roots", &|dir| fs::remove_file(dir.join(roots)).expect("removed")),
            ("nothing", &|dir| fs::remove_dir_all(dir.join("tiles")).expect("removed")),
        ];
        let all = words(600);
        let (whole, _) = damaged(&|_| ());
        let right = [leaves, roots].map(|it| fs::read(whole.path().join(it)).expect("a file"));
        for (name, spoil) in spoil {
            for size in [200, 300, 512, 600] {
                let (dir, mut journal) = damaged(spoil);
                let root = root_of(&all[..size]);
                let found = fits(&mut journal, size as u64, &root);
                assert!(matches!(found, Fits::Yes), "{name}, {size}: {found:?}");
                let reader = journal.reader();
                assert_eq!(tree_root(&reader, size as u64).expect("a tree"), root, "{name}");
                append(&mut journal, &["and it goes on"], 601, Vec::new());
                // the tiles of another history are nobody's damage
                let other = fits(&mut journal, 200, &root_of(&words(199)));
                assert!(matches!(other, Fits::No), "{name}: {other:?}");
                drop(dir);
            }
            let (dir, mut journal) = damaged(spoil);
            journal.retile().expect("made again");
            let found = [leaves, roots].map(|it| fs::read(dir.path().join(it)).expect("a file"));
            assert!(found == right, "{name}");
        }
    }

    #[test]
    fn damaged_bodies_are_no_reason_to_leave_a_damaged_tree() {
        let all = words(600);
        let root = root_of(&all[..200]);
        let (dir, mut journal) = damaged(&|dir| {
            flip(&dir.join("tiles/0.hashes"), 40);
            let segment = dir.join("00000000000000000000.seg");
            for header in ["0", "7", "8", "29"] {
                let bytes = fs::read(&segment).expect("a segment");
                let place = format!("{header}body").into_bytes();
                let at = bytes.windows(place.len()).position(|it| it == place).expect("there");
                flip(&segment, (at + place.len() - 1) as u64);
            }
        });
        let found = fits(&mut journal, 200, &root);
        assert!(matches!(found, Fits::Yes), "{found:?}");
        assert_eq!(tree_root(&journal.reader(), 200).expect("a tree"), root);
        let (whole, _) = damaged(&|_| ());
        let [right, found] = [&whole, &dir].map(|it| fs::read(it.path().join("tiles/0.hashes")));
        assert!(found.expect("a file") == right.expect("a file"));
        let body = journal.reader().entry(7);
        assert!(matches!(body, Err(ReadError::Damaged { index: 7, .. })), "{body:?}");
    }

    #[test]
    fn who_cannot_read_headers_either_moves_nothing_away() {
        let first = "00000000000000000000.seg";
        let (_dir, mut journal) = damaged(&|dir| {
            flip(&dir.join("tiles/0.hashes"), 40);
            let segment = fs::read(dir.join(first)).expect("a segment");
            let header = b"29body";
            let at = segment.windows(header.len()).position(|it| it == header).expect("there");
            flip(&dir.join(first), at as u64);
        });
        let all = words(600);
        let found = fits(&mut journal, 200, &root_of(&all[..200]));
        assert!(matches!(found, Fits::Damaged(ReadError::Damaged { index: 29, .. })), "{found:?}");
    }
}
