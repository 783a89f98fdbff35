//! `bingrasp eval translation` of a generator between simulation and `reality`: on scenes of test objects, against the same
//! states rendered in `reality`. For judging alone: no learner gets such pairs.

use super::eval_q::{QFunctions, Side, best, saliency_columns};
use super::eval_translation::{Args, STRIDE, without_q};
use super::output::{self, decimal};
use super::{UsageError, common};
use crate::contract::{Domain, FrameBatch, GripperState, PrivilegedAccess, ScriptPolicy};
use crate::draw::{ContactSheet, Picture};
use crate::env::pairs::{frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv};
use crate::eval::q_consistency::{IMAGES, QConsistency, QMeter};
use crate::eval::unpaired::{UnpairedMeter, UnpairedReport, UnpairedScore};
use crate::files::paths::is_same_place;
use crate::gan::cyclegan::{Generator, Method};
use crate::gan::images::images_tensor;
use crate::nn::with_large_stack;
use crate::rl::rl_cyclegan::saliency;
use crate::runs::generator::load_translation;
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
    policy: &'static str,
    #[serde(flatten)]
    translation: UnpairedReport,
    /// Of runs with Q-functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    q_consistency: Option<QConsistency>,
    seconds: f64,
    sheet: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    saliency: Option<PathBuf>,
    threads: usize,
    seed: u64,
}

/// A judged frame: x, G(x), and the true picture y; with an F all of [`IMAGES`].
struct Kept {
    score: UnpairedScore,
    pictures: Vec<Vec<u8>>,
    gripper: GripperState,
    /// Where the run has Q-functions.
    q: Option<Judged>,
}

/// What Q says of a frame.
#[derive(Clone)]
struct Judged {
    /// The place of the action that Q_sim likes best at x.
    action: usize,
    /// Its value, to stand below each picture.
    labels: Vec<String>,
}

/// G, and F where the method has one.
struct Networks {
    forward: Generator,
    backward: Option<Generator>,
}

impl Networks {
    /// x, G(x), y, or with an F all of [`IMAGES`], of the first `count` frames: `[kinds][count]` bytes.
    fn translate(
        &self,
        canonical: &FrameBatch,
        reality: &FrameBatch,
        count: usize,
    ) -> anyhow::Result<Vec<Vec<Vec<u8>>>> {
        let (x, y) = (sources(canonical, count), sources(reality, count));
        let gx = translate(&self.forward, &x)?;
        let Some(backward) = &self.backward else { return Ok(vec![x, gx, y]) };
        let (fgx, fy) = (translate(backward, &gx)?, translate(backward, &y)?);
        let gfy = translate(&self.forward, &fy)?;
        Ok(vec![x, gx, fgx, y, fy, gfy])
    }
}

