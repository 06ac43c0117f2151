//! Resets of logs on disk, and which epochs of which log that makes: `<data>/epochs`.
//!
//! `<land>-<epoch>.reset` is a reset that is complete and ended that epoch; `<land>-<epoch>.consent`
//! is the one that this Land has countersigned, kept so that it never countersigns another one.

mod aside;
mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use registry_proto::{
    charter::Charter,
    epoch::{self, Ended, Reset, TakenReset},
    log::Hash,
    terms::LogId,
};

pub use aside::{Aside, End, LISTED_MAX, Listed};
use file::Damage;

/// The directory with resets.
#[derive(Clone, Debug)]
pub struct Resets {
    dir: PathBuf,
}

/// One epoch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The log.
    pub log: LogId,
    /// How much of it counts, if a reset ended it: size, and root of the tree over it.
    pub ends: Option<(u64, Hash)>,
}

/// What resets leave of the logs of a node.
#[derive(Clone, Debug, Default)]
pub struct Epochs {
    /// The resets it runs with, in the order of Land and epoch.
    pub taken: Vec<TakenReset>,
    /// How much counts of epochs that ended.
    pub counts: BTreeMap<LogId, u64>,
}

/// A reset cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ResetsError {
    /// A file or directory cannot be used.
    #[error("cannot use {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in a file is not what this node wrote.
    #[error("{} is damaged; move it away, partners bring a reset that they have taken back",
        .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: Damage,
    },
}

// === impl Epochs ===

impl Epochs {
    /// The resets as charters list them.
    pub fn ended(&self) -> Ended {
        epoch::ended(self.taken.iter().map(|it| (it.said().log, it.digest())))
    }
}

// === impl Resets ===

