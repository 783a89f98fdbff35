//! The ground floor: files and folders that are written whole or not at all, folder locks, the answer to Ctrl-C, and the
//! process's own figures. Depends on nothing of ours.

pub mod atomic;
pub mod console;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub mod names;
pub mod paths;
