//! What is known of each pair beside its pixels: enough to render the frame again.

use crate::contract::{Action, Camera, Domain, FrameBatch, GripperState, Pose};
use serde::{Deserialize, Serialize};

/// What the gripper is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// On the way, no pad touches an object.
    #[default]
    Approaching,
    /// A pad touches an object that is not held.
    Touching,
    /// An object is held between the pads.
    Holding,
    /// The objects lie still and the arm is out of the way (the start of an episode).
    Settled,
}

impl Phase {
    /// All phases, in the order of an episode but for the last, with which it begins.
    pub const ALL: [Self; 4] = [Self::Approaching, Self::Touching, Self::Holding, Self::Settled];

    /// The word in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approaching => "approaching",
            Self::Touching => "touching",
            Self::Holding => "holding",
            Self::Settled => "settled",
        }
    }
}

/// One object of the episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectState {
    /// Its name in the catalogue.
    pub name: String,
    /// Its value in the instance image.
    pub instance: u8,
    /// Pose of the object's frame in the world, metres.
    pub world_from_object: Pose,
}

/// What the generator tells of one frame. The rest of [`PairMeta`] comes from the frames themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairRecord {
    /// The seed of the episode: with the dataset's settings it gives the objects, the divider and the start.
    pub episode_seed: u64,
    /// Number of the episode in its environment, counted within its block of pairs.
    pub episode: u64,
    /// Number of the environment among those that were simulated together.
    pub environment: u32,
    /// The action that led to this state; `None` at the start of an episode.
    pub action: Option<Action>,
    /// Command, height and aperture of the gripper in this state.
    pub gripper: GripperState,
    /// What the gripper is doing in this state.
    pub phase: Phase,
    /// The objects of the episode, in the order of their instance ids.
    pub objects: Vec<ObjectState>,
    /// Arm joints, radians.
    pub joints_rad: Vec<f32>,
    /// The pose of every body as the renderer was given it, in its order. With the parts of the episode, the look seed,
    /// the domain and the camera it draws the frame again.
    pub bodies: Vec<Pose>,
}

/// One line of `metadata.jsonl` (without the file names), or one `.json` of a tar. 64-bit seeds are decimal text,
/// because readers in other languages take JSON numbers for 64-bit signed integers or for floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairMeta {
    /// Number within the whole dataset; names the files.
    pub index: u64,
    /// As in [`PairRecord::episode_seed`].
    #[serde(with = "seed_text")]
    pub episode_seed: u64,
    /// As in [`PairRecord::episode`].
    pub episode: u64,
    /// As in [`PairRecord::environment`].
    pub environment: u32,
    /// Environment steps since the episode's start.
    pub step_index: u64,
    /// Decides textures, lights and colours of the source domain in this frame.
    #[serde(with = "seed_text")]
    pub look_seed: u64,
    /// The domain of the source image.
    pub domain: Domain,
    /// What the gripper was doing.
    pub phase: Phase,
    /// Intrinsics of the images, pixels, and the camera's pose in the world.
    pub camera: Camera,
    /// With the same keys where there is none, and `is_given` false: readers infer types from the first records.
    #[serde(with = "given_action")]
    pub action: Option<Action>,
    /// Command, height and aperture of the gripper, metres.
    pub gripper: GripperState,
    /// Arm joints, radians; empty where the arm does not reach the gripper's pose.
    pub joints_rad: Vec<f32>,
    /// The objects of the episode, in the order of their instance ids.
    pub objects: Vec<ObjectState>,
    /// As in [`PairRecord::bodies`]: world poses, metres.
    pub bodies: Vec<Pose>,
}

impl PairMeta {
    /// The line of frame `i` of a batch.
    pub fn new(index: u64, frames: &FrameBatch, i: usize, record: &PairRecord) -> Self {
        let record = record.clone();
        Self {
            index,
            episode_seed: record.episode_seed,
            episode: record.episode,
            environment: record.environment,
            step_index: frames.step_indices[i],
            look_seed: frames.look_seeds[i],
            domain: frames.source,
            phase: record.phase,
            camera: frames.cameras[i],
            action: record.action,
            gripper: record.gripper,
            joints_rad: record.joints_rad,
            objects: record.objects,
            bodies: record.bodies,
        }
    }

    /// JSON has no infinities: a state that holds one cannot be written.
    pub fn is_finite(&self) -> bool {
        let intrinsics = &self.camera.intrinsics;
        let action =
            self.action.is_none_or(|a| a.rotation_rad.is_finite() && a.translation_m.iter().all(|v| v.is_finite()));
        action
            && self.camera.world_from_camera.is_finite()
            && [intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy].iter().all(|v| v.is_finite())
            && self.gripper.height_m.is_finite()
            && self.gripper.aperture_m.is_finite()
            && self.joints_rad.iter().all(|v| v.is_finite())
            && self.objects.iter().all(|o| o.world_from_object.is_finite())
            && self.bodies.iter().all(|b| b.is_finite())
    }
}

/// An action that may be missing, as a record that never is.
mod given_action {
    use super::Action;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Given {
        /// Earlier versions wrote `null` for a missing action, and nothing beside one.
        #[serde(default = "yes")]
        is_given: bool,
        #[serde(flatten)]
        action: Action,
    }

    fn yes() -> bool {
        true
    }

    pub fn serialize<S: Serializer>(action: &Option<Action>, serializer: S) -> Result<S::Ok, S::Error> {
        Given { is_given: action.is_some(), action: action.unwrap_or_default() }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Action>, D::Error> {
        let given = Option::<Given>::deserialize(deserializer)?;
        Ok(given.filter(|given| given.is_given).map(|given| given.action))
    }
}

/// A 64-bit number as decimal text.
pub mod seed_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the number in digits, between quotes in JSON.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads such digits.
    ///
    /// # Errors
    /// Text that is not a number from 0 to 2^64 - 1.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("'{text}' is not a 64-bit seed")))
    }
}
