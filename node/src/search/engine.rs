//! The full-text index on disk. The only place that names its files.
//!
//! Each commit is one step, synced, and carries a [`Stamp`]: which rules made the index and how
//! far it follows each log. Whatever cannot be trusted is deleted; everything in it can be made
//! again from the catalogue.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use registry_core::{fold::FOLD_VERSION, view::Cut};
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};
use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyError,
    directory::MmapDirectory,
    indexer::{IndexWriterOptions, LogMergePolicy},
};
use uuid::Uuid;

use super::{
    analyzer::ANALYSIS_VERSION,
    document::{DOCUMENT_VERSION, Fields, Subject},
};

/// How far an index follows the logs: entries, and the leaf hash of the last of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) BTreeMap<LogId, (u64, Option<Hash>)>);

/// An index that is open for writing. Readers have [`Searcher`]s, which stay as they are.
pub(super) struct Engine {
    fields: Fields,
    index: Index,
    writer: IndexWriter,
    reader: IndexReader,
}

/// Where an index is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a directory of its own.
    Disk(PathBuf),
    /// Nowhere; for tests.
    #[cfg(test)]
    Memory,
}

/// The index cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} the search index")]
pub(super) struct EngineError {
    operation: &'static str,
    #[source]
    source: Box<TantivyError>,
}

/// Memory for documents that wait for a commit, bytes.
const MEMORY_BYTES: usize = 32 << 20;
/// Part of the documents of a segment that may be deleted before it is written anew.
const DELETED_MAX: f32 = 0.3;
/// Stands in place of a stamp while segments are written anew; is none.
const UNTRUSTED: &str = "erasing";
/// Characters of the name of a segment, with which its files begin.
const SEGMENT_NAME: usize = 32;
/// Looks at the segments until none holds what was removed, and the rest between two.
const PURGE_TRIES: usize = 100;
const PURGE_REST: std::time::Duration = std::time::Duration::from_millis(50);

// === impl Engine ===

impl Engine {
    /// Opens what is there; `None` if there is nothing, or nothing that can be trusted.
    pub(super) fn open(place: &Place) -> Option<(Self, Stamp)> {
        // damage may also panic
        let opened = catch_unwind(AssertUnwindSafe(|| match place {
            Place::Disk(dir) => Self::open_dir(dir),
            #[cfg(test)]
            Place::Memory => Ok(None),
        }));
        match opened {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%error, cause = %error.source, "search index cannot be used");
                None
            }
            Err(_) => {
                tracing::warn!("search index cannot be used: it panicked when it was opened");
                None
            }
        }
    }

    fn open_dir(dir: &Path) -> Result<Option<(Self, Stamp)>, EngineError> {
        if !dir.join("meta.json").exists() {
            return Ok(None);
        }
        let directory = MmapDirectory::open(dir).map_err(failed("open"))?;
        let index = Index::open(directory).map_err(failed("open"))?;
        let (fields, schema) = Fields::schema();
        let meta = index.load_metas().map_err(failed("read"))?;
        let stamp = meta.payload.as_deref().and_then(Stamp::parse);
        let damaged = index.validate_checksum().map_err(failed("check"))?;
        match stamp {
            Some(stamp) if index.schema() == schema && damaged.is_empty() => {
                Ok(Some((Self::over(&index, fields)?, stamp)))
            }
            _ => {
                tracing::info!(damaged = damaged.len(), "search index is of no use any more");
                Ok(None)
            }
        }
    }

    /// An empty index; what was there is deleted.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if there is no place for it.
    pub(super) fn create(place: &Place) -> Result<Self, EngineError> {
        let (fields, schema) = Fields::schema();
        let index = match place {
            Place::Disk(dir) => {
                let cleared = match fs::remove_dir_all(dir) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => fs::create_dir_all(dir),
                };
                cleared.map_err(failed("clear"))?;
                let directory = MmapDirectory::open(dir).map_err(failed("create"))?;
                Index::create(directory, schema, IndexSettings::default())
                    .map_err(failed("create"))?
            }
            #[cfg(test)]
            Place::Memory => Index::create_in_ram(schema),
        };
        Self::over(&index, fields)
    }

    fn over(index: &Index, fields: Fields) -> Result<Self, EngineError> {
        // one thread each: a search index must not take the processors of the logs
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(MEMORY_BYTES)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let writer: IndexWriter = index.writer_with_options(options).map_err(failed("write"))?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(DELETED_MAX);
        writer.set_merge_policy(Box::new(policy));
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(failed("read"))?;
        Ok(Self { fields, index: index.clone(), writer, reader })
    }

    /// Replaces the document of a service.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the writer died.
    pub(super) fn put(&self, subject: &Subject<'_>) -> Result<(), EngineError> {
        self.remove(subject.land, subject.service);
        let document = self.fields.document(subject);
        self.writer.add_document(document).map(|_| ()).map_err(failed("write"))
    }

    /// Removes the document of a service.
    pub(super) fn remove(&self, land: Land, service: Uuid) {
        self.writer.delete_term(self.fields.id_term(land, service));
    }

    /// Makes everything since the last commit durable and gives readers a view of it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the disk fails.
    pub(super) fn commit(&mut self, stamp: &Stamp) -> Result<Searcher, EngineError> {
        let mut commit = self.writer.prepare_commit().map_err(failed("write"))?;
        commit.set_payload(&stamp.text());
        commit.commit().map_err(failed("commit"))?;
        self.searcher()
    }

    /// As [`Self::commit`], and writes every segment anew that holds replaced or removed documents, so
    /// that no word of them is left in a file. If it ends early, the index is not trusted any more and
    /// built again.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the disk fails.
    pub(super) fn purge(&mut self, stamp: &Stamp) -> Result<Searcher, EngineError> {
        let mut commit = self.writer.prepare_commit().map_err(failed("write"))?;
        commit.set_payload(UNTRUSTED);
        commit.commit().map_err(failed("commit"))?;
        for _ in 0..PURGE_TRIES {
            let metas = self.index.searchable_segment_metas().map_err(failed("read"))?;
            let stale = metas.iter().filter(|it| it.num_deleted_docs() > 0);
            let stale: Vec<_> = stale.map(|it| it.id()).collect();
            if stale.is_empty() {
                return self.commit(stamp);
            }
            // fails while the policy has one of them in a merge of its own, which does the same
            if let Err(error) = self.writer.merge(&stale).wait() {
                tracing::debug!(%error, "segments are being merged already");
                std::thread::park_timeout(PURGE_REST);
            }
        }
        Err(never("write anew", "segments do not rest"))
    }

    /// Deletes the files of segments that are replaced, once nobody reads them any more. Readers MUST
    /// have been given the newest [`Searcher`].
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the disk fails, or somebody goes on reading.
    pub(super) fn clean(&self) -> Result<(), EngineError> {
        for _ in 0..PURGE_TRIES {
            self.writer.garbage_collect_files().wait().map_err(failed("clear"))?;
            let metas = self.index.searchable_segment_metas().map_err(failed("read"))?;
            let used: Vec<String> = metas.iter().map(|it| it.id().uuid_string()).collect();
            let managed = self.index.directory().list_managed_files();
            let stale = managed.iter().filter(|path| {
                let name = path.to_string_lossy();
                let of_segment = name.get(..SEGMENT_NAME).is_some_and(is_hex);
                of_segment && !used.iter().any(|it| name.starts_with(it.as_str()))
            });
            if stale.count() == 0 {
                return Ok(());
            }
            std::thread::park_timeout(PURGE_REST);
        }
        Err(never("clear", "old segments are still read"))
    }

    /// Forgets everything since the last commit.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the disk fails.
    pub(super) fn rollback(&mut self) -> Result<(), EngineError> {
        self.writer.rollback().map(|_| ()).map_err(failed("roll back"))
    }

    /// A view of the last commit.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the disk fails.
    pub(super) fn searcher(&self) -> Result<Searcher, EngineError> {
        self.reader.reload().map_err(failed("read"))?;
        Ok(self.reader.searcher())
    }
}

