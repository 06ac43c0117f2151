//! Invitations of this node, one file each under `<data>/invitations`, and who waits by them.
//!
//! What counts is decided by [`registry_core::invitations`]; here it becomes durable before anybody
//! is told. A file holds the digest of a secret, never the secret.

mod file;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use registry_core::{
    invitations::{self as rules, Invitation, Verdict, Wanted},
    reject::Reject,
};
use registry_proto::{
    charter::Charter,
    join::{InvitationId, JoinSecret},
    terms::Land,
    wire::registry::SignedJoinCard,
};

use crate::{lifecycle::chain, witness::here};

/// The invitations of a node. Clones share them. Every change works on the disk and blocks.
#[derive(Clone, Debug)]
pub struct Invitations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// What is on disk; held over every change.
    known: Mutex<rules::Invitations>,
    /// Until when somebody may come, milliseconds since 1970-01-01 UTC.
    open_until: AtomicI64,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct OpenError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

// === impl Invitations ===

impl Invitations {
    /// Opens the invitations in a directory, which is made if it is missing. A damaged file is told
    /// and left alone: its invitation counts no more. One that was not used and whose file was copied
    /// or restored is removed: its token may have been used or withdrawn since.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut known = rules::Invitations::default();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|it| it == FRESH) {
                // of a write that did not end
                fs::remove_file(&path).map_err(failed)?;
                continue;
            }
            if path.extension().is_none_or(|it| it != ENDING) {
                continue;
            }
            match read(&path) {
                Ok((invitation, stays)) if stays || invitation.presented.is_some() => {
                    known.put(invitation);
                }
                Ok((invitation, _)) => {
                    let (id, land) = (invitation.id, invitation.land);
                    tracing::warn!(
                        %id, %land,
                        "an open invitation from a copy, a backup or older software is removed"
                    );
                    fs::remove_file(&path).map_err(failed)?;
                }
                Err(damage) => {
                    tracing::error!(path = %path.display(), damage, "an invitation cannot be read");
                }
            }
        }
        let open_until = AtomicI64::new(known.open_until_ms());
        let shared = Shared { dir: dir.to_owned(), known: Mutex::new(known), open_until };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether somebody may come at all.
    pub fn are_open(&self, now_ms: i64) -> bool {
        now_ms < self.shared.open_until.load(Ordering::Relaxed)
    }

    /// All, by their names.
    pub fn list(&self, now_ms: i64) -> Vec<Invitation> {
        let mut known = self.lock();
        self.forget(&mut known, now_ms);
        known.iter().cloned().collect()
    }

    /// Makes an invitation with a secret that is kept nowhere.
    ///
    /// # Errors
    ///
    /// See [`rules::Invitations::make`]; [`Reject::Storage`].
    pub fn make(
        &self,
        land: Land,
        valid_ms: i64,
        by: String,
        charter: &Charter,
        now_ms: i64,
    ) -> Result<(Invitation, JoinSecret), Reject> {
        let mut known = self.lock();
        self.forget(&mut known, now_ms);
        let secret = JoinSecret::from_bytes(random()?);
        let id = InvitationId::from_bytes(random()?);
        let wanted = Wanted { land, valid_ms, by, id, secret: secret.clone() };
        let invitation = known.make(&wanted, charter, now_ms)?;
        self.keep(&mut known, &invitation)?;
        Ok((invitation, secret))
    }

    /// Withdraws one.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`], [`Reject::Storage`].
    pub fn revoke(&self, id: &str) -> Result<Invitation, Reject> {
        let mut known = self.lock();
        let invitation = known.get(id)?.clone();
        self.delete(invitation.id).map_err(|error| storage(&error, "removing an invitation"))?;
        known.remove(invitation.id);
        self.changed(&known);
        Ok(invitation)
    }

    /// Takes the card of whoever holds the secret; what is kept of it.
    ///
    /// # Errors
    ///
    /// See [`rules::Invitations::present`]; [`Reject::Storage`], and then the token is not used.
    pub fn present(
        &self,
        id: &str,
        secret: &[u8],
        signed: &SignedJoinCard,
        charter: &Charter,
        now_ms: i64,
    ) -> Result<Invitation, Reject> {
        let mut known = self.lock();
        match known.present(id, secret, signed, charter, now_ms)? {
            Verdict::Known(invitation) => Ok(*invitation),
            Verdict::Keep(invitation) => {
                self.keep(&mut known, &invitation)?;
                let (id, land) = (invitation.id, invitation.land);
                tracing::info!(%id, %land, "an invited Land waits for the votes of the members");
                Ok(*invitation)
            }
        }
    }

    /// The invitation of whoever presented a card before.
    ///
    /// # Errors
    ///
    /// See [`rules::Invitations::ask`].
    pub fn ask(&self, id: &str, secret: &[u8], now_ms: i64) -> Result<Invitation, Reject> {
        self.lock().ask(id, secret, now_ms).cloned()
    }

    fn keep(&self, known: &mut rules::Invitations, invitation: &Invitation) -> Result<(), Reject> {
        let path = self.path(invitation.id);
        let fresh = path.with_extension(FRESH);
        fs::File::create(&fresh)
            .and_then(|mut to| {
                let place = here(&to.metadata()?);
                to.write_all(&file::encode(invitation, place))?;
                to.sync_all()
            })
            .and_then(|()| fs::rename(&fresh, &path))
            .and_then(|()| fs::File::open(&self.shared.dir)?.sync_all())
            .map_err(|error| storage(&error, "keeping an invitation"))?;
        known.put(invitation.clone());
        self.changed(known);
        Ok(())
    }

    fn forget(&self, known: &mut rules::Invitations, now_ms: i64) {
        for id in known.over(now_ms) {
            if let Err(error) = self.delete(id) {
                // it is tried again after the next start, and does not count meanwhile
                tracing::error!(cause = chain(&error), %id, "an old invitation stays on disk");
            }
            known.remove(id);
        }
        self.changed(known);
    }

    fn changed(&self, known: &rules::Invitations) {
        self.shared.open_until.store(known.open_until_ms(), Ordering::Relaxed);
    }

    fn delete(&self, id: InvitationId) -> io::Result<()> {
        let removed = fs::remove_file(self.path(id)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        removed.and_then(|()| fs::File::open(&self.shared.dir)?.sync_all())
    }

    fn path(&self, id: InvitationId) -> PathBuf {
        self.shared.dir.join(format!("{id}.{ENDING}"))
    }

    fn lock(&self) -> MutexGuard<'_, rules::Invitations> {
        // every change is one call: what a panic leaves is whole
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The invitation in a file, or what is wrong with it.
/// An invitation, and whether its file stands where it was written.
fn read(path: &Path) -> Result<(Invitation, bool), String> {
    let mut bytes = Vec::new();
    let found = fs::File::open(path).and_then(|it| {
        let found = here(&it.metadata()?);
        it.take(file::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(found)
    });
    let found = found.map_err(|error| error.to_string())?;
    let (invitation, place) = file::decode(&bytes).map_err(|damage| damage.to_string())?;
    let named = path.file_stem().is_some_and(|it| it == invitation.id.to_string().as_str());
    let stays = place == found;
    if named {
        Ok((invitation, stays))
    } else {
        Err("the file holds another invitation".to_owned())
    }
}

fn random<const N: usize>() -> Result<[u8; N], Reject> {
    let mut bytes = [0; N];
    let drawn = getrandom::fill(&mut bytes);
    drawn.map_err(|_| Reject::Storage { operation: "drawing random numbers" })?;
    Ok(bytes)
}

fn storage(error: &io::Error, operation: &'static str) -> Reject {
    tracing::error!(cause = chain(error), operation, "invitations");
    Reject::Storage { operation }
}

/// Directory below that of the data.
pub const DIR: &str = "invitations";
/// Ending of a file that is being written.
const FRESH: &str = "new";
const ENDING: &str = "invitation";
