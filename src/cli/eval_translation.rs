//! `bingrasp eval translation`: a generator on scenes of test objects that it has never seen.

use super::eval_unpaired;
use super::output::{self, decimal};
use super::{UsageError, common, eval_semantic, numbers};
use crate::contract::{Domain, FrameBatch, PrivilegedAccess, ScriptPolicy, Seed};
use crate::env::pairs::{frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv};
use crate::eval::translation::{FrameScore, TranslationMeter, TranslationReport};
use crate::files::console;
use crate::gan::frames::Frame;
use crate::gan::rcan::picture::{Row, sheet};
use crate::gan::rcan::{Generator, Translation, load_generator};
use crate::gan::semantic::SemanticConfig;
use crate::nn::HOST;
use crate::nn::with_large_stack;
use crate::pictures::LeftOut;
use crate::policies::PolicyKind;
use crate::runs::generator::{GeneratorKind, kind};
use crate::train::{LearnerConfig, learner_name};
use indicatif::ProgressBar;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Every so many steps of an attempt a frame is taken, so that frames differ.
pub(super) const STRIDE: usize = 3;
/// Rows of each kind on the sheet.
const SHOWN: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of a run of `train rcan`, or of gan, cyclegan, graspgan or rl-cyclegan (judged against the same states in
    /// reality), or of one of its checkpoints
    #[arg(long, value_name = "RUN")]
    pub(super) generator: PathBuf,
    /// Source domain of an RCAN run: canonical, randomized-mild, randomized-medium, randomized-heavy, reality, reality-dev,
    /// reality-2; for the others the reality to judge against
    /// [default: randomized-heavy, for the others reality]
    #[arg(long)]
    pub(super) domain: Option<Domain>,
    /// Frames to translate
    #[arg(long, default_value_t = 1000, value_parser = numbers::count(numbers::ATTEMPTS))]
    pub(super) count: usize,
    /// Objects: test, train, all, household, ycb, spring-jointed, or a folder of object files, several with commas [default: test,
    /// ycb for relative poses; in reality-dev train]
    #[arg(long, value_name = "SET|DIR")]
    pub(super) objects: Option<String>,
    /// Cell: one of `bingrasp cells list`, or a TOML file [default: the cell that the run was trained in; iiwa-bin]
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) cell: Option<String>,
    /// Move the arm in the frames by this policy: scripted, noisy-planner, oracle or random
    #[arg(long, value_name = "NAME", default_value = "scripted")]
    pub(super) policy: PolicyKind,
    #[command(flatten)]
    pub(super) object_options: common::ImportArgs,
    #[command(flatten)]
    pub(super) textures: common::TextureArgs,
    /// Where to draw the best, median and worst translations; the default is in the run's folder
    #[arg(long, value_name = "FILE")]
    pub(super) sheet: Option<PathBuf>,
    /// Draw the saliency of the sheet's pictures into this file as well: the pixels on which Q depends, for runs of rl-cyclegan
    #[arg(long, value_name = "FILE")]
    pub(super) saliency: Option<PathBuf>,
    #[command(flatten)]
    pub(super) seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Serialize)]
struct Report {
    generator: PathBuf,
    step: u64,
    domain: Domain,
    objects: String,
    policy: &'static str,
    #[serde(flatten)]
    translation: TranslationReport,
    /// Milliseconds to translate one image, in batches.
    ms_per_image: f64,
    seconds: f64,
    sheet: PathBuf,
    /// What lies in the folder of textures and is not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    textures_left_out: Vec<LeftOut>,
    adapter: String,
    threads: usize,
    seed: u64,
}

/// One judged frame, kept for the sheet.
struct Kept {
    batch: FrameBatch,
    score: FrameScore,
    translation: Translation,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // What is no run is refused by the checks and the loader below.
    let translates = kind(&args.generator).map(|kind| kind == GeneratorKind::Translation);
    if args.saliency.is_some() && translates.as_ref().is_ok_and(|translates| !translates) {
        return Err(without_q(&args.generator).into());
    }
    if learner_name(&args.generator).is_ok_and(|name| name == SemanticConfig::NAME) {
        return eval_semantic::run(args);
    }
    if translates.unwrap_or(false) {
        return eval_unpaired::run(args);
    }
    let report = measure(args)?;
    if args.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with `--saliency` for this run.
pub(super) fn without_q(run: &Path) -> UsageError {
    UsageError(format!(
        "--saliency draws what Q-functions depend on, and the run in {} has none; give one of train rl-cyclegan",
        run.display()
    ))
}

/// Measures a generator of RCAN and prints nothing: the object of `--json`.
///
/// # Errors
/// As the command; a run of another learner.
pub(super) fn measured(args: &Args) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::to_value(measure(args)?)?)
}

