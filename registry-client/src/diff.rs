//! Field-by-field differences of two messages of one kind, from the descriptors alone.
//!
//! Elements of a list are matched by a field that names them, if there is one, so that an
//! insertion is one difference and not one for every element behind it.

use std::{collections::BTreeSet, sync::OnceLock};

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, SerializeOptions, Value,
};
use serde::Serialize;
use serde_json::Value as Json;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// `parameter[gebuehr].datentyp`; an element stands in brackets by its name, else by its
    /// place.
    pub path: String,
    /// What it was; nothing if it was not there.
    pub before: Option<Json>,
    /// What it is; nothing if it is not there any more.
    pub after: Option<Json>,
}

/// A message cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Its name is none of the protos.
    #[error("message {0} is not described")]
    Unknown(String),
    /// Its bytes are no such message.
    #[error("cannot read a message {name}")]
    Decode {
        /// Name in the protos.
        name: String,
        /// Why.
        #[source]
        source: prost::DecodeError,
    },
}

/// The descriptor of a message of `verbund.registry.v1`.
pub fn descriptor(name: &str) -> Option<MessageDescriptor> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(registry_proto::wire::DESCRIPTORS).ok())
        .as_ref()?
        .get_message_by_name(&format!("verbund.registry.v1.{name}"))
}

/// A generated message of `verbund.registry.v1` as a dynamic one.
///
/// # Errors
///
/// [`DiffError`] if `name` is not the name of the message in the protos.
pub fn dynamic(name: &str, message: &impl Message) -> Result<DynamicMessage, DiffError> {
    let descriptor = descriptor(name).ok_or_else(|| DiffError::Unknown(name.to_owned()))?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|source| DiffError::Decode { name: name.to_owned(), source })
}

/// All differences, in the order of the fields; of a list first what is in `old`, then what is
/// only in `new`, then a change of order. Nothing exactly if both are equal.
pub fn diff(old: &DynamicMessage, new: &DynamicMessage) -> Vec<FieldChange> {
    let mut found = Vec::new();
    if old.descriptor() == new.descriptor() {
        messages(&mut found, "", old, new);
    } else {
        let whole = |message: &DynamicMessage| Some(object(message));
        push(&mut found, "", whole(old), whole(new));
    }
    found
}

fn messages(found: &mut Vec<FieldChange>, path: &str, old: &DynamicMessage, new: &DynamicMessage) {
    for field in old.descriptor().fields() {
        let path = if path.is_empty() {
            field.name().to_owned()
        } else {
            format!("{path}.{}", field.name())
        };
        let (before, after) = (old.get_field(&field), new.get_field(&field));
        match (&*before, &*after) {
            (Value::List(before), Value::List(after)) => {
                lists(found, &path, &field, before, after);
            }
            (Value::Message(before), Value::Message(after))
                if old.has_field(&field) && new.has_field(&field) =>
            {
                messages(found, &path, before, after);
            }
            (before, after) => {
                let presence = field.supports_presence();
                let (had, has) = (old.has_field(&field), new.has_field(&field));
                if before != after || (presence && had != has) {
                    let json = |value, there: bool| there.then(|| json(value, &field.kind()));
                    push(found, &path, json(before, had), json(after, has));
                }
            }
        }
    }
}

fn lists(
    found: &mut Vec<FieldChange>,
    path: &str,
    field: &FieldDescriptor,
    old: &[Value],
    new: &[Value],
) {
    if old == new {
        return;
    }
    let kind = field.kind();
    let Some((before, after)) = names(&kind, old, new) else {
        return by_place(found, path, &kind, old, new);
    };
    for (name, value) in before.iter().zip(old) {
        let path = format!("{path}[{name}]");
        match after.iter().position(|it| it == name).and_then(|at| new.get(at)) {
            Some(now) => element(found, &path, &kind, value, now),
            None => push(found, &path, Some(json(value, &kind)), None),
        }
    }
    let known: BTreeSet<&String> = before.iter().collect();
    for (name, value) in after.iter().zip(new).filter(|(name, _)| !known.contains(name)) {
        push(found, &format!("{path}[{name}]"), None, Some(json(value, &kind)));
    }
    let now: BTreeSet<&String> = after.iter().collect();
    let kept = |names: &[String]| -> Vec<Json> {
        let both = names.iter().filter(|it| known.contains(it) && now.contains(it));
        both.map(|it| Json::from(it.as_str())).collect()
    };
    let (was, is) = (kept(&before), kept(&after));
    if was != is {
        push(found, path, Some(Json::from(was)), Some(Json::from(is)));
    }
}

