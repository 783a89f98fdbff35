//! Training with the end-to-end network: it learns where actions lead, resumes to the same bytes, and keeps the leak rule.

use super::diagnostics::area_under_curve;
use super::network::{
    AUXILIARY_HEAD, EncoderMode, EndToEndQConfig, QNetwork, image_activations, state_activations, state_of,
};
use super::privileged::CELLS;
use super::stream::Samples;
use super::train_tests::{Patience, SIZE, SPACE, Table, config as table_config, recording};
use super::*;
use crate::contract::{Action, EpisodeCollector, PrivilegedState, Rng, Seed};
use crate::nn::{HOST, with_large_stack};
use crate::rl::replay::{Record, Termination};
use crate::train::{Learner, RunConfig, Trainer};
use candle_core::Tensor;
use glam::Vec2;
use std::path::Path;

/// The toy's run with a network that fits its 16 pixels.
fn config(steps: u64, auxiliary_weight: f64) -> RunConfig<QtOptConfig> {
    let mut run = table_config(steps);
    run.learner = run.learner.with_network(QNetwork::EndToEnd);
    run.learner.shift = 0;
    run.learner.auxiliary_weight = auxiliary_weight;
    run.learner.end_to_end = Some(small_network());
    run
}

/// A network for images of 16 pixels.
pub(in crate::rl) fn small_network() -> EndToEndQConfig {
    EndToEndQConfig {
        filters: vec![12, 16],
        strides: vec![2, 1],
        embedding: 24,
        merged: 24,
        joint_filters: vec![24],
        joint_strides: vec![2],
        hidden: 32,
        auxiliary_width: 16,
    }
}

fn parts(run: &RunConfig<QtOptConfig>) -> anyhow::Result<(QLearner, ExperienceSource)> {
    let seed = Seed(run.seed);
    let open: EnvOpener = Box::new(|| Ok(Box::new(Table::new()) as Box<dyn EpisodeCollector>));
    let learner = QLearner::new(&run.learner, run.data.space, seed, &HOST)?;
    Ok((learner, ExperienceSource::new(&run.learner, seed, open)))
}

/// Images of a hand (green) and an object (red), moves of the hand, and whether they bring it over the object.
fn moves(count: usize, rng: &mut Rng) -> (Samples, Vec<bool>) {
    let (mut samples, mut hits) = (Samples::default(), Vec::new());
    for _ in 0..count {
        let hand = [rng.range(-0.5, 0.5), rng.range(-0.5, 0.5)];
        let object = hand.map(|at: f32| (at + rng.range(-0.6, 0.6)).clamp(-0.9, 0.9));
        let unit = [rng.range(-1.0, 1.0), rng.range(-1.0, 1.0)];
        let mut image = vec![0_u8; SIZE * SIZE * 3];
        for (pixel, rgb) in image.chunks_exact_mut(3).enumerate() {
            let at = [pixel % SIZE, pixel / SIZE].map(|i| (i as f32 + 0.5) / SIZE as f32 * 2.0 - 1.0);
            for (channel, place) in [object, hand].iter().enumerate() {
                let near = (at[0] - place[0]).abs().max((at[1] - place[1]).abs()) < 0.2;
                rgb[channel] = if near { 255 } else { 0 };
            }
        }
        // A whole step is half the image's width; rows point down.
        let reached = [hand[0] + 0.5 * unit[0], hand[1] - 0.5 * unit[1]];
        let hit = (0..2).all(|axis| (reached[axis] - object[axis]).abs() < 0.35);
        let action = Action { translation_m: [0.1 * unit[0], 0.1 * unit[1], 0.0], ..Action::default() };
        samples.images.push(image);
        samples.records.push(Record {
            state: state_of(1.0, 0.0),
            action: SPACE.features(&action),
            reward: 0.0,
            termination: Termination::None,
            exploratory: 0.0,
            privileged: PrivilegedState::new(&[0.0; CELLS], None, 0.2 * Vec2::new(hand[0], -hand[1]), 0.0),
        });
        samples.targets.push(f32::from(u8::from(hit)));
        hits.push(hit);
    }
    (samples, hits)
}

/// Logits of the averaged network for each sample's own action.
fn logits(learner: &QLearner, samples: &Samples) -> anyhow::Result<Vec<f32>> {
    let images: Vec<&[u8]> = samples.images.iter().map(Vec::as_slice).collect();
    let states: Vec<_> = samples.records.iter().map(|record| record.state).collect();
    let actions: Vec<_> = samples.records.iter().map(|record| record.action).collect();
    let q = learner.averaged.as_ref();
    let images = image_activations(&images, SIZE, 3, &HOST)?;
    let encoded = q.encode(&images, &state_activations(&states, &HOST)?, EncoderMode::Evaluate)?;
    Ok(super::bellman::logits_of(q, &encoded, &actions)?)
}

