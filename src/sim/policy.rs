//! What acts in a world. The policies that need no learning are in [`crate::policies`].

use super::GraspWorld;
use crate::contract::{Action, Rng};

/// Decides. One instance serves one environment; [`Policy::begin`] starts an episode.
pub trait Policy: Send + Sync {
    fn begin(&mut self);

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action;
}
