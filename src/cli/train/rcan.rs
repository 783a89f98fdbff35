//! `bingrasp train rcan`.

use super::source;
use crate::cli::{UsageError, common, identity, output};
use crate::contract::{Domain, FrameBatch, Seed};
use crate::data::paired::PairReader;
use crate::env::{Crop, EnvConfig};
use crate::eval::translation::TranslationMeter;
use crate::files::console;
use crate::files::interrupt;
use crate::gan::rcan::learner::RcanError;
use crate::gan::rcan::train::{LEARNER, Settings};
use crate::gan::rcan::{Generator, ImageLoss, Outcome, Preset, Progress, RcanConfig, TrainCallback, Trainer};
use crate::gan::{BoxedSource, FrameError};
use crate::nn::{NnError, with_large_stack};
use crate::train::directory::RUN_FORMAT;
use crate::train::{Ended, Limits, ReportText, RunDir, write_report};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Steps of a run without a limit.
const DEFAULT_STEPS: u64 = 8000;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// small (64x64, two processor cores) or paper (472x472, the published filters)
    #[arg(long, value_name = "PRESET")]
    size_preset: Option<Preset>,
    /// Source domain: randomized-mild, randomized-medium, randomized-heavy, reality, canonical [default: randomized-heavy]
    #[arg(long)]
    domain: Option<Domain>,
    /// live (the simulator, in this process) or the folder of a paired data set [default: live]
    #[arg(long, value_name = "live|DIR")]
    data: Option<String>,
    /// Stop after this many gradient steps; the run is the same every time [default: 8000 without --minutes]
    #[arg(long)]
    steps: Option<u64>,
    /// Stop after this many minutes of training; the learning rate falls with the clock
    #[arg(long)]
    minutes: Option<f64>,
    /// Images a step [default: 8 for small, 16 for paper]
    #[arg(long)]
    batch: Option<usize>,
    /// Leave the adversary out
    #[arg(long)]
    no_gan: bool,
    /// Leave mask and depth out of the losses
    #[arg(long)]
    no_auxiliaries: bool,
    /// mpse, l1 or l2 [default: mpse]
    #[arg(long, value_name = "LOSS")]
    image_loss: Option<ImageLoss>,
    /// Any other setting of config.toml: --set rcan.generator_lr=5e-4; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Objects for --data live: train, test, all, or a folder of OBJ, URDF or glTF files [default: train]
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    object_options: common::ImportArgs,
    #[command(flatten)]
    textures: common::TextureArgs,
    /// Train on what measurements are made with: the domain reality, or test objects
    #[arg(long)]
    allow_evaluation_data: bool,
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
    /// Images per second, training seconds, and the part of them spent waiting for frames, of this process.
    images_per_s: f64,
    seconds: f64,
    waiting_share: f64,
    /// Share of the cores' time that nothing of this program used.
    idle_share: f64,
    validation: serde_json::Map<String, serde_json::Value>,
    generator_parameters: usize,
    discriminator_parameters: usize,
    /// After 2,000 steps of this process, at the end, and at most.
    warm_memory_gib: f64,
    last_memory_gib: f64,
    peak_memory_gib: f64,
    report: PathBuf,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut settings = settings(args)?;
    if !args.resume && !args.allow_evaluation_data {
        refuse_evaluation_data(&settings)?;
    }
    common::Inputs::of_run(&settings.data).check_folder(&args.out)?;
    let open = opener(&settings)?;
    if !args.resume {
        identity::remember(&mut settings.data)?;
    }
    let (mut trainer, warnings) =
        if args.resume { Trainer::resume(&args.out)? } else { (Trainer::create(&args.out, &settings)?, Vec::new()) };
    trainer.set_limits(settings.limits)?;
    console::warn_all(&warnings);
    interrupt::install(|| console::remark("saving a checkpoint; Ctrl-C again stops at once"))?;
    let mut progress = ConsoleProgress { bar: progress_bar(), best: String::new() };
    let result = with_large_stack(|| {
        let outcome = trainer.run(open, &mut progress);
        outcome.map(|outcome| (outcome, trainer))
    })?;
    progress.bar.finish_and_clear();
    let again = format!("go on with: bingrasp train rcan --out {} --resume", args.out.display());
    let (outcome, trainer) = result.map_err(|error| {
        let diverged = matches!(error, RcanError::Nn(NnError::Diverged { .. }));
        anyhow::Error::from(error).context(if diverged { super::START_ANEW.to_owned() } else { again.clone() })
    })?;
    let text = report_text(&trainer, &outcome);
    let report_path = write_report(&args.out, &text)?;
    let complete = outcome.ended == Ended::Complete;
    let seconds = outcome.seconds.max(1e-9);
    let report = Report {
        out: args.out.clone(),
        complete,
        steps: outcome.steps,
        images_per_s: outcome.steps_here as f64 * settings.rcan.batch as f64 / seconds,
        seconds: outcome.seconds,
        waiting_share: outcome.waiting_s / seconds,
        idle_share: 1.0 - outcome.processor_s / (seconds * rayon::current_num_threads() as f64),
        validation: outcome.validation.iter().map(|(name, value)| (name.clone(), (*value).into())).collect(),
        generator_parameters: trainer.learner().generator.store().parameter_count(),
        discriminator_parameters: trainer.learner().discriminator.store().parameter_count(),
        warm_memory_gib: outcome.warm_gib,
        last_memory_gib: outcome.last_gib,
        peak_memory_gib: output::peak_memory_gib(),
        report: report_path,
        threads: rayon::current_num_threads(),
        seed: settings.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} steps, {:.0} images/s, {}; report: {}",
            report.steps,
            report.images_per_s,
            outcome.validation.iter().map(|(name, v)| format!("{name} {v:.3}")).collect::<Vec<_>>().join(", "),
            report.report.display()
        ))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    console::remark(format_args!("interrupted after step {}; {again}", outcome.steps));
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

