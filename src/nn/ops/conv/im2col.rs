//! Convolution from matrix products (im2col), for devices without native kernels, with a backward pass of its own.
//!
//! Everything here is a gather, a matrix product or a sum, so that candle runs it wherever it has a backend: on an NVIDIA
//! GPU the products are cuBLAS's. Candle's own gradient of `conv2d` is a transposed convolution and a dilated one, which
//! are slow everywhere; a gather instead of a scatter also keeps the gradient's sums in one order on a GPU.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, Device, DeviceLocation, Layout, MetalStorage, Result, Shape, Storage, Tensor,
    bail,
};

use super::plan::ConvShape;

/// Elements of the unfolded input that exist at once; a larger batch is unfolded in parts.
const MAX_UNFOLDED: usize = 1 << 28;

/// `conv(x, weight)`: input `[n, c, h, w]`, weight `[o, c, kh, kw]`, output `[n, o, y_h, y_w]`.
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: [usize; 2], padding: [usize; 2]) -> Result<Tensor> {
    let shape = ConvShape::new(x.dims(), weight.dims(), stride, padding)?;
    let op = MatmulConv { indices: Indices::of(&shape, x.device())?, shape, max_unfolded: MAX_UNFOLDED };
    let output = op.forward(&x.detach(), &weight.detach())?;
    if !x.track_op() && !weight.track_op() {
        return Ok(output);
    }
    x.apply_op2(weight, Known { op, output })
}

/// Which pixels meet: constants of a shape, on the device.
#[derive(Clone)]
struct Indices {
    /// For every tap and output pixel the input pixel, or the zero behind the image: `[taps * y_pixels]`.
    inputs: Tensor,
    /// For every tap and input pixel the entry of the unfolded image that it went to, or the zero behind it:
    /// `[taps * x_pixels]`.
    outputs: Tensor,
}

/// What `Indices` depend on.
type Key = (DeviceLocation, [[usize; 2]; 4]);

impl Indices {
    /// Computed once for a shape of images, kernel, stride and padding on a device.
    fn of(shape: &ConvShape, device: &Device) -> Result<Self> {
        static KNOWN: Mutex<Option<HashMap<Key, Arc<Indices>>>> = Mutex::new(None);
        let key = (device.location(), [shape.x_size, shape.kernel, shape.stride, shape.padding]);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(indices) = known.get(&key) {
            return Ok(indices.as_ref().clone());
        }
        let indices = Self::new(shape, device)?;
        known.insert(key, Arc::new(indices.clone()));
        Ok(indices)
    }

    fn new(shape: &ConvShape, device: &Device) -> Result<Self> {
        let (x_pixels, y_pixels, taps) = (shape.x_pixels(), shape.y_pixels(), shape.taps());
        if x_pixels >= u32::MAX as usize || taps * y_pixels >= u32::MAX as usize {
            bail!("conv2d: images of {:?} with a {:?} kernel are too large", shape.x_size, shape.kernel)
        }
        let mut inputs = vec![x_pixels as u32; taps * y_pixels];
        let mut outputs = vec![(taps * y_pixels) as u32; taps * x_pixels];
        for tap in 0..taps {
            let [ky, kx] = [tap / shape.kernel[1], tap % shape.kernel[1]];
            for pixel in 0..y_pixels {
                let [y, x] = [pixel / shape.y_size[1], pixel % shape.y_size[1]];
                let row = (y * shape.stride[0] + ky).checked_sub(shape.padding[0]).filter(|&r| r < shape.x_size[0]);
                let column = (x * shape.stride[1] + kx).checked_sub(shape.padding[1]).filter(|&c| c < shape.x_size[1]);
                if let (Some(row), Some(column)) = (row, column) {
                    let input = row * shape.x_size[1] + column;
                    inputs[tap * y_pixels + pixel] = input as u32;
                    outputs[tap * x_pixels + input] = (tap * y_pixels + pixel) as u32;
                }
            }
        }
        let (num_inputs, num_outputs) = (inputs.len(), outputs.len());
        Ok(Self {
            inputs: Tensor::from_vec(inputs, num_inputs, device)?,
            outputs: Tensor::from_vec(outputs, num_outputs, device)?,
        })
    }
}

