//! Playing episodes: the script, the policy as it is, and the policy with noise.
//!
//! In: environments, what decides, who plays each episode, a seed. Out: [`Episode`]s. An episode's number and the seed decide
//! its bin, or that it goes on in the last one; the environments take the episodes in turn, so that the same call gives the
//! same bytes.

use super::config::ExplorationConfig;
use super::network::state_features;
use super::policy::CemPolicy;
use crate::contract::{Action, GripperCommand, GripperState, Rng, Seed};
use crate::rl::action::ActionSpace;
use crate::rl::action::TERMINATE;
use crate::rl::cem::Choice;
use crate::rl::error::RlError;
use crate::rl::replay::{Record, Termination, Transition};
use crate::rl::vec_env::{EnvCommand, Observation, VecEnv};
use std::collections::BTreeMap;

/// Who decides in an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BehaviorPolicy {
    Scripted,
    Greedy,
    Noisy,
}

/// What came of one episode.
#[derive(Clone, Debug)]
pub struct Episode {
    pub behavior: BehaviorPolicy,
    /// The seed of its bin, or of how it went on with the last one.
    pub seed: Seed,
    pub transitions: Vec<Transition>,
    /// What was done at each step, and the gripper before it; the gripper's last state is that of the judgement.
    pub actions: Vec<Action>,
    pub gripper: Vec<GripperState>,
    /// Objects held at the end.
    pub grasped: Vec<usize>,
    pub success: bool,
    /// The simulation cut it off: nothing can be learned from it.
    pub invalid: bool,
    /// The policy's choice at each step, where the policy played.
    pub choices: Vec<Choice>,
    /// Image behind the last action: the judged state.
    pub last_image: Vec<u8>,
}

impl Episode {
    /// An episode that has not begun.
    pub fn new(behavior: BehaviorPolicy, seed: Seed) -> Self {
        Self {
            behavior,
            seed,
            transitions: Vec::new(),
            actions: Vec::new(),
            gripper: Vec::new(),
            grasped: Vec::new(),
            success: false,
            invalid: false,
            choices: Vec::new(),
            last_image: Vec::new(),
        }
    }

    /// Discounted sum of rewards from the first step.
    pub fn discounted_return(&self, discount: f32) -> f32 {
        self.transitions.iter().rev().fold(0.0, |sum, transition| transition.record.reward + discount * sum)
    }
}

/// An episode that is going on in one environment.
struct Open {
    number: usize,
    episode: Episode,
    rng: Rng,
    seed: Seed,
    /// Steps that the script takes before the policy does.
    script_steps: usize,
}

/// Plays one episode for each entry of `plan`. Episodes of the policy need a `cem_policy`.
///
/// # Errors
/// The environments or the network fails.
pub fn play(
    envs: &mut dyn VecEnv,
    cem_policy: Option<CemPolicy<'_>>,
    exploration: &ExplorationConfig,
    plan: &[BehaviorPolicy],
    seed: Seed,
) -> Result<Vec<Episode>, RlError> {
    let mut episodes = Vec::with_capacity(plan.len());
    play_each(envs, cem_policy, exploration, plan, seed, &mut |episode| episodes.push(episode))?;
    Ok(episodes)
}

