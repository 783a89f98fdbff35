//! Figures of trials: both judgements with intervals, errors by axis, what the servo did, all of it by object too.

use super::protocol::{TrialErrors, TrialResult};
use crate::eval::metrics::statistics::Z95;
use crate::eval::metrics::wilson;
use crate::servo::Phase;
use serde::Serialize;
use std::collections::BTreeMap;

/// A pose is near a good one within this distance, metres, and
const NEAR_M: f64 = 0.02;
/// this angle, radians.
const NEAR_RAD: f64 = 15.0 * std::f64::consts::PI / 180.0;
/// What the paper allows visual servoing alone across the closing direction, metres: the error of its fixed target.
const ALLOWED_Y_M: f64 = 0.04;

/// A share of trials with Wilson's 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judged {
    pub successes: usize,
    pub trials: usize,
    pub rate: f64,
    pub wilson_low: f64,
    pub wilson_high: f64,
}

impl Judged {
    pub fn of(trials: &[&TrialResult], success: impl Fn(&TrialResult) -> bool) -> Self {
        let successes = trials.iter().filter(|trial| success(trial)).count();
        let interval = wilson(successes as u64, trials.len() as u64, Z95);
        let (wilson_low, wilson_high) = (interval.low, interval.high);
        Self { successes, trials: trials.len(), rate: interval.value, wilson_low, wilson_high }
    }
}

/// Of one object, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectReport {
    pub object: String,
    /// The object hangs between the fingers.
    pub lifted: Judged,
    /// The gripper was within 2 cm and 15 degrees of a good pose when it closed.
    pub near: Judged,
    /// The same, but for 4 cm across the closing direction.
    pub near_allowing_y: Judged,
}

impl ObjectReport {
    fn of(object: &str, trials: &[&TrialResult]) -> Self {
        Self {
            object: object.to_owned(),
            lifted: Judged::of(trials, |trial| trial.lifted),
            near: Judged::of(trials, |trial| trial.errors.as_ref().is_some_and(|errors| is_near(errors, 0.0))),
            near_allowing_y: Judged::of(trials, |trial| {
                trial.errors.as_ref().is_some_and(|errors| is_near(errors, ALLOWED_Y_M))
            }),
        }
    }
}

/// Whether a pose is near a good one, `allowed_y_m` across the closing direction left out.
fn is_near(errors: &TrialErrors, allowed_y_m: f64) -> bool {
    let y = (errors.y_m.abs() - allowed_y_m).max(0.0);
    let distance = (errors.x_m.powi(2) + y.powi(2) + errors.z_m.powi(2)).sqrt();
    distance <= NEAR_M && errors.yaw_rad <= NEAR_RAD
}

/// Median, and 90 % of the trials are below this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub p90: f64,
}

impl Spread {
    /// NaN without values.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1);
            values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        Self { median: at(0.5), p90: at(0.9) }
    }
}

/// How the servo's runs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServoEnds {
    pub converged: usize,
    pub lost: usize,
    pub timed_out: usize,
    /// Returns to the linear step, of all runs.
    pub reverts: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServoReport {
    #[serde(flatten)]
    pub all: ObjectReport,
    pub objects: Vec<ObjectReport>,
    /// Magnitudes, of the trials whose object has a good pose.
    pub error_x_m: Spread,
    pub error_y_m: Spread,
    pub error_z_m: Spread,
    pub error_yaw_rad: Spread,
    pub servo: ServoEnds,
    pub servo_ticks: Spread,
}

impl ServoReport {
    pub fn new(trials: &[TrialResult]) -> Self {
        let all: Vec<&TrialResult> = trials.iter().collect();
        let mut by_object: BTreeMap<&str, Vec<&TrialResult>> = BTreeMap::new();
        for trial in trials {
            by_object.entry(&trial.object).or_default().push(trial);
        }
        let errors = |part: fn(&TrialErrors) -> f64| {
            Spread::of(trials.iter().filter_map(|trial| trial.errors.as_ref()).map(|errors| part(errors).abs()))
        };
        let mut servo = ServoEnds::default();
        for record in trials.iter().map(|trial| &trial.servo) {
            match record.phase {
                Some(Phase::Converged) => servo.converged += 1,
                Some(Phase::Lost) => servo.lost += 1,
                Some(_) => servo.timed_out += 1,
                None => {}
            }
            servo.reverts += record.reverts as usize;
        }
        let ran = trials.iter().filter(|trial| trial.servo.phase.is_some());
        Self {
            all: ObjectReport::of("all", &all),
            objects: by_object.iter().map(|(object, trials)| ObjectReport::of(object, trials)).collect(),
            error_x_m: errors(|errors| errors.x_m),
            error_y_m: errors(|errors| errors.y_m),
            error_z_m: errors(|errors| errors.z_m),
            error_yaw_rad: errors(|errors| errors.yaw_rad),
            servo,
            servo_ticks: Spread::of(ran.map(|trial| f64::from(trial.servo.ticks))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::servo::ServoRecord;

    fn trial(object: &str, lifted: bool, errors: Option<[f64; 4]>, phase: Option<Phase>) -> TrialResult {
        let errors = errors.map(|[x_m, y_m, z_m, yaw_rad]| TrialErrors { x_m, y_m, z_m, yaw_rad });
        let servo = ServoRecord { phase, ticks: 100, reverts: 1, trace: Vec::new() };
        TrialResult { object: object.to_owned(), attempt: 0, lifted, failure: None, errors, servo }
    }

    #[test]
    fn trials_are_judged_twice_and_by_object() {
        let trials = [
            trial("banana", true, Some([0.01, -0.01, 0.0, 0.1]), Some(Phase::Converged)),
            // 3.6 cm across: the error that the paper does not count.
            trial("banana", false, Some([0.0, 0.036, 0.01, 0.1]), Some(Phase::Converged)),
            // 20 degrees, and no good pose at all.
            trial("mug", true, Some([0.0, 0.0, 0.0, 0.35]), Some(Phase::Lost)),
            trial("mug", false, None, None),
        ];
        let report = ServoReport::new(&trials);
        assert_eq!((report.all.lifted.successes, report.all.near.successes), (2, 1));
        assert_eq!((report.all.near_allowing_y.successes, report.all.lifted.trials), (2, 4));
        assert_eq!(report.all.lifted.rate, 0.5);
        // Wilson's interval of 2 of 4.
        assert!((report.all.lifted.wilson_low - 0.150_0).abs() < 1e-3, "{:?}", report.all.lifted);
        let names: Vec<&str> = report.objects.iter().map(|object| object.object.as_str()).collect();
        assert_eq!(names, ["banana", "mug"]);
        assert_eq!((report.objects[0].near_allowing_y.successes, report.objects[1].near.successes), (2, 0));
        assert_eq!(report.servo, ServoEnds { converged: 2, lost: 1, timed_out: 0, reverts: 4 });
        assert_eq!((report.error_y_m.median, report.error_yaw_rad.p90), (0.01, 0.35));
        assert_eq!(report.servo_ticks.median, 100.0);
    }
}
