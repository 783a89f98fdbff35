//! `bingrasp bench train-step`: how long one training step takes, forward, backward and optimizer.

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::files::console;
use crate::gan::cyclegan::bench::{self as cyclegan, BENCH_NETWORKS as CYCLEGAN_NETWORKS};
use crate::gan::rcan::{BENCH_NETWORKS as RCAN_NETWORKS, StepTimes, bench_step};
use crate::gan::semantic::bench::{self as semantic, BENCH_NETWORKS as SEMANTIC_NETWORKS};
use crate::nn::HOST;
use crate::nn::bench::{Report, bench_train_step};
use crate::nn::networks::BENCH_NETWORKS;
use crate::rl::ppo::bench::{self as ppo, BENCH_NETWORK as PPO_NETWORK};
use crate::rl::rl_cyclegan::bench::{self as rl_cyclegan, BENCH_NETWORKS as RL_CYCLEGAN_NETWORKS};

/// Time one training step of a benchmark network on this processor.
///
/// Example: bingrasp bench train-step --network unet7 --json
#[derive(Args, Clone, Debug)]
pub struct BenchTrainArgs {
    /// Network to train; rcan-* are whole steps of RCAN with its adversary, cyclegan* and semantic-cyclegan those of
    /// CycleGANs with both generators and both discriminators, rl-cyclegan* those with both Q-functions as well, ppo a
    /// gradient step on RGB-D images. Left out: all others, one after the other.
    #[arg(long, value_parser = PossibleValuesParser::new(
        BENCH_NETWORKS.into_iter().chain(RCAN_NETWORKS).chain(CYCLEGAN_NETWORKS).chain(RL_CYCLEGAN_NETWORKS).chain(SEMANTIC_NETWORKS).chain([PPO_NETWORK])
    ))]
    pub network: Option<String>,
    /// Images a step; the network's own batch if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: Option<u32>,
    /// Measured steps, after three to warm up; the median counts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeats: u32,
    /// One JSON object a network on standard output.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &BenchTrainArgs) -> Result<()> {
    let networks: Vec<&str> = match &args.network {
        Some(network) => vec![network],
        None => BENCH_NETWORKS.to_vec(),
    };
    for network in networks {
        let (batch, repeats) = (args.batch.map(|batch| batch as usize), args.repeats as usize);
        if let Some(times) = bench_step(network, batch, repeats, &HOST)? {
            if args.json {
                console::print_line(serde_json::to_string(&times)?)?;
            } else {
                print_step(&times)?;
            }
            continue;
        }
        let of_cyclegan = match cyclegan::bench_step(network, batch, repeats)? {
            Some(times) => Some(times),
            None => semantic::bench_step(network, batch, repeats)?,
        };
        let of_cyclegan = match of_cyclegan {
            Some(times) => Some(times),
            None => rl_cyclegan::bench_step(network, batch, repeats)?,
        };
        if let Some(times) = of_cyclegan {
            if args.json {
                console::print_line(serde_json::to_string(&times)?)?;
            } else {
                print_cyclegan(&times)?;
            }
            continue;
        }
        let report = match ppo::bench_step(network, batch, repeats, &HOST)? {
            Some(report) => Some(report),
            None => bench_train_step(network, batch, repeats, &HOST)
                .with_context(|| format!("training {network} failed"))?,
        };
        let Some(report) = report else { bail!("no network is called `{network}`; there are {BENCH_NETWORKS:?}") };
        if args.json {
            console::print_line(serde_json::to_string(&report)?)?;
        } else {
            print_row(&report)?;
        }
    }
    Ok(())
}

fn print_cyclegan(times: &cyclegan::StepTimes) -> std::io::Result<()> {
    console::print_line(format_args!(
        "{:<10} batch {:>3} + {:<3}  {:>8.2} ms/step  {:>8.1} images/s  {:>9} parameters  {:.2} GiB  {} threads, {}",
        times.network,
        times.batch,
        times.batch,
        times.ms_per_step,
        times.images_per_s,
        times.parameters,
        times.peak_memory_gib,
        times.threads,
        times.instructions,
    ))
}

fn print_step(times: &StepTimes) -> std::io::Result<()> {
    console::print_line(format_args!(
        "{:<10} batch {:>3}  {:>8.2} ms/step  {:>8.1} images/s  {:>9} + {} parameters  {:.2} GiB  {} threads, {}",
        times.network,
        times.batch,
        times.ms_per_step,
        times.images_per_s,
        times.generator_parameters,
        times.discriminator_parameters,
        times.peak_memory_gib,
        times.threads,
        times.instructions,
    ))
}

fn print_row(report: &Report) -> std::io::Result<()> {
    console::print_line(format_args!(
        "{:<10} batch {:>3}  {:>8.2} ms/step  {:>8.1} images/s  {:>9} parameters  {:.2} GiB  {} threads, {}",
        report.network,
        report.batch,
        report.ms_per_step,
        report.images_per_second,
        report.parameters,
        report.peak_memory_gib,
        report.threads,
        report.instructions,
    ))
}
