//! The store of artefacts against S3 servers: one in this process, plain and over TLS, and Garage
//! as a process of its own: `GARAGE=/path/to/garage cargo test --test artefact_s3 -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod garage;

use std::{net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use registry_node::{
    artefacts::store::ChunkStore,
    config::{ArtefactStore, S3},
    lifecycle::{Shutdown, TaskKind},
};
use registry_proto::{artefact::CHUNK_BYTES, log::Hash};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;

const KEY_ID: &str = "GK1234";
const SECRET: &str = "geheim";

#[tokio::test]
async fn a_bucket_keeps_finds_lists_and_deletes_chunks() {
    check(false).await;
}

#[tokio::test]
async fn a_bucket_is_reached_over_tls_under_the_anchors_of_the_configuration_only() {
    check(true).await;
}

async fn check(encrypted: bool) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("register")).unwrap();
    let shutdown = Shutdown::new();
    let (tls, anchor) = material();
    let acceptor = encrypted.then(|| TlsAcceptor::from(tls));
    let address = serve(dir.path(), acceptor, &shutdown).await;
    let scheme = if encrypted { "https" } else { "http" };
    let config = |anchor: &CertificateDer<'static>, secret: &str| S3 {
        endpoint: format!("{scheme}://localhost:{}", address.port()),
        region: "eu-central-1".to_owned(),
        bucket: "register".to_owned(),
        prefix: "sl-1".to_owned(),
        access_key_id: KEY_ID.to_owned(),
        secret_key: secret.to_owned().into(),
        anchors: encrypted.then(|| vec![anchor.clone()]),
    };
    let kept = check_store(&open(config(&anchor, SECRET))).await;
    let name = Hash::of(SMALL).to_string();
    let chunks = dir.path().join("register/sl-1/chunks");
    assert_eq!(chunks.join(&name[..2]).join(&name).is_file(), kept == Hash::of(SMALL));

    assert!(open(config(&anchor, "falsch")).get(&kept).await.is_err());
    if encrypted {
        let (_, other) = material();
        assert!(open(config(&other, SECRET)).get(&kept).await.is_err());
    }
}

#[tokio::test]
#[ignore = "needs Garage: GARAGE=/path/to/garage"]
async fn garage_keeps_finds_lists_and_deletes_chunks() {
    let garage = garage::Garage::start();
    let config = |prefix: &str, secret: &str| S3 {
        endpoint: garage.endpoint(),
        region: garage::REGION.to_owned(),
        bucket: garage::BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        access_key_id: garage::KEY_ID.to_owned(),
        secret_key: secret.to_owned().into(),
        anchors: None,
    };
    let store = open(config("sl-1", garage::SECRET));
    garage.wait(async || store.find(&Hash::of(b"nothing")).await.is_ok()).await;
    let kept = check_store(&store).await;
    // another node has a prefix of its own, and sees nothing of this one
    let other = open(config("rp-1", garage::SECRET));
    assert_eq!(other.find(&kept).await.unwrap(), None);
    assert_eq!(other.list().collect::<Vec<_>>().await.len(), 0);
    let wrong = garage::SECRET.replace('8', "9");
    assert!(open(config("sl-1", &wrong)).get(&kept).await.is_err());
}

fn open(config: S3) -> ChunkStore {
    ChunkStore::open(&ArtefactStore::S3(config)).unwrap()
}

const SMALL: &[u8] = b"chunk";

/// Stores two chunks, and gives the one that it did not delete at last.
async fn check_store(store: &ChunkStore) -> Hash {
    let small = Bytes::from_static(SMALL);
    let large = Bytes::from(vec![7; CHUNK_BYTES as usize]);
    for data in [&small, &large] {
        let chunk = Hash::of(data);
        assert_eq!(store.find(&chunk).await.unwrap(), None);
        assert!(store.get(&chunk).await.unwrap().is_none());
        store.put(&chunk, data.clone()).await.unwrap();
        store.put(&chunk, data.clone()).await.unwrap();
        assert!(store.get(&chunk).await.unwrap().as_ref() == Some(data));
        assert_eq!(store.find(&chunk).await.unwrap().unwrap().bytes, data.len() as u64);
    }
    let mut listed: Vec<_> = store.list().map(|it| it.unwrap().chunk).collect().await;
    listed.sort_unstable();
    let mut all = vec![Hash::of(&small), Hash::of(&large)];
    all.sort_unstable();
    assert_eq!(listed, all);
    store.delete(&all[0]).await.unwrap();
    store.delete(&all[0]).await.unwrap();
    assert_eq!(store.list().collect::<Vec<_>>().await.len(), 1);
    assert!(store.get(&all[1]).await.unwrap().is_some());
    all[1]
}

/// Serves a directory until the test ends.
async fn serve(root: &Path, tls: Option<TlsAcceptor>, shutdown: &Shutdown) -> SocketAddr {
    let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    let service = service.build().into_shared();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = shutdown.clone();
    shutdown.spawn(TaskKind::Stream, async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (service, tls) = (service.clone(), tls.clone());
            tasks.spawn(TaskKind::Connection, async move {
                let http = Builder::new(TokioExecutor::new());
                match tls {
                    None => {
                        drop(http.serve_connection(TokioIo::<TcpStream>::new(tcp), service).await)
                    }
                    Some(tls) => {
                        let Ok(tls) = tls.accept(tcp).await else { return };
                        drop(http.serve_connection(TokioIo::new(tls), service).await);
                    }
                }
            });
        }
    });
    address
}

/// A server of `localhost`, and the anchor under which its certificate counts.
fn material() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let anchor = ca.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(ca, key);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (Arc::new(config), anchor.der().clone())
}
