//! Reading a paired dataset of any format: at random or in order, decoding in parallel.
//!
//! A damaged file spoils the pair it belongs to and is named; the others stay readable. An unfinished dataset opens with
//! the pairs that are committed.

use super::config::{DatasetConfig, Format, Manifest};
use super::encode::split_halves;
use super::layout::{Channel, Layout};
use super::record::PairMeta;
use super::tars::TarIndex;
use crate::contract::{Class, FrameBatch};
use crate::data::DataError;
use crate::draw::png::{self, Image};
use crate::files::atomic::{FileError, read_capped};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Longest record, bytes.
const MAX_RECORD: u64 = 4 << 20;

/// One pair, decoded. Images are `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What is known beside the pixels.
    pub meta: PairMeta,
    /// Pixels along a row, of one image also in the format `pix2pix`.
    pub width: usize,
    /// Rows of each image.
    pub height: usize,
    /// `[height, width, 3]` sRGB bytes.
    pub randomized: Vec<u8>,
    /// `[height, width, 3]`
    pub canonical: Vec<u8>,
    /// `[height, width]`, values of [`Class`].
    pub segmentation: Vec<u8>,
    /// `[height, width]`, millimetres, 0 where nothing was hit.
    pub depth_mm: Vec<u16>,
    /// `[height, width]`, if the dataset has them.
    pub instances: Option<Vec<u8>>,
    /// `[height, width]`, millimetres as the domain's depth camera measures them, 0 where it measures nothing; if the
    /// dataset has them.
    pub sensed_depth_mm: Option<Vec<u16>>,
}

enum Source {
    Folder { lines: Mutex<File>, path: PathBuf, offsets: Vec<u64> },
    Tars { first: u64, tars: Vec<(PathBuf, OnceLock<TarIndex>)> },
}

/// An opened dataset; its methods may be called from several threads at once.
pub struct PairReader {
    root: PathBuf,
    manifest: Manifest,
    layout: Layout,
    first: u64,
    len: usize,
    source: Source,
}

