//! Receipts and cosignatures on disk: `<data>/testimony.log`, appended and synced.
//!
//! Eight bytes that name the format, then records: kind (1 byte), length (4 bytes, little endian),
//! bytes. Kind 1 is an encoded `verbund.registry.v1.SignedStatement` of a receipt, kind 2 an
//! encoded `verbund.peer.v1.Cosignature` that agreed with the tree here. Every record is signed, so
//! what a disk damaged does not verify and is left out; the file is written anew when more than
//! half of it is superseded.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use registry_core::replicate::{Book, Seen};
use registry_proto::{
    charter::Charter,
    log::{COSIGNED_BYTES_MAX, CheckpointError, Cosigned, Origin},
    receipt::{self, RECEIPT_BYTES_MAX, SignedReceipt},
    terms::{Land, LogId},
    wire::peer::Cosignature,
};

use super::CabinetError;

/// What Länder hold since when, for readers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    book: Arc<RwLock<Book>>,
}

/// The file and what is in it.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    /// Records in the file, superseded ones included.
    records: usize,
    receipts: Receipts,
    agreed: BTreeMap<(Land, LogId), Cosigned>,
}

/// Records that were left out when the file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// They do not verify.
    pub damaged: usize,
    /// They are by a key that the charter has replaced since, and the next ones take their place.
    pub replaced: usize,
}

/// Why a record is left out.
enum Unverified {
    Damaged,
    Replaced,
}

/// Something to keep.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Receipt(SignedReceipt),
    Cosigned(Cosigned),
}

// === impl Receipts ===

impl Receipts {
    /// The receipts now. Holders MUST let go soon: the thread that keeps waits.
    pub fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, receipt: SignedReceipt) {
        self.book.write().unwrap_or_else(PoisonError::into_inner).enter(receipt);
    }
}

// === impl Ledger ===

impl Ledger {
    /// Opens or makes the file of a data directory. A torn or damaged tail is cut; records that do
    /// not verify under the charter are left out. Tells of these.
    ///
    /// # Errors
    ///
    /// [`CabinetError`] when the file cannot be used, or is none of this format.
    pub fn open(data_dir: &Path, charter: &Charter) -> Result<(Self, LeftOut), CabinetError> {
        let path = data_dir.join(FILE);
        let at = |source| CabinetError { path: path.clone(), source };
        let bytes = content(&path).map_err(at)?;
        let receipts = Receipts::default();
        let mut agreed = BTreeMap::new();
        let mut left_out = LeftOut::default();
        for (kind, record) in records(bytes) {
            match verified(kind, &record, charter) {
                Ok(Record::Receipt(receipt)) => receipts.enter(receipt),
                Ok(Record::Cosigned(it)) => {
                    agreed.insert(pair(&it), it);
                }
                Err(Unverified::Replaced) => left_out.replaced += 1,
                Err(Unverified::Damaged) => left_out.damaged += 1,
            }
        }
        let file = rewrite(&path, &receipts.read(), &agreed).map_err(at)?;
        let records = receipts.read().len() + agreed.len();
        Ok((Self { path, file, records, receipts, agreed }, left_out))
    }

    /// What members other than its owner have stated of a log: how much of it they hold, or found
    /// consistent. Whether that is of the history that is here is for the reader to find out. Changes
    /// nothing on the disk, so the node that this directory belongs to may run.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`].
    pub fn stated(
        data_dir: &Path,
        charter: &Charter,
        log: LogId,
    ) -> Result<Vec<Seen>, CabinetError> {
        let path = data_dir.join(FILE);
        let bytes = content(&path).map_err(|source| CabinetError { path, source })?;
        let stated = records(bytes).filter(|(kind, raw)| is_about(*kind, raw, log));
        let stated = stated.filter_map(|(kind, raw)| {
            let (by, size, root) = match verified(kind, &raw, charter).ok()? {
                Record::Receipt(it) => (it.receipt().holder, it.receipt().size, it.receipt().root),
                Record::Cosigned(it) => (it.witness(), it.signed().size(), *it.signed().root()),
            };
            (by != log.land).then_some(Seen { size, root })
        });
        Ok(stated.collect())
    }

    /// What readers see.
    pub fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// The newest cosignature of each witness about each log that agreed with the tree here.
    pub fn agreed(&self) -> impl Iterator<Item = &Cosigned> {
        self.agreed.values()
    }

    /// Appends records and syncs; readers see them afterwards.
    pub(crate) fn keep(&mut self, records: &[Record]) -> Result<(), CabinetError> {
        let mut bytes = BytesMut::new();
        records.iter().for_each(|it| put(&mut bytes, it));
        let at = |source| CabinetError { path: self.path.clone(), source };
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(at)?;
        for record in records {
            match record {
                Record::Receipt(receipt) => self.receipts.enter(receipt.clone()),
                Record::Cosigned(it) => {
                    self.agreed.insert(pair(it), it.clone());
                }
            }
        }
        self.records += records.len();
        let alive = self.receipts.read().len() + self.agreed.len();
        if self.records > 2 * alive + REWRITE_FROM {
            self.file = rewrite(&self.path, &self.receipts.read(), &self.agreed).map_err(at)?;
            self.records = alive;
        }
        Ok(())
    }
}

