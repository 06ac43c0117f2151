//! Compares a new version of a service with the one before: what users of the old one rely on,
//! and what of it breaks.
//!
//! Pure and bounded: the shell supplies the bytes of artefacts through [`Artefacts`]. What cannot
//! be compared is named with a [`Severity::Note`], never passed over. Where inclusion cannot be
//! decided (regular expressions, conditions), the answer is the careful one, with its reason in
//! the description.
//!
//! # Why own code
//!
//! Looked at before writing it, none fits untrusted documents of both kinds:
//!
//! - `json-schema-diff` 0.1: draft 7 through the unmaintained `schemars` 0.8, no `required` of
//!   `$defs`, no bound on `$ref`, `unwrap()` on input;
//! - `drift` 0.2: OpenAPI 3.0 only, and its typed model drops keywords it does not know; documents
//!   reach code that is not written and panics;
//! - `jsoncompat` 0.5: says of itself that it is alpha; OpenAPI 3.1 in JSON and draft 2020-12 only,
//!   brings a command line, random numbers and code generators;
//! - `openapiv3`, `oas3`: one minor version of OpenAPI each, no comparison; a comparison over their
//!   types would have to be written twice.
//!
//! So documents stay [`serde_json::Value`] and are walked by keyword. XML is read by `roxmltree`,
//! which has no DTD unless asked and a limit of nodes.

mod changes;
mod document;
mod openapi;
mod operation;
mod record;
mod schema;
mod security;
#[cfg(test)]
mod tests;
mod xdatenfelder;

use bytes::Bytes;
use registry_proto::{
    artefact::{COMPARED_BYTES_MAX, COMPARED_TYPES},
    terms::SemVer,
    wire::registry::{Artefakt, ServiceVersion},
};

use self::{
    changes::Changes,
    document::{Document, ReadError},
    schema::{Comparison, Contract},
};
use crate::{limits::RECORD_LONG_LIST_MAX, validate::Shown};

/// What a change means for users of the old version. The order is that of the list of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that was right with the old version is wrong with the new one.
    Breaking,
    /// Worth knowing; or not comparable.
    Note,
    /// Everything that was right stays right.
    Compatible,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it means.
    pub severity: Severity,
    /// Field of the record, or name of the artefact with a JSON pointer:
    /// `artefakte[api.yaml]#/paths/~1antraege/post`.
    pub path: String,
    /// Stable name of the rule, `UPPER_CASE`.
    pub rule: &'static str,
    /// For people, German.
    pub description: String,
}

/// What the comparison of two versions came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Number of the old version.
    pub from: SemVer,
    /// Number of the new version.
    pub to: SemVer,
    /// `versionshinweis.breaking` of the new version.
    pub declared_breaking: bool,
    /// Sorted by severity, path and rule; at most [`CHANGES_MAX`]. If there were more, the last
    /// one says so; breaking changes are the last to be left out.
    pub changes: Vec<Change>,
}

/// Why a new version must not have its number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It breaks and its number does not say so.
    #[error("version {to} breaks {from} at {path} and needs the number {needed} or greater")]
    NumberTooSmall {
        /// Number of the old version.
        from: SemVer,
        /// Number of the new version.
        to: SemVer,
        /// Least number that would do.
        needed: SemVer,
        /// First breaking change.
        path: String,
    },
    /// It breaks and its note says that users need not act.
    #[error("version {to} breaks at {path}, but versionshinweis.breaking is false")]
    NotDeclared {
        /// Number of the new version.
        to: SemVer,
        /// First breaking change.
        path: String,
    },
}

/// Where the bytes of artefacts come from.
pub trait Artefacts {
    /// All bytes of an artefact, or nothing if they are not here. Implementations should not give
    /// more than [`ARTEFACT_BYTES_MAX`]; more is not looked at.
    fn bytes(&self, artefakt: &Artefakt) -> Option<Bytes>;
}

/// Changes listed in a verdict.
pub const CHANGES_MAX: usize = 200;
/// Bytes of an artefact that is compared.
pub const ARTEFACT_BYTES_MAX: usize = COMPARED_BYTES_MAX as usize;

