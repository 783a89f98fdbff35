//! The simulated cell and whoever acts in it, one physics tick at a time, with a log that replays it exactly.
//!
//! In: a [`Setup`], object models, what the person does. Out: a [`GraspWorld`] to draw, the last action, reward and
//! outcome, and a list of [`Event`]s.

mod event;
mod live;

pub use event::{Event, Pull, Teleop};

use super::setup::{PolicyChoice, Setup};
use crate::contract::{
    Action, Decision, GripperCommand, Observation, Policy, Reset, Rng, Script, ScriptPolicy, Seed, Step, TaskKind,
};
use crate::env::{EpisodeLoop, OneSetSchedule};
use crate::objects::{ObjectModel, draw_objects};
use crate::policies::WorldPolicy;
use crate::scene::{CellDescription, instance};
use crate::sim::GraspWorld;
use crate::tasks::{BinGraspConfig, PoseGraspConfig, TaskEpisode, TaskFactory, bin_grasp, pose_grasp};
use glam::Vec3;
use live::LiveCell;
use std::sync::Arc;

/// Steps that a person at the keyboard has.
const KEYBOARD_STEPS: u32 = 400;
/// Ticks for which everything must rest before time stands still.
const CALM_TICKS: u32 = 48;
/// Ticks for which an outcome stays on screen.
pub const LINGER_TICKS: u32 = 216;
/// One key press moves the gripper this far, metres and radians.
const KEY_STEP_M: f32 = 0.03;
const KEY_STEP_RAD: f32 = 0.22;

/// What a tick brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticked {
    /// Something may have moved.
    pub moved: bool,
    /// An environment step ended.
    pub step: Option<Step>,
}

pub struct Stage {
    cell: Arc<CellDescription>,
    pool: Arc<Vec<Arc<ObjectModel>>>,
    live: LiveCell,
    /// Which episode is played: the loop that plays them everywhere.
    episodes: EpisodeLoop<OneSetSchedule>,
    seed: Seed,
    policy_choice: PolicyChoice,
    script: Option<ScriptState>,
    log: Vec<Event>,
    pull: Option<Pull>,
    /// Ticks left until time stands still.
    stir: u32,
    /// Ticks left until a learned policy is asked again.
    rest: u32,
    drops: u64,
    /// Decided and not yet begun.
    queued: Option<Decision>,
    pub teleop: Teleop,
    pub last_action: Option<Action>,
    pub last_step: Option<Step>,
    /// Sum of rewards since the episode began.
    pub episode_return: f32,
    /// Ticks since the reset.
    pub ticks: u64,
    /// Ticks since the episode was judged.
    pub since_done: u32,
}

/// What a stage is built from, beside its setup.
#[derive(Clone)]
pub struct StageParts {
    pub cell: Arc<CellDescription>,
    /// Objects that episodes are drawn from.
    pub pool: Arc<Vec<Arc<ObjectModel>>>,
    /// The task of a learned policy, where it is not the cell's usual one.
    pub learned_task: Option<TaskFactory>,
}

/// A policy that reads the state, and its random numbers.
struct ScriptState {
    policy: Box<dyn WorldPolicy>,
    rng: Rng,
}

/// The script of a stage.
struct StageScript<'a> {
    script: &'a mut Option<ScriptState>,
    world: GraspWorld<'a>,
}

impl Script for StageScript<'_> {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        let act = |state: &mut ScriptState| state.policy.act(&self.world, &mut state.rng);
        indices.iter().map(|_| self.script.as_mut().map(act).unwrap_or_default()).collect()
    }
}

/// The cell's task; a person at the keyboard drives freely and has more steps.
fn task_of(kind: TaskKind, policy: PolicyChoice, learned: Option<&TaskFactory>) -> TaskFactory {
    if let (PolicyChoice::Learned, Some(task)) = (policy, learned) {
        return Arc::clone(task);
    }
    let by_hand = policy == PolicyChoice::Keyboard;
    match kind {
        TaskKind::BinGrasp => {
            let usual = BinGraspConfig::default();
            let max_steps = if by_hand { KEYBOARD_STEPS } else { usual.max_steps };
            bin_grasp(BinGraspConfig { max_steps, ..usual })
        }
        TaskKind::PoseGrasp => {
            let usual = PoseGraspConfig::default();
            let free = PoseGraspConfig { decisions: 0, servo_steps: KEYBOARD_STEPS, ..usual };
            pose_grasp(if by_hand { free } else { usual }, Arc::default())
        }
    }
}

