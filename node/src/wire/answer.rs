//! Reads that walk over the index run on a thread that may take its time, a limited number at
//! once.

use std::{sync::Arc, time::Duration};

use registry_core::{
    authorize::{self, Action, Principal},
    reject::Reject,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{caller::caller, status::status};
use crate::reads::Reads;

/// The way from a call to the reads. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Answering {
    reads: Arc<Reads>,
    /// Reads of the disk at the same time; others wait.
    places: Arc<Semaphore>,
}

const READS_MAX: usize = 64;
/// How long a page may wait for a place and its answer.
const READ_WAIT: Duration = Duration::from_secs(10);

// === impl Answering ===

impl Answering {
    /// Answers from these reads.
    pub fn new(reads: Reads) -> Self {
        Self { reads: Arc::new(reads), places: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// For reads of one record: a few microseconds in memory, less than the way to another thread
    /// and back. A page that is not in memory costs one read of the disk here.
    pub(super) fn answer_here<Q, A>(
        &self,
        request: Request<Q>,
        read: fn(&Reads, &Q) -> Result<A, Reject>,
    ) -> Result<Response<A>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        read(&self.reads, request.get_ref()).map(Response::new).map_err(status)
    }

    /// For reads that walk.
    pub(super) async fn answer<Q, A>(
        &self,
        request: Request<Q>,
        read: fn(&Reads, &Q) -> Result<A, Reject>,
    ) -> Result<Response<A>, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        self.read(request.into_inner(), read).await.map(Response::new)
    }

    /// Reads on behalf of `who`, as often as `read` needs.
    ///
    /// # Errors
    ///
    /// What `read` gives; [`Reject::Denied`] without the right to read, [`Reject::Busy`] when no
    /// place is free or no answer is there in time.
    pub(crate) async fn read_for<A: Send + 'static>(
        &self,
        who: &Principal,
        read: impl FnOnce(&Reads) -> Result<A, Reject> + Send + 'static,
    ) -> Result<A, Reject> {
        authorize::require(who, Action::Read)?;
        let failed = || Reject::Storage { operation: "reading the catalogue" };
        let (reads, places) = (Arc::clone(&self.reads), Arc::clone(&self.places));
        let answer = async move {
            let place = places.acquire_owned().await.map_err(|_| failed())?;
            // the place is held until the thread is done, also when nobody waits for it any more
            let work = move || {
                let answer = read(&reads);
                drop(place);
                answer
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| failed())?
        };
        let busy = Reject::Busy { limit: "reads at the same time", max: READS_MAX as u64 };
        tokio::time::timeout(READ_WAIT, answer).await.unwrap_or(Err(busy))
    }

    /// As [`Self::answer`], for a caller whose right was checked.
    pub(super) async fn read<Q, A>(
        &self,
        request: Q,
        read: fn(&Reads, &Q) -> Result<A, Reject>,
    ) -> Result<A, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let reads = Arc::clone(&self.reads);
        let failed = || status(Reject::Storage { operation: "reading the catalogue" });
        let place = self.places.acquire().await.map_err(|_| failed())?;
        let answer = tokio::task::spawn_blocking(move || read(&reads, &request)).await;
        drop(place);
        answer.map_err(|_| failed())?.map_err(status)
    }
}
