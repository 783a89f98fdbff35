//! `bingrasp reproduce rl-cyclegan-table1`, `-figure4`, `-table2` and `-table4`: what translating the simulator is worth, with
//! off-policy episodes of `reality`, few or many, and with a few on-policy ones.

use super::RUNS;
use super::plan::Plan;
use super::tables::{
    GeneratorArgs, RowPlan, Table, TableArgs, WITHOUT_LABELS, agent, begins_with_episodes, canonical, finetuned,
    finetuned_name, given_recording, measure, rcan_generator,
};
use crate::cli::{UsageError, common, numbers};
use crate::data::episodes::EpisodeReader;
use crate::gan::cyclegan::Method;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    table: TableArgs,
    /// The recording that translations learn from, and in tables 2 to 6 agents; smaller amounts are drawn from it [default:
    /// scripted episodes in reality are recorded]
    #[arg(long, value_name = "DIR")]
    real: Option<PathBuf>,
    /// Episodes to record, where no --real is given; rows that need more are left out [default: 5000]
    #[arg(long, conflicts_with_all = ["real", "quick"], value_parser = numbers::whole(numbers::ATTEMPTS))]
    recorded: Option<u64>,
    /// Steps of each translation
    #[arg(long, default_value_t = 8_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    gan_steps: u64,
    /// Gradient steps of each joint finetuning (table 4)
    #[arg(long, default_value_t = 6_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    finetune_steps: u64,
}

/// The flags, shrunk where `--quick` says so.
pub(super) struct Scale {
    pub(super) table: TableArgs,
    pub(super) real: Option<PathBuf>,
    pub(super) recorded: u64,
    gan_steps: u64,
    finetune_steps: u64,
    held_out: u64,
    /// Episodes that GraspGAN's x is drawn from.
    simulated: u64,
}

/// Amounts of episodes that stand for the papers' 5,000 (Robot 2: 3,000), 28,000 and 580,000 (Robot 2: 80,000).
const AMOUNTS: [u64; 3] = [1_000, 5_000, 25_000];
/// The cell of Robot 1, in words: the usual one.
const ROBOT_1: &str = "";

impl Scale {
    /// # Errors
    /// `--real` names no recording.
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let table = args.table.scaled();
        let recorded = match &args.real {
            // The tables say how many episodes were learned from.
            Some(folder) => {
                EpisodeReader::open(folder).with_context(|| format!("opening --real {}", folder.display()))?.len()
            }
            None => table.amount(args.recorded.unwrap_or(5_000), 80),
        };
        Ok(Self {
            real: args.real.clone(),
            recorded,
            gan_steps: table.amount(args.gan_steps, 40),
            finetune_steps: table.amount(args.finetune_steps, 60),
            held_out: table.amount(200, 20),
            simulated: table.amount(5_000, 40),
            table,
        })
    }

    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        common::Inputs::default()
            .run("--canonical", self.table.canonical.as_deref())
            .ours("--real", self.real.as_deref())
            .check_folder(&self.table.out)?;
        Plan::new(&self.table.out.join(RUNS))
    }

    /// Amounts that the recording has.
    pub(super) fn amounts(&self) -> Vec<u64> {
        if self.table.quick { vec![self.recorded / 2, self.recorded] } else { AMOUNTS.to_vec() }
    }

    /// Adds the recording of a seed, given or made. Returns its node.
    pub(super) fn recording(&self, plan: &mut Plan, seed: u64, cell: &str) -> anyhow::Result<String> {
        if let Some(folder) = &self.real {
            return given_recording(plan, folder);
        }
        let name = format!("recording-{seed}");
        let command = format!("episodes record --domain reality --count {} --seed {seed} {cell}", self.recorded);
        plan.add(&name, "reality: recording scripted episodes", &command)?;
        Ok(name)
    }

    /// Adds `episodes` of a recording. Returns their node.
    fn sample(&self, plan: &mut Plan, recording: &str, episodes: u64, seed: u64) -> anyhow::Result<String> {
        if episodes == self.recorded {
            return Ok(recording.to_owned());
        }
        let name = format!("recording-{episodes}-{seed}");
        if !plan.has(&name) {
            let command = format!("episodes sample @{recording} --count {episodes} --seed {seed}");
            plan.add(&name, &format!("{episodes} episodes of the recording: drawing"), &command)?;
        }
        Ok(name)
    }

    /// Adds the joint phase of a method. Returns its node.
    pub(super) fn translation(
        &self,
        plan: &mut Plan,
        method: Method,
        inputs: (&str, &str),
        seed: u64,
    ) -> anyhow::Result<String> {
        // The others draw x from the episodes of the run that they begin with.
        let masks = format!(" --set rl-cyclegan.sim_episodes={}", self.simulated);
        let settings = if method == Method::GraspGan { masks.as_str() } else { "" };
        self.joint_phase(plan, (&method.to_string(), method, settings), inputs, seed)
    }

    /// The same of RL-CycleGAN with Q-functions that stay what the canonical agent's is.
    fn translation_of_frozen_q(&self, plan: &mut Plan, inputs: (&str, &str), seed: u64) -> anyhow::Result<String> {
        let settings = " --set rl-cyclegan.scene.frozen_q=true";
        self.joint_phase(plan, ("frozen-q", Method::RlCycleGan, settings), inputs, seed)
    }

    fn joint_phase(
        &self,
        plan: &mut Plan,
        (key, method, settings): (&str, Method, &str),
        (init, real): (&str, &str),
        seed: u64,
    ) -> anyhow::Result<String> {
        let name = format!("translation-{key}-{real}-{seed}");
        if !plan.has(&name) {
            let command = format!(
                "train {method} --init @{init} --real @{real} --steps {} --seed {seed} --set \
                 rl-cyclegan.held_out_episodes={}{settings}",
                self.gan_steps, self.held_out
            );
            plan.add(&name, &format!("{key} on {real}: training"), &command)?;
        }
        Ok(name)
    }

    /// Adds the final agent of a translation, in the simulator (table 1), and from a recording with a weight, too, where one is
    /// given (tables 2 to 6; Figure 6).
    pub(super) fn final_agent(
        &self,
        plan: &mut Plan,
        (name, title): (&str, &str),
        [init, translation]: [&str; 2],
        (real, seed): (Option<(&str, f64)>, u64),
        words: &str,
    ) -> anyhow::Result<()> {
        let real = real.map(|(real, weight)| format!("--real @{real} --real-weight {weight} ")).unwrap_or_default();
        let command = format!("{} --generator @{translation} {real}{words}", agent(&self.table, seed, init));
        plan.add(name, &format!("{title}: training the agent"), &command)
    }

    pub(super) fn trained(&self) -> String {
        format!("{} steps of translation, {} of the agent", self.gan_steps, self.table.agent_steps)
    }
}

