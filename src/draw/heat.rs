//! A map of numbers over the picture that it belongs to.

use super::palette::turbo;

/// The share of pixels that are as hot as can be: a few extremes would leave everything else cold.
const HOTTEST: f32 = 0.01;

/// A picture `[height, width, 3]` in dim grey, with what is large in `heat` (`[height, width]`, not negative) in colour. The
/// map is scaled by its own values, so that pictures say where and not how much; where all are 0 or not finite, the picture
/// stays grey.
pub fn heat_overlay(rgb: &[u8], heat: &[f32]) -> Vec<u8> {
    let mut sorted: Vec<f32> = heat.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let hottest = (sorted.len() as f32 * (1.0 - HOTTEST)) as usize;
    let limit = sorted.get(hottest).or(sorted.last()).copied().filter(|&limit| limit > 0.0);
    // A map with few places has its largest value where the others are 0.
    let limit = limit.or(sorted.last().copied()).unwrap_or(0.0);
    let share = |value: f32| if limit > 0.0 && value.is_finite() { (value / limit).clamp(0.0, 1.0) } else { 0.0 };
    let pixel = |(pixel, &value): (&[u8], &f32)| {
        let share = share(value);
        let grey = 0.6 * (0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]));
        // The cold end of the map is nearly black.
        let colour = turbo(0.15 + 0.75 * share);
        colour.map(|colour| (grey + share * (f32::from(colour) - grey)).round() as u8)
    };
    rgb.chunks_exact(3).zip(heat).flat_map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_pixel_is_coloured_and_the_others_stay_grey() {
        let rgb = [100_u8; 4 * 3];
        let out = heat_overlay(&rgb, &[0.0, 8.0, 0.0, 4.0]);
        assert_eq!(out[0..3], [60; 3]);
        assert_eq!(out[3..6], turbo(0.9));
        // Half as hot is half way between grey and its colour.
        let half = turbo(0.525).map(|colour| ((60.0 + f32::from(colour)) / 2.0).round() as u8);
        assert_eq!(out[9..12], half);
        // The scale does not matter, and nothing is nothing.
        assert_eq!(heat_overlay(&rgb, &[0.0, 8e-9, 0.0, 4e-9]), out);
        assert_eq!(heat_overlay(&rgb, &[0.0; 4]), [60; 12]);
        assert_eq!(heat_overlay(&rgb, &[f32::NAN; 4]), [60; 12]);
    }
}
