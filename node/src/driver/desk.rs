//! Where the core is driven, by whoever has something for it and finds nobody at it.
//!
//! The core has one owner at a time: who looks while another does leaves what it brought in the queue,
//! and the other looks again before it goes. So the publisher that makes up a group, the thread that
//! made one durable and the one that folded it drive the core themselves, and none of them waits for
//! the driver's thread to be given a processor; with all of them busy that took longer than the disk.
//! The driver's thread does what is left, and what comes with the time.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::Thread,
    time::Duration,
};

use registry_core::log::Rest;

use super::{
    Clock,
    inbox::{Bell, NEVER},
};

/// What is done at the desk.
pub(super) trait Work: Send {
    /// Takes what waits in the queue, once, and works it off; never waits.
    fn turn(&mut self) -> After;
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The queue may be left alone for so long.
    Rest(Option<Rest>),
    /// There will be no other.
    End,
}

/// The desk. The work is there from [`opens`](Self::opens) until it says that it has ended.
pub(super) struct Desk<W> {
    work: Mutex<Option<W>>,
    /// Somebody is at it.
    busy: AtomicBool,
    ended: AtomicBool,
    /// A turn panicked, and nobody knows what it left.
    broken: AtomicBool,
    bell: Arc<Bell>,
    clock: Clock,
    /// The thread that stays, and until when it sleeps at most, as in [`Bell::until`].
    stays: OnceLock<Thread>,
    sleeps_until: AtomicU64,
}

/// A turn panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the driver of the core panicked")]
pub(super) struct Panicked;

/// Somebody is at the desk until this is dropped.
struct Busy<'a, W: Work>(&'a Desk<W>);

/// Turns that somebody takes who has other things to do.
const TURNS_MAX: usize = 2;

// === impl Desk ===

impl<W: Work> Desk<W> {
    /// A desk without work; what comes waits.
    pub(super) fn new(bell: Arc<Bell>, clock: Clock) -> Self {
        Self {
            work: Mutex::default(),
            busy: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            bell,
            clock,
            stays: OnceLock::new(),
            sleeps_until: AtomicU64::new(NEVER),
        }
    }

    /// There is work now.
    pub(super) fn opens(&self, work: W) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        self.ring();
    }

    /// There is none any more, and nobody will stay.
    pub(super) fn closes(&self) {
        self.ended.store(true, SeqCst);
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(work);
    }

    /// Stays at the desk on the calling thread until the work has ended.
    ///
    /// # Errors
    ///
    /// A turn panicked, here or elsewhere.
    pub(super) fn stay(&self) -> Result<(), Panicked> {
        // set once: one thread stays
        let _ = self.stays.set(std::thread::current());
        loop {
            self.look(usize::MAX);
            if self.broken.load(SeqCst) {
                return Err(Panicked);
            }
            if self.ended.load(SeqCst) {
                return Ok(());
            }
            self.sleep();
        }
    }

    /// Looks on the calling thread, for a little while, if a look is due and nobody is at it.
    pub(super) fn look_here(&self) {
        let is_turned_away = !self.look(TURNS_MAX);
        if is_turned_away {
            return;
        }
        if self.is_due() || self.bell.until() < self.sleeps_until.load(SeqCst) {
            self.ring();
        }
    }

    /// Has the thread that stays look.
    pub(super) fn ring(&self) {
        if let Some(thread) = self.stays.get() {
            thread.unpark();
        }
    }

    fn is_due(&self) -> bool {
        self.bell.is_due(self.clock.now().mono_ms)
    }

    /// False if somebody else is at it, who asks whether a look is due after it has gone.
    fn look(&self, turns_max: usize) -> bool {
        for _ in 0..turns_max {
            if !self.is_due() || self.ended.load(SeqCst) || self.broken.load(SeqCst) {
                break;
            }
            if self.busy.swap(true, SeqCst) {
                return false;
            }
            let busy = Busy(self);
            self.bell.is_heard();
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            match work.as_mut().map(Work::turn) {
                Some(After::Rest(rest)) => self.bell.rests(rest),
                Some(After::End) => {
                    *work = None;
                    self.ended.store(true, SeqCst);
                    self.ring();
                }
                None => {
                    self.bell.rests(None);
                    break;
                }
            }
            drop(work);
            drop(busy);
        }
        true
    }

    /// Sleeps until somebody rings, or the time comes when a look is due.
    fn sleep(&self) {
        let until = self.bell.until();
        self.sleeps_until.store(until, SeqCst);
        // who has set an earlier time since has not seen this
        if self.bell.until() < until {
            return;
        }
        if until == NEVER {
            std::thread::park();
        } else {
            let left = until.saturating_sub(self.clock.now().mono_ms);
            std::thread::park_timeout(Duration::from_millis(left));
        }
    }
}

