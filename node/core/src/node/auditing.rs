//! The node and the head of its audit log.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{log::Kind, wire::registry::AuditHead};

use crate::{node::Node, now::Now};

impl Node {
    /// True when nothing of the own log is on its way to the disk, or nothing can go there.
    pub fn is_settled(&self) -> bool {
        !self.may_commit() || self.own.is_settled()
    }

    /// True when nobody who is connected lacks anything that this node wrote, as far as more can be done
    /// for that now.
    pub fn is_passed_on(&self) -> bool {
        let held = || self.replication.is_held_by_partners(self.own.durable());
        !self.may_commit() || (self.own.is_settled() && held())
    }

    /// Says the last head now, if somebody is there who takes it: an entry that nobody else has would
    /// be the end of a second history, if a copy of this disk goes on elsewhere.
    pub(super) fn stopping(&mut self) {
        let alone = self.charter.voters().count() == 1;
        self.audit.stop(alone || self.replication.has_partner());
    }

    /// Stages the head of the audit log if it is due. Behind a closed fence it waits.
    pub(super) fn anchor(&mut self, now: Now) {
        if !self.may_commit() || self.key_rests(now) {
            return;
        }
        let Some(due) = self.audit.due(now) else { return };
        let head = AuditHead {
            node: self.name.clone(),
            chain: Bytes::copy_from_slice(&due.chain),
            size: due.size,
            hash: Bytes::copy_from_slice(due.hash.as_bytes()),
        };
        let salt = self.entropy.salt();
        let staged = self.own.stage_word(Kind::AuditHead, head.encode_to_vec().into(), salt, now);
        // the header of an entry without object and references always fits
        if let Ok(index) = staged {
            self.audit.staged(index, now);
        }
    }
}
