//! Which of the two paths an operation takes: our own kernels, or candle's stock operations, which is what a GPU runs.
//!
//! Kernels exist for the CPU in `f32` and `f64`. [`with_stock_path`] forces the stock path there as well, so that what a GPU
//! would compute can be tested where none is.

use std::cell::Cell;

use candle_core::{DType, Tensor};

use crate::nn::error::NnError;
use crate::nn::threads::large_stack_pool;

thread_local! {
    static STOCK: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on threads on which every operation takes the stock path, whatever the device. Nothing outside `work` is
/// affected.
///
/// Whatever `work` uses must be built in it: an activation or optimizer of one path does not fit the other.
///
/// # Errors
/// The threads cannot be started.
pub fn with_stock_path<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, NnError> {
    Ok(large_stack_pool(true)?.install(work))
}

/// Whether this thread takes the stock path everywhere.
pub(crate) fn is_stock_forced() -> bool {
    STOCK.get()
}

/// Makes this thread take the stock path, or not: for the threads of a pool, as they start.
pub(crate) fn force_stock(forced: bool) {
    STOCK.set(forced);
}

/// Whether our kernels run on this tensor, where they exist for `dtype`.
pub(crate) fn is_native(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64) && !is_stock_forced()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Activations;
    use crate::nn::with_large_stack;
    use rayon::prelude::*;

    #[test]
    fn it_is_forced_on_every_thread_of_the_work_and_nowhere_else() -> anyhow::Result<()> {
        let native = || -> candle_core::Result<bool> {
            let x = Tensor::zeros(3, DType::F32, &crate::nn::HOST)?;
            Ok(Activations::from_tensor(&x)?.native().is_some())
        };
        let all = || (0..64).into_par_iter().map(|_| native()).collect::<candle_core::Result<Vec<bool>>>();
        assert!(!with_stock_path(all)??.contains(&true));
        // Pools within take it over.
        assert!(!with_stock_path(|| with_large_stack(all))???.contains(&true));
        assert!(!with_large_stack(all)??.contains(&false) && native()?);
        Ok(())
    }
}
