//! A stream of experience: its replay buffers, its Bellman updater, and the labelled transitions that wait for training.
//!
//! A run has one stream for the simulator and, with `--real`, one for a recording: separate buffers and separate updaters,
//! as RL-CycleGAN's Figure 6 draws them.

use super::config::QtOptConfig;
use super::learner::QLearner;
use super::network::{STATE_LEN, moved_bytes};
use crate::contract::{Rng, Seed};
use crate::rl::error::RlError;
use crate::rl::replay::{NStepTransition, Record, Replay, ReplayState};
use crate::train::{Checkpoint, NamedTensors, TensorBytes, TensorKind};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

/// A transition with its target.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Labelled {
    on_policy: bool,
    number: u64,
    target: f32,
}

/// What is saved of a stream beside its replay files and its training buffer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::rl) struct StreamState {
    pub(in crate::rl) off_policy: ReplayState,
    pub(in crate::rl) on_policy: ReplayState,
    bellman_batches: u64,
}

/// Off-policy and on-policy replay with one Bellman updater.
pub struct Stream {
    name: &'static str,
    /// Transitions of scripted and recorded episodes.
    pub off_policy: Replay,
    /// Transitions of episodes that a policy in training played, greedy or noisy.
    pub on_policy: Replay,
    buffer: VecDeque<Labelled>,
    bellman_batches: u64,
}

/// Transitions to learn from, and their targets.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// `[n]` images of `[size, size, channels]` bytes.
    pub images: Vec<Vec<u8>>,
    /// `[n]`: state, action, reward and privileged state that belong to each image.
    pub records: Vec<Record>,
    /// `[n]` values from 0 to 1 that Q is trained towards: Bellman targets or discounted returns.
    pub targets: Vec<f32>,
    /// What came of each; empty unless it was asked for.
    pub outcomes: Vec<Outcome>,
    /// Classes of each image's pixels; empty unless the replay keeps them.
    pub masks: Vec<Vec<u8>>,
    /// By how many pixels to the right and down each image lies aside of where the camera puts it; empty where none does.
    pub windows: Vec<[i32; 2]>,
}

/// What came of a transition, as [`NStepTransition`] has it, with an image of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Discounted sum of the rewards.
    pub n_step_return: f32,
    /// Discount of the next state's value.
    pub discount: f32,
    /// Image and state that follow, whose value is the rest; none when the episode was ended on the way.
    pub next: Option<(Vec<u8>, [f32; STATE_LEN])>,
}

impl Outcome {
    fn of(transition: NStepTransition<'_>) -> Self {
        let NStepTransition { n_step_return, discount, next } = transition;
        Self { n_step_return, discount, next: next.map(|(image, state)| (image.to_vec(), state)) }
    }

    /// The same with `image` in place of the next one.
    pub fn seen_as<'a>(&self, image: Option<&'a [u8]>) -> NStepTransition<'a> {
        let next = self.next.as_ref().and_then(|(_, state)| Some((image?, *state)));
        NStepTransition { n_step_return: self.n_step_return, discount: self.discount, next }
    }
}

/// Over how many steps, and at which discount, an [`Outcome`] counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeSteps {
    /// Steps whose rewards are summed, at least 1.
    pub n_step: usize,
    /// Discount of one step, from 0 to 1.
    pub discount: f32,
}

impl Samples {
    /// Moves each image `[size, size, channels]` and its mask by up to `range` pixels each way, the edge repeated: random
    /// windows of the camera's picture.
    pub fn move_at_random(&mut self, range: usize, [size, channels]: [usize; 2], rng: &mut Rng) {
        let mut offset = || rng.below(2 * range + 1) as i32 - range as i32;
        self.windows = self.images.iter().map(|_| [offset(), offset()]).collect();
        for (image, by) in self.images.iter_mut().zip(&self.windows) {
            *image = moved_bytes(image, [size, channels], *by);
        }
        for (mask, by) in self.masks.iter_mut().zip(&self.windows) {
            *mask = moved_bytes(mask, [size, 1], *by);
        }
    }

    fn add_mask(&mut self, replay: &Replay, number: u64) {
        if replay.keeps_masks() {
            self.masks.push(replay.mask(number).unwrap_or_default().to_vec());
        }
    }
}

