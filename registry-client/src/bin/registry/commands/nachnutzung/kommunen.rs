//! `registry nachnutzung anschluss`: one Kommune, or a file of them.

use std::{fs, io::Read, path::Path};

use clap::ValueEnum;
use registry_client::{Client, publish::RECORDS_MAX};
use registry_proto::wire::registry::{Anschluss, AnschlussStatus, PublishResponse, record::Record};

use super::{
    super::{kinds, today, write},
    count,
};
use crate::{
    args::{Connect, Format},
    errors::CliError,
    output,
};

/// Bytes of a CSV file.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Kommunen of one call; Germany has some 11,000.
const KOMMUNEN_MAX: usize = 20_000;

/// What is to be said of a Kommune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    ars: String,
    status: AnschlussStatus,
    seit: String,
    version: String,
    hinweis: String,
}

/// The Kommunen that the call names, itself or in its file.
pub(super) fn wanted(args: &Connect) -> Result<Vec<Wanted>, CliError> {
    let status = args.status.map(AnschlussStatus::from);
    let rest = Wanted {
        ars: String::new(),
        status: status.unwrap_or_default(),
        seit: args.seit.clone().unwrap_or_else(today),
        version: args.version.clone().unwrap_or_default(),
        hinweis: args.hinweis.clone().unwrap_or_default(),
    };
    let all = match &args.datei {
        Some(path) => rows(&load(path)?, &rest).map_err(|why| {
            CliError::Usage(format!(
                "{}: {why}.\nNächster Schritt: berichtigen; nichts wurde gesendet. Kopfzeile: \
                 ars;status;seit;version;hinweis",
                path.display()
            ))
        })?,
        None => args.ars.iter().map(|ars| Wanted { ars: ars.clone(), ..rest.clone() }).collect(),
    };
    match all.len() {
        0 => Err(CliError::Usage("die Datei nennt keine Kommune".to_owned())),
        1..=KOMMUNEN_MAX => Ok(all),
        many => Err(CliError::Usage(format!("{many} Kommunen; höchstens {KOMMUNEN_MAX}"))),
    }
}

pub(super) async fn connect(
    client: &Client,
    format: Format,
    args: Connect,
    wanted: Vec<Wanted>,
) -> Result<(), CliError> {
    let writing = &args.writing;
    let key = writing.key();
    let record = |it: &Wanted| {
        Record::Anschluss(Anschluss {
            subscription_id: args.id.clone(),
            ars: it.ars.clone(),
            status: it.status as i32,
            seit: it.seit.clone(),
            version: it.version.clone(),
            hinweis: it.hinweis.clone(),
            ..Anschluss::default()
        })
    };
    let progress = output::progress();
    let mut all = PublishResponse::default();
    for (at, batch) in wanted.chunks(RECORDS_MAX).enumerate() {
        let done = all.records.len();
        progress.set_message(format!("{done} von {} Kommunen", wanted.len()));
        progress.tick();
        let said = batch.iter().map(record).collect();
        let answer = write::moves(client, said, writing, batch_key(&key, at)).await;
        let answer = answer.inspect_err(|_| {
            if done > 0 && !writing.dry_run {
                eprintln!("Die ersten {done} Kommunen sind gespeichert, der Rest nicht.");
            }
        })?;
        all.records.extend(answer.records);
        all.acknowledged_by = answer.acknowledged_by;
    }
    progress.finish_and_clear();
    let table = || {
        output::table(
            ["ARS", "Stand", "Seit", "Eintrag"],
            &[0, 1, 2, 3],
            wanted.iter().zip(&all.records).map(|(it, record)| {
                let place = output::place(record.position.as_ref());
                let status = kinds::anschluss(it.status).to_owned();
                let place = if place.is_empty() { "–".to_owned() } else { place };
                [it.ars.clone(), status, it.seit.clone(), place]
            }),
        )
    };
    output::print(format, || write::object(&all, writing), table)?;
    write::tell(&all, &crate::documents::Sources::default());
    eprintln!("{}; {}", count(wanted.len(), "Kommune", "Kommunen"), write::outcome(&all, writing));
    Ok(())
}

/// Each batch is a request of its own, so it has a key of its own; the same in a repeated call.
fn batch_key(key: &str, at: usize) -> String {
    match at {
        0 => key.to_owned(),
        at => {
            let place = format!("#{at}");
            let kept = registry_client::publish::IDEMPOTENCY_KEY_CHARS_MAX - place.len();
            key.chars().take(kept).chain(place.chars()).collect()
        }
    }
}

