//! Where the joint phase's batches come from (RL-CycleGAN, Figure 6): x from the episodes of a finished Q and from new ones
//! that Q_real plays in the simulator looking through G, y from a recording; a replay and a Bellman updater for each.

use super::batch::{JointBatch, actions_to_compare, matching};
use super::config::{BellmanTargetsOf, RlCycleGanConfig};
use super::grasp_network::LABEL_LEN;
use super::learner::{QPair, RlCycleGanLearner, state_planes};
use super::scene::query_rows;
use super::{saliency, watch};
use crate::contract::{ActionSpace, Class, Seed, VecEnvError};
use crate::gan::cyclegan::{Method, UnpairedBatch};
use crate::gan::images::images_tensor;
use crate::nn::HOST;
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode, play};
use crate::rl::qtopt::diagnostics::evaluate_q;
use crate::rl::qtopt::network::published;
use crate::rl::qtopt::policy::CemPolicy;
use crate::rl::qtopt::stream::{OutcomeSteps, Samples, Stream, StreamState};
use crate::rl::qtopt::{EnvOpener, ExperienceSource, ExplorationConfig, QLearner};
use crate::rl::replay::{Record, Replay, Transition};
use crate::train::{BatchSource, Checkpoint, Evaluation, SourceState, StepProgress, TrainError};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

const REPLAY_FOLDER: &str = "replay";
/// Candidates for each x, of which one in the same state as its y is taken.
const CANDIDATES: usize = 4;
/// Episodes that are played and put into the replay together: more would be in memory twice.
const PLAYED_AT_ONCE: usize = 256;
/// Steps between measurements of Q_sim on held-out episodes.
const GATE_INTERVAL: u64 = 250;

/// Draws batches, collects with the learner, and judges it.
pub struct JointSource {
    seed: Seed,
    config: RlCycleGanConfig,
    experience: ExperienceSource,
    /// Episodes that nothing is learned from: simulated ones in its off-policy replay, recorded ones in the other.
    held_out: Stream,
    /// The same as episodes, once they are asked for.
    held_out_episodes: Option<[Vec<Episode>; 2]>,
    /// The figures of the first look, which later ones are held against.
    first_watches: Option<Vec<(String, f64)>>,
    watch_s: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    experience: Value,
    held_out: StreamState,
    /// The bits of the first look's figures.
    first_watches: Option<Vec<(String, u64)>>,
}

impl JointSource {
    /// An empty source of a run with this seed.
    pub fn new(config: &RlCycleGanConfig, seed: Seed, open: EnvOpener) -> Self {
        let q = &config.qtopt;
        let mut experience = ExperienceSource::new(q, seed.derive("experience", 0), open);
        if config.has_masks() {
            experience.simulation = experience.simulation.with_masks(config.gan.size * config.gan.size);
        }
        Self {
            seed,
            config: config.clone(),
            experience,
            held_out: Stream::new("held-out", ["held-out-simulation", "held-out-real"], q),
            held_out_episodes: None,
            first_watches: None,
            watch_s: 0.0,
        }
    }

    /// Episodes played since the run began.
    pub fn episodes(&self) -> u64 {
        self.experience.episodes()
    }

    /// Transitions of x and of y to draw from.
    pub fn transitions(&self) -> [usize; 2] {
        [self.experience.simulation.len(), self.experience.real.as_ref().map_or(0, Stream::len)]
    }

    /// Takes over the newest episodes of another run's replays (off-policy, on-policy).
    ///
    /// # Errors
    /// Replays without an episode.
    pub fn take_simulated(&mut self, replays: [&Replay; 2]) -> Result<(), RlError> {
        self.experience.take_over(replays, self.config.sim_episodes, None)?;
        Ok(())
    }

