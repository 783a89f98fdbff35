//! What the law needs of an image: centroid and orientation in the camera's plane, and the wanted ones.

use super::error::check;
use super::moments::Moments;
use super::{Mask, ServoError};
use crate::contract::Intrinsics;
use serde::{Deserialize, Serialize};

/// A pinhole camera over pixel indices, whose first pixel's centre is `(0, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelCamera {
    /// Columns of the image, at least 1.
    pub width: usize,
    /// Rows of the image, at least 1.
    pub height: usize,
    /// Focal lengths, pixels.
    pub fx: f64,
    /// Vertical focal length, pixels, above 0.
    pub fy: f64,
    /// Principal point, pixel indices.
    pub cx: f64,
    /// Row of the principal point, as a pixel index.
    pub cy: f64,
}

impl PixelCamera {
    /// A camera whose axis runs through the image's centre.
    pub fn centred(width: usize, height: usize, focal_px: f64) -> Self {
        let centre = |size: usize| 0.5 * (size as f64 - 1.0);
        Self { width, height, fx: focal_px, fy: focal_px, cx: centre(width), cy: centre(height) }
    }

    /// # Errors
    /// An empty image, or focal lengths that are not above 0.
    pub fn validate(&self) -> Result<(), ServoError> {
        check(self.width > 0, "camera.width", self.width as f64, "give at least one pixel")?;
        check(self.height > 0, "camera.height", self.height as f64, "give at least one pixel")?;
        for (name, value) in [("camera.fx", self.fx), ("camera.fy", self.fy)] {
            check(value.is_finite() && value > 0.0, name, value, "give a focal length above 0, pixels")?;
        }
        for (name, value) in [("camera.cx", self.cx), ("camera.cy", self.cy)] {
            check(value.is_finite(), name, value, "give a finite principal point, pixels")?;
        }
        Ok(())
    }

    /// Pixel indices to coordinates in the plane at distance 1.
    pub fn normalized(&self, x: f64, y: f64) -> [f64; 2] {
        [(x - self.cx) / self.fx, (y - self.cy) / self.fy]
    }

    /// Coordinates in the plane at distance 1 to pixel indices.
    pub fn pixel(&self, [x, y]: [f64; 2]) -> (f64, f64) {
        (x * self.fx + self.cx, y * self.fy + self.cy)
    }
}

/// The project's intrinsics have a pixel's centre at `+ 0.5`.
impl From<Intrinsics> for PixelCamera {
    fn from(intrinsics: Intrinsics) -> Self {
        Self {
            width: intrinsics.width as usize,
            height: intrinsics.height as usize,
            fx: f64::from(intrinsics.fx),
            fy: f64::from(intrinsics.fy),
            cx: f64::from(intrinsics.cx) - 0.5,
            cy: f64::from(intrinsics.cy) - 0.5,
        }
    }
}

/// Where the object must appear, and how it must lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `(x*, y*)` in the plane at distance 1.
    pub point: [f64; 2],
    /// `alpha*`, the longer axis in the image, radians: across the line between the fingers.
    pub alpha: f64,
}

impl Target {
    /// A gripper at `offset_m` beside the camera (camera frame) that goes down parallel to the optical axis on an object
    /// `distance_m` away. At another distance this target is off by `offset (1 - distance / distance_m)`: the paper's 4 cm.
    pub fn from_offset(offset_m: [f64; 2], distance_m: f64, alpha: f64) -> Self {
        Self { point: [offset_m[0] / distance_m, offset_m[1] / distance_m], alpha }
    }

    /// `theta = -(alpha - alpha*)` of an object whose longer axis is at `alpha`, the shorter way: an axis has no front, so it
    /// lies in [-pi/2, pi/2).
    pub fn theta(&self, alpha: f64) -> f64 {
        use std::f64::consts::{FRAC_PI_2, PI};
        (self.alpha - alpha + FRAC_PI_2).rem_euclid(PI) - FRAC_PI_2
    }

