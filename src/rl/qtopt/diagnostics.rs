//! Why it learns, or does not: how well Q tells successes from failures that it was not trained on, and how close the
//! cross-entropy method comes to a dense search.

use super::bellman::{choose, logits_of, score_all, sigmoid, value_of};
use super::collect::Episode;
use super::network::{EncoderMode, image_activations, may_end, state_activations};
use super::policy::CemPolicy;
use crate::contract::action_space::ActionFeatures;
use crate::contract::{Action, Seed};
use crate::rl::error::RlError;
use crate::rl::replay::Termination;

/// Area under the ROC curve: the chance that a success scores above a failure, ties counting half. None without both.
pub fn area_under_curve(scores: &[(f32, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = sorted.iter().filter(|(_, success)| *success).count();
    let negatives = sorted.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut ranks, mut at) = (0.0, 0);
    while at < sorted.len() {
        let tied = sorted[at..].iter().take_while(|(score, _)| *score == sorted[at].0).count();
        let mean_rank = at as f64 + (tied as f64 + 1.0) / 2.0;
        ranks += mean_rank * sorted[at..at + tied].iter().filter(|(_, success)| *success).count() as f64;
        at += tied;
    }
    let p = positives as f64;
    Some((ranks - p * (p + 1.0) / 2.0) / (p * negatives as f64))
}

/// How Q judges the actions that ended fresh episodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QCalibration {
    /// Chance that a grasp that succeeded has the higher Q; NaN without both kinds.
    pub auc: f64,
    /// Mean Q of those actions, and the share of them that succeeded.
    pub predicted: f64,
    /// Share of those actions whose grasp succeeded, from 0 to 1.
    pub achieved: f64,
    /// Mean cross-entropy, and that of always saying the mean.
    pub cross_entropy: f64,
    /// Mean cross-entropy, in nats, of a prediction that is `achieved` for every action.
    pub base: f64,
}

/// Judges the last actions of episodes that Q was not trained on.
///
/// # Errors
/// A network that fails.
pub fn evaluate_q(cem_policy: CemPolicy<'_>, episodes: &[&Episode]) -> Result<QCalibration, RlError> {
    let mut scores = Vec::with_capacity(episodes.len());
    for chunk in episodes.chunks(128) {
        let last: Vec<_> = chunk
            .iter()
            .filter_map(|episode| Some((episode.transitions.last()?, episode.success)))
            .filter(|(last, _)| last.record.termination == Termination::Terminated)
            .collect();
        let images: Vec<&[u8]> = last.iter().map(|(transition, _)| &transition.image[..]).collect();
        let states: Vec<_> = last.iter().map(|(transition, _)| transition.record.state).collect();
        let actions: Vec<ActionFeatures> = last.iter().map(|(transition, _)| transition.record.action).collect();
        if last.is_empty() {
            continue;
        }
        let _frozen = cem_policy.q.store().freeze();
        let device = cem_policy.q.store().device();
        let images = image_activations(&images, cem_policy.size, cem_policy.channels, device)?;
        let encoded = cem_policy.q.encode(&images, &state_activations(&states, device)?, EncoderMode::Evaluate)?;
        let logits = logits_of(cem_policy.q, &encoded, &actions)?;
        scores.extend(logits.into_iter().zip(last).map(|(logit, (_, success))| (logit, success)));
    }
    let count = scores.len().max(1) as f64;
    let mean = |f: &dyn Fn(&(f32, bool)) -> f64| scores.iter().map(f).sum::<f64>() / count;
    let achieved = mean(&|(_, success)| f64::from(u8::from(*success)));
    let entropy = |p: f64, success: bool| -(if success { p } else { 1.0 - p }).clamp(1e-7, 1.0).ln();
    Ok(QCalibration {
        auc: area_under_curve(&scores).unwrap_or(f64::NAN),
        predicted: mean(&|(logit, _)| f64::from(value_of(*logit))),
        achieved,
        cross_entropy: mean(&|(logit, success)| entropy(f64::from(value_of(*logit)), *success)),
        base: mean(&|(_, success)| entropy(achieved, *success)),
    })
}

/// Q (as its sigmoid) of the action that the cross-entropy method finds, over the highest Q of `samples` uniform draws and that action:
/// the mean over states. 1 when no draw is better.
///
/// # Errors
/// A network that fails.
pub fn cem_optimality(
    cem_policy: CemPolicy<'_>,
    images: &[&[u8]],
    states: &[[f32; super::network::STATE_LEN]],
    samples: usize,
    seed: Seed,
) -> Result<f64, RlError> {
    if images.is_empty() {
        return Ok(f64::NAN);
    }
    let _frozen = cem_policy.q.store().freeze();
    let device = cem_policy.q.store().device();
    let images = image_activations(images, cem_policy.size, cem_policy.channels, device)?;
    let encoded = cem_policy.q.encode(&images, &state_activations(states, device)?, EncoderMode::Evaluate)?;
    let seeds: Vec<Seed> = (0..states.len() as u64).map(|i| seed.derive("search", i)).collect();
    let may_end: Vec<bool> = states.iter().map(|state| may_end(cem_policy.cem, state)).collect();
    let found = choose(cem_policy.q, &encoded, (cem_policy.space, cem_policy.cem), &may_end, &seeds)?;
    let mut rng = seed.derive("dense", 0).rng();
    let mut actions = vec![Action { terminate: true, ..Action::default() }];
    while actions.len() < samples {
        actions.push(cem_policy.space.effective(&cem_policy.space.random(&mut rng), false));
    }
    let features: Vec<ActionFeatures> = actions.iter().map(|action| cem_policy.space.features(action)).collect();
    let dense = score_all(cem_policy.q, &encoded, &features)?;
    let shares = found.iter().zip(dense).zip(may_end).map(|((choice, logits), may_end)| {
        // The first of the dense actions ends the episode.
        let best = logits.into_iter().skip(usize::from(!may_end)).fold(choice.logit, f32::max);
        f64::from(sigmoid(choice.logit) / sigmoid(best).max(1e-9))
    });
    Ok(shares.sum::<f64>() / states.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_as_by_hand() {
        // Of the four pairs (success, failure), three are in order and one is a tie.
        let scores = [(0.9, true), (0.5, true), (0.5, false), (0.1, false)];
        assert_eq!(area_under_curve(&scores), Some(3.5 / 4.0));
        assert_eq!(area_under_curve(&[(1.0, true)]), None);
        assert_eq!(area_under_curve(&[(0.0, true), (1.0, false)]), Some(0.0));
    }
}