impl Stage {
    pub fn new(setup: &Setup, StageParts { cell, pool, learned_task }: StageParts) -> Self {
        let mut description = CellDescription::clone(&cell);
        if let Some(offset) = setup.divider_m {
            for divider in description.bins.iter_mut().filter_map(|bin| bin.divider.as_mut()) {
                let [low, high] = divider.range;
                divider.range = [offset.clamp(low, high); 2];
            }
        }
        let seed = Seed(setup.seed);
        let task = task_of(cell.task, setup.policy, learned_task.as_ref())();
        let scripts = setup.policy.policy().map(|kind| task.script(kind));
        let mut live = LiveCell::new(Arc::new(description), task);
        live.reset(draw_objects(&pool, setup.count, seed), seed);
        let mut episodes = EpisodeLoop::new(OneSetSchedule { set: seed }, 1);
        let rng = episodes.starts().pop().and_then(|reset| reset.script);
        let script = scripts.zip(rng).map(|(policy, rng)| ScriptState { policy, rng });
        Self {
            live,
            episodes,
            seed,
            cell,
            pool,
            policy_choice: setup.policy,
            script,
            log: Vec::new(),
            pull: None,
            stir: 0,
            rest: 0,
            drops: 0,
            queued: None,
            teleop: Teleop::default(),
            last_action: None,
            last_step: None,
            episode_return: 0.0,
            ticks: 0,
            since_done: 0,
        }
    }

