//! `registry service edit`: fields of many definitions at once, as one atomic batch.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use registry_client::{Client, catalogue::ServiceFilter, publish::RECORDS_MAX};
use registry_proto::{
    terms::{Land, ServiceId},
    wire::registry::{GetServiceRequest, Record, ServiceDefinition, record},
};
use serde_json::{Map, Value};

use super::{count, german, own_land, publish, write};
use crate::{
    args::{Format, ServiceEdit},
    documents::{self, Sources},
    errors::CliError,
    json, output,
};

/// Which services are edited.
#[derive(Debug, Default)]
pub(super) struct Selection {
    filter: ServiceFilter,
    ids: BTreeSet<String>,
}

/// A new value for a field.
#[derive(Debug)]
pub(super) struct Change {
    path: Vec<String>,
    value: String,
}

/// A definition before and after.
struct Edited {
    title: String,
    before: Value,
    after: Value,
    record: Record,
}

/// Reads the options; their mistakes need no node.
pub(super) fn prepare(args: &ServiceEdit) -> Result<(Selection, Vec<Change>), CliError> {
    let selection = selection(&args.select)?;
    let changes = args.set.iter().map(|text| change(text)).collect::<Result<_, _>>()?;
    Ok((selection, changes))
}

pub(super) async fn edit(
    client: &Client,
    format: Format,
    args: ServiceEdit,
    (selection, changes): (Selection, Vec<Change>),
) -> Result<(), CliError> {
    let own = writes_for(client, &selection).await?;
    let ids = selected(client, own, selection).await?;
    let progress = output::progress();
    let mut edited = Vec::new();
    for (at, service_id) in ids.iter().enumerate() {
        progress.set_message(format!("{at} von {} Steckbriefen gelesen", ids.len()));
        progress.tick();
        let request = GetServiceRequest {
            service_id: service_id.clone(),
            land: own.to_string(),
            ..GetServiceRequest::default()
        };
        let found = client.service(request).await?.service.unwrap_or_default();
        let mut definition = found.definition.unwrap_or_default();
        // that of a service taken over is by its former owner
        definition.land = own.to_string();
        edited.extend(apply(&definition, found.revision, &changes)?);
    }
    progress.finish_and_clear();
    if edited.is_empty() {
        eprintln!("{}: nichts zu ändern.", count(ids.len(), "Steckbrief", "Steckbriefe"));
        return Ok(());
    }
    let records: Vec<_> = edited.iter().map(|it| it.record.clone()).collect();
    let writing = &args.writing;
    if writing.dry_run && format == Format::Table {
        output::write(&edited.iter().map(difference).collect::<String>())?;
    }
    let answer = write::send(client, records, Sources::default(), writing, writing.key()).await?;
    if !(writing.dry_run && format == Format::Table) {
        let table = || publish::table(&answer, writing.dry_run);
        output::print(format, || write::object(&answer, writing), table)?;
    }
    write::tell(&answer, &Sources::default());
    let unchanged = ids.len() - edited.len();
    if unchanged > 0 {
        let it = count(unchanged, "Steckbrief hat", "Steckbriefe haben");
        eprintln!("{it} diese Werte schon.");
    }
    eprintln!("{}", write::outcome(&answer, writing));
    Ok(())
}

/// The Land of the node; only its definitions can be edited there.
async fn writes_for(client: &Client, selection: &Selection) -> Result<Land, CliError> {
    let own = own_land(client).await?;
    match selection.filter.land {
        Some(other) if other != own => Err(CliError::Usage(format!(
            "dieser Knoten schreibt für {own}, nicht für {other}.\nNächster Schritt: den Knoten \
             von {other} mit --endpoint angeben"
        ))),
        Some(_) | None => Ok(own),
    }
}

async fn selected(
    client: &Client,
    own: Land,
    selection: Selection,
) -> Result<Vec<String>, CliError> {
    let filter = ServiceFilter { land: Some(own), ..selection.filter };
    let found = client.services(filter, None).await?.entries;
    let mut ids: Vec<_> = found.into_iter().map(|it| it.service_id).collect();
    if !selection.ids.is_empty() {
        if let Some(other) = selection.ids.iter().find(|id| !ids.contains(id)) {
            return Err(CliError::Usage(format!(
                "Dienst {other} gehört nicht {own} oder passt nicht zur übrigen Auswahl.\nNächster \
                 Schritt: registry service show {other}"
            )));
        }
        ids.retain(|id| selection.ids.contains(id));
    }
    match ids.len() {
        0 => Err(CliError::Usage(
            "die Auswahl trifft keinen Dienst.\nNächster Schritt: registry service list mit \
             denselben Angaben"
                .to_owned(),
        )),
        1..=RECORDS_MAX => Ok(ids),
        many => Err(CliError::Usage(format!(
            "die Auswahl trifft {many} Dienste, ein Stapel fasst {RECORDS_MAX}.\nNächster Schritt: \
             enger auswählen"
        ))),
    }
}

