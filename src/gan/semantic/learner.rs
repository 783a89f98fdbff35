//! The learner: two generators, two discriminators, one optimizer each; one call is one training step.
//!
//! A step translates both images there and back, moves the generators against frozen discriminators, then the discriminators
//! on the same, detached translations. The semantic loss moves G through a frozen D_Y, D_Y on G(x), and D_X on x; labels of
//! real images do not exist.

use super::batch::SemanticBatch;
use super::config::{IdentityLoss, SemanticConfig};
use super::discriminator::SemanticDiscriminator;
use super::generator::RgbdGenerator;
use super::loss::{discriminator_loss, generator_loss, image_distance, semantic_loss};
use crate::contract::Seed;
use crate::nn::ops::Activations;
use crate::nn::{Adam, NnError, ParamStore, backward};
use crate::train::{Learner, Metrics, Module, TrainError};
use candle_core::{Device, Tensor};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SemanticError {
    /// A setting is impossible; the message is that of [`SemanticConfig::validate`].
    #[error("{0}")]
    Config(String),
    /// A parameter or an optimizer fails, for example with gradients that are not finite three times in a row.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A tensor operation fails: images of another size, or a device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<SemanticError> for TrainError {
    fn from(error: SemanticError) -> Self {
        match error {
            SemanticError::Config(message) => Self::Config(message),
            SemanticError::Nn(error) => Self::Nn(error),
            SemanticError::Candle(error) => Self::Candle(error),
        }
    }
}

/// Figures of one step, unweighted; what the weights leave out is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SemanticMetrics {
    /// Both generators' adversarial losses, added up; so are cycle and identity.
    pub gan: f64,
    /// Distances of x to F(G(x)) and of y to G(F(y)), added up.
    pub cycle: f64,
    /// Both generators' distances that the setting `identity` names, added up.
    pub identity: f64,
    /// Cross-entropy of `D_Y(G(x))`, which G learns from.
    pub semantic: f64,
    /// The generators' objective: the weighted sum of their terms.
    pub generator: f64,
    /// D_X's adversarial loss (equation 6).
    pub discriminator_x: f64,
    /// D_Y's adversarial loss (equation 6).
    pub discriminator_y: f64,
    /// Cross-entropies that the discriminators learn from.
    pub segmentation_x: f64,
    /// D_Y's cross-entropy on G(x), with the classes of x.
    pub segmentation_y: f64,
    /// Norm of both generators' gradients together, before clipping.
    pub generator_gradient_norm: f64,
}

