//! One iteration: episodes are played, transitions are labelled and learned from, and now and then a picture is made.

use super::Trainer;
use super::figures::Means;
use super::saved::Labelled;
use super::watch::{Progress, TrainCallback};
use crate::contract::Seed;
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode, play_each};
use crate::rl::qtopt::config::ExplorationConfig;
use crate::rl::qtopt::diagnostics::{cem_optimality, evaluate_q};
use crate::rl::qtopt::episode_sheet::episode_sheet;
use crate::rl::qtopt::learner::{Sample, StepFigures};
use crate::rl::vec_env::VecEnv;
use std::collections::VecDeque;
use std::time::Instant;

/// Greedy episodes that must have been seen before the policy may be called better than the script.
const LEAST_GREEDY: usize = 100;

/// What an episode adds to an iteration's figures.
fn figures_of(episode: &Episode, discount: f32) -> Vec<(&'static str, f64)> {
    let success = f64::from(u8::from(episode.success));
    let length = episode.transitions.len() as f64;
    match episode.behavior {
        BehaviorPolicy::Scripted => vec![("success/scripted", success), ("length/scripted", length)],
        BehaviorPolicy::Noisy => vec![("success/noisy", success), ("length/noisy", length)],
        BehaviorPolicy::Greedy => {
            let first = episode.choices.first().map_or(f64::NAN, |choice| f64::from(choice.value()));
            vec![
                ("success/greedy", success),
                ("length/greedy", length),
                ("calibration/start_predicted", first),
                ("calibration/start_achieved", f64::from(episode.discounted_return(discount))),
            ]
        }
    }
}

impl Trainer {
    /// Who plays each episode of an iteration.
    fn plan(&self, seed: Seed) -> Vec<BehaviorPolicy> {
        let config = &self.settings.qtopt;
        let e = &config.exploration;
        if self.iteration == 0 {
            // Data to learn from is there already when episodes were loaded.
            let first = if self.off_policy.is_empty() { e.initial_episodes } else { 0 };
            // A run of few steps, to try things out, needs no more episodes than steps.
            let steps = self.settings.limits.steps.and_then(|steps| usize::try_from(steps).ok());
            let first = first.min(steps.unwrap_or(usize::MAX));
            return vec![BehaviorPolicy::Scripted; first.max(config.episodes_per_iteration)];
        }
        let mut rng = seed.derive("plan", 0).rng();
        let share = if self.policy_beats_script { e.p_policy } else { e.p_policy_warmup };
        (0..config.episodes_per_iteration)
            .map(|_| match (rng.chance(share), rng.chance(e.p_greedy)) {
                (false, _) => BehaviorPolicy::Scripted,
                (true, true) => BehaviorPolicy::Greedy,
                (true, false) => BehaviorPolicy::Noisy,
            })
            .collect()
    }

    pub(super) fn play_iteration(&mut self, envs: &mut dyn VecEnv, means: &mut Means) -> Result<Vec<Episode>, RlError> {
        let started = Instant::now();
        let seed = Seed(self.settings.seed).derive("round", self.iteration);
        let plan = self.plan(seed);
        let exploration: &ExplorationConfig = &self.settings.qtopt.exploration;
        let discount = self.settings.qtopt.discount;
        let cem_policy = self.learner.cem_policy();
        // The script's first episodes are many times an iteration's: the last of them are enough to look at.
        let kept = self.settings.qtopt.episodes_per_iteration;
        let mut episodes = VecDeque::new();
        let [off_policy, on_policy] = [&mut self.off_policy, &mut self.on_policy];
        let (scripted, greedy) = (&mut self.scripted, &mut self.greedy);
        play_each(envs, Some(cem_policy), exploration, &plan, seed, &mut |episode| {
            if !episode.invalid {
                let replay =
                    if episode.behavior == BehaviorPolicy::Scripted { &mut *off_policy } else { &mut *on_policy };
                replay.push(&episode.transitions);
                match episode.behavior {
                    BehaviorPolicy::Scripted => scripted.add(episode.success),
                    BehaviorPolicy::Greedy => greedy.add(episode.success),
                    BehaviorPolicy::Noisy => {}
                }
                means.add(&figures_of(&episode, discount));
            }
            if episodes.len() >= kept {
                episodes.pop_front();
            }
            episodes.push_back(episode);
        })?;
        let episodes: Vec<Episode> = episodes.into();
        if self.learner.steps() > 0 {
            let usable = |kind: &dyn Fn(BehaviorPolicy) -> bool| -> Vec<&Episode> {
                episodes.iter().filter(|episode| !episode.invalid && kind(episode.behavior)).collect()
            };
            let fresh = evaluate_q(cem_policy, &usable(&|behavior| behavior == BehaviorPolicy::Scripted))?;
            let own = evaluate_q(cem_policy, &usable(&|behavior| behavior != BehaviorPolicy::Scripted))?;
            means.add(&[
                ("separation/auc_script", fresh.auc),
                ("separation/auc_policy", own.auc),
                ("calibration/predicted", own.predicted),
                ("calibration/achieved", own.achieved),
                ("separation/cross_entropy", own.cross_entropy),
                ("separation/base_entropy", own.base),
            ]);
        }
        self.episodes += plan.len() as u64;
        if !self.policy_beats_script && self.greedy.count() >= LEAST_GREEDY && self.greedy.rate() > self.scripted.rate()
        {
            self.policy_beats_script = true;
        }
        means.add(&[
            ("success/greedy_window", self.greedy.rate()),
            ("replay/off_policy", self.off_policy.len() as f64),
            ("replay/on_policy", self.on_policy.len() as f64),
            ("replay/episodes", self.episodes as f64),
        ]);
        self.clock.playing += started.elapsed().as_secs_f64();
        Ok(episodes)
    }

