//! Translations beside the truth, for people.

use super::generator::Translation;
use crate::draw::palette::{colour_classes, colour_depth};
use crate::draw::{ContactSheet, Picture, depth_range};
use crate::gan::frames::Frame;

/// One row of a sheet.
pub struct Row<'a> {
    /// The frame that gives input, canonical image, true mask and true depth.
    pub frame: Frame<'a>,
    /// The generator's outputs for the frame, of the same size.
    pub translation: &'a Translation,
    /// The text below the row; empty for none.
    pub caption: String,
}

/// Rows of input, generated image, target, and generated and true mask and depth.
pub fn sheet(title: impl Into<String>, subtitle: impl Into<String>, rows: &[Row<'_>]) -> ContactSheet {
    let depths = rows.iter().flat_map(|row| row.frame.batch.depth_image(row.frame.index)).copied();
    let (near, far) = depth_range(depths);
    let names = ["input", "generated", "canonical", "generated mask", "true mask", "generated depth", "true depth"];
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(192).class_legend().depth_legend(near, far);
    for row in rows {
        let Frame { batch, index } = row.frame;
        let (w, h) = (batch.width, batch.height);
        let photo = |rgb: &[u8]| Picture::exact(w, h, rgb.to_vec());
        let depth = |metres: &[f32]| Picture::exact(w, h, colour_depth(metres, near, far));
        sheet.row(
            row.caption.clone(),
            vec![
                photo(batch.source_image(index)),
                photo(&row.translation.image),
                photo(batch.canonical_image(index)),
                Picture::exact(w, h, colour_classes(&row.translation.classes)),
                Picture::exact(w, h, colour_classes(batch.segmentation_image(index))),
                depth(&row.translation.depth_m),
                depth(batch.depth_image(index)),
            ],
        );
    }
    sheet
}
