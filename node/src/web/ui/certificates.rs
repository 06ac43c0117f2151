//! How long certificates are valid, as far as a node knows.

use std::sync::Arc;

use registry_proto::{charter::Charter, terms::Land};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::tls::TlsContext;

/// Tells how long the certificates are valid that a node knows. Called for every page: it MUST
/// NOT wait.
pub trait Certificates: Send + Sync + 'static {
    /// The node's own certificate and the anchors of the members.
    fn dates(&self) -> Vec<CertificateDate>;
}

/// A certificate and the end of its validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDate {
    /// Whose it is.
    pub land: Land,
    /// What it is.
    pub kind: CertificateKind,
    /// Common name of the subject; empty if it has none.
    pub subject: String,
    /// Unix seconds; unknown when the certificate cannot be read.
    pub not_after: Option<i64>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// The certificate of this node.
    Own,
    /// An anchor under which the names of a member's nodes count.
    Anchor,
}

/// The certificates of a node: its own as it is now, the anchors from the charter.
#[derive(Debug)]
pub struct NodeCertificates {
    land: Land,
    node: String,
    tls: Arc<TlsContext>,
    anchors: Vec<CertificateDate>,
}

// === impl NodeCertificates ===

impl NodeCertificates {
    /// Reads the anchors of a charter; the own certificate is asked for whenever it is shown.
    pub fn new(land: Land, node: String, tls: Arc<TlsContext>, charter: &Charter) -> Self {
        let anchors = charter
            .members()
            .iter()
            .flat_map(|member| member.anchors.iter().map(|der| anchor(member.land, der)));
        Self { land, node, tls, anchors: anchors.collect() }
    }
}

impl Certificates for NodeCertificates {
    fn dates(&self) -> Vec<CertificateDate> {
        let own = CertificateDate {
            land: self.land,
            kind: CertificateKind::Own,
            subject: self.node.clone(),
            not_after: Some(self.tls.not_after()),
        };
        std::iter::once(own).chain(self.anchors.iter().cloned()).collect()
    }
}

fn anchor(land: Land, der: &[u8]) -> CertificateDate {
    let kind = CertificateKind::Anchor;
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => {
            let mut names = certificate.subject().iter_common_name();
            let subject = names.next().and_then(|it| it.as_str().ok()).unwrap_or_default();
            let not_after = Some(certificate.validity().not_after.timestamp());
            CertificateDate { land, kind, subject: subject.to_owned(), not_after }
        }
        Err(_) => CertificateDate { land, kind, subject: String::new(), not_after: None },
    }
}
