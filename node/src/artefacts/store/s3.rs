//! A bucket that speaks S3, over our own HTTP client: `object_store` would bring a second TLS
//! stack with roots of its own. Here the TLS profile of the node holds, under anchors that the
//! configuration names.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tower_service::Service;

use super::OpenError;
use crate::{config::S3, tls::Profile};

/// Opens a bucket.
pub(super) fn bucket(config: &S3, place: &str) -> Result<AmazonS3, OpenError> {
    let anchors = |source| OpenError::Anchors { place: place.to_owned(), source };
    let requests = Requests::new(config).map_err(anchors)?;
    AmazonS3Builder::new()
        .with_endpoint(config.endpoint.as_str())
        .with_region(config.region.as_str())
        .with_bucket_name(config.bucket.as_str())
        .with_access_key_id(config.access_key_id.as_str())
        .with_secret_access_key(config.secret_key.expose())
        .with_allow_http(config.anchors.is_none())
        // chunks go one by one, and servers differ less in that
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig { max_retries: 3, retry_timeout: RETRY, ..RetryConfig::default() })
        .with_http_connector(requests)
        .build()
        .map_err(|source| OpenError::Open { place: place.to_owned(), source })
}

/// Sends the requests of `object_store`.
#[derive(Clone, Debug)]
struct Requests {
    client: Client<Dial, HttpRequestBody>,
}

/// Connects, with TLS unless the endpoint is plain HTTP on loopback.
#[derive(Clone)]
struct Dial {
    tls: Option<Arc<ClientConfig>>,
}

/// A connection.
struct Wire(TokioIo<Box<dyn Socket>>);

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

// === impl Requests ===

impl Requests {
    fn new(config: &S3) -> Result<Self, rustls::Error> {
        let tls = match &config.anchors {
            None => None,
            Some(anchors) => {
                let mut roots = RootCertStore::empty();
                for anchor in anchors {
                    roots.add(anchor.clone())?;
                }
                let profile = Profile::BSI;
                let mut tls = ClientConfig::builder_with_provider(profile.provider())
                    .with_protocol_versions(profile.versions())?
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(Arc::new(tls))
            }
        };
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(Dial { tls }) })
    }
}

impl HttpConnector for Requests {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[tonic::async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = timeout(HEAD, self.client.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let answer = answer.map_err(|error| {
            let kind =
                if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error)
        })?;
        let broken = |error| HttpError::new(HttpErrorKind::Request, error);
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

// === impl Dial ===

impl Dial {
    async fn dial(self, uri: Uri) -> io::Result<Wire> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let socket: Box<dyn Socket> = match self.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Box::new(tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?)
            }
        };
        Ok(Wire(TokioIo::new(socket)))
    }
}

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            timeout(CONNECT, dial.dial(uri)).await.map_err(late)?
        })
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("tls", &self.tls.is_some()).finish()
    }
}

// === impl Wire ===

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Time for name, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// Time until an answer begins; the request may carry a chunk.
const HEAD: Duration = Duration::from_secs(60);
/// After this time a request is not tried again.
const RETRY: Duration = Duration::from_secs(90);
