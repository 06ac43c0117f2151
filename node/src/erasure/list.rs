//! The erasures of a log on disk: `<data>/erasures/<land>-<epoch>.list`. Derived from the journal; so
//! that after a crash nobody has to read a whole log to know what was not carried out.
//!
//! ```text
//! erasures 1
//! upto 4712
//! 17 4711 1 done
//! sha256 <64 hexadecimal digits, of all lines before>
//! ```
//!
//! `upto` is the number of entries that were looked through. A line of an erasure names the erased
//! entry, the erasure, the kind of the entry and whether it is carried out (`done` or `open`).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use registry_proto::log::{Hash, Kind};

/// The erasures of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Entries that were looked through.
    pub(super) upto: u64,
    /// By index of the erased entry; of two erasures of one entry the first counts.
    pub(super) rows: BTreeMap<u64, Row>,
}

/// An erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Index of the erasure.
    pub(super) by: u64,
    /// Kind of the erased entry.
    pub(super) kind: Kind,
    /// Carried out at this node, in all its parts.
    pub(super) done: bool,
}

const FIRST_LINE: &str = "erasures 1";

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
        for (entry, Row { by, kind, done }) in &self.rows {
            let state = if *done { "done" } else { "open" };
            // writing to a string does not fail
            let _ = writeln!(text, "{entry} {by} {} {state}", kind.to_wire());
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
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let upto = lines.next()?.strip_prefix("upto ")?.parse().ok()?;
        let rows = lines.map(row).collect::<Option<_>>()?;
        Some(Self { upto, rows })
    }
}

fn row(line: &str) -> Option<(u64, Row)> {
    let mut words = line.split(' ');
    let (entry, by) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let kind = Kind::from_wire(words.next()?.parse().ok()?);
    let done = match words.next()? {
        "done" => true,
        "open" => false,
        _ => return None,
    };
    words.next().is_none().then_some((entry, Row { by, kind, done }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_damage_makes_it_empty() {
        let row = |by, done| Row { by, kind: Kind::ServiceVersion, done };
        let list = List { upto: 40, rows: [(3, row(9, true)), (5, row(12, false))].into() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SL-1.list");
        assert_eq!(List::read(&path).unwrap(), List::default());
        list.write(&path).unwrap();
        assert_eq!(List::read(&path).unwrap(), list);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("erasures 1\nupto 40\n3 9 2 done\n5 12 2 open\nsha256 "),
            "{text}"
        );
        let damaged =
            [text.replace("open", "done"), text.replace("sha256", "sha"), text[..20].to_owned()];
        for damaged in damaged {
            fs::write(&path, &damaged).unwrap();
            assert_eq!(List::read(&path).unwrap(), List::default(), "{damaged}");
        }
    }
}
