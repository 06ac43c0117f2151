//! The first part of a watch: the state at a cut.

use std::{collections::VecDeque, sync::Arc};

use prost::Message as _;
use registry_core::{
    fold::{self, Position, Record},
    limits::MESSAGE_BYTES_MAX,
    reject::Reject,
    view::{Cut, SnapshotCursor, WatchFilter},
};
use registry_proto::wire::registry::{WatchEvent, WatchSnapshot};

use crate::{batches, index::Index, lifecycle::chain};

/// A snapshot that is being sent.
#[derive(Debug)]
pub(super) struct Snapshot {
    cut: Arc<Cut>,
    cursor: Option<SnapshotCursor>,
    /// Entries that did not fit into the last part.
    left: VecDeque<Position>,
}

/// Events of a part.
const EVENTS_MAX: usize = 500;
/// Bytes of a part, apart from its last event.
const BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

// === impl Snapshot ===

impl Snapshot {
    /// The state at `cut`.
    pub(super) fn at(cut: &Arc<Cut>) -> Self {
        let cursor = Some(SnapshotCursor::start());
        Self { cut: Arc::clone(cut), cursor, left: VecDeque::new() }
    }

    /// The next part; the token of the last one is left to the caller.
    pub(super) fn next_part(
        &mut self,
        index: &Index,
        filter: &WatchFilter,
    ) -> Result<WatchSnapshot, Reject> {
        let mut part = WatchSnapshot::default();
        let mut bytes = 0;
        while part.events.len() < EVENTS_MAX && bytes < BYTES_MAX {
            let Some(at) = self.next_entry(index, filter)? else {
                part.complete = true;
                break;
            };
            let event = event_at(index, at)?;
            bytes += event.encoded_len();
            part.events.push(event);
        }
        Ok(part)
    }

    fn next_entry(
        &mut self,
        index: &Index,
        filter: &WatchFilter,
    ) -> Result<Option<Position>, Reject> {
        while self.left.is_empty() {
            let Some(cursor) = self.cursor.take() else { return Ok(None) };
            let chunk =
                cursor.next(index.store(), &self.cut, filter, EVENTS_MAX).map_err(|error| {
                    tracing::error!(error = %chain(&error), "snapshot cannot read the index");
                    Reject::Storage { operation: "reading the index" }
                })?;
            self.left = chunk.entries.into();
            self.cursor = chunk.next;
        }
        Ok(self.left.pop_front())
    }
}

fn event_at(index: &Index, at: Position) -> Result<WatchEvent, Reject> {
    let (_, entry) = index.entry(at)?;
    let record = fold::read(&entry.as_entry()).unwrap_or(Record::Hidden);
    let event = batches::event(&entry, record);
    let subject = event.about.subject(index.store(), at).map_err(|error| {
        tracing::error!(error = %chain(&error), "snapshot cannot read the index");
        Reject::Storage { operation: "reading the index" }
    })?;
    Ok(event.told(subject))
}
