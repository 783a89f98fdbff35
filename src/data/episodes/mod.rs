//! Episodes on disk: what a policy saw, did and got, for learning without a simulator (QT-Opt's off-policy data).
//!
//! | file | what |
//! |---|---|
//! | `episodes.toml` | settings |
//! | `episodes-000000.safetensors` | some episodes; PyTorch: `safetensors.torch.load_file` |
//! | `SHA256SUMS` | for `sha256sum -c` |
//!
//! An episode of n actions has n + 1 observations. A shard with E episodes, N actions and O = N + E observations holds
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `episode_offset` | i64 `[E + 1]` | episode e has actions `offset[e]..offset[e + 1]`; its first observation is `offset[e] + e` |
//! | `episode_seed` | i64 `[E]` | the bits of the unsigned seed |
//! | `success`, `grasped` | u8, i64 `[E]` | held an object at the end; which ones, a bit an object |
//! | `image_png`, `image_offset` | u8 `[bytes]`, i64 `[O + 1]` | image o is the PNG file `image_png[offset[o]..offset[o + 1]]` |
//! | `gripper` | f32 `[O, 3]` | closed (0 or 1), height of the finger tips in metres, measured aperture in metres |
//! | `commanded`, `achieved` | f32 `[O, 4]` | x, y, z in metres and rotation in radians: what the action before asked for, and how far the gripper got; 0 at the start |
//! | `bin_group` | f32 `[E, 3]` | x, y in metres and yaw in radians: where the bins stand from their place in the description; absent in recordings of domains that stand for the real world |
//! | `action` | f32 `[N, 6]` | as carried out: x, y, z in metres, rotation in radians, gripper (0 keep, 1 close, 2 open), terminate (0 or 1) |
//! | `reward` | f32 `[N]` | |
//! | `terminated` | u8 `[N]` | the policy ended the episode with this action |
//! | `truncated` | u8 `[N]` | the episode reached its time limit |
//! | `invalid` | u8 `[N]` | the simulation failed; nothing can be learned from the episode |
//! | `exploratory` | u8 `[N]` | chance moved the action away from what the policy would have done |

mod reader;
mod record;
mod shard;
#[cfg(test)]
pub(super) mod tests;
mod writer;

pub use reader::EpisodeReader;
pub use record::{RecordError, record_episodes};
pub use writer::EpisodeWriter;

use crate::contract::{Domain, Seed};
use crate::data::{DataError, seal::Sealed};
use crate::draw::png::MAX_SIDE;
use serde::{Deserialize, Serialize};

/// The cell that a recording was made in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCell {
    /// Name in the cell's description.
    pub name: String,
    /// SHA-256 of the description as TOML: cells of one name may differ.
    pub digest: String,
}

/// Everything that decides the bytes of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodesConfig {
    /// Decides every episode, together with the episodes' numbers and the policy.
    #[serde(with = "crate::contract::seed::seed_number")]
    pub seed: Seed,
    /// The visual domain that the images show.
    pub domain: Domain,
    /// Width of the images, pixels.
    pub width: u32,
    /// Height of the images, pixels.
    pub height: u32,
    /// Episodes of the whole recording.
    pub count: u64,
    /// Episodes in one file, from 1 to 100000; the last file may have fewer.
    pub episodes_per_shard: u64,
    /// The cell that the robot worked in.
    pub cell: RecordedCell,
    /// What decided.
    pub policy: String,
    /// The other settings of the generator, resolved.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub generator: toml::Table,
}

impl EpisodesConfig {
    /// Checks counts and image size.
    ///
    /// # Errors
    /// [`DataError::Input`] with the first value that is out of range, and what is allowed.
    pub fn validate(&self) -> Result<(), DataError> {
        let side_ok = |n: u32| (1..=MAX_SIDE).contains(&n);
        let problem = if self.count == 0 {
            "count is 0; it must be at least 1".to_owned()
        } else if !(1..=100_000).contains(&self.episodes_per_shard) {
            format!("episodes_per_shard is {}; it must be 1 to 100000", self.episodes_per_shard)
        } else if !side_ok(self.width) || !side_ok(self.height) {
            format!("the image size {}x{} is not within 1x1 to {MAX_SIDE}x{MAX_SIDE}", self.width, self.height)
        } else {
            return Ok(());
        };
        Err(DataError::Input(problem))
    }

    fn shards(&self) -> u64 {
        self.count.div_ceil(self.episodes_per_shard)
    }
}

/// What a reader makes of the bytes of a shard of a recording with these settings: every episode in it.
///
/// # Errors
/// The first thing that is damaged.
#[cfg(feature = "fuzz")]
pub fn parse_shard(config: &EpisodesConfig, bytes: Vec<u8>) -> Result<Vec<crate::contract::Episode>, DataError> {
    let path = std::path::Path::new("shard");
    let file = crate::train::TensorFile::parse(path, bytes).map_err(|e| DataError::damaged(path, e.to_string()))?;
    let shard = shard::Shard::parse(path, &file)?;
    (0..shard.len()).map(|episode| shard.episode(episode, config)).collect()
}

/// The settings in the bytes of an `episodes.toml`.
///
/// # Errors
/// Another version, settings that are unknown or out of range.
#[cfg(feature = "fuzz")]
pub fn parse_manifest(bytes: &[u8]) -> Result<EpisodesConfig, DataError> {
    EpisodesManifest::parse(std::path::Path::new(MANIFEST_NAME), bytes).map(|manifest| manifest.episodes)
}

/// `episodes.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpisodesManifest {
    format_version: u32,
    program: String,
    complete: bool,
    /// SHA-256 of these settings in the file; never here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings_sha256: Option<String>,
    episodes: EpisodesConfig,
}

impl Sealed for EpisodesManifest {
    fn seal(&mut self) -> &mut Option<String> {
        &mut self.settings_sha256
    }
}

const MANIFEST_NAME: &str = "episodes.toml";
/// 2: `truncated` is a time limit and `invalid` a fault, `strayed` is `exploratory`. 3: the cell, the place of its bins, and what
/// each action asked for and achieved.
const FORMAT_VERSION: u32 = 3;

fn shard_name(number: u64) -> String {
    format!("episodes-{number:06}.safetensors")
}
