//! Invitations of a node: who may ask to become a member, who has, and until when that counts.
//!
//! A token counts once: with the first card that keeps every rule. The same card may come again,
//! so that an answer that was lost costs nothing; another one is refused. Strangers learn nothing
//! before they have shown the secret.

use std::collections::BTreeMap;

use registry_proto::{
    charter::Charter,
    german::German,
    join::{InvitationId, JoinCard, JoinSecret},
    log::Hash,
    terms::Land,
    wire::registry::{Member, SignedJoinCard},
};

use crate::{
    limits::{
        INVITATION_KEPT_MS, INVITATION_MS_DEFAULT, INVITATION_MS_MAX, INVITATIONS_MAX,
        JOIN_WAIT_MS_MAX,
    },
    reject::Reject,
};

/// All invitations of a node.
#[derive(Clone, Debug, Default)]
pub struct Invitations {
    all: BTreeMap<InvitationId, Invitation>,
}

/// An invitation. Times are milliseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// Its name.
    pub id: InvitationId,
    /// Who is invited.
    pub land: Land,
    /// Digest of the secret.
    pub secret: Hash,
    /// Pseudonym of who made it.
    pub created_by: String,
    /// It was made.
    pub created_ms: i64,
    /// End of the token; of the wait once it was used.
    pub expires_ms: i64,
    /// With what it was used.
    pub presented: Option<Presented>,
}

/// What an invited Land presented.
#[derive(Clone, Debug, PartialEq)]
pub struct Presented {
    /// When.
    pub at_ms: i64,
    /// The card with its proofs.
    pub signed: SignedJoinCard,
    /// Digest of the card.
    pub digest: Hash,
    /// As it is to stand in the charter.
    pub member: Member,
}

/// What is asked for when an invitation is made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who is to be invited.
    pub land: Land,
    /// For how long, milliseconds; 0 for the usual time.
    pub valid_ms: i64,
    /// Pseudonym of who asks.
    pub by: String,
    /// Random.
    pub id: InvitationId,
    /// Random.
    pub secret: JoinSecret,
}

/// What a presented card leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is new: keep the invitation like this, durably, before anybody is told.
    Keep(Box<Invitation>),
    /// It was presented before.
    Known(Box<Invitation>),
}

// === impl Invitations ===

impl Invitations {
    /// All, by their names.
    pub fn iter(&self) -> impl Iterator<Item = &Invitation> {
        self.all.values()
    }

    /// The invitation that is to be kept; nothing is changed here.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`], [`Reject::Busy`], or [`Reject::Precondition`] for a Land that is in the
    /// charter already.
    pub fn make(
        &self,
        wanted: &Wanted,
        charter: &Charter,
        now_ms: i64,
    ) -> Result<Invitation, Reject> {
        let valid_ms = match wanted.valid_ms {
            0 => INVITATION_MS_DEFAULT,
            other => other,
        };
        if !(1..=INVITATION_MS_MAX).contains(&valid_ms) {
            let most = INVITATION_MS_MAX / 1_000;
            let what = format!("erwartet höchstens {most} Sekunden (sieben Tage)");
            return Err(Reject::field("valid_seconds", "RANGE", what));
        }
        if charter.member(wanted.land).is_some() {
            return Err(already_member(wanted.land));
        }
        if self.all.len() >= INVITATIONS_MAX {
            return Err(Reject::Busy { limit: "invitations", max: INVITATIONS_MAX as u64 });
        }
        if self.all.contains_key(&wanted.id) {
            return Err(Reject::Storage { operation: "drawing random numbers" });
        }
        Ok(Invitation {
            id: wanted.id,
            land: wanted.land,
            secret: wanted.secret.digest(),
            created_by: wanted.by.clone(),
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(valid_ms),
            presented: None,
        })
    }

    /// Judges a card; nothing is changed here.
    ///
    /// # Errors
    ///
    /// [`Reject::NotInvited`] without the secret; [`Reject::Precondition`] for a token that was used
    /// (`TOKEN_USED`) or has ended (`TOKEN_EXPIRED`); [`Reject::Invalid`] for a card that breaks a
    /// rule.
    pub fn present(
        &self,
        id: &str,
        secret: &[u8],
        signed: &SignedJoinCard,
        charter: &Charter,
        now_ms: i64,
    ) -> Result<Verdict, Reject> {
        let invitation = self.shown(id, secret)?;
        let claimed = JoinCard::claimed(signed).map_err(|error| card_rule(&error))?;
        if let Some(before) = &invitation.presented {
            if before.digest != claimed.digest {
                return Err(Reject::Precondition {
                    reason: "TOKEN_USED",
                    description:
                        "das Token wurde schon benutzt, mit einer anderen Mitgliedskarte; \
                                  ein neues erbitten"
                            .to_owned(),
                });
            }
            require_not_over(invitation, now_ms)?;
            return Ok(Verdict::Known(Box::new(invitation.clone())));
        }
        require_not_over(invitation, now_ms)?;
        let card = JoinCard::verify(signed, charter.id()).map_err(|error| card_rule(&error))?;
        if card.id != invitation.id {
            let what = "ist für eine andere Einladung signiert";
            return Err(Reject::field("card.invitation_id", "OTHER_INVITATION", what));
        }
        if card.member.land != invitation.land.code() {
            let what = format!("eingeladen ist {}", invitation.land);
            return Err(Reject::field("card.member.land", "OTHER_LAND", what));
        }
        if charter.member(invitation.land).is_some() {
            return Err(already_member(invitation.land));
        }
        require_admissible(charter, &card.member)?;
        let mut used = invitation.clone();
        used.expires_ms = now_ms.saturating_add(JOIN_WAIT_MS_MAX);
        used.presented = Some(Presented {
            at_ms: now_ms,
            signed: signed.clone(),
            digest: card.digest,
            member: card.member,
        });
        Ok(Verdict::Keep(Box::new(used)))
    }

