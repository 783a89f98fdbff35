//! How good is it? Fixed-seed protocols, metrics, tables with confidence intervals.

pub mod metrics;
pub mod translation;
