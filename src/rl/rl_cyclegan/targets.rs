//! Bellman targets of translated pictures (Rao et al., 2020, equation 6: six pictures, six TD losses).
//!
//! In: what came of the batch's transitions. Out: a target for each of G(x), F(G(x)), F(y) and G(F(y)). The originals' come
//! from the Bellman updaters.

use super::batch::JointBatch;
use super::config::BellmanTargetsOf;
use super::learner::RlCycleGanLearner;
use crate::contract::Seed;
use crate::gan::cyclegan::Generator;
use crate::gan::cyclegan::noise::to_byte_images;
use crate::gan::images::images_tensor;
use crate::nn::Activations;
use crate::rl::error::RlError;
use crate::rl::qtopt::QLearner;
use crate::rl::qtopt::stream::{Outcome, Samples};

impl RlCycleGanLearner {
    /// Targets of G(x), F(G(x)), F(y) and G(F(y)) for this step, by the setting [`BellmanTargetsOf`]; those of the originals
    /// where nothing needs others. `q_learns`: both Q-functions learn in this step.
    ///
    /// Next pictures are translated by the averaged generators, as next values come from the averaged Q-functions.
    ///
    /// # Errors
    /// A batch without outcomes; a network that fails.
    pub(super) fn targets_of_translations(&self, batch: &JointBatch, q_learns: bool) -> Result<[Vec<f32>; 4], RlError> {
        let (config, sim, real) = (self.config(), &batch.sim, &batch.real);
        let shared = || [&sim.targets, &sim.targets, &real.targets, &real.targets].map(Clone::clone);
        let wanted = q_learns || config.scene.end_to_end_weight > 0.0;
        let translates = self.gan().steps() >= config.gan.warm_start_steps;
        if config.bellman_targets_of == BellmanTargetsOf::Scene || !wanted || !translates {
            return Ok(shared());
        }
        let (Some(q), Some(f)) = (self.q(), self.gan().real2sim()) else { return Ok(shared()) };
        let g = self.gan().sim2real();
        let seed = self.seed_of("translated-targets");
        Ok([
            self.targets_through(&[g], &q.real, sim, seed.derive("gx", 0))?,
            self.targets_through(&[g, f], &q.sim, sim, seed.derive("fgx", 0))?,
            self.targets_through(&[f], &q.sim, real, seed.derive("fy", 0))?,
            self.targets_through(&[f, g], &q.real, real, seed.derive("gfy", 0))?,
        ])
    }

    /// Targets by `judge`, which sees each next picture through `generators`, one after the other.
    fn targets_through(
        &self,
        generators: &[&Generator],
        judge: &QLearner,
        samples: &Samples,
        seed: Seed,
    ) -> Result<Vec<f32>, RlError> {
        if samples.outcomes.len() != samples.targets.len() {
            return Err(RlError::Inconsistent("a target of its own for each picture needs what came of it".into()));
        }
        let size = self.config().gan.size;
        let next: Vec<&[u8]> =
            samples.outcomes.iter().filter_map(|outcome| Some(&outcome.next.as_ref()?.0[..])).collect();
        let mut translated = Vec::new();
        if !next.is_empty() {
            let images = images_tensor(next.into_iter(), [size; 2])?.to_device(self.device())?;
            let mut image = Activations::from_tensor(&images)?;
            for generator in generators {
                let _frozen = generator.store().freeze();
                image = generator.forward(&image)?.detach()?;
            }
            let std = self.config().scene.observation_std;
            translated = to_byte_images(&image.to_tensor()?, std, seed.derive("observed", 0))?;
        }
        let mut images = translated.iter();
        let mut seen = |outcome: &Outcome| outcome.next.as_ref().and_then(|_| images.next()).map(Vec::as_slice);
        let transitions: Vec<_> = samples.outcomes.iter().map(|outcome| outcome.seen_as(seen(outcome))).collect();
        Ok(judge.bellman_targets(&transitions, seed)?.targets)
    }
}
