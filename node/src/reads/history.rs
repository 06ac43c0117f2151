//! On what an answer rests: the newest state, or one of the past.

use std::sync::Arc;

use registry_core::{
    fold::Position,
    reject::Reject,
    view::{Catalogue, Cut, QueryError, Stamp, When},
};
use registry_proto::wire::registry::Zeitpunkt;

use super::{Reads, kept::Newest};
use crate::{
    index::{Generation, Index},
    store::Store,
};

/// What one answer rests on.
#[derive(Debug)]
pub(super) struct Basis {
    generation: Generation,
    /// The state of the past that is asked for.
    pub(super) when: Option<When>,
    /// The newest state.
    pub(super) newest: Newest,
    /// The state to show.
    pub(super) cut: Arc<Cut>,
}

impl Reads {
    /// What an answer rests on that shall show the state of a time.
    pub(super) fn basis(&self, zeitpunkt: Option<&Zeitpunkt>) -> Result<Basis, Reject> {
        let when = When::parse(zeitpunkt)?;
        let held = self.index.keeper().held();
        let (generation, cut) = self.index.readable()?;
        let newest = Newest { cut, held };
        let cut = match when {
            None => Arc::clone(&newest.cut),
            Some(when) => self.cuts.answer(
                &newest,
                when,
                |_| CUT_BYTES,
                || self.index.cut_at(&newest.cut, when),
            )?,
        };
        Ok(Basis { generation, when, newest, cut })
    }

    /// Asks the catalogue as it was.
    pub(super) fn ask<T>(
        &self,
        basis: &Basis,
        ask: impl FnOnce(&Catalogue<'_, Store>) -> Result<T, QueryError>,
    ) -> Result<T, Reject> {
        self.index.ask_at(basis.generation, &basis.cut, ask)
    }
}

/// About what a cut takes.
const CUT_BYTES: usize = 2 << 10;

// === impl Index ===

impl Index {
    /// How many of the entries in `newest` counted at a time.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `JOURNAL_DAMAGED` if an entry that decides cannot be read.
    pub fn cut_at(&self, newest: &Cut, when: When) -> Result<Cut, Reject> {
        newest.until(|log, size| {
            when.prefix(size, |index| {
                let (_, entry) = self.entry(Position { log, index })?;
                Ok(Stamp {
                    recorded_unix_ms: entry.header.recorded_unix_ms,
                    received_unix_ms: entry.received_unix_ms,
                    batch_end: entry.header.batch_end,
                })
            })
        })
    }
}
