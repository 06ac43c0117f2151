//! Records verified by the proofs that came with them.

use prost::Message;
use registry_client::{
    ClientError,
    proof::{ProofError, VerifiedEntry, verify_inclusion},
};
use registry_proto::{
    charter::Charter,
    log::Kind,
    wire::registry::{GetInclusionProofResponse, LogPosition, Provenance},
};

use super::trusted::Trusted;
use crate::{
    args::{Format, Proving},
    errors::CliError,
    json::{self, Node, Object},
};

/// A record as it was answered.
pub(super) struct Answered<'a, M> {
    pub(super) kind: Kind,
    pub(super) record: Option<&'a M>,
    pub(super) provenance: Option<&'a Provenance>,
    pub(super) proof: Option<&'a GetInclusionProofResponse>,
}

/// The charter to verify with, if one is named.
pub(super) fn charter(proving: &Proving) -> Result<Option<Trusted>, CliError> {
    proving.charter.as_deref().map(Trusted::read).transpose()
}

// === impl Answered ===

impl<M: Message + Default + PartialEq> Answered<'_, M> {
    /// Verifies that the record is the one in the log of its owner.
    pub(super) fn verify(&self, charter: &Trusted) -> Result<(), CliError> {
        let at = self.provenance.and_then(|it| it.position.as_ref());
        let entry = proved(self.proof, at, charter.charter()).map_err(ClientError::Proof)?;
        let signed = body::<M>(&entry, self.kind);
        if signed.is_none() || signed.as_ref() != self.record {
            return Err(ClientError::Proof(ProofError::Body).into());
        }
        Ok(())
    }

    /// Adds the proof, and whether it was verified, to structured output.
    pub(super) fn show(
        &self,
        object: Object,
        charter: Option<&Trusted>,
    ) -> Result<Object, CliError> {
        let Some(proof) = self.proof else { return Ok(object) };
        let object = object
            .with("proof", json::message("GetInclusionProofResponse", proof)?)
            .with("verified", Node::Bool(charter.is_some()));
        Ok(match charter {
            Some(charter) => charter.show(object),
            None => object,
        })
    }
}

/// The entry that a proof is about.
pub(super) fn proved(
    proof: Option<&GetInclusionProofResponse>,
    at: Option<&LogPosition>,
    charter: &Charter,
) -> Result<VerifiedEntry, ProofError> {
    // a proof that is missing proves as little as an empty one
    let (proof, at) = (proof.cloned().unwrap_or_default(), at.cloned().unwrap_or_default());
    verify_inclusion(&proof, charter, &at)
}

/// The record in an entry of a kind.
pub(super) fn body<M: Message + Default>(entry: &VerifiedEntry, kind: Kind) -> Option<M> {
    entry
        .body()
        .filter(|_| entry.header().kind == kind)
        .and_then(|body| M::decode(body.clone()).ok())
}

/// Says where proofs went that nobody verified.
pub(super) fn tell(proving: &Proving, format: Format) {
    if proving.proof && proving.charter.is_none() && format == Format::Table {
        eprintln!(
            "Hinweis: die Beweise stehen in der Ausgabe mit -o json oder yaml; mit --charter prüft \
             sie dieser Befehl"
        );
    }
}
