//! What keeps a connection from standing: files here, the network, certificates.

use registry_client::error::{ConfigError, ConnectError};
use rustls::{AlertDescription, CertificateError};

use super::NEXT;

pub(super) fn config(error: &ConfigError) -> String {
    match error {
        ConfigError::PlainHttp { endpoint } => {
            let secure = endpoint.replacen("http://", "https://", 1);
            format!(
                "{endpoint} ist unverschlüsselt, Knoten sprechen nur https.\n{NEXT}--endpoint \
                 {secure}, mit dem gRPC-Port des Knotens (im Demo-Verbund 7443)"
            )
        }
        ConfigError::Endpoint { endpoint } => format!(
            "{endpoint:?} ist keine Adresse der Form https://HOST:PORT.\n{NEXT}zum Beispiel \
             --endpoint https://localhost:7443"
        ),
        ConfigError::Read { what, path, source } => format!(
            "{} {} ist nicht lesbar: {source}.\n{NEXT}Pfad und Leserecht prüfen ({})",
            file_of(what),
            path.display(),
            option_of(what),
        ),
        ConfigError::NotPem { what, path } => format!(
            "{} enthält kein PEM mit {}.\n{NEXT}die richtige Datei mit {} angeben; DER lässt sich \
             mit openssl umwandeln",
            path.display(),
            file_of(what),
            option_of(what),
        ),
        ConfigError::Unusable { what, path, detail } => format!(
            "{} in {} ist nicht verwendbar: {detail}.\n{NEXT}eine andere Datei mit {} angeben",
            file_of(what),
            path.display(),
            option_of(what),
        ),
        ConfigError::KeyMismatch { cert, key } => format!(
            "der Schlüssel {} gehört nicht zum Zertifikat {}.\n{NEXT}--cert und --key (oder \
             REGISTRY_CERT und REGISTRY_KEY) vom selben Paar angeben",
            key.display(),
            cert.display(),
        ),
        ConfigError::Tls(error) => format!("TLS lässt sich nicht einrichten: {error}"),
    }
}

fn file_of(what: &str) -> &str {
    match what {
        "CA certificate" => "CA-Zertifikat",
        "certificate" => "Zertifikat",
        "private key" => "privater Schlüssel",
        other => other,
    }
}

fn option_of(what: &str) -> &'static str {
    match what {
        "CA certificate" => "--ca oder REGISTRY_CA",
        "certificate" => "--cert oder REGISTRY_CERT",
        _ => "--key oder REGISTRY_KEY",
    }
}

pub(super) fn connect(error: &ConnectError) -> String {
    match error {
        ConnectError::Resolve { address, source } => format!(
            "der Name in {address} hat keine Adresse: {source}.\n{NEXT}Schreibweise in --endpoint \
             und Namensauflösung prüfen"
        ),
        ConnectError::Refused { address } => format!(
            "Verbindung zu {address} abgelehnt, dort lauscht niemand.\n{NEXT}läuft der Knoten, und \
             stimmt der Port in --endpoint?"
        ),
        ConnectError::Network { address, source } => format!(
            "keine Verbindung zu {address}: {source}.\n{NEXT}Netz und Firewall zum Knoten prüfen"
        ),
        ConnectError::TimedOut { address, after } => format!(
            "keine Verbindung zu {address} innerhalb von {after:?}.\n{NEXT}Netz und Firewall zum \
             Knoten prüfen"
        ),
        ConnectError::Untrusted { address, source } => untrusted(address, source),
        ConnectError::Alert { address, alert } => alerted(address, *alert),
        ConnectError::Handshake { address, detail } => format!(
            "TLS mit {address} kommt nicht zustande: {detail}.\n{NEXT}ist das der gRPC-Port des \
             Knotens? Web und Überwachung haben andere Ports"
        ),
        ConnectError::Config(error) => config(error),
    }
}

