//! Statistics of features for normalization, in one pass and bounded memory.
//!
//! In: the values of each frame. Out: count, minimum, maximum, mean, standard deviation (of the population, as NumPy's
//! `std`) and quantiles of every component. Images count by channel over all pixels and are divided by 255; everything
//! but the quantiles of measurements with very many different values is exact.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The quantiles that LeRobot's readers know.
const QUANTILES: [f64; 5] = [0.01, 0.1, 0.5, 0.9, 0.99];
/// Names of the figures of a [`Summary`].
pub(super) const NAMES: [&str; 9] = ["min", "max", "mean", "std", "q01", "q10", "q50", "q90", "q99"];
const CHANNELS: usize = 3;

/// Figures of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Frames.
    pub count: u64,
    /// Of each of [`NAMES`], a number for each component.
    pub figures: [Vec<f64>; NAMES.len()],
}

impl Summary {
    fn new(count: u64, components: &[[f64; NAMES.len()]]) -> Self {
        Self { count, figures: std::array::from_fn(|i| components.iter().map(|figures| figures[i]).collect()) }
    }

    /// As in `stats.json`. The numbers of images have the shape `[3, 1, 1]`, which broadcasts over `[3, height, width]`.
    pub(super) fn to_json(&self, image: bool) -> Value {
        let list =
            |values: &[f64]| -> Value { values.iter().map(|&v| if image { json!([[v]]) } else { json!(v) }).collect() };
        let figures = NAMES.iter().zip(&self.figures).map(|(name, values)| ((*name).to_owned(), list(values)));
        figures.chain([("count".to_owned(), json!([self.count]))]).collect()
    }
}

/// Gathers the frames of an image feature: how often each value occurs in each channel.
#[derive(Clone, Debug)]
pub(super) struct ImageTally {
    frames: u64,
    counts: [[u64; 256]; CHANNELS],
}

impl ImageTally {
    pub(super) fn new() -> Self {
        Self { frames: 0, counts: [[0; 256]; CHANNELS] }
    }

    /// `[height, width, 3]` bytes.
    pub(super) fn add(&mut self, image: &[u8]) {
        self.frames += 1;
        for pixel in image.chunks_exact(CHANNELS) {
            for (counts, &value) in self.counts.iter_mut().zip(pixel) {
                counts[usize::from(value)] += 1;
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        for (count, more) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *count += more;
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let channel = |counts: &[u64; 256]| {
            let bins = counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(value, &n)| (n, value as f64 / 255.0));
            let count: u64 = counts.iter().sum();
            let average =
                |f: &dyn Fn(f64) -> f64| bins.clone().map(|(n, v)| n as f64 * f(v)).sum::<f64>() / count as f64;
            let mean = average(&|v| v);
            let std = average(&|v| (v - mean).powi(2)).sqrt();
            let ends = (bins.clone().next().map_or(0.0, |(_, v)| v), bins.clone().next_back().map_or(0.0, |(_, v)| v));
            figures([ends.0, ends.1, mean, std], bins, count)
        };
        Summary::new(self.frames, &self.counts.each_ref().map(channel))
    }
}

/// Gathers the frames of a feature of numbers.
#[derive(Clone, Debug)]
pub(super) struct NumberTally(Vec<Numbers>);

impl NumberTally {
    pub(super) fn new(components: usize) -> Self {
        Self(vec![Numbers::default(); components])
    }

    /// Finite values, one for each component.
    pub(super) fn add(&mut self, values: &[f64]) {
        self.0.iter_mut().zip(values).for_each(|(numbers, &value)| numbers.add(value));
    }

    pub(super) fn summary(&self) -> Summary {
        let components: Vec<_> = self.0.iter().map(Numbers::figures).collect();
        Summary::new(self.0.first().map_or(0, |numbers| numbers.count), &components)
    }
}

/// Different values that are told apart for the quantiles, at least half as many once there are more.
const MAX_BINS: usize = 8192;
/// The finest bin is 2^-32 wide.
const FINEST: i32 = -32;

#[derive(Clone, Debug)]
struct Numbers {
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of squared distances from the mean (Welford 1962).
    squares: f64,
    /// Bins are 2^exponent wide; bin k holds the values from k to k + 1 widths.
    exponent: i32,
    /// Number and sum of the values of each bin.
    bins: BTreeMap<i64, (u64, f64)>,
}

impl Default for Numbers {
    fn default() -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { count: 0, min, max, mean: 0.0, squares: 0.0, exponent: FINEST, bins: BTreeMap::new() }
    }
}

