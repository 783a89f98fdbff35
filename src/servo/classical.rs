//! Segmentation without learning, which the paper sets beside its network (figure 7): K-means on the colour histogram, and
//! the watershed algorithm.
//!
//! In: an image and the region of the gripper, which a robot knows of its own camera. Out: the object's mask. Both take the
//! most frequent colour for the background and the largest other part outside of the gripper for the object.

use super::components::largest_component;
use super::{Mask, morphology};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Levels of a channel of the histogram.
const LEVELS: usize = 16;
const ROUNDS: usize = 100;
/// Table, object, and the gripper's own colour or shadows.
const CLUSTERS: usize = 3;

/// An image's pixels in `[height, width, 3]` bytes.
#[derive(Clone, Copy, Debug)]
pub struct ColourImage<'a> {
    /// `width * height * 3` bytes, red first.
    pub rgb: &'a [u8],
    /// Columns of the image.
    pub width: usize,
    /// Rows of the image.
    pub height: usize,
}

impl ColourImage<'_> {
    fn pixel(&self, index: usize) -> [f64; 3] {
        std::array::from_fn(|channel| f64::from(self.rgb[3 * index + channel]))
    }

    fn len(&self) -> usize {
        self.width * self.height
    }

    /// Luma of Rec. 601, as OpenCV's grey.
    fn grey(&self) -> Vec<u8> {
        let luma = |[r, g, b]: [f64; 3]| (0.299 * r + 0.587 * g + 0.114 * b).round() as u8;
        (0..self.len()).map(|index| luma(self.pixel(index))).collect()
    }
}

fn squared_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The place of the nearest centre.
fn nearest(point: [f64; 3], centres: &[[f64; 3]]) -> usize {
    let closer =
        |&a: &usize, &b: &usize| squared_distance(point, centres[a]).total_cmp(&squared_distance(point, centres[b]));
    (0..centres.len()).min_by(closer).unwrap_or(0)
}

/// Lloyd's algorithm on weighted points from given centres, until nothing changes. A centre without points stays.
pub fn k_means(points: &[([f64; 3], f64)], start: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let mut centres = start.to_vec();
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0; 3], 0.0); centres.len()];
        for &(point, weight) in points {
            let (sum, total) = &mut sums[nearest(point, &centres)];
            sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += weight * value);
            *total += weight;
        }
        let next = |(&centre, (sum, total)): (&[f64; 3], &([f64; 3], f64))| {
            if *total > 0.0 { sum.map(|value| value / total) } else { centre }
        };
        let moved: Vec<[f64; 3]> = centres.iter().zip(&sums).map(next).collect();
        if moved == centres {
            break;
        }
        centres = moved;
    }
    centres
}

/// The colour histogram's bins that occur: mean colour and number of pixels.
fn histogram(image: ColourImage<'_>) -> Vec<([f64; 3], f64)> {
    let mut bins = vec![([0.0; 3], 0.0); LEVELS.pow(3)];
    for index in 0..image.len() {
        let colour = image.pixel(index);
        let level = |channel: usize| colour[channel] as usize * LEVELS / 256;
        let (sum, count) = &mut bins[(level(0) * LEVELS + level(1)) * LEVELS + level(2)];
        sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
        *count += 1.0;
    }
    bins.into_iter().filter(|(_, count)| *count > 0.0).map(|(sum, count)| (sum.map(|s| s / count), count)).collect()
}

/// First centres: the fullest bin, then always the bin whose distance to the centres weighs most.
fn first_centres(bins: &[([f64; 3], f64)]) -> Vec<[f64; 3]> {
    let mut centres: Vec<[f64; 3]> = Vec::new();
    for _ in 0..CLUSTERS.min(bins.len()) {
        let weight = |&(colour, count): &([f64; 3], f64)| {
            count
                * centres.iter().map(|&centre| squared_distance(colour, centre)).fold(f64::INFINITY, f64::min).min(1e6)
        };
        let best = bins.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)));
        centres.extend(best.map(|(colour, _)| *colour));
    }
    centres
}

/// The object by K-means on the colour histogram.
pub fn segment_by_k_means(image: ColourImage<'_>, gripper: &Mask) -> Mask {
    let bins = histogram(image);
    let centres = k_means(&bins, &first_centres(&bins));
    let labels: Vec<usize> = (0..image.len()).map(|index| nearest(image.pixel(index), &centres)).collect();
    let count = |label: usize| labels.iter().filter(|&&found| found == label).count();
    let background = (0..centres.len()).max_by_key(|&label| count(label)).unwrap_or(0);
    let parts = (0..centres.len()).filter(|&label| label != background).filter_map(|label| {
        let mask = without(&labels_mask(&labels, image, label), gripper);
        largest_component(&morphology::open(&mask, 1))
    });
    parts.max_by_key(|part| part.area).map_or_else(|| Mask::new(image.width, image.height), |part| part.mask)
}

