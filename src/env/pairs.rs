//! Paired datasets from live simulation: scripts or a trained agent play, steps are captured, pairs go to disk.
//!
//! Pairs are made in blocks, each from its own seed, so that an interrupted run or another process makes exactly the same
//! ones.

use super::episode_loop::{EpisodeLoop, Moment};
use super::grasp_env::GraspEnv;
use super::schedule::BlockSchedule;
use crate::contract::{
    ActRequest, Decision, EMPTY_APERTURE_M, FrameBatch, Observation, Policy, Script, ScriptPolicy, Seed, VecEnvError,
};
use crate::data::DataError;
use crate::data::paired::{ObjectState, PairRecord, PairWriter, Phase};
use crate::scene::instance;
use crate::sim::GraspWorld;

/// Captures of every environment in one block: about one scripted episode.
pub const CAPTURES_PER_BLOCK: usize = 12;
/// Steps to a capture while an agent plays: its episodes take up to twenty steps, and what it does late in them (opening
/// empty jaws, closing them again) is to be seen too.
const AGENT_STRIDE: usize = 2;

/// Making a dataset of pairs failed.
#[derive(Debug, thiserror::Error)]
pub enum PairsError {
    /// The simulator, the graphics device or the policy failed.
    #[error(transparent)]
    Env(#[from] VecEnvError),
    /// The dataset could not be written.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Pairs in one block of an environment.
pub fn block_size(environments: usize) -> u64 {
    (environments * CAPTURES_PER_BLOCK) as u64
}

/// Plays `policy` in `env` for one block, whose seed decides everything. `each` gets the number of the capture and what
/// happened, with frames where `wanted` says so of that number; false ends the block. In environments with a view for
/// policies ([`super::PolicyView`]) a block takes twice the steps, and every other one, by the block's seed, is a capture.
///
/// # Errors
/// The graphics device or the policy fails, or `each` does.
pub fn play_block<Error: From<VecEnvError>>(
    env: &mut GraspEnv,
    policy: &mut dyn Policy,
    block: Seed,
    wanted: impl Fn(usize) -> bool,
    mut each: impl FnMut(&GraspEnv, usize, &mut Moment) -> Result<bool, Error>,
) -> Result<(), Error> {
    let looks = env.config().policy_view.is_some();
    let stride = if looks { AGENT_STRIDE } else { 1 };
    let first = if looks { block.derive("capture", 0).rng().below(stride) } else { 0 };
    let mut episodes = EpisodeLoop::new(BlockSchedule { block }, env.len());
    for step in 0..=first + (CAPTURES_PER_BLOCK - 1) * stride {
        let capture = (step % stride == first).then_some(step / stride);
        let drawn = capture.is_some_and(&wanted);
        env.draw_frames(drawn);
        let Some(moment) = episodes.step(env, policy, looks || drawn)? else { break };
        if let Some(capture) = capture
            && !each(env, capture, moment)?
        {
            break;
        }
    }
    env.draw_frames(true);
    Ok(())
}

/// An agent in the first environments, the environments' own scripts in the others.
pub struct MixedPolicy<'a> {
    /// Acts in the environments 0 to `num_agents - 1`.
    pub agent: &'a mut dyn Policy,
    /// Environments that it plays in.
    pub num_agents: usize,
}

impl Policy for MixedPolicy<'_> {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        // Requests are in the order of their environments.
        let (agents, scripts) = requests.split_at(requests.partition_point(|request| request.index < self.num_agents));
        let mut decisions = Vec::with_capacity(requests.len());
        for (policy, requests) in [(&mut *self.agent, agents), (&mut ScriptPolicy, scripts)] {
            if !requests.is_empty() {
                decisions.extend(policy.act(observation, requests, script)?);
            }
        }
        Ok(decisions)
    }
}

/// The frames of a moment; none where they were not asked for.
pub fn frames_of(moment: &mut Moment) -> Vec<FrameBatch> {
    moment.batch.privileged.take().map(|privileged| privileged.frames).unwrap_or_default()
}

