//! Visual domains as data: a seed goes in, a [`Look`] (materials, lights, jitter, camera effects) comes out.
//!
//! Nothing here draws. The renderer turns a look into pixels; [`effects`] applies what a real camera adds afterwards, and
//! [`depth_sensor`] measures depth as a real one does.

pub mod depth_sensor;
pub mod effects;
pub mod images;
pub mod look;
pub mod material;
pub mod reality;
pub mod reality_2;
pub mod textures;

pub use depth_sensor::DepthSensor;
pub use effects::CameraEffects;
pub use images::{ImageSet, ImageSetError};
pub use look::{Jitter, Light, Look, LookSeeds, MAX_OBJECTS, Surfaces};
pub use material::{Material, srgb_to_linear};
