//! `registry freigabe`.

use registry_client::{Client, approval::Waiting};
use registry_proto::wire::registry::{Approval, Record, record};

use super::{german, publish, write};
use crate::{
    args::{Format, Freigabe, FreigabeAccept, Writing},
    documents::Sources,
    errors::CliError,
    json::{self, Node, Object},
    output::{self, clean},
};

pub(super) async fn run(
    client: &Client,
    format: Format,
    command: Freigabe,
) -> Result<(), CliError> {
    match command {
        Freigabe::List => list(client, format).await,
        Freigabe::Show(args) => show(client, format, args.id).await,
        Freigabe::Accept(args) => accept(client, format, args).await,
        Freigabe::Reject(args) => {
            client.reject_approval(args.id.clone()).await?;
            eprintln!("Einreichung {} gelöscht, nichts wurde veröffentlicht.", clean(&args.id));
            Ok(())
        }
    }
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let all = client.approvals().await?;
    let object = || Ok(Object::default().with("approvals", json::list("Approval", &all)?));
    output::print(format, object, || table(&all))?;
    if all.is_empty() {
        eprintln!("Nichts wartet auf eine Freigabe.");
    }
    Ok(())
}

async fn show(client: &Client, format: Format, id: String) -> Result<(), CliError> {
    let waiting = client.approval(id).await?;
    let object = || {
        Ok(Object::default()
            .with("approval", json::message("Approval", &waiting.approval)?)
            .with("digest", Node::Text(hex::encode(&waiting.approval.digest)))
            .with("records", json::list("Record", &waiting.request.records)?))
    };
    output::print(format, object, || details(&waiting))?;
    let digest = hex::encode(&waiting.approval.digest);
    eprintln!(
        "Freigeben: registry freigabe accept {} {digest}",
        clean(&waiting.approval.approval_id)
    );
    Ok(())
}

async fn accept(client: &Client, format: Format, args: FreigabeAccept) -> Result<(), CliError> {
    let waiting = client.approval(args.id.clone()).await?;
    let digest: Option<[u8; 32]> = waiting.approval.digest.as_ref().try_into().ok();
    let digest = digest.filter(|it| is_meant(&args.digest, it)).ok_or_else(|| {
        CliError::Usage(
            "die Prüfsumme ist nicht die dieser Einreichung; nichts wurde veröffentlicht. \
             Ansehen: registry freigabe show"
                .to_owned(),
        )
    })?;
    let answer = client.accept_approval(args.id, digest).await?;
    let writing = Writing { ack_peers: waiting.request.ack_peers, ..Writing::default() };
    let table = || publish::table_of(&waiting.request.records, &answer, false);
    output::print(format, || write::object(&answer, &writing), table)?;
    write::tell(&answer, &Sources::default());
    eprintln!("Freigegeben. {}", write::outcome(&answer, &writing));
    Ok(())
}

/// The whole digest or enough of its begin.
fn is_meant(text: &str, digest: &[u8; 32]) -> bool {
    let text = text.to_ascii_lowercase();
    text.len() >= DIGEST_DIGITS_MIN && hex::encode(digest).starts_with(&text)
}

fn details(waiting: &Waiting) -> String {
    let Waiting { approval, request } = waiting;
    let shown = request.records.iter().take(RECORDS_SHOWN_MAX);
    let mut lines: Vec<_> = shown.map(one).collect();
    let more = request.records.len().saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("… und {more} weitere (alle mit -o yaml)"));
    }
    output::pairs([
        ("Einreichung", approval.approval_id.clone()),
        ("Eingereicht", moment(approval)),
        ("Verfällt", approval.expires_at.as_ref().map(output::instant).unwrap_or_default()),
        ("Inhalt", lines.join("; ")),
        ("Prüfsumme", hex::encode(&approval.digest)),
    ])
}

fn moment(of: &Approval) -> String {
    let at = of.submitted_at.as_ref().map(output::instant).unwrap_or_default();
    format!("{at} von {}", of.submitted_by)
}

fn one(record: &Record) -> String {
    match &record.record {
        Some(record::Record::ServiceDefinition(it)) => {
            format!("Steckbrief {} ({})", it.service_id, german(&it.bezeichnung))
        }
        Some(record::Record::ServiceVersion(it)) => {
            format!("Version {} von {}", it.version, it.service_id)
        }
        Some(record::Record::VersionStatus(it)) => {
            let state = it.lifecycle().as_str_name().trim_start_matches("LIFECYCLE_");
            format!("Version {} von {} wird {}", it.version, it.service_id, state.to_lowercase())
        }
        Some(record::Record::SubscriptionMove(it)) => format!("Nachnutzung von {}", it.service_id),
        Some(record::Record::Anschluss(it)) => {
            format!("Kommune {} in Nachnutzung {}", it.ars, it.subscription_id)
        }
        Some(record::Record::Bestaetigung(it)) => {
            format!("Bestätigung zu {} {}", it.service_id, it.version)
        }
        Some(record::Record::Kontakt(it)) => format!("Kontakt zu {}", it.service_id),
        Some(record::Record::Mitzeichnung(it)) => format!("Mitzeichnung zu {}", it.service_id),
        Some(record::Record::Uebergabe(it)) => {
            format!("Übergabe von {}: {} an {}", it.service_id, it.von_land, it.an_land)
        }
        None => "unbekannt".to_owned(),
    }
}

fn table(all: &[Approval]) -> String {
    output::table(
        ["Einreichung", "Datensätze", "Eingereicht", "Verfällt", "Prüfsumme"],
        &[0, 1],
        all.iter().map(|it| {
            if !it.damage.is_empty() {
                let damage = format!("beschädigt: {}", it.damage);
                return [
                    it.approval_id.clone(),
                    "–".to_owned(),
                    damage,
                    String::new(),
                    String::new(),
                ];
            }
            let digest: String = hex::encode(&it.digest).chars().take(DIGEST_DIGITS_MIN).collect();
            [
                it.approval_id.clone(),
                it.records.to_string(),
                moment(it),
                it.expires_at.as_ref().map(output::instant).unwrap_or_default(),
                digest,
            ]
        }),
    )
}

/// Records that are shown; all are in YAML and JSON.
const RECORDS_SHOWN_MAX: usize = 20;
/// Digits of a digest that are enough to tell what was seen.
const DIGEST_DIGITS_MIN: usize = 16;
