//! Up-sampling: nearest by whole factors, bilinear (`align_corners = false`) to any size, as PyTorch defines both.

use candle_core::{Device, Result, Tensor, bail};

use super::activations::{Activations, with_float};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd::{add_assign, simd_fn};
use super::tracking::{Slot, token, track};

simd_fn! {
    /// One row twice as long: `1/4, 3/4` of the neighbours, edges repeated.
    fn double_row<T>(from: &[T], to: &mut [T]) {
        let (quarter, rest) = (T::of(0.25), T::of(0.75));
        let w = from.len();
        to[0] = from[0];
        to[2 * w - 1] = from[w - 1];
        let inner = &mut to[1..2 * w - 1];
        for ((to, &a), &b) in inner.chunks_exact_mut(2).zip(from).zip(&from[1..]) {
            to[0] = rest * a + quarter * b;
            to[1] = quarter * a + rest * b;
        }
    }
}

simd_fn! {
    /// The transpose of [`double_row`].
    fn double_row_adjoint<T>(from: &[T], to: &mut [T]) {
        let (quarter, rest) = (T::of(0.25), T::of(0.75));
        let w = to.len();
        // to[i] = 1/4 from[2i - 1] + 3/4 from[2i] + 3/4 from[2i + 1] + 1/4 from[2i + 2]; the edges take what is cut off.
        for (to, pair) in to.iter_mut().zip(from.chunks_exact(2)) {
            *to = rest * (pair[0] + pair[1]);
        }
        for (to, before) in to[1..].iter_mut().zip(from[1..].chunks_exact(2)) {
            *to += quarter * before[0];
        }
        for (to, after) in to[..w - 1].iter_mut().zip(from[2..].chunks_exact(2)) {
            *to += quarter * after[0];
        }
        to[0] += quarter * from[0];
        to[w - 1] += quarter * from[2 * w - 1];
    }
}

simd_fn! {
    fn blend<T>(a: &[T], b: &[T], weight_a: T, weight_b: T, to: &mut [T]) {
        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
            *to = weight_a * a + weight_b * b;
        }
    }
}

/// Enlarges one plane by two, bilinearly.
pub(crate) fn bilinear2_plane<T: Real>(from: &[T], [h, w]: [usize; 2], to: &mut [T]) {
    debug_assert!(from.len() == h * w && to.len() == 4 * h * w);
    let (quarter, rest) = (T::of(0.25), T::of(0.75));
    // Rows first, into the odd result rows' neighbours: row y of the source, doubled, blends into result rows
    // 2y - 1 ..= 2y + 2. Keep the doubled rows of two neighbours at a time.
    let mut above = vec![T::ZERO; 2 * w];
    let mut here = vec![T::ZERO; 2 * w];
    double_row(&from[..w], &mut above);
    to[..2 * w].copy_from_slice(&above);
    for y in 1..h {
        double_row(&from[y * w..(y + 1) * w], &mut here);
        let rows = &mut to[(2 * y - 1) * 2 * w..(2 * y + 1) * 2 * w];
        let (upper, lower) = rows.split_at_mut(2 * w);
        blend(&above, &here, rest, quarter, upper);
        blend(&above, &here, quarter, rest, lower);
        std::mem::swap(&mut above, &mut here);
    }
    to[(2 * h - 1) * 2 * w..].copy_from_slice(&above);
}

/// The transpose of [`bilinear2_plane`]: `from` is the large gradient, `to` the small one.
pub(crate) fn bilinear2_adjoint_plane<T: Real>(from: &[T], [h, w]: [usize; 2], to: &mut [T], accumulate: bool) {
    let (quarter, rest) = (T::of(0.25), T::of(0.75));
    let row = |y: usize| &from[y * 2 * w..(y + 1) * 2 * w];
    let mut total = vec![T::ZERO; 2 * w];
    let mut halved = vec![T::ZERO; w];
    for y in 0..h {
        blend(row(2 * y), row(2 * y + 1), rest, rest, &mut total);
        let before = if y == 0 { 0 } else { 2 * y - 1 };
        let after = if y + 1 == h { 2 * h - 1 } else { 2 * y + 2 };
        super::simd::add_scaled(&mut total, row(before), quarter);
        super::simd::add_scaled(&mut total, row(after), quarter);
        double_row_adjoint(&total, &mut halved);
        let to = &mut to[y * w..(y + 1) * w];
        if accumulate { add_assign(to, &halved) } else { to.copy_from_slice(&halved) }
    }
}