    /// The gradient steps of an iteration, with the labelling that they need.
    pub(super) fn learn_iteration(
        &mut self,
        (started, before): (Instant, f64),
        means: &mut Means,
        callback: &mut dyn TrainCallback,
    ) -> Result<(), RlError> {
        let config = self.settings.qtopt.clone();
        let steps = Seed(self.settings.seed).derive("steps", 0);
        for index in 0..config.updates_per_iteration {
            let step = self.learner.steps();
            if self.settings.limits.steps.is_some_and(|steps| step >= steps) {
                break;
            }
            if index % config.label_interval() == 0 {
                self.label_transitions(means)?;
            }
            let learning = Instant::now();
            let mut rng = steps.derive("batch", step).rng();
            let mut samples = Vec::with_capacity(config.batch);
            let mut targets = Vec::with_capacity(config.batch);
            // A labelled transition may have left the replay since; another is drawn then.
            for _ in 0..4 * config.batch {
                if samples.len() == config.batch || self.buffer.is_empty() {
                    break;
                }
                let labelled = self.buffer[rng.below(self.buffer.len())];
                let replay = if labelled.on_policy { &self.on_policy } else { &self.off_policy };
                if let Some((image, record)) = replay.get(labelled.number) {
                    samples.push(Sample { image, record });
                    targets.push(labelled.target);
                }
            }
            let elapsed = before + started.elapsed().as_secs_f64();
            let done = self.settings.limits.progress(step, elapsed);
            let figures: StepFigures = self.learner.step(&samples, &targets, config.lr_scale(step, done), &mut rng)?;
            means.add(&figures.named());
            self.clock.learning += learning.elapsed().as_secs_f64();
            if index % 16 == 15 {
                let elapsed = before + started.elapsed().as_secs_f64();
                callback.progress(&Progress { loss: figures.loss, ..self.progress("learning", elapsed) });
            }
        }
        Ok(())
    }

    /// Draws transitions from both replays and labels them for training.
    fn label_transitions(&mut self, means: &mut Means) -> Result<(), RlError> {
        let started = Instant::now();
        let config = &self.settings.qtopt;
        let seed = Seed(self.settings.seed).derive("labels", self.bellman_batches);
        self.bellman_batches += 1;
        let mut rng = seed.derive("draw", 0).rng();
        // The policy's own transitions count for more than the script's: they show where Q is wrong.
        let (off, on) = (self.off_policy.len() as f32, self.on_policy.len() as f32);
        let weighted = config.on_policy_weight * on / (config.on_policy_weight * on + off).max(1.0);
        let share = weighted.min(config.p_on_policy).max(on / (on + off).max(1.0));
        let mut drawn = Vec::with_capacity(config.bellman_batch);
        let mut transitions = Vec::with_capacity(config.bellman_batch);
        while drawn.len() < config.bellman_batch {
            let on_policy = rng.chance(share);
            let replay = if on_policy { &self.on_policy } else { &self.off_policy };
            let Some(number) = replay.draw((config.p_terminal, config.p_closing), &mut rng) else { break };
            if let Some(transition) = replay.n_step(number, config.n_step, config.discount) {
                transitions.push(transition);
                drawn.push((on_policy, number));
            }
        }
        let labels = self.learner.bellman_targets(&transitions, seed)?;
        means.add(&[
            ("cem/spread", labels.spread),
            ("q/disagreement", labels.disagreement),
            ("replay/p_on_policy", f64::from(share)),
        ]);
        for ((on_policy, number), target) in drawn.into_iter().zip(labels.targets) {
            if self.buffer.len() >= config.training_buffer {
                self.buffer.pop_front();
            }
            self.buffer.push_back(Labelled { on_policy, number, target });
        }
        self.clock.labelling += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Diagnostics and a film strip of episodes.
    pub(super) fn log_images(&mut self, episodes: &[Episode], means: &mut Means) -> Result<(), RlError> {
        let greedy: Vec<&Episode> =
            episodes.iter().filter(|episode| episode.behavior == BehaviorPolicy::Greedy).collect();
        let shown = if greedy.is_empty() { episodes.iter().take(24).collect() } else { greedy };
        let config = &self.settings.qtopt;
        let (count, draws) = config.dense_search();
        let states: Vec<_> = shown.iter().take(count).filter_map(|episode| episode.transitions.first()).collect();
        let images: Vec<&[u8]> = states.iter().map(|transition| &transition.image[..]).collect();
        let grippers: Vec<_> = states.iter().map(|transition| transition.record.state).collect();
        let seed = Seed(self.settings.seed).derive("dense", self.iteration);
        let share = cem_optimality(self.learner.cem_policy(), &images, &grippers, draws, seed)?;
        means.add(&[("cem/optimality", share)]);
        let step = self.learner.steps();
        let title = format!("QT-Opt after {step} steps and {} episodes", self.episodes);
        let subtitle = format!("the policy's success over its last episodes: {:.0}%", 100.0 * self.greedy.rate());
        let strip = episode_sheet(&title, &subtitle, &shown[..shown.len().min(10)], config.size, config.channels);
        self.run.image(step, "episodes", &strip.draw())?;
        Ok(())
    }
}
