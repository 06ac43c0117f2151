//! Where records come from, so that an error can name the place.

use std::sync::Arc;

use super::lines;

/// Where records come from, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

/// Where one record comes from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: String,
    /// From 1.
    pub(super) document: usize,
    /// `records[2].` if the document holds several.
    pub(super) prefix: String,
    /// Of the file, if places in it are named by their line.
    pub(super) text: Option<Arc<str>>,
}

// === impl Source ===

impl Source {
    /// `a.yaml:17` or `a.yaml, Dokument 2`; the line only where `path` can be found in the text.
    pub(super) fn place(&self, path: &str) -> String {
        let line = self.text.as_ref().and_then(|text| lines::of(text, self.document, path));
        match line {
            Some(line) => format!("{}:{line}", self.file),
            None => format!("{}, Dokument {}", self.file, self.document),
        }
    }
}

// === impl Sources ===

impl Sources {
    /// True if the records come from no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, source: Source) {
        self.0.push(source);
    }

    /// The sources of other records behind these.
    pub(crate) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// The sources of some of the records, in the order of `at`.
    pub(crate) fn select(&self, at: &[usize]) -> Self {
        Self(at.iter().filter_map(|at| self.0.get(*at).cloned()).collect())
    }

    /// File of a record.
    pub(crate) fn file(&self, record: usize) -> &str {
        self.0.get(record).map_or("", |it| it.file.as_str())
    }

    /// The place of a path inside a record (`service_version.version`).
    pub(crate) fn place_in(&self, record: usize, path: &str) -> String {
        self.0.get(record).map_or_else(
            || path.to_owned(),
            |source| {
                let path = format!("{}{path}", source.prefix);
                format!("{}, {path}", source.place(&path))
            },
        )
    }

    /// Turns a path of the request (`records[3].service_version.version`) into a place in a file.
    pub(crate) fn place(&self, field: &str) -> String {
        let found = field.strip_prefix("records[").and_then(|rest| rest.split_once(']')).and_then(
            |(index, rest)| {
                let source = self.0.get(index.parse::<usize>().ok()?)?;
                Some((source, rest.trim_start_matches('.')))
            },
        );
        match found {
            Some((source, rest)) => {
                let path = format!("{}{rest}", source.prefix);
                format!("{}, {path}", source.place(&path))
            }
            None => field.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_request_are_places_in_files() {
        let source = Source {
            file: "a.yaml".to_owned(),
            document: 2,
            prefix: "records[1].".to_owned(),
            text: None,
        };
        let mut sources = Sources(vec![source.clone()]);
        assert_eq!(
            sources.place("records[0].service_version.version"),
            "a.yaml, Dokument 2, records[1].service_version.version"
        );
        assert_eq!(sources.place("records[7].x"), "records[7].x");
        assert_eq!(sources.place("ack_peers"), "ack_peers");

        let text = "a: 1\n---\nrecords:\n- {}\n- service_version:\n    version: 1.0.0\n";
        sources.push(Source { text: Some(text.into()), ..source });
        assert_eq!(
            sources.place("records[1].service_version.version"),
            "a.yaml:6, records[1].service_version.version"
        );
        assert_eq!(sources.select(&[1]).file(0), "a.yaml");
    }
}
