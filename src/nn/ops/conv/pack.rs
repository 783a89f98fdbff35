//! Copying image planes into the packed layouts of `plan`, results back out of them, and weights into the order in
//! which the inner loops read them.

use super::super::memory::Buffer;
use super::super::parallel::{self, Shared};
use super::super::real::Real;
use super::super::simd::simd_fn;
use super::plan::{Plan, Raster};
use super::tile::MAX_OUTS;

simd_fn! {
    /// Every second element: `to[i] = from[2 i]`. `from` may end right after the last element used.
    pub fn take_even<T>(from: &[T], to: &mut [T]) {
        let pairs = to.len().min(from.len() / 2);
        for (to, from) in to[..pairs].iter_mut().zip(from.chunks_exact(2)) {
            *to = from[0];
        }
        for i in pairs..to.len() {
            to[i] = from[2 * i];
        }
    }
}

simd_fn! {
    /// `to[2 i] = even[i]`, `to[2 i + 1] = odd[i]`; `even` is one longer than `odd` when `to` has an odd length.
    pub fn interleave<T>(even: &[T], odd: &[T], to: &mut [T]) {
        let odd = &odd[..to.len() / 2];
        let even = &even[..to.len().div_ceil(2)];
        for ((to, &a), &b) in to.chunks_exact_mut(2).zip(even).zip(odd) {
            to[0] = a;
            to[1] = b;
        }
        if to.len() % 2 == 1 {
            to[to.len() - 1] = even[even.len() - 1];
        }
    }
}

/// Copies a row; rows of usual widths in registers, as a call to copy each costs more than the copy.
#[inline(always)]
fn copy_row<T: Real>(from: &[T], to: &mut [T]) {
    #[inline(always)]
    fn fixed<T: Real, const N: usize>(from: &[T], to: &mut [T]) {
        if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
            *to = *from;
        }
    }
    match from.len() {
        4 => fixed::<T, 4>(from, to),
        8 => fixed::<T, 8>(from, to),
        16 => fixed::<T, 16>(from, to),
        32 => fixed::<T, 32>(from, to),
        64 => fixed::<T, 64>(from, to),
        _ => to.copy_from_slice(from),
    }
}

simd_fn! {
    /// Rows of `width` that follow each other become rows of `pitch`, `lead` from their beginning; the rest of `to` stays.
    fn spread_rows<T>(from: &[T], width: usize, to: &mut [T], pitch: usize, lead: usize) {
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(pitch)) {
            copy_row(from, &mut to[lead..lead + width]);
        }
    }
}

simd_fn! {
    /// The inverse of `spread_rows`.
    fn gather_rows<T>(from: &[T], pitch: usize, to: &mut [T], width: usize) {
        for (from, to) in from.chunks(pitch).zip(to.chunks_exact_mut(width)) {
            copy_row(&from[..width], to);
        }
    }
}

/// One axis of a padded, phase-split copy: `to[i] = from[stride * i + phase - padding]`, zero outside.
fn copy_axis<T: Real>(from: &[T], to: &mut [T], stride: usize, phase: usize, padding: usize) {
    // The first i with stride * i + phase >= padding, and the first with stride * i + phase - padding >= len.
    let first = padding.saturating_sub(phase).div_ceil(stride).min(to.len());
    let end = (from.len() + padding).saturating_sub(phase).div_ceil(stride).clamp(first, to.len());
    to[..first].fill(T::ZERO);
    to[end..].fill(T::ZERO);
    if first == end {
        return;
    }
    let start = stride * first + phase - padding;
    let to = &mut to[first..end];
    match stride {
        1 => to.copy_from_slice(&from[start..start + to.len()]),
        2 => take_even(&from[start..], to),
        _ => to.iter_mut().zip(from[start..].iter().step_by(stride)).for_each(|(to, &from)| *to = from),
    }
}

/// Writes channel `channel`, sample `sample` of the unit into an X-pack from its dense plane.
pub fn pack_x_plane<T: Real>(plan: &Plan, pack: &mut [T], sample: usize, plane: &[T]) {
    let [h, w] = plan.shape.x_size;
    let [sy, sx] = plan.shape.stride;
    let [py, px] = plan.shape.padding;
    let [ph, pw] = plan.x_pitch;
    debug_assert_eq!(plane.len(), h * w);
    if [sy, sx] == [1, 1] && h + py <= ph && w + px <= pw {
        let to = &mut pack[sample * ph * pw..(sample + 1) * ph * pw];
        to.fill(T::ZERO);
        spread_rows(plane, w, &mut to[py * pw..], pw, px);
        return;
    }
    for phase_y in 0..sy {
        for phase_x in 0..sx {
            let start = ((phase_y * sx + phase_x) * plan.samples + sample) * ph * pw;
            for (i, to) in pack[start..start + ph * pw].chunks_exact_mut(pw).enumerate() {
                match (sy * i + phase_y).checked_sub(py).filter(|&row| row < h) {
                    Some(row) => copy_axis(&plane[row * w..(row + 1) * w], to, sx, phase_x, px),
                    None => to.fill(T::ZERO),
                }
            }
        }
    }
}

