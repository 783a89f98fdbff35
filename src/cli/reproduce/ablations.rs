//! `bingrasp reproduce rcan-ablations`: RCAN's generator without parts of its loss: its translations, and what the canonical
//! agent grasps that looks through it.

use super::plan::Plan;
use super::tables::{TableArgs, canonical, measure};
use crate::cli::UsageError;
use crate::cli::output::{self, decimal};
use crate::eval::table::STAND_IN;
use crate::files::atomic::{create_folder, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::train::Ended;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::process::ExitCode;

/// What is left out of the loss or of the pictures, and the words that do it.
const VARIANTS: [(&str, &str, &str); 6] = [
    ("full", "all terms", ""),
    ("no-gan", "no GAN", "--no-gan"),
    ("no-auxiliaries", "no segmentation and depth", "--no-auxiliaries"),
    ("l1", "L1 for the images", "--image-loss l1"),
    ("l2", "L2 for the images", "--image-loss l2"),
    ("no-cameras", "no random cameras", "--no-camera-effects"),
];
const DOMAINS: [&str; 3] = ["randomized-heavy", "reality", "reality-2"];

/// A variant in a domain.
#[derive(Serialize)]
struct Cell {
    row: &'static str,
    domain: &'static str,
    seed: u64,
    ssim: Option<f64>,
    object_iou: Option<f64>,
    vanish_rate: Option<f64>,
    ghost_rate: Option<f64>,
    /// Success of the canonical agent that looks through it; none where it was not measured.
    success: Option<f64>,
}

#[derive(Serialize)]
struct Report<'a> {
    complete: bool,
    quick: bool,
    cells: &'a [Cell],
    table: std::path::PathBuf,
}

/// Trains and measures each variant and writes the table after each.
///
/// # Errors
/// An unknown row; what the runs met; a full disk.
pub fn run(args: &TableArgs, plan: &mut Plan, steps: u64, frames: usize) -> anyhow::Result<ExitCode> {
    let keys = VARIANTS.map(|(key, ..)| key);
    if let Some(unknown) = args.rows.iter().find(|row| !keys.contains(&row.as_str())) {
        let message = format!("--rows: unknown row '{unknown}'; the rows are {}", keys.join(", "));
        return Err(UsageError(message).into());
    }
    if args.table_only {
        let message =
            "--table-only: these rows lie in the folders of their runs; leave the flag out, finished ones are kept";
        return Err(UsageError(message.into()).into());
    }
    create_folder(&args.out)?;
    interrupt::install(|| remark("stopping at the next checkpoint; Ctrl-C again stops at once"))?;
    let mut cells = Vec::new();
    let mut complete = true;
    'rows: for (key, title, words) in VARIANTS {
        if !args.rows.is_empty() && !args.rows.iter().any(|row| row == key) {
            continue;
        }
        for seed in args.seeds() {
            let canonical = canonical(plan, args, seed, "")?;
            let rcan = format!("rcan-{key}-{seed}");
            plan.add(
                &rcan,
                &format!("{title}: training"),
                &format!("train rcan --steps {steps} --seed {seed} {words}"),
            )?;
            for domain in DOMAINS {
                let translation = format!("translation-{key}-{domain}-{seed}");
                let command = format!(
                    "eval translation --generator @{rcan} --domain {domain} --count {frames} --seed {} --sheet \
                     @here/sheet.png",
                    1000 + seed
                );
                plan.add(&translation, &format!("{title}: translating {domain}"), &command)?;
                let words = format!("--policy @{canonical} --generator @{rcan} --domain {domain} --objects test");
                let name = format!("grasps-{key}-{domain}-{seed}");
                let grasps = measure(plan, args, (&name, &format!("{title} in {domain}")), seed, &words)?;
                for node in [&translation, &grasps] {
                    if plan.complete(node)? == Ended::Interrupted {
                        complete = false;
                        break 'rows;
                    }
                }
                cells.push(cell((key, domain, seed), &plan.result(&translation)?, &plan.result(&grasps)?));
            }
            write(args, &cells, steps)?;
        }
    }
    let table = write(args, &cells, steps)?;
    if args.json {
        output::json(&Report { complete, quick: args.quick, cells: &cells, table })?;
    } else {
        output::line(&std::fs::read_to_string(&table)?)?;
        output::line(&table.display().to_string())?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    remark("interrupted: resume with the same command");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

fn cell((row, domain, seed): (&'static str, &'static str, u64), translation: &Value, grasps: &Value) -> Cell {
    let figure = |key: &str| translation[key].as_f64();
    Cell {
        row,
        domain,
        seed,
        ssim: figure("ssim"),
        object_iou: figure("object_iou"),
        vanish_rate: figure("vanish_rate"),
        ghost_rate: figure("ghost_rate"),
        success: grasps["success"].as_f64(),
    }
}

fn write(args: &TableArgs, cells: &[Cell], steps: u64) -> anyhow::Result<std::path::PathBuf> {
    let quick =
        if args.quick { "**Quick run: it shows that the table can be made, and nothing else.**\n\n" } else { "" };
    let mut text = format!(
        "{quick}# RCAN: ablations of the generator's loss\n\n{STAND_IN} Each generator was trained for {steps} steps; the \
         agent is the canonical one and looks through it without any training.\n\n\
         | loss | domain | seed | SSIM | object IoU | vanished | ghosts | grasps |\n|---|---|---|---|---|---|---|---|\n"
    );
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1}%", 100.0 * share));
    for cell in cells {
        let title = VARIANTS.iter().find(|(key, ..)| *key == cell.row).map_or(cell.row, |(_, title, _)| title);
        let [ssim, iou] = [cell.ssim, cell.object_iou].map(|value| decimal(value.unwrap_or(f64::NAN), 3));
        let _ = writeln!(
            text,
            "| {title} | `{}` | {} | {ssim} | {iou} | {} | {} | {} |",
            cell.domain,
            cell.seed,
            percent(cell.vanish_rate),
            percent(cell.ghost_rate),
            percent(cell.success)
        );
    }
    let table = args.out.join("rcan-ablations.md");
    write_atomic(&table, text.as_bytes())?;
    write_atomic(&args.out.join("rcan-ablations.json"), &serde_json::to_vec_pretty(cells)?)?;
    Ok(table)
}
