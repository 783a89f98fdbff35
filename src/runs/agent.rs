//! Trained agents: runs of `train qtopt`, and the generator through which some of them look.

use super::UsageError;
use super::environments::load_cell;
use super::generator::{self as generators, GeneratorKind};
use crate::contract::privileged::MapFrame;
use crate::contract::{self, ActionSpace, Domain, ImageAdapter, VecEnvError};
use crate::data::DataError;
use crate::data::episodes::EpisodeReader;
use crate::env::map_frame;
use crate::files::atomic::sha256_file;
use crate::files::console::warn_all;
use crate::gan::cyclegan::{LoadedGenerator, TranslationAdapter};
use crate::gan::rcan::{self, CanonicalAdapter, GeneratorAdapter, RcanConfig, load_generator};
use crate::nn::HOST;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode};
use crate::rl::qtopt::load::Loaded;
use crate::rl::qtopt::network::Projection;
use crate::rl::qtopt::{QLearner, QtOptConfig, load_policy};
use crate::rl::rl_cyclegan::load::{JointQ, is_joint, load_q};
use crate::scene::CellDescription;
use crate::tasks::{BinGrasp, Task};
use crate::train::checkpoint::{CHECKPOINTS_NAME, CHECKSUMS_NAME};
use crate::train::{Checkpoints, EnvData, LearnerConfig, RunConfig, learner_name};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The policy of a run or of one of its checkpoints. What is damaged is said on standard error.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load(policy: &str) -> anyhow::Result<Loaded> {
    let path = Path::new(policy);
    if !path.is_dir() {
        let message = format!("'{policy}' is neither scripted, noisy-planner, oracle, random nor the folder of a run");
        return Err(UsageError(message).into());
    }
    let loaded = match learner_name(path)? {
        // What a joint run hands on to reality.
        name if is_joint(&name) => load_q(path, JointQ::Real, &HOST)?,
        _ => load_policy(path, &HOST)?,
    };
    warn_all(&loaded.warnings);
    Ok(loaded)
}

/// A learned policy by what it is, not by where it lies: `qtopt-` and the beginning of its checkpoint's checksum.
///
/// # Errors
/// A checkpoint that is gone.
pub fn name(loaded: &Loaded) -> anyhow::Result<String> {
    let checkpoint = Checkpoints::new(loaded.run.join(CHECKPOINTS_NAME)).path(loaded.step);
    let sum = sha256_file(&checkpoint.join(CHECKSUMS_NAME))?;
    Ok(format!("qtopt-{}", sum.get(..16).unwrap_or_default()))
}

/// The adapter through which the agent of `run` sees pictures of `domain`, where it learns with a generator.
///
/// RCAN's stands beside every picture. G of a GAN or CycleGAN makes simulation look like reality, where its agent is at
/// home: pictures of `reality` need none.
///
/// # Errors
/// A generator that is missing, damaged, or for another size.
pub fn adapter(run: &Path, config: &RunConfig<QtOptConfig>, domain: Domain) -> anyhow::Result<Option<BoxedAdapter>> {
    let Some(generator) = generator(run, config)? else { return Ok(None) };
    let from = config.data.generator.as_deref().unwrap_or(run);
    check_size(generator.size(), config.learner.size, from)?;
    Ok(match generator {
        AgentGenerator::Rcan(loaded) => {
            let with_maps = config.learner.channels == GeneratorAdapter::num_channels(true);
            Some(Box::new(GeneratorAdapter { generator: loaded.generator, with_maps }))
        }
        AgentGenerator::Translation(_) if domain.stands_for_reality() => None,
        AgentGenerator::Translation(loaded) => Some(Box::new(TranslationAdapter(loaded.generator))),
    })
}

