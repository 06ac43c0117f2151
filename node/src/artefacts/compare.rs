//! Files that are compared when a version is published.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use registry_core::{compat, reject::Reject};
use registry_proto::{
    artefact::{COMPARED_BYTES_MAX, COMPARED_TYPES},
    log::Hash,
    wire::registry::Artefakt,
};

use super::Artefacts;

/// The bytes of files, by their digest.
#[derive(Debug, Default)]
pub struct Files(HashMap<Vec<u8>, Bytes>);

/// Files that are read for one request; the others are reported as not compared.
const FILES_MAX: usize = 64;

// === impl Files ===

impl compat::Artefacts for Files {
    fn bytes(&self, artefakt: &Artefakt) -> Option<Bytes> {
        self.0.get(artefakt.sha256.as_ref()).cloned()
    }
}

// === impl Artefacts ===

impl Artefacts {
    /// Reads what of these files can be compared. A file that is not here, or is larger than
    /// [`COMPARED_BYTES_MAX`], is left out, and the comparison says so.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `ARTEFACT_STORE` if the store cannot be asked.
    pub async fn comparable(
        &self,
        named: impl Iterator<Item = &Artefakt>,
    ) -> Result<Files, Reject> {
        let mut files = Files::default();
        for it in named {
            let small = it.bytes <= COMPARED_BYTES_MAX;
            let known = files.0.contains_key(it.sha256.as_ref());
            if known
                || !small
                || !COMPARED_TYPES.contains(&it.typ.as_str())
                || files.0.len() >= FILES_MAX
            {
                continue;
            }
            if let Some(bytes) = self.whole(it).await? {
                files.0.insert(it.sha256.to_vec(), bytes);
            }
        }
        Ok(files)
    }

    async fn whole(&self, artefakt: &Artefakt) -> Result<Option<Bytes>, Reject> {
        let mut whole = BytesMut::new();
        for chunk in &artefakt.chunks {
            let Ok(chunk) = Hash::try_from(chunk.as_ref()) else { return Ok(None) };
            match self.inner.store.get(&chunk).await {
                Ok(Some(bytes)) => whole.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => return Err(super::store_failed(&error)),
            }
        }
        Ok(Some(whole.freeze()))
    }
}
