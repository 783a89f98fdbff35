//! The simulator as a [`VecEnv`]: what QT-Opt learns in.

use super::observation_adapter::ObservationAdapter;
use crate::contract::{Action, FrameChannels, Pose, Rng, Seed, Step};
use crate::env::{EnvConfig, EnvError, GraspEnv, Reset};
use crate::policies::{Policy, PolicyKind};
use crate::rl::action::ActionSpace;
use crate::rl::qtopt::network::Projection;
use crate::rl::qtopt::privileged::Privileged;
use crate::rl::vec_env::{EnvCommand, Observation, VecEnv, VecEnvError};
use crate::scene::CellDescription;
use crate::scene::camera::CameraMount;
use crate::sim::GraspWorld;
use rayon::prelude::*;

/// The ranges of actions in a cell.
pub fn action_space(cell: &CellDescription) -> ActionSpace {
    ActionSpace { step_m: cell.motion.step_m.to_array(), step_rad: cell.motion.step_rad }
}

/// What the simulator knows of the state around the hand.
fn privileged(world: &GraspWorld) -> Privileged {
    let (cell, pose) = (world.cell(), world.gripper_pose().translation);
    let bin = cell.bins.first();
    let place = bin.map_or(glam::Vec2::ZERO, |bin| (pose - bin.position).truncate());
    let divider = bin.and_then(|bin| bin.divider).and(world.divider_offsets().first().copied());
    let [left, right, _] = world.contact_forces();
    Privileged::new(&world.object_heights(&Privileged::places()), divider, place, world.gripper_yaw())
        .with_grip(world.gripper_state().aperture_m, left.min(right))
}

/// What a camera of the cell makes of places, from the centre of the first bin's floor, in the centre crop; none for a camera
/// that moves.
pub fn projection(cell: &CellDescription, camera: &str, size: u32) -> Option<Projection> {
    let camera = cell.cameras.iter().find(|known| known.name == camera)?;
    let bin = cell.bins.first()?;
    if !matches!(camera.mount, CameraMount::World { .. }) {
        return None;
    }
    let camera = camera.camera(camera.centre_crop(size), Pose::IDENTITY);
    Some(Projection::seen_by(&camera, bin.position, [size; 2]))
}

/// Grasping as an agent sees it.
pub struct GraspVecEnv {
    env: GraspEnv,
    adapter: ObservationAdapter,
    script: PolicyKind,
    policies: Vec<Box<dyn Policy>>,
    generators: Vec<Rng>,
}

impl GraspVecEnv {
    /// Attempts in `config`'s environments, seen through `adapter`; [`VecEnv::scripted`] plays `script`.
    ///
    /// # Errors
    /// An impossible configuration; no graphics adapter.
    pub fn new(config: EnvConfig, adapter: ObservationAdapter, script: PolicyKind) -> Result<Self, EnvError> {
        // An agent sees nothing else: whatever it learns of the state comes from the simulator itself.
        let env = GraspEnv::new(EnvConfig { channels: FrameChannels::SOURCE, ..config })?;
        let policies = (0..env.len()).map(|_| script.create()).collect();
        let generators = (0..env.len()).map(|_| Seed(0).rng()).collect();
        Ok(Self { env, adapter, script, policies, generators })
    }

    pub fn env(&self) -> &GraspEnv {
        &self.env
    }
}

impl VecEnv for GraspVecEnv {
    fn num_envs(&self) -> usize {
        self.env.len()
    }

    fn image_shape(&self) -> (usize, usize) {
        (self.env.config().size as usize, self.adapter.channels())
    }

    fn action_space(&self) -> ActionSpace {
        action_space(&self.env.config().cell)
    }

    fn step(&mut self, commands: &[EnvCommand]) -> Result<(Observation, Vec<Step>), VecEnvError> {
        let mut resets = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let seed = match *command {
                EnvCommand::Idle | EnvCommand::Act(_) => continue,
                EnvCommand::Reset(seed) => {
                    resets.push(Reset::Seeded { index, seed });
                    seed
                }
                EnvCommand::NextAttempt(seed) => {
                    let returned = self.env.world(index).last_step().grasped.clone();
                    resets.push(Reset::KeepObjects { index, returned, seed });
                    seed
                }
            };
            self.policies[index] = self.script.create();
            self.policies[index].begin();
            self.generators[index] = seed.derive("script", 0).rng();
        }
        if !resets.is_empty() {
            self.env.reset(resets).map_err(VecEnvError::new)?;
        }
        let actions: Vec<Option<Action>> = commands
            .iter()
            .map(|command| if let EnvCommand::Act(action) = command { Some(*action) } else { None })
            .collect();
        let outcome = self.env.step(&actions, true).map_err(VecEnvError::new)?;
        let images = self.adapter.encode(outcome.observation.frames)?;
        let gripper = outcome.observation.gripper;
        let worlds: Vec<&GraspWorld> = (0..self.env.len()).map(|index| self.env.world(index)).collect();
        let privileged = worlds.into_par_iter().map(privileged).collect();
        Ok((Observation { images, gripper, privileged }, outcome.steps))
    }

    fn scripted(&mut self, index: usize) -> Action {
        self.policies[index].act(self.env.world(index), &mut self.generators[index])
    }
}
