//! `bingrasp eval translation` of a generator between simulation and `reality`: on scenes of test objects, against the same
//! states rendered in `reality`. For judging alone: no learner gets such pairs.

use super::eval_translation::{Args, STRIDE};
use super::generator::load_translation;
use super::output::{self, decimal};
use super::{UsageError, common};
use crate::contract::{Domain, FrameBatch, PrivilegedAccess, ScriptPolicy};
use crate::draw::{ContactSheet, Picture};
use crate::env::pairs::{frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv};
use crate::eval::unpaired::{UnpairedMeter, UnpairedReport, UnpairedScore};
use crate::gan::cyclegan::Generator;
use crate::gan::images::images_tensor;
use crate::nn::with_large_stack;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Rows of the sheet: the frames with most faults, and as many without.
const SHOWN: usize = 4;
/// Edge of a cell of the sheet, pixels.
const CELL: usize = 160;

#[derive(Serialize)]
struct Report {
    generator: PathBuf,
    method: String,
    step: u64,
    /// The true pictures'.
    domain: Domain,
    objects: String,
    #[serde(flatten)]
    translation: UnpairedReport,
    seconds: f64,
    sheet: PathBuf,
    threads: usize,
    seed: u64,
}

/// A judged frame: x, G(x), F(G(x)) where there is an F, and the true picture.
struct Kept {
    score: UnpairedScore,
    pictures: Vec<Vec<u8>>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let usual = || common::run_of(&args.generator).join("translation-reality.png");
    let sheet = args.sheet.clone().unwrap_or_else(usual);
    common::Inputs::default()
        .run("--generator", Some(&args.generator))
        .objects(args.objects.as_deref())
        .textures(&args.textures)
        .check_picture("--sheet", &sheet)?;
    let started = Instant::now();
    let loaded = load_translation(&args.generator, false)?;
    let method = loaded.config.learner.method;
    let back = method.has_cycle().then(|| load_translation(&args.generator, true)).transpose()?;
    let size = loaded.generator.size() as u32;
    // Seeds that no training run derives.
    let seed = args.seed.get().derive("evaluate translation", 0);
    let envs = common::num_envs_for(size).min(args.count);
    let cell = common::load_cell(args.cell.as_deref().unwrap_or(common::CELL))?;
    let reality = args.domain.filter(|domain| domain.stands_for_reality()).unwrap_or(Domain::Reality);
    let names = common::measured_objects(args.objects.as_deref(), Some(reality), &cell);
    let objects = common::objects_in(reality, names, args.object_options)?;
    let config = EnvConfig {
        textures: args.textures.load()?,
        sources: vec![Domain::Canonical, reality],
        ..EnvConfig::new(&cell, objects, Domain::Canonical, (envs, size), seed)
    };
    let config = config.with_frames(PrivilegedAccess::GroundTruth);
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    let mut env = GraspEnv::new(config)?;
    let bar = output::progress(args.count as u64, "frames");
    let (mut meter, mut kept) = (UnpairedMeter::default(), Vec::new());
    let wanted = |capture: usize| capture > 0 && capture % STRIDE == 0;
    for block in 0.. {
        play_block(
            &mut env,
            &mut ScriptPolicy,
            seed.derive("block", block),
            wanted,
            |_, _, moment| -> anyhow::Result<bool> {
                if let [canonical, reality] = frames_of(moment).as_slice() {
                    let count = (args.count - meter.frames()).min(canonical.count);
                    let translations = translate(&loaded.generator, &sources(canonical, count))?;
                    let backs = match &back {
                        Some(back) => translate(&back.generator, &translations)?,
                        None => Vec::new(),
                    };
                    for (index, translation) in translations.into_iter().enumerate() {
                        let Some(score) = meter.add((canonical, reality), index, &translation) else {
                            anyhow::bail!("frames of {size}x{size} are too small to judge")
                        };
                        let mut pictures = vec![canonical.source_image(index).to_vec(), translation];
                        pictures.extend(backs.get(index).cloned());
                        pictures.push(reality.source_image(index).to_vec());
                        kept.push(Kept { score, pictures });
                    }
                    bar.set_position(meter.frames() as u64);
                }
                Ok(meter.frames() < args.count)
            },
        )?;
        if meter.frames() >= args.count {
            break;
        }
    }
    bar.finish_and_clear();
    let report = Report {
        generator: args.generator.clone(),
        method: method.to_string(),
        step: loaded.step,
        domain: reality,
        objects: names.to_owned(),
        translation: meter.report(seed),
        seconds: started.elapsed().as_secs_f64(),
        sheet: sheet.clone(),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    draw(kept, &report, size as usize).save(&sheet)?;
    if args.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn sources(canonical: &FrameBatch, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| canonical.source_image(index).to_vec()).collect()
}

fn translate(generator: &Generator, images: &[Vec<u8>]) -> anyhow::Result<Vec<Vec<u8>>> {
    with_large_stack(|| -> anyhow::Result<_> {
        let tensor = images_tensor(images.iter().map(Vec::as_slice), [generator.size(); 2])?;
        Ok(generator.translate(&tensor)?)
    })?
}

fn print(report: &Report) -> anyhow::Result<()> {
    let t = &report.translation;
    let percent = |rate: f64| decimal(100.0 * rate, 1);
    output::line(&format!(
        "{} frames ({} objects), {}, step {}",
        t.frames, report.objects, report.method, report.step
    ))?;
    output::line(&format!(
        "objects vanished {}% of {} (true pictures: {}%), images with a ghost {}% (true pictures: {}%)",
        percent(t.vanish.rate),
        t.vanish.judged,
        percent(t.vanish_floor.rate),
        percent(t.ghost.rate),
        percent(t.ghost_floor.rate)
    ))?;
    output::line(&format!(
        "realism  sliced Wasserstein distance {} (true pictures: {})",
        decimal(t.sliced_wasserstein, 4),
        decimal(t.sliced_wasserstein_floor, 4)
    ))?;
    output::line(&format!("most faults, and none: {}", report.sheet.display()))?;
    Ok(())
}

/// The frames with most faults first, then some without.
fn draw(mut kept: Vec<Kept>, report: &Report, size: usize) -> ContactSheet {
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.score.vanished + kept.score.ghosts));
    let t = &report.translation;
    let subtitle = format!(
        "{} frames: {:.1}% of the objects vanished (true pictures {:.1}%), {:.1}% of the images have a ghost ({:.1}%)",
        t.frames,
        100.0 * t.vanish.rate,
        100.0 * t.vanish_floor.rate,
        100.0 * t.ghost.rate,
        100.0 * t.ghost_floor.rate
    );
    let with_back = kept.first().is_some_and(|kept| kept.pictures.len() == 4);
    let names: &[&str] = if with_back { &["x", "G(x)", "F(G(x))", "true"] } else { &["x", "G(x)", "true"] };
    let mut sheet =
        ContactSheet::new(format!("{}: simulation to reality", report.method), subtitle).columns(names).cell(CELL);
    let last = kept.len().saturating_sub(SHOWN).max(SHOWN.min(kept.len()));
    for kept in kept[..SHOWN.min(kept.len())].iter().chain(&kept[last..]) {
        let caption = format!("{} vanished, {} ghosts", kept.score.vanished, kept.score.ghosts);
        sheet.row(caption, kept.pictures.iter().map(|rgb| Picture::photo(size, size, rgb.clone())).collect());
    }
    sheet
}
