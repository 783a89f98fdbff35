//! PPO as a whole: a bandit, a control task, what an update leaves alone, exact resume.

use super::*;
use crate::contract::{Rng, Seed};
use crate::train::{Checkpoint, Learner, Module};

fn mlp(state_len: usize, hidden: &[usize]) -> NetworkConfig {
    let encoder = EncoderConfig::Mlp { hidden: hidden.to_vec() };
    NetworkConfig { encoder, state_len, actions: 1, initial_log_std: -0.5 }
}

fn learner(config: &PpoConfig, network: NetworkConfig, seed: u64) -> Result<(PpoLearner, RolloutBuffer), PpoError> {
    let learner = PpoLearner::new(config, network, Seed(seed))?;
    let buffer = RolloutBuffer::new(config, learner.network_config());
    Ok((learner, buffer))
}

/// One step a rollout, reward `-(a - 0.3)^2` of the environment's action.
fn bandit_rollout(learner: &mut PpoLearner, buffer: &mut RolloutBuffer, envs: usize) -> Result<Rollout, PpoError> {
    let observations = Observations::of_states(vec![1.0; envs], 1);
    while !buffer.is_full() {
        let decisions = learner.act(&observations)?;
        let rewards = decisions.env_actions.iter().map(|a| -(a - 0.3).powi(2)).collect();
        let ends = vec![EpisodeEnd::Terminated; envs];
        buffer.push(&observations, &decisions, &Transitions { rewards, ends })?;
    }
    buffer.finish(&vec![0.0; envs])
}

fn bandit_config() -> PpoConfig {
    PpoConfig {
        num_envs: 64,
        num_steps: 1,
        minibatch_size: 32,
        learning_rate: 3e-3,
        action_bound: 1.0,
        ..PpoConfig::default()
    }
}

#[test]
fn a_bandit_finds_its_best_arm_in_200_updates() -> anyhow::Result<()> {
    for seed in 0..3 {
        let config = bandit_config();
        let (mut learner, mut buffer) = learner(&config, mlp(1, &[8]), seed)?;
        let mut first_return = None;
        let mut last = PpoMetrics::default();
        for update in 0..200 {
            let rollout = bandit_rollout(&mut learner, &mut buffer, 64)?;
            last = learner.learn(&rollout, 1.0 - f64::from(update) / 200.0)?;
            first_return.get_or_insert(last.episodic_return);
        }
        let mean = learner.act_greedily(&Observations::of_states(vec![1.0], 1))?[0];
        assert!((mean - 0.3).abs() < 0.05, "seed {seed}: {mean}");
        assert!(first_return.is_some_and(|first| last.episodic_return > 0.5 * first), "{first_return:?} {last:?}");
        assert!(last.std < 0.5 && last.episodic_length == 1.0, "{last:?}");
    }
    Ok(())
}

/// A point on a line that must be brought to 0: position and velocity, the action is an acceleration.
#[derive(Clone)]
struct Points {
    rng: Rng,
    states: Vec<[f32; 2]>,
    ages: Vec<usize>,
}

const LIMIT: usize = 30;

impl Points {
    fn new(count: usize, seed: u64) -> Self {
        let mut points = Self { rng: Seed(seed).rng(), states: vec![[0.0; 2]; count], ages: vec![0; count] };
        (0..count).for_each(|index| points.reset(index));
        points
    }

    fn reset(&mut self, index: usize) {
        self.states[index] = [self.rng.range(-1.0, 1.0), self.rng.range(-0.5, 0.5)];
        self.ages[index] = 0;
    }

    fn observe(&self) -> Observations {
        Observations::of_states(self.states.concat(), 2)
    }

    /// Rewards are `-|x|`; every episode is cut off after 30 steps of 0.1 s.
    fn step(&mut self, actions: &[f32], learner: &PpoLearner) -> anyhow::Result<Transitions> {
        let mut out = Transitions::default();
        for (index, action) in actions.iter().enumerate() {
            let [x, v] = &mut self.states[index];
            *v += 0.3 * action;
            *x += 0.1 * *v;
            out.rewards.push(-x.abs());
            self.ages[index] += 1;
            out.ends.push(if self.ages[index] < LIMIT {
                EpisodeEnd::None
            } else {
                let value = learner.values(&Observations::of_states(self.states[index].to_vec(), 2))?[0];
                self.reset(index);
                EpisodeEnd::Truncated { value }
            });
        }
        Ok(out)
    }
}

