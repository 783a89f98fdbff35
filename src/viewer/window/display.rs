//! Whether there is a window system, found out before winit does, which would panic.

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no window system ({0}); without one, `bingrasp view --screenshot FILE --ticks N` writes what the window \
     would show, `xvfb-run bingrasp view` opens it on a virtual display, and `bingrasp dataset` writes pictures"
)]
pub struct NoWindow(String);

/// Looks for the display that the environment names.
///
/// # Errors
/// No display is named, or the one that is does not answer.
pub(super) fn check_display() -> Result<(), NoWindow> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let Some(display) = std::env::var("DISPLAY").ok().filter(|name| !name.is_empty()) else {
        return Err(NoWindow("DISPLAY is not set".to_owned()));
    };
    // Local displays have a socket; others are tried by winit.
    let number = display.strip_prefix("unix:").or(display.strip_prefix(':'));
    let number = number.map(|rest| rest.split('.').next().unwrap_or_default());
    #[cfg(unix)]
    if let Some(number) = number {
        let path = format!("/tmp/.X11-unix/X{number}");
        let reachable = std::os::unix::net::UnixStream::connect(&path).is_ok() || abstract_socket(&path);
        if !reachable {
            return Err(NoWindow(format!("the display {display} does not answer")));
        }
    }
    Ok(())
}

/// X servers also listen without a file.
#[cfg(target_os = "linux")]
fn abstract_socket(path: &str) -> bool {
    use std::os::linux::net::SocketAddrExt;
    std::os::unix::net::SocketAddr::from_abstract_name(path)
        .is_ok_and(|address| std::os::unix::net::UnixStream::connect_addr(&address).is_ok())
}

#[cfg(all(unix, not(target_os = "linux")))]
fn abstract_socket(_path: &str) -> bool {
    false
}