impl Numbers {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        let bin = self.bins.entry((value * f64::from(-self.exponent).exp2()).floor() as i64).or_default();
        *bin = (bin.0 + 1, bin.1 + value);
        while self.bins.len() > MAX_BINS {
            self.coarsen();
        }
    }

    /// Doubles the width of the bins, which joins them in pairs.
    fn coarsen(&mut self) {
        self.exponent += 1;
        for (bin, (count, sum)) in std::mem::take(&mut self.bins) {
            let joined = self.bins.entry(bin >> 1).or_default();
            *joined = (joined.0 + count, joined.1 + sum);
        }
    }

    fn figures(&self) -> [f64; NAMES.len()] {
        // The mean of equal values may be off by a rounding error.
        let bins = self.bins.values().map(|&(n, sum)| (n, (sum / n as f64).clamp(self.min, self.max)));
        let std = (self.squares / self.count as f64).max(0.0).sqrt();
        figures([self.min, self.max, self.mean, std], bins, self.count)
    }
}

fn figures(moments: [f64; 4], bins: impl Iterator<Item = (u64, f64)> + Clone, count: u64) -> [f64; NAMES.len()] {
    let quantiles = QUANTILES.map(|q| quantile(bins.clone(), count, q));
    std::array::from_fn(|i| if i < 4 { moments[i] } else { quantiles[i - 4] })
}

/// Between the two values whose ranks enclose `q (count - 1)`, linearly: NumPy's default. `bins` ascend and hold a number
/// of equal values each.
fn quantile(bins: impl Iterator<Item = (u64, f64)> + Clone, count: u64, q: f64) -> f64 {
    let position = q * count.saturating_sub(1) as f64;
    let rank = position.floor();
    let at = |rank: u64| {
        let mut seen = 0;
        let found = bins.clone().find(|(n, _)| {
            seen += n;
            seen > rank
        });
        found.or_else(|| bins.clone().last()).map_or(0.0, |(_, value)| value)
    };
    let low = at(rank as u64);
    low + (at(rank as u64 + 1) - low) * (position - rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-12, "{found:?} instead of {expected:?}");
        }
    }

    fn numbers(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        values.iter().for_each(|&v| numbers.add(v));
        numbers
    }

    #[test]
    fn five_numbers_by_hand() {
        // Mean 4; squared distances 9 + 4 + 1 + 0 + 36 = 50, of which a fifth is 10. Quantiles lie at 0.04, 0.4, 2, 3.6 and
        // 3.96 between the sorted 1, 2, 3, 4, 10.
        let found = numbers(&[3.0, 1.0, 10.0, 2.0, 4.0]).figures();
        close(&found, &[1.0, 10.0, 4.0, 10f64.sqrt(), 1.04, 1.4, 3.0, 7.6, 9.76]);
        close(&numbers(&[-0.1]).figures(), &[-0.1, -0.1, -0.1, 0.0, -0.1, -0.1, -0.1, -0.1, -0.1]);
    }

    #[test]
    fn quantiles_of_very_many_values_stay_close_in_bounded_memory() {
        let mut rng = Seed(3).rng();
        let mut values: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal()) * 0.02 - 5.0).collect();
        let numbers = numbers(&values);
        assert!(numbers.bins.len() <= MAX_BINS);
        values.sort_by(f64::total_cmp);
        let range = values[99_999] - values[0];
        for (q, found) in QUANTILES.iter().zip(&numbers.figures()[4..]) {
            let exact = values[(q * 99_999.0) as usize];
            assert!((found - exact).abs() < range / 2000.0, "{q}: {found} instead of {exact}");
        }
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
        close(&numbers.figures()[2..4], &[mean, variance.sqrt()]);
    }

    #[test]
    fn pixels_count_by_channel() {
        let mut tally = ImageTally::new();
        tally.add(&[0, 255, 51, 255, 255, 51]);
        let mut more = ImageTally::new();
        more.add(&[255, 255, 51, 0, 255, 102]);
        tally.merge(&more);
        let summary = tally.summary();
        assert_eq!(summary.count, 2);
        // Red is 0, 255, 255, 0; green always 255; blue 51 three times and once 102.
        close(&summary.figures[0], &[0.0, 1.0, 0.2]);
        close(&summary.figures[1], &[1.0, 1.0, 0.4]);
        close(&summary.figures[2], &[0.5, 1.0, 0.25]);
        close(&summary.figures[3], &[0.5, 0.0, 0.0075f64.sqrt()]);
        // The median of four lies between the second and the third.
        close(&summary.figures[6], &[0.5, 1.0, 0.2]);
        assert_eq!(summary.to_json(true)["mean"], json!([[[0.5]], [[1.0]], [[summary.figures[2][2]]]]));
        assert_eq!(summary.to_json(true)["count"], json!([2]));
    }
}
