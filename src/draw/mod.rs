//! Pictures for people: text, colours, contact sheets and curves. In: numbers and images. Out: PNG and SVG files.

pub mod palette;
