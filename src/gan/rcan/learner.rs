//! The learner: networks, optimizers and the averaged generator; one call is one training step.
//!
//! A step translates a batch once, moves the discriminator on it, then the generator against the moved discriminator
//! (RCAN, equations 3 and 4, with the generator's part in its non-saturating form), then the averaged generator.

use super::batch::TrainBatch;
use super::config::RcanConfig;
use super::discriminator::{Discriminator, adversarial_loss};
use super::generator::Generator;
use super::loss::{equality_losses, image_loss};
use crate::contract::Seed;
use crate::nn::Adam;
use crate::nn::ops::Activations;
use crate::train::{Learner, Metrics, Module, TrainError};
use candle_core::{Device, Tensor, Var};

/// Figures of one step; what the settings leave out is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepFigures {
    /// Loss between generated and canonical image, unweighted.
    pub image: f64,
    /// Twice the squared mean difference of the images, unweighted.
    pub offset: f64,
    /// Squared distance between class probabilities and one-hot truth, unweighted.
    pub mask: f64,
    /// Mean squared error of the encoded depth, unweighted.
    pub depth: f64,
    /// The generator's adversarial loss, unweighted.
    pub gan: f64,
    /// The generator's objective: the weighted sum of all its terms.
    pub total: f64,
    /// The discriminator's cross-entropies on canonical and generated images, added up.
    pub discriminator: f64,
    /// Share of decisions that were right, patches of all scales.
    pub discriminator_accuracy: f64,
    /// Global norm of the generator's gradients before clipping.
    pub gradient_norm: f64,
}

impl StepFigures {
    /// The learner's figures by name, for metrics.
    pub fn named(&self) -> [(&'static str, f64); 9] {
        [
            ("loss/image", self.image),
            ("loss/offset", self.offset),
            ("loss/mask", self.mask),
            ("loss/depth", self.depth),
            ("loss/total", self.total),
            ("adversary/generator", self.gan),
            ("adversary/discriminator", self.discriminator),
            ("adversary/accuracy", self.discriminator_accuracy),
            ("grad_norm/total", self.gradient_norm),
        ]
    }
}

/// Everything that learns.
pub struct RcanLearner {
    config: RcanConfig,
    /// The generator that gradients train.
    pub generator: Generator,
    /// Moving average of the generator's weights: the one to use.
    pub averaged: Generator,
    /// Judges whether images are canonical, on all scales.
    pub discriminator: Discriminator,
    generator_adam: Adam,
    discriminator_adam: Adam,
    step: u64,
}

impl RcanLearner {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &RcanConfig, seed: Seed, device: &Device) -> Result<Self, TrainError> {
        config.validate().map_err(|error| TrainError::Config(error.to_string()))?;
        let generator = Generator::new(config, seed.derive("generator", 0), device)?;
        let averaged = Generator::new(config, seed.derive("generator", 0), device)?;
        let discriminator = Discriminator::new(config, seed.derive("discriminator", 0), device)?;
        let generator_adam = Adam::new(&[generator.store()], config.adam)?;
        let discriminator_adam = Adam::new(&[discriminator.store()], config.discriminator_adam)?;
        Ok(Self {
            config: config.clone(),
            generator,
            averaged,
            discriminator,
            generator_adam,
            discriminator_adam,
            step: 0,
        })
    }

    /// The settings that the learner was created with.
    pub fn config(&self) -> &RcanConfig {
        &self.config
    }

    /// Where the networks are, and batches go.
    pub fn device(&self) -> &Device {
        self.generator.store().device()
    }

    /// One step on a batch; `lr_scale` scales the learning rates.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    pub fn learn(&mut self, batch: &TrainBatch, lr_scale: f64) -> Result<StepFigures, TrainError> {
        let mut figures = StepFigures::default();
        let scalar = |tensor: &Tensor| -> candle_core::Result<f64> { Ok(f64::from(tensor.to_scalar::<f32>()?)) };
        let out = self.generator.forward(&batch.source)?;
        let adversarial = self.config.weights.gan > 0.0;
        if adversarial {
            let real = self.discriminator.forward(&Activations::from_tensor(&batch.canonical)?)?;
            let fake = self.discriminator.forward(&Activations::from_tensor(&out.image.detach())?)?;
            let loss = (adversarial_loss(&real, 1.0)? + adversarial_loss(&fake, 0.0)?)?;
            figures.discriminator = scalar(&loss)?;
            figures.discriminator_accuracy = accuracy(&real, &fake)?;
            let gradients = loss.backward()?;
            self.discriminator_adam.step(&gradients, lr_scale * self.config.discriminator_lr)?;
        }
        let pairwise = equality_losses(&self.config, &out, batch)?;
        let mut total = pairwise.total;
        if adversarial {
            let _frozen = self.discriminator.store().freeze();
            let gan = adversarial_loss(&self.discriminator.forward(&Activations::from_tensor(&out.image)?)?, 1.0)?;
            figures.gan = scalar(&gan)?;
            total = (total + (gan * self.config.weights.gan)?)?;
        }
        let gradients = total.backward()?;
        let report = self.generator_adam.step(&gradients, lr_scale * self.config.generator_lr)?;
        figures.gradient_norm = report.gradient_norm;
        figures.total = scalar(&total)?;
        let terms = [
            (&mut figures.image, &pairwise.image),
            (&mut figures.offset, &pairwise.offset),
            (&mut figures.mask, &pairwise.mask),
            (&mut figures.depth, &pairwise.depth),
        ];
        for (figure, term) in terms {
            *figure = term.as_ref().map_or(Ok(0.0), scalar)?;
        }
        // Young averages follow faster, so that the start is forgotten.
        let step = self.step as f64;
        let decay = self.config.ema_decay.min((1.0 + step) / (10.0 + step));
        self.averaged.store().polyak_update(self.generator.store(), 1.0 - decay)?;
        self.step += 1;
        Ok(figures)
    }

    /// How hard the image loss and the adversary pull at the generated image: norms of their weighted gradients.
    ///
    /// # Errors
    /// Another shape.
    pub fn gradient_norms(&self, batch: &TrainBatch) -> Result<[(&'static str, f64); 2], TrainError> {
        let _frozen = (self.generator.store().freeze(), self.discriminator.store().freeze());
        let image = Var::from_tensor(&self.generator.forward(&batch.source)?.image.detach())?;
        let norm = |loss: Tensor, weight: f64| -> Result<f64, TrainError> {
            let gradients = (loss * weight)?.backward()?;
            let Some(gradient) = gradients.get(&image) else { return Ok(0.0) };
            Ok(f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt()))
        };
        let weights = &self.config.weights;
        let pairwise = image_loss(self.config.image_loss, image.as_tensor(), &batch.canonical)?;
        let logits = self.discriminator.forward(&Activations::from_tensor(image.as_tensor())?)?;
        Ok([
            ("grad_norm/image", norm(pairwise, weights.image)?),
            ("grad_norm/adversarial", norm(adversarial_loss(&logits, 1.0)?, weights.gan)?),
        ])
    }
}

