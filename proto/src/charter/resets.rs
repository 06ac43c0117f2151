//! Resets of logs that a charter lists: whoever has verified how the charter came into force takes
//! them, whatever keys and members it names by now.

use bytes::Bytes;
use prost::Message as _;

use super::{CHAIN_BYTES_MAX, CHAIN_TAG, Charter, CharterError, CharterProblem};
use crate::{
    epoch::{Ended, ended},
    log::Hash,
    terms::LogId,
    wire::registry as wire,
};

// === impl Charter ===

impl Charter {
    /// Digest of the reset that ended this epoch, if the charter lists it.
    pub fn listed(&self, log: LogId) -> Option<Hash> {
        let at = usize::try_from(log.epoch.checked_sub(1)?).ok()?;
        self.member(log.land)?.resets.get(at).copied()
    }

    /// The resets that came with a chain for drafts; none came with a genesis charter alone. They are
    /// what the chain says, verified by nobody.
    ///
    /// # Errors
    ///
    /// [`CharterError`] for bytes that are no chain.
    pub fn taken_in_chain(raw: &Bytes) -> Result<Ended, CharterError> {
        if raw.first() != Some(&CHAIN_TAG) {
            return Ok(Ended::new());
        }
        if raw.len() > CHAIN_BYTES_MAX {
            return Err(CharterProblem::TooLong { found: raw.len() }.into());
        }
        let chain =
            wire::CharterChain::decode(raw.clone()).map_err(|_| CharterProblem::Undecodable)?;
        let read = |it: wire::TakenEpochReset| {
            let log = LogId { land: it.land.parse().ok()?, epoch: it.epoch };
            Some((log, Hash::try_from(&it.reset[..]).ok()?))
        };
        let taken: Option<Vec<_>> = chain.taken.into_iter().map(read).collect();
        Ok(ended(taken.ok_or(CharterProblem::Undecodable)?))
    }
}

// === impl wire::Charter ===

impl wire::Charter {
    /// Lists the resets in this draft that it does not list yet. Where it lists another one already
    /// nothing is added: what is listed stays.
    pub fn list(&mut self, ended: &Ended) {
        for member in &mut self.members {
            let taken = member.land.parse().ok().and_then(|land| ended.get(&land));
            let known = member.epoch_resets.len();
            let Some((same, more)) = taken.and_then(|it| it.split_at_checked(known)) else {
                continue;
            };
            if same.iter().map(|it| &it.as_bytes()[..]).eq(member.epoch_resets.iter()) {
                let more = more.iter().map(|it| Bytes::copy_from_slice(it.as_bytes()));
                member.epoch_resets.extend(more);
            }
        }
    }
}

pub(super) fn encoded(ended: &Ended) -> Vec<wire::TakenEpochReset> {
    let of_land = |(land, resets): (&crate::terms::Land, &Vec<Hash>)| {
        let land = land.code().to_owned();
        let one = move |(epoch, reset): (u64, &Hash)| wire::TakenEpochReset {
            land: land.clone(),
            epoch,
            reset: Bytes::copy_from_slice(reset.as_bytes()),
        };
        (1..).zip(resets).map(one).collect::<Vec<_>>()
    };
    ended.iter().flat_map(of_land).collect()
}
