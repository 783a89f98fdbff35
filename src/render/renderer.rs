//! The tiled renderer: scene views in, one [`FrameBatch`] out, within the call.

use super::gpu::{Gpu, RenderError};
use super::instances::{Grid, TileRecords, globals, jittered, tile_records};
use super::meshes::Mesh;
use super::pipelines::{DrawnImages, Pipelines, Variant};
use super::readback::parts;
use super::scene_view::SceneView;
use super::slot::{Slot, SlotDevice};
use super::targets::Geometry;
use crate::appearance::ImageSet;
use crate::appearance::depth_sensor::{DepthScene, absorbs};
use crate::appearance::effects::{self, FrameImages};
use crate::contract::{Class, Domain, FrameBatch, FrameChannels, Seed};
use rayon::prelude::*;
use std::sync::Arc;

/// What a renderer is built for.
#[derive(Clone, Debug)]
pub struct RenderConfig {
    pub width: u32,
    pub height: u32,
    /// Smooth edges: four samples a pixel on a GPU, morphologically on a software adapter. Off: jagged, a little faster.
    pub smooth_edges: bool,
    /// Shadow samples a light and pixel.
    pub shadow_taps: u32,
    /// Edge of a tile's shadow map in texels; 0 chooses by the picture's size.
    pub shadow_size: u32,
    /// Which specimen of a domain's depth camera measures: it decides the scale and the bias of all its depths.
    pub depth_camera: Seed,
}

impl RenderConfig {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, smooth_edges: true, shadow_taps: 3, shadow_size: 0, depth_camera: Seed(0) }
    }

    fn resolved_shadow_size(&self) -> u32 {
        match self.shadow_size {
            // Coarse on purpose: shadows have soft edges, and few samples must overlap in the filter.
            0 => (self.height.max(self.width) * 3 / 2).clamp(96, 224),
            size => size,
        }
    }
}

/// Draws batches of scene views. One renderer has one tile size; its targets grow with the largest batch.
///
/// A batch is cut into a few parts that follow each other through the device: while one is drawn, the next is prepared
/// and the one before is read back, so that no core waits.
pub struct TiledRenderer {
    gpu: Gpu,
    config: RenderConfig,
    pipelines: Pipelines,
    multisample: bool,
    geometry: Geometry,
    images: wgpu::TextureView,
    image_count: usize,
    slots: Vec<Slot>,
}

/// Parts of a batch: more overlap better, but each has a fixed cost.
const MOST_PARTS: usize = 4;

