//! Some episodes as the tensors of one file, and back.

use super::EpisodesConfig;
use crate::contract::{
    Action, Displacement, Episode, EpisodeObservation, EpisodeStep, GripperCommand, GripperState, Seed,
};
use crate::data::DataError;
use crate::draw::png;
use crate::train::tensors::{NamedTensors, TensorBytes, TensorFile, TensorKind};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

const GRIPPER_WIDTH: usize = 3;
const DISPLACEMENT_WIDTH: usize = 4;
const GROUP_WIDTH: usize = 3;
const ACTION_WIDTH: usize = 6;

/// An episode that is checked and whose images are encoded.
pub(super) struct EncodedEpisode {
    pngs: Vec<Vec<u8>>,
    /// Without images.
    episode: Episode,
}

/// Checks and encodes an episode.
pub(super) fn encode(config: &EpisodesConfig, episode: &Episode) -> Result<EncodedEpisode, DataError> {
    let fail = |message: String| DataError::Input(format!("episode of seed {}: {message}", episode.seed));
    let (w, h) = (config.width as usize, config.height as usize);
    if episode.steps.is_empty() || episode.observations.len() != episode.steps.len() + 1 {
        let (o, d) = (episode.observations.len(), episode.steps.len());
        return Err(fail(format!("{o} observations do not fit {d} steps; n steps need n + 1")));
    }
    if let Some(object) = episode.grasped.iter().find(|&&object| object > 62) {
        return Err(fail(format!("object {object} cannot be recorded; the last is 62")));
    }
    let finite = |d: &EpisodeStep| {
        d.reward.is_finite()
            && d.action.rotation_rad.is_finite()
            && d.action.translation_m.iter().all(|v| v.is_finite())
    };
    if !episode.steps.iter().all(finite) {
        return Err(fail("an action or a reward is not a finite number".into()));
    }
    let encode = |observation: &EpisodeObservation| {
        if observation.image.len() != w * h * 3 {
            return Err(fail(format!("an image has {} bytes instead of {w}x{h}x3", observation.image.len())));
        }
        png::encode_rgb(&observation.image, w, h).map_err(|e| fail(e.to_string()))
    };
    let pngs = episode.observations.par_iter().map(encode).collect::<Result<_, _>>()?;
    let bare = |o: &EpisodeObservation| EpisodeObservation { image: Vec::new(), gripper: o.gripper };
    let observations = episode.observations.iter().map(bare).collect();
    Ok(EncodedEpisode { pngs, episode: Episode { observations, ..episode.clone() } })
}

fn numbers_of(displacement: &Displacement) -> [f32; DISPLACEMENT_WIDTH] {
    let [x, y, z] = displacement.translation_m;
    [x, y, z, displacement.rotation_rad]
}

fn displacement_of(numbers: &[f32], row: usize) -> Displacement {
    let at = |i: usize| numbers[row * DISPLACEMENT_WIDTH + i];
    Displacement { translation_m: [at(0), at(1), at(2)], rotation_rad: at(3) }
}

fn flag(on: bool) -> f32 {
    if on { 1.0 } else { 0.0 }
}

