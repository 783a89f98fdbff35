//! An episode of a task in a world: actions are clamped and counted, motions carried out, outcomes kept.
//!
//! A small machine, so that a viewer may draw between ticks; whether anyone looks or not, the outcome is the same, bit for bit.

use super::{Judgement, Next, Task};
use crate::contract::{Action, ActionSpace, Displacement, Failure, GripperState, Seed, Step};
use crate::objects::ObjectModel;
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, GraspWorldMut, MotionState};
use bevy::prelude::Component;
use glam::{Quat, Vec3};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for an action.
    Ready,
    /// Carries one out; `judging`: the motions that it asked for are done.
    Busy {
        judging: bool,
    },
    Done,
}

/// A task's episode in one world.
#[derive(Component)]
pub struct TaskEpisode {
    task: Box<dyn Task>,
    space: ActionSpace,
    phase: Phase,
    step_index: u64,
    /// The action under way, as it is carried out, and the gripper's place and yaw before it.
    action: Action,
    before: (Vec3, f32),
    commanded: Displacement,
    achieved: Displacement,
    last_step: Step,
}

impl TaskEpisode {
    /// Nothing begins before [`Self::reset`].
    pub fn new(task: Box<dyn Task>, cell: &CellDescription) -> Self {
        Self {
            space: task.action_space(cell),
            task,
            phase: Phase::Done,
            step_index: 0,
            action: Action::default(),
            before: (Vec3::ZERO, 0.0),
            commanded: Displacement::default(),
            achieved: Displacement::default(),
            last_step: Step::default(),
        }
    }

    /// Begins an episode with these objects; the seed decides everything else. `placement`: in a cell whose bins have fixed
    /// placements, the number of one.
    pub fn reset(
        &mut self,
        world: &mut GraspWorldMut<'_>,
        objects: &[Arc<ObjectModel>],
        placement: Option<usize>,
        seed: Seed,
    ) {
        let is_fixed = world.nominal_cell().bin_group.as_ref().is_some_and(|group| !group.placements.is_empty());
        match placement.filter(|_| is_fixed) {
            Some(placement) => world.reset_at(placement, objects, seed),
            None => world.reset(objects, seed),
        }
        self.begin(&world.view());
    }

    /// Begins another episode with the objects as they lie; those that were grasped go back to random places first.
    pub fn keep_objects(&mut self, world: &mut GraspWorldMut<'_>, seed: Seed) {
        world.next_attempt(&self.last_step.grasped, seed);
        self.begin(&world.view());
    }

    /// Begins an episode in a world as it stands.
    pub fn begin(&mut self, world: &GraspWorld) {
        self.task.begin(world);
        (self.phase, self.step_index) = (Phase::Ready, 0);
        (self.commanded, self.achieved) = (Displacement::default(), Displacement::default());
        self.last_step = Step::default();
    }

    /// Carries out one action to its end. After the last step of an episode this does nothing but repeat its outcome
    /// until the next reset.
    pub fn step(&mut self, world: &mut GraspWorldMut<'_>, action: &Action) -> Step {
        self.begin_step(world, action);
        loop {
            if let Some(step) = self.advance(world, u32::MAX) {
                return step;
            }
        }
    }

    /// Takes an action without moving anything yet; [`Self::advance`] carries it out. For viewers, which draw between.
    pub fn begin_step(&mut self, world: &mut GraspWorldMut<'_>, action: &Action) {
        if self.phase != Phase::Ready {
            return;
        }
        // The one place where actions are clamped.
        self.action = self.space.effective(action, world.view().gripper_state().closed);
        self.step_index += 1;
        self.before = place(&world.view());
        let Action { translation_m, rotation_rad, .. } = self.action;
        self.commanded = Displacement { translation_m, rotation_rad };
        let motion = self.task.act(&world.view(), &self.action, self.step_index);
        world.begin_motion(&motion);
        self.phase = Phase::Busy { judging: false };
    }

    /// Carries on with the step by at most `ticks` of physics. Returns its outcome when it is finished.
    pub fn advance(&mut self, world: &mut GraspWorldMut<'_>, ticks: u32) -> Option<Step> {
        let Phase::Busy { mut judging } = self.phase else { return Some(self.last_step.clone()) };
        let at_once = ticks == u32::MAX;
        let mut left = ticks;
        loop {
            match world.advance(&mut left, at_once) {
                MotionState::Moving => {
                    world.publish();
                    return None;
                }
                MotionState::Broken => {
                    let judgement = Judgement { failure: Some(Failure::Invalid), ..Judgement::default() };
                    let step = Step { invalid: true, terminated: false, truncated: false, ..self.judged(judgement) };
                    return Some(self.finish(world, Phase::Done, step));
                }
                MotionState::Arrived => {}
            }
            if !judging {
                self.achieved = self.displacement(place(&world.view()));
            }
            match self.task.after_motion(&world.view()) {
                Next::Move(motion) => {
                    judging = true;
                    self.phase = Phase::Busy { judging };
                    world.begin_motion(&motion);
                }
                Next::Step { reward } => {
                    let step = Step { reward, action: self.action, step_index: self.step_index, ..Step::default() };
                    return Some(self.finish(world, Phase::Ready, step));
                }
                Next::End(judgement) => {
                    let step = self.judged(judgement);
                    return Some(self.finish(world, Phase::Done, step));
                }
            }
        }
    }

    /// From the gripper's place before the action to another, along the axes of actions.
    fn displacement(&self, to: (Vec3, f32)) -> Displacement {
        let world = Displacement::between(self.before, to);
        if !self.task.is_relative() {
            return world;
        }
        let own = Quat::from_rotation_z(-self.before.1) * Vec3::from(world.translation_m);
        Displacement { translation_m: own.to_array(), ..world }
    }

    fn judged(&self, judgement: Judgement) -> Step {
        let Judgement { reward, terminated, grasped, failure } = judgement;
        Step {
            action: self.action,
            reward,
            terminated,
            truncated: !terminated,
            invalid: false,
            grasped,
            failure,
            step_index: self.step_index,
        }
    }

    fn finish(&mut self, world: &mut GraspWorldMut<'_>, phase: Phase, step: Step) -> Step {
        world.publish();
        self.phase = phase;
        self.last_step = step;
        self.last_step.clone()
    }

    /// The task's limits in this cell, to which actions are clamped.
    pub fn action_space(&self) -> ActionSpace {
        self.space
    }

    /// What the robot knows about its gripper, with what the last action asked for and what it achieved.
    pub fn gripper_state(&self, world: &GraspWorld) -> GripperState {
        GripperState { commanded: self.commanded, achieved: self.achieved, ..world.gripper_state() }
    }

    /// Waits for an action.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The episode is over, or none has begun.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Steps since the episode began.
    pub fn step_index(&self) -> u64 {
        self.step_index
    }

    /// Steps after which the task ends the episode at the latest.
    pub fn max_steps(&self) -> u64 {
        self.task.max_steps()
    }

    /// Outcome of the step that was finished last; the default before an episode's first.
    pub fn last_step(&self) -> &Step {
        &self.last_step
    }
}

fn place(world: &GraspWorld) -> (Vec3, f32) {
    (world.gripper_pose().translation, world.gripper_yaw())
}
