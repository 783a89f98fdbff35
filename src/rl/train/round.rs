//! One round: attempts are played, transitions are labelled and learned from, and now and then a picture is made.

use super::Trainer;
use super::figures::Means;
use super::saved::Labelled;
use super::watch::{Progress, Watcher};
use crate::contract::Seed;
use crate::rl::arena::Arena;
use crate::rl::collect::{Attempt, Conduct, play_each};
use crate::rl::config::ExplorationConfig;
use crate::rl::diagnostics::{judge, share_of_dense_search};
use crate::rl::error::RlError;
use crate::rl::film::film_strip;
use crate::rl::learner::{Sample, StepFigures};
use std::collections::VecDeque;
use std::time::Instant;

/// Greedy attempts that must have been seen before the policy may be called better than the script.
const LEAST_GREEDY: usize = 100;

/// What an attempt adds to a round's figures.
fn figures_of(attempt: &Attempt, discount: f32) -> Vec<(&'static str, f64)> {
    let success = f64::from(u8::from(attempt.success));
    let length = attempt.transitions.len() as f64;
    match attempt.conduct {
        Conduct::Scripted => vec![("success/scripted", success), ("length/scripted", length)],
        Conduct::Noisy => vec![("success/noisy", success), ("length/noisy", length)],
        Conduct::Greedy => {
            let first = attempt.choices.first().map_or(f64::NAN, |choice| f64::from(choice.value()));
            vec![
                ("success/greedy", success),
                ("length/greedy", length),
                ("calibration/start_predicted", first),
                ("calibration/start_achieved", f64::from(attempt.discounted_return(discount))),
            ]
        }
    }
}

impl Trainer {
    /// Who plays each attempt of a round.
    fn plan(&self, seed: Seed) -> Vec<Conduct> {
        let config = &self.settings.qtopt;
        let e = &config.exploration;
        if self.round == 0 {
            // Data to learn from is there already when episodes were loaded.
            let first = if self.off_policy.is_empty() { e.first_attempts } else { 0 };
            // A run of few steps, to try things out, needs no more attempts than steps.
            let steps = self.settings.limits.steps.and_then(|steps| usize::try_from(steps).ok());
            let first = first.min(steps.unwrap_or(usize::MAX));
            return vec![Conduct::Scripted; first.max(config.attempts_per_round)];
        }
        let mut rng = seed.derive("plan", 0).rng();
        let share = if self.better { e.policy_after } else { e.policy_before };
        (0..config.attempts_per_round)
            .map(|_| match (rng.chance(share), rng.chance(e.greedy)) {
                (false, _) => Conduct::Scripted,
                (true, true) => Conduct::Greedy,
                (true, false) => Conduct::Noisy,
            })
            .collect()
    }

    pub(super) fn play_round(&mut self, arena: &mut dyn Arena, means: &mut Means) -> Result<Vec<Attempt>, RlError> {
        let started = Instant::now();
        let seed = Seed(self.settings.seed).derive("round", self.round);
        let plan = self.plan(seed);
        let exploration: &ExplorationConfig = &self.settings.qtopt.exploration;
        let discount = self.settings.qtopt.discount;
        let decider = self.learner.decider();
        // The script's first attempts are many times a round's: the last of them are enough to look at.
        let kept = self.settings.qtopt.attempts_per_round;
        let mut attempts = VecDeque::new();
        let [off_policy, on_policy] = [&mut self.off_policy, &mut self.on_policy];
        let (scripted, greedy) = (&mut self.scripted, &mut self.greedy);
        play_each(arena, Some(decider), exploration, &plan, seed, &mut |attempt| {
            if !attempt.truncated {
                let replay = if attempt.conduct == Conduct::Scripted { &mut *off_policy } else { &mut *on_policy };
                replay.push(&attempt.transitions);
                match attempt.conduct {
                    Conduct::Scripted => scripted.add(attempt.success),
                    Conduct::Greedy => greedy.add(attempt.success),
                    Conduct::Noisy => {}
                }
                means.add(&figures_of(&attempt, discount));
            }
            if attempts.len() >= kept {
                attempts.pop_front();
            }
            attempts.push_back(attempt);
        })?;
        let attempts: Vec<Attempt> = attempts.into();
        if self.learner.steps() > 0 {
            let usable = |kind: &dyn Fn(Conduct) -> bool| -> Vec<&Attempt> {
                attempts.iter().filter(|attempt| !attempt.truncated && kind(attempt.conduct)).collect()
            };
            let fresh = judge(decider, &usable(&|conduct| conduct == Conduct::Scripted))?;
            let own = judge(decider, &usable(&|conduct| conduct != Conduct::Scripted))?;
            means.add(&[
                ("separation/auc_script", fresh.auc),
                ("separation/auc_policy", own.auc),
                ("calibration/predicted", own.predicted),
                ("calibration/achieved", own.achieved),
                ("separation/cross_entropy", own.cross_entropy),
                ("separation/base_entropy", own.base),
            ]);
        }
        self.attempts += plan.len() as u64;
        if !self.better && self.greedy.count() >= LEAST_GREEDY && self.greedy.rate() > self.scripted.rate() {
            self.better = true;
        }
        means.add(&[
            ("success/greedy_window", self.greedy.rate()),
            ("replay/off_policy", self.off_policy.len() as f64),
            ("replay/on_policy", self.on_policy.len() as f64),
            ("replay/attempts", self.attempts as f64),
        ]);
        self.clock.playing += started.elapsed().as_secs_f64();
        Ok(attempts)
    }

