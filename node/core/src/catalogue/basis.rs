//! Legal bases as the LeiKa file writes them: `text [url], text [url]`, with commas in the texts.

/// A legal basis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rechtsgrundlage {
    /// Citation.
    pub text: String,
    /// Address of the text of the law, as the source has it (mostly http).
    pub url: String,
}

// === impl Rechtsgrundlage ===

impl Rechtsgrundlage {
    /// The address with https. The source has http for nearly all, and none for one.
    pub fn https_url(&self) -> String {
        match self.url.split_once("://") {
            Some((_, rest)) => format!("https://{rest}"),
            None => format!("https://{}", self.url),
        }
    }
}

/// Splits a list at the brackets, since commas stand inside of citations as well. `None` when the
/// text is not of the form `text [url], text [url]`.
pub(super) fn parse(list: &str) -> Option<Vec<Rechtsgrundlage>> {
    let mut rest = list.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (text, tail) = rest.split_once('[')?;
        let (url, tail) = tail.split_once(']')?;
        let (text, url) = (text.trim(), url.trim());
        if text.is_empty() || url.is_empty() {
            return None;
        }
        found.push(Rechtsgrundlage { text: text.to_owned(), url: url.to_owned() });
        let tail = tail.trim_start();
        rest = if tail.is_empty() { tail } else { tail.strip_prefix(',')?.trim_start() };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: Option<&[(&str, &str)]>) {
        let found = parse(list);
        let pairs = found.as_ref().map(|all| {
            all.iter().map(|one| (one.text.as_str(), one.url.as_str())).collect::<Vec<_>>()
        });
        assert_eq!(pairs.as_deref(), expected, "{list}");
    }

    #[test]
    fn lists_split_at_brackets_and_not_at_commas() {
        check("", Some(&[]));
        check("§ 1 A [http://a/1]", Some(&[("§ 1 A", "http://a/1")]));
        check(
            "§ 24 Nr. 1, 3 und 4 SigG [http://a/24], Beteiligung (KfW), 2 [http://b/?x=1,2]",
            Some(&[
                ("§ 24 Nr. 1, 3 und 4 SigG", "http://a/24"),
                ("Beteiligung (KfW), 2", "http://b/?x=1,2"),
            ]),
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for list in
            ["§ 1 A", "§ 1 A [http://a", "[http://a]", "§ 1 []", "a [b] c [d]", "a [b] tail"]
        {
            check(list, None);
        }
    }

    #[test]
    fn addresses_become_https() {
        for url in ["http://a.de/x", "https://a.de/x", "a.de/x"] {
            let basis = Rechtsgrundlage { text: "§".to_owned(), url: url.to_owned() };
            assert_eq!(basis.https_url(), "https://a.de/x");
        }
    }
}
