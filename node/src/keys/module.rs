//! A PKCS#11 library and the tokens it leads to.

use std::{
    collections::BTreeSet,
    fmt, fs, mem,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::keys::{Secret, TokenError, TokenUri};

/// A library that is loaded, and stays so until the process ends: it may have threads of its own,
/// and may not bear to be unloaded.
pub(super) struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
    /// Tokens that refused a PIN: to try again could lock them.
    refused: BTreeSet<String>,
}

/// A key that can sign in a session of its own.
pub(super) struct OpenedKey {
    session: Session,
    private: ObjectHandle,
    /// The public half, if it is in the token.
    pub(super) public: Option<VerifyingKey>,
    /// Whether the token would give the key out.
    pub(super) exportable: bool,
    name: String,
}

// === impl Module ===

impl Module {
    /// Loads the library. It runs in this process, so nobody else may be able to change it.
    pub(super) fn load(path: &Path) -> Result<Self, TokenError> {
        let missing = |source| TokenError::NoModule { path: path.to_owned(), source };
        let data = fs::metadata(path).map_err(missing)?;
        let mode = data.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(TokenError::ModuleMode { path: path.to_owned(), mode });
        }
        let unusable = |error: Error| {
            let cause = match error {
                Error::LibraryLoading(cause) => cause.to_string(),
                other => code(&other),
            };
            TokenError::Load { path: path.to_owned(), cause }
        };
        let pkcs11 = Pkcs11::new(path).map_err(unusable)?;
        mem::forget(pkcs11.clone());
        let module = Self { path: path.to_owned(), pkcs11, refused: BTreeSet::new() };
        module.initialize()?;
        Ok(module)
    }

    /// Lets the library begin anew; all sessions MUST be gone. Some find a token again only so.
    pub(super) fn restart(&self) -> Result<(), TokenError> {
        // a library that has lost its token may fail here, and begin all the same
        let _failed = self.pkcs11.clone().finalize();
        self.initialize()
    }

    fn initialize(&self) -> Result<(), TokenError> {
        let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match self.pkcs11.initialize(args) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(error) => {
                Err(TokenError::Initialize { path: self.path.clone(), code: code(&error) })
            }
        }
    }

    /// Opens a key in a session of its own.
    pub(super) fn open(
        &mut self,
        uri: &TokenUri,
        pin: Option<&Secret>,
    ) -> Result<OpenedKey, TokenError> {
        let session = self.session(uri, pin, false)?;
        let private = find(&session, uri, ObjectClass::PRIVATE_KEY)?;
        let private = match private[..] {
            [one] => one,
            [] => {
                let there = labels(&session);
                return Err(TokenError::NoKey { uri: uri.to_string(), there });
            }
            [..] => {
                let count = private.len();
                return Err(TokenError::SeveralKeys { uri: uri.to_string(), count });
            }
        };
        let name = uri.to_string();
        let mut exportable = true;
        for attribute in attributes(&session, private, &KEY_ATTRIBUTES)? {
            let fits = match attribute {
                Attribute::KeyType(it) => it == KeyType::EC_EDWARDS,
                Attribute::EcParams(it) => CURVES.contains(&it.as_slice()),
                Attribute::Extractable(it) => {
                    exportable = it;
                    true
                }
                _ => true,
            };
            if !fits {
                return Err(TokenError::NotEd25519(name));
            }
        }
        let public = match find(&session, uri, ObjectClass::PUBLIC_KEY)?[..] {
            [one] => public_half(&session, one)?,
            _ => None,
        };
        Ok(OpenedKey { session, private, public, exportable, name })
    }

    /// Makes a key that never leaves the token.
    pub(super) fn generate(
        &mut self,
        uri: &TokenUri,
        pin: Option<&Secret>,
    ) -> Result<(), TokenError> {
        let session = self.session(uri, pin, true)?;
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if !find(&session, uri, class)?.is_empty() {
                return Err(TokenError::Exists(uri.to_string()));
            }
        }
        let id = match &uri.id {
            Some(id) => id.clone(),
            None => {
                let mut id = [0; 16];
                getrandom::fill(&mut id).map_err(|_| TokenError::Random)?;
                id.to_vec()
            }
        };
        let label = uri.object.clone().unwrap_or_else(|| hex::encode(&id)).into_bytes();
        let common = [
            Attribute::Token(true),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(label),
            Attribute::Id(id),
        ];
        let mut public = common.to_vec();
        public.extend([
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(CURVES[0].to_vec()),
        ]);
        let mut private = common.to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        session
            .generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
            .map(|_| ())
            .map_err(failed("das Erzeugen des Schlüssels"))
    }

    /// A session in which the user is logged in.
    fn session(
        &mut self,
        uri: &TokenUri,
        pin: Option<&Secret>,
        writing: bool,
    ) -> Result<Session, TokenError> {
        let (slot, info) = self.slot(uri)?;
        let known =
            self.pkcs11.get_mechanism_list(slot).map_err(failed("die Frage nach den Verfahren"))?;
        if !known.contains(&MechanismType::EDDSA) {
            return Err(TokenError::NoEddsa(info.label().to_owned()));
        }
        let opened = match writing {
            true => self.pkcs11.open_rw_session(slot),
            false => self.pkcs11.open_ro_session(slot),
        };
        let session = opened.map_err(failed("das Öffnen einer Sitzung"))?;
        self.login(&session, slot, &info, pin)?;
        Ok(session)
    }

    /// The one token a URI means.
    fn slot(&self, uri: &TokenUri) -> Result<(Slot, TokenInfo), TokenError> {
        let slots =
            self.pkcs11.get_slots_with_token().map_err(failed("die Frage nach den Token"))?;
        // one that does not answer is as good as not there
        let with_info = |slot| Some((slot, self.pkcs11.get_token_info(slot).ok()?));
        let there: Vec<_> = slots.into_iter().filter_map(with_info).collect();
        let fits = |info: &TokenInfo| {
            let fits = |want: &Option<String>, is: &str| want.as_ref().is_none_or(|it| it == is);
            info.token_initialized()
                && fits(&uri.token, info.label())
                && fits(&uri.serial, info.serial_number())
                && fits(&uri.manufacturer, info.manufacturer_id())
                && fits(&uri.model, info.model())
        };
        let mut fitting = there.iter().filter(|(_, info)| fits(info));
        match (fitting.next(), fitting.next()) {
            (Some((slot, info)), None) => Ok((*slot, info.clone())),
            (None, _) => {
                let known = there.iter().filter(|(_, info)| info.token_initialized());
                let there = list(known.map(|(_, info)| format!("«{}»", info.label())));
                Err(TokenError::NoToken { uri: uri.to_string(), there })
            }
            (Some(_), Some(_)) => {
                let all = there.iter().filter(|(_, info)| fits(info));
                let there =
                    list(all.map(|(_, it)| format!("«{}» {}", it.label(), it.serial_number())));
                Err(TokenError::SeveralTokens { uri: uri.to_string(), there })
            }
        }
    }

    fn login(
        &mut self,
        session: &Session,
        slot: Slot,
        info: &TokenInfo,
        pin: Option<&Secret>,
    ) -> Result<(), TokenError> {
        if !info.login_required() {
            return Ok(());
        }
        let label = || info.label().to_owned();
        let pin = pin.ok_or_else(|| TokenError::NoPin(label()))?;
        let token = format!("{} {}", info.serial_number(), info.label());
        if self.refused.contains(&token) {
            return Err(TokenError::WrongPin(label()));
        }
        // asked anew: other processes use the token too
        let info = self.pkcs11.get_token_info(slot).map_err(failed("die Frage nach dem Token"))?;
        may_try(Tries::of(&info), info.label())?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.expose().into()))) {
            // in another session of this process
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => {
                self.refused.insert(token);
                Err(TokenError::WrongPin(label()))
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::Locked(label())),
            Err(Error::Pkcs11(RvError::PinExpired | RvError::UserPinNotInitialized, _)) => {
                Err(TokenError::PinNotSet(label()))
            }
            Err(error) => Err(failed("die Anmeldung")(error)),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

// === impl OpenedKey ===

impl OpenedKey {
    /// Signs with Ed25519, not pre-hashed. Whether the signature verifies is for the caller.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, TokenError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let bytes = self
            .session
            .sign(&mechanism, self.private, message)
            .map_err(failed("das Signieren"))?;
        Signature::from_slice(&bytes).map_err(|_| TokenError::BadSignature(self.name.clone()))
    }
}

