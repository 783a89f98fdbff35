//! Everything about a cell that is decided before an episode starts, in SI units, readable from TOML.

use super::arm::ArmDescription;
use super::camera::CameraDescription;
use super::group::BinGroupDescription;
use crate::contract::{Pose, TaskKind};
use crate::objects::Jaws;
use glam::{Quat, Vec2, Vec3};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One robot cell. The world's origin is the robot's base, z up, the bin ahead along +x.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellDescription {
    /// What reports and recordings call it; the command line loads built-in cells by it.
    pub name: String,
    /// What an episode is.
    #[serde(default, skip_serializing_if = "TaskKind::is_usual")]
    pub task: TaskKind,
    /// The arm's link lengths and joint limits, for kinematics and drawing.
    pub arm: ArmDescription,
    /// Where the arm is mounted in the world.
    pub arm_base: ArmBase,
    /// The hand's sizes, force and masses.
    pub gripper: GripperDescription,
    /// Largest steps, speeds and forces of the hand, and where it may go.
    pub motion: MotionLimits,
    /// At least one; other settings number them from 0 in this order. Their walls must not overlap.
    pub bins: Vec<BinDescription>,
    /// How the bins as a group are placed anew every episode; without it they stay where `bins` puts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bin_group: Option<BinGroupDescription>,
    /// Floor and walls around the robot, which are drawn and never touched.
    pub backdrop: BackdropDescription,
    /// How many objects an episode has, and how they get into the bins.
    pub objects: ObjectsDescription,
    /// Friction of bins and hand, and the bins' colour.
    pub surfaces: Surfaces,
    /// The first is the policy's camera.
    pub cameras: Vec<CameraDescription>,
    /// Named changes to this description, tables of the keys that differ (see [`super::cells::load`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presets: BTreeMap<String, toml::Table>,
}

/// Where the arm stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmBase {
    /// The base's place in the world, metres.
    pub position: Vec3,
    /// Rotation about the vertical, radians.
    pub yaw_rad: f32,
}

/// An open box. `position` is the centre of the bin floor's upper face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinDescription {
    /// In the world, metres, before its group is placed.
    pub position: Vec3,
    /// Rotation about the vertical through `position`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub yaw_rad: f32,
    /// Inner length along the bin's x and y.
    pub inner_size: Vec2,
    /// Rim above the bin floor.
    pub wall_height: f32,
    /// Thickness of the walls, metres; it lies outside `inner_size`.
    pub wall_thickness: f32,
    /// Thickness of the floor, metres; it lies below `position`.
    pub floor_thickness: f32,
    /// A plate across the bin, parallel to its x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divider: Option<DividerDescription>,
}

/// The divider's offset along y from the bin's centre is drawn uniformly from `range` every episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DividerDescription {
    /// Least and largest offset, metres; the plate stays inside the bin.
    pub range: [f32; 2],
    /// Along the bin's y, metres.
    pub thickness: f32,
    /// From the bin's floor to the plate's upper edge, metres.
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
    /// Across the closing direction, metres; pads are as wide.
    pub finger_width: f32,
    /// Height of the soft pad on the finger's inner side, from the tip.
    pub pad_length: f32,
    /// The palm's box, metres: along the closing direction, across it, and upwards from the fingers' upper ends.
    pub palm_size: Vec3,
    /// Tip to flange.
    pub length: f32,
    /// Grip force of each finger, newtons.
    pub force_n: f32,
    /// Speed of each finger, m/s.
    pub speed: f32,
    /// Mass of each finger with its drive, kilograms.
    pub finger_mass_kg: f32,
    /// Mass of the hand without its fingers, kilograms.
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
    /// Highest speed along a path, m/s.
    pub speed: f32,
    /// Acceleration along a path, m/s^2; gentle motions take half of it.
    pub acceleration: f32,
    /// Highest speed of rotation about the vertical, rad/s.
    pub angular_speed: f32,
    /// Acceleration of rotation about the vertical, rad/s^2.
    pub angular_acceleration: f32,
    /// The drive gives way beyond these.
    pub max_force_n: f32,
    /// The torque about the vertical beyond which the drive gives way, newton metres.
    pub max_torque_nm: f32,
    /// Rotation about the vertical stays within plus and minus this.
    pub max_yaw_rad: f32,
    /// Tips stay at least this high above the bin floor, and at most `ceiling`.
    pub floor_clearance: f32,
    /// Greatest height of the tips above the bin floor in an action, metres.
    pub ceiling: f32,
    /// The gripper's axis stays this far inside the bin's inner faces.
    pub wall_margin: f32,
    /// Tips above the bin floor at the start of an episode.
    pub home_height: f32,
    /// The start is drawn within this of the bin's centre, in x and y.
    pub home_jitter: f32,
    /// How far above the rim the tips rise when a grasp is judged.
    pub lift_height: f32,
    /// Nearest and farthest horizontal distance of the gripper's axis from the arm's base; actions stop there. Without
    /// it every bin is taken to be within the arm's reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach_m: Option<[f32; 2]>,
}

/// The room around the robot: a floor and three walls on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackdropDescription {
    /// Middle of the floor in the world, x and y in metres.
    pub floor_centre: Vec2,
    /// Lengths of the floor along the world's x and y, metres; walls stand on three of its edges.
    pub floor_size: Vec2,
    /// Height of the floor: below 0 where the robot stands on a table.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub floor_z: f32,
    /// 0 for none.
    pub wall_height: f32,
}

