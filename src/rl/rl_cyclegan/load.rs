//! Generators and Q-functions of a finished or interrupted joint run.

use super::config::RlCycleGanConfig;
use super::learner::{Q_REAL_AVERAGED, Q_SIM_AVERAGED};
use crate::contract::Seed;
use crate::gan::cyclegan::folder::FolderConfig;
use crate::gan::cyclegan::{CycleGanData, LoadedGenerator, generator_of};
use crate::rl::error::RlError;
use crate::rl::qtopt::load::Loaded;
use crate::rl::qtopt::network::build;
use crate::rl::qtopt::{QPolicy, QtOptData};
use crate::train::state::from_file;
use crate::train::{LearnerConfig, LoadedRun, RunConfig, TrainError, load_run};
use candle_core::Device;
use std::collections::BTreeMap;
use std::path::Path;

/// Which of the two Q-functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JointQ {
    /// Q_sim, which is for images of the simulator.
    Sim,
    /// Q_real, which is for images of reality and for translated ones.
    Real,
}

/// Whether a run of this learner name is one of the joint phase.
pub fn is_joint(learner: &str) -> bool {
    learner == RlCycleGanConfig::NAME
}

/// Loads the averaged G, or F with `backward`, of a joint run's newest whole checkpoint (or of one checkpoint).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage, a method without F.
pub fn load_generator(path: &Path, backward: bool, device: &Device) -> Result<LoadedGenerator, TrainError> {
    let LoadedRun { config, checkpoint, warnings, run } = load_run::<RlCycleGanConfig>(path)?;
    let RunConfig { seed, log_interval, image_interval, checkpoint_interval, limits, learner, .. } = config;
    let data = CycleGanData { root: run, images: FolderConfig::for_size(learner.gan.size), digests: BTreeMap::new() };
    let config =
        RunConfig { seed, log_interval, image_interval, checkpoint_interval, limits, data, learner: learner.gan };
    generator_of(path, config, &checkpoint, warnings, backward, device)
}

/// Loads Q_sim or Q_real of a joint run: a policy as of QT-Opt. Q_real is for `reality`, and for the simulator behind G.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage, a method without Q-functions.
pub fn load_q(path: &Path, which: JointQ, device: &Device) -> Result<Loaded, RlError> {
    let LoadedRun { config, checkpoint, run, warnings } = load_run::<RlCycleGanConfig>(path).map_err(Box::new)?;
    if !config.learner.has_q() {
        let message = format!("a run of {} trains no Q-function; train rl-cyclegan does", config.learner.gan.method);
        return Err(Box::new(TrainError::WrongRun { path: path.display().to_string(), message }).into());
    }
    let RunConfig { seed, log_interval, image_interval, checkpoint_interval, limits, data, learner } = config;
    let (space, learner) = (data.space, learner.qtopt);
    let q = build(&learner, &space, Seed(0), device)?;
    let group = if which == JointQ::Sim { Q_SIM_AVERAGED } else { Q_REAL_AVERAGED };
    q.store().load_state(&from_file(checkpoint.group(group)?)?)?;
    let policy = QPolicy { q, space, cem: learner.acting_cem(), size: learner.size, channels: learner.channels };
    let data = QtOptData {
        env: data.env,
        script: data.script,
        generator: (which == JointQ::Real).then(|| run.clone()),
        offline: None,
        init: Some(data.init),
        real: Some(data.real),
        on_policy_domain: None,
        on_policy_episodes: 0,
        init_episodes: 0,
        real_only: false,
        space,
    };
    let config = RunConfig { seed, log_interval, image_interval, checkpoint_interval, limits, data, learner };
    Ok(Loaded { policy, run, config, step: checkpoint.step, warnings })
}
