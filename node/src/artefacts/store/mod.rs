//! Where chunks lie: a directory, or a bucket that speaks S3.
//!
//! Only this module names `object_store`. A chunk has the key `chunks/<2 hex>/<64 hex>` of its
//! SHA-256, is written as a whole, and is durable when [`ChunkStore::put`] returns: a file is
//! synced, renamed into place, and its directory synced.

mod s3;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path,
    prefix::PrefixStore,
};
use registry_proto::{artefact::CHUNK_BYTES, log::Hash};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};

use crate::config::{ArtefactStore, S3};

/// Chunks by their SHA-256. Cheap to clone.
#[derive(Clone)]
pub struct ChunkStore {
    objects: Arc<dyn ObjectStore>,
    place: Arc<str>,
}

/// A stored chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its key.
    pub chunk: Hash,
    /// Its length.
    pub bytes: u64,
    /// When it was stored, by the clock of the store; Unix seconds.
    pub stored_unix_s: i64,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such directory, and none can be made.
    #[error("cannot use the directory {path}", path = .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anything else that the library finds.
    #[error("cannot open {place}")]
    Open {
        /// Directory or bucket.
        place: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The anchors for the TLS of the store are unusable.
    #[error("the anchors for {place} cannot be used")]
    Anchors {
        /// Bucket.
        place: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The store did not do what it was asked for. The chunk is as it was, or unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The library says why.
    #[error("cannot {operation} chunk {chunk}")]
    Chunk {
        /// "store", "read", "delete", "find".
        operation: &'static str,
        /// The chunk.
        chunk: Hash,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// No list.
    #[error("cannot list the chunks")]
    List(#[source] object_store::Error),
    /// No answer.
    #[error("the store did not {operation} within {ANSWER:?}")]
    Late {
        /// What was asked.
        operation: &'static str,
    },
    /// Longer than any chunk; not read.
    #[error("chunk {chunk} has {bytes} bytes in the store")]
    Length {
        /// The chunk.
        chunk: Hash,
        /// Bytes found.
        bytes: u64,
    },
}

// === impl ChunkStore ===

impl ChunkStore {
    /// Opens the store of a configuration. Makes a directory; does not ask a bucket.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(config: &ArtefactStore) -> Result<Self, OpenError> {
        match config {
            ArtefactStore::Directory(path) => Self::directory(path),
            ArtefactStore::S3(bucket) => Self::bucket(bucket),
        }
    }

    fn directory(path: &std::path::Path) -> Result<Self, OpenError> {
        let at = || path.to_owned();
        std::fs::create_dir_all(path)
            .map_err(|source| OpenError::Directory { path: at(), source })?;
        let place = path.display().to_string();
        let objects = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| OpenError::Open { place: place.clone(), source })?;
        Ok(Self { objects: Arc::new(objects.with_fsync(true)), place: place.into() })
    }

    fn bucket(config: &S3) -> Result<Self, OpenError> {
        let place = format!("s3://{}/{} at {}", config.bucket, config.prefix, config.endpoint);
        let bucket = s3::bucket(config, &place)?;
        let objects: Arc<dyn ObjectStore> = if config.prefix.is_empty() {
            Arc::new(bucket)
        } else {
            Arc::new(PrefixStore::new(bucket, config.prefix.as_str()))
        };
        Ok(Self { objects, place: place.into() })
    }

    /// Directory or bucket, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Stores a chunk durably, whole or not at all. The caller MUST have verified it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn put(&self, chunk: &Hash, data: Bytes) -> Result<(), StoreError> {
        let key = key(chunk);
        let call = self.objects.put(&key, PutPayload::from_bytes(data));
        in_time("store", chunk, call).await.map(|_| ())
    }

    /// Reads a chunk; none if it is not here. What comes is not verified.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn get(&self, chunk: &Hash) -> Result<Option<Bytes>, StoreError> {
        let key = key(chunk);
        let found = async {
            let found = self.objects.get(&key).await?;
            let bytes = found.meta.size;
            if bytes > u64::from(CHUNK_BYTES) {
                return Ok(Err(StoreError::Length { chunk: *chunk, bytes }));
            }
            found.bytes().await.map(Ok)
        };
        match optional(in_time("read", chunk, found).await)? {
            Some(read) => read.map(Some),
            None => Ok(None),
        }
    }

    /// Looks for a chunk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn find(&self, chunk: &Hash) -> Result<Option<Held>, StoreError> {
        let key = key(chunk);
        let found = optional(in_time("find", chunk, self.objects.head(&key)).await)?;
        Ok(found.map(|meta| held(*chunk, &meta)))
    }

    /// Deletes a chunk; it may be gone already.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn delete(&self, chunk: &Hash) -> Result<(), StoreError> {
        let key = key(chunk);
        optional(in_time("delete", chunk, self.objects.delete(&key)).await).map(|_| ())
    }

    /// All chunks, in no order. Other files are passed over.
    pub fn list(&self) -> impl Stream<Item = Result<Held, StoreError>> + Send + Unpin + use<> {
        self.objects.list(Some(&Path::from(ROOT))).filter_map(|found| match found {
            Ok(meta) => parse(&meta.location).map(|chunk| Ok(held(chunk, &meta))),
            Err(error) => Some(Err(StoreError::List(error))),
        })
    }
}