    /// The gradient steps of a round, with the labelling that they need.
    pub(super) fn learn_round(
        &mut self,
        (started, before): (Instant, f64),
        means: &mut Means,
        watcher: &mut dyn Watcher,
    ) -> Result<(), RlError> {
        let config = self.settings.qtopt.clone();
        let steps = Seed(self.settings.seed).derive("steps", 0);
        for index in 0..config.steps_per_round {
            let step = self.learner.steps();
            if self.settings.limits.steps.is_some_and(|steps| step >= steps) {
                break;
            }
            if index % config.steps_per_label() == 0 {
                self.label(means)?;
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
            let figures: StepFigures =
                self.learner.step(&samples, &targets, config.rate_factor(step, done), &mut rng)?;
            means.add(&figures.named());
            self.clock.learning += learning.elapsed().as_secs_f64();
            if index % 16 == 15 {
                let elapsed = before + started.elapsed().as_secs_f64();
                watcher.progress(&Progress { loss: figures.loss, ..self.told("learning", elapsed) });
            }
        }
        Ok(())
    }

    /// Draws transitions from both replays and labels them for training.
    fn label(&mut self, means: &mut Means) -> Result<(), RlError> {
        let started = Instant::now();
        let config = &self.settings.qtopt;
        let seed = Seed(self.settings.seed).derive("labels", self.label_blocks);
        self.label_blocks += 1;
        let mut rng = seed.derive("draw", 0).rng();
        // The policy's own transitions count for more than the script's: they show where Q is wrong.
        let (off, on) = (self.off_policy.len() as f32, self.on_policy.len() as f32);
        let weighted = config.on_policy_weight * on / (config.on_policy_weight * on + off).max(1.0);
        let share = weighted.min(config.on_policy_share).max(on / (on + off).max(1.0));
        let mut drawn = Vec::with_capacity(config.label_block);
        let mut traces = Vec::with_capacity(config.label_block);
        while drawn.len() < config.label_block {
            let on_policy = rng.chance(share);
            let replay = if on_policy { &self.on_policy } else { &self.off_policy };
            let Some(number) = replay.draw((config.terminal_share, config.closing_share), &mut rng) else { break };
            if let Some(trace) = replay.trace(number, config.n_step, config.discount) {
                traces.push(trace);
                drawn.push((on_policy, number));
            }
        }
        let labels = self.learner.label(&traces, seed)?;
        means.add(&[
            ("cem/spread", labels.spread),
            ("q/disagreement", labels.disagreement),
            ("replay/on_policy_share", f64::from(share)),
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

    /// Diagnostics and a film strip of attempts.
    pub(super) fn look(&mut self, attempts: &[Attempt], means: &mut Means) -> Result<(), RlError> {
        let greedy: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.conduct == Conduct::Greedy).collect();
        let shown = if greedy.is_empty() { attempts.iter().take(24).collect() } else { greedy };
        let config = &self.settings.qtopt;
        let (count, draws) = config.dense_search();
        let states: Vec<_> = shown.iter().take(count).filter_map(|attempt| attempt.transitions.first()).collect();
        let images: Vec<&[u8]> = states.iter().map(|transition| &transition.image[..]).collect();
        let grippers: Vec<_> = states.iter().map(|transition| transition.record.state).collect();
        let seed = Seed(self.settings.seed).derive("dense", self.round);
        let share = share_of_dense_search(self.learner.decider(), &images, &grippers, draws, seed)?;
        means.add(&[("cem/share_of_dense", share)]);
        let step = self.learner.steps();
        let title = format!("QT-Opt after {step} steps and {} attempts", self.attempts);
        let subtitle = format!("the policy's success over its last attempts: {:.0}%", 100.0 * self.greedy.rate());
        let strip = film_strip(&title, &subtitle, &shown[..shown.len().min(10)], config.size, config.channels);
        self.run.image(step, "episodes", &strip.draw())?;
        Ok(())
    }
}
