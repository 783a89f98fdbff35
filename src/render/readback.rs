//! From the atlas in device memory to contiguous batches on the host.

use super::gpu::{Gpu, RenderError};
use super::instances::Grid;
use super::renderer::RenderConfig;
use super::targets::{Readback, Targets};
use crate::contract::{Domain, FrameBatch};
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// A device that is silent for longer is given up.
const TIME_OUT: Duration = Duration::from_secs(60);
const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// Waits for the submitted work and copies `count` tiles out of the atlas.
///
/// # Errors
/// The device is lost, fails to map, or stays silent for a minute.
pub fn read(
    gpu: &Gpu,
    targets: &Targets,
    grid: Grid,
    (source, count): (Domain, usize),
    config: &RenderConfig,
) -> Result<FrameBatch, RenderError> {
    let states: Vec<Arc<AtomicU8>> = targets.readbacks.iter().map(|readback| start_mapping(&readback.buffer)).collect();
    let finished = gpu.device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(TIME_OUT) });
    gpu.check()?;
    match finished {
        Ok(_) => {}
        Err(wgpu::PollError::Timeout) => return Err(RenderError::TimeOut(TIME_OUT.as_secs())),
        Err(error) => return Err(RenderError::Lost(error.to_string())),
    }
    if states.iter().any(|state| state.load(Ordering::Acquire) != MAPPED) {
        return Err(RenderError::Lost("a picture could not be mapped".to_owned()));
    }
    let (width, height) = (config.width as usize, config.height as usize);
    let pixels = width * height;
    let tile = Tile { grid, width, height };
    let source_rgb = unpack_colour(&targets.readbacks[0], tile, count);
    let canonical_rgb = unpack_colour(&targets.readbacks[1], tile, count);
    let mut segmentation = vec![0_u8; count * pixels];
    let mut instances = vec![0_u8; count * pixels];
    let mut depth_m = vec![0.0_f32; count * pixels];
    {
        let view = targets.readbacks[2].buffer.slice(..).get_mapped_range();
        let stride = targets.readbacks[2].bytes_per_row as usize;
        segmentation
            .par_chunks_mut(width)
            .zip(instances.par_chunks_mut(width))
            .zip(depth_m.par_chunks_mut(width))
            .with_min_len(64)
            .enumerate()
            .for_each(|(line, ((classes, ids), depths))| {
                let row = tile.row(&view, stride, line);
                for (i, texel) in row.chunks_exact(4).enumerate() {
                    ids[i] = texel[0];
                    classes[i] = texel[1];
                    depths[i] = f32::from(u16::from_le_bytes([texel[2], texel[3]])) * 1e-4;
                }
            });
    }
    targets.readbacks.iter().for_each(|readback| readback.buffer.unmap());
    Ok(FrameBatch {
        source,
        count,
        height,
        width,
        source_rgb,
        canonical_rgb,
        segmentation,
        instances,
        depth_m,
        cameras: Vec::new(),
        ticks: Vec::new(),
        look_seeds: Vec::new(),
    })
}

fn start_mapping(buffer: &wgpu::Buffer) -> Arc<AtomicU8> {
    let state = Arc::new(AtomicU8::new(PENDING));
    let told = state.clone();
    buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
        told.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
    });
    state
}

#[derive(Clone, Copy)]
struct Tile {
    grid: Grid,
    width: usize,
    height: usize,
}

impl Tile {
    /// Bytes of picture line `line`, counted through all tiles one after the other.
    fn row<'v>(&self, bytes: &'v [u8], stride: usize, line: usize) -> &'v [u8] {
        let (tile, y) = (line / self.height, line % self.height);
        let (column, row) = (tile % self.grid.columns, tile / self.grid.columns);
        let start = (row * self.height + y) * stride + column * self.width * 4;
        &bytes[start..start + self.width * 4]
    }
}

fn unpack_colour(readback: &Readback, tile: Tile, count: usize) -> Vec<u8> {
    let view = readback.buffer.slice(..).get_mapped_range();
    let stride = readback.bytes_per_row as usize;
    let mut rgb = vec![0_u8; count * tile.width * tile.height * 3];
    rgb.par_chunks_mut(tile.width * 3).with_min_len(64).enumerate().for_each(|(line, out)| {
        let row = tile.row(&view, stride, line);
        for (to, from) in out.chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            to.copy_from_slice(&from[..3]);
        }
    });
    rgb
}
