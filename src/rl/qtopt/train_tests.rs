//! On a toy of pixels it learns, and killed and resumed it ends in the same bytes.

use super::collect::{BehaviorPolicy, Episode, play};
use super::config::EncoderSupervision;
use super::network::Projection;
use super::privileged::CELLS;
use super::stream::Samples;
use super::*;
use crate::contract::{
    Action, ActionSpace, Class, Crop, Domain, EpisodeCollector, FrameBatch, FrameChannels, GripperState, Observation,
    Privileged, PrivilegedState, Reset, Rng, Script, Seed, Step, StepBatch, VecEnv, VecEnvError,
};
use crate::nn::{HOST, with_large_stack};
use crate::train::state::to_bytes;
use crate::train::{
    Checkpoints, Ended, EnvData, Learner, Limits, Module, Outcome, Progress, RunConfig, TrainCallback, Trainer,
};
use glam::Vec2;
use std::path::Path;

pub(in crate::rl) const SIZE: usize = 16;
const WIDTH_M: f32 = 0.4;

/// A hand (green) over a table with one object (red). Ending the episode over the object succeeds.
pub(in crate::rl) struct Table {
    places: Vec<([f32; 2], [f32; 2], u64)>,
    /// Says something else in place of the truth.
    spoilt: Option<Rng>,
}

pub(in crate::rl) const SPACE: ActionSpace = ActionSpace { step_m: [0.1, 0.1, 0.02], step_rad: 0.5 };

impl Table {
    pub(in crate::rl) fn new() -> Self {
        Self { places: vec![([0.0; 2], [0.0; 2], 0); 8], spoilt: None }
    }

    pub(super) fn spoilt(self, spoilt: bool) -> Self {
        Self { spoilt: spoilt.then(|| Seed(3).rng()), ..self }
    }

    fn observation(&mut self) -> (Observation, Privileged) {
        let masked = FrameChannels { identity: true, ..FrameChannels::NONE };
        let mut frames = FrameBatch::blank(Domain::Canonical, masked, self.places.len(), SIZE, SIZE);
        let mut images = Vec::new();
        for (hand, object, _) in &self.places {
            let mut image = vec![0_u8; SIZE * SIZE * 3];
            for y in 0..SIZE {
                for x in 0..SIZE {
                    let at = [x, y].map(|i| (i as f32 + 0.5) / SIZE as f32 * 2.0 - 1.0);
                    for (channel, place) in [(0, object), (1, hand)] {
                        let near = (at[0] - place[0]).abs().max((at[1] - place[1]).abs()) < 0.2;
                        image[(y * SIZE + x) * 3 + channel] = if near { 255 } else { 0 };
                    }
                }
            }
            images.extend(image);
        }
        for (class, pixel) in frames.segmentation.iter_mut().zip(images.chunks_exact(3)) {
            *class = match pixel {
                [_, 255, _] => Class::Arm,
                [255, ..] => Class::Object,
                _ => Class::Tray,
            } as u8;
        }
        // Only a closed hand may end an episode.
        let hand = GripperState { closed: true, ..GripperState::default() };
        // The image is 0.4 m across, its rows point down.
        let know = |(hand, ..): &([f32; 2], [f32; 2], u64)| {
            PrivilegedState::new(&[0.0; CELLS], None, Vec2::new(hand[0], -hand[1]) * 0.5 * WIDTH_M, 0.0)
        };
        let mut states: Vec<PrivilegedState> = self.places.iter().map(know).collect();
        if let Some(rng) = &mut self.spoilt {
            states.iter_mut().for_each(|state| *state = garbage(rng));
        }
        let observation = Observation { images, gripper: vec![hand; self.places.len()], ..Observation::default() };
        (observation, Privileged { states, frames: vec![frames] })
    }
}

