//! `bingrasp train qtopt`.

use super::offline;
use crate::cli::{UsageError, agent, common, identity, output};
use crate::collect::vec_env::{GraspVecEnv, action_space, projection};
use crate::contract::{Domain, Seed};
use crate::env::{Crop, EnvConfig};
use crate::files::atomic::human_bytes;
use crate::files::console::{self, with_causes};
use crate::files::interrupt;
use crate::nn::{NnError, with_large_stack};
use crate::policies::PolicyKind;
use crate::rl::error::RlError;
use crate::rl::qtopt::train::{LEARNER, Outcome, Progress, Settings, TrainCallback, Trainer};
use crate::rl::vec_env::{VecEnv, VecEnvError};
use crate::rl::{Preset, QtOptConfig};
use crate::scene::CellDescription;
use crate::train::directory::RUN_FORMAT;
use crate::train::{Ended, Limits, ReportText, RunDir, write_report};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Steps of a run without a limit.
const DEFAULT_STEPS: u64 = 60_000;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// small (64x64, two processor cores) or paper (472x472, the published network)
    #[arg(long, value_name = "PRESET")]
    size_preset: Option<Preset>,
    /// What the agent sees: canonical, randomized-mild, randomized-medium, randomized-heavy, reality [default: canonical]
    #[arg(long)]
    domain: Option<Domain>,
    /// An RCAN run: the agent sees its generated image and the source image, 6 channels; the generator is frozen
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    /// Recorded episodes (`bingrasp episodes record`) to begin with, in place of the script's first attempts
    #[arg(long, value_name = "DIR")]
    offline: Option<PathBuf>,
    /// Stop after this many gradient steps; the run is the same every time [default: 60000 without --minutes]
    #[arg(long)]
    steps: Option<u64>,
    /// Stop after this many minutes of training; the learning rate falls with the clock
    #[arg(long)]
    minutes: Option<f64>,
    /// Transitions a step [default: 64, paper 32]
    #[arg(long)]
    batch: Option<usize>,
    /// Any other setting of config.toml: --set qtopt.q_lr=5e-4; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Objects: train, test, all, or a folder of OBJ, URDF or glTF files [default: train]
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    object_options: common::ImportArgs,
    #[command(flatten)]
    textures: common::TextureArgs,
    /// Seed: the same seed and steps give the same bytes [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Go on with the run in --out; its settings are taken from there. --steps and --minutes put another end to it; the
    /// minutes of a run that had no such limit count from then
    #[arg(long)]
    resume: bool,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    complete: bool,
    steps: u64,
    episodes: u64,
    /// By this process; the shares are of its seconds.
    episodes_per_s: f64,
    steps_per_s: f64,
    seconds: f64,
    playing_share: f64,
    labelling_share: f64,
    learning_share: f64,
    /// Of the last attempts in training, on training objects.
    success_greedy: Option<f64>,
    success_scripted: Option<f64>,
    transitions: [usize; 2],
    parameters: usize,
    peak_memory_gib: f64,
    report: PathBuf,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    let (outcome, trainer) = execute(&args.out, &settings, args.resume)?;
    let report_path = write_report(&args.out, &report_text(&trainer, &outcome))?;
    let complete = outcome.ended == Ended::Complete;
    let seconds = outcome.seconds.max(1e-9);
    let known = |rate: f64| rate.is_finite().then_some(rate);
    let report = Report {
        out: args.out.clone(),
        complete,
        steps: outcome.steps,
        episodes: outcome.episodes,
        episodes_per_s: outcome.episodes_here as f64 / seconds,
        steps_per_s: outcome.steps_here as f64 / seconds,
        seconds: outcome.seconds,
        playing_share: outcome.playing_s / seconds,
        labelling_share: outcome.labelling_s / seconds,
        learning_share: outcome.learning_s / seconds,
        success_greedy: known(outcome.greedy),
        success_scripted: known(outcome.scripted),
        transitions: trainer.transitions(),
        parameters: trainer.learner().q.store().parameter_count(),
        peak_memory_gib: output::peak_memory_gib(),
        report: report_path,
        threads: rayon::current_num_threads(),
        seed: settings.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} steps ({:.1}/s), {} episodes ({:.1}/s), success of the policy {}, of the script {}; report: {}",
            report.steps,
            report.steps_per_s,
            report.episodes,
            report.episodes_per_s,
            percent(outcome.greedy),
            percent(outcome.scripted),
            report.report.display()
        ))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    console::remark(format_args!("interrupted after step {}; {}", outcome.steps, resume_hint(&args.out)));
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

