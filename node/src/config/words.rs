//! What is wrong with values and files of a configuration, in German, where the error itself speaks
//! the English of logs.

use registry_core::authorize::PeerIdentity;
use registry_proto::{log::ParseVerifierKeyError, terms::Land};
use rustls::{CertificateError, InconsistentKeys};

use crate::{
    lifecycle::chain,
    tls::{CrlError, Flaw, MaterialError, NotForNode, Weak},
};

pub(super) fn no_land() -> String {
    format!("so heißt kein Land; bekannt sind {}", Land::ALL.map(Land::code).join(" "))
}

pub(super) const NO_LEVEL: &str =
    "ist keine Stufe; erwartet zum Beispiel info oder info,registry_node=debug";

pub(super) const NO_SYSLOG: &str = "erwartet udp://host:port, tcp://host:port oder unix:///pfad";

pub(super) fn verifier_key(error: &ParseVerifierKeyError) -> String {
    use ParseVerifierKeyError as E;
    match error {
        E::Form => {
            "erwartet <Name>+<8 Hexadezimalziffern>+<Base64 eines Ed25519-Schlüssels>".to_owned()
        }
        E::Name(name) => format!(
            "{name:?} ist kein Name eines Schlüssels: 1 bis 100 druckbare Zeichen ohne Leerzeichen und Plus"
        ),
        E::Id { found, expected } => format!(
            "die Kennung ist {found:08x}, die von Name und Schlüssel {expected:08x}: abgeschrieben?"
        ),
    }
}

/// What is wrong with a file of certificates, keys or lists.
pub(crate) fn material(error: &MaterialError) -> String {
    match error {
        MaterialError::Read { path, source } => {
            format!("{}: kann nicht gelesen werden: {source}", path.display())
        }
        MaterialError::Mode { path, mode } => format!(
            "{path}: andere haben Zugriff auf den privaten Schlüssel (Modus {mode:04o}); abstellen \
             mit: chmod o-rwx,g-wx {path}",
            path = path.display()
        ),
        MaterialError::Pem { path, source } => {
            format!("{}: keine gültige PEM-Datei: {source}", path.display())
        }
        MaterialError::Missing { path, what: "certificate" } => {
            format!("{}: enthält kein Zertifikat", path.display())
        }
        MaterialError::Missing { path, what: "revocation list" } => {
            format!("{}: enthält keine Sperrliste", path.display())
        }
        MaterialError::Missing { path, .. } => {
            format!("{}: enthält keinen privaten Schlüssel", path.display())
        }
        MaterialError::TooLong { path, limit } => {
            format!("{}: länger als {limit} Bytes", path.display())
        }
        MaterialError::Crl { path, source } => format!("{}: {}", path.display(), crl(source)),
        MaterialError::Crls(source) => crl(source),
        MaterialError::NoCrls(files) => {
            let files = files.iter().map(|it| format!("\n  {}", material(it)));
            format!("tls.crls: {}:{}", crl(&CrlError::None), files.collect::<String>())
        }
        other => chain(other),
    }
}

/// Why a revocation list, or lists together, cannot be used.
pub(super) fn crl(error: &CrlError) -> String {
    match error {
        CrlError::Unreadable(why) => format!("ist keine brauchbare Sperrliste ({why})"),
        CrlError::Older { issuer } => {
            format!("die Sperrliste von {issuer} ist älter als die geladene")
        }
        CrlError::Signature { issuer } => format!(
            "die Sperrliste von {issuer} hat keiner der Schlüssel signiert, die hier unter diesem Namen \
             bekannt sind; die Liste dieser CA neu holen"
        ),
        CrlError::Limit { limit, .. } => format!(
            "zu viele Sperrlisten oder Bytes, oder von zu vielen CAs Listen zweier Schlüssel (Grenze {limit})"
        ),
        CrlError::None => {
            "keine brauchbare Sperrliste, und tls.crl_required verlangt welche".to_owned()
        }
    }
}

pub(super) fn unsound_anchor(error: &rustls::Error) -> String {
    format!("kein Zertifikat, das für andere bürgen kann ({error})")
}

pub(super) fn pair(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "passt nicht zu tls.certificate: es ist der Schlüssel eines anderen Zertifikats"
                .to_owned()
        }
        other => format!("passt nicht zu tls.certificate ({other})"),
    }
}

/// What is too weak in a certificate, or why it cannot be read.
pub(super) fn weak(error: &rustls::Error) -> String {
    too_weak(error).unwrap_or_else(|| format!("kein Zertifikat, das sich lesen lässt ({error})"))
}

/// What is too weak in a certificate, if that is why it was refused.
pub(crate) fn too_weak(error: &rustls::Error) -> Option<String> {
    let inner = match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => Some(&other.0),
        _ => None,
    };
    let Weak { subject, flaw } = inner.and_then(|it| it.downcast_ref())?;
    let flaw = match flaw {
        Flaw::RsaBits { bits } => {
            format!("hat einen RSA-Schlüssel mit {bits} Bit; nötig sind mindestens 3072")
        }
        Flaw::Curve { curve } => {
            format!("hat einen Schlüssel auf der Kurve {curve}; nötig ist P-256 oder P-384")
        }
        Flaw::Kind { kind } => format!(
            "hat einen Schlüssel der Art {kind}; nötig ist ECDSA auf P-256 oder P-384, oder RSA ab 3072 Bit"
        ),
        Flaw::Signature { algorithm } => {
            format!(
                "ist mit {algorithm} signiert; nötig ist ECDSA oder RSA mit SHA-256 oder länger"
            )
        }
    };
    Some(format!("{subject:?} {flaw}"))
}

/// Why partners will not take the certificate of a node.
pub(super) fn not_for_node(error: &NotForNode) -> String {
    match error {
        NotForNode::OtherName { own: PeerIdentity { land, node }, names } => {
            let names = match names.is_empty() {
                true => "auf keinen DNS-Namen".to_owned(),
                false => format!("auf {}", names.join(", ")),
            };
            format!(
                "Partner nehmen es nicht für {node} ({land}) an: es lautet {names}, und die Charta nennt \
                 weder seinen Schlüssel (Pin) noch eine CA von {land}, die es auf {node} ausgestellt \
                 hat. Ein Zertifikat auf {node} ausstellen lassen, oder node auf den Namen setzen, auf \
                 den es lautet, wenn die Charta ihn für {land} nennt"
            )
        }
        NotForNode::Refused(error) => format!("Partner nehmen es nicht an: {}", weak(error)),
    }
}
