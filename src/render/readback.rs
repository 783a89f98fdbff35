//! From the atlas in device memory to contiguous batches on the host.

use super::gpu::{Gpu, RenderError};
use super::pipelines::DrawnImages;
use super::smooth;
use super::targets::Targets;
use crate::contract::FrameBatch;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A device that is silent for so many waits is given up. Of a time in which this process was stopped (a laptop that sleeps, a
/// debugger, a job that is suspended) one wait is counted at most.
const WAITS: u32 = 12;
const WAIT: Duration = Duration::from_secs(5);
const TIME_OUT: Duration = Duration::from_secs(WAITS as u64 * WAIT.as_secs());
const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A buffer on its way to the host.
pub struct Mapping(Arc<AtomicU8>);

impl Mapping {
    pub fn start(buffer: &wgpu::Buffer) -> Self {
        let state = Arc::new(AtomicU8::new(PENDING));
        let told = state.clone();
        buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            told.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        Self(state)
    }

    fn is_mapped(&self) -> bool {
        self.0.load(Ordering::Acquire) == MAPPED
    }

    fn is_pending(&self) -> bool {
        self.0.load(Ordering::Acquire) == PENDING
    }
}

/// Waits until a submission is drawn and its buffers are mapped.
///
/// # Errors
/// The device is lost, fails to map, or stays silent for a minute.
pub fn wait(gpu: &Gpu, submission: wgpu::SubmissionIndex, mappings: &[Mapping]) -> Result<(), RenderError> {
    let mut waits = 0;
    loop {
        let submission_index = Some(submission.clone());
        let finished = gpu.device.poll(wgpu::PollType::Wait { submission_index, timeout: Some(WAIT) });
        gpu.check()?;
        match finished {
            Ok(_) => break,
            Err(wgpu::PollError::Timeout) if waits + 1 < WAITS => waits += 1,
            Err(wgpu::PollError::Timeout) => return Err(RenderError::TimeOut(TIME_OUT.as_secs())),
            Err(error) => return Err(RenderError::Lost(error.to_string())),
        }
    }
    // Where several threads capture at once, another one may be about to call back.
    let (mut silent, mut asked) = (Duration::ZERO, Instant::now());
    while mappings.iter().any(Mapping::is_pending) {
        silent += asked.elapsed().min(WAIT);
        asked = Instant::now();
        if silent > TIME_OUT {
            return Err(RenderError::TimeOut(TIME_OUT.as_secs()));
        }
        std::thread::sleep(Duration::from_micros(20));
        // What is wrong with the device shows in the mapping or by the clock.
        let _ = gpu.device.poll(wgpu::PollType::Poll);
    }
    if mappings.iter().all(Mapping::is_mapped) {
        Ok(())
    } else {
        Err(RenderError::Lost("a picture could not be mapped".to_owned()))
    }
}

/// `count` equal parts of an image array; empty ones of an array that is not wanted.
pub fn parts<T>(array: &mut [T], count: usize) -> Vec<&mut [T]> {
    match array.len().checked_div(count) {
        None | Some(0) => (0..count).map(|_| Default::default()).collect(),
        Some(size) => array.chunks_exact_mut(size).collect(),
    }
}

/// The images of one frame; those that are not wanted are empty.
struct FrameTile<'a> {
    source: &'a mut [u8],
    canonical: &'a mut [u8],
    segmentation: &'a mut [u8],
    instances: &'a mut [u8],
    depth_m: &'a mut [f32],
    /// Segmentation class by instance id.
    classes: &'a [u8; 256],
}

