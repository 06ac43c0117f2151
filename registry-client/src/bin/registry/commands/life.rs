//! `registry version deprecate|retire|withdraw` and `registry mitzeichnen`.

use registry_client::Client;
use registry_proto::{
    terms::{Land, SemVer},
    wire::registry::{
        Affected, GetImpactRequest, GetImpactResponse, GetServiceRequest, GetVersionRequest,
        Handover, Lifecycle, Mitzeichnung, Provenance, VersionStatus, record::Record,
    },
};

use super::{count, kinds, nachnutzung::kommunen_table, today, uebergabe::open_offer, write};
use crate::{
    args::{Countersign, Deprecate, Format, Retire, Withdraw, Writing},
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn deprecate(
    client: &Client,
    format: Format,
    args: Deprecate,
) -> Result<(), CliError> {
    let (mut version, mut service) = (String::new(), String::new());
    match args.nachfolger {
        Some(text) if text.parse::<SemVer>().is_ok() => version = text,
        Some(text) => service = text,
        None => {}
    }
    let said = VersionStatus {
        lifecycle: Lifecycle::Abgekuendigt as i32,
        abkuendigung_am: args.abkuendigung_am.unwrap_or_else(today),
        abschaltung_am: args.abschaltung_am,
        nachfolger_version: version,
        nachfolger_service_id: service,
        ..of(args.id, args.version)
    };
    send(client, format, said, args.writing).await
}

pub(super) async fn retire(client: &Client, format: Format, args: Retire) -> Result<(), CliError> {
    let said = VersionStatus {
        lifecycle: Lifecycle::Abgeschaltet as i32,
        ohne_bestaetigung_grund: args.ohne_bestaetigung.unwrap_or_default(),
        ..of(args.id, args.version)
    };
    send(client, format, said, args.writing).await
}

pub(super) async fn withdraw(
    client: &Client,
    format: Format,
    args: Withdraw,
) -> Result<(), CliError> {
    let said = VersionStatus {
        lifecycle: Lifecycle::Zurueckgezogen as i32,
        grund: args.grund,
        ..of(args.id, args.version)
    };
    send(client, format, said, args.writing).await
}

pub(super) async fn countersign(
    client: &Client,
    format: Format,
    args: Countersign,
) -> Result<(), CliError> {
    let land = code(args.land);
    let service_id = args.id;
    let writing = &args.writing;
    if args.uebergabe {
        let passes = |it: &Handover| land.is_empty() || it.von_land == land;
        let Some(offer) = open_offer(client, &service_id, passes).await? else {
            return Err(CliError::Usage(format!(
                "für den Dienst {service_id} gibt es hier kein offenes Angebot.\nNächster Schritt: \
                 registry uebergabe list --leistung {service_id}"
            )));
        };
        let what = format!("Übergabe an {}", offer.an_land);
        let said = Mitzeichnung {
            service_id,
            land: offer.von_land,
            leaf_hash: offer.leaf_hash,
            ..Mitzeichnung::default()
        };
        return signed(client, format, said, what, writing).await;
    }
    let (what, provenance) = match args.version {
        Some(version) => {
            let what = format!("Version {version}");
            let request = GetVersionRequest {
                service_id: service_id.clone(),
                version,
                land,
                ..GetVersionRequest::default()
            };
            let found = client.version(request).await?.version.unwrap_or_default();
            (what, found.provenance)
        }
        None => {
            let request = GetServiceRequest {
                service_id: service_id.clone(),
                land,
                ..GetServiceRequest::default()
            };
            let found = client.service(request).await?.service.unwrap_or_default();
            ("Steckbrief".to_owned(), found.provenance)
        }
    };
    let Provenance { position, leaf_hash, .. } = provenance.unwrap_or_default();
    let land = position.unwrap_or_default().land;
    let said = Mitzeichnung { service_id, land, leaf_hash, ..Mitzeichnung::default() };
    signed(client, format, said, what, writing).await
}

async fn signed(
    client: &Client,
    format: Format,
    said: Mitzeichnung,
    what: String,
    writing: &Writing,
) -> Result<(), CliError> {
    let lines = [("Dienst", said.service_id.clone()), ("Gezeichnet", what)];
    let said = vec![Record::Mitzeichnung(said)];
    let answer = write::moves(client, said, writing, writing.key()).await?;
    write::report(format, &answer, writing, lines)
}

fn of(service_id: String, version: String) -> VersionStatus {
    VersionStatus { service_id, version, ..VersionStatus::default() }
}

/// Sends a move of a version; a dry run shows whom it would affect first.
async fn send(
    client: &Client,
    format: Format,
    said: VersionStatus,
    writing: Writing,
) -> Result<(), CliError> {
    let records = vec![Record::VersionStatus(said.clone())];
    if !writing.dry_run {
        let answer = write::moves(client, records, &writing, writing.key()).await?;
        let lines = [
            ("Dienst", said.service_id.clone()),
            ("Version", said.version.clone()),
            ("Stand", state(said.lifecycle(), !answer.approval_id.is_empty())),
            ("Abschaltung", said.abschaltung_am),
        ];
        return write::report(format, &answer, &writing, lines);
    }
    // a move is made at the node of the owner
    let land = client.status().await?.land;
    let impact = client
        .impact(GetImpactRequest {
            service_id: said.service_id.clone(),
            land,
            version: said.version.clone(),
            lifecycle: said.lifecycle,
        })
        .await?;
    let checked = write::moves(client, records, &writing, writing.key()).await;
    let object = || {
        Ok(Object::default()
            .with("impact", json::message("GetImpactResponse", &impact)?)
            .with("accepted", Node::Bool(checked.is_ok()))
            .with("dry_run", Node::Bool(true)))
    };
    output::print(format, object, || table(&impact, &said))?;
    output::notice_age(&impact.as_of);
    let answer = checked?;
    write::tell(&answer, &crate::documents::Sources::default());
    eprintln!("Der Knoten nähme das an; nichts geschrieben.");
    Ok(())
}

/// What the version is now, or will be once a second person has agreed.
fn state(lifecycle: Lifecycle, waits: bool) -> String {
    let word = kinds::lifecycle(lifecycle);
    if waits { format!("{word}, sobald es freigegeben ist") } else { word.to_owned() }
}

fn table(impact: &GetImpactResponse, said: &VersionStatus) -> String {
    let life = impact.life.clone().unwrap_or_default();
    let change =
        format!("{} → {}", kinds::lifecycle(life.lifecycle()), kinds::lifecycle(said.lifecycle()));
    let withdrawn = said.lifecycle() == Lifecycle::Zurueckgezogen;
    let mut text = output::pairs([
        ("Version", said.version.clone()),
        ("Stand", change),
        ("Abschaltung am", life.abschaltung_am),
        // what is withdrawn is gone at once
        ("Frühestens am", if withdrawn { "" } else { &impact.abschaltung_fruehestens }.to_owned()),
        ("Betroffen", affected_count(&impact.affected)),
    ]);
    if impact.affected.is_empty() {
        return text;
    }
    text.push('\n');
    text.push_str(&output::table(
        ["Land", "Nachnutzung", "Zustand", "Kommunen", "Bestätigung", "Ersatz"],
        &[0, 1, 2, 3, 4, 5],
        impact.affected.iter().map(|it| {
            let of = it.subscription.clone().unwrap_or_default();
            let ersatz = &it.ersatz_version;
            [
                of.subscriber_land.clone(),
                of.subscription_id.clone(),
                kinds::zustand(of.zustand()).to_owned(),
                it.kommunen.len().to_string(),
                acknowledgement(it).to_owned(),
                if ersatz.is_empty() { "keine Version".to_owned() } else { ersatz.clone() },
            ]
        }),
    ));
    for it in impact.affected.iter().filter(|it| !it.kommunen.is_empty()) {
        let land = it.subscription.clone().unwrap_or_default().subscriber_land;
        let kommunen = count(it.kommunen.len(), "Kommune", "Kommunen");
        text.push_str(&format!("\n{}: {kommunen}\n", output::clean(&land)));
        text.push_str(&kommunen_table(&it.kommunen));
    }
    text
}

fn affected_count(all: &[Affected]) -> String {
    let kommunen = all.iter().map(|it| it.kommunen.len()).sum();
    match all.len() {
        0 => "niemand".to_owned(),
        many => format!(
            "{}, {}",
            count(many, "Nachnutzung", "Nachnutzungen"),
            count(kommunen, "Kommune", "Kommunen")
        ),
    }
}

fn acknowledgement(it: &Affected) -> &'static str {
    match (it.must_acknowledge, it.acknowledged) {
        (_, true) => "liegt vor",
        (true, false) => "fehlt",
        (false, false) => "nicht nötig",
    }
}

fn code(land: Option<Land>) -> String {
    land.map_or_else(String::new, |land| land.to_string())
}
