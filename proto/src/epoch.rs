//! How a log begins again: a reset, signed with the offline key of its owner, ends an epoch at a
//! prefix that is kept, and others countersign it.
//!
//! More than half of the other members must agree, and each agrees to one reset of an epoch only.
//! So of two resets at most one is ever complete, and what a majority cosigned is discarded by
//! nobody alone.
//!
//! It counts under the charter in force. Once members were admitted or keys replaced it may not do so
//! any more; then it counts if that charter lists it and it was complete under one of those before.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::{SignatureError, VerifyingKey};
use prost::Message as _;

use crate::{
    charter::Charter,
    key::Key,
    log::{Hash, VerbundId},
    statement::{self, Domain, StatementError},
    terms::{Land, LogId},
    wire::registry::{
        EpochReset as WireReset, EpochResetConsent, EpochResetStatement, SignedStatement,
    },
};

/// Bytes of an encoded reset with its countersignatures.
pub const RESET_BYTES_MAX: usize = 16 << 10;
/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 500;
/// Epochs of the log of a member.
pub const EPOCHS_MAX: usize = 16;

/// Digests of resets, by the Land whose log they are about, from epoch 1 on.
pub type Ended = BTreeMap<Land, Vec<Hash>>;

/// What a reset says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochReset {
    /// The epoch that ends.
    pub log: LogId,
    /// Entries of it that count.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Why, for people.
    pub reason: String,
    /// When it was signed, milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
}

/// A reset in the right form, with the countersignatures it carries; nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    said: EpochReset,
    digest: Hash,
    statement: Bytes,
    consents: BTreeMap<Land, Bytes>,
}

/// A reset that is complete: verified under the charter, or kept since it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenReset(Reset);

/// Why a reset does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Too many bytes.
    #[error("a reset has at most {RESET_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form.
    #[error("the bytes are no encoded reset")]
    Undecodable,
    /// A field has another form.
    #[error("{field}: expected {expected}")]
    Field {
        /// Field.
        field: &'static str,
        /// Form.
        expected: &'static str,
    },
    /// A countersignature of another reset.
    #[error("{0} agreed to another reset")]
    OtherReset(Land),
    /// Two countersignatures of one member.
    #[error("{0} countersigned twice")]
    Twice(Land),
    /// Two files about different resets.
    #[error("these are two different resets")]
    Different,
    /// Whoever signed is no member, or no other one.
    #[error("{0} cannot sign this: it is no member, or the owner itself")]
    NoMember(Land),
    /// Not signed by whom it names, or not in this Verbund.
    #[error("what {by} signed does not count")]
    Statement {
        /// Who should have signed.
        by: Land,
        /// Why it does not.
        #[source]
        source: StatementError,
    },
    /// Too few countersignatures.
    #[error("{missing} more members must countersign the reset")]
    Missing {
        /// How many more are needed.
        missing: usize,
    },
    /// The charter in force lists another one.
    #[error("the charter in force lists another reset of this epoch ({listed})")]
    OtherListed {
        /// Which.
        listed: Hash,
    },
    /// A key that is kept in a token does not sign.
    #[error("the key does not sign")]
    Unsigned,
}

// === impl EpochReset ===

impl EpochReset {
    /// Signs with the offline key of the owner.
    ///
    /// # Errors
    ///
    /// [`ResetError::Field`] if it breaks the form; [`ResetError::Unsigned`].
    pub fn sign(&self, verbund: VerbundId, offline: &Key) -> Result<Reset, ResetError> {
        self.check()?;
        let payload: Bytes = EpochResetStatement {
            land: self.log.land.code().to_owned(),
            epoch: self.log.epoch,
            size: self.size,
            root: Bytes::copy_from_slice(self.root.as_bytes()),
            reason: self.reason.clone(),
            unix_ms: self.unix_ms,
        }
        .encode_to_vec()
        .into();
        let digest = Hash::of(&payload);
        let signed =
            statement::sign(Domain::EpochReset, verbund, offline.public(), offline, payload)
                .map_err(unsigned)?;
        let statement = signed.encode_to_vec().into();
        Ok(Reset { said: self.clone(), digest, statement, consents: BTreeMap::new() })
    }

    fn read(payload: &Bytes) -> Result<Self, ResetError> {
        let it = EpochResetStatement::decode(payload.clone());
        let it = it.map_err(|_| ResetError::Undecodable)?;
        let land = it.land.parse().map_err(|_| field("land", "a Land"))?;
        let said = Self {
            log: LogId { land, epoch: it.epoch },
            size: it.size,
            root: Hash::try_from(&it.root[..]).map_err(|_| field("root", "32 bytes"))?,
            reason: it.reason,
            unix_ms: it.unix_ms,
        };
        said.check()?;
        Ok(said)
    }

    fn check(&self) -> Result<(), ResetError> {
        if self.log.epoch == 0 || self.log.epoch == u64::MAX {
            return Err(field("epoch", "a number from 1 that another one follows"));
        }
        if self.reason.len() > REASON_BYTES_MAX {
            return Err(field("reason", "at most 500 bytes"));
        }
        if self.size == 0 && self.root != Hash::EMPTY_ROOT {
            return Err(field("root", "the root of the empty tree"));
        }
        Ok(())
    }

