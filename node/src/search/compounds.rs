//! Splits compounds by a dictionary of the words that the shipped catalogue uses.
//!
//! A part is a word of the dictionary in a form that German puts inside of compounds (Gewerbe,
//! Versicherung+s, Schul(e), Wohn(en), Prüf(ung)). What stands beside known words in several
//! compounds is a word as well ("-steuer", "-titel"). The split with the fewest parts counts. If
//! the dictionary does not cover the word, one stretch may be unknown, as short as possible and
//! beside a part of some length: "Gewerbe-legitimations-karte".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::analyzer::{Part, is_stop_word, roots, surfaces};

/// The dictionary: how a part may be written, and its root.
#[derive(Debug)]
pub(super) struct Compounds {
    forms: HashMap<Box<str>, Box<str>>,
}

/// The best way to cover the beginning of a word.
#[derive(Clone, Copy, Debug, Default)]
struct Cover {
    /// Letters of the unknown stretch.
    unknown_letters: usize,
    parts: usize,
    /// Where the last part begins.
    from: usize,
    /// Whether the last part is unknown.
    unknown: bool,
    /// Letters of the longest known part.
    known: usize,
}

/// Letters of a part.
const PART_MIN: usize = 4;
/// Letters of a short noun that may be a part: "Bau", "Amt".
const SHORT_PART: usize = 3;
/// Letters of the known part beside an unknown stretch.
const ANCHOR_MIN: usize = 5;
/// Known words beside which a stretch must stand to be a word itself.
const NEIGHBOURS_MIN: usize = 3;
/// Letters of a word that is split; longer ones are no words.
const SPLIT_MAX: usize = 60;
/// Sounds between two parts.
const LINKS: [&str; 6] = ["s", "es", "n", "en", "er", "e"];

// === impl Compounds ===

impl Compounds {
    /// The dictionary of some texts.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut words = BTreeSet::new();
        for text in texts {
            let capitalised = text
                .split(|letter: char| !letter.is_alphanumeric())
                .filter(|word| word.chars().next().is_some_and(char::is_uppercase))
                .filter(|word| word.chars().skip(1).all(char::is_lowercase))
                .flat_map(surfaces)
                .collect::<BTreeSet<_>>();
            words.extend(surfaces(text).filter(|word| {
                let long = word.len() >= PART_MIN
                    || (word.len() == SHORT_PART && capitalised.contains(word));
                long && word.is_ascii() && word.bytes().all(|it| it.is_ascii_lowercase())
            }));
        }
        words.retain(|word| !is_stop_word(word));
        words.extend(derived(&words));
        let mut forms: BTreeMap<String, String> = BTreeMap::new();
        for word in &words {
            forms.insert(word.clone(), root(word));
        }
        for word in &words {
            for form in inner_forms(word) {
                forms.entry(form).or_insert_with(|| root(word));
            }
        }
        let boxed = |(form, root): (String, String)| (form.into(), root.into());
        Self { forms: forms.into_iter().map(boxed).collect() }
    }

    /// The parts of a compound; none if the word is no compound.
    pub(super) fn split(&self, word: &str) -> Vec<Part> {
        let long = (2 * SHORT_PART + 1..=SPLIT_MAX).contains(&word.len());
        if !long || !word.bytes().all(|it| it.is_ascii_lowercase()) {
            return Vec::new();
        }
        let covers = self.covers(word);
        let end = word.len();
        let best = covers[end][0].filter(|it| it.parts > 1).map(|_| 0).or_else(|| {
            let with_unknown = covers[end][1]?;
            (with_unknown.parts > 1 && with_unknown.known >= ANCHOR_MIN).then_some(1)
        });
        let Some(mut unknowns) = best else { return Vec::new() };
        let mut parts = Vec::new();
        let mut to = end;
        while to > 0 {
            let Some(cover) = covers[to][unknowns] else { return Vec::new() };
            let surface = &word[cover.from..to];
            let root = match self.forms.get(surface) {
                Some(known) if !cover.unknown => known.to_string(),
                _ => root(surface),
            };
            parts.push(Part { surface: surface.to_owned(), root });
            unknowns -= usize::from(cover.unknown);
            to = cover.from;
        }
        parts.reverse();
        parts
    }

    /// For each place in the word the best way to reach it, without and with an unknown stretch.
    fn covers(&self, word: &str) -> Vec<[Option<Cover>; 2]> {
        let mut covers: Vec<[Option<Cover>; 2]> = vec![[None; 2]; word.len() + 1];
        for to in SHORT_PART..=word.len() {
            for from in 0..=to - SHORT_PART {
                // most compounds of the catalogue are words of it; as a part of itself a word says
                // nothing
                let inside = to - from < word.len();
                let known = inside && self.forms.contains_key(&word[from..to]);
                let unknown = inside && !known && to - from >= PART_MIN;
                for unknowns in 0..2 {
                    let before = match (from, unknowns) {
                        (0, 0) => Some(Cover::default()),
                        _ => covers[from][unknowns],
                    };
                    let Some(before) = before else { continue };
                    let (with, cover) = match (known, unknown && unknowns == 0) {
                        (true, _) => (unknowns, before.known(from, to)),
                        (false, true) => (1, before.unknown(from, to)),
                        (false, false) => continue,
                    };
                    let slot = &mut covers[to][with];
                    if slot.is_none_or(|it| cover.is_better_than(&it)) {
                        *slot = Some(cover);
                    }
                }
            }
        }
        covers
    }
}