    /// Plays the episodes that x is drawn from, half by the script and half by `policy` with noise, where masks are kept
    /// beside the pictures: the replays of other runs have none.
    ///
    /// # Errors
    /// The environments or the network fail; environments without masks.
    pub fn play_simulated(&mut self, policy: CemPolicy<'_>) -> Result<(), RlError> {
        let seed = self.seed.derive("simulated", 0);
        let behavior = |index| if index % 2 == 0 { BehaviorPolicy::Scripted } else { BehaviorPolicy::Noisy };
        let plan: Vec<BehaviorPolicy> = (0..self.config.sim_episodes).map(behavior).collect();
        let pixels = self.config.gan.size * self.config.gan.size;
        for (index, plan) in plan.chunks(PLAYED_AT_ONCE).enumerate() {
            let seed = seed.derive("episodes", index as u64);
            let envs = self.experience.envs()?;
            for episode in play(envs, Some(policy), &self.config.qtopt.exploration, plan, seed)? {
                if episode.invalid {
                    continue;
                }
                if episode.transitions.iter().any(|transition| transition.mask.len() != pixels) {
                    return Err(RlError::Inconsistent("the environments deliver no masks of the pictures".into()));
                }
                let Stream { off_policy, on_policy, .. } = &mut self.experience.simulation;
                let scripted = episode.behavior == BehaviorPolicy::Scripted;
                let replay = if scripted { off_policy } else { on_policy };
                replay.push(&episode.transitions);
            }
        }
        Ok(())
    }

    /// Takes over a recording as y; the first episodes are held out.
    ///
    /// # Errors
    /// What the recording met; too few episodes.
    pub fn take_recorded(
        &mut self,
        mut episodes: impl Iterator<Item = Result<Episode, VecEnvError>>,
    ) -> Result<(), RlError> {
        for episode in episodes.by_ref().take(self.config.held_out_episodes) {
            self.held_out.on_policy.push(&episode?.without_privileged().transitions);
        }
        self.experience.add_real(episodes).map_err(|error| match error {
            RlError::Config(message) => {
                let held_out = self.config.held_out_episodes;
                RlError::Config(format!("{message}; {held_out} are held out (held_out_episodes)"))
            }
            error => error,
        })
    }

    /// Plays the held-out episodes of the simulator: half by the script, half by Q_sim with noise.
    fn hold_out(&mut self, learner: &RlCycleGanLearner) -> Result<(), RlError> {
        let count = self.config.held_out_episodes;
        let behavior = |index| if index % 2 == 0 { BehaviorPolicy::Scripted } else { BehaviorPolicy::Noisy };
        let plan: Vec<BehaviorPolicy> = match learner.q() {
            Some(_) => (0..count).map(behavior).collect(),
            None => return Ok(()),
        };
        let exploration = self.config.qtopt.exploration;
        let policy = learner.q().map(|q| learner.cem_policy(q.sim.averaged.as_ref()));
        let seed = self.seed.derive("held-out", 0);
        for episode in play(self.experience.envs()?, policy, &exploration, &plan, seed)? {
            if !episode.invalid {
                self.held_out.off_policy.push(&episode.transitions);
            }
        }
        self.held_out_episodes = None;
        Ok(())
    }

    /// Held-out episodes of the simulator and of the recording.
    pub(super) fn held_out(&mut self) -> &[Vec<Episode>; 2] {
        let held_out = &self.held_out;
        self.held_out_episodes.get_or_insert_with(|| {
            [&held_out.off_policy, &held_out.on_policy]
                .map(|replay| replay.newest_episodes(usize::MAX).into_iter().map(as_episode).collect())
        })
    }

    /// Steps between two labellings.
    fn label_interval(&self) -> u64 {
        let q = &self.config.qtopt;
        ((q.bellman_batch as f64 * q.updates_per_label / self.config.gan.batch as f64).round() as u64).max(1)
    }

    /// x and y with their targets.
    fn draw(&self, seed: Seed) -> Result<[Samples; 2], RlError> {
        let (count, mut rng) = (self.config.gan.batch, seed.rng());
        let Some(real_stream) = &self.experience.real else {
            return Err(RlError::Inconsistent("the recording is not loaded".into()));
        };
        let [mut real, mut candidates] = [Samples::default(), Samples::default()];
        let q = &self.config.qtopt;
        if self.config.has_q() {
            let own = self.config.bellman_targets_of == BellmanTargetsOf::Picture;
            let steps = own.then_some(OutcomeSteps { n_step: q.n_step, discount: q.discount });
            real_stream.sample_with_outcomes(count, steps, &mut rng, &mut real);
            let simulation = &self.experience.simulation;
            simulation.sample_with_outcomes(CANDIDATES * count, steps, &mut rng, &mut candidates);
        } else {
            let shares = (q.p_terminal, q.p_closing);
            real_stream.sample_with_returns(count, shares, q.discount, &mut rng, &mut real);
            self.experience.simulation.sample_with_returns(
                CANDIDATES * count,
                shares,
                q.discount,
                &mut rng,
                &mut candidates,
            );
        }
        let states: Vec<_> = real.records.iter().map(|record| record.state).collect();
        let sim = matching(candidates, &states);
        if sim.targets.len() != count || real.targets.len() != count {
            return Err(RlError::Inconsistent("the replay has too few transitions for a batch".into()));
        }
        Ok([sim, real])
    }

