//! Success over the last episodes of one kind.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Episodes over which success is followed.
const WINDOW: usize = 300;

/// Successes of the last episodes of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuccessWindow(VecDeque<bool>);

impl SuccessWindow {
    /// Adds an episode; beyond 300 of them the oldest is dropped.
    pub fn add(&mut self, success: bool) {
        if self.0.len() >= WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(success);
    }

    /// Episodes in the window, at most 300.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In `[0, 1]`; NaN before the first episode.
    pub fn rate(&self) -> f64 {
        self.0.iter().filter(|success| **success).count() as f64 / self.0.len() as f64
    }
}
