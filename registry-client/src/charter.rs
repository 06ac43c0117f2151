//! Charters and votes.

use bytes::Bytes;
use registry_proto::{
    charter::Change,
    wire::registry::{
        GetChartersRequest, GetChartersResponse, VoteCharterRequest, VoteCharterResponse,
        charter_service_client::CharterServiceClient,
    },
};

use crate::{connect::Client, error::ClientError};

impl Client {
    /// All charters, the genesis charter first, and what is said about the next one. Callers MUST
    /// hold the genesis charter against their own file before they trust the others.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn charters(&self) -> Result<GetChartersResponse, ClientError> {
        let mut charters: Vec<Bytes> = Vec::new();
        let mut decisions = Vec::new();
        loop {
            let mut service = CharterServiceClient::new(self.channel());
            let request = self.request(GetChartersRequest { from: charters.len() as u64 });
            let answer = service.get_charters(request);
            let mut answer = self.answer("read the charters", answer).await?;
            let more = !answer.charters.is_empty();
            charters.append(&mut answer.charters);
            decisions.append(&mut answer.decisions);
            if !more || charters.len() as u64 > answer.newest {
                answer.charters = charters;
                answer.decisions = decisions;
                return Ok(answer);
            }
        }
    }

    /// Votes in the log of the node's Land; an empty successor abstains.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn vote_charter(
        &self,
        successor: Bytes,
        dry_run: bool,
    ) -> Result<VoteCharterResponse, ClientError> {
        let mut service = CharterServiceClient::new(self.channel());
        let request = self.request(VoteCharterRequest { successor, dry_run });
        self.answer("vote", service.vote_charter(request)).await
    }
}

/// What a successor changes, in words: German, for people.
pub fn change_words(change: &Change) -> String {
    match change {
        Change::Admitted(land) => format!("{land} wird aufgenommen"),
        Change::Suspended(land, cut) => format!("{land} ruht ab Eintrag {}", cut.size),
        Change::Resumed(land) => format!("{land} nimmt wieder teil"),
        Change::Removed(land, cut) => format!("{land} scheidet aus, ab Eintrag {}", cut.size),
        Change::Threshold { from, to } => format!("Schwelle {to} statt {from}"),
        Change::LogKey(land, cut) => format!("{land}: neuer Protokollschlüssel ab {}", cut.size),
        Change::FreshnessKey(land, cut) => {
            format!("{land}: neuer Frischeschlüssel ab {}", cut.size)
        }
        Change::OfflineKey(land) => format!("{land}: neuer Offline-Schlüssel"),
        Change::Nodes(land) => format!("{land}: andere Knoten"),
        Change::Anchors(land) => format!("{land}: andere Vertrauensanker"),
        Change::Quota(land) => format!("{land}: andere Mengengrenze"),
    }
}
