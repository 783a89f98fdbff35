//! Cameras: the two of the stand-ins for reality, and any, for randomization.

use super::CameraEffects;
use crate::contract::Rng;

impl CameraEffects {
    /// Some camera in some light, or in one of five cases a perfect one: what generators learn to see through. The ranges are
    /// wide and fitted to no measurement. The stand-ins' cameras below are of the same model and lie within them.
    pub fn any_camera(rng: &mut Rng) -> Self {
        if rng.chance(0.2) {
            return Self::NONE;
        }
        Self {
            k1: rng.range(-0.08, 0.08),
            k2: rng.range(-0.01, 0.01),
            vignette: rng.range(0.0, 0.5),
            white_balance: [rng.range(0.85, 1.2), 1.0, rng.range(0.85, 1.2)],
            photon_noise: rng.range(0.0, 0.05),
            read_noise: rng.range(0.0, 0.015),
            blur: rng.range(0.0, 0.004),
            shutter: rng.range(0.0, 0.4),
            occlusion: rng.range(0.0, 0.9),
            jpeg_quality: if rng.chance(0.5) { rng.range(40.0, 95.0) as u8 } else { 0 },
        }
    }

    /// A webcam: a barrel lens that darkens the corners.
    pub fn cheap_camera(rng: &mut Rng) -> Self {
        Self {
            k1: rng.range(-0.05, -0.03),
            k2: rng.range(0.0, 0.008),
            vignette: rng.range(0.25, 0.4),
            white_balance: [rng.range(0.94, 1.1), 1.0, rng.range(0.88, 1.04)],
            photon_noise: rng.range(0.012, 0.024),
            read_noise: rng.range(0.003, 0.006),
            blur: rng.range(0.0006, 0.0012),
            shutter: rng.range(0.04, 0.12),
            occlusion: rng.range(0.55, 0.75),
            jpeg_quality: rng.range(70.0, 90.0) as u8,
        }
    }

    /// A board camera in poor light: a soft pincushion lens, a cold and noisy sensor, long exposure, strong compression.
    pub fn board_camera(rng: &mut Rng) -> Self {
        Self {
            k1: rng.range(0.02, 0.04),
            k2: rng.range(-0.006, 0.0),
            vignette: rng.range(0.05, 0.15),
            white_balance: [rng.range(0.86, 0.97), 1.0, rng.range(1.05, 1.2)],
            photon_noise: rng.range(0.028, 0.042),
            read_noise: rng.range(0.007, 0.012),
            blur: rng.range(0.0016, 0.0026),
            shutter: rng.range(0.15, 0.3),
            occlusion: rng.range(0.4, 0.6),
            jpeg_quality: rng.range(45.0, 65.0) as u8,
        }
    }
}
