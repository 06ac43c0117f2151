//! Compares the fields of two versions.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::{
    terms::Ars,
    wire::registry::{Datenaustausch, Onlinedienst, Parameter, ServiceVersion},
};

use super::{Changes, Shown, bounded};

/// Most versions leave most of what is compared as it was, so a list is looked into only if it
/// differs.
pub(super) fn compare(changes: &mut Changes, old: &ServiceVersion, new: &ServiceVersion) {
    if old.parameter != new.parameter {
        parameter(changes, &old.parameter, &new.parameter);
    }
    if old.datenaustausch != new.datenaustausch {
        datenaustausch(changes, &old.datenaustausch, &new.datenaustausch);
    }
    if old.verfuegbarkeitsgebiet != new.verfuegbarkeitsgebiet {
        gebiet(changes, &old.verfuegbarkeitsgebiet, &new.verfuegbarkeitsgebiet);
    }
    if old.gebietsstand != new.gebietsstand {
        let text = before_and_now(&old.gebietsstand, &new.gebietsstand);
        changes.note("gebietsstand", "GEBIETSSTAND_CHANGED", text);
    }
    if old.onlinedienste != new.onlinedienste {
        onlinedienste(changes, &old.onlinedienste, &new.onlinedienste);
    }
    if old.zustellungen != new.zustellungen {
        named(
            changes,
            "zustellungen",
            "ZUSTELLUNG_CHANGED",
            bounded(&old.zustellungen).iter().map(|it| it.destination_id.as_str()),
            bounded(&new.zustellungen).iter().map(|it| it.destination_id.as_str()),
        );
    }
    if old.dvdv_dienste != new.dvdv_dienste {
        named(
            changes,
            "dvdv_dienste",
            "DVDV_DIENST_CHANGED",
            bounded(&old.dvdv_dienste).iter().map(|it| it.dienstbeschreibung_uri.as_str()),
            bounded(&new.dvdv_dienste).iter().map(|it| it.dienstbeschreibung_uri.as_str()),
        );
    }
}

