//! Rollouts from environments: what is counted, and that a resumed run goes on in the middle of episodes.

use super::source::{EnvOpener, RolloutSource};
use super::*;
use crate::contract::{
    Action, ActionSpace, GripperState, Observation, Reset, Rng, Script, Seed, Step, StepBatch, TaskKind, VecEnv,
    VecEnvError,
};
use crate::nn::HOST;
use crate::train::{BatchSource, Checkpoint, Learner, StepProgress};

const SIZE: usize = 36;
const ENVS: usize = 3;
const SPACE: ActionSpace = ActionSpace { step_m: [0.1; 3], step_rad: 1.0 };

/// An episode of two to five steps: its picture is a colour of its seed and of everything done so far; the reward is what was
/// done last.
#[derive(Default)]
struct Cell {
    rng: Option<Rng>,
    shade: f32,
    left: u64,
    step: Step,
    age: u64,
}

struct Toy {
    cells: Vec<Cell>,
    /// Observations that were asked for.
    captured: usize,
    /// Every episode ends as the simulation fails.
    fails: bool,
}

impl Script for Toy {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        // What can be seen: the shade, centred.
        let action = |&index: &usize| {
            let x = 0.1 * (self.cells[index].shade - 0.5);
            Action { translation_m: [x, 0.0, 0.0], ..Action::default() }
        };
        indices.iter().map(action).collect()
    }
}

impl VecEnv for Toy {
    fn num_envs(&self) -> usize {
        self.cells.len()
    }

    fn image_shape(&self) -> (usize, usize) {
        (SIZE, 3)
    }

    fn action_space(&self) -> ActionSpace {
        SPACE
    }

    fn reset(&mut self, resets: &[Reset]) -> Result<(), VecEnvError> {
        for reset in resets {
            let mut rng = reset.seed.rng();
            let (shade, left) = (rng.f32(), 2 + rng.below(4) as u64);
            self.cells[reset.index] = Cell { rng: Some(rng), shade, left, ..Cell::default() };
        }
        Ok(())
    }

    fn step(&mut self, actions: &[Option<Action>], capture: bool) -> Result<StepBatch, VecEnvError> {
        self.captured += usize::from(capture);
        for (cell, action) in self.cells.iter_mut().zip(actions) {
            let Some(action) = action else { continue };
            assert!(cell.left > 0, "an episode that is over does not act");
            cell.left -= 1;
            cell.age += 1;
            let [x, ..] = action.translation_m;
            let noise = cell.rng.as_mut().map_or(0.0, Rng::f32);
            cell.shade = (cell.shade + x + 0.1 * noise).rem_euclid(1.0);
            let (over, fails) = (cell.left == 0, self.fails);
            cell.step =
                Step { reward: 10.0 * x, terminated: over && !fails, invalid: over && fails, ..Step::default() };
        }
        let pixels = SIZE * SIZE;
        let seen = capture.then(|| self.cells.iter());
        let shades = || seen.clone().into_iter().flatten();
        let observation = Observation {
            images: shades().flat_map(|cell| vec![(255.0 * cell.shade) as u8; 3 * pixels]).collect(),
            sensed_depth_m: shades().flat_map(|cell| vec![cell.shade; pixels]).collect(),
            gripper: vec![GripperState::default(); self.cells.len()],
            step_indices: self.cells.iter().map(|cell| cell.age).collect(),
        };
        let steps = self.cells.iter().map(|cell| cell.step.clone()).collect();
        Ok(StepBatch { observation, kept_images: Vec::new(), steps, privileged: None })
    }
}

fn opener() -> EnvOpener {
    opener_of(false)
}

fn opener_of(fails: bool) -> EnvOpener {
    Box::new(move || {
        let cells = (0..ENVS).map(|_| Cell::default()).collect();
        Ok(Box::new(Toy { cells, captured: 0, fails }))
    })
}

fn codec() -> TaskCodec {
    TaskCodec { task: TaskKind::PoseGrasp, space: SPACE, size: SIZE, depth: DepthInput::AsMeasured }
}

fn config() -> PpoConfig {
    PpoConfig { num_envs: ENVS, num_steps: 4, num_epochs: 2, minibatch_size: 8, ..PpoConfig::default() }
}

fn run(seed: u64) -> Result<(PpoLearner, RolloutSource), PpoError> {
    let learner = PpoLearner::new(&config(), codec().network(), Seed(seed), &HOST)?;
    Ok((learner, RolloutSource::new(&config(), codec(), 6, Seed(seed), opener())))
}

const BEGIN: StepProgress = StepProgress { step: 0, done: 0.0 };

#[test]
fn a_rollout_is_what_the_environments_answered() -> anyhow::Result<()> {
    let (learner, mut source) = run(1)?;
    let rollout = source.next(&learner, BEGIN)?;
    assert_eq!((rollout.len(), source.decisions()), (12, 12));
    // Row by row: the action's x, within [-1, 1], is a tenth of a metre, and ten times that the reward.
    let actions = rollout.actions.chunks(4).map(|action| action[0].clamp(-3.0, 3.0) / 3.0);
    let mut returns = [0.0_f32; ENVS];
    let mut finished = Vec::new();
    for (row, (x, state)) in actions.zip(rollout.observations.states.chunks(4)).enumerate() {
        // The first of the one-hot numbers says that an episode begins.
        if state[0] == 1.0 && row >= ENVS {
            finished.push(std::mem::take(&mut returns[row % ENVS]));
        }
        returns[row % ENVS] += x;
    }
    assert!(!finished.is_empty());
    let Some(mean) = rollout.episodic_return else { anyhow::bail!("no episode ended") };
    // Episodes that end with the rollout's last row are among the finished ones, too.
    let lengths = rollout.episodic_length.unwrap_or(0.0);
    assert!((2.0..=5.0).contains(&lengths) && mean.abs() <= 5.0, "{mean} {lengths}");
    let second = source.next(&learner, BEGIN)?;
    assert_ne!(rollout.observations.images, second.observations.images);
    Ok(())
}

