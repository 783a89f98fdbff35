//! Kinematics of a seven-joint arm with spherical shoulder, revolute elbow and spherical wrist (S-R-S), such as the
//! KUKA LBR iiwa: forward, and inverse in closed form with the elbow's angle on its circle as the free parameter
//! (Shimizu et al., "Analytical Inverse Kinematic Computation for 7-DOF Redundant Manipulators", 2008).
//!
//! In: joint angles, or a flange pose in the arm's base frame. Out: the pose of every link, or joint angles.

use crate::contract::Pose;
use glam::{Quat, Vec3};
use serde::{Deserialize, Serialize};

/// Joints of the arm, from the base to the flange.
pub const JOINTS: usize = 7;
/// Base, seven moving links; the last carries the flange.
pub const LINKS: usize = JOINTS + 1;

/// Rotation of each joint, radians, from the base on; all 0 is the arm stretched upwards.
pub type JointAngles = [f32; JOINTS];

/// Frames of links 0..=7 in the base frame. Links 1 and 2 have their origin at the shoulder, 3 and 4 at the elbow,
/// 5 and 6 at the wrist, 7 at the flange's face; z runs along the limb.
pub type ArmPose = [Pose; LINKS];

/// Sizes and limits of an arm of this kind; lengths in metres, all positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmDescription {
    /// What the arm is called, for readers of the description; the program does not use it.
    pub name: String,
    /// Base to shoulder, shoulder to elbow, elbow to wrist, wrist to flange.
    pub lengths: [f32; 4],
    /// Joints turn within plus and minus these.
    pub limits_deg: [f32; JOINTS],
    /// Thickness of the limbs, for drawing.
    pub diameter: f32,
}

/// Why no joint angles bring the flange to a pose.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum IkError {
    /// The wrist would lie farther from the shoulder than the stretched arm reaches, or nearer than the folded one.
    #[error("the wrist would be {distance:.3} m from the shoulder, out of reach (at most {reach:.3} m)")]
    OutOfReach {
        /// From the shoulder to the wrist, metres.
        distance: f32,
        /// Length of the stretched arm from the shoulder to the wrist, metres.
        reach: f32,
    },
    /// Every solution for this elbow turns some joint too far.
    #[error("joint {joint} would turn to {angle_deg:.1} degrees, beyond its limit of {limit_deg:.1}")]
    JointLimit {
        /// The joint that is farthest beyond its limit, from 1 at the base to 7.
        joint: usize,
        /// Where it would be.
        angle_deg: f32,
        /// How far it may turn, to either side.
        limit_deg: f32,
    },
}

