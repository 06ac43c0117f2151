//! Invitations on disk.

use registry_core::limits::INVITATION_KEPT_MS;

use super::{file::tests::used, *};

const NOW: i64 = 1_795_000_200_000;

fn put(dir: &Path, invitation: &Invitation) -> PathBuf {
    let path = dir.join(format!("{}.{ENDING}", invitation.id));
    fs::write(&path, file::encode(invitation, String::new())).unwrap();
    path
}

#[test]
fn what_is_kept_is_there_after_a_start_and_goes_when_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), &used());
    fs::write(dir.path().join("torn.new"), b"registry inv").unwrap();
    let all = Invitations::open(dir.path()).unwrap();
    assert!(!dir.path().join("torn.new").exists());
    assert_eq!(all.list(NOW), [used()]);
    assert_eq!(all.ask(&used().id.to_string(), &[9; 32], NOW), Ok(used()));
    assert_eq!(all.ask(&used().id.to_string(), &[8; 32], NOW), Err(Reject::NotInvited));
    let end = used().expires_ms + INVITATION_KEPT_MS;
    assert!(all.are_open(end - 1) && !all.are_open(end));
    assert!(path.exists());
    assert!(all.list(end).is_empty());
    assert!(!path.exists() && !all.are_open(NOW), "nobody may come any more");
}

#[test]
fn a_withdrawn_invitation_counts_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), &used());
    let all = Invitations::open(dir.path()).unwrap();
    let id = used().id.to_string();
    assert_eq!(all.revoke(&id), Ok(used()));
    assert!(!path.exists() && !all.are_open(NOW));
    assert_eq!(all.ask(&id, &[9; 32], NOW), Err(Reject::NotInvited));
    assert!(matches!(all.revoke(&id), Err(Reject::NotFound { .. })));
    assert!(matches!(all.revoke("../../etc"), Err(Reject::NotFound { .. })));
}

#[test]
fn a_restored_invitation_is_open_no_more_and_who_waits_goes_on_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let all = Invitations::open(dir.path()).unwrap();
    let (charter, _) = crate::testing::charter_of(&[Land::HE, Land::RP, Land::SL]);
    let made = all.make(Land::BY, 0, "p-operator".to_owned(), &charter, NOW);
    let (invitation, _secret) = made.unwrap();
    let path = dir.path().join(format!("{}.{ENDING}", invitation.id));
    let listed = || Invitations::open(dir.path()).unwrap().list(NOW);
    assert_eq!(listed(), std::slice::from_ref(&invitation), "a start takes nothing away");

    let backup = fs::read(&path).unwrap();
    all.revoke(&invitation.id.to_string()).unwrap();
    fs::write(&path, &backup).unwrap();
    assert!(listed().is_empty() && !path.exists(), "withdrawn before the backup came back");
    // as nodes kept it that noted no place
    fs::write(&path, file::encode(&invitation, String::new())).unwrap();
    assert!(listed().is_empty() && !path.exists());

    put(dir.path(), &used());
    assert_eq!(listed(), [used()]);
}

#[test]
fn a_damaged_file_invites_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), &used());
    let other = dir.path().join(format!("{}.{ENDING}", "0".repeat(16)));
    fs::copy(&path, &other).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let all = Invitations::open(dir.path()).unwrap();
    assert!(all.list(NOW).is_empty(), "neither the damaged one nor the one of another name");
    assert!(path.exists() && other.exists(), "both are left for an operator");
}
