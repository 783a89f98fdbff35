//! Visual servoing for the viewer: `--servo MASKS`, with a pose agent and a translation where runs are named.

use super::UsageError;
use super::servo_trials::{CELL, LawArg, MaskSource, Parts, Plan, SIZE};
use crate::contract::{ActRequest, Decision, Domain, Observation, Policy, Script, TaskKind, VecEnvError};
use crate::eval::servo::{Approach, Method, ReachPolicy, Stage, TraceTick};
use crate::scene::CellDescription;
use crate::servo::{Moments, Phase};
use crate::tasks::pose_grasp;
use crate::viewer::pilot::{Axes, Pilot, PilotPolicy, ServoError, ServoReading, ServoState};
use clap::ValueEnum;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// Physics ticks a second.
const RATE_HZ: f64 = 240.0;
/// Half the length of the target's axis on screen, pixels of the picture.
const TARGET_HALF_PX: f32 = 9.0;

/// The method as the viewer looks at it.
struct ServoPilot {
    approach: Approach<'static>,
    /// The servo's pictures that are not acted upon yet, behind the one that was last.
    seen: VecDeque<Vec<u8>>,
    latest: Vec<u8>,
    latency: usize,
    decisions: u32,
}

impl ServoPilot {
    /// Pictures that the servo of this trial has had.
    fn ticks(&self) -> Option<u32> {
        self.approach.view(0).and_then(|view| view.tick).map(|tick| tick.tick)
    }
}

impl Policy for ServoPilot {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        if requests.iter().any(|request| request.step == 0) {
            self.seen.clear();
        }
        let before = self.ticks();
        let decided = self.approach.act(observation, requests, script)?;
        self.latest = observation.image(0).to_vec();
        // The pose agent acts on its pictures at once.
        if self.ticks() != before {
            self.seen.push_back(self.latest.clone());
            while self.seen.len() > self.latency + 1 {
                self.seen.pop_front();
            }
        }
        Ok(decided)
    }
}

impl PilotPolicy for ServoPilot {
    fn set_classes(&mut self, classes: Vec<u8>) {
        self.approach.set_truth(classes);
    }

    fn servo(&self) -> Option<ServoReading> {
        let view = self.approach.view(0)?;
        let tick = view.tick;
        let seen = tick.and_then(|tick| tick.observed.as_ref());
        let place = |point: [f64; 2]| {
            let (x, y) = view.camera.pixel(point);
            [x as f32, y as f32]
        };
        let axes = seen.map(|seen| {
            let half = Moments::from_pixels(&seen.component.mask).map_or((0.0, 0.0), |moments| moments.half_axes());
            let half = [half.0 as f32, half.1 as f32];
            Axes { centre: place(seen.features.point), angle: seen.features.alpha as f32, half }
        });
        let target =
            Axes { centre: place(view.target.point), angle: view.target.alpha as f32, half: [TARGET_HALF_PX, 0.0] };
        let (phase, state) = words(view.stage, tick.map(|tick| tick.phase), self.decisions);
        let error = |tick: &TraceTick| ServoError {
            is_full: matches!(tick.phase, Phase::Full | Phase::Converged),
            error: tick.error.map(|[x, y, turn]| [1e3 * x as f32, 1e3 * y as f32, turn.to_degrees() as f32]),
        };
        Some(ServoReading {
            phase,
            state,
            tick: tick.map_or(0, |tick| tick.tick),
            reverts: tick.map_or(0, |tick| tick.reverts),
            size: SIZE as usize,
            rgb: self.seen.front().unwrap_or(&self.latest).clone(),
            mask: seen.map(|seen| seen.component.mask.pixels().to_vec()).unwrap_or_default(),
            seen: axes,
            target: tick.is_some().then_some(target),
            errors: view.trace.iter().map(error).collect(),
        })
    }
}

