//! Why there is no connection is told with the next step.

mod support;

use registry_client::{
    Class, Client, ClientConfig, ClientError,
    error::{ConfigError, ConnectError},
};

use crate::support::Bench;

async fn refused(config: ClientConfig) -> ClientError {
    match Client::connect(config).await {
        Err(error) => error,
        Ok(client) => client.status().await.expect_err("no connection"),
    }
}

#[tokio::test]
async fn a_reader_of_the_ca_is_served() {
    let bench = Bench::new();
    let client = Client::connect(bench.config()).await.expect("connection");
    client.status().await.expect("status");
}

#[tokio::test]
async fn a_port_without_node_is_named() {
    let bench = Bench::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = free.local_addr().expect("address").to_string();
    drop(free);
    let error =
        refused(ClientConfig { endpoint: format!("https://{address}"), ..bench.config() }).await;
    assert_eq!(error.class(), Class::Unavailable);
    let ClientError::Connect(ConnectError::Refused { address: named }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(named, address);
    let ran = bench.registry(&["status", "--endpoint", &format!("https://{address}")]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains(&address) && ran.err.contains("Nächster Schritt"), "{ran:?}");
}

#[tokio::test]
async fn a_node_of_another_ca_is_not_trusted() {
    let bench = Bench::new();
    let error =
        refused(ClientConfig { ca: bench.pki.path("other-ca.pem"), ..bench.config() }).await;
    assert!(matches!(error, ClientError::Connect(ConnectError::Untrusted { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Refused);
}

#[tokio::test]
async fn a_certificate_the_node_does_not_know_is_explained() {
    let bench = Bench::new();
    let stranger = ClientConfig {
        cert: bench.pki.path("stranger.pem"),
        key: bench.pki.path("stranger.key"),
        ..bench.config()
    };
    let error = refused(stranger).await;
    assert!(matches!(error, ClientError::Connect(ConnectError::Alert { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Refused);
    let cert = bench.pki.path("stranger.pem");
    let key = bench.pki.path("stranger.key");
    let args =
        ["status", "--cert", cert.to_str().expect("UTF-8"), "--key", key.to_str().expect("UTF-8")];
    let ran = bench.registry(&args);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("lehnt die TLS-Verbindung ab"), "{ran:?}");
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_not_trusted() {
    let bench = Bench::new();
    let endpoint = bench.node.endpoint.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    let error = refused(ClientConfig { endpoint, ..bench.config() }).await;
    assert!(matches!(error, ClientError::Connect(ConnectError::Untrusted { .. })), "{error:?}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_told_before_anything_is_sent() {
    let bench = Bench::new();
    let good = bench.config();
    let plain = good.endpoint.replace("https", "http");
    let error = refused(ClientConfig { endpoint: plain, ..good.clone() }).await;
    assert!(matches!(error, ClientError::Config(ConfigError::PlainHttp { .. })), "{error:?}");
    let error = refused(ClientConfig { ca: bench.pki.path("none"), ..good.clone() }).await;
    assert!(matches!(error, ClientError::Config(ConfigError::Read { .. })), "{error:?}");
    let error = refused(ClientConfig { cert: good.key.clone(), ..good.clone() }).await;
    assert!(matches!(error, ClientError::Config(ConfigError::NotPem { .. })), "{error:?}");
    let error = refused(ClientConfig { key: good.cert.clone(), ..good.clone() }).await;
    assert!(matches!(error, ClientError::Config(ConfigError::NotPem { .. })), "{error:?}");
    let error = refused(ClientConfig { key: bench.pki.path("stranger.key"), ..good }).await;
    assert!(matches!(error, ClientError::Config(ConfigError::KeyMismatch { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Usage);
}
