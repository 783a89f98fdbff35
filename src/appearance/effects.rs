//! What a cheap camera adds to a picture: ambient occlusion and motion blur from the scene, then lens distortion,
//! vignette, white balance, sensor noise and JPEG.
//!
//! The geometric part (distortion) moves every image of a frame alike, so that pairs stay aligned.

use crate::contract::srgb::{byte_of, linear_of};
use crate::contract::{FrameChannels, Seed};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Parameters of the camera model; lengths in units of the picture's width unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraEffects {
    /// Radial distortion (Brown): r' = r (1 + k1 r^2 + k2 r^4), r in units of half the picture's diagonal.
    pub k1: f32,
    pub k2: f32,
    /// Light lost in the corners, 0 to 1.
    pub vignette: f32,
    /// Gains of the three channels (linear light).
    pub white_balance: [f32; 3],
    /// Standard deviation of the noise in linear light at full signal (photon noise grows with its root).
    pub photon_noise: f32,
    pub read_noise: f32,
    /// Standard deviation of the lens blur, in units of the picture's width.
    pub blur: f32,
    /// Exposure time as a share of a control step: how far moving parts smear.
    pub shutter: f32,
    /// Strength of the ambient occlusion, 0 to 1.
    pub occlusion: f32,
    /// 0 for none, else the quality of the JPEG tables (1 to 100).
    pub jpeg_quality: u8,
}

impl CameraEffects {
    pub const NONE: Self = Self {
        k1: 0.0,
        k2: 0.0,
        vignette: 0.0,
        white_balance: [1.0; 3],
        photon_noise: 0.0,
        read_noise: 0.0,
        blur: 0.0,
        shutter: 0.0,
        occlusion: 0.0,
        jpeg_quality: 0,
    };

    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// The images that `effects` look at beside the source picture that they change.
pub fn inputs(effects: &CameraEffects) -> FrameChannels {
    FrameChannels { depth: effects.occlusion > 0.0, identity: effects.shutter > 0.0, ..FrameChannels::NONE }
}

/// One frame's images, changed in place. Sizes: `width * height` pixels, 3 bytes a pixel for colours; or none of an image
/// that is neither wanted nor one of the [`inputs`].
pub struct FrameImages<'a> {
    pub width: usize,
    pub height: usize,
    /// Images outside these are looked at and left as they are. They do not change what becomes of the others.
    pub wanted: FrameChannels,
    pub source_rgb: &'a mut [u8],
    pub canonical_rgb: &'a mut [u8],
    pub segmentation: &'a mut [u8],
    pub instances: &'a mut [u8],
    pub depth_m: &'a mut [f32],
    /// Focal length in pixels.
    pub focal_px: f32,
    /// Motion of the arm over the last step as seen in the picture, pixels (x, y).
    pub arm_motion_px: [f32; 2],
    /// Segmentation value of the arm.
    pub arm_class: u8,
}

/// Applies `effects` to one frame. `seed` drives the sensor's noise.
pub fn apply(effects: &CameraEffects, frame: &mut FrameImages<'_>, seed: Seed) {
    if effects.is_none() {
        return;
    }
    let distorted = effects.k1 != 0.0 || effects.k2 != 0.0;
    if !frame.wanted.source {
        if distorted {
            distort(&mut [], frame, effects);
        }
        return;
    }
    let pixels = frame.width * frame.height;
    let mut light = vec![[0.0_f32; 3]; pixels];
    let decode = srgb_table();
    for (pixel, rgb) in light.iter_mut().zip(frame.source_rgb.chunks_exact(3)) {
        *pixel = [decode[usize::from(rgb[0])], decode[usize::from(rgb[1])], decode[usize::from(rgb[2])]];
    }
    if effects.occlusion > 0.0 {
        occlude(&mut light, frame, effects.occlusion);
    }
    if effects.shutter > 0.0 {
        smear(&mut light, frame, effects.shutter);
    }
    if distorted {
        distort(&mut light, frame, effects);
    }
    if effects.blur > 0.0 {
        gaussian_blur(&mut light, frame.width, frame.height, effects.blur * frame.width as f32);
    }
    expose(&mut light, frame.width, frame.height, effects, seed);
    let encoder = Encoder::get();
    for (pixel, rgb) in light.iter().zip(frame.source_rgb.chunks_exact_mut(3)) {
        for c in 0..3 {
            rgb[c] = encoder.encode(pixel[c]);
        }
    }
    if effects.jpeg_quality > 0 {
        super::effects::jpeg::round_trip(frame.source_rgb, frame.width, frame.height, effects.jpeg_quality);
    }
}

