//! Whether the physics stays sound: environments played by all built-in policies, looked at after every step.

use crate::contract::{ScriptPolicy, Seed, VecEnvError};
use crate::env::{BlockSchedule, EnvConfig, EpisodeLoop, GraspEnv};
use crate::policies::PolicyKind;
use serde::{Deserialize, Serialize};

/// Faults found while environments were stepped; all zero when the physics is sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoakReport {
    /// Environment steps carried out.
    pub steps: u64,
    pub episodes: u64,
    /// Steps after which a pose was not finite.
    pub not_finite: u64,
    /// Steps after which an object was outside the bins.
    pub out_of_bounds: u64,
    /// Steps after which an object was more than 3 mm deep in a floor, wall or divider.
    pub penetrating: u64,
    /// The deepest seen, metres.
    pub deepest_m: f32,
}

/// Deeper than this in a wall or floor is a fault.
pub const PENETRATION_M: f32 = 0.003;

/// Plays `steps` steps in environments of `config`, without pictures, and looks for faults after every one. Ends early when
/// `should_continue`, which sees the report so far, says no.
///
/// # Errors
/// An impossible configuration.
pub fn soak(
    config: EnvConfig,
    steps: u64,
    seed: Seed,
    should_continue: &mut dyn FnMut(&SoakReport) -> bool,
) -> Result<SoakReport, VecEnvError> {
    let config = EnvConfig { scripts: PolicyKind::ALL.to_vec(), ..config.blind() };
    let mut env = GraspEnv::new(config).map_err(VecEnvError::new)?;
    let mut episodes = EpisodeLoop::new(BlockSchedule { block: seed.derive("soak", 0) }, env.len());
    let mut report = SoakReport::default();
    while report.steps < steps {
        let Some(moment) = episodes.step(&mut env, &mut ScriptPolicy, false)? else { break };
        for (index, transition) in moment.transitions.iter().enumerate() {
            if transition.decision.is_none() {
                report.episodes += 1;
                continue;
            }
            if report.steps >= steps {
                break;
            }
            report.steps += 1;
            let check = env.world(index).check();
            report.not_finite += u64::from(!check.finite || transition.step.invalid);
            report.out_of_bounds += u64::from(check.out_of_bounds > 0);
            report.penetrating += u64::from(check.deepest_m > PENETRATION_M);
            report.deepest_m = report.deepest_m.max(check.deepest_m);
        }
        if !should_continue(&report) {
            break;
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Domain;
    use crate::objects::{ObjectSet, Split};
    use crate::scene::CellDescription;

    #[test]
    fn nothing_sinks_escapes_or_blows_up() -> Result<(), VecEnvError> {
        let objects = ObjectSet::builtin().split(Split::Test);
        let cell = CellDescription::iiwa_bin().into();
        let config = EnvConfig::new(&cell, objects, Domain::Canonical, (16, 64), Seed(2));
        let mut seen = Vec::new();
        let report = soak(config, 1_000, Seed(2), &mut |so_far| {
            seen.push(so_far.steps);
            true
        })?;
        assert_eq!(report.steps, 1_000);
        assert!(seen.is_sorted() && seen.last() == Some(&1_000), "{seen:?}");
        assert_eq!((report.not_finite, report.out_of_bounds, report.penetrating), (0, 0, 0), "{report:?}");
        Ok(())
    }

    #[test]
    fn ends_early_with_what_it_has_seen() -> Result<(), VecEnvError> {
        let objects = ObjectSet::builtin().split(Split::Test);
        let config = EnvConfig::new(&CellDescription::iiwa_bin().into(), objects, Domain::Canonical, (16, 64), Seed(2));
        let report = soak(config, 1_000_000, Seed(2), &mut |so_far| so_far.steps < 40)?;
        assert!((40..200).contains(&report.steps), "{report:?}");
        Ok(())
    }
}