/// Zeros what no sample of this unit fills in a channel of an X-pack: absent samples and the tail.
pub fn pad_x_plane<T: Real>(plan: &Plan, pack: &mut [T], present: usize) {
    let plane = plan.x_pitch[0] * plan.x_pitch[1];
    let phases = plan.shape.stride[0] * plan.shape.stride[1];
    for phase in 0..phases {
        pack[(phase * plan.samples + present) * plane..(phase + 1) * plan.samples * plane].fill(T::ZERO);
    }
    pack[phases * plan.samples * plane..].fill(T::ZERO);
}

/// Writes one dense Y plane into its channel of a Y-pack.
pub fn pack_y_plane<T: Real>(plan: &Plan, pack: &mut [T], sample: usize, plane: &[T]) {
    let [h, w] = plan.shape.y_size;
    let [ph, pw] = plan.y_pitch;
    let [lead_y, lead_x] = plan.y_lead;
    debug_assert_eq!(plane.len(), h * w);
    let pack = &mut pack[sample * ph * pw..(sample + 1) * ph * pw];
    pack.fill(T::ZERO);
    spread_rows(plane, w, &mut pack[lead_y * pw..], pw, lead_x);
}

pub fn pad_y_plane<T: Real>(plan: &Plan, pack: &mut [T], present: usize) {
    pack[present * plan.y_pitch[0] * plan.y_pitch[1]..].fill(T::ZERO);
}

/// Copies one sample's plane out of a computed run.
pub fn unpack_plane<T: Real>(raster: &Raster, run: &[T], sample: usize, plane: &mut [T]) {
    let [h, w] = raster.size;
    if raster.row == w {
        plane.copy_from_slice(&run[raster.row_start(sample, 0)..][..h * w]);
        return;
    }
    gather_rows(&run[raster.row_start(sample, 0)..], raster.row, plane, w);
}

