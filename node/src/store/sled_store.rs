//! The only file that names sled.
//!
//! What sled 0.34 was seen to do decides the shape: `flush` does not survive a power loss (the
//! database then opens empty, without an error), damage panics at open or later, large values go
//! to files that are never synced. So everything here can be rebuilt from the journal, each call
//! runs inside `catch_unwind`, values are small, one thread writes, and a directory in doubt is
//! moved aside.

use std::{
    error::Error,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use registry_core::{fold::Fact, view::FactsError};

use super::{
    OpenError, OpenOutcome,
    backend::{Backend, BackendError},
    overlay::Generation,
    stamp::Stamp,
};

/// An open database.
pub(super) struct SledStore {
    db: sled::Db,
}

/// Who opens the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opener<'a> {
    /// Rules of the fold.
    pub(super) fold_version: u32,
    /// Boot of this machine.
    pub(super) boot_id: &'a str,
}

/// Why a directory is not used.
enum Fault {
    /// Its content is in doubt; a rebuild helps.
    Doubt(String),
    /// Another process, the disk or the rights are in the way; a rebuild would not help.
    Io(io::Error),
}

/// sled panicked; the message went to the log by the panic hook.
#[derive(Debug, thiserror::Error)]
#[error("the database is damaged: {0}")]
struct Panicked(String);

/// Bytes of a segment. Fixed: sled does not open a database of another size, and a leaf above a
/// quarter of it would leave the synced file.
const SEGMENT_BYTES: usize = 4 << 20;
/// Bytes of sled's cache; it takes up to 200 MB more.
const CACHE_BYTES: u64 = 64 << 20;
/// How long the lock of a database is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Facts begin with 1; see `registry_core::fold::keys`.
const STAMP_KEY: &[u8] = b"\0stamp";

// === impl SledStore ===

impl SledStore {
    /// Opens the database at `dir`; moves it aside and begins an empty one if its content is in
    /// doubt.
    pub(super) fn open(
        dir: &Path,
        opener: Opener<'_>,
    ) -> Result<(Self, Stamp, OpenOutcome), OpenError> {
        let empty = Stamp {
            fold_version: opener.fold_version,
            boot_id: opener.boot_id.to_owned(),
            ..Stamp::default()
        };
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        if is_new(dir).map_err(io)? {
            return Ok((Self::begin_empty(dir, &empty)?, empty, OpenOutcome::New));
        }
        let reason = match Self::open_checked(dir, opener) {
            Ok((store, stamp)) => return Ok((store, stamp, OpenOutcome::Ready)),
            Err(Fault::Io(source)) => return Err(io(source)),
            Err(Fault::Doubt(reason)) => reason,
        };
        let aside = move_aside(dir).map_err(io)?;
        tracing::warn!(%reason, aside = %aside.display(), "index is in doubt, moved aside");
        Ok((Self::begin_empty(dir, &empty)?, empty, OpenOutcome::Rebuild(reason)))
    }

    fn begin_empty(dir: &Path, stamp: &Stamp) -> Result<Self, OpenError> {
        let new = |source| OpenError::Io { path: dir.to_owned(), source };
        let store = Self::begin(dir).map_err(|fault| new(fault.into_io()))?;
        store
            .apply(&Generation::new(), stamp)
            .map_err(|error| new(io::Error::other(error.source)))?;
        Ok(store)
    }

