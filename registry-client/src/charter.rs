//! Charters and votes.

use bytes::Bytes;
use registry_proto::{
    charter::{Change, Quota},
    wire::registry::{
        GetChartersRequest, GetChartersResponse, LaterCharter, LaterCharterState,
        VoteCharterRequest, VoteCharterResponse, charter_service_client::CharterServiceClient,
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

/// Whether an operator has to help a node to the later charter that a partner runs under.
pub fn needs_help(it: &LaterCharter) -> bool {
    use LaterCharterState as S;
    match it.state() {
        S::Unspecified | S::Waiting | S::Asked | S::Told => false,
        S::Unproved | S::Differs | S::Unreadable | S::False | S::Contradicted | S::Stuck => true,
    }
}

/// Which later charter a partner runs under, and what comes next: German, for people.
pub fn later_words(it: &LaterCharter) -> String {
    use LaterCharterState as S;
    const FETCH: &str = "Die Kette bei einem Land holen, das sie hat (registry charter export), \
                         vergleichen und als charter in node.toml eintragen.";
    let next = match it.state() {
        S::Unspecified | S::Waiting => {
            "Die Stimmen können noch in den Protokollen kommen; sonst fragt er seine Partner."
                .into()
        }
        S::Asked => "Er hat einen Partner nach dem Beweis gefragt.".into(),
        S::Told => "Ein Partner hat sie bewiesen; der Knoten übernimmt sie.".into(),
        S::Unproved => {
            format!("Kein Partner, der gefragt wurde, konnte die nächste Charta beweisen. {FETCH}")
        }
        S::False => format!("Was ein Partner als Beweis zeigte, ist keiner. {FETCH}"),
        S::Unreadable => "Die nächste Charta folgt Regeln, die diese Software nicht kennt: neuere \
                          Software einspielen."
            .into(),
        S::Contradicted => "Ein Partner hat die nächste Charta bewiesen, aber Stimmen in den \
                            Protokollen hier widersprechen ihr: Mitglieder haben zweimal gestimmt. Die \
                            Prüfsummen mit mehreren Ländern vergleichen (registry charter history); die \
                            Kette, auf die sie sich einigen, als charter in node.toml eintragen."
            .into(),
        S::Stuck => "Die nächste Charta ist bewiesen, der Knoten kann sie aber nicht übernehmen. \
                     Den Grund nennen sein Log und das Prüfprotokoll (charter.follow): meist eine \
                     volle oder defekte Platte oder ein Vertrauensanker, der neuere Software braucht. \
                     Ist er behoben, geht es von selbst weiter."
            .into(),
        S::Differs => "Der Partner folgt einer anderen Charta, wo die dieses Knotens steht: beide \
                       Prüfsummen mit mehreren Ländern vergleichen (registry charter history)."
            .into(),
    };
    format!(
        "{} ({}) arbeitet unter Charta Nr. {}, dieser Knoten unter einer älteren. {next}",
        it.land, it.node, it.number
    )
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
        Change::Quota { land, from, to } => {
            format!("{land}: am Tag {} statt {}", quota_words(to), quota_words(from))
        }
        Change::EpochEnded(log, reset) => format!("{log} ist beendet, Zurücksetzung {reset}"),
    }
}

/// What a Land may add to its log in a day, in words: German, for people.
pub fn quota_words(quota: &Quota) -> String {
    let one = |value: u64, chosen: u64, what: &str| {
        let default = if chosen == 0 { " (Vorgabe)" } else { "" };
        format!("{} {what}{default}", grouped(value))
    };
    let entries = one(quota.entries(), quota.entries_per_day, "Einträge");
    let bytes = one(quota.bytes(), quota.bytes_per_day, "Byte");
    format!("{entries} und {bytes}")
}

/// A number whose thousands can be told apart at a glance.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('.');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;

    use super::*;

    #[test]
    fn a_quota_is_told_with_its_numbers() {
        let to = Quota { entries_per_day: 100_000, bytes_per_day: 1_000_000_000 };
        let change = Change::Quota { land: Land::SL, from: Quota::default(), to };
        let expected = "SL: am Tag 100.000 Einträge und 1.000.000.000 Byte statt 5.000.000 Einträge \
                        (Vorgabe) und 17.179.869.184 Byte (Vorgabe)";
        assert_eq!(change_words(&change), expected);
        let few = Quota { entries_per_day: 12, bytes_per_day: 123 };
        assert_eq!(quota_words(&few), "12 Einträge und 123 Byte");
    }
}
