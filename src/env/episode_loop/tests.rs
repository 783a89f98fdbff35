//! The loop on a toy: what is begun, seen, decided and handed over, and when.

use super::super::schedule::{BlockSchedule, SetSchedule};
use super::*;
use crate::contract::{ActionSpace, GripperState, Observation, ScriptPolicy, Start};

/// Counts up to a length that the seed decides, 1 to 4 steps. Its image is its count; its script says how often it was asked.
#[derive(Default)]
struct Counter {
    counts: Vec<u8>,
    lengths: Vec<u8>,
    asked: Vec<f32>,
    resets: Vec<(usize, Seed, Start)>,
    /// Environment whose episodes the simulation cuts off.
    broken: Option<usize>,
}

impl Counter {
    fn new(count: usize) -> Self {
        Self { counts: vec![0; count], lengths: vec![1; count], asked: vec![0.0; count], ..Self::default() }
    }
}

impl Script for Counter {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        let ask = |&index: &usize| {
            self.asked[index] += 1.0;
            Action { rotation_rad: self.asked[index], ..Action::default() }
        };
        indices.iter().map(ask).collect()
    }
}

impl VecEnv for Counter {
    fn num_envs(&self) -> usize {
        self.counts.len()
    }

    fn image_shape(&self) -> (usize, usize) {
        (1, 1)
    }

    fn action_space(&self) -> ActionSpace {
        ActionSpace { step_m: [1.0; 3], step_rad: 100.0 }
    }

    fn reset(&mut self, resets: &[Reset]) -> Result<(), VecEnvError> {
        for reset in resets {
            self.counts[reset.index] = 0;
            self.lengths[reset.index] = 1 + reset.seed.rng().below(4) as u8;
            self.resets.push((reset.index, reset.seed, reset.start));
        }
        Ok(())
    }

    fn step(&mut self, actions: &[Option<Action>], _: bool) -> Result<StepBatch, VecEnvError> {
        let mut steps = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            self.counts[index] += u8::from(action.is_some());
            let done = self.counts[index] >= self.lengths[index];
            let invalid = done && self.broken == Some(index);
            steps.push(Step {
                action: action.unwrap_or_default(),
                reward: f32::from(self.counts[index]),
                terminated: done && !invalid,
                invalid,
                ..Step::default()
            });
        }
        let gripper = vec![GripperState::default(); actions.len()];
        let observation = Observation { images: self.counts.clone(), gripper, ..Observation::default() };
        Ok(StepBatch { observation, kept_images: Vec::new(), steps, privileged: None })
    }
}

fn played(count: usize, p_keep_objects: f32, broken: Option<usize>) -> (Vec<Episode>, Counter) {
    let mut envs = Counter { broken, ..Counter::new(3) };
    let mut episodes = Vec::new();
    let plan = EpisodePlan { count, seed: Seed(7), p_keep_objects, should_stop: None };
    envs.collect(&mut ScriptPolicy, &plan, &mut |episode| episodes.push(episode)).expect("the toy does not fail");
    (episodes, envs)
}

