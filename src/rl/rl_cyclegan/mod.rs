//! RL-CycleGAN (Rao et al., 2020) and GraspGAN (Bousmalis et al., 2018): generators between simulation and reality that
//! learn beside a Q-function or a grasp network.
//!
//! In: a finished run of QT-Opt in the simulator with its episodes (x), a recording of the domain to transfer to (y). Out: G
//! and F, Q_sim and Q_real, figures that watch for the known failures. The final Q_real is trained afterwards by QT-Opt, which
//! looks through the frozen G.

pub mod batch;
pub mod bench;
pub mod config;
pub mod grasp_network;
pub mod learner;
pub mod load;
pub mod saliency;
pub mod scene;
pub mod source;
pub mod targets;
pub mod translated;
pub mod watch;

pub use config::{BellmanTargetsOf, RlCycleGanConfig, RlCycleGanData, SceneConfig};
pub use grasp_network::GraspNetwork;
pub use learner::{QPair, RlCycleGanLearner};
pub use scene::QScene;
pub use source::JointSource;
pub use translated::TranslatedQ;

#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod tests;
