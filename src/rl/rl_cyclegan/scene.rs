//! RL-CycleGAN's scene consistency with the program's Q-functions (Rao et al., 2020, equations 3 and 4).

use super::config::SceneConfig;
use crate::contract::action_space::ActionFeatures;
use crate::contract::{Action, Seed};
use crate::gan::cyclegan::noise::as_observed;
use crate::gan::cyclegan::{CycleGanError, SceneLoss, SceneTerm, UnpairedBatch};
use crate::gan::losses::{normalized_scene_error, scene_triple, scene_triple_clipped};
use crate::nn::ops::loss::sigmoid_cross_entropy;
use crate::nn::ops::{Activation, activate};
use crate::nn::{Activations, HOST, ParamStore};
use crate::rl::qtopt::network::{EncoderMode, QFunction, STATE_LEN, state_activations};
use candle_core::{DType, Result, Tensor};

/// Numbers of a row of [`UnpairedBatch::x_actions`]: the gripper's state, then an action.
const ROW: usize = STATE_LEN + Action::ENCODED_LEN;

/// States and the actions to compare Q at, as [`UnpairedBatch`] carries them: `[n, actions, ROW]`, the action that was done
/// first.
///
/// # Errors
/// Not as many actions for each state.
pub fn query_rows(states: &[[f32; STATE_LEN]], actions: &[Vec<ActionFeatures>]) -> Result<Tensor> {
    let count = actions.first().map_or(0, Vec::len);
    let rows = states
        .iter()
        .zip(actions)
        .flat_map(|(state, actions)| actions.iter().flat_map(|action| state.iter().chain(action)));
    Tensor::from_vec(rows.copied().collect::<Vec<f32>>(), (states.len(), count, ROW), &HOST)
}

/// What [`query_rows`] made: states, and for each of the actions one of every state.
struct Queries {
    states: Vec<[f32; STATE_LEN]>,
    actions: Vec<Vec<ActionFeatures>>,
}

impl Queries {
    fn read(rows: Option<&Tensor>) -> std::result::Result<Self, CycleGanError> {
        let missing = || CycleGanError::Input("the scene term needs actions beside the images of both domains".into());
        let rows = rows.ok_or_else(missing)?.to_device(&HOST)?.to_dtype(DType::F32)?.to_vec3::<f32>()?;
        let count = rows.first().map_or(0, Vec::len);
        if count == 0 || rows.iter().flatten().any(|row| row.len() != ROW) {
            return Err(CycleGanError::Input(format!(
                "each action of the scene term must have {ROW} numbers, and there must be one"
            )));
        }
        let states = rows.iter().map(|image| std::array::from_fn(|i| image[0][i])).collect();
        let action = |row: &Vec<f32>| std::array::from_fn(|i| row[STATE_LEN + i]);
        let actions = (0..count).map(|k| rows.iter().map(|image| action(&image[k])).collect()).collect();
        Ok(Self { states, actions })
    }
}

/// The six Q-values. Both functions are the averaged ones, seen as when they decide.
pub struct QScene<'a> {
    /// Judges x, F(G(x)) and F(y).
    pub q_sim: &'a dyn QFunction,
    /// Judges G(x), y and G(F(y)).
    pub q_real: &'a dyn QFunction,
    /// How many actions are compared, by values or by logits, and the noise before Q.
    pub config: &'a SceneConfig,
    /// Whether Q_sim is good enough to be agreed on; else the term is left out.
    pub ready: bool,
    /// Targets of x's and y's own actions, for [`SceneConfig::end_to_end_weight`].
    pub targets: [&'a [f32]; 2],
}