impl Learner for RcanLearner {
    type Batch = TrainBatch;

    fn update(&mut self, batch: &TrainBatch, lr_scale: f64) -> Result<Metrics, TrainError> {
        Ok(self.learn(batch, lr_scale)?.named().to_vec())
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        vec![
            (GENERATOR, Module::Network(self.generator.store())),
            (AVERAGED, Module::Network(self.averaged.store())),
            (DISCRIMINATOR, Module::Network(self.discriminator.store())),
            (GENERATOR_ADAM, Module::Optimizer(&mut self.generator_adam)),
            (DISCRIMINATOR_ADAM, Module::Optimizer(&mut self.discriminator_adam)),
        ]
    }

    fn diagnostics(&mut self, batch: &TrainBatch) -> Result<Metrics, TrainError> {
        if self.config.weights.gan > 0.0 { Ok(self.gradient_norms(batch)?.to_vec()) } else { Ok(Vec::new()) }
    }
}

pub(super) const GENERATOR: &str = "generator";
/// The averaged generator: the file to take elsewhere.
pub(super) const AVERAGED: &str = "generator_averaged";
const DISCRIMINATOR: &str = "discriminator";
const GENERATOR_ADAM: &str = "generator_adam";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam";

/// Share of positive decisions on real and negative ones on generated images.
fn accuracy(real: &[Tensor], fake: &[Tensor]) -> candle_core::Result<f64> {
    let (mut right, mut all) = (0, 0);
    for (logits, canonical) in real.iter().map(|l| (l, true)).chain(fake.iter().map(|l| (l, false))) {
        for logit in logits.detach().flatten_all()?.to_vec1::<f32>()? {
            right += usize::from((logit > 0.0) == canonical);
            all += 1;
        }
    }
    Ok(right as f64 / f64::from(u32::try_from(all.max(1)).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::config::Preset;
    use super::*;
    use crate::gan::frames::{Frame, testing::squares};
    use crate::nn::HOST;

    /// Tensors by name.
    type Named = Vec<(String, Vec<f32>)>;

    /// Figures and the gradients of both networks (Adam's first moments) of one step.
    fn one_step() -> anyhow::Result<(StepFigures, Named)> {
        let mut config = RcanConfig::preset(Preset::Small);
        config.size = 32;
        let mut learner = RcanLearner::new(&config, Seed(5), &HOST)?;
        let frames = squares(Seed(5), 4, 32);
        let picked: Vec<Frame<'_>> = (0..4).map(|index| Frame { batch: &frames, index }).collect();
        let figures = learner.learn(&TrainBatch::new(&picked, config.depth, &HOST)?, 1.0)?;
        let mut moments = Vec::new();
        for adam in [&learner.generator_adam, &learner.discriminator_adam] {
            for (name, tensor) in adam.state_tensors()?.into_iter().filter(|(name, _)| name.ends_with(".exp_avg")) {
                moments.push((name, tensor.flatten_all()?.to_vec1()?));
            }
        }
        Ok((figures, moments))
    }

    #[test]
    fn the_stock_path_takes_the_same_step() -> anyhow::Result<()> {
        let native = one_step()?;
        let stock = crate::nn::ops::with_stock_path(one_step)??;
        for ((name, a), (_, b)) in native.0.named().iter().zip(stock.0.named()) {
            assert!((a - b).abs() <= 1e-3 * (0.1 + a.abs()), "{name}: {a} {b}");
        }
        assert_eq!(native.1.len(), stock.1.len());
        for ((name, a), (_, b)) in native.1.iter().zip(&stock.1) {
            let scale = a.iter().fold(1e-6_f32, |m, x| m.max(x.abs()));
            let apart = a.iter().zip(b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(apart <= 5e-3 * scale, "{name}: {apart} of {scale}");
        }
        Ok(())
    }
}
