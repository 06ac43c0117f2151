//! Where a key is: a file, or an object in a token, named by the URI scheme `pkcs11:` (RFC 7512).

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::keys::{SecretSource, UriError};

/// Where a signing key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A PKCS#8 file.
    File(PathBuf),
    /// A token that never gives it out.
    Token(Box<TokenUri>),
}

/// A key in a token, and the module that leads there. Holds no PIN, only where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUri {
    /// Label of the token.
    pub token: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Label of the key.
    pub object: Option<String>,
    /// Identifier of the key.
    pub id: Option<Vec<u8>>,
    /// The PKCS#11 library; absolute.
    pub module: PathBuf,
    /// Where the PIN comes from, if not from where the others do.
    pub pin: Option<SecretSource>,
}

// === impl KeyPlace ===

impl KeyPlace {
    /// Reads a path, which counts from `base`, or a URI that begins with `pkcs11:`.
    ///
    /// # Errors
    ///
    /// The URI names no key.
    pub fn parse(text: &str, base: &Path) -> Result<Self, UriError> {
        if is_uri(text) {
            return Ok(Self::Token(Box::new(TokenUri::parse(text)?)));
        }
        Ok(Self::File(base.join(text)))
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
        }
    }
}

// === impl TokenUri ===

impl TokenUri {
    /// Reads a URI that names one key, the module, and no PIN. Schemes are compared without case,
    /// all else as it stands (RFC 7512, 2.3 and 2.6).
    ///
    /// # Errors
    ///
    /// See [`UriError`]. What is not understood is refused, because it might choose another key.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > URI_BYTES_MAX {
            return Err(UriError::TooLong(URI_BYTES_MAX));
        }
        if !is_uri(text) {
            return Err(UriError::Scheme);
        }
        let rest = text.get(SCHEME.len()..).unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let mut seen = Vec::new();
        let path = path.split(';').map(|it| (it, false));
        let query = query.split('&').map(|it| (it, true));
        for (attribute, in_query) in path.chain(query).filter(|(it, _)| !it.is_empty()) {
            // whatever else is wrong with it, it is not repeated in a message
            if attribute.to_ascii_lowercase().contains("pin-value") {
                return Err(UriError::PinValue);
            }
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| UriError::Malformed(attribute.to_owned()))?;
            if seen.contains(&name) {
                return Err(UriError::Twice(name.to_owned()));
            }
            seen.push(name);
            let malformed = || UriError::Malformed(attribute.to_owned());
            let value = decoded(value).ok_or_else(malformed)?;
            if !uri.take(name, in_query, value).ok_or_else(malformed)?? {
                return Err(UriError::Unknown(name.to_owned()));
            }
        }
        uri.complete()
    }

    /// Sets an attribute; `Some(Ok(false))` if there is none of this name, `None` if the value
    /// cannot be used.
    fn take(
        &mut self,
        name: &str,
        in_query: bool,
        value: Vec<u8>,
    ) -> Option<Result<bool, UriError>> {
        if (name, in_query) == ("id", false) {
            self.id = Some(value).filter(|it| !it.is_empty());
            return self.id.is_some().then_some(Ok(true));
        }
        let value = String::from_utf8(value).ok().filter(|it| !it.is_empty())?;
        match (name, in_query) {
            ("token", false) => self.token = Some(value),
            ("serial", false) => self.serial = Some(value),
            ("manufacturer", false) => self.manufacturer = Some(value),
            ("model", false) => self.model = Some(value),
            ("object", false) => self.object = Some(value),
            ("type", false) if value == "private" => {}
            ("type", false) => return Some(Err(UriError::Type(value))),
            ("module-path", true) => self.module = PathBuf::from(value),
            ("pin-source", true) => match pin_source(&value) {
                Some(source) => self.pin = Some(source),
                None => return Some(Err(UriError::PinSource(value))),
            },
            _ => return Some(Ok(false)),
        }
        Some(Ok(true))
    }

    fn complete(self) -> Result<Self, UriError> {
        if self.token.is_none() && self.serial.is_none() {
            return Err(UriError::NoToken);
        }
        if self.object.is_none() && self.id.is_none() {
            return Err(UriError::NoObject);
        }
        if self.module.as_os_str().is_empty() {
            return Err(UriError::NoModule);
        }
        if !self.module.is_absolute() {
            return Err(UriError::RelativeModule(self.module));
        }
        Ok(self)
    }
}

/// The part that names the key, as a URI.
impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        let texts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.object),
        ];
        let texts =
            texts.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?.as_bytes())));
        let id = self.id.as_deref().map(|it| ("id", it));
        for (at, (name, value)) in texts.chain(id).enumerate() {
            f.write_str(if at == 0 { "" } else { ";" })?;
            write!(f, "{name}=")?;
            for byte in value {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
                        if name != "id" =>
                    {
                        write!(f, "{}", char::from(*byte))?;
                    }
                    byte => write!(f, "%{byte:02X}")?,
                }
            }
        }
        Ok(())
    }
}

/// What may be shown of a place as it was written: all but a PIN that should not be there.
pub fn shown(text: &str) -> String {
    let Some(at) = text.to_ascii_lowercase().find("pin-value") else { return text.to_owned() };
    format!("{}pin-value…", text.get(..at).unwrap_or_default())
}

fn is_uri(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|it| it.eq_ignore_ascii_case(SCHEME))
}

