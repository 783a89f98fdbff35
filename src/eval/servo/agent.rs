//! The whole method as one policy: the pose agent's decisions, visual servoing, the way down, the grasp.
//!
//! In: what the cameras see. Out: relative poses. What the networks do is handed in as functions, so that controls (the true
//! mask, classical segmentation) take their places.

use super::hand_eye::HandEye;
use super::method::Method;
use crate::contract::{ActRequest, Action, Decision, Observation, Policy, Script, Seed, VecEnvError};
use crate::gan::semantic::RgbdImage;
use crate::servo::components::largest_component;
use crate::servo::morphology::erode;
use crate::servo::{Mask, Phase, PixelCamera, Servo, ServoConfig, ServoError, ServoTick, Target, object_distance};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Longest part of the way down, metres: cells limit a step.
const LONGEST_DESCENT_M: f32 = 0.3;

/// One image to be segmented; `classes` are the renderer's, for the control that knows the true mask.
#[derive(Clone, Copy, Debug)]
pub struct SegmentInput<'a> {
    pub image: RgbdImage<'a>,
    pub classes: Option<&'a [u8]>,
}

/// Probability that a pixel shows the object, `[size, size]` for each image.
pub type SegmentFn<'a> = Box<dyn FnMut(&[SegmentInput<'_>]) -> Result<Vec<Vec<f32>>, VecEnvError> + Send + 'a>;

/// What the pose agent sees of each image: `[size, size, 3]` bytes and `[size, size]` metres.
pub type TranslateFn<'a> =
    Box<dyn FnMut(&[RgbdImage<'_>]) -> Result<Vec<(Vec<u8>, Vec<f32>)>, VecEnvError> + Send + 'a>;

/// The pose agent.
pub type ReachPolicy<'a> = Box<dyn Policy + Send + 'a>;

/// How the parts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApproachConfig {
    pub servo: ServoConfig,
    /// Seconds between images.
    pub tick_s: f64,
    /// Distance of the object that the servo's target is chosen for, metres: of the paper's fixed point in the image.
    pub target_distance_m: f64,
    /// The target follows the measured distance of the object: without the paper's error of VS alone.
    pub target_follows_distance: bool,
    /// The tips go this far below the object's top, metres, and
    pub grasp_depth_m: f64,
    /// stay this far above the table.
    pub clearance_m: f64,
    /// Relative poses of the pose agent, and the way down of its last, to which its own height is added, metres.
    pub decisions: u32,
    pub last_descent_m: f32,
    /// Images are this many ticks old when they are acted upon.
    pub latency_ticks: usize,
    /// Standard deviations of what the servo takes for the camera's place, of each trial: metres and radians. They come on top
    /// of a domain's own.
    pub hand_eye_std_m: f32,
    pub hand_eye_std_rad: f32,
}

impl Default for ApproachConfig {
    fn default() -> Self {
        Self {
            // A displacement of 2 cm a tick.
            servo: ServoConfig { max_linear_m_s: 0.6, ..ServoConfig::default() },
            tick_s: 1.0 / 30.0,
            target_distance_m: 0.32,
            target_follows_distance: false,
            grasp_depth_m: 0.04,
            clearance_m: 0.006,
            decisions: 3,
            last_descent_m: 0.20,
            latency_ticks: 0,
            hand_eye_std_m: 0.0,
            hand_eye_std_rad: 0.0,
        }
    }
}

impl ApproachConfig {
    /// The same with what a real robot adds: images are one tick late. That the camera's mount is not where it should be is
    /// part of the domain's look.
    pub fn of_a_real_robot(self) -> Self {
        Self { latency_ticks: 1, ..self }
    }
}

/// Where a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decisions taken by the pose agent so far.
    Reach(u32),
    Servo,
    /// Over its place; goes down next.
    Descend,
    /// At its last pose; closes next.
    Close,
    Closed,
}

/// One image of a servo run, for curves: the error that was acted on, `None` where the object was missing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceTick {
    pub phase: Phase,
    pub reverts: u32,
    /// Metres from the target along the image's axes, and the angle between the axes, radians.
    pub error: Option<[f64; 3]>,
}

impl TraceTick {
    fn of(tick: &ServoTick) -> Self {
        let error = tick.observed.as_ref().map(|seen| [seen.error.tx, seen.error.ty, seen.theta]);
        Self { phase: tick.phase, reverts: tick.reverts, error }
    }
}

