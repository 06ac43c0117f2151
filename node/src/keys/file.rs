//! Ed25519 keys in PKCS#8 files (RFC 5958, PEM), as `openssl pkey` reads and writes them; encrypted
//! ones with PBES2 (RFC 8018): scrypt or PBKDF2, AES-CBC.

use std::{
    fmt, fs, io,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes},
};
use pkcs8::{
    EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument,
    der::pem::PemLabel,
    pkcs5::{
        EncryptionScheme,
        pbes2::{self, Kdf, ScryptParams},
    },
};
use zeroize::Zeroizing;

use crate::keys::{KeyError, Passphrase, Secret, secret::credentials};

/// A key from a file.
#[derive(Clone)]
pub struct Kept {
    /// The key; overwritten when it is dropped.
    pub signing: SigningKey,
    /// Whether it is encrypted in the file.
    pub encrypted: bool,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("encrypted", &self.encrypted).finish_non_exhaustive()
    }
}

/// Reads a key. Only its owner may have access to the file, unless it is a credential of systemd.
///
/// # Errors
///
/// See [`KeyError`].
pub fn read(path: &Path, passphrase: &mut Passphrase) -> Result<Kept, KeyError> {
    let document = Document::read(path)?;
    let plain = match document.encrypted {
        false => document.der,
        true => decrypt(&document.der, path, passphrase)?,
    };
    let signing = SigningKey::from_pkcs8_der(plain.as_bytes())
        .map_err(|_| KeyError::NotAKey(path.to_owned()))?;
    Ok(Kept { signing, encrypted: document.encrypted })
}

/// Makes a key of fresh random bytes.
///
/// # Errors
///
/// The operating system gives none.
pub fn generate() -> Result<SigningKey, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(|_| KeyError::Random)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Writes a key to a new file (mode 0600), encrypted if there is a passphrase.
///
/// # Errors
///
/// There is a file already, or it cannot be written.
pub fn write_new(
    path: &Path,
    key: &SigningKey,
    passphrase: Option<&Secret>,
) -> Result<(), KeyError> {
    let pem = encode(key, passphrase)?;
    create(path, pem.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::Write { path: path.to_owned(), source },
    })
}

/// Encrypts the key in a file. After a crash the file is the old one or the new one.
///
/// # Errors
///
/// The key is encrypted already, cannot be read or not be written.
pub fn encrypt(path: &Path, passphrase: &Secret) -> Result<SigningKey, KeyError> {
    if Document::read(path)?.encrypted {
        return Err(KeyError::Encrypted(path.to_owned()));
    }
    let Kept { signing, .. } = read(path, &mut Passphrase::new(None))?;
    let pem = encode(&signing, Some(passphrase))?;
    let mut beside = path.to_owned().into_os_string();
    beside.push(".neu");
    let beside = PathBuf::from(beside);
    let failed = |source| KeyError::Write { path: beside.clone(), source };
    create(&beside, pem.as_bytes()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let dir =
        path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::File::open(dir).and_then(|it| it.sync_all()).map_err(failed)?;
    Ok(signing)
}

/// How the key in a file is kept, without opening it: `None` if it is not encrypted, else the
/// method in words.
///
/// # Errors
///
/// As [`read`], except for those of the passphrase.
pub fn describe(path: &Path) -> Result<Option<String>, KeyError> {
    let document = Document::read(path)?;
    if !document.encrypted {
        return Ok(None);
    }
    let info = parse(&document.der, path)?;
    Ok(Some(match affordable(&info, path)? {
        Kdf::Scrypt(it) => format!(
            "scrypt (N = {}, r = {}, p = {})",
            it.cost_parameter, it.block_size, it.parallelization
        ),
        Kdf::Pbkdf2(it) => format!("PBKDF2 ({} Durchläufe)", it.iteration_count),
        _ => return Err(KeyError::Method(path.to_owned())),
    }))
}

/// The mode of a file that others than its owner have access to. Credentials of systemd are
/// private by other means, which the mode does not tell.
pub(super) fn check_mode(file: &fs::File, path: &Path) -> io::Result<Option<u32>> {
    open_to(0o077, file, path)
}

/// The mode of a file to which one of these `bits` gives access; none of a credential.
pub(crate) fn open_to(bits: u32, file: &fs::File, path: &Path) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & bits != 0 && !is_credential(path)).then_some(mode))
}

fn is_credential(path: &Path) -> bool {
    credentials().is_some_and(|dir| path.parent() == Some(&dir))
}

/// What stands in a file.
struct Document {
    der: SecretDocument,
    encrypted: bool,
}

