//! From the atlas in device memory to contiguous batches on the host.

use super::gpu::{Gpu, RenderError};
use super::slot::Pictures;
use super::smooth;
use super::targets::Targets;
use crate::contract::FrameBatch;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A device that is silent for longer is given up.
const TIME_OUT: Duration = Duration::from_secs(60);
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
    let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(TIME_OUT) };
    let finished = gpu.device.poll(poll);
    gpu.check()?;
    match finished {
        Ok(_) => {}
        Err(wgpu::PollError::Timeout) => return Err(RenderError::TimeOut(TIME_OUT.as_secs())),
        Err(error) => return Err(RenderError::Lost(error.to_string())),
    }
    // Where several threads capture at once, another one may be about to call back.
    let drawn = Instant::now();
    while mappings.iter().any(Mapping::is_pending) {
        if drawn.elapsed() > TIME_OUT {
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

/// Copies one tile for each table of `classes` (segmentation class by instance id) into `frames`, from frame `first` on, as far
/// as pictures were asked for; faces are there to blend edges morphologically on the way.
pub fn unpack(targets: &Targets, (classes, pictures): (&[[u8; 256]], Pictures), frames: &mut FrameBatch, first: usize) {
    let (width, height) = targets.tile;
    let pixels = width * height;
    let range = first * pixels..(first + classes.len()) * pixels;
    let colours = range.start * 3..range.end * 3;
    let read = pictures.read();
    {
        let views: Vec<Option<wgpu::BufferView>> =
            (0..3).map(|i| read[i].then(|| targets.readbacks[i].buffer.slice(..).get_mapped_range())).collect();
        let [source_view, canonical_view, identity_view] = [0, 1, 2].map(|i| {
            views[i].as_ref().map(|bytes| Atlas {
                bytes,
                stride: targets.readbacks[i].bytes_per_row as usize,
                columns: targets.grid.columns,
                tile: targets.tile,
            })
        });
        frames.source_rgb[colours.clone()]
            .par_chunks_mut(pixels * 3)
            .zip(frames.canonical_rgb[colours].par_chunks_mut(pixels * 3))
            .zip(frames.segmentation[range.clone()].par_chunks_mut(pixels))
            .zip(frames.instances[range.clone()].par_chunks_mut(pixels))
            .zip(frames.depth_m[range].par_chunks_mut(pixels))
            .zip(classes)
            .enumerate()
            .for_each(|(tile, (((((source, canonical), segmentation), instances), depth), classes))| {
                for (view, rgb) in [(&source_view, &mut *source), (&canonical_view, &mut *canonical)] {
                    if let Some(view) = view {
                        view.unpack_colour(tile, rgb);
                    }
                }
                let Some(identity) = &identity_view else { return };
                if pictures.masks {
                    for y in 0..height {
                        for (i, texel) in (y * width..).zip(identity.row(tile, y).chunks_exact(4)) {
                            instances[i] = texel[0];
                            segmentation[i] = classes[usize::from(texel[0])];
                            depth[i] = f32::from(u16::from_le_bytes([texel[2], texel[3]])) * 1e-4;
                        }
                    }
                }
                if pictures.faces {
                    let texels = (0..height).flat_map(|y| identity.row(tile, y).chunks_exact(4));
                    let faces: Vec<u16> = texels.map(|texel| u16::from_le_bytes([texel[0], texel[1]])).collect();
                    let pictures = [(pictures.source, source), (pictures.canonical, canonical)];
                    let pictures = pictures.into_iter().filter(|(drawn, _)| *drawn).map(|(_, rgb)| rgb).collect();
                    smooth::smooth(&mut smooth::Tile { width, height, faces: &faces, pictures });
                }
            });
    }
    targets.readbacks.iter().zip(read).filter(|(_, read)| *read).for_each(|(readback, _)| readback.buffer.unmap());
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
}
