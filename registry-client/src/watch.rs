//! Follows the catalogue as one stream, across broken connections.
//!
//! The stream is pulled: nothing is read from the network that the caller has not asked for, apart
//! from what the flow control of HTTP/2 lets be under way. So the buffer is bounded.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use registry_proto::{
    terms::Land,
    wire::registry::{
        AsOf, LogPosition, WatchEvent, WatchRequest, WatchResponse, watch_request, watch_response,
    },
};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Streaming;

use crate::{connect::Client, error::ClientError};

/// First wait before a new try; doubles with each try.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest wait before a new try, also if the node asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Events of a snapshot that can be recognised when it has to begin again.
const SNAPSHOT_EVENTS_MAX: usize = 4_000_000;
/// Logs whose newest event is remembered.
const LOGS_MAX: usize = 1_024;

/// Where a watch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the state as of now, then what follows.
    Snapshot,
    /// With what comes after now.
    Now,
    /// After the update that carried this token.
    Resume(Bytes),
}

/// What to watch; an empty field does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Owners.
    pub laender: Vec<Land>,
    /// Services (UUID).
    pub service_ids: Vec<String>,
    /// Services with one of these keys.
    pub leistungsschluessel: Vec<String>,
}

/// What a watch yields.
#[derive(Debug)]
pub enum Update {
    /// Part of the snapshot.
    Snapshot {
        /// Its events.
        events: Vec<WatchEvent>,
        /// True on the last part.
        complete: bool,
    },
    /// One atomic batch of a Land.
    Batch {
        /// Its events that meet the filter.
        events: Vec<WatchEvent>,
    },
    /// Nothing happened up to the token.
    Bookmark {
        /// What the node holds.
        as_of: Vec<AsOf>,
    },
    /// The connection broke; the watch goes on by itself. For information only.
    Interrupted {
        /// Why.
        cause: ClientError,
        /// When the next try begins.
        retry_in: Duration,
    },
}

/// A watch that resumes by itself: every event once, none left out, as long as the node keeps the
/// guarantees of `Watch`.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    filter: WatchFilter,
    start: Start,
    line: Line,
    tries: u32,
    seen: Seen,
}

#[derive(Debug)]
enum Line {
    Open(Box<Streaming<WatchResponse>>),
    Waiting(Instant),
    Closed,
}

/// What was yielded already, so that nothing is yielded twice.
#[derive(Debug, Default)]
struct Seen {
    /// Entries of a snapshot that is not complete: only its last part has a token, so a break
    /// makes it begin again.
    snapshot: HashMap<(String, u64), HashSet<u64>>,
    snapshot_events: usize,
    /// Newest index yielded in batches, per log. Batches of a log come in its order.
    newest: HashMap<(String, u64), u64>,
}

// === impl Client ===

impl Client {
    /// Begins a watch.
    ///
    /// # Errors
    ///
    /// Any error of the first try. Later ones are met by new tries if they may pass.
    pub async fn watch(&self, start: Start, filter: WatchFilter) -> Result<Watch, ClientError> {
        let mut watch = Watch {
            client: self.clone(),
            filter,
            start,
            line: Line::Closed,
            tries: 0,
            seen: Seen::default(),
        };
        watch.line = Line::Open(watch.open().await?);
        Ok(watch)
    }
}

// === impl Watch ===

impl Watch {
    /// The next update. Cancel safe: an update is either yielded or still to come.
    ///
    /// # Errors
    ///
    /// What no new try can heal; the watch is over then.
    pub async fn next(&mut self) -> Result<Update, ClientError> {
        loop {
            let message = match &mut self.line {
                Line::Closed => return Err(ClientError::Protocol("the watch is over")),
                Line::Waiting(until) => {
                    sleep_until(*until).await;
                    match self.open().await {
                        Ok(stream) => {
                            self.line = Line::Open(stream);
                            continue;
                        }
                        Err(error) => return self.interrupt(error),
                    }
                }
                Line::Open(stream) => stream.message().await,
            };
            match message {
                Ok(Some(message)) => {
                    if let Some(update) = self.accept(message)? {
                        self.tries = 0;
                        return Ok(update);
                    }
                }
                Ok(None) => {
                    let detail = "the node ended the stream".to_owned();
                    return self.interrupt(ClientError::Broken { operation: WATCH, detail });
                }
                Err(status) => {
                    let error = self.client.error(WATCH, &status);
                    return self.interrupt(error);
                }
            }
        }
    }

    /// Token that continues after the last update that was yielded; `None` before the first.
    pub fn resume_token(&self) -> Option<&Bytes> {
        match &self.start {
            Start::Resume(token) => Some(token),
            Start::Snapshot | Start::Now => None,
        }
    }

    async fn open(&self) -> Result<Box<Streaming<WatchResponse>>, ClientError> {
        let start = match &self.start {
            Start::Snapshot => watch_request::Start::Snapshot(true),
            Start::Now => watch_request::Start::Now(true),
            Start::Resume(token) => watch_request::Start::ResumeToken(token.clone()),
        };
        let request = WatchRequest {
            start: Some(start),
            laender: self.filter.laender.iter().map(Land::to_string).collect(),
            service_ids: self.filter.service_ids.clone(),
            leistungsschluessel: self.filter.leistungsschluessel.clone(),
        };
        let mut watcher = self.client.watcher();
        let after = self.client.timeout();
        match timeout(after, Box::pin(watcher.watch(request))).await {
            Ok(Ok(response)) => Ok(Box::new(response.into_inner())),
            Ok(Err(status)) => Err(self.client.error(WATCH, &status)),
            Err(_) => Err(ClientError::TimedOut { operation: WATCH, after }),
        }
    }

