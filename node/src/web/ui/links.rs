//! Addresses of the pages. Everything of a record in an address is encoded here.

use std::fmt::{self, Write};

/// The catalogue.
pub(super) const CATALOGUE: &str = "/";
/// Who re-uses what.
pub(super) const NACHNUTZUNGEN: &str = "/nachnutzungen";
/// State of the Verbund.
pub(super) const VERBUND: &str = "/verbund";
/// What programs read.
pub(super) const API: &str = "/api/v1";
/// Anchor of the main part of every page.
pub(super) const MAIN: &str = "#inhalt";

/// Page of a service.
pub(super) fn service(land: &str, service_id: &str) -> String {
    format!("/leistungen/{}/{}", Encoded(land), Encoded(service_id))
}

/// Page of a version.
pub(super) fn version(land: &str, service_id: &str, version: &str) -> String {
    format!("{}/versionen/{}", service(land, service_id), Encoded(version))
}

/// What changed between two versions.
pub(super) fn diff(land: &str, service_id: &str, from: &str, to: &str) -> String {
    format!("{}/diff{}", service(land, service_id), query([("von", from), ("bis", to)]))
}

/// A query of the parameters that are not empty, with its question mark.
pub(super) fn query<'t>(parameters: impl IntoIterator<Item = (&'t str, &'t str)>) -> String {
    let mut text = String::new();
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        let mark = if text.is_empty() { '?' } else { '&' };
        // writing into a string does not fail
        let _ = write!(text, "{mark}{name}={}", Encoded(value));
    }
    text
}

/// A text as a part of a path or query (RFC 3986, unreserved characters stay).
struct Encoded<'t>(&'t str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place_in_an_address() {
        assert_eq!(service("SL", "a/../b?x#y"), "/leistungen/SL/a%2F..%2Fb%3Fx%23y");
        let address = diff("SL", "a", "1.0.0", "2.0.0+b 1");
        assert_eq!(address, "/leistungen/SL/a/diff?von=1.0.0&bis=2.0.0%2Bb%201");
        assert_eq!(query([("q", ""), ("land", "SL"), ("x", "&=ä")]), "?land=SL&x=%26%3D%C3%A4");
        assert_eq!(query([]), "");
    }
}
