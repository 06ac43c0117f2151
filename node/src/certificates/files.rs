//! The files behind the TLS material, and whether their contents changed.

use std::path::PathBuf;

use registry_core::limits::{CRL_BYTES_MAX, PEM_BYTES_MAX};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{config::Tls, lifecycle::chain, tls};

/// What is loaded together: one part that cannot be used does not keep the others from being
/// replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Certificate with its chain, and key.
    Certificate,
    /// Anchors for clients.
    ClientAnchors,
    /// Revocation lists.
    Crls,
    /// The policy file.
    Policy,
}

/// The contents of all files at one time.
#[derive(Clone, Debug)]
pub struct Digests([Contents; 4]);

/// The contents of the files of a part at one time.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// Of all of them together; of one that cannot be read, why.
    pub(super) digest: [u8; 32],
    /// What the audit log says of them, a line for each digest: who changes a file for a while leaves
    /// two. The digest stands in front, where no long path cuts it off.
    pub(super) told: Vec<String>,
}

// === impl Part ===

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Certificate, Self::ClientAnchors, Self::Crls, Self::Policy];

    /// Value of the metric label and of the log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::ClientAnchors => "client_anchors",
            Self::Crls => "crls",
            Self::Policy => "policy",
        }
    }

    fn paths(self, files: &Tls) -> Vec<&PathBuf> {
        match self {
            Self::Certificate => vec![&files.certificate, &files.key],
            Self::ClientAnchors => vec![&files.client_anchors],
            Self::Crls => files.crls.iter().collect(),
            Self::Policy => files.rules.file.iter().collect(),
        }
    }
}

// === impl Digests ===

impl Digests {
    /// Reads all files. Taken before they are loaded, so that no change is missed in between.
    pub fn read(files: &Tls) -> Self {
        Self(Part::ALL.map(|part| Contents::read(files, part)))
    }

    /// Contents of one part.
    pub(super) fn of(&self, part: Part) -> &Contents {
        let [certificate, anchors, crls, policy] = &self.0;
        match part {
            Part::Certificate => certificate,
            Part::ClientAnchors => anchors,
            Part::Crls => crls,
            Part::Policy => policy,
        }
    }
}

// === impl Contents ===

impl Contents {
    pub(super) fn read(files: &Tls, part: Part) -> Self {
        let (mut all, mut told) = (Sha256::new(), Vec::new());
        for (at, path) in part.paths(files).into_iter().enumerate() {
            // one of them is a private key
            let read = tls::read(path, limit(part)).map(Zeroizing::new);
            match &read {
                Ok(bytes) => {
                    all.update([0]);
                    all.update(Sha256::digest(&**bytes));
                }
                Err(error) => {
                    all.update([1]);
                    all.update(Sha256::digest(chain(error)));
                }
            }
            let digest = match (part, at, &read) {
                // that of the key is told by its certificate
                (Part::Certificate, 1, _) => continue,
                // the key may be in the same file
                (Part::Certificate, _, Ok(pem)) => digest_of_chain(pem),
                (_, _, Ok(bytes)) => Some(Sha256::digest(&**bytes).into()),
                (_, _, Err(_)) => None,
            };
            let digest = digest.map_or_else(
                || "unreadable".to_owned(),
                |it| format!("sha256={}", hex::encode(it)),
            );
            told.push(format!("{}: {digest} {}", part.label(), path.display()));
        }
        Self { digest: all.finalize().into(), told }
    }
}

/// Of the certificates one after the other (DER), whatever else is in the file.
fn digest_of_chain(pem: &[u8]) -> Option<[u8; 32]> {
    let mut all = Sha256::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        all.update(certificate.ok()?);
    }
    Some(all.finalize().into())
}

fn limit(part: Part) -> u64 {
    if part == Part::Crls { CRL_BYTES_MAX } else { PEM_BYTES_MAX }
}

/// The files of a part, for messages.
pub(super) fn names(files: &Tls, part: Part) -> String {
    let names: Vec<_> = part.paths(files).iter().map(|it| it.display().to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use registry_proto::log::Hash;

    use super::*;
    use crate::{
        audit::{Act, line::Line},
        policy::Rules,
        tls::Profile,
    };

    fn tls(dir: &Path, certificate: &str, key: &str, crls: Vec<PathBuf>) -> Tls {
        Tls {
            certificate: dir.join(certificate),
            key: dir.join(key),
            client_anchors: dir.join("clients.pem"),
            crls,
            crl_required: false,
            profile: Profile::BSI,
            rules: Rules::default(),
        }
    }

    /// The lines as they stand in the audit log.
    fn lines(files: &Tls, part: Part) -> Vec<String> {
        let lines = Contents::read(files, part).told.into_iter().map(|object| {
            let act = Act::new("tls.load", "OK").on(object);
            Line::of(&act, 0, 0, &Hash::from_bytes([0; 32])).object
        });
        lines.collect()
    }

    #[test]
    fn no_list_is_too_late_in_line_for_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&folder).unwrap();
        let of = |n: u8| folder.join(format!("{n}.crl"));
        for n in 0..8 {
            fs::write(of(n), [n]).unwrap();
        }
        let files = tls(dir.path(), "sl.pem", "sl.key", (0..9).map(of).collect());
        let lines = lines(&files, Part::Crls);
        assert_eq!(lines.len(), 9);
        for (n, line) in (0..8_u8).zip(&lines) {
            let expected = format!("crls: sha256={} /", hex::encode(Sha256::digest([n])));
            assert!(line.starts_with(&expected), "{line}");
        }
        assert!(lines[8].starts_with("crls: unreadable /"), "{}", lines[8]);
    }

    #[test]
    fn a_certificate_is_told_though_its_key_is_in_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let now = time::OffsetDateTime::now_utc();
        let ca = crate::pki::Authority::root("Root", now).unwrap();
        let told = |pem: &str, key: &str| {
            fs::write(dir.path().join("sl.pem"), pem).unwrap();
            lines(&tls(dir.path(), "sl.pem", key, Vec::new()), Part::Certificate)
        };
        let expected = hex::encode(Sha256::digest(ca.der()));
        let expected = format!("certificate: sha256={expected} {}/sl.pem", dir.path().display());
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        for (pem, key) in [(ca.pem(), "sl.key"), (format!("{key}{}", ca.pem()), "sl.pem")] {
            assert_eq!(told(&pem, key), std::slice::from_ref(&expected));
        }
        assert_ne!(told(&(ca.pem() + &ca.pem()), "sl.key"), [expected]);
    }
}
