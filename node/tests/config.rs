//! Each `config/*.toml` is loaded next to sound and unsound files; what is reported stands beside
//! it in `*.expected` (`UPDATE_EXPECT=1` writes it anew).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use base64::Engine as _;
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey, pkcs8::DecodePrivateKey};
use expect_test::expect_file;
use prost::Message;
use registry_core::authorize::{Role, Who};
use registry_node::{
    config::{ArtefactStore, Config, ConfigError, Dated, FencePolicy, FetchPolicy, Ruled, Unlock},
    keys::{self, Secret, SecretSource},
    pki::{Authority, Pki},
    tls::{Profile, TlsContext, read_certificates, read_private_key},
};
use registry_proto::{terms::Land, wire::registry as wire};
use rustls::pki_types::UnixTime;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

const WEEK: Duration = Duration::days(7);

#[test]
fn every_problem_of_every_file_is_reported_at_once() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> =
        fs::read_dir(&tests).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    files.sort();
    assert!(files.len() >= 9);

    let dir = tempfile::tempdir().unwrap();
    world(dir.path());
    for file in files {
        let loaded = load(dir.path(), &file);
        let report = match loaded {
            Ok(_) => "no problem\n".to_owned(),
            Err(error) => {
                assert!(!error.problems.is_empty());
                format!("{error}\n").replace(dir.path().to_str().unwrap(), "$DIR")
            }
        };
        expect_file![file.with_extension("expected")].assert_eq(&report);
    }
}

#[test]
fn a_complete_file_means_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    world(dir.path());
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let config = load(dir.path(), &tests.join("complete.toml")).unwrap();
    // that of what was read, whatever is in the file since
    fs::write(&config.file, "").unwrap();
    let read = fs::read(tests.join("complete.toml")).unwrap();
    assert_eq!(config.file_sha256, <[u8; 32]>::from(Sha256::digest(read)));
    assert_eq!(config.land, Land::SL);
    assert_eq!(config.data_dir, dir.path().join("data"));
    assert_eq!(config.signer.keys(), config.charter.member(Land::SL).unwrap().keys);
    assert_eq!(config.tls.profile, Profile { tls12: true, hybrid: false });
    assert_eq!(config.peers[0].identity.land, Land::RP);
    assert_eq!(config.peers[0].address, "rp-1.demo.example:7444");
    assert_eq!(config.tls.rules.clients[0].who, Who::Any);
    let rules = config.tls.rules.read().unwrap();
    let publishes = |it: &&registry_core::authorize::Rule| it.role == Some(Role::Publisher);
    assert!(rules.iter().filter(publishes).all(|it| it.four_eyes));
    assert_eq!(config.tls.rules.read().unwrap().len(), config.tls.rules.clients.len() + 1);
    assert_eq!((config.limits.per_second, config.limits.burst), (200, 500));
    assert_eq!(config.fence, FencePolicy::Available { after: std::time::Duration::from_secs(900) });
    assert_eq!(config.fence_quiet, std::time::Duration::from_secs(120));
    let data = config.data.clone().unwrap();
    assert_eq!(data.package, dir.path().join("datenpaket"));
    assert_eq!(data.keys[0].name(), "PeterNeumann");
    TlsContext::new(config.tls.profile, config.material().unwrap()).unwrap();
    let pem = fs::read_to_string(dir.path().join("sl-log.pem")).unwrap();
    let seed = SigningKey::from_pkcs8_pem(&pem).unwrap().to_bytes();
    let shown = format!("{config:?}");
    for hidden in [hex::encode(seed), format!("{seed:?}"), "SigningKey".to_owned()] {
        assert!(!shown.contains(&hidden), "no key material in Debug");
    }

    assert_eq!(config.artefacts.fetch, FetchPolicy::All);
    let ArtefactStore::S3(bucket) = &config.artefacts.store else { panic!("a bucket") };
    assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str()), ("artefakte", "sl"));
    assert_eq!(bucket.secret_key.expose(), "geheim");
    assert!(!format!("{config:?}").contains("geheim"), "no secret in Debug");

    let minimal = load(dir.path(), &tests.join("minimal.toml")).unwrap();
    assert_eq!(minimal.tls.profile, Profile::BSI);
    assert_eq!(minimal.fence, FencePolicy::Strict);
    assert_eq!(minimal.fence_quiet, std::time::Duration::from_secs(70));
    let ArtefactStore::Directory(path) = &minimal.artefacts.store else { panic!("a directory") };
    assert_eq!(*path, minimal.data_dir.join("artefacts"));
    assert_eq!(minimal.artefacts.fetch, FetchPolicy::Subscribed);
    assert_eq!(minimal.data, None);
    assert_eq!((minimal.listen.web, minimal.listen.http), (None, None));
}

