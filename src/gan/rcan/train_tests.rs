//! A small run learns, and killed and resumed it ends in the same bytes.

use super::config::Preset;
use super::source::spread;
use super::*;
use crate::contract::{Crop, Domain, FrameBatch, Rng, Seed};
use crate::gan::frames::testing::Squares;
use crate::gan::frames::{FrameError, FrameSource};
use crate::nn::HOST;
use crate::nn::with_large_stack;
use crate::train::{
    Checkpoints, Ended, EnvData, Limits, Outcome, Progress, RunConfig, TrainCallback, Trainer, read_metrics, state,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;

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

    fn progress(&mut self, progress: &Progress<'_>) {
        self.losses.push(progress.metric("loss/total"));
    }
}

fn score(generator: &Generator, frames: &[FrameBatch]) -> Result<Vec<(String, f64)>, String> {
    let picked = spread(frames, 4);
    let translations = translate_frames(generator, &picked).map_err(|e| e.to_string())?;
    let truth: Vec<u8> = picked.iter().flat_map(|f| f.batch.segmentation_image(f.index).to_vec()).collect();
    let right = translations.iter().flat_map(|t| &t.classes).zip(&truth).filter(|(a, b)| a == b).count();
    Ok(vec![("validation/accuracy".into(), right as f64 / truth.len() as f64)])
}

fn config(steps: u64) -> RunConfig<RcanConfig> {
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
    let env = EnvData {
        domain: Domain::RandomizedHeavy,
        objects: "train".to_owned(),
        textures: None,
        cell: "iiwa-bin".to_owned(),
        camera: "above".to_owned(),
        crop: Crop::Centre,
        num_envs: 1,
        object_files: None,
        digests: std::collections::BTreeMap::new(),
    };
    RunConfig {
        seed: 11,
        log_interval: 4,
        image_interval: 15,
        checkpoint_interval: 10,
        limits: Limits { steps: Some(steps), minutes: None },
        data: RcanData {
            env,
            dataset: None,
            policy: None,
            policy_share: 1.0,
            camera_effects: false,
            frames_per_block: 12,
        },
        learner: rcan,
    }
}

fn parts(config: &RunConfig<RcanConfig>) -> anyhow::Result<(RcanLearner, PairSource)> {
    let open: FrameOpener = Box::new(|| Ok(Box::new(Squares { seed: Seed(5), size: 16, count: 12 })));
    let (learner, seed) = (&config.learner, Seed(config.seed));
    let source = PairSource::new(learner, seed, config.data.frames_per_block, open, Box::new(score));
    Ok((RcanLearner::new(learner, seed, &HOST)?, source))
}

/// Starts or resumes a run, for at most `patience` steps of this process.
fn go(root: &Path, steps: Option<u64>, patience: u64) -> anyhow::Result<(Outcome, Vec<f64>)> {
    with_large_stack(|| -> anyhow::Result<_> {
        let config = config(steps.unwrap_or(1));
        let (learner, source) = parts(&config)?;
        let mut trainer = match steps {
            Some(_) => Trainer::create(root, config, learner, source)?,
            None => Trainer::resume(root, learner, source)?.0,
        };
        let mut callback = Patience { left: patience, losses: Vec::new() };
        let outcome = trainer.run(&mut callback)?;
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
    let (outcome, losses) = go(&whole, Some(45), u64::MAX)?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Complete, 45));
    let mean = |range: &[f64]| range.iter().sum::<f64>() / range.len() as f64;
    assert!(mean(&losses[40..]) < 0.7 * mean(&losses[..5]), "{losses:?}");

    // Interrupted with a checkpoint at step 17, then killed (nothing saved) after step 33, then to the end.
    let broken = folder.path().join("broken");
    let (outcome, _) = go(&broken, Some(45), 17)?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Interrupted, 17));
    assert_eq!(go(&broken, None, 16)?.0.steps, 33);
    std::fs::remove_dir_all(Checkpoints::new(broken.join("checkpoints")).path(32))?;
    let (outcome, _) = go(&broken, None, u64::MAX)?;
    assert_eq!((outcome.ended, outcome.steps, outcome.steps_here), (Ended::Complete, 45, 15));
    assert!(checkpoint_bytes(&whole, 44)? == checkpoint_bytes(&broken, 44)?, "checkpoints differ");
    assert!(std::fs::read(whole.join("metrics.jsonl"))? == std::fs::read(broken.join("metrics.jsonl"))?);

    let figures: Vec<f64> =
        read_metrics(&whole)?.iter().filter_map(|line| line.values.get("validation/accuracy").copied()).collect();
    assert_eq!(figures.len(), 3);
    assert!(figures[2] > 0.9, "{figures:?}");

    // Over is over.
    assert_eq!(go(&whole, None, u64::MAX)?.0.steps_here, 0);
    // The generator that was saved is the averaged one, and loads by itself.
    let loaded = super::load_generator(&whole, &HOST)?;
    // A copy of it is on its own.
    let copy = folder.path().join("copy");
    loaded.keep(&copy)?;
    let kept = super::load_generator(&copy, &HOST)?;
    assert_eq!((kept.step, &kept.config), (loaded.step, &loaded.config));
    let bytes =
        |l: &super::Loaded| -> anyhow::Result<_> { Ok(state::to_bytes(&l.generator.store().state_tensors()?)?) };
    assert!(bytes(&kept)? == bytes(&loaded)?);
    assert_eq!((loaded.step, loaded.generator.size()), (44, 16));
    Ok(())
}

