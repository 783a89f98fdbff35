//! Did a translated image lose an object, or invent one? Judged by what only a simulator knows.
//!
//! A translation network can score well on average and still remove the one thing that matters (papers on RCAN and
//! RL-CycleGAN report both faults). Two definitions, because some networks predict a mask and some only an image:
//!
//! **By mask.** An object with at least `min_pixels` visible pixels has *vanished* when less than a quarter of them are
//! predicted as object. A *ghost* is a connected region (8 neighbours) of at least `min_pixels` pixels predicted as
//! object, of which less than a tenth belong to true objects.
//!
//! **By image.** Let M be an object's visible pixels, C the true canonical image, T the translated one, and B(X) the
//! image X with M filled in from around it (each pixel of M is the mean of the free surface within two pixels of M,
//! weighted by 1 / distance^2). The object has *vanished* when
//!
//! ```text
//! |T - B(T)|_M  <  1/2 |C - B(C)|_M        (root mean square over M and channels)
//! ```
//!
//! so T looks, inside M, like its own surroundings. By the triangle inequality it is then closer to the filled-in image
//! than to one with the object; a constant colour bias of the translation cancels, and an object that is there in a
//! wrong colour has not vanished. Objects that hardly differ from their surroundings (right side below
//! `min_contrast`) or have no free surface around them cannot be judged and are not counted. A *ghost* is a connected
//! region of at least `min_pixels` pixels, all of them tray and at least two pixels from anything else, where
//! `T - C`, less its median over such pixels, is longer than `ghost_contrast`.

use super::statistics::{Interval, Z95, wilson};
use crate::contract::Class;

/// The truth of one frame.
#[derive(Clone, Copy, Debug)]
pub struct TruthFrame<'a> {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 3]`, the canonical image.
    pub canonical: &'a [u8],
    /// `[height, width]`, class ids.
    pub segmentation: &'a [u8],
    /// `[height, width]`, instance ids.
    pub instances: &'a [u8],
}

impl TruthFrame<'_> {
    fn pixels(&self) -> usize {
        self.width * self.height
    }

    fn is_whole(&self) -> bool {
        let n = self.pixels();
        n > 0 && self.canonical.len() == 3 * n && self.segmentation.len() == n && self.instances.len() == n
    }
}

/// The thresholds of the definitions above. Colours are in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PresenceSettings {
    pub min_pixels: usize,
    pub min_contrast: f32,
    pub ghost_contrast: f32,
}

impl PresenceSettings {
    /// For an image size: objects down to 1/512 of the image (8 pixels at 64x64) count.
    pub fn for_size(width: usize, height: usize) -> Self {
        Self { min_pixels: (width * height / 512).max(8), min_contrast: 0.06, ghost_contrast: 0.2 }
    }
}

/// Counts over any number of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Objects that could be judged, and how many of them vanished.
    pub objects: u64,
    pub vanished: u64,
    pub images: u64,
    pub images_with_ghost: u64,
    pub ghosts: u64,
}

/// A rate with its 95 % Wilson interval.
pub type Rate = Interval;

impl Presence {
    /// Judges predicted class ids. `None` when the lengths do not fit.
    pub fn by_mask(truth: &TruthFrame, prediction: &[u8], settings: &PresenceSettings) -> Option<Self> {
        if !truth.is_whole() || prediction.len() != truth.pixels() {
            return None;
        }
        let object = Class::Object as u8;
        let mut found = Self { images: 1, ..Self::default() };
        for mask in objects(truth, settings.min_pixels) {
            let seen = mask.iter().filter(|&&i| prediction[i] == object).count();
            found.objects += 1;
            found.vanished += u64::from(seen * 4 < mask.len());
        }
        let predicted: Vec<bool> = prediction.iter().map(|&class| class == object).collect();
        for region in regions(&predicted, truth.width, settings.min_pixels) {
            let real = region.iter().filter(|&&i| truth.segmentation[i] == object).count();
            found.ghosts += u64::from(real * 10 < region.len());
        }
        found.images_with_ghost = u64::from(found.ghosts > 0);
        Some(found)
    }

