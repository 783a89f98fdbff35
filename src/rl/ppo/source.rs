//! Where PPO's rollouts come from: environments that are stepped side by side with the learner's own policy.
//!
//! A checkpoint lies between two rollouts, where episodes may be under way: it keeps the seed of each and the actions so far,
//! and a resumed run plays them again. What follows is the same, bit for bit.

use super::codec::TaskCodec;
use super::config::PpoConfig;
use super::learner::{Decisions, PpoError, PpoLearner};
use super::network::Observations;
use super::rollout::{EpisodeEnd, EpisodeProgress, Rollout, RolloutBuffer, Transitions};
use crate::contract::{Action, Reset, Rng, Seed, Start, Step, VecEnv, VecEnvError};
use crate::train::{BatchSource, Checkpoint, Evaluation, Means, SourceState, StepProgress, TrainError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// Opens environments when they are first needed.
pub type EnvOpener = Box<dyn Fn() -> Result<Box<dyn VecEnv>, VecEnvError> + Send>;

/// An episode under way: its number, and the numbers of its actions as bits, which text keeps exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Playing {
    number: u64,
    actions: Vec<Vec<u32>>,
}

/// What is saved beside tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    rng: Rng,
    begun: u64,
    decisions: u64,
    playing: Vec<Playing>,
    progress: EpisodeProgress,
    means: Means,
}

/// Plays with the learner's policy.
pub struct RolloutSource {
    config: PpoConfig,
    codec: TaskCodec,
    seed: Seed,
    eval_episodes: usize,
    open: EnvOpener,
    envs: Option<Box<dyn VecEnv>>,
    judging: Option<Box<dyn VecEnv>>,
    buffer: RolloutBuffer,
    /// Draws the policy's actions.
    rng: Rng,
    /// Episodes begun, and decisions taken.
    begun: u64,
    decisions: u64,
    playing: Vec<Playing>,
    /// What the environments show now; none before the first rollout of this process.
    seen: Option<Observations>,
    means: Means,
    collect_s: f64,
    evaluate_s: f64,
}

impl RolloutSource {
    /// A source of a run with this seed.
    pub fn new(config: &PpoConfig, codec: TaskCodec, eval_episodes: usize, seed: Seed, open: EnvOpener) -> Self {
        Self {
            config: config.clone(),
            codec,
            seed,
            eval_episodes,
            open,
            envs: None,
            judging: None,
            buffer: RolloutBuffer::new(config, &codec.network()),
            rng: seed.derive("actions", 0).rng(),
            begun: 0,
            decisions: 0,
            playing: Vec::new(),
            seen: None,
            means: Means::default(),
            collect_s: 0.0,
            evaluate_s: 0.0,
        }
    }

