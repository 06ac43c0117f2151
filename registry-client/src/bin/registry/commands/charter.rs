//! `registry charter`.

use std::{fs, path::Path};

use bytes::Bytes;
use prost::Message as _;
use registry_client::{
    Client, ClientError,
    charter::{change_words, later_words, needs_help, quota_words},
    proof::verify_inclusion,
};
use registry_proto::{
    charter::{Change, Charter, CharterError, CharterProblem, Quota, Standing},
    epoch::Ended,
    german::German,
    log::Hash,
    terms::Land,
    wire::registry::{
        BarredBy, CharterSource, CharterStanding, CharterStatement, GetChartersResponse,
        Invitation, LaterCharter, LaterCharterState, LogPosition, VoteCharterResponse,
    },
};

use super::invite;
use crate::{
    args::{Charter as Command, CharterExport, CharterPropose, CharterVote, Format},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn run(client: &Client, format: Format, command: Command) -> Result<(), CliError> {
    match command {
        Command::Show => show(&read(&client.charters().await?)?, format),
        Command::History => history(&read(&client.charters().await?)?, format),
        Command::Status => {
            let waiting = invite::waiting(client).await?;
            status(&client.charters().await?, &waiting, format)
        }
        Command::Invite(args) => invite::invite(client, format, args).await,
        Command::Invitations => invite::list(client, format).await,
        Command::Uninvite(args) => invite::revoke(client, format, args).await,
        Command::Export(args) => {
            export(&client.charters().await?, &client.ended_epochs().await?, &args)
        }
        Command::Cut(args) => cut(client, format, args.land).await,
        Command::Propose(args) => propose(client, format, &args).await,
        Command::Vote(args) => vote(client, format, &args).await,
    }
}

/// All charters that a node told, each held against the one before it.
pub(super) struct Chain {
    pub(super) charters: Vec<Charter>,
    /// What each changed; nothing for the first.
    changes: Vec<Vec<Change>>,
}

impl Chain {
    fn last(&self) -> Result<&Charter, CliError> {
        self.charters.last().ok_or_else(|| untrue("keine Charta"))
    }
}

pub(super) fn read(answer: &GetChartersResponse) -> Result<Chain, CliError> {
    let mut chain = Chain { charters: Vec::new(), changes: Vec::new() };
    for raw in &answer.charters {
        let (next, changes) = match chain.charters.last() {
            None => (Charter::parse(raw.clone()).map_err(not_one)?, Vec::new()),
            Some(last) => last.successor(raw.clone()).map_err(not_one)?,
        };
        chain.charters.push(next);
        chain.changes.push(changes);
    }
    Ok(chain)
}

fn not_one(error: CharterError) -> CliError {
    untrue(German(error))
}

fn untrue(error: impl std::fmt::Display) -> CliError {
    CliError::Internal(format!("Chartas des Knotens: {error}"))
}

fn show(chain: &Chain, format: Format) -> Result<(), CliError> {
    let charter = chain.last()?;
    let object = || Ok(described(charter));
    output::print(format, object, || {
        let mut text = format!(
            "Charta    Nr. {}, {}\nVerbund   {}\nSchwelle  {} von {} Stimmen\n\n",
            charter.number(),
            charter.digest(),
            charter.id(),
            charter.threshold(),
            charter.voters().count(),
        );
        text.push_str(&output::table(
            ["Land", "Stand", "Knoten"],
            &[0, 1],
            charter.members().iter().map(|it| {
                let nodes: Vec<_> = it.nodes.iter().map(|it| it.name.as_str()).collect();
                [it.land.code().to_owned(), standing(it.standing), nodes.join(", ")]
            }),
        ));
        let limited = charter.members().iter().filter(|it| it.quota != Quota::default());
        for (at, it) in limited.enumerate() {
            let head = if at == 0 { "\nMengengrenze, abweichend von der Vorgabe\n" } else { "" };
            text.push_str(&format!("{head}{:<4}  am Tag {}\n", it.land, quota_words(&it.quota)));
        }
        let ended =
            charter.members().iter().flat_map(|it| (1..).zip(&it.resets).map(move |at| (it, at)));
        for (at, (it, (epoch, reset))) in ended.enumerate() {
            let head = if at == 0 { "\nBeendete Epochen\n" } else { "" };
            text.push_str(&format!("{head}{}/{epoch}  Zurücksetzung {reset}\n", it.land));
        }
        text
    })
}

fn described(charter: &Charter) -> Object {
    let members = charter.members().iter().map(|it| {
        let nodes = it.nodes.iter().map(|it| Node::Text(it.name.clone())).collect();
        let resets = it.resets.iter().map(|it| Node::Text(it.to_string())).collect();
        Node::Object(
            Object::default()
                .with("land", Node::Text(it.land.code().to_owned()))
                .with("active", Node::Bool(it.is_active()))
                .with("standing", Node::Text(state(it.standing).to_owned()))
                .with("ends_at", Node::Json(it.cut().map(|it| it.size).into()))
                .with("nodes", Node::List(nodes))
                .with("quota", Node::Object(quota(&it.quota)))
                .with("epoch_resets", Node::List(resets)),
        )
    });
    Object::default()
        .with("number", Node::Number(charter.number()))
        .with("digest", Node::Text(charter.digest().to_string()))
        .with("verbund", Node::Text(charter.id().to_string()))
        .with("threshold", Node::Number(u64::from(charter.threshold())))
        .with("members", Node::List(members.collect()))
}

/// What counts; the default where the charter names nothing.
fn quota(it: &Quota) -> Object {
    Object::default()
        .with("entries_per_day", Node::Number(it.entries()))
        .with("bytes_per_day", Node::Number(it.bytes()))
}

fn history(chain: &Chain, format: Format) -> Result<(), CliError> {
    let all = || chain.charters.iter().zip(&chain.changes);
    let object = || {
        let charters = all().map(|(charter, changes)| {
            Node::Object(described(charter).with("changes", texts(changes)))
        });
        Ok(Object::default().with("charters", Node::List(charters.collect())))
    };
    output::print(format, object, || {
        output::table(
            ["Nr.", "Prüfsumme", "Änderungen"],
            &[0, 1],
            all().map(|(charter, changes)| {
                let what =
                    if charter.number() == 0 { "Gründung".to_owned() } else { words(changes) };
                [charter.number().to_string(), charter.digest().to_string(), what]
            }),
        )
    })
}

fn status(
    answer: &GetChartersResponse,
    waiting: &[Invitation],
    format: Format,
) -> Result<(), CliError> {
    let chain = read(answer)?;
    let last = chain.last()?;
    let mut proposals = Vec::new();
    for it in &answer.proposals {
        let digest = Hash::try_from(&it.digest[..]).map_err(untrue)?;
        let changes = match it.charter.is_empty() {
            true => Vec::new(),
            false => last.successor(it.charter.clone()).map_err(not_one)?.1,
        };
        proposals.push(Proposal { digest, changes });
    }
    let object = || {
        let proposals = proposals.iter().map(|it| {
            let votes = votes(answer, Some(it.digest)).into_iter().map(statement).collect();
            Node::Object(
                Object::default()
                    .with("digest", Node::Text(it.digest.to_string()))
                    .with("changes", texts(&it.changes))
                    .with("votes", Node::List(votes)),
            )
        });
        let abstained = votes(answer, None).into_iter().map(statement).collect();
        let bound_to = answer.bound_to.iter().map(|it| Node::Text(hex::encode(it)));
        Ok(Object::default()
            .with("newest", Node::Number(answer.newest))
            .with("followed", Node::Number(answer.followed))
            .with("behind", Node::Text(answer.behind.clone()))
            .with("newest_digest", Node::Text(last.digest().to_string()))
            .with("unproved", numbers(answer.standing.as_ref().map(|it| &it.unproved[..])))
            .with("contradicted", numbers(answer.standing.as_ref().map(|it| &it.contradicted[..])))
            .with("later", later(answer.standing.as_ref().and_then(|it| it.later.as_ref())))
            .with("told", sources(answer.standing.as_ref().map(|it| &it.sources[..])))
            .with("threshold", Node::Number(u64::from(last.threshold())))
            .with("round", Node::Number(u64::from(answer.round)))
            .with("bound", Node::Text(hex::encode(&answer.bound)))
            .with("bound_to", Node::List(bound_to.collect()))
            .with("proposals", Node::List(proposals.collect()))
            .with("abstained", Node::List(abstained))
            .with("pending", Node::List(waiting.iter().map(invite::node).collect())))
    };
    output::print(format, object, || {
        told_status(answer, last, &proposals) + &invite::told_waiting(waiting)
    })
}

/// What can follow the charter in force.
struct Proposal {
    digest: Hash,
    changes: Vec<Change>,
}

/// Votes for a proposal, or abstentions.
fn votes(answer: &GetChartersResponse, digest: Option<Hash>) -> Vec<&CharterStatement> {
    let digest = digest.map(|it| it.as_bytes().to_vec()).unwrap_or_default();
    answer.statements.iter().filter(|it| it.choice[..] == digest[..]).collect()
}

fn told_status(answer: &GetChartersResponse, last: &Charter, proposals: &[Proposal]) -> String {
    let mut text = format!(
        "In Kraft ist Charta {} ({}); der Knoten arbeitet unter Charta {}.\n",
        answer.newest,
        last.digest(),
        answer.followed
    );
    if !answer.behind.is_empty() {
        text.push_str(&format!("Nicht übernommen: {}\n", answer.behind));
    }
    if let Some(standing) = &answer.standing {
        for it in &standing.sources {
            text.push_str(&format!(
                "Charta {} hat {} ({}) mitgeteilt, mit dem Beweis der Abstimmung.\n",
                it.number, it.land, it.node
            ));
        }
        text.push_str(&warned(standing));
    }
    if answer.statements.is_empty() {
        text.push_str("Zur nächsten Charta liegt nichts vor.\n");
        return text;
    }
    let (round, threshold, voters) = (answer.round, last.threshold(), last.voters().count());
    text.push_str(&format!(
        "Runde {round}; nötig sind {threshold} von {voters} Stimmen in einer Runde.\n"
    ));
    text.push_str(&told_bound(answer));
    for it in proposals {
        let votes = who(&votes(answer, Some(it.digest)));
        text.push_str(&format!("\n{}\n  {}\n  {votes}\n", it.digest, words(&it.changes)));
    }
    let abstained = votes(answer, None);
    if !abstained.is_empty() {
        text.push_str(&format!("\nEnthaltungen\n  {}\n", who(&abstained)));
    }
    let spoke = |land: &str| {
        let here = answer.statements.iter().filter(|it| it.round == round);
        here.filter_map(|it| it.position.as_ref()).any(|it| it.land == land)
    };
    let missing: Vec<_> = last.voters().map(|it| it.land.code()).filter(|it| !spoke(it)).collect();
    let verb = if missing.len() == 1 { "fehlt" } else { "fehlen" };
    text.push_str(&format!("\nIn Runde {round} {verb}: {}\n", missing.join(", ")));
    text
}

fn told_bound(answer: &GetChartersResponse) -> String {
    match &answer.bound_to[..] {
        // a node before `bound_to` says at most one
        [] if answer.bound.is_empty() => String::new(),
        [] => format!("In dieser Runde kann nur noch {} gewinnen.\n", hex::encode(&answer.bound)),
        [one] => format!("In dieser Runde kann nur noch {} gewinnen.\n", hex::encode(one)),
        some => {
            let some: Vec<_> = some.iter().map(hex::encode).collect();
            format!(
                "In dieser Runde kann nur noch einer von diesen gewinnen: {}\n",
                some.join(", ")
            )
        }
    }
}

fn statement(it: &CharterStatement) -> Node {
    let at = it.position.clone().unwrap_or_default();
    Node::Object(
        Object::default()
            .with("land", Node::Text(at.land.clone()))
            .with("round", Node::Number(u64::from(it.round)))
            .with("position", Node::Text(format!("{}/{}/{}", at.land, at.epoch, at.index)))
            .with("counts", Node::Bool(it.counts)),
    )
}

fn who(votes: &[&CharterStatement]) -> String {
    let one = |it: &&CharterStatement| {
        let land = it.position.as_ref().map_or("?", |it| it.land.as_str());
        let counts = if it.counts { "" } else { ", zählt nicht" };
        format!("{land} (Runde {}{counts})", it.round)
    };
    votes.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn export(
    answer: &GetChartersResponse,
    ended: &Ended,
    args: &CharterExport,
) -> Result<(), CliError> {
    let chain = read(answer)?;
    let (charters, decisions) = (answer.charters.clone(), answer.decisions.clone());
    let raw = Charter::encode_chain_with(charters, decisions, ended);
    let (_, decisions) = Charter::chain_and_decisions(raw.clone().into()).map_err(not_one)?;
    let path = args.file.display();
    fs::write(&args.file, raw)
        .map_err(|error| CliError::Usage(format!("{path} ist nicht beschreibbar: {error}.")))?;
    let proof = |number: u64| match decisions.iter().any(|it| it.number == number) {
        _ if number == 0 => "vereinbart",
        true => "liegt bei",
        false => "fehlt",
    };
    let rows = chain.charters.iter().zip(&chain.changes).map(|(charter, changes)| {
        let number = charter.number();
        let what = if number == 0 { "Gründung".to_owned() } else { words(changes) };
        [number.to_string(), charter.digest().to_string(), proof(number).to_owned(), what]
    });
    let head = ["Nr.", "Prüfsumme", "Beweis der Abstimmung", "Änderungen"];
    let mut text = format!("{path}:\n{}", output::table(head, &[0, 1], rows));
    let (last, first) = (chain.last()?, chain.charters.first());
    let genesis = first.map(|it| it.id().to_string()).unwrap_or_default();
    text.push_str(&format!(
        "\nAuf einem zweiten Weg mit anderen Ländern vergleichen:\n  Kennung des Verbunds {genesis}\n"
    ));
    if last.number() > 0 {
        text.push_str(&format!("  Charta Nr. {:<10}{}\n", last.number(), last.digest()));
    }
    let standing = answer.standing.clone().unwrap_or_default();
    output::write(&(text + &warned(&standing)))
}

/// A later charter that a partner runs under.
pub(super) fn later(it: Option<&LaterCharter>) -> Node {
    let Some(it) = it else { return Node::Json(serde_json::Value::Null) };
    let state = it.state().as_str_name().trim_start_matches("LATER_CHARTER_STATE_");
    Node::Object(
        Object::default()
            .with("number", Node::Number(it.number))
            .with("land", Node::Text(it.land.clone()))
            .with("node", Node::Text(it.node.clone()))
            .with("state", Node::Text(state.to_lowercase())),
    )
}

/// A partner that lets no node of this Land in any more.
pub(super) fn barred(it: Option<&BarredBy>) -> Node {
    let Some(it) = it else { return Node::Json(serde_json::Value::Null) };
    Node::Object(
        Object::default()
            .with("land", Node::Text(it.land.clone()))
            .with("node", Node::Text(it.node.clone()))
            .with("removed", Node::Bool(it.removed)),
    )
}

/// Who told charters with a proof.
fn sources(all: Option<&[CharterSource]>) -> Node {
    let all = all.unwrap_or_default().iter().map(|it| {
        let (land, node) = (Node::Text(it.land.clone()), Node::Text(it.node.clone()));
        let number = Node::Number(it.number);
        let object = Object::default().with("number", number).with("land", land);
        Node::Object(object.with("node", node))
    });
    Node::List(all.collect())
}

/// What is to be said of charters that nothing bears out at the node.
pub(super) fn warned(standing: &CharterStanding) -> String {
    let numbers = |all: &[u64]| all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    if !standing.unproved.is_empty() {
        text.push_str(&format!(
            "\nAchtung: Charta Nr. {} wurde diesem Knoten nur mitgeteilt; weder Stimmen für sie noch \
             ein Beweis liegen hier vor. Ihre Prüfsumme mit anderen Ländern vergleichen (dort: \
             registry charter history).\n",
            numbers(&standing.unproved)
        ));
    }
    if !standing.contradicted.is_empty() {
        text.push_str(&format!(
            "\nAchtung: die Stimmen in den Protokollen haben eine andere Charta Nr. {} beschlossen als \
             die, unter der dieser Knoten arbeitet. Die Kette bei anderen Ländern holen (registry \
             charter export) und nicht weiter abstimmen.\n",
            numbers(&standing.contradicted)
        ));
    }
    if let Some(it) = &standing.barred {
        let what = match it.removed {
            true => "ist nach der dort geltenden Charta aus dem Verbund ausgeschieden",
            false => "nimmt nach der dort geltenden Charta zur Zeit nicht teil",
        };
        text.push_str(&format!(
            "\nAchtung: {} ({}) lehnt Sitzungen dieses Knotens ab; sein Land {what}.\n",
            output::clean(&it.land),
            output::clean(&it.node)
        ));
    }
    // a vote that is about to come is no news
    let waits = LaterCharterState::Waiting;
    if let Some(later) = standing.later.as_ref().filter(|it| it.state() != waits) {
        let head = if needs_help(later) { "Achtung: " } else { "" };
        text.push_str(&format!("\n{head}{}\n", later_words(later)));
    }
    text
}

/// The newest place in the log of a Land that its owner signed and this node holds in full.
async fn cut(client: &Client, format: Format, land: Land) -> Result<(), CliError> {
    let charters = read(&client.charters().await?)?;
    let status = client.status().await?;
    // of an epoch that a reset ended nothing is added, and with a place in it all since would be lost
    let logs = status.logs.iter().filter(|it| it.land == land.code());
    let log = logs
        .max_by_key(|it| it.epoch)
        .ok_or_else(|| CliError::Usage(format!("{land} hat hier kein Protokoll.")))?;
    let (epoch, mut size, mut root) = (log.epoch, 0, Hash::EMPTY_ROOT);
    if log.size > 0 {
        let first = LogPosition { land: land.code().to_owned(), epoch, index: 0 };
        let proof = client.inclusion_proof(first.clone()).await?;
        let entry =
            verify_inclusion(&proof, charters.last()?, &first).map_err(ClientError::Proof)?;
        (size, root) = (entry.checkpoint().size(), *entry.checkpoint().root());
    }
    let object = || {
        Ok(Object::default()
            .with("land", Node::Text(land.code().to_owned()))
            .with("epoch", Node::Number(epoch))
            .with("size", Node::Number(size))
            .with("root", Node::Text(root.to_string())))
    };
    output::print(format, object, || format!("{land}/{epoch}/{size}/{root}\n"))
}

async fn propose(client: &Client, format: Format, args: &CharterPropose) -> Result<(), CliError> {
    let answer = client.charters().await?;
    let chain = read(&answer)?;
    let (what, raw) = match (&args.file, args.pending) {
        (Some(file), _) => (file.display().to_string(), text(file)?),
        (None, land) => {
            let (land, member) = invite::pending(client, land).await?;
            let mut draft = chain.last()?.admitting(member);
            draft.list(&client.ended_epochs().await?);
            (format!("Anwärter {land}"), draft.encode_to_vec().into())
        }
    };
    // here, so that mistakes in the draft are named one by one
    if let Some(it) = in_force(&chain, |it| it.raw() == &raw) {
        return Err(it);
    }
    let (next, changes) =
        chain.last()?.successor(raw.clone()).map_err(|error| no_successor(&what, error))?;
    let voted = client.vote_charter(raw, args.dry_run).await?;
    told(format, &voted, Some(next.digest()), &words(&changes))
}

/// Why a draft is not voted for, with what mends it.
fn no_successor(what: &str, error: CharterError) -> CliError {
    let is = |wanted: fn(&CharterProblem) -> bool| error.problems.iter().any(wanted);
    let next = if is(|it| matches!(it, CharterProblem::Undecodable)) {
        return CliError::Usage(format!(
            "{what} ist keine Charta.\nNächster Schritt: einen Entwurf macht registry-node charter amend"
        ));
    } else if is(|it| matches!(it, CharterProblem::Threshold { .. })) {
        "den Entwurf mit registry-node charter amend … --threshold ZAHL neu machen"
    } else {
        "den Entwurf aus der geltenden Kette neu machen: registry charter export, dann registry-node \
         charter amend"
    };
    let why = German(error);
    CliError::Usage(format!(
        "{what} folgt nicht auf die geltende Charta; {why}.\nNächster Schritt: {next}"
    ))
}

/// What is to be said of a proposal that has become a charter already.
fn in_force(chain: &Chain, is_wanted: impl Fn(&Charter) -> bool) -> Option<CliError> {
    let (last, past) = chain.charters.split_last()?;
    let voted = chain.charters.iter().filter(|it| it.number() > 0);
    let found = voted.rev().find(|it| is_wanted(it))?;
    let (number, digest) = (found.number(), found.digest());
    let since = match past.iter().any(|it| it.number() == number) {
        true => format!(
            "ist als Charta {number} beschlossen worden; heute gilt Charta {}",
            last.number()
        ),
        false => format!("gilt schon, als Charta {number}"),
    };
    Some(CliError::Refused(format!(
        "{digest} {since}. Eine Stimme braucht es nicht mehr.\nNächster Schritt: registry charter status"
    )))
}

async fn vote(client: &Client, format: Format, args: &CharterVote) -> Result<(), CliError> {
    let Some(wanted) = &args.digest else {
        let voted = client.vote_charter(Bytes::new(), args.dry_run).await?;
        return told(format, &voted, None, "Enthaltung");
    };
    let answer = client.charters().await?;
    let chain = read(&answer)?;
    let begins = |digest: String| digest.starts_with(&wanted.to_lowercase());
    let mut fitting = answer.proposals.iter().filter(|it| begins(hex::encode(&it.digest)));
    let (Some(found), None) = (fitting.next(), fitting.next()) else {
        if let Some(it) = in_force(&chain, |it| begins(it.digest().to_string())) {
            return Err(it);
        }
        return Err(CliError::Usage(format!(
            "{wanted} ist nicht die Prüfsumme genau eines Vorschlags.\nNächster Schritt: \
             registry charter status"
        )));
    };
    if found.charter.is_empty() {
        return Err(CliError::Refused(
            "Der Knoten sendet diesen Vorschlag nicht, weil es zu viele sind; mit registry charter \
             propose DATEI für ihn stimmen."
                .to_owned(),
        ));
    }
    let (next, changes) = chain.last()?.successor(found.charter.clone()).map_err(not_one)?;
    let voted = client.vote_charter(found.charter.clone(), args.dry_run).await?;
    told(format, &voted, Some(next.digest()), &words(&changes))
}

fn told(
    format: Format,
    voted: &VoteCharterResponse,
    digest: Option<Hash>,
    what: &str,
) -> Result<(), CliError> {
    let place = voted.position.as_ref().map(|it| format!("{}/{}/{}", it.land, it.epoch, it.index));
    let digest = digest.map(|it| it.to_string()).unwrap_or_default();
    let object = || {
        Ok(Object::default()
            .with("round", Node::Number(u64::from(voted.round)))
            .with("digest", Node::Text(digest.clone()))
            .with("position", Node::Text(place.clone().unwrap_or_default()))
            .with("newest", Node::Number(voted.newest)))
    };
    output::print(format, object, || {
        let stands = match &place {
            Some(place) => format!("Die Stimme steht im Protokoll: {place}."),
            None => "Nichts wurde geschrieben.".to_owned(),
        };
        format!("Runde {}: {what}\n{digest}\n{stands}\n", voted.round)
    })
}

fn text(path: &Path) -> Result<Bytes, CliError> {
    let read = fs::read(path);
    read.map(Bytes::from)
        .map_err(|error| CliError::Usage(format!("{} ist nicht lesbar: {error}.", path.display())))
}

fn numbers(all: Option<&[u64]>) -> Node {
    Node::List(all.unwrap_or_default().iter().map(|it| Node::Number(*it)).collect())
}

fn texts(changes: &[Change]) -> Node {
    Node::List(changes.iter().map(|it| Node::Text(change_words(it))).collect())
}

fn words(changes: &[Change]) -> String {
    changes.iter().map(change_words).collect::<Vec<_>>().join("; ")
}

fn standing(it: Standing) -> String {
    match it {
        Standing::Active => "Mitglied".to_owned(),
        Standing::Suspended(cut) => format!("ruht ab Eintrag {}", cut.size),
        Standing::Removed(cut) => format!("ausgeschieden ab Eintrag {}", cut.size),
    }
}

fn state(it: Standing) -> &'static str {
    match it {
        Standing::Active => "active",
        Standing::Suspended(_) => "suspended",
        Standing::Removed(_) => "removed",
    }
}
