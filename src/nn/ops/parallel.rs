//! Running independent tasks on all cores, with results that do not depend on how many there are.
//!
//! The rule everywhere in `ops`: the split into tasks is a function of the shapes alone, every output element is
//! written by exactly one task, and partial sums are added in task order.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::real::Real;

/// Runs `task(0..count)`, in parallel when that can help.
pub fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    match count {
        0 => {}
        1 => task(0),
        _ => (0..count).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// Runs `task` over contiguous ranges of `0..len`, each of about `grain` elements.
pub fn for_ranges(len: usize, grain: usize, task: impl Fn(std::ops::Range<usize>) + Sync + Send) {
    let grain = grain.max(1);
    for_each(len.div_ceil(grain), |i| task(i * grain..((i + 1) * grain).min(len)));
}

/// Elements a task should at least have when the work per element is an addition or so: below it, waking another
/// core costs more than it saves.
pub const ELEMENTWISE_GRAIN: usize = 1 << 16;

/// A mutable slice that several tasks write disjoint parts of.
pub struct Shared<'a, T> {
    pointer: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the tasks that share it write disjoint ranges (the contract of `Shared::range`).
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// The elements `start..start + len`, for writing.
    ///
    /// # Safety
    /// No two ranges that are alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)] // Disjointness is the caller's promise; that is what this type is for.
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start + len <= self.len, "range {start}+{len} of {}", self.len);
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), len) }
    }
}

/// Sums `parts` equally long pieces of `partial` into `total` (added to it when `accumulate`), always in order.
pub fn reduce_in_order<T: Real>(partial: &[T], parts: usize, total: &mut [T], accumulate: bool) {
    let len = total.len();
    assert_eq!(partial.len(), parts * len);
    let shared = Shared::new(total);
    for_ranges(len, ELEMENTWISE_GRAIN / parts.max(1), |range| {
        // SAFETY: `for_ranges` hands out disjoint ranges.
        let total = unsafe { shared.range(range.start, range.len()) };
        if !accumulate {
            total.copy_from_slice(&partial[range.clone()]);
        }
        for part in usize::from(!accumulate)..parts {
            super::simd::add_assign(total, &partial[part * len + range.start..part * len + range.end]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        let mut hits = vec![0_u32; 1000];
        let shared = Shared::new(&mut hits);
        for_ranges(1000, 7, |range| {
            // SAFETY: the ranges are disjoint.
            unsafe { shared.range(range.start, range.len()) }.iter_mut().for_each(|x| *x += 1);
        });
        assert!(hits.iter().all(|&x| x == 1));
    }

    #[test]
    fn reduction_adds_all_parts() {
        let partial: Vec<f64> = (0..12).map(f64::from).collect();
        let mut total = vec![100.0; 4];
        reduce_in_order(&partial, 3, &mut total, false);
        assert_eq!(total, [0.0 + 4.0 + 8.0, 1.0 + 5.0 + 9.0, 2.0 + 6.0 + 10.0, 3.0 + 7.0 + 11.0]);
        reduce_in_order(&partial, 3, &mut total, true);
        assert_eq!(total[0], 24.0);
    }
}
