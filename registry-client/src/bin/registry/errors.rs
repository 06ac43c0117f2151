//! What the command line says when something fails: German, short, with the next step.

mod connecting;

use std::{fmt::Write, io};

use registry_client::{
    Class, ClientError,
    artefact::FileError,
    error::{Refusal, Violation},
    proof::ProofError,
};
use registry_proto::{log::CheckpointError, receipt::ReceiptError, statement::StatementError};
use tonic::Code;

use self::connecting::{config, connect};
use crate::{documents::Sources, output::clean, words};

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The client library.
    Client(ClientError),
    /// What was to be written under a key was refused; its records come from these places.
    Write {
        /// Why.
        error: Box<ClientError>,
        /// Where the records come from.
        sources: Sources,
        /// Idempotency key of the request.
        key: String,
    },
    /// The call is wrong; the text says why and what helps.
    Usage(String),
    /// A file was not transferred.
    File(FileError),
    /// Some of what was asked for was refused; the text says what and why.
    Refused(String),
    /// A comparison found differences; they were printed.
    Differences,
    /// What went wrong with a comparison, where the exit code of other errors means differences.
    Comparison(Box<Self>),
    /// Standard output cannot be written.
    Output(io::Error),
    /// Ended by Ctrl-C.
    Interrupted,
    /// What was looked for is said already, and it is not as it should be.
    Found,
    /// A mistake of this program.
    Internal(String),
}

// === impl CliError ===

