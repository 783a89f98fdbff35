//! Image translation between visual domains, on Candle.
//!
//! In: paired or unpaired frames of the simulator ([`crate::contract::FrameBatch`]). Out: generators that make images of
//! one domain look like another's, and the runs that trained them.

#![warn(missing_docs)]

pub mod cyclegan;
pub mod error;
pub mod frames;
pub mod image_pool;
pub mod images;
pub mod losses;
pub mod rcan;
pub mod semantic;

pub use frames::{BoxedSource, FrameError, FramePool, FrameSource, Prefetch};
