//! The two inner loops of every convolution, over packed planes (see `plan` for the layout).
//!
//! - [`correlate`]: `out[o][p] = sum over channels and taps of weight * source[p + tap]`, lanes along the pixels or samples,
//!   weights broadcast. Up to 24 accumulators stay in registers over the whole sum; no im2col is ever written.
//! - [`correlate_products`]: `out[i][k] += sum over pixels of a[i][p] * b[p + offset k]`, the weight gradient, lanes
//!   the same, summed across lanes once a chunk.

use super::super::real::Real;
use super::super::simd::LANES;
use super::super::simd::fold;
#[cfg(target_arch = "x86_64")]
use super::super::simd::{Level, level};

/// Output channels of one tile at most.
pub const MAX_OUTS: usize = 8;
/// Rows (first-operand channels) of one weight-gradient tile at most.
pub const MAX_ROWS: usize = 5;

/// One block of output channels against the packed planes of one unit.
pub struct Correlation<'a, T> {
    /// Packed planes, one channel every `plane` floats.
    pub source: &'a [T],
    pub plane: usize,
    pub channels: usize,
    /// Where each tap reads, relative to a vector's offset, and its place among the weights of a channel.
    pub taps: &'a [(u32, u32)],
    /// Offsets of the vectors of `LANES` lanes: in the source, and in the result of each output.
    pub vectors: &'a [(u32, u32)],
    /// `[channels][kernel][outs]`.
    pub weights: &'a [T],
    /// Places among the weights of a channel, at least as many as taps.
    pub kernel: usize,
    pub outs: usize,
    /// Floats from one output's result to the next.
    pub run: usize,
}

impl<T: Real> Correlation<'_, T> {
    /// Panics unless every read and write of the kernels stays inside the slices: the kernels check nothing more.
    fn check(&self, out: &[T]) {
        assert!((1..=MAX_OUTS).contains(&self.outs));
        assert!(self.weights.len() >= self.channels * self.kernel * self.outs);
        assert!(self.taps.iter().all(|&(_, place)| (place as usize) < self.kernel));
        let (vector, target) = self.vectors.iter().fold((0, 0), |(a, b), v| (a.max(v.0 as usize), b.max(v.1 as usize)));
        assert!(out.len() >= (self.outs - 1) * self.run + target + LANES);
        let tap = self.taps.iter().map(|&(tap, _)| tap).max().unwrap_or(0) as usize;
        let last = self.channels.saturating_sub(1) * self.plane + tap + vector + LANES;
        assert!(last <= self.source.len(), "reads {last} of {} packed floats", self.source.len());
    }
}

