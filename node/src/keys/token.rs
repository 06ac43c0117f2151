//! Keys in tokens: one thread for each PKCS#11 library owns it, and signs for everyone.
//!
//! A library belongs to the whole process: it is initialised once, a login counts for all sessions,
//! and to begin anew ends them all. With one thread nothing of that is shared, and a library that
//! hangs holds up whoever wants a signature for [`SIGN_TIMEOUT`], not for ever.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::mpsc::{
        Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use ed25519_dalek::{Signature, SignatureError, Signer, VerifyingKey};
use registry_proto::key::Key;
use tracing::{info, warn};

use crate::keys::{
    Secret, TokenError, TokenUri,
    module::{Module, OpenedKey},
};

/// The libraries in use.
#[derive(Debug, Default)]
pub struct Tokens {
    threads: BTreeMap<PathBuf, SyncSender<Request>>,
}

/// A key in a token.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// Its public half, and who signs.
    pub key: Key,
    /// Whether the token would give it out.
    pub exportable: bool,
}

enum Request {
    Open(Box<Opening>),
    Sign { key: usize, message: Vec<u8>, until: Instant, answer: Sender<Signed> },
}

type Signed = Result<Signature, TokenError>;

struct Opening {
    uri: TokenUri,
    pin: Option<Secret>,
    public: Option<VerifyingKey>,
    generate: bool,
    answer: Sender<Result<Held, TokenError>>,
}

/// A key that was opened.
#[derive(Clone, Copy)]
struct Held {
    number: usize,
    public: VerifyingKey,
    exportable: bool,
}

/// Signs by asking the thread.
struct Remote {
    key: usize,
    thread: SyncSender<Request>,
}

/// What the thread owns.
struct Worker {
    module: Module,
    keys: Vec<WorkerKey>,
    /// Nothing is tried before.
    pause: Option<Instant>,
}

struct WorkerKey {
    uri: TokenUri,
    /// To log in again when the token comes back.
    pin: Option<Secret>,
    public: VerifyingKey,
    opened: Option<OpenedKey>,
}

// === impl Tokens ===

impl Tokens {
    /// Opens a key and lets it sign once. `public` is its public half, if that is known.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    pub fn open(
        &mut self,
        uri: &TokenUri,
        pin: Option<Secret>,
        public: Option<VerifyingKey>,
    ) -> Result<TokenKey, TokenError> {
        self.ask(uri, pin, public, false)
    }

    /// Makes a key that the token never gives out, and opens it.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    pub fn generate(
        &mut self,
        uri: &TokenUri,
        pin: Option<Secret>,
    ) -> Result<TokenKey, TokenError> {
        self.ask(uri, pin, None, true)
    }

    fn ask(
        &mut self,
        uri: &TokenUri,
        pin: Option<Secret>,
        public: Option<VerifyingKey>,
        generate: bool,
    ) -> Result<TokenKey, TokenError> {
        let thread = match self.threads.get(&uri.module) {
            Some(thread) => thread.clone(),
            None => {
                let module = Module::load(&uri.module)?;
                let (thread, requests) = sync_channel(REQUESTS_MAX);
                let worker = Worker { module, keys: Vec::new(), pause: None };
                thread::Builder::new()
                    .name("pkcs11".to_owned())
                    .spawn(move || worker.run(&requests))
                    .map_err(TokenError::Thread)?;
                self.threads.insert(uri.module.clone(), thread.clone());
                thread
            }
        };
        let (answer, opened) = channel();
        let opening = Opening { uri: uri.clone(), pin, public, generate, answer };
        send(&thread, Request::Open(Box::new(opening)))?;
        let Held { number, public, exportable } = wait(&opened, OPEN_TIMEOUT)??;
        Ok(TokenKey { key: Key::new(public, Remote { key: number, thread }), exportable })
    }
}

// === impl Remote ===

impl Remote {
    fn ask(&self, message: &[u8]) -> Signed {
        let (answer, signed) = channel();
        let until = Instant::now() + SIGN_TIMEOUT;
        let message = message.to_vec();
        send(&self.thread, Request::Sign { key: self.key, message, until, answer })?;
        wait(&signed, SIGN_TIMEOUT)?
    }
}

impl Signer<Signature> for Remote {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        self.ask(message).map_err(SignatureError::from_source)
    }
}

fn send(thread: &SyncSender<Request>, request: Request) -> Result<(), TokenError> {
    thread.try_send(request).map_err(|error| match error {
        TrySendError::Full(_) => TokenError::Busy,
        TrySendError::Disconnected(_) => TokenError::Ended,
    })
}

fn wait<T>(answer: &Receiver<T>, limit: Duration) -> Result<T, TokenError> {
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => TokenError::Silent(limit.as_secs()),
        RecvTimeoutError::Disconnected => TokenError::Ended,
    })
}

