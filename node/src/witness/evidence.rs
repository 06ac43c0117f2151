//! Evidence on disk: `<data>/evidence/<land>-<epoch>.evidence`, an encoded
//! `verbund.registry.v1.Evidence` each, byte for byte as it travels and is exported.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use registry_proto::{
    charter::Charter,
    evidence::{EVIDENCE_BYTES_MAX, Equivocation, EvidenceError},
    log::Hash,
    terms::LogId,
};

/// The directory with evidence. One piece for a log is enough for ever: the first that is kept
/// stays, as long as it proves anything.
#[derive(Clone, Debug)]
pub struct Cabinet {
    dir: PathBuf,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Kept {
    /// Evidence that verifies, in the order of the names of its files.
    pub proofs: Vec<Equivocation>,
    /// Files that prove nothing; they stay where they are and count for nothing.
    pub refused: Vec<(PathBuf, EvidenceError)>,
}

/// A file or directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct CabinetError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

// === impl Cabinet ===

impl Cabinet {
    /// The one of a data directory; nothing is made or read yet.
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("evidence") }
    }

    /// Reads and verifies all of it. Without the directory there is none.
    ///
    /// # Errors
    ///
    /// [`CabinetError`] when something is there and cannot be read.
    pub fn load(&self, charter: &Charter) -> Result<Kept, CabinetError> {
        let listed = match fs::read_dir(&self.dir) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(source) => return Err(CabinetError { path: self.dir.clone(), source }),
        };
        let paths: Result<Vec<PathBuf>, _> = listed.map(|it| it.map(|it| it.path())).collect();
        let mut paths = paths.map_err(|source| CabinetError { path: self.dir.clone(), source })?;
        paths.retain(|it| it.extension().is_some_and(|it| it == EXTENSION));
        paths.sort_unstable();
        let mut kept = Kept::default();
        for path in paths {
            let raw = read(&path)?;
            match Equivocation::verify_under(&raw, charter) {
                Ok(proof) => kept.proofs.push(proof),
                Err(error) => kept.refused.push((path, error)),
            }
        }
        Ok(kept)
    }

    /// Keeps evidence durably and tells where. What is there about the log already stays if it
    /// verifies; else it is moved to a name with its digest and the ending `.refused`, unless there are
    /// [`REFUSED_MAX`] of the log, or it is longer than evidence can be.
    ///
    /// # Errors
    ///
    /// [`CabinetError`]; nothing is there then but perhaps a file with the ending `.new`.
    pub fn keep(
        &self,
        log: LogId,
        raw: &Bytes,
        charter: &Charter,
    ) -> Result<PathBuf, CabinetError> {
        let path = self.dir.join(format!("{}-{}.{EXTENSION}", log.land.code(), log.epoch));
        let before = if path.exists() { Some(read(&path)?) } else { None };
        if let Some(raw) = &before {
            let proof = Equivocation::verify_under(raw, charter);
            if proof.is_ok_and(|it| it.log() == log) {
                return Ok(path);
            }
        }
        let fresh = path.with_extension("new");
        let write = || {
            if let Some(aside) = before.as_ref().and_then(|it| self.aside(&path, it)) {
                fs::rename(&path, aside)?;
            }
            fs::create_dir_all(&self.dir)?;
            let mut file = fs::File::create(&fresh)?;
            file.write_all(raw)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| CabinetError { path: path.clone(), source })?;
        Ok(path)
    }

    /// Where a file goes that proves nothing any more; none if it gives way. The same comes to the same
    /// place.
    fn aside(&self, path: &Path, raw: &Bytes) -> Option<PathBuf> {
        if raw.len() > EVIDENCE_BYTES_MAX {
            return None;
        }
        let digest = hex::encode(&Hash::of(raw).as_bytes()[..DIGEST_BYTES]);
        let aside = path.with_extension(format!("{digest}.{REFUSED}"));
        let log = format!("{}.", path.file_stem()?.to_str()?);
        let listed = fs::read_dir(&self.dir).ok()?.filter_map(Result::ok);
        let names = listed.filter_map(|it| it.file_name().into_string().ok());
        let there = names.filter(|it| it.starts_with(&log) && it.ends_with(REFUSED)).count();
        (aside.exists() || there < REFUSED_MAX).then_some(aside)
    }
}

