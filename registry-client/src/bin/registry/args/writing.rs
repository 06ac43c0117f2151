//! Options of every command that writes.

use clap::Args;
use registry_client::publish::{IDEMPOTENCY_KEY_CHARS_MAX, new_idempotency_key};

/// How something is written.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Schreiben")]
pub(crate) struct Writing {
    /// Nur prüfen, nichts schreiben
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Nur, wenn der Gegenstand noch diesen Stand hat (Revision aus show); 0: noch keinen
    #[arg(long, value_name = "NUMMER")]
    pub(crate) expected_revision: Option<u64>,
    /// Schlüssel, unter dem derselbe Aufruf gefahrlos wiederholt wird (ohne Angabe ein neuer)
    #[arg(long, value_name = "SCHLÜSSEL", value_parser = key)]
    pub(crate) idempotency_key: Option<String>,
    /// Erst antworten, wenn so viele andere Länder es dauerhaft haben (0 bis 16)
    #[arg(long, value_name = "ANZAHL", default_value_t = 0, hide_default_value = true)]
    pub(crate) ack_peers: u32,
}

// === impl Writing ===

impl Writing {
    /// The key of this call: as given, else a fresh one.
    pub(crate) fn key(&self) -> String {
        self.idempotency_key.clone().unwrap_or_else(new_idempotency_key)
    }
}

fn key(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=IDEMPOTENCY_KEY_CHARS_MAX => Ok(text.to_owned()),
        _ => Err(format!("erwartet werden 1 bis {IDEMPOTENCY_KEY_CHARS_MAX} Zeichen")),
    }
}
