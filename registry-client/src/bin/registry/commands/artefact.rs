//! `registry artefact push`, `artefact pull`, `artefact list`, `artefact collect`.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use registry_client::{
    Client,
    artefact::{self, Pulled, Step},
};
use registry_proto::{
    artefact::Layout,
    log::Hash,
    wire::registry::{ArtefactFetch, ArtefactState, Artefakt, GetVersionRequest, Zeitpunkt},
};

use crate::{
    args::{ArtefactCollect, ArtefactPull, ArtefactPush, Format, VersionShow},
    errors::CliError,
    json::{self, Node, Object},
    output::{self, clean},
};

/// A file and its descriptor.
pub(super) struct Described {
    path: PathBuf,
    layout: Layout,
    descriptor: Artefakt,
}

/// Computes the descriptor of a file.
pub(super) fn describe(args: ArtefactPush) -> Result<Described, CliError> {
    let path = args.file;
    let name = match args.name {
        Some(name) => name,
        None => path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| usage(format!("{} hat keinen Namen; --name angeben", path.display())))?
            .to_owned(),
    };
    if safe_name(&name).is_none() {
        return Err(usage(format!(
            "{name:?} taugt nicht als Name; einen anderen mit --name nennen"
        )));
    }
    let bar = bar("Prüfsummen", std::fs::metadata(&path).map_or(0, |it| it.len()));
    let layout = artefact::describe(&path, &mut |step| advance(&bar, step))?;
    bar.finish_and_clear();
    let typ = args.typ.unwrap_or_default();
    let descriptor = descriptor(name, &typ, &args.medientyp.unwrap_or_default(), &layout);
    Ok(Described { path, layout, descriptor })
}

/// The descriptor of a file; without type or media type those of its ending.
pub(super) fn descriptor(name: String, typ: &str, medientyp: &str, layout: &Layout) -> Artefakt {
    let raw = |hash: Hash| hash.as_bytes().to_vec().into();
    let by_ending = kind(&name);
    let or = |given: &str, ending: &str| if given.is_empty() { ending } else { given }.to_owned();
    Artefakt {
        typ: or(typ, by_ending.0),
        medientyp: or(medientyp, by_ending.1),
        name,
        bytes: layout.bytes(),
        sha256: raw(layout.sha256()),
        chunks: layout.chunks().map(|(chunk, _)| raw(chunk)).collect(),
    }
}

pub(super) async fn push(
    client: &Client,
    format: Format,
    described: Described,
) -> Result<(), CliError> {
    let Described { path, layout, descriptor } = described;
    let bar = bar("gesendet", layout.bytes());
    let mut skipped = 0;
    let mut step = |step| {
        if let Step::Skipped(bytes) = step {
            skipped += bytes;
        }
        advance(&bar, step);
    };
    client.push_file(&path, &layout, &mut step).await?;
    bar.finish_and_clear();
    // a table of digests helps nobody: it is to be pasted
    let format = if format == Format::Table { Format::Yaml } else { format };
    let object = || {
        Ok(Object::default()
            .with("artefakte", json::list("Artefakt", std::slice::from_ref(&descriptor))?))
    };
    output::print(format, object, String::new)?;
    let before = if skipped == 0 { String::new() } else { format!(", davon {skipped} schon dort") };
    eprintln!(
        "{}: {} Bytes beim Knoten{before}. SHA-256 {}",
        clean(&descriptor.name),
        layout.bytes(),
        layout.sha256()
    );
    Ok(())
}

pub(super) async fn pull(
    client: &Client,
    format: Format,
    args: ArtefactPull,
) -> Result<(), CliError> {
    let mut wanted = match (&args.service, &args.version, &args.digest) {
        (Some(service), Some(version), _) => {
            let land = args.land.map_or_else(String::new, |land| land.to_string());
            of_version(client, service, version, land, None).await?
        }
        (_, _, Some(digest)) => vec![of_digest(client, digest).await?],
        _ => return Err(usage("--service mit --version, oder --digest angeben".to_owned())),
    };
    if let Some(name) = &args.name {
        wanted.retain(|it| it.name == *name);
    }
    if wanted.is_empty() {
        return Err(usage(
            "die Version nennt keine solche Datei.\nNächster Schritt: registry artefact list"
                .to_owned(),
        ));
    }
    let targets = targets(&wanted, args.to.as_deref())?;
    let mut received = Vec::new();
    for (descriptor, target) in wanted.iter().zip(&targets) {
        let layout = Layout::of(descriptor).map_err(|error| {
            usage(format!(
                "die Beschreibung von {:?} passt zu keiner Datei: {error}",
                descriptor.name
            ))
        })?;
        let bar = bar(&clean(&descriptor.name), layout.bytes());
        let pulled = client.pull_file(&layout, target, &mut |step| advance(&bar, step)).await?;
        bar.finish_and_clear();
        received.push((descriptor, target, pulled));
    }
    print_received(format, &received)
}