/// The adapter of `--generator RUN` for a policy that was trained on plain pictures of the simulator: F, which makes pictures
/// of `reality` look like the simulator's, or RCAN's generator, which makes any look canonical.
///
/// # Errors
/// A run without F, or for another size; an agent that looks through a generator already.
pub fn real2sim_adapter(run: &Path, config: &RunConfig<QtOptConfig>) -> anyhow::Result<BoxedAdapter> {
    if config.data.generator.is_some() {
        let message = "--generator: the policy looks through a generator of its own already; leave the flag out";
        return Err(UsageError(message.into()).into());
    }
    if learner_name(run)? == RcanConfig::NAME {
        let loaded = load_generator(run, &HOST)?;
        warn_all(&loaded.warnings);
        check_size(loaded.generator.size(), config.learner.size, run)?;
        return Ok(Box::new(CanonicalAdapter(loaded.generator)));
    }
    let loaded = generators::load_translation(run, true)?;
    check_size(loaded.generator.size(), config.learner.size, run)?;
    Ok(Box::new(TranslationAdapter(loaded.generator)))
}

/// An adapter that may move between threads.
pub type BoxedAdapter = Box<dyn ImageAdapter + Send>;

fn check_size(made_for: usize, size: usize, run: &Path) -> anyhow::Result<()> {
    if made_for == size {
        return Ok(());
    }
    let message = format!(
        "the generator in {} is for {made_for}x{made_for} pixels and the agent sees {size}x{size}",
        run.display()
    );
    Err(UsageError(message).into())
}

/// The ranges of actions in a cell.
pub fn action_space(cell: &CellDescription) -> ActionSpace {
    BinGrasp::default().action_space(cell)
}

/// Where the map lies of a run with these settings.
///
/// # Errors
/// A cell that cannot be read.
pub fn map_of(config: &QtOptConfig, env: &EnvData) -> anyhow::Result<MapFrame> {
    let cell = load_cell(&env.cell)?;
    let frame = map_frame(&cell, &env.camera, config.size as u32);
    Ok(MapFrame { cell_m: config.network.map_cell_m, ..frame })
}

/// What a camera of the cell makes of places, from the middle of the map, in the centre crop; none for a camera that moves.
pub fn projection(cell: &CellDescription, camera: &str, size: u32) -> Option<Projection> {
    let fixed = cell.fixed_camera(camera, size)?;
    Some(Projection::seen_by(&fixed, map_frame(cell, camera, size).centre, [size; 2]))
}

/// Recorded episodes as episodes to learn from, seen through `adapter`. Those that the simulation cut off are left out.
pub fn recorded_episodes<'a>(
    reader: &'a EpisodeReader,
    space: &'a ActionSpace,
    adapter: Option<&'a dyn ImageAdapter>,
) -> impl Iterator<Item = Result<Episode, VecEnvError>> + 'a {
    let usable = |recorded: &Result<contract::Episode, DataError>| match recorded {
        Ok(recorded) => recorded.steps.last().is_some_and(|step| step.terminated || step.truncated),
        Err(_) => true,
    };
    reader.iter().filter(usable).map(move |recorded| {
        let mut recorded = recorded.map_err(VecEnvError::new)?;
        if let Some(adapter) = adapter {
            let size = [reader.config().height as usize, reader.config().width as usize];
            let rgb = recorded.observations.iter().flat_map(|seen| seen.image.iter().copied()).collect();
            let images = adapter.encode(rgb, size)?;
            let each = images.chunks_exact(size[0] * size[1] * adapter.channels());
            recorded.observations.iter_mut().zip(each).for_each(|(seen, image)| seen.image = image.to_vec());
        }
        Ok(Episode::new(recorded, BehaviorPolicy::Scripted, space))
    })
}

/// A generator that an agent learns with.
enum AgentGenerator {
    Rcan(rcan::Loaded),
    /// G of a GAN, CycleGAN, GraspGAN or RL-CycleGAN.
    Translation(LoadedGenerator),
}

impl AgentGenerator {
    fn load(run: &Path) -> anyhow::Result<Self> {
        Ok(match generators::kind(run)? {
            GeneratorKind::Translation => Self::Translation(generators::load_translation(run, false)?),
            GeneratorKind::Rcan => {
                let loaded = load_generator(run, &HOST)?;
                warn_all(&loaded.warnings);
                Self::Rcan(loaded)
            }
        })
    }

