//! `registry-node pki`: a throw-away PKI for trying things out.

use std::path::PathBuf;

use registry_proto::terms::Land;
use time::OffsetDateTime;

use crate::pki::{Pki, PkiError};

/// Argumente von `pki`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Nur zum Ausprobieren: 90 Tage gültig, die Schlüssel der Stellen werden \
                        nicht aufbewahrt. Im Betrieb kommen Zertifikate aus der V-PKI oder der \
                        PKI des Landes.")]
pub struct PkiArgs {
    /// Verzeichnis, in dem pki/ entsteht
    #[arg(long, value_name = "VERZEICHNIS", default_value = ".")]
    pub dir: PathBuf,
    /// Länder, für die Zertifikate ausgestellt werden
    #[arg(required = true, value_name = "LAND")]
    pub laender: Vec<Land>,
}

/// Makes the PKI and returns what to tell the operator.
///
/// # Errors
///
/// See [`PkiError`]. A complete PKI that exists is kept.
pub fn run(args: &PkiArgs) -> Result<String, PkiError> {
    let pki = Pki::ensure(&args.dir, &args.laender, OffsetDateTime::now_utc())?;
    let mut text = format!("Wegwerf-PKI, Bündel für Clients: {}", pki.bundle().display());
    for land in &args.laender {
        text.push_str(&format!(
            "\n{:<5} Knoten {} ({}), Anker {}",
            land,
            Pki::node_name(*land),
            pki.node(*land).certificate.display(),
            pki.anchor(*land).display()
        ));
    }
    Ok(text)
}
