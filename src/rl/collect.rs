//! Playing attempts: the script, the policy as it is, and the policy with noise.
//!
//! In: an arena, what decides, who plays each attempt, a seed. Out: [`Attempt`]s. An attempt's number and the seed decide
//! its bin, or that it goes on in the last one; the environments take the attempts in turn, so that the same call gives the
//! same bytes.

use super::action::ActionSpace;
use super::action::TERMINATE;
use super::arena::{Arena, Order, View};
use super::cem::Choice;
use super::config::ExplorationConfig;
use super::error::RlError;
use super::network::state_features;
use super::policy::Decider;
use super::replay::{ENDED, GOES_ON, RAN_OUT, Record, Transition};
use crate::contract::{Action, GripperCommand, GripperState, Rng, Seed};
use std::collections::BTreeMap;

/// Who decides in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Scripted,
    Greedy,
    Noisy,
}

/// What came of one attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub conduct: Conduct,
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
    pub truncated: bool,
    /// The policy's choice at each step, where the policy played.
    pub choices: Vec<Choice>,
    /// Image behind the last action: the judged state.
    pub last_image: Vec<u8>,
}

impl Attempt {
    /// An attempt that has not begun.
    pub fn new(conduct: Conduct, seed: Seed) -> Self {
        Self {
            conduct,
            seed,
            transitions: Vec::new(),
            actions: Vec::new(),
            gripper: Vec::new(),
            grasped: Vec::new(),
            success: false,
            truncated: false,
            choices: Vec::new(),
            last_image: Vec::new(),
        }
    }

    /// Discounted sum of rewards from the first step.
    pub fn discounted_return(&self, discount: f32) -> f32 {
        self.transitions.iter().rev().fold(0.0, |sum, transition| transition.record.reward + discount * sum)
    }
}

/// An attempt that is going on in one environment.
struct Open {
    number: usize,
    attempt: Attempt,
    rng: Rng,
    seed: Seed,
    /// Steps that the script takes before the policy does.
    script_steps: usize,
}

/// Plays one attempt for each entry of `plan`. Attempts of the policy need a `decider`.
///
/// # Errors
/// The arena or the network fails.
pub fn play(
    arena: &mut dyn Arena,
    decider: Option<Decider<'_>>,
    exploration: &ExplorationConfig,
    plan: &[Conduct],
    seed: Seed,
) -> Result<Vec<Attempt>, RlError> {
    let mut attempts = Vec::with_capacity(plan.len());
    play_each(arena, decider, exploration, plan, seed, &mut |attempt| attempts.push(attempt))?;
    Ok(attempts)
}

/// The same, handing over each attempt in turn as soon as those before it are done: of thousands of attempts few are in
/// memory.
///
/// # Errors
/// The arena or the network fails.
pub fn play_each(
    arena: &mut dyn Arena,
    decider: Option<Decider<'_>>,
    exploration: &ExplorationConfig,
    plan: &[Conduct],
    seed: Seed,
    take: &mut dyn FnMut(Attempt),
) -> Result<(), RlError> {
    let count = arena.environments();
    let space = arena.action_space();
    let mut open: Vec<Option<Open>> = (0..count).map(|_| None).collect();
    // Those that wait for one before them.
    let mut done: BTreeMap<usize, Attempt> = BTreeMap::new();
    let mut handed = 0;
    // Where an attempt left objects that another may go on with.
    let mut left = vec![false; count];
    let mut next = 0;
    let mut view = View::default();
    loop {
        let mut orders = vec![Order::Idle; count];
        let mut records: Vec<Option<Transition>> = vec![None; count];
        let choices = decide(decider, &open, &view)?;
        for (index, slot) in open.iter_mut().enumerate() {
            let Some(current) = slot else {
                if next < plan.len() {
                    let seed = seed.derive("attempt", next as u64);
                    let goes_on = left[index] && seed.derive("go on", 0).rng().chance(exploration.go_on);
                    orders[index] = if goes_on { Order::GoOn(seed) } else { Order::Begin(seed) };
                    *slot = Some(Open::new(next, plan[next], exploration, seed));
                    next += 1;
                }
                continue;
            };
            let gripper = view.gripper[index];
            let taken = current.attempt.transitions.len();
            let gives_up = |choice: &Choice| choice.action.terminate && choice.value() < exploration.give_up;
            let noisy_one = current.attempt.conduct == Conduct::Noisy;
            if noisy_one && choices[index].as_ref().is_some_and(gives_up) && current.rng.chance(0.5) {
                current.script_steps = taken + 1 + current.rng.below(exploration.jump_steps.max(1));
            }
            let begun = taken >= current.script_steps;
            let (action, strayed) = match (current.attempt.conduct, choices[index].as_ref().filter(|_| begun)) {
                (Conduct::Scripted, _) | (_, None) => {
                    let ends = decider.is_none_or(|decider| decider.cem.may_end(true, gripper.height_m));
                    let state = (gripper.closed, ends);
                    script_noise(&arena.scripted(index), state, &space, exploration, &mut current.rng)
                }
                (Conduct::Greedy, Some(choice)) => (choice.action, false),
                (Conduct::Noisy, Some(choice)) => noisy(&choice.action, &space, exploration, &mut current.rng),
            };
            current.attempt.choices.extend(choices[index]);
            let action = space.effective(&action, gripper.closed);
            current.attempt.actions.push(action);
            current.attempt.gripper.push(gripper);
            let mut transition = transition(&view, index, &space, &action, &gripper);
            transition.record.strayed = f32::from(u8::from(strayed));
            records[index] = Some(transition);
            orders[index] = Order::Act(action);
        }
        if open.iter().all(Option::is_none) {
            break;
        }
        let (new_view, steps) = arena.advance(&orders)?;
        view = new_view;
        for (index, slot) in open.iter_mut().enumerate() {
            let (Some(current), Some(mut transition)) = (slot.as_mut(), records[index].take()) else { continue };
            let step = &steps[index];
            transition.record.reward = step.reward;
            transition.record.ending = match (step.done(), transition.record.action[TERMINATE] > 0.0) {
                (false, _) => GOES_ON,
                (true, true) => ENDED,
                (true, false) => RAN_OUT,
            };
            current.attempt.transitions.push(transition);
            if step.done() {
                current.attempt.grasped.clone_from(&step.grasped);
                current.attempt.gripper.push(view.gripper[index]);
                current.attempt.success = step.success();
                current.attempt.truncated = step.truncated;
                left[index] = !step.truncated;
                current.attempt.last_image = view.image(index).to_vec();
                if let Some(finished) = slot.take() {
                    done.insert(finished.number, finished.attempt);
                }
            }
        }
        while let Some(attempt) = done.remove(&handed) {
            take(attempt);
            handed += 1;
        }
    }
    Ok(())
}

