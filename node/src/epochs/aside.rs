//! What was set aside of the own log, for its operator: `<data>/epochs/<land>-<epoch>.aside`.
//!
//! The node itself needs nothing of it. Whoever published what stands there was told that it is
//! durable, so it is named until an operator has moved the file away, or it stands in its place in the
//! log again. The newest entries are listed, the others are counted.

use std::{
    collections::{BTreeSet, VecDeque},
    fs, io,
    path::PathBuf,
};

use registry_journal::Reader;
use registry_proto::{
    log::{Hash, Header, Kind, leaf_hash},
    terms::LogId,
    wire::registry::EntryKind,
};

use super::{Resets, ResetsError};

/// An entry that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it stood.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// What it was.
    pub kind: Kind,
    /// What it was about, as the header says; none for what is about the log or the charter.
    pub object: Option<uuid::Uuid>,
}

/// The end of a log that is about to be set aside, as it is read.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// The newest of its entries, in their order.
    entries: VecDeque<Listed>,
    uncounted: Uncounted,
}

/// What the list does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Uncounted {
    /// Entries of people for which there was no place.
    left_out: u64,
    /// Entries that could not be read: nobody knows what they said.
    unreadable: u64,
}

/// Everything that is listed of a log.
#[derive(Clone, Debug)]
pub struct Aside {
    log: LogId,
    path: PathBuf,
    entries: Vec<Listed>,
    uncounted: Uncounted,
    /// The tree of which an end was set aside last: size and root.
    newest: Option<(u64, Hash)>,
    /// Lines that could not be read.
    damaged: usize,
}

/// A line of the file.
enum Line {
    Entry(Listed),
    Ended { newest: (u64, Hash), uncounted: Uncounted },
}

// === impl Resets ===

impl Resets {
    /// Lists the end of the own log durably, before it is set aside: the newest thousand entries, and how
    /// many there are besides. `of`: size and root of the tree that it ends; the same is listed once.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn list_aside(&self, log: LogId, of: (u64, Hash), end: End) -> Result<(), ResetsError> {
        let mut aside = self.aside(log)?;
        // it is done again if the node ends in between
        if aside.newest == Some(of) {
            return Ok(());
        }
        let known: BTreeSet<(u64, Hash)> =
            aside.entries.iter().map(|it| (it.index, it.leaf)).collect();
        let new = end.entries.into_iter().filter(|it| !known.contains(&(it.index, it.leaf)));
        aside.entries.extend(new);
        let surplus = aside.entries.len().saturating_sub(LISTED_MAX);
        let left_out = aside.entries.drain(..surplus).filter(Listed::is_of_people).count() as u64;
        let (before, it) = (aside.uncounted, end.uncounted);
        aside.uncounted = Uncounted {
            left_out: before.left_out.saturating_add(it.left_out).saturating_add(left_out),
            unreadable: before.unreadable.saturating_add(it.unreadable),
        };
        self.write(&aside.path, encode(&aside, of).as_bytes())
    }

    /// What is listed; nothing without the file.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn aside(&self, log: LogId) -> Result<Aside, ResetsError> {
        let path = self.path(log, ASIDE);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ResetsError::File { path, source }),
        };
        let (entries, uncounted) = Default::default();
        let mut aside = Aside { log, path, entries, uncounted, newest: None, damaged: 0 };
        let lines = text.lines().filter(|it| ![FORMAT, FORMAT_1].contains(it));
        for line in lines.take(LISTED_MAX + 1) {
            match decode(line) {
                Some(Line::Entry(it)) => aside.entries.push(it),
                Some(Line::Ended { newest, uncounted }) => {
                    (aside.newest, aside.uncounted) = (Some(newest), uncounted);
                }
                None => aside.damaged += 1,
            }
        }
        Ok(aside)
    }
}

// === impl Listed ===

impl Listed {
    /// An entry as it stands in a journal.
    pub fn of(header: &[u8]) -> Option<Self> {
        let Header { index, kind, object_id, .. } = Header::parse(header).ok()?;
        Some(Self { index, leaf: leaf_hash(header), kind, object: object_id })
    }

    /// False for what the node itself says of its log; that is said again where it matters.
    fn is_of_people(&self) -> bool {
        !matches!(self.kind, Kind::AuditHead | Kind::Recovered | Kind::Unfenced | Kind::EpochReset)
    }
}

// === impl End ===