    /// Images, states, actions and labels of x and y as tensors. Of y nothing but the picture, the gripper, what was done
    /// and what came of it is read.
    fn unpaired(
        &self,
        sim: &Samples,
        real: &Samples,
        seed: Seed,
        space: &ActionSpace,
    ) -> Result<UnpairedBatch, RlError> {
        let size = self.config.gan.size;
        let tensor = |samples: &Samples| images_tensor(samples.images.iter().map(Vec::as_slice), [size; 2]);
        let mut batch = UnpairedBatch::new(tensor(sim)?, tensor(real)?);
        if self.config.gan.discriminator.state_planes > 0 {
            (batch.x_state, batch.y_state) = (Some(state_planes(sim)?), Some(state_planes(real)?));
        }
        if self.config.has_q() {
            let rows = |samples: &Samples, name: &str| -> candle_core::Result<Tensor> {
                let rng = &mut seed.derive(name, 0).rng();
                let actions = actions_to_compare(samples, self.config.scene.actions, space, rng);
                let states: Vec<_> = samples.records.iter().map(|record| record.state).collect();
                query_rows(&states, &actions)
            };
            (batch.x_actions, batch.y_actions) = (Some(rows(sim, "x-actions")?), Some(rows(real, "y-actions")?));
        }
        if self.config.gan.method == Method::GraspGan {
            let row = |(record, target): (&Record, &f32)| {
                std::iter::once(*target).chain(published(&record.state)).chain(record.action).collect::<Vec<f32>>()
            };
            let rows: Vec<f32> = sim.records.iter().zip(&sim.targets).flat_map(row).collect();
            let count = sim.records.len();
            batch.x_labels = Some(Tensor::from_vec(rows, (count, LABEL_LEN), &HOST)?);
        }
        if self.config.has_masks() {
            batch.x_mask = Some(one_hot(&sim.masks, size)?);
        }
        Ok(batch)
    }
}

/// Masks of class bytes `[size, size]` as planes of 0 and 1, `[n, Class::COUNT, size, size]`.
fn one_hot(masks: &[Vec<u8>], size: usize) -> candle_core::Result<Tensor> {
    let mut planes = Vec::with_capacity(masks.len() * Class::COUNT * size * size);
    for mask in masks {
        for class in Class::ALL {
            planes.extend(mask.iter().map(|&found| f32::from(u8::from(found == class as u8))));
        }
    }
    Tensor::from_vec(planes, (masks.len(), Class::COUNT, size, size), &HOST)
}

/// A replay's episode again, without what was expected of it.
fn as_episode(transitions: Vec<Transition>) -> Episode {
    let success = transitions.last().is_some_and(|last| last.record.reward > 0.5);
    Episode {
        behavior: BehaviorPolicy::Scripted,
        seed: Seed(0),
        transitions,
        values: Vec::new(),
        success,
        invalid: false,
        last_image: Vec::new(),
    }
}

impl BatchSource<RlCycleGanLearner> for JointSource {
    fn next(&mut self, learner: &RlCycleGanLearner, progress: StepProgress) -> Result<JointBatch, TrainError> {
        let (step, mut auc) = (progress.step, None);
        if let Some(QPair { sim, real }) = learner.q() {
            if step == 0 {
                self.hold_out(learner)?;
            }
            if step % self.config.qtopt.updates_per_iteration == 0
                && let Some(q) = learner.translated_q_real()
            {
                self.experience.collect(learner.cem_policy(&q), true)?;
            }
            if step % self.label_interval() == 0 || self.experience.simulation.is_unlabelled() {
                let learners: [&QLearner; 2] = [sim, real];
                self.experience.label(learners)?;
            }
            if step % GATE_INTERVAL == 0 {
                let policy = learner.cem_policy(sim.averaged.as_ref());
                let episodes: Vec<&Episode> = self.held_out()[0].iter().collect();
                auc = Some(evaluate_q(policy, &episodes)?.auc);
            }
        }
        let seed = self.seed.derive("batch", step);
        let [mut sim, mut real] = self.draw(seed)?;
        let range = self.config.crop_shift;
        if range > 0 {
            let shape = [self.config.gan.size, self.config.qtopt.channels];
            sim.move_at_random(range, shape, &mut seed.derive("window-x", 0).rng());
            real.move_at_random(range, shape, &mut seed.derive("window-y", 0).rng());
        }
        let unpaired = self.unpaired(&sim, &real, seed, learner.space())?;
        Ok(JointBatch { unpaired, sim, real, rng: seed.derive("augmentation", 0).rng(), auc })
    }

