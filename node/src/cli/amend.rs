//! `registry-node charter amend`: a draft of the charter that follows.

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    charter::{Charter, CharterProblem},
    german::German,
    log::Hash,
    wire::registry::{self as wire, MemberState},
};

use super::{
    chain::{borne_out, changed},
    charter::{CharterCommandError as E, chain, describe, file_error, member, read_card},
};

/// Argumente von `charter amend`.
#[derive(Debug, clap::Args)]
pub struct AmendArgs {
    /// Die geltende Charta samt ihren Vorgängern (`registry charter export`)
    #[arg(long, value_name = "DATEI")]
    pub from: PathBuf,
    /// Mitgliedskarten neuer Länder
    #[arg(long, value_name = "KARTE")]
    pub admit: Vec<PathBuf>,
    /// Mitgliedskarten von Mitgliedern, deren Knoten, Anker oder Offline-Schlüssel sich ändern
    #[arg(long, value_name = "KARTE")]
    pub update: Vec<PathBuf>,
    /// Mitgliedskarten mit einem neuen Protokoll- oder Frischeschlüssel; braucht --cut
    #[arg(long, value_name = "KARTE")]
    pub rekey: Vec<PathBuf>,
    /// Länder, deren Mitgliedschaft ruhen soll; braucht --cut
    #[arg(long, value_name = "LAND")]
    pub suspend: Vec<String>,
    /// Länder, die ausscheiden; braucht --cut, wenn die Mitgliedschaft nicht schon ruht
    #[arg(long, value_name = "LAND")]
    pub remove: Vec<String>,
    /// Länder, die wieder teilnehmen
    #[arg(long, value_name = "LAND")]
    pub resume: Vec<String>,
    /// Wo ein Protokoll endet oder der alte Schlüssel aufhört: LAND/EPOCHE/EINTRÄGE/WURZEL
    #[arg(long, value_name = "STELLE")]
    pub cut: Vec<String>,
    /// Was ein Land am Tag in sein Protokoll schreiben darf: LAND/EINTRÄGE/BYTE; 0 nimmt die Vorgabe
    #[arg(long, value_name = "MENGE")]
    pub quota: Vec<String>,
    /// Stimmen für eine Nachfolge-Charta; ohne Angabe die bisherigen, soweit möglich
    #[arg(long, value_name = "ZAHL")]
    pub threshold: Option<u32>,
    /// Zieldatei
    #[arg(long, value_name = "DATEI")]
    pub out: PathBuf,
}

/// Drafts the successor and returns what is printed.
pub(super) fn run(args: &AmendArgs) -> Result<String, E> {
    if args.out.exists() {
        return Err(E::Exists(args.out.clone()));
    }
    let chain = chain(&args.from)?;
    let Some(last) = chain.charters.last() else {
        return Err(E::Charter(German(CharterProblem::Undecodable.into())));
    };
    let mut next = draft(args, last)?;
    next.list(&chain.taken);
    let (next, changes) =
        last.successor(next.encode_to_vec().into()).map_err(|it| E::Charter(German(it)))?;
    fs::write(&args.out, next.raw()).map_err(|source| file_error(&args.out, source))?;
    let out = args.out.display();
    Ok(format!(
        "{}{}{}{}\nGeschrieben: {out}\nWeiter: registry charter propose {out}",
        borne_out(&chain),
        describe(&next),
        changed(next.digest(), &changes),
        needs_all(args.threshold, next.voters().count(), next.threshold())
    ))
}

