//! A depth camera, as Intel's SR300, which projects its own light, or the stereo camera D435: what it measures of a true
//! depth image.
//!
//! In: true depth and instance ids of one frame. Out: measured depth, 0 where nothing is measured. The shifts and the
//! disparity steps follow simkinect (Handa et al., "A benchmark for RGB-D visual odometry, 3D reconstruction and SLAM",
//! ICRA 2014); range, resolution and field of view are the SR300's.

use super::material::Material;
use crate::contract::{Intrinsics, Rng, Seed};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// Depth at which `range_std_m` is stated.
const REFERENCE_M: f32 = 0.5;

/// Every number of the model; lengths in metres, "pixels" are those of the sensor and not of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepthSensor {
    /// Focal length in the sensor's pixels.
    pub focal_px: f32,
    /// Distance of the projector, to the right of the camera.
    pub baseline_m: f32,
    /// Standard deviation of the place that a pixel measures, pixels.
    pub shift_px: f32,
    /// Standard deviation of a measurement: `floor_std_m + range_std_m (z / 0.5 m)^2`.
    pub floor_std_m: f32,
    pub range_std_m: f32,
    /// Steps of the disparity, pixels.
    pub disparity_step_px: f32,
    /// Unit of the numbers that the sensor delivers.
    pub unit_m: f32,
    /// Nearest and farthest depth that is measured.
    pub range_m: [f32; 2],
    /// Surfaces that are seen more obliquely return nothing, radians from their normal.
    pub max_incidence_rad: f32,
    /// A step of depth that makes an edge.
    pub edge_m: f32,
    /// How often a pixel at an edge returns nothing.
    pub p_edge_hole: f32,
    /// How often a pixel of a dark, glossy surface returns nothing.
    pub p_absorbed: f32,
    /// Limits of the errors that a specimen keeps for all its life: scale around 1, and bias.
    pub max_scale_error: f32,
    pub max_bias_m: f32,
}

impl DepthSensor {
    /// Intel RealSense SR300: range and unit from its data sheet, focal length from a published calibration. The noise is
    /// an estimate.
    pub const SR300: Self = Self {
        focal_px: 475.0,
        baseline_m: 0.075,
        shift_px: 0.5,
        floor_std_m: 0.0005,
        range_std_m: 0.0015,
        disparity_step_px: 0.125,
        unit_m: 0.000_125,
        range_m: [0.2, 1.5],
        max_incidence_rad: 75.0 * std::f32::consts::PI / 180.0,
        edge_m: 0.02,
        p_edge_hole: 0.5,
        p_absorbed: 0.7,
        max_scale_error: 0.01,
        max_bias_m: 0.005,
    };

    /// Intel RealSense D435 at 848x480, an active stereo camera: baseline, field of view, nearest depth, unit and fraction of
    /// the disparity from its data sheet. The noise is an estimate. Stereo sees dark surfaces better than projected light.
    pub const D435: Self = Self {
        focal_px: 447.0,
        baseline_m: 0.05,
        shift_px: 0.8,
        floor_std_m: 0.001,
        range_std_m: 0.002,
        disparity_step_px: 1.0 / 32.0,
        unit_m: 0.001,
        range_m: [0.28, 4.0],
        max_incidence_rad: 80.0 * std::f32::consts::PI / 180.0,
        edge_m: 0.03,
        p_edge_hole: 0.35,
        p_absorbed: 0.25,
        max_scale_error: 0.015,
        max_bias_m: 0.004,
    };

    /// The errors of one specimen of this sensor.
    pub fn calibration(&self, seed: Seed) -> Calibration {
        let mut rng = seed.derive("depth calibration", 0).rng();
        let mut within = |limit: f32| rng.range(-1.0, 1.0) * limit;
        Calibration { scale: 1.0 + within(self.max_scale_error), bias_m: within(self.max_bias_m) }
    }

    /// Standard deviation of a measurement at depth `z_m`.
    pub fn std_m(&self, z_m: f32) -> f32 {
        self.floor_std_m + self.range_std_m * (z_m / REFERENCE_M).powi(2)
    }

