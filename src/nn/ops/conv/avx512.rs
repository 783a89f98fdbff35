//! The inner loops of `tile` in AVX-512: two fused multiply-adds a cycle, everything else hidden behind them.
//!
//! Register blocks hold about 24 accumulators of 16 floats, which covers the latency of both multiply-add pipes and
//! leaves registers for the operands.

use std::arch::x86_64::*;

use super::super::simd::LANES;
use super::tile::{Correlation, Products};

/// # Safety
/// AVX-512F must be available, and `Correlation::check` must have passed for a slice at `out`.
#[target_feature(enable = "avx512f")]
pub unsafe fn correlate(job: &Correlation<'_, f32>, out: *mut f32) {
    // SAFETY: the caller's promise is handed on; the const parameters only choose the register block.
    unsafe {
        match job.outs {
            1 => rows::<1, 8>(job, out),
            2 => rows::<2, 8>(job, out),
            3 => rows::<3, 8>(job, out),
            4 => rows::<4, 6>(job, out),
            5 => rows::<5, 5>(job, out),
            6 => rows::<6, 4>(job, out),
            7 => rows::<7, 4>(job, out),
            _ => rows::<8, 3>(job, out),
        }
    }
}

/// All vectors of the job, `V` at a time, and what is left over one by one or in smaller blocks.
///
/// # Safety
/// As [`correlate`].
#[target_feature(enable = "avx512f")]
unsafe fn rows<const OUTS: usize, const V: usize>(job: &Correlation<'_, f32>, out: *mut f32) {
    let count = job.vectors.len();
    let mut first = 0;
    // SAFETY: `first + block size <= count` holds at every call.
    unsafe {
        while first + V <= count {
            block::<OUTS, V>(job, first, out);
            first += V;
        }
        let rest = count - first;
        if rest >= 4 {
            block::<OUTS, 4>(job, first, out);
            first += 4;
        }
        match count - first {
            3 => block::<OUTS, 3>(job, first, out),
            2 => block::<OUTS, 2>(job, first, out),
            1 => block::<OUTS, 1>(job, first, out),
            _ => {}
        }
    }
}

/// # Safety
/// As [`correlate`], and the vectors `first..first + V` must exist.
#[target_feature(enable = "avx512f")]
unsafe fn block<const OUTS: usize, const V: usize>(job: &Correlation<'_, f32>, first: usize, out: *mut f32) {
    let mut totals = [[_mm512_setzero_ps(); V]; OUTS];
    let mut offsets = [0_usize; V];
    for (offset, &vector) in offsets.iter_mut().zip(&job.vectors[first..first + V]) {
        *offset = vector as usize;
    }
    let mut weights = job.weights.as_ptr();
    // SAFETY: `check` bounded the last read of source and weights, and every write of `out`.
    unsafe {
        for channel in 0..job.channels {
            let base = job.source.as_ptr().add(channel * job.plane);
            for &tap in job.taps {
                let source = base.add(tap as usize);
                let mut x = [_mm512_setzero_ps(); V];
                for v in 0..V {
                    x[v] = _mm512_loadu_ps(source.add(offsets[v]));
                }
                for o in 0..OUTS {
                    let w = _mm512_set1_ps(*weights.add(o));
                    for v in 0..V {
                        totals[o][v] = _mm512_fmadd_ps(w, x[v], totals[o][v]);
                    }
                }
                weights = weights.add(OUTS);
            }
        }
        let stride = job.vectors.len() * LANES;
        for o in 0..OUTS {
            for v in 0..V {
                _mm512_storeu_ps(out.add(o * stride + (first + v) * LANES), totals[o][v]);
            }
        }
    }
}

/// # Safety
/// AVX-512F must be available, and `Products::check` must have passed for a slice at `out`.
#[target_feature(enable = "avx512f")]
pub unsafe fn correlate_products(job: &Products<'_, f32>, out: *mut f32, stride: usize) {
    // SAFETY: the caller's promise is handed on; the const parameters only choose the register block.
    unsafe {
        match job.rows {
            1 => columns::<1, 12>(job, out, stride),
            2 => columns::<2, 10>(job, out, stride),
            3 => columns::<3, 8>(job, out, stride),
            4 => columns::<4, 6>(job, out, stride),
            _ => columns::<5, 5>(job, out, stride),
        }
    }
}

/// # Safety
/// As [`correlate_products`].
#[target_feature(enable = "avx512f")]
unsafe fn columns<const I: usize, const J: usize>(job: &Products<'_, f32>, out: *mut f32, stride: usize) {
    let a = job.a.as_ptr();
    let b = job.b.as_ptr();
    let mut first = 0;
    while first < job.columns.len() {
        let count = (job.columns.len() - first).min(J);
        // The last block repeats its last column rather than having a kernel of its own.
        let mut starts = [b; J];
        for (j, start) in starts.iter_mut().enumerate() {
            // SAFETY: `check` bounded every column offset.
            *start = unsafe { b.add(job.columns[first + j.min(count - 1)] as usize) };
        }
        let mut totals = [[_mm512_setzero_ps(); J]; I];
        for &(a_offset, b_offset) in job.vectors {
            let (a_offset, b_offset) = (a_offset as usize, b_offset as usize);
            let mut x = [_mm512_setzero_ps(); I];
            for i in 0..I {
                // SAFETY: `check` bounded the last row at the last vector.
                x[i] = unsafe { _mm512_loadu_ps(a.add(i * job.a_plane + a_offset)) };
            }
            for j in 0..J {
                // SAFETY: `check` bounded the largest column at the last vector.
                let y = unsafe { _mm512_loadu_ps(starts[j].add(b_offset)) };
                for i in 0..I {
                    totals[i][j] = _mm512_fmadd_ps(x[i], y, totals[i][j]);
                }
            }
        }
        for (i, totals) in totals.iter().enumerate() {
            for (j, &total) in totals.iter().enumerate().take(count) {
                // SAFETY: `check` bounded `out` for every row and column.
                unsafe { *out.add(i * stride + first + j) += _mm512_reduce_add_ps(total) };
            }
        }
        first += count;
    }
}
