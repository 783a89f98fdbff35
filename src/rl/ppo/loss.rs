//! PPO's losses and figures, as functions of tensors.

use candle_core::{Result, Tensor};

/// The clipped objective's loss (Schulman et al., 2017, equation 7):
/// `-mean(min(r A, clip(r, 1 - epsilon, 1 + epsilon) A))`, `r = exp(log_prob - old_log_prob)`. All `[n]`.
///
/// # Errors
/// Different shapes.
pub fn clipped_policy_loss(
    log_prob: &Tensor,
    old_log_prob: &Tensor,
    advantages: &Tensor,
    clip_range: f64,
) -> Result<Tensor> {
    let ratio = (log_prob - old_log_prob)?.exp()?;
    let clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)?;
    (&ratio * advantages)?.minimum(&(clipped * advantages)?)?.mean_all()?.neg()
}

/// Half the mean squared error of values and returns, both `[n]`; not clipped.
///
/// # Errors
/// Different shapes.
pub fn value_loss(values: &Tensor, returns: &Tensor) -> Result<Tensor> {
    (values - returns)?.sqr()?.mean_all()? * 0.5
}

/// Mean of `(r - 1) - log r`: an estimate of KL(old, new) that is never negative (Schulman, 2020).
pub fn approx_kl(log_prob: &[f32], old_log_prob: &[f32]) -> f64 {
    mean(log_prob.iter().zip(old_log_prob).map(|(new, old)| {
        let log_ratio = f64::from(new - old);
        log_ratio.exp_m1() - log_ratio
    }))
}

/// Share of ratios outside the clip range.
pub fn clip_fraction(log_prob: &[f32], old_log_prob: &[f32], clip_range: f64) -> f64 {
    let outside = |(new, old): (&f32, &f32)| f64::from(new - old).exp_m1().abs() > clip_range;
    mean(log_prob.iter().zip(old_log_prob).map(|pair| f64::from(u8::from(outside(pair)))))
}

/// `1 - Var(returns - values) / Var(returns)`; NaN where all returns are equal.
pub fn explained_variance(values: &[f32], returns: &[f32]) -> f64 {
    let variance = |numbers: &mut dyn Iterator<Item = f64>| {
        let numbers: Vec<f64> = numbers.collect();
        let centre = mean(numbers.iter().copied());
        mean(numbers.iter().map(|number| (number - centre).powi(2)))
    };
    let of_returns = variance(&mut returns.iter().map(|&value| f64::from(value)));
    let of_errors = variance(&mut returns.iter().zip(values).map(|(a, b)| f64::from(a - b)));
    if of_returns == 0.0 { f64::NAN } else { 1.0 - of_errors / of_returns }
}

/// Mean 0 and (unbiased) standard deviation 1; a single one becomes 0.
pub fn normalized(advantages: &[f32]) -> Vec<f32> {
    let centre = mean(advantages.iter().map(|&a| f64::from(a)));
    let squares: f64 = advantages.iter().map(|&a| (f64::from(a) - centre).powi(2)).sum();
    let std = (squares / (advantages.len().max(2) - 1) as f64).sqrt();
    advantages.iter().map(|&a| ((f64::from(a) - centre) / (std + 1e-8)) as f32).collect()
}

pub(super) fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0_usize), |(sum, count), number| (sum + number, count + 1));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// The loss and its gradient by the log-probabilities, of ratios and advantages.
    fn clipped(ratios: &[f32], advantages: &[f32]) -> Result<(f32, Vec<f32>)> {
        let log_prob = Var::new(ratios.iter().map(|r| r.ln()).collect::<Vec<_>>(), &Device::Cpu)?;
        let zeros = Tensor::zeros_like(log_prob.as_tensor())?;
        let advantages = Tensor::new(advantages, &Device::Cpu)?;
        let loss = clipped_policy_loss(log_prob.as_tensor(), &zeros, &advantages, 0.2)?;
        let gradients = loss.backward()?;
        let gradient = gradients.get(&log_prob).map_or(Ok(Vec::new()), |g| g.to_vec1())?;
        Ok((loss.to_scalar()?, gradient))
    }

    #[test]
    fn ratios_beyond_the_range_teach_nothing_where_that_would_be_greedy() -> Result<()> {
        // Ratio 1.3: with A > 0 the objective is 1.2 A, flat; with A < 0 it is 1.3 A and pulls back.
        let (loss, gradient) = clipped(&[1.3, 1.3], &[2.0, -2.0])?;
        assert!((loss - -(2.4 - 2.6) / 2.0).abs() < 1e-6, "{loss}");
        assert_eq!(gradient[0], 0.0);
        assert!((gradient[1] - 1.3).abs() < 1e-6, "{gradient:?}");
        // Ratio 0.7: the mirror image.
        let (loss, gradient) = clipped(&[0.7, 0.7], &[2.0, -2.0])?;
        assert!((loss - -(1.4 - 1.6) / 2.0).abs() < 1e-6, "{loss}");
        assert!((gradient[0] + 0.7).abs() < 1e-6 && gradient[1] == 0.0, "{gradient:?}");
        // At ratio 1 the gradient is that of the policy gradient, -A / n.
        let (_, gradient) = clipped(&[1.0, 1.1], &[0.5, -3.0])?;
        assert!((gradient[0] + 0.25).abs() < 1e-6 && (gradient[1] - 1.65).abs() < 1e-5, "{gradient:?}");
        Ok(())
    }

    #[test]
    fn figures_by_hand() {
        let old = [0.0, 0.0, 0.0, 0.0];
        let new = [0.0, 2.0_f32.ln(), 0.5_f32.ln(), 1.1_f32.ln()];
        // (r - 1) - ln r: 0, 1 - ln 2, ln 2 - 0.5, 0.1 - ln 1.1.
        assert!((approx_kl(&new, &old) - (0.6 - 1.1_f64.ln()) / 4.0).abs() < 1e-7);
        assert_eq!(clip_fraction(&new, &old, 0.2), 0.5);
        // Returns 0, 1, 2, 4 have the variance 2.1875, the errors 0, 1, 0, -1 the variance 0.5.
        assert!((explained_variance(&[0.0, 0.0, 2.0, 5.0], &[0.0, 1.0, 2.0, 4.0]) - (1.0 - 0.5 / 2.1875)).abs() < 1e-9);
        assert!(explained_variance(&[1.0, 2.0], &[3.0, 3.0]).is_nan());
        assert_eq!(explained_variance(&[1.0, 3.0], &[1.0, 3.0]), 1.0);
        let out = normalized(&[1.0, 2.0, 3.0]);
        assert!(out.iter().zip([-1.0, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}");
        assert_eq!(normalized(&[5.0]), [0.0]);
    }

    #[test]
    fn the_value_loss_is_half_the_squared_error() -> Result<()> {
        let values = Tensor::new(&[1.0_f32, 2.0], &Device::Cpu)?;
        let returns = Tensor::new(&[0.0_f32, 5.0], &Device::Cpu)?;
        assert_eq!(value_loss(&values, &returns)?.to_scalar::<f32>()?, 2.5);
        Ok(())
    }
}