impl VecEnv for Table {
    fn num_envs(&self) -> usize {
        self.places.len()
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
            let mut point = || [rng.range(-0.8, 0.8), rng.range(-0.8, 0.8)];
            self.places[reset.index] = (point(), point(), 0);
        }
        Ok(())
    }

    fn step(&mut self, actions: &[Option<Action>], _: bool) -> Result<StepBatch, VecEnvError> {
        let mut steps = vec![Step::default(); self.places.len()];
        for ((action, place), step) in actions.iter().zip(&mut self.places).zip(&mut steps) {
            let Some(action) = action else { continue };
            place.2 += 1;
            for axis in 0..2 {
                // Rows of the image point down.
                let step = action.translation_m[axis] / (0.5 * WIDTH_M) * [1.0, -1.0][axis];
                place.0[axis] = (place.0[axis] + step).clamp(-0.8, 0.8);
            }
            step.action = SPACE.effective(action, true);
            step.terminated = action.terminate;
            step.truncated = !action.terminate && place.2 >= 6;
            let apart = (0..2).map(|axis| (place.0[axis] - place.1[axis]).abs()).fold(0.0, f32::max);
            let success = step.done() && apart < 0.3;
            step.reward = if !step.done() { -0.05 } else { f32::from(u8::from(success)) };
            step.grasped = if success { vec![0] } else { Vec::new() };
        }
        let (observation, privileged) = self.observation();
        Ok(StepBatch { observation, kept_images: Vec::new(), steps, privileged: Some(privileged) })
    }
}

impl Script for Table {
    /// Anywhere, then ends: right now and then.
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        let act = |&index: &usize| {
            // Decided by the state alone, so that a resumed run plays the same.
            let (hand, _, count) = self.places[index];
            let mut rng = Seed(u64::from(hand[0].to_bits())).derive("script", u64::from(hand[1].to_bits())).rng();
            let aside = SPACE.denormalize(std::array::from_fn(|_| rng.range(-1.0, 1.0)), false);
            Action { terminate: count >= 2, ..aside }
        };
        indices.iter().map(act).collect()
    }
}

pub(in crate::rl) struct Patience(pub(in crate::rl) u64);

impl TrainCallback for Patience {
    fn should_continue(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }

