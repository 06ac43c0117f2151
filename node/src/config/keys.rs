//! `[keys]`: what the node signs with.

use ed25519_dalek::VerifyingKey;
use registry_proto::{charter::Member, key::Key, log::LogSigner};

use super::check::Check;
use crate::{
    keys::{self, KeyPlace, Opener, SecretSource, shown},
    lifecycle::chain,
};

/// How keys are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// With passphrase and PIN from these sources, where there are none from those that the
    /// configuration names.
    With {
        /// Of encrypted files.
        passphrase: Option<SecretSource>,
        /// Of tokens whose URI names no source of its own.
        pin: Option<SecretSource>,
    },
    /// Not at all.
    Sealed,
}

/// Where the keys of a node are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlaces {
    /// The log key.
    pub log: KeyPlace,
    /// The freshness key.
    pub freshness: KeyPlace,
    /// The log key that a charter to come names.
    pub next_log: Option<KeyPlace>,
    /// The freshness key that a charter to come names.
    pub next_freshness: Option<KeyPlace>,
}

/// Every signing key of a node that was opened: the charter in force says which ones are used.
#[derive(Clone, Debug, Default)]
pub struct KeysHeld {
    log: Vec<Key>,
    freshness: Vec<Key>,
}

/// The charter names a key that the node does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyNotHeld {
    /// `log` or `freshness`.
    pub(super) which: &'static str,
    /// The public half that the charter names.
    pub(super) public: [u8; 32],
}

/// `[keys]`
#[derive(Debug, Default)]
pub(super) struct RawKeys {
    pub(super) log: Option<String>,
    pub(super) freshness: Option<String>,
    pub(super) next_log: Option<String>,
    pub(super) next_freshness: Option<String>,
    pub(super) passphrase: RawSecret,
    pub(super) pin: RawSecret,
}

/// Where a secret comes from, as it was written.
#[derive(Debug, Default)]
pub(super) struct RawSecret {
    pub(super) fd: Option<i64>,
    pub(super) file: Option<String>,
    pub(super) credential: Option<String>,
}

// === impl Unlock ===

impl Default for Unlock {
    /// As the configuration says.
    fn default() -> Self {
        Self::With { passphrase: None, pin: None }
    }
}

// === impl KeysHeld ===

impl KeysHeld {
    /// Those that the charter names for a member.
    ///
    /// # Errors
    ///
    /// Every key that is named and not here.
    pub(super) fn signer(&self, member: &Member) -> Result<LogSigner, Vec<KeyNotHeld>> {
        let find = |which, all: &[Key], public: VerifyingKey| {
            let found = all.iter().find(|it| *it.public() == public).cloned();
            found.ok_or_else(|| KeyNotHeld { which, public: public.to_bytes() })
        };
        let log = find("log", &self.log, member.keys.log);
        let freshness = find("freshness", &self.freshness, member.keys.freshness);
        match (log, freshness) {
            (Ok(log), Ok(freshness)) => Ok(LogSigner::new(log, freshness)),
            (log, freshness) => Err([log.err(), freshness.err()].into_iter().flatten().collect()),
        }
    }

    /// Public halves of the log keys, then of the freshness keys, that were opened: each time the
    /// one at the place in use first, then the one at the next place.
    pub fn public(&self) -> [Vec<VerifyingKey>; 2] {
        [&self.log, &self.freshness].map(|it| it.iter().map(|key| *key.public()).collect())
    }

    /// Whether the node could sign as this member.
    pub fn fit(&self, member: &Member) -> bool {
        self.signer(member).is_ok()
    }
}

// === impl KeyNotHeld ===

impl KeyNotHeld {
    pub(super) fn reason(&self, member: Option<&Member>) -> String {
        if member.is_none_or(|it| it.former.is_empty()) {
            return "ist nicht der Schlüssel, dessen öffentlicher Teil in der Charta steht"
                .to_owned();
        }
        format!(
            "ist nicht der Schlüssel der geltenden Charta, und keys.next_{} ist es auch nicht; \
             gesucht ist die Schlüsseldatei mit dem öffentlichen Teil {} (registry-node key show \
             DATEI zeigt ihn)",
            self.which,
            hex::encode(self.public)
        )
    }
}