impl Stream {
    /// An empty stream; `name` is that of its files.
    pub fn new(name: &'static str, [off_policy, on_policy]: [&str; 2], config: &QtOptConfig) -> Self {
        let replay = |name, capacity| {
            Replay::new(name, config.image_bytes(), config.segment_len, capacity).with_time_limit(config.time_limit)
        };
        Self {
            name,
            off_policy: replay(off_policy, config.off_policy_capacity),
            on_policy: replay(on_policy, config.on_policy_capacity),
            buffer: VecDeque::new(),
            bellman_batches: 0,
        }
    }

    /// An empty stream of the simulator's episodes.
    pub(super) fn simulation(config: &QtOptConfig) -> Self {
        Self::new("simulation", ["off-policy", "on-policy"], config)
    }

    /// An empty stream of the domain to transfer to.
    pub(super) fn real(config: &QtOptConfig) -> Self {
        Self::new("real", ["real-off-policy", "real-on-policy"], config)
    }

    /// The same, empty, with masks of so many bytes beside the images.
    pub(in crate::rl) fn with_masks(self, mask_bytes: usize) -> Self {
        let Self { off_policy, on_policy, .. } = self;
        let (off_policy, on_policy) = (off_policy.with_masks(mask_bytes), on_policy.with_masks(mask_bytes));
        Self { off_policy, on_policy, ..self }
    }

    /// Transitions in memory.
    pub fn len(&self) -> usize {
        self.off_policy.len() + self.on_policy.len()
    }

