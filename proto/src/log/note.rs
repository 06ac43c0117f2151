//! Signed notes (C2SP signed-note) with Ed25519 signatures and timestamped cosignatures (C2SP
//! tlog-cosignature).
//!
//! Signature lines are read and written by the crate `signed_note`, and key ids are its. Its
//! `Note::verify` is not used: it verifies the first line of a key only and passes over further
//! ones unseen, it cannot say which key failed, it knows no cosignature, and it accepts what
//! `verify` of dalek accepts, where we want [`VerifyingKey::verify_strict`] so that all nodes of
//! a Verbund always agree.

use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::key_id;

/// Bytes of a signed note; enough for 64 Ed25519 cosignatures beside our two lines.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Signature lines of a note: the two of the Land and at most 64 of others.
pub const NOTE_SIGNATURES_MAX: usize = 2 + 64;

const ED25519: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;

const _: () = assert!(NOTE_BYTES_MAX >= 200 * NOTE_SIGNATURES_MAX);

/// Why bytes are no note, or a note is not signed as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too many bytes.
    #[error("a note has at most {NOTE_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No UTF-8.
    #[error("a note is UTF-8")]
    NotUtf8,
    /// A control character other than the newline.
    #[error("a note has no control character but the newline")]
    ControlCharacter,
    /// No empty line before the signatures.
    #[error("no empty line divides text and signatures")]
    NoSignatureBlock,
    /// The last line does not end.
    #[error("the last line of the note has no newline")]
    Unterminated,
    /// Too many signature lines.
    #[error("a note has at most {NOTE_SIGNATURES_MAX} signature lines, found {found}")]
    TooManySignatures {
        /// Lines found.
        found: usize,
    },
    /// A line of the signature block is no signature line.
    #[error("line {at} of the signatures is malformed")]
    SignatureLine {
        /// Line, from 1.
        at: usize,
    },
    /// A signature that must be there is not.
    #[error("the {which} is missing")]
    Missing {
        /// LandSignature one.
        which: LandSignature,
    },
    /// A key signed twice.
    #[error("the {which} stands there twice")]
    Twice {
        /// LandSignature one.
        which: LandSignature,
    },
    /// A signature is wrong.
    #[error("the {which} is wrong")]
    Wrong {
        /// LandSignature one.
        which: LandSignature,
    },
}

/// The two signatures of a Land under a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LandSignature {
    /// Plain Ed25519 over the text.
    Log,
    /// `cosignature/v1`, with a time.
    Freshness,
}

/// A note taken apart; nothing is verified yet.
#[derive(Debug)]
pub(super) struct Note<'a> {
    /// With its last newline.
    pub(super) text: &'a str,
    signatures: Vec<signed_note::Signature>,
}

/// Line of a plain Ed25519 signature.
pub(super) fn signature_line(name: &str, key: &VerifyingKey, signature: &Signature) -> String {
    line(name, id(name, ED25519, key), &signature.to_bytes())
}

/// Line of a timestamped cosignature.
pub(super) fn cosignature_line(
    name: &str,
    key: &VerifyingKey,
    unix_seconds: u64,
    signature: &Signature,
) -> String {
    let mut blob = [0; 72];
    blob[..8].copy_from_slice(&unix_seconds.to_be_bytes());
    blob[8..].copy_from_slice(&signature.to_bytes());
    line(name, id(name, COSIGNATURE_V1, key), &blob)
}