impl Resets {
    /// Those of a data directory; nothing is made or read yet.
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("epochs") }
    }

    /// Reads every reset that was taken, in the order of Land and epoch. Without the directory
    /// there is none.
    ///
    /// # Errors
    ///
    /// See [`ResetsError`]: without all of them nobody knows which epoch is written.
    pub fn load(&self) -> Result<Vec<TakenReset>, ResetsError> {
        let listed = match fs::read_dir(&self.dir) {
            Ok(listed) => listed,
            // whoever has a file in place of the data directory is told so elsewhere
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            Err(source) => return Err(ResetsError::File { path: self.dir.clone(), source }),
        };
        let mut taken = Vec::new();
        for entry in listed {
            let entry =
                entry.map_err(|source| ResetsError::File { path: self.dir.clone(), source })?;
            let path = entry.path();
            if path.extension().is_none_or(|it| it != TAKEN) {
                continue;
            }
            let raw = read(&path)?;
            let reset = TakenReset::kept(&raw).map_err(|_| Damage::Content);
            let named = reset.and_then(|it| match path == self.path(it.said().log, TAKEN) {
                true => Ok(it),
                false => Err(Damage::OtherName),
            });
            taken.push(named.map_err(|source| ResetsError::Damaged { path, source })?);
        }
        taken.sort_unstable_by_key(|it: &TakenReset| it.said().log);
        Ok(taken)
    }

    /// Keeps a reset durably. The first of an epoch stays.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn keep(&self, reset: &TakenReset) -> Result<(), ResetsError> {
        let path = self.path(reset.said().log, TAKEN);
        if path.exists() {
            return Ok(());
        }
        self.write(&path, &file::encode(&reset.encode()))
    }

    /// The reset of an epoch that this Land has countersigned.
    ///
    /// # Errors
    ///
    /// See [`ResetsError`].
    pub fn agreed(&self, log: LogId) -> Result<Option<Reset>, ResetsError> {
        let path = self.path(log, AGREED);
        if !path.exists() {
            return Ok(None);
        }
        let reset = Reset::read(&read(&path)?).map_err(|_| Damage::Content);
        reset.map(Some).map_err(|source| ResetsError::Damaged { path, source })
    }

    /// Keeps durably which reset this Land countersigns, before its consent leaves the node.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn agree(&self, reset: &Reset) -> Result<(), ResetsError> {
        self.write(&self.path(reset.said().log, AGREED), &file::encode(&reset.encode()))
    }

    /// Remembers durably that what is here of an epoch is another history than its reset keeps, or, of
    /// the own log that is written, that its end is not what partners have.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn contradict(&self, log: LogId) -> Result<(), ResetsError> {
        self.write(&self.path(log, OTHER), OTHER_TEXT)
    }

    /// Whether that is remembered.
    pub fn is_contradicted(&self, log: LogId) -> bool {
        self.path(log, OTHER).exists()
    }

    /// Remembers durably that the end of the own log that is meant is listed, so that it is not listed
    /// again, and counted twice, when the node ends before all of it is set aside.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn list_once(&self, log: LogId) -> Result<(), ResetsError> {
        self.write(&self.path(log, OTHER), &[OTHER_TEXT, OTHER_LISTED].concat())
    }

    /// Whether that is remembered. What cannot be read counts as not listed.
    pub fn is_listed(&self, log: LogId) -> bool {
        fs::read(self.path(log, OTHER)).is_ok_and(|it| it.ends_with(OTHER_LISTED))
    }

    /// Forgets it: what is meant is set aside.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn settle(&self, log: LogId) -> Result<(), ResetsError> {
        self.remove(self.path(log, OTHER))
    }

    fn remove(&self, path: PathBuf) -> Result<(), ResetsError> {
        let removed = fs::remove_file(&path).and_then(|()| fs::File::open(&self.dir)?.sync_all());
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ResetsError::File { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Remembers durably that a body that is here of a log is not the one its owner signed.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn mark_forged(&self, log: LogId) -> Result<(), ResetsError> {
        self.write(&self.path(log, FORGED), FORGED_TEXT)
    }

    /// Whether that is remembered.
    pub fn is_forged(&self, log: LogId) -> bool {
        self.path(log, FORGED).exists()
    }

    /// Forgets it: what is meant is set aside, or nowhere.
    ///
    /// # Errors
    ///
    /// [`ResetsError::File`].
    pub fn settle_forged(&self, log: LogId) -> Result<(), ResetsError> {
        self.remove(self.path(log, FORGED))
    }

    fn path(&self, log: LogId, extension: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.{extension}", log.land.code(), log.epoch))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), ResetsError> {
        // a name of its own for each file: they are written on several threads
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let write = || {
            fs::create_dir_all(&self.dir)?;
            let mut file = fs::File::create(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| ResetsError::File { path: path.to_owned(), source })
    }
}

/// Epochs that ended here with another reset than the one the charter lists.
pub fn contradicted(charter: &Charter, resets: &[TakenReset]) -> Vec<LogId> {
    let log = |it: &TakenReset| {
        let log = it.said().log;
        charter.listed(log).filter(|listed| *listed != it.digest()).map(|_| log)
    };
    resets.iter().filter_map(log).collect()
}

/// Every epoch of every member, in the order of Land and epoch.
pub fn all(charter: &Charter, resets: &[TakenReset]) -> Vec<Epoch> {
    let mut all = Vec::new();
    for member in charter.members() {
        for number in 1..=epoch::newest(member.land, resets).epoch {
            let log = LogId { land: member.land, epoch: number };
            let reset = resets.iter().find(|it| it.said().log == log);
            let ends = reset.map(|it| (it.said().size, it.said().root));
            all.push(Epoch { log, ends });
        }
    }
    all
}

fn read(path: &Path) -> Result<bytes::Bytes, ResetsError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|it| it.take(file::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| ResetsError::File { path: path.to_owned(), source })?;
    file::decode(&bytes).map_err(|source| ResetsError::Damaged { path: path.to_owned(), source })
}

const TAKEN: &str = "reset";
const AGREED: &str = "consent";
const OTHER: &str = "other";
const OTHER_TEXT: &[u8] = b"registry other history 1\n";
const OTHER_LISTED: &[u8] = b"listed\n";
const FORGED: &str = "forged";
const FORGED_TEXT: &[u8] = b"registry forged body 1\n";
