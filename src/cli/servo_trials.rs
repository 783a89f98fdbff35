//! Trials of `eval servo` and `reproduce servo-figures`: networks and environments for a method, and what fills the places of
//! the networks in controls.

use super::{UsageError, common};
use crate::contract::{Class, Domain, Pose, PrivilegedAccess, Seed, TaskKind, VecEnvError};
use crate::env::{Channels, EnvConfig, GraspEnv};
use crate::eval::servo::{
    Approach, ApproachConfig, HandEye, Method, ReachPolicy, SegmentFn, SegmentInput, ServoTrials, TranslateFn,
    TrialResult, run_trials,
};
use crate::files::console;
use crate::gan::semantic::{LoadedSemantic, RgbdImage, SemanticClass, decode_batch, encode_batch, load_semantic};
use crate::nn::{HOST, with_large_stack};
use crate::policies::PolicyKind;
use crate::rl::ppo::{LoadedPpo, load_policy};
use crate::scene::CellDescription;
use crate::servo::classical::{ColourImage, segment_by_k_means, segment_by_watershed};
use crate::servo::{Law, Mask, morphology};
use crate::tasks::{GraspLibrary, PoseGraspConfig, pose_grasp};
use anyhow::Context;
use rayon::prelude::*;
use serde::Serialize;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

/// The cell that the method is for.
pub const CELL: &str = "panda-table";
/// Edge of the images, pixels.
pub const SIZE: u32 = 64;

/// Where the object's mask comes from.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskSource {
    /// The semantic discriminator of --generator
    #[default]
    Network,
    /// The true mask: a control
    Truth,
    /// K-means on the colour histogram
    KMeans,
    /// The watershed algorithm
    Watershed,
}

/// How the error is composed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LawArg {
    /// The pose-based error; the camera's path is straight
    Exact,
    /// Equations 7 and 8 as the paper composes them
    Paper,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub method: Method,
    pub policy: Option<PathBuf>,
    pub generator: Option<PathBuf>,
    pub domain: Domain,
    pub mask: MaskSource,
    pub approach: ApproachConfig,
    pub cell: String,
    pub num_envs: usize,
    /// Every image of every servo is kept.
    pub keep_traces: bool,
}

impl Plan {
    /// How the parts are put together in a domain: only what stands for the real world has a real robot's latency.
    pub fn approach(domain: Domain, law: LawArg, no_latency: bool) -> ApproachConfig {
        let config = ApproachConfig::default();
        let is_late = domain.stands_for_reality() && !no_latency;
        let mut config = if is_late { config.of_a_real_robot() } else { config };
        config.servo.law = match law {
            LawArg::Exact => Law::Exact,
            LawArg::Paper => Law::Paper,
        };
        config
    }

    /// The task: what a method's steps are.
    pub fn task(&self) -> PoseGraspConfig {
        PoseGraspConfig {
            decisions: if self.method == Method::Vs { 0 } else { self.approach.decisions },
            last_descent_m: self.approach.last_descent_m,
            // The servo's images, the way down, and the grasp.
            servo_steps: self.approach.servo.max_ticks + 8,
            ..PoseGraspConfig::default()
        }
    }

