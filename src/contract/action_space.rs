//! Actions as numbers: what a network sees of them, and how they are drawn.
//!
//! In: [`Action`]s and the ranges of the cell. Out: [`ActionFeatures`] for networks.

use super::{Action, GripperCommand, Rng};
use serde::{Deserialize, Serialize};

/// `[x, y, z, sin, cos, close, open, terminate]`: translation as a share of the largest step.
pub type ActionFeatures = [f32; Action::ENCODED_LEN];

/// The place of `close` among the features.
pub const CLOSE: usize = 5;
/// The place of `terminate`.
pub const TERMINATE: usize = Action::ENCODED_LEN - 1;

/// What one step may do, from the cell's motion limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpace {
    /// Largest displacement along each axis, metres.
    pub step_m: [f32; 3],
    /// Largest rotation, radians.
    pub step_rad: f32,
}

impl ActionSpace {
    /// What the cell makes of an action, said in one way only: displacements are clamped to the largest step, "leave the
    /// fingers as they are" becomes the command they last had, and of a terminating action nothing else counts. A
    /// Q-function need not learn that such actions are the same.
    pub fn effective(&self, action: &Action, closed: bool) -> Action {
        if action.terminate {
            return Action { terminate: true, ..Action::default() };
        }
        let close = match action.gripper {
            GripperCommand::Keep => closed,
            GripperCommand::Close => true,
            GripperCommand::Open => false,
        };
        let gripper = if close { GripperCommand::Close } else { GripperCommand::Open };
        let clamp = |value: f32, limit: f32| if value.is_finite() { value.clamp(-limit, limit) } else { 0.0 };
        let mut translation_m = action.translation_m;
        translation_m.iter_mut().zip(self.step_m).for_each(|(value, limit)| *value = clamp(*value, limit));
        Action { translation_m, rotation_rad: clamp(action.rotation_rad, self.step_rad), gripper, terminate: false }
    }

    /// The features of an [effective](Self::effective) action.
    pub fn features(&self, action: &Action) -> ActionFeatures {
        let mut features = action.encode();
        features.iter_mut().zip(self.step_m).for_each(|(value, limit)| *value /= limit.max(1e-6));
        features
    }

    /// The action of `normalized` numbers in `[-1, 1]`: shares of the largest displacement and rotation.
    pub fn denormalize(&self, normalized: [f32; 4], close: bool) -> Action {
        let [x, y, z, turn] = normalized.map(|normalized| normalized.clamp(-1.0, 1.0));
        Action {
            translation_m: [x * self.step_m[0], y * self.step_m[1], z * self.step_m[2]],
            rotation_rad: turn * self.step_rad,
            gripper: if close { GripperCommand::Close } else { GripperCommand::Open },
            terminate: false,
        }
    }

    /// The inverse of [`Self::denormalize`].
    pub fn normalize(&self, action: &Action) -> [f32; 4] {
        let [x, y, z] = action.translation_m;
        let share = |value: f32, limit: f32| (value / limit.max(1e-6)).clamp(-1.0, 1.0);
        [
            share(x, self.step_m[0]),
            share(y, self.step_m[1]),
            share(z, self.step_m[2]),
            share(action.rotation_rad, self.step_rad),
        ]
    }

    /// Uniform over displacements; closes in a fifth and terminates in a tenth of the draws.
    pub fn random(&self, rng: &mut Rng) -> Action {
        let normalized = std::array::from_fn(|_| rng.range(-1.0, 1.0));
        let action = self.denormalize(normalized, rng.chance(0.2));
        Action { terminate: rng.chance(0.1), ..action }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::contract::Seed;

    pub(crate) const SPACE: ActionSpace = ActionSpace { step_m: [0.08, 0.04, 0.1], step_rad: 0.8 };

    #[test]
    fn what_the_cell_ignores_leaves_no_trace() {
        let ends = Action { translation_m: [0.05, 0.0, 0.0], rotation_rad: 0.3, terminate: true, ..Action::default() };
        let effective = SPACE.effective(&ends, true);
        assert_eq!(effective, Action { terminate: true, ..Action::default() });
        let wild = Action { translation_m: [1.0, f32::NAN, -0.05], rotation_rad: -9.0, ..Action::default() };
        let effective = SPACE.effective(&wild, false);
        assert_eq!(effective.translation_m, [0.08, 0.0, -0.05]);
        assert_eq!((effective.rotation_rad, effective.gripper), (-0.8, GripperCommand::Open));
    }

    #[test]
    fn features_as_by_hand_and_units_go_round() {
        let action = SPACE.denormalize([0.5, -1.0, 0.25, 0.5], true);
        assert_eq!(action.translation_m, [0.04, -0.04, 0.025]);
        let features = SPACE.features(&action);
        let expected = [0.5, -1.0, 0.25, 0.4_f32.sin(), 0.4_f32.cos(), 1.0, 0.0, 0.0];
        assert!(features.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{features:?}");
        let mut rng = Seed(1).rng();
        for _ in 0..100 {
            let action = SPACE.random(&mut rng);
            let back = SPACE.denormalize(SPACE.normalize(&action), action.gripper == GripperCommand::Close);
            assert!((back.rotation_rad - action.rotation_rad).abs() < 1e-6);
            assert!(back.translation_m.iter().zip(action.translation_m).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