impl PairReader {
    /// Opens a dataset written by [`super::PairWriter`].
    ///
    /// # Errors
    /// [`DataError::NoDataset`] and [`DataError::Config`] for the settings, [`DataError::File`] for a missing list of
    /// records. Damage to single files shows when they are read.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let manifest = Manifest::read(root)?;
        let config = &manifest.dataset;
        let layout = Layout::new(config);
        let range = config.range();
        let most = range.end - range.start;
        let (source, found) = match config.format {
            Format::Folder | Format::Pix2Pix => {
                let path = Layout::join(root, &layout.metadata());
                let file = File::open(&path).map_err(|e| FileError::io("open", &path, e))?;
                let offsets = line_offsets(&file).map_err(|e| FileError::io("read", &path, e))?;
                let found = offsets.len() as u64 - 1;
                if found > most {
                    let message = format!("it has {found} records, and the dataset has {most} pairs");
                    return Err(DataError::damaged(path, message));
                }
                (Source::Folder { lines: Mutex::new(file), path, offsets }, found)
            }
            Format::WebDataset => {
                let first = layout.tar_of(range.start);
                let last = layout.tar_of(range.end.max(1) - 1);
                let paths = (first..=last).map(|n| layout.tar_path(root, n));
                // A complete dataset keeps the place of a tar that was lost; an unfinished one ends before it.
                let complete = manifest.complete;
                let tars: Vec<_> =
                    paths.take_while(|p| complete || p.is_file()).map(|p| (p, OnceLock::new())).collect();
                let found = (first + tars.len() as u64).saturating_mul(config.pairs_per_tar).min(range.end);
                (Source::Tars { first, tars }, found.saturating_sub(range.start))
            }
        };
        let found = if manifest.complete { most } else { found };
        let len =
            usize::try_from(found).map_err(|_| DataError::damaged(root, "it has more pairs than fit in memory"))?;
        Ok(Self { root: root.into(), first: range.start, len, layout, source, manifest })
    }

    /// What the dataset was made from.
    pub fn config(&self) -> &DatasetConfig {
        &self.manifest.dataset
    }

    /// Everything in `dataset.toml`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Names and folders of the dataset's files.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of pairs; positions go from 0 to `len() - 1`.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no pair is committed yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index in file names of the pair at a position (they differ for a shard).
    pub fn index(&self, position: usize) -> u64 {
        self.first + position as u64
    }

    /// The record of a pair, without its images.
    pub fn meta(&self, position: usize) -> Result<PairMeta, DataError> {
        self.within(position)?;
        let index = self.index(position);
        let (json, path, place) = match &self.source {
            Source::Folder { lines, path, offsets } => {
                let Some((from, to)) = offsets.get(position).copied().zip(offsets.get(position + 1).copied()) else {
                    return Err(DataError::damaged(path, format!("the record of pair {index} is missing")));
                };
                let place = format!("line {}", position + 1);
                if to - from > MAX_RECORD {
                    return Err(DataError::damaged(path, format!("{place} is longer than {MAX_RECORD} bytes")));
                }
                let mut json = vec![0; usize::try_from(to - from).unwrap_or(0)];
                let mut file = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                file.seek(SeekFrom::Start(from))
                    .and_then(|_| file.read_exact(&mut json))
                    .map_err(|e| FileError::io("read", path, e))?;
                (json, path.clone(), place)
            }
            Source::Tars { .. } => {
                let (tar, path) = self.tar(position)?;
                let name = self.layout.tar_record(index);
                (tar.read(path, &name, MAX_RECORD)?, path.to_path_buf(), name)
            }
        };
        let meta: PairMeta = serde_json::from_slice(&json)
            .map_err(|e| DataError::damaged(&path, format!("{place} is not a record: {e}")))?;
        if meta.index != index {
            return Err(DataError::damaged(path, format!("{place} is the record of pair {}, not {index}", meta.index)));
        }
        Ok(meta)
    }

    /// The bytes of one image file, and what to call it in a message.
    fn file(&self, position: usize, channel: Channel) -> Result<(Vec<u8>, PathBuf), DataError> {
        let index = self.index(position);
        // Twice the raw pixels is more than any encoder makes of them.
        let limit = 65_536 + self.config().pixels() as u64 * 12;
        match &self.source {
            Source::Folder { .. } => {
                let path = Layout::join(&self.root, &self.layout.file(channel, index));
                Ok((read_capped(&path, limit)?, path))
            }
            Source::Tars { .. } => {
                let (tar, path) = self.tar(position)?;
                let name = self.layout.tar_entry(channel, index);
                Ok((tar.read(path, &name, limit)?, path.join(name)))
            }
        }
    }

    fn tar(&self, position: usize) -> Result<(&TarIndex, &Path), DataError> {
        let missing = || DataError::damaged(&self.root, format!("pair {} is in no tar", self.index(position)));
        let Source::Tars { first, tars } = &self.source else {
            return Err(missing());
        };
        let number = self.layout.tar_of(self.index(position)) - first;
        let (path, index) = usize::try_from(number).ok().and_then(|n| tars.get(n)).ok_or_else(missing)?;
        let most = self.config().pairs_per_tar as usize * (self.layout.channels().len() + 1);
        Ok((index.get_or_init(|| TarIndex::scan(path, most)), path))
    }

    fn within(&self, position: usize) -> Result<(), DataError> {
        if position < self.len {
            return Ok(());
        }
        Err(DataError::Input(format!("there is no pair {position}; '{}' has {}", self.root.display(), self.len)))
    }

    /// One pair, decoded.
    ///
    /// # Errors
    /// Names the first file that is missing or damaged.
    pub fn read(&self, position: usize) -> Result<Pair, DataError> {
        let meta = self.meta(position)?;
        let (width, height) = self.size();
        let (randomized, canonical) = if self.layout.channels().contains(&Channel::Aligned) {
            split_halves(&self.rgb(position, Channel::Aligned, 2 * width)?, 3 * width)
        } else {
            let image = |channel| self.rgb(position, channel, width);
            (image(Channel::Randomized)?, image(Channel::Canonical)?)
        };
        let has = |channel| self.layout.channels().contains(&channel);
        let ids = |channel| Ok::<_, DataError>(self.ids(position, channel)?.0);
        let depth = |channel| self.depth_mm(position, channel);
        Ok(Pair {
            meta,
            width,
            height,
            randomized,
            canonical,
            segmentation: self.segmentation(position)?,
            depth_mm: depth(Channel::Depth)?,
            instances: has(Channel::Instances).then(|| ids(Channel::Instances)).transpose()?,
            sensed_depth_mm: has(Channel::SensedDepth).then(|| depth(Channel::SensedDepth)).transpose()?,
        })
    }

    /// Width and height of the images, pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.config().width as usize, self.config().height as usize)
    }

    /// The source image alone, `[height, width, 3]`. Nothing else of the pair is opened, unless both images lie in one file.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn source_rgb(&self, position: usize) -> Result<Vec<u8>, DataError> {
        let width = self.size().0;
        if self.layout.channels().contains(&Channel::Aligned) {
            return Ok(split_halves(&self.rgb(position, Channel::Aligned, 2 * width)?, 3 * width).0);
        }
        self.rgb(position, Channel::Randomized, width)
    }

    /// Measured depth alone, `[height, width]` millimetres, 0 where nothing was measured.
    ///
    /// # Errors
    /// A dataset without it; the file is missing or damaged.
    pub fn sensed_depth_mm(&self, position: usize) -> Result<Vec<u16>, DataError> {
        if !self.config().sensed_depth {
            let root = self.root.display();
            return Err(DataError::Input(format!(
                "the dataset in '{root}' holds no measured depth; generate it with --sensed-depth"
            )));
        }
        self.depth_mm(position, Channel::SensedDepth)
    }

    /// Classes alone, `[height, width]`.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn segmentation(&self, position: usize) -> Result<Vec<u8>, DataError> {
        let (ids, path) = self.ids(position, Channel::Segmentation)?;
        if let Some(id) = ids.iter().find(|&&id| usize::from(id) >= Class::COUNT) {
            return Err(DataError::damaged(path, format!("it has class id {id}, which does not exist")));
        }
        Ok(ids)
    }

    fn rgb(&self, position: usize, channel: Channel, width: usize) -> Result<Vec<u8>, DataError> {
        let (file, path) = self.file(position, channel)?;
        sized(png::decode_rgb(&file), &path, width, self.size().1)
    }

    fn ids(&self, position: usize, channel: Channel) -> Result<(Vec<u8>, PathBuf), DataError> {
        let (file, path) = self.file(position, channel)?;
        let (width, height) = self.size();
        Ok((sized(png::decode_indexed(&file), &path, width, height)?, path))
    }

    fn depth_mm(&self, position: usize, channel: Channel) -> Result<Vec<u16>, DataError> {
        let (file, path) = self.file(position, channel)?;
        let (width, height) = self.size();
        sized(png::decode_gray16(&file), &path, width, height)
    }

    /// Several pairs at once, decoded in parallel, in the order asked for.
    pub fn read_many(&self, positions: &[usize]) -> Vec<Result<Pair, DataError>> {
        positions.par_iter().map(|&position| self.read(position)).collect()
    }

    /// All pairs in order; `ahead` of them are decoded at a time, in parallel.
    pub fn iter(&self, ahead: usize) -> impl Iterator<Item = Result<Pair, DataError>> + '_ {
        let ahead = ahead.max(1);
        (0..self.len).step_by(ahead).flat_map(move |first| {
            let positions: Vec<usize> = (first..(first + ahead).min(self.len)).collect();
            self.read_many(&positions)
        })
    }
}