mod cameras;
pub mod jpeg;

fn srgb_table() -> &'static [f32; 256] {
    static TABLE: OnceLock<[f32; 256]> = OnceLock::new();
    TABLE.get_or_init(|| std::array::from_fn(|i| linear_of(i as u8)))
}

/// The curve's inverse by look-up, because a power costs more than all the rest of a pixel.
struct Encoder {
    /// The code at the lower end of each share of [0, 1].
    first: Vec<u8>,
    /// The least value of each code, and a last one that is never reached.
    least: [f32; 257],
}

impl Encoder {
    const SHARES: f32 = 1024.0;

    fn get() -> &'static Self {
        static ENCODER: OnceLock<Encoder> = OnceLock::new();
        ENCODER.get_or_init(|| {
            // Floats above zero are ordered as their bits are.
            let least = |code: usize| {
                let (mut below, mut above) = (0_u32, 1.0_f32.to_bits());
                while below + 1 < above {
                    let middle = below.midpoint(above);
                    let reached = usize::from(byte_of(f32::from_bits(middle))) >= code;
                    *if reached { &mut above } else { &mut below } = middle;
                }
                f32::from_bits(above)
            };
            Self {
                first: (0..=Self::SHARES as usize).map(|i| byte_of(i as f32 / Self::SHARES)).collect(),
                least: std::array::from_fn(|code| match code {
                    0 => 0.0,
                    256 => f32::INFINITY,
                    code => least(code),
                }),
            }
        })
    }

    fn encode(&self, linear: f32) -> u8 {
        let c = linear.clamp(0.0, 1.0);
        let mut code = self.first[(c * Self::SHARES) as usize];
        while c >= self.least[usize::from(code) + 1] {
            code += 1;
        }
        code
    }
}

/// The nearest whole number of a place in a picture; -1 for all that lie before it. (`round` is a call into the C library
/// on processors without SSE 4.1.)
fn nearest(v: f32) -> i32 {
    if v > -0.5 { (v + 0.5) as i32 } else { -1 }
}

/// Screen-space ambient occlusion: how much nearer the neighbours are within 3 cm, on two rings of eight.
fn occlude(light: &mut [[f32; 3]], frame: &FrameImages<'_>, strength: f32) {
    const REACH_M: f32 = 0.03;
    let (width, height) = (frame.width as i32, frame.height as i32);
    // Half a ring: the other half meets the same pairs.
    let ring: [(f32, f32); 4] = std::array::from_fn(|i| {
        let angle = (i as f32 + 0.5) * std::f32::consts::TAU / 8.0;
        (angle.cos(), angle.sin())
    });
    for y in 0..height {
        for x in 0..width {
            let at = (y * width + x) as usize;
            let depth = frame.depth_m[at];
            if depth <= 0.0 {
                continue;
            }
            let radius = (REACH_M * frame.focal_px / depth).max(1.0);
            let mut sum = 0.0;
            let depth_at = |dx: f32, dy: f32| {
                let (px, py) = (nearest(x as f32 + dx), nearest(y as f32 + dy));
                if px < 0 || py < 0 || px >= width || py >= height {
                    return depth;
                }
                frame.depth_m[(py * width + px) as usize]
            };
            for scale in [0.4, 1.0] {
                for &(dx, dy) in &ring {
                    let (r, reach) = (radius * scale, REACH_M * scale);
                    // Opposite neighbours cancel a slanted plane; what remains is a crease.
                    let rise = depth - 0.5 * (depth_at(dx * r, dy * r) + depth_at(-dx * r, -dy * r));
                    let weight = if rise > 4.0 * reach { 0.0 } else { 1.0 };
                    sum += (rise / reach).clamp(0.0, 1.0) * weight;
                }
            }
            let factor = 1.0 - strength * (sum / 8.0 * 2.2).min(0.85);
            light[at].iter_mut().for_each(|c| *c *= factor);
        }
    }
}

