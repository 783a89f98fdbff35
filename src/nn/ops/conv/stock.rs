//! The same chain from operations on tensors, for devices and types without native kernels.

use candle_core::{Result, Tensor};

use super::super::activations::Activations;
use super::super::norm::stock_instance_norm;
use super::super::resample::{stock_bilinear, stock_nearest};
use super::op::{ConvInput, ConvNorm, ConvOptions};
use super::{Resample, im2col};

pub fn conv2d_fused(
    inputs: &[ConvInput<'_>],
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Activations> {
    let parts = inputs
        .iter()
        .map(|input| {
            let x = input.value.to_tensor()?;
            match input.resample {
                Resample::None => Ok(x),
                Resample::Nearest2 => stock_nearest(&x, [2, 2]),
                Resample::Bilinear2 => {
                    let (_, _, h, w) = x.dims4()?;
                    stock_bilinear(&x, [2 * h, 2 * w])
                }
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let x = if parts.len() == 1 { parts[0].clone() } else { Tensor::cat(&parts, 1)? };
    let y = im2col::conv2d(&x, weight, options.stride, options.padding)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, bias.elem_count(), 1, 1))?)?,
        None => y,
    };
    let y = match options.norm {
        ConvNorm::None => y,
        ConvNorm::Instance { epsilon, gamma, beta } => stock_instance_norm(&y, gamma, beta, epsilon)?,
    };
    Ok(Activations::stock(options.activation.stock(&y)?))
}
