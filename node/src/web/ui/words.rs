//! German words for codes, states, times and numbers.

use maud::{Markup, html};
use prost_types::Timestamp;
use registry_proto::{
    terms::{Date, Land, Leistungsadressat, Themenfeld, Typisierung},
    wire::registry::{Lifecycle, ReplicationState},
};
use time::{Month, OffsetDateTime, Weekday};

use super::parts::Tone;

/// A word and how it is meant.
pub(super) type Word = (&'static str, Tone);

/// Name of a Land; the code itself if there is no such Land.
pub(super) fn land(code: &str) -> &str {
    code.parse::<Land>().map_or(code, |it| it.name())
}

/// Name of a Themenfeld.
pub(super) fn themenfeld(code: &str) -> &str {
    code.parse::<Themenfeld>().map_or(code, |it| it.label())
}

/// A Typisierung with its code.
pub(super) fn typisierung(code: &str) -> String {
    match code.parse::<Typisierung>() {
        Ok(known) => format!("{code}: {}", known.label()),
        Err(_) => code.to_owned(),
    }
}

/// Whom a Leistung is for.
pub(super) fn adressat(code: &str) -> &str {
    code.parse::<Leistungsadressat>().map_or(code, |it| it.label())
}

/// An area by its ARS: the name of a Land where it is one, else the number.
pub(super) fn area(ars: &str) -> String {
    let land = Land::ALL.into_iter().find(|it| it.ars() == ars);
    match land {
        Some(Land::BUND) => "Deutschland".to_owned(),
        Some(land) => land.name().to_owned(),
        None => format!("ARS {ars}"),
    }
}

/// State of a version.
pub(super) fn lifecycle(code: i32) -> Word {
    match Lifecycle::try_from(code) {
        Ok(Lifecycle::Entwurf) => ("Entwurf", Tone::Info),
        Ok(Lifecycle::Freigegeben) => ("freigegeben", Tone::Success),
        Ok(Lifecycle::Abgekuendigt) => ("abgekündigt", Tone::Warning),
        Ok(Lifecycle::Abgeschaltet) => ("abgeschaltet", Tone::Danger),
        Ok(Lifecycle::Zurueckgezogen) => ("zurückgezogen", Tone::Danger),
        Ok(Lifecycle::Unspecified) | Err(_) => ("unbekannt", Tone::Info),
    }
}

/// State of a service in a search.
pub(super) fn status(code: &str) -> &str {
    match code {
        "entwurf" => "Entwurf",
        "freigegeben" => "freigegeben",
        "abgekuendigt" => "abgekündigt",
        "abgeschaltet" => "abgeschaltet",
        "zurueckgezogen" => "zurückgezogen",
        "ohne_version" => "noch keine Version",
        "unbekannt" => "unbekannt",
        other => other,
    }
}

/// State of a log.
pub(super) fn replication(code: i32) -> Word {
    match ReplicationState::try_from(code) {
        Ok(ReplicationState::Live) => ("aktuell", Tone::Success),
        Ok(ReplicationState::CatchingUp) => ("holt auf", Tone::Info),
        Ok(ReplicationState::Bootstrapping) => ("noch nichts geprüft", Tone::Info),
        Ok(ReplicationState::Stale) => ("überfällig", Tone::Warning),
        Ok(ReplicationState::Quarantined) => ("gesperrt nach Regelverstoß", Tone::Danger),
        Ok(ReplicationState::Suspended) => ("Mitgliedschaft ruht", Tone::Warning),
        Ok(ReplicationState::Removed) => ("ausgeschieden", Tone::Warning),
        Ok(ReplicationState::Ended) => ("beendet", Tone::Info),
        Ok(ReplicationState::Slowed) => ("gebremst (Mengengrenze)", Tone::Warning),
        Ok(ReplicationState::Unspecified) | Err(_) => ("unbekannt", Tone::Info),
    }
}

/// FIM status of a release.
pub(super) fn freigabe(status: u32) -> String {
    match status {
        5 => "5, fachlich freigegeben (silber)".to_owned(),
        6 => "6, fachlich freigegeben (gold)".to_owned(),
        other => other.to_string(),
    }
}

/// What a code of the record means; the code itself if it is not in its list.
pub(super) fn code(code: &str) -> &str {
    match code {
        "verwaltungsabkommen" => "Verwaltungsabkommen",
        "fit_store" => "FIT-Store",
        "efa_marktplatz" => "EfA-Marktplatz",
        "kommunalvertreter" => "Kommunalvertreter",
        "fit_connect" => "FIT-Connect",
        "osci_xta" => "OSCI/XTA",
        "andere" => "andere",
        "oberflaechengestaltung" => "Oberflächengestaltung",
        "fachlogik" => "Fachlogik",
        "nutzerkonto" => "Nutzerkonto",
        "payment" => "Bezahlung",
        "datenaustauschstandard" => "Datenaustauschstandard",
        "routing_transport" => "Routing und Transport",
        "rechtliche_nachnutzung" => "Rechtliche Nachnutzung",
        "organisation" => "Organisation",
        "awml" => "AWML",
        "xdatenfelder" => "XDatenfelder",
        "bpmn" => "BPMN",
        "openapi" => "OpenAPI",
        "json_schema" => "JSON Schema",
        "pdf" => "PDF",
        "bild" => "Bild",
        "de" => "Deutsch",
        "en" => "Englisch",
        "text" => "Text",
        "zahl" => "Zahl",
        "bool" => "Ja/Nein",
        "datum" => "Datum",
        "url" => "Adresse",
        "code" => "Code",
        "objekt" => "Objekt",
        "ABL" => "Ablauf",
        "ERS" => "Ersatz",
        "EQU" => "Gleich",
        "VKN" => "Verknüpft",
        "verantwortlich" => "verantwortlich",
        "stellvertretung" => "Stellvertretung",
        other => other,
    }
}

/// Name of a field of a record.
pub(super) fn field(name: &str) -> &str {
    match name {
        "land" => "Land",
        "leistungsschluessel" => "Leistungsschlüssel",
        "typisierung" => "Typisierung",
        "leistungsadressaten" => "Adressaten",
        "herausgeber" => "Herausgeber",
        "handlungsgrundlagen" => "Rechtsgrundlagen",
        "kurztext" => "Kurztext",
        "themenfeld" => "Themenfeld",
        "version" => "Versionsnummer",
        "freigabe_status" => "Freigabestatus",
        "lifecycle" => "Zustand",
        "gueltig_ab" => "Gültig ab",
        "gueltig_bis" => "Gültig bis",
        "fachlich_freigegeben_am" => "Tag der fachlichen Freigabe",
        "fachlich_freigegeben_durch" => "Freigebende Stelle",
        "onlinedienste" => "Onlinedienste",
        "reifegrad" => "Reifegrad",
        "verfuegbarkeitsgebiet" => "Verfügbarkeitsgebiet",
        "gebietsstand" => "Gebietsstand",
        "efa_checks" => "EfA-Selbsterklärung",
        "nachnutzung" => "Nachnutzung",
        "lizenz" => "Lizenz",
        "parameter" => "Parameter",
        "datenaustausch" => "Datenaustausch",
        "zustaendige_stellen" => "Zuständige Stellen",
        "versionshinweis" => "Versionshinweis",
        other => other,
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `none`, "1 `one`" or "n `many`".
pub(super) fn count(number_of: u64, one: &str, many: &str) -> String {
    match number_of {
        1 => format!("1 {one}"),
        n => format!("{} {many}", number(n)),
    }
}

/// Bytes as one reads them.
pub(super) fn bytes(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in STEPS {
        if bytes >= unit {
            let tenths = bytes.saturating_mul(10) / unit;
            return format!("{},{} {name}", number(tenths / 10), tenths % 10);
        }
    }
    count(bytes, "Byte", "Byte")
}

/// A day of a record ("2026-01-31") as "31.01.2026"; the text itself if it is none.
pub(super) fn day(text: &str) -> String {
    match text.parse::<Date>() {
        Ok(date) => show_day(date.to_time()),
        Err(_) => text.to_owned(),
    }
}

/// A moment in German legal time.
pub(super) fn moment(at: &Timestamp) -> Markup {
    match OffsetDateTime::from_unix_timestamp(at.seconds) {
        Ok(utc) => {
            let (local, zone) = german(utc);
            let machine = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                utc.year(),
                u8::from(utc.month()),
                utc.day(),
                utc.hour(),
                utc.minute(),
                utc.second()
            );
            let day = show_day(local.date());
            html! {
                time datetime=(machine) {
                    (day) ", " (format!("{:02}:{:02}", local.hour(), local.minute())) " Uhr (" (zone) ")"
                }
            }
        }
        Err(_) => html! { "unbekannt" },
    }
}

/// The day of a moment given in seconds since 1970-01-01 UTC.
pub(super) fn day_of(unix_seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(unix_seconds) {
        Ok(utc) => show_day(german(utc).0.date()),
        Err(_) => "unbekannt".to_owned(),
    }
}

/// How long ago, or in how long.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match seconds {
        0..=119 => count(seconds, "Sekunde", "Sekunden"),
        120..=7_199 => count(seconds / 60, "Minute", "Minuten"),
        7_200..=172_799 => count(seconds / 3_600, "Stunde", "Stunden"),
        _ => count(seconds / 86_400, "Tag", "Tagen"),
    }
}

