//! A partner played by a test: it has the certificate of a node and says what the test wants.

use std::time::Duration;

use registry_client::{Client, ClientConfig};
use registry_node::pki::Pki;
use registry_proto::{
    log::VerbundId,
    terms::Land,
    wire::peer::{
        Hello, PeerMessage, SessionRequest, SessionResponse, peer_message::Message,
        peer_service_client::PeerServiceClient,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// The partner's end of a session.
#[derive(Debug)]
pub struct Partner {
    sender: mpsc::Sender<SessionRequest>,
    answers: Streaming<SessionResponse>,
}

// === impl Partner ===

impl Partner {
    /// Dials a node and says nothing yet.
    ///
    /// # Errors
    ///
    /// The node refuses the session.
    pub async fn dial(config: ClientConfig) -> Result<Self, Status> {
        let client = Client::connect(config).await.expect("the handshake stands");
        let (sender, messages) = mpsc::channel(16);
        let requests = ReceiverStream::new(messages);
        let answers =
            PeerServiceClient::new(client.channel()).session(requests).await?.into_inner();
        Ok(Self { sender, answers })
    }

    /// Says hello as the node of a Land, under the genesis charter.
    pub async fn hello(&mut self, verbund: VerbundId, land: Land) {
        self.hello_under(verbund, land, 0).await;
    }

    /// Says hello as the node of a Land, and which charter it runs under.
    pub async fn hello_under(&mut self, verbund: VerbundId, land: Land, charter: u64) {
        self.send(Message::Hello(Hello {
            verbund: verbund.as_bytes().to_vec().into(),
            land: land.code().to_owned(),
            node: Pki::node_name(land),
            protocol_min: 1,
            protocol_max: 1,
            features: Vec::new(),
            charter,
        }))
        .await;
    }

    /// Says anything.
    pub async fn send(&mut self, message: Message) {
        let message = SessionRequest { message: Some(PeerMessage { message: Some(message) }) };
        // a node that has closed the session takes no more; the next answer tells
        let _ = self.sender.send(message).await;
    }

    /// The next message that `wanted` takes; none when the node ended the session.
    ///
    /// # Errors
    ///
    /// The session ended with an error.
    pub async fn expect<T>(
        &mut self,
        wanted: impl Fn(Message) -> Option<T>,
    ) -> Result<Option<T>, Status> {
        let all = async {
            while let Some(answer) = self.answers.message().await? {
                let message = answer.message.and_then(|it| it.message);
                if let Some(found) = message.and_then(&wanted) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        tokio::time::timeout(LIMIT, all).await.expect("the node says it in time")
    }
}

const LIMIT: Duration = Duration::from_secs(30);