    fn size(&self) -> usize {
        match self {
            Self::Rcan(loaded) => loaded.generator.size(),
            Self::Translation(loaded) => loaded.generator.size(),
        }
    }
}

/// The generator of a run's agent: its own copy or, before there is one, that of the run it is taken from.
fn generator(run: &Path, config: &RunConfig<QtOptConfig>) -> anyhow::Result<Option<AgentGenerator>> {
    let Some(path) = &config.data.generator else { return Ok(None) };
    let (own, from) = (own_generator(run), path.display());
    let loaded = if own.is_dir() {
        AgentGenerator::load(&own).with_context(|| {
            let copy = own.display();
            format!("loading the run's copy of its generator; if {from} is what it was, remove {copy} to copy it again")
        })?
    } else {
        AgentGenerator::load(path).with_context(|| format!("loading the generator in {from}"))?
    };
    Ok(Some(loaded))
}

/// Where a run keeps its copy.
pub fn own_generator(run: &Path) -> PathBuf {
    run.join("generator")
}

/// Gives a run a copy of the generator that its agent learns with: a frozen one, whatever becomes of the run it is from.
///
/// # Errors
/// A generator that is missing or damaged, a full disk.
pub fn keep_generator(run: &Path, config: &RunConfig<QtOptConfig>) -> anyhow::Result<()> {
    let own = own_generator(run);
    if own.is_dir() {
        return Ok(());
    }
    let kept = match generator(run, config)? {
        None => return Ok(()),
        Some(AgentGenerator::Rcan(loaded)) => loaded.keep(&own),
        Some(AgentGenerator::Translation(loaded)) => loaded.keep(&own),
    };
    kept.with_context(|| format!("copying the generator into {}", run.display()))
}

/// Takes over the weights of a finished run of the same network, in the learner's own and in its target networks.
///
/// # Errors
/// A run that is missing, damaged, or of another network.
pub fn warm_start(learner: &mut QLearner, init: &Path) -> anyhow::Result<()> {
    let loaded =
        load_policy(init, &HOST).with_context(|| format!("loading the run in {} for --init", init.display()))?;
    warn_all(&loaded.warnings);
    check_network(init, &loaded.config.learner, learner.config())?;
    let other = |error| UsageError(format!("--init {}: {error}; its network must be that of this run", init.display()));
    Ok(learner.warm_start(loaded.policy.q.as_ref()).map_err(other)?)
}

/// Refuses to begin a run with another one's weights where its network is another.
fn check_network(init: &Path, theirs: &QtOptConfig, ours: &QtOptConfig) -> anyhow::Result<()> {
    if (theirs.preset, theirs.q_network()) == (ours.preset, ours.q_network()) {
        return Ok(());
    }
    let of = |config: &QtOptConfig| format!("{} of the size {}", config.q_network(), config.preset);
    let message = format!(
        "--init {}: its network is {}, and that of this run is {}; choose the same with --network and --size-preset",
        init.display(),
        of(theirs),
        of(ours)
    );
    Err(UsageError(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rl::qtopt::Preset;
    use crate::rl::qtopt::network::QNetwork;

    #[test]
    fn another_network_is_refused_by_name() {
        let small = QtOptConfig::preset(Preset::Small);
        let end_to_end = small.clone().with_network(QNetwork::EndToEnd);
        let paper = QtOptConfig::preset(Preset::Paper);
        let check = |theirs: &QtOptConfig, ours: &QtOptConfig| {
            check_network(Path::new("runs/a"), theirs, ours).err().map(|error| error.to_string())
        };
        for config in [&small, &end_to_end, &paper] {
            assert_eq!(check(config, config), None);
        }
        let message = check(&small, &end_to_end).unwrap_or_default();
        for part in ["--init runs/a", "its network is state-estimating", "this run is end-to-end", "--network"] {
            assert!(message.contains(part), "'{message}' does not say '{part}'");
        }
        assert!(check(&paper, &end_to_end).is_some_and(|message| message.contains("size paper")));
    }
}
