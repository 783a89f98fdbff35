//! ViSP's adaptive gain (vpAdaptiveGain): high near the goal, low far from it, so that velocities stay bounded.

use super::ServoError;
use super::error::check;
use serde::{Deserialize, Serialize};

/// `lambda(x) = a exp(-b x) + c` with `a = at_zero - at_infinity`, `b = slope_at_zero / a`, `c = at_infinity`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveGain {
    /// Gain without an error, 1/s.
    pub at_zero: f64,
    /// Gain far from the goal, 1/s.
    pub at_infinity: f64,
    /// How fast the gain falls at zero, 1/s for each unit of the error.
    pub slope_at_zero: f64,
}

/// The paper's gains, 0.7 to 0.3; it gives no slope, and ViSP's examples for a Panda use 30.
impl Default for AdaptiveGain {
    fn default() -> Self {
        Self { at_zero: 0.7, at_infinity: 0.3, slope_at_zero: 30.0 }
    }
}

impl AdaptiveGain {
    /// # Errors
    /// Gains that are not above 0, or a slope below 0.
    pub fn validate(&self) -> Result<(), ServoError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        check(positive(self.at_zero), "gain.at_zero", self.at_zero, "give a gain above 0, 1/s")?;
        check(positive(self.at_infinity), "gain.at_infinity", self.at_infinity, "give a gain above 0, 1/s")?;
        let slope = self.slope_at_zero;
        check(slope.is_finite() && slope >= 0.0, "gain.slope_at_zero", slope, "give a slope of 0 or more")
    }

    /// The gain at an error whose largest component is `infinity_norm` (metres and radians mixed, as in ViSP), 1/s.
    pub fn value(&self, infinity_norm: f64) -> f64 {
        let a = self.at_zero - self.at_infinity;
        if a == 0.0 {
            return self.at_infinity;
        }
        a * (-self.slope_at_zero / a * infinity_norm).exp() + self.at_infinity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_values() {
        let steep = AdaptiveGain::default();
        let flat = AdaptiveGain { slope_at_zero: 4.0, ..steep };
        let table = [(0.0, 0.7), (0.005, 0.574916), (0.01, 0.488947), (0.05, 0.309407), (0.1, 0.300221), (0.5, 0.3)];
        for (x, expected) in table {
            assert!((steep.value(x) - expected).abs() < 5e-7, "{x}");
        }
        for (x, expected) in [(0.01, 0.661935), (0.05, 0.542612), (0.5, 0.302695)] {
            assert!((flat.value(x) - expected).abs() < 5e-7, "{x}");
        }
        assert_eq!(AdaptiveGain { at_zero: 0.5, at_infinity: 0.5, slope_at_zero: 30.0 }.value(0.1), 0.5);
        assert!(AdaptiveGain { at_zero: 0.0, ..steep }.validate().is_err());
    }
}
