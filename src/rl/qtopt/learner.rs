//! The learner: the Q-function, its two lagged targets, and the optimizer. One call labels transitions, another learns
//! from labelled ones.

use super::bellman::{bellman_target, choose, last_logits_of, share_of, value_of};
use super::config::QtOptConfig;
use super::network::planar_crop::REFERENCE_HEIGHT_M;
use super::network::{
    AT_ONCE, EncoderMode, Moved, QFunction, STATE_LEN, build, image_activations, may_end, moved_image_activations,
    state_activations,
};
use super::policy::CemPolicy;
use super::privileged::{AUXILIARY_LEN, Privileged};
use crate::contract::{Rng, Seed};
use crate::gan::state::{from_file, to_bytes};
use crate::nn::Adam;
use crate::nn::ops::loss::sigmoid_cross_entropy;
use crate::rl::action::{ActionFeatures, ActionSpace};
use crate::rl::cem::Choice;
use crate::rl::error::RlError;
use crate::rl::replay::{NStepTransition, Record};
use crate::train::{Checkpoint, CheckpointContent, TensorFile};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// A transition to learn from.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    pub image: &'a [u8],
    pub record: &'a Record,
}

/// Figures of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepFigures {
    /// Mean cross-entropy of Q with its targets.
    pub loss: f64,
    /// Mean squared error of the auxiliary task; NaN in steps without.
    pub auxiliary: f64,
    /// Mean distance of Q from its targets.
    pub td_error: f64,
    /// Mean Q and mean target.
    pub q: f64,
    pub target: f64,
    pub gradient_norm: f64,
}

impl StepFigures {
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("loss/cross_entropy", self.loss),
            ("loss/auxiliary", self.auxiliary),
            ("loss/td_error", self.td_error),
            ("q/mean", self.q),
            ("q/target", self.target),
            ("grad_norm/total", self.gradient_norm),
        ]
    }
}

/// A trace's number, and the image and state to value.
type Situation<'a> = (usize, (&'a [u8], [f32; STATE_LEN]));

/// What labelling found.
#[derive(Clone, Debug, Default)]
pub struct BellmanTargets {
    pub targets: Vec<f32>,
    /// Mean over the searches of the deviation of the last elites.
    pub spread: f64,
    /// How much lower the second target network's own critic values the best actions, on average.
    pub disagreement: f64,
}

pub struct QLearner {
    config: QtOptConfig,
    space: ActionSpace,
    /// Trained by gradient.
    pub q: Box<dyn QFunction>,
    /// Moving average of the trained one: the first target, and the policy.
    pub averaged: Box<dyn QFunction>,
    /// The second target: the average as it was some time ago.
    target_2: Box<dyn QFunction>,
    /// Becomes the second target next.
    target_2_pending: Box<dyn QFunction>,
    adam: Adam,
    steps: u64,
}

