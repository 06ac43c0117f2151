//! Small forms of values: digits, identifiers, addresses. Pure predicates without messages.

/// True when `text` consists of ASCII digits, as many as `lengths` allows.
pub(super) fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// `^1\d{4}$`
pub(super) fn ozg_id(text: &str) -> bool {
    text.starts_with('1') && digits(text, 5..=5)
}

/// `^S\d{8,11}$`
pub(super) fn fim_schema_id(text: &str) -> bool {
    text.strip_prefix('S').is_some_and(|rest| digits(rest, 8..=11))
}

/// X.Y or X.Y.Z; `latest` is none.
pub(super) fn dotted_version(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    (2..=3).contains(&parts.len()) && parts.iter().all(|part| digits(part, 1..=6))
}

/// Redaktions-ID `^[BLS]\d{6}$`
pub(super) fn redaktion(text: &str) -> bool {
    text.strip_prefix(['B', 'L', 'S']).is_some_and(|rest| digits(rest, 6..=6))
}

/// `<redaktion>.<kind>.<local>` with local `[A-Za-z0-9_-]{1,100}`
pub(super) fn xzufi_id(text: &str, kind: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    parts.next().is_some_and(redaktion)
        && parts.next() == Some(kind)
        && parts.next().is_some_and(|local| {
            (1..=100).contains(&local.len())
                && local.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

/// `^[A-Za-z][A-Za-z0-9_.-]{0,99}$`
pub(super) fn parameter_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// An address that a browser can follow safely: https, a host name or IPv4 address, an optional
/// port, and printable ASCII without quotes, angle brackets or backslash. No user information.
/// At most [`URL_BYTES_MAX`] bytes.
pub(super) fn https_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    text.len() <= URL_BYTES_MAX && authority_form(authority) && tail.bytes().all(uri_byte)
}

/// An https address or a URN (RFC 8141, coarsely).
pub(super) fn https_or_urn(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:") else { return https_url(text) };
    let Some((nid, nss)) = rest.split_once(':') else { return false };
    text.len() <= URL_BYTES_MAX
        && (2..=32).contains(&nid.len())
        && nid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !nss.is_empty()
        && nss.bytes().all(uri_byte)
}

/// The shape of a compact JWS: three non-empty parts of base64url. No signature is checked.
pub(super) fn compact_jws(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    text.len() <= JWS_BYTES_MAX
        && parts.len() == 3
        && parts.iter().all(|part| {
            !part.is_empty()
                && part.len() % 4 != 1
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// `type/subtype`, without parameters (RFC 6838).
pub(super) fn media_type(text: &str) -> bool {
    let name = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
            })
    };
    text.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

/// An identifier of another system: printable ASCII without spaces.
pub(super) fn token(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn authority_form(authority: &str) -> bool {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let port_fits = port
        .is_none_or(|port| digits(port, 1..=5) && port.parse::<u16>().is_ok_and(|port| port != 0));
    port_fits && host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

fn label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}' | b'|')
}

const URL_BYTES_MAX: usize = 2_000;
const JWS_BYTES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(form(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!form(text), "{text:?} is bad");
        }
    }

    #[test]
    fn identifiers() {
        check(ozg_id, &["10000", "19999"], &["", "1000", "100000", "20000", "1000a", "1000٣"]);
        check(
            fim_schema_id,
            &["S07000009", "S00000000239"],
            &["", "S", "S1234567", "S123456789012", "D07000009", "s07000009"],
        );
        check(dotted_version, &["1.0", "1.2.3"], &["", "1", "1.", "1.2.3.4", "latest", "1.x"]);
        check(redaktion, &["B100019", "L100042"], &["", "X100019", "L10001", "L1000190"]);
        check(
            |text| xzufi_id(text, "OD"),
            &["L100042.OD.1", "B100019.OD.a_b-1"],
            &["", "L100042.OE.1", "L100042.OD.", "L100042.OD.a.b", "L100042.OD", "OD.1"],
        );
        check(parameter_name, &["a", "Kasse_1.x-y"], &["", "1a", "a b", "ä", "_a"]);
        assert!(!parameter_name(&"a".repeat(101)));
    }

    #[test]
    fn media_types() {
        check(
            media_type,
            &["application/pdf", "image/svg+xml", "application/vnd.a-b.c"],
            &["", "pdf", "application/", "/pdf", "a/b/c", "a/b; charset=utf-8", "a/ b", "ä/b"],
        );
    }

    #[test]
    fn addresses() {
        check(
            https_url,
            &[
                "https://sl.example",
                "https://sl.example:8443/a/b?c=d#e",
                "https://192.0.2.1/",
                "https://xn--mnchen-3ya.example/",
                "https://eur-lex.europa.eu/a?uri=OJ:L:2004:139:0001:0054:de:PDF",
            ],
            &[
                "",
                "https://",
                "http://sl.example",
                "HTTPS://sl.example",
                "javascript:alert(1)",
                "https:///path",
                "https://user@sl.example",
                "https://sl.example:0/",
                "https://sl.example:99999/",
                "https://sl..example/",
                "https://-sl.example/",
                "https://sl.example/a b",
                "https://sl.example/\"onclick",
                "https://sl.example/<b>",
                "https://münchen.example/",
                " https://sl.example",
            ],
        );
        assert!(!https_url(&format!("https://sl.example/{}", "a".repeat(URL_BYTES_MAX))));
        check(
            https_or_urn,
            &["urn:xoev-de:fim:standard:xzufi", "https://sl.example"],
            &[
                "urn:",
                "urn:x",
                "urn:x:y",
                "urn:xoev-de:",
                "urn:xoev_de:a",
                "urn:xoev-de:a b",
                "ftp://a",
            ],
        );
    }

    #[test]
    fn signatures() {
        check(
            compact_jws,
            &["YQ.YQ.YQ", "eyJhbGciOiJQUzUxMiJ9.e30.c2ln"],
            &["", "a", "YQ.YQ", "YQ.YQ.", "YQ.YQ.YQ.YQ", "YQ.Y+.YQ", "YQ==.YQ.YQ", "Y.YQ.YQ"],
        );
    }
}