    /// The epoch that begins.
    pub fn next(&self) -> LogId {
        LogId { land: self.log.land, epoch: self.log.epoch + 1 }
    }
}

// === impl Reset ===

impl Reset {
    /// Reads an encoded reset. Nothing is verified.
    ///
    /// # Errors
    ///
    /// Those about the form.
    pub fn read(raw: &Bytes) -> Result<Self, ResetError> {
        if raw.len() > RESET_BYTES_MAX {
            return Err(ResetError::TooLong { found: raw.len() });
        }
        let wire = WireReset::decode(raw.clone()).map_err(|_| ResetError::Undecodable)?;
        let payload = decode(&wire.statement)?.payload;
        let digest = Hash::of(&payload);
        let said = EpochReset::read(&payload)?;
        let mut consents = BTreeMap::new();
        for raw in wire.consents {
            let consent = EpochResetConsent::decode(decode(&raw)?.payload);
            let consent = consent.map_err(|_| ResetError::Undecodable)?;
            let member: Land = consent.member.parse().map_err(|_| field("member", "a Land"))?;
            if consent.reset[..] != digest.as_bytes()[..] {
                return Err(ResetError::OtherReset(member));
            }
            if consents.insert(member, raw).is_some() {
                return Err(ResetError::Twice(member));
            }
        }
        Ok(Self { said, digest, statement: wire.statement, consents })
    }

    /// What it says.
    pub fn said(&self) -> &EpochReset {
        &self.said
    }

    /// SHA-256 of what the owner signed; countersignatures do not change it.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// Who countersigned, as it says.
    pub fn consents(&self) -> impl Iterator<Item = Land> {
        self.consents.keys().copied()
    }

    /// As it travels.
    pub fn encode(&self) -> Bytes {
        let consents = self.consents.values().cloned().collect();
        WireReset { statement: self.statement.clone(), consents }.encode_to_vec().into()
    }

    /// Verifies every signature it carries, and counts the countersignatures that are missing.
    ///
    /// # Errors
    ///
    /// [`ResetError::NoMember`], [`ResetError::Statement`] or [`ResetError::OtherListed`].
    pub fn verify(&self, charter: &Charter) -> Result<usize, ResetError> {
        if let Some(listed) = charter.listed(self.said.log).filter(|it| *it != self.digest) {
            return Err(ResetError::OtherListed { listed });
        }
        let owner = self.said.log.land;
        let member = charter.member(owner).ok_or(ResetError::NoMember(owner))?;
        let check = |by, domain, key, raw| {
            let signed = decode(raw)?;
            let verified = statement::verify(domain, charter.id(), key, &signed);
            verified.map_err(|source| ResetError::Statement { by, source })
        };
        check(owner, Domain::EpochReset, &member.offline_key, &self.statement)?;
        let mut counted = 0;
        for (land, raw) in &self.consents {
            let member = charter.member(*land).filter(|it| it.land != owner);
            let member = member.ok_or(ResetError::NoMember(*land))?;
            check(*land, Domain::EpochResetConsent, &member.keys.freshness, raw)?;
            counted += usize::from(member.is_active());
        }
        Ok(needed(charter, owner).saturating_sub(counted))
    }

    /// Adds the consent of a member. The caller MUST see to it that a member agrees to one reset
    /// of an epoch only.
    ///
    /// # Errors
    ///
    /// [`ResetError::NoMember`] for the owner; [`ResetError::Unsigned`].
    pub fn countersign(
        &self,
        verbund: VerbundId,
        member: Land,
        freshness: &Key,
        unix_ms: i64,
    ) -> Result<Self, ResetError> {
        if member == self.said.log.land {
            return Err(ResetError::NoMember(member));
        }
        let payload = EpochResetConsent {
            member: member.code().to_owned(),
            reset: Bytes::copy_from_slice(self.digest.as_bytes()),
            unix_ms,
        };
        let payload = payload.encode_to_vec().into();
        let domain = Domain::EpochResetConsent;
        let signed = statement::sign(domain, verbund, freshness.public(), freshness, payload)
            .map_err(unsigned)?;
        let mut next = self.clone();
        next.consents.insert(member, signed.encode_to_vec().into());
        Ok(next)
    }

    /// Adds the countersignatures that another copy of it carries. Of two by one member the later
    /// one stays, by the time that it states: whoever has another key now agrees anew.
    ///
    /// # Errors
    ///
    /// [`ResetError::Different`].
    pub fn merge(&mut self, other: Self) -> Result<(), ResetError> {
        if other.digest != self.digest {
            return Err(ResetError::Different);
        }
        for (land, raw) in other.consents {
            let here = self.consents.get(&land);
            if here.is_none_or(|it| stated_ms(it) <= stated_ms(&raw)) {
                self.consents.insert(land, raw);
            }
        }
        Ok(())
    }

