//! Which Land holds an entry since when, verified under the charter.

use registry_proto::{
    charter::Charter,
    log::{Hash, check_inclusion},
    receipt::{Receipt, SignedReceipt},
    wire::registry::{
        HeldSince, ListReceiptsRequest, LogPosition, witness_service_client::WitnessServiceClient,
    },
};

use crate::{
    connect::Client,
    error::ClientError,
    proof::{ProofError, VerifiedEntry},
};

impl Client {
    /// Of each Land the first receipt that covers an entry. They prove nothing before
    /// [`verify_receipt`] has verified them.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn receipts(&self, position: LogPosition) -> Result<Vec<HeldSince>, ClientError> {
        let mut witness = WitnessServiceClient::new(self.channel());
        let request = self.request(ListReceiptsRequest { position: Some(position) });
        Ok(self.answer("list the receipts", witness.list_receipts(request)).await?.receipts)
    }
}

/// Verifies that a Land stated to hold `entry`: the statement is signed by its holder, it is about
/// the log of the entry, and the entry is in the tree that the holder holds.
///
/// Callers MUST take the charter from their own files, never from the node that answered.
///
/// # Errors
///
/// See [`ProofError`].
pub fn verify_receipt(
    held: &HeldSince,
    charter: &Charter,
    entry: &VerifiedEntry,
) -> Result<Receipt, ProofError> {
    let signed =
        SignedReceipt::verify_kept(&held.statement, charter).map_err(ProofError::Receipt)?;
    let receipt = signed.receipt();
    let header = entry.header();
    if receipt.log != header.log {
        return Err(ProofError::OtherEntry { field: "log" });
    }
    let hashes: Result<Vec<Hash>, _> = held
        .proof
        .iter()
        .enumerate()
        .map(|(index, it)| Hash::try_from(&it[..]).map_err(|_| ProofError::HashLength { index }))
        .collect();
    check_inclusion(&hashes?, receipt.size, &receipt.root, header.index, entry.leaf())
        .map_err(ProofError::Inclusion)?;
    Ok(receipt.clone())
}
