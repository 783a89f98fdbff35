//! What a learner shows to be trained, and the training.

use super::UsageError;
use super::inputs::Inputs;
use crate::files::console::warn_all;
use crate::gan::cyclegan::Method;
use crate::nn::{DeviceSpec, NnError, with_large_stack};
use crate::train::{
    BatchSource, Ended, Learner, LearnerConfig, Limits, Outcome, ReportText, RunConfig, RunDir, TrainCallback,
    TrainError, Trainer, write_report,
};
use candle_core::Device;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// After gradients that are not finite.
const START_ANEW: &str = "the run cannot go on as it is: start another one with other settings";

/// The trainer of a learner.
pub type TrainerOf<S> = Trainer<<S as LearnerSetup>::Config, <S as LearnerSetup>::Learner, <S as LearnerSetup>::Source>;

/// Where a run lies, and how it is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Folder of the run: missing or empty, unless it is resumed.
    pub out: PathBuf,
    /// From its newest checkpoint, in place of a new run.
    pub resume: bool,
    /// Where it is resumed: the recording that it began with (`offline`) is named anew, and compared. Else it is not read: it is in
    /// the run's memory by then, and its files may be gone.
    pub names_offline: bool,
    /// The same for the recording that it learns from beside the simulator (`real`).
    pub names_real: bool,
}

impl Start {
    /// # Errors
    /// [`UsageError`] where the run that is resumed is one of another method.
    pub(super) fn check_method(&self, saved: Method, method: Method) -> anyhow::Result<()> {
        if saved == method {
            return Ok(());
        }
        let out = self.out.display();
        let message = format!("the run in {out} is one of {saved}; resume it with bingrasp train {saved}");
        Err(UsageError(message).into())
    }
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
///
/// `change` should name cells and objects with [`super::environments::set_cell`] and [`super::environments::set_objects`], and
/// folders by absolute paths ([`super::environments::absolute`]), so that the run can be resumed from elsewhere.
pub fn settings<S: LearnerSetup>(
    setup: &S,
    start: &Start,
    limits: Limits,
    change: impl FnOnce(&mut RunConfig<S::Config>) -> anyhow::Result<()>,
) -> anyhow::Result<RunConfig<S::Config>> {
    let out = &start.out;
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
/// makes of the trainer, the outcome and where the report lies. All of it happens on a thread of its own, with a large stack; warnings
/// go to standard error. Nothing listens to Ctrl-C unless [`crate::files::interrupt::install`] was called.
///
/// # Errors
/// [`UsageError`] where settings and files do not fit together; failures of simulator, device and disk.
pub fn train<S: LearnerSetup, R: Send>(
    setup: &S,
    start: &Start,
    config: &RunConfig<S::Config>,
    device: &DeviceSpec,
    callback: &mut (dyn TrainCallback + Send),
    finish: impl FnOnce(&mut TrainerOf<S>, &Outcome, PathBuf) -> anyhow::Result<R> + Send,
) -> anyhow::Result<(Outcome, R)> {
    let out = &start.out;
    setup.inputs(config).check_folder(out)?;
    // An environment cannot move between threads: it is made where it is used.
    with_large_stack(|| -> anyhow::Result<_> {
        let device = device.open()?;
        let (learner, source) = setup.build(start, config, &device)?;
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