    /// Judges a translated image, `[height, width, 3]`. `None` when the lengths do not fit.
    pub fn by_image(truth: &TruthFrame, translated: &[u8], settings: &PresenceSettings) -> Option<Self> {
        Self::with_faults(truth, translated, settings).map(|(presence, _)| presence)
    }

    /// The same, with what vanished and then what was invented, to be circled.
    pub fn with_faults(
        truth: &TruthFrame,
        translated: &[u8],
        settings: &PresenceSettings,
    ) -> Option<(Self, Vec<Fault>)> {
        let Judged { objects, vanished, ghosts } = judge(truth, translated, settings)?;
        let of = |is_ghost| move |pixels: &Vec<usize>| Fault::around(pixels, truth.width, is_ghost);
        let faults = vanished.iter().map(of(false)).chain(ghosts.iter().map(of(true))).collect();
        let (vanished, ghosts) = (vanished.len() as u64, ghosts.len() as u64);
        let presence = Self { objects, vanished, images: 1, images_with_ghost: u64::from(ghosts > 0), ghosts };
        Some((presence, faults))
    }

    pub fn merge(&mut self, other: &Self) {
        self.objects += other.objects;
        self.vanished += other.vanished;
        self.images += other.images;
        self.images_with_ghost += other.images_with_ghost;
        self.ghosts += other.ghosts;
    }

    /// Share of the objects that vanished.
    pub fn vanish_rate(&self) -> Rate {
        wilson(self.vanished, self.objects, Z95)
    }

    /// Share of the images with a ghost.
    pub fn ghost_rate(&self) -> Rate {
        wilson(self.images_with_ghost, self.images, Z95)
    }
}

/// What [`Presence::by_image`] counts, as pixels.
struct Judged {
    objects: u64,
    vanished: Vec<Vec<usize>>,
    ghosts: Vec<Vec<usize>>,
}

fn judge(truth: &TruthFrame, translated: &[u8], settings: &PresenceSettings) -> Option<Judged> {
    if !truth.is_whole() || translated.len() != 3 * truth.pixels() {
        return None;
    }
    let (mut count, mut vanished) = (0, Vec::new());
    for mask in objects(truth, settings.min_pixels) {
        let Some(fill) = Fill::around(truth, &mask) else { continue };
        let contrast = fill.distance(truth.canonical);
        if contrast >= settings.min_contrast {
            count += 1;
            if fill.distance(translated) < 0.5 * contrast {
                vanished.push(mask);
            }
        }
    }
    let odd = oddities(truth, translated, settings.ghost_contrast);
    let ghosts = regions(&odd, truth.width, settings.min_pixels);
    Some(Judged { objects: count, vanished, ghosts })
}

/// Something that a translation lost or invented, to be circled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    pub is_ghost: bool,
    /// Middle (column, row) and radius of a circle around it, pixels.
    pub centre: [f32; 2],
    pub radius: f32,
}

impl Fault {
    fn around(pixels: &[usize], width: usize, is_ghost: bool) -> Self {
        let places = || pixels.iter().map(|i| [(i % width) as f32 + 0.5, (i / width) as f32 + 0.5]);
        let centre = [0, 1].map(|axis| places().map(|at| at[axis]).sum::<f32>() / pixels.len().max(1) as f32);
        let away = |at: [f32; 2]| (at[0] - centre[0]).hypot(at[1] - centre[1]);
        Self { is_ghost, centre, radius: places().map(away).fold(0.0, f32::max) }
    }
}

/// The visible pixels of every object instance with enough of them, by ascending instance.
fn objects(truth: &TruthFrame, min_pixels: usize) -> Vec<Vec<usize>> {
    let mut masks: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (i, (&class, &instance)) in truth.segmentation.iter().zip(truth.instances).enumerate() {
        if class == Class::Object as u8 && instance > 0 {
            masks[usize::from(instance)].push(i);
        }
    }
    masks.retain(|mask| mask.len() >= min_pixels.max(1));
    masks
}

