//! How good is it? Fixed-seed protocols, metrics, tables with confidence intervals.

pub mod grasp;
pub mod metrics;
pub mod protocol;
pub mod table1;
pub mod translation;
