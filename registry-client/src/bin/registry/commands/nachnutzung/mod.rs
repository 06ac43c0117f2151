//! `registry nachnutzung …`.

mod kommunen;
mod matrix;
mod show;
mod steps;

use registry_client::{Client, nachnutzung::SubscriptionFilter};
use registry_proto::wire::registry::{Lifecycle, Subscription, SubscriptionState};

pub(super) use kommunen::Wanted;
pub(super) use show::kommunen as kommunen_table;

use super::{count, kinds};
use crate::{
    args::{Format, Nachnutzung, NachnutzungList},
    errors::CliError,
    json::{self, Object},
    output,
};

/// Reads what needs no node: the file of a command that has one.
pub(super) fn prepare(command: &Nachnutzung) -> Result<Option<Vec<Wanted>>, CliError> {
    match command {
        Nachnutzung::Anschluss(args) => kommunen::wanted(args).map(Some),
        _ => Ok(None),
    }
}

pub(super) async fn run(
    client: &Client,
    format: Format,
    command: Nachnutzung,
    wanted: Option<Vec<Wanted>>,
) -> Result<(), CliError> {
    use SubscriptionState as State;
    match command {
        Nachnutzung::List(args) => list(client, format, args).await,
        Nachnutzung::Show(args) => show::show(client, format, &args.id).await,
        Nachnutzung::Matrix(args) => matrix::matrix(client, format, args).await,
        Nachnutzung::Interesse(args) => steps::interesse(client, format, args).await,
        Nachnutzung::Abstimmung(args) => steps::step(client, format, State::Abstimmung, args).await,
        Nachnutzung::Zusagen(args) => steps::step(client, format, State::Zugesagt, args).await,
        Nachnutzung::Ablehnen(args) => steps::end(client, format, State::Abgelehnt, args).await,
        Nachnutzung::Vertrag(args) => steps::vertrag(client, format, args).await,
        Nachnutzung::Produktiv(args) => steps::step(client, format, State::Produktiv, args).await,
        Nachnutzung::Aendern(args) => steps::aendern(client, format, args).await,
        Nachnutzung::Beenden(args) => steps::end(client, format, State::Beendet, args).await,
        Nachnutzung::Anschluss(args) => {
            kommunen::connect(client, format, args, wanted.unwrap_or_default()).await
        }
        Nachnutzung::Bestaetigen(args) => steps::bestaetigen(client, format, args).await,
    }
}

async fn list(client: &Client, format: Format, args: NachnutzungList) -> Result<(), CliError> {
    let filter = SubscriptionFilter {
        service_id: args.leistung,
        publisher: args.umsetzend,
        subscriber: args.anschliessend,
        zustaende: args.zustaende.into_iter().map(Into::into).collect(),
    };
    let progress = output::progress();
    let listing = client
        .subscription_pages(filter, args.limit)
        .collect(|so_far| {
            progress.set_message(format!("{so_far} Nachnutzungen geladen"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    let object = || {
        Ok(Object::default()
            .with("subscriptions", json::list("Subscription", &listing.entries)?)
            .with("as_of", json::list("AsOf", &listing.as_of)?))
    };
    output::print(format, object, || table(&listing.entries))?;
    output::notice_age(&listing.as_of);
    if listing.cut {
        eprintln!("Hinweis: bei {} abgeschnitten (--limit)", listing.entries.len());
    }
    Ok(())
}

fn table(all: &[Subscription]) -> String {
    output::table(
        ["Nachnutzung", "Zustand", "Anbieter", "Nachnutzer", "Bezeichnung", "Version", "Am Zug"],
        &[0, 1, 2, 3, 5, 6],
        all.iter().map(|it| {
            let turn = turn(it);
            let owed = match it.owed.len() {
                0 => String::new(),
                owed => format!(" ({})", count(owed, "Bestätigung offen", "Bestätigungen offen")),
            };
            [
                it.subscription_id.clone(),
                kinds::zustand(it.zustand()).to_owned(),
                it.publisher_land.clone(),
                it.subscriber_land.clone(),
                it.bezeichnung.clone(),
                it.terms.clone().unwrap_or_default().version_requirement,
                if turn.is_empty() { "–".to_owned() } else { turn + &owed },
            ]
        }),
    )
}

/// The Land whose turn it is; empty when nobody has to do anything.
fn turn(it: &Subscription) -> String {
    match it.zustand() {
        SubscriptionState::Interesse | SubscriptionState::Abstimmung => it.publisher_land.clone(),
        SubscriptionState::Zugesagt | SubscriptionState::Vertrag => it.subscriber_land.clone(),
        SubscriptionState::Produktiv if !it.owed.is_empty() => it.subscriber_land.clone(),
        SubscriptionState::Unspecified
        | SubscriptionState::Abgelehnt
        | SubscriptionState::Produktiv
        | SubscriptionState::Beendet => String::new(),
    }
}

/// What may follow: the Land, and the command it gives. What is expected comes first.
fn next_commands(it: &Subscription) -> Vec<(String, String)> {
    let id = &it.subscription_id;
    let now = it.zustand();
    let command = |to: SubscriptionState| match to {
        to if to == now => format!("registry nachnutzung aendern {id} …"),
        SubscriptionState::Abstimmung => format!("registry nachnutzung abstimmung {id}"),
        SubscriptionState::Zugesagt => format!("registry nachnutzung zusagen {id}"),
        SubscriptionState::Abgelehnt => format!("registry nachnutzung ablehnen {id} --grund …"),
        SubscriptionState::Vertrag => format!("registry nachnutzung vertrag {id} --vertrag-id …"),
        SubscriptionState::Produktiv => format!("registry nachnutzung produktiv {id}"),
        SubscriptionState::Beendet => format!("registry nachnutzung beenden {id} --grund …"),
        SubscriptionState::Interesse | SubscriptionState::Unspecified => {
            "registry nachnutzung interesse …".to_owned()
        }
    };
    let mut all = Vec::new();
    for owed in &it.owed {
        let anlass = anlass(owed.anlass());
        all.push((
            it.subscriber_land.clone(),
            format!(
                "registry nachnutzung bestaetigen {id} --version {} --anlass {anlass}",
                owed.version
            ),
        ));
    }
    let mut sides = [
        (&it.subscriber_land, it.next_by_subscriber().collect::<Vec<_>>()),
        (&it.publisher_land, it.next_by_publisher().collect::<Vec<_>>()),
    ];
    if turn(it) == it.publisher_land {
        sides.reverse();
    }
    for (land, states) in sides {
        // going on before changing terms, and the end last
        let (go, same): (Vec<_>, Vec<_>) = states.into_iter().partition(|to| *to != now);
        let (end, go): (Vec<_>, Vec<_>) =
            go.into_iter().partition(|to| *to == SubscriptionState::Beendet);
        all.extend([go, same, end].concat().into_iter().map(|to| (land.clone(), command(to))));
    }
    all
}

/// The name of a state as the command line takes it.
fn anlass(of: Lifecycle) -> &'static str {
    match of {
        Lifecycle::Freigegeben => "freigegeben",
        Lifecycle::Abgekuendigt => "abgekuendigt",
        Lifecycle::Abgeschaltet => "abgeschaltet",
        Lifecycle::Zurueckgezogen => "zurueckgezogen",
        Lifecycle::Entwurf | Lifecycle::Unspecified => "unbekannt",
    }
}
