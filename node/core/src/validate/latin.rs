//! The characters of DIN 91379:2022-08, which XÖV and the PVOG call String.Latin.
//!
//! Allowed without a word: data type C (Latin letters, the letters with combining marks that the
//! norm lists, and non-letters N1 to N4), the typographic characters of group E1, and three more
//! of running text that the norm leaves to agreement (– — •). Greek and Cyrillic letters belong
//! to its extended groups, which not every receiver takes: they warn. Everything else is an error.
//!
//! All of these are in Unicode NFC, and a combining mark counts only as part of a listed letter: a
//! text that passes is in NFC, and one that is not is refused here.

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// The norm does not know the character.
    Character(char),
    /// The norm knows the mark, but not behind this character; often a text that is not in NFC.
    Sequence {
        /// What the mark stands behind; `None` at the begin of the text.
        base: Option<char>,
        /// The mark.
        mark: char,
    },
}

/// How a text keeps to the norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latin {
    /// It does.
    Fits,
    /// It has a character of an extended group; the first one.
    Extended(char),
    /// It has something else; the first one, with the place of its character from 1.
    Foreign(Foreign, usize),
}

/// Looks at every character.
pub(super) fn scan(text: &str) -> Latin {
    let mut extended = None;
    let mut previous = None;
    let mut skip = 0;
    let mut chars = text.char_indices().enumerate().peekable();
    while let Some((n, (at, c))) = chars.next() {
        // letters of German, with no mark behind them
        let alone = chars.peek().is_none_or(|(_, (_, next))| *next < MARKS_FROM);
        if skip == 0 && alone && matches!(c, ' '..='~' | '\u{ae}'..='\u{17e}') {
            previous = Some(c);
            continue;
        }
        if skip > 0 {
            skip -= 1;
            previous = Some(c);
            continue;
        }
        let marks = text.get(at..).map_or(0, sequence_marks);
        if marks > 0 {
            skip = marks;
        } else if MARKS.contains(&c) {
            let base = previous;
            return Latin::Foreign(Foreign::Sequence { base, mark: c }, n + 1);
        } else if !within(&NORMATIVE, c) && !within(&TYPOGRAPHIC, c) {
            if !within(&EXTENDED, c) {
                return Latin::Foreign(Foreign::Character(c), n + 1);
            }
            extended = extended.or(Some(c));
        }
        previous = Some(c);
    }
    extended.map_or(Latin::Fits, Latin::Extended)
}

/// Marks of the longest listed letter that `rest` begins with.
fn sequence_marks(rest: &str) -> usize {
    let mut chars = rest.chars();
    if chars.next().is_none() || !chars.next().is_some_and(|c| MARKS.contains(&c)) {
        return 0;
    }
    let fits = SEQUENCES.iter().filter(|sequence| rest.starts_with(**sequence));
    fits.map(|sequence| sequence.chars().count() - 1).max().unwrap_or(0)
}

/// No combining mark stands before this one.
const MARKS_FROM: char = '\u{300}';

fn within(ranges: &[(char, char)], c: char) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| c <= *last)
}

/// Latin letters and non-letters N1 to N4.
const NORMATIVE: [(char, char); 45] = [
    ('\u{9}', '\u{a}'),
    ('\u{d}', '\u{d}'),
    ('\u{20}', '\u{7e}'),
    ('\u{a0}', '\u{ac}'),
    ('\u{ae}', '\u{17e}'),
    ('\u{187}', '\u{188}'),
    ('\u{18f}', '\u{18f}'),
    ('\u{197}', '\u{197}'),
    ('\u{1a0}', '\u{1a1}'),
    ('\u{1af}', '\u{1b0}'),
    ('\u{1b7}', '\u{1b7}'),
    ('\u{1cd}', '\u{1dc}'),
    ('\u{1de}', '\u{1df}'),
    ('\u{1e2}', '\u{1f0}'),
    ('\u{1f4}', '\u{1f5}'),
    ('\u{1f8}', '\u{1ff}'),
    ('\u{212}', '\u{213}'),
    ('\u{218}', '\u{21b}'),
    ('\u{21e}', '\u{21f}'),
    ('\u{227}', '\u{233}'),
    ('\u{259}', '\u{259}'),
    ('\u{268}', '\u{268}'),
    ('\u{292}', '\u{292}'),
    ('\u{2b9}', '\u{2ba}'),
    ('\u{2be}', '\u{2bf}'),
    ('\u{2c8}', '\u{2c8}'),
    ('\u{2cc}', '\u{2cc}'),
    ('\u{1e02}', '\u{1e03}'),
    ('\u{1e06}', '\u{1e07}'),
    ('\u{1e0a}', '\u{1e11}'),
    ('\u{1e17}', '\u{1e17}'),
    ('\u{1e1c}', '\u{1e2b}'),
    ('\u{1e2f}', '\u{1e37}'),
    ('\u{1e3a}', '\u{1e3b}'),
    ('\u{1e40}', '\u{1e49}'),
    ('\u{1e52}', '\u{1e5b}'),
    ('\u{1e5e}', '\u{1e63}'),
    ('\u{1e6a}', '\u{1e6f}'),
    ('\u{1e80}', '\u{1e87}'),
    ('\u{1e8c}', '\u{1e97}'),
    ('\u{1e9e}', '\u{1e9e}'),
    ('\u{1ea0}', '\u{1ef9}'),
    ('\u{2019}', '\u{2019}'),
    ('\u{2021}', '\u{2021}'),
    ('\u{20ac}', '\u{20ac}'),
];