/// lambda_RL-real by the amount of real episodes (appendix, Table 6).
pub(super) fn real_weight(episodes: u64) -> f64 {
    if episodes > 10_000 { 2.0 } else { 0.1 }
}

const TEST: &str = "--domain reality --objects test";

pub fn table1(args: &Args) -> anyhow::Result<ExitCode> {
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    let agent_only = format!("{} steps of the agent", table.agent_steps);
    let row = |key: &str, title: &str, trained: &str, percent: Option<u32>| {
        RowPlan::new(key, title, trained.to_owned()).published(&[percent], 0)
    };
    let (both, joint_only) = (scale.trained(), format!("{} steps of translation", scale.gan_steps));
    let mut rows = [
        row("sim-only", "Sim-only", &agent_only, Some(21)),
        row("randomized", "Randomized Sim", &agent_only, Some(37)),
        row("gan", "GAN", &both, Some(29)),
        row("cyclegan", "CycleGAN", &both, Some(61)),
        row("graspgan", "GraspGAN", &both, Some(63)),
        row("rl-cyclegan", "RL-CycleGAN", &both, Some(70)),
        row("real-to-sim", "Q_sim on F(y)", &joint_only, None),
        row("joint-q-real", "joint Q_real", &joint_only, None),
        row("frozen-q", "RL-CycleGAN, Q frozen", &both, None),
        row("canonical", "the canonical agent itself", "-", None),
        row("ceiling", "ceiling, labels of reality", &agent_only, None),
    ];
    for seed in table.seeds() {
        let init = canonical(&mut plan, table, seed, ROBOT_1)?;
        let real = scale.recording(&mut plan, seed, ROBOT_1)?;
        for row in &mut rows {
            let (key, title) = (row.row.key.clone(), row.row.title.clone());
            let name = format!("agent-{key}-{seed}");
            let domain = match key.as_str() {
                "randomized" => "randomized-mild",
                "ceiling" => "reality",
                _ => "canonical",
            };
            let method = Method::ALL.into_iter().find(|method| method.to_string() == key);
            let joint = |plan: &mut Plan| scale.translation(plan, Method::RlCycleGan, (&init, &real), seed);
            let behind = |plan: &mut Plan, translation: &str| -> anyhow::Result<String> {
                let own = [&init, translation];
                scale.final_agent(plan, (&name, &title), own, (None, seed), "--domain canonical")?;
                Ok(format!("@{name}"))
            };
            let policy = match (key.as_str(), method) {
                ("canonical", _) => format!("@{init}"),
                ("real-to-sim", _) => format!("@{init} --generator @{}", joint(&mut plan)?),
                ("joint-q-real", _) => format!("@{}", joint(&mut plan)?),
                ("frozen-q", _) => {
                    let translation = scale.translation_of_frozen_q(&mut plan, (&init, &real), seed)?;
                    behind(&mut plan, &translation)?
                }
                (_, Some(method)) => {
                    let translation = scale.translation(&mut plan, method, (&init, &real), seed)?;
                    behind(&mut plan, &translation)?
                }
                (_, None) => {
                    let command = format!("{} --domain {domain}", agent(table, seed, &init));
                    plan.add(&name, &format!("{title}: training the agent"), &command)?;
                    format!("@{name}")
                }
            };
            let name = format!("reality-{key}-{seed}");
            let words = format!("--policy {policy} {TEST}");
            row.cell("reality", seed, &measure(&mut plan, table, (&name, &title), seed, &words)?);
        }
    }
    let intro = format!(
        "Translations learn from {} episodes of `reality`, images, gripper, actions and rewards alone; the agents then learn \
         in the simulator alone, behind their translation (section 6.1). The row `ceiling` learns from labels of `reality`, \
         which no other row sees.",
        scale.recorded
    );
    let title = "RL-CycleGAN, table 1: off-policy real data without labels";
    Table { gap: Some(["sim-only", "ceiling"]), ..Table::in_reality("rl-cyclegan-table1", title, intro, rows.into()) }
        .run(table, &mut plan)
}

