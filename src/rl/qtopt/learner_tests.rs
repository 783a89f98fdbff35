use super::*;
use crate::contract::PrivilegedState;
use crate::contract::action_space::ActionFeatures;
use crate::contract::action_space::tests::SPACE;
use crate::nn::HOST;
use crate::rl::qtopt::bellman::sigmoid;
use crate::rl::qtopt::config::{EncoderSupervision, Preset};
use crate::rl::qtopt::network::{STATE_LEN, state_of};
use crate::rl::replay::{Record, Termination};
use anyhow::Context;

/// Transitions with one target.
fn samples(images: &[Vec<u8>], records: &[Record]) -> Samples {
    Samples {
        images: images.to_vec(),
        records: records.to_vec(),
        targets: vec![0.7; images.len()],
        ..Samples::default()
    }
}

fn batch(samples: &Samples, rng: &Rng) -> QBatch {
    QBatch { samples: samples.clone(), real: 0, real_weight: 0.0, rng: rng.clone() }
}

#[test]
fn lessons_are_taught_at_every_second_step_and_q_learns_at_all() -> anyhow::Result<()> {
    let config =
        QtOptConfig { size: 24, auxiliary_interval: 2, num_warmup_steps: 0, ..QtOptConfig::preset(Preset::Small) };
    let mut learner = QLearner::new(&config, SPACE, Seed(5), &HOST)?;
    let mut rng = Seed(6).rng();
    let images: Vec<Vec<u8>> = (0..20).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let known = PrivilegedState::new(
        &[0.03; crate::rl::qtopt::privileged::CELLS],
        Some(0.02),
        glam::Vec2::new(0.05, -0.03),
        0.4,
    );
    let record = Record {
        state: state_of(0.0, 1.2),
        action: SPACE.features(&SPACE.random(&mut rng)),
        reward: 0.0,
        termination: Termination::None,
        exploratory: 0.0,
        privileged: known,
    };
    let samples = samples(&images, &vec![record; images.len()]);
    let weights = |learner: &QLearner| -> anyhow::Result<Vec<(String, Vec<f32>)>> {
        let tensors = learner.q.store().state_tensors()?.into_iter();
        tensors.map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?))).collect()
    };
    for auxiliary_step in [true, false, true, false] {
        let before = weights(&learner)?;
        let figures = learner.learn(&batch(&samples, &rng), 1.0)?;
        assert_eq!(figures.auxiliary.is_nan(), !auxiliary_step);
        for ((name, before), (_, after)) in before.into_iter().zip(weights(&learner)?) {
            let auxiliary = learner.q.is_auxiliary_layer(&name);
            // The last layer of the second look begins with zeros, and its first one moves only once that does not.
            if !auxiliary || name.starts_with("coarse_pose.conv0") || name.starts_with("height_map_decoder") {
                assert_eq!(before != after, auxiliary_step || !auxiliary, "{name}, auxiliary_step: {auxiliary_step}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_target_is_the_lower_of_two_critic_logits() -> anyhow::Result<()> {
    let config = QtOptConfig { size: 24, ..QtOptConfig::preset(Preset::Small) };
    let learner = QLearner::new(&config, SPACE, Seed(5), &HOST)?;
    let mut rng = Seed(6).rng();
    let images: Vec<Vec<u8>> = (0..6).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let states: Vec<_> = (0..6).map(|i| state_of((i % 2) as f32, 0.3 * i as f32)).collect();
    let next = |i: usize| (i > 0).then(|| (&images[i][..], states[i]));
    let transitions: Vec<NStepTransition<'_>> =
        (0..6).map(|i| NStepTransition { n_step_return: 0.4, discount: 0.8, next: next(i) }).collect();
    let labels = learner.bellman_targets(&transitions, Seed(7))?;
    assert!((labels.targets[0] - 0.4).abs() < 1e-6, "an episode that ended");
    for (i, target) in labels.targets.iter().enumerate().skip(1) {
        let images = image_activations(&[&images[i]], 24, 3, &HOST)?;
        let states_one = state_activations(&[states[i]], &HOST)?;
        let seeds = [Seed(7).derive("search", i as u64)];
        let encoded = learner.averaged.encode(&images, &states_one, EncoderMode::Evaluate)?;
        let may_end = [may_end(&config.cem, &states[i])];
        let found = &choose(learner.averaged.as_ref(), &encoded, (&SPACE, &config.cem), &may_end, &seeds)?[0];
        // The networks are all the same yet.
        let critics = learner.target_2.logits(&encoded, &[SPACE.features(&found.action)], false)?;
        let [first, second] = [0, 1].map(|i| critics[i].to_vec1::<f32>().map_or(f32::NAN, |logits| logits[0]));
        let mean = 0.5 * (first + second);
        assert!((first - second).abs() > 1e-4 && (found.logit - mean).abs() < 1e-4, "{first} {second}");
        let expected = 0.4 + 0.8 * sigmoid(mean).min(sigmoid(second));
        assert!((target - expected).abs() < 1e-4, "{target} {expected}");
    }
    assert!(labels.disagreement.abs() > 1e-4);
    Ok(())
}

/// Twenty images and what was done in them; `height_m` is what the simulator says of the objects.
fn experience(rng: &mut Rng, height_m: f32) -> (Vec<Vec<u8>>, Vec<Record>) {
    let images = (0..20).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let heights = [height_m; crate::rl::qtopt::privileged::CELLS];
    let record = |i: usize| Record {
        state: state_of((i % 2) as f32, 1.2 - 0.03 * i as f32),
        action: SPACE.features(&SPACE.random(rng)),
        reward: 0.0,
        termination: crate::rl::replay::Termination::None,
        exploratory: 0.0,
        privileged: PrivilegedState::new(&heights, Some(0.02), glam::Vec2::new(height_m, -0.03), 0.4),
    };
    (images, (0..20).map(record).collect())
}

/// Tensors by name.
type Named = Vec<(String, Vec<f32>)>;

fn tensors(state: Vec<(String, Tensor)>) -> anyhow::Result<Named> {
    let floats = |(name, tensor): (String, Tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?));
    state.into_iter().map(floats).collect()
}

#[test]
fn without_labels_q_teaches_the_encoder_and_nothing_privileged_is_read() -> anyhow::Result<()> {
    let mut config = QtOptConfig { size: 24, num_warmup_steps: 0, ..QtOptConfig::preset(Preset::Small) };
    config.encoder_supervision = EncoderSupervision::QGradient;
    config.network.map_features = 2;
    config.network.grip_features = 3;
    let train = |height_m: f32| -> anyhow::Result<[Named; 2]> {
        let mut learner = QLearner::new(&config, SPACE, Seed(5), &HOST)?;
        let before = tensors(learner.q.store().state_tensors()?)?;
        let (images, records) = experience(&mut Seed(6).rng(), height_m);
        let samples = samples(&images, &records);
        for step in 0..3 {
            let figures = learner.learn(&batch(&samples, &Seed(step).rng()), 1.0)?;
            assert!(figures.auxiliary.is_nan());
        }
        Ok([before, tensors(learner.q.store().state_tensors()?)?])
    };
    let [before, after] = train(0.01)?;
    assert!(after == train(0.11)?[1], "what the simulator knows has moved a weight");
    let moved = |name: &str| {
        let mut both = before.iter().zip(&after).filter(|((found, _), _)| found == name);
        both.next().map(|((_, before), (_, after))| before != after)
    };
    for name in ["grip_encoder.conv0.weight", "grip_encoder.hidden.weight", "grip_features.weight"] {
        assert_eq!(moved(name), Some(true), "{name}");
    }
    let decoder = before.iter().filter(|(name, _)| name.starts_with("height_map_decoder.") && name.ends_with("weight"));
    for (name, _) in decoder {
        assert_eq!(moved(name), Some(true), "{name}");
    }
    // Where the hand is was learned from labels and stays.
    for name in ["coarse_pose.conv0.weight", "coarse_pose.output.weight", "fine_pose.output.weight"] {
        assert_eq!(moved(name), Some(false), "{name}");
    }
    Ok(())
}

/// Figures, gradients (Adam's first moments) and targets of one step.
type Step = (StepFigures, Named, Vec<f32>);

fn one_step() -> anyhow::Result<Step> {
    let mut config = QtOptConfig { size: 24, num_warmup_steps: 0, ..QtOptConfig::preset(Preset::Small) };
    config.auxiliary_interval = 1;
    config.network.map_features = 2;
    config.network.grip_features = 3;
    let mut learner = QLearner::new(&config, SPACE, Seed(5), &HOST)?;
    for param in learner.q.store().params().filter(|param| param.name() == "coarse_pose.output.weight") {
        // The bits of the pose decide how crops are moved: they must be the same on both paths.
        param.var().set(&param.var().zeros_like()?)?;
    }
    let mut rng = Seed(6).rng();
    let (images, records) = experience(&mut rng, 0.03);
    let samples = samples(&images, &records);
    let next = |i: usize| Some((&images[i][..], records[i].state));
    let transitions: Vec<_> =
        (0..20).map(|i| NStepTransition { n_step_return: 0.1, discount: 0.8, next: next(i) }).collect();
    let targets = learner.bellman_targets(&transitions, Seed(7))?.targets;
    let figures = learner.learn(&batch(&samples, &rng), 1.0)?;
    let moments = learner.adam.state_tensors()?.into_iter().filter(|(name, _)| name.ends_with(".exp_avg"));
    Ok((figures, tensors(moments.collect())?, targets))
}

#[test]
fn the_stock_path_takes_the_same_step() -> anyhow::Result<()> {
    let native = one_step()?;
    let stock = crate::nn::ops::with_stock_path(one_step)??;
    for ((name, a), (_, b)) in native.0.named().iter().zip(stock.0.named()) {
        assert!((a - b).abs() <= 1e-3 * (0.1 + a.abs()), "{name}: {a} {b}");
    }
    assert_eq!(native.1.len(), stock.1.len());
    for ((name, a), (_, b)) in native.1.iter().zip(&stock.1) {
        let scale = a.iter().fold(1e-6_f32, |m, x| m.max(x.abs()));
        let apart = a.iter().zip(b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(apart <= 5e-3 * scale, "{name}: {apart} of {scale}");
    }
    assert!(native.2.iter().zip(&stock.2).all(|(a, b)| (a - b).abs() < 1e-3), "{:?} {:?}", native.2, stock.2);
    Ok(())
}

/// What each critic says of one action in one picture of 24 x 24 pixels.
fn critic_logits(
    q: &dyn QFunction,
    (image, channels): (&[u8], usize),
    state: [f32; STATE_LEN],
    action: ActionFeatures,
) -> anyhow::Result<Vec<f32>> {
    let images = image_activations(&[image], 24, channels, &HOST)?;
    let encoded = q.encode(&images, &state_activations(&[state], &HOST)?, EncoderMode::Evaluate)?;
    let critics = q.logits(&encoded, &[action], false)?;
    Ok(critics.iter().map(|logits| logits.to_vec1::<f32>()).collect::<candle_core::Result<Vec<_>>>()?.concat())
}

#[test]
fn behind_a_generator_a_warm_start_says_what_the_picture_alone_said() -> anyhow::Result<()> {
    let mut plain = QtOptConfig { size: 24, auxiliary_interval: 1, ..QtOptConfig::preset(Preset::Small) };
    (plain.network.map_features, plain.network.grip_features) = (2, 4);
    let both = QtOptConfig { channels: 6, ..plain.clone() };
    let trained = QLearner::new(&plain, SPACE, Seed(5), &HOST)?;
    let mut learner = QLearner::new(&both, SPACE, Seed(8), &HOST)?;
    learner.warm_start(trained.averaged.as_ref())?;
    let mut rng = Seed(6).rng();
    let mut picture = || -> Vec<u8> { (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect() };
    let (generated, source) = (picture(), picture());
    let pixels = generated.chunks_exact(3).zip(source.chunks_exact(3));
    let pair: Vec<u8> = pixels.flat_map(|(generated, source)| [generated, source].concat()).collect();
    let action = SPACE.features(&SPACE.random(&mut Seed(9).rng()));
    let says =
        |q: &dyn QFunction, image: &[u8], channels| critic_logits(q, (image, channels), state_of(1.0, 0.6), action);
    let wanted = says(trained.averaged.as_ref(), &generated, 3)?;
    for network in [&learner.q, &learner.averaged, &learner.target_2] {
        let found = says(network.as_ref(), &pair, 6)?;
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }
    // With the generator's mask and depth behind both pictures, too.
    let mapped = QtOptConfig { channels: 8, ..plain.clone() };
    let mut with_maps = QLearner::new(&mapped, SPACE, Seed(8), &HOST)?;
    with_maps.warm_start(trained.averaged.as_ref())?;
    let image: Vec<u8> = pair.chunks_exact(6).flat_map(|pixel| [pixel, &[255, pixel[0]]].concat()).collect();
    for (found, wanted) in says(with_maps.q.as_ref(), &image, 8)?.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
    }
    // The other way round there is nothing to take over from, and another width is another network.
    let mut narrow = QLearner::new(&plain, SPACE, Seed(8), &HOST)?;
    assert!(narrow.warm_start(learner.averaged.as_ref()).is_err());
    Ok(())
}

#[test]
fn with_features_of_its_own_a_warm_start_says_the_same_and_may_learn_them() -> anyhow::Result<()> {
    let plain = QtOptConfig { size: 24, auxiliary_interval: 1, ..QtOptConfig::preset(Preset::Small) };
    let mut wide = plain.clone();
    (wide.network.map_features, wide.network.grip_features) = (2, 4);
    let behind_generator = QtOptConfig { channels: 6, ..wide.clone() };
    let trained = QLearner::new(&plain, SPACE, Seed(5), &HOST)?;
    let mut rng = Seed(6).rng();
    let picture: Vec<u8> = (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect();
    let pair: Vec<u8> = picture.chunks_exact(3).flat_map(|pixel| [pixel, pixel].concat()).collect();
    let action = SPACE.features(&SPACE.random(&mut Seed(9).rng()));
    let says =
        |q: &dyn QFunction, image: &[u8], channels| critic_logits(q, (image, channels), state_of(1.0, 0.6), action);
    let wanted = says(trained.averaged.as_ref(), &picture, 3)?;
    for (config, image) in [(&wide, &picture), (&behind_generator, &pair)] {
        let mut learner = QLearner::new(config, SPACE, Seed(8), &HOST)?;
        learner.warm_start(trained.averaged.as_ref())?;
        for network in [&learner.q, &learner.averaged, &learner.target_2] {
            let found = says(network.as_ref(), image, config.channels)?;
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
            }
        }
        // The new features are not zero, only what reads them is: Q's gradient reaches both.
        let state = learner.q.store().state_tensors()?;
        let of = |name: &str| state.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.clone());
        let features = of("grip_features.weight").context("no features of the grip")?;
        assert!(features.sqr()?.sum_all()?.to_scalar::<f32>()? > 0.0);
    }
    // Features are not taken away again.
    let wide = QLearner::new(&wide, SPACE, Seed(8), &HOST)?;
    let mut narrow = QLearner::new(&plain, SPACE, Seed(8), &HOST)?;
    assert!(narrow.warm_start(wide.averaged.as_ref()).is_err());
    Ok(())
}

#[test]
fn an_agent_that_measures_its_gripper_may_begin_with_one_that_does_not() -> anyhow::Result<()> {
    let measuring = QtOptConfig { size: 24, ..QtOptConfig::preset(Preset::Small) };
    let mut published = measuring.clone();
    published.network.measured_width = 0;
    let trained = QLearner::new(&published, SPACE, Seed(5), &HOST)?;
    let mut learner = QLearner::new(&measuring, SPACE, Seed(8), &HOST)?;
    let mut rng = Seed(6).rng();
    let picture: Vec<u8> = (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect();
    let action = SPACE.features(&SPACE.random(&mut Seed(9).rng()));
    let says = |q: &dyn QFunction, state| critic_logits(q, (&picture, 3), state, action);
    let state = state_of(1.0, 0.6);
    let mut blocked = state;
    blocked[6] += 1.5;
    // It counts from the beginning where nothing was taken over, and not at all where the trained one did not know of it.
    assert_ne!(says(learner.q.as_ref(), state)?, says(learner.q.as_ref(), blocked)?);
    assert_eq!(says(trained.q.as_ref(), state)?, says(trained.q.as_ref(), blocked)?);
    learner.warm_start(trained.averaged.as_ref())?;
    assert_eq!(says(learner.q.as_ref(), blocked)?, says(trained.averaged.as_ref(), state)?);
    Ok(())
}
