//! The things to grasp: procedural prism objects, the catalogue of 1,000 that the program carries, and import and
//! export of OBJ, URDF and glTF, and import of STL and PLY. In: seeds or files. Out: [`ObjectModel`]s that `sim` collides and `render` draws.

pub mod assembly;
pub mod catalogue;
pub mod digest;
pub mod error;
pub mod export;
pub mod generate;
pub mod geometry;
pub mod grasp;
pub mod household;
pub mod import;
pub mod mass;
pub mod model;
pub mod rest;
pub mod set;
pub mod spring_jointed;
pub mod statistics;
mod surfaces;
pub mod ycb;

pub use assembly::{Assembly, AxisSpring, Piece, PieceDescription, SpringJoint};
pub use catalogue::Catalogue;
pub use digest::digest;
pub use error::ObjectError;
pub use export::{ExportFormat, export_objects};
pub use generate::{GenerateConfig, generate};
pub use grasp::{Jaws, StablePose, TopDownGrasp};
pub use household::{HouseholdClass, HouseholdConfig};
pub use import::{ImportOptions, ImportReport, Imported, import_dir, import_file};
pub use mass::Inertia;
pub use model::{Aabb, ConvexPart, MAX_HULL_POINTS, Mass, ObjectModel, Physics};
pub use set::{ObjectSet, Split, at_least, draw_objects};
pub use statistics::Statistics;
