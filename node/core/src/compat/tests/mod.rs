//! What breaks, as tables: an expected line is the severity (`!` breaks, `?` note, `+` compatible),
//! the rule and the path.

mod arbitrary;
mod openapi;
mod record;
mod schema;
mod xdatenfelder;

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::wire::registry::{Artefakt, ServiceVersion, Versionshinweis};

use super::*;

/// Artefacts by their digest.
#[derive(Default)]
struct Shelf(BTreeMap<Bytes, Bytes>);

impl Artefacts for Shelf {
    fn bytes(&self, artefakt: &Artefakt) -> Option<Bytes> {
        self.0.get(&artefakt.sha256).cloned()
    }
}

impl Shelf {
    /// Puts a file on the shelf.
    fn file(&mut self, name: &str, typ: &str, content: &str) -> Artefakt {
        // a number will do for a digest
        let sha256 = Bytes::copy_from_slice(&self.0.len().to_be_bytes());
        self.0.insert(sha256.clone(), Bytes::copy_from_slice(content.as_bytes()));
        Artefakt { name: name.to_owned(), typ: typ.to_owned(), sha256, ..Artefakt::default() }
    }
}

fn version(number: &str) -> ServiceVersion {
    ServiceVersion {
        version: number.to_owned(),
        versionshinweis: Some(Versionshinweis::default()),
        ..ServiceVersion::default()
    }
}

/// Compares two contents of one artefact.
fn compare_files(typ: &str, old: &str, new: &str) -> Verdict {
    let mut shelf = Shelf::default();
    let (mut before, mut after) = (version("1.0.0"), version("1.1.0"));
    before.artefakte.push(shelf.file("x", typ, old));
    after.artefakte.push(shelf.file("x", typ, new));
    compare(&before, &after, &shelf)
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let mark = |it: &Change| match it.severity {
        Severity::Breaking => '!',
        Severity::Note => '?',
        Severity::Compatible => '+',
    };
    let line =
        |it: &Change| format!("{} {} {}", mark(it), it.rule, it.path.replace("artefakte[x]", ""));
    verdict.changes.iter().map(line).collect()
}

#[track_caller]
fn check(verdict: &Verdict, expect: &[&str]) {
    assert_eq!(lines(verdict), expect, "{:#?}", verdict.changes);
}

#[test]
fn a_breaking_change_needs_a_greater_number_and_a_note_that_says_so() {
    let check = |from: &str, to: &str, breaks: bool, declared: bool, expect: &str| {
        let mut old = version(from);
        let mut new = version(to);
        old.verfuegbarkeitsgebiet = vec!["10".to_owned()];
        new.verfuegbarkeitsgebiet = vec![if breaks { "07" } else { "10" }.to_owned()];
        new.versionshinweis = Some(Versionshinweis { breaking: declared, ..Default::default() });
        let verdict = compare(&old, &new, &Shelf::default());
        assert_eq!(verdict.is_breaking(), breaks || declared);
        let got = verdict.allowed().map_or_else(|it| it.to_string(), |()| "allowed".to_owned());
        assert_eq!(got, expect, "{from} {to}");
    };
    let gebiet = "verfuegbarkeitsgebiet[10]";
    let small = |to: &str, from: &str, needed: &str| {
        format!("version {to} breaks {from} at {gebiet} and needs the number {needed} or greater")
    };
    check("1.2.3", "1.3.0", false, false, "allowed");
    check("1.2.3", "1.3.0", true, false, &small("1.3.0", "1.2.3", "2.0.0"));
    check("1.2.3", "1.3.0", true, true, &small("1.3.0", "1.2.3", "2.0.0"));
    check("1.2.3", "2.0.0", true, true, "allowed");
    check("1.2.3", "2.0.0", false, false, "allowed");
    check("0.2.3", "0.2.4", true, true, &small("0.2.4", "0.2.3", "0.3.0"));
    check("0.2.3", "0.3.0", true, true, "allowed");
    check("0.2.3", "1.0.0", true, true, "allowed");
    let undeclared =
        format!("version 2.0.0 breaks at {gebiet}, but versionshinweis.breaking is false");
    check("1.2.3", "2.0.0", true, false, &undeclared);
    let declared = "version 1.3.0 breaks 1.2.3 at versionshinweis.breaking and needs the number \
                    2.0.0 or greater";
    check("1.2.3", "1.3.0", false, true, declared);
}

#[test]
fn artefacts_that_cannot_be_compared_are_named() {
    let mut shelf = Shelf::default();
    let (mut old, mut new) = (version("1.0.0"), version("1.1.0"));
    let absent = |name: &str, typ: &str, digest: u8| Artefakt {
        name: name.to_owned(),
        typ: typ.to_owned(),
        sha256: Bytes::from(vec![digest; 32]),
        ..Artefakt::default()
    };
    old.artefakte = vec![
        absent("api.yaml", "openapi", 1),
        absent("gleich.json", "json_schema", 9),
        absent("prozess.bpmn", "bpmn", 3),
        absent("bild.png", "bild", 5),
        absent("weg.json", "json_schema", 6),
        shelf.file("a.json", "json_schema", "{}"),
        shelf.file("b.json", "json_schema", "{"),
        shelf.file("alt.xml", "xdatenfelder", "<struktur/>"),
    ];
    new.artefakte = vec![
        absent("api.yaml", "openapi", 2),
        absent("gleich.json", "json_schema", 9),
        absent("prozess.bpmn", "bpmn", 4),
        absent("bild.png", "bild", 7),
        absent("neu.pdf", "pdf", 8),
        shelf.file("a.json", "json_schema", "{"),
        shelf.file("b.json", "json_schema", "{}"),
        shelf.file("neu.xml", "xdatenfelder", "<struktur></struktur>"),
    ];
    check(
        &compare(&old, &new, &shelf),
        &[
            "! DOCUMENT_UNREADABLE artefakte[a.json]",
            "! ARTEFACT_REMOVED artefakte[weg.json]",
            "? ARTEFACT_RENAMED artefakte[alt.xml]",
            "? NOT_COMPARED artefakte[api.yaml]",
            "? NOT_COMPARED artefakte[b.json]",
            "? NOT_COMPARED artefakte[prozess.bpmn]",
            "+ ARTEFACT_ADDED artefakte[neu.pdf]",
        ],
    );
}
