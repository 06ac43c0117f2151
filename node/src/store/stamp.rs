//! What a store knows of itself; written in the same batch as the facts it speaks of.

use std::collections::BTreeMap;

use prost::Message;
use registry_core::view::Cut;
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};

/// How far a log is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries whose facts are in the store.
    pub size: u64,
    /// Leaf hash of the last of them; `None` when there is none.
    pub last: Option<Hash>,
}

/// Bookkeeping of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Rules by which the facts were made.
    pub(super) fold_version: u32,
    /// Boot of the machine that wrote it.
    pub(super) boot_id: String,
    /// Written by an orderly stop.
    pub(super) clean: bool,
    /// Number of facts.
    pub(super) facts: u64,
    /// Facts of erased entries are still there.
    pub(super) erasing: bool,
    /// Progress of each log.
    pub(super) logs: BTreeMap<LogId, Progress>,
}

/// Bytes that no store of this layout wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stamp is unreadable")]
pub(super) struct ParseStampError;

#[derive(Clone, PartialEq, Message)]
struct StampMessage {
    #[prost(uint32, tag = "1")]
    fold_version: u32,
    #[prost(string, tag = "2")]
    boot_id: String,
    #[prost(bool, tag = "3")]
    clean: bool,
    #[prost(uint64, tag = "4")]
    facts: u64,
    #[prost(message, repeated, tag = "5")]
    logs: Vec<ProgressMessage>,
    #[prost(bool, tag = "6")]
    erasing: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ProgressMessage {
    #[prost(string, tag = "1")]
    land: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    size: u64,
    #[prost(bytes = "vec", tag = "4")]
    last: Vec<u8>,
}

/// Layout of the store, and the first byte of its stamp: facts in leaves since 2.
pub(super) const LAYOUT: u8 = 2;
/// The first layout whose stamp can be read.
const LAYOUT_MIN: u8 = 1;

// === impl Progress ===

impl Progress {
    /// Nothing folded yet.
    pub const START: Self = Self { size: 0, last: None };
}

// === impl Stamp ===

impl Stamp {
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = StampMessage {
            fold_version: self.fold_version,
            boot_id: self.boot_id.clone(),
            clean: self.clean,
            facts: self.facts,
            erasing: self.erasing,
            logs: self
                .logs
                .iter()
                .map(|(&log, progress)| progress_message(log, progress))
                .collect(),
        };
        let mut bytes = vec![LAYOUT];
        bytes.extend(message.encode_to_vec());
        bytes
    }

    /// Reads the stamp of a store of this layout or an earlier one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ParseStampError> {
        let Some((LAYOUT_MIN..=LAYOUT, message)) = bytes.split_first() else {
            return Err(ParseStampError);
        };
        let message = StampMessage::decode(message).map_err(|_| ParseStampError)?;
        let logs = message.logs.iter().map(progress).collect::<Result<_, _>>()?;
        let StampMessage { fold_version, boot_id, clean, facts, erasing, .. } = message;
        Ok(Self { fold_version, boot_id, clean, facts, erasing, logs })
    }

    pub(super) fn cut(&self) -> Cut {
        self.logs.iter().map(|(&log, progress)| (log, progress.size)).collect()
    }
}

fn progress_message(log: LogId, progress: &Progress) -> ProgressMessage {
    ProgressMessage {
        land: log.land.code().to_owned(),
        epoch: log.epoch,
        size: progress.size,
        last: progress.last.map(|last| last.as_bytes().to_vec()).unwrap_or_default(),
    }
}

fn progress(message: &ProgressMessage) -> Result<(LogId, Progress), ParseStampError> {
    let land: Land = message.land.parse().map_err(|_| ParseStampError)?;
    let last = match message.last.as_slice() {
        [] => None,
        bytes => Some(Hash::try_from(bytes).map_err(|_| ParseStampError)?),
    };
    let log = LogId { land, epoch: message.epoch };
    Ok((log, Progress { size: message.size, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_damage_is_noticed() {
        let log = LogId { land: Land::SL, epoch: 1 };
        let stamp = Stamp {
            fold_version: 3,
            boot_id: "boot".to_owned(),
            clean: true,
            facts: 99,
            erasing: true,
            logs: [(log, Progress { size: 7, last: Some(Hash::from_bytes([5; 32])) })].into(),
        };
        let bytes = stamp.encode();
        assert_eq!(Stamp::parse(&bytes), Ok(stamp));
        assert!(Stamp::parse(&bytes[..bytes.len() - 1]).is_err());
        assert!(Stamp::parse(&[]).is_err());
        assert!(Stamp::parse(&[LAYOUT + 1]).is_err());
    }
}
