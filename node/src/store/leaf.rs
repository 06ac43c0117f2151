//! Facts that stand next to each other, kept as one value of the engine.
//!
//! sled pays for each value: a page is copied with every insert and split at the seventeenth. What is
//! published together mostly stands together (versions of a service, services with UUIDs of one time),
//! so that a leaf takes up many facts at the price of one.
//!
//! A leaf stands under a key that none of its facts is before; they reach up to the key of the next.
//! Its bytes: a marker (1), then for each fact the number of bytes that its key has in common with the
//! key before (2), the lengths of the rest of the key (4) and of the value (4), and both. Numbers are
//! big-endian.

use std::ops::ControlFlow;

use registry_core::fold::Fact;

/// Facts in a leaf, at most: each insert writes the leaf anew.
pub(super) const FACTS_MAX: usize = 32;
/// A leaf that has grown to this takes no further fact.
const BYTES_FULL: usize = 16 << 10;

const MARKER: u8 = 1;
const HEAD_BYTES: usize = 10;

/// Bytes that are no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("facts of the index are damaged")]
pub(super) struct Damaged;

/// Shows the facts of a leaf in their order, until `look` has seen enough.
///
/// # Errors
///
/// [`Damaged`], after the facts before the damage.
pub(super) fn each(
    leaf: &[u8],
    mut look: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), Damaged> {
    let Some((&MARKER, mut rest)) = leaf.split_first() else { return Err(Damaged) };
    let mut key = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(Damaged)?;
        let [a, b, c, d, e, f, g, h, i, j] = *head;
        let shared = usize::from(u16::from_be_bytes([a, b]));
        let (own, value) = (u32::from_be_bytes([c, d, e, f]), u32::from_be_bytes([g, h, i, j]));
        let (own, behind) = behind.split_at_checked(own as usize).ok_or(Damaged)?;
        let (value, behind) = behind.split_at_checked(value as usize).ok_or(Damaged)?;
        if shared > key.len() {
            return Err(Damaged);
        }
        key.truncate(shared);
        key.extend_from_slice(own);
        if look(&key, value).is_break() {
            return Ok(());
        }
        rest = behind;
    }
    Ok(())
}

/// All facts of a leaf.
///
/// # Errors
///
/// As [`each`].
pub(super) fn facts(leaf: &[u8]) -> Result<Vec<Fact>, Damaged> {
    let mut facts = Vec::new();
    each(leaf, |key, value| {
        facts.push(Fact { key: key.to_vec(), value: value.to_vec() });
        ControlFlow::Continue(())
    })?;
    Ok(facts)
}

/// Puts `new` among `old`; of two facts with one key the new one stays. Both, and the outcome, are in the
/// order of their keys.
pub(super) fn merged(old: Vec<Fact>, new: Vec<Fact>) -> Vec<Fact> {
    let mut all = Vec::with_capacity(old.len() + new.len());
    let mut new = new.into_iter().peekable();
    for it in old {
        while let Some(before) = new.next_if(|new| new.key < it.key) {
            all.push(before);
        }
        if new.peek().is_none_or(|new| new.key != it.key) {
            all.push(it);
        }
    }
    all.extend(new);
    all
}

/// The leaves that hold these facts, which are in the order of their keys, with the first key of each.
pub(super) fn leaves(facts: &[Fact]) -> Vec<(&[u8], Vec<u8>)> {
    let mut leaves = Vec::new();
    // as even as it goes, so that each has room for more
    let count = facts.len().div_ceil(FACTS_MAX).max(1);
    let most = facts.len().div_ceil(count);
    let mut left = facts;
    while let Some(first) = left.first() {
        let mut leaf = vec![MARKER];
        let mut taken = 0;
        let mut before: &[u8] = &[];
        for it in left.iter().take(most) {
            if taken > 0 && leaf.len() >= BYTES_FULL {
                break;
            }
            push(&mut leaf, before, it);
            before = &it.key;
            taken += 1;
        }
        leaves.push((first.key.as_slice(), leaf));
        left = &left[taken..];
    }
    leaves
}

