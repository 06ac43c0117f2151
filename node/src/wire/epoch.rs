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
        audited::{Subject, about, rehearsed},
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
        // who agreed with a key of then may agree anew
        let reset = Reset::read(raw).map_err(refused)?;
        let reset = reset.without_former(&setup.charter, &setup.past);
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
    fn agree(&self, reset: Reset) -> Result<Reset, Reject> {
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
            let mut known = before.without_former(&setup.charter, &setup.past);
            let has_agreed = known.consents().any(|it| it == setup.land);
            known.merge(reset.clone()).map_err(refused)?;
            if has_agreed && known.verify(&setup.charter).is_ok() {
                return Ok(known);
            }
            // the same one again: the key has changed since
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
                    "{log} wird an diesem Knoten geschrieben; was seit der Zurücksetzung dazukam, ginge \
                     verloren. In Kraft setzen an einem Knoten eines anderen Landes; dieser bekommt \
                     sie von ihm"
                ),
            });
        }
        let held = setup.readers.get(&log).map_or(0, Reader::size);
        if held >= reset.said().size {
            setup.holds_kept(&reset)?;
        }
        // what is complete under a charter before needs the keys of then, all else those in use
        let taken = reset.clone().counts(&setup.charter, &setup.past).or_else(|_| {
            let reset = reset.without_former(&setup.charter, &setup.past);
            reset.counts(&setup.charter, &setup.past)
        });
        let taken = taken.map_err(refused)?;
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
                     hier sind, lässt sich prüfen, was behalten wird. Kommen sie nicht mehr (das Protokoll \
                     ist gesperrt), eine Zurücksetzung mit --size {held} vorlegen",
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
                     behält. Prüfen und in Kraft setzen kann sie, wer die behaltenen hat; gilt sie, holt \
                     dieser Knoten sie von dort und legt seine beiseite",
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
        let object = said(&request.get_ref().reset);
        Subject::say(&request, &object);
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let CountersignEpochResetRequest { reset, dry_run } = request.into_inner();
        let answer = self.blocking(move |api| api.countersign(&reset, dry_run)).await?;
        Ok(rehearsed(answer, object, dry_run))
    }

    async fn take_epoch_reset(
        &self,
        request: Request<TakeEpochResetRequest>,
    ) -> Result<Response<TakeEpochResetResponse>, Status> {
        let object = said(&request.get_ref().reset);
        Subject::say(&request, &object);
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let TakeEpochResetRequest { reset } = request.into_inner();
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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use registry_proto::{
        epoch::EpochReset,
        log::Hash,
        terms::Land::{HE, RP, SL},
        wire::registry as proto,
    };

    use super::*;
    use crate::testing::{charter_of, key_of};

    /// A genesis charter and two that follow, each with another freshness key of Hessen, and what its
    /// node signs with under each.
    fn rekeyed() -> (Vec<Charter>, Vec<LogSigner>) {
        let (genesis, signers) = charter_of(&[HE, RP, SL]);
        let (mut charters, mut signers) = (vec![genesis], vec![signers[0].clone()]);
        for what in [11, 12] {
            let last = &charters[charters.len() - 1];
            let mut next = last.draft_of_next();
            let fresh = key_of(HE, what);
            let public = Bytes::copy_from_slice(fresh.verifying_key().as_bytes());
            let member = next.members.iter_mut().find(|it| it.land == HE.code()).expect("a member");
            member.former_keys.push(proto::FormerKeys {
                log_key: member.log_key.clone(),
                freshness_key: std::mem::replace(&mut member.freshness_key, public),
                cut: Some(proto::LogCut {
                    epoch: 1,
                    size: 0,
                    root: Bytes::copy_from_slice(Hash::EMPTY_ROOT.as_bytes()),
                }),
            });
            let next = last.successor(next.encode_to_vec().into()).expect("a successor").0;
            charters.push(next);
            signers.push(LogSigner::new(key_of(HE, 1), fresh));
        }
        (charters, signers)
    }

    fn signed(charter: &Charter, reason: &str) -> Reset {
        let said = EpochReset {
            log: LogId { land: SL, epoch: 1 },
            size: 0,
            root: Hash::EMPTY_ROOT,
            reason: reason.to_owned(),
            unix_ms: 1_795_449_600_000,
        };
        said.sign(charter.id(), &key_of(SL, 3).into()).expect("signed")
    }

    /// The node of Hessen is asked to agree to the same reset under these charters one after the
    /// other, each time with what it answered before, or with what the owner signed.
    #[track_caller]
    fn check(under: &[usize], hands_on: bool) {
        let dir = tempfile::tempdir().expect("a directory");
        let (charters, signers) = rekeyed();
        let owners = signed(&charters[0], "verloren");
        let mut before: Option<(usize, Reset)> = None;
        for at in under {
            let api = EpochApi::new(Setup {
                land: HE,
                charter: charters[*at].clone(),
                past: charters[..*at].to_vec(),
                signer: signers[*at].clone(),
                resets: Resets::of(dir.path()),
                taken: Vec::new(),
                readers: BTreeMap::new(),
                board: StatusBoard::new(),
                clock: Clock::start(),
                begins_again: Shutdown::new(),
            });
            let handed = before.as_ref().filter(|_| hands_on).map_or(&owners, |it| &it.1);
            let asked = handed.clone().without_former(&charters[*at], &charters[..*at]);
            let agreed = api.agree(asked).expect("agreed");
            assert_eq!(agreed.digest(), owners.digest());
            assert_eq!(agreed.verify(&charters[*at]), Ok(1), "{under:?} at {at}");
            assert_eq!(agreed.consents().collect::<Vec<_>>(), [HE]);
            let kept = api.setup.resets.agreed(owners.said().log).expect("read");
            assert_eq!(kept.as_ref(), Some(&agreed));
            // it says so once, and to no other one whatever its key is
            if let Some((_, same)) = before.filter(|it| it.0 == *at) {
                assert_eq!(agreed, same);
            }
            match api.agree(signed(&charters[0], "etwas anderes")) {
                Err(Reject::Precondition { reason: "OTHER_RESET_COUNTERSIGNED", .. }) => {}
                other => panic!("{other:?}"),
            }
            before = Some((*at, agreed));
        }
    }

    #[test]
    fn a_land_whose_key_was_replaced_agrees_to_the_same_reset_again() {
        for hands_on in [false, true] {
            check(&[0, 0], hands_on);
            check(&[0, 1, 1], hands_on);
            check(&[0, 1, 2], hands_on);
            check(&[0, 2, 2], hands_on);
            check(&[1, 2], hands_on);
        }
    }
}
