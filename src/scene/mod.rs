//! The cell as data: bins, divider, arm, gripper, cameras, and what of them can be drawn. No physics, no pixels.
//!
//! In: a [`CellDescription`] (the default is [`CellDescription::iiwa_bin`], Robot 1 of the RCAN and RL-CycleGAN
//! papers), from code or TOML ([`cells`]). Out: arm kinematics ([`arm`]), cameras ([`camera`]) and drawable parts ([`parts`]).
//! Another robot, bin or camera is another description, not another program.

#![warn(missing_docs)]

pub mod arm;
pub mod camera;
pub mod cell;
pub mod cells;
pub mod group;
pub mod parts;
mod validate;

pub use arm::{ArmDescription, ArmPose, IkError, JointAngles};
pub use camera::{CameraDescription, CameraMount, CropWindow};
pub use cell::{
    ArmBase, BackdropDescription, BinDescription, CellDescription, DividerDescription, GripperDescription,
    MotionLimits, ObjectsDescription, Placement, Surfaces,
};
pub use cells::{BuiltinCell, CellLoadError};
pub use group::{BinGroupDescription, BinGroupPose, BinPlacement};
pub use parts::{Bodies, instance};
pub use validate::CellError;
