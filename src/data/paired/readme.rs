//! `README.md` of a dataset: what it is for people, and which of its files are data for Hugging Face `datasets`, which
//! otherwise takes every file in the folder for data.

use super::config::{DatasetConfig, Format};
use super::layout::{CHECKSUMS_NAME, Layout};
use crate::data::DataError;
use crate::files::atomic::write_atomic;
use std::path::Path;

const NAME: &str = "README.md";

/// Writes it where there is none.
pub fn write_missing(root: &Path, config: &DatasetConfig) -> Result<(), DataError> {
    let path = root.join(NAME);
    if path.exists() {
        return Ok(());
    }
    Ok(write_atomic(&path, text(config).as_bytes())?)
}

/// The same for all shards of a dataset.
fn text(config: &DatasetConfig) -> String {
    let split = config.split.name();
    let layout = Layout::new(config);
    let (data, what) = match config.format {
        Format::Folder => (format!("{split}/**"), format!("image files, and their records in `{}`", layout.metadata())),
        Format::WebDataset => (format!("{split}-*.tar"), "tar files for WebDataset".to_owned()),
        Format::Pix2Pix => (
            format!("{split}/*.png"),
            format!(
                "pictures with the source on the left and the canonical image on the right; `{}`",
                layout.metadata()
            ),
        ),
    };
    let sensed = if config.sensed_depth { ", measured depth (the same, 0 where nothing was measured)" } else { "" };
    let (width, height, count, domain) = (config.width, config.height, config.count, config.domain);
    format!(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: {split}\n    path: \"{data}\"\n---\n\n\
         # Pairs of {domain} and canonical images of a robot grasping from a bin\n\n\
         {count} pairs of {width}x{height} pixels with class ids, instance ids and depth (16 bits, millimetres){sensed}, aligned \
         pixel for pixel: {what}. The settings are in `dataset.toml`, checksums in `{CHECKSUMS_NAME}` \
         (`sha256sum -c {CHECKSUMS_NAME}`).\n\n\
         Every record has the same keys. `action` is the decision that led to the image; at the start of an episode there \
         was none, and `action.is_given` is false.\n"
    )
}
