//! Losses as functions of tensors, each one scalar: the mean over everything unless said otherwise. They accept
//! whatever a network gives (`Activations::to_tensor`), and their targets may be tensors or one constant.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::activation::sigmoid;
use super::activations::{with_float, with_slice};
use super::dispatch::is_native;
use super::kind::OpKind;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd::simd_fn;

/// Elements of one task, and of one partial sum.
const GRAIN: usize = 1 << 14;

/// `sum over i of f(i)` for `i` in fixed ranges, in parallel, added in order in f64.
fn sum_ranges(len: usize, f: impl Fn(Range<usize>) -> f64 + Sync + Send) -> f64 {
    let mut partial = vec![0.0; len.div_ceil(GRAIN)];
    let shared = Shared::new(&mut partial);
    parallel::for_ranges(len, GRAIN, |range| {
        // SAFETY: one element a range.
        let total = unsafe { shared.range(range.start / GRAIN, 1) };
        total[0] = f(range);
    });
    partial.iter().sum()
}

/// A loss of prediction and target, element by element, averaged.
#[derive(Clone, Copy, Debug)]
enum Pointwise {
    Squared,
    Absolute,
    /// Sigmoid cross-entropy; the prediction is a logit.
    SigmoidCrossEntropy,
}

simd_fn! {
    fn squared<T>(x: &[T], t: &[T]) -> T {
        let mut totals = [T::ZERO; 16];
        for (i, (&x, &t)) in x.iter().zip(t).enumerate() {
            totals[i % 16] += (x - t) * (x - t);
        }
        super::simd::fold(totals)
    }
}

impl Pointwise {
    fn kind(self) -> OpKind {
        match self {
            Self::Squared => OpKind::SquaredError,
            Self::Absolute => OpKind::AbsoluteError,
            Self::SigmoidCrossEntropy => OpKind::SigmoidCrossEntropy,
        }
    }

    fn total<T: Real>(self, x: &[T], t: &[T]) -> f64 {
        match self {
            Self::Squared => squared(x, t).as_f64(),
            Self::Absolute => x.iter().zip(t).map(|(&x, &t)| (x - t).abs()).sum::<T>().as_f64(),
            // max(x, 0) - x t + ln(1 + exp(-|x|)): no overflow for any logit.
            Self::SigmoidCrossEntropy => x
                .iter()
                .zip(t)
                .map(|(&x, &t)| (if x > T::ZERO { x } else { T::ZERO }) - x * t + (-x.abs()).exp().ln_1p())
                .sum::<T>()
                .as_f64(),
        }
    }

    /// Derivatives by prediction and by target.
    fn derivatives<T: Real>(self, x: T, t: T) -> (T, T) {
        match self {
            Self::Squared => {
                let d = (x - t) + (x - t);
                (d, -d)
            }
            Self::Absolute => {
                let d = if x > t {
                    T::ONE
                } else if x < t {
                    -T::ONE
                } else {
                    T::ZERO
                };
                (d, -d)
            }
            Self::SigmoidCrossEntropy => (sigmoid(x) - t, -x),
        }
    }