/// Interleaves the phases of one sample's X plane. `run(phase)` is that phase's computed run.
pub fn unpack_phases<'a, T: Real>(plan: &Plan, run: impl Fn(usize) -> &'a [T], sample: usize, plane: &mut [T]) {
    let [sy, sx] = plan.shape.stride;
    let w = plan.shape.x_size[1];
    for (y, to) in plane.chunks_exact_mut(w).enumerate() {
        let row = |phase_x: usize| {
            let index = y % sy * sx + phase_x;
            let raster = &plan.backward[index].raster;
            &run(index)[raster.row_start(sample, y / sy)..][..raster.size[1]]
        };
        match sx {
            1 => to.copy_from_slice(row(0)),
            2 if w > 1 => interleave(row(0), row(1), to),
            _ => {
                for phase_x in 0..sx.min(w) {
                    to.iter_mut().skip(phase_x).step_by(sx).zip(row(phase_x)).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }
}

/// Splits `count` into the fewest nearly equal blocks of at most `largest`.
pub fn balanced_blocks(count: usize, largest: usize) -> Vec<(usize, usize)> {
    let blocks = count.div_ceil(largest);
    (0..blocks)
        .map(|i| {
            let (start, end) = (i * count / blocks, (i + 1) * count / blocks);
            (start, end - start)
        })
        .collect()
}

/// Weights in the order `correlate` reads them, in blocks of output channels.
pub struct PackedWeights<T: Real> {
    /// `(first output channel, outputs)` of each block.
    pub blocks: Vec<(usize, usize)>,
    data: Buffer<T>,
    per_out: usize,
}

impl<T: Real> PackedWeights<T> {
    pub fn block(&self, index: usize) -> &[T] {
        let (first, count) = self.blocks[index];
        &self.data[first * self.per_out..(first + count) * self.per_out]
    }

    /// For the X-to-Y direction: block of Y channels, then `[x channel][tap][y channel of the block]`.
    pub fn forward(plan: &Plan, weight: &[T]) -> Self {
        let per_out = plan.shape.x_channels * plan.shape.taps();
        let blocks = balanced_blocks(plan.shape.y_channels, MAX_OUTS);
        let mut data = Buffer::stale(weight.len());
        let shared = Shared::new(&mut data);
        parallel::for_ranges(blocks.len(), (1 << 14) / (per_out * MAX_OUTS).max(1) + 1, |range| {
            for &(first, count) in &blocks[range] {
                // SAFETY: blocks are disjoint ranges of output channels.
                let to = unsafe { shared.range(first * per_out, count * per_out) };
                for o in 0..count {
                    let from = &weight[(first + o) * per_out..(first + o + 1) * per_out];
                    to.iter_mut().skip(o).step_by(count).zip(from).for_each(|(to, &from)| *to = from);
                }
            }
        });
        Self { blocks, data, per_out }
    }

    /// For the Y-to-X direction, one phase: block of X channels, then `[y channel][tap][x channel of the block]`.
    pub fn backward(plan: &Plan, weight: &[T], phase: usize) -> Self {
        let taps = plan.shape.taps();
        let (x_channels, y_channels) = (plan.shape.x_channels, plan.shape.y_channels);
        let kernel_index = &plan.backward[phase].kernel_index;
        let per_out = y_channels * kernel_index.len();
        let blocks = balanced_blocks(x_channels, MAX_OUTS);
        let mut data = Buffer::stale(x_channels * per_out);
        let shared = Shared::new(&mut data);
        parallel::for_ranges(blocks.len(), (1 << 14) / (per_out * MAX_OUTS).max(1) + 1, |range| {
            for &(first, count) in &blocks[range] {
                // SAFETY: blocks are disjoint ranges of output channels.
                let to = unsafe { shared.range(first * per_out, count * per_out) };
                let mut to = to.chunks_exact_mut(count);
                for y in 0..y_channels {
                    let from = &weight[(y * x_channels + first) * taps..(y * x_channels + first + count) * taps];
                    for &k in kernel_index {
                        let Some(to) = to.next() else { return };
                        for (x, to) in to.iter_mut().enumerate() {
                            *to = from[x * taps + k];
                        }
                    }
                }
            }
        });
        Self { blocks, data, per_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_copy_pads_and_splits() {
        let from = [1.0_f64, 2.0, 3.0, 4.0, 5.0];
        let mut to = [9.0; 8];
        copy_axis(&from, &mut to, 1, 0, 2);
        assert_eq!(to, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0]);
        let mut to = [9.0; 4];
        // Padded row 0 1 2 3 4 5 0: even positions 0 2 4 0, odd positions 1 3 5.
        copy_axis(&from, &mut to, 2, 0, 1);
        assert_eq!(to, [0.0, 2.0, 4.0, 0.0]);
        copy_axis(&from, &mut to, 2, 1, 1);
        assert_eq!(to, [1.0, 3.0, 5.0, 0.0]);
        copy_axis(&from, &mut to, 3, 2, 1);
        assert_eq!(to, [2.0, 5.0, 0.0, 0.0]);
    }

    #[test]
    fn rows_are_spread_and_gathered() {
        for width in [1, 4, 7, 8, 16, 32, 37, 64] {
            let pitch = width + 3;
            let from: Vec<f64> = (0..4 * width).map(|i| i as f64 + 1.0).collect();
            let mut to = vec![-1.0; 4 * pitch];
            spread_rows(&from, width, &mut to, pitch, 2);
            for (i, &value) in to.iter().enumerate() {
                let (row, column) = (i / pitch, i % pitch);
                let inside = (2..2 + width).contains(&column);
                assert_eq!(value, if inside { from[row * width + column - 2] } else { -1.0 }, "{width} {i}");
            }
            let mut back = vec![0.0; 4 * width];
            // The last row ends where the run does.
            gather_rows(&to[2..4 * pitch - 1], pitch, &mut back, width);
            assert_eq!(back, from);
        }
    }

    #[test]
    fn blocks_are_balanced() {
        assert_eq!(balanced_blocks(9, 8), [(0, 4), (4, 5)]);
        assert_eq!(balanced_blocks(32, 8).len(), 4);
        assert_eq!(balanced_blocks(3, 8), [(0, 3)]);
        assert!(balanced_blocks(0, 8).is_empty());
    }

    #[test]
    fn interleave_inverts_the_split() {
        for len in [1_usize, 2, 7, 40, 41] {
            let whole: Vec<f64> = (0..len).map(|i| i as f64).collect();
            let mut even = vec![0.0; len.div_ceil(2)];
            let mut odd = vec![0.0; len / 2];
            take_even(&whole, &mut even);
            if len > 1 {
                take_even(&whole[1..], &mut odd);
            }
            let mut back = vec![0.0; len];
            interleave(&even, &odd, &mut back);
            assert_eq!(back, whole);
        }
    }
}
