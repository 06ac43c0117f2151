//! From whom charters came that were adopted before the votes for them were in the logs here: one file
//! each (`<data>/charters/<number>.told`), for people. Nothing rests on it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use registry_core::authorize::PeerIdentity;
use registry_proto::{charter::Charter, terms::Land};

use super::files;

/// By the number of the charter.
pub type Sources = BTreeMap<u64, PeerIdentity>;

/// What is kept about these charters; a file that is none says nothing.
pub(super) fn load(data_dir: &Path, charters: &[Charter]) -> Sources {
    let found = charters.iter().skip(1).filter_map(|it| {
        let path = path(data_dir, it.number());
        let short = fs::metadata(&path).is_ok_and(|it| it.len() <= BYTES_MAX);
        let text = short.then(|| fs::read_to_string(&path).ok())??;
        Some((it.number(), parse(&text, it)?))
    });
    found.collect()
}

/// Keeps who told a charter; it survives a crash when this returns.
pub(super) fn keep(data_dir: &Path, charter: &Charter, from: &PeerIdentity) -> io::Result<()> {
    files::write(&path(data_dir, charter.number()), text(charter, from).as_bytes())
}

fn text(charter: &Charter, from: &PeerIdentity) -> String {
    format!("{FORMAT}\n{}\n{}\n{}\n", charter.digest(), from.land, from.node)
}

fn parse(text: &str, charter: &Charter) -> Option<PeerIdentity> {
    let mut lines = text.lines();
    if lines.next()? != FORMAT || lines.next()? != charter.digest().to_string() {
        return None;
    }
    let land: Land = lines.next()?.parse().ok()?;
    let node = lines.next()?.to_owned();
    Some(PeerIdentity { land, node })
}

fn path(data_dir: &Path, number: u64) -> PathBuf {
    files::path(data_dir, number).with_extension("told")
}

const FORMAT: &str = "registry charter told 1";
/// Two names and a digest.
const BYTES_MAX: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charters::tests::decided;

    #[test]
    fn who_told_a_charter_is_kept_for_that_charter_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (charters, _) = decided();
        let from = PeerIdentity { land: Land::RP, node: "rp-1.example".to_owned() };
        keep(dir.path(), &charters[1], &from).expect("kept");
        let kept = fs::read_to_string(path(dir.path(), 1)).expect("kept");
        let digest = charters[1].digest();
        assert_eq!(kept, format!("registry charter told 1\n{digest}\nRP\nrp-1.example\n"));
        assert_eq!(load(dir.path(), &charters), Sources::from([(1, from)]));
        for damaged in [kept.replace("told 1", "told 2"), digest.to_string(), String::new()] {
            fs::write(path(dir.path(), 1), damaged).expect("written");
            assert_eq!(load(dir.path(), &charters), Sources::new());
        }
        // a file of another charter with the same number
        keep(dir.path(), &charters[2], &PeerIdentity { land: Land::RP, node: "x".to_owned() })
            .expect("kept");
        fs::rename(path(dir.path(), 2), path(dir.path(), 1)).expect("moved");
        assert_eq!(load(dir.path(), &charters), Sources::new());
    }
}