impl QLearner {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &QtOptConfig, space: ActionSpace, seed: Seed) -> Result<Self, RlError> {
        config.validate().map_err(RlError::Config)?;
        let network = || build(config, &space, seed.derive("q", 0), &Device::Cpu);
        let (q, averaged, target_2, target_2_pending) = (network()?, network()?, network()?, network()?);
        let adam = Adam::new(&[q.store()], config.adam)?
            .scale_rates(config.auxiliary_lr_scale, |name| q.is_auxiliary_layer(name));
        Ok(Self { config: config.clone(), space, q, averaged, target_2, target_2_pending, adam, steps: 0 })
    }

    pub fn config(&self) -> &QtOptConfig {
        &self.config
    }

    pub fn space(&self) -> &ActionSpace {
        &self.space
    }

    /// Gradient steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The current policy.
    pub fn cem_policy(&self) -> CemPolicy<'_> {
        CemPolicy {
            q: self.averaged.as_ref(),
            space: &self.space,
            cem: &self.config.cem,
            size: self.config.size,
            channels: self.config.channels,
        }
    }

    /// The Bellman updater: a target for each trace.
    ///
    /// # Errors
    /// Images of another size.
    pub fn bellman_targets(&self, transitions: &[NStepTransition<'_>], seed: Seed) -> Result<BellmanTargets, RlError> {
        let going_on: Vec<Situation<'_>> =
            transitions.iter().enumerate().filter_map(|(index, transition)| Some((index, transition.next?))).collect();
        let _frozen = (self.averaged.store().freeze(), self.target_2.store().freeze());
        let max_q = going_on.par_chunks(AT_ONCE).map(|some| self.max_q(some, seed));
        let max_q = max_q.collect::<Result<Vec<_>, RlError>>()?.concat();
        let mut values = vec![0.0; transitions.len()];
        let mut labels = BellmanTargets::default();
        for ((index, _), (choice, other)) in going_on.iter().zip(&max_q) {
            values[*index] = choice.value().min(*other);
            labels.spread += f64::from(choice.spread);
            labels.disagreement += f64::from(choice.value() - other);
        }
        labels.spread /= going_on.len().max(1) as f64;
        labels.disagreement /= going_on.len().max(1) as f64;
        let target = |(transition, value): (&NStepTransition<'_>, f32)| {
            bellman_target(transition.n_step_return, transition.next.is_none(), transition.discount, value)
        };
        labels.targets = transitions.iter().zip(values).map(target).collect();
        Ok(labels)
    }

    /// The best action in each situation (a trace's number, what is seen there), and what the second target network says of it.
    fn max_q(&self, situations: &[Situation<'_>], seed: Seed) -> Result<Vec<(Choice, f32)>, RlError> {
        let images: Vec<&[u8]> = situations.iter().map(|(_, (image, _))| *image).collect();
        let states: Vec<_> = situations.iter().map(|(_, (_, state))| *state).collect();
        let images = image_activations(&images, self.config.size, self.config.channels)?;
        let may_end: Vec<bool> = states.iter().map(|state| may_end(&self.config.cem, state)).collect();
        let states = state_activations(&states)?;
        let seeds: Vec<Seed> = situations.iter().map(|(index, _)| seed.derive("search", *index as u64)).collect();
        let first = self.averaged.encode(&images, &states, EncoderMode::Evaluate)?;
        let choices = choose(self.averaged.as_ref(), &first, (&self.space, &self.config.cem), &may_end, &seeds)?;
        let actions: Vec<ActionFeatures> = choices.iter().map(|choice| self.space.features(&choice.action)).collect();
        let second = self.target_2.encode(&images, &states, EncoderMode::Evaluate)?;
        let others = last_logits_of(self.target_2.as_ref(), &second, &actions)?;
        Ok(choices.into_iter().zip(others.into_iter().map(value_of)).collect())
    }

    /// Learns from transitions and their targets. `rate` scales the learning rate, `rng` moves the images.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    pub fn step(
        &mut self,
        samples: &[Sample<'_>],
        targets: &[f32],
        rate: f64,
        rng: &mut Rng,
    ) -> Result<StepFigures, RlError> {
        let images: Vec<&[u8]> = samples.iter().map(|sample| sample.image).collect();
        let states: Vec<_> = samples.iter().map(|sample| sample.record.state).collect();
        let actions: Vec<ActionFeatures> = samples.iter().map(|sample| sample.record.action).collect();
        let moves: Vec<Moved> = images.iter().map(|_| self.moved(rng)).collect();
        let images = moved_image_activations(&images, &moves, self.config.size, self.config.channels)?;
        let auxiliary_step = self.steps % self.config.auxiliary_interval == 0;
        let mode = if auxiliary_step { EncoderMode::Train } else { EncoderMode::Frozen };
        let encoded = self.q.encode(&images, &state_activations(&states)?, mode)?;
        let logits = self.q.logits(&encoded, &actions, true)?;
        let shares: Vec<f32> = targets.iter().map(|&target| share_of(target)).collect();
        let target = Tensor::from_slice(&shares, shares.len(), &Device::Cpu)?;
        // Each critic learns all of it; they differ by where they began.
        let losses = logits.iter().map(|logits| sigmoid_cross_entropy(logits, &target));
        let losses = losses.collect::<candle_core::Result<Vec<_>>>()?;
        let loss = Tensor::stack(&losses, 0)?.mean_all()?;
        let mut whole = loss.clone();
        let mut auxiliary = f64::NAN;
        if self.config.auxiliary_weight > 0.0 && auxiliary_step {
            let plane = &self.config.network.projection.plane(REFERENCE_HEIGHT_M);
            let auxiliary_targets = samples.iter().map(|sample| sample.record.privileged.auxiliary_targets(plane));
            if let (Some(auxiliary_loss), Some(predictions)) =
                (AuxiliaryLoss::new(auxiliary_targets), self.q.auxiliary_predictions(&encoded)?)
            {
                let error = auxiliary_loss.error(&predictions)?;
                auxiliary = f64::from(error.to_scalar::<f32>()?);
                whole = (whole + (error * self.config.auxiliary_weight)?)?;
            }
        }
        let gradients = crate::nn::backward(&whole)?;
        let report = self.adam.step(&gradients, rate * self.config.q_lr)?;
        self.averaged.store().polyak_update(self.q.store(), self.config.tau)?;
        self.steps += 1;
        if self.steps % self.config.target_delay == 0 {
            self.target_2.store().copy_from(self.target_2_pending.store())?;
            self.target_2_pending.store().copy_from(self.averaged.store())?;
        }
        let values: Vec<f64> =
            logits[0].to_vec1::<f32>()?.into_iter().map(|logit| f64::from(value_of(logit))).collect();
        let count = values.len().max(1) as f64;
        let apart = values.iter().zip(targets).map(|(q, target)| (q - f64::from(*target)).abs());
        Ok(StepFigures {
            loss: f64::from(loss.to_scalar::<f32>()?),
            auxiliary,
            td_error: apart.sum::<f64>() / count,
            q: values.iter().sum::<f64>() / count,
            target: targets.iter().map(|&target| f64::from(target)).sum::<f64>() / count,
            gradient_norm: report.gradient_norm,
        })
    }

    /// How an image is moved before it is learned from.
    fn moved(&self, rng: &mut Rng) -> Moved {
        let range = self.config.shift as i32;
        let mut offset = || rng.below(2 * self.config.shift + 1) as i32 - range;
        let shift = [offset(), offset()];
        let mut gain = || if self.config.tint_std > 0.0 { (self.config.tint_std * rng.normal()).exp() } else { 1.0 };
        Moved { shift, gain: [gain(), gain(), gain()] }
    }

    fn networks(&self) -> [(&'static str, &dyn QFunction); 4] {
        [
            (Q, self.q.as_ref()),
            (AVERAGED, self.averaged.as_ref()),
            (TARGET_2, self.target_2.as_ref()),
            (TARGET_2_PENDING, self.target_2_pending.as_ref()),
        ]
    }

    /// Adds everything that a checkpoint needs of the learner.
    ///
    /// # Errors
    /// A device that fails.
    pub fn save(&self, content: &mut CheckpointContent<'static>) -> Result<(), RlError> {
        for (name, network) in self.networks() {
            content.groups.insert(name.to_owned(), to_bytes(&network.store().state_tensors()?)?);
        }
        content.groups.insert(ADAM.to_owned(), to_bytes(&self.adam.state_tensors()?)?);
        Ok(())
    }

    /// Takes over a checkpoint's tensors.
    ///
    /// # Errors
    /// Tensors that are missing or of other sizes.
    pub fn load(&mut self, checkpoint: &Checkpoint, steps: u64) -> Result<(), RlError> {
        for (name, network) in self.networks() {
            network.store().load_state(&from_file(group_of(checkpoint, name)?)?)?;
        }
        self.adam.load_state(&from_file(group_of(checkpoint, ADAM)?)?)?;
        self.steps = steps;
        Ok(())
    }
}

/// What a batch's encodings should tell, `[n, AUXILIARY_LEN]`, and how much each number counts: nothing where nobody knows.
struct AuxiliaryLoss {
    numbers: Vec<f32>,
    weights: Vec<f32>,
}

impl AuxiliaryLoss {
    /// None when nothing is known of any state.
    fn new(states: impl Iterator<Item = Option<[f32; AUXILIARY_LEN]>>) -> Option<Self> {
        let (mut numbers, mut weights, mut known) = (Vec::new(), Vec::new(), 0.0_f32);
        for state in states {
            numbers.extend(state.unwrap_or([0.0; AUXILIARY_LEN]));
            weights.extend(if state.is_some() { Privileged::weights() } else { [0.0; AUXILIARY_LEN] });
            known += if state.is_some() { 1.0 } else { 0.0 };
        }
        weights.iter_mut().for_each(|weight| *weight /= known.max(1.0));
        (known > 0.0).then_some(Self { numbers, weights })
    }

    /// The weighted sum of squared differences, averaged over the states that are known.
    fn error(&self, predictions: &Tensor) -> candle_core::Result<Tensor> {
        let tensor = |values: &[f32]| Tensor::from_slice(values, predictions.dims(), predictions.device());
        (predictions - tensor(&self.numbers)?)?.sqr()?.mul(&tensor(&self.weights)?)?.sum_all()
    }
}

const Q: &str = "q";
/// The averaged Q-function: the file to take elsewhere.
pub(super) const AVERAGED: &str = "q_averaged";
const TARGET_2: &str = "q_target_2";
const TARGET_2_PENDING: &str = "q_target_2_pending";
const ADAM: &str = "q_adam";

pub(super) fn group_of<'a>(checkpoint: &'a Checkpoint, group: &str) -> Result<&'a TensorFile, RlError> {
    let found = checkpoint.groups.get(group);
    found.ok_or_else(|| RlError::NoGroup { path: checkpoint.path.display().to_string(), group: group.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rl::action::tests::SPACE;
    use crate::rl::qtopt::bellman::sigmoid;
    use crate::rl::qtopt::config::Preset;
    use crate::rl::replay::Termination;

    #[test]
    fn lessons_are_taught_at_every_second_step_and_q_learns_at_all() -> anyhow::Result<()> {
        let config =
            QtOptConfig { size: 24, auxiliary_interval: 2, num_warmup_steps: 0, ..QtOptConfig::preset(Preset::Small) };
        let mut learner = QLearner::new(&config, SPACE, Seed(5))?;
        let mut rng = Seed(6).rng();
        let images: Vec<Vec<u8>> = (0..20).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let known = Privileged::new(
            &[0.03; crate::rl::qtopt::privileged::CELLS],
            Some(0.02),
            glam::Vec2::new(0.05, -0.03),
            0.4,
        );
        let record = Record {
            state: [0.0, 1.2],
            action: SPACE.features(&SPACE.random(&mut rng)),
            reward: 0.0,
            termination: Termination::None,
            exploratory: 0.0,
            privileged: known,
        };
        let samples: Vec<Sample<'_>> = images.iter().map(|image| Sample { image, record: &record }).collect();
        let weights = |learner: &QLearner| -> anyhow::Result<Vec<(String, Vec<f32>)>> {
            let tensors = learner.q.store().state_tensors()?.into_iter();
            tensors.map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?))).collect()
        };
        for auxiliary_step in [true, false, true, false] {
            let before = weights(&learner)?;
            let figures = learner.step(&samples, &[0.7; 20], 1.0, &mut rng)?;
            assert_eq!(figures.auxiliary.is_nan(), !auxiliary_step);
            for ((name, before), (_, after)) in before.into_iter().zip(weights(&learner)?) {
                let auxiliary = learner.q.is_auxiliary_layer(&name);
                // The last layer of the second look begins with zeros, and its first one moves only once that does not.
                if !auxiliary || name.starts_with("coarse_pose.conv0") || name.starts_with("height_map_decoder") {
                    assert_eq!(
                        before != after,
                        auxiliary_step || !auxiliary,
                        "{name}, auxiliary_step: {auxiliary_step}"
                    );
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_target_is_the_lower_of_two_opinions() -> anyhow::Result<()> {
        let config = QtOptConfig { size: 24, ..QtOptConfig::preset(Preset::Small) };
        let learner = QLearner::new(&config, SPACE, Seed(5))?;
        let mut rng = Seed(6).rng();
        let images: Vec<Vec<u8>> = (0..6).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let states: Vec<[f32; 2]> = (0..6).map(|i| [(i % 2) as f32, 0.3 * i as f32]).collect();
        let next = |i: usize| (i > 0).then(|| (&images[i][..], states[i]));
        let transitions: Vec<NStepTransition<'_>> =
            (0..6).map(|i| NStepTransition { n_step_return: 0.4, discount: 0.8, next: next(i) }).collect();
        let labels = learner.bellman_targets(&transitions, Seed(7))?;
        assert!((labels.targets[0] - 0.4).abs() < 1e-6, "an episode that ended");
        for (i, target) in labels.targets.iter().enumerate().skip(1) {
            let images = image_activations(&[&images[i]], 24, 3)?;
            let states_one = state_activations(&[states[i]])?;
            let seeds = [Seed(7).derive("search", i as u64)];
            let encoded = learner.averaged.encode(&images, &states_one, EncoderMode::Evaluate)?;
            let may_end = [may_end(&config.cem, &states[i])];
            let found = &choose(learner.averaged.as_ref(), &encoded, (&SPACE, &config.cem), &may_end, &seeds)?[0];
            // The networks are all the same yet.
            let critics = learner.target_2.logits(&encoded, &[SPACE.features(&found.action)], false)?;
            let [first, second] = [0, 1].map(|i| critics[i].to_vec1::<f32>().map_or(f32::NAN, |logits| logits[0]));
            let mean = 0.5 * (first + second);
            assert!((first - second).abs() > 1e-4 && (found.logit - mean).abs() < 1e-4, "{first} {second}");
            let expected = 0.4 + 0.8 * sigmoid(mean).min(sigmoid(second));
            assert!((target - expected).abs() < 1e-4, "{target} {expected}");
        }
        assert!(labels.disagreement.abs() > 1e-4);
        Ok(())
    }
}
