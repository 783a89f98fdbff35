//! A Q-function that looks through a generator: Q_real in the simulator through G, or Q_sim in `reality` through F.

use crate::contract::action_space::ActionFeatures;
use crate::gan::cyclegan::Generator;
use crate::gan::cyclegan::noise::in_bytes;
use crate::nn::{Activations, ParamStore};
use crate::rl::qtopt::network::{Encoded, EncoderMode, QFunction, Score};
use candle_core::{Result, Tensor};

/// Translates every image, in whole bytes as replay keeps them, and hands it on to a Q-function. For deciding alone: no
/// gradient passes.
pub struct TranslatedQ<'a> {
    /// One after the other.
    pub generators: Vec<&'a Generator>,
    /// Encodes the translated image and scores actions for it.
    pub q: &'a dyn QFunction,
}

impl QFunction for TranslatedQ<'_> {
    fn store(&self) -> &ParamStore {
        self.q.store()
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded> {
        let mut image = images.detach()?;
        for generator in &self.generators {
            let _frozen = generator.store().freeze();
            image = Activations::from_tensor(&in_bytes(&generator.forward(&image)?.to_tensor()?)?)?;
        }
        self.q.encode(&image, states, mode)
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], train: bool) -> Result<Vec<Tensor>> {
        self.q.logits(encoded, actions, train)
    }

    fn auxiliary_predictions(&self, encoded: &Encoded) -> Result<Option<Tensor>> {
        self.q.auxiliary_predictions(encoded)
    }

    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>> {
        self.q.scorer(encoded)
    }
}
