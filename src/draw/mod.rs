//! Pictures for people: text, colours, contact sheets and curves. In: numbers and images. Out: PNG and SVG files.

pub mod canvas;
pub mod chart;
pub mod file;
pub mod font;
pub mod heat;
pub mod palette;
pub mod png;
pub mod sheet;

pub use canvas::{Align, Canvas, DrawError, Rect};
pub use chart::{Chart, Series, plot_curves};
pub use file::{PictureFormat, save_picture};
pub use font::{TextStyle, Typeface};
pub use heat::heat_overlay;
pub use sheet::{ContactSheet, Picture, depth_range};