/// The same, handing over each episode in turn as soon as those before it are done: of thousands of episodes few are in
/// memory.
///
/// # Errors
/// The environments or the network fails.
pub fn play_each(
    envs: &mut dyn VecEnv,
    cem_policy: Option<CemPolicy<'_>>,
    exploration: &ExplorationConfig,
    plan: &[BehaviorPolicy],
    seed: Seed,
    take: &mut dyn FnMut(Episode),
) -> Result<(), RlError> {
    let count = envs.num_envs();
    let space = envs.action_space();
    let mut open: Vec<Option<Open>> = (0..count).map(|_| None).collect();
    // Those that wait for one before them.
    let mut done: BTreeMap<usize, Episode> = BTreeMap::new();
    let mut handed = 0;
    // Where an episode left objects that another may go on with.
    let mut left = vec![false; count];
    let mut next = 0;
    let mut observation = Observation::default();
    loop {
        let mut commands = vec![EnvCommand::Idle; count];
        let mut records: Vec<Option<Transition>> = vec![None; count];
        let choices = decide(cem_policy, &open, &observation)?;
        for (index, slot) in open.iter_mut().enumerate() {
            let Some(current) = slot else {
                if next < plan.len() {
                    let seed = seed.derive("attempt", next as u64);
                    let goes_on = left[index] && seed.derive("go on", 0).rng().chance(exploration.p_keep_objects);
                    commands[index] = if goes_on { EnvCommand::NextAttempt(seed) } else { EnvCommand::Reset(seed) };
                    *slot = Some(Open::new(next, plan[next], exploration, seed));
                    next += 1;
                }
                continue;
            };
            let gripper = observation.gripper[index];
            let taken = current.episode.transitions.len();
            let gives_up = |choice: &Choice| choice.action.terminate && choice.value() < exploration.give_up_value;
            let noisy_one = current.episode.behavior == BehaviorPolicy::Noisy;
            if noisy_one && choices[index].as_ref().is_some_and(gives_up) && current.rng.chance(0.5) {
                current.script_steps = taken + 1 + current.rng.below(exploration.num_jump_steps.max(1));
            }
            let begun = taken >= current.script_steps;
            let (action, exploratory) = match (current.episode.behavior, choices[index].as_ref().filter(|_| begun)) {
                (BehaviorPolicy::Scripted, _) | (_, None) => {
                    let ends = cem_policy.is_none_or(|cem_policy| cem_policy.cem.may_end(true, gripper.height_m));
                    let state = (gripper.closed, ends);
                    script_noise(&envs.scripted(index), state, &space, exploration, &mut current.rng)
                }
                (BehaviorPolicy::Greedy, Some(choice)) => (choice.action, false),
                (BehaviorPolicy::Noisy, Some(choice)) => noisy(&choice.action, &space, exploration, &mut current.rng),
            };
            current.episode.choices.extend(choices[index]);
            let action = space.effective(&action, gripper.closed);
            current.episode.actions.push(action);
            current.episode.gripper.push(gripper);
            let mut transition = transition(&observation, index, &space, &action, &gripper);
            transition.record.exploratory = f32::from(u8::from(exploratory));
            records[index] = Some(transition);
            commands[index] = EnvCommand::Act(action);
        }
        if open.iter().all(Option::is_none) {
            break;
        }
        let (new_observation, steps) = envs.step(&commands)?;
        observation = new_observation;
        for (index, slot) in open.iter_mut().enumerate() {
            let (Some(current), Some(mut transition)) = (slot.as_mut(), records[index].take()) else { continue };
            let step = &steps[index];
            transition.record.reward = step.reward;
            transition.record.termination = match (step.done(), transition.record.action[TERMINATE] > 0.0) {
                (false, _) => Termination::None,
                (true, true) => Termination::Terminated,
                (true, false) => Termination::TimeLimit,
            };
            current.episode.transitions.push(transition);
            if step.done() {
                current.episode.grasped.clone_from(&step.grasped);
                current.episode.gripper.push(observation.gripper[index]);
                current.episode.success = step.success();
                current.episode.invalid = step.invalid;
                left[index] = !step.invalid;
                current.episode.last_image = observation.image(index).to_vec();
                if let Some(finished) = slot.take() {
                    done.insert(finished.number, finished.episode);
                }
            }
        }
        while let Some(episode) = done.remove(&handed) {
            take(episode);
            handed += 1;
        }
    }
    Ok(())
}

impl Open {
    fn new(number: usize, behavior: BehaviorPolicy, exploration: &ExplorationConfig, seed: Seed) -> Self {
        let mut rng = seed.derive("noise", 0).rng();
        let jumps = behavior == BehaviorPolicy::Noisy && rng.chance(exploration.p_jump_start);
        Self {
            number,
            episode: Episode::new(behavior, seed),
            script_steps: if jumps { 1 + rng.below(exploration.num_jump_steps.max(1)) } else { 0 },
            rng,
            seed: seed.derive("search", 0),
        }
    }
}

