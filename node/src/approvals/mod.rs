//! Submissions that wait for a second person, one file each under `<data>/approvals`.
//!
//! Nothing of them is signed or comes near a log. A file is durable before its submitter hears of it;
//! it is never changed, only removed. What is too old is not there any more, and its file goes when
//! somebody asks next.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use registry_core::{
    authorize::Person,
    limits::{
        APPROVAL_MS_MAX, APPROVALS_BYTES_MAX, APPROVALS_MAX, APPROVALS_PER_PERSON_MAX,
        MESSAGE_BYTES_MAX,
    },
    reject::Reject,
};
use registry_proto::{
    approval::digest,
    wire::registry::{Approval, KeptApproval},
};
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

use crate::{
    batches::timestamp,
    kept::{Kind, OpenError, Shelf},
    lifecycle::chain,
    observe::Metrics,
    tls::Chain,
};

/// What waits at a node. Clones share it. Every operation works on the disk and blocks.
#[derive(Clone, Debug)]
pub struct Approvals {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shelf: Shelf,
    metrics: Arc<Metrics>,
    /// What is on disk; held over every change.
    known: Mutex<BTreeMap<Uuid, Known>>,
}

/// A submission that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// In short.
    pub approval: Approval,
    /// Encoded `PublishRequest`.
    pub request: Bytes,
    /// Whose it is.
    pub person: Person,
    /// The certificates they showed; empty if the transport showed none.
    pub chain: Chain,
}

/// What someone submits.
#[derive(Clone, Debug)]
pub struct Submitted<'a> {
    /// UUID; that of a request which comes again is the same.
    pub id: Uuid,
    /// Encoded `PublishRequest`.
    pub request: &'a Bytes,
    /// Number of its records.
    pub records: usize,
    /// Pseudonym.
    pub by: &'a str,
    /// Whose it is.
    pub person: Person,
    /// The certificates they show.
    pub chain: Chain,
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
}

#[derive(Clone, Debug)]
struct Known {
    approval: Approval,
    person: Person,
    bytes: usize,
    expires_ms: i64,
}

// === impl Approvals ===