fn selection(words: &[String]) -> Result<Selection, CliError> {
    let mut selection = Selection::default();
    for word in words {
        match word.split_once('=') {
            Some(("themenfeld", code)) => selection.filter.themenfeld = Some(code.to_owned()),
            Some(("leistungsschluessel", key)) => {
                selection.filter.leistungsschluessel = Some(key.to_owned());
            }
            Some(("land", code)) => {
                let land = code
                    .to_uppercase()
                    .parse()
                    .map_err(|_| CliError::Usage(format!("{code:?} in --select ist kein Land")))?;
                selection.filter.land = Some(land);
            }
            None if word.parse::<ServiceId>().is_ok() => {
                selection.ids.insert(word.clone());
            }
            Some(_) | None => {
                return Err(CliError::Usage(format!(
                    "{word:?} ist keine Auswahl; möglich: themenfeld=CODE, \
                     leistungsschluessel=SCHLÜSSEL, land=LAND oder die UUID eines Dienstes"
                )));
            }
        }
    }
    Ok(selection)
}

fn change(text: &str) -> Result<Change, CliError> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(CliError::Usage(format!(
            "{text:?} ist keine Änderung; erwartet wird FELD=WERT, z. B. teaser='…'"
        )));
    };
    let path: Vec<_> = path.split('.').map(str::to_owned).collect();
    if let Some("service_id" | "land") = path.first().map(String::as_str) {
        return Err(CliError::Usage(format!(
            "{} gehört zur Identität des Dienstes und ändert sich nicht",
            path[0]
        )));
    }
    Ok(Change { path, value: value.to_owned() })
}

/// The definition with the changes; `None` if they change nothing.
fn apply(
    definition: &ServiceDefinition,
    revision: u64,
    changes: &[Change],
) -> Result<Option<Edited>, CliError> {
    let node = json::message(NAME, definition)?;
    let before = serde_json::to_value(&node)
        .map_err(|error| CliError::Internal(format!("Steckbrief: {error}")))?;
    let mut after = before.clone();
    for change in changes {
        let wrong = |why: String| CliError::Usage(format!("{}: {why}", change.path.join(".")));
        set(&mut after, &json::descriptor(NAME)?, &change.path, &change.value).map_err(wrong)?;
    }
    if after == before {
        return Ok(None);
    }
    let edited: ServiceDefinition = documents::message(NAME, &after)?;
    let record = Record {
        record: Some(record::Record::ServiceDefinition(edited)),
        expected_revision: Some(revision),
    };
    let title = format!("{} {}", definition.service_id, german(&definition.bezeichnung));
    Ok(Some(Edited { title, before, after, record }))
}

/// Sets the field at `path` inside a message.
fn set(
    message: &mut Value,
    descriptor: &MessageDescriptor,
    path: &[String],
    text: &str,
) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Err("kein Feld".to_owned()) };
    let field = descriptor
        .get_field_by_name(name)
        .ok_or_else(|| documents::unknown_key(name, descriptor))?;
    let object = message.as_object_mut().ok_or("hier stehen keine Felder")?;
    if rest.is_empty() {
        if text.is_empty() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value(&field, field.is_list(), text)?);
        }
        return Ok(());
    }
    if !field.is_list() {
        let inner = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        return set(inner, &message_of(&field)?, rest, text);
    }
    let (index, rest) = rest.split_first().ok_or("kein Feld")?;
    let items = object.get_mut(name).and_then(Value::as_array_mut);
    let item = index.parse().ok().and_then(|at: usize| items?.get_mut(at));
    let item = item.ok_or_else(|| format!("kein Eintrag {index:?}; gezählt wird von 0"))?;
    if rest.is_empty() {
        *item = value(&field, false, text)?;
        return Ok(());
    }
    set(item, &message_of(&field)?, rest, text)
}

