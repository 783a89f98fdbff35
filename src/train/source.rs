//! Where batches come from: the simulator, a recording, a dataset, or several of them together.

use super::checkpoint::Checkpoint;
use super::error::TrainError;
use super::learner::{Learner, NamedImage};
use super::tensors::NamedTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// How far a run is when a batch is asked for.
#[derive(Clone, Copy, Debug)]
pub struct StepProgress {
    /// Number of the step that the batch is for, from 0.
    pub step: u64,
    /// Share of the run that is over, in `[0, 1]`.
    pub done: f64,
}

/// What a source adds to a checkpoint.
#[derive(Default)]
pub struct SourceState {
    /// Handed back to [`BatchSource::restore`]; null for a source without a state.
    pub state: Value,
    /// Small tensors by file name. Large ones (replay) lie in files of their own in the run's folder.
    pub groups: BTreeMap<String, NamedTensors<'static>>,
}

/// What a source found out beside training, at the interval of pictures.
#[derive(Default)]
pub struct Evaluation {
    /// Figures by name, `group/name`; the run logs them.
    pub metrics: Vec<(String, f64)>,
    /// Pictures, each with its folder's name under `images/`.
    pub images: Vec<NamedImage>,
}

/// Gives a learner its batches. It may collect experience with the learner, and it has a state of its own.
pub trait BatchSource<L: Learner> {
    /// The batch for one step. Its contents follow from the settings, the step number and the learner's weights alone.
    ///
    /// # Errors
    /// The simulator, the graphics device or the disk fails.
    fn next(&mut self, learner: &L, progress: StepProgress) -> Result<L::Batch, TrainError>;

    /// Figures since the last line of the log.
    fn metrics(&mut self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Seconds of this process by phase ("collect", "wait"); the rest of the time is learning.
    fn seconds(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// One line on what the source has done so far, for the progress bar.
    fn progress_line(&self) -> String {
        String::new()
    }

    /// Judges the learner on held-out data and draws what it does.
    ///
    /// # Errors
    /// As [`Self::next`].
    fn evaluate(&mut self, _learner: &mut L) -> Result<Evaluation, TrainError> {
        Ok(Evaluation::default())
    }

    /// Everything that [`Self::restore`] needs. `root` is the run's folder.
    ///
    /// # Errors
    /// A full disk.
    fn save(&mut self, _root: &Path) -> Result<SourceState, TrainError> {
        Ok(SourceState::default())
    }

    /// A checkpoint that names `save`'s files is on disk; older files may go. `keep` checkpoints are kept.
    ///
    /// # Errors
    /// A file that cannot be removed.
    fn saved(&mut self, _root: &Path, _keep: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// Takes over [`Self::save`]'s state, and returns sentences about what was lost to damage.
    ///
    /// # Errors
    /// A state of another kind.
    fn restore(&mut self, _root: &Path, _checkpoint: &Checkpoint, _state: Value) -> Result<Vec<String>, TrainError> {
        Ok(Vec::new())
    }
}