impl ArmDescription {
    /// KUKA LBR iiwa 7 R800: published link lengths and joint limits.
    pub fn lbr_iiwa() -> Self {
        Self {
            name: "KUKA LBR iiwa".into(),
            lengths: [0.34, 0.40, 0.40, 0.126],
            limits_deg: [170.0, 120.0, 170.0, 120.0, 170.0, 120.0, 175.0],
            diameter: 0.136,
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let fine = |value: &f32| value.is_finite() && *value > 0.0;
        if !self.lengths.iter().all(fine) {
            return Err(format!("lengths {:?} are not all positive", self.lengths));
        }
        if !self.limits_deg.iter().all(fine) {
            return Err(format!("limits_deg {:?} are not all positive", self.limits_deg));
        }
        if !fine(&self.diameter) {
            return Err(format!("diameter {} is not positive", self.diameter));
        }
        Ok(())
    }

    /// Poses of all links in the base frame.
    pub fn forward(&self, q: &JointAngles) -> ArmPose {
        let [base, upper, fore, hand] = self.lengths;
        let along = |length: f32| Pose::from_translation(Vec3::new(0.0, 0.0, length));
        let roll = |angle: f32| Pose::new(Vec3::ZERO, Quat::from_rotation_z(angle));
        let pitch = |angle: f32| Pose::new(Vec3::ZERO, Quat::from_rotation_y(angle));
        let link1 = along(base) * roll(q[0]);
        let link2 = link1 * pitch(q[1]);
        let link3 = link2 * along(upper) * roll(q[2]);
        let link4 = link3 * pitch(-q[3]);
        let link5 = link4 * along(fore) * roll(q[4]);
        let link6 = link5 * pitch(q[5]);
        let link7 = link6 * roll(q[6]) * along(hand);
        [Pose::IDENTITY, link1, link2, link3, link4, link5, link6, link7]
    }

    /// Joint angles that bring the flange to `base_from_flange`. `elbow_rad` turns the elbow about the line from
    /// shoulder to wrist; 0 holds it in the vertical plane, above that line. Of the two wrist solutions the one with
    /// more room to its limits is taken.
    pub fn inverse(&self, base_from_flange: Pose, elbow_rad: f32) -> Result<JointAngles, IkError> {
        let [base, upper, fore, hand] = self.lengths;
        let wrist = base_from_flange.transform_point(Vec3::new(0.0, 0.0, -hand));
        let reach = wrist - Vec3::new(0.0, 0.0, base);
        let distance = reach.length();
        // Interior angle of the elbow by the law of cosines; 0 is a stretched arm.
        let cos_bend = (distance * distance - upper * upper - fore * fore) / (2.0 * upper * fore);
        if !(-1.0..=1.0).contains(&cos_bend) {
            return Err(IkError::OutOfReach { distance, reach: upper + fore });
        }
        let bend = cos_bend.acos();
        let lift = (fore * bend.sin()).atan2(upper + fore * bend.cos());
        let direction = reach / distance;
        let horizontal = direction.truncate().length();
        let polar = horizontal.atan2(direction.z);
        let azimuth = if horizontal > 1e-6 { direction.y.atan2(direction.x) } else { 0.0 };

        // Shoulder: the reference plane is vertical; then turn about the line from shoulder to wrist.
        let reference = Quat::from_rotation_z(azimuth) * Quat::from_rotation_y(polar - lift);
        let shoulder = Quat::from_axis_angle(direction, elbow_rad) * reference;
        let q4 = -bend;
        let forearm = shoulder * Quat::from_rotation_y(bend);
        let wrist_rotation = forearm.conjugate() * base_from_flange.rotation;

        let mut best: Option<(JointAngles, f32)> = None;
        for shoulder_flip in [false, true] {
            let [q1, q2, q3] = zyz(shoulder, shoulder_flip);
            for wrist_flip in [false, true] {
                let [q5, q6, q7] = zyz(wrist_rotation, wrist_flip);
                let q = [q1, q2, q3, q4, q5, q6, q7];
                // The largest share of a joint's range that is used up; below 1 is within the limits.
                let used = q.iter().zip(&self.limits_deg).map(|(a, l)| a.abs() / l.to_radians()).fold(0.0, f32::max);
                if best.is_none_or(|(_, least)| used < least) {
                    best = Some((q, used));
                }
            }
        }
        // The loops above always run, so there is a best.
        let (q, used) = best.unwrap_or(([0.0; JOINTS], f32::INFINITY));
        if used <= 1.0 {
            return Ok(q);
        }
        let worst = (0..JOINTS)
            .max_by(|&a, &b| (q[a].abs() / self.limits_deg[a]).total_cmp(&(q[b].abs() / self.limits_deg[b])))
            .unwrap_or(0);
        Err(IkError::JointLimit {
            joint: worst + 1,
            angle_deg: q[worst].to_degrees(),
            limit_deg: self.limits_deg[worst],
        })
    }
}

/// Angles with `rotation = Rz(a) Ry(b) Rz(c)`; `flip` takes the solution with negative b.
fn zyz(rotation: Quat, flip: bool) -> [f32; 3] {
    // For a quaternion (x, y, z, w): (c + a)/2 = atan2(z, w), (c - a)/2 = atan2(x, y) up to signs.
    let (x, y, z, w) = (rotation.x, rotation.y, rotation.z, rotation.w);
    let sine = x.hypot(y);
    let b = 2.0 * sine.atan2(z.hypot(w));
    let sum = z.atan2(w);
    // With b = 0 only a + c counts: give it all to c.
    let (a, c) = if sine < 1e-5 {
        (0.0, 2.0 * sum)
    } else {
        let difference = (-x).atan2(y);
        (sum + difference, sum - difference)
    };
    let (a, b, c) = if flip { (a + std::f32::consts::PI, -b, c + std::f32::consts::PI) } else { (a, b, c) };
    [wrap(a), b, wrap(c)]
}

/// To (-pi, pi].
pub fn wrap(angle: f32) -> f32 {
    let turn = std::f32::consts::TAU;
    let wrapped = angle - turn * (angle / turn).round();
    if wrapped <= -std::f32::consts::PI { wrapped + turn } else { wrapped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use std::f32::consts::{FRAC_PI_2, PI};

    fn close(a: Pose, b: Pose) -> f32 {
        a.translation.distance(b.translation) + 1.0 - a.rotation.dot(b.rotation).abs()
    }

    #[test]
    fn forward_on_poses_worked_by_hand() {
        let arm = ArmDescription::lbr_iiwa();
        // Upright: the lengths add up.
        let flange = arm.forward(&[0.0; 7])[7];
        assert!(flange.translation.distance(Vec3::new(0.0, 0.0, 1.266)) < 1e-6);
        // Shoulder pitched to the horizontal: stretched along +x at shoulder height.
        let flange = arm.forward(&[0.0, FRAC_PI_2, 0.0, 0.0, 0.0, 0.0, 0.0])[7];
        assert!(flange.translation.distance(Vec3::new(0.926, 0.0, 0.34)) < 1e-6);
        // Upper arm up, elbow bent by -90 degrees: forearm and hand along +x at elbow height.
        let flange = arm.forward(&[0.0, 0.0, 0.0, -FRAC_PI_2, 0.0, 0.0, 0.0])[7];
        assert!(flange.translation.distance(Vec3::new(0.526, 0.0, 0.74)) < 1e-6);
        // The same with the wrist pitched by 90 degrees: the hand points down.
        let links = arm.forward(&[0.0, 0.0, 0.0, -FRAC_PI_2, 0.0, FRAC_PI_2, 0.0]);
        assert!(links[7].translation.distance(Vec3::new(0.4, 0.0, 0.614)) < 1e-6);
        assert!((links[7].rotation * Vec3::Z).distance(-Vec3::Z) < 1e-6);
    }

    #[test]
    fn inverse_round_trip_top_down_over_the_workspace() {
        let arm = ArmDescription::lbr_iiwa();
        let cell = crate::scene::CellDescription::iiwa_bin();
        let bin = &cell.bins[0];
        let mut rng = Seed(5).rng();
        let down = Quat::from_rotation_y(PI);
        for _ in 0..20_000 {
            let half = bin.half_size() - cell.motion.wall_margin;
            let tip = bin.position
                + Vec3::new(
                    rng.range(-half.x, half.x),
                    rng.range(-half.y, half.y),
                    rng.range(0.0, bin.wall_height + cell.motion.lift_height),
                );
            let yaw = rng.range(-cell.motion.max_yaw_rad, cell.motion.max_yaw_rad);
            let goal = Pose::new(tip + Vec3::Z * cell.gripper.length, Quat::from_rotation_z(yaw) * down);
            for elbow in [0.0, 0.4, -0.7] {
                match arm.inverse(goal, elbow) {
                    Ok(q) => {
                        let error = close(arm.forward(&q)[7], goal);
                        assert!(error < 2e-5, "{error} at {goal:?}");
                    }
                    // The drawn arm keeps its elbow up: there every pose must be reachable.
                    Err(error) => assert!(elbow != 0.0, "{error} at {goal:?}"),
                }
            }
        }
    }

    #[test]
    fn inverse_round_trip_any_rotation() {
        let arm = ArmDescription::lbr_iiwa();
        let mut rng = Seed(6).rng();
        let mut solved = 0;
        for _ in 0..5_000 {
            let q: JointAngles =
                std::array::from_fn(|j| rng.range(-1.0, 1.0) * arm.limits_deg[j].to_radians().min(2.5));
            let goal = arm.forward(&q)[7];
            if let Ok(back) = arm.inverse(goal, rng.range(-PI, PI)) {
                solved += 1;
                let error = close(arm.forward(&back)[7], goal);
                assert!(error < 1e-4, "{error} for {q:?} -> {back:?}");
            }
        }
        assert!(solved > 1_500, "{solved}");
    }

    #[test]
    fn out_of_reach_is_said() {
        let arm = ArmDescription::lbr_iiwa();
        let far = Pose::new(Vec3::new(1.5, 0.0, 0.3), Quat::from_rotation_y(PI));
        assert!(matches!(arm.inverse(far, 0.0), Err(IkError::OutOfReach { .. })));
        let close_in = Pose::new(Vec3::new(0.1, 0.0, 0.466), Quat::from_rotation_y(PI));
        assert!(matches!(arm.inverse(close_in, 0.0), Err(IkError::JointLimit { joint: 4, .. })));
    }
}
