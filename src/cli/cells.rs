//! `bingrasp cells`: the robot cells that there are, as data.

use super::{UsageError, common, output};
use crate::scene::{CellDescription, cells};
use serde::Serialize;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the cells that the program carries
    #[command(after_help = "Example: bingrasp cells list")]
    List {
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print a cell as TOML, to be changed and passed as --cell FILE
    #[command(after_help = "Example: bingrasp cells show iiwa-bin > mine.toml")]
    Show { cell: String },
    /// Verify a cell and say what it holds
    #[command(after_help = "Example: bingrasp cells check mine.toml --json")]
    Check {
        cell: String,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
}

#[derive(Serialize)]
struct Checked {
    name: String,
    digest: String,
    bins: usize,
    cameras: Vec<String>,
    objects_per_episode: usize,
    /// The jaws' opening, metres.
    stroke_m: f32,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::List { json } => list(*json)?,
        Verb::Show { cell } => {
            let cell = common::load_cell(cell)?;
            output::line(cells::to_toml(&cell)?.trim_end())?;
        }
        Verb::Check { cell, json } => check(common::load_cell(cell)?.as_ref(), *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> anyhow::Result<()> {
    let listed: Vec<Listed> = cells::list().iter().map(|cell| Listed { name: cell.name, about: cell.about }).collect();
    if json {
        return output::json(&serde_json::json!({ "cells": listed }));
    }
    listed.iter().try_for_each(|cell| output::line(&format!("{:<20} {}", cell.name, cell.about)))
}

fn check(cell: &CellDescription, json: bool) -> anyhow::Result<()> {
    cell.validate().map_err(|error| UsageError(error.to_string()))?;
    let report = Checked {
        name: cell.name.clone(),
        digest: common::recorded_cell(cell)?.digest,
        bins: cell.bins.len(),
        cameras: cell.cameras.iter().map(|camera| camera.name.clone()).collect(),
        objects_per_episode: cell.objects.per_episode,
        stroke_m: cell.gripper.stroke,
    };
    if json {
        return output::json(&report);
    }
    output::line(&format!(
        "{}: {} bins, {} objects an episode, cameras {}, jaws open to {:.0} mm, digest {}",
        report.name,
        report.bins,
        report.objects_per_episode,
        report.cameras.join(", "),
        report.stroke_m * 1e3,
        &report.digest[..12]
    ))
}