impl CliError {
    /// Exit code by class; a closed pipe on standard output is success.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.class().exit_code(),
            Self::File(FileError::Client(error)) => error.class().exit_code(),
            Self::File(FileError::Chunk { .. } | FileError::Whole { .. }) => {
                Class::Refused.exit_code()
            }
            Self::File(_) => Class::Usage.exit_code(),
            Self::Write { error, .. } => error.class().exit_code(),
            Self::Usage(_) => Class::Usage.exit_code(),
            Self::Refused(_) | Self::Found => Class::Refused.exit_code(),
            Self::Differences => DIFFERENCES,
            Self::Comparison(error) => match error.exit_code() {
                DIFFERENCES => COMPARISON_FAILED,
                other => other,
            },
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) | Self::Internal(_) => Class::Other.exit_code(),
            Self::Interrupted => 130,
        }
    }

    /// Text for standard error, if there is something to say.
    pub(crate) fn report(&self) -> Option<String> {
        let text = match self {
            Self::Client(error) => client(error, None),
            Self::File(error) => file(error),
            Self::Write { error, sources, key } => {
                described(error, Some(sources).filter(|it| !it.is_empty()), Some(key))
            }
            Self::Usage(text) | Self::Refused(text) => text.clone(),
            Self::Differences => return None,
            Self::Comparison(error) => return error.report(),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return None,
            Self::Output(error) => format!("Standardausgabe nicht beschreibbar: {error}"),
            Self::Internal(text) => format!("Fehler in registry selbst: {text}"),
            Self::Interrupted | Self::Found => return None,
        };
        Some(format!("Fehler: {text}"))
    }

    /// An error of a comparison; never ends with the code that tells of differences.
    pub(crate) fn beside_differences(self) -> Self {
        match self {
            Self::Differences => self,
            other => Self::Comparison(Box::new(other)),
        }
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// German text of an error of the library.
pub(crate) fn client(error: &ClientError, sources: Option<&Sources>) -> String {
    described(error, sources, None)
}

fn described(error: &ClientError, sources: Option<&Sources>, key: Option<&str>) -> String {
    match error {
        ClientError::Config(error) => config(error),
        ClientError::Connect(error) => connect(error),
        ClientError::Refused { refusal, .. } => refused(refusal, sources),
        ClientError::TimedOut { after, .. } => format!(
            "keine Antwort innerhalb von {after:?}.{}\n{NEXT}später erneut versuchen oder \
             --timeout erhöhen",
            unknown_outcome(key)
        ),
        ClientError::Broken { detail, .. } => format!(
            "die Verbindung brach ab, bevor die Antwort da war ({}).{}\n{NEXT}erneut versuchen; \
             läuft der Knoten? registry status",
            clean(detail),
            unknown_outcome(key)
        ),
        ClientError::Protocol(what) => format!(
            "der Knoten hält sich nicht an das Protokoll: {what}.\n{NEXT}Softwarestand des \
             Knotens mit registry status ansehen und dem Betreiber melden"
        ),
        ClientError::Proof(error) => proof(error),
        ClientError::NotResumable(cause) => format!(
            "die Verbindung brach ab, bevor es ein Wiederaufnahme-Token gab; Ereignisse könnten \
             fehlen ({}).\n{NEXT}registry watch ohne --from-now beginnen",
            client(cause, None).lines().next().unwrap_or_default()
        ),
    }
}

/// German text of a transfer that failed.
fn file(error: &FileError) -> String {
    match error {
        FileError::Client(error) => format!(
            "{}\nWas übertragen ist, bleibt; derselbe Aufruf setzt fort.",
            described(error, None, None)
        ),
        FileError::File { operation, path, source } => {
            let what = match *operation {
                "read" => "nicht lesbar",
                "rename" => "nicht umzubenennen",
                _ => "nicht beschreibbar",
            };
            format!("{} ist {what}: {source}.\n{NEXT}Pfad, Rechte und Platz prüfen", path.display())
        }
        FileError::TooLong { path, bytes } => format!(
            "{} hat {bytes} Bytes, erlaubt sind 2 GiB.\n{NEXT}die Datei teilen",
            path.display()
        ),
        FileError::Changed { path } => format!(
            "{} wurde währenddessen geändert.\n{NEXT}erneut senden, wenn die Datei fertig ist",
            path.display()
        ),
        FileError::Exists { path } => format!(
            "{} gibt es schon, mit anderem Inhalt.\n{NEXT}die Datei umbenennen oder mit --to ein \
             anderes Ziel nennen",
            path.display()
        ),
        FileError::Chunk { chunk } => format!(
            "der Knoten sendet andere Bytes als die des Stücks {chunk}.\n{NEXT}der Antwort nicht \
             trauen und einen anderen Knoten fragen"
        ),
        FileError::Whole { sha256 } => format!(
            "die Stücke ergeben nicht die Datei {sha256}: die Beschreibung in der Version \
             widerspricht sich.\n{NEXT}dem Land melden, das die Version veröffentlicht hat"
        ),
    }
}

fn unknown_outcome(key: Option<&str>) -> String {
    match key {
        Some(key) => format!(
            " Ob geschrieben wurde, ist nicht bekannt. Derselbe Aufruf mit --idempotency-key {key} \
             schreibt nichts doppelt und sagt, was daraus wurde."
        ),
        None => String::new(),
    }
}

fn refused(refusal: &Refusal, sources: Option<&Sources>) -> String {
    if refusal.code == Code::Unimplemented && refusal.message.is_empty() {
        return OTHER_PORT.to_owned();
    }
    let what = match refusal.code {
        Code::InvalidArgument => "abgelehnt",
        Code::PermissionDenied | Code::Unauthenticated => "nicht erlaubt",
        Code::AlreadyExists => "steht schon mit anderem Inhalt",
        Code::FailedPrecondition => "nicht möglich",
        Code::Aborted => "inzwischen geändert",
        Code::NotFound => "nicht gefunden",
        Code::Unavailable => "zurzeit nicht möglich",
        Code::DeadlineExceeded => "nicht rechtzeitig fertig",
        Code::ResourceExhausted => "eine Grenze ist erreicht",
        Code::Unimplemented => "der Knoten kann das nicht",
        code @ (Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss) => &format!("der Knoten meldet {code:?}"),
    };
    let finding = |violation: &Violation| {
        let field = clean(&violation.field);
        let place = sources.map_or_else(|| field.clone(), |sources| sources.place(&field));
        let description = clean(&violation.description);
        format!("{place}: {description}{}", rule(Some(&violation.reason)))
    };
    let mut text = match refusal.violations.as_slice() {
        [] => {
            let said = words::german(refusal).unwrap_or_else(|| refusal.message.clone());
            format!("{what}: {}{}", clean(&said), rule(refusal.reason.as_deref()))
        }
        [only] => format!("{what}: {}", finding(only)),
        all => {
            let mut text = format!("{what}, {} Befunde:", total(refusal));
            for violation in all {
                let _ = write!(text, "\n  {}", finding(violation));
            }
            text
        }
    };
    let more = total(refusal).saturating_sub(refusal.violations.len());
    if more > 0 && !refusal.violations.is_empty() {
        let _ = write!(text, "\n  … und {more} weitere");
    }
    if let Some(next) = next_step(refusal, sources) {
        let _ = write!(text, "\n{NEXT}{next}");
    }
    text
}

/// A rule by its name, in brackets.
fn rule(reason: Option<&str>) -> String {
    let reason = reason.filter(|it| !it.is_empty());
    reason.map_or_else(String::new, |it| format!(" [{}]", clean(it)))
}

/// Findings of the node; it tells only those that fit.
fn total(refusal: &Refusal) -> usize {
    let told = refusal.metadata.get("violations").and_then(|it| it.parse::<usize>().ok());
    told.unwrap_or_default().max(refusal.violations.len())
}

/// What lists the things of which the one asked for is none.
fn where_to_look(refusal: &Refusal) -> String {
    let value = |key: &str| refusal.metadata.get(key).map(String::as_str).unwrap_or_default();
    let next = match value("what") {
        "invitation" => "Kennung prüfen: registry charter invitations",
        "erasure of entry" => "registry erase status zeigt, was gelöscht wurde und wird",
        "entry" | "Eintrag" => {
            "Land, Epoche und Index prüfen; registry status nennt, wie weit jedes Protokoll reicht"
        }
        "Nachnutzung" => "Kennung prüfen: registry nachnutzung list",
        "Angebot" => "Kennung prüfen: registry uebergabe list",
        "artefact" | "chunk" => {
            "SHA-256 prüfen: registry version show nennt die Dateien einer Version"
        }
        "version" => {
            let service = value("name").split(' ').next().unwrap_or_default();
            return format!("welche es gibt: registry version list {}", clean(service));
        }
        _ => "Kennung prüfen: registry service list",
    };
    next.to_owned()
}

fn next_step(refusal: &Refusal, sources: Option<&Sources>) -> Option<String> {
    if let Some(wait) = refusal.retry_after {
        return Some(format!("in {} s erneut versuchen", wait.as_secs().max(1)));
    }
    let reason = refusal.reason.as_deref().unwrap_or_default();
    let next = match refusal.code {
        _ if reason == "RESYNC_REQUIRED" => {
            "das Token gilt nicht mehr; registry watch ohne --resume neu beginnen"
        }
        _ if reason == "MISSING_ACKNOWLEDGEMENTS" => {
            "mit --dry-run ansehen, wer noch fehlt; begründet geht es mit --ohne-bestaetigung"
        }
        _ if reason == "AMBIGUOUS_SERVICE" => "das Land mit --land angeben",
        Code::InvalidArgument if sources.is_some() => {
            "Felder berichtigen, mit --dry-run prüfen; nichts wurde veröffentlicht"
        }
        Code::PermissionDenied if matches!(reason, "RULE_DENIES" | "OUT_OF_SCOPE") => {
            "den Betreiber fragen: registry-node policy check zeigt ihm, welche Regel entscheidet"
        }
        Code::PermissionDenied if reason == "SAME_PERSON" => {
            "jemand anderes mit der Rolle publisher führt registry freigabe accept aus"
        }
        Code::PermissionDenied => {
            "ein Zertifikat mit der nötigen Rolle verwenden (--cert, --key) oder den Betreiber \
             um die Rolle bitten"
        }
        Code::Unauthenticated => "mit --cert und --key ein gültiges Zertifikat angeben",
        Code::NotFound if refusal.metadata.get("what").is_some_and(|it| it == "draft") => {
            "Kennung prüfen: registry draft list"
        }
        Code::NotFound if refusal.metadata.get("what").is_some_and(|it| it == "approval") => {
            "Kennung prüfen: registry freigabe list; was freigegeben, abgelehnt oder verfallen ist, \
             steht dort nicht mehr"
        }
        Code::NotFound => return Some(where_to_look(refusal)),
        Code::Aborted if refusal.metadata.get("name").is_some_and(|it| it.starts_with("draft")) => {
            "den Entwurf neu lesen (registry draft show) und den eigenen Stand nachtragen; nichts \
             wurde geschrieben"
        }
        Code::Aborted => {
            "neu lesen (registry service show oder registry nachnutzung show zeigen die Revision) \
             und neu entscheiden; nichts wurde geschrieben"
        }
        Code::AlreadyExists if refusal.message.contains("idempotency_key") => {
            "denselben Aufruf wiederholen, oder für einen anderen einen anderen Schlüssel nehmen"
        }
        Code::AlreadyExists => "eine höhere Version vergeben; Veröffentlichtes ist unveränderlich",
        Code::ResourceExhausted if refusal.reason.as_deref() == Some("LOG_QUOTA") => {
            "später senden, oder mit den anderen Mitgliedern eine größere Menge beschließen \
             (registry-node charter amend --quota, dann registry charter propose)"
        }
        Code::Unavailable | Code::ResourceExhausted => "später erneut versuchen; registry status",
        Code::Unimplemented => "Softwarestand des Knotens mit registry status ansehen",
        Code::Internal | Code::DataLoss => "dem Betreiber melden; das Protokoll nennt die Ursache",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::FailedPrecondition
        | Code::OutOfRange => return None,
    };
    Some(next.to_owned())
}

fn proof(error: &ProofError) -> String {
    let why = match error {
        ProofError::NoMember { land, .. } | ProofError::Receipt(ReceiptError::NoMember(land)) => {
            return beyond_charter(&format!(
                "sie nennt {land} nicht als Mitglied; {land} ist dem Verbund später beigetreten, oder es \
                 gehört nicht dazu"
            ));
        }
        ProofError::Checkpoint(CheckpointError::UnknownKey { .. }) => {
            return beyond_charter(
                "der Prüfpunkt ist mit einem Schlüssel unterschrieben, den sie nicht nennt; vielleicht ein \
                 späterer Schlüssel des Landes, vielleicht der eines Fremden",
            );
        }
        ProofError::Receipt(ReceiptError::Statement(StatementError::Key)) => {
            return beyond_charter(
                "eine Empfangsbestätigung ist mit einem Schlüssel unterschrieben, den sie nicht nennt; \
                 vielleicht ein späterer Schlüssel des Landes, vielleicht der eines Fremden",
            );
        }
        ProofError::Position(error) => error.to_string(),
        ProofError::BeyondCut { land, size } => format!(
            "von {land} gilt nach dieser Urkunde, was vor Eintrag {size} steht, und dieser Eintrag nicht"
        ),
        ProofError::Header(error) => format!("der Kopf ist nicht lesbar ({error})"),
        ProofError::OtherEntry { field } => {
            format!("der Kopf gehört zu einem anderen Eintrag (Feld {field})")
        }
        ProofError::Checkpoint(error) => {
            format!("das Land hat diesen Prüfpunkt nicht unterschrieben ({error})")
        }
        ProofError::HashLength { .. } | ProofError::Inclusion(_) => {
            "der Beweispfad führt nicht vom Eintrag zum Prüfpunkt".to_owned()
        }
        ProofError::Receipt(error) => format!("eine Empfangsbestätigung gilt nicht ({error})"),
        ProofError::Body => "der Inhalt ist nicht der, von dem der Kopf spricht".to_owned(),
    };
    format!(
        "der Beweis gilt NICHT: {why}.\n{NEXT}ist es die richtige Urkunde (--charter)? Wenn ja, \
         der Antwort nicht trauen und einen anderen Knoten fragen"
    )
}

/// The charter at hand proves nothing about members and keys that came after it.
fn beyond_charter(why: &str) -> String {
    format!(
        "mit dieser Urkunde ist der Beweis nicht zu prüfen: {why}.\n{NEXT}die ganze Kette der Chartas \
         holen (registry charter export kette.binpb), die Prüfsumme der neuesten mit anderen Ländern \
         vergleichen und mit --charter kette.binpb noch einmal prüfen; gilt er auch dann nicht, der \
         Antwort nicht trauen"
    )
}

const NEXT: &str = "Nächster Schritt: ";
/// Exit code of a comparison that found differences, as of `diff`.
const DIFFERENCES: u8 = 1;
/// Exit code in place of the same for other errors.
const COMPARISON_FAILED: u8 = 6;
/// A port that does not know a service says so without a word.
const OTHER_PORT: &str = "der Knoten kann das nicht: an diesem Port gibt es den Dienst nicht.\nNächster \
                          Schritt: registry held fragt den Admin-Port (listen.admin des Knotens), alle \
                          anderen Befehle den gRPC-Port (listen.grpc); ist es der richtige, den \
                          Softwarestand mit registry status ansehen";