/// What a token says about the tries that are left.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    unset: bool,
    last: bool,
    locked: bool,
}

// === impl Tries ===

impl Tries {
    fn of(info: &TokenInfo) -> Self {
        Self {
            unset: !info.user_pin_initialized() || info.user_pin_to_be_changed(),
            last: info.user_pin_final_try(),
            locked: info.user_pin_locked(),
        }
    }
}

/// Whether a PIN may be tried: a service that restarts itself would use up every try.
fn may_try(tries: Tries, label: &str) -> Result<(), TokenError> {
    match tries {
        Tries { locked: true, .. } => Err(TokenError::Locked(label.to_owned())),
        Tries { unset: true, .. } => Err(TokenError::PinNotSet(label.to_owned())),
        Tries { last: true, .. } => Err(TokenError::LastTry(label.to_owned())),
        Tries { .. } => Ok(()),
    }
}

/// The objects of a class that a URI names.
fn find(
    session: &Session,
    uri: &TokenUri,
    class: ObjectClass,
) -> Result<Vec<ObjectHandle>, TokenError> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|it| Attribute::Label(it.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    session.find_objects(&template).map_err(failed("die Suche nach dem Schlüssel"))
}

/// Labels of the private keys in a token, for a message.
fn labels(session: &Session) -> String {
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
    let label = |key| match attributes(session, key, &[AttributeType::Label]).ok()?.pop()? {
        Attribute::Label(label) => Some(format!("«{}»", String::from_utf8_lossy(&label))),
        _ => None,
    };
    list(keys.unwrap_or_default().into_iter().take(LISTED_MAX).filter_map(label))
}

