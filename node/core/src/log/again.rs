//! Erasures that a reset discarded, or that were set aside with the end of the log, and that are said
//! again.
//!
//! They erase nothing any more, but the bodies are gone all the same, here and maybe at partners:
//! without an erasure that counts nobody could give the entries to anybody, and what was to be gone
//! would stay where it is. So the owner says in its newest epoch what it lost.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    erasure::may_be_erased,
    log::{Hash, Header, HeaderError, Kind, Reference, body_digest},
    terms::{LogId, ServiceId},
    wire::registry::Erasure,
};

use super::{
    erased::Erases,
    own::OwnLog,
    services::{Entry, Mark, OwnServices},
};
use crate::{fold::Position, limits, now::Now, submission::content_of};

/// An entry of the own Land whose body is gone.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    log: LogId,
    index: u64,
    leaf: Hash,
    object: ServiceId,
    grund: Option<String>,
}

// === impl Gone ===

impl Gone {
    fn erases(&self) -> Erases {
        let number = Position { log: self.log, index: self.index }.number();
        Erases { number, leaf: self.leaf }
    }

    /// What stands in the log `newest`.
    fn body(&self, newest: LogId) -> Bytes {
        let it = Erasure {
            index: self.index,
            leaf_hash: self.leaf.as_bytes().to_vec().into(),
            grund: self.grund.clone().unwrap_or_else(|| GRUND_LOST.to_owned()),
            epoch: if self.log == newest { 0 } else { self.log.epoch },
        };
        it.encode_to_vec().into()
    }
}

// === impl OwnServices ===

impl OwnServices {
    /// The body of an entry of the own Land is gone here. Unless an erasure of it stands in what counts when
    /// the fence opens, the node says one: for this reason, if it is known.
    pub fn gone(&mut self, header: &Header, leaf: Hash, grund: Option<&str>) {
        let object = header.object_id.filter(|_| may_be_erased(header.kind));
        let Some(object) = object.map(ServiceId::from) else { return };
        let (log, index, grund) = (header.log, header.index, grund.map(str::to_owned));
        self.gone.push(Gone { log, index, leaf, object, grund });
    }

    /// Erasures that are to be said again; known when all that counts was learned.
    pub fn erasures_to_say(&mut self) -> usize {
        let erased = &self.erased;
        self.gone.retain(|it| !erased.names(it.erases()));
        self.gone.len()
    }
}

// === impl OwnLog ===

impl OwnLog {
    /// True while erasures are to be said again.
    pub(crate) fn lacks_erasures(&self) -> bool {
        !self.services().gone.is_empty()
    }

    /// Stages the next erasures that are said again. What stands is looked at, so a group that is taken
    /// back comes once more; MUST only be called when nothing was staged or under way.
    pub(crate) fn erase_again(
        &mut self,
        mut salt: impl FnMut() -> [u8; 16],
        now: Now,
    ) -> Result<(), HeaderError> {
        self.services_mut().erasures_to_say();
        let newest = self.origin().log;
        let next = self.services().gone.iter().take(limits::ERASURES_SAID_AGAIN).cloned();
        for it in next.collect::<Vec<_>>() {
            let (salt, body) = (salt(), it.body(newest));
            let digest = body_digest(&salt, &body);
            let object = Some(it.object);
            let mut header = self.header(Kind::Erasure, object, true, "node", &body, digest, now);
            let (land, object_id) = (newest.land, it.object.uuid());
            header.references = vec![Reference { land, object_id, leaf_hash: it.leaf }];
            let content = content_of(&body);
            let leaf = self.push(&header, salt, body, now)?;
            let number = Position { log: newest, index: header.index }.number();
            self.services_mut().stage(Entry {
                kind: Kind::Erasure,
                object: it.object,
                version: None,
                editors: Vec::new(),
                request: None,
                erases: Some(it.erases()),
                mark: Mark { content, number, leaf },
            });
        }
        Ok(())
    }
}

/// In place of a reason that nobody here can read any more.
const GRUND_LOST: &str = "Die Löschung stand in einem verworfenen Teil des Protokolls";
