//! Selective gradients by the bytes of every store, the failures that the watches are for, exact resume.

use super::batch::JointBatch;
use super::watch;
use super::*;
use crate::contract::{EpisodeCollector, PrivilegedState, Seed};
use crate::gan::cyclegan::{Method, SceneLoss};
use crate::nn::ops::GradientSource;
use crate::nn::{Activations, HOST, backward, with_large_stack};
use crate::rl::qtopt::EnvOpener;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode, play};
use crate::rl::qtopt::end_to_end_train_tests::small_network;
use crate::rl::qtopt::privileged::CELLS;
use crate::rl::qtopt::train_tests::{Patience, SIZE, SPACE, Table, config as q_run, recording};
use crate::train::state::to_bytes;
use crate::train::{BatchSource, Checkpoints, Learner, Limits, Module, RunConfig, StepProgress, Trainer};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn config(method: Method) -> RlCycleGanConfig {
    let mut config = RlCycleGanConfig::preset(method, crate::train::Preset::Small);
    config.qtopt = q_run(1).learner;
    config.qtopt.exploration.initial_episodes = 40;
    config.qtopt.updates_per_iteration = 20;
    config.gan.size = SIZE;
    config.gan.batch = 4;
    (config.gan.generator.filters, config.gan.generator.bottleneck) = (vec![8, 12], 0);
    (config.gan.discriminator.filters, config.gan.discriminator.strides) = (vec![8], vec![2]);
    config.gan.discriminator.scales = 1;
    config.gan.warm_start_steps = 3;
    config.gan.image_pool = 5;
    config.gan.scene_interval = 1;
    if let Some(balance) = &mut config.gan.balance {
        (balance.start_step, balance.num_steps) = (2, 2);
    }
    (config.scene.least_auc, config.scene.actions) = (0.0, 4);
    (config.held_out_episodes, config.judged_episodes, config.sim_episodes) = (8, 4, 40);
    config
}

pub(super) fn run_config(method: Method, steps: u64) -> RunConfig<RlCycleGanConfig> {
    let run = q_run(1);
    let data = RlCycleGanData {
        env: run.data.env,
        script: run.data.script,
        space: SPACE,
        init: PathBuf::new(),
        real: PathBuf::new(),
    };
    let limits = Limits { steps: Some(steps), minutes: None };
    RunConfig {
        seed: 3,
        log_interval: 5,
        image_interval: 20,
        checkpoint_interval: 10,
        limits,
        data,
        learner: config(method),
    }
}

pub(super) fn parts(config: &RunConfig<RlCycleGanConfig>) -> anyhow::Result<(RlCycleGanLearner, JointSource)> {
    let seed = Seed(config.seed);
    let open: EnvOpener = Box::new(|| Ok(Box::new(Table::new()) as Box<dyn EpisodeCollector>));
    Ok((RlCycleGanLearner::new(&config.learner, SPACE, seed, &HOST)?, JointSource::new(&config.learner, seed, open)))
}

/// Episodes of the toy as a finished run and a recording would hold them; y is darker.
pub(super) fn fill(source: &mut JointSource) -> anyhow::Result<()> {
    fill_with(source, recording()?)
}

fn fill_with(source: &mut JointSource, mut recorded: Vec<Episode>) -> anyhow::Result<()> {
    let quiet = crate::rl::qtopt::ExplorationConfig::none();
    let plan = [BehaviorPolicy::Scripted; 40];
    let replay = || crate::rl::replay::Replay::new("toy", SIZE * SIZE * 3, 64, 1000).with_masks(SIZE * SIZE);
    let mut replays = [replay(), replay()];
    for (replay, seed) in replays.iter_mut().zip([Seed(21), Seed(22)]) {
        play(&mut Table::new(), None, &quiet, &plan, seed)?
            .iter()
            .for_each(|episode| replay.push(&episode.transitions));
    }
    source.take_simulated([&replays[0], &replays[1]])?;
    for image in
        recorded.iter_mut().flat_map(|episode| &mut episode.transitions).map(|transition| &mut transition.image)
    {
        image.iter_mut().for_each(|value| *value = *value / 2 + 20);
    }
    source.take_recorded(recorded.into_iter().map(Ok))?;
    Ok(())
}

/// Tensors and their bytes by network or optimizer.
pub(super) type ModuleBytes = BTreeMap<&'static str, Vec<(String, Vec<u8>)>>;

/// The bytes of every network and optimizer by name.
pub(super) fn bytes(learner: &mut RlCycleGanLearner) -> anyhow::Result<ModuleBytes> {
    let mut all = BTreeMap::new();
    for (name, module) in learner.modules() {
        let tensors = match module {
            Module::Network(store) => store.state_tensors()?,
            Module::Optimizer(adam) => adam.state_tensors()?,
        };
        let tensors = to_bytes(&tensors)?.into_iter().map(|(name, tensor)| (name, tensor.data.into_owned()));
        all.insert(name, tensors.collect());
    }
    Ok(all)
}

