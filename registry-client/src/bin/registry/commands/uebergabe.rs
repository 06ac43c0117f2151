//! `registry uebergabe …`.

use registry_client::Client;
use registry_proto::wire::registry::{
    Handover, HandoverState, ListHandoversRequest, Uebergabe as Said, UebergabeSchritt as Schritt,
    record::Record,
};

use super::{count, write};
use crate::{
    args::{Format, Uebergabe, UebergabeAnswer, UebergabeList, UebergabeOffer},
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn run(
    client: &Client,
    format: Format,
    command: Uebergabe,
) -> Result<(), CliError> {
    match command {
        Uebergabe::Anbieten(args) => offer(client, format, args).await,
        Uebergabe::Annehmen(args) => answer(client, format, Schritt::Annahme, args).await,
        Uebergabe::Zuruecknehmen(args) => answer(client, format, Schritt::Ruecknahme, args).await,
        Uebergabe::List(args) => list(client, format, args).await,
    }
}

/// The open offer of a service to `to`, or of `from`, or of anyone.
pub(super) async fn open_offer(
    client: &Client,
    service: &str,
    passes: impl Fn(&Handover) -> bool,
) -> Result<Option<Handover>, CliError> {
    let request = ListHandoversRequest {
        service_id: service.to_owned(),
        open_only: true,
        ..ListHandoversRequest::default()
    };
    Ok(client.handovers(request).await?.handovers.into_iter().find(passes))
}

async fn offer(client: &Client, format: Format, args: UebergabeOffer) -> Result<(), CliError> {
    let said = Said {
        service_id: args.service,
        von_land: client.status().await?.land,
        an_land: args.an.to_string(),
        schritt: Schritt::Angebot as i32,
        ..Said::default()
    };
    let next = format!("{}: registry uebergabe annehmen {}", args.an, said.service_id);
    let lines =
        [("Dienst", said.service_id.clone()), ("Angeboten", args.an.to_string()), ("Danach", next)];
    let said = vec![Record::Uebergabe(said)];
    let answer = write::moves(client, said, &args.writing, args.writing.key()).await?;
    write::report(format, &answer, &args.writing, lines)
}

async fn answer(
    client: &Client,
    format: Format,
    schritt: Schritt,
    args: UebergabeAnswer,
) -> Result<(), CliError> {
    let own = client.status().await?.land;
    let takes = schritt == Schritt::Annahme;
    let mine = |it: &Handover| if takes { it.an_land == own } else { it.von_land == own };
    let found = open_offer(client, &args.service, mine).await?;
    let Some(offer) = found else {
        let side = if takes { "an" } else { "von" };
        return Err(CliError::Usage(format!(
            "für den Dienst {} gibt es hier kein offenes Angebot {side} {own}.\nNächster Schritt: \
             registry uebergabe list --leistung {}",
            args.service, args.service
        )));
    };
    let said = Said {
        service_id: offer.service_id.clone(),
        von_land: offer.von_land.clone(),
        an_land: offer.an_land.clone(),
        schritt: schritt as i32,
        angebot: offer.leaf_hash,
        ..Said::default()
    };
    let (word, next) = if takes {
        ("Angenommen", format!("der Dienst gehört {own}: registry publish -f …"))
    } else {
        ("Zurückgenommen", String::new())
    };
    let way = format!("{} an {}", offer.von_land, offer.an_land);
    let lines = [("Dienst", offer.service_id), (word, way), ("Danach", next)];
    let said = vec![Record::Uebergabe(said)];
    let answer = write::moves(client, said, &args.writing, args.writing.key()).await?;
    write::report(format, &answer, &args.writing, lines)
}

async fn list(client: &Client, format: Format, args: UebergabeList) -> Result<(), CliError> {
    let request = ListHandoversRequest {
        service_id: args.leistung.unwrap_or_default(),
        land: args.land.map_or_else(String::new, |land| land.to_string()),
        open_only: args.offen,
        limit: args.limit.unwrap_or_default(),
    };
    let found = client.handovers(request).await?;
    let object = || {
        Ok(Object::default()
            .with("handovers", json::list("Handover", &found.handovers)?)
            .with("total", Node::Number(u64::from(found.total)))
            .with("as_of", json::list("AsOf", &found.as_of)?))
    };
    output::print(format, object, || table(&found.handovers))?;
    output::notice_age(&found.as_of);
    let beyond = (found.total as usize).saturating_sub(found.handovers.len());
    if beyond > 0 {
        let more = count(beyond, "weiteres Angebot", "weitere Angebote");
        eprintln!("Hinweis: {more}; --limit, --land und --offen grenzen ein");
    }
    Ok(())
}

fn table(all: &[Handover]) -> String {
    output::table(
        ["Dienst", "Bezeichnung", "Von", "An", "Angebot", "Seit", "Stand"],
        &[0, 2, 3, 4, 5],
        all.iter().map(|it| {
            [
                it.service_id.clone(),
                it.bezeichnung.clone(),
                it.von_land.clone(),
                it.an_land.clone(),
                output::place(it.position.as_ref()),
                it.offered_at.as_ref().map_or_else(String::new, output::instant),
                state(it),
            ]
        }),
    )
}

fn state(it: &Handover) -> String {
    let at = output::place(it.answer.as_ref());
    match it.state() {
        HandoverState::Open if !it.fehlt.is_empty() => {
            format!("offen, Mitzeichnung fehlt: {}", it.fehlt.join(", "))
        }
        HandoverState::Open => "offen".to_owned(),
        HandoverState::Taken => format!("angenommen ({at})"),
        HandoverState::TakenBack => format!("zurückgenommen ({at})"),
        HandoverState::Void => "gegenstandslos".to_owned(),
        HandoverState::Unspecified => "unbekannt".to_owned(),
    }
}
