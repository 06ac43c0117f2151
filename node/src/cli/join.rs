//! `registry-node join`: a Land that was invited presents itself, and waits for the votes.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use registry_proto::{
    join::{JoinCard, JoinToken, TOKEN_CHARS_MAX, TokenError},
    terms::Land,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cli::{
        chain::to_compare,
        charter::{self, CharterCommandError},
        init::KEY_FILES,
        key::{PassphraseArgs, PinArgs},
    },
    config::{ConfigError, Newcomer, Unlock},
    join::{self, Asking, JoinError, KeepError, LOOK_EVERY, Told},
};

/// Argumente von `join`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Das Token gibt ein Mitglied aus (registry charter invite). Es gilt einmal: für \
                  die Mitgliedskarte, mit der es zuerst vorgelegt wird; derselbe Aufruf darf \
                  wiederholt werden.\n\nDer Offline-Schlüssel signiert die Karte mit und wird nur \
                  dafür gelesen; bringen Sie ihn danach an seinen sicheren Ort.\n\nEndcodes: 0 in \
                  Ordnung, 1 Fehler, 3 abgelehnt (falscher Server, Token benutzt oder abgelaufen), \
                  64 fehlerhafte Konfiguration\n\nBeispiele:\n  registry-node join - --config \
                  by/node.toml < token.txt\n  registry-node join - --config by/node.toml --wait"
)]
pub struct JoinArgs {
    /// Das Token; - liest es von der Standardeingabe, damit es in keiner Prozessliste steht
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// Konfigurationsdatei des neuen Knotens; die Charta wird dorthin geschrieben, wo sie sie nennt
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Mitgliedskarte; ohne Angabe member.json neben der Konfiguration
    #[arg(long, value_name = "KARTE")]
    pub card: Option<PathBuf>,
    /// Offline-Schlüssel: Datei, vom Verzeichnis der Konfiguration aus, oder pkcs11:-URI
    #[arg(long, value_name = "ORT", default_value = KEY_FILES[2])]
    pub offline_key: String,
    /// Warten, bis die Mitglieder zugestimmt haben
    #[arg(long)]
    pub wait: bool,
    /// Warten und dann den Knoten starten
    #[arg(long, conflicts_with_all = ["passphrase_fd", "pin_fd"])]
    pub run: bool,
    /// Woher die Passphrase der Schlüssel kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN der Token kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub pin: PinArgs,
}

