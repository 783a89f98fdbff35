//! What a vectorized environment is built from.

use crate::appearance::ImageSet;
use crate::contract::{Crop, Domain, FrameChannels, Seed};
use crate::objects::ObjectModel;
use crate::render::RenderError;
use crate::scene::{CellDescription, CellError};
use crate::sim::SimConfig;
use std::sync::Arc;

/// Everything that decides what a [`super::GraspEnv`] does. The same configuration gives the same episodes and pixels.
#[derive(Clone)]
pub struct EnvConfig {
    pub cell: Arc<CellDescription>,
    pub sim: SimConfig,
    pub num_envs: usize,
    /// Edge of the square pictures, pixels.
    pub size: u32,
    /// Source domains to render; each delivers its own pair with the canonical domain. May be empty: no pictures.
    pub sources: Vec<Domain>,
    /// Images to draw and read back; the others are empty in every batch.
    pub channels: FrameChannels,
    /// Names of the cell's cameras to render from.
    pub cameras: Vec<String>,
    pub crop: Crop,
    /// Episodes draw their objects from these.
    pub objects: Vec<Arc<ObjectModel>>,
    /// The user's texture images for the randomized domains.
    pub textures: Arc<ImageSet>,
    pub seed: Seed,
    /// Smooth edges; see [`crate::render::RenderConfig::smooth_edges`].
    pub smooth_edges: bool,
}

impl EnvConfig {
    /// Robot 1's cell with the over-the-shoulder camera in one source domain.
    pub fn new(objects: Vec<Arc<ObjectModel>>, source: Domain, num_envs: usize, size: u32, seed: Seed) -> Self {
        Self {
            cell: Arc::new(CellDescription::iiwa_bin()),
            sim: SimConfig::default(),
            num_envs,
            size,
            sources: vec![source],
            channels: FrameChannels::default(),
            cameras: vec!["over-the-shoulder".to_owned()],
            crop: Crop::Centre,
            objects,
            textures: Arc::default(),
            seed,
            smooth_edges: true,
        }
    }

    /// # Errors
    /// The first impossible value, and what is possible.
    pub fn validate(&self) -> Result<(), EnvError> {
        self.cell.validate()?;
        let limit = |what, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(EnvError::OutOfRange { what, value, low, high }) }
        };
        limit("environments", self.num_envs, 1, 4096)?;
        limit("the picture size", self.size as usize, 16, 2048)?;
        if self.objects.is_empty() {
            return Err(EnvError::NoObjects);
        }
        for name in &self.cameras {
            if !self.cell.cameras.iter().any(|camera| camera.name == *name) {
                let known: Vec<&str> = self.cell.cameras.iter().map(|camera| camera.name.as_str()).collect();
                return Err(EnvError::UnknownCamera { name: name.clone(), known: known.join(", ") });
            }
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    #[error("{what} must be from {low} to {high}, not {value}")]
    OutOfRange { what: &'static str, value: usize, low: usize, high: usize },
    #[error("there are no objects to put into the bin; give at least one")]
    NoObjects,
    #[error("the cell has no camera '{name}'; it has {known}")]
    UnknownCamera { name: String, known: String },
    #[error("{got} actions for {expected} environments; pass one for each")]
    Actions { got: usize, expected: usize },
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error(transparent)]
    Render(#[from] RenderError),
}