    fn progress(&mut self, _: &Progress<'_>) {}
}

pub(in crate::rl) fn config(steps: u64) -> RunConfig<QtOptConfig> {
    let mut qtopt = QtOptConfig::preset(Preset::Small);
    qtopt.size = SIZE;
    qtopt.network.projection = Projection::from_above(WIDTH_M);
    (qtopt.network.coarse_pose_filters, qtopt.network.coarse_pose_strides) = (vec![8, 12], vec![2, 1]);
    (qtopt.network.grip_filters, qtopt.network.grip_strides) = (vec![8, 8], vec![2, 1]);
    (qtopt.network.coarse_pose_width, qtopt.network.num_heads) = (32, 4);
    (qtopt.network.map_filters, qtopt.network.map_joined, qtopt.network.map_features) = (vec![8, 8], 8, 2);
    // What lies where, only Q teaches here.
    (qtopt.network.grip_width, qtopt.network.grip_features, qtopt.auxiliary_interval) = (32, 16, 1);
    (qtopt.network.features, qtopt.network.embedding) = (48, 24);
    (qtopt.network.merged, qtopt.network.hidden) = (64, 32);
    qtopt.cem.end_above_m = 0.0;
    qtopt.batch = 64;
    qtopt.num_warmup_steps = 20;
    qtopt.q_lr = 3e-3;
    qtopt.target_delay = 20;
    qtopt.tau = 0.05;
    qtopt.bellman_batch = 64;
    qtopt.training_buffer = 512;
    (qtopt.segment_len, qtopt.off_policy_capacity, qtopt.on_policy_capacity) = (128, 1024, 1024);
    (qtopt.episodes_per_iteration, qtopt.updates_per_iteration) = (40, 20);
    qtopt.exploration.initial_episodes = 200;
    let env = EnvData {
        domain: Domain::Canonical,
        objects: "train".to_owned(),
        textures: None,
        cell: "iiwa-bin".to_owned(),
        camera: "above".to_owned(),
        crop: Crop::Centre,
        num_envs: 8,
        object_files: None,
        digests: std::collections::BTreeMap::new(),
    };
    let (script, space) = ("random".to_owned(), SPACE);
    RunConfig {
        seed: 11,
        log_interval: 20,
        image_interval: 180,
        checkpoint_interval: 80,
        limits: Limits { steps: Some(steps), minutes: None },
        data: QtOptData {
            env,
            script,
            generator: None,
            offline: None,
            init: None,
            real: None,
            on_policy_domain: None,
            on_policy_episodes: 0,
            init_episodes: 0,
            real_only: false,
            space,
        },
        learner: qtopt,
    }
}

pub(super) type TableTrainer = Trainer<QtOptConfig, QLearner, ExperienceSource>;

pub(super) fn parts(config: &RunConfig<QtOptConfig>) -> anyhow::Result<(QLearner, ExperienceSource)> {
    let seed = Seed(config.seed);
    let open: EnvOpener = Box::new(|| Ok(Box::new(Table::new()) as Box<dyn EpisodeCollector>));
    Ok((
        QLearner::new(&config.learner, config.data.space, seed, &HOST)?,
        ExperienceSource::new(&config.learner, seed, open),
    ))
}

pub(super) fn create(root: &Path, steps: u64) -> anyhow::Result<TableTrainer> {
    let (learner, source) = parts(&config(steps))?;
    Ok(Trainer::create(root, config(steps), learner, source)?)
}

pub(super) fn resume(root: &Path) -> anyhow::Result<TableTrainer> {
    let (learner, source) = parts(&config(1))?;
    let (trainer, warnings) = Trainer::resume(root, learner, source)?;
    assert!(warnings.is_empty(), "{warnings:?}");
    Ok(trainer)
}

/// Starts or resumes a run, for at most `patience` steps of this process, on `threads` threads. Also returns the success of
/// policy and script.
pub(super) fn go(
    root: &Path,
    steps: Option<u64>,
    patience: u64,
    threads: usize,
) -> anyhow::Result<(Outcome, [f64; 2])> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(64 << 20).build()?;
    pool.install(|| {
        let mut trainer = if let Some(steps) = steps { create(root, steps)? } else { resume(root)? };
        let outcome = trainer.run(&mut Patience(patience))?;
        Ok((outcome, trainer.source.success()))
    })
}

#[test]
fn it_learns_to_reach_from_pixels() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    let (outcome, [greedy, scripted]) = go(&root, Some(2400), u64::MAX, 2)?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Complete, 2400));
    assert!(scripted < 0.4, "the script succeeds in {scripted}");
    assert!(greedy > 0.7, "the policy succeeds in {greedy}");
    // The memory kept its bounds.
    let trainer = resume(&root)?;
    let stream = &trainer.source.simulation;
    assert!(stream.off_policy.len() <= 1024 && stream.on_policy.len() <= 1024);
    drop(trainer);
    let loaded = load_policy(&root, &HOST)?;
    let episodes = with_large_stack(|| {
        let mut table = Table::new();
        play(
            &mut table,
            Some(loaded.policy.cem_policy()),
            &ExplorationConfig::default(),
            &[BehaviorPolicy::Greedy; 100],
            Seed(77),
        )
    })??;
    let successes = episodes.iter().filter(|episode| episode.success).count();
    assert!(successes > 70, "{successes} of 100 with the loaded policy");
    Ok(())
}

#[test]
fn killed_and_resumed_is_the_same_run_on_any_number_of_threads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    go(&whole, Some(200), u64::MAX, 2)?;
    // Interrupted in the middle of an iteration.
    let (first, _) = go(&broken, Some(200), 67, 1)?;
    assert_eq!((first.ended, first.steps), (Ended::Interrupted, 67));
    // Killed behind a checkpoint: what came after it is played again.
    go(&broken, None, 50, 3)?;
    let checkpoints = Checkpoints::new(broken.join("checkpoints"));
    assert_eq!(checkpoints.steps()?, [66, 79, 116]);
    std::fs::remove_dir_all(checkpoints.path(116))?;
    std::fs::remove_dir_all(checkpoints.path(79))?;
    go(&broken, None, u64::MAX, 3)?;
    let file = |root: &Path, name: &str| std::fs::read(root.join("checkpoints/step-000000199").join(name));
    for name in [
        "q.safetensors",
        "q_averaged.safetensors",
        "q_target_2.safetensors",
        "q_adam.safetensors",
        "training_buffer_simulation.safetensors",
        "state.json",
    ] {
        assert!(file(&whole, name)? == file(&broken, name)?, "{name} differs");
    }
    assert!(std::fs::read(whole.join("metrics.jsonl"))? == std::fs::read(broken.join("metrics.jsonl"))?);
    Ok(())
}

