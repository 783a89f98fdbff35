//! A learner of one weight on a source with a random state of its own: the whole loop, killed and resumed, in seconds.

use super::*;
use crate::contract::{Rng, Seed};
use crate::draw::Canvas;
use crate::nn::init::Init;
use crate::nn::{Adam, AdamConfig, NnError, Param, ParamStore, with_large_stack};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToyConfig {
    lr: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ToyData {
    slope: f32,
}

impl LearnerConfig for ToyConfig {
    const NAME: &'static str = "toy";
    type Data = ToyData;

    fn validate(&self, _: &ToyData) -> Result<(), String> {
        if self.lr > 0.0 { Ok(()) } else { Err("lr must be above 0".to_owned()) }
    }

    fn lr_scale(&self, step: u64, done: f64) -> f64 {
        warmup_cosine(2, 0.5, step, done)
    }
}

/// Learns `y = w x` from pairs.
struct ToyLearner {
    lr: f64,
    store: ParamStore,
    weight: Param,
    adam: Adam,
    step: u64,
}

impl ToyLearner {
    fn new(config: &ToyConfig) -> Result<Self, NnError> {
        let store = ParamStore::new(Seed(3), &Device::Cpu);
        let weight = store.root().param("weight", &[1], Init::Constant(0.0))?;
        let adam = Adam::new(&[&store], AdamConfig::default())?;
        Ok(Self { lr: config.lr, store, weight, adam, step: 0 })
    }
}

impl Learner for ToyLearner {
    type Batch = [(f32, f32); 4];

    fn update(&mut self, batch: &Self::Batch, lr_scale: f64) -> Result<Metrics, TrainError> {
        let column = |of: fn(&(f32, f32)) -> f32| Tensor::new(batch.iter().map(of).collect::<Vec<_>>(), &Device::Cpu);
        let (x, y) = (column(|pair| pair.0)?, column(|pair| pair.1)?);
        let loss = x.broadcast_mul(&self.weight.tensor())?.sub(&y)?.sqr()?.mean_all()?;
        self.adam.step(&loss.backward()?, lr_scale * self.lr)?;
        self.step += 1;
        Ok(vec![("loss/squared", f64::from(loss.to_scalar::<f32>()?))])
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        vec![("line", Module::Network(&self.store)), ("line_adam", Module::Optimizer(&mut self.adam))]
    }

    fn images(&mut self, _: &Self::Batch) -> Result<Vec<NamedImage>, TrainError> {
        Ok(vec![("weight", Canvas::new(2, 2, [self.step as u8; 3]))])
    }
}

/// Random pairs on a line; its generator is state that a checkpoint has to hold.
struct ToySource {
    slope: f32,
    rng: Rng,
}

impl BatchSource<ToyLearner> for ToySource {
    fn next(&mut self, _: &ToyLearner, _: StepProgress) -> Result<[(f32, f32); 4], TrainError> {
        Ok(std::array::from_fn(|_| {
            let x = self.rng.f32() - 0.5;
            (x, self.slope * x)
        }))
    }

    fn evaluate(&mut self, learner: &mut ToyLearner) -> Result<Evaluation, TrainError> {
        let weight = learner.weight.tensor().to_vec1::<f32>()?[0];
        Ok(Evaluation { metrics: vec![("validation/weight".to_owned(), f64::from(weight))], images: Vec::new() })
    }

    fn save(&mut self, _: &Path) -> Result<SourceState, TrainError> {
        Ok(SourceState { state: json!({ "rng": self.rng }), ..SourceState::default() })
    }

    fn restore(&mut self, _: &Path, _: &Checkpoint, mut state: Value) -> Result<Vec<String>, TrainError> {
        self.rng = serde_json::from_value(state["rng"].take()).map_err(TrainError::state)?;
        Ok(Vec::new())
    }
}

struct StopAfter(u64);

impl TrainCallback for StopAfter {
    fn should_continue(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }

    fn progress(&mut self, _: &Progress<'_>) {}
}

fn config(steps: u64) -> RunConfig<ToyConfig> {
    RunConfig {
        seed: u64::MAX,
        log_interval: 4,
        image_interval: 15,
        checkpoint_interval: 10,
        limits: Limits { steps: Some(steps), minutes: None },
        data: ToyData { slope: 2.0 },
        learner: ToyConfig { lr: 0.1 },
    }
}

fn parts(config: &RunConfig<ToyConfig>) -> anyhow::Result<(ToyLearner, ToySource)> {
    let source = ToySource { slope: config.data.slope, rng: Seed(config.seed).rng() };
    Ok((ToyLearner::new(&config.learner)?, source))
}

fn create(root: &Path, steps: u64) -> anyhow::Result<Trainer<ToyConfig, ToyLearner, ToySource>> {
    let (learner, source) = parts(&config(steps))?;
    Ok(Trainer::create(root, config(steps), learner, source)?)
}

fn resume(root: &Path) -> anyhow::Result<Trainer<ToyConfig, ToyLearner, ToySource>> {
    let (learner, source) = parts(&config(1))?;
    Ok(Trainer::resume(root, learner, source)?.0)
}

fn files(root: &Path, step: u64) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(Checkpoints::new(root.join("checkpoints")).path(step))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

#[test]
fn a_learner_of_one_file_trains_and_resumes_to_the_same_bytes() -> anyhow::Result<()> {
    with_large_stack(|| {
        let folder = tempfile::tempdir()?;
        let whole = folder.path().join("whole");
        let outcome = create(&whole, 95)?.run(&mut StopAfter(u64::MAX))?;
        assert_eq!((outcome.ended, outcome.steps, outcome.steps_here), (Ended::Complete, 95, 95));
        assert!((outcome.evaluation[0].1 - 2.0).abs() < 0.05, "{:?}", outcome.evaluation);
        let broken = folder.path().join("broken");
        let outcome = create(&broken, 95)?.run(&mut StopAfter(17))?;
        assert_eq!((outcome.ended, outcome.steps), (Ended::Interrupted, 17));
        // Killed after step 33: the checkpoint of the interruption is gone, that of step 30 remains.
        resume(&broken)?.run(&mut StopAfter(16))?;
        std::fs::remove_dir_all(Checkpoints::new(broken.join("checkpoints")).path(32))?;
        let outcome = resume(&broken)?.run(&mut StopAfter(u64::MAX))?;
        assert_eq!((outcome.ended, outcome.steps, outcome.steps_here), (Ended::Complete, 95, 65));
        assert!(files(&whole, 94)? == files(&broken, 94)?, "checkpoints differ");
        assert_eq!(std::fs::read(whole.join("metrics.jsonl"))?, std::fs::read(broken.join("metrics.jsonl"))?);
        assert!(whole.join("images/weight/000000094.png").is_file());
        // Over is over.
        assert_eq!(resume(&whole)?.run(&mut StopAfter(9))?.steps_here, 0);
        anyhow::Ok(())
    })?
}

#[test]
fn settings_survive_toml_and_wrong_ones_are_named() -> anyhow::Result<()> {
    let config = config(7);
    let text = config.to_toml()?;
    assert_eq!(RunConfig::<ToyConfig>::parse(&text, Path::new("run"))?, config);
    assert_eq!(config.with("toy.lr=2").map_err(anyhow::Error::msg)?.learner.lr, 2.0);
    assert_eq!(config.with("seed=5").map_err(anyhow::Error::msg)?.seed, 5);
    for (assignment, expected) in [
        ("toy.rate=1", "toy: unknown field `rate`, expected `lr`"),
        ("data.slopes=1", "data.slopes: there is no such setting"),
        ("model.lr=1", "there is no group 'model'; there are data, limits, toy"),
        ("toy.lr=fast", "toy: invalid type"),
        ("toy.lr", "write KEY=VALUE"),
    ] {
        let message = config.with(assignment).err().unwrap_or_default();
        assert!(message.contains(expected), "{assignment}: {message}");
    }
    for (from, to, expected) in [
        ("learner = \"toy\"", "learner = \"rcan\"", "it is a run of 'rcan', not of toy"),
        ("format_version = 2\n", "", "an earlier format"),
        ("lr = 0.1", "lr = -1.0", "lr must be above 0"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let error = RunConfig::<ToyConfig>::parse(&changed, Path::new("runs/a")).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(expected) && message.contains("runs/a/config.toml"), "{message}");
    }
    Ok(())
}
