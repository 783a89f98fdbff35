//! Optimizers whose whole state is data: Adam (and AdamW), SGD with momentum; clipping and the guard against NaN.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::device::HOST;
use super::error::NnError;
use super::ops::GradientSource;
use super::ops::update::{self, AdamFactors, Gradient};
use super::params::{Param, ParamStore, index_state};

type Result<T> = std::result::Result<T, NnError>;

/// What one optimizer step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Global norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// The gradients were not finite and nothing was changed.
    pub skipped: bool,
}

/// Clipping and the NaN guard, common to all optimizers.
#[derive(Clone, Debug, Default)]
struct Guard {
    skipped_total: u64,
    skipped_in_a_row: u32,
}

/// This many non-finite steps in a row end the training.
const NON_FINITE_LIMIT: u32 = 3;

/// Parameters that have a gradient, with their place in the optimizer.
type Found<'a> = Vec<(usize, &'a Param, Gradient<'a>)>;

impl Guard {
    /// The gradients of `params`, in their order, with the global norm; `None` stands for a step to skip.
    fn admit<'a>(&mut self, params: &'a [Param], grads: &'a impl GradientSource) -> Result<(f64, Option<Found<'a>>)> {
        let mut found = Vec::with_capacity(params.len());
        let mut squares = 0.0;
        for (index, param) in params.iter().enumerate() {
            if let Some(gradient) = Gradient::find(grads, param.var())? {
                squares += gradient.sum_of_squares()?;
                found.push((index, param, gradient));
            }
        }
        let norm = squares.sqrt();
        if norm.is_finite() {
            self.skipped_in_a_row = 0;
            return Ok((norm, Some(found)));
        }
        self.skipped_total += 1;
        self.skipped_in_a_row += 1;
        if self.skipped_in_a_row >= NON_FINITE_LIMIT {
            return Err(NnError::Diverged { in_a_row: self.skipped_in_a_row, norm });
        }
        Ok((norm, None))
    }
}

/// The factor that brings a gradient of this norm down to `limit`.
fn clip_factor(norm: f64, limit: Option<f64>) -> f64 {
    match limit {
        Some(limit) if norm > limit => limit / norm,
        _ => 1.0,
    }
}

/// Settings of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Share of the gradients' running mean that a step keeps, in `[0, 1)`.
    pub beta1: f64,
    /// Share of the squared gradients' running mean that a step keeps, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, from 1e-30 to 1.
    pub epsilon: f64,
    /// Pull of every parameter towards 0, from 0 to 1000; 0 is none.
    pub weight_decay: f64,
    /// Weight decay shrinks the parameter (AdamW, Loshchilov and Hutter, 2019) instead of joining the gradient.
    pub decoupled: bool,
    /// Largest global norm of the gradients.
    pub clip_norm: Option<f64>,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false, clip_norm: None }
    }
}

impl AdamConfig {
    /// # Errors
    /// The first setting that is impossible or not a number, and what is possible.
    pub fn validate(&self) -> std::result::Result<(), String> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(format!("{name} must be at least 0 and below 1, not {beta}"));
            }
        }
        // Below the first, it is 0 in 32 bits, and a gradient of 0 is divided by 0.
        if !(1e-30..=1.0).contains(&self.epsilon) {
            return Err(format!("epsilon must be from 1e-30 to 1, not {}", self.epsilon));
        }
        if !(0.0..=1e3).contains(&self.weight_decay) {
            return Err(format!("weight_decay must be from 0 to 1000, not {}", self.weight_decay));
        }
        match self.clip_norm {
            Some(norm) if !(1e-30..=1e30).contains(&norm) => {
                Err(format!("clip_norm must be from 1e-30 to 1e30, not {norm}; leave it out to clip nothing"))
            }
            _ => Ok(()),
        }
    }
}

/// Moments where the parameter is: floats beside the fused update, tensors on other devices.
#[derive(Debug)]
enum Moments {
    Host { m: Vec<f32>, v: Vec<f32> },
    Device { m: Tensor, v: Tensor },
}

