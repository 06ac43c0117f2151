//! Publishes the shipped catalogue: each service by its Land, over the front door.

use std::{collections::HashSet, fmt, sync::Arc, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};
use registry_client::{
    catalogue::ServiceFilter,
    connect::{ANSWER_TIMEOUT, Client, ClientConfig},
    error::ClientError,
};
use registry_core::catalogue::{
    ShippedCatalogue,
    demo::{DemoService, demo_records, lead},
};
use registry_proto::{
    terms::Land,
    wire::registry::{PublishRequest, Record, record},
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::demo::{Demo, DemoNode};

/// Why the catalogue is not published.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A node refuses.
    #[error("{land}: der Knoten lehnt ab")]
    Client {
        /// Which.
        land: Land,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// A publishing task died.
    #[error("eine Aufgabe ist abgebrochen")]
    Task(#[from] tokio::task::JoinError),
}

/// What was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Services of the catalogue.
    pub services: usize,
    /// Those published now; the others were there.
    pub published: usize,
    /// Records published now.
    pub records: usize,
    /// Rows of the shipped catalogue that become no service.
    pub without_key: usize,
    /// Keys that no OZG-Leistung bundles.
    pub without_ozg_id: usize,
    seconds: u64,
}

/// Publications under way at one node.
const PARALLEL: usize = 16;

/// Publishes what is missing.
///
/// # Errors
///
/// See [`LoadError`].
pub(super) async fn load(demo: &Demo) -> Result<Loaded, LoadError> {
    let begun = Instant::now();
    let services = demo_records(lead);
    let all = services.len();
    let bar = ProgressBar::new(all as u64).with_style(style());
    let mut work = JoinSet::new();
    for node in demo.nodes() {
        let land = node.land();
        let own: Vec<_> = services.iter().filter(|it| it.land == land).cloned().collect();
        let config = config(demo, node);
        let bar = bar.clone();
        work.spawn(async move {
            publish(config, land, own, bar)
                .await
                .map_err(|source| LoadError::Client { land, source: Box::new(source) })
        });
    }
    let (mut published, mut records) = (0, 0);
    while let Some(done) = work.join_next().await {
        let (of_land, of_records) = done??;
        published += of_land;
        records += of_records;
    }
    bar.finish_and_clear();
    let catalogue = ShippedCatalogue::shipped();
    Ok(Loaded {
        services: all,
        published,
        records,
        without_key: catalogue.ozg.len() - all,
        without_ozg_id: catalogue.leistungen.iter().filter(|it| it.ozg_id.is_none()).count(),
        seconds: begun.elapsed().as_secs(),
    })
}

async fn publish(
    config: ClientConfig,
    land: Land,
    services: Vec<DemoService>,
    bar: ProgressBar,
) -> Result<(usize, usize), ClientError> {
    let client = Client::connect(config).await?;
    let filter = ServiceFilter { land: Some(land), ..ServiceFilter::default() };
    let listing = client.services(filter, None).await?;
    let known: HashSet<_> = listing
        .entries
        .into_iter()
        .map(|it| (it.service_id, usize::try_from(it.version_count).unwrap_or_default()))
        .collect();
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut work = JoinSet::new();
    for service in services {
        let id = service.definition.service_id.clone();
        if known.contains(&(id, service.versions.len())) {
            bar.inc(1);
            continue;
        }
        let (client, places, bar) = (client.clone(), places.clone(), bar.clone());
        work.spawn(async move {
            // the semaphore is never closed
            let _place = places.acquire_owned().await;
            let request = request(service);
            let records = request.records.len();
            client.publish(request).await?;
            bar.inc(1);
            Ok::<_, ClientError>(records)
        });
    }
    let (mut published, mut records) = (0, 0);
    while let Some(done) = work.join_next().await {
        let Ok(of_service) = done else { continue };
        records += of_service?;
        published += 1;
    }
    Ok((published, records))
}

fn request(service: DemoService) -> PublishRequest {
    let versions = service.versions.into_iter().map(record::Record::ServiceVersion);
    let records = std::iter::once(record::Record::ServiceDefinition(service.definition))
        .chain(versions)
        .map(|it| Record { record: Some(it), ..Record::default() })
        .collect();
    PublishRequest { records, ..PublishRequest::default() }
}

fn config(demo: &Demo, node: &DemoNode) -> ClientConfig {
    let files = demo.prepared.pki.publisher(node.land());
    ClientConfig {
        endpoint: format!("https://{}", node.bound().grpc),
        ca: demo.prepared.pki.bundle(),
        cert: files.certificate,
        key: files.key,
        timeout: ANSWER_TIMEOUT,
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("Katalog {bar:40} {pos}/{len} Leistungen")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Katalog: {} OZG-Leistungen mit Schlüssel, davon {} neu veröffentlicht ({} Einträge, \
             {} s); {} ohne Schlüssel und {} Schlüssel ohne OZG-ID stehen nur im mitgelieferten \
             Katalog.\nWas die Quellen nicht enthalten, ist als Demonstrationswert gekennzeichnet \
             (demonstration_fields).",
            self.services,
            self.published,
            self.records,
            self.seconds,
            self.without_key,
            self.without_ozg_id
        )
    }
}
