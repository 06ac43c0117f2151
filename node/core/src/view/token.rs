//! Resume tokens of watches: a vector of positions, readable at every node of the Verbund.

use std::collections::BTreeMap;

use registry_proto::{
    log::VerbundId,
    terms::{Land, LogId},
};

use super::Cut;
use crate::{fold::keys, reject::Reject};

/// Where a watch stands: for each Land the epoch and the index of the next entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token(BTreeMap<Land, (u64, u64)>);

/// The bytes are no token of this Verbund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token, or one of a newer format.
    #[error("is no resume token")]
    Form,
    /// A token of another Verbund.
    #[error("is a resume token of another Verbund")]
    Verbund,
}

/// Version of the layout.
const VERSION: u8 = 1;
/// Bytes of the verbund id in a token.
const VERBUND: usize = 8;
/// Bytes of a position in a token.
const PLACE: usize = 20;

// === impl Token ===

impl Token {
    /// The end of what `cut` holds of each Land that passes.
    pub fn at(cut: &Cut, follows: impl Fn(Land) -> bool) -> Self {
        Self(cut.newest().into_iter().filter(|&(land, _)| follows(land)).collect())
    }

    /// Version (1) | first bytes of the verbund id (8) | for each Land in ascending order: land
    /// (4) | epoch (8) | next index (8).
    pub fn encode(&self, verbund: &VerbundId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + VERBUND + PLACE * self.0.len());
        bytes.push(VERSION);
        bytes.extend(verbund.as_bytes().iter().take(VERBUND));
        for (&land, &(epoch, next)) in &self.0 {
            bytes.extend(keys::land_bytes(land));
            bytes.extend(keys::place_bytes(epoch, next));
        }
        bytes
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// [`TokenError`], also for bytes that [`Self::encode`] would write otherwise.
    pub fn parse(bytes: &[u8], verbund: &VerbundId) -> Result<Self, TokenError> {
        let (&version, rest) = bytes.split_first().ok_or(TokenError::Form)?;
        let (prefix, rest) = rest.split_at_checked(VERBUND).ok_or(TokenError::Form)?;
        if version != VERSION || rest.len() % PLACE != 0 {
            return Err(TokenError::Form);
        }
        if !verbund.as_bytes().starts_with(prefix) {
            return Err(TokenError::Verbund);
        }
        let mut places = BTreeMap::new();
        for place in rest.chunks_exact(PLACE) {
            let land = keys::land_of(&place[..4]).map_err(|_| TokenError::Form)?;
            let at = keys::place_of(place, land).map_err(|_| TokenError::Form)?;
            let ascending = places.last_key_value().is_none_or(|(&last, _)| last < land);
            if !ascending || at.log.epoch == 0 {
                return Err(TokenError::Form);
            }
            places.insert(land, (at.log.epoch, at.index));
        }
        Ok(Self(places))
    }

    /// The next entry of a Land's log, if the Land is in the token.
    pub fn next(&self, land: Land) -> Option<(LogId, u64)> {
        self.0.get(&land).map(|&(epoch, index)| (LogId { land, epoch }, index))
    }

    /// Goes on to `next` in a log.
    pub fn advance(&mut self, log: LogId, next: u64) {
        self.0.insert(log.land, (log.epoch, next));
    }

    /// Takes in the logs of `cut` that the token does not know yet, from their beginning.
    ///
    /// A position beyond `cut` stays: the watch waits until this node has caught up.
    ///
    /// # Errors
    ///
    /// [`Reject::ResyncRequired`] if a log began a new epoch since.
    pub fn meet(&mut self, cut: &Cut, follows: impl Fn(Land) -> bool) -> Result<(), Reject> {
        for (land, (epoch, _)) in cut.newest() {
            if !follows(land) {
                continue;
            }
            let &mut (known, _) = self.0.entry(land).or_insert((epoch, 0));
            if known < epoch {
                return Err(Reject::ResyncRequired {
                    description: format!(
                        "log {land}/{known} ended, {land}/{epoch} took its place; begin again \
                         with a snapshot"
                    ),
                });
            }
        }
        Ok(())
    }
}
