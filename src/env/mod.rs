//! Vectorized environments, and the one loop that plays episodes in them: the one room that builds a headless Bevy app.
//!
//! In: an [`EnvConfig`] (cell, task, domains, channels wanted), a policy, a schedule. Out: [`GraspEnv`], which is a
//! [`crate::contract::VecEnv`]; episodes step by step ([`EpisodeLoop`]), whole ([`collect`]), or as datasets
//! ([`pairs::collect_pairs`]).

#![warn(missing_docs)]

mod app;
mod config;
mod episode_loop;
mod grasp_env;
pub mod pairs;
mod privileged;
mod schedule;
#[cfg(test)]
mod tests;

pub use app::{BingraspPlugins, Command, EpisodeDriver, EpisodeLooks, look_seed, scene_bounds_of};
pub use config::{Channels, EnvConfig, EnvError, PolicyView};
pub use episode_loop::{EpisodeLoop, Moment, Transition, collect};
pub use grasp_env::GraspEnv;
pub use privileged::map_frame;
pub use schedule::{BlockSchedule, EpisodeEnd, EpisodeStart, OneSetSchedule, PlanSchedule, Schedule, SetSchedule};
