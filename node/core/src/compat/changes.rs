//! Collects changes, each once, in bounded lists.

use std::collections::BTreeSet;

use super::{CHANGES_MAX, Change, Severity};

/// The changes found so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    breaking: Bounded,
    notes: Bounded,
    compatible: Bounded,
}

/// Changes of one severity.
#[derive(Debug, Default)]
struct Bounded {
    kept: BTreeSet<Change>,
    dropped: usize,
}

// === impl Changes ===

impl Changes {
    pub(super) fn breaking(&mut self, path: &str, rule: &'static str, text: impl Into<String>) {
        self.push(Severity::Breaking, path, rule, text);
    }

    pub(super) fn note(&mut self, path: &str, rule: &'static str, text: impl Into<String>) {
        self.push(Severity::Note, path, rule, text);
    }

    pub(super) fn compatible(&mut self, path: &str, rule: &'static str, text: impl Into<String>) {
        self.push(Severity::Compatible, path, rule, text);
    }

    pub(super) fn push(
        &mut self,
        severity: Severity,
        path: &str,
        rule: &'static str,
        text: impl Into<String>,
    ) {
        let list = match severity {
            Severity::Breaking => &mut self.breaking,
            Severity::Note => &mut self.notes,
            Severity::Compatible => &mut self.compatible,
        };
        if list.kept.len() >= CHANGES_MAX {
            list.dropped += 1;
            return;
        }
        let description = short(&text.into(), DESCRIPTION_CHARS_MAX);
        let path = short(path, PATH_CHARS_MAX);
        list.kept.insert(Change { severity, path, rule, description });
    }

    /// How many breaking changes there are, those left out too.
    pub(super) fn count_breaking(&self) -> usize {
        self.breaking.kept.len() + self.breaking.dropped
    }

    /// All of them in order, the last one a hint if there were more.
    pub(super) fn finish(self) -> Vec<Change> {
        let lists = [self.breaking, self.notes, self.compatible];
        let found: usize = lists.iter().map(|it| it.kept.len() + it.dropped).sum();
        let mut all: Vec<Change> = lists.into_iter().flat_map(|it| it.kept).collect();
        if found > CHANGES_MAX {
            all.truncate(CHANGES_MAX - 1);
            let more = found - all.len();
            all.push(Change {
                severity: Severity::Note,
                path: String::new(),
                rule: "MORE_CHANGES",
                description: format!("… {more} weitere Änderungen werden nicht einzeln genannt"),
            });
        }
        all
    }
}

/// The text without control characters, cut at `max` characters.
fn short(text: &str, max: usize) -> String {
    let mut short: String =
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(max + 1).collect();
    if let Some((at, _)) = short.char_indices().nth(max) {
        short.truncate(at);
        short.push('…');
    }
    short
}

const PATH_CHARS_MAX: usize = 400;
const DESCRIPTION_CHARS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_ends_with_a_hint_and_keeps_what_breaks() {
        let mut changes = Changes::default();
        for n in 0..1_000 {
            changes.compatible(&format!("a{n}"), "ADDED", "neu");
        }
        changes.breaking("z", "REMOVED", "fehlt");
        changes.breaking("z", "REMOVED", "fehlt");
        let all = changes.finish();
        assert_eq!(all.len(), CHANGES_MAX);
        assert_eq!((all[0].path.as_str(), all[0].severity), ("z", Severity::Breaking));
        assert_ne!(all[1].severity, Severity::Breaking);
        let last = &all[CHANGES_MAX - 1];
        assert_eq!(last.rule, "MORE_CHANGES");
        assert_eq!(last.description, "… 802 weitere Änderungen werden nicht einzeln genannt");
    }

    #[test]
    fn texts_of_documents_are_cut_and_cleaned() {
        let mut changes = Changes::default();
        changes.note(&"ä".repeat(1_000), "NOTE", "a\u{1b}[31m");
        let all = changes.finish();
        assert_eq!(all[0].path.chars().count(), PATH_CHARS_MAX + 1);
        assert_eq!(all[0].description, "a\u{fffd}[31m");
    }
}