/// `out[outs][run]` is overwritten where vectors lie.
pub fn correlate<T: Real>(job: &Correlation<'_, T>, out: &mut [T]) {
    if job.vectors.is_empty() {
        return;
    }
    job.check(out);
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Avx512 if T::SINGLE => {
            // SAFETY: `SINGLE` is true for f32 only, so this cast changes no type.
            let job = unsafe { &*std::ptr::from_ref(job).cast::<Correlation<'_, f32>>() };
            // SAFETY: `level` saw AVX-512; `check` proved every access in bounds.
            return unsafe { super::avx512::correlate(job, out.as_mut_ptr().cast()) };
        }
        Level::Avx2 if T::SINGLE => {
            // SAFETY: `SINGLE` is true for f32 only, so this cast changes no type.
            let job = unsafe { &*std::ptr::from_ref(job).cast::<Correlation<'_, f32>>() };
            // SAFETY: `level` saw AVX2 and FMA; `check` proved every access in bounds.
            return unsafe { super::avx2::correlate(job, out.as_mut_ptr().cast()) };
        }
        Level::Avx512 | Level::Avx2 => {
            // SAFETY: `level` saw AVX2 and FMA (every AVX-512 processor has them).
            return unsafe { correlate_avx2(job, out) };
        }
        Level::Baseline => {}
    }
    correlate_portable(job, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn correlate_avx2<T: Real>(job: &Correlation<'_, T>, out: &mut [T]) {
    correlate_portable(job, out);
}

#[inline(always)]
fn correlate_portable<T: Real>(job: &Correlation<'_, T>, out: &mut [T]) {
    let mut first = 0;
    while first < job.outs {
        let count = (job.outs - first).min(4);
        match count {
            4 => portable_block::<T, 4>(job, first, out),
            3 => portable_block::<T, 3>(job, first, out),
            2 => portable_block::<T, 2>(job, first, out),
            _ => portable_block::<T, 1>(job, first, out),
        }
        first += count;
    }
}

#[inline(always)]
fn portable_block<T: Real, const OUTS: usize>(job: &Correlation<'_, T>, first: usize, out: &mut [T]) {
    for &(offset, target) in job.vectors {
        let mut totals = [[T::ZERO; LANES]; OUTS];
        for channel in 0..job.channels {
            let base = channel * job.plane + offset as usize;
            for &(tap, place) in job.taps {
                let start = base + tap as usize;
                let x = &job.source[start..start + LANES];
                let w = &job.weights[(channel * job.kernel + place as usize) * job.outs + first..][..OUTS];
                for o in 0..OUTS {
                    for i in 0..LANES {
                        totals[o][i] += w[o] * x[i];
                    }
                }
            }
        }
        for (o, totals) in totals.iter().enumerate() {
            let start = (first + o) * job.run + target as usize;
            out[start..start + LANES].copy_from_slice(totals);
        }
    }
}

/// A block of the weight gradient: some channels of `a` against all `(channel, tap)` offsets of `b`.
pub struct Products<'a, T> {
    pub a: &'a [T],
    pub a_plane: usize,
    pub rows: usize,
    pub b: &'a [T],
    /// Where column `k` of the result reads in `b`, relative to a vector's offset.
    pub columns: &'a [u32],
    /// Offsets in `a` and in `b` of each vector of `LANES` pixels.
    pub vectors: &'a [(u32, u32)],
}

impl<T: Real> Products<'_, T> {
    fn check(&self, out: &[T], stride: usize) {
        assert!((1..=MAX_ROWS).contains(&self.rows));
        assert!(self.columns.len() <= stride && out.len() >= (self.rows - 1) * stride + self.columns.len());
        let column = self.columns.iter().copied().max().unwrap_or(0) as usize;
        let (a, b) = self.vectors.iter().fold((0, 0), |(a, b), v| (a.max(v.0 as usize), b.max(v.1 as usize)));
        assert!((self.rows - 1) * self.a_plane + a + LANES <= self.a.len());
        assert!(column + b + LANES <= self.b.len());
    }
}

/// `out[row * stride + column]` is added to.
pub fn correlate_products<T: Real>(job: &Products<'_, T>, out: &mut [T], stride: usize) {
    if job.columns.is_empty() || job.vectors.is_empty() {
        return;
    }
    job.check(out, stride);
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Avx512 if T::SINGLE => {
            // SAFETY: `SINGLE` is true for f32 only, so this cast changes no type.
            let job = unsafe { &*std::ptr::from_ref(job).cast::<Products<'_, f32>>() };
            // SAFETY: `level` saw AVX-512; `check` proved every access in bounds.
            return unsafe { super::avx512::correlate_products(job, out.as_mut_ptr().cast(), stride) };
        }
        Level::Avx2 if T::SINGLE => {
            // SAFETY: `SINGLE` is true for f32 only, so this cast changes no type.
            let job = unsafe { &*std::ptr::from_ref(job).cast::<Products<'_, f32>>() };
            // SAFETY: `level` saw AVX2 and FMA; `check` proved every access in bounds.
            return unsafe { super::avx2::correlate_products(job, out.as_mut_ptr().cast(), stride) };
        }
        Level::Avx512 | Level::Avx2 => {
            // SAFETY: `level` saw AVX2 and FMA (every AVX-512 processor has them).
            return unsafe { products_avx2(job, out, stride) };
        }
        Level::Baseline => {}
    }
    products_portable(job, out, stride);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn products_avx2<T: Real>(job: &Products<'_, T>, out: &mut [T], stride: usize) {
    products_portable(job, out, stride);
}

#[inline(always)]
fn products_portable<T: Real>(job: &Products<'_, T>, out: &mut [T], stride: usize) {
    for row in 0..job.rows {
        let a = &job.a[row * job.a_plane..];
        for (columns, out) in job.columns.chunks(4).zip(out[row * stride..][..job.columns.len()].chunks_mut(4)) {
            let mut totals = [[T::ZERO; LANES]; 4];
            for &(a_offset, b_offset) in job.vectors {
                let x = &a[a_offset as usize..a_offset as usize + LANES];
                for (totals, &column) in totals.iter_mut().zip(columns) {
                    let start = (b_offset + column) as usize;
                    let y = &job.b[start..start + LANES];
                    for i in 0..LANES {
                        totals[i] += x[i] * y[i];
                    }
                }
            }
            for (out, totals) in out.iter_mut().zip(totals) {
                *out += fold(totals);
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::contract::Seed;

    /// Whether the eight-lane kernels can run here, whatever `level` chose.
    fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    fn near(found: &[f32], wanted: &[f32]) {
        for (place, (a, b)) in found.iter().zip(wanted).enumerate() {
            assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{place}: {a} {b}");
        }
    }

    #[test]
    fn eight_lanes_correlate_as_plain_loops_do() {
        let mut rng = Seed(1).rng();
        let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.range(-1.0, 1.0)).collect() };
        for (outs, vectors) in (1..=MAX_OUTS).flat_map(|outs| [1, 2, 5, 9].map(|vectors| (outs, vectors))) {
            let (channels, plane, kernel, run) = (3, 400, 9, 200);
            let places: Vec<(u32, u32)> = (0..vectors).map(|v| (3 + 17 * v as u32, 20 * v as u32)).collect();
            let taps: Vec<(u32, u32)> = [0, 1, 2, 31, 33, 64].into_iter().zip([0, 1, 2, 4, 5, 8]).collect();
            let (source, weights) = (random(channels * plane), random(channels * kernel * outs));
            let (source, weights) = (&source[..], &weights[..]);
            let job =
                Correlation { source, plane, channels, taps: &taps, vectors: &places, weights, kernel, outs, run };
            let (mut plain, mut fast) = (vec![9.0_f32; outs * run], vec![9.0_f32; outs * run]);
            job.check(&plain);
            correlate_portable(&job, &mut plain);
            if has_avx2() {
                // SAFETY: AVX2 and FMA are there, and `check` has passed.
                unsafe { crate::nn::ops::conv::avx2::correlate(&job, fast.as_mut_ptr()) };
                near(&fast, &plain);
            }
        }
    }

    #[test]
    fn eight_lanes_sum_products_as_plain_loops_do() {
        let mut rng = Seed(2).rng();
        let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.range(-1.0, 1.0)).collect() };
        for (rows, count) in (1..=MAX_ROWS).flat_map(|rows| [1, 2, 7, 9, 27].map(|count| (rows, count))) {
            let (a, b) = (random(rows * 300), random(900));
            let columns: Vec<u32> = (0..count).map(|column| 13 * column as u32).collect();
            let vectors: Vec<(u32, u32)> = (0..6).map(|v| (40 * v, 48 * v + 1)).collect();
            let job = Products { a: &a, a_plane: 300, rows, b: &b, columns: &columns, vectors: &vectors };
            let stride = count + 2;
            let (mut plain, mut fast) = (vec![0.5_f32; rows * stride], vec![0.5_f32; rows * stride]);
            job.check(&plain, stride);
            products_portable(&job, &mut plain, stride);
            if has_avx2() {
                // SAFETY: AVX2 and FMA are there, and `check` has passed.
                unsafe { crate::nn::ops::conv::avx2::correlate_products(&job, fast.as_mut_ptr(), stride) };
                near(&fast, &plain);
            }
        }
    }
}
