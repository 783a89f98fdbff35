//! Whether translations leave Q-values alone: Q_sim in simulation against Q_real in `reality`, over the same states and actions
//! (RL-CycleGAN's scene consistency, measured instead of trained).
//!
//! In: Q-values of the six images x, G(x), F(G(x)), y, F(y), G(F(y)), where y is the same state's true picture, which no
//! learner sees. Out: how far each translation agrees with its original.

use crate::gan::losses::normalized_scene_error;
use serde::Serialize;

/// The six images, in the order of their Q-values here.
pub const IMAGES: [&str; 6] = ["x", "G(x)", "F(G(x))", "y", "F(y)", "G(F(y))"];

/// How far two Q-functions agree over the same states and actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QAgreement {
    /// Pearson's; NaN where either does not vary.
    pub correlation: f64,
    /// Of Q-values, which lie between about 0 and 1.
    pub mean_abs_difference: f64,
    /// `E (q - q')^2 / (2 Var q)`: 0 where they are the same, 1 where they have nothing to do with each other.
    pub normalized_error: f64,
}

/// What translations make of Q-values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QConsistency {
    /// Pairs of a state and an action.
    pub values: usize,
    /// Q_sim(x) against Q_real(G(x)).
    pub gx: QAgreement,
    /// Q_sim(x) against Q_sim(F(G(x))).
    pub fgx: QAgreement,
    /// Q_real(y) against Q_sim(F(y)).
    pub fy: QAgreement,
    /// Q_real(y) against Q_real(G(F(y))).
    pub gfy: QAgreement,
    /// Q_sim(x) against Q_real(y): what the true picture of the same state leaves of it.
    pub truth: QAgreement,
}

/// Q-values of everything that was seen so far.
#[derive(Clone, Debug, Default)]
pub struct QMeter {
    values: [Vec<f32>; 6],
}

impl QMeter {
    /// Adds values of [`IMAGES`], each over the same states and actions.
    pub fn add(&mut self, values: [&[f32]; 6]) {
        self.values.iter_mut().zip(values).for_each(|(all, more)| all.extend_from_slice(more));
    }

    /// The figures so far; what nothing was seen of is NaN.
    pub fn report(&self) -> QConsistency {
        let [x, gx, fgx, y, fy, gfy] = &self.values;
        QConsistency {
            values: x.len(),
            gx: agreement(x, gx),
            fgx: agreement(x, fgx),
            fy: agreement(y, fy),
            gfy: agreement(y, gfy),
            truth: agreement(x, y),
        }
    }
}

/// How far `translated` agrees with `q`, value by value.
pub fn agreement(q: &[f32], translated: &[f32]) -> QAgreement {
    let pairs = || q.iter().zip(translated).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let count = pairs().count() as f64;
    let mean = |of: &dyn Fn((f64, f64)) -> f64| pairs().map(of).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(&|(a, _)| a), mean(&|(_, b)| b));
    let covariance = mean(&|(a, b)| (a - mean_a) * (b - mean_b));
    let variances = mean(&|(a, _)| (a - mean_a).powi(2)) * mean(&|(_, b)| (b - mean_b).powi(2));
    QAgreement {
        correlation: if variances > 0.0 { covariance / variances.sqrt() } else { f64::NAN },
        mean_abs_difference: mean(&|(a, b)| (a - b).abs()),
        normalized_error: normalized_scene_error(q, translated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_as_by_hand() {
        let q = [0.0, 0.5, 1.0];
        let same = agreement(&q, &q);
        assert_eq!((same.correlation, same.mean_abs_difference, same.normalized_error), (1.0, 0.0, 0.0));
        // Half as high: in the same order, off by 0, 1/4, 1/2; squares 0, 1/16, 1/4, their mean 5/48; Var q is 1/6.
        let half = agreement(&q, &[0.0, 0.25, 0.5]);
        assert!((half.correlation - 1.0).abs() < 1e-12 && (half.mean_abs_difference - 0.25).abs() < 1e-12, "{half:?}");
        assert!((half.normalized_error - 5.0 / 16.0).abs() < 1e-12, "{half:?}");
        let turned = agreement(&q, &[1.0, 0.5, 0.0]);
        assert!(
            (turned.correlation + 1.0).abs() < 1e-12 && (turned.normalized_error - 2.0).abs() < 1e-12,
            "{turned:?}"
        );
        // A Q that has become uniform agrees with nothing.
        let flat = agreement(&[0.5; 3], &[0.5; 3]);
        assert!(flat.correlation.is_nan() && flat.normalized_error.is_nan());
        assert_eq!(flat.mean_abs_difference, 0.0);
    }

    #[test]
    fn each_translation_is_compared_with_its_original() {
        let mut meter = QMeter::default();
        let (x, y) = ([0.1, 0.9], [0.3, 0.7]);
        for _ in 0..2 {
            meter.add([&x, &y, &x, &y, &x, &y]);
        }
        let report = meter.report();
        assert_eq!(report.values, 4);
        for same in [report.fgx, report.gfy] {
            assert_eq!((same.mean_abs_difference, same.normalized_error), (0.0, 0.0));
            assert!((same.correlation - 1.0).abs() < 1e-12);
        }
        assert_eq!(report.gx, report.truth);
        assert!((report.gx.mean_abs_difference - 0.2).abs() < 1e-6 && (report.gx.correlation - 1.0).abs() < 1e-6);
        // By the variance of y, a quarter of that of x.
        assert!((report.fy.normalized_error - 4.0 * report.gx.normalized_error).abs() < 1e-5, "{report:?}");
    }
}
