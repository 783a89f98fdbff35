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

#[cfg(test)]
mod tests {
    use super::super::config::{CycleGanConfig, DiscriminatorConfig, GeneratorConfig, Method, Preset};
    use super::*;
    use crate::nn::HOST;
    use candle_core::Device;

    const SIZE: usize = 16;

    /// A pair of generators of one level without filters that mix places.
    fn learner() -> anyhow::Result<CycleGanLearner> {
        let preset = CycleGanConfig::preset(Method::CycleGan, Preset::Small);
        let generator = GeneratorConfig {
            filters: vec![6],
            bottleneck: 0,
            refine: 0,
            stem_kernel: 1,
            head_kernel: 1,
            ..preset.generator
        };
        let discriminator = DiscriminatorConfig { scales: 1, ..preset.discriminator };
        let config = CycleGanConfig { size: SIZE, generator, discriminator, ..preset };
        Ok(CycleGanLearner::new(&config, Seed(1), &HOST)?)
    }

    /// Sets the weights by hand. Features are `contrast` times the colours' contrast, up and down; the image is the tanh of
    /// `raw` times the input, and where `from_features` says so the features' difference, plus `bias`.
    fn set(generator: &Generator, contrast: f32, (raw, from_features, bias): (f32, bool, f32)) -> anyhow::Result<()> {
        let up_and_down = |feature: usize, colour: usize| match feature {
            feature if feature == colour => 1.0,
            feature if feature == colour + 3 => -1.0,
            _ => 0.0,
        };
        for param in generator.store().params() {
            let dims = param.var().dims().to_vec();
            let values: Vec<f32> = match param.name() {
                "stem.conv.weight_orig" => (0..18).map(|i| up_and_down(i / 3, i % 3)).collect(),
                // Without a difference of the features their weights only make the whole matrix large, so that spectral
                // normalization leaves little of the input.
                "head.weight_orig" => (0..27)
                    .map(|i| match (i / 9, i % 9) {
                        (colour, from) if from < 6 && from_features => up_and_down(from, colour),
                        (colour, from) if from < 6 => f32::from(u8::from(from == colour)),
                        (colour, from) => {
                            if from - 6 == colour {
                                raw
                            } else {
                                0.0
                            }
                        }
                    })
                    .collect(),
                "head.bias" => vec![bias; 3],
                "stem.norm.weight" => vec![contrast; 6],
                "stem.norm.bias" => vec![0.0; 6],
                name => anyhow::bail!("unknown parameter {name}"),
            };
            param.var().set(&Tensor::from_vec(values, dims, &Device::Cpu)?)?;
        }
        for _ in 0..30 {
            generator.power_iteration()?;
        }
        Ok(())
    }

    #[test]
    fn a_translation_that_hides_the_picture_in_a_faint_code_raises_the_alarm() -> anyhow::Result<()> {
        let learner = learner()?;
        let mut rng = Seed(2).rng();
        let mut images = || -> anyhow::Result<Tensor> {
            let values = (0..4 * 3 * SIZE * SIZE).map(|_| rng.range(-0.8, 0.8)).collect::<Vec<f32>>();
            Ok(Tensor::from_vec(values, (4, 3, SIZE, SIZE), &Device::Cpu)?)
        };
        let batch = UnpairedBatch::new(images()?, images()?);
        let Some(f) = learner.real2sim() else { anyhow::bail!("no F") };
        // F draws what stands out of its input, however faintly.
        set(f, 0.75, (0.0, true, 0.0))?;
        let ratio = || -> anyhow::Result<f64> { Ok(learner.noise_sensitivity(&batch, 0.03, Seed(3))?[0].1) };
        // G shows the picture.
        set(learner.sim2real(), 0.0, (1.0, false, 0.0))?;
        let open = ratio()?;
        // G shows a bright plane with the picture in its last bits.
        set(learner.sim2real(), 0.0, (0.01, false, 1.0))?;
        let hidden = ratio()?;
        let gx = learner.sim2real().forward(&Activations::from_tensor(&batch.x)?)?.to_tensor()?;
        let brightest = (&gx - 0.76)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(brightest < 0.01, "{brightest}");
        assert!(open < 2.0 && hidden > HIDDEN_CODE_ALARM, "{open:.2} in the open, {hidden:.2} hidden");
        Ok(())
    }
}
