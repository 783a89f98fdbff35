//! Visual domains as data: a seed goes in, a [`Look`] (materials, lights, jitter, camera effects) comes out.
//!
//! Nothing here draws. The renderer turns a look into pixels; [`effects`] applies what a real camera adds afterwards.

pub mod effects;
pub mod images;
pub mod look;
pub mod material;
pub mod reality;
pub mod textures;

pub use effects::CameraEffects;
pub use images::{ImageSet, ImageSetError};
pub use look::{Jitter, Light, Look, LookSeeds, MAX_OBJECTS, Surfaces};
pub use material::Material;
