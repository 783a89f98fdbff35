//! Whether a cell description can be built: sizes, places, reach. In: a [`CellDescription`]. Out: nothing, or a
//! [`CellError`] that names the key, its value and the cure.

use super::arm::wrap;
use super::cell::CellDescription;
use crate::contract::Pose;
use glam::{Quat, Vec3};

/// Why a description cannot be built.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("cell description, {place}: {problem}; {cure}")]
pub struct CellError {
    place: String,
    problem: String,
    cure: &'static str,
}

impl CellError {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<String>, cure: &'static str) -> Self {
        Self { place: place.into(), problem: problem.into(), cure }
    }
}

/// No length, angle, mass or force of a cell is greater.
const GREATEST: f64 = 1e6;

/// Refuses numbers that are not finite or greater than anything in a cell can be.
fn sensible_numbers(place: &str, value: &toml::Value) -> Result<(), CellError> {
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value {
        toml::Value::Float(number) if number.is_nan() || number.abs() > GREATEST => {
            Err(CellError::new(place, format!("{number} is no size, angle or force of a cell"), "give a usual number"))
        }
        toml::Value::Array(values) => {
            values.iter().enumerate().try_for_each(|(i, value)| sensible_numbers(&format!("{place}[{i}]"), value))
        }
        toml::Value::Table(table) => table.iter().try_for_each(|(key, value)| sensible_numbers(&below(key), value)),
        _ => Ok(()),
    }
}

impl CellDescription {
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
            if !(bin.position.is_finite() && bin.yaw_rad.is_finite()) {
                return Err(CellError::new(
                    place("position"),
                    format!("{} turned by {} rad is no place", bin.position, bin.yaw_rad),
                    "give three numbers in metres and an angle in radians",
                ));
            }
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
            for (j, other) in self.bins.iter().enumerate().take(i) {
                let (gap, walls) = (bin.gap_to(other).max_element(), bin.wall_thickness + other.wall_thickness);
                if gap < walls - 1e-6 {
                    return Err(CellError::new(
                        place("position"),
                        format!("{gap} m between its inside and that of bins[{j}] do not hold both walls ({walls} m)"),
                        "move the bins apart or make their walls thinner",
                    ));
                }
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
        positive("motion.max_yaw_rad", self.motion.max_yaw_rad)?;
        for (place, value) in [
            ("motion.floor_clearance", self.motion.floor_clearance),
            ("motion.wall_margin", self.motion.wall_margin),
            ("motion.home_jitter", self.motion.home_jitter),
            ("surfaces.bin_friction", self.surfaces.bin_friction),
            ("surfaces.pad_friction", self.surfaces.pad_friction),
            ("surfaces.palm_friction", self.surfaces.palm_friction),
        ] {
            if value.is_nan() || value < 0.0 {
                return Err(CellError::new(place, format!("{value} is below 0 or no number"), "give 0 or more"));
            }
        }
        if self.motion.ceiling.is_nan() || self.motion.ceiling <= self.motion.floor_clearance {
            let (ceiling, floor) = (self.motion.ceiling, self.motion.floor_clearance);
            let problem = format!("{ceiling} is not above motion.floor_clearance, {floor}");
            return Err(CellError::new("motion.ceiling", problem, "give a greater height above the bin floor, metres"));
        }
        if self.objects.per_episode == 0 || self.objects.per_episode > parts_limit() {
            return Err(CellError::new(
                "objects.per_episode",
                format!("{} is not between 1 and {}", self.objects.per_episode, parts_limit()),
                "instance ids are bytes; ask for fewer objects",
            ));
        }
        for (i, &bin) in self.objects.bins.iter().enumerate() {
            self.check_bin(&format!("objects.bins[{i}]"), bin)?;
        }
        if let Some(area) = self.objects.area_m {
            positive("objects.area_m[0]", area.x)?;
            positive("objects.area_m[1]", area.y)?;
        }
        if !self.backdrop.floor_z.is_finite() {
            let problem = format!("{} is no height", self.backdrop.floor_z);
            return Err(CellError::new("backdrop.floor_z", problem, "give a height in metres, or leave it out for 0"));
        }
        if let Some(group) = &self.bin_group {
            group.validate(self.bins.len())?;
        }
        self.check_reach()?;
        if self.cameras.is_empty() {
            return Err(CellError::new("cameras", "there is no camera", "describe at least one [[cameras]]"));
        }
        for (i, camera) in self.cameras.iter().enumerate() {
            if camera.name.trim().is_empty() || self.cameras[..i].iter().any(|other| other.name == camera.name) {
                let problem = format!("'{}' is empty or the name of another camera", camera.name);
                return Err(CellError::new(
                    format!("cameras[{i}].name"),
                    problem,
                    "give each camera a name of its own",
                ));
            }
            camera.validate().map_err(|problem| {
                CellError::new(format!("cameras[{i}]"), problem, "compare with the over-the-shoulder camera")
            })?;
        }
        self.arm
            .validate()
            .map_err(|problem| CellError::new("arm", problem, "compare with the KUKA LBR iiwa's description"))?;
        let described = toml::Value::try_from(self)
            .map_err(|error| CellError::new("the cell", error.to_string(), "compare with a built-in cell"))?;
        sensible_numbers("", &described)
    }

    fn check_bin(&self, place: &str, bin: usize) -> Result<(), CellError> {
        if bin < self.bins.len() {
            return Ok(());
        }
        let problem = format!("there is no bin {bin}: there are {}, numbered from 0", self.bins.len());
        Err(CellError::new(place, problem, "name a bin that exists"))
    }

