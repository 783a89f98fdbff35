//! The layout of `plan` whose lanes are samples: for batches of small images, and for large strides.
//!
//! A unit is sixteen samples, or a few times as many where images are tiny. Its packs are transposed images, `[channel][row]
//! [column][sample]`: a vector is one pixel of sixteen samples. A stride is an offset like any other, every access is
//! aligned, and nothing is computed between rows. In the Y-to-X direction each pixel sums exactly the taps that reach it, so
//! that the Y-pack needs no zeros around it.

use super::super::simd::LANES;
use super::plan::{ConvShape, Lanes, Phase, Plan, Raster, Vectors, axis_taps, plane_stride};

/// Vectors that a sum over the pixels of a unit should have at least.
const UNIT_VECTORS: usize = 32;
/// Units that there should be before they are made larger, for balance between cores.
const UNITS: usize = 8;
/// Floats of a pack at most: what the second-level cache holds of it.
const PACK_FLOATS: usize = 1 << 18;

/// The plan, where a batch is large enough and a pack small enough.
pub fn plan(shape: &ConvShape) -> Option<Plan> {
    if shape.n < LANES || shape.y_pixels() == 0 {
        return None;
    }
    let groups = UNIT_VECTORS.div_ceil(shape.y_pixels()).min(shape.n / (LANES * UNITS)).max(1);
    let samples = groups * LANES;
    let x_pitch: [usize; 2] = std::array::from_fn(|axis| shape.x_size[axis] + 2 * shape.padding[axis]);
    let x_plane = plane_stride(x_pitch[0] * x_pitch[1] * samples);
    let y_plane = plane_stride(shape.y_pixels() * samples);
    if shape.x_channels * x_plane > PACK_FLOATS + (PACK_FLOATS >> 4) || shape.y_channels * y_plane > PACK_FLOATS {
        return None;
    }
    let place = |row: usize, column: usize, width: usize| ((row * width + column) * samples) as u32;
    let [kh, kw] = shape.kernel;
    let forward_taps: Vec<u32> = (0..kh * kw).map(|k| place(k / kw, k % kw, x_pitch[1])).collect();
    let columns =
        (0..shape.x_channels).flat_map(|c| forward_taps.iter().map(move |&tap| (c * x_plane) as u32 + tap)).collect();
    let mut offsets = Vec::with_capacity(shape.y_pixels() * groups);
    let [sy, sx] = shape.stride;
    for row in 0..shape.y_size[0] {
        for column in 0..shape.y_size[1] {
            let (from, to) = (place(sy * row, sx * column, x_pitch[1]), place(row, column, shape.y_size[1]));
            offsets.extend((0..samples as u32).step_by(LANES).map(|lane| (from + lane, to + lane)));
        }
    }
    let forward = Phase {
        kernel_index: (0..kh * kw).collect(),
        vectors: vec![Vectors { taps: forward_taps.into_iter().zip(0..).collect(), offsets: offsets.clone() }],
        raster: Raster::default(),
        run: shape.y_pixels() * samples,
        start: 0,
    };
    let backward = (0..sy * sx).map(|index| backward(shape, [index / sx, index % sx], samples)).collect();
    Some(Plan {
        shape: shape.clone(),
        lanes: Lanes::Samples,
        samples,
        units: shape.n.div_ceil(samples),
        x_plane,
        y_plane,
        x_pitch,
        y_pitch: shape.y_size,
        y_lead: [0, 0],
        forward,
        backward,
        columns,
        product_vectors: offsets.into_iter().map(|(x, y)| (y, x)).collect(),
    })
}

/// X positions of one axis that the same taps reach.
struct AxisClass {
    /// Kernel element, and the Y position that it reads, relative to the first one.
    taps: Vec<(usize, usize)>,
    /// X position, and the first Y position that is read for it.
    positions: Vec<(usize, usize)>,
}

fn axis_classes(shape: &ConvShape, axis: usize, phase: usize) -> Vec<AxisClass> {
    let (stride, y_size) = (shape.stride[axis], shape.y_size[axis] as isize);
    let reaches = axis_taps(shape.kernel[axis], stride, shape.padding[axis], phase);
    let mut classes: Vec<AxisClass> = Vec::new();
    for position in (phase..shape.x_size[axis]).step_by(stride) {
        let i = (position / stride) as isize;
        let read = reaches.iter().map(|&(k, reach)| (k, i + reach)).filter(|(_, y)| (0..y_size).contains(y));
        let read: Vec<(usize, usize)> = read.map(|(k, y)| (k, y as usize)).collect();
        let first = read.iter().map(|&(_, y)| y).min().unwrap_or(0);
        let taps: Vec<(usize, usize)> = read.into_iter().map(|(k, y)| (k, y - first)).collect();
        match classes.iter_mut().find(|class| class.taps == taps) {
            Some(class) => class.positions.push((position, first)),
            None => classes.push(AxisClass { taps, positions: vec![(position, first)] }),
        }
    }
    classes
}

