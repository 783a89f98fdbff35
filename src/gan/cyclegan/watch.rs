//! Whether a translation hides a code for the way back (Chu et al., 2017).

use super::batch::UnpairedBatch;
use super::error::CycleGanError;
use super::generator::Generator;
use super::learner::{CycleGanLearner, Metrics};
use super::noise::with_noise;
use crate::contract::Seed;
use crate::nn::Activations;
use crate::nn::ops::loss;
use candle_core::Tensor;

/// The ratio above which a cycle is taken to close by a hidden code.
pub const HIDDEN_CODE_ALARM: f64 = 3.0;

impl CycleGanLearner {
    /// How much worse the cycles close when noise too faint to see lies on the translation: `MSE(F(G(x) + n), x) /
    /// MSE(F(G(x)), x)` and the same from y, by the averaged generators. Near 1 when what the way back needs can be seen;
    /// beyond [`HIDDEN_CODE_ALARM`] it reads a code. Empty for methods without a cycle.
    ///
    /// # Errors
    /// Another shape.
    pub fn noise_sensitivity(&self, batch: &UnpairedBatch, std: f64, seed: Seed) -> Result<Metrics, CycleGanError> {
        let Some(f) = self.real2sim() else { return Ok(Metrics::new()) };
        let g = self.sim2real();
        let _frozen = [g.store().freeze(), f.store().freeze()];
        let ratio = |there: &Generator, back: &Generator, image: &Tensor, seed: Seed| -> candle_core::Result<f64> {
            let translated = there.forward(&Activations::from_tensor(image)?)?;
            let error = |translated: &Activations| -> candle_core::Result<f64> {
                let error = loss::squared_error(&back.forward(translated)?.to_tensor()?, image)?;
                Ok(f64::from(error.to_scalar::<f32>()?))
            };
            Ok(error(&with_noise(&translated, std, seed)?)? / error(&translated)?.max(1e-12))
        };
        Ok(vec![
            ("hidden_code/sim", ratio(g, f, &batch.x, seed.derive("sim", 0))?),
            ("hidden_code/real", ratio(f, g, &batch.y, seed.derive("real", 0))?),
        ])
    }
}
