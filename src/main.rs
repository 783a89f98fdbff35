//! The `bingrasp` program: everything is in the library's `cli` room.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Mesa's drivers look for a Wayland display there and complain on every start where the variable is missing, as it is
    // in containers. A folder without a display says the same in silence.
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    // Mesa's cache of compiled shaders does not tell vector widths apart: after runs with another one llvmpipe takes code
    // from it that writes past its buffers.
    if std::env::var_os("LP_NATIVE_VECTOR_WIDTH").is_some() {
        for disable in ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"] {
            if std::env::var_os(disable).is_none() {
                // SAFETY: no other thread runs yet that could read the environment.
                unsafe { std::env::set_var(disable, "true") };
            }
        }
    }
    bingrasp::cli::main()
}