impl Approvals {
    /// Opens what waits in a directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or read. A damaged file is no error.
    pub fn open(dir: &Path, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let (shelf, ids) = Shelf::open(dir, KIND)?;
        let mut known = BTreeMap::new();
        for id in ids {
            let it = match read(&shelf, id) {
                Ok(waiting) => Known::of(&waiting),
                Err(damage) => {
                    tracing::error!(%id, damage, "a submission cannot be read");
                    Known::damaged(id, damage)
                }
            };
            known.insert(id, it);
        }
        metrics.approvals().set_waiting(known.len());
        let shared = Shared { shelf, metrics, known: Mutex::new(known) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// All that wait, the oldest first.
    pub fn list(&self, wall_ms: i64) -> Vec<Approval> {
        let mut known = self.lock();
        self.forget(&mut known, wall_ms);
        let mut all: Vec<_> = known.values().map(|it| it.approval.clone()).collect();
        all.sort_by_key(|it| {
            let at = it.submitted_at.as_ref().map(|it| (it.seconds, it.nanos));
            (at, it.approval_id.clone())
        });
        all
    }

    /// Keeps a submission. One that comes again is kept once.
    ///
    /// # Errors
    ///
    /// [`Reject::Busy`] if too much waits; [`Reject::Conflict`] if another submission waits under
    /// the same idempotency key; [`Reject::Storage`]. Nothing is kept then.
    pub fn hold(&self, it: Submitted<'_>) -> Result<Approval, Reject> {
        let mut known = self.lock();
        self.forget(&mut known, it.wall_ms);
        let digest = digest(it.request);
        if let Some(before) = known.get(&it.id) {
            if before.approval.digest == digest.as_slice() && before.person == it.person {
                return Ok(before.approval.clone());
            }
            return Err(Reject::Conflict {
                what: "a request",
                name: format!("approval {}", it.id),
                hint: "use another idempotency_key".to_owned(),
            });
        }
        has_room(&known, &it)?;
        let kept = KeptApproval {
            approval_id: it.id.to_string(),
            request: it.request.clone(),
            submitted_by: it.by.to_owned(),
            person_key: it.person.key.to_vec().into(),
            person_subject: it.person.subject.to_vec().into(),
            submitted_at: Some(timestamp(it.wall_ms)),
            expires_at: Some(timestamp(it.wall_ms.saturating_add(APPROVAL_MS_MAX))),
            certificates: it.chain.iter().map(|it| Bytes::copy_from_slice(it)).collect(),
        };
        let written = self.shared.shelf.write(it.id, &kept);
        written.map_err(|error| KIND.failed(&error, "keeping a submission"))?;
        let mut waiting = waiting(kept).map_err(|_| Reject::Storage { operation: "keeping it" })?;
        waiting.approval.records = u32::try_from(it.records).unwrap_or(u32::MAX);
        known.insert(it.id, Known::of(&waiting));
        self.changed(&known, "held");
        Ok(waiting.approval)
    }

    /// One that waits.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`]; [`Reject::Precondition`] with `APPROVAL_DAMAGED` if its file cannot be
    /// read.
    pub fn get(&self, id: &str, wall_ms: i64) -> Result<Waiting, Reject> {
        let id = KIND.parse(id)?;
        let mut known = self.lock();
        self.forget(&mut known, wall_ms);
        if !known.contains_key(&id) {
            return Err(KIND.unknown(&id.to_string()));
        }
        read(&self.shared.shelf, id).map_err(|damage| Reject::Precondition {
            reason: "APPROVAL_DAMAGED",
            description: format!(
                "die Einreichung {id} ist beschädigt: {damage} ({}); ablehnen und neu einreichen",
                self.shared.shelf.path(id).display()
            ),
        })
    }

    /// Removes one that was decided; `outcome` from a closed set. One that is gone is no error.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`] if it never was here; [`Reject::Storage`].
    pub fn remove(&self, id: &str, outcome: &'static str) -> Result<(), Reject> {
        let id = KIND.parse(id)?;
        let mut known = self.lock();
        if !known.contains_key(&id) {
            return Err(KIND.unknown(&id.to_string()));
        }
        let removed = self.shared.shelf.remove(id);
        removed.map_err(|error| KIND.failed(&error, "removing a submission"))?;
        known.remove(&id);
        self.changed(&known, outcome);
        Ok(())
    }

    /// Whose it is; nothing for a damaged one.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`].
    pub fn person(&self, id: &str) -> Result<Person, Reject> {
        let id = KIND.parse(id)?;
        self.lock().get(&id).map(|it| it.person).ok_or_else(|| KIND.unknown(&id.to_string()))
    }

    fn forget(&self, known: &mut BTreeMap<Uuid, Known>, wall_ms: i64) {
        let old = known.iter().filter(|(_, it)| it.expires_ms <= wall_ms);
        for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Err(error) = self.shared.shelf.remove(id) {
                // it is tried again, and does not count meanwhile
                tracing::error!(cause = chain(&error), %id, "an old submission stays on disk");
            }
            known.remove(&id);
            tracing::info!(%id, "a submission was not confirmed in time");
            self.changed(known, "expired");
        }
    }

    fn changed(&self, known: &BTreeMap<Uuid, Known>, outcome: &'static str) {
        let metrics = self.shared.metrics.approvals();
        metrics.set_waiting(known.len());
        metrics.counted(outcome);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Known>> {
        // every change is one call: what a panic leaves is whole
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    fn of(it: &Waiting) -> Self {
        let expires = it.approval.expires_at.as_ref();
        let ms = |it: &prost_types::Timestamp| {
            it.seconds.saturating_mul(1_000).saturating_add(i64::from(it.nanos) / 1_000_000)
        };
        Self {
            approval: it.approval.clone(),
            person: it.person,
            bytes: it.request.len(),
            expires_ms: expires.map_or(0, ms),
        }
    }

    /// Counts until somebody removes it.
    fn damaged(id: Uuid, damage: String) -> Self {
        let approval_id = id.to_string();
        Self {
            approval: Approval { approval_id, damage, ..Approval::default() },
            person: Person::default(),
            bytes: 0,
            expires_ms: i64::MAX,
        }
    }
}

fn has_room(known: &BTreeMap<Uuid, Known>, it: &Submitted<'_>) -> Result<(), Reject> {
    let busy = |limit, max: usize| Err(Reject::Busy { limit, max: max as u64 });
    if known.len() >= APPROVALS_MAX {
        return busy("submissions that wait for a second person", APPROVALS_MAX);
    }
    let own = known.values().filter(|other| other.person.is_same(&it.person)).count();
    if own >= APPROVALS_PER_PERSON_MAX {
        return busy("submissions of one person that wait for a second", APPROVALS_PER_PERSON_MAX);
    }
    let bytes: usize = known.values().map(|it| it.bytes).sum();
    if bytes.saturating_add(it.request.len()) > APPROVALS_BYTES_MAX {
        return busy("bytes of submissions that wait for a second person", APPROVALS_BYTES_MAX);
    }
    Ok(())
}

/// The submission in a file, or what is wrong with it.
fn read(shelf: &Shelf, id: Uuid) -> Result<Waiting, String> {
    let kept: KeptApproval = shelf.read(id)?;
    if kept.approval_id != id.to_string() {
        return Err("die Datei enthält eine andere Einreichung".to_owned());
    }
    waiting(kept)
}

fn waiting(kept: KeptApproval) -> Result<Waiting, String> {
    use prost::Message;

    let digests = (kept.person_key.as_ref().try_into(), kept.person_subject.as_ref().try_into());
    let (Ok(key), Ok(subject)) = digests else {
        return Err("es fehlt, wer eingereicht hat".to_owned());
    };
    let request = registry_proto::wire::registry::PublishRequest::decode(kept.request.clone());
    let records = request.map_err(|_| "die Einreichung ist nicht lesbar".to_owned())?.records.len();
    Ok(Waiting {
        approval: Approval {
            approval_id: kept.approval_id,
            digest: digest(&kept.request).to_vec().into(),
            submitted_by: kept.submitted_by,
            submitted_at: kept.submitted_at,
            expires_at: kept.expires_at,
            records: u32::try_from(records).unwrap_or(u32::MAX),
            damage: String::new(),
        },
        request: kept.request,
        person: Person { key, subject },
        chain: kept.certificates.iter().map(|it| CertificateDer::from(it.to_vec())).collect(),
    })
}

/// `verbund.registry.v1.KeptApproval`: the request, and what is said of it.
const KIND: Kind = Kind {
    name: "approval",
    none: "keine wartende Einreichung",
    // a handshake takes no longer chain of certificates
    message_bytes_max: MESSAGE_BYTES_MAX + (68 << 10),
};