/// Reads a file of evidence, at most one byte more than evidence can have.
///
/// # Errors
///
/// [`CabinetError`] when it cannot be read.
pub fn read(path: &Path) -> Result<Bytes, CabinetError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|it| it.take(EVIDENCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| CabinetError { path: path.to_owned(), source })?;
    Ok(bytes.into())
}

/// Files of one log that proved something once and do so no more; beyond, what was there gives way.
pub const REFUSED_MAX: usize = 8;

const EXTENSION: &str = "evidence";
const REFUSED: &str = "refused";
/// Of the digest, in the name of a file.
const DIGEST_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use registry_proto::{
        log::{Checkpoint, LogSigner, Origin},
        terms::Land,
    };

    use super::*;
    use crate::testing::charter_of;

    fn forked(charter: &Charter, signer: &LogSigner, land: Land) -> Equivocation {
        let origin = Origin { verbund: charter.id(), log: LogId { land, epoch: 1 } };
        let sign = |root| Checkpoint { origin, size: 3, root }.sign(signer, 1).expect("signed");
        let (one, other) = (sign(Hash::of(b"one")), sign(Hash::of(b"other")));
        Equivocation::of_one_size(&one, &other).expect("two roots")
    }

    #[test]
    fn what_is_kept_is_found_again_and_the_first_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charter, signers) = charter_of(&[Land::RP, Land::SL]);
        let cabinet = Cabinet::of(dir.path());
        assert!(cabinet.load(&charter).expect("nothing yet").proofs.is_empty());
        let proof = forked(&charter, &signers[0], Land::RP);
        let path = cabinet.keep(proof.log(), proof.raw(), &charter).expect("kept");
        assert!(path.ends_with("evidence/RP-1.evidence"), "{path:?}");
        cabinet.keep(proof.log(), &Bytes::from_static(b"later"), &charter).expect("stays");
        let kept = cabinet.load(&charter).expect("read");
        assert_eq!(kept.proofs, [proof]);
        assert!(kept.refused.is_empty());
    }

    #[test]
    fn a_file_that_proves_nothing_is_named_and_counts_for_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charter, signers) = charter_of(&[Land::RP, Land::SL]);
        let cabinet = Cabinet::of(dir.path());
        // signed with the keys of another Land
        let proof = forked(&charter, &signers[1], Land::RP);
        let path = cabinet.keep(proof.log(), proof.raw(), &charter).expect("kept");
        let kept = cabinet.load(&charter).expect("read");
        assert!(kept.proofs.is_empty());
        assert!(
            matches!(&kept.refused[..], [(it, EvidenceError::Checkpoint { .. })] if *it == path)
        );
        // evidence takes its place, and what was there stays beside it
        let right = forked(&charter, &signers[0], Land::RP);
        assert_eq!(cabinet.keep(right.log(), right.raw(), &charter).expect("kept"), path);
        let kept = cabinet.load(&charter).expect("read");
        assert!(kept.refused.is_empty());
        assert_eq!(kept.proofs, std::slice::from_ref(&right));
        let aside = |raw: &Bytes| {
            let digest = hex::encode(&Hash::of(raw).as_bytes()[..8]);
            path.with_extension(format!("{digest}.refused"))
        };
        assert_eq!(read(&aside(proof.raw())).expect("kept"), *proof.raw());
        // each that follows stays too, up to the limit and its length
        let mut refused: Vec<Bytes> =
            (1..20).map(|n: u8| Bytes::from(vec![n; usize::from(n)])).collect();
        refused.insert(0, Bytes::from(vec![7; EVIDENCE_BYTES_MAX + 1]));
        for raw in &refused {
            fs::write(&path, raw).expect("written");
            cabinet.keep(right.log(), right.raw(), &charter).expect("kept");
            assert_eq!(cabinet.load(&charter).expect("read").proofs, std::slice::from_ref(&right));
        }
        let there: Vec<bool> = refused.iter().map(|it| aside(it).exists()).collect();
        let expected: Vec<bool> =
            (0..refused.len()).map(|n| (1..REFUSED_MAX).contains(&n)).collect();
        assert_eq!(there, expected);
        assert_eq!(read(&aside(proof.raw())).expect("stays"), *proof.raw());
        // without a place to write nothing is said to be kept
        fs::remove_file(&path).expect("removed");
        fs::create_dir_all(path.with_extension("new")).expect("in the way");
        cabinet.keep(right.log(), right.raw(), &charter).expect_err("not kept");
    }
}
