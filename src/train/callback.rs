//! What a run says to the outside while it trains.

use super::learner::Metrics;

/// One step of a run.
pub struct Progress<'a> {
    /// Steps taken.
    pub step: u64,
    /// Share of the run that is over, in `[0, 1]`.
    pub done: f64,
    /// Steps per second since the last line of metrics, or since this process began.
    pub steps_per_s: f64,
    /// Figures of this step.
    pub metrics: &'a Metrics,
    /// What the source has done so far, in a line.
    pub source: &'a dyn Fn() -> String,
    /// A line of metrics is written with this step.
    pub logged: bool,
}

impl Progress<'_> {
    /// A figure of this step by name; NaN where there is none.
    pub fn metric(&self, name: &str) -> f64 {
        self.metrics.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, value)| *value)
    }
}

/// Follows a run from outside.
pub trait TrainCallback {
    /// False stops the run after a checkpoint.
    fn should_continue(&mut self) -> bool;

    /// Called after every step, before its evaluation, metrics and checkpoint are written.
    fn progress(&mut self, progress: &Progress<'_>);

    /// Figures of an evaluation.
    fn evaluated(&mut self, _metrics: &[(String, f64)]) {}
}
