//! `registry epoch`.

use std::{fs, path::Path};

use bytes::Bytes;
use registry_client::Client;
use registry_proto::{
    charter::Charter,
    epoch::{RESET_BYTES_MAX, Reset},
    german::German,
    terms::LogId,
    wire::registry::CountersignEpochResetResponse,
};

use super::charter;
use crate::{
    args::{Epoch as Command, EpochApply, EpochCountersign, Format},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn run(client: &Client, format: Format, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let charters = charter::read(&client.charters().await?)?.charters;
            list(&client.epoch_resets().await?, &charters, format)
        }
        Command::Countersign(args) => countersign(client, format, &args).await,
        Command::Apply(args) => apply(client, format, &args).await,
    }
}

fn list(raw: &[Bytes], charters: &[Charter], format: Format) -> Result<(), CliError> {
    let read = raw.iter().map(Reset::read).collect::<Result<Vec<_>, _>>();
    let resets =
        read.map_err(|error| CliError::Internal(format!("Zurücksetzungen des Knotens: {error}")))?;
    let object = || {
        let resets = resets.iter().map(|it| {
            let since = listed_since(it, charters);
            let object = described(it).with("listed_since", Node::Json(since.into()));
            Node::Object(
                object.with("other_listed", Node::Json(is_other_listed(it, charters).into())),
            )
        });
        let resets = resets.collect();
        Ok(Object::default().with("resets", Node::List(resets)))
    };
    output::print(format, object, || {
        if resets.is_empty() {
            return "Kein Protokoll hat neu begonnen.\n".to_owned();
        }
        let mut text = output::table(
            ["Beendet", "Behalten", "Zugestimmt", "Signiert", "In der Charta", "Grund"],
            &[0],
            resets.iter().map(|it| {
                let said = it.said();
                [
                    said.log.to_string(),
                    said.size.to_string(),
                    laender(it),
                    signed_at(it),
                    listing(it, charters),
                    output::clean(&said.reason),
                ]
            }),
        );
        for it in resets.iter().filter(|it| is_other_listed(it, charters)) {
            text.push_str(&other_listed(it.said().log));
        }
        if resets.iter().any(|it| listing(it, charters) == UNLISTED) {
            text.push_str(
                "\nWas die Charta noch nicht aufführt, kommt mit dem nächsten Entwurf hinein (registry \
                 charter export, dann registry-node charter amend). Nötig ist das, bevor neue \
                 Mitglieder oder Schlüssel gelten: wer später kommt, nimmt sonst nur an, was auch \
                 nach der neuen Charta genug Unterschriften trägt.\n",
            );
        }
        text
    })
}

/// Whether the charters list a reset, in words.
fn listing(reset: &Reset, charters: &[Charter]) -> String {
    match listed_since(reset, charters) {
        Some(number) => format!("seit Nr. {number}"),
        None if is_other_listed(reset, charters) => "eine andere".to_owned(),
        None => UNLISTED.to_owned(),
    }
}

/// Whether the charters list another reset of that epoch.
fn is_other_listed(reset: &Reset, charters: &[Charter]) -> bool {
    let listed = charters.last().and_then(|it| it.listed(reset.said().log));
    listed.is_some_and(|it| it != reset.digest())
}

fn other_listed(log: LogId) -> String {
    let (land, epoch) = (log.land, log.epoch);
    format!(
        "\nFür {log} führt die Charta eine andere Zurücksetzung auf als die, die dieser Knoten angenommen \
         hat.\nNächster Schritt: den Knoten anhalten, <data_dir>/epochs/{land}-{epoch}.reset und die \
         Verzeichnisse der Epochen danach unter <data_dir>/journal/{land}/ wegschieben, starten; Partner \
         bringen die richtige.\n"
    )
}

/// Number of the first charter that lists a reset.
fn listed_since(reset: &Reset, charters: &[Charter]) -> Option<u64> {
    let listed = |it: &&Charter| it.listed(reset.said().log) == Some(reset.digest());
    charters.iter().find(listed).map(Charter::number)
}

