//! A generator and a discriminator, each with what trains it.

use super::config::CycleGanConfig;
use super::discriminator::Discriminator;
use super::error::CycleGanError;
use super::generator::Generator;
use super::learner::Metrics;
use super::noise::noise;
use super::objective::scalar;
use crate::contract::Seed;
use crate::gan::image_pool::ImagePool;
use crate::nn::{Activations, Adam, backward};
use candle_core::{Device, Result, Tensor};

/// A generator, its moving average (the one to use) and its optimizer.
pub(super) struct TrainedGenerator {
    pub generator: Generator,
    pub averaged: Generator,
    pub adam: Adam,
}

impl TrainedGenerator {
    /// `masked` keeps the mask head of the settings; only G has one.
    pub fn new(
        config: &CycleGanConfig,
        masked: bool,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, CycleGanError> {
        let mut network = config.generator.clone();
        if !masked {
            network.mask_classes = 0;
        }
        let generator = Generator::new(&network, config.size, seed, device)?;
        let averaged = Generator::new(&network, config.size, seed, device)?;
        let adam = Adam::new(&[generator.store()], config.adam)?;
        Ok(Self { generator, averaged, adam })
    }

    /// Lets the average follow; a young one follows faster, so that the start is forgotten.
    pub fn average(&self, decay: f64, step: u64) -> std::result::Result<(), CycleGanError> {
        let decay = decay.min((1.0 + step as f64) / (10.0 + step as f64));
        Ok(self.averaged.store().polyak_update(self.generator.store(), 1.0 - decay)?)
    }
}

/// Images of one domain with the state beside them.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub pixels: &'a Tensor,
    pub state: Option<&'a Tensor>,
}

/// A discriminator, its optimizer and its pool of generated images.
pub(super) struct TrainedDiscriminator {
    pub discriminator: Discriminator,
    pub adam: Adam,
    pub pool: ImagePool,
}

impl TrainedDiscriminator {
    pub fn new(config: &CycleGanConfig, seed: Seed, device: &Device) -> std::result::Result<Self, CycleGanError> {
        let discriminator = Discriminator::new(&config.discriminator, seed, device)?;
        let adam = Adam::new(&[discriminator.store()], config.discriminator_adam)?;
        let pool = ImagePool::new(config.image_pool, seed.derive("image-pool", 0));
        Ok(Self { discriminator, adam, pool })
    }

    /// One step on real and generated images; `names` are those of loss, accuracy and gradient norm.
    pub fn update(
        &mut self,
        config: &CycleGanConfig,
        real: Images<'_>,
        generated: Images<'_>,
        (lr_scale, seed): (f64, Seed),
        names: [&'static str; 3],
    ) -> std::result::Result<Metrics, CycleGanError> {
        let count = real.pixels.dim(0)?;
        let (pixels, state) = self.from_pool(generated)?;
        // One pass over both halves: no layer mixes the images of a batch.
        let mut pixels = Tensor::cat(&[real.pixels, &pixels], 0)?;
        if config.noise.discriminator_std > 0.0 {
            pixels = (&pixels + noise(pixels.dims(), config.noise.discriminator_std, seed, pixels.device())?)?;
        }
        let state = match (real.state, &state) {
            (Some(real), Some(generated)) => Some(Tensor::cat(&[real, generated], 0)?),
            _ => None,
        };
        let decisions = self.discriminator.forward(&Activations::from_tensor(&pixels)?, state.as_ref())?;
        let half = |first: usize| decisions.iter().map(|d| d.narrow(0, first, count)).collect::<Result<Vec<_>>>();
        let (real, generated) = (half(0)?, half(count)?);
        let loss = config.gan_loss.discriminator(&real, &generated)?;
        let report = self.adam.step(&backward(&loss)?, lr_scale * config.discriminator_lr)?;
        let accuracy = accuracy(&real, &generated, config.gan_loss.threshold())?;
        Ok(vec![(names[0], scalar(&loss)?), (names[1], accuracy), (names[2], report.gradient_norm)])
    }

    /// Exchanges generated images with the pool; the state beside an image stays with it.
    fn from_pool(&mut self, generated: Images<'_>) -> Result<(Tensor, Option<Tensor>)> {
        let rows = generated.pixels.detach().flatten_from(1)?;
        let pixels = rows.dim(1)?;
        let rows = match generated.state {
            Some(state) => Tensor::cat(&[&rows, &state.detach()], 1)?,
            None => rows,
        };
        let rows = self.pool.query(&rows)?;
        let images = rows.narrow(1, 0, pixels)?.contiguous()?.reshape(generated.pixels.shape())?;
        let state = generated.state.map(|state| rows.narrow(1, pixels, state.dim(1)?)?.contiguous()).transpose()?;
        Ok((images, state))
    }
}

/// Share of right decisions, those of all scales alike.
fn accuracy(real: &[Tensor], generated: &[Tensor], threshold: f32) -> Result<f64> {
    let (mut right, mut all) = (0_usize, 0_usize);
    for (decisions, is_real) in real.iter().map(|d| (d, true)).chain(generated.iter().map(|d| (d, false))) {
        let decisions = decisions.detach().flatten_all()?.to_vec1::<f32>()?;
        right += decisions.iter().filter(|&&decision| (decision > threshold) == is_real).count();
        all += decisions.len();
    }
    Ok(right as f64 / all.max(1) as f64)
}
