//! The cross-entropy method over actions (QT-Opt, 4.2): draw samples, keep the best, draw again around them.
//!
//! Displacement and rotation are drawn from a normal distribution, closing from a coin, all of them so that the draws of an
//! iteration lie evenly (`draws`). Of the first draws along each axis
//! but the vertical some are small: who has nearly arrived moves a little along one axis and not at all along the others,
//! and in four dimensions hardly any of 64 draws does that. The action that ends the episode has nothing to draw: it is
//! tried as it is, and not with open fingers, which hold nothing, nor below `end_above_m`.
//!
//! In: a function that scores actions. Out: the best action that was tried.

use super::action::ActionSpace;
use super::bellman::value_of;
use super::draws::{Even, normal_quantile};
use crate::contract::{Action, Rng};
use serde::{Deserialize, Serialize};

/// The published search is 2 iterations of 64 samples with 6 elites.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CemConfig {
    pub iterations: usize,
    pub samples: usize,
    pub elites: usize,
    /// Deviation of the first samples, as a share of the largest step; draws beyond the step are clamped to it.
    pub deviation: f32,
    /// Later deviations stay at least this large.
    pub least_deviation: f32,
    /// Share of the first draws along the horizontal axes, and of rotations, that are small; and how small: a factor of
    /// `deviation`.
    pub fine_share: f32,
    pub fine_factor: f32,
    /// Share of the first samples that close the fingers.
    pub close: f32,
    /// The attempt is not ended with finger tips lower than this above the bin's floor, metres. What has been lifted can be
    /// seen to hang from the hand, and what was lost on the way can be tried again.
    pub end_above_m: f32,
}

impl Default for CemConfig {
    fn default() -> Self {
        Self {
            iterations: 2,
            samples: 64,
            elites: 6,
            deviation: 0.6,
            fine_share: 0.3,
            fine_factor: 0.2,
            least_deviation: 0.03,
            close: 0.25,
            end_above_m: 0.0,
        }
    }
}

impl CemConfig {
    /// Whether a hand may end an attempt.
    pub fn may_end(&self, closed: bool, height_m: f32) -> bool {
        closed && height_m >= self.end_above_m
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let whole = (1..=16).contains(&self.iterations) && (4..=65_536).contains(&self.samples);
        let elites = self.elites >= 1 && self.elites < self.samples;
        let spread = self.deviation > 0.0 && self.least_deviation >= 0.0 && (0.0..=1.0).contains(&self.close);
        if ![self.fine_share, self.fine_factor].iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err("cem: fine_share and fine_factor must be from 0 to 1".into());
        }
        if !(0.0..=10.0).contains(&self.end_above_m) {
            return Err("cem: end_above_m must be from 0 to 10 metres".into());
        }
        if whole && elites && spread && self.deviation.is_finite() && self.least_deviation.is_finite() {
            return Ok(());
        }
        Err("cem: give 1 to 16 iterations of 4 to 65536 samples, fewer elites than samples, and positive deviations"
            .into())
    }
}

/// Closing stays possible, and so does leaving open.
const LEAST_CHANCE: f32 = 0.05;

/// The axis of lifting and lowering, along which small moves are of no more use than others.
const VERTICAL: usize = 2;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub action: Action,
    /// The score of the action: a logit.
    pub logit: f32,
    /// Mean deviation of the last elites, as a share of the largest step.
    pub spread: f32,
}

impl Choice {
    /// The Q-value.
    pub fn value(&self) -> f32 {
        value_of(self.logit)
    }
}

/// One search. Several may go on in step, so that their samples are scored together.
pub struct Search<'a> {
    space: &'a ActionSpace,
    config: &'a CemConfig,
    rng: Rng,
    may_end: bool,
    mean: [f32; 4],
    deviation: [f32; 4],
    close: f32,
    units: Vec<([f32; 4], bool)>,
    best: Choice,
}

impl<'a> Search<'a> {
    /// A search in a state in which the attempt may be ended or not.
    pub fn new(space: &'a ActionSpace, config: &'a CemConfig, may_end: bool, rng: Rng) -> Self {
        let best = Choice { action: Action::default(), logit: f32::NEG_INFINITY, spread: config.deviation };
        let (mean, deviation) = ([0.0; 4], [config.deviation; 4]);
        Self { space, config, rng, may_end, mean, deviation, close: config.close, units: Vec::new(), best }
    }

    /// The next `samples` actions to score.
    pub fn propose(&mut self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(self.config.samples);
        if self.units.is_empty() && self.may_end {
            actions.push(Action { terminate: true, ..Action::default() });
        }
        // Later draws are as small as the elites say.
        let fine_share = if self.units.is_empty() { self.config.fine_share } else { 0.0 };
        self.units.clear();
        let mut even = Even::new(&mut self.rng);
        while actions.len() < self.config.samples {
            let point = even.point();
            let units: [f32; 4] = std::array::from_fn(|axis| {
                let fine = axis != VERTICAL && self.rng.chance(fine_share);
                let deviation = self.deviation[axis] * if fine { self.config.fine_factor } else { 1.0 };
                (self.mean[axis] + deviation * normal_quantile(point[axis])).clamp(-1.0, 1.0)
            });
            let close = point[4] < self.close;
            self.units.push((units, close));
            actions.push(self.space.from_units(units, close));
        }
        actions
    }

