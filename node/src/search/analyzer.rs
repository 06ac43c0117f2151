//! From German text to what is looked up. Texts of the catalogue and queries go through the same
//! rules, so only what both sides share can meet:
//!
//! 1. **Spelling**: lower case; ß is ss; ä, ae and a are one letter, so are ö, oe, o and ü, ue, u
//!    (not the "ue" of "bauen", "neue", "quer"); other accents fall away.
//! 2. **Words** are runs of letters and digits; stop words carry no meaning and are left out.
//! 3. **Roots**: the German Snowball stemmer, after the pairs of noun and verb that it keeps apart:
//!    "-ung" and "-en" (Prüfung, prüfen), "-erung" and "-ern" (Änderung, ändern), "-lung" and
//!    "-eln" (Sammlung, sammeln), "-ion", "-ierung" and "-ieren" (Adoption, adoptieren), "-nis" and
//!    "-en" (Erlaubnis, erlauben). "-ern" and "-eln" are also plurals (Kindern): both roots count.
//! 4. **Parts** of compounds, by [`Compounds`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use frostem::{Algorithm, Stemmer};
use registry_core::catalogue::ShippedCatalogue;
use registry_proto::terms::Themenfeld;

use super::compounds::Compounds;

/// A word and what it can be found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// As it is written, in one spelling.
    pub(super) surface: String,
    /// Its root; a second one if its form has two readings.
    pub(super) roots: Vec<String>,
    /// Its parts if it is a compound: how each is written, and its root.
    pub(super) parts: Vec<Part>,
}

/// A part of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) surface: String,
    pub(super) root: String,
}

/// The rules with the dictionary of the shipped catalogue.
#[derive(Debug)]
pub(super) struct Analyzer {
    compounds: Compounds,
    /// Words of the catalogue, analysed once.
    known: HashMap<String, Word>,
    /// In how many names of the catalogue a root occurs.
    names: HashMap<String, u32>,
    names_count: u32,
}

/// Raised whenever the rules give other words; an index of another version is rebuilt.
pub(super) const ANALYSIS_VERSION: u32 = 1;
/// What the commonest and the rarest root say.
pub(super) const WEIGHT_MIN: u32 = 8;
pub(super) const WEIGHT_MAX: u32 = 56;
/// What half as many names add.
const WEIGHT_STEP: u32 = 4;
/// Words of one text; what follows is not looked at.
const WORDS_MAX: usize = 5_000;
/// Letters of a word; what follows is cut.
const WORD_CHARS_MAX: usize = 64;
/// Letters that a root keeps when an ending is taken off.
const ROOT_CHARS_MIN: usize = 4;

// === impl Analyzer ===

impl Analyzer {
    /// The rules with the dictionary of the shipped catalogue, built at the first call.
    pub(super) fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Analyzer> = LazyLock::new(|| {
            let catalogue = ShippedCatalogue::shipped();
            let leistungen = catalogue.leistungen.iter().map(|it| it.bezeichnung.as_str());
            let names: Vec<_> =
                leistungen.chain(catalogue.ozg.iter().map(|it| it.name.as_str())).collect();
            let lagen = catalogue.ozg.iter().map(|it| it.lage.as_str());
            let fields = Themenfeld::ALL.iter().map(|field| field.label());
            Analyzer::of(&names, lagen.chain(fields))
        });
        &SHIPPED
    }

    /// A dictionary of `names`, which also tell how common words are, and of other texts.
    fn of<'a>(names: &[&'a str], texts: impl Iterator<Item = &'a str>) -> Self {
        let compounds = Compounds::of(names.iter().copied().chain(texts));
        let mut analyzer = Self {
            compounds,
            known: HashMap::new(),
            names: HashMap::new(),
            names_count: u32::try_from(names.len()).unwrap_or(u32::MAX),
        };
        for name in names {
            let words = analyzer.words(name);
            let roots: BTreeSet<&String> = words
                .iter()
                .flat_map(|word| word.roots.iter().chain(word.parts.iter().map(|it| &it.root)))
                .collect();
            for root in roots {
                *analyzer.names.entry(root.clone()).or_default() += 1;
            }
            let keep = |word: Word| (word.surface.clone(), word);
            analyzer.known.extend(words.into_iter().map(keep));
        }
        analyzer
    }

    /// How much a root says, [`WEIGHT_MIN`] to [`WEIGHT_MAX`]: less the more names of the shipped
    /// catalogue it occurs in. Not how often it occurs in the index, which would let the order of
    /// hits depend on what was replaced and when.
    pub(super) fn weight(&self, root: &str) -> u32 {
        let names = self.names.get(root).copied().unwrap_or(0).max(1);
        // each halving of the names adds the same
        let rarity = (self.names_count.max(1) / names).checked_ilog2().unwrap_or(0);
        (WEIGHT_MIN + rarity * WEIGHT_STEP).min(WEIGHT_MAX)
    }

    /// The words of a text that carry meaning.
    pub(super) fn words(&self, text: &str) -> Vec<Word> {
        surfaces(text).filter(|it| !is_stop_word(it)).map(|it| self.word(it)).collect()
    }

    /// One word, in the spelling of [`spelled`].
    pub(super) fn word(&self, surface: String) -> Word {
        if let Some(known) = self.known.get(&surface) {
            return known.clone();
        }
        let parts = self.compounds.split(&surface);
        Word { roots: roots(&surface), parts, surface }
    }
}

