use ed25519_dalek::SigningKey;
use registry_core::{
    authorize::{Principal, Role},
    envelope::{Envelope, Purpose},
    reject::Reject,
    submission::Submission,
};
use registry_proto::{
    log::sign_note,
    terms::Land,
    wire::registry::{
        Handlungsgrundlage, Herausgeber, LocalizedText, PublishRequest, Record, ServiceDefinition,
        record,
    },
};
use tempfile::TempDir;

use super::*;

/// A folder for packages, and keys.
struct Place {
    folder: TempDir,
    signing: SigningKey,
    data: config::Data,
}

/// A key of a group that is not shipped.
const NEW_KEY: &str = "99998001000000";

impl Place {
    fn new() -> Self {
        let signing = SigningKey::from_bytes(&[9; 32]);
        let key = VerifierKey::new("daten.example", signing.verifying_key()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = config::Data { package: folder.path().join("datenpaket"), keys: vec![key] };
        Self { folder, signing, data }
    }

    /// Writes a package that adds a group and a key, signed by `signing`.
    fn package(&self, name: &str, stand: &str, signing: &SigningKey) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/data");
        let fim = fs::read_to_string(shipped.join("fim-codelists.json")).unwrap();
        let mut fim: serde_json::Value = serde_json::from_str(&fim).unwrap();
        fim["LeikaLeistungsgruppierung"].as_array_mut().unwrap().push("998".into());
        fs::write(folder.join("fim-codelists.json"), fim.to_string()).unwrap();
        let leika = fs::read_to_string(shipped.join("leika-leistungen.csv")).unwrap();
        let leika = format!("{leika}{NEW_KEY},Neue Leistung,4,,,\n");
        fs::write(folder.join("leika-leistungen.csv"), leika).unwrap();
        let contents = read_contents(&folder).unwrap();
        let manifest = Manifest::of(stand.parse().unwrap(), &contents).unwrap();
        let note = sign_note(&manifest.text(), &self.data.keys[0], signing).unwrap();
        fs::write(folder.join(MANIFEST), note).unwrap();
        folder
    }

    fn good(&self, name: &str, stand: &str) -> PathBuf {
        self.package(name, stand, &self.signing)
    }
}

/// Validates a definition with a key, as the handler of a publication does.
fn publish(lists: &Lists, key: &str) -> Result<Submission, Reject> {
    let definition = ServiceDefinition {
        leistungsschluessel: vec![key.to_owned()],
        typisierung: vec!["4".to_owned()],
        themenfeld: "bildung".to_owned(),
        bezeichnung: vec![LocalizedText { language_code: "de".into(), text: "Neu".into() }],
        handlungsgrundlagen: vec![Handlungsgrundlage { text: "§ 1".into(), url: String::new() }],
        leistungsadressaten: vec!["001".to_owned()],
        herausgeber: Some(Herausgeber { id: "L100001".into(), name: "Ministerium".into() }),
        ..ServiceDefinition::default()
    };
    let record =
        Record { record: Some(record::Record::ServiceDefinition(definition)), ..Record::default() };
    let principal = Principal::with_roles("p-1", &[Role::Publisher]);
    let envelope = Envelope {
        request: PublishRequest { records: vec![record], ..PublishRequest::default() },
        purpose: Purpose::Publish,
        principal: Some(principal),
        today: "2026-11-23".parse().unwrap(),
        wall_ms: 1_767_225_600_123,
        entropy: [4; 32],
    };
    let authorized = envelope.authenticate()?.authorize()?;
    Submission::validate(authorized, Land::SL, &lists.current())
}