/// Moving parts are recorded along their way: the arm's pixels are averaged along its motion in the picture.
fn smear(light: &mut [[f32; 3]], frame: &FrameImages<'_>, shutter: f32) {
    let (dx, dy) = (frame.arm_motion_px[0] * shutter, frame.arm_motion_px[1] * shutter);
    let taps = dx.hypot(dy).ceil() as i32;
    if taps < 1 {
        return;
    }
    let taps = taps.min(16);
    let (width, height) = (frame.width as i32, frame.height as i32);
    let sharp = light.to_vec();
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0_f32; 3];
            let mut touched = false;
            for tap in -taps..=taps {
                let along = tap as f32 / taps as f32 * 0.5;
                let px = nearest(x as f32 + dx * along).clamp(0, width - 1);
                let py = nearest(y as f32 + dy * along).clamp(0, height - 1);
                let at = (py * width + px) as usize;
                touched |= frame.segmentation[at] == frame.arm_class;
                (0..3).for_each(|c| sum[c] += sharp[at][c]);
            }
            if touched {
                light[(y * width + x) as usize] = sum.map(|c| c / (2 * taps + 1) as f32);
            }
        }
    }
}

/// Where the distorted pixel's light comes from in the undistorted picture, in pixels.
pub fn undistorted(effects: &CameraEffects, width: usize, height: usize, x: f32, y: f32) -> (f32, f32) {
    let (cx, cy) = (0.5 * width as f32, 0.5 * height as f32);
    let unit = cx.hypot(cy);
    let (u, v) = ((x - cx) / unit, (y - cy) / unit);
    let r2 = u * u + v * v;
    // Scaled so that the corners stay in the picture: a barrel shows no black border.
    let at_corner = 1.0 - effects.k1 - effects.k2;
    let scale = (1.0 - effects.k1 * r2 - effects.k2 * r2 * r2) / at_corner.max(1.0);
    (cx + u * scale * unit, cy + v * scale * unit)
}

/// Moves `light` (none of it where the source picture is not wanted) and the other wanted images alike.
fn distort(light: &mut [[f32; 3]], frame: &mut FrameImages<'_>, effects: &CameraEffects) {
    fn copy<T: Clone>(image: &[T], wanted: bool) -> Vec<T> {
        if wanted { image.to_vec() } else { Vec::new() }
    }
    let (width, height, wanted) = (frame.width, frame.height, frame.wanted);
    let sharp = light.to_vec();
    let canonical = copy(frame.canonical_rgb, wanted.canonical);
    let segmentation = copy(frame.segmentation, wanted.identity);
    let instances = copy(frame.instances, wanted.identity);
    let depth = copy(frame.depth_m, wanted.depth);
    for y in 0..height {
        for x in 0..width {
            let (sx, sy) = undistorted(effects, width, height, x as f32 + 0.5, y as f32 + 0.5);
            let (sx, sy) = (sx - 0.5, sy - 0.5);
            let (x0, y0) = (sx.floor(), sy.floor());
            let (fx, fy) = (sx - x0, sy - y0);
            let clamp = |v: f32, n: usize| (v.max(0.0) as usize).min(n - 1);
            let (xa, xb) = (clamp(x0, width), clamp(x0 + 1.0, width));
            let (ya, yb) = (clamp(y0, height), clamp(y0 + 1.0, height));
            let corners = [
                (ya * width + xa, (1.0 - fx) * (1.0 - fy)),
                (ya * width + xb, fx * (1.0 - fy)),
                (yb * width + xa, (1.0 - fx) * fy),
                (yb * width + xb, fx * fy),
            ];
            let at = y * width + x;
            if !sharp.is_empty() {
                let mut colour = [0.0_f32; 3];
                for (from, weight) in corners {
                    (0..3).for_each(|c| colour[c] += sharp[from][c] * weight);
                }
                light[at] = colour;
            }
            if !canonical.is_empty() {
                let mut pair = [0.0_f32; 3];
                for (from, weight) in corners {
                    (0..3).for_each(|c| pair[c] += f32::from(canonical[from * 3 + c]) * weight);
                }
                (0..3).for_each(|c| frame.canonical_rgb[at * 3 + c] = (pair[c] + 0.5) as u8);
            }
            let nearest = clamp(sy + 0.5, height) * width + clamp(sx + 0.5, width);
            if wanted.identity {
                frame.segmentation[at] = segmentation[nearest];
                frame.instances[at] = instances[nearest];
            }
            if wanted.depth {
                frame.depth_m[at] = depth[nearest];
            }
        }
    }
}