impl End {
    /// Takes the next entry; false if an older one is not listed for it.
    pub fn push(&mut self, it: Listed) -> bool {
        self.entries.push_back(it);
        let oldest = if self.entries.len() > LISTED_MAX { self.entries.pop_front() } else { None };
        self.uncounted.left_out += u64::from(oldest.as_ref().is_some_and(Listed::is_of_people));
        oldest.is_none()
    }

    /// Counts an entry that cannot be read.
    pub fn unreadable(&mut self) {
        self.uncounted.unreadable += 1;
    }
}

// === impl Aside ===

impl Aside {
    /// What people had said and is not in the log as `reader` has it.
    pub fn missing(&self, reader: &Reader) -> Vec<&Listed> {
        let stands = |it: &Listed| {
            reader.entry(it.index).is_ok_and(|entry| leaf_hash(&entry.header) == it.leaf)
        };
        self.entries.iter().filter(|it| it.is_of_people() && !stands(it)).collect()
    }

    /// Tells an operator what is missing, if anything is: how much in all, and what was said last.
    pub fn told(&self, reader: &Reader) -> Option<String> {
        let missing = self.missing(reader);
        let Uncounted { left_out, unreadable } = self.uncounted;
        let all = left_out.saturating_add(missing.len() as u64);
        if all == 0 && unreadable == 0 && self.damaged == 0 {
            return None;
        }
        let place = |it: &&Listed| {
            let object = it.object.map(|it| format!(" ({it})")).unwrap_or_default();
            format!("{}/{}{object}", self.log, it.index)
        };
        // what was said last is what somebody still remembers
        let mut named: Vec<_> = missing.iter().rev().take(NAMED_MAX).map(place).collect();
        named.reverse();
        let more = all - named.len() as u64;
        let more = if more > 0 { format!(" und {more} ältere") } else { String::new() };
        let mut text = format!(
            "Veröffentlichungen dieses Landes gelten nicht mehr, insgesamt {all}: {}{more}. Kein \
             anderes Land hatte sie bestätigt, und das Protokoll ging ohne sie weiter.",
            named.join(", ")
        );
        if all == 0 {
            text = format!("Am Ende von {} liegen Einträge beiseite.", self.log);
        }
        let erasures = missing.iter().filter(|it| it.kind == Kind::Erasure).count();
        if erasures > 0 {
            text.push_str(&format!(
                " Löschungen darunter ({erasures}) wiederholt der Knoten selbst, soweit sie hier schon \
                 ausgeführt waren, sobald er wieder schreibt (registry erase status)."
            ));
        }
        let unnamed = left_out.saturating_add(unreadable);
        if unnamed > 0 || self.damaged > 0 {
            text.push_str(&format!(
                " Die Liste nennt nicht alle: {left_out} ältere fehlen darin, {unreadable} Einträge \
                 und {} Zeilen sind nicht lesbar. Solange in dem Protokoll nichts gelöscht wird, liegt \
                 alles in journal/{}/{}/*.aside.",
                self.damaged, self.log.land, self.log.epoch
            ));
        }
        text.push_str(&format!(
            " Neu veröffentlichen, dann {} wegräumen und den Knoten neu starten (Handbuch, \
             Wiederherstellen).",
            self.path.display()
        ));
        Some(text)
    }
}

fn encode(aside: &Aside, (size, root): (u64, Hash)) -> String {
    let Uncounted { left_out, unreadable } = aside.uncounted;
    let root = hex::encode(root.as_bytes());
    let mut text = format!("{FORMAT}\n{ENDED} {size} {root} {left_out} {unreadable}\n");
    for Listed { index, leaf, kind, object } in &aside.entries {
        let number = kind.to_wire();
        let name = EntryKind::try_from(number).map_or("-", |it| it.as_str_name());
        let object = object.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let leaf = hex::encode(leaf.as_bytes());
        text.push_str(&format!("{index} {leaf} {number} {name} {object}\n"));
    }
    text
}

fn decode(line: &str) -> Option<Line> {
    let hash = |it: &str| Hash::try_from(hex::decode(it).ok()?.as_slice()).ok();
    let mut words = line.split(' ');
    let first = words.next()?;
    let decoded = if first == ENDED {
        let newest = (words.next()?.parse().ok()?, hash(words.next()?)?);
        let left_out = words.next()?.parse().ok()?;
        let uncounted = Uncounted { left_out, unreadable: words.next()?.parse().ok()? };
        Line::Ended { newest, uncounted }
    } else {
        let (index, leaf) = (first.parse().ok()?, hash(words.next()?)?);
        let kind = Kind::from_wire(words.next()?.parse().ok()?);
        let object = match words.nth(1)? {
            "-" => None,
            object => Some(object.parse().ok()?),
        };
        Line::Entry(Listed { index, leaf, kind, object })
    };
    words.next().is_none().then_some(decoded)
}