    /// Takes the scores of the last proposal.
    pub fn learn(&mut self, actions: &[Action], logits: &[f32]) {
        for (action, &logit) in actions.iter().zip(logits) {
            if logit > self.best.logit {
                (self.best.action, self.best.logit) = (*action, logit);
            }
        }
        let moves = actions.len() - self.units.len();
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        order.sort_by(|&a, &b| logits[moves + b].total_cmp(&logits[moves + a]).then(a.cmp(&b)));
        order.truncate(self.config.elites.max(1));
        let count = order.len().max(1) as f32;
        let elites = || order.iter().map(|&i| &self.units[i]);
        let mut spread = 0.0;
        for axis in 0..4 {
            let mean = elites().map(|(units, _)| units[axis]).sum::<f32>() / count;
            let variance = elites().map(|(units, _)| (units[axis] - mean).powi(2)).sum::<f32>() / count;
            self.mean[axis] = mean;
            self.deviation[axis] = variance.sqrt().max(self.config.least_deviation);
            spread += 0.25 * variance.sqrt();
        }
        let closing = elites().filter(|(_, close)| *close).count() as f32 / count;
        self.close = closing.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
        self.best.spread = spread;
    }

    pub fn best(&self) -> Choice {
        self.best
    }
}

/// Searches the action with the highest score. `score` fills in one logit for each action.
pub fn maximise(
    space: &ActionSpace,
    config: &CemConfig,
    may_end: bool,
    rng: Rng,
    mut score: impl FnMut(&[Action], &mut Vec<f32>),
) -> Choice {
    let mut search = Search::new(space, config, may_end, rng);
    let mut logits = Vec::with_capacity(config.samples);
    for _ in 0..config.iterations {
        let actions = search.propose();
        logits.clear();
        score(&actions, &mut logits);
        search.learn(&actions, &logits);
    }
    search.best()
}

#[cfg(test)]
mod tests {
    use super::super::action::tests::SPACE;
    use super::*;
    use crate::contract::{GripperCommand, Seed};

    /// A hill, higher where the fingers close.
    fn hill(action: &Action) -> f32 {
        if action.terminate {
            return -0.5;
        }
        let units = SPACE.to_units(action);
        let distance: f32 = units.iter().zip([0.4, -0.5, -1.0, 0.2]).map(|(a, b): (&f32, f32)| (a - b).powi(2)).sum();
        let height = if action.gripper == GripperCommand::Close { 1.5 } else { 1.0 };
        height * (-distance).exp()
    }

    #[test]
    fn it_finds_what_a_dense_search_finds() {
        let mut best = f32::NEG_INFINITY;
        let steps = || (-10..=10).map(|i| i as f32 / 10.0);
        for x in steps() {
            for y in steps() {
                for z in steps() {
                    for turn in steps() {
                        for close in [false, true] {
                            best = best.max(hill(&SPACE.from_units([x, y, z, turn], close)));
                        }
                    }
                }
            }
        }
        assert!((best - 1.5).abs() < 1e-4, "{best}");
        let search = |config: &CemConfig| -> Vec<f32> {
            let one = |seed| {
                let choice = maximise(&SPACE, config, true, Seed(seed).rng(), |a, l| l.extend(a.iter().map(hill)));
                assert_eq!(hill(&choice.action), choice.logit);
                choice.logit / best
            };
            (0..200).map(one).collect()
        };
        let mean = |shares: &[f32]| shares.iter().sum::<f32>() / shares.len() as f32;
        let two = search(&CemConfig::default());
        assert!(mean(&two) > 0.85 && two.iter().all(|&share| share > 0.5), "{} {two:?}", mean(&two));
        // More iterations come closer: the method converges.
        let six = search(&CemConfig { iterations: 6, ..CemConfig::default() });
        assert!(mean(&six) > 0.99, "{}", mean(&six));
    }

    #[test]
    fn ending_is_always_tried_and_never_drawn() {
        let mut tried = 0;
        let mut search = |may_end| {
            maximise(&SPACE, &CemConfig::default(), may_end, Seed(3).rng(), |actions, logits| {
                tried += actions.iter().filter(|action| action.terminate).count();
                assert_eq!(actions.len(), 64);
                logits.extend(actions.iter().map(|a| if a.terminate { 3.0 } else { hill(a) }));
            })
        };
        let (choice, open) = (search(true), search(false));
        assert_eq!(tried, 1, "ending with open fingers is not tried");
        assert!(!open.action.terminate);
        assert_eq!(choice.action, Action { terminate: true, ..Action::default() });
        assert_eq!(choice.logit, 3.0);
        let lifted = CemConfig { end_above_m: 0.1, ..CemConfig::default() };
        assert!(lifted.may_end(true, 0.1) && !lifted.may_end(true, 0.09) && !lifted.may_end(false, 0.2));
    }

    #[test]
    fn some_first_draws_are_small_but_for_the_vertical() {
        let config = CemConfig { samples: 4096, fine_share: 0.4, fine_factor: 0.05, ..CemConfig::default() };
        let mut search = Search::new(&SPACE, &config, false, Seed(8).rng());
        let actions = search.propose();
        let small = |axis: usize| {
            let within = actions.iter().filter(|action| SPACE.to_units(action)[axis].abs() < 0.06).count();
            within as f32 / actions.len() as f32
        };
        // Of a normal distribution 8% lie within a tenth of its deviation and 95.4% within twice.
        let mixed = 0.4 * 0.954 + 0.6 * 0.08;
        for (axis, share) in [mixed, mixed, 0.08, mixed].into_iter().enumerate() {
            assert!((small(axis) - share).abs() < 0.03, "{axis}: {} {share}", small(axis));
        }
        let bad = CemConfig { fine_share: 1.5, ..CemConfig::default() };
        assert!(bad.validate().is_err_and(|message| message.contains("fine_share")));
    }

    #[test]
    fn the_same_stream_gives_the_same_choice() {
        let search =
            |seed| maximise(&SPACE, &CemConfig::default(), true, Seed(seed).rng(), |a, l| l.extend(a.iter().map(hill)));
        assert_eq!(search(5), search(5));
        assert_ne!(search(5).action, search(6).action);
    }
}