/// Non-letters E1, and en dash, em dash and bullet.
const TYPOGRAPHIC: [(char, char); 24] = [
    ('\u{192}', '\u{192}'),
    ('\u{2b0}', '\u{2b0}'),
    ('\u{2b3}', '\u{2b3}'),
    ('\u{2c6}', '\u{2c6}'),
    ('\u{2dc}', '\u{2dc}'),
    ('\u{2e2}', '\u{2e2}'),
    ('\u{1d48}', '\u{1d48}'),
    ('\u{1d57}', '\u{1d57}'),
    ('\u{2013}', '\u{2014}'),
    ('\u{2018}', '\u{2018}'),
    ('\u{201a}', '\u{201a}'),
    ('\u{201c}', '\u{201e}'),
    ('\u{2020}', '\u{2020}'),
    ('\u{2022}', '\u{2022}'),
    ('\u{2026}', '\u{2026}'),
    ('\u{2030}', '\u{2030}'),
    ('\u{2032}', '\u{2033}'),
    ('\u{2039}', '\u{203a}'),
    ('\u{2070}', '\u{2070}'),
    ('\u{2074}', '\u{2079}'),
    ('\u{207f}', '\u{2089}'),
    ('\u{2122}', '\u{2122}'),
    ('\u{221e}', '\u{221e}'),
    ('\u{2264}', '\u{2265}'),
];

/// Greek and Cyrillic letters.
const EXTENDED: [(char, char); 12] = [
    ('\u{386}', '\u{386}'),
    ('\u{388}', '\u{38a}'),
    ('\u{38c}', '\u{38c}'),
    ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{3ce}'),
    ('\u{40d}', '\u{40d}'),
    ('\u{410}', '\u{42a}'),
    ('\u{42c}', '\u{42c}'),
    ('\u{42e}', '\u{44a}'),
    ('\u{44c}', '\u{44c}'),
    ('\u{44e}', '\u{44f}'),
    ('\u{45d}', '\u{45d}'),
];

/// Combining marks; only as parts of [`SEQUENCES`].
const MARKS: [char; 20] = [
    '\u{300}', '\u{301}', '\u{302}', '\u{304}', '\u{306}', '\u{307}', '\u{308}', '\u{30b}',
    '\u{30c}', '\u{30d}', '\u{310}', '\u{315}', '\u{31b}', '\u{323}', '\u{325}', '\u{326}',
    '\u{327}', '\u{328}', '\u{331}', '\u{35f}',
];