/// What a cosignature signs.
pub(super) fn cosigned_message(unix_seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

// === impl Note ===

impl<'a> Note<'a> {
    /// Takes a note apart. Lines of keys that nobody here knows are allowed.
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, NoteError> {
        if raw.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { found: raw.len() });
        }
        let note = std::str::from_utf8(raw).map_err(|_| NoteError::NotUtf8)?;
        if note.bytes().any(|b| b != b'\n' && b.is_ascii_control()) {
            return Err(NoteError::ControlCharacter);
        }
        let divide = note.rfind("\n\n").ok_or(NoteError::NoSignatureBlock)?;
        let (text, block) = (&note[..=divide], &note[divide + 2..]);
        let lines = block.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
        let found = lines.split('\n').count();
        if found > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures { found });
        }
        let signatures = lines.split('\n').enumerate().map(|(at, line)| {
            signed_note::Signature::from_bytes(line.as_bytes())
                .map_err(|_| NoteError::SignatureLine { at: at + 1 })
        });
        Ok(Self { text, signatures: signatures.collect::<Result<_, _>>()? })
    }

    /// Verifies the plain signature of `key`.
    pub(super) fn verify(&self, name: &str, key: &VerifyingKey) -> Result<(), NoteError> {
        let which = LandSignature::Log;
        let blob = self.only(name, id(name, ED25519, key), which)?;
        let signature = Signature::from_slice(blob).map_err(|_| NoteError::Wrong { which })?;
        key.verify_strict(self.text.as_bytes(), &signature).map_err(|_| NoteError::Wrong { which })
    }

    /// Verifies the cosignature of `key` and returns its time.
    pub(super) fn verify_cosignature(
        &self,
        name: &str,
        key: &VerifyingKey,
    ) -> Result<u64, NoteError> {
        let which = LandSignature::Freshness;
        let blob = self.only(name, id(name, COSIGNATURE_V1, key), which)?;
        let (time, signature) = blob.split_first_chunk().ok_or(NoteError::Wrong { which })?;
        let unix_seconds = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).map_err(|_| NoteError::Wrong { which })?;
        key.verify_strict(cosigned_message(unix_seconds, self.text).as_bytes(), &signature)
            .map_err(|_| NoteError::Wrong { which })?;
        Ok(unix_seconds)
    }

    /// The two lines of the owner of a checkpoint, without those of others.
    pub(super) fn owner_lines(
        &self,
        name: &str,
        log: &VerifyingKey,
        freshness: &VerifyingKey,
    ) -> Result<String, NoteError> {
        let (log, freshness) = (id(name, ED25519, log), id(name, COSIGNATURE_V1, freshness));
        let first = line(name, log, self.only(name, log, LandSignature::Log)?);
        let second = line(name, freshness, self.only(name, freshness, LandSignature::Freshness)?);
        Ok(first + &second)
    }

    /// True if a key of this name signed that need not be a known one.
    pub(super) fn is_signed(&self, name: &str, which: LandSignature) -> bool {
        let length = match which {
            LandSignature::Log => 64,
            LandSignature::Freshness => 72,
        };
        self.signatures.iter().any(|it| it.name() == name && it.signature().len() == length)
    }

    fn only(&self, name: &str, id: u32, which: LandSignature) -> Result<&[u8], NoteError> {
        let mut lines = self.signatures.iter().filter(|s| s.id() == id && s.name() == name);
        match (lines.next(), lines.next()) {
            (Some(line), None) => Ok(line.signature()),
            (None, _) => Err(NoteError::Missing { which }),
            (Some(_), Some(_)) => Err(NoteError::Twice { which }),
        }
    }
}

// === impl LandSignature ===

impl std::fmt::Display for LandSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "signature of the log key",
            Self::Freshness => "cosignature of the freshness key",
        })
    }
}

fn id(name: &str, algorithm: u8, key: &VerifyingKey) -> u32 {
    let mut encoded = [algorithm; 33];
    encoded[1..].copy_from_slice(key.as_bytes());
    key_id(name, &encoded)
}

fn line(name: &str, id: u32, signature: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let blob = [&id.to_be_bytes(), signature].concat();
    format!("\u{2014} {name} {}\n", BASE64_STANDARD.encode(blob))
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine};

    use super::*;

    /// Example of the documentation of golang.org/x/mod/sumdb/note, signed by two.
    const PETER_NEUMANN: &str = "\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=
