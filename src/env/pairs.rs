//! Paired datasets from live simulation: scripts play, every step is captured, pairs go to disk.
//!
//! Pairs are made in blocks, each from its own seed, so that an interrupted run or another process makes exactly the same
//! ones.

use super::episode_loop::{EpisodeLoop, Moment};
use super::grasp_env::GraspEnv;
use super::schedule::BlockSchedule;
use crate::contract::{EMPTY_APERTURE_M, FrameBatch, ScriptPolicy, Seed, VecEnvError};
use crate::data::DataError;
use crate::data::paired::{ObjectState, PairRecord, PairWriter, Phase};
use crate::scene::instance;
use crate::sim::GraspWorld;

/// Captures of every environment in one block: about one scripted episode.
pub const CAPTURES_PER_BLOCK: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum PairsError {
    #[error(transparent)]
    Env(#[from] VecEnvError),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Pairs in one block of an environment.
pub fn block_size(environments: usize) -> u64 {
    (environments * CAPTURES_PER_BLOCK) as u64
}

/// Plays the scripts of `env` for one block, whose seed decides everything. `each` gets the number of the capture and what
/// happened, with frames where `wanted` says so of that number; false ends the block.
///
/// # Errors
/// The graphics device fails, or `each` does.
pub fn play_block<Error: From<VecEnvError>>(
    env: &mut GraspEnv,
    block: Seed,
    wanted: impl Fn(usize) -> bool,
    mut each: impl FnMut(&GraspEnv, usize, &mut Moment) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut episodes = EpisodeLoop::new(BlockSchedule { block }, env.len());
    for capture in 0..CAPTURES_PER_BLOCK {
        let Some(moment) = episodes.step(env, &mut ScriptPolicy, wanted(capture))? else { break };
        if !each(env, capture, moment)? {
            break;
        }
    }
    Ok(())
}

/// The frames of a moment; none where they were not asked for.
pub fn frames_of(moment: &mut Moment) -> Vec<FrameBatch> {
    moment.batch.privileged.take().map(|privileged| privileged.frames).unwrap_or_default()
}

/// Fills `writer` to its end; false when `should_continue`, which is told the number of pairs written so far after every
/// batch, said no: what was written is committed and can be continued. The environments must draw the frames of one domain
/// from one camera.
///
/// # Errors
/// The graphics device or the disk fails; what was committed before stays.
pub fn collect_pairs(
    env: &mut GraspEnv,
    mut writer: PairWriter,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, PairsError> {
    let seed = writer.config().seed;
    let block = block_size(env.len());
    let begun = writer.remaining();
    let mut interrupted = false;
    while writer.remaining() > 0 && !interrupted {
        let number = writer.next_index() / block;
        let mut first = number * block;
        play_block(
            env,
            seed.derive("block", number),
            |_| true,
            |env, _, moment| -> Result<bool, PairsError> {
                let records = records(env, moment);
                let Some(frames) = frames_of(moment).into_iter().next() else { return Ok(false) };
                // A block that was interrupted is played again from its start; what is on disk is passed over.
                if first + frames.count as u64 > writer.next_index() {
                    writer.write(first, &frames, &records)?;
                }
                first += frames.count as u64;
                interrupted = !should_continue(begun - writer.remaining());
                Ok(!interrupted && writer.remaining() > 0)
            },
        )?;
    }
    if interrupted {
        writer.commit()?;
        return Ok(false);
    }
    writer.finish()?;
    Ok(true)
}

/// What is known of every environment beside its pictures.
fn records(env: &GraspEnv, moment: &Moment) -> Vec<PairRecord> {
    let gripper = &moment.batch.observation.gripper;
    let record = |(index, transition): (usize, &super::Transition)| {
        let world = env.world(index);
        let action = transition.decision.map(|decision| decision.action);
        PairRecord {
            episode_seed: transition.seed.map_or(0, |seed| seed.0),
            episode: transition.number as u64,
            environment: index as u32,
            action,
            gripper: gripper[index],
            phase: if action.is_none() { Phase::Settled } else { phase_of(&world) },
            objects: objects_of(&world),
            joints_rad: joints_of(&world),
            bodies: world.body_poses().to_vec(),
        }
    };
    moment.transitions.iter().enumerate().map(record).collect()
}

/// What the gripper is doing, from the forces on its fingers.
fn phase_of(world: &GraspWorld) -> Phase {
    /// A finger feels something.
    const TOUCH_N: f32 = 0.2;
    let [left, right, _] = world.contact_forces();
    let gripper = world.gripper_state();
    if gripper.closed && left.min(right) > TOUCH_N && gripper.aperture_m > EMPTY_APERTURE_M {
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
