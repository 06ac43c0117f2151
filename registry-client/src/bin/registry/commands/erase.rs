//! `registry erase`.

use registry_client::Client;
use registry_proto::{
    log::Kind,
    wire::registry::{ErasureState, GetVersionRequest, LogPosition},
};

use super::{kinds, kontakt};
use crate::{
    args::{Erase, EraseEntry, EraseKontakt, EraseStatus, EraseVersion, Format, Why},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn run(client: &Client, format: Format, command: Erase) -> Result<(), CliError> {
    match command {
        Erase::Entry(EraseEntry { entries, why }) => erase(client, format, entries, why).await,
        Erase::Version(args) => version(client, format, args).await,
        Erase::Kontakt(args) => contact(client, format, args).await,
        Erase::Status(args) => status(client, format, args).await,
    }
}

async fn version(client: &Client, format: Format, args: EraseVersion) -> Result<(), CliError> {
    let request = GetVersionRequest {
        service_id: args.id,
        version: args.version,
        land: args.land.map_or_else(String::new, |it| it.code().to_owned()),
        ..GetVersionRequest::default()
    };
    let answer = client.version(request).await?;
    let provenance = answer.version.and_then(|it| it.provenance);
    let position = provenance.and_then(|it| it.position).ok_or_else(|| {
        CliError::Internal("die Antwort nennt die Stelle der Version nicht".to_owned())
    })?;
    erase(client, format, vec![position], args.why).await
}

async fn contact(client: &Client, format: Format, args: EraseKontakt) -> Result<(), CliError> {
    let found = kontakt::of(client, args.service, String::new()).await?;
    let wanted = |rolle: &str| args.rolle.is_none_or(|it| it.code() == rolle);
    let wanted =
        found.into_iter().filter(|it| wanted(&it.kontakt.clone().unwrap_or_default().rolle));
    let entries: Vec<LogPosition> = wanted.filter_map(|it| it.position).collect();
    if entries.is_empty() {
        return Err(CliError::Usage(
            "der Dienst hat keinen solchen Kontakt.\nNächster Schritt: registry kontakt zeigen DIENST"
                .to_owned(),
        ));
    }
    erase(client, format, entries, args.why).await
}

async fn erase(
    client: &Client,
    format: Format,
    entries: Vec<LogPosition>,
    why: Why,
) -> Result<(), CliError> {
    let erased = client.erase(entries, why.grund, why.dry_run).await?;
    output::print(format, || Ok(object(&erased)), || table(&erased))?;
    eprintln!(
        "{}",
        if why.dry_run {
            "Geprüft, nichts gelöscht."
        } else {
            "Gelöscht. Wer es ausgeführt hat: registry erase status EINTRAG"
        }
    );
    Ok(())
}

async fn status(client: &Client, format: Format, args: EraseStatus) -> Result<(), CliError> {
    let listed = client.erasures(args.entry, args.limit).await?;
    let all = &listed.erasures;
    let object = || Ok(object(all).with("total", Node::Number(listed.total)));
    output::print(format, object, || table(all))?;
    let more = listed.total.saturating_sub(all.len() as u64);
    match (all.is_empty(), more) {
        (true, _) => eprintln!("Nichts ist gelöscht."),
        (false, 0) => {}
        (false, more) => eprintln!("… und {more} ältere"),
    }
    Ok(())
}

fn object(erased: &[ErasureState]) -> Object {
    Object::default().with("erasures", Node::List(erased.iter().map(node).collect()))
}

fn node(it: &ErasureState) -> Node {
    let text = |text: &str| Node::Text(text.to_owned());
    let confirmed = it.confirmed.iter().map(|at| {
        let since = at.since.as_ref().map_or_else(String::new, output::instant);
        Node::Object(
            Object::default()
                .with("land", text(&at.land))
                .with("since", Node::Text(since.replacen(' ', "T", 1))),
        )
    });
    Node::Object(
        Object::default()
            .with("entry", Node::Text(output::place(it.entry.as_ref())))
            .with("leaf_hash", Node::Text(hex::encode(&it.leaf_hash)))
            .with("kind", text(kinds::word(Kind::from_wire(it.kind))))
            .with("object_id", text(&it.object_id))
            .with("erasure", Node::Text(output::place(it.erasure.as_ref())))
            .with("grund", text(&it.grund))
            .with("discarded", Node::Bool(it.discarded))
            .with("done_here", Node::Bool(it.done_here))
            .with("confirmed", Node::List(confirmed.collect()))
            .with("open", Node::List(it.open.iter().map(|it| text(it)).collect()))
            .with("removed", Node::List(it.removed.iter().map(|it| text(it)).collect())),
    )
}

fn table(erased: &[ErasureState]) -> String {
    output::table(
        ["Eintrag", "Art", "Gelöscht durch", "Bestätigt", "Offen", "Grund"],
        &[0, 1, 2],
        erased.iter().map(|it| {
            let by = output::place(it.erasure.as_ref());
            let by = if it.discarded { format!("{by}, {DISCARDED}") } else { by };
            let confirmed = it.confirmed.iter().map(|at| {
                let since = at.since.as_ref().map_or_else(String::new, output::instant);
                format!("{} {since}", at.land)
            });
            let removed = it.removed.iter().map(|land| format!("{land} (ausgeschieden)"));
            let open = it.open.iter().cloned().chain(removed);
            [
                output::place(it.entry.as_ref()),
                kinds::word(Kind::from_wire(it.kind)).to_owned(),
                by,
                confirmed.collect::<Vec<_>>().join(", "),
                open.collect::<Vec<_>>().join(", "),
                it.grund.clone(),
            ]
        }),
    )
}

/// Beside an erasure that does not count any more.
const DISCARDED: &str = "verworfen durch Zurücksetzen, noch einmal zu schreiben";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_that_a_reset_discarded_is_marked() {
        let at = |index| Some(LogPosition { land: "SL".to_owned(), epoch: 1, index });
        let of = |discarded| ErasureState {
            entry: at(32),
            erasure: at(34),
            discarded,
            ..ErasureState::default()
        };
        let text = table(&[of(true), of(false)]);
        let marked = text.matches("SL/1/34, verworfen durch Zurücksetzen").count();
        assert_eq!((marked, text.matches("SL/1/34").count()), (1, 2), "{text}");
    }
}
