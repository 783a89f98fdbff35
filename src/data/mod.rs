//! Datasets on disk: written fast and resumably, read at random or in order, checked.

#![warn(missing_docs)]

#[cfg(test)]
mod bit_flips;
pub mod difference;
pub mod episodes;
pub mod error;
pub(crate) mod format;
pub mod lerobot;
pub mod paired;
mod seal;
#[cfg(test)]
pub(crate) mod testing;

pub use error::DataError;
