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
}

/// `[keys]`
#[derive(Debug, Default)]
pub(super) struct RawKeys {
    pub(super) log: Option<String>,
    pub(super) freshness: Option<String>,
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

impl Check<'_> {
    pub(super) fn keys(
        &mut self,
        raw: &RawKeys,
        member: Option<&Member>,
    ) -> Option<(KeyPlaces, LogSigner)> {
        let configured = self.secret_source("keys.passphrase", &raw.passphrase);
        let configured_pin = self.secret_source("keys.pin", &raw.pin);
        let log = self.place("keys.log", raw.log.as_deref());
        let freshness = self.place("keys.freshness", raw.freshness.as_deref());
        let (passphrase, pin) = match self.unlock {
            Unlock::With { passphrase, pin } => {
                (passphrase.clone().or(configured), pin.clone().or(configured_pin))
            }
            Unlock::Sealed => {
                let keys = &member?.keys;
                let signer = LogSigner::new(keys::sealed(keys.log), keys::sealed(keys.freshness));
                return Some((KeyPlaces { log: log?, freshness: freshness? }, signer));
            }
        };
        let mut opener = Opener::new(passphrase, pin);
        let public = member.map(|member| &member.keys);
        let mut open = |name, text: &Option<String>, place: &Option<KeyPlace>, public| {
            self.key(name, text.as_deref()?, place.as_ref()?, public, &mut opener)
        };
        let log_key = open("keys.log", &raw.log, &log, public.map(|it| &it.log));
        let public = public.map(|it| &it.freshness);
        let freshness_key = open("keys.freshness", &raw.freshness, &freshness, public);
        let places = KeyPlaces { log: log?, freshness: freshness? };
        Some((places, LogSigner::new(log_key?, freshness_key?)))
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
        if public.is_some_and(|public| public != opened.key.public()) {
            self.wrong(
                name,
                text,
                "ist nicht der Schlüssel, dessen öffentlicher Teil in der Charta steht",
            );
        }
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