impl SemanticMetrics {
    /// The figures by their names in the metrics.
    pub fn named(&self) -> [(&'static str, f64); 10] {
        [
            ("loss/gan", self.gan),
            ("loss/cycle", self.cycle),
            ("loss/identity", self.identity),
            ("loss/semantic", self.semantic),
            ("loss/generator", self.generator),
            ("loss/discriminator_x", self.discriminator_x),
            ("loss/discriminator_y", self.discriminator_y),
            ("loss/segmentation_x", self.segmentation_x),
            ("loss/segmentation_y", self.segmentation_y),
            ("grad_norm/generators", self.generator_gradient_norm),
        ]
    }
}

/// The generators' losses, with the translations that the discriminators see next.
pub struct GeneratorLosses {
    /// The weighted sum of the terms, a scalar; 0 where all weights are 0.
    pub total: Tensor,
    /// Both generators' adversarial losses, added up and unweighted; `None` with a weight of 0.
    pub gan: Option<Tensor>,
    /// Both cycle distances, added up and unweighted; `None` with a weight of 0.
    pub cycle: Option<Tensor>,
    /// Both identity distances, added up and unweighted; `None` with a weight of 0.
    pub identity: Option<Tensor>,
    /// Cross-entropy of D_Y's segmentation of G(x), unweighted; `None` with a weight of 0.
    pub semantic: Option<Tensor>,
    /// `G(x)` and `F(y)`.
    pub fake_y: Activations,
    /// F(y), `[n, 4, size, size]`.
    pub fake_x: Activations,
}

/// One discriminator's losses; `total` is what it learns from.
pub struct DiscriminatorLosses {
    /// The weighted sum of both terms, a scalar; 0 where both weights are 0.
    pub total: Tensor,
    /// Least-squares loss of real against translated images, unweighted; `None` with a weight of 0.
    pub gan: Option<Tensor>,
    /// Cross-entropy on the images with labels, unweighted; `None` with a weight of 0.
    pub segmentation: Option<Tensor>,
}

/// Everything that learns.
pub struct SemanticCycleGan {
    config: SemanticConfig,
    /// G: simulation to reality.
    pub generator_y: RgbdGenerator,
    /// F: reality to simulation.
    pub generator_x: RgbdGenerator,
    /// Judges simulated images.
    pub discriminator_x: SemanticDiscriminator,
    /// Judges and segments real images.
    pub discriminator_y: SemanticDiscriminator,
    adams: [Adam; 4],
    /// Draws the dropout of each step.
    seed: Seed,
    step: u64,
}

pub(super) const NETWORKS: [&str; 4] = ["generator_y", "generator_x", "discriminator_x", "discriminator_y"];
const ADAMS: [&str; 4] = ["generator_y_adam", "generator_x_adam", "discriminator_x_adam", "discriminator_y_adam"];

impl SemanticCycleGan {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &SemanticConfig, seed: Seed, device: &Device) -> Result<Self, SemanticError> {
        config.validate().map_err(SemanticError::Config)?;
        let generator_y = RgbdGenerator::new(config, seed.derive("generator_y", 0), device)?;
        let generator_x = RgbdGenerator::new(config, seed.derive("generator_x", 0), device)?;
        let discriminator_x = SemanticDiscriminator::new(config, seed.derive("discriminator_x", 0), device)?;
        let discriminator_y = SemanticDiscriminator::new(config, seed.derive("discriminator_y", 0), device)?;
        let adam = |store| Adam::new(&[store], config.adam);
        let adams = [
            adam(generator_y.store())?,
            adam(generator_x.store())?,
            adam(discriminator_x.store())?,
            adam(discriminator_y.store())?,
        ];
        let config = config.clone();
        Ok(Self { config, generator_y, generator_x, discriminator_x, discriminator_y, adams, seed, step: 0 })
    }

    /// The settings that the learner was created with.
    pub fn config(&self) -> &SemanticConfig {
        &self.config
    }