/// A convolution of one shape as matrix products.
struct MatmulConv {
    shape: ConvShape,
    indices: Indices,
    max_unfolded: usize,
}

impl MatmulConv {
    /// Samples in parts that are unfolded at once: their first and their number.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let sample = self.shape.x_channels * self.shape.taps() * self.shape.y_pixels().max(self.shape.x_pixels());
        let (n, step) = (self.shape.n, (self.max_unfolded / sample.max(1)).max(1));
        (0..n).step_by(step).map(move |first| (first, step.min(n - first)))
    }

    /// Weight `[o, c * taps]`.
    fn matrix(&self, weight: &Tensor) -> Result<Tensor> {
        weight.contiguous()?.reshape((self.shape.y_channels, self.shape.x_channels * self.shape.taps()))
    }

    /// Input `[n, c, h, w]` unfolded: `[n, c * taps, y_pixels]`.
    fn unfold(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c) = (x.dim(0)?, self.shape.x_channels);
        let flat = x.contiguous()?.reshape((n, c, self.shape.x_pixels()))?.pad_with_zeros(2, 0, 1)?;
        flat.index_select(&self.indices.inputs, 2)?.reshape((n, c * self.shape.taps(), self.shape.y_pixels()))
    }

    /// The transpose of [`Self::unfold`]: `[n, c * taps, y_pixels]` to `[n, c, h, w]`.
    fn fold(&self, unfolded: &Tensor) -> Result<Tensor> {
        let (n, c, taps) = (unfolded.dim(0)?, self.shape.x_channels, self.shape.taps());
        let flat = unfolded.reshape((n, c, taps * self.shape.y_pixels()))?.pad_with_zeros(2, 0, 1)?;
        let gathered = flat.index_select(&self.indices.outputs, 2)?;
        let [h, w] = self.shape.x_size;
        gathered.reshape((n, c, taps, self.shape.x_pixels()))?.sum(2)?.reshape((n, c, h, w))
    }

    fn forward(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let matrix = self.matrix(weight)?;
        let [h, w] = self.shape.y_size;
        let parts = self
            .parts()
            .map(|(first, count)| {
                let unfolded = self.unfold(&x.narrow(0, first, count)?)?;
                matrix.broadcast_left(count)?.matmul(&unfolded)?.reshape((count, self.shape.y_channels, h, w))
            })
            .collect::<Result<Vec<_>>>()?;
        if parts.len() == 1 { Ok(parts[0].clone()) } else { Tensor::cat(&parts, 0) }
    }

    /// Gradients of input and weight, where they are wanted.
    fn backward(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let transposed = self.matrix(&weight.detach())?.t()?.contiguous()?;
        let (wants_input, x, gradient) = (x.track_op(), x.detach(), gradient.contiguous()?);
        let (mut x_parts, mut weight_gradient) = (Vec::new(), None);
        for (first, count) in self.parts() {
            let part = gradient.narrow(0, first, count)?;
            let part = part.reshape((count, self.shape.y_channels, self.shape.y_pixels()))?;
            if weight.track_op() {
                let unfolded = self.unfold(&x.narrow(0, first, count)?)?;
                let product = part.matmul(&unfolded.transpose(1, 2)?)?.sum(0)?;
                weight_gradient = Some(match weight_gradient {
                    Some(sum) => (sum + product)?,
                    None => product,
                });
            }
            if wants_input {
                x_parts.push(self.fold(&transposed.broadcast_left(count)?.matmul(&part)?)?);
            }
        }
        let weight_gradient = weight_gradient.map(|sum| sum.reshape(weight.shape())).transpose()?;
        let x_gradient = match x_parts.len() {
            0 => None,
            1 => x_parts.pop(),
            _ => Some(Tensor::cat(&x_parts, 0)?),
        };
        Ok((x_gradient, weight_gradient))
    }
}

/// The convolution in candle's graph: its output is known already, its backward pass is ours.
struct Known {
    op: MatmulConv,
    output: Tensor,
}

