//! What can go wrong with a dataset, always with the file, the place in it and the cure.

use crate::draw::png::PngError;
use crate::files::atomic::FileError;
use std::path::PathBuf;

/// Why a dataset or a recording cannot be written, read or continued.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused a file operation, the disk is full, or a file is longer than it can be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder cannot be locked: another process is writing there, or the lock file fails.
    #[error(transparent)]
    Lock(#[from] crate::files::lock::LockError),
    /// A dataset or recording was to begin in a folder that holds files, which may be one to resume.
    #[error(
        "'{}' already holds files; choose another folder, remove it, or add --resume to go on with what is there",
        .0.display()
    )]
    Exists(PathBuf),
    /// An export was to go into a folder that holds files; it cannot be resumed.
    #[error("'{}' already holds files; choose another folder or remove it", .0.display())]
    Occupied(PathBuf),
    /// The folder has no `dataset.toml`, so no generation was started there.
    #[error("'{}' holds no dataset (it has no dataset.toml); was the generation started with another folder?", .0.display())]
    NoDataset(PathBuf),
    /// The settings file is not UTF-8 or TOML, is of another format version, or has values out of range.
    #[error("'{}': {message}", path.display())]
    Config {
        /// The settings file.
        path: PathBuf,
        /// What is wrong with it, with the place where that is known.
        message: String,
    },
    /// A dataset was begun with other settings than those to go on with, or shards are not of one dataset.
    #[error(
        "'{}' was made with other settings ({difference}); use the same settings, or another folder",
        path.display()
    )]
    Differs {
        /// Folder of the dataset or the shard.
        path: PathBuf,
        /// The settings that differ, with both values.
        difference: String,
    },
    /// A file is not what the dataset says it is: a wrong checksum, size or number of records.
    #[error("'{}' is damaged: {message}", path.display())]
    Damaged {
        /// The file, or the folder where one is missing.
        path: PathBuf,
        /// What was found, with the place in the file.
        message: String,
    },
    /// An image of a pair cannot be decoded.
    #[error("'{}': {source}", path.display())]
    Png {
        /// The image file, or the tar with the entry's name.
        path: PathBuf,
        /// What is wrong with the PNG.
        source: PngError,
    },
    /// The caller handed over something that does not belong into this dataset.
    #[error("{0}")]
    Input(String),
}

impl DataError {
    /// A [`Self::Damaged`] of this path.
    pub fn damaged(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), message: message.into() }
    }
}
