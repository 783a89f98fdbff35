//! What stands beside the pictures: a Bellman target for each of them, masks of the simulated ones.

use super::config::BellmanTargetsOf;
use super::tests::{bytes, parts, run_config, with_batch};
use super::*;
use crate::contract::{Class, Seed};
use crate::gan::cyclegan::{Generator, Method};
use crate::gan::images::to_bytes;
use crate::nn::{HOST, with_large_stack};
use crate::rl::qtopt::QLearner;
use crate::rl::qtopt::bellman::{bellman_target, choose, last_logits_of, value_of};
use crate::rl::qtopt::network::{EncoderMode, QFunction, image_activations, may_end, state_activations};
use crate::rl::qtopt::stream::Samples;
use crate::rl::qtopt::train_tests::{SIZE, SPACE};
use crate::train::{BatchSource, Learner, StepProgress};

/// Targets by the paper's words: the lower of two Q-functions' values of the best action that the search finds in the next
/// picture, seen through the generators.
fn by_hand(
    learner: &RlCycleGanLearner,
    (generators, q): (Vec<&Generator>, &dyn QFunction),
    samples: &Samples,
    seed: Seed,
) -> anyhow::Result<Vec<f32>> {
    let config = &learner.config().qtopt;
    let _frozen = q.store().freeze();
    let each = samples.outcomes.iter().enumerate().map(|(index, outcome)| {
        let Some((image, state)) = &outcome.next else {
            return Ok(bellman_target(outcome.n_step_return, true, outcome.discount, f32::NAN));
        };
        let mut seen = image_activations(&[image], SIZE, 3, &HOST)?;
        for generator in &generators {
            let _frozen = generator.store().freeze();
            seen = generator.forward(&seen)?;
        }
        let seen = to_bytes(&seen.to_tensor()?)?;
        let images = image_activations(&[&seen[0]], SIZE, 3, &HOST)?;
        let encoded = q.encode(&images, &state_activations(&[*state], &HOST)?, EncoderMode::Evaluate)?;
        let seeds = [seed.derive("search", index as u64)];
        let best = choose(q, &encoded, (&SPACE, &config.cem), &[may_end(&config.cem, state)], &seeds)?[0];
        // Both target networks are still as they were at the start.
        let other = value_of(last_logits_of(q, &encoded, &[SPACE.features(&best.action)])?[0]);
        Ok(bellman_target(outcome.n_step_return, false, outcome.discount, best.value().min(other)))
    });
    each.collect()
}

#[test]
fn each_of_the_six_pictures_has_a_bellman_target_of_its_own_where_that_is_set() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        run.learner.gan.batch = 12;
        (run.learner.gan.warm_start_steps, run.learner.gan.balance) = (0, None);
        // Most steps have a next one, and no noise lies over what is compared.
        (run.learner.qtopt.n_step, run.learner.scene.observation_std) = (1, 0.0);
        assert_eq!(run.learner.bellman_targets_of, BellmanTargetsOf::Scene);
        let (shared, _, batch) = with_batch(&run, 1)?;
        assert!(batch.sim.outcomes.is_empty());
        let [gx, fgx, fy, gfy] = shared.targets_of_translations(&batch, true)?;
        assert!(gx == batch.sim.targets && fgx == gx && fy == batch.real.targets && gfy == fy);

        run.learner.bellman_targets_of = BellmanTargetsOf::Picture;
        let (mut learner, _, batch) = with_batch(&run, 1)?;
        let own = learner.targets_of_translations(&batch, true)?;
        let (Some(q), g) = (learner.q(), learner.gan().sim2real()) else { anyhow::bail!("no Q") };
        let Some(f) = learner.gan().real2sim() else { anyhow::bail!("no F") };
        let (sim, real) = (q.sim.averaged.as_ref(), q.real.averaged.as_ref());
        let seed = learner.seed_of("translated-targets");
        let expected = [
            by_hand(&learner, (vec![g], real), &batch.sim, seed.derive("gx", 0))?,
            by_hand(&learner, (vec![g, f], sim), &batch.sim, seed.derive("fgx", 0))?,
            by_hand(&learner, (vec![f], sim), &batch.real, seed.derive("fy", 0))?,
            by_hand(&learner, (vec![f, g], real), &batch.real, seed.derive("gfy", 0))?,
        ];
        let ends = batch.sim.outcomes.iter().filter(|outcome| outcome.next.is_none()).count();
        assert!((1..12).contains(&ends), "{ends} of 12 end");
        for (own, expected) in own.iter().zip(&expected) {
            assert!(own.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3), "{own:?} {expected:?}");
        }
        // They are others than the original's, but where nothing follows.
        assert!(own[0] != batch.sim.targets && own[0] != own[1] && own[2] != own[3]);
        for (outcome, (own, original)) in batch.sim.outcomes.iter().zip(own[0].iter().zip(&batch.sim.targets)) {
            assert!(outcome.next.is_some() || own == original);
        }
        // Q learns from them, and the generators end in the same bytes.
        run.learner.bellman_targets_of = BellmanTargetsOf::Scene;
        let mut shared = parts(&run)?.0;
        learner.update(&batch, 1.0)?;
        shared.update(&batch, 1.0)?;
        let (own, shared) = (bytes(&mut learner)?, bytes(&mut shared)?);
        assert!(own["q_sim"] != shared["q_sim"] && own["q_real"] != shared["q_real"]);
        assert!(own["sim2real"] == shared["sim2real"] && own["real2sim"] == shared["real2sim"]);
        Ok(())
    })?
}

