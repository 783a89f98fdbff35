//! Sentences for people. Standard error may be closed, full or gone (`2>/dev/full`, a closed pipe, a lost terminal): what is
//! said there is a courtesy, and the work goes on without it. The macros of the standard library would panic instead;
//! clippy refuses them in this crate.

use std::fmt::Display;
use std::io::Write;

/// One line on standard error.
pub fn remark(text: impl Display) {
    say(&mut std::io::stderr().lock(), text);
}

/// One line on standard error that begins with `warning:`.
pub fn warn(text: impl Display) {
    remark(format_args!("warning: {text}"));
}

/// Each of these as a warning.
pub fn warn_all<T: Display>(warnings: impl IntoIterator<Item = T>) {
    warnings.into_iter().for_each(warn);
}

/// One line on standard output, which is what was asked for.
///
/// # Errors
/// Nobody takes it: a closed pipe, a full disk.
pub fn print_line(text: impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// An error with its causes, each said once: many errors name their cause in their own text, and some do not.
pub fn with_causes<'a>(chain: impl IntoIterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut text = String::new();
    for cause in chain {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(cause.trim()) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn say(to: &mut dyn Write, text: impl Display) {
    // In one piece, so that lines of several threads do not mix.
    let _ = to.write_all(format!("{text}\n").as_bytes()).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot open 'a': {source}")]
        Says { source: std::io::Error },
        #[error("cannot go on")]
        Keeps { source: std::io::Error },
    }

    #[test]
    fn causes_are_said_once() {
        let chain = |error: &(dyn std::error::Error + 'static)| {
            let mut chain: Vec<&(dyn std::error::Error + 'static)> = vec![error];
            while let Some(cause) = chain[chain.len() - 1].source() {
                chain.push(cause);
            }
            with_causes(chain)
        };
        let missing = || std::io::Error::from_raw_os_error(2);
        let once = "No such file or directory (os error 2)";
        assert_eq!(chain(&Outer::Says { source: missing() }), format!("cannot open 'a': {once}"));
        assert_eq!(chain(&Outer::Keeps { source: missing() }), format!("cannot go on: {once}"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_or_closed_stream_is_no_error() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there on Linux");
        assert!(full.write_all(b"x").is_err());
        say(&mut full, "nobody reads this");
        let mut closed = std::fs::File::open("/dev/null").expect("there");
        assert!(closed.write_all(b"x").is_err(), "opened for reading only");
        say(&mut closed, "nor this");
        let mut heard = Vec::new();
        say(&mut heard, format_args!("{} of {}", 1, 2));
        assert_eq!(heard, b"1 of 2\n");
    }
}