/// The published default (Kingma and Ba, 2015), and PyTorch's.
const ADAM_RATE: f64 = 1e-3;
/// PyTorch's default.
const SGD_RATE: f64 = 1e-3;

/// Adam (Kingma and Ba, 2015), in PyTorch's order of operations.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    params: Vec<Param>,
    moments: Vec<Moments>,
    /// Steps each parameter has taken part in.
    steps: Vec<u64>,
    /// What each parameter's learning rate is multiplied by.
    rates: Vec<f64>,
    guard: Guard,
    /// Of the steps that candle-nn's `Optimizer` takes; ours are given theirs.
    pub(super) learning_rate: f64,
}

impl Adam {
    /// For all parameters of the stores, in order. Parameters of different stores may share names if their stores were
    /// given different scopes; the state is listed by name and must be unambiguous.
    pub fn new(stores: &[&ParamStore], config: AdamConfig) -> Result<Self> {
        let params: Vec<Param> = stores.iter().flat_map(|store| store.params()).collect();
        Self::for_params(params, config)
    }

    /// For these parameters in this order; moments and step counts start at 0.
    ///
    /// # Errors
    /// A device that fails.
    pub fn for_params(params: Vec<Param>, config: AdamConfig) -> Result<Self> {
        let mut moments = Vec::with_capacity(params.len());
        for param in &params {
            let var = param.var();
            moments.push(if update::is_fused(var) {
                Moments::Host { m: vec![0.0; var.elem_count()], v: vec![0.0; var.elem_count()] }
            } else {
                Moments::Device { m: var.zeros_like()?, v: var.zeros_like()? }
            });
        }
        let (steps, rates) = (vec![0; params.len()], vec![1.0; params.len()]);
        Ok(Self { config, params, moments, steps, rates, guard: Guard::default(), learning_rate: ADAM_RATE })
    }

    /// Parameters whose names satisfy `chosen` learn at `factor` times the rate.
    #[must_use]
    pub fn scale_rates(mut self, factor: f64, chosen: impl Fn(&str) -> bool) -> Self {
        for (rate, param) in self.rates.iter_mut().zip(&self.params) {
            *rate *= if chosen(param.name()) { factor } else { 1.0 };
        }
        self
    }

    /// The settings that it was created with.
    pub fn config(&self) -> &AdamConfig {
        &self.config
    }

    /// Steps skipped so far because of non-finite gradients.
    pub fn skipped_steps(&self) -> u64 {
        self.guard.skipped_total
    }

    /// Moves every parameter that has a gradient. Non-finite gradients skip the step; the third time in a row is an
    /// error.
    pub fn step(&mut self, grads: &impl GradientSource, learning_rate: f64) -> Result<StepReport> {
        let (norm, found) = self.guard.admit(&self.params, grads)?;
        let Some(found) = found else { return Ok(StepReport { gradient_norm: norm, skipped: true }) };
        let c = self.config;
        let scale = clip_factor(norm, c.clip_norm);
        for (index, param, gradient) in found {
            self.steps[index] += 1;
            let learning_rate = learning_rate * self.rates[index];
            let t = self.steps[index].min(i32::MAX as u64) as i32;
            let rate = learning_rate / (1.0 - c.beta1.powi(t));
            let root_scale = 1.0 / (1.0 - c.beta2.powi(t)).sqrt();
            let (l2, shrink) =
                if c.decoupled { (0.0, 1.0 - learning_rate * c.weight_decay) } else { (c.weight_decay, 1.0) };
            match &mut self.moments[index] {
                Moments::Host { m, v } => {
                    let factors = AdamFactors {
                        gradient_scale: scale as f32,
                        beta1: c.beta1 as f32,
                        beta2: c.beta2 as f32,
                        rate: rate as f32,
                        root_scale: root_scale as f32,
                        epsilon: c.epsilon as f32,
                        l2: l2 as f32,
                        shrink: shrink as f32,
                    };
                    update::adam(param.var(), &gradient, (m, v), factors)?;
                }
                Moments::Device { m, v } => {
                    let w = param.var().as_detached_tensor();
                    let g = ((gradient.to_tensor(param.var())? * scale)? + (&w * l2)?)?;
                    *m = ((&*m * c.beta1)? + (&g * (1.0 - c.beta1))?)?;
                    *v = ((&*v * c.beta2)? + (g.sqr()? * (1.0 - c.beta2))?)?;
                    let change = ((&*m * rate)? / ((v.sqrt()? * root_scale)? + c.epsilon)?)?;
                    param.var().set(&((w * shrink)? - change)?)?;
                }
            }
        }
        Ok(StepReport { gradient_norm: norm, skipped: false })
    }