/// Connected regions (8 neighbours) of at least `min_pixels` pixels, in the order of their first pixel.
fn regions(set: &[bool], width: usize, min_pixels: usize) -> Vec<Vec<usize>> {
    let height = set.len() / width;
    let mut open = set.to_vec();
    let mut found = Vec::new();
    for start in 0..set.len() {
        if !open[start] {
            continue;
        }
        open[start] = false;
        let mut region = vec![start];
        let mut next = 0;
        while let Some(&i) = region.get(next) {
            next += 1;
            let (x, y) = (i % width, i / width);
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let n = ny * width + nx;
                    if std::mem::take(&mut open[n]) {
                        region.push(n);
                    }
                }
            }
        }
        if region.len() >= min_pixels.max(1) {
            found.push(region);
        }
    }
    found
}

/// How far around a mask its surroundings reach, pixels.
const RING: usize = 2;
/// Fewer free pixels around an object say nothing about what is behind it.
const MIN_RING: usize = 6;

/// What a mask would look like without its object: weights of the surrounding pixels.
struct Fill<'a> {
    width: usize,
    mask: &'a [usize],
    ring: Vec<usize>,
}

impl<'a> Fill<'a> {
    fn around(truth: &TruthFrame, mask: &'a [usize]) -> Option<Self> {
        let (w, h) = (truth.width, truth.height);
        let free = [Class::Background, Class::Tray, Class::Divider].map(|class| class as u8);
        let mut near = vec![false; truth.pixels()];
        for &i in mask {
            let (x, y) = (i % w, i / w);
            for ny in y.saturating_sub(RING)..=(y + RING).min(h - 1) {
                near[ny * w..][x.saturating_sub(RING)..=(x + RING).min(w - 1)].fill(true);
            }
        }
        let ring: Vec<usize> = (0..near.len()).filter(|&i| near[i] && free.contains(&truth.segmentation[i])).collect();
        (ring.len() >= MIN_RING).then_some(Self { width: w, mask, ring })
    }

    /// Root mean square difference between an image and its filled-in version over the mask, in `[0, 1]`.
    fn distance(&self, image: &[u8]) -> f32 {
        let position = |i: usize| ((i % self.width) as f32, (i / self.width) as f32);
        let colour = |i: usize| [0, 1, 2].map(|c| f32::from(image[3 * i + c]) / 255.0);
        let mut squares = 0.0_f64;
        for &i in self.mask {
            let (x, y) = position(i);
            let (mut sum, mut weights) = ([0.0_f32; 3], 0.0_f32);
            for &r in &self.ring {
                let (rx, ry) = position(r);
                let weight = 1.0 / ((rx - x).powi(2) + (ry - y).powi(2));
                weights += weight;
                sum.iter_mut().zip(colour(r)).for_each(|(s, v)| *s += weight * v);
            }
            let own = colour(i);
            squares += (0..3).map(|c| f64::from(own[c] - sum[c] / weights).powi(2)).sum::<f64>();
        }
        (squares / (3 * self.mask.len()) as f64).sqrt() as f32
    }
}

/// Pixels of empty tray on which the translated image shows something that is not there.
fn oddities(truth: &TruthFrame, translated: &[u8], ghost_contrast: f32) -> Vec<bool> {
    let (w, h) = (truth.width, truth.height);
    let tray = Class::Tray as u8;
    let inside = |i: usize| {
        let (x, y) = (i % w, i / w);
        let columns = x.saturating_sub(RING)..=(x + RING).min(w - 1);
        (y.saturating_sub(RING)..=(y + RING).min(h - 1))
            .all(|ny| truth.segmentation[ny * w..][columns.clone()].iter().all(|&class| class == tray))
    };
    let empty: Vec<bool> = (0..truth.pixels()).map(inside).collect();
    let difference = |i: usize, c: usize| {
        f32::from(i16::from(translated[3 * i + c]) - i16::from(truth.canonical[3 * i + c])) / 255.0
    };
    let bias = [0, 1, 2].map(|c| {
        let mut values: Vec<f32> = (0..truth.pixels()).filter(|&i| empty[i]).map(|i| difference(i, c)).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    });
    let length = |i: usize| (0..3).map(|c| (difference(i, c) - bias[c]).powi(2)).sum::<f32>().sqrt();
    (0..truth.pixels()).map(|i| empty[i] && length(i) > ghost_contrast).collect()
}

#[cfg(test)]
mod tests;