";

    /// A key as it is published: `<name>+<key id>+<base64 of algorithm and key>`.
    fn published(text: &str) -> (&str, u32, u8, VerifyingKey) {
        let parts: Vec<_> = text.splitn(3, '+').collect();
        let id = u32::from_str_radix(parts[1], 16).unwrap();
        let key = BASE64_STANDARD.decode(parts[2]).unwrap();
        (parts[0], id, key[0], VerifyingKey::try_from(&key[1..]).unwrap())
    }

    #[test]
    fn the_published_note_verifies_under_both_published_keys() {
        let note = Note::parse(PETER_NEUMANN.as_bytes()).unwrap();
        for text in [
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        ] {
            let (name, key_id, algorithm, key) = published(text);
            assert_eq!((algorithm, id(name, algorithm, &key)), (ED25519, key_id));
            assert_eq!(note.verify(name, &key), Ok(()));
            let missing = Err(NoteError::Missing { which: LandSignature::Log });
            assert_eq!(note.verify("EnochRoo", &key), missing);
            let missing = Err(NoteError::Missing { which: LandSignature::Freshness });
            assert_eq!(note.verify_cosignature(name, &key), missing);
        }
        let text = PETER_NEUMANN.replacen("answer", "Answer", 1);
        let note = Note::parse(text.as_bytes()).unwrap();
        let (name, _, _, key) =
            published("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
        let wrong = NoteError::Wrong { which: LandSignature::Log };
        assert_eq!(note.verify(name, &key), Err(wrong));
    }

    #[test]
    fn key_id_of_a_published_cosigner() {
        // test of transparency-dev/formats, "native algEd25519CosignatureV1 verifier"
        let text = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
        let (name, key_id, algorithm, key) = published(text);
        assert_eq!((algorithm, id(name, COSIGNATURE_V1, &key)), (COSIGNATURE_V1, key_id));
    }

    #[test]
    fn time_stands_where_a_published_cosignature_has_it() {
        // test of transparency-dev/formats, TestCoSigV1Timestamp
        let blob = "ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gx\
                    EHWWOworDcFiEBYJXORmnFBOBA==";
        let bytes = BASE64_STANDARD.decode(blob).unwrap();
        let signature = Signature::from_slice(&bytes[12..]).unwrap();
        // the key id comes from another key; everything after it is the time and the signature
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        let line = cosignature_line("witness", &key, 1_727_964_367, &signature);
        let ours = line.trim_end().rsplit(' ').next().unwrap();
        assert_eq!(BASE64_STANDARD.decode(ours).unwrap()[4..], bytes[4..]);
    }

    #[test]
    fn the_published_checkpoint_comes_apart() {
        // example of c2sp.org/tlog-checkpoint; its key is not published
        let raw = "example.com/behind-the-sofa\n20852163\n\
                   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                   \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDe\
                   OoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let note = Note::parse(raw.as_bytes()).unwrap();
        assert_eq!(note.text.lines().nth(1), Some("20852163"));
        let signature = &note.signatures[0];
        assert_eq!(signature.name(), "example.com/behind-the-sofa");
        assert_eq!((signature.id(), signature.signature().len()), (0x033d_e0ae, 64));
    }

    #[test]
    fn malformed_notes_are_refused_by_name() {
        use NoteError as E;
        let line = PETER_NEUMANN.lines().nth(3).unwrap();
        let lines = |n: usize| format!("text\n\n{}", format!("{line}\n").repeat(n));
        let long = format!("{}\n\n{line}\n", "x".repeat(NOTE_BYTES_MAX));
        for (raw, expect) in [
            (String::new(), E::NoSignatureBlock),
            ("text\n".into(), E::NoSignatureBlock),
            (format!("text\n{line}\n"), E::NoSignatureBlock),
            ("text\n\n".into(), E::Unterminated),
            (format!("text\n\n{line}"), E::Unterminated),
            ("text\n\n\n".into(), E::Unterminated),
            (format!("text\r\n\n{line}\n"), E::ControlCharacter),
            (format!("te\0xt\n\n{line}\n"), E::ControlCharacter),
            (format!("te\u{7f}xt\n\n{line}\n"), E::ControlCharacter),
            (format!("text\n\n{line}\n{line} \n"), E::SignatureLine { at: 2 }),
            (format!("text\n\n-{}\n", &line[3..]), E::SignatureLine { at: 1 }),
            ("text\n\n\u{2014} name \n".into(), E::SignatureLine { at: 1 }),
            ("text\n\n\u{2014} name AAAA\n".into(), E::SignatureLine { at: 1 }),
            ("text\n\n\u{2014} na+me AAAAAAAA\n".into(), E::SignatureLine { at: 1 }),
            (lines(NOTE_SIGNATURES_MAX + 1), E::TooManySignatures { found: 67 }),
            (long.clone(), E::TooLong { found: long.len() }),
        ] {
            let got = Note::parse(raw.as_bytes()).map(|note| note.text.to_owned());
            assert_eq!(got, Err(expect), "{raw:?}");
        }
        let not_utf8 = [b"te\xffxt\n\n", line.as_bytes(), b"\n"].concat();
        assert_eq!(Note::parse(&not_utf8).map(|_| ()), Err(E::NotUtf8));
        assert!(Note::parse(lines(NOTE_SIGNATURES_MAX).as_bytes()).is_ok());
    }
}
