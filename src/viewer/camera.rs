//! The free camera: an orbit around a point, with presets that it glides to.

use crate::contract::{Camera, Intrinsics};
use glam::Vec3;
use serde::{Deserialize, Serialize};
use std::f32::consts::{FRAC_PI_2, PI, TAU};

const VERTICAL_FOV_RAD: f32 = 0.66;
/// Seconds that a glide takes.
const GLIDE_S: f32 = 0.35;

/// Where the free camera may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    Overview,
    Shoulder,
    Top,
    Side,
    /// Rides on the gripper.
    Wrist,
}

impl Preset {
    pub const ALL: [Self; 5] = [Self::Overview, Self::Shoulder, Self::Top, Self::Side, Self::Wrist];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Shoulder => "shoulder",
            Self::Top => "top",
            Self::Side => "side",
            Self::Wrist => "wrist",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Shoulder => "Shoulder",
            Self::Top => "Top",
            Self::Side => "Side",
            Self::Wrist => "Wrist",
        }
    }

    fn orbit(self) -> Orbit {
        let (eye, target) = match self {
            Self::Overview => (Vec3::new(-0.26, -1.2, 0.95), Vec3::new(0.37, 0.02, 0.32)),
            Self::Shoulder | Self::Wrist => (Vec3::new(0.2, -0.5, 0.75), Vec3::new(0.56, 0.0, 0.05)),
            Self::Top => (Vec3::new(0.5499, 0.0, 0.95), Vec3::new(0.55, 0.0, 0.03)),
            Self::Side => (Vec3::new(0.56, -0.95, 0.24), Vec3::new(0.54, 0.0, 0.12)),
        };
        Orbit::between(eye, target)
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == text);
        found.ok_or_else(|| format!("'{text}' is no view; choose overview, shoulder, top, side or wrist"))
    }
}

/// Eye and target in polar form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orbit {
    pub target: Vec3,
    pub distance: f32,
    /// Of the eye as seen from the target, radians from x towards y.
    pub azimuth: f32,
    /// Above the horizontal, radians.
    pub elevation: f32,
}

impl Default for Orbit {
    fn default() -> Self {
        Preset::Overview.orbit()
    }
}

impl Orbit {
    pub fn between(eye: Vec3, target: Vec3) -> Self {
        let offset = eye - target;
        Self {
            target,
            distance: offset.length(),
            azimuth: offset.y.atan2(offset.x),
            elevation: (offset.z / offset.length()).asin(),
        }
    }

    pub fn eye(&self) -> Vec3 {
        let (sin, cos) = self.elevation.sin_cos();
        let (y, x) = self.azimuth.sin_cos();
        self.target + Vec3::new(cos * x, cos * y, sin) * self.distance
    }

    pub fn camera(&self, width: u32, height: u32) -> Camera {
        Camera::look_at(self.eye(), self.target, Intrinsics::from_vertical_fov(width, height, VERTICAL_FOV_RAD))
    }

    /// Horizontal directions of the picture: away from the viewer, and to the right.
    pub fn ground_axes(&self) -> (Vec3, Vec3) {
        let (y, x) = self.azimuth.sin_cos();
        (Vec3::new(-x, -y, 0.0), Vec3::new(-y, x, 0.0))
    }

    /// Inside the room, not below the floor, not through the pole.
    fn confined(mut self) -> Self {
        self.elevation = self.elevation.clamp(0.02, FRAC_PI_2 - 1e-3);
        self.distance = self.distance.clamp(0.12, 1.9);
        self.target = self.target.clamp(Vec3::new(-0.4, -0.8, 0.0), Vec3::new(1.2, 0.8, 1.2));
        self
    }

    fn towards(&self, goal: &Self, share: f32) -> Self {
        let turn = (goal.azimuth - self.azimuth + PI).rem_euclid(TAU) - PI;
        Self {
            target: self.target.lerp(goal.target, share),
            distance: self.distance + (goal.distance - self.distance) * share,
            azimuth: self.azimuth + turn * share,
            elevation: self.elevation + (goal.elevation - self.elevation) * share,
        }
    }
}

/// The free camera in motion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FreeCamera {
    pub orbit: Orbit,
    /// Where it came from, where it goes, and how far it is (0 to 1).
    glide: Option<(Orbit, Orbit, f32)>,
}

impl FreeCamera {
    pub fn at(orbit: Orbit) -> Self {
        Self { orbit: orbit.confined(), glide: None }
    }