    /// Does again what a log says.
    ///
    /// # Errors
    /// The name of an object that the set does not have.
    pub fn replay(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            match event {
                Event::Act(action) => self.begin((*action).into()),
                Event::Run(ticks) | Event::Idle(ticks) => {
                    for _ in 0..*ticks {
                        self.physics_tick();
                    }
                }
                Event::Pull { object, point, place } => {
                    self.pull = Some(Pull { object: *object, point: *point, place: *place });
                }
                Event::Release => self.release(),
                Event::Drop { object, seed } => {
                    let model = self.pool.iter().find(|model| model.name == *object).cloned();
                    let model = model.ok_or_else(|| format!("the object '{object}' is not in the set"))?;
                    self.drop_model(&model, *seed);
                }
                Event::NextAttempt => self.begin_attempt(),
            }
        }
        self.log = events.to_vec();
        Ok(())
    }

    pub fn world(&self) -> GraspWorld<'_> {
        self.live.world()
    }

    pub fn episode(&self) -> &TaskEpisode {
        self.live.episode()
    }

    /// Where the gripper was when the last action began.
    pub fn gripper_before(&self) -> Vec3 {
        self.live.gripper_before()
    }

    /// The cell as described, with the divider's whole range.
    pub fn cell(&self) -> &Arc<CellDescription> {
        &self.cell
    }

    pub fn log(&self) -> &[Event] {
        &self.log
    }

    /// An action is being carried out.
    pub fn is_busy(&self) -> bool {
        self.live.is_busy()
    }

    pub fn is_pulling(&self) -> bool {
        self.pull.is_some()
    }

    /// One tick of physics and, between actions, the next decision.
    pub fn tick(&mut self) -> Ticked {
        self.ticks += 1;
        self.rest = self.rest.saturating_sub(1);
        if self.episode().is_done() {
            self.since_done += 1;
        } else if self.episode().is_ready()
            && let Some(decision) = self.decide()
        {
            self.record(Event::Act(decision.action));
            self.begin(decision);
        }
        let idle = !self.is_busy();
        if idle && self.stir == 0 && self.pull.is_none() {
            return Ticked::default();
        }
        self.record(if idle { Event::Idle(1) } else { Event::Run(1) });
        Ticked { moved: true, step: self.physics_tick() }
    }

    /// Begins a step that stands still when nobody decides: the next [`Self::tick`]s carry it out.
    pub fn force_decision(&mut self) {
        if self.awaits(PolicyChoice::Keyboard) {
            self.queued = Some(self.keyed().into());
        }
    }

    fn awaits(&self, choice: PolicyChoice) -> bool {
        self.policy_choice == choice && self.episode().is_ready() && self.queued.is_none()
    }

    /// Whether a learned policy is to decide before the next tick.
    pub fn awaits_pilot(&self) -> bool {
        self.awaits(PolicyChoice::Learned) && self.rest == 0
    }

    /// The learned policy is not asked again before so many ticks are over.
    pub fn rest(&mut self, ticks: u32) {
        self.rest = ticks;
    }

    /// Lets a policy decide from an image, `[size, size, channels]`, and measured depth where it wants it.
    ///
    /// # Errors
    /// The policy's sentence.
    pub fn pilot(
        &mut self,
        policy: &mut dyn Policy,
        (images, sensed_depth_m): (Vec<u8>, Vec<f32>),
    ) -> Result<(), String> {
        let Self { live, script, episodes, .. } = self;
        let (world, episode) = (live.world(), live.episode());
        let observation = Observation {
            images,
            sensed_depth_m,
            gripper: vec![episode.gripper_state(&world)],
            step_indices: vec![episode.step_index()],
        };
        let requests = episodes.requests(&[]);
        let decided = policy.act(&observation, &requests, &mut StageScript { script, world });
        self.queued = decided.map_err(|error| error.to_string())?.pop();
        Ok(())
    }

    fn decide(&mut self) -> Option<Decision> {
        if self.queued.is_none() && self.script.is_some() {
            self.pilot(&mut ScriptPolicy, Default::default()).ok()?;
        }
        let moves = self.policy_choice == PolicyChoice::Keyboard && !self.teleop.is_still();
        self.queued.take().or_else(|| moves.then(|| self.keyed().into()))
    }

    fn keyed(&self) -> Action {
        let direction = self.teleop.direction.clamp_length_max(1.0);
        Action {
            translation_m: (direction * KEY_STEP_M).to_array(),
            rotation_rad: self.teleop.turn * KEY_STEP_RAD,
            ..Action::default()
        }
    }

    /// The keyboard's gripper key.
    pub fn toggle_gripper(&mut self) {
        let closed = self.world().gripper_state().closed;
        let gripper = if closed { GripperCommand::Open } else { GripperCommand::Close };
        self.queue(Action { gripper, ..Action::default() });
    }

    /// The keyboard's "lift and judge".
    pub fn terminate(&mut self) {
        self.queue(Action { terminate: true, ..Action::default() });
    }

    fn queue(&mut self, action: Action) {
        if self.policy_choice == PolicyChoice::Keyboard && !self.episode().is_done() {
            self.queued = Some(action.into());
        }
    }

    fn begin(&mut self, decision: Decision) {
        self.live.act(decision.action);
        self.last_action = Some(decision.action);
    }

    /// A tick of whatever is under way.
    fn physics_tick(&mut self) -> Option<Step> {
        if let Some(Pull { object, point, place }) = self.pull {
            self.live.edit(|world| world.pull_object(object, point, place));
            self.stir = CALM_TICKS;
        }
        if !self.is_busy() {
            self.live.tick();
            self.stir = if self.world().is_calm() { self.stir.saturating_sub(1) } else { CALM_TICKS };
            return None;
        }
        let step = self.live.tick()?;
        self.episodes.record(0, self.last_action.map(Decision::from), step.clone());
        self.stir = CALM_TICKS;
        self.episode_return += step.reward;
        self.since_done = 0;
        self.last_step = Some(step.clone());
        Some(step)
    }

    /// A person takes hold of an object at a point (in its frame), or moves what is held.
    pub fn pull(&mut self, object: usize, point: Vec3, place: Vec3) {
        if object < self.world().objects().len() && place.is_finite() && point.is_finite() {
            self.pull = Some(Pull { object, point, place });
            self.record(Event::Pull { object, point, place });
        }
    }

    pub fn let_go(&mut self) {
        if self.pull.is_some() {
            self.release();
            self.record(Event::Release);
        }
    }

    fn release(&mut self) {
        if let Some(pull) = self.pull.take() {
            self.live.edit(|world| world.release_object(pull.object));
            self.stir = CALM_TICKS;
        }
    }

    /// Drops one more object of the set. False when there is no room for another.
    pub fn drop_another(&mut self) -> bool {
        let seed = self.seed.derive("viewer-drop", self.drops);
        let Some(model) = self.pool.get(seed.rng().below(self.pool.len())).cloned() else { return false };
        let dropped = self.drop_model(&model, seed);
        if dropped {
            self.record(Event::Drop { object: model.name.clone(), seed });
        }
        dropped
    }

    fn drop_model(&mut self, model: &Arc<ObjectModel>, seed: Seed) -> bool {
        self.drops += 1;
        self.stir = CALM_TICKS;
        self.world().objects().len() < instance::MAX_OBJECTS && self.live.edit(|world| world.drop_object(model, seed))
    }

    /// Another attempt on the objects as they lie; what was grasped falls back into the bin. It has the seed that it has in
    /// an evaluation of this set of objects. Nothing happens before the last attempt is over.
    pub fn next_attempt(&mut self) {
        if self.episode().is_done() {
            self.record(Event::NextAttempt);
            self.begin_attempt();
        }
    }

    fn begin_attempt(&mut self) {
        let Some(Reset { seed, .. }) = self.episodes.starts().pop() else { return };
        self.release();
        self.live.keep_objects(seed);
        self.queued = None;
        self.episode_return = 0.0;
        self.since_done = 0;
        self.stir = CALM_TICKS;
        (self.last_action, self.last_step) = (None, None);
        if let Some(script) = &mut self.script {
            script.policy.begin();
        }
    }

    fn record(&mut self, event: Event) {
        event::record(&mut self.log, event);
    }
}

#[cfg(test)]
mod tests;
