//! What can go wrong in the learners' room, in words for whoever runs it.

/// Errors of networks, optimizers and their state.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A tensor operation fails: shapes or types that do not fit, or a device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A state to load lacks a tensor, or an average and its network do not have the same ones.
    #[error("the state has no tensor `{name}`: it belongs to another network or version; load a matching checkpoint")]
    Missing {
        /// Full name of the tensor.
        name: String,
    },
    /// A state to load has a tensor too many: it belongs to another network.
    #[error("the state holds `{name}`, which this network does not have; load a matching checkpoint")]
    Unexpected {
        /// Full name of the tensor.
        name: String,
    },
    /// Two tensors of a state to load have the same name.
    #[error("the state holds `{name}` twice; the file is damaged or was put together by hand")]
    Duplicate {
        /// Full name of both.
        name: String,
    },
    /// A tensor of a state to load has another shape than its parameter, buffer or moment.
    #[error(
        "`{name}` has shape {found:?} in the state and {expected:?} in the network; load a checkpoint of the same sizes"
    )]
    Shape {
        /// Full name of the tensor.
        name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape in the state.
        found: Vec<usize>,
    },
    /// A counter in an optimizer's state is negative or no 64-bit integer, or a network cannot have this size.
    #[error("`{name}` in the state does not fit: {reason}")]
    InvalidValue {
        /// Full name of the counter, or of the setting.
        name: String,
        /// The value found, and the one that is possible.
        reason: String,
    },
    /// A layer creates a parameter or buffer under a name that its store has already.
    #[error("a parameter named `{name}` exists already; give each layer its own prefix")]
    NameTaken {
        /// Full name of the tensor.
        name: String,
    },
    /// The gradients of the third step in a row are infinite or NaN.
    #[error(
        "gradients were not finite {in_a_row} steps in a row (last global norm {norm}); lower the learning rate, \
         clip gradients, or look for a division by zero in the losses"
    )]
    Diverged {
        /// Such steps in a row, this one included.
        in_a_row: u32,
        /// Global norm of this step's gradients, infinite or NaN.
        norm: f64,
    },
    /// The operating system refuses threads with large stacks.
    #[error("cannot start the training threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}
