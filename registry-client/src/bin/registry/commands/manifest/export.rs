//! `registry export`: the catalogue of a Land as manifests. Without being forced it replaces only
//! what loses nothing by it; it never removes anything.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::{
    Client,
    artefact::{FileError, Pulled},
    catalogue::ServiceFilter,
    manifest::{paths, plan::Wanted, render, without_findings},
};
use registry_proto::{
    artefact::Layout,
    terms::Land,
    wire::registry::{
        Artefakt, GetServiceRequest, GetVersionRequest, Record, ServiceVersion, Zeitpunkt, record,
    },
};

use super::{
    READS, find,
    read::{self, Directory, Limits},
};
use crate::{
    args::{Export, Format},
    commands::{artefact as files, count, own_land},
    errors::CliError,
    json::{Node, Object},
    output::{self, clean},
};

/// A service as it stands.
struct Exported {
    service_id: String,
    /// The definition, then the versions by rising number.
    records: Vec<Record>,
}

/// What became of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Created,
    Replaced,
    /// It says the same already.
    Unchanged,
    /// It says something else, and replacing it was not allowed.
    Kept,
}

/// A manifest that was looked at.
struct Line {
    service_id: String,
    path: PathBuf,
    written: Written,
    why: String,
}

/// Where it is written to.
struct Target<'a> {
    client: &'a Client,
    root: PathBuf,
    existing: Directory,
    /// Places of the services in `existing`.
    places: HashMap<String, usize>,
    with_artefacts: bool,
    force: bool,
}

pub(in crate::commands) async fn export(
    client: &Client,
    format: Format,
    args: Export,
) -> Result<(), CliError> {
    let mut existing = existing(&args.dir, args.force)?;
    let own = own_land(client).await?;
    let land = args.land.unwrap_or(own);
    for record in &mut existing.records {
        record.record.iter_mut().for_each(without_findings);
        if let Some(record::Record::ServiceDefinition(it)) = &mut record.record
            && it.land.is_empty()
        {
            own.code().clone_into(&mut it.land);
        }
    }
    let at = args.past.zeitpunkt();
    let ids = selected(client, land, &args.services, at).await?;
    fs::create_dir_all(&args.dir).map_err(|error| unwritable(&args.dir, &error))?;
    let root = fs::canonicalize(&args.dir).map_err(|error| unwritable(&args.dir, &error))?;
    let with_artefacts = !args.without_artefacts;
    let ids_here = existing.services.iter().map(|it| it.service_id.clone());
    let places = ids_here.zip(0..).collect();
    let target = Target { client, root, existing, places, with_artefacts, force: args.force };
    let progress = output::progress();
    let done = Cell::new(0_usize);
    let mut found = stream::iter(&ids).map(|id| service(client, land, id, at)).buffered(READS);
    let mut lines = Vec::with_capacity(ids.len());
    while let Some(exported) = found.try_next().await? {
        lines.push(target.write(&exported).await?);
        done.set(done.get() + 1);
        progress.set_message(format!("{} von {} Diensten", done.get(), ids.len()));
        progress.tick();
    }
    progress.finish_and_clear();
    print(format, &args.dir, &lines)
}

/// What lies in the directory already. What cannot be read there stops it, unless forced: it might
/// be the same service under another name.
fn existing(dir: &Path, force: bool) -> Result<Directory, CliError> {
    if !dir.exists() {
        return Ok(Directory::default());
    }
    if !dir.is_dir() {
        return Err(CliError::Usage(format!("{} ist kein Verzeichnis", dir.display())));
    }
    match read::read_within(&[dir.to_owned()], &Limits::default()) {
        Err(CliError::Usage(_)) if force => Ok(Directory::default()),
        Err(CliError::Usage(text)) => Err(CliError::Usage(format!(
            "im Verzeichnis liegt etwas, das kein Manifest ist: {text}\nOder mit --force, dann \
             wird es nicht beachtet"
        ))),
        read => read,
    }
}

