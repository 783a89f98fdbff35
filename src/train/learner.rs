//! What a learner shows of itself to the training loop: one step, its networks and optimizers, its pictures.

use super::checkpoint::Checkpoint;
use super::error::TrainError;
use crate::draw::Canvas;
use crate::nn::{Adam, ParamStore};
use candle_core::Tensor;
use serde_json::Value;

/// Named figures of one step. Values that are not finite are left out of means.
pub type Metrics = Vec<(&'static str, f64)>;

/// A picture and the name of its folder under `images/`.
pub type NamedImage = (&'static str, Canvas);

/// Tensors of one file of a checkpoint, by name.
pub type NamedGroup = (&'static str, Vec<(String, Tensor)>);

/// A part of a learner that has tensors to save.
pub enum Module<'a> {
    /// Parameters and buffers of a network.
    Network(&'a ParamStore),
    /// Moments and step count.
    Optimizer(&'a mut Adam),
}

/// What learns. Checkpoints, metrics, pictures and reports follow from these lists; a learner writes no file itself.
pub trait Learner {
    /// What one step learns from.
    type Batch;

    /// Takes one step. `lr_scale` multiplies every learning rate.
    ///
    /// # Errors
    /// Shapes that do not fit; gradients that are not finite several times in a row.
    fn update(&mut self, batch: &Self::Batch, lr_scale: f64) -> Result<Metrics, TrainError>;

    /// Steps taken since the run began.
    fn step(&self) -> u64;

    /// Continues the count of steps of a resumed run.
    fn set_step(&mut self, step: u64);

    /// Networks and optimizers by name: each becomes `NAME.safetensors` in a checkpoint, in the order of the list.
    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)>;

    /// What else must be saved, such as random generators; the default is nothing. No floats: their text may come back as
    /// a neighbouring number.
    ///
    /// # Errors
    /// A state that JSON cannot hold.
    fn state(&self) -> Result<Value, TrainError> {
        Ok(Value::Null)
    }

    /// Tensors beside the modules' by file name, such as the images of a pool.
    ///
    /// # Errors
    /// A device that fails.
    fn tensors(&self) -> Result<Vec<NamedGroup>, TrainError> {
        Ok(Vec::new())
    }

    /// Takes over [`Self::state`] and [`Self::tensors`].
    ///
    /// # Errors
    /// A state of another kind.
    fn restore(&mut self, state: Value, _checkpoint: &Checkpoint) -> Result<(), TrainError> {
        if state.is_null() { Ok(()) } else { Err(TrainError::state("the learner keeps no such state")) }
    }

    /// Figures that cost more than a step, at the interval of pictures: gradient norms of loss terms, for example.
    ///
    /// # Errors
    /// As [`Self::update`].
    fn diagnostics(&mut self, _batch: &Self::Batch) -> Result<Metrics, TrainError> {
        Ok(Vec::new())
    }

    /// Pictures of the batch that was learned from last.
    ///
    /// # Errors
    /// As [`Self::update`].
    fn images(&mut self, _batch: &Self::Batch) -> Result<Vec<NamedImage>, TrainError> {
        Ok(Vec::new())
    }
}
