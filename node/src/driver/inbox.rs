//! The queue before the driver, and when it is worth a look.
//!
//! Whatever comes is looked at when it comes, but submissions of which the core makes groups: a look
//! for each of many publishers costs more than what it brings. While the core lets them wait
//! ([`Rest`]) a look is due with the one that makes up the number, with anything that is no
//! submission, or when the time is over.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};

use registry_core::{log::Rest, node::Input};
use tokio::sync::mpsc;

use super::{Event, Stopping};

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

/// The queue, for whoever is the driver at the moment.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<Event>,
    bell: Arc<Bell>,
}

/// Whether a look at the queue is due.
///
/// Who sends counts what is in the queue and then looks at what is wanted; who took says what is
/// wanted and then looks at the counts: one of the two sees the other.
#[derive(Debug)]
pub(super) struct Bell {
    /// Submissions in the queue; less for a moment, while one is in it and not counted.
    submissions: AtomicI64,
    /// Other events in the queue, likewise.
    others: AtomicI64,
    /// With so many submissions a look is due.
    wanted: AtomicI64,
    /// And then, on the monotonic clock, milliseconds.
    until_mono_ms: AtomicU64,
}

/// A queue and the way into it.
pub(super) fn inbox() -> (Post, Inbox) {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let bell = Arc::<Bell>::default();
    (Post { queue: sender, bell: Arc::clone(&bell) }, Inbox { queue, bell })
}

// === impl Post ===

impl Post {
    /// Waits while the queue is full. True if a look is due.
    pub(super) async fn send(&self, event: Event) -> Result<bool, Stopping> {
        let submits = submits(&event);
        self.queue.send(event).await.map_err(|_| Stopping)?;
        Ok(self.bell.came(submits))
    }

    /// Returns when nobody takes any more.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// As [`send`](Self::send), from a thread of its own, never from a task.
    pub(super) fn send_blocking(&self, event: Event) -> Result<bool, Stopping> {
        let submits = submits(&event);
        self.queue.blocking_send(event).map_err(|_| Stopping)?;
        Ok(self.bell.came(submits))
    }

    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

// === impl Inbox ===

impl Inbox {
    /// What is there; if nothing is and the time of the rest has come, the event is that.
    pub(super) fn take(&mut self, events: &mut Vec<Event>, mono_ms: u64, rest: Option<Rest>) {
        while events.len() < BURST_MAX {
            let Ok(event) = self.queue.try_recv() else { break };
            events.push(event);
        }
        let came = events.iter().filter(|it| submits(it)).count();
        self.bell.took(came, events.len() - came);
        let until = rest.and_then(|it| it.until_mono_ms);
        if events.is_empty() && until.is_some_and(|until| until <= mono_ms) {
            events.push(Event::Input(Input::Due));
        }
    }
}

// === impl Bell ===

impl Bell {
    /// One more is in the queue; true if a look is due for it.
    fn came(&self, submits: bool) -> bool {
        if submits {
            return self.submissions.fetch_add(1, SeqCst) + 1 >= self.wanted.load(SeqCst);
        }
        self.others.fetch_add(1, SeqCst);
        true
    }

    fn took(&self, submissions: usize, others: usize) {
        // at most `BURST_MAX`
        self.submissions.fetch_sub(submissions as i64, SeqCst);
        self.others.fetch_sub(others as i64, SeqCst);
    }

    /// Somebody looks: until it says how long it rests, submissions and time make no other look due.
    pub(super) fn is_heard(&self) {
        self.wanted.store(i64::MAX, SeqCst);
        self.until_mono_ms.store(NEVER, SeqCst);
    }

    /// The queue may be left alone for so long; `None` as soon as something is in it.
    pub(super) fn rests(&self, rest: Option<Rest>) {
        let wanted = rest.map_or(1, |it| it.submissions.clamp(1, QUEUE_MAX / 2));
        let until = rest.and_then(|it| it.until_mono_ms);
        // `QUEUE_MAX / 2` at most
        self.wanted.store(wanted as i64, SeqCst);
        self.until_mono_ms.store(until.unwrap_or(NEVER), SeqCst);
    }

