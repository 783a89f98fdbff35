//! `bingrasp reproduce rl-cyclegan-table3` and `-table6`: Robot 2 before one bin and several, by amounts of real episodes and by
//! the weight of the loss on them.

use super::plan::Plan;
use super::rl_cyclegan::{Args, Scale, real_weight};
use super::tables::{NETWORK, RowPlan, Table, TableArgs, agent, canonical, measure, steps_with_features};
use crate::cli::common;
use crate::data::episodes::EpisodeReader;
use crate::gan::cyclegan::Method;
use crate::rl::qtopt::QtOptConfig;
use crate::train::load_run;
use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;

/// The presets of Robot 2's cell.
const SINGLE: &str = "single-bin";
const MULTI: &str = "multi-bin";
/// The cell and its training objects, in words.
const SINGLE_BIN: &str = "--cell mobile-three-bins:single-bin --objects household";
const MULTI_BIN: &str = "--cell mobile-three-bins:multi-bin --objects household";
/// Other seeds of the household objects than the ones trained on.
const UNSEEN: &str = "household:1001";

/// Adds a row's measurements: the attempts of `--attempts` in its cell, and the paper's protocol.
fn measure_robot2(
    plan: &mut Plan,
    table: &TableArgs,
    row: &mut RowPlan,
    (policy, cell): (&str, &str),
    seed: u64,
) -> anyhow::Result<()> {
    let (key, title) = (row.row.key.clone(), row.row.title.clone());
    let words = format!("--policy @{policy} --domain reality --objects {UNSEEN} --cell mobile-three-bins:{cell}");
    row.cell("reality", seed, &measure(plan, table, (&format!("reality-{key}-{seed}"), &title), seed, &words)?);
    // Six robots with six grasps each, three times.
    let paper = TableArgs { attempts: if table.quick { 12 } else { 6 * 6 * 3 }, ..table.clone() };
    let placed = if cell == MULTI { "multi-bin-eval" } else { cell };
    let words = format!("--policy @{policy} --domain reality --objects {UNSEEN} --cell mobile-three-bins:{placed}");
    let name = format!("paper-{key}-{seed}");
    row.cell("paper", seed, &measure(plan, &paper, (&name, &title), seed, &words)?);
    Ok(())
}

fn robot2_columns() -> Vec<(&'static str, String)> {
    vec![("reality", "in `reality`".into()), ("paper", "in `reality`, 6 robots x 6 grasps x 3".into())]
}

pub fn table3(args: &Args) -> anyhow::Result<ExitCode> {
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    let agent_only = format!("{} steps of the agent", table.agent_steps);
    // Sim+Real and RL-CycleGAN of 3,000, 10,000 and 80,000 episodes, and of several bins.
    let published = [[13, 72], [10, 84], [36, 95]];
    let mut rows = Vec::new();
    let mut add = |bins: &str, amount: u64, [plain, joint]: [u32; 2]| {
        for (method, title, trained, percent) in [
            ("sim-real", "Sim+Real", agent_only.clone(), plain),
            ("rl-cyclegan", "RL-CycleGAN", scale.trained(), joint),
        ] {
            let row = RowPlan::new(
                &format!("{bins}-{method}-{amount}"),
                &format!("{title}, {bins}, {amount} episodes"),
                trained,
            );
            rows.push(row.published(&[Some(percent)], 0));
        }
    };
    let amounts = scale.amounts();
    for (amount, published) in amounts.iter().zip(published) {
        add(SINGLE, *amount, published);
    }
    let largest = largest(&scale);
    add(MULTI, largest, [33, 93]);
    let runs: Vec<(&str, u64)> = amounts.iter().map(|amount| (SINGLE, *amount)).chain([(MULTI, largest)]).collect();
    for seed in table.seeds() {
        for (index, (bins, amount)) in runs.iter().enumerate().filter(|(_, (_, amount))| *amount <= scale.recorded) {
            let cell = if *bins == SINGLE { SINGLE_BIN } else { MULTI_BIN };
            let (init, real) = robot2_start(&scale, &mut plan, (bins, cell), *amount, seed)?;
            let [plain, joint] = &mut rows[2 * index..2 * index + 2] else { continue };
            let weight = real_weight(*amount);
            let name = format!("agent-{}-{seed}", plain.row.key);
            let command = format!("{} --real @{real} --real-weight {weight} {cell}", agent(table, seed, &init));
            plan.add(&name, &format!("{}: training the agent", plain.row.title), &command)?;
            measure_robot2(&mut plan, table, plain, (&name, bins), seed)?;
            let translation = scale.translation(&mut plan, Method::RlCycleGan, (&init, &real), seed)?;
            let name = format!("agent-{}-{seed}", joint.row.key);
            let title = joint.row.title.clone();
            scale.final_agent(
                &mut plan,
                (&name, &title),
                [&init, &translation],
                (Some((&real, weight)), seed),
                cell,
            )?;
            measure_robot2(&mut plan, table, joint, (&name, bins), seed)?;
        }
    }
    let intro = "1,000, 5,000 and 25,000 scripted episodes stand for the paper's 3,000, 10,000 and 80,000. Sim+Real learns from the \
                 simulator as it is and from the recording. Household objects of other seeds than those trained on.";
    let title = "RL-CycleGAN, table 3: Robot 2, amounts of real episodes";
    Table { columns: robot2_columns(), ..Table::in_reality("rl-cyclegan-table3", title, intro.into(), rows) }
        .run(table, &mut plan)
}

