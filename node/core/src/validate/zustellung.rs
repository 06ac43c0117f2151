//! Rules of FIT-Connect delivery points.
//!
//! What the destination signature (a compact JWS) says is read and compared with the record.
//! Whether it holds is asked of the shell, which has the roots and the cryptography
//! ([`DestinationSignatures`](crate::submission::DestinationSignatures)).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use registry_proto::{
    terms::{Ars, Leistungsschluessel},
    wire::registry::{ServiceVersion, Zustellung},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    limits::RECORD_LIST_MAX,
    reject::FieldViolation,
    validate::{
        findings::{Field, Findings, Shown},
        form, record,
    },
};

/// Checks that each delivery point of a version is one for at least one of these keys; the version
/// alone does not say of which Leistung it is.
///
/// Delivery points whose signature cannot be read are passed over: [`version`](super::version())
/// names them.
pub fn zustellungen_for(
    version: &ServiceVersion,
    keys: &[String],
    path: &str,
) -> Vec<FieldViolation> {
    let mut findings = Findings::new(path);
    for (n, one) in version.zustellungen.iter().take(RECORD_LIST_MAX).enumerate() {
        let Some(payload) = payload(&one.destination_signature) else { continue };
        let named = payload.leistungen();
        let fits = named.is_empty() || named.iter().any(|key| keys.iter().any(|own| own == key));
        findings.require(
            fits,
            format_args!("{FIELD}[{n}].destination_signature"),
            "ZUSTELLUNG_LEISTUNG",
            || {
                format!(
                    "die Signatur nennt {}, keiner davon ist ein Leistungsschlüssel dieser \
                     Leistung (FIT-Connect leistungIDs)",
                    Shown(&named.join(", "))
                )
            },
        );
    }
    findings.finish().err().unwrap_or_default()
}

pub(super) fn zustellungen(findings: &mut Findings<'_>, version: &ServiceVersion) {
    let areas: Vec<Ars> =
        version.verfuegbarkeitsgebiet.iter().filter_map(|text| text.parse().ok()).collect();
    let all = findings.list(&version.zustellungen, RECORD_LIST_MAX, FIELD);
    for (n, Zustellung { destination_id, destination_signature }) in all.iter().enumerate() {
        let uuid = destination_id.len() == 36 && Uuid::try_parse(destination_id).is_ok();
        findings.require(
            uuid,
            format_args!("{FIELD}[{n}].destination_id"),
            "ZUSTELLUNG_DESTINATION_ID",
            || format!("{} ist keine UUID (FIT-Connect destinationId)", Shown(destination_id)),
        );
        let field = format_args!("{FIELD}[{n}].destination_signature");
        if form::compact_jws(destination_signature) {
            signature(findings, destination_id, destination_signature, &areas, field);
        } else {
            findings.error(
                field,
                "ZUSTELLUNG_DESTINATION_SIGNATURE",
                "keine Compact-JWS: drei Teile in base64url, durch Punkte getrennt (FIT-Connect \
                 destinationSignature)",
            );
        }
    }
    let ids = all.iter().map(|one| one.destination_id.as_str());
    record::unique(findings, ids, FIELD, ".destination_id", "ZUSTELLUNG_DUPLICATE");
}

