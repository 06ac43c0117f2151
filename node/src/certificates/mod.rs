//! Certificates and rights over time: files that change, certificates that end or are revoked.
//!
//! A [`Keeper`] looks at the files every two seconds (by content, so that the swapped symlinks of a
//! container platform are seen too), and at everything once a minute and on SIGHUP. What changed is
//! checked before it takes the place of what is in use; what cannot be used changes nothing and
//! raises an alarm. Then the connections that stand are judged anew.

mod expiry;
mod files;

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use registry_core::authorize::PeerIdentity;
use registry_proto::wire::registry::CertificatesStatus;
use rustls::pki_types::UnixTime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Instrument, error, info, info_span, warn};

pub(crate) use expiry::Ends;
pub use expiry::{Expiry, Level, What};
use expiry::{collect, mark_revoked};
pub use files::{Digests, Part};

use crate::{
    audit::{Act, Audit},
    config::Tls,
    lifecycle::{Shutdown, TaskKind, chain},
    observe::Metrics,
    tls::{self, Leaf, Material, MaterialError, TlsContext},
};

/// Keeps the certificates of a node.
#[derive(Debug)]
pub struct Keeper {
    files: Tls,
    own: PeerIdentity,
    tls: Arc<TlsContext>,
    metrics: Arc<Metrics>,
    board: CertificateBoard,
    audit: Audit,
    parts: Vec<Kept>,
    warned: expiry::Warned,
    looked: Option<Instant>,
}

/// What readers and operators are told about certificates. Clones are one board.
#[derive(Clone, Debug, Default)]
pub struct CertificateBoard {
    shown: Arc<ArcSwap<Shown>>,
}

/// What stands on the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// All that can end, the first end first.
    pub expiries: Vec<Expiry>,
    /// What could not be loaded; the files before are in use.
    pub failed: Vec<Part>,
}

/// One part of the material and its files.
#[derive(Debug)]
struct Kept {
    part: Part,
    /// Contents that were tried last.
    tried: files::Contents,
    /// Contents at the last look: files are tried only when they stand still.
    seen: [u8; 32],
    failure: Option<String>,
}

/// What a keeper keeps.
#[derive(Debug)]
pub struct Setup {
    /// Files.
    pub files: Tls,
    /// Their contents when the context was made.
    pub digests: Digests,
    /// Why revocation lists were left out of it.
    pub left_out: Vec<MaterialError>,
    /// Whether lists of a node before in this process may have stayed in use instead.
    pub begins_again: bool,
    /// Who this node is.
    pub own: PeerIdentity,
    /// What is replaced.
    pub tls: Arc<TlsContext>,
    /// Where alarms are shown.
    pub metrics: Arc<Metrics>,
    /// What others are told.
    pub board: CertificateBoard,
    /// Where reloads and their failures are traced.
    pub audit: Audit,
}

// === impl CertificateBoard ===

impl CertificateBoard {
    /// What stands there now.
    pub fn load(&self) -> Arc<Shown> {
        self.shown.load_full()
    }