fn pair(it: &Cosigned) -> (Land, LogId) {
    (it.witness(), it.signed().checkpoint.origin.log)
}

fn put(bytes: &mut BytesMut, record: &Record) {
    let (kind, raw) = match record {
        Record::Receipt(receipt) => (RECEIPT, receipt.raw().clone()),
        Record::Cosigned(it) => {
            let log = it.signed().checkpoint.origin.log;
            let cosignature = Cosignature {
                witness: it.witness().code().to_owned(),
                land: log.land.code().to_owned(),
                epoch: log.epoch,
                note: it.raw().clone(),
            };
            (COSIGNED, cosignature.encode_to_vec().into())
        }
    };
    bytes.put_u8(kind);
    bytes.put_u32_le(u32::try_from(raw.len()).unwrap_or(u32::MAX));
    bytes.put(raw);
}

/// The records of a file; none without it.
fn content(path: &Path) -> io::Result<Bytes> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Bytes::new(),
        Err(error) => return Err(error),
    };
    if !bytes.is_empty() && !bytes.starts_with(MAGIC) && !MAGIC.starts_with(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of this format"));
    }
    Ok(bytes.slice(bytes.len().min(MAGIC.len())..))
}

/// Whether a record says that it is about a log.
fn is_about(kind: u8, raw: &Bytes, log: LogId) -> bool {
    match kind {
        RECEIPT => receipt::claimed(raw).is_ok_and(|it| it.log == log),
        COSIGNED => Cosignature::decode(raw.clone())
            .is_ok_and(|it| it.epoch == log.epoch && it.land == log.land.code()),
        _ => false,
    }
}

/// Records up to the first that is cut off or too long to be one.
fn records(mut bytes: Bytes) -> impl Iterator<Item = (u8, Bytes)> {
    std::iter::from_fn(move || {
        if bytes.remaining() < 5 {
            return None;
        }
        let kind = bytes.get_u8();
        let length = usize::try_from(bytes.get_u32_le()).unwrap_or(usize::MAX);
        (length <= RECORD_BYTES_MAX && length <= bytes.remaining())
            .then(|| (kind, bytes.split_to(length)))
    })
}

fn verified(kind: u8, raw: &Bytes, charter: &Charter) -> Result<Record, Unverified> {
    match kind {
        RECEIPT => {
            let receipt = SignedReceipt::verify_kept(raw, charter);
            receipt.map(Record::Receipt).map_err(|_| Unverified::Damaged)
        }
        COSIGNED => cosigned(raw, charter).ok_or(Unverified::Damaged)?.map(Record::Cosigned),
        _ => Err(Unverified::Damaged),
    }
}

/// `None` for what is no cosignature of a member about the log of one.
fn cosigned(raw: &Bytes, charter: &Charter) -> Option<Result<Cosigned, Unverified>> {
    let it = Cosignature::decode(raw.clone()).ok()?;
    let log = LogId { land: it.land.parse().ok()?, epoch: it.epoch };
    let witness: Land = it.witness.parse().ok()?;
    let member = charter.member(witness)?;
    let owner = charter.member(log.land)?.keyring();
    let origin = Origin { verbund: charter.id(), log };
    let verify = |key| Cosigned::verify(&it.note, &origin, &owner, witness, key);
    // the owner signed it with a key that counts up to an earlier place only
    let is_replaced = |error: &CheckpointError| matches!(error, CheckpointError::OtherKeys { .. });
    let error = match verify(&member.keys.freshness) {
        Ok(it) => return Some(Ok(it)),
        Err(error) => error,
    };
    let by_former = member
        .former
        .iter()
        .any(|it| verify(&it.keys.freshness).map_or_else(|error| is_replaced(&error), |_| true));
    let replaced = is_replaced(&error) || by_former;
    Some(Err(if replaced { Unverified::Replaced } else { Unverified::Damaged }))
}

/// Writes the file anew and opens it for appending.
fn rewrite(
    path: &Path,
    book: &Book,
    agreed: &BTreeMap<(Land, LogId), Cosigned>,
) -> io::Result<File> {
    let mut bytes = BytesMut::from(MAGIC);
    book.all().for_each(|it| put(&mut bytes, &Record::Receipt(it.clone())));
    agreed.values().for_each(|it| put(&mut bytes, &Record::Cosigned(it.clone())));
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    File::options().append(true).open(path)
}

const FILE: &str = "testimony.log";
const MAGIC: &[u8] = b"VRTEST1\n";
const RECEIPT: u8 = 1;
const COSIGNED: u8 = 2;
const RECORD_BYTES_MAX: usize = COSIGNED_BYTES_MAX + 64;
/// Superseded records that are tolerated beside as many as there are others.
const REWRITE_FROM: usize = 1_024;

