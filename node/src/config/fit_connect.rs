//! `[fit_connect]`: whose word counts for the signatures of delivery points.

use super::{check::Check, words};
use crate::{
    fit_connect::{self, Roots},
    lifecycle::chain,
    tls::read_certificates,
};

/// `[fit_connect]`
#[derive(Debug, Default)]
pub(super) struct RawFitConnect {
    pub(super) roots: Vec<String>,
    pub(super) jwks: Option<String>,
}

// === impl Check ===

impl Check<'_> {
    /// Read at the start of a node. Without roots every signature counts as unchecked.
    pub(super) fn fit_connect(&mut self, raw: RawFitConnect) -> Option<Roots> {
        let mut certificates = Vec::new();
        for (at, path) in raw.roots.iter().enumerate() {
            match read_certificates(&self.path(path)) {
                Ok(more) => certificates.extend(more),
                Err(error) => {
                    self.wrong(&format!("fit_connect.roots[{at}]"), path, words::material(&error))
                }
            }
        }
        let mut keys = Vec::new();
        if let Some(path) = raw.jwks {
            if raw.roots.is_empty() {
                let reason = "braucht fit_connect.roots, die für seine Schlüssel bürgen";
                self.wrong("fit_connect.jwks", &path, reason);
            }
            match std::fs::read(self.path(&path)) {
                Err(error) => {
                    let reason = format!("kann nicht gelesen werden: {error}");
                    self.wrong("fit_connect.jwks", &path, reason);
                }
                Ok(bytes) => match fit_connect::keys(&bytes) {
                    Ok(known) => keys = known,
                    Err(error) => self.wrong("fit_connect.jwks", &path, error),
                },
            }
        }
        let roots = Roots::new(&certificates, keys);
        let unusable = |error| self.wrong("fit_connect.roots", raw.roots.join(", "), chain(&error));
        roots.map_err(unusable).ok()
    }
}
