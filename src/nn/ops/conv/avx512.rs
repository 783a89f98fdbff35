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
    for (offset, &(vector, _)) in offsets.iter_mut().zip(&job.vectors[first..first + V]) {
        *offset = vector as usize;
    }
    // SAFETY: `check` bounded the last read of source and weights, and every write of `out`.
    unsafe {
        for channel in 0..job.channels {
            let base = job.source.as_ptr().add(channel * job.plane);
            let weights = job.weights.as_ptr().add(channel * job.kernel * OUTS);
            for &(tap, place) in job.taps {
                let source = base.add(tap as usize);
                let weights = weights.add(place as usize * OUTS);
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
            }
        }
        for v in 0..V {
            let target = job.vectors[first + v].1 as usize;
            for o in 0..OUTS {
                _mm512_storeu_ps(out.add(o * job.run + target), totals[o][v]);
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

/// Most accumulators of a block.
const MAX_TOTALS: usize = 32;

#[repr(align(64))]
struct Totals([f32; MAX_TOTALS * LANES]);

/// # Safety
/// As [`correlate_products`].
#[target_feature(enable = "avx512f")]
unsafe fn columns<const I: usize, const J: usize>(job: &Products<'_, f32>, out: *mut f32, stride: usize) {
    let mut totals = Totals([0.0; MAX_TOTALS * LANES]);
    let mut sums = [0.0; MAX_TOTALS];
    let mut first = 0;
    while first < job.columns.len() {
        let count = (job.columns.len() - first).min(J);
        // The last block repeats its last column rather than having a kernel of its own.
        let mut starts = [job.b.as_ptr(); J];
        for (j, start) in starts.iter_mut().enumerate() {
            // SAFETY: `check` bounded every column offset.
            *start = unsafe { start.add(job.columns[first + j.min(count - 1)] as usize) };
        }
        // SAFETY: `check` bounded rows and columns at every vector; I * J <= MAX_TOTALS for all instances.
        unsafe { products_block::<I, J>(job, &starts, totals.0.as_mut_ptr()) };
        for (sums, totals) in sums.chunks_exact_mut(LANES).zip(totals.0.chunks_exact(LANES * LANES)) {
            // SAFETY: sixteen vectors in, sixteen floats out.
            unsafe { sum_lanes(totals.as_ptr(), sums.as_mut_ptr()) };
        }
        for i in 0..I {
            for j in 0..count {
                // SAFETY: `check` bounded `out` for every row and column.
                unsafe { *out.add(i * stride + first + j) += sums[i * J + j] };
            }
        }
        first += count;
    }
}

/// The sums of one register block, lane by lane, to `totals[I * J][LANES]`. A function of its own, so that nothing but the
/// loop competes for registers.
///
/// # Safety
/// As [`correlate_products`]; `starts` point to valid columns, and `totals` has room.
#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn products_block<const I: usize, const J: usize>(
    job: &Products<'_, f32>,
    starts: &[*const f32; J],
    totals: *mut f32,
) {
    let a = job.a.as_ptr();
    let a_plane = job.a_plane;
    let starts = *starts;
    let mut sums = [[_mm512_setzero_ps(); J]; I];
    for &(a_offset, b_offset) in job.vectors {
        let (a_offset, b_offset) = (a_offset as usize, b_offset as usize);
        let mut x = [_mm512_setzero_ps(); I];
        for i in 0..I {
            // SAFETY: `check` bounded the last row at the last vector.
            x[i] = unsafe { _mm512_loadu_ps(a.add(i * a_plane + a_offset)) };
        }
        for j in 0..J {
            // SAFETY: `check` bounded the largest column at the last vector.
            let y = unsafe { _mm512_loadu_ps(starts[j].add(b_offset)) };
            for i in 0..I {
                sums[i][j] = _mm512_fmadd_ps(x[i], y, sums[i][j]);
            }
        }
    }
    for i in 0..I {
        for j in 0..J {
            // SAFETY: the caller gave room for I * J vectors.
            unsafe { _mm512_storeu_ps(totals.add((i * J + j) * LANES), sums[i][j]) };
        }
    }
}

/// Sums each of sixteen vectors over its lanes, by transposing while adding.
///
/// # Safety
/// `vectors` points to 256 floats, `sums` to 16.
#[target_feature(enable = "avx512f")]
unsafe fn sum_lanes(vectors: *const f32, sums: *mut f32) {
    let mut quads = [_mm512_setzero_ps(); 4];
    for (q, quad) in quads.iter_mut().enumerate() {
        let mut v = [_mm512_setzero_ps(); 4];
        for (i, v) in v.iter_mut().enumerate() {
            // SAFETY: within the 256 floats.
            *v = unsafe { _mm512_loadu_ps(vectors.add((4 * q + i) * LANES)) };
        }
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        // Every 128-bit lane now holds its own four partial sums of a, b, c, d.
        *quad = _mm512_add_ps(low, high);
    }
    let fold = |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    let total = fold(fold(quads[0], quads[1]), fold(quads[2], quads[3]));
    // SAFETY: sixteen floats.
    unsafe { _mm512_storeu_ps(sums, total) };
}

/// Sixteen rows of sixteen floats become sixteen columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    let mut quads = [_mm512_setzero_ps(); LANES];
    for i in 0..4 {
        let [a, b, c, d] = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
        let pair =
            |low: bool, a, b| _mm512_castps_pd(if low { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) });
        let (ab, cd) = (pair(true, a, b), pair(true, c, d));
        quads[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        quads[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        let (ab, cd) = (pair(false, a, b), pair(false, c, d));
        quads[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        quads[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
    }
    // 128-bit lane l of `quads[4 i + c]` is column 4 l + c of rows 4 i to 4 i + 3.
    let mut columns = [_mm512_setzero_ps(); LANES];
    for c in 0..4 {
        let even = |a, b| _mm512_shuffle_f32x4::<0x88>(a, b);
        let odd = |a, b| _mm512_shuffle_f32x4::<0xdd>(a, b);
        let [a, b, d, e] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
        columns[c] = even(even(a, b), even(d, e));
        columns[4 + c] = even(odd(a, b), odd(d, e));
        columns[8 + c] = odd(even(a, b), even(d, e));
        columns[12 + c] = odd(odd(a, b), odd(d, e));
    }
    columns
}

/// `to[i * stride + lane] = planes[lane][start + i]` for `i` below `count`.
///
/// # Safety
/// AVX-512F must be available; every plane has `start + count` floats, and `to` has room for the last vector.
#[target_feature(enable = "avx512f")]
pub unsafe fn interleave(planes: &[&[f32]; LANES], start: usize, count: usize, to: *mut f32, stride: usize) {
    let mut rows = [_mm512_setzero_ps(); LANES];
    let whole = count - count % LANES;
    // SAFETY: `start + i + LANES <= start + count` in the loop; behind it the mask leaves out what lies beyond.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            for lane in 0..LANES {
                rows[lane] = _mm512_loadu_ps(planes[lane].as_ptr().add(start + i));
            }
            let columns = transpose(rows);
            for j in 0..LANES {
                _mm512_storeu_ps(to.add((i + j) * stride), columns[j]);
            }
        }
        if whole < count {
            let mask = (1 << (count - whole)) - 1;
            for lane in 0..LANES {
                rows[lane] = _mm512_maskz_loadu_ps(mask, planes[lane].as_ptr().add(start + whole));
            }
            let columns = transpose(rows);
            for j in 0..count - whole {
                _mm512_storeu_ps(to.add((whole + j) * stride), columns[j]);
            }
        }
    }
}

/// `planes[lane * count + i] = run[i * stride + lane]` for `i` below `count`.
///
/// # Safety
/// AVX-512F must be available; `run` has `(count - 1) * stride + LANES` floats and `planes` `LANES * count`.
#[target_feature(enable = "avx512f")]
pub unsafe fn separate(run: *const f32, stride: usize, count: usize, planes: *mut f32) {
    let mut rows = [_mm512_setzero_ps(); LANES];
    let whole = count - count % LANES;
    // SAFETY: as in `interleave`, with reads and writes exchanged.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            for j in 0..LANES {
                rows[j] = _mm512_loadu_ps(run.add((i + j) * stride));
            }
            let columns = transpose(rows);
            for lane in 0..LANES {
                _mm512_storeu_ps(planes.add(lane * count + i), columns[lane]);
            }
        }
        if whole < count {
            let mask = (1 << (count - whole)) - 1;
            for j in 0..count - whole {
                rows[j] = _mm512_loadu_ps(run.add((whole + j) * stride));
            }
            let columns = transpose(rows);
            for lane in 0..LANES {
                _mm512_mask_storeu_ps(planes.add(lane * count + whole), mask, columns[lane]);
            }
        }
    }
}