impl Open {
    fn new(number: usize, conduct: Conduct, exploration: &ExplorationConfig, seed: Seed) -> Self {
        let mut rng = seed.derive("noise", 0).rng();
        let jumps = conduct == Conduct::Noisy && rng.chance(exploration.jump_start);
        Self {
            number,
            attempt: Attempt::new(conduct, seed),
            script_steps: if jumps { 1 + rng.below(exploration.jump_steps.max(1)) } else { 0 },
            rng,
            seed: seed.derive("search", 0),
        }
    }
}

/// The policy's choice where the policy plays.
fn decide(decider: Option<Decider<'_>>, open: &[Option<Open>], view: &View) -> Result<Vec<Option<Choice>>, RlError> {
    let mut choices = vec![None; open.len()];
    let Some(decider) = decider else { return Ok(choices) };
    let playing: Vec<(usize, &Open)> = open
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
        .filter(|(_, open)| open.attempt.conduct != Conduct::Scripted)
        .collect();
    let images: Vec<&[u8]> = playing.iter().map(|(index, _)| view.image(*index)).collect();
    let gripper: Vec<GripperState> = playing.iter().map(|(index, _)| view.gripper[*index]).collect();
    let seeds: Vec<Seed> =
        playing.iter().map(|(_, open)| open.seed.derive("step", open.attempt.transitions.len() as u64)).collect();
    for ((index, _), choice) in playing.iter().zip(decider.decide(&images, &gripper, &seeds)?) {
        choices[*index] = Some(choice);
    }
    Ok(choices)
}

fn transition(view: &View, index: usize, space: &ActionSpace, action: &Action, gripper: &GripperState) -> Transition {
    let record = Record {
        state: state_features(gripper),
        action: space.features(action),
        reward: 0.0,
        ending: GOES_ON,
        strayed: 0.0,
        privileged: view.privileged.get(index).copied().unwrap_or_default(),
    };
    Transition { image: view.image(index).to_vec(), record }
}

/// Adds normal noise of `deviation` (of the largest step) to displacement and rotation.
fn moved(action: &Action, space: &ActionSpace, deviation: f32, rng: &mut Rng) -> Action {
    let units = space.to_units(action).map(|unit| unit + deviation * rng.normal());
    let aside = space.from_units(units, false);
    Action { gripper: action.gripper, terminate: action.terminate, ..aside }
}

/// The policy's action, or another one now and then; whether it is another.
fn noisy(action: &Action, space: &ActionSpace, config: &ExplorationConfig, rng: &mut Rng) -> (Action, bool) {
    let draw = rng.f32();
    if draw < config.random {
        (space.random(rng), true)
    } else if draw < config.random + config.moved {
        (moved(action, space, config.deviation, rng), true)
    } else {
        (*action, false)
    }
}

/// The script's action; its ways are not always straight, and it may end the episode early: often with closed fingers,
/// so that there is much to learn from about what they hold, now and then with open ones, and only where a policy could
/// (`ends`). Also says whether it strayed from what a script would do that means to succeed.
fn script_noise(
    action: &Action,
    (closed, ends): (bool, bool),
    space: &ActionSpace,
    config: &ExplorationConfig,
    rng: &mut Rng,
) -> (Action, bool) {
    let (aside, random) = (rng.chance(config.script_moved), rng.chance(config.script_random));
    let hurry = rng.chance(if closed { config.hurry } else { config.early_end });
    if (hurry && ends) || action.terminate {
        return (Action { terminate: true, ..Action::default() }, !closed);
    }
    if random {
        return (Action { terminate: false, ..space.random(rng) }, true);
    }
    if action.gripper == GripperCommand::Close && !closed && rng.chance(config.script_swerve) {
        let deviation = if rng.chance(0.5) { config.deviation } else { 1.0 };
        return (moved(action, space, deviation, rng), true);
    }
    if aside && action.gripper != GripperCommand::Close {
        return (moved(action, space, config.deviation, rng), true);
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
        let mut strayed = [0; 2];
        for (kind, config) in [ExplorationConfig::none(), ExplorationConfig::default()].iter().enumerate() {
            for draw in 0..400 {
                let gripper = [GripperCommand::Keep, GripperCommand::Close, GripperCommand::Open][draw % 3];
                let said = Action { gripper, terminate: draw % 10 == 9, ..space.random(&mut rng) };
                let said = if said.terminate { Action { terminate: true, ..Action::default() } } else { said };
                let (action, _) = script_noise(&said, (draw % 2 == 0, true), &space, config, &mut rng);
                strayed[kind] += usize::from(action != said);
            }
        }
        assert_eq!(strayed[0], 0);
        assert!(strayed[1] > 100, "{strayed:?}");
    }
}