/// Compares Q over the six images of each state, and returns what it says of the action that Q_sim likes best at x.
fn q_values(
    q: &QFunctions,
    meter: &mut QMeter,
    images: &[Vec<Vec<u8>>],
    gripper: &[GripperState],
) -> anyhow::Result<Vec<Judged>> {
    let of = |kind: usize| {
        let side = if [0, 2, 4].contains(&kind) { Side::Simulation } else { Side::Reality };
        q.values(side, &images[kind].iter().map(Vec::as_slice).collect::<Vec<_>>(), gripper)
    };
    let values = (0..IMAGES.len()).map(of).collect::<anyhow::Result<Vec<_>>>()?;
    let state = |index: usize| {
        meter.add(std::array::from_fn(|kind| &values[kind][index][..]));
        let action = best(&values[0][index]);
        let labels = values.iter().map(|values| format!("Q {:.2}", values[index][action])).collect();
        Judged { action, labels }
    };
    Ok((0..gripper.len()).map(state).collect())
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let usual = || common::run_of(&args.generator).join("translation-reality.png");
    let sheet = args.sheet.clone().unwrap_or_else(usual);
    let inputs = common::Inputs::default()
        .run("--generator", Some(&args.generator))
        .objects(args.objects.as_deref())
        .textures(args.textures.folder());
    inputs.check_picture("--sheet", &sheet)?;
    if let Some(path) = &args.saliency {
        inputs.check_picture("--saliency", path)?;
        if is_same_place(path, &sheet)? {
            return Err(UsageError("--saliency and --sheet name one file; give each its own".into()).into());
        }
    }
    let started = Instant::now();
    let loaded = load_translation(&args.generator, false)?;
    let method = loaded.config.learner.method;
    if args.saliency.is_some() && method != Method::RlCycleGan {
        return Err(without_q(&args.generator).into());
    }
    let back = method.has_cycle().then(|| load_translation(&args.generator, true)).transpose()?;
    let networks = Networks { forward: loaded.generator, backward: back.map(|back| back.generator) };
    let size = networks.forward.size() as u32;
    // Seeds that no training run derives.
    let seed = args.seed.get().derive("evaluate translation", 0);
    let q = (method == Method::RlCycleGan).then(|| QFunctions::load(&args.generator, seed)).transpose()?;
    let envs = common::num_envs_for(size).min(args.count);
    let cell = common::load_cell(args.cell.as_deref().unwrap_or(common::CELL))?;
    let reality = args.domain.filter(|domain| domain.stands_for_reality()).unwrap_or(Domain::Reality);
    let names = common::measured_objects(args.objects.as_deref(), Some(reality), &cell);
    let objects = common::objects_in(reality, names, args.object_options)?;
    let config = EnvConfig {
        textures: args.textures.load()?,
        sources: vec![Domain::Canonical, reality],
        scripts: vec![args.policy],
        ..EnvConfig::new(&cell, objects, Domain::Canonical, (envs, size), seed)
    };
    let config = config.with_frames(PrivilegedAccess::GroundTruth);
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    let mut env = GraspEnv::new(config)?;
    let bar = output::progress(args.count as u64, "frames");
    let (mut meter, mut q_meter, mut kept) = (UnpairedMeter::default(), QMeter::default(), Vec::new());
    let wanted = |capture: usize| capture > 0 && capture % STRIDE == 0;
    for block in 0.. {
        play_block(
            &mut env,
            &mut ScriptPolicy,
            seed.derive("block", block),
            wanted,
            |_, _, moment| -> anyhow::Result<bool> {
                let gripper = moment.batch.observation.gripper.clone();
                if let [canonical, reality] = frames_of(moment).as_slice() {
                    let count = (args.count - meter.frames()).min(canonical.count);
                    let images = networks.translate(canonical, reality, count)?;
                    let judged: Vec<Option<Judged>> = match &q {
                        Some(q) => {
                            q_values(q, &mut q_meter, &images, &gripper[..count])?.into_iter().map(Some).collect()
                        }
                        None => vec![None; count],
                    };
                    for (index, q) in judged.into_iter().enumerate() {
                        let Some(score) = meter.add((canonical, reality), index, &images[1][index]) else {
                            anyhow::bail!("frames of {size}x{size} are too small to judge")
                        };
                        let pictures = images.iter().map(|images| images[index].clone()).collect();
                        kept.push(Kept { score, pictures, gripper: gripper[index], q });
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
        policy: args.policy.name(),
        translation: meter.report(seed),
        q_consistency: q.as_ref().map(|_| q_meter.report()),
        seconds: started.elapsed().as_secs_f64(),
        sheet: sheet.clone(),
        saliency: args.saliency.clone(),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    let shown = shown(kept);
    draw(&shown, &report, size as usize).save(&sheet)?;
    if let (Some(path), Some(q)) = (&args.saliency, &q) {
        draw_saliency(&shown, &report, q, &networks.forward)?.save(path)?;
    }
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

/// Translations of images, bytes to bytes.
///
/// # Errors
/// Images of another size.
pub(super) fn translate(generator: &Generator, images: &[Vec<u8>]) -> anyhow::Result<Vec<Vec<u8>>> {
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
    if let Some(q) = &report.q_consistency {
        for (name, agreement) in [
            ("Q_sim(x) and Q_real(G(x))", &q.gx),
            ("Q_sim(x) and Q_sim(F(G(x)))", &q.fgx),
            ("Q_real(y) and Q_sim(F(y))", &q.fy),
            ("Q_real(y) and Q_real(G(F(y)))", &q.gfy),
            ("Q_sim(x) and Q_real(y), true pictures", &q.truth),
        ] {
            output::line(&format!(
                "Q        {name}: correlation {}, mean absolute difference {}, normalized error {}",
                decimal(agreement.correlation, 3),
                decimal(agreement.mean_abs_difference, 3),
                decimal(agreement.normalized_error, 3)
            ))?;
        }
    }
    output::line(&format!("most faults, and none: {}", report.sheet.display()))?;
    if let Some(path) = &report.saliency {
        output::line(&format!("saliency of Q there: {}", path.display()))?;
    }
    Ok(())
}

/// The frames of the sheets: those with most faults first, then some without.
fn shown(mut kept: Vec<Kept>) -> Vec<Kept> {
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.score.vanished + kept.score.ghosts));
    let last = kept.len().saturating_sub(SHOWN).max(SHOWN.min(kept.len()));
    kept.drain(SHOWN.min(kept.len())..last);
    kept
}

/// What Q depends on in each picture of these frames.
fn draw_saliency(
    shown: &[Kept],
    report: &Report,
    q: &QFunctions,
    sim2real: &Generator,
) -> anyhow::Result<ContactSheet> {
    let kind = |index: usize| shown.iter().map(|kept| kept.pictures[index].clone()).collect::<Vec<_>>();
    let images: Vec<_> = IMAGES.into_iter().enumerate().map(|(index, name)| (name, kind(index))).collect();
    let gripper: Vec<GripperState> = shown.iter().map(|kept| kept.gripper).collect();
    let actions: Vec<usize> = shown.iter().map(|kept| kept.q.as_ref().map_or(0, |q| q.action)).collect();
    let columns = saliency_columns(q, sim2real, &images, (&gripper, &actions))?;
    Ok(saliency::draw(format!("{}: saliency", report.method), columns, CELL))
}

fn draw(shown: &[Kept], report: &Report, size: usize) -> ContactSheet {
    let t = &report.translation;
    let subtitle = format!(
        "{} frames: {:.1}% of the objects vanished (true pictures {:.1}%), {:.1}% of the images have a ghost ({:.1}%); y is \
         the true picture",
        t.frames,
        100.0 * t.vanish.rate,
        100.0 * t.vanish_floor.rate,
        100.0 * t.ghost.rate,
        100.0 * t.ghost_floor.rate
    );
    let with_back = shown.first().is_some_and(|kept| kept.pictures.len() == IMAGES.len());
    let names: &[&str] = if with_back { &IMAGES } else { &["x", "G(x)", "y"] };
    let mut sheet =
        ContactSheet::new(format!("{}: simulation to reality", report.method), subtitle).columns(names).cell(CELL);
    for kept in shown {
        let caption = format!("{} vanished, {} ghosts", kept.score.vanished, kept.score.ghosts);
        let label = |index: usize| kept.q.as_ref().and_then(|q| q.labels.get(index)).cloned().unwrap_or_default();
        let pictures = kept.pictures.iter().enumerate();
        let picture = |(index, rgb): (usize, &Vec<u8>)| Picture::photo(size, size, rgb.clone()).labelled(label(index));
        sheet.row(caption, pictures.map(picture).collect());
    }
    sheet
}