fn signature(findings: &mut Findings<'_>, id: &str, jws: &str, areas: &[Ars], field: impl Field) {
    let header = part(jws, 0);
    let algorithm = header.as_ref().and_then(|header| header.get("alg")).and_then(Value::as_str);
    findings.require(algorithm == Some("PS512"), field, "ZUSTELLUNG_ALG", || match algorithm {
        Some(other) => format!("{} ist nicht das Verfahren PS512 (FIT-Connect)", Shown(other)),
        None => {
            "der Kopf der JWS nennt kein Verfahren (alg); erwartet: PS512 (FIT-Connect)".to_owned()
        }
    });
    let Some(payload) = payload(jws) else {
        findings.warning(
            field,
            "ZUSTELLUNG_PAYLOAD",
            "der Inhalt der JWS ist kein JSON-Objekt; Leistungen und Gebiete können nicht geprüft \
             werden (FIT-Connect)",
        );
        return;
    };
    let named = payload.0.get("destinationId").and_then(Value::as_str);
    findings.require(
        named.is_none_or(|named| named.eq_ignore_ascii_case(id)),
        field,
        "ZUSTELLUNG_OTHER",
        || format!("die Signatur gilt für {} (FIT-Connect)", Shown(named.unwrap_or_default())),
    );
    if payload.leistungen().is_empty() {
        findings.warning(
            field,
            "ZUSTELLUNG_LEISTUNG_MISSING",
            "die Signatur nennt keine Leistung (FIT-Connect leistungIDs, \
             urn:de:fim:leika:leistung:99…)",
        );
    }
    let gebiete = payload.values("gebietIDs");
    let known: Vec<Gebiet<'_>> = gebiete.iter().filter_map(|urn| Gebiet::parse(urn)).collect();
    if known.is_empty() {
        findings.warning(
            field,
            "ZUSTELLUNG_GEBIET_MISSING",
            "die Signatur nennt kein Gebiet (FIT-Connect gebietIDs, ARS oder AGS)",
        );
    } else {
        let meets = areas.is_empty()
            || known.iter().any(|gebiet| areas.iter().any(|area| gebiet.meets(area)));
        findings.require(meets, field, "ZUSTELLUNG_GEBIET", || {
            format!(
                "die Signatur nennt {}; das ist kein Teil von verfuegbarkeitsgebiet (FIT-Connect \
                 gebietIDs)",
                Shown(&gebiete.join(", "))
            )
        });
    }
}

/// What a destination signature says.
struct Payload(Value);

/// An area as FIT-Connect names it.
enum Gebiet<'a> {
    Ars(Ars),
    /// 2, 3, 5 or 8 digits.
    Ags(&'a str),
}

// === impl Payload ===

impl Payload {
    /// The keys it is for.
    fn leistungen(&self) -> Vec<&str> {
        let urns = self.values("leistungIDs");
        let keys =
            urns.into_iter().filter_map(|urn| urn.strip_prefix("urn:de:fim:leika:leistung:"));
        keys.filter(|key| key.parse::<Leistungsschluessel>().is_ok()).collect()
    }

    /// Texts of a list, at the top and in each of the services.
    fn values(&self, name: &str) -> Vec<&str> {
        let services = self.0.get("services").and_then(Value::as_array);
        std::iter::once(&self.0)
            .chain(services.into_iter().flatten())
            .filter_map(|part| part.get(name)?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .take(VALUES_MAX)
            .collect()
    }
}

// === impl Gebiet ===

impl<'a> Gebiet<'a> {
    fn parse(urn: &'a str) -> Option<Self> {
        let rest = urn.strip_prefix("urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:")?;
        if let Some(ars) = rest.strip_prefix("rs:") {
            return ars.parse().ok().map(Self::Ars);
        }
        let ags = rest.strip_prefix("ags:")?;
        [2, 3, 5, 8].iter().any(|&n| form::digits(ags, n..=n)).then_some(Self::Ags(ags))
    }

    /// Whether the two have a Gemeinde in common, as far as the digits tell.
    fn meets(&self, area: &Ars) -> bool {
        match self {
            Self::Ars(ars) => ars.covers(area) || area.covers(ars),
            Self::Ags(ags) => {
                let area = area.as_str();
                let (kreis, own) = (area.get(..5).unwrap_or(area), ags.get(..5).unwrap_or(ags));
                let gemeinde = area.get(9..12).zip(ags.get(5..8)).is_none_or(|(a, b)| a == b);
                area == "00" || (gemeinde && (kreis.starts_with(own) || own.starts_with(kreis)))
            }
        }
    }
}

fn payload(jws: &str) -> Option<Payload> {
    part(jws, 1).filter(Value::is_object).map(Payload)
}

fn part(jws: &str, at: usize) -> Option<Value> {
    if !form::compact_jws(jws) {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(jws.split('.').nth(at)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

const FIELD: &str = "zustellungen";
/// Values of a list in a signature that count.
const VALUES_MAX: usize = 1_000;