/// What a trial's servo did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServoRecord {
    pub phase: Option<Phase>,
    pub ticks: u32,
    pub reverts: u32,
    /// Every image, where that is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TraceTick>,
}

/// One environment's trial.
struct Trial {
    stage: Stage,
    hand_eye: HandEye,
    servo: Servo,
    /// What was seen and is not acted upon yet: the object's probabilities, and its distance.
    seen: VecDeque<(Vec<f32>, Option<f64>)>,
    distance_m: Option<f64>,
    /// Height of the tips at the grasp, once it is known.
    goal_height_m: Option<f32>,
    /// The agent's own way down after its decisions, metres.
    agent_descent_m: f32,
    record: ServoRecord,
    last: Option<ServoTick>,
}

/// Where a trial is and what its servo makes of the last image, for those who look on.
#[derive(Clone, Copy, Debug)]
pub struct ServoView<'a> {
    pub stage: Stage,
    pub camera: &'a PixelCamera,
    pub target: &'a Target,
    /// None before the first image.
    pub tick: Option<&'a ServoTick>,
    /// Every image so far, where that is wanted.
    pub trace: &'a [TraceTick],
}

/// The policy.
pub struct Approach<'a> {
    method: Method,
    config: ApproachConfig,
    hand_eye: HandEye,
    reach: Option<ReachPolicy<'a>>,
    translate: Option<TranslateFn<'a>>,
    segment: Option<SegmentFn<'a>>,
    keep_traces: bool,
    trials: Vec<Option<Trial>>,
    /// The renderer's classes of all environments, where the environments tell.
    truth: Vec<u8>,
}

impl<'a> Approach<'a> {
    /// `reach` is the pose agent.
    pub fn new(method: Method, config: ApproachConfig, hand_eye: HandEye, reach: Option<ReachPolicy<'a>>) -> Self {
        Self {
            method,
            config,
            hand_eye,
            reach,
            translate: None,
            segment: None,
            keep_traces: false,
            trials: Vec::new(),
            truth: Vec::new(),
        }
    }

    pub fn with_translation(self, translate: TranslateFn<'a>) -> Self {
        Self { translate: Some(translate), ..self }
    }

    pub fn with_segmentation(self, segment: SegmentFn<'a>) -> Self {
        Self { segment: Some(segment), ..self }
    }

    /// Every tick of every servo is kept.
    pub fn with_traces(self) -> Self {
        Self { keep_traces: true, ..self }
    }

    /// The true classes of what is seen next, `[num_envs, size, size]`: for controls alone.
    pub fn set_truth(&mut self, classes: Vec<u8>) {
        self.truth = classes;
    }

    pub fn stage(&self, index: usize) -> Option<Stage> {
        self.trials.get(index)?.as_ref().map(|trial| trial.stage)
    }

