//! The file of `--charter`: what answers are verified with, once its own votes were.

use std::{fs, io::Read, path::Path};

use bytes::Bytes;
use registry_core::charter::decision::{unproved, verified};
use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter},
    german::German,
};

use crate::{
    errors::CliError,
    json::{Node, Object},
};

/// A charter whose way from the genesis charter was verified as far as the file proves it.
#[derive(Debug)]
pub(super) struct Trusted {
    charter: Charter,
    unproved: Vec<u64>,
}

// === impl Trusted ===

impl Trusted {
    /// Reads the file. Says so where it does not prove that a charter was voted for.
    ///
    /// # Errors
    ///
    /// The file is no charter and no chain, or votes in it prove something else.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let shown = path.display();
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(CHAIN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| {
                CliError::Usage(format!(
                    "Urkunde {shown} ist nicht lesbar: {error}.\nNächster Schritt: charter.binpb des \
                     Verbunds mit --charter angeben"
                ))
            })?;
        let read = Charter::chain_and_decisions(Bytes::from(bytes));
        let (charters, decisions) = read.map_err(|error| {
            CliError::Usage(format!(
                "{shown} ist keine gültige Urkunde: {}.\nNächster Schritt: charter.binpb des Verbunds \
                 mit --charter angeben",
                German(error)
            ))
        })?;
        let decisions = verified(&charters, decisions).map_err(|(number, error)| {
            CliError::Usage(format!(
                "{shown}: der Beweis der Abstimmung über Charta {number} gilt nicht ({}).\nNächster \
                 Schritt: dieser Kette nicht trauen und sie bei einem anderen Land holen (registry \
                 charter export)",
                German(error)
            ))
        })?;
        let unproved = unproved(&charters, &decisions);
        // of a chain the newest names everybody who ever was a member
        let charter = charters
            .into_iter()
            .next_back()
            .ok_or_else(|| CliError::Usage(format!("{shown} enthält keine Urkunde.")))?;
        let it = Self { charter, unproved };
        it.warn(path);
        Ok(it)
    }

    /// The newest charter.
    pub(super) fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Adds to structured output which charter was verified with, and which ones on the way to it
    /// nothing proves.
    pub(super) fn show(&self, object: Object) -> Object {
        let unproved = self.unproved.iter().copied().map(Node::Number).collect();
        let charter = Object::default()
            .with("number", Node::Number(self.charter.number()))
            .with("digest", Node::Text(self.charter.digest().to_string()))
            .with("unproved", Node::List(unproved));
        object.with("charter", Node::Object(charter))
    }

    fn warn(&self, path: &Path) {
        if self.unproved.is_empty() {
            return;
        }
        let numbers: Vec<_> = self.unproved.iter().map(u64::to_string).collect();
        eprintln!(
            "Achtung: {} enthält keinen Beweis der Abstimmung über Charta Nr. {}. Was hier geprüft wird, \
             gilt nur, wenn sie gilt: die Prüfsumme der neuesten mit mehreren Ländern vergleichen\n  \
             Charta Nr. {}  {}",
            path.display(),
            numbers.join(", "),
            self.charter.number(),
            self.charter.digest()
        );
    }
}
