//! The only file that names sled.
//!
//! What sled 0.34 was seen to do decides the shape: `flush` does not survive a power loss (the
//! database then opens empty, without an error), damage panics at open or later, large values go
//! to files that are never synced. So everything here can be rebuilt from the journal, each call
//! runs inside `catch_unwind`, values are small, one thread writes, and a directory in doubt is
//! moved aside.
//!
//! Facts that stand next to each other are one value (`leaf`).
//!
//! sled keeps old pages: what was removed can be read in its files for a long time. So the database
//! stands in a directory of its own, `<dir>/<number>`, named by `<dir>/current`; what must be gone
//! for good is left out of the next one, and the old one is deleted.

use std::{
    collections::BTreeSet,
    error::Error,
    fs, io,
    ops::{Bound, ControlFlow},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use registry_core::{
    fold::{Fact, Position},
    view::FactsError,
};

use super::{
    OpenError, OpenOutcome,
    backend::{Backend, BackendError, is_of},
    leaf::{self, Damaged},
    overlay::Generation,
    stamp::{self, Stamp},
};

/// An open database.
pub(super) struct SledStore {
    dir: PathBuf,
    current: RwLock<Arc<Place>>,
}

/// A database in a directory of its own.
struct Place {
    number: u64,
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
    /// Facts of erased entries are still there; they are deleted, not moved aside.
    Erasing,
    /// Another process, the disk or the rights are in the way; a rebuild would not help.
    Io(io::Error),
}

/// A call into sled, or into what it holds, failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
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
/// Number of the first database.
const FIRST: u64 = 1;
/// File that names the database in use.
const CURRENT: &str = "current";
/// Facts that are copied at once.
const COPY_FACTS: usize = 5_000;
/// What no key of a fact is before.
const FACTS: &[u8] = &[1];

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
            Err(Fault::Erasing) => {
                let reason = "an erasure was not carried out in it".to_owned();
                tracing::warn!(%reason, "index is deleted");
                fs::remove_dir_all(dir).map_err(io)?;
                return Ok((Self::begin_empty(dir, &empty)?, empty, OpenOutcome::Rebuild(reason)));
            }
        };
        let aside = move_aside(dir).map_err(io)?;
        tracing::warn!(%reason, aside = %aside.display(), "index is in doubt, moved aside");
        Ok((Self::begin_empty(dir, &empty)?, empty, OpenOutcome::Rebuild(reason)))
    }

    fn begin_empty(dir: &Path, stamp: &Stamp) -> Result<Self, OpenError> {
        let new = |source| OpenError::Io { path: dir.to_owned(), source };
        let begun = |fault: Fault| new(fault.into_io());
        let store = Self::over(dir, Self::begin(dir, FIRST).map_err(begun)?);
        store
            .apply(&Generation::new(), stamp)
            .map_err(|error| new(io::Error::other(error.source)))?;
        name_current(dir, FIRST).map_err(new)?;
        Ok(store)
    }

    fn over(dir: &Path, place: Place) -> Self {
        Self { dir: dir.to_owned(), current: RwLock::new(Arc::new(place)) }
    }

    fn begin(dir: &Path, number: u64) -> Result<Place, Fault> {
        let path = dir.join(number.to_string());
        fs::create_dir_all(&path).map_err(Fault::Io)?;
        let config = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            // the store's writer thread flushes
            .flush_every_ms(None);
        let begun = Instant::now();
        loop {
            match guarded(|| config.open()).map_err(Fault::from) {
                Ok(db) => return Ok(Place { number, db }),
                // sled lets go of its lock some time after a database was closed
                Err(Fault::Io(error)) if is_lock(&error) && begun.elapsed() < LOCK_WAIT => {
                    thread::park_timeout(LOCK_RETRY);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// The database now; one that is replaced lives until its readers are done.
    fn place(&self) -> Arc<Place> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty database beside the one in use.
    fn next(&self) -> Result<Place, Fault> {
        let number = self.place().number + 1;
        match fs::remove_dir_all(self.dir.join(number.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::Io(error)),
            _ => Self::begin(&self.dir, number),
        }
    }

    /// Goes on with the next database and deletes the one before.
    fn replace(&self, next: Place) -> io::Result<()> {
        name_current(&self.dir, next.number)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::new(next));
        drop(current);
        let path = self.dir.join(old.number.to_string());
        // readers are done in a moment; those that are not go on reading what has no name any more
        let begun = Instant::now();
        while Arc::strong_count(&old) > 1 && begun.elapsed() < LOCK_WAIT {
            thread::park_timeout(LOCK_RETRY);
        }
        let _ = guarded(move || {
            drop(old);
            Ok::<_, Failed>(())
        });
        fs::remove_dir_all(path)?;
        fs::File::open(&self.dir)?.sync_all()
    }

    fn open_checked(dir: &Path, opener: Opener<'_>) -> Result<(Self, Stamp), Fault> {
        let number = current(dir).map_err(Fault::Io)?;
        let Some(number) = number else { return Err(Fault::Doubt("it names no database".into())) };
        let store = Self::over(dir, Self::begin(dir, number)?);
        // only now: before it had the lock, another process might have been at work here
        let checked = remove_others(dir, number).map_err(Fault::Io);
        match checked.and_then(|()| store.check(opener)) {
            Ok(stamp) => Ok((store, stamp)),
            Err(fault) => {
                // a damaged database can also panic when it is closed
                let _ = guarded(move || {
                    drop(store);
                    Ok::<_, Failed>(())
                });
                Err(fault)
            }
        }
    }

    fn check(&self, opener: Opener<'_>) -> Result<Stamp, Fault> {
        let db = &self.place().db;
        let raw = guarded(|| db.get(STAMP_KEY)).map_err(Fault::from)?;
        let Some(raw) = raw else { return Err(Fault::Doubt("it has no stamp".to_owned())) };
        let stamp = Stamp::parse(&raw).map_err(|error| Fault::Doubt(error.to_string()))?;
        if stamp.erasing {
            return Err(Fault::Erasing);
        }
        if let Some(layout) = raw.first().filter(|it| **it != stamp::LAYOUT) {
            return Err(Fault::Doubt(format!(
                "it has layout {layout}, this software has layout {}",
                stamp::LAYOUT
            )));
        }
        if stamp.fold_version != opener.fold_version {
            return Err(Fault::Doubt(format!(
                "it was folded by version {}, this software has version {}",
                stamp.fold_version, opener.fold_version,
            )));
        }
        if !stamp.clean && stamp.boot_id != opener.boot_id {
            return Err(Fault::Doubt("the machine went down while it was open".to_owned()));
        }
        let found = guarded(|| count(db)).map_err(Fault::from)?;
        if found != stamp.facts {
            let expected = stamp.facts;
            return Err(Fault::Doubt(format!("it has {found} facts instead of {expected}")));
        }
        Ok(stamp)
    }
}

#[cfg(test)]
impl SledStore {
    /// Has the database begin with these bytes.
    pub(super) fn set_stamp(&self, stamp: &[u8]) {
        self.place().db.insert(STAMP_KEY, stamp).unwrap();
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
        let place = self.place();
        let read = || {
            if reverse {
                last(&place.db, from, to, limit)
            } else {
                first(&place.db, from, to, limit)
            }
        };
        guarded(read).map_err(|source| FactsError::new("read facts", source))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
        let place = self.place();
        guarded(|| value_of(&place.db, key))
            .map_err(|source| FactsError::new("read a fact", source))
    }

    fn apply(&self, facts: &Generation, stamp: &Stamp) -> Result<(), BackendError> {
        let place = self.place();
        let write = || -> Result<(), Failed> {
            let mut batch = changes(&place.db, facts)?;
            batch.insert(STAMP_KEY, stamp.encode());
            Ok(place.db.apply_batch(batch)?)
        };
        guarded(write).map_err(|source| BackendError { operation: "write facts", source })
    }

    fn clear(&self) -> Result<(), BackendError> {
        let failed = |source| BackendError { operation: "clear the index", source };
        let place = self.place();
        guarded(|| {
            place.db.remove(STAMP_KEY)?;
            Ok::<_, Failed>(place.db.flush()?)
        })
        .map_err(failed)?;
        drop(place);
        let next = self.next().map_err(|fault| failed(fault.into_io().into()))?;
        self.replace(next).map_err(|error| failed(error.into()))
    }

    fn purge(&self, erased: &BTreeSet<Position>, stamp: &Stamp) -> Result<u64, BackendError> {
        let failed = |source| BackendError { operation: "write the index anew", source };
        let old = self.place();
        let next = self.next().map_err(|fault| failed(fault.into_io().into()))?;
        let facts = guarded(|| copy(&old.db, &next.db, erased, stamp)).map_err(failed)?;
        drop(old);
        self.replace(next).map_err(|error| failed(error.into()))?;
        Ok(facts)
    }

    fn flush(&self) -> Result<(), BackendError> {
        let place = self.place();
        guarded(|| place.db.flush())
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
            Self::Erasing => io::Error::other("an erasure was not carried out"),
        }
    }
}

impl From<Box<dyn Error + Send + Sync>> for Fault {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        let error = match error.downcast::<Failed>() {
            Ok(failed) => match *failed {
                Failed::Sled(error) => Box::new(error),
                Failed::Damaged(error) => return Self::Doubt(error.to_string()),
            },
            Err(other) => match other.downcast::<sled::Error>() {
                Ok(error) => error,
                Err(panicked) => return Self::Doubt(panicked.to_string()),
            },
        };
        match *error {
            sled::Error::Io(error) if !is_damage(&error) => Self::Io(error),
            other => Self::Doubt(format!("it does not open: {other}")),
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
fn guarded<T, E>(call: impl FnOnce() -> Result<T, E>) -> Result<T, Box<dyn Error + Send + Sync>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
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

/// The first facts of a range.
fn first(db: &sled::Db, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Fact>, Failed> {
    let mut facts: Vec<Fact> = Vec::new();
    let covers = leaf_of(db, from)?;
    let behind = covers.as_ref().map_or(Bound::Included(from), |(key, _)| Bound::Excluded(key));
    let others = db.range::<&[u8], _>((behind, Bound::Excluded(to)));
    for pair in covers.clone().map(Ok).into_iter().chain(others) {
        let (_, leaf) = pair?;
        // a leaf may have been split since the one before was read
        let seen = facts.last().map_or(Vec::new(), |it| it.key.clone());
        leaf::each(&leaf, |key, value| {
            if facts.len() >= limit || key >= to {
                return ControlFlow::Break(());
            }
            if key >= from && key > seen.as_slice() {
                facts.push(Fact { key: key.to_vec(), value: value.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        if facts.len() >= limit {
            break;
        }
    }
    Ok(facts)
}

/// The last facts of a range, the last one first.
fn last(db: &sled::Db, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Fact>, Failed> {
    let mut facts: Vec<Fact> = Vec::new();
    let mut behind = to.to_vec();
    while facts.len() < limit && FACTS < behind.as_slice() {
        // found anew each time: a range that goes on backwards passes over a leaf that was begun
        // meanwhile where it stands
        let Some(pair) = db.range(FACTS..behind.as_slice()).next_back() else { break };
        let (first, leaf) = pair?;
        let mut held = Vec::new();
        leaf::each(&leaf, |key, value| {
            if key >= behind.as_slice() {
                return ControlFlow::Break(());
            }
            if key >= from {
                held.push(Fact { key: key.to_vec(), value: value.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        facts.extend(held.into_iter().rev().take(limit - facts.len()));
        if first.as_ref() <= from {
            break;
        }
        behind = first.to_vec();
    }
    Ok(facts)
}

fn value_of(db: &sled::Db, wanted: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
    let mut found = None;
    if let Some((_, leaf)) = leaf_of(db, wanted)? {
        leaf::each(&leaf, |key, value| {
            if key == wanted {
                found = Some(value.to_vec());
            }
            if key < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(found)
}

/// The leaf that a key belongs to; `None` before the first.
fn leaf_of(db: &sled::Db, key: &[u8]) -> sled::Result<Option<(sled::IVec, sled::IVec)>> {
    if key < FACTS {
        return Ok(None);
    }
    db.range(FACTS..=key).next_back().transpose()
}

/// The leaves that change with these facts.
fn changes(db: &sled::Db, facts: &Generation) -> Result<sled::Batch, Failed> {
    let mut batch = sled::Batch::default();
    let fact = |(key, value): (&Vec<u8>, &Vec<u8>)| Fact { key: key.clone(), value: value.clone() };
    let mut facts = facts.iter().peekable();
    while let Some((next, _)) = facts.peek() {
        let held = leaf_of(db, next)?;
        let begin = held.as_ref().map_or_else(|| next.as_slice(), |(key, _)| key.as_ref());
        let behind = db.range::<&[u8], _>((Bound::Excluded(begin), Bound::Unbounded)).next();
        let end = behind.transpose()?.map(|(key, _)| key);
        let is_here = |key: &[u8]| end.as_ref().is_none_or(|end| key < end.as_ref());
        let new = std::iter::from_fn(|| facts.next_if(|(key, _)| is_here(key)).map(fact)).collect();
        let old = held.as_ref().map_or(Ok(Vec::new()), |(_, leaf)| leaf::facts(leaf))?;
        let all = leaf::merged(old, new);
        for (n, (first, leaf)) in leaf::leaves(&all).into_iter().enumerate() {
            // the first stays where it is: nothing between its key and its first fact is elsewhere
            batch.insert(if n == 0 { begin } else { first }, leaf);
        }
    }
    Ok(batch)
}

/// Copies all facts but those of erased entries, then the stamp that counts them. Says how many.
fn copy(
    from: &sled::Db,
    to: &sled::Db,
    erased: &BTreeSet<Position>,
    stamp: &Stamp,
) -> Result<u64, Failed> {
    let (mut facts, mut left) = (0, 0);
    let mut batch = sled::Batch::default();
    for pair in from.range(FACTS..) {
        let (_, leaf) = pair?;
        let mut kept = leaf::facts(&leaf)?;
        kept.retain(|it| !is_of(&it.key, erased));
        facts += kept.len() as u64;
        left += kept.len();
        for (first, leaf) in leaf::leaves(&kept) {
            // not the key that it stood under: it may be that of an erased entry
            batch.insert(first, leaf);
        }
        if left >= COPY_FACTS {
            to.apply_batch(std::mem::take(&mut batch))?;
            left = 0;
        }
    }
    batch.insert(STAMP_KEY, Stamp { facts, ..stamp.clone() }.encode());
    to.apply_batch(batch)?;
    to.flush()?;
    Ok(facts)
}

/// Counts the facts; also reads every page once.
fn count(db: &sled::Db) -> Result<u64, Failed> {
    let mut found = 0;
    for pair in db.range(FACTS..) {
        leaf::each(&pair?.1, |_, _| {
            found += 1;
            ControlFlow::Continue(())
        })?;
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

/// Number of the database in use; `None` if it is not named.
fn current(dir: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(dir.join(CURRENT)) {
        Ok(text) => Ok(text.trim_end().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names the database in use, durably and at once.
fn name_current(dir: &Path, number: u64) -> io::Result<()> {
    let fresh = dir.join("current.new");
    fs::write(&fresh, format!("{number}\n"))?;
    fs::File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, dir.join(CURRENT))?;
    fs::File::open(dir)?.sync_all()
}

/// Deletes databases that are not in use: one that was replaced, or was not finished.
fn remove_others(dir: &Path, number: u64) -> io::Result<()> {
    let keep = number.to_string();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != keep.as_str() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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
