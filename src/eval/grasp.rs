//! The grasping protocol with pictures: for policies that need them, and for film strips of those that do not.
//!
//! In: a policy, sets of unseen objects, a seed. Out: [`GraspEvaluation`] and some attempts to look at. Objects, places
//! and starts come from the same streams as in [`super::protocol::evaluate_policy`]: every policy meets the same sets, so that
//! differences between policies are paired, and a policy that needs no pictures gets the same figures from both.

use super::protocol::{AttemptOutcome, EvaluationConfig, GraspEvaluation, draw, summarize};
use crate::collect::observation_adapter::ObservationAdapter;
use crate::contract::{Action, FrameChannels, GripperState, Rng, Seed, Step};
use crate::env::{EnvConfig, EnvError, GraspEnv, Reset};
use crate::policies::{Policy, PolicyKind};
use crate::rl::action::ActionSpace;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode};
use crate::rl::qtopt::network::state_features;
use crate::rl::qtopt::policy::CemPolicy;
use crate::rl::qtopt::privileged::Privileged;
use crate::rl::replay::{Record, Termination, Transition};
use crate::rl::vec_env::VecEnvError;
use crate::rl::{Choice, RlError};

/// Who decides.
#[derive(Clone, Copy)]
pub enum PolicyRef<'a> {
    Builtin(PolicyKind),
    Learned(CemPolicy<'a>),
}

