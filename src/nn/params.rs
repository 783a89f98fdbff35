//! The ordered store of everything a network learns or remembers.
//!
//! Parameters are candle `Var`s, buffers (running statistics, singular vectors) plain floats; both are listed in the
//! order in which layers created them, under names like PyTorch's (`encoder.conv1.weight`). Each parameter is drawn from
//! its own stream, derived from the seed and its name, so that adding a layer changes no other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor, Var};

use super::device::HOST;
use super::error::NnError;
use super::init::{Init, sample};
use super::ops::update;
use crate::contract::{Rng, Seed};

type Result<T> = std::result::Result<T, NnError>;

/// A learned tensor, shared by the layer that uses it and the store that lists it.
#[derive(Clone, Debug)]
pub struct Param {
    name: Arc<str>,
    var: Var,
    frozen: Arc<AtomicUsize>,
}

impl Param {
    pub(super) fn new(name: &str, var: Var, frozen: Arc<AtomicUsize>) -> Self {
        Self { name: name.into(), var, frozen }
    }

    /// Full name in the store, such as `encoder.conv1.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variable itself, which optimizers change and gradients belong to, frozen or not.
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// The tensor to compute with: tracked, unless the store is frozen.
    pub fn tensor(&self) -> Tensor {
        if self.frozen.load(Ordering::Relaxed) == 0 {
            self.var.as_tensor().clone()
        } else {
            self.var.as_detached_tensor()
        }
    }
}

/// Floats that are saved with the parameters but not learned by gradient.
#[derive(Clone, Debug)]
pub struct StateBuffer {
    name: Arc<str>,
    shape: Vec<usize>,
    values: Arc<Mutex<Vec<f32>>>,
}

impl StateBuffer {
    pub(super) fn new(name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values: Arc::new(Mutex::new(values)) }
    }

    /// A copy, where state is saved.
    fn to_tensor(&self) -> candle_core::Result<Tensor> {
        Tensor::from_vec(self.get(), self.shape.as_slice(), &HOST)
    }

    /// Exclusive access to the floats, row-major; other users of the buffer wait until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Vec<f32>> {
        // Plain floats: a panic elsewhere cannot leave them inconsistent beyond being half updated.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the floats, row-major.
    pub fn get(&self) -> Vec<f32> {
        self.lock().clone()
    }

    /// Panics when the length changes: a layer's buffers have fixed sizes.
    pub fn set(&self, values: &[f32]) {
        self.lock().copy_from_slice(values);
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Param(Param),
    Buffer(StateBuffer),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Param(param) => &param.name,
            Self::Buffer(buffer) => &buffer.name,
        }
    }
}

#[derive(Debug, Default)]
struct Entries {
    list: Vec<Entry>,
    names: BTreeMap<String, usize>,
}

/// All parameters and buffers of one network. Clones share them.
#[derive(Clone, Debug)]
pub struct ParamStore {
    entries: Arc<Mutex<Entries>>,
    seed: Seed,
    device: Device,
    dtype: DType,
    frozen: Arc<AtomicUsize>,
}

