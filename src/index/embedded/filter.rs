//! Which generations may know a key: blocked Bloom filters, so that a lookup reads one cache line a bank
//! instead of a path through every bank's tree.
//!
//! Bits are only ever added, before the rows that they announce are committed. So whatever snapshot a reader
//! has, a filter never denies what it holds; at most it lets a reader look in vain, less than once in 200.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 8;
const BLOCK_BITS: u64 = WORDS as u64 * 64;
const BLOCK_BYTES: usize = WORDS * 8;
/// A stored page fills one of redb's 4 KiB leaves together with its key.
const PAGE_BLOCKS: usize = 63;
const BITS_PER_KEY: u64 = 16;
/// Of a key, in one block.
const BITS_SET: usize = 7;
/// A layer is full when this part of its bits is set: as many as [`BITS_PER_KEY`] leaves set.
const FULL: (u64, u64) = (36, 100);
/// How much larger each further layer is, so that there are few.
const GROWTH: usize = 4;

/// A cache line of bits.
#[derive(Default)]
#[repr(align(64))]
pub struct Block([AtomicU64; WORDS]);

/// Blocks that are shared with readers while bits are added.
pub type Layer = Arc<[Block]>;

fn empty_layer(pages: usize) -> Layer {
    (0..pages * PAGE_BLOCKS).map(|_| Block::default()).collect()
}

/// A key as it is looked for in any filter.
pub struct Needle {
    hash: u64,
    mask: [u64; WORDS],
}

impl Needle {
    /// Keys are pseudonyms, so their first bytes are as good as a hash.
    pub fn of<const N: usize>(key: &[u8; N]) -> Self {
        const { assert!(N >= 8) };
        let hash = key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        // The block follows from the upper bits; the bits in it from all of them.
        let mut mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 29;
        let mut mask = [0; WORDS];
        for _ in 0..BITS_SET {
            let bit = (mixed % BLOCK_BITS) as usize;
            mask[bit / 64] |= 1 << (bit % 64);
            mixed /= BLOCK_BITS;
        }
        Self { hash, mask }
    }

    fn block_of(&self, layer: &[Block]) -> usize {
        ((u128::from(self.hash) * layer.len() as u128) >> 64) as usize
    }

    pub fn may_be_in(&self, layer: &[Block]) -> bool {
        let Some(block) = layer.get(self.block_of(layer)) else {
            return false;
        };
        let words = block.0.iter().zip(&self.mask);
        words.fold(0, |missing, (word, mask)| {
            missing | (mask & !word.load(Ordering::Relaxed))
        }) == 0
    }

    /// Adds the key; gives how many bits were not set before.
    fn put_in(&self, block: &Block) -> u64 {
        let words = block.0.iter().zip(&self.mask);
        let added = words.map(|(word, mask)| mask & !word.fetch_or(*mask, Ordering::Relaxed));
        added.map(|bits| u64::from(bits.count_ones())).sum()
    }
}

/// Where a page of a filter is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub layer: u8,
    pub page: u32,
}

/// A filter as its one writer has it. A layer that is full is followed by a larger one.
#[derive(Clone, Default)]
pub struct Filter {
    layers: Vec<Layer>,
    /// Bits set in the last layer.
    ones: u64,
}

impl Filter {
    /// Room for this many keys in one layer.
    pub fn for_keys(keys: u64) -> Self {
        let pages = (keys * BITS_PER_KEY)
            .div_ceil(PAGE_BLOCKS as u64 * BLOCK_BITS)
            .max(1);
        Self {
            layers: vec![empty_layer(pages as usize)],
            ones: 0,
        }
    }

    /// Adds a key. Gives the page that changed, if one did.
    pub fn add(&mut self, key: &Needle) -> Option<Address> {
        if self.layers.iter().any(|layer| key.may_be_in(layer)) {
            return None;
        }
        if self.is_full() {
            let pages = self
                .layers
                .last()
                .map_or(1, |last| last.len() / PAGE_BLOCKS * GROWTH);
            self.layers.push(empty_layer(pages));
            self.ones = 0;
        }
        let (at, layer) = self.layers.iter().enumerate().next_back()?;
        let block = key.block_of(layer);
        self.ones += key.put_in(&layer[block]);
        Some(Address {
            layer: at as u8,
            page: (block / PAGE_BLOCKS) as u32,
        })
    }

