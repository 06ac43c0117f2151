//! `registry-node certificates`: what of a node's TLS material ends when, from its files alone.

use std::{collections::BTreeMap, path::PathBuf};

use registry_core::authorize::PeerIdentity;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    certificates::{Expiry, Level, What, collect},
    config::{Config, ConfigError},
    tls::MaterialError,
};

/// Argumente von `certificates`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Liest nur Dateien: der Knoten muss nicht laufen, und nichts davon muss noch \
                        gültig sein."
)]
pub struct CertificatesArgs {
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Files cannot be read.
    #[error("die Dateien sind nicht verwendbar")]
    Material(#[from] MaterialError),
}

/// Reads the files of a configuration and returns a line for each certificate and list.
///
/// # Errors
///
/// See [`CertificatesError`].
pub fn run(args: &CertificatesArgs) -> Result<String, CertificatesError> {
    let config = Config::load_sealed(&args.config)?;
    let material = config.material()?;
    let own = PeerIdentity { land: config.land, node: config.node };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let lines = collect(&own, &material, BTreeMap::new()).into_iter().map(|it| line(&it, now));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn line(it: &Expiry, now: i64) -> String {
    let what = match it.what {
        What::Own => "dieser Knoten",
        What::Chain => "Kette",
        What::Anchor => "Anker",
        What::Crl => "Sperrliste",
        What::Peer => "Partner",
    };
    let state = match it.level(now) {
        Level::Fine => "gültig",
        Level::Days30 | Level::Days14 | Level::Days3 => "endet bald",
        Level::Expired => "abgelaufen",
    };
    let until = OffsetDateTime::from_unix_timestamp(it.not_after).ok();
    let until = until.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_default();
    let days = it.left(now).div_euclid(DAY);
    format!("{what:<14} {state:<11} {until}  {days:>5} Tage  {}", it.name)
}

const DAY: i64 = 86_400;
