//! The calls that change the disk, in one place, so that tests can make each of them fail.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::error::Failure;

/// Opens a file to read and write, creating it if `create` says so; what it holds stays.
pub(crate) fn open_rw(path: &Path, create: Create) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match create {
        Create::Never => {}
        Create::IfAbsent => {
            options.create(true).truncate(false);
        }
        Create::Fresh => {
            options.create(true).truncate(true);
        }
    }
    step(path, "open", || options.open(path))
}

/// What [`open_rw`] does about a file that is absent or present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    Never,
    IfAbsent,
    Fresh,
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<(), Failure> {
    #[cfg(test)]
    if let Some(part) = faults::torn_write(bytes.len()) {
        let _ = file.write_all_at(&bytes[..part], at);
    }
    step(path, "write", || file.write_all_at(bytes, at))
}

/// Makes the data of a file durable, and its length. MUST NOT be tried again after a failure: the
/// kernel has then forgotten what it could not write.
pub(crate) fn sync(file: &File, path: &Path) -> Result<(), Failure> {
    step(path, "sync", || file.sync_data())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Failure> {
    step(path, "sync directory", || File::open(path)?.sync_all())
}

pub(crate) fn set_len(file: &File, path: &Path, len: u64) -> Result<(), Failure> {
    step(path, "truncate", || file.set_len(len))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    step(to, "rename", || fs::rename(from, to))
}

/// Removes a file; that it is absent is no failure.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    step(path, "remove", || match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
}

/// Creates a directory and makes its name durable.
pub(crate) fn create_dir(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir(parent)?;
        step(path, "create directory", || fs::create_dir(path))?;
        return sync_dir(parent);
    }
    step(path, "create directory", || fs::create_dir(path))
}

/// Writes a file whole and durably: under another name, then renamed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_extension("tmp");
    let file = open_rw(&temporary, Create::Fresh)?;
    write_at(&file, &temporary, bytes, 0)?;
    sync(&file, &temporary)?;
    rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Opens a file to read.
pub(crate) fn open_ro(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|source| Failure { operation: "open", path: path.into(), source })
}

/// Length of a file.
pub(crate) fn len(file: &File, path: &Path) -> Result<u64, Failure> {
    let found = file.metadata();
    let meta = found.map_err(|source| Failure { operation: "stat", path: path.into(), source })?;
    Ok(meta.len())
}

/// Reads `count` bytes at `offset`, fewer only at the end of the file.
pub(crate) fn read_at(
    file: &File,
    path: &Path,
    offset: u64,
    count: usize,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(Failure { operation: "read", path: path.into(), source });
            }
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads a whole file of at most `max` bytes. `None` if it is absent or longer.
pub(crate) fn read_small(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Failure { operation: "open", path: path.into(), source }),
    };
    let length = len(&file, path)?;
    if length > max {
        return Ok(None);
    }
    read_at(&file, path, 0, length as usize).map(Some)
}

fn step<T>(
    path: &Path,
    operation: &'static str,
    run: impl FnOnce() -> io::Result<T>,
) -> Result<T, Failure> {
    #[cfg(test)]
    faults::step().map_err(|source| Failure { operation, path: path.into(), source })?;
    run().map_err(|source| Failure { operation, path: path.into(), source })
}

/// Failures on demand, for the thread that asks for them.
#[cfg(test)]
pub(crate) mod faults {
    use std::{cell::Cell, io};

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static KIND: Cell<io::ErrorKind> = const { Cell::new(io::ErrorKind::Other) };
        static FAILED: Cell<bool> = const { Cell::new(false) };
    }

    /// Lets `steps` calls succeed and all later ones fail, as if the process had died; a write
    /// that fails leaves the first half of its bytes.
    pub(crate) fn fail_after(steps: u64, kind: io::ErrorKind) {
        LEFT.set(Some(steps));
        FAILED.set(false);
        KIND.set(kind);
    }

    /// Lets everything succeed again. Says whether a call had failed.
    pub(crate) fn clear() -> bool {
        LEFT.set(None);
        FAILED.get()
    }

    pub(super) fn step() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => {
                FAILED.set(true);
                Err(KIND.get().into())
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    pub(super) fn torn_write(len: usize) -> Option<usize> {
        (LEFT.get() == Some(0) && !FAILED.get()).then_some(len / 2)
    }
}
