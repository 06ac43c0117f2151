//! From the words of a query to what the index is asked.
//!
//! Every clause gives a whole number that depends on the word, on the class of texts it is found
//! in and on nothing else, and the best clause of a word counts. So the rank of a service depends
//! on the query and on its own document only: not on segments, not on deleted documents, not on
//! what else is in the index, as it would with BM25.

use std::ops::Bound;

use tantivy::{
    Term,
    query::{
        AllQuery, BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, FuzzyTermQuery, Occur, Query,
        RangeQuery, TermQuery,
    },
    schema::{Field, IndexRecordOption},
};

use super::{
    analyzer::{Analyzer, WEIGHT_MAX, Word, is_stop_word, surfaces},
    document::{Fields, whole_name},
};

/// A query, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    words: Vec<Word>,
    /// The last word may be the beginning of a longer one.
    open: bool,
}

/// How words may be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// As they are.
    None,
    /// Also by words that begin like them, or differ by a letter, long ones by two.
    Typos,
}

type Clause = Box<dyn Query>;

/// Words of a query; what follows is not looked at.
const WORDS_MAX: usize = 16;
/// What a root gives in own names, official names, other texts, times its weight.
const CLASSES: [u32; 3] = [8, 4, 1];
/// What the beginning of a word gives in own and official names.
const PREFIX: [u32; 2] = [90, 40];
/// What a word with one typo gives there, and with two.
const TYPO: [[u32; 2]; 2] = [[60, 30], [24, 12]];
/// What the beginning of a word gives if it has a typo.
const PREFIX_TYPO: [u32; 2] = [20, 10];
/// What all of a name gives, own and official.
const WHOLE: [u32; 2] = [800, 600];
/// What a key gives, and its beginning.
const KEY: [u32; 2] = [4_000, 2_000];
/// Letters of the beginning of a word.
const PREFIX_MIN: usize = 2;
/// Digits of the beginning of a key.
const KEY_PREFIX_MIN: usize = 4;
/// Letters of a word that may have one typo, and two.
const TYPO_MIN: [usize; 2] = [4, 8];

// sums of clauses stay exact in the floating point numbers that carry them
const _: () = assert!(WORDS_MAX * (KEY[0] + WHOLE[0] + 8 * WEIGHT_MAX * 16) as usize <= 1 << 24);

// === impl Words ===

impl Words {
    /// The words of a query.
    pub(super) fn of(query: &str) -> Self {
        let open = query.chars().next_back().is_some_and(char::is_alphanumeric);
        let mut surfaces: Vec<String> = surfaces(query).take(WORDS_MAX).collect();
        let last = surfaces.pop();
        let mut kept: Vec<String> =
            surfaces.into_iter().filter(|word| !is_stop_word(word)).collect();
        // a stop word may be the beginning of a word, but only if there is nothing else
        let open = open && last.as_ref().is_some_and(|it| kept.is_empty() || !is_stop_word(it));
        kept.extend(last.filter(|it| kept.is_empty() || !is_stop_word(it)));
        let analyzer = Analyzer::shipped();
        Self { words: kept.into_iter().map(|word| analyzer.word(word)).collect(), open }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// True if nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Asks for one word alone.
    pub(super) fn one(&self, fields: &Fields, at: usize, tolerance: Tolerance) -> Clause {
        let Some(word) = self.words.get(at) else { return Box::new(AllQuery) };
        let open = self.open && at + 1 == self.words.len();
        let mut clauses = exact(fields, word);
        if open || tolerance == Tolerance::Typos {
            clauses.extend(beginning(fields, word));
        }
        if tolerance == Tolerance::Typos {
            clauses.extend(typos(fields, word, open));
        }
        let any = best(clauses);
        let begins = beginning(fields, word);
        if !open || begins.is_empty() {
            return any;
        }
        // "hundest" is no form of "Hund" yet: what goes on as typed comes first
        Box::new(BooleanQuery::new(vec![(Occur::Must, any), (Occur::Should, best(begins))]))
    }

    /// Asks for all words, each with its own tolerance.
    pub(super) fn all(&self, fields: &Fields, tolerance: &[Tolerance]) -> Clause {
        if self.words.is_empty() {
            return constant(Box::new(AllQuery), 0);
        }
        let mut clauses = Vec::new();
        for (at, &tolerance) in tolerance.iter().enumerate().take(self.words.len()) {
            clauses.push((Occur::Must, self.one(fields, at, tolerance)));
        }
        clauses.extend(self.whole(fields).map(|it| (Occur::Should, it)));
        Box::new(BooleanQuery::new(clauses))
    }

    /// The words that count alone if not all can be met: of a compound its parts.
    pub(super) fn apart(&self) -> Self {
        let analyzer = Analyzer::shipped();
        let mut words = Vec::new();
        for word in &self.words {
            match word.parts.as_slice() {
                [] => words.push(word.clone()),
                parts => words.extend(parts.iter().map(|it| analyzer.word(it.surface.clone()))),
            }
        }
        words.truncate(WORDS_MAX);
        Self { words, open: self.open }
    }

    /// Asks for at least `least` words, all of them with tolerance.
    pub(super) fn some(&self, fields: &Fields, least: usize) -> Clause {
        let one = |at| (Occur::Should, self.one(fields, at, Tolerance::Typos));
        let clauses = (0..self.words.len()).map(one).collect();
        Box::new(BooleanQuery::with_minimum_required_clauses(clauses, least))
    }

    /// Rewards names that are the query, no more and no less.
    fn whole(&self, fields: &Fields) -> Option<Clause> {
        let name = whole_name(&self.words)?;
        let mut names = vec![name];
        // the other reading of words with two roots
        let turned: Vec<Word> = self
            .words
            .iter()
            .map(|word| Word { roots: word.roots.iter().rev().cloned().collect(), ..word.clone() })
            .collect();
        names.extend(whole_name(&turned).filter(|other| *other != names[0]));
        let each = names.iter().flat_map(|name| {
            fields.whole.iter().zip(WHOLE).map(|(&field, gives)| term(field, name, gives))
        });
        Some(best(each.collect()))
    }
}

/// A word by its roots, its parts, or as a key.
fn exact(fields: &Fields, word: &Word) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for root in &word.roots {
        clauses.extend(by_root(fields, root, 1));
    }
    if word.parts.len() > 1 {
        let share = u32::try_from(word.parts.len()).unwrap_or(1);
        let parts = word.parts.iter().map(|part| best(by_root(fields, &part.root, share)));
        clauses.push(Box::new(BooleanQuery::intersection(parts.collect())));
    }
    if word.is_number() {
        clauses.push(term(fields.key, &word.surface, KEY[0]));
        if word.surface.len() >= KEY_PREFIX_MIN {
            clauses.extend(prefix(fields.key, &word.surface, KEY[1]));
        }
    }
    clauses
}

