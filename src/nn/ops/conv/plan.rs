//! Where everything lies while a convolution runs: packed planes, vector offsets, taps.
//!
//! A convolution maps a large side X `[n, x_channels, x_h, x_w]` to a small side Y `[n, y_channels, y_h, y_w]`. Its data
//! gradient goes the other way, and so does a transposed convolution; all of them, and the weight gradient, run on the
//! same two packed layouts:
//! - **X-pack** `[x_channels][stride phase][sample of the unit][pitch_h][pitch_w]`: zero-padded, columns and rows of one
//!   phase together, so that a tap is one offset and neighbouring outputs read neighbouring floats at any stride;
//! - **Y-pack** `[y_channels][sample of the unit][pitch_h][pitch_w]`: zero-padded by what the data gradient reaches.
//!
//! Both share their pitch, so a flat run over one is a flat run over the other. A *unit* is what one task packs: one
//! sample, or several when the images are small. Outputs are computed in vectors of [`LANES`] pixels: along the rows
//! where the width is a multiple of that, else flat over the padded plane, dropping what falls between the rows.

use candle_core::{Result, bail};

use super::super::simd::LANES;

/// Sizes of a 2D convolution, X the input side and Y the output side of the plain (not transposed) direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Samples in the batch.
    pub n: usize,
    /// Channels of the large side.
    pub x_channels: usize,
    /// Rows and columns of the large side, without padding.
    pub x_size: [usize; 2],
    /// Channels of the small side.
    pub y_channels: usize,
    /// Rows and columns of the small side.
    pub y_size: [usize; 2],
    /// Rows and columns of the kernel, at least 1.
    pub kernel: [usize; 2],
    /// X pixels from one Y pixel to the next: down, across; at least 1.
    pub stride: [usize; 2],
    /// Zeros on each side of X: rows, columns.
    pub padding: [usize; 2],
}

impl ConvShape {
    /// From the shapes of input `[n, c, h, w]` and weight `[o, c, kh, kw]`. Fails when they do not fit together.
    pub fn new(x: &[usize], weight: &[usize], stride: [usize; 2], padding: [usize; 2]) -> Result<Self> {
        let (&[n, c, h, w], &[o, wc, kh, kw]) = (x, weight) else {
            bail!("conv2d wants input [n, c, h, w] and weight [o, c, kh, kw], got {x:?} and {weight:?}")
        };
        if c != wc {
            bail!("conv2d: the input has {c} channels, the weight {weight:?} wants {wc}")
        }
        if kh == 0 || kw == 0 || stride[0] == 0 || stride[1] == 0 {
            bail!("conv2d: kernel {kh}x{kw} and stride {stride:?} must be at least 1")
        }
        if h + 2 * padding[0] < kh || w + 2 * padding[1] < kw {
            bail!("conv2d: a {kh}x{kw} kernel does not fit a {h}x{w} image padded by {padding:?}")
        }
        let y_size = [(h + 2 * padding[0] - kh) / stride[0] + 1, (w + 2 * padding[1] - kw) / stride[1] + 1];
        Ok(Self { n, x_channels: c, x_size: [h, w], y_channels: o, y_size, kernel: [kh, kw], stride, padding })
    }

    /// Kernel elements in one plane.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of the weight `[y_channels, x_channels, kernel rows, kernel columns]`.
    pub fn weight_len(&self) -> usize {
        self.y_channels * self.x_channels * self.taps()
    }

    /// Pixels of one plane of X, without padding.
    pub fn x_pixels(&self) -> usize {
        self.x_size[0] * self.x_size[1]
    }

    /// Pixels of one plane of Y.
    pub fn y_pixels(&self) -> usize {
        self.y_size[0] * self.y_size[1]
    }
}

/// How a run of computed vectors maps back to image rows.
#[derive(Clone, Debug)]
pub struct Raster {
    pub size: [usize; 2],
    /// Floats from one row, and from one sample, to the next in the computed run.
    pub row: usize,
    pub sample: usize,
    /// Offset of each vector in the packed source.
    pub vectors: Vec<u32>,
}

