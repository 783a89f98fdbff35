//! Average and maximum pooling, any kernel and stride, and the mean over all pixels.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};

use super::activations::{Activations, with_float};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, Shared};
use super::real::Real;
use super::resample::plane_op;
use super::simd;
use super::tracking::{Slot, token, track};

fn out_size(x: &Activations, kernel: [usize; 2], stride: [usize; 2]) -> Result<[usize; 2]> {
    let [_, _, h, w] = x.dims4()?;
    if kernel.contains(&0) || stride.contains(&0) || kernel[0] > h || kernel[1] > w {
        bail!("pooling: kernel {kernel:?} with stride {stride:?} does not fit a {h}x{w} image")
    }
    Ok([(h - kernel[0]) / stride[0] + 1, (w - kernel[1]) / stride[1] + 1])
}

/// Means of `kernel` windows: `x` `[n, c, h, w]`, no padding.
pub fn avg_pool(x: &Activations, kernel: [usize; 2], stride: [usize; 2]) -> Result<Activations> {
    let size = out_size(x, kernel, stride)?;
    let [_, _, _, w] = x.dims4()?;
    let [kh, kw] = kernel;
    let [sy, sx] = stride;
    if x.native().is_none() {
        let x = x.to_tensor()?;
        let mut total: Option<Tensor> = None;
        for shifted in windows(&x, kernel, stride, size)? {
            total = Some(match total {
                Some(total) => (total + shifted)?,
                None => shifted,
            });
        }
        let Some(total) = total else { bail!("pooling: empty kernel") };
        return Ok(Activations::stock((total / (kh * kw) as f64)?));
    }
    with_float!(x.dtype(), T => {
        let scale = T::of(1.0 / (kh * kw) as f64);
        plane_op::<T>(
            OpKind::AvgPool,
            x,
            size,
            move |from, to| {
                let mut column_sums = vec![T::ZERO; w];
                for (y, to) in to.chunks_exact_mut(size[1]).enumerate() {
                    let rows = &from[y * sy * w..(y * sy + kh) * w];
                    column_sums.copy_from_slice(&rows[..w]);
                    rows[w..].chunks_exact(w).for_each(|row| simd::add_assign(&mut column_sums, row));
                    if kw == 2 && sx == 2 {
                        for (to, pair) in to.iter_mut().zip(column_sums.chunks_exact(2)) {
                            *to = (pair[0] + pair[1]) * scale;
                        }
                    } else {
                        for (x, to) in to.iter_mut().enumerate() {
                            *to = column_sums[x * sx..x * sx + kw].iter().copied().sum::<T>() * scale;
                        }
                    }
                }
            },
            move |from, to, accumulate| {
                if !accumulate {
                    to.fill(T::ZERO);
                }
                let mut spread = vec![T::ZERO; w];
                for (y, from) in from.chunks_exact(size[1]).enumerate() {
                    spread.fill(T::ZERO);
                    for (x, &g) in from.iter().enumerate() {
                        spread[x * sx..x * sx + kw].iter_mut().for_each(|s| *s += g * scale);
                    }
                    for row in to[y * sy * w..(y * sy + kh) * w].chunks_exact_mut(w) {
                        simd::add_assign(row, &spread);
                    }
                }
            },
        )
    })
}

/// Mean over height and width: `[n, c, h, w]` to `[n, c]`.
pub fn global_avg_pool(x: &Activations) -> Result<Activations> {
    let [n, c, h, w] = x.dims4()?;
    super::elementwise::reshape(&avg_pool(x, [h, w], [1, 1])?, &[n, c])
}

