//! The one loop that plays episodes: for training, recordings, datasets, evaluations and the viewer.
//!
//! In: environments, a [`Policy`], a [`Schedule`] that says which episode an environment plays next. Out: what happened in
//! every environment, step by step ([`EpisodeLoop`]), or whole episodes in the order of a plan ([`EpisodeCollector`]). An
//! environment that is free begins its next episode while the others act, and acts one step later: what is seen of a start
//! is seen once. Everything is decided by the schedule's seeds, not by the number of threads.

use super::schedule::{EpisodeEnd, EpisodeStart, PlanSchedule, Schedule};
use crate::contract::{
    ActRequest, Action, Decision, Episode, EpisodeCollector, EpisodeObservation, EpisodePlan, EpisodeStep, Policy,
    Reset, Script, Seed, Step, StepBatch, VecEnv, VecEnvError,
};
use std::collections::BTreeMap;

/// The episode that an environment plays.
#[derive(Clone, Copy, Debug)]
struct Playing {
    number: usize,
    seed: Seed,
    steps: usize,
}

/// What happened in one environment between two observations.
#[derive(Clone, Debug, Default)]
pub struct Transition {
    /// The episode, as its schedule counts, and its seed.
    pub number: usize,
    /// `None` where the environment plays nothing.
    pub seed: Option<Seed>,
    /// None where the observation shows the start of an episode.
    pub decision: Option<Decision>,
    /// Outcome of the decision.
    pub step: Step,
}

/// What happened in all environments.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Observations and privileged state after the step; its `steps` have moved into `transitions`.
    pub batch: StepBatch,
    /// One for each environment; those without a seed play nothing.
    pub transitions: Vec<Transition>,
}

/// Episodes under way in all environments.
pub struct EpisodeLoop<S> {
    schedule: S,
    playing: Vec<Option<Playing>>,
    ended: Vec<Option<EpisodeEnd>>,
    moment: Moment,
}

impl<S: Schedule> EpisodeLoop<S> {
    /// No episode is under way before the first step.
    pub fn new(schedule: S, num_envs: usize) -> Self {
        let (playing, ended) = (vec![None; num_envs], vec![None; num_envs]);
        Self { schedule, playing, ended, moment: Moment::default() }
    }

    /// The episodes that begin now, in environments that are free.
    pub fn starts(&mut self) -> Vec<Reset> {
        let mut resets = Vec::new();
        for (index, (playing, ended)) in self.playing.iter_mut().zip(&mut self.ended).enumerate() {
            if playing.is_some() {
                continue;
            }
            let Some(next) = self.schedule.next(index, *ended) else { continue };
            let EpisodeStart { number, seed, start, placement, script } = next;
            *playing = Some(Playing { number, seed, steps: 0 });
            resets.push(Reset { index, seed, start, placement, script });
        }
        resets
    }

    /// The environments that need an action, but for those that `begin`.
    pub fn requests(&self, begin: &[Reset]) -> Vec<ActRequest> {
        let acts = |(index, playing): (usize, &Option<Playing>)| {
            let Playing { number, seed, steps } = (*playing)?;
            let begins = begin.iter().any(|reset| reset.index == index);
            (!begins).then_some(ActRequest { index, episode: number, seed, step: steps })
        };
        self.playing.iter().enumerate().filter_map(acts).collect()
    }

    /// Notes what an environment's step brought; `decision` is none where its episode has just begun.
    pub fn record(&mut self, index: usize, decision: Option<Decision>, step: Step) -> Transition {
        let Some(playing) = &mut self.playing[index] else { return Transition::default() };
        let transition =
            Transition { number: playing.number, seed: Some(playing.seed), decision, step: Step::default() };
        if decision.is_none() {
            return transition;
        }
        playing.steps += 1;
        if step.done() {
            self.ended[index] = Some(EpisodeEnd { number: playing.number, invalid: step.invalid });
            self.playing[index] = None;
        }
        Transition { step, ..transition }
    }

