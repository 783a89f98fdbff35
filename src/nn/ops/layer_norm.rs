//! Layer normalization over the last dimension, and softmax along any dimension: the row-wise ops.

use std::sync::Arc;

use candle_core::{D, Result, Tensor, bail};

use super::activations::{Activations, with_float, with_slice};
use super::kind::OpKind;
use super::memory::Buffer;
use super::norm::NormOptions;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd;
use super::tracking::{Slot, deliver, token, track};

/// Rows of one task: a function of the width alone.
fn grain(width: usize) -> usize {
    (1 << 14) / width.max(1) + 1
}

/// Normalizes every row of the last dimension; gamma and beta have one entry an element of the row.
pub fn layer_norm(x: &Activations, options: NormOptions<'_>) -> Result<Activations> {
    let Some(&width) = x.shape().last() else { bail!("layer_norm: the input has no dimensions") };
    for tensor in [options.gamma, options.beta].into_iter().flatten() {
        if tensor.dims() != [width] {
            bail!("layer_norm: parameters of shape {:?} for rows of {width}", tensor.dims())
        }
    }
    if x.native().is_none() {
        let x = x.to_tensor()?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let mut y = centred.broadcast_div(&(variance + options.epsilon)?.sqrt()?)?;
        if let Some(gamma) = options.gamma {
            y = y.broadcast_mul(gamma)?;
        }
        if let Some(beta) = options.beta {
            y = y.broadcast_add(beta)?;
        }
        return Ok(Activations::stock(options.activation.stock(&y)?));
    }
    with_float!(x.dtype(), T => native::<T>(x, width, options))
}

fn values_or<T: Real>(tensor: Option<&Tensor>, len: usize, default: T) -> Result<Vec<T>> {
    match tensor {
        Some(tensor) => with_slice::<T, _>(tensor, |values| Ok(values.to_vec())),
        None => Ok(vec![default; len]),
    }
}

fn native<T: Real>(x: &Activations, width: usize, options: NormOptions<'_>) -> Result<Activations> {
    let native = x.require_native()?;
    let input = native.buffer::<T>()?;
    let rows = input.len() / width.max(1);
    let gamma = values_or(options.gamma, width, T::ONE)?;
    let beta = values_or(options.beta, width, T::ZERO)?;
    let activation = options.activation;
    let count = T::of(width as f64);
    let (mut mean, mut inverse) = (Buffer::<T>::stale(rows), Buffer::<T>::stale(rows));
    let mut y = Buffer::<T>::stale(input.len());
    {
        let (y, mean, inverse) = (Shared::new(&mut y), Shared::new(&mut mean), Shared::new(&mut inverse));
        parallel::for_ranges(rows, grain(width), |range| {
            for row in range {
                let x = &input[row * width..(row + 1) * width];
                let m = simd::sum(x) / count;
                let i = T::ONE / (simd::sum_squared_deviations(x, m) / count + T::of(options.epsilon)).sqrt();
                // SAFETY: one row, one task.
                let y = unsafe {
                    mean.range(row, 1)[0] = m;
                    inverse.range(row, 1)[0] = i;
                    y.range(row * width, width)
                };
                for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(&gamma).zip(&beta) {
                    *y = (x - m) * i * gamma + beta;
                }
                activation.apply(y);
            }
        });
    }
    let y = Arc::new(y);
    let slot = Slot::default();
    let mut tracked = vec![&native.token];
    tracked.extend(options.gamma);
    tracked.extend(options.beta);
    let token = {
        let (slot, y) = (slot.clone(), y.clone());
        let x_slot = native.tracked().then(|| native.slot.clone());
        let parameters = [options.gamma.cloned(), options.beta.cloned()];
        track(OpKind::LayerNorm, &tracked, move || {
            let Some(gradient) = slot.take::<T>() else {
                let mut gradients = vec![Some(token()?)];
                for tensor in parameters.iter().flatten() {
                    gradients.push(Some(tensor.zeros_like()?));
                }
                return Ok(gradients);
            };
            // Gradients of gamma and beta are sums over rows: one partial sum a task, added in order.
            let tasks = rows.div_ceil(grain(width));
            let mut partial = Buffer::<T>::zeroed(tasks * 2 * width);
            let (mut total, accumulate) = match &x_slot {
                Some(slot) => slot.open::<T>(rows * width),
                None => (Buffer::stale(rows * width), false),
            };
            {
                let (partial, total) = (Shared::new(&mut partial), Shared::new(&mut total));
                parallel::for_ranges(rows, grain(width), |range| {
                    // SAFETY: one range a task.
                    let partial = unsafe { partial.range(range.start / grain(width) * 2 * width, 2 * width) };
                    let (gamma_sum, beta_sum) = partial.split_at_mut(width);
                    let mut g = vec![T::ZERO; width];
                    for row in range {
                        let at = row * width..(row + 1) * width;
                        activation.backward(&gradient[at.clone()], &y[at.clone()], &mut g);
                        let (x, m, i) = (&input[at.clone()], mean[row], inverse[row]);
                        let (mut sum, mut dot) = (T::ZERO, T::ZERO);
                        for j in 0..width {
                            let hat = (x[j] - m) * i;
                            gamma_sum[j] += g[j] * hat;
                            beta_sum[j] += g[j];
                            g[j] *= gamma[j];
                            sum += g[j];
                            dot += g[j] * hat;
                        }
                        // SAFETY: one row, one task.
                        let total = unsafe { total.range(row * width, width) };
                        for j in 0..width {
                            let d = i * (g[j] - sum / count - (x[j] - m) * i * dot / count);
                            total[j] = if accumulate { total[j] + d } else { d };
                        }
                    }
                });
            }
            if let Some(slot) = &x_slot {
                slot.put(total);
            }
            let mut sums = vec![T::ZERO; 2 * width];
            partial.chunks_exact((2 * width).max(1)).for_each(|part| simd::add_assign(&mut sums, part));
            let mut gradients = vec![Some(token()?)];
            for (tensor, sums) in parameters.iter().zip(sums.chunks_exact(width.max(1))) {
                if let Some(tensor) = tensor {
                    gradients.push(deliver(tensor, Buffer::copy_of(sums))?);
                }
            }
            Ok(gradients)
        })?
    };
    Ok(Activations::from_data(T::wrap(y), x.shape(), token, slot))
}

