//! `[keys]`: what the node signs with.

use ed25519_dalek::VerifyingKey;
use registry_proto::{charter::Member, key::Key, log::LogSigner};

use super::check::Check;
use crate::{
    keys::{self, Passphrase, SecretSource},
    lifecycle::chain,
};

/// How keys are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unlock {
    /// With the passphrase that the configuration names, if it names one.
    #[default]
    Configured,
    /// With a passphrase from elsewhere.
    With(SecretSource),
    /// Not at all.
    Sealed,
}

/// `[keys]`
#[derive(Debug, Default)]
pub(super) struct RawKeys {
    pub(super) log: Option<String>,
    pub(super) freshness: Option<String>,
    pub(super) passphrase: RawSecret,
}

/// Where a secret comes from, as it was written.
#[derive(Debug, Default)]
pub(super) struct RawSecret {
    pub(super) fd: Option<i64>,
    pub(super) file: Option<String>,
    pub(super) credential: Option<String>,
}

impl Check<'_> {
    pub(super) fn signer(&mut self, raw: &RawKeys, member: Option<&Member>) -> Option<LogSigner> {
        let configured = self.secret_source("keys.passphrase", &raw.passphrase);
        let source = match self.unlock {
            Unlock::Configured => configured,
            Unlock::With(source) => Some(source.clone()),
            Unlock::Sealed => {
                let keys = &member?.keys;
                return Some(LogSigner::new(keys::sealed(keys.log), keys::sealed(keys.freshness)));
            }
        };
        let mut passphrase = Passphrase::new(source);
        let public = member.map(|member| &member.keys);
        let log = raw.log.as_deref();
        let log = self.key("keys.log", log, public.map(|it| &it.log), &mut passphrase);
        let freshness = raw.freshness.as_deref();
        let public = public.map(|it| &it.freshness);
        let freshness = self.key("keys.freshness", freshness, public, &mut passphrase);
        Some(LogSigner::new(log?, freshness?))
    }

    fn key(
        &mut self,
        name: &str,
        path: Option<&str>,
        public: Option<&VerifyingKey>,
        passphrase: &mut Passphrase,
    ) -> Option<Key> {
        let path = path?;
        let key = keys::read(&self.path(path), passphrase)
            .map(|kept| Key::from(kept.signing))
            .map_err(|error| self.wrong(name, path, chain(&error)))
            .ok()?;
        if public.is_some_and(|public| public != key.public()) {
            self.wrong(name, path, "is not the key whose public half is in the charter");
        }
        Some(key)
    }

    fn secret_source(&mut self, name: &str, raw: &RawSecret) -> Option<SecretSource> {
        let descriptor = raw.fd.and_then(|number| {
            let fits = u32::try_from(number).ok().filter(|it| !(1..=2).contains(it));
            if fits.is_none() {
                let reason = "expected the number of a file descriptor for reading: 0, 3 or more";
                self.wrong(&format!("{name}_fd"), number, reason);
            }
            fits.map(SecretSource::Descriptor)
        });
        let file = raw.file.as_deref().map(|path| SecretSource::File(self.path(path)));
        let credential = raw.credential.clone().map(SecretSource::Credential);
        let mut sources = [descriptor, file, credential].into_iter().flatten();
        let first = sources.next();
        if let Some(second) = sources.next() {
            let reason = format!("only one of {name}_fd, {name}_file and {name}_credential");
            self.wrong(name, second, reason);
        }
        first
    }
}
