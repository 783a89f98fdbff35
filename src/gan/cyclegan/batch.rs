//! What one step of unpaired translation sees.

use super::config::CycleGanConfig;
use super::error::CycleGanError;
use candle_core::{Device, Tensor};

/// Images of both domains, in no correspondence, and what may be known beside them.
#[derive(Clone, Debug)]
pub struct UnpairedBatch {
    /// Simulation, `[n, 3, height, width]` in `[-1, 1]`.
    pub x: Tensor,
    /// Reality, the same shape.
    pub y: Tensor,
    /// Numbers that the discriminators see beside each image, `[n, planes]`: the gripper's own sensors.
    pub x_state: Option<Tensor>,
    /// The same numbers beside each image of y; `None` where `discriminator.state_planes` is 0.
    pub y_state: Option<Tensor>,
    /// One-hot classes of x's pixels, `[n, classes, height, width]`.
    pub x_mask: Option<Tensor>,
    /// The actions at which a [`SceneLoss`](super::SceneLoss) compares Q-values, `[n, actions, numbers]`.
    pub x_actions: Option<Tensor>,
    /// The actions at which Q-values of y are compared, `[n, actions, numbers]`.
    pub y_actions: Option<Tensor>,
    /// What a [`TaskNetwork`](super::TaskNetwork) should say of x, `[n, ...]`.
    pub x_labels: Option<Tensor>,
}

impl UnpairedBatch {
    /// Images alone.
    pub fn new(x: Tensor, y: Tensor) -> Self {
        let (x_state, y_state, x_mask, x_actions, y_actions, x_labels) = (None, None, None, None, None, None);
        Self { x, y, x_state, y_state, x_mask, x_actions, y_actions, x_labels }
    }

    /// This batch on a device; nothing is copied where it is there already.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_device(&self, device: &Device) -> candle_core::Result<Self> {
        let moved = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| tensor.to_device(device)).transpose();
        Ok(Self {
            x: self.x.to_device(device)?,
            y: self.y.to_device(device)?,
            x_state: moved(&self.x_state)?,
            y_state: moved(&self.y_state)?,
            x_mask: moved(&self.x_mask)?,
            x_actions: moved(&self.x_actions)?,
            y_actions: moved(&self.y_actions)?,
            x_labels: moved(&self.x_labels)?,
        })
    }

    /// Whether the settings can be trained on this batch.
    ///
    /// # Errors
    /// What is missing, or of which shape it should be.
    pub fn check(&self, config: &CycleGanConfig) -> Result<(), CycleGanError> {
        let fail = |message: String| Err(CycleGanError::Input(message));
        let dims = self.x.dims();
        let [n, 3, _, _] = *dims else {
            return fail(format!("a batch of images must be [n, 3, height, width], not {dims:?}"));
        };
        if self.y.dims() != dims || n == 0 {
            return fail(format!("images of x {dims:?} and y {:?} must be of one shape, at least one", self.y.dims()));
        }
        let planes = config.discriminator.state_planes;
        for (name, state) in [("x", &self.x_state), ("y", &self.y_state)] {
            match state {
                None if planes == 0 => {}
                Some(state) if planes > 0 && state.dims() == [n, planes] => {}
                found => {
                    let found = found.as_ref().map(|state| state.dims().to_vec());
                    return fail(format!(
                        "discriminator.state_planes is {planes}, but the state of {name} has shape {found:?} for {n} images"
                    ));
                }
            }
        }
        let classes = config.generator.mask_classes;
        if config.weights.mask > 0.0 {
            let expected = [n, classes, dims[2], dims[3]];
            let found = self.x_mask.as_ref().map(|mask| mask.dims().to_vec());
            if found.as_deref() != Some(&expected) {
                return fail(format!(
                    "weights.mask needs masks {expected:?} of the simulation's images, not {found:?}"
                ));
            }
        }
        Ok(())
    }
}
