//! `registry-node certificates`: what of a node's TLS material ends when, from its files alone.

use std::path::PathBuf;

use rustls::pki_types::UnixTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    certificates::{Ends, Expiry, Level, What},
    config::{ConfigError, Dated},
};

/// Argumente von `certificates`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Liest nur Dateien: der Knoten muss nicht laufen, und nichts davon muss noch gültig \
                  sein. Von der Konfiguration zählen nur node, charter, data_dir, tls.certificate, \
                  tls.client_anchors und tls.crls."
)]
pub struct CertificatesArgs {
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
}

/// Reads the files of a configuration and returns a line for each certificate and list, also for a
/// list that a start would leave out.
///
/// # Errors
///
/// All problems of the files at once.
pub fn run(args: &CertificatesArgs) -> Result<String, ConfigError> {
    let dated = Dated::load(&args.config)?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let Dated { node, chain, members, client_anchors, crls, left_out } = &dated;
    let ends = Ends { node, chain, members, client_anchors, crls };
    let lines = ends.collected(UnixTime::now()).into_iter().map(|it| line(&it, now));
    let unusable =
        left_out.iter().map(|reason| format!("{:<14} nicht brauchbar: {reason}", "Sperrliste"));
    Ok(lines.chain(unusable).collect::<Vec<_>>().join("\n"))
}

pub(super) fn line(it: &Expiry, now: i64) -> String {
    let what = match it.what {
        What::Own => "dieser Knoten",
        What::Chain => "Kette",
        What::Anchor => "Anker",
        What::Crl => "Sperrliste",
        What::Peer => "Partner",
    };
    let state = match it.level(now) {
        Level::Fine => "gültig",
        Level::Days30 => "endet in weniger als 30 Tagen",
        Level::Days14 => "endet in weniger als 14 Tagen",
        Level::Days3 => "endet in Kürze",
        Level::NotYet => "gilt später",
        Level::Expired => "abgelaufen",
        Level::Revoked => "gesperrt",
    };
    let until = OffsetDateTime::from_unix_timestamp(it.not_after).ok();
    let until = until.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_default();
    format!("{what:<14} {state:<29} {until}  {:>10}  {}", days(it.left(now)), it.name)
}

/// How long it counts still, or how long ago it ended.
fn days(left: i64) -> String {
    match (left < 0, left.saturating_abs() / DAY) {
        (false, days) => format!("{days} Tage"),
        (true, 0) => "vor < 1 Tag".to_owned(),
        (true, 1) => "vor 1 Tag".to_owned(),
        (true, days) => format!("vor {days} Tagen"),
    }
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_told_in_days_that_have_passed() {
        let all = [0, DAY, 2 * DAY - 1, -15, 1 - DAY, -DAY, 1 - 2 * DAY, -2 * DAY];
        let told = all.map(days);
        let expect = [
            "0 Tage",
            "1 Tage",
            "1 Tage",
            "vor < 1 Tag",
            "vor < 1 Tag",
            "vor 1 Tag",
            "vor 1 Tag",
            "vor 2 Tagen",
        ];
        assert_eq!(told, expect);
    }
}
