//! Losses of adversarial image translation, as pure functions of tensors. Each returns a scalar, a mean unless said
//! otherwise, through which gradients flow to every tracked argument.
//!
//! The papers write expectations and sums without saying over what; here every expectation is a mean over the elements,
//! so the published weights of the terms cannot be taken over without measuring (see `cyclegan::balance`).

use crate::nn::ops::loss;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// What a discriminator minimizes, and what a generator minimizes against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GanLoss {
    /// Logarithmic loss (Goodfellow et al., 2014; RL-CycleGAN, equation 1): the discriminator minimizes
    /// `-log D(y) - log(1 - D(G(x)))`, the generator `-log D(G(x))`, the non-saturating form.
    #[default]
    Log,
    /// Least squares (Mao et al., 2017; CycleGAN): `(D(y) - 1)^2 + D(G(x))^2` and `(D(G(x)) - 1)^2`.
    LeastSquares,
}

impl GanLoss {
    /// The loss of decisions against one target (1 real, 0 generated): mean over the decisions of each scale, then over
    /// the scales, so that a scale of few decisions counts as much as one of many.
    fn against(self, decisions: &[Tensor], target: f64) -> Result<Tensor> {
        let Some((first, rest)) = decisions.split_first() else {
            candle_core::bail!("a GAN loss needs the decisions of at least one scale")
        };
        let one = |scale: &Tensor| match self {
            Self::Log => loss::sigmoid_cross_entropy(scale, target),
            Self::LeastSquares => loss::least_squares_gan(scale, target),
        };
        let mut total = one(first)?;
        for scale in rest {
            total = (total + one(scale)?)?;
        }
        total / decisions.len() as f64
    }

    /// The discriminator's loss from its decisions (logits for [`GanLoss::Log`]) on real and generated images, one
    /// tensor of any shape a scale.
    ///
    /// # Errors
    /// No scale; a device that fails.
    pub fn discriminator(self, real: &[Tensor], generated: &[Tensor]) -> Result<Tensor> {
        self.against(real, 1.0)? + self.against(generated, 0.0)?
    }

    /// The generator's loss from the discriminator's decisions on its images.
    ///
    /// # Errors
    /// No scale; a device that fails.
    pub fn generator(self, generated: &[Tensor]) -> Result<Tensor> {
        self.against(generated, 1.0)
    }

    /// The decision at which an image counts as neither real nor generated.
    pub const fn threshold(self) -> f32 {
        match self {
            Self::Log => 0.0,
            Self::LeastSquares => 0.5,
        }
    }
}

/// The distance `d` of the cycle and identity losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Mean squared error: RL-CycleGAN's choice.
    #[default]
    Squared,
    /// Mean absolute error: CycleGAN's choice.
    Absolute,
}

impl Distance {
    /// The distance of two tensors of one shape.
    ///
    /// # Errors
    /// Different shapes.
    pub fn between(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self {
            Self::Squared => loss::squared_error(a, b),
            Self::Absolute => loss::absolute_error(a, b),
        }
    }
}

/// One half of the cycle loss (RL-CycleGAN, equation 2): `d(F(G(x)), x)`. Images `[n, c, height, width]`.
///
/// # Errors
/// Different shapes.
pub fn cycle_loss(distance: Distance, reconstruction: &Tensor, original: &Tensor) -> Result<Tensor> {
    distance.between(reconstruction, original)
}

/// CycleGAN's identity loss (Zhu et al., 2017, 5.2): `d(G(y), y)`, a generator leaves images of its own target alone.
/// Unlike the cycle loss it is not blind to a pair of generators that both invert the colours.
///
/// # Errors
/// Different shapes.
pub fn identity_loss(distance: Distance, translated: &Tensor, original: &Tensor) -> Result<Tensor> {
    distance.between(translated, original)
}

/// GraspGAN's content loss on images (Bousmalis et al., 2018): mean pairwise squared error of `G(x)` and `x`, blind to a
/// constant offset. Images `[n, c, height, width]`.
///
/// # Errors
/// Different shapes.
pub fn content_loss(translated: &Tensor, original: &Tensor) -> Result<Tensor> {
    loss::pairwise_squared_error(translated, original)
}

/// GraspGAN's mask loss (L2): squared Euclidean distance of class probabilities and one-hot truth, both
/// `[n, classes, height, width]`, averaged over the pixels.
///
/// # Errors
/// Different shapes.
pub fn mask_loss(probabilities: &Tensor, target: &Tensor) -> Result<Tensor> {
    loss::squared_error(probabilities, target)? * probabilities.dim(1)? as f64
}

