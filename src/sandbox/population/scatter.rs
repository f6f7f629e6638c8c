//! Chance that is the same each time.

/// A well-mixed function of a number (the finaliser of SplitMix64, by Sebastiano Vigna): not for secrets.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A few throws of the dice.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, throw: u64) -> Self {
        Self(mix(seed ^ mix(throw)))
    }

    /// A number below `sides`, which is not 0. The sides of all throws together stay far below 2^64.
    pub fn below(&mut self, sides: u64) -> u64 {
        let thrown = self.0 % sides;
        self.0 /= sides;
        thrown
    }
}

/// An order of all numbers below a size that looks like none, by `index * step + offset`.
#[derive(Clone, Copy)]
pub struct Scatter {
    size: u64,
    step: u64,
    offset: u64,
}

impl Scatter {
    /// `size` is below 2^32, so that no product overflows; 0 counts as 1.
    pub fn new(size: u64, seed: u64) -> Self {
        let size = size.max(1);
        let mut dice = Dice::new(seed, size);
        let offset = dice.below(size);
        let mut step = dice.below(size).max(1);
        while greatest_common_divisor(step, size) != 1 {
            step += 1;
        }
        Self { size, step, offset }
    }

    /// The number that comes at `index`, which is below the size.
    pub fn at(&self, index: u64) -> u64 {
        (index * self.step + self.offset) % self.size
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for size in [1, 2, 9, 36, 1000, 4096] {
            for seed in 0..20 {
                let scatter = Scatter::new(size, seed);
                let mut numbers: Vec<u64> = (0..size).map(|index| scatter.at(index)).collect();
                numbers.sort_unstable();
                assert!(numbers.into_iter().eq(0..size), "{size} {seed}");
            }
        }
    }
}