fn print_received(
    format: Format,
    received: &[(&Artefakt, &PathBuf, Pulled)],
) -> Result<(), CliError> {
    let digest = |it: &Artefakt| {
        Hash::try_from(&it.sha256[..]).map_or_else(|_| String::new(), |it| it.to_string())
    };
    let word = |pulled| match pulled {
        Pulled::Received => "geholt und geprüft",
        Pulled::Unchanged => "schon vollständig",
    };
    let object = || {
        let files = received.iter().map(|(descriptor, target, pulled)| {
            Node::Object(
                Object::default()
                    .with("name", Node::Text(descriptor.name.clone()))
                    .with("path", Node::Text(target.display().to_string()))
                    .with("bytes", Node::Number(descriptor.bytes))
                    .with("sha256", Node::Text(digest(descriptor)))
                    .with("unchanged", Node::Bool(*pulled == Pulled::Unchanged)),
            )
        });
        Ok(Object::default().with("files", Node::List(files.collect())))
    };
    output::print(format, object, || {
        output::table(
            ["Datei", "Bytes", "Ergebnis"],
            &[1],
            received.iter().map(|(descriptor, target, pulled)| {
                let target = target.display().to_string();
                [target, descriptor.bytes.to_string(), word(*pulled).to_owned()]
            }),
        )
    })
}

pub(super) async fn list(
    client: &Client,
    format: Format,
    args: VersionShow,
) -> Result<(), CliError> {
    let land = args.land.map_or_else(String::new, |land| land.to_string());
    let zeitpunkt = args.past.zeitpunkt();
    let wanted = of_version(client, &args.id, &args.version, land, zeitpunkt).await?;
    let digests: Vec<_> =
        wanted.iter().filter_map(|it| Hash::try_from(&it.sha256[..]).ok()).collect();
    let states = client.stat_artefacts(&digests).await?;
    let state = |it: &Artefakt| {
        let same = |state: &&ArtefactState| {
            state
                .artefakt
                .as_ref()
                .is_some_and(|of| of.sha256 == it.sha256 && of.chunks == it.chunks)
        };
        let state = states.iter().find(same).cloned().unwrap_or_default();
        ArtefactState { artefakt: Some(it.clone()), ..state }
    };
    let states: Vec<_> = wanted.iter().map(state).collect();
    let object = || Ok(Object::default().with("artefacts", json::list("ArtefactState", &states)?));
    output::print(format, object, || {
        output::table(
            ["Name", "Typ", "Bytes", "Beim Knoten", "Bei", "SHA-256"],
            &[2, 5],
            states.iter().map(|state| {
                let it = state.artefakt.clone().unwrap_or_default();
                let digest = Hash::try_from(&it.sha256[..]);
                [
                    it.name,
                    it.typ,
                    it.bytes.to_string(),
                    here(state, it.chunks.len()),
                    state.laender.join(", "),
                    digest.map_or_else(|_| String::new(), |it| it.to_string()),
                ]
            }),
        )
    })
}

pub(super) async fn collect(
    client: &Client,
    format: Format,
    args: ArtefactCollect,
) -> Result<(), CliError> {
    let it = client.collect_artefacts(args.dry_run).await?;
    let object = || {
        Ok(Object::default()
            .with("chunks", Node::Number(it.chunks))
            .with("unreferenced", Node::Number(it.unreferenced))
            .with("kept", Node::Number(it.kept))
            .with("removed", Node::Number(it.removed))
            .with("removed_bytes", Node::Number(it.removed_bytes))
            .with("dry_run", Node::Bool(args.dry_run)))
    };
    output::print(format, object, || {
        output::pairs([
            ("Stücke", it.chunks.to_string()),
            ("Ohne Version", it.unreferenced.to_string()),
            ("Davon noch behalten", it.kept.to_string()),
            (
                if args.dry_run { "Würden gelöscht" } else { "Gelöscht" },
                format!("{} ({} Bytes)", it.removed, it.removed_bytes),
            ),
        ])
    })
}

async fn of_version(
    client: &Client,
    service_id: &str,
    version: &str,
    land: String,
    zeitpunkt: Option<Zeitpunkt>,
) -> Result<Vec<Artefakt>, CliError> {
    let (service_id, version) = (service_id.to_owned(), version.to_owned());
    let answer = client
        .version(GetVersionRequest {
            service_id,
            version,
            land,
            zeitpunkt,
            ..GetVersionRequest::default()
        })
        .await?;
    Ok(answer.version.and_then(|it| it.version).unwrap_or_default().artefakte)
}

