//! What can go wrong with a dataset, always with the file, the place in it and the cure.

use crate::draw::png::PngError;
use crate::files::atomic::FileError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] crate::files::lock::LockError),
    #[error(
        "'{}' already holds files; choose another folder, remove it, or add --resume to go on with what is there",
        .0.display()
    )]
    Exists(PathBuf),
    #[error("'{}' already holds files; choose another folder or remove it", .0.display())]
    Occupied(PathBuf),
    #[error("'{}' holds no dataset (it has no dataset.toml); was the generation started with another folder?", .0.display())]
    NoDataset(PathBuf),
    #[error("'{}': {message}", path.display())]
    Config { path: PathBuf, message: String },
    #[error(
        "cannot go on with '{}': it was started with other settings ({difference}); use the same settings, or another \
         folder",
        path.display()
    )]
    Differs { path: PathBuf, difference: String },
    #[error("'{}' is damaged: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error("'{}': {source}", path.display())]
    Png { path: PathBuf, source: PngError },
    /// The caller handed over something that does not belong into this dataset.
    #[error("{0}")]
    Input(String),
}

impl DataError {
    pub fn damaged(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), message: message.into() }
    }
}