impl<W> fmt::Debug for Desk<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // who works there knows this desk, too
        f.debug_struct("Desk").field("bell", &self.bell).finish_non_exhaustive()
    }
}

// === impl Busy ===

impl<W: Work> Drop for Busy<'_, W> {
    fn drop(&mut self) {
        let desk = self.0;
        if std::thread::panicking() {
            desk.broken.store(true, SeqCst);
            // who waits for what it had learns that it is gone
            *desk.work.lock().unwrap_or_else(PoisonError::into_inner) = None;
            desk.ring();
        }
        desk.busy.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use registry_core::node::Input;

    use super::*;
    use crate::driver::{
        Event,
        inbox::{Inbox, Post, inbox},
    };

    /// Takes ticks and says how many there were by then; ends with the last, and panics at one.
    struct Counts {
        inbox: Inbox,
        came: usize,
        last: usize,
        panics_at: Option<usize>,
        rest: Option<Rest>,
        told: Sender<usize>,
    }

    impl Work for Counts {
        fn turn(&mut self) -> After {
            let mut events = Vec::new();
            self.inbox.take(&mut events, u64::MAX, self.rest);
            self.came += events.len();
            assert_ne!(Some(self.came), self.panics_at, "as asked");
            self.told.send(self.came).unwrap();
            if self.came >= self.last { After::End } else { After::Rest(self.rest) }
        }
    }

    struct Setup {
        desk: Arc<Desk<Counts>>,
        post: Post,
        told: Receiver<usize>,
    }

    fn setup(last: usize, panics_at: Option<usize>, rest: Option<Rest>) -> Setup {
        let (post, inbox) = inbox();
        let (tell, told) = channel();
        let desk = Arc::new(Desk::new(post.bell(), Clock::start()));
        desk.opens(Counts { inbox, came: 0, last, panics_at, rest, told: tell });
        Setup { desk, post, told }
    }

    fn tick() -> Event {
        Event::Input(Input::Tick)
    }

    #[test]
    fn nothing_is_left_whoever_comes_when() {
        const SENDERS: usize = 4;
        const EACH: usize = 2_000;
        let Setup { desk, post, told } = setup(SENDERS * EACH, None, None);
        let stays = std::thread::spawn({
            let desk = Arc::clone(&desk);
            move || desk.stay()
        });
        let senders = (0..SENDERS).map(|n| {
            let (desk, post) = (Arc::clone(&desk), post.clone());
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    let due = post.send_blocking(tick()).unwrap();
                    assert!(due);
                    // some work themselves, some leave it to the thread that stays
                    if n % 2 == 0 { desk.look_here() } else { desk.ring() }
                }
            })
        });
        let senders: Vec<_> = senders.collect();
        senders.into_iter().for_each(|it| it.join().unwrap());
        // ends only if each was taken
        assert_eq!(stays.join().unwrap(), Ok(()));
        assert_eq!(told.iter().last(), Some(SENDERS * EACH));
        assert!(post.send_blocking(tick()).is_err(), "nobody takes any more");
        desk.look_here();
    }

    #[test]
    fn a_turn_that_panics_elsewhere_ends_the_thread_that_stays() {
        let Setup { desk, post, told } = setup(9, Some(1), None);
        let other = std::thread::spawn({
            let (desk, post) = (Arc::clone(&desk), post.clone());
            move || {
                post.send_blocking(tick()).unwrap();
                desk.look_here();
            }
        });
        assert!(other.join().is_err());
        assert_eq!(desk.stay(), Err(Panicked));
        assert!(told.recv().is_err() && post.send_blocking(tick()).is_err());
    }

    #[test]
    fn the_thread_that_stays_comes_when_the_time_does() {
        let rest = Some(Rest { submissions: 9, until_mono_ms: Some(0) });
        let Setup { desk, told, .. } = setup(1, None, rest);
        // somebody else says when it is
        desk.bell.rests(Some(Rest { submissions: 9, until_mono_ms: Some(30) }));
        assert_eq!(desk.stay(), Ok(()));
        assert_eq!(told.iter().collect::<Vec<_>>(), [1]);
        assert!(desk.clock.now().mono_ms >= 30);
    }

    #[test]
    fn who_sets_an_earlier_time_wakes_the_thread_that_stays() {
        let Setup { desk, told, .. } =
            setup(1, None, Some(Rest { submissions: 9, until_mono_ms: Some(0) }));
        let stays = std::thread::spawn({
            let desk = Arc::clone(&desk);
            move || desk.stay()
        });
        while desk.stays.get().is_none() {
            std::thread::yield_now();
        }
        let soon = desk.clock.now().mono_ms + 20;
        desk.bell.rests(Some(Rest { submissions: 9, until_mono_ms: Some(soon) }));
        desk.look_here();
        assert_eq!(stays.join().unwrap(), Ok(()));
        assert_eq!(told.iter().collect::<Vec<_>>(), [1]);
    }
}