fn pin_source(text: &str) -> Option<SecretSource> {
    let (scheme, rest) = text.split_once(':')?;
    match scheme {
        "file" => {
            let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
            path.is_absolute().then(|| SecretSource::File(path.to_owned()))
        }
        "fd" => rest.parse().ok().map(SecretSource::Descriptor),
        "credential" => Some(SecretSource::Credential(rest.to_owned())),
        _ => None,
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        bytes.push(byte[0]);
        rest = behind;
    }
    Some(bytes)
}

const SCHEME: &str = "pkcs11:";
/// Bytes of a URI.
const URI_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "module-path=/usr/lib/m.so";

    /// The key a URI names, or why it names none.
    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        let got = TokenUri::parse(text);
        let got = got
            .map(|it| format!("{it} {} {:?}", it.module.display(), it.pin))
            .map_err(|it| format!("{it:?}").split(['(', ' ']).next().unwrap().to_owned());
        assert_eq!(got.as_deref().map_err(String::as_str), expect, "{text}");
    }

    #[test]
    fn a_key_is_named_by_token_and_object() {
        let module = "/usr/lib/m.so None";
        check(
            &format!("pkcs11:token=Verbund;object=log?{MODULE}"),
            Ok(&format!("pkcs11:token=Verbund;object=log {module}")),
        );
        check(
            &format!("PKCS11:id=%01%aF;type=private;serial=ab%20c?{MODULE}"),
            Ok(&format!("pkcs11:serial=ab%20c;id=%01%AF {module}")),
        );
        check(
            &format!("pkcs11:token=a%3Bb;object=%C3%A4;model=m;manufacturer=n?{MODULE}"),
            Ok(&format!("pkcs11:token=a%3Bb;manufacturer=n;model=m;object=%C3%A4 {module}")),
        );
    }

    #[test]
    fn a_pin_comes_from_elsewhere() {
        let pin = |source: &str, expect: Result<&str, &str>| {
            let text = format!("pkcs11:token=a;object=b?{MODULE}&pin-source={source}");
            let expect = expect.map(|it| format!("pkcs11:token=a;object=b /usr/lib/m.so {it}"));
            check(&text, expect.as_deref().map_err(|it| *it));
        };
        pin("file:/etc/pin", Ok("Some(File(\"/etc/pin\"))"));
        pin("file:///etc/pin", Ok("Some(File(\"/etc/pin\"))"));
        pin("fd:3", Ok("Some(Descriptor(3))"));
        pin("credential:pin", Ok("Some(Credential(\"pin\"))"));
        for refused in ["file:pin", "/etc/pin", "|cat", "fd:x", "https://a/b"] {
            pin(refused, Err("PinSource"));
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        let all = [
            ("token=a;object=b", "NoModule"),
            ("token=a;object=b?module-path=m.so", "RelativeModule"),
            ("token=a?module-path=/m", "NoObject"),
            ("object=b?module-path=/m", "NoToken"),
            ("token=a;token=b;object=c?module-path=/m", "Twice"),
            ("token=a;object=b;slot-id=1?module-path=/m", "Unknown"),
            ("token=a;object=b;module-path=/m", "Unknown"),
            ("token=a;object=b?module-name=m", "Unknown"),
            ("token=a;object=b;type=cert?module-path=/m", "Type"),
            ("token=%4;object=b?module-path=/m", "Malformed"),
            ("token=%+1;object=b?module-path=/m", "Malformed"),
            ("token=%ff;object=b?module-path=/m", "Malformed"),
            ("token=;object=b?module-path=/m", "Malformed"),
            ("token=a;id=?module-path=/m", "Malformed"),
            ("token;object=b?module-path=/m", "Malformed"),
            ("token=a;object=b?module-path=/m&pin-value=1234", "PinValue"),
            ("token=a;object=b;pin-value=1234?module-path=/m", "PinValue"),
            ("", "NoToken"),
        ];
        for (text, expect) in all {
            check(&format!("pkcs11:{text}"), Err(expect));
        }
        check("file:/etc/key", Err("Scheme"));
        check(&format!("pkcs11:token={}", "a".repeat(URI_BYTES_MAX)), Err("TooLong"));
    }

    #[test]
    fn a_pin_that_should_not_be_there_is_not_shown() {
        let text = "pkcs11:token=a;object=b?PIN-value=1234&module-path=/m";
        assert_eq!(shown(text), "pkcs11:token=a;object=b?pin-value…");
        let error = TokenUri::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("1234"));
        assert_eq!(shown("log.key"), "log.key");
    }

    #[test]
    fn all_else_is_a_path() {
        let place = KeyPlace::parse("log.key", Path::new("/home")).unwrap();
        assert_eq!(place, KeyPlace::File("/home/log.key".into()));
        assert!(matches!(KeyPlace::parse("pkcs11:", Path::new("")), Err(UriError::NoToken)));
    }

    #[test]
    fn no_text_makes_a_panic() {
        let text = format!("pkcs11:token=ä%C3;id=%01;object=b?{MODULE}&pin-source=fd:3");
        for at in (0..=text.len()).filter(|it| text.is_char_boundary(*it)) {
            let (before, behind) = text.split_at(at);
            for between in ["", "%", "=", ";", "?", "&", "ß"] {
                let _any = TokenUri::parse(&format!("{before}{between}{behind}"));
                let _any = TokenUri::parse(&format!("{before}{between}"));
            }
        }
    }
}
