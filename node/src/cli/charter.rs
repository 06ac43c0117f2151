//! `registry-node charter`: the genesis charter from the cards of the founding members.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::Message as _;
use registry_client::charter::quota_words;
use registry_core::charter::decision::verified;
use registry_proto::{
    charter::{Charter, CharterError, CharterProblem, DecisionError, Quota, Standing},
    epoch::Ended,
    german::German,
    wire::registry::{self as wire, CharterDecision},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};

pub use super::amend::AmendArgs;

/// Unterbefehle von `charter`.
#[derive(Debug, clap::Subcommand)]
pub enum CharterCommand {
    /// Erstellt die Gründungscharta aus den Mitgliedskarten aller Gründer
    #[command(after_help = "Alle Gründer erhalten dieselbe Datei, Byte für Byte: ihr SHA-256 ist \
                            die Kennung des Verbunds. Vergleichen Sie sie auf einem zweiten Weg.")]
    Create(CreateArgs),
    /// Entwirft die nächste Charta: Mitglieder aufnehmen, ändern, ruhen lassen, ausschließen, Schlüssel
    /// wechseln, Schwelle
    #[command(
        after_help = "Der Entwurf wird mit `registry charter propose` vorgeschlagen; er gilt, \
                            sobald genug Mitglieder für ihn gestimmt haben. Wo ein Protokoll endet, \
                            nennt `registry charter cut LAND` an einem Knoten, der es ganz hat."
    )]
    Amend(AmendArgs),
    /// Zeigt eine Charta, alle einer Kette oder einen Entwurf, mit dem, was zu vergleichen ist
    Show {
        /// Datei der Charta
        #[arg(value_name = "DATEI")]
        file: PathBuf,
        /// Die Kette, auf die ein Entwurf folgt: zeigt, was er ändert
        #[arg(long, value_name = "KETTE")]
        from: Option<PathBuf>,
    },
}

/// Argumente von `charter create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Name des Verbunds
    #[arg(long)]
    pub name: String,
    /// Kennzeichnet einen Verbund, der nur zum Testen besteht
    #[arg(long)]
    pub test: bool,
    /// Stimmen für eine Nachfolge-Charta; ohne Angabe das Mindeste über zwei Dritteln
    #[arg(long, value_name = "ZAHL")]
    pub threshold: Option<u32>,
    /// Zieldatei
    #[arg(long, value_name = "DATEI")]
    pub out: PathBuf,
    /// Mitgliedskarten (member.json) der Gründer
    #[arg(required = true, value_name = "KARTE")]
    pub cards: Vec<PathBuf>,
}

/// What a founder hands to the others: public keys, node names, trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberCard {
    /// Code of the Land.
    pub land: String,
    /// Ed25519 public key of the log, 64 hexadecimal digits.
    pub log_key: String,
    /// Ed25519 public key of the freshness cosignature.
    pub freshness_key: String,
    /// Ed25519 public key that is kept offline.
    pub offline_key: String,
    /// Nodes.
    pub nodes: Vec<CardNode>,
    /// Trust anchors, PEM; node names count under these only.
    #[serde(default)]
    pub anchors: Vec<String>,
}

/// A node on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardNode {
    /// DNS name in the certificate.
    pub name: String,
    /// SHA-256 pins over the public key of the certificate, 64 hexadecimal digits each.
    #[serde(default)]
    pub spki_pins: Vec<String>,
}

