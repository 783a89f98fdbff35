//! Everything about a cell that is decided before an episode starts, in SI units, readable from TOML.

use super::arm::ArmDescription;
use super::camera::CameraDescription;
use crate::contract::Pose;
use glam::{Quat, Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// Why a description cannot be built.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("cell description, {place}: {problem}; {cure}")]
pub struct CellError {
    place: String,
    problem: String,
    cure: &'static str,
}

impl CellError {
    fn new(place: impl Into<String>, problem: impl Into<String>, cure: &'static str) -> Self {
        Self { place: place.into(), problem: problem.into(), cure }
    }
}

/// One robot cell. The world's origin is the robot's base, z up, the bin ahead along +x.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellDescription {
    pub name: String,
    pub arm: ArmDescription,
    pub arm_base: ArmBase,
    pub gripper: GripperDescription,
    pub motion: MotionLimits,
    pub bins: Vec<BinDescription>,
    pub backdrop: BackdropDescription,
    pub objects: ObjectsDescription,
    pub surfaces: Surfaces,
    /// The first is the policy's camera.
    pub cameras: Vec<CameraDescription>,
}

/// Where the arm stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmBase {
    pub position: Vec3,
    pub yaw_rad: f32,
}

/// An open box. `position` is the centre of the bin floor's upper face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinDescription {
    pub position: Vec3,
    /// Inner length along x and y.
    pub inner_size: Vec2,
    /// Rim above the bin floor.
    pub wall_height: f32,
    pub wall_thickness: f32,
    pub floor_thickness: f32,
    /// A plate across the bin, parallel to x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divider: Option<DividerDescription>,
}

/// The divider's offset along y from the bin's centre is drawn uniformly from `range` every episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DividerDescription {
    pub range: [f32; 2],
    pub thickness: f32,
    pub height: f32,
}

/// A two-finger parallel jaw. In its frame the origin lies midway between the finger tips' lower ends, z is up
/// (towards the flange) and x is the closing direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperDescription {
    /// Distance between the pads when fully open.
    pub stroke: f32,
    /// Tip to the palm's lower face.
    pub finger_length: f32,
    /// Along the closing direction.
    pub finger_thickness: f32,
    pub finger_width: f32,
    /// Height of the soft pad on the finger's inner side, from the tip.
    pub pad_length: f32,
    pub palm_size: Vec3,
    /// Tip to flange.
    pub length: f32,
    /// Grip force of each finger, newtons.
    pub force_n: f32,
    /// Speed of each finger, m/s.
    pub speed: f32,
    pub finger_mass_kg: f32,
    pub palm_mass_kg: f32,
}

/// How the gripper may move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionLimits {
    /// Largest displacement of one step along each axis.
    pub step_m: Vec3,
    /// Largest rotation of one step about the vertical.
    pub step_rad: f32,
    pub speed: f32,
    pub acceleration: f32,
    pub angular_speed: f32,
    pub angular_acceleration: f32,
    /// The drive gives way beyond these.
    pub max_force_n: f32,
    pub max_torque_nm: f32,
    /// Rotation about the vertical stays within plus and minus this.
    pub max_yaw_rad: f32,
    /// Tips stay at least this high above the bin floor, and at most `ceiling`.
    pub floor_clearance: f32,
    pub ceiling: f32,
    /// The gripper's axis stays this far inside the bin's inner faces.
    pub wall_margin: f32,
    /// Tips above the bin floor at the start of an episode.
    pub home_height: f32,
    /// The start is drawn within this of the bin's centre, in x and y.
    pub home_jitter: f32,
    /// How far above the rim the tips rise when a grasp is judged.
    pub lift_height: f32,
}

/// The room around the robot: a floor at z = 0 and three walls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackdropDescription {
    pub floor_centre: Vec2,
    pub floor_size: Vec2,
    /// 0 for none.
    pub wall_height: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsDescription {
    pub per_episode: usize,
}

/// Coulomb friction of the fixed surfaces. Of two touching surfaces the product counts, so that an object's own
/// coefficient scales both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surfaces {
    pub bin_friction: f32,
    pub pad_friction: f32,
    pub palm_friction: f32,
}

impl BinDescription {
    pub fn rim_z(&self) -> f32 {
        self.position.z + self.wall_height
    }