#[derive(Debug, thiserror::Error)]
pub enum GraspEvalError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    ObservationAdapter(#[from] VecEnvError),
    #[error(transparent)]
    Policy(#[from] RlError),
}

/// Figures, and attempts to look at: successes first, then failures.
pub struct EvaluationWithEpisodes {
    pub evaluation: GraspEvaluation,
    pub episodes: Vec<Episode>,
    /// Success of each attempt in the order of sets and attempts: paired with other policies' by position.
    pub successes: Vec<bool>,
}

/// One environment's work: a set of objects and its attempts.
struct Slot {
    set: usize,
    attempt: usize,
    seed: Seed,
    /// The episode has begun and is observed.
    playing: bool,
    policy: Option<Box<dyn Policy>>,
    rng: Rng,
    episode: Episode,
    space: ActionSpace,
}

/// Plays `config.attempts` attempts; at most `films` successes and as many failures are kept to look at.
///
/// # Errors
/// The simulator, the graphics device or the network fails.
pub fn evaluate_with_episodes(
    policy_ref: PolicyRef<'_>,
    config: &EvaluationConfig,
    env: EnvConfig,
    adapter: &ObservationAdapter,
    (seed, num_episodes): (Seed, usize),
) -> Result<EvaluationWithEpisodes, GraspEvalError> {
    let per_set = config.attempts_per_set.max(1);
    let sets = config.attempts.div_ceil(per_set);
    let attempts_of = |set: usize| per_set.min(config.attempts - set * per_set);
    let objects = env.objects.clone();
    let space = crate::collect::vec_env::action_space(&env.cell);
    let num_envs = env.num_envs.min(sets).max(1);
    let mut env = GraspEnv::new(EnvConfig { num_envs, channels: FrameChannels::SOURCE, ..env })?;
    let mut slots: Vec<Option<Slot>> = (0..num_envs).map(|_| None).collect();
    let mut outcomes: Vec<Option<AttemptOutcome>> = vec![None; config.attempts];
    let (mut kept, mut next_set) = ([Vec::new(), Vec::new()], 0);
    let (mut images, mut gripper) = (Vec::new(), Vec::<GripperState>::new());
    loop {
        let mut actions: Vec<Option<Action>> = vec![None; num_envs];
        let choices = decide(policy_ref, &slots, &images, &gripper)?;
        let mut again = Vec::new();
        for index in 0..num_envs {
            let Some(slot) = &mut slots[index] else {
                if next_set < sets {
                    let seed = seed.derive("set", next_set as u64);
                    let objects = draw(&objects, env.config().cell.objects.per_episode, seed);
                    env.reset([Reset::Objects { index, objects, seed }])?;
                    slots[index] = Some(Slot::new(next_set, seed, policy_ref, space));
                    next_set += 1;
                }
                continue;
            };
            if !slot.playing {
                let returned = env.world(index).last_step().grasped.clone();
                let seed = slot.seed.derive("attempt", slot.attempt as u64);
                again.push(Reset::KeepObjects { index, returned, seed });
                continue;
            }
            let action = match (&mut slot.policy, choices[index]) {
                (Some(policy), _) => policy.act(env.world(index), &mut slot.rng),
                (None, Some(choice)) => choice.action,
                (None, None) => Action::default(),
            };
            slot.record(image_of(&images, index, gripper.len()), gripper[index], &action, choices[index]);
            actions[index] = Some(action);
        }
        if slots.iter().all(Option::is_none) {
            break;
        }
        if !again.is_empty() {
            env.reset(again)?;
        }
        let outcome = env.step(&actions, true)?;
        images = adapter.encode(outcome.observation.frames)?;
        gripper = outcome.observation.gripper;
        for index in 0..num_envs {
            let Some(slot) = &mut slots[index] else { continue };
            let Some(action) = actions[index] else {
                slot.begin();
                continue;
            };
            let step: &Step = &outcome.steps[index];
            if !step.done() {
                continue;
            }
            outcomes[slot.set * per_set + slot.attempt] = Some(AttemptOutcome {
                step: step.clone(),
                terminated_by_policy: action.terminate,
                closed: gripper[index].closed,
                aperture_at_lift: env.world(index).aperture_at_lift(),
            });
            let episode = slot.end(step, image_of(&images, index, gripper.len()));
            let shelf = &mut kept[usize::from(!episode.success)];
            if shelf.len() < num_episodes {
                shelf.push(episode);
            }
            if slot.attempt >= attempts_of(slot.set) {
                slots[index] = None;
            }
        }
    }
    let outcomes: Vec<AttemptOutcome> = outcomes.into_iter().flatten().collect();
    let [successes, failures] = kept;
    Ok(EvaluationWithEpisodes {
        evaluation: summarize(&outcomes),
        episodes: successes.into_iter().chain(failures).collect(),
        successes: outcomes.iter().map(|outcome| outcome.step.success()).collect(),
    })
}

fn image_of(images: &[u8], index: usize, count: usize) -> &[u8] {
    let len = images.len() / count.max(1);
    &images[index * len..(index + 1) * len]
}

fn decide(
    policy_ref: PolicyRef<'_>,
    slots: &[Option<Slot>],
    images: &[u8],
    gripper: &[GripperState],
) -> Result<Vec<Option<Choice>>, RlError> {
    let mut choices = vec![None; slots.len()];
    let PolicyRef::Learned(cem_policy) = policy_ref else { return Ok(choices) };
    let playing: Vec<(usize, &Slot)> = slots
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
        .filter(|(_, slot)| slot.playing)
        .collect();
    let pictures: Vec<&[u8]> = playing.iter().map(|(index, _)| image_of(images, *index, gripper.len())).collect();
    let states: Vec<GripperState> = playing.iter().map(|(index, _)| gripper[*index]).collect();
    let seeds: Vec<Seed> = playing.iter().map(|(_, slot)| slot.search_seed()).collect();
    for ((index, _), choice) in playing.iter().zip(cem_policy.act(&pictures, &states, &seeds)?) {
        choices[*index] = Some(choice);
    }
    Ok(choices)
}

impl Slot {
    fn new(set: usize, seed: Seed, policy_ref: PolicyRef<'_>, space: ActionSpace) -> Self {
        let policy = match policy_ref {
            PolicyRef::Builtin(kind) => Some(kind.create()),
            PolicyRef::Learned(_) => None,
        };
        // The stream that the evaluation without pictures gives its policies.
        let rng = seed.derive("policy", 0).rng();
        Self {
            set,
            attempt: 0,
            seed,
            playing: false,
            policy,
            rng,
            episode: Episode::new(BehaviorPolicy::Greedy, seed),
            space,
        }
    }

    fn search_seed(&self) -> Seed {
        self.seed.derive("search", self.attempt as u64).derive("step", self.episode.transitions.len() as u64)
    }

    /// The start of an attempt is observed.
    fn begin(&mut self) {
        self.playing = true;
        if let Some(policy) = &mut self.policy {
            policy.begin();
        }
    }

    fn record(&mut self, image: &[u8], gripper: GripperState, action: &Action, choice: Option<Choice>) {
        let record = Record {
            state: state_features(&gripper),
            action: self.space.features(&self.space.effective(action, gripper.closed)),
            reward: 0.0,
            termination: Termination::None,
            exploratory: 0.0,
            privileged: Privileged::UNKNOWN,
        };
        self.episode.transitions.push(Transition { image: image.to_vec(), record });
        self.episode.choices.extend(choice);
    }

    fn end(&mut self, step: &Step, image: &[u8]) -> Episode {
        self.playing = false;
        self.attempt += 1;
        let mut episode = std::mem::replace(&mut self.episode, Episode::new(BehaviorPolicy::Greedy, self.seed));
        episode.success = step.success();
        episode.invalid = step.invalid;
        episode.last_image = image.to_vec();
        episode
    }
}
