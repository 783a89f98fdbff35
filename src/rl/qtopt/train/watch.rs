//! What a run tells those outside it: while it goes on, and at its end.

use crate::train::Ended;

/// What a run tells while it goes on.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub steps: u64,
    pub episodes: u64,
    /// In `[0, 1]`.
    pub done: f64,
    pub phase: &'static str,
    pub episodes_per_s: f64,
    pub steps_per_s: f64,
    /// Success of the policy without noise over the last episodes; NaN before the first.
    pub greedy: f64,
    pub scripted: f64,
    pub loss: f64,
}

/// Who looks at a run from outside.
pub trait TrainCallback: Send {
    /// False stops the run after a checkpoint.
    fn should_continue(&mut self) -> bool;

    fn progress(&mut self, progress: &Progress);
}

/// How a run ended, and how fast it was.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ended: Ended,
    pub steps: u64,
    pub episodes: u64,
    /// By this process: seconds, and of them playing, labelling and learning.
    pub seconds: f64,
    pub playing_s: f64,
    pub labelling_s: f64,
    pub learning_s: f64,
    pub steps_here: u64,
    pub episodes_here: u64,
    pub greedy: f64,
    pub scripted: f64,
}
