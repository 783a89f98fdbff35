//! Tracks the object from image to image: cleaned mask, largest part, and a gate on its size.
//!
//! ViSP's blob tracker accepts a blob whose width and height lie within [precision, 1 / precision] of the last one's, and
//! whose area within the square of that. What fails the gate is missing; after `hold_ticks` misses the object is lost.

use super::components::{Component, largest_component};
use super::error::check;
use super::{Mask, ServoError, morphology};
use serde::{Deserialize, Serialize};

/// Cleaning of masks, and the gate that an object's part must pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerConfig {
    /// The square of the morphological cleaning reaches this many pixels to each side; 0 leaves it out.
    pub clean_radius_px: usize,
    /// vpDot2's size precision, in (0, 1].
    pub size_precision: f64,
    /// Smaller parts are noise, pixels.
    pub min_area_px: usize,
    /// That many images in a row may miss the object before it is lost.
    pub hold_ticks: u32,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self { clean_radius_px: 1, size_precision: 0.65, min_area_px: 9, hold_ticks: 10 }
    }
}

impl TrackerConfig {
    /// # Errors
    /// A precision outside (0, 1].
    pub fn validate(&self) -> Result<(), ServoError> {
        let precision = self.size_precision;
        check(precision > 0.0 && precision <= 1.0, "tracker.size_precision", precision, "give a share above 0, up to 1")
    }
}

/// What the tracker makes of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Tracking {
    /// The largest part of the cleaned mask passed the gate.
    Found(Component),
    /// Not in this image; hold the last command.
    Missing,
    /// Missing for too long.
    Lost,
}

/// State between images: the size of the last accepted part, and how long nothing was accepted.
#[derive(Clone, Debug)]
pub struct Tracker {
    config: TrackerConfig,
    last: Option<[f64; 3]>,
    misses: u32,
}

impl Tracker {
    /// A tracker that has seen nothing: it accepts the largest part of at least `min_area_px` pixels.
    pub fn new(config: TrackerConfig) -> Self {
        Self { config, last: None, misses: 0 }
    }

    /// Forgets the object: the next image's largest part is taken, whatever its size.
    pub fn reset(&mut self) {
        (self.last, self.misses) = (None, 0);
    }

    /// Looks for the object in the next image.
    pub fn track(&mut self, mask: &Mask) -> Tracking {
        let found = largest_component(&morphology::clean(mask, self.config.clean_radius_px));
        match found.filter(|part| part.area >= self.config.min_area_px && self.has_the_last_size(part)) {
            Some(part) => {
                self.last = Some(sizes(&part));
                self.misses = 0;
                Tracking::Found(part)
            }
            None => {
                self.misses = self.misses.saturating_add(1);
                if self.misses > self.config.hold_ticks { Tracking::Lost } else { Tracking::Missing }
            }
        }
    }

    fn has_the_last_size(&self, part: &Component) -> bool {
        let Some(last) = self.last else { return true };
        let precision = self.config.size_precision;
        let within = |now: f64, last: f64, precision: f64| (precision..=1.0 / precision).contains(&(now / last));
        let [width, height, area] = sizes(part);
        within(width, last[0], precision)
            && within(height, last[1], precision)
            && within(area, last[2], precision.powi(2))
    }
}

fn sizes(part: &Component) -> [f64; 3] {
    [part.width() as f64, part.height() as f64, part.area as f64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(width: usize, height: usize) -> Mask {
        Mask::from_fn(40, 40, |c, r| (5..5 + width).contains(&c) && (5..5 + height).contains(&r))
    }

    fn area(tracking: Tracking) -> Option<usize> {
        if let Tracking::Found(part) = tracking { Some(part.area) } else { None }
    }

    #[test]
    fn slow_growth_passes_and_jumps_do_not() {
        let mut tracker = Tracker::new(TrackerConfig { hold_ticks: 2, ..TrackerConfig::default() });
        assert_eq!(area(tracker.track(&rectangle(10, 10))), Some(100));
        // 10 to 15 is 1.5 (limit 1.538), 15 to 24 is 1.6.
        assert_eq!(area(tracker.track(&rectangle(15, 10))), Some(150));
        assert_eq!(tracker.track(&rectangle(24, 10)), Tracking::Missing);
        // The gate compares with the last accepted size; an accepted one resets the count.
        assert_eq!(area(tracker.track(&rectangle(14, 9))), Some(126));
        assert_eq!(tracker.track(&Mask::new(40, 40)), Tracking::Missing);
        assert_eq!(tracker.track(&rectangle(3, 3)), Tracking::Missing);
        assert_eq!(tracker.track(&rectangle(30, 30)), Tracking::Lost);
        tracker.reset();
        assert_eq!(area(tracker.track(&rectangle(30, 30))), Some(900));
    }

    #[test]
    fn specks_are_no_object() {
        let mut tracker = Tracker::new(TrackerConfig { clean_radius_px: 0, ..TrackerConfig::default() });
        assert_eq!(tracker.track(&rectangle(2, 4)), Tracking::Missing);
        assert_eq!(area(tracker.track(&rectangle(3, 3))), Some(9));
        assert!(TrackerConfig { size_precision: 0.0, ..TrackerConfig::default() }.validate().is_err());
    }
}
