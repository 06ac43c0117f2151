//! Data packages on disk: read, installed, and followed while the node runs.
//!
//! The lists in use change only as a whole and only to a package that was verified and parsed to
//! its end. A package that cannot be used changes nothing: the node goes on with what it has, at
//! the start with the shipped lists.

mod install;

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use registry_core::{
    catalogue::package::{
        Contents, FILE_BYTES_MAX, MANIFEST, Manifest, ManifestError, PackageError,
    },
    validate::CodeLists,
};
use registry_proto::{
    log::{NOTE_BYTES_MAX, VerifierKey},
    terms::Date,
};
use tracing::{error, info, warn};

pub use install::{InstallError, Installed, install};

use crate::{
    audit::{Act, Audit},
    config,
    lifecycle::{Shutdown, TaskKind, chain},
};

/// The lists in use. All clones see a change at once.
#[derive(Clone, Debug)]
pub struct Lists(Arc<ArcSwap<CodeLists>>);

/// A package that was verified and can be used.
#[derive(Debug)]
pub struct Package {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The manifest as it is signed.
    pub note: Vec<u8>,
    /// Name of the key that signed it.
    pub signer: String,
    /// Its files.
    pub contents: Contents,
    /// What it is used as.
    pub lists: CodeLists,
}

/// Why a package is not used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is none.
    #[error(
        "{} fehlt; ein Datenpaket ist ein Verzeichnis mit {MANIFEST} (registry-node data install)",
        .0.display()
    )]
    Absent(PathBuf),
    /// A file cannot be read.
    #[error("{} kann nicht gelesen werden; prüfen Sie Pfad und Rechte", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is longer than allowed.
    #[error(
        "{} hat mehr als {max} Byte; ein Datenpaket dieser Größe wird nicht angenommen",
        .path.display()
    )]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Bytes allowed.
        max: u64,
    },
    /// The manifest is not accepted.
    #[error(
        "{}: das Manifest gilt nicht; holen Sie das Paket neu oder tragen Sie den Schlüssel des \
         Herausgebers unter data.keys ein",
        .path.display()
    )]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The files are not accepted.
    #[error("{}: das Paket kann nicht verwendet werden; holen Sie es neu", .path.display())]
    Package {
        /// Folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: PackageError,
    },
}

/// What became of a look at the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// No package is configured or installed; what is in use stays.
    Absent,
    /// The package in use is still there.
    Unchanged,
    /// The package of this day is in use from now on.
    Replaced(Date),
}

/// Follows the package of a node.
#[derive(Debug)]
pub struct Follower {
    data: Option<config::Data>,
    lists: Lists,
    /// Manifest of the package in use.
    note: Vec<u8>,
    /// What was complained about last, so that it is not repeated.
    complaint: Option<String>,
    audit: Audit,
}

// === impl Lists ===

impl Lists {
    /// The shipped lists.
    pub fn shipped() -> Self {
        Self(Arc::new(ArcSwap::new(Arc::clone(CodeLists::shipped()))))
    }

    /// The lists in use now. A caller MUST take them once for each piece of work, so that all of
    /// it is judged alike.
    pub fn current(&self) -> Arc<CodeLists> {
        self.0.load_full()
    }

    fn replace(&self, lists: CodeLists) {
        self.0.store(Arc::new(lists));
    }
}

// === impl Follower ===

impl Follower {
    /// Will keep `lists` as the configured package says; does nothing before the first
    /// [`refresh`](Self::refresh).
    pub fn new(data: Option<config::Data>, lists: Lists) -> Self {
        Self { data, lists, note: Vec::new(), complaint: None, audit: Audit::nowhere() }
    }