fn measure(args: &Args) -> anyhow::Result<Report> {
    let domain = args.domain.unwrap_or(Domain::RandomizedHeavy);
    let sheet =
        args.sheet.clone().unwrap_or_else(|| common::run_of(&args.generator).join(format!("translation-{domain}.png")));
    common::Inputs::default()
        .run("--generator", Some(&args.generator))
        .objects(args.objects.as_deref())
        .textures(args.textures.folder())
        .check_picture("--sheet", &sheet)?;
    let started = Instant::now();
    let loaded = load_generator(&args.generator, &HOST)?;
    console::warn_all(&loaded.warnings);
    // A dataset's pairs may show another cell than the settings of environments that were never opened.
    let data = &loaded.config.data;
    let trained_in = data.dataset.is_none().then_some(data.env.cell.as_str());
    let cell = common::load_cell(args.cell.as_deref().or(trained_in).unwrap_or(common::CELL))?;
    let objects = common::measured_objects(args.objects.as_deref(), Some(domain), &cell);
    let size = loaded.generator.size() as u32;
    // Seeds that no training run derives.
    let seed = args.seed.get().derive("evaluate translation", 0);
    let envs = common::num_envs_for(size).min(args.count);
    let config = EnvConfig {
        textures: args.textures.load()?,
        scripts: vec![args.policy],
        ..EnvConfig::new(&cell, common::objects_in(domain, objects, args.object_options)?, domain, (envs, size), seed)
    };
    // This room measures against the truth.
    let config = config.with_frames(PrivilegedAccess::GroundTruth);
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    let textures_left_out = config.textures.left_out.clone();
    let mut env = GraspEnv::new(config)?;
    let adapter = env.graphics_adapter().map(|a| a.name.clone()).unwrap_or_default();
    let bar = output::progress(args.count as u64, "frames");
    let (meter, mut kept, network_s) = evaluate(&loaded.generator, &mut env, seed, args.count, &bar)?;
    bar.finish_and_clear();
    let translation = meter.report();
    kept.sort_by(|a, b| b.score.ssim.total_cmp(&a.score.ssim));
    draw(&kept, &translation, domain).save(&sheet)?;
    Ok(Report {
        generator: args.generator.clone(),
        step: loaded.step,
        domain,
        objects: objects.to_owned(),
        policy: args.policy.name(),
        ms_per_image: network_s * 1e3 / translation.frames as f64,
        translation,
        seconds: started.elapsed().as_secs_f64(),
        sheet,
        textures_left_out,
        adapter,
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    })
}

fn print(report: &Report) -> anyhow::Result<()> {
    let t = &report.translation;
    output::line(&format!(
        "{} frames of {} ({} objects, {} policy), step {}",
        t.frames, report.domain, report.objects, report.policy, report.step
    ))?;
    output::line(&format!(
        "image   SSIM {} (95% {} to {}), PSNR {} dB, colour bias {} {} {}",
        decimal(t.ssim, 3),
        decimal(t.ssim_interval[0], 3),
        decimal(t.ssim_interval[1], 3),
        decimal(t.psnr, 1),
        decimal(t.colour_bias[0], 3),
        decimal(t.colour_bias[1], 3),
        decimal(t.colour_bias[2], 3)
    ))?;
    let classes: Vec<String> = t.class_iou.iter().map(|(name, iou)| format!("{name} {iou:.3}")).collect();
    output::line(&format!("mask    mean IoU {}: {}", decimal(t.mean_iou, 3), classes.join(", ")))?;
    output::line(&format!("depth   mean absolute error {} mm", decimal(t.depth_mae_m * 1e3, 1)))?;
    output::line(&format!(
        "objects {}% vanished of {}, {}% of the images have a ghost (by image: {}%, {}%)",
        decimal(t.vanish.rate * 100.0, 1),
        t.vanish.judged,
        decimal(t.ghost.rate * 100.0, 1),
        decimal(t.image_vanish.rate * 100.0, 1),
        decimal(t.image_ghost.rate * 100.0, 1)
    ))?;
    output::line(&format!("best, median and worst: {}", report.sheet.display()))
}

