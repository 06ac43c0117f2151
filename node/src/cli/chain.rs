//! `registry-node charter show`, and what people have to compare of a chain of charters.

use std::{fs, path::Path};

use bytes::Bytes;
use prost::Message as _;
use registry_client::charter::change_words;
use registry_core::charter::decision::unproved;
use registry_proto::{
    charter::{Change, Charter, CharterProblem, Quota},
    german::German,
    log::{Hash, Header},
    wire::registry::{self as wire, CharterDecision},
};

use super::charter::{
    Chain, CharterCommandError as E, chain, describe, file_error, limited, read_chain,
};

/// Shows a charter, all of a chain, or the draft of one that is to follow.
pub(super) fn show(file: &Path, from: Option<&Path>) -> Result<String, E> {
    let raw = Bytes::from(fs::read(file).map_err(|source| file_error(file, source))?);
    if let Some(draft) = draft(&raw) {
        return match from {
            Some(from) => follows(&raw, from),
            None => Ok(alone(&raw, &draft)),
        };
    }
    let Chain { charters, decisions, .. } = read_chain(raw)?;
    let mut parts = Vec::new();
    let mut before: Option<&Charter> = None;
    for charter in &charters {
        let mut text = describe(charter);
        if let Some(before) = before {
            let (_, changes) =
                before.successor(charter.raw().clone()).map_err(|it| E::Charter(German(it)))?;
            text.push_str(&changed(charter.digest(), &changes));
            let proof = decisions.get(&charter.number());
            text.push_str(&format!("\nAbstimmung {}", proof.map_or_else(without, votes)));
        }
        parts.push(text);
        before = Some(charter);
    }
    parts.push(to_compare(&charters, &unproved(&charters, &decisions)));
    Ok(parts.join("\n\n"))
}

/// What people have to compare, because nothing in a file can show it.
pub(super) fn to_compare(charters: &[Charter], unproved: &[u64]) -> String {
    let (Some(first), Some(last)) = (charters.first(), charters.last()) else {
        return String::new();
    };
    let mut text = format!(
        "Auf einem zweiten Weg mit anderen Ländern vergleichen:\n  Kennung des Verbunds {}",
        first.id()
    );
    if last.number() > 0 {
        text.push_str(&format!("\n  Charta Nr. {:<10}{}", last.number(), last.digest()));
    }
    if !unproved.is_empty() {
        text.push_str(&format!(
            "\nOhne Beweis der Abstimmung: Charta Nr. {}. Ob sie gilt, zeigt allein der Vergleich der \
             Prüfsumme mit mehreren Ländern (registry charter history), bis der Knoten die Stimmen in \
             ihren Protokollen gelesen hat.",
            numbers(unproved)
        ));
    }
    text
}

fn numbers(all: &[u64]) -> String {
    all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn changed(digest: Hash, changes: &[Change]) -> String {
    let changes: Vec<_> = changes.iter().map(change_words).collect();
    let changes = if changes.is_empty() { "nichts".to_owned() } else { changes.join("; ") };
    format!("\nPrüfsumme {digest}\nÄndert    {changes}")
}

fn without() -> String {
    "ohne Beweis".to_owned()
}

/// Whose votes a proof shows; it was verified.
fn votes(proof: &CharterDecision) -> String {
    let land = |it: &wire::CharterVoteProof| Some(Header::parse(&it.header).ok()?.log.land);
    let chosen = proof.votes.iter().filter(|it| it.choice == 1);
    let mut all: Vec<_> = chosen.filter_map(land).map(|it| it.code()).collect();
    all.sort_unstable();
    all.dedup();
    format!("bewiesen, Stimmen von {}", all.join(", "))
}

/// The charter that a draft makes, held against the chain that it is to follow.
fn follows(raw: &Bytes, from: &Path) -> Result<String, E> {
    let chain = chain(from)?;
    let last = chain.charters.last();
    let last = last.ok_or_else(|| E::Charter(German(CharterProblem::Undecodable.into())))?;
    let (next, changes) = last.successor(raw.clone()).map_err(|it| E::Charter(German(it)))?;
    let (next, changes) = (describe(&next), changed(next.digest(), &changes));
    Ok(format!("{}Entwurf\n{next}{changes}", borne_out(&chain)))
}

/// Which steps of the chain that a draft rests on are proved, and what is to be compared; nothing of
/// a genesis charter alone.
pub(super) fn borne_out(chain: &Chain) -> String {
    let steps = chain.charters.iter().skip(1).map(|it| {
        let proof = chain.decisions.get(&it.number());
        format!("Charta Nr. {}: {}\n", it.number(), proof.map_or_else(without, votes))
    });
    let steps: String = steps.collect();
    if steps.is_empty() {
        return steps;
    }
    let unproved = unproved(&chain.charters, &chain.decisions);
    let compare = to_compare(&chain.charters, &unproved);
    format!("Die Kette, auf die der Entwurf folgt\n{steps}{compare}\n\n")
}

/// A draft without the charter that it is to follow: what it says, held against nothing.
fn alone(raw: &Bytes, draft: &wire::Charter) -> String {
    let predecessor = Hash::try_from(&draft.predecessor[..]);
    let mut text = format!(
        "Entwurf von Charta Nr. {}\nVerbund   {}{}\nPrüfsumme {}\nFolgt auf {}\nSchwelle  \
         {}\nMitglieder",
        draft.number,
        clean(&draft.name),
        if draft.test { " (Testverbund)" } else { "" },
        Hash::of(raw),
        predecessor.map_or_else(|_| "?".to_owned(), |it| it.to_string()),
        draft.threshold,
    );
    for member in &draft.members {
        let nodes: Vec<_> = member.nodes.iter().map(|it| clean(&it.name)).collect();
        let state = match member.state() {
            wire::MemberState::Unspecified => "",
            wire::MemberState::Suspended => " (ruht)",
            wire::MemberState::Removed => "ausgeschieden",
        };
        text.push_str(&format!("\n  {:<5} {}{state}", clean(&member.land), nodes.join(", ")));
        let quota = member.quota.unwrap_or_default();
        let (entries_per_day, bytes_per_day) = (quota.entries_per_day, quota.bytes_per_day);
        text.push_str(&limited(&Quota { bytes_per_day, entries_per_day }));
    }
    text.push_str(
        "\n\nNicht geprüft; was er ändert, zeigt --from mit der Kette, auf die er folgt.",
    );
    text
}

/// The message, if the bytes are those of a charter that follows another one.
fn draft(raw: &Bytes) -> Option<wire::Charter> {
    let decoded = wire::Charter::decode(&raw[..]).ok()?;
    (decoded.format_level > 0 && decoded.number > 0).then_some(decoded)
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