pub fn figure4(args: &Args, frames: usize) -> anyhow::Result<ExitCode> {
    let table = &args.table;
    if table.table_only || !table.rows.is_empty() || table.seeds > 1 {
        let message = "the figure has one seed and no rows: leave --rows, --seeds and --table-only out";
        return Err(UsageError(message.into()).into());
    }
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    let seed = table.seed.seed;
    let init = canonical(&mut plan, table, seed, ROBOT_1)?;
    let real = scale.recording(&mut plan, seed, ROBOT_1)?;
    let methods = [Method::Gan, Method::CycleGan, Method::GraspGan, Method::RlCycleGan];
    let nodes: Vec<(Method, String)> = methods
        .into_iter()
        .map(|method| Ok((method, scale.translation(&mut plan, method, (&init, &real), seed)?)))
        .collect::<anyhow::Result<_>>()?;
    // Seeds that no training run derives.
    let seed = table.seed.get().derive("figure 4", 0);
    let frames = if table.quick { 24 } else { frames };
    super::rl_figure4::run(&mut plan, &nodes, (&table.out, frames, seed), (table.quick, table.json))
}

pub fn table2(args: &Args) -> anyhow::Result<ExitCode> {
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    let mut rows = Vec::new();
    // Real only, GraspGAN, RL-CycleGAN.
    let published = [[Some(15), None, Some(75)], [Some(16), None, Some(86)], [Some(87), Some(89), Some(94)]];
    for (amount, published) in scale.amounts().into_iter().zip(published) {
        let title = |method: &str| format!("{method}, {amount} episodes");
        let alone = format!("{} steps from nothing", table.canonical_steps);
        rows.push(
            RowPlan::new(&format!("real-only-{amount}"), &title("Real only"), alone).published(&published[..1], 0),
        );
        for (method, percent) in [(Method::GraspGan, published[1]), (Method::RlCycleGan, published[2])] {
            let name = if method == Method::GraspGan { "GraspGAN" } else { "RL-CycleGAN" };
            rows.push(
                RowPlan::new(&format!("{method}-{amount}"), &title(name), scale.trained()).published(&[percent], 0),
            );
        }
    }
    for seed in table.seeds() {
        let init = canonical(&mut plan, table, seed, ROBOT_1)?;
        let recording = scale.recording(&mut plan, seed, ROBOT_1)?;
        for (index, amount) in scale.amounts().into_iter().enumerate().filter(|(_, amount)| *amount <= scale.recorded) {
            let real = scale.sample(&mut plan, &recording, amount, seed)?;
            let row = &mut rows[3 * index];
            let name = format!("agent-{}-{seed}", row.row.key);
            let command = format!(
                "train qtopt --real @{real} --real-only --domain reality --steps {} --seed {seed} {WITHOUT_LABELS}",
                table.canonical_steps
            );
            plan.add(&name, &format!("{}: training", row.row.title), &command)?;
            for (place, method) in [Method::GraspGan, Method::RlCycleGan].into_iter().enumerate() {
                let translation = scale.translation(&mut plan, method, (&init, &real), seed)?;
                let row = &rows[3 * index + 1 + place].row;
                let name = format!("agent-{}-{seed}", row.key);
                scale.final_agent(
                    &mut plan,
                    (&name, &row.title),
                    [&init, &translation],
                    (Some((&real, real_weight(amount))), seed),
                    "--domain canonical",
                )?;
            }
            for row in &mut rows[3 * index..3 * index + 3] {
                let (key, title) = (row.row.key.clone(), row.row.title.clone());
                let words = format!("--policy @agent-{key}-{seed} {TEST}");
                let name = format!("reality-{key}-{seed}");
                row.cell("reality", seed, &measure(&mut plan, table, (&name, &title), seed, &words)?);
            }
        }
    }
    let intro = "1,000, 5,000 and 25,000 scripted episodes stand for the paper's 5,000, 28,000 and 580,000; smaller amounts are \
                 drawn from the largest. Rows of more episodes than were recorded are not run.";
    let title = "RL-CycleGAN, table 2: amounts of real episodes";
    Table::in_reality("rl-cyclegan-table2", title, intro.into(), rows).run(table, &mut plan)
}

