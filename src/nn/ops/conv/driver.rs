//! Runs a planned convolution over a whole batch: which task packs what, and in which order partial sums are added.
//!
//! Where planes come from and what becomes of results is left to the caller ([`Planes`], [`Sink`]): that is how
//! activations, normalization, resampling and concatenation are fused without the loops here knowing.

use super::super::memory::Buffer;
use super::super::parallel::{self, Shared, reduce_in_order};
use super::super::real::Real;
use super::super::simd::LANES;
use super::pack::{self, PackedWeights, balanced_blocks};
use super::pack_samples;
use super::plan::{Lanes, Phase, Plan};
use super::tile::{self, Correlation, MAX_ROWS, Products};

/// A batch of image planes to read.
pub trait Planes<T: Real>: Sync {
    /// Floats of scratch that `plane` wants.
    fn scratch(&self) -> usize;
    /// The dense plane of one sample and channel, borrowed or built in `scratch`.
    fn plane<'s>(&'s self, sample: usize, channel: usize, scratch: &'s mut [T]) -> &'s [T];
}

/// A batch of image planes to write. Every plane is emitted exactly once, from any task.
pub trait Sink<T: Real>: Sync {
    fn scratch(&self) -> usize;
    /// Calls `fill` once with a dense plane for it to overwrite.
    fn emit(&self, sample: usize, channel: usize, scratch: &mut [T], fill: &mut dyn FnMut(&mut [T]));
}

/// Which way to convolve, with the weights packed for it.
pub enum Pass<T: Real> {
    /// X to Y: a plain convolution, or a transposed one's data gradient.
    Forward(PackedWeights<T>),
    /// Y to X, one pack a phase: a plain convolution's data gradient, or a transposed one.
    Backward(Vec<PackedWeights<T>>),
}

impl<T: Real> Pass<T> {
    pub fn forward(plan: &Plan, weight: &[T]) -> Self {
        Self::Forward(PackedWeights::forward(plan, weight))
    }

    pub fn backward(plan: &Plan, weight: &[T]) -> Self {
        Self::Backward((0..plan.backward.len()).map(|phase| PackedWeights::backward(plan, weight, phase)).collect())
    }

    fn blocks(&self) -> &[(usize, usize)] {
        match self {
            Self::Forward(weights) => &weights.blocks,
            Self::Backward(phases) => &phases[0].blocks,
        }
    }

    fn phases<'p>(&self, plan: &'p Plan) -> &'p [Phase] {
        match self {
            Self::Forward(_) => std::slice::from_ref(&plan.forward),
            Self::Backward(_) => &plan.backward,
        }
    }

    fn weights(&self) -> &[PackedWeights<T>] {
        match self {
            Self::Forward(weights) => std::slice::from_ref(weights),
            Self::Backward(phases) => phases,
        }
    }

    /// Computes one block of output channels of a unit and hands the planes to the sink.
    fn produce(&self, plan: &Plan, source: &[T], unit: usize, block: usize, sink: &dyn Sink<T>) {
        let (first_sample, present) = plan.unit(unit);
        let (first_channel, outs) = self.blocks()[block];
        let phases = self.phases(plan);
        let run_len = phases.iter().map(|phase| phase.start + phase.run).max().unwrap_or(0);
        let mut run = Buffer::<T>::stale(run_len * outs);
        let (plane, channels) = match self {
            Self::Forward(_) => (plan.x_plane, plan.shape.x_channels),
            Self::Backward(_) => (plan.y_plane, plan.shape.y_channels),
        };
        for (phase, weights) in phases.iter().zip(self.weights()) {
            let run = &mut run[phase.start * outs..][..phase.run * outs];
            for vectors in &phase.vectors {
                let offsets = &vectors.offsets[..plan.vectors_of(phase, present).min(vectors.offsets.len())];
                if plan.lanes == Lanes::Pixels && vectors.taps.is_empty() {
                    run.fill(T::ZERO);
                    continue;
                }
                let job = Correlation {
                    source,
                    plane,
                    channels,
                    taps: &vectors.taps,
                    vectors: offsets,
                    weights: weights.block(block),
                    kernel: phase.kernel_index.len(),
                    outs,
                    run: phase.run,
                };
                tile::correlate(&job, run);
            }
        }
        let mut scratch = Buffer::<T>::stale(sink.scratch());
        if plan.lanes == Lanes::Samples {
            let stride = phases[0].run;
            let pixels = stride / plan.samples;
            let mut planes = Buffer::<T>::stale(LANES * pixels);
            for out in 0..outs {
                for lane in (0..present).step_by(LANES) {
                    pack_samples::separate(
                        &run[out * stride + lane..(out + 1) * stride],
                        plan.samples,
                        pixels,
                        &mut planes,
                    );
                    for (sample, from) in planes.chunks_exact(pixels).enumerate().take(present - lane) {
                        let sample = first_sample + lane + sample;
                        sink.emit(sample, first_channel + out, &mut scratch, &mut |plane| plane.copy_from_slice(from));
                    }
                }
            }
            return;
        }
        for out in 0..outs {
            let run = |phase: usize| {
                let Phase { run: stride, start, .. } = phases[phase];
                &run[start * outs + out * stride..][..stride]
            };
            for sample in 0..present {
                sink.emit(first_sample + sample, first_channel + out, &mut scratch, &mut |plane| match self {
                    Self::Forward(_) => pack::unpack_plane(&plan.forward.raster, run(0), sample, plane),
                    Self::Backward(_) => pack::unpack_phases(plan, run, sample, plane),
                });
            }
        }
    }
}

