//! One pair as the bytes of its files.

use super::config::DatasetConfig;
use super::layout::{Channel, Layout};
use super::record::{PairMeta, PairRecord};
use crate::contract::{Class, FrameBatch};
use crate::data::DataError;
use crate::draw::palette::{class_palette, instance_palette};
use crate::draw::png;

/// The files of one pair.
pub struct EncodedPair {
    pub index: u64,
    /// In the order of [`Layout::channels`].
    pub images: Vec<Vec<u8>>,
    /// The record as one line of JSON without its end of line.
    pub json: String,
}

/// Metres to the millimetres of a depth image: rounded, 0 for "nothing hit" (0, negative or not a number), at least 1
/// for every hit, and at most 65,535.
pub fn depth_to_mm(depth_m: f32) -> u16 {
    if depth_m > 0.0 { (depth_m * 1000.0).round().clamp(1.0, 65_535.0) as u16 } else { 0 }
}

/// Checks that a batch can be written into this dataset.
pub fn check_batch(config: &DatasetConfig, frames: &FrameBatch, records: &[PairRecord]) -> Result<(), DataError> {
    let fail = |message: String| Err(DataError::Input(message));
    if (frames.width, frames.height) != (config.width as usize, config.height as usize) {
        let (w, h) = (config.width, config.height);
        return fail(format!("frames of {}x{} do not fit a dataset of {w}x{h}", frames.width, frames.height));
    }
    if frames.source != config.domain {
        return fail(format!("frames of domain {} do not fit a dataset of domain {}", frames.source, config.domain));
    }
    let pixels = frames.count * frames.pixels();
    let lengths = [
        ("records", records.len(), frames.count),
        ("cameras", frames.cameras.len(), frames.count),
        ("step_indices", frames.step_indices.len(), frames.count),
        ("look seeds", frames.look_seeds.len(), frames.count),
        ("source bytes", frames.source_rgb.len(), pixels * 3),
        ("canonical bytes", frames.canonical_rgb.len(), pixels * 3),
        ("class ids", frames.segmentation.len(), pixels),
        ("instance ids", frames.instances.len(), pixels),
        ("depths", frames.depth_m.len(), pixels),
        ("measured depths", if config.sensed_depth { frames.sensed_depth_m.len() } else { pixels }, pixels),
    ];
    for (what, found, expected) in lengths {
        if found != expected {
            return fail(format!("a batch of {} frames has {found} {what} instead of {expected}", frames.count));
        }
    }
    Ok(())
}

/// Encodes frame `i` as pair `index`.
pub fn encode_pair(
    layout: &Layout,
    frames: &FrameBatch,
    i: usize,
    index: u64,
    record: &PairRecord,
) -> Result<EncodedPair, DataError> {
    let (w, h) = (frames.width, frames.height);
    let classes = frames.segmentation_image(i);
    if let Some(id) = classes.iter().find(|&&id| usize::from(id) >= Class::COUNT) {
        return Err(DataError::Input(format!("frame {i} has class id {id}; the last is {}", Class::COUNT - 1)));
    }
    let meta = PairMeta::new(index, frames, i, record);
    if !meta.is_finite() {
        return Err(DataError::Input(format!(
            "the state of frame {i} (episode {}, step_index {}) has a number that is not finite",
            meta.episode, meta.step_index
        )));
    }
    let depth = |metres: &[f32]| {
        let mm: Vec<u16> = metres.iter().map(|&d| depth_to_mm(d)).collect();
        png::encode_gray16(&mm, w, h)
    };
    let image = |channel: &Channel| match channel {
        Channel::Randomized => png::encode_rgb(frames.source_image(i), w, h),
        Channel::Canonical => png::encode_rgb(frames.canonical_image(i), w, h),
        Channel::Aligned => {
            png::encode_rgb(&side_by_side(frames.source_image(i), frames.canonical_image(i), w * 3), 2 * w, h)
        }
        Channel::Segmentation => png::encode_indexed(classes, w, h, &class_palette()),
        Channel::Instances => png::encode_indexed(frames.instance_image(i), w, h, &instance_palette()),
        Channel::Depth => depth(frames.depth_image(i)),
        Channel::SensedDepth => depth(frames.sensed_depth_image(i)),
    };
    let images = layout.channels().iter().map(image).collect::<Result<_, _>>();
    let images = images.map_err(|e| DataError::Input(format!("frame {i}: {e}")))?;
    let json = serde_json::to_string(&meta).map_err(|e| DataError::Input(format!("the record of frame {i}: {e}")))?;
    Ok(EncodedPair { index, images, json })
}

/// Rows of `row` bytes of `a`, each followed by the same row of `b`.
fn side_by_side(a: &[u8], b: &[u8], row: usize) -> Vec<u8> {
    a.chunks_exact(row).zip(b.chunks_exact(row)).flat_map(|(a, b)| [a, b].concat()).collect()
}

/// The two halves of a picture whose rows have `2 * row` bytes.
pub fn split_halves(both: &[u8], row: usize) -> (Vec<u8>, Vec<u8>) {
    let half = |at: usize| both.chunks_exact(2 * row).flat_map(|r| &r[at..at + row]).copied().collect();
    (half(0), half(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_in_millimetres() {
        let cases =
            [(0.0, 0), (-1.0, 0), (f32::NAN, 0), (1e-5, 1), (0.0005, 1), (1.2344, 1234), (1.2346, 1235), (99.0, 65535)];
        for (metres, mm) in cases {
            assert_eq!(depth_to_mm(metres), mm, "{metres}");
        }
        assert_eq!(depth_to_mm(f32::INFINITY), 65535);
    }

    #[test]
    fn halves_come_back() {
        let both = side_by_side(&[1, 2, 3, 4], &[5, 6, 7, 8], 2);
        assert_eq!(both, [1, 2, 5, 6, 3, 4, 7, 8]);
        assert_eq!(split_halves(&both, 2), (vec![1, 2, 3, 4], vec![5, 6, 7, 8]));
    }
}
