//! `bingrasp eval translation` with a run of `train semantic-cyclegan`: masks, depths and pictures on unseen scenes.

use super::eval_translation::{Args, STRIDE, first_frames, one};
use super::output::{self, decimal};
use super::{UsageError, common};
use crate::contract::{Domain, FrameBatch, PrivilegedAccess, ScriptPolicy, Seed};
use crate::data::paired::Manifest;
use crate::draw::palette::{colour_classes, colour_depth};
use crate::draw::{ContactSheet, Picture, depth_range};
use crate::env::pairs::{frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv};
use crate::eval::semantic::{SemanticMeter, SemanticReport, SemanticTranslation};
use crate::files::console;
use crate::gan::semantic::picture::colour_semantic;
use crate::gan::semantic::{
    LoadedSemantic, RgbdImage, SemanticClass, SemanticData, decode_batch, encode_batch, load_semantic,
};
use crate::nn::{HOST, with_large_stack};
use crate::runs::semantic_cyclegan::cell_of;
use crate::scene::CellDescription;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Frames translated at once.
const BATCH: usize = 32;
/// Rows of each kind on the sheet.
const SHOWN: usize = 2;

#[derive(Serialize)]
struct Report {
    generator: PathBuf,
    step: u64,
    domain: Domain,
    /// What F translates to, where the run remembers it.
    simulation_domain: Option<Domain>,
    objects: String,
    policy: &'static str,
    #[serde(flatten)]
    figures: SemanticReport,
    /// Milliseconds for one image's translation and mask, in batches.
    ms_per_image: f64,
    seconds: f64,
    sheet: PathBuf,
    adapter: String,
    threads: usize,
    seed: u64,
}

/// One judged frame, kept for the sheet.
pub(super) struct Kept {
    batch: FrameBatch,
    pub object_iou: f64,
    translation: SemanticTranslation,
}

