//! A training run on disk: files written whole or not at all, run directories, checkpoints with exact resume, metrics,
//! TensorBoard events, reports and the answer to Ctrl-C.

pub mod atomic;
pub mod lock;