/// The tensors of a shard.
pub(super) fn to_tensors(config: &EpisodesConfig, episodes: &[EncodedEpisode]) -> NamedTensors<'static> {
    let (mut offsets, mut image_offsets) = (vec![0_i64], vec![0_i64]);
    let (mut seeds, mut success, mut grasped) = (Vec::new(), Vec::new(), Vec::new());
    let (mut groups, mut commanded, mut achieved) = (Vec::new(), Vec::new(), Vec::new());
    let (mut images, mut gripper, mut action, mut reward) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut terminated, mut truncated, mut invalid, mut exploratory) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for EncodedEpisode { pngs, episode } in episodes {
        seeds.push(i64::from_ne_bytes(episode.seed.0.to_ne_bytes()));
        groups.extend(episode.bin_group);
        success.push(u8::from(episode.success()));
        grasped.push(episode.grasped.iter().fold(0_i64, |bits, &object| bits | 1 << object));
        for (png, observation) in pngs.iter().zip(&episode.observations) {
            images.extend_from_slice(png);
            image_offsets.push(images.len() as i64);
            let GripperState { closed, height_m, aperture_m, .. } = observation.gripper;
            gripper.extend([flag(closed), height_m, aperture_m]);
            commanded.extend(numbers_of(&observation.gripper.commanded));
            achieved.extend(numbers_of(&observation.gripper.achieved));
        }
        for step in &episode.steps {
            let Action { translation_m: [x, y, z], rotation_rad, gripper: command, terminate } = step.action;
            let command = match command {
                GripperCommand::Keep => 0.0,
                GripperCommand::Close => 1.0,
                GripperCommand::Open => 2.0,
            };
            action.extend([x, y, z, rotation_rad, command, flag(terminate)]);
            reward.push(step.reward);
            terminated.push(u8::from(step.terminated));
            truncated.push(u8::from(step.truncated));
            invalid.push(u8::from(step.invalid));
            exploratory.push(u8::from(step.exploratory));
        }
        offsets.push(reward.len() as i64);
    }
    let i64s = |values: &[i64]| {
        TensorBytes::new(TensorKind::I64, &[values.len()], bytemuck::cast_slice::<i64, u8>(values).to_vec())
    };
    let f32s = |values: &[f32], shape: &[usize]| {
        TensorBytes::new(TensorKind::F32, shape, bytemuck::cast_slice::<f32, u8>(values).to_vec())
    };
    let u8s = |values: Vec<u8>| TensorBytes::new(TensorKind::U8, &[values.len()], values);
    let (n, o) = (reward.len(), gripper.len() / GRIPPER_WIDTH);
    let mut tensors = vec![
        ("episode_offset", i64s(&offsets)),
        ("episode_seed", i64s(&seeds)),
        ("success", u8s(success)),
        ("grasped", i64s(&grasped)),
        ("image_png", u8s(images)),
        ("image_offset", i64s(&image_offsets)),
        ("gripper", f32s(&gripper, &[o, GRIPPER_WIDTH])),
        ("commanded", f32s(&commanded, &[o, DISPLACEMENT_WIDTH])),
        ("achieved", f32s(&achieved, &[o, DISPLACEMENT_WIDTH])),
        ("action", f32s(&action, &[n, ACTION_WIDTH])),
        ("reward", f32s(&reward, &[n])),
        ("terminated", u8s(terminated)),
        ("truncated", u8s(truncated)),
        ("invalid", u8s(invalid)),
        ("exploratory", u8s(exploratory)),
    ];
    // What only a simulator knows is in no recording of the real world or what stands for it.
    if !config.domain.stands_for_reality() {
        tensors.push(("bin_group", f32s(&groups, &[episodes.len(), GROUP_WIDTH])));
    }
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

/// A shard in memory; its images stay encoded until they are asked for.
pub(super) struct Shard {
    path: PathBuf,
    offsets: Vec<usize>,
    seeds: Vec<i64>,
    grasped: Vec<i64>,
    images: Vec<u8>,
    image_offsets: Vec<usize>,
    gripper: Vec<f32>,
    commanded: Vec<f32>,
    achieved: Vec<f32>,
    /// Empty where it is not recorded.
    groups: Vec<f32>,
    action: Vec<f32>,
    reward: Vec<f32>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
    invalid: Vec<u8>,
    exploratory: Vec<u8>,
}

