//! Rules of those who lead and edit a service: co-owners, editors and their deputies.

use std::collections::BTreeSet;

use registry_proto::{
    log::PRINCIPAL_BYTES_MAX,
    terms::Land,
    wire::registry::{Bearbeiter, Mitfederfuehrung},
};

use crate::{
    limits::{CO_OWNERS_MAX, RECORD_LIST_MAX},
    validate::{
        findings::{Findings, Shown},
        record,
    },
};

/// Checks the co-owners of a service that `owner` leads.
pub(super) fn mitfederfuehrung(
    findings: &mut Findings<'_>,
    record: Option<&Mitfederfuehrung>,
    owner: Land,
) {
    const LAENDER: &str = "mitfederfuehrung.laender";
    let Some(Mitfederfuehrung { laender, k }) = record else { return };
    findings.require(!laender.is_empty(), LAENDER, "MITFEDERFUEHRUNG_MISSING", || {
        "mindestens ein Land führt mit; sonst entfällt mitfederfuehrung ganz".to_owned()
    });
    let laender = findings.list(laender, CO_OWNERS_MAX, LAENDER);
    for (n, code) in laender.iter().enumerate() {
        let path = format_args!("{LAENDER}[{n}]");
        if let Some(land) = record::land(findings, code, path) {
            findings.require(land != owner, path, "MITFEDERFUEHRUNG_OWNER", || {
                format!("{land} führt schon; genannt werden nur die anderen Länder")
            });
        }
    }
    let names = laender.iter().map(String::as_str);
    record::unique(findings, names, LAENDER, "", "MITFEDERFUEHRUNG_DUPLICATE");
    let count = laender.iter().collect::<BTreeSet<_>>().len();
    let fits = usize::try_from(*k).is_ok_and(|k| (1..=count.max(1)).contains(&k));
    findings.require(fits, "mitfederfuehrung.k", "MITFEDERFUEHRUNG_K", || {
        format!(
            "{k} Mitzeichnungen sind nicht möglich; erlaubt: 1 bis {count}, die Zahl der Länder"
        )
    });
}

/// Checks who may edit a service.
pub(super) fn bearbeiter(findings: &mut Findings<'_>, all: &[Bearbeiter]) {
    const FIELD: &str = "bearbeiter";
    const LEAD: &str = "verantwortlich";
    let all = findings.list(all, RECORD_LIST_MAX, FIELD);
    for (n, Bearbeiter { principal, rolle }) in all.iter().enumerate() {
        let form = (1..=PRINCIPAL_BYTES_MAX).contains(&principal.len())
            && !principal.contains(|c: char| c.is_control() || c.is_whitespace());
        findings.require(form, format_args!("{FIELD}[{n}].principal"), "BEARBEITER_PRINCIPAL", || {
            format!(
                "{} ist kein Pseudonym: 1 bis {PRINCIPAL_BYTES_MAX} Byte ohne Leerraum, wie das \
                 Log es nennt",
                Shown(principal)
            )
        });
        record::one_of(
            findings,
            rolle,
            &[LEAD, "stellvertretung"],
            format_args!("{FIELD}[{n}].rolle"),
            "BEARBEITER_ROLLE",
            ("keine Rolle", "Regel dieses Registers"),
        );
    }
    let names = all.iter().map(|one| one.principal.as_str());
    record::unique(findings, names, FIELD, ".principal", "BEARBEITER_DUPLICATE");
    let led = all.is_empty() || all.iter().any(|one| one.rolle == LEAD);
    findings.require(led, FIELD, "BEARBEITER_VERANTWORTLICH_MISSING", || {
        "mindestens eine Person ist verantwortlich; Stellvertretungen allein genügen nicht"
            .to_owned()
    });
}
