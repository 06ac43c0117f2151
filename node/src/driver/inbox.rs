//! The queue before the driver, and when the driver looks at it.
//!
//! Whatever comes is looked at when it comes, but submissions of which the core makes groups: to be
//! woken by each of many publishers costs more than what it brings. While the core lets them wait
//! ([`Rest`]) the driver is woken by the one that makes up the number, by anything that is no
//! submission, or by the time.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    thread::Thread,
    time::Duration,
};

use registry_core::{log::Rest, node::Input};
use tokio::sync::mpsc;

use super::{Clock, Event, Stopping};

/// Events that wait for the driver; senders wait when it is full.
const QUEUE_MAX: usize = 1_024;
/// Events taken from the queue at once.
const BURST_MAX: usize = 256;

/// The way into the queue. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Post {
    queue: mpsc::Sender<Event>,
    bell: Arc<Bell>,
}

/// The queue, for the one thread that takes from it.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<Event>,
    bell: Arc<Bell>,
    /// More may be in the queue than was taken, and nobody rings for it again.
    has_more: bool,
}

#[derive(Debug)]
struct Bell {
    /// Submissions in the queue; less for a moment, while one is in it and not counted.
    submissions: AtomicI64,
    /// With so many it rings.
    wanted: AtomicI64,
    /// Whom it wakes; set once, by that thread.
    thread: OnceLock<Thread>,
}

/// A queue and the way into it.
pub(super) fn inbox() -> (Post, Inbox) {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let (submissions, wanted) = (AtomicI64::new(0), AtomicI64::new(NEVER));
    let bell = Arc::new(Bell { submissions, wanted, thread: OnceLock::new() });
    (Post { queue: sender, bell: Arc::clone(&bell) }, Inbox { queue, bell, has_more: false })
}

// === impl Post ===

impl Post {
    /// Waits while the queue is full.
    pub(super) async fn send(&self, event: Event) -> Result<(), Stopping> {
        let submits = submits(&event);
        self.queue.send(event).await.map_err(|_| Stopping)?;
        self.bell.came(submits);
        Ok(())
    }

    /// Returns when nobody takes any more.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// As [`send`](Self::send), from a thread of its own, never from a task.
    pub(super) fn send_blocking(&self, event: Event) -> Result<(), Stopping> {
        let submits = submits(&event);
        self.queue.blocking_send(event).map_err(|_| Stopping)?;
        self.bell.came(submits);
        Ok(())
    }
}

// === impl Inbox ===

impl Inbox {
    /// From now on the calling thread takes.
    pub(super) fn opens_here(&self) {
        // set once: one driver runs for each queue
        let _ = self.bell.thread.set(std::thread::current());
    }

    /// Waits for events, with `rest` not longer than that; false when there will be no more. When
    /// the time of the rest has come, the event is that.
    pub(super) fn take(
        &mut self,
        events: &mut Vec<Event>,
        clock: Clock,
        rest: Option<Rest>,
    ) -> bool {
        let goes_on = match rest {
            None => self.queue.blocking_recv_many(events, BURST_MAX) > 0,
            Some(Rest { submissions, until_mono_ms }) => {
                let now = clock.now().mono_ms;
                let left = until_mono_ms.map(|until| until.saturating_sub(now));
                if left == Some(0) {
                    events.push(Event::Input(Input::Due));
                    return true;
                }
                if !self.has_more {
                    let left = left.map(Duration::from_millis);
                    self.bell.rests(submissions.min(QUEUE_MAX / 2), left);
                }
                self.drain(events)
            }
        };
        self.has_more = events.len() >= BURST_MAX;
        let came = events.iter().filter(|it| submits(it)).count();
        self.bell.submissions.fetch_sub(i64::try_from(came).unwrap_or(i64::MAX), SeqCst);
        goes_on
    }

    /// What is there; false when there will be no more.
    fn drain(&mut self, events: &mut Vec<Event>) -> bool {
        while events.len() < BURST_MAX {
            match self.queue.try_recv() {
                Ok(event) => events.push(event),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return !events.is_empty(),
            }
        }
        true
    }
}

// === impl Bell ===

impl Bell {
    fn came(&self, submits: bool) {
        // the number after the event is in the queue and before the look at what is wanted, as the
        // thread says what it wants before it looks at the number: one of the two sees the other
        let waits = submits && self.submissions.fetch_add(1, SeqCst) + 1 < self.wanted.load(SeqCst);
        if let Some(thread) = self.thread.get().filter(|_| !waits) {
            thread.unpark();
        }
    }

    /// Until so many submissions are in the queue, something else came, or the time is over.
    fn rests(&self, submissions: usize, time: Option<Duration>) {
        let wanted = i64::try_from(submissions).unwrap_or(NEVER);
        self.wanted.store(wanted, SeqCst);
        if self.submissions.load(SeqCst) < wanted {
            match time {
                Some(time) => std::thread::park_timeout(time),
                None => std::thread::park(),
            }
        }
        self.wanted.store(NEVER, SeqCst);
    }
}