/// Maxima of `kernel` windows: `x` `[n, c, h, w]`, no padding. The gradient goes to the first maximum of a window.
pub fn max_pool(x: &Activations, kernel: [usize; 2], stride: [usize; 2]) -> Result<Activations> {
    let size = out_size(x, kernel, stride)?;
    let [n, c, h, w] = x.dims4()?;
    if x.native().is_none() {
        let x = x.to_tensor()?;
        let mut highest: Option<Tensor> = None;
        for shifted in windows(&x, kernel, stride, size)? {
            highest = Some(match highest {
                Some(highest) => highest.maximum(&shifted)?,
                None => shifted,
            });
        }
        let Some(highest) = highest else { bail!("pooling: empty kernel") };
        return Ok(Activations::stock(highest));
    }
    let (pixels, out_pixels) = (h * w, size[0] * size[1]);
    let grain = (1 << 15) / pixels.max(1) + 1;
    with_float!(x.dtype(), T => {
        let native = x.require_native()?;
        let input = native.buffer::<T>()?;
        let mut y = Buffer::<T>::stale(n * c * out_pixels);
        let mut winners = vec![0_u32; n * c * out_pixels];
        {
            let (y, winners) = (Shared::new(&mut y), Shared::new(&mut winners));
            parallel::for_ranges(n * c, grain, |range| {
                for plane in range {
                    let from = &input[plane * pixels..(plane + 1) * pixels];
                    // SAFETY: planes are disjoint.
                    let (y, winners) = unsafe {
                        (y.range(plane * out_pixels, out_pixels), winners.range(plane * out_pixels, out_pixels))
                    };
                    max_plane(from, w, kernel, stride, size, y, winners);
                }
            });
        }
        let slot = Slot::default();
        let winners = Arc::new(winners);
        let token = {
            let (slot, x_slot) = (slot.clone(), native.slot.clone());
            track(OpKind::MaxPool, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    x_slot.accumulate::<T>(n * c * pixels, |total, accumulate| {
                        let total = Shared::new(total);
                        parallel::for_ranges(n * c, grain, |range| {
                            for plane in range {
                                // SAFETY: planes are disjoint.
                                let total = unsafe { total.range(plane * pixels, pixels) };
                                if !accumulate {
                                    total.fill(T::ZERO);
                                }
                                let at = plane * out_pixels..(plane + 1) * out_pixels;
                                for (&g, &winner) in gradient[at.clone()].iter().zip(&winners[at]) {
                                    total[winner as usize] += g;
                                }
                            }
                        });
                    });
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, &[n, c, size[0], size[1]], token, slot))
    })
}

fn max_plane<T: Real>(
    from: &[T],
    w: usize,
    [kh, kw]: [usize; 2],
    [sy, sx]: [usize; 2],
    size: [usize; 2],
    y: &mut [T],
    winners: &mut [u32],
) {
    for oy in 0..size[0] {
        for ox in 0..size[1] {
            let mut best = (oy * sy) * w + ox * sx;
            for ky in 0..kh {
                let row = (oy * sy + ky) * w + ox * sx;
                for index in row..row + kw {
                    // NaN wins, as in PyTorch: it must not vanish here.
                    let is_nan = from[index].partial_cmp(&from[index]).is_none();
                    if from[index] > from[best] || is_nan {
                        best = index;
                    }
                }
            }
            y[oy * size[1] + ox] = from[best];
            winners[oy * size[1] + ox] = best as u32;
        }
    }
}

/// The `kh * kw` shifted, strided pictures whose sum or maximum a pooling is; every step has a right gradient in candle.
fn windows(x: &Tensor, [kh, kw]: [usize; 2], [sy, sx]: [usize; 2], size: [usize; 2]) -> Result<Vec<Tensor>> {
    let indices = |start: usize, stride: usize, count: usize| {
        Tensor::from_iter((0..count).map(|i| (start + i * stride) as u32), &Device::Cpu)?.to_device(x.device())
    };
    let mut result = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let rows = x.index_select(&indices(ky, sy, size[0])?, 2)?;
        for kx in 0..kw {
            result.push(rows.index_select(&indices(kx, sx, size[1])?, 3)?);
        }
    }
    Ok(result)
}
