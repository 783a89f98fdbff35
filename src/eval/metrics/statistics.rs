//! How sure a figure is.

use crate::contract::Seed;

/// A figure with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// `70.0 % (60.4 to 78.1)`
    pub fn percent(&self) -> String {
        format!("{:.1} % ({:.1} to {:.1})", 100.0 * self.value, 100.0 * self.low, 100.0 * self.high)
    }
}

/// The standard normal value of a two-sided confidence of 95 %.
pub const Z95: f64 = 1.959_963_984_540_054;

/// Success rate with Wilson's score interval (1927), which stays within `[0, 1]` and is sound for few trials and for
/// rates near 0 and 1. Without trials nothing is known: 0 to 1.
pub fn wilson(successes: u64, trials: u64, z: f64) -> Interval {
    if trials == 0 {
        return Interval { value: f64::NAN, low: 0.0, high: 1.0 };
    }
    let n = trials as f64;
    let p = successes.min(trials) as f64 / n;
    let (z2, denominator) = (z * z, 1.0 + z * z / n);
    let center = (p + z2 / (2.0 * n)) / denominator;
    let half = z / denominator * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // The ends are exact where the rate is.
    let low = if successes == 0 { 0.0 } else { (center - half).max(0.0) };
    let high = if successes >= trials { 1.0 } else { (center + half).min(1.0) };
    Interval { value: p, low, high }
}

/// `NaN` without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean with its percentile bootstrap interval (Efron, 1979): `resamples` means of values drawn with replacement,
/// and the middle `confidence` (0 to 1) of them. Independent units must be the values: one an episode, not one a frame.
pub fn bootstrap_mean(values: &[f64], confidence: f64, resamples: usize, seed: Seed) -> Interval {
    let value = mean(values);
    if values.len() < 2 || resamples == 0 {
        return Interval { value, low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let mut rng = seed.derive("bootstrap", 0).rng();
    let n = values.len();
    let mut means: Vec<f64> =
        (0..resamples).map(|_| (0..n).map(|_| values[rng.below(n)]).sum::<f64>() / n as f64).collect();
    means.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - confidence.clamp(0.0, 1.0));
    Interval { value, low: quantile(&means, tail), high: quantile(&means, 1.0 - tail) }
}

/// Linear interpolation between the sorted values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_as_published() {
        // R: binom::binom.wilson(8, 10) and (0, 20); Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
        let close = |i: Interval, low: f64, high: f64| (i.low - low).abs() < 5e-5 && (i.high - high).abs() < 5e-5;
        assert!(close(wilson(8, 10, Z95), 0.4902, 0.9433), "{:?}", wilson(8, 10, Z95));
        assert!(close(wilson(81, 263, Z95), 0.2553, 0.3662), "{:?}", wilson(81, 263, Z95));
        assert!(close(wilson(0, 20, Z95), 0.0, 0.1611), "{:?}", wilson(0, 20, Z95));
        assert!(close(wilson(20, 20, Z95), 0.8389, 1.0));
        assert_eq!((wilson(0, 0, Z95).low, wilson(0, 0, Z95).high), (0.0, 1.0));
        assert_eq!(wilson(7, 10, Z95).percent(), "70.0 % (39.7 to 89.2)");
    }

    #[test]
    fn bootstrap_covers_what_it_promises() {
        // Means of 30 normal values: the 90 % interval must hold the true mean in about 90 % of 400 repetitions
        // (a little less, as is known for the percentile method).
        let mut rng = Seed(21).rng();
        let mut hits = 0;
        for repetition in 0..400 {
            let values: Vec<f64> = (0..30).map(|_| 3.0 + f64::from(rng.normal())).collect();
            let interval = bootstrap_mean(&values, 0.9, 300, Seed(repetition));
            hits += usize::from(interval.low <= 3.0 && 3.0 <= interval.high);
        }
        assert!((335..=378).contains(&hits), "{hits} of 400");
    }

    #[test]
    fn bootstrap_is_repeatable_and_modest_with_one_value() {
        let values = [1.0, 2.0, 4.0];
        assert_eq!(bootstrap_mean(&values, 0.95, 100, Seed(1)), bootstrap_mean(&values, 0.95, 100, Seed(1)));
        assert_eq!(bootstrap_mean(&[5.0], 0.95, 100, Seed(1)).high, f64::INFINITY);
        assert_eq!(bootstrap_mean(&[2.0; 9], 0.95, 100, Seed(1)), Interval { value: 2.0, low: 2.0, high: 2.0 });
    }
}