/// Runs `task(0..count)` in parallel or one after the other; the results are the same.
fn for_each_if(parallel: bool, count: usize, task: impl Fn(usize) + Sync + Send) {
    if parallel { parallel::for_each(count, task) } else { (0..count).for_each(task) }
}

/// Which of the two packed layouts.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    X,
    Y,
}

fn pack_unit<T: Real>(plan: &Plan, side: Side, unit: usize, planes: &dyn Planes<T>, parallel: bool) -> Buffer<T> {
    let (first, present) = plan.unit(unit);
    let (len, stride, channels) = match side {
        Side::X => (plan.x_pack_len(), plan.x_plane, plan.shape.x_channels),
        Side::Y => (plan.y_pack_len(), plan.y_plane, plan.shape.y_channels),
    };
    let mut pack = Buffer::<T>::stale(len);
    pack[channels * stride..].fill(T::ZERO);
    let shared = Shared::new(&mut pack);
    let at_once = if plan.lanes == Lanes::Samples { LANES } else { 1 };
    let channel = |channel: usize, scratch: &mut [T]| {
        // SAFETY: one task a channel.
        let to = unsafe { shared.range(channel * stride, stride) };
        if plan.lanes == Lanes::Samples {
            pack_samples_of(plan, side, (first, present), (planes, channel), to, scratch);
            return;
        }
        for sample in 0..present {
            let plane = planes.plane(first + sample, channel, scratch);
            match side {
                Side::X => pack::pack_x_plane(plan, to, sample, plane),
                Side::Y => pack::pack_y_plane(plan, to, sample, plane),
            }
        }
        match side {
            Side::X => pack::pad_x_plane(plan, to, present),
            Side::Y => pack::pad_y_plane(plan, to, present),
        }
    };
    if parallel {
        parallel::for_ranges(channels, 8, |range| {
            let mut scratch = Buffer::<T>::stale(at_once * planes.scratch());
            range.for_each(|c| channel(c, &mut scratch));
        });
    } else {
        let mut scratch = Buffer::<T>::stale(at_once * planes.scratch());
        (0..channels).for_each(|c| channel(c, &mut scratch));
    }
    pack
}

/// One channel of a pack whose lanes are samples; absent samples are zeros.
fn pack_samples_of<T: Real>(
    plan: &Plan,
    side: Side,
    (first, present): (usize, usize),
    (planes, channel): (&dyn Planes<T>, usize),
    to: &mut [T],
    scratch: &mut [T],
) {
    let (size, padding) = match side {
        Side::X => (plan.shape.x_size, plan.shape.padding),
        Side::Y => (plan.shape.y_size, [0, 0]),
    };
    if padding != [0, 0] {
        to.fill(T::ZERO);
    }
    let zeros = Buffer::<T>::zeroed(if present < plan.samples { size[0] * size[1] } else { 0 });
    for lane in (0..plan.samples).step_by(LANES) {
        let mut rest = &mut *scratch;
        let sixteen = std::array::from_fn(|i| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(planes.scratch());
            rest = others;
            if lane + i < present { planes.plane(first + lane + i, channel, own) } else { &zeros[..] }
        });
        pack_samples::pack_planes(&sixteen, size, padding, (to, plan.samples, lane));
    }
}