#[test]
fn the_clients_of_the_pki_have_at_a_node_the_roles_of_their_rules() {
    let dir = tempfile::tempdir().unwrap();
    let pki = world(dir.path());
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let config = load(dir.path(), &tests.join("complete.toml")).unwrap();
    let context = TlsContext::new(config.tls.profile, config.material().unwrap()).unwrap();
    for (files, roles) in [
        (pki.reader(), &[Role::Reader][..]),
        (pki.publisher(Land::SL), &[Role::Reader, Role::Publisher]),
        (pki.publisher(Land::RP), &[]),
        (pki.node(Land::RP), &[Role::Peer]),
    ] {
        let chain = read_certificates(&files.certificate).unwrap();
        let identity = context.trust().identify(&chain, UnixTime::now()).unwrap();
        assert_eq!(identity.principal.roles(), roles, "{files:?}");
    }
}

#[test]
fn keys_are_opened_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    world(dir.path());
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let file = dir.path().join("node.toml");
    fs::copy(tests.join("encrypted.toml"), &file).unwrap();
    let keys = |config: &Config| config.charter.member(Land::SL).unwrap().keys.clone();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.signer.keys(), keys(&config));
    assert!(config.signer.log().try_sign(b"text").is_ok());
    // the word of the caller goes before the configuration
    let passphrase = Some(SecretSource::File(dir.path().join("other-passphrase")));
    let other = Unlock::With { passphrase, pin: None };
    let refused = Config::load_with(&file, &other).unwrap_err();
    assert_eq!(refused.problems.len(), 2, "{refused}");
    // and what signs nothing needs no key
    fs::remove_file(dir.path().join("sl-log-encrypted.pem")).unwrap();
    let config = Config::load_with(&file, &Unlock::Sealed).unwrap();
    assert_eq!(config.signer.keys(), keys(&config));
    assert!(config.signer.log().try_sign(b"text").is_err());
}

#[test]
fn a_check_refuses_a_revocation_list_that_a_start_leaves_out() {
    let dir = tempfile::tempdir().unwrap();
    let pki = world(dir.path());
    let anchor = read_certificates(&pki.anchor(Land::SL)).unwrap();
    let (_, parsed) = X509Certificate::from_der(&anchor[0]).unwrap();
    let name = parsed.subject().iter_common_name().next().unwrap().as_str().unwrap();
    let now = OffsetDateTime::now_utc();
    // the same name, another key
    let forger = Authority::root(name, now).unwrap();
    fs::write(dir.path().join("forged.crl"), forger.crl(1, &[], now + WEEK).unwrap()).unwrap();
    let stranger = Authority::root("Niemand hier", now).unwrap();
    fs::write(dir.path().join("good.crl"), stranger.crl(1, &[], now + WEEK).unwrap()).unwrap();
    let minimal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/minimal.toml");
    let text = fs::read_to_string(minimal).unwrap();
    let file = dir.path().join("node.toml");
    let with = |list: &str| format!("{text}crls = [\"{list}\"]\n");
    for (list, told) in [("forged.crl", "hat keiner der"), ("garbage.pem", "keine brauchbare")] {
        fs::write(&file, with(list)).unwrap();
        let refused = Config::check(&file, &Unlock::default()).unwrap_err().to_string();
        assert!(refused.contains("tls.crls") && refused.contains(told), "{refused}");
        let config = Config::load(&file).unwrap();
        let (material, left_out) = config.material_at_start(None).unwrap();
        assert_eq!((material.crls.iter().count(), left_out.len()), (0, 1));
        // who only reads is told, and goes on
        let (dated, ruled) = (Dated::load(&file).unwrap(), Ruled::load(&file).unwrap());
        for (crls, left_out) in [(dated.crls, dated.left_out), (ruled.crls, ruled.left_out)] {
            assert_eq!((crls.iter().count(), left_out.len()), (0, 1));
            assert!(left_out[0].contains(told), "{left_out:?}");
        }
    }
    // each file is named, beside the lists that can be used and with what else is wrong
    let many = "forged.crl\", \"garbage.pem\", \"good.crl";
    for required in ["", "crl_required = true\n[log]\nformat = \"x\"\n"] {
        fs::write(&file, with(many) + required).unwrap();
        let refused = Config::check(&file, &Unlock::default()).unwrap_err();
        let keys: Vec<_> = refused.problems.iter().map(|it| it.key.as_str()).collect();
        let expect = ["tls.crls[0]", "tls.crls[1]", "log.format"];
        assert_eq!(keys, &expect[..if required.is_empty() { 2 } else { 3 }], "{refused}");
    }
    // where one is required and there is none, a start ends
    fs::write(&file, with("forged.crl") + "crl_required = true\n").unwrap();
    Config::load(&file).unwrap().material_at_start(None).unwrap_err();
    Dated::load(&file).unwrap();
    let refused = Ruled::load(&file).unwrap_err().to_string();
    assert!(refused.contains("crl_required") && refused.contains("hat keiner der"), "{refused}");
    let refused = Config::check(&file, &Unlock::default()).unwrap_err();
    assert_eq!(refused.problems.len(), 2, "{refused}");
    fs::write(&file, with("missing.crl")).unwrap();
    assert!(Config::load(&file).is_err(), "a wrong path");
}