impl Known {
    /// A copy of the output's storage, as `pick` finds it.
    fn copied<S: BackendStorage>(&self, pick: impl Fn(&Storage) -> Option<&S>) -> Result<(S, Shape)> {
        let (storage, layout) = self.output.storage_and_layout();
        let Some(storage) = pick(&storage) else { bail!("conv2d: input and weight are on different devices") };
        Ok((storage.try_clone(layout)?, self.output.shape().clone()))
    }
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        "matmul-conv2d"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.copied(|storage| if let Storage::Cpu(storage) = storage { Some(storage) } else { None })
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.copied(|storage| if let Storage::Cuda(storage) = storage { Some(storage) } else { None })
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.copied(|storage| if let Storage::Metal(storage) = storage { Some(storage) } else { None })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.op.backward(x, weight, gradient)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;

    /// Output, and the gradients of input and weight, of a convolution by `conv`.
    fn gradients([x, weight]: [&Tensor; 2], conv: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<[Tensor; 3]> {
        let (x, weight) = (Var::from_tensor(x)?, Var::from_tensor(weight)?);
        let y = conv(&x, &weight)?;
        let gradients = (y.sqr()? * 0.5)?.sum_all()?.backward()?;
        let of = |var: &Var| gradients.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"));
        Ok([y.detach(), of(&x)?, of(&weight)?])
    }

    fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    fn operands(x: [usize; 4], weight: [usize; 4]) -> Result<[Tensor; 2]> {
        let mut rng = crate::contract::Seed(11).rng();
        let mut tensor = |dims: [usize; 4]| {
            let values: Vec<f64> = (0..dims.iter().product()).map(|_| rng.f64() - 0.5).collect();
            Tensor::from_vec(values, &dims, &Device::Cpu)
        };
        Ok([tensor(x)?, tensor(weight)?])
    }

    #[test]
    fn values_and_gradients_are_candles() -> Result<()> {
        for (x, weight, stride, padding) in [
            ([3, 2, 6, 5], [4, 2, 3, 3], 1, 1),
            ([2, 3, 7, 7], [2, 3, 3, 3], 2, 1),
            ([2, 1, 8, 8], [3, 1, 4, 4], 2, 1),
            ([1, 2, 5, 5], [2, 2, 5, 5], 1, 0),
        ] {
            let operands = operands(x, weight)?;
            let operands = [&operands[0], &operands[1]];
            let ours = gradients(operands, |x, w| conv2d(x, w, [stride; 2], [padding; 2]))?;
            let candles = gradients(operands, |x, w| x.conv2d(w, padding, stride, 1, 1))?;
            for (a, b) in ours.iter().zip(&candles) {
                assert_eq!(a.dims(), b.dims());
                assert!(distance(a, b)? < 1e-12, "{x:?} {weight:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_batch_in_parts_gives_the_same() -> Result<()> {
        let [x, weight] = operands([5, 2, 6, 6], [3, 2, 3, 3])?;
        let in_parts_of = |samples: usize| {
            gradients([&x, &weight], |x, w| {
                let shape = ConvShape::new(x.dims(), w.dims(), [1, 1], [1, 1])?;
                let op = MatmulConv {
                    indices: Indices::of(&shape, &Device::Cpu)?,
                    max_unfolded: samples * 2 * 9 * 36,
                    shape,
                };
                assert_eq!(op.parts().count(), 5_usize.div_ceil(samples));
                let output = op.forward(&x.detach(), &w.detach())?;
                x.apply_op2(w, Known { op, output })
            })
        };
        let whole = in_parts_of(5)?;
        for samples in [1, 2, 3] {
            for (a, b) in in_parts_of(samples)?.iter().zip(&whole) {
                assert!(distance(a, b)? < 1e-12, "parts of {samples}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_constant_input_gets_no_gradient() -> Result<()> {
        let [x, weight] = operands([2, 2, 4, 4], [3, 2, 3, 3])?;
        let weight = Var::from_tensor(&weight)?;
        let gradients = conv2d(&x, &weight, [1, 1], [1, 1])?.sum_all()?.backward()?;
        assert!(gradients.get(&x).is_none() && gradients.get(&weight).is_some());
        assert_eq!(conv2d(&x, &weight.detach(), [1, 1], [1, 1])?.dtype(), DType::F64);
        Ok(())
    }
}