// === impl Stamp ===

impl Stamp {
    fn rules() -> String {
        format!("rules {ANALYSIS_VERSION} {DOCUMENT_VERSION} {FOLD_VERSION}")
    }

    /// One line for the rules, then one for each log: `SL/1 <size> <leaf or ->`.
    fn text(&self) -> String {
        let lines = self.0.iter().map(|(log, (size, leaf))| {
            let leaf = leaf.map_or_else(|| "-".to_owned(), |leaf| leaf.to_string());
            format!("{log} {size} {leaf}")
        });
        [Self::rules()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let (rules, lines) = text.split_once('\n').unwrap_or((text, ""));
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (log, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let leaf = match words.next()? {
                "-" => None,
                leaf => {
                    let bytes = hex::decode(leaf).ok()?;
                    Some(Hash::try_from(bytes.as_slice()).ok()?)
                }
            };
            Some((log, (size, leaf)))
        };
        (rules == Self::rules()).then_some(())?;
        lines.lines().map(line).collect::<Option<_>>().map(Self)
    }

    /// The sizes.
    pub(super) fn cut(&self) -> Cut {
        self.0.iter().map(|(&log, &(size, _))| (log, size)).collect()
    }
}

fn never(operation: &'static str, what: &str) -> EngineError {
    EngineError { operation, source: Box::new(TantivyError::SystemError(what.to_owned())) }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_hexdigit())
}

fn failed<E: Into<TantivyError>>(operation: &'static str) -> impl Fn(E) -> EngineError {
    move |source| EngineError { operation, source: Box::new(source.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_other_rules_are_noticed() {
        let log = LogId { land: Land::SL, epoch: 1 };
        let other = LogId { land: Land::RP, epoch: 2 };
        let leaf = Hash::from_bytes([5; 32]);
        let stamp = Stamp([(log, (7, Some(leaf))), (other, (0, None))].into());
        assert_eq!(Stamp::parse(&stamp.text()), Some(stamp.clone()));
        assert_eq!(stamp.cut().size(log), 7);
        for damaged in ["", "rules 0 0 0", &stamp.text().replace("SL/1 7", "SL/1 x")] {
            assert_eq!(Stamp::parse(damaged), None, "{damaged}");
        }
    }
}