impl Shard {
    /// Reads a file and checks that its tensors fit each other.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        Self::parse(path, &TensorFile::read(path).map_err(|e| DataError::damaged(path, e.to_string()))?)
    }

    /// [`read`](Self::read) for a file in memory.
    pub(super) fn parse(path: &Path, file: &TensorFile) -> Result<Self, DataError> {
        let damaged = |message: String| DataError::damaged(path, message);
        let tensors = file.tensors().map_err(|e| damaged(e.to_string()))?;
        let find = |name: &str| {
            let found = tensors.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor);
            found.ok_or_else(|| damaged(format!("it has no tensor '{name}'")))
        };
        let f32s = |name: &str| find(name)?.to_f32().ok_or_else(|| damaged(format!("'{name}' is not f32")));
        let i64s = |name: &str| find(name)?.to_i64().ok_or_else(|| damaged(format!("'{name}' is not i64")));
        let u8s = |name: &str| {
            let tensor = find(name)?;
            let bytes = (tensor.kind == TensorKind::U8).then(|| tensor.data.to_vec());
            bytes.ok_or_else(|| damaged(format!("'{name}' is not u8")))
        };
        // Offsets that do not ascend from 0 become an empty list, which fits nothing.
        let ascending = |values: Vec<i64>| -> Vec<usize> {
            let sound = values.first() == Some(&0) && values.windows(2).all(|w| w[0] <= w[1]);
            let checked: Result<Vec<usize>, _> = values.into_iter().map(usize::try_from).collect();
            checked.ok().filter(|_| sound).unwrap_or_default()
        };
        let shard = Self {
            path: path.into(),
            offsets: ascending(i64s("episode_offset")?),
            seeds: i64s("episode_seed")?,
            grasped: i64s("grasped")?,
            images: u8s("image_png")?,
            image_offsets: ascending(i64s("image_offset")?),
            gripper: f32s("gripper")?,
            commanded: f32s("commanded")?,
            achieved: f32s("achieved")?,
            groups: if find("bin_group").is_ok() { f32s("bin_group")? } else { Vec::new() },
            action: f32s("action")?,
            reward: f32s("reward")?,
            terminated: u8s("terminated")?,
            truncated: u8s("truncated")?,
            invalid: u8s("invalid")?,
            exploratory: u8s("exploratory")?,
        };
        let (n, episodes) = (shard.reward.len(), shard.seeds.len());
        let observations = n + episodes;
        let fits = shard.offsets.len() == episodes + 1
            && shard.offsets.last() == Some(&n)
            && shard.grasped.len() == episodes
            && shard.image_offsets.len() == observations + 1
            && shard.image_offsets.last() == Some(&shard.images.len())
            && shard.gripper.len() == observations * GRIPPER_WIDTH
            && shard.commanded.len() == observations * DISPLACEMENT_WIDTH
            && shard.achieved.len() == observations * DISPLACEMENT_WIDTH
            && (shard.groups.is_empty() || shard.groups.len() == episodes * GROUP_WIDTH)
            && shard.action.len() == n * ACTION_WIDTH
            && shard.terminated.len() == n
            && shard.truncated.len() == n
            && shard.invalid.len() == n
            && shard.exploratory.len() == n;
        fits.then_some(shard).ok_or_else(|| damaged("its tensors do not fit each other".into()))
    }

    pub(super) fn len(&self) -> usize {
        self.seeds.len()
    }

    /// The image files of episode `e`.
    pub(super) fn pngs(&self, e: usize) -> Vec<Vec<u8>> {
        let observations = self.offsets[e] + e..=self.offsets[e + 1] + e;
        observations.map(|o| self.images[self.image_offsets[o]..self.image_offsets[o + 1]].to_vec()).collect()
    }

    /// Episode `e` of the shard, images decoded in parallel.
    pub(super) fn episode(&self, e: usize, config: &EpisodesConfig) -> Result<Episode, DataError> {
        let (from, to) = (self.offsets[e], self.offsets[e + 1]);
        let observation = |o: usize| {
            let file = &self.images[self.image_offsets[o]..self.image_offsets[o + 1]];
            let damaged = |message: String| DataError::damaged(&self.path, format!("image {o}: {message}"));
            let image = png::decode_rgb(file).map_err(|e| damaged(e.to_string()))?;
            if (image.width, image.height) != (config.width as usize, config.height as usize) {
                let (w, h) = (config.width, config.height);
                return Err(damaged(format!("it is {}x{} instead of {w}x{h}", image.width, image.height)));
            }
            let g = &self.gripper[o * GRIPPER_WIDTH..][..GRIPPER_WIDTH];
            let gripper = GripperState {
                closed: g[0] != 0.0,
                height_m: g[1],
                aperture_m: g[2],
                commanded: displacement_of(&self.commanded, o),
                achieved: displacement_of(&self.achieved, o),
            };
            Ok(EpisodeObservation { image: image.pixels, gripper })
        };
        let step = |i: usize| {
            let a = &self.action[i * ACTION_WIDTH..][..ACTION_WIDTH];
            let gripper = match a[4] {
                1.0 => GripperCommand::Close,
                2.0 => GripperCommand::Open,
                _ => GripperCommand::Keep,
            };
            let action =
                Action { translation_m: [a[0], a[1], a[2]], rotation_rad: a[3], gripper, terminate: a[5] != 0.0 };
            let [terminated, truncated, invalid, exploratory] =
                [&self.terminated, &self.truncated, &self.invalid, &self.exploratory].map(|flags| flags[i] != 0);
            EpisodeStep { action, reward: self.reward[i], terminated, truncated, invalid, exploratory, value: None }
        };
        Ok(Episode {
            seed: Seed(u64::from_ne_bytes(self.seeds[e].to_ne_bytes())),
            bin_group: std::array::from_fn(|i| self.groups.get(e * GROUP_WIDTH + i).copied().unwrap_or_default()),
            observations: (from + e..=to + e).into_par_iter().map(observation).collect::<Result<_, _>>()?,
            steps: (from..to).map(step).collect(),
            grasped: (0..63).filter(|&object| self.grasped[e] >> object & 1 == 1).collect(),
            ..Episode::default()
        })
    }
}
