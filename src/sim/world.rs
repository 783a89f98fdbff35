//! One environment's physics: bins with objects and a robot over them, moved by [`Motion`]s.
//!
//! In: a cell, object models, a seed, then motions. Out: the poses of all bodies and what is to be drawn on them. Two worlds
//! share nothing, so they may be stepped on any threads in any order. What an episode is, is decided in the room `tasks`.

use super::config::SimConfig;
use super::gripper::Gripper;
use super::motion::ToolPose;
use crate::contract::{Pose, Rng, Seed, Surface, VisualPart};
use crate::objects::ObjectModel;
use crate::scene::parts::{arm_poses, fixed_parts};
use crate::scene::{ArmPose, BinGroupPose, Bodies, CellDescription, instance};
use bevy::prelude::Component;
use glam::Vec3;
use std::sync::Arc;

mod hand;
mod motion;
mod placement;
mod queries;
mod views;
mod workspace;

pub use motion::{Motion, MotionState};
pub use views::{GraspWorld, GraspWorldBundle, GraspWorldMut, GraspWorldParts, GraspWorldPartsMut};

use motion::ActiveMotion;

/// What a simulated cell is beside its rigid bodies: its description, the objects in it, the gripper's motion, and the
/// poses of everything that is drawn.
#[derive(Component)]
pub struct GraspCell {
    /// The cell as described.
    nominal: Arc<CellDescription>,
    /// The cell with its bins where they stand in this episode.
    cell: Arc<CellDescription>,
    group_pose: BinGroupPose,
    /// Numbers of the bins that objects are dropped into.
    filled: Vec<usize>,
    config: SimConfig,
    gripper: Option<Gripper>,
    models: Vec<Arc<ObjectModel>>,
    divider_offsets: Vec<f32>,
    bodies: Bodies,
    parts: Vec<VisualPart>,
    poses: Vec<Pose>,
    arm: ArmPose,
    motion: Option<ActiveMotion>,
    /// Nothing but the gripper moves and it meets nothing, so that there is no physics to be done.
    free: bool,
}

impl GraspWorldMut<'_> {
    /// The empty cell with the gripper at its start.
    fn build(&mut self) {
        self.physics.build(&self.state.cell, &self.state.config, &self.state.divider_offsets);
        let home = self.home(Vec3::ZERO);
        self.put_gripper(home);
        self.publish();
    }

    fn put_gripper(&mut self, home: ToolPose) {
        let GraspCell { gripper, cell, config, .. } = &mut *self.state;
        *gripper = Some(Gripper::new(&mut self.physics, cell, config, home));
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
        let state = &mut *self.state;
        for (offset, bin) in state.divider_offsets.iter_mut().zip(&state.cell.bins) {
            *offset = bin.divider.map_or(0.0, |divider| rng.range(divider.range[0], divider.range[1]));
        }
        state.gripper = None;
        self.physics.build(&state.cell, &state.config, &state.divider_offsets);
        state.models = objects.iter().take(instance::MAX_OBJECTS).cloned().collect();
        for index in 0..self.models.len() {
            let pose = self.view().drop_pose(&self.models[index], index, &mut rng);
            self.physics.insert_object(&self.state.models[index], pose);
        }
        self.list_parts();
        self.settle();
        self.begin_episode(&mut rng);
    }

    /// Starts another attempt on the objects as they lie: the gripper lets go and returns to its start, and the
    /// objects named in `returned` are dropped at random places (the evaluation protocol of RCAN, section 5.1). In a cell
    /// with `objects.remove_on_success` they are put outside the bins instead (RL-CycleGAN, section 5.2); when none is left
    /// all come back.
    pub fn next_attempt(&mut self, returned: &[usize], seed: Seed) {
        let mut rng = seed.derive("attempt", 0).rng();
        if let Some(gripper) = self.state.gripper.take() {
            gripper.remove(&mut self.physics);
        }
        for index in self.returning(returned) {
            let pose = self.view().drop_pose(&self.models[index], index, &mut rng);
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
        let pose = self.view().drop_pose(model, index, &mut seed.derive("drop", index as u64).rng());
        self.state.models.push(Arc::clone(model));
        self.physics.insert_object(model, pose);
        self.list_parts();
        self.publish();
        true
    }

    fn begin_episode(&mut self, rng: &mut Rng) {
        let jitter = self.cell.motion.home_jitter;
        let home = self.home(Vec3::new(rng.range(-jitter, jitter), rng.range(-jitter, jitter), 0.0));
        self.put_gripper(home);
        self.state.motion = None;
        self.publish();
    }

    /// Everything that is drawn: of a spring-jointed object each piece on a body of its own, after the bodies of all objects.
    fn list_parts(&mut self) {
        let mut parts = fixed_parts(&self.cell);
        for (index, model) in self.models.iter().enumerate() {
            // Indices stay below `instance::MAX_OBJECTS`.
            let number = u8::try_from(index).unwrap_or(u8::MAX);
            let (surface, id) = (Surface::Object(number), instance::OBJECT.saturating_add(number));
            parts.extend(match model.assembly {
                None => model.visual_parts(self.bodies.object(index), surface, id),
                Some(_) => model.piece_visual_parts(self.first_piece(index), surface, id),
            });
        }
        self.state.parts = parts;
    }

    /// Ticks until everything rests, dropped objects in the bins that they were dropped into.
    fn settle(&mut self) {
        self.physics.raise_fences(&self.state.cell.bins);
        self.tick_until_calm(self.config.max_settle_ticks);
        if self.physics.lower_fences() {
            self.tick_until_calm(self.config.max_settle_ticks / 3);
        }
    }

    fn tick_until_calm(&mut self, most: u32) {
        // The engine puts whole heaps to sleep once they have rested for a while. Sending them to sleep from outside
        // would be quicker and is wrong: bodies that are woken later have lost the contacts they stood on.
        for _ in 0..most {
            if self.physics.view().all_asleep() {
                break;
            }
            self.physics.tick();
        }
    }

    pub(super) fn physics_tick(&mut self) {
        let dt = self.config.dt();
        if let Some(gripper) = &mut self.state.gripper {
            gripper.drive(&mut self.physics, dt);
        }
        self.physics.tick();
    }

    /// Writes the poses that viewers and renderers read: call it when a motion pauses or is over.
    pub fn publish(&mut self) {
        let palm = self.view().gripper_pose();
        let pieces = self.first_piece(self.models.len());
        let physics = self.physics.view();
        let GraspCell { bodies, poses, models, cell, divider_offsets, arm, gripper, .. } = &mut *self.state;
        poses.resize(pieces, Pose::IDENTITY);
        for (i, (bin, &offset)) in cell.bins.iter().zip(&*divider_offsets).enumerate() {
            poses[bodies.divider(i)] = bin.world_from_bin() * Pose::from_translation(Vec3::Y * offset);
        }
        // Out of the arm's reach the drawn arm stays where it was; `motion.reach_m` keeps the gripper from going there.
        if let Ok(reached) = arm_poses(cell, palm) {
            *arm = reached;
        }
        for (link, pose) in arm.iter().enumerate() {
            poses[bodies.arm_link(link)] = *pose;
        }
        poses[bodies.palm()] = palm;
        if let Some(gripper) = gripper {
            for side in [0, 1] {
                poses[bodies.finger(side)] = gripper.finger_pose(&physics, side);
            }
        }
        let mut piece = bodies.count(models.len());
        for (index, model) in models.iter().enumerate() {
            poses[bodies.object(index)] = physics.object_pose(index);
            for pose in physics.piece_poses(index).filter(|_| model.assembly.is_some()) {
                poses[piece] = pose;
                piece += 1;
            }
        }
    }

    /// Puts an object somewhere, at rest.
    pub fn place_object(&mut self, index: usize, pose: Pose) {
        self.physics.move_object(index, pose);
    }
}

