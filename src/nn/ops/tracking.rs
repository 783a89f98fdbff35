//! How native ops take part in candle's autograd without paying for its bookkeeping.
//!
//! Candle's `backward` allocates a zeroed tensor for every gradient, adds to it single-threaded, and does so at full
//! size. Native ops therefore hang *tokens* into candle's graph: tensors of no elements, whose gradients are as empty.
//! Candle still decides what is reached and in which order; the real activations and gradients live beside it, in
//! pooled buffers ([`Slot`]) that kernels write and accumulate into directly. Parameters and everything else that is an
//! ordinary candle tensor is an ordinary argument of the same ops.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, TensorId, Var,
};

use super::activations::Data;
use super::kind::OpKind;
use super::memory::Buffer;
use super::real::Real;

/// The gradient of one native value while a backward pass runs: empty until the first consumer writes it.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Data>>>);

impl Slot {
    /// A buffer for a gradient of `len` elements: what is there already (`true`: add to it), or stale memory to fill.
    /// Give it back with [`Slot::put`].
    pub fn open<T: Real>(&self, len: usize) -> (Buffer<T>, bool) {
        match self.take() {
            Some(buffer) => (buffer, true),
            None => (Buffer::stale(len), false),
        }
    }

    /// Lets `write` fill (`false`) or add to (`true`) the gradient of `len` elements.
    pub fn accumulate<T: Real>(&self, len: usize, write: impl FnOnce(&mut [T], bool)) {
        let (mut buffer, accumulate) = self.open(len);
        write(&mut buffer, accumulate);
        self.put(buffer);
    }

    /// The gradient, if any consumer wrote one; the slot is empty afterwards.
    pub fn take<T: Real>(&self) -> Option<Buffer<T>> {
        let data = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let shared = T::unwrap(&data).cloned();
        drop(data);
        shared.and_then(Arc::into_inner)
    }

    /// Moves a whole gradient in without a copy when nothing is there yet, adds it otherwise.
    pub fn put<T: Real>(&self, gradient: Buffer<T>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let present = slot.take().and_then(|data| T::unwrap(&data).cloned()).and_then(Arc::into_inner);
        let total = match present {
            Some(mut total) => {
                super::elementwise::par_add_assign(&mut total, &gradient);
                total
            }
            None => gradient,
        };
        *slot = Some(T::wrap(Arc::new(total)));
    }
}

thread_local! {
    /// Gradients of variables found by the native ops of the backward pass that runs on this thread, if [`backward`]
    /// started it.
    static COLLECTOR: RefCell<Option<HashMap<TensorId, Data>>> = const { RefCell::new(None) };
}

/// The result of a backward pass.
pub struct Gradients {
    native: HashMap<TensorId, Data>,
    rest: GradStore,
}

/// Runs candle's backward pass from a scalar. Gradients of parameters that native ops computed are taken aside as they
/// are, in pooled memory; everything else is in candle's own store.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    /// Clears the collector however the pass ends.
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            COLLECTOR.with_borrow_mut(|collector| *collector = None);
        }
    }
    COLLECTOR.with_borrow_mut(|collector| *collector = Some(HashMap::new()));
    let _clear = Clear;
    let rest = loss.backward()?;
    let native = COLLECTOR.with_borrow_mut(Option::take).unwrap_or_default();
    Ok(Gradients { native, rest })
}

/// Hands a gradient of the ordinary tensor `of` (a weight) to whoever collects: to [`backward`] if it runs and `of` is a
/// variable, else to candle as a tensor. `None` to candle means that it has nothing to do.
pub fn deliver<T: Real>(of: &Tensor, gradient: Buffer<T>) -> Result<Option<Tensor>> {
    if !of.track_op() {
        return Ok(None);
    }
    let left = if of.is_variable() {
        COLLECTOR.with_borrow_mut(|collector| match collector {
            Some(collected) => {
                let total = match collected.remove(&of.id()).and_then(|data| T::unwrap(&data).cloned()) {
                    Some(previous) => {
                        let mut gradient = gradient;
                        super::elementwise::par_add_assign(&mut gradient, &previous);
                        gradient
                    }
                    None => gradient,
                };
                collected.insert(of.id(), T::wrap(Arc::new(total)));
                None
            }
            None => Some(gradient),
        })
    } else {
        Some(gradient)
    };
    left.map(|gradient| Tensor::from_slice(&gradient, of.shape(), &Device::Cpu)).transpose()
}

/// Where optimizers find gradients: [`Gradients`], or candle's own [`GradStore`].
pub trait GradientSource {
    /// The gradient of a variable as a tensor.
    fn tensor(&self, var: &Var) -> Result<Option<Tensor>>;

