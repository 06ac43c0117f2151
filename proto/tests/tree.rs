//! Trees and proofs against the published vectors, against RFC 6962 written down literally, and
//! against `ct-merkle`.

use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};
use registry_proto::log::{
    Continued, Frontier, Hash, HashTiles, ProofError, ProofRejected, TREE_SIZE_MAX,
    check_consistency, check_inclusion, leaf_hash, node_hash, prove_consistency, prove_inclusion,
    tile_root,
};
use sha2_of_oracle::Sha256;

// === published vectors: merkle_tree_test.cc of google/certificate-transparency ===

const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// (index, size, proof); the published indexes count from 1.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// (old, new, proof)
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

// === RFC 6962, section 2.1, literally ===

/// MTH
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves));
            node_hash(&root(left), &root(right))
        }
    }
}

/// PATH(m, D[n])
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = split(leaves);
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if m < k { (path(m, left), right) } else { (path(m - k, right), left) };
    proof.push(root(sibling));
    proof
}

/// SUBPROOF(m, D[n], b)
fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { vec![] } else { vec![root(leaves)] };
    }
    let k = split(leaves);
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if m <= k {
        (subproof(m, left, whole), right)
    } else {
        (subproof(m - k, right, false), left)
    };
    proof.push(root(sibling));
    proof
}

/// Largest power of two smaller than the number of leaves.
fn split(leaves: &[Hash]) -> usize {
    leaves.len().next_power_of_two() / 2
}

// === fixtures ===

/// Tiles in memory, as a journal keeps them: hashes of full tiles only go up.
#[derive(Default)]
struct Tiles(Vec<Vec<Hash>>);

impl Tiles {
    fn of(leaves: &[Hash]) -> Self {
        let mut tiles = Self::default();
        leaves.iter().for_each(|leaf| tiles.push(0, *leaf));
        tiles
    }

    fn push(&mut self, level: usize, hash: Hash) {
        if self.0.len() == level {
            self.0.push(vec![]);
        }
        self.0[level].push(hash);
        if let (chunks, []) = self.0[level].as_chunks::<256>() {
            let up = tile_root(chunks.last().expect("just pushed"));
            self.push(level + 1, up);
        }
    }
}

impl HashTiles for Tiles {
    type Error = Infallible;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        let from = from as usize;
        assert!((1..=256).contains(&count), "count {count}");
        assert_eq!(from / 256, (from + count - 1) / 256, "one tile");
        Ok(self.0[usize::from(level)][from..from + count].to_vec())
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier
}

fn hash(text: &str) -> Hash {
    text.parse().expect("hash")
}

/// Leaves, their tiles, and the root of every size.
struct Grown {
    leaves: Vec<Hash>,
    tiles: Tiles,
    roots: Vec<Hash>,
}

impl Grown {
    fn to(size: usize) -> Self {
        let leaves = leaves(size);
        let mut growing = Frontier::default();
        let mut roots = vec![growing.root()];
        for leaf in &leaves {
            growing.push(*leaf);
            roots.push(growing.root());
        }
        Self { tiles: Tiles::of(&leaves), leaves, roots }
    }
}

/// Every way to spoil a proof by one step.
fn spoiled(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![];
    for at in 0..proof.len() {
        let mut bytes = *proof[at].as_bytes();
        bytes[at % 32] ^= 1;
        let mut changed = proof.to_vec();
        changed[at] = Hash::from_bytes(bytes);
        all.push(changed);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        all.push(shorter);
    }
    let mut longer = proof.to_vec();
    longer.push(leaf_hash(b"one too many"));
    all.push(longer.clone());
    longer.rotate_right(1);
    all.push(longer);
    all
}

#[track_caller]
fn check_proofs_of_inclusion(tree: &Grown, size: u64, index: u64) {
    let (all, at) = (&tree.leaves[..size as usize], index as usize);
    let root = tree.roots[size as usize];
    let proof = prove_inclusion(&tree.tiles, size, index).expect("proof");
    assert_eq!(proof, path(at, all), "{index} in {size}");
    let check = |proof: &[Hash]| check_inclusion(proof, size, &root, index, &all[at]);
    assert_eq!(check(&proof), Ok(()), "{index} in {size}");
    for bad in spoiled(&proof) {
        assert_eq!(check(&bad), Err(ProofRejected::Mismatch), "{index} in {size}: {bad:?}");
    }
    let other = leaf_hash(b"other");
    let got = check_inclusion(&proof, size, &root, index, &other);
    assert_eq!(got, Err(ProofRejected::Mismatch));
    let got = check_inclusion(&proof, size, &other, index, &all[at]);
    assert_eq!(got, Err(ProofRejected::Mismatch));
}