/// The run's settings: of the preset or of the run that is resumed, changed by what was typed.
fn settings(args: &Args) -> anyhow::Result<Settings> {
    if !args.resume {
        let preset = args.size_preset.unwrap_or_default();
        let mut settings = defaults(preset);
        apply(args, &mut settings)?;
        if settings.limits.steps.is_none() && settings.limits.minutes.is_none() {
            settings.limits.steps = Some(DEFAULT_STEPS);
        }
        settings.rcan.validate().map_err(|error| UsageError(error.to_string()))?;
        settings.limits.validate().map_err(UsageError)?;
        super::known(&settings.data, &defaults(preset).data)?;
        return Ok(settings);
    }
    let saved = Settings::parse(&RunDir::read_config(&args.out)?, &args.out)?;
    let mut wanted = saved.clone();
    apply(args, &mut wanted)?;
    wanted.rcan.preset = args.size_preset.unwrap_or(saved.rcan.preset);
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

fn defaults(preset: Preset) -> Settings {
    let rcan = RcanConfig::preset(preset);
    let num_envs = common::num_envs_for(rcan.size as u32);
    let data = toml::Table::from_iter([
        ("from".to_owned(), "live".into()),
        ("domain".to_owned(), Domain::RandomizedHeavy.name().into()),
        ("objects".to_owned(), "train".into()),
        ("textures".to_owned(), "".into()),
        ("camera".to_owned(), common::CAMERA.into()),
        ("num_envs".to_owned(), (num_envs as i64).into()),
    ]);
    Settings {
        format_version: RUN_FORMAT,
        learner: LEARNER.into(),
        seed: 0,
        log_interval: 25,
        image_interval: 500,
        checkpoint_interval: 500,
        frames_per_block: source::frames_per_block(num_envs),
        limits: Limits { steps: None, minutes: None },
        data,
        rcan,
    }
}

/// Puts what was typed into the settings.
fn apply(args: &Args, settings: &mut Settings) -> anyhow::Result<()> {
    if let Some(batch) = args.batch {
        settings.rcan.batch = batch;
    }
    if let Some(loss) = args.image_loss {
        settings.rcan.image_loss = loss;
    }
    if args.no_gan {
        settings.rcan.weights.gan = 0.0;
    }
    if args.no_auxiliaries {
        (settings.rcan.weights.mask, settings.rcan.weights.depth) = (0.0, 0.0);
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
    if let Some(from) = &args.data {
        data("from", if from == "live" { from.clone() } else { absolute(Path::new(from)) });
    }
    if let Some(domain) = args.domain {
        data("domain", domain.name().into());
    }
    if let Some(objects) = &args.objects {
        data("objects", if Path::new(objects).is_dir() { absolute(Path::new(objects)) } else { objects.clone() });
    }
    if let Some(textures) = &args.textures.textures {
        data("textures", absolute(textures));
    }
    args.object_options.put(&mut settings.data);
    for assignment in &args.set {
        *settings = super::set(settings, assignment)?;
    }
    settings.frames_per_block = if text_of(settings, "from") == "live" {
        source::frames_per_block(super::num_envs(&settings.data)?)
    } else {
        source::PAIRS_PER_BLOCK
    };
    Ok(())
}

fn text_of<'a>(settings: &'a Settings, key: &str) -> &'a str {
    settings.data.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

type Opener = Box<dyn FnOnce() -> Result<BoxedSource, FrameError> + Send>;

/// Checks where frames come from, and says how to open it.
fn opener(settings: &Settings) -> anyhow::Result<Opener> {
    let size = settings.rcan.size as u32;
    let seed = Seed(settings.seed).derive("frames", 0);
    let from = text_of(settings, "from");
    if from != "live" {
        let root = PathBuf::from(from);
        let config =
            PairReader::open(&root).with_context(|| format!("opening the data set in {from}"))?.config().clone();
        let shrink = config.width / size;
        if shrink == 0 || (config.width, config.height) != (size * shrink, size * shrink) {
            return Err(UsageError(format!(
                "the pairs in {from} are {}x{} and the network takes {size}x{size}; make a data set with --size {size} \
                 or a multiple of it",
                config.width, config.height
            ))
            .into());
        }
        return Ok(Box::new(move || source::folder(&root, shrink as usize, seed)));
    }
    let domain: Domain = text_of(settings, "domain").parse().map_err(|e| UsageError(format!("data.domain: {e}")))?;
    let textures = text_of(settings, "textures");
    let textures = common::TextureArgs { textures: (!textures.is_empty()).then(|| textures.into()) };
    let config = EnvConfig {
        cameras: vec![text_of(settings, "camera").to_owned()],
        crop: Crop::Random,
        textures: textures.load()?,
        ..EnvConfig::new(
            common::load_objects(text_of(settings, "objects"), common::ImportArgs::of_run(&settings.data)?)?,
            domain,
            super::num_envs(&settings.data)?,
            size,
            seed,
        )
    };
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    Ok(Box::new(move || source::live(config, seed)))
}

/// What a run is measured with is no training data, unless that is meant: nothing that is trained on `reality` or on test
/// objects can show that it generalizes to them.
fn refuse_evaluation_data(settings: &Settings) -> anyhow::Result<()> {
    let from = text_of(settings, "from");
    let (domain, objects) = if from == "live" {
        (text_of(settings, "domain").to_owned(), text_of(settings, "objects").to_owned())
    } else {
        let reader = PairReader::open(Path::new(from)).with_context(|| format!("opening the data set in {from}"))?;
        let config = reader.config();
        let builtin = config.objects.catalogue == "built-in";
        let objects = if builtin { config.objects.split.clone() } else { String::new() };
        (config.domain.name().to_owned(), objects)
    };
    let what = if domain == Domain::Reality.name() {
        "the domain reality, which stands for the real world".to_owned()
    } else if ["test", "all"].contains(&objects.as_str()) {
        format!("test objects (the objects '{objects}'), which are there to measure with")
    } else {
        return Ok(());
    };
    let message =
        format!("this would train on {what}; choose other data, or pass --allow-evaluation-data if it is meant");
    Err(UsageError(message).into())
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
    best: String,
}

impl TrainCallback for ConsoleProgress {
    fn should_continue(&mut self) -> bool {
        !interrupt::requested()
    }

    fn progress(&mut self, progress: &Progress) {
        self.bar.set_position((progress.done * 1000.0) as u64);
        if progress.step % 10 == 0 {
            self.bar.set_message(format!(
                "step {}, {:.0} images/s, loss {:.4}{}",
                progress.step, progress.images_per_s, progress.figures.total, self.best
            ));
        }
    }

    fn validate(&mut self, generator: &Generator, frames: &[FrameBatch]) -> Result<Vec<(String, f64)>, String> {
        let mut meter = TranslationMeter::default();
        for batch in frames {
            meter.add_batch(generator, batch).map_err(|e| e.to_string())?;
        }
        let report = meter.report();
        self.best = format!(", SSIM {:.3}, object IoU {:.3}", report.ssim, report.object_iou);
        let figures = [
            ("validation/ssim", report.ssim),
            ("validation/object_iou", report.object_iou),
            ("validation/mean_iou", report.mean_iou),
            ("validation_psnr_db", report.psnr),
            ("validation_colour_bias", report.colour_bias_abs),
            ("validation_depth_mae_m", report.depth_mae_m),
            ("validation_lost/vanish_rate", report.vanish_rate),
            ("validation_lost/ghost_rate", report.ghost_rate),
        ];
        Ok(figures.into_iter().filter(|(_, v)| v.is_finite()).map(|(name, v)| (name.to_owned(), v)).collect())
    }
}

fn report_text(trainer: &Trainer, outcome: &Outcome) -> ReportText {
    let settings = trainer.settings();
    let rcan = &settings.rcan;
    let learner = trainer.learner();
    let fact = |name: &str, value: String| (name.to_owned(), value);
    ReportText {
        title: "RCAN: randomized to canonical".into(),
        summary: "Validation frames show training objects in scenes and looks that were not trained on, translated by \
                  the averaged generator. Measure test objects with `bingrasp eval translation`. The pairwise image loss \
                  does not see a constant offset of the colours: watch the colour bias."
            .into(),
        facts: vec![
            fact("steps", outcome.steps.to_string()),
            fact("images seen", (outcome.steps * rcan.batch as u64).to_string()),
            fact("image size", format!("{0}x{0}", rcan.size)),
            fact("domain", text_of(settings, "domain").into()),
            fact("generator parameters", learner.generator.store().parameter_count().to_string()),
            fact("discriminator parameters", learner.discriminator.store().parameter_count().to_string()),
            fact("complete", if outcome.ended == Ended::Complete { "yes" } else { "no" }.into()),
        ],
    }
}
