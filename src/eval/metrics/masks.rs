//! Class ids and depths against the truth.

use crate::contract::Class;

/// Which class was taken for which, counted in pixels over any number of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// `[truth][prediction]`
    counts: [[u64; Class::COUNT]; Class::COUNT],
}

impl Confusion {
    /// Adds an image of ids. Ids beyond the last class and surplus pixels are not counted.
    pub fn add(&mut self, prediction: &[u8], truth: &[u8]) {
        for (&p, &t) in prediction.iter().zip(truth) {
            let row = self.counts.get_mut(usize::from(t));
            if let Some(count) = row.and_then(|row| row.get_mut(usize::from(p))) {
                *count += 1;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (row, others) in self.counts.iter_mut().zip(&other.counts) {
            row.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        }
    }

    /// Pixels of class `truth` that were predicted as `prediction`.
    pub fn count(&self, truth: Class, prediction: Class) -> u64 {
        self.counts[truth as usize][prediction as usize]
    }

    /// Intersection over union of a class; `None` when it occurs neither in truth nor in prediction.
    pub fn iou(&self, class: Class) -> Option<f64> {
        let c = class as usize;
        let both = self.counts[c][c];
        let truth: u64 = self.counts[c].iter().sum();
        let predicted: u64 = self.counts.iter().map(|row| row[c]).sum();
        let union = truth + predicted - both;
        (union > 0).then(|| both as f64 / union as f64)
    }

    /// Mean over the classes that occur.
    pub fn mean_iou(&self) -> Option<f64> {
        let found: Vec<f64> = Class::ALL.into_iter().filter_map(|class| self.iou(class)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }

    pub fn object_iou(&self) -> Option<f64> {
        self.iou(Class::Object)
    }

    /// Share of pixels with the right class.
    pub fn accuracy(&self) -> Option<f64> {
        let all: u64 = self.counts.iter().flatten().sum();
        let right: u64 = (0..Class::COUNT).map(|c| self.counts[c][c]).sum();
        (all > 0).then(|| right as f64 / all as f64)
    }
}

/// Mean absolute error of depths, over the pixels where the truth hit something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DepthError {
    sum_m: f64,
    pixels: u64,
}

impl DepthError {
    /// Adds an image, metres. A prediction that is not finite counts as 0.
    pub fn add(&mut self, prediction_m: &[f32], truth_m: &[f32]) {
        for (&p, &t) in prediction_m.iter().zip(truth_m) {
            if t > 0.0 {
                let p = if p.is_finite() { p } else { 0.0 };
                self.sum_m += f64::from((p - t).abs());
                self.pixels += 1;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.sum_m += other.sum_m;
        self.pixels += other.pixels;
    }

    pub fn mean_m(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.sum_m / self.pixels as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_by_hand() {
        let mut confusion = Confusion::default();
        // Object (1): truth 3 pixels, predicted 2, both 1: 1 / 4. Background (0): truth 2, predicted 3, both 1: 1 / 4.
        confusion.add(&[1, 0, 0, 1, 0, 2], &[1, 1, 1, 0, 0, 2]);
        assert_eq!(confusion.object_iou(), Some(0.25));
        assert_eq!(confusion.iou(Class::Background), Some(0.25));
        assert_eq!(confusion.iou(Class::Tray), Some(1.0));
        assert_eq!(confusion.iou(Class::Arm), None);
        assert_eq!(confusion.mean_iou(), Some(0.5));
        assert_eq!(confusion.accuracy(), Some(0.5));
        assert_eq!(confusion.count(Class::Object, Class::Background), 2);
        let mut twice = confusion.clone();
        twice.merge(&confusion);
        assert_eq!(twice.object_iou(), Some(0.25));
        assert_eq!(Confusion::default().mean_iou(), None);
        confusion.add(&[99], &[1]);
        assert_eq!(confusion.accuracy(), Some(0.5), "unknown ids are not counted");
    }

    #[test]
    fn depth_counts_hits_only() {
        let mut error = DepthError::default();
        assert_eq!(error.mean_m(), None);
        error.add(&[1.0, 5.0, f32::NAN, 2.5], &[1.5, 0.0, 1.0, 2.0]);
        assert!((error.mean_m().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    }
}