/// Why a Land does not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinCommandError {
    /// The token cannot be read.
    #[error("das Token ist nicht lesbar")]
    Input(#[source] io::Error),
    /// The text is no token.
    #[error("das ist kein Token: {}", token_words(.0))]
    Token(TokenError),
    /// It is too late.
    #[error("das Token ist am {0} abgelaufen; ein neues erbitten")]
    Expired(String),
    /// It is for another Land.
    #[error("das Token lädt {invited} ein, die Konfiguration ist die von {own}")]
    OtherLand {
        /// Who is invited.
        invited: Land,
        /// Who asks.
        own: Land,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The card cannot be used.
    #[error(transparent)]
    Card(#[from] CharterCommandError),
    /// The card is another one than that of the node.
    #[error("{}: {field} ist nicht der Schlüssel oder Name, den die Konfiguration nennt",
            .path.display())]
    OtherCard {
        /// Which card.
        path: PathBuf,
        /// What differs.
        field: &'static str,
    },
    /// A key does not sign.
    #[error("ein Schlüssel signiert nicht")]
    Sign(#[source] ed25519_dalek::SignatureError),
    /// The node told nothing.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Standard output cannot be written.
    #[error("die Standardausgabe ist nicht beschreibbar")]
    Output(#[source] io::Error),
    /// The charters cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

// === impl JoinCommandError ===

impl JoinCommandError {
    /// Whether somebody said no, so that asking again does not help.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Expired(_)
                | Self::OtherLand { .. }
                | Self::Join(
                    JoinError::Refused { .. }
                        | JoinError::NotPinned { .. }
                        | JoinError::OtherPort { .. }
                        | JoinError::Token(_)
                        | JoinError::Decision { .. }
                )
        )
    }
}

/// Presents the card, keeps the charters, and waits for the votes if that was asked for.
///
/// # Errors
///
/// See [`JoinCommandError`].
pub async fn run(args: &JoinArgs) -> Result<(), JoinCommandError> {
    let token = JoinToken::parse(&token_text(&args.token)?).map_err(JoinCommandError::Token)?;
    let expires = token.invited.expires_unix_seconds;
    let unlock = Unlock::With { passphrase: args.passphrase.source(), pin: args.pin.source() };
    let newcomer = Newcomer::load(&args.config, &args.offline_key, &unlock)?;
    let asking = prepare(token, &newcomer, &args.card())?;
    // the node begins again under each new charter; whoever was there before knows the way
    let patient = (args.wait || args.run) && newcomer.charter.exists();
    let mut told = match look(&asking, patient).await {
        // presented before: the same card goes on after the end of the token
        Ok(told) => told,
        Err(JoinError::Refused { reason, .. }) if reason == NOT_PRESENTED => {
            if OffsetDateTime::now_utc().unix_timestamp() >= expires {
                return Err(JoinCommandError::Expired(time_text(expires)));
            }
            asking.present().await?
        }
        Err(error) => return Err(error.into()),
    };
    // whoever looked only has still to show that it is the same card
    told = if told.admits(&asking) { told } else { asking.present().await? };
    join::keep(&newcomer.charter, &told.charters, &told.decisions)?;
    say(described(&told, &asking, &newcomer.charter))?;
    if args.wait || args.run {
        told = wait(&asking, told).await?;
        join::keep(&newcomer.charter, &told.charters, &told.decisions)?;
    }
    if told.admits(&asking) {
        say(admitted(&told, &asking, &args.config))?;
    }
    Ok(())
}

/// Signs the card that answers a token.
///
/// # Errors
///
/// The card is not that of the node, or a key does not sign.
pub fn prepare(
    token: JoinToken,
    newcomer: &Newcomer,
    path: &Path,
) -> Result<Asking, JoinCommandError> {
    let (invited, own) = (token.invited.land, newcomer.land);
    if invited != own {
        return Err(JoinCommandError::OtherLand { invited, own });
    }
    let member = charter::member(&charter::read_card(path)?, path)?;
    let keys = [newcomer.signer.log(), newcomer.signer.freshness(), &newcomer.offline];
    let differs = [
        ("land", member.land != own.code()),
        ("log_key", member.log_key[..] != keys[0].public().as_bytes()[..]),
        ("freshness_key", member.freshness_key[..] != keys[1].public().as_bytes()[..]),
        ("offline_key", member.offline_key[..] != keys[2].public().as_bytes()[..]),
        ("nodes", !member.nodes.iter().any(|it| it.name == newcomer.node)),
    ];
    if let Some((field, _)) = differs.into_iter().find(|(_, differs)| *differs) {
        return Err(JoinCommandError::OtherCard { path: path.to_owned(), field });
    }
    let (id, verbund) = (token.invited.id, token.invited.verbund);
    let card = JoinCard::sign(id, member, verbund, keys).map_err(JoinCommandError::Sign)?;
    Ok(Asking { token, card, profile: newcomer.profile })
}

fn say(text: String) -> Result<(), JoinCommandError> {
    super::print(&(text + "\n")).map_err(JoinCommandError::Output)
}

async fn wait(asking: &Asking, mut told: Told) -> Result<Told, JoinCommandError> {
    while !told.admits(asking) {
        tokio::time::sleep(LOOK_EVERY).await;
        told = look(asking, true).await?;
    }
    Ok(told)
}

/// What became of the card; whoever is patient asks until the node can be reached.
async fn look(asking: &Asking, patient: bool) -> Result<Told, JoinError> {
    let mut silent = false;
    loop {
        match asking.look().await {
            // the node begins again under each new charter
            Err(
                error @ (JoinError::Unreachable { .. }
                | JoinError::Ended { .. }
                | JoinError::Unavailable(_)),
            ) if patient => {
                if !std::mem::replace(&mut silent, true) {
                    eprintln!("{error}; es wird weiter versucht");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            other => return other,
        }
    }
}

fn described(told: &Told, asking: &Asking, path: &Path) -> String {
    let Some(charter) = told.newest() else { return String::new() };
    let invited = &asking.token.invited;
    let mut text = format!(
        "Verbund   {}{}\nKennung   {}\nCharta    Nr. {}, {}\n\n{}",
        charter.name(),
        if charter.is_test() { " (Testverbund)" } else { "" },
        charter.id(),
        charter.number(),
        path.display(),
        to_compare(&told.charters, &told.unproved),
    );
    if !told.admits(asking) {
        text.push_str(&format!(
            "\n{} steht als Anwärter bei {} bis {}. Mitglied ist es, sobald {} von {} Mitgliedern \
             zustimmen:\n  registry charter propose --pending {}   (an einem Knoten von {})",
            invited.land,
            invited.node,
            time_text(told.waits_until),
            charter.threshold(),
            charter.voters().count(),
            invited.land,
            invited.issuer,
        ));
    }
    text
}

fn admitted(told: &Told, asking: &Asking, config: &Path) -> String {
    let number = told.newest().map_or(0, registry_proto::charter::Charter::number);
    let compare = to_compare(&told.charters, &told.unproved);
    let mut text = format!(
        "\n{} ist Mitglied, seit Charta Nr. {number}.\n{compare}\nStarten: registry-node run --config {}\n\
         Partner für die node.toml, wie {} sie kennt:",
        asking.token.invited.land,
        config.display(),
        asking.token.invited.node,
    );
    for it in &told.partners {
        text.push_str(&format!(
            "\n  [[peers]]\n  land = {:?}\n  node = {:?}\n  address = {:?}",
            it.land, it.node, it.address
        ));
    }
    text
}

// === impl JoinArgs ===

impl JoinArgs {
    fn card(&self) -> PathBuf {
        let beside = || self.config.parent().unwrap_or_else(|| Path::new("")).join("member.json");
        self.card.clone().unwrap_or_else(beside)
    }
}

fn token_text(given: &str) -> Result<String, JoinCommandError> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let most = 2 * TOKEN_CHARS_MAX as u64;
    io::stdin().take(most).read_to_string(&mut text).map_err(JoinCommandError::Input)?;
    Ok(text)
}

fn token_words(error: &TokenError) -> String {
    match error {
        TokenError::Prefix => format!("es beginnt nicht mit {}", registry_proto::join::PREFIX),
        TokenError::Damaged => "es ist unvollständig, oder ein Zeichen ist falsch".to_owned(),
        TokenError::Form { .. } => "eine neuere Fassung der Software hat es gemacht".to_owned(),
        other => other.to_string(),
    }
}

fn time_text(unix_seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix_seconds).ok();
    at.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_else(|| unix_seconds.to_string())
}

const NOT_PRESENTED: &str = "NOT_PRESENTED";