    fn stock(self, x: &Tensor, t: &Tensor) -> Result<Tensor> {
        match self {
            Self::Squared => (x - t)?.sqr()?.mean_all(),
            Self::Absolute => (x - t)?.abs()?.mean_all(),
            Self::SigmoidCrossEntropy => ((x.relu()? - (x * t)?)? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?.mean_all(),
        }
    }

    fn apply(self, x: &Tensor, target: Target<'_>) -> Result<Tensor> {
        let target = match target {
            Target::Tensor(target) => target.clone(),
            Target::Constant(value) => {
                Tensor::full(value, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?
            }
        };
        if x.dims() != target.dims() {
            bail!("{}: prediction {:?} and target {:?} differ in shape", self.kind().name(), x.dims(), target.dims())
        }
        if x.elem_count() == 0 {
            bail!("{}: the prediction is empty", self.kind().name())
        }
        if !is_native(x) {
            return self.stock(x, &target);
        }
        x.contiguous()?.apply_op2(&target.contiguous()?, self)
    }
}

/// What a loss compares with.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// One number for each element, in the shape of the prediction.
    Tensor(&'a Tensor),
    /// The same number everywhere: "real" or "fake" of a discriminator.
    Constant(f64),
}

impl<'a> From<&'a Tensor> for Target<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<f64> for Target<'_> {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl CustomOp2 for Pointwise {
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        fn mean<T: Real>(op: Pointwise, x: &[T], l1: &Layout, t: &[T], l2: &Layout) -> CpuStorage {
            let len = l1.shape().elem_count();
            let (x, t) = (&x[l1.start_offset()..][..len], &t[l2.start_offset()..][..len]);
            let total = sum_ranges(len, |range| op.total(&x[range.clone()], &t[range]));
            T::storage(vec![T::of(total / len as f64)])
        }
        let storage = match (s1, s2) {
            (CpuStorage::F32(x), CpuStorage::F32(t)) => mean(*self, x, l1, t, l2),
            (CpuStorage::F64(x), CpuStorage::F64(t)) => mean(*self, x, l1, t, l2),
            _ => bail!("{}: prediction and target differ in type", self.name()),
        };
        Ok((storage, Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        with_float!(x.dtype(), T => {
            let scale = gradient.to_scalar::<T>()? / T::of(x.elem_count() as f64);
            let (mut dx, mut dt) = (vec![T::ZERO; x.elem_count()], Vec::new());
            if t.track_op() {
                dt = vec![T::ZERO; x.elem_count()];
            }
            with_slice::<T, _>(x, |xs| with_slice::<T, _>(t, |ts| {
                let (dx, dt_len) = (Shared::new(&mut dx), dt.len());
                let dt = Shared::new(&mut dt);
                parallel::for_ranges(xs.len(), GRAIN, |range| {
                    // SAFETY: the ranges are disjoint.
                    let dx = unsafe { dx.range(range.start, range.len()) };
                    for (dx, i) in dx.iter_mut().zip(range.clone()) {
                        *dx = self.derivatives(xs[i], ts[i]).0 * scale;
                    }
                    if dt_len > 0 {
                        // SAFETY: the ranges are disjoint.
                        let dt = unsafe { dt.range(range.start, range.len()) };
                        for (dt, i) in dt.iter_mut().zip(range) {
                            *dt = self.derivatives(xs[i], ts[i]).1 * scale;
                        }
                    }
                });
                Ok(())
            }))?;
            let dx = Tensor::from_vec(dx, x.shape(), &Device::Cpu)?;
            let dt = if t.track_op() { Some(Tensor::from_vec(dt, t.shape(), &Device::Cpu)?) } else { None };
            Ok((Some(dx), dt))
        })
    }
}

/// Mean of `(x - target)^2`. Gradients flow to both sides.
pub fn squared_error<'a>(x: &Tensor, target: impl Into<Target<'a>>) -> Result<Tensor> {
    Pointwise::Squared.apply(x, target.into())
}

/// Mean of `|x - target|`. Gradients flow to both sides.
pub fn absolute_error<'a>(x: &Tensor, target: impl Into<Target<'a>>) -> Result<Tensor> {
    Pointwise::Absolute.apply(x, target.into())
}

/// Mean sigmoid cross-entropy of logits with targets in `[0, 1]`, safe for logits of any size.
pub fn sigmoid_cross_entropy<'a>(logits: &Tensor, target: impl Into<Target<'a>>) -> Result<Tensor> {
    Pointwise::SigmoidCrossEntropy.apply(logits, target.into())
}

/// Least-squares GAN loss (Mao et al., 2017): mean of `(x - target)^2` against one constant, 1 for real, 0 for fake.
pub fn least_squares_gan(x: &Tensor, target: f64) -> Result<Tensor> {
    squared_error(x, target)
}