fn parameter(changes: &mut Changes, old: &[Parameter], new: &[Parameter]) {
    let by_name = |all: &'_ [Parameter]| -> BTreeMap<String, Parameter> {
        bounded(all).iter().map(|one| (one.name.clone(), one.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    for (name, before) in &old {
        let path = format!("parameter[{name}]");
        match new.get(name) {
            Some(after) => one_parameter(changes, &path, before, after),
            None => changes.breaking(&path, "PARAMETER_REMOVED", "der Parameter entfällt"),
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let path = format!("parameter[{name}]");
        if after.pflicht {
            let text = "neuer Pflichtparameter; anbindende Behörden müssen ihn setzen";
            changes.breaking(&path, "PARAMETER_REQUIRED_ADDED", text);
        } else {
            changes.compatible(&path, "PARAMETER_ADDED", "neuer Parameter, keine Pflicht");
        }
    }
}

fn one_parameter(changes: &mut Changes, path: &str, old: &Parameter, new: &Parameter) {
    let pflicht = format!("{path}.pflicht");
    match (old.pflicht, new.pflicht) {
        (false, true) => changes.breaking(&pflicht, "PARAMETER_REQUIRED", "wird Pflicht"),
        (true, false) => {
            changes.compatible(&pflicht, "PARAMETER_OPTIONAL", "ist keine Pflicht mehr");
        }
        _ => {}
    }
    if old.datentyp != new.datentyp {
        let text = before_and_now(&old.datentyp, &new.datentyp);
        changes.breaking(&format!("{path}.datentyp"), "PARAMETER_DATENTYP", text);
    }
    if old.wertebereich != new.wertebereich {
        let text = "Wertebereich in Worten geändert; ob er enger ist, ist nicht entscheidbar";
        changes.note(&format!("{path}.wertebereich"), "PARAMETER_WERTEBEREICH", text);
    }
    if old.quelle != new.quelle {
        let text = before_and_now(&old.quelle, &new.quelle);
        changes.note(&format!("{path}.quelle"), "PARAMETER_QUELLE", text);
    }
    if old.standard != new.standard {
        let name = |it| if it { "Standardparameter" } else { "eigener Parameter" };
        let text = format!("bisher {}, jetzt {}", name(old.standard), name(new.standard));
        changes.note(&format!("{path}.standard"), "PARAMETER_STANDARD", text);
    }
}

fn datenaustausch(changes: &mut Changes, old: &[Datenaustausch], new: &[Datenaustausch]) {
    let (old, new) = (standards(old), standards(new));
    for (standard, before) in &old {
        let path = format!("datenaustausch[{standard}]");
        let Some(after) = new.get(standard) else {
            changes.breaking(&path, "STANDARD_REMOVED", "der Standard entfällt");
            continue;
        };
        let majors: BTreeSet<&str> = after.versions.iter().map(|it| major(it)).collect();
        for version in &before.versions {
            let path = format!("{path}.version");
            if after.versions.contains(version) {
                continue;
            }
            let now = after.versions.iter().copied().collect::<Vec<_>>().join(", ");
            let text = before_and_now(version, &now);
            if majors.contains(major(version)) {
                changes.note(&path, "STANDARD_VERSION", text);
            } else {
                changes.breaking(&path, "STANDARD_MAJOR_VERSION", text);
            }
        }
        for transport in before.transports.difference(&after.transports) {
            let text = format!("der Transportweg {} entfällt", Shown(transport));
            changes.breaking(&format!("{path}.transport"), "TRANSPORT_REMOVED", text);
        }
        for transport in after.transports.difference(&before.transports) {
            let text = format!("der Transportweg {} kommt hinzu", Shown(transport));
            changes.compatible(&format!("{path}.transport"), "TRANSPORT_ADDED", text);
        }
    }
    for standard in new.keys().filter(|it| !old.contains_key(*it)) {
        let path = format!("datenaustausch[{standard}]");
        changes.compatible(&path, "STANDARD_ADDED", "der Standard kommt hinzu");
    }
}

/// How a standard is offered.
#[derive(Default)]
struct Offer<'a> {
    versions: BTreeSet<&'a str>,
    transports: BTreeSet<&'a str>,
}

fn standards(all: &[Datenaustausch]) -> BTreeMap<&str, Offer<'_>> {
    let mut found: BTreeMap<&str, Offer<'_>> = BTreeMap::new();
    for one in bounded(all) {
        let offer = found.entry(&one.standard).or_default();
        offer.versions.insert(&one.version);
        offer.transports.insert(&one.transport);
    }
    found
}

/// What stands before the first dot, without a leading "v".
fn major(version: &str) -> &str {
    let number = version.strip_prefix(['v', 'V']).unwrap_or(version);
    number.split_once('.').map_or(number, |(major, _)| major)
}

fn gebiet(changes: &mut Changes, old: &[String], new: &[String]) {
    const FIELD: &str = "verfuegbarkeitsgebiet";
    let parse = |all: &[String]| -> Vec<Ars> {
        bounded(all).iter().filter_map(|it| it.parse().ok()).collect()
    };
    let (before, after) = (parse(old), parse(new));
    for area in before.iter().filter(|area| !after.iter().any(|it| it.covers(area))) {
        let path = format!("{FIELD}[{area}]");
        let text = if after.iter().any(|it| area.covers(it)) {
            "nur noch Teile des Gebiets sind genannt; ob sie zusammen das ganze sind, ist hier \
             nicht entscheidbar"
        } else {
            "das Gebiet entfällt"
        };
        changes.breaking(&path, "GEBIET_REMOVED", text);
    }
    for area in after.iter().filter(|area| !before.iter().any(|it| it.covers(area))) {
        let path = format!("{FIELD}[{area}]");
        changes.compatible(&path, "GEBIET_ADDED", "das Gebiet kommt hinzu");
    }
}

fn onlinedienste(changes: &mut Changes, old: &[Onlinedienst], new: &[Onlinedienst]) {
    let (old, new) = (entry_points(old), entry_points(new));
    for ((id, language), before) in &old {
        let path = format!("onlinedienste[{id}, {language}]");
        let Some(after) = new.get(&(*id, *language)) else {
            changes.breaking(&path, "ONLINEDIENST_REMOVED", "der Onlinedienst entfällt");
            continue;
        };
        if before.link != after.link {
            let text = before_and_now(&before.link, &after.link);
            changes.note(&format!("{path}.link"), "ONLINEDIENST_LINK", text);
        }
        let (was, is) = (before.vertrauensniveau.as_str(), after.vertrauensniveau.as_str());
        let path = format!("{path}.vertrauensniveau");
        match (was.parse::<u32>(), is.parse::<u32>()) {
            _ if was == is => {}
            (Ok(low), Ok(high)) if low > high => {
                changes.compatible(&path, "VERTRAUENSNIVEAU_LOWERED", before_and_now(was, is));
            }
            _ => changes.breaking(&path, "VERTRAUENSNIVEAU_RAISED", before_and_now(was, is)),
        }
    }
    for (id, language) in new.keys().filter(|it| !old.contains_key(*it)) {
        let path = format!("onlinedienste[{id}, {language}]");
        changes.compatible(&path, "ONLINEDIENST_ADDED", "der Onlinedienst kommt hinzu");
    }
}

/// By id, or by link where there is none, and by language.
fn entry_points(all: &[Onlinedienst]) -> BTreeMap<(&str, &str), &Onlinedienst> {
    let name = |it: &'_ Onlinedienst| -> bool { !it.id.is_empty() };
    bounded(all)
        .iter()
        .map(|it| ((if name(it) { &*it.id } else { &*it.link }, &*it.language_code), it))
        .collect()
}

/// Notes what of a list comes and goes.
fn named<'a>(
    changes: &mut Changes,
    field: &str,
    rule: &'static str,
    old: impl Iterator<Item = &'a str>,
    new: impl Iterator<Item = &'a str>,
) {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.collect(), new.collect());
    for id in old.difference(&new) {
        changes.note(&format!("{field}[{id}]"), rule, "entfällt");
    }
    for id in new.difference(&old) {
        changes.note(&format!("{field}[{id}]"), rule, "kommt hinzu");
    }
}

fn before_and_now(old: &str, new: &str) -> String {
    format!("bisher {}, jetzt {}", Shown(old), Shown(new))
}