/// Plays attempts in fresh blocks and translates every third step until there are `count` frames.
fn evaluate(
    generator: &Generator,
    env: &mut GraspEnv,
    seed: Seed,
    count: usize,
    bar: &ProgressBar,
) -> anyhow::Result<(TranslationMeter, Vec<Kept>, f64)> {
    let mut meter = TranslationMeter::default();
    let mut kept = Vec::new();
    let mut network_s = 0.0;
    for block in 0.. {
        let wanted = |capture: usize| capture > 0 && capture % STRIDE == 0;
        play_block(
            env,
            &mut ScriptPolicy,
            seed.derive("block", block),
            wanted,
            |_, _, moment| -> anyhow::Result<bool> {
                for batch in frames_of(moment) {
                    let batch = first_frames(batch, count - meter.frames());
                    let begun = Instant::now();
                    let scored = with_large_stack(|| meter.add_batch(generator, &batch))??;
                    network_s += begun.elapsed().as_secs_f64();
                    let frames = scored.into_iter().enumerate();
                    kept.extend(frames.map(|(i, (score, translation))| Kept {
                        batch: one(&batch, i),
                        score,
                        translation,
                    }));
                    bar.set_position(meter.frames() as u64);
                }
                Ok(meter.frames() < count)
            },
        )?;
        if meter.frames() >= count {
            break;
        }
    }
    Ok((meter, kept, network_s))
}

/// The first `count` frames of a batch.
pub(super) fn first_frames(mut batch: FrameBatch, count: usize) -> FrameBatch {
    if count < batch.count {
        let pixels = batch.pixels();
        batch.count = count;
        for bytes in [&mut batch.source_rgb, &mut batch.canonical_rgb] {
            bytes.truncate(count * pixels * 3);
        }
        for ids in [&mut batch.segmentation, &mut batch.instances] {
            ids.truncate(count * pixels);
        }
        batch.depth_m.truncate(count * pixels);
        batch.sensed_depth_m.truncate(count * pixels);
        batch.cameras.truncate(count);
        batch.step_indices.truncate(count);
        batch.look_seeds.truncate(count);
    }
    batch
}

/// Frame `i` as a batch of its own.
pub(super) fn one(batch: &FrameBatch, i: usize) -> FrameBatch {
    FrameBatch {
        source: batch.source,
        count: 1,
        height: batch.height,
        width: batch.width,
        source_rgb: batch.source_image(i).to_vec(),
        canonical_rgb: batch.canonical_image(i).to_vec(),
        segmentation: batch.segmentation_image(i).to_vec(),
        instances: batch.instance_image(i).to_vec(),
        depth_m: batch.depth_image(i).to_vec(),
        sensed_depth_m: batch.sensed_depth_image(i).to_vec(),
        cameras: vec![batch.cameras[i]],
        step_indices: vec![batch.step_indices[i]],
        look_seeds: vec![batch.look_seeds[i]],
    }
}

/// Best, median and worst by SSIM; `kept` is sorted, best first.
fn draw(kept: &[Kept], report: &TranslationReport, source: Domain) -> crate::draw::ContactSheet {
    let n = kept.len();
    let shown = SHOWN.min(n);
    let middle = (n / 2).saturating_sub(shown / 2).min(n - shown);
    let places = [("best", 0), ("median", middle), ("worst", n - shown)];
    let rows: Vec<Row<'_>> = places
        .into_iter()
        .flat_map(|(name, first)| (first..first + shown).map(move |i| (name, i)))
        .map(|(name, i)| Row {
            frame: Frame { batch: &kept[i].batch, index: 0 },
            translation: &kept[i].translation,
            caption: format!("{name}: SSIM {:.3}, PSNR {:.1} dB", kept[i].score.ssim, kept[i].score.psnr_db),
        })
        .collect();
    let subtitle = format!(
        "{n} unseen frames: SSIM {:.3}, object IoU {:.3}, mean IoU {:.3}, {:.1}% of the objects vanished",
        report.ssim,
        report.object_iou,
        report.mean_iou,
        report.vanish_rate * 100.0
    );
    sheet(format!("{source} to canonical: best, median and worst"), subtitle, &rows)
}