/// A share in words; a run that ended early may have measured none.
fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", 100.0 * share) } else { "not measured yet".to_owned() }
}

fn resume_hint(out: &Path) -> String {
    format!("go on with: bingrasp train qtopt --out {} --resume", out.display())
}

/// Trains in `out` to the end of the settings' limits or to Ctrl-C, with a bar.
pub(in crate::cli) fn execute(out: &Path, settings: &Settings, resume: bool) -> anyhow::Result<(Outcome, Trainer)> {
    common::Inputs::of_run(&settings.data).check_folder(out)?;
    let open = opener(out, settings)?;
    let mut settings = settings.clone();
    if !resume {
        offline::open(&settings)?;
        identity::remember(&mut settings.data)?;
    }
    let settings = &settings;
    let (mut trainer, warnings) =
        if resume { Trainer::resume(out)? } else { (Trainer::create(out, settings)?, Vec::new()) };
    trainer.set_limits(settings.limits)?;
    agent::warn(&warnings);
    agent::keep_generator(out, settings)?;
    let memory = human_bytes(settings.qtopt.replay_bytes());
    console::remark(format_args!(
        "transitions take up to {memory} of memory, and as much of the disk in {}",
        out.display()
    ));
    interrupt::install(|| console::remark("saving a checkpoint after this round; Ctrl-C again stops at once"))?;
    let mut progress = ConsoleProgress { bar: progress_bar(), last: String::new() };
    let result = with_large_stack(|| -> anyhow::Result<_> {
        offline::preload(out, &mut trainer)?;
        let outcome = trainer.run(open, &mut progress)?;
        Ok((outcome, trainer))
    })?;
    progress.bar.finish_and_clear();
    result.map_err(|error| {
        let diverged = matches!(error.downcast_ref(), Some(RlError::Nn(NnError::Diverged { .. })));
        error.context(if diverged { super::START_ANEW.to_owned() } else { resume_hint(out) })
    })
}

/// The settings of a run that has only these of its own.
pub(in crate::cli) fn settings_for(domain: Domain, generator: Option<&Path>, limits: Limits, seed: Seed) -> Settings {
    let mut settings = defaults(Preset::Small);
    (settings.limits, settings.seed) = (limits, seed.0);
    settings.data.insert("domain".to_owned(), domain.name().into());
    if let Some(generator) = generator {
        settings.data.insert("generator".to_owned(), generator.display().to_string().into());
        settings.qtopt.channels = 6;
    }
    settings
}

/// The run's settings: of the preset or of the run that is resumed, changed by what was typed.
fn settings(args: &Args) -> anyhow::Result<Settings> {
    if !args.resume {
        let mut settings = defaults(args.size_preset.unwrap_or_default());
        apply(args, &mut settings)?;
        calibrate(&mut settings)?;
        if settings.limits.steps.is_none() && settings.limits.minutes.is_none() {
            settings.limits.steps = Some(DEFAULT_STEPS);
        }
        settings.qtopt.validate().map_err(UsageError)?;
        settings.limits.validate().map_err(UsageError)?;
        super::known(&settings.data, &defaults(settings.qtopt.preset).data)?;
        return Ok(settings);
    }
    let saved = Settings::parse(&RunDir::read_config(&args.out)?, &args.out)?;
    let mut wanted = saved.clone();
    apply(args, &mut wanted)?;
    wanted.qtopt.preset = args.size_preset.unwrap_or(saved.qtopt.preset);
    if args.steps.is_some() || args.minutes.is_some() {
        wanted.limits = Limits { steps: args.steps, minutes: args.minutes };
    }
    // A run may go on for longer than it was meant to.
    let data = identity::check(&saved.data, &wanted.data)?;
    let goes_on = Settings { limits: wanted.limits, ..saved };
    let moved = std::mem::replace(&mut wanted.data, data);
    if wanted != goes_on {
        let message = format!(
            "the run in {} was started with other settings; leave them out with --resume, or start another run",
            args.out.display()
        );
        return Err(UsageError(message).into());
    }
    goes_on.limits.validate().map_err(UsageError)?;
    Ok(Settings { data: moved, ..goes_on })
}

