//! The system's allocator with a limit: a parser that asks for more than it may ends the process with the place.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all live memory, bytes. Pictures may have 120 million pixels.
const LIMIT: usize = 2 << 30;

struct Limited {
    live: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Limited = Limited { live: AtomicUsize::new(0) };

impl Limited {
    fn take(&self, bytes: usize) {
        if self.live.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > LIMIT {
            // An allocator must not unwind. libFuzzer writes the stack and keeps the input.
            std::process::abort();
        }
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; only sizes are counted beside it.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.take(size);
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
