//! How a Land becomes a member: the token that invites it, and the card it answers with.
//!
//! A token is a statement under the freshness key of the Land that invites. It brings the address
//! of one node and the pins under which that node counts, so that nothing has to be trusted but the
//! way the token came. A card names the member as it is to stand in the charter, and is signed with
//! all keys on it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use ed25519_dalek::{SignatureError, VerifyingKey};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    charter::{Charter, Member, TRUST_MAX},
    key::Key,
    log::{Hash, LogSigner, VerbundId},
    statement::{self, Domain, StatementError},
    terms::Land,
    wire::registry::{self as wire, SignedStatement},
};

/// Bytes of an encoded card: a member with as many anchors as a charter allows.
pub const CARD_BYTES_MAX: usize = 48 << 10;
/// Characters of a token.
pub const TOKEN_CHARS_MAX: usize = 8_192;
/// Addresses in a token.
pub const ADDRESSES_MAX: usize = 8;
/// Characters of an address.
pub const ADDRESS_CHARS_MAX: usize = 300;
/// Pins in a token.
pub const PINS_MAX: usize = 2 * TRUST_MAX;

/// What shows that its holder was invited: 32 random bytes that no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; 32]);

/// Name of an invitation at the node that made it: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationId([u8; 8]);

/// A token as it is read. That the Land that invites made it shows only once its charter is here:
/// see [`JoinToken::require_made_under`].
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// What it says.
    pub invited: Invited,
    statement: SignedStatement,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// Which Verbund.
    pub verbund: VerbundId,
    /// Which invitation.
    pub id: InvitationId,
    /// What shows that its holder was invited.
    pub secret: JoinSecret,
    /// Who is invited.
    pub land: Land,
    /// Who invites.
    pub issuer: Land,
    /// Name of its node.
    pub node: String,
    /// SHA-256 over the SubjectPublicKeyInfo of anchors of the issuer, or of its node.
    pub pins: Vec<[u8; 32]>,
    /// Where the node is reached, `host:port`.
    pub addresses: Vec<String>,
    /// End, seconds since 1970-01-01 UTC.
    pub expires_unix_seconds: i64,
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like one.
    #[error("the text does not begin with {PREFIX}")]
    Prefix,
    /// Too long, cut off, or a letter is wrong.
    #[error("the token is not complete, or a character of it is wrong")]
    Damaged,
    /// Made by newer software.
    #[error("the token has form {found}, this software knows {FORM}")]
    Form {
        /// Form found.
        found: u8,
    },
    /// A value breaks its rule.
    #[error("{field} of the token has not its form")]
    Value {
        /// Which value.
        field: &'static str,
    },
    /// The Land that invites is no member under the charters shown, or they are of another Verbund.
    #[error("the charters shown are not those of the Verbund that the token names")]
    OtherVerbund,
    /// Not signed by the Land that invites.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// A card whose holder has shown all keys on it.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinCard {
    /// Which invitation it answers.
    pub id: InvitationId,
    /// As it is to stand in the charter; its rules are those of the charter, and not checked here.
    pub member: wire::Member,
    /// SHA-256 of its bytes.
    pub digest: Hash,
}

/// Why a card is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Too many bytes.
    #[error("a card has at most {CARD_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form.
    #[error("the bytes are no encoded card")]
    Undecodable,
    /// A value breaks its rule.
    #[error("{field} of the card has not its form")]
    Value {
        /// Which value.
        field: &'static str,
    },
    /// Not as many proofs as keys.
    #[error("a card is signed with log key, freshness key and offline key, in this order")]
    Proofs,
    /// A proof does not hold.
    #[error("the card is not signed with its {key}")]
    Proof {
        /// Which key.
        key: &'static str,
        /// Why.
        #[source]
        source: StatementError,
    },
}

// === impl JoinSecret ===

impl JoinSecret {
    /// Takes 32 bytes, which MUST be random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever sends them on.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the node that made it keeps. A plain hash: the secret is random and cannot be guessed.
    pub fn digest(&self) -> Hash {
        let mut hash = Sha256::new();
        hash.update(SECRET_DOMAIN);
        hash.update([0]);
        hash.update(self.0);
        Hash::from_bytes(hash.finalize().into())
    }
}

