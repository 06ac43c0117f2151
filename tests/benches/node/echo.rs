//! The bare transport: a unary call of 2 KB each way, same TLS, same HTTP/2, no registry.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use registry_client::{Client, ClientConfig, connect::ANSWER_TIMEOUT};
use registry_node::{
    app::App,
    config::Config,
    demo::Prepared,
    lifecycle::Shutdown,
    observe::Metrics,
    pki::Pki,
    tls::{AcceptLimits, Acceptor, Listener, TlsContext},
};
use registry_proto::terms::Land::SL;
use tonic::{Request, Response, Status, body::Body, server::UnaryService};
use tonic_prost::ProstCodec;

/// Payload of an echo.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
}

pub(crate) struct Echo {
    address: std::net::SocketAddr,
    config: ClientConfig,
    shutdown: Shutdown,
}

#[derive(Clone)]
struct Service;

struct Method;

pub(crate) async fn start(prepared: &Prepared, _app: &App) -> Echo {
    let config = Config::load(&prepared.config(SL)).expect("configuration");
    let context = TlsContext::new(config.tls.profile, config.material().expect("material"));
    let shutdown = Shutdown::new();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("address");
    let incoming = Acceptor {
        context: Arc::new(context.expect("context")),
        metrics: Arc::new(Metrics::new("bench")),
        audit: registry_node::audit::Audit::nowhere(),
        listener: Listener::Grpc,
        limits: AcceptLimits::default(),
    }
    .incoming(socket, &shutdown)
    .expect("accepts");
    let token = shutdown.token().clone();
    let server = tonic::transport::Server::builder().add_service(Service);
    shutdown.spawn(registry_node::lifecycle::TaskKind::Listener, async move {
        server.serve_with_incoming_shutdown(incoming, async move { token.cancelled().await }).await
    });
    let _ = Pki::node_name(SL);
    let files = prepared.pki.reader();
    let config = ClientConfig {
        endpoint: format!("https://{address}"),
        ca: prepared.pki.bundle(),
        cert: files.certificate,
        key: files.key,
        timeout: ANSWER_TIMEOUT,
    };
    Echo { address, config, shutdown }
}

pub(crate) async fn call(client: Client, _n: u64) {
    let mut grpc = tonic::client::Grpc::new(client.channel());
    grpc.ready().await.expect("ready");
    let path = http::uri::PathAndQuery::from_static("/bench.Echo/Echo");
    let payload = Payload { data: Bytes::from_static(&[7; 2_048]) };
    let codec = ProstCodec::<Payload, Payload>::default();
    let answer = grpc.unary(Request::new(payload), path, codec).await.expect("echo");
    assert_eq!(answer.into_inner().data.len(), 2_048);
}

// === impl Echo ===

impl Echo {
    pub(crate) async fn clients(&self, count: usize) -> Vec<Client> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Client::connect(self.config.clone()).await.expect("connected"));
        }
        all
    }

    pub(crate) async fn stop(self) {
        let _ = self.address;
        self.shutdown.drain(std::time::Duration::from_secs(2)).await;
    }
}

impl tonic::server::NamedService for Service {
    const NAME: &'static str = "bench.Echo";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<Payload, Payload>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Method, request).await)
        })
    }
}

impl UnaryService<Payload> for Method {
    type Response = Payload;
    type Future = std::future::Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}
