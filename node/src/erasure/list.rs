//! The erasures that stand in a log, on disk: `<data>/erasures/<land>-<epoch>.list`. Derived from the
//! journal; so that after a crash nobody has to read a whole log to know what was not carried out.
//!
//! ```text
//! erasures 2
//! upto 4712
//! 17 4711 1 done
//! 1/17 4712 1 open <64 hexadecimal digits>
//! sha256 <64 hexadecimal digits, of all lines before>
//! ```
//!
//! `upto` is the number of entries that were looked through. A line of an erasure names the erased
//! entry, the erasure, the kind of the entry and whether it is carried out (`done` or `open`). An entry
//! of an earlier epoch is named with its epoch and its leaf hash, because it may still be on its way
//! here; its kind is 0 until it is here. Form 1 knows entries of the same epoch only.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    ops::RangeInclusive,
    path::Path,
};

use registry_proto::log::{Hash, Kind};

/// The erasures of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Entries that were looked through.
    pub(super) upto: u64,
    /// By the erased entry; of two erasures of one entry the first counts. Of an entry of an earlier
    /// epoch nobody may know yet which leaf it has, so each leaf that is named has a row.
    pub(super) rows: BTreeMap<Erased, Row>,
}

/// An erased entry of the Land whose log has the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Erased {
    /// Its epoch, if it is an earlier one than that of the log.
    pub(super) epoch: Option<u64>,
    /// Its index.
    pub(super) index: u64,
    /// Its leaf hash as the erasure names it, if it is of an earlier epoch: it may still be on its way
    /// here, and an erasure with another one erases nothing.
    pub(super) leaf: Option<Hash>,
}

/// An erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Index of the erasure.
    pub(super) by: u64,
    /// Kind of the erased entry; [`NOT_HERE`] if this node has no such entry.
    pub(super) kind: Kind,
    /// Carried out at this node, in all its parts.
    pub(super) done: bool,
    /// The body is in no journal of this node; found out anew after each start.
    pub(super) gone: bool,
}

/// In place of the kind of an entry that this node does not have.
pub(super) const NOT_HERE: Kind = Kind::Unknown(0);
/// In place of the kind of an entry that is damaged in the journal of this node.
pub(super) const UNREADABLE: Kind = Kind::Unknown(i32::MIN);

#[cfg(test)]
thread_local! {
    /// Lists that a test has written.
    pub(super) static WRITES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

const FIRST_LINE: &str = "erasures 2";
const FIRST_LINE_1: &str = "erasures 1";

// === impl Erased ===

impl Erased {
    /// This entry, with whatever leaf it is named.
    pub(super) fn all_of(epoch: Option<u64>, index: u64) -> RangeInclusive<Self> {
        let with = |leaf| Self { epoch, index, leaf };
        with(None)..=with(Some(Hash::from_bytes([u8::MAX; 32])))
    }
}

// === impl List ===

impl List {
    /// Reads a list. One that is missing or damaged is empty: the journal is looked through again.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => {
                Ok(std::str::from_utf8(&bytes).ok().and_then(Self::parse).unwrap_or_else(|| {
                    let path = path.display();
                    tracing::warn!(%path, "list of erasures is damaged, made again");
                    Self::default()
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the list, durably and at once.
    ///
    /// # Errors
    ///
    /// If the file system fails; the list of before is there then.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        WRITES.set(WRITES.get() + 1);
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nupto {}\n", self.upto);
        for (entry, Row { by, kind, done, .. }) in &self.rows {
            let epoch = entry.epoch.map_or_else(String::new, |it| format!("{it}/"));
            let state = if *done { "done" } else { "open" };
            let leaf = entry.leaf.map_or_else(String::new, |it| format!(" {it}"));
            // writing to a string does not fail
            let _ = writeln!(text, "{epoch}{} {by} {} {state}{leaf}", entry.index, kind.to_wire());
        }
        let digest = Hash::of(text.as_bytes());
        text + &format!("sha256 {digest}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let at = text.rfind("sha256 ")?;
        let (body, digest) = text.split_at(at);
        if digest.trim_end() != format!("sha256 {}", Hash::of(body.as_bytes())) {
            return None;
        }
        let mut lines = body.lines();
        if ![FIRST_LINE, FIRST_LINE_1].contains(&lines.next()?) {
            return None;
        }
        let upto = lines.next()?.strip_prefix("upto ")?.parse().ok()?;
        let rows = lines.map(row).collect::<Option<_>>()?;
        Some(Self { upto, rows })
    }
}

fn row(line: &str) -> Option<(Erased, Row)> {
    let mut words = line.split(' ');
    let entry = words.next()?;
    let (epoch, index) = match entry.split_once('/') {
        None => (None, entry),
        Some((epoch, index)) => (Some(epoch.parse().ok()?), index),
    };
    let index = index.parse().ok()?;
    let by = words.next()?.parse().ok()?;
    let kind = Kind::from_wire(words.next()?.parse().ok()?);
    let done = match words.next()? {
        "done" => true,
        "open" => false,
        _ => return None,
    };
    let leaf = match words.next() {
        None => None,
        Some(digits) => Some(digits.parse().ok()?),
    };
    // an entry that may come later is known by nothing else
    let whole = words.next().is_none() && leaf.is_some() == epoch.is_some();
    whole.then_some((Erased { epoch, index, leaf }, Row { by, kind, done, gone: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_damage_makes_it_empty() {
        let row = |by, done, kind| Row { by, kind, done, gone: false };
        let leaf = Hash::from_bytes([0xab; 32]);
        let other = Hash::from_bytes([0xcd; 32]);
        let at = |index| Erased { epoch: None, index, leaf: None };
        let of_old = |leaf| Erased { epoch: Some(1), index: 7, leaf: Some(leaf) };
        let rows = [
            (at(3), row(9, true, Kind::ServiceVersion)),
            (at(5), row(12, false, Kind::ServiceVersion)),
            (of_old(leaf), row(13, false, NOT_HERE)),
            (of_old(other), row(14, true, NOT_HERE)),
        ];
        let list = List { upto: 40, rows: rows.into() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SL-1.list");
        assert_eq!(List::read(&path).unwrap(), List::default());
        list.write(&path).unwrap();
        assert_eq!(List::read(&path).unwrap(), list);
        let text = fs::read_to_string(&path).unwrap();
        let rest = format!("1/7 13 0 open {leaf}\n1/7 14 0 done {other}\nsha256 ");
        let begins = format!("erasures 2\nupto 40\n3 9 2 done\n5 12 2 open\n{rest}");
        assert!(text.starts_with(&begins), "{text}");
        // as nodes wrote it that knew no erasure of another epoch
        let old = "erasures 1\nupto 40\n3 9 2 done\n5 12 2 open\n";
        fs::write(&path, format!("{old}sha256 {}\n", Hash::of(old.as_bytes()))).unwrap();
        let rows = rows.into_iter().filter(|(at, _)| at.epoch.is_none());
        assert_eq!(List::read(&path).unwrap(), List { upto: 40, rows: rows.collect() });
        let damaged =
            [text.replace("open", "done"), text.replace("sha256", "sha"), text[..20].to_owned()];
        for damaged in damaged {
            fs::write(&path, &damaged).unwrap();
            assert_eq!(List::read(&path).unwrap(), List::default(), "{damaged}");
        }
    }
}
