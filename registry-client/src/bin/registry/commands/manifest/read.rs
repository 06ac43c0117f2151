//! Reads manifests and the files beside them. Every mistake is found in one go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_client::{
    artefact,
    manifest::{
        paths::PathError,
        plan::{self, Wanted},
    },
};
use registry_proto::{
    artefact::Layout,
    wire::registry::{Artefakt, Record, record},
};

use super::{
    find::{self, Found},
    prepare::Preparing,
};
use crate::{
    commands::artefact as files,
    documents::{self, Reading, Sources},
    errors::CliError,
};

/// What one call may read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Manifests.
    pub(super) manifests: usize,
    /// Entries of all folders.
    pub(super) entries: usize,
    /// Folders inside each other.
    pub(super) depth: usize,
    /// Bytes of all manifests.
    pub(super) bytes: usize,
    /// Files that manifests name.
    pub(super) files: usize,
}

/// Manifests and the files they name.
#[derive(Debug, Default)]
pub(in crate::commands) struct Directory {
    pub(super) records: Vec<Record>,
    pub(super) sources: Sources,
    /// The records by service.
    pub(super) services: Vec<Wanted>,
    /// Files of each record that names some.
    pub(super) files: BTreeMap<usize, Vec<Local>>,
    /// Manifest of each record.
    pub(super) origins: Vec<usize>,
    pub(super) manifests: Vec<Manifest>,
    /// True if a directory was read, so that what is not in it is missing.
    pub(super) is_whole: bool,
}

/// A manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    /// From the directory.
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
}

/// A file of a version.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) path: PathBuf,
    pub(super) layout: Layout,
}

/// What was read of one manifest.
struct Opened {
    found: Found,
    text: Arc<str>,
    reading: Reading,
    /// (record, artefact, path as written)
    attached: Vec<(usize, usize, String)>,
}

/// Reads all manifests of `paths`.
pub(in crate::commands) fn read(paths: &[PathBuf]) -> Result<Directory, CliError> {
    let directory = read_within(paths, &Limits::default())?;
    if directory.records.is_empty() {
        return Err(CliError::Usage(
            "dort stehen keine Manifeste (Dateien .yaml oder .yml mit Datensätzen).\nNächster \
             Schritt: registry export schreibt den Katalog als Manifeste, registry example \
             manifest gibt eine Vorlage aus"
                .to_owned(),
        ));
    }
    Ok(directory)
}

/// As [`read`]; a directory may be empty.
pub(super) fn read_within(paths: &[PathBuf], limits: &Limits) -> Result<Directory, CliError> {
    let found = find::manifests(paths, limits)?;
    let mut opened = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for found in found {
        let text: Arc<str> = documents::load(&found.path(), &found.label)?.into();
        bytes += text.len();
        if bytes > limits.bytes {
            return Err(find::too_much("Bytes in den Manifesten", limits.bytes));
        }
        let mut preparing = Preparing::default();
        let reading =
            Reading::of(&found.path(), &found.label, &text, Some(&text), &mut |at, it, f| {
                preparing.record(at, it, f);
            })?;
        opened.push(Opened { found, text, reading, attached: preparing.attached });
    }
    let is_whole = paths.iter().any(|it| it.is_dir());
    let mut directory = Directory { is_whole, ..Directory::default() };
    directory.fill(opened, limits)?;
    Ok(directory)
}

// === impl Directory ===

impl Directory {
    fn fill(&mut self, opened: Vec<Opened>, limits: &Limits) -> Result<(), CliError> {
        // an OpenAPI in YAML is a file of a version and no manifest
        let named: BTreeSet<PathBuf> = opened
            .iter()
            .flat_map(|it| it.attached.iter().map(move |(.., path)| it.found.target(path)))
            .filter_map(Result::ok)
            .collect();
        let mut all = Reading::default();
        let mut attached = Vec::new();
        for it in opened.into_iter().filter(|it| !named.contains(&it.found.path())) {
            let before = all.records.len();
            self.origins.extend(it.reading.records.iter().map(|_| self.manifests.len()));
            self.manifests.push(Manifest { path: it.found.relative(), text: it.text });
            all.append(it.reading);
            let found = Arc::new(it.found);
            attached.extend(
                it.attached
                    .into_iter()
                    .map(|(record, at, path)| (before + record, at, path, Arc::clone(&found))),
            );
        }
        let (services, twice) = plan::group(&all.records);
        for it in twice {
            let place = all.sources.place_in(it.second, id_field(&all.records, it.second));
            let first = all.sources.place_in(it.first, id_field(&all.records, it.first));
            all.mistakes.push(format!("  {place}: steht zweimal; zuerst {first}"));
        }
        let mut targets = Vec::with_capacity(attached.len());
        for (record, at, path, found) in attached {
            match found
                .target(&path)
                .map_err(outside)
                .and_then(|it| find::without_links(&found.root, &it).map(|()| it))
            {
                Ok(target) => targets.push((record, at, target)),
                Err(why) => {
                    let field = format!("service_version.artefakte[{at}].datei");
                    let place = all.sources.place_in(record, &field);
                    all.mistakes.push(format!("  {place}: {path:?} {why}"));
                }
            }
        }
        refuse(&all.mistakes)?;
        (self.records, self.sources, self.services) = (all.records, all.sources, services);
        self.describe(targets, limits)
    }

