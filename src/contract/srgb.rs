//! The sRGB curve (IEC 61966-2-1), both ways: every picture here is sRGB bytes, every computation with light is linear.

/// An sRGB byte in linear light, from 0 to 1.
pub fn linear_of(byte: u8) -> f32 {
    let encoded = f32::from(byte) / 255.0;
    if encoded <= 0.040_45 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) }
}

/// Linear light as an sRGB byte; outside of 0 to 1 it is cut off.
pub fn byte_of(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let encoded = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_and_known_values_are_right() {
        for byte in 0..=255 {
            assert_eq!(byte_of(linear_of(byte)), byte);
        }
        // The standard's own: mid grey 188 is half of the light, 55 the 3.8% where the curve is steep.
        assert!((linear_of(188) - 0.502_886).abs() < 1e-5 && (linear_of(55) - 0.038_204).abs() < 1e-5);
        assert_eq!((byte_of(-1.0), byte_of(0.5), byte_of(7.0)), (0, 188, 255));
    }
}