fn message_of(field: &FieldDescriptor) -> Result<MessageDescriptor, String> {
    match field.kind() {
        Kind::Message(inner) => Ok(inner),
        _ => Err(format!("{} hat keine Felder", field.name())),
    }
}

/// Text as it stands for a text; YAML (and so JSON) for everything else.
fn value(field: &FieldDescriptor, is_list: bool, text: &str) -> Result<Value, String> {
    if !is_list && matches!(field.kind(), Kind::String | Kind::Enum(_)) {
        return Ok(Value::String(text.to_owned()));
    }
    serde_norway::from_str(text).map_err(|error| format!("der Wert ist kein YAML: {error}"))
}

/// The fields that change, with both values.
fn difference(it: &Edited) -> String {
    let (before, after) = (leaves(&it.before), leaves(&it.after));
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut text = format!("{}\n", output::clean(&it.title));
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        if old == new {
            continue;
        }
        for (sign, value) in [("-", old), ("+", new)] {
            if let Some(value) = value {
                text.push_str(&format!("  {sign} {path}: {}\n", output::clean(value)));
            }
        }
    }
    text
}

/// Every single value with its path.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    fn walk(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(value, &format!("{path}{dot}{name}"), into);
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    walk(value, &format!("{path}.{at}"), into);
                }
            }
            Value::String(text) => {
                into.insert(path.to_owned(), text.clone());
            }
            other => {
                into.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(value, "", &mut found);
    found
}

const NAME: &str = "ServiceDefinition";

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{Herausgeber, LocalizedText};

    use super::*;

    fn definition() -> ServiceDefinition {
        let name =
            |text: &str| LocalizedText { language_code: "de".to_owned(), text: text.to_owned() };
        ServiceDefinition {
            service_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            bezeichnung: vec![name("Waffenbesitzkarte")],
            ozg_ids: vec!["10294".to_owned()],
            herausgeber: Some(Herausgeber { id: "L1.OE.1".to_owned(), name: "alt".to_owned() }),
            ..ServiceDefinition::default()
        }
    }

    #[track_caller]
    fn check(set: &[&str], expect: &str) {
        let changes = set.iter().map(|it| change(it)).collect::<Result<Vec<_>, _>>();
        let shown = match changes.and_then(|it| apply(&definition(), 7, &it)) {
            Ok(Some(it)) => {
                assert_eq!(it.record.expected_revision, Some(7));
                difference(&it).lines().skip(1).map(str::trim).collect::<Vec<_>>().join(", ")
            }
            Ok(None) => "nothing".to_owned(),
            Err(CliError::Usage(text)) => text,
            Err(other) => format!("{other:?}"),
        };
        assert!(shown.starts_with(expect), "{shown}\nnot {expect}");
    }

    #[test]
    fn fields_are_set_by_their_names_in_the_proto() {
        check(&["themenfeld=umwelt"], "+ themenfeld: umwelt");
        check(&["herausgeber.name=neu"], "- herausgeber.name: alt, + herausgeber.name: neu");
        check(&["bezeichnung.0.text=Jagd"], "- bezeichnung.0.text: Waffenbesitzkarte, +");
        check(&["ozg_ids=[\"10294\", \"10295\"]"], "+ ozg_ids.1: 10295");
        check(&["ozg_ids="], "- ozg_ids.0: 10294");
        check(&["teaser=[{language_code: de, text: kurz}]"], "+ teaser.0.language_code: de, +");
        check(&["herausgeber.name=alt"], "nothing");
        check(&["themenfelt=umwelt"], "themenfelt: dieses Feld gibt es nicht; meinten Sie");
        check(&["bezeichnung.4.text=x"], "bezeichnung.4.text: kein Eintrag \"4\"");
        check(&["themenfeld.x=1"], "themenfeld.x: themenfeld hat keine Felder");
        check(&["ozg_ids=x"], "der Wert passt nicht: ozg_ids: Liste erwartet");
        check(&["land=TH"], "land gehört zur Identität");
        check(&["themenfeld"], "\"themenfeld\" ist keine Änderung");
    }

    #[test]
    fn selections_are_conditions_and_services() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let both = "themenfeld=umwelt 01890a5d-ac96-774b-bcce-b302099a8057 land=sl";
        let found = selection(&words(both)).expect("a selection");
        assert_eq!((found.filter.land, found.ids.len()), (Some(Land::SL), 1));
        for bad in ["umwelt", "farbe=rot", "land=XX"] {
            assert!(selection(&words(bad)).is_err(), "{bad}");
        }
    }
}
