//! The learner: the Q-function, its two lagged targets, and the optimizer. One call labels transitions, another learns
//! from labelled ones.

use super::bellman::{bellman_target, choose, last_logits_of, share_of, value_of};
use super::config::QtOptConfig;
use super::network::planar_crop::REFERENCE_HEIGHT_M;
use super::network::{
    AT_ONCE, AUXILIARY_HEAD, EncoderMode, Moved, QFunction, QNetwork, STATE_LEN, build, image_activations,
    in_image_coordinates, may_end, moved_image_activations, state_activations,
};
use super::policy::CemPolicy;
use super::privileged::{AUXILIARY_LEN, auxiliary_targets, auxiliary_weights, shifted_targets};
use super::source::QBatch;
use super::stream::Samples;
use crate::contract::action_space::{ActionFeatures, ActionSpace};
use crate::contract::{Rng, Seed};
use crate::nn::Adam;
use crate::nn::ops::loss::sigmoid_cross_entropy;
use crate::rl::cem::Choice;
use crate::rl::error::RlError;
use crate::rl::replay::NStepTransition;
use crate::train::{Learner, Metrics, Module, TrainError};
use candle_core::{Device, Tensor};
use glam::Vec2;
use rayon::prelude::*;

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
    /// Mean Bellman target of the batch, from 0 to 1.
    pub target: f64,
    /// Global norm of all gradients, before clipping.
    pub gradient_norm: f64,
}

impl StepFigures {
    /// The figures by their names in metrics and TensorBoard.
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

/// By how much each image lies aside, in image coordinates; empty where none does.
pub(in crate::rl) fn displacements(samples: &Samples, size: usize) -> Vec<Vec2> {
    samples.windows.iter().map(|window| in_image_coordinates(*window, size)).collect()
}

/// A trace's number, and the image and state to value.
type Situation<'a> = (usize, (&'a [u8], [f32; STATE_LEN]));

/// What labelling found.
#[derive(Clone, Debug, Default)]
pub struct BellmanTargets {
    /// `[n]` from 0 to 1, in the order of the transitions.
    pub targets: Vec<f32>,
    /// Mean over the searches of the deviation of the last elites.
    pub spread: f64,
    /// How much lower the second target network's own critic values the best actions, on average.
    pub disagreement: f64,
}