fn show_day(day: time::Date) -> String {
    format!("{:02}.{:02}.{:04}", day.day(), u8::from(day.month()), day.year())
}

/// German legal time: an hour ahead of UTC, two from the last Sunday of March to that of October,
/// changing at 01:00 UTC.
fn german(utc: OffsetDateTime) -> (OffsetDateTime, &'static str) {
    let change = |month| last_sunday(utc.year(), month).map(|day| day.with_hms(1, 0, 0));
    let now = time::PrimitiveDateTime::new(utc.date(), utc.time());
    let summer = match (change(Month::March), change(Month::October)) {
        (Some(Ok(begin)), Some(Ok(end))) => begin <= now && now < end,
        _ => false,
    };
    let (hours, zone) = if summer { (2, "MESZ") } else { (1, "MEZ") };
    (utc.checked_add(time::Duration::hours(hours)).unwrap_or(utc), zone)
}

fn last_sunday(year: i32, month: Month) -> Option<time::Date> {
    let mut day = time::Date::from_calendar_date(year, month, 31).ok()?;
    while day.weekday() != Weekday::Sunday {
        day = day.previous_day()?;
    }
    Some(day)
}

/// Why nothing is published, of what the core says about it.
pub(super) fn fence(text: &str) -> Option<&'static str> {
    [
        (
            "waiting because somebody else",
            "mit den Schlüsseln des Landes scheint noch jemand zu signieren. Läuft eine Kopie des \
             Knotens, ist sie anzuhalten.",
        ),
        (
            "waiting for proof",
            "ein Partner zeigt einen Stand des eigenen Protokolls, der den letzten Einträgen hier \
             widerspricht. Veröffentlicht wird erst, wenn ein Partner, der ihn hat, ihn belegt.",
        ),
        ("waiting", "noch haben zu wenige andere Länder das eigene Protokoll bestätigt."),
        ("our own log lacks", "eigene Einträge fehlen und werden von den Partnern zurückgeholt."),
        (
            "stopped: the charter suspended",
            "die Mitgliedschaft des Landes ruht nach der Charta. Was es jetzt schriebe, zählte nicht, \
             bis die anderen Länder es wieder zulassen.",
        ),
        (
            "stopped: another copy",
            "eine Kopie dieses Knotens signiert mit denselben Schlüsseln. Alle Kopien bis auf eine \
             anhalten, dann diese neu starten.",
        ),
        (
            "stopped: the end of our own log",
            "am Ende des eigenen Protokolls stehen Einträge, ohne die es anderswo weiterging. Der Knoten \
             legt sie beiseite und beginnt gleich neu.",
        ),
        (
            "stopped: our own log",
            "das eigene Protokoll hat zwei Fassungen. Alle Kopien anhalten und die Daten jeder \
             Kopie aufheben.",
        ),
    ]
    .into_iter()
    .find(|(begin, _)| text.starts_with(begin))
    .map(|(_, german)| german)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_as_in_german() {
        let numbers = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1.000", "1.234.567"]);
        let sizes = [1, 1_023, 1_536, 2 << 30].map(bytes);
        assert_eq!(sizes, ["1 Byte", "1.023 Byte", "1,5 KiB", "2,0 GiB"]);
        assert_eq!(count(1, "Treffer", "Treffer"), "1 Treffer");
    }

    #[test]
    fn moments_are_in_german_legal_time() {
        let shown = |seconds| moment(&Timestamp { seconds, nanos: 0 }).into_string();
        assert!(shown(1_764_000_000).contains("24.11.2025, 17:00 Uhr (MEZ)"));
        // the last second of winter time and the first of summer time
        assert!(shown(1_774_745_999).contains("29.03.2026, 01:59 Uhr (MEZ)"));
        assert!(shown(1_774_746_000).contains("29.03.2026, 03:00 Uhr (MESZ)"));
        assert!(shown(i64::MAX).contains("unbekannt"));
        assert_eq!(day_of(i64::MIN), "unbekannt");
    }

    #[test]
    fn days_that_are_none_stay_as_they_are() {
        assert_eq!(day("2026-01-31"), "31.01.2026");
        assert_eq!(day("bald"), "bald");
    }

    #[test]
    fn unknown_codes_stay_as_they_are() {
        assert_eq!((land("XX"), themenfeld("neu"), code("neu")), ("XX", "neu", "neu"));
        assert_eq!(area("10"), "Saarland");
        assert_eq!(area("10041"), "ARS 10041");
        assert_eq!(lifecycle(99).0, "unbekannt");
    }

    #[test]
    fn spans_grow_coarser() {
        let shown = [1, 119, 120, 7_200, 172_800].map(span);
        assert_eq!(shown, ["1 Sekunde", "119 Sekunden", "2 Minuten", "2 Stunden", "2 Tagen"]);
    }
}
