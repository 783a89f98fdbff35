//! One material: the parameters of the renderer's solid texture and of its surface.

use crate::contract::srgb::linear_of;
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// Linear colours, frequencies in 1/m. See `albedo_of` in `render/tiled.wgsl` for how the numbers are used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Material {
    pub colour_a: Vec3,
    pub colour_b: Vec3,
    /// 0.05 (mirror-like) to 1 (matte).
    pub roughness: f32,
    /// 0 dielectric, 1 metal.
    pub metallic: f32,
    /// Frequency of the two waves, 1/m; 0 switches a wave off.
    pub wave_u: f32,
    pub wave_v: f32,
    pub axis_u: Vec3,
    pub axis_v: Vec3,
    /// How far noise bends the waves, in periods.
    pub warp: f32,
    /// 1 is a soft sine, large values are hard steps.
    pub sharpness: f32,
    /// 0 stripes, 1 checks.
    pub check: f32,
    /// Share of the clouds against the waves, 0 to 1.
    pub cloud: f32,
    /// Frequency of the noise, 1/m.
    pub cloud_frequency: f32,
    /// Strength of the fine grain, 0 to 1.
    pub grain: f32,
    /// Layer of the user's texture images in place of the procedural texture; its tint is `colour_a`.
    pub image: Option<u32>,
    /// Repeats of the image per metre.
    pub image_scale: f32,
}

impl Material {
    /// One colour, given as sRGB bytes.
    pub fn plain(srgb: [u8; 3], roughness: f32, metallic: f32) -> Self {
        let colour = srgb_to_linear(srgb);
        Self {
            colour_a: colour,
            colour_b: colour,
            roughness,
            metallic,
            wave_u: 0.0,
            wave_v: 0.0,
            axis_u: Vec3::X,
            axis_v: Vec3::Y,
            warp: 0.0,
            sharpness: 1.0,
            check: 0.0,
            cloud: 0.0,
            cloud_frequency: 20.0,
            grain: 0.0,
            image: None,
            image_scale: 4.0,
        }
    }

    pub fn with_grain(self, cloud_frequency: f32, grain: f32) -> Self {
        Self { cloud_frequency, grain, ..self }
    }
}

/// sRGB bytes to linear light (IEC 61966-2-1).
pub fn srgb_to_linear(srgb: [u8; 3]) -> Vec3 {
    Vec3::from_array(srgb.map(linear_of))
}

/// Hue (turns), saturation and value (0 to 1) to linear light.
pub fn hsv(hue: f32, saturation: f32, value: f32) -> Vec3 {
    let channel = |offset: f32| {
        let k = (offset + hue.rem_euclid(1.0) * 6.0).rem_euclid(6.0);
        let c = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (c * 255.0).round() as u8
    };
    srgb_to_linear([channel(5.0), channel(3.0), channel(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsv_of_primaries() {
        assert_eq!(hsv(0.0, 1.0, 1.0), Vec3::X);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0), Vec3::Y);
        assert_eq!(hsv(2.0 / 3.0, 1.0, 1.0), Vec3::Z);
        assert_eq!(hsv(0.3, 0.0, 1.0), Vec3::ONE);
    }

    #[test]
    fn srgb_known_values() {
        let c = srgb_to_linear([0, 128, 255]);
        assert!((c.y - 0.215_861).abs() < 1e-5 && c.x == 0.0 && (c.z - 1.0).abs() < 1e-6);
    }
}
