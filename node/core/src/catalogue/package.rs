//! Signed data packages: code lists, LeiKa and Gemeindeverzeichnis that replace the shipped ones.
//!
//! A package is a folder with a manifest, which is a C2SP signed note, and the files it lists:
//!
//! ```text
//! verbund-datenpaket/1
//! stand 2026-11-23
//! file fim-codelists.json 6619 <SHA-256, 64 hexadecimal digits>
//! ```
//!
//! What a package does not have stays as it is shipped. Nothing of it is used before the
//! signature, every hash and every file are good. This module judges bytes; the node reads them.

use std::collections::BTreeMap;

use registry_proto::{
    log::{Hash, VerifierKey, VerifyNoteError, verify_note},
    terms::Date,
};
use sha2::{Digest, Sha256};

use super::{
    CatalogueError, GebieteError, Gemeindeverzeichnis, LEISTUNGEN, OZG, ShippedCatalogue,
    gebiete::{GEBIETE, NACHFOLGER},
};
use crate::validate::{CodeLists, FIM, ListsError};

/// Name of the manifest in its folder.
pub const MANIFEST: &str = "manifest.note";
/// Bytes of a file of a package.
pub const FILE_BYTES_MAX: u64 = 32 << 20;

/// A file that a package may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageFile {
    /// Values of the code lists, `fim-codelists.json`.
    CodeLists,
    /// Keys of the LeiKa, `leika-leistungen.csv`.
    Leistungen,
    /// Areas, `gebiete.csv`.
    Gebiete,
    /// What took the place of areas, `gebiete-nachfolger.csv`.
    Nachfolger,
}

/// What a package says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    stand: Date,
    files: BTreeMap<PackageFile, Listed>,
}

/// A file as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

