//! Passphrases and PINs: where they come from, and how they are held.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::keys::{KeyError, SecretError, file::check_mode};

/// A text that is never shown, and is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Where a passphrase or PIN comes from. Its first line counts, without the end of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file descriptor that whoever started the process opened for it, like `3<passphrase.txt`.
    /// Can be read once only.
    Descriptor(u32),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A credential of systemd: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// A passphrase that is read when the first encrypted key asks for it, and then kept for the next.
#[derive(Debug)]
pub struct Passphrase {
    source: Option<SecretSource>,
    read: Option<Secret>,
}

/// The PINs of tokens. Each source is read once, however many keys ask for it.
#[derive(Debug)]
pub struct Pins {
    default: Option<SecretSource>,
    read: Vec<(SecretSource, Secret)>,
}

// === impl Secret ===

impl Secret {
    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

// === impl SecretSource ===

impl SecretSource {
    /// Reads the secret: 1 to 1,024 bytes of UTF-8 up to the first end of a line.
    ///
    /// # Errors
    ///
    /// See [`SecretError`].
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Descriptor(0) => first_line(io::stdin().lock()),
            Self::Descriptor(number @ 1..=2) => return Err(SecretError::Output(*number)),
            Self::Descriptor(number) => {
                File::open(format!("/dev/fd/{number}")).and_then(first_line)
            }
            Self::File(path) => {
                let file = File::open(path).map_err(|source| self.unreadable(source))?;
                let mode = check_mode(&file, path).map_err(|source| self.unreadable(source))?;
                if let Some(mode) = mode {
                    return Err(SecretError::Mode { path: path.clone(), mode });
                }
                first_line(file)
            }
            Self::Credential(name) => {
                let plain = Path::new(name).file_name().is_some_and(|it| it == name.as_str());
                if !plain {
                    return Err(SecretError::CredentialName(name.clone()));
                }
                let Some(dir) = credentials() else {
                    return Err(SecretError::NoCredentials(name.clone()));
                };
                File::open(dir.join(name)).and_then(first_line)
            }
        };
        let line = text.map_err(|source| self.unreadable(source))?;
        if line.is_empty() {
            return Err(SecretError::Empty(self.to_string()));
        }
        let text = str::from_utf8(&line).map_err(|_| SecretError::NotUtf8(self.to_string()))?;
        // exactly as long as needed, so that nothing is moved and left behind
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }

    fn unreadable(&self, source: io::Error) -> SecretError {
        SecretError::Read { from: self.to_string(), source }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(number) => write!(f, "Dateideskriptor {number}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "Credential {name}"),
        }
    }
}

// === impl Passphrase ===

impl Passphrase {
    /// From this source, if there is one.
    pub fn new(source: Option<SecretSource>) -> Self {
        Self { source, read: None }
    }

    /// One that was read before, if there is one.
    pub fn known(read: Option<Secret>) -> Self {
        Self { source: None, read }
    }

    /// The passphrase for the key in `path`.
    ///
    /// # Errors
    ///
    /// There is no source, or it cannot be read.
    pub fn get(&mut self, path: &Path) -> Result<&Secret, KeyError> {
        let read = match self.read.take() {
            Some(read) => read,
            None => match &self.source {
                Some(source) => source.read()?,
                None => return Err(KeyError::NoPassphrase(path.to_owned())),
            },
        };
        Ok(self.read.insert(read))
    }
}

// === impl Pins ===

impl Pins {
    /// From this source, where a key does not name its own.
    pub fn new(default: Option<SecretSource>) -> Self {
        Self { default, read: Vec::new() }
    }

    /// The PIN from `own`, or else from the common source; none if there is neither.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn get(&mut self, own: Option<&SecretSource>) -> Result<Option<Secret>, SecretError> {
        let Some(source) = own.or(self.default.as_ref()) else { return Ok(None) };
        if let Some((_, pin)) = self.read.iter().find(|(it, _)| it == source) {
            return Ok(Some(pin.clone()));
        }
        let pin = source.read()?;
        self.read.push((source.clone(), pin.clone()));
        Ok(Some(pin))
    }
}

/// Directory of the credentials of systemd.
pub(super) fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Reads up to the first end of a line, and not a byte more: a pipe may stay open behind it.
fn first_line(mut from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    loop {
        match from.read(&mut byte[..]) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() == SECRET_BYTES_MAX => {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Bytes of a passphrase or PIN.
const SECRET_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[track_caller]
    fn check(content: &[u8], expect: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let got = match SecretSource::File(path).read() {
            Ok(secret) => secret.expose().to_owned(),
            Err(error) => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn the_first_line_counts() {
        check(b"geheim", "geheim");
        check(b"geheim\n", "geheim");
        check(b"geheim\r\nmehr\n", "geheim");
        check(b" mit Leerzeichen \n", " mit Leerzeichen ");
        check(b"", "Empty");
        check(b"\ngeheim\n", "Empty");
        check(b"\xff\n", "NotUtf8");
        check(&[b'a'; SECRET_BYTES_MAX], &"a".repeat(SECRET_BYTES_MAX));
        check(&[b'a'; SECRET_BYTES_MAX + 1], "Read");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "geheim").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SecretSource::File(path.clone()).read().unwrap_err();
        let expect = format!("chmod 600 {}", path.display());
        assert!(error.to_string().contains(&expect), "{error}");
    }

    #[test]
    fn outputs_and_paths_are_no_sources() {
        assert!(matches!(SecretSource::Descriptor(2).read(), Err(SecretError::Output(2))));
        for name in ["../x", "a/b", "..", ""] {
            let got = SecretSource::Credential(name.to_owned()).read();
            assert!(matches!(got, Err(SecretError::CredentialName(_))), "{name}");
        }
    }

    #[test]
    fn a_descriptor_is_read_up_to_the_line() {
        use std::{io::Write, os::fd::AsRawFd};
        let (reader, mut writer) = io::pipe().unwrap();
        // stays open: whoever reads to the end waits for ever
        writer.write_all(b"geheim\n").unwrap();
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        let secret = SecretSource::Descriptor(number).read().unwrap();
        assert_eq!(secret.expose(), "geheim");
        assert_eq!(format!("{secret:?}"), "(secret)");
    }

    #[test]
    fn a_pin_is_read_once_for_all_keys_and_a_key_may_have_its_own() {
        use std::{io::Write, os::fd::AsRawFd};
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"1234\n").unwrap();
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        fs::write(&path, "5678\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let own = SecretSource::File(path);
        let mut pins = Pins::new(Some(SecretSource::Descriptor(number)));
        for (own, expect) in [(None, "1234"), (Some(&own), "5678"), (None, "1234")] {
            assert_eq!(pins.get(own).unwrap().unwrap().expose(), expect);
        }
        assert!(!format!("{pins:?}").contains("1234"));
        assert!(Pins::new(None).get(None).unwrap().is_none());
    }

    #[test]
    fn is_read_once_for_all_keys() {
        let (reader, writer) = io::pipe().unwrap();
        use std::{io::Write, os::fd::AsRawFd};
        (&writer).write_all(b"geheim\n").unwrap();
        drop(writer);
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        let mut passphrase = Passphrase::new(Some(SecretSource::Descriptor(number)));
        for _ in 0..2 {
            assert_eq!(passphrase.get(Path::new("log.key")).unwrap().expose(), "geheim");
        }
        let none = Passphrase::new(None).get(Path::new("log.key")).unwrap_err();
        assert!(matches!(none, KeyError::NoPassphrase(_)));
    }
}