#[test]
fn a_batch_without_outcomes_is_refused_where_each_picture_needs_its_own() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        run.learner.gan.warm_start_steps = 0;
        let (_, _, batch) = with_batch(&run, 1)?;
        run.learner.bellman_targets_of = BellmanTargetsOf::Picture;
        let error = parts(&run)?.0.update(&batch, 1.0).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("what came of it"), "{error}");
        Ok(())
    })?
}

#[test]
fn masks_are_those_of_x_and_g_learns_to_draw_them() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::GraspGan, 200);
        assert!(run.learner.has_masks());
        (run.learner.gan.warm_start_steps, run.learner.gan.generator_lr) = (0, 2e-3);
        let (mut learner, mut source, batch) = with_batch(&run, 1)?;
        let Some(mask) = &batch.unpaired.x_mask else { anyhow::bail!("no mask") };
        assert_eq!(mask.dims(), [4, Class::COUNT, SIZE, SIZE]);
        let (x, mask) = (batch.unpaired.x.flatten_from(2)?.to_vec3::<f32>()?, mask.flatten_from(2)?.to_vec3::<f32>()?);
        for (x, mask) in x.iter().zip(&mask) {
            for at in 0..SIZE * SIZE {
                // Green is the hand, red an object, and black the table.
                let class = match [x[0][at] > 0.0, x[1][at] > 0.0] {
                    [_, true] => Class::Arm,
                    [true, false] => Class::Object,
                    _ => Class::Tray,
                };
                let planes: Vec<f32> = mask.iter().map(|plane| plane[at]).collect();
                assert!((0..Class::COUNT).all(|i| planes[i] == f32::from(u8::from(i == class as usize))), "{planes:?}");
            }
        }
        // The recording has none.
        assert!(batch.real.masks.is_empty() && batch.sim.masks.len() == 4);
        let mut losses = Vec::new();
        for step in 1..90 {
            let batch = source.next(&learner, StepProgress { step, done: 0.0 })?;
            let metrics = learner.update(&batch, 1.0)?;
            losses.extend(metrics.iter().find(|(name, _)| *name == "loss/mask").map(|(_, value)| *value));
        }
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert_eq!(losses.len(), 89);
        assert!(mean(&losses[79..]) < 0.5 * mean(&losses[..10]), "{losses:?}");
        Ok(())
    })?
}