/// Why a manifest is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// No note, or not signed by a known key.
    #[error("cannot verify the signature")]
    Signature(#[source] VerifyNoteError),
    /// A line is not of its form.
    #[error("line {at} is not as expected: {expected}")]
    Line {
        /// Line, from 1.
        at: usize,
        /// Its form.
        expected: &'static str,
    },
    /// A file stands there twice.
    #[error("{0} is listed twice")]
    Twice(&'static str),
    /// No file.
    #[error("no file is listed")]
    Empty,
    /// A file is too long.
    #[error("{name} has {bytes} bytes, allowed are {FILE_BYTES_MAX}")]
    TooLong {
        /// The file.
        name: &'static str,
        /// Its bytes.
        bytes: u64,
    },
}

/// Why the files of a package are not used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A listed file is not there.
    #[error("{0} is listed, but not there")]
    Absent(&'static str),
    /// A file is not the listed one.
    #[error("{name} is not the file that was signed: SHA-256 {found}, listed {listed}")]
    Hash {
        /// The file.
        name: &'static str,
        /// Its hash.
        found: Hash,
        /// Hash in the manifest.
        listed: Hash,
    },
    /// A file is no text.
    #[error("{0} is no UTF-8")]
    NotUtf8(&'static str),
    /// The code lists cannot be read.
    #[error("cannot use the code lists")]
    CodeLists(#[from] ListsError),
    /// The LeiKa cannot be read.
    #[error("cannot use the LeiKa")]
    Catalogue(#[from] CatalogueError),
    /// The Gemeindeverzeichnis cannot be read.
    #[error("cannot use the Gemeindeverzeichnis")]
    Gebiete(#[from] GebieteError),
}

/// Contents of the files of a package.
pub type Contents = BTreeMap<PackageFile, Vec<u8>>;

// === impl PackageFile ===

impl PackageFile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CodeLists, Self::Leistungen, Self::Gebiete, Self::Nachfolger];

    /// Name in the folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::CodeLists => "fim-codelists.json",
            Self::Leistungen => "leika-leistungen.csv",
            Self::Gebiete => "gebiete.csv",
            Self::Nachfolger => "gebiete-nachfolger.csv",
        }
    }
}

// === impl Manifest ===

impl Manifest {
    /// A manifest of these files.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Empty`] and [`ManifestError::TooLong`].
    pub fn of(stand: Date, contents: &Contents) -> Result<Self, ManifestError> {
        let mut files = BTreeMap::new();
        for (file, content) in contents {
            let bytes = content.len() as u64;
            if bytes > FILE_BYTES_MAX {
                return Err(ManifestError::TooLong { name: file.name(), bytes });
            }
            files.insert(*file, Listed { bytes, sha256: digest(content) });
        }
        if files.is_empty() { Err(ManifestError::Empty) } else { Ok(Self { stand, files }) }
    }

    /// Reads a signed manifest; gives the key that signed it too.
    ///
    /// # Errors
    ///
    /// See [`ManifestError`].
    pub fn verify<'k>(
        note: &[u8],
        keys: &'k [VerifierKey],
    ) -> Result<(Self, &'k VerifierKey), ManifestError> {
        let (text, key) = verify_note(note, keys).map_err(ManifestError::Signature)?;
        Ok((Self::parse(text)?, key))
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\nstand {}\n", self.stand);
        for (file, Listed { bytes, sha256 }) in &self.files {
            text.push_str(&format!("file {} {bytes} {sha256}\n", file.name()));
        }
        text
    }

    /// As of when the package is.
    pub fn stand(&self) -> Date {
        self.stand
    }

    /// The files that a package has.
    pub fn files(&self) -> impl Iterator<Item = (PackageFile, Listed)> {
        self.files.iter().map(|(file, listed)| (*file, *listed))
    }

    /// Compares the files with the manifest and makes lists of them.
    ///
    /// # Errors
    ///
    /// See [`PackageError`].
    pub fn lists(&self, contents: &Contents) -> Result<CodeLists, PackageError> {
        for (file, listed) in &self.files {
            let name = file.name();
            let content = contents.get(file).ok_or(PackageError::Absent(name))?;
            let found = digest(content);
            if found != listed.sha256 || content.len() as u64 != listed.bytes {
                return Err(PackageError::Hash { name, found, listed: listed.sha256 });
            }
        }
        let text = |file: PackageFile, shipped: &'static str| match contents.get(&file) {
            Some(content) if self.files.contains_key(&file) => {
                std::str::from_utf8(content).map_err(|_| PackageError::NotUtf8(file.name()))
            }
            _ => Ok(shipped),
        };
        let catalogue = ShippedCatalogue::parse(text(PackageFile::Leistungen, LEISTUNGEN)?, OZG)?;
        // successors of the shipped areas say nothing about other areas
        let shipped_successors =
            if self.files.contains_key(&PackageFile::Gebiete) { NO_SUCCESSORS } else { NACHFOLGER };
        let gebiete = Gemeindeverzeichnis::parse(
            text(PackageFile::Gebiete, GEBIETE)?,
            text(PackageFile::Nachfolger, shipped_successors)?,
        )?;
        let fim = text(PackageFile::CodeLists, FIM)?;
        let mut lists = CodeLists::parse(fim, &catalogue, gebiete.into())?;
        if self.files.contains_key(&PackageFile::Leistungen) {
            lists.set_leika_stand(format!("LeiKa, Datenpaket vom {}", self.stand));
        }
        Ok(lists)
    }

    fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let line = |at, expected| ManifestError::Line { at, expected };
        if lines.next().map(|(_, text)| text) != Some(FORMAT) {
            return Err(line(1, FORMAT));
        }
        let stand = lines.next().and_then(|(_, text)| text.strip_prefix("stand ")?.parse().ok());
        let stand = stand.ok_or_else(|| line(2, "stand <yyyy-mm-dd>"))?;
        let mut files = BTreeMap::new();
        for (at, text) in lines {
            let (file, listed) = listed(text).ok_or_else(|| line(at, FILE_LINE))?;
            if listed.bytes > FILE_BYTES_MAX {
                return Err(ManifestError::TooLong { name: file.name(), bytes: listed.bytes });
            }
            if files.insert(file, listed).is_some() {
                return Err(ManifestError::Twice(file.name()));
            }
        }
        if files.is_empty() { Err(ManifestError::Empty) } else { Ok(Self { stand, files }) }
    }
}

fn listed(line: &str) -> Option<(PackageFile, Listed)> {
    let mut parts = line.strip_prefix("file ")?.split(' ');
    let (name, bytes, sha256) = (parts.next()?, parts.next()?, parts.next()?);
    let file = PackageFile::ALL.into_iter().find(|file| file.name() == name)?;
    let mut hash = [0; 32];
    hex::decode_to_slice(sha256, &mut hash).ok()?;
    let listed = Listed { bytes: bytes.parse().ok()?, sha256: Hash::from_bytes(hash) };
    parts.next().is_none().then_some((file, listed))
}

fn digest(content: &[u8]) -> Hash {
    Hash::from_bytes(Sha256::digest(content).into())
}

const FORMAT: &str = "verbund-datenpaket/1";
const FILE_LINE: &str = "file <fim-codelists.json | leika-leistungen.csv | gebiete.csv | \
                         gebiete-nachfolger.csv> <bytes> <SHA-256>";
