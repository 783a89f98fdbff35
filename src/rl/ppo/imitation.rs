//! Regression to a script's actions in the states that the policy visits (DAgger: Ross et al., 2011): how well the network can
//! do the task from its images when it is told the answer. A ceiling for PPO, and never an agent of its own.

use super::learner::{PpoError, PpoLearner, PpoMetrics};
use super::loss::mean;
use super::rollout::Rollout;
use crate::nn::backward;
use candle_core::Tensor;

impl PpoLearner {
    /// Brings the policy's means to the targets of a rollout by the mean squared error, in as many passes as PPO makes.
    ///
    /// # Errors
    /// A rollout without targets; gradients that are not finite three times in a row.
    pub fn imitate(&mut self, rollout: &Rollout, lr_scale: f64) -> Result<PpoMetrics, PpoError> {
        let (width, bound) = (self.network.config().actions, f64::from(self.config().action_bound));
        let expected = rollout.len() * width;
        if rollout.targets.len() != expected || expected == 0 {
            return Err(PpoError::Count { what: "target numbers", expected, found: rollout.targets.len() });
        }
        let learning_rate = self.config().learning_rate * lr_scale;
        let (size, epochs) = (self.config().minibatch_size, self.config().num_epochs);
        let mut order: Vec<usize> = (0..rollout.len()).collect();
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for _ in 0..epochs {
            self.shuffle(&mut order);
            for indices in order.chunks(size) {
                let targets: Vec<f32> = indices
                    .iter()
                    .flat_map(|&at| rollout.targets[at * width..(at + 1) * width].iter().copied())
                    .collect();
                let out = self.network.forward_rows(&rollout.observations, indices)?;
                let targets = Tensor::from_vec(targets, (indices.len(), width), out.policy.mean.device())?;
                let loss = ((out.policy.mean / bound)? - targets)?.sqr()?.mean_all()?;
                let report = self.step_adam(&backward(&loss)?, learning_rate)?;
                losses.push(f64::from(loss.to_scalar::<f32>()?));
                norms.push(report.gradient_norm);
            }
        }
        self.count_update();
        let std = self.network.std()?;
        Ok(PpoMetrics {
            policy_loss: mean(losses.iter().copied()),
            value_loss: f64::NAN,
            entropy: f64::NAN,
            approx_kl: f64::NAN,
            clipfrac: f64::NAN,
            explained_variance: f64::NAN,
            gradient_norm: mean(norms.iter().copied()),
            epochs,
            learning_rate,
            std: mean(std.iter().map(|&std| f64::from(std))),
            episodic_return: rollout.episodic_return.unwrap_or(f64::NAN),
            episodic_length: rollout.episodic_length.unwrap_or(f64::NAN),
        })
    }
}