fn untrusted(address: &str, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return format!("das Zertifikat von {address} gilt hier nicht: {error}");
    };
    let (why, next) = match error {
        CertificateError::UnknownIssuer => (
            "es ist von keiner CA in --ca ausgestellt".to_owned(),
            "das CA-Bündel des Verbunds mit --ca oder REGISTRY_CA angeben",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "es ist abgelaufen".to_owned(),
            "den Betreiber des Knotens um ein neues bitten; stimmt die Uhr hier?",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("es gilt noch nicht".to_owned(), "stimmt die Uhr hier?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "es ist auf einen anderen Namen ausgestellt".to_owned(),
            "den Host in --endpoint so schreiben, wie er im Zertifikat steht",
        ),
        CertificateError::Revoked => {
            ("es ist widerrufen".to_owned(), "nicht verbinden; den Betreiber fragen")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            "es ist nicht für einen Server bestimmt".to_owned(),
            "den Betreiber des Knotens um eines mit serverAuth bitten",
        ),
        CertificateError::BadEncoding | CertificateError::BadSignature => (
            "es ist beschädigt oder anders unterschrieben, als es sagt".to_owned(),
            "nicht verbinden; den Betreiber fragen",
        ),
        other if other.to_string().contains("CaUsedAsEndEntity") => (
            "es ist das einer CA, nicht das eines Knotens".to_owned(),
            "den Betreiber des Knotens bitten, in tls.cert das Zertifikat des Knotens einzutragen",
        ),
        other => (other.to_string(), "den Betreiber des Knotens fragen"),
    };
    format!("das Zertifikat von {address} gilt hier nicht: {why}.\n{NEXT}{next}")
}

fn alerted(address: &str, alert: AlertDescription) -> String {
    let (why, next) = match alert {
        AlertDescription::UnknownCA => (
            "der Knoten kennt die CA Ihres Zertifikats nicht, oder er hat von ihr keine gültige \
             Sperrliste und verlangt eine",
            "ein Zertifikat einer CA verwenden, die der Knoten anerkennt (--cert, --key); ist sie \
             anerkannt, den Betreiber nach der Sperrliste fragen",
        ),
        AlertDescription::CertificateRequired => (
            "der Knoten verlangt ein Zertifikat, und es wurde keines gezeigt",
            "--cert und --key angeben; sind sie angegeben, nimmt der Knoten diese Art von Schlüssel \
             nicht (erlaubt: RSA ab 3072 Bit, ECDSA mit P-256 oder P-384)",
        ),
        // one alert for both
        AlertDescription::CertificateExpired => (
            "Ihr Zertifikat gilt zurzeit nicht: es ist abgelaufen oder gilt noch nicht",
            "Beginn und Ende nachsehen (openssl x509 -noout -dates -in DATEI) und ein neues \
             ausstellen lassen oder den Beginn abwarten; stimmt die Uhr des Knotens?",
        ),
        AlertDescription::CertificateRevoked => {
            ("Ihr Zertifikat ist widerrufen", "ein neues Zertifikat ausstellen lassen")
        }
        AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => (
            "der Knoten erkennt Ihr Zertifikat nicht an",
            "Zertifikat prüfen (Aussteller, Zweck clientAuth); der Betreiber sieht den Grund im \
             Protokoll des Knotens",
        ),
        AlertDescription::DecryptError => (
            "der Knoten kann die Unterschrift Ihres Zertifikats nicht prüfen",
            "Zertifikat und CA gleichen Namens verwechselt? --cert und --key prüfen",
        ),
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => (
            "es gibt kein gemeinsames TLS-Verfahren (verlangt: TLS 1.3, AES-GCM, NIST-Kurven)",
            "ist das der gRPC-Port eines Knotens?",
        ),
        _ => (
            "der Knoten hat die TLS-Verbindung beendet",
            "der Betreiber sieht den Grund im Protokoll",
        ),
    };
    format!("{address} lehnt die TLS-Verbindung ab: {why} ({alert:?}).\n{NEXT}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_has_several_causes_names_all() {
        for (alert, causes) in [
            (AlertDescription::CertificateExpired, &["ist abgelaufen", "gilt noch nicht"][..]),
            (AlertDescription::CertificateRequired, &["--cert und --key", "P-256 oder P-384"]),
            (AlertDescription::UnknownCA, &["kennt die CA", "keine gültige Sperrliste"]),
        ] {
            let text = alerted("sl-1.example:7443", alert);
            for cause in causes {
                assert!(text.contains(cause), "{alert:?}: {text}");
            }
        }
    }
}
