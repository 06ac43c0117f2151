//! Throw-away certificates.

use std::{path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig, crypto::aws_lc_rs::default_provider, server::WebPkiClientVerifier,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// A directory with `ca.pem`, `reader.pem/.key` and, from a CA nobody knows, `other-ca.pem`,
/// `stranger.pem/.key`.
pub(crate) struct Pki {
    dir: TempDir,
    pub(crate) server: Arc<ServerConfig>,
}

type Ca = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let (ca, other) = (authority("Test CA"), authority("Other CA"));
        let write =
            |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("file");
        write("ca.pem", ca.pem());
        write("other-ca.pem", other.pem());
        for (name, issuer) in [("reader", &ca), ("stranger", &other)] {
            let (pem, _, key) = leaf(name, issuer);
            write(&format!("{name}.pem"), pem);
            write(&format!("{name}.key"), key.serialize_pem());
        }
        let server = server(&ca);
        Self { dir, server }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CA")
}

fn leaf(name: &str, ca: &Ca) -> (String, Vec<u8>, KeyPair) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("key");
    let cert = params.signed_by(&key, ca).expect("certificate");
    (cert.pem(), cert.der().to_vec(), key)
}

fn server(ca: &Ca) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("anchor");
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("verifier");
    let (_, cert, key) = leaf("node", ca);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![cert.into()], key)
        .expect("certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