    /// The networks by name, in the order of their optimizers.
    pub fn networks(&self) -> [(&'static str, &ParamStore); 4] {
        [
            (NETWORKS[0], self.generator_y.store()),
            (NETWORKS[1], self.generator_x.store()),
            (NETWORKS[2], self.discriminator_x.store()),
            (NETWORKS[3], self.discriminator_y.store()),
        ]
    }

    /// The generators' part of equation 4. The discriminators should be frozen. `dropout` as in
    /// [`RgbdGenerator::forward`].
    ///
    /// # Errors
    /// Images of another size.
    pub fn generator_losses(
        &self,
        batch: &SemanticBatch,
        dropout: Option<Seed>,
    ) -> Result<GeneratorLosses, SemanticError> {
        let seed = |index| dropout.map(|seed| seed.derive("pass", index));
        let (x, y) = (Activations::from_tensor(&batch.x)?, Activations::from_tensor(&batch.y)?);
        let fake_y = self.generator_y.forward(&x, seed(0))?;
        let fake_x = self.generator_x.forward(&y, seed(1))?;
        let weights = &self.config.weights;
        let distance =
            |image: &Activations, target: &Tensor| image_distance(&image.to_tensor()?, target, weights.depth);
        let mut total = Vec::new();
        let mut add = |weight: f64, loss: Tensor| -> Result<Tensor, SemanticError> {
            total.push((&loss * weight)?);
            Ok(loss)
        };
        let mut gan = None;
        let mut semantic = None;
        let judged = (weights.semantic > 0.0).then(|| self.discriminator_y.judge(&fake_y)).transpose()?;
        if weights.gan > 0.0 {
            let values_y = match &judged {
                Some(judged) => judged.values.clone(),
                None => self.discriminator_y.values(&fake_y)?,
            };
            let values_x = self.discriminator_x.values(&fake_x)?;
            gan = Some(add(weights.gan, (generator_loss(&values_y)? + generator_loss(&values_x)?)?)?);
        }
        if let Some(judged) = &judged {
            semantic = Some(add(weights.semantic, semantic_loss(&judged.segmentation, &batch.classes)?)?);
        }
        let cycle = (weights.cycle > 0.0)
            .then(|| {
                let back_x = distance(&self.generator_x.forward(&fake_y, seed(2))?, &batch.x)?;
                let back_y = distance(&self.generator_y.forward(&fake_x, seed(3))?, &batch.y)?;
                add(weights.cycle, (back_x + back_y)?)
            })
            .transpose()?;
        let identity = (weights.identity > 0.0)
            .then(|| {
                let (of_y, of_x) = match self.config.identity {
                    IdentityLoss::Translation => (distance(&fake_y, &batch.x)?, distance(&fake_x, &batch.y)?),
                    IdentityLoss::SameDomain => (
                        distance(&self.generator_y.forward(&y, seed(4))?, &batch.y)?,
                        distance(&self.generator_x.forward(&x, seed(5))?, &batch.x)?,
                    ),
                };
                add(weights.identity, (of_y + of_x)?)
            })
            .transpose()?;
        let total = sum(total, &batch.x)?;
        Ok(GeneratorLosses { total, gan, cycle, identity, semantic, fake_y, fake_x })
    }

    /// What `discriminator` learns from: real against translated images, and the classes of the one that has labels.
    ///
    /// # Errors
    /// Images of another size.
    fn discriminator_losses(
        &self,
        discriminator: &SemanticDiscriminator,
        [real, fake]: [&Activations; 2],
        real_is_labelled: bool,
        classes: &Tensor,
    ) -> Result<DiscriminatorLosses, SemanticError> {
        let weights = &self.config.weights;
        let (labelled, other) = if real_is_labelled { (real, fake) } else { (fake, real) };
        let (mut gan, mut segmentation) = (None, None);
        let mut total = Vec::new();
        let mut values = None;
        if weights.segmentation > 0.0 {
            let judged = discriminator.judge(labelled)?;
            let loss = semantic_loss(&judged.segmentation, classes)?;
            total.push((&loss * weights.segmentation)?);
            (segmentation, values) = (Some(loss), Some(judged.values));
        }
        if weights.gan > 0.0 {
            let of_labelled = values.map_or_else(|| discriminator.values(labelled), Ok)?;
            let of_other = discriminator.values(other)?;
            let (of_real, of_fake) =
                if real_is_labelled { (&of_labelled, &of_other) } else { (&of_other, &of_labelled) };
            let loss = discriminator_loss(of_real, of_fake)?;
            total.push((&loss * weights.gan)?);
            gan = Some(loss);
        }
        Ok(DiscriminatorLosses { total: sum(total, classes)?, gan, segmentation })
    }

    /// D_X: simulated images, which have labels, against `fake_x` = F(y).
    ///
    /// # Errors
    /// Images of another size.
    pub fn discriminator_x_losses(
        &self,
        batch: &SemanticBatch,
        fake_x: &Activations,
    ) -> Result<DiscriminatorLosses, SemanticError> {
        let x = Activations::from_tensor(&batch.x)?;
        self.discriminator_losses(&self.discriminator_x, [&x, &fake_x.detach()?], true, &batch.classes)
    }

    /// D_Y: real images against `fake_y` = G(x), which keeps the labels of x, and x itself with its labels.
    ///
    /// # Errors
    /// Images of another size.
    pub fn discriminator_y_losses(
        &self,
        batch: &SemanticBatch,
        fake_y: &Activations,
    ) -> Result<DiscriminatorLosses, SemanticError> {
        let y = Activations::from_tensor(&batch.y)?;
        let DiscriminatorLosses { total, gan, segmentation } =
            self.discriminator_losses(&self.discriminator_y, [&y, &fake_y.detach()?], false, &batch.classes)?;
        let weight = self.config.weights.raw_segmentation;
        if weight == 0.0 {
            return Ok(DiscriminatorLosses { total, gan, segmentation });
        }
        let judged = self.discriminator_y.judge(&Activations::from_tensor(&batch.x)?)?;
        let of_raw = (semantic_loss(&judged.segmentation, &batch.classes)? * weight)?;
        Ok(DiscriminatorLosses { total: (total + of_raw)?, gan, segmentation })
    }

    /// Learns from one batch. `lr_scale` scales the learning rate.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    pub fn learn(&mut self, batch: &SemanticBatch, lr_scale: f64) -> Result<SemanticMetrics, SemanticError> {
        let scalar = |loss: &Option<Tensor>| -> candle_core::Result<f64> {
            loss.as_ref().map_or(Ok(0.0), |loss| Ok(f64::from(loss.to_scalar::<f32>()?)))
        };
        let learning_rate = self.config.learning_rate * lr_scale;
        let losses = {
            let _frozen = (self.discriminator_x.store().freeze(), self.discriminator_y.store().freeze());
            self.generator_losses(batch, Some(self.seed.derive("dropout", self.step)))?
        };
        let mut metrics = SemanticMetrics {
            gan: scalar(&losses.gan)?,
            cycle: scalar(&losses.cycle)?,
            identity: scalar(&losses.identity)?,
            semantic: scalar(&losses.semantic)?,
            generator: f64::from(losses.total.to_scalar::<f32>()?),
            ..SemanticMetrics::default()
        };
        let gradients = backward(&losses.total)?;
        let mut norms = [0.0; 2];
        for (norm, adam) in norms.iter_mut().zip(&mut self.adams) {
            *norm = adam.step(&gradients, learning_rate)?.gradient_norm;
        }
        metrics.generator_gradient_norm = norms[0].hypot(norms[1]);
        drop(gradients);
        let weights = &self.config.weights;
        if weights.gan > 0.0 || weights.segmentation > 0.0 || weights.raw_segmentation > 0.0 {
            let learning_rate = learning_rate * self.config.discriminator_lr_factor;
            let of_x = self.discriminator_x_losses(batch, &losses.fake_x)?;
            self.adams[2].step(&backward(&of_x.total)?, learning_rate)?;
            let of_y = self.discriminator_y_losses(batch, &losses.fake_y)?;
            self.adams[3].step(&backward(&of_y.total)?, learning_rate)?;
            metrics.discriminator_x = scalar(&of_x.gan)?;
            metrics.discriminator_y = scalar(&of_y.gan)?;
            metrics.segmentation_x = scalar(&of_x.segmentation)?;
            metrics.segmentation_y = scalar(&of_y.segmentation)?;
        }
        self.step += 1;
        Ok(metrics)
    }
}

impl Learner for SemanticCycleGan {
    type Batch = SemanticBatch;

    fn update(&mut self, batch: &SemanticBatch, lr_scale: f64) -> Result<Metrics, TrainError> {
        Ok(self.learn(batch, lr_scale)?.named().to_vec())
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        let networks = [
            self.generator_y.store(),
            self.generator_x.store(),
            self.discriminator_x.store(),
            self.discriminator_y.store(),
        ];
        let networks = NETWORKS.into_iter().zip(networks).map(|(name, store)| (name, Module::Network(store)));
        let adams = ADAMS.into_iter().zip(&mut self.adams).map(|(name, adam)| (name, Module::Optimizer(adam)));
        networks.chain(adams).collect()
    }
}

/// The sum of scalars; 0 on the device of `like` without any.
fn sum(losses: Vec<Tensor>, like: &Tensor) -> Result<Tensor, SemanticError> {
    let mut losses = losses.into_iter();
    let Some(first) = losses.next() else { return Ok(Tensor::zeros((), candle_core::DType::F32, like.device())?) };
    Ok(losses.try_fold(first, |total, loss| total + loss)?)
}
