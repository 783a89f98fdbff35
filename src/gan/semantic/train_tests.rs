//! A run on the training loop: interrupted and killed it ends in the same bytes, and a trained run loads.

use super::tests::picture;
use super::*;
use crate::contract::{Rng, Seed};
use crate::nn::{HOST, with_large_stack};
use crate::train::{Checkpoints, Ended, Limits, Outcome, Progress, RunConfig, TrainCallback, Trainer, read_metrics};
use std::path::Path;

/// Stops after a number of steps.
struct Patience(u64);

impl TrainCallback for Patience {
    fn should_continue(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }

    fn progress(&mut self, _: &Progress<'_>) {}
}

fn config(steps: u64) -> RunConfig<SemanticConfig> {
    RunConfig {
        seed: 7,
        log_interval: 2,
        image_interval: 4,
        checkpoint_interval: 3,
        limits: Limits { steps: Some(steps), minutes: None },
        data: SemanticData::default(),
        learner: SemanticConfig {
            filters: 1,
            batch: 2,
            p_dropout: 0.3,
            learning_rate: 2e-3,
            ..SemanticConfig::default()
        },
    }
}

fn sides(count: usize) -> anyhow::Result<(SegmentedImages, RgbdImages)> {
    let mut rng: Rng = Seed(5).rng();
    let (mut x, mut y) = (SegmentedImages::new(64), RgbdImages::new(64));
    for _ in 0..count {
        let (simulated, real) = (picture(&mut rng, false), picture(&mut rng, true));
        x.push(&simulated.rgb, &simulated.depth_m, &simulated.classes)?;
        y.push(&real.rgb, &real.depth_m)?;
    }
    Ok((x, y))
}

/// Starts or resumes a run, for at most `patience` steps of this process.
fn go(root: &Path, steps: Option<u64>, patience: u64) -> anyhow::Result<Outcome> {
    with_large_stack(|| -> anyhow::Result<_> {
        let config = config(steps.unwrap_or(1));
        let seed = Seed(config.seed);
        let learner = SemanticCycleGan::new(&config.learner, seed, &HOST)?;
        let (x, y) = sides(20)?;
        let source = UnpairedSource::new(x, y, seed.derive("images", 0), &HOST)?;
        let mut trainer = match steps {
            Some(_) => Trainer::create(root, config, learner, source)?,
            None => Trainer::resume(root, learner, source)?.0,
        };
        Ok(trainer.run(&mut Patience(patience))?)
    })?
}

fn checkpoint_bytes(root: &Path, step: u64) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(Checkpoints::new(root.join("checkpoints")).path(step))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

#[test]
fn killed_and_resumed_it_ends_in_the_same_bytes_and_loads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    assert_eq!(go(&whole, Some(9), u64::MAX)?.ended, Ended::Complete);
    // Stopped with a checkpoint after step 4, killed (nothing saved) after step 7, then to the end.
    assert_eq!(go(&broken, Some(9), 4)?.steps, 4);
    assert_eq!(go(&broken, None, 3)?.steps, 7);
    for step in [5, 6] {
        let path = Checkpoints::new(broken.join("checkpoints")).path(step);
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    let outcome = go(&broken, None, u64::MAX)?;
    assert_eq!((outcome.ended, outcome.steps, outcome.steps_here), (Ended::Complete, 9, 5));
    assert!(checkpoint_bytes(&whole, 8)? == checkpoint_bytes(&broken, 8)?, "checkpoints differ");
    assert!(std::fs::read(whole.join("metrics.jsonl"))? == std::fs::read(broken.join("metrics.jsonl"))?);
    let named = |name: &str| read_metrics(&whole).map(|lines| lines.iter().any(|line| line.values.contains_key(name)));
    assert!(named("loss/segmentation_y")? && named("validation/cycle_y")? && named("validation/object_iou_x")?);
    for kind in ["simulation", "reality"] {
        assert!(std::fs::read_dir(whole.join("images").join(kind))?.count() > 0, "{kind}");
    }

    // The loaded networks are the trained ones.
    let loaded = load_semantic(&whole, &HOST)?;
    assert_eq!((loaded.step, loaded.config.learner.filters), (8, 1));
    let kept = checkpoint_bytes(&whole, 8)?;
    for (name, store) in
        [("generator_x", loaded.generator_x.store()), ("discriminator_y", loaded.discriminator_y.store())]
    {
        let file = kept.iter().find(|(file, _)| *file == format!("{name}.safetensors")).map(|(_, bytes)| bytes);
        let Some(file) = file else { anyhow::bail!("{name} was not saved") };
        let saved = candle_core::safetensors::load_buffer(file, &HOST)?;
        for (tensor, value) in store.state_tensors()? {
            let difference = (&saved[&tensor] - value)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert_eq!(difference, 0.0, "{name}.{tensor}");
        }
    }
    Ok(())
}

#[test]
fn batches_follow_from_the_step_and_the_held_out_images_are_not_in_them() -> anyhow::Result<()> {
    let config = SemanticConfig { filters: 1, batch: 4, p_varied_looks: 0.0, ..SemanticConfig::default() };
    let learner = SemanticCycleGan::new(&config, Seed(1), &HOST)?;
    // Every image has a grey of its own.
    let (mut x, mut y) = (SegmentedImages::new(64), RgbdImages::new(64));
    for shade in 0..20 {
        x.push(&[shade; 3 * 4096], &[0.5; 4096], &[1; 4096])?;
        y.push(&[100 + shade; 3 * 4096], &[0.5; 4096])?;
    }
    let source = || UnpairedSource::new(x.clone(), y.clone(), Seed(3), &HOST);
    let shades = |images: &candle_core::Tensor| -> candle_core::Result<Vec<u8>> {
        let first = images.narrow(1, 0, 1)?.narrow(2, 0, 1)?.narrow(3, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(first.into_iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect())
    };
    let next = |source: &mut UnpairedSource, step: u64| -> anyhow::Result<_> {
        use crate::train::{BatchSource, StepProgress};
        let batch = source.next(&learner, StepProgress { step, done: 0.0 })?;
        Ok((shades(&batch.x)?, shades(&batch.y)?))
    };
    let mut source_a = source()?;
    let batches: Vec<_> = (0..9).map(|step| next(&mut source_a, step)).collect::<anyhow::Result<_>>()?;
    type Side = fn(&(Vec<u8>, Vec<u8>)) -> &Vec<u8>;
    let seen = |side: Side| {
        let mut all: Vec<u8> = batches.iter().flat_map(|batch| side(batch).clone()).collect();
        all.sort_unstable();
        all
    };
    // 36 draws of 18 images a side: each twice; the last tenth is held out.
    let twice = |from: u8| (from..from + 18).flat_map(|shade| [shade, shade]).collect::<Vec<_>>();
    assert_eq!((seen(|batch| &batch.0), seen(|batch| &batch.1)), (twice(0), twice(100)));
    assert_eq!(next(&mut source()?, 5)?, batches[5]);
    // Unpaired: the orders of both sides differ.
    assert!(batches.iter().any(|(x, y)| x.iter().zip(y).any(|(x, y)| x + 100 != *y)));

    let few = |count| sides(count).map(|(x, y)| UnpairedSource::new(x, y, Seed(1), &HOST).err().map(|e| e.to_string()));
    assert!(few(9)?.is_some_and(|message| message.contains("9 images of simulation")));
    let small = UnpairedSource::new(x.clone(), RgbdImages::new(32), Seed(1), &HOST).err().map(|e| e.to_string());
    assert!(small.is_some_and(|message| message.contains("64 pixels and real ones 32")));
    Ok(())
}

#[test]
fn settings_that_make_no_sense_are_named_and_the_rate_falls_in_the_second_half() {
    let message = |change: fn(&mut SemanticConfig)| {
        let mut config = SemanticConfig::default();
        change(&mut config);
        config.validate().err().unwrap_or_default()
    };
    assert_eq!(SemanticConfig::default().validate(), Ok(()));
    assert!(message(|c| c.batch = 0).contains("batch is 0"));
    assert!(message(|c| c.size = 4096).contains("at most"));
    assert!(message(|c| c.weights.cycle = f64::NAN).contains("weights.cycle"));
    assert!(message(|c| c.weights.segmentation = 0.0).contains("set both to 0"));
    // CycleGAN's: constant for half of the epochs, then linearly to 0.
    let scales = [0.0, 0.5, 0.75, 1.0].map(SemanticConfig::lr_scale);
    assert_eq!(scales, [1.0, 1.0, 0.5, 0.0]);
}