    pub fn half_size(&self) -> Vec2 {
        0.5 * self.inner_size
    }

    /// Horizontally inside the inner faces, shrunk by `margin`.
    pub fn contains_xy(&self, point: Vec3, margin: f32) -> bool {
        let offset = (point - self.position).truncate().abs();
        offset.cmple(self.half_size() - margin).all()
    }
}

impl GripperDescription {
    /// The flange's frame (z out of the flange, so downwards here) in the gripper's. Mounted so that joint 7 is in the
    /// middle of its range when the fingers close along the world's x.
    pub fn gripper_from_flange(&self) -> Pose {
        Pose::new(Vec3::new(0.0, 0.0, self.length), Quat::from_rotation_y(std::f32::consts::PI))
    }

    /// Outer width over both fingers at a pad distance of `aperture`.
    pub fn outer_width(&self, aperture: f32) -> f32 {
        aperture + 2.0 * self.finger_thickness
    }
}

impl CellDescription {
    /// Robot 1: a KUKA LBR iiwa over one bin with a movable divider, seen over its shoulder.
    pub fn iiwa_bin() -> Self {
        Self {
            name: "iiwa-bin".into(),
            arm: ArmDescription::lbr_iiwa(),
            arm_base: ArmBase { position: Vec3::ZERO, yaw_rad: 0.0 },
            gripper: GripperDescription {
                stroke: 0.085,
                finger_length: 0.095,
                finger_thickness: 0.012,
                finger_width: 0.022,
                pad_length: 0.04,
                palm_size: Vec3::new(0.13, 0.07, 0.06),
                length: 0.165,
                force_n: 15.0,
                speed: 0.25,
                finger_mass_kg: 0.2,
                palm_mass_kg: 0.8,
            },
            motion: MotionLimits {
                step_m: Vec3::splat(0.08),
                step_rad: 0.8,
                speed: 0.9,
                acceleration: 10.0,
                angular_speed: 8.0,
                angular_acceleration: 80.0,
                max_force_n: 24.0,
                max_torque_nm: 3.0,
                max_yaw_rad: 2.6,
                floor_clearance: 0.004,
                ceiling: 0.24,
                wall_margin: 0.016,
                home_height: 0.18,
                home_jitter: 0.04,
                lift_height: 0.22,
            },
            bins: vec![BinDescription {
                position: Vec3::new(0.55, 0.0, 0.012),
                inner_size: Vec2::new(0.30, 0.36),
                wall_height: 0.075,
                wall_thickness: 0.008,
                floor_thickness: 0.012,
                divider: Some(DividerDescription { range: [-0.08, 0.08], thickness: 0.008, height: 0.045 }),
            }],
            backdrop: BackdropDescription {
                floor_centre: Vec2::new(0.6, 0.0),
                floor_size: Vec2::new(3.2, 3.2),
                wall_height: 1.6,
            },
            objects: ObjectsDescription { per_episode: 5 },
            surfaces: Surfaces { bin_friction: 0.5, pad_friction: 1.0, palm_friction: 0.3 },
            cameras: vec![CameraDescription::over_the_shoulder(), CameraDescription::wrist()],
        }
    }

    /// The middle of the floors of all bins: where heights and places are measured from.
    pub fn workspace_centre(&self) -> Vec3 {
        self.bins.iter().map(|bin| bin.position).sum::<Vec3>() / self.bins.len().max(1) as f32
    }

    pub fn world_from_base(&self) -> Pose {
        Pose::new(self.arm_base.position, Quat::from_rotation_z(self.arm_base.yaw_rad))
    }