    /// Decisions taken since the run began.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    fn episode_seed(&self, number: u64) -> Seed {
        self.seed.derive("episode", number)
    }

    fn reset_of(&self, index: usize, number: u64) -> Reset {
        let seed = self.episode_seed(number);
        Reset { index, seed, start: Start::Fresh, placement: None, script: Some(seed.derive("script", 0).rng()) }
    }

    fn opened(&self) -> Result<Box<dyn VecEnv>, TrainError> {
        let envs = (self.open)().map_err(TrainError::other)?;
        let found = envs.num_envs();
        if found != self.config.num_envs {
            let expected = self.config.num_envs;
            return Err(PpoError::Count { what: "environments", expected, found }.into());
        }
        Ok(envs)
    }

    /// Opens the environments and brings them to where the run is: to the beginning, or into the episodes that were under way.
    fn begin(&mut self) -> Result<(Box<dyn VecEnv>, Observations), TrainError> {
        let mut envs = self.opened()?;
        if self.playing.is_empty() {
            let numbers = self.begun..self.begun + self.config.num_envs as u64;
            self.begun = numbers.end;
            self.playing = numbers.map(|number| Playing { number, actions: Vec::new() }).collect();
        }
        let resets: Vec<Reset> =
            self.playing.iter().enumerate().map(|(index, playing)| self.reset_of(index, playing.number)).collect();
        envs.reset(&resets).map_err(TrainError::other)?;
        let longest = self.playing.iter().map(|playing| playing.actions.len()).max().unwrap_or(0);
        for step in 0..longest {
            // A script counts its episode's steps.
            let acting = |(index, playing): (usize, &Playing)| (step < playing.actions.len()).then_some(index);
            self.ask(envs.as_mut(), &self.playing.iter().enumerate().filter_map(acting).collect::<Vec<_>>());
            let action = |playing: &Playing| {
                let bits = playing.actions.get(step)?;
                let numbers: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
                Some(self.codec.action(&numbers))
            };
            let actions: Vec<Option<Action>> = self.playing.iter().map(action).collect();
            envs.step(&actions, false).map_err(TrainError::other)?;
        }
        let seen = observe(&self.codec, envs.as_mut())?;
        Ok((envs, seen))
    }

    /// What the script would do, as numbers; nothing unless actions are imitated.
    fn ask(&self, envs: &mut dyn VecEnv, indices: &[usize]) -> Vec<f32> {
        if !self.config.imitation {
            return Vec::new();
        }
        envs.scripted(indices).iter().flat_map(|action| self.codec.numbers(action)).collect()
    }

    /// One step everywhere; where an episode is over, the next begins.
    fn step(
        &mut self,
        envs: &mut dyn VecEnv,
        seen: &Observations,
        decisions: &Decisions,
    ) -> Result<Observations, TrainError> {
        let width = self.codec.network().actions;
        let numbers: Vec<&[f32]> = decisions.env_actions.chunks_exact(width).collect();
        let actions: Vec<Option<Action>> = numbers.iter().map(|numbers| Some(self.codec.action(numbers))).collect();
        // What shows the end of an episode is of no use: pictures are taken after the next ones have begun.
        let steps = envs.step(&actions, false).map_err(TrainError::other)?.steps;
        let mut transitions = Transitions::default();
        let mut resets = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let (reward, end) = outcome_of(step, decisions.values[index], self.config.gamma as f32);
            transitions.rewards.push(reward);
            transitions.ends.push(end);
            if !step.done() {
                let bits = numbers[index].iter().map(|number| number.to_bits()).collect();
                self.playing[index].actions.push(bits);
                continue;
            }
            self.means.add(figures_of(step));
            self.playing[index] = Playing { number: self.begun, actions: Vec::new() };
            resets.push(self.reset_of(index, self.begun));
            self.begun += 1;
        }
        self.decisions += steps.len() as u64;
        self.buffer.push(seen, decisions, &transitions)?;
        if !resets.is_empty() {
            envs.reset(&resets).map_err(TrainError::other)?;
        }
        observe(&self.codec, envs)
    }

    fn collect(&mut self, learner: &PpoLearner) -> Result<Rollout, TrainError> {
        let (mut envs, mut seen) = match (self.envs.take(), self.seen.take()) {
            (Some(envs), Some(seen)) => (envs, seen),
            _ => self.begin()?,
        };
        let mut targets = Vec::new();
        let everywhere: Vec<usize> = (0..self.config.num_envs).collect();
        while !self.buffer.is_full() {
            let decisions = learner.decide(&seen, &mut self.rng)?;
            targets.extend(self.ask(envs.as_mut(), &everywhere));
            seen = self.step(envs.as_mut(), &seen, &decisions)?;
        }
        let rollout = Rollout { targets, ..self.buffer.finish(&learner.values(&seen)?)? };
        (self.envs, self.seen) = (Some(envs), Some(seen));
        Ok(rollout)
    }

    /// Plays episodes of their own seeds by the policy's means; the mean return, and the share that grasped.
    fn judge(&mut self, learner: &PpoLearner) -> Result<[f64; 2], TrainError> {
        let mut envs = match self.judging.take() {
            Some(envs) => envs,
            None => self.opened()?,
        };
        let held_out = self.seed.derive("evaluation", 0);
        let (mut returns, mut successes, mut judged) = (0.0, 0.0, 0);
        let count = self.config.num_envs;
        while judged < self.eval_episodes {
            let reset = |index: usize| {
                let seed = held_out.derive("episode", (judged + index) as u64);
                Reset {
                    index,
                    seed,
                    start: Start::Fresh,
                    placement: None,
                    script: Some(seed.derive("script", 0).rng()),
                }
            };
            envs.reset(&(0..count).map(reset).collect::<Vec<_>>()).map_err(TrainError::other)?;
            let counted = count.min(self.eval_episodes - judged);
            let mut over = vec![false; count];
            while over.iter().any(|over| !over) {
                let seen = observe(&self.codec, envs.as_mut())?;
                let numbers = learner.act_greedily(&seen)?;
                let each = numbers.chunks_exact(self.codec.network().actions);
                let actions: Vec<Option<Action>> =
                    each.zip(&over).map(|(numbers, over)| (!over).then(|| self.codec.action(numbers))).collect();
                let steps = envs.step(&actions, false).map_err(TrainError::other)?.steps;
                for (index, step) in steps.iter().enumerate().filter(|(index, _)| actions[*index].is_some()) {
                    over[index] = step.done();
                    if index < counted {
                        returns += f64::from(step.reward);
                        successes += f64::from(u8::from(step.done() && step.success()));
                    }
                }
            }
            judged += counted;
        }
        self.judging = Some(envs);
        let each = judged.max(1) as f64;
        Ok([returns / each, successes / each])
    }
}

