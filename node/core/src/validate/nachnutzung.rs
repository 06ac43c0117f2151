//! Rules of a Nachnutzung: its moves, and the Kommunen that are connected.

use registry_proto::{
    terms::{Ars, Ebene, Land, Requirement},
    wire::registry::{
        Anschluss, AnschlussStatus, Auftraggeber, SubscriptionMove, SubscriptionState,
    },
};

use super::moves::{finish, reason, subscription_id};
use crate::{
    limits::{NAME_CHARS_MAX, NOTE_CHARS_MAX, RECORD_LIST_MAX, RECORD_LONG_LIST_MAX},
    reject::FieldViolation,
    validate::{
        Validated, dates,
        findings::{Field, Findings, Shown},
        gebiet::Areas,
        lists::CodeLists,
        record, text,
    },
};

/// Checks a move of a Nachnutzung that `acting` makes.
///
/// `path` is the place of the record in the request; every finding begins with it. The caller MUST
/// have given the record its `subscription_id`. Not checked: in which state the Nachnutzung is, whose
/// move it is then, and what earlier moves said of the fields that this one leaves empty.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn subscription_move(
    record: SubscriptionMove,
    path: &str,
    acting: Land,
    lists: &CodeLists,
) -> Result<Validated<SubscriptionMove>, Vec<FieldViolation>> {
    let mut findings = Findings::new(path);
    subscription_id(&mut findings, &record.subscription_id);
    record::service_id(&mut findings, &record.service_id);
    let state = state(&mut findings, record.zustand);
    let subscriber = sides(&mut findings, &record, acting, state);
    let begins = state == Some(SubscriptionState::Interesse);
    requirement(&mut findings, &record.version_requirement, begins);
    gebiete(&mut findings, &record, begins, subscriber, lists);
    terms(&mut findings, &record, state);
    let (needs_reason, name) = match state {
        Some(SubscriptionState::Abgelehnt) => (true, "abgelehnt"),
        Some(SubscriptionState::Beendet) => (true, "beendet"),
        _ => (false, ""),
    };
    reason(&mut findings, &record.grund, needs_reason, name);
    finish(findings, record)
}

/// Checks what `acting` tells of a Kommune that it connects. Not checked: that the Kommune lies in
/// the areas of the Nachnutzung.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn anschluss(
    record: Anschluss,
    path: &str,
    acting: Land,
    lists: &CodeLists,
) -> Result<Validated<Anschluss>, Vec<FieldViolation>> {
    const FIELD: &str = "ars";
    let mut findings = Findings::new(path);
    subscription_id(&mut findings, &record.subscription_id);
    let since = dates::required(&mut findings, &record.seit, "seit");
    let areas = Areas { lists, stand: since };
    if let Some(ars) = areas.one(&mut findings, &record.ars, FIELD) {
        findings.require(ars.ebene() >= Ebene::Kreis, FIELD, "ANSCHLUSS_EBENE", || {
            format!(
                "{ars} ist keine Kommune, sondern {}; angeschlossen werden Kreise, \
                 Gemeindeverbände und Gemeinden mit 5, 9 oder 12 Ziffern (ARS)",
                ars.ebene().label()
            )
        });
        inside(&mut findings, &ars, Some(acting), FIELD);
    }
    let known = AnschlussStatus::try_from(record.status)
        .is_ok_and(|status| status != AnschlussStatus::Unspecified);
    findings.require(known, "status", "ANSCHLUSS_STATUS", || {
        format!(
            "{} ist kein Stand eines Anschlusses; erlaubt: ANSCHLUSS_STATUS_GEPLANT, \
             ANSCHLUSS_STATUS_IN_TEST, ANSCHLUSS_STATUS_ANGESCHLOSSEN, ANSCHLUSS_STATUS_GETRENNT",
            record.status
        )
    });
    if !record.version.is_empty() {
        record::semver(&mut findings, &record.version, "version");
    }
    text::optional(&mut findings, &record.hinweis, NOTE_CHARS_MAX, "hinweis");
    finish(findings, record)
}

fn state(findings: &mut Findings<'_>, value: i32) -> Option<SubscriptionState> {
    let state = SubscriptionState::try_from(value)
        .ok()
        .filter(|state| *state != SubscriptionState::Unspecified);
    findings.require(state.is_some(), "zustand", "ZUSTAND_UNKNOWN", || {
        format!(
            "{value} ist kein Zustand einer Nachnutzung; erlaubt: interesse, abstimmung, zugesagt, \
             abgelehnt, vertrag, produktiv, beendet (FIT-Store)"
        )
    });
    state
}

