//! The rule of a vote, as functions of numbers and sets alone. The chain of charters and the model
//! that is explored exhaustively call the same ones.
//!
//! n members vote, t > 2n/3 decide. A value is chosen when t members said it in one round. Who
//! speaks in round r + 1 rests on what t members said in round r. If v was chosen there, at least
//! 2t - n of them said v, and at most n - t said anything else, which is less than 2t - n. So the
//! value that at least 2t - n of the t said is the only one that can have been chosen, and is what
//! must be said; then all of round r + 1 says v, and so on. If there is none, nothing was chosen in
//! round r, and never will be: what is free to choose is not bound by it.

use std::collections::BTreeMap;

/// Statements for one value, among those of as many members as decide, that bind to it. No two
/// values can have as many.
pub fn binding(voters: usize, threshold: usize) -> usize {
    (2 * threshold).saturating_sub(voters).max(1)
}

/// The value that statements of `threshold` members bind to, if any; `None` in it abstains.
///
/// Callers MUST pass statements of exactly `threshold` of the `voters`.
pub fn bound<V: Ord + Copy>(
    statements: impl IntoIterator<Item = Option<V>>,
    voters: usize,
    threshold: usize,
) -> Option<V> {
    let least = binding(voters, threshold);
    tally(statements).into_iter().find(|(_, votes)| *votes >= least).map(|(value, _)| value)
}

/// Whether somebody who rests on these statements may say this.
pub fn permits<V: Ord + Copy>(bound: Option<V>, choice: Option<V>) -> bool {
    bound.is_none() || bound == choice
}

/// The value that the statements of one round chose.
pub fn chosen<V: Ord + Copy>(
    statements: impl IntoIterator<Item = Option<V>>,
    threshold: usize,
) -> Option<V> {
    tally(statements).into_iter().find(|(_, votes)| *votes >= threshold).map(|(value, _)| value)
}

fn tally<V: Ord>(statements: impl IntoIterator<Item = Option<V>>) -> BTreeMap<V, usize> {
    let mut votes = BTreeMap::new();
    for value in statements.into_iter().flatten() {
        *votes.entry(value).or_insert(0) += 1;
    }
    votes
}