    /// Starts a glide to a preset; a jump where nobody looks on.
    pub fn go(&mut self, preset: Preset, jump: bool) {
        let goal = preset.orbit();
        if jump {
            *self = Self::at(goal);
        } else {
            self.glide = Some((self.orbit, goal, 0.0));
        }
    }

    /// Carries on with a glide. True while there is one.
    pub fn advance(&mut self, seconds: f32) -> bool {
        let Some((from, goal, share)) = &mut self.glide else { return false };
        *share = (*share + seconds / GLIDE_S).min(1.0);
        let eased = *share * *share * (3.0 - 2.0 * *share);
        self.orbit = from.towards(goal, eased).confined();
        if *share >= 1.0 {
            self.glide = None;
        }
        true
    }

    pub fn is_gliding(&self) -> bool {
        self.glide.is_some()
    }

    /// Turns by an angle (radians) to the right and upwards.
    pub fn turn(&mut self, right: f32, up: f32) {
        self.edit(|orbit| {
            orbit.azimuth -= right;
            orbit.elevation += up;
        });
    }

    /// Moves with the picture: shares of the picture's height.
    pub fn pan(&mut self, right: f32, down: f32) {
        self.edit(|orbit| {
            let camera = orbit.camera(2, 2);
            let metres = 2.0 * orbit.distance * (0.5 * VERTICAL_FOV_RAD).tan();
            let shift = glam::Vec3::new(-right * metres, -down * metres, 0.0);
            orbit.target += camera.world_from_camera.transform_vector(shift);
        });
    }

    /// Multiplies the distance.
    pub fn zoom(&mut self, factor: f32) {
        self.edit(|orbit| orbit.distance *= factor);
    }

    /// Looks at another place from the same direction.
    pub fn centre_on(&mut self, place: Vec3) {
        let goal = Orbit { target: place, distance: self.orbit.distance * 0.6, ..self.orbit }.confined();
        self.glide = Some((self.orbit, goal, 0.0));
    }

    fn edit(&mut self, change: impl FnOnce(&mut Orbit)) {
        self.glide = None;
        let mut orbit = self.orbit;
        change(&mut orbit);
        let finite = orbit.target.is_finite() && (orbit.distance + orbit.azimuth + orbit.elevation).is_finite();
        if finite {
            self.orbit = orbit.confined();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_stand_where_they_say() {
        let shoulder = Preset::Shoulder.orbit();
        assert!(shoulder.eye().distance(Vec3::new(0.2, -0.5, 0.75)) < 1e-5);
        let (forward, right) = shoulder.ground_axes();
        assert!(forward.x > 0.0 && forward.y > 0.0 && right.x > 0.0 && right.y < 0.0);
        // What lies to the right appears to the right.
        let camera = shoulder.camera(200, 100);
        let (centre, _) = camera.project(shoulder.target);
        let (moved, _) = camera.project(shoulder.target + right * 0.1);
        assert!((centre.x - 100.0).abs() < 1e-2 && moved.x > centre.x + 5.0);
    }

    #[test]
    fn a_glide_arrives_and_a_drag_ends_it() {
        let mut camera = FreeCamera::default();
        camera.go(Preset::Top, false);
        assert!(camera.is_gliding());
        while camera.advance(0.02) {}
        assert!(camera.orbit.eye().distance(Preset::Top.orbit().eye()) < 0.01);
        camera.go(Preset::Side, false);
        camera.advance(0.1);
        camera.turn(0.1, 0.0);
        assert!(!camera.is_gliding());
    }

    #[test]
    fn it_stays_in_the_room() {
        let mut camera = FreeCamera::default();
        for _ in 0..500 {
            camera.zoom(1.3);
            camera.pan(0.5, -0.7);
            camera.turn(0.3, -0.4);
            camera.zoom(f32::NAN);
        }
        assert!(camera.orbit.eye().is_finite() && camera.orbit.eye().z > 0.0);
        assert!(camera.orbit.distance <= 1.9);
    }

    #[test]
    fn panning_follows_the_hand() {
        let mut camera = FreeCamera::at(Preset::Side.orbit());
        let point = camera.orbit.target;
        let before = camera.orbit.camera(400, 400).project(point).0;
        camera.pan(0.1, 0.0);
        let after = camera.orbit.camera(400, 400).project(point).0;
        assert!((after.x - before.x - 40.0).abs() < 1.0, "{before} {after}");
    }
}