#[track_caller]
fn check_proofs_of_consistency(tree: &Grown, old: u64, new: u64) {
    let [old_root, new_root] = [old, new].map(|size| tree.roots[size as usize]);
    let proof = prove_consistency(&tree.tiles, old, new).expect("proof");
    if old > 0 {
        let expect = subproof(old as usize, &tree.leaves[..new as usize], true);
        assert_eq!(proof, expect, "{old} to {new}");
    }
    let check = |proof: &[Hash]| check_consistency(proof, old, &old_root, new, &new_root);
    assert_eq!(check(&proof), Ok(()), "{old} to {new}");
    for bad in spoiled(&proof) {
        assert_eq!(check(&bad), Err(ProofRejected::Mismatch), "{old} to {new}: {bad:?}");
    }
    if old > 0 {
        let other = leaf_hash(b"other");
        let got = check_consistency(&proof, old, &other, new, &new_root);
        assert_eq!(got, Err(ProofRejected::Mismatch), "{old} to {new}");
        let got = check_consistency(&proof, old, &old_root, new, &other);
        assert_eq!(got, Err(ProofRejected::Mismatch), "{old} to {new}");
    }
}

// === tests ===

#[test]
fn published_roots_and_proofs() {
    let leaves = INPUTS.map(|input| leaf_hash(&hex::decode(input).unwrap()));
    let tiles = Tiles::of(&leaves);
    for (size, expect) in ROOTS.iter().enumerate() {
        assert_eq!(frontier(&leaves[..size]).root(), hash(expect), "size {size}");
        assert_eq!(root(&leaves[..size]), hash(expect), "size {size}");
    }
    for (index, size, proof) in INCLUSION {
        let expect: Vec<_> = proof.iter().copied().map(hash).collect();
        assert_eq!(prove_inclusion(&tiles, size, index), Ok(expect.clone()), "{index} in {size}");
        let (root, leaf) = (hash(ROOTS[size as usize]), leaves[index as usize]);
        assert_eq!(check_inclusion(&expect, size, &root, index, &leaf), Ok(()));
    }
    for (old, new, proof) in CONSISTENCY {
        let expect: Vec<_> = proof.iter().copied().map(hash).collect();
        assert_eq!(prove_consistency(&tiles, old, new), Ok(expect.clone()), "{old} to {new}");
        let roots = [old, new].map(|size| hash(ROOTS[size as usize]));
        assert_eq!(check_consistency(&expect, old, &roots[0], new, &roots[1]), Ok(()));
    }
}

#[test]
fn every_proof_in_small_trees() {
    let tree = Grown::to(70);
    for size in 1..=70 {
        assert_eq!(tree.roots[size as usize], root(&tree.leaves[..size as usize]), "{size}");
        (0..size).for_each(|index| check_proofs_of_inclusion(&tree, size, index));
        (0..=size).for_each(|old| check_proofs_of_consistency(&tree, old, size));
    }
}

/// What is proved in `size` leaves with the first `here` of them is what all of them prove.
#[track_caller]
fn check_continued(tree: &Grown, here: u64, size: u64, indexes: impl Iterator<Item = u64>) {
    let tiles = Tiles::of(&tree.leaves[..here as usize]);
    let proof = prove_consistency(&tree.tiles, here, size).expect("proof");
    let continued = Continued { tiles: &tiles, here, size, proof: &proof };
    for at in indexes {
        let expect = prove_inclusion(&tree.tiles, size, at);
        assert_eq!(continued.prove_inclusion(at), expect, "{at} in {here} of {size}");
        let expect = prove_consistency(&tree.tiles, at + 1, size);
        assert_eq!(continued.prove_consistency(at + 1), expect, "{at} + 1, {here} of {size}");
    }
    assert_eq!(continued.prove_consistency(0), Ok(vec![]));
    let error = ProofError::IndexBeyondSize { index: here, size: here };
    assert_eq!(continued.prove_inclusion(here), Err(error), "{here} of {size}");
    let error = ProofError::OldBeyondNew { old: here + 1, new: here };
    assert_eq!(continued.prove_consistency(here + 1), Err(error), "{here} of {size}");
    if here < size {
        let longer = [&proof[..], &[tree.roots[1]]].concat();
        for proof in [&proof[1..], &longer] {
            let spoiled = Continued { tiles: &tiles, here, size, proof };
            assert_eq!(spoiled.prove_inclusion(0), Err(ProofError::Refused));
            assert_eq!(spoiled.prove_consistency(1), Err(ProofError::Refused));
        }
    }
}

