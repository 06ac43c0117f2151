//! `registry-node init`: keys, configuration and member card of a node.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ed25519_dalek::{SigningKey, VerifyingKey};
use registry_proto::terms::Land;

use crate::{
    cli::{
        charter::{CardNode, MemberCard},
        key::{KeyCommandError, PassphraseArgs, PinArgs, place},
    },
    keys::{self, KeyError, KeyPlace, Opener, Passphrase, Protection, Secret, TokenError},
};

/// Argumente von `init`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Bestehende Dateien und Schlüssel werden nie überschrieben. offline.key gehört \
                  nicht auf den Knoten: verwahren Sie ihn an einem anderen Ort; er wird nur für \
                  Notfälle gebraucht. Ein Schlüssel in einem PKCS#11-Token wird dort erzeugt, wenn \
                  es ihn noch nicht gibt:\n  --log-key \
                  'pkcs11:token=Verbund;object=log?module-path=/usr/lib/softhsm/libsofthsm2.so'"
)]
pub struct InitArgs {
    /// Kürzel des Landes (SL, RP, HE, TH, …)
    #[arg(long)]
    pub land: Land,
    /// DNS-Name des Knotens, wie er im Zertifikat steht
    #[arg(long)]
    pub node: String,
    /// Verzeichnis des Knotens
    #[arg(long, value_name = "VERZEICHNIS")]
    pub dir: PathBuf,
    /// Vertrauensanker des Landes (PEM), unter denen der Name des Knotens zählt
    #[arg(long, value_name = "DATEI")]
    pub anchor: Vec<PathBuf>,
    /// Log-Schlüssel: Datei im Verzeichnis des Knotens, oder pkcs11:-URI
    #[arg(long, value_name = "ORT", default_value = KEY_FILES[0])]
    pub log_key: String,
    /// Freshness-Schlüssel: Datei im Verzeichnis des Knotens, oder pkcs11:-URI
    #[arg(long, value_name = "ORT", default_value = KEY_FILES[1])]
    pub freshness_key: String,
    /// Offline-Schlüssel: Datei im Verzeichnis des Knotens, oder pkcs11:-URI
    #[arg(long, value_name = "ORT", default_value = KEY_FILES[2])]
    pub offline_key: String,
    /// Woher die Passphrase kommt; mit ihr werden die Schlüssel in Dateien verschlüsselt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN der Token kommt.
    #[command(flatten)]
    pub pin: PinArgs,
}

/// Why a node is not set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file cannot be read or written.
    #[error("{}: kann nicht gelesen oder geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The card cannot be encoded.
    #[error("die Mitgliedskarte kann nicht kodiert werden")]
    Encode,
    /// A key cannot be made, read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A place of a key names none.
    #[error(transparent)]
    Place(#[from] KeyCommandError),
}

/// Names of the key files in the directory of a node.
pub const KEY_FILES: [&str; 3] = ["log.key", "freshness.key", "offline.key"];

