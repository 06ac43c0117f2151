//! Identity of a service.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// UUID of a service; written with hyphens and lower-case digits. Two Länder may use the same one
/// by mistake; then they are two services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(Uuid);

/// The text is no service id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseServiceIdError {
    /// No UUID, or one in another form.
    #[error(
        "{found:?} is no service id: expected a UUID like 01890a5d-ac96-774b-bcce-b302099a8057"
    )]
    Form {
        /// Start of what was found.
        found: String,
    },
    /// The UUID of only zeros means that somebody forgot to make one.
    #[error("the nil UUID is no service id")]
    Nil,
}

// === impl ServiceId ===

impl ServiceId {
    /// The UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<Uuid> for ServiceId {
    /// Takes the object id of an entry as it is.
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for ServiceId {
    type Err = ParseServiceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParseServiceIdError::Form { found: text.chars().take(64).collect() };
        if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(form());
        }
        let uuid = Uuid::try_parse(text).map_err(|_| form())?;
        if uuid.is_nil() { Err(ParseServiceIdError::Nil) } else { Ok(Self(uuid)) }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        let id: ServiceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ServiceId::from(id.uuid()), id);
        for text in [
            "",
            "01890a5dac96774bbcceb302099a8057",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805g",
            "01890a5dac96-774b-bcce-b302099a80570-",
        ] {
            let error = text.parse::<ServiceId>().unwrap_err();
            assert!(matches!(error, ParseServiceIdError::Form { .. }), "{text}");
        }
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(nil.parse::<ServiceId>(), Err(ParseServiceIdError::Nil));
    }
}
