//! Paired datasets from live simulation: policies play, every step is captured, pairs go to disk.
//!
//! In: a [`DatasetConfig`], an environment, a policy. Out: a dataset in a folder. Pairs are made in blocks, each from its
//! own seed, so that an interrupted run or another process makes exactly the same ones.

pub mod episodes;
pub mod observation_adapter;
pub mod vec_env;

use crate::data::DataError;
use crate::data::paired::{ObjectState, PairRecord, PairWriter, Phase};
use crate::env::{EnvError, GraspEnv, Observation, Rollout, Transition};
use crate::policies::PolicyKind;
use crate::scene::instance;
use crate::sim::GraspWorld;

/// Captures of every environment in one block: about one scripted attempt.
pub const CAPTURES_PER_BLOCK: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// How a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Complete,
    /// `should_continue` said no; what was written is committed and can be continued.
    Interrupted,
}

/// Pairs in one block of an environment.
pub fn block_size(environments: usize) -> u64 {
    (environments * CAPTURES_PER_BLOCK) as u64
}

/// Fills `writer` to its end. `should_continue` is told the number of pairs written so far after every batch and says whether to
/// continue. The environment must render exactly one source domain from one camera.
///
/// # Errors
/// The graphics device or the disk fails; what was committed before stays.
pub fn collect_pairs(
    env: &mut GraspEnv,
    policy: PolicyKind,
    mut writer: PairWriter,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<Ended, CollectError> {
    let seed = writer.config().seed;
    let block = block_size(env.len());
    let begun = writer.remaining();
    while writer.remaining() > 0 {
        let number = writer.next_index() / block;
        let mut first = number * block;
        let mut rollout = Rollout::begin(env, policy, seed.derive("block", number))?;
        let mut captured = rollout.observe(env)?;
        for capture in 0..CAPTURES_PER_BLOCK {
            if capture > 0 {
                captured = rollout.step(env, true)?;
            }
            let (observation, transitions) = &captured;
            let frames = &observation.frames[0];
            // A block that was interrupted is played again from its start; what is on disk is passed over.
            if first + frames.count as u64 > writer.next_index() {
                writer.write(first, frames, &records(env, observation, transitions))?;
            }
            first += frames.count as u64;
            if !should_continue(begun - writer.remaining()) {
                writer.commit()?;
                return Ok(Ended::Interrupted);
            }
            if writer.remaining() == 0 {
                break;
            }
        }
    }
    writer.finish()?;
    Ok(Ended::Complete)
}

/// What is known of every environment beside its pictures.
pub fn records(env: &GraspEnv, observation: &Observation, transitions: &[Transition]) -> Vec<PairRecord> {
    transitions
        .iter()
        .enumerate()
        .map(|(index, transition)| {
            let world = env.world(index);
            PairRecord {
                episode_seed: transition.episode_seed.0,
                episode: transition.episode,
                environment: index as u32,
                action: transition.action,
                gripper: observation.gripper[index],
                phase: phase_of(world, transition),
                objects: objects_of(world),
                joints_rad: joints_of(world),
                bodies: world.body_poses().to_vec(),
            }
        })
        .collect()
}

/// What the gripper is doing, from the forces on its fingers.
pub fn phase_of(world: &GraspWorld, transition: &Transition) -> Phase {
    /// A finger feels something.
    const TOUCH_N: f32 = 0.2;
    let [left, right, _] = world.contact_forces();
    let gripper = world.gripper_state();
    if transition.action.is_none() {
        Phase::Settled
    } else if gripper.closed && left.min(right) > TOUCH_N && gripper.aperture_m > 0.002 {
        Phase::Holding
    } else if left.max(right) > TOUCH_N {
        Phase::Touching
    } else {
        Phase::Approaching
    }
}

fn objects_of(world: &GraspWorld) -> Vec<ObjectState> {
    world
        .objects()
        .iter()
        .zip(world.object_poses())
        .enumerate()
        .map(|(index, (model, pose))| ObjectState {
            name: model.name.clone(),
            instance: instance::OBJECT.saturating_add(index as u8),
            world_from_object: *pose,
        })
        .collect()
}

/// Arm joints for the gripper's pose; none where the arm cannot reach.
fn joints_of(world: &GraspWorld) -> Vec<f32> {
    let cell = world.cell();
    let base_from_flange = cell.world_from_base().inverse() * world.gripper_pose() * cell.gripper.gripper_from_flange();
    cell.arm.inverse(base_from_flange, 0.0).map(|angles| angles.to_vec()).unwrap_or_default()
}
