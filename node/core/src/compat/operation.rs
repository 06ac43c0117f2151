//! Compares an operation: parameters, request, responses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Severity, Shown,
    document::Place,
    schema::{Comparison, Contract},
    security,
};

/// Both sides of something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides<T> {
    pub(super) old: T,
    pub(super) new: T,
}

/// What stands below a path.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// "/antraege/{id}".
    pub(super) template: &'a str,
    pub(super) place: Place<'a>,
}

/// Compares the operation of a path.
pub(super) fn compare(
    comparison: &mut Comparison<'_>,
    item: &Sides<Item<'_>>,
    operation: &Sides<Place<'_>>,
) {
    let Sides { old, new } = operation;
    if !old.is_true("deprecated") && new.is_true("deprecated") {
        say(comparison, Severity::Note, &new.pointer, "OPERATION_DEPRECATED", "ist jetzt veraltet");
    }
    parameters(comparison, item, operation);
    request(comparison, operation);
    responses(comparison, operation);
    security::compare(comparison, operation);
    if old.value.get("callbacks") != new.value.get("callbacks") {
        let text = "callbacks geändert; nicht ausgewertet";
        say(comparison, Severity::Note, &new.pointer, "SECTION_CHANGED", text);
    }
}

/// A path without the names of its parameters.
pub(super) fn template(path: &str) -> String {
    let mut template = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '{' => {
                inside = true;
                template.push_str("{}");
            }
            '}' => inside = false,
            _ if inside => {}
            _ => template.push(c),
        }
    }
    template
}

fn say(
    comparison: &mut Comparison<'_>,
    severity: Severity,
    pointer: &str,
    rule: &'static str,
    text: impl Into<String>,
) {
    let path = comparison.path(pointer);
    comparison.changes().push(severity, &path, rule, text);
}

/// Parameters of an operation and its path, by place and name; those in the path by position.
type Parameters<'a> = BTreeMap<(String, String), Place<'a>>;

fn parameters(
    comparison: &mut Comparison<'_>,
    item: &Sides<Item<'_>>,
    operation: &Sides<Place<'_>>,
) {
    let old = listed(comparison, &item.old, &operation.old);
    let new = listed(comparison, &item.new, &operation.new);
    for (key, was) in &old {
        match new.get(key) {
            Some(is) => parameter(comparison, was, is),
            None => {
                let text = format!("der Parameter {} entfällt", Shown(&key.1));
                say(comparison, Severity::Breaking, &was.pointer, "PARAMETER_REMOVED", text);
            }
        }
    }
    for (key, is) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        let name = Shown(&key.1);
        if is.is_true("required") {
            let text = format!("neuer Pflichtparameter {name} ({})", Shown(&key.0));
            say(comparison, Severity::Breaking, &is.pointer, "PARAMETER_REQUIRED_ADDED", text);
        } else {
            let text = format!("neuer Parameter {name}, keine Pflicht");
            say(comparison, Severity::Compatible, &is.pointer, "PARAMETER_ADDED", text);
        }
    }
}

fn listed<'a>(
    comparison: &mut Comparison<'_>,
    item: &Item<'a>,
    operation: &Place<'a>,
) -> Parameters<'a> {
    let order = path_parameters(item.template);
    let mut found = Parameters::new();
    // the operation overrides the path
    for list in [&item.place, operation].into_iter().filter_map(|it| it.get("parameters")) {
        for parameter in list.items().take(PARAMETERS_MAX) {
            let Some(parameter) = parameter.target() else {
                let text = "Verweis aus dem Dokument hinaus; nicht verglichen";
                say(comparison, Severity::Note, &parameter.pointer, "REF_OUTSIDE", text);
                continue;
            };
            let place = parameter.text("in").unwrap_or_default();
            let mut name = parameter.text("name").unwrap_or_default().to_owned();
            match place {
                "path" => {
                    if let Some(at) = order.iter().position(|it| *it == name) {
                        name = format!("{{{at}}}");
                    }
                }
                "header" => name = name.to_lowercase(),
                _ => {}
            }
            found.insert((place.to_owned(), name), parameter);
        }
    }
    found
}