fn words(stage: Stage, phase: Option<Phase>, decisions: u32) -> (String, ServoState) {
    let of = |phase: Phase| match phase {
        Phase::Linear => ("linear step", ServoState::Servoing),
        Phase::Full => ("full step", ServoState::Servoing),
        Phase::Converged => ("converged", ServoState::Converged),
        Phase::Lost => ("object lost", ServoState::Failed),
        Phase::TimedOut => ("timed out", ServoState::Failed),
    };
    let ended = phase.filter(|phase| phase.is_final()).map(|phase| of(phase).1).unwrap_or_default();
    match (stage, phase) {
        (Stage::Reach(taken), _) => (format!("reach, pose {taken} of {decisions}"), ServoState::Waiting),
        (Stage::Servo, None) => ("first picture".to_owned(), ServoState::Waiting),
        (Stage::Servo, Some(phase)) => (of(phase).0.to_owned(), of(phase).1),
        (Stage::Descend, Some(phase)) if phase.is_final() => (of(phase).0.to_owned(), of(phase).1),
        (Stage::Descend | Stage::Close, _) => ("way down".to_owned(), ended),
        (Stage::Closed, _) => ("grasp".to_owned(), ended),
    }
}

/// As on the command line.
pub fn name_of(masks: MaskSource) -> String {
    masks.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What acts: visual servoing alone, or after the pose agent of a run, on translated pictures where there is a generator.
///
/// # Errors
/// A cell of another task; a run that is needed, of another learner, or damaged.
pub fn pilot(
    masks: MaskSource,
    (policy, generator): (Option<&Path>, Option<&Path>),
    domain: Domain,
    cell: &Arc<CellDescription>,
) -> anyhow::Result<Pilot> {
    if cell.task != TaskKind::PoseGrasp {
        let message = format!("--servo is for cells of relative poses, and {} is none; pass --cell {CELL}", cell.name);
        return Err(UsageError(message).into());
    }
    let method = match (policy, generator) {
        (None, _) => Method::Vs,
        (Some(_), None) => Method::DrlVs,
        (Some(_), Some(_)) => Method::DrlGanVs,
    };
    let plan = Plan {
        method,
        policy: policy.map(Path::to_owned),
        generator: generator.map(Path::to_owned),
        domain,
        mask: masks,
        approach: Plan::approach(domain, LawArg::Exact, false),
        cell: cell.name.clone(),
        num_envs: 1,
        keep_traces: true,
    };
    let Parts { agent, semantic } = Parts::load(&plan)?;
    let agent = agent.map(|loaded| Box::new(loaded.policy) as ReachPolicy<'static>);
    let approach = plan.policy(cell, agent, semantic.map(Arc::new))?.with_traces();
    Ok(Pilot {
        name: format!("{method}, {} masks", name_of(masks)),
        size: SIZE,
        depth: true,
        classes: masks == MaskSource::Truth,
        servos: true,
        rest_ticks: (plan.approach.tick_s * RATE_HZ).round() as u32,
        task: Some(pose_grasp(plan.task(), Arc::default())),
        policy: Box::new(ServoPilot {
            approach,
            seen: VecDeque::new(),
            latest: Vec::new(),
            latency: plan.approach.latency_ticks,
            decisions: plan.approach.decisions,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_in_words() {
        let of = |stage, phase| words(stage, phase, 3);
        assert_eq!(of(Stage::Reach(2), None), ("reach, pose 2 of 3".to_owned(), ServoState::Waiting));
        assert_eq!(of(Stage::Servo, Some(Phase::Full)), ("full step".to_owned(), ServoState::Servoing));
        assert_eq!(of(Stage::Descend, Some(Phase::Lost)), ("object lost".to_owned(), ServoState::Failed));
        assert_eq!(of(Stage::Closed, Some(Phase::Converged)), ("grasp".to_owned(), ServoState::Converged));
    }

    #[test]
    fn the_servo_is_for_cells_of_relative_poses() {
        let bin = Arc::new(CellDescription::iiwa_bin());
        let refused = pilot(MaskSource::Truth, (None, None), Domain::Reality, &bin).err().expect("another task");
        assert!(refused.to_string().contains("--cell panda-table"), "{refused}");
        let table = Arc::new(CellDescription::load(CELL).expect("built in"));
        let refused = pilot(MaskSource::Network, (None, None), Domain::Reality, &table).err().expect("no generator");
        assert!(refused.to_string().contains("--generator"), "{refused}");
    }
}
