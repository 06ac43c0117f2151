//! Drafts of this Land: records that are not published yet, one file each under `<data>/drafts`.
//!
//! They never come near a log, the index or a partner. A damaged file is told of that draft; the
//! others go on.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use registry_core::{
    limits::{DRAFT_BYTES_MAX, DRAFT_RECORDS_MAX, DRAFTS_MAX},
    reject::Reject,
};
use registry_proto::wire::registry::{Draft, DraftSummary, Record, record};
use uuid::Uuid;

use crate::{
    batches::timestamp,
    kept::{Kind, OpenError, Shelf},
};

/// The drafts of a node. Clones share them. Every operation works on the disk and blocks.
#[derive(Clone, Debug)]
pub struct Drafts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shelf: Shelf,
    /// What is on disk. Held over every change, so that revisions follow each other.
    known: Mutex<BTreeMap<Uuid, DraftSummary>>,
}

/// Who keeps or publishes a draft, and when.
#[derive(Clone, Copy, Debug)]
pub struct Hand<'a> {
    /// Pseudonym.
    pub principal: &'a str,
    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
}

// === impl Drafts ===

impl Drafts {
    /// Opens the drafts in a directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or read. A damaged file is no error.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (shelf, ids) = Shelf::open(dir, KIND)?;
        let mut known = BTreeMap::new();
        for id in ids {
            let summary = match read(&shelf, id) {
                Ok(draft) => summary(&draft),
                Err(damage) => {
                    tracing::error!(%id, damage, "a draft cannot be read");
                    DraftSummary { draft_id: id.to_string(), damage, ..DraftSummary::default() }
                }
            };
            known.insert(id, summary);
        }
        let shared = Shared { shelf, known: Mutex::new(known) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// All of them, the one changed last first.
    pub fn list(&self) -> Vec<DraftSummary> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|it| {
            let changed = it.changed_at.as_ref().map(|it| (it.seconds, it.nanos));
            (std::cmp::Reverse(changed), it.draft_id.clone())
        });
        all
    }

    /// A draft.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`]; [`Reject::Precondition`] with `DRAFT_DAMAGED` if its file cannot be
    /// read.
    pub fn get(&self, id: &str) -> Result<Draft, Reject> {
        let id = KIND.parse(id)?;
        self.read(&self.lock(), id)
    }

    /// Keeps a new draft, or a new state of the one named.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] for records that are none of a draft, or too many; [`Reject::Busy`]
    /// when there are too many drafts; [`Reject::MovedOn`] if `expected` is not its revision;
    /// as [`Self::get`]; [`Reject::Storage`]. The draft is as it was then.
    pub fn save(
        &self,
        id: &str,
        expected: Option<u64>,
        mut records: Vec<Record>,
        hand: Hand<'_>,
    ) -> Result<Draft, Reject> {
        check(&records)?;
        let mut known = self.lock();
        let at = Some(timestamp(hand.wall_ms));
        let by = hand.principal.to_owned();
        let before = if id.is_empty() {
            if known.len() >= DRAFTS_MAX {
                return Err(Reject::Busy { limit: "drafts", max: DRAFTS_MAX as u64 });
            }
            let draft_id = Uuid::now_v7().to_string();
            let (created_at, created_by) = (at, by.clone());
            Draft { draft_id, created_at, created_by, ..Draft::default() }
        } else {
            self.read(&known, KIND.parse(id)?)?
        };
        as_expected(&before.draft_id, before.revision, expected)?;
        name_services(&mut records);
        let revision = before.revision + 1;
        let draft = Draft { revision, records, changed_at: at, changed_by: by, ..before };
        if draft.records.iter().map(Message::encoded_len).sum::<usize>() > DRAFT_BYTES_MAX {
            return Err(too_large());
        }
        let id = KIND.parse(&draft.draft_id)?;
        let kept = self.shared.shelf.write(id, &draft);
        kept.map_err(|error| KIND.failed(&error, "keeping a draft"))?;
        known.insert(id, summary(&draft));
        Ok(draft)
    }

    /// Deletes a draft, also a damaged one.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`]; [`Reject::MovedOn`]; [`Reject::Storage`].
    pub fn delete(&self, id: &str, expected: Option<u64>) -> Result<(), Reject> {
        let id = KIND.parse(id)?;
        let mut known = self.lock();
        let summary = known.get(&id).ok_or_else(|| KIND.unknown(&id.to_string()))?;
        as_expected(&summary.draft_id, summary.revision, expected)?;
        let removed = self.shared.shelf.remove(id);
        removed.map_err(|error| KIND.failed(&error, "deleting a draft"))?;
        known.remove(&id);
        Ok(())
    }

    fn read(&self, known: &BTreeMap<Uuid, DraftSummary>, id: Uuid) -> Result<Draft, Reject> {
        if !known.contains_key(&id) {
            return Err(KIND.unknown(&id.to_string()));
        }
        read(&self.shared.shelf, id).map_err(|damage| Reject::Precondition {
            reason: "DRAFT_DAMAGED",
            description: format!(
                "der Entwurf {id} ist beschädigt: {damage} ({}); aus einer Sicherung \
                 zurückholen oder löschen",
                self.shared.shelf.path(id).display()
            ),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, DraftSummary>> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records of a draft are definitions and versions; they may be incomplete.
fn check(records: &[Record]) -> Result<(), Reject> {
    if records.is_empty() || records.len() > DRAFT_RECORDS_MAX {
        return Err(Reject::field(
            "records",
            "DRAFT_RECORDS",
            format!("{} Datensätze; ein Entwurf hat 1 bis {DRAFT_RECORDS_MAX}", records.len()),
        ));
    }
    for (at, Record { record, expected_revision }) in records.iter().enumerate() {
        let of_release = matches!(
            record,
            Some(record::Record::ServiceDefinition(_) | record::Record::ServiceVersion(_))
        );
        if !of_release {
            return Err(Reject::field(
                format!("records[{at}]"),
                "DRAFT_KIND",
                "ein Entwurf enthält Steckbriefe (service_definition) und Versionen \
                 (service_version), nichts anderes",
            ));
        }
        if expected_revision.is_some() {
            return Err(Reject::field(
                format!("records[{at}].expected_revision"),
                "DRAFT_EXPECTED_REVISION",
                "eine Revision gilt für eine Veröffentlichung, nicht für einen Entwurf",
            ));
        }
    }
    if records.iter().map(Message::encoded_len).sum::<usize>() > DRAFT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(())
}

/// Gives new services their UUID here, so that publishing the draft twice is publishing it once.
fn name_services(records: &mut [Record]) {
    let mut defined = Vec::new();
    for Record { record, .. } in &mut *records {
        if let Some(record::Record::ServiceDefinition(it)) = record {
            if it.service_id.is_empty() {
                it.service_id = Uuid::now_v7().to_string();
            }
            defined.push(it.service_id.clone());
        }
    }
    let [only] = defined.as_slice() else { return };
    for Record { record, .. } in records {
        if let Some(record::Record::ServiceVersion(it)) = record
            && it.service_id.is_empty()
        {
            it.service_id.clone_from(only);
        }
    }
}

fn summary(draft: &Draft) -> DraftSummary {
    let mut of = DraftSummary {
        draft_id: draft.draft_id.clone(),
        revision: draft.revision,
        records: u32::try_from(draft.records.len()).unwrap_or(u32::MAX),
        changed_at: draft.changed_at,
        changed_by: draft.changed_by.clone(),
        ..DraftSummary::default()
    };
    for Record { record, .. } in &draft.records {
        let service = match record {
            Some(record::Record::ServiceDefinition(it)) => {
                if of.bezeichnung.is_empty() {
                    let name = it.bezeichnung.iter().find(|it| it.language_code == "de");
                    let name = name.map(|it| it.text.chars().take(NAME_CHARS_MAX).collect());
                    of.bezeichnung = name.unwrap_or_default();
                }
                &it.service_id
            }
            Some(record::Record::ServiceVersion(it)) => {
                of.versions.push(it.version.chars().take(NAME_CHARS_MAX).collect());
                &it.service_id
            }
            _ => continue,
        };
        let service: String = service.chars().take(NAME_CHARS_MAX).collect();
        if !service.is_empty() && !of.service_ids.contains(&service) {
            of.service_ids.push(service);
        }
    }
    of
}

/// The draft in a file, or what is wrong with it.
fn read(shelf: &Shelf, id: Uuid) -> Result<Draft, String> {
    let draft: Draft = shelf.read(id)?;
    if draft.draft_id != id.to_string() {
        return Err("die Datei enthält einen anderen Entwurf".to_owned());
    }
    Ok(draft)
}

fn as_expected(id: &str, found: u64, expected: Option<u64>) -> Result<(), Reject> {
    match expected {
        Some(it) if it != found => Err(Reject::MovedOn {
            field: "draft_id".to_owned(),
            name: format!("draft {id}"),
            found,
            expected,
        }),
        _ => Ok(()),
    }
}

fn too_large() -> Reject {
    Reject::field(
        "records",
        "DRAFT_TOO_LARGE",
        format!("ein Entwurf hat höchstens {DRAFT_BYTES_MAX} Byte; auf mehrere verteilen"),
    )
}

/// `verbund.registry.v1.Draft`: its records, and what is said of them.
const KIND: Kind =
    Kind { name: "draft", none: "kein Entwurf", message_bytes_max: DRAFT_BYTES_MAX + (4 << 10) };
/// Characters of a name in a list.
const NAME_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests;
