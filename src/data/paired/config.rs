//! What a paired dataset is made from, and `dataset.toml`, which says so beside the data.

use crate::contract::{Camera, Domain, Seed};
use crate::data::format::FormatVersion;
use crate::data::{DataError, difference::difference, seal::Sealed};
use crate::draw::png::MAX_SIDE;
use crate::files::atomic::{read_capped, write_atomic};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Name of the settings file in a dataset's folder.
pub const CONFIG_NAME: &str = "dataset.toml";
/// Version of the layout on disk. A reader refuses newer ones.
/// 2: `tick` is `step_index`.
pub const FORMAT_VERSION: u32 = 2;
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// More pairs than any disk holds: a guard against a mistyped number.
const MAX_COUNT: u64 = 1_000_000_000_000;

/// How pairs lie on disk; see the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A PNG file for each image, in a folder for each channel.
    #[default]
    Folder,
    /// Tar files of many pairs each, in the layout of WebDataset.
    WebDataset,
    /// Source and canonical image side by side in one PNG file, as pix2pix reads them; the others in folders.
    Pix2Pix,
}

impl Format {
    /// All formats, the default first.
    pub const ALL: [Self; 3] = [Self::Folder, Self::WebDataset, Self::Pix2Pix];

    /// The word in settings and on the command line; `FromStr` reads it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::WebDataset => "webdataset",
            Self::Pix2Pix => "pix2pix",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for Format {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            DataError::Input(format!("unknown dataset format '{text}'; the formats are folder, webdataset, pix2pix"))
        })
    }
}

/// Which split the pairs are; names the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Pairs to train on.
    #[default]
    Train,
    /// Pairs to choose models and settings by.
    Validation,
    /// Pairs to measure finished models on.
    Test,
}

impl Split {
    /// The word in settings, and the name of the folder or the beginning of the tars' names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Part `index` of `of` equal parts, `0 <= index < of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 0 to `of - 1`.
    pub index: u64,
    /// Number of parts, at least 1.
    pub of: u64,
}

impl std::str::FromStr for Shard {
    type Err = DataError;

    /// `0/8` to `7/8`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (index, of) = text.split_once('/')?;
            let shard = Self { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? };
            (shard.index < shard.of).then_some(shard)
        };
        parse().ok_or_else(|| {
            DataError::Input(format!("'{text}' is not a shard; write i/n with i from 0 to n - 1, as 0/8"))
        })
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.index, self.of)
    }
}

/// Where the objects came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSource {
    /// `built-in`, or `folder` for a user's own.
    pub catalogue: String,
    /// Its part: `train`, `test` or `all`.
    pub split: String,
    /// Objects that an episode begins with.
    pub per_episode: u32,
    /// What a user's objects are, by their contents: SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Everything that decides the bytes of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Decides every pair, together with its index.
    #[serde(with = "crate::contract::seed::seed_number")]
    pub seed: Seed,
    /// The source domain; each pair shows it beside the canonical one.
    pub domain: Domain,
    /// Pairs of the whole dataset, all shards together.
    pub count: u64,
    /// Width of each image, pixels; a pix2pix picture is twice as wide.
    pub width: u32,
    /// Height of each image, pixels.
    pub height: u32,
    /// How the pairs lie on disk.
    pub format: Format,
    /// What the pairs are for; it names folders and tars, and decides no pixel.
    pub split: Split,
    /// Also write instance ids (`.../instances`).
    pub instances: bool,
    /// Also write depth as the domain's depth camera measures it (`.../sensed_depth`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensed_depth: bool,
    /// Pairs that are generated together. Borders between shards fall on multiples of it, so that no two processes
    /// simulate the same block.
    pub block: u64,
    /// Pairs in one tar of the WebDataset format; borders between shards fall on multiples of it.
    pub pairs_per_tar: u64,
    /// `None` is the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The nominal camera; each frame's own is in its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Camera>,
    /// Which objects lie in the bins.
    #[serde(default)]
    pub objects: ObjectSource,
    /// The other settings of the generator (scene, appearance, policy), resolved, as they are.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub generator: toml::Table,
}

impl DatasetConfig {
    /// Settings of a whole dataset in the format `folder` for training, with instance ids and without measured depth.
    pub fn new(seed: Seed, domain: Domain, count: u64, (width, height): (u32, u32)) -> Self {
        Self {
            seed,
            domain,
            count,
            width,
            height,
            format: Format::Folder,
            split: Split::Train,
            instances: true,
            sensed_depth: false,
            block: 1,
            pairs_per_tar: 1000,
            shard: None,
            camera: None,
            objects: ObjectSource::default(),
            generator: toml::Table::new(),
        }
    }

