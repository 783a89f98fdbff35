//! One writer for a folder: a lock file that dies with its process.
//!
//! The operating system's advisory lock on `.lock` is what counts; it is released when the process ends in whatever way,
//! so that a lock is never stale. The file's text (process id) only serves the message. Where a file system knows no
//! locks, the process id is looked up instead.

use super::atomic::{FileError, is_temporary_name};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

pub const LOCK_NAME: &str = ".lock";

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "'{}' is in use by {holder}; two processes must not write into one folder: wait for it, stop it, or choose \
         another folder",
        folder.display()
    )]
    InUse { folder: PathBuf, holder: String },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, which must exist. Does not wait.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK_NAME);
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(|e| FileError::io("create the lock", &path, e))?;
            let in_use = |holder| LockError::InUse { folder: folder.into(), holder };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(in_use(describe(holder(&mut file)))),
                Err(TryLockError::Error(_)) => {
                    if let Some(pid) = holder(&mut file).filter(|&pid| pid != std::process::id() && is_alive(pid)) {
                        return Err(in_use(describe(Some(pid))));
                    }
                }
            }
            // Whoever held it may have removed the file between our opening and our locking it; then what we locked is
            // no longer what others see.
            if !is_same_file(&file, &path) {
                continue;
            }
            let text = format!("{}\n", std::process::id());
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()))
                .map_err(|e| FileError::new("write the lock", &path, text.len() as u64, e))?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Removed while still locked; a failure only leaves a file that the next one locks again.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a folder is missing, or holds nothing but a lock and torn temporary files: a place for something new.
pub fn is_vacant(folder: &Path) -> Result<bool, FileError> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        entries => entries.map_err(|e| FileError::io("list", folder, e))?,
    };
    for entry in entries {
        let name = entry.map_err(|e| FileError::io("list", folder, e))?.file_name();
        if name != LOCK_NAME && !name.to_str().is_some_and(is_temporary_name) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn describe(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

#[cfg(target_os = "linux")]
fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(not(target_os = "linux"))]
fn is_alive(_pid: u32) -> bool {
    false
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |m: std::io::Result<std::fs::Metadata>| m.ok().map(|m| (m.dev(), m.ino()));
    let ours = id(file.metadata());
    ours.is_some() && ours == id(std::fs::metadata(path))
}

#[cfg(not(unix))]
fn is_same_file(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_told_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        let error = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        assert!(!folder.path().join(LOCK_NAME).exists());
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn the_lock_of_a_dead_process_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        // A killed process leaves the file, but not the operating system's lock.
        std::fs::write(folder.path().join(LOCK_NAME), "4194999\n").unwrap();
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(LOCK_NAME)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(lock);
    }
}