impl Document {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(unreadable)?;
        if let Some(mode) = check_mode(&file, path).map_err(unreadable)? {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        // one allocation, so that growing leaves nothing behind
        let mut pem = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX + 1));
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut pem).map_err(unreadable)?;
        let not_a_key = || KeyError::NotAKey(path.to_owned());
        if pem.len() > FILE_BYTES_MAX {
            return Err(not_a_key());
        }
        let (label, der) = SecretDocument::from_pem(pem.trim()).map_err(|_| not_a_key())?;
        match label {
            PrivateKeyInfo::PEM_LABEL => Ok(Self { der, encrypted: false }),
            EncryptedPrivateKeyInfo::PEM_LABEL => Ok(Self { der, encrypted: true }),
            _ => Err(not_a_key()),
        }
    }
}

fn decrypt(
    der: &SecretDocument,
    path: &Path,
    passphrase: &mut Passphrase,
) -> Result<SecretDocument, KeyError> {
    let info = parse(der, path)?;
    affordable(&info, path)?;
    info.decrypt(passphrase.get(path)?.expose()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }
            | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
        ) => KeyError::Method(path.to_owned()),
        // a wrong passphrase gives garbage, and some of that has the right padding
        _ => KeyError::WrongPassphrase(path.to_owned()),
    })
}

fn parse<'a>(
    der: &'a SecretDocument,
    path: &Path,
) -> Result<EncryptedPrivateKeyInfo<'a>, KeyError> {
    EncryptedPrivateKeyInfo::try_from(der.as_bytes()).map_err(|_| KeyError::Method(path.to_owned()))
}

/// How the key is derived from the passphrase, if this takes no more than there is.
fn affordable<'a>(info: &EncryptedPrivateKeyInfo<'a>, path: &Path) -> Result<Kdf<'a>, KeyError> {
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::Method(path.to_owned()));
    };
    let fits = match &parameters.kdf {
        Kdf::Scrypt(it) => {
            let (r, p) = (u64::from(it.block_size), u64::from(it.parallelization));
            let memory = it.cost_parameter.saturating_mul(128 * r);
            it.cost_parameter.is_power_of_two()
                && it.cost_parameter > 1
                && (1..=SCRYPT_P_MAX).contains(&p)
                && (1..=SCRYPT_BYTES_MAX).contains(&memory)
        }
        Kdf::Pbkdf2(it) => (1..=PBKDF2_ROUNDS_MAX).contains(&it.iteration_count),
        _ => return Err(KeyError::Method(path.to_owned())),
    };
    if fits { Ok(parameters.kdf.clone()) } else { Err(KeyError::Cost(path.to_owned())) }
}

fn encode(key: &SigningKey, passphrase: Option<&Secret>) -> Result<Zeroizing<String>, KeyError> {
    // without the public half, which version 3.0 of OpenSSL does not expect there
    let bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let plain = bytes.to_pkcs8_der().map_err(|_| KeyError::Encode)?;
    let Some(passphrase) = passphrase else {
        return plain
            .to_pem(PrivateKeyInfo::PEM_LABEL, LineEnding::LF)
            .map_err(|_| KeyError::Encode);
    };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).map_err(|_| KeyError::Random)?;
    getrandom::fill(&mut iv).map_err(|_| KeyError::Random)?;
    let scrypt = ScryptParams {
        salt: &salt,
        cost_parameter: SCRYPT_N,
        block_size: SCRYPT_R,
        parallelization: SCRYPT_P,
        key_length: None,
    };
    let parameters = pbes2::Parameters {
        kdf: scrypt.into(),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: &iv },
    };
    let info = PrivateKeyInfo::try_from(plain.as_bytes()).map_err(|_| KeyError::Encode)?;
    info.encrypt_with_params(parameters, passphrase.expose())
        .ok()
        .and_then(|it| it.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).ok())
        .ok_or(KeyError::Encode)
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Bytes of a key file.
const FILE_BYTES_MAX: usize = 16 << 10;
/// As much as N = 2^17, r = 8 by the recommendation of OWASP, in less memory: OpenSSL allows itself
/// 32 MiB.
const SCRYPT_N: u64 = 1 << 14;
const SCRYPT_R: u16 = 8;
const SCRYPT_P: u16 = 5;
/// Memory that a key file may ask for.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
const SCRYPT_P_MAX: u64 = 16;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
const _: () = assert!(SCRYPT_N * 128 * SCRYPT_R as u64 <= SCRYPT_BYTES_MAX);
const _: () = assert!(SCRYPT_P as u64 <= SCRYPT_P_MAX);

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
