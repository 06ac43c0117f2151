//! Proofs beside what is asked for.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Whether records come with proofs, and what they are verified with.
#[derive(Args, Debug)]
pub(crate) struct Proving {
    /// Zu jedem Eintrag den Beweis mitgeben, dass er im Protokoll seines Landes steht
    #[arg(long)]
    pub(crate) proof: bool,
    /// Die Beweise gegen diese Urkunde nachprüfen, aus eigener Hand: charter.binpb, oder die Kette
    /// (registry charter export), wenn seither Mitglieder oder Schlüssel dazukamen
    #[arg(long, value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) charter: Option<PathBuf>,
}

/// What is asked for, with proofs if wanted.
#[derive(Args, Debug)]
pub(crate) struct Proved<T: Args> {
    #[command(flatten)]
    pub(crate) asked: T,
    #[command(flatten)]
    pub(crate) proving: Proving,
}

// === impl Proving ===

impl Proving {
    /// True if the node shall prove what it says.
    pub(crate) fn is_wanted(&self) -> bool {
        self.proof || self.charter.is_some()
    }
}
