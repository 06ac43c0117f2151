//! Why a key in a token is not used; texts are for operators.

use std::{io, path::PathBuf};

/// Why a URI names no key.
#[derive(Debug, thiserror::Error)]
pub enum UriError {
    /// It is no such URI.
    #[error("erwartet pkcs11:token=…;object=…?module-path=/…")]
    Scheme,
    /// It is longer than any URI needs to be.
    #[error("länger als {0} Bytes")]
    TooLong(usize),
    /// A PIN stands in it.
    #[error(
        "eine PIN gehört nicht in die URI, andere könnten sie lesen; ändern Sie die PIN und geben \
         Sie an, woher sie kommt: pin-source=file:/…, pin-source=fd:N oder \
         pin-source=credential:NAME"
    )]
    PinValue,
    /// A part of it cannot be read.
    #[error("{0:?}: erwartet Name=Wert, mit %XX für besondere Zeichen")]
    Malformed(String),
    /// An attribute stands twice.
    #[error("{0} steht zweimal da")]
    Twice(String),
    /// Nothing is known of this attribute.
    #[error(
        "{0} ist hier nicht vorgesehen; vor dem Fragezeichen: token, serial, manufacturer, model, \
         object, id, type; danach: module-path, pin-source"
    )]
    Unknown(String),
    /// Another kind of object.
    #[error("type={0}: erwartet type=private")]
    Type(String),
    /// No such source of a PIN.
    #[error(
        "pin-source={0}: erwartet file:/absoluter/pfad, fd:N oder credential:NAME; Befehle werden \
         nicht ausgeführt"
    )]
    PinSource(String),
    /// Any token would do.
    #[error("welches Token? token=BEZEICHNUNG oder serial=NUMMER angeben")]
    NoToken,
    /// Any key would do.
    #[error("welcher Schlüssel? object=BEZEICHNUNG oder id=%XX angeben")]
    NoObject,
    /// There is no module.
    #[error(
        "das PKCS#11-Modul fehlt: ?module-path=/pfad/zum/modul.so anhängen (SoftHSM unter Debian: \
         /usr/lib/softhsm/libsofthsm2.so)"
    )]
    NoModule,
    /// A module that is searched for could be another.
    #[error("module-path={}: erwartet einen absoluten Pfad", .0.display())]
    RelativeModule(PathBuf),
}

