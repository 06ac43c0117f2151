//! `verbund.registry.v1.EpochService`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use registry_core::{
    authorize::{self, Action},
    limits,
    reject::Reject,
};
use registry_journal::Reader;
use registry_proto::{
    charter::Charter,
    epoch::{Reset, ResetError, TakenReset},
    german::German,
    log::{Header, Kind, LogSigner, tree_root},
    terms::{Land, LogId},
    wire::registry::{
        CountersignEpochResetRequest, CountersignEpochResetResponse, ListEpochResetsRequest,
        ListEpochResetsResponse, TakeEpochResetRequest, TakeEpochResetResponse,
        epoch_service_server::EpochService,
    },
};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::{
    driver::Clock,
    epochs::{Resets, ResetsError},
    lifecycle::{Shutdown, StopCause, chain},
    status::StatusBoard,
    wire::{
        audited::{about, rehearsed},
        caller::caller,
        status::status,
    },
};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct EpochApi {
    setup: Arc<Setup>,
    /// One consent at a time: the next one must see it.
    turn: Arc<Mutex<()>>,
}

/// What the service needs.
#[derive(Debug)]
pub struct Setup {
    /// The Land of this node.
    pub land: Land,
    /// The charter it runs under.
    pub charter: Charter,
    /// Those before it, oldest first.
    pub past: Vec<Charter>,
    /// What it countersigns with.
    pub signer: LogSigner,
    /// Where resets are kept.
    pub resets: Resets,
    /// Those the node runs with.
    pub taken: Vec<TakenReset>,
    /// All logs that are here.
    pub readers: BTreeMap<LogId, Reader>,
    /// What is known of them.
    pub board: StatusBoard,
    /// Its clock.
    pub clock: Clock,
    /// Asked to stop when a reset is taken.
    pub begins_again: Shutdown,
}

// === impl EpochApi ===

impl EpochApi {
    /// Countersigns and takes with what it is given.
    pub fn new(setup: Setup) -> Self {
        Self { setup: Arc::new(setup), turn: Arc::default() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Status> {
        let api = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&api)).await;
        done.map_err(|_| status(Reject::Storage { operation: "working with resets" }))?
            .map_err(status)
    }

    fn countersign(
        &self,
        raw: &Bytes,
        dry_run: bool,
    ) -> Result<CountersignEpochResetResponse, Reject> {
        let setup = &self.setup;
        let reset = Reset::read(raw).map_err(refused)?;
        let mut missing = reset.verify(&setup.charter).map_err(refused)?;
        let log = reset.said().log;
        setup.runs(log)?;
        if log.land == setup.land {
            return Err(refused(ResetError::NoMember(log.land)));
        }
        let held = setup.holds_kept(&reset)?;
        setup.discards_no_vote(&reset)?;
        let mut agreed = reset.clone();
        if !dry_run {
            agreed = self.agree(reset)?;
            missing = agreed.verify(&setup.charter).map_err(refused)?;
        }
        let known =
            setup.board.load().logs.iter().find(|it| it.log == log).map_or(0, |it| it.known);
        Ok(CountersignEpochResetResponse {
            reset: agreed.encode(),
            held,
            known: known.max(held),
            missing: u32::try_from(missing).unwrap_or(u32::MAX),
        })
    }

    /// The reset with the consent of this Land, which is durable before it leaves.
    fn agree(&self, mut reset: Reset) -> Result<Reset, Reject> {
        let setup = &self.setup;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let log = reset.said().log;
        if let Some(before) = setup.resets.agreed(log).map_err(|it| unusable(&it))? {
            if before.digest() != reset.digest() {
                return Err(Reject::Precondition {
                    reason: "OTHER_RESET_COUNTERSIGNED",
                    description: format!(
                        "{} hat für {log} schon einer anderen Zurücksetzung zugestimmt: bei {} \
                         Einträgen, {}",
                        setup.land,
                        before.said().size,
                        before.digest()
                    ),
                });
            }
            reset.merge(before).map_err(refused)?;
            return Ok(reset);
        }
        let (id, key) = (setup.charter.id(), setup.signer.freshness());
        let agreed = reset.countersign(id, setup.land, key, setup.clock.wall_ms());
        let agreed = agreed.map_err(refused)?;
        setup.resets.agree(&agreed).map_err(|it| unusable(&it))?;
        info!(%log, size = agreed.said().size, "countersigned a reset");
        Ok(agreed)
    }

    fn take(&self, raw: &Bytes) -> Result<TakeEpochResetResponse, Reject> {
        let setup = &self.setup;
        let reset = Reset::read(raw).map_err(refused)?;
        let log = reset.said().log;
        setup.runs(log)?;
        let open = setup.board.load().fence_open;
        if log.land == setup.land && open {
            return Err(Reject::Precondition {
                reason: "LOG_IS_WRITTEN",
                description: format!(
                    "{log} wird geschrieben; was seit der Zurücksetzung dazukam, ginge verloren"
                ),
            });
        }
        let held = setup.readers.get(&log).map_or(0, Reader::size);
        if held >= reset.said().size {
            setup.holds_kept(&reset)?;
        }
        let taken = reset.counts(&setup.charter, &setup.past).map_err(refused)?;
        setup.resets.keep(&taken).map_err(|it| unusable(&it))?;
        warn!(%log, size = taken.said().size, "took a reset, the node begins again");
        setup.begins_again.request(StopCause::Epoch { log });
        let next = taken.said().next();
        Ok(TakeEpochResetResponse { land: next.land.code().to_owned(), epoch: next.epoch })
    }
}

