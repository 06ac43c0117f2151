//! `registry nachnutzung show`.

use registry_client::Client;
use registry_proto::wire::registry::{
    AnschlussState, Auftraggeber, GetSubscriptionResponse, Subscription, SubscriptionStep,
};

use super::{kinds, next_commands, turn};
use crate::{
    args::Format,
    errors::CliError,
    json::{self, Object},
    output,
};

pub(super) async fn show(client: &Client, format: Format, id: &str) -> Result<(), CliError> {
    let answer = client.subscription(id).await?;
    let object = || {
        let it = answer.subscription.clone().unwrap_or_default();
        Ok(Object::default()
            .with("subscription", json::message("Subscription", &it)?)
            .with("steps", json::list("SubscriptionStep", &answer.steps)?)
            .with("anschluesse", json::list("AnschlussState", &answer.anschluesse)?)
            .with("as_of", json::list("AsOf", &answer.as_of)?))
    };
    output::print(format, object, || details(&answer))?;
    output::notice_age(&answer.as_of);
    Ok(())
}

fn details(answer: &GetSubscriptionResponse) -> String {
    let it = answer.subscription.clone().unwrap_or_default();
    let mut text = head(&it);
    text.push_str("\nSchritte\n");
    text.push_str(&steps(&answer.steps));
    if !answer.anschluesse.is_empty() {
        text.push_str("\nKommunen\n");
        text.push_str(&kommunen(&answer.anschluesse));
    }
    if !it.owed.is_empty() {
        text.push_str("\nZu bestätigen\n");
        text.push_str(&output::table(
            ["Version", "Anlass", "Abschaltung am"],
            &[0, 1, 2],
            it.owed.iter().map(|owed| {
                let end = owed.abschaltung_am.clone();
                [owed.version.clone(), kinds::lifecycle(owed.anlass()).to_owned(), end]
            }),
        ));
    }
    let turn = turn(&it);
    let turn = if turn.is_empty() { "niemand".to_owned() } else { turn };
    text.push_str(&format!("\nAm Zug: {turn}\n"));
    for (land, command) in next_commands(&it) {
        text.push_str(&format!("{}: {}\n", output::clean(&land), output::clean(&command)));
    }
    text
}

fn head(it: &Subscription) -> String {
    let terms = it.terms.clone().unwrap_or_default();
    let clients: Vec<_> = terms.auftraggeber.iter().map(client_of).collect();
    let revision = |number: u64, land: &str| format!("{land} {number}");
    output::pairs([
        ("Nachnutzung", it.subscription_id.clone()),
        ("Dienst", format!("{} {}", it.service_id, it.bezeichnung)),
        ("Anbieter", it.publisher_land.clone()),
        ("Nachnutzer", it.subscriber_land.clone()),
        ("Zustand", kinds::zustand(it.zustand()).to_owned()),
        ("Versionen", terms.version_requirement),
        ("Gebiete", terms.gebiete.join(", ")),
        ("Auftraggeber", clients.join("; ")),
        ("Modell", terms.modell),
        ("Vertrag", terms.vertrag_id),
        ("Vertrag im Netz", terms.vertrag_url),
        ("Kosten", terms.kosten_text),
        ("Kontakt", terms.kontakt),
        ("Grund", terms.grund),
        ("Zuletzt bewegt", it.moved_at.as_ref().map_or_else(String::new, output::instant)),
        (
            "Revision",
            format!(
                "{}, {}",
                revision(it.subscriber_revision, &it.subscriber_land),
                revision(it.publisher_revision, &it.publisher_land)
            ),
        ),
    ])
}

fn client_of(it: &Auftraggeber) -> String {
    format!("{} ({})", it.name, it.gebiete.join(", "))
}

fn steps(steps: &[SubscriptionStep]) -> String {
    output::table(
        ["Wann", "Wer", "Schritt", "Eintrag", "Zählt"],
        &[0, 1, 2, 3],
        steps.iter().map(|step| {
            let position = step.position.clone().unwrap_or_default();
            let counts = match (step.superseded, step.pending) {
                (true, _) => "nein, überholt",
                (_, true) => "wartet auf einen früheren Schritt",
                (false, false) => "ja",
            };
            [
                step.recorded_at.as_ref().map_or_else(String::new, output::instant),
                position.land.clone(),
                kinds::zustand(step.record.clone().unwrap_or_default().zustand()).to_owned(),
                output::place(Some(&position)),
                counts.to_owned(),
            ]
        }),
    )
}

/// The Kommunen, one a line.
pub(crate) fn kommunen(all: &[AnschlussState]) -> String {
    output::table(
        ["ARS", "Name", "Stand", "Seit", "Version", "Hinweis"],
        &[0, 2, 3, 4],
        all.iter().map(|it| {
            let said = it.anschluss.clone().unwrap_or_default();
            let status = kinds::anschluss(said.status()).to_owned();
            [said.ars, it.name.clone(), status, said.seit, said.version, said.hinweis]
        }),
    )
}