/// The files of a replay are those that checkpoints name, also when the process that wrote the older ones is gone.
#[test]
fn a_resumed_run_removes_what_no_checkpoint_names() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    go(&root, Some(240), u64::MAX, 2)?;
    let checkpoints = Checkpoints::new(root.join("checkpoints"));
    let named = || -> anyhow::Result<std::collections::BTreeSet<String>> {
        let mut names = std::collections::BTreeSet::new();
        for step in checkpoints.steps()? {
            let state = checkpoints.load(step)?.state;
            for replay in ["off_policy", "on_policy"] {
                let replay_state = &state["learner"]["source"]["streams"][0][replay];
                let first = replay_state["first"].as_u64().unwrap_or_default();
                let segments = replay_state["segments"].as_array().cloned().unwrap_or_default();
                names.extend((first..).zip(&segments).map(|(number, segment)| {
                    let length = segment[0].as_u64().unwrap_or_default();
                    format!("{}-{number:06}-{length:06}.bin", replay.replace('_', "-"))
                }));
            }
        }
        Ok(names)
    };
    let files = || -> anyhow::Result<std::collections::BTreeSet<String>> {
        let entries = std::fs::read_dir(root.join("replay"))?;
        Ok(entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<std::io::Result<_>>()?)
    };
    let before = files()?;
    assert_eq!(before, named()?);
    with_large_stack(|| {
        let mut trainer = resume(&root)?;
        trainer.set_limits(crate::train::Limits { steps: Some(320), minutes: None })?;
        anyhow::Ok(trainer.run(&mut Patience(u64::MAX))?)
    })??;
    assert_eq!(files()?, named()?);
    assert!(!before.is_subset(&files()?), "the oldest checkpoint's files are gone");
    Ok(())
}

/// A state that is not the one that is there.
pub(super) fn garbage(rng: &mut Rng) -> PrivilegedState {
    let heights: Vec<f32> = (0..CELLS).map(|_| rng.range(0.0, 0.2)).collect();
    let place = Vec2::new(rng.range(-0.2, 0.2), rng.range(-0.2, 0.2));
    let state = PrivilegedState::new(&heights, Some(rng.range(-0.1, 0.1)), place, rng.range(-3.0, 3.0));
    state.with_grip(rng.range(0.0, 0.1), rng.range(0.0, 30.0))
}

/// The leak rule for a run: without labels nothing privileged reaches a weight, of the simulator or of a recording.
#[test]
fn without_labels_garbage_in_privileged_state_changes_no_byte() -> anyhow::Result<()> {
    let weights = |supervision: EncoderSupervision, spoilt: bool| -> anyhow::Result<Vec<Vec<u8>>> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("run");
        with_large_stack(|| {
            let mut config = config(45);
            config.learner.encoder_supervision = supervision;
            let seed = Seed(config.seed);
            let table = Table::new().spoilt(spoilt);
            let open: EnvOpener = Box::new(move || Ok(Box::new(table) as Box<dyn EpisodeCollector>));
            let learner = QLearner::new(&config.learner, config.data.space, seed, &HOST)?;
            let mut source = ExperienceSource::new(&config.learner, seed, open);
            let mut rng = Seed(4).rng();
            let recorded = recording()?.into_iter().map(|mut episode| {
                if spoilt {
                    episode.seed = Seed(rng.next_u64());
                    episode.transitions.iter_mut().for_each(|t| t.record.privileged = garbage(&mut rng));
                }
                Ok(episode)
            });
            source.add_real(recorded)?;
            Trainer::create(&root, config, learner, source)?.run(&mut Patience(u64::MAX))?;
            let checkpoint = root.join("checkpoints/step-000000044");
            let read = |name| std::fs::read(checkpoint.join(name));
            Ok(vec![read("q.safetensors")?, read("q_averaged.safetensors")?, read("q_adam.safetensors")?])
        })?
    };
    let expected = weights(EncoderSupervision::QGradient, false)?;
    assert!(weights(EncoderSupervision::QGradient, true)? == expected, "privileged state reached the weights");
    // With labels it does, so that the comparison can fail.
    assert!(weights(EncoderSupervision::Labels, true)? != weights(EncoderSupervision::Labels, false)?);
    Ok(())
}

