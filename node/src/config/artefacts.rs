//! `[artefacts]`: where files of versions lie, and which of other Länder are fetched.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use http::Uri;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{
    check::Check,
    raw::{RawArtefacts, RawS3},
    words,
};
use crate::{keys::Secret, tls::read_certificates};

/// Files of versions.
#[derive(Clone, Debug)]
pub struct ArtefactConfig {
    /// Where they lie.
    pub store: ArtefactStore,
    /// Which of other Länder are fetched.
    pub fetch: FetchPolicy,
    /// A chunk that no version refers to is kept at least this long.
    pub grace: Duration,
}

/// Where chunks lie.
#[derive(Clone, Debug)]
pub enum ArtefactStore {
    /// A directory; may not exist yet.
    Directory(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket that speaks S3.
#[derive(Clone, Debug)]
pub struct S3 {
    /// `https://host[:port]`; plain HTTP on loopback only.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// In front of all keys, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Public half of the credentials.
    pub access_key_id: String,
    /// Secret half of the credentials.
    pub secret_key: Secret,
    /// Under which the certificate of the endpoint counts; none on plain HTTP.
    pub anchors: Option<Vec<CertificateDer<'static>>>,
}

/// Which artefacts of other Länder a node fetches. Those of its own Land it always wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchPolicy {
    /// Of services that this Land subscribes to.
    Subscribed,
    /// All.
    All,
    /// None.
    None,
}

// === impl Check ===

impl Check<'_> {
    pub(super) fn artefacts(
        &mut self,
        raw: RawArtefacts,
        data_dir: Option<&PathBuf>,
    ) -> Option<ArtefactConfig> {
        let fetch = match raw.fetch.as_deref() {
            None | Some("subscribed") => Some(FetchPolicy::Subscribed),
            Some("all") => Some(FetchPolicy::All),
            Some("none") => Some(FetchPolicy::None),
            Some(other) => {
                self.wrong("artefacts.fetch", other, "erwartet subscribed, all oder none");
                None
            }
        };
        let grace = self.duration("artefacts.grace", raw.grace.as_deref(), GRACE);
        let grace = grace.filter(|grace| {
            let enough = *grace >= GRACE_MIN;
            if !enough {
                let text = raw.grace.as_deref().unwrap_or_default();
                self.wrong("artefacts.grace", text, "kürzer als ein Hochladen dauern darf, 1h");
            }
            enough
        });
        let store = match (raw.store.as_deref(), raw.s3) {
            (Some(url), s3) if url.starts_with("s3://") => {
                self.bucket(url, s3.unwrap_or_default()).map(ArtefactStore::S3)
            }
            (Some(path), None) => Some(ArtefactStore::Directory(self.path(path))),
            (None, None) => data_dir.map(|dir| ArtefactStore::Directory(dir.join("artefacts"))),
            (store, Some(_)) => {
                let reason = "[artefacts.s3] braucht einen store der Form s3://eimer/präfix";
                self.wrong("artefacts.store", store.unwrap_or("(fehlt)"), reason);
                None
            }
        };
        Some(ArtefactConfig { store: store?, fetch: fetch?, grace: grace? })
    }

    fn bucket(&mut self, url: &str, raw: RawS3) -> Option<S3> {
        let place = url.strip_prefix("s3://").unwrap_or(url);
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_matches('/');
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let is_name = (3..=63).contains(&bucket.len()) && bucket.chars().all(fits);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let is_prefix = prefix.chars().all(plain) && prefix.split('/').all(|it| it != "..");
        if !is_name || !is_prefix {
            self.wrong("artefacts.store", url, "erwartet s3://eimer oder s3://eimer/präfix");
        }
        for (key, value) in [
            ("endpoint", &raw.endpoint),
            ("access_key_id", &raw.access_key_id),
            ("secret_key", &raw.secret_key),
        ] {
            if value.is_none() {
                let key = format!("artefacts.s3.{key}");
                self.wrong(&key, "(fehlt)", "muss für einen store der Form s3:// gesetzt sein");
            }
        }
        let encrypted = raw.endpoint.as_deref().and_then(|it| self.endpoint(it));
        let anchors = match (encrypted, raw.ca.as_deref()) {
            (Some(true), None) => {
                let reason =
                    "muss gesetzt sein: die Anker, unter denen das Zertifikat von endpoint zählt";
                self.wrong("artefacts.s3.ca", "(fehlt)", reason);
                None
            }
            (_, Some(path)) => {
                let read = read_certificates(&self.path(path));
                read.map_err(|error| self.wrong("artefacts.s3.ca", path, words::material(&error)))
                    .ok()
            }
            (_, None) => None,
        };
        let secret_key = raw.secret_key.as_deref().and_then(|path| self.secret(path));
        Some(S3 {
            endpoint: raw.endpoint?,
            region: raw.region.unwrap_or_else(|| REGION.to_owned()),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            access_key_id: raw.access_key_id?,
            secret_key: secret_key?,
            anchors: if encrypted? { Some(anchors?) } else { None },
        })
    }

    /// Whether the endpoint is encrypted.
    fn endpoint(&mut self, text: &str) -> Option<bool> {
        let uri = text.parse::<Uri>().ok();
        let uri = uri.filter(|it| it.host().is_some() && matches!(it.path(), "" | "/"));
        let scheme = uri.as_ref().and_then(Uri::scheme_str);
        let reason = match (scheme, uri.as_ref().and_then(Uri::host)) {
            (Some("https"), _) => return Some(true),
            (Some("http"), Some(host)) if is_loopback(host) => return Some(false),
            (Some("http"), _) => "HTTP ohne TLS nur für Loopback; sonst https",
            _ => "erwartet https://name oder https://name:port",
        };
        self.wrong("artefacts.s3.endpoint", text, reason);
        None
    }

    fn secret(&mut self, path: &str) -> Option<Secret> {
        let full = self.path(path);
        let read = std::fs::metadata(&full).and_then(|data| {
            let fits = data.len() <= SECRET_BYTES_MAX;
            if fits {
                std::fs::read_to_string(&full).map(Zeroizing::new)
            } else {
                Err(std::io::ErrorKind::FileTooLarge.into())
            }
        });
        let text = read.map_err(|error| {
            self.wrong(
                "artefacts.s3.secret_key",
                path,
                format_args!("kann nicht gelesen werden: {error}"),
            );
        });
        let text = text.ok()?.trim().to_owned();
        if text.is_empty() {
            self.wrong("artefacts.s3.secret_key", path, "ist eine leere Datei");
            return None;
        }
        Some(Secret::from(text))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

const GRACE: Duration = Duration::from_secs(24 * 3_600);
const GRACE_MIN: Duration = Duration::from_secs(3_600);
const REGION: &str = "eu-central-1";
const SECRET_BYTES_MAX: u64 = 4 << 10;