/// `(first pixel, second pixel, weight of the second)` for every result pixel of one axis.
fn bilinear_axis(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
            let first = (at as usize).min(from - 1);
            (first, (first + 1).min(from - 1), at - first as f64)
        })
        .collect()
}

fn bilinear_plane<T: Real>(
    from: &[T],
    w: usize,
    rows: &[(usize, usize, f64)],
    columns: &[(usize, usize, f64)],
    to: &mut [T],
) {
    for (to, &(a, b, t)) in to.chunks_exact_mut(columns.len()).zip(rows) {
        let (upper, lower, t) = (&from[a * w..(a + 1) * w], &from[b * w..(b + 1) * w], T::of(t));
        for (to, &(a, b, s)) in to.iter_mut().zip(columns) {
            let s = T::of(s);
            let top = upper[a] + (upper[b] - upper[a]) * s;
            let bottom = lower[a] + (lower[b] - lower[a]) * s;
            *to = top + (bottom - top) * t;
        }
    }
}

fn bilinear_adjoint_plane<T: Real>(
    from: &[T],
    w: usize,
    rows: &[(usize, usize, f64)],
    columns: &[(usize, usize, f64)],
    to: &mut [T],
) {
    for (from, &(y0, y1, t)) in from.chunks_exact(columns.len()).zip(rows) {
        let t = T::of(t);
        for (&g, &(x0, x1, s)) in from.iter().zip(columns) {
            let s = T::of(s);
            let (top, bottom) = (g * (T::ONE - t), g * t);
            to[y0 * w + x0] += top * (T::ONE - s);
            to[y0 * w + x1] += top * s;
            to[y1 * w + x0] += bottom * (T::ONE - s);
            to[y1 * w + x1] += bottom * s;
        }
    }
}

/// A resampling of every plane by itself: how to make a result plane, and how to add its transpose.
pub(crate) fn plane_op<T: Real>(
    kind: OpKind,
    x: &Activations,
    out_size: [usize; 2],
    forward: impl Fn(&[T], &mut [T]) + Sync + Send,
    adjoint: impl Fn(&[T], &mut [T], bool) + Sync + Send + 'static,
) -> Result<Activations> {
    let [n, c, h, w] = x.dims4()?;
    let native = x.require_native()?;
    let (pixels, out_pixels) = (h * w, out_size[0] * out_size[1]);
    let input = native.buffer::<T>()?;
    let mut y = Buffer::<T>::stale(n * c * out_pixels);
    let shared = Shared::new(&mut y);
    parallel::for_ranges(n * c, (1 << 16) / out_pixels.max(1) + 1, |range| {
        for plane in range {
            // SAFETY: planes are disjoint.
            let to = unsafe { shared.range(plane * out_pixels, out_pixels) };
            forward(&input[plane * pixels..(plane + 1) * pixels], to);
        }
    });
    let slot = Slot::default();
    let token = {
        let (slot, x_slot) = (slot.clone(), native.slot.clone());
        track(kind, &[&native.token], move || {
            if let Some(gradient) = slot.take::<T>() {
                x_slot.accumulate::<T>(n * c * pixels, |total, accumulate| {
                    let shared = Shared::new(total);
                    parallel::for_ranges(n * c, (1 << 16) / out_pixels.max(1) + 1, |range| {
                        for plane in range {
                            // SAFETY: planes are disjoint.
                            let to = unsafe { shared.range(plane * pixels, pixels) };
                            adjoint(&gradient[plane * out_pixels..(plane + 1) * out_pixels], to, accumulate);
                        }
                    });
                });
            }
            Ok(vec![Some(token()?)])
        })?
    };
    Ok(Activations::from_buffer(y, &[n, c, out_size[0], out_size[1]], token, slot))
}