    /// The whole method with these networks.
    ///
    /// # Errors
    /// A cell without a camera; the graphics device.
    pub fn policy<'a>(
        &self,
        cell: &Arc<CellDescription>,
        agent: Option<ReachPolicy<'a>>,
        semantic: Option<impl Deref<Target = LoadedSemantic> + Clone + Send + 'a>,
    ) -> anyhow::Result<Approach<'a>> {
        let camera = cell.cameras.first().context("the cell has no camera")?;
        let hand_eye = HandEye::new(&camera.camera(camera.centre_crop(SIZE), Pose::IDENTITY));
        let mut approach = Approach::new(self.method, self.approach, hand_eye, agent);
        if let Some(semantic) = semantic.clone() {
            approach = approach.with_translation(translation(semantic));
        }
        Ok(match (self.mask, semantic) {
            (MaskSource::Truth, _) => approach.with_segmentation(true_masks()),
            (MaskSource::Network, Some(semantic)) => approach.with_segmentation(network_masks(semantic)),
            (MaskSource::Network, None) => approach,
            (MaskSource::KMeans, _) => approach.with_segmentation(classical_masks(cell, segment_by_k_means)?),
            (MaskSource::Watershed, _) => approach.with_segmentation(classical_masks(cell, segment_by_watershed)?),
        })
    }

    /// Plays the trials; `progress` counts them.
    ///
    /// # Errors
    /// A network that the method needs and that is not named, missing or damaged; a cell of another task; the simulator.
    pub fn run(
        &self,
        trials: &ServoTrials,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> anyhow::Result<Vec<TrialResult>> {
        let mut parts = Parts::load(self)?;
        let cell = common::load_cell(&self.cell)?;
        if cell.task != TaskKind::PoseGrasp {
            let message =
                format!("the cell {} has the task {}; pass one of relative poses, as {CELL}", cell.name, cell.task);
            return Err(UsageError(message).into());
        }
        with_large_stack(|| play(self, &mut parts, &cell, trials, progress))?
    }
}

/// The networks that the method needs.
pub struct Parts {
    pub agent: Option<LoadedPpo>,
    pub semantic: Option<LoadedSemantic>,
}

impl Parts {
    /// # Errors
    /// A network that is needed and not named, missing or damaged, or one for images of another size.
    pub fn load(args: &Plan) -> anyhow::Result<Self> {
        let method = args.method;
        let wants_masks = method.has_servo() && args.mask == MaskSource::Network;
        let needed = |wanted: bool, flag: &str, path: &Option<PathBuf>, command: &str| {
            if !wanted {
                return Ok(None);
            }
            let missing =
                || UsageError(format!("the method {method} needs {flag}: a run of `bingrasp train {command}`"));
            path.clone().map(Some).ok_or_else(missing)
        };
        let agent = needed(method.has_agent(), "--policy", &args.policy, "ppo")?;
        let wants_generator = wants_masks || method.has_translation();
        let semantic = needed(wants_generator, "--generator", &args.generator, "semantic-cyclegan")?;
        let agent = agent.map(|path| load_policy(&path, &HOST)).transpose()?;
        let semantic = semantic.map(|path| load_semantic(&path, &HOST)).transpose()?;
        for warnings in [agent.as_ref().map(|a| &a.warnings), semantic.as_ref().map(|s| &s.warnings)] {
            console::warn_all(warnings.into_iter().flatten());
        }
        let sizes = [agent.as_ref().map(|a| a.policy.codec.size), semantic.as_ref().map(|s| s.config.learner.size)];
        if let Some(size) = sizes.into_iter().flatten().find(|size| *size != SIZE as usize) {
            return Err(UsageError(format!("a network takes images of {size} pixels, and trials have {SIZE}")).into());
        }
        Ok(Self { agent, semantic })
    }
}

