//! Counts the votes about charters in all journals, keeps what they decided, and writes those of
//! this Land.
//!
//! The chain is a fold of the journals from their beginning and is computed anew after each
//! start. When it goes beyond the charter the node runs under, the successor is kept and the node
//! is asked to begin again under it; nothing of a node changes its members while it runs.

mod adopt;
mod cuts;
mod decisions;
mod exchange;
mod files;
mod resets;
mod scan;
mod sources;
mod standing;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use registry_core::{
    authorize::Principal,
    charter::{Chain, InForce, Uncounted, VoteRefused, Wish},
    node::Input,
    reject::Reject,
};
use registry_journal::Reader;
use registry_proto::{
    charter::{Change, Charter, CharterVote},
    epoch::Ended,
    german::German,
    terms::{Land, LogId},
    wire::registry::{CharterDecision, CharterStanding},
};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use adopt::{Adoption, Fate, Step};
pub use decisions::Decisions;
pub use exchange::Exchange;
pub(crate) use exchange::verify;
pub use files::{LoadError, load};
use scan::Scan;
pub use sources::Sources;
use standing::Standing;

use crate::{
    audit::{Act, Audit},
    config::KeysHeld,
    driver::Handle,
    forged::Forged,
    lifecycle::{Shutdown, StopCause, TaskKind},
    observe::Metrics,
    status::StatusBoard,
    tls::{self, MemberTrust},
};

/// What the task is given.
#[derive(Debug)]
pub struct Setup {
    /// The Land of this node.
    pub land: Land,
    /// Where successors are kept.
    pub data_dir: PathBuf,
    /// All charters that are known at the start, the genesis charter first; the last one is the
    /// one the node runs under. MUST NOT be empty.
    pub charters: Vec<Charter>,
    /// Why they followed, as far as that was told with them or is kept here; all verified.
    pub decisions: Decisions,
    /// The logs.
    pub readers: BTreeMap<LogId, Reader>,
    /// How much counts of epochs that ended.
    pub counts: BTreeMap<LogId, u64>,
    /// The resets the node runs with.
    pub ended: Ended,
    /// The way to the own log.
    pub driver: Handle,
    /// The signing keys of this node.
    pub keys: KeysHeld,
    /// Where the charter in force is shown.
    pub board: StatusBoard,
    /// Where it is counted, and votes that do not count.
    pub metrics: Arc<Metrics>,
    /// What partners are told, and tell.
    pub exchange: Exchange,
    /// Where it is traced that a charter came from a partner.
    pub audit: Audit,
    /// Who is told of votes that somebody wrote on this disk.
    pub forged: Forged,
}

/// The charters of a node. Clones share one state.
#[derive(Clone, Debug)]
pub struct Charters {
    land: Land,
    followed: Arc<Charter>,
    driver: Handle,
    shown: watch::Receiver<Shown>,
    readers: Arc<BTreeMap<LogId, Reader>>,
    ended: Arc<Ended>,
    keys: KeysHeld,
    board: StatusBoard,
    /// One vote of this node at a time: the next one must see it.
    turn: Arc<Semaphore>,
}

/// What the votes say, as far as they were read.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The chain.
    pub chain: Arc<Chain>,
    /// Why charters of it followed, as far as this node can prove it to others.
    pub decisions: Arc<Decisions>,
    /// From whom charters came that were adopted before their votes.
    pub sources: Arc<Sources>,
    /// Whether the journals were read to their end once.
    pub complete: bool,
}

/// Consecutive charters of a chain, and why they followed as far as that is proved.
#[derive(Clone, Debug)]
pub struct Part {
    /// Their bytes.
    pub charters: Vec<Bytes>,
    /// In the order of their numbers.
    pub decisions: Vec<CharterDecision>,
    /// Bytes that are left of those that both may take.
    pub left: usize,
}

/// What became of a vote of this Land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voted {
    /// In which round.
    pub round: u32,
    /// Index in the own log; `None` in a dry run.
    pub index: Option<u64>,
}

// === impl Shown ===

impl Shown {
    fn before_votes(genesis: Charter) -> Self {
        let (decisions, sources) = Default::default();
        Self { chain: Arc::new(Chain::new(genesis)), decisions, sources, complete: false }
    }

