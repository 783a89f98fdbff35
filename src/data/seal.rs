//! A checksum of settings inside the file that holds them: `settings_sha256`. Checksums of data lie in a list, whose own
//! checksum is in the settings; this one closes the chain.

use crate::files::atomic::sha256_hex;
use serde::Serialize;

/// Settings with a place for their checksum, which is filled only while they are written and read.
pub(super) trait Sealed: Clone + Serialize {
    fn seal(&mut self) -> &mut Option<String>;

    /// As TOML, with the SHA-256 of the TOML without it.
    ///
    /// # Errors
    /// Settings that TOML cannot hold.
    fn to_sealed_toml(&self) -> Result<String, toml::ser::Error> {
        let mut sealed = self.clone();
        *sealed.seal() = None;
        let sha256 = sha256_hex(toml::to_string(&sealed)?.as_bytes());
        *sealed.seal() = Some(sha256);
        toml::to_string(&sealed)
    }

    /// Compares the checksum of settings that were read, and takes it out. Earlier versions wrote none.
    ///
    /// # Errors
    /// A sentence for what was changed since.
    fn check_seal(&mut self) -> Result<(), String> {
        let Some(expected) = self.seal().take() else { return Ok(()) };
        let text = toml::to_string(self).map_err(|error| error.to_string())?;
        if sha256_hex(text.as_bytes()) == expected {
            return Ok(());
        }
        Err("has changed since it was written: its settings do not fit settings_sha256; copy the file again, or remove that \
             line if you changed it yourself"
            .into())
    }
}