// === impl Cover ===

impl Cover {
    fn known(self, from: usize, to: usize) -> Self {
        let known = self.known.max(to - from);
        Self { parts: self.parts + 1, from, unknown: false, known, ..self }
    }

    fn unknown(self, from: usize, to: usize) -> Self {
        Self { unknown_letters: to - from, parts: self.parts + 1, from, unknown: true, ..self }
    }

    /// Fewer unknown letters, fewer parts, a last part that is known, since it says what the whole
    /// is; else the one found first stays, which has the longest last part ("gewerbe-steuer", not
    /// "gewerbes-teuer").
    fn is_better_than(&self, other: &Self) -> bool {
        (self.unknown_letters, self.parts, self.unknown)
            < (other.unknown_letters, other.parts, other.unknown)
    }
}

/// What stands behind or before several known words and is none yet.
fn derived(words: &BTreeSet<String>) -> Vec<String> {
    let mut neighbours: BTreeMap<&str, usize> = BTreeMap::new();
    // a sound between the parts is no beginning of a word
    let linked = |tail: &str| {
        LINKS.iter().any(|link| tail.strip_prefix(link).is_some_and(|it| words.contains(it)))
    };
    for word in words.iter().filter(|word| word.len() >= 2 * PART_MIN) {
        for at in PART_MIN..=word.len() - PART_MIN {
            let (head, tail) = word.split_at(at);
            match (words.contains(head), words.contains(tail)) {
                (true, false) if !linked(tail) => *neighbours.entry(tail).or_default() += 1,
                (false, true) => *neighbours.entry(head).or_default() += 1,
                _ => {}
            }
        }
    }
    neighbours.retain(|_, count| *count >= NEIGHBOURS_MIN);
    neighbours.into_keys().map(str::to_owned).collect()
}

/// How a word may be written inside of a compound.
fn inner_forms(word: &str) -> Vec<String> {
    let mut forms: Vec<String> = LINKS.iter().map(|link| format!("{word}{link}")).collect();
    for ending in ["e", "en", "ung"] {
        let short = word.strip_suffix(ending).filter(|it| it.len() >= PART_MIN);
        forms.extend(short.map(str::to_owned));
    }
    forms
}

fn root(word: &str) -> String {
    roots(word).into_iter().next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::search::analyzer::{Analyzer, spelled};

    fn check(word: &str, expected: &str) {
        let parts = Analyzer::shipped().word(spelled(word)).parts;
        let parts: Vec<_> = parts.iter().map(|part| part.surface.as_str()).collect();
        assert_eq!(parts.join(" "), expected, "{word}");
    }

    #[test]
    fn compounds_of_the_catalogue_come_apart() {
        check("Gewerbeanmeldung", "gewerbe anmeldung");
        check("Gewerbelegitimationskarte", "gewerbe legitimations karte");
        check("Baumfällgenehmigung", "baum fall genehmigung");
        check("Schulwechsel", "schul wechsel");
        check("Bauantrag", "bau antrag");
        check("Gewerbesteuer", "gewerbe steuer");
        check("Aufenthaltstitel", "aufenthalts titel");
    }

    #[test]
    fn simple_words_stay_whole() {
        for word in
            ["Anmeldung", "Genehmigung", "Gewerbe", "Erlaubnis", "Steuer", "Hund", "Petition"]
        {
            check(word, "");
        }
    }

    #[test]
    fn what_is_no_word_is_not_split() {
        for word in ["", "abc", "99050012104000", &"ab".repeat(40), "κατάλογος"] {
            check(word, "");
        }
    }
}
