//! Messages as canonical ProtoJSON with the field names of the protos, from the descriptors alone.

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use registry_client::diff;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::errors::CliError;

/// An object for output, its fields in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct Object(Vec<(&'static str, Node)>);

/// A value for output.
#[derive(Debug)]
pub(crate) enum Node {
    Message(Box<DynamicMessage>),
    List(Vec<Self>),
    Object(Object),
    Text(String),
    Number(u64),
    Bool(bool),
    Json(serde_json::Value),
}

/// The descriptor of a message of `verbund.registry.v1`.
pub(crate) fn descriptor(name: &str) -> Result<MessageDescriptor, CliError> {
    diff::descriptor(name)
        .ok_or_else(|| CliError::Internal(format!("Nachricht {name} ist nicht beschrieben")))
}

/// A generated message for output; `name` is its name in the protos.
pub(crate) fn message(name: &str, message: &impl Message) -> Result<Node, CliError> {
    let bytes = message.encode_to_vec();
    DynamicMessage::decode(descriptor(name)?, bytes.as_slice())
        .map(|message| Node::Message(Box::new(message)))
        .map_err(|error| CliError::Internal(format!("Nachricht {name}: {error}")))
}

/// A message for output, from its bytes; none if they are no such message.
pub(crate) fn decoded(name: &str, bytes: &[u8]) -> Result<Option<Node>, CliError> {
    let message = DynamicMessage::decode(descriptor(name)?, bytes).ok();
    Ok(message.map(|message| Node::Message(Box::new(message))))
}

/// A list of generated messages for output.
pub(crate) fn list<M: Message>(name: &str, messages: &[M]) -> Result<Node, CliError> {
    messages.iter().map(|one| message(name, one)).collect::<Result<_, _>>().map(Node::List)
}

// === impl Object ===

impl Object {
    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: Node) -> Self {
        self.0.push((key, value));
        self
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

// === impl Node ===

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Message(message) => {
                let options =
                    SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
                message.serialize_with_options(serializer, &options)
            }
            Self::List(list) => list.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
            Self::Bool(value) => value.serialize(serializer),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}