    /// Charters from a number on, as many as fit into so many bytes. Each comes with its decision;
    /// one that alone is too large goes without.
    pub fn part(&self, from: u64, bytes: usize) -> Part {
        let mut part = Part { charters: Vec::new(), decisions: Vec::new(), left: bytes };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        for it in self.chain.past().iter().skip(from) {
            let raw = it.charter.raw();
            let decision = self.decisions.get(&it.charter.number());
            let decision = decision
                .map(|it| (it, it.encoded_len()))
                .filter(|(_, size)| raw.len() + size <= bytes);
            let needed = raw.len() + decision.map_or(0, |(_, size)| size);
            let Some(left) = part.left.checked_sub(needed) else { break };
            part.left = left;
            part.charters.push(raw.clone());
            part.decisions.extend(decision.map(|(it, _)| it.clone()));
        }
        part
    }
}

// === impl Charters ===

impl Charters {
    /// Starts the task that counts.
    pub fn start(setup: Setup, shutdown: &Shutdown) -> Option<Self> {
        let Setup {
            land,
            data_dir,
            charters,
            decisions,
            readers,
            counts,
            ended,
            driver,
            keys,
            board,
            metrics,
            exchange,
            audit,
            forged,
        } = setup;
        let chain = Chain::new(charters.first()?.clone());
        let followed = Arc::new(charters.last()?.clone());
        let held = Arc::new(readers.clone());
        let known = scan::Known { charters, decisions };
        let token = shutdown.token().clone();
        let scan = Scan::new(chain, known, readers, &counts, data_dir.clone(), token);
        let scan = scan.telling(forged);
        let shown = exchange.subscribe();
        let standing = Standing::new(board.clone(), metrics.clone());
        let uncounted = Votes { metrics: metrics.clone(), told: BTreeMap::new() };
        let counter = Counter {
            adoption: Adoption::new(data_dir, followed.clone()),
            followed: followed.clone(),
            driver: driver.clone(),
            exchange,
            standing,
            uncounted,
            metrics,
            audit,
        };
        let stop = shutdown.clone();
        shutdown.spawn(TaskKind::Charters, counter.run(scan, stop));
        let (readers, ended) = (held, Arc::new(ended));
        let turn = Arc::new(Semaphore::new(1));
        Some(Self { land, followed, driver, shown, readers, ended, keys, board, turn })
    }

    /// What bears out the charters that are shown, and which later one a partner runs under.
    pub fn standing(&self, shown: &Shown) -> CharterStanding {
        let standing = standing::words(&shown.chain, &self.followed, &shown.sources);
        self.board.as_partners_say(standing)
    }

    /// What the votes say.
    pub fn shown(&self) -> Shown {
        self.shown.borrow().clone()
    }

    /// The charter the node runs under.
    pub fn followed(&self) -> &Charter {
        &self.followed
    }

    /// Says something about the next charter in the own log, and waits until it stands there.
    ///
    /// # Errors
    ///
    /// What the rule forbids, what this software cannot follow, what the log refuses.
    pub async fn vote(
        &self,
        principal: &Principal,
        wish: Wish,
        dry_run: bool,
    ) -> Result<Voted, Reject> {
        let _turn = self.turn.acquire().await.map_err(|_| unread())?;
        let Shown { chain, complete, .. } = self.shown();
        if !complete || chain.current().digest() != self.followed.digest() {
            return Err(unread());
        }
        let vote = chain.vote(self.land, &wish).map_err(refused)?;
        if let Some(text) = &vote.successor
            && let Ok((next, changes)) = chain.current().successor(text.clone())
        {
            let is_bound = chain.bound_to().contains(&next.digest());
            self.can_vouch(next, changes, is_bound).await?;
        }
        let round = vote.round;
        if dry_run {
            return Ok(Voted { round, index: None });
        }
        let index = self.write(principal, &vote).await?;
        info!(by = principal.pseudonym, round, index, "voted about the next charter");
        Ok(Voted { round, index: Some(index) })
    }