fn sized<T>(image: Result<Image<T>, png::PngError>, path: &Path, w: usize, h: usize) -> Result<Vec<T>, DataError> {
    let image = image.map_err(|source| DataError::Png { path: path.into(), source })?;
    if (image.width, image.height) != (w, h) {
        let message = format!("it is {}x{}, and the dataset's images are {w}x{h}", image.width, image.height);
        return Err(DataError::damaged(path, message));
    }
    Ok(image.pixels)
}

/// Where each whole line begins, and where the last ends.
fn line_offsets(file: &File) -> std::io::Result<Vec<u64>> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut offsets, mut at) = (vec![0], 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(offsets);
        }
        let ends = buffer.iter().enumerate().filter(|&(_, &b)| b == b'\n');
        offsets.extend(ends.map(|(i, _)| at + i as u64 + 1));
        let n = buffer.len();
        at += n as u64;
        reader.consume(n);
    }
}

/// Pairs as the renderer delivers them: depth in metres, instances 0 where the dataset has none, no
/// measured depth where one of the pairs has none.
///
/// # Errors
/// [`DataError::Input`] when there is none or they differ in size or domain.
pub fn to_frames(pairs: &[Pair]) -> Result<FrameBatch, DataError> {
    let Some(first) = pairs.first() else {
        return Err(DataError::Input("no pairs to make a batch of".into()));
    };
    let same = |p: &Pair| (p.width, p.height, p.meta.domain) == (first.width, first.height, first.meta.domain);
    if !pairs.iter().all(same) {
        return Err(DataError::Input("the pairs of a batch must have one size and one domain".into()));
    }
    let pixels = first.width * first.height;
    let metres = |mm: &[u16]| mm.iter().map(|&mm| f32::from(mm) * 0.001).collect::<Vec<_>>();
    let sensed: Option<Vec<&[u16]>> = pairs.iter().map(|p| p.sensed_depth_mm.as_deref()).collect();
    Ok(FrameBatch {
        source: first.meta.domain,
        count: pairs.len(),
        height: first.height,
        width: first.width,
        source_rgb: pairs.iter().flat_map(|p| &p.randomized).copied().collect(),
        canonical_rgb: pairs.iter().flat_map(|p| &p.canonical).copied().collect(),
        segmentation: pairs.iter().flat_map(|p| &p.segmentation).copied().collect(),
        instances: pairs.iter().flat_map(|p| p.instances.clone().unwrap_or_else(|| vec![0; pixels])).collect(),
        depth_m: pairs.iter().flat_map(|p| metres(&p.depth_mm)).collect(),
        sensed_depth_m: sensed.unwrap_or_default().into_iter().flat_map(metres).collect(),
        cameras: pairs.iter().map(|p| p.meta.camera).collect(),
        step_indices: pairs.iter().map(|p| p.meta.step_index).collect(),
        look_seeds: pairs.iter().map(|p| p.meta.look_seed).collect(),
    })
}