#[test]
fn what_is_here_is_proved_in_what_it_leads_to() {
    let tree = Grown::to(600);
    for size in 1..=70 {
        (1..=size).for_each(|here| check_continued(&tree, here, size, 0..here));
    }
    for here in [255, 256, 257, 511, 513] {
        check_continued(&tree, here, 600, (0..here).step_by(17));
    }
    let none = Continued { tiles: &tree.tiles, here: 0, size: 5, proof: &[] };
    let error = ProofError::IndexBeyondSize { index: 0, size: 0 };
    assert_eq!(none.prove_inclusion(0), Err(error));
    let size = u64::MAX;
    let large = Continued { tiles: &tree.tiles, here: 5, size, proof: &[] };
    assert_eq!(large.prove_inclusion(0), Err(ProofError::TreeTooLarge { size }));
}

#[test]
fn proofs_in_every_size_around_the_first_tiles() {
    let tree = Grown::to(600);
    for size in 1..=600 {
        for part in [size / 3, size - 1] {
            check_proofs_of_inclusion(&tree, size, part);
            check_proofs_of_consistency(&tree, part + 1, size);
        }
    }
}

#[test]
fn proofs_in_a_tree_of_three_tile_levels() {
    let size = 256 * 256 + 300;
    let tree = Grown::to(size as usize);
    assert_eq!(tree.tiles.0.iter().map(Vec::len).collect::<Vec<_>>(), [65_836, 257, 1]);
    assert_eq!(tree.roots[size as usize], root(&tree.leaves));
    for part in [257, 65_535, 65_536, 65_537] {
        check_proofs_of_inclusion(&tree, size, part);
        check_proofs_of_consistency(&tree, part, size);
    }
}

#[test]
fn a_frontier_comes_back_from_its_peaks() {
    let leaves = leaves(300);
    let mut growing = Frontier::default();
    for (size, leaf) in leaves.iter().enumerate() {
        let (size, peaks) = (size as u64, growing.peaks().to_vec());
        assert_eq!(growing.size(), size);
        assert_eq!(Frontier::from_peaks(size, peaks.clone()).as_ref(), Some(&growing));
        assert_eq!(Frontier::from_peaks(size, [peaks, vec![*leaf]].concat()), None);
        growing.push(*leaf);
    }
    assert_eq!(Frontier::from_peaks(1, vec![]), None);
    assert_eq!(Frontier::from_peaks(u64::MAX, vec![leaves[0]; 64]), None);
    assert_eq!(Frontier::from_peaks(TREE_SIZE_MAX + 1, vec![leaves[0]; 2]), None);
}

#[test]
fn what_cannot_be_proved_has_a_name() {
    let tiles = Tiles::of(&leaves(5));
    let error = ProofError::IndexBeyondSize { index: 5, size: 5 };
    assert_eq!(prove_inclusion(&tiles, 5, 5), Err(error));
    let error = ProofError::IndexBeyondSize { index: 0, size: 0 };
    assert_eq!(prove_inclusion(&tiles, 0, 0), Err(error));
    let error = ProofError::OldBeyondNew { old: 5, new: 4 };
    assert_eq!(prove_consistency(&tiles, 5, 4), Err(error));
    for size in [TREE_SIZE_MAX + 1, u64::MAX] {
        assert_eq!(prove_inclusion(&tiles, size, 0), Err(ProofError::TreeTooLarge { size }));
        assert_eq!(prove_consistency(&tiles, 1, size), Err(ProofError::TreeTooLarge { size }));
    }
    assert_eq!(prove_consistency(&tiles, 0, 5), Ok(vec![]));
    assert_eq!(prove_consistency(&tiles, 5, 5), Ok(vec![]));
    let root = leaf_hash(b"");
    let got = check_inclusion(&[root; 65], 8, &root, 0, &root);
    assert_eq!(got, Err(ProofRejected::TooLong { found: 65 }));
    let got = check_consistency(&[root; 65], 1, &root, 8, &root);
    assert_eq!(got, Err(ProofRejected::TooLong { found: 65 }));
    let got = check_inclusion(&[], 8, &root, 8, &root);
    assert_eq!(got, Err(ProofRejected::IndexBeyondSize { index: 8, size: 8 }));
    let got = check_consistency(&[], 9, &root, 8, &root);
    assert_eq!(got, Err(ProofRejected::OldBeyondNew { old: 9, new: 8 }));
    let got = check_consistency(&[root], 0, &Hash::EMPTY_ROOT, 8, &root);
    assert_eq!(got, Err(ProofRejected::Mismatch));
}