/// A learner and its batch of `step`.
pub(super) fn with_batch(
    config: &RunConfig<RlCycleGanConfig>,
    step: u64,
) -> anyhow::Result<(RlCycleGanLearner, JointSource, JointBatch)> {
    let (learner, mut source) = parts(config)?;
    fill(&mut source)?;
    source.next(&learner, StepProgress { step: 0, done: 0.0 })?;
    let batch = source.next(&learner, StepProgress { step, done: 0.0 })?;
    Ok((learner, source, batch))
}

#[test]
fn the_scene_term_moves_the_generators_alone_and_q_s_loss_q_alone() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        gradients_are_selective(run.clone())?;
        // Behind the end-to-end network too.
        run.learner.qtopt.end_to_end = Some(small_network());
        run.learner.qtopt.auxiliary_weight = 0.0;
        gradients_are_selective(run)
    })?
}

fn gradients_are_selective(mut run: RunConfig<RlCycleGanConfig>) -> anyhow::Result<()> {
    (run.learner.gan.warm_start_steps, run.learner.gan.balance) = (0, None);
    let after_of = |frozen_q: bool, q_interval: u64, scene: f64, steps_before: u64| -> anyhow::Result<_> {
        let mut run = run.clone();
        run.learner.scene.frozen_q = frozen_q;
        (run.learner.q_interval, run.learner.gan.weights.scene) = (q_interval, scene);
        let (mut learner, _, batch) = with_batch(&run, 1)?;
        // So that no step with a number that the interval divides is taken.
        learner.set_step(steps_before);
        let before = bytes(&mut learner)?;
        learner.update(&batch, 1.0)?;
        Ok((before, bytes(&mut learner)?))
    };
    let after = |q_interval: u64, scene: f64, steps_before: u64| after_of(false, q_interval, scene, steps_before);
    let changed = |(before, after): &(ModuleBytes, ModuleBytes)| -> Vec<&'static str> {
        after.iter().filter(|(name, bytes)| before.get(*name) != Some(*bytes)).map(|(name, _)| *name).collect()
    };
    let is_q = |name: &&str| name.starts_with("q_");
    let generators_only = after(1000, 10.0, 1)?;
    assert!(!changed(&generators_only).iter().any(is_q), "{:?}", changed(&generators_only));
    for name in ["sim2real", "real2sim", "real_discriminator", "sim_discriminator"] {
        assert!(changed(&generators_only).contains(&name), "{name}");
    }
    // L_RL changes Q, and of the rest nothing: the generators end in the same bytes with it and without.
    let both = after(1, 10.0, 1)?;
    assert!(changed(&both).contains(&"q_sim") && changed(&both).contains(&"q_real"));
    let rest = |state: &ModuleBytes| {
        state.iter().filter(|(name, _)| !is_q(name)).map(|(name, bytes)| (*name, bytes.clone())).collect::<Vec<_>>()
    };
    assert!(rest(&both.1) == rest(&generators_only.1));
    // Frozen Q-functions hold the generators all the same, and learn nothing.
    let frozen = after_of(true, 1, 10.0, 1)?;
    assert!(!changed(&frozen).iter().any(is_q), "{:?}", changed(&frozen));
    assert!(frozen.1 == generators_only.1);
    // And the scene term does reach G and F.
    let without = after(1000, 0.0, 1)?;
    assert!(without.1["sim2real"] != generators_only.1["sim2real"]);
    assert!(without.1["real2sim"] != generators_only.1["real2sim"]);
    assert!(without.1["real_discriminator"] == generators_only.1["real_discriminator"]);
    Ok(())
}

