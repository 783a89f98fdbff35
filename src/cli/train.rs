//! `bingrasp train`: learners, from nothing to a run directory with checkpoints, figures, pictures and a report.

mod offline;
pub(super) mod qtopt;
pub mod rcan;
mod source;

use crate::cli::{UsageError, identity};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    learner: Learner,
}

#[derive(clap::Subcommand)]
enum Learner {
    /// RCAN: translates any look of the scene into the canonical one, with segmentation and depth
    #[command(after_help = "Examples:\n  bingrasp train rcan --out runs/rcan --minutes 20\n  \
                            bingrasp train rcan --out runs/rcan --resume\n  \
                            bingrasp train rcan --out runs/from-disk --data pairs --steps 2000 --json")]
    Rcan(Box<rcan::Args>),
    /// QT-Opt: learns to grasp from the camera's pictures, in the simulator
    #[command(after_help = "Examples:\n  bingrasp train qtopt --out runs/canonical --minutes 90\n  \
                            bingrasp train qtopt --out runs/canonical --resume\n  \
                            bingrasp train qtopt --out runs/heavy --domain randomized-heavy --steps 60000 --json")]
    Qtopt(Box<qtopt::Args>),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.learner {
        Learner::Rcan(args) => rcan::run(args),
        Learner::Qtopt(args) => qtopt::run(args),
    }
}

/// After gradients that are not finite: from its last checkpoint the run would end the same way.
const START_ANEW: &str = "the run cannot go on as it is: start another one with other settings";

/// Settings under `data` that are there only where they are not usual.
const OPTIONAL: [&str; 4] = ["scale", "density", "friction", identity::DIGESTS];

/// Refuses settings under `data` that are not among the usual ones.
fn known(data: &toml::Table, usual: &toml::Table) -> anyhow::Result<()> {
    let names: Vec<&str> = usual.keys().map(String::as_str).chain(OPTIONAL).collect();
    let Some(unknown) = data.keys().find(|key| !names.contains(&key.as_str())) else { return Ok(()) };
    Err(UsageError(format!("data.{unknown}: there is no such setting; there are {}", names.join(", "))).into())
}

/// `data.num_envs` of a run.
fn num_envs(data: &toml::Table) -> anyhow::Result<usize> {
    let count = data.get("num_envs").and_then(toml::Value::as_integer);
    let count = count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    Ok(count.ok_or_else(|| UsageError("data.num_envs must be a whole number, at least 1".into()))?)
}

/// One `a.b=value` put into the settings.
fn set<S: Serialize + DeserializeOwned>(settings: &S, assignment: &str) -> anyhow::Result<S> {
    let bad = |reason: String| UsageError(format!("--set {assignment}: {reason}"));
    let (key, value) = assignment.split_once('=').ok_or_else(|| bad("write KEY=VALUE".into()))?;
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    if key == "learner" {
        return Err(bad("the learner is the one that the command names".into()).into());
    }
    let mut table = toml::Table::try_from(settings)?;
    let mut keys: Vec<&str> = key.split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut place = &mut table;
    for key in keys {
        place = place
            .get_mut(key)
            .and_then(toml::Value::as_table_mut)
            .ok_or_else(|| bad(format!("there is no group '{key}'")))?;
    }
    // A whole number where the setting takes any.
    let value = match (place.get(last), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
        (_, value) => value,
    };
    place.insert(last.to_owned(), value);
    table.try_into().map_err(|error: toml::de::Error| bad(error.message().to_owned()).into())
}
