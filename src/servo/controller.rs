//! The two-step servo (Pedersen et al., II-C): first the centroid alone, then centroid and orientation; back to the first step
//! where the object comes near the image's border.
//!
//! In: a mask and the object's distance at every tick. Out: a [`ServoTick`], whose velocity is to be held until the next.

use super::components::Component;
use super::error::check;
use super::features::{Features, PixelCamera, Target, object_distance};
use super::gain::AdaptiveGain;
use super::law::{CameraVelocity, Law, PoseError};
use super::moments::{MomentSource, Moments};
use super::tracker::{Tracker, TrackerConfig, Tracking};
use super::{Mask, ServoError, morphology};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::f64::consts::{FRAC_PI_4, PI};

/// Settings of the servo. Errors are metres at the object's distance and radians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServoConfig {
    /// How the pose error is formed from the image.
    pub law: Law,
    /// Gain of the velocity by the size of the error, 1/s.
    pub gain: AdaptiveGain,
    /// How moments of a hard mask are taken; [`Servo::step_soft`] weighs pixels instead.
    pub moments: MomentSource,
    /// Cleaning of masks, and the gate on the object's size.
    pub tracker: TrackerConfig,
    /// The orientation is left out where the shorter axis is more than this share of the longer one (the paper gives none).
    pub similar_axes: f64,
    /// It comes back below this share.
    pub similar_axes_release: f64,
    /// The linear step ends within this distance of the target, metres.
    pub linear_step_tolerance_m: f64,
    /// Converged within this distance, metres, and
    pub tolerance_m: f64,
    /// within this angle, radians.
    pub tolerance_rad: f64,
    /// Tolerances hold for the mean error of that many ticks: the centroid of a hard mask jumps by up to half a pixel.
    pub settle_ticks: usize,
    /// The full step reverts to the linear one with fewer free pixels than this between the object and the border.
    pub revert_px: usize,
    /// The revert is armed once the object has been clear of the border by more than this.
    pub resume_px: usize,
    /// Ticks until the servo gives up.
    pub max_ticks: u32,
    /// Fastest translation, m/s, and
    pub max_linear_m_s: f64,
    /// fastest turn, rad/s; a Panda's tool is capable of 1.7 and 2.5.
    pub max_angular_rad_s: f64,
}

impl Default for ServoConfig {
    fn default() -> Self {
        Self {
            law: Law::default(),
            gain: AdaptiveGain::default(),
            moments: MomentSource::default(),
            tracker: TrackerConfig::default(),
            similar_axes: 0.85,
            similar_axes_release: 0.8,
            linear_step_tolerance_m: 0.005,
            tolerance_m: 0.001,
            tolerance_rad: 0.5_f64.to_radians(),
            settle_ticks: 10,
            revert_px: 2,
            resume_px: 5,
            max_ticks: 900,
            max_linear_m_s: 1.7,
            max_angular_rad_s: 2.5,
        }
    }
}

impl ServoConfig {
    /// # Errors
    /// The first setting that makes no sense, with its cure.
    pub fn validate(&self) -> Result<(), ServoError> {
        self.gain.validate()?;
        self.tracker.validate()?;
        for (name, value) in [
            ("linear_step_tolerance_m", self.linear_step_tolerance_m),
            ("tolerance_m", self.tolerance_m),
            ("tolerance_rad", self.tolerance_rad),
            ("max_linear_m_s", self.max_linear_m_s),
            ("max_angular_rad_s", self.max_angular_rad_s),
        ] {
            check(value > 0.0, name, value, "give a number above 0")?;
        }
        check(self.similar_axes > 0.0, "similar_axes", self.similar_axes, "give a share above 0; 1 keeps all angles")?;
        let (release, drop) = (self.similar_axes_release, self.similar_axes);
        check(release <= drop, "similar_axes_release", release, "give at most similar_axes")?;
        check(self.settle_ticks > 0, "settle_ticks", 0.0, "give at least 1 tick")?;
        check(self.max_ticks > 0, "max_ticks", 0.0, "give at least 1 tick")?;
        check(self.revert_px <= self.resume_px, "revert_px", self.revert_px as f64, "give at most resume_px")
    }
}

/// Where the servo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The centroid alone.
    Linear,
    /// Centroid and orientation.
    Full,
    /// The mean error of the full step came within its tolerances.
    Converged,
    /// The tracker lost the object.
    Lost,
    /// The servo gave up after [`ServoConfig::max_ticks`] images.
    TimedOut,
}

impl Phase {
    /// Whether the servo has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Converged | Self::Lost | Self::TimedOut)
    }
}

/// One tick's outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct ServoTick {
    /// Images seen so far.
    pub tick: u32,
    /// The phase after this tick.
    pub phase: Phase,
    /// The camera's velocity until the next tick; 0 once the servo has ended.
    pub velocity: CameraVelocity,
    /// What was acted on; `None` where the object was missing or the servo has ended.
    pub observed: Option<Observed>,
    /// Returns from the full to the linear step so far.
    pub reverts: u32,
}

