//! The learner: networks, optimizers and the averaged generator; one call is one training step.
//!
//! A step translates a batch once, moves the discriminator on it, then the generator against the moved discriminator
//! (RCAN, equations 3 and 4, with the generator's part in its non-saturating form), then the averaged generator.

use super::batch::TrainBatch;
use super::config::{ConfigError, RcanConfig};
use super::discriminator::{Discriminator, adversarial_loss};
use super::generator::Generator;
use super::loss::{equality_losses, image_loss};
use crate::contract::Seed;
use crate::gan::frames::FrameError;
use crate::gan::state::{StateError, from_file, to_bytes};
use crate::nn::ops::Activations;
use crate::nn::{Adam, NnError};
use crate::train::{Checkpoint, CheckpointContent, RunError, TensorFile};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// What can go wrong in training and translating.
#[derive(Debug, thiserror::Error)]
pub enum RcanError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Nn(#[from] NnError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Frames(#[from] FrameError),
    #[error("the checkpoint '{path}' holds no '{group}'; it is not one of an RCAN run")]
    NoGroup { path: String, group: &'static str },
    #[error("'{path}' cannot be used: {message}")]
    NotRcan { path: String, message: String },
    #[error(
        "the run's state at step {step} does not fit: {message}; remove that checkpoint to go on from an earlier one"
    )]
    BadState { step: u64, message: String },
    #[error("{0}")]
    TrainCallback(String),
}

/// Figures of one step; what the settings leave out is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepFigures {
    pub image: f64,
    pub offset: f64,
    pub mask: f64,
    pub depth: f64,
    /// The generator's adversarial loss, unweighted.
    pub gan: f64,
    pub total: f64,
    pub discriminator: f64,
    /// Share of decisions that were right, patches of all scales.
    pub discriminator_accuracy: f64,
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
    pub generator: Generator,
    /// Moving average of the generator's weights: the one to use.
    pub averaged: Generator,
    pub discriminator: Discriminator,
    generator_adam: Adam,
    discriminator_adam: Adam,
}

impl RcanLearner {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &RcanConfig, seed: Seed) -> Result<Self, RcanError> {
        config.validate()?;
        let device = Device::Cpu;
        let generator = Generator::new(config, seed.derive("generator", 0), &device)?;
        let averaged = Generator::new(config, seed.derive("generator", 0), &device)?;
        let discriminator = Discriminator::new(config, seed.derive("discriminator", 0), &device)?;
        let generator_adam = Adam::new(&[generator.store()], config.adam)?;
        let discriminator_adam = Adam::new(&[discriminator.store()], config.discriminator_adam)?;
        Ok(Self { config: config.clone(), generator, averaged, discriminator, generator_adam, discriminator_adam })
    }

    pub fn config(&self) -> &RcanConfig {
        &self.config
    }

    /// Learns from one batch. `rate` scales the learning rates, `step` counts from 0.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    pub fn step(&mut self, batch: &TrainBatch, rate: f64, step: u64) -> Result<StepFigures, RcanError> {
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
            self.discriminator_adam.step(&gradients, rate * self.config.discriminator_lr)?;
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
        let report = self.generator_adam.step(&gradients, rate * self.config.generator_lr)?;
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
        let decay = self.config.ema_decay.min((1.0 + step as f64) / (10.0 + step as f64));
        self.averaged.store().polyak_update(self.generator.store(), 1.0 - decay)?;
        Ok(figures)
    }

    /// How hard the image loss and the adversary pull at the generated image: norms of their weighted gradients.
    ///
    /// # Errors
    /// Another shape.
    pub fn gradient_norms(&self, batch: &TrainBatch) -> Result<[(&'static str, f64); 2], RcanError> {
        let _frozen = (self.generator.store().freeze(), self.discriminator.store().freeze());
        let image = Var::from_tensor(&self.generator.forward(&batch.source)?.image.detach())?;
        let norm = |loss: Tensor, weight: f64| -> Result<f64, RcanError> {
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

    /// Everything that a checkpoint needs of the learner.
    ///
    /// # Errors
    /// A device that fails.
    pub fn save(&self) -> Result<CheckpointContent<'static>, RcanError> {
        let mut groups = BTreeMap::new();
        for (name, state) in [
            (GENERATOR, self.generator.store().state_tensors()?),
            (AVERAGED, self.averaged.store().state_tensors()?),
            (DISCRIMINATOR, self.discriminator.store().state_tensors()?),
            (GENERATOR_ADAM, self.generator_adam.state_tensors()?),
            (DISCRIMINATOR_ADAM, self.discriminator_adam.state_tensors()?),
        ] {
            groups.insert(name.to_owned(), to_bytes(&state)?);
        }
        Ok(CheckpointContent { groups, state: serde_json::Value::Null })
    }

    /// Takes over a checkpoint's tensors.
    ///
    /// # Errors
    /// Tensors that are missing or of other sizes.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), RcanError> {
        let state = |group| -> Result<_, RcanError> { Ok(from_file(group_of(checkpoint, group)?)?) };
        self.generator.store().load_state(&state(GENERATOR)?)?;
        self.averaged.store().load_state(&state(AVERAGED)?)?;
        self.discriminator.store().load_state(&state(DISCRIMINATOR)?)?;
        self.generator_adam.load_state(&state(GENERATOR_ADAM)?)?;
        self.discriminator_adam.load_state(&state(DISCRIMINATOR_ADAM)?)?;
        Ok(())
    }
}

pub(super) const GENERATOR: &str = "generator";
/// The averaged generator: the file to take elsewhere.
pub(super) const AVERAGED: &str = "generator_averaged";
const DISCRIMINATOR: &str = "discriminator";
const GENERATOR_ADAM: &str = "generator_adam";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam";

pub(super) fn group_of<'a>(checkpoint: &'a Checkpoint, group: &'static str) -> Result<&'a TensorFile, RcanError> {
    let found = checkpoint.groups.get(group);
    found.ok_or_else(|| RcanError::NoGroup { path: checkpoint.path.display().to_string(), group })
}

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