    /// How far an environment's present trial is.
    pub fn view(&self, index: usize) -> Option<ServoView<'_>> {
        let Trial { stage, servo, record, last, .. } = self.trials.get(index)?.as_ref()?;
        let (camera, target) = (servo.camera(), servo.target());
        Some(ServoView { stage: *stage, camera, target, tick: last.as_ref(), trace: &record.trace })
    }

    /// What the servo of an environment's present trial did.
    pub fn record(&self, index: usize) -> Option<&ServoRecord> {
        self.trials.get(index)?.as_ref().map(|trial| &trial.record)
    }

    fn begin(&mut self, request: &ActRequest) -> Result<(), ServoError> {
        if self.trials.len() <= request.index {
            self.trials.resize_with(request.index + 1, || None);
        }
        let mut rng = request.seed.derive("hand-eye", 0).rng();
        let error = [rng.normal(), rng.normal()].map(|part| part * self.config.hand_eye_std_m);
        let hand_eye = self.hand_eye.with_error(error, rng.normal() * self.config.hand_eye_std_rad);
        let servo = Servo::new(self.config.servo, hand_eye.camera, hand_eye.target(self.config.target_distance_m))?;
        let stage = if self.method == Method::Vs { Stage::Servo } else { Stage::Reach(0) };
        self.trials[request.index] = Some(Trial {
            stage,
            hand_eye,
            servo,
            seen: VecDeque::new(),
            distance_m: None,
            goal_height_m: None,
            agent_descent_m: 0.0,
            record: ServoRecord::default(),
            last: None,
        });
        Ok(())
    }

    /// The images of the environments that the agent decides for, translated where it looks through the generator.
    fn seen_by_agent(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
    ) -> Result<Observation, VecEnvError> {
        let mut seen = observation.clone();
        let Some(translate) = self.translate.as_mut().filter(|_| self.method.has_translation()) else {
            return Ok(seen);
        };
        let images: Vec<RgbdImage<'_>> = requests.iter().map(|request| image_of(observation, request.index)).collect();
        for (request, (rgb, depth_m)) in requests.iter().zip(translate(&images)?) {
            let (bytes, depths) = (rgb.len(), depth_m.len());
            seen.images[request.index * bytes..][..bytes].copy_from_slice(&rgb);
            seen.sensed_depth_m[request.index * depths..][..depths].copy_from_slice(&depth_m);
        }
        Ok(seen)
    }

    /// The agent's decisions: relative poses. Its last height is kept for the way down.
    fn reach(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Action>, VecEnvError> {
        if self.method == Method::Oracle {
            let indices: Vec<usize> = requests.iter().map(|request| request.index).collect();
            return Ok(script.scripted(&indices));
        }
        let seen = self.seen_by_agent(observation, requests)?;
        let Some(agent) = &mut self.reach else { return Err(VecEnvError::new("the method needs a pose agent")) };
        Ok(agent.act(&seen, requests, script)?.into_iter().map(|decision| decision.action).collect())
    }

    /// The object in the images of these environments.
    fn segment(&mut self, observation: &Observation, requests: &[ActRequest]) -> Result<Vec<Vec<f32>>, VecEnvError> {
        let Some(segment) = &mut self.segment else { return Err(VecEnvError::new("the method needs a segmentation")) };
        let truth = &self.truth;
        let inputs: Vec<SegmentInput<'_>> = requests
            .iter()
            .map(|request| {
                let image = image_of(observation, request.index);
                let pixels = image.depth_m.len();
                SegmentInput { image, classes: truth.get(request.index * pixels..(request.index + 1) * pixels) }
            })
            .collect();
        segment(&inputs)
    }
}

/// The largest part of a mask without its border, whose depths may be those of what is behind the object; the whole part where
/// it is all border, and the mask where it has no part.
fn inner_object(mask: &Mask) -> Mask {
    let Some(largest) = largest_component(mask) else { return mask.clone() };
    let inner = erode(&largest.mask, 1);
    if inner.pixels().contains(&true) { inner } else { largest.mask }
}

fn image_of(observation: &Observation, index: usize) -> RgbdImage<'_> {
    RgbdImage { rgb: observation.image(index), depth_m: observation.sensed_depth(index) }
}

impl Trial {
    /// One tick of servoing: a small displacement, or the end of it.
    fn servo(
        &mut self,
        config: &ApproachConfig,
        keep_trace: bool,
        probabilities: Vec<f32>,
        depth_m: &[f32],
    ) -> Result<Action, ServoError> {
        let (width, height) = (self.servo.camera().width, self.servo.camera().height);
        let mask = Mask::from_fn(width, height, |column, row| {
            probabilities.get(row * width + column).is_some_and(|&probability| probability >= 0.5)
        });
        let distance = object_distance(&inner_object(&mask), depth_m);
        self.seen.push_back((probabilities, distance));
        if self.seen.len() > config.latency_ticks + 1 {
            self.seen.pop_front();
        }
        let Some((probabilities, distance)) = self.seen.front() else { return Ok(Action::default()) };
        self.distance_m = distance.or(self.distance_m);
        let distance_m = self.distance_m.unwrap_or(config.target_distance_m);
        if config.target_follows_distance {
            self.servo.set_target(self.hand_eye.target(distance_m))?;
        }
        let tick = self.servo.step_soft(probabilities, distance_m)?;
        let record = &mut self.record;
        (record.phase, record.ticks, record.reverts) = (Some(tick.phase), tick.tick, tick.reverts);
        let (way, turn) = self.hand_eye.displacement(tick.velocity, config.tick_s, distance_m);
        if tick.phase.is_final() {
            self.stage = Stage::Descend;
        }
        if keep_trace {
            record.trace.push(TraceTick::of(&tick));
        }
        self.last = Some(tick);
        Ok(Action { translation_m: way, rotation_rad: turn, ..Action::default() })
    }