async fn selected(
    client: &Client,
    land: Land,
    services: &[String],
    at: Option<Zeitpunkt>,
) -> Result<Vec<String>, CliError> {
    if !services.is_empty() {
        let ids: BTreeSet<String> = services.iter().cloned().collect();
        return Ok(ids.into_iter().collect());
    }
    let filter = ServiceFilter { land: Some(land), ..ServiceFilter::default() };
    let listed = client.service_pages(filter, None).at(at).collect(|_| ()).await?;
    output::notice_age(&listed.as_of);
    Ok(listed.entries.into_iter().map(|it| it.service_id).collect())
}

async fn service(
    client: &Client,
    land: Land,
    service_id: &str,
    zeitpunkt: Option<Zeitpunkt>,
) -> Result<Exported, CliError> {
    let (service_id, land_code) = (service_id.to_owned(), land.code().to_owned());
    let request = GetServiceRequest {
        service_id: service_id.clone(),
        land: land_code.clone(),
        zeitpunkt,
        ..GetServiceRequest::default()
    };
    let definition = client.service(request).await?.service.and_then(|it| it.definition);
    let mut records: Vec<Record> =
        definition.map(record::Record::ServiceDefinition).map(plain).into_iter().collect();
    let listed = client.version_pages(&service_id, Some(land), None).at(zeitpunkt);
    let mut listed = listed.collect(|_| ()).await?.entries;
    // newest first; a manifest grows at its end
    listed.reverse();
    for it in listed {
        let request = GetVersionRequest {
            service_id: service_id.clone(),
            version: it.version,
            land: land_code.clone(),
            zeitpunkt,
            ..GetVersionRequest::default()
        };
        let version = client.version(request).await?.version.and_then(|it| it.version);
        records.extend(version.map(record::Record::ServiceVersion).map(plain));
    }
    Ok(Exported { service_id, records })
}

fn plain(mut record: record::Record) -> Record {
    without_findings(&mut record);
    Record { record: Some(record), expected_revision: None }
}

// === impl Target ===

