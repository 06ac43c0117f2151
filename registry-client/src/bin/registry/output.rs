//! What goes to standard output, and notices for people on standard error.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget};
use prost_types::Timestamp;
use registry_proto::wire::registry::{AsOf, LogPosition, ReplicationState};
use time::{OffsetDateTime, macros::format_description};

use crate::{args::Format, errors::CliError, json::Object};

/// Prints one document in `format`; `json` and `yaml` from `object`, `table` from `table`.
pub(crate) fn print(
    format: Format,
    object: impl FnOnce() -> Result<Object, CliError>,
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    let text = match format {
        Format::Table | Format::Csv => table(),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(&object()?).map_err(internal)?;
            text.push('\n');
            text
        }
        Format::Yaml => serde_norway::to_string(&object()?).map_err(internal)?,
    };
    write(&text)
}

/// Prints one line (`json`) or document (`yaml`) of a stream.
pub(crate) fn print_streamed(format: Format, object: &Object) -> Result<(), CliError> {
    let text = match format {
        Format::Yaml => format!("---\n{}", serde_norway::to_string(object).map_err(internal)?),
        Format::Json | Format::Table | Format::Csv => {
            format!("{}\n", serde_json::to_string(object).map_err(internal)?)
        }
    };
    write(&text)
}

/// Writes to standard output at once.
pub(crate) fn write(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

fn internal(error: impl std::error::Error) -> CliError {
    CliError::Internal(format!("Ausgabe: {error}"))
}

/// A table without frame. On a terminal it fits the width; elsewhere each row is one line.
/// Columns in `whole` are never broken.
pub(crate) fn table<const N: usize>(
    heads: [&str; N],
    whole: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = empty(heads.map(str::to_owned).to_vec());
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    finished(table, whole)
}

/// A table of any number of columns; the first row is its head.
pub(crate) fn grid(rows: &[Vec<String>]) -> String {
    let Some((head, rows)) = rows.split_first() else { return String::new() };
    let mut table = empty(head.clone());
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    finished(table, &[0, 1])
}

fn empty(heads: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads);
    match width() {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table
}

fn finished(mut table: Table, whole: &[usize]) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if whole.contains(&column.index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    lines(&table.to_string())
}

/// Label and value, one pair a line; empty values are left out.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let longest = pairs.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let gap = longest + 2 - label.chars().count();
        text.push_str(&format!("{label}{:gap$}{}\n", "", clean(value)));
    }
    text
}

/// The lines without blanks at their end.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Width of the terminal, if standard output is one.
pub(crate) fn width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.max(40))
}

/// Text of others without what a terminal would act on.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Tells people on standard error which logs an answer does not show at their newest.
pub(crate) fn notice_age(as_of: &[AsOf]) {
    for log in as_of {
        let state = log.state();
        // of an epoch that ended the next one tells, once it is here
        let went_on = as_of.iter().any(|it| it.land == log.land && it.epoch > log.epoch);
        let is_over = state == ReplicationState::Ended && went_on;
        let is_fine = matches!(state, ReplicationState::Live | ReplicationState::Unspecified);
        if !is_fine && !is_over {
            let since =
                log.fresh_at.as_ref().map(|at| format!(", zuletzt bestätigt {}", instant(at)));
            let epoch = match state {
                ReplicationState::Ended => format!("/{}", log.epoch),
                _ => String::new(),
            };
            eprintln!(
                "Hinweis: {}{epoch} ist {}{}",
                clean(&log.land),
                replication_state(state),
                since.unwrap_or_default()
            );
        }
        if let Some(end) = log.ends_at {
            eprintln!(
                "Hinweis: von {} gilt, was vor Eintrag {end} steht; Neues kommt nicht hinzu",
                clean(&log.land)
            );
        }
        if let Some(from) = log.disputed_from {
            eprintln!(
                "Hinweis: {} hat zwei Fassungen seines Protokolls signiert; Einträge ab {}/{}/{from} \
                 sind strittig",
                clean(&log.land),
                clean(&log.land),
                log.epoch
            );
        }
    }
}

/// A Land in a table, with a mark if the charter has suspended or removed it.
pub(crate) fn land_of(land: &str, as_of: &[AsOf]) -> String {
    let log = as_of.iter().find(|it| it.land == land);
    match log.map(AsOf::state) {
        Some(ReplicationState::Suspended) => format!("{land} (ruht)"),
        Some(ReplicationState::Removed) => format!("{land} (ausgeschieden)"),
        _ => land.to_owned(),
    }
}

/// German word for a state.
pub(crate) fn replication_state(state: ReplicationState) -> &'static str {
    match state {
        ReplicationState::Unspecified => "unbekannt",
        ReplicationState::Bootstrapping => "noch leer",
        ReplicationState::CatchingUp => "im Aufholen",
        ReplicationState::Live => "aktuell",
        ReplicationState::Stale => "veraltet",
        ReplicationState::Quarantined => "gesperrt (Protokoll gebrochen)",
        ReplicationState::Suspended => "ruhend (Mitgliedschaft ausgesetzt)",
        ReplicationState::Removed => "ausgeschieden",
        ReplicationState::Ended => "beendet",
        ReplicationState::Slowed => "gebremst (Mengengrenze)",
    }
}

/// A time as people read it, UTC to the second.
pub(crate) fn instant(at: &Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(at.seconds)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| "Zeit nicht darstellbar".to_owned())
}

/// `SL/1/17`.
pub(crate) fn place(position: Option<&LogPosition>) -> String {
    position.map_or_else(String::new, |p| format!("{}/{}/{}", p.land, p.epoch, p.index))
}

/// Progress on standard error; silent if that is no terminal.
pub(crate) fn progress() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(indicatif::ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let text = table(
            ["Land", "Name"],
            &[],
            [["SL".to_owned(), "Gewerbe".to_owned()], ["BUND".to_owned(), "Pass".to_owned()]],
        );
        assert_eq!(text, "Land  Name\nSL    Gewerbe\nBUND  Pass\n");
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