    /// True if a look is due.
    pub(super) fn is_due(&self, mono_ms: u64) -> bool {
        self.others.load(SeqCst) > 0
            || self.submissions.load(SeqCst) >= self.wanted.load(SeqCst)
            || self.until() <= mono_ms
    }

    /// When a look is due whatever comes, on the monotonic clock, milliseconds; [`NEVER`] if not.
    pub(super) fn until(&self) -> u64 {
        self.until_mono_ms.load(SeqCst)
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            submissions: AtomicI64::new(0),
            others: AtomicI64::new(0),
            wanted: AtomicI64::new(1),
            until_mono_ms: AtomicU64::new(NEVER),
        }
    }
}

/// Something that groups are made of.
fn submits(event: &Event) -> bool {
    matches!(event, Event::Publish { submission, .. } if !submission.is_dry_run())
}

/// A time that does not come.
pub(super) const NEVER: u64 = u64::MAX;

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

    /// When these came, whether a look is due with this rest at a time, and the submissions and others
    /// that are taken.
    fn taken(came: Vec<Event>, rest: Option<Rest>, mono_ms: u64) -> (bool, (usize, usize)) {
        let (post, mut inbox) = inbox();
        inbox.bell.rests(rest);
        let all = came.iter().filter(|it| submits(it)).count();
        let mut is_due = inbox.bell.is_due(mono_ms);
        for event in came {
            is_due |= post.send_blocking(event).unwrap();
        }
        assert_eq!(inbox.bell.is_due(mono_ms), is_due);
        let mut events = Vec::new();
        inbox.take(&mut events, mono_ms, rest);
        let taken = events.iter().filter(|it| submits(it)).count();
        let left = i64::try_from(all - taken).unwrap();
        assert_eq!(inbox.bell.submissions.load(SeqCst), left);
        (is_due, (taken, events.len() - taken))
    }

    #[test]
    fn a_rest_ends_with_submissions_with_anything_else_or_with_its_time() {
        let rest = |submissions, until_mono_ms| Some(Rest { submissions, until_mono_ms });
        let two = || vec![submission(), submission()];
        let three = || two().into_iter().chain([tick()]).collect();
        let cases = [
            (vec![], None, (false, (0, 0))),
            (two(), None, (true, (2, 0))),
            (two(), rest(2, None), (true, (2, 0))),
            (two(), rest(1, None), (true, (2, 0))),
            (two(), rest(3, None), (false, (2, 0))),
            (three(), rest(9, None), (true, (2, 1))),
            (two(), rest(9, Some(21)), (false, (2, 0))),
            // what waits is brought when the time is over; if nothing does, that is the event
            (two(), rest(9, Some(20)), (true, (2, 0))),
            (vec![], rest(9, Some(20)), (true, (0, 1))),
        ];
        for (n, (came, rest, expected)) in cases.into_iter().enumerate() {
            assert_eq!(taken(came, rest, 20), expected, "case {n}");
        }
    }

    #[test]
    fn what_stands_behind_a_burst_is_not_left() {
        let (post, mut inbox) = inbox();
        for _ in 0..BURST_MAX {
            post.send_blocking(submission()).unwrap();
        }
        post.send_blocking(tick()).unwrap();
        let rest = Some(Rest { submissions: 400, until_mono_ms: None });
        inbox.bell.rests(rest);
        let taken = [(); 3].map(|()| {
            let mut events = Vec::new();
            let is_due = inbox.bell.is_due(0);
            inbox.take(&mut events, 0, rest);
            (is_due, events.len())
        });
        assert_eq!(taken, [(true, BURST_MAX), (true, 1), (false, 0)]);
    }
}