    /// Measures `scene` into `measured_m`, one number a pixel. The same seed gives the same numbers.
    pub fn measure(&self, scene: &DepthScene<'_>, calibration: Calibration, seed: Seed, measured_m: &mut [f32]) {
        let mut rng = seed.derive("depth sensor", 0).rng();
        let (width, height) = (scene.intrinsics.width as usize, scene.intrinsics.height as usize);
        let holes = self.holes(scene, &mut rng);
        let shift = self.shift_px / self.focal_px * scene.intrinsics.fx;
        for (at, measured) in measured_m.iter_mut().enumerate().take(width * height) {
            // Always the same numbers of draws: one pixel's fate does not change the next one's.
            let (du, dv, noise) = (rng.normal() * shift, rng.normal() * shift, rng.normal());
            let (u, v) = ((at % width) as f32 + du, (at / width) as f32 + dv);
            let (depth, source) = self.look_up(scene, u, v);
            *measured = if holes[source] { 0.0 } else { self.reading(depth, calibration, noise) };
        }
    }

    /// Depth between pixels, and the nearest pixel. Nothing is mixed across edges.
    fn look_up(&self, scene: &DepthScene<'_>, u: f32, v: f32) -> (f32, usize) {
        let (width, height) = (scene.intrinsics.width as usize, scene.intrinsics.height as usize);
        let clamp = |x: f32, count: usize| (x.max(0.0) as usize).min(count - 1);
        let nearest = clamp(v + 0.5, height) * width + clamp(u + 0.5, width);
        let (x, y) = (clamp(u, width), clamp(v, height));
        let (right, below) = ((x + 1).min(width - 1), (y + 1).min(height - 1));
        let (fx, fy) = ((u - x as f32).clamp(0.0, 1.0), (v - y as f32).clamp(0.0, 1.0));
        let [a, b, c, d] = [(x, y), (right, y), (x, below), (right, below)].map(|(x, y)| scene.depth_m[y * width + x]);
        let (low, high) = (a.min(b).min(c.min(d)), a.max(b).max(c.max(d)));
        let mixed = (a * (1.0 - fx) + b * fx) * (1.0 - fy) + (c * (1.0 - fx) + d * fx) * fy;
        (if low > 0.0 && high - low < self.edge_m { mixed } else { scene.depth_m[nearest] }, nearest)
    }

    /// What the sensor says of a surface at `depth_m`; `noise` is a standard normal number.
    fn reading(&self, depth_m: f32, calibration: Calibration, noise: f32) -> f32 {
        let z = depth_m * calibration.scale + calibration.bias_m + noise * self.std_m(depth_m);
        if !(self.range_m[0]..=self.range_m[1]).contains(&z) {
            return 0.0;
        }
        // Disparity d = f b / z is what is measured.
        let steps = (self.focal_px * self.baseline_m / (z * self.disparity_step_px)).round().max(1.0);
        let stepped = self.focal_px * self.baseline_m / (steps * self.disparity_step_px);
        (stepped / self.unit_m).round() * self.unit_m
    }

    /// Pixels that return nothing: no surface, the projector's shadow, edges, grazing light, dark and glossy surfaces.
    fn holes(&self, scene: &DepthScene<'_>, rng: &mut Rng) -> Vec<bool> {
        let (width, height) = (scene.intrinsics.width as usize, scene.intrinsics.height as usize);
        let mut holes = vec![false; width * height];
        for y in 0..height {
            // A surface is dark where another one hides it from the projector: u - f b / z is its place in the projector's
            // picture, and what lies to the right and nearer comes first there.
            let mut lit_from = f32::INFINITY;
            for x in (0..width).rev() {
                let at = y * width + x;
                let (edge, absorbed) = (rng.chance(self.p_edge_hole), rng.chance(self.p_absorbed));
                let depth = scene.depth_m[at];
                if depth <= 0.0 {
                    holes[at] = true;
                    continue;
                }
                let projected = x as f32 - scene.intrinsics.fx * self.baseline_m / depth;
                let shadowed = projected >= lit_from;
                lit_from = lit_from.min(projected);
                holes[at] = shadowed
                    || (edge && scene.is_edge(x, y, self.edge_m))
                    || (absorbed && scene.absorbing[usize::from(scene.instances[at])])
                    || scene.incidence_cosine(x, y) < self.max_incidence_rad.cos();
            }
        }
        holes
    }
}

/// The errors that a specimen of a sensor keeps: measured = scale * true + bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    pub scale: f32,
    pub bias_m: f32,
}

