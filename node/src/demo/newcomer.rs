//! A fifth Land joins while the demo runs: Bavaria, with keys and a CA of its own, by the same calls
//! and commands that operators use.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message as _;
use registry_client::{
    catalogue::ServiceFilter,
    connect::{ANSWER_TIMEOUT, Client, ClientConfig},
    error::ClientError,
};
use registry_core::catalogue::demo::demo_records;
use registry_proto::{
    charter::{Charter, CharterError},
    join::{JoinToken, TokenError},
    terms::Land,
    wire::registry::{CharterDecision, PublishRequest, Record, record},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Demo, DemoError, DemoNode,
    node::localhost,
    prepare::{self, Paths, PrepareError},
};
use crate::{
    app::{Bound, Listeners},
    cli::{
        init,
        join::{self as command, JoinCommandError},
    },
    config::{Config, ConfigError, Listen, Newcomer, Unlock},
    join::{self, Asking, JoinError, KeepError, Told},
    pki::{Files, Pki},
};

/// Who joins.
pub const NEWCOMER: Land = Land::BY;

/// Why nobody joins.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// Keys, certificates or configuration cannot be made.
    #[error("die Vorbereitung des neuen Landes ist gescheitert")]
    Prepare(#[from] PrepareError),
    /// Its configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node refuses.
    #[error("{land}: der Knoten lehnt ab")]
    Client {
        /// Which.
        land: Land,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// The token is none.
    #[error("das Token ist keines")]
    Token(#[from] TokenError),
    /// The card is not signed.
    #[error(transparent)]
    Card(#[from] JoinCommandError),
    /// The node that invited refuses.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The charters cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The charters break a rule.
    #[error("die Charta ist nicht gültig")]
    Charter(#[from] CharterError),
    /// No port for joining.
    #[error("der Knoten von SL nimmt keine Beitritte an; mit --with-newcomer starten")]
    NoPort,
    /// Something does not happen in time.
    #[error("nach {0} s nicht geschehen: {1}")]
    Late(u64, &'static str),
}

/// The directory of the newcomer.
struct Home {
    dir: PathBuf,
    pki: Pki,
    bound: Bound,
}

// === impl Demo ===

impl Demo {
    /// Whether the charter in force names the newcomer, so that a start goes on with it.
    ///
    /// # Errors
    ///
    /// [`DemoError::Admit`].
    pub async fn has_newcomer(&self) -> Result<bool, DemoError> {
        let (newest, _) = self.newest(Land::SL).await?;
        Ok(newest.last().is_some_and(|it| it.member(NEWCOMER).is_some()))
    }

    /// Invites the newcomer, lets it present itself, votes, and starts its node; tells each step.
    /// Where that was done before, its node is started only.
    ///
    /// # Errors
    ///
    /// [`DemoError::Admit`], and those of a node that does not start.
    pub async fn admit(&self, listen: &Listen) -> Result<(), DemoError> {
        let listeners = Listeners::bind(listen).await?;
        let home = self.home(listeners.addresses())?;
        let (charters, decisions) = self.newest(Land::SL).await?;
        let is_member = charters.last().is_some_and(|it| it.member(NEWCOMER).is_some());
        if is_member {
            join::keep(&home.charter(), &charters, &decisions).map_err(AdmitError::Keep)?;
            let number = charters.last().map_or(0, Charter::number);
            println!("\n{} ist schon Mitglied (Charta Nr. {number}).", NEWCOMER.name());
        } else {
            println!("\n{} tritt bei:", NEWCOMER.name());
            self.vote_in(&home).await?;
        }
        let config = Config::load(&home.config())?;
        let node = DemoNode::start(config, listeners).await?;
        // there is one newcomer
        let _ = self.guest.set(node);
        self.wait_open().await?;
        self.wait_live().await?;
        if !is_member {
            println!("  Der Knoten von {NEWCOMER} hält alle Einträge aller Mitglieder.");
            self.publish_first(&home).await?;
        } else {
            println!("  Sein Knoten läuft und hält alle Einträge aller Mitglieder.");
            home.describe();
        }
        Ok(())
    }

    async fn vote_in(&self, home: &Home) -> Result<(), AdmitError> {
        let asking = self.invite(home).await?;
        let told = asking.present().await?;
        join::keep(&home.charter(), &told.charters, &told.decisions)?;
        println!(
            "  {NEWCOMER} legt es mit seiner Mitgliedskarte vor und steht als Anwärter bei SL."
        );
        let charter = told.newest().ok_or(AdmitError::NoPort)?;
        let votes = usize::try_from(charter.threshold()).unwrap_or(usize::MAX);
        self.vote(charter, votes).await?;
        let told = admitted(&asking).await?;
        join::keep(&home.charter(), &told.charters, &told.decisions)?;
        let number = told.newest().map_or(0, Charter::number);
        println!("  {votes} Stimmen: Charta Nr. {number} gilt, {NEWCOMER} ist Mitglied.");
        Ok(())
    }

    async fn invite(&self, home: &Home) -> Result<Asking, AdmitError> {
        let sl = self.node(Land::SL).ok_or(AdmitError::NoPort)?;
        let port = sl.bound().join.ok_or(AdmitError::NoPort)?;
        let client = self.operator(Land::SL).await?;
        let made = client.invite(NEWCOMER.code().to_owned(), vec![localhost(port)], 0).await;
        let made = made.map_err(of(Land::SL))?;
        let id = made.invitation.map(|it| it.invitation_id).unwrap_or_default();
        println!("  SL lädt ein: Einmal-Token {id} für {NEWCOMER}, einen Tag gültig.");
        let token = JoinToken::parse(&made.token)?;
        let newcomer = Newcomer::load(&home.config(), init::KEY_FILES[2], &Unlock::default())?;
        Ok(command::prepare(token, &newcomer, &home.dir.join("member.json"))?)
    }

    /// SL proposes who waits there, others agree when they see the proposal.
    async fn vote(&self, charter: &Charter, votes: usize) -> Result<(), AdmitError> {
        let sl = self.operator(Land::SL).await?;
        let waiting = sl.invitations().await.map_err(of(Land::SL))?;
        let member = waiting.into_iter().filter(|it| it.land == NEWCOMER.code());
        // of several by interrupted starts the newest counts
        let member = member
            .filter(|it| it.member.is_some())
            .max_by_key(|it| it.presented_at.as_ref().map(|it| (it.seconds, it.nanos)));
        let member = member.and_then(|it| it.member).ok_or(AdmitError::NoPort)?;
        let mut next = charter.admitting(member);
        next.list(&sl.ended_epochs().await.map_err(of(Land::SL))?);
        let (next, _) = charter.successor(Bytes::from(next.encode_to_vec()))?;
        for (at, land) in super::LAENDER.into_iter().take(votes).enumerate() {
            let client = self.operator(land).await?;
            if at > 0 {
                sees(&client, land, &next).await?;
            }
            let voted = client.vote_charter(next.raw().clone(), false).await.map_err(of(land))?;
            let place = voted.position.unwrap_or_default();
            let what = if at == 0 { "schlägt die Aufnahme vor" } else { "stimmt zu" };
            println!("  {land} {what} ({}/{}/{}).", place.land, place.epoch, place.index);
        }
        Ok(())
    }

    /// Publishes a service at the newcomer, and waits until SL shows it.
    async fn publish_first(&self, home: &Home) -> Result<(), DemoError> {
        let (request, name) = first_service();
        let client = home.publisher().await?;
        client.publish(request).await.map_err(of(NEWCOMER))?;
        let sl = self.client(Land::SL, self.prepared.pki.reader()).await?;
        let filter = ServiceFilter { land: Some(NEWCOMER), ..ServiceFilter::default() };
        until("SL zeigt, was das neue Land veröffentlicht", async || {
            let listed = sl.services(filter.clone(), None).await;
            listed.is_ok_and(|it| !it.entries.is_empty())
        })
        .await?;
        println!("  {NEWCOMER} veröffentlicht »{name}«; der Knoten von SL zeigt es.");
        home.describe();
        Ok(())
    }

    /// All charters as a node of the founders tells them.
    async fn newest(&self, land: Land) -> Result<(Vec<Charter>, Vec<CharterDecision>), AdmitError> {
        let client = self.operator(land).await?;
        let mut told = client.charters().await.map_err(of(land))?;
        until("die Stimmen sind gezählt", async || {
            if let Ok(now) = client.charters().await {
                told = now;
            }
            // what was kept is known before the votes for it are read
            told.newest >= told.followed
        })
        .await?;
        let chain = Charter::encode_chain(told.charters, told.decisions);
        Ok(Charter::chain_and_decisions(chain.into())?)
    }

    async fn operator(&self, land: Land) -> Result<Client, AdmitError> {
        self.client(land, self.prepared.pki.operator(land)).await
    }

    async fn client(&self, land: Land, files: Files) -> Result<Client, AdmitError> {
        let node = self.node(land).ok_or(AdmitError::NoPort)?;
        connect(land, node.bound(), self.prepared.pki.bundle(), files).await
    }

    fn home(&self, bound: Bound) -> Result<Home, AdmitError> {
        let dir = prepare::home(self.prepared.dir(), NEWCOMER);
        fs::create_dir_all(&dir).map_err(|source| prepare::file_error(&dir, source))?;
        let pki = Pki::ensure(&dir, &[NEWCOMER], OffsetDateTime::now_utc());
        let pki = pki.map_err(PrepareError::from)?;
        let home = Home { dir, pki, bound };
        let card = prepare::card(&home.dir, NEWCOMER, &home.pki)?;
        let card = serde_json::to_string_pretty(&card).map_err(|_| init::InitError::Encode);
        let partners: Vec<_> = self.nodes().map(|it| (it.land(), it.bound())).collect();
        let paths = Paths { pki: &home.pki, charter: "charter.binpb" };
        let files = [
            ("member.json", card.map_err(PrepareError::from)?),
            ("node.toml", prepare::toml(&paths, NEWCOMER, &home.bound, &partners)),
        ];
        for (name, text) in files {
            let path = home.dir.join(name);
            fs::write(&path, text).map_err(|source| prepare::file_error(&path, source))?;
        }
        Ok(home)
    }
}

// === impl Home ===

impl Home {
    /// Says how to ask the node of the newcomer.
    fn describe(&self) {
        let pki = self.dir.join("pki");
        let pki = pki.display();
        println!(
            "  Dort fragen: registry --endpoint https://{} --ca {pki}/ca.pem --cert \
             {pki}/reader.pem --key {pki}/reader.key service list",
            localhost(self.bound.grpc)
        );
    }

    fn config(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    fn charter(&self) -> PathBuf {
        self.dir.join("charter.binpb")
    }

    async fn publisher(&self) -> Result<Client, AdmitError> {
        let files = self.pki.publisher(NEWCOMER);
        connect(NEWCOMER, self.bound, self.pki.bundle(), files).await
    }
}

async fn connect(
    land: Land,
    bound: Bound,
    ca: PathBuf,
    files: Files,
) -> Result<Client, AdmitError> {
    let config = ClientConfig {
        endpoint: format!("https://{}", bound.grpc),
        ca,
        cert: files.certificate,
        key: files.key,
        timeout: ANSWER_TIMEOUT,
    };
    Client::connect(config).await.map_err(of(land))
}

/// Waits until a node shows a proposal.
async fn sees(client: &Client, land: Land, next: &Charter) -> Result<(), AdmitError> {
    let digest = next.digest();
    let mut refused = None;
    until("ein Mitglied sieht den Vorschlag", async || match client.charters().await {
        Ok(told) => told.proposals.iter().any(|it| it.digest[..] == digest.as_bytes()[..]),
        Err(error) => {
            refused = Some(error);
            true
        }
    })
    .await?;
    refused.map_or(Ok(()), |error| Err(of(land)(error)))
}

async fn admitted(asking: &Asking) -> Result<Told, AdmitError> {
    let mut admitted = None;
    until("die Stimmen zählen", async || {
        // the node begins again under the new charter meanwhile
        admitted = asking.look().await.ok().filter(|it| it.admits(asking));
        admitted.is_some()
    })
    .await?;
    admitted.ok_or(AdmitError::NoPort)
}

async fn until(what: &'static str, mut done: impl AsyncFnMut() -> bool) -> Result<(), AdmitError> {
    let deadline = Instant::now() + WAIT;
    while !done().await {
        if Instant::now() > deadline {
            return Err(AdmitError::Late(WAIT.as_secs(), what));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A service of the shipped catalogue under a name of its own, and that name.
fn first_service() -> (PublishRequest, String) {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"verbund-demo/newcomer").to_string();
    let mut records = Vec::new();
    let mut name = String::new();
    if let Some(mut service) = demo_records(|_| NEWCOMER).into_iter().next() {
        name = service.definition.bezeichnung.first().map(|it| it.text.clone()).unwrap_or_default();
        service.definition.service_id.clone_from(&id);
        records.push(record::Record::ServiceDefinition(service.definition));
        for mut version in service.versions {
            version.service_id.clone_from(&id);
            records.push(record::Record::ServiceVersion(version));
        }
    }
    let records = records.into_iter().map(|it| Record { record: Some(it), ..Record::default() });
    let request = PublishRequest { records: records.collect(), ..PublishRequest::default() };
    (request, name)
}

fn of(land: Land) -> impl FnOnce(ClientError) -> AdmitError {
    move |source| AdmitError::Client { land, source: Box::new(source) }
}

const WAIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(600);
