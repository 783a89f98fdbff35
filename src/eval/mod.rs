//! How good is it? Fixed-seed protocols, metrics, tables with confidence intervals.

pub mod bars;
pub mod grasp;
pub mod metrics;
pub mod q_consistency;
pub mod semantic;
pub mod servo;
pub mod shake;
pub mod soak;
pub mod table;
pub mod translation;
pub mod unpaired;