fn gaussian_blur(light: &mut [[f32; 3]], width: usize, height: usize, sigma_px: f32) {
    let side = (-0.5 / (sigma_px * sigma_px)).exp();
    if side < 0.01 {
        return;
    }
    let reach = (2.5 * sigma_px).ceil() as usize;
    let weights: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma_px).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    let mut line = Vec::with_capacity(width.max(height));
    let mut pass = |start: usize, step: usize, count: usize| {
        line.clear();
        line.extend((0..count).map(|i| light[start + i * step]));
        for i in 0..count {
            let mut sum = line[i].map(|c| c * weights[0]);
            for (k, &weight) in weights.iter().enumerate().skip(1) {
                let (a, b) = (line[i.saturating_sub(k)], line[(i + k).min(count - 1)]);
                (0..3).for_each(|c| sum[c] += (a[c] + b[c]) * weight);
            }
            light[start + i * step] = sum.map(|c| c / total);
        }
    };
    (0..height).for_each(|y| pass(y * width, 1, width));
    (0..width).for_each(|x| pass(x, width, height));
}

/// Vignette, white balance and the sensor's noise.
fn expose(light: &mut [[f32; 3]], width: usize, height: usize, effects: &CameraEffects, seed: Seed) {
    let mut rng = seed.derive("sensor", 0).rng();
    let (cx, cy) = (0.5 * width as f32, 0.5 * height as f32);
    for y in 0..height {
        for x in 0..width {
            let r2 = (((x as f32 + 0.5 - cx) / cx).powi(2) + ((y as f32 + 0.5 - cy) / cy).powi(2)) * 0.5;
            let fall = 1.0 - effects.vignette * r2 * r2.sqrt();
            let pixel = &mut light[y * width + x];
            // Three roughly normal numbers from one draw: sums of four uniform bytes each.
            let bits = u128::from(rng.next_u64()) | u128::from(rng.next_u64()) << 64;
            for c in 0..3 {
                let sum: u32 = (0..4).map(|k| (bits >> (c * 32 + k * 8)) as u32 & 0xff).sum();
                let normal = (sum as f32 - 510.0) * (1.0 / 147.8);
                let signal = pixel[c] * fall * effects.white_balance[c];
                pixel[c] = signal + normal * (effects.read_noise + effects.photon_noise * signal.max(0.0).sqrt());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(effects: &CameraEffects, seed: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (width, height) = (48, 40);
        let mut source: Vec<u8> = (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect();
        let mut canonical = vec![90_u8; width * height * 3];
        let mut segmentation: Vec<u8> = (0..width * height).map(|i| u8::from(i % width > 20)).collect();
        let mut instances = segmentation.clone();
        let mut depth = vec![0.8_f32; width * height];
        let mut frame = FrameImages {
            width,
            height,
            wanted: FrameChannels::PAIRED,
            source_rgb: &mut source,
            canonical_rgb: &mut canonical,
            segmentation: &mut segmentation,
            instances: &mut instances,
            depth_m: &mut depth,
            focal_px: 50.0,
            arm_motion_px: [0.0, 0.0],
            arm_class: 4,
        };
        apply(effects, &mut frame, Seed(seed));
        (source, canonical, segmentation)
    }

    #[test]
    fn none_changes_nothing_and_seeds_repeat() {
        let before = run(&CameraEffects::NONE, 0).0;
        assert_eq!(before[..5], [0, 7, 14, 21, 28]);
        let camera = CameraEffects::cheap_camera(&mut Seed(3).rng());
        assert_eq!(run(&camera, 1), run(&camera, 1));
        assert_ne!(run(&camera, 1).0, run(&camera, 2).0);
    }

    #[test]
    fn look_up_equals_the_curve() {
        let encoder = Encoder::get();
        let mut rng = Seed(1).rng();
        for code in 1..256_usize {
            let least = encoder.least[code];
            assert_eq!(usize::from(encoder.encode(least)), code);
            assert_eq!(usize::from(encoder.encode(f32::from_bits(least.to_bits() - 1))), code - 1);
        }
        for _ in 0..100_000 {
            let value = rng.range(-0.1, 1.1);
            assert_eq!(encoder.encode(value), byte_of(value), "{value}");
        }
    }

    #[test]
    fn noise_has_the_stated_deviation() {
        let mut light = vec![[0.25_f32; 3]; 64 * 64];
        let effects = CameraEffects { photon_noise: 0.02, read_noise: 0.0, ..CameraEffects::NONE };
        expose(&mut light, 64, 64, &effects, Seed(1));
        let n = (64 * 64 * 3) as f32;
        let mean = light.iter().flatten().sum::<f32>() / n;
        let deviation = (light.iter().flatten().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        assert!((mean - 0.25).abs() < 0.001, "{mean}");
        // 0.02 * sqrt(0.25) = 0.01
        assert!((deviation - 0.01).abs() < 0.0005, "{deviation}");
    }

    #[test]
    fn distortion_moves_every_image_alike_and_leaves_the_centre() {
        let effects = CameraEffects { k1: -0.08, ..CameraEffects::NONE };
        let (x, y) = undistorted(&effects, 48, 40, 24.0, 20.0);
        assert!((x - 24.0).abs() < 1e-4 && (y - 20.0).abs() < 1e-4);
        // A barrel: the border shows what lies inside the picture, never outside.
        let (x, y) = undistorted(&effects, 48, 40, 0.5, 0.5);
        assert!(x >= 0.0 && y >= 0.0);
        let (_, _, segmentation) = run(&effects, 0);
        let edge = (0..48).find(|&i| segmentation[20 * 48 + i] == 1).expect("an edge");
        assert!((19..=22).contains(&edge), "{edge}");
    }

    #[test]
    fn occlusion_darkens_creases_only() {
        let (width, height) = (32, 32);
        let mut depth: Vec<f32> = (0..width * height).map(|i| if i % width < 16 { 0.5 } else { 0.53 }).collect();
        let (mut a, mut b, mut s, mut i) = (vec![0; 3 * 1024], vec![0; 3 * 1024], vec![0; 1024], vec![0; 1024]);
        let frame = FrameImages {
            width,
            height,
            wanted: FrameChannels::PAIRED,
            source_rgb: &mut a,
            canonical_rgb: &mut b,
            segmentation: &mut s,
            instances: &mut i,
            depth_m: &mut depth,
            focal_px: 100.0,
            arm_motion_px: [0.0, 0.0],
            arm_class: 4,
        };
        let mut light = vec![[0.5_f32; 3]; 1024];
        occlude(&mut light, &frame, 0.7);
        assert!(light[16 * 32 + 17][0] < 0.48, "the lower side of the step: {}", light[16 * 32 + 17][0]);
        assert_eq!(light[16 * 32 + 2][0], 0.5);
        assert_eq!(light[16 * 32 + 15][0], 0.5, "the upper side of the step");
    }
}
