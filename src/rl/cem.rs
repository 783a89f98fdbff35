//! The cross-entropy method over actions (QT-Opt, 4.2): draw samples, keep the best, draw again around them.
//!
//! Displacement and rotation are drawn from a normal distribution, closing from a coin, all of them so that the draws of an
//! iteration lie evenly (`draws`). Of the first draws along each axis
//! but the vertical some are small: who has nearly arrived moves a little along one axis and not at all along the others,
//! and in four dimensions hardly any of 64 draws does that. The action that ends the episode has nothing to draw: it is
//! tried as it is, and not with open fingers, which hold nothing, nor below `end_above_m`.
//!
//! In: a function that scores actions. Out: the best action that was tried.

use super::qtopt::bellman::value_of;
use super::quasi_random::{QuasiRandom, normal_quantile};
use crate::contract::ActionSpace;
use crate::contract::{Action, Rng};
use serde::{Deserialize, Serialize};

/// The published search is 2 iterations of 64 samples with 6 elites.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CemConfig {
    /// Rounds of sampling and refitting, from 1 to 16.
    pub num_iterations: usize,
    /// Actions scored in each round, from 4 to 65536; in the first one the ending action counts among them.
    pub num_samples: usize,
    /// Best samples of a round that the next round's mean and deviation are fitted to; at least 1, fewer than
    /// `num_samples`.
    pub num_elites: usize,
    /// Deviation of the first samples, as a share of the largest step; draws beyond the step are clamped to it.
    pub initial_std: f32,
    /// Later deviations stay at least this large.
    pub min_std: f32,
    /// Share of the first draws along the horizontal axes, and of rotations, that are small; and how small: a factor of
    /// `initial_std`.
    pub p_fine: f32,
    /// Deviation of those small draws, as a factor of `initial_std`; from 0 to 1.
    pub fine_std_scale: f32,
    /// Share of the first samples that close the fingers.
    pub p_close: f32,
    /// The episode is not ended with finger tips lower than this above the bin's floor, metres. What has been lifted can be
    /// seen to hang from the hand, and what was lost on the way can be tried again.
    pub end_above_m: f32,
}

impl Default for CemConfig {
    fn default() -> Self {
        Self {
            num_iterations: 2,
            num_samples: 64,
            num_elites: 6,
            initial_std: 0.6,
            p_fine: 0.3,
            fine_std_scale: 0.2,
            min_std: 0.03,
            p_close: 0.25,
            end_above_m: 0.0,
        }
    }
}

/// How large a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSize {
    /// Rounds of sampling and refitting, from 1 to 16.
    pub num_iterations: usize,
    /// Actions scored in each round, from 4 to 65536.
    pub num_samples: usize,
    /// Best samples of a round that the next one is fitted to; at least 1, fewer than `num_samples`.
    pub num_elites: usize,
}

impl SearchSize {
    /// QT-Opt's.
    pub const PUBLISHED: Self = Self { num_iterations: 2, num_samples: 64, num_elites: 6 };
    /// Of a policy that acts and does not learn: the published search finds actions whose Q is 0.86 to 0.93 of the best that a
    /// dense one finds. Larger ones find actions that Q is wrong about.
    pub const ACTING: Self = Self { num_iterations: 4, num_samples: 128, num_elites: 10 };
}

impl CemConfig {
    /// The same search in another size.
    pub fn with_size(self, size: SearchSize) -> Self {
        let SearchSize { num_iterations, num_samples, num_elites } = size;
        Self { num_iterations, num_samples, num_elites, ..self }
    }

    /// Whether a hand may end an episode.
    pub fn may_end(&self, closed: bool, height_m: f32) -> bool {
        closed && height_m >= self.end_above_m
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let whole = (1..=16).contains(&self.num_iterations) && (4..=65_536).contains(&self.num_samples);
        let elites = self.num_elites >= 1 && self.num_elites < self.num_samples;
        let spread = self.initial_std > 0.0 && self.min_std >= 0.0 && (0.0..=1.0).contains(&self.p_close);
        if ![self.p_fine, self.fine_std_scale].iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err("cem: p_fine and fine_std_scale must be from 0 to 1".into());
        }
        if !(0.0..=10.0).contains(&self.end_above_m) {
            return Err("cem: end_above_m must be from 0 to 10 metres".into());
        }
        if whole && elites && spread && self.initial_std.is_finite() && self.min_std.is_finite() {
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
    /// The best action that was scored, in metres and radians; it may be the one that ends the episode.
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
    std: [f32; 4],
    p_close: f32,
    normalized: Vec<([f32; 4], bool)>,
    best: Choice,
}

impl<'a> Search<'a> {
    /// A search in a state in which the episode may be ended or not.
    pub fn new(space: &'a ActionSpace, config: &'a CemConfig, may_end: bool, rng: Rng) -> Self {
        let best = Choice { action: Action::default(), logit: f32::NEG_INFINITY, spread: config.initial_std };
        let (mean, std) = ([0.0; 4], [config.initial_std; 4]);
        Self { space, config, rng, may_end, mean, std, p_close: config.p_close, normalized: Vec::new(), best }
    }

