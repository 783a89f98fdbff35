//! The policy's distribution: a normal one with a mean a state and a standard deviation that no state changes.

use crate::contract::Rng;
use candle_core::{Result, Tensor};

/// `ln(2 pi) / 2`
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// Independent normal distributions, one an action dimension.
#[derive(Clone, Debug)]
pub struct DiagonalGaussian {
    /// `[n, actions]`
    pub mean: Tensor,
    /// `[actions]`, the natural logarithm of the standard deviation.
    pub log_std: Tensor,
}

impl DiagonalGaussian {
    /// Log-densities `[n]` of actions `[n, actions]`.
    ///
    /// # Errors
    /// Another shape.
    pub fn log_prob(&self, actions: &Tensor) -> Result<Tensor> {
        let z = (actions - &self.mean)?.broadcast_mul(&self.log_std.neg()?.exp()?)?;
        let per_action = (z.sqr()? * -0.5)?.broadcast_sub(&self.log_std)?;
        per_action.affine(1.0, -HALF_LOG_TAU)?.sum(1)
    }

    /// The entropy, a scalar: it depends on no state. `sum(log_std + (1 + ln(2 pi)) / 2)`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn entropy(&self) -> Result<Tensor> {
        self.log_std.affine(1.0, 0.5 + HALF_LOG_TAU)?.sum_all()
    }

    /// Draws `[n, actions]` row by row.
    ///
    /// # Errors
    /// A device that fails.
    pub fn sample(&self, rng: &mut Rng) -> Result<Vec<f32>> {
        let std: Vec<f32> = self.log_std.to_vec1::<f32>()?.iter().map(|log| log.exp()).collect();
        let mut actions = self.mean.flatten_all()?.to_vec1::<f32>()?;
        for (index, action) in actions.iter_mut().enumerate() {
            *action += std[index % std.len()] * rng.normal();
        }
        Ok(actions)
    }
}

/// What the environment gets of an action: clipped to +- `bound`, divided by it.
pub fn bounded(action: f32, bound: f32) -> f32 {
    action.clamp(-bound, bound) / bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use candle_core::{Device, Var};

    fn policy(mean: &[[f32; 2]], log_std: [f32; 2]) -> Result<DiagonalGaussian> {
        Ok(DiagonalGaussian {
            mean: Tensor::from_slice(&mean.concat(), (mean.len(), 2), &Device::Cpu)?,
            log_std: Tensor::new(&log_std, &Device::Cpu)?,
        })
    }

    #[test]
    fn densities_and_entropy_by_hand() -> Result<()> {
        // One dimension: a = 0.3, mu = 0.1, log sigma = -0.5 gives -0.4733042 and entropy 0.9189385.
        let one = DiagonalGaussian {
            mean: Tensor::new(&[[0.1_f32]], &Device::Cpu)?,
            log_std: Tensor::new(&[-0.5_f32], &Device::Cpu)?,
        };
        let log_prob = one.log_prob(&Tensor::new(&[[0.3_f32]], &Device::Cpu)?)?.to_vec1::<f32>()?;
        assert!((log_prob[0] + 0.473_304_2).abs() < 1e-6, "{log_prob:?}");
        assert!((one.entropy()?.to_scalar::<f32>()? - 0.918_938_5).abs() < 1e-6);
        // Independent dimensions add up: a standard normal at its mean has -0.9189385.
        let two = policy(&[[0.1, 2.0], [0.3, 1.0]], [-0.5, 0.0])?;
        let actions = Tensor::new(&[[0.3_f32, 2.0], [0.3, 3.0]], &Device::Cpu)?;
        let log_prob = two.log_prob(&actions)?.to_vec1::<f32>()?;
        assert!((log_prob[0] + 0.473_304_2 + 0.918_938_5).abs() < 1e-6);
        assert!((log_prob[1] - (0.5 - 0.918_938_5 - 2.0 - 0.918_938_5)).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn samples_have_the_moments_and_the_log_probability_is_of_the_unclipped_action() -> Result<()> {
        let wide = policy(&[[2.5, -1.0]], [0.0, -1.0])?;
        let mut rng = Seed(4).rng();
        let draws: Vec<Vec<f32>> = (0..20_000).map(|_| wide.sample(&mut rng)).collect::<Result<_>>()?;
        for (index, (mean, std)) in [(2.5, 1.0), (-1.0, 0.367_879)].into_iter().enumerate() {
            let n = draws.len() as f64;
            let found = draws.iter().map(|draw| f64::from(draw[index])).sum::<f64>() / n;
            let spread = draws.iter().map(|draw| (f64::from(draw[index]) - found).powi(2)).sum::<f64>() / n;
            assert!((found - mean).abs() < 0.03 && (spread.sqrt() - std).abs() < 0.02, "{found} {spread}");
        }
        let beyond = draws.iter().find(|draw| draw[0] > 3.2).expect("a draw beyond the bound");
        assert_eq!(bounded(beyond[0], 3.0), 1.0);
        assert_eq!(bounded(-1.5, 3.0), -0.5);
        let both = |a: f32| wide.log_prob(&Tensor::new(&[[a, -1.0]], &Device::Cpu)?)?.to_vec1::<f32>();
        let expected = -0.5 * ((beyond[0] - 2.5).powi(2) - (3.0_f32 - 2.5).powi(2));
        assert!((both(beyond[0])?[0] - both(3.0)?[0] - expected).abs() < 1e-5);
        Ok(())
    }

    #[test]
    fn gradients_are_the_score() -> Result<()> {
        // d log p / d mu = (a - mu) / sigma^2, d / d log sigma = ((a - mu) / sigma)^2 - 1.
        let (mean, log_std) = (Var::new(&[[0.1_f32]], &Device::Cpu)?, Var::new(&[-0.5_f32], &Device::Cpu)?);
        let policy = DiagonalGaussian { mean: mean.as_tensor().clone(), log_std: log_std.as_tensor().clone() };
        let gradients = policy.log_prob(&Tensor::new(&[[0.7_f32]], &Device::Cpu)?)?.sum_all()?.backward()?;
        let of = |var: &Var| -> Result<f32> {
            gradients.get(var).map_or(Ok(f32::NAN), |g| g.flatten_all()?.to_vec1::<f32>().map(|g| g[0]))
        };
        let variance = (-1.0_f32).exp();
        assert!((of(&mean)? - 0.6 / variance).abs() < 1e-5);
        assert!((of(&log_std)? - (0.36 / variance - 1.0)).abs() < 1e-5);
        Ok(())
    }
}
