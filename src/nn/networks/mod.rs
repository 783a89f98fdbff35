//! What a network declares about itself, and the three benchmark networks.

mod benchmark;
mod spec;

pub use benchmark::{BENCH_NETWORKS, QEncoder, SkipUNet, UNet7, bench_network};
pub use spec::{Dim, Network, Range, Spec, check_network};
