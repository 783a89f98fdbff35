//! Joint finetuning: episodes that the policy plays in the domain to transfer to, beside those of the simulator. No privileged
//! state of them is kept.

use super::{EnvOpener, ExperienceSource};
use crate::contract::EpisodeCollector;
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::{BehaviorPolicy, play_each};
use crate::rl::qtopt::policy::CemPolicy;
use crate::rl::qtopt::stream::Stream;

/// Environments of the domain to transfer to, and how many episodes may be played there.
pub(super) struct OnPolicy {
    pub(super) open: Option<EnvOpener>,
    pub(super) envs: Option<Box<dyn EpisodeCollector>>,
    pub(super) episodes: u64,
    pub(super) played: u64,
}

impl ExperienceSource {
    /// Lets the policy play up to so many episodes in the domain to transfer to, some with each iteration (joint finetuning:
    /// RCAN, section 5.3; RL-CycleGAN, Table 4). They fill the real stream beside a recording, where there is one.
    pub fn play_in_reality(&mut self, open: EnvOpener, episodes: u64) {
        self.on_policy = Some(OnPolicy { open: Some(open), envs: None, episodes, played: 0 });
        self.real.get_or_insert_with(|| Stream::real(&self.config));
    }

    /// Episodes played in the domain to transfer to.
    pub fn on_policy_episodes(&self) -> u64 {
        self.on_policy.as_ref().map_or(0, |on_policy| on_policy.played)
    }

    /// Plays an iteration's episodes in the domain to transfer to, until no more may be played there.
    pub(super) fn collect_in_reality(&mut self, policy: CemPolicy<'_>) -> Result<(), RlError> {
        let (Some(on_policy), Some(stream)) = (&mut self.on_policy, &mut self.real) else { return Ok(()) };
        let left = usize::try_from(on_policy.episodes - on_policy.played.min(on_policy.episodes)).unwrap_or(usize::MAX);
        let count = self.config.real_episodes_per_iteration.min(left);
        if count == 0 {
            return Ok(());
        }
        if let Some(open) = on_policy.open.take() {
            on_policy.envs = Some(open()?);
        }
        let Some(envs) = on_policy.envs.as_deref_mut() else {
            return Err(RlError::Inconsistent("the environments of the other domain failed to open".into()));
        };
        let seed = self.seed.derive("on-policy", on_policy.played);
        let mut rng = seed.derive("plan", 0).rng();
        let p_greedy = self.config.exploration.p_greedy;
        let behavior = |_| if rng.chance(p_greedy) { BehaviorPolicy::Greedy } else { BehaviorPolicy::Noisy };
        let plan: Vec<BehaviorPolicy> = (0..count).map(behavior).collect();
        let means = &mut self.means;
        play_each(envs, Some(policy), &self.config.exploration, &plan, seed, None, &mut |episode| {
            if episode.invalid {
                return;
            }
            let success = f64::from(u8::from(episode.success));
            let name =
                if episode.behavior == BehaviorPolicy::Greedy { "success/greedy_real" } else { "success/noisy_real" };
            means.add([(name, success)]);
            stream.on_policy.push(&episode.without_privileged().transitions);
        })?;
        on_policy.played += count as u64;
        means.add([("replay/real_episodes", on_policy.played as f64)]);
        Ok(())
    }
}
