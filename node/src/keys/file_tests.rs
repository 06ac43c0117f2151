use std::process::{Command, Stdio};

use super::*;
use crate::keys::SecretSource;

const RIGHT: &str = "geheim";

fn golden(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keys");
    fs::read_to_string(dir.join(name)).unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join("a.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn passphrase(&self, text: Option<&str>) -> Passphrase {
        Passphrase::new(text.map(|text| {
            let path = self.0.path().join("passphrase");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            SecretSource::File(path)
        }))
    }
}

/// A file with this text, read with this passphrase: the public half, or why not.
#[track_caller]
fn check(text: impl AsRef<[u8]>, passphrase: Option<&str>, expect: Result<&str, &str>) {
    let place = Place::new();
    let path = place.file(text, 0o600);
    let got = read(&path, &mut place.passphrase(passphrase));
    let got = got
        .map(|it| hex::encode(it.signing.verifying_key().as_bytes()))
        .map_err(|it| format!("{it:?}").split(['(', ' ']).next().unwrap().to_owned());
    assert_eq!(got.as_deref().map_err(String::as_str), expect);
}

#[test]
fn keys_that_openssl_made_are_read() {
    let public = golden("public.hex");
    let public = public.trim();
    check(golden("plain.pem"), None, Ok(public));
    for name in ["scrypt.pem", "pbkdf2.pem"] {
        check(golden(name), Some(RIGHT), Ok(public));
        check(golden(name), Some("falsch"), Err("WrongPassphrase"));
        check(golden(name), None, Err("NoPassphrase"));
    }
    check(golden("pbes1.pem"), Some(RIGHT), Err("Method"));
    check(golden("x25519.pem"), None, Err("NotAKey"));
    let certificate = golden("plain.pem").replace("PRIVATE KEY", "CERTIFICATE");
    check(certificate, None, Err("NotAKey"));
    check("", None, Err("NotAKey"));
    check("a".repeat(FILE_BYTES_MAX + 1), None, Err("NotAKey"));
    check(golden("plain.pem").as_bytes().split_at(60).0, None, Err("NotAKey"));
    check(b"\xff", None, Err("Read"));
}

#[test]
fn no_damaged_file_gives_the_key_or_panics() {
    let place = Place::new();
    for name in ["plain.pem", "pbkdf2.pem"] {
        let text = golden(name);
        let (_, der) = SecretDocument::from_pem(text.trim()).unwrap();
        let label = match name {
            "plain.pem" => PrivateKeyInfo::PEM_LABEL,
            _ => EncryptedPrivateKeyInfo::PEM_LABEL,
        };
        for at in 0..der.as_bytes().len() {
            for change in [0x00, 0x01, 0x80, 0xff] {
                let mut changed = der.as_bytes().to_vec();
                changed[at] ^= change;
                let same = change == 0;
                let changed = SecretDocument::try_from(&changed[..]);
                let Ok(changed) = changed else { continue };
                let pem = changed.to_pem(label, LineEnding::LF).unwrap();
                let path = place.file(pem.as_bytes(), 0o600);
                let opened = read(&path, &mut place.passphrase(Some(RIGHT))).ok();
                // AES-CBC and a bare seed do not tell damage; the charter does, because it is
                // another key then
                let public = opened.map(|it| hex::encode(it.signing.verifying_key().as_bytes()));
                let as_before = public.as_deref() == Some(golden("public.hex").trim());
                assert_eq!(as_before, same, "{name}: byte {at} with {change:#x}");
            }
        }
    }
}

#[test]
fn what_asks_for_too_much_is_refused() {
    // N = 0x4000 and r = 8 stand in the golden file as INTEGERs of two bytes and one
    let cost = |n: &[u8], r: u8| {
        let text = golden("scrypt.pem");
        let (_, der) = SecretDocument::from_pem(text.trim()).unwrap();
        let mut der = der.as_bytes().to_vec();
        let old = [2, 2, 0x40, 0, 2, 1, 8];
        let at = der.windows(old.len()).position(|it| it == old).unwrap();
        der[at + 2..at + 4].copy_from_slice(n);
        der[at + 6] = r;
        let der = SecretDocument::try_from(&der[..]).unwrap();
        der.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).unwrap().to_string()
    };
    check(cost(&[0x40, 0], 8), Some(RIGHT), Ok(golden("public.hex").trim()));
    check(cost(&[0x40, 1], 8), Some(RIGHT), Err("Cost"));
    check(cost(&[0x40, 0], 0), Some(RIGHT), Err("Cost"));
    check(cost(&[0x40, 0], 127), Some(RIGHT), Err("WrongPassphrase"));
    check(cost(&[0x00, 0x00], 8), Some(RIGHT), Err("Method"));
}

#[test]
fn what_is_written_is_read_and_openssl_reads_it_too() {
    let place = Place::new();
    let key = SigningKey::from_bytes(&[7; 32]);
    let passphrase = Secret::from(RIGHT.to_owned());
    for (name, encrypted) in [("plain.key", false), ("encrypted.key", true)] {
        let path = place.0.path().join(name);
        write_new(&path, &key, encrypted.then_some(&passphrase)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = read(&path, &mut place.passphrase(Some(RIGHT))).unwrap();
        assert_eq!((kept.signing.to_bytes(), kept.encrypted), ([7; 32], encrypted));
        let again = write_new(&path, &key, None);
        assert!(matches!(again, Err(KeyError::Exists(_))), "never overwritten");
        let method = describe(&path).unwrap();
        assert_eq!(method.as_deref(), encrypted.then_some("scrypt (N = 16384, r = 8, p = 5)"));
        if let Some(public) = openssl_public(&path) {
            assert_eq!(public, key.verifying_key().to_bytes(), "{name}");
        }
    }
}

/// The public half as openssl reads it; `None` where there is no openssl.
fn openssl_public(path: &Path) -> Option<[u8; 32]> {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-pubout", "-outform", "DER", "-passin", "pass:geheim", "-in"]);
    let output = match openssl.arg(path).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout.last_chunk::<32>().copied().unwrap())
}

#[test]
fn a_key_is_encrypted_in_place_and_once() {
    let place = Place::new();
    let path = place.file(golden("plain.pem"), 0o600);
    encrypt(&path, &Secret::from(RIGHT.to_owned())).unwrap();
    check(fs::read(&path).unwrap(), Some(RIGHT), Ok(golden("public.hex").trim()));
    check(fs::read(&path).unwrap(), Some("falsch"), Err("WrongPassphrase"));
    let again = encrypt(&path, &Secret::from("anders".to_owned()));
    assert!(matches!(again, Err(KeyError::Encrypted(_))));
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn debug_shows_no_key() {
    let place = Place::new();
    let path = place.file(golden("plain.pem"), 0o600);
    let kept = read(&path, &mut Passphrase::new(None)).unwrap();
    assert_eq!(format!("{kept:?}"), "Kept { encrypted: false, .. }");
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_way_out() {
    let place = Place::new();
    for mode in [0o640, 0o604, 0o660, 0o644, 0o610] {
        let path = place.file(golden("plain.pem"), mode);
        let Err(error) = read(&path, &mut Passphrase::new(None)) else { panic!("{mode:o}") };
        let text = error.to_string();
        let way = format!("chmod 600 {}", path.display());
        assert!(text.contains(&format!("{mode:04o}")) && text.contains(&way), "{text}");
    }
    let path = place.file(golden("plain.pem"), 0o400);
    assert!(read(&path, &mut Passphrase::new(None)).is_ok());
}
