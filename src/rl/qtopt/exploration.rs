//! Settings of how episodes are collected while a policy learns.

use super::collect::BehaviorPolicy;
use crate::contract::Seed;
use serde::{Deserialize, Serialize};

/// Who decides while data is collected, and how far from what they would do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplorationConfig {
    /// Scripted episodes before anything is learned.
    pub initial_episodes: usize,
    /// Share of episodes by the policy until it is better than the script.
    pub p_policy_warmup: f32,
    /// Share of episodes by the policy after that.
    pub p_policy: f32,
    /// Share of the policy's episodes that are played without noise: they tell how good it is.
    pub p_greedy: f32,
    /// Share of noisy episodes that the script begins, by up to `num_jump_steps` steps: so the policy gets to where grasps are
    /// made before it finds its own way there (Uchendu et al., 2023).
    pub p_jump_start: f32,
    /// Most steps that the script takes at a time in a noisy episode; the number is uniform from 1 to this.
    pub num_jump_steps: usize,
    /// Where a policy would give a noisy episode up (end it at a value below this), the script goes on in its place as often
    /// as not: a policy that does not grasp well yet rightly thinks nothing worth its steps, and would learn nothing more.
    pub give_up_value: f32,
    /// Share of a noisy episode's steps that are uniformly random.
    pub p_random: f32,
    /// Share that is moved aside, by this deviation (of the largest step).
    pub p_noise: f32,
    /// Deviation of displaced steps, the policy's and the script's, as a share of the largest step; from 0 to 100.
    pub noise_std: f32,
    /// Share of the script's steps with closed fingers at which it ends the episode, where the policy might (`cem.end_above_m`).
    pub p_terminate_closed: f32,
    /// The same with open fingers.
    pub p_terminate_open: f32,
    /// Share of the script's steps that are moved aside, and that are uniformly random.
    pub p_perturb: f32,
    /// Share of the script's steps that are replaced by a uniformly random action, which never ends the episode.
    pub p_script_random: f32,
    /// Share of the script's closings during which the hand moves as well. It never would, and the search for the best
    /// action tries all such closings: where nothing was ever seen to fail, Q is too high.
    pub p_perturb_close: f32,
    /// Share of the episodes that follow another one in their environment (in an iteration half of them do, of 128 in 64) that
    /// go on with the objects as it left them, what was grasped returned to a random place, as in evaluations (RCAN, 5.1).
    /// Bins that were always fresh taught nothing of what lies about after failures.
    pub p_keep_objects: f32,
}

impl ExplorationConfig {
    /// Who plays each of `count` episodes, where the policy plays a share of `p_policy`.
    pub(super) fn draw_behaviors(&self, count: usize, p_policy: f32, seed: Seed) -> Vec<BehaviorPolicy> {
        let mut rng = seed.derive("plan", 0).rng();
        let draw = |_| match (rng.chance(p_policy), rng.chance(self.p_greedy)) {
            (false, _) => BehaviorPolicy::Scripted,
            (true, true) => BehaviorPolicy::Greedy,
            (true, false) => BehaviorPolicy::Noisy,
        };
        (0..count).map(draw).collect()
    }
}

impl Default for ExplorationConfig {
    fn default() -> Self {
        Self {
            initial_episodes: 6_000,
            p_policy_warmup: 0.5,
            p_policy: 0.95,
            p_greedy: 0.3,
            p_jump_start: 0.6,
            num_jump_steps: 6,
            give_up_value: 0.1,
            p_random: 0.05,
            p_noise: 0.3,
            noise_std: 0.25,
            p_terminate_closed: 0.35,
            p_terminate_open: 0.01,
            p_perturb: 0.15,
            p_script_random: 0.06,
            p_perturb_close: 0.35,
            p_keep_objects: 0.75,
        }
    }
}
