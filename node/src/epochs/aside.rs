//! What was set aside of the own log, for its operator: `<data>/epochs/<land>-<epoch>.aside`.
//!
//! The node itself needs nothing of it. Whoever published what stands there was told that it is
//! durable, so it is named until an
//! operator has moved the file away, or it stands in its place in the log again.

use std::{fs, io, path::PathBuf};

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

/// Everything that is listed of a log.
#[derive(Clone, Debug)]
pub struct Aside {
    log: LogId,
    path: PathBuf,
    entries: Vec<Listed>,
    /// Lines that could not be read.
    damaged: usize,
}

// === impl Resets ===

impl Resets {
    /// Lists entries of the own log durably, before they are set aside; at most the newest thousand.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn list_aside(&self, log: LogId, entries: Vec<Listed>) -> Result<(), ResetsError> {
        let mut all = self.aside(log)?.entries;
        // it is done again if the node ends in between
        let new: Vec<_> = entries.into_iter().filter(|it| !all.contains(it)).collect();
        all.extend(new);
        all.drain(..all.len().saturating_sub(LISTED_MAX));
        self.write(&self.path(log, ASIDE), encode(&all).as_bytes())
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
        let lines = text.lines().filter(|it| *it != FORMAT).take(LISTED_MAX);
        let (entries, damaged) = lines.map(decode).fold((Vec::new(), 0), |(mut all, bad), it| {
            let bad = bad + usize::from(it.is_none());
            all.extend(it);
            (all, bad)
        });
        Ok(Aside { log, path, entries, damaged })
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

// === impl Aside ===

impl Aside {
    /// What people had said and is not in the log as `reader` has it.
    pub fn missing(&self, reader: &Reader) -> Vec<&Listed> {
        let stands = |it: &Listed| {
            reader.entry(it.index).is_ok_and(|entry| leaf_hash(&entry.header) == it.leaf)
        };
        self.entries.iter().filter(|it| it.is_of_people() && !stands(it)).collect()
    }

    /// Tells an operator what is missing, if anything is.
    pub fn told(&self, reader: &Reader) -> Option<String> {
        let missing = self.missing(reader);
        if missing.is_empty() && self.damaged == 0 {
            return None;
        }
        let place = |it: &&Listed| {
            let object = it.object.map(|it| format!(" ({it})")).unwrap_or_default();
            format!("{}/{}{object}", self.log, it.index)
        };
        let named: Vec<_> = missing.iter().take(NAMED_MAX).map(place).collect();
        let more = missing.len() - named.len();
        let more = if more > 0 { format!(" und {more} weitere") } else { String::new() };
        Some(format!(
            "Veröffentlichungen dieses Landes gelten nicht mehr: {}{more}. Kein anderes Land \
             hatte sie bestätigt, und das Protokoll ging ohne sie weiter. Neu veröffentlichen, \
             dann {} wegräumen und den \
             Knoten neu starten (Handbuch, Wiederherstellen).",
            named.join(", "),
            self.path.display()
        ))
    }
}

fn encode(entries: &[Listed]) -> String {
    let mut text = format!("{FORMAT}\n");
    for Listed { index, leaf, kind, object } in entries {
        let number = kind.to_wire();
        let name = EntryKind::try_from(number).map_or("-", |it| it.as_str_name());
        let object = object.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let leaf = hex::encode(leaf.as_bytes());
        text.push_str(&format!("{index} {leaf} {number} {name} {object}\n"));
    }
    text
}

fn decode(line: &str) -> Option<Listed> {
    let mut words = line.split(' ');
    let index = words.next()?.parse().ok()?;
    let leaf = Hash::try_from(hex::decode(words.next()?).ok()?.as_slice()).ok()?;
    let kind = Kind::from_wire(words.next()?.parse().ok()?);
    let object = match words.nth(1)? {
        "-" => None,
        object => Some(object.parse().ok()?),
    };
    words.next().is_none().then_some(Listed { index, leaf, kind, object })
}

/// Entries that are listed, at most; the others stand in the files of the journal.
const LISTED_MAX: usize = 1_000;
/// Entries that are named in one text.
const NAMED_MAX: usize = 10;
const ASIDE: &str = "aside";
const FORMAT: &str = "registry set aside 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_reads_as_it_was_written_and_damage_hides_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let resets = Resets::of(dir.path());
        let log = LogId { land: registry_proto::terms::Land::HE, epoch: 1 };
        let anchor =
            Listed { index: 6, leaf: leaf_hash(b"a"), kind: Kind::AuditHead, object: None };
        let object = Some(uuid::Uuid::from_u128(0x0193));
        let definition =
            Listed { index: 7, leaf: leaf_hash(b"b"), kind: Kind::ServiceDefinition, object };
        resets.list_aside(log, vec![anchor.clone()]).expect("kept");
        // once more, as after a crash
        resets.list_aside(log, vec![anchor.clone(), definition.clone()]).expect("kept");
        let path = dir.path().join("epochs/HE-1.aside");
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(
            text,
            "registry set aside 1\n\
             6 022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c 11 ENTRY_KIND_AUDIT_HEAD -\n\
             7 57eb35615d47f34ec714cacdf5fd74608a5e8e102724e80b24b287c0c27b6a31 1 ENTRY_KIND_SERVICE_DEFINITION 00000000-0000-0000-0000-000000000193\n"
        );
        assert_eq!(resets.aside(log).expect("read").entries, [anchor, definition.clone()]);
        fs::write(&path, text.replace("6 ", "six ")).expect("written");
        let aside = resets.aside(log).expect("read");
        assert_eq!((aside.entries, aside.damaged), (vec![definition], 1));
    }
}