#[test]
fn episodes_with_masks_are_played_where_the_replay_has_none() -> anyhow::Result<()> {
    with_large_stack(|| {
        let run = run_config(Method::GraspGan, 10);
        let played = || -> anyhow::Result<JointSource> {
            let (_, mut source) = parts(&run)?;
            let policy = QLearner::new(&run.learner.qtopt, SPACE, Seed(5), &HOST)?;
            source.play_simulated(policy.cem_policy())?;
            source.take_recorded(crate::rl::qtopt::train_tests::recording()?.into_iter().map(Ok))?;
            Ok(source)
        };
        let (mut source, mut again) = (played()?, played()?);
        let learner = parts(&run)?.0;
        let [x, _] = source.transitions();
        assert!(x >= run.learner.sim_episodes, "{x}");
        let progress = StepProgress { step: 0, done: 0.0 };
        let (a, b) = (source.next(&learner, progress)?, again.next(&learner, progress)?);
        assert!(a.sim.masks.len() == 4 && a.sim.masks == b.sim.masks && a.sim.images == b.sim.images);
        Ok(())
    })?
}

#[test]
fn windows_move_pictures_of_both_domains_with_their_masks_and_q_knows_where_they_lie() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        (run.learner.gan.warm_start_steps, run.learner.gan.balance, run.learner.gan.batch) = (0, None, 16);
        run.learner.crop_shift = 0;
        let (_, _, still) = with_batch(&run, 1)?;
        assert!(still.sim.windows.is_empty() && still.real.windows.is_empty());
        run.learner.crop_shift = 2;
        let (learner, mut source, batch) = with_batch(&run, 1)?;
        for (still, moved) in [(&still.sim, &batch.sim), (&still.real, &batch.real)] {
            assert_eq!(moved.windows.len(), 16);
            let mut found = std::collections::BTreeSet::new();
            for ((image, moved), &[right, down]) in still.images.iter().zip(&moved.images).zip(&moved.windows) {
                assert!(right.abs() <= 2 && down.abs() <= 2);
                found.extend([right, down]);
                let at = |image: &[u8], x: i32, y: i32| {
                    let [x, y] = [x, y].map(|i| i.clamp(0, SIZE as i32 - 1) as usize);
                    image[(y * SIZE + x) * 3..][..3].to_vec()
                };
                for (x, y) in (0..SIZE as i32).flat_map(|y| (0..SIZE as i32).map(move |x| (x, y))) {
                    assert_eq!(at(moved, x, y), at(image, x - right, y - down));
                }
            }
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
            // What stands beside the pictures stays.
            assert!(still.records == moved.records && still.targets == moved.targets);
        }
        let images = crate::gan::images::images_tensor(batch.sim.images.iter().map(Vec::as_slice), [SIZE; 2])?;
        assert_eq!((images - &batch.unpaired.x)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        // Without the windows' places Q learns something else.
        let after = |placed: bool| -> anyhow::Result<_> {
            let (mut learner, mut batch) = (parts(&run)?.0, batch.clone());
            if !placed {
                [&mut batch.sim, &mut batch.real].into_iter().for_each(|samples| samples.windows.clear());
            }
            learner.update(&batch, 1.0)?;
            bytes(&mut learner)
        };
        let (placed, misplaced) = (after(true)?, after(false)?);
        assert!(placed["q_sim"] != misplaced["q_sim"] && placed["q_real"] != misplaced["q_real"]);
        // The scene term asks Q where the windows lie, too.
        assert!(placed["sim2real"] != misplaced["sim2real"]);
        // The watches look at the middle.
        let evaluation = source.evaluate(&mut { learner })?;
        assert_eq!(evaluation.images.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["translation", "saliency"]);

        let mut masked = run_config(Method::GraspGan, 10);
        masked.learner.crop_shift = 0;
        let mask = |config: &crate::train::RunConfig<RlCycleGanConfig>| -> anyhow::Result<_> {
            Ok(with_batch(config, 1)?.2.sim)
        };
        let still = mask(&masked)?;
        masked.learner.crop_shift = 2;
        let moved = mask(&masked)?;
        for ((still, moved), by) in still.masks.iter().zip(&moved.masks).zip(&moved.windows) {
            assert_eq!(moved, &crate::rl::qtopt::network::moved_bytes(still, [SIZE, 1], *by));
        }
        assert!(still.masks != moved.masks);
        Ok(())
    })?
}
