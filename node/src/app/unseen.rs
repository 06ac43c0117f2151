//! The end of the own log that nobody else had seen and that is not what partners have: somebody went on
//! from a copy without it. It is set aside before anything reads the journal, and the log goes on as
//! partners have it.

use registry_core::replicate::Seen;
use registry_journal::Reader;
use registry_proto::{
    log::{Frontier, leaf_hash, tree_root},
    terms::LogId,
};
use tracing::{error, warn};

use super::logs::{Logs, LogsError};
use crate::{
    audit::{Act, Audit},
    epochs::{End, LISTED_MAX, Listed, Resets},
    lifecycle::chain,
};

/// How much of the own log others are known to have seen: the most that one of them has stated and that
/// is a beginning of what is here. What is of another history, or of more than is here, counts for
/// nothing, whoever stated it.
pub(super) fn seen(reader: &Reader, stated: &[Seen]) -> Seen {
    let here = reader.size();
    let mut stated: Vec<Seen> = stated.iter().filter(|it| it.size <= here).copied().collect();
    stated.sort_unstable_by_key(|it| it.size);
    let fits = |it: &Seen| tree_root(reader, it.size).is_ok_and(|root| root == it.root);
    let at = stated.iter().rposition(fits);
    let known = at.and_then(|at| stated.get(at)).copied().unwrap_or_default();
    // the tree derives from the headers, so where it says no, these decide
    let doubtful = stated.get(at.map_or(0, |at| at + 1)..).unwrap_or_default();
    by_headers(reader, doubtful).unwrap_or(known)
}

/// The largest of these, in the order of their sizes, that the headers bear out; as far as they can be
/// read.
fn by_headers(reader: &Reader, stated: &[Seen]) -> Option<Seen> {
    let most = stated.last()?.size;
    let (mut tree, mut left, mut found) = (Frontier::default(), stated.iter().peekable(), None);
    while tree.size() < most {
        let Ok(entries) = reader.read(tree.size(), CHUNK_BYTES, CHUNK_ENTRIES) else { break };
        if entries.is_empty() {
            break;
        }
        for it in entries {
            tree.push(leaf_hash(&it.header));
            while let Some(it) = left.next_if(|it| it.size <= tree.size()) {
                let fits = (it.size, it.root) == (tree.size(), tree.root());
                found = fits.then_some(*it).or(found);
            }
        }
    }
    found
}

/// Lists durably what is behind the first `kept` entries, and says how many that are: whoever published
/// them may have been told that they are durable.
pub(super) fn listed(
    log: LogId,
    reader: &Reader,
    kept: u64,
    resets: &Resets,
) -> Result<u64, LogsError> {
    let gone = reader.size().saturating_sub(kept);
    if resets.is_listed(log) {
        return Ok(gone);
    }
    let (mut next, mut end) = (kept, End::default());
    let mut named = 0;
    while next < reader.size() {
        let entries = match reader.read(next, CHUNK_BYTES, CHUNK_ENTRIES) {
            Ok(entries) if !entries.is_empty() => entries,
            // it stays in the files that are set aside
            unread => {
                let cause = unread.err().map(|it| chain(&it)).unwrap_or_default();
                named += 1;
                if named <= LISTED_MAX {
                    warn!(position = %format_args!("{log}/{next}"), cause, "an entry cannot be listed");
                }
                end.unreadable();
                next += 1;
                continue;
            }
        };
        for entry in &entries {
            let Some(it) = Listed::of(&entry.header) else {
                end.unreadable();
                continue;
            };
            named += 1;
            if named <= LISTED_MAX {
                error!(
                    position = %format_args!("{log}/{}", it.index), kind = ?it.kind, object = ?it.object,
                    "this entry of the own log no longer counts: no other Land had confirmed it"
                );
            }
            end.push(it);
        }
        next += entries.len() as u64;
    }
    if named > LISTED_MAX {
        error!(%log, entries = gone, "more entries no longer count; the newest are listed");
    }
    let of = (reader.size(), reader.frontier().root());
    resets.list_aside(log, of, end).map_err(LogsError::Resets)?;
    resets.list_once(log).map_err(LogsError::Resets)?;
    Ok(gone)
}

/// Leaves a line in the audit log.
pub(super) fn audited(own: LogId, logs: &Logs, audit: &Audit) {
    if logs.set_aside > 0 {
        let entries = logs.set_aside;
        let why =
            format!("{entries} entries at its end that no other Land had confirmed: {BY_PARTNERS}");
        audit.note(Act::new("log.set_aside", "OK").on(own.to_string()).because(why));
    }
}