    /// Computes the digests of all files and fills the descriptors.
    fn describe(
        &mut self,
        targets: Vec<(usize, usize, PathBuf)>,
        limits: &Limits,
    ) -> Result<(), CliError> {
        let different: BTreeSet<&PathBuf> = targets.iter().map(|(.., path)| path).collect();
        if different.len() > limits.files {
            return Err(find::too_much("Dateien von Versionen", limits.files));
        }
        let length = |path: &&PathBuf| fs::metadata(path).map_or(0, |it| it.len());
        let bar = files::bar("Prüfsummen", different.iter().map(length).sum());
        let mut layouts: BTreeMap<PathBuf, Layout> = BTreeMap::new();
        for path in different {
            let layout = artefact::describe(path, &mut |step| files::advance(&bar, step))?;
            layouts.insert(path.clone(), layout);
        }
        bar.finish_and_clear();
        let mut mistakes = Vec::new();
        for (record, at, path) in targets {
            let Some(layout) = layouts.get(&path) else { continue };
            let Some(descriptor) = self.artefakt(record, at) else { continue };
            if let Err(why) = complete(descriptor, &path, layout) {
                let field = format!("service_version.artefakte[{at}]");
                mistakes.push(format!("  {}: {why}", self.sources.place_in(record, &field)));
            }
            let local = Local { path, layout: layout.clone() };
            self.files.entry(record).or_default().push(local);
        }
        refuse(&mistakes)
    }

    fn artefakt(&mut self, record: usize, at: usize) -> Option<&mut Artefakt> {
        match self.records.get_mut(record)?.record.as_mut()? {
            record::Record::ServiceVersion(it) => it.artefakte.get_mut(at),
            _ => None,
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { manifests: 20_000, entries: 500_000, depth: 16, bytes: 256 << 20, files: 20_000 }
    }
}

/// Fills a descriptor from its file; what it says already MUST be true.
fn complete(descriptor: &mut Artefakt, path: &Path, layout: &Layout) -> Result<(), String> {
    let name = match descriptor.name.as_str() {
        "" => path.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned()),
        name => name.to_owned(),
    };
    let found = files::descriptor(name, &descriptor.typ, &descriptor.medientyp, layout);
    let stated = (descriptor.bytes, &descriptor.sha256, &descriptor.chunks);
    if stated != (0, &Default::default(), &Vec::new())
        && stated != (found.bytes, &found.sha256, &found.chunks)
    {
        return Err(format!(
            "bytes, sha256 oder chunks passen nicht zur Datei (SHA-256 {}); weglassen oder \
             berichtigen",
            layout.sha256()
        ));
    }
    *descriptor = found;
    Ok(())
}

fn refuse(mistakes: &[String]) -> Result<(), CliError> {
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(CliError::Usage(documents::summary(mistakes)))
}

fn id_field(records: &[Record], at: usize) -> &'static str {
    match records.get(at).and_then(|it| it.record.as_ref()) {
        Some(record::Record::ServiceVersion(_)) => "service_version.version",
        _ => "service_definition.service_id",
    }
}

fn outside(error: PathError) -> String {
    match error {
        PathError::Length => "ist kein Pfad einer Datei".to_owned(),
        PathError::Absolute => "muss vom Manifest aus gesehen sein, ohne / am Anfang".to_owned(),
        PathError::Character => {
            "enthält ein Zeichen, das in Pfaden nicht erlaubt ist (\\ : oder Steuerzeichen)"
                .to_owned()
        }
        PathError::Outside => "führt aus dem Verzeichnis hinaus".to_owned(),
    }
}
