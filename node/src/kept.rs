//! Records that are kept at this node only, one file each in a directory of their own.
//!
//! A file is one line that names the kind and the format, the SHA-256 of what follows in hexadecimal
//! digits, and an encoded message. It is written beside its place, synced and renamed, so that a
//! crash leaves the old state or the new one. A damaged file concerns its own record only.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use prost::Message;
use registry_core::reject::Reject;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::lifecycle::chain;

/// What is kept in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// In the first line of a file, as its ending, and in what is refused: `draft`.
    pub(crate) name: &'static str,
    /// What another file is; German for those who keep them: `kein Entwurf`.
    pub(crate) none: &'static str,
    /// Bytes of an encoded message.
    pub(crate) message_bytes_max: usize,
}

/// Why a file cannot be used; German for those who keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("die Datei ist {0}")]
    Form(&'static str),
    #[error("die Datei hat das Format einer neueren Version des Knotens")]
    Newer,
    #[error("der Inhalt passt nicht zu seiner Prüfsumme")]
    Digest,
    #[error("der Inhalt ist nicht lesbar")]
    Content,
}

/// A directory of records. Every operation works on the disk and blocks.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    kind: Kind,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct OpenError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

// === impl Kind ===

impl Kind {
    /// A message as it is kept.
    pub(crate) fn encode(&self, message: &impl Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        let mut file = format!("{BEGIN}{} ", self.name).into_bytes();
        file.extend_from_slice(VERSION);
        file.extend_from_slice(hex::encode(Sha256::digest(&body)).as_bytes());
        file.push(b'\n');
        file.extend_from_slice(&body);
        file
    }

    /// Reads what [`Self::encode`] made.
    pub(crate) fn decode<M: Message + Default>(&self, file: &[u8]) -> Result<M, Damage> {
        let form = Damage::Form(self.none);
        let begin = file.strip_prefix(BEGIN.as_bytes());
        let begin = begin.and_then(|it| it.strip_prefix(self.name.as_bytes()));
        let rest = begin.and_then(|it| it.strip_prefix(b" ")).ok_or(form)?;
        let Some(rest) = rest.strip_prefix(VERSION) else {
            let line = rest.iter().take(VERSION_BYTES_MAX).position(|it| *it == b'\n');
            let number = line.and_then(|end| rest.get(..end));
            let is_number =
                number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit));
            return Err(if is_number { Damage::Newer } else { form });
        };
        let (digest, body) = rest.split_at_checked(DIGEST_BYTES).ok_or(form)?;
        let body = body.strip_prefix(b"\n").ok_or(form)?;
        if digest != hex::encode(Sha256::digest(body)).as_bytes() {
            return Err(Damage::Digest);
        }
        M::decode(body).map_err(|_| Damage::Content)
    }

    /// Refuses a name under which nothing is kept.
    pub(crate) fn unknown(&self, id: &str) -> Reject {
        Reject::NotFound { what: self.name, name: id.chars().take(NAME_CHARS_MAX).collect() }
    }

    /// The name of a record; one that is no UUID names none.
    pub(crate) fn parse(&self, id: &str) -> Result<Uuid, Reject> {
        Uuid::try_parse(id).map_err(|_| self.unknown(id))
    }

    /// Bytes of a file: the message, and what is said of it.
    fn file_bytes_max(&self) -> u64 {
        let head = BEGIN.len() + self.name.len() + 1 + VERSION.len() + DIGEST_BYTES + 1;
        (self.message_bytes_max + head) as u64
    }

    /// Refuses what the disk did not do, and tells the operator why.
    pub(crate) fn failed(&self, error: &io::Error, operation: &'static str) -> Reject {
        tracing::error!(
            cause = chain(error),
            operation,
            kind = self.name,
            "a record cannot be kept"
        );
        Reject::Storage { operation }
    }
}

// === impl Shelf ===