/// Checks both Länder, and that interest is that of the acting one; gives the subscriber. Whose the
/// other moves are is judged with the catalogue, which knows the owner of today and what else is
/// possible.
fn sides(
    findings: &mut Findings<'_>,
    record: &SubscriptionMove,
    acting: Land,
    state: Option<SubscriptionState>,
) -> Option<Land> {
    const PUBLISHER: &str = "publisher_land";
    const SUBSCRIBER: &str = "subscriber_land";
    let publisher = record::land(findings, &record.publisher_land, PUBLISHER);
    let subscriber = record::land(findings, &record.subscriber_land, SUBSCRIBER);
    let (Some(publisher), Some(subscriber)) = (publisher, subscriber) else { return subscriber };
    findings.require(publisher != subscriber, SUBSCRIBER, "LAENDER_EQUAL", || {
        format!(
            "{subscriber} bietet die Leistung selbst an; nachgenutzt wird die Leistung eines \
             anderen Landes (EfA)"
        )
    });
    let begins = state == Some(SubscriptionState::Interesse);
    findings.require(!begins || subscriber == acting, SUBSCRIBER, "LAND_FOREIGN", || {
        format!(
            "{subscriber} ist nicht das Land dieses Knotens ({acting}); interesse bekundet, wer \
             nachnutzt (FIT-Store)"
        )
    });
    Some(subscriber)
}

fn requirement(findings: &mut Findings<'_>, text: &str, required: bool) {
    if text.is_empty() && !required {
        return;
    }
    findings.require(
        text.parse::<Requirement>().is_ok(),
        "version_requirement",
        "VERSION_REQUIREMENT_FORM",
        || {
            format!(
                "{} ist keine Anforderung an Versionen: 1.4.2 genau, ^1 oder ^1.4 verträglich, * \
                 alle (SemVer 2.0)",
                Shown(text)
            )
        },
    );
}

fn gebiete(
    findings: &mut Findings<'_>,
    record: &SubscriptionMove,
    required: bool,
    subscriber: Option<Land>,
    lists: &CodeLists,
) {
    const FIELD: &str = "gebiete";
    let areas = Areas { lists, stand: None };
    let outer = if required || !record.gebiete.is_empty() {
        areas.list(findings, &record.gebiete, FIELD)
    } else {
        Vec::new()
    };
    for (n, ars) in &outer {
        inside(findings, ars, subscriber, format_args!("{FIELD}[{n}]"));
    }
    const FOR: &str = "auftraggeber";
    let all = findings.list(&record.auftraggeber, RECORD_LIST_MAX, FOR);
    let mut left = RECORD_LONG_LIST_MAX;
    for (n, Auftraggeber { name, gebiete }) in all.iter().enumerate() {
        record::name(findings, name, format_args!("{FOR}[{n}].name"));
        let field = format!("{FOR}[{n}].gebiete");
        findings.require(!gebiete.is_empty(), &field, "GEBIET_MISSING", || {
            "mindestens ein Gebiet ist nötig: die der Mitglieder (ARS)".to_owned()
        });
        let fits = gebiete.len() <= left;
        findings.require(fits, &field, "LIST_TOO_LONG", || {
            format!("alle Auftraggeber zusammen haben höchstens {RECORD_LONG_LIST_MAX} Gebiete")
        });
        let gebiete = if fits { gebiete.as_slice() } else { &[] };
        left -= gebiete.len();
        for (n, ars) in areas.each(findings, gebiete, &field) {
            let field = format_args!("{field}[{n}]");
            inside(findings, &ars, subscriber, field);
            let covered = outer.is_empty() || outer.iter().any(|(_, outer)| outer.covers(&ars));
            findings.require(covered, field, "AUFTRAGGEBER_GEBIET", || {
                format!("{ars} liegt in keinem Gebiet der Nachnutzung, siehe {FIELD}")
            });
        }
    }
    let names = all.iter().map(|one| one.name.as_str());
    record::unique(findings, names, FOR, ".name", "AUFTRAGGEBER_DUPLICATE");
}

/// Checks that an area lies in the Land that acts for it; the Bund acts for all.
fn inside(findings: &mut Findings<'_>, ars: &Ars, land: Option<Land>, field: impl Field) {
    let Some(land) = land else { return };
    findings.require(Ars::from(land).covers(ars), field, "GEBIET_FOREIGN", || {
        format!(
            "{ars} liegt nicht in {}, dessen Gebiete mit {} beginnen (ARS)",
            land.name(),
            land.ars()
        )
    });
}

fn terms(findings: &mut Findings<'_>, record: &SubscriptionMove, state: Option<SubscriptionState>) {
    const CONTRACT: &str = "vertrag_id";
    if !record.modell.is_empty() {
        record::one_of(
            findings,
            &record.modell,
            &record::MODELLE,
            "modell",
            "NACHNUTZUNG_MODELL",
            ("kein Modell der Nachnutzung", "EfA R1"),
        );
    }
    if state == Some(SubscriptionState::Vertrag) && record.vertrag_id.trim().is_empty() {
        findings.error(
            CONTRACT,
            "NACHNUTZUNG_VERTRAG_MISSING",
            "Kennung des Vertrags fehlt (Pflichtfeld ab vertrag, EfA R1)",
        );
    } else {
        text::optional(findings, &record.vertrag_id, NAME_CHARS_MAX, CONTRACT);
    }
    text::optional_url(findings, &record.vertrag_url, "vertrag_url");
    text::optional(findings, &record.kosten_text, NOTE_CHARS_MAX, "kosten_text");
    text::optional(findings, &record.kontakt, NAME_CHARS_MAX, "kontakt");
}
