//! Receipts: a Land states that it holds a log durably up to a size. Made after the sync, signed
//! with the freshness key of the holder, and a statement of its own: a cosignature under a
//! checkpoint says that a log is consistent, and nothing about who holds it.

use bytes::Bytes;
use ed25519_dalek::SignatureError;
use prost::Message as _;

use crate::{
    charter::Charter,
    log::{Hash, LogSigner, VerbundId},
    statement::{self, Domain, StatementError},
    terms::{Land, LogId},
    wire::registry as wire,
};

/// Bytes of an encoded receipt with its signature.
pub const RECEIPT_BYTES_MAX: usize = 512;

/// What a holder states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who holds.
    pub holder: Land,
    /// Which log.
    pub log: LogId,
    /// Entries it holds durably.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Bodies among them that it lacks, apart from erased ones.
    pub bodies_missing: u64,
    /// Wall clock of the holder after the sync, milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// Every erasure among the first so many entries is carried out, durably; at most `size`. 0
    /// says nothing.
    pub erased: u64,
}

/// A receipt with the signature of its holder: made here, or verified. There is no other way to
/// have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    raw: Bytes,
}

/// Why bytes are no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Too many bytes.
    #[error("a receipt has at most {RECEIPT_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form.
    #[error("the bytes are no encoded receipt")]
    Undecodable,
    /// A Land that is none.
    #[error("{field} names no Land")]
    Land {
        /// Field.
        field: &'static str,
    },
    /// The root is no hash.
    #[error("root: expected 32 bytes")]
    Root,
    /// It speaks of more entries than are held.
    #[error("erased: more entries than are held")]
    Erased,
    /// The holder is no member.
    #[error("holder: {0} is no member of the charter")]
    NoMember(Land),
    /// Not signed by its holder, or not in this Verbund.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

// === impl Receipt ===

impl Receipt {
    /// Signs with the freshness key; `signer` MUST be that of the holder.
    ///
    /// # Errors
    ///
    /// A key that is kept in a token does not sign.
    pub fn sign(
        &self,
        verbund: VerbundId,
        signer: &LogSigner,
    ) -> Result<SignedReceipt, SignatureError> {
        let payload = wire::Receipt {
            holder: self.holder.code().to_owned(),
            land: self.log.land.code().to_owned(),
            epoch: self.log.epoch,
            size: self.size,
            root: Bytes::copy_from_slice(self.root.as_bytes()),
            bodies_missing: self.bodies_missing,
            unix_ms: self.unix_ms,
            erased: self.erased,
        };
        let payload = payload.encode_to_vec().into();
        let key = signer.freshness();
        let statement = statement::sign(Domain::Receipt, verbund, key.public(), key, payload)?;
        Ok(SignedReceipt { receipt: self.clone(), raw: statement.encode_to_vec().into() })
    }

    fn read(payload: &Bytes) -> Result<Self, ReceiptError> {
        let it = wire::Receipt::decode(payload.clone()).map_err(|_| ReceiptError::Undecodable)?;
        let land = |field: &'static str, code: &str| {
            code.parse::<Land>().map_err(|_| ReceiptError::Land { field })
        };
        if it.erased > it.size {
            return Err(ReceiptError::Erased);
        }
        Ok(Self {
            holder: land("holder", &it.holder)?,
            log: LogId { land: land("land", &it.land)?, epoch: it.epoch },
            size: it.size,
            root: Hash::try_from(&it.root[..]).map_err(|_| ReceiptError::Root)?,
            bodies_missing: it.bodies_missing,
            unix_ms: it.unix_ms,
            erased: it.erased,
        })
    }
}

// === impl SignedReceipt ===

impl SignedReceipt {
    /// Reads an encoded [`wire::SignedStatement`] and verifies that the holder signed it.
    ///
    /// # Errors
    ///
    /// See [`ReceiptError`].
    pub fn verify(raw: &Bytes, charter: &Charter) -> Result<Self, ReceiptError> {
        let (statement, receipt) = decode(raw)?;
        let holder = receipt.holder;
        let member = charter.member(holder).ok_or(ReceiptError::NoMember(holder))?;
        statement::verify(Domain::Receipt, charter.id(), &member.keys.freshness, &statement)?;
        Ok(Self { receipt, raw: raw.clone() })
    }

    /// [`Self::verify`] for what was kept: it may also be signed by a key that the holder has
    /// replaced since. Whoever took it when it came knows that the key counted then.
    ///
    /// # Errors
    ///
    /// See [`ReceiptError`].
    pub fn verify_kept(raw: &Bytes, charter: &Charter) -> Result<Self, ReceiptError> {
        let first = Self::verify(raw, charter);
        let Err(ReceiptError::Statement(_)) = &first else { return first };
        let (statement, receipt) = decode(raw)?;
        let former = charter.member(receipt.holder).into_iter().flat_map(|it| &it.former);
        for it in former {
            let key = &it.keys.freshness;
            if statement::verify(Domain::Receipt, charter.id(), key, &statement).is_ok() {
                return Ok(Self { receipt, raw: raw.clone() });
            }
        }
        first
    }

    /// What is stated.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The statement, byte for byte.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// What bytes state; nothing of it is verified. To see early that nothing is new.
///
/// # Errors
///
/// All but those about signature and membership.
pub fn claimed(raw: &Bytes) -> Result<Receipt, ReceiptError> {
    decode(raw).map(|(_, receipt)| receipt)
}

fn decode(raw: &Bytes) -> Result<(wire::SignedStatement, Receipt), ReceiptError> {
    if raw.len() > RECEIPT_BYTES_MAX {
        return Err(ReceiptError::TooLong { found: raw.len() });
    }
    let statement = wire::SignedStatement::decode(raw.clone());
    let statement = statement.map_err(|_| ReceiptError::Undecodable)?;
    let receipt = Receipt::read(&statement.payload)?;
    Ok((statement, receipt))
}
