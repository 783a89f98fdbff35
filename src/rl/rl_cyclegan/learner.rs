//! The learner of the joint phase: generators and discriminators, Q_sim and Q_real beside them (RL-CycleGAN), or a grasp
//! network (GraspGAN).
//!
//! Gradients are applied selectively (Rao et al., 2020, appendix A): the scene term moves G and F alone, as both Q-functions
//! are frozen while it is computed; L_RL moves the Q-functions alone, as they get the translations as plain pictures.

use super::batch::JointBatch;
use super::config::RlCycleGanConfig;
use super::grasp_network::GraspNetwork;
use super::scene::QScene;
use crate::contract::{ActionSpace, Rng, Seed};
use crate::gan::cyclegan::noise::to_byte_images;
use crate::gan::cyclegan::{Critics, CycleGanLearner, Method, SceneLoss, StepTranslations, TaskNetwork};
use crate::nn::HOST;
use crate::rl::error::RlError;
use crate::rl::qtopt::learner::displacements;
use crate::rl::qtopt::network::{PUBLISHED_STATE_LEN, QFunction, published};
use crate::rl::qtopt::stream::Samples;
use crate::rl::qtopt::{CemPolicy, QBatch, QLearner};
use crate::rl::rl_cyclegan::translated::TranslatedQ;
use crate::train::{Checkpoint, Learner, Metrics, Module, NamedGroup, NamedImage, TrainError};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Q_sim and Q_real.
pub struct QPair {
    /// Learns on x, F(G(x)) and F(y).
    pub sim: QLearner,
    /// Learns on G(x), y and G(F(y)).
    pub real: QLearner,
}

/// Everything that learns in the joint phase.
pub struct RlCycleGanLearner {
    config: RlCycleGanConfig,
    space: ActionSpace,
    seed: Seed,
    gan: CycleGanLearner,
    q: Option<QPair>,
    task: Option<GraspNetwork>,
    /// How well Q_sim separates held-out successes from failures, as the source measured it last; below the gate at first.
    auc: f64,
}

/// What is saved beside tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    gan: Value,
    q_steps: [u64; 2],
    /// The bits of `auc`: text would round it.
    auc: u64,
}

/// The modules of one Q-function in a checkpoint, in the order of [`QLearner::modules`].
const Q_SIM: [&str; 5] = ["q_sim", "q_sim_averaged", "q_sim_target_2", "q_sim_target_2_pending", "q_sim_adam"];
const Q_REAL: [&str; 5] = ["q_real", "q_real_averaged", "q_real_target_2", "q_real_target_2_pending", "q_real_adam"];
/// The averaged Q-functions: the files to take elsewhere.
pub const Q_SIM_AVERAGED: &str = Q_SIM[1];
/// Q_real's averaged copy: the group of a checkpoint that holds it.
pub const Q_REAL_AVERAGED: &str = Q_REAL[1];