/// Names of the parameters in a path, in their order.
fn path_parameters(template: &str) -> Vec<&str> {
    let parts = template.split('{').skip(1).take(PARAMETERS_MAX);
    parts.filter_map(|it| it.split_once('}')).map(|(name, _)| name).collect()
}

fn parameter(comparison: &mut Comparison<'_>, old: &Place<'_>, new: &Place<'_>) {
    match (old.is_true("required"), new.is_true("required")) {
        (false, true) => {
            say(comparison, Severity::Breaking, &new.pointer, "PARAMETER_REQUIRED", "wird Pflicht");
        }
        (true, false) => {
            let text = "ist keine Pflicht mehr";
            say(comparison, Severity::Compatible, &new.pointer, "PARAMETER_OPTIONAL", text);
        }
        _ => {}
    }
    if serialisation(old) != serialisation(new) {
        let text = "style, explode oder allowReserved geändert: der Wert wird anders geschrieben";
        say(comparison, Severity::Breaking, &new.pointer, "PARAMETER_STYLE_CHANGED", text);
    }
    schemas(comparison, Contract::Input, old, new);
    contents(comparison, Contract::Input, old, new);
}

/// How a parameter is written, with the defaults of OpenAPI.
fn serialisation<'a>(parameter: &Place<'a>) -> (&'a str, bool, bool) {
    let usual = match parameter.text("in") {
        Some("query" | "cookie") => "form",
        _ => "simple",
    };
    let style = parameter.text("style").unwrap_or(usual);
    let explode = parameter.value.get("explode").and_then(Value::as_bool);
    (style, explode.unwrap_or(style == "form"), parameter.is_true("allowReserved"))
}

fn request(comparison: &mut Comparison<'_>, operation: &Sides<Place<'_>>) {
    const KEY: &str = "requestBody";
    let (old, new) = (operation.old.get(KEY), operation.new.get(KEY));
    match (old.map(|it| it.target()), new.map(|it| it.target())) {
        (None, None) => {}
        (Some(None), _) | (_, Some(None)) => {
            if operation.old.value.get(KEY) != operation.new.value.get(KEY) {
                let text = "Verweis aus dem Dokument hinaus; nicht verglichen";
                let pointer = operation.new.below(KEY);
                say(comparison, Severity::Note, &pointer, "REF_OUTSIDE", text);
            }
        }
        (Some(Some(old)), None) => {
            let text = "der Inhalt der Anfrage wird nicht mehr beschrieben";
            say(comparison, Severity::Breaking, &old.pointer, "REQUEST_BODY_REMOVED", text);
        }
        (None, Some(Some(new))) => {
            let (severity, text) = if new.is_true("required") {
                (Severity::Breaking, "die Anfrage braucht jetzt einen Inhalt")
            } else {
                (Severity::Compatible, "die Anfrage kann jetzt einen Inhalt haben")
            };
            say(comparison, severity, &new.pointer, "REQUEST_BODY_ADDED", text);
        }
        (Some(Some(old)), Some(Some(new))) => {
            if !old.is_true("required") && new.is_true("required") {
                let text = "der Inhalt der Anfrage wird Pflicht";
                say(comparison, Severity::Breaking, &new.pointer, "REQUEST_BODY_REQUIRED", text);
            }
            contents(comparison, Contract::Input, &old, &new);
        }
    }
}

fn responses(comparison: &mut Comparison<'_>, operation: &Sides<Place<'_>>) {
    let (old, new) = (operation.old.get("responses"), operation.new.get("responses"));
    let (before, after) = (members(old.as_ref()), members(new.as_ref()));
    for (status, was) in &before {
        match after.get(status) {
            Some(is) => response(comparison, was, is),
            None => {
                // nobody misses an error
                let missed = status.starts_with(['1', '2', '3']) || *status == "default";
                let severity = if missed { Severity::Breaking } else { Severity::Note };
                let text = format!("die Antwort {} entfällt", Shown(status));
                say(comparison, severity, &was.pointer, "RESPONSE_REMOVED", text);
            }
        }
    }
    for (status, is) in after.iter().filter(|(status, _)| !before.contains_key(*status)) {
        let text = format!("die Antwort {} kommt hinzu", Shown(status));
        say(comparison, Severity::Note, &is.pointer, "RESPONSE_ADDED", text);
    }
}

