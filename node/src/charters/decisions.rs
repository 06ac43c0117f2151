//! Proofs that votes put the charters into force: made from the journals before anything of them is
//! set aside, one file each (`<data>/charters/<number>.decision`), told to newcomers.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use prost::Message as _;
use registry_core::charter::{
    Chain, Said,
    decision::{self, Standing},
};
use registry_journal::{Reader, StoredBody};
use registry_proto::{
    charter::{Charter, DECISION_BYTES_MAX},
    log::prove_inclusion,
    terms::LogId,
    wire::registry::CharterDecision,
};

use super::files;

/// By the number of the charter that they prove.
pub type Decisions = BTreeMap<u64, CharterDecision>;

/// Adds what is kept here for charters that have no decision yet. What does not hold is left out:
/// the votes bring it back, or it has to be told anew.
pub(super) fn load(data_dir: &Path, charters: &[Charter], decisions: &mut Decisions) {
    for step in charters.windows(2) {
        let [before, next] = step else { continue };
        let number = next.number();
        if decisions.contains_key(&number) {
            continue;
        }
        let path = path(data_dir, number);
        let fits = |it: &fs::Metadata| it.len() <= DECISION_BYTES_MAX as u64;
        if !fs::metadata(&path).is_ok_and(|it| fits(&it)) {
            continue;
        }
        let read = fs::read(&path).ok().and_then(|it| decision::decode(it.into()).ok());
        let holds = |it: &CharterDecision| decision::verify(before, next, it).is_ok();
        if let Some(it) = read.filter(holds) {
            decisions.insert(number, it);
        }
    }
}

/// Keeps a decision; it survives a crash when this returns.
pub(super) fn keep(data_dir: &Path, decision: &CharterDecision) -> io::Result<()> {
    let (path, bytes) = (path(data_dir, decision.number), decision.encode_to_vec());
    // after a start most stand there already
    let is_long = fs::metadata(&path).is_ok_and(|it| it.len() == bytes.len() as u64);
    if is_long && fs::read(&path).is_ok_and(|it| it == bytes) {
        return Ok(());
    }
    files::write(&path, &bytes)
}

/// How many of these votes stand under a head by which they can be proved.
pub(super) fn covered(votes: &[Said], readers: &BTreeMap<LogId, Reader>) -> usize {
    let head = |it: &Said| readers.get(&it.log)?.last_complete_checkpoint();
    votes.iter().filter(|it| head(it).is_some_and(|head| head.covers > it.index)).count()
}

/// Proves from the journals by these votes why a charter followed; `None` if the votes are not under
/// a head yet, or not under keys that count.
pub(super) fn prove(
    chain: &Chain,
    number: u64,
    votes: &[Said],
    readers: &BTreeMap<LogId, Reader>,
) -> Option<CharterDecision> {
    let (before, next) = chain.step(number)?;
    let standing = votes.iter().filter_map(|it| standing(it, readers.get(&it.log)?)).collect();
    decision::assemble(before, next, standing).ok()
}

/// A vote as it stands in the journal, under the newest head there.
fn standing(vote: &Said, reader: &Reader) -> Option<Standing> {
    let head = reader.last_complete_checkpoint().filter(|it| !it.record.note.is_empty())?;
    let stored = reader.entry(vote.index).ok()?;
    let StoredBody::Present { salt, bytes } = stored.body else { return None };
    let proof = prove_inclusion(reader, head.covers, vote.index).ok()?;
    Some(Standing { header: stored.header, salt, body: bytes, checkpoint: head.record.note, proof })
}

fn path(data_dir: &Path, number: u64) -> PathBuf {
    files::path(data_dir, number).with_extension("decision")
}