/// Softmax along dimension `dim`.
pub fn softmax(x: &Activations, dim: usize) -> Result<Activations> {
    let Some(&classes) = x.shape().get(dim) else { bail!("softmax: no dimension {dim} in {:?}", x.shape()) };
    if x.native().is_none() {
        let x = x.to_tensor()?;
        // The maximum is only there against overflow; its gradient cancels, so none is taken.
        let e = x.broadcast_sub(&x.detach().max_keepdim(dim)?)?.exp()?;
        return Ok(Activations::stock(e.broadcast_div(&e.sum_keepdim(dim)?)?));
    }
    let inner: usize = x.shape()[dim + 1..].iter().product();
    with_float!(x.dtype(), T => {
        let native = x.require_native()?;
        let input = native.buffer::<T>()?;
        let block = classes * inner;
        let outer = input.len() / block.max(1);
        let mut y = Buffer::<T>::stale(input.len());
        {
            let y = Shared::new(&mut y);
            parallel::for_ranges(outer, grain(block), |range| {
                for o in range {
                    // SAFETY: one block, one task.
                    softmax_block(&input[o * block..(o + 1) * block], inner, unsafe { y.range(o * block, block) });
                }
            });
        }
        let y = Arc::new(y);
        let slot = Slot::default();
        let token = {
            let (slot, y, x_slot) = (slot.clone(), y.clone(), native.slot.clone());
            track(OpKind::Softmax, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    x_slot.accumulate::<T>(y.len(), |total, accumulate| {
                        let total = Shared::new(total);
                        parallel::for_ranges(outer, grain(block), |range| {
                            let mut dots = vec![T::ZERO; inner];
                            for o in range {
                                let (g, y) = (&gradient[o * block..(o + 1) * block], &y[o * block..(o + 1) * block]);
                                dots.fill(T::ZERO);
                                for (g, y) in g.chunks_exact(inner).zip(y.chunks_exact(inner)) {
                                    for i in 0..inner {
                                        dots[i] += g[i] * y[i];
                                    }
                                }
                                // SAFETY: one block, one task.
                                let total = unsafe { total.range(o * block, block) };
                                for (i, total) in total.iter_mut().enumerate() {
                                    let d = y[i] * (g[i] - dots[i % inner]);
                                    *total = if accumulate { *total + d } else { d };
                                }
                            }
                        });
                    });
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_data(T::wrap(y), x.shape(), token, slot))
    })
}

/// Softmax over the rows of a `[classes, inner]` block, column by column.
pub(crate) fn softmax_block<T: Real>(x: &[T], inner: usize, y: &mut [T]) {
    let mut highest = vec![T::NEG_INFINITY; inner];
    for row in x.chunks_exact(inner) {
        highest.iter_mut().zip(row).for_each(|(h, &x)| *h = if x > *h { x } else { *h });
    }
    let mut total = vec![T::ZERO; inner];
    for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)) {
        for i in 0..inner {
            y[i] = (x[i] - highest[i]).exp();
            total[i] += y[i];
        }
    }
    for y in y.chunks_exact_mut(inner) {
        y.iter_mut().zip(&total).for_each(|(y, &total)| {
            let share = *y / total;
            *y = share;
        });
    }
}