impl Calibration {
    pub const EXACT: Self = Self { scale: 1.0, bias_m: 0.0 };
}

/// True for surfaces that swallow the projector's light or mirror it away: dark and glossy ones.
pub fn absorbs(material: &Material) -> bool {
    let colour = 0.5 * (material.colour_a + material.colour_b);
    colour.dot(Vec3::new(0.2126, 0.7152, 0.0722)) < 0.03 && material.roughness <= 0.5
}

/// One frame as the sensor finds it.
pub struct DepthScene<'a> {
    /// Those of the picture; they may be coarser than the sensor's.
    pub intrinsics: Intrinsics,
    /// `[height, width]`, metres along the optical axis, 0 for nothing.
    pub depth_m: &'a [f32],
    /// `[height, width]`.
    pub instances: &'a [u8],
    /// By instance id: see [`absorbs`].
    pub absorbing: &'a [bool; 256],
}

impl DepthScene<'_> {
    /// True depth at a pixel of the picture; none outside it and where nothing was hit.
    fn depth(&self, x: usize, y: usize, (dx, dy): (isize, isize)) -> Option<f32> {
        let (x, y) = (x.checked_add_signed(dx)?, y.checked_add_signed(dy)?);
        let inside = x < self.intrinsics.width as usize && y < self.intrinsics.height as usize;
        let depth = *self.depth_m.get(y * self.intrinsics.width as usize + x).filter(|_| inside)?;
        (depth > 0.0).then_some(depth)
    }

    /// Inverse depth is linear on a plane, however oblique: what departs from a line by `edge_m` is an edge.
    fn is_edge(&self, x: usize, y: usize, edge_m: f32) -> bool {
        [(1, 0), (0, 1)].into_iter().any(|(dx, dy)| {
            let triple = (self.depth(x, y, (-dx, -dy)), self.depth(x, y, (0, 0)), self.depth(x, y, (dx, dy)));
            let (Some(before), Some(here), Some(after)) = triple else { return false };
            (1.0 / before - 2.0 / here + 1.0 / after).abs() * here * here > edge_m
        })
    }

    /// Cosine of the angle between the ray of a pixel and the surface's normal; 1 where the surface is not known.
    fn incidence_cosine(&self, x: usize, y: usize) -> f32 {
        let i = &self.intrinsics;
        let point = |(dx, dy): (isize, isize)| {
            let depth = self.depth(x, y, (dx, dy))?;
            let (u, v) = (x as f32 + dx as f32 + 0.5, y as f32 + dy as f32 + 0.5);
            Some(depth * Vec3::new((u - i.cx) / i.fx, (v - i.cy) / i.fy, 1.0))
        };
        let Some(here) = point((0, 0)) else { return 1.0 };
        // Of the two neighbours the one on the same surface: that with the smaller step of depth.
        let tangent = |(dx, dy): (isize, isize)| {
            let sides = [point((dx, dy)).map(|p| p - here), point((-dx, -dy)).map(|p| here - p)];
            sides.into_iter().flatten().min_by(|a, b| a.z.abs().total_cmp(&b.z.abs()))
        };
        let Some((right, down)) = tangent((1, 0)).zip(tangent((0, 1))) else { return 1.0 };
        let normal = right.cross(down);
        (normal.dot(here) / (normal.length() * here.length()).max(f32::MIN_POSITIVE)).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: Intrinsics = Intrinsics { width: 64, height: 64, fx: 82.7, fy: 82.7, cx: 32.0, cy: 32.0 };
    const PIXELS: usize = 64 * 64;

    /// Measures `depth_m`; instances are 1 in the upper half and 2 in the lower.
    fn measure(sensor: &DepthSensor, depth_m: &[f32], absorbing: &[bool; 256], seed: u64) -> Vec<f32> {
        let instances: Vec<u8> = (0..PIXELS).map(|i| 1 + u8::from(i >= PIXELS / 2)).collect();
        let scene = DepthScene { intrinsics: CAMERA, depth_m, instances: &instances, absorbing };
        let mut measured = vec![f32::NAN; PIXELS];
        sensor.measure(&scene, Calibration::EXACT, Seed(seed), &mut measured);
        measured
    }

    /// A sensor without faults, to which tests add one at a time.
    const FAULTLESS: DepthSensor = DepthSensor {
        shift_px: 0.0,
        floor_std_m: 0.0,
        range_std_m: 0.0,
        disparity_step_px: 1e-9,
        unit_m: 1e-6,
        p_edge_hole: 0.0,
        p_absorbed: 0.0,
        max_incidence_rad: 1.57,
        baseline_m: 1e-6,
        ..DepthSensor::SR300
    };

    /// Depth of the plane through (0, 0, z) that is tilted about the camera's y axis.
    fn tilted(z: f32, tilt_rad: f32) -> Vec<f32> {
        let slope = tilt_rad.tan();
        (0..PIXELS).map(|i| z / (1.0 - slope * ((i % 64) as f32 + 0.5 - 32.0) / 82.7)).collect()
    }

    fn holes(measured: &[f32]) -> usize {
        measured.iter().filter(|&&m| m == 0.0).count()
    }

    #[test]
    fn a_wall_has_the_stated_noise_at_every_distance() {
        let sensor = DepthSensor { floor_std_m: 0.0005, range_std_m: 0.0015, ..FAULTLESS };
        for (z, expected) in [(0.25_f32, 0.000_875_f32), (0.5, 0.002), (1.0, 0.0065)] {
            assert!((sensor.std_m(z) - expected).abs() < 1e-7);
            let measured = measure(&sensor, &[z; PIXELS], &[false; 256], 3);
            let mean = measured.iter().sum::<f32>() / PIXELS as f32;
            let std = (measured.iter().map(|m| (m - mean).powi(2)).sum::<f32>() / PIXELS as f32).sqrt();
            // Standard errors of 4096 samples: std / 64 of the mean, std / 90 of the deviation.
            assert!((mean - z).abs() < 4.0 * expected / 64.0, "{z}: mean {mean}");
            assert!((std / expected - 1.0).abs() < 4.0 / 90.0, "{z}: {std} for {expected}");
        }
    }

    #[test]
    fn disparity_comes_in_steps() {
        let sensor = DepthSensor { baseline_m: 0.075, disparity_step_px: 0.125, ..FAULTLESS };
        let reading = |z: f32| sensor.reading(z, Calibration::EXACT, 0.0);
        // f b = 35.625: at 0.5 m the disparity is 71.25, a whole number of eighths; the next step is 35.625 / 71.375.
        assert!((reading(0.5) - 0.5).abs() < 1e-6);
        assert!((reading(0.4992) - 0.499_124).abs() < 2e-6, "{}", reading(0.4992));
        assert!((reading(0.4998) - 0.5).abs() < 1e-6);
        let units = DepthSensor { unit_m: 0.000_125, ..sensor };
        // 0.499124 m is 3992.99 eighths of a millimetre.
        assert!((units.reading(0.4992, Calibration::EXACT, 0.0) - 0.499_125).abs() < 1e-7);
        assert_eq!((reading(0.19), reading(1.51)), (0.0, 0.0), "out of range");
    }

    #[test]
    fn a_specimen_keeps_its_scale_and_bias() {
        let sensor = DepthSensor { max_scale_error: 0.01, max_bias_m: 0.005, ..FAULTLESS };
        assert_eq!(sensor.calibration(Seed(4)), sensor.calibration(Seed(4)));
        let drawn: Vec<Calibration> = (0..400).map(|seed| sensor.calibration(Seed(seed))).collect();
        assert!(drawn.iter().all(|c| (c.scale - 1.0).abs() <= 0.010_001 && c.bias_m.abs() <= 0.005));
        // Uniform: the standard deviation is the limit over the root of 3.
        let std = (drawn.iter().map(|c| (c.scale - 1.0).powi(2)).sum::<f32>() / 400.0).sqrt();
        assert!((std / (0.01 / 3.0_f32.sqrt()) - 1.0).abs() < 0.1, "{std}");
        let reading = FAULTLESS.reading(0.5, Calibration { scale: 1.01, bias_m: -0.003 }, 0.0);
        assert!((reading - 0.502).abs() < 2e-5, "{reading}");
    }

    #[test]
    fn the_projector_casts_shadows_to_the_left() {
        // A box 0.1 m before a wall covers columns 30 to 44. The shadow is f b (1/0.4 - 1/0.5) = 3.1 pixels wide.
        let scene: Vec<f32> = (0..PIXELS).map(|i| if (30..45).contains(&(i % 64)) { 0.4 } else { 0.5 }).collect();
        let measured = measure(&DepthSensor { baseline_m: 0.075, ..FAULTLESS }, &scene, &[false; 256], 0);
        for (i, &m) in measured.iter().enumerate() {
            assert_eq!(m == 0.0, (27..30).contains(&(i % 64)), "column {}", i % 64);
        }
    }

    #[test]
    fn grazing_light_returns_nothing() {
        let sensor = DepthSensor { max_incidence_rad: 75.0_f32.to_radians(), range_m: [0.0, 100.0], ..FAULTLESS };
        // A plane has no edges, however oblique it is. In the centre the ray is the axis and the incidence the tilt; the
        // rays of the outer columns add up to 21 degrees.
        for (tilt, hole) in [(70.0_f32, false), (73.0, false), (77.0, true)] {
            let edgy = DepthSensor { p_edge_hole: 1.0, ..sensor };
            let measured = measure(&edgy, &tilted(0.5, -tilt.to_radians()), &[false; 256], 0);
            for row in 1..63 {
                assert_eq!(measured[row * 64 + 32] == 0.0, hole, "{tilt} degrees, row {row}");
            }
        }
        let upright = measure(&sensor, &[0.5; PIXELS], &[false; 256], 0);
        assert_eq!(holes(&upright), 0);
    }

    #[test]
    fn holes_at_edges_and_in_dark_gloss_come_as_often_as_stated() {
        let step: Vec<f32> = (0..PIXELS).map(|i| if i % 64 < 20 { 0.4 } else { 0.5 }).collect();
        let sensor = DepthSensor { p_edge_hole: 0.5, ..FAULTLESS };
        let measured: Vec<f32> = (0..20).flat_map(|seed| measure(&sensor, &step, &[false; 256], seed)).collect();
        let at_edge = |i: usize| matches!(i % 64, 19 | 20);
        let edge = measured.iter().enumerate().filter(|(i, m)| at_edge(*i) && **m == 0.0).count();
        assert_eq!(holes(&measured), edge, "no hole but at the edge");
        // 20 pictures of 128 such pixels; a standard error is 0.01.
        assert!((edge as f32 / 2560.0 - 0.5).abs() < 0.04, "{edge}");

        let mut absorbing = [false; 256];
        absorbing[2] = true;
        let sensor = DepthSensor { p_absorbed: 0.7, p_edge_hole: 0.0, ..sensor };
        let measured = measure(&sensor, &[0.5; PIXELS], &absorbing, 1);
        assert_eq!(holes(&measured[..PIXELS / 2]), 0);
        let share = holes(&measured[PIXELS / 2..]) as f32 / (PIXELS / 2) as f32;
        assert!((share - 0.7).abs() < 0.04, "{share}");
        assert!(
            absorbs(&Material::plain([38, 39, 42], 0.38, 0.2)) && !absorbs(&Material::plain([38, 39, 42], 0.8, 0.0))
        );
        assert!(!absorbs(&Material::plain([206, 52, 44], 0.3, 0.0)));
    }

    #[test]
    fn shifts_move_oblique_surfaces_by_half_a_sensor_pixel() {
        // Depth rises by slope * z / f a pixel of the picture, and half a sensor's pixel is 0.5 * 82.7 / 475 of that.
        let sensor = DepthSensor { shift_px: 0.5, ..FAULTLESS };
        let truth = tilted(0.5, 45.0_f32.to_radians());
        let (mut sum, mut count) = (0.0_f64, 0);
        for seed in 0..8 {
            let measured = measure(&sensor, &truth, &[false; 256], seed);
            for row in 2..62 {
                let at = row * 64 + 32;
                sum += f64::from(measured[at] - truth[at]).powi(2);
                count += 1;
            }
        }
        let expected = 0.5 / 475.0 * 0.5;
        let std = (sum / f64::from(count)).sqrt();
        assert!((std / expected - 1.0).abs() < 0.15, "{std} for {expected}");
        let again = measure(&DepthSensor::SR300, &truth, &[false; 256], 5);
        assert_eq!(again, measure(&DepthSensor::SR300, &truth, &[false; 256], 5));
        assert_ne!(again, measure(&DepthSensor::SR300, &truth, &[false; 256], 6));
    }
}