const _: () = assert!(RECORD_BYTES_MAX >= RECEIPT_BYTES_MAX);

#[cfg(test)]
mod tests {
    use registry_proto::{
        log::{Checkpoint, Hash, LogSigner},
        receipt::Receipt,
    };

    use super::*;
    use crate::testing::charter_of;

    const LOG: LogId = LogId { land: Land::SL, epoch: 1 };

    fn receipt(charter: &Charter, signer: &LogSigner, size: u64) -> Record {
        let root = Hash::of(&size.to_be_bytes());
        let receipt = Receipt {
            holder: Land::RP,
            log: LOG,
            size,
            root,
            bodies_missing: 0,
            erased: 0,
            unix_ms: 1_790_000_000_000 + i64::try_from(size).expect("small"),
        };
        Record::Receipt(receipt.sign(charter.id(), signer).expect("signed"))
    }

    fn sizes(ledger: &Ledger) -> Vec<u64> {
        ledger.receipts().read().all().map(|it| it.receipt().size).collect()
    }

    #[test]
    fn what_is_kept_is_there_again_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charter, signers) = charter_of(&[Land::RP, Land::SL]);
        let open = || Ledger::open(dir.path(), &charter).expect("opens");
        let (mut ledger, left_out) = open();
        assert_eq!((sizes(&ledger), left_out), (vec![], LeftOut::default()));
        for size in [3, 5, 8] {
            ledger.keep(&[receipt(&charter, &signers[0], size)]).expect("kept");
        }
        let origin = Origin { verbund: charter.id(), log: LOG };
        let signed = Checkpoint { origin, size: 8, root: Hash::of(b"8") };
        let signed = signed.sign(&signers[1], 1).expect("signed");
        let cosigned =
            Cosigned::sign(&signed, &signers[1].keys(), Land::RP, &signers[0], 2).expect("signed");
        ledger.keep(&[Record::Cosigned(cosigned.clone())]).expect("kept");
        // the form on disk: what stands in the head of this file
        let path = dir.path().join("testimony.log");
        let begin = fs::read(&path).expect("there");
        let Record::Receipt(first) = receipt(&charter, &signers[0], 3) else { panic!("a receipt") };
        let length = u32::try_from(first.raw().len()).expect("small").to_le_bytes();
        let form = [MAGIC, &[RECEIPT], &length, first.raw()].concat();
        assert_eq!(begin[..form.len()], form);
        let (ledger, left_out) = open();
        assert_eq!((sizes(&ledger), left_out), (vec![3, 5, 8], LeftOut::default()));
        assert_eq!(ledger.agreed().collect::<Vec<_>>(), [&cosigned]);

        let whole = fs::read(&path).expect("there");
        fs::write(&path, &whole[..whole.len() - 7]).expect("torn");
        let (ledger, left_out) = open();
        assert_eq!((sizes(&ledger), left_out), (vec![3, 5, 8], LeftOut::default()));
        assert_eq!(ledger.agreed().count(), 0);
    }

    #[test]
    fn what_does_not_verify_is_left_out_and_another_file_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charter, signers) = charter_of(&[Land::RP, Land::SL]);
        let open = || Ledger::open(dir.path(), &charter);
        let (mut ledger, _) = open().expect("opens");
        // of a holder that somebody else signed for
        ledger.keep(&[receipt(&charter, &signers[1], 4)]).expect("kept");
        ledger.keep(&[receipt(&charter, &signers[0], 5)]).expect("kept");
        let (ledger, left_out) = open().expect("opens");
        assert_eq!((sizes(&ledger), left_out), (vec![5], LeftOut { damaged: 1, replaced: 0 }));

        let path = dir.path().join("testimony.log");
        fs::write(&path, b"something else").expect("written");
        let error = open().expect_err("another file").to_string();
        assert!(error.contains("testimony.log"), "{error}");
        assert_eq!(fs::read(&path).expect("there"), b"something else");
    }

    #[test]
    fn the_file_stays_small_however_many_receipts_come() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charter, signers) = charter_of(&[Land::RP, Land::SL]);
        let (mut ledger, _) = Ledger::open(dir.path(), &charter).expect("opens");
        let all: Vec<Record> =
            (1..=2_500).map(|size| receipt(&charter, &signers[0], size)).collect();
        for some in all.chunks(200) {
            ledger.keep(some).expect("kept");
        }
        let kept = ledger.receipts().read().len();
        assert!(kept <= registry_core::limits::RECEIPTS_PER_HOLDER_MAX, "{kept}");
        assert!(ledger.records <= 2 * kept + REWRITE_FROM + 200, "{}", ledger.records);
        assert_eq!(
            ledger.receipts().read().newest().next().map(|it| it.receipt().size),
            Some(2_500)
        );
    }
}
