//! The scripted node.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use registry_proto::wire::registry::{
    self as wire, catalogue_service_server::CatalogueServiceServer,
    publish_service_server::PublishServiceServer, watch_service_server::WatchServiceServer,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::Connected},
};

use super::pki::Pki;

/// What the node answers and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    /// Answered by every call if set.
    pub(crate) refusal: Option<Status>,
    /// No call is answered.
    pub(crate) silent: bool,
    pub(crate) services: Vec<wire::ServiceSummary>,
    pub(crate) versions: Vec<wire::VersionSummary>,
    pub(crate) as_of: Vec<wire::AsOf>,
    pub(crate) offers: wire::ResolveLeistungResponse,
    /// Entries on a page, whatever is asked for.
    pub(crate) page: usize,
    pub(crate) status: wire::GetStatusResponse,
    pub(crate) proof: wire::GetInclusionProofResponse,
    pub(crate) published: Vec<wire::PublishRequest>,
    /// Answers of the next publications that are refused.
    pub(crate) refused: VecDeque<Status>,
    /// Revision of every service.
    pub(crate) revision: u64,
    /// Publications that are answered with `UNAVAILABLE` before one is taken.
    pub(crate) unavailable: u32,
    /// One list of steps per watch; when it is used up, watches are unavailable.
    pub(crate) watches: VecDeque<Vec<Step>>,
    pub(crate) watched: Vec<wire::WatchRequest>,
}

/// A step of a watch. After the last one the stream stays open and silent.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(wire::WatchResponse),
    /// The node ends the stream.
    End,
    /// The node answers an error.
    Fail(tonic::Code),
    /// The connection breaks.
    Cut,
    /// The node waits until the test opens the gate.
    Gate(Arc<Notify>),
}

/// A running node; ends when dropped.
pub(crate) struct Node {
    pub(crate) endpoint: String,
    script: Arc<Mutex<Script>>,
    _stop: oneshot::Sender<()>,
}

