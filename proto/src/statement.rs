//! Statements that a Land signs outside of its log: receipts, join tokens, epoch resets and the
//! like. Each kind has its own [`Domain`], so that no signature counts for another kind or in
//! another Verbund.
//!
//! Signed is `domain ‖ 0x00 ‖ verbund id (32) ‖ algorithm (4, big endian) ‖ key (32) ‖ length of
//! the payload (8, big endian) ‖ payload`. The replay guard of each kind stands in its payload;
//! ARCHITECTURE.md has them in one table.

use bytes::Bytes;
use ed25519_dalek::{Signature, SignatureError, Signer, VerifyingKey};

use crate::{
    log::VerbundId,
    wire::registry::{SignatureAlgorithm, SignedStatement},
};

/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A member holds a log durably up to a size.
    Receipt,
    /// A one-time token to join the Verbund.
    JoinToken,
    /// A Land that wants to join has the keys on its card.
    JoinCard,
    /// A new epoch of a log begins.
    EpochReset,
    /// A member agrees to an epoch reset that discards what it has cosigned.
    EpochResetConsent,
}

/// A statement whose signature was verified under the key of whoever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The payload as it was signed.
    pub payload: Bytes,
}

/// Why a statement is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// An algorithm this software does not know.
    #[error("the statement is signed with an algorithm this software does not know")]
    Algorithm,
    /// The payload is too large.
    #[error("the payload of the statement has more than {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
    /// Signed by somebody else.
    #[error("the statement is signed with a key other than the one it must be signed with")]
    Key,
    /// The signature does not hold.
    #[error("the signature of the statement does not hold")]
    Signature,
}

// === impl Domain ===

impl Domain {
    /// The text that stands before everything that is signed.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Receipt => "verbund-registry/receipt/v1",
            Self::JoinToken => "verbund-registry/join-token/v1",
            Self::JoinCard => "verbund-registry/join-card/v1",
            Self::EpochReset => "verbund-registry/epoch-reset/v1",
            Self::EpochResetConsent => "verbund-registry/epoch-reset-consent/v1",
        }
    }
}

/// Signs an encoded payload, at most [`PAYLOAD_BYTES_MAX`] bytes (longer ones verify nowhere).
/// `signer` MUST be the signer of `key`.
///
/// # Errors
///
/// A key that is kept in a token does not sign.
pub fn sign(
    domain: Domain,
    verbund: VerbundId,
    key: &VerifyingKey,
    signer: &impl Signer<Signature>,
    payload: Bytes,
) -> Result<SignedStatement, SignatureError> {
    let algorithm = SignatureAlgorithm::Ed25519;
    let signature = signer.try_sign(&message(domain, verbund, algorithm, key, &payload))?;
    Ok(SignedStatement {
        algorithm: algorithm.into(),
        key: key.as_bytes().to_vec().into(),
        payload,
        signature: signature.to_bytes().to_vec().into(),
    })
}

/// Verifies a statement under the key its maker must have.
///
/// # Errors
///
/// See [`StatementError`]; a malleable signature (RFC 8032, 5.1.7) does not hold.
pub fn verify(
    domain: Domain,
    verbund: VerbundId,
    key: &VerifyingKey,
    statement: &SignedStatement,
) -> Result<Verified, StatementError> {
    let algorithm = statement.algorithm();
    if algorithm != SignatureAlgorithm::Ed25519 {
        return Err(StatementError::Algorithm);
    }
    if statement.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(StatementError::TooLarge);
    }
    if statement.key[..] != key.as_bytes()[..] {
        return Err(StatementError::Key);
    }
    let signature =
        Signature::from_slice(&statement.signature).map_err(|_| StatementError::Signature)?;
    let message = message(domain, verbund, algorithm, key, &statement.payload);
    key.verify_strict(&message, &signature).map_err(|_| StatementError::Signature)?;
    Ok(Verified { payload: statement.payload.clone() })
}

fn message(
    domain: Domain,
    verbund: VerbundId,
    algorithm: SignatureAlgorithm,
    key: &VerifyingKey,
    payload: &[u8],
) -> Vec<u8> {
    [
        domain.text().as_bytes(),
        &[0],
        verbund.as_bytes(),
        &i32::from(algorithm).to_be_bytes(),
        key.as_bytes(),
        &(payload.len() as u64).to_be_bytes(),
        payload,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::log::Hash;

    fn signed() -> (SigningKey, VerbundId, SignedStatement) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let verbund = VerbundId::from_hash(Hash::from_bytes([1; 32]));
        let payload = Bytes::from_static(b"held");
        let statement =
            sign(Domain::Receipt, verbund, &key.verifying_key(), &key, payload).unwrap();
        (key, verbund, statement)
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut SignedStatement), expected: StatementError) {
        let (key, verbund, mut statement) = signed();
        change(&mut statement);
        let verified = verify(Domain::Receipt, verbund, &key.verifying_key(), &statement);
        assert_eq!(verified, Err(expected));
    }

    #[test]
    fn holds_for_its_domain_verbund_and_key_only() {
        let (key, verbund, statement) = signed();
        let public = key.verifying_key();
        assert!(verify(Domain::Receipt, verbund, &public, &statement).is_ok());
        let elsewhere = VerbundId::from_hash(Hash::from_bytes([2; 32]));
        for (domain, verbund) in [(Domain::JoinToken, verbund), (Domain::Receipt, elsewhere)] {
            let refused = verify(domain, verbund, &public, &statement);
            assert_eq!(refused, Err(StatementError::Signature));
        }
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        let refused = verify(Domain::Receipt, verbund, &other, &statement);
        assert_eq!(refused, Err(StatementError::Key));
    }

    #[test]
    fn a_changed_statement_does_not_hold() {
        check(|it| it.payload = Bytes::from_static(b"hold"), StatementError::Signature);
        check(|it| it.signature = Bytes::from_static(b"short"), StatementError::Signature);
        check(|it| it.algorithm = 2, StatementError::Algorithm);
        check(|it| it.algorithm = 77, StatementError::Algorithm);
        check(|it| it.payload = vec![0; PAYLOAD_BYTES_MAX + 1].into(), StatementError::TooLarge);
        check(|it| it.key = Bytes::new(), StatementError::Key);
    }
}
