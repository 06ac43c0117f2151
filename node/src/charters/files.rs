//! Successors that are in force, one file each. The votes in the journals go before them; these
//! files let a node know its members before it has read the journals, and stand for votes in what
//! a log has lost since, because its member was suspended or removed or its keys were replaced.

use std::{
    fs,
    io::{
        self,
        ErrorKind::{NotADirectory, NotFound},
    },
    path::{Path, PathBuf},
};

use registry_proto::{
    charter::{Charter, CharterError, SUCCESSOR_BYTES_MAX},
    german::German,
};

use super::decisions::{self, Decisions};

/// Why the charters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{} ist nicht lesbar", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in it does not follow the charter before it.
    #[error(
        "{} folgt nicht auf die Charta davor ({why}). Entweder nennt `charter` in node.toml die Datei eines \
         anderen Verbunds oder eine andere Kette: dann dort die richtige eintragen und hier nichts \
         ändern. Oder die Datei hier ist beschädigt: dann beiseitelegen, die Stimmen in den \
         Protokollen bringen sie zurück", .path.display()
    )]
    Charter {
        /// Which.
        path: PathBuf,
        /// Why.
        why: German<CharterError>,
    },
}

/// Appends to `charters`, which MUST NOT be empty, what is kept here of those that follow, and to
/// `decisions` what is kept of why they did.
///
/// # Errors
///
/// See [`LoadError`].
pub fn load(
    data_dir: &Path,
    charters: &mut Vec<Charter>,
    decisions: &mut Decisions,
) -> Result<(), LoadError> {
    follow(data_dir, charters)?;
    decisions::load(data_dir, charters, decisions);
    Ok(())
}

fn follow(data_dir: &Path, charters: &mut Vec<Charter>) -> Result<(), LoadError> {
    while let Some(last) = charters.last() {
        let path = path(data_dir, last.number().saturating_add(1));
        let length = match fs::metadata(&path) {
            Ok(data) => data.len(),
            // whoever has no directory for data, or a file in its place, is told so elsewhere
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(()),
            Err(source) => return Err(LoadError::File { path, source }),
        };
        if length > SUCCESSOR_BYTES_MAX as u64 {
            let source = io::Error::other("zu groß für eine Charta");
            return Err(LoadError::File { path, source });
        }
        let raw = match fs::read(&path) {
            Ok(raw) => raw,
            Err(source) => return Err(LoadError::File { path, source }),
        };
        match last.successor(raw.into()) {
            Ok((next, _)) => charters.push(next),
            Err(error) => return Err(LoadError::Charter { path, why: German(error) }),
        }
    }
    Ok(())
}

/// Keeps a successor; it survives a crash when this returns.
///
/// # Errors
///
/// The disk fails.
pub(super) fn keep(data_dir: &Path, charter: &Charter) -> io::Result<()> {
    write(&path(data_dir, charter.number()), charter.raw())
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new(""));
    fs::create_dir_all(dir)?;
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    fs::write(&new, bytes)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(dir)?.sync_all()
}

pub(super) fn path(data_dir: &Path, number: u64) -> PathBuf {
    data_dir.join(DIR).join(format!("{number:020}.charter"))
}

const DIR: &str = "charters";
