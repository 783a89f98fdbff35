//! How hard each term pulls at G(x), and weights that follow from it.

use super::batch::UnpairedBatch;
use super::config::{BalanceConfig, CycleGanConfig, TermWeights};
use super::error::CycleGanError;
use super::learner::{Critics, CycleGanLearner, Metrics};
use crate::gan::losses::cycle_loss;
use crate::nn::ops::GradientSource;
use crate::nn::{Activations, backward};
use candle_core::{Tensor, Var};

/// Norms of the unweighted terms' gradients at G(x); `None` for a term that took no part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientNorms {
    /// Of the adversarial term against D_Y.
    pub gan: f64,
    /// Of the cycle term that begins with x; `None` for a method without F.
    pub cycle: Option<f64>,
    /// Of the scene term; `None` where its weight is 0 or no Q-functions are ready.
    pub scene: Option<f64>,
}

/// Norms added up over the steps that measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    gan: f64,
    term: f64,
    count: u64,
}

impl Sums {
    /// Adds a step; with the last one, the weight that makes the ratio of the mean norms what it should be.
    fn add(&mut self, gan: f64, term: Option<f64>, ratio: f64, config: &BalanceConfig) -> Option<f64> {
        let term = term.filter(|_| self.count < config.num_steps)?;
        (self.gan, self.term, self.count) = (self.gan + gan, self.term + term, self.count + 1);
        (self.count == config.num_steps && self.term > 0.0).then(|| ratio * self.gan / self.term)
    }
}

/// The weights in use, and the measuring that sets those of cycle and scene.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Balance {
    pub weights: TermWeights,
    config: Option<BalanceConfig>,
    /// The first step that measures.
    start: u64,
    cycle: Sums,
    scene: Sums,
}

impl Balance {
    pub fn new(config: &CycleGanConfig) -> Self {
        let start = config.warm_start_steps + config.balance.map_or(0, |balance| balance.start_step);
        let (cycle, scene) = (Sums::default(), Sums::default());
        Self { weights: config.weights, config: config.balance, start, cycle, scene }
    }

    /// Whether this step should be measured.
    fn is_due(&self, step: u64, scene_takes_part: bool) -> bool {
        let Some(config) = &self.config else { return false };
        let cycle = self.weights.cycle > 0.0 && self.cycle.count < config.num_steps;
        step >= self.start && (cycle || scene_takes_part && self.scene.count < config.num_steps)
    }

    fn record(&mut self, norms: &GradientNorms) {
        let Some(config) = &self.config else { return };
        if let Some(weight) = self.cycle.add(norms.gan, norms.cycle, config.cycle_ratio, config) {
            self.weights.cycle = self.weights.gan * weight;
        }
        if let Some(weight) = self.scene.add(norms.gan, norms.scene, config.scene_ratio, config) {
            self.weights.scene = self.weights.gan * weight;
        }
    }

    /// Everything that training changes, as the bits of the numbers: text would round them.
    pub fn state(&self) -> Vec<u64> {
        let sums = |sums: &Sums| [sums.gan.to_bits(), sums.term.to_bits(), sums.count];
        let weights = [self.weights.cycle.to_bits(), self.weights.scene.to_bits()];
        weights.into_iter().chain(sums(&self.cycle)).chain(sums(&self.scene)).collect()
    }

    /// Takes over what [`Self::state`] gave.
    pub fn load_state(&mut self, state: &[u64]) -> Result<(), CycleGanError> {
        let &[cycle, scene, g1, t1, c1, g2, t2, c2] = state else {
            return Err(CycleGanError::State(format!("the balance of the terms is 8 numbers, not {}", state.len())));
        };
        let sums =
            |gan: u64, term: u64, count: u64| Sums { gan: f64::from_bits(gan), term: f64::from_bits(term), count };
        (self.cycle, self.scene) = (sums(g1, t1, c1), sums(g2, t2, c2));
        (self.weights.cycle, self.weights.scene) = (f64::from_bits(cycle), f64::from_bits(scene));
        Ok(())
    }
}

