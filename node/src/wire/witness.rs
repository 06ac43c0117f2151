//! `verbund.registry.v1.WitnessService`.

use registry_core::{
    authorize::{self, Action},
    fold::Position,
    reject::Reject,
};
use registry_proto::{
    log::{Hash, prove_inclusion, tree_root},
    receipt::SignedReceipt,
    wire::registry::{
        HeldSince, ListReceiptsRequest, ListReceiptsResponse,
        witness_service_server::WitnessService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    index::Index,
    journals::Tiles,
    lifecycle::chain,
    reads::position,
    wire::{caller::caller, status::status},
    witness::Receipts,
};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct WitnessApi {
    index: Index,
    receipts: Receipts,
}

// === impl WitnessApi ===

impl WitnessApi {
    /// Answers from these receipts, and proves them from these journals.
    pub fn new(index: Index, receipts: Receipts) -> Self {
        Self { index, receipts }
    }

    fn held_since(&self, at: Position) -> Result<Vec<HeldSince>, Reject> {
        let not_found = || Reject::NotFound { what: "entry", name: at.to_string() };
        let journal = self.index.journals().find(at.log).ok_or_else(not_found)?;
        let size = journal.size();
        if at.index >= size {
            return Err(not_found());
        }
        let covering: Vec<SignedReceipt> = {
            let book = self.receipts.read();
            // the owner states only what it has erased; that it holds what it signs says nothing
            let covering = book.covering(at.log, at.index).into_iter();
            covering.filter(|it| it.receipt().holder != at.log.land).cloned().collect()
        };
        let unreadable = |error: &dyn std::error::Error| {
            tracing::error!(%at, error = %chain(error), "a receipt cannot be proved");
            Reject::Storage { operation: "reading the hashes of the journal" }
        };
        let tiles = Tiles(journal.as_ref());
        let mut held = Vec::new();
        for it in covering {
            let receipt = it.receipt();
            // about more than is here, or about another history: nothing to vouch for
            if receipt.size > size {
                continue;
            }
            let root = tree_root(&tiles, receipt.size).map_err(|error| unreadable(&error))?;
            if root != receipt.root {
                continue;
            }
            let proof = prove_inclusion(&tiles, receipt.size, at.index)
                .map_err(|error| unreadable(&error))?;
            let raw = |hash: &Hash| hash.as_bytes().to_vec().into();
            let proof = proof.iter().map(raw).collect();
            held.push(HeldSince { statement: it.raw().clone(), proof });
        }
        Ok(held)
    }
}

#[tonic::async_trait]
impl WitnessService for WitnessApi {
    async fn list_receipts(
        &self,
        request: Request<ListReceiptsRequest>,
    ) -> Result<Response<ListReceiptsResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let at = request.into_inner().position.ok_or_else(|| {
            status(Reject::field("position", "POSITION_MISSING", "name land, epoch and index"))
        })?;
        let at = position(&at).map_err(status)?;
        let api = self.clone();
        let failed = || status(Reject::Storage { operation: "reading receipts" });
        let held = tokio::task::spawn_blocking(move || api.held_since(at)).await;
        let receipts = held.map_err(|_| failed())?.map_err(status)?;
        Ok(Response::new(ListReceiptsResponse { receipts }))
    }
}