/// A recording of the toy: scripted episodes without privileged state.
pub(in crate::rl) fn recording() -> anyhow::Result<Vec<Episode>> {
    let plan = [BehaviorPolicy::Scripted; 40];
    let mut episodes = play(&mut Table::new(), None, &ExplorationConfig::none(), &plan, Seed(5))?;
    for transition in episodes.iter_mut().flat_map(|episode| &mut episode.transitions) {
        transition.record.privileged = PrivilegedState::UNKNOWN;
    }
    Ok(episodes)
}

#[test]
fn each_half_of_a_batch_is_a_mean_and_a_weight_is_on_the_real_one() -> anyhow::Result<()> {
    let config = config(1);
    let transitions: Vec<_> = recording()?.into_iter().flat_map(|episode| episode.transitions).take(24).collect();
    let samples = Samples {
        images: transitions.iter().map(|transition| transition.image.clone()).collect(),
        records: transitions.iter().map(|transition| transition.record).collect(),
        targets: (0..24).map(|i| 0.03 * i as f32).collect(),
        ..Samples::default()
    };
    let loss = |real: usize, real_weight: f32| -> anyhow::Result<f64> {
        let mut learner = QLearner::new(&config.learner, SPACE, Seed(2), &HOST)?;
        let batch = QBatch { samples: samples.clone(), real, real_weight, rng: Seed(3).rng() };
        Ok(learner.learn(&batch, 1.0)?.loss)
    };
    // 18 simulated transitions and 6 real ones: s + w r for weights 0, 1 and 3, and (18 s + 6 r) / 24 without halves.
    let simulated = loss(6, 0.0)?;
    let real = loss(6, 1.0)? - simulated;
    assert!((simulated - real).abs() > 1e-3, "{simulated} {real}");
    assert!((loss(6, 3.0)? - simulated - 3.0 * real).abs() < 1e-5);
    assert!((loss(0, 0.0)? - (18.0 * simulated + 6.0 * real) / 24.0).abs() < 1e-5);
    Ok(())
}

#[test]
fn a_warm_start_is_the_other_run_in_every_network() -> anyhow::Result<()> {
    let config = config(1);
    let trained = QLearner::new(&config.learner, SPACE, Seed(8), &HOST)?;
    let mut learner = QLearner::new(&config.learner, SPACE, Seed(9), &HOST)?;
    learner.warm_start(trained.q.as_ref())?;
    let bytes = |learner: &mut QLearner, wanted: &str| -> anyhow::Result<_> {
        let mut modules = learner.modules().into_iter();
        let Some((_, Module::Network(store))) = modules.find(|(name, _)| *name == wanted) else {
            anyhow::bail!("there is no {wanted}")
        };
        Ok(to_bytes(&store.state_tensors()?)?)
    };
    let mut trained = trained;
    let expected = bytes(&mut trained, "q")?;
    for name in ["q", "q_averaged", "q_target_2", "q_target_2_pending"] {
        assert!(bytes(&mut learner, name)? == expected, "{name}");
    }
    let mut other = config.learner.clone();
    other.network.merged = 32;
    let mut other = QLearner::new(&other, SPACE, Seed(9), &HOST)?;
    assert!(other.warm_start(trained.q.as_ref()).is_err());
    Ok(())
}
