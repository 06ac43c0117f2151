//! The anchors of an audit log in the log of the Land, read from a journal on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use prost::Message as _;
use registry_journal::{Label, OpenError, Stored, StoredBody, look};
use registry_proto::{
    charter::Charter,
    log::{Frontier, Hash, Header, Kind, Origin, OwnerKeys, body_digest, leaf_hash},
    terms::{Land, LogId},
    wire::registry::AuditHead,
};

/// A head of an audit log that its Land signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Log it stands in.
    pub log: LogId,
    /// Its entry there.
    pub index: u64,
    /// Recorded time, Unix milliseconds.
    pub recorded_ms: i64,
    /// Names the audit log.
    pub chain: [u8; 16],
    /// Lines.
    pub size: u64,
    /// Hash of the last of them.
    pub hash: Hash,
}

/// All anchors of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// In the order of the log.
    pub all: Vec<Anchor>,
    /// The newest head of each log they were read from, as signed by the Land.
    pub heads: Vec<(LogId, u64, Hash)>,
    /// What is wrong with the journal, in words; the anchors then say less.
    pub doubts: Vec<String>,
}

/// The journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// A directory cannot be listed.
    #[error("{}: kann nicht gelesen werden", .path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A journal cannot be read.
    #[error("{}: das Journal kann nicht gelesen werden", .path.display())]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The Land is no member.
    #[error("{0} ist kein Mitglied der Charta")]
    NoMember(Land),
}

// === impl Anchors ===

impl Anchors {
    /// Reads those of a node of `land` below `journal`, the directory of the journals of a node;
    /// that of a partner does as well. The node may be running.
    ///
    /// # Errors
    ///
    /// See [`AnchorError`]; damage and signatures that do not fit are doubts.
    pub fn read(
        journal: &Path,
        charter: &Charter,
        land: Land,
        node: &str,
    ) -> Result<Self, AnchorError> {
        let keys = charter.member(land).ok_or(AnchorError::NoMember(land))?.keyring();
        let mut anchors = Self::default();
        for (log, dir) in epochs(&journal.join(land.code()), land)? {
            let label = Label {
                verbund: *charter.id().as_bytes(),
                land: land.code().to_owned(),
                epoch: log.epoch,
            };
            let (mut tree, mut damaged) = (Frontier::default(), 0);
            let looked = look(&dir, &label, &mut |stored| {
                tree.push(leaf_hash(&stored.header));
                match anchor(&stored, log, node) {
                    Ok(found) => anchors.all.extend(found),
                    Err(Damaged) => damaged += 1,
                }
            });
            let looked =
                looked.map_err(|source| AnchorError::Journal { path: dir.clone(), source })?;
            if looked.missing > 0 {
                anchors.doubt(log, format_args!("{} Einträge sind nicht lesbar", looked.missing));
            }
            if damaged > 0 {
                anchors.doubt(log, format_args!("{damaged} Anker passen nicht zu ihrem Eintrag"));
            }
            let Some(last) = looked.last else { continue };
            let origin = Origin { verbund: charter.id(), log };
            match keys.verify(&last.record.note, &origin) {
                Ok(head) if looked.missing == 0 && head.size() == tree.size() => {
                    if *head.root() == tree.root() {
                        anchors.heads.push((log, head.size(), *head.root()));
                    } else {
                        anchors
                            .doubt(log, "die Einträge sind nicht die, die das Land signiert hat");
                    }
                }
                Ok(_) => anchors.doubt(log, "der signierte Stand ließ sich nicht vergleichen"),
                Err(error) => {
                    anchors.doubt(log, format_args!("die Signatur gilt nicht: {error}"));
                }
            }
        }
        Ok(anchors)
    }

    fn doubt(&mut self, log: LogId, what: impl std::fmt::Display) {
        self.doubts.push(format!("Protokoll {log}: {what}"));
    }
}

/// The body of an anchor is not what its header says.
struct Damaged;

/// The anchor in an entry, if it is one of this node.
fn anchor(stored: &Stored, log: LogId, node: &str) -> Result<Option<Anchor>, Damaged> {
    let Ok(header) = Header::parse(&stored.header) else { return Ok(None) };
    if header.kind != Kind::AuditHead || header.log != log {
        return Ok(None);
    }
    let StoredBody::Present { salt, bytes } = &stored.body else { return Err(Damaged) };
    if body_digest(salt, bytes) != header.body_digest {
        return Err(Damaged);
    }
    let head = AuditHead::decode(&bytes[..]).map_err(|_| Damaged)?;
    let chain = <[u8; 16]>::try_from(head.chain.as_ref()).map_err(|_| Damaged)?;
    let hash = Hash::try_from(head.hash.as_ref()).map_err(|_| Damaged)?;
    let (index, recorded_ms, size) = (header.index, header.recorded_unix_ms, head.size);
    Ok((head.node == node).then_some(Anchor { log, index, recorded_ms, chain, size, hash }))
}

/// The journals of a Land, by epoch.
fn epochs(dir: &Path, land: Land) -> Result<Vec<(LogId, PathBuf)>, AnchorError> {
    let failed = |source| AnchorError::List { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let epoch = path.file_name().and_then(|it| it.to_str()?.parse().ok());
        if let Some(epoch) = epoch.filter(|_| path.is_dir()) {
            found.push((LogId { land, epoch }, path));
        }
    }
    found.sort_unstable_by_key(|(log, _)| log.epoch);
    Ok(found)
}