fn attributes(
    session: &Session,
    object: ObjectHandle,
    kinds: &[AttributeType],
) -> Result<Vec<Attribute>, TokenError> {
    session.get_attributes(object, kinds).map_err(failed("das Lesen des Schlüssels"))
}

/// The point of a public key: the 32 bytes, as an OCTET STRING or bare.
fn public_half(
    session: &Session,
    object: ObjectHandle,
) -> Result<Option<VerifyingKey>, TokenError> {
    let found = attributes(session, object, &[AttributeType::EcPoint])?;
    let point = found.into_iter().find_map(|it| match it {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    Ok(point.as_deref().and_then(parse_point))
}

fn parse_point(point: &[u8]) -> Option<VerifyingKey> {
    let bare = point.strip_prefix(&[0x04, 0x20]).filter(|it| it.len() == 32).unwrap_or(point);
    VerifyingKey::from_bytes(bare.try_into().ok()?).ok()
}

fn list(all: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = all.take(LISTED_MAX).collect();
    if all.is_empty() { "nichts".to_owned() } else { all.join(", ") }
}

fn failed(doing: &'static str) -> impl Fn(Error) -> TokenError {
    move |error| TokenError::Failed { doing, code: code(&error) }
}

/// The name of a return code: the words of the specification behind it help nobody.
fn code(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("C_{function:?}: {code:?}"),
        other => other.to_string(),
    }
}

/// Ed25519 as CKA_EC_PARAMS: the object identifier of RFC 8410, or the name of PKCS#11 3.0.
const CURVES: [&[u8]; 2] = [b"\x06\x03\x2b\x65\x70", b"\x13\x0cedwards25519"];
const KEY_ATTRIBUTES: [AttributeType; 3] =
    [AttributeType::KeyType, AttributeType::EcParams, AttributeType::Extractable];
/// Names in a message.
const LISTED_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_is_left_to_a_person() {
        let check = |tries, expect: Option<&str>| {
            let got = may_try(tries, "Verbund").err().map(|it| format!("{it:?}"));
            assert_eq!(got.as_deref(), expect, "{tries:?}");
        };
        check(Tries::default(), None);
        check(Tries { last: true, ..Tries::default() }, Some("LastTry(\"Verbund\")"));
        check(Tries { last: true, locked: true, unset: false }, Some("Locked(\"Verbund\")"));
        check(Tries { unset: true, ..Tries::default() }, Some("PinNotSet(\"Verbund\")"));
    }

    #[test]
    fn a_point_is_wrapped_or_bare() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        let bare = key.as_bytes();
        assert_eq!(parse_point(bare), Some(key));
        assert_eq!(parse_point(&[&[0x04, 0x20], &bare[..]].concat()), Some(key));
        for wrong in [&[][..], &bare[1..], &[&[0x04, 0x21], &bare[..]].concat()] {
            assert_eq!(parse_point(wrong), None);
        }
    }

    #[test]
    fn what_is_no_module_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.so");
        assert!(matches!(Module::load(&path), Err(TokenError::NoModule { .. })));
        fs::write(&path, "no library").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(matches!(Module::load(&path), Err(TokenError::ModuleMode { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Module::load(&path), Err(TokenError::Load { .. })));
    }
}
