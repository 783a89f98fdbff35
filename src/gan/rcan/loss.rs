//! The equality losses of RCAN (equation 2).

use super::batch::TrainBatch;
use super::config::{ImageLoss, RcanConfig};
use super::generator::Generated;
use crate::nn::ops::loss;
use candle_core::{Result, Tensor};

/// The terms of the generator's objective, unweighted; `None` where a weight is 0.
pub struct EqualityLosses {
    /// [`image_loss`] of the generated image, a scalar.
    pub image: Option<Tensor>,
    /// [`offset_loss`] of the generated image, a scalar.
    pub offset: Option<Tensor>,
    /// [`mask_loss`] of the class probabilities, a scalar.
    pub mask: Option<Tensor>,
    /// Mean squared error of the encoded depth, a scalar.
    pub depth: Option<Tensor>,
    /// Their weighted sum.
    pub total: Tensor,
}

/// Generated against canonical image, `[n, 3, height, width]` each.
///
/// # Errors
/// Different shapes.
pub fn image_loss(kind: ImageLoss, image: &Tensor, target: &Tensor) -> Result<Tensor> {
    match kind {
        ImageLoss::Mpse => loss::pairwise_squared_error(image, target),
        ImageLoss::L1 => loss::absolute_error(image, target),
        ImageLoss::L2 => loss::squared_error(image, target),
    }
}

/// Twice the squared mean difference of each sample, averaged over the batch: what the pairwise squared error leaves out
/// of twice the mean squared error (for many elements).
///
/// # Errors
/// Different shapes.
pub fn offset_loss(image: &Tensor, target: &Tensor) -> Result<Tensor> {
    let means = (image.flatten_from(1)?.mean(1)? - target.flatten_from(1)?.mean(1)?)?;
    means.sqr()?.mean_all()? * 2.0
}

/// Squared Euclidean distance between the class probabilities and the one-hot truth, averaged over the pixels.
///
/// # Errors
/// Different shapes.
pub fn mask_loss(mask: &Tensor, target: &Tensor) -> Result<Tensor> {
    loss::squared_error(mask, target)? * mask.dim(1)? as f64
}

/// All terms of equation 2.
///
/// # Errors
/// Different shapes.
pub fn equality_losses(config: &RcanConfig, out: &Generated, batch: &TrainBatch) -> Result<EqualityLosses> {
    let weights = &config.weights;
    let term =
        |weight: f64, value: &dyn Fn() -> Result<Tensor>| if weight > 0.0 { value().map(Some) } else { Ok(None) };
    let image = term(weights.image, &|| image_loss(config.image_loss, &out.image, &batch.canonical))?;
    let offset = term(weights.offset, &|| offset_loss(&out.image, &batch.canonical))?;
    let mask = term(weights.mask, &|| mask_loss(&out.mask, &batch.mask))?;
    let depth = term(weights.depth, &|| loss::squared_error(&out.depth, &batch.depth))?;
    let weighted = [(&image, weights.image), (&offset, weights.offset), (&mask, weights.mask), (&depth, weights.depth)];
    let mut total: Option<Tensor> = None;
    for (value, weight) in weighted {
        if let Some(value) = value {
            let value = (value * weight)?;
            total = Some(match total {
                Some(total) => (total + value)?,
                None => value,
            });
        }
    }
    let Some(total) = total else { candle_core::bail!("every weight of the losses is 0") };
    Ok(EqualityLosses { image, offset, mask, depth, total })
}

#[cfg(test)]
mod tests {
    use super::super::config::Preset;
    use super::*;
    use crate::nn::Activations;
    use candle_core::Device;

    fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_slice(values, shape, &Device::Cpu)
    }

    fn scalar(tensor: &Tensor) -> Result<f32> {
        tensor.to_scalar::<f32>()
    }

    #[test]
    fn image_losses_by_hand() -> Result<()> {
        // Differences (1, 0, 0) and (0.5, 0.5, 0.5).
        let image = tensor(&[1.0, 0.0, 0.0, 0.5, 0.5, 0.5], &[2, 3, 1, 1])?;
        let target = tensor(&[0.0; 6], &[2, 3, 1, 1])?;
        // n = 3: 2 * 1 / 2 - 2 * 1 / (3 * 2) = 2/3 for the first, 0 for the second (a constant offset).
        assert!((scalar(&image_loss(ImageLoss::Mpse, &image, &target)?)? - 1.0 / 3.0).abs() < 1e-6);
        assert!((scalar(&image_loss(ImageLoss::L1, &image, &target)?)? - 2.5 / 6.0).abs() < 1e-6);
        assert!((scalar(&image_loss(ImageLoss::L2, &image, &target)?)? - 1.75 / 6.0).abs() < 1e-6);
        // 2 * (1/3)^2 = 2/9 and 2 * 0.25 = 1/2.
        assert!((scalar(&offset_loss(&image, &target)?)? - 0.5 * (2.0 / 9.0 + 0.5)).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_mask_counts_distances_of_pixels() -> Result<()> {
        // One pixel, five classes: (0.6 - 1)^2 + 0.4^2 = 0.32.
        let mask = tensor(&[0.6, 0.4, 0.0, 0.0, 0.0], &[1, 5, 1, 1])?;
        let target = tensor(&[1.0, 0.0, 0.0, 0.0, 0.0], &[1, 5, 1, 1])?;
        assert!((scalar(&mask_loss(&mask, &target)?)? - 0.32).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_total_is_the_weighted_sum_and_zero_leaves_out() -> Result<()> {
        let mut config = RcanConfig::preset(Preset::Small);
        config.weights.image = 2.0;
        config.weights.mask = 0.0;
        config.weights.depth = 3.0;
        config.weights.offset = 0.0;
        let out = Generated {
            image: tensor(&[1.0, 0.0, 0.0], &[1, 3, 1, 1])?,
            mask: tensor(&[0.2; 5], &[1, 5, 1, 1])?,
            depth: tensor(&[0.5], &[1, 1, 1, 1])?,
        };
        let batch = TrainBatch {
            source: Activations::from_tensor(&tensor(&[0.0; 3], &[1, 3, 1, 1])?)?,
            canonical: tensor(&[0.0; 3], &[1, 3, 1, 1])?,
            mask: tensor(&[1.0, 0.0, 0.0, 0.0, 0.0], &[1, 5, 1, 1])?,
            depth: tensor(&[0.0], &[1, 1, 1, 1])?,
        };
        let losses = equality_losses(&config, &out, &batch)?;
        assert!(losses.mask.is_none() && losses.offset.is_none());
        // 2 * 2/3 + 3 * 0.25.
        assert!((scalar(&losses.total)? - (4.0 / 3.0 + 0.75)).abs() < 1e-6);
        Ok(())
    }
}