/// Mean pairwise squared error (RCAN, 4.2; as in TensorFlow): of each sample with `n` elements and differences `d`,
/// `2 sum(d^2) / (n - 1) - 2 (sum d)^2 / (n (n - 1))`; then the mean over the batch. Blind to a constant offset.
/// Gradients flow to both sides.
pub fn pairwise_squared_error(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    if x.dims() != target.dims() {
        bail!("pairwise squared error: prediction {:?} and target {:?} differ in shape", x.dims(), target.dims())
    }
    let batch = x.dims().first().copied().unwrap_or(0);
    let n = x.elem_count() / batch.max(1);
    if n < 2 {
        bail!("pairwise squared error: a sample of {n} elements has no pairs")
    }
    if !is_native(x) {
        let d = (x - target)?.reshape((batch, n))?;
        let squares = (d.sqr()?.sum(1)? * (2.0 / (n - 1) as f64))?;
        let offsets = (d.sum(1)?.sqr()? * (2.0 / (n as f64 * (n - 1) as f64)))?;
        return (squares - offsets)?.mean_all();
    }
    x.contiguous()?.apply_op2(&target.contiguous()?, Pairwise { batch, n })
}

struct Pairwise {
    batch: usize,
    n: usize,
}

simd_fn! {
    /// Sums of `x - t` and of its square.
    fn difference_sums<T>(x: &[T], t: &[T]) -> (T, T) {
        let mut sums = [T::ZERO; 16];
        let mut squares = [T::ZERO; 16];
        for (i, (&x, &t)) in x.iter().zip(t).enumerate() {
            let d = x - t;
            sums[i % 16] += d;
            squares[i % 16] += d * d;
        }
        (super::simd::fold(sums), super::simd::fold(squares))
    }
}

/// `(sum d, sum d^2)` of every sample, in f64.
fn sample_sums<T: Real>(x: &[T], t: &[T], batch: usize, n: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); batch];
    let shared = Shared::new(&mut sums);
    parallel::for_each(batch, |sample| {
        let (mut sum, mut square) = (0.0, 0.0);
        let at = sample * n..(sample + 1) * n;
        for (x, t) in x[at.clone()].chunks(GRAIN).zip(t[at].chunks(GRAIN)) {
            let (s, q) = difference_sums(x, t);
            sum += s.as_f64();
            square += q.as_f64();
        }
        // SAFETY: one element a sample.
        unsafe { shared.range(sample, 1)[0] = (sum, square) };
    });
    sums
}