/// The small network has to know what the camera makes of places, unless it was told: of images of this size (how much the
/// centre crop cuts off depends on it) and of this camera.
fn calibrate(settings: &mut Settings) -> anyhow::Result<()> {
    let (preset, size) = (settings.qtopt.preset, settings.qtopt.size as u32);
    if preset != Preset::Small {
        return Ok(());
    }
    if agent::data(settings, "crop") == "random" {
        return Err(UsageError(
            "data.crop: the preset small knows where the centre crop lies; leave it at centre".into(),
        )
        .into());
    }
    let camera = agent::data(settings, "camera");
    let usual = defaults(preset).qtopt.network.projection;
    if settings.qtopt.network.projection == usual {
        let found = projection(&CellDescription::default(), camera, size);
        let missing = || {
            UsageError(format!(
                "data.camera: '{camera}' is not a camera that stands still; the usual one is {}",
                common::CAMERA
            ))
        };
        settings.qtopt.network.projection = found.ok_or_else(missing)?;
    }
    Ok(())
}

fn defaults(preset: Preset) -> Settings {
    let mut qtopt = QtOptConfig::preset(preset);
    let cell = CellDescription::default();
    if let Some(projection) = projection(&cell, common::CAMERA, qtopt.size as u32) {
        qtopt.network.projection = projection;
    }
    let num_envs = common::num_envs_for(qtopt.size as u32);
    let data = toml::Table::from_iter([
        ("domain".to_owned(), Domain::Canonical.name().into()),
        ("objects".to_owned(), "train".into()),
        ("textures".to_owned(), "".into()),
        ("camera".to_owned(), common::CAMERA.into()),
        ("crop".to_owned(), "centre".into()),
        ("generator".to_owned(), "".into()),
        ("offline".to_owned(), "".into()),
        ("script".to_owned(), PolicyKind::NoisyPlanner.name().into()),
        ("num_envs".to_owned(), (num_envs as i64).into()),
    ]);
    Settings {
        format_version: RUN_FORMAT,
        learner: LEARNER.into(),
        seed: 0,
        checkpoint_interval: 12,
        image_interval: 10,
        limits: Limits { steps: None, minutes: None },
        space: action_space(&cell),
        data,
        qtopt,
    }
}