/// Sets up a node and returns what to tell the operator.
///
/// # Errors
///
/// See [`InitError`]. What exists already stays as it is.
pub fn run(args: &InitArgs) -> Result<String, InitError> {
    let dir = &args.dir;
    fs::create_dir_all(dir).map_err(|source| file_error(dir, source))?;
    let passphrase = args.passphrase.read()?;
    let mut opener = Opener::new(None, args.pin.source());
    let mut told = format!("Knoten {} von {} in {}:", args.node, args.land.name(), dir.display());
    let mut ensure = |name: &str, text: &str| -> Result<VerifyingKey, InitError> {
        let (public, kept) = match place(text)? {
            KeyPlace::File(path) => {
                let path = dir.join(path);
                let key = ensure_key_with(&path, passphrase.as_ref())?;
                // a file that was there already stays as it was, passphrase or not
                let is_encrypted = keys::describe(&path)?.is_some();
                let kept = if is_encrypted { "verschlüsselt" } else { "NICHT verschlüsselt" };
                (key.verifying_key(), kept)
            }
            place @ KeyPlace::Token(_) => ensure_in_token(&place, &mut opener)?,
        };
        told.push_str(&format!("\n  {name:<16} {}, {kept}", keys::shown(text)));
        Ok(public)
    };
    let log = ensure("Log", &args.log_key)?;
    let freshness = ensure("Freshness", &args.freshness_key)?;
    let offline = ensure("Offline", &args.offline_key)?;
    let mut anchors = Vec::new();
    for path in &args.anchor {
        anchors.push(fs::read_to_string(path).map_err(|source| file_error(path, source))?);
    }
    let card = card(args.land, &args.node, [&log, &freshness, &offline], anchors);
    let json = serde_json::to_string_pretty(&card).map_err(|_| InitError::Encode)?;
    for (name, text) in [("member.json", json + "\n"), ("node.toml", template(args))] {
        let new = write_new(&dir.join(name), text.as_bytes(), 0o644)?;
        let kept = match new {
            true => "neu".to_owned(),
            false if name == "member.json" => card_that_was_there(&dir.join(name), &card),
            false => "bestand schon".to_owned(),
        };
        told.push_str(&format!("\n  {name:<16} {kept}"));
    }
    told.push_str(
        "\nAls Nächstes:\n  1. member.json den anderen Gründern geben; aus allen Karten entsteht \
         charter.binpb (registry-node charter create)\n  2. Zertifikat, Schlüssel und Anker in \
         node.toml eintragen, Partner unter [[peers]]\n  3. den Offline-Schlüssel an einen \
         sicheren Ort bringen\n  4. registry-node run --config ",
    );
    told.push_str(&dir.join("node.toml").display().to_string());
    Ok(told)
}

/// The card of a member with one node.
pub fn card(
    land: Land,
    node: &str,
    [log, freshness, offline]: [&VerifyingKey; 3],
    anchors: Vec<String>,
) -> MemberCard {
    let public = |key: &VerifyingKey| hex::encode(key.as_bytes());
    MemberCard {
        land: land.code().to_owned(),
        log_key: public(log),
        freshness_key: public(freshness),
        offline_key: public(offline),
        nodes: vec![CardNode { name: node.to_owned(), spki_pins: Vec::new() }],
        anchors,
    }
}

/// Reads a key, or makes one (mode 0600) where there is none.
///
/// # Errors
///
/// See [`InitError`].
pub fn ensure_key(path: &Path) -> Result<SigningKey, InitError> {
    ensure_key_with(path, None)
}

fn ensure_key_with(path: &Path, passphrase: Option<&Secret>) -> Result<SigningKey, InitError> {
    if path.exists() {
        let mut passphrase = Passphrase::known(passphrase.cloned());
        return Ok(keys::read(path, &mut passphrase)?.signing);
    }
    let key = keys::generate()?;
    keys::write_new(path, &key, passphrase)?;
    Ok(key)
}

fn ensure_in_token(
    place: &KeyPlace,
    opener: &mut Opener,
) -> Result<(VerifyingKey, &'static str), InitError> {
    let opened = match (opener.open(place, None), place) {
        (Err(KeyError::Token(TokenError::NoKey { .. })), KeyPlace::Token(uri)) => {
            opener.generate(uri)?
        }
        (opened, _) => opened?,
    };
    let kept = match opened.protection {
        Protection::Token => "im Token, das ihn nicht herausgibt",
        _ => "im Token, das ihn mit der PIN HERAUSGIBT",
    };
    Ok((*opened.key.public(), kept))
}

/// What to tell of a card that stays as it is: what the operator added to it is nobody's business, but
/// what this call asked for and is not there is.
fn card_that_was_there(path: &Path, wanted: &MemberCard) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let Ok(card) = serde_json::from_str::<MemberCard>(&text) else {
        return "bestand schon und bleibt, ist aber keine Mitgliedskarte; von Hand ändern"
            .to_owned();
    };
    let key = |there: &str, wanted: &str| there.eq_ignore_ascii_case(wanted);
    let anchors = card.anchors.concat();
    let has_node = |it: &CardNode| card.nodes.iter().any(|there| there.name == it.name);
    let asked = [
        ("das Land", card.land == wanted.land),
        ("der Name des Knotens", wanted.nodes.iter().all(has_node)),
        ("der Log-Schlüssel", key(&card.log_key, &wanted.log_key)),
        ("der Freshness-Schlüssel", key(&card.freshness_key, &wanted.freshness_key)),
        ("der Offline-Schlüssel", key(&card.offline_key, &wanted.offline_key)),
        ("ein Anker (--anchor)", wanted.anchors.iter().all(|it| anchors.contains(it.trim()))),
    ];
    let lacks: Vec<_> = asked.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if lacks.is_empty() {
        return "bestand schon".to_owned();
    }
    let lacks = lacks.join(", ");
    format!(
        "bestand schon und bleibt, obwohl dieser Aufruf anderes verlangt; es fehlt: {lacks}; von \
         Hand ändern"
    )
}