#[test]
fn the_group_may_read_a_tls_key_and_others_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = world(dir.path()).node(Land::SL).key;
    let check = |mode, expect: bool| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = read_private_key(&path);
        assert_eq!(read.is_ok(), expect, "{mode:o} {:?}", read.err());
    };
    [0o600, 0o400, 0o640, 0o440].iter().for_each(|mode| check(*mode, true));
    [0o644, 0o660, 0o604, 0o602, 0o666].iter().for_each(|mode| check(*mode, false));
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let error = Config::load(Path::new("/nowhere/node.toml")).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(error.problems[0].key, "(file)");
}

fn load(dir: &Path, file: &Path) -> Result<Config, ConfigError> {
    let copy = dir.join("node.toml");
    fs::copy(file, &copy).unwrap();
    Config::check(&copy, &Unlock::default())
}

/// A PKI, keys and a charter of SL and RP, and some files that are none.
fn world(dir: &Path) -> Pki {
    let lands = [Land::RP, Land::SL];
    let pki = Pki::ensure(dir, &lands, OffsetDateTime::now_utc()).unwrap();
    let mut members: Vec<_> = lands
        .into_iter()
        .map(|land| {
            let anchor = read_certificates(&pki.anchor(land)).unwrap()[0].to_vec();
            wire::Member {
                land: land.code().to_owned(),
                log_key: key(dir, land, "log"),
                freshness_key: key(dir, land, "freshness"),
                offline_key: key(dir, land, "offline"),
                nodes: vec![wire::MemberNode { name: Pki::node_name(land), spki_pins: Vec::new() }],
                anchors: vec![anchor.into()],
                quota: None,
                ..wire::Member::default()
            }
        })
        .collect();
    write_charter(&dir.join("charter.binpb"), true, &members);
    write_charter(&dir.join("real.binpb"), false, &members);
    members[0].anchors[0] = Bytes::from_static(b"no certificate");
    write_charter(&dir.join("bad-anchor.binpb"), true, &members);
    fs::write(dir.join("no-charter.binpb"), b"\xff\xff").unwrap();
    let policy = "format = 1\n[[rules]]\nname = \"a\"\nrole = \"reader\"\nsan = \"*\"\n";
    fs::write(dir.join("policy.toml"), policy).unwrap();
    fs::write(dir.join("no-policy.toml"), "format = 1\n[[rules]]\nname = \"a\"\n").unwrap();
    private(&dir.join("s3.secret"), "geheim\n");
    fs::copy(dir.join("sl-log.pem"), dir.join("sl-log-open.pem")).unwrap();
    fs::set_permissions(dir.join("sl-log-open.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::copy(pki.node(Land::SL).key, dir.join("sl-1-open.key")).unwrap();
    fs::set_permissions(dir.join("sl-1-open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    private(&dir.join("passphrase"), "geheim\n");
    private(&dir.join("other-passphrase"), "anders\n");
    let certificate = read_certificates(&pki.anchor(Land::SL)).unwrap()[0].to_vec();
    let certificate = base64::prelude::BASE64_STANDARD.encode(certificate);
    let jwks = format!(r#"{{"keys": [{{"kid": "k-1", "x5c": ["{certificate}"]}}]}}"#);
    fs::write(dir.join("fit-connect.jwks.json"), jwks).unwrap();
    fs::write(dir.join("garbage.pem"), "no PEM at all\n").unwrap();
    pki
}

fn write_charter(path: &Path, test: bool, members: &[wire::Member]) {
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Demo".to_owned(),
        test,
        threshold: 2,
        members: members.to_vec(),
        ..wire::Charter::default()
    };
    fs::write(path, charter.encode_to_vec()).unwrap();
}

/// Writes a file that only its owner can read.
fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes a new signing key and returns its public half.
fn key(dir: &Path, land: Land, name: &str) -> Bytes {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let file = format!("{}-{name}.pem", land.code().to_ascii_lowercase());
    let signing = SigningKey::from_pkcs8_der(&pair.serialize_der()).unwrap();
    private(&dir.join(file), &pair.serialize_pem());
    let passphrase = Secret::from("geheim".to_owned());
    let file = format!("{}-{name}-encrypted.pem", land.code().to_ascii_lowercase());
    keys::write_new(&dir.join(file), &signing, Some(&passphrase)).unwrap();
    Bytes::copy_from_slice(signing.verifying_key().as_bytes())
}