#[test]
fn episodes_come_in_order_and_whole() {
    let (episodes, envs) = played(20, 0.0, None);
    assert_eq!(episodes.iter().map(|episode| episode.number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for episode in &episodes {
        let length = 1 + episode.seed.rng().below(4);
        assert_eq!(episode.seed, Seed(7).derive("attempt", episode.number as u64));
        assert_eq!((episode.steps.len(), episode.observations.len()), (length, length + 1));
        let seen: Vec<u8> = episode.observations.iter().map(|observation| observation.image[0]).collect();
        assert_eq!(seen, (0..=length as u8).collect::<Vec<_>>());
        assert!(episode.steps.iter().rev().skip(1).all(|step| !step.terminated));
        assert!(episode.steps.last().is_some_and(|step| step.terminated));
        // 1 + 2 + ... at a discount of one half.
        let expected: f32 = (0..length).map(|i| (i + 1) as f32 * 0.5_f32.powi(i as i32)).sum();
        assert!((episode.discounted_return(0.5) - expected).abs() < 1e-6);
    }
    // A script is asked once for each step.
    let steps: usize = episodes.iter().map(|episode| episode.steps.len()).sum();
    assert_eq!(envs.asked.iter().sum::<f32>(), steps as f32);
}

/// Those under way are played to their ends; no other begins.
#[test]
fn a_plan_may_stop_early() {
    let mut envs = Counter::new(3);
    let mut numbers = Vec::new();
    let plan = EpisodePlan { count: 20, seed: Seed(7), p_keep_objects: 0.0, should_stop: Some(|| true) };
    envs.collect(&mut ScriptPolicy, &plan, &mut |episode| numbers.push(episode.number)).expect("the toy does not fail");
    assert!(numbers.is_empty());
    static ASKED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let later = || ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 5;
    let plan = EpisodePlan { should_stop: Some(later), ..plan };
    envs.collect(&mut ScriptPolicy, &plan, &mut |episode| numbers.push(episode.number)).expect("the toy does not fail");
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

#[test]
fn episodes_keep_objects_unless_the_simulation_failed() {
    let begun = |p_keep_objects| {
        let (_, envs) = played(300, p_keep_objects, Some(1));
        let count = |index: usize, start: Start| {
            envs.resets.iter().filter(|reset| reset.0 == index && reset.2 == start).count()
        };
        [0, 1, 2].map(|index| [count(index, Start::Fresh), count(index, Start::KeepObjects)])
    };
    assert!(begun(0.0).iter().all(|[_, kept]| *kept == 0));
    let [first, broken, third] = begun(1.0);
    assert_eq!((first[0], broken[1], third[0]), (1, 0, 1));
    let [[fresh, kept], ..] = begun(0.75);
    assert!((0.6..0.9).contains(&(kept as f64 / (fresh + kept) as f64)), "{fresh} {kept}");
}

#[test]
fn sets_are_drawn_once_and_every_attempt_has_its_seed() {
    let mut envs = Counter::new(2);
    let mut numbers = Vec::new();
    collect(&mut envs, &mut ScriptPolicy, SetSchedule::new(Seed(3), 11, 4), &mut |episode| {
        numbers.push(episode.number);
    })
    .expect("the toy does not fail");
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    let fresh: Vec<Seed> = envs.resets.iter().filter(|reset| reset.2 == Start::Fresh).map(|reset| reset.1).collect();
    assert_eq!(fresh, [0, 1, 2].map(|set| Seed(3).derive("set", set)));
    let mut kept: Vec<u64> =
        envs.resets.iter().filter(|reset| reset.2 == Start::KeepObjects).map(|reset| reset.1.0).collect();
    let attempts = |set: u64, count: u64| (1..count).map(move |k| Seed(3).derive("set", set).derive("attempt", k).0);
    let mut expected: Vec<u64> = attempts(0, 4).chain(attempts(1, 4)).chain(attempts(2, 3)).collect();
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);
}

/// What the simulation broke is not what the rest of a set is judged on.
#[test]
fn a_set_begins_anew_after_an_attempt_that_the_simulation_cut_off() {
    let mut envs = Counter { broken: Some(0), ..Counter::new(1) };
    collect(&mut envs, &mut ScriptPolicy, SetSchedule::new(Seed(3), 5, 4), &mut |_| {}).expect("the toy does not fail");
    let [first, second] = [0, 1].map(|set| Seed(3).derive("set", set));
    let begun: Vec<(Seed, Start)> = envs.resets.iter().map(|reset| (reset.1, reset.2)).collect();
    assert_eq!(begun, [first, first, first, first, second].map(|seed| (seed, Start::Fresh)));
}

#[test]
fn blocks_do_not_depend_on_what_was_played_before() {
    let block = |envs: &mut Counter| {
        let mut episodes = EpisodeLoop::new(BlockSchedule { block: Seed(5) }, 2);
        let mut seen = Vec::new();
        for _ in 0..9 {
            let moment = episodes.step(envs, &mut ScriptPolicy, true).expect("no failure").expect("a moment");
            for (transition, image) in moment.transitions.iter().zip(&moment.batch.observation.images) {
                seen.push((transition.number, transition.seed, transition.decision.is_some(), *image));
            }
        }
        seen
    };
    let mut envs = Counter::new(2);
    let first = block(&mut envs);
    assert_eq!(first, block(&mut envs));
    // The start of an episode is seen without an action; its number counts in its environment.
    assert!(first.iter().all(|(_, _, acted, image)| (*image > 0) == *acted));
    assert!(first.iter().any(|(number, ..)| *number > 0));
}