fn load(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let file = path.display();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| {
        CliError::Usage(format!(
            "{file} ist nicht lesbar: {error}.\nNächster Schritt: Pfad prüfen, als UTF-8 \
                 speichern"
        ))
    })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CliError::Usage(format!("{file} ist größer als {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// Rows of a CSV file; `rest` stands for what they leave empty.
fn rows(text: &str, rest: &Wanted) -> Result<Vec<Wanted>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().next().unwrap_or_default();
    let delimiter = if head.contains(';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    for name in &names {
        if !COLUMNS.contains(&name) {
            return Err(format!("die Spalte {name:?} gibt es nicht"));
        }
    }
    let mut all = Vec::new();
    for (at, row) in reader.records().enumerate() {
        let row = row.map_err(|error| error.to_string())?;
        let cell = |column: &str| {
            let at = names.iter().position(|name| name == column)?;
            row.get(at).filter(|cell| !cell.is_empty()).map(str::to_owned)
        };
        let line = at + 2;
        let ars = cell("ars").ok_or_else(|| format!("Zeile {line}: ars fehlt"))?;
        let status = match cell("status") {
            Some(text) => crate::args::Stand::from_str(&text, true)
                .map_err(|_| format!("Zeile {line}: {text:?} ist kein Stand"))?
                .into(),
            None => rest.status,
        };
        if status == AnschlussStatus::Unspecified {
            return Err(format!("Zeile {line}: status fehlt, auch als --status"));
        }
        all.push(Wanted {
            ars,
            status,
            seit: cell("seit").unwrap_or_else(|| rest.seit.clone()),
            version: cell("version").unwrap_or_else(|| rest.version.clone()),
            hinweis: cell("hinweis").unwrap_or_default(),
        });
        if all.len() > KOMMUNEN_MAX {
            return Err(format!("mehr als {KOMMUNEN_MAX} Zeilen"));
        }
    }
    Ok(all)
}

const COLUMNS: [&str; 5] = ["ars", "status", "seit", "version", "hinweis"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&[&str], &str>) {
        let rest = Wanted {
            ars: String::new(),
            status: AnschlussStatus::Unspecified,
            seit: "2026-11-23".to_owned(),
            version: "1.0.0".to_owned(),
            hinweis: String::new(),
        };
        let shown = rows(text, &rest).map(|all| {
            let line = |it: Wanted| {
                let status = kinds::anschluss(it.status);
                format!("{} {status} {} {} {}", it.ars, it.seit, it.version, it.hinweis)
            };
            all.into_iter().map(line).collect::<Vec<_>>()
        });
        match (shown, expect) {
            (Ok(shown), Ok(expect)) => assert_eq!(shown, expect),
            (Err(shown), Err(expect)) => assert!(shown.contains(expect), "{shown}"),
            (shown, expect) => panic!("{shown:?}, not {expect:?}"),
        }
    }

    #[test]
    fn files_have_a_head_and_either_delimiter() {
        check(
            "\u{feff}ars;status;seit\n16051;angeschlossen;2026-11-01\n16053;in_test;\n",
            Ok(&["16051 angeschlossen 2026-11-01 1.0.0 ", "16053 im Test 2026-11-23 1.0.0 "]),
        );
        check(
            "ars,status,hinweis,version\n16051,geplant,\"erst, dann\",2.0.0\n",
            Ok(&["16051 geplant 2026-11-23 2.0.0 erst, dann"]),
        );
        check("ars;stand\n", Err("\"stand\" gibt es nicht"));
        check("ars;status\n16051;fertig\n", Err("Zeile 2: \"fertig\" ist kein Stand"));
        check("ars;status\n;geplant\n", Err("Zeile 2: ars fehlt"));
        check("ars\n16051\n", Err("Zeile 2: status fehlt"));
    }

    #[test]
    fn each_batch_has_its_key() {
        assert_eq!(batch_key("a", 0), "a");
        assert_eq!(batch_key("a", 3), "a#3");
        let long = "ä".repeat(64);
        assert_eq!(batch_key(&long, 12).chars().count(), 64);
        assert!(batch_key(&long, 12).ends_with("#12"));
    }
}