impl TryFrom<&[u8]> for JoinSecret {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

// === impl InvitationId ===

impl InvitationId {
    /// Takes 8 bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Reads 16 hexadecimal digits, lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let id = Self(bytes);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

// === impl Invited ===

impl Invited {
    /// Makes the token; `signer` MUST be that of the issuer.
    ///
    /// # Errors
    ///
    /// A key that is kept in a token does not sign.
    pub fn sign(&self, signer: &LogSigner) -> Result<JoinToken, SignatureError> {
        let key = signer.freshness();
        let payload = self.encode().encode_to_vec().into();
        let statement =
            statement::sign(Domain::JoinToken, self.verbund, key.public(), key, payload)?;
        Ok(JoinToken { invited: self.clone(), statement })
    }

    fn encode(&self) -> wire::JoinToken {
        wire::JoinToken {
            verbund: Bytes::copy_from_slice(self.verbund.as_bytes()),
            invitation_id: self.id.to_string(),
            secret: Bytes::copy_from_slice(&self.secret.0),
            land: self.land.code().to_owned(),
            issuer: self.issuer.code().to_owned(),
            node: self.node.clone(),
            pins: self.pins.iter().map(|it| Bytes::copy_from_slice(it)).collect(),
            addresses: self.addresses.clone(),
            expires_unix_seconds: self.expires_unix_seconds,
        }
    }

    fn read(payload: &Bytes) -> Result<Self, TokenError> {
        let bad = |field: &'static str| move || TokenError::Value { field };
        let it = wire::JoinToken::decode(payload.clone()).map_err(|_| TokenError::Damaged)?;
        let mut pins = Vec::with_capacity(it.pins.len().min(PINS_MAX));
        if !(1..=PINS_MAX).contains(&it.pins.len()) {
            return Err(bad("pins")());
        }
        for pin in &it.pins {
            pins.push(pin[..].try_into().map_err(|_| bad("pins")())?);
        }
        let fits = |it: &String| (3..=ADDRESS_CHARS_MAX).contains(&it.len());
        if !(1..=ADDRESSES_MAX).contains(&it.addresses.len()) || !it.addresses.iter().all(fits) {
            return Err(bad("addresses")());
        }
        if it.node.is_empty() || it.node.len() > ADDRESS_CHARS_MAX {
            return Err(bad("node")());
        }
        Ok(Self {
            verbund: VerbundId::try_from(&it.verbund[..]).map_err(|_| bad("verbund")())?,
            id: InvitationId::parse(&it.invitation_id).ok_or_else(bad("invitation_id"))?,
            secret: JoinSecret::try_from(&it.secret[..]).map_err(|_| bad("secret")())?,
            land: it.land.parse().map_err(|_| bad("land")())?,
            issuer: it.issuer.parse().map_err(|_| bad("issuer")())?,
            node: it.node,
            pins,
            addresses: it.addresses,
            expires_unix_seconds: it.expires_unix_seconds,
        })
    }
}

// === impl JoinToken ===

impl JoinToken {
    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if text.len() > TOKEN_CHARS_MAX {
            return Err(TokenError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Damaged)?;
        let at = bytes.len().checked_sub(CHECK_BYTES).ok_or(TokenError::Damaged)?;
        let (body, check) = bytes.split_at(at);
        if check != check_of(body) {
            return Err(TokenError::Damaged);
        }
        let (form, body) = body.split_first().ok_or(TokenError::Damaged)?;
        if *form != FORM {
            return Err(TokenError::Form { found: *form });
        }
        let statement = SignedStatement::decode(body).map_err(|_| TokenError::Damaged)?;
        Ok(Self { invited: Invited::read(&statement.payload)?, statement })
    }

