//! One environment: a bin with objects and a robot over it, stepped by actions.
//!
//! In: a cell, object models, a seed, then actions. Out: rewards and terminations ([`Step`]), the poses of all bodies
//! and what is to be drawn on them. Two worlds share nothing, so they may be stepped on any threads in any order.

use super::config::SimConfig;
use super::gripper::Gripper;
use super::motion::ToolPose;
use super::physics::Physics;
use crate::contract::{Pose, Rng, Seed, Step, Surface, VisualPart};
use crate::objects::ObjectModel;
use crate::scene::parts::{arm_poses, fixed_parts};
use crate::scene::{ArmPose, BinGroupPose, Bodies, CellDescription, instance};
use bevy::prelude::Component;
use glam::Vec3;
use std::sync::Arc;

mod episode;
mod hand;
mod placement;
mod queries;
mod workspace;

use episode::Phase;

/// One simulated cell.
#[derive(Component)]
pub struct GraspWorld {
    /// The cell as described.
    nominal: Arc<CellDescription>,
    /// The cell with its bins where they stand in this episode.
    cell: Arc<CellDescription>,
    group_pose: BinGroupPose,
    /// Numbers of the bins that objects are dropped into.
    filled: Vec<usize>,
    config: SimConfig,
    pub(super) physics: Physics,
    pub(super) gripper: Option<Gripper>,
    models: Vec<Arc<ObjectModel>>,
    divider_offsets: Vec<f32>,
    bodies: Bodies,
    parts: Vec<VisualPart>,
    poses: Vec<Pose>,
    arm: ArmPose,
    phase: Phase,
    /// The step under way ends the episode at the policy's wish.
    terminating: bool,
    step_index: u64,
    /// Offsets of the objects from the gripper when the hold began.
    held_offsets: Vec<Vec3>,
    last_step: Step,
    /// Distance between the pads when the last lift began, metres.
    lift_aperture: f32,
}

impl GraspWorld {
    /// An empty cell; [`Self::reset`] fills it. The description is taken as valid ([`CellDescription::validate`]).
    pub fn new(cell: Arc<CellDescription>, config: &SimConfig) -> Self {
        let divider_offsets = vec![0.0; cell.bins.len()];
        let physics = Physics::new(&cell, config, &divider_offsets);
        let bodies = Bodies::new(&cell);
        let mut world = Self {
            bodies,
            parts: fixed_parts(&cell),
            poses: vec![Pose::IDENTITY; bodies.count(0)],
            arm: [Pose::IDENTITY; crate::scene::arm::LINKS],
            config: config.clone(),
            gripper: None,
            models: Vec::new(),
            divider_offsets,
            phase: Phase::Done,
            terminating: false,
            step_index: 0,
            held_offsets: Vec::new(),
            last_step: Step::default(),
            lift_aperture: 0.0,
            physics,
            group_pose: BinGroupPose::default(),
            filled: (0..cell.bins.len()).collect(),
            nominal: Arc::clone(&cell),
            cell,
        };
        let home = world.home(Vec3::ZERO);
        world.gripper = Some(Gripper::new(&mut world.physics, &world.cell, config, home));
        world.publish();
        world
    }

    /// Starts an episode: samples the place of the bins as a group and the dividers, drops the objects, lets them settle,
    /// brings the open gripper to its start. The state afterwards depends on the cell, the configuration, the objects and
    /// the seed alone.
    pub fn reset(&mut self, objects: &[Arc<ObjectModel>], seed: Seed) {
        let pose = self.nominal.bin_group.as_ref().map(|group| group.sample(&mut seed.derive("bin-group", 0).rng()));
        self.place_bins(pose.unwrap_or_default());
        self.fill(objects, seed);
    }

    /// [`Self::reset`] with the bins at the cell's fixed placement of a number, counted on from the first after the last
    /// (see [`crate::scene::BinGroupDescription::placed`]).
    pub fn reset_at(&mut self, placement: usize, objects: &[Arc<ObjectModel>], seed: Seed) {
        let pose = self.nominal.bin_group.as_ref().map(|group| group.placed(placement));
        self.place_bins(pose.unwrap_or_default());
        self.fill(objects, seed);
    }

    fn fill(&mut self, objects: &[Arc<ObjectModel>], seed: Seed) {
        let mut rng = seed.derive("reset", 0).rng();
        for (offset, bin) in self.divider_offsets.iter_mut().zip(&self.cell.bins) {
            *offset = bin.divider.map_or(0.0, |divider| rng.range(divider.range[0], divider.range[1]));
        }
        self.gripper = None;
        self.physics = Physics::new(&self.cell, &self.config, &self.divider_offsets);
        self.models = objects.iter().take(instance::MAX_OBJECTS).cloned().collect();
        self.parts = fixed_parts(&self.cell);
        for index in 0..self.models.len() {
            self.parts.extend(self.object_parts(index));
            let pose = self.drop_pose(&self.models[index], index, &mut rng);
            self.physics.insert_object(&self.models[index], pose);
        }
        self.settle();
        self.begin_episode(&mut rng);
    }

