//! The commands of `registry-node`.

mod amend;
pub mod audit;
pub mod certificates;
mod chain;
pub mod charter;
pub mod data;
pub mod epoch;
pub mod evidence;
pub mod init;
pub mod join;
pub mod key;
pub mod pki;
pub mod policy;
pub mod remarks;

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Parser, Subcommand};

use crate::{config::Unlock, demo::DemoArgs};

/// Knoten eines föderierten Registers: jedes Land betreibt einen.
#[derive(Debug, Parser)]
#[command(
    name = "registry-node",
    version,
    max_term_width = 100,
    after_help = "Zum Ausprobieren:\n  registry-node demo\n\nEinen Knoten einrichten:\n  \
                  registry-node init --land SL --node sl-1.verbund.example --dir sl\n  \
                  registry-node charter create --name \"Verbund Mitte\" --out charter.binpb \
                  sl/member.json rp/member.json he/member.json th/member.json\n  \
                  registry-node run --config sl/node.toml\n\nEinem Verbund beitreten:\n  \
                  registry-node join - --config by/node.toml --run < token.txt\n\nEndcodes: 0 in \
                  Ordnung, 1 Fehler, 2 falscher Aufruf, 3 abgelehnt (policy check, join), 64 \
                  fehlerhafte Konfiguration"
)]
pub struct Args {
    /// Was zu tun ist.
    #[command(subcommand)]
    pub command: Command,
}

/// Was zu tun ist.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Erzeugt Schlüssel, Konfiguration und Mitgliedskarte eines Knotens
    Init(init::InitArgs),
    /// Startet einen Knoten
    Run(RunArgs),
    /// Tritt mit einem Einmal-Token einem Verbund bei
    Join(join::JoinArgs),
    /// Startet vier Länder (SL, RP, HE, TH) in einem Prozess mit dem echten Katalog
    Demo(DemoArgs),
    /// Erstellt eine Wegwerf-PKI zum Ausprobieren
    Pki(pki::PkiArgs),
    /// Erzeugt, verschlüsselt und zeigt Signaturschlüssel, in Dateien und in PKCS#11-Token
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Erstellt und zeigt die Gründungscharta eines Verbunds
    #[command(subcommand)]
    Charter(charter::CharterCommand),
    /// Zeigt ohne Netz, welche Zertifikate und Sperrlisten eines Knotens wann enden
    Certificates(certificates::CertificatesArgs),
    /// Zeigt, exportiert und prüft Beweise, dass ein Land zwei Fassungen seines Protokolls signiert hat
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Erklärt, wer an diesem Knoten was darf
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Setzt das eigene Protokoll zurück, wenn es sich nicht wiederherstellen lässt
    #[command(subcommand)]
    Epoch(epoch::EpochCommand),
    /// Prüft das Auditlog eines Knotens: wer hat wann von wo was getan
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Prüft, installiert und erstellt Datenpakete (Codelisten, LeiKa, Gemeindeverzeichnis)
    #[command(subcommand)]
    Data(data::DataCommand),
}

/// Argumente von `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Alle Fehler der Konfiguration werden auf einmal genannt, bevor ein Port \
                        geöffnet wird. Strg-C oder SIGTERM beendet den Knoten geordnet.")]
pub struct RunArgs {
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Nur die Konfiguration prüfen
    #[arg(long)]
    pub check: bool,
    /// Woher die Passphrase der Schlüssel kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub passphrase: key::PassphraseArgs,
    /// Woher die PIN der Token kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub pin: key::PinArgs,
}

// === impl RunArgs ===

impl RunArgs {
    /// How the keys are opened.
    pub fn unlock(&self) -> Unlock {
        Unlock::With { passphrase: self.passphrase.source(), pin: self.pin.source() }
    }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 Eintrag".to_owned() } else { format!("{count} Einträge") }
}

/// Writes to standard output. Whoever closed it has seen enough (`| head`): that is no failure.
///
/// # Errors
///
/// It cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    seen_enough(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// True when the reader of standard output has gone.
fn seen_enough(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(false),
        Err(failure) if failure.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(failure) => Err(failure),
    }
}