/// A Q-function in training, with its averaged copy, its second target and its optimizer.
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
    pub fn new(config: &QtOptConfig, space: ActionSpace, seed: Seed, device: &Device) -> Result<Self, RlError> {
        config.validate().map_err(RlError::Config)?;
        let network = || build(config, &space, seed.derive("q", 0), device);
        let (q, averaged, target_2, target_2_pending) = (network()?, network()?, network()?, network()?);
        // Targets of auxiliary losses are exact; Q's own are guesses, whichever layer they teach.
        let scale = if config.encoder_supervision.uses_labels() { config.auxiliary_lr_scale } else { 1.0 };
        let adam = Adam::new(&[q.store()], config.adam)?.scale_rates(scale, |name| q.is_auxiliary_layer(name));
        Ok(Self { config: config.clone(), space, q, averaged, target_2, target_2_pending, adam, steps: 0 })
    }

    /// The settings that were validated when the learner was made.
    pub fn config(&self) -> &QtOptConfig {
        &self.config
    }

    /// What one action may do, in metres and radians; action features are shares of it.
    pub fn space(&self) -> &ActionSpace {
        &self.space
    }

    /// Begins with the weights of a trained Q-function, in the target networks too. One that saw a picture alone may teach
    /// one that sees a generated picture before it: what the source's channels add begins at 0. An auxiliary head that only
    /// one of the two has is left out, or begins as it is: Q does not read it.
    ///
    /// # Errors
    /// Another network.
    pub fn warm_start(&mut self, trained: &dyn QFunction) -> Result<(), RlError> {
        let is_head = |(name, _): &(String, Tensor)| name.starts_with(AUXILIARY_HEAD);
        let trained = trained.store().state_tensors()?;
        let mut state = super::warm_start::fit(trained, self.q.store(), self.config.channels)?;
        let own: Vec<_> = self.q.store().state_tensors()?.into_iter().filter(is_head).collect();
        if own.is_empty() {
            state.retain(|entry| !is_head(entry));
        } else if !state.iter().any(is_head) {
            state.extend(own);
        }
        for network in [&self.q, &self.averaged, &self.target_2, &self.target_2_pending] {
            network.store().load_state(&state)?;
        }
        Ok(())
    }

    /// Where the networks are, and batches go.
    pub fn device(&self) -> &Device {
        self.q.store().device()
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
        let images = image_activations(&images, self.config.size, self.config.channels, self.device())?;
        let may_end: Vec<bool> = states.iter().map(|state| may_end(&self.config.cem, state)).collect();
        let states = state_activations(&states, self.device())?;
        let seeds: Vec<Seed> = situations.iter().map(|(index, _)| seed.derive("search", *index as u64)).collect();
        let first = self.averaged.encode(&images, &states, EncoderMode::Evaluate)?;
        let choices = choose(self.averaged.as_ref(), &first, (&self.space, &self.config.cem), &may_end, &seeds)?;
        let actions: Vec<ActionFeatures> = choices.iter().map(|choice| self.space.features(&choice.action)).collect();
        let second = self.target_2.encode(&images, &states, EncoderMode::Evaluate)?;
        let others = last_logits_of(self.target_2.as_ref(), &second, &actions)?;
        Ok(choices.into_iter().zip(others.into_iter().map(value_of)).collect())
    }

    /// Learns from labelled transitions. `lr_scale` scales the learning rate.
    ///
    /// # Errors
    /// Gradients that are not finite three times in a row.
    pub fn learn(&mut self, batch: &QBatch, lr_scale: f64) -> Result<StepFigures, RlError> {
        let Samples { images, records, targets, .. } = &batch.samples;
        let rng = &mut batch.rng.clone();
        let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let states: Vec<_> = records.iter().map(|record| record.state).collect();
        let actions: Vec<ActionFeatures> = records.iter().map(|record| record.action).collect();
        let moves: Vec<Moved> = images.iter().map(|_| self.moved(rng)).collect();
        let images = moved_image_activations(&images, &moves, [self.config.size, self.config.channels], self.device())?;
        let labels = self.config.encoder_supervision.uses_labels();
        // Where Q teaches the encoder it does so at every step.
        let auxiliary_step = !labels || self.steps % self.config.auxiliary_interval == 0;
        let mode = if auxiliary_step { EncoderMode::Train } else { EncoderMode::Frozen };
        let displacements = displacements(&batch.samples, self.config.size);
        let states = state_activations(&states, self.device())?;
        let encoded = self.q.encode_moved(&images, &displacements, &states, mode)?;
        let logits = self.q.logits(&encoded, &actions, true)?;
        let shares: Vec<f32> = targets.iter().map(|&target| share_of(target)).collect();
        let target = Tensor::from_slice(&shares, shares.len(), self.device())?;
        // Each critic learns all of it; they differ by where they began.
        let real = batch.real.min(targets.len());
        let critic_loss = |logits: &Tensor| -> candle_core::Result<Tensor> {
            // Real data alone need no weight against anything.
            if real == 0 || real == targets.len() {
                return sigmoid_cross_entropy(logits, &target);
            }
            // RL-CycleGAN, section 4.3: each half is a mean, and a weight is on the real one.
            let part =
                |start, len| sigmoid_cross_entropy(&logits.narrow(0, start, len)?, &target.narrow(0, start, len)?);
            let simulated = targets.len() - real;
            part(0, simulated)? + (part(simulated, real)? * f64::from(batch.real_weight))?
        };
        let losses = logits.iter().map(critic_loss);
        let losses = losses.collect::<candle_core::Result<Vec<_>>>()?;
        let loss = Tensor::stack(&losses, 0)?.mean_all()?;
        let mut whole = loss.clone();
        let mut auxiliary = f64::NAN;
        if labels && self.config.auxiliary_weight > 0.0 && auxiliary_step {
            let network = &self.config.network;
            let (plane, cell_m) = (&network.projection.plane(REFERENCE_HEIGHT_M), network.map_cell_m);
            let offset = |moved: &Moved| moved.shift.map(|pixels| 2.0 * pixels as f32 / self.config.size as f32);
            // A calibrated network predicts poses as they are without the window's displacement.
            let calibrated = self.config.q_network() == QNetwork::StateEstimating;
            let auxiliary_targets = records.iter().zip(&moves).enumerate().map(|(index, (record, moved))| {
                let targets = auxiliary_targets(&record.privileged, plane, cell_m)?;
                let window = displacements.get(index).filter(|_| !calibrated).map_or([0.0; 2], |by| by.to_array());
                Some(shifted_targets(shifted_targets(targets, offset(moved)), window))
            });
            if let (Some(auxiliary_loss), Some(predictions)) =
                (AuxiliaryLoss::new(auxiliary_targets), self.q.auxiliary_predictions(&encoded)?)
            {
                let error = auxiliary_loss.error(&predictions)?;
                auxiliary = f64::from(error.to_scalar::<f32>()?);
                whole = (whole + (error * self.config.auxiliary_weight)?)?;
            }
        }
        let gradients = crate::nn::backward(&whole)?;
        let report = self.adam.step(&gradients, lr_scale * self.config.q_lr)?;
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
}

impl Learner for QLearner {
    type Batch = QBatch;

    fn update(&mut self, batch: &QBatch, lr_scale: f64) -> Result<Metrics, TrainError> {
        Ok(self.learn(batch, lr_scale)?.named().to_vec())
    }

    fn step(&self) -> u64 {
        self.steps
    }

    fn set_step(&mut self, step: u64) {
        self.steps = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        vec![
            (Q, Module::Network(self.q.store())),
            (AVERAGED, Module::Network(self.averaged.store())),
            (TARGET_2, Module::Network(self.target_2.store())),
            (TARGET_2_PENDING, Module::Network(self.target_2_pending.store())),
            (ADAM, Module::Optimizer(&mut self.adam)),
        ]
    }
}

/// What a batch's encodings should tell, `[n, AUXILIARY_LEN]`, and how much each number counts: nothing where the value is unknown.
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
            weights.extend(if state.is_some() { auxiliary_weights() } else { [0.0; AUXILIARY_LEN] });
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

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
