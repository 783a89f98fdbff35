//! What a learner shows to be trained, and the training.

use super::UsageError;
use super::inputs::Inputs;
use crate::files::console::warn_all;
use crate::nn::{DeviceSpec, NnError, with_large_stack};
use crate::train::{
    BatchSource, Ended, Learner, LearnerConfig, Limits, Module, Outcome, ReportText, RunConfig, RunDir, TrainCallback,
    TrainError, Trainer, write_report,
};
use candle_core::Device;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// After gradients that are not finite.
const START_ANEW: &str = "the run cannot go on as it is: start another one with other settings";

/// The trainer of a learner.
pub type TrainerOf<S> = Trainer<<S as LearnerSetup>::Config, <S as LearnerSetup>::Learner, <S as LearnerSetup>::Source>;

/// How a run is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// From its newest checkpoint, in place of a new run.
    pub resume: bool,
    /// Recordings that are named anew where it is resumed, by their settings: `real`, `offline`. Only these are compared with what
    /// the run was begun with, since they are in its memory by then and their files may be gone.
    pub named: Vec<&'static str>,
}

/// One learner in this program's simulator: from settings to a learner and its source, and what is said of it.
pub trait LearnerSetup: Sync {
    type Config: LearnerConfig;
    type Learner: Learner;
    type Source: BatchSource<Self::Learner>;

    /// Steps of a run without a limit.
    const DEFAULT_STEPS: u64;

    /// The word behind `bingrasp train`.
    fn name(&self) -> String {
        Self::Config::NAME.to_owned()
    }

    /// Settings before any flag.
    fn defaults(&self) -> RunConfig<Self::Config>;

    /// Settings of a new run that follow from others.
    ///
    /// # Errors
    /// Settings that do not fit together.
    fn derive(&self, _config: &mut RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// What a run reads, so that it is not written over.
    fn inputs<'a>(&self, config: &'a RunConfig<Self::Config>) -> Inputs<'a>;