impl Node {
    pub(crate) fn start(pki: &Pki) -> Self {
        let script = Arc::new(Mutex::new(Script { page: 2, ..Script::default() }));
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("address").port();
        let (acceptor, answers) =
            (TlsAcceptor::from(Arc::clone(&pki.server)), Answers(Arc::clone(&script)));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(async move {
                let listener = TcpListener::from_std(listener).expect("listener");
                tokio::select! {
                    () = serve(listener, acceptor, answers) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { endpoint: format!("https://127.0.0.1:{port}"), script, _stop: stop }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("script")
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, answers: Answers) {
    let (accepted, incoming) = mpsc::channel::<io::Result<Line>>(16);
    let accept = async {
        loop {
            let (tcp, _) = listener.accept().await.expect("accept");
            // a client that is refused is none of the node's business
            if let Ok(tls) = acceptor.accept(tcp).await {
                let line = Line { tls, cut: Arc::default() };
                accepted.send(Ok(line)).await.expect("server");
            }
        }
    };
    let server = Server::builder()
        .add_service(CatalogueServiceServer::new(answers.clone()))
        .add_service(PublishServiceServer::new(answers.clone()))
        .add_service(WatchServiceServer::new(answers))
        .serve_with_incoming(ReceiverStream::new(incoming));
    tokio::select! {
        () = accept => {}
        served = server => served.expect("server"),
    }
}

#[derive(Clone)]
struct Answers(Arc<Mutex<Script>>);

impl Answers {
    async fn script(&self) -> Result<MutexGuard<'_, Script>, Status> {
        if self.lock().silent {
            std::future::pending::<()>().await;
        }
        let script = self.lock();
        match &script.refusal {
            Some(status) => Err(status.clone()),
            None => Ok(script),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("script")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::catalogue_service_server::CatalogueService for Answers {
    async fn list_services(
        &self,
        request: Request<wire::ListServicesRequest>,
    ) -> Answer<wire::ListServicesResponse> {
        let request = request.into_inner();
        let script = self.script().await?;
        let (services, next_page_token) =
            page(&script.services, script.page, request.page_size, &request.page_token);
        let as_of = script.as_of.clone();
        Ok(Response::new(wire::ListServicesResponse { services, next_page_token, as_of }))
    }

    async fn get_service(
        &self,
        request: Request<wire::GetServiceRequest>,
    ) -> Answer<wire::GetServiceResponse> {
        let revision = self.script().await?.revision;
        let definition = wire::ServiceDefinition {
            service_id: request.into_inner().service_id,
            bezeichnung: vec![wire::LocalizedText {
                language_code: "de".to_owned(),
                text: "Gewerbe Anmeldung".to_owned(),
            }],
            ..wire::ServiceDefinition::default()
        };
        let definition = Some(definition);
        let service = wire::Service { definition, revision, ..wire::Service::default() };
        let service = Some(service);
        Ok(Response::new(wire::GetServiceResponse { service, ..Default::default() }))
    }

    async fn list_versions(
        &self,
        request: Request<wire::ListVersionsRequest>,
    ) -> Answer<wire::ListVersionsResponse> {
        let request = request.into_inner();
        let script = self.script().await?;
        let (versions, next_page_token) =
            page(&script.versions, script.page, request.page_size, &request.page_token);
        let as_of = None;
        Ok(Response::new(wire::ListVersionsResponse { versions, next_page_token, as_of }))
    }

    async fn get_version(
        &self,
        _: Request<wire::GetVersionRequest>,
    ) -> Answer<wire::GetVersionResponse> {
        drop(self.script().await?);
        Ok(Response::new(wire::GetVersionResponse::default()))
    }

    async fn resolve_version(
        &self,
        _: Request<wire::ResolveVersionRequest>,
    ) -> Answer<wire::ResolveVersionResponse> {
        drop(self.script().await?);
        Ok(Response::new(wire::ResolveVersionResponse::default()))
    }

    async fn resolve_leistung(
        &self,
        request: Request<wire::ResolveLeistungRequest>,
    ) -> Answer<wire::ResolveLeistungResponse> {
        let request = request.into_inner();
        let answer = self.script().await?.offers.clone();
        let wire::ResolveLeistungRequest { ars, valid_at, .. } = request;
        Ok(Response::new(wire::ResolveLeistungResponse { ars, valid_at, ..answer }))
    }

    async fn search_services(
        &self,
        request: Request<wire::SearchServicesRequest>,
    ) -> Answer<wire::SearchServicesResponse> {
        let limit = request.into_inner().limit as usize;
        let script = self.script().await?;
        let services = script.services.iter().take(limit).cloned().collect();
        let total = script.services.len() as u32;
        Ok(Response::new(wire::SearchServicesResponse { services, total, ..Default::default() }))
    }

    async fn suggest(
        &self,
        request: Request<wire::SuggestRequest>,
    ) -> Answer<wire::SuggestResponse> {
        let limit = request.into_inner().limit as usize;
        let script = self.script().await?;
        let suggestions = script.services.iter().take(limit).map(|service| wire::Suggestion {
            text: service.bezeichnung.clone(),
            service_id: service.service_id.clone(),
            land: service.land.clone(),
        });
        Ok(Response::new(wire::SuggestResponse { suggestions: suggestions.collect() }))
    }

    async fn list_handovers(
        &self,
        _: Request<wire::ListHandoversRequest>,
    ) -> Answer<wire::ListHandoversResponse> {
        drop(self.script().await?);
        Ok(Response::new(wire::ListHandoversResponse::default()))
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<wire::GetInclusionProofRequest>,
    ) -> Answer<wire::GetInclusionProofResponse> {
        Ok(Response::new(self.script().await?.proof.clone()))
    }

    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Answer<wire::GetStatusResponse> {
        Ok(Response::new(self.script().await?.status.clone()))
    }
}

fn page<T: Clone>(all: &[T], most: usize, asked: u32, token: &str) -> (Vec<T>, String) {
    let from: usize = token.parse().unwrap_or(0);
    let to = all.len().min(from + most.min(asked as usize));
    let next = if to < all.len() { to.to_string() } else { String::new() };
    (all[from..to].to_vec(), next)
}

#[tonic::async_trait]
impl wire::publish_service_server::PublishService for Answers {
    async fn publish(
        &self,
        request: Request<wire::PublishRequest>,
    ) -> Answer<wire::PublishResponse> {
        let request = request.into_inner();
        let mut script = self.script().await?;
        let records = (0..request.records.len() as u64)
            .map(|index| wire::PublishedRecord {
                service_id: format!("00000000-0000-7000-8000-{index:012}"),
                position: Some(wire::LogPosition { land: "SL".to_owned(), epoch: 1, index }),
                ..wire::PublishedRecord::default()
            })
            .collect();
        script.published.push(request);
        if let Some(status) = script.refused.pop_front() {
            return Err(status);
        }
        if script.unavailable > 0 {
            script.unavailable -= 1;
            return Err(Status::unavailable("planned"));
        }
        Ok(Response::new(wire::PublishResponse { records, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl wire::watch_service_server::WatchService for Answers {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        let cut = request.extensions().get::<Cut>().expect("own transport").clone();
        let steps = {
            let mut script = self.script().await?;
            script.watched.push(request.into_inner());
            script.watches.pop_front().ok_or_else(|| Status::unavailable("no watch planned"))?
        };
        let holds = !matches!(steps.last(), Some(Step::End | Step::Fail(_) | Step::Cut));
        let planned = tokio_stream::iter(steps)
            .then(move |step| {
                let cut = cut.clone();
                async move {
                    match step {
                        Step::Send(message) => Some(Ok(message)),
                        Step::End => None,
                        Step::Fail(code) => Some(Err(Status::new(code, "planned"))),
                        Step::Cut => {
                            cut.0.store(true, Ordering::SeqCst);
                            Some(Err(Status::internal("never arrives")))
                        }
                        Step::Gate(gate) => {
                            gate.notified().await;
                            None
                        }
                    }
                }
            })
            .filter_map(|step| step);
        if holds {
            return Ok(Response::new(Box::pin(planned.chain(tokio_stream::pending()))));
        }
        Ok(Response::new(Box::pin(planned)))
    }
}

/// A connection that can be cut from inside a handler.
struct Line {
    tls: TlsStream<TcpStream>,
    cut: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Cut(Arc<AtomicBool>);

impl Line {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl Connected for Line {
    type ConnectInfo = Cut;

    fn connect_info(&self) -> Cut {
        Cut(Arc::clone(&self.cut))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