#[test]
fn it_learns_from_pixels_where_actions_lead() -> anyhow::Result<()> {
    let mut learner = QLearner::new(&config(1, 0.5).learner, SPACE, Seed(5), &HOST)?;
    let mut rng = Seed(6).rng();
    let (fresh, hits) = moves(400, &mut rng);
    let auc = |learner: &QLearner, samples: &Samples| -> anyhow::Result<f64> {
        let scores: Vec<(f32, bool)> = logits(learner, samples)?.into_iter().zip(hits.iter().copied()).collect();
        area_under_curve(&scores).ok_or_else(|| anyhow::anyhow!("only one kind"))
    };
    assert!((0.35..0.65).contains(&auc(&learner, &fresh)?), "it knows before it has learned");
    let mut errors = Vec::new();
    for _ in 0..400 {
        let (samples, _) = moves(64, &mut rng);
        let figures = learner.learn(&QBatch { samples, real: 0, real_weight: 0.0, rng: rng.clone() }, 1.0)?;
        errors.push(figures.auxiliary);
    }
    let found = auc(&learner, &fresh)?;
    assert!(found > 0.9, "it tells moves to the object from others with {found}");
    // What it knows is of image and action together: from the image alone it knows how far the object is, and no more.
    let mut mixed = fresh.clone();
    mixed.records.rotate_left(1);
    let lost = auc(&learner, &mixed)?;
    assert!(lost < 0.7, "{lost} with the actions of others");
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    let (first, last) = (mean(&errors[..10]), mean(&errors[390..]));
    assert!(last < 0.3 * first, "the head's error is {last} after {first}");
    Ok(())
}

#[test]
fn killed_and_resumed_it_is_the_same_run_and_its_policy_loads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let go = |root: &Path, new: bool, patience: u64| -> anyhow::Result<()> {
        with_large_stack(|| {
            let run = config(60, 0.5);
            let (learner, mut source) = parts(&run)?;
            let mut trainer = if new {
                source.add_real(recording()?.into_iter().map(Ok))?;
                Trainer::create(root, run, learner, source)?
            } else {
                Trainer::resume(root, learner, source)?.0
            };
            trainer.run(&mut Patience(patience))?;
            anyhow::Ok(())
        })?
    };
    go(&whole, true, u64::MAX)?;
    go(&broken, true, 27)?;
    go(&broken, false, u64::MAX)?;
    let file = |root: &Path, name: &str| std::fs::read(root.join("checkpoints/step-000000059").join(name));
    for name in ["q.safetensors", "q_averaged.safetensors", "q_adam.safetensors", "training_buffer_real.safetensors"] {
        assert!(file(&whole, name)? == file(&broken, name)?, "{name} differs");
    }
    let loaded = load_policy(&whole, &HOST)?;
    assert_eq!(loaded.config.learner.q_network(), QNetwork::EndToEnd);
    assert!(loaded.policy.q.store().params().any(|param| param.name().starts_with(AUXILIARY_HEAD)));
    Ok(())
}

/// The bytes of Q after a few steps on the simulator and a recording.
fn trained(auxiliary_weight: f64, spoilt: [bool; 2]) -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    with_large_stack(|| {
        let run = config(25, auxiliary_weight);
        let open: EnvOpener =
            Box::new(move || Ok(Box::new(Table::new().spoilt(spoilt[0])) as Box<dyn EpisodeCollector>));
        let learner = QLearner::new(&run.learner, run.data.space, Seed(1), &HOST)?;
        let mut source = ExperienceSource::new(&run.learner, Seed(1), open);
        let mut rng = Seed(4).rng();
        let recorded = recording()?.into_iter().map(|mut episode| {
            if spoilt[1] {
                let garbage = |rng: &mut Rng| super::train_tests::garbage(rng);
                episode.transitions.iter_mut().for_each(|t| t.record.privileged = garbage(&mut rng));
            }
            Ok(episode)
        });
        source.add_real(recorded)?;
        Trainer::create(&root, run, learner, source)?.run(&mut Patience(u64::MAX))?;
        let read = |name| std::fs::read(root.join("checkpoints/step-000000024").join(name));
        Ok(vec![read("q.safetensors")?, read("q_adam.safetensors")?])
    })?
}

/// The leak rule: what a recording or, without a head, the simulator says of the hidden state moves no weight.
#[test]
fn privileged_state_reaches_weights_through_the_simulator_s_head_alone() -> anyhow::Result<()> {
    assert!(trained(0.0, [false; 2])? == trained(0.0, [true; 2])?, "without a head");
    let with_head = trained(0.5, [false; 2])?;
    assert!(with_head == trained(0.5, [false, true])?, "of a recording");
    assert!(with_head != trained(0.5, [true, false])?, "of the simulator it does, so that the comparison can fail");
    Ok(())
}

#[test]
fn a_warm_start_takes_the_same_network_with_or_without_the_head() -> anyhow::Result<()> {
    let learner = |weight: f64, seed: u64| QLearner::new(&config(1, weight).learner, SPACE, Seed(seed), &HOST);
    let tensors = |learner: &QLearner| -> anyhow::Result<Vec<(String, Vec<f32>)>> {
        let state = learner.q.store().state_tensors()?.into_iter();
        state.map(|(name, tensor): (String, Tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?))).collect()
    };
    for (theirs, ours) in [(0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5)] {
        let trained = learner(theirs, 8)?;
        let mut other = learner(ours, 9)?;
        let before = tensors(&other)?;
        other.warm_start(trained.q.as_ref())?;
        let (expected, found) = (tensors(&trained)?, tensors(&other)?);
        for ((name, after), (_, before)) in found.iter().zip(&before) {
            let kept = name.starts_with(AUXILIARY_HEAD) && theirs == 0.0;
            let taken = expected.iter().find(|(known, _)| known == name).map_or(before, |(_, values)| values);
            assert!(after == if kept { before } else { taken }, "{name} from {theirs} to {ours}");
        }
    }
    let estimating = QLearner::new(&table_config(1).learner, SPACE, Seed(8), &HOST)?;
    assert!(learner(0.0, 9)?.warm_start(estimating.q.as_ref()).is_err());
    assert_eq!(learner(0.0, 9)?.modules().len(), 5);
    Ok(())
}
