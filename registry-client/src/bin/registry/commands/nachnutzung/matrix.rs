//! `registry nachnutzung matrix`.

use std::collections::{BTreeMap, BTreeSet};

use registry_client::{Client, nachnutzung::SubscriptionFilter};
use registry_proto::wire::registry::{Subscription, SubscriptionState as State};

use super::kinds;
use crate::{
    args::{Format, Matrix},
    errors::CliError,
    json::{Node, Object},
    output,
};

/// A service, and how far each Land is with it.
#[derive(Debug, Default)]
struct Line {
    bezeichnung: String,
    cells: BTreeMap<String, State>,
}

/// Lines by the Land and the UUID of their service.
type Lines = BTreeMap<(String, String), Line>;

pub(super) async fn matrix(client: &Client, format: Format, args: Matrix) -> Result<(), CliError> {
    let filter = SubscriptionFilter { publisher: args.umsetzend, ..SubscriptionFilter::default() };
    let progress = output::progress();
    let listing = client
        .subscription_pages(filter, None)
        .collect(|so_far| {
            progress.set_message(format!("{so_far} Nachnutzungen geladen"));
            progress.tick();
        })
        .await?;
    progress.finish_and_clear();
    let is_shown = |it: &&Subscription| args.alle || is_open(it.zustand());
    let lines = lines(listing.entries.iter().filter(is_shown));
    if format == Format::Csv {
        output::write(&csv(&lines)?)?;
    } else {
        output::print(format, || Ok(object(&lines)), || output::grid(&grid(&lines)))?;
    }
    output::notice_age(&listing.as_of);
    Ok(())
}

fn lines<'a>(all: impl Iterator<Item = &'a Subscription>) -> Lines {
    let mut lines = Lines::new();
    for it in all {
        let line = lines.entry((it.publisher_land.clone(), it.service_id.clone())).or_default();
        line.bezeichnung.clone_from(&it.bezeichnung);
        let zustand = it.zustand();
        let cell = line.cells.entry(it.subscriber_land.clone()).or_insert(zustand);
        if rank(zustand) > rank(*cell) {
            *cell = zustand;
        }
    }
    lines
}

fn is_open(it: State) -> bool {
    rank(it) > rank(State::Beendet)
}

/// Of several Nachnutzungen the one that is furthest is shown.
fn rank(it: State) -> u8 {
    match it {
        State::Unspecified => 0,
        State::Abgelehnt => 1,
        State::Beendet => 2,
        State::Interesse => 3,
        State::Abstimmung => 4,
        State::Zugesagt => 5,
        State::Vertrag => 6,
        State::Produktiv => 7,
    }
}

fn laender(lines: &Lines) -> BTreeSet<&String> {
    lines.values().flat_map(|it| it.cells.keys()).collect()
}

/// Head and rows of the table.
fn grid(lines: &Lines) -> Vec<Vec<String>> {
    let laender = laender(lines);
    let mut head = vec!["Land".to_owned(), "Dienst".to_owned(), "Bezeichnung".to_owned()];
    head.extend(laender.iter().map(ToString::to_string));
    let row =
        |((land, service), line): (&(String, String), &Line)| {
            let mut row = vec![land.clone(), service.clone(), line.bezeichnung.clone()];
            row.extend(laender.iter().map(|land| {
                line.cells.get(*land).map_or("–", |it| kinds::zustand(*it)).to_owned()
            }));
            row
        };
    std::iter::once(head).chain(lines.iter().map(row)).collect()
}

fn object(lines: &Lines) -> Object {
    let services = lines.iter().map(|((land, service), line)| {
        let laender = line.cells.iter().map(|(land, state)| {
            Node::Object(
                Object::default()
                    .with("land", Node::Text(land.clone()))
                    .with("zustand", Node::Text(state.as_str_name().to_owned())),
            )
        });
        Node::Object(
            Object::default()
                .with("land", Node::Text(land.clone()))
                .with("service_id", Node::Text(service.clone()))
                .with("bezeichnung", Node::Text(line.bezeichnung.clone()))
                .with("laender", Node::List(laender.collect())),
        )
    });
    Object::default().with("services", Node::List(services.collect()))
}

fn csv(lines: &Lines) -> Result<String, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Internal(format!("CSV: {error}"));
    let mut writer = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
    for row in grid(lines) {
        let row = row.iter().map(|cell| harmless(cell));
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Text of others that a spreadsheet would take for a formula gets a quotation mark in front.
fn harmless(cell: &str) -> String {
    let cell = output::clean(cell);
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(publisher: &str, name: &str, subscriber: &str, zustand: State) -> Subscription {
        Subscription {
            publisher_land: publisher.to_owned(),
            service_id: name.to_lowercase(),
            bezeichnung: name.to_owned(),
            subscriber_land: subscriber.to_owned(),
            zustand: zustand as i32,
            ..Subscription::default()
        }
    }

    #[test]
    fn the_furthest_nachnutzung_of_a_land_is_shown_and_text_is_harmless() {
        let all = [
            subscription("SL", "Waffen", "TH", State::Beendet),
            subscription("SL", "Waffen", "TH", State::Vertrag),
            subscription("SL", "Waffen", "HE", State::Interesse),
            subscription("RP", "=Jagd;\"x\"", "TH", State::Abgelehnt),
        ];
        let text = csv(&lines(all.iter())).expect("CSV");
        assert_eq!(
            text,
            "Land;Dienst;Bezeichnung;HE;TH\n\
             RP;\"'=jagd;\"\"x\"\"\";\"'=Jagd;\"\"x\"\"\";–;abgelehnt\n\
             SL;waffen;Waffen;Interesse;Vertrag\n"
        );
        assert!(lines(all.iter().filter(|it| is_open(it.zustand()))).len() == 1);
    }
}