impl Shelf {
    /// Opens a directory, which is made if it is missing, and names the records in it. What a
    /// write that did not end has left is removed.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or read. A damaged file is no error.
    pub(crate) fn open(dir: &Path, kind: Kind) -> Result<(Self, Vec<Uuid>), OpenError> {
        let failed = |source| OpenError { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let shelf = Self { dir: dir.to_owned(), kind };
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|it| it == FRESH) {
                fs::remove_file(&path).map_err(failed)?;
            } else {
                found.extend(shelf.id_of(&path));
            }
        }
        Ok((shelf, found))
    }

    /// Where a record is kept.
    pub(crate) fn path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.{}", self.kind.name))
    }

    /// The record in a file, or what is wrong with it; German for those who keep it.
    pub(crate) fn read<M: Message + Default>(&self, id: Uuid) -> Result<M, String> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(id))
            .and_then(|it| it.take(self.kind.file_bytes_max() + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("die Datei ist nicht lesbar ({error})"))?;
        self.kind.decode(&bytes).map_err(|damage| damage.to_string())
    }

    /// Keeps a record; it outlives a crash once this returns.
    ///
    /// # Errors
    ///
    /// Those of the disk; the file is as it was then.
    pub(crate) fn write(&self, id: Uuid, message: &impl Message) -> io::Result<()> {
        let path = self.path(id);
        let fresh = path.with_extension(FRESH);
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&self.kind.encode(message))?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        self.sync()
    }

    /// Removes a record. One that is gone is no error.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub(crate) fn remove(&self, id: Uuid) -> io::Result<()> {
        fs::remove_file(self.path(id)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }

    fn id_of(&self, path: &Path) -> Option<Uuid> {
        let name = path.file_name()?.to_str()?;
        let id = name.strip_suffix(self.kind.name)?.strip_suffix('.')?;
        // one name for one record
        Uuid::try_parse(id).ok().filter(|it| it.to_string() == id)
    }
}

const BEGIN: &str = "registry ";
const VERSION: &[u8] = b"1\n";
const VERSION_BYTES_MAX: usize = 10;
const DIGEST_BYTES: usize = 64;
/// Ending of a file that is being written.
const FRESH: &str = "new";
/// Characters of a name that is refused.
const NAME_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use registry_proto::wire::registry::Draft;

    use super::*;

    const KIND: Kind = Kind { name: "draft", none: "kein Entwurf", message_bytes_max: 1_000 };

    fn draft() -> Draft {
        Draft { draft_id: "x".to_owned(), revision: 7, ..Draft::default() }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let file = KIND.encode(&draft());
        assert_eq!(KIND.decode::<Draft>(&file), Ok(draft()));
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            assert!(KIND.decode::<Draft>(&other).is_err(), "byte {at}");
            assert!(KIND.decode::<Draft>(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let form = Damage::Form(KIND.none);
        for (file, expect) in [
            (&b""[..], form),
            (b"registry draft", form),
            (b"registry approval 1\n", form),
            (b"registry drafts 1\n", form),
            (b"registry draft 2\nanything", Damage::Newer),
            (b"registry draft 10\n", Damage::Newer),
            (b"registry draft x\n", form),
            (b"registry draft \n", form),
            (b"registry draft 1\n00", form),
        ] {
            let got = KIND.decode::<Draft>(file);
            assert_eq!(got, Err(expect), "{:?}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn a_file_has_one_name_and_no_more_bytes_than_its_kind() {
        let dir = tempfile::tempdir().expect("a directory");
        let (shelf, found) = Shelf::open(&dir.path().join("drafts"), KIND).expect("opens");
        assert!(found.is_empty());
        let id = Uuid::from_u128(7);
        shelf.write(id, &draft()).expect("kept");
        let large = Draft { draft_id: "x".repeat(2_000), ..Draft::default() };
        shelf.write(Uuid::from_u128(8), &large).expect("kept");
        fs::write(shelf.path(id).with_extension(FRESH), b"half").expect("written");
        for other in [id.simple().to_string(), id.to_string().to_uppercase() + "A", "x".to_owned()]
        {
            fs::write(shelf.dir.join(format!("{other}.draft")), b"x").expect("written");
        }
        let (shelf, mut found) = Shelf::open(&shelf.dir, KIND).expect("opens");
        found.sort_unstable();
        assert_eq!(found, [id, Uuid::from_u128(8)]);
        assert!(!shelf.path(id).with_extension(FRESH).exists());
        assert_eq!(shelf.read(id), Ok(draft()));
        let damage = Damage::Digest.to_string();
        assert_eq!(shelf.read::<Draft>(Uuid::from_u128(8)), Err(damage));
        shelf.remove(id).expect("removed");
        shelf.remove(id).expect("gone already");
        assert!(shelf.read::<Draft>(id).is_err_and(|it| it.contains("nicht lesbar")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = KIND.decode::<Draft>(&bytes);
            let _ = KIND.decode::<Draft>(&[b"registry draft 1\n", &bytes[..]].concat());
        }
    }
}
