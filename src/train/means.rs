//! Means of figures between two lines of the log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums of named figures since the last line. It is saved with a checkpoint, so that a resumed run logs the same means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means(BTreeMap<String, Sum>);

/// The sum as bits: decimal text may come back as a neighbouring number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    bits: u64,
    count: u64,
}

impl Means {
    /// Values that are not finite are left out: a skipped step says nothing about the others.
    pub fn add<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, f64)>) {
        for (name, value) in values.into_iter().filter(|(_, value)| value.is_finite()) {
            let sum = self.0.entry(name.to_owned()).or_insert(Sum { bits: 0, count: 0 });
            *sum = Sum { bits: (f64::from_bits(sum.bits) + value).to_bits(), count: sum.count + 1 };
        }
    }

    /// The means in the order of their names, and begins anew.
    pub fn take(&mut self) -> Vec<(String, f64)> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(name, sum)| (name, f64::from_bits(sum.bits) / sum.count as f64))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_leave_out_what_is_not_finite_and_begin_anew() {
        let mut means = Means::default();
        means.add([("loss", 1.0), ("reward", f64::NAN)]);
        means.add([("loss", 4.0), ("reward", -0.5)]);
        assert_eq!(means.take(), [("loss".to_owned(), 2.5), ("reward".to_owned(), -0.5)]);
        assert!(means.take().is_empty());
    }
}
