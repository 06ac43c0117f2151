//! `registry watch`.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use registry_client::{
    Client,
    watch::{Start, Update, Watch as Stream, WatchFilter},
};
use registry_proto::{log::Kind, wire::registry::WatchEvent};

use super::kinds;
use crate::{
    args::{Format, Watch},
    errors::{self, CliError},
    json::{self, Node, Object},
    output::{self, clean},
};

/// Where the watch begins, from the options.
pub(super) fn start(args: &Watch) -> Result<Start, CliError> {
    match &args.resume {
        None if args.from_now => Ok(Start::Now),
        None => Ok(Start::Snapshot),
        Some(text) => match BASE64_STANDARD.decode(text.trim()) {
            Ok(token) if !token.is_empty() => Ok(Start::Resume(Bytes::from(token))),
            Ok(_) | Err(_) => Err(CliError::Usage(
                "das Token nach --resume ist beschädigt.\nNächster Schritt: vollständig \
                 übernehmen, oder ohne --resume neu beginnen"
                    .to_owned(),
            )),
        },
    }
}

pub(super) async fn watch(
    client: &Client,
    format: Format,
    args: Watch,
    start: Start,
) -> Result<(), CliError> {
    let filter = WatchFilter {
        laender: args.laender,
        service_ids: args.services,
        leistungsschluessel: args.leistungsschluessel,
    };
    let mut stream = tokio::select! {
        stream = client.watch(start, filter) => stream?,
        _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
    };
    let result = follow(&mut stream, format, args.count).await;
    match stream.resume_token() {
        Some(token) => eprintln!("Wiederaufnahme-Token: {}", BASE64_STANDARD.encode(token)),
        None => eprintln!("Noch kein Wiederaufnahme-Token: der Bestand war nicht vollständig."),
    }
    result
}

async fn follow(stream: &mut Stream, format: Format, count: Option<u64>) -> Result<(), CliError> {
    let mut left = count;
    while left != Some(0) {
        let update = tokio::select! {
            update = stream.next() => update?,
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        };
        let printed = match update {
            Update::Snapshot { mut events, complete } => {
                // without a token before its end, the state of today may be cut anywhere
                let wanted = left.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
                let complete = complete && events.len() <= wanted;
                events.truncate(wanted);
                print(format, &events, stream.resume_token().filter(|_| complete))?
            }
            Update::Batch { events } => print(format, &events, stream.resume_token())?,
            Update::Bookmark { .. } => 0,
            Update::Interrupted { cause, retry_in } => {
                let why = errors::client(&cause, None);
                let why = why.lines().next().unwrap_or_default();
                eprintln!("Verbindung unterbrochen, neuer Versuch in {retry_in:.1?}: {why}");
                0
            }
        };
        left = left.map(|left| left.saturating_sub(printed));
    }
    Ok(())
}

/// Prints events; the last one of structured output carries the token that continues after it.
fn print(format: Format, events: &[WatchEvent], token: Option<&Bytes>) -> Result<u64, CliError> {
    if format == Format::Table {
        let text: String = events.iter().map(line).collect();
        output::write(&text)?;
        return Ok(events.len() as u64);
    }
    for (index, event) in events.iter().enumerate() {
        let mut object = Object::default().with("event", json::message("WatchEvent", event)?);
        if let Some(token) = token.filter(|_| index + 1 == events.len()) {
            object = object.with("resume_token", Node::Text(BASE64_STANDARD.encode(token)));
        }
        output::print_streamed(format, &object)?;
    }
    Ok(events.len() as u64)
}

fn line(event: &WatchEvent) -> String {
    let provenance = event.provenance.clone().unwrap_or_default();
    let at = provenance.recorded_at.as_ref().map_or_else(String::new, output::instant);
    let place = output::place(provenance.position.as_ref());
    let kind = Kind::from_wire(event.kind);
    let word = kinds::word(kind);
    let text = if event.erased {
        "gelöscht".to_owned()
    } else {
        kinds::summary(kind, event.record.as_ref())
    };
    let text = format!("{at:20}  {place:12}  {word:12}  {:36}  {text}", event.service_id);
    let text = clean(&text);
    let shown: String = match output::width() {
        Some(width) => text.chars().take(usize::from(width)).collect(),
        None => text,
    };
    format!("{}\n", shown.trim_end())
}
