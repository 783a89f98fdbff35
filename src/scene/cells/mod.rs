//! Cells by name or TOML file.

use super::cell::CellDescription;
use std::path::Path;

/// A cell that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinCell {
    pub name: &'static str,
    /// One line for lists.
    pub about: &'static str,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CellLoadError(String);

/// The cells that the program carries.
pub const fn list() -> &'static [BuiltinCell] {
    &[BuiltinCell { name: "iiwa-bin", about: "Robot 1: a KUKA LBR iiwa over one bin with a movable divider" }]
}

/// # Errors
/// An unknown name, a file that cannot be read, a value out of range.
pub fn load(name: &str) -> Result<CellDescription, CellLoadError> {
    if name == "iiwa-bin" {
        return Ok(CellDescription::iiwa_bin());
    }
    let fail = |error: &dyn std::fmt::Display| CellLoadError(format!("cell '{name}': {error}; see `bingrasp cells list`"));
    let text = std::fs::read_to_string(Path::new(name)).map_err(|error| fail(&error))?;
    let cell: CellDescription = toml::from_str(&text).map_err(|error| fail(&error))?;
    cell.validate().map_err(|error| fail(&error))?;
    Ok(cell)
}

/// # Errors
/// None for a valid description.
pub fn to_toml(cell: &CellDescription) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(cell)
}