impl GraspCell {
    fn new(cell: Arc<CellDescription>, config: &SimConfig) -> Self {
        let bodies = Bodies::new(&cell);
        Self {
            bodies,
            parts: fixed_parts(&cell),
            poses: vec![Pose::IDENTITY; bodies.count(0)],
            arm: [Pose::IDENTITY; crate::scene::arm::LINKS],
            config: config.clone(),
            gripper: None,
            models: Vec::new(),
            divider_offsets: vec![0.0; cell.bins.len()],
            motion: None,
            free: false,
            group_pose: BinGroupPose::default(),
            filled: (0..cell.bins.len()).collect(),
            nominal: Arc::clone(&cell),
            cell,
        }
    }

    /// The cell with its bins where they stand in this episode.
    pub fn cell(&self) -> &Arc<CellDescription> {
        &self.cell
    }

    /// Rates and solver that the world was built with.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Models of the episode's objects, by their numbers; those outside the bins are among them.
    pub fn objects(&self) -> &[Arc<ObjectModel>] {
        &self.models
    }

    /// World poses of the objects as wholes.
    pub fn object_poses(&self) -> &[Pose] {
        &self.poses[self.bodies.object(0)..self.bodies.count(self.models.len()).min(self.poses.len())]
    }

    /// World poses of an object's rigid bodies: the object's own, or those of the pieces that springs join.
    pub fn piece_poses(&self, index: usize) -> &[Pose] {
        match self.models[index].assembly {
            None => std::slice::from_ref(&self.poses[self.bodies.object(index)]),
            Some(_) => &self.poses[self.first_piece(index)..self.first_piece(index + 1)],
        }
    }

    /// Number of the first body of a spring-jointed object's pieces; they come after the bodies of all objects.
    fn first_piece(&self, index: usize) -> usize {
        let pieces = self.models[..index].iter().filter(|model| model.assembly.is_some()).map(|m| m.num_pieces());
        self.bodies.count(self.models.len()) + pieces.sum::<usize>()
    }

    /// How the bodies of [`Self::body_poses`] are numbered.
    pub fn bodies(&self) -> Bodies {
        self.bodies
    }

    /// World poses of all bodies, numbered by [`Bodies`], then the pieces of spring-jointed objects.
    pub fn body_poses(&self) -> &[Pose] {
        &self.poses
    }

    /// Everything that is drawn, each part fixed to a body; a reset or a new object changes the list.
    pub fn parts(&self) -> &[VisualPart] {
        &self.parts
    }

    /// One for each bin, metres along its y from its centre; 0 where the bin has no divider.
    pub fn divider_offsets(&self) -> &[f32] {
        &self.divider_offsets
    }
}