    /// Plans a new try, or ends the watch if none would help.
    fn interrupt(&mut self, cause: ClientError) -> Result<Update, ClientError> {
        self.line = Line::Closed;
        if !cause.is_passing() {
            return Err(cause);
        }
        if self.start == Start::Now {
            return Err(ClientError::NotResumable(Box::new(cause)));
        }
        let retry_in =
            backoff(self.tries, rand::random()).max(cause.retry_after().unwrap_or_default());
        let retry_in = retry_in.min(BACKOFF_MAX);
        self.tries = self.tries.saturating_add(1);
        self.line = Line::Waiting(Instant::now() + retry_in);
        Ok(Update::Interrupted { cause, retry_in })
    }

    fn accept(&mut self, message: WatchResponse) -> Result<Option<Update>, ClientError> {
        match message.message {
            Some(watch_response::Message::Snapshot(part)) => {
                let complete = part.complete;
                let events = if complete {
                    let events = self.seen.snapshot_part(part.events);
                    self.seen.end_snapshot();
                    self.advance(part.resume_token)?;
                    events
                } else {
                    self.seen.snapshot_part(part.events)
                };
                if self.seen.snapshot_events > SNAPSHOT_EVENTS_MAX {
                    self.line = Line::Closed;
                    return Err(ClientError::Protocol("the snapshot has too many events"));
                }
                Ok((complete || !events.is_empty())
                    .then_some(Update::Snapshot { events, complete }))
            }
            Some(watch_response::Message::Batch(batch)) => {
                self.advance(batch.resume_token)?;
                let events = self.seen.batch(batch.events);
                Ok((!events.is_empty()).then_some(Update::Batch { events }))
            }
            Some(watch_response::Message::Bookmark(bookmark)) => {
                self.advance(bookmark.resume_token)?;
                Ok(Some(Update::Bookmark { as_of: bookmark.as_of }))
            }
            // a message of a newer node: it carries no token, so nothing is skipped by it
            None => Ok(None),
        }
    }

    fn advance(&mut self, token: Bytes) -> Result<(), ClientError> {
        if token.is_empty() {
            self.line = Line::Closed;
            return Err(ClientError::Protocol("an update of the watch carries no resume token"));
        }
        self.start = Start::Resume(token);
        Ok(())
    }
}

// === impl Seen ===

impl Seen {
    fn snapshot_part(&mut self, mut events: Vec<WatchEvent>) -> Vec<WatchEvent> {
        events.retain(|event| {
            let Some(position) = position(event) else { return true };
            let log = self.snapshot.entry((position.land.clone(), position.epoch)).or_default();
            let new = log.insert(position.index);
            self.snapshot_events += usize::from(new);
            new
        });
        events
    }

    fn end_snapshot(&mut self) {
        self.snapshot = HashMap::new();
        self.snapshot_events = 0;
    }

    fn batch(&mut self, mut events: Vec<WatchEvent>) -> Vec<WatchEvent> {
        events.retain(|event| {
            let Some(position) = position(event) else { return true };
            let log = (position.land.clone(), position.epoch);
            if let Some(newest) = self.newest.get_mut(&log) {
                let new = position.index > *newest;
                *newest = position.index.max(*newest);
                return new;
            }
            if self.newest.len() < LOGS_MAX {
                self.newest.insert(log, position.index);
            }
            true
        });
        events
    }
}

fn position(event: &WatchEvent) -> Option<&LogPosition> {
    event.provenance.as_ref()?.position.as_ref()
}

/// Wait before the try after `tries` failed ones; `chance` is any number and spreads the clients.
pub(crate) fn backoff(tries: u32, chance: u32) -> Duration {
    let longest = BACKOFF_MIN.saturating_mul(1 << tries.min(16)).min(BACKOFF_MAX);
    longest / 2 + (longest / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

const WATCH: &str = "watch";

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::Provenance;

    use super::*;

    fn event(index: u64) -> WatchEvent {
        let position = LogPosition { land: "SL".to_owned(), epoch: 1, index };
        WatchEvent {
            provenance: Some(Provenance { position: Some(position), ..Provenance::default() }),
            ..WatchEvent::default()
        }
    }

    fn indexes(events: &[WatchEvent]) -> Vec<u64> {
        events.iter().filter_map(|e| position(e).map(|p| p.index)).collect()
    }

    #[test]
    fn a_snapshot_that_begins_again_yields_only_what_is_new() {
        let mut seen = Seen::default();
        assert_eq!(indexes(&seen.snapshot_part(vec![event(5), event(2)])), [5, 2]);
        assert_eq!(indexes(&seen.snapshot_part(vec![event(5), event(3)])), [3]);
    }

    #[test]
    fn an_entry_below_the_snapshot_is_no_repetition_in_a_batch() {
        let mut seen = Seen::default();
        seen.snapshot_part(vec![event(9)]);
        seen.end_snapshot();
        assert_eq!(indexes(&seen.batch(vec![event(7)])), [7]);
        assert_eq!(indexes(&seen.batch(vec![event(7), event(8)])), [8]);
    }

    #[test]
    fn the_wait_grows_and_is_bounded() {
        assert_eq!(backoff(0, 0), BACKOFF_MIN / 2);
        assert_eq!(backoff(0, u32::MAX), BACKOFF_MIN);
        assert!(backoff(3, 0) > backoff(0, u32::MAX));
        assert_eq!(backoff(u32::MAX, u32::MAX), BACKOFF_MAX);
    }
}
