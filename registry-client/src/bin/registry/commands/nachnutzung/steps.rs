//! The steps of a Nachnutzung.

use registry_client::Client;
use registry_proto::wire::registry::{
    Bestaetigung, Lifecycle, Subscription, SubscriptionMove, SubscriptionState, record::Record,
};

use super::{
    super::{kinds, write},
    next_commands, turn,
};
use crate::{
    args::{Acknowledge, Aendern, End, Format, Interesse, Step, Terms, Vertrag, Writing},
    errors::CliError,
};

pub(super) async fn interesse(
    client: &Client,
    format: Format,
    args: Interesse,
) -> Result<(), CliError> {
    let own = client.status().await?.land;
    let said = SubscriptionMove {
        subscription_id: args.id.unwrap_or_default(),
        service_id: args.service,
        publisher_land: args.land.to_string(),
        subscriber_land: own,
        version_requirement: args.version,
        gebiete: args.gebiete,
        auftraggeber: args.auftraggeber,
        ..with(args.terms, SubscriptionState::Interesse)
    };
    send(client, format, said, &args.writing).await
}

pub(super) async fn step(
    client: &Client,
    format: Format,
    zustand: SubscriptionState,
    args: Step,
) -> Result<(), CliError> {
    let known = known(client, &args.id).await?;
    send(client, format, about(&known, with(args.terms, zustand)), &args.writing).await
}

pub(super) async fn end(
    client: &Client,
    format: Format,
    zustand: SubscriptionState,
    args: End,
) -> Result<(), CliError> {
    let known = known(client, &args.id).await?;
    let said = SubscriptionMove { grund: args.grund, ..with(Terms::default(), zustand) };
    send(client, format, about(&known, said), &args.writing).await
}

pub(super) async fn vertrag(
    client: &Client,
    format: Format,
    args: Vertrag,
) -> Result<(), CliError> {
    let known = known(client, &args.id).await?;
    let said = SubscriptionMove {
        vertrag_id: args.vertrag_id,
        vertrag_url: args.vertrag_url.unwrap_or_default(),
        ..with(args.terms, SubscriptionState::Vertrag)
    };
    send(client, format, about(&known, said), &args.writing).await
}

pub(super) async fn aendern(
    client: &Client,
    format: Format,
    args: Aendern,
) -> Result<(), CliError> {
    let known = known(client, &args.id).await?;
    let terms = known.terms.clone().unwrap_or_default();
    let said = SubscriptionMove {
        version_requirement: args.version.unwrap_or_default(),
        gebiete: args.gebiete,
        auftraggeber: args.auftraggeber,
        // the rules ask for it with each record of a contract
        vertrag_id: args.vertrag_id.unwrap_or(terms.vertrag_id),
        vertrag_url: args.vertrag_url.unwrap_or_default(),
        ..with(args.terms, known.zustand())
    };
    send(client, format, about(&known, said), &args.writing).await
}

pub(super) async fn bestaetigen(
    client: &Client,
    format: Format,
    args: Acknowledge,
) -> Result<(), CliError> {
    let known = known(client, &args.id).await?;
    let anlass = Lifecycle::from(args.anlass);
    let said = Bestaetigung {
        subscription_id: known.subscription_id.clone(),
        service_id: known.service_id.clone(),
        version: args.version.clone(),
        anlass: anlass as i32,
        hinweis: args.hinweis.unwrap_or_default(),
        ..Bestaetigung::default()
    };
    let writing = &args.writing;
    let said = vec![Record::Bestaetigung(said)];
    let answer = write::moves(client, said, writing, writing.key()).await?;
    let what = format!("Version {} {}", args.version, kinds::lifecycle(anlass));
    let lines = [("Nachnutzung", known.subscription_id), ("Bestätigt", what)];
    write::report(format, &answer, writing, lines)
}

async fn known(client: &Client, id: &str) -> Result<Subscription, CliError> {
    Ok(client.subscription(id).await?.subscription.unwrap_or_default())
}

fn with(terms: Terms, zustand: SubscriptionState) -> SubscriptionMove {
    SubscriptionMove {
        zustand: zustand as i32,
        modell: terms.modell.unwrap_or_default(),
        kosten_text: terms.kosten_text.unwrap_or_default(),
        kontakt: terms.kontakt.unwrap_or_default(),
        ..SubscriptionMove::default()
    }
}

fn about(known: &Subscription, said: SubscriptionMove) -> SubscriptionMove {
    SubscriptionMove {
        subscription_id: known.subscription_id.clone(),
        service_id: known.service_id.clone(),
        publisher_land: known.publisher_land.clone(),
        subscriber_land: known.subscriber_land.clone(),
        ..said
    }
}

async fn send(
    client: &Client,
    format: Format,
    said: SubscriptionMove,
    writing: &Writing,
) -> Result<(), CliError> {
    let zustand = kinds::zustand(said.zustand()).to_owned();
    let said = vec![Record::SubscriptionMove(said)];
    let answer = write::moves(client, said, writing, writing.key()).await?;
    let id = answer.records.first().map(|it| it.subscription_id.clone()).unwrap_or_default();
    // what may follow, as the node sees it now; the move stands also if that cannot be asked
    let mut next = String::new();
    if !writing.dry_run
        && let Ok(now) = client.subscription(&id).await
    {
        let now = now.subscription.unwrap_or_default();
        let turn = turn(&now);
        let first = next_commands(&now).into_iter().find(|(land, _)| *land == turn);
        next = first.map(|(land, command)| format!("{land}: {command}")).unwrap_or_default();
    }
    let lines = [("Nachnutzung", id), ("Zustand", zustand), ("Danach", next)];
    write::report(format, &answer, writing, lines)
}