    /// The gradient as floats in pooled memory, when it lies there.
    fn floats(&self, _var: &Var) -> Option<&[f32]> {
        None
    }
}

impl GradientSource for GradStore {
    fn tensor(&self, var: &Var) -> Result<Option<Tensor>> {
        Ok(self.get(var).map(Tensor::detach))
    }
}

impl GradientSource for Gradients {
    fn tensor(&self, var: &Var) -> Result<Option<Tensor>> {
        let native = match self.native.get(&var.id()) {
            Some(Data::F32(buffer)) => Some(Tensor::from_slice(buffer, var.shape(), &Device::Cpu)?),
            Some(Data::F64(buffer)) => Some(Tensor::from_slice(buffer, var.shape(), &Device::Cpu)?),
            None => None,
        };
        match (native, self.rest.get(var)) {
            (Some(a), Some(b)) => Ok(Some((a + b.detach())?)),
            (a, b) => Ok(a.or(b.map(Tensor::detach))),
        }
    }

    fn floats(&self, var: &Var) -> Option<&[f32]> {
        match (self.native.get(&var.id()), self.rest.get(var)) {
            (Some(Data::F32(buffer)), None) => Some(buffer),
            _ => None,
        }
    }
}

/// An untracked token.
pub fn token() -> Result<Tensor> {
    Tensor::zeros(0, DType::F32, &Device::Cpu)
}

/// The gradients an op hands back, one for each of its inputs, in order; tokens take [`token`]s.
pub type InputGradients = Vec<Option<Tensor>>;

type BoxedBackward = Box<dyn Fn() -> Result<InputGradients> + Send + Sync>;

struct Tracked<F> {
    kind: OpKind,
    backward: F,
}

fn empty() -> (CpuStorage, Shape) {
    (CpuStorage::F32(Vec::new()), Shape::from(0))
}

fn pick<const N: usize>(gradients: InputGradients) -> [Option<Tensor>; N] {
    let mut gradients = gradients.into_iter();
    std::array::from_fn(|_| gradients.next().flatten())
}

impl<F: Fn() -> Result<InputGradients>> CustomOp1 for Tracked<F> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(empty())
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let [gradient] = pick((self.backward)()?);
        Ok(gradient)
    }
}

impl<F: Fn() -> Result<InputGradients>> CustomOp2 for Tracked<F> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(empty())
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = pick((self.backward)()?);
        Ok((a, b))
    }
}

impl<F: Fn() -> Result<InputGradients>> CustomOp3 for Tracked<F> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(empty())
    }
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = pick((self.backward)()?);
        Ok((a, b, c))
    }
}

/// A token that depends on all `inputs` (tokens or ordinary tensors).
///
/// When candle reaches it, `backward` runs once and returns one gradient an input: `Some` for every tracked input
/// (an empty token for a token, whose real gradient went into its slot). If no input is tracked, the closure is dropped
/// at once and with it everything it kept alive.
pub fn track<F>(kind: OpKind, inputs: &[&Tensor], backward: F) -> Result<Tensor>
where
    F: Fn() -> Result<InputGradients> + Send + Sync + 'static,
{
    match inputs {
        [] => token(),
        [a] => a.apply_op1(Tracked { kind, backward }),
        [a, b] => a.apply_op2(b, Tracked { kind, backward }),
        [a, b, c] => a.apply_op3(b, c, Tracked { kind, backward }),
        more => track_many(kind, more, Box::new(backward)),
    }
}

/// Candle's ops take three arguments; more are bundled by threes. Each bundle picks its gradients up from a mailbox that
/// the op itself, which candle reaches first, has filled.
fn track_many(kind: OpKind, inputs: &[&Tensor], backward: BoxedBackward) -> Result<Tensor> {
    let mailbox: Arc<Mutex<InputGradients>> = Arc::default();
    let mut bundles = Vec::new();
    for (index, inputs) in inputs.chunks(3).enumerate() {
        let mailbox = mailbox.clone();
        let count = inputs.len();
        let pick_up: BoxedBackward = Box::new(move || {
            let mut mailbox = mailbox.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((3 * index..3 * index + count).map(|i| mailbox.get_mut(i).and_then(Option::take)).collect())
        });
        bundles.push(track(kind, inputs, pick_up)?);
    }
    let count = bundles.len();
    let bundles: Vec<&Tensor> = bundles.iter().collect();
    let deliver: BoxedBackward = Box::new(move || {
        let gradients = backward()?;
        *mailbox.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
        (0..count).map(|_| token().map(Some)).collect()
    });
    track(kind, &bundles, deliver)
}
