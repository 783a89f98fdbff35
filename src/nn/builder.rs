//! How layers get their tensors: candle-nn's `VarBuilder` over a [`ParamStore`], or over any other source of tensors.
//!
//! [`ParamStore`] is a `SimpleBackend`: stock candle-nn models are built from it with [`ParamStore::builder`], and train and
//! save with ours. Our layers take a [`Scope`], which is a `VarBuilder` that also knows initialisers that candle-nn has no
//! name for, running statistics, and freezing; `VarBuilder`s become scopes, so that our layers load from wherever
//! candle-nn's do.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use candle_core::{DType, Device, Error as CandleError, Result as CandleResult, Shape, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;

use super::error::NnError;
use super::init::{Init, sample_stock};
use super::params::{Param, ParamStore, StateBuffer};

type Result<T> = std::result::Result<T, NnError>;

/// A place in a network with a name prefix; layers create their tensors through it.
#[derive(Clone)]
pub struct Scope<'a> {
    builder: VarBuilder<'a>,
    /// Where new tensors go, and what freezes them; none when the builder reads from elsewhere.
    store: Option<ParamStore>,
}

impl ParamStore {
    /// Candle-nn's own builder on this store: what is asked for is created, or shared where the name exists.
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), self.dtype(), self.device().clone())
    }

    /// Where layers create their parameters, without a prefix.
    pub fn root(&self) -> Scope<'static> {
        Scope { builder: self.builder(), store: Some(self.clone()) }
    }
}

impl<'a> From<VarBuilder<'a>> for Scope<'a> {
    /// Tensors come from the builder's backend. They belong to no store of ours: no optimizer or checkpoint of ours lists
    /// them, and nothing freezes them.
    fn from(builder: VarBuilder<'a>) -> Self {
        Self { builder, store: None }
    }
}

impl<'a> Scope<'a> {
    /// The place called `name` below this one.
    #[must_use]
    pub fn sub(&self, name: impl Display) -> Self {
        Self { builder: self.builder.pp(name), store: self.store.clone() }
    }

    fn full_name(&self, name: &str) -> String {
        let prefix = self.builder.prefix();
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
    }

    /// A parameter: created in the store, or read from the builder's backend.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Result<Param> {
        let full = self.full_name(name);
        let frozen: Arc<AtomicUsize> = match &self.store {
            Some(store) => store.create_param(&full, shape, init)?,
            None => Arc::default(),
        };
        let tensor = self.builder.get_with_hints(shape, name, init.hint(shape))?;
        Ok(Param::new(&full, Var::from_tensor(&tensor)?, frozen))
    }

    /// A buffer: created in the store, or read from the builder's backend.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<StateBuffer> {
        let full = self.full_name(name);
        match &self.store {
            Some(store) => store.create_buffer(&full, shape, init),
            None => {
                let tensor = self.builder.get_with_hints(shape, name, init.hint(shape))?;
                let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                Ok(StateBuffer::new(&full, shape, values))
            }
        }
    }
}

impl SimpleBackend for ParamStore {
    /// The tensor of this name, created by candle-nn's hint where there is none: variables are shared with the store, buffers
    /// copied.
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> CandleResult<Tensor> {
        if !self.contains_tensor(name) {
            if dtype != self.dtype() || !device.same_device(self.device()) {
                candle_core::bail!(
                    "'{name}' is wanted as {dtype:?} on {device:?}, and the store creates {:?} on {:?}",
                    self.dtype(),
                    self.device()
                )
            }
            let create = |rng: &mut _| sample_stock(hint, &shape, rng);
            self.create_with(name, shape.dims(), create).map_err(CandleError::wrap)?;
        }
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            let msg = format!("'{name}' in the parameter store");
            return Err(CandleError::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() });
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> CandleResult<Tensor> {
        match self.find(name) {
            // The variable itself where it fits, so that what is built on it learns.
            Some(tensor) => tensor.to_dtype(dtype)?.to_device(device),
            None => Err(CandleError::CannotFindTensor { path: name.to_owned() }),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