#[test]
fn a_run_resumed_in_the_middle_of_episodes_equals_the_uninterrupted_one() -> anyhow::Result<()> {
    let (mut learner, mut whole) = run(5)?;
    for _ in 0..3 {
        let rollout = whole.next(&learner, BEGIN)?;
        learner.learn(&rollout, 1.0)?;
    }
    let saved = whole.save(std::path::Path::new("unused"))?;
    // Some episode is under way: an action of it has to be played again.
    let text = saved.state.to_string();
    assert!(text.contains("\"actions\":[["), "{text}");
    let checkpoint =
        Checkpoint { step: 3, path: Default::default(), groups: Default::default(), state: serde_json::Value::Null };
    let mut resumed = RolloutSource::new(&config(), codec(), 6, Seed(5), opener());
    resumed.restore(std::path::Path::new("unused"), &checkpoint, serde_json::from_str(&text)?)?;
    let mut other = RolloutSource::new(&config(), codec(), 6, Seed(5), opener());
    for number in 0..2 {
        let expected = whole.next(&learner, BEGIN)?;
        assert_eq!(expected, resumed.next(&learner, BEGIN)?, "rollout {number}");
        assert_ne!(expected, other.next(&learner, BEGIN)?);
    }
    assert_eq!(whole.decisions(), resumed.decisions());
    let wrong = RolloutSource::new(&PpoConfig { num_envs: 2, ..config() }, codec(), 6, Seed(5), opener());
    let error = { wrong }.restore(std::path::Path::new("unused"), &checkpoint, serde_json::from_str(&text)?);
    assert!(error.expect_err("another number of environments").to_string().contains("expected 2"));
    Ok(())
}

/// The step in which the simulation fails says nothing of what was done: no advantage, and the critic keeps its value.
#[test]
fn nothing_is_learned_from_a_step_in_which_the_simulation_fails() -> anyhow::Result<()> {
    let (learner, sound) = run(1)?;
    for (fails, mut source) in
        [(false, sound), (true, RolloutSource::new(&config(), codec(), 6, Seed(1), opener_of(true)))]
    {
        let rollout = source.next(&learner, BEGIN)?;
        let begins = |row: usize| rollout.observations.states.chunks(4).nth(row).is_some_and(|state| state[0] == 1.0);
        // The last step of an episode is the one after which another begins in that environment.
        let ends: Vec<usize> = (0..rollout.len() - ENVS).filter(|row| begins(row + ENVS)).collect();
        assert!(!ends.is_empty());
        for row in ends {
            let kept =
                rollout.advantages[row].abs() < 1e-5 && (rollout.returns[row] - rollout.values[row]).abs() < 1e-5;
            assert_eq!(kept, fails, "{row}: {} {}", rollout.advantages[row], rollout.returns[row]);
        }
    }
    Ok(())
}

#[test]
fn an_evaluation_has_its_own_episodes_and_disturbs_none() -> anyhow::Result<()> {
    let (mut learner, mut source) = run(7)?;
    let (_, mut undisturbed) = run(7)?;
    assert_eq!(source.next(&learner, BEGIN)?, undisturbed.next(&learner, BEGIN)?);
    let first = source.evaluate(&mut learner)?.metrics;
    let again = source.evaluate(&mut learner)?.metrics;
    assert_eq!(first, again);
    assert_eq!(first[0].0, "eval/episodic_return");
    assert_eq!(source.next(&learner, BEGIN)?, undisturbed.next(&learner, BEGIN)?);
    assert_eq!(learner.step(), 0);
    Ok(())
}

#[test]
fn imitation_learns_what_the_script_does() -> anyhow::Result<()> {
    let config = PpoConfig { imitation: true, learning_rate: 1e-3, ..config() };
    let mut learner = PpoLearner::new(&config, codec().network(), Seed(2), &HOST)?;
    let mut source = RolloutSource::new(&config, codec(), 0, Seed(2), opener());
    let mut losses = Vec::new();
    for _ in 0..40 {
        let rollout = source.next(&learner, BEGIN)?;
        // The shade is the image's first number, the target's x is the shade from the middle.
        let shades = rollout.observations.images.chunks(4 * SIZE * SIZE).map(|image| image[0]);
        let all = shades.zip(rollout.targets.chunks(4));
        assert!(all.into_iter().all(|(shade, target)| (shade - target[0]).abs() < 0.005 && target[1..] == [0.0; 3]));
        losses.push(learner.imitate(&rollout, 1.0)?.policy_loss);
    }
    let last = losses[35..].iter().sum::<f64>() / 5.0;
    assert!(last < 0.2 * losses[0], "{losses:?}");
    let plain =
        RolloutSource::new(&super::source_tests::config(), codec(), 0, Seed(2), opener()).next(&learner, BEGIN)?;
    assert!(plain.targets.is_empty() && learner.imitate(&plain, 1.0).is_err());
    Ok(())
}
