//! The answer to Ctrl-C (and to the signal of a batch system): finish the step, save, leave.
//!
//! The first press sets a flag that loops ask for with [`requested`]; the second ends the process at once with exit code
//! 130. A run that was stopped either way goes on from its last checkpoint.

#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static PRESSES: Presses = Presses(AtomicU32::new(0));

/// Exit code of a program that was interrupted (128 + SIGINT).
pub const EXIT_CODE: i32 = 130;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen for Ctrl-C: {0}")]
pub struct InterruptError(#[from] ctrlc::Error);

/// What to do after a press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    AskToStop,
    ExitNow,
}

/// Stops asked for so far.
struct Presses(AtomicU32);

impl Presses {
    fn press(&self) -> Answer {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 { Answer::AskToStop } else { Answer::ExitNow }
    }

    fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    fn request(&self) {
        // Fails when a stop was asked for already, which is as good.
        let _ = self.0.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// Listens from now on; call it early. `announce` is called on the first press, from another thread, to tell the user
/// what happens; a later call replaces it, for programs of several parts.
///
/// A process that was told to outlive its terminal (`nohup`) goes on when that closes, and stops for the other signals.
///
/// # Errors
/// When the operating system refuses.
pub fn install(announce: impl Fn() + Send + 'static) -> Result<(), InterruptError> {
    let first = lock(&ANNOUNCE).replace(Box::new(announce)).is_none();
    if !first {
        return Ok(());
    }
    #[cfg(unix)]
    if ignored_signals().is_some_and(|ignored| ignores(ignored, SIGHUP)) {
        return Ok(listen_to_all_but_hangups().map_err(ctrlc::Error::System)?);
    }
    // Shells start background jobs with Ctrl-C ignored; `try_set_handler` would take that for somebody's handler.
    Ok(ctrlc::set_handler(pressed)?)
}

/// `ctrlc` takes hangups together with the rest.
#[cfg(unix)]
fn listen_to_all_but_hangups() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let listen = move || signals.forever().for_each(|_| pressed());
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

fn pressed() {
    match PRESSES.press() {
        Answer::AskToStop => {
            if let Some(announce) = &*lock(&ANNOUNCE) {
                announce();
            }
        }
        Answer::ExitNow => std::process::exit(EXIT_CODE),
    }
}

type Announce = Box<dyn Fn() + Send>;

static ANNOUNCE: Mutex<Option<Announce>> = Mutex::new(None);

fn lock(announce: &Mutex<Option<Announce>>) -> MutexGuard<'_, Option<Announce>> {
    announce.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn ignores(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

/// The signals this process was started to ignore, a bit each; `None` where the system does not tell.
#[cfg(unix)]
fn ignored_signals() -> Option<u64> {
    parse_ignored(&std::fs::read_to_string("/proc/self/status").ok()?)
}

#[cfg(unix)]
fn parse_ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// A request to stop that came while nothing could be saved yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "interrupted before the first step, where there is nothing to save yet: resume as usual, and it is played again"
)]
pub struct Interrupted;

/// Whether to stop after the current step.
pub fn requested() -> bool {
    PRESSES.requested()
}

/// Asks to stop as Ctrl-C does, from within the program (a closed window, a time limit). Never ends the process.
pub fn request() {
    PRESSES.request();
}

/// Forgets a request, before another run in the same process.
pub fn reset() {
    PRESSES.reset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_press_asks_second_leaves() {
        let presses = Presses(AtomicU32::new(0));
        assert!(!presses.requested());
        assert_eq!(presses.press(), Answer::AskToStop);
        assert!(presses.requested());
        assert_eq!(presses.press(), Answer::ExitNow);
        presses.reset();
        assert!(!presses.requested());
        // Asking from within any number of times is one request; a press after it is the second.
        presses.request();
        presses.request();
        assert!(presses.requested());
        assert_eq!(presses.press(), Answer::ExitNow);
    }

    #[cfg(unix)]
    #[test]
    fn nohup_is_recognized() {
        // As /proc/self/status shows it: plain, under nohup, started with & by a script (SIGINT and SIGQUIT).
        for (status, hangup) in [("0000000000000000", false), ("0000000000000001", true), ("0000000000000006", false)] {
            let text = format!("Name:\tbingrasp\nSigBlk:\t0000000000000001\nSigIgn:\t{status}\nSigCgt:\t0\n");
            assert_eq!(ignores(parse_ignored(&text).unwrap(), SIGHUP), hangup, "{status}");
        }
        assert_eq!(parse_ignored("Name:\tbingrasp\n"), None);
    }
}
