//! Paired datasets on disk: every moment in a source domain and in the canonical one, with class ids, instance ids and
//! depth, aligned pixel for pixel; on request also depth as the source domain's depth camera measures it (`sensed_depth`).
//!
//! | format | files |
//! |---|---|
//! | `folder` | `train/{randomized,canonical,segmentation,depth,instances}/000000.png`, `train/metadata.jsonl` with `randomized_file_name`, ... (opens as image columns in Hugging Face `datasets`) |
//! | `webdataset` | `train-000000.tar` with `000000.randomized.png`, ..., `000000.json` |
//! | `pix2pix` | `train/000000.png`, randomized on the left and canonical on the right (pytorch-CycleGAN-and-pix2pix's aligned dataset), the other images and `metadata.jsonl` beside `train` |
//!
//! and in each `dataset.toml` (settings), `SHA256SUMS` (for `sha256sum -c`) and `README.md` (what is data, for Hugging Face). Randomized and canonical are 8-bit
//! RGB; segmentation and instances are 8-bit palette images whose indices are the ids; depth is 16-bit grey in
//! millimetres with 0 for "nothing hit".

mod align;
pub mod check;
pub mod config;
mod encode;
mod folder;
pub mod layout;
pub mod merge;
pub mod reader;
mod readme;
pub mod record;
pub mod sheet;
mod tars;
#[cfg(test)]
pub(super) mod tests;
pub mod writer;

pub use align::Shift;
pub use check::{CheckReport, check};
pub use config::{DatasetConfig, Format, Manifest, ObjectSource, Shard, Split};
pub use encode::depth_to_mm;
pub use layout::{CHECKSUMS_NAME, Channel, Layout, checksums_path};
pub use merge::merge;
pub use reader::{Pair, PairReader, to_frames};
pub use record::{ObjectState, PairMeta, PairRecord, Phase};
pub use sheet::{sheet, sheet_of};
pub use writer::{CommitEvery, PairWriter};

/// The names that a reader finds in the bytes of a tar of at most `most` files, and why it stopped.
#[cfg(feature = "fuzz")]
pub fn parse_tar(bytes: &[u8], most: usize) -> (Vec<String>, Option<String>) {
    tars::TarIndex::of(std::io::Cursor::new(bytes), most).into_names()
}
