//! Names of files, for each format.

use super::config::{DatasetConfig, Format, Split};
use std::path::{Path, PathBuf};

/// One kind of image of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The source domain's picture, 8-bit RGB.
    Randomized,
    /// The canonical domain's picture, 8-bit RGB.
    Canonical,
    /// Class ids, an 8-bit palette image.
    Segmentation,
    /// True depth, 16-bit grey, millimetres; 0 where nothing was hit.
    Depth,
    /// Instance ids, an 8-bit palette image.
    Instances,
    /// Depth as the domain's depth camera measures it.
    SensedDepth,
    /// Randomized (left) and canonical (right) in one picture: pix2pix's `{A,B}`.
    Aligned,
}

impl Channel {
    /// The channel's part of folder and file names, and of the JSON members.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Randomized => "randomized",
            Self::Canonical => "canonical",
            Self::Segmentation => "segmentation",
            Self::Depth => "depth",
            Self::Instances => "instances",
            Self::SensedDepth => "sensed_depth",
            Self::Aligned => "aligned",
        }
    }
}

/// Where everything of a dataset lies. Paths are relative to its folder and use `/`.
#[derive(Clone, Debug)]
pub struct Layout {
    /// How the pairs lie on disk.
    pub format: Format,
    split: Split,
    digits: usize,
    channels: Vec<Channel>,
    pairs_per_tar: u64,
}

/// For `sha256sum -c`. Without an ending that a loader could take for data, as it did `checksums.txt`.
pub const CHECKSUMS_NAME: &str = "SHA256SUMS";
/// What it was called by earlier versions.
const FORMER_CHECKSUMS_NAME: &str = "checksums.txt";

/// The list of checksums of a dataset or recording, which may be of an earlier version.
pub fn checksums_path(root: &Path) -> PathBuf {
    let former = root.join(FORMER_CHECKSUMS_NAME);
    let path = root.join(CHECKSUMS_NAME);
    if !path.exists() && former.is_file() { former } else { path }
}

impl Layout {
    /// The layout of a dataset with these settings.
    pub fn new(config: &DatasetConfig) -> Self {
        let mut channels = match config.format {
            Format::Folder | Format::WebDataset => vec![Channel::Randomized, Channel::Canonical],
            Format::Pix2Pix => vec![Channel::Aligned],
        };
        channels.extend([Channel::Segmentation, Channel::Depth]);
        if config.instances {
            channels.push(Channel::Instances);
        }
        if config.sensed_depth {
            channels.push(Channel::SensedDepth);
        }
        Self {
            format: config.format,
            split: config.split,
            digits: config.digits(),
            channels,
            pairs_per_tar: config.pairs_per_tar,
        }
    }

    /// The images of a pair, in the order of their files.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// `000042`
    pub fn key(&self, index: u64) -> String {
        format!("{index:0digits$}", digits = self.digits)
    }

    /// The folder of a kind of image (not in tars). Below pix2pix's `train` lies nothing but the aligned pictures,
    /// because its loader takes every image below it.
    pub fn folder(&self, channel: Channel) -> String {
        match (self.format, channel) {
            (Format::Pix2Pix, Channel::Aligned) => self.split.name().into(),
            (Format::Pix2Pix, _) => channel.name().into(),
            _ => format!("{}/{}", self.split.name(), channel.name()),
        }
    }

    /// `train/randomized/000042.png`
    pub fn file(&self, channel: Channel, index: u64) -> String {
        format!("{}/{}.png", self.folder(channel), self.key(index))
    }

    /// `train/metadata.jsonl`; for pix2pix beside `train`.
    pub fn metadata(&self) -> String {
        match self.format {
            Format::Pix2Pix => "metadata.jsonl".into(),
            _ => format!("{}/metadata.jsonl", self.split.name()),
        }
    }

    /// The JSON members that name the files, relative to the metadata's folder: `"randomized_file_name":"...",`...
    pub fn file_name_members(&self, index: u64) -> String {
        let inside = format!("{}/", self.split.name());
        let name = |&channel: &Channel| {
            let file = self.file(channel, index);
            let relative = match self.format {
                Format::Pix2Pix => file.as_str(),
                _ => file.strip_prefix(&inside).unwrap_or(&file),
            };
            format!("\"{}_file_name\":\"{relative}\",", channel.name())
        };
        self.channels.iter().map(name).collect()
    }

    /// `train-000003.tar`, the third after the first. Hugging Face `datasets` knows the split by the name, and then takes
    /// nothing else in the folder for data.
    pub fn tar(&self, number: u64) -> String {
        format!("{}-{number:06}.tar", self.split.name())
    }

    /// The same in a folder that an earlier version may have written.
    pub fn tar_path(&self, root: &Path, number: u64) -> PathBuf {
        let former = root.join(format!("shard-{number:06}.tar"));
        let path = root.join(self.tar(number));
        if !path.exists() && former.is_file() { former } else { path }
    }

    /// Number of the tar that holds pair `index` of the whole dataset.
    pub fn tar_of(&self, index: u64) -> u64 {
        index / self.pairs_per_tar
    }

    /// `000042.randomized.png`
    pub fn tar_entry(&self, channel: Channel, index: u64) -> String {
        format!("{}.{}.png", self.key(index), channel.name())
    }

    /// `000042.json`
    pub fn tar_record(&self, index: u64) -> String {
        format!("{}.json", self.key(index))
    }

    /// The index in a file name such as `000042.png` or `000042.depth.png`.
    pub fn index_of(name: &str) -> Option<u64> {
        let stem = name.split('.').next()?;
        (stem.len() >= 6 && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?
    }

    /// A path of this layout below `root`, with the separators of the operating system.
    pub fn join(root: &Path, relative: &str) -> PathBuf {
        relative.split('/').fold(root.to_path_buf(), |path, part| path.join(part))
    }
}