    /// Checks what the types cannot: sizes that are positive, a divider inside its bin, a camera, ...
    pub fn validate(&self) -> Result<(), CellError> {
        let positive = |place: &str, value: f32| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(CellError::new(place, format!("{value} is not a positive number"), "give a size in metres"))
            }
        };
        if self.bins.is_empty() {
            return Err(CellError::new("bins", "there is no bin", "describe at least one [[bins]]"));
        }
        for (i, bin) in self.bins.iter().enumerate() {
            let place = |field: &str| format!("bins[{i}].{field}");
            positive(&place("inner_size[0]"), bin.inner_size.x)?;
            positive(&place("inner_size[1]"), bin.inner_size.y)?;
            positive(&place("wall_height"), bin.wall_height)?;
            positive(&place("wall_thickness"), bin.wall_thickness)?;
            positive(&place("floor_thickness"), bin.floor_thickness)?;
            if bin.inner_size.min_element() <= 2.0 * self.motion.wall_margin {
                return Err(CellError::new(
                    place("inner_size"),
                    "the wall margin leaves the gripper no room",
                    "make the bin larger or motion.wall_margin smaller",
                ));
            }
            if let Some(divider) = bin.divider {
                positive(&place("divider.thickness"), divider.thickness)?;
                positive(&place("divider.height"), divider.height)?;
                let room = 0.5 * (bin.inner_size.y - divider.thickness);
                let [low, high] = divider.range;
                if !(low <= high && low >= -room && high <= room) {
                    return Err(CellError::new(
                        place("divider.range"),
                        format!("[{low}, {high}] is not an interval inside the bin"),
                        "give two offsets from the bin's centre, the smaller first",
                    ));
                }
            }
        }
        let g = &self.gripper;
        for (place, value) in [
            ("gripper.stroke", g.stroke),
            ("gripper.finger_length", g.finger_length),
            ("gripper.finger_thickness", g.finger_thickness),
            ("gripper.finger_width", g.finger_width),
            ("gripper.pad_length", g.pad_length),
            ("gripper.length", g.length),
            ("gripper.force_n", g.force_n),
            ("gripper.speed", g.speed),
            ("gripper.finger_mass_kg", g.finger_mass_kg),
            ("gripper.palm_mass_kg", g.palm_mass_kg),
            ("gripper.palm_size", g.palm_size.min_element()),
            ("motion.step_m", self.motion.step_m.min_element()),
            ("motion.step_rad", self.motion.step_rad),
            ("motion.speed", self.motion.speed),
            ("motion.acceleration", self.motion.acceleration),
            ("motion.angular_speed", self.motion.angular_speed),
            ("motion.angular_acceleration", self.motion.angular_acceleration),
            ("motion.max_force_n", self.motion.max_force_n),
            ("motion.max_torque_nm", self.motion.max_torque_nm),
            ("motion.lift_height", self.motion.lift_height),
            ("motion.home_height", self.motion.home_height),
        ] {
            positive(place, value)?;
        }
        if self.objects.per_episode == 0 || self.objects.per_episode > parts_limit() {
            return Err(CellError::new(
                "objects.per_episode",
                format!("{} is not between 1 and {}", self.objects.per_episode, parts_limit()),
                "instance ids are bytes; ask for fewer objects",
            ));
        }
        if self.cameras.is_empty() {
            return Err(CellError::new("cameras", "there is no camera", "describe at least one [[cameras]]"));
        }
        for (i, camera) in self.cameras.iter().enumerate() {
            camera.validate().map_err(|problem| {
                CellError::new(format!("cameras[{i}]"), problem, "compare with the over-the-shoulder camera")
            })?;
        }
        self.arm
            .validate()
            .map_err(|problem| CellError::new("arm", problem, "compare with the KUKA LBR iiwa's description"))
    }
}

const fn parts_limit() -> usize {
    super::parts::instance::MAX_OBJECTS
}

impl Default for CellDescription {
    fn default() -> Self {
        Self::iiwa_bin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_round_trip_and_unknown_keys() {
        let cell = CellDescription::iiwa_bin();
        cell.validate().unwrap();
        let text = toml::to_string(&cell).unwrap();
        assert_eq!(toml::from_str::<CellDescription>(&text).unwrap(), cell);
        let wrong = text.replace("wall_height", "wall_hieght");
        assert!(toml::from_str::<CellDescription>(&wrong).unwrap_err().to_string().contains("wall_hieght"));
    }

    #[test]
    fn faults_are_named() {
        let mut cell = CellDescription::iiwa_bin();
        cell.bins[0].divider = Some(DividerDescription { range: [0.0, 0.5], thickness: 0.01, height: 0.05 });
        let message = cell.validate().unwrap_err().to_string();
        assert!(message.contains("bins[0].divider.range"), "{message}");
        let mut cell = CellDescription::iiwa_bin();
        cell.gripper.force_n = f32::NAN;
        assert!(cell.validate().unwrap_err().to_string().contains("gripper.force_n"));
    }
}
