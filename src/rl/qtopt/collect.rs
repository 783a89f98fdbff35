//! The behavior of episodes in training: the script, the policy as it is, and the policy with noise.
//!
//! In: environments that play episodes, what decides, the behavior of each episode, a seed. Out: [`Episode`]s as a learner
//! takes them. The loop itself is [`EpisodeCollector`]'s.

use super::config::ExplorationConfig;
use super::network::state_features;
use super::policy::CemPolicy;
use crate::contract::action_space::ActionSpace;
use crate::contract::{
    self, ActRequest, Action, Decision, EpisodeCollector, EpisodePlan, GripperCommand, GripperState, Observation,
    Policy, PrivilegedState, Rng, Script, Seed, VecEnvError,
};
use crate::rl::cem::Choice;
use crate::rl::error::RlError;
use crate::rl::replay::{Record, Termination, Transition};

/// Who decides in an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BehaviorPolicy {
    /// The environment's script acts, moved aside or cut short by chance as [`ExplorationConfig`] says.
    Scripted,
    /// The policy's own choice at every step: such episodes measure how good it is.
    Greedy,
    /// The policy with random and shifted actions; the script may begin in its place, or act on where it gives up.
    Noisy,
}

/// An episode as a learner takes it.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What chose the actions; recordings are read as scripted.
    pub behavior: BehaviorPolicy,
    /// Decides the scene, the searches and the noise of the episode.
    pub seed: Seed,
    /// One for each step, in their order.
    pub transitions: Vec<Transition>,
    /// Values that the policy expected, where it was asked.
    pub values: Vec<f32>,
    /// Whether an object was held at the end.
    pub success: bool,
    /// The simulation cut it off: nothing can be learned from it.
    pub invalid: bool,
    /// Image behind the last action: the judged state.
    pub last_image: Vec<u8>,
}

impl Episode {
    /// What it adds to an iteration's metrics.
    pub(super) fn figures(&self, discount: f32) -> Vec<(&'static str, f64)> {
        let success = f64::from(u8::from(self.success));
        let length = self.transitions.len() as f64;
        match self.behavior {
            BehaviorPolicy::Scripted => vec![("success/scripted", success), ("length/scripted", length)],
            BehaviorPolicy::Noisy => vec![("success/noisy", success), ("length/noisy", length)],
            BehaviorPolicy::Greedy => {
                let first = self.values.first().map_or(f64::NAN, |&value| f64::from(value));
                vec![
                    ("success/greedy", success),
                    ("length/greedy", length),
                    ("calibration/start_predicted", first),
                    ("calibration/start_achieved", f64::from(self.discounted_return(discount))),
                ]
            }
        }
    }

    /// Of an episode that was played or recorded.
    pub fn new(episode: contract::Episode, behavior: BehaviorPolicy, space: &ActionSpace) -> Self {
        let (success, invalid) = (episode.success(), episode.invalid());
        let contract::Episode { seed, observations, steps, privileged, masks, .. } = episode;
        let mut masks = masks.into_iter();
        let mut observations = observations.into_iter();
        let transition =
            |(index, (step, observation)): (usize, (&contract::EpisodeStep, contract::EpisodeObservation))| {
                let record = Record {
                    state: state_features(&observation.gripper),
                    action: space.features(&step.action),
                    reward: step.reward,
                    termination: match (step.invalid, step.terminated || step.truncated, step.action.terminate) {
                        (true, ..) => Termination::Interrupted,
                        (false, false, _) => Termination::None,
                        (false, true, true) => Termination::Terminated,
                        (false, true, false) => Termination::TimeLimit,
                    },
                    exploratory: f32::from(u8::from(step.exploratory)),
                    privileged: privileged.get(index).copied().unwrap_or(PrivilegedState::UNKNOWN),
                };
                Transition { image: observation.image, mask: masks.next().unwrap_or_default(), record }
            };
        Self {
            behavior,
            seed,
            transitions: steps.iter().zip(observations.by_ref()).enumerate().map(transition).collect(),
            values: steps.iter().filter_map(|step| step.value).collect(),
            success,
            invalid,
            last_image: observations.next().map(|observation| observation.image).unwrap_or_default(),
        }
    }