#[test]
fn a_new_leistungsschluessel_is_accepted_without_a_restart() {
    let place = Place::new();
    let lists = Lists::shipped();
    let mut follower = Follower::new(Some(place.data.clone()), lists.clone());
    assert_eq!(follower.refresh().unwrap(), Refreshed::Absent);
    let Err(Reject::Invalid(errors)) = publish(&lists, NEW_KEY) else { panic!("refused") };
    assert_eq!(errors[0].reason, "LEISTUNGSSCHLUESSEL_GRUPPIERUNG");

    let from = place.good("neu", "2026-11-23");
    assert_eq!(install(&from, &place.data, false).unwrap(), Installed::Replaced(None));
    assert_eq!(follower.refresh().unwrap(), Refreshed::Replaced("2026-11-23".parse().unwrap()));
    assert!(publish(&lists, NEW_KEY).is_ok());
    assert_eq!(follower.refresh().unwrap(), Refreshed::Unchanged);
}

#[test]
fn a_package_with_a_wrong_signature_changes_nothing() {
    let place = Place::new();
    let from = place.package("fremd", "2026-11-23", &SigningKey::from_bytes(&[1; 32]));
    let refused = install(&from, &place.data, false).unwrap_err();
    assert!(matches!(refused, InstallError::Data(DataError::Manifest { .. })), "{refused}");
    assert!(!place.data.package.exists());
    // and not when somebody copies it there by hand
    fs::rename(&from, &place.data.package).unwrap();
    let lists = Lists::shipped();
    let before = lists.current();
    let mut follower = Follower::new(Some(place.data), lists.clone());
    assert!(matches!(follower.refresh(), Err(DataError::Manifest { .. })));
    assert!(Arc::ptr_eq(&before, &lists.current()));
}

#[test]
fn a_package_with_a_changed_file_changes_nothing() {
    let place = Place::new();
    let lists = Lists::shipped();
    let mut follower = Follower::new(Some(place.data.clone()), lists.clone());
    install(&place.good("gut", "2026-11-22"), &place.data, false).unwrap();
    follower.refresh().unwrap();
    let before = lists.current();
    let from = place.good("neu", "2026-11-23");
    let file = from.join("leika-leistungen.csv");
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    let last = bad.len() - 2;
    bad[last] = b'x';
    fs::write(&file, &bad).unwrap();
    let refused = install(&from, &place.data, false).unwrap_err();
    let InstallError::Data(DataError::Package { source, .. }) = refused else {
        panic!("{refused}")
    };
    assert!(matches!(source, PackageError::Hash { .. }));
    fs::write(&file, [good.as_slice(), b"\n"].concat()).unwrap();
    let refused = install(&from, &place.data, false).unwrap_err();
    assert!(matches!(refused, InstallError::Data(DataError::TooLong { .. })), "{refused}");
    assert_eq!(follower.refresh().unwrap(), Refreshed::Unchanged);
    assert!(Arc::ptr_eq(&before, &lists.current()));
}

#[test]
fn an_older_package_is_installed_only_when_asked_for() {
    let place = Place::new();
    let (new, old) = (place.good("neu", "2026-11-23"), place.good("alt", "2026-11-22"));
    let day = |text: &str| text.parse::<Date>().unwrap();
    assert_eq!(install(&new, &place.data, false).unwrap(), Installed::Replaced(None));
    assert_eq!(install(&new, &place.data, false).unwrap(), Installed::Unchanged);
    let refused = install(&old, &place.data, false).unwrap_err();
    assert!(matches!(refused, InstallError::Older { .. }));
    let replaced = Installed::Replaced(Some(day("2026-11-23")));
    assert_eq!(install(&old, &place.data, true).unwrap(), replaced);
    let kept = place.data.package.with_file_name("datenpaket.alt");
    assert_eq!(read(&kept, &place.data.keys).unwrap().manifest.stand(), day("2026-11-23"));
    // what cannot be used is replaced without a word
    fs::write(place.data.package.join(MANIFEST), "").unwrap();
    assert_eq!(install(&new, &place.data, false).unwrap(), Installed::Replaced(None));
}

#[test]
fn without_a_configured_package_nothing_is_looked_at() {
    let mut follower = Follower::new(None, Lists::shipped());
    assert_eq!(follower.refresh().unwrap(), Refreshed::Absent);
}
