//! Looks that simulated pictures lack and cameras meet: pale or grey objects, and soft shade where surfaces meet.
//!
//! A simulated object is a solid of one strong colour, so that its colour alone says where it is, and a segmentation learned
//! from such pictures misses a white box on a white table and takes the shade around it for a part of it. In a share of the
//! simulated images ([`super::SemanticConfig::p_varied_looks`]) objects are bleached towards one random grey, and both
//! sides of their outlines and the gripper's are darkened. Classes and depth stay. The paper does not do it.

use super::batch::SemanticClass;
use crate::contract::Rng;

/// Brightness of the grey that objects are bleached towards, of 255.
const GREY: (f32, f32) = (20.0, 250.0);
/// Darkening at an outline, at most.
const DEEPEST_SHADE: f32 = 0.7;
/// Pixels that shade reaches on each side of an outline at a picture's edge of 64, at most.
const WIDEST_SHADE: f32 = 8.0;

/// Bleaches the objects of a picture `[size, size, 3]` and shades outlines. `classes` are the renderer's.
pub fn vary(rgb: &mut [u8], classes: &[u8], size: usize, rng: &mut Rng) {
    let classes: Vec<SemanticClass> = classes.iter().map(|&class| SemanticClass::from_rendered(class)).collect();
    bleach(rgb, &classes, rng.f32(), rng.range(GREY.0, GREY.1));
    let (strength, width) = (rng.range(0.0, DEEPEST_SHADE), rng.range(2.0, WIDEST_SHADE) * size as f32 / 64.0);
    shade(rgb, &classes, size, strength, width);
}

/// Moves the objects' colours by `share` towards grey of brightness `grey` on average; what is lit stays lit.
fn bleach(rgb: &mut [u8], classes: &[SemanticClass], share: f32, grey: f32) {
    let brightness = |pixel: &[u8]| pixel.iter().map(|&value| f32::from(value)).sum::<f32>() / 3.0;
    let is_object = |class: &SemanticClass| *class == SemanticClass::Object;
    let objects = || rgb.chunks_exact(3).zip(classes).filter(|(_, class)| is_object(class));
    let mean = objects().map(|(pixel, _)| brightness(pixel)).sum::<f32>() / objects().count().max(1) as f32;
    for (pixel, _) in rgb.chunks_exact_mut(3).zip(classes).filter(|(_, class)| is_object(class)) {
        let target = grey * brightness(pixel) / mean.max(1.0);
        for value in pixel {
            let bleached = f32::from(*value) * (1.0 - share) + target * share;
            *value = bleached.round().clamp(0.0, 255.0) as u8;
        }
    }
}

/// Darkens outlines by `strength`, and less the farther from them, down to nothing `width` pixels away.
fn shade(rgb: &mut [u8], classes: &[SemanticClass], size: usize, strength: f32, width: f32) {
    let solid = classes.iter().map(|class| f32::from(u8::from(*class != SemanticClass::Background))).collect();
    // Two running means of this radius reach `width` pixels.
    let radius = (0.5 * width).round().max(1.0) as usize;
    let share = (0..2).fold(solid, |plane: Vec<f32>, _| mean_around(&plane, size, radius));
    for (pixel, share) in rgb.chunks_exact_mut(3).zip(share) {
        let kept = 1.0 - strength * 2.0 * share.min(1.0 - share).max(0.0);
        for value in pixel {
            *value = (f32::from(*value) * kept).round() as u8;
        }
    }
}

/// Mean over the square of `2 radius + 1` pixels around each pixel of a plane `[size, size]`; outside, the nearest pixel counts.
fn mean_around(plane: &[f32], size: usize, radius: usize) -> Vec<f32> {
    let along = |plane: &[f32], place: fn(usize, usize, usize) -> usize| {
        let mut means = vec![0.0; plane.len()];
        for line in 0..size {
            for at in 0..size {
                let sum: f32 = (at..=at + 2 * radius)
                    .map(|shifted| plane[place(line, shifted.saturating_sub(radius).min(size - 1), size)])
                    .sum();
                means[place(line, at, size)] = sum / (2 * radius + 1) as f32;
            }
        }
        means
    };
    let rows = along(plane, |line, at, size| line * size + at);
    along(&rows, |line, at, size| at * size + line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Class, Seed};

    const SIZE: usize = 64;

    /// A red object of 24 pixels in the middle of a grey table.
    fn picture() -> (Vec<u8>, Vec<u8>) {
        let is_object = |index: usize| (20..44).contains(&(index % SIZE)) && (20..44).contains(&(index / SIZE));
        let rgb = (0..SIZE * SIZE).flat_map(|index| if is_object(index) { [200, 40, 30] } else { [220; 3] }).collect();
        let class = |index| if is_object(index) { Class::Object as u8 } else { Class::Tray as u8 };
        (rgb, (0..SIZE * SIZE).map(class).collect())
    }

    fn semantic(classes: &[u8]) -> Vec<SemanticClass> {
        classes.iter().map(|&class| SemanticClass::from_rendered(class)).collect()
    }

    #[test]
    fn a_bleached_object_is_the_grey_and_the_table_stays() {
        let (before, classes) = picture();
        let (mut whole, mut half) = (before.clone(), before.clone());
        bleach(&mut whole, &semantic(&classes), 1.0, 180.0);
        bleach(&mut half, &semantic(&classes), 0.5, 180.0);
        let middle = 3 * (32 * SIZE + 32);
        assert_eq!((&whole[middle..middle + 3], &whole[..3]), (&[180; 3][..], &[220; 3][..]));
        assert_eq!(half[middle..middle + 3], [190, 110, 105]);
    }

    #[test]
    fn shade_is_darkest_at_outlines_and_ends_at_its_width() {
        let (before, classes) = picture();
        let mut shaded = before.clone();
        shade(&mut shaded, &semantic(&classes), SIZE, 0.6, 6.0);
        let table: Vec<u8> = (10..20).map(|x| shaded[3 * (32 * SIZE + x)]).collect();
        assert!(table.is_sorted_by(|a, b| a >= b), "darker towards the object: {table:?}");
        assert_eq!((table[0], table[3]), (220, 220), "six pixels away nothing is darkened");
        assert!((90..115).contains(&table[9]), "more than half of 0.6 at the outline: {table:?}");
        assert_eq!(shaded[3 * (32 * SIZE + 32)], 200, "nor inside");
    }

    #[test]
    fn looks_vary_from_draw_to_draw_and_are_those_of_their_seed() {
        let (before, classes) = picture();
        let look = |seed: u64| {
            let mut rgb = before.clone();
            vary(&mut rgb, &classes, SIZE, &mut Seed(seed).rng());
            rgb
        };
        assert_eq!(look(1), look(1));
        assert!(look(1) != look(2) && look(1) != before);
    }
}