/// Why a charter is not made or shown.
#[derive(Debug, thiserror::Error)]
pub enum CharterCommandError {
    /// A file cannot be read or written.
    #[error("{}: kann nicht gelesen oder geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A card is no card.
    #[error("{}: keine Mitgliedskarte", .path.display())]
    Card {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A value on a card has the wrong form.
    #[error("{}: {field} ist {value:?}, erwartet {expected}", .path.display())]
    Value {
        /// Which card.
        path: PathBuf,
        /// Field.
        field: &'static str,
        /// Value.
        value: String,
        /// Form.
        expected: &'static str,
    },
    /// A card of a Land that is no member.
    #[error("{}: {land} ist kein Mitglied; neue Mitglieder kommen mit --admit", .path.display())]
    NoMember {
        /// Which card.
        path: PathBuf,
        /// Its Land.
        land: String,
    },
    /// A Land that is no member.
    #[error("{0} ist kein Mitglied der geltenden Charta")]
    UnknownLand(String),
    /// A text that says no place in a log.
    #[error(
        "{found}: erwartet LAND/EPOCHE/EINTRÄGE/WURZEL, wie `registry charter cut LAND` es ausgibt"
    )]
    CutForm {
        /// What was said.
        found: String,
    },
    /// A text that says no quota.
    #[error("{found}: erwartet LAND/EINTRÄGE/BYTE, zum Beispiel SL/100000/1000000000")]
    QuotaForm {
        /// What was said.
        found: String,
    },
    /// Nobody said where a log ends.
    #[error("--cut {0}/… fehlt: wo das Protokoll endet, nennt `registry charter cut {0}`")]
    CutMissing(String),
    /// A member that takes part cannot be resumed.
    #[error("{0} nimmt schon teil")]
    TakesPart(String),
    /// A removed member comes back with nodes and anchors only.
    #[error("{0} ist ausgeschieden und braucht für die Rückkehr Knoten und Anker: --update KARTE")]
    NeedsCard(String),
    /// A card with the keys of before.
    #[error("{}: Protokoll- und Frischeschlüssel sind die bisherigen", .0.display())]
    SameKeys(PathBuf),
    /// The charter breaks its rules.
    #[error("{0}{next}", next = mends(.0))]
    Charter(German<CharterError>),
    /// The proof that comes with a charter does not hold.
    #[error(
        "der Beweis der Abstimmung über Charta {number} gilt nicht; dieser Kette nicht trauen und \
         sie bei einem anderen Land holen"
    )]
    Decision {
        /// Number of the charter.
        number: u64,
        /// Why.
        #[source]
        why: German<DecisionError>,
    },
    /// The target exists: a charter never changes.
    #[error("{} besteht schon; eine Charta wird nie überschrieben", .0.display())]
    Exists(PathBuf),
}

/// Which argument mends a charter, if one does.
fn mends(error: &German<CharterError>) -> &'static str {
    let threshold = |it: &CharterProblem| matches!(it, CharterProblem::Threshold { .. });
    match error.0.problems.iter().any(threshold) {
        true => "; die Schwelle setzt --threshold ZAHL",
        false => "",
    }
}

/// Runs a subcommand and returns what it prints.
///
/// # Errors
///
/// See [`CharterCommandError`].
pub fn run(command: CharterCommand) -> Result<String, CharterCommandError> {
    match command {
        CharterCommand::Create(args) => create(&args),
        CharterCommand::Amend(args) => super::amend::run(&args),
        CharterCommand::Show { file, from } => super::chain::show(&file, from.as_deref()),
    }
}

/// A chain of charters, and what in it proves that they followed one another.
pub(super) struct Chain {
    /// At least one.
    pub(super) charters: Vec<Charter>,
    /// Resets that whoever exported them has taken.
    pub(super) taken: Ended,
    /// Verified.
    pub(super) decisions: BTreeMap<u64, CharterDecision>,
}

/// Reads a chain; a proof in it that does not hold refuses all of it.
pub(super) fn chain(file: &Path) -> Result<Chain, CharterCommandError> {
    let raw = fs::read(file).map_err(|source| file_error(file, source))?;
    read_chain(raw.into())
}

pub(super) fn read_chain(raw: Bytes) -> Result<Chain, CharterCommandError> {
    let wrong = |it| CharterCommandError::Charter(German(it));
    let taken = Charter::taken_in_chain(&raw).map_err(wrong)?;
    let (charters, decisions) = Charter::chain_and_decisions(raw).map_err(wrong)?;
    let decisions = verified(&charters, decisions)
        .map_err(|(number, why)| CharterCommandError::Decision { number, why: German(why) })?;
    Ok(Chain { charters, taken, decisions })
}

/// Reads a card.
///
/// # Errors
///
/// [`CharterCommandError::File`], [`CharterCommandError::Card`].
pub fn read_card(path: &Path) -> Result<MemberCard, CharterCommandError> {
    let text = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
    serde_json::from_str(&text)
        .map_err(|source| CharterCommandError::Card { path: path.to_owned(), source })
}

fn create(args: &CreateArgs) -> Result<String, CharterCommandError> {
    if args.out.exists() {
        return Err(CharterCommandError::Exists(args.out.clone()));
    }
    let mut members = Vec::with_capacity(args.cards.len());
    for path in &args.cards {
        members.push(member(&read_card(path)?, path)?);
    }
    let charter = assemble(&args.name, args.test, args.threshold, members)?;
    fs::write(&args.out, charter.raw()).map_err(|source| file_error(&args.out, source))?;
    Ok(format!("{}\nGeschrieben: {}", describe(&charter), args.out.display()))
}

/// Makes and checks a genesis charter.
///
/// # Errors
///
/// [`CharterCommandError::Charter`] with everything that is wrong.
pub fn assemble(
    name: &str,
    test: bool,
    threshold: Option<u32>,
    mut members: Vec<wire::Member>,
) -> Result<Charter, CharterCommandError> {
    members.sort_by(|a, b| a.land.cmp(&b.land));
    let least = u32::try_from(members.len() * 2 / 3 + 1).unwrap_or(u32::MAX);
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: name.to_owned(),
        test,
        threshold: threshold.unwrap_or(least),
        members,
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into())
        .map_err(|it| CharterCommandError::Charter(German(it)))
}