/// While this lives, the store's parameters take part in no gradient.
#[must_use = "parameters thaw as soon as this is dropped"]
pub struct Frozen(Arc<AtomicUsize>);

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ParamStore {
    /// An empty store; `seed` decides every initial value.
    pub fn new(seed: Seed, device: &Device) -> Self {
        Self::with_dtype(seed, device, DType::F32)
    }

    /// As [`ParamStore::new`], with another float type (gradient checks run in f64).
    pub fn with_dtype(seed: Seed, device: &Device, dtype: DType) -> Self {
        Self { entries: Arc::default(), seed, device: device.clone(), dtype, frozen: Arc::default() }
    }

    /// Where parameters are created and computed with; buffers are on the CPU.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of the parameters; buffers are always `f32`.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // An entry is added whole or not at all.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, entry: Entry) -> Result<()> {
        let mut entries = self.entries();
        let name = entry.name().to_owned();
        if entries.names.contains_key(&name) {
            return Err(NnError::NameTaken { name });
        }
        let index = entries.list.len();
        entries.names.insert(name, index);
        entries.list.push(entry);
        Ok(())
    }

    /// Creates a parameter; gives what freezes it.
    pub(super) fn create_param(&self, name: &str, shape: &[usize], init: Init) -> Result<Arc<AtomicUsize>> {
        self.create_with(name, shape, |rng| sample(init, shape, rng))?;
        Ok(self.frozen.clone())
    }

    /// Creates a parameter whose values `draw` takes from the parameter's own stream.
    pub(super) fn create_with(
        &self,
        name: &str,
        shape: &[usize],
        draw: impl FnOnce(&mut Rng) -> Vec<f32>,
    ) -> Result<()> {
        let values = Tensor::from_vec(draw(&mut self.seed.derive(name, 0).rng()), shape, &HOST)?;
        let values = values.to_dtype(self.dtype)?.to_device(&self.device)?;
        self.insert(Entry::Param(Param::new(name, Var::from_tensor(&values)?, self.frozen.clone())))
    }

    /// Creates a buffer.
    pub(super) fn create_buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<StateBuffer> {
        let values = sample(init, shape, &mut self.seed.derive(name, 0).rng());
        let buffer = StateBuffer::new(name, shape, values);
        self.insert(Entry::Buffer(buffer.clone()))?;
        Ok(buffer)
    }

    /// The variable of this name, or a copy of the buffer.
    pub(super) fn find(&self, name: &str) -> Option<Tensor> {
        let entries = self.entries();
        match &entries.list[*entries.names.get(name)?] {
            Entry::Param(param) => Some(param.var.as_tensor().clone()),
            // A vector of the shape's length, by construction.
            Entry::Buffer(buffer) => buffer.to_tensor().ok(),
        }
    }

    /// Parameters in the order of their creation.
    pub fn params(&self) -> impl Iterator<Item = Param> {
        let of_entry = |entry: &Entry| match entry {
            Entry::Param(param) => Some(param.clone()),
            Entry::Buffer(_) => None,
        };
        self.entries().list.iter().filter_map(of_entry).collect::<Vec<_>>().into_iter()
    }

    /// Number of learned floats.
    pub fn parameter_count(&self) -> usize {
        self.params().map(|param| param.var.elem_count()).sum()
    }

    /// Keeps gradients away from all parameters until the guard is dropped: gradients pass through the network to its
    /// input without computing those of its weights.
    pub fn freeze(&self) -> Frozen {
        self.frozen.fetch_add(1, Ordering::Relaxed);
        Frozen(self.frozen.clone())
    }

    /// Names and current values of parameters and buffers, in order; copies, so training may go on meanwhile.
    pub fn state_tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let state = |entry: &Entry| {
            let tensor = match entry {
                Entry::Param(param) => param.var.as_detached_tensor().copy()?,
                Entry::Buffer(buffer) => buffer.to_tensor()?,
            };
            Ok((entry.name().to_owned(), tensor))
        };
        self.entries().list.iter().map(state).collect()
    }

    /// Takes over a state that names exactly this store's tensors, in any order. On error nothing has changed.
    pub fn load_state(&self, state: &[(String, Tensor)]) -> Result<()> {
        let found = index_state(state)?;
        let entries = self.entries();
        if let Some(name) = found.keys().find(|name| !entries.names.contains_key(**name)) {
            return Err(NnError::Unexpected { name: (*name).to_owned() });
        }
        let mut values = Vec::with_capacity(entries.list.len());
        for entry in &entries.list {
            let name = entry.name();
            let tensor = *found.get(name).ok_or_else(|| NnError::Missing { name: name.to_owned() })?;
            let (expected, dtype, device) = match entry {
                Entry::Param(param) => (param.var.dims(), self.dtype, &self.device),
                Entry::Buffer(buffer) => (&buffer.shape[..], DType::F32, &HOST),
            };
            if tensor.dims() != expected {
                return Err(NnError::Shape {
                    name: name.to_owned(),
                    expected: expected.to_vec(),
                    found: tensor.dims().to_vec(),
                });
            }
            values.push(tensor.detach().to_dtype(dtype)?.to_device(device)?.contiguous()?);
        }
        for (entry, tensor) in entries.list.iter().zip(values) {
            match entry {
                Entry::Param(param) if param.var.is_same_storage(&tensor) => {}
                Entry::Param(param) => param.var.set(&tensor)?,
                Entry::Buffer(buffer) => buffer.set(&tensor.flatten_all()?.to_vec1::<f32>()?),
            }
        }
        Ok(())
    }

    /// `self = rate * source + (1 - rate) * self`, parameter by parameter: a lagged (Polyak, EMA) copy. Buffers are
    /// copied. Both stores must have the same entries.
    pub fn polyak_update(&self, source: &Self, rate: f64) -> Result<()> {
        if Arc::ptr_eq(&self.entries, &source.entries) {
            return Ok(());
        }
        let (own, other) = (self.entries(), source.entries());
        if own.list.len() != other.list.len() {
            let (longer, shorter) = if own.list.len() > other.list.len() { (&own, &other) } else { (&other, &own) };
            let name = longer.names.keys().find(|name| !shorter.names.contains_key(*name)).cloned().unwrap_or_default();
            return Err(NnError::Missing { name });
        }
        for (to, from) in own.list.iter().zip(&other.list) {
            match (to, from) {
                (Entry::Param(to), Entry::Param(from)) if to.name == from.name && to.var.dims() == from.var.dims() => {
                    update::blend(&to.var, &from.var, rate)?;
                }
                (Entry::Buffer(to), Entry::Buffer(from)) if to.name == from.name && to.shape == from.shape => {
                    let values = from.get();
                    to.set(&values);
                }
                _ => return Err(NnError::Missing { name: from.name().to_owned() }),
            }
        }
        Ok(())
    }

    /// Makes this store an exact copy of `source`.
    pub fn copy_from(&self, source: &Self) -> Result<()> {
        self.load_state(&source.state_tensors()?)
    }
}

