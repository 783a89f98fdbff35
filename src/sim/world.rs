//! One environment: a bin with objects and a robot over it, stepped by actions.
//!
//! In: a cell, object models, a seed, then actions. Out: rewards and terminations ([`Step`]), the poses of all bodies
//! and what is to be drawn on them. Two worlds share nothing, so they may be stepped on any threads in any order.

use super::config::SimConfig;
use super::gripper::{Gripper, Station};
use super::physics::Physics;
use crate::contract::{Action, GripperCommand, GripperState, Pose, Rng, Seed, Step, Surface, VisualPart};
use crate::objects::ObjectModel;
use crate::scene::parts::{arm_poses, fixed_parts};
use crate::scene::{ArmPose, BinDescription, Bodies, CellDescription, instance};
use bevy::prelude::Component;
use glam::{Quat, Vec3};
use std::sync::Arc;

mod hand;

/// What the machine that carries out a step is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Waits for an action.
    Ready,
    /// Carries out an action; `judge` when the episode ends with it. In this and the next phases `free` says that
    /// nothing but the gripper moves and it meets nothing, so that there is no physics to be done.
    Moving {
        ticks: u32,
        judge: bool,
        free: bool,
    },
    /// The arm rises to be judged.
    Lifting {
        ticks: u32,
        free: bool,
    },
    /// Holds still in the air.
    Holding {
        ticks: u32,
        free: bool,
    },
    Done,
}