/// Tiles that fail, or give fewer or more hashes than asked for.
struct Bad(Result<usize, &'static str>);

impl HashTiles for Bad {
    type Error = &'static str;

    fn read(&self, _: u8, _: u64, _: usize) -> Result<Vec<Hash>, &'static str> {
        self.0.map(leaves)
    }
}

#[test]
fn tiles_that_cannot_be_read_are_named() {
    let broken = Bad(Err("disk on fire"));
    assert_eq!(prove_inclusion(&broken, 8, 3), Err(ProofError::Read("disk on fire")));
    assert_eq!(prove_consistency(&broken, 3, 8), Err(ProofError::Read("disk on fire")));
    for found in [0, 3, 300] {
        for size in [8, 1_000, TREE_SIZE_MAX] {
            let got = prove_inclusion(&Bad(Ok(found)), size, 3);
            assert!(
                matches!(got, Err(ProofError::ShortRead { found: f, .. }) if f == found),
                "{got:?}"
            );
        }
    }
}

/// Any size up to the largest, with the interesting ones more often.
fn any_size() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0_u64..5_000, (0_u32..64).prop_map(|bit| (1 << bit) - 1)]
}

fn any_proof() -> impl Strategy<Value = Vec<Hash>> {
    vec(any::<[u8; 32]>().prop_map(Hash::from_bytes), 0..70)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/tree.proptest-regressions",
        ))),
        ..ProptestConfig::with_cases(64)
    })]

    #[test]
    fn another_implementation_agrees(
        inputs in vec(vec(any::<u8>(), 0..8), 1..1_500),
        part in 0.0..1.0_f64,
    ) {
        let leaves: Vec<_> = inputs.iter().map(|input| leaf_hash(input)).collect();
        let tiles = Tiles::of(&leaves);
        let size = leaves.len();
        let at = (part * size as f64) as usize;
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        inputs.into_iter().for_each(|input| oracle.push(input));
        let bytes = |proof: Vec<Hash>| -> Vec<u8> {
            proof.iter().flat_map(|hash| *hash.as_bytes()).collect()
        };

        let root = frontier(&leaves).root();
        prop_assert_eq!(root.as_bytes().to_vec(), oracle.root().as_bytes().to_vec());
        let proof = prove_inclusion(&tiles, size as u64, at as u64).unwrap();
        prop_assert_eq!(bytes(proof), oracle.prove_inclusion(at).as_bytes().to_vec());
        let proof = prove_consistency(&tiles, at as u64 + 1, size as u64).unwrap();
        prop_assert_eq!(bytes(proof), oracle.prove_consistency(size - at - 1).as_bytes().to_vec());
    }

    #[test]
    fn foreign_proofs_of_any_size_never_panic(
        proof in any_proof(),
        size in any_size(),
        part in any_size(),
    ) {
        let root = leaf_hash(b"root");
        let leaf = leaf_hash(b"leaf");
        prop_assert!(check_inclusion(&proof, size, &root, part, &leaf).is_err());
        let got = check_consistency(&proof, part, &leaf, size, &root);
        prop_assert!(got.is_err() || (part == 0 && proof.is_empty()));
    }

    #[test]
    fn proofs_from_unreadable_tiles_of_any_size_never_panic(size in any_size(), part in any_size()) {
        let tiles = Bad(Err("unreadable"));
        let _ = prove_inclusion(&tiles, size, part);
        let _ = prove_consistency(&tiles, part, size);
    }
}