impl Kept {
    pub fn new(batch: &FrameBatch, index: usize, object_iou: f64, translation: SemanticTranslation) -> Self {
        Self { batch: one(batch, index), object_iou, translation }
    }
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let domain = args.domain.unwrap_or(Domain::Reality);
    let sheet =
        args.sheet.clone().unwrap_or_else(|| common::run_of(&args.generator).join(format!("translation-{domain}.png")));
    common::Inputs::default()
        .run("--generator", Some(&args.generator))
        .objects(args.objects.as_deref())
        .textures(args.textures.folder())
        .check_picture("--sheet", &sheet)?;
    let started = Instant::now();
    let loaded = load_semantic(&args.generator, &HOST)?;
    console::warn_all(&loaded.warnings);
    let size = loaded.config.learner.size as u32;
    // Seeds that no dataset derives.
    let seed = args.seed.get().derive("evaluate translation", 0);
    let cell = match &args.cell {
        Some(cell) => common::load_cell(cell)?,
        None => trained_cell(&args.generator, &loaded.config.data)?,
    };
    let names = common::measured_objects(args.objects.as_deref(), Some(domain), &cell);
    let objects = common::objects_in(domain, names, args.object_options)?;
    let envs = common::num_envs_for(size).min(args.count);
    let config = EnvConfig {
        textures: args.textures.load()?,
        scripts: vec![args.policy],
        ..EnvConfig::new(&cell, objects, domain, (envs, size), seed)
    };
    // This room measures against the truth.
    let mut config = config.with_frames(PrivilegedAccess::GroundTruth);
    config.channels.depth = true;
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    let mut env = GraspEnv::new(config)?;
    let adapter = env.graphics_adapter().map(|adapter| adapter.name.clone()).unwrap_or_default();
    let (meter, mut kept, network_s) = evaluate(&loaded, &mut env, seed, args.count)?;
    let figures = meter.report();
    kept.retain(|kept| kept.object_iou.is_finite());
    kept.sort_by(|a, b| b.object_iou.total_cmp(&a.object_iou));
    draw(&kept, &figures, domain).save(&sheet)?;
    let report = Report {
        generator: args.generator.clone(),
        step: loaded.step,
        domain,
        simulation_domain: loaded.config.data.domain,
        objects: names.to_owned(),
        policy: args.policy.name(),
        ms_per_image: network_s * 1e3 / figures.frames as f64,
        figures,
        seconds: started.elapsed().as_secs_f64(),
        sheet,
        adapter,
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The cell that the simulated images of a run show: as the run says, or in runs that did not keep it as their dataset does.
///
/// # Errors
/// [`UsageError`] where neither says it, and for a cell that is not known here or is another by now.
fn trained_cell(run: &Path, data: &SemanticData) -> anyhow::Result<Arc<CellDescription>> {
    let refuse = |reason: String| UsageError(format!("{}: {reason}; pass --cell", run.display()));
    let (name, digest) = match &data.cell {
        Some(name) => (name.clone(), data.cell_digest.clone()),
        None => {
            let gone = |error| {
                let folder = data.simulation.display();
                refuse(format!(
                    "the run does not say which cell it was trained in, and its images in {folder} neither ({error})"
                ))
            };
            cell_of(&Manifest::read(&data.simulation).map_err(gone)?.dataset)
        }
    };
    let cell =
        common::load_cell(&name).map_err(|error| refuse(format!("it was trained in the cell {name}: {error}")))?;
    if digest.is_some_and(|digest| common::recorded_cell(&cell).is_ok_and(|found| found.digest != digest)) {
        return Err(refuse(format!(
            "it was trained in another cell of the name {name} than the one that is known here"
        ))
        .into());
    }
    Ok(cell)
}

fn print(report: &Report) -> anyhow::Result<()> {
    let f = &report.figures;
    let mm = |metres: f64| decimal(metres * 1e3, 1);
    output::line(&format!(
        "{} frames of {} ({} objects, {} policy), step {}",
        f.frames, report.domain, report.objects, report.policy, report.step
    ))?;
    output::line(&format!(
        "mask    object IoU {} (by episode {}, 95% {} to {}), fingers {}, background {}; {}% of the objects missed",
        decimal(f.object_iou, 3),
        decimal(f.object_iou_by_episode, 3),
        decimal(f.object_iou_interval[0], 3),
        decimal(f.object_iou_interval[1], 3),
        decimal(f.fingers_iou, 3),
        decimal(f.background_iou, 3),
        decimal(100.0 * f.missed_object_rate, 1)
    ))?;
    output::line(&format!(
        "depth   mean absolute error {} mm on objects, {} mm elsewhere, {} mm in holes; the sensor: {} and {} mm, {}% holes",
        mm(f.depth_mae_object_m),
        mm(f.depth_mae_other_m),
        mm(f.depth_mae_holes_m),
        mm(f.sensor_mae_object_m),
        mm(f.sensor_mae_other_m),
        decimal(100.0 * f.hole_rate, 1)
    ))?;
    if report.simulation_domain == Some(Domain::Canonical) {
        output::line(&format!("image   SSIM {} against the canonical picture", decimal(f.ssim_to_canonical, 3)))?;
    }
    output::line(&format!("best, median and worst: {}", report.sheet.display()))?;
    Ok(())
}

/// Plays attempts in fresh blocks and translates every third step until there are `count` frames.
fn evaluate(
    loaded: &LoadedSemantic,
    env: &mut GraspEnv,
    seed: Seed,
    count: usize,
) -> anyhow::Result<(SemanticMeter, Vec<Kept>, f64)> {
    let bar = output::progress(count as u64, "frames");
    let mut meter = SemanticMeter::new(&loaded.config.learner);
    let mut kept = Vec::new();
    let mut network_s = 0.0;
    for block in 0..u64::MAX {
        let wanted = |capture: usize| capture > 0 && capture % STRIDE == 0;
        play_block(
            env,
            &mut ScriptPolicy,
            seed.derive("block", block),
            wanted,
            |env, _, moment| -> anyhow::Result<bool> {
                for batch in frames_of(moment) {
                    let batch = first_frames(batch, count - meter.frames());
                    let begun = Instant::now();
                    let translations = with_large_stack(|| translate(loaded, &batch))??;
                    network_s += begun.elapsed().as_secs_f64();
                    for (index, translation) in translations.into_iter().enumerate() {
                        // An environment plays one episode a block, or two.
                        let episode = block * env.len() as u64 + index as u64;
                        let score = meter.add(&batch, index, episode, &translation)?;
                        kept.push(Kept::new(&batch, index, score.object_iou, translation));
                    }
                    bar.set_position(meter.frames() as u64);
                }
                Ok(meter.frames() < count)
            },
        )?;
        if meter.frames() >= count {
            break;
        }
    }
    bar.finish_and_clear();
    Ok((meter, kept, network_s))
}

/// F and D_Y on the source pictures and their measured depths.
pub(super) fn translate(loaded: &LoadedSemantic, batch: &FrameBatch) -> candle_core::Result<Vec<SemanticTranslation>> {
    let config = &loaded.config.learner;
    let mut translations = Vec::with_capacity(batch.count);
    for part in (0..batch.count).collect::<Vec<_>>().chunks(BATCH) {
        let image = |&i: &usize| RgbdImage { rgb: batch.source_image(i), depth_m: batch.sensed_depth_image(i) };
        let y = encode_batch(config, part.iter().map(image), &HOST)?;
        let images = decode_batch(config, &loaded.generator_x.translate(&y)?)?;
        let masks = loaded.discriminator_y.segment(&y)?;
        let masks = masks.chunks_exact(config.size * config.size);
        let of = |(image, mask): (_, &[u8])| SemanticTranslation { image, classes: mask.to_vec() };
        translations.extend(images.into_iter().zip(masks).map(of));
    }
    Ok(translations)
}

/// Best, median and worst by the object's IoU; `kept` is sorted, best first.
pub(super) fn draw(kept: &[Kept], figures: &SemanticReport, domain: Domain) -> ContactSheet {
    let n = kept.len();
    let shown = SHOWN.min(n);
    let middle = (n / 2).saturating_sub(shown / 2).min(n - shown);
    let rows: Vec<(&str, &Kept)> = [("best", 0), ("median", middle), ("worst", n - shown)]
        .into_iter()
        .flat_map(|(name, first)| kept[first..first + shown].iter().map(move |kept| (name, kept)))
        .collect();
    let (near, far) = depth_range(rows.iter().flat_map(|(_, kept)| kept.batch.depth_m.iter().copied()));
    let names = ["y", "F(y)", "depth of y", "depth of F(y)", "true depth", "D_Y's mask", "true mask"];
    let subtitle = format!(
        "{} unseen frames: object IoU {:.3}; depth on objects {:.1} mm off, the sensor's {:.1} mm",
        figures.frames,
        figures.object_iou,
        1e3 * figures.depth_mae_object_m,
        1e3 * figures.sensor_mae_object_m
    );
    let title = format!("{domain} to simulation: best, median and worst");
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(176).class_legend().depth_legend(near, far);
    for (name, Kept { batch, object_iou, translation }) in rows {
        let (w, h) = (batch.width, batch.height);
        let exact = |rgb: Vec<u8>| Picture::exact(w, h, rgb);
        let depth = |metres: &[f32]| exact(colour_depth(metres, near, far));
        let truth: Vec<u8> = (batch.segmentation.iter())
            .map(|&class| SemanticClass::to_rendered(SemanticClass::from_rendered(class) as u8) as u8)
            .collect();
        let pictures = vec![
            exact(batch.source_rgb.clone()),
            exact(translation.image.rgb.clone()),
            depth(&batch.sensed_depth_m),
            depth(&translation.image.depth_m),
            depth(&batch.depth_m),
            exact(colour_semantic(&translation.classes)),
            exact(colour_classes(&truth)),
        ];
        sheet.row(format!("{name}: object IoU {object_iou:.3}"), pictures);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::paired::DatasetConfig;

    #[test]
    fn a_run_is_judged_in_the_cell_that_it_was_trained_in() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (run, panda) = (Path::new("runs/semantic"), "panda-table".to_owned());
        let digest = common::recorded_cell(&*common::load_cell(&panda)?)?.digest;
        let name = |data: &SemanticData| trained_cell(run, data).map(|cell| cell.name.clone());
        let kept = |cell: &str, digest: &str| SemanticData {
            cell: Some(cell.to_owned()),
            cell_digest: Some(digest.to_owned()),
            ..SemanticData::default()
        };
        assert_eq!(name(&kept(&panda, &digest))?, panda);
        // Runs of earlier versions: by their images, as long as these are there.
        let old = SemanticData { simulation: folder.path().join("sim"), ..SemanticData::default() };
        let error = name(&old).expect_err("no images");
        assert!(error.is::<UsageError>() && error.to_string().contains("pass --cell"), "{error}");
        std::fs::create_dir(&old.simulation)?;
        let mut dataset = DatasetConfig::new(Seed(1), Domain::Canonical, 4, (64, 64));
        Manifest::new(dataset.clone()).write(&old.simulation)?;
        assert_eq!(name(&old)?, common::CELL);
        dataset.generator.insert("cell".to_owned(), panda.clone().into());
        dataset.generator.insert("cell_digest".to_owned(), digest.into());
        Manifest::new(dataset).write(&old.simulation)?;
        assert_eq!(name(&old)?, panda);
        for (wrong, says) in [(kept(&panda, "0123"), "another cell"), (kept("my-cell", "0123"), "my-cell")] {
            let error = name(&wrong).expect_err(says);
            assert!(error.is::<UsageError>() && error.to_string().contains(says), "{error}");
        }
        Ok(())
    }
}
