//! Where training runs: on a pool of threads with large stacks.

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::error::NnError;
use super::ops::dispatch::{force_stock, is_stock_forced};

/// Address space for each thread's stack; only what is touched costs memory.
const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on a pool of training threads, as many as `rayon` would use, and returns its result.
///
/// Candle's backward pass and the dropping of its graphs recurse once a layer or more, which overflows ordinary stacks in
/// deep networks. Work inside the pool also hands its parallel loops to the other threads without waking them first.
///
/// # Errors
/// The threads cannot be started.
pub fn with_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, NnError> {
    Ok(large_stack_pool(is_stock_forced())?.install(work))
}

/// A pool of training threads; `stock` sends all their operations along the stock path.
pub(super) fn large_stack_pool(stock: bool) -> Result<ThreadPool, NnError> {
    Ok(ThreadPoolBuilder::new()
        .num_threads(rayon::current_num_threads())
        .stack_size(STACK_BYTES)
        .thread_name(|index| format!("train-{index}"))
        .start_handler(move |_| force_stock(stock))
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_graphs_neither_overflow_in_backward_nor_in_drop() -> anyhow::Result<()> {
        let gradient = with_large_stack(|| -> candle_core::Result<f32> {
            let x = candle_core::Var::new(1.0_f32, &candle_core::Device::Cpu)?;
            let mut y = x.as_tensor().clone();
            for _ in 0..50_000 {
                y = (y + 1.0)?;
            }
            let grads = y.backward()?;
            grads.get(&x).map_or(Ok(0.0), |g| g.to_scalar())
        })??;
        assert_eq!(gradient, 1.0);
        Ok(())
    }
}
