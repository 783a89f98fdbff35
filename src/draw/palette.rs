//! Colours: of classes, of instances, of depths, of curves.

use crate::contract::Class;
use crate::contract::srgb::byte_of;

/// One colour a class, chosen to stay apart for colour-blind eyes and beside photographs.
pub const fn class_colour(class: Class) -> [u8; 3] {
    match class {
        Class::Background => [44, 49, 61],
        Class::Object => [244, 162, 60],
        Class::Tray => [92, 142, 190],
        Class::Divider => [148, 212, 190],
        Class::Arm => [206, 98, 142],
    }
}

/// Three bytes for each class id, for palette images.
pub fn class_palette() -> [u8; Class::COUNT * 3] {
    std::array::from_fn(|i| class_colour(Class::ALL[i / 3])[i % 3])
}

/// Three bytes for each of the 256 instance ids: 0 is dark, neighbours differ clearly.
pub fn instance_palette() -> [u8; 768] {
    std::array::from_fn(|i| instance_colour((i / 3) as u8)[i % 3])
}

/// Hues a golden angle apart, in three steps of lightness.
pub fn instance_colour(instance: u8) -> [u8; 3] {
    if instance == 0 {
        return class_colour(Class::Background);
    }
    let turn = f32::from(instance) * 0.618_034;
    let lightness = [0.76, 0.62, 0.86][usize::from(instance % 3)];
    oklch(lightness, 0.13, turn.fract())
}

/// OKLCH (Ottosson, 2020) to sRGB bytes; `hue` in turns.
fn oklch(lightness: f32, chroma: f32, hue: f32) -> [u8; 3] {
    let (sin, cos) = (hue * std::f32::consts::TAU).sin_cos();
    let (a, b) = (chroma * cos, chroma * sin);
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_38 * s,
        -0.004_196_086 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    linear.map(byte_of)
}

/// Google's Turbo colour map (Mikhailov, 2019; polynomial fit by Ruofei Du) for `t` in `[0, 1]`.
pub fn turbo(t: f32) -> [u8; 3] {
    const RED: [f32; 6] = [0.135_721_38, 4.615_392_6, -42.660_324, 132.131_08, -152.942_4, 59.286_38];
    const GREEN: [f32; 6] = [0.091_402_61, 2.194_188_4, 4.842_966_6, -14.185_033, 4.277_298_6, 2.829_566];
    const BLUE: [f32; 6] = [0.106_673_3, 12.641_946, -60.582_047, 110.362_77, -89.903_11, 27.348_25];
    let t = if t.is_finite() { t.clamp(0.0, 1.0) } else { 0.0 };
    [RED, GREEN, BLUE].map(|coefficients| {
        let value = coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
        (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
    })
}

/// Class ids to colours, `[height, width, 3]`.
pub fn colour_classes(ids: &[u8]) -> Vec<u8> {
    let palette = class_palette();
    ids.iter()
        .flat_map(|&id| palette.get(usize::from(id) * 3..).map_or([255, 0, 255], |c| [c[0], c[1], c[2]]))
        .collect()
}

/// Instance ids to colours, `[height, width, 3]`.
pub fn colour_instances(ids: &[u8]) -> Vec<u8> {
    let palette = instance_palette();
    ids.iter().flat_map(|&id| [0, 1, 2].map(|c| palette[usize::from(id) * 3 + c])).collect()
}

/// Colour of pixels that have no depth.
pub const NO_DEPTH: [u8; 3] = [44, 49, 61];

/// Depths to colours, near is red and far is blue; 0 (nothing hit) is dark. `[height, width, 3]`
pub fn colour_depth(depth_m: &[f32], near_m: f32, far_m: f32) -> Vec<u8> {
    let scale = 1.0 / (far_m - near_m).max(1e-6);
    let colour = |&d: &f32| {
        // The ends of the map are nearly black; leave them out.
        if d > 0.0 { turbo(0.92 - 0.84 * ((d - near_m) * scale).clamp(0.0, 1.0)) } else { NO_DEPTH }
    };
    depth_m.iter().flat_map(colour).collect()
}

/// Colours of curves, in order: Okabe and Ito's set without yellow and black, darkened a little for white paper.
pub const CURVES: [[u8; 3]; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 140, 105], [180, 90, 150], [204, 140, 0], [70, 160, 210]];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turbo_follows_the_published_table() {
        // Entries of the published 256-entry table (as in matplotlib); the polynomial stays close to it.
        let table = [
            (32.0, [70, 107, 227]),
            (64.0, [40, 188, 235]),
            (128.0, [164, 252, 60]),
            (192.0, [251, 126, 33]),
            (224.0, [208, 47, 5]),
        ];
        for (entry, [r, g, b]) in table {
            let t = entry / 255.0;
            let [x, y, z] = turbo(t);
            let off = [(x, r), (y, g), (z, b)].map(|(a, b): (u8, u8)| a.abs_diff(b));
            assert!(off.iter().all(|&d| d <= 20), "{t}: {:?}", turbo(t));
        }
    }

    #[test]
    fn instances_differ_from_their_neighbours() {
        for id in 1..=20_u8 {
            for other in 0..id {
                let (a, b) = (instance_colour(id), instance_colour(other));
                let distance: u32 = (0..3).map(|c| u32::from(a[c].abs_diff(b[c]))).sum();
                assert!(distance >= 24, "{id} {a:?} and {other} {b:?}");
            }
        }
    }

    #[test]
    fn depth_zero_is_not_a_depth() {
        let colours = colour_depth(&[0.0, 1.0, 2.0], 1.0, 2.0);
        assert_eq!(colours[..3], NO_DEPTH);
        assert!(colours[3] > colours[5], "near is red");
        assert!(colours[8] > colours[6], "far is blue");
    }
}
