//! The answer to Ctrl-C (and to the signal of a batch system): finish the step, save, leave.
//!
//! The first press sets a flag that loops ask for with [`requested`]; the second ends the process at once with exit code
//! 130. A run that was stopped either way goes on from its last checkpoint.

use std::sync::atomic::{AtomicU32, Ordering};

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

/// Listens from now on; call it once, early. `announce` is called on the first press, from another thread, to tell the
/// user what happens.
///
/// # Errors
/// When the operating system refuses, or this was called before.
pub fn install(announce: impl Fn() + Send + 'static) -> Result<(), InterruptError> {
    let handler = move || match PRESSES.press() {
        Answer::AskToStop => announce(),
        Answer::ExitNow => std::process::exit(EXIT_CODE),
    };
    // Takes over also where the signal was ignored: shells start background jobs like that.
    Ok(ctrlc::set_handler(handler)?)
}

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
}
