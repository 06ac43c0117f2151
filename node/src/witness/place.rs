//! `<data>/place` remembers where on the disk it stands, so that a node notices at its start that
//! its directory is a copy or was restored: a file that is copied gets another number and another
//! birth. A copy of the whole disk, or of the machine, keeps both and is not noticed here.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// The file.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
}

// === impl Place ===

impl Place {
    /// That of a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self { path: data_dir.join("place") }
    }

    /// True when this is the directory that was settled last, at the same place.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn is_settled(&self) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => {
                let expected = text(&file.metadata()?);
                let found = io::read_to_string(io::Read::take(&file, 2 * LENGTH_MAX))?;
                Ok(found == expected)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// From now on this directory is settled here.
    ///
    /// # Errors
    ///
    /// It cannot be written; the next start takes the directory for a copy.
    pub fn settle(&self) -> io::Result<()> {
        if self.is_settled().unwrap_or(false) {
            return Ok(());
        }
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(text(&file.metadata()?).as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }

    /// The next start takes the directory for a copy.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub fn unsettle(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn text(of: &Metadata) -> String {
    format!("registry place 1\n{}\n", here(of))
}

/// Number and birth of a file. A move keeps both; a copy has others.
pub(crate) fn here(of: &Metadata) -> String {
    // where the file system tells no birth the number has to do
    let born = of.created().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let born = born.unwrap_or_default().as_nanos();
    format!("{} {born}", of.ino())
}

/// Bytes of the text, at most.
const LENGTH_MAX: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_noticed_and_a_move_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("created");
        let place = Place::of(&data);
        assert!(!place.is_settled().expect("read"), "never settled");
        place.settle().expect("settled");
        assert!(place.is_settled().expect("read"));
        place.settle().expect("settled again");
        assert!(place.is_settled().expect("read"));

        let copy = dir.path().join("copy");
        fs::create_dir(&copy).expect("created");
        fs::copy(data.join("place"), copy.join("place")).expect("copied");
        assert!(!Place::of(&copy).is_settled().expect("read"));
        Place::of(&copy).settle().expect("settled");
        assert!(Place::of(&copy).is_settled().expect("read"));

        let moved = dir.path().join("moved");
        fs::rename(&data, &moved).expect("moved");
        assert!(Place::of(&moved).is_settled().expect("read"));

        Place::of(&moved).unsettle().expect("removed");
        assert!(!Place::of(&moved).is_settled().expect("read"));
        Place::of(&moved).unsettle().expect("nothing to remove");
    }

    #[test]
    fn what_is_restored_over_a_deleted_directory_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
        for path in [&data, &backup] {
            fs::create_dir(path).expect("created");
        }
        Place::of(&data).settle().expect("settled");
        fs::copy(data.join("place"), backup.join("place")).expect("copied");
        // the number of the file is free again, and may be given to the next one
        fs::remove_dir_all(&data).expect("deleted");
        fs::create_dir(&data).expect("created");
        fs::copy(backup.join("place"), data.join("place")).expect("copied");
        assert!(!Place::of(&data).is_settled().expect("read"));
    }

    #[test]
    fn damage_counts_as_a_copy() {
        let dir = tempfile::tempdir().expect("a directory");
        for bytes in [&b""[..], b"registry place 2\n1 1\n", &[b'x'; 10_000]] {
            fs::write(dir.path().join("place"), bytes).expect("written");
            assert!(!Place::of(dir.path()).is_settled().expect("read"));
        }
    }
}