/// Copies one tile for each table of `classes` (segmentation class by instance id) into the images of `frames` that have
/// room, from frame `first` on; `smooth_edges` blends colours morphologically on the way.
pub fn unpack(
    targets: &Targets,
    drawn: DrawnImages,
    classes: &[[u8; 256]],
    (frames, first): (&mut FrameBatch, usize),
    smooth_edges: bool,
) {
    let pixels = targets.tile.0 * targets.tile.1;
    let count = classes.len();
    fn run<T>(array: &mut [T], first: usize, count: usize, per_frame: usize) -> Vec<&mut [T]> {
        let wanted = if array.is_empty() { array } else { &mut array[first * per_frame..(first + count) * per_frame] };
        parts(wanted, count)
    }
    {
        let drawn = drawn.targets();
        let views = [0, 1, 2].map(|i| drawn[i].then(|| targets.readbacks[i].buffer.slice(..).get_mapped_range()));
        let [source, canonical, identity] = [0, 1, 2].map(|i| {
            views[i].as_ref().map(|bytes| Atlas {
                bytes,
                stride: targets.readbacks[i].bytes_per_row as usize,
                columns: targets.grid.columns,
                tile: targets.tile,
            })
        });
        run(&mut frames.source_rgb, first, count, pixels * 3)
            .into_par_iter()
            .zip(run(&mut frames.canonical_rgb, first, count, pixels * 3))
            .zip(run(&mut frames.segmentation, first, count, pixels))
            .zip(run(&mut frames.instances, first, count, pixels))
            .zip(run(&mut frames.depth_m, first, count, pixels))
            .zip(classes)
            .enumerate()
            .for_each(|(number, (((((source_rgb, canonical_rgb), segmentation), instances), depth_m), classes))| {
                let mut tile = FrameTile {
                    source: source_rgb,
                    canonical: canonical_rgb,
                    segmentation,
                    instances,
                    depth_m,
                    classes,
                };
                for (atlas, rgb) in [(&source, &mut *tile.source), (&canonical, &mut *tile.canonical)] {
                    if let Some(atlas) = atlas {
                        atlas.unpack_colour(number, rgb);
                    }
                }
                if let Some(identity) = &identity {
                    identity.unpack_identity(number, &mut tile, smooth_edges);
                }
            });
    }
    targets.readbacks_of(drawn.targets()).for_each(|readback| readback.buffer.unmap());
}

/// A mapped picture of all tiles, four bytes a pixel.
struct Atlas<'v> {
    bytes: &'v [u8],
    stride: usize,
    columns: usize,
    tile: (usize, usize),
}

impl<'v> Atlas<'v> {
    /// Bytes of line `y` of a tile.
    fn row(&self, tile: usize, y: usize) -> &'v [u8] {
        let (width, height) = self.tile;
        let (column, row) = (tile % self.columns, tile / self.columns);
        let start = (row * height + y) * self.stride + column * width * 4;
        &self.bytes[start..start + width * 4]
    }

    fn unpack_colour(&self, tile: usize, rgb: &mut [u8]) {
        for (y, line) in rgb.chunks_exact_mut(self.tile.0 * 3).enumerate() {
            for (to, from) in line.chunks_exact_mut(3).zip(self.row(tile, y).chunks_exact(4)) {
                to.copy_from_slice(&from[..3]);
            }
        }
    }

    fn unpack_identity(&self, number: usize, tile: &mut FrameTile<'_>, smooth_edges: bool) {
        let (width, height) = self.tile;
        let mut faces = vec![0_u16; if smooth_edges { width * height } else { 0 }];
        for y in 0..height {
            let line = y * width..(y + 1) * width;
            let texels = || self.row(number, y).chunks_exact(4);
            if !tile.instances.is_empty() {
                for (id, texel) in tile.instances[line.clone()].iter_mut().zip(texels()) {
                    *id = texel[0];
                }
            }
            if !tile.segmentation.is_empty() {
                for (class, texel) in tile.segmentation[line.clone()].iter_mut().zip(texels()) {
                    *class = tile.classes[usize::from(texel[0])];
                }
            }
            if !tile.depth_m.is_empty() {
                for (depth, texel) in tile.depth_m[line.clone()].iter_mut().zip(texels()) {
                    *depth = f32::from(u16::from_le_bytes([texel[2], texel[3]])) * 1e-4;
                }
            }
            if smooth_edges {
                for (face, texel) in faces[line].iter_mut().zip(texels()) {
                    *face = u16::from_le_bytes([texel[0], texel[1]]);
                }
            }
        }
        if smooth_edges {
            let mut pictures = [&mut *tile.source, &mut *tile.canonical];
            let pictures = pictures.iter_mut().filter(|rgb| !rgb.is_empty()).map(|rgb| &mut **rgb).collect();
            smooth::smooth(&mut smooth::Tile { width, height, faces: &faces, pictures });
        }
    }
}
