//! Everything that a checkpoint needs of the learner: networks, averages, optimizers, singular vectors, pools.

use super::error::CycleGanError;
use super::learner::CycleGanLearner;
use crate::contract::Rng;
use crate::nn::{Adam, ParamStore};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tensors by name, in the order of their creation.
pub type NamedTensors = Vec<(String, Tensor)>;

/// A learner's state: groups of tensors by name (`sim2real_averaged` is the file to take elsewhere), and the rest as a
/// JSON value without floats.
#[derive(Clone, Debug)]
pub struct LearnerState {
    /// Networks, averages, optimizers and the images of the pools, each under its name.
    pub groups: BTreeMap<String, NamedTensors>,
    /// The number of steps, the balance of the terms and the random generators of the pools.
    pub values: serde_json::Value,
}

/// The name of the averaged G's group.
pub const SIM2REAL: &str = "sim2real_averaged";
/// The name of the averaged F's group.
pub const REAL2SIM: &str = "real2sim_averaged";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    steps: u64,
    balance: Vec<u64>,
    /// Generators of the pools' choices: D_Y's, then D_X's.
    pools: Vec<Rng>,
}

/// The names of the pools' groups: D_Y's, then D_X's.
pub(super) const POOLS: [&str; 2] = ["real_discriminator_pool", "sim_discriminator_pool"];

impl CycleGanLearner {
    /// The networks that learn, by name.
    pub fn networks(&self) -> Vec<(&'static str, &ParamStore)> {
        let mut networks = vec![
            ("sim2real", self.sim2real.generator.store()),
            ("real_discriminator", self.real_discriminator.discriminator.store()),
        ];
        networks.extend(self.real2sim.as_ref().map(|f| ("real2sim", f.generator.store())));
        networks.extend(self.sim_discriminator.as_ref().map(|d| ("sim_discriminator", d.discriminator.store())));
        networks.extend(self.domain.as_ref().map(|domain| ("domain_classifier", domain.store())));
        networks
    }

    /// The moving averages, by name.
    pub fn averages(&self) -> Vec<(&'static str, &ParamStore)> {
        let mut averages = vec![(SIM2REAL, self.sim2real.averaged.store())];
        averages.extend(self.real2sim.as_ref().map(|f| (REAL2SIM, f.averaged.store())));
        averages
    }

    /// The optimizers, by name.
    pub fn optimizers(&self) -> Vec<(&'static str, &Adam)> {
        let mut optimizers =
            vec![("sim2real_adam", &self.sim2real.adam), ("real_discriminator_adam", &self.real_discriminator.adam)];
        optimizers.extend(self.real2sim.as_ref().map(|f| ("real2sim_adam", &f.adam)));
        optimizers.extend(self.sim_discriminator.as_ref().map(|d| ("sim_discriminator_adam", &d.adam)));
        optimizers.extend(self.domain.as_ref().map(|domain| ("domain_classifier_adam", &domain.adam)));
        optimizers
    }

    /// The optimizers of [`Self::optimizers`], to load.
    fn optimizers_mut(&mut self) -> Vec<(&'static str, &mut Adam)> {
        let mut optimizers = vec![
            ("sim2real_adam", &mut self.sim2real.adam),
            ("real_discriminator_adam", &mut self.real_discriminator.adam),
        ];
        optimizers.extend(self.real2sim.as_mut().map(|f| ("real2sim_adam", &mut f.adam)));
        optimizers.extend(self.sim_discriminator.as_mut().map(|d| ("sim_discriminator_adam", &mut d.adam)));
        optimizers.extend(self.domain.as_mut().map(|domain| ("domain_classifier_adam", &mut domain.adam)));
        optimizers
    }

    /// Everything that a checkpoint needs; copies, so that training may go on meanwhile.
    ///
    /// # Errors
    /// A device that fails.
    pub fn state(&self) -> Result<LearnerState, CycleGanError> {
        let mut groups = BTreeMap::new();
        for (name, store) in self.networks().into_iter().chain(self.averages()) {
            groups.insert(name.to_owned(), store.state_tensors()?);
        }
        for (name, adam) in self.optimizers() {
            groups.insert(name.to_owned(), adam.state_tensors()?);
        }
        for (name, tensors) in self.pool_tensors()? {
            groups.insert(name.to_owned(), tensors);
        }
        let values = self.state_values()?;
        Ok(LearnerState { groups, values })
    }

    /// Takes over what [`Self::state`] gave.
    ///
    /// # Errors
    /// Groups or tensors that are missing, too many or of other sizes. The learner is then not to be used.
    pub fn load_state(&mut self, state: &LearnerState) -> Result<(), CycleGanError> {
        let group =
            |name: &str| state.groups.get(name).ok_or_else(|| CycleGanError::State(format!("it holds no '{name}'")));
        let mut known = POOLS.to_vec();
        for (name, store) in self.networks().into_iter().chain(self.averages()) {
            store.load_state(group(name)?)?;
            known.push(name);
        }
        for (name, adam) in self.optimizers_mut() {
            adam.load_state(group(name)?)?;
            known.push(name);
        }
        if let Some(name) = state.groups.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(CycleGanError::State(format!("it holds '{name}', which this method does not have")));
        }
        let mut pools = [None, None];
        for (images, name) in pools.iter_mut().zip(POOLS) {
            *images = match state.groups.get(name).map(Vec::as_slice) {
                None => None,
                Some([(_, images)]) => Some(images.clone()),
                Some(_) => return Err(CycleGanError::State(format!("{name} must be one tensor"))),
            };
        }
        self.restore_values(state.values.clone(), &pools)
    }

    /// Counters and random generators.
    pub(super) fn state_values(&self) -> Result<serde_json::Value, CycleGanError> {
        let mut pools = Vec::new();
        for trained in std::iter::once(&self.real_discriminator).chain(&self.sim_discriminator) {
            pools.push(trained.pool.state()?.1);
        }
        let values = Values { steps: self.steps, balance: self.balance.state(), pools };
        serde_json::to_value(values).map_err(|e| CycleGanError::State(e.to_string()))
    }

    /// The images of the pools that hold any.
    pub(super) fn pool_tensors(&self) -> Result<Vec<(&'static str, NamedTensors)>, CycleGanError> {
        let mut groups = Vec::new();
        for (trained, name) in std::iter::once(&self.real_discriminator).chain(&self.sim_discriminator).zip(POOLS) {
            if let (Some(images), _) = trained.pool.state()? {
                groups.push((name, vec![("images".to_owned(), images)]));
            }
        }
        Ok(groups)
    }

    /// Takes over [`Self::state_values`] and the images of both pools.
    pub(super) fn restore_values(
        &mut self,
        values: serde_json::Value,
        pools: &[Option<Tensor>; 2],
    ) -> Result<(), CycleGanError> {
        let values: Values = serde_json::from_value(values).map_err(|e| CycleGanError::State(e.to_string()))?;
        let discriminators = std::iter::once(&mut self.real_discriminator).chain(&mut self.sim_discriminator);
        let mut rngs = values.pools.into_iter();
        for ((trained, name), images) in discriminators.zip(POOLS).zip(pools) {
            let rng = rngs.next().ok_or_else(|| CycleGanError::State(format!("it has no generator for {name}")))?;
            trained.pool.load_state(images.as_ref(), rng)?;
        }
        self.balance.load_state(&values.balance)?;
        self.steps = values.steps;
        Ok(())
    }
}
