//! `bingrasp reproduce rl-cyclegan-figure4`: the same states through all four translations, with what vanished and what was
//! invented circled from the truth.

use super::plan::Plan;
use crate::cli::eval_unpaired::translate;
use crate::cli::{common, output};
use crate::contract::{Domain, PrivilegedAccess, ScriptPolicy, Seed};
use crate::draw::{ContactSheet, Picture};
use crate::env::pairs::{frames_of, play_block};
use crate::env::{EnvConfig, GraspEnv};
use crate::eval::metrics::Fault;
use crate::eval::table::STAND_IN;
use crate::eval::unpaired::{UnpairedMeter, UnpairedReport};
use crate::files::atomic::{create_folder, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::gan::cyclegan::{Generator, Method};
use crate::runs::generator::load_translation;
use crate::train::Ended;
use image::imageops::{FilterType, resize};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Rows of the sheet: half of them with most faults, the others spread evenly.
const ROWS: usize = 8;
/// Edge of a picture on the sheet, and thickness of a circle, pixels.
const CELL: u32 = 192;
const LINE: f32 = 2.5;
const LOST: [u8; 3] = [226, 40, 40];
const GHOST: [u8; 3] = [250, 200, 30];
/// Every so many steps of an attempt a state is taken.
const STRIDE: usize = 3;

/// A state: its pictures, canonical, by each method, true; and the faults of each method.
struct State {
    pictures: Vec<Vec<u8>>,
    faults: Vec<Vec<Fault>>,
}

#[derive(Serialize)]
struct MethodReport {
    method: String,
    #[serde(flatten)]
    translation: UnpairedReport,
}

/// Completes the methods' nodes and draws the sheet into `out`.
///
/// # Errors
/// What the runs met; a full disk.
pub fn run(
    plan: &mut Plan,
    nodes: &[(Method, String)],
    (out, frames, seed): (&Path, usize, Seed),
    (quick, json): (bool, bool),
) -> anyhow::Result<ExitCode> {
    create_folder(out)?;
    interrupt::install(|| remark("stopping at the next checkpoint; Ctrl-C again stops at once"))?;
    for (_, node) in nodes {
        if plan.complete(node)? == Ended::Interrupted {
            remark("interrupted: resume with the same command");
            return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
        }
    }
    let generators: Vec<Generator> = nodes
        .iter()
        .map(|(_, node)| Ok(load_translation(&plan.work(node), false)?.generator))
        .collect::<anyhow::Result<_>>()?;
    let (states, meters) = judge(&generators, frames, seed)?;
    let reports: Vec<MethodReport> = nodes
        .iter()
        .zip(&meters)
        .map(|((method, _), meter)| MethodReport { method: method.to_string(), translation: meter.report(seed) })
        .collect();
    let picture = out.join("rl-cyclegan-figure4.png");
    draw(&states, &reports, quick, generators.first().map_or(64, Generator::size)).save(&picture)?;
    let text = markdown(&reports, quick);
    write_atomic(&out.join("rl-cyclegan-figure4.md"), text.as_bytes())?;
    write_atomic(&out.join("rl-cyclegan-figure4.json"), &serde_json::to_vec_pretty(&reports)?)?;
    if json {
        output::json(&reports)?;
    } else {
        output::line(&text)?;
        output::line(&picture.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn judge(generators: &[Generator], frames: usize, seed: Seed) -> anyhow::Result<(Vec<State>, Vec<UnpairedMeter>)> {
    let size = generators.first().map_or(64, Generator::size) as u32;
    let cell = common::load_cell(common::CELL)?;
    let objects = common::load_objects("test", common::ImportArgs::default())?;
    let envs = common::num_envs_for(size).min(frames);
    let config = EnvConfig {
        sources: vec![Domain::Canonical, Domain::Reality],
        ..EnvConfig::new(&cell, objects, Domain::Canonical, (envs, size), seed)
    };
    let mut env = GraspEnv::new(config.with_frames(PrivilegedAccess::GroundTruth))?;
    let mut meters: Vec<UnpairedMeter> = generators.iter().map(|_| UnpairedMeter::default()).collect();
    let mut states: Vec<State> = Vec::new();
    let wanted = |capture: usize| capture > 0 && capture % STRIDE == 0;
    for block in 0.. {
        play_block(
            &mut env,
            &mut ScriptPolicy,
            seed.derive("block", block),
            wanted,
            |_, _, moment| -> anyhow::Result<bool> {
                let taken = frames_of(moment);
                let [canonical, reality] = taken.as_slice() else { return Ok(true) };
                let count = (frames - states.len()).min(canonical.count);
                let sources: Vec<Vec<u8>> = (0..count).map(|index| canonical.source_image(index).to_vec()).collect();
                let translated: Vec<Vec<Vec<u8>>> =
                    generators.iter().map(|generator| translate(generator, &sources)).collect::<anyhow::Result<_>>()?;
                for (index, source) in sources.into_iter().enumerate() {
                    let (mut pictures, mut faults) = (vec![source], Vec::new());
                    for (images, meter) in translated.iter().zip(&mut meters) {
                        let image = &images[index];
                        let Some(score) = meter.add((canonical, reality), index, image) else {
                            anyhow::bail!("frames of {size}x{size} are too small to judge")
                        };
                        faults.push(score.faults);
                        pictures.push(image.clone());
                    }
                    pictures.push(reality.source_image(index).to_vec());
                    states.push(State { pictures, faults });
                }
                Ok(states.len() < frames)
            },
        )?;
        if states.len() >= frames {
            break;
        }
    }
    Ok((states, meters))
}

/// Numbers of the states to show: those with most faults, then others at equal distances.
fn shown(states: &[State]) -> Vec<usize> {
    let faults = |index: &usize| states[*index].faults.iter().map(Vec::len).sum::<usize>();
    let mut order: Vec<usize> = (0..states.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(faults(index)));
    order.truncate(ROWS / 2);
    let rest = ROWS - order.len();
    let spread = (0..rest).map(|i| i * states.len() / rest.max(1)).filter(|index| *index < states.len());
    let spread: Vec<usize> = spread.filter(|index| !order.contains(index)).collect();
    order.extend(spread);
    order
}

fn draw(states: &[State], reports: &[MethodReport], quick: bool, size: usize) -> ContactSheet {
    let mark = if quick { "quick run: " } else { "" };
    let mut names = vec!["simulation"];
    names.extend(reports.iter().map(|report| report.method.as_str()));
    names.push("reality, the same state");
    let subtitle =
        "red: an object that vanished; yellow: one that was invented; circled from the truth of the simulator";
    let title = format!("{mark}RL-CycleGAN, figure 4: simulation translated by four methods");
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(CELL as usize);
    for index in shown(states) {
        let state = &states[index];
        let last = state.pictures.len() - 1;
        let pictures = state.pictures.iter().enumerate().map(|(column, rgb)| {
            let faults = if (1..last).contains(&column) { state.faults[column - 1].as_slice() } else { &[] };
            circled(rgb, size, faults)
        });
        let counts = reports.iter().zip(&state.faults).map(|(report, faults)| {
            let ghosts = faults.iter().filter(|fault| fault.is_ghost).count();
            format!("{} {} vanished, {ghosts} invented", report.method, faults.len() - ghosts)
        });
        sheet.row(counts.collect::<Vec<_>>().join("; "), pictures.collect());
    }
    sheet
}

/// A picture at the sheet's size, with a circle around each fault.
fn circled(rgb: &[u8], size: usize, faults: &[Fault]) -> Picture {
    let Some(image) = image::RgbImage::from_raw(size as u32, size as u32, rgb.to_vec()) else {
        return Picture::photo(size, size, rgb.to_vec());
    };
    let mut large = resize(&image, CELL, CELL, FilterType::Lanczos3);
    let scale = CELL as f32 / size as f32;
    for fault in faults {
        let (radius, colour) = (scale * (fault.radius + 2.0), if fault.is_ghost { GHOST } else { LOST });
        for (x, y, pixel) in large.enumerate_pixels_mut() {
            let away = (x as f32 + 0.5 - scale * fault.centre[0]).hypot(y as f32 + 0.5 - scale * fault.centre[1]);
            let covered = (0.5 * LINE + 0.5 - (away - radius).abs()).clamp(0.0, 1.0);
            for (to, from) in pixel.0.iter_mut().zip(colour) {
                *to = (f32::from(*to) * (1.0 - covered) + f32::from(from) * covered).round() as u8;
            }
        }
    }
    Picture::exact(CELL as usize, CELL as usize, large.into_raw())
}

fn markdown(reports: &[MethodReport], quick: bool) -> String {
    let quick = if quick { "**Quick run: it shows that the figure can be made, and nothing else.**\n\n" } else { "" };
    let mut text = format!(
        "{quick}# RL-CycleGAN, figure 4: simulation translated by four methods\n\n{STAND_IN} Vanished and invented objects \
         beyond what the true pictures are charged with by the same rule; sliced Wasserstein distance to true pictures.\n\n\
         | method | frames | vanished | invented | distance (true pictures) |\n|---|---|---|---|---|\n"
    );
    for MethodReport { method, translation: t } in reports {
        let _ = writeln!(
            text,
            "| {method} | {} | {:+.1} points | {:+.1} points | {:.4} ({:.4}) |",
            t.frames,
            100.0 * t.vanish_excess,
            100.0 * t.ghost_excess,
            t.sliced_wasserstein,
            t.sliced_wasserstein_floor
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_around_its_fault_and_the_rest_is_the_picture() {
        let fault = Fault { is_ghost: true, centre: [16.0, 40.0], radius: 4.0 };
        let picture = circled(&[100; 64 * 64 * 3], 64, &[fault]);
        let at = |x: usize, y: usize| {
            let at = (y * CELL as usize + x) * 3;
            [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
        };
        // Three pixels for one: the middle lies at (48, 120), the line 18 pixels away.
        assert_eq!((at(48, 120), at(66, 120), at(48, 138)), ([100; 3], GHOST, GHOST));
        assert_eq!(at(90, 120), [100; 3]);
    }

    #[test]
    fn half_of_the_rows_have_most_faults() {
        let fault = Fault { is_ghost: false, centre: [0.0; 2], radius: 1.0 };
        let state = |faults: usize| State { pictures: Vec::new(), faults: vec![vec![fault; faults]] };
        let states: Vec<State> = (0..40).map(|index| state(usize::from(index % 13 == 12))).collect();
        let rows = shown(&states);
        assert_eq!(&rows[..3], &[12, 25, 38]);
        assert!(rows.len() >= 7 && rows.iter().all(|index| *index < 40));
        assert!(shown(&[]).is_empty());
    }
}