fn labels_mask(labels: &[usize], image: ColourImage<'_>, label: usize) -> Mask {
    Mask::from_fn(image.width, image.height, |column, row| labels[row * image.width + column] == label)
}

fn without(mask: &Mask, other: &Mask) -> Mask {
    Mask::from_fn(mask.width(), mask.height(), |column, row| {
        let at = |mask: &Mask| mask.at(column as isize, row as isize);
        at(mask) && !at(other)
    })
}

/// Otsu's threshold of grey values: those up to it are one class. 0 without two values.
pub fn otsu(grey: &[u8]) -> u8 {
    let mut counts = [0.0_f64; 256];
    grey.iter().for_each(|&value| counts[usize::from(value)] += 1.0);
    let total: f64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(value, count)| value as f64 * count).sum();
    let (mut below, mut below_sum) = (0.0, 0.0);
    let (mut best, mut threshold) = (0.0, 0);
    for (value, count) in counts.iter().enumerate() {
        below += count;
        below_sum += value as f64 * count;
        if below == 0.0 || below == total {
            continue;
        }
        let means = (below_sum / below, (sum - below_sum) / (total - below));
        let between = below * (total - below) * (means.0 - means.1).powi(2);
        if between > best {
            (best, threshold) = (between, value);
        }
    }
    threshold as u8
}

/// Meyer's flooding: every pixel gets the label of the marker that reaches it first, lowest values first, of equals the one
/// that was met earlier. 4 neighbours; 0 is no marker.
pub fn watershed(values: &[u8], markers: &[u32], width: usize) -> Vec<u32> {
    let height = values.len() / width.max(1);
    let mut labels = markers.to_vec();
    let mut queue = BinaryHeap::new();
    let mut age = 0_usize;
    for (index, &label) in markers.iter().enumerate() {
        if label > 0 {
            queue.push(Reverse((values[index], age, index)));
            age += 1;
        }
    }
    while let Some(Reverse((level, _, index))) = queue.pop() {
        let (column, row) = (index % width, index / width);
        let neighbours = [
            (row > 0).then(|| index - width),
            (column > 0).then(|| index - 1),
            (column + 1 < width).then(|| index + 1),
            (row + 1 < height).then(|| index + width),
        ];
        for next in neighbours.into_iter().flatten() {
            if labels[next] == 0 {
                labels[next] = labels[index];
                // Water does not sink: what lies lower behind a ridge is flooded at the ridge's level.
                queue.push(Reverse((values[next].max(level), age, next)));
                age += 1;
            }
        }
    }
    labels
}

/// The object by watershed on the gradient: markers where the grey image is far from the table's grey, and where it is near.
pub fn segment_by_watershed(image: ColourImage<'_>, gripper: &Mask) -> Mask {
    let (width, height) = (image.width, image.height);
    let grey = image.grey();
    // Distance from the most frequent grey: dark and light objects alike.
    let mut counts = [0_u32; 256];
    grey.iter().for_each(|&value| counts[usize::from(value)] += 1);
    let table = (0..=255_u8).max_by_key(|&value| (counts[usize::from(value)], Reverse(value))).unwrap_or(0);
    let difference: Vec<u8> = grey.iter().map(|&value| value.abs_diff(table)).collect();
    let threshold = otsu(&difference);
    let unlike = Mask::from_fn(width, height, |column, row| difference[row * width + column] > threshold);
    let candidates = morphology::open(&without(&unlike, gripper), 1);
    let Some(part) = largest_component(&candidates) else { return Mask::new(width, height) };
    let inside = match morphology::erode(&part.mask, 2) {
        eroded if eroded.area() > 0 => eroded,
        _ => part.mask.clone(),
    };
    let near = morphology::dilate(&unlike, 3);
    let at = |mask: &Mask, index: usize| mask.at((index % width) as isize, (index / width) as isize);
    let marker = |index: usize| {
        if at(gripper, index) {
            3
        } else if at(&inside, index) {
            1
        } else {
            2 * u32::from(!at(&near, index))
        }
    };
    let markers: Vec<u32> = (0..width * height).map(marker).collect();
    let labels = watershed(&gradient(&grey, width), &markers, width);
    Mask::from_fn(width, height, |column, row| labels[row * width + column] == 1)
}