    /// Down to the grasp, in as many steps as it takes: by the measured distance after servoing, else as the agent says.
    fn descend(&mut self, config: &ApproachConfig, has_servo: bool, tip_height_m: f32) -> Action {
        let goal = *self.goal_height_m.get_or_insert_with(|| {
            if !has_servo {
                return tip_height_m + self.agent_descent_m;
            }
            let camera_height = f64::from(tip_height_m) + self.hand_eye.tip_distance_m();
            let top = camera_height - self.distance_m.unwrap_or(camera_height);
            (top - config.grasp_depth_m).max(config.clearance_m) as f32
        });
        let left = goal - tip_height_m;
        let down = left.clamp(-LONGEST_DESCENT_M, LONGEST_DESCENT_M);
        if down == left {
            self.stage = Stage::Close;
        }
        Action { translation_m: [0.0, 0.0, down], ..Action::default() }
    }
}

impl Policy for Approach<'_> {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        for request in requests.iter().filter(|request| request.step == 0) {
            self.begin(request).map_err(VecEnvError::new)?;
        }
        let staged = |wanted: fn(Stage) -> bool, trials: &[Option<Trial>]| -> Vec<ActRequest> {
            let is_wanted = |request: &&ActRequest| {
                trials.get(request.index).and_then(Option::as_ref).is_some_and(|trial| wanted(trial.stage))
            };
            requests.iter().filter(is_wanted).copied().collect()
        };
        let mut actions: Vec<(usize, Action)> = Vec::with_capacity(requests.len());
        let reaching = staged(|stage| matches!(stage, Stage::Reach(_)), &self.trials);
        let servoing = staged(|stage| stage == Stage::Servo, &self.trials);
        let ending = staged(|stage| !matches!(stage, Stage::Reach(_) | Stage::Servo), &self.trials);
        if !reaching.is_empty() {
            let decided = self.reach(observation, &reaching, script)?;
            for (request, mut action) in reaching.iter().zip(decided) {
                let Some(trial) = &mut self.trials[request.index] else { continue };
                let Stage::Reach(taken) = trial.stage else { continue };
                if self.method == Method::Oracle {
                    // Its own script goes all the way, one step beyond the decisions.
                    trial.stage = if taken < self.config.decisions { Stage::Reach(taken + 1) } else { Stage::Close };
                } else {
                    let is_last = taken + 1 == self.config.decisions;
                    if is_last {
                        trial.agent_descent_m = action.translation_m[2] - self.config.last_descent_m;
                    }
                    trial.stage = match (is_last, self.method.has_servo()) {
                        (false, _) => Stage::Reach(taken + 1),
                        (true, true) => Stage::Servo,
                        (true, false) => Stage::Descend,
                    };
                    action.terminate = false;
                }
                actions.push((request.index, action));
            }
        }
        if !servoing.is_empty() {
            let masks = self.segment(observation, &servoing)?;
            for (request, probabilities) in servoing.iter().zip(masks) {
                let Some(trial) = &mut self.trials[request.index] else { continue };
                let depth_m = observation.sensed_depth(request.index);
                let action = trial.servo(&self.config, self.keep_traces, probabilities, depth_m);
                actions.push((request.index, action.map_err(VecEnvError::new)?));
            }
        }
        for request in ending {
            let Some(trial) = &mut self.trials[request.index] else { continue };
            let action = match trial.stage {
                Stage::Descend => {
                    let tip_height_m = observation.gripper[request.index].height_m;
                    trial.descend(&self.config, self.method.has_servo(), tip_height_m)
                }
                _ => {
                    trial.stage = Stage::Closed;
                    Action { terminate: true, ..Action::default() }
                }
            };
            actions.push((request.index, action));
        }
        let of = |request: &ActRequest| {
            let found = actions.iter().find(|(index, _)| *index == request.index).map(|(_, action)| *action);
            found.map(Decision::from).ok_or_else(|| VecEnvError::new("an environment acts before its trial began"))
        };
        requests.iter().map(of).collect()
    }
}

/// The seed of attempt `attempt` on object `object` of a list: the same for every method.
pub fn trial_seed(seed: Seed, object: usize, attempt: usize) -> Seed {
    seed.derive("object", object as u64).derive("attempt", attempt as u64)
}