    /// Whether this node can follow a successor and holds what it says about the logs: a cut that
    /// names another history would take away what counts, and so would another reset.
    async fn can_vouch(
        &self,
        next: Charter,
        changes: Vec<Change>,
        is_bound: bool,
    ) -> Result<(), Reject> {
        can_follow(&next).map_err(|description| Reject::Precondition {
            reason: "CHARTER_UNUSABLE",
            description,
        })?;
        let rekeys = |it: &Change| match it {
            Change::LogKey(land, _) | Change::FreshnessKey(land, _) => *land == self.land,
            _ => false,
        };
        let fits = next.member(self.land).is_some_and(|it| self.keys.fit(it));
        if changes.iter().any(rekeys) && !fits {
            return Err(Reject::Precondition {
                reason: "KEY_MISSING",
                description: "dieser Knoten hat die neuen Schlüssel seines Landes nicht; sie als \
                              keys.next_log oder keys.next_freshness in seine node.toml eintragen \
                              und ihn neu starten"
                    .to_owned(),
            });
        }
        let told = &self.board.load().resets_told;
        resets::are_taken(&self.ended, told, &next, &changes, is_bound)?;
        let readers = Arc::clone(&self.readers);
        let held = tokio::task::spawn_blocking(move || cuts::are_held(&readers, &changes)).await;
        held.map_err(|_| unread())?
    }

    async fn write(&self, principal: &Principal, vote: &CharterVote) -> Result<u64, Reject> {
        self.driver.vote(principal.pseudonym.clone(), vote.encode()).await?;
        let mut shown = self.shown.clone();
        let index = |it: &Shown| {
            it.chain.said_about(vote.predecessor, vote.round, self.land).map(|it| it.index)
        };
        let stands = shown.wait_for(|it| index(it).is_some());
        let stands = tokio::time::timeout(STANDS_MAX, stands).await;
        let found = stands.ok().and_then(Result::ok).and_then(|it| index(&it));
        found.ok_or_else(|| Reject::Unavailable {
            reason: "VOTE_NOT_WRITTEN",
            description: "the vote does not stand in the log; look at the fence and the log of \
                          the node, and at `registry charter status` before you vote again"
                .to_owned(),
        })
    }
}

/// The task behind [`Charters`].
struct Counter {
    adoption: Adoption,
    followed: Arc<Charter>,
    driver: Handle,
    exchange: Exchange,
    standing: Standing,
    uncounted: Votes,
    metrics: Arc<Metrics>,
    audit: Audit,
}

/// Votes that count nowhere, in metrics and the log of the process.
struct Votes {
    metrics: Arc<Metrics>,
    told: BTreeMap<(Land, Uncounted), u64>,
}

// === impl Votes ===

impl Votes {
    fn tell(&mut self, chain: &Chain) {
        let now = chain.uncounted();
        // what it rests on may have come since
        let gone = self.told.keys().filter(|it| !now.contains_key(it)).map(|it| (*it, 0));
        let gone: Vec<_> = gone.collect();
        for ((land, why), votes) in now.clone().into_iter().chain(gone) {
            if self.told.get(&(land, why)) != Some(&votes) && votes > 0 {
                warn!(%land, why = why.label(), votes, "votes of a member do not count");
            }
            self.metrics.set_votes_uncounted(land, why.label(), votes);
        }
        self.told = now;
    }
}

// === impl Counter ===

