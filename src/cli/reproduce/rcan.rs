//! `bingrasp reproduce rcan-table1`, `rcan-figure4` and `rcan-ablations`: agents without real data and with a little, and what
//! the parts of the generator's loss are worth.

use super::plan::Plan;
use super::tables::{
    GeneratorArgs, NETWORK, Picture, RowPlan, Table, TableArgs, WITHOUT_LABELS, agent, begins_with_episodes, canonical,
    finetuned, finetuned_name, given_recording, measure, rcan_generator, steps_with_features,
};
use super::{RUNS, ablations};
use crate::cli::{UsageError, common, numbers};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
    /// Gradient steps of each joint finetuning
    #[arg(long, default_value_t = 6_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    finetune_steps: u64,
    /// Grasps in reality of the joint finetunings: one or two amounts, which stand for the paper's 5,000 and 28,000
    #[arg(long, conflicts_with = "quick", value_delimiter = ',', num_args = 1, value_name = "N,...",
          default_values_t = [1_000, 5_000],
          value_parser = numbers::whole(numbers::ATTEMPTS))]
    grasps: Vec<u64>,
    /// A recording of reality for the row real [default: 5,000 scripted episodes]
    #[arg(long, value_name = "DIR")]
    real: Option<PathBuf>,
    /// Train each row's agent from nothing, as the paper does, and not from the canonical one
    #[arg(long)]
    from_scratch: bool,
}

#[derive(clap::Args)]
pub struct Figure4Args {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    generator: GeneratorArgs,
    /// Gradient steps of each joint finetuning
    #[arg(long, default_value_t = 6_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    finetune_steps: u64,
}

#[derive(clap::Args)]
pub struct AblationArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Steps of each generator
    #[arg(long, default_value_t = 8_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    generator_steps: u64,
    /// Frames of each measurement of a translation
    #[arg(long, default_value_t = 1_000, conflicts_with = "quick", value_parser = numbers::count(numbers::ATTEMPTS))]
    frames: usize,
}

/// Domain that an agent learns in, and whether it looks through the generator.
struct Look {
    key: &'static str,
    title: &'static str,
    domain: &'static str,
    through: bool,
    /// In simulation, on robots, after 5,000 and after 28,000 grasps.
    published: [Option<u32>; 4],
}

const LOOKS: [Look; 5] = [
    look("canonical", "Canonical Sim", "canonical", false, [Some(99), Some(21), Some(30), None]),
    look("mild", "Mild Randomization", "randomized-mild", false, [Some(98), Some(37), Some(85), None]),
    look("medium", "Medium Randomization", "randomized-medium", false, [Some(98), Some(35), Some(77), None]),
    look("heavy", "Heavy Randomization", "randomized-heavy", false, [Some(98), Some(33), Some(85), Some(92)]),
    look("rcan", "RCAN", "randomized-heavy", true, [Some(99), Some(70), Some(91), Some(94)]),
];

const fn look(
    key: &'static str,
    title: &'static str,
    domain: &'static str,
    through: bool,
    published: [Option<u32>; 4],
) -> Look {
    Look { key, title, domain, through, published }
}

impl Look {
    /// The words that say what the agent sees.
    fn sees(&self, generator: &str) -> String {
        let through = if self.through { format!(" --generator @{generator}") } else { String::new() };
        format!("--domain {}{through}", self.domain)
    }

    /// Adds the agent of this look. Returns its node.
    fn agent(
        &self,
        plan: &mut Plan,
        args: &TableArgs,
        (canonical, generator): (&str, &str),
        seed: u64,
        from_scratch: bool,
    ) -> anyhow::Result<String> {
        if self.key == "canonical" {
            return Ok(canonical.to_owned());
        }
        let name = format!("agent-{}-{seed}", self.key);
        let words = if from_scratch {
            format!("train qtopt --steps {} --seed {seed} {NETWORK}", args.canonical_steps)
        } else {
            agent(args, seed, canonical)
        };
        let command = format!("{words} {}", self.sees(generator));
        plan.add(&name, &format!("{}: training in {}", self.title, self.domain), &command)?;
        Ok(name)
    }
}

fn open_plan(args: &TableArgs, inputs: common::Inputs<'_>) -> anyhow::Result<Plan> {
    inputs.run("--canonical", args.canonical.as_deref()).check_folder(&args.out)?;
    Plan::new(&args.out.join(RUNS))
}

/// Columns of the joint finetunings.
const FINETUNED: [&str; 2] = ["few", "many"];