/// Mean return of 64 episodes by the policy's means.
fn judged(learner: &PpoLearner) -> anyhow::Result<f64> {
    let mut points = Points::new(64, 99);
    let mut sum = 0.0;
    for _ in 0..LIMIT {
        let actions = learner.act_greedily(&points.observe())?;
        sum += points.step(&actions, learner)?.rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>();
    }
    Ok(sum / 64.0)
}

/// What a proportional and derivative controller gets there, `a = clamp(-8 x - 4 v)`.
fn by_hand() -> f64 {
    let mut points = Points::new(64, 99);
    let mut sum = 0.0;
    for _ in 0..LIMIT {
        for [x, v] in &mut points.states {
            *v += 0.3 * (-8.0 * *x - 4.0 * *v).clamp(-1.0, 1.0);
            *x += 0.1 * *v;
            sum -= f64::from(x.abs());
        }
    }
    sum / 64.0
}

#[test]
fn a_point_is_brought_to_rest() -> anyhow::Result<()> {
    let config = PpoConfig {
        num_envs: 16,
        num_steps: 64,
        minibatch_size: 128,
        num_epochs: 8,
        learning_rate: 1e-3,
        entropy_coef: 1e-3,
        action_bound: 1.0,
        ..PpoConfig::default()
    };
    let (mut learner, mut buffer) = learner(&config, mlp(2, &[32, 32]), 5)?;
    let mut points = Points::new(config.num_envs, 1);
    let before = judged(&learner)?;
    let mut last = PpoMetrics::default();
    for update in 0..60 {
        while !buffer.is_full() {
            let observations = points.observe();
            let decisions = learner.act(&observations)?;
            let transitions = points.step(&decisions.env_actions, &learner)?;
            buffer.push(&observations, &decisions, &transitions)?;
        }
        let last_values = learner.values(&points.observe())?;
        last = learner.learn(&buffer.finish(&last_values)?, 1.0 - f64::from(update) / 60.0)?;
    }
    let (after, controller) = (judged(&learner)?, by_hand());
    println!("before {before}, after {after}, PD controller {controller}, {last:?}");
    assert!(after > 1.25 * controller && before < 2.0 * controller, "{before} {after} {controller}");
    assert!(last.explained_variance > 0.5, "{last:?}");
    Ok(())
}

#[test]
fn images_and_states_both_count_and_learn() -> anyhow::Result<()> {
    let config = PpoConfig { num_envs: 4, num_steps: 2, minibatch_size: 8, num_epochs: 1, ..PpoConfig::default() };
    let (mut learner, mut buffer) = learner(&config, NetworkConfig::pose_grasp(), 2)?;
    // Convolutions 4-32, 32-64, 64-64; 1024 + 4 inputs to 512; heads of 4 and 1; four deviations.
    let convolutions = 32 * (4 * 64 + 1) + 64 * (32 * 16 + 1) + 64 * (64 * 9 + 1);
    let expected = convolutions + 512 * (1028 + 1) + 4 * 513 + 513 + 4;
    assert_eq!(learner.network.store().parameter_count(), expected);
    let mut rng = Seed(8).rng();
    let mut observe = || Observations {
        count: 4,
        images: (0..4 * 4 * 64 * 64).map(|_| rng.range(-1.0, 1.0)).collect(),
        states: [1.0, 0.0, 0.0, 0.3].repeat(4),
    };
    let first = observe();
    let values = learner.values(&first)?;
    let mut other_state = first.clone();
    other_state.states[3] = 0.9;
    let mut other_image = first.clone();
    other_image.images[4 * 64 * 64 - 1] = 30.0;
    assert_ne!(learner.values(&other_state)?[0], values[0]);
    assert_eq!(learner.values(&other_state)?[1..], values[1..]);
    assert_ne!(learner.values(&other_image)?[0], values[0]);
    for _ in 0..2 {
        let observations = observe();
        let decisions = learner.act(&observations)?;
        let ends = vec![EpisodeEnd::Terminated; 4];
        buffer.push(&observations, &decisions, &Transitions { rewards: vec![1.0, -1.0, 0.5, 0.0], ends })?;
    }
    let before = learner.network.store().state_tensors()?;
    let metrics = learner.learn(&buffer.finish(&[0.0; 4])?, 1.0)?;
    assert!(metrics.gradient_norm > 0.0 && metrics.approx_kl.abs() < 1e-6 && metrics.clipfrac == 0.0, "{metrics:?}");
    for ((name, before), (_, after)) in before.iter().zip(learner.network.store().state_tensors()?) {
        let moved = (before - after)?.abs()?.sum_all()?.to_scalar::<f32>()?;
        assert!(moved > 0.0, "{name} took no part");
    }
    Ok(())
}

