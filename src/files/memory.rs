//! What the process takes of the machine: memory and processor time.

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

/// Memory that is resident now, GiB; 0 where the system does not tell.
pub fn resident_gib() -> f64 {
    status_gib("VmRSS:")
}

/// The most memory that was ever resident, GiB; 0 where the system does not tell.
pub fn peak_gib() -> f64 {
    status_gib("VmHWM:")
}

/// Bytes that the machine can still give without taking them from others; none where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

fn status_gib(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0 / 1024.0)
}

/// Processor seconds of all threads since the process began; 0 where the system does not tell.
pub fn processor_s() -> f64 {
    #[cfg(unix)]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: getrusage fills the structure it is given, which lives until it returns; zeros are a valid value.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
    #[cfg(not(unix))]
    0.0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_counted() {
        let before = resident_gib();
        let page = vec![1_u8; 64 << 20];
        assert!(resident_gib() - before > 0.05 && peak_gib() >= resident_gib() - 0.01);
        let begun = processor_s();
        let mut sum = 0_u64;
        while processor_s() - begun < 0.02 {
            sum = page.iter().fold(sum, |s, &b| s.wrapping_mul(31).wrapping_add(u64::from(b)));
        }
        assert_ne!(sum, 1);
    }
}
