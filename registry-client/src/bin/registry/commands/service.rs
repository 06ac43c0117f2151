//! `registry service list`, `service show`, `search`.

use registry_client::{
    Client,
    catalogue::{PAGE_MAX, ServiceFilter},
};
use registry_proto::{
    log::Kind,
    wire::registry::{
        AsOf, GetServiceRequest, GetServiceResponse, KontaktEintrag, SearchMatch,
        SearchServicesRequest, ServiceSummary,
    },
};

use super::{
    count, german,
    proved::{self, Answered},
    trusted::Trusted,
};
use crate::{
    args::{Format, Proved, Search, ServiceList, ServiceShow},
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn list(
    client: &Client,
    format: Format,
    args: ServiceList,
) -> Result<(), CliError> {
    let filter = ServiceFilter {
        land: args.land,
        leistungsschluessel: args.leistungsschluessel,
        themenfeld: args.themenfeld,
    };
    let progress = output::progress();
    let listing = client
        .service_pages(filter, args.limit)
        .at(args.past.zeitpunkt())
        .collect(|so_far| {
            progress.set_message(format!("{so_far} Dienste geladen"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    let object = || {
        Ok(Object::default()
            .with("services", json::list("ServiceSummary", &listing.entries)?)
            .with("as_of", json::list("AsOf", &listing.as_of)?))
    };
    output::print(format, object, || table(&listing.entries, &listing.as_of))?;
    output::notice_age(&listing.as_of);
    if listing.cut {
        eprintln!("Hinweis: bei {} abgeschnitten (--limit)", listing.entries.len());
    }
    Ok(())
}

pub(super) async fn search(client: &Client, format: Format, args: Search) -> Result<(), CliError> {
    let request = SearchServicesRequest {
        query: args.words.join(" "),
        limit: args.limit.unwrap_or(PAGE_MAX),
        land: args.land.map_or_else(String::new, |land| land.to_string()),
        offset: args.offset,
        themenfelder: args.themenfeld,
        typisierung: args.typisierung,
        lagen: args.lage,
        status: args.status,
    };
    let offset = args.offset as usize;
    if request.limit == 0 || request.limit > PAGE_MAX {
        return Err(CliError::Usage(format!("--limit liegt zwischen 1 und {PAGE_MAX}")));
    }
    let found = client.search(request).await?;
    let object = || {
        Ok(Object::default()
            .with("services", json::list("ServiceSummary", &found.services)?)
            .with("total", Node::Number(u64::from(found.total)))
            .with("match", Node::Text(found.r#match().as_str_name().to_owned()))
            .with("facets", json::list("FacetCount", &found.facets)?)
            .with("as_of", json::list("AsOf", &found.as_of)?))
    };
    output::print(format, object, || table(&found.services, &found.as_of))?;
    output::notice_age(&found.as_of);
    match found.r#match() {
        SearchMatch::SimilarWords => {
            eprintln!("Hinweis: nichts hat alle Wörter; Treffer mit ähnlichen");
        }
        SearchMatch::SomeWords if found.total > 0 => {
            eprintln!("Hinweis: nichts hat alle Wörter; Treffer mit einem Teil davon");
        }
        _ => {}
    }
    let beyond = (found.total as usize).saturating_sub(offset + found.services.len());
    if beyond > 0 {
        let more = count(beyond, "weiterer Treffer", "weitere Treffer");
        eprintln!("Hinweis: {more}; mehr Wörter oder --land grenzen ein");
    }
    Ok(())
}

pub(super) async fn show(
    client: &Client,
    format: Format,
    Proved { asked: args, proving }: Proved<ServiceShow>,
    charter: Option<&Trusted>,
) -> Result<(), CliError> {
    let request = GetServiceRequest {
        zeitpunkt: args.past.zeitpunkt(),
        with_proof: proving.is_wanted(),
        service_id: args.id,
        land: args.land.map_or_else(String::new, |land| land.to_string()),
    };
    let answer = client.service(request).await?;
    let service = answer.service.as_ref();
    let answered = Answered {
        kind: Kind::ServiceDefinition,
        record: service.and_then(|it| it.definition.as_ref()),
        provenance: service.and_then(|it| it.provenance.as_ref()),
        proof: answer.proof.as_ref(),
    };
    charter.map(|charter| answered.verify(charter)).transpose()?;
    let object = || {
        let mut object = Object::default();
        if let Some(service) = &answer.service {
            object = object.with("service", json::message("Service", service)?);
        }
        if let Some(as_of) = &answer.as_of {
            object = object.with("as_of", json::message("AsOf", as_of)?);
        }
        answered.show(object, charter)
    };
    output::print(format, object, || details(&answer, charter.is_some()))?;
    output::notice_age(answer.as_of.as_slice());
    proved::tell(&proving, format);
    Ok(())
}

fn table(services: &[ServiceSummary], as_of: &[AsOf]) -> String {
    if output::width().is_some_and(|width| width < WIDE) {
        return output::table(
            ["Land", "Dienst", "Bezeichnung", "Version"],
            &[0, 1, 3],
            services.iter().map(|service| {
                [
                    output::land_of(&service.land, as_of),
                    service.service_id.clone(),
                    service.bezeichnung.clone(),
                    or_dash(&service.latest_version),
                ]
            }),
        );
    }
    output::table(
        ["Land", "Dienst", "Schlüssel", "Bezeichnung", "Themenfeld", "Version", "Anzahl"],
        &[0, 1, 2, 5],
        services.iter().map(|service| {
            let more = match service.leistungsschluessel.len() {
                0 | 1 => String::new(),
                keys => format!(" +{}", keys - 1),
            };
            let key = service.leistungsschluessel.first().cloned().unwrap_or_default();
            [
                output::land_of(&service.land, as_of),
                service.service_id.clone(),
                key + &more,
                service.bezeichnung.clone(),
                service.themenfeld.clone(),
                or_dash(&service.latest_version),
                service.version_count.to_string(),
            ]
        }),
    )
}

fn details(answer: &GetServiceResponse, is_verified: bool) -> String {
    let service = answer.service.clone().unwrap_or_default();
    let definition = service.definition.unwrap_or_default();
    let provenance = service.provenance.unwrap_or_default();
    let owners: Vec<_> = service.owners.iter().map(|it| it.land.clone()).collect();
    let owners = if owners.len() > 1 { owners.join(" → ") } else { String::new() };
    let land = if service.land.is_empty() { definition.land.clone() } else { service.land.clone() };
    let bases: Vec<_> = definition.handlungsgrundlagen.iter().map(|g| g.text.clone()).collect();
    output::pairs([
        ("Dienst", definition.service_id.clone()),
        ("Land", output::land_of(&land, answer.as_of.as_slice())),
        ("Übergeben", owners),
        ("Bezeichnung", german(&definition.bezeichnung)),
        ("Bürgernah", german(&definition.bezeichnung_buergernah)),
        ("Kurztext", german(&definition.kurztext)),
        ("Schlüssel", definition.leistungsschluessel.join(", ")),
        ("Typisierung", definition.typisierung.join(", ")),
        ("OZG-IDs", definition.ozg_ids.join(", ")),
        ("Themenfeld", definition.themenfeld.clone()),
        ("Lagen", definition.lagen.join(", ")),
        ("Rechtsgrundlagen", bases.join("; ")),
        ("Adressaten", definition.leistungsadressaten.join(", ")),
        ("Herausgeber", definition.herausgeber.map_or_else(String::new, |h| h.name)),
        ("Kontakte", contacts(&service.kontakte)),
        ("Version", or_dash(&service.latest_version)),
        ("Versionen", service.version_count.to_string()),
        ("Revision", service.revision.to_string()),
        ("Eintrag", output::place(provenance.position.as_ref())),
        ("Eingetragen", provenance.recorded_at.as_ref().map_or_else(String::new, output::instant)),
        ("Hier seit", provenance.received_at.as_ref().map_or_else(String::new, output::instant)),
        ("Hinweise", super::findings(&definition.hinweise)),
        ("Nur zur Schau", definition.demonstration_fields.join(", ")),
        ("Nachgeprüft", if is_verified { "1 Eintrag" } else { "" }.to_owned()),
    ])
}

fn contacts(all: &[KontaktEintrag]) -> String {
    let shown = all.iter().filter_map(|it| it.kontakt.as_ref()).map(|it| {
        let parts = [&it.stelle, &it.name, &it.email, &it.telefon];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        format!("{}: {}", it.rolle, parts.join(", "))
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { text.to_owned() }
}

/// Characters a terminal needs for all columns.
const WIDE: u16 = 130;