    /// The invitation of somebody who presented a card before.
    ///
    /// # Errors
    ///
    /// As [`Invitations::present`]; `NOT_PRESENTED` before a card was.
    pub fn ask(&self, id: &str, secret: &[u8], now_ms: i64) -> Result<&Invitation, Reject> {
        let invitation = self.shown(id, secret)?;
        require_not_over(invitation, now_ms)?;
        if invitation.presented.is_none() {
            return Err(Reject::Precondition {
                reason: "NOT_PRESENTED",
                description: "mit diesem Token wurde noch keine Mitgliedskarte vorgelegt"
                    .to_owned(),
            });
        }
        Ok(invitation)
    }

    /// Puts in place what is kept durably.
    pub fn put(&mut self, invitation: Invitation) {
        self.all.insert(invitation.id, invitation);
    }

    /// The invitation of a name.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`].
    pub fn get(&self, id: &str) -> Result<&Invitation, Reject> {
        let found = InvitationId::parse(id).and_then(|id| self.all.get(&id));
        let name = || id.chars().take(NAME_CHARS_MAX).collect();
        found.ok_or_else(|| Reject::NotFound { what: "invitation", name: name() })
    }

    /// Takes one away.
    pub fn remove(&mut self, id: InvitationId) {
        self.all.remove(&id);
    }

    /// Those that nobody has to be told about any more.
    pub fn over(&self, now_ms: i64) -> Vec<InvitationId> {
        let over = |it: &&Invitation| it.expires_ms.saturating_add(INVITATION_KEPT_MS) <= now_ms;
        self.all.values().filter(over).map(|it| it.id).collect()
    }

    /// Until when somebody may still come; 0 if nobody may.
    pub fn open_until_ms(&self) -> i64 {
        let ends = self.all.values().map(|it| it.expires_ms.saturating_add(INVITATION_KEPT_MS));
        ends.max().unwrap_or_default()
    }

    fn shown(&self, id: &str, secret: &[u8]) -> Result<&Invitation, Reject> {
        let found = InvitationId::parse(id).and_then(|id| self.all.get(&id));
        let digest = JoinSecret::try_from(secret).map(|it| it.digest()).unwrap_or(NO_DIGEST);
        // compared also if there is none, so that it takes as long
        let kept = found.map_or(NO_DIGEST, |it| it.secret);
        match found {
            Some(invitation) if is_same(&digest, &kept) && digest != NO_DIGEST => Ok(invitation),
            _ => Err(Reject::NotInvited),
        }
    }
}

// === impl Invitation ===

impl Invitation {
    /// Who waits for the votes by it: nobody before the card, nor once a charter names the Land.
    pub fn waiting(&self, charter: &Charter) -> Option<&Member> {
        let presented = self.presented.as_ref()?;
        charter.member(self.land).is_none().then_some(&presented.member)
    }

    /// Whether it lets nobody in any more.
    pub fn is_over(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_ms
    }
}

fn require_not_over(invitation: &Invitation, now_ms: i64) -> Result<(), Reject> {
    if !invitation.is_over(now_ms) {
        return Ok(());
    }
    Err(Reject::Precondition {
        reason: "TOKEN_EXPIRED",
        description: "die Einladung ist abgelaufen; eine neue erbitten".to_owned(),
    })
}

/// Whether members could vote for the charter with this member and nothing else new.
fn require_admissible(charter: &Charter, member: &Member) -> Result<(), Reject> {
    use prost::Message as _;

    let next = charter.admitting(member.clone()).encode_to_vec().into();
    charter
        .successor(next)
        .map(|_| ())
        .map_err(|error| Reject::field("card.member", "CHARTER_RULE", German(error).to_string()))
}

fn already_member(land: Land) -> Reject {
    Reject::Precondition {
        reason: "ALREADY_MEMBER",
        description: format!(
            "{land} steht schon in der Charta; wieder aufnehmen mit registry-node charter amend --resume"
        ),
    }
}

fn card_rule(error: &registry_proto::join::CardError) -> Reject {
    Reject::field("card", "CARD", error.to_string())
}

/// In the same time wherever they differ.
fn is_same(one: &Hash, other: &Hash) -> bool {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    let differs = pairs.fold(0, |differs: u8, (a, b)| differs | (a ^ b));
    std::hint::black_box(differs) == 0
}

const NO_DIGEST: Hash = Hash::from_bytes([0; 32]);
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests;