/// The largest amount of real episodes that there is.
fn largest(scale: &Scale) -> u64 {
    scale.amounts().into_iter().filter(|amount| *amount <= scale.recorded).max().unwrap_or(scale.recorded)
}

/// The canonical agent before these bins and so many episodes of `reality` there: what the user gave where it is of these bins,
/// else runs of the graph's own.
fn robot2_start(
    scale: &Scale,
    plan: &mut Plan,
    (bins, cell): (&str, &str),
    amount: u64,
    seed: u64,
) -> anyhow::Result<(String, String)> {
    let init = robot2_canonical(scale, plan, (bins, cell), seed)?;
    let shown = |folder: &Path| -> anyhow::Result<bool> {
        let reader = EpisodeReader::open(folder).with_context(|| format!("opening --real {}", folder.display()))?;
        Ok(reader.config().cell == common::recorded_cell(&*common::load_cell(&cell_of(bins))?)?)
    };
    let given = scale.real.as_deref().map(shown).transpose()?.unwrap_or(false);
    let recording = if given {
        scale.recording(plan, seed, cell)?
    } else {
        let name = format!("recording-{bins}-{seed}");
        if !plan.has(&name) {
            let count = scale.recorded;
            let command = format!("episodes record --domain reality --count {count} --seed {seed} {cell}");
            plan.add(&name, &format!("reality, {bins}: recording scripted episodes"), &command)?;
        }
        name
    };
    if amount == scale.recorded {
        return Ok((init, recording));
    }
    let sample = format!("{recording}-{amount}");
    if !plan.has(&sample) {
        let command = format!("episodes sample @{recording} --count {amount} --seed {seed}");
        plan.add(&sample, &format!("{amount} episodes of {recording}: drawing"), &command)?;
    }
    Ok((init, sample))
}

/// Of a single bin: first by labels alone, which is fast, then with features that Q teaches. Of several bins: the same agent, which
/// learns on where the bins stand elsewhere in every episode.
fn robot2_canonical(scale: &Scale, plan: &mut Plan, (bins, cell): (&str, &str), seed: u64) -> anyhow::Result<String> {
    let table = &scale.table;
    if let Some(run) = &table.canonical {
        let opening = || format!("opening --canonical {}", run.display());
        if load_run::<QtOptConfig>(run).with_context(opening)?.config.data.env.cell == cell_of(bins) {
            return canonical(plan, table, seed, cell);
        }
    }
    let name = format!("canonical-{bins}-{seed}");
    if plan.has(&name) {
        return Ok(name);
    }
    let steps = table.canonical_steps;
    if bins == SINGLE {
        let labels = format!("canonical-labels-{bins}-{seed}");
        let command = format!("train qtopt --steps {steps} --seed {seed} {cell}");
        plan.add(&labels, &format!("the canonical agent of {bins}: training"), &command)?;
        let widened = TableArgs { agent_steps: steps_with_features(steps), ..table.clone() };
        let command = format!("{} {NETWORK} {cell}", agent(&widened, seed, &labels));
        plan.add(&name, &format!("the canonical agent of {bins} with features that Q teaches: training"), &command)?;
    } else {
        let single = robot2_canonical(scale, plan, (SINGLE, SINGLE_BIN), seed)?;
        let command = format!("train qtopt --init @{single} --steps {steps} --seed {seed} {NETWORK} {cell}");
        plan.add(&name, &format!("the canonical agent of {bins}: training"), &command)?;
    }
    Ok(name)
}

fn cell_of(bins: &str) -> String {
    format!("mobile-three-bins:{bins}")
}

pub fn table6(args: &Args) -> anyhow::Result<ExitCode> {
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    let amounts = scale.amounts();
    let (small, large) = (amounts[0], largest(&scale));
    let cases = [(small, 1.0, 66), (small, 0.1, 72), (large, 1.0, 91), (large, 2.0, 95)];
    let mut rows: Vec<RowPlan> = cases
        .iter()
        .map(|(amount, weight, percent)| {
            let title = format!("{amount} episodes, lambda {weight}");
            RowPlan::new(&format!("{amount}-lambda-{weight}"), &title, scale.trained()).published(&[Some(*percent)], 0)
        })
        .collect();
    for seed in table.seeds() {
        for ((amount, weight, _), row) in
            cases.iter().zip(&mut rows).filter(|((amount, ..), _)| *amount <= scale.recorded)
        {
            let (init, real) = robot2_start(&scale, &mut plan, (SINGLE, SINGLE_BIN), *amount, seed)?;
            let translation = scale.translation(&mut plan, Method::RlCycleGan, (&init, &real), seed)?;
            let name = format!("agent-{}-{seed}", row.row.key);
            let title = row.row.title.clone();
            scale.final_agent(
                &mut plan,
                (&name, &title),
                [&init, &translation],
                (Some((&real, *weight)), seed),
                SINGLE_BIN,
            )?;
            measure_robot2(&mut plan, table, row, (&name, SINGLE), seed)?;
        }
    }
    let intro = format!(
        "Robot 2 before a single bin; {small} and {large} scripted episodes stand for the paper's 3,000 and 80,000."
    );
    let title = "RL-CycleGAN, table 6: the weight of the loss on real data";
    let table6 = Table::in_reality("rl-cyclegan-table6", title, intro, rows);
    Table { columns: robot2_columns(), rows_are: "real episodes, lambda_RL-real", ..table6 }.run(table, &mut plan)
}
