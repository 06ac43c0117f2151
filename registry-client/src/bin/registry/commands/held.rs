//! `registry held`.

use registry_client::Client;
use registry_proto::wire::admin::HeldMoves;

use super::count;
use crate::{
    args::{Format, Held, HeldAccept},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn run(client: &Client, format: Format, command: Held) -> Result<(), CliError> {
    match command {
        Held::List => list(client, format).await,
        Held::Accept(args) => accept(client, format, args).await,
    }
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let held = client.held().await?;
    let object = || Ok(Object::default().with("held", Node::List(held.iter().map(node).collect())));
    output::print(format, object, || table(&held))?;
    if held.is_empty() {
        eprintln!("Nichts ist angehalten.");
    }
    Ok(())
}

async fn accept(client: &Client, format: Format, args: HeldAccept) -> Result<(), CliError> {
    let land = args.land.code();
    let held = client.held().await?;
    let mut accepted = 0;
    for of in held.iter().filter(|it| it.land == land) {
        accepted += client.accept_held(of.land.clone(), of.epoch).await?;
    }
    let object = || {
        Ok(Object::default()
            .with("land", Node::Text(land.to_owned()))
            .with("accepted", Node::Number(u64::from(accepted))))
    };
    output::print(format, object, || {
        if accepted == 0 {
            format!("Von {land} ist nichts angehalten.\n")
        } else {
            let moves = count(accepted as usize, "Abschaltung gilt", "Abschaltungen gelten");
            format!("{moves} jetzt an diesem Knoten ({land}).\n")
        }
    })
}

fn node(of: &HeldMoves) -> Node {
    let indices = of.indices.iter().copied().map(Node::Number).collect();
    Node::Object(
        Object::default()
            .with("land", Node::Text(of.land.clone()))
            .with("epoch", Node::Number(of.epoch))
            .with("total", Node::Number(u64::from(of.total)))
            .with("indices", Node::List(indices)),
    )
}

fn table(held: &[HeldMoves]) -> String {
    output::table(
        ["Land", "Anzahl", "Einträge"],
        &[0, 1],
        held.iter().map(|of| {
            let shown = of.indices.iter().take(SHOWN_MAX);
            let mut places: Vec<_> =
                shown.map(|index| format!("{}/{}/{index}", of.land, of.epoch)).collect();
            let more = (of.total as usize).saturating_sub(places.len());
            if more > 0 {
                places.push(format!("… und {more} weitere"));
            }
            [of.land.clone(), of.total.to_string(), places.join(", ")]
        }),
    )
}

/// Entries of a Land that are shown; all are in JSON.
const SHOWN_MAX: usize = 10;
