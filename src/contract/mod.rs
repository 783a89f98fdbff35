//! Plain data and small traits that every room shares. Nothing here names Bevy, Candle or wgpu.
//!
//! Conventions, everywhere in the program:
//! - lengths are metres, angles radians, masses kilograms, times seconds unless a name says otherwise;
//! - the world is right-handed with z up; the origin is the robot's base on the floor;
//! - camera frames follow OpenCV: x right, y down, z forward (depth is the z coordinate);
//! - a transform `a_from_b` maps coordinates in `b` to coordinates in `a`;
//! - image batches are contiguous `[n, height, width, channels]`, 8-bit sRGB.

pub mod action;
pub mod camera;
pub mod channels;
pub mod domain;
pub mod frame;
pub mod pose;
pub mod seed;
pub mod visual;

pub use action::{Action, GripperCommand, GripperState, Step};
pub use camera::{Camera, Crop, Intrinsics};
pub use channels::{FrameChannels, MissingChannels};
pub use domain::Domain;
pub use frame::FrameBatch;
pub use pose::Pose;
pub use seed::{Rng, Seed};
pub use visual::{Class, MeshData, Shape, Surface, VisualPart};
