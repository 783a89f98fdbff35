//! How attempts went: a counter, and a curve of the success rate.

use crate::contract::Step;

/// Attempts over which the curve averages.
const WINDOW: usize = 20;
/// Attempts that the curve remembers.
const REMEMBERED: usize = 400;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    pub attempts: u64,
    pub successes: u64,
    recent: Vec<bool>,
}

impl Scores {
    pub fn add(&mut self, step: &Step) {
        if step.invalid || !step.done() {
            return;
        }
        self.attempts += 1;
        self.successes += u64::from(step.success());
        self.recent.push(step.success());
        if self.recent.len() > REMEMBERED {
            self.recent.remove(0);
        }
    }

    /// In [0, 1]; none before the first attempt.
    pub fn rate(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.successes as f64 / self.attempts as f64)
    }

    pub fn recent(&self) -> &[bool] {
        &self.recent
    }

    /// (attempt, success rate of the last `WINDOW` attempts) for every remembered attempt.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        let first = self.attempts as usize - self.recent.len();
        (0..self.recent.len())
            .map(|i| {
                let window = &self.recent[(i + 1).saturating_sub(WINDOW)..=i];
                let rate = window.iter().filter(|&&success| success).count() as f64 / window.len() as f64;
                [(first + i + 1) as f64, rate]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_averages() {
        let mut scores = Scores::default();
        let step = |terminated, grasped: &[usize]| Step { terminated, grasped: grasped.to_vec(), ..Step::default() };
        scores.add(&step(false, &[]));
        assert_eq!(scores.rate(), None);
        for success in [true, false, true, true] {
            scores.add(&step(true, if success { &[2] } else { &[] }));
        }
        assert_eq!((scores.attempts, scores.successes, scores.rate()), (4, 3, Some(0.75)));
        let curve = scores.curve();
        assert_eq!(curve[0], [1.0, 1.0]);
        assert_eq!(curve[1], [2.0, 0.5]);
        assert_eq!(curve[3], [4.0, 0.75]);
        for _ in 0..500 {
            scores.add(&step(true, &[]));
        }
        assert_eq!(scores.curve().last(), Some(&[504.0, 0.0]));
        assert_eq!(scores.curve().len(), REMEMBERED);
    }
}
