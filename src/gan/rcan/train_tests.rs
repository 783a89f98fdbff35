//! A small run learns, and killed and resumed it ends in the same bytes.

use super::super::config::Preset;
use super::*;
use crate::gan::frames::testing::Squares;
use crate::nn::with_large_stack;
use crate::train::directory::RUN_FORMAT;
use crate::train::{Checkpoints, read_metrics};

/// Stops after a number of steps.
struct Patience {
    left: u64,
    losses: Vec<f64>,
}

impl TrainCallback for Patience {
    fn should_continue(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    fn progress(&mut self, progress: &Progress) {
        self.losses.push(progress.figures.total);
    }

    fn validate(&mut self, generator: &Generator, frames: &[FrameBatch]) -> Result<Vec<(String, f64)>, String> {
        let picked = spread(frames, 4);
        let translations = translate_frames(generator, &picked).map_err(|e| e.to_string())?;
        let truth: Vec<u8> = picked.iter().flat_map(|f| f.batch.segmentation_image(f.index).to_vec()).collect();
        let right = translations.iter().flat_map(|t| &t.classes).zip(&truth).filter(|(a, b)| a == b).count();
        Ok(vec![("validation/accuracy".into(), right as f64 / truth.len() as f64)])
    }
}

fn settings(steps: u64) -> Settings {
    let mut rcan = RcanConfig::preset(Preset::Small);
    rcan.size = 16;
    rcan.batch = 4;
    rcan.generator.filters = vec![8, 16];
    rcan.generator.num_strided = 1;
    rcan.discriminator.filters = vec![8, 8];
    rcan.discriminator.strides = vec![2, 1];
    rcan.discriminator.num_scales = 2;
    rcan.num_warmup_steps = 4;
    rcan.reuse = 1.0;
    rcan.num_pool_blocks = 3;
    rcan.generator_lr = 3e-3;
    Settings {
        format_version: RUN_FORMAT,
        learner: LEARNER.into(),
        seed: 11,
        log_interval: 4,
        image_interval: 15,
        checkpoint_interval: 10,
        frames_per_block: 12,
        limits: Limits { steps: Some(steps), minutes: None },
        data: toml::Table::new(),
        rcan,
    }
}

fn source() -> Result<BoxedSource, FrameError> {
    Ok(Box::new(Squares { seed: Seed(5), size: 16, count: 12 }))
}

/// Runs for at most `patience` steps of this process.
fn go(trainer: Trainer, patience: u64) -> anyhow::Result<(Outcome, Vec<f64>)> {
    with_large_stack(move || -> anyhow::Result<_> {
        let mut trainer = trainer;
        let mut callback = Patience { left: patience, losses: Vec::new() };
        let outcome = trainer.run(source, &mut callback)?;
        Ok((outcome, callback.losses))
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
fn a_small_run_learns_and_resumes_to_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("whole");
    let (outcome, losses) = go(Trainer::create(&whole, &settings(45))?, u64::MAX)?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Complete, 45));
    let mean = |range: &[f64]| range.iter().sum::<f64>() / range.len() as f64;
    assert!(mean(&losses[40..]) < 0.7 * mean(&losses[..5]), "{losses:?}");

    // Interrupted with a checkpoint at step 17, then killed (nothing saved) after step 33, then to the end.
    let broken = folder.path().join("broken");
    let (outcome, _) = go(Trainer::create(&broken, &settings(45))?, 17)?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Interrupted, 17));
    let (trainer, _) = Trainer::resume(&broken)?;
    assert_eq!(trainer.step(), 17);
    go(trainer, 16)?;
    std::fs::remove_dir_all(Checkpoints::new(broken.join("checkpoints")).path(32))?;
    let (trainer, warnings) = Trainer::resume(&broken)?;
    assert_eq!((trainer.step(), warnings.len()), (30, 0));
    let (outcome, _) = go(trainer, u64::MAX)?;
    assert_eq!((outcome.ended, outcome.steps, outcome.steps_here), (Ended::Complete, 45, 15));
    assert!(checkpoint_bytes(&whole, 44)? == checkpoint_bytes(&broken, 44)?, "checkpoints differ");
    assert!(std::fs::read(whole.join("metrics.jsonl"))? == std::fs::read(broken.join("metrics.jsonl"))?);

    let figures: Vec<f64> =
        read_metrics(&whole)?.iter().filter_map(|line| line.values.get("validation/accuracy").copied()).collect();
    assert_eq!(figures.len(), 3);
    assert!(figures[2] > 0.9, "{figures:?}");

    // Over is over.
    let (trainer, _) = Trainer::resume(&whole)?;
    assert_eq!(go(trainer, u64::MAX)?.0.steps_here, 0);
    // The generator that was saved is the averaged one, and loads by itself.
    let loaded = super::super::load_generator(&whole)?;
    // A copy of it is on its own.
    let copy = folder.path().join("copy");
    loaded.keep(&copy)?;
    let kept = super::super::load_generator(&copy)?;
    assert_eq!((kept.step, &kept.settings), (loaded.step, &loaded.settings));
    let bytes = |l: &super::super::Loaded| -> anyhow::Result<_> {
        Ok(crate::gan::state::to_bytes(&l.generator.store().state_tensors()?)?)
    };
    assert!(bytes(&kept)? == bytes(&loaded)?);
    assert_eq!((loaded.step, loaded.generator.size()), (44, 16));
    Ok(())
}

#[test]
fn frames_of_another_size_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = settings(5);
    settings.rcan.size = 32;
    let error = go(Trainer::create(&folder.path().join("run"), &settings)?, 5).err();
    let message = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(message.contains("16x16") && message.contains("32x32"), "{message}");
    Ok(())
}

#[test]
fn a_run_of_an_earlier_format_is_refused_with_the_cure() -> anyhow::Result<()> {
    let text = toml::to_string(&settings(5))?;
    assert!(Settings::parse(&text, Path::new("runs/x")).is_ok());
    let old = text.replace("format_version = 2\n", "").replace("log_interval", "log_every");
    let error = Settings::parse(&old, Path::new("runs/x")).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        error.contains("runs/x/config.toml") && error.contains("format 1") && error.contains("train anew"),
        "{error}"
    );
    let other = Settings::parse("learner = \"qtopt\"", Path::new("runs/x")).err();
    assert!(other.is_some_and(|error| error.to_string().contains("'qtopt'")));
    Ok(())
}