#[test]
fn the_scene_terms_gradient_is_the_same_with_q_frozen_and_sums_to_zero_over_a_triple() -> anyhow::Result<()> {
    with_large_stack(|| {
        let run = run_config(Method::RlCycleGan, 10);
        let (learner, _, batch) = with_batch(&run, 1)?;
        let Some(q) = learner.q() else { anyhow::bail!("no Q") };
        let mut scene_config = run.learner.scene;
        (scene_config.observation_std, scene_config.logit_limit) = (0.0, 0.0);
        let scene = QScene {
            q_sim: q.sim.averaged.as_ref(),
            q_real: q.sim.averaged.as_ref(),
            config: &scene_config,
            ready: true,
            targets: [[&batch.sim.targets; 2], [&batch.real.targets; 2]],
            moved: [Vec::new(), Vec::new()],
        };
        let gradient = |freeze: bool, images: [&Tensor; 3]| -> anyhow::Result<(f64, Vec<Vec<f32>>)> {
            let vars = images.map(Var::from_tensor);
            let vars = vars.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
            let x = vars
                .iter()
                .map(|var| Activations::from_tensor(var.as_tensor()))
                .collect::<candle_core::Result<Vec<_>>>()?;
            let _frozen: Vec<_> =
                if freeze { scene.stores().into_iter().map(|store| store.freeze()).collect() } else { Vec::new() };
            let y = Activations::from_tensor(&batch.unpaired.y)?;
            let term = scene.loss([&x[0], &x[1], &x[2]], [&y, &y, &y], &batch.unpaired, Seed(1))?;
            let gradients = backward(&term.loss)?;
            if freeze {
                for param in scene.q_sim.store().params() {
                    assert!(gradients.tensor(param.var())?.is_none(), "{} has a gradient", param.name());
                }
            }
            let of = |var: &Var| -> anyhow::Result<Vec<f32>> {
                let Some(gradient) = gradients.tensor(var)? else { anyhow::bail!("no gradient at an image") };
                Ok(gradient.flatten_all()?.to_vec1()?)
            };
            Ok((f64::from(term.loss.to_scalar::<f32>()?), vars.iter().map(of).collect::<anyhow::Result<_>>()?))
        };
        let x = &batch.unpaired.x;
        let darker = (x * 0.7)?;
        let (loss, frozen) = gradient(true, [x, &darker, x])?;
        assert!(loss > 0.0);
        assert_eq!(gradient(false, [x, &darker, x])?.1, frozen);
        // Three of one picture agree: no gradient.
        let (none, flat) = gradient(true, [x, x, x])?;
        assert!(none.abs() < 1e-9 && flat.iter().flatten().all(|g| g.abs() < 1e-9), "{none}");
        // The first and the third are one picture: their gradients are the same.
        assert_eq!(frozen[0], frozen[2]);
        assert!(frozen[1].iter().any(|g| g.abs() > 1e-7));
        Ok(())
    })?
}

#[test]
fn a_q_that_has_become_uniform_raises_its_alarm_and_a_healthy_one_does_not() -> anyhow::Result<()> {
    with_large_stack(|| {
        let run = run_config(Method::RlCycleGan, 10);
        let (mut learner, mut source, batch) = with_batch(&run, 1)?;
        let samples = [&batch.sim, &batch.real];
        let held_out = source.held_out().clone();
        let look = |learner: &RlCycleGanLearner| watch::watches(learner, &batch.unpaired, samples, &held_out, Seed(1));
        let first = look(&learner)?;
        assert!(first.iter().any(|(name, value)| name == watch::SPREAD_REAL && *value > 0.0), "{first:?}");
        assert!(watch::alarms(&first, &look(&learner)?).is_empty());
        for (name, module) in learner.modules() {
            if let (watch_name, Module::Network(store)) = (name, module)
                && watch_name == learner::Q_REAL_AVERAGED
            {
                let zero = |(name, tensor): (String, Tensor)| Ok((name, tensor.zeros_like()?));
                let zeros = store.state_tensors()?.into_iter().map(zero).collect::<candle_core::Result<Vec<_>>>()?;
                store.load_state(&zeros)?;
            }
        }
        let alarms = watch::alarms(&first, &look(&learner)?);
        assert!(alarms.iter().any(|alarm| alarm.contains("Q_real becomes uniform")), "{alarms:?}");
        Ok(())
    })?
}

#[test]
fn end_to_end_gradients_pull_the_generators_by_q_s_own_loss() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        (run.learner.gan.warm_start_steps, run.learner.gan.balance) = (0, None);
        let after = |weight: f64| -> anyhow::Result<_> {
            let mut run = run.clone();
            run.learner.scene.end_to_end_weight = weight;
            let (mut learner, _, batch) = with_batch(&run, 1)?;
            let metrics = learner.update(&batch, 1.0)?;
            Ok((metrics.iter().any(|(name, _)| *name == "loss/rl_end_to_end"), bytes(&mut learner)?))
        };
        let (selective, end_to_end) = (after(0.0)?, after(1.0)?);
        assert_eq!((selective.0, end_to_end.0), (false, true));
        assert!(selective.1["sim2real"] != end_to_end.1["sim2real"]);
        assert!(selective.1["q_real"] == end_to_end.1["q_real"]);
        Ok(())
    })?
}

fn go(root: &Path, method: Method, steps: Option<u64>, patience: u64) -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut config = run_config(method, steps.unwrap_or(1));
        // With all that a setting adds.
        (config.learner.bellman_targets_of, config.learner.crop_shift) = (BellmanTargetsOf::Picture, 1);
        config.learner.qtopt.n_step = 1;
        let (learner, source) = parts(&config)?;
        let mut trainer = if steps.is_some() {
            let mut trainer = Trainer::create(root, config, learner, source)?;
            fill(&mut trainer.source)?;
            trainer
        } else {
            let (trainer, warnings) = Trainer::resume(root, learner, source)?;
            assert!(warnings.is_empty(), "{warnings:?}");
            trainer
        };
        trainer.run(&mut Patience(patience))?;
        anyhow::Ok(())
    })?
}

