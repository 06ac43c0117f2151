//! What changed between two versions, field by field.
//!
//! Both versions become lists of named values; entries of lists are named by what identifies them
//! (a parameter by its name), so an entry that only moved did not change.

use std::collections::{HashMap, HashSet};

use registry_proto::wire::registry::{
    Artefakt, Datenaustausch, DvdvDienst, EfaCheck, Nachnutzung, Onlinedienst, Parameter,
    ServiceVersion, ZustaendigeStelle, Zustellung,
};

use super::words;

/// A value of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// What it is about ("Parameter demo.kassenzeichen").
    subject: String,
    /// Which part of it ("Pflicht"); empty when there is only one.
    part: &'static str,
    value: String,
}

/// Something that is not the same in both versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// What it is about.
    pub(super) subject: String,
    /// Whether the whole of it is new or gone.
    pub(super) kind: ChangeKind,
    /// The values that differ.
    pub(super) parts: Vec<ChangedPart>,
}

/// How something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// It is only in the newer version.
    Came,
    /// It is only in the older version.
    Went,
    /// It is in both.
    Changed,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangedPart {
    /// Which part; empty when there is only one.
    pub(super) name: &'static str,
    /// Missing when it came.
    pub(super) before: Option<String>,
    /// Missing when it went.
    pub(super) after: Option<String>,
}

/// What differs, in the order of the newer version; what went comes last.
pub(super) fn changes(before: &ServiceVersion, after: &ServiceVersion) -> Vec<Change> {
    let (old, new) = (fields(before), fields(after));
    let (old_values, new_values) = (by_name(&old), by_name(&new));
    let (old_subjects, new_subjects) = (subjects(&old), subjects(&new));
    let changed = new.iter().filter_map(|it| {
        let before = old_values.get(&it.name()).copied();
        (before != Some(it.value.as_str())).then_some((it, before, Some(it.value.as_str())))
    });
    let gone = old
        .iter()
        .filter(|it| !new_values.contains_key(&it.name()))
        .map(|it| (it, Some(it.value.as_str()), None));
    let mut changes: Vec<Change> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (field, before, after) in changed.chain(gone) {
        let subject = field.subject.as_str();
        let place = *places.entry(subject).or_insert_with(|| {
            let kind = match (old_subjects.contains(subject), new_subjects.contains(subject)) {
                (false, _) => ChangeKind::Came,
                (true, false) => ChangeKind::Went,
                (true, true) => ChangeKind::Changed,
            };
            changes.push(Change { subject: subject.to_owned(), kind, parts: Vec::new() });
            changes.len() - 1
        });
        let part = ChangedPart {
            name: field.part,
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        if let Some(change) = changes.get_mut(place) {
            change.parts.push(part);
        }
    }
    changes
}

fn by_name(fields: &[Field]) -> HashMap<(&str, &'static str), &str> {
    fields.iter().map(|it| (it.name(), it.value.as_str())).collect()
}

fn subjects(fields: &[Field]) -> HashSet<&str> {
    fields.iter().map(|it| it.subject.as_str()).collect()
}

// === impl Field ===

impl Field {
    fn name(&self) -> (&str, &'static str) {
        (&self.subject, self.part)
    }
}

/// Collects the values of a version; empty ones are none.
#[derive(Default)]
struct Fields(Vec<Field>);

/// A new field of the record does not compile until it is compared here.
fn fields(of: &ServiceVersion) -> Vec<Field> {
    let ServiceVersion {
        service_id: _,
        version: _,
        freigabe_status,
        lifecycle,
        gueltig_ab,
        gueltig_bis,
        abkuendigung_am,
        abschaltung_am,
        fachlich_freigegeben_am,
        fachlich_freigegeben_durch,
        onlinedienste,
        reifegrad,
        verfuegbarkeitsgebiet,
        gebietsstand,
        efa_checks,
        nachnutzung,
        lizenz,
        parameter,
        datenaustausch,
        zustellungen,
        dvdv_dienste,
        zustaendige_stellen,
        versionshinweis: _, // says what changed; it is no part of the offer
        demonstration_fields: _,
        hinweise: _,
        artefakte,
        parameter_schema,
    } = of;
    let mut all = Fields::default();
    all.add("Zustand", "", words::lifecycle(*lifecycle).0);
    all.add("Gültig ab", "", words::day(gueltig_ab));
    all.add("Gültig bis", "", words::day(gueltig_bis));
    all.add("Abkündigung", "", words::day(abkuendigung_am));
    all.add("Abschaltung", "", words::day(abschaltung_am));
    all.add("Freigabestatus", "", words::freigabe(*freigabe_status));
    all.add("Fachliche Freigabe", "am", words::day(fachlich_freigegeben_am));
    all.add("Fachliche Freigabe", "durch", fachlich_freigegeben_durch);
    if let Some(of) = reifegrad {
        all.add("Reifegrad", "", format!("Stufe {} (Modell {})", of.stufe, of.modell));
    }
    let areas: Vec<_> = verfuegbarkeitsgebiet.iter().map(|it| words::area(it)).collect();
    all.add("Gebiet", "", areas.join(", "));
    all.add("Gebietsstand", "", words::day(gebietsstand));
    all.add("Lizenz", "", lizenz);
    all.each(onlinedienste, "Onlinedienst", |it| &it.titel, endpoint);
    all.each(nachnutzung, "Nachnutzung", |it| words::code(&it.modell), terms);
    all.each(datenaustausch, "Datenaustausch", |it| &it.standard, exchange);
    all.each(zustellungen, "Zustellpunkt", |it| &it.destination_id, delivery);
    all.each(dvdv_dienste, "DVDV-Dienst", |it| &it.organisationsschluessel, dvdv);
    all.each(parameter, "Parameter", |it| &it.name, parameter_parts);
    all.add("Parameter", "JSON Schema", parameter_schema);
    all.each(zustaendige_stellen, "Zuständige Stelle", |it| &it.name, body);
    all.each(efa_checks, "EfA-Selbsterklärung", |it| words::code(&it.dimension), check);
    all.each(artefakte, "Artefakt", |it| &it.name, artefact);
    all.0
}

// === impl Fields ===

impl Fields {
    fn add(&mut self, subject: &str, part: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push(Field { subject: subject.to_owned(), part, value });
        }
    }

    /// Adds the parts of each entry of a list under a name that only it has.
    fn each<'t, T>(
        &mut self,
        entries: &'t [T],
        kind: &str,
        name: impl Fn(&'t T) -> &'t str,
        parts: impl Fn(&'t T) -> Vec<(&'static str, String)>,
    ) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for entry in entries {
            let own = name(entry);
            let same = seen.entry(own).or_default();
            *same += 1;
            let subject = match *same {
                1 => format!("{kind} {own}"),
                more => format!("{kind} {own} ({more})"),
            };
            for (part, value) in parts(entry) {
                self.add(subject.trim_end(), part, value);
            }
        }
    }
}