/// Something that groups are made of.
fn submits(event: &Event) -> bool {
    matches!(event, Event::Publish { submission, .. } if !submission.is_dry_run())
}

/// More submissions than there are.
const NEVER: i64 = i64::MAX;

#[cfg(test)]
mod tests {
    use registry_core::{
        authorize::{Principal, Role},
        envelope::{Envelope, Purpose},
        submission::Submission,
        validate::CodeLists,
    };
    use registry_proto::{
        terms::Land,
        wire::registry::{Kontakt, PublishRequest, Record, record::Record as Any},
    };

    use super::*;

    fn submission() -> Event {
        let kontakt = Kontakt {
            service_id: "018f0000-0000-7000-8000-000000000001".to_owned(),
            rolle: "technisch".to_owned(),
            stelle: "Referat 12".to_owned(),
            email: "a.muster@land.example".to_owned(),
            ..Kontakt::default()
        };
        let record = Record { record: Some(Any::Kontakt(kontakt)), ..Record::default() };
        let envelope = Envelope {
            request: PublishRequest { records: vec![record], ..PublishRequest::default() },
            purpose: Purpose::Publish,
            principal: Some(Principal::with_roles("p-1", &[Role::Publisher])),
            today: "2026-11-23".parse().unwrap(),
            wall_ms: 1_767_225_600_123,
            entropy: [4; 32],
        };
        let authorized = envelope.authenticate().unwrap().authorize().unwrap();
        let submission = Submission::validate(authorized, Land::SL, CodeLists::shipped());
        let (answer, _) = tokio::sync::oneshot::channel();
        Event::Publish { submission: submission.unwrap(), answer }
    }

    fn tick() -> Event {
        Event::Input(Input::Tick)
    }

    /// Submissions and others that are taken at once, when these came before.
    fn taken(came: Vec<Event>, rest: Option<Rest>) -> (usize, usize) {
        let (post, mut inbox) = inbox();
        inbox.opens_here();
        let all = came.iter().filter(|it| submits(it)).count();
        for event in came {
            post.send_blocking(event).unwrap();
        }
        let mut events = Vec::new();
        assert!(inbox.take(&mut events, Clock::start(), rest));
        let taken = events.iter().filter(|it| submits(it)).count();
        let left = i64::try_from(all - taken).unwrap();
        assert_eq!(inbox.bell.submissions.load(SeqCst), left);
        (taken, events.len() - taken)
    }

    #[test]
    fn a_rest_ends_with_submissions_with_anything_else_or_with_its_time() {
        let rest = |submissions, until_mono_ms| Some(Rest { submissions, until_mono_ms });
        let two = || vec![submission(), submission()];
        let cases = [
            (two(), None, (2, 0)),
            (two(), rest(2, None), (2, 0)),
            (two(), rest(1, None), (2, 0)),
            (two().into_iter().chain([tick()]).collect(), rest(9, None), (2, 1)),
            // what waits is brought when the time is over
            (two(), rest(9, Some(20)), (2, 0)),
            // the time is over: the event is that, and what waits comes with the next group
            (two(), rest(9, Some(0)), (0, 1)),
        ];
        for (n, (came, rest, expected)) in cases.into_iter().enumerate() {
            assert_eq!(taken(came, rest), expected, "case {n}");
        }
    }

    #[test]
    fn what_stands_behind_a_burst_is_not_left() {
        let (post, mut inbox) = inbox();
        inbox.opens_here();
        for _ in 0..BURST_MAX {
            post.send_blocking(submission()).unwrap();
        }
        post.send_blocking(tick()).unwrap();
        let rest = Some(Rest { submissions: 400, until_mono_ms: None });
        let taken = [(); 2].map(|()| {
            let mut events = Vec::new();
            assert!(inbox.take(&mut events, Clock::start(), rest));
            events.len()
        });
        // nobody rings for the tick any more
        assert_eq!(taken, [BURST_MAX, 1]);
    }

    #[test]
    fn nobody_waits_for_ever_whoever_comes_when() {
        const SENDERS: usize = 4;
        const EACH: usize = 500;
        const GROUP: usize = 8;
        let (post, mut inbox) = inbox();
        inbox.opens_here();
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let post = post.clone();
                std::thread::spawn(move || {
                    for _ in 0..EACH {
                        post.send_blocking(submission()).unwrap();
                    }
                })
            })
            .collect();
        let mut came = 0;
        while came < SENDERS * EACH {
            // fewer than a group are taken one by one
            let is_group = SENDERS * EACH - came >= GROUP;
            let rest = is_group.then_some(Rest { submissions: GROUP, until_mono_ms: None });
            let mut events = Vec::new();
            assert!(inbox.take(&mut events, Clock::start(), rest));
            came += events.len();
        }
        senders.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!((came, inbox.bell.submissions.load(SeqCst)), (SENDERS * EACH, 0));
    }
}