impl TiledRenderer {
    /// # Errors
    /// The device fails or was lost while the pipelines were built.
    pub fn new(gpu: &Gpu, config: RenderConfig, images: &ImageSet) -> Result<Self, RenderError> {
        let limit = gpu.device.limits().max_texture_dimension_2d;
        let widest = config.width.max(config.height);
        if widest == 0 || widest > limit {
            return Err(RenderError::TooLarge {
                what: format!("a {}x{} picture", config.width, config.height),
                needed: widest.max(1),
                adapter: gpu.description.name.clone(),
                limit,
            });
        }
        let variant = Variant {
            clip_distances: gpu.device.features().contains(wgpu::Features::CLIP_DISTANCES),
            images: !images.is_empty(),
            shadow_taps: config.shadow_taps.clamp(1, 12),
            multisample: config.smooth_edges && !gpu.description.software,
        };
        let round = |segments| (Mesh::unit_cylinder(segments), Mesh::unit_sphere(segments, segments * 5 / 9));
        let (cylinder, sphere) = round(match widest {
            0..=80 => 10,
            81..=160 => 14,
            _ => 28,
        });
        // Shadows are soft: their casters may be coarse.
        let (coarse_cylinder, coarse_sphere) = round(if widest > 160 { 14 } else { 8 });
        let primitives = [Mesh::unit_box(), cylinder, sphere, coarse_cylinder, coarse_sphere];
        let renderer = Self {
            images: super::targets::image_array(gpu, images),
            image_count: images.len(),
            gpu: gpu.clone(),
            multisample: variant.multisample,
            config,
            pipelines: Pipelines::new(gpu, variant),
            geometry: Geometry::new(gpu, primitives),
            slots: Vec::new(),
        };
        renderer.gpu.check()?;
        Ok(renderer)
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn config(&self) -> &RenderConfig {
        &self.config
    }

    /// Layers of the user's texture images that looks may refer to.
    pub fn image_count(&self) -> usize {
        self.image_count
    }

    /// Draws every view into a tile and reads back the images of `channels`; the others are empty in the batch, and no image
    /// depends on which others are asked for. The frames show exactly the given states.
    ///
    /// # Errors
    /// A lost or silent device.
    pub fn capture(
        &mut self,
        source: Domain,
        views: &[SceneView<'_>],
        channels: FrameChannels,
    ) -> Result<FrameBatch, RenderError> {
        self.gpu.check()?;
        let measured = channels.union(sensor_inputs(views, channels));
        let captured = captured_channels(source, views, measured);
        let smooth = self.config.smooth_edges && !self.multisample && (captured.source || captured.canonical);
        let drawn = DrawnImages {
            source: captured.source,
            canonical: captured.canonical,
            identity: captured.identity || captured.depth || smooth,
        };
        let (height, width) = (self.config.height as usize, self.config.width as usize);
        let mut frames = FrameBatch::blank(source, captured, views.len(), height, width);
        if drawn.targets().contains(&true) {
            self.draw(views, drawn, smooth, &mut frames)?;
        }
        if source == Domain::Canonical && channels.source {
            // The domain is defined by the canonical picture, which knows neither highlights nor reflections.
            let canonical = &mut frames.canonical_rgb;
            frames.source_rgb = if channels.canonical { canonical.clone() } else { std::mem::take(canonical) };
        }
        frames.cameras = views.iter().map(|view| jittered(&view.camera, &view.look.jitter)).collect();
        frames.step_indices = views.iter().map(|view| view.step_index).collect();
        frames.look_seeds = views.iter().map(|view| view.look_seed).collect();
        apply_effects(&mut frames, views, measured);
        if channels.sensed_depth {
            measure_depth(&mut frames, views, self.config.depth_camera);
        }
        frames.keep(channels);
        Ok(frames)
    }

    /// Draws `drawn` and copies into those images of `frames` that have room.
    fn draw(
        &mut self,
        views: &[SceneView<'_>],
        drawn: DrawnImages,
        smooth: bool,
        frames: &mut FrameBatch,
    ) -> Result<(), RenderError> {
        let per_part = self.views_per_part(views.len());
        let parts: Vec<&[SceneView<'_>]> = views.chunks(per_part).collect();
        while self.slots.len() < parts.len() {
            self.slots.push(Slot::new(&self.gpu));
        }
        // The canonical light is one for all: cells that are captured together share their size.
        let shadow_radius = views.iter().map(|view| view.scene_bounds.shadow_radius_m).fold(0.0, f32::max);
        let mut pending = Vec::with_capacity(parts.len());
        let grid = Grid::for_tiles(per_part, self.config.resolved_shadow_size());
        let taps = self.config.shadow_taps;
        for (slot, part) in self.slots.iter_mut().zip(&parts) {
            let tiles: Vec<TileRecords> =
                part.par_iter().enumerate().map(|(index, view)| tile_records(view, index, grid, taps)).collect();
            self.pipelines.prepare(&self.gpu, drawn, tiles.iter().any(|tile| tile.tinted));
            self.gpu.check()?;
            let device = SlotDevice {
                gpu: &self.gpu,
                pipelines: &self.pipelines,
                config: &self.config,
                multisample: self.multisample,
                images: &self.images,
                drawn,
            };
            slot.prepare(&device, grid);
            pending.push(slot.submit(&device, &mut self.geometry, &tiles, &globals(grid, taps, shadow_radius))?);
        }
        for (number, (slot, pending)) in self.slots.iter().zip(pending).enumerate() {
            slot.read(&self.gpu, pending, frames, number * per_part, smooth)?;
        }
        Ok(())
    }

    /// A few parts for a batch of `count` views, more where the adapter's largest texture is small.
    fn views_per_part(&self, count: usize) -> usize {
        let limit = self.gpu.device.limits().max_texture_dimension_2d;
        let shadow_size = self.config.resolved_shadow_size();
        let columns = limit / self.config.width.max(shadow_size).max(1);
        let rows = limit / self.config.height.max(shadow_size).max(1);
        let side = columns.min(rows).max(1) as usize;
        // A software adapter draws on the same cores: there is nothing to overlap with.
        let parts = if self.gpu.description.software { 1 } else { MOST_PARTS };
        count.div_ceil(parts).clamp(1, side * side)
    }
}

/// What depth cameras measure from.
fn sensor_inputs(views: &[SceneView<'_>], channels: FrameChannels) -> FrameChannels {
    let identity = channels.sensed_depth && views.iter().any(|view| view.look.depth_sensor.is_some());
    FrameChannels { depth: channels.sensed_depth, identity, ..FrameChannels::NONE }
}

/// Fills in the measured depth of every frame.
fn measure_depth(frames: &mut FrameBatch, views: &[SceneView<'_>], depth_camera: Seed) {
    let pixels = frames.pixels();
    parts(&mut frames.sensed_depth_m, frames.count)
        .into_par_iter()
        .zip(frames.depth_m.par_chunks(pixels.max(1)))
        .zip(&frames.cameras)
        .zip(views)
        .enumerate()
        .for_each(|(i, (((sensed_m, depth_m), camera), view))| {
            let Some(sensor) = &view.look.depth_sensor else {
                sensed_m.copy_from_slice(depth_m);
                return;
            };
            let mut absorbing = [false; 256];
            for part in view.parts {
                absorbing[usize::from(part.instance)] |= absorbs(view.look.surfaces.of(part.surface));
            }
            let instances = &frames.instances[i * pixels..(i + 1) * pixels];
            let scene = DepthScene { intrinsics: camera.intrinsics, depth_m, instances, absorbing: &absorbing };
            let seed = Seed(view.look_seed).derive("depth", view.step_index);
            sensor.measure(&scene, sensor.calibration(depth_camera), seed, sensed_m);
        });
}

/// What must be drawn and read back for `channels`: camera effects look at images that they do not deliver.
fn captured_channels(source: Domain, views: &[SceneView<'_>], channels: FrameChannels) -> FrameChannels {
    let inputs = views.iter().fold(FrameChannels::NONE, |set, view| set.union(effects::inputs(&view.look.effects)));
    let canonical_alone = source == Domain::Canonical;
    FrameChannels {
        source: channels.source && !canonical_alone,
        canonical: channels.canonical || (channels.source && canonical_alone),
        ..if channels.source { channels.union(inputs) } else { channels }
    }
}

/// Camera effects of the looks that have any, frame by frame on all cores.
fn apply_effects(frames: &mut FrameBatch, views: &[SceneView<'_>], wanted: FrameChannels) {
    if views.iter().all(|view| view.look.effects.is_none()) {
        return;
    }
    let (width, height, count) = (frames.width, frames.height, frames.count);
    parts(&mut frames.source_rgb, count)
        .into_par_iter()
        .zip(parts(&mut frames.canonical_rgb, count))
        .zip(parts(&mut frames.segmentation, count))
        .zip(parts(&mut frames.instances, count))
        .zip(parts(&mut frames.depth_m, count))
        .zip(&frames.cameras)
        .zip(views)
        .for_each(|((((((source_rgb, canonical_rgb), segmentation), instances), depth_m), camera), view)| {
            let hand = view.scene_bounds.bin_centre;
            let (now, depth) = camera.project(hand + view.arm_motion_m);
            let (before, _) = camera.project(hand);
            let moved = if depth > 0.0 { now - before } else { glam::Vec2::ZERO };
            let mut images = FrameImages {
                width,
                height,
                wanted,
                source_rgb,
                canonical_rgb,
                segmentation,
                instances,
                depth_m,
                focal_px: camera.intrinsics.fy,
                arm_motion_px: moved.to_array(),
                arm_class: Class::Arm as u8,
            };
            effects::apply(&view.look.effects, &mut images, Seed(view.look_seed).derive("sensor", view.step_index));
        });
}

/// Shared texture data by address: the same `Arc` is uploaded once.
pub(super) fn address<T>(data: &Arc<T>) -> usize {
    Arc::as_ptr(data).addr()
}