fn by_root(fields: &Fields, root: &str, share: u32) -> Vec<Clause> {
    let weight = Analyzer::shipped().weight(root);
    let each = fields.roots.iter().zip(CLASSES);
    each.map(|(&field, class)| term(field, root, (weight * class / share).max(1))).collect()
}

fn beginning(fields: &Fields, word: &Word) -> Vec<Clause> {
    if word.surface.chars().count() < PREFIX_MIN {
        return Vec::new();
    }
    let each = fields.surfaces.iter().zip(PREFIX);
    each.filter_map(|(&field, gives)| prefix(field, &word.surface, gives)).collect()
}

fn typos(fields: &Fields, word: &Word, open: bool) -> Vec<Clause> {
    if word.is_number() {
        return Vec::new();
    }
    let letters = word.surface.chars().count();
    let mut clauses = similar(&fields.surfaces, &word.surface, letters);
    // a typo in one form of a word must not hide the others
    clauses.extend(word.roots.iter().flat_map(|root| {
        let few = letters.min(TYPO_MIN[1] - 1);
        similar(&[fields.roots[0], fields.roots[1]], root, few)
    }));
    if open && letters > TYPO_MIN[0] {
        for (&field, gives) in fields.surfaces.iter().zip(PREFIX_TYPO) {
            let term = Term::from_field_text(field, &word.surface);
            clauses.push(constant(Box::new(FuzzyTermQuery::new_prefix(term, 1, true)), gives));
        }
    }
    clauses
}

/// Words that differ by as many letters as a word of `letters` may.
fn similar(fields: &[Field; 2], text: &str, letters: usize) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for (distance, (least, gives)) in (1..).zip(TYPO_MIN.into_iter().zip(TYPO)) {
        if letters < least || text.chars().count() < TYPO_MIN[0] {
            break;
        }
        for (&field, gives) in fields.iter().zip(gives) {
            let term = Term::from_field_text(field, text);
            clauses.push(constant(Box::new(FuzzyTermQuery::new(term, distance, true)), gives));
        }
    }
    clauses
}

fn term(field: Field, text: &str, gives: u32) -> Clause {
    let term = Term::from_field_text(field, text);
    constant(Box::new(TermQuery::new(term, IndexRecordOption::Basic)), gives)
}

fn prefix(field: Field, text: &str, gives: u32) -> Option<Clause> {
    let end = format!("{text}{}", char::MAX);
    let from = Bound::Included(Term::from_field_text(field, text));
    let to = Bound::Excluded(Term::from_field_text(field, &end));
    (!text.is_empty()).then(|| constant(Box::new(RangeQuery::new(from, to)), gives))
}

fn constant(query: Clause, gives: u32) -> Clause {
    Box::new(ConstScoreQuery::new(query, gives as f32))
}

/// The best of some clauses.
fn best(mut clauses: Vec<Clause>) -> Clause {
    match clauses.pop() {
        Some(only) if clauses.is_empty() => only,
        last => {
            clauses.extend(last);
            Box::new(DisjunctionMaxQuery::new(clauses))
        }
    }
}