pub(super) const BY_PARTNERS: &str =
    "partners have another history, which parts from what nobody had confirmed";
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bytes::Bytes;
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    use registry_proto::{log::Hash, terms::Land};

    use super::*;
    use crate::testing::{Item, MemoryJournal, NUMBER_A, on_disk};

    fn words(count: usize, other_from: usize) -> Vec<String> {
        let word = |n| if n < other_from { format!("{n}") } else { format!("other {n}") };
        (0..count).map(word).collect()
    }

    fn stated(size: usize, other_from: usize) -> Seen {
        let mut tree = Frontier::default();
        words(size, other_from).iter().for_each(|it| tree.push(leaf_hash(it.as_bytes())));
        Seen { size: size as u64, root: tree.root() }
    }

    /// Nine entries in groups of three.
    fn journal(dir: &Path) -> Journal {
        let label = Label { verbund: [1; 32], land: "SL".to_owned(), epoch: 1 };
        let open = || Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("opens").0;
        let (mut journal, all) = (open(), words(9, 9));
        let body = Body::Present { salt: &[2; 16], bytes: b"body" };
        for (n, some) in (1..).zip(all.chunks(3)) {
            let entries: Vec<_> =
                some.iter().map(|it| EntryRef { header: it.as_bytes(), body }).collect();
            let (note, note_size, proof) = (Bytes::new(), 3 * n, Vec::new());
            let checkpoint = &CheckpointRecord { note, note_size, proof };
            let (entries, from) = (&entries[..], "");
            let group = Group { entries, checkpoint, received_unix_ms: 1, from };
            journal.append(&group).expect("durable");
        }
        drop(journal);
        open()
    }

    #[test]
    fn only_what_is_a_beginning_of_what_is_here_was_seen_by_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = journal(dir.path());
        let boundless = Seen { size: u64::MAX, root: Hash::EMPTY_ROOT };
        let check = |all: &[Seen], expected: u64| {
            let found = seen(&journal.reader(), all);
            assert_eq!(found.size, expected, "{all:?}");
            let known = all.contains(&found);
            assert!(known || found == Seen::default(), "{found:?}");
        };
        check(&[], 0);
        check(&[boundless], 0);
        check(&[stated(4, 9), stated(6, 9)], 6);
        check(&[stated(12, 6)], 0);
        // an older one that is true counts behind newer ones of another history
        check(&[stated(4, 9), stated(8, 4), stated(12, 4), boundless], 4);
        check(&[stated(8, 4), stated(9, 4), stated(5, 4)], 0);
        // groups go whole
        let kept = [(0, 0), (2, 0), (3, 3), (5, 3), (8, 6), (9, 9), (99, 9)];
        for (seen, kept) in kept {
            assert_eq!(journal.whole_groups(seen).expect("readable"), kept, "{seen}");
        }
        assert_eq!(journal.retreat(5).expect("taken away").size, 3);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_the_rest_is_listed() {
        let dir = tempfile::tempdir().expect("a directory");
        let memory = MemoryJournal::of(Land::SL);
        for n in 0..6 {
            memory.append(&[Item::Define(n, NUMBER_A)]);
        }
        let path = dir.path().join("journal");
        drop(on_disk(&path, &memory));
        let segment = path.join("00000000000000000000.seg");
        let mut bytes = fs::read(&segment).expect("a segment");
        let header = &memory.entries()[4].header;
        let at = bytes.windows(header.len()).position(|it| it == header).expect("in the segment");
        bytes[at + 5] ^= 1;
        fs::write(&segment, bytes).expect("written");
        let log = LogId { land: Land::SL, epoch: 1 };
        let (resets, journal) =
            (Resets::of(dir.path()), on_disk(&path, &MemoryJournal::of(Land::SL)));
        assert_eq!(listed(log, &journal.reader(), 2, &resets).expect("listed"), 4);
        // it is done again if the node ends before all of it is set aside, maybe of a shorter journal
        assert_eq!(listed(log, &journal.reader(), 2, &resets).expect("listed"), 4);
        let shorter = MemoryJournal::of(Land::SL);
        for n in 0..4 {
            shorter.append(&[Item::Define(n, NUMBER_A)]);
        }
        let shorter = on_disk(&dir.path().join("shorter"), &shorter);
        assert_eq!(listed(log, &shorter.reader(), 2, &resets).expect("listed"), 2);
        let empty = on_disk(&dir.path().join("empty"), &MemoryJournal::of(Land::SL));
        let told = resets.aside(log).expect("read").told(&empty.reader()).expect("told");
        let words = ["insgesamt 3: SL/1/2 (", "SL/1/3 (", "SL/1/5 (", "1 Einträge"];
        assert!(words.iter().all(|it| told.contains(it)) && !told.contains("SL/1/4"), "{told}");
    }

    #[test]
    fn where_the_tree_is_damaged_the_headers_decide() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(journal(dir.path()));
        let path = dir.path().join("tiles/0.hashes");
        let mut bytes = fs::read(&path).expect("a file");
        bytes[100] ^= 1;
        fs::write(&path, bytes).expect("written");
        let label = Label { verbund: [1; 32], land: "SL".to_owned(), epoch: 1 };
        let (journal, _) =
            Journal::open(dir.path(), &label, Options::default(), &mut |_| ()).expect("opens");
        let all = [stated(3, 9), stated(6, 9), stated(8, 2)];
        assert_eq!(seen(&journal.reader(), &all), stated(6, 9));
    }
}
