//! What a request says of itself in short: the texts, numbers, flags and digests of its message, not
//! what is nested in it, and not what it brings. Works on a message that is cut off.

use std::collections::HashMap;

use bytes::Buf;
use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::{
    FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use registry_proto::wire::DESCRIPTORS;

/// Names of the plain fields of each method's request, by path.
#[derive(Debug, Default)]
pub(super) struct Fields {
    of_method: HashMap<String, HashMap<u32, (String, Type)>>,
}

// === impl Fields ===

impl Fields {
    pub(super) fn of_protos() -> Self {
        // the descriptors are compiled in and a test reads them
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut messages = HashMap::new();
        for file in &set.file {
            for message in &file.message_type {
                let fields: HashMap<u32, (String, Type)> = message
                    .field
                    .iter()
                    .filter(|it| it.label() != Label::Repeated)
                    .filter(|it| it.r#type() != Type::Bytes || DIGESTS.contains(&it.name()))
                    .filter_map(|it| {
                        let number = u32::try_from(it.number()).ok()?;
                        Some((number, (it.name().to_owned(), it.r#type())))
                    })
                    .collect();
                messages.insert(format!(".{}.{}", file.package(), message.name()), fields);
            }
        }
        let mut of_method = HashMap::new();
        for file in &set.file {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    let fields = messages.get(rpc.input_type()).cloned().unwrap_or_default();
                    of_method.insert(path, fields);
                }
            }
        }
        Self { of_method }
    }

    /// The plain fields of a request whose body begins with `heard`: `land=RP epoch=1`.
    pub(super) fn said(&self, method: &str, heard: &[u8]) -> String {
        let Some(fields) = self.of_method.get(method) else { return String::new() };
        // a flag and four bytes of length stand in front of a message
        let mut rest = heard.get(PREFIX_BYTES..).unwrap_or_default();
        let mut said = Vec::new();
        while let Some((number, value)) = next(&mut rest) {
            let Some((name, kind)) = fields.get(&number) else { continue };
            if let Some(value) = shown(*kind, value) {
                said.push(format!("{name}={value}"));
            }
        }
        said.join(" ")
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The next field that is whole.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    loop {
        let (number, wire) = decode_key(rest).ok()?;
        match wire {
            WireType::Varint => return Some((number, Value::Number(decode_varint(rest).ok()?))),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
                let (value, behind) = rest.split_at_checked(length)?;
                *rest = behind;
                return Some((number, Value::Bytes(value)));
            }
            WireType::ThirtyTwoBit => rest.try_get_u32().map(|_| ()).ok()?,
            WireType::SixtyFourBit => rest.try_get_u64().map(|_| ()).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        }
    }
}

fn shown(kind: Type, value: Value<'_>) -> Option<String> {
    match (kind, value) {
        (Type::String, Value::Bytes(it)) => {
            Some(std::str::from_utf8(it).ok()?.chars().take(CHARS_MAX).collect())
        }
        (Type::Bytes, Value::Bytes(it)) => Some(hex::encode(it.get(..BYTES_MAX).unwrap_or(it))),
        (Type::Bool, Value::Number(it)) => Some((it != 0).to_string()),
        (Type::Uint32 | Type::Uint64 | Type::Enum, Value::Number(it)) => Some(it.to_string()),
        #[expect(clippy::cast_possible_wrap, reason = "that is how a negative one is encoded")]
        (Type::Int32 | Type::Int64, Value::Number(it)) => Some((it as i64).to_string()),
        _ => None,
    }
}

/// Fields of bytes that only name something. All others may hold anything, as a part of a file does:
/// what is erased later must not stay in the audit log.
const DIGESTS: [&str; 2] = ["sha256", "digest"];
const PREFIX_BYTES: usize = 5;
/// Characters of a text.
pub(super) const CHARS_MAX: usize = 100;
const BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use registry_proto::wire::{
        admin::AcceptHeldRequest,
        registry::{PublishDraftRequest, PushChunkRequest, Record, SaveDraftRequest},
    };

    use super::*;
    use crate::wire::audited::READS;

    #[track_caller]
    fn check(method: &str, message: &impl Message, heard: usize, expected: &str) {
        let mut body = vec![0; PREFIX_BYTES];
        message.encode(&mut body).expect("fits");
        body.truncate(heard);
        assert_eq!(Fields::of_protos().said(method, &body), expected);
    }

    #[test]
    fn a_request_says_what_it_is_about() {
        let accept = AcceptHeldRequest { land: "RP".to_owned(), epoch: 1 };
        check("/verbund.admin.v1.AdminService/AcceptHeld", &accept, 99, "land=RP epoch=1");
        check("/verbund.admin.v1.AdminService/AcceptHeld", &accept, 9, "land=RP");
        check("/verbund.admin.v1.AdminService/AcceptHeld", &accept, 3, "");
        check("/verbund.admin.v1.AdminService/Unknown", &accept, 99, "");
        let publish = PublishDraftRequest {
            draft_id: "d".repeat(200),
            expected_revision: Some(3),
            ack_peers: 2,
        };
        let expected = format!("draft_id={} expected_revision=3 ack_peers=2", "d".repeat(100));
        check("/verbund.registry.v1.DraftService/PublishDraft", &publish, 999, &expected);
        // what is nested may hold anything, also names of people
        let save = SaveDraftRequest {
            draft_id: "d".to_owned(),
            expected_revision: None,
            records: vec![Record::default(); 3],
        };
        check("/verbund.registry.v1.DraftService/SaveDraft", &save, 99, "draft_id=d");
        // a part of a file too
        let push = PushChunkRequest {
            sha256: vec![0xab; 4].into(),
            bytes: 17,
            data: b"Frau Beispielmann".to_vec().into(),
        };
        let expected = "sha256=abababab bytes=17";
        check("/verbund.registry.v1.ArtefactService/PushChunk", &push, 99, expected);
    }

    /// What is new here ends up in audit logs: it MUST NOT hold what may be erased later.
    #[test]
    fn of_texts_and_bytes_these_are_shown() {
        let fields = Fields::of_protos();
        let mut shown = Vec::new();
        for (method, fields) in &fields.of_method {
            let method = method.trim_start_matches('/');
            if READS.contains(&method) {
                continue;
            }
            let method = method.trim_start_matches("verbund.");
            let free = fields.values().filter(|it| matches!(it.1, Type::String | Type::Bytes));
            shown.extend(free.map(|(name, _)| format!("{method} {name}")));
        }
        shown.sort_unstable();
        assert_eq!(shown, SHOWN, "{shown:#?}");
    }

    const SHOWN: [&str; 13] = [
        "admin.v1.AdminService/AcceptHeld land",
        "peer.v1.JoinService/Join invitation_id",
        "registry.v1.ApprovalService/AcceptApproval approval_id",
        "registry.v1.ApprovalService/AcceptApproval digest",
        "registry.v1.ApprovalService/RejectApproval approval_id",
        "registry.v1.ArtefactService/PushChunk sha256",
        "registry.v1.DraftService/DeleteDraft draft_id",
        "registry.v1.DraftService/PublishDraft draft_id",
        "registry.v1.DraftService/SaveDraft draft_id",
        "registry.v1.ErasureService/Erase grund",
        "registry.v1.InvitationService/CreateInvitation land",
        "registry.v1.InvitationService/RevokeInvitation invitation_id",
        "registry.v1.PublishService/Publish idempotency_key",
    ];
}