impl fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStore").field("place", &self.place).finish_non_exhaustive()
    }
}

async fn in_time<T>(
    operation: &'static str,
    chunk: &Hash,
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER, call).await {
        Ok(done) => done.map_err(|source| StoreError::Chunk { operation, chunk: *chunk, source }),
        Err(_) => Err(StoreError::Late { operation }),
    }
}

fn optional<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Chunk { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn key(chunk: &Hash) -> Path {
    let name = chunk.to_string();
    let folder = name.get(..2).unwrap_or_default().to_owned();
    Path::from_iter([ROOT.to_owned(), folder, name])
}

fn parse(key: &Path) -> Option<Hash> {
    let chunk = key.filename()?.parse().ok()?;
    (*key == self::key(&chunk)).then_some(chunk)
}

fn held(chunk: Hash, meta: &ObjectMeta) -> Held {
    Held { chunk, bytes: meta.size, stored_unix_s: meta.last_modified.timestamp() }
}

const ROOT: &str = "chunks";
/// Time for one chunk.
const ANSWER: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_keeps_finds_lists_and_deletes_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            || ChunkStore::open(&ArtefactStore::Directory(dir.path().join("artefacts"))).unwrap();
        let store = open();
        let data = Bytes::from_static(b"chunk");
        let chunk = Hash::of(&data);
        assert_eq!(store.get(&chunk).await.unwrap(), None);
        assert_eq!(store.find(&chunk).await.unwrap(), None);
        store.put(&chunk, data.clone()).await.unwrap();
        store.put(&chunk, data.clone()).await.unwrap();
        let name = chunk.to_string();
        assert!(dir.path().join("artefacts/chunks").join(&name[..2]).join(&name).is_file());
        // what others left there is none of ours
        std::fs::write(dir.path().join("artefacts/chunks/notes.txt"), "x").unwrap();
        let other = dir.path().join("artefacts/chunks/zz");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(&name), "x").unwrap();

        let store = open();
        assert_eq!(store.get(&chunk).await.unwrap(), Some(data));
        let found = store.find(&chunk).await.unwrap().unwrap();
        assert_eq!((found.chunk, found.bytes), (chunk, 5));
        let all: Vec<_> = store.list().map(Result::unwrap).collect().await;
        assert_eq!(all, [found]);
        store.delete(&chunk).await.unwrap();
        store.delete(&chunk).await.unwrap();
        assert_eq!(store.get(&chunk).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_file_longer_than_a_chunk_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(&ArtefactStore::Directory(dir.path().to_owned())).unwrap();
        let chunk = Hash::of(b"x");
        store.put(&chunk, Bytes::from_static(b"x")).await.unwrap();
        let name = chunk.to_string();
        let file = std::fs::File::create(dir.path().join("chunks").join(&name[..2]).join(&name));
        file.unwrap().set_len(u64::from(CHUNK_BYTES) + 1).unwrap();
        assert!(matches!(store.get(&chunk).await, Err(StoreError::Length { .. })));
    }
}