impl CycleGanLearner {
    /// Measures if it is time to, and returns the norms for the metrics.
    pub(super) fn measure_balance(
        &mut self,
        batch: &UnpairedBatch,
        critics: &Critics<'_>,
    ) -> Result<Metrics, CycleGanError> {
        let scene = self.balance.weights.scene > 0.0 && critics.scene.is_some_and(|scene| scene.is_ready());
        if !self.balance.is_due(self.steps, scene) {
            return Ok(Metrics::new());
        }
        let norms = self.gradient_norms(batch, critics)?;
        self.balance.record(&norms);
        let mut metrics = vec![("grad_norm/image_gan", norms.gan)];
        metrics.extend(norms.cycle.map(|norm| ("grad_norm/image_cycle", norm)));
        metrics.extend(norms.scene.map(|norm| ("grad_norm/image_scene", norm)));
        metrics.push(("weight/cycle", self.balance.weights.cycle));
        metrics.push(("weight/scene", self.balance.weights.scene));
        Ok(metrics)
    }

    /// How hard GAN, cycle and scene pull at G(x): norms of their unweighted gradients there, without noise.
    ///
    /// # Errors
    /// Another shape; a critic that fails.
    pub fn gradient_norms(&self, batch: &UnpairedBatch, critics: &Critics<'_>) -> Result<GradientNorms, CycleGanError> {
        let mut frozen = vec![self.sim2real.generator.store().freeze()];
        frozen.push(self.real_discriminator.discriminator.store().freeze());
        frozen.extend(self.real2sim.as_ref().map(|f| f.generator.store().freeze()));
        let x = Activations::from_tensor(&batch.x)?;
        let image = Var::from_tensor(&self.sim2real.generator.forward(&x)?.to_tensor()?)?;
        let norm = |term: &Tensor| -> Result<f64, CycleGanError> {
            let Some(gradient) = backward(term)?.tensor(&image)? else { return Ok(0.0) };
            Ok(f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt()))
        };
        let gx = Activations::from_tensor(image.as_tensor())?;
        let decisions = self.real_discriminator.discriminator.forward(&gx, batch.x_state.as_ref())?;
        let gan = norm(&self.config.gan_loss.generator(&decisions)?)?;
        let Some(f) = &self.real2sim else { return Ok(GradientNorms { gan, cycle: None, scene: None }) };
        let fgx = f.generator.forward(&gx)?;
        let cycle = norm(&cycle_loss(self.config.distance, &fgx.to_tensor()?, &batch.x)?)?;
        let mut scene = None;
        if let Some(critic) = critics.scene.filter(|critic| self.balance.weights.scene > 0.0 && critic.is_ready()) {
            frozen.extend(critic.stores().into_iter().map(|store| store.freeze()));
            let y = Activations::from_tensor(&batch.y)?;
            let fy = f.generator.forward(&y)?;
            let gfy = self.sim2real.generator.forward(&fy)?;
            let seed = self.seed.derive("scene-norm", self.steps);
            scene = Some(norm(&critic.loss([&x, &gx, &fgx], [&y, &fy, &gfy], batch, seed)?.loss)?);
        }
        drop(frozen);
        Ok(GradientNorms { gan, cycle: Some(cycle), scene })
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{Method, Preset};
    use super::*;

    #[test]
    fn weights_follow_from_mean_norms_and_survive_saving() -> anyhow::Result<()> {
        let mut config = CycleGanConfig::preset(Method::RlCycleGan, Preset::Small);
        config.warm_start_steps = 7;
        config.weights.gan = 2.0;
        config.balance = Some(BalanceConfig { cycle_ratio: 1.0, scene_ratio: 0.5, start_step: 3, num_steps: 2 });
        let mut balance = Balance::new(&config);
        assert!(!balance.is_due(9, true) && balance.is_due(10, false));
        balance.record(&GradientNorms { gan: 0.25, cycle: Some(0.5), scene: None });
        assert_eq!(balance.weights, config.weights);
        let mut resumed = Balance::new(&config);
        resumed.load_state(&balance.state())?;
        assert_eq!(resumed, balance);
        resumed.record(&GradientNorms { gan: 0.75, cycle: Some(1.5), scene: Some(0.125) });
        // Cycle: 1 * 2 * (0.25 + 0.75) / (0.5 + 1.5).
        assert_eq!(resumed.weights.cycle, 1.0);
        assert_eq!(resumed.weights.scene, config.weights.scene);
        assert!(!resumed.is_due(11, false) && resumed.is_due(11, true));
        resumed.record(&GradientNorms { gan: 0.25, cycle: Some(100.0), scene: Some(0.375) });
        // Scene: 0.5 * 2 * (0.75 + 0.25) / (0.125 + 0.375); the cycle's weight stays.
        assert_eq!((resumed.weights.cycle, resumed.weights.scene), (1.0, 2.0));
        assert!(!resumed.is_due(500, true));
        assert!(balance.load_state(&[1]).is_err());
        Ok(())
    }
}
