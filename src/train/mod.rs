//! Training: the one loop ([`Trainer`]), what a learner and a source of batches show to it ([`Learner`],
//! [`BatchSource`]), and everything that a run leaves on disk.
//!
//! In: a [`RunConfig`], a learner, a source. Out: a run directory with checkpoints (exact resume), metrics, TensorBoard
//! events, pictures and a report.

#![warn(missing_docs)]

pub mod callback;
pub mod checkpoint;
pub mod directory;
pub mod env_data;
pub mod error;
pub mod events;
pub mod graph;
pub mod learner;
pub mod limits;
pub mod load;
pub mod means;
pub mod metrics;
pub mod preset;
pub mod report;
pub mod run_config;
pub mod schedule;
pub mod source;
pub mod state;
pub mod tensors;
pub mod trainer;

pub use callback::{Progress, TrainCallback};
pub use checkpoint::{Checkpoint, CheckpointContent, CheckpointError, Checkpoints};
pub use directory::{Resumed, RunDir, RunError};
pub use env_data::{EnvData, ObjectFiles};
pub use error::TrainError;
pub use graph::{GraphError, RunGraph};
pub use learner::{Learner, Metrics, Module, NamedGroup, NamedImage};
pub use limits::{Ended, Limits};
pub use load::{LoadedRun, keep_run, learner_name, load_run, run_and_step};
pub use means::Means;
pub use metrics::{MetricsLine, parse_metrics, read_metrics};
pub use preset::Preset;
pub use report::{ReportText, write_report};
pub use run_config::{LearnerConfig, RunConfig};
pub use schedule::warmup_cosine;
pub use source::{BatchSource, Evaluation, SourceState, StepProgress};
pub use tensors::{NamedTensors, TensorBytes, TensorFile, TensorKind, save_tensors};
pub use trainer::{Outcome, Trainer};

#[cfg(test)]
mod tests;
