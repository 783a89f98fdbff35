//! A trained grasping policy for the viewer: `--policy RUN`.

use super::agent;
use crate::collect::observation_adapter::ObservationAdapter;
use crate::contract::{Action, Domain, Rng, Seed};
use crate::nn::HOST;
use crate::rl::qtopt::load::Loaded;
use crate::rl::qtopt::load_policy;
use crate::viewer::pilot::{Pilot, PolicyInput};
use std::path::Path;

/// A Q-function behind the viewer's trait.
struct Learned {
    loaded: Loaded,
    adapter: ObservationAdapter,
    name: String,
}

impl Pilot for Learned {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn size(&self) -> u32 {
        // At most 2,048: the configuration is checked when it is read.
        self.loaded.policy.size as u32
    }

    fn act(&mut self, seen: &PolicyInput<'_>, rng: &mut Rng) -> Result<Action, String> {
        let size = [seen.frames.height, seen.frames.width];
        let image = self.adapter.encode_rgb(seen.frames.source_image(0).to_vec(), size).map_err(|e| e.to_string())?;
        let cem_policy = self.loaded.policy.cem_policy();
        let choices = cem_policy.act(&[&image], &[seen.gripper], &[Seed(rng.next_u64())]);
        let choice = choices.map_err(|e| e.to_string())?.pop().ok_or("the policy decided nothing")?;
        Ok(choice.action)
    }
}

/// The policy of a run of `train qtopt`, with its generator if it learned with one.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn pilot(run: &Path) -> anyhow::Result<Box<dyn Pilot>> {
    let loaded = load_policy(run, &HOST)?;
    crate::files::console::warn_all(&loaded.warnings);
    // The viewer says which domain is seen.
    let adapter = agent::adapter(&loaded.run, &loaded.config, Domain::Canonical)?;
    let name = format!("{}, step {}", run.display(), loaded.step);
    Ok(Box::new(Learned { loaded, adapter, name }))
}
