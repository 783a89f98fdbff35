//! Three relative poses, then a grasp (Pedersen et al., "Grasping Unknown Objects by Coupling Deep Reinforcement Learning,
//! Generative Adversarial Networks, and Visual Servoing", ICRA 2020).
//!
//! An action is a pose relative to the hand's own: x along the closing direction, y across it, a turn about the approach
//! axis, all in the hand's frame before the action. The height is forced down in all steps but the last; there the action's z
//! is added to the way down.
//!
//! | | |
//! |---|---|
//! | reward | equation 1 against the best of the object's good poses, in the last step, or in every step |
//! | ends | the third decision; with servoing the policy's `terminate`, or the limit of its steps |
//! | success | as in `bin_grasp`: the jaws close, the arm lifts, the object stays between the fingers |
//!
//! While agents are trained the hand is kinematic: it is put where the action says, through whatever is there, and nothing is
//! grasped. Judged episodes are physical.

use super::grasp_poses::GraspLibrary;
use super::lift::Lift;
use super::pose_reward::{GripperPose, PoseReward};
use super::pose_script::PoseScript;
use super::{Judgement, Next, Task};
use crate::contract::{Action, ActionSpace};
use crate::policies::{PolicyKind, WorldPolicy};
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, Motion, Speed, ToolPose};
use glam::{Quat, Vec3};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Decisions, heights, reward and time limits of [`PoseGrasp`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoseGraspConfig {
    /// Relative poses of an episode.
    pub decisions: u32,
    /// Way down of all decisions but the last, metres.
    pub descent_m: f32,
    /// The same of the last one, and the largest that the action's z adds to it or takes from it.
    pub last_descent_m: f32,
    /// Most that the last action's z adds to the last way down or takes from it, metres.
    pub last_range_m: f32,
    /// Steps of visual servoing after the decisions, at most; 0 for none. With them the last decision keeps its height,
    /// displacements are taken as they are, and `terminate` closes the jaws.
    pub servo_steps: u32,
    /// The hand is put where actions say and nothing is grasped: for training.
    pub kinematic: bool,
    /// The reward of equation 1 after every decision, and not after the last alone.
    pub every_step_reward: bool,
    /// Weights and scales of equation 1.
    pub reward: PoseReward,
    /// Seconds after which a motion ends even if the hand has not arrived, a lift, and the hold in the air.
    pub max_step_s: f32,
    /// Seconds after which the lift ends even if the hand has not arrived.
    pub max_lift_s: f32,
    /// Seconds a grasp is held in the air before it is judged.
    pub hold_s: f32,
}

impl Default for PoseGraspConfig {
    fn default() -> Self {
        Self {
            decisions: 3,
            descent_m: 0.15,
            last_descent_m: 0.20,
            last_range_m: 0.12,
            servo_steps: 0,
            kinematic: false,
            every_step_reward: false,
            reward: PoseReward::default(),
            max_step_s: 1.5,
            max_lift_s: 3.0,
            hold_s: 0.2,
        }
    }
}

/// Steps of servoing up to this long move the hand at once, as a velocity of a thirtieth of a second does; longer ones are
/// motions among objects.
const SERVO_STEP_M: f32 = 0.03;
/// A kinematic hand may go this far below the table, metres.
const BELOW: f32 = 0.15;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// Moves as the action says.
    #[default]
    Acting,
    /// Over its place, on the way down to the last pose.
    Down,
    Closing,
    Lifting,
    Holding,
}

/// The task `pose-grasp` in one environment.
pub struct PoseGrasp {
    config: PoseGraspConfig,
    library: Arc<GraspLibrary>,
    phase: Phase,
    /// Good poses of the object, as it lay when the episode began.
    good: Vec<GripperPose>,
    decision: u32,
    is_last: bool,
    terminating: bool,
    goal: Option<ToolPose>,
    reward: f32,
    lift: Lift,
}

impl PoseGrasp {
    /// A task that waits for its first [`Task::begin`]; good poses are looked up in `library`, which environments
    /// share.
    pub fn new(config: PoseGraspConfig, library: Arc<GraspLibrary>) -> Self {
        Self {
            config,
            library,
            phase: Phase::Acting,
            good: Vec::new(),
            decision: 0,
            is_last: false,
            terminating: false,
            goal: None,
            reward: 0.0,
            lift: Lift::default(),
        }
    }

    /// Equation 1 for the hand where it is. Without a good pose everything is as far away as can be.
    fn reward_of(&self, world: &GraspWorld) -> f32 {
        let here = world.tool_pose();
        let pose = GripperPose { position: here.position.as_dvec3().to_array(), yaw: f64::from(here.yaw) };
        let below = here.position.z < world.workspace_centre().z;
        let reward = self.config.reward;
        reward.best(&pose, &self.good, below).map_or_else(|| reward.of_scaled(1.0, 1.0, below), |(best, _)| best) as f32
    }

