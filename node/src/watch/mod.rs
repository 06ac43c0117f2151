//! Watches: snapshot, then follow, with etcd's six guarantees.
//!
//! A watch has one position per log and asks for more when its consumer does; there is no queue
//! between the two, so a slow consumer costs nothing but its lag. What it reads are whole batches
//! that the catalogue shows already, from a shared ring or from the journal:
//! - *ordered* and *reliable*: each log is read from its position on, without leaps;
//! - *unique*: the position moves past what was sent, and only then;
//! - *atomic*: one batch, one message;
//! - *resumable*: the token is the vector of positions, which are the same at every node; a
//!   position this node has not reached is waited for;
//! - *bookmarkable*: positions move past what the filter leaves out, and tokens tell so.

mod admission;
#[cfg(test)]
mod cases;
mod feed;
mod snapshot;
mod stream;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use registry_core::{
    authorize::Principal,
    reject::Reject,
    view::{Cut, Token, WatchFilter},
};
use registry_proto::{
    log::VerbundId,
    terms::Land,
    wire::registry::{
        WatchBatch, WatchBookmark, WatchRequest, WatchResponse, watch_request::Start,
        watch_response::Message,
    },
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    admission::{Admission, Slot},
    stream::WatchStream,
};
use self::{
    feed::{Feed, Sight},
    snapshot::Snapshot,
};
use crate::{
    index::{Generation, Index},
    recent::Watching,
    status::StatusBoard,
};

/// Begins watches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watches {
    verbund: VerbundId,
    index: Index,
    board: StatusBoard,
    admission: Arc<Admission>,
    shutdown: CancellationToken,
}

/// One watch; [`WatchStream`] asks it for one message after the other.
pub(crate) struct Watcher {
    watches: Watches,
    filter: Arc<WatchFilter>,
    token: Token,
    generation: Generation,
    folded: watch::Receiver<Arc<Cut>>,
    snapshot: Option<Snapshot>,
    feed: Feed,
    /// The first message is still to come, and is a bookmark that tells where "now" was.
    opening: bool,
    /// Entries left out since the last message.
    skipped: usize,
    /// When a bookmark is due.
    bookmark_at: Instant,
    _slot: Slot,
    _watching: Watching,
}

/// A bookmark is sent after this idle time.
const BOOKMARK_AFTER: Duration = Duration::from_secs(5);
/// A bookmark is sent after this many entries were left out.
const BOOKMARK_AFTER_ENTRIES: usize = 5_000;

// === impl Watches ===

impl Watches {
    /// Watches over an index; they end when `shutdown` is cancelled.
    pub fn new(
        verbund: VerbundId,
        index: Index,
        board: StatusBoard,
        admission: Arc<Admission>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { verbund, index, board, admission, shutdown }
    }

    /// Begins a watch.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on a filter, start or token of another form or Verbund,
    /// [`Reject::ResyncRequired`] on a token of an epoch that ended, [`Reject::Busy`] on too many
    /// watches, [`Reject::Unavailable`] while the index is built or the node stops.
    pub fn begin(
        &self,
        principal: &Principal,
        request: &WatchRequest,
    ) -> Result<WatchStream, Reject> {
        let filter = Arc::new(WatchFilter::parse(request)?);
        if self.shutdown.is_cancelled() {
            return Err(shutting_down());
        }
        let slot = self.admission.admit(&principal.pseudonym)?;
        // from here on the folder keeps what is new for us
        let watching = self.index.recent().watch();
        let folded = self.index.folded();
        let (generation, cut) = self.index.readable()?;

        let follows = |land: Land| filter.follows(land);
        let now = Token::at(&cut, follows);
        let (mut token, snapshot, opening) = match &request.start {
            Some(Start::Snapshot(true)) => (now, Some(Snapshot::at(&cut)), false),
            Some(Start::Now(true)) => (now, None, true),
            Some(Start::ResumeToken(bytes)) => {
                let token = Token::parse(bytes, &self.verbund).map_err(|error| {
                    Reject::field("resume_token", "RESUME_TOKEN", error.to_string())
                })?;
                (token, None, false)
            }
            Some(Start::Snapshot(false) | Start::Now(false)) | None => {
                return Err(Reject::field(
                    "start",
                    "START_MISSING",
                    "set one of snapshot (true), now (true) and resume_token",
                ));
            }
        };
        token.meet(&cut, follows)?;
        Ok(WatchStream::new(Watcher {
            watches: self.clone(),
            filter,
            token,
            generation,
            folded,
            snapshot,
            feed: Feed::default(),
            skipped: 0,
            opening,
            bookmark_at: Instant::now() + BOOKMARK_AFTER,
            _slot: slot,
            _watching: watching,
        }))
    }
}

