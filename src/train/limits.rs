//! When a training run is over, and how it ended.

use serde::{Deserialize, Serialize};

/// More steps than any run takes, and few enough for every file that counts them.
pub const MAX_STEPS: u64 = 1_000_000_000_000;
/// Two centuries.
pub const MAX_MINUTES: f64 = 1e8;

/// When a run is over: at the first limit that is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Steps since the run began, 1 to [`MAX_STEPS`]; `None`: no such limit.
    pub steps: Option<u64>,
    /// Minutes of wall clock, those of earlier processes among them, above 0; `None`: no such limit.
    pub minutes: Option<f64>,
}

impl Limits {
    /// How much of the run is over, in `[0, 1]`.
    pub fn progress(self, step: u64, elapsed_s: f64) -> f64 {
        let steps = self.steps.map_or(0.0, |steps| step as f64 / steps.max(1) as f64);
        let time = self.minutes.map_or(0.0, |minutes| elapsed_s / (minutes * 60.0));
        steps.max(time).min(1.0)
    }

    /// # Errors
    /// Limits that no run ends at.
    pub fn validate(self) -> Result<(), String> {
        if self.steps.is_none() && self.minutes.is_none() {
            return Err("a run needs a limit: a number of steps, or of minutes".to_owned());
        }
        if let Some(steps) = self.steps.filter(|steps| !(1..=MAX_STEPS).contains(steps)) {
            return Err(format!("steps must be from 1 to {MAX_STEPS}, not {steps}"));
        }
        if let Some(minutes) = self.minutes.filter(|minutes| !(*minutes > 0.0 && *minutes <= MAX_MINUTES)) {
            return Err(format!("minutes must be above 0 and at most {MAX_MINUTES}, not {minutes}"));
        }
        Ok(())
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done: a training has reached one of its limits.
    Complete,
    /// Saved; it can go on.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_counts_and_there_must_be_one() {
        let limits = Limits { steps: Some(100), minutes: Some(2.0) };
        assert!((limits.progress(25, 96.0) - 0.8).abs() < 1e-12 && (limits.progress(90, 12.0) - 0.9).abs() < 1e-12);
        assert!((limits.progress(7, 1e9) - 1.0).abs() < 1e-12);
        assert!(limits.validate().is_ok() && Limits { steps: None, ..limits }.validate().is_ok());
        for steps in [0, MAX_STEPS + 1, u64::MAX] {
            assert!(Limits { steps: Some(steps), ..limits }.validate().is_err(), "{steps}");
        }
        for minutes in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
            assert!(Limits { steps: None, minutes }.validate().is_err(), "{minutes:?}");
        }
    }
}