trait SameStorage {
    fn is_same_storage(&self, tensor: &Tensor) -> bool;
}

impl SameStorage for Var {
    /// Whether `tensor` is (a view of) this very variable, which candle refuses to set.
    fn is_same_storage(&self, tensor: &Tensor) -> bool {
        self.as_tensor().id() == tensor.id()
    }
}

/// Tensors by name; twice the same name is an error.
pub(crate) fn index_state(state: &[(String, Tensor)]) -> Result<BTreeMap<&str, &Tensor>> {
    let mut found = BTreeMap::new();
    for (name, tensor) in state {
        if found.insert(name.as_str(), tensor).is_some() {
            return Err(NnError::Duplicate { name: name.clone() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(seed: u64) -> Result<(ParamStore, Param, StateBuffer)> {
        let store = ParamStore::new(Seed(seed), &Device::Cpu);
        let weight = store.root().sub("encoder").sub("conv1").param("weight", &[2, 3], Init::PYTORCH)?;
        let mean = store.root().sub("encoder").buffer("running_mean", &[3], Init::Zeros)?;
        Ok((store, weight, mean))
    }

    #[test]
    fn names_and_order_are_those_of_creation() -> Result<()> {
        let (store, ..) = store(1)?;
        let names: Vec<_> = store.state_tensors()?.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["encoder.conv1.weight", "encoder.running_mean"]);
        assert_eq!(store.parameter_count(), 6);
        Ok(())
    }

    #[test]
    fn a_value_depends_on_seed_and_name_alone() -> Result<()> {
        let values = |seed: u64, before: bool| -> Result<Vec<f32>> {
            let store = ParamStore::new(Seed(seed), &Device::Cpu);
            if before {
                store.root().param("other", &[5], Init::PYTORCH)?;
            }
            let param = store.root().param("weight", &[4], Init::PYTORCH)?;
            Ok(param.tensor().to_vec1()?)
        };
        assert_eq!(values(1, false)?, values(1, true)?);
        assert_ne!(values(1, false)?, values(2, false)?);
        Ok(())
    }

    #[test]
    fn state_goes_round_and_mistakes_are_named() -> Result<()> {
        let (a, _, mean) = store(1)?;
        mean.set(&[1.0, 2.0, 3.0]);
        let (b, weight, other_mean) = store(2)?;
        let mut state = a.state_tensors()?;
        state.reverse();
        b.load_state(&state)?;
        assert_eq!(other_mean.get(), [1.0, 2.0, 3.0]);
        assert_eq!(weight.tensor().to_vec2::<f32>()?, a.state_tensors()?[0].1.to_vec2::<f32>()?);

        let error = b.load_state(&state[..1]).unwrap_err();
        assert!(matches!(&error, NnError::Missing { name } if name == "encoder.conv1.weight"), "{error}");
        state.push(("more".into(), state[0].1.clone()));
        assert!(matches!(b.load_state(&state).unwrap_err(), NnError::Unexpected { name } if name == "more"));
        state[2] = (state[1].0.clone(), Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?);
        assert!(matches!(b.load_state(&state).unwrap_err(), NnError::Duplicate { .. }));
        state.remove(1);
        assert!(matches!(b.load_state(&state).unwrap_err(), NnError::Shape { .. }));
        Ok(())
    }

    #[test]
    fn a_name_serves_once() {
        let store = ParamStore::new(Seed(1), &Device::Cpu);
        assert!(store.root().param("weight", &[1], Init::Ones).is_ok());
        assert!(matches!(store.root().param("weight", &[1], Init::Ones), Err(NnError::NameTaken { .. })));
    }

    #[test]
    fn frozen_parameters_take_no_gradient() -> Result<()> {
        let (store, weight, _) = store(1)?;
        let guard = store.freeze();
        let again = store.freeze();
        drop(guard);
        assert!(!weight.tensor().track_op());
        drop(again);
        assert!(weight.tensor().track_op());
        Ok(())
    }

    #[test]
    fn a_lagged_copy_moves_by_the_rate() -> Result<()> {
        let (slow, weight, _) = store(1)?;
        let (fast, fast_weight, _) = store(2)?;
        let before = weight.tensor().flatten_all()?.to_vec1::<f32>()?;
        slow.polyak_update(&fast, 0.25)?;
        let target = fast_weight.tensor().flatten_all()?.to_vec1::<f32>()?;
        for ((after, before), target) in weight.tensor().flatten_all()?.to_vec1::<f32>()?.iter().zip(before).zip(target)
        {
            assert!((after - (0.75 * before + 0.25 * target)).abs() < 1e-7);
        }
        slow.copy_from(&fast)?;
        assert_eq!(weight.tensor().to_vec2::<f32>()?, fast_weight.tensor().to_vec2::<f32>()?);
        Ok(())
    }
}