#[test]
fn a_large_divergence_ends_the_update_and_the_schedule_reaches_zero() -> anyhow::Result<()> {
    let config = PpoConfig { num_epochs: 10, target_kl: Some(1e-4), ..bandit_config() };
    let (mut eager, mut buffer) = learner(&config, mlp(1, &[8]), 1)?;
    let rollout = bandit_rollout(&mut eager, &mut buffer, 64)?;
    let frozen = eager.network.store().state_tensors()?;
    let metrics = eager.learn(&rollout, 0.0)?;
    assert_eq!((metrics.epochs, metrics.learning_rate, metrics.approx_kl), (10, 0.0, 0.0));
    for ((_, before), (_, after)) in frozen.iter().zip(eager.network.store().state_tensors()?) {
        assert_eq!((before - after)?.abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
    }
    let metrics = eager.learn(&rollout, 1.0)?;
    assert!(metrics.epochs < 10 && metrics.approx_kl > 0.0, "{metrics:?}");
    Ok(())
}

#[test]
fn a_resumed_run_equals_the_uninterrupted_one() -> anyhow::Result<()> {
    let config = bandit_config();
    let (mut whole, mut buffer) = learner(&config, mlp(1, &[8]), 1)?;
    for _ in 0..3 {
        let rollout = bandit_rollout(&mut whole, &mut buffer, 64)?;
        whole.learn(&rollout, 1.0)?;
    }
    let (mut resumed, mut resumed_buffer) = learner(&config, mlp(1, &[8]), 77)?;
    for ((name, from), (to_name, to)) in whole.modules().into_iter().zip(resumed.modules()) {
        assert_eq!(name, to_name);
        match (from, to) {
            (Module::Network(from), Module::Network(to)) => to.load_state(&from.state_tensors()?)?,
            (Module::Optimizer(from), Module::Optimizer(to)) => to.load_state(&from.state_tensors()?)?,
            _ => anyhow::bail!("{name} is a network here and an optimizer there"),
        }
    }
    resumed.set_step(whole.step());
    // State and progress go through JSON, as in a checkpoint.
    let checkpoint =
        Checkpoint { step: 3, path: Default::default(), groups: Default::default(), state: serde_json::Value::Null };
    resumed.restore(serde_json::from_str(&whole.state()?.to_string())?, &checkpoint)?;
    let progress = serde_json::to_string(buffer.progress())?;
    resumed_buffer.restore(serde_json::from_str(&progress)?)?;
    assert_eq!(resumed.step(), 3);
    assert!(resumed.restore(serde_json::Value::Null, &checkpoint).is_err());
    for _ in 0..2 {
        let rollout = bandit_rollout(&mut whole, &mut buffer, 64)?;
        assert_eq!(rollout, bandit_rollout(&mut resumed, &mut resumed_buffer, 64)?);
        assert_eq!(whole.learn(&rollout, 0.7)?, resumed.learn(&rollout, 0.7)?);
    }
    Ok(())
}

#[test]
fn wrong_counts_are_named() -> anyhow::Result<()> {
    let config = PpoConfig { num_envs: 2, num_steps: 1, ..bandit_config() };
    let (mut learner, mut buffer) = learner(&config, mlp(1, &[4]), 1)?;
    let observations = Observations::of_states(vec![1.0, 0.5], 1);
    let decisions = learner.act(&observations)?;
    let short = Transitions { rewards: vec![0.0], ends: vec![EpisodeEnd::None; 2] };
    let message = buffer.push(&observations, &decisions, &short).expect_err("one reward is missing").to_string();
    assert!(message.contains("1 rewards, expected 2"), "{message}");
    let bad = Transitions { rewards: vec![0.0, f32::NAN], ends: vec![EpisodeEnd::None; 2] };
    assert!(matches!(buffer.push(&observations, &decisions, &bad), Err(PpoError::Reward { env: 1, .. })));
    assert!(buffer.finish(&[0.0; 2]).is_err());
    let good = Transitions { rewards: vec![0.5, 1.0], ends: vec![EpisodeEnd::None; 2] };
    buffer.push(&observations, &decisions, &good)?;
    assert!(matches!(buffer.push(&observations, &decisions, &good), Err(PpoError::Full { num_steps: 1 })));
    assert_eq!(buffer.progress().returns, [0.5, 1.0]);
    let rollout = buffer.finish(&[0.0; 2])?;
    assert_eq!((rollout.episodic_return, rollout.len()), (None, 2));
    assert!(learner.act(&Observations::of_states(vec![1.0; 3], 2)).is_err());
    Ok(())
}