/// What a tick saw of the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The object's part of the cleaned mask.
    pub component: Component,
    /// Centroid and axes in this image.
    pub features: Features,
    /// Of the present step: the linear one has no angle.
    pub error: PoseError,
    /// The angle between the axes, radians, also where it isn't acted on; unwrapped, so beyond +-pi/2 where it came from there.
    pub theta: f64,
    /// Whether the axes differ enough for an angle.
    pub orientation_used: bool,
    /// The adaptive gain, 1/s.
    pub gain: f64,
    /// The object's distance along the optical axis, metres; the last one where this image has no measurement.
    pub distance_m: f64,
}

/// The servo and its state.
#[derive(Clone, Debug)]
pub struct Servo {
    config: ServoConfig,
    camera: PixelCamera,
    target: Target,
    tracker: Tracker,
    phase: Phase,
    tick: u32,
    velocity: CameraVelocity,
    reverts: u32,
    /// Errors of the last ticks of this step, at most `settle_ticks`.
    recent: VecDeque<PoseError>,
    /// Ticks of this step for which the mean error has been within its tolerance.
    settled: usize,
    /// Whether a border ends the full step.
    armed: bool,
    orientation_used: Option<bool>,
    theta: Option<f64>,
    distance_m: Option<f64>,
}

impl Servo {
    /// # Errors
    /// Settings, a camera or a target that make no sense.
    pub fn new(config: ServoConfig, camera: PixelCamera, target: Target) -> Result<Self, ServoError> {
        config.validate()?;
        camera.validate()?;
        target.validate()?;
        Ok(Self {
            config,
            camera,
            target,
            tracker: Tracker::new(config.tracker),
            phase: Phase::Linear,
            tick: 0,
            velocity: CameraVelocity::default(),
            reverts: 0,
            recent: VecDeque::new(),
            settled: 0,
            armed: false,
            orientation_used: None,
            theta: None,
            distance_m: None,
        })
    }

    /// The settings that the servo was made with.
    pub fn config(&self) -> &ServoConfig {
        &self.config
    }

    /// The target in use: the first, or the last that was set.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Another target from the next image on.
    ///
    /// # Errors
    /// A target that makes no sense.
    pub fn set_target(&mut self, target: Target) -> Result<(), ServoError> {
        target.validate()?;
        self.target = target;
        Ok(())
    }

    /// The camera whose image size masks must have.
    pub fn camera(&self) -> &PixelCamera {
        &self.camera
    }

    /// The phase after the last tick; [`Phase::Linear`] before the first.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The next image's mask of the object, and the object's distance along the optical axis, metres.
    ///
    /// # Errors
    /// A mask of another size, or a distance that is not above 0.
    pub fn step(&mut self, mask: &Mask, distance_m: f64) -> Result<ServoTick, ServoError> {
        if !(distance_m.is_finite() && distance_m > 0.0) {
            return Err(ServoError::Distance(distance_m));
        }
        self.advance(mask, None, |_| Some(distance_m))
    }

    /// The same with each pixel's probability of being the object, row by row, as a segmentation network gives them: the mask
    /// is where it is at least one half, and the moments weigh every pixel on the object and beside it. Edges between pixels
    /// are lost in a hard mask, whose axis is off by up to several degrees.
    ///
    /// # Errors
    /// As [`Servo::step`]'s.
    pub fn step_soft(&mut self, probabilities: &[f32], distance_m: f64) -> Result<ServoTick, ServoError> {
        if !(distance_m.is_finite() && distance_m > 0.0) {
            return Err(ServoError::Distance(distance_m));
        }
        let (width, height) = (self.camera.width, self.camera.height);
        if probabilities.len() != width * height {
            return Err(ServoError::Length { got: probabilities.len(), width, height });
        }
        let mask = Mask::from_fn(width, height, |column, row| probabilities[row * width + column] >= 0.5);
        self.advance(&mask, Some(probabilities), |_| Some(distance_m))
    }

    /// The same with a depth image, metres row by row, 0 where there is no measurement: the object's distance is the median
    /// on it, or the last one where it has no measurement.
    ///
    /// # Errors
    /// Images of another size.
    pub fn step_with_depth(&mut self, mask: &Mask, depth_m: &[f32]) -> Result<ServoTick, ServoError> {
        let (width, height) = (self.camera.width, self.camera.height);
        if depth_m.len() != width * height {
            return Err(ServoError::Length { got: depth_m.len(), width, height });
        }
        self.advance(mask, None, |component| object_distance(&component.mask, depth_m))
    }

