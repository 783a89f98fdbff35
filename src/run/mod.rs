//! A training run on disk: files written whole or not at all, run directories, checkpoints with exact resume, metrics,
//! TensorBoard events, reports and the answer to Ctrl-C.

pub mod atomic;
pub mod checkpoint;
pub mod console;
pub mod directory;
pub mod events;
pub mod interrupt;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod paths;
pub mod report;
pub mod tensors;

pub use checkpoint::{Checkpoint, CheckpointContent, CheckpointError, Checkpoints};
pub use directory::{Resumed, RunDir, RunError};
pub use limits::{Ended, Limits};
pub use metrics::{MetricsLine, read_metrics};
pub use report::{ReportText, write_report};
pub use tensors::{NamedTensors, TensorBytes, TensorFile, TensorKind, save_tensors};
