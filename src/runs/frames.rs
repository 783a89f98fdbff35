//! Where a learner's paired frames come from: the simulator in this process, or a data set on disk.

use super::pair_agent::{self, PairAgent};
use crate::contract::{FrameBatch, ScriptPolicy, Seed, VecEnvError};
use crate::data::paired::{PairReader, to_frames};
use crate::env::pairs::{CAPTURES_PER_BLOCK, frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv, Moment};
use crate::gan::{BoxedSource, FrameError, FrameSource};
use crate::rl::qtopt::load::Loaded;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pairs in one block of a data set.
pub const PAIRS_PER_BLOCK: usize = 768;
/// Pairs of a data set that are kept for validation, at most; never more than a tenth.
const HELD_OUT: usize = 128;

/// Frames of one block of the simulator.
pub fn frames_per_block(environments: usize) -> usize {
    environments * CAPTURES_PER_BLOCK
}

/// The simulator: each block plays one attempt or so in every bin.
struct Live {
    env: GraspEnv,
    /// An agent, and how many of the environments it plays in; the scripts play in the others.
    agent: Option<(Loaded, usize)>,
    seed: Seed,
}

/// Opens the simulator, where scripts play, or an agent in `num_agents` of the environments. Call it on the thread that will
/// use it.
pub fn live(config: EnvConfig, agent: Option<(PairAgent, usize)>, seed: Seed) -> Result<BoxedSource, FrameError> {
    let env = GraspEnv::new(config).map_err(FrameError::source)?;
    Ok(Box::new(match agent {
        None => Live { env, agent: None, seed },
        Some((agent, num_agents)) => {
            let (loaded, env) = agent.enter(env);
            Live { env, agent: Some((loaded, num_agents)), seed }
        }
    }))
}

impl Live {
    /// The captures of a block that `wanted` asks for.
    fn play(
        &mut self,
        block: Seed,
        stop: &AtomicBool,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<FrameBatch>, FrameError> {
        let mut frames = Vec::new();
        let each = |_: &GraspEnv, _: usize, moment: &mut Moment| -> Result<bool, VecEnvError> {
            frames.extend(frames_of(moment));
            Ok(!stop.load(Ordering::Relaxed))
        };
        let env = &mut self.env;
        match &self.agent {
            None => play_block(env, &mut ScriptPolicy, block, wanted, each),
            Some((loaded, num_agents)) => {
                pair_agent::act(loaded, *num_agents, |policy| play_block(env, policy, block, wanted, each))
            }
        }
        .map_err(FrameError::source)?;
        Ok(frames)
    }
}

impl FrameSource for Live {
    fn block(&mut self, number: u64, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        self.play(self.seed.derive("block", number), stop, |_| true)
    }

    fn validation(&mut self, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        self.play(self.seed.derive("validation", 0), stop, |capture| capture == 3 || capture == 8)
    }
}

/// A data set, in a new random order every time round.
struct Folder {
    reader: PairReader,
    /// How many times larger its pictures are than the network's.
    shrink: usize,
    seed: Seed,
    /// Positions below this one are trained on.
    train: usize,
    order: Vec<usize>,
    round: Option<u64>,
}

/// Opens the data set in `root`, its pictures made `shrink` times smaller.
pub fn folder(root: &Path, shrink: usize, seed: Seed) -> Result<BoxedSource, FrameError> {
    let reader = PairReader::open(root).map_err(FrameError::source)?;
    if reader.len() < 10 {
        return Err(FrameError::source(format!(
            "{} holds {} pairs; training takes at least 10, some of them for validation",
            root.display(),
            reader.len()
        )));
    }
    let train = reader.len() - (reader.len() / 10).min(HELD_OUT);
    Ok(Box::new(Folder { reader, shrink, seed, train, order: Vec::new(), round: None }))
}

impl Folder {
    fn read(&self, positions: &[usize]) -> Result<FrameBatch, FrameError> {
        let pairs: Result<Vec<_>, _> = self.reader.read_many(positions).into_iter().collect();
        let frames = to_frames(&pairs.map_err(FrameError::source)?).map_err(FrameError::source)?;
        Ok(if self.shrink == 1 { frames } else { frames.shrunk(self.shrink) })
    }

    /// The position of the `number`th pair that is drawn since the beginning.
    fn position(&mut self, number: u64) -> usize {
        let round = number / self.train as u64;
        if self.round != Some(round) {
            self.order = (0..self.train).collect();
            self.seed.derive("round", round).rng().shuffle(&mut self.order);
            self.round = Some(round);
        }
        self.order[(number % self.train as u64) as usize]
    }
}

impl FrameSource for Folder {
    fn block(&mut self, number: u64, _: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        let first = number * PAIRS_PER_BLOCK as u64;
        let positions: Vec<usize> = (0..PAIRS_PER_BLOCK as u64).map(|i| self.position(first + i)).collect();
        Ok(vec![self.read(&positions)?])
    }

    fn validation(&mut self, _: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        Ok(vec![self.read(&(self.train..self.reader.len()).collect::<Vec<_>>())?])
    }
}