/// Entries that are listed, at most; the others stand in the files of the journal.
pub const LISTED_MAX: usize = 1_000;
/// Entries that are named in one text.
const NAMED_MAX: usize = 10;
const ASIDE: &str = "aside";
/// What begins the line about the tree that was cut last, and about what is not listed.
const ENDED: &str = "ended";
const FORMAT: &str = "registry set aside 2";
/// The same without that line.
const FORMAT_1: &str = "registry set aside 1";

#[cfg(test)]
mod tests {
    use registry_journal::{Journal, Label, Options};

    use super::*;

    fn log() -> LogId {
        LogId { land: registry_proto::terms::Land::HE, epoch: 1 }
    }

    fn end(entries: &[Listed]) -> End {
        let mut end = End::default();
        for it in entries {
            end.push(it.clone());
        }
        end
    }

    fn tree(size: u64) -> (u64, Hash) {
        (size, leaf_hash(&size.to_be_bytes()))
    }

    fn definition(index: u64) -> Listed {
        let object = Some(uuid::Uuid::from_u128(0x0193));
        Listed { index, leaf: leaf_hash(b"b"), kind: Kind::ServiceDefinition, object }
    }

    #[test]
    fn what_is_listed_reads_as_it_was_written_and_damage_hides_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let resets = Resets::of(dir.path());
        let anchor =
            Listed { index: 6, leaf: leaf_hash(b"a"), kind: Kind::AuditHead, object: None };
        let path = dir.path().join("epochs/HE-1.aside");
        fs::create_dir_all(dir.path().join("epochs")).expect("a directory");
        // as it was written before
        let first = "registry set aside 1\n\
             6 022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c 11 ENTRY_KIND_AUDIT_HEAD -\n";
        fs::write(&path, first).expect("written");
        assert_eq!(resets.aside(log()).expect("read").entries, std::slice::from_ref(&anchor));
        let mut both = end(&[anchor.clone(), definition(7)]);
        both.unreadable();
        // once more, as after a crash
        for _ in 0..2 {
            resets.list_aside(log(), tree(9), both.clone()).expect("kept");
        }
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(
            text,
            "registry set aside 2\n\
             ended 9 194df0af8a18fd76b5e57fa6122fba63ece450b151bb380dec55569d6ddd3c51 0 1\n\
             6 022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c 11 ENTRY_KIND_AUDIT_HEAD -\n\
             7 57eb35615d47f34ec714cacdf5fd74608a5e8e102724e80b24b287c0c27b6a31 1 ENTRY_KIND_SERVICE_DEFINITION 00000000-0000-0000-0000-000000000193\n"
        );
        assert_eq!(resets.aside(log()).expect("read").entries, [anchor, definition(7)]);
        fs::write(&path, text.replace("6 0", "six 0")).expect("written");
        let aside = resets.aside(log()).expect("read");
        assert_eq!((aside.entries, aside.damaged), (vec![definition(7)], 1));
    }

    #[test]
    fn of_many_the_newest_are_listed_and_all_are_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let resets = Resets::of(dir.path());
        let label = Label { verbund: [1; 32], land: "HE".to_owned(), epoch: 1 };
        let (journal, _) =
            Journal::open(&dir.path().join("he"), &label, Options::default(), &mut |_| ())
                .expect("opens");
        assert_eq!(resets.aside(log()).expect("read").told(&journal.reader()), None);
        let of = |indices: std::ops::Range<u64>| end(&indices.map(definition).collect::<Vec<_>>());
        resets.list_aside(log(), tree(1_500), of(0..1_500)).expect("kept");
        resets.list_aside(log(), tree(2_000), of(1_500..1_530)).expect("kept");
        let aside = resets.aside(log()).expect("read");
        assert_eq!(aside.entries.len(), LISTED_MAX);
        assert_eq!((aside.entries[0].index, aside.uncounted.left_out), (530, 530));
        let told = aside.told(&journal.reader()).expect("told");
        let words = ["insgesamt 1530: HE/1/1520 (", "und 1520 ältere", "530 ältere fehlen darin"];
        assert!(words.iter().all(|it| told.contains(it)), "{told}");
        assert!(told.contains("journal/HE/1/*.aside") && !told.contains("Löschungen"), "{told}");
    }
}
