//! GraspGAN's side of the grasp network: the place for the network, and the domain classifier that makes its features
//! alike in both domains (Bousmalis et al., 2018; Ganin et al., 2016).

use super::batch::UnpairedBatch;
use super::error::CycleGanError;
use crate::contract::Seed;
use crate::nn::layers::Linear;
use crate::nn::ops::{Activation, global_avg_pool, loss};
use crate::nn::{Activations, Adam, AdamConfig, Gradients, ParamStore};
use candle_core::{Device, Result, Tensor};

/// Which images a network is shown; each domain has batch statistics of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageDomain {
    /// x
    Simulation,
    /// G(x)
    Adapted,
    /// y
    Reality,
}

/// A grasp network as GraspGAN's losses see it. It keeps its optimizer.
pub trait TaskNetwork {
    /// The network's parameters, which are frozen while the generators learn.
    fn store(&self) -> &ParamStore;

    /// Channels of the features.
    fn feature_channels(&self) -> usize;

    /// Features `[n, channels, ...]` of images `[n, 3, height, width]`. `train` normalizes by the batch and moves the
    /// domain's running statistics.
    ///
    /// # Errors
    /// Another shape.
    fn features(&self, images: &Activations, domain: ImageDomain, train: bool) -> Result<Activations>;

    /// The task's loss on features of x or G(x), with the labels of the batch.
    ///
    /// # Errors
    /// Labels that are missing or do not fit.
    fn loss(&self, features: &Activations, batch: &UnpairedBatch) -> std::result::Result<Tensor, CycleGanError>;

    /// One step of the network's optimizer.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    fn step(&mut self, gradients: &Gradients, lr_scale: f64) -> std::result::Result<(), CycleGanError>;
}

/// `x` forward, `-scale` times the gradient backward (Ganin et al., 2016, equation 14). Exact up to rounding forward.
///
/// # Errors
/// A device that fails.
pub fn reverse_gradient(x: &Tensor, scale: f64) -> Result<Tensor> {
    (x.detach() * (1.0 + scale))? - (x * scale)?
}

/// Ganin et al.'s ramp of the reversed gradient: `2 / (1 + exp(-10 p)) - 1` for `p` of the training being over.
pub fn domain_ramp(progress: f64) -> f64 {
    2.0 / (1.0 + (-10.0 * progress.clamp(0.0, 1.0)).exp()) - 1.0
}

/// Units of the classifier's hidden layer.
const HIDDEN: usize = 100;

/// Tells features of real images from those of adapted ones.
#[derive(Debug)]
pub struct DomainClassifier {
    pub(super) store: ParamStore,
    hidden: Linear,
    decision: Linear,
    pub(super) adam: Adam,
}

impl DomainClassifier {
    /// For features of so many channels.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(
        channels: usize,
        adam: AdamConfig,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, CycleGanError> {
        let store = ParamStore::new(seed, device);
        let hidden = Linear::new(store.root().sub("hidden"), channels, HIDDEN, Activation::Relu)?;
        let decision = Linear::new(store.root().sub("decision"), HIDDEN, 1, Activation::None)?;
        let adam = Adam::new(&[&store], adam)?;
        Ok(Self { store, hidden, decision, adam })
    }

    /// The classifier's parameters.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// Cross-entropy of the decisions on adapted and real features `[n, channels, ...]` (means over pixels are
    /// classified). The gradient reaches the features reversed, times `ramp`; the classifier's own is the plain one.
    ///
    /// # Errors
    /// Another shape.
    pub fn loss(&self, adapted: &Activations, real: &Activations, ramp: f64) -> Result<Tensor> {
        let decide = |features: &Activations| -> Result<Tensor> {
            let pooled = if features.shape().len() == 4 { global_avg_pool(features)? } else { features.clone() };
            let reversed = Activations::from_tensor(&reverse_gradient(&pooled.to_tensor()?, ramp)?)?;
            self.decision.forward(&self.hidden.forward(&reversed)?)?.to_tensor()
        };
        loss::sigmoid_cross_entropy(&decide(adapted)?, 0.0)? + loss::sigmoid_cross_entropy(&decide(real)?, 1.0)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::backward;
    use crate::nn::ops::GradientSource;
    use candle_core::Var;

    #[test]
    fn the_ramp_has_ganins_values() {
        for (progress, expected) in [(0.0, 0.0), (0.25, 0.8483), (0.5, 0.9866), (1.0, 0.9999)] {
            assert!((domain_ramp(progress) - expected).abs() < 5e-5, "{progress}");
        }
    }

    #[test]
    fn features_get_the_reversed_gradient_and_the_classifier_its_own() -> anyhow::Result<()> {
        let classifier = DomainClassifier::new(4, AdamConfig::default(), Seed(1), &Device::Cpu)?;
        let features = |seed: u64| -> Result<Var> {
            let mut rng = Seed(seed).rng();
            Var::from_vec((0..3 * 4).map(|_| rng.normal()).collect::<Vec<f32>>(), (3, 4), &Device::Cpu)
        };
        let (adapted, real) = (features(2)?, features(3)?);
        let gradients = |ramp: f64| -> anyhow::Result<_> {
            let enter = |var: &Var| Activations::from_tensor(var.as_tensor());
            let loss = classifier.loss(&enter(&adapted)?, &enter(&real)?, ramp)?;
            let gradients = backward(&loss)?;
            let mut found = Vec::new();
            let params: Vec<_> = classifier.store().params().map(|param| param.var().clone()).collect();
            for var in [&adapted, &real].into_iter().chain(&params) {
                let Some(gradient) = gradients.tensor(var)? else { anyhow::bail!("no gradient") };
                found.push(gradient.flatten_all()?.to_vec1::<f32>()?);
            }
            Ok((loss.to_scalar::<f32>()?, found))
        };
        // A ramp of -1 reverses the reversal: plain gradients everywhere.
        let (plain_loss, plain) = gradients(-1.0)?;
        let (loss, reversed) = gradients(0.3)?;
        assert!((plain_loss - loss).abs() < 1e-5);
        for (index, (plain, reversed)) in plain.iter().zip(&reversed).enumerate() {
            let scale = if index < 2 { -0.3 } else { 1.0 };
            assert!(plain.iter().any(|g| g.abs() > 1e-4));
            assert!(plain.iter().zip(reversed).all(|(a, b)| (scale * a - b).abs() < 1e-5), "{plain:?} {reversed:?}");
        }
        Ok(())
    }
}