    fn begin(dir: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(dir).map_err(Fault::Io)?;
        let config = sled::Config::new()
            .path(dir)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            // the store's writer thread flushes
            .flush_every_ms(None);
        let begun = Instant::now();
        loop {
            match guarded(|| config.open()).map_err(Fault::from) {
                Ok(db) => return Ok(Self { db }),
                // sled lets go of its lock some time after a database was closed
                Err(Fault::Io(error)) if is_lock(&error) && begun.elapsed() < LOCK_WAIT => {
                    thread::park_timeout(LOCK_RETRY);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    fn open_checked(dir: &Path, opener: Opener<'_>) -> Result<(Self, Stamp), Fault> {
        let store = Self::begin(dir)?;
        match store.check(opener) {
            Ok(stamp) => Ok((store, stamp)),
            Err(fault) => {
                // a damaged database can also panic when it is closed
                let _ = guarded(move || {
                    drop(store);
                    Ok(())
                });
                Err(fault)
            }
        }
    }

    fn check(&self, opener: Opener<'_>) -> Result<Stamp, Fault> {
        let raw = guarded(|| self.db.get(STAMP_KEY)).map_err(Fault::from)?;
        let Some(raw) = raw else { return Err(Fault::Doubt("it has no stamp".to_owned())) };
        let stamp = Stamp::parse(&raw).map_err(|error| Fault::Doubt(error.to_string()))?;
        if stamp.fold_version != opener.fold_version {
            return Err(Fault::Doubt(format!(
                "it was folded by version {}, this software has version {}",
                stamp.fold_version, opener.fold_version,
            )));
        }
        if !stamp.clean && stamp.boot_id != opener.boot_id {
            return Err(Fault::Doubt("the machine went down while it was open".to_owned()));
        }
        let found = guarded(|| count(&self.db)).map_err(Fault::from)?;
        if found != stamp.facts {
            let expected = stamp.facts;
            return Err(Fault::Doubt(format!("it has {found} facts instead of {expected}")));
        }
        Ok(stamp)
    }
}

impl Backend for SledStore {
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let fact = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
            pair.map(|(key, value)| Fact { key: key.to_vec(), value: value.to_vec() })
        };
        let read = || {
            let range = self.db.range(from..to);
            if reverse {
                range.rev().take(limit).map(fact).collect()
            } else {
                range.take(limit).map(fact).collect::<sled::Result<Vec<_>>>()
            }
        };
        guarded(read).map_err(|source| FactsError::new("read facts", source))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
        let value = guarded(|| self.db.get(key))
            .map_err(|source| FactsError::new("read a fact", source))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn apply(&self, facts: &Generation, stamp: &Stamp) -> Result<(), BackendError> {
        let mut batch = sled::Batch::default();
        for (key, value) in facts {
            batch.insert(key.as_slice(), value.as_slice());
        }
        batch.insert(STAMP_KEY, stamp.encode());
        guarded(|| self.db.apply_batch(batch))
            .map_err(|source| BackendError { operation: "write facts", source })
    }

    fn clear(&self) -> Result<(), BackendError> {
        guarded(|| {
            self.db.remove(STAMP_KEY)?;
            self.db.clear()
        })
        .map_err(|source| BackendError { operation: "clear the index", source })
    }

    fn flush(&self) -> Result<(), BackendError> {
        guarded(|| self.db.flush())
            .map(|_bytes| ())
            .map_err(|source| BackendError { operation: "flush the index", source })
    }
}

// === impl Fault ===

impl Fault {
    fn into_io(self) -> io::Error {
        match self {
            Self::Io(source) => source,
            Self::Doubt(reason) => io::Error::other(reason),
        }
    }
}

impl From<Box<dyn Error + Send + Sync>> for Fault {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        match error.downcast::<sled::Error>() {
            Ok(error) => match *error {
                sled::Error::Io(error) if !is_damage(&error) => Self::Io(error),
                other => Self::Doubt(format!("it does not open: {other}")),
            },
            Err(panicked) => Self::Doubt(panicked.to_string()),
        }
    }
}

/// Errors of the content that sled reports as errors of the file system.
fn is_damage(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            true
        }
        // sled uses this kind for torn segments, and for the lock of another process
        io::ErrorKind::Other => !is_lock(error),
        _ => false,
    }
}

fn is_lock(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// Runs a call into sled; damage panics in it.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Box<dyn Error + Send + Sync>> {
    // after a panic the database is only dropped or asked again, which cannot make facts wrong:
    // every value is checked by its reader, and the stamp when it is opened next
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("panic");
            Err(Panicked(text.chars().take(200).collect()).into())
        }
    }
}

/// Counts the facts; also reads every page once.
fn count(db: &sled::Db) -> sled::Result<u64> {
    let mut found = 0;
    for pair in db.range([1_u8]..) {
        pair?;
        found += 1;
    }
    Ok(found)
}

fn is_new(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Renames the directory to `<name>.broken-<time>`; an earlier one is removed, so that broken
/// indexes cannot fill the disk.
fn move_aside(dir: &Path) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = dir.parent().unwrap_or_else(|| Path::new(""));
    let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let prefix = format!("{name}.broken-");
    for entry in fs::read_dir(listed)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = parent.join(format!("{prefix}{now}"));
    fs::rename(dir, &aside)?;
    Ok(aside)
}