impl Raster {
    fn new(size: [usize; 2], samples: usize, pitch: [usize; 2]) -> Self {
        let [h, w] = size;
        let plane = pitch[0] * pitch[1];
        if w % LANES == 0 {
            let mut vectors = Vec::with_capacity(samples * h * w / LANES);
            for sample in 0..samples {
                for y in 0..h {
                    vectors.extend((0..w).step_by(LANES).map(|x| (sample * plane + y * pitch[1] + x) as u32));
                }
            }
            Self { size, row: w, sample: h * w, vectors }
        } else {
            let mut raster = Self { size, row: pitch[1], sample: plane, vectors: Vec::new() };
            raster.vectors = (0..raster.vector_count(samples)).map(|i| (i * LANES) as u32).collect();
            raster
        }
    }

    /// Vectors that cover the first `samples` samples of a unit.
    pub fn vector_count(&self, samples: usize) -> usize {
        let [h, w] = self.size;
        if samples == 0 || h == 0 || w == 0 {
            return 0;
        }
        ((samples - 1) * self.sample + (h - 1) * self.row + w).div_ceil(LANES)
    }

    /// Where row `y` of `sample` starts in a computed run.
    pub fn row_start(&self, sample: usize, y: usize) -> usize {
        sample * self.sample + y * self.row
    }
}

/// The X pixels `(stride * i + phase)`, computed together in the Y-to-X direction.
#[derive(Clone, Debug)]
pub struct Phase {
    pub raster: Raster,
    /// Offsets into the Y-pack.
    pub taps: Vec<u32>,
    /// Which kernel element each tap is (`ky * kw + kx`).
    pub kernel_index: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub shape: ConvShape,
    pub samples: usize,
    pub units: usize,
    pub pitch: [usize; 2],
    pub x_plane: usize,
    pub y_plane: usize,
    /// Zero rows and columns before the image in the Y-pack.
    pub y_lead: [usize; 2],
    /// X to Y.
    pub forward: Raster,
    pub forward_taps: Vec<u32>,
    /// Y to X, one entry a phase.
    pub backward: Vec<Phase>,
    /// Weight gradient: X-pack offset of every `(x channel, tap)`, in the weight's own order.
    pub columns: Vec<u32>,
    /// Weight gradient: offsets in Y-pack and X-pack of each vector.
    pub product_vectors: Vec<(u32, u32)>,
}

/// Units are made of so many samples that they have about this many pixels, for whole register blocks.
const UNIT_PIXELS: usize = 384;
/// But there should be this many units, for balance between cores.
const UNITS: usize = 8;

/// The taps of one axis that contribute to pixels `stride * i + phase`: `(kernel element, y - i)`.
fn axis_taps(kernel: usize, stride: usize, padding: usize, phase: usize) -> Vec<(usize, isize)> {
    (0..kernel)
        .filter_map(|k| {
            let reach = (phase + padding) as isize - k as isize;
            (reach.rem_euclid(stride as isize) == 0).then(|| (k, reach.div_euclid(stride as isize)))
        })
        .collect()
}

/// Padding of the Y-pack along one axis: `(before, after)`.
fn axis_margin(shape: &ConvShape, axis: usize) -> (usize, usize) {
    let (stride, size) = (shape.stride[axis], shape.x_size[axis]);
    let (mut before, mut after) = (0, 0);
    for phase in 0..stride.min(size) {
        let count = (size - phase).div_ceil(stride) as isize;
        for (_, reach) in axis_taps(shape.kernel[axis], stride, shape.padding[axis], phase) {
            before = before.max(-reach);
            after = after.max(count - 1 + reach - (shape.y_size[axis] as isize - 1));
        }
    }
    (before as usize, after as usize)
}

/// Rounded up to whole vectors plus one of zeros, and kept off multiples of 1 KiB, which would share cache sets.
fn plane_stride(floats: usize) -> usize {
    let stride = floats.next_multiple_of(LANES) + LANES;
    if stride % 256 == 0 { stride + LANES } else { stride }
}