    /// Errors in a sentence that says what is allowed.
    pub fn validate(&self) -> Result<(), DataError> {
        let side_ok = |n: u32| (1..=MAX_SIDE).contains(&n);
        // A pix2pix picture is two images wide.
        let widest = if self.format == Format::Pix2Pix { self.width.saturating_mul(2) } else { self.width };
        let problem = if self.count == 0 || self.count > MAX_COUNT {
            format!("count is {}; it must be 1 to {MAX_COUNT}", self.count)
        } else if !side_ok(widest) || !side_ok(self.height) {
            format!("the image size {}x{} is not within 1x1 to {MAX_SIDE}x{MAX_SIDE}", widest, self.height)
        } else if self.block == 0 || self.block > MAX_COUNT {
            format!("block is {}; it must be 1 to {MAX_COUNT}", self.block)
        } else if self.pairs_per_tar == 0 || self.pairs_per_tar > 1_000_000 {
            format!("pairs_per_tar is {}; it must be 1 to 1000000", self.pairs_per_tar)
        } else if let Some(shard) = self.shard.filter(|s| s.index >= s.of) {
            format!("shard {shard} does not exist; the first of n is 0/n and the last n-1/n")
        } else {
            return Ok(());
        };
        Err(DataError::Input(problem))
    }

    /// The indices that belong to `self.shard`; together, the shards cover `0..count` exactly once.
    pub fn range(&self) -> Range<u64> {
        let Some(Shard { index, of }) = self.shard else {
            return 0..self.count;
        };
        let unit = if self.format == Format::WebDataset { self.pairs_per_tar } else { self.block };
        let units = self.count.div_ceil(unit);
        let border = |i: u64| {
            let whole = u128::from(units) * u128::from(i) / u128::from(of);
            u64::try_from(whole * u128::from(unit)).unwrap_or(u64::MAX).min(self.count)
        };
        border(index)..border(index + 1)
    }

    /// Digits of the index in file names.
    pub fn digits(&self) -> usize {
        (self.count.saturating_sub(1)).checked_ilog10().map_or(1, |d| d as usize + 1).max(6)
    }

    /// Pixels of one image: width times height.
    pub fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// `dataset.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it; others are refused.
    pub format_version: u32,
    /// Name and version of the program that generates it: another version may draw other pixels.
    pub program: String,
    /// All pairs of this shard are there and checked in `SHA256SUMS`.
    pub complete: bool,
    /// SHA-256 of `SHA256SUMS`, once complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums_sha256: Option<String>,
    /// SHA-256 of these settings in the file; never here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings_sha256: Option<String>,
    /// What the dataset is made from.
    pub dataset: DatasetConfig,
}

impl Sealed for Manifest {
    fn seal(&mut self) -> &mut Option<String> {
        &mut self.settings_sha256
    }
}

const HEADER: &str = "\
# A paired dataset: every simulated moment in a source domain and in the canonical one, with class ids, instance ids
# and depth, aligned pixel for pixel. File checksums are in SHA256SUMS (check with `sha256sum -c SHA256SUMS`).

";

