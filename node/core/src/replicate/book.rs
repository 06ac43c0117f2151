//! Who holds which log since when: receipts, and the first of them that covers an entry.

use std::collections::BTreeMap;

use registry_proto::{
    receipt::{Receipt, SignedReceipt},
    terms::{Land, LogId},
};

use crate::limits;

/// Receipts by holder and log. Of each pair the newest is always there; of older ones more and
/// more are left out the older they are, so that "since when" may be answered later than it was,
/// and never earlier.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pages: BTreeMap<(LogId, Land), Vec<SignedReceipt>>,
}

// === impl Book ===

impl Book {
    /// Enters a receipt; false when it tells nothing new: one that is there covers at least as
    /// much.
    pub fn enter(&mut self, receipt: SignedReceipt) -> bool {
        let it = receipt.receipt();
        let page = self.pages.entry((it.log, it.holder)).or_default();
        // both only grow: a holder does not lose what it holds, nor what it has erased
        let told = |last: &Receipt| last.size > it.size || last.erased > it.erased;
        let same = |last: &Receipt| (last.size, last.erased) == (it.size, it.erased);
        if page.last().is_some_and(|last| told(last.receipt()) || same(last.receipt())) {
            return false;
        }
        page.push(receipt);
        if page.len() > limits::RECEIPTS_PER_HOLDER_MAX {
            thin(page);
        }
        true
    }

    /// Of each holder the first receipt that covers the entry `index` of a log, in the order of
    /// the holders.
    pub fn covering(&self, log: LogId, index: u64) -> Vec<&SignedReceipt> {
        let pages = self.pages.iter().filter(|((of, _), _)| *of == log);
        let first =
            |page: &'_ Vec<SignedReceipt>| page.partition_point(|it| it.receipt().size <= index);
        pages.filter_map(|(_, page)| page.get(first(page))).collect()
    }

    /// Of each holder the first receipt that says that every erasure up to the entry `index` of a log
    /// is carried out, in the order of the holders.
    pub fn erased(&self, log: LogId, index: u64) -> Vec<&SignedReceipt> {
        let pages = self.pages.iter().filter(|((of, _), _)| *of == log);
        let first =
            |page: &'_ Vec<SignedReceipt>| page.partition_point(|it| it.receipt().erased <= index);
        pages.filter_map(|(_, page)| page.get(first(page))).collect()
    }

    /// All of them; those of a holder and log in the order they were entered.
    pub fn all(&self) -> impl Iterator<Item = &SignedReceipt> {
        self.pages.values().flatten()
    }

    /// The newest of each holder and log.
    pub fn newest(&self) -> impl Iterator<Item = &SignedReceipt> {
        self.pages.values().filter_map(|page| page.last())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pages.values().map(Vec::len).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

/// Leaves out every second receipt of the older half.
fn thin(page: &mut Vec<SignedReceipt>) {
    let half = page.len() / 2;
    let mut at = 0;
    page.retain(|_| {
        at += 1;
        at > half || at % 2 == 1
    });
}

#[cfg(test)]
mod tests {
    use registry_proto::log::{Hash, VerbundId};

    use super::*;
    use crate::testing::{log, signer};

    fn receipt(holder: Land, owner: Land, size: u64) -> SignedReceipt {
        let unix_ms = i64::try_from(size).expect("small");
        let (log, root) = (log(owner), Hash::of(b"root"));
        let receipt = Receipt { holder, log, size, root, bodies_missing: 0, unix_ms, erased: size };
        receipt.sign(VerbundId::from_hash(Hash::of(b"verbund")), &signer(holder)).expect("signed")
    }

    #[test]
    fn an_erasure_is_confirmed_by_the_first_receipt_that_reaches_it() {
        let mut book = Book::default();
        let told = |size, erased| {
            let unix_ms = i64::try_from(10 * size + erased).expect("small");
            let root = Hash::of(b"root");
            let (holder, log) = (Land::RP, log(Land::SL));
            let receipt = Receipt { holder, log, size, root, bodies_missing: 0, unix_ms, erased };
            receipt.sign(VerbundId::from_hash(Hash::of(b"verbund")), &signer(holder))
        };
        // the erasure at 4 is under way for two receipts, and one of the same size ends it
        for (size, erased, new) in
            [(3, 3, true), (5, 4, true), (6, 4, true), (6, 4, false), (6, 6, true), (7, 5, false)]
        {
            let entered = book.enter(told(size, erased).expect("signed"));
            assert_eq!(entered, new, "{size} {erased}");
        }
        let since = |index| {
            let all = book.erased(log(Land::SL), index);
            all.iter().map(|it| it.receipt().unix_ms).collect::<Vec<_>>()
        };
        assert_eq!((since(2), since(3)), (vec![33], vec![54]));
        assert_eq!((since(4), since(6)), (vec![66], vec![]));
        // what is held is told as before
        assert_eq!(covering(&book, Land::SL, 4), [(Land::RP, 5)]);
    }

    fn covering(book: &Book, owner: Land, index: u64) -> Vec<(Land, u64)> {
        let all = book.covering(log(owner), index);
        all.iter().map(|it| (it.receipt().holder, it.receipt().size)).collect()
    }

    #[test]
    fn the_first_receipt_that_covers_an_entry_is_found_for_each_holder() {
        let mut book = Book::default();
        for (holder, size) in [(Land::RP, 3), (Land::RP, 5), (Land::HE, 4), (Land::RP, 9)] {
            assert!(book.enter(receipt(holder, Land::SL, size)), "{holder} {size}");
        }
        assert!(book.enter(receipt(Land::RP, Land::TH, 1)));
        assert!(!book.enter(receipt(Land::RP, Land::SL, 9)), "nothing new");
        assert!(!book.enter(receipt(Land::RP, Land::SL, 8)), "less");
        assert_eq!(covering(&book, Land::SL, 0), [(Land::HE, 4), (Land::RP, 3)]);
        assert_eq!(covering(&book, Land::SL, 3), [(Land::HE, 4), (Land::RP, 5)]);
        assert_eq!(covering(&book, Land::SL, 4), [(Land::RP, 5)]);
        assert_eq!(covering(&book, Land::SL, 8), [(Land::RP, 9)]);
        assert_eq!(covering(&book, Land::SL, 9), []);
        assert_eq!(covering(&book, Land::TH, 0), [(Land::RP, 1)]);
        assert_eq!((book.len(), book.newest().count()), (5, 3));
    }

    #[test]
    fn old_receipts_are_thinned_out_and_what_is_left_never_claims_too_much() {
        let mut book = Book::default();
        for size in 1..=3_000 {
            book.enter(receipt(Land::RP, Land::SL, size));
            assert!(book.len() <= limits::RECEIPTS_PER_HOLDER_MAX);
        }
        for index in [0, 1, 77, 900, 1_500, 2_900, 2_999] {
            let found = covering(&book, Land::SL, index);
            assert_eq!(found.len(), 1);
            assert!(found[0].1 > index, "a receipt of {} for entry {index}", found[0].1);
        }
        // the first is always there, and lately every one
        assert_eq!(covering(&book, Land::SL, 0), [(Land::RP, 1)]);
        assert_eq!(covering(&book, Land::SL, 2_950), [(Land::RP, 2_951)]);
    }
}
