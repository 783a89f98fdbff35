//! The spatial softmax (Finn et al., 2016), with the features found where it points to.

use crate::nn::ops::Activations;
use candle_core::{Result, Tensor};

/// What each head finds where its attention (a softmax over the map) points to, and where that is:
/// `[n, heads * (filters + 2)]`.
pub(super) fn spatial_softmax(map: &Activations, attention: &Activations) -> Result<Activations> {
    let [n, filters, h, w] = map.dims4()?;
    let heads = attention.dims4()?[1];
    let attention = attention.to_tensor()?.reshape((n, heads, h * w))?;
    let highest = attention.detach().max_keepdim(2)?;
    let weights = attention.broadcast_sub(&highest)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(2)?)?;
    let at = |index: usize, count: usize| 2.0 * (index as f32 + 0.5) / count as f32 - 1.0;
    let places: Vec<f32> = (0..h * w).flat_map(|pixel| [at(pixel % w, w), at(pixel / w, h)]).collect();
    let places = Tensor::from_vec(places, (h * w, 2), attention.device())?.to_dtype(attention.dtype())?;
    let found = weights.matmul(&map.to_tensor()?.reshape((n, filters, h * w))?.transpose(1, 2)?.contiguous()?)?;
    let where_to = weights.reshape((n * heads, h * w))?.matmul(&places)?.reshape((n, heads, 2))?;
    Activations::from_tensor(&Tensor::cat(&[&found, &where_to], 2)?.reshape((n, heads * (filters + 2)))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_head_finds_what_it_points_to() -> anyhow::Result<()> {
        // Two filters on a map of 1x4 pixels; one head looks at the third pixel only, the other everywhere alike.
        let map = Tensor::from_vec(vec![1.0_f32, 2.0, 3.0, 6.0, 0.0, 0.0, 5.0, 1.0], (1, 2, 1, 4), &Device::Cpu)?;
        let attention = vec![-90.0_f32, -90.0, 10.0, -90.0, 7.0, 7.0, 7.0, 7.0];
        let attention = Tensor::from_vec(attention, (1, 2, 1, 4), &Device::Cpu)?;
        let found = spatial_softmax(&Activations::from_tensor(&map)?, &Activations::from_tensor(&attention)?)?;
        let found = found.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        // Pixel centres lie at -0.75, -0.25, 0.25, 0.75.
        let expected = [3.0, 5.0, 0.25, 0.0, 3.0, 1.5, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        Ok(())
    }
}