#[test]
fn frames_of_another_size_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    let message = with_large_stack(|| -> anyhow::Result<String> {
        let mut config = config(5);
        config.learner.size = 32;
        let (learner, source) = parts(&config)?;
        let error = Trainer::create(&root, config, learner, source)?.run(&mut Patience { left: 5, losses: Vec::new() });
        Ok(error.err().map(|error| error.to_string()).unwrap_or_default())
    })??;
    assert!(message.contains("16x16") && message.contains("32x32"), "{message}");
    Ok(())
}

/// Frames in which everything that RCAN may not see is garbage, and, with `truth`, the classes too.
struct Spoiled {
    frames: Squares,
    rng: Rng,
    truth: bool,
}

impl Spoiled {
    fn spoil(&mut self, mut blocks: Vec<FrameBatch>) -> Vec<FrameBatch> {
        let rng = &mut self.rng;
        for batch in &mut blocks {
            batch.source = Domain::Reality;
            batch.instances.iter_mut().for_each(|id| *id = rng.below(200) as u8);
            batch.sensed_depth_m = (0..batch.count * batch.pixels()).map(|_| rng.range(0.0, 3.0)).collect();
            batch.step_indices.iter_mut().for_each(|step| *step = rng.next_u64());
            batch.look_seeds.iter_mut().for_each(|seed| *seed = rng.next_u64());
            batch.cameras.iter_mut().for_each(|camera| camera.world_from_camera.translation *= rng.range(2.0, 3.0));
            if self.truth {
                batch.segmentation.iter_mut().for_each(|class| *class = rng.below(3) as u8);
            }
        }
        blocks
    }
}

impl FrameSource for Spoiled {
    fn block(&mut self, number: u64, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        let blocks = self.frames.block(number, stop)?;
        Ok(self.spoil(blocks))
    }

    fn validation(&mut self, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
        let blocks = self.frames.validation(stop)?;
        Ok(self.spoil(blocks))
    }
}

/// The leak rule for a run: pictures, classes and depth of simulation teach it, and nothing else in a frame does.
#[test]
fn garbage_in_what_rcan_may_not_see_changes_no_byte() -> anyhow::Result<()> {
    let trained = |spoiled: bool, truth: bool| -> anyhow::Result<_> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("run");
        with_large_stack(|| -> anyhow::Result<()> {
            let config = config(12);
            let (learner, mut source) = parts(&config)?;
            if spoiled {
                let open: FrameOpener = Box::new(move || {
                    let frames = Squares { seed: Seed(5), size: 16, count: 12 };
                    Ok(Box::new(Spoiled { frames, rng: Seed(6).rng(), truth }))
                });
                let (seed, per_block) = (Seed(config.seed), config.data.frames_per_block);
                source = PairSource::new(&config.learner, seed, per_block, open, Box::new(score));
            }
            Trainer::create(&root, config, learner, source)?
                .run(&mut Patience { left: u64::MAX, losses: Vec::new() })?;
            Ok(())
        })??;
        checkpoint_bytes(&root, 11)
    };
    let expected = trained(false, false)?;
    assert!(trained(true, false)? == expected, "something else reached the weights");
    assert!(trained(true, true)? != expected, "classes must be seen");
    Ok(())
}