/// The three pairs of one triple of RL-CycleGAN's scene consistency: `d(q, q') + d(q, q'') + d(q', q'')`, each a mean of
/// squares. Q-values (or logits) of the same states and actions in three renderings, any shape.
///
/// # Errors
/// Different shapes.
pub fn scene_triple(q: [&Tensor; 3]) -> Result<Tensor> {
    let [first, second, third] = q;
    (loss::squared_error(first, second)? + loss::squared_error(first, third)?)? + loss::squared_error(second, third)?
}

/// [`scene_triple`] with each difference clipped to `[-limit, limit]`: for logits, whose differences are unbounded where
/// the probabilities hardly differ. A clipped difference has no gradient.
///
/// # Errors
/// Different shapes.
pub fn scene_triple_clipped(q: [&Tensor; 3], limit: f64) -> Result<Tensor> {
    let pair = |a: &Tensor, b: &Tensor| -> Result<Tensor> { (a - b)?.clamp(-limit, limit)?.sqr()?.mean_all() };
    let [first, second, third] = q;
    (pair(first, second)? + pair(first, third)?)? + pair(second, third)?
}

/// RL-CycleGAN's scene consistency (equation 4) from the six Q-values: the triples of `{x, G(x), F(G(x))}` and
/// `{y, F(y), G(F(y))}` added up.
///
/// # Errors
/// Different shapes within a triple.
pub fn scene_consistency(x: [&Tensor; 3], y: [&Tensor; 3]) -> Result<Tensor> {
    scene_triple(x)? + scene_triple(y)?
}

