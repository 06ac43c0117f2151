use std::{fs, path::PathBuf};

use prost::Message;
use registry_core::authorize::Person;
use registry_proto::wire::registry::{PublishRequest, Record};

use super::*;

const NOW: i64 = 1_795_000_000_000;

struct Place {
    dir: tempfile::TempDir,
    approvals: Approvals,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let approvals = open(dir.path());
        Self { dir, approvals }
    }

    fn hold(&self, n: u128, by: u8, records: usize) -> Result<Approval, Reject> {
        self.hold_at(n, by, records, NOW)
    }

    fn hold_at(&self, n: u128, by: u8, records: usize, wall_ms: i64) -> Result<Approval, Reject> {
        let request = request(records);
        self.approvals.hold(Submitted {
            id: Uuid::from_u128(n),
            request: &request,
            records,
            by: "p-1",
            person: person(by),
            chain: [CertificateDer::from(vec![by; 300])].into(),
            wall_ms,
        })
    }

    fn file(&self, n: u128) -> PathBuf {
        self.dir.path().join(format!("{}.approval", Uuid::from_u128(n)))
    }
}

fn open(dir: &Path) -> Approvals {
    Approvals::open(dir, Arc::new(Metrics::new("0"))).unwrap()
}

fn request(records: usize) -> Bytes {
    let records = vec![Record::default(); records];
    PublishRequest { records, ..PublishRequest::default() }.encode_to_vec().into()
}

fn person(n: u8) -> Person {
    Person { key: [n; 32], subject: [n; 32] }
}

#[test]
fn what_waits_is_still_there_after_a_restart() {
    let place = Place::new();
    let held = place.hold(1, 1, 3).unwrap();
    assert_eq!((held.records, held.digest.as_ref()), (3, &digest(&request(3))[..]));
    // the same again is kept once, other content under the same name is not kept
    assert_eq!(place.hold(1, 1, 3).unwrap(), held);
    assert!(matches!(place.hold(1, 1, 2), Err(Reject::Conflict { .. })));
    assert!(matches!(place.hold(1, 2, 3), Err(Reject::Conflict { .. })));
    let again = open(place.dir.path());
    assert_eq!(again.list(NOW), std::slice::from_ref(&held));
    let waiting = again.get(&held.approval_id, NOW).unwrap();
    assert_eq!((waiting.request, waiting.person, waiting.approval), (request(3), person(1), held));
    assert_eq!(waiting.chain[..], [CertificateDer::from(vec![1; 300])]);
    again.remove(&Uuid::from_u128(1).to_string(), "accepted").unwrap();
    assert!(!place.file(1).exists());
    assert!(matches!(again.remove("x", "accepted"), Err(Reject::NotFound { .. })));
    assert!(open(place.dir.path()).list(NOW).is_empty());
}

#[test]
fn what_is_too_old_is_gone() {
    let place = Place::new();
    place.hold_at(1, 1, 1, NOW).unwrap();
    place.hold_at(2, 1, 1, NOW + 1).unwrap();
    let end = NOW + APPROVAL_MS_MAX;
    assert_eq!(place.approvals.list(end - 1).len(), 2);
    let id = Uuid::from_u128(1).to_string();
    assert!(matches!(place.approvals.get(&id, end), Err(Reject::NotFound { .. })));
    assert!(!place.file(1).exists() && place.file(2).exists());
}

#[test]
fn a_damaged_file_is_told_and_the_others_go_on() {
    let place = Place::new();
    place.hold(1, 1, 1).unwrap();
    place.hold(2, 1, 1).unwrap();
    let mut bytes = fs::read(place.file(1)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(place.file(1), bytes).unwrap();
    fs::write(place.dir.path().join("x.new"), "half").unwrap();
    let again = open(place.dir.path());
    let damaged = |it: &&Approval| !it.damage.is_empty();
    let all = again.list(NOW);
    assert_eq!((all.len(), all.iter().filter(damaged).count()), (2, 1));
    let id = Uuid::from_u128(1).to_string();
    let refused = again.get(&id, NOW).unwrap_err();
    assert!(matches!(refused, Reject::Precondition { reason: "APPROVAL_DAMAGED", .. }));
    again.remove(&id, "rejected").unwrap();
    assert_eq!(again.list(NOW).len(), 1);
    assert!(!place.dir.path().join("x.new").exists());
}

#[test]
fn nobody_fills_the_place_of_all() {
    let place = Place::new();
    for n in 0..APPROVALS_PER_PERSON_MAX as u128 {
        place.hold(n, 1, 1).unwrap();
    }
    assert!(matches!(place.hold(9_999, 1, 1), Err(Reject::Busy { .. })));
    place.hold(9_999, 2, 1).unwrap();
}

#[test]
fn files_of_format_1_stay_readable() {
    let kept = KeptApproval {
        approval_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        request: vec![1, 2, 3].into(),
        submitted_by: "p-0011223344556677".to_owned(),
        person_key: vec![7; 32].into(),
        person_subject: vec![8; 32].into(),
        submitted_at: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 0 }),
        expires_at: Some(prost_types::Timestamp { seconds: 1_796_209_600, nanos: 0 }),
        // not kept in the beginning
        certificates: Vec::new(),
    };
    let certificates = [1, 2].map(|n| vec![0x30, 3, 2, 1, n].into()).into();
    let newer = KeptApproval { certificates, ..kept.clone() };
    for (name, kept) in [("approval-1", kept), ("approval-1-certificates", newer)] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let bytes = fs::read(golden.join(name).with_extension("approval")).unwrap();
        assert_eq!(KIND.decode(&bytes), Ok(kept.clone()), "{name}");
        assert_eq!(KIND.encode(&kept), bytes, "{name}");
    }
}