impl Target<'_> {
    async fn write(&self, exported: &Exported) -> Result<Line, CliError> {
        let id = &exported.service_id;
        let known = self.places.get(id).and_then(|at| self.existing.services.get(*at));
        let places: Vec<usize> =
            known.iter().flat_map(|it| it.definition.iter().chain(&it.versions)).copied().collect();
        let origins: BTreeSet<usize> =
            places.iter().filter_map(|at| self.existing.origins.get(*at)).copied().collect();
        let path = match origins.first().and_then(|it| self.existing.manifests.get(*it)) {
            Some(manifest) => manifest.path.clone(),
            None => PathBuf::from(format!("{id}.yaml")),
        };
        let line = |written, why: &str| Line {
            service_id: id.clone(),
            path: path.clone(),
            written,
            why: why.to_owned(),
        };
        let text = text(exported, &path, self.with_artefacts)?;
        let there = self.root.join(&path);
        if let Some(wanted) = known {
            if self.says(wanted, exported) == Says::All {
                return Ok(line(Written::Unchanged, ""));
            }
            let alone = self.is_alone(&origins, &places);
            if !alone {
                let why = "der Dienst teilt sich Manifeste mit anderen oder steht in mehreren";
                return Ok(line(Written::Kept, why));
            }
            let loses = self.says(wanted, exported) == Says::Other || !self.is_as_exported(wanted);
            if loses && !self.force {
                let why = "das Manifest sagt etwas anderes als der Katalog";
                return Ok(line(Written::Kept, why));
            }
        } else if fs::symlink_metadata(&there).is_ok() {
            let same = fs::read(&there).is_ok_and(|it| it == text.as_bytes());
            if same {
                return Ok(line(Written::Unchanged, ""));
            }
            if !self.force {
                return Ok(line(Written::Kept, "dort liegt schon eine andere Datei"));
            }
        }
        if self.with_artefacts
            && let Some(why) = self.artefacts(exported, &path).await?
        {
            return Ok(line(Written::Kept, &why));
        }
        let is_new = fs::symlink_metadata(&there).is_err();
        replace(&there, text.as_bytes())?;
        Ok(line(if is_new { Written::Created } else { Written::Replaced }, ""))
    }

    /// What the manifests say of a service against what stands.
    fn says(&self, wanted: &Wanted, exported: &Exported) -> Says {
        let all = &self.existing.records;
        let place = |of: &Record| {
            let mut both = wanted.definition.iter().chain(&wanted.versions);
            both.any(|at| all.get(*at).is_some_and(|it| it.record == of.record))
        };
        let standing = exported.records.iter().filter(|it| place(it)).count();
        let said = wanted.versions.len() + usize::from(wanted.definition.is_some());
        match (standing == said, standing == exported.records.len()) {
            (true, true) => Says::All,
            (true, false) => Says::Less,
            (false, _) => Says::Other,
        }
    }

    /// True if one manifest holds all of the service and nothing else.
    fn is_alone(&self, origins: &BTreeSet<usize>, places: &[usize]) -> bool {
        let here = self.existing.origins.iter().filter(|it| origins.contains(it)).count();
        origins.len() == 1 && here == places.len()
    }

    /// True if the manifest has the very bytes an export gives to what it says: nothing is lost
    /// with them, no comment either.
    fn is_as_exported(&self, wanted: &Wanted) -> bool {
        let at = wanted.definition.iter().chain(&wanted.versions);
        let at: Vec<usize> = at.copied().collect();
        let records: Vec<Record> =
            at.iter().filter_map(|at| self.existing.records.get(*at).cloned()).collect();
        let exported = Exported { service_id: wanted.service_id.clone(), records };
        let origin = at.first().and_then(|it| self.existing.origins.get(*it));
        let manifest = origin.and_then(|it| self.existing.manifests.get(*it));
        manifest.is_some_and(|it| {
            [true, false].into_iter().any(|with_artefacts| {
                text(&exported, &it.path, with_artefacts).is_ok_and(|text| *text == *it.text)
            })
        })
    }

    /// Receives the files of all versions; the text says why they cannot be here.
    async fn artefacts(
        &self,
        exported: &Exported,
        path: &Path,
    ) -> Result<Option<String>, CliError> {
        for record in &exported.records {
            let Some(record::Record::ServiceVersion(version)) = &record.record else { continue };
            let beside = path.parent().unwrap_or_else(|| Path::new(""));
            let folder = beside.join(&version.service_id).join(&version.version);
            for (one, name) in version.artefakte.iter().zip(names(&version.artefakte)) {
                if let Some(why) = self.artefact(one, &folder, &name).await? {
                    return Ok(Some(why));
                }
            }
        }
        Ok(None)
    }

    async fn artefact(
        &self,
        one: &Artefakt,
        folder: &Path,
        name: &str,
    ) -> Result<Option<String>, CliError> {
        let layout = match Layout::of(one) {
            Ok(layout) => layout,
            Err(error) => return Ok(Some(format!("{}: {error}", clean(&one.name)))),
        };
        let dir = self.root.join(folder);
        fs::create_dir_all(&dir).map_err(|error| unwritable(&dir, &error))?;
        let file = dir.join(name);
        let there = fs::symlink_metadata(&file).is_ok();
        if there && let Err(why) = find::without_links(&self.root, &file) {
            return Ok(Some(format!("{} {why}", folder.join(name).display())));
        }
        // the folders on the way as well, if the file is not there yet
        let real = fs::canonicalize(&dir).map_err(|error| unwritable(&dir, &error))?;
        if real != dir {
            return Ok(Some(format!("{} führt über eine Verknüpfung", folder.display())));
        }
        if there && self.force {
            let found = registry_client::artefact::describe(&file, &mut |_| ())?;
            if found.sha256() != layout.sha256() {
                fs::remove_file(&file).map_err(|error| unwritable(&file, &error))?;
            }
        }
        let bar = files::bar(&clean(name), layout.bytes());
        let pulled =
            self.client.pull_file(&layout, &file, &mut |it| files::advance(&bar, it)).await;
        bar.finish_and_clear();
        match pulled {
            Ok(Pulled::Received | Pulled::Unchanged) => Ok(None),
            Err(FileError::Exists { .. }) => Ok(Some(format!(
                "{} gibt es schon, mit anderem Inhalt",
                folder.join(name).display()
            ))),
            Err(error) => {
                let error = CliError::File(error);
                match error.exit_code() {
                    2..=4 => Ok(Some(format!(
                        "{}: {}",
                        folder.join(name).display(),
                        super::report::reason(&error)
                    ))),
                    _ => Err(error),
                }
            }
        }
    }
}

