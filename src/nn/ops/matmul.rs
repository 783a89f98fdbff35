//! Matrix products through the `gemm` crate (AVX-512), behind a checked interface, and the linear layer on top.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use gemm::Parallelism;

use super::activation::Activation;
use super::activations::{Activations, with_float, with_slice};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd;
use super::tracking::{Slot, deliver, token, track};

/// A matrix inside a slice: element `(i, j)` is `data[i * row + j * column]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `width` elements one after the other.
    pub fn rows(data: &'a [T], width: usize) -> Self {
        Self { data, row: width, column: 1 }
    }

    pub fn transposed(self) -> Self {
        Self { data: self.data, row: self.column, column: self.row }
    }

    fn check(&self, rows: usize, columns: usize) {
        if rows > 0 && columns > 0 {
            assert!((rows - 1) * self.row + (columns - 1) * self.column < self.data.len(), "matrix beyond its slice");
        }
    }
}

/// `out = a b` (`+ out` when `accumulate`): `a` is `m x k`, `b` is `k x n`, `out` row-major `m x n`. One thread.
pub fn multiply<T: Real>([m, n, k]: [usize; 3], a: Matrix<'_, T>, b: Matrix<'_, T>, out: &mut [T], accumulate: bool) {
    a.check(m, k);
    b.check(k, n);
    assert!(out.len() >= m * n);
    // SAFETY: the checks above keep every element `gemm` touches inside the slices; `out` is exclusively borrowed.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Rows of the result that one task computes: a function of the sizes alone. Every task packs the right factor for itself, so
/// that of many rows it takes an eighth.
fn row_grain([m, n, k]: [usize; 3]) -> usize {
    ((1 << 20) / (n * k).max(1)).clamp((m / 8).clamp(8, 64), 256)
}

/// [`multiply`] on all cores, split by rows of the result.
pub fn par_multiply<T: Real>(
    [m, n, k]: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: &mut [T],
    accumulate: bool,
) {
    let shared = Shared::new(out);
    parallel::for_ranges(m, row_grain([m, n, k]), |range| {
        let a = Matrix { data: &a.data[range.start * a.row..], ..a };
        // SAFETY: disjoint rows.
        let out = unsafe { shared.range(range.start * n, range.len() * n) };
        multiply([range.len(), n, k], a, b, out, accumulate);
    });
}

/// `activation(x weight^T + bias)`: `x` `[..., k]`, weight `[o, k]`, bias `[o]`, result `[..., o]`.
pub fn linear(x: &Activations, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Activations> {
    let (o, k) = weight.dims2()?;
    let Some((&last, leading)) = x.shape().split_last() else { bail!("linear: the input has no dimensions") };
    if last != k {
        bail!("linear: the input has {last} features, the weight wants {k}")
    }
    if let Some(bias) = bias
        && bias.dims() != [o]
    {
        bail!("linear: bias {:?} does not fit {o} outputs", bias.dims())
    }
    let shape: Vec<usize> = leading.iter().copied().chain([o]).collect();
    let n: usize = leading.iter().product();
    if x.native().is_none() {
        let y = x.to_tensor()?.reshape((n, k))?.matmul(&weight.t()?)?;
        let y = match bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        return Ok(Activations::stock(activation.stock(&y.reshape(shape)?)?));
    }
    with_float!(x.dtype(), T => native::<T>(x, weight, bias, activation, [n, o, k], &shape))
}

fn native<T: Real>(
    x: &Activations,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
    [n, o, k]: [usize; 3],
    shape: &[usize],
) -> Result<Activations> {
    let native = x.require_native()?;
    let input = native.buffer::<T>()?;
    let mut y = Buffer::<T>::stale(n * o);
    let bias_values = bias.map(|bias| with_slice::<T, _>(bias, |values| Ok(values.to_vec()))).transpose()?;
    with_slice::<T, _>(weight, |weight| {
        let shared = Shared::new(&mut y);
        parallel::for_ranges(n, row_grain([n, o, k]), |range| {
            // SAFETY: disjoint rows.
            let y = unsafe { shared.range(range.start * o, range.len() * o) };
            let x = Matrix::rows(&input[range.start * k..range.end * k], k);
            if let Some(bias) = &bias_values {
                y.chunks_exact_mut(o).for_each(|row| row.copy_from_slice(bias));
            }
            multiply([range.len(), o, k], x, Matrix::rows(weight, k).transposed(), y, bias_values.is_some());
            activation.apply(y);
        });
        Ok(())
    })?;
    let slot = Slot::default();
    let y = Arc::new(y);
    let mut tracked = vec![&native.token, weight];
    tracked.extend(bias);
    let token = {
        let (slot, y, weight, bias) = (slot.clone(), y.clone(), weight.clone(), bias.cloned());
        let x_slot = native.tracked().then(|| native.slot.clone());
        track(OpKind::Linear, &tracked, move || {
            let Some(mut gradient) = slot.take::<T>() else {
                let bias = bias.as_ref().map(Tensor::zeros_like).transpose()?;
                return Ok(vec![Some(token()?), Some(weight.zeros_like()?), bias]);
            };
            if activation != Activation::None {
                let incoming = gradient;
                gradient = Buffer::stale(incoming.len());
                activation.backward(&incoming, &y, &mut gradient);
            }
            let g = Matrix::rows(&gradient[..], o);
            if let Some(slot) = &x_slot {
                with_slice::<T, _>(&weight, |weight| {
                    slot.accumulate::<T>(n * k, |total, accumulate| {
                        par_multiply([n, k, o], g, Matrix::rows(weight, k), total, accumulate);
                    });
                    Ok(())
                })?;
            }
            let mut weight_gradient = None;
            if weight.track_op() {
                let mut total = Buffer::stale(o * k);
                par_multiply([o, k, n], g.transposed(), Matrix::rows(&input[..], k), &mut total, false);
                weight_gradient = deliver(&weight, total)?;
            }
            let mut bias_gradient = None;
            if let Some(bias) = bias.as_ref().filter(|bias| bias.track_op()) {
                let mut total = Buffer::zeroed(o);
                gradient.chunks_exact(o.max(1)).for_each(|row| simd::add_assign(&mut total, row));
                bias_gradient = deliver(bias, total)?;
            }
            Ok(vec![Some(token()?), weight_gradient, bias_gradient])
        })?
    };
    Ok(Activations::from_data(T::wrap(y), shape, token, slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_small_matrices_by_hand() {
        let (a, b) = ([1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, -1.0, 0.5, 3.0]);
        let mut out = [10.0; 4];
        multiply([2, 2, 3], Matrix::rows(&a, 3), Matrix::rows(&b, 2), &mut out, false);
        assert_eq!(out, [6.5, 7.0, 17.0, 13.0]);
        multiply([2, 2, 3], Matrix::rows(&a, 3), Matrix::rows(&b, 2), &mut out, true);
        assert_eq!(out, [13.0, 14.0, 34.0, 26.0]);
        // Transposed: a^T (3x2) times the 2x2 of the first four of b.
        let mut out = [0.0; 6];
        multiply([3, 2, 2], Matrix::rows(&a, 3).transposed(), Matrix::rows(&b[..4], 2), &mut out, false);
        assert_eq!(out, [9.0, -4.0, 12.0, -5.0, 15.0, -6.0]);
    }
}
