//! Finds manifests in directories.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

use registry_client::manifest::paths::{self, PathError};

use super::read::Limits;
use crate::errors::CliError;

/// A manifest that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// The directory that paths of artefacts stay in.
    pub(super) root: PathBuf,
    /// Folders from there.
    folder: Vec<String>,
    name: String,
    /// What it is called in messages: as the caller named it.
    pub(super) label: String,
}

// === impl Found ===

impl Found {
    /// From the root.
    pub(super) fn relative(&self) -> PathBuf {
        self.folder.iter().chain([&self.name]).collect()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.join(self.relative())
    }

    /// Where a path in the manifest leads.
    pub(super) fn target(&self, text: &str) -> Result<PathBuf, PathError> {
        paths::inside(&self.folder, text).map(|it| self.root.join(it))
    }
}

/// All manifests of `paths`, each once, those of a directory by name.
pub(super) fn manifests(paths: &[PathBuf], limits: &Limits) -> Result<Vec<Found>, CliError> {
    let mut search = Search { limits, entries: 0, found: Vec::new() };
    for path in paths {
        let given = path.display().to_string();
        let failed = |error: io::Error| unreadable(&given, &error);
        let real = fs::canonicalize(path).map_err(failed)?;
        if fs::metadata(&real).map_err(failed)?.is_dir() {
            search.folder(&real, &mut Vec::new(), given.trim_end_matches('/'))?;
            continue;
        }
        let (Some(root), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(CliError::Usage(format!("{given} ist keine Datei")));
        };
        let (root, name) = (root.to_owned(), name.to_string_lossy().into_owned());
        search.add(Found { root, folder: Vec::new(), name, label: given })?;
    }
    let mut seen = BTreeSet::new();
    search.found.retain(|it| seen.insert(it.path()));
    Ok(search.found)
}

struct Search<'a> {
    limits: &'a Limits,
    entries: usize,
    found: Vec<Found>,
}

// === impl Search ===

impl Search<'_> {
    fn folder(
        &mut self,
        root: &Path,
        folder: &mut Vec<String>,
        label: &str,
    ) -> Result<(), CliError> {
        if folder.len() > self.limits.depth {
            return Err(too_much("Ebenen von Unterverzeichnissen", self.limits.depth));
        }
        let here = folder.iter().fold(root.to_owned(), |path, part| path.join(part));
        let failed = |error: io::Error| unreadable(label, &error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&here).map_err(failed)? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(too_much("Einträge in den Verzeichnissen", self.limits.entries));
            }
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push((name, entry.file_type().map_err(failed)?));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, kind) in entries.into_iter().filter(|(name, _)| !name.starts_with('.')) {
            let label = format!("{label}/{name}");
            if kind.is_dir() {
                folder.push(name);
                self.folder(root, folder, &label)?;
                folder.pop();
            } else if kind.is_symlink() && (is_manifest(&name) || here.join(&name).is_dir()) {
                // to pass over it in silence would look like services that are gone
                return Err(CliError::Usage(format!(
                    "{label} ist eine symbolische Verknüpfung; Manifeste und ihre Verzeichnisse \
                     müssen im Verzeichnis selbst liegen"
                )));
            } else if is_manifest(&name) {
                self.add(Found { root: root.to_owned(), folder: folder.clone(), name, label })?;
            }
        }
        Ok(())
    }

    fn add(&mut self, found: Found) -> Result<(), CliError> {
        self.found.push(found);
        if self.found.len() > self.limits.manifests {
            return Err(too_much("Manifeste", self.limits.manifests));
        }
        Ok(())
    }
}

/// Refuses a file that is none, or that a link leads to; the text says why.
pub(super) fn without_links(root: &Path, target: &Path) -> Result<(), String> {
    let relative =
        target.strip_prefix(root).map_err(|_| "liegt nicht im Verzeichnis".to_owned())?;
    let mut path = root.to_owned();
    let mut last = None;
    for part in relative.components() {
        let Component::Normal(part) = part else {
            return Err("führt aus dem Verzeichnis hinaus".to_owned());
        };
        path.push(part);
        let found = fs::symlink_metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "gibt es nicht".to_owned(),
            _ => format!("ist nicht lesbar: {error}"),
        })?;
        if found.is_symlink() {
            return Err("führt über eine symbolische Verknüpfung".to_owned());
        }
        last = Some(found);
    }
    if last.is_some_and(|it| it.is_file()) { Ok(()) } else { Err("ist keine Datei".to_owned()) }
}

fn is_manifest(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| {
        ending.eq_ignore_ascii_case("yaml") || ending.eq_ignore_ascii_case("yml")
    })
}

pub(super) fn too_much(what: &str, limit: usize) -> CliError {
    CliError::Usage(format!(
        "zu viele {what}, erlaubt sind {limit}.\nNächster Schritt: das Verzeichnis aufteilen und \
         mit mehreren Aufrufen arbeiten"
    ))
}

fn unreadable(label: &str, error: &io::Error) -> CliError {
    CliError::Usage(format!("{label} ist nicht lesbar: {error}.\nNächster Schritt: Pfad prüfen"))
}
