//! `registry resolve`.

use registry_client::{Client, ClientError, proof::ProofError};
use registry_proto::{
    charter::Charter,
    log::Kind,
    wire::registry::{
        Angebot, AngebotNachnutzung, AnschlussState, AnschlussStatus, Gebietswechsel, Onlinedienst,
        ResolveLeistungRequest, ServiceDefinition, ServiceVersion, SubscriptionMove,
        ZustaendigeStelle,
    },
};

use super::{
    count,
    kinds::lifecycle,
    proved::{self, body, proved},
    trusted::Trusted,
    version::open_end,
};
use crate::{
    args::{Format, Resolve},
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn resolve(
    client: &Client,
    format: Format,
    args: Resolve,
    charter: Option<&Trusted>,
) -> Result<(), CliError> {
    let request = ResolveLeistungRequest {
        zeitpunkt: args.past.zeitpunkt(),
        leistungsschluessel: args.leistungsschluessel,
        ars: args.ars,
        valid_at: args.am.unwrap_or_default(),
        with_proof: args.proving.is_wanted(),
        limit: args.limit,
    };
    let answer = client.resolve_leistung(request).await?;
    let mut verified = Vec::new();
    if let Some(charter) = charter {
        for angebot in &answer.angebote {
            verified.push(verify(angebot, charter.charter()).map_err(ClientError::Proof)?);
        }
    }
    let object = || {
        let object = Object::default()
            .with("angebote", json::list("Angebot", &answer.angebote)?)
            .with("total", Node::Number(u64::from(answer.total)))
            .with("valid_at", Node::Text(answer.valid_at.clone()))
            .with("ars", Node::Text(answer.ars.clone()))
            .with("gebiete", texts(&answer.gebiete))
            .with("gebietswechsel", json::list("Gebietswechsel", &answer.gebietswechsel)?)
            .with("verified", Node::Bool(charter.is_some()))
            .with("as_of", json::list("AsOf", &answer.as_of)?);
        Ok(match charter {
            Some(charter) => charter.show(object),
            None => object,
        })
    };
    let table = || {
        let verified = verified.iter().copied().map(Some).chain(std::iter::repeat(None));
        let blocks = answer.angebote.iter().zip(verified).map(|(it, checked)| details(it, checked));
        blocks.collect::<Vec<_>>().join("\n")
    };
    output::print(format, object, table)?;
    output::notice_age(&answer.as_of);
    for change in &answer.gebietswechsel {
        eprintln!("Hinweis: {}", gebietswechsel(change));
    }
    if answer.gebiete.len() > 1 {
        eprintln!(
            "Hinweis: gezeigt wird, was in allen diesen Gebieten gilt: {}; einzeln fragen zeigt mehr",
            output::clean(&answer.gebiete.join(", "))
        );
    }
    if answer.angebote.is_empty() {
        eprintln!(
            "Hinweis: in {} bietet am {} kein Land diese Leistung an",
            output::clean(&answer.ars),
            output::clean(&answer.valid_at)
        );
    }
    let beyond = (answer.total as usize).saturating_sub(answer.angebote.len());
    if beyond > 0 {
        let more = count(beyond, "weiteres Angebot", "weitere Angebote");
        eprintln!("Hinweis: {more}; --limit zeigt mehr");
    }
    proved::tell(&args.proving, format);
    Ok(())
}

/// Verifies the proofs of an offer, and that the records in it are those that were proved; gives
/// the number of entries.
fn verify(angebot: &Angebot, charter: &Charter) -> Result<usize, ProofError> {
    let version = angebot.version.as_ref();
    let provenance = version.and_then(|it| it.provenance.as_ref());
    let at = provenance.and_then(|it| it.position.as_ref());
    let entry = proved(angebot.proof.as_ref(), at, charter)?;
    let record = version.and_then(|it| it.version.as_ref());
    let owns = at.is_some_and(|at| at.land == angebot.land);
    let signed = body::<ServiceVersion>(&entry, Kind::ServiceVersion);
    if !owns || signed.is_none() || signed.as_ref() != record {
        return Err(ProofError::Body);
    }
    let entry = proved(angebot.definition_proof.as_ref(), angebot.definition.as_ref(), charter)?;
    let signed = body::<ServiceDefinition>(&entry, Kind::ServiceDefinition);
    if signed.map(|it| it.service_id).as_deref() != record.map(|it| it.service_id.as_str()) {
        return Err(ProofError::Body);
    }
    let Some(nachnutzung) = &angebot.nachnutzung else { return Ok(2) };
    let entry = proved(nachnutzung.proof.as_ref(), nachnutzung.position.as_ref(), charter)?;
    let signed = body::<SubscriptionMove>(&entry, Kind::SubscriptionMove);
    if signed.map(|it| it.subscription_id).as_ref() != Some(&nachnutzung.subscription_id) {
        return Err(ProofError::Body);
    }
    Ok(3)
}

fn details(angebot: &Angebot, verified: Option<usize>) -> String {
    let service = angebot.service.clone().unwrap_or_default();
    let version = angebot.version.clone().unwrap_or_default();
    let life = version.life.unwrap_or_default();
    let record = version.version.unwrap_or_default();
    let provenance = version.provenance.unwrap_or_default();
    let joined = |all: Vec<String>| all.join("; ");
    let parameters: Vec<_> = record
        .parameter
        .iter()
        .map(|p| if p.pflicht { format!("{}*", p.name) } else { p.name.clone() })
        .collect();
    let nachnutzung = angebot.nachnutzung.as_ref();
    let offered: Vec<_> = record.nachnutzung.iter().map(|it| it.modell.clone()).collect();
    output::pairs([
        ("Gebiet", angebot.gebiet.clone()),
        ("Land", angebot.land.clone()),
        ("Dienst", service.service_id),
        ("Bezeichnung", service.bezeichnung),
        ("Version", record.version.clone()),
        ("Stand", lifecycle(life.lifecycle()).to_owned()),
        ("Gültig ab", record.gueltig_ab.clone()),
        ("Gültig bis", open_end(&record.gueltig_bis)),
        ("Abschaltung am", life.abschaltung_am),
        ("Onlinedienst", joined(angebot.onlinedienste.iter().map(onlinedienst).collect())),
        ("Zuständig", joined(angebot.zustaendige_stellen.iter().map(stelle).collect())),
        ("Nachnutzung", nachnutzung.map(reuse).unwrap_or_default()),
        ("Vertrag", nachnutzung.map(contract).unwrap_or_default()),
        (
            "Anschluss",
            nachnutzung.and_then(|it| it.anschluss.as_ref()).map(anschluss).unwrap_or_default(),
        ),
        ("Nachnutzbar über", offered.join(", ")),
        ("Parameter", parameters.join(", ")),
        ("Eintrag", output::place(provenance.position.as_ref())),
        ("Eingetragen", provenance.recorded_at.as_ref().map_or_else(String::new, output::instant)),
        ("Hier seit", provenance.received_at.as_ref().map_or_else(String::new, output::instant)),
        (
            "Nachgeprüft",
            verified.map_or_else(String::new, |number| count(number, "Eintrag", "Einträge")),
        ),
    ])
}

fn gebietswechsel(it: &Gebietswechsel) -> String {
    let list = |all: &[String]| output::clean(&all.join(", "));
    let (ab, vorher, nachher) = (output::clean(&it.ab), list(&it.vorher), list(&it.nachher));
    format!("Gebietsänderung zum {ab}: aus {vorher} wurde {nachher}; beides ist berücksichtigt")
}

fn texts(all: &[String]) -> Node {
    Node::List(all.iter().cloned().map(Node::Text).collect())
}

fn onlinedienst(it: &Onlinedienst) -> String {
    if it.vertrauensniveau.is_empty() {
        return it.link.clone();
    }
    format!("{} (Vertrauensniveau {})", it.link, it.vertrauensniveau)
}

fn stelle(it: &ZustaendigeStelle) -> String {
    if it.ort.is_empty() { it.name.clone() } else { format!("{}, {}", it.name, it.ort) }
}

fn reuse(it: &AngebotNachnutzung) -> String {
    let on_behalf: Vec<_> = it.auftraggeber.iter().map(|it| it.name.clone()).collect();
    let on_behalf = if on_behalf.is_empty() {
        String::new()
    } else {
        format!(" für {}", on_behalf.join(", "))
    };
    let (land, wanted) = (&it.subscriber_land, &it.version_requirement);
    format!("durch {land}{on_behalf}, Anforderung {wanted}, {}", it.subscription_id)
}

fn contract(it: &AngebotNachnutzung) -> String {
    let parts = [&it.vertrag_id, &it.modell, &it.vertrag_url, &it.kosten_text];
    let parts: Vec<_> = parts.into_iter().filter(|it| !it.is_empty()).cloned().collect();
    parts.join(", ")
}

fn anschluss(it: &AnschlussState) -> String {
    let Some(it) = &it.anschluss else { return String::new() };
    let status = match it.status() {
        AnschlussStatus::Unspecified => "unbekannt",
        AnschlussStatus::Geplant => "geplant",
        AnschlussStatus::InTest => "im Test",
        AnschlussStatus::Angeschlossen => "angeschlossen",
        AnschlussStatus::Getrennt => "getrennt",
    };
    let since = if it.seit.is_empty() { String::new() } else { format!(" seit {}", it.seit) };
    let version =
        if it.version.is_empty() { String::new() } else { format!(", Version {}", it.version) };
    format!("{} {status}{since}{version}", it.ars)
}