impl QScene<'_> {
    /// Logits of every action in every image, `[actions, images]`: the mean of the critics.
    fn logits(&self, q: &dyn QFunction, image: &Activations, queries: &Queries) -> Result<Tensor> {
        let states = state_activations(&queries.states, q.store().device())?;
        let encoded = q.encode(image, &states, EncoderMode::ImageGradient)?;
        let of = |actions: &Vec<ActionFeatures>| -> Result<Tensor> {
            let critics = q.logits(&encoded, actions, false)?;
            Tensor::stack(&critics, 0)?.mean(0)
        };
        Tensor::stack(&queries.actions.iter().map(of).collect::<Result<Vec<_>>>()?, 0)
    }

    /// A triple's term, its normalized errors against the original, and Q's own loss on the translations.
    fn triple(
        &self,
        (q, images): ([&dyn QFunction; 3], [&Activations; 3]),
        queries: &Queries,
        (targets, seed): (&[f32], Seed),
    ) -> std::result::Result<(Tensor, [f64; 2], Option<Tensor>), CycleGanError> {
        let mut logits = Vec::with_capacity(3);
        for (index, (q, image)) in q.into_iter().zip(images).enumerate() {
            // The original has been through a camera already.
            let std = self.config.observation_std;
            let seen = if index > 0 && std > 0.0 {
                as_observed(image, std, seed.derive("observed", index as u64))?
            } else {
                image.clone()
            };
            logits.push(self.logits(q, &seen, queries)?);
        }
        let values = logits.iter().map(sigmoid_of).collect::<Result<Vec<_>>>()?;
        let term = match self.config.logit_limit {
            limit if limit > 0.0 => scene_triple_clipped([&logits[0], &logits[1], &logits[2]], limit)?,
            _ => scene_triple([&values[0], &values[1], &values[2]])?,
        };
        let plain = |values: &Tensor| values.detach().flatten_all()?.to_vec1::<f32>();
        let original = plain(&values[0])?;
        let errors = [
            normalized_scene_error(&original, &plain(&values[1])?),
            normalized_scene_error(&original, &plain(&values[2])?),
        ];
        let mut own = None;
        if self.config.end_to_end_weight > 0.0 {
            let target = Tensor::from_slice(targets, targets.len(), logits[0].device())?;
            let loss = |logits: &Tensor| sigmoid_cross_entropy(&logits.get(0)?, &target);
            own = Some((loss(&logits[1])? + loss(&logits[2])?)?);
        }
        Ok((term, errors, own))
    }
}

/// Values of logits, differentiable.
fn sigmoid_of(logits: &Tensor) -> Result<Tensor> {
    activate(&Activations::from_tensor(logits)?, Activation::Sigmoid)?.to_tensor()
}

impl SceneLoss for QScene<'_> {
    fn stores(&self) -> Vec<&ParamStore> {
        vec![self.q_sim.store(), self.q_real.store()]
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn loss(
        &self,
        x: [&Activations; 3],
        y: [&Activations; 3],
        batch: &UnpairedBatch,
        seed: Seed,
    ) -> std::result::Result<SceneTerm, CycleGanError> {
        let queries = [Queries::read(batch.x_actions.as_ref())?, Queries::read(batch.y_actions.as_ref())?];
        let of_x = ([self.q_sim, self.q_real, self.q_sim], x);
        let of_y = ([self.q_real, self.q_sim, self.q_real], y);
        let (sim, [gx, fgx], own_x) = self.triple(of_x, &queries[0], (self.targets[0], seed.derive("x", 0)))?;
        let (real, [fy, gfy], own_y) = self.triple(of_y, &queries[1], (self.targets[1], seed.derive("y", 0)))?;
        let mut loss = (sim + real)?;
        let mut metrics = vec![
            ("scene_error/q_real_gx", gx),
            ("scene_error/q_sim_fgx", fgx),
            ("scene_error/q_sim_fy", fy),
            ("scene_error/q_real_gfy", gfy),
        ];
        if let (Some(x), Some(y)) = (own_x, own_y) {
            let own = (x + y)?;
            metrics.push(("loss/rl_end_to_end", f64::from(own.to_scalar::<f32>()?)));
            loss = (loss + (own * self.config.end_to_end_weight)?)?;
        }
        Ok(SceneTerm { loss, metrics })
    }
}