/// Members by name, without extensions.
fn members<'a>(place: Option<&Place<'a>>) -> BTreeMap<&'a str, Place<'a>> {
    let all = place.map(Place::members).into_iter().flatten();
    all.filter(|(name, _)| !name.starts_with("x-")).collect()
}

fn response(comparison: &mut Comparison<'_>, was: &Place<'_>, is: &Place<'_>) {
    let (Some(old), Some(new)) = (was.target(), is.target()) else {
        if was.value != is.value {
            let text = "Verweis aus dem Dokument hinaus; nicht verglichen";
            say(comparison, Severity::Note, &is.pointer, "REF_OUTSIDE", text);
        }
        return;
    };
    contents(comparison, Contract::Output, &old, &new);
    headers(comparison, &old, &new);
}

fn headers(comparison: &mut Comparison<'_>, old: &Place<'_>, new: &Place<'_>) {
    let (old, new) = (old.get("headers"), new.get("headers"));
    let after: BTreeMap<String, Place<'_>> =
        all(new.as_ref()).map(|(name, it)| (name.to_lowercase(), it)).collect();
    for (name, was) in all(old.as_ref()) {
        let Some(was) = was.target() else { continue };
        match after.get(&name.to_lowercase()).map(Place::target) {
            None => {
                let severity =
                    if was.is_true("required") { Severity::Breaking } else { Severity::Note };
                let text = format!("die Kopfzeile {} entfällt", Shown(name));
                say(comparison, severity, &was.pointer, "HEADER_REMOVED", text);
            }
            Some(None) => {
                let text = "Verweis aus dem Dokument hinaus; nicht verglichen";
                say(comparison, Severity::Note, &was.pointer, "REF_OUTSIDE", text);
            }
            Some(Some(is)) => {
                if was.is_true("required") && !is.is_true("required") {
                    let text = "die Kopfzeile ist nicht mehr zugesichert";
                    say(comparison, Severity::Breaking, &is.pointer, "HEADER_OPTIONAL", text);
                }
                schemas(comparison, Contract::Output, &was, &is);
            }
        }
    }
}

fn all<'a>(place: Option<&Place<'a>>) -> impl Iterator<Item = (&'a str, Place<'a>)> {
    place.map(Place::members).into_iter().flatten()
}

/// Media types of a request, a response or a parameter.
fn contents(comparison: &mut Comparison<'_>, contract: Contract, old: &Place<'_>, new: &Place<'_>) {
    let (old, new) = (old.get("content"), new.get("content"));
    let (before, after) = (members(old.as_ref()), members(new.as_ref()));
    for (name, was) in &before {
        match after.get(name) {
            Some(is) => {
                schemas(comparison, contract, was, is);
                if was.value.get("encoding") != is.value.get("encoding") {
                    let text = "encoding geändert; nicht ausgewertet";
                    say(comparison, Severity::Note, &is.pointer, "SECTION_CHANGED", text);
                }
            }
            None => {
                let text = format!("der Medientyp {} entfällt", Shown(name));
                say(comparison, Severity::Breaking, &was.pointer, "MEDIA_TYPE_REMOVED", text);
            }
        }
    }
    for (name, is) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        let text = format!("der Medientyp {} kommt hinzu", Shown(name));
        say(comparison, Severity::Compatible, &is.pointer, "MEDIA_TYPE_ADDED", text);
    }
}

/// The member `schema` of both; without one everything is valid.
fn schemas(comparison: &mut Comparison<'_>, contract: Contract, old: &Place<'_>, new: &Place<'_>) {
    match (old.get("schema"), new.get("schema")) {
        (None, None) => {}
        (Some(old), Some(new)) => comparison.run(contract, old, new),
        (None, Some(_)) => {
            let text = "bisher ohne Schema; nicht vergleichbar";
            say(comparison, Severity::Note, &new.pointer, "SCHEMA_ADDED", text);
        }
        (Some(_), None) => {
            let (severity, text) = match contract {
                Contract::Input => (Severity::Compatible, "ohne Schema ist alles zulässig"),
                Contract::Output => (Severity::Breaking, "die Antwort ist nicht mehr beschrieben"),
            };
            say(comparison, severity, &new.pointer, "SCHEMA_REMOVED", text);
        }
    }
}

const PARAMETERS_MAX: usize = 1_000;
