//! Puts a verified package in the place where nodes look for it, as a whole or not at all.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use registry_core::catalogue::package::MANIFEST;
use registry_proto::terms::Date;

use super::{DataError, Package, read};
use crate::config;

/// What an installation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The package was there already.
    Unchanged,
    /// It is there now, instead of one of another day or of none.
    Replaced(Option<Date>),
}

/// Why a package is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The package is not good.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The package in use is newer.
    #[error(
        "das Paket ist vom {new}, installiert ist eines vom {installed}; ein älteres wird nur mit \
         --older installiert"
    )]
    Older {
        /// Day of the new one.
        new: Date,
        /// Day of the one in use.
        installed: Date,
    },
    /// A file or folder cannot be written.
    #[error("{} kann nicht geschrieben werden; nichts wurde geändert", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The place of packages has no name.
    #[error("data.package = {} ist kein Verzeichnis mit Namen", .0.display())]
    Place(PathBuf),
}

/// Verifies the package in `from` and copies it to the configured place. What was there is kept
/// beside it under the name with `.alt`.
///
/// # Errors
///
/// See [`InstallError`]; the package in use stays then.
pub fn install(from: &Path, data: &config::Data, older: bool) -> Result<Installed, InstallError> {
    let package = read(from, &data.keys)?;
    // what cannot be used may be replaced
    let current = read(&data.package, &data.keys).ok();
    if let Some(current) = &current {
        if current.note == package.note {
            return Ok(Installed::Unchanged);
        }
        let (new, installed) = (package.manifest.stand(), current.manifest.stand());
        if new < installed && !older {
            return Err(InstallError::Older { new, installed });
        }
    }
    let (staged, kept) = (beside(&data.package, ".neu")?, beside(&data.package, ".alt")?);
    stage(&package, &staged)?;
    // what is swapped in is what was written, not what was meant to be
    read(&staged, &data.keys)?;
    if data.package.exists() {
        remove(&kept)?;
        fs::rename(&data.package, &kept).map_err(|source| file_error(&data.package, source))?;
    }
    if let Err(source) = fs::rename(&staged, &data.package) {
        // best effort: the error names what is to be repaired
        let _ = fs::rename(&kept, &data.package);
        return Err(file_error(&data.package, source));
    }
    if let Some(parent) = data.package.parent() {
        sync(parent)?;
    }
    Ok(Installed::Replaced(current.map(|current| current.manifest.stand())))
}

fn stage(package: &Package, staged: &Path) -> Result<(), InstallError> {
    remove(staged)?;
    fs::create_dir_all(staged).map_err(|source| file_error(staged, source))?;
    for (file, content) in &package.contents {
        write(&staged.join(file.name()), content)?;
    }
    write(&staged.join(MANIFEST), &package.note)?;
    sync(staged)
}

fn write(path: &Path, content: &[u8]) -> Result<(), InstallError> {
    fs::File::create(path)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(|source| file_error(path, source))
}

fn remove(folder: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(file_error(folder, source)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), InstallError> {
    // a relative path without folder has the empty parent
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| file_error(folder, source))
}

fn beside(path: &Path, suffix: &str) -> Result<PathBuf, InstallError> {
    let name = path.file_name().ok_or_else(|| InstallError::Place(path.to_owned()))?;
    let mut name: OsString = name.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

fn file_error(path: &Path, source: io::Error) -> InstallError {
    InstallError::File { path: path.to_owned(), source }
}
