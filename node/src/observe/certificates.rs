//! What is counted about certificates.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Metrics of the TLS material and of connections that end with it.
#[derive(Debug, Default)]
pub struct CertificateMetrics {
    reload_failed: Family<OfPart, Gauge>,
    reloads: Family<Reload, Counter>,
    own_revoked: Gauge,
    own_not_yet_valid: Gauge,
    disconnects: Family<Disconnect, Counter>,
    expires: Family<Named, Gauge>,
    named: Mutex<BTreeSet<Named>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPart {
    part: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    part: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Disconnect {
    listener: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Named {
    what: &'static str,
    name: String,
}

// === impl CertificateMetrics ===

impl CertificateMetrics {
    /// Whether the newest files of a part could not be loaded; `part` from a closed enum.
    pub fn set_reload_failed(&self, part: &'static str, failed: bool) {
        self.reload_failed.get_or_create(&OfPart { part }).set(i64::from(failed));
    }

    /// Counts an attempt to load a part; `part` from a closed enum.
    pub fn reloaded(&self, part: &'static str, loaded: bool) {
        let outcome = if loaded { "ok" } else { "failed" };
        self.reloads.get_or_create(&Reload { part, outcome }).inc();
    }

    /// Whether the own certificate stands on a revocation list.
    pub fn set_own_revoked(&self, revoked: bool) {
        self.own_revoked.set(i64::from(revoked));
    }

    /// Whether the own certificate, or a CA above it, is not valid yet.
    pub fn set_own_not_yet_valid(&self, not_yet: bool) {
        self.own_not_yet_valid.set(i64::from(not_yet));
    }

    /// Counts a connection that was ended; both labels from closed enums.
    pub fn disconnected(&self, listener: &'static str, cause: &'static str) {
        self.disconnects.get_or_create(&Disconnect { listener, cause }).inc();
    }

    /// Seconds until each certificate and revocation list ends, all of them at once: what, name,
    /// seconds. Names come from own files and from the charter.
    pub fn set_expiries<'a>(&self, all: impl Iterator<Item = (&'static str, &'a str, i64)>) {
        let mut now = BTreeSet::new();
        for (what, name, seconds) in all {
            let named = Named { what, name: name.to_owned() };
            self.expires.get_or_create(&named).set(seconds);
            now.insert(named);
        }
        let mut before = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in before.difference(&now) {
            self.expires.remove(gone);
        }
        *before = now;
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "tls_reload_failed",
            "1 if the newest files could not be loaded and older ones are in use",
            self.reload_failed.clone(),
        );
        r.register(
            "tls_own_certificate_revoked",
            "1 if the certificate of this node stands on a revocation list",
            self.own_revoked.clone(),
        );
        r.register(
            "tls_own_certificate_not_yet_valid",
            "1 if the certificate of this node, or a CA above it, is not valid yet",
            self.own_not_yet_valid.clone(),
        );
        r.register("tls_reloads", "Attempts to load changed files", self.reloads.clone());
        r.register(
            "tls_disconnects",
            "Connections ended because their certificate does not count any more",
            self.disconnects.clone(),
        );
        r.register(
            "certificate_expires_seconds",
            "Seconds until a certificate or revocation list ends",
            self.expires.clone(),
        );
    }
}