/// Writes a file that must not exist; false when it does.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, InitError> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(file_error(path, source)),
    };
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| file_error(path, source))?;
    Ok(true)
}

fn file_error(path: &Path, source: io::Error) -> InitError {
    InitError::File { path: path.to_owned(), source }
}

fn template(args: &InitArgs) -> String {
    // a URI may hold what TOML has a meaning for
    let quoted = |text: &str| toml::Value::from(text).to_string();
    TEMPLATE
        .replace("@LAND@", args.land.code())
        .replace("@NODE@", &args.node)
        .replace("@LOG@", &quoted(&args.log_key))
        .replace("@FRESHNESS@", &quoted(&args.freshness_key))
}

const TEMPLATE: &str = include_str!("node.template.toml");

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: InitArgs,
    }

    #[test]
    fn a_key_that_was_there_is_shown_as_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        keys::write_new(&dir.path().join("log.key"), &keys::generate().unwrap(), None).unwrap();
        let passphrase = dir.path().join("pw");
        write_new(&passphrase, b"geheim\n", 0o600).unwrap();
        let (home, passphrase) = (dir.path().to_str().unwrap(), passphrase.to_str().unwrap());
        let line = ["init", "--land", "SL", "--node", "sl-1.example", "--dir", home];
        let line = line.into_iter().chain(["--passphrase-file", passphrase]);
        let told = run(&Line::parse_from(line).args).unwrap();
        let told: Vec<_> = told.lines().filter(|it| it.contains(".key, ")).map(str::trim).collect();
        let expected = [
            "Log              log.key, NICHT verschlüsselt",
            "Freshness        freshness.key, verschlüsselt",
            "Offline          offline.key, verschlüsselt",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_anchor_that_a_card_does_not_take_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (home, anchor) = (dir.path().join("sl"), dir.path().join("ca.pem"));
        fs::write(&anchor, "PEM").unwrap();
        let (home, anchor) = (home.to_str().unwrap(), anchor.to_str().unwrap());
        let line = ["init", "--land", "SL", "--node", "sl-1.example", "--dir", home];
        let told = |more: &[&str]| run(&Line::parse_from([&line, more].concat()).args).unwrap();
        assert!(told(&[]).contains("member.json      neu"));
        assert!(!told(&[]).contains("von Hand ändern"));
        let lacks = "es fehlt: ein Anker (--anchor); von Hand ändern";
        assert!(told(&["--anchor", anchor]).contains(lacks));
        // by hand, as the manual says: in another form, and with more in it
        let path = Path::new(home).join("member.json");
        let mut card: MemberCard =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        card.anchors = vec!["PEM\nOTHER\n".to_owned()];
        let other = CardNode { name: "sl-2.example".to_owned(), spki_pins: Vec::new() };
        card.nodes.insert(0, other);
        card.log_key = card.log_key.to_uppercase();
        fs::write(&path, serde_json::to_string(&card).unwrap()).unwrap();
        assert!(!told(&["--anchor", anchor]).contains("von Hand ändern"));
        card.offline_key = "00".repeat(32);
        card.nodes.pop();
        fs::write(&path, serde_json::to_string(&card).unwrap()).unwrap();
        let lacks = "es fehlt: der Name des Knotens, der Offline-Schlüssel; von Hand ändern";
        assert!(told(&[]).contains(lacks));
        fs::write(&path, "{}").unwrap();
        assert!(told(&[]).contains("ist aber keine Mitgliedskarte"));
    }
}
