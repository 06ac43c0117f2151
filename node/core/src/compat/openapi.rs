//! Compares OpenAPI documents, 3.0 and 3.1: paths, operations, callbacks.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Changes, NOT_COMPARED,
    document::{Document, Place},
    operation::{self, Item, Sides},
    schema::Comparison,
};

/// Compares the document of the name `artefact`.
pub(super) fn compare(changes: &mut Changes, artefact: &str, old: &Value, new: &Value) {
    let Some(new) = Document::openapi(new) else {
        let text = "kein OpenAPI 3; als brechend gewertet, weil nicht vergleichbar";
        return changes.breaking(artefact, "DOCUMENT_UNREADABLE", text);
    };
    let Some(old) = Document::openapi(old) else {
        let text = "nicht verglichen: die bisherige Fassung ist kein OpenAPI 3";
        return changes.note(artefact, NOT_COMPARED, text);
    };
    let (old, new) = (old.root(), new.root());
    let mut comparison = Comparison::new(changes, artefact);
    let comparison = &mut comparison;
    paths(comparison, &old, &new);
    for key in ["servers", "webhooks"] {
        if old.value.get(key) != new.value.get(key) {
            let path = comparison.path(&format!("#/{key}"));
            let text = format!("{key} geändert; nicht ausgewertet");
            comparison.changes().note(&path, "SECTION_CHANGED", text);
        }
    }
}

fn paths(comparison: &mut Comparison<'_>, old: &Place<'_>, new: &Place<'_>) {
    let (before, after) = (templates(old), templates(new));
    for (template, (name, was)) in &before {
        let Some((new_name, is)) = after.get(template) else {
            let path = comparison.path(&was.pointer);
            let text = format!("der Pfad {} entfällt", super::Shown(name));
            comparison.changes().breaking(&path, "PATH_REMOVED", text);
            continue;
        };
        let (Some(was), Some(is)) = (was.target(), is.target()) else {
            if was.value != is.value {
                let path = comparison.path(&is.pointer);
                let text = "Verweis aus dem Dokument hinaus; nicht verglichen";
                comparison.changes().note(&path, "REF_OUTSIDE", text);
            }
            continue;
        };
        let item = Sides {
            old: Item { template: name, place: was },
            new: Item { template: new_name, place: is },
        };
        methods(comparison, &item);
    }
    for (template, (name, is)) in &after {
        if !before.contains_key(template) {
            let path = comparison.path(&is.pointer);
            let text = format!("der Pfad {} kommt hinzu", super::Shown(name));
            comparison.changes().compatible(&path, "PATH_ADDED", text);
        }
    }
}

fn methods(comparison: &mut Comparison<'_>, item: &Sides<Item<'_>>) {
    for method in METHODS {
        match (item.old.place.get(method), item.new.place.get(method)) {
            (None, None) => {}
            (Some(old), None) => {
                let path = comparison.path(&old.pointer);
                let text = format!("die Operation {} entfällt", method.to_uppercase());
                comparison.changes().breaking(&path, "OPERATION_REMOVED", text);
            }
            (None, Some(new)) => {
                let path = comparison.path(&new.pointer);
                let text = format!("die Operation {} kommt hinzu", method.to_uppercase());
                comparison.changes().compatible(&path, "OPERATION_ADDED", text);
            }
            (Some(old), Some(new)) => operation::compare(comparison, item, &Sides { old, new }),
        }
    }
}

/// Paths by their template without the names of parameters.
fn templates<'a>(root: &Place<'a>) -> BTreeMap<String, (&'a str, Place<'a>)> {
    let mut found = BTreeMap::new();
    for (name, item) in root.get("paths").as_ref().map(Place::members).into_iter().flatten() {
        if name.starts_with('/') {
            found.insert(operation::template(name), (name, item));
        }
    }
    found
}

const METHODS: [&str; 8] = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];
