//! `registry-node policy`: what the rules of a node say about a certificate, from its files alone.

use std::path::PathBuf;

use clap::Subcommand;
use registry_core::authorize::{
    self, Action, Certificate, Considered, Effect, Mismatch, Principal, Rule, Target, Verdict,
};
use registry_proto::terms::{Land, Themenfeld};
use rustls::{CertificateError, pki_types::UnixTime};
use uuid::Uuid;

use crate::{
    config::{ConfigError, Ruled, words},
    tls::{self, MaterialError, Presented, Profile, Trust, read_certificates},
};

/// Was mit den Regeln zu tun ist.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Erklärt, ob der Inhaber eines Zertifikats etwas darf, und durch welche Regel
    Check(CheckArgs),
}

/// Argumente von `policy check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Liest nur Dateien: der Knoten muss nicht laufen. Die Richtlinie wird gelesen, \
                  wie sie jetzt dasteht, auch wenn der Knoten sie noch nicht übernommen hat. Von der \
                  Konfiguration zählen nur land, charter, data_dir, tls.client_anchors, tls.crls, \
                  tls.crl_required, clients und policy.\n\n\
                  Tätigkeiten:\n  \
                  read         lesen\n  \
                  publish      Steckbriefe und Versionen veröffentlichen\n  \
                  retire       Versionen abkündigen, abschalten, zurückziehen\n  \
                  reuse        Nachnutzung: Vertrag, Kommunen, Bestätigungen\n  \
                  countersign  mitzeichnen\n  \
                  handover     Dienste übergeben und übernehmen\n  \
                  draft        Entwürfe anlegen, sehen, löschen\n  \
                  confirm      freigeben, was andere einreichen (vier Augen)\n  \
                  operate      den Knoten betreiben (Admin-Dienst)\n  \
                  replicate    als Partner replizieren\n\n\
                  Ein Verbot geht jeder Erlaubnis vor; ohne Erlaubnis ist alles verboten. Was \
                  nicht angegeben wird (--themenfeld, --service), gilt als unbekannt: eine Erlaubnis, \
                  die darauf begrenzt ist, zählt dann nicht, ein Verbot zählt.\n\n\
                  Beispiel:\n  \
                  registry-node policy check --as bauamt.pem --do publish \
                  --themenfeld bauen_wohnen\n\n\
                  Endcodes: 0 erlaubt, 3 abgelehnt, 1 Fehler"
)]
pub struct CheckArgs {
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Zertifikat, dahinter die Zwischenzertifikate; PEM
    #[arg(long = "as", value_name = "CERT.pem")]
    pub certificate: PathBuf,
    /// Tätigkeit
    #[arg(long = "do", value_name = "TÄTIGKEIT", value_parser = action)]
    pub action: Action,
    /// Land, dem der Dienst gehört, oder Land des Partners [Vorgabe: das des Knotens oder Partners]
    #[arg(long)]
    pub land: Option<Land>,
    /// Themenfeld des Dienstes
    #[arg(long)]
    pub themenfeld: Option<Themenfeld>,
    /// Dienst
    #[arg(long, value_name = "UUID")]
    pub service: Option<Uuid>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum PolicyCheckError {
    /// The configuration or the policy file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Files cannot be read.
    #[error("die Dateien sind nicht verwendbar")]
    Material(#[from] MaterialError),
    /// No certificate.
    #[error("das Zertifikat ist nicht lesbar")]
    Certificate(#[source] rustls::Error),
}

/// The explanation, and whether it is allowed.
#[derive(Debug)]
pub struct Explained {
    /// In German, several lines.
    pub text: String,
    /// The verdict.
    pub allowed: bool,
}

/// Explains a verdict.
///
/// # Errors
///
/// See [`PolicyCheckError`].
pub fn check(args: &CheckArgs) -> Result<Explained, PolicyCheckError> {
    let Ruled { land: own, members, client_anchors, crls, left_out, rules } =
        Ruled::load(&args.config)?;
    let rules = rules.read().map_err(MaterialError::from)?;
    let provider = Profile::BSI.provider();
    let trust = Trust::new(members, client_anchors, rules, &crls, provider)?;
    let chain = read_certificates(&args.certificate)?;
    let now = UnixTime::now();
    let Presented { certificate, rules, connects } =
        trust.explain(&chain, now).map_err(PolicyCheckError::Certificate)?;
    let partner = certificate.peer.as_ref().map(|it| it.land);
    let land = match args.action {
        Action::Read | Action::Operate => None,
        Action::Replicate => args.land.or(partner),
        _ => args.land.or(Some(own)),
    };
    let target = Target { land, themenfeld: args.themenfeld, service: args.service };
    let connects = connects.map_err(|error| refused_handshake(&error));
    let mut explained = explain(&certificate, rules, connects, args.action, &target);
    for reason in left_out {
        explained.text += &format!("\nSperrliste nicht brauchbar, ohne sie beurteilt: {reason}");
    }
    Ok(explained)
}

/// The explanation of a verdict, as far as it does not depend on files.
fn explain(
    certificate: &Certificate,
    rules: &[Rule],
    connects: Result<(), String>,
    action: Action,
    target: &Target,
) -> Explained {
    let principal = Principal::of(certificate, rules);
    let mut lines = identity(certificate, &principal);
    let about = target.to_string();
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    lines.extend([String::new(), format!("Gefragt: {}{about}", action.code()), String::new()]);
    lines.push("Regeln:".to_owned());
    let width = rules.iter().map(|it| it.name.chars().count()).max().unwrap_or_default();
    for rule in rules {
        let why = considered(rule, certificate, action, target);
        lines.push(format!("  {:<width$}  {why}", rule.name));
    }
    let mut allowed = false;
    let verdict = match (connects, authorize::decide(principal.rules(), action, target)) {
        (Err(why), _) => format!("abgelehnt schon beim Verbinden: {why}"),
        (Ok(()), Verdict::Allowed(rule)) => {
            allowed = true;
            let writes = action.has_objects()
                && !matches!(action, Action::Replicate | Action::Draft | Action::Confirm);
            let second = match authorize::may_alone(principal.rules(), action, target) || !writes {
                true => "",
                false => "; veröffentlicht wird, wenn eine zweite Person freigibt (vier_augen)",
            };
            format!("erlaubt durch {}{second}", rule.name)
        }
        (Ok(()), Verdict::Forbidden(rule)) => format!("abgelehnt durch {}", rule.name),
        (Ok(()), Verdict::Unmatched) => {
            format!("abgelehnt: keine Regel erlaubt es; nötig wäre {}", needed(action))
        }
    };
    lines.extend([String::new(), format!("Urteil: {verdict}")]);
    Explained { text: lines.join("\n"), allowed }
}

fn identity(certificate: &Certificate, principal: &Principal) -> Vec<String> {
    let or_none = |text: String| if text.is_empty() { "(keine)".to_owned() } else { text };
    let chain = match certificate.under_client_anchors {
        true => "endet bei einem Anker aus tls.client_anchors",
        false => "endet bei keinem Anker aus tls.client_anchors",
    };
    let node = certificate.peer.as_ref();
    let node =
        node.map_or_else(|| "(keiner)".to_owned(), |it| format!("{} von {}", it.node, it.land));
    let roles: Vec<_> = principal.roles().iter().map(|it| it.code()).collect();
    [
        ("san", or_none(certificate.names.join(", "))),
        ("spki", hex::encode(certificate.spki)),
        ("issuer", or_none(certificate.issuer.clone())),
        ("subject", or_none(certificate.subject.clone())),
        ("Kette", chain.to_owned()),
        ("Knoten der Charta", node),
        ("Pseudonym", principal.pseudonym.clone()),
        ("Rollen", or_none(roles.join(", "))),
    ]
    .into_iter()
    .map(|(key, value)| format!("{key:<18} {value}"))
    .collect()
}

fn considered(rule: &Rule, certificate: &Certificate, action: Action, target: &Target) -> String {
    match authorize::consider(rule, certificate, action, target) {
        Considered::OtherCertificate(Mismatch::Other) => "gilt anderen Zertifikaten".to_owned(),
        Considered::OtherCertificate(Mismatch::NotUnderClientAnchors) => {
            "gilt nicht: die Kette endet bei keinem Anker aus tls.client_anchors".to_owned()
        }
        Considered::OtherCertificate(Mismatch::NoMember) => {
            "gilt Knoten, die in der Charta stehen".to_owned()
        }
        Considered::OtherAction => match rule.effect {
            Effect::Allow => "gilt ihm, erlaubt aber anderes".to_owned(),
            Effect::Deny => "gilt ihm, verbietet aber anderes".to_owned(),
        },
        Considered::OutOfScope(bounds) => {
            let bounds: Vec<_> = bounds.iter().map(|it| bound(rule, it)).collect();
            format!("gilt ihm, ist aber begrenzt auf {}", bounds.join(" und "))
        }
        Considered::Counts => match rule.effect {
            Effect::Allow => "erlaubt es".to_owned(),
            Effect::Deny => "verbietet es".to_owned(),
        },
    }
}

fn bound(rule: &Rule, key: &str) -> String {
    let join = |values: Vec<String>| values.join(", ");
    let scope = &rule.scope;
    let values = match key {
        "land" => join(scope.laender.iter().map(|it| it.code().to_owned()).collect()),
        "themenfeld" => join(scope.themenfelder.iter().map(|it| it.code().to_owned()).collect()),
        _ => join(scope.services.iter().map(ToString::to_string).collect()),
    };
    format!("{key} {values}")
}

fn needed(action: Action) -> String {
    match action {
        Action::Read => "eine Rolle".to_owned(),
        Action::Replicate => "ein Platz in der Charta".to_owned(),
        _ => format!("eine Regel mit role = \"{}\", die es umfasst", action.needs()),
    }
}

fn refused_handshake(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "das Zertifikat ist abgelaufen".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "das Zertifikat gilt noch nicht".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::Revoked) => {
            "das Zertifikat ist gesperrt".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. },
        ) => "die Sperrliste seines Ausstellers ist abgelaufen (tls.crl_required)".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownRevocationStatus) => {
            "von seinem Aussteller ist keine Sperrliste geladen (tls.crl_required)".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "den Aussteller kennt hier niemand".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => "das Zertifikat ist nicht für Clients ausgestellt (clientAuth)".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::BadEncoding | CertificateError::BadSignature,
        ) => "das Zertifikat ist beschädigt oder anders unterschrieben, als es sagt".to_owned(),
        other => match tls::reason(other) {
            it if it.contains("CaUsedAsEndEntity") => {
                "das ist das Zertifikat einer CA, nicht das eines Clients".to_owned()
            }
            it => words::too_weak(other).unwrap_or(it),
        },
    }
}

fn action(code: &str) -> Result<Action, String> {
    let all: Vec<_> = Action::ALL.iter().map(|it| it.code()).collect();
    Action::named(code).ok_or_else(|| format!("möglich: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Flaw, Weak};

    #[test]
    fn why_a_certificate_does_not_get_in_is_said_in_german() {
        let of = |it| refused_handshake(&rustls::Error::InvalidCertificate(it));
        assert!(of(CertificateError::ExpiredRevocationList).contains("ist abgelaufen"));
        assert!(of(CertificateError::UnknownRevocationStatus).contains("keine Sperrliste"));
        let weak = Weak { subject: "CN=a".to_owned(), flaw: Flaw::RsaBits { bits: 2_048 } };
        assert!(refused_handshake(&weak.into()).contains("RSA-Schlüssel mit 2048 Bit"));
    }
}