impl CustomOp2 for Pairwise {
    fn name(&self) -> &'static str {
        OpKind::PairwiseSquaredError.name()
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        fn value<T: Real>(op: &Pairwise, x: &[T], l1: &Layout, t: &[T], l2: &Layout) -> CpuStorage {
            let len = op.batch * op.n;
            let (x, t) = (&x[l1.start_offset()..][..len], &t[l2.start_offset()..][..len]);
            let n = op.n as f64;
            let total: f64 = sample_sums(x, t, op.batch, op.n)
                .into_iter()
                .map(|(sum, square)| 2.0 * square / (n - 1.0) - 2.0 * sum * sum / (n * (n - 1.0)))
                .sum();
            T::storage(vec![T::of(total / op.batch as f64)])
        }
        let storage = match (s1, s2) {
            (CpuStorage::F32(x), CpuStorage::F32(t)) => value(self, x, l1, t, l2),
            (CpuStorage::F64(x), CpuStorage::F64(t)) => value(self, x, l1, t, l2),
            _ => bail!("{}: prediction and target differ in type", self.name()),
        };
        Ok((storage, Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        with_float!(x.dtype(), T => {
            let n = self.n as f64;
            let scale = gradient.to_scalar::<T>()?.as_f64() * 4.0 / ((n - 1.0) * self.batch as f64);
            let mut dx = vec![T::ZERO; x.elem_count()];
            with_slice::<T, _>(x, |xs| with_slice::<T, _>(t, |ts| {
                let sums = sample_sums(xs, ts, self.batch, self.n);
                let shared = Shared::new(&mut dx);
                parallel::for_each(self.batch, |sample| {
                    let mean = T::of(sums[sample].0 / n);
                    let scale = T::of(scale);
                    let at = sample * self.n..(sample + 1) * self.n;
                    // SAFETY: one range a sample.
                    let dx = unsafe { shared.range(at.start, self.n) };
                    for ((dx, &x), &t) in dx.iter_mut().zip(&xs[at.clone()]).zip(&ts[at]) {
                        *dx = (x - t - mean) * scale;
                    }
                });
                Ok(())
            }))?;
            let dx = Tensor::from_vec(dx, x.shape(), &Device::Cpu)?;
            let dt = if t.track_op() { Some(dx.neg()?) } else { None };
            Ok((Some(dx), dt))
        })
    }
}

/// Mean over samples and pixels of the softmax cross-entropy: logits `[n, classes, ...]`, class numbers `[n, ...]`
/// of any integer type.
pub fn softmax_cross_entropy(logits: &Tensor, classes: &Tensor) -> Result<Tensor> {
    let dims = logits.dims();
    if dims.len() < 2 || dims[0] != classes.dims().first().copied().unwrap_or(0) || dims[2..] != classes.dims()[1..] {
        bail!("softmax cross-entropy: logits {dims:?} and class numbers {:?} do not go together", classes.dims())
    }
    let (n, k) = (dims[0], dims[1]);
    let inner: usize = dims[2..].iter().product();
    if n * k * inner == 0 {
        bail!("softmax cross-entropy: the logits {dims:?} are empty")
    }
    let numbers =
        classes.flatten_all()?.to_dtype(candle_core::DType::U32)?.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
    if let Some(bad) = numbers.iter().find(|&&number| number as usize >= k) {
        bail!("softmax cross-entropy: class number {bad} of {k} classes")
    }
    if !is_native(logits) {
        let x = logits.reshape((n, k, inner))?;
        let shifted = x.broadcast_sub(&x.detach().max_keepdim(1)?)?;
        let picked =
            shifted.gather(&Tensor::from_vec(numbers, (n, 1, inner), &Device::Cpu)?.to_device(x.device())?, 1)?;
        return (shifted.exp()?.sum_keepdim(1)?.log()? - picked)?.mean_all();
    }
    logits.contiguous()?.apply_op1(SoftmaxCrossEntropy { n, k, inner, numbers })
}

struct SoftmaxCrossEntropy {
    n: usize,
    k: usize,
    inner: usize,
    numbers: Vec<u32>,
}

impl SoftmaxCrossEntropy {
    fn value<T: Real>(&self, x: &[T]) -> f64 {
        let block = self.k * self.inner;
        let mut losses = vec![0.0; self.n];
        let shared = Shared::new(&mut losses);
        parallel::for_each(self.n, |sample| {
            let x = &x[sample * block..(sample + 1) * block];
            let mut total = 0.0;
            for i in 0..self.inner {
                let column = || (0..self.k).map(|c| x[c * self.inner + i]);
                let highest = column().fold(T::NEG_INFINITY, |a, b| if b > a { b } else { a });
                let sum: T = column().map(|x| (x - highest).exp()).sum();
                let own = x[self.numbers[sample * self.inner + i] as usize * self.inner + i];
                total += (sum.ln() + highest - own).as_f64();
            }
            // SAFETY: one element a sample.
            unsafe { shared.range(sample, 1)[0] = total };
        });
        losses.iter().sum::<f64>() / (self.n * self.inner) as f64
    }
}

impl CustomOp1 for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        OpKind::SoftmaxCrossEntropy.name()
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let at = layout.start_offset();
        let storage = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(vec![self.value(&x[at..]) as f32]),
            CpuStorage::F64(x) => CpuStorage::F64(vec![self.value(&x[at..])]),
            _ => bail!("softmax cross-entropy wants f32 or f64 logits"),
        };
        Ok((storage, Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        with_float!(x.dtype(), T => {
            let scale = gradient.to_scalar::<T>()? / T::of((self.n * self.inner) as f64);
            let block = self.k * self.inner;
            let mut dx = vec![T::ZERO; x.elem_count()];
            with_slice::<T, _>(x, |xs| {
                let shared = Shared::new(&mut dx);
                parallel::for_each(self.n, |sample| {
                    // SAFETY: one range a sample.
                    let dx = unsafe { shared.range(sample * block, block) };
                    super::layer_norm::softmax_block(&xs[sample * block..(sample + 1) * block], self.inner, dx);
                    for i in 0..self.inner {
                        dx[self.numbers[sample * self.inner + i] as usize * self.inner + i] -= T::ONE;
                    }
                    dx.iter_mut().for_each(|d| *d *= scale);
                });
                Ok(())
            })?;
            Tensor::from_vec(dx, x.shape(), &Device::Cpu).map(Some)
        })
    }
}