/// Letters with combining marks that have no code point of their own, in the order of their text.
const SEQUENCES: [&str; 149] = [
    "A\u{30b}",
    "C\u{300}",
    "C\u{304}",
    "C\u{306}",
    "C\u{308}",
    "C\u{315}",
    "C\u{323}",
    "C\u{326}",
    "C\u{328}\u{306}",
    "D\u{302}",
    "F\u{300}",
    "F\u{304}",
    "G\u{300}",
    "H\u{304}",
    "H\u{326}",
    "H\u{331}",
    "J\u{301}",
    "J\u{30c}",
    "K\u{300}",
    "K\u{302}",
    "K\u{304}",
    "K\u{307}",
    "K\u{315}",
    "K\u{31b}",
    "K\u{326}",
    "K\u{35f}H",
    "K\u{35f}h",
    "L\u{302}",
    "L\u{325}",
    "L\u{325}\u{304}",
    "L\u{326}",
    "M\u{300}",
    "M\u{302}",
    "M\u{306}",
    "M\u{310}",
    "N\u{302}",
    "N\u{304}",
    "N\u{306}",
    "N\u{326}",
    "P\u{300}",
    "P\u{304}",
    "P\u{315}",
    "P\u{323}",
    "R\u{306}",
    "R\u{325}",
    "R\u{325}\u{304}",
    "S\u{300}",
    "S\u{304}",
    "S\u{31b}\u{304}",
    "S\u{331}",
    "T\u{300}",
    "T\u{304}",
    "T\u{308}",
    "T\u{315}",
    "T\u{31b}",
    "U\u{307}",
    "Z\u{300}",
    "Z\u{304}",
    "Z\u{306}",
    "Z\u{308}",
    "Z\u{327}",
    "a\u{30b}",
    "c\u{300}",
    "c\u{304}",
    "c\u{306}",
    "c\u{308}",
    "c\u{315}",
    "c\u{323}",
    "c\u{326}",
    "c\u{328}\u{306}",
    "d\u{302}",
    "f\u{300}",
    "f\u{304}",
    "g\u{300}",
    "h\u{304}",
    "h\u{326}",
    "j\u{301}",
    "k\u{300}",
    "k\u{302}",
    "k\u{304}",
    "k\u{307}",
    "k\u{315}",
    "k\u{31b}",
    "k\u{326}",
    "k\u{35f}h",
    "l\u{302}",
    "l\u{325}",
    "l\u{325}\u{304}",
    "l\u{326}",
    "m\u{300}",
    "m\u{302}",
    "m\u{306}",
    "m\u{310}",
    "n\u{302}",
    "n\u{304}",
    "n\u{306}",
    "n\u{326}",
    "p\u{300}",
    "p\u{304}",
    "p\u{315}",
    "p\u{323}",
    "r\u{306}",
    "r\u{325}",
    "r\u{325}\u{304}",
    "s\u{300}",
    "s\u{304}",
    "s\u{31b}\u{304}",
    "s\u{331}",
    "t\u{300}",
    "t\u{304}",
    "t\u{315}",
    "t\u{31b}",
    "u\u{307}",
    "z\u{300}",
    "z\u{304}",
    "z\u{306}",
    "z\u{308}",
    "z\u{327}",
    "\u{c7}\u{306}",
    "\u{db}\u{304}",
    "\u{e7}\u{306}",
    "\u{fb}\u{304}",
    "\u{ff}\u{301}",
    "\u{10c}\u{315}",
    "\u{10c}\u{323}",
    "\u{10d}\u{315}",
    "\u{10d}\u{323}",
    "\u{113}\u{30d}",
    "\u{12a}\u{301}",
    "\u{12b}\u{301}",
    "\u{14d}\u{30d}",
    "\u{17d}\u{326}",
    "\u{17d}\u{327}",
    "\u{17e}\u{326}",
    "\u{17e}\u{327}",
    "\u{1e32}\u{304}",
    "\u{1e33}\u{304}",
    "\u{1e62}\u{304}",
    "\u{1e63}\u{304}",
    "\u{1e6c}\u{304}",
    "\u{1e6d}\u{304}",
    "\u{1ea0}\u{308}",
    "\u{1ea1}\u{308}",
    "\u{1ecc}\u{308}",
    "\u{1ecd}\u{308}",
    "\u{1ee4}\u{304}",
    "\u{1ee4}\u{308}",
    "\u{1ee5}\u{304}",
    "\u{1ee5}\u{308}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Latin) {
        assert_eq!(scan(text), expected, "{text:?}");
    }

    #[test]
    fn the_groups_have_their_known_sizes() {
        let size = |ranges: &[(char, char)]| -> u32 {
            ranges.iter().map(|(a, b)| u32::from(*b) - u32::from(*a) + 1).sum()
        };
        // 500 letters, 17 + 61 + 6 + 4 non-letters
        assert_eq!(size(&NORMATIVE), 588);
        assert_eq!(size(&TYPOGRAPHIC), 42 + 3);
        assert_eq!(size(&EXTENDED), 131);
        for ranges in [&NORMATIVE[..], &TYPOGRAPHIC, &EXTENDED] {
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "in order");
        }
        assert!(SEQUENCES.is_sorted());
        assert!(MARKS.iter().all(|mark| *mark >= MARKS_FROM));
    }

    #[test]
    fn latin_texts_fit() {
        for text in [
            "",
            "Straße & Brücke < 3,5 t, § 14 Abs. 2 – „Über“ Œuvre…",
            "Łódź, Čačak, Ağrı, Nguyễn, Þingvellir, ŉ",
            "Zeile\n\tZeile\u{a0}Zeile",
            "K\u{35f}hodor",
            "L\u{325}\u{304}l\u{325}",
            "D\u{302}e",
        ] {
            check(text, Latin::Fits);
        }
    }

    #[test]
    fn greek_and_cyrillic_are_extended() {
        check("Αθήνα", Latin::Extended('Α'));
        check("a София", Latin::Extended('С'));
    }

    #[test]
    fn other_scripts_and_invisible_characters_are_foreign() {
        for (text, c, at) in [
            ("a\u{ad}b", '\u{ad}', 2),
            ("\u{200b}", '\u{200b}', 1),
            ("\u{feff}Text", '\u{feff}', 1),
            ("北京", '北', 1),
            ("ab😀", '😀', 3),
            ("\u{212b}", '\u{212b}', 1),
            ("ﬁ", 'ﬁ', 1),
            ("\u{fffd}", '\u{fffd}', 1),
        ] {
            check(text, Latin::Foreign(Foreign::Character(c), at));
        }
    }

    #[test]
    fn marks_count_only_in_listed_letters() {
        let sequence = |base, mark| Foreign::Sequence { base, mark };
        check("u\u{308}", Latin::Foreign(sequence(Some('u'), '\u{308}'), 2));
        check("\u{301}a", Latin::Foreign(sequence(None, '\u{301}'), 1));
        check("D\u{302}\u{302}", Latin::Foreign(sequence(Some('\u{302}'), '\u{302}'), 3));
    }
}