fn push(leaf: &mut Vec<u8>, before: &[u8], fact: &Fact) {
    let shared = before.iter().zip(&fact.key).take_while(|(a, b)| a == b).count();
    let shared = shared.min(usize::from(u16::MAX));
    let own = &fact.key[shared..];
    // far below 4 GiB: keys are some hundred bytes, and a header limits what becomes a value
    leaf.extend((shared as u16).to_be_bytes());
    leaf.extend((own.len() as u32).to_be_bytes());
    leaf.extend((fact.value.len() as u32).to_be_bytes());
    leaf.extend_from_slice(own);
    leaf.extend_from_slice(&fact.value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(key: &str, value: &str) -> Fact {
        Fact { key: key.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
    }

    /// "a=1 b=2": facts with these keys and values.
    fn parsed(text: &str) -> Vec<Fact> {
        let pairs = text.split_whitespace().map(|it| it.split_once('=').unwrap());
        pairs.map(|(key, value)| fact(key, value)).collect()
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let many: String = (0..500).map(|n| format!("key{n:04}={n} ")).collect();
        for text in ["", "a=1", "a= ab= abc=x", "ab=1 abc=2 b=3", &many] {
            let all = parsed(text);
            let leaves = leaves(&all);
            let read: Vec<Fact> = leaves.iter().flat_map(|(_, it)| facts(it).unwrap()).collect();
            assert_eq!(read, all, "{text}");
            for (first, leaf) in &leaves {
                let held = facts(leaf).unwrap();
                assert_eq!(held[0].key, *first);
                assert!((FACTS_MAX / 2..=FACTS_MAX).contains(&held.len()) || leaves.len() == 1);
            }
        }
    }

    #[test]
    fn a_leaf_ends_when_it_is_large() {
        let large = "x".repeat(BYTES_FULL / 2);
        let all: Vec<_> = (0..5).map(|n| fact(&n.to_string(), &large)).collect();
        let counts: Vec<_> = leaves(&all).iter().map(|(_, it)| facts(it).unwrap().len()).collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn new_facts_take_their_places_and_that_of_their_like() {
        for (old, new, expect) in [
            ("", "a=1", "a=1"),
            ("a=1", "", "a=1"),
            ("b=1 d=1", "a=2 c=2 e=2", "a=2 b=1 c=2 d=1 e=2"),
            ("a=1 b=1 c=1", "b=2", "a=1 b=2 c=1"),
            ("a=1 b=1", "a=2 b=2 c=2", "a=2 b=2 c=2"),
        ] {
            assert_eq!(merged(parsed(old), parsed(new)), parsed(expect), "{old} and {new}");
        }
    }

    #[test]
    fn damage_is_noticed_wherever_a_leaf_is_cut_and_never_panics() {
        let all = parsed("ab=1 abc=22 b=333");
        let leaf = leaves(&all).remove(0).1;
        let ends: Vec<_> = (0..=leaf.len()).filter(|at| facts(&leaf[..*at]).is_ok()).collect();
        // behind the marker and behind each fact
        assert_eq!(ends.len(), 1 + all.len());
        for at in 0..leaf.len() {
            for bit in 0..8 {
                let mut flipped = leaf.clone();
                flipped[at] ^= 1 << bit;
                let _ = facts(&flipped);
            }
        }
        assert_eq!(facts(&[]), Err(Damaged));
        assert_eq!(facts(&[9]), Err(Damaged));
    }

    #[test]
    fn a_look_ends_when_it_has_seen_enough() {
        let leaf = leaves(&parsed("a=1 b=2 c=3")).remove(0).1;
        let mut seen = Vec::new();
        let enough = |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            if key == b"b" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(each(&leaf, enough), Ok(()));
        assert_eq!(seen, [b"a", b"b"]);
    }
}
