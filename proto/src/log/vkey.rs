//! Verifier keys (C2SP signed-note) and short notes that are signed by one of them.

use std::{fmt, str::FromStr};

use base64::prelude::{BASE64_STANDARD, Engine};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use signed_note::key_id;

use super::note::{LandSignature, Note, NoteError, signature_line};

/// A public key with the name it signs under; written `<name>+<key id>+<base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

/// The text is no verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseVerifierKeyError {
    /// Not three parts, or a part has another form.
    #[error("expected <name>+<8 hexadecimal digits>+<base64 of an Ed25519 key>")]
    Form,
    /// The name cannot stand in a note.
    #[error("{0:?} is no name of a key: 1 to 100 printable characters without space and plus")]
    Name(String),
    /// The key id is that of another key or name.
    #[error("the key id is {found:08x}, that of this name and key is {expected:08x}")]
    Id {
        /// Id in the text.
        found: u32,
        /// Id of name and key.
        expected: u32,
    },
}

/// A note that nobody known signed, or that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyNoteError {
    /// No note.
    #[error("cannot read the note")]
    Note(#[source] NoteError),
    /// No signature of a known key.
    #[error("none of the known keys signed the note")]
    Unknown,
    /// A signature of a known key that does not fit the text, or stands there twice.
    #[error("the signature of {name} is wrong")]
    Wrong {
        /// Name of the key.
        name: String,
    },
}

/// Signs a text as a note.
///
/// # Errors
///
/// [`NoteError`] if the text cannot stand in a note: it MUST end with a newline and have no other
/// control character.
pub fn sign_note(text: &str, key: &VerifierKey, signing: &SigningKey) -> Result<String, NoteError> {
    let signature = signing.sign(text.as_bytes());
    let note = format!("{text}\n{}", signature_line(&key.name, &key.key, &signature));
    if Note::parse(note.as_bytes())?.text == text { Ok(note) } else { Err(NoteError::Unterminated) }
}

/// The text of a note that one of the keys signed, and that key. Lines of other keys are allowed;
/// a wrong line of a known key is not.
///
/// # Errors
///
/// See [`VerifyNoteError`].
pub fn verify_note<'n, 'k>(
    raw: &'n [u8],
    keys: &'k [VerifierKey],
) -> Result<(&'n str, &'k VerifierKey), VerifyNoteError> {
    let note = Note::parse(raw).map_err(VerifyNoteError::Note)?;
    let mut signer = None;
    for key in keys {
        match note.verify(&key.name, &key.key) {
            Ok(()) => signer = signer.or(Some(key)),
            Err(NoteError::Missing { which: LandSignature::Log }) => {}
            Err(_) => return Err(VerifyNoteError::Wrong { name: key.name.clone() }),
        }
    }
    signer.map(|key| (note.text, key)).ok_or(VerifyNoteError::Unknown)
}

// === impl VerifierKey ===

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    ///
    /// [`ParseVerifierKeyError::Name`].
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, ParseVerifierKeyError> {
        let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
        if fits {
            Ok(Self { name: name.to_owned(), key })
        } else {
            Err(ParseVerifierKeyError::Name(name.chars().take(32).collect()))
        }
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    fn encoded(&self) -> [u8; 33] {
        let mut encoded = [ED25519; 33];
        encoded[1..].copy_from_slice(self.key.as_bytes());
        encoded
    }
}

impl FromStr for VerifierKey {
    type Err = ParseVerifierKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseVerifierKeyError as E;
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(E::Form);
        };
        let mut found = [0; 4];
        hex::decode_to_slice(id, &mut found).map_err(|_| E::Form)?;
        let key = BASE64_STANDARD.decode(key).map_err(|_| E::Form)?;
        let key = match key.split_first() {
            Some((&ED25519, key)) => VerifyingKey::try_from(key).map_err(|_| E::Form)?,
            _ => return Err(E::Form),
        };
        let this = Self::new(name, key)?;
        let (found, expected) = (u32::from_be_bytes(found), key_id(name, &this.encoded()));
        if found == expected { Ok(this) } else { Err(E::Id { found, expected }) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = self.encoded();
        let id = key_id(&self.name, &encoded);
        write!(f, "{}+{id:08x}+{}", self.name, BASE64_STANDARD.encode(encoded))
    }
}

const ED25519: u8 = 0x01;
const NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Example of the documentation of golang.org/x/mod/sumdb/note.
    const PUBLISHED: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn pair(seed: u8, name: &str) -> (SigningKey, VerifierKey) {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let key = VerifierKey::new(name, signing.verifying_key()).unwrap();
        (signing, key)
    }

    #[test]
    fn a_published_key_parses_and_prints() {
        let key: VerifierKey = PUBLISHED.parse().unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", PUBLISHED));
        let other = PUBLISHED.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>();
        assert!(matches!(other, Err(ParseVerifierKeyError::Id { .. })));
        for bad in ["", "a", "a+b", "a+c74f20a3+", "a+c74f20a3+AA==", "+00000000+AAAA"] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
        for name in ["", "a b", "a+b", "a\n"] {
            assert!(VerifierKey::new(name, *key.key()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_note_names_its_signer() {
        let ((signing, one), (_, other)) = (pair(1, "one.example"), pair(2, "other.example"));
        let note = sign_note("a\nb\n", &one, &signing).unwrap();
        let keys = [other.clone(), one.clone()];
        assert_eq!(verify_note(note.as_bytes(), &keys), Ok(("a\nb\n", &one)));
        assert_eq!(verify_note(note.as_bytes(), &[other]), Err(VerifyNoteError::Unknown));
        assert_eq!(verify_note(note.as_bytes(), &[]), Err(VerifyNoteError::Unknown));
        let wrong = Err(VerifyNoteError::Wrong { name: "one.example".to_owned() });
        assert_eq!(verify_note(note.replacen('a', "c", 1).as_bytes(), &keys), wrong);
        assert!(matches!(verify_note(b"a\n", &keys), Err(VerifyNoteError::Note(_))));
        assert!(sign_note("a", &one, &signing).is_err());
        assert!(sign_note("a\r\n", &one, &signing).is_err());
    }
}