/// The policy's choice where the policy plays.
fn decide(
    cem_policy: Option<CemPolicy<'_>>,
    open: &[Option<Open>],
    observation: &Observation,
) -> Result<Vec<Option<Choice>>, RlError> {
    let mut choices = vec![None; open.len()];
    let Some(cem_policy) = cem_policy else { return Ok(choices) };
    let playing: Vec<(usize, &Open)> = open
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
        .filter(|(_, open)| open.episode.behavior != BehaviorPolicy::Scripted)
        .collect();
    let images: Vec<&[u8]> = playing.iter().map(|(index, _)| observation.image(*index)).collect();
    let gripper: Vec<GripperState> = playing.iter().map(|(index, _)| observation.gripper[*index]).collect();
    let seeds: Vec<Seed> =
        playing.iter().map(|(_, open)| open.seed.derive("step", open.episode.transitions.len() as u64)).collect();
    for ((index, _), choice) in playing.iter().zip(cem_policy.act(&images, &gripper, &seeds)?) {
        choices[*index] = Some(choice);
    }
    Ok(choices)
}

fn transition(
    observation: &Observation,
    index: usize,
    space: &ActionSpace,
    action: &Action,
    gripper: &GripperState,
) -> Transition {
    let record = Record {
        state: state_features(gripper),
        action: space.features(action),
        reward: 0.0,
        termination: Termination::None,
        exploratory: 0.0,
        privileged: observation.privileged.get(index).copied().unwrap_or_default(),
    };
    Transition { image: observation.image(index).to_vec(), record }
}

/// Adds normal noise of `deviation` (of the largest step) to displacement and rotation.
fn moved(action: &Action, space: &ActionSpace, std: f32, rng: &mut Rng) -> Action {
    let normalized = space.normalize(action).map(|normalized| normalized + std * rng.normal());
    let aside = space.denormalize(normalized, false);
    Action { gripper: action.gripper, terminate: action.terminate, ..aside }
}

/// The policy's action, or another one now and then; whether it is another.
fn noisy(action: &Action, space: &ActionSpace, config: &ExplorationConfig, rng: &mut Rng) -> (Action, bool) {
    let draw = rng.f32();
    if draw < config.p_random {
        (space.random(rng), true)
    } else if draw < config.p_random + config.p_noise {
        (moved(action, space, config.noise_std, rng), true)
    } else {
        (*action, false)
    }
}

/// The script's action; its ways are not always straight, and it may end the episode early: often with closed fingers,
/// so that there is much to learn from about what they hold, now and then with open ones, and only where a policy could
/// (`ends`). Also says whether it exploratory from what a script would do that means to succeed.
fn script_noise(
    action: &Action,
    (closed, ends): (bool, bool),
    space: &ActionSpace,
    config: &ExplorationConfig,
    rng: &mut Rng,
) -> (Action, bool) {
    let (aside, random) = (rng.chance(config.p_perturb), rng.chance(config.p_script_random));
    let p_terminate_closed = rng.chance(if closed { config.p_terminate_closed } else { config.p_terminate_open });
    if (p_terminate_closed && ends) || action.terminate {
        return (Action { terminate: true, ..Action::default() }, !closed);
    }
    if random {
        return (Action { terminate: false, ..space.random(rng) }, true);
    }
    if action.gripper == GripperCommand::Close && !closed && rng.chance(config.p_perturb_close) {
        let std = if rng.chance(0.5) { config.noise_std } else { 1.0 };
        return (moved(action, space, std, rng), true);
    }
    if aside && action.gripper != GripperCommand::Close {
        return (moved(action, space, config.noise_std, rng), true);
    }
    (*action, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_noise_the_script_does_what_it_says() {
        let space = ActionSpace { step_m: [0.08; 3], step_rad: 0.8 };
        let mut rng = Seed(4).rng();
        let mut exploratory = [0; 2];
        for (kind, config) in [ExplorationConfig::none(), ExplorationConfig::default()].iter().enumerate() {
            for draw in 0..400 {
                let gripper = [GripperCommand::Keep, GripperCommand::Close, GripperCommand::Open][draw % 3];
                let said = Action { gripper, terminate: draw % 10 == 9, ..space.random(&mut rng) };
                let said = if said.terminate { Action { terminate: true, ..Action::default() } } else { said };
                let (action, _) = script_noise(&said, (draw % 2 == 0, true), &space, config, &mut rng);
                exploratory[kind] += usize::from(action != said);
            }
        }
        assert_eq!(exploratory[0], 0);
        assert!(exploratory[1] > 100, "{exploratory:?}");
    }
}