/// Why a key in a token cannot be used. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no module.
    #[error(
        "PKCS#11-Modul {} nicht gefunden; ist das Paket installiert, stimmt module-path?",
        .path.display()
    )]
    NoModule {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could replace what the node runs.
    #[error(
        "PKCS#11-Modul {path}: andere als der Eigentümer können es ändern (Modus {mode:04o}); \
         abstellen mit: chmod go-w {path}", path = .path.display()
    )]
    ModuleMode {
        /// The module.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be loaded.
    #[error(
        "PKCS#11-Modul {} lässt sich nicht laden ({cause}); ist es eines, und für diese Architektur?",
        .path.display()
    )]
    Load {
        /// The module.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// It does not begin to work.
    #[error(
        "PKCS#11-Modul {} nimmt die Arbeit nicht auf ({code}); seine Konfiguration und seine \
         Zugriffsrechte prüfen (SoftHSM: $SOFTHSM2_CONF, Gruppe softhsm)", .path.display()
    )]
    Initialize {
        /// The module.
        path: PathBuf,
        /// What it returned.
        code: String,
    },
    /// No token fits.
    #[error(
        "kein Token für {uri}; vorhanden: {there}. Ist es angeschlossen, stimmt token= oder serial=?"
    )]
    NoToken {
        /// What was asked for.
        uri: String,
        /// The labels that are there.
        there: String,
    },
    /// More than one fits.
    #[error("mehrere Token passen zu {uri}; mit serial=NUMMER auswählen: {there}")]
    SeveralTokens {
        /// What was asked for.
        uri: String,
        /// Their labels and serial numbers.
        there: String,
    },
    /// The PIN is not known.
    #[error(
        "Token «{0}» verlangt eine PIN, und keine ist angegeben (pin_fd, pin_file, pin_credential \
         oder pin-source=… in der URI)"
    )]
    NoPin(String),
    /// The PIN is another.
    #[error(
        "die PIN für Token «{0}» ist falsch. Vorsicht: nach wenigen falschen Versuchen sperrt sich \
         ein Token; erst die PIN berichtigen, dann neu starten. Dieser Prozess versucht es nicht \
         noch einmal"
    )]
    WrongPin(String),
    /// A wrong PIN would lock it.
    #[error(
        "Token «{0}» hat nur noch einen Versuch vor der Sperre; der Knoten nimmt ihn nicht. Melden \
         Sie sich einmal mit dem Werkzeug des Herstellers an, danach zählt das Token neu"
    )]
    LastTry(String),
    /// It is locked.
    #[error("die PIN für Token «{0}» ist gesperrt; nur der Security Officer kann sie neu setzen")]
    Locked(String),
    /// It has no PIN, or one that must be changed.
    #[error("Token «{0}» hat keine gültige Benutzer-PIN; mit dem Werkzeug des Herstellers setzen")]
    PinNotSet(String),
    /// No key fits.
    #[error(
        "kein privater Schlüssel für {uri}; im Token: {there}. Anlegen mit: registry-node key new '{uri}?…'"
    )]
    NoKey {
        /// What was asked for.
        uri: String,
        /// Labels of the private keys that are there.
        there: String,
    },
    /// More than one fits.
    #[error("{count} private Schlüssel passen zu {uri}; mit id=%XX auswählen")]
    SeveralKeys {
        /// What was asked for.
        uri: String,
        /// How many.
        count: usize,
    },
    /// There is a key of this name.
    #[error("{0}: besteht schon und wird nicht überschrieben")]
    Exists(String),
    /// It is a key of another kind.
    #[error("{0}: kein Ed25519-Schlüssel; anlegen mit registry-node key new")]
    NotEd25519(String),
    /// The token does not know Ed25519.
    #[error("Token «{0}» beherrscht Ed25519 nicht (CKM_EDDSA, CKM_EC_EDWARDS_KEY_PAIR_GEN)")]
    NoEddsa(String),
    /// Its public half is not there, and not known otherwise.
    #[error("{0}: der öffentliche Teil liegt nicht im Token")]
    NoPublic(String),
    /// The key signs, but not as this public half.
    #[error(
        "{0}: was der Schlüssel signiert, verifiziert nicht mit seinem öffentlichen Teil; liegt \
         unter diesem Namen ein anderer Schlüssel?"
    )]
    BadSignature(String),
    /// The token refuses something.
    #[error("Token: {doing} misslingt ({code})")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// What the module returned.
        code: String,
    },
    /// The token does not answer.
    #[error("das Token antwortet nicht innerhalb von {0} s")]
    Silent(u64),
    /// Too many wait for the token.
    #[error("zu viele warten auf das Token")]
    Busy,
    /// It failed a moment ago.
    #[error("das Token war eben nicht zu erreichen")]
    Pausing,
    /// Its thread is gone.
    #[error("der Thread des Tokens ist zu Ende")]
    Ended,
    /// The operating system gives no thread.
    #[error("das Betriebssystem gibt keinen Thread für das Token")]
    Thread(#[source] io::Error),
    /// The operating system gives no random numbers.
    #[error("das Betriebssystem liefert keine Zufallszahlen")]
    Random,
}

// === impl TokenError ===

impl TokenError {
    /// True if to try again could lock the token, or cannot help.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoPin(_)
                | Self::WrongPin(_)
                | Self::LastTry(_)
                | Self::Locked(_)
                | Self::PinNotSet(_)
                | Self::NotEd25519(_)
                | Self::BadSignature(_)
        )
    }
}
