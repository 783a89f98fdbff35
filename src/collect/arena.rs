//! The simulator as an [`Arena`]: what QT-Opt learns in.

use super::sight::Sight;
use crate::contract::{Action, Pose, Rng, Seed, Step};
use crate::env::{EnvConfig, EnvError, GraspEnv};
use crate::rl::action::ActionSpace;
use crate::rl::arena::{Arena, ArenaError, Order, View};
use crate::rl::network::Projection;
use crate::rl::privileged::Privileged;
use crate::scene::CellDescription;
use crate::scene::camera::CameraMount;
use crate::sim::GraspWorld;
use crate::sim::policy::{Policy, PolicyKind};
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
pub struct GraspArena {
    env: GraspEnv,
    sight: Sight,
    script: PolicyKind,
    policies: Vec<Box<dyn Policy>>,
    generators: Vec<Rng>,
}

impl GraspArena {
    /// Attempts in `config`'s environments, seen through `sight`; [`Arena::scripted`] plays `script`.
    ///
    /// # Errors
    /// An impossible configuration; no graphics adapter.
    pub fn new(config: EnvConfig, sight: Sight, script: PolicyKind) -> Result<Self, EnvError> {
        let env = GraspEnv::new(config)?;
        let policies = (0..env.len()).map(|_| script.create()).collect();
        let generators = (0..env.len()).map(|_| Seed(0).rng()).collect();
        Ok(Self { env, sight, script, policies, generators })
    }

    pub fn env(&self) -> &GraspEnv {
        &self.env
    }
}

impl Arena for GraspArena {
    fn environments(&self) -> usize {
        self.env.len()
    }

    fn image_shape(&self) -> (usize, usize) {
        (self.env.config().size as usize, self.sight.channels())
    }

    fn action_space(&self) -> ActionSpace {
        action_space(&self.env.config().cell)
    }

    fn advance(&mut self, orders: &[Order]) -> Result<(View, Vec<Step>), ArenaError> {
        let (mut resets, mut others) = (Vec::new(), Vec::new());
        for (index, order) in orders.iter().enumerate() {
            let seed = match order {
                Order::Idle | Order::Act(_) => continue,
                Order::Begin(seed) | Order::GoOn(seed) => *seed,
            };
            if matches!(order, Order::Begin(_)) {
                resets.push((index, seed));
            } else {
                others.push((index, self.env.world(index).last_step().grasped.clone(), seed));
            }
            self.policies[index] = self.script.create();
            self.policies[index].begin();
            self.generators[index] = seed.derive("script", 0).rng();
        }
        if !(resets.is_empty() && others.is_empty()) {
            self.env.begin_or_go_on(&resets, others).map_err(ArenaError::new)?;
        }
        let actions: Vec<Option<Action>> =
            orders.iter().map(|order| if let Order::Act(action) = order { Some(*action) } else { None }).collect();
        let outcome = self.env.step_some(&actions, true).map_err(ArenaError::new)?;
        let images = self.sight.see(outcome.observation.frames)?;
        let gripper = outcome.observation.gripper;
        let worlds: Vec<&GraspWorld> = (0..self.env.len()).map(|index| self.env.world(index)).collect();
        let privileged = worlds.into_par_iter().map(privileged).collect();
        Ok((View { images, gripper, privileged }, outcome.steps))
    }

    fn scripted(&mut self, index: usize) -> Action {
        self.policies[index].act(self.env.world(index), &mut self.generators[index])
    }
}