/// Magnitude of Sobel's gradient over 4, at most 255; the border is repeated.
fn gradient(grey: &[u8], width: usize) -> Vec<u8> {
    let height = grey.len() / width.max(1);
    let at = |column: isize, row: isize| {
        let clamp = |value: isize, count: usize| value.clamp(0, count as isize - 1) as usize;
        f32::from(grey[clamp(row, height) * width + clamp(column, width)])
    };
    (0..grey.len())
        .map(|index| {
            let (c, r) = ((index % width) as isize, (index / width) as isize);
            let side = |dc: isize| at(c + dc, r - 1) + 2.0 * at(c + dc, r) + at(c + dc, r + 1);
            let level = |dr: isize| at(c - 1, r + dr) + 2.0 * at(c, r + dr) + at(c + 1, r + dr);
            ((side(1) - side(-1)).hypot(level(1) - level(-1)) / 4.0).min(255.0) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use serde_json::Value;

    fn numbers<T>(value: &Value, of: fn(&Value) -> Option<T>) -> Vec<T> {
        value.as_array().expect("a list").iter().map(|item| of(item).expect("a number")).collect()
    }

    fn reference() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/classical/reference.json");
        let text = std::fs::read_to_string(path).expect("the fixture; run make.py beside it");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn otsu_watershed_and_k_means_equal_scikit_image_and_scikit_learn() {
        let reference = reference();
        let width = reference["width"].as_u64().expect("a width") as usize;
        let byte = |value: &Value| value.as_u64().map(|byte| byte as u8);
        let label = |value: &Value| value.as_u64().map(|label| label as u32);
        for case in reference["cases"].as_array().expect("cases") {
            let image = numbers(&case["image"], byte);
            assert_eq!(u64::from(otsu(&image)), case["otsu"].as_u64().expect("a threshold"));
            let markers = numbers(&case["markers"], label);
            assert_eq!(watershed(&image, &markers, width), numbers(&case["watershed"], label));
            let colours = numbers(&case["colours"], byte);
            let triple = |value: &Value| -> Option<[f64; 3]> { numbers(value, Value::as_f64).try_into().ok() };
            let points: Vec<([f64; 3], f64)> =
                colours.chunks_exact(3).map(|c| ([c[0], c[1], c[2]].map(f64::from), 1.0)).collect();
            let centres = k_means(&points, &numbers(&case["start"], triple));
            for (found, expected) in centres.iter().zip(numbers(&case["centres"], triple)) {
                assert!(squared_distance(*found, expected) < 1e-12, "{found:?} {expected:?}");
            }
            let labels: Vec<u64> = points.iter().map(|&(point, _)| nearest(point, &centres) as u64).collect();
            assert_eq!(labels, numbers(&case["labels"], Value::as_u64));
        }
    }

    /// A coloured box on a light table with noise, dark fingers above.
    #[test]
    fn both_find_a_box_beside_the_fingers() -> Result<(), crate::servo::ServoError> {
        let mut rng = Seed(2).rng();
        let truth = Mask::from_fn(64, 64, |column, row| (20..38).contains(&column) && (25..35).contains(&row));
        let gripper = Mask::from_fn(64, 64, |_, row| row < 8);
        let mut rgb = Vec::new();
        for index in 0..64 * 64 {
            let (column, row) = ((index % 64) as isize, (index / 64) as isize);
            let colour: [f32; 3] = match (gripper.at(column, row), truth.at(column, row)) {
                (true, _) => [40.0, 40.0, 45.0],
                (_, true) => [180.0, 70.0, 60.0],
                _ => [225.0, 225.0, 220.0],
            };
            rgb.extend(colour.map(|value| (value + 4.0 * rng.normal()).clamp(0.0, 255.0) as u8));
        }
        let image = ColourImage { rgb: &rgb, width: 64, height: 64 };
        for found in [segment_by_k_means(image, &gripper), segment_by_watershed(image, &gripper)] {
            let iou = found.intersection_over_union(&truth)?;
            assert!(iou > 0.85, "{iou}");
        }
        // Nothing on the table: at most specks.
        let empty = vec![225; 64 * 64 * 3];
        let image = ColourImage { rgb: &empty, width: 64, height: 64 };
        assert_eq!(segment_by_k_means(image, &gripper).area(), 0);
        assert_eq!(segment_by_watershed(image, &gripper).area(), 0);
        Ok(())
    }
}