    /// # Errors
    /// Numbers that are not finite.
    pub fn validate(&self) -> Result<(), ServoError> {
        for (name, value) in
            [("target.point.x", self.point[0]), ("target.point.y", self.point[1]), ("target.alpha", self.alpha)]
        {
            check(value.is_finite(), name, value, "give a finite number; a distance of 0 has no target")?;
        }
        Ok(())
    }
}

/// The features of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    /// Centroid in the plane at distance 1.
    pub point: [f64; 2],
    /// Longer axis, radians.
    pub alpha: f64,
    /// Shorter over longer axis.
    pub axis_ratio: f64,
}

impl Features {
    /// Angles are measured in pixels, so they are true where `fx = fy`.
    pub fn new(moments: &Moments, camera: &PixelCamera) -> Self {
        Self {
            point: camera.normalized(moments.x, moments.y),
            alpha: moments.alpha(),
            axis_ratio: moments.axis_ratio(),
        }
    }
}

/// The median of the measured depths on a mask, metres. `depth_m` is row by row; 0 and what is not finite are holes.
/// `None` without a measurement or for a depth image of another size.
pub fn object_distance(mask: &Mask, depth_m: &[f32]) -> Option<f64> {
    if depth_m.len() != mask.pixels().len() {
        return None;
    }
    let measured = mask.pixels().iter().zip(depth_m).filter(|(on, depth)| **on && depth.is_finite() && **depth > 0.0);
    let mut depths: Vec<f32> = measured.map(|(_, depth)| *depth).collect();
    if depths.is_empty() {
        return None;
    }
    let middle = depths.len() / 2;
    let (_, median, _) = depths.select_nth_unstable_by(middle, f32::total_cmp);
    Some(f64::from(*median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{FRAC_PI_2, PI};

    #[test]
    fn the_shorter_way_round() {
        let target = |alpha| Target { point: [0.0; 2], alpha };
        // ViSP's alpha ties at +-90 degrees: 89 and -89 degrees are 2 degrees apart.
        let theta = target(-89_f64.to_radians()).theta(89_f64.to_radians());
        assert!((theta - 2_f64.to_radians()).abs() < 1e-12, "{theta}");
        assert!((target(0.1).theta(0.3) + 0.2).abs() < 1e-12);
        for step in -20..20 {
            let theta = target(0.7).theta(f64::from(step) * 0.3);
            assert!((-FRAC_PI_2..FRAC_PI_2).contains(&theta));
            let left = (theta - (0.7 - f64::from(step) * 0.3)) / PI;
            assert!((left - left.round()).abs() < 1e-9);
        }
    }

    #[test]
    fn cameras_and_targets() {
        // The SR300's square crop: 42.3 degrees at 64 pixels have f = 82.71.
        let intrinsics = Intrinsics::from_vertical_fov(64, 64, 42.3_f32.to_radians());
        let camera = PixelCamera::from(intrinsics);
        assert!((camera.fx - 82.71).abs() < 0.01 && camera.cx == 31.5, "{camera:?}");
        let target = Target::from_offset([0.0, 0.045], 0.38, 0.0);
        let (x, y) = camera.pixel(target.point);
        assert!(x == 31.5 && (y - (31.5 + camera.fy * 0.045 / 0.38)).abs() < 1e-9);
        let [back_x, back_y] = camera.normalized(x, y);
        assert!((back_x - target.point[0]).abs() < 1e-12 && (back_y - target.point[1]).abs() < 1e-12);
        assert!(Target::from_offset([0.0, 0.045], 0.0, 0.0).validate().is_err());
        assert!(PixelCamera { fx: 0.0, ..camera }.validate().is_err());
    }

    #[test]
    fn distance_is_the_median_without_holes() {
        let mask = Mask::from_fn(3, 2, |column, _| column > 0);
        let depth = [9.0, 0.3, 0.0, 9.0, 0.4, f32::NAN];
        assert_eq!(object_distance(&mask, &depth), Some(f64::from(0.4_f32)));
        assert_eq!(object_distance(&Mask::new(3, 2), &depth), None);
        assert_eq!(object_distance(&mask, &depth[..5]), None);
    }
}
