//! How the process holds on to memory.

/// Keeps freed memory for the next batch in place of giving it back to the system: pictures and tensors of the same sizes
/// come and go many times a second, and fresh pages cost more than the pixels written into them (13% of a capture on a
/// software adapter). Does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: libc::c_int = 1 << 30;
        // SAFETY: mallopt only stores numbers in the allocator's settings; it is called before other threads start.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        }
    }
}
