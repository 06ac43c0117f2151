//! Connections that stand, and whether the certificates behind them still count.
//!
//! A handshake judges a certificate once; a connection may stand for months. So each one is kept
//! here with the chain that it began with, is judged again ([`Standing::judge`]) and ended if the
//! chain expired, was revoked, or proves less than it did.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use registry_core::authorize::PeerIdentity;
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, UnixTime},
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::tls::{
    Why,
    identity::{Identity, Trust},
    leaf::Leaf,
};

/// The connections of a node that stand. Clones share one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    list: Arc<Mutex<List>>,
}

/// What a connection was let in as.
#[derive(Clone, Debug)]
pub(crate) enum As {
    /// A client, with what its certificate proved.
    Caller(Arc<Identity>),
    /// A partner's node that was dialled.
    Dialled(PeerIdentity),
}

/// A connection that was ended because its certificate does not count any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Listener, or "dialled".
    pub(crate) place: &'static str,
    /// The other side.
    pub(crate) remote: SocketAddr,
    /// Node name of a partner, else the pseudonym.
    pub(crate) who: String,
    /// "expired", "revoked" or "not_trusted".
    pub(crate) cause: &'static str,
    /// In words.
    pub(crate) why: Why,
}

/// A stream that ends when its certificate does not count any more.
pub struct Judged<S> {
    stream: S,
    ended: Ending,
    /// None of a connection without a certificate.
    _entry: Option<Entry>,
}

type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, Default)]
struct List {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

#[derive(Clone, Debug)]
struct Connection {
    place: &'static str,
    remote: SocketAddr,
    known_as: As,
    chain: Arc<[CertificateDer<'static>]>,
    /// SHA-256 over the chain.
    digest: [u8; 32],
    /// First end of validity in the chain, Unix seconds.
    until: i64,
    /// Begin and end of validity of the end entity, Unix seconds.
    leaf: (i64, i64),
    ended: CancellationToken,
}

/// Removes the connection from the list when dropped.
#[derive(Debug)]
struct Entry {
    number: u64,
    list: Arc<Mutex<List>>,
}

// === impl Standing ===

impl Standing {
    /// Keeps `stream` on the list until it is dropped.
    ///
    /// # Errors
    ///
    /// The chain is empty or cannot be read.
    pub(crate) fn keep<S>(
        &self,
        place: &'static str,
        remote: SocketAddr,
        known_as: As,
        chain: &[CertificateDer<'_>],
        stream: S,
    ) -> Result<Judged<S>, Error> {
        let mut ends = Vec::with_capacity(chain.len());
        for certificate in chain {
            let parsed = Leaf::parse(certificate)?;
            ends.push((parsed.not_before, parsed.not_after));
        }
        let until = ends.iter().map(|it| it.1).min();
        let (Some(&leaf), Some(until)) = (ends.first(), until) else {
            return Err(Error::NoCertificatesPresented);
        };
        let mut digest = Sha256::new();
        chain.iter().for_each(|certificate| digest.update(Sha256::digest(certificate)));
        let ended = CancellationToken::new();
        let connection = Connection {
            place,
            remote,
            known_as,
            chain: chain.iter().map(|it| it.clone().into_owned()).collect(),
            digest: digest.finalize().into(),
            until,
            leaf,
            ended: ended.clone(),
        };
        let mut list = lock(&self.list);
        let number = list.next;
        list.next += 1;
        list.connections.insert(number, connection);
        drop(list);
        let entry = Entry { number, list: Arc::clone(&self.list) };
        Ok(Judged { stream, ended: Box::pin(ended.cancelled_owned()), _entry: Some(entry) })
    }

    /// Judges all connections anew, or only those with a certificate that expired meanwhile, and
    /// ends those that do not count any more. Takes time: not for a task that others wait for.
    pub(crate) fn judge(&self, trust: &Trust, now: UnixTime, only_expired: bool) -> Vec<Ended> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let connections: Vec<_> = lock(&self.list)
            .connections
            .values()
            .filter(|it| !it.ended.is_cancelled() && (!only_expired || it.until < seconds))
            .cloned()
            .collect();
        // many connections of one client have one chain
        let mut verdicts: HashMap<(String, [u8; 32]), Result<(), Error>> = HashMap::new();
        let mut ended = Vec::new();
        for connection in connections {
            let key = (format!("{:?}", connection.known_as), connection.digest);
            let verdict =
                verdicts.entry(key).or_insert_with(|| connection.verdict(trust, now)).clone();
            if let Err(error) = verdict {
                connection.ended.cancel();
                ended.push(connection.told(&error));
            }
        }
        ended
    }

    /// Nodes of partners with a connection, and from when to when their certificates are valid (Unix
    /// seconds); of several connections the one that ends first.
    pub(crate) fn partners(&self) -> BTreeMap<String, (i64, i64)> {
        let mut partners = BTreeMap::new();
        for connection in lock(&self.list).connections.values() {
            let Some(peer) = connection.peer() else { continue };
            let first = partners.entry(peer.node.clone()).or_insert(connection.leaf);
            if connection.leaf.1 < first.1 {
                *first = connection.leaf;
            }
        }
        partners
    }
}

// === impl Connection ===

impl Connection {
    fn verdict(&self, trust: &Trust, now: UnixTime) -> Result<(), Error> {
        let Some((end_entity, intermediates)) = self.chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        match &self.known_as {
            As::Dialled(expect) => trust.verify_server(expect, end_entity, intermediates, now),
            As::Caller(before) => {
                trust.verify_client(end_entity, intermediates, now)?;
                let today = trust.identify(&self.chain, now)?.principal;
                let before = &before.principal;
                if before.peer.is_some() && before.peer != today.peer {
                    return Err(Error::General(PROVES_LESS.to_owned()));
                }
                // rights go with a connection from its begin to its end
                let changed = before.rules() != today.rules();
                if changed { Err(Error::General(OTHER_RULES.to_owned())) } else { Ok(()) }
            }
        }
    }

    fn peer(&self) -> Option<&PeerIdentity> {
        match &self.known_as {
            As::Dialled(peer) => Some(peer),
            As::Caller(identity) => identity.principal.peer.as_ref(),
        }
    }

    fn told(&self, error: &Error) -> Ended {
        let cause = match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => "expired",
            Error::InvalidCertificate(
                CertificateError::Revoked
                | CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. },
            ) => "revoked",
            _ => "not_trusted",
        };
        let who = match (self.peer(), &self.known_as) {
            (Some(peer), _) => peer.node.clone(),
            (None, As::Caller(identity)) => identity.principal.pseudonym.clone(),
            (None, As::Dialled(peer)) => peer.node.clone(),
        };
        Ended { place: self.place, remote: self.remote, who, cause, why: Why::from(error) }
    }
}

// === impl Entry ===

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.list).connections.remove(&self.number);
    }
}

// === impl Judged ===

impl<S> Judged<S> {
    /// A stream without a certificate, which ends after this time.
    pub(crate) fn for_at_most(time: Duration, stream: S) -> Self {
        let ended: Ending = Box::pin(tokio::time::sleep(time));
        Self { stream, ended, _entry: None }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.ended.as_mut().poll(cx).is_ready()
    }
}

impl<S: fmt::Debug> fmt::Debug for Judged<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judged").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Judged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(no_more()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Judged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(no_more()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(no_more()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Err(no_more()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn no_more() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the certificate does not count any more")
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    // every change of the list is one call: what a panic leaves is whole
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

const OTHER_RULES: &str = "the rules for the certificate are others than when it connected";
const PROVES_LESS: &str = "the certificate does not prove any more what it did when it connected";