impl Check<'_> {
    pub(super) fn keys(
        &mut self,
        raw: &RawKeys,
        member: Option<&Member>,
    ) -> Option<(KeyPlaces, KeysHeld, LogSigner)> {
        let configured = self.secret_source("keys.passphrase", &raw.passphrase);
        let configured_pin = self.secret_source("keys.pin", &raw.pin);
        let log = self.place("keys.log", raw.log.as_deref());
        let freshness = self.place("keys.freshness", raw.freshness.as_deref());
        let next_log = self.place("keys.next_log", raw.next_log.as_deref());
        let next_freshness = self.place("keys.next_freshness", raw.next_freshness.as_deref());
        let (passphrase, pin) = match self.unlock {
            Unlock::With { passphrase, pin } => {
                (passphrase.clone().or(configured), pin.clone().or(configured_pin))
            }
            Unlock::Sealed => {
                let keys = &member?.keys;
                let signer = LogSigner::new(keys::sealed(keys.log), keys::sealed(keys.freshness));
                let (log, freshness) = (log?, freshness?);
                let places = KeyPlaces { log, freshness, next_log, next_freshness };
                return Some((places, KeysHeld::default(), signer));
            }
        };
        let mut opener = Opener::new(passphrase, pin);
        let public = member.map(|member| &member.keys);
        let mut open = |name, text: &Option<String>, place: &Option<KeyPlace>, public| {
            self.key(name, text.as_deref()?, place.as_ref()?, public, &mut opener)
        };
        let log_key = open("keys.log", &raw.log, &log, public.map(|it| &it.log));
        let freshness_key =
            open("keys.freshness", &raw.freshness, &freshness, public.map(|it| &it.freshness));
        let spare_log = open("keys.next_log", &raw.next_log, &next_log, None);
        let spare_freshness =
            open("keys.next_freshness", &raw.next_freshness, &next_freshness, None);
        let (log_key, freshness_key) = (log_key?, freshness_key?);
        let held = KeysHeld {
            log: [Some(log_key.clone()), spare_log].into_iter().flatten().collect(),
            freshness: [Some(freshness_key.clone()), spare_freshness]
                .into_iter()
                .flatten()
                .collect(),
        };
        let signer = match member.map(|it| held.signer(it)) {
            Some(Ok(signer)) => signer,
            Some(Err(missing)) => {
                for it in missing {
                    let text = if it.which == "log" { &raw.log } else { &raw.freshness };
                    let text = shown(text.as_deref().unwrap_or_default());
                    self.wrong(&format!("keys.{}", it.which), text, it.reason(member));
                }
                LogSigner::new(log_key, freshness_key)
            }
            None => LogSigner::new(log_key, freshness_key),
        };
        let places = KeyPlaces { log: log?, freshness: freshness?, next_log, next_freshness };
        Some((places, held, signer))
    }

    /// The keys of the log and the offline key of a Land that is in no charter yet.
    pub(super) fn keys_of_newcomer(
        &mut self,
        raw: &RawKeys,
        offline: &str,
    ) -> Option<(LogSigner, Key)> {
        let configured = self.secret_source("keys.passphrase", &raw.passphrase);
        let configured_pin = self.secret_source("keys.pin", &raw.pin);
        let Unlock::With { passphrase, pin } = self.unlock.clone() else { return None };
        let mut opener = Opener::new(passphrase.or(configured), pin.or(configured_pin));
        let mut open = |name, text: Option<&str>| {
            let place = self.place(name, text)?;
            self.key(name, text?, &place, None, &mut opener)
        };
        let log = open("keys.log", raw.log.as_deref());
        let freshness = open("keys.freshness", raw.freshness.as_deref());
        let offline = open("--offline-key", Some(offline));
        Some((LogSigner::new(log?, freshness?), offline?))
    }

    fn place(&mut self, name: &str, text: Option<&str>) -> Option<KeyPlace> {
        let text = text?;
        KeyPlace::parse(text, &self.path(""))
            .map_err(|error| self.wrong(name, shown(text), error))
            .ok()
    }

    fn key(
        &mut self,
        name: &str,
        text: &str,
        place: &KeyPlace,
        public: Option<&VerifyingKey>,
        opener: &mut Opener,
    ) -> Option<Key> {
        let opened = opener.open(place, public);
        let opened = opened.map_err(|error| self.wrong(name, text, chain(&error))).ok()?;
        Some(opened.key)
    }

    fn secret_source(&mut self, name: &str, raw: &RawSecret) -> Option<SecretSource> {
        let descriptor = raw.fd.and_then(|number| {
            let fits = u32::try_from(number).ok().filter(|it| !(1..=2).contains(it));
            if fits.is_none() {
                let reason =
                    "erwartet die Nummer eines Dateideskriptors zum Lesen: 0, 3 oder höher";
                self.wrong(&format!("{name}_fd"), number, reason);
            }
            fits.map(SecretSource::Descriptor)
        });
        let file = raw.file.as_deref().map(|path| SecretSource::File(self.path(path)));
        let credential = raw.credential.clone().map(SecretSource::Credential);
        let mut sources = [descriptor, file, credential].into_iter().flatten();
        let first = sources.next();
        if let Some(second) = sources.next() {
            let reason = format!("nur eines von {name}_fd, {name}_file und {name}_credential");
            self.wrong(name, second, reason);
        }
        first
    }
}
