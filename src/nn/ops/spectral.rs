//! Spectral normalization of a weight (Miyato et al., 2018): division by its largest singular value, estimated by power
//! iteration with vectors that persist between steps.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use super::activations::{with_float, with_slice};
use super::dispatch::is_native;
use super::kind::OpKind;
use super::real::Real;
use super::simd;

/// Estimates of the leading singular vectors of a weight seen as `[o, everything else]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SingularVectors {
    /// `[o]`
    pub left: Vec<f64>,
    /// `[everything else]`
    pub right: Vec<f64>,
}

fn normalized<T: Real>(mut x: Vec<T>) -> Vec<T> {
    let norm = simd::dot(&x, &x).sqrt();
    let floor = T::of(1e-12);
    let scale = T::ONE / if norm > floor { norm } else { floor };
    x.iter_mut().for_each(|x| *x *= scale);
    x
}

/// `weight * vector` and `weight^T * vector` for a row-major `[rows, columns]` weight.
fn times<T: Real>(weight: &[T], columns: usize, vector: &[T]) -> Vec<T> {
    weight.chunks_exact(columns).map(|row| simd::dot(row, vector)).collect()
}

fn transposed_times<T: Real>(weight: &[T], columns: usize, vector: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; columns];
    weight.chunks_exact(columns).zip(vector).for_each(|(row, &v)| simd::add_scaled(&mut out, row, v));
    out
}

/// `weight / sigma` with `sigma = left^T W right`. With `iterations > 0` the vectors are improved first, as PyTorch does
/// in training mode; the gradient flows through `sigma` with the vectors held fixed.
pub fn spectral_normalize(weight: &Tensor, vectors: &mut SingularVectors, iterations: usize) -> Result<Tensor> {
    let Some(&rows) = weight.dims().first() else { bail!("spectral norm: the weight has no dimensions") };
    let columns = weight.elem_count() / rows.max(1);
    if vectors.left.len() != rows || vectors.right.len() != columns {
        bail!("spectral norm: vectors of {} and {} for {:?}", vectors.left.len(), vectors.right.len(), weight.dims())
    }
    if columns == 0 {
        bail!("spectral norm: the weight {:?} is empty", weight.dims())
    }
    let on_cpu = weight.detach().to_device(&Device::Cpu)?;
    let sigma = with_float!(on_cpu.dtype(), T => with_slice::<T, _>(&on_cpu, |w| {
        let cast = |v: &[f64]| v.iter().map(|&x| T::of(x)).collect::<Vec<T>>();
        let (mut left, mut right) = (cast(&vectors.left), cast(&vectors.right));
        for _ in 0..iterations {
            right = normalized(transposed_times(w, columns, &left));
            left = normalized(times(w, columns, &right));
        }
        let sigma = simd::dot(&left, &times(w, columns, &right)).as_f64();
        vectors.left = left.iter().map(|x| x.as_f64()).collect();
        vectors.right = right.iter().map(|x| x.as_f64()).collect();
        Ok(sigma)
    }))?;
    if !is_native(weight) {
        let shape = |v: &[f64], dims: (usize, usize)| {
            Tensor::from_slice(v, dims, &Device::Cpu)?.to_dtype(weight.dtype())?.to_device(weight.device())
        };
        let flat = weight.reshape((rows, columns))?;
        let sigma = shape(&vectors.left, (1, rows))?.matmul(&flat)?.matmul(&shape(&vectors.right, (columns, 1))?)?;
        return flat.broadcast_div(&sigma)?.reshape(weight.shape());
    }
    weight.contiguous()?.apply_op1(Normalize { sigma, vectors: vectors.clone() })
}

struct Normalize {
    sigma: f64,
    vectors: SingularVectors,
}

impl CustomOp1 for Normalize {
    fn name(&self) -> &'static str {
        OpKind::SpectralNorm.name()
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        fn scaled<T: Real>(w: &[T], layout: &Layout, sigma: f64) -> CpuStorage {
            let at = layout.start_offset();
            let factor = T::of(1.0 / sigma);
            T::storage(w[at..at + layout.shape().elem_count()].iter().map(|&w| w * factor).collect())
        }
        let storage = match storage {
            CpuStorage::F32(w) => scaled(w, layout, self.sigma),
            CpuStorage::F64(w) => scaled(w, layout, self.sigma),
            _ => bail!("spectral norm wants f32 or f64 weights"),
        };
        Ok((storage, layout.shape().clone()))
    }

    /// `(g - (sum of g * y) * left right^T) / sigma`, y being the normalized weight.
    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        with_float!(y.dtype(), T => with_slice::<T, _>(y, |y_values| {
            with_slice::<T, _>(gradient, |g| {
                let along = simd::dot(g, y_values);
                let factor = T::of(1.0 / self.sigma);
                let right: Vec<T> = self.vectors.right.iter().map(|&x| T::of(x)).collect();
                let mut out = g.to_vec();
                for (row, &left) in out.chunks_exact_mut(right.len()).zip(&self.vectors.left) {
                    simd::add_scaled(row, &right, -(along * T::of(left)));
                    row.iter_mut().for_each(|x| *x *= factor);
                }
                Tensor::from_vec(out, y.shape(), &Device::Cpu).map(Some)
            })
        }))
    }
}