// === impl Word ===

impl Word {
    /// True for keys and other numbers.
    pub(super) fn is_number(&self) -> bool {
        self.surface.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// The roots of the smallest pieces: of the parts, or of the word that has none.
    pub(super) fn units(&self) -> impl Iterator<Item = &str> {
        let whole = self.roots.iter().take(usize::from(self.parts.is_empty()));
        whole.chain(self.parts.iter().map(|part| &part.root)).map(String::as_str)
    }
}

/// The words of a text in one spelling, with stop words.
pub(super) fn surfaces(text: &str) -> impl Iterator<Item = String> {
    let spelled = spelled(text);
    let words: Vec<String> = spelled
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
        .collect();
    words.into_iter()
}

/// One spelling for all ways to write the same word.
pub(super) fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().flat_map(char::to_lowercase).peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let plain = match letter {
            'ß' => {
                out.push_str("ss");
                's'
            }
            '\u{300}'..='\u{36f}' => continue,
            other => {
                let plain = without_accent(other);
                out.push(plain);
                plain
            }
        };
        let umlaut = match plain {
            'a' | 'o' => letter == plain,
            'u' => letter == plain && !matches!(before, 'a' | 'e' | 'o' | 'q'),
            _ => false,
        };
        if umlaut {
            letters.next_if_eq(&'e');
        }
        before = plain;
    }
    out
}

fn without_accent(letter: char) -> char {
    match letter {
        'ä' | 'á' | 'à' | 'â' | 'ã' | 'å' => 'a',
        'ç' => 'c',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ö' | 'ó' | 'ò' | 'ô' | 'õ' | 'ø' => 'o',
        'ü' | 'ú' | 'ù' | 'û' => 'u',
        other => other,
    }
}

/// The roots of a word in one spelling: one, or two if its form has two readings.
pub(super) fn roots(word: &str) -> Vec<String> {
    let snowball = || Stemmer::new(Algorithm::German).stem(word).into_owned();
    if let Some(root) = action(word) {
        return vec![root];
    }
    let verb = ["ern", "eln"].iter().any(|ending| word.ends_with(ending));
    match word.strip_suffix('n') {
        Some(verb_root) if verb && long_enough(verb_root) => {
            let plural = snowball();
            if plural == verb_root { vec![plural] } else { vec![verb_root.to_owned(), plural] }
        }
        _ => vec![snowball()],
    }
}

/// The root that a noun of an action shares with its verb.
fn action(word: &str) -> Option<String> {
    let without = |endings: &[&str]| {
        let root = endings.iter().find_map(|ending| word.strip_suffix(ending))?;
        Some(root).filter(|root| root.chars().count() >= 3 && root.contains(is_vowel))
    };
    if let Some(root) = without(&["ierungen", "ierungs", "ierung", "ieren", "iert"])
        .or_else(|| without(&["ationen", "ations", "ation", "ionen", "ions", "ion"]))
        .filter(|root| long_enough(root))
    {
        return Some(root.to_owned());
    }
    if let Some(root) = without(&["ungen", "ungs", "ung"]) {
        return Some(with_e_before_l(root));
    }
    let root = without(&["nissen", "nisses", "nisse", "nis"])?;
    (root.chars().count() > ROOT_CHARS_MIN).then(|| root.to_owned())
}