// === impl Watcher ===

impl Watcher {
    /// The next message; waits until there is one. An error is the end.
    pub(crate) async fn next(&mut self) -> Result<WatchResponse, Reject> {
        let message = match self.snapshot.take() {
            Some(snapshot) => self.next_of_snapshot(snapshot).await?,
            None => self.follow().await?,
        };
        self.skipped = 0;
        self.bookmark_at = Instant::now() + BOOKMARK_AFTER;
        Ok(WatchResponse { message: Some(message) })
    }

    async fn next_of_snapshot(&mut self, mut snapshot: Snapshot) -> Result<Message, Reject> {
        if self.watches.shutdown.is_cancelled() {
            return Err(shutting_down());
        }
        let (index, filter) = (self.watches.index.clone(), Arc::clone(&self.filter));
        let (mut part, snapshot) = feed::blocking(move || {
            let part = snapshot.next_part(&index, &filter)?;
            Ok((part, snapshot))
        })
        .await?;
        self.watches.index.still(self.generation)?;
        if part.complete {
            part.resume_token = self.token.encode(&self.watches.verbund).into();
        } else {
            self.snapshot = Some(snapshot);
        }
        Ok(Message::Snapshot(part))
    }

    async fn follow(&mut self) -> Result<Message, Reject> {
        loop {
            if self.watches.shutdown.is_cancelled() {
                return Err(shutting_down());
            }
            let cut = Arc::clone(&self.folded.borrow_and_update());
            self.watches.index.still(self.generation)?;
            let filter = Arc::clone(&self.filter);
            self.token.meet(&cut, |land| filter.follows(land))?;
            if std::mem::take(&mut self.opening) {
                return Ok(self.bookmark(&cut));
            }
            let sight = Sight { index: &self.watches.index, cut: &cut, filter: &filter };
            if let Some(batch) = self.feed.next(&sight, &self.token).await? {
                let events = feed::filtered(&sight, &batch).await?;
                // the facts that decided about them must not have gone meanwhile
                self.watches.index.still(self.generation)?;
                self.token.advance(batch.log, batch.end);
                self.skipped += batch.events.len();
                if !events.is_empty() {
                    return Ok(Message::Batch(WatchBatch { events, resume_token: self.resume() }));
                }
                if self.skipped < BOOKMARK_AFTER_ENTRIES {
                    continue;
                }
                return Ok(self.bookmark(&cut));
            }
            tokio::select! {
                // the sender lives as long as the index, which this watch holds
                _ = self.folded.changed() => {}
                () = self.watches.shutdown.cancelled() => {}
                () = tokio::time::sleep_until(self.bookmark_at) => {
                    return Ok(self.bookmark(&cut));
                }
            }
        }
    }

    fn bookmark(&self, cut: &Cut) -> Message {
        let as_of = self.watches.board.as_of(cut, |land| self.filter.follows(land));
        Message::Bookmark(WatchBookmark { resume_token: self.resume(), as_of })
    }

    fn resume(&self) -> bytes::Bytes {
        self.token.encode(&self.watches.verbund).into()
    }
}

fn shutting_down() -> Reject {
    Reject::Unavailable {
        reason: "SHUTTING_DOWN",
        description: "the node stops; go on at another node or later, with the last token"
            .to_owned(),
    }
}
