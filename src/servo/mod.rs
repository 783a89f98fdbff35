//! Visual servoing of a planar eye-in-hand camera (Pedersen et al., 2020, section II-C): plain mathematics, usable by itself.
//!
//! In: a binary mask of the object at every control tick, and the object's distance. Out: the camera's velocity in its own
//! frame (OpenCV: x right, y down, z forward), and the state of the run. Nothing here knows a simulator or a network.
//!
//! The chain, one file each: [`mask`] and [`morphology`] clean the segmentation, [`components`] keeps its largest part,
//! [`tracker`] refuses parts whose size jumps, [`moments`] and [`border`] measure centroid and orientation, [`law`] and
//! [`gain`] turn the error into a velocity as ViSP does, [`controller`] runs the two steps (linear, then full).
//!
//! ```
//! use bingrasp::servo::{Mask, PixelCamera, Servo, ServoConfig, Target};
//!
//! let camera = PixelCamera::centred(64, 64, 82.71);
//! // The gripper closes 45 mm beside the camera (along y), above an object 0.38 m away, across its longer axis.
//! let target = Target::from_offset([0.0, 0.045], 0.38, 0.0);
//! let mut servo = Servo::new(ServoConfig::default(), camera, target)?;
//! let mask = Mask::from_fn(64, 64, |column, row| (30..50).contains(&column) && (10..20).contains(&row));
//! let tick = servo.step(&mask, 0.38)?;
//! assert!(tick.velocity.vx > 0.0 && tick.velocity.vy < 0.0);
//! # Ok::<(), bingrasp::servo::ServoError>(())
//! ```

#![warn(missing_docs)]

pub mod border;
pub mod classical;
pub mod components;
pub mod controller;
pub mod error;
pub mod features;
pub mod gain;
pub mod law;
pub mod mask;
pub mod moments;
pub mod morphology;
pub mod tracker;

#[cfg(test)]
mod closed_loop_tests;
#[cfg(test)]
mod visp_tests;

pub use components::{Component, largest_component};
pub use controller::{Phase, Servo, ServoConfig, ServoTick};
pub use error::ServoError;
pub use features::{Features, PixelCamera, Target, object_distance};
pub use gain::AdaptiveGain;
pub use law::{CameraVelocity, Law, PoseError};
pub use mask::Mask;
pub use moments::{MomentSource, Moments};
pub use tracker::{Tracker, TrackerConfig, Tracking};
