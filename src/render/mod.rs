//! The tiled renderer: every environment is a tile of one atlas, every domain a target of one pass.
//!
//! In: [`SceneView`]s (parts, poses, a camera, a look). Out: a [`crate::contract::FrameBatch`] that shows exactly those
//! states when the call returns. It runs on Bevy's wgpu device when there is a window and on its own otherwise.

pub mod gpu;
mod instances;
mod meshes;
mod pipelines;
mod readback;
mod renderer;
mod scene_view;
mod slot;
mod smooth;
mod targets;

pub use gpu::{AdapterDescription, Gpu, RenderError};
pub use renderer::{RenderConfig, TiledRenderer};
pub use scene_view::{SceneBounds, SceneView};
