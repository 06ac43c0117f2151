//! `registry version list`, `version show`, `version resolve`.

use registry_client::Client;
use registry_proto::{
    log::Kind,
    terms::Land,
    wire::registry::{
        AsOf, GetInclusionProofResponse, GetVersionRequest, Lifecycle, ResolveVersionRequest,
        Version, VersionLife, VersionSummary,
    },
};

use super::{
    kinds,
    proved::{self, Answered},
    trusted::Trusted,
};
use crate::{
    args::{Format, Proved, Proving, VersionList, VersionResolve, VersionShow},
    errors::CliError,
    json::{self, Object},
    output,
};

pub(super) async fn list(
    client: &Client,
    format: Format,
    args: VersionList,
) -> Result<(), CliError> {
    let progress = output::progress();
    let listing = client
        .version_pages(&args.id, args.land, args.limit)
        .at(args.past.zeitpunkt())
        .collect(|so_far| {
            progress.set_message(format!("{so_far} Versionen geladen"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    let object = || {
        Ok(Object::default()
            .with("versions", json::list("VersionSummary", &listing.entries)?)
            .with("as_of", json::list("AsOf", &listing.as_of)?))
    };
    output::print(format, object, || table(&listing.entries))?;
    output::notice_age(&listing.as_of);
    if listing.cut {
        eprintln!("Hinweis: bei {} abgeschnitten (--limit)", listing.entries.len());
    }
    Ok(())
}

pub(super) async fn show(
    client: &Client,
    format: Format,
    Proved { asked: args, proving }: Proved<VersionShow>,
    charter: Option<&Trusted>,
) -> Result<(), CliError> {
    let request = GetVersionRequest {
        zeitpunkt: args.past.zeitpunkt(),
        with_proof: proving.is_wanted(),
        service_id: args.id,
        version: args.version,
        land: code(args.land),
    };
    let answer = client.version(request).await?;
    let shown = Shown { version: answer.version, as_of: answer.as_of, proof: answer.proof };
    shown.print(format, &proving, charter)
}

pub(super) async fn resolve(
    client: &Client,
    format: Format,
    Proved { asked: args, proving }: Proved<VersionResolve>,
    charter: Option<&Trusted>,
) -> Result<(), CliError> {
    let request = ResolveVersionRequest {
        zeitpunkt: args.past.zeitpunkt(),
        service_id: args.id,
        requirement: args.requirement,
        valid_at: args.at.unwrap_or_default(),
        land: code(args.land),
        with_proof: proving.is_wanted(),
    };
    let answer = client.resolve(request).await?;
    let shown = Shown { version: answer.version, as_of: answer.as_of, proof: answer.proof };
    shown.print(format, &proving, charter)
}

/// A version and what proves it.
struct Shown {
    version: Option<Version>,
    as_of: Option<AsOf>,
    proof: Option<GetInclusionProofResponse>,
}

// === impl Shown ===

impl Shown {
    fn print(
        self,
        format: Format,
        proving: &Proving,
        charter: Option<&Trusted>,
    ) -> Result<(), CliError> {
        let Self { version, as_of, proof } = &self;
        let answered = Answered {
            kind: Kind::ServiceVersion,
            record: version.as_ref().and_then(|it| it.version.as_ref()),
            provenance: version.as_ref().and_then(|it| it.provenance.as_ref()),
            proof: proof.as_ref(),
        };
        charter.map(|charter| answered.verify(charter)).transpose()?;
        let object = || {
            let mut object = Object::default();
            if let Some(version) = version {
                object = object.with("version", json::message("Version", version)?);
            }
            if let Some(as_of) = as_of {
                object = object.with("as_of", json::message("AsOf", as_of)?);
            }
            answered.show(object, charter)
        };
        let verified = if charter.is_some() { "1 Eintrag" } else { "" };
        let table = || {
            let known = details(version.clone().unwrap_or_default());
            output::pairs(known.into_iter().chain([("Nachgeprüft", verified.to_owned())]))
        };
        output::print(format, object, table)?;
        output::notice_age(as_of.as_slice());
        proved::tell(proving, format);
        Ok(())
    }
}

fn table(versions: &[VersionSummary]) -> String {
    output::table(
        [
            "Version",
            "Stand",
            "Gültig ab",
            "Gültig bis",
            "Freigabe",
            "Umstellung",
            "Eingetragen",
            "Eintrag",
        ],
        &[0, 2, 3, 7],
        versions.iter().map(|version| {
            [
                version.version.clone(),
                stand(version),
                version.gueltig_ab.clone(),
                open_end(&version.gueltig_bis),
                version.freigabe_status.to_string(),
                if version.breaking { "nötig" } else { "–" }.to_owned(),
                version.recorded_at.as_ref().map_or_else(String::new, output::instant),
                output::place(version.position.as_ref()),
            ]
        }),
    )
}

fn details(version: Version) -> [(&'static str, String); 26] {
    let provenance = version.provenance.unwrap_or_default();
    let record = version.version.unwrap_or_default();
    let life = version.life.unwrap_or_else(|| VersionLife {
        lifecycle: record.lifecycle,
        abkuendigung_am: record.abkuendigung_am.clone(),
        abschaltung_am: record.abschaltung_am.clone(),
        released: true,
        ..VersionLife::default()
    });
    let followers = [life.nachfolger_version.as_str(), &life.nachfolger_service_id];
    let followers: Vec<_> = followers.into_iter().filter(|it| !it.is_empty()).collect();
    let note = record.versionshinweis.clone().unwrap_or_default();
    let links: Vec<_> = record.onlinedienste.iter().map(|o| o.link.clone()).collect();
    let reuse: Vec<_> = record.nachnutzung.iter().map(|n| n.modell.clone()).collect();
    let exchange: Vec<_> = record
        .datenaustausch
        .iter()
        .map(|d| format!("{} {} ({})", d.standard, d.version, d.transport))
        .collect();
    let parameters: Vec<_> = record
        .parameter
        .iter()
        .map(|p| if p.pflicht { format!("{}*", p.name) } else { p.name.clone() })
        .collect();
    [
        ("Dienst", record.service_id.clone()),
        ("Version", record.version.clone()),
        ("Stand", kinds::lifecycle(life.lifecycle()).to_owned()),
        ("Gültig ab", record.gueltig_ab.clone()),
        ("Gültig bis", open_end(&record.gueltig_bis)),
        ("Abgekündigt am", life.abkuendigung_am.clone()),
        ("Abschaltung am", life.abschaltung_am.clone()),
        ("Nachfolger", followers.join(", ")),
        ("Grund", life.grund.clone()),
        ("Mitzeichnung", countersigned(&life)),
        ("Freigabestatus", record.freigabe_status.to_string()),
        ("Freigegeben durch", record.fachlich_freigegeben_durch.clone()),
        ("Änderung", note.text),
        ("Umstellung", if note.breaking { "nötig" } else { "nicht nötig" }.to_owned()),
        ("Onlinedienste", links.join(", ")),
        ("Gebiet", record.verfuegbarkeitsgebiet.join(", ")),
        ("Gebietsstand", record.gebietsstand.clone()),
        ("Nachnutzung", reuse.join(", ")),
        ("Lizenz", record.lizenz.clone()),
        ("Datenaustausch", exchange.join(", ")),
        ("Parameter", parameters.join(", ")),
        ("Eintrag", output::place(provenance.position.as_ref())),
        ("Eingetragen", provenance.recorded_at.as_ref().map_or_else(String::new, output::instant)),
        ("Hier seit", provenance.received_at.as_ref().map_or_else(String::new, output::instant)),
        ("Hinweise", super::findings(&record.hinweise)),
        ("Nur zur Schau", record.demonstration_fields.join(", ")),
    ]
}

/// Where a version stands, with the day it ends and who has not countersigned.
fn stand(version: &VersionSummary) -> String {
    let word = kinds::lifecycle(version.lifecycle());
    let Some(life) = &version.life else { return word.to_owned() };
    let mut text = word.to_owned();
    if life.lifecycle() == Lifecycle::Abgekuendigt {
        text.push_str(&format!(" zum {}", life.abschaltung_am));
    }
    if !life.released {
        text.push_str(&format!(", wartet auf {}", life.fehlt.join(" ")));
    }
    text
}

/// Who countersigned and who is waited for; empty when there are no co-owners.
fn countersigned(life: &VersionLife) -> String {
    if life.k == 0 {
        return String::new();
    }
    let names = |of: &[String]| if of.is_empty() { "niemand".to_owned() } else { of.join(", ") };
    let waits = if life.released { "genügt" } else { "genügt nicht" };
    format!(
        "{} von {} nötigen ({waits}); gezeichnet: {}; offen: {}",
        life.mitgezeichnet.len(),
        life.k,
        names(&life.mitgezeichnet),
        names(&life.fehlt)
    )
}

pub(super) fn open_end(day: &str) -> String {
    if day.is_empty() { "offen".to_owned() } else { day.to_owned() }
}

fn code(land: Option<Land>) -> String {
    land.map_or_else(String::new, |land| land.to_string())
}