    /// Moments (`<parameter>.exp_avg`, `<parameter>.exp_avg_sq`), step counts and the guard's counters.
    pub fn state_tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::with_capacity(3 * self.params.len() + 1);
        for ((param, moments), &steps) in self.params.iter().zip(&self.moments).zip(&self.steps) {
            let dims = param.var().dims();
            let (m, v) = match moments {
                Moments::Host { m, v } => (Tensor::from_slice(m, dims, &HOST)?, Tensor::from_slice(v, dims, &HOST)?),
                Moments::Device { m, v } => (m.copy()?, v.copy()?),
            };
            let name = param.name();
            state.push((format!("{name}.exp_avg"), m));
            state.push((format!("{name}.exp_avg_sq"), v));
            state.push((format!("{name}.step"), counters(&[steps])?));
        }
        state.push((GUARD.into(), counters(&[self.guard.skipped_total, self.guard.skipped_in_a_row.into()])?));
        Ok(state)
    }

    /// Takes over what [`Adam::state_tensors`] gave, in any order. On error nothing has changed.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let mut reader = StateReader::new(state)?;
        let (mut moments, mut steps) = (Vec::new(), Vec::new());
        for (param, old) in self.params.iter().zip(&self.moments) {
            let name = param.name();
            let dims = param.var().dims();
            let m = reader.tensor(&format!("{name}.exp_avg"), dims)?;
            let v = reader.tensor(&format!("{name}.exp_avg_sq"), dims)?;
            moments.push(match old {
                Moments::Host { .. } => Moments::Host { m: floats(&m)?, v: floats(&v)? },
                Moments::Device { .. } => {
                    let var = param.var();
                    let place = |t: Tensor| t.to_dtype(var.dtype())?.to_device(var.device());
                    Moments::Device { m: place(m)?, v: place(v)? }
                }
            });
            steps.push(reader.counters::<1>(&format!("{name}.step"))?[0]);
        }
        let [total, in_a_row] = reader.counters::<2>(GUARD)?;
        reader.finish()?;
        self.moments = moments;
        self.steps = steps;
        self.guard = Guard { skipped_total: total, skipped_in_a_row: in_a_row.min(u64::from(u32::MAX)) as u32 };
        Ok(())
    }
}

const GUARD: &str = "optimizer.skipped_steps";

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Share of the velocity that a step keeps; 0 is plain gradient descent.
    pub momentum: f64,
    /// This multiple of the parameter joins its gradient; 0 is none.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; `None` clips nothing.
    pub clip_norm: Option<f64>,
}

/// Stochastic gradient descent with momentum, in PyTorch's form. Parameters must be f32 on the CPU.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    params: Vec<Param>,
    velocities: Vec<Vec<f32>>,
    guard: Guard,
    /// Of the steps that candle-nn's `Optimizer` takes; ours are given theirs.
    pub(super) learning_rate: f64,
}

impl Sgd {
    /// For all parameters of the stores, in order; velocities start at 0.
    pub fn new(stores: &[&ParamStore], config: SgdConfig) -> Self {
        Self::for_params(stores.iter().flat_map(|store| store.params()).collect(), config)
    }

    /// For these parameters in this order; velocities start at 0.
    pub fn for_params(params: Vec<Param>, config: SgdConfig) -> Self {
        let velocities = params.iter().map(|param| vec![0.0; param.var().elem_count()]).collect();
        Self { config, params, velocities, guard: Guard::default(), learning_rate: SGD_RATE }
    }

