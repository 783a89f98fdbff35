//! The same chain from operations on tensors, for devices and types without native kernels.

use candle_core::{Result, Tensor};

use super::super::activations::Activations;
use super::super::norm::stock_instance_norm;
use super::super::resample::{stock_bilinear, stock_nearest};
use super::op::{ConvInput, ConvNorm, ConvOptions};
use super::plan::ConvShape;
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
    let y = stock_conv2d(&x, weight, options.stride, options.padding)?;
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

/// Matrix products on a device. On the processor candle's own convolution, which shares nothing with our kernels: they are
/// compared with it. It has one stride for rows and columns, and pads and crops are by hand to the pixels that are really used:
/// its gradient fails when the rows and columns left over by the stride differ.
fn stock_conv2d(x: &Tensor, weight: &Tensor, stride: [usize; 2], padding: [usize; 2]) -> Result<Tensor> {
    if !x.device().is_cpu() || stride[0] != stride[1] {
        return im2col::conv2d(x, weight, stride, padding);
    }
    let shape = ConvShape::new(x.dims(), weight.dims(), stride, padding)?;
    let mut x = x.clone();
    for axis in 0..2 {
        let used = (shape.y_size[axis] - 1) * stride[axis] + shape.kernel[axis];
        x = x.pad_with_zeros(2 + axis, padding[axis], padding[axis])?.narrow(2 + axis, 0, used)?;
    }
    x.contiguous()?.conv2d(weight, 0, stride[0], 1, 1)
}