async fn countersign(
    client: &Client,
    format: Format,
    args: &EpochCountersign,
) -> Result<(), CliError> {
    let reset = read(&args.file)?;
    let answer = client.countersign_epoch_reset(reset.encode(), args.dry_run).await?;
    let agreed = Reset::read(&answer.reset)
        .map_err(|error| CliError::Internal(format!("Antwort des Knotens: {error}")))?;
    if !args.dry_run {
        write(&args.file, &answer.reset)?;
    }
    let object = || {
        Ok(described(&agreed)
            .with("held", Node::Number(answer.held))
            .with("known", Node::Number(answer.known))
            .with("missing", Node::Number(u64::from(answer.missing))))
    };
    output::print(format, object, || told(&agreed, &answer, args))
}

fn told(reset: &Reset, answer: &CountersignEpochResetResponse, args: &EpochCountersign) -> String {
    let said = reset.said();
    let beyond = |size: u64| size.saturating_sub(said.size);
    let mut text = output::pairs([
        ("Protokoll", said.log.to_string()),
        ("Behalten", format!("{}, {}", entries(said.size), said.root)),
        (
            "Verworfen",
            format!("{}, hier liegen davon {}", entries(beyond(answer.known)), beyond(answer.held)),
        ),
        ("Grund", output::clean(&said.reason)),
        ("Signiert", signed_at(reset)),
        ("Zugestimmt", laender(reset)),
    ]);
    if beyond(answer.held) > 0 {
        text.push_str(
            "\nAchtung: Einträge, die verworfen würden, liegen hier noch. Das Land kann sie \
             zurückholen, wenn sein Knoten diesen erreicht.\n",
        );
    }
    let file = args.file.display();
    text.push_str(&match (args.dry_run, answer.missing) {
        (true, _) => "\nNichts wurde unterschrieben.\n".to_owned(),
        (false, 0) => {
            format!("\n{file}: genug Zustimmungen. Weiter: registry epoch apply {file}\n")
        }
        (false, 1) => format!("\n{file}: es fehlt noch eine Zustimmung.\n"),
        (false, missing) => format!("\n{file}: es fehlen noch {missing} Zustimmungen.\n"),
    });
    text
}

async fn apply(client: &Client, format: Format, args: &EpochApply) -> Result<(), CliError> {
    let mut merged: Option<Reset> = None;
    for file in &args.files {
        let reset = read(file)?;
        match &mut merged {
            None => merged = Some(reset),
            Some(merged) => merged.merge(reset).map_err(|_| {
                let (one, other) = (args.files[0].display(), file.display());
                CliError::Usage(format!("{one} und {other} sind verschiedene Zurücksetzungen."))
            })?,
        }
    }
    let Some(reset) = merged else {
        return Err(CliError::Usage("keine Datei genannt".to_owned()));
    };
    let taken = client.take_epoch_reset(reset.encode()).await?;
    let next = format!("{}/{}", output::clean(&taken.land), taken.epoch);
    let object = || Ok(described(&reset).with("next", Node::Text(next.clone())));
    output::print(format, object, || {
        let (log, size) = (reset.said().log, reset.said().size);
        let count = if size == 1 { "zählt" } else { "zählen" };
        format!(
            "{log} ist beendet, {} {count}. Der Knoten beginnt neu und sagt es seinen \
             Partnern; {next} folgt.\n",
            entries(size)
        )
    })
}

fn described(reset: &Reset) -> Object {
    let said = reset.said();
    let consents = reset.consents().map(|it| Node::Text(it.code().to_owned())).collect();
    Object::default()
        .with("log", Node::Text(said.log.to_string()))
        .with("size", Node::Number(said.size))
        .with("root", Node::Text(said.root.to_string()))
        .with("reason", Node::Text(said.reason.clone()))
        .with("signed_at", Node::Text(signed_at(reset)))
        .with("digest", Node::Text(reset.digest().to_string()))
        .with("countersigned", Node::List(consents))
}