fn by_place(found: &mut Vec<FieldChange>, path: &str, kind: &Kind, old: &[Value], new: &[Value]) {
    for at in 0..old.len().max(new.len()) {
        let path = format!("{path}[{at}]");
        match (old.get(at), new.get(at)) {
            (Some(before), Some(after)) => element(found, &path, kind, before, after),
            (before, after) => {
                let json = |value: Option<&Value>| value.map(|it| json(it, kind));
                push(found, &path, json(before), json(after));
            }
        }
    }
}

fn element(found: &mut Vec<FieldChange>, path: &str, kind: &Kind, old: &Value, new: &Value) {
    match (old, new) {
        (Value::Message(old), Value::Message(new)) => messages(found, path, old, new),
        _ if old == new => {}
        _ => push(found, path, Some(json(old, kind)), Some(json(new, kind))),
    }
}

/// What the elements of both lists are called: the first field that names every one of each list
/// differently, of scalars the value itself.
fn names(kind: &Kind, old: &[Value], new: &[Value]) -> Option<(Vec<String>, Vec<String>)> {
    let Kind::Message(descriptor) = kind else {
        let text = |value: &Value| match json(value, kind) {
            Json::String(text) => text,
            other => other.to_string(),
        };
        let all = |list: &[Value]| distinct(list.iter().map(|it| Some(text(it))));
        return Some((all(old)?, all(new)?));
    };
    NAMES.iter().filter_map(|name| descriptor.get_field_by_name(name)).find_map(|field| {
        let name = |value: &Value| match &*value.as_message()?.get_field(&field) {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let all = |list: &[Value]| distinct(list.iter().map(name));
        Some((all(old)?, all(new)?))
    })
}

/// The names if there is one for each element and none stands twice.
fn distinct(names: impl Iterator<Item = Option<String>>) -> Option<Vec<String>> {
    let names: Vec<String> = names.collect::<Option<_>>()?;
    let different: BTreeSet<&String> = names.iter().collect();
    (different.len() == names.len()).then_some(names)
}

fn push(found: &mut Vec<FieldChange>, path: &str, before: Option<Json>, after: Option<Json>) {
    found.push(FieldChange { path: path.to_owned(), before, after });
}

/// A value as the JSON of the protos has it.
fn json(value: &Value, kind: &Kind) -> Json {
    match value {
        Value::Bool(it) => Json::from(*it),
        Value::I32(it) => Json::from(*it),
        Value::I64(it) => Json::from(*it),
        Value::U32(it) => Json::from(*it),
        Value::U64(it) => Json::from(*it),
        Value::F32(it) => Json::from(*it),
        Value::F64(it) => Json::from(*it),
        Value::String(it) => Json::from(it.as_str()),
        Value::Bytes(it) => Json::from(hex::encode(it)),
        Value::EnumNumber(number) => {
            let named = kind.as_enum().and_then(|it| it.get_value(*number));
            named.map_or_else(|| Json::from(*number), |it| Json::from(it.name()))
        }
        Value::Message(it) => object(it),
        Value::List(items) => items.iter().map(|it| json(it, kind)).collect(),
        Value::Map(members) => {
            let key = |key: &MapKey| match key {
                MapKey::String(text) => text.clone(),
                MapKey::Bool(it) => it.to_string(),
                MapKey::I32(it) => it.to_string(),
                MapKey::I64(it) => it.to_string(),
                MapKey::U32(it) => it.to_string(),
                MapKey::U64(it) => it.to_string(),
            };
            members.iter().map(|(name, value)| (key(name), json(value, kind))).collect()
        }
    }
}

/// A message with the field names of the protos; its text if that fails.
fn object(message: &DynamicMessage) -> Json {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_else(|_| Json::from(message.to_string()))
}

/// Fields that name an element, the best first.
const NAMES: [&str; 16] = [
    "name",
    "id",
    "dimension",
    "ars",
    "fim_id",
    "standard",
    "destination_id",
    "dienstbeschreibung_uri",
    "principal",
    "modell",
    "ziel",
    "value",
    "link",
    "language_code",
    "url",
    "text",
];

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{
        Onlinedienst, Parameter, Reifegrad, ServiceDefinition, ServiceVersion, Versionshinweis,
    };
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(old: &ServiceVersion, new: &ServiceVersion, expect: &[(&str, Json, Json)]) {
        let read = |it| dynamic("ServiceVersion", it).expect("a version");
        let found = diff(&read(old), &read(new));
        let some = |it: &Json| (!it.is_null()).then(|| it.clone());
        let expect: Vec<FieldChange> = expect
            .iter()
            .map(|(path, before, after)| FieldChange {
                path: (*path).to_owned(),
                before: some(before),
                after: some(after),
            })
            .collect();
        assert_eq!(found, expect);
        assert_eq!(found.is_empty(), old == new);
    }

    fn version() -> ServiceVersion {
        let parameter = |name: &str| Parameter { name: name.to_owned(), ..Parameter::default() };
        ServiceVersion {
            version: "1.0.0".to_owned(),
            parameter: ["a", "b", "c"].map(parameter).to_vec(),
            verfuegbarkeitsgebiet: ["10", "07"].map(str::to_owned).to_vec(),
            ..ServiceVersion::default()
        }
    }

    #[test]
    fn equal_messages_have_no_differences() {
        check(&version(), &version(), &[]);
    }

    #[test]
    fn fields_differ_in_their_order() {
        let mut new = version();
        new.version = "1.1.0".to_owned();
        new.lifecycle = 2;
        new.freigabe_status = 5;
        new.versionshinweis = Some(Versionshinweis { text: "neu".to_owned(), breaking: false });
        check(
            &version(),
            &new,
            &[
                ("version", json!("1.0.0"), json!("1.1.0")),
                ("freigabe_status", json!(null), json!(5)),
                ("lifecycle", json!(null), json!("LIFECYCLE_FREIGEGEBEN")),
                ("versionshinweis", json!(null), json!({"text": "neu"})),
            ],
        );
    }

    #[test]
    fn an_insertion_shifts_nothing() {
        let mut new = version();
        new.parameter.insert(0, Parameter { name: "neu".to_owned(), ..Parameter::default() });
        new.parameter[1].pflicht = true;
        new.parameter.remove(2);
        check(
            &version(),
            &new,
            &[
                ("parameter[a].pflicht", json!(null), json!(true)),
                ("parameter[b]", json!({"name": "b"}), json!(null)),
                ("parameter[neu]", json!(null), json!({"name": "neu"})),
            ],
        );
    }

    #[test]
    fn scalars_are_their_own_names_and_order_is_told() {
        let mut new = version();
        new.verfuegbarkeitsgebiet = ["07", "10", "01"].map(str::to_owned).to_vec();
        check(
            &version(),
            &new,
            &[
                ("verfuegbarkeitsgebiet[01]", json!(null), json!("01")),
                ("verfuegbarkeitsgebiet", json!(["10", "07"]), json!(["07", "10"])),
            ],
        );
    }

    #[test]
    fn elements_without_a_name_of_their_own_are_compared_by_place() {
        let entry = |link: &str, titel: &str| Onlinedienst {
            link: link.to_owned(),
            titel: titel.to_owned(),
            ..Onlinedienst::default()
        };
        let (mut old, mut new) = (version(), version());
        old.onlinedienste = vec![entry("https://a", "a"), entry("https://a", "b")];
        new.onlinedienste = vec![entry("https://a", "a"), entry("https://a", "c")];
        check(&old, &new, &[("onlinedienste[1].titel", json!("b"), json!("c"))]);
        new.onlinedienste.pop();
        let gone = json!({"link": "https://a", "titel": "b"});
        check(&old, &new, &[("onlinedienste[1]", gone, json!(null))]);
        old.verfuegbarkeitsgebiet = ["10", "10"].map(str::to_owned).to_vec();
        new = old.clone();
        new.verfuegbarkeitsgebiet.pop();
        check(&old, &new, &[("verfuegbarkeitsgebiet[1]", json!("10"), json!(null))]);
    }

    #[test]
    fn an_empty_message_is_not_an_absent_one() {
        let mut new = version();
        new.reifegrad = Some(Reifegrad::default());
        check(&version(), &new, &[("reifegrad", json!(null), json!({}))]);
    }

    #[test]
    fn messages_of_two_kinds_differ_as_a_whole() {
        let version = dynamic("ServiceVersion", &version()).expect("a version");
        let definition =
            dynamic("ServiceDefinition", &ServiceDefinition::default()).expect("a definition");
        assert_eq!(diff(&version, &definition).len(), 1);
        assert!(dynamic("Nothing", &ServiceDefinition::default()).is_err());
    }
}