const NO_SUCCESSORS: &str = "ars,nachfolger,name,ab\n";

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use registry_proto::log::sign_note;

    use super::*;
    use crate::validate::List;

    fn keys() -> (SigningKey, VerifierKey) {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let key = VerifierKey::new("daten.example", signing.verifying_key()).unwrap();
        (signing, key)
    }

    /// A package with one more group, one more key and one more Kreis.
    fn contents() -> Contents {
        let mut lists: serde_json::Value = serde_json::from_str(FIM).unwrap();
        lists["LeikaLeistungsgruppierung"].as_array_mut().unwrap().push("998".into());
        let leistungen = format!("{LEISTUNGEN}99998001000000,Neue Leistung,4,,,\n");
        let gebiete = "ars,ags,ebene,name,kennzeichen,stand\n10,10,Land,Saarland,,20260101\n";
        BTreeMap::from([
            (PackageFile::CodeLists, lists.to_string().into_bytes()),
            (PackageFile::Leistungen, leistungen.into_bytes()),
            (PackageFile::Gebiete, gebiete.as_bytes().to_vec()),
        ])
    }

    fn day() -> Date {
        "2026-11-23".parse().unwrap()
    }

    #[test]
    fn a_signed_package_replaces_what_it_has() {
        let (signing, key) = keys();
        let manifest = Manifest::of(day(), &contents()).unwrap();
        let note = sign_note(&manifest.text(), &key, &signing).unwrap();
        let keys = [key.clone()];
        let (read, signer) = Manifest::verify(note.as_bytes(), &keys).unwrap();
        assert_eq!((&read, signer), (&manifest, &key));
        let lists = read.lists(&contents()).unwrap();
        assert!(lists.contains(List::Leistungsgruppierung, "998"));
        assert!(lists.has_schluessel(&"99998001000000".parse().unwrap()));
        assert_eq!(lists.gebiete().stand(), "2026-01-01".parse().unwrap());
        assert_eq!(lists.leika_stand(), "LeiKa, Datenpaket vom 2026-11-23");
        let other = CodeLists::shipped();
        assert!(!other.contains(List::Leistungsgruppierung, "998"));
        let only = BTreeMap::from([(PackageFile::CodeLists, FIM.as_bytes().to_vec())]);
        let lists = Manifest::of(day(), &only).unwrap().lists(&only).unwrap();
        assert_eq!(lists.gebiete().len(), other.gebiete().len());
        assert_eq!(lists.leika_stand(), other.leika_stand());
    }

    #[test]
    fn another_file_than_the_signed_one_is_refused() {
        let manifest = Manifest::of(day(), &contents()).unwrap();
        for file in [PackageFile::CodeLists, PackageFile::Leistungen, PackageFile::Gebiete] {
            let mut changed = contents();
            changed.get_mut(&file).unwrap().push(b'\n');
            assert!(matches!(manifest.lists(&changed), Err(PackageError::Hash { .. })));
            changed.remove(&file);
            assert!(matches!(manifest.lists(&changed), Err(PackageError::Absent(_))));
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_refused_though_signed() {
        for (file, content) in [
            (PackageFile::CodeLists, &b"{}"[..]),
            (PackageFile::CodeLists, b"\xff"),
            (PackageFile::Leistungen, b"leistungsschluessel\n1\n"),
            (PackageFile::Gebiete, b"ars\n"),
            (PackageFile::Nachfolger, b"ars,nachfolger,name,ab\n1,2,3,4\n"),
        ] {
            let contents = BTreeMap::from([(file, content.to_vec())]);
            let manifest = Manifest::of(day(), &contents).unwrap();
            assert!(manifest.lists(&contents).is_err(), "{file:?}");
        }
    }

    #[test]
    fn other_manifests_are_refused() {
        let good = Manifest::of(day(), &contents()).unwrap().text();
        assert!(Manifest::parse(&good).is_ok());
        let line = good.lines().nth(2).unwrap();
        for bad in [
            String::new(),
            good.replace("/1\n", "/2\n"),
            good.replace("stand 2026", "stand 26"),
            good.lines().take(2).map(|line| format!("{line}\n")).collect(),
            format!("{good}{line}\n"),
            format!("{good}file ../x 1 {}\n", "0".repeat(64)),
            format!("{good}file gebiete-nachfolger.csv 99999999999 {}\n", "0".repeat(64)),
            format!("{good}file gebiete-nachfolger.csv 1 00\n"),
            format!("{good}\n"),
        ] {
            assert!(Manifest::parse(&bad).is_err(), "{bad}");
        }
    }
}