type Parts = Vec<(&'static str, String)>;

fn endpoint(of: &Onlinedienst) -> Parts {
    let Onlinedienst { id, link, linktyp, titel: _, language_code, vertrauensniveau } = of;
    vec![
        ("Adresse", link.clone()),
        ("Vertrauensniveau", vertrauensniveau.clone()),
        ("Sprache", words::code(language_code).to_owned()),
        ("Linktyp", linktyp.clone()),
        ("Kennung", id.clone()),
    ]
}

fn terms(of: &Nachnutzung) -> Parts {
    let Nachnutzung { modell: _, vertrag_url, vertrag_id, kosten_text, kontakt } = of;
    vec![
        ("Vertrag", vertrag_id.clone()),
        ("Adresse des Vertrags", vertrag_url.clone()),
        ("Kosten", kosten_text.clone()),
        ("Kontakt", kontakt.clone()),
    ]
}

fn exchange(of: &Datenaustausch) -> Parts {
    let Datenaustausch { standard: _, version, transport } = of;
    vec![("Version", version.clone()), ("Transport", words::code(transport).to_owned())]
}

fn delivery(of: &Zustellung) -> Parts {
    let Zustellung { destination_id, destination_signature } = of;
    vec![("Kennung", destination_id.clone()), ("Signatur", destination_signature.clone())]
}

fn dvdv(of: &DvdvDienst) -> Parts {
    let DvdvDienst { organisationsschluessel: _, kategorie, dienstbeschreibung_uri } = of;
    vec![("Kategorie", kategorie.clone()), ("Dienstbeschreibung", dienstbeschreibung_uri.clone())]
}

fn parameter_parts(of: &Parameter) -> Parts {
    let Parameter {
        name: _,
        standard,
        quelle,
        datentyp,
        pflicht,
        wertebereich,
        beschreibung,
        seit_version,
    } = of;
    let yes = |it: bool| if it { "ja" } else { "nein" }.to_owned();
    vec![
        ("Pflicht", yes(*pflicht)),
        ("Art", words::code(datentyp).to_owned()),
        ("Werte", wertebereich.clone()),
        ("Bedeutung", beschreibung.clone()),
        ("Standardparameter", yes(*standard)),
        ("Quelle", quelle.clone()),
        ("Seit Version", seit_version.clone()),
    ]
}

fn body(of: &ZustaendigeStelle) -> Parts {
    let ZustaendigeStelle { id, name: _, strasse, plz, ort, gebiet, rolle } = of;
    let area = if gebiet.is_empty() { String::new() } else { words::area(gebiet) };
    vec![
        ("Straße", strasse.clone()),
        ("Ort", format!("{plz} {ort}").trim().to_owned()),
        ("Gebiet", area),
        ("Aufgabe", rolle.clone()),
        ("Kennung", id.clone()),
    ]
}

fn check(of: &EfaCheck) -> Parts {
    let EfaCheck { dimension: _, level, erfuellt, nachweis_url } = of;
    vec![
        ("Erfüllt", erfuellt.clone()),
        ("Stufe", level.clone()),
        ("Nachweis", nachweis_url.clone()),
    ]
}

fn artefact(of: &Artefakt) -> Parts {
    let Artefakt { name: _, typ, medientyp, bytes, sha256, chunks: _ } = of;
    vec![
        ("Art", words::code(typ).to_owned()),
        ("Medientyp", medientyp.clone()),
        ("Größe", words::bytes(*bytes)),
        ("SHA-256", hex::encode(sha256)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, pflicht: bool) -> Parameter {
        Parameter { name: name.to_owned(), pflicht, ..Parameter::default() }
    }

    /// Each change as "subject: part, before, after".
    #[track_caller]
    fn check(
        before: &ServiceVersion,
        after: &ServiceVersion,
        expected: &[(ChangeKind, &str, &str, &str)],
    ) {
        let found = changes(before, after);
        let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
        let mut flat = Vec::new();
        for change in &found {
            for part in &change.parts {
                let label = match part.name {
                    "" => change.subject.clone(),
                    name => format!("{}: {name}", change.subject),
                };
                flat.push((change.kind, label, text(&part.before), text(&part.after)));
            }
        }
        let own = |it: &str| it.to_owned();
        let expected: Vec<_> =
            expected.iter().map(|(kind, a, b, c)| (*kind, own(a), own(b), own(c))).collect();
        assert_eq!(flat, expected);
    }

    #[test]
    fn equal_versions_have_no_changes() {
        let version = ServiceVersion {
            parameter: vec![parameter("a", true)],
            lizenz: "MIT".to_owned(),
            ..ServiceVersion::default()
        };
        check(&version, &version, &[]);
    }

    #[test]
    fn values_that_came_went_or_differ_are_told() {
        let before = ServiceVersion {
            lizenz: "MIT".to_owned(),
            gueltig_bis: "2026-01-31".to_owned(),
            ..ServiceVersion::default()
        };
        let after = ServiceVersion {
            lizenz: "EUPL-1.2".to_owned(),
            gebietsstand: "2025-01-01".to_owned(),
            ..ServiceVersion::default()
        };
        check(
            &before,
            &after,
            &[
                (ChangeKind::Came, "Gebietsstand", "-", "01.01.2025"),
                (ChangeKind::Changed, "Lizenz", "MIT", "EUPL-1.2"),
                (ChangeKind::Went, "Gültig bis", "31.01.2026", "-"),
            ],
        );
    }

    #[test]
    fn entries_are_known_by_their_name_and_not_by_their_place() {
        let before = ServiceVersion {
            parameter: vec![parameter("a", false), parameter("b", false)],
            ..ServiceVersion::default()
        };
        let after = ServiceVersion {
            parameter: vec![parameter("b", false), parameter("a", true)],
            ..ServiceVersion::default()
        };
        check(&before, &after, &[(ChangeKind::Changed, "Parameter a: Pflicht", "nein", "ja")]);
    }

    #[test]
    fn entries_with_the_same_name_are_told_apart() {
        let link = |link: &str| Onlinedienst {
            titel: "Antrag".to_owned(),
            link: link.to_owned(),
            ..Onlinedienst::default()
        };
        let before = ServiceVersion { onlinedienste: vec![link("x")], ..ServiceVersion::default() };
        let after = ServiceVersion {
            onlinedienste: vec![link("x"), link("y")],
            ..ServiceVersion::default()
        };
        check(&before, &after, &[(ChangeKind::Came, "Onlinedienst Antrag (2): Adresse", "-", "y")]);
    }
}