    /// The text form: one line without blanks, with a check against mistakes in copying.
    pub fn text(&self) -> String {
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(&self.statement.encode_to_vec());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Holds the token against the charters that the node has shown: they must begin with the genesis
    /// charter that the token names, and its issuer must have signed it.
    ///
    /// # Errors
    ///
    /// [`TokenError::OtherVerbund`], [`TokenError::Statement`].
    pub fn require_made_under(&self, charter: &Charter) -> Result<(), TokenError> {
        if charter.id() != self.invited.verbund {
            return Err(TokenError::OtherVerbund);
        }
        let issuer = charter.member(self.invited.issuer).ok_or(TokenError::OtherVerbund)?;
        let mut known = keys_of(issuer);
        let verify = |key: &VerifyingKey| {
            statement::verify(Domain::JoinToken, charter.id(), key, &self.statement)
        };
        // a key that was replaced since counts still: the token is older than the charter
        match known.find(|key| verify(key).is_ok()) {
            Some(_) => Ok(()),
            None => Err(verify(&issuer.keys.freshness).err().unwrap_or(StatementError::Key).into()),
        }
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the statement holds the secret
        f.debug_tuple("JoinToken").field(&self.invited).finish()
    }
}

fn keys_of(member: &Member) -> impl Iterator<Item = &VerifyingKey> {
    let former = member.former.iter().map(|it| &it.keys.freshness);
    std::iter::once(&member.keys.freshness).chain(former)
}

// === impl JoinCard ===

impl JoinCard {
    /// Makes a card and signs it with the keys of the member, which MUST be these.
    ///
    /// # Errors
    ///
    /// A key that is kept in a token does not sign.
    pub fn sign(
        id: InvitationId,
        member: wire::Member,
        verbund: VerbundId,
        keys: [&Key; 3],
    ) -> Result<wire::SignedJoinCard, SignatureError> {
        let card = wire::JoinCard { invitation_id: id.to_string(), member: Some(member) };
        let card = Bytes::from(card.encode_to_vec());
        let digest = Bytes::copy_from_slice(Hash::of(&card).as_bytes());
        let mut proofs = Vec::with_capacity(keys.len());
        for key in keys {
            let domain = Domain::JoinCard;
            proofs.push(statement::sign(domain, verbund, key.public(), key, digest.clone())?);
        }
        Ok(wire::SignedJoinCard { card, proofs })
    }

    /// Reads a card and verifies that whoever made it has all keys on it.
    ///
    /// # Errors
    ///
    /// See [`CardError`].
    pub fn verify(signed: &wire::SignedJoinCard, verbund: VerbundId) -> Result<Self, CardError> {
        let card = Self::claimed(signed)?;
        let keys = [
            ("log_key", &card.member.log_key),
            ("freshness_key", &card.member.freshness_key),
            ("offline_key", &card.member.offline_key),
        ];
        if signed.proofs.len() != keys.len() {
            return Err(CardError::Proofs);
        }
        for ((field, raw), proof) in keys.into_iter().zip(&signed.proofs) {
            let key = raw[..].try_into().ok().and_then(|it| VerifyingKey::from_bytes(it).ok());
            let key = key.ok_or(CardError::Value { field })?;
            let verified = statement::verify(Domain::JoinCard, verbund, &key, proof)
                .map_err(|source| CardError::Proof { key: field, source })?;
            if verified.payload != card.digest.as_bytes()[..] {
                let source = StatementError::Signature;
                return Err(CardError::Proof { key: field, source });
            }
        }
        Ok(card)
    }

    /// What a card says; nothing of it is verified.
    ///
    /// # Errors
    ///
    /// All but those about proofs.
    pub fn claimed(signed: &wire::SignedJoinCard) -> Result<Self, CardError> {
        let found = signed.card.len();
        if found > CARD_BYTES_MAX {
            return Err(CardError::TooLong { found });
        }
        let card = wire::JoinCard::decode(signed.card.clone());
        let card = card.map_err(|_| CardError::Undecodable)?;
        let id = InvitationId::parse(&card.invitation_id);
        let id = id.ok_or(CardError::Value { field: "invitation_id" })?;
        let member = card.member.ok_or(CardError::Value { field: "member" })?;
        Ok(Self { id, member, digest: Hash::of(&signed.card) })
    }
}

// === impl Charter ===

impl Charter {
    /// The draft of the next charter with one more member: in its place, and with the votes that are
    /// needed then at least.
    pub fn admitting(&self, member: wire::Member) -> wire::Charter {
        let mut next = self.draft_of_next();
        next.members.push(member);
        next.members.sort_by(|a, b| a.land.cmp(&b.land));
        let active = next.members.iter().filter(|it| it.state == 0).count();
        let least = u32::try_from(active * 2 / 3 + 1).unwrap_or(u32::MAX);
        next.threshold = self.threshold().max(least);
        next
    }
}

fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Sha256::digest(bytes)[..CHECK_BYTES]);
    check
}

/// How a token begins.
pub const PREFIX: &str = "verbund-beitritt:";
const FORM: u8 = 1;
const CHECK_BYTES: usize = 4;
const SECRET_DOMAIN: &[u8] = b"verbund-registry/join-secret/v1";

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn keys() -> [Key; 3] {
        [1, 2, 3].map(|seed| Key::from(SigningKey::from_bytes(&[seed; 32])))
    }

