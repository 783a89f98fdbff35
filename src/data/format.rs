//! The version of what lies on disk, read before anything else of a file.

use serde::Deserialize;

/// The keys that say which program wrote a file, and in which format. All others are left alone.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FormatVersion {
    pub format_version: u32,
    #[serde(default)]
    pub program: String,
}

impl FormatVersion {
    /// Refuses formats other than `expected`. `cure` says how to get data of this format.
    ///
    /// # Errors
    /// A sentence that names both formats, the program that wrote the file, and the cure.
    pub fn check(&self, expected: u32, cure: &str) -> Result<(), String> {
        let Self { format_version: found, program } = self;
        let program = if program.is_empty() { "an unknown program" } else { program };
        if *found > expected {
            return Err(format!(
                "has format {found}, written by {program}, and this program reads format {expected}; use a newer release of it"
            ));
        }
        if *found < expected {
            return Err(format!(
                "has format {found}, written by an earlier version ({program}), and this program reads format {expected}; \
                 use that version, or {cure}"
            ));
        }
        Ok(())
    }
}