/// The X pixels of one phase, grouped by the taps that reach them.
fn backward(shape: &ConvShape, phase: [usize; 2], samples: usize) -> Phase {
    let (kw, [width, y_width]) = (shape.kernel[1], [shape.x_size[1], shape.y_size[1]]);
    let taps_of = |axis: usize| axis_taps(shape.kernel[axis], shape.stride[axis], shape.padding[axis], phase[axis]);
    let columns = taps_of(1);
    let kernel_index: Vec<usize> =
        taps_of(0).iter().flat_map(|&(ky, _)| columns.iter().map(move |&(kx, _)| ky * kw + kx)).collect();
    let place = |row: usize, column: usize, width: usize| ((row * width + column) * samples) as u32;
    let of_columns = axis_classes(shape, 1, phase[1]);
    let mut vectors = Vec::new();
    for rows in axis_classes(shape, 0, phase[0]) {
        for columns in &of_columns {
            let mut taps = Vec::with_capacity(rows.taps.len() * columns.taps.len());
            for &(ky, y) in &rows.taps {
                for &(kx, x) in &columns.taps {
                    let index = kernel_index.iter().position(|&index| index == ky * kw + kx).unwrap_or(0);
                    taps.push((place(y, x, y_width), index as u32));
                }
            }
            let mut offsets = Vec::with_capacity(rows.positions.len() * columns.positions.len() * samples / LANES);
            for &(row, y) in &rows.positions {
                for &(column, x) in &columns.positions {
                    let (from, to) = (place(y, x, y_width), place(row, column, width));
                    offsets.extend((0..samples as u32).step_by(LANES).map(|lane| (from + lane, to + lane)));
                }
            }
            vectors.push(Vectors { taps, offsets });
        }
    }
    Phase { kernel_index, vectors, raster: Raster::default(), run: shape.x_pixels() * samples, start: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Result;

    #[test]
    fn pixels_sum_exactly_the_taps_that_reach_them() -> Result<()> {
        // Worked out by hand: 4 outputs of kernel 3 over 6 pixels; pixels 0 to 5 are reached by 1, 2, 3, 3, 2, 1 taps.
        let shape = ConvShape::new(&[16, 2, 6, 6], &[3, 2, 3, 3], [1, 1], [0, 0])?;
        let classes = axis_classes(&shape, 0, 0);
        let of = |class: &AxisClass| {
            (class.taps.iter().map(|tap| tap.0).collect(), class.positions.iter().map(|at| at.0).collect())
        };
        let found: Vec<(Vec<usize>, Vec<usize>)> = classes.iter().map(of).collect();
        let expected = [(vec![0], vec![0]), (vec![0, 1], vec![1]), (vec![0, 1, 2], vec![2, 3])];
        assert_eq!(found[..3], expected);
        assert_eq!(found[3..], [(vec![1, 2], vec![4]), (vec![2], vec![5])]);
        // Every output is read by every kernel element once: 4 x 4 outputs, 9 elements.
        let plan = plan(&shape).expect("sixteen samples");
        let products: usize = plan.backward[0].vectors.iter().map(|part| part.taps.len() * part.offsets.len()).sum();
        assert_eq!(products, 16 * 9);
        Ok(())
    }

    #[test]
    fn small_images_in_batches_have_samples_in_their_lanes() -> Result<()> {
        let lanes = |x: &[usize], w: &[usize], stride: usize, padding: usize| -> Result<Lanes> {
            Ok(Plan::new(ConvShape::new(x, w, [stride; 2], [padding; 2])?)?.lanes)
        };
        assert_eq!(lanes(&[256, 64, 6, 6], &[64, 64, 3, 3], 1, 0)?, Lanes::Samples);
        assert_eq!(lanes(&[256, 32, 15, 15], &[64, 32, 4, 4], 2, 0)?, Lanes::Samples);
        // Too few images; rows of whole vectors; images larger than a cache.
        assert_eq!(lanes(&[8, 64, 6, 6], &[64, 64, 3, 3], 1, 0)?, Lanes::Pixels);
        assert_eq!(lanes(&[64, 3, 32, 32], &[8, 3, 3, 3], 1, 1)?, Lanes::Pixels);
        assert_eq!(lanes(&[64, 64, 50, 50], &[64, 64, 3, 3], 1, 1)?, Lanes::Pixels);
        Ok(())
    }
}
