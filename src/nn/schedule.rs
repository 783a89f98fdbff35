//! Learning rates as functions of the step number alone, so that a resumed run needs no state for them.

use serde::{Deserialize, Serialize};

/// The learning rate of each step (counted from 0).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate in every step.
    Constant {
        /// The learning rate.
        rate: f64,
    },
    /// `rate` for `hold` steps, then in a straight line to `end` over the next `steps` (CycleGAN's).
    Linear {
        /// The rate at the start.
        rate: f64,
        /// Steps at `rate` before the fall.
        hold: u64,
        /// Steps that the fall takes; 0 jumps to `end`.
        steps: u64,
        /// The rate after the fall.
        end: f64,
    },
    /// From `rate` to `end` along half a cosine over `steps`, after `warmup` steps that rise from 0.
    Cosine {
        /// The rate after the warm-up, the highest one.
        rate: f64,
        /// Steps that rise from 0 to `rate`; 0 begins with `rate`.
        warmup: u64,
        /// Steps that the fall takes after the warm-up; 0 jumps to `end`.
        steps: u64,
        /// The rate after the fall.
        end: f64,
    },
    /// `rate * factor^(step / every)`, in step_decay.
    StepDecay {
        /// The rate before the first decay.
        rate: f64,
        /// Steps from one decay to the next; 0 counts as 1.
        every: u64,
        /// Multiplies the rate at each decay.
        factor: f64,
    },
}

impl Schedule {
    /// The learning rate of step `step`.
    pub fn at(&self, step: u64) -> f64 {
        // Progress in [0, 1] of `step` through `count` steps that begin at `start`.
        let progress = |start: u64, count: u64| {
            if step < start {
                0.0
            } else if count == 0 {
                1.0
            } else {
                ((step - start) as f64 / count as f64).min(1.0)
            }
        };
        match *self {
            Self::Constant { rate } => rate,
            Self::Linear { rate, hold, steps, end } => rate + (end - rate) * progress(hold, steps),
            Self::Cosine { rate, warmup, .. } if step < warmup => rate * (step + 1) as f64 / warmup as f64,
            Self::Cosine { rate, warmup, steps, end } => {
                let turn = (std::f64::consts::PI * progress(warmup, steps)).cos();
                end + (rate - end) * 0.5 * (1.0 + turn)
            }
            Self::StepDecay { rate, every, factor } => {
                let stair = step / every.max(1);
                rate * factor.powf(stair as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_by_hand() {
        let linear = Schedule::Linear { rate: 2e-4, hold: 100, steps: 100, end: 0.0 };
        assert_eq!(linear.at(100), 2e-4);
        assert!((linear.at(150) - 1e-4).abs() < 1e-18);
        assert_eq!(linear.at(1000), 0.0);
        let cosine = Schedule::Cosine { rate: 1.0, warmup: 4, steps: 100, end: 0.2 };
        assert_eq!(cosine.at(0), 0.25);
        assert_eq!(cosine.at(3), 1.0);
        assert!((cosine.at(54) - 0.6).abs() < 1e-12);
        assert!((cosine.at(104) - 0.2).abs() < 1e-12);
        let step_decay = Schedule::StepDecay { rate: 1.0, every: 10, factor: 0.5 };
        assert_eq!((step_decay.at(9), step_decay.at(10), step_decay.at(35)), (1.0, 0.5, 0.125));
    }
}