/// What is learned from a step: nothing where the simulation failed in it. Then the value of what comes after is the one that leaves
/// the advantage at 0.
fn outcome_of(step: &Step, value: f32, gamma: f32) -> (f32, EpisodeEnd) {
    match step {
        Step { invalid: true, .. } => (0.0, EpisodeEnd::Truncated { value: value / gamma.max(1e-6) }),
        step if step.done() => (step.reward, EpisodeEnd::Terminated),
        step => (step.reward, EpisodeEnd::None),
    }
}

/// What all environments show.
fn observe(codec: &TaskCodec, envs: &mut dyn VecEnv) -> Result<Observations, TrainError> {
    let count = envs.num_envs();
    let seen = envs.step(&vec![None; count], true).map_err(TrainError::other)?.observation;
    codec.observe(&seen, &(0..count).collect::<Vec<_>>()).map_err(TrainError::other)
}

fn figures_of(step: &Step) -> [(&'static str, f64); 2] {
    let flag = |on: bool| f64::from(u8::from(on));
    [("charts/success", flag(step.success())), ("charts/invalid", flag(step.invalid))]
}

impl BatchSource<PpoLearner> for RolloutSource {
    fn next(&mut self, learner: &PpoLearner, _: StepProgress) -> Result<Rollout, TrainError> {
        let started = Instant::now();
        let rollout = self.collect(learner);
        self.collect_s += started.elapsed().as_secs_f64();
        rollout
    }

    fn metrics(&mut self) -> Vec<(String, f64)> {
        let mut metrics = self.means.take();
        metrics.push(("charts/global_step".to_owned(), self.decisions as f64));
        metrics
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("collect", self.collect_s), ("evaluate", self.evaluate_s)]
    }

    fn progress_line(&self) -> String {
        format!("{} decisions", self.decisions)
    }

    fn evaluate(&mut self, learner: &mut PpoLearner) -> Result<Evaluation, TrainError> {
        if self.eval_episodes == 0 {
            return Ok(Evaluation::default());
        }
        let started = Instant::now();
        let [mean_return, success] = self.judge(learner)?;
        self.evaluate_s += started.elapsed().as_secs_f64();
        let metrics = vec![("eval/episodic_return".to_owned(), mean_return), ("eval/success".to_owned(), success)];
        Ok(Evaluation { metrics, images: Vec::new() })
    }

    fn save(&mut self, _: &Path) -> Result<SourceState, TrainError> {
        let saved = Saved {
            rng: self.rng.clone(),
            begun: self.begun,
            decisions: self.decisions,
            playing: self.playing.clone(),
            progress: self.buffer.progress().clone(),
            means: self.means.clone(),
        };
        let state = serde_json::to_value(saved).map_err(TrainError::state)?;
        Ok(SourceState { state, ..SourceState::default() })
    }

    fn restore(&mut self, _: &Path, _: &Checkpoint, state: Value) -> Result<Vec<String>, TrainError> {
        let saved: Saved = serde_json::from_value(state).map_err(TrainError::state)?;
        if !saved.playing.is_empty() && saved.playing.len() != self.config.num_envs {
            let (expected, found) = (self.config.num_envs, saved.playing.len());
            return Err(PpoError::Count { what: "episodes under way", expected, found }.into());
        }
        self.buffer.restore(saved.progress)?;
        (self.rng, self.begun, self.decisions) = (saved.rng, saved.begun, saved.decisions);
        (self.playing, self.means) = (saved.playing, saved.means);
        (self.envs, self.seen) = (None, None);
        Ok(Vec::new())
    }
}