    /// Starts another attempt on the objects as they lie: the gripper lets go and returns to its start, and the
    /// objects named in `returned` are dropped at random places (the evaluation protocol of RCAN, section 5.1). In a cell
    /// with `objects.remove_on_success` they are put outside the bins instead (RL-CycleGAN, section 5.2); when none is left
    /// all come back.
    pub fn next_attempt(&mut self, returned: &[usize], seed: Seed) {
        let mut rng = seed.derive("attempt", 0).rng();
        if let Some(gripper) = self.gripper.take() {
            gripper.remove(&mut self.physics);
        }
        for index in self.returning(returned) {
            let pose = self.drop_pose(&self.models[index], index, &mut rng);
            self.physics.set_object_present(index, true);
            self.physics.move_object(index, pose);
        }
        self.settle();
        self.begin_episode(&mut rng);
    }

    /// Drops one more object into the bin; it falls while the episode goes on. False when there is no room for
    /// another instance id.
    pub fn drop_object(&mut self, model: &Arc<ObjectModel>, seed: Seed) -> bool {
        let index = self.models.len();
        if index >= instance::MAX_OBJECTS {
            return false;
        }
        let pose = self.drop_pose(model, index, &mut seed.derive("drop", index as u64).rng());
        self.physics.insert_object(model, pose);
        self.models.push(Arc::clone(model));
        self.parts.extend(self.object_parts(index));
        self.publish();
        true
    }

    fn begin_episode(&mut self, rng: &mut Rng) {
        let jitter = self.cell.motion.home_jitter;
        let home = self.home(Vec3::new(rng.range(-jitter, jitter), rng.range(-jitter, jitter), 0.0));
        self.gripper = Some(Gripper::new(&mut self.physics, &self.cell, &self.config, home));
        self.phase = Phase::Ready;
        self.step_index = 0;
        self.last_step = Step::default();
        self.publish();
    }

    fn object_parts(&self, index: usize) -> Vec<VisualPart> {
        // Indices stay below `instance::MAX_OBJECTS`.
        let number = u8::try_from(index).unwrap_or(u8::MAX);
        self.models[index].visual_parts(
            self.bodies.object(index),
            Surface::Object(number),
            instance::OBJECT.saturating_add(number),
        )
    }

    /// Ticks until everything rests, dropped objects in the bins that they were dropped into.
    fn settle(&mut self) {
        self.physics.raise_fences(&self.cell.bins);
        self.tick_until_calm(self.config.max_settle_ticks);
        if self.physics.lower_fences() {
            self.tick_until_calm(self.config.max_settle_ticks / 3);
        }
    }

    fn tick_until_calm(&mut self, most: u32) {
        // The engine puts whole heaps to sleep once they have rested for a while. Sending them to sleep from outside
        // would be quicker and is wrong: bodies that are woken later have lost the contacts they stood on.
        for _ in 0..most {
            if self.physics.all_asleep() {
                break;
            }
            self.physics.tick();
        }
    }

    pub(super) fn physics_tick(&mut self) {
        if let Some(gripper) = &mut self.gripper {
            gripper.drive(&mut self.physics, self.config.dt());
        }
        self.physics.tick();
    }

    /// Writes the poses that viewers and renderers read.
    fn publish(&mut self) {
        let bodies = self.bodies;
        self.poses.resize(bodies.count(self.models.len()), Pose::IDENTITY);
        for (i, (bin, &offset)) in self.cell.bins.iter().zip(&self.divider_offsets).enumerate() {
            self.poses[bodies.divider(i)] = bin.world_from_bin() * Pose::from_translation(Vec3::Y * offset);
        }
        let palm = self.gripper_pose();
        // Out of the arm's reach the drawn arm stays where it was; `motion.reach_m` keeps the gripper from going there.
        if let Ok(arm) = arm_poses(&self.cell, palm) {
            self.arm = arm;
        }
        for (link, pose) in self.arm.iter().enumerate() {
            self.poses[bodies.arm_link(link)] = *pose;
        }
        self.poses[bodies.palm()] = palm;
        if let Some(gripper) = &self.gripper {
            for side in [0, 1] {
                self.poses[bodies.finger(side)] = gripper.finger_pose(&self.physics, side);
            }
        }
        for index in 0..self.models.len() {
            self.poses[bodies.object(index)] = self.physics.object_pose(index);
        }
    }

    fn tool_pose(&self) -> ToolPose {
        self.gripper
            .as_ref()
            .map_or(ToolPose { position: Vec3::ZERO, yaw: 0.0 }, |gripper| gripper.tool_pose(&self.physics))
    }

    /// The cell with its bins where they stand in this episode.
    pub fn cell(&self) -> &Arc<CellDescription> {
        &self.cell
    }

    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    pub fn objects(&self) -> &[Arc<ObjectModel>] {
        &self.models
    }

    pub fn object_poses(&self) -> &[Pose] {
        &self.poses[self.bodies.object(0)..]
    }

    pub fn bodies(&self) -> Bodies {
        self.bodies
    }

    /// World poses of all bodies, numbered by [`Bodies`].
    pub fn body_poses(&self) -> &[Pose] {
        &self.poses
    }

    pub fn parts(&self) -> &[VisualPart] {
        &self.parts
    }

    pub fn divider_offsets(&self) -> &[f32] {
        &self.divider_offsets
    }

    /// Steps since the episode began.
    pub fn step_index(&self) -> u64 {
        self.step_index
    }

    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Distance between the pads when the arm last began to rise for the judgement, metres.
    pub fn aperture_at_lift(&self) -> f32 {
        self.lift_aperture
    }

    pub fn last_step(&self) -> &Step {
        &self.last_step
    }
}
