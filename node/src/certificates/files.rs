//! The files behind the TLS material, and whether their contents changed.

use std::path::PathBuf;

use registry_core::limits::{CRL_BYTES_MAX, PEM_BYTES_MAX};
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
#[derive(Clone, Copy, Debug)]
pub struct Digests([[u8; 32]; 4]);

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
        Self(Part::ALL.map(|part| digest(files, part)))
    }

    /// Contents of one part.
    pub(super) fn of(&self, part: Part) -> [u8; 32] {
        let [certificate, anchors, crls, policy] = self.0;
        match part {
            Part::Certificate => certificate,
            Part::ClientAnchors => anchors,
            Part::Crls => crls,
            Part::Policy => policy,
        }
    }
}

/// Contents of the files of a part; of one that cannot be read, why.
pub(super) fn digest(files: &Tls, part: Part) -> [u8; 32] {
    let mut all = Sha256::new();
    for path in part.paths(files) {
        match tls::read(path, limit(part)) {
            Ok(bytes) => {
                // one of them is a private key
                let bytes = Zeroizing::new(bytes);
                all.update([0]);
                all.update(Sha256::digest(&*bytes));
            }
            Err(error) => {
                all.update([1]);
                all.update(Sha256::digest(chain(&error)));
            }
        }
    }
    all.finalize().into()
}

/// The files of a part and what is in them, for the audit log: who changes a file for a while leaves
/// two digests. That of a key file is told by its certificate.
pub(super) fn contents(files: &Tls, part: Part) -> String {
    let one = |path: &&PathBuf| {
        let shown = path.display();
        if part == Part::Certificate && **path == files.key {
            return shown.to_string();
        }
        match tls::read(path, limit(part)) {
            Ok(bytes) => format!("{shown} sha256={}", hex::encode(Sha256::digest(bytes))),
            Err(_) => format!("{shown} unreadable"),
        }
    };
    part.paths(files).iter().map(one).collect::<Vec<_>>().join(", ")
}

fn limit(part: Part) -> u64 {
    if part == Part::Crls { CRL_BYTES_MAX } else { PEM_BYTES_MAX }
}

/// The files of a part, for messages.
pub(super) fn names(files: &Tls, part: Part) -> String {
    let names: Vec<_> = part.paths(files).iter().map(|it| it.display().to_string()).collect();
    names.join(", ")
}
