//! Recycled memory for activations, gradients and scratch.
//!
//! The system allocator returns big blocks to the operating system at every `free`, and a training step would pay for
//! their page faults again and again. Blocks here go back to a pool, in size classes, and the pool never keeps more
//! than twice the largest amount that was in use at once. Fresh memory is zeroed; recycled memory holds stale values, so a
//! kernel that asks for a [`Buffer`] writes all of it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::real::Real;

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;
const SMALLEST: usize = 4 << 10;

#[derive(Default)]
struct Pool {
    free: BTreeMap<usize, Vec<Block>>,
    cached: usize,
    live: usize,
    peak_live: usize,
}

struct Block(NonNull<u8>);
// SAFETY: a block is owned memory without any thread affinity; whoever holds it is the only one that does.
unsafe impl Send for Block {}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), cached: 0, live: 0, peak_live: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // The pool's counters are plain numbers; a panic between two of them cannot leave a dangling block.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sizes are rounded up to an eighth of their power of two, so that a block is at most 12.5 % too large.
fn size_class(bytes: usize) -> usize {
    let bytes = bytes.max(SMALLEST);
    let step = (bytes.next_power_of_two() / 16).max(CACHE_LINE);
    bytes.div_ceil(step) * step
}

fn layout(class: usize) -> Layout {
    let align = if class >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
    // Both alignments are powers of two and classes come from real requests far below isize::MAX.
    Layout::from_size_align(class, align)
        .unwrap_or_else(|_| panic!("a block of {class} bytes is beyond the address space"))
}

fn take(class: usize) -> NonNull<u8> {
    {
        let mut pool = pool();
        pool.live += class;
        pool.peak_live = pool.peak_live.max(pool.live);
        if let Some(block) = pool.free.get_mut(&class).and_then(Vec::pop) {
            pool.cached -= class;
            return block.0;
        }
    }
    let layout = layout(class);
    // SAFETY: the layout's size is at least SMALLEST, so it is not zero.
    let pointer = unsafe { alloc_zeroed(layout) };
    let Some(pointer) = NonNull::new(pointer) else { handle_alloc_error(layout) };
    #[cfg(target_os = "linux")]
    if class >= HUGE_PAGE {
        // SAFETY: the range is ours, just allocated and aligned to the huge page; the advice changes no content, and
        // its failure only costs speed.
        unsafe { libc::madvise(pointer.as_ptr().cast(), class, libc::MADV_HUGEPAGE) };
    }
    pointer
}

fn give(pointer: NonNull<u8>, class: usize) {
    let surplus = {
        let mut pool = pool();
        pool.live -= class;
        if pool.cached + class <= 2 * pool.peak_live {
            pool.cached += class;
            pool.free.entry(class).or_default().push(Block(pointer));
            None
        } else {
            Some(pointer)
        }
    };
    if let Some(pointer) = surplus {
        // SAFETY: the block came from `alloc_zeroed` in `take` with this very layout and nobody else holds it.
        unsafe { dealloc(pointer.as_ptr(), layout(class)) };
    }
}

/// Gives every cached block back to the system and forgets the peak; what is in use stays.
pub fn release_cached() {
    let blocks = {
        let mut pool = pool();
        pool.cached = 0;
        pool.peak_live = pool.live;
        std::mem::take(&mut pool.free)
    };
    for (class, blocks) in blocks {
        for block in blocks {
            // SAFETY: as in `give`: our allocation, this layout, sole owner.
            unsafe { dealloc(block.0.as_ptr(), layout(class)) };
        }
    }
}

/// Bytes held by live buffers at the worst moment so far.
pub fn peak_bytes() -> usize {
    pool().peak_live
}

/// A slice of floats from the pool, aligned to cache lines, returned to the pool when dropped.
pub struct Buffer<T: Real> {
    pointer: NonNull<T>,
    len: usize,
    class: usize,
}

// SAFETY: a buffer owns its memory like a `Vec` does, and floats have no thread affinity.
unsafe impl<T: Real> Send for Buffer<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Real> Sync for Buffer<T> {}

impl<T: Real> Buffer<T> {
    /// `len` floats of unspecified (but initialized) content.
    pub fn stale(len: usize) -> Self {
        let class = size_class(len * size_of::<T>());
        Self { pointer: take(class).cast(), len, class }
    }

    /// `len` zeros in memory from the pool.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(T::ZERO);
        buffer
    }

    /// The same floats in memory from the pool.
    pub fn copy_of(values: &[T]) -> Self {
        let mut buffer = Self::stale(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Real> Drop for Buffer<T> {
    fn drop(&mut self) {
        give(self.pointer.cast(), self.class);
    }
}

impl<T: Real> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the block holds at least `len` floats, zeroed at first and only ever written as floats; every bit
        // pattern is a float. A block recycled from the other float type is just other floats.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl<T: Real> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_the_request_and_waste_little() {
        for bytes in [1, 4096, 4097, 10_000, 1 << 20, (1 << 20) + 1, 8_400_000, 123_456_789] {
            let class = size_class(bytes);
            assert!(class >= bytes && class % CACHE_LINE == 0, "{bytes} -> {class}");
            assert!(class as f64 <= (bytes.max(SMALLEST) as f64) * 1.126, "{bytes} -> {class}");
        }
    }

    #[test]
    fn a_dropped_block_serves_the_next_request_of_its_size() {
        // A size no other test uses, so that tests running beside this one cannot take the block.
        let len = 1_234_567;
        let mut first = Buffer::<f32>::stale(len);
        first.fill(3.0);
        let address = first.as_ptr() as usize;
        assert_eq!(address % CACHE_LINE, 0);
        drop(first);
        let second = Buffer::<f32>::stale(len);
        assert_eq!(second.as_ptr() as usize, address);
        assert!(Buffer::<f32>::zeroed(len).iter().all(|&x| x == 0.0));
    }
}
