//! `bingrasp view` [Bevy, windowed; Cargo feature `viewer`]: a window where a person watches, drives and takes apart the
//! grasping cell.
//!
//! | file | what it does |
//! |---|---|
//! | `session` | the whole viewer without a window: state and commands |
//! | `setup`, `stage`, `camera`, `pictures`, `scores` | its parts |
//! | `translator`, `pilot` | what a run's generator draws, what a run's policy does; `cli` brings both |
//! | `export`, `recorder`, `settings` | what is taken home and remembered |
//! | `ui/` | the egui layout over a session |
//! | `window` | a Bevy app with winit and bevy_egui |
//! | `painter`, `offscreen` | the same layout painted without a display |
//! | `script` | events from a file, for tests and demonstrations |

pub mod camera;
pub mod export;
pub mod offscreen;
pub mod painter;
pub mod pictures;
pub mod pilot;
mod raster;
pub mod recorder;
pub mod scores;
pub mod script;
pub mod session;
pub mod settings;
pub mod setup;
pub mod stage;
pub mod translator;
pub mod ui;
pub mod window;

pub use session::Session;
pub use setup::Setup;
pub use ui::Viewer;
