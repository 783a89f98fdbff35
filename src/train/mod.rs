//! A training run on disk: run directories, checkpoints with exact resume, metrics, TensorBoard events, limits and reports.

pub mod checkpoint;
pub mod directory;
pub mod events;
pub mod limits;
pub mod metrics;
pub mod report;
pub mod tensors;

pub use checkpoint::{Checkpoint, CheckpointContent, CheckpointError, Checkpoints};
pub use directory::{Resumed, RunDir, RunError};
pub use limits::{Ended, Limits};
pub use metrics::{MetricsLine, read_metrics};
pub use report::{ReportText, write_report};
pub use tensors::{NamedTensors, TensorBytes, TensorFile, TensorKind, save_tensors};
