//! Targets for the Q-function (QT-Opt, 4.2; RCAN, section 3): `r + gamma V(s')` with clipped double Q-learning,
//! `V(s') = min over i of Q_i(s', argmax over a of Q_1(s', a))`, the argmax found by the cross-entropy method.
//! Where a network has several critics, Q_1 is their mean and Q_2 the last one of the second target network.

use super::network::{Encoded, QFunction, Score};
use crate::contract::Seed;
use crate::rl::action::{ActionFeatures, ActionSpace};
use crate::rl::cem::{CemConfig, Choice, Search, maximise};
use crate::rl::error::RlError;
use candle_core::Tensor;
use rayon::prelude::*;

/// The least that Q tells: as published, all that costs more steps than it is likely to gain is worth 0, and what gains a
/// little is far from it on the scale of logits. Q down to the worst episode's -0.45 learned more slowly: giving up at -0.05
/// and an episode worth 0.05 were nearly the same logit.
pub const LEAST_VALUE: f32 = 0.0;

/// `n_step_return` when the episode ended, else `n_step_return + discount * value`, cut off to the range of Q. Over one step these are
/// `r` and gamma; over more of them the discounted rewards and gamma to their number.
pub fn bellman_target(n_step_return: f32, terminal: bool, discount: f32, value: f32) -> f32 {
    let target = if terminal { n_step_return } else { n_step_return + discount * value };
    target.clamp(LEAST_VALUE, 1.0)
}

/// Q of a logit: the sigmoid, stretched to `[LEAST_VALUE, 1]`.
pub fn value_of(logit: f32) -> f32 {
    LEAST_VALUE + (1.0 - LEAST_VALUE) * sigmoid(logit)
}

/// The sigmoid that stands for a value: the inverse of [`value_of`] but for the logit.
pub fn share_of(value: f32) -> f32 {
    (value - LEAST_VALUE) / (1.0 - LEAST_VALUE)
}

/// The best action for each encoded image, found from the seed of each; `may_end` says where the episode may be ended.
///
/// # Errors
/// A network that fails.
pub fn choose(
    q: &dyn QFunction,
    encoded: &Encoded,
    (space, cem): (&ActionSpace, &CemConfig),
    may_end: &[bool],
    seeds: &[Seed],
) -> Result<Vec<Choice>, RlError> {
    if encoded.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(scorer) = q.scorer(encoded)? {
        let search = |(index, (seed, &may_end)): (usize, (&Seed, &bool))| {
            maximise(space, cem, may_end, seed.rng(), |actions, logits| {
                let features: Vec<ActionFeatures> = actions.iter().map(|action| space.features(action)).collect();
                scorer.score(index, &features, logits);
            })
        };
        return Ok(seeds.par_iter().zip(may_end).enumerate().map(search).collect());
    }
    let mut searches: Vec<Search<'_>> =
        seeds.iter().zip(may_end).map(|(seed, &may_end)| Search::new(space, cem, may_end, seed.rng())).collect();
    for _ in 0..cem.num_iterations {
        let candidates: Vec<_> = searches.iter_mut().map(Search::sample).collect();
        let features: Vec<ActionFeatures> = candidates.iter().flatten().map(|action| space.features(action)).collect();
        let logits = logits_of(q, encoded, &features)?;
        for ((search, actions), logits) in
            searches.iter_mut().zip(&candidates).zip(logits.chunks_exact(cem.num_samples))
        {
            search.update(actions, logits);
        }
    }
    Ok(searches.iter().map(Search::best).collect())
}

/// Logits of actions for encoded images, without gradients: the mean of the critics, which the policy follows.
///
/// # Errors
/// A network that fails.
pub fn logits_of(q: &dyn QFunction, encoded: &Encoded, actions: &[ActionFeatures]) -> Result<Vec<f32>, RlError> {
    let all = all_logits_of(q, encoded, actions)?;
    let share = 1.0 / all.len().max(1) as f32;
    Ok((0..actions.len()).map(|index| all.iter().map(|logits| share * logits[index]).sum()).collect())
}

/// The same of the last critic alone.
///
/// # Errors
/// A network that fails.
pub fn last_logits_of(q: &dyn QFunction, encoded: &Encoded, actions: &[ActionFeatures]) -> Result<Vec<f32>, RlError> {
    Ok(all_logits_of(q, encoded, actions)?.pop().unwrap_or_default())
}

fn all_logits_of(q: &dyn QFunction, encoded: &Encoded, actions: &[ActionFeatures]) -> Result<Vec<Vec<f32>>, RlError> {
    if actions.is_empty() {
        return Ok(Vec::new());
    }
    let _frozen = q.store().freeze();
    Ok(q.logits(encoded, actions, false)?.iter().map(Tensor::to_vec1).collect::<candle_core::Result<_>>()?)
}

/// Scores the same actions in the situation of every encoded image: `[images][actions]`.
///
/// # Errors
/// A network that fails.
pub fn score_all(q: &dyn QFunction, encoded: &Encoded, actions: &[ActionFeatures]) -> Result<Vec<Vec<f32>>, RlError> {
    if let Some(scorer) = q.scorer(encoded)? {
        let score = |index| {
            let mut logits = Vec::with_capacity(actions.len());
            Score::score(scorer.as_ref(), index, actions, &mut logits);
            logits
        };
        return Ok((0..encoded.len()).into_par_iter().map(score).collect());
    }
    let repeated: Vec<ActionFeatures> = (0..encoded.len()).flat_map(|_| actions.iter().copied()).collect();
    let logits = logits_of(q, encoded, &repeated)?;
    Ok(logits.chunks_exact(actions.len().max(1)).map(<[f32]>::to_vec).collect())
}

/// `1 / (1 + exp(-logit))`.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_by_hand() {
        assert!((bellman_target(-0.05, false, 0.9, 0.5) - 0.4).abs() < 1e-7);
        assert_eq!(bellman_target(1.0, true, 0.9, 0.7), 1.0);
        assert_eq!(bellman_target(0.0, true, 0.9, 0.7), 0.0);
        assert_eq!(bellman_target(-0.05, false, 0.9, 0.01), LEAST_VALUE);
        assert!((value_of(0.0) - 0.5).abs() < 1e-6 && (share_of(value_of(0.7)) - sigmoid(0.7)).abs() < 1e-6);
    }
}