    fn invited() -> Invited {
        Invited {
            verbund: VerbundId::from_bytes([7; 32]),
            id: InvitationId::from_bytes([0xab; 8]),
            secret: JoinSecret::from_bytes([9; 32]),
            land: Land::BY,
            issuer: Land::SL,
            node: "sl-1.example".to_owned(),
            pins: vec![[5; 32]],
            addresses: vec!["sl-1.example:7640".to_owned()],
            expires_unix_seconds: 1_795_000_000,
        }
    }

    fn token() -> JoinToken {
        let [log, freshness, _] = keys();
        invited().sign(&LogSigner::new(log, freshness)).unwrap()
    }

    #[test]
    fn a_token_survives_copying_and_mistakes_are_found() {
        let text = token().text();
        assert_eq!(JoinToken::parse(&format!("  {text}\n")), Ok(token()));
        for at in PREFIX.len()..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(JoinToken::parse(&other), Err(TokenError::Damaged), "character {at}");
            assert!(JoinToken::parse(&text[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(JoinToken::parse("other"), Err(TokenError::Prefix));
    }

    #[test]
    fn values_of_a_token_have_their_form() {
        let [log, freshness, _] = keys();
        let signer = LogSigner::new(log, freshness);
        let read = |invited: Invited| JoinToken::parse(&invited.sign(&signer).unwrap().text());
        for (field, other) in [
            ("pins", Invited { pins: Vec::new(), ..invited() }),
            ("pins", Invited { pins: vec![[1; 32]; PINS_MAX + 1], ..invited() }),
            ("addresses", Invited { addresses: Vec::new(), ..invited() }),
            ("addresses", Invited { addresses: vec!["a".repeat(301)], ..invited() }),
            ("node", Invited { node: String::new(), ..invited() }),
        ] {
            assert_eq!(read(other), Err(TokenError::Value { field }));
        }
    }

    #[test]
    fn a_secret_is_shown_nowhere() {
        let shown = format!("{:?}", token());
        assert!(shown.contains("JoinSecret(..)") && !shown.contains("payload"), "{shown}");
        assert_ne!(JoinSecret::from_bytes([9; 32]).digest(), Hash::of(&[9; 32]));
    }

    fn card(keys: [&Key; 3]) -> wire::SignedJoinCard {
        let [log, freshness, offline] = self::keys();
        let public = |key: &Key| Bytes::copy_from_slice(key.public().as_bytes());
        let member = wire::Member {
            land: "BY".to_owned(),
            log_key: public(&log),
            freshness_key: public(&freshness),
            offline_key: public(&offline),
            ..wire::Member::default()
        };
        JoinCard::sign(invited().id, member, invited().verbund, keys).unwrap()
    }

    #[test]
    fn a_card_counts_with_all_its_keys_in_its_verbund() {
        let [log, freshness, offline] = keys();
        let signed = card([&log, &freshness, &offline]);
        let read = JoinCard::verify(&signed, invited().verbund).unwrap();
        assert_eq!((read.id, read.digest), (invited().id, Hash::of(&signed.card)));
        let elsewhere = JoinCard::verify(&signed, VerbundId::from_bytes([8; 32]));
        let source = StatementError::Signature;
        assert_eq!(elsewhere, Err(CardError::Proof { key: "log_key", source }));
        let stolen = card([&log, &freshness, &log]);
        let source = StatementError::Key;
        let refused = Err(CardError::Proof { key: "offline_key", source });
        assert_eq!(JoinCard::verify(&stolen, invited().verbund), refused);
        let fewer = wire::SignedJoinCard { proofs: Vec::new(), ..signed.clone() };
        assert_eq!(JoinCard::verify(&fewer, invited().verbund), Err(CardError::Proofs));
        let mut changed = signed.card.to_vec();
        let at = changed.len() - 1;
        changed[at] ^= 1;
        let changed = wire::SignedJoinCard { card: changed.into(), ..signed };
        assert!(JoinCard::verify(&changed, invited().verbund).is_err());
    }
}