    fn advance(
        &mut self,
        mask: &Mask,
        weights: Option<&[f32]>,
        distance: impl Fn(&Component) -> Option<f64>,
    ) -> Result<ServoTick, ServoError> {
        let (width, height) = (self.camera.width, self.camera.height);
        if (mask.width(), mask.height()) != (width, height) {
            return Err(ServoError::MaskSize { got_width: mask.width(), got_height: mask.height(), width, height });
        }
        if self.phase.is_final() {
            return Ok(self.report(None));
        }
        self.tick += 1;
        let observed = match self.tracker.track(mask) {
            Tracking::Found(component) => {
                self.distance_m = distance(&component).or(self.distance_m);
                self.distance_m.and_then(|distance_m| self.observe(component, weights, distance_m))
            }
            Tracking::Missing => None,
            Tracking::Lost => {
                self.end(Phase::Lost);
                return Ok(self.report(None));
            }
        };
        // Without an object the last velocity is held.
        let observed = observed.map(|observed| self.act(observed));
        if !self.phase.is_final() && self.tick >= self.config.max_ticks {
            self.end(Phase::TimedOut);
        }
        Ok(self.report(observed))
    }

    /// Measures the object. `None` of a part without an area.
    fn observe(&mut self, component: Component, weights: Option<&[f32]>, distance_m: f64) -> Option<Observed> {
        let moments = match weights {
            Some(weights) => Moments::from_weights(&morphology::dilate(&component.mask, 1), weights)?,
            // A part that is one pixel wide has pixels but no polygon.
            None => {
                Moments::of(&component.mask, self.config.moments).or_else(|| Moments::from_pixels(&component.mask))?
            }
        };
        let features = Features::new(&moments, &self.camera);
        let limit = match self.orientation_used {
            Some(false) => self.config.similar_axes_release,
            _ => self.config.similar_axes,
        };
        let orientation_used = features.axis_ratio <= limit;
        self.orientation_used = Some(orientation_used);
        let theta = self.unwrap_theta(self.target.theta(features.alpha));
        self.theta = Some(theta);
        let error = PoseError::default();
        Some(Observed { component, features, error, theta, orientation_used, gain: 0.0, distance_m })
    }

    /// An axis has no front: an angle near a quarter turn would change its sign from image to image and the camera would not
    /// turn at all. The branch nearest to the last angle is taken while that is not absurd.
    fn unwrap_theta(&self, theta: f64) -> f64 {
        let Some(last) = self.theta else { return theta };
        let near = theta + PI * ((last - theta) / PI).round();
        if near.abs() > 0.75 * PI { theta } else { near }
    }

    /// Decides the step, then the velocity.
    fn act(&mut self, mut observed: Observed) -> Observed {
        let margin = observed.component.border_margin();
        self.armed |= margin > self.config.resume_px;
        if self.phase == Phase::Full && self.armed && margin < self.config.revert_px {
            self.reverts += 1;
            self.enter(Phase::Linear, margin);
        }
        let mut error = self.error_of(&observed);
        self.recent.push_back(error);
        while self.recent.len() > self.config.settle_ticks {
            self.recent.pop_front();
        }
        self.settled = if self.is_settled() { self.settled + 1 } else { 0 };
        match self.phase {
            // Beside the border there is nothing better to wait for once the centroid is where it should be.
            Phase::Linear
                if self.settled > 0 && (margin > self.config.resume_px || self.settled > self.config.settle_ticks) =>
            {
                self.enter(Phase::Full, margin);
                error = self.error_of(&observed);
            }
            Phase::Full if self.settled > 0 => self.end(Phase::Converged),
            _ => {}
        }
        observed.error = error;
        observed.gain = self.config.gain.value(error.infinity_norm());
        if !self.phase.is_final() {
            let velocity = error.velocity(&self.config.gain);
            self.velocity = velocity.limited(self.config.max_linear_m_s, self.config.max_angular_rad_s);
        }
        observed
    }

    fn error_of(&self, observed: &Observed) -> PoseError {
        let metres = |point: [f64; 2]| point.map(|part| part * observed.distance_m);
        let turns = self.phase == Phase::Full && observed.orientation_used;
        let theta = if turns { observed.theta } else { 0.0 };
        PoseError::new(self.config.law, metres(observed.features.point), metres(self.target.point), theta)
    }

    /// Whether the mean error of a full window lies within the step's tolerances.
    fn is_settled(&self) -> bool {
        let count = self.recent.len();
        if count < self.config.settle_ticks {
            return false;
        }
        let mean = |part: fn(&PoseError) -> f64| self.recent.iter().map(part).sum::<f64>() / count as f64;
        let distance = mean(|error| error.tx).hypot(mean(|error| error.ty));
        if self.phase == Phase::Linear {
            return distance <= self.config.linear_step_tolerance_m;
        }
        // Large angles of both signs have a small mean.
        let turned = self.recent.iter().all(|error| error.theta.abs() < FRAC_PI_4);
        distance <= self.config.tolerance_m && turned && mean(|error| error.theta).abs() <= self.config.tolerance_rad
    }

    fn enter(&mut self, phase: Phase, margin: usize) {
        self.phase = phase;
        self.recent.clear();
        self.settled = 0;
        self.armed = margin > self.config.resume_px;
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.velocity = CameraVelocity::default();
    }

    fn report(&self, observed: Option<Observed>) -> ServoTick {
        ServoTick { tick: self.tick, phase: self.phase, velocity: self.velocity, observed, reverts: self.reverts }
    }
}
