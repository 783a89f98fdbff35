//! What vectorized environments are built from.

use crate::appearance::ImageSet;
use crate::contract::{Crop, Domain, FrameChannels, PrivilegedAccess, Seed};
use crate::objects::ObjectModel;
use crate::policies::PolicyKind;
use crate::render::RenderError;
use crate::scene::{CellDescription, CellError};
use crate::sim::SimConfig;
use crate::tasks::{TaskFactory, usual};
use std::sync::Arc;

/// What environments deliver beside the gripper's state. Only what is asked for is drawn and read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// The first camera's picture in the first domain: what policies see.
    pub image: bool,
    /// The same as the domain's depth camera measures it.
    pub depth: bool,
    /// Privileged: pictures with their canonical pairs, masks and depth.
    pub frames: bool,
    /// Privileged: heights, divider, hand and grip.
    pub state: bool,
    /// Privileged: the masks of frames alone, beside the policy's picture.
    pub masks: bool,
}

impl Channels {
    pub const IMAGE: Self = Self { image: true, ..Self::NONE };
    pub const FRAMES: Self = Self { frames: true, ..Self::NONE };
    pub const NONE: Self = Self { image: false, depth: false, frames: false, state: false, masks: false };

    pub const fn with_state(self) -> Self {
        Self { state: true, ..self }
    }

    pub const fn with_depth(self) -> Self {
        Self { depth: true, ..self }
    }

    /// With masks, where they are wanted.
    pub const fn with_masks(self, wanted: bool) -> Self {
        Self { masks: wanted, ..self }
    }

    /// Whether frames are delivered, with all their images or with masks alone.
    pub(super) const fn has_frames(self) -> bool {
        self.frames || self.masks
    }

    /// The images that the renderer is to deliver.
    pub(super) fn of_frames(self) -> FrameChannels {
        let wanted = if self.frames { FrameChannels::PAIRED } else { FrameChannels::NONE };
        let (source, identity, sensed_depth) = (self.image, self.masks, self.depth);
        wanted.union(FrameChannels { source, identity, sensed_depth, ..FrameChannels::NONE })
    }

    fn draws(self) -> bool {
        !self.of_frames().is_none()
    }
}

/// What policies see, where that is not the first domain's picture: paired frames are drawn in one domain and with random
/// crops while an agent looks at another domain through the crop that it was trained with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    pub domain: Domain,
    /// Name of one of the cell's cameras.
    pub camera: String,
    pub crop: Crop,
}

/// Everything that decides what a [`super::GraspEnv`] does. The same configuration gives the same episodes and pixels.
#[derive(Clone)]
pub struct EnvConfig {
    pub cell: Arc<CellDescription>,
    pub task: TaskFactory,
    pub sim: SimConfig,
    pub num_envs: usize,
    /// Edge of the square pictures, pixels.
    pub size: u32,
    /// Domains to draw.
    pub sources: Vec<Domain>,
    pub channels: Channels,
    pub access: PrivilegedAccess,
    /// Names of the cell's cameras to draw from.
    pub cameras: Vec<String>,
    pub crop: Crop,
    /// Pictures for policies alone; none: they see the first camera's picture in the first domain.
    pub policy_view: Option<PolicyView>,
    /// Episodes draw their objects from these.
    pub objects: Vec<Arc<ObjectModel>>,
    /// What [`crate::contract::Script`] plays: environment `i` has number `i` of them, in turn.
    pub scripts: Vec<PolicyKind>,
    /// The user's texture images for the randomized domains.
    pub textures: Arc<ImageSet>,
    pub seed: Seed,
    /// Smooth edges; see [`crate::render::RenderConfig::smooth_edges`].
    pub smooth_edges: bool,
}

impl EnvConfig {
    /// A cell seen by its first camera in one domain, its usual task, images alone.
    pub fn new(
        cell: &Arc<CellDescription>,
        objects: Vec<Arc<ObjectModel>>,
        source: Domain,
        (num_envs, size): (usize, u32),
        seed: Seed,
    ) -> Self {
        Self {
            cell: Arc::clone(cell),
            task: usual(cell.task),
            sim: SimConfig::default(),
            num_envs,
            size,
            sources: vec![source],
            channels: Channels::IMAGE,
            access: PrivilegedAccess::Denied,
            cameras: cell.cameras.first().map(|camera| camera.name.clone()).into_iter().collect(),
            crop: Crop::Centre,
            policy_view: None,
            objects,
            scripts: vec![PolicyKind::default()],
            textures: Arc::default(),
            seed,
            smooth_edges: true,
        }
    }

    /// The same with paired frames in place of images.
    pub fn with_frames(self, access: PrivilegedAccess) -> Self {
        Self { channels: Channels::FRAMES, access, ..self }
    }

    /// The same without pictures: no graphics adapter is opened.
    pub fn blind(self) -> Self {
        Self { channels: Channels::NONE, policy_view: None, ..self }
    }

    pub(super) fn draws(&self) -> bool {
        self.policy_view.is_some() || (self.channels.draws() && !self.sources.is_empty())
    }

    /// # Errors
    /// The first impossible value, and what is possible; privileged channels that the leak rule forbids.
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
        for name in self.cameras.iter().chain(self.policy_view.as_ref().map(|view| &view.camera)) {
            if !self.cell.cameras.iter().any(|camera| camera.name == *name) {
                let known: Vec<&str> = self.cell.cameras.iter().map(|camera| camera.name.as_str()).collect();
                return Err(EnvError::UnknownCamera { name: name.clone(), known: known.join(", ") });
            }
        }
        if self.channels.has_frames() || self.channels.state {
            let real = self.sources.iter().find(|domain| domain.stands_for_reality());
            match (self.access, real) {
                (PrivilegedAccess::Denied, _) => return Err(EnvError::Denied),
                (PrivilegedAccess::Simulation, Some(domain)) => return Err(EnvError::LeakRule(*domain)),
                _ => {}
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
    #[error("there is no environment {index} among {count}")]
    NoEnvironment { index: usize, count: usize },
    #[error("the environment was built without access to privileged state; ask for it with PrivilegedAccess")]
    Denied,
    #[error(
        "{0} stands for the real world: learners may not see masks, depth, canonical pictures or the state there; train \
         in a simulated domain, or declare the run a ceiling"
    )]
    LeakRule(Domain),
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error(transparent)]
    Render(#[from] RenderError),
}