    /// Leaves out the countersignatures with keys that members had under one of the charters before
    /// and have no longer under the one in force. No signature is looked at.
    #[must_use]
    pub fn without_former(mut self, charter: &Charter, past: &[Charter]) -> Self {
        self.consents.retain(|land, raw| {
            let is_key_of = |it: &Charter| {
                it.member(*land).is_some_and(|member| names(raw, &member.keys.freshness))
            };
            is_key_of(charter) || !past.iter().any(is_key_of)
        });
        self
    }

    /// Verifies that it is complete.
    ///
    /// # Errors
    ///
    /// As [`Reset::verify`]; [`ResetError::Missing`].
    pub fn complete(self, charter: &Charter) -> Result<TakenReset, ResetError> {
        match self.verify(charter)? {
            0 => Ok(TakenReset(self)),
            missing => Err(ResetError::Missing { missing }),
        }
    }

    /// Verifies that it counts: it is complete under the charter in force, or that one lists it and
    /// it was complete under one of those before.
    ///
    /// # Errors
    ///
    /// Why it is not complete under the charter in force.
    pub fn counts(self, charter: &Charter, past: &[Charter]) -> Result<TakenReset, ResetError> {
        match self.clone().complete(charter) {
            Err(_)
                if charter.listed(self.said.log) == Some(self.digest)
                    && self.was_complete(past) =>
            {
                Ok(TakenReset(self))
            }
            other => other,
        }
    }

    /// True if it was complete under one of these charters. Signatures are verified once, however
    /// many charters there are.
    pub fn was_complete(&self, past: &[Charter]) -> bool {
        // which keys signed is said with each signature; all charters that fit name the same ones
        let fits = past.iter().rev().find(|it| self.fits(it).unwrap_or_default());
        fits.is_some_and(|it| self.verify(it) == Ok(0))
    }

    /// Whether enough statements name the keys of this charter; no signature is looked at.
    fn fits(&self, charter: &Charter) -> Option<bool> {
        let owner = charter.member(self.said.log.land)?;
        if !names(&self.statement, &owner.offline_key) {
            return Some(false);
        }
        let mut counted = 0;
        for (land, raw) in &self.consents {
            let member = charter.member(*land)?;
            if !names(raw, &member.keys.freshness) {
                return Some(false);
            }
            counted += usize::from(member.is_active());
        }
        Some(counted >= needed(charter, owner.land))
    }
}

// === impl TakenReset ===

impl TakenReset {
    /// Reads one that was complete when it was kept. Keys may have changed since, so nothing is
    /// verified again: `raw` MUST come from a file that only this node writes.
    ///
    /// # Errors
    ///
    /// Those about the form.
    pub fn kept(raw: &Bytes) -> Result<Self, ResetError> {
        Reset::read(raw).map(Self)
    }

    /// What it says.
    pub fn said(&self) -> &EpochReset {
        &self.0.said
    }

    /// SHA-256 of what the owner signed.
    pub fn digest(&self) -> Hash {
        self.0.digest
    }

    /// As it travels, and as the first entry of the new epoch holds it.
    pub fn encode(&self) -> Bytes {
        self.0.encode()
    }
}

/// Countersignatures that a reset of the log of `owner` needs: more than half of the other active
/// members, none while it is alone.
pub fn needed(charter: &Charter, owner: Land) -> usize {
    match charter.voters().filter(|it| it.land != owner).count() {
        0 => 0,
        others => others / 2 + 1,
    }
}

/// The epoch that a Land writes, after these resets.
pub fn newest(land: Land, resets: &[TakenReset]) -> LogId {
    let mut log = LogId { land, epoch: 1 };
    while let Some(reset) = resets.iter().find(|it| it.said().log == log) {
        log = reset.said().next();
    }
    log
}

/// Digests of resets as charters list them; what lies behind a gap is left out.
pub fn ended(resets: impl IntoIterator<Item = (LogId, Hash)>) -> Ended {
    let resets: BTreeMap<LogId, Hash> = resets.into_iter().collect();
    let mut ended = Ended::new();
    for (log, digest) in resets {
        let next = ended.get(&log.land).map_or(1, |it| it.len() as u64 + 1);
        if log.epoch == next {
            ended.entry(log.land).or_default().push(digest);
        }
    }
    ended
}

/// Whether a statement says that this key signed it.
fn names(raw: &Bytes, key: &VerifyingKey) -> bool {
    decode(raw).is_ok_and(|it| it.key[..] == key.as_bytes()[..])
}

/// When a member agreed, as it says.
fn stated_ms(consent: &Bytes) -> Option<i64> {
    let payload = decode(consent).ok()?.payload;
    EpochResetConsent::decode(payload).ok().map(|it| it.unix_ms)
}

fn decode(raw: &Bytes) -> Result<SignedStatement, ResetError> {
    SignedStatement::decode(raw.clone()).map_err(|_| ResetError::Undecodable)
}

fn field(field: &'static str, expected: &'static str) -> ResetError {
    ResetError::Field { field, expected }
}

fn unsigned(_: SignatureError) -> ResetError {
    ResetError::Unsigned
}
