//! Limits that the system puts on a process (`ulimit`, control groups): named, where they would otherwise end in a signal
//! or a panic of a library.

use crate::files::atomic::human_bytes;
use crate::files::console;
use std::any::Any;
use std::panic::PanicHookInfo;

/// Drivers, thread stacks and pictures take about as much address space; less may do for small things.
const ENOUGH_ADDRESS_SPACE: u64 = 4 << 30;

/// Call it first. Files beyond the limit on their size become errors of the write instead of a signal; a small limit on
/// memory is said; threads that cannot be started end the program with a sentence.
pub fn prepare() {
    #[cfg(unix)]
    {
        // That it was sent is of no interest: the write tells. Where the system refuses, things are as they were.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(bytes) = soft_limit(&limits, "Max address space").filter(|bytes| *bytes < ENOUGH_ADDRESS_SPACE) {
        console::warn(format_args!(
            "memory is limited to {} for this program (ulimit -v); with less than {} it may not start or end early: raise \
             the limit, or work with fewer environments and smaller pictures",
            human_bytes(bytes),
            human_bytes(ENOUGH_ADDRESS_SPACE)
        ));
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| match exhausted(text_of(info.payload())) {
        Some(sentence) => {
            console::remark(format_args!("error: {sentence}"));
            std::process::exit(1);
        }
        None => usual(info),
    }));
    // Otherwise the first parallel loop would build it, and panic.
    if let Err(error) = rayon::ThreadPoolBuilder::new().build_global()
        && let Some(sentence) = exhausted(&format!("failed to spawn thread: {}", console::with_causes([&error as _])))
    {
        console::remark(format_args!("error: {sentence}"));
        std::process::exit(1);
    }
}

fn text_of(payload: &dyn Any) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("")
}

/// What a panic about the system's limits is to be told as; none for other panics, which are faults of ours.
fn exhausted(message: &str) -> Option<String> {
    let of_threads = ["spawn", "thread"].iter().any(|word| message.contains(word));
    // EAGAIN of `pthread_create`, ENOMEM of its stack.
    let refused = ["WouldBlock", "Resource temporarily unavailable", "os error 11", "OutOfMemory", "os error 12"];
    (of_threads && refused.iter().any(|sign| message.contains(sign))).then(|| {
        format!(
            "the system lets this program start no more threads, or has no memory for them ({message}): raise the limits \
             (ulimit -u, ulimit -v, pids.max of the control group), or set RAYON_NUM_THREADS=1"
        )
    })
}

/// A soft limit in the text of `/proc/self/limits`; none where it is unlimited or not named.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max file size             4096                 unlimited            bytes     \n\
                    Max address space         512000000            unlimited            bytes     \n\
                    Max stack size            unlimited            unlimited            bytes     \n";
        assert_eq!(soft_limit(text, "Max address space"), Some(512_000_000));
        assert_eq!(soft_limit(text, "Max stack size"), None);
        assert_eq!(soft_limit("", "Max address space"), None);
    }

    #[test]
    fn only_exhaustion_is_told_as_such() {
        let spawn =
            "failed to spawn thread: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }";
        assert!(exhausted(spawn).is_some_and(|sentence| sentence.contains("ulimit -u")));
        for other in ["index out of bounds: the len is 3", "called `Option::unwrap()` on a `None` value", "spawn", ""] {
            assert_eq!(exhausted(other), None, "{other}");
        }
    }
}