// === impl Setup ===

impl Setup {
    /// The epoch is the one that its Land writes.
    fn runs(&self, log: LogId) -> Result<(), Reject> {
        let newest = registry_proto::epoch::newest(log.land, &self.taken);
        if log != newest {
            return Err(Reject::Precondition {
                reason: "EPOCH_NOT_RUNNING",
                description: format!("{log} ist nicht die laufende Epoche; das ist {newest}"),
            });
        }
        if usize::try_from(log.epoch).is_ok_and(|it| it >= limits::EPOCHS_MAX) {
            return Err(Reject::Precondition {
                reason: "EPOCHS_USED_UP",
                description: format!("ein Protokoll hat höchstens {} Epochen", limits::EPOCHS_MAX),
            });
        }
        Ok(())
    }

    /// What the reset keeps is here, and is what it says; answers how much is here.
    fn holds_kept(&self, reset: &Reset) -> Result<u64, Reject> {
        let said = reset.said();
        let reader = self.readers.get(&said.log);
        let held = reader.map_or(0, Reader::size);
        let Some(reader) = reader.filter(|_| held >= said.size) else {
            return Err(Reject::Precondition {
                reason: "KEPT_NOT_HERE",
                description: format!(
                    "von {} liegen hier {held} Einträge; die Zurücksetzung behält {}. Erst wenn sie \
                     hier sind, lässt sich prüfen, was behalten wird",
                    said.log, said.size
                ),
            });
        };
        let root = tree_root(reader, said.size)
            .map_err(|_| Reject::Storage { operation: "reading the hashes of the journal" })?;
        if root != said.root {
            return Err(Reject::Precondition {
                reason: "OTHER_HISTORY",
                description: format!(
                    "die ersten {} Einträge von {} sind hier andere als die, die die Zurücksetzung \
                     behält",
                    said.size, said.log
                ),
            });
        }
        Ok(held)
    }

    /// No vote about a charter is discarded that others may have counted.
    fn discards_no_vote(&self, reset: &Reset) -> Result<(), Reject> {
        let log = reset.said().log;
        let Some(reader) = self.readers.get(&log) else { return Ok(()) };
        let mut next = reset.said().size;
        while next < reader.size() {
            let entries = reader
                .read(next, CHUNK_BYTES, CHUNK_ENTRIES)
                .map_err(|_| Reject::Storage { operation: "reading the journal" })?;
            for entry in &entries {
                let vote =
                    Header::parse(&entry.header).is_ok_and(|it| it.kind == Kind::CharterVote);
                if vote {
                    return Err(Reject::Precondition {
                        reason: "DISCARDS_VOTE",
                        description: format!(
                            "{log}/{} ist eine Stimme zur Charta; Stimmen werden nicht verworfen",
                            entry.index
                        ),
                    });
                }
            }
            next += entries.len() as u64;
            if entries.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl EpochService for EpochApi {
    async fn countersign_epoch_reset(
        &self,
        request: Request<CountersignEpochResetRequest>,
    ) -> Result<Response<CountersignEpochResetResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let CountersignEpochResetRequest { reset, dry_run } = request.into_inner();
        let object = said(&reset);
        let answer = self.blocking(move |api| api.countersign(&reset, dry_run)).await?;
        Ok(rehearsed(answer, object, dry_run))
    }

    async fn take_epoch_reset(
        &self,
        request: Request<TakeEpochResetRequest>,
    ) -> Result<Response<TakeEpochResetResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let TakeEpochResetRequest { reset } = request.into_inner();
        let object = said(&reset);
        Ok(about(self.blocking(move |api| api.take(&reset)).await?, object))
    }

    async fn list_epoch_resets(
        &self,
        request: Request<ListEpochResetsRequest>,
    ) -> Result<Response<ListEpochResetsResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let resets = self.setup.taken.iter().map(TakenReset::encode).collect();
        Ok(Response::new(ListEpochResetsResponse { resets }))
    }
}

/// What the audit log says of a reset.
fn said(raw: &Bytes) -> String {
    match Reset::read(raw) {
        Ok(reset) => {
            let it = reset.said();
            format!("{} size={} root={} reset={}", it.log, it.size, it.root, reset.digest())
        }
        Err(_) => "reset=unreadable".to_owned(),
    }
}

/// What is wrong with a reset, for whoever sent it.
fn refused(why: ResetError) -> Reject {
    match why {
        ResetError::Missing { missing } => Reject::Precondition {
            reason: "COUNTERSIGNATURES_MISSING",
            description: format!(
                "es fehlen noch {missing} Zustimmungen; nötig ist mehr als die Hälfte der anderen \
                 Mitglieder"
            ),
        },
        ResetError::Unsigned => Reject::Unavailable {
            reason: "KEY_DOES_NOT_SIGN",
            description: "der Schlüssel dieses Landes signiert nicht; das Log des Knotens nennt \
                          den Grund"
                .to_owned(),
        },
        ResetError::TooLong { .. }
        | ResetError::Undecodable
        | ResetError::Field { .. }
        | ResetError::OtherReset(_)
        | ResetError::Twice(_)
        | ResetError::Different
        | ResetError::NoMember(_)
        | ResetError::OtherListed { .. }
        | ResetError::Statement { .. } => {
            Reject::field("reset", "EPOCH_RESET", German(why).to_string())
        }
    }
}

fn unusable(why: &ResetsError) -> Reject {
    tracing::error!(cause = chain(why), "resets cannot be kept");
    Reject::Storage { operation: "keeping a reset" }
}

const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;