    /// Without what only a simulator knows: as a robot would have recorded it.
    pub fn without_privileged(mut self) -> Self {
        for transition in &mut self.transitions {
            transition.record.privileged = PrivilegedState::UNKNOWN;
            transition.mask = Vec::new();
        }
        self
    }

    /// Discounted sum of rewards from the first step.
    pub fn discounted_return(&self, discount: f32) -> f32 {
        self.transitions.iter().rev().fold(0.0, |sum, transition| transition.record.reward + discount * sum)
    }
}

/// Plays one episode for each entry of `plan`. Episodes of the policy need a `cem_policy`.
///
/// # Errors
/// The environments or the network fail.
pub fn play(
    envs: &mut dyn EpisodeCollector,
    cem_policy: Option<CemPolicy<'_>>,
    exploration: &ExplorationConfig,
    plan: &[BehaviorPolicy],
    seed: Seed,
) -> Result<Vec<Episode>, RlError> {
    let mut episodes = Vec::with_capacity(plan.len());
    play_each(envs, cem_policy, exploration, plan, seed, None, &mut |episode| episodes.push(episode))?;
    Ok(episodes)
}

/// The same, handing over each episode in turn as soon as those before it are done: of thousands of episodes few are in
/// memory.
///
/// # Errors
/// The environments or the network fail.
pub fn play_each(
    envs: &mut dyn EpisodeCollector,
    cem_policy: Option<CemPolicy<'_>>,
    exploration: &ExplorationConfig,
    plan: &[BehaviorPolicy],
    seed: Seed,
    should_stop: Option<fn() -> bool>,
    take: &mut dyn FnMut(Episode),
) -> Result<(), RlError> {
    let p_keep_objects = exploration.p_keep_objects;
    let episodes = EpisodePlan { count: plan.len(), seed, p_keep_objects, should_stop };
    let space = envs.action_space();
    let mut policy = ExplorationPolicy::new(cem_policy, exploration, space, |number| plan[number]);
    envs.collect(&mut policy, &episodes, &mut |episode| {
        let behavior = plan[episode.number];
        take(Episode::new(episode, behavior, &space));
    })?;
    Ok(())
}

/// An episode under way in one environment.
struct Open {
    behavior: BehaviorPolicy,
    rng: Rng,
    search: Seed,
    /// Steps that the script takes before the policy does.
    script_steps: usize,
}

impl Open {
    fn new(behavior: BehaviorPolicy, exploration: &ExplorationConfig, seed: Seed) -> Self {
        let mut rng = seed.derive("noise", 0).rng();
        let jumps = behavior == BehaviorPolicy::Noisy && rng.chance(exploration.p_jump_start);
        Self {
            behavior,
            script_steps: if jumps { 1 + rng.below(exploration.num_jump_steps.max(1)) } else { 0 },
            rng,
            search: seed.derive("search", 0),
        }
    }
}

/// The script, the policy as it is, or the policy with noise: an episode's number decides which.
pub struct ExplorationPolicy<'a, F> {
    cem_policy: Option<CemPolicy<'a>>,
    exploration: &'a ExplorationConfig,
    space: ActionSpace,
    behavior: F,
    /// By environment.
    open: Vec<Option<Open>>,
}

impl<'a, F: Fn(usize) -> BehaviorPolicy> ExplorationPolicy<'a, F> {
    /// `behavior` of an episode's number.
    pub fn new(
        cem_policy: Option<CemPolicy<'a>>,
        exploration: &'a ExplorationConfig,
        space: ActionSpace,
        behavior: F,
    ) -> Self {
        Self { cem_policy, exploration, space, behavior, open: Vec::new() }
    }