/// Scene loss against the spread of Q: `E (q - q')^2 / (2 Var q)`. 0 when a translation leaves Q alone, 1 when it leaves
/// nothing of it (independent draws of one distribution). A Q that has become uniform lowers the scene loss but not
/// this. NaN (to be read as a collapse) when `q` does not vary, or without values.
pub fn normalized_scene_error(q: &[f32], translated: &[f32]) -> f64 {
    let count = q.len().min(translated.len()) as f64;
    let mean = q.iter().map(|&q| f64::from(q)).sum::<f64>() / count;
    let variance = q.iter().map(|&q| (f64::from(q) - mean).powi(2)).sum::<f64>() / count;
    let error = q.iter().zip(translated).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>() / count;
    if variance > 0.0 { error / (2.0 * variance) } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use candle_core::{Device, Var};

    fn tensor(values: &[f32]) -> Result<Tensor> {
        Tensor::new(values, &Device::Cpu)
    }

    fn scalar(tensor: &Tensor) -> Result<f64> {
        Ok(f64::from(tensor.to_scalar::<f32>()?))
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn an_undecided_discriminator_loses_ln_4() -> Result<()> {
        let zeros = [tensor(&[0.0; 6])?];
        close(scalar(&GanLoss::Log.generator(&zeros)?)?, 2.0_f64.ln());
        close(scalar(&GanLoss::Log.discriminator(&zeros, &zeros)?)?, 4.0_f64.ln());
        let halves = [tensor(&[0.5; 6])?];
        close(scalar(&GanLoss::LeastSquares.generator(&halves)?)?, 0.25);
        close(scalar(&GanLoss::LeastSquares.discriminator(&halves, &halves)?)?, 0.5);
        Ok(())
    }

    #[test]
    fn the_generators_log_loss_does_not_saturate() -> Result<()> {
        // d/dl of -log sigmoid(l) is sigmoid(l) - 1: -1/2 at 0, nearly -1 where the discriminator is sure.
        let logits = Var::new(&[0.0_f32, -20.0, 20.0, 0.0], &Device::Cpu)?;
        let gradients = GanLoss::Log.generator(&[logits.as_tensor().clone()])?.backward()?;
        let Some(gradient) = gradients.get(&logits) else { candle_core::bail!("no gradient") };
        for (found, expected) in gradient.to_vec1::<f32>()?.into_iter().zip([-0.5, -1.0, 0.0, -0.5]) {
            close(f64::from(found), expected / 4.0);
        }
        Ok(())
    }

    #[test]
    fn scales_count_alike_whatever_their_size() -> Result<()> {
        // softplus(-0) = ln 2 on the first scale, softplus(-ln 3) = ln(4/3) on the second.
        let logits = [tensor(&[0.0; 3])?, tensor(&[3.0_f32.ln()])?];
        close(scalar(&GanLoss::Log.generator(&logits)?)?, 0.5 * (2.0_f64.ln() + (4.0_f64 / 3.0).ln()));
        assert!(GanLoss::Log.generator(&[]).is_err());
        Ok(())
    }

    #[test]
    fn an_inverted_pair_fools_the_cycle_but_not_the_identity() -> Result<()> {
        let y = tensor(&[0.2, -0.6, 1.0])?;
        let inverted = y.neg()?;
        let mean_square = (0.04 + 0.36 + 1.0) / 3.0;
        for distance in [Distance::Squared, Distance::Absolute] {
            close(scalar(&cycle_loss(distance, &inverted.neg()?, &y)?)?, 0.0);
        }
        close(scalar(&identity_loss(Distance::Squared, &inverted, &y)?)?, 4.0 * mean_square);
        close(scalar(&identity_loss(Distance::Absolute, &inverted, &y)?)?, 2.0 * 1.8 / 3.0);
        Ok(())
    }

    #[test]
    fn content_ignores_an_offset_and_masks_count_pixels() -> Result<()> {
        let x = tensor(&[0.1, 0.5, -0.3])?.reshape((1, 3, 1, 1))?;
        close(scalar(&content_loss(&(&x + 0.25)?, &x)?)?, 0.0);
        // Differences (1, 0, 0): 2 * 1 / 2 - 2 * 1 / (3 * 2) = 2/3.
        let moved = (&x + tensor(&[1.0, 0.0, 0.0])?.reshape((1, 3, 1, 1))?)?;
        close(scalar(&content_loss(&moved, &x)?)?, 2.0 / 3.0);
        let mask = tensor(&[0.6, 0.4, 0.0, 0.0, 0.0])?.reshape((1, 5, 1, 1))?;
        let truth = tensor(&[1.0, 0.0, 0.0, 0.0, 0.0])?.reshape((1, 5, 1, 1))?;
        close(scalar(&mask_loss(&mask, &truth)?)?, 0.32);
        Ok(())
    }

    #[test]
    fn a_triple_is_three_times_its_scatter() -> Result<()> {
        let (a, b, c) = (&tensor(&[0.1])?, &tensor(&[0.4])?, &tensor(&[0.8])?);
        // 0.09 + 0.49 + 0.16, which is 3 * sum (q - mean)^2.
        close(scalar(&scene_triple([a, b, c])?)?, 0.74);
        close(scalar(&scene_triple([c, a, b])?)?, 0.74);
        close(scalar(&scene_consistency([a, b, c], [b, b, b])?)?, 0.74);
        close(scalar(&scene_consistency([a, b, c], [c, b, a])?)?, 1.48);
        close(scalar(&scene_triple_clipped([a, b, c], 4.0)?)?, 0.74);
        close(scalar(&scene_triple_clipped([a, b, c], 0.35)?)?, 0.09 + 2.0 * 0.1225);
        Ok(())
    }

    #[test]
    fn the_gradients_of_a_triple_cancel() -> Result<()> {
        let vars = [[0.1_f32, -0.3], [0.4, 0.9], [0.8, 0.2]]
            .map(|values| Var::new(&values, &Device::Cpu))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let gradients = scene_triple([vars[0].as_tensor(), vars[1].as_tensor(), vars[2].as_tensor()])?.backward()?;
        let mut sum = [0.0_f64; 2];
        for var in &vars {
            let Some(gradient) = gradients.get(var) else { candle_core::bail!("no gradient") };
            let gradient = gradient.to_vec1::<f32>()?;
            assert!(gradient.iter().all(|g| g.abs() > 0.01), "{gradient:?}");
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(g));
        }
        assert!(sum.iter().all(|sum| sum.abs() < 1e-6), "{sum:?}");
        Ok(())
    }

    #[test]
    fn normalized_error_is_0_for_copies_1_for_strangers_and_none_for_constants() {
        let mut rng = Seed(3).rng();
        let count = 20_000;
        let mut draws = || -> Vec<f32> { (0..count).map(|_| rng.normal()).collect() };
        let (a, b) = (draws(), draws());
        assert_eq!(normalized_scene_error(&a, &a), 0.0);
        assert!((normalized_scene_error(&a, &b) - 1.0).abs() < 3.0 / f64::from(count).sqrt());
        // A translation that makes Q uniform keeps half: Var q / (2 Var q).
        assert!((normalized_scene_error(&a, &vec![0.0; a.len()]) - 0.5).abs() < 0.01);
        assert!(normalized_scene_error(&[0.5; 8], &a).is_nan());
        assert!(normalized_scene_error(&[], &[]).is_nan());
    }
}
