//! What one step of the joint phase sees, and how it is drawn.

use crate::contract::Rng;
use crate::contract::action_space::{ActionFeatures, ActionSpace};
use crate::gan::cyclegan::UnpairedBatch;
use crate::rl::qtopt::network::{STATE_LEN, height_m, is_closed};
use crate::rl::qtopt::stream::Samples;

/// Images of both domains with what may be known beside them.
#[derive(Clone)]
pub struct JointBatch {
    /// x and y as the GAN takes them: images, gripper states, and actions to compare Q at.
    pub unpaired: UnpairedBatch,
    /// The same x and y as labelled transitions. Those of y carry no privileged state.
    pub sim: Samples,
    /// y with its actions and targets, in the order of `unpaired.y`.
    pub real: Samples,
    /// Decides how Q_sim's images are changed.
    pub rng: Rng,
    /// Area under the ROC curve of Q_sim on held-out episodes, where this step measured it.
    pub auc: Option<f64>,
}

/// Height of a bin of the gripper's histogram, metres.
const BIN_M: f32 = 0.05;

/// The gripper's state, coarsely: what both domains should show as often as each other. Where one of them held an object
/// more often, a generator would learn to delete or invent what is in the hand.
fn bin(state: &[f32; STATE_LEN]) -> (bool, i32) {
    (is_closed(state), (height_m(state) / BIN_M).floor() as i32)
}

/// As many of the candidates as there are wanted states, each in the same bin as its state where there is one left, in the
/// order of the states.
pub fn matching(mut candidates: Samples, wanted: &[[f32; STATE_LEN]]) -> Samples {
    let mut chosen = Samples::default();
    for state in wanted.iter().take(candidates.targets.len()) {
        let same = candidates.records.iter().position(|record| bin(&record.state) == bin(state)).unwrap_or(0);
        chosen.images.push(candidates.images.remove(same));
        chosen.records.push(candidates.records.remove(same));
        chosen.targets.push(candidates.targets.remove(same));
        // These are there for all of them, or for none.
        if !candidates.outcomes.is_empty() {
            chosen.outcomes.push(candidates.outcomes.remove(same));
        }
        if !candidates.masks.is_empty() {
            chosen.masks.push(candidates.masks.remove(same));
        }
    }
    chosen
}

/// `count` actions for each sample: what was done there first, then what was done in other samples, for at most half of
/// them, then random ones.
pub fn actions_to_compare(
    samples: &Samples,
    count: usize,
    space: &ActionSpace,
    rng: &mut Rng,
) -> Vec<Vec<ActionFeatures>> {
    let n = samples.records.len();
    let each = |(index, record): (usize, &crate::rl::replay::Record)| {
        let mut actions = vec![record.action];
        let others = (count / 2).min(n).saturating_sub(1);
        actions.extend((1..=others).map(|offset| samples.records[(index + offset) % n].action));
        while actions.len() < count {
            let action = space.random(rng);
            actions.push(space.features(&space.effective(&action, is_closed(&record.state))));
        }
        actions.truncate(count.max(1));
        actions
    };
    samples.records.iter().enumerate().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{PrivilegedState, Seed};
    use crate::rl::qtopt::network::state_of;
    use crate::rl::replay::{Record, Termination};

    fn samples(states: &[[f32; STATE_LEN]]) -> Samples {
        let mut samples = Samples::default();
        for (index, state) in states.iter().enumerate() {
            samples.images.push(vec![index as u8]);
            samples.targets.push(index as f32);
            samples.masks.push(vec![2 * index as u8]);
            samples.records.push(Record {
                state: *state,
                action: [index as f32; 8],
                reward: 0.0,
                termination: Termination::None,
                exploratory: 0.0,
                privileged: PrivilegedState::UNKNOWN,
            });
        }
        samples
    }

    #[test]
    fn x_is_drawn_like_y() {
        let state = |[closed, height_dm]: [f32; 2]| state_of(closed, height_dm);
        // Closed at 0 cm, open at 20 cm, closed at 20 cm; heights are in decimetres.
        let candidates = samples(&[[1.0, 0.0], [0.0, 2.0], [1.0, 2.1], [0.0, 2.02]].map(state));
        let chosen = matching(candidates, &[[1.0, 2.2], [0.0, 2.0], [0.0, 2.0], [0.0, 9.0]].map(state));
        assert_eq!(chosen.targets, [2.0, 1.0, 3.0, 0.0]);
        assert_eq!(chosen.images, [[2], [1], [3], [0]]);
        assert_eq!(chosen.masks, [[4], [2], [6], [0]]);
        assert!(chosen.outcomes.is_empty());
    }

    #[test]
    fn what_was_done_comes_first_and_chance_fills_the_rest() {
        let space = ActionSpace { step_m: [0.1; 3], step_rad: 0.5 };
        let samples = samples(&[[0.0; STATE_LEN]; 3]);
        let actions = actions_to_compare(&samples, 8, &space, &mut Seed(1).rng());
        assert!(actions.iter().all(|actions| actions.len() == 8));
        assert_eq!(actions[1][..3], [[1.0; 8], [2.0; 8], [0.0; 8]]);
        assert_ne!(actions[1][3], actions[1][4]);
        let one = actions_to_compare(&samples, 1, &space, &mut Seed(1).rng());
        assert_eq!(one, [[[0.0; 8]], [[1.0; 8]], [[2.0; 8]]]);
    }
}