impl Manifest {
    /// The manifest of a dataset that this program is about to write.
    pub fn new(dataset: DatasetConfig) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            complete: false,
            checksums_sha256: None,
            settings_sha256: None,
            dataset,
        }
    }

    /// Where the manifest of the dataset in `folder` lies.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(CONFIG_NAME)
    }

    /// Reads and checks the manifest of the dataset in `folder`.
    ///
    /// # Errors
    /// [`DataError::NoDataset`] without the file, [`DataError::File`] where it cannot be read. [`DataError::Config`]
    /// for bad TOML, another format version or values out of range.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let path = Self::path(folder);
        let bytes = match read_capped(&path, MAX_CONFIG_BYTES) {
            Err(error) if error.is_not_found() => return Err(DataError::NoDataset(folder.into())),
            bytes => bytes?,
        };
        Self::parse(&path, bytes)
    }

    /// [`read`](Self::read) for a file in memory; `path` is for messages.
    ///
    /// # Errors
    /// Another version, settings that are unknown or out of range.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, DataError> {
        let fail = |message: String| DataError::Config { path: path.to_owned(), message };
        let text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text".into()))?;

        // The version first, so that a file of another version is not blamed for keys that are merely unknown here.
        let plain = |e: toml::de::Error| fail(e.to_string().trim_end().replace('\n', "\n  "));
        let version: FormatVersion = toml::from_str(&text).map_err(plain)?;
        version.check(FORMAT_VERSION, "generate the dataset again").map_err(&fail)?;
        let mut manifest: Self = toml::from_str(&text).map_err(plain)?;
        manifest.dataset.validate().map_err(|e| fail(e.to_string()))?;
        manifest.check_seal().map_err(fail)?;
        Ok(manifest)
    }

    /// Replaces the manifest in `folder` as a whole.
    ///
    /// # Errors
    /// [`DataError::File`] for a full or failing disk; [`DataError::Config`] for settings that TOML cannot hold.
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        let path = Self::path(folder);
        let text =
            self.to_sealed_toml().map_err(|e| DataError::Config { path: path.clone(), message: e.to_string() })?;
        Ok(write_atomic(&path, (HEADER.to_owned() + &text).as_bytes())?)
    }

    /// The settings in which `self` (on disk) and `other` (wanted) differ, as `seed is 1 there and 2 here`.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let plain = |manifest: &Self| Self { complete: false, checksums_sha256: None, ..manifest.clone() };
        difference(&plain(self), &plain(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(count: u64) -> DatasetConfig {
        DatasetConfig::new(Seed(3), Domain::RandomizedMild, count, (64, 48))
    }

    #[test]
    fn shards_tile_the_indices() {
        for (count, block, of) in [(10, 1, 3), (1000, 64, 7), (5, 64, 4), (1000, 1, 1), (3, 1, 8)] {
            for format in Format::ALL {
                let whole = DatasetConfig { block, format, pairs_per_tar: 30, ..config(count) };
                let mut next = 0;
                for index in 0..of {
                    let range = DatasetConfig { shard: Some(Shard { index, of }), ..whole.clone() }.range();
                    assert_eq!(range.start, next);
                    let unit = if format == Format::WebDataset { 30 } else { block };
                    assert!(range.start.is_multiple_of(unit) || range.start == count);
                    next = range.end;
                }
                assert_eq!(next, count);
            }
        }
    }

    #[test]
    fn text_round_trip_even_with_seeds_beyond_toml() {
        let folder = tempfile::tempdir().unwrap();
        for seed in [0, 42, u64::MAX] {
            let mut dataset = DatasetConfig { seed: Seed(seed), shard: "1/4".parse().ok(), ..config(9) };
            dataset.camera = Some(crate::data::testing::camera(64, 48));
            dataset.generator.insert("policy".into(), "scripted".into());
            let manifest = Manifest::new(dataset);
            manifest.write(folder.path()).unwrap();
            assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        }
    }

    #[test]
    fn bad_files_are_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::read(folder.path()), Err(DataError::NoDataset(_))));
        Manifest::new(config(9)).write(folder.path()).unwrap();
        let path = Manifest::path(folder.path());
        let good = std::fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("format_version = 2", "format_version = 3", "newer release"),
            ("format_version = 2", "format_version = 1", "generate the dataset again"),
            ("count = 9", "count = 9\ncuont = 8", "unknown field `cuont`"),
            ("count = 9", "count = 0", "count is 0"),
            ("width = 64", "width = 100000", "not within"),
            ("domain = \"randomized-mild\"", "domain = \"mars\"", "unknown variant `mars`"),
            ("width = 64", "width = 65", "remove that line if you changed it yourself"),
        ] {
            assert!(good.contains(from), "{good}");
            std::fs::write(&path, good.replace(from, to)).unwrap();
            let error = Manifest::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("dataset.toml"), "{error}");
        }
    }

    #[test]
    fn differences_are_named() {
        let a = Manifest::new(config(9));
        let mut b = a.clone();
        b.complete = true;
        assert_eq!(a.difference(&b), None);
        b.dataset.seed = Seed(4);
        b.dataset.objects.per_episode = 7;
        let text = a.difference(&b).unwrap();
        assert_eq!(text, "objects.per_episode is 0 there and 7 here, seed is 3 there and 4 here");
    }

    #[test]
    fn digits_grow_with_the_count() {
        assert_eq!(config(1).digits(), 6);
        assert_eq!(config(1_000_000).digits(), 6);
        assert_eq!(config(1_000_001).digits(), 7);
    }
}