    fn is_full(&self) -> bool {
        let bits = self
            .layers
            .last()
            .map_or(0, |layer| layer.len() as u64 * BLOCK_BITS);
        self.ones * FULL.1 >= bits * FULL.0
    }

    /// Takes in another filter's layers. Gives the pages that are new here.
    pub fn join(&mut self, other: Self) -> Vec<Address> {
        let first = self.layers.len();
        self.layers.extend(other.layers);
        self.ones = other.ones;
        let pages = self.pages().into_iter().enumerate().skip(first);
        let addresses = pages.flat_map(|(at, pages)| {
            (0..pages).map(move |page| Address {
                layer: at as u8,
                page,
            })
        });
        addresses.collect()
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many pages each layer has.
    pub fn pages(&self) -> Vec<u32> {
        self.layers
            .iter()
            .map(|layer| (layer.len() / PAGE_BLOCKS) as u32)
            .collect()
    }

    fn blocks(&self, at: Address) -> &[Block] {
        let first = at.page as usize * PAGE_BLOCKS;
        let layer = self.layers.get(usize::from(at.layer));
        layer
            .and_then(|layer| layer.get(first..first + PAGE_BLOCKS))
            .unwrap_or_default()
    }

    /// A page in its stored form.
    pub fn page(&self, at: Address) -> Vec<u8> {
        let words = self.blocks(at).iter().flat_map(|block| &block.0);
        words
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .collect()
    }

    /// A filter without bits, to put stored pages into.
    pub fn with_pages(pages: &[u32]) -> Self {
        Self {
            layers: pages.iter().map(|pages| empty_layer(*pages as usize)).collect(),
            ones: 0,
        }
    }

    /// Puts a stored page in its place; false if it is none of this filter.
    pub fn put_page(&mut self, at: Address, bytes: &[u8]) -> bool {
        let last = usize::from(at.layer) + 1 == self.layers.len();
        let blocks = self.blocks(at);
        if blocks.len() * BLOCK_BYTES != bytes.len() || blocks.is_empty() {
            return false;
        }
        let (words, _) = bytes.as_chunks::<8>();
        let mut ones = 0;
        for (word, bytes) in blocks.iter().flat_map(|block| &block.0).zip(words) {
            let bits = u64::from_le_bytes(*bytes);
            word.store(bits, Ordering::Relaxed);
            ones += u64::from(bits.count_ones());
        }
        if last {
            self.ones += ones;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn key(n: u64) -> Needle {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(n.to_be_bytes())[..16]);
        Needle::of(&key)
    }

    fn knows(filter: &Filter, key: &Needle) -> bool {
        filter.layers().iter().any(|layer| key.may_be_in(layer))
    }

    fn false_positives(filter: &Filter) -> f64 {
        let tried = 100_000;
        let found = (0..tried).filter(|n| knows(filter, &key(u64::MAX - n))).count();
        found as f64 / tried as f64
    }

    #[test]
    fn every_key_is_known_and_few_others_are() {
        let keys = 60_000;
        for mut filter in [Filter::for_keys(keys), Filter::default()] {
            (0..keys).for_each(|n| _ = filter.add(&key(n)));
            assert!((0..keys).all(|n| knows(&filter, &key(n))));
            let rate = false_positives(&filter);
            assert!(rate < 0.005, "{rate} with layers of {:?} pages", filter.pages());
        }
    }

    #[test]
    fn a_filter_of_the_right_size_stays_in_one_layer() {
        let mut filter = Filter::for_keys(50_000);
        (0..50_000).for_each(|n| _ = filter.add(&key(n)));
        assert_eq!(filter.pages().len(), 1);
    }

    #[test]
    fn a_filter_read_from_its_changed_pages_is_the_same() {
        let mut filter = Filter::default();
        let changed: std::collections::BTreeSet<_> = (0..9_000).filter_map(|n| filter.add(&key(n))).collect();
        assert!(filter.pages().len() > 1);
        let mut read = Filter::with_pages(&filter.pages());
        assert!(changed.iter().all(|at| read.put_page(*at, &filter.page(*at))));
        assert_eq!(read.ones, filter.ones);
        assert!((0..9_000).all(|n| knows(&read, &key(n))));
        let beyond = Address { layer: 9, page: 0 };
        assert!(!read.put_page(beyond, &[0; PAGE_BLOCKS * BLOCK_BYTES]));
        assert!(!read.put_page(Address { layer: 0, page: 0 }, &[0; 64]));
    }
}