    /// One step everywhere. Where an episode is over, the next one begins instead; `capture`: images and frames are wanted.
    /// None when no episode is left.
    ///
    /// # Errors
    /// The environments or the policy fail.
    pub fn step<E: VecEnv + ?Sized>(
        &mut self,
        env: &mut E,
        policy: &mut dyn Policy,
        capture: bool,
    ) -> Result<Option<&mut Moment>, VecEnvError> {
        let resets = self.starts();
        let requests = self.requests(&resets);
        if resets.is_empty() && requests.is_empty() {
            return Ok(None);
        }
        let mut decisions: Vec<Option<Decision>> = vec![None; self.playing.len()];
        if !requests.is_empty() {
            let decided = policy.act(&self.moment.batch.observation, &requests, &mut Scripts(env))?;
            for (request, decision) in requests.iter().zip(decided) {
                decisions[request.index] = Some(decision);
            }
        }
        if !resets.is_empty() {
            env.reset(&resets)?;
        }
        let actions: Vec<Option<Action>> =
            decisions.iter().map(|decision| decision.map(|decision| decision.action)).collect();
        let mut batch = env.step(&actions, capture)?;
        let steps = std::mem::take(&mut batch.steps);
        let each = decisions.into_iter().zip(steps).enumerate();
        let transitions = each.map(|(index, (decision, step))| self.record(index, decision, step)).collect();
        self.moment = Moment { batch, transitions };
        Ok(Some(&mut self.moment))
    }
}

/// The scripts of environments, and nothing else of them.
struct Scripts<'a, E: ?Sized>(&'a mut E);

impl<E: Script + ?Sized> Script for Scripts<'_, E> {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        self.0.scripted(indices)
    }
}

impl<E: VecEnv + ?Sized> EpisodeCollector for E {
    fn collect(
        &mut self,
        policy: &mut dyn Policy,
        plan: &EpisodePlan,
        sink: &mut dyn FnMut(Episode),
    ) -> Result<(), VecEnvError> {
        collect(self, policy, PlanSchedule::new(*plan), sink)
    }
}

/// Plays all episodes of a schedule that numbers them from 0 without a gap, and hands each to `sink` as soon as those before
/// it are done.
///
/// # Errors
/// The environments or the policy fail.
pub fn collect<E: VecEnv + ?Sized>(
    env: &mut E,
    policy: &mut dyn Policy,
    schedule: impl Schedule,
    sink: &mut dyn FnMut(Episode),
) -> Result<(), VecEnvError> {
    let count = env.num_envs();
    let mut episodes = EpisodeLoop::new(schedule, count);
    let mut open: Vec<Episode> = vec![Episode::default(); count];
    // Those that wait for one before them.
    let mut done: BTreeMap<usize, Episode> = BTreeMap::new();
    let mut handed = 0;
    while let Some(moment) = episodes.step(env, policy, true)? {
        let bin_group = |index: usize| env.bin_group(index);
        let observation = &moment.batch.observation;
        let kept = &moment.batch.kept_images;
        let of_each = kept.len() / count.max(1);
        let states = moment.batch.privileged.as_ref().map_or(&[][..], |privileged| &privileged.states);
        let frames = moment.batch.privileged.as_ref().and_then(|privileged| privileged.frames.first());
        for (index, transition) in moment.transitions.iter().enumerate() {
            let Some(seed) = transition.seed else { continue };
            let episode = &mut open[index];
            let step = &transition.step;
            match transition.decision {
                None => {
                    let bin_group = bin_group(index);
                    *episode = Episode { number: transition.number, seed, bin_group, ..Episode::default() };
                }
                Some(decision) => episode.steps.push(EpisodeStep {
                    action: step.action,
                    reward: step.reward,
                    terminated: step.terminated,
                    truncated: step.truncated,
                    invalid: step.invalid,
                    exploratory: decision.exploratory,
                    value: decision.value,
                }),
            }
            let image = if kept.is_empty() { observation.image(index) } else { &kept[index * of_each..][..of_each] };
            let image = image.to_vec();
            episode.observations.push(EpisodeObservation { image, gripper: observation.gripper[index] });
            if step.done() {
                episode.grasped.clone_from(&step.grasped);
                episode.failure = step.failure;
                done.insert(transition.number, std::mem::take(episode));
            } else {
                episode.privileged.extend(states.get(index));
                let mask = frames.map_or(&[][..], |frames| frames.segmentation_image(index));
                if !mask.is_empty() {
                    episode.masks.push(mask.to_vec());
                }
            }
        }
        while let Some(episode) = done.remove(&handed) {
            sink(episode);
            handed += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