fn play(
    args: &Plan,
    parts: &mut Parts,
    cell: &Arc<CellDescription>,
    trials: &ServoTrials,
    progress: &mut dyn FnMut(usize),
) -> anyhow::Result<Vec<TrialResult>> {
    let library = Arc::new(GraspLibrary::default());
    let knows_truth = args.method.has_servo() && args.mask == MaskSource::Truth;
    let channels = Channels { image: true, depth: true, frames: knows_truth, ..Channels::NONE };
    let access = if knows_truth { PrivilegedAccess::GroundTruth } else { PrivilegedAccess::Denied };
    let batch = (args.num_envs, SIZE);
    let env = EnvConfig {
        task: pose_grasp(args.task(), Arc::clone(&library)),
        channels,
        access,
        scripts: vec![PolicyKind::Oracle],
        ..EnvConfig::new(cell, trials.objects.clone(), args.domain, batch, trials.seed)
    };
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    let Parts { agent, semantic } = parts;
    let agent = agent.as_mut().map(|loaded| Box::new(&mut loaded.policy) as ReachPolicy<'_>);
    let mut approach = args.policy(cell, agent, semantic.as_ref())?;
    if args.keep_traces {
        approach = approach.with_traces();
    }
    Ok(run_trials(&mut approach, trials, env, &library, progress)?)
}

/// F(y) of real images.
fn translation<'a>(semantic: impl Deref<Target = LoadedSemantic> + Send + 'a) -> TranslateFn<'a> {
    Box::new(move |images: &[RgbdImage<'_>]| {
        let config = &semantic.config.learner;
        let translate = || -> candle_core::Result<_> {
            let y = encode_batch(config, images.iter().copied(), &HOST)?;
            decode_batch(config, &semantic.generator_x.translate(&y)?)
        };
        let translated = translate().map_err(VecEnvError::new)?;
        Ok(translated.into_iter().map(|image| (image.rgb, image.depth_m)).collect())
    })
}

/// D_Y's probabilities of the object.
fn network_masks<'a>(semantic: impl Deref<Target = LoadedSemantic> + Send + 'a) -> SegmentFn<'a> {
    Box::new(move |inputs| {
        let config = &semantic.config.learner;
        let segment = || -> candle_core::Result<_> {
            let y = encode_batch(config, inputs.iter().map(|input| input.image), &HOST)?;
            semantic.discriminator_y.probabilities(&y, SemanticClass::Object)
        };
        let probabilities = segment().map_err(VecEnvError::new)?;
        Ok(probabilities.chunks_exact(config.size * config.size).map(<[f32]>::to_vec).collect())
    })
}

/// Masks without learning, with the region of the gripper left out.
fn classical_masks<'a>(
    cell: &Arc<CellDescription>,
    segment: fn(ColourImage<'_>, &Mask) -> Mask,
) -> anyhow::Result<SegmentFn<'a>> {
    let gripper = gripper_region(cell)?;
    Ok(Box::new(move |inputs| {
        let size = SIZE as usize;
        let of = |input: &SegmentInput<'_>| {
            let mask = segment(ColourImage { rgb: input.image.rgb, width: size, height: size }, &gripper);
            mask.pixels().iter().map(|&on| f32::from(u8::from(on))).collect()
        };
        Ok(inputs.par_iter().map(of).collect())
    }))
}

/// Where a camera on the hand sees the open gripper, a pixel wider: from the robot's own model, drawn in `canonical`.
pub fn gripper_region(cell: &Arc<CellDescription>) -> anyhow::Result<Mask> {
    let objects = common::load_objects("ycb", common::ImportArgs::default())?;
    let config = EnvConfig::new(cell, objects, Domain::Canonical, (1, SIZE), Seed(0));
    let mut env = GraspEnv::new(config.with_frames(PrivilegedAccess::Simulation))?;
    let batch = env.reset_all()?;
    let frames = batch.privileged.and_then(|privileged| privileged.frames.into_iter().next());
    let frames = frames.context("the environment drew no frame")?;
    let size = SIZE as usize;
    let mask = Mask::of_class(frames.segmentation_image(0), size, size, Class::Arm as u8)?;
    Ok(morphology::dilate(&mask, 1))
}

/// The renderer's own masks.
fn true_masks<'a>() -> SegmentFn<'a> {
    Box::new(|inputs| {
        let mask = |classes: &[u8]| {
            let is_object = |&class: &u8| SemanticClass::from_rendered(class) == SemanticClass::Object;
            classes.iter().map(|class| f32::from(u8::from(is_object(class)))).collect()
        };
        let of = |input: &SegmentInput<'_>| {
            input.classes.map(mask).ok_or_else(|| VecEnvError::new("the environments do not tell the true mask"))
        };
        inputs.iter().map(of).collect()
    })
}
