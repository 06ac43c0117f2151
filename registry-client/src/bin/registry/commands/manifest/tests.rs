//! Directories on disk: what is read of them, and what is refused.

use std::{fs, os::unix::fs::symlink, path::Path};

use jsonschema::Validator;
use registry_client::manifest::{render, schema};
use registry_proto::wire::registry::{ServiceVersion, record};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    example,
    read::{Directory, Limits, read_within},
};
use crate::errors::CliError;

const ID: &str = "01930000-0000-7000-8000-000000000000";

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("file");
    }
    dir
}

fn read_all(dir: &Path, limits: &Limits) -> Result<Directory, CliError> {
    read_within(&[dir.to_owned()], limits)
}

/// Why the directory is refused; paths begin after its own.
fn refused(dir: &Path, limits: &Limits) -> String {
    let error = read_all(dir, limits).expect_err("refused");
    assert_eq!(error.exit_code(), 2);
    error.report().expect("a text").replace(&format!("{}/", dir.display()), "")
}

#[track_caller]
fn check_refused(files: &[(&str, &str)], expect: &[&str]) {
    let dir = directory(files);
    let text = refused(dir.path(), &Limits::default());
    for part in expect {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

fn defines(rest: &str) -> String {
    format!("service_definition:\n  service_id: {ID}\n{rest}")
}

#[test]
fn a_directory_is_read_with_its_folders_and_files() {
    let manifest = format!(
        "{}---\nservice_version:\n  version: 1.0.0\n  artefakte:\n  - datei: api.yaml\n    typ: \
         openapi\n  - datei: ../gemeinsam/Antrag 1.pdf\n",
        defines("")
    );
    let other = format!("service_version: {{version: 1.1.0, service_id: {ID}}}\n");
    let dir = directory(&[
        ("waffen/dienst.yaml", &manifest),
        ("waffen/api.yaml", "openapi: 3.1.0\n"),
        ("weitere.YML", &other),
        ("gemeinsam/Antrag 1.pdf", "pdf"),
        ("gemeinsam/LIESMICH.md", "kein Manifest"),
        (".git/config.yaml", "kein: Manifest\n"),
    ]);
    let found = read_all(dir.path(), &Limits::default()).expect("readable");
    assert!(found.is_whole);
    let [service] = found.services.as_slice() else { panic!("one service: {found:?}") };
    assert_eq!((service.service_id.as_str(), service.versions.len()), (ID, 2));
    let Some(record::Record::ServiceVersion(version)) = &found.records[1].record else {
        panic!("a version: {found:?}")
    };
    assert_eq!(version.service_id, ID);
    let files: Vec<_> = version
        .artefakte
        .iter()
        .map(|it| (it.name.as_str(), it.typ.as_str(), it.medientyp.as_str(), it.bytes))
        .collect();
    assert_eq!(
        files,
        [
            ("api.yaml", "openapi", "application/yaml", 15),
            ("Antrag 1.pdf", "pdf", "application/pdf", 3)
        ]
    );
    assert_eq!(found.files[&1].len(), 2);
    assert_eq!(version.artefakte[1].sha256.len(), 32);
}

#[test]
fn one_manifest_is_no_whole_directory() {
    let dir = directory(&[("a.yaml", &defines("")), ("b.yaml", "kein: Manifest\n")]);
    let found = read_within(&[dir.path().join("a.yaml")], &Limits::default()).expect("readable");
    assert_eq!((found.is_whole, found.records.len()), (false, 1));
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    check_refused(
        &[
            ("a.yaml", &defines("  themenfelt: umwelt\n")),
            ("b.yaml", "service_definition:\n  land: SL\n"),
            ("c.yaml", "service_version:\n  version: 1.0.0\n"),
            ("d.yaml", "service_definition:\n  service_id: ABC\n"),
            ("e.yaml", "version_status:\n  version: 1.0.0\n"),
            ("f.yaml", "a: [\n"),
            ("g.yaml", "service_definition: {land: XX}\n"),
        ],
        &[
            "  a.yaml:3, service_definition.themenfelt: dieses Feld gibt es nicht; meinten Sie",
            "  b.yaml:1, service_definition.service_id: fehlt;",
            "eintragen: service_id: 0",
            "  c.yaml:1, service_version.service_id: fehlt, und vor dieser Version",
            "  d.yaml:2, service_definition.service_id: \"ABC\" ist keine UUID",
            "  e.yaml:1, version_status: gehört nicht in ein Manifest",
            "  f.yaml:1: kein gültiges YAML",
            "  g.yaml:1, service_definition.land: \"XX\" ist kein Land",
        ],
    );
}

#[test]
fn what_stands_twice_is_refused() {
    let version = format!("service_version: {{version: 1.0.0, service_id: {ID}}}\n");
    check_refused(
        &[
            ("a.yaml", &defines("")),
            ("b.yaml", &defines("")),
            ("c.yaml", &version),
            ("d.yaml", &version),
        ],
        &[
            "b.yaml:2, service_definition.service_id: steht zweimal; zuerst a.yaml:2, ",
            "d.yaml:1, service_version.version: steht zweimal; zuerst c.yaml:1, ",
        ],
    );
}

#[test]
fn files_of_versions_stay_in_the_directory() {
    let names = |path: &str| {
        format!("service_version:\n  service_id: {ID}\n  artefakte:\n  - datei: {path}\n")
    };
    for (path, why) in [
        ("../a.pdf", "führt aus dem Verzeichnis hinaus"),
        ("/etc/passwd", "muss vom Manifest aus gesehen sein"),
        ("fehlt.pdf", "gibt es nicht"),
        ("ordner", "ist keine Datei"),
        ("link.pdf", "führt über eine symbolische Verknüpfung"),
        ("7", "erwartet wird der Pfad einer Datei"),
    ] {
        let dir = directory(&[("m.yaml", &names(path)), ("ordner/a.pdf", "a")]);
        symlink("ordner/a.pdf", dir.path().join("link.pdf")).expect("link");
        let text = refused(dir.path(), &Limits::default());
        assert!(text.contains("m.yaml:4") && text.contains(why), "{path}: {text}");
    }
    let dir = directory(&[("m.yaml", &names("linkordner/a.pdf")), ("ordner/a.pdf", "a")]);
    symlink("ordner", dir.path().join("linkordner")).expect("link");
    let error = read_within(&[dir.path().join("m.yaml")], &Limits::default()).expect_err("refused");
    let text = error.report().expect("a text");
    assert!(text.contains("führt über eine symbolische Verknüpfung"), "{text}");
}

#[test]
fn manifests_behind_links_are_not_passed_over() {
    for (target, link) in [("a.yaml", "b.yaml"), ("ordner", "link")] {
        let dir = directory(&[("a.yaml", &defines("")), ("ordner/c.yaml", "{}")]);
        symlink(target, dir.path().join(link)).expect("link");
        let text = refused(dir.path(), &Limits::default());
        assert!(text.contains(&format!("{link} ist eine symbolische")), "{text}");
    }
}

#[test]
fn stated_digests_must_be_those_of_the_file() {
    let manifest = |bytes: u64| {
        format!(
            "service_version:\n  service_id: {ID}\n  artefakte:\n  - datei: a.pdf\n    bytes: {bytes}\n"
        )
    };
    check_refused(&[("m.yaml", &manifest(2)), ("a.pdf", "a")], &["passen nicht zur Datei"]);
}

#[test]
fn reading_has_limits() {
    let manifest =
        format!("service_version:\n  service_id: {ID}\n  artefakte:\n  - datei: 1/2/a.pdf\n");
    let dir = directory(&[("a.yaml", &manifest), ("b.yaml", "# leer\n"), ("1/2/a.pdf", "a")]);
    let fits = Limits { manifests: 2, entries: 5, depth: 2, bytes: 200, files: 1 };
    assert!(read_all(dir.path(), &fits).is_ok());
    for (limits, what) in [
        (Limits { manifests: 1, ..fits }, "zu viele Manifeste, erlaubt sind 1"),
        (Limits { entries: 4, ..fits }, "zu viele Einträge"),
        (Limits { depth: 1, ..fits }, "zu viele Ebenen"),
        (Limits { bytes: 20, ..fits }, "zu viele Bytes"),
        (Limits { files: 0, ..fits }, "zu viele Dateien"),
    ] {
        let text = refused(dir.path(), &limits);
        assert!(text.contains(what), "{text}");
    }
}

/// The documents of a manifest.
fn documents(text: &str) -> Vec<Value> {
    serde_norway::Deserializer::from_str(text)
        .map(|it| serde_norway::Value::deserialize(it).expect("YAML"))
        .map(|it| serde_json::to_value(it).expect("JSON"))
        .collect()
}

fn validator() -> Validator {
    let schema = schema::manifest().expect("schema");
    assert!(jsonschema::meta::is_valid(&schema), "the schema is one");
    jsonschema::draft202012::new(&schema).expect("schema")
}

#[test]
fn the_example_is_a_manifest_and_so_is_what_is_written_of_it() {
    let text = example();
    let dir = directory(&[("dienst.yaml", &text)]);
    let found = read_all(dir.path(), &Limits::default()).expect("readable");
    assert_eq!((found.records.len(), found.services.len()), (2, 1));
    assert_ne!(example(), text, "each has a UUID of its own");
    let file = |it: &ServiceVersion, at: usize| Some(format!("{}/{at}.pdf", it.version));
    let mut records = found.records;
    if let Some(record::Record::ServiceVersion(it)) = &mut records[1].record {
        it.artefakte = vec![Default::default(); 2];
    }
    let written = render::text(&records, &file).expect("text");
    let digests = render::text(&records[..1], &|_, _| None).expect("text");
    let validator = validator();
    for text in [text, written, digests] {
        for document in documents(&text) {
            let errors: Vec<_> =
                validator.iter_errors(&document).map(|it| it.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?} in {text}");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_no_manifest() {
    let validator = validator();
    let sound = documents(&example());
    let with = |document: usize, change: fn(&mut Value)| {
        let mut changed = sound[document].clone();
        change(&mut changed);
        validator.is_valid(&changed)
    };
    assert!(with(0, |_| ()) && with(1, |_| ()));
    assert!(!with(0, |it| it["service_definition"]["themenfelt"] = "umwelt".into()), "a typo");
    assert!(!with(0, |it| it["service_definition"]["service_id"] = "abc".into()), "no UUID");
    assert!(!with(0, |it| it["service_definition"]["leistungsschluessel"][0] = "4711".into()));
    assert!(!with(0, |it| {
        it["service_definition"].as_object_mut().expect("fields").remove("service_id");
    }));
    assert!(!with(1, |it| it["service_version"]["lifecycle"] = "FREIGEGEBEN".into()), "no value");
    assert!(!with(1, |it| it["service_version"]["version"] = 1.into()), "a number");
    assert!(!with(1, |it| it["service_version"]["onlinedienste"][0]["lnk"] = "x".into()));
    assert!(!with(1, |it| it["service_version"]["artefakte"] = serde_json::json!([{"name": "a"}])));
    assert!(!with(1, |it| it["version_status"] = serde_json::json!({})), "another kind");
    assert!(!validator.is_valid(&serde_json::json!({})));
    let both = serde_json::json!({
        "service_definition": sound[0]["service_definition"],
        "service_version": sound[1]["service_version"],
    });
    assert!(!validator.is_valid(&both));
    let list = serde_json::json!({"records": sound});
    assert!(validator.is_valid(&list));
}
