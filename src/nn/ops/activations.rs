//! [`Activations`]: an activation on its way through a network.
//!
//! On the CPU, in `f32` or `f64`, it is a pooled buffer with its gradient beside it (see [`super::tracking`]) and the ops
//! of this folder run their own kernels on it. On any other device or type (or where the stock path is forced) it is an ordinary candle tensor and the same
//! functions compose stock candle operations. Values enter from tensors and leave as tensors, differentiably both ways.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail};

use super::dispatch::is_native;
use super::elementwise::{par_add_assign, par_copy};
use super::kind::OpKind;
use super::memory::Buffer;
use super::real::Real;
use super::tracking::{Slot, token};

/// The elements of a native value, row-major.
#[derive(Clone)]
pub enum Data {
    F32(Arc<Buffer<f32>>),
    F64(Arc<Buffer<f64>>),
}

/// Runs `$body` with the type `$T` standing for the value's float.
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            _ => {
                type $T = f32;
                $body
            }
        }
    };
}
pub(crate) use with_float;

/// A tensor inside a network. Cloning is cheap and shares everything, gradient included.
#[derive(Clone)]
pub struct Activations {
    repr: Repr,
    shape: Arc<[usize]>,
}

#[derive(Clone)]
enum Repr {
    Native(Native),
    Stock(Tensor),
}

#[derive(Clone)]
pub(crate) struct Native {
    pub data: Data,
    pub token: Tensor,
    pub slot: Slot,
}

impl Native {
    pub fn buffer<T: Real>(&self) -> Result<Arc<Buffer<T>>> {
        match T::unwrap(&self.data) {
            Some(buffer) => Ok(buffer.clone()),
            None => bail!("values of different float types in one op"),
        }
    }

    pub fn tracked(&self) -> bool {
        self.token.track_op()
    }
}

/// Runs `read` on the elements of a contiguous CPU tensor.
pub(crate) fn with_slice<T: Real, R>(tensor: &Tensor, read: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else { bail!("expected a tensor on the CPU") };
    let values = storage.as_slice::<T>()?;
    let start = layout.start_offset();
    read(&values[start..start + layout.shape().elem_count()])
}

impl Activations {
    /// Enters a tensor; tracked if the tensor is.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let shape: Arc<[usize]> = tensor.dims().into();
        if !is_native(tensor) {
            return Ok(Self::stock(tensor.clone()));
        }
        let data = with_float!(tensor.dtype(), T => with_slice::<T, _>(tensor, |values| {
            let mut buffer = Buffer::stale(values.len());
            par_copy(&mut buffer, values);
            Ok(T::wrap(Arc::new(buffer)))
        }))?;
        let slot = Slot::default();
        let token = if tensor.track_op() {
            tensor.apply_op1(Enter { slot: slot.clone(), dtype: tensor.dtype() })?
        } else {
            token()?
        };
        Ok(Self { repr: Repr::Native(Native { data, token, slot }), shape })
    }

    /// A value that runs on stock candle operations wherever it lives: the reference path.
    pub fn stock(tensor: Tensor) -> Self {
        Self { shape: tensor.dims().into(), repr: Repr::Stock(tensor) }
    }

    pub(crate) fn from_buffer<T: Real>(buffer: Buffer<T>, shape: &[usize], token: Tensor, slot: Slot) -> Self {
        debug_assert_eq!(buffer.len(), shape.iter().product::<usize>());
        Self::from_data(T::wrap(Arc::new(buffer)), shape, token, slot)
    }

    pub(crate) fn from_data(data: Data, shape: &[usize], token: Tensor, slot: Slot) -> Self {
        Self { repr: Repr::Native(Native { data, token, slot }), shape: shape.into() }
    }

    pub(crate) fn native(&self) -> Option<&Native> {
        match &self.repr {
            Repr::Native(native) => Some(native),
            Repr::Stock(_) => None,
        }
    }

    /// The native side of a value that must be native because its partner in an op is.
    pub(crate) fn require_native(&self) -> Result<&Native> {
        match &self.repr {
            Repr::Native(native) => Ok(native),
            Repr::Stock(_) => bail!("an op mixes a native and a stock value; enter both from the same device and type"),
        }
    }

    /// The sizes of all dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The product of all dimensions: 1 for a scalar.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// `[n, c, h, w]`, or an error that names the shape.
    pub fn dims4(&self) -> Result<[usize; 4]> {
        match *self.shape {
            [n, c, h, w] => Ok([n, c, h, w]),
            _ => bail!("expected [batch, channels, height, width], got {:?}", self.shape),
        }
    }

    /// The type of the elements: `f32` or `f64` on the native path, any of candle's on the stock path.
    pub fn dtype(&self) -> DType {
        match &self.repr {
            Repr::Native(Native { data: Data::F32(_), .. }) => DType::F32,
            Repr::Native(Native { data: Data::F64(_), .. }) => DType::F64,
            Repr::Stock(tensor) => tensor.dtype(),
        }
    }

    /// The device that the elements are on; always the CPU on the native path.
    pub fn device(&self) -> Device {
        match &self.repr {
            Repr::Native(_) => Device::Cpu,
            Repr::Stock(tensor) => tensor.device().clone(),
        }
    }

    /// Whether gradients flow back through this value.
    pub fn is_tracked(&self) -> bool {
        match &self.repr {
            Repr::Native(native) => native.tracked(),
            Repr::Stock(tensor) => tensor.track_op(),
        }
    }

    /// The same numbers without their history.
    pub fn detach(&self) -> Result<Self> {
        let repr = match &self.repr {
            Repr::Native(native) => {
                Repr::Native(Native { data: native.data.clone(), token: token()?, slot: Slot::default() })
            }
            Repr::Stock(tensor) => Repr::Stock(tensor.detach()),
        };
        Ok(Self { repr, shape: self.shape.clone() })
    }

    /// Leaves as a tensor, for losses and everything else that candle's own operations do.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.repr {
            Repr::Stock(tensor) => Ok(tensor.clone()),
            Repr::Native(native) => native.token.apply_op1(Leave {
                data: native.data.clone(),
                slot: native.slot.clone(),
                shape: Shape::from_dims(&self.shape),
            }),
        }
    }
}

/// Into the native side: backward takes the gradient out of the slot and gives it to candle.
struct Enter {
    slot: Slot,
    dtype: DType,
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        OpKind::Enter.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(Vec::new()), Shape::from(0)))
    }

    fn bwd(&self, input: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        with_float!(self.dtype, T => match self.slot.take::<T>() {
            Some(gradient) => Tensor::from_slice(&gradient, input.shape(), &Device::Cpu).map(Some),
            None => input.zeros_like().map(Some),
        })
    }
}

/// Out of the native side: backward adds candle's gradient to the slot.
struct Leave {
    data: Data,
    slot: Slot,
    shape: Shape,
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        OpKind::Leave.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = match &self.data {
            Data::F32(buffer) => CpuStorage::F32(buffer.to_vec()),
            Data::F64(buffer) => CpuStorage::F64(buffer.to_vec()),
        };
        Ok((storage, self.shape.clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        with_float!(gradient.dtype(), T => with_slice::<T, _>(gradient, |gradient| {
            self.slot.accumulate::<T>(gradient.len(), |total, accumulate| {
                if accumulate { par_add_assign(total, gradient) } else { par_copy(total, gradient) }
            });
            Ok(())
        }))?;
        token().map(Some)
    }
}