/// "samml" of Sammlung is "sammel" of sammeln; "erteil", "stell" and "zahl" stay.
fn with_e_before_l(root: &str) -> String {
    let mut letters = root.chars().rev();
    match (letters.next(), letters.next()) {
        (Some('l'), Some(before)) if !is_vowel(before) && !matches!(before, 'l' | 'h' | 'r') => {
            format!("{}el", root.strip_suffix('l').unwrap_or(root))
        }
        _ => root.to_owned(),
    }
}

fn long_enough(root: &str) -> bool {
    root.chars().count() >= ROOT_CHARS_MIN
}

fn is_vowel(letter: char) -> bool {
    matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u' | 'y')
}

/// True for words without a meaning of their own.
pub(super) fn is_stop_word(word: &str) -> bool {
    static WORDS: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| STOP_WORDS.split_whitespace().map(spelled).collect());
    WORDS.contains(word)
}

const STOP_WORDS: &str = "
    der die das den dem des ein eine einer eines einem einen kein keine und oder sowie bzw als auch
    für von vom zu zum zur im in ins an am auf aus bei beim mit nach über um unter ohne gegen durch
    wegen gemäß bis ab vor seit zwischen innerhalb außerhalb nicht sich ist sind war wird werden
    wurde wurden hat haben kann können muss müssen darf soll will möchte brauche ich wir mein meine
    meinen meiner meinem unser unsere ihr ihre ihren ihrer ihres sein seine seinen seiner er sie es
    man wie wo was wann wer dass wenn ob so da hier dort noch nur schon sonstige andere anderer
    anderen anderem usw etc z b d h the of and";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_word_are_one() {
        let check = |expected: &str, texts: &[&str]| {
            for text in texts {
                assert_eq!(spelled(text), expected, "{text}");
            }
        };
        check("prufung", &["Prüfung", "PRUEFUNG", "Prufung", "Pru\u{308}fung", "prüfung"]);
        check("strasse", &["Straße", "strasse", "STRASSE", "STRAẞE"]);
        check("gesprach", &["Gespräch", "Gespraech"]);
        check("bauen neue quer steuer", &["Bauen neue quer Steuer"]);
        check("cafe", &["Café"]);
    }

    #[test]
    fn noun_and_verb_share_a_root() {
        let check = |words: &str| {
            let all: Vec<_> = words.split(' ').map(|it| roots(&spelled(it))).collect();
            for other in &all[1..] {
                assert!(other.iter().any(|root| all[0].contains(root)), "{words}: {all:?}");
            }
        };
        check("Anmeldung anmelden Anmeldungen");
        check("Meldung melden Meldungs");
        check("Prüfung prüfen pruefung");
        check("Änderung ändern aendern");
        check("Förderung fördern");
        check("Sammlung sammeln");
        check("Entwicklung entwickeln");
        check("Erteilung erteilen");
        check("Einbürgerung einbürgern");
        check("Registrierung registrieren");
        check("Adoption adoptieren");
        check("Information informieren");
        check("Erlaubnis erlauben Erlaubnisse");
        check("Zahlung zahlen");
        check("Kinder Kindern");
        check("Schule Schulen schul");
        check("Namen Name");
    }

    #[test]
    fn different_words_keep_different_roots() {
        for (a, b) in [("Steuer", "Steg"), ("Hund", "Hundert"), ("Erteilung", "Eintragung")] {
            assert_ne!(roots(&spelled(a)), roots(&spelled(b)), "{a} {b}");
        }
    }

    #[test]
    fn stop_words_are_left_out_and_texts_are_bounded() {
        let words = Analyzer::shipped().words("Anmeldung für das Gewerbe, § 14");
        let words: Vec<_> = words.iter().map(|word| word.surface.as_str()).collect();
        assert_eq!(words, ["anmeldung", "gewerbe", "14"]);
        assert_eq!(surfaces(&"a ".repeat(6_000)).count(), WORDS_MAX);
        let long = surfaces(&"x".repeat(1_000)).next().map(|it| it.len());
        assert_eq!(long, Some(WORD_CHARS_MAX));
    }
}