/// Puts what was typed into the settings.
fn apply(args: &Args, settings: &mut Settings) -> anyhow::Result<()> {
    if let Some(batch) = args.batch {
        settings.qtopt.batch = batch;
    }
    if let Some(seed) = args.seed {
        settings.seed = seed;
    }
    if args.steps.is_some() {
        settings.limits.steps = args.steps;
    }
    if args.minutes.is_some() {
        settings.limits.minutes = args.minutes;
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let mut data = |key: &str, value: String| settings.data.insert(key.to_owned(), value.into());
    if let Some(domain) = args.domain {
        data("domain", domain.name().into());
    }
    if let Some(objects) = &args.objects {
        data("objects", if Path::new(objects).is_dir() { absolute(Path::new(objects)) } else { objects.clone() });
    }
    if let Some(textures) = &args.textures.textures {
        data("textures", absolute(textures));
    }
    if let Some(offline) = &args.offline {
        data("offline", absolute(offline));
    }
    if let Some(generator) = &args.generator {
        data("generator", absolute(generator));
        settings.qtopt.channels = 6;
    }
    args.object_options.put(&mut settings.data);
    for assignment in &args.set {
        *settings = super::set(settings, assignment)?;
    }
    Ok(())
}

type Opener = Box<dyn FnOnce() -> Result<Box<dyn VecEnv>, VecEnvError> + Send>;

/// Checks where attempts are played, and says how to open it.
fn opener(out: &Path, settings: &Settings) -> anyhow::Result<Opener> {
    let bad = |key: &str, error: String| UsageError(format!("data.{key}: {error}"));
    let domain: Domain = agent::data(settings, "domain").parse().map_err(|e| bad("domain", format!("{e}")))?;
    let script: PolicyKind = agent::data(settings, "script").parse().map_err(|e| bad("script", format!("{e}")))?;
    let crop = match agent::data(settings, "crop") {
        "centre" => Crop::Centre,
        "random" => Crop::Random,
        other => return Err(bad("crop", format!("'{other}' is neither centre nor random")).into()),
    };
    let num_envs = super::num_envs(&settings.data)?;
    let textures = agent::data(settings, "textures");
    let textures = common::TextureArgs { textures: (!textures.is_empty()).then(|| textures.into()) };
    let seed = Seed(settings.seed).derive("arena", 0);
    let config = EnvConfig {
        cameras: vec![agent::data(settings, "camera").to_owned()],
        crop,
        textures: textures.load()?,
        ..EnvConfig::new(
            common::load_objects(agent::data(settings, "objects"), common::ImportArgs::of_run(&settings.data)?)?,
            domain,
            num_envs,
            settings.qtopt.size as u32,
            seed,
        )
    };
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    agent::adapter(out, settings, domain)?;
    let (out, settings) = (out.to_owned(), settings.clone());
    Ok(Box::new(move || {
        // By now the run has its own generator.
        let adapter =
            agent::adapter(&out, &settings, domain).map_err(|error| VecEnvError::new(with_causes(error.chain())))?;
        let envs = GraspVecEnv::new(config, adapter, script).map_err(VecEnvError::new)?;
        Ok(Box::new(envs) as Box<dyn VecEnv>)
    }))
}

/// In thousandths of the run.
fn progress_bar() -> ProgressBar {
    let bar = output::progress(1000, "done");
    if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan/dim} {percent}%  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// What a person sees of a run.
struct ConsoleProgress {
    bar: ProgressBar,
    last: String,
}

impl TrainCallback for ConsoleProgress {
    fn should_continue(&mut self) -> bool {
        !interrupt::requested()
    }

    fn progress(&mut self, progress: &Progress) {
        self.bar.set_position((progress.done * 1000.0) as u64);
        if progress.episodes_per_s > 0.0 {
            self.last = format!(", {:.1} episodes/s, {:.1} steps/s", progress.episodes_per_s, progress.steps_per_s);
        }
        let policy = if progress.greedy.is_finite() { format!("{:.0}%", 100.0 * progress.greedy) } else { "-".into() };
        self.bar.set_message(format!(
            "{}: {} episodes, step {}, loss {:.4}, success {policy} (script {:.0}%){}",
            progress.phase,
            progress.episodes,
            progress.steps,
            progress.loss,
            100.0 * progress.scripted,
            self.last
        ));
        // A log without a terminal gets a line a round.
        if progress.episodes_per_s > 0.0 && !std::io::stderr().is_terminal() {
            console::remark(format_args!(
                "{:5.1}%  {} episodes, step {}, loss {:.4}, success {policy} (script {:.0}%){}",
                100.0 * progress.done,
                progress.episodes,
                progress.steps,
                progress.loss,
                100.0 * progress.scripted,
                self.last
            ));
        }
    }
}

fn report_text(trainer: &Trainer, outcome: &Outcome) -> ReportText {
    let settings = trainer.settings();
    let config = &settings.qtopt;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let [off_policy, on_policy] = trainer.transitions();
    ReportText {
        title: "QT-Opt: grasping from pixels".into(),
        summary: "Success in the curves is that of episodes in training, on training objects, in the domain that the \
                  agent is trained in. Measure unseen objects with `bingrasp eval grasp --policy RUN`. \
                  `separation/auc_*` tells how well Q separates grasps that succeed from those that fail, on episodes it \
                  was not trained on yet; `cem/share_of_dense` is Q of the chosen action over the best that a dense \
                  search found."
            .into(),
        facts: vec![
            fact("gradient steps", outcome.steps.to_string()),
            fact("episodes", outcome.episodes.to_string()),
            fact("image", format!("{0}x{0}, {1} channels", config.size, config.channels)),
            fact("domain", agent::data(settings, "domain").into()),
            fact("transitions kept", format!("{off_policy} off-policy, {on_policy} on-policy")),
            fact("parameters", trainer.learner().q.store().parameter_count().to_string()),
            fact("complete", if outcome.ended == Ended::Complete { "yes" } else { "no" }.into()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_is_that_of_the_size_unless_it_was_given() -> anyhow::Result<()> {
        let calibrated = |size: usize| {
            let mut settings = defaults(Preset::Small);
            settings.qtopt.size = size;
            calibrate(&mut settings)?;
            anyhow::Ok(Some(settings.qtopt.network.projection))
        };
        for size in [32, 64, 96] {
            assert_eq!(
                calibrated(size)?,
                projection(&CellDescription::default(), common::CAMERA, size as u32),
                "{size} pixels"
            );
        }
        assert_ne!(calibrated(96)?, calibrated(64)?);
        let mut settings = defaults(Preset::Small);
        settings.qtopt.network.projection = crate::rl::qtopt::network::Projection::from_above(0.5);
        let given = settings.clone();
        calibrate(&mut settings)?;
        assert_eq!(settings, given);
        Ok(())
    }
}