    /// What stands there, for the wire; how near an end is, is told as of `now_ms` (Unix).
    pub fn status(&self, now_ms: i64) -> CertificatesStatus {
        let (shown, now) = (self.load(), now_ms.div_euclid(1_000));
        CertificatesStatus {
            certificates: shown.expiries.iter().map(|it| it.status(now)).collect(),
            not_loaded: shown.failed.iter().map(ToString::to_string).collect(),
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// A keeper that has not looked yet.
    pub fn new(setup: Setup) -> Self {
        let Setup { files, digests, left_out, begins_again, own, tls, metrics, board, audit } =
            setup;
        let left_out: Vec<_> = left_out.iter().map(|it| chain(it)).collect();
        let kept = |part: Part| {
            let tried = digests.of(part).clone();
            let failure = (part == Part::Crls && !left_out.is_empty()).then(|| left_out.join("; "));
            metrics.certificates().set_reload_failed(part.label(), failure.is_some());
            let seen = tried.digest;
            Kept { part, tried, seen, failure }
        };
        let parts = Part::ALL.into_iter().map(kept).collect();
        let warned = expiry::Warned::default();
        let looked = None;
        let this = Self { files, own, tls, metrics, board, audit, parts, warned, looked };
        this.trace_used();
        this.tell_left_out(begins_again);
        this
    }

    /// What a node begins with decides who may act, like what it loads later.
    fn trace_used(&self) {
        for kept in self.parts.iter().filter(|it| it.failure.is_none()) {
            self.trace_load(&kept.tried, "OK", "");
        }
    }

    /// At the first start nothing was in use before that could stay in use.
    fn tell_left_out(&self, begins_again: bool) {
        for kept in &self.parts {
            let Some(cause) = &kept.failure else { continue };
            self.trace_load(&kept.tried, "FAILED", cause);
            let files = files::names(&self.files, kept.part);
            let part = kept.part.label();
            if begins_again {
                error!(part, files, cause, "{NOT_REPLACED}");
                continue;
            }
            error!(
                part,
                files,
                cause,
                "cannot be loaded, the node starts without: what these lists revoke counts, unless \
                 tls.crl_required is set"
            );
        }
    }

    /// Looks now, every two seconds and on SIGHUP until `shutdown`.
    ///
    /// # Errors
    ///
    /// The handler of the signal cannot be installed.
    pub fn start(self, shutdown: &Shutdown) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let token = shutdown.token().clone();
        let span = info_span!("certificates", land = %self.own.land, node = self.own.node);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut keeper = self;
        let work = async move {
            loop {
                let asked = tokio::select! {
                    () = token.cancelled() => return Ok::<(), tokio::task::JoinError>(()),
                    Some(()) = hangup.recv() => true,
                    _ = look.tick() => false,
                };
                let span = tracing::Span::current();
                // reads files and verifies signatures
                let looked = tokio::task::spawn_blocking(move || {
                    span.in_scope(|| keeper.look(asked));
                    keeper
                });
                keeper = looked.await?;
            }
        };
        shutdown.spawn(TaskKind::Certificates, work.instrument(span));
        Ok(())
    }

    /// Looks once: loads what changed, judges connections, warns. `asked` loads everything.
    pub fn look(&mut self, asked: bool) {
        if asked {
            info!("certificates are loaded on demand");
        }
        let minute = asked || self.looked.is_none_or(|last| last.elapsed() >= FULL);
        let (mut tried, mut changed) = (false, false);
        for at in 0..self.parts.len() {
            if let Some(replaced) = self.look_at(at, asked, minute) {
                tried = true;
                changed |= replaced;
            }
        }
        let now = UnixTime::now();
        if self.looked.is_none() {
            self.tell_pkcs1();
        }
        for ended in self.tls.judge(now, !changed && !minute) {
            self.metrics.certificates().disconnected(ended.place, ended.cause);
            self.trace_end(&ended);
            warn!(
                listener = ended.place,
                port = ended.remote.port(),
                who = ended.who,
                cause = ended.cause,
                reason = ended.why.logged,
                "connection ended, its certificate does not count any more"
            );
        }
        if changed || minute {
            self.looked = Some(Instant::now());
        }
        if tried || minute {
            self.tell(now);
        }
    }

    /// Whether anything of the part may have been replaced, if that was tried.
    fn look_at(&mut self, at: usize, asked: bool, minute: bool) -> Option<bool> {
        let kept = self.parts.get_mut(at)?;
        let part = kept.part;
        let now = files::Contents::read(&self.files, part);
        let stands_still = now.digest == kept.seen;
        kept.seen = now.digest;
        let due = now.digest != kept.tried.digest && (stands_still || minute)
            || minute && kept.failure.is_some()
            || asked;
        if !due {
            return None;
        }
        kept.tried = now.clone();
        let before = kept.failure.take();
        let outcome = self.load(part);
        let files = files::names(&self.files, part);
        self.metrics.certificates().reloaded(part.label(), outcome.is_ok());
        match &outcome {
            Ok(()) => {
                self.trace_load(&now, "OK", "");
                info!(part = part.label(), files, "loaded anew");
            }
            Err(failure) => {
                let cause = chain(failure);
                if asked || before.as_deref() != Some(cause.as_str()) {
                    self.trace_load(&now, "FAILED", &cause);
                    error!(part = part.label(), files, cause, "{NOT_REPLACED}");
                }
                if let Some(kept) = self.parts.get_mut(at) {
                    kept.failure = Some(cause);
                }
            }
        }
        // of the lists some may have been taken
        Some(outcome.is_ok() || part == Part::Crls)
    }

    fn trace_load(&self, tried: &files::Contents, outcome: &'static str, cause: &str) {
        for told in &tried.told {
            self.audit.note(Act::new("tls.load", outcome).on(told.as_str()).because(cause));
        }
    }

    fn trace_end(&self, ended: &tls::Ended) {
        let act = Act::new("tls.disconnect", ended.cause).on(ended.place);
        let (who, from) = (ended.who.clone(), ended.remote.to_string());
        self.audit.note(Act { who, from, ..act.because(ended.why.traced.clone()) });
    }

    fn load(&self, part: Part) -> Result<(), MaterialError> {
        match part {
            Part::Certificate => {
                let chain = tls::read_certificates(&self.files.certificate)?;
                let key = tls::read_private_key(&self.files.key)?;
                self.check_certificate(&chain)?;
                self.tls.change(|it| (it.chain, it.key) = (chain, key))?;
                self.tell_pkcs1();
                Ok(())
            }
            Part::ClientAnchors => {
                let anchors = tls::read_certificates(&self.files.client_anchors)?;
                tls::check_strong_anchors(&anchors).map_err(MaterialError::Weak)?;
                self.tls.change(|it| it.client_anchors = anchors)
            }
            Part::Crls => self.tls.renew_crls(self.files.read_crl_files()),
            Part::Policy => {
                let rules = self.files.rules.read()?;
                self.tls.change(|it| it.rules = rules)
            }
        }
    }

    /// A certificate that is not valid now is better than nothing, and only than that.
    fn check_certificate(
        &self,
        chain: &[rustls::pki_types::CertificateDer<'static>],
    ) -> Result<(), MaterialError> {
        tls::check_strong(chain).map_err(MaterialError::Weak)?;
        let Material { chain: current, members, .. } = self.tls.material();
        let now = UnixTime::now();
        let of = |chain: &[rustls::pki_types::CertificateDer<'static>]| {
            let all = chain.iter().map(Leaf::parse).collect::<Result<Vec<_>, _>>()?;
            let valid = all.iter().all(|it| it.require_valid_at(now).is_ok());
            Ok((valid, all.first().map(|it| it.not_after)))
        };
        let (valid, until) = of(chain).map_err(MaterialError::Certificate)?;
        let (current_valid, current_until) = of(&current).map_err(MaterialError::Certificate)?;
        if !valid && (current_valid || until < current_until) {
            return Err(MaterialError::NotNow);
        }
        Ok(tls::check_own_name(self.files.profile, chain, members, &self.own)?)
    }

    /// A chain may be signed with PKCS#1 padding, but new certificates should not be.
    fn tell_pkcs1(&self) {
        for certificate in self.tls.material().chain.iter().filter(|it| tls::is_pkcs1(it)) {
            let subject = tls::subject_of(certificate);
            warn!(subject, "signed with RSA and PKCS#1 padding; PSS or ECDSA is better");
        }
    }

    /// Brings metrics and board up to date, and warns of what ends soon.
    fn tell(&mut self, at: UnixTime) {
        let now = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let material = self.tls.material();
        let ends = Ends::of(&self.own.node, &material);
        let mut expiries = collect(&ends, self.tls.standing().partners());
        // such a node goes on, but nobody talks to it
        let revoked = expiry::is_revoked(&self.tls.trust(), &material.chain, at);
        mark_revoked(&mut expiries, revoked);
        self.metrics.certificates().set_own_revoked(revoked);
        self.metrics.set_certificate_expiry(self.tls.not_after());
        let ends = expiries.iter().map(|it| (it.what.label(), it.name.as_str(), it.left(now)));
        self.metrics.certificates().set_expiries(ends);
        for kept in &self.parts {
            let failed = kept.failure.is_some();
            self.metrics.certificates().set_reload_failed(kept.part.label(), failed);
        }
        let not_yet = expiries.iter().any(|it| it.level(now) == Level::NotYet);
        self.metrics.certificates().set_own_not_yet_valid(not_yet);
        self.warned.warn(&expiries, now);
        let failed = self.parts.iter().filter(|it| it.failure.is_some()).map(|it| it.part);
        let shown = Shown { expiries, failed: failed.collect() };
        self.board.shown.store(Arc::new(shown));
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

const NOT_REPLACED: &str = "cannot be loaded, what it would replace stays in use";
/// Files are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// Everything is looked at this often: a minute is promised.
const FULL: Duration = Duration::from_secs(55);