/// Repeats every pixel `factor[0]` times down and `factor[1]` times across.
pub fn upsample_nearest(x: &Activations, factor: [usize; 2]) -> Result<Activations> {
    let [_, _, h, w] = x.dims4()?;
    let [fy, fx] = factor;
    if fy == 0 || fx == 0 {
        bail!("upsample_nearest: a factor of 0")
    }
    if x.native().is_none() {
        return Ok(Activations::stock(stock_nearest(&x.to_tensor()?, factor)?));
    }
    with_float!(x.dtype(), T => plane_op::<T>(
        OpKind::UpsampleNearest,
        x,
        [fy * h, fx * w],
        move |from, to| {
            for (from, to) in from.chunks_exact(w).zip(to.chunks_exact_mut(fy * fx * w)) {
                let (first, rest) = to.split_at_mut(fx * w);
                first.chunks_exact_mut(fx).zip(from).for_each(|(to, &from)| to.fill(from));
                rest.chunks_exact_mut(fx * w).for_each(|row| row.copy_from_slice(first));
            }
        },
        move |from, to, accumulate| {
            if !accumulate {
                to.fill(T::ZERO);
            }
            for (from, to) in from.chunks_exact(fy * fx * w).zip(to.chunks_exact_mut(w)) {
                for row in from.chunks_exact(fx * w) {
                    to.iter_mut().zip(row.chunks_exact(fx)).for_each(|(to, from)| *to += from.iter().copied().sum::<T>());
                }
            }
        },
    ))
}

/// Bilinear resampling to `size` `[height, width]`, `align_corners = false`.
pub fn upsample_bilinear(x: &Activations, size: [usize; 2]) -> Result<Activations> {
    let [_, _, h, w] = x.dims4()?;
    if h == 0 || w == 0 || size.contains(&0) {
        bail!("upsample_bilinear: from {h}x{w} to {size:?}")
    }
    if x.native().is_none() {
        return Ok(Activations::stock(stock_bilinear(&x.to_tensor()?, size)?));
    }
    with_float!(x.dtype(), T => {
        if size == [2 * h, 2 * w] {
            return plane_op::<T>(
                OpKind::UpsampleBilinear,
                x,
                size,
                move |from, to| bilinear2_plane(from, [h, w], to),
                move |from, to, accumulate| bilinear2_adjoint_plane(from, [h, w], to, accumulate),
            );
        }
        let (rows, columns) = (bilinear_axis(h, size[0]), bilinear_axis(w, size[1]));
        let (back_rows, back_columns) = (rows.clone(), columns.clone());
        plane_op::<T>(
            OpKind::UpsampleBilinear,
            x,
            size,
            move |from, to| bilinear_plane(from, w, &rows, &columns, to),
            move |from, to, accumulate| {
                if !accumulate {
                    to.fill(T::ZERO);
                }
                bilinear_adjoint_plane(from, w, &back_rows, &back_columns, to);
            },
        )
    })
}

/// Nearest enlargement from reshapes and broadcasts, whose gradients candle has right (its `upsample_nearest2d` has not).
pub(crate) fn stock_nearest(x: &Tensor, [fy, fx]: [usize; 2]) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    x.reshape(&[n, c, h, 1, w, 1])?.broadcast_as(&[n, c, h, fy, w, fx])?.contiguous()?.reshape((n, c, h * fy, w * fx))
}

/// Bilinear resampling as two matrix products (candle has no gradient for its own).
pub(crate) fn stock_bilinear(x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let matrix = |from: usize, to: usize| {
        let mut values = vec![0.0_f64; to * from];
        for (i, (a, b, t)) in bilinear_axis(from, to).into_iter().enumerate() {
            values[i * from + a] += 1.0 - t;
            values[i * from + b] += t;
        }
        Tensor::from_vec(values, (to, from), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
    };
    let wide = x.reshape((n * c * h, w))?.matmul(&matrix(w, size[1])?.t()?.contiguous()?)?;
    let wide = wide.reshape((n * c, h, size[1]))?.transpose(1, 2)?.contiguous()?.reshape((n * c * size[1], h))?;
    let tall = wide.matmul(&matrix(h, size[0])?.t()?.contiguous()?)?;
    tall.reshape((n * c, size[1], size[0]))?.transpose(1, 2)?.contiguous()?.reshape((n, c, size[0], size[1]))
}