/// Compares `new` with `old`. Both should have passed [`validate::version`](crate::validate);
/// nothing breaks if they have not.
pub fn compare(old: &ServiceVersion, new: &ServiceVersion, artefacts: &dyn Artefacts) -> Verdict {
    let mut changes = Changes::default();
    let from = number(&mut changes, &old.version);
    let to = number(&mut changes, &new.version);
    record::compare(&mut changes, old, new);
    parameter_schema(&mut changes, &old.parameter_schema, &new.parameter_schema);
    compare_artefacts(&mut changes, old, new, artefacts);
    let declared_breaking = new.versionshinweis.as_ref().is_some_and(|note| note.breaking);
    if declared_breaking {
        changes.breaking(
            "versionshinweis.breaking",
            "VERSIONSHINWEIS_BREAKING",
            "der Versionshinweis sagt, dass Nutzende handeln müssen",
        );
    }
    Verdict { from, to, declared_breaking, changes: changes.finish() }
}

// === impl Verdict ===

impl Verdict {
    /// True when users of the old version must act.
    pub fn is_breaking(&self) -> bool {
        self.changes.iter().any(|change| change.severity == Severity::Breaking)
    }

    /// Says whether the new version may have its number. A breaking change needs a greater MAJOR,
    /// with 0.x a greater MINOR, and a note that says so.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with the first breaking change.
    pub fn allowed(&self) -> Result<(), Refusal> {
        let Some(first) = self.changes.iter().find(|it| it.severity == Severity::Breaking) else {
            return Ok(());
        };
        let (from, to) = (self.from, self.to);
        let needed = if from.major == 0 {
            SemVer::new(0, from.minor.saturating_add(1), 0)
        } else {
            SemVer::new(from.major.saturating_add(1), 0, 0)
        };
        if to < needed {
            return Err(Refusal::NumberTooSmall { from, to, needed, path: first.path.clone() });
        }
        if !self.declared_breaking {
            return Err(Refusal::NotDeclared { to, path: first.path.clone() });
        }
        Ok(())
    }
}

fn number(changes: &mut Changes, text: &str) -> SemVer {
    text.parse().unwrap_or_else(|_| {
        let description = "keine Version der Form MAJOR.MINOR.PATCH; nicht vergleichbar";
        changes.breaking("version", "VERSION_FORM", description);
        SemVer::new(0, 0, 0)
    })
}

fn parameter_schema(changes: &mut Changes, old: &str, new: &str) {
    const FIELD: &str = "parameter_schema";
    match (old.is_empty(), new.is_empty()) {
        (true, true) => {}
        (true, false) => changes.note(
            FIELD,
            "SCHEMA_ADDED",
            "bisher gab es kein Schema; ob bisherige Werte gültig bleiben, ist nicht vergleichbar",
        ),
        (false, true) => {
            changes.note(FIELD, "SCHEMA_REMOVED", "das Schema entfällt; alle Werte sind gültig");
        }
        (false, false) => json_schema(changes, FIELD, old.as_bytes(), new.as_bytes()),
    }
}

/// An artefact in both versions.
struct Pair<'a> {
    old: &'a Artefakt,
    new: &'a Artefakt,
}

fn compare_artefacts(
    changes: &mut Changes,
    old: &ServiceVersion,
    new: &ServiceVersion,
    artefacts: &dyn Artefacts,
) {
    let mut pairs = Vec::new();
    let mut gone: Vec<&Artefakt> = Vec::new();
    let (old, new) = (bounded(&old.artefakte), bounded(&new.artefakte));
    let mut added: Vec<&Artefakt> = new.iter().collect();
    for old in old {
        match added.iter().position(|new| new.name == old.name && new.typ == old.typ) {
            Some(at) => pairs.push(Pair { old, new: added.remove(at) }),
            None => gone.push(old),
        }
    }
    // one of its kind that is gone and one that is new are one that was renamed
    for typ in COMPARED_TYPES {
        let mut olds = gone.iter().enumerate().filter(|(_, it)| it.typ == typ);
        let mut news = added.iter().enumerate().filter(|(_, it)| it.typ == typ);
        if let (Some((o, _)), None, Some((n, _)), None) =
            (olds.next(), olds.next(), news.next(), news.next())
        {
            let (old, new) = (gone.remove(o), added.remove(n));
            let text = format!("heißt jetzt {}; als dieselbe Datei verglichen", Shown(&new.name));
            changes.note(&artefact_path(old), "ARTEFACT_RENAMED", text);
            pairs.push(Pair { old, new });
        }
    }
    for artefact in gone {
        let path = artefact_path(artefact);
        if COMPARED_TYPES.contains(&artefact.typ.as_str()) {
            changes.breaking(
                &path,
                "ARTEFACT_REMOVED",
                "die Beschreibung der Schnittstelle entfällt",
            );
        } else {
            changes.note(&path, "ARTEFACT_REMOVED", "die Datei entfällt");
        }
    }
    for artefact in added {
        changes.compatible(&artefact_path(artefact), "ARTEFACT_ADDED", "die Datei kommt hinzu");
    }
    for pair in pairs {
        compare_pair(changes, &pair, artefacts);
    }
}

