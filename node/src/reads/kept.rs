//! Answers that were given at the newest cut.
//!
//! A cut never changes, and facts and entries below it never do either; so an answer at a cut is
//! right for as long as the cut is the newest one, which the address of the shared cut tells (it
//! is held here, so no other cut can have it). When the cut changes, everything is forgotten; also
//! when the guard holds something else, which an operator decides without a new cut.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use registry_core::{moves::guard::Held, reject::Reject, view::Cut};

/// What answers rest on: the newest cut, and what does not count in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest {
    pub(super) cut: Arc<Cut>,
    /// Taken before anything is asked of the catalogue.
    pub(super) held: Arc<Held>,
}

/// Answers `A` to questions `Q`.
pub(super) struct Kept<Q, A> {
    inner: Mutex<Inner<Q, A>>,
}

struct Inner<Q, A> {
    newest: Newest,
    answers: HashMap<Q, Arc<A>>,
    bytes: usize,
}

/// Answers of one kind; all are forgotten when there are more.
const ANSWERS_MAX: usize = 10_000;
/// Bytes of them on the wire; in memory they take some times as much.
const BYTES_MAX: usize = 32 << 20;
/// A larger answer is not kept.
const ANSWER_BYTES_MAX: usize = 256 << 10;

// === impl Newest ===

impl Newest {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cut, &other.cut) && Arc::ptr_eq(&self.held, &other.held)
    }
}

// === impl Kept ===

impl<Q: Eq + Hash, A> Kept<Q, A> {
    /// The answer to `question` at `newest`, which `make` gives if it is not known; `bytes` tells
    /// how long it is. Refusals are not kept.
    pub(super) fn answer(
        &self,
        newest: &Newest,
        question: Q,
        bytes: impl FnOnce(&A) -> usize,
        make: impl FnOnce() -> Result<A, Reject>,
    ) -> Result<Arc<A>, Reject> {
        if let Some(known) = self.known(newest, &question) {
            return Ok(known);
        }
        let answer = Arc::new(make()?);
        let bytes = bytes(&answer);
        if bytes <= ANSWER_BYTES_MAX {
            self.keep(newest, question, &answer, bytes);
        }
        Ok(answer)
    }

    fn known(&self, newest: &Newest, question: &Q) -> Option<Arc<A>> {
        let mut inner = self.lock();
        if inner.newest.is(newest) {
            return inner.answers.get(question).cloned();
        }
        inner.newest = newest.clone();
        let forgotten = inner.forget();
        // what may be much is dropped when others can go on
        drop(inner);
        drop(forgotten);
        None
    }

    fn keep(&self, newest: &Newest, question: Q, answer: &Arc<A>, bytes: usize) {
        let mut inner = self.lock();
        if !inner.newest.is(newest) {
            return;
        }
        let full = inner.answers.len() >= ANSWERS_MAX || inner.bytes + bytes > BYTES_MAX;
        let forgotten = if full { inner.forget() } else { HashMap::new() };
        if inner.answers.insert(question, Arc::clone(answer)).is_none() {
            inner.bytes += bytes;
        }
        drop(inner);
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<Q, A>> {
        // every change under the lock is complete when it could panic
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> Default for Kept<Q, A> {
    fn default() -> Self {
        let inner = Inner { newest: Newest::default(), answers: HashMap::new(), bytes: 0 };
        Self { inner: Mutex::new(inner) }
    }
}

impl<Q, A> fmt::Debug for Kept<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

// === impl Inner ===

impl<Q, A> Inner<Q, A> {
    fn forget(&mut self) -> HashMap<Q, Arc<A>> {
        self.bytes = 0;
        mem::take(&mut self.answers)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks for `question` and tells whether the answer had to be made.
    fn made(kept: &Kept<u64, u64>, newest: &Newest, question: u64, bytes: usize) -> bool {
        let made = Cell::new(false);
        let answer = kept.answer(
            newest,
            question,
            |_| bytes,
            || {
                made.set(true);
                Ok(question + 1)
            },
        );
        assert_eq!(*answer.unwrap(), question + 1);
        made.get()
    }

    #[test]
    fn an_answer_is_made_once_for_a_cut() {
        let kept = Kept::default();
        // equal, but not the same
        let (first, second) = (Newest::default(), Newest::default());
        assert!(made(&kept, &first, 1, 1));
        assert!(!made(&kept, &first, 1, 1));
        assert!(made(&kept, &first, 2, 1));
        assert!(made(&kept, &second, 1, 1));
        assert!(!made(&kept, &second, 1, 1));
        assert!(made(&kept, &first, 1, 1));
        // what an operator accepts counts at the same cut
        let accepted = Newest { held: Arc::default(), ..first };
        assert!(made(&kept, &accepted, 1, 1));
        assert!(!made(&kept, &accepted, 1, 1));
    }

    #[test]
    fn a_refusal_is_not_kept() {
        let kept: Kept<u64, u64> = Kept::default();
        let cut = Newest::default();
        let refuse = || Err(Reject::NotFound { what: "service", name: String::new() });
        assert!(kept.answer(&cut, 1, |_| 1, refuse).is_err());
        assert!(made(&kept, &cut, 1, 1));
    }

    #[test]
    fn an_answer_of_an_older_cut_is_not_kept() {
        let kept: Kept<u64, u64> = Kept::default();
        let (old, new) = (Newest::default(), Newest::default());
        let answer = kept.answer(
            &old,
            1,
            |_| 1,
            || {
                assert!(made(&kept, &new, 1, 1));
                Ok(7)
            },
        );
        assert_eq!(*answer.unwrap(), 7);
        assert!(!made(&kept, &new, 1, 1));
    }

    #[test]
    fn what_is_kept_has_limits() {
        let kept = Kept::default();
        let cut = Newest::default();
        assert!(made(&kept, &cut, 0, ANSWER_BYTES_MAX + 1));
        assert!(made(&kept, &cut, 0, 1));
        let many = ANSWERS_MAX as u64;
        assert!((1..many).all(|question| made(&kept, &cut, question, 1)));
        assert!(!made(&kept, &cut, 0, 1));
        assert!(made(&kept, &cut, many, 1));
        assert!(made(&kept, &cut, 0, 1));
        let large = (BYTES_MAX / ANSWER_BYTES_MAX) as u64;
        assert!((0..large).all(|n| made(&kept, &cut, many + 1 + n, ANSWER_BYTES_MAX)));
        assert!(made(&kept, &cut, 0, 1));
        assert!(made(&kept, &cut, many + 1, 1));
    }
}