    /// Whether both replays are empty, so that nothing can be labelled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is nothing to train on until [`Self::label`] is called.
    pub fn is_unlabelled(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The Bellman updater: samples transitions from both buffers and labels them. Returns figures.
    ///
    /// # Errors
    /// Images of another size.
    pub fn label(&mut self, learner: &QLearner, seed: Seed) -> Result<[(&'static str, f64); 3], RlError> {
        let config = learner.config();
        let seed = seed.derive("labels", self.bellman_batches);
        self.bellman_batches += 1;
        let mut rng = seed.derive("draw", 0).rng();
        // The policy's own transitions count for more than the script's: they show where Q is wrong.
        let (off, on) = (self.off_policy.len() as f32, self.on_policy.len() as f32);
        let weighted = config.on_policy_weight * on / (config.on_policy_weight * on + off).max(1.0);
        let p_on_policy = weighted.min(config.p_on_policy).max(on / (on + off).max(1.0));
        let mut drawn = Vec::with_capacity(config.bellman_batch);
        let mut transitions = Vec::with_capacity(config.bellman_batch);
        while drawn.len() < config.bellman_batch {
            let on_policy = rng.chance(p_on_policy);
            let replay = if on_policy { &self.on_policy } else { &self.off_policy };
            let Some(number) = replay.draw((config.p_terminal, config.p_closing), &mut rng) else { break };
            if let Some(transition) = replay.n_step(number, config.n_step, config.discount) {
                transitions.push(transition);
                drawn.push((on_policy, number));
            }
        }
        let labels = learner.bellman_targets(&transitions, seed)?;
        for ((on_policy, number), target) in drawn.into_iter().zip(labels.targets) {
            if self.buffer.len() >= config.training_buffer {
                self.buffer.pop_front();
            }
            self.buffer.push_back(Labelled { on_policy, number, target });
        }
        Ok([
            ("cem/spread", labels.spread),
            ("q/disagreement", labels.disagreement),
            ("replay/on_policy_share", f64::from(p_on_policy)),
        ])
    }

    /// Adds up to `count` labelled transitions.
    pub fn sample(&self, count: usize, rng: &mut Rng, samples: &mut Samples) {
        self.sample_with_outcomes(count, None, rng, samples);
    }

    /// The same, with what came of each over `steps`, where that is wanted.
    pub fn sample_with_outcomes(
        &self,
        count: usize,
        steps: Option<OutcomeSteps>,
        rng: &mut Rng,
        samples: &mut Samples,
    ) {
        let wanted = samples.targets.len() + count;
        // A labelled transition may have left the replay since; another is drawn then.
        for _ in 0..4 * count {
            if samples.targets.len() == wanted || self.buffer.is_empty() {
                break;
            }
            let labelled = self.buffer[rng.below(self.buffer.len())];
            let replay = if labelled.on_policy { &self.on_policy } else { &self.off_policy };
            if let Some((image, record)) = replay.get(labelled.number) {
                if let Some(OutcomeSteps { n_step, discount }) = steps {
                    let Some(transition) = replay.n_step(labelled.number, n_step, discount) else { continue };
                    samples.outcomes.push(Outcome::of(transition));
                }
                samples.images.push(image.to_vec());
                samples.records.push(*record);
                samples.targets.push(labelled.target);
                samples.add_mask(replay, labelled.number);
            }
        }
    }

    /// Adds up to `count` transitions with the discounted returns of their episodes as targets, cut off to `[0, 1]`: what a
    /// grasp network learns from, without a Bellman updater. `shares` are those of ends and closings
    /// ([`Replay::draw`]).
    pub fn sample_with_returns(
        &self,
        count: usize,
        shares: (f32, f32),
        discount: f32,
        rng: &mut Rng,
        samples: &mut Samples,
    ) {
        let wanted = samples.targets.len() + count;
        for _ in 0..4 * count {
            if samples.targets.len() == wanted {
                break;
            }
            let on_policy = rng.below(self.len().max(1)) >= self.off_policy.len();
            let replay = if on_policy { &self.on_policy } else { &self.off_policy };
            let Some(number) = replay.draw(shares, rng) else { continue };
            if let (Some((image, record)), Some(target)) =
                (replay.get(number), replay.discounted_return(number, discount))
            {
                samples.images.push(image.to_vec());
                samples.records.push(*record);
                samples.targets.push(target.clamp(0.0, 1.0));
                samples.add_mask(replay, number);
            }
        }
    }

    /// Writes replay files into `folder`. Also returns the training buffer with the name of its file.
    pub(in crate::rl) fn save(
        &mut self,
        folder: &Path,
    ) -> Result<(StreamState, (String, NamedTensors<'static>)), RlError> {
        let (off_policy, on_policy) = (self.off_policy.save(folder)?, self.on_policy.save(folder)?);
        let state = StreamState { off_policy, on_policy, bellman_batches: self.bellman_batches };
        Ok((state, (self.buffer_name(), self.buffer_tensors())))
    }

    /// Takes over a saved stream, and returns sentences about replay that is lost.
    pub(in crate::rl) fn restore(
        &mut self,
        folder: &Path,
        checkpoint: &Checkpoint,
        state: &StreamState,
    ) -> Result<Vec<String>, RlError> {
        let mut lost = self.off_policy.load(folder, &state.off_policy)?;
        lost.extend(self.on_policy.load(folder, &state.on_policy)?);
        let file = checkpoint.group(&self.buffer_name())?;
        let bad = || RlError::Inconsistent("the training buffer is incomplete".into());
        self.buffer = read_buffer(&file.tensors()?).ok_or_else(bad)?;
        if !lost.is_empty() {
            // Its numbers may soon stand for other transitions; it is filled again before the next step.
            self.buffer.clear();
        }
        self.bellman_batches = state.bellman_batches;
        Ok(lost)
    }

    fn buffer_name(&self) -> String {
        format!("training_buffer_{}", self.name)
    }

    fn buffer_tensors(&self) -> NamedTensors<'static> {
        let numbers: Vec<i64> = self.buffer.iter().map(|l| i64::try_from(l.number).unwrap_or(i64::MAX)).collect();
        let kinds: Vec<u8> = self.buffer.iter().map(|l| u8::from(l.on_policy)).collect();
        let targets: Vec<f32> = self.buffer.iter().map(|l| l.target).collect();
        let shape = [self.buffer.len()];
        let owned = |kind, bytes: &[u8]| TensorBytes::new(kind, &shape, bytes.to_vec());
        vec![
            ("number".into(), owned(TensorKind::I64, bytemuck::cast_slice(&numbers))),
            ("on_policy".into(), owned(TensorKind::U8, &kinds)),
            ("target".into(), owned(TensorKind::F32, bytemuck::cast_slice(&targets))),
        ]
    }
}

fn read_buffer(tensors: &[(String, TensorBytes<'_>)]) -> Option<VecDeque<Labelled>> {
    let find = |name: &str| tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
    let (numbers, targets) = (find("number")?.to_i64()?, find("target")?.to_f32()?);
    let kinds = &find("on_policy")?.data;
    if numbers.len() != targets.len() || kinds.len() != targets.len() {
        return None;
    }
    let labelled = |((number, &kind), target): ((i64, &u8), f32)| {
        Some(Labelled { on_policy: kind != 0, number: u64::try_from(number).ok()?, target })
    };
    numbers.into_iter().zip(kinds.iter()).zip(targets).map(labelled).collect()
}
