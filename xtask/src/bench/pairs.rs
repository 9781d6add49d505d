//! Adjacent pairs in shuffled order.

use anyhow::Result;

/// Draws lots; the SplitMix64 generator after Steele, Lea and Flood (2014).
#[derive(Debug)]
pub(crate) struct Shuffle(u64);

impl Shuffle {
    /// Begins with a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Whether the first of two goes first.
    fn coin(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) & 1 == 0
    }
}

/// Values of two things that were measured next to each other.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// Of the first.
    pub(crate) first: Vec<f64>,
    /// Of the second.
    pub(crate) second: Vec<f64>,
}

impl Pairs {
    /// Measures both, so many times.
    ///
    /// # Errors
    /// One of them fails.
    pub(crate) fn measure(
        count: usize,
        shuffle: &mut Shuffle,
        mut first: impl FnMut() -> Result<f64>,
        mut second: impl FnMut() -> Result<f64>,
        mut done: impl FnMut(),
    ) -> Result<Self> {
        let mut pairs = Self::default();
        for _ in 0..count {
            let (a, b) = if shuffle.coin() {
                let a = first()?;
                (a, second()?)
            } else {
                let b = second()?;
                (first()?, b)
            };
            pairs.first.push(a);
            pairs.second.push(b);
            done();
        }
        Ok(pairs)
    }

    /// For each pair the first divided by the second.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        self.first.iter().zip(&self.second).map(|(first, second)| first / second).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_adjacent_and_both_orders_occur() {
        let order = std::cell::RefCell::new(String::new());
        let note = |letter, value| {
            order.borrow_mut().push(letter);
            Ok(value)
        };
        let pairs = Pairs::measure(32, &mut Shuffle::new(7), || note('a', 6.0), || note('b', 3.0), || {}).unwrap();
        assert_eq!(pairs.ratios(), vec![2.0; 32]);
        let order = order.into_inner();
        let twos: Vec<&str> = (0..32).map(|at| &order[2 * at..2 * at + 2]).collect();
        assert!(twos.contains(&"ab") && twos.contains(&"ba"), "{order}");
        assert!(twos.iter().all(|two| *two == "ab" || *two == "ba"), "{order}");
    }
}