/// What manifests say of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Exactly what stands.
    All,
    /// Nothing else than what stands, and not all of it.
    Less,
    /// Something that does not stand.
    Other,
}

/// The text of the manifest at `path`.
fn text(exported: &Exported, path: &Path, with_artefacts: bool) -> Result<String, CliError> {
    let file = |version: &ServiceVersion, at: usize| {
        let name = names(&version.artefakte).into_iter().nth(at)?;
        with_artefacts.then(|| format!("{}/{}/{name}", version.service_id, version.version))
    };
    render::text(&exported.records, &file)
        .map_err(|error| CliError::Internal(format!("{}: {error}", path.display())))
}

/// Names of the files of a version, in the order of its artefacts.
fn names(artefakte: &[Artefakt]) -> Vec<String> {
    let mut taken = Vec::new();
    artefakte.iter().map(|it| paths::file_name(&it.name, &it.sha256, &mut taken)).collect()
}

/// Puts a whole file in place of what is there. A link is replaced, not followed.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".neu");
    let fresh = PathBuf::from(name);
    let written = fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!(
        "{} ist nicht beschreibbar: {error}.\nNächster Schritt: Pfad, Rechte und Platz prüfen",
        path.display()
    ))
}

fn print(format: Format, dir: &Path, lines: &[Line]) -> Result<(), CliError> {
    let word = |it: &Line| match it.written {
        Written::Created => ("created", "geschrieben"),
        Written::Replaced => ("replaced", "ersetzt"),
        Written::Unchanged => ("unchanged", "unverändert"),
        Written::Kept => ("kept", "nicht ersetzt"),
    };
    let sum = |wanted| lines.iter().filter(|it| it.written == wanted).count();
    let object = || {
        let files = lines.iter().map(|it| {
            let object = Object::default()
                .with("service_id", Node::Text(it.service_id.clone()))
                .with("path", Node::Text(it.path.display().to_string()))
                .with("result", Node::Text(word(it).0.to_owned()));
            let told = !it.why.is_empty();
            Node::Object(if told { object.with("why", Node::Text(it.why.clone())) } else { object })
        });
        Ok(Object::default().with("files", Node::List(files.collect())))
    };
    let told = || lines.iter().filter(|it| it.written != Written::Unchanged);
    output::print(format, object, || {
        if told().count() == 0 {
            return String::new();
        }
        output::table(
            ["Manifest", "Ergebnis"],
            &[0],
            told().map(|it| [it.path.display().to_string(), word(it).1.to_owned()]),
        )
    })?;
    eprintln!(
        "{} in {}: {} geschrieben, {} ersetzt, {} unverändert.",
        count(lines.len(), "Dienst", "Dienste"),
        dir.display(),
        sum(Written::Created),
        sum(Written::Replaced),
        sum(Written::Unchanged)
    );
    let kept: Vec<String> = lines
        .iter()
        .filter(|it| it.written == Written::Kept)
        .map(|it| format!("\n  {}: {}", it.path.display(), it.why))
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    Err(CliError::Refused(format!(
        "nicht ersetzt: {}{}\nNächster Schritt: registry diff -f {} zeigt, worin sie sich \
         unterscheiden; was im Verzeichnis gilt, mit registry apply veröffentlichen, sonst --force",
        count(kept.len(), "Manifest", "Manifeste"),
        kept.concat(),
        dir.display()
    )))
}