pub fn table1(args: &Args) -> anyhow::Result<ExitCode> {
    let inputs = common::Inputs::default()
        .run("--generator", args.generator.generator.as_deref())
        .ours("--real", args.real.as_deref());
    let table = args.table.scaled();
    let mut plan = open_plan(&table, inputs)?;
    if args.grasps.len() > FINETUNED.len() {
        return Err(UsageError("--grasps: two amounts at most, 1000,5000 for example".into()).into());
    }
    let amounts: Vec<(&'static str, u64)> =
        FINETUNED.into_iter().zip(args.grasps.iter().map(|&grasps| table.amount(grasps, 20))).collect();
    let finetune_steps = table.amount(args.finetune_steps, 60);
    let trained = if args.from_scratch {
        format!("{} steps from nothing", table.canonical_steps)
    } else {
        format!("{} steps from the canonical agent", table.agent_steps)
    };
    let mut rows: Vec<RowPlan> = LOOKS
        .iter()
        .map(|look| RowPlan::new(look.key, look.title, trained.clone()).published(&look.published, 1))
        .collect();
    rows[0].trained = match args.table.canonical {
        Some(_) => "given".to_owned(),
        None => {
            let with_features = steps_with_features(table.canonical_steps);
            format!("{} steps from nothing, {with_features} more with features", table.canonical_steps)
        }
    };
    let through = "the canonical agent looks through RCAN, no training".to_owned();
    let mut untrained = RowPlan::new("canonical-through-rcan", "Canonical Sim through RCAN", through);
    untrained = untrained.published(&[None; 4], 1);
    let recorded = format!("{} steps on a recording of reality alone", table.canonical_steps);
    let mut real =
        RowPlan::new("real", "Real (off-policy)", recorded).published(&[None, Some(87), Some(85), Some(96)], 1);
    for seed in table.seeds() {
        let canonical = canonical(&mut plan, &table, seed, "")?;
        let rcan = rcan_generator(&mut plan, &table, &args.generator, &canonical, seed)?;
        for (look, row) in LOOKS.iter().zip(&mut rows) {
            let agent = look.agent(&mut plan, &table, (&canonical, &rcan), seed, args.from_scratch)?;
            for (column, domain) in [("simulation", look.domain), ("reality", "reality"), ("reality-2", "reality-2")] {
                let words = format!("--policy @{agent} --domain {domain} --objects test");
                let name = format!("{column}-{agent}");
                let title = format!("{} in {domain}", look.title);
                row.cell(column, seed, &measure(&mut plan, &table, (&name, &title), seed, &words)?);
            }
            for &(column, grasps) in &amounts {
                let tuned = finetuned_name(grasps, look.key, seed);
                let words = finetuned(&table, seed, &agent, grasps, (finetune_steps, 1.0));
                let command = format!("{words} {} {}", begins_with_episodes(&table), look.sees(&rcan));
                plan.add(&tuned, &format!("{}: finetuning with {grasps} grasps", look.title), &command)?;
                let words = format!("--policy @{tuned} --domain reality --objects test");
                let name = format!("reality-{tuned}");
                let title = format!("{} after {grasps} grasps", look.title);
                row.cell(column, seed, &measure(&mut plan, &table, (&name, &title), seed, &words)?);
            }
        }
        for (column, domain) in [("simulation", "randomized-heavy"), ("reality", "reality"), ("reality-2", "reality-2")]
        {
            let words = format!("--policy @{canonical} --generator @{rcan} --domain {domain} --objects test");
            let name = format!("{column}-through-{seed}");
            let title = format!("the canonical agent through RCAN in {domain}");
            untrained.cell(column, seed, &measure(&mut plan, &table, (&name, &title), seed, &words)?);
        }
        real_row(&mut plan, (args, &table), seed, &mut real, &amounts)?;
    }
    rows.insert(0, real);
    rows.push(untrained);
    let mut columns = vec![
        ("simulation", "in its simulation".to_owned()),
        ("reality", "in `reality`".to_owned()),
        ("reality-2", "in `reality-2`".to_owned()),
    ];
    columns.extend(amounts.iter().map(|(key, grasps)| (*key, format!("in `reality`, +{grasps} grasps"))));
    Table {
        name: "rcan-table1",
        title: "RCAN, table 1: agents without real data, and jointly finetuned",
        intro: "`reality-2` is a second stand-in, which nothing was tuned on. Joint finetuning plays in `reality` beside the \
                simulator, and learns from images, gripper, actions and rewards alone."
            .into(),
        rows_are: "trained on",
        columns,
        published: vec!["in simulation", "on robots", "+5,000 grasps", "+28,000 grasps"],
        main: "reality",
        gap: None,
        picture: Picture::Bars,
        rows,
    }
    .run(&table, &mut plan)
}

/// The agent that learns from a recording of `reality` alone, and its finetuning there.
fn real_row(
    plan: &mut Plan,
    (args, table): (&Args, &TableArgs),
    seed: u64,
    row: &mut RowPlan,
    amounts: &[(&'static str, u64)],
) -> anyhow::Result<()> {
    let recording = match &args.real {
        Some(folder) => given_recording(plan, folder)?,
        None => {
            let name = format!("recording-{seed}");
            let count = table.amount(5_000, 80);
            let command = format!("episodes record --domain reality --count {count} --seed {seed}");
            plan.add(&name, "reality: recording scripted episodes", &command)?;
            name
        }
    };
    let (steps, off_policy) = (table.canonical_steps, format!("--real @{recording} --real-only --domain reality"));
    let agent = format!("agent-real-{seed}");
    let command = format!("train qtopt {off_policy} --steps {steps} --seed {seed} {WITHOUT_LABELS}");
    plan.add(&agent, "Real: training", &command)?;
    let mut cell = |plan: &mut Plan, column, policy: &str| -> anyhow::Result<()> {
        let words = format!("--policy @{policy} --domain reality --objects test");
        let name = format!("reality-{policy}");
        row.cell(column, seed, &measure(plan, table, (&name, "Real, in reality"), seed, &words)?);
        Ok(())
    };
    cell(plan, "reality", &agent)?;
    for &(column, grasps) in amounts {
        let tuned = finetuned_name(grasps, "real", seed);
        let words = finetuned(table, seed, &agent, grasps, (table.amount(args.finetune_steps, 60), 1.0));
        plan.add(&tuned, &format!("Real: finetuning with {grasps} grasps"), &format!("{words} {off_policy}"))?;
        cell(plan, column, &tuned)?;
    }
    Ok(())
}

/// Places of figure 4's curves: grasps in `reality`.
const GRASPS: [(&str, u64); 6] =
    [("0", 0), ("250", 250), ("500", 500), ("1000", 1_000), ("2000", 2_000), ("5000", 5_000)];

pub fn figure4(args: &Figure4Args) -> anyhow::Result<ExitCode> {
    let table = args.table.scaled();
    let mut plan =
        open_plan(&table, common::Inputs::default().run("--generator", args.generator.generator.as_deref()))?;
    let shown: Vec<(&'static str, u64)> = if table.quick { vec![("0", 0), ("250", 20)] } else { GRASPS.to_vec() };
    let finetune_steps = table.amount(args.finetune_steps, 60);
    let looks = [&LOOKS[4], &LOOKS[1]];
    let trained = format!("{} steps, then {finetune_steps} of finetuning", table.agent_steps);
    let mut rows: Vec<RowPlan> =
        looks.iter().map(|look| RowPlan::new(look.key, look.title, trained.clone()).published(&[], 0)).collect();
    for seed in table.seeds() {
        let canonical = canonical(&mut plan, &table, seed, "")?;
        let rcan = rcan_generator(&mut plan, &table, &args.generator, &canonical, seed)?;
        for (look, row) in looks.iter().zip(&mut rows) {
            let agent = look.agent(&mut plan, &table, (&canonical, &rcan), seed, false)?;
            for &(column, grasps) in &shown {
                let mut policy = agent.clone();
                if grasps > 0 {
                    policy = finetuned_name(grasps, look.key, seed);
                    let words = finetuned(&table, seed, &agent, grasps, (finetune_steps, 1.0));
                    let title = format!("{}: finetuning with {grasps} grasps", look.title);
                    let command = format!("{words} {} {}", begins_with_episodes(&table), look.sees(&rcan));
                    plan.add(&policy, &title, &command)?;
                }
                let words = format!("--policy @{policy} --domain reality --objects test");
                let (name, title) = (format!("reality-{policy}"), format!("{} after {grasps} grasps", look.title));
                row.cell(column, seed, &measure(&mut plan, &table, (&name, &title), seed, &words)?);
            }
        }
    }
    Table {
        name: "rcan-figure4",
        title: "RCAN, figure 4: success against grasps of joint finetuning",
        intro: "Each point is a finetuning of its own, of as many steps as the others.".into(),
        rows_are: "trained on",
        columns: shown.iter().map(|(key, grasps)| (*key, format!("{grasps} grasps"))).collect(),
        published: Vec::new(),
        main: "0",
        gap: None,
        picture: Picture::Curves {
            at: shown.iter().map(|(_, grasps)| *grasps as f64).collect(),
            x: "on-policy grasps in reality",
        },
        rows,
    }
    .run(&table, &mut plan)
}

pub fn ablation(args: &AblationArgs) -> anyhow::Result<ExitCode> {
    let table = args.table.scaled();
    let mut plan = open_plan(&table, common::Inputs::default())?;
    let steps = table.amount(args.generator_steps, 40);
    let frames = if table.quick { 40 } else { args.frames };
    ablations::run(&table, &mut plan, steps, frames)
}