impl RlCycleGanLearner {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &RlCycleGanConfig, space: ActionSpace, seed: Seed, device: &Device) -> Result<Self, RlError> {
        let grasps = config.gan.method == Method::GraspGan;
        let task = || GraspNetwork::new(config.gan.size, config.task_lr, seed.derive("grasp-network", 0), device);
        let task = grasps.then(task).transpose()?;
        let features = task.as_ref().map(TaskNetwork::feature_channels);
        let gan = CycleGanLearner::with_task_features(&config.gan, seed.derive("gan", 0), features, device)
            .map_err(RlError::other)?;
        let q = |name: &str| QLearner::new(&config.qtopt, space, seed.derive(name, 0), device);
        let q = config.has_q().then(|| Ok::<_, RlError>(QPair { sim: q("q-sim")?, real: q("q-real")? })).transpose()?;
        Ok(Self { config: config.clone(), space, seed, gan, q, task, auc: 0.0 })
    }

    /// The settings that the learner was made with.
    pub fn config(&self) -> &RlCycleGanConfig {
        &self.config
    }

    /// What one action may do, in metres and radians, for both Q-functions.
    pub fn space(&self) -> &ActionSpace {
        &self.space
    }

    /// Generators and discriminators.
    pub fn gan(&self) -> &CycleGanLearner {
        &self.gan
    }

    /// Q_sim and Q_real; `None` for all methods but RL-CycleGAN.
    pub fn q(&self) -> Option<&QPair> {
        self.q.as_ref()
    }

    /// GraspGAN's grasp network; `None` for all other methods.
    pub fn task(&self) -> Option<&GraspNetwork> {
        self.task.as_ref()
    }

    /// Where the networks are, and batches go.
    pub fn device(&self) -> &Device {
        self.gan.device()
    }

    /// Begins with the weights of a trained Q-function, Q_sim and Q_real alike.
    ///
    /// # Errors
    /// Another network.
    pub fn warm_start(&mut self, trained: &dyn QFunction) -> Result<(), RlError> {
        let Some(q) = &mut self.q else { return Ok(()) };
        q.sim.warm_start(trained)?;
        q.real.warm_start(trained)
    }

    /// Q_real behind G: it acts in the simulator as it would in reality.
    pub fn translated_q_real(&self) -> Option<TranslatedQ<'_>> {
        let q = self.q.as_ref()?.real.averaged.as_ref();
        Some(TranslatedQ { generators: vec![self.gan.sim2real()], q })
    }

    /// The policy of a Q-function, by the settings of this run.
    pub fn cem_policy<'a>(&'a self, q: &'a dyn QFunction) -> CemPolicy<'a> {
        let config = &self.config.qtopt;
        CemPolicy { q, space: &self.space, cem: &config.cem, size: config.size, channels: config.channels }
    }

    /// Whether Q_sim is good enough to be agreed on.
    pub fn scene_takes_part(&self) -> bool {
        self.auc >= self.config.scene.least_auc
    }

    /// The step's own seed of something random beside the generators.
    pub(super) fn seed_of(&self, purpose: &str) -> Seed {
        self.seed.derive(purpose, self.gan.steps())
    }

    fn step_inner(&mut self, batch: &JointBatch, lr_scale: f64) -> Result<Metrics, RlError> {
        if let Some(auc) = batch.auc {
            // Without both kinds of outcome nothing was measured.
            self.auc = if auc.is_nan() { self.auc } else { auc };
        }
        let ready = self.scene_takes_part();
        let step = self.gan.steps();
        let due = !self.config.scene.frozen_q && step % self.config.q_interval == 0;
        let [gx, fgx, fy, gfy] = &self.targets_of_translations(batch, due)?;
        let scene = self.q.as_ref().map(|q| QScene {
            q_sim: q.sim.averaged.as_ref(),
            q_real: q.real.averaged.as_ref(),
            config: &self.config.scene,
            ready,
            targets: [[gx, fgx], [fy, gfy]],
            moved: [&batch.sim, &batch.real].map(|samples| displacements(samples, self.config.qtopt.size)),
        });
        let critics = Critics {
            scene: scene.as_ref().map(|scene| scene as &dyn SceneLoss),
            task: self.task.as_mut().map(|task| task as &mut dyn TaskNetwork),
        };
        let mut metrics = self.gan.update(&batch.unpaired, lr_scale, critics).map_err(RlError::other)?;
        let translations = self.gan.step_translations().filter(|_| due);
        if let (Some(q), Some(StepTranslations { gx: x_there, cycle: Some([x_back, y_there, y_back]) })) =
            (&mut self.q, translations)
        {
            let std = self.config.scene.observation_std;
            let seed = self.seed.derive("translated", step);
            let bytes = |images: &Tensor, name: &str| to_byte_images(images, std, seed.derive(name, 0));
            let (x, y) = (&batch.sim, &batch.real);
            let of_sim = QBatch {
                samples: joined(&[
                    (x, None),
                    (x, Some((bytes(x_back, "fgx")?, fgx))),
                    (y, Some((bytes(y_there, "fy")?, fy))),
                ]),
                // Six Bellman losses of one weight (equation 5): each batch is a mean over its three thirds.
                real: 0,
                real_weight: 1.0,
                rng: Rng::clone(&batch.rng),
            };
            let of_real = QBatch {
                samples: joined(&[
                    (x, Some((bytes(x_there, "gx")?, gx))),
                    (y, None),
                    (y, Some((bytes(y_back, "gfy")?, gfy))),
                ]),
                real: 0,
                real_weight: 1.0,
                rng: self.seed.derive("q-real-augmentation", step).rng(),
            };
            let q_lr_scale = lr_scale * self.config.q_warmup(step);
            let (sim, real) = (q.sim.learn(&of_sim, q_lr_scale)?, q.real.learn(&of_real, q_lr_scale)?);
            metrics.extend([
                ("loss/rl_sim", sim.loss),
                ("loss/rl_real", real.loss),
                ("loss/auxiliary_sim", sim.auxiliary),
                ("loss/auxiliary_real", real.auxiliary),
                ("q/mean_sim", sim.q),
                ("q/mean_real", real.q),
                ("q/target_mean", sim.target),
                ("grad_norm/q_sim", sim.gradient_norm),
                ("grad_norm/q_real", real.gradient_norm),
            ]);
        }
        Ok(metrics)
    }
}