    /// The same, with a trace of what is taken over or refused.
    pub fn traced(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Reads the package if its manifest changed, and uses it if it is good. Reads files.
    ///
    /// # Errors
    ///
    /// The package that is there is not used; the lists stay as they were.
    pub fn refresh(&mut self) -> Result<Refreshed, DataError> {
        let Some(data) = &self.data else { return Ok(Refreshed::Absent) };
        let note = match read_note(&data.package) {
            Err(DataError::Absent(_)) => return Ok(Refreshed::Absent),
            note => note?,
        };
        if note == self.note {
            return Ok(Refreshed::Unchanged);
        }
        let package = read_with(&data.package, note, &data.keys)?;
        let stand = package.manifest.stand();
        self.lists.replace(package.lists);
        self.note = package.note;
        Ok(Refreshed::Replaced(stand))
    }

    /// The same, told to the log.
    fn refresh_and_tell(&mut self) {
        match self.refresh() {
            Ok(Refreshed::Replaced(stand)) => {
                self.complaint = None;
                info!(%stand, "data package in use");
                self.audit.note(Act::new("data.load", "OK").on(stand.to_string()));
            }
            Ok(Refreshed::Absent | Refreshed::Unchanged) => self.complaint = None,
            Err(refused) => {
                let cause = chain(&refused);
                if self.complaint.as_ref() != Some(&cause) {
                    error!(cause, "data package not used, the lists stay as they are");
                    self.audit.note(Act::new("data.load", "FAILED").because(cause.clone()));
                    self.complaint = Some(cause);
                }
            }
        }
    }
}

/// Brings the lists to the configured package, and follows it: every minute and at SIGHUP.
/// Returns after the first look.
pub async fn follow(data: Option<config::Data>, lists: Lists, audit: Audit, shutdown: &Shutdown) {
    if data.is_none() {
        return;
    }
    let follower = Follower::new(data, lists).traced(audit);
    let Some(mut follower) = looked(follower).await else { return };
    let stop = shutdown.clone();
    shutdown.spawn(TaskKind::Data, async move {
        use tokio::signal::unix::{SignalKind, signal};

        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "no SIGHUP, the data package is followed by time"))
            .ok();
        let mut interval = tokio::time::interval(INTERVAL);
        interval.reset();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.requested() => return,
                _ = interval.tick() => {}
                _ = hung_up => {}
            }
            match looked(follower).await {
                Some(back) => follower = back,
                None => return,
            }
        }
    });
}

/// Verifies and parses the package in a folder.
///
/// # Errors
///
/// See [`DataError`].
pub fn read(folder: &Path, keys: &[VerifierKey]) -> Result<Package, DataError> {
    read_with(folder, read_note(folder)?, keys)
}

/// The files of a folder that a package may have, without a look at a manifest.
///
/// # Errors
///
/// [`DataError::File`] and [`DataError::TooLong`].
pub fn read_contents(folder: &Path) -> Result<Contents, DataError> {
    let mut contents = BTreeMap::new();
    for file in registry_core::catalogue::package::PackageFile::ALL {
        let path = folder.join(file.name());
        match read_bounded(&path, FILE_BYTES_MAX) {
            Err(DataError::Absent(_)) => {}
            content => {
                contents.insert(file, content?);
            }
        }
    }
    Ok(contents)
}

async fn looked(mut follower: Follower) -> Option<Follower> {
    let look = move || {
        follower.refresh_and_tell();
        follower
    };
    // not a task: it reads files and parses
    tokio::task::spawn_blocking(look).await.ok()
}

fn read_note(folder: &Path) -> Result<Vec<u8>, DataError> {
    read_bounded(&folder.join(MANIFEST), NOTE_BYTES_MAX as u64)
}

fn read_with(folder: &Path, note: Vec<u8>, keys: &[VerifierKey]) -> Result<Package, DataError> {
    let manifest_error = |source| DataError::Manifest { path: folder.join(MANIFEST), source };
    let (manifest, signer) = Manifest::verify(&note, keys).map_err(manifest_error)?;
    let signer = signer.name().to_owned();
    let mut contents = BTreeMap::new();
    for (file, listed) in manifest.files() {
        contents.insert(file, read_bounded(&folder.join(file.name()), listed.bytes)?);
    }
    let lists = manifest
        .lists(&contents)
        .map_err(|source| DataError::Package { path: folder.to_owned(), source })?;
    Ok(Package { manifest, note, signer, contents, lists })
}

/// Reads a file of at most `max` bytes; never more than that.
fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, DataError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DataError::Absent(path.to_owned()),
        _ => DataError::File { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(DataError::TooLong { path: path.to_owned(), max });
    }
    Ok(bytes)
}

/// Time between two looks at the manifest.
const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