/// Fills `writer` to its end with what the scripts of `env` do; see [`collect_pairs_of`].
///
/// # Errors
/// As [`collect_pairs_of`].
pub fn collect_pairs(
    env: &mut GraspEnv,
    writer: PairWriter,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, PairsError> {
    collect_pairs_of(env, &mut ScriptPolicy, writer, should_continue)
}

/// Fills `writer` to its end; false when `should_continue`, which is told the number of pairs written so far after every
/// batch, said no: what was written is committed and can be continued. The environments must draw the frames of one domain
/// from one camera, and `policy` begin anew with each episode.
///
/// # Errors
/// The graphics device, the policy or the disk fails; what was committed before stays.
pub fn collect_pairs_of(
    env: &mut GraspEnv,
    policy: &mut dyn Policy,
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
            policy,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Action, Domain, GripperCommand};
    use crate::env::EnvConfig;
    use crate::objects::{ObjectSet, Split};
    use crate::scene::CellDescription;

    /// Closes the jaws, and opens them again.
    struct OpenAndClose;

    impl Policy for OpenAndClose {
        fn act(
            &mut self,
            _: &Observation,
            requests: &[ActRequest],
            _: &mut dyn Script,
        ) -> Result<Vec<Decision>, VecEnvError> {
            let gripper = |request: &ActRequest| match request.step % 2 {
                0 => GripperCommand::Close,
                _ => GripperCommand::Open,
            };
            Ok(requests
                .iter()
                .map(|request| Action { gripper: gripper(request), ..Action::default() }.into())
                .collect())
        }
    }

    fn blind(num_envs: usize) -> GraspEnv {
        let (cell, objects) = (CellDescription::iiwa_bin().into(), ObjectSet::builtin().split(Split::Train));
        let config = EnvConfig::new(&cell, objects, Domain::Canonical, (num_envs, 32), Seed(4));
        GraspEnv::new(config.blind()).expect("built")
    }

    /// Actions of every capture in a block, by environment.
    fn played(env: &mut GraspEnv, policy: &mut dyn Policy, block: Seed) -> Vec<Vec<Option<Action>>> {
        let mut actions = Vec::new();
        let each = |_: &GraspEnv, _: usize, moment: &mut Moment| -> Result<bool, VecEnvError> {
            let action = |transition: &crate::env::Transition| transition.decision.map(|decision| decision.action);
            actions.push(moment.transitions.iter().map(action).collect());
            Ok(true)
        };
        play_block(env, policy, block, |_| false, each).expect("played");
        actions
    }

    #[test]
    fn an_agent_plays_in_its_environments_and_the_scripts_in_theirs() {
        let scripts = played(&mut blind(3), &mut ScriptPolicy, Seed(5));
        let mut mixed = MixedPolicy { agent: &mut OpenAndClose, num_agents: 2 };
        let actions = played(&mut blind(3), &mut mixed, Seed(5));
        assert_eq!(actions.len(), CAPTURES_PER_BLOCK);
        assert!(actions.iter().zip(&scripts).all(|(mixed, scripts)| mixed[2] == scripts[2]));
        for env in 0..2 {
            let commands: Vec<GripperCommand> =
                actions.iter().skip(1).filter_map(|actions| Some(actions[env]?.gripper)).take(4).collect();
            let (close, open) = (GripperCommand::Close, GripperCommand::Open);
            assert_eq!(commands, [close, open, close, open], "environment {env}");
        }
    }

    #[test]
    fn a_block_is_a_function_of_its_seed() {
        let mut env = blind(2);
        let first = played(&mut env, &mut OpenAndClose, Seed(8));
        assert!(played(&mut env, &mut ScriptPolicy, Seed(9)) != first);
        assert_eq!(played(&mut env, &mut OpenAndClose, Seed(8)), first);
    }
}