fn draft(args: &AmendArgs, last: &Charter) -> Result<wire::Charter, E> {
    let cuts = cuts(&args.cut)?;
    let cut_of = |land: &str| cuts.get(land).cloned().ok_or_else(|| E::CutMissing(land.to_owned()));
    let mut next = last.draft_of_next();
    for path in &args.update {
        let card = member(&read_card(path)?, path)?;
        let known = find(&mut next, &card.land)
            .map_err(|_| E::NoMember { path: path.clone(), land: card.land.clone() })?;
        known.offline_key = card.offline_key;
        known.nodes = card.nodes;
        known.anchors = card.anchors;
    }
    for path in &args.rekey {
        let card = member(&read_card(path)?, path)?;
        let cut = Some(cut_of(&card.land)?);
        let known = find(&mut next, &card.land)
            .map_err(|_| E::NoMember { path: path.clone(), land: card.land.clone() })?;
        if (&known.log_key, &known.freshness_key) == (&card.log_key, &card.freshness_key) {
            return Err(E::SameKeys(path.clone()));
        }
        let log_key = std::mem::replace(&mut known.log_key, card.log_key);
        let freshness_key = std::mem::replace(&mut known.freshness_key, card.freshness_key);
        known.former_keys.push(wire::FormerKeys { log_key, freshness_key, cut });
    }
    for land in &args.suspend {
        let known = find(&mut next, land)?;
        known.cut = Some(cut_of(land)?);
        known.set_state(MemberState::Suspended);
    }
    for land in &args.remove {
        let known = find(&mut next, land)?;
        if known.cut.is_none() {
            known.cut = Some(cut_of(land)?);
        }
        known.set_state(MemberState::Removed);
        known.nodes.clear();
        known.anchors.clear();
    }
    for land in &args.resume {
        let known = find(&mut next, land)?;
        if known.cut.take().is_none() {
            return Err(E::TakesPart(land.clone()));
        }
        if known.nodes.is_empty() {
            return Err(E::NeedsCard(land.clone()));
        }
        known.set_state(MemberState::Unspecified);
    }
    for text in &args.quota {
        let (land, quota) = quota(text).ok_or_else(|| E::QuotaForm { found: text.clone() })?;
        find(&mut next, &land)?.quota = Some(quota);
    }
    for path in &args.admit {
        next.members.push(member(&read_card(path)?, path)?);
    }
    next.members.sort_by(|a, b| a.land.cmp(&b.land));
    let active = next.members.iter().filter(|it| it.state == 0).count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let usual = last.threshold().max(number(active * 2 / 3 + 1)).min(number(active));
    next.threshold = args.threshold.unwrap_or(usual);
    Ok(next)
}

/// Who lets a member that is dead rest hardly wants that from now on nobody may be missing.
fn needs_all(wished: Option<u32>, voters: usize, threshold: u32) -> String {
    let least = voters * 2 / 3 + 1;
    if wished.is_some() || least == voters || threshold as usize != voters {
        return String::new();
    }
    format!(
        "\nAlle {voters} müssen künftig zustimmen; möglich sind auch weniger (--threshold {least})"
    )
}

fn find<'c>(charter: &'c mut wire::Charter, land: &str) -> Result<&'c mut wire::Member, E> {
    let member = charter.members.iter_mut().find(|it| it.land == land);
    member.ok_or_else(|| E::UnknownLand(land.to_owned()))
}

fn quota(text: &str) -> Option<(String, wire::Quota)> {
    let mut parts = text.split('/');
    let land = parts.next()?.to_owned();
    let (entries, bytes) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let quota = wire::Quota { entries_per_day: entries, bytes_per_day: bytes };
    parts.next().is_none().then_some((land, quota))
}

fn cuts(texts: &[String]) -> Result<BTreeMap<String, wire::LogCut>, E> {
    texts.iter().map(|it| cut(it).ok_or_else(|| E::CutForm { found: it.clone() })).collect()
}

fn cut(text: &str) -> Option<(String, wire::LogCut)> {
    let mut parts = text.split('/');
    let land = parts.next()?.to_owned();
    let (epoch, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let root: Hash = parts.next()?.parse().ok()?;
    let root = Bytes::copy_from_slice(root.as_bytes());
    parts.next().is_none().then_some((land, wire::LogCut { epoch, size, root }))
}

#[cfg(test)]
mod tests {
    use super::needs_all;

    #[test]
    fn a_draft_that_needs_all_says_so_unless_that_was_wished_or_has_to_be() {
        assert!(needs_all(None, 4, 4).ends_with("(--threshold 3)"));
        assert!(needs_all(None, 5, 5).ends_with("(--threshold 4)"));
        for (wished, voters, threshold) in
            [(Some(4), 4, 4), (None, 4, 3), (None, 3, 3), (None, 1, 1)]
        {
            assert_eq!(needs_all(wished, voters, threshold), "", "{voters}");
        }
    }
}
