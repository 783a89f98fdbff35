//! What can go wrong in the learners' room, in words for whoever runs it.

/// Errors of networks, optimizers and their state.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    #[error("the state has no tensor `{name}`: it belongs to another network or version; load a matching checkpoint")]
    Missing { name: String },
    #[error("the state holds `{name}`, which this network does not have; load a matching checkpoint")]
    Unexpected { name: String },
    #[error("the state holds `{name}` twice; the file is damaged or was put together by hand")]
    Duplicate { name: String },
    #[error(
        "`{name}` has shape {found:?} in the state and {expected:?} in the network; load a checkpoint of the same sizes"
    )]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("`{name}` in the state does not fit: {reason}")]
    InvalidValue { name: String, reason: String },
    #[error("a parameter named `{name}` exists already; give each layer its own prefix")]
    NameTaken { name: String },
    #[error(
        "gradients were not finite {in_a_row} steps in a row (last global norm {norm}); lower the learning rate, \
         clip gradients, or look for a division by zero in the losses"
    )]
    Diverged { in_a_row: u32, norm: f64 },
    #[error("cannot start the training threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}
