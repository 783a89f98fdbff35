//! How well G translates simulation to `reality`, judged by what no learner sees: the same states rendered in `reality`.
//!
//! In: frames of the same moments in the canonical domain and in `reality`, and G's translations of the former. Out: objects
//! that vanished and that were invented, beyond what the true pictures themselves are charged with by the same rule; and how
//! alike patches of translations and of true pictures are.

use super::metrics::{Fault, Presence, PresenceSettings, Rate, TruthFrame, sliced_wasserstein};
use super::translation::RateWithInterval;
use crate::contract::{FrameBatch, Seed};
use serde::Serialize;

/// Everything that was seen so far.
#[derive(Default)]
pub struct UnpairedMeter {
    translated: Presence,
    truth: Presence,
    size: usize,
    translations: Vec<Vec<u8>>,
    reality: Vec<Vec<u8>>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnpairedReport {
    pub frames: usize,
    /// Objects that the rule calls vanished in G(x), and in the true picture of the same state: the rule's own error.
    pub vanish: RateWithInterval,
    pub vanish_floor: RateWithInterval,
    /// The difference.
    pub vanish_excess: f64,
    /// Images in which something stands on the empty tray, and the same of true pictures.
    pub ghost: RateWithInterval,
    pub ghost_floor: RateWithInterval,
    pub ghost_excess: f64,
    /// Sliced Wasserstein distance of G(x) to true pictures of other states, and of true pictures to those.
    pub sliced_wasserstein: f64,
    pub sliced_wasserstein_floor: f64,
}

/// One frame's judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct UnpairedScore {
    pub vanished: u64,
    pub ghosts: u64,
    /// Where they are, the vanished objects first.
    pub faults: Vec<Fault>,
}

impl UnpairedMeter {
    pub fn frames(&self) -> usize {
        self.translations.len()
    }

    /// Adds frame `index` of a moment: `canonical` and `reality` show the same states. `None`, and nothing added, when sizes do
    /// not fit.
    pub fn add(
        &mut self,
        (canonical, reality): (&FrameBatch, &FrameBatch),
        index: usize,
        translation: &[u8],
    ) -> Option<UnpairedScore> {
        let (width, height) = (canonical.width, canonical.height);
        let truth = TruthFrame {
            width,
            height,
            canonical: canonical.canonical_image(index),
            segmentation: canonical.segmentation_image(index),
            instances: canonical.instance_image(index),
        };
        let settings = PresenceSettings::for_size(width, height);
        let (translated, faults) = Presence::with_faults(&truth, translation, &settings)?;
        let real = Presence::by_image(&truth, reality.source_image(index), &settings)?;
        self.translated.merge(&translated);
        self.truth.merge(&real);
        self.size = width;
        self.translations.push(translation.to_vec());
        self.reality.push(reality.source_image(index).to_vec());
        Some(UnpairedScore { vanished: translated.vanished, ghosts: translated.ghosts, faults })
    }

    /// The figures so far; what nothing was seen of is NaN.
    pub fn report(&self, seed: Seed) -> UnpairedReport {
        let rate = |interval: Rate, judged: u64| RateWithInterval {
            rate: interval.value,
            low: interval.low,
            high: interval.high,
            judged,
        };
        // Translations of the first half of the moments against true pictures of the second.
        let half = self.frames() / 2;
        fn slices(images: &[Vec<u8>]) -> Vec<&[u8]> {
            images.iter().map(Vec::as_slice).collect()
        }
        let others = slices(&self.reality[half..]);
        let swd = |images: &[Vec<u8>]| sliced_wasserstein(&slices(&images[..half]), &others, self.size, seed);
        let [vanish, vanish_floor] =
            [&self.translated, &self.truth].map(|presence| rate(presence.vanish_rate(), presence.objects));
        let [ghost, ghost_floor] =
            [&self.translated, &self.truth].map(|presence| rate(presence.ghost_rate(), presence.images));
        UnpairedReport {
            frames: self.frames(),
            vanish_excess: vanish.rate - vanish_floor.rate,
            ghost_excess: ghost.rate - ghost_floor.rate,
            vanish,
            vanish_floor,
            ghost,
            ghost_floor,
            sliced_wasserstein: swd(&self.translations),
            sliced_wasserstein_floor: swd(&self.reality),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gan::frames::testing::squares;

    /// The canonical pictures with every object painted over by the tray's colour in front of it.
    fn without_objects(frames: &FrameBatch, index: usize) -> Vec<u8> {
        let mut image = frames.canonical_image(index).to_vec();
        let free =
            frames.segmentation_image(index).iter().position(|&class| class != crate::contract::Class::Object as u8);
        let colour: Vec<u8> = free.map(|i| image[3 * i..3 * i + 3].to_vec()).unwrap_or_default();
        for (i, &class) in frames.segmentation_image(index).iter().enumerate() {
            if class == crate::contract::Class::Object as u8 {
                image[3 * i..3 * i + 3].copy_from_slice(&colour);
            }
        }
        image
    }

    #[test]
    fn what_the_true_picture_shows_is_no_fault_and_what_is_missing_is() {
        let frames = squares(Seed(3), 8, 24);
        let mut reality = frames.clone();
        reality.source_rgb.clone_from(&frames.canonical_rgb);
        let (mut faithful, mut empty) = (UnpairedMeter::default(), UnpairedMeter::default());
        for index in 0..8 {
            let image = frames.canonical_image(index);
            assert!(faithful.add((&frames, &reality), index, image).is_some());
            let score = empty.add((&frames, &reality), index, &without_objects(&frames, index));
            assert!(score.as_ref().is_some_and(|score| score.vanished == 1 && score.faults.len() == 1), "{score:?}");
        }
        let (faithful, empty) = (faithful.report(Seed(1)), empty.report(Seed(1)));
        assert_eq!((faithful.vanish.rate, faithful.vanish_excess), (0.0, 0.0));
        assert_eq!((empty.vanish.rate, empty.vanish_floor.rate, empty.vanish_excess), (1.0, 0.0, 1.0));
        assert_eq!(faithful.sliced_wasserstein, faithful.sliced_wasserstein_floor);
        assert!(empty.sliced_wasserstein > empty.sliced_wasserstein_floor);
        assert_eq!(UnpairedMeter::default().add((&frames, &reality), 0, &[0; 3]), None);
    }
}