/// A member from its card; `path` is named in errors.
///
/// # Errors
///
/// [`CharterCommandError::Value`] for a value of the wrong form.
pub fn member(card: &MemberCard, path: &Path) -> Result<wire::Member, CharterCommandError> {
    let key = |field: &'static str, value: &str| -> Result<Bytes, CharterCommandError> {
        hex::decode(value).ok().filter(|it| it.len() == 32).map(Bytes::from).ok_or_else(|| {
            CharterCommandError::Value {
                path: path.to_owned(),
                field,
                value: value.chars().take(80).collect(),
                expected: "64 hexadezimale Ziffern",
            }
        })
    };
    let unusable = |pem: &str| CharterCommandError::Value {
        path: path.to_owned(),
        field: "anchors",
        value: pem.chars().take(30).collect(),
        expected: "Zertifikate im PEM-Format",
    };
    let mut anchors = Vec::new();
    for pem in &card.anchors {
        let before = anchors.len();
        // a file may hold several, as during a change of the key of a CA
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|_| unusable(pem))?;
            anchors.push(Bytes::copy_from_slice(&der));
        }
        if anchors.len() == before {
            return Err(unusable(pem));
        }
    }
    let mut nodes = Vec::new();
    for node in &card.nodes {
        let pins: Result<Vec<_>, _> =
            node.spki_pins.iter().map(|pin| key("spki_pins", pin)).collect();
        nodes.push(wire::MemberNode { name: node.name.clone(), spki_pins: pins? });
    }
    Ok(wire::Member {
        land: card.land.clone(),
        log_key: key("log_key", &card.log_key)?,
        freshness_key: key("freshness_key", &card.freshness_key)?,
        offline_key: key("offline_key", &card.offline_key)?,
        nodes,
        anchors,
        quota: None,
        ..wire::Member::default()
    })
}

pub(super) fn describe(charter: &Charter) -> String {
    let mut text = format!(
        "Verbund   {}{}\nKennung   {}\nSchwelle  {} von {} Stimmen\nMitglieder",
        charter.name(),
        if charter.is_test() { " (Testverbund)" } else { "" },
        charter.id(),
        charter.threshold(),
        charter.voters().count(),
    );
    if charter.number() > 0 {
        text = format!("Charta    Nr. {}\n{text}", charter.number());
    }
    for member in charter.members() {
        let nodes: Vec<_> = member.nodes.iter().map(|it| it.name.as_str()).collect();
        let standing = match member.standing {
            Standing::Active => String::new(),
            Standing::Suspended(cut) => format!(" (ruht ab Eintrag {})", cut.size),
            Standing::Removed(cut) => format!("ausgeschieden ab Eintrag {}", cut.size),
        };
        text.push_str(&format!(
            "\n  {:<5} {:<24} {}{standing}",
            member.land,
            member.land.name(),
            nodes.join(", ")
        ));
        text.push_str(&limited(&member.quota));
        for (epoch, reset) in (1..).zip(&member.resets) {
            text.push_str(&format!("\n        Epoche {epoch} ist beendet, Zurücksetzung {reset}"));
        }
    }
    text
}

/// A line about a quota that is not the built-in one.
pub(super) fn limited(quota: &Quota) -> String {
    if *quota == Quota::default() {
        return String::new();
    }
    format!("\n        am Tag {}", quota_words(quota))
}

pub(super) fn file_error(path: &Path, source: io::Error) -> CharterCommandError {
    CharterCommandError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::pki::Authority;

    #[test]
    fn every_anchor_of_a_file_is_taken() {
        let root = |name| Authority::root(name, OffsetDateTime::now_utc()).expect("a CA");
        let (one, two, three) = (root("Eins"), root("Eins"), root("Zwei"));
        let key = "ab".repeat(32);
        let card = |anchors: &[String]| MemberCard {
            land: "SL".to_owned(),
            log_key: key.clone(),
            freshness_key: key.clone(),
            offline_key: key.clone(),
            nodes: Vec::new(),
            anchors: anchors.to_vec(),
        };
        let read = |anchors: &[String]| member(&card(anchors), Path::new("member.json"));
        let taken = read(&[one.pem() + &two.pem(), three.pem()]).expect("anchors").anchors;
        let expected = [one, two, three].map(|it| Bytes::copy_from_slice(&it.der()));
        assert_eq!(taken, expected);
        for bad in [String::new(), "kein Zertifikat".to_owned()] {
            let refused = read(&[bad]).expect_err("no certificate");
            assert!(matches!(refused, CharterCommandError::Value { field: "anchors", .. }));
        }
    }
}
