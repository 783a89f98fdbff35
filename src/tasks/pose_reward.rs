//! The reward of a grasp pose: equation 1 of Pedersen et al., 2020.
//!
//! `R = (0.5 (1 - ed)^2 + 0.5 (1 - eo) + 0.05 rg - 0.5) / 0.5`, where `ed` and `eo` are the linear and the angular distance
//! from a good grasp and `rg` is -1 if any point of the gripper is below the ground. It lies in [-1.1, 1], as the paper says,
//! only where both distances are scaled and clamped to [0, 1]; the paper does not say how, so the scales are settings.

use serde::{Deserialize, Serialize};

/// Weights and scales of the reward.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoseReward {
    /// Lambda_d, lambda_o and lambda_g.
    pub distance_weight: f64,
    /// Lambda_o: weight of the angular term `1 - eo`.
    pub angle_weight: f64,
    /// Lambda_g: weight of `rg`, which is -1 where the gripper is below the ground and else 0.
    pub ground_weight: f64,
    /// Lambda_l and lambda_n.
    pub offset: f64,
    /// Lambda_n: divisor of the whole.
    pub scale: f64,
    /// Distance that counts as 1, metres.
    pub max_distance_m: f64,
    /// Angle that counts as 1, radians. A parallel jaw looks the same after half a turn, so no two are further apart than a
    /// quarter turn.
    pub max_angle_rad: f64,
}

impl Default for PoseReward {
    fn default() -> Self {
        Self {
            distance_weight: 0.5,
            angle_weight: 0.5,
            ground_weight: 0.05,
            offset: 0.5,
            scale: 0.5,
            max_distance_m: 0.30,
            max_angle_rad: std::f64::consts::FRAC_PI_2,
        }
    }
}

/// A gripper's pose over a table: tips' middle in metres, yaw in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GripperPose {
    /// `[x, y, z]` of the point midway between the finger tips, metres.
    pub position: [f64; 3],
    /// Turn about the vertical, radians; half a turn more is the same to a parallel jaw.
    pub yaw: f64,
}

impl GripperPose {
    /// Distance in metres, and the angle between two jaws, modulo half a turn: [0, pi/2].
    pub fn distance(&self, other: &Self) -> (f64, f64) {
        use std::f64::consts::{FRAC_PI_2, PI};
        let squares: f64 = self.position.iter().zip(&other.position).map(|(a, b)| (a - b).powi(2)).sum();
        let turn = (self.yaw - other.yaw + FRAC_PI_2).rem_euclid(PI) - FRAC_PI_2;
        (squares.sqrt(), turn.abs())
    }
}

impl PoseReward {
    /// Equation 1 of distances that are scaled already; they are clamped to [0, 1].
    pub fn of_scaled(&self, distance: f64, angle: f64, below_ground: bool) -> f64 {
        let (distance, angle) = (distance.clamp(0.0, 1.0), angle.clamp(0.0, 1.0));
        let ground = if below_ground { -self.ground_weight } else { 0.0 };
        let linear = self.distance_weight * (1.0 - distance).powi(2);
        (linear + self.angle_weight * (1.0 - angle) + ground - self.offset) / self.scale
    }

    /// The reward against the good pose that gives the most, with that pose's place in the list. `None` without good poses.
    pub fn best(&self, pose: &GripperPose, good: &[GripperPose], below_ground: bool) -> Option<(f64, usize)> {
        let reward = |good: &GripperPose| {
            let (distance, angle) = pose.distance(good);
            self.of_scaled(distance / self.max_distance_m, angle / self.max_angle_rad, below_ground)
        };
        good.iter().enumerate().map(|(index, good)| (reward(good), index)).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equation_1_by_hand() {
        let reward = PoseReward::default();
        for (distance, angle, below, expected) in [
            (0.0, 0.0, false, 1.0),
            (1.0, 1.0, true, -1.1),
            (0.1, 0.25, false, 0.56),
            (0.3, 0.5, true, -0.11),
            (0.5, 0.5, false, -0.25),
            // Beyond the scales nothing gets worse.
            (7.0, 3.0, true, -1.1),
        ] {
            let found = reward.of_scaled(distance, angle, below);
            assert!((found - expected).abs() < 1e-12, "({distance}, {angle}, {below}): {found}");
        }
    }

    #[test]
    fn centimetres_and_degrees() {
        let reward = PoseReward::default();
        let good = [GripperPose { position: [0.5, 0.0, 0.02], yaw: 0.3 }];
        let off = |metres: f64, degrees: f64| {
            let pose = GripperPose { position: [0.5, metres, 0.02], yaw: 0.3 + degrees.to_radians() };
            reward.best(&pose, &good, false).expect("a good pose").0
        };
        for (metres, degrees, expected) in
            [(0.01, 10.0, 0.8233), (0.01, 0.0, 0.9344), (0.0, 10.0, 0.8889), (0.05, 30.0, 0.3611)]
        {
            assert!((off(metres, degrees) - expected).abs() < 5e-5, "{metres} m, {degrees} degrees");
        }
        // Half a turn is no turn for a parallel jaw; 170 degrees are 10.
        assert!((off(0.0, 180.0) - 1.0).abs() < 1e-9);
        assert!((off(0.0, 170.0) - off(0.0, 10.0)).abs() < 1e-9);
    }

    #[test]
    fn the_pose_that_gives_most_counts() {
        let reward = PoseReward::default();
        let pose = |x: f64, yaw: f64| GripperPose { position: [x, 0.0, 0.0], yaw };
        // 3 cm away but turned as wanted beats 1 cm away and a quarter turn off.
        let good = [pose(0.01, std::f64::consts::FRAC_PI_2), pose(0.03, 0.0)];
        let (best, index) = reward.best(&pose(0.0, 0.0), &good, false).expect("good poses");
        assert_eq!(index, 1);
        assert!((best - (0.81 * 0.5 + 0.5 - 0.5) / 0.5).abs() < 1e-12);
        assert_eq!(reward.best(&pose(0.0, 0.0), &[], false), None);
    }
}