impl Counter {
    async fn run(
        mut self,
        mut scan: Scan,
        shutdown: Shutdown,
    ) -> Result<(), tokio::task::JoinError> {
        let mut complete = false;
        loop {
            let told = self.exchange.take();
            let from = told.as_ref().map(|it| it.peer.clone());
            let (back, grew) = tokio::task::spawn_blocking(move || {
                let grew = scan.look(told);
                (scan, grew)
            })
            .await?;
            scan = back;
            if grew || !complete {
                complete = true;
                self.show(&scan);
            }
            let followed = scan.followed();
            let adopted = self.adoption.adopt(&scan);
            let hindrance = adopted.hindrance(&followed);
            let fates = self.adoption.fates(followed, &adopted);
            self.trace(fates).await;
            if let Some(number) = adopted.last {
                info!(number, "another charter is in force; the node begins again under it");
                shutdown.request(StopCause::Charter { number });
            } else if let (Some(peer), Some(why)) = (from, hindrance) {
                // whoever stops need not know
                let _ = self.driver.input(Input::Hindered { peer, why }).await;
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn show(&mut self, scan: &Scan) {
        self.uncounted.tell(scan.chain());
        self.standing.show(scan.chain(), &self.followed, scan.sources());
        self.exchange.replace(Shown {
            chain: Arc::new(scan.chain().clone()),
            decisions: Arc::new(scan.decisions().clone()),
            sources: Arc::new(scan.sources().clone()),
            complete: true,
        });
    }

    /// Tells what became of charters that a partner told.
    async fn trace(&self, fates: Vec<(Step, Fate)>) {
        for (Step { number, digest, from }, fate) in fates {
            let object = format!("charter={number} digest={digest}");
            let told_by = format!("told by {}", from.node);
            let act = match fate {
                Fate::Taken => {
                    info!(
                        number, %digest, peer.land = %from.land, peer.node = from.node,
                        "a partner told this charter with the votes that decided on it; it is proved \
                         and taken"
                    );
                    Act::new("charter.follow", "OK").because(format!("{told_by}, proved"))
                }
                Fate::Hindered(cause) => {
                    error!(
                        number, %digest, peer.land = %from.land, peer.node = from.node, cause,
                        "a charter that a partner told is proved and cannot be taken; trying again"
                    );
                    let why = format!("{told_by}, proved, not taken: {cause}");
                    Act::new("charter.follow", "FAILED").because(why)
                }
                Fate::Refused(cause) => {
                    self.metrics.partner_lapse(from.land, CONTRADICTED);
                    error!(
                        number, %digest, peer.land = %from.land, peer.node = from.node, cause,
                        "a charter that a partner told is not followed"
                    );
                    Act::new("charter.follow", "FAILED").because(format!("{told_by}: {cause}"))
                }
            };
            if self.audit.record(act.on(object)).await.is_err() {
                error!(number, "the audit log does not say who told this charter");
            }
        }
    }
}

/// Whether a node of this software can begin again under a charter.
fn can_follow(next: &Charter) -> Result<(), String> {
    for member in MemberTrust::of(next) {
        tls::check_anchors(&member.anchors)
            .map_err(|error| format!("an anchor of {} is unusable: {error}", member.land))?;
    }
    Ok(())
}

/// Why a node runs under an older charter than the newest; empty if it does not, or only for a
/// moment.
pub fn behind(past: &[InForce], followed: &Charter) -> String {
    let used = usize::try_from(followed.number()).unwrap_or(usize::MAX);
    let mut later = past.iter().skip(used.saturating_add(1));
    let blocked = later.find_map(|it| {
        let why = can_follow(&it.charter).err()?;
        Some(format!("charter {}: {why}", it.charter.number()))
    });
    blocked.unwrap_or_default()
}

fn refused(why: VoteRefused) -> Reject {
    let (reason, description) = match why {
        VoteRefused::Successor(error) => {
            return Reject::field("successor", "CHARTER_RULE", German(error).to_string());
        }
        VoteRefused::NoVoter(land) => {
            ("NO_VOTER", format!("{land} hat nach der geltenden Charta keine Stimme"))
        }
        VoteRefused::Said { round, .. } => (
            "VOTED_ALREADY",
            format!("dieses Land hat in Runde {round} schon gestimmt; jetzt sind die anderen dran"),
        ),
        VoteRefused::Bound { round, to } => (
            "VOTE_BOUND",
            match &to[..] {
                [to] => format!(
                    "in Runde {round} geht nur noch {to}: dieser Vorschlag kann schon entschieden sein"
                ),
                to => format!(
                    "in Runde {round} geht nur noch einer von diesen, weil jeder schon entschieden sein \
                     kann: {}",
                    to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
            },
        ),
        VoteRefused::RoundsUsedUp => {
            ("ROUNDS_USED_UP", "mehr Runden gibt es unter dieser Charta nicht".to_owned())
        }
    };
    Reject::Precondition { reason, description }
}

fn unread() -> Reject {
    Reject::Unavailable {
        reason: "VOTES_UNREAD",
        description: "dieser Knoten hat noch nicht alle Stimmen gelesen, oder er beginnt unter einer \
                      anderen Charta neu; in einem Augenblick noch einmal versuchen, `registry charter \
                      status` sagt mehr"
            .to_owned(),
    }
}

/// A charter that the votes here contradict, beside the lapses that have a type.
const CONTRADICTED: &str = "contradicted_charter";
/// How long a vote may take from the queue to the disk.
const STANDS_MAX: Duration = Duration::from_secs(20);
/// Time between two looks at the journals.
const LOOK_EVERY: Duration = Duration::from_millis(300);
