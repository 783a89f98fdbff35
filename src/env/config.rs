//! What vectorized environments are built from.

use crate::appearance::ImageSet;
use crate::contract::privileged::{CELL_M, MapFrame};
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
    /// The first camera's picture in the first domain: what policies see, or, where they have a view of their own, what episodes
    /// keep ([`crate::contract::StepBatch::kept_images`]).
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
    /// The policies' picture and nothing else.
    pub const IMAGE: Self = Self { image: true, ..Self::NONE };
    /// Paired frames and nothing else; they are privileged.
    pub const FRAMES: Self = Self { frames: true, ..Self::NONE };
    /// No pictures and no privileged state: the gripper's state is still delivered.
    pub const NONE: Self = Self { image: false, depth: false, frames: false, state: false, masks: false };

    /// The same with privileged state.
    pub const fn with_state(self) -> Self {
        Self { state: true, ..self }
    }

    /// The same with measured depth, which is not privileged.
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
    /// Domain of the policies' pictures.
    pub domain: Domain,
    /// Name of one of the cell's cameras.
    pub camera: String,
    /// Which window of that camera's picture policies see.
    pub crop: Crop,
}

/// Everything that decides what a [`super::GraspEnv`] does. The same configuration gives the same episodes and pixels.
#[derive(Clone)]
pub struct EnvConfig {
    /// Bins, arm, gripper, cameras and the number of objects an episode.
    pub cell: Arc<CellDescription>,
    /// Makes the rules of an episode, one instance for each environment.
    pub task: TaskFactory,
    /// Rate and solver settings of the physics.
    pub sim: SimConfig,
    /// Environments stepped side by side, 1 to 4096.
    pub num_envs: usize,
    /// Edge of the square pictures, pixels.
    pub size: u32,
    /// Domains to draw.
    pub sources: Vec<Domain>,
    /// Images and privileged state that steps with `capture` deliver.
    pub channels: Channels,
    /// Permission for privileged channels; without it [`Self::validate`] refuses them.
    pub access: PrivilegedAccess,
    /// Names of the cell's cameras to draw from.
    pub cameras: Vec<String>,
    /// Which window of each camera's picture is drawn.
    pub crop: Crop,
    /// Where the privileged map of heights lies.
    pub map: MapFrame,
    /// Pictures for policies alone; none: they see the first camera's picture in the first domain.
    pub policy_view: Option<PolicyView>,
    /// Episodes draw their objects from these.
    pub objects: Vec<Arc<ObjectModel>>,
    /// What [`crate::contract::Script`] plays: environment `i` has number `i` of them, in turn.
    pub scripts: Vec<PolicyKind>,
    /// Randomized domains are drawn as random cameras take them ([`crate::appearance::CameraEffects::any_camera`]): a new one
    /// with each look. Canonical pictures and the stand-ins for reality stay as they are.
    pub camera_effects: bool,
    /// The user's texture images for the randomized domains.
    pub textures: Arc<ImageSet>,
    /// Decides the episodes of [`super::GraspEnv::reset_all`], the scripts' first random numbers, and the depth camera.
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
            map: MapFrame { centre: cell.middle_of_bins(), cell_m: CELL_M },
            policy_view: None,
            objects,
            scripts: vec![PolicyKind::default()],
            camera_effects: false,
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

/// An impossible configuration or call of [`super::GraspEnv`], or a renderer that failed.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A number of the configuration lies outside its range.
    #[error("{what} must be from {low} to {high}, not {value}")]
    OutOfRange {
        /// Name of the number, `environments` for example.
        what: &'static str,
        /// The number that was given.
        value: usize,
        /// The least possible value.
        low: usize,
        /// The largest possible value.
        high: usize,
    },
    /// The configuration has an empty list of objects.
    #[error("there are no objects to put into the bin; give at least one")]
    NoObjects,
    /// A camera is named that the cell does not have.
    #[error("the cell has no camera '{name}'; it has {known}")]
    UnknownCamera {
        /// The name that was given.
        name: String,
        /// Names of the cell's cameras, with commas between them.
        known: String,
    },
    /// A step got a list of actions of another length than the number of environments.
    #[error("{got} actions for {expected} environments; pass one for each")]
    Actions {
        /// Actions in the list.
        got: usize,
        /// Environments that there are.
        expected: usize,
    },
    /// A reset names an environment that does not exist.
    #[error("there is no environment {index} among {count}")]
    NoEnvironment {
        /// Its number, from 0.
        index: usize,
        /// Environments that there are.
        count: usize,
    },
    /// Privileged channels were asked for with [`PrivilegedAccess::Denied`].
    #[error("the environment was built without access to privileged state; ask for it with PrivilegedAccess")]
    Denied,
    /// Learners asked for privileged channels in this domain, which stands for the real world.
    #[error(
        "{0} stands for the real world: learners may not see masks, depth, canonical pictures or the state there; train \
         in a simulated domain, or declare the run a ceiling"
    )]
    LeakRule(Domain),
    /// The description of the cell is impossible.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// There is no graphics adapter, or the device failed.
    #[error(transparent)]
    Render(#[from] RenderError),
}
