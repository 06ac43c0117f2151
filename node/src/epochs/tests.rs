use std::path::Path;

use registry_proto::{
    epoch::EpochReset,
    key::Key,
    log::{Hash, leaf_hash},
    terms::Land::{self, HE, RP, SL},
};

use super::*;
use crate::testing::charter_of;

/// The offline key that `charter_of` gives a Land.
fn offline(land: Land) -> Key {
    let mut seed = [3; 32];
    seed[..land.code().len()].copy_from_slice(land.code().as_bytes());
    ed25519_dalek::SigningKey::from_bytes(&seed).into()
}

fn reset(epoch: u64, size: u64) -> Reset {
    let (charter, signers) = charter_of(&[HE, RP, SL]);
    let root = if size == 0 { Hash::EMPTY_ROOT } else { leaf_hash(b"root") };
    let log = LogId { land: SL, epoch };
    let said = EpochReset { log, size, root, reason: "verloren".to_owned(), unix_ms: 1 };
    let mut reset = said.sign(charter.id(), &offline(SL)).expect("signed");
    for (land, signer) in [(HE, &signers[0]), (RP, &signers[1])] {
        reset = reset.countersign(charter.id(), land, signer.freshness(), 2).expect("signed");
    }
    reset
}

fn taken(epoch: u64, size: u64) -> TakenReset {
    reset(epoch, size).complete(&charter_of(&[HE, RP, SL]).0).expect("complete")
}

fn texts(resets: &Resets) -> Vec<String> {
    let loaded = resets.load().expect("readable");
    loaded.iter().map(|it| format!("{} at {}", it.said().log, it.said().size)).collect()
}

#[test]
fn what_is_kept_makes_the_epochs_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let resets = Resets::of(dir.path());
    assert!(texts(&resets).is_empty());
    for it in [taken(2, 0), taken(1, 7), taken(1, 9)] {
        resets.keep(&it).expect("kept");
    }
    assert_eq!(texts(&resets), ["SL/1 at 7", "SL/2 at 0"], "the first of an epoch stays");
    let all = all(&charter_of(&[HE, RP, SL]).0, &resets.load().expect("readable"));
    let text = |it: &Epoch| format!("{} {:?}", it.log, it.ends.map(|(size, _)| size));
    let all: Vec<_> = all.iter().map(text).collect();
    assert_eq!(all, ["HE/1 None", "RP/1 None", "SL/1 Some(7)", "SL/2 Some(0)", "SL/3 None"]);
}

#[test]
fn what_was_countersigned_is_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let resets = Resets::of(dir.path());
    let log = LogId { land: SL, epoch: 1 };
    assert_eq!(resets.agreed(log).expect("readable"), None);
    resets.agree(&reset(1, 7)).expect("kept");
    assert_eq!(resets.agreed(log).expect("readable"), Some(reset(1, 7)));
    assert!(texts(&resets).is_empty(), "agreeing ends no epoch");
}

/// A node does not start on a file that holds this.
#[track_caller]
fn check_damaged(name: &str, bytes: &[u8], expect: Damage) {
    let dir = tempfile::tempdir().expect("a directory");
    let resets = Resets::of(dir.path());
    fs::create_dir_all(&resets.dir).expect("created");
    fs::write(resets.dir.join(name), bytes).expect("written");
    match resets.load() {
        Err(ResetsError::Damaged { source, .. }) => assert_eq!(source, expect),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_file_is_named_and_never_left_out() {
    let file = file::encode(&taken(1, 7).encode());
    for at in 0..file.len() {
        let mut other = file.clone();
        other[at] ^= 1;
        assert!(file::decode(&other).is_err(), "byte {at}");
        assert!(file::decode(&file[..at]).is_err(), "cut at {at}");
    }
    check_damaged("SL-1.reset", &file[..file.len() - 1], Damage::Digest);
    check_damaged("SL-1.reset", b"", Damage::Form);
    check_damaged("SL-1.reset", b"registry epoch reset 2\nnew", Damage::Newer);
    check_damaged("SL-1.reset", &file::encode(&bytes::Bytes::from_static(b"x")), Damage::Content);
    check_damaged("RP-1.reset", &file, Damage::OtherName);
    check_damaged("SL-2.reset", &file, Damage::OtherName);
}

/// The file format, as it must be readable for ever.
#[test]
fn the_golden_file_reads_and_writes_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/epochs/reset.golden");
    let fresh = file::encode(&taken(1, 7).encode());
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &fresh).expect("written");
    }
    let golden = fs::read(&path).expect("golden file");
    assert_eq!(golden, fresh);
    let kept = TakenReset::kept(&file::decode(&golden).expect("whole")).expect("a reset");
    assert_eq!(kept, taken(1, 7));
}

#[test]
fn a_history_to_be_set_aside_is_remembered_until_that_is_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let resets = Resets::of(dir.path());
    let log = LogId { land: SL, epoch: 1 };
    resets.settle(log).expect("nothing to forget, not even a directory");
    assert!(!resets.is_contradicted(log));
    resets.contradict(log).expect("remembered");
    assert!(resets.is_contradicted(log) && !resets.is_contradicted(LogId { epoch: 2, ..log }));
    assert!(texts(&resets).is_empty(), "it is no reset");
    resets.settle(log).expect("forgotten");
    assert!(!resets.is_contradicted(log));
}