    /// Where an action leads: over the table, at any height where the hand is kinematic.
    fn goal_of(&self, world: &GraspWorld, translation: Vec3, turn: f32) -> ToolPose {
        let here = world.tool_pose();
        let position = here.position + Quat::from_rotation_z(here.yaw) * translation;
        let wanted = ToolPose { position, yaw: here.yaw + turn };
        let reached = world.reachable(wanted);
        if !self.config.kinematic {
            return reached;
        }
        let table = world.workspace_centre().z;
        let z = position.z.clamp(table - BELOW, table + world.cell().motion.ceiling);
        ToolPose { position: reached.position.with_z(z), ..reached }
    }

    fn is_servoing(&self) -> bool {
        self.decision > self.config.decisions
    }

    fn move_to(&self, goal: ToolPose, close: Option<bool>) -> Motion {
        Motion::Move { goal, close, speed: Speed::Full, max_s: self.config.max_step_s }
    }

    fn end(&self, world: &GraspWorld) -> Judgement {
        let grasped = self.lift.held(world);
        let failure = grasped.is_empty().then(|| self.lift.failure(world));
        let terminated = self.terminating || self.config.servo_steps == 0;
        Judgement { reward: self.reward, terminated, grasped, failure }
    }
}

impl Task for PoseGrasp {
    fn action_space(&self, cell: &CellDescription) -> ActionSpace {
        let mut step_m = cell.motion.step_m.to_array();
        if self.config.servo_steps == 0 {
            step_m[2] = self.config.last_range_m;
        }
        ActionSpace { step_m, step_rad: cell.motion.step_rad }
    }

    fn is_relative(&self) -> bool {
        true
    }

    fn max_steps(&self) -> u64 {
        u64::from(self.config.decisions + self.config.servo_steps)
    }

    fn begin(&mut self, world: &GraspWorld) {
        *self = Self::new(self.config, Arc::clone(&self.library));
        self.good = (0..world.objects().len()).flat_map(|index| self.library.poses(world, index)).collect();
    }

    fn act(&mut self, world: &GraspWorld, action: &Action, step_index: u64) -> Motion {
        let config = self.config;
        self.decision = u32::try_from(step_index).unwrap_or(u32::MAX);
        self.phase = Phase::Acting;
        self.terminating = action.terminate;
        self.is_last = step_index >= self.max_steps() || (action.terminate && config.servo_steps > 0);
        let [x, y, z] = action.translation_m;
        if self.is_servoing() {
            let way = Vec3::new(x, y, z);
            let goal = self.goal_of(world, way, action.rotation_rad);
            let at_once = config.kinematic || way.length() <= SERVO_STEP_M;
            return if at_once { Motion::Place { goal } } else { self.move_to(goal, None) };
        }
        let is_last_decision = self.decision == config.decisions;
        let down = match (is_last_decision, config.servo_steps > 0) {
            (false, _) => -config.descent_m,
            (true, true) => 0.0,
            (true, false) => z - config.last_descent_m,
        };
        let goal = self.goal_of(world, Vec3::new(x, y, down), action.rotation_rad);
        if config.kinematic {
            return Motion::Place { goal };
        }
        self.goal = Some(goal);
        if is_last_decision && config.servo_steps == 0 {
            // First over the place, then straight down: what stands there is not swept aside.
            let here = world.tool_pose().position;
            self.phase = Phase::Down;
            return self.move_to(ToolPose { position: goal.position.with_z(here.z), ..goal }, None);
        }
        self.move_to(goal, None)
    }

    fn after_motion(&mut self, world: &GraspWorld) -> Next {
        let here = world.tool_pose();
        match self.phase {
            Phase::Down => {
                self.phase = Phase::Acting;
                Next::Move(self.move_to(self.goal.unwrap_or(here), None))
            }
            Phase::Acting if !self.is_last => {
                let counts = self.config.every_step_reward && !self.is_servoing();
                Next::Step { reward: if counts { self.reward_of(world) } else { 0.0 } }
            }
            Phase::Acting => {
                self.reward = self.reward_of(world);
                if self.config.kinematic {
                    return Next::End(Judgement { reward: self.reward, terminated: true, ..Judgement::default() });
                }
                self.phase = Phase::Closing;
                Next::Move(self.move_to(here, Some(true)))
            }
            Phase::Closing => {
                self.phase = Phase::Lifting;
                Next::Move(self.lift.rise(world, self.config.max_lift_s))
            }
            Phase::Lifting => {
                self.phase = Phase::Holding;
                Next::Move(self.lift.hold(world, self.config.hold_s))
            }
            Phase::Holding => Next::End(self.end(world)),
        }
    }

    fn script(&self, kind: PolicyKind) -> Box<dyn WorldPolicy> {
        Box::new(PoseScript::new(kind, self.config, Arc::clone(&self.library)))
    }
}