fn laender(reset: &Reset) -> String {
    let laender: Vec<_> = reset.consents().map(|it| it.code()).collect();
    if laender.is_empty() { "niemand".to_owned() } else { laender.join(", ") }
}

fn signed_at(reset: &Reset) -> String {
    let seconds = reset.said().unix_ms.div_euclid(1_000);
    output::instant(&prost_types::Timestamp { seconds, nanos: 0 })
}

fn read(path: &Path) -> Result<Reset, CliError> {
    let unusable = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let length = fs::metadata(path).map_err(|error| unusable(format!("nicht lesbar: {error}.")))?;
    if length.len() > RESET_BYTES_MAX as u64 {
        return Err(unusable("zu groß für eine Zurücksetzung.".to_owned()));
    }
    let raw = fs::read(path).map_err(|error| unusable(format!("nicht lesbar: {error}.")))?;
    Reset::read(&raw.into()).map_err(|error| {
        let why = German(error);
        unusable(format!(
            "{why}.\nNächster Schritt: die Datei angeben, die registry-node epoch reset geschrieben hat"
        ))
    })
}

/// Replaces the file as a whole, so that a crash loses no countersignature.
fn write(path: &Path, raw: &Bytes) -> Result<(), CliError> {
    let fresh = path.with_extension("new");
    let written = fs::write(&fresh, raw).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| {
        CliError::Usage(format!("{} ist nicht beschreibbar: {error}.", path.display()))
    })
}

fn entries(count: u64) -> String {
    if count == 1 { "1 Eintrag".to_owned() } else { format!("{count} Einträge") }
}

const UNLISTED: &str = "nein";

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use prost::Message as _;
    use registry_proto::{
        epoch::EpochReset,
        log::Hash,
        wire::registry::{Charter as WireCharter, Member, MemberNode},
    };

    use super::*;

    #[test]
    fn a_charter_that_lists_another_reset_is_told_apart_from_one_that_lists_none() {
        let genesis = charter(&[]);
        let reset = |reason: &str| {
            let said = EpochReset {
                log: LogId { land: "SL".parse().expect("a Land"), epoch: 1 },
                size: 1,
                root: Hash::of(b"root"),
                reason: reason.to_owned(),
                unix_ms: 1_795_449_600_000,
            };
            said.sign(genesis.id(), &SigningKey::from_bytes(&[3; 32]).into()).expect("signed")
        };
        let (taken, other) = (reset("a"), reset("b"));
        let check = |listed: &[Hash], expected: &str| {
            let charters = [charter(listed)];
            assert_eq!(listing(&taken, &charters), expected);
            assert_eq!(is_other_listed(&taken, &charters), expected == "eine andere");
        };
        check(&[], UNLISTED);
        check(&[taken.digest()], "seit Nr. 1");
        check(&[other.digest()], "eine andere");
    }

    /// A genesis charter, or one that follows it and lists these resets.
    fn charter(listed: &[Hash]) -> Charter {
        let public = |seed| SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes().to_vec();
        let member = Member {
            land: "SL".to_owned(),
            log_key: public(1).into(),
            freshness_key: public(2).into(),
            offline_key: public(3).into(),
            nodes: vec![MemberNode {
                name: "sl-1.example".to_owned(),
                spki_pins: vec![vec![7; 32].into()],
            }],
            ..Member::default()
        };
        let genesis = WireCharter {
            format_level: 1,
            name: "Verbund".to_owned(),
            threshold: 1,
            members: vec![member],
            ..WireCharter::default()
        };
        let genesis = Charter::parse(genesis.encode_to_vec().into()).expect("a charter");
        if listed.is_empty() {
            return genesis;
        }
        let mut next = genesis.draft_of_next();
        next.members[0].epoch_resets =
            listed.iter().map(|it| it.as_bytes().to_vec().into()).collect();
        genesis.successor(next.encode_to_vec().into()).expect("a successor").0
    }
}