/// One simulated cell.
#[derive(Component)]
pub struct GraspWorld {
    cell: Arc<CellDescription>,
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
    tick: u64,
    /// Offsets of the objects from the gripper when the hold began.
    held_offsets: Vec<Vec3>,
    last_step: Step,
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
            tick: 0,
            held_offsets: Vec::new(),
            last_step: Step::default(),
            physics,
            cell,
        };
        let home = world.home(Vec3::ZERO);
        world.gripper = Some(Gripper::new(&mut world.physics, &world.cell, config, home));
        world.publish();
        world
    }

    /// Starts an episode: samples the dividers, drops the objects, lets them settle, brings the open gripper to its
    /// start. The state afterwards depends on the cell, the configuration, the objects and the seed alone.
    pub fn reset(&mut self, objects: &[Arc<ObjectModel>], seed: Seed) {
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
    /// objects named in `returned` are dropped at random places (the evaluation protocol of RCAN, section 5.1).
    pub fn next_attempt(&mut self, returned: &[usize], seed: Seed) {
        let mut rng = seed.derive("attempt", 0).rng();
        if let Some(gripper) = self.gripper.take() {
            gripper.remove(&mut self.physics);
        }
        for &index in returned.iter().filter(|&&index| index < self.models.len()) {
            let pose = self.drop_pose(&self.models[index], index, &mut rng);
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
        self.tick = 0;
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

    /// The middle of the first bin, or between several.
    fn home(&self, offset: Vec3) -> Station {
        let bins = &self.cell.bins;
        let centre = bins.iter().map(|bin| bin.position).sum::<Vec3>() / bins.len().max(1) as f32;
        Station { position: centre + offset + Vec3::Z * self.cell.motion.home_height, yaw: 0.0 }
    }

    /// A random pose over a bin, as low as the objects before `index` and the divider allow.
    fn drop_pose(&self, model: &ObjectModel, index: usize, rng: &mut Rng) -> Pose {
        let bin = rng.pick(&self.cell.bins);
        let radius = model.bounding_radius();
        let room = (bin.half_size() - radius).max(glam::Vec2::ZERO);
        let rotation = rng.rotation();
        let above_divider = bin.divider.map_or(0.0, |divider| divider.height);
        // Of a few places take the one where the object can start lowest: less to fall, sooner at rest.
        let mut best = Vec3::splat(f32::INFINITY);
        for _ in 0..4 {
            let (x, y) = (rng.range(-room.x, room.x), rng.range(-room.y, room.y));
            let mut place = bin.position + Vec3::new(x, y, above_divider + radius + 0.005);
            for (other, body) in self.physics.objects.iter().enumerate() {
                let centre = self.physics.object_pose(other).translation;
                if other != index {
                    let apart = radius + body.radius + 0.002;
                    let horizontal = (place - centre).truncate().length();
                    if horizontal < apart && (place.z - centre.z).abs() < apart {
                        place.z = place.z.max(centre.z + (apart * apart - horizontal * horizontal).sqrt());
                    }
                }
            }
            if place.z < best.z {
                best = place;
            }
        }
        Pose::new(best, rotation)
    }

    /// Ticks until everything rests.
    fn settle(&mut self) {
        // The engine puts whole heaps to sleep once they have rested for a while. Sending them to sleep from outside
        // would be quicker and is wrong: bodies that are woken later have lost the contacts they stood on.
        for _ in 0..self.config.max_settle_ticks {
            if self.physics.all_asleep() {
                break;
            }
            self.physics.tick();
        }
    }

    /// Carries out one action to its end. After the last step of an episode this does nothing but repeat its outcome
    /// until the next reset.
    pub fn step(&mut self, action: &Action) -> Step {
        self.begin_step(action);
        loop {
            if let Some(step) = self.advance(u32::MAX) {
                return step;
            }
        }
    }

    /// Takes an action without moving anything yet; [`Self::advance`] carries it out. For viewers, which draw between.
    pub fn begin_step(&mut self, action: &Action) {
        if self.phase != Phase::Ready {
            return;
        }
        self.tick += 1;
        let last = self.tick >= u64::from(self.config.max_steps);
        let goal = self.goal_of(action);
        let Some(gripper) = &mut self.gripper else { return };
        let here = gripper.station(&self.physics);
        let closed = gripper.closed();
        match action.gripper {
            GripperCommand::Keep => {}
            GripperCommand::Close => gripper.command(true),
            GripperCommand::Open => gripper.command(false),
        }
        let still = closed == gripper.closed();
        // A policy that ends the episode has said that it is where it wants to be.
        let goal = if action.terminate { Station { position: here.position, ..here } } else { goal };
        gripper.go(here, goal);
        let free = still && self.way_is_free();
        self.phase = Phase::Moving { ticks: 0, judge: action.terminate || last, free };
    }

    /// Whether everything rests and the gripper meets nothing on its way to its goal.
    fn way_is_free(&self) -> bool {
        const MARGIN: f32 = 0.005;
        let Some(gripper) = &self.gripper else { return true };
        if !(self.physics.all_asleep() && gripper.at_rest(&self.physics)) {
            return false;
        }
        let bounds = gripper.swept_bounds(MARGIN);
        let clear_of_bins = self.cell.bins.iter().zip(&self.divider_offsets).all(|(bin, &offset)| {
            let half = bin.half_size();
            bounds.iter().all(|(low, high)| {
                let (low, high) = (*low - bin.position, *high - bin.position);
                let inside = low.truncate().cmpge(-half).all() && high.truncate().cmple(half).all() && low.z > 0.0;
                let beside_divider = bin.divider.is_none_or(|divider| {
                    let reach = 0.5 * divider.thickness;
                    low.z > divider.height || low.y > offset + reach || high.y < offset - reach
                });
                low.z > bin.wall_height || (inside && beside_divider)
            })
        });
        clear_of_bins
            && (0..self.models.len()).all(|index| {
                let (low, high) = self.physics.object_bounds(index);
                bounds.iter().all(|(from, to)| low.cmpgt(*to).any() || high.cmplt(*from).any())
            })
    }

    /// The arm rises above the rim, gently: what is held should not be shaken off by the judgement.
    fn lift(&mut self) {
        let height = self.highest_rim() + self.cell.motion.lift_height;
        if let Some(gripper) = &mut self.gripper {
            let here = gripper.station(&self.physics);
            let up = Station { position: here.position.with_z(height.max(here.position.z)), yaw: here.yaw };
            gripper.go_gently(here, up);
        }
        self.phase = Phase::Lifting { ticks: 0, free: self.way_is_free() };
    }

    fn highest_rim(&self) -> f32 {
        self.cell.bins.iter().map(BinDescription::rim_z).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Where an action leads: displacement and rotation clamped, then the place held inside the workspace.
    fn goal_of(&self, action: &Action) -> Station {
        let limits = &self.cell.motion;
        let base = self.station();
        let translation = Vec3::from(action.translation_m);
        // A policy that returns nonsense stays where it is.
        let translation = if translation.is_finite() { translation } else { Vec3::ZERO };
        let rotation = if action.rotation_rad.is_finite() { action.rotation_rad } else { 0.0 };
        let wanted = base.position + translation.clamp(-limits.step_m, limits.step_m);
        let yaw = base.yaw + rotation.clamp(-limits.step_rad, limits.step_rad);
        Station { position: self.clamp_to_workspace(wanted), yaw: yaw.clamp(-limits.max_yaw_rad, limits.max_yaw_rad) }
    }

    /// The nearest place where the gripper may be: over a bin, between floor and ceiling.
    pub fn clamp_to_workspace(&self, place: Vec3) -> Vec3 {
        let limits = &self.cell.motion;
        let inside = |bin: &BinDescription| {
            let half = (bin.half_size() - limits.wall_margin).extend(0.0);
            let (low, high) = (bin.position - half, bin.position + half);
            place.clamp(
                low + Vec3::Z * limits.floor_clearance,
                high + Vec3::Z * limits.ceiling.max(limits.floor_clearance),
            )
        };
        self.cell
            .bins
            .iter()
            .map(inside)
            .min_by(|a, b| a.distance_squared(place).total_cmp(&b.distance_squared(place)))
            .unwrap_or(place)
    }

    /// Carries on with the step by at most `ticks` of physics. Returns its outcome when it is finished.
    pub fn advance(&mut self, ticks: u32) -> Option<Step> {
        let ticks_at_once = ticks == u32::MAX;
        let mut left = ticks;
        while left > 0 {
            left -= 1;
            match self.phase {
                Phase::Ready | Phase::Done => return Some(self.last_step.clone()),
                Phase::Moving { ticks, judge, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Moving { ticks: ticks + 1, judge, free };
                    if self.gripper_finished() || ticks + 1 >= self.config.max_ticks_per_step {
                        if judge {
                            self.lift();
                            continue;
                        }
                        self.phase = Phase::Ready;
                        return Some(self.finish(self.config.step_reward, false, Vec::new()));
                    }
                }
                Phase::Lifting { ticks, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Lifting { ticks: ticks + 1, free };
                    if self.gripper_finished() || ticks + 1 >= 3 * self.config.rate_hz {
                        self.held_offsets = self.offsets_from_gripper();
                        self.phase = Phase::Holding { ticks: 0, free };
                    }
                }
                Phase::Holding { ticks, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Holding { ticks: ticks + 1, free };
                    let held = (ticks + 1) as f32 * self.config.dt() >= self.config.hold_seconds;
                    if held || (free && ticks_at_once) {
                        let grasped = self.held_clear();
                        let reward =
                            if grasped.is_empty() { self.config.failure_reward } else { self.config.success_reward };
                        self.phase = Phase::Done;
                        return Some(self.finish(reward, true, grasped));
                    }
                }
            }
            if !self.is_finite() {
                self.phase = Phase::Done;
                let mut step = self.finish(self.config.failure_reward, false, Vec::new());
                step.truncated = true;
                self.last_step = step.clone();
                return Some(step);
            }
        }
        self.publish();
        None
    }

    /// One tick; where there is no physics to be done and nobody looks on, the whole motion.
    fn motion_tick(&mut self, free: bool, at_once: bool) {
        if !free {
            self.physics_tick();
        } else if let Some(gripper) = &mut self.gripper {
            gripper.glide(&mut self.physics, if at_once { f32::INFINITY } else { self.config.dt() });
        }
    }

    fn gripper_finished(&self) -> bool {
        self.gripper.as_ref().is_none_or(Gripper::finished)
    }

    fn finish(&mut self, reward: f32, terminated: bool, grasped: Vec<usize>) -> Step {
        self.publish();
        self.last_step = Step { reward, terminated, truncated: false, grasped, tick: self.tick };
        self.last_step.clone()
    }

    pub(super) fn physics_tick(&mut self) {
        if let Some(gripper) = &mut self.gripper {
            gripper.drive(&mut self.physics, self.config.dt());
        }
        self.physics.tick();
    }

    /// One tick with the gripper driven from one place to another, whatever the acceleration.
    #[cfg(test)]
    pub(super) fn shake_tick(&mut self, from: Vec3, to: Vec3) {
        let dt = self.config.dt();
        if let Some(gripper) = &mut self.gripper {
            let station = |position| Station { position, yaw: 0.0 };
            gripper.force_path(station(from), station(to), dt);
        }
        self.physics_tick();
    }

    fn offsets_from_gripper(&self) -> Vec<Vec3> {
        let gripper = self.gripper_pose().translation;
        (0..self.models.len()).map(|i| self.physics.object_pose(i).translation - gripper).collect()
    }

    /// Objects whose lowest point is above every rim and that kept their place in the gripper during the hold.
    fn held_clear(&self) -> Vec<usize> {
        let rim = self.highest_rim();
        let now = self.offsets_from_gripper();
        (0..self.models.len())
            .filter(|&i| {
                let slip = self.held_offsets.get(i).map_or(f32::INFINITY, |then| then.distance(now[i]));
                self.physics.lowest_point(i) > rim && slip < 0.02
            })
            .collect()
    }

    fn is_finite(&self) -> bool {
        (0..self.models.len()).all(|i| self.physics.object_pose(i).is_finite()) && self.gripper_pose().is_finite()
    }

    /// Writes the poses that viewers and renderers read.
    fn publish(&mut self) {
        let bodies = self.bodies;
        self.poses.resize(bodies.count(self.models.len()), Pose::IDENTITY);
        for (i, (bin, &offset)) in self.cell.bins.iter().zip(&self.divider_offsets).enumerate() {
            self.poses[bodies.divider(i)] = Pose::from_translation(bin.position + Vec3::Y * offset);
        }
        let palm = self.gripper_pose();
        // Out of the arm's reach the drawn arm stays where it was.
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

    fn station(&self) -> Station {
        self.gripper
            .as_ref()
            .map_or(Station { position: Vec3::ZERO, yaw: 0.0 }, |gripper| gripper.station(&self.physics))
    }

    /// The gripper's frame: origin midway between the tips, z up, x the closing direction.
    pub fn gripper_pose(&self) -> Pose {
        self.gripper.as_ref().map_or(Pose::IDENTITY, |gripper| gripper.palm_pose(&self.physics))
    }

    /// Rotation about the vertical, followed over full turns.
    pub fn gripper_yaw(&self) -> f32 {
        self.station().yaw
    }

    pub fn gripper_state(&self) -> GripperState {
        let floor = self.cell.bins.first().map_or(0.0, |bin| bin.position.z);
        GripperState {
            closed: self.gripper.as_ref().is_some_and(Gripper::closed),
            height_m: self.gripper_pose().translation.z - floor,
            aperture_m: self.gripper.as_ref().map_or(0.0, |gripper| gripper.aperture(&self.physics)),
        }
    }

    /// Force that each finger and the palm feel from what they touch, newtons: fingers 0 and 1, palm.
    pub fn contact_forces(&self) -> [f32; 3] {
        let Some(gripper) = &self.gripper else { return [0.0; 3] };
        gripper.colliders().map(|collider| {
            let pairs = self.physics.world.narrow_phase.contact_pairs_with(collider);
            pairs.map(|pair| pair.total_impulse_magnitude()).sum::<f32>() / self.config.dt()
        })
    }

    /// Points in the world where bodies touch, for overlays.
    pub fn contact_points(&self) -> Vec<Vec3> {
        let mut points = Vec::new();
        for pair in self.physics.world.contact_pairs() {
            for manifold in pair.solver_manifolds() {
                let Some(collider) = self.physics.world.colliders.get(pair.collider1) else { continue };
                let pose = *collider.position();
                let pose = manifold.subshape_pos1().map_or(pose, |local| pose * *local);
                points.extend(manifold.points.iter().filter(|p| p.dist < 0.0005).map(|p| pose * p.local_p1));
            }
        }
        points
    }

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
    pub fn tick(&self) -> u64 {
        self.tick
    }

    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    pub fn last_step(&self) -> &Step {
        &self.last_step
    }

    /// The flange's frame.
    pub fn wrist_pose(&self) -> Pose {
        let (translation, rotation) = {
            let pose = self.gripper_pose() * self.cell.gripper.gripper_from_flange();
            (pose.translation, pose.rotation)
        };
        Pose::new(translation, Quat::normalize(rotation))
    }
}

/// What the planner and the checks ask.
impl GraspWorld {
    /// Highest point of an object's collision shape, world z.
    pub fn highest_point(&self, index: usize) -> f32 {
        let pose = self.physics.object_pose(index);
        let corners = &self.physics.objects[index].corners;
        corners.iter().map(|&corner| pose.transform_point(corner).z).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Whether a box (half extents, centre, rotation) touches neither the cell nor any object but `ignored`.
    pub fn is_free(&self, half: Vec3, centre: Vec3, rotation: Quat, ignored: Option<usize>) -> bool {
        self.physics.is_free(half, Pose::new(centre, rotation), ignored)
    }

    /// Whether a box touches no wall, floor or divider.
    pub fn is_clear_of_cell(&self, half: Vec3, centre: Vec3, rotation: Quat) -> bool {
        self.physics.is_clear_of_cell(half, Pose::new(centre, rotation))
    }
}
