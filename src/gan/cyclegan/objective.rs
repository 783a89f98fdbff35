//! A weighted sum of terms that remembers each of them for the metrics.

use super::error::CycleGanError;
use super::learner::Metrics;
use candle_core::Tensor;

/// The number in a scalar tensor.
pub(super) fn scalar(tensor: &Tensor) -> candle_core::Result<f64> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}

/// The generators' objective while it is put together.
#[derive(Default)]
pub(super) struct Objective {
    total: Option<Tensor>,
    pub metrics: Metrics,
}

impl Objective {
    /// Adds `weight` times a term; the metric is the term alone.
    pub fn add(&mut self, name: &'static str, weight: f64, term: &Tensor) -> Result<(), CycleGanError> {
        self.metrics.push((name, scalar(term)?));
        let weighted = (term * weight)?;
        self.total = Some(match self.total.take() {
            Some(total) => (total + weighted)?,
            None => weighted,
        });
        Ok(())
    }

    /// The sum and the metrics, with the sum's own last.
    pub fn finish(mut self) -> Result<(Tensor, Metrics), CycleGanError> {
        let Some(total) = self.total else {
            return Err(CycleGanError::Input("every weight of the generators' terms is 0".into()));
        };
        self.metrics.push(("loss/total", scalar(&total)?));
        Ok((total, self.metrics))
    }
}