/// Convolves the batch in one direction.
pub fn run<T: Real>(plan: &Plan, pass: &Pass<T>, input: &dyn Planes<T>, sink: &dyn Sink<T>) {
    let side = match pass {
        Pass::Forward(_) => Side::X,
        Pass::Backward(_) => Side::Y,
    };
    let blocks = pass.blocks().len();
    // Few units (a batch of one): share the work inside each instead.
    let split = plan.units < 2 * rayon::current_num_threads();
    for_each_if(!split, plan.units, |unit| {
        let pack = pack_unit(plan, side, unit, input, split);
        for_each_if(split, blocks, |block| pass.produce(plan, &pack, unit, block, sink));
    });
}

/// Vectors of pixels whose products are summed in registers before they go to memory: what the first-level cache holds
/// of both operands.
const PRODUCT_CHUNK: usize = 64;

/// Adds one unit's share of the weight gradient to `gradient` `[y_channels][x_channels * taps]`.
fn add_products<T: Real>(plan: &Plan, unit: usize, x: &[T], y: &[T], gradient: &mut [T], parallel: bool) {
    let (_, present) = plan.unit(unit);
    let count = plan.vectors_of(&plan.forward, present).min(plan.product_vectors.len());
    let vectors = &plan.product_vectors[..count];
    let width = plan.columns.len();
    let channels = plan.shape.y_channels;
    let largest = if channels % 4 == 0 { 4 } else { MAX_ROWS };
    let blocks = balanced_blocks(channels, largest);
    let shared = Shared::new(gradient);
    for_each_if(parallel, blocks.len(), |block| {
        let (first, rows) = blocks[block];
        // SAFETY: blocks are disjoint ranges of rows.
        let out = unsafe { shared.range(first * width, rows * width) };
        for vectors in vectors.chunks(PRODUCT_CHUNK) {
            let job = Products {
                a: &y[first * plan.y_plane..],
                a_plane: plan.y_plane,
                rows,
                b: x,
                columns: &plan.columns,
                vectors,
            };
            tile::correlate_products(&job, out, width);
        }
    });
}

/// Everything a backward pass may want at once; each side is packed once a unit and used for both gradients.
pub struct Backward<'a, T: Real> {
    pub plan: &'a Plan,
    /// The Y side: incoming gradient of a plain convolution, input of a transposed one.
    pub y: Option<&'a dyn Planes<T>>,
    /// The X side: input of a plain convolution, incoming gradient of a transposed one.
    pub x: Option<&'a dyn Planes<T>>,
    /// Data gradient.
    pub data: Option<(&'a Pass<T>, &'a dyn Sink<T>)>,
}

/// Partial weight gradients: enough for balance, few enough that adding them up stays cheap. Depends on shapes alone.
fn groups(plan: &Plan) -> usize {
    let floats = plan.shape.weight_len().max(1);
    let by_memory = ((16 << 20) / floats).max(1);
    let wanted = if floats <= 1 << 15 { 8 } else { 4 };
    wanted.min(by_memory).min(plan.units).max(1)
}

impl<T: Real> Backward<'_, T> {
    /// Runs the data pass if there is one, and returns the weight gradient `[y_channels][x_channels * taps]` if
    /// `weight` is asked for (both sides must be there then).
    pub fn run(&self, weight: bool) -> Option<Buffer<T>> {
        let plan = self.plan;
        let len = plan.shape.weight_len();
        let groups = groups(plan);
        let split = groups < rayon::current_num_threads();
        let mut partial = Buffer::<T>::stale(if weight { groups * len } else { 0 });
        let shared = Shared::new(&mut partial);
        parallel::for_each(groups, |group| {
            let mut gradient = weight.then(|| {
                // SAFETY: one range a group.
                let gradient = unsafe { shared.range(group * len, len) };
                gradient.fill(T::ZERO);
                gradient
            });
            for unit in group * plan.units / groups..(group + 1) * plan.units / groups {
                let y = self.y.map(|planes| pack_unit(plan, Side::Y, unit, planes, split));
                let x = self.x.map(|planes| pack_unit(plan, Side::X, unit, planes, split));
                if let Some((pass, sink)) = self.data {
                    let source = match pass {
                        Pass::Forward(_) => x.as_ref(),
                        Pass::Backward(_) => y.as_ref(),
                    };
                    if let Some(source) = source {
                        for_each_if(split, pass.blocks().len(), |block| pass.produce(plan, source, unit, block, sink));
                    }
                }
                if let (Some(gradient), Some(x), Some(y)) = (&mut gradient, &x, &y) {
                    add_products(plan, unit, x, y, gradient, split);
                }
            }
        });
        weight.then(|| {
            if groups == 1 {
                return partial;
            }
            let mut total = Buffer::stale(len);
            reduce_in_order(&partial, groups, &mut total, false);
            total
        })
    }
}
