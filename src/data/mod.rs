//! Datasets on disk: written fast and resumably, read at random or in order, checked.

#![warn(missing_docs)]

pub mod difference;
pub mod episodes;
pub mod error;
pub(crate) mod format;
pub mod lerobot;
pub mod paired;
#[cfg(test)]
pub(crate) mod testing;

pub use error::DataError;