// === impl Worker ===

impl Worker {
    /// Ends when nobody holds a key any more.
    fn run(mut self, requests: &Receiver<Request>) {
        for request in requests {
            // who has stopped waiting gets nothing
            match request {
                Request::Open(opening) => {
                    let opened = self.open(&opening);
                    let _gone = opening.answer.send(opened);
                }
                Request::Sign { until, .. } if until <= Instant::now() => {}
                Request::Sign { key, message, answer, .. } => {
                    let _gone = answer.send(self.sign(key, &message));
                }
            }
        }
        // the process may be about to end, and its exit handlers run beside this thread: sessions
        // are closed by that end, not from here
        std::mem::forget(self);
    }

    fn open(&mut self, opening: &Opening) -> Result<Held, TokenError> {
        let Opening { uri, pin, public, generate, .. } = opening;
        if *generate {
            self.module.generate(uri, pin.as_ref())?;
        }
        let opened = self.module.open(uri, pin.as_ref())?;
        let exportable = opened.exportable;
        // some tokens hold the private half only
        let public = opened.public.or(*public);
        let public = public.ok_or_else(|| TokenError::NoPublic(uri.to_string()))?;
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| TokenError::Random)?;
        let key = WorkerKey { uri: uri.clone(), pin: pin.clone(), public, opened: Some(opened) };
        key.sign(&[SELF_TEST, &nonce].concat())?;
        self.keys.push(key);
        Ok(Held { number: self.keys.len() - 1, public, exportable })
    }

    /// Signs in the session that is there, then in a new one, then with a library that began anew.
    fn sign(&mut self, number: usize, message: &[u8]) -> Signed {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return Err(TokenError::Pausing);
        }
        let mut last = TokenError::Ended;
        for attempt in [Attempt::Same, Attempt::Session, Attempt::Library] {
            match self.attempt(number, message, attempt) {
                Ok(signature) => {
                    let paused = self.pause.take().is_some();
                    if paused || !matches!(attempt, Attempt::Same) {
                        info!("the token signs again");
                    }
                    return Ok(signature);
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    warn!(cause = %error, ?attempt, "the token does not sign");
                    last = error;
                }
            }
        }
        self.pause = Some(Instant::now() + PAUSE);
        Err(last)
    }

    fn attempt(&mut self, number: usize, message: &[u8], attempt: Attempt) -> Signed {
        match attempt {
            Attempt::Same => {}
            Attempt::Session => self.keys.get_mut(number).into_iter().for_each(WorkerKey::close),
            Attempt::Library => {
                self.keys.iter_mut().for_each(WorkerKey::close);
                self.module.restart()?;
            }
        }
        let key = self.keys.get_mut(number).ok_or(TokenError::Ended)?;
        if key.opened.is_none() {
            key.opened = Some(self.module.open(&key.uri, key.pin.as_ref())?);
        }
        key.sign(message)
    }
}

/// How much is begun anew before something is tried again.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    Same,
    Session,
    Library,
}

// === impl WorkerKey ===

impl WorkerKey {
    /// A signature that verifies: a token that errs must not sign a log into a corner.
    fn sign(&self, message: &[u8]) -> Signed {
        let signature = self.opened.as_ref().ok_or(TokenError::Ended)?.sign(message)?;
        self.public
            .verify_strict(message, &signature)
            .map_err(|_| TokenError::BadSignature(self.uri.to_string()))?;
        Ok(signature)
    }

    fn close(&mut self) {
        self.opened = None;
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Sign { .. } => "Sign",
        })
    }
}

/// What a key signs at the start; no statement and no note begins like that.
const SELF_TEST: &[u8] = b"verbund-registry/self-test/v1\0";
/// Until a key must be found. A token on the network may have to be woken up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Until a signature must be there; its group is taken back then.
const SIGN_TIMEOUT: Duration = Duration::from_secs(10);
/// Between failures, so that publishers do not keep a library beginning anew.
const PAUSE: Duration = Duration::from_secs(1);
/// Signatures under way: two keys, and those that were given up.
const REQUESTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_hangs_is_not_waited_for() {
        let (thread, requests) = sync_channel(1);
        let remote = Remote { key: 0, thread };
        let (answer, _signed) = channel();
        let until = Instant::now();
        let request = Request::Sign { key: 0, message: Vec::new(), until, answer };
        send(&remote.thread, request).unwrap();
        // nobody takes requests any more
        assert!(matches!(remote.ask(b"text"), Err(TokenError::Busy)));
        drop(requests);
        assert!(matches!(remote.ask(b"text"), Err(TokenError::Ended)));
        assert!(remote.try_sign(b"text").is_err());
        let (_answer, signed) = channel::<()>();
        let silent = wait(&signed, Duration::ZERO);
        assert!(matches!(silent, Err(TokenError::Silent(0))));
    }
}