    /// Puts checksums of what the settings name into them.
    ///
    /// # Errors
    /// Something that cannot be read.
    fn remember(&self, _config: &mut RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks that what `wanted` names is what the run was begun with, and gives it the paths of `saved`.
    ///
    /// # Errors
    /// Other contents.
    fn same_inputs(
        &self,
        _start: &Start,
        _saved: &RunConfig<Self::Config>,
        _wanted: &mut RunConfig<Self::Config>,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks that what a run begins with, and reads no more once it has begun, is what it was when the run was made: asked
    /// where a run is resumed that has no checkpoint yet.
    ///
    /// # Errors
    /// Other contents.
    fn same_beginning(&self, _saved: &RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks where batches come from, and makes the learner and its source.
    ///
    /// # Errors
    /// A dataset, generator or object that is missing or does not fit.
    fn build(
        &self,
        start: &Start,
        out: &Path,
        config: &RunConfig<Self::Config>,
        device: &Device,
    ) -> anyhow::Result<(Self::Learner, Self::Source)>;

    /// Prepares a new run's folder and source once the run is open, and again when it is resumed without a checkpoint.
    ///
    /// # Errors
    /// A recording that is damaged, a full disk.
    fn begin(&self, _trainer: &mut TrainerOf<Self>) -> anyhow::Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// Title, summary and facts of the report.
    fn report(&self, trainer: &TrainerOf<Self>, outcome: &Outcome) -> ReportText
    where
        Self: Sized;

    /// Figures of its own for --json and the closing line.
    fn figures(&self, trainer: &TrainerOf<Self>, outcome: &Outcome) -> Vec<(&'static str, Value)>
    where
        Self: Sized;

    /// The command that resumes a run.
    fn resume_hint(&self, out: &Path) -> String {
        format!("resume with: bingrasp train {} --out {} --resume", self.name(), out.display())
    }
}

/// The settings of a run: the learner's, or with [`Start::resume`] those that the run in `out` has saved, and what `change` makes of
/// them. Where `limits` name neither steps nor minutes, a new run has the learner's steps, and a resumed one keeps its end.
///
/// # Errors
/// [`UsageError`] for settings that do not fit together, and for others than the saved ones; a run that cannot be read.
pub fn settings<S: LearnerSetup>(
    setup: &S,
    (start, out): (&Start, &Path),
    limits: Limits,
    change: impl Fn(&mut RunConfig<S::Config>) -> anyhow::Result<()>,
) -> anyhow::Result<RunConfig<S::Config>> {
    let given = limits.steps.is_some() || limits.minutes.is_some();
    if !start.resume {
        let mut config = setup.defaults();
        config.limits = if given { limits } else { Limits { steps: Some(S::DEFAULT_STEPS), minutes: None } };
        config.limits.validate().map_err(UsageError)?;
        change(&mut config)?;
        setup.derive(&mut config)?;
        config.validate().map_err(UsageError)?;
        return Ok(config);
    }
    let saved = RunConfig::parse(&RunDir::read_config(out)?, out)?;
    let mut wanted = saved.clone();
    change(&mut wanted)?;
    let moved = wanted.clone();
    setup.same_inputs(start, &saved, &mut wanted)?;
    if wanted != saved {
        let message = format!(
            "the run in {} was started with other settings; leave them out with --resume, or start another run",
            out.display()
        );
        return Err(UsageError(message).into());
    }
    let config = RunConfig { limits: if given { limits } else { saved.limits }, data: moved.data, ..saved };
    config.limits.validate().map_err(UsageError)?;
    Ok(config)
}

/// Trains in `out` to the end of the settings' limits, or until `callback` stops it, and writes the report. Returns what `finish`
/// makes of the trainer, the outcome and where the report lies.
///
/// # Errors
/// [`UsageError`] where settings and files do not fit together; failures of simulator, device and disk.
pub fn train<S: LearnerSetup, R: Send>(
    setup: &S,
    (start, out): (&Start, &Path),
    config: &RunConfig<S::Config>,
    device: &DeviceSpec,
    callback: &mut (dyn TrainCallback + Send),
    finish: impl FnOnce(&mut TrainerOf<S>, &Outcome, PathBuf) -> anyhow::Result<R> + Send,
) -> anyhow::Result<(Outcome, R)> {
    setup.inputs(config).check_folder(out)?;
    // An environment cannot move between threads: it is made where it is used.
    with_large_stack(|| -> anyhow::Result<_> {
        let device = device.open()?;
        let (learner, source) = setup.build(start, out, config, &device)?;
        let mut trainer = if start.resume {
            let (trainer, warnings) = Trainer::resume(out, learner, source)?;
            warn_all(&warnings);
            trainer
        } else {
            let mut config = config.clone();
            setup.remember(&mut config)?;
            Trainer::create(out, config, learner, source)?
        };
        // Also of a run that was stopped before its first checkpoint: what it begins with is in none.
        if trainer.learner.step() == 0 {
            if start.resume {
                let saved = trainer.config().clone();
                setup.same_beginning(&saved)?;
            }
            setup.begin(&mut trainer)?;
        }
        trainer.set_limits(config.limits)?;
        let outcome = trainer.run(callback).map_err(|error| {
            // From its last checkpoint the run would end the same way.
            let diverged = matches!(error, TrainError::Nn(NnError::Diverged { .. }));
            let advice = if diverged { START_ANEW.to_owned() } else { setup.resume_hint(out) };
            anyhow::Error::from(error).context(advice)
        })?;
        let mut text = setup.report(&trainer, &outcome);
        let complete = if outcome.ended == Ended::Complete { "yes" } else { "no" };
        text.facts.insert(0, ("steps".to_owned(), outcome.steps.to_string()));
        text.facts.push(("complete".to_owned(), complete.to_owned()));
        let report = write_report(out, &text)?;
        let finished = finish(&mut trainer, &outcome, report)?;
        Ok((outcome, finished))
    })?
}

/// What a run came to, as an object for `--json`: `figures` are the learner's own.
pub fn summary<C: LearnerConfig, L: Learner, S: BatchSource<L>>(
    trainer: &mut Trainer<C, L, S>,
    outcome: &Outcome,
    figures: Vec<(&'static str, Value)>,
    report: &Path,
) -> Value {
    let seconds = outcome.seconds.max(1e-9);
    let threads = rayon::current_num_threads();
    let mut parameters = Map::new();
    for (name, module) in trainer.learner.modules() {
        if let Module::Network(store) = module {
            parameters.insert(name.to_owned(), store.parameter_count().into());
        }
    }
    let map = |values: Vec<(String, Value)>| Value::Object(values.into_iter().collect());
    let mut object = json!({
        "out": trainer.root(),
        "complete": outcome.ended == Ended::Complete,
        "steps": outcome.steps,
        "steps_per_s": outcome.steps_here as f64 / seconds,
        "seconds": outcome.seconds,
        "source_shares": map(outcome.source_seconds.iter().map(|(name, s)| ((*name).to_owned(), json!(s / seconds))).collect()),
        "idle_share": 1.0 - outcome.processor_s / (seconds * threads as f64),
        "validation": map(outcome.evaluation.iter().map(|(name, v)| (name.clone(), json!(v))).collect()),
        "parameters": parameters,
        "warm_memory_gib": outcome.warm_gib,
        "last_memory_gib": outcome.last_gib,
        "peak_memory_gib": crate::files::memory::peak_gib(),
        "report": report,
        "threads": threads,
        "seed": trainer.config().seed,
    });
    if let Some(object) = object.as_object_mut() {
        object.extend(figures.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
