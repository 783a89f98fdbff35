//! The protocol: every object as often, each attempt from its own seed, which is the same for every method.

use super::agent::{Approach, ServoRecord, Stage, trial_seed};
use crate::contract::{Failure, FrameBatch, Seed, VecEnvError};
use crate::env::{EnvConfig, EnvError, EpisodeEnd, EpisodeLoop, EpisodeStart, GraspEnv, Schedule};
use crate::objects::{ObjectModel, draw_objects};
use crate::sim::GraspWorld;
use crate::tasks::GraspLibrary;
use crate::tasks::pose_reward::{GripperPose, PoseReward};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seeds that are tried for an episode with a certain object.
const TRIES: u64 = 1_000_000;

/// Which trials are played.
#[derive(Clone, Debug)]
pub struct ServoTrials {
    /// The objects of the environments, in their order.
    pub objects: Vec<Arc<ObjectModel>>,
    pub attempts_per_object: usize,
    pub seed: Seed,
}

#[derive(Debug, thiserror::Error)]
pub enum ServoEvalError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    Play(#[from] VecEnvError),
    #[error("no episode has the object '{0}' alone; give it to a cell with one object an episode")]
    Object(String),
}

/// Where the gripper closed, from the nearest good pose: along that pose's closing direction, across it, in height, and the
/// turn modulo half a turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialErrors {
    pub x_m: f64,
    pub y_m: f64,
    pub z_m: f64,
    pub yaw_rad: f64,
}

impl TrialErrors {
    /// From a pose to the nearest of the good ones by the reward of equation 1; none without good poses.
    pub fn of(pose: &GripperPose, good: &[GripperPose]) -> Option<Self> {
        let (_, nearest) = PoseReward::default().best(pose, good, false)?;
        let nearest = &good[nearest];
        let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| pose.position[axis] - nearest.position[axis]);
        let (sin, cos) = nearest.yaw.sin_cos();
        Some(Self { x_m: cos * x + sin * y, y_m: cos * y - sin * x, z_m: z, yaw_rad: pose.distance(nearest).1 })
    }
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    pub object: String,
    pub attempt: usize,
    pub lifted: bool,
    pub failure: Option<Failure>,
    /// Before the jaws closed; none where the object has no good pose as it lies.
    pub errors: Option<TrialErrors>,
    pub servo: ServoRecord,
}

/// The trials in turn, each in the next environment that is free.
struct TrialSchedule {
    seeds: Vec<Seed>,
    begun: usize,
}

impl Schedule for TrialSchedule {
    fn next(&mut self, _: usize, _: Option<EpisodeEnd>) -> Option<EpisodeStart> {
        let number = self.begun;
        let seed = *self.seeds.get(number)?;
        self.begun += 1;
        let script = Some(seed.derive("script", 0).rng());
        Some(EpisodeStart { number, seed, start: crate::contract::Start::Fresh, placement: None, script })
    }
}

impl ServoTrials {
    pub fn count(&self) -> usize {
        self.objects.len() * self.attempts_per_object
    }

    /// The seed of each trial, attempts outermost: environments draw their objects by the episode's seed, so the first seed
    /// of a series that draws the wanted object is taken.
    fn seeds(&self) -> Result<Vec<Seed>, ServoEvalError> {
        let mut seeds = Vec::with_capacity(self.count());
        for attempt in 0..self.attempts_per_object {
            for (index, object) in self.objects.iter().enumerate() {
                let base = trial_seed(self.seed, index, attempt);
                let draws = |seed: &Seed| {
                    let drawn = draw_objects(&self.objects, 1, *seed);
                    drawn.first().is_some_and(|drawn| Arc::ptr_eq(drawn, object))
                };
                let found = (0..TRIES).map(|number| base.derive("draw", number)).find(draws);
                seeds.push(found.ok_or_else(|| ServoEvalError::Object(object.name.clone()))?);
            }
        }
        Ok(seeds)
    }
}

