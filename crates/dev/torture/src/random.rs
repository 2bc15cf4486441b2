//! Random numbers that depend on the seed only, on every machine.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one addition and a mix for each number.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

// === impl Random ===

impl Random {
    /// A sequence unrelated to those of other names and numbers.
    pub(crate) fn derived(seed: u64, name: &str, number: u64) -> Random {
        let mut random = Random(seed);
        for byte in name.bytes() {
            random.0 ^= u64::from(byte);
            random.0 = random.next();
        }
        random.0 ^= number;
        random.0 = random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `to`, inclusive.
    pub(crate) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// An index into a list of this length.
    pub(crate) fn index(&mut self, items: usize) -> usize {
        usize::try_from(self.within(0, items as u64 - 1)).expect("below a usize")
    }

    /// True with this probability in percent.
    pub(crate) fn percent(&mut self, of_hundred: u64) -> bool {
        self.within(1, 100) <= of_hundred
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_numbers_match_the_published_ones() {
        let mut random = Random(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, published);
    }

    #[test]
    fn names_and_numbers_change_the_sequence() {
        let first = |name, number| Random::derived(7, name, number).next();
        let all = [first("a", 0), first("a", 1), first("b", 0), first("ab", 0)];
        let mut distinct = all.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
    }
}
