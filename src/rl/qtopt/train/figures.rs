//! Figures that a run keeps about itself: successes of the last episodes, means of an iteration, seconds.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Episodes over which success is followed.
const WINDOW: usize = 300;

/// Successes of the last episodes of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent(VecDeque<bool>);

impl Recent {
    pub(super) fn add(&mut self, success: bool) {
        if self.0.len() >= WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(success);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn rate(&self) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.iter().filter(|success| **success).count() as f64 / self.0.len() as f64
    }
}

/// Seconds spent by this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) playing: f64,
    pub(super) labelling: f64,
    pub(super) learning: f64,
}

/// Means of figures over one iteration.
#[derive(Default)]
pub(super) struct Means {
    sums: Vec<(&'static str, f64, u64)>,
}

impl Means {
    pub(super) fn add(&mut self, values: &[(&'static str, f64)]) {
        for &(name, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            match self.sums.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + value, *count + 1),
                None => self.sums.push((name, value, 1)),
            }
        }
    }

    pub(super) fn take(&mut self) -> Vec<(&'static str, f64)> {
        std::mem::take(&mut self.sums).into_iter().map(|(name, sum, count)| (name, sum / count as f64)).collect()
    }
}
