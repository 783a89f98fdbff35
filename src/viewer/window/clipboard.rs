//! The system's clipboard.

use std::io::Write;
use std::process::{Command, Stdio};

/// Hands text to the system's clipboard by the program that it has for that. False when it has none.
pub(super) fn copy(text: &str) -> bool {
    const PROGRAMS: [(&str, &[&str]); 5] = [
        ("wl-copy", &[]),
        ("xclip", &["-selection", "clipboard"]),
        ("xsel", &["--clipboard", "--input"]),
        ("pbcopy", &[]),
        ("clip", &[]),
    ];
    PROGRAMS.iter().any(|(program, arguments)| {
        let quiet = Command::new(program)
            .args(*arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = quiet else { return false };
        let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
        // It may live on as the owner of the selection; a thread waits for it.
        std::thread::spawn(move || child.wait());
        written
    })
}