/// Other pictures of samples, and the targets of what was done there.
type Translated<'a> = (Vec<Vec<u8>>, &'a Vec<f32>);

/// Samples one after the other, some as other pictures of the same states.
fn joined(parts: &[(&Samples, Option<Translated<'_>>)]) -> Samples {
    let mut all = Samples::default();
    for (samples, translated) in parts {
        let (images, targets) = match translated {
            Some((images, targets)) => (images, *targets),
            None => (&samples.images, &samples.targets),
        };
        all.images.extend(images.iter().cloned());
        all.records.extend_from_slice(&samples.records);
        all.targets.extend_from_slice(targets);
        all.windows.extend_from_slice(&samples.windows);
    }
    all
}

impl Learner for RlCycleGanLearner {
    type Batch = JointBatch;

    fn update(&mut self, batch: &JointBatch, lr_scale: f64) -> Result<Metrics, TrainError> {
        Ok(self.step_inner(batch, lr_scale)?)
    }

    fn step(&self) -> u64 {
        self.gan.step()
    }

    fn set_step(&mut self, step: u64) {
        self.gan.set_step(step);
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        let mut modules = self.gan.modules();
        if let Some(q) = &mut self.q {
            for (learner, names) in [(&mut q.sim, Q_SIM), (&mut q.real, Q_REAL)] {
                modules.extend(names.into_iter().zip(learner.modules()).map(|(name, (_, module))| (name, module)));
            }
        }
        if let Some(task) = &mut self.task {
            let (store, adam) = task.parts();
            modules
                .extend([("grasp_network", Module::Network(store)), ("grasp_network_adam", Module::Optimizer(adam))]);
        }
        modules
    }

    fn state(&self) -> Result<Value, TrainError> {
        let q_steps = self.q.as_ref().map_or([0; 2], |q| [q.sim.step(), q.real.step()]);
        let saved = Saved { gan: Learner::state(&self.gan)?, q_steps, auc: self.auc.to_bits() };
        serde_json::to_value(saved).map_err(TrainError::state)
    }

    fn tensors(&self) -> Result<Vec<NamedGroup>, TrainError> {
        self.gan.tensors()
    }

    fn restore(&mut self, state: Value, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let saved: Saved = serde_json::from_value(state).map_err(TrainError::state)?;
        self.gan.restore(saved.gan, checkpoint)?;
        if let Some(q) = &mut self.q {
            q.sim.set_step(saved.q_steps[0]);
            q.real.set_step(saved.q_steps[1]);
        }
        self.auc = f64::from_bits(saved.auc);
        Ok(())
    }

    fn images(&mut self, _: &JointBatch) -> Result<Vec<NamedImage>, TrainError> {
        Ok(Vec::new())
    }
}

/// The published part of the gripper's state, `[n, PUBLISHED_STATE_LEN]`: what discriminators see of it.
pub(super) fn state_planes(samples: &Samples) -> candle_core::Result<Tensor> {
    let flat: Vec<f32> = samples.records.iter().flat_map(|record| published(&record.state)).collect();
    Tensor::from_vec(flat, (samples.records.len(), PUBLISHED_STATE_LEN), &HOST)
}
