//! What a person and a policy did to the cell.

use crate::contract::{Action, Seed};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// What happened to the cell since its reset, enough to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    Act(Action),
    /// Ticks of the action under way.
    Run(u32),
    /// Ticks without an action.
    Idle(u32),
    Pull {
        object: usize,
        point: Vec3,
        place: Vec3,
    },
    Release,
    Drop {
        object: String,
        seed: Seed,
    },
    /// The next episode on the objects as they lie.
    NextAttempt,
}

/// Adds an event to a log. Ticks of one kind, and places of one pull between ticks, are counted together.
pub fn record(log: &mut Vec<Event>, event: Event) {
    match (log.last_mut(), &event) {
        (Some(Event::Run(total)), Event::Run(more)) | (Some(Event::Idle(total)), Event::Idle(more)) => {
            *total += more;
        }
        (Some(last @ Event::Pull { .. }), Event::Pull { .. }) => *last = event,
        _ => log.push(event),
    }
}

/// What the keys ask for at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Teleop {
    /// Direction in the world, each component in [-1, 1].
    pub direction: Vec3,
    /// -1, 0 or 1.
    pub turn: f32,
}

impl Teleop {
    pub fn is_still(&self) -> bool {
        self.direction == Vec3::ZERO && self.turn == 0.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pull {
    pub object: usize,
    pub point: Vec3,
    pub place: Vec3,
}