    /// The next `samples` actions to score.
    pub fn sample(&mut self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(self.config.num_samples);
        if self.normalized.is_empty() && self.may_end {
            actions.push(Action { terminate: true, ..Action::default() });
        }
        // Later draws are as small as the elites say.
        let p_fine = if self.normalized.is_empty() { self.config.p_fine } else { 0.0 };
        self.normalized.clear();
        let mut sequence = QuasiRandom::new(&mut self.rng);
        while actions.len() < self.config.num_samples {
            let point = sequence.point();
            let normalized: [f32; 4] = std::array::from_fn(|axis| {
                let fine = axis != VERTICAL && self.rng.chance(p_fine);
                let std = self.std[axis] * if fine { self.config.fine_std_scale } else { 1.0 };
                (self.mean[axis] + std * normal_quantile(point[axis])).clamp(-1.0, 1.0)
            });
            let close = point[4] < self.p_close;
            self.normalized.push((normalized, close));
            actions.push(self.space.denormalize(normalized, close));
        }
        actions
    }

    /// Takes the scores of the last proposal.
    pub fn update(&mut self, actions: &[Action], logits: &[f32]) {
        for (action, &logit) in actions.iter().zip(logits) {
            if logit > self.best.logit {
                (self.best.action, self.best.logit) = (*action, logit);
            }
        }
        let num_fixed = actions.len() - self.normalized.len();
        let mut order: Vec<usize> = (0..self.normalized.len()).collect();
        order.sort_by(|&a, &b| logits[num_fixed + b].total_cmp(&logits[num_fixed + a]).then(a.cmp(&b)));
        order.truncate(self.config.num_elites.max(1));
        let count = order.len().max(1) as f32;
        let elites = || order.iter().map(|&i| &self.normalized[i]);
        let mut spread = 0.0;
        for axis in 0..4 {
            let mean = elites().map(|(normalized, _)| normalized[axis]).sum::<f32>() / count;
            let variance = elites().map(|(normalized, _)| (normalized[axis] - mean).powi(2)).sum::<f32>() / count;
            self.mean[axis] = mean;
            self.std[axis] = variance.sqrt().max(self.config.min_std);
            spread += 0.25 * variance.sqrt();
        }
        let closing = elites().filter(|(_, close)| *close).count() as f32 / count;
        self.p_close = closing.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE);
        self.best.spread = spread;
    }

    /// The best action of all rounds so far; its logit is minus infinity before the first update.
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
    let mut logits = Vec::with_capacity(config.num_samples);
    for _ in 0..config.num_iterations {
        let actions = search.sample();
        logits.clear();
        score(&actions, &mut logits);
        search.update(&actions, &logits);
    }
    search.best()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::action_space::tests::SPACE;
    use crate::contract::{GripperCommand, Seed};

    /// A hill, higher where the fingers close.
    fn hill(action: &Action) -> f32 {
        if action.terminate {
            return -0.5;
        }
        let normalized = SPACE.normalize(action);
        let distance: f32 =
            normalized.iter().zip([0.4, -0.5, -1.0, 0.2]).map(|(a, b): (&f32, f32)| (a - b).powi(2)).sum();
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
                            best = best.max(hill(&SPACE.denormalize([x, y, z, turn], close)));
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
        let six = search(&CemConfig { num_iterations: 6, ..CemConfig::default() });
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
        let config = CemConfig { num_samples: 4096, p_fine: 0.4, fine_std_scale: 0.05, ..CemConfig::default() };
        let mut search = Search::new(&SPACE, &config, false, Seed(8).rng());
        let actions = search.sample();
        let small = |axis: usize| {
            let within = actions.iter().filter(|action| SPACE.normalize(action)[axis].abs() < 0.06).count();
            within as f32 / actions.len() as f32
        };
        // Of a normal distribution 8% lie within a tenth of its deviation and 95.4% within twice.
        let mixed = 0.4 * 0.954 + 0.6 * 0.08;
        for (axis, share) in [mixed, mixed, 0.08, mixed].into_iter().enumerate() {
            assert!((small(axis) - share).abs() < 0.03, "{axis}: {} {share}", small(axis));
        }
        let bad = CemConfig { p_fine: 1.5, ..CemConfig::default() };
        assert!(bad.validate().is_err_and(|message| message.contains("p_fine")));
    }

    #[test]
    fn the_same_stream_gives_the_same_choice() {
        let search =
            |seed| maximise(&SPACE, &CemConfig::default(), true, Seed(seed).rng(), |a, l| l.extend(a.iter().map(hill)));
        assert_eq!(search(5), search(5));
        assert_ne!(search(5).action, search(6).action);
    }
}