    /// Where `motion.reach_m` says that the hand may go, the arm can hold it: at every height from the bin floor to the
    /// lift, at every angle.
    fn check_reach(&self) -> Result<(), CellError> {
        let Some([near, far]) = self.motion.reach_m else { return Ok(()) };
        if !(near >= 0.0 && near < far && far.is_finite()) {
            let problem = format!("[{near}, {far}] is not an interval of distances");
            return Err(CellError::new("motion.reach_m", problem, "give two distances in metres, the smaller first"));
        }
        let floor = self.bins.iter().map(|bin| bin.position.z).fold(f32::INFINITY, f32::min);
        let rim = self.bins.iter().map(|bin| bin.rim_z()).fold(f32::NEG_INFINITY, f32::max);
        let top = (rim + self.motion.lift_height).max(floor + self.motion.ceiling.max(self.motion.home_height));
        let world_from_base = self.world_from_base();
        let limit = self.motion.max_yaw_rad;
        for bearing in self.bearings() {
            for radius in [near, 0.5 * (near + far), far] {
                for height in (0..=8).map(|k| floor + (top - floor) * k as f32 / 8.0) {
                    for yaw in (-4..=4).map(|k| limit * k as f32 / 4.0) {
                        let place = self.arm_base.position.with_z(0.0)
                            + Vec3::new(radius * bearing.cos(), radius * bearing.sin(), height);
                        let flange = Pose::new(place, Quat::from_rotation_z(yaw)) * self.gripper.gripper_from_flange();
                        if let Err(error) = self.arm.inverse(world_from_base.inverse() * flange, 0.0) {
                            return Err(CellError::new(
                                "motion.reach_m",
                                format!(
                                    "at {radius:.3} m from the base, {:.0} degrees aside, {height:.3} m high and turned by \
                                     {yaw:.2} rad the arm cannot hold the hand: {error}",
                                    bearing.to_degrees()
                                ),
                                "narrow motion.reach_m or motion.max_yaw_rad, or move the bins",
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Directions from the arm's base in which bins lie, wherever their group is placed: the outermost and between.
    fn bearings(&self) -> [f32; 5] {
        let ahead = self.arm_base.yaw_rad;
        let bearing = |point: Vec3| {
            let way = point - self.arm_base.position;
            wrap(way.y.atan2(way.x) - ahead)
        };
        let placed = self.extreme_places();
        let corners = placed.iter().flat_map(|cell| cell.bins.iter().flat_map(|bin| bin.corners()));
        let reachable = |point: &Vec3| {
            let distance = (*point - self.arm_base.position).truncate().length();
            self.motion.reach_m.is_none_or(|[_, far]| distance <= far)
        };
        let (low, high) = corners
            .filter(reachable)
            .map(bearing)
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), angle| (low.min(angle), high.max(angle)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| ahead + low + (high - low) * share)
    }
}

const fn parts_limit() -> usize {
    super::parts::instance::MAX_OBJECTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::DividerDescription;

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

    #[test]
    fn overlapping_bins_and_an_arm_too_short_are_refused() {
        let mut cell = CellDescription::load("mobile-three-bins").expect("built in");
        cell.bins[0].position.y = 0.268;
        // 268 mm apart at 260 mm inside leave 8 mm for two walls of 6.
        let message = cell.validate().unwrap_err().to_string();
        assert!(message.contains("bins[1].position") && message.contains("0.012"), "{message}");
        let mut cell = CellDescription::load("mobile-three-bins").expect("built in");
        cell.arm.lengths[1] = 0.3;
        let message = cell.validate().unwrap_err().to_string();
        assert!(message.contains("motion.reach_m") && message.contains("out of reach"), "{message}");
        let mut cell = CellDescription::load("mobile-three-bins").expect("built in");
        cell.objects.bins = vec![3];
        assert!(cell.validate().unwrap_err().to_string().contains("objects.bins[0]"));
    }

    #[test]
    fn numbers_that_no_cell_has_are_named() {
        let refused = |change: &dyn Fn(&mut CellDescription), place: &str| {
            let mut cell = CellDescription::iiwa_bin();
            change(&mut cell);
            let message = cell.validate().expect_err(place).to_string();
            assert!(message.contains(place), "{place}: {message}");
        };
        refused(&|cell| cell.motion.max_yaw_rad = -1.0, "motion.max_yaw_rad");
        refused(&|cell| cell.motion.max_yaw_rad = f32::NAN, "motion.max_yaw_rad");
        refused(&|cell| cell.surfaces.bin_friction = -5.0, "surfaces.bin_friction");
        refused(&|cell| cell.surfaces.pad_friction = f32::NAN, "surfaces.pad_friction");
        refused(&|cell| cell.motion.ceiling = cell.motion.floor_clearance, "motion.ceiling");
        refused(&|cell| cell.motion.ceiling = f32::NAN, "motion.ceiling");
        refused(&|cell| cell.motion.home_jitter = f32::NAN, "motion.home_jitter");
        refused(&|cell| cell.gripper.stroke = 1e10, "gripper.stroke");
        refused(&|cell| cell.arm_base.yaw_rad = f32::INFINITY, "arm_base.yaw_rad");
        refused(&|cell| cell.cameras[0].name.clear(), "cameras[0].name");
        refused(&|cell| cell.cameras.push(cell.cameras[0].clone()), "is empty or the name of another camera");
    }
}