    /// Begins the episodes that have just started.
    fn begin(&mut self, requests: &[ActRequest]) {
        for request in requests {
            if self.open.len() <= request.index {
                self.open.resize_with(request.index + 1, || None);
            }
            let slot = &mut self.open[request.index];
            if request.step == 0 || slot.is_none() {
                *slot = Some(Open::new((self.behavior)(request.episode), self.exploration, request.seed));
            }
        }
    }

    /// The policy's choice where the policy plays.
    fn choices(&self, observation: &Observation, requests: &[ActRequest]) -> Result<Vec<Option<Choice>>, RlError> {
        let mut choices = vec![None; requests.len()];
        let Some(cem_policy) = self.cem_policy else { return Ok(choices) };
        let playing: Vec<(usize, &ActRequest, &Open)> = requests
            .iter()
            .enumerate()
            .filter_map(|(place, request)| Some((place, request, self.open[request.index].as_ref()?)))
            .filter(|(_, _, open)| open.behavior != BehaviorPolicy::Scripted)
            .collect();
        let images: Vec<&[u8]> = playing.iter().map(|(_, request, _)| observation.image(request.index)).collect();
        let gripper: Vec<GripperState> =
            playing.iter().map(|(_, request, _)| observation.gripper[request.index]).collect();
        let seeds: Vec<Seed> =
            playing.iter().map(|(_, request, open)| open.search.derive("step", request.step as u64)).collect();
        for ((place, ..), choice) in playing.iter().zip(cem_policy.act(&images, &gripper, &seeds)?) {
            choices[*place] = Some(choice);
        }
        Ok(choices)
    }
}

impl<F: Fn(usize) -> BehaviorPolicy> Policy for ExplorationPolicy<'_, F> {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        self.begin(requests);
        let choices = self.choices(observation, requests).map_err(VecEnvError::new)?;
        let (exploration, space) = (self.exploration, &self.space);
        let mut own: Vec<Option<Action>> = Vec::with_capacity(requests.len());
        for (request, choice) in requests.iter().zip(&choices) {
            let Some(open) = &mut self.open[request.index] else { continue };
            let gives_up = |choice: &Choice| choice.action.terminate && choice.value() < exploration.give_up_value;
            let is_noisy = open.behavior == BehaviorPolicy::Noisy;
            if is_noisy && choice.as_ref().is_some_and(gives_up) && open.rng.chance(0.5) {
                open.script_steps = request.step + 1 + open.rng.below(exploration.num_jump_steps.max(1));
            }
            let decides = open.behavior != BehaviorPolicy::Scripted && request.step >= open.script_steps;
            own.push(choice.filter(|_| decides).map(|choice| choice.action));
        }
        let by_script: Vec<usize> =
            requests.iter().zip(&own).filter(|(_, own)| own.is_none()).map(|(request, _)| request.index).collect();
        let mut scripted = script.scripted(&by_script).into_iter();
        let mut decisions = Vec::with_capacity(requests.len());
        for ((request, choice), own) in requests.iter().zip(&choices).zip(own) {
            let Some(open) = &mut self.open[request.index] else { continue };
            let (action, exploratory) = match own {
                Some(action) if open.behavior == BehaviorPolicy::Noisy => {
                    noisy(&action, space, exploration, &mut open.rng)
                }
                Some(action) => (action, false),
                None => {
                    let gripper = observation.gripper[request.index];
                    let ends = self.cem_policy.is_none_or(|policy| policy.cem.may_end(true, gripper.height_m));
                    let action = scripted.next().unwrap_or_default();
                    script_noise(&action, (gripper.closed, ends), space, exploration, &mut open.rng)
                }
            };
            decisions.push(Decision { action, exploratory, value: choice.map(|choice| choice.value()) });
        }
        Ok(decisions)
    }
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
        // To end the episode is to stay: noise does not make it another action.
        (moved(action, space, config.noise_std, rng), !action.terminate)
    } else {
        (*action, false)
    }
}

/// The script's action; its ways are not always straight, and it may end the episode early: often with closed fingers,
/// so that there is much to learn from about what they hold, now and then with open ones, and only where a policy could
/// (`ends`). Also says whether that differs from what a script would do that means to succeed.
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