#[test]
fn killed_and_resumed_joint_runs_end_in_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for method in [Method::RlCycleGan, Method::GraspGan, Method::CycleGan] {
        let (whole, broken) =
            (folder.path().join(format!("{method}-whole")), folder.path().join(format!("{method}-broken")));
        go(&whole, method, Some(32), u64::MAX)?;
        go(&broken, method, Some(32), 14)?;
        // Killed behind a checkpoint.
        go(&broken, method, None, 15)?;
        let checkpoints = Checkpoints::new(broken.join("checkpoints"));
        let last = checkpoints.steps()?.pop().unwrap_or_default();
        std::fs::remove_dir_all(checkpoints.path(last))?;
        go(&broken, method, None, u64::MAX)?;
        let at = |root: &Path| root.join("checkpoints/step-000000031");
        let names =
            std::fs::read_dir(at(&whole))?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            let [a, b] = [&whole, &broken].map(|root| std::fs::read(at(root).join(&name)));
            assert!(a? == b?, "{method}: {} differs", name.to_string_lossy());
        }
        let lines = |root: &Path| std::fs::read(root.join("metrics.jsonl"));
        assert!(lines(&whole)? == lines(&broken)?, "{method}: metrics differ");
    }
    Ok(())
}

#[test]
fn what_only_a_simulator_knows_of_the_recording_changes_no_byte() -> anyhow::Result<()> {
    with_large_stack(|| {
        let after = |method: Method, garbage: Option<f32>| -> anyhow::Result<ModuleBytes> {
            let (mut learner, mut source) = parts(&run_config(method, 20))?;
            let mut recorded = recording()?;
            for (index, episode) in recorded.iter_mut().enumerate() {
                let Some(value) = garbage else { continue };
                episode.seed = Seed((value * 1e3) as u64 + index as u64);
                for transition in &mut episode.transitions {
                    let place = glam::Vec2::splat(value);
                    transition.record.privileged =
                        PrivilegedState::new(&[value; CELLS], Some(value), place, value).with_grip(value, 9.0);
                    transition.mask = vec![(value * 1e3) as u8 % 5; SIZE * SIZE];
                }
            }
            fill_with(&mut source, recorded)?;
            for step in 0..20 {
                let batch = source.next(&learner, StepProgress { step, done: 0.0 })?;
                learner.update(&batch, 1.0)?;
            }
            bytes(&mut learner)
        };
        for method in [Method::RlCycleGan, Method::GraspGan] {
            let plain = after(method, None)?;
            let spoiled = |value: f32| -> anyhow::Result<bool> { Ok(after(method, Some(value))? == plain) };
            assert!(spoiled(0.03)? && spoiled(0.07)?, "{method}");
        }
        // The same garbage in x, whose labels may be read, does change Q.
        let config = run_config(Method::RlCycleGan, 20);
        let (mut learner, _, mut batch) = with_batch(&config, 1)?;
        let mut other = parts(&config)?.0;
        for learner in [&mut learner, &mut other] {
            // Behind the warm start, and a step in which Q learns.
            learner.set_step(2 * config.learner.q_interval);
        }
        other.update(&batch, 1.0)?;
        let garbage = PrivilegedState::new(&[0.07; CELLS], None, glam::Vec2::splat(0.1), 0.4);
        batch.sim.records.iter_mut().for_each(|record| record.privileged = garbage);
        learner.update(&batch, 1.0)?;
        assert!(bytes(&mut learner)?["q_sim"] != bytes(&mut other)?["q_sim"]);
        Ok(())
    })?
}

#[test]
fn what_a_joint_run_hands_on_is_loaded_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    go(&root, Method::RlCycleGan, Some(6), u64::MAX)?;
    for backward in [false, true] {
        let loaded = load::load_generator(&root, backward, &HOST)?;
        assert_eq!((loaded.generator.size(), loaded.step), (SIZE, 5));
    }
    let [sim, real] = [load::JointQ::Sim, load::JointQ::Real].map(|which| load::load_q(&root, which, &HOST));
    assert_eq!((sim?.config.data.generator, real?.config.data.generator), (None, Some(root.clone())));
    // A copy of G stays when the run goes.
    let copy = folder.path().join("copy");
    load::load_generator(&root, false, &HOST)?.keep(&copy)?;
    std::fs::remove_dir_all(&root)?;
    let kept = crate::gan::cyclegan::load_generator(&copy, false, &HOST)?;
    assert_eq!(kept.step, 5);
    assert!(crate::gan::cyclegan::load_generator(&copy, true, &HOST).is_err());
    Ok(())
}
