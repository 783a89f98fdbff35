//! Plain data and small traits that every room shares. Nothing here names Bevy, Candle or wgpu.
//!
//! Conventions, everywhere in the program:
//! - lengths are metres, angles radians, masses kilograms, times seconds unless a name says otherwise;
//! - the world is right-handed with z up; the origin is the robot's base on the floor;
//! - camera frames follow OpenCV: x right, y down, z forward (depth is the z coordinate);
//! - a transform `a_from_b` maps coordinates in `b` to coordinates in `a`;
//! - image batches are contiguous `[n, height, width, channels]`, 8-bit sRGB.

#![warn(missing_docs)]

pub mod action;
pub mod action_space;
pub mod camera;
pub mod channels;
pub mod depth;
pub mod domain;
pub mod episode;
pub mod frame;
pub mod observation;
pub mod policy;
pub mod pose;
pub mod privileged;
pub mod seed;
pub mod srgb;
pub mod task;
pub mod vec_env;
pub mod visual;

pub use action::{Action, Displacement, EMPTY_APERTURE_M, Failure, GripperCommand, GripperState, Step};
pub use action_space::{ActionFeatures, ActionSpace};
pub use camera::{Camera, Crop, Intrinsics};
pub use channels::{FrameChannels, MissingChannels};
pub use depth::fill_holes;
pub use domain::Domain;
pub use episode::{Episode, EpisodeCollector, EpisodeObservation, EpisodePlan, EpisodeStep};
pub use frame::FrameBatch;
pub use observation::Observation;
pub use policy::{ActRequest, Decision, Policy, ScriptPolicy};
pub use pose::Pose;
pub use privileged::{Privileged, PrivilegedAccess, PrivilegedState};
pub use seed::{Rng, Seed};
pub use task::TaskKind;
pub use vec_env::{ImageAdapter, Reset, Script, Start, StepBatch, VecEnv, VecEnvError};
pub use visual::{Class, MeshData, Shape, Surface, VisualPart};