    /// As [`Adam::step`].
    pub fn step(&mut self, grads: &impl GradientSource, learning_rate: f64) -> Result<StepReport> {
        let (norm, found) = self.guard.admit(&self.params, grads)?;
        let Some(found) = found else { return Ok(StepReport { gradient_norm: norm, skipped: true }) };
        let c = self.config;
        let factors = [clip_factor(norm, c.clip_norm), c.momentum, learning_rate, c.weight_decay].map(|x| x as f32);
        for (index, param, gradient) in found {
            update::momentum(param.var(), &gradient, &mut self.velocities[index], factors)?;
        }
        Ok(StepReport { gradient_norm: norm, skipped: false })
    }

    /// Velocities (`<parameter>.momentum_buffer`) and the guard's counters.
    pub fn state_tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::with_capacity(self.params.len() + 1);
        for (param, velocity) in self.params.iter().zip(&self.velocities) {
            let tensor = Tensor::from_slice(velocity, param.var().dims(), &HOST)?;
            state.push((format!("{}.momentum_buffer", param.name()), tensor));
        }
        state.push((GUARD.into(), counters(&[self.guard.skipped_total, self.guard.skipped_in_a_row.into()])?));
        Ok(state)
    }

    /// Takes over the output of [`Sgd::state_tensors`], in any order. On error nothing has changed.
    ///
    /// # Errors
    /// Tensors that are missing, too many, of another shape or named twice; counters that are negative or no 64-bit
    /// integers.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let mut reader = StateReader::new(state)?;
        let mut velocities = Vec::new();
        for param in &self.params {
            velocities.push(floats(&reader.tensor(&format!("{}.momentum_buffer", param.name()), param.var().dims())?)?);
        }
        let [total, in_a_row] = reader.counters::<2>(GUARD)?;
        reader.finish()?;
        self.velocities = velocities;
        self.guard = Guard { skipped_total: total, skipped_in_a_row: in_a_row.min(u64::from(u32::MAX)) as u32 };
        Ok(())
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

/// Counters as a tensor of 64-bit integers, which safetensors stores exactly.
fn counters(values: &[u64]) -> Result<Tensor> {
    let values: Vec<i64> = values.iter().map(|&value| i64::try_from(value).unwrap_or(i64::MAX)).collect();
    Ok(Tensor::new(values, &HOST)?)
}

/// Reads a state by name and notices what is left over.
struct StateReader<'a> {
    found: std::collections::BTreeMap<&'a str, &'a Tensor>,
}

impl<'a> StateReader<'a> {
    fn new(state: &'a [(String, Tensor)]) -> Result<Self> {
        Ok(Self { found: index_state(state)? })
    }

    fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<Tensor> {
        let tensor = self.found.remove(name).ok_or_else(|| NnError::Missing { name: name.into() })?;
        if tensor.dims() != expected {
            let found = tensor.dims().to_vec();
            return Err(NnError::Shape { name: name.into(), expected: expected.to_vec(), found });
        }
        Ok(tensor.detach())
    }

    fn counters<const N: usize>(&mut self, name: &str) -> Result<[u64; N]> {
        let tensor = self.tensor(name, &[N])?;
        let bad = |reason: String| NnError::InvalidValue { name: name.into(), reason };
        if tensor.dtype() != DType::I64 {
            return Err(bad(format!("expected 64-bit integers, found {:?}", tensor.dtype())));
        }
        let mut values = [0; N];
        for (value, number) in values.iter_mut().zip(tensor.to_vec1::<i64>()?) {
            *value = u64::try_from(number).map_err(|_| bad(format!("a count of {number}")))?;
        }
        Ok(values)
    }

    fn finish(self) -> Result<()> {
        match self.found.keys().next() {
            Some(name) => Err(NnError::Unexpected { name: (*name).into() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "optim_tests.rs"]
mod tests;
