//! Rules of areas: their form, and what the Gemeindeverzeichnis knows about them.

use registry_proto::terms::{Ars, Date};

use crate::{
    catalogue::{Gebiet, Gemeindeverzeichnis},
    limits::RECORD_LONG_LIST_MAX,
    validate::{
        dates,
        findings::{Field, Findings, Shown},
        lists::CodeLists,
    },
};

/// What areas are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas<'a> {
    pub(super) lists: &'a CodeLists,
    /// The Gebietsstand that the record names, if it names one.
    pub(super) stand: Option<Date>,
}

/// Checks a Gebietsstand: a day, and one that the Gemeindeverzeichnis reaches.
pub(super) fn stand(
    findings: &mut Findings<'_>,
    value: &str,
    field: &'static str,
    lists: &CodeLists,
) -> Option<Date> {
    let day = dates::required(findings, value, field)?;
    let known = lists.gebiete().known_until();
    if day > known {
        findings.warning(
            field,
            "GEBIETSSTAND_NEWER",
            format!(
                "Gebietsstand {day} ist hier nicht bekannt; Änderungen nach {known} können nicht \
                 geprüft werden ({})",
                source(lists.gebiete())
            ),
        );
    }
    Some(day)
}

// === impl Areas ===

impl Areas<'_> {
    /// Checks a list of areas: at least one, each known, none in another. Gives those that are
    /// areas, with their places.
    pub(super) fn list(
        &self,
        findings: &mut Findings<'_>,
        texts: &[String],
        field: &'static str,
    ) -> Vec<(usize, Ars)> {
        findings.require(!texts.is_empty(), field, "GEBIET_MISSING", || {
            "mindestens ein Gebiet ist nötig (ARS; 00 für das Bundesgebiet)".to_owned()
        });
        let texts = findings.list(texts, RECORD_LONG_LIST_MAX, field);
        self.each(findings, texts, field)
    }

    /// The same of a list whose length is checked already, and that may be empty.
    pub(super) fn each(
        &self,
        findings: &mut Findings<'_>,
        texts: &[String],
        field: impl Field,
    ) -> Vec<(usize, Ars)> {
        let mut areas: Vec<(usize, Ars)> = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            if let Some(area) = self.one(findings, text, format_args!("{field}[{n}]")) {
                areas.push((n, area));
            }
        }
        covered(findings, &mut areas, field);
        areas
    }

    /// Checks one area: its form, and that it exists.
    pub(super) fn one(
        &self,
        findings: &mut Findings<'_>,
        text: &str,
        field: impl Field,
    ) -> Option<Ars> {
        let Ok(ars) = text.parse::<Ars>() else {
            findings.error(
                field,
                "GEBIET_FORM",
                format!(
                    "{} ist kein Gebiet: ARS mit 2, 3, 5, 9 oder 12 Ziffern ab 01 bis 16, oder 00 \
                     (urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:rs)",
                    Shown(text)
                ),
            );
            return None;
        };
        let gebiete = self.lists.gebiete();
        match gebiete.find(&ars) {
            Some(known) => self.time(findings, known, field),
            None => {
                let near = gebiete
                    .nearest(&ars)
                    .map(|near| format!("; am nächsten liegt {} {}", near.ars, near.name))
                    .unwrap_or_default();
                findings.error(
                    field,
                    "GEBIET_UNKNOWN",
                    format!("Gebiet {ars} gibt es nicht{near} ({})", source(gebiete)),
                );
            }
        }
        Some(ars)
    }

    /// Warns about an area that is no more, or not yet.
    fn time(&self, findings: &mut Findings<'_>, area: &Gebiet, field: impl Field) {
        let gebiete = self.lists.gebiete();
        let Gebiet { ars, name, .. } = area;
        if let Some(end) = &area.abgeloest {
            let next: Vec<String> = gebiete
                .successors(ars)
                .iter()
                .map(|next| match gebiete.find(next) {
                    Some(area) => format!("{next} {}", area.name),
                    None => next.to_string(),
                })
                .collect();
            findings.warning(
                field,
                "GEBIET_RETIRED",
                format!(
                    "Gebiet {ars} {name} gibt es ab {} nicht mehr; Nachfolger: {} ({})",
                    end.ab,
                    next.join(", "),
                    source(gebiete)
                ),
            );
        }
        if let (Some(since), Some(stand)) = (area.seit, self.stand)
            && stand < since
        {
            findings.warning(
                field,
                "GEBIET_NOT_YET",
                format!(
                    "Gebiet {ars} {name} gibt es erst ab {since}, genannt ist der Gebietsstand \
                     {stand} ({})",
                    source(gebiete)
                ),
            );
        }
    }
}

/// Reports areas that stand there twice or lie in another of the list.
fn covered(findings: &mut Findings<'_>, areas: &mut [(usize, Ars)], field: impl Field) {
    // sorted by digits, an area stands behind the one it lies in, with only parts of that between
    areas.sort_by(|(n, a), (m, b)| a.as_str().cmp(b.as_str()).then(n.cmp(m)));
    let mut outer: Option<Ars> = None;
    for (n, area) in areas {
        match outer {
            Some(outer) if outer == *area => findings.error(
                format_args!("{field}[{n}]"),
                "GEBIET_DUPLICATE",
                format!("Gebiet {area} kommt mehrfach vor (ARS)"),
            ),
            Some(outer) if outer.covers(area) => findings.error(
                format_args!("{field}[{n}]"),
                "GEBIET_COVERED",
                format!("Gebiet {area} liegt schon im Gebiet {outer} derselben Liste (ARS)"),
            ),
            Some(_) | None => outer = Some(*area),
        }
    }
}

fn source(gebiete: &Gemeindeverzeichnis) -> String {
    format!("Gemeindeverzeichnis, Gebietsstand {}", gebiete.stand())
}