    fn metrics(&mut self) -> Vec<(String, f64)> {
        BatchSource::<QLearner>::metrics(&mut self.experience)
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        let mut seconds = BatchSource::<QLearner>::seconds(&self.experience);
        seconds.push(("watch", self.watch_s));
        seconds
    }

    fn progress_line(&self) -> String {
        let [x, y] = self.transitions();
        format!("{} episodes, {x} x, {y} y", self.episodes())
    }

    fn evaluate(&mut self, learner: &mut RlCycleGanLearner) -> Result<Evaluation, TrainError> {
        let started = std::time::Instant::now();
        let seed = self.seed.derive("judged", 0);
        let [sim, real] = self.draw(seed)?;
        let batch = self.unpaired(&sim, &real, seed, learner.space())?;
        let mut metrics: Vec<(String, f64)> = Vec::new();
        if learner.q().is_some() && self.config.judged_episodes > 0 {
            let plan = vec![BehaviorPolicy::Greedy; self.config.judged_episodes];
            let quiet = ExplorationConfig::none();
            let mut success = |policy| -> Result<f64, RlError> {
                let episodes = play(self.experience.envs()?, Some(policy), &quiet, &plan, seed)?;
                let valid = episodes.iter().filter(|episode| !episode.invalid).count().max(1);
                Ok(episodes.iter().filter(|episode| episode.success).count() as f64 / valid as f64)
            };
            if let (Some(q), Some(translated)) = (learner.q(), learner.translated_q_real()) {
                metrics.push(("success/q_sim".into(), success(learner.cem_policy(q.sim.averaged.as_ref()))?));
                metrics.push(("success/q_real_through_g".into(), success(learner.cem_policy(&translated))?));
            }
        }
        let held_out = self.held_out();
        metrics.extend(watch::watches(learner, &batch, [&sim, &real], held_out, seed)?);
        let mut images = Vec::new();
        if let Some((sheet, agreement)) = saliency::sheet(learner, &batch, [&sim, &real])? {
            metrics.push((saliency::AGREEMENT.to_owned(), agreement));
            images.push(("saliency", sheet));
        }
        let first = self.first_watches.get_or_insert_with(|| metrics.clone());
        watch::print_alarms(learner.gan().steps(), &watch::alarms(first, &metrics));
        let sheet = watch::sheet(learner, &batch, [&sim, &real]).map_err(TrainError::other)?;
        images.insert(0, ("translation", sheet));
        self.watch_s += started.elapsed().as_secs_f64();
        Ok(Evaluation { metrics, images })
    }

    fn save(&mut self, root: &Path) -> Result<SourceState, TrainError> {
        let mut saved = BatchSource::<QLearner>::save(&mut self.experience, root)?;
        let (held_out, (name, tensors)) = self.held_out.save(&root.join(REPLAY_FOLDER))?;
        saved.groups.insert(name, tensors);
        let bits = |watches: &Vec<(String, f64)>| watches.iter().map(|(name, v)| (name.clone(), v.to_bits())).collect();
        let first_watches = self.first_watches.as_ref().map(bits);
        let state = Saved { experience: std::mem::take(&mut saved.state), held_out, first_watches };
        saved.state = serde_json::to_value(state).map_err(TrainError::state)?;
        Ok(saved)
    }

    fn saved(&mut self, root: &Path, keep: usize) -> Result<(), TrainError> {
        BatchSource::<QLearner>::saved(&mut self.experience, root, keep)
    }

    fn restore(&mut self, root: &Path, checkpoint: &Checkpoint, state: Value) -> Result<Vec<String>, TrainError> {
        let saved: Saved = serde_json::from_value(state).map_err(TrainError::state)?;
        let mut lost = BatchSource::<QLearner>::restore(&mut self.experience, root, checkpoint, saved.experience)?;
        lost.extend(self.held_out.restore(&root.join(REPLAY_FOLDER), checkpoint, &saved.held_out)?);
        self.held_out_episodes = None;
        let floats =
            |watches: Vec<(String, u64)>| watches.into_iter().map(|(name, v)| (name, f64::from_bits(v))).collect();
        self.first_watches = saved.first_watches.map(floats);
        Ok(lost)
    }
}