/// Which objects lie where, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsDescription {
    /// Objects that an episode begins with, from 1 to 64.
    pub per_episode: usize,
    /// Bins, by number from 0, that objects are dropped into, one drawn for each object. Empty for all within reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bins: Vec<usize>,
    /// What was grasped is put outside the bins, where the next attempt does without it; otherwise it is dropped back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remove_on_success: bool,
    /// Whether objects fall into the bins or are put down at rest.
    #[serde(default, skip_serializing_if = "Placement::is_usual")]
    pub placement: Placement,
    /// Lengths along x and y, about the bin's middle, of the area that objects are put into; the whole bin without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_m: Option<Vec2>,
}

/// How objects come into a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// They fall from above in any orientation.
    #[default]
    Drop,
    /// They are put down in a pose in which they rest, drawn by how often they come to rest in it.
    Rest,
}

impl Placement {
    /// For `#[serde(skip_serializing_if)]`.
    fn is_usual(&self) -> bool {
        *self == Self::Drop
    }
}

/// Coulomb friction of the fixed surfaces. Of two touching surfaces the product counts, so that an object's own
/// coefficient scales both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surfaces {
    /// Coefficient of floors, walls and dividers.
    pub bin_friction: f32,
    /// Coefficient of the fingers, pads included.
    pub pad_friction: f32,
    /// Coefficient of the hand's body.
    pub palm_friction: f32,
    /// Colour of the bins, sRGB, in the domains that have fixed ones (`canonical` and `reality`); theirs without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bin_paint: Option<[u8; 3]>,
}

impl BinDescription {
    /// Height of the upper edge of the walls in the world, metres.
    pub fn rim_z(&self) -> f32 {
        self.position.z + self.wall_height
    }

    /// Half the inner lengths along the bin's x and y, metres.
    pub fn half_size(&self) -> Vec2 {
        0.5 * self.inner_size
    }

    /// The bin's frame: origin in the middle of its floor, z up.
    pub fn world_from_bin(&self) -> Pose {
        Pose::new(self.position, Quat::from_rotation_z(self.yaw_rad))
    }

    /// A point of the world in the bin's frame.
    pub fn to_bin(&self, point: Vec3) -> Vec3 {
        Quat::from_rotation_z(-self.yaw_rad) * (point - self.position)
    }

    /// The inner floor's corners in the world.
    pub fn corners(&self) -> [Vec3; 4] {
        let (half, world_from_bin) = (self.half_size(), self.world_from_bin());
        [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
            .map(|(x, y)| world_from_bin.transform_point(Vec3::new(x * half.x, y * half.y, 0.0)))
    }

    /// Horizontally inside the inner faces, shrunk by `margin`.
    pub fn contains_xy(&self, point: Vec3, margin: f32) -> bool {
        self.to_bin(point).truncate().abs().cmple(self.half_size() - margin).all()
    }

    /// Free width between this bin's inner faces and another's, metres, along this bin's x and y; negative where the two
    /// overlap along that axis. Two bins are apart where either is positive.
    pub fn gap_to(&self, other: &Self) -> Vec2 {
        let corners = other.corners().map(|corner| self.to_bin(corner).truncate());
        let (low, high) = corners
            .iter()
            .fold((Vec2::INFINITY, Vec2::NEG_INFINITY), |(low, high), &corner| (low.min(corner), high.max(corner)));
        (low - self.half_size()).max(-self.half_size() - high)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
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
            task: TaskKind::BinGrasp,
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
                reach_m: None,
            },
            bins: vec![BinDescription {
                position: Vec3::new(0.55, 0.0, 0.012),
                yaw_rad: 0.0,
                inner_size: Vec2::new(0.30, 0.36),
                wall_height: 0.075,
                wall_thickness: 0.008,
                floor_thickness: 0.012,
                divider: Some(DividerDescription { range: [-0.08, 0.08], thickness: 0.008, height: 0.045 }),
            }],
            bin_group: None,
            backdrop: BackdropDescription {
                floor_centre: Vec2::new(0.6, 0.0),
                floor_size: Vec2::new(3.2, 3.2),
                floor_z: 0.0,
                wall_height: 1.6,
            },
            objects: ObjectsDescription {
                per_episode: 5,
                bins: Vec::new(),
                remove_on_success: false,
                placement: Placement::Drop,
                area_m: None,
            },
            surfaces: Surfaces { bin_friction: 0.5, pad_friction: 1.0, palm_friction: 0.3, bin_paint: None },
            cameras: vec![CameraDescription::over_the_shoulder(), CameraDescription::wrist()],
            presets: BTreeMap::new(),
        }
    }

    /// The gripper as the analysis of grasps from above sees it, with a little room around everything.
    pub fn jaws(&self) -> Jaws {
        let g = &self.gripper;
        Jaws {
            max_opening_m: g.stroke - 0.006,
            pad_width_m: g.finger_width,
            finger_clearance_m: g.finger_thickness + 0.004,
            reach_m: g.finger_length - 0.006,
            floor_clearance_m: self.motion.floor_clearance + 0.001,
            max_offset_m: 0.03,
        }
    }

    /// The arm's base frame in the world; joint angles of the arm are solved in it.
    pub fn world_from_base(&self) -> Pose {
        Pose::new(self.arm_base.position, Quat::from_rotation_z(self.arm_base.yaw_rad))
    }
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
}