impl Plan {
    pub fn new(shape: ConvShape) -> Result<Self> {
        let [kh, kw] = shape.kernel;
        let [sy, sx] = shape.stride;
        let margins = [axis_margin(&shape, 0), axis_margin(&shape, 1)];
        let y_lead = [margins[0].0, margins[1].0];
        let pitch: [usize; 2] = std::array::from_fn(|axis| {
            let for_x = shape.y_size[axis] + (shape.kernel[axis] - 1) / shape.stride[axis];
            let for_y = shape.y_size[axis] + margins[axis].0 + margins[axis].1;
            for_x.max(for_y)
        });
        let plane = pitch[0] * pitch[1];
        let wanted = UNIT_PIXELS.div_ceil(shape.y_pixels().max(1));
        let samples = wanted.min(shape.n / UNITS).max(1);
        let phase_plane = samples * plane;
        let x_plane = plane_stride(sy * sx * phase_plane);
        let y_plane = plane_stride(phase_plane);
        if shape.x_channels.max(1) * x_plane >= u32::MAX as usize || shape.y_channels * y_plane >= u32::MAX as usize {
            bail!("conv2d: an image of {shape:?} is too large for one packed unit")
        }
        let forward_taps: Vec<u32> = (0..kh * kw)
            .map(|k| {
                let (ky, kx) = (k / kw, k % kw);
                ((ky % sy * sx + kx % sx) * phase_plane + ky / sy * pitch[1] + kx / sx) as u32
            })
            .collect();
        let columns = (0..shape.x_channels)
            .flat_map(|c| forward_taps.iter().map(move |&tap| (c * x_plane) as u32 + tap))
            .collect();
        let forward = Raster::new(shape.y_size, samples, pitch);
        let lead = (y_lead[0] * pitch[1] + y_lead[1]) as u32;
        let product_vectors = forward.vectors.iter().map(|&v| (v + lead, v)).collect();
        let backward = (0..sy * sx)
            .map(|index| {
                let phase = [index / sx, index % sx];
                let size = std::array::from_fn(|axis| {
                    shape.x_size[axis].saturating_sub(phase[axis]).div_ceil(shape.stride[axis])
                });
                let (mut taps, mut kernel_index) = (Vec::new(), Vec::new());
                for (ky, reach_y) in axis_taps(kh, sy, shape.padding[0], phase[0]) {
                    for (kx, reach_x) in axis_taps(kw, sx, shape.padding[1], phase[1]) {
                        let y = (y_lead[0] as isize + reach_y) as usize;
                        let x = (y_lead[1] as isize + reach_x) as usize;
                        taps.push((y * pitch[1] + x) as u32);
                        kernel_index.push(ky * kw + kx);
                    }
                }
                Phase { raster: Raster::new(size, samples, pitch), taps, kernel_index }
            })
            .collect();
        let units = shape.n.div_ceil(samples);
        Ok(Self {
            shape,
            samples,
            units,
            pitch,
            x_plane,
            y_plane,
            y_lead,
            forward,
            forward_taps,
            backward,
            columns,
            product_vectors,
        })
    }

    /// Samples of unit `unit`: the first one and how many.
    pub fn unit(&self, unit: usize) -> (usize, usize) {
        let first = unit * self.samples;
        (first, self.samples.min(self.shape.n - first))
    }

    /// Floats of an X-pack, with the zeros that the last vectors run into.
    pub fn x_pack_len(&self) -> usize {
        self.shape.x_channels * self.x_plane + self.slack()
    }

    pub fn y_pack_len(&self) -> usize {
        self.shape.y_channels * self.y_plane + self.slack()
    }

    pub fn slack(&self) -> usize {
        (self.shape.kernel[0] + self.y_lead[0] + 1) * self.pitch[1] + self.shape.kernel[1] + self.y_lead[1] + 2 * LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_size_follows_the_formula() -> Result<()> {
        let shape = ConvShape::new(&[2, 3, 7, 9], &[4, 3, 3, 5], [2, 1], [1, 0])?;
        assert_eq!(shape.y_size, [4, 5]);
        assert!(ConvShape::new(&[1, 3, 4, 4], &[4, 2, 3, 3], [1, 1], [1, 1]).is_err());
        assert!(ConvShape::new(&[1, 3, 4, 4], &[4, 3, 7, 7], [1, 1], [1, 1]).is_err());
        Ok(())
    }

    #[test]
    fn stride_two_phases_use_every_kernel_element_once() -> Result<()> {
        let plan = Plan::new(ConvShape::new(&[1, 1, 8, 8], &[1, 1, 3, 3], [2, 2], [1, 1])?)?;
        let mut used: Vec<usize> = plan.backward.iter().flat_map(|phase| phase.kernel_index.clone()).collect();
        used.sort_unstable();
        assert_eq!(used, (0..9).collect::<Vec<_>>());
        // Worked out by hand: x = 2 i needs only kernel row 1; x = 2 i + 1 needs rows 0 (y = i + 1) and 2 (y = i).
        assert_eq!(plan.backward.iter().map(|p| p.taps.len()).collect::<Vec<_>>(), [1, 2, 2, 4]);
        assert_eq!(plan.y_lead, [0, 0]);
        Ok(())
    }
}
