//! The inner loops of `tile` with AVX2's eight lanes and fused multiply-adds: most processors without AVX-512.
//!
//! There are 16 registers. Blocks hold 8 to 12 accumulators, which cover the latency of both multiply-add pipes, and leave
//! room for the operands. A vector of `LANES` floats is two registers.

use std::arch::x86_64::*;

use super::super::simd::LANES;
use super::tile::{Correlation, Products};

/// Registers of a vector.
const PARTS: usize = LANES / WIDTH;
/// Floats of a register.
const WIDTH: usize = 8;

/// # Safety
/// AVX2 and FMA must be available, and `Correlation::check` must have passed for a slice at `out`.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn correlate(job: &Correlation<'_, f32>, out: *mut f32) {
    let mut first = 0;
    while first < job.outs {
        let left = job.outs - first;
        let count = if left > 6 { 4 } else { left };
        // SAFETY: the caller's promise is handed on, for the outputs `first..first + count`.
        unsafe {
            match count {
                1 => rows::<1, 4>(job, first, out),
                2 => rows::<2, 3>(job, first, out),
                3 => rows::<3, 2>(job, first, out),
                4 => rows::<4, 1>(job, first, out),
                5 => rows::<5, 1>(job, first, out),
                _ => rows::<6, 1>(job, first, out),
            }
        }
        first += count;
    }
}

/// All vectors of the job, `V` at a time, and what is left over one by one.
///
/// # Safety
/// As [`correlate`], and the outputs `first_out..first_out + OUTS` must exist.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const OUTS: usize, const V: usize>(job: &Correlation<'_, f32>, first_out: usize, out: *mut f32) {
    let count = job.vectors.len();
    let whole = count - count % V;
    // SAFETY: `first + block size <= count` holds at every call.
    unsafe {
        for first in (0..whole).step_by(V) {
            block::<OUTS, V>(job, (first_out, first), out);
        }
        for first in whole..count {
            block::<OUTS, 1>(job, (first_out, first), out);
        }
    }
}

/// # Safety
/// As [`rows`], and the vectors `first..first + V` must exist.
#[target_feature(enable = "avx2,fma")]
unsafe fn block<const OUTS: usize, const V: usize>(
    job: &Correlation<'_, f32>,
    (first_out, first): (usize, usize),
    out: *mut f32,
) {
    let mut totals = [[[_mm256_setzero_ps(); PARTS]; V]; OUTS];
    let mut offsets = [0_usize; V];
    for (offset, &(vector, _)) in offsets.iter_mut().zip(&job.vectors[first..first + V]) {
        *offset = vector as usize;
    }
    // SAFETY: `check` bounded the last read of source and weights, and every write of `out`.
    unsafe {
        for channel in 0..job.channels {
            let base = job.source.as_ptr().add(channel * job.plane);
            let weights = job.weights.as_ptr().add(channel * job.kernel * job.outs + first_out);
            for &(tap, place) in job.taps {
                let source = base.add(tap as usize);
                let weights = weights.add(place as usize * job.outs);
                let mut x = [[_mm256_setzero_ps(); PARTS]; V];
                for v in 0..V {
                    for part in 0..PARTS {
                        x[v][part] = _mm256_loadu_ps(source.add(offsets[v] + part * WIDTH));
                    }
                }
                for o in 0..OUTS {
                    let w = _mm256_broadcast_ss(&*weights.add(o));
                    for v in 0..V {
                        for part in 0..PARTS {
                            totals[o][v][part] = _mm256_fmadd_ps(w, x[v][part], totals[o][v][part]);
                        }
                    }
                }
            }
        }
        for v in 0..V {
            let target = job.vectors[first + v].1 as usize;
            for o in 0..OUTS {
                for part in 0..PARTS {
                    let place = (first_out + o) * job.run + target + part * WIDTH;
                    _mm256_storeu_ps(out.add(place), totals[o][v][part]);
                }
            }
        }
    }
}

/// # Safety
/// AVX2 and FMA must be available, and `Products::check` must have passed for a slice at `out`.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn correlate_products(job: &Products<'_, f32>, out: *mut f32, stride: usize) {
    // SAFETY: the caller's promise is handed on; the const parameters only choose the register block.
    unsafe {
        match job.rows {
            1 => columns::<1, 8>(job, out, stride),
            2 => columns::<2, 5>(job, out, stride),
            3 => columns::<3, 4>(job, out, stride),
            4 => columns::<4, 2>(job, out, stride),
            _ => columns::<5, 2>(job, out, stride),
        }
    }
}

/// # Safety
/// As [`correlate_products`].
#[target_feature(enable = "avx2,fma")]
unsafe fn columns<const I: usize, const J: usize>(job: &Products<'_, f32>, out: *mut f32, stride: usize) {
    let mut first = 0;
    while first < job.columns.len() {
        let count = (job.columns.len() - first).min(J);
        // The last block repeats its last column rather than having a kernel of its own.
        let mut starts = [job.b.as_ptr(); J];
        for (j, start) in starts.iter_mut().enumerate() {
            // SAFETY: `check` bounded every column offset.
            *start = unsafe { start.add(job.columns[first + j.min(count - 1)] as usize) };
        }
        // SAFETY: `check` bounded rows and columns at every vector.
        let sums = unsafe { products_block::<I, J>(job, &starts) };
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate().take(count) {
                // SAFETY: `check` bounded `out` for every row and column.
                unsafe { *out.add(i * stride + first + j) += sum };
            }
        }
        first += count;
    }
}

/// The sums of one register block over all vectors and lanes. A function of its own, so that nothing but the loop competes
/// for registers.
///
/// # Safety
/// As [`correlate_products`]; `starts` point to valid columns.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn products_block<const I: usize, const J: usize>(
    job: &Products<'_, f32>,
    starts: &[*const f32; J],
) -> [[f32; J]; I] {
    let a = job.a.as_ptr();
    let a_plane = job.a_plane;
    let starts = *starts;
    let mut totals = [[_mm256_setzero_ps(); J]; I];
    for &(a_offset, b_offset) in job.vectors {
        for part in 0..PARTS {
            let (a_offset, b_offset) = (a_offset as usize + part * WIDTH, b_offset as usize + part * WIDTH);
            let mut x = [_mm256_setzero_ps(); I];
            for i in 0..I {
                // SAFETY: `check` bounded the last row at the last vector.
                x[i] = unsafe { _mm256_loadu_ps(a.add(i * a_plane + a_offset)) };
            }
            for j in 0..J {
                // SAFETY: `check` bounded the largest column at the last vector.
                let y = unsafe { _mm256_loadu_ps(starts[j].add(b_offset)) };
                for i in 0..I {
                    totals[i][j] = _mm256_fmadd_ps(x[i], y, totals[i][j]);
                }
            }
        }
    }
    let mut sums = [[0.0; J]; I];
    for i in 0..I {
        for j in 0..J {
            sums[i][j] = sum_lanes(totals[i][j]);
        }
    }
    sums
}

/// The sum of eight lanes, pairwise.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_lanes(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