/// Plays all trials. `config` must have images and measured depth, and frames where the approach knows the true mask;
/// `library` is its task's. `progress` counts trials.
///
/// # Errors
/// The simulator, the graphics device or a network fails.
pub fn run_trials(
    approach: &mut Approach<'_>,
    trials: &ServoTrials,
    config: EnvConfig,
    library: &GraspLibrary,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<TrialResult>, ServoEvalError> {
    let seeds = trials.seeds()?;
    let num_envs = config.num_envs.min(trials.count()).max(1);
    let mut env = GraspEnv::new(EnvConfig { num_envs, objects: trials.objects.clone(), ..config })?;
    let mut episodes = EpisodeLoop::new(TrialSchedule { seeds, begun: 0 }, num_envs);
    let mut errors: BTreeMap<usize, Option<TrialErrors>> = BTreeMap::new();
    let mut results: BTreeMap<usize, TrialResult> = BTreeMap::new();
    while let Some(moment) = episodes.step(&mut env, approach, true)? {
        let frames = moment.batch.privileged.as_mut().and_then(|privileged| privileged.frames.pop());
        approach.set_truth(frames.map(|frames: FrameBatch| frames.segmentation).unwrap_or_default());
        for (index, transition) in moment.transitions.iter().enumerate() {
            if transition.decision.is_none() || transition.seed.is_none() {
                continue;
            }
            let number = transition.number;
            let world = env.world(index);
            // The gripper is where it closes with the next step.
            if approach.stage(index) == Some(Stage::Close) {
                let found = TrialErrors::of(&gripper_pose(&world), &library.poses(&world, 0));
                errors.insert(number, found);
            }
            if transition.step.done() {
                let object = world.objects().first().map_or_else(String::new, |object| object.name.clone());
                let result = TrialResult {
                    object,
                    attempt: number / trials.objects.len().max(1),
                    lifted: transition.step.success(),
                    failure: transition.step.failure,
                    errors: errors.remove(&number).flatten(),
                    servo: approach.record(index).cloned().unwrap_or_default(),
                };
                results.insert(number, result);
                progress(results.len());
            }
        }
    }
    Ok(results.into_values().collect())
}

fn gripper_pose(world: &GraspWorld) -> GripperPose {
    let tool = world.tool_pose();
    GripperPose { position: tool.position.as_dvec3().to_array(), yaw: f64::from(tool.yaw) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::ObjectSet;
    use std::f64::consts::{FRAC_PI_2, PI};

    #[test]
    fn errors_are_along_the_nearest_good_pose() -> anyhow::Result<()> {
        let good = [
            GripperPose { position: [0.4, 0.0, 0.02], yaw: FRAC_PI_2 },
            GripperPose { position: [0.6, 0.0, 0.02], yaw: 0.0 },
        ];
        // It closes along world y: 1 cm along it is x, 2 cm of world x are -y. Half a turn is none.
        let pose = GripperPose { position: [0.42, 0.01, 0.05], yaw: FRAC_PI_2 + PI + 0.1 };
        let Some(errors) = TrialErrors::of(&pose, &good) else { anyhow::bail!("there are good poses") };
        let expected = [0.01, -0.02, 0.03, 0.1];
        for (found, expected) in [errors.x_m, errors.y_m, errors.z_m, errors.yaw_rad].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{errors:?}");
        }
        assert_eq!(TrialErrors::of(&pose, &[]), None);
        Ok(())
    }

    #[test]
    fn every_object_is_drawn_as_often_by_seeds_of_its_own() -> anyhow::Result<()> {
        let objects = ObjectSet::ycb()?.objects().to_vec();
        let trials = ServoTrials { objects: objects.clone(), attempts_per_object: 3, seed: Seed(5) };
        let seeds = trials.seeds()?;
        assert_eq!(seeds.len(), 30);
        for (number, seed) in seeds.iter().enumerate() {
            assert!(Arc::ptr_eq(&draw_objects(&objects, 1, *seed)[0], &objects[number % 10]));
        }
        let mut distinct: Vec<u64> = seeds.iter().map(|seed| seed.0).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 30);
        // More attempts leave the first ones as they are.
        let more = ServoTrials { attempts_per_object: 4, ..trials };
        assert_eq!(more.seeds()?[..30], seeds[..]);
        Ok(())
    }
}