pub fn table4(args: &Args, generator: &GeneratorArgs) -> anyhow::Result<ExitCode> {
    let scale = Scale::of(args)?;
    let (table, mut plan) = (&scale.table, scale.plan()?);
    // On-policy episodes; off-policy ones for RL-CycleGAN.
    let [none, few, more, many] = if table.quick { [0, 20, 20, 20] } else { [0, 1_000, 2_000, 5_000] };
    let tuned = format!(", {} of finetuning", scale.finetune_steps);
    let row = |key: &str, title: &str, trained: String, percent| {
        RowPlan::new(key, title, trained).published(&[Some(percent)], 0)
    };
    let rcan_steps = format!("{} steps of the agent", table.agent_steps);
    let mut rows = [
        (row("rcan-zero-shot", "RCAN, randomized, no real episodes", rcan_steps.clone(), 70), none),
        (row("rcan-few", &format!("RCAN, randomized, {few} on-policy"), rcan_steps.clone() + &tuned, 91), few),
        (
            row(
                "rl-cyclegan-few",
                &format!("RL-CycleGAN, {} off-policy, {few} on-policy", scale.recorded),
                scale.trained() + &tuned,
                90,
            ),
            few,
        ),
        (row("rcan-many", &format!("RCAN, randomized, {many} on-policy"), rcan_steps + &tuned, 94), many),
        (
            row(
                "rl-cyclegan-many",
                &format!("RL-CycleGAN, {} off-policy, {more} on-policy", scale.recorded),
                scale.trained() + &tuned,
                94,
            ),
            more,
        ),
    ];
    for seed in table.seeds() {
        let init = canonical(&mut plan, table, seed, ROBOT_1)?;
        let real = scale.recording(&mut plan, seed, ROBOT_1)?;
        let translation = scale.translation(&mut plan, Method::RlCycleGan, (&init, &real), seed)?;
        let weight = real_weight(scale.recorded);
        let joint = format!("agent-rl-cyclegan-{seed}");
        scale.final_agent(
            &mut plan,
            (&joint, "RL-CycleGAN"),
            [&init, &translation],
            (Some((&real, weight)), seed),
            "--domain canonical",
        )?;
        let rcan = rcan_generator(&mut plan, table, generator, &init, seed)?;
        let sees_rcan = format!("--domain randomized-heavy --generator @{rcan}");
        let zero_shot = format!("agent-rcan-{seed}");
        plan.add(&zero_shot, "RCAN: training the agent", &format!("{} {sees_rcan}", agent(table, seed, &init)))?;
        for (row, grasps) in &mut rows {
            let (key, title) = (row.row.key.clone(), row.row.title.clone());
            let through_rcan = key.starts_with("rcan");
            let (agent, start, weight, sees) = if through_rcan {
                ("rcan", &zero_shot, 1.0, sees_rcan.clone())
            } else {
                let sees = format!("--domain canonical --generator @{translation} --real @{real}");
                ("rl-cyclegan", &joint, weight, sees)
            };
            let mut policy = start.clone();
            if *grasps > 0 {
                policy = finetuned_name(*grasps, agent, seed);
                let words = finetuned(table, seed, start, *grasps, (scale.finetune_steps, weight));
                let command = format!("{words} {} {sees}", begins_with_episodes(table));
                plan.add(&policy, &format!("{title}: finetuning"), &command)?;
            }
            let words = format!("--policy @{policy} {TEST}");
            let name = format!("reality-{policy}");
            row.cell("reality", seed, &measure(&mut plan, table, (&name, &title), seed, &words)?);
        }
    }
    let intro = "On-policy episodes are played in `reality` beside the simulator, without labels. 1,000, 2,000 and 5,000 stand \
                 for the paper's 5,000, 10,000 and 28,000.";
    let rows = rows.into_iter().map(|(row, _)| row).collect();
    Table::in_reality("rl-cyclegan-table4", "RL-CycleGAN, table 4: on-policy finetuning", intro.into(), rows)
        .run(table, &mut plan)
}