async fn of_digest(client: &Client, digest: &str) -> Result<Artefakt, CliError> {
    let hash: Hash = digest
        .to_lowercase()
        .parse()
        .map_err(|_| usage("--digest: erwartet werden 64 Hexadezimalziffern".to_owned()))?;
    let mut states = client.stat_artefacts(&[hash]).await?;
    // where descriptors disagree, the one that is complete
    states.sort_by_key(|state| state.fetch() != ArtefactFetch::Complete);
    let found = states.into_iter().find_map(|state| state.artefakt);
    found.ok_or_else(|| usage(format!("keine Version, die dieser Knoten kennt, nennt {hash}")))
}

/// Where each file goes. Names come from others and MUST NOT lead anywhere else.
fn targets(wanted: &[Artefakt], to: Option<&Path>) -> Result<Vec<PathBuf>, CliError> {
    match (to, wanted) {
        (Some(file), [_]) if !file.is_dir() => Ok(vec![file.to_owned()]),
        (Some(dir), _) if !dir.is_dir() => Err(usage(format!(
            "{} ist kein Verzeichnis; mehrere Dateien brauchen eines",
            dir.display()
        ))),
        (dir, _) => {
            let dir = dir.unwrap_or_else(|| Path::new("."));
            let target = |it: &Artefakt| match safe_name(&it.name) {
                Some(name) => Ok(dir.join(name)),
                None => Err(usage(format!(
                    "{:?} taugt hier nicht als Dateiname; mit --name wählen und mit --to eine \
                     Datei nennen",
                    it.name
                ))),
            };
            wanted.iter().map(target).collect()
        }
    }
}

/// A name that stays in its directory, and is not hidden there.
fn safe_name(name: &str) -> Option<&str> {
    let bad = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    let fits = !name.is_empty() && name.len() <= 240 && !name.starts_with('.');
    (fits && !name.contains(bad)).then_some(name)
}

/// Type and media type by the ending of a name.
fn kind(name: &str) -> (&'static str, &'static str) {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "pdf" => ("pdf", "application/pdf"),
        "awml" => ("awml", "application/octet-stream"),
        "bpmn" => ("bpmn", "application/xml"),
        "png" => ("bild", "image/png"),
        "jpg" | "jpeg" => ("bild", "image/jpeg"),
        "svg" => ("bild", "image/svg+xml"),
        "xml" => ("andere", "application/xml"),
        "json" => ("andere", "application/json"),
        "yaml" | "yml" => ("andere", "application/yaml"),
        "zip" => ("andere", "application/zip"),
        _ => ("andere", "application/octet-stream"),
    }
}

fn here(state: &ArtefactState, chunks: usize) -> String {
    let part = format!("{} von {chunks} Stücken", state.chunks_here);
    match state.fetch() {
        ArtefactFetch::Complete => "vollständig".to_owned(),
        ArtefactFetch::UnderWay => format!("wird geholt, {part}"),
        ArtefactFetch::NotWanted => format!("nicht geholt, {part}"),
        ArtefactFetch::Unspecified => "unbekannt".to_owned(),
    }
}

/// Bytes on standard error; silent if that is no terminal.
pub(super) fn bar(what: &str, bytes: u64) -> ProgressBar {
    let style = "{prefix} {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} noch {eta} {msg}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(what.to_owned())
}

pub(super) fn advance(bar: &ProgressBar, step: Step) {
    match step {
        Step::Read(bytes) | Step::Skipped(bytes) | Step::Moved(bytes) => {
            bar.set_message("");
            bar.inc(bytes);
        }
        Step::Undone(bytes) => bar.set_position(bar.position().saturating_sub(bytes)),
        Step::Broken => bar.set_message("unterbrochen, neuer Versuch"),
    }
}

fn usage(text: String) -> CliError {
    CliError::Usage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_stay_in_their_directory() {
        for good in ["antrag.pdf", "Ablauf 2.awml", "größe.png"] {
            assert_eq!(safe_name(good), Some(good));
        }
        for bad in
            ["", ".", "..", "../x", "a/b", "a\\b", ".bashrc", "c:x", "a\nb", &"x".repeat(241)]
        {
            assert_eq!(safe_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn several_files_need_a_directory() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let named = |name: &str| Artefakt { name: name.to_owned(), ..Artefakt::default() };
        let two = [named("a.pdf"), named("b.pdf")];
        let into = targets(&two, Some(dir.path())).expect("a directory");
        assert_eq!(into, [dir.path().join("a.pdf"), dir.path().join("b.pdf")]);
        let file = dir.path().join("neu.pdf");
        assert_eq!(targets(&two[..1], Some(&file)).expect("a file"), std::slice::from_ref(&file));
        assert!(targets(&two, Some(&file)).is_err());
        assert!(targets(&[named("../a")], Some(dir.path())).is_err());
    }
}