fn compare_pair(changes: &mut Changes, Pair { old, new }: &Pair<'_>, artefacts: &dyn Artefacts) {
    if old.sha256 == new.sha256 && !old.sha256.is_empty() {
        return;
    }
    let path = artefact_path(new);
    if !COMPARED_TYPES.contains(&new.typ.as_str()) {
        if matches!(new.typ.as_str(), "awml" | "bpmn" | "andere") {
            changes.note(&path, NOT_COMPARED, "der Inhalt ist anders; nicht verglichen");
        }
        return;
    }
    let (Some(old), Some(new_bytes)) = (artefacts.bytes(old), artefacts.bytes(new)) else {
        let text = "nicht verglichen: die Datei liegt hier nicht in beiden Fassungen vor";
        return changes.note(&path, NOT_COMPARED, text);
    };
    if old.len() > ARTEFACT_BYTES_MAX || new_bytes.len() > ARTEFACT_BYTES_MAX {
        let text = format!("nicht verglichen: größer als {} MiB", ARTEFACT_BYTES_MAX >> 20);
        return changes.note(&path, NOT_COMPARED, text);
    }
    match new.typ.as_str() {
        "openapi" => {
            if let Some((old, new)) = both(changes, &path, &old, &new_bytes) {
                openapi::compare(changes, &path, &old, &new);
            }
        }
        "json_schema" => json_schema(changes, &path, &old, &new_bytes),
        _ => xdatenfelder::compare(changes, &path, &old, &new_bytes),
    }
}

fn json_schema(changes: &mut Changes, path: &str, old: &[u8], new: &[u8]) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    let (old, new) = (Document::json_schema(&old), Document::json_schema(&new));
    Comparison::new(changes, path).run(Contract::Input, old.root(), new.root());
}

/// Both documents if they differ, or a finding about the one that cannot be read: a new one breaks, beside an old
/// one nothing can be said.
fn both(
    changes: &mut Changes,
    path: &str,
    old: &[u8],
    new: &[u8],
) -> Option<(serde_json::Value, serde_json::Value)> {
    let new = match document::read(new) {
        Ok(new) => new,
        Err(error) => {
            changes.breaking(path, "DOCUMENT_UNREADABLE", german(&error));
            return None;
        }
    };
    match document::read(old) {
        // written differently, the same
        Ok(old) if old == new => None,
        Ok(old) => Some((old, new)),
        Err(error) => {
            let text = format!("nicht verglichen; bisherige Fassung: {}", german(&error));
            changes.note(path, NOT_COMPARED, text);
            None
        }
    }
}

fn german(error: &ReadError) -> String {
    match error {
        ReadError::Text => "weder UTF-8 noch lesbar".to_owned(),
        ReadError::Form(reason) => format!("weder JSON noch YAML: {reason}"),
    }
}

fn artefact_path(artefact: &Artefakt) -> String {
    format!("artefakte[{}]", artefact.name.chars().take(100).collect::<String>())
}

fn bounded<T>(all: &[T]) -> &[T] {
    all.get(..LIST_MAX).unwrap_or(all)
}

const NOT_COMPARED: &str = "NOT_COMPARED";
/// Entries of a list of a record that are looked at; validation allows no more.
const LIST_MAX: usize = RECORD_LONG_LIST_MAX;
