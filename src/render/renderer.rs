//! The tiled renderer: scene views in, one [`FrameBatch`] out, within the call.

use super::gpu::{Gpu, RenderError};
use super::instances::{
    DrawKind, Grid, InstanceRecord, PackedRecord, TileRecords, Visibility, globals, jittered, tile_records,
};
use super::meshes::Mesh;
use super::pipelines::{Pipelines, Variant};
use super::readback;
use super::scene_view::SceneView;
use super::targets::{Geometry, GrowingBuffer, Targets};
use crate::appearance::ImageSet;
use crate::appearance::effects::{self, FrameImages};
use crate::contract::{Class, Domain, FrameBatch, Seed};
use rayon::prelude::*;
use std::collections::BTreeMap;
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
}

impl RenderConfig {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, smooth_edges: true, shadow_taps: 4, shadow_size: 0 }
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
pub struct TiledRenderer {
    gpu: Gpu,
    config: RenderConfig,
    pipelines: Pipelines,
    multisample: bool,
    globals: wgpu::Buffer,
    instances: GrowingBuffer,
    materials: GrowingBuffer,
    lights: GrowingBuffer,
    geometry: Geometry,
    images: wgpu::TextureView,
    image_count: usize,
    targets: Option<Targets>,
}

/// A mesh kind's place in the geometry and its run of instances.
struct Draw {
    mesh: usize,
    camera: std::ops::Range<u32>,
    shadow: std::ops::Range<u32>,
}

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
        let pipelines = Pipelines::new(gpu, variant);
        let globals = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("globals"),
            size: size_of::<super::instances::GlobalsRecord>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let fine = config.height.max(config.width) > 128;
        let geometry = Geometry::new(
            gpu,
            [
                Mesh::unit_box(),
                Mesh::unit_cylinder(if fine { 36 } else { 14 }),
                if fine { Mesh::unit_sphere(28, 16) } else { Mesh::unit_sphere(12, 7) },
            ],
        );
        let renderer = Self {
            images: super::targets::image_array(gpu, images),
            image_count: images.len(),
            instances: GrowingBuffer::new("instances", wgpu::BufferUsages::VERTEX),
            materials: GrowingBuffer::new("materials", wgpu::BufferUsages::STORAGE),
            lights: GrowingBuffer::new("lights", wgpu::BufferUsages::STORAGE),
            gpu: gpu.clone(),
            multisample: variant.multisample,
            config,
            pipelines,
            globals,
            geometry,
            targets: None,
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

    /// Draws every view into a tile and reads the pixels back. The frames show exactly the given states.
    ///
    /// # Errors
    /// Too many views for the adapter's largest texture; a lost or silent device.
    pub fn capture(&mut self, source: Domain, views: &[SceneView<'_>]) -> Result<FrameBatch, RenderError> {
        self.gpu.check()?;
        let grid = self.prepare(views.len())?;
        let taps = self.config.shadow_taps;
        let tiles: Vec<TileRecords> =
            views.par_iter().enumerate().map(|(index, view)| tile_records(view, index, grid, taps)).collect();
        let draws = self.upload(&tiles, grid);
        // The canonical light is one for all: cells that are captured together share their size.
        let shadow_radius = views.iter().map(|view| view.anchors.shadow_radius_m).fold(0.0, f32::max);
        self.gpu.queue.write_buffer(
            &self.globals,
            0,
            bytemuck::bytes_of(&globals(grid, self.config.shadow_taps, shadow_radius)),
        );
        let Some(targets) = &self.targets else {
            return Err(RenderError::Lost("no targets".to_owned()));
        };
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut encoder, targets, &draws);
        targets.encode_copies(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        let classes: Vec<&[u8; 256]> = tiles.iter().map(|tile| &tile.class_of_instance).collect();
        let smooth = self.config.smooth_edges && !self.multisample;
        let mut frames = readback::read(&self.gpu, targets, source, &classes, smooth)?;
        if source == Domain::Canonical {
            // The domain is defined by the canonical picture, which knows neither highlights nor reflections.
            frames.source_rgb.copy_from_slice(&frames.canonical_rgb);
        }
        frames.cameras = views.iter().map(|view| jittered(&view.camera, &view.look.jitter)).collect();
        frames.ticks = views.iter().map(|view| view.tick).collect();
        frames.look_seeds = views.iter().map(|view| view.look_seed).collect();
        apply_effects(&mut frames, views);
        Ok(frames)
    }

    /// Makes room for `count` tiles in a nearly square grid.
    fn prepare(&mut self, count: usize) -> Result<Grid, RenderError> {
        let shadow_size = self.config.resolved_shadow_size();
        let limit = self.gpu.device.limits().max_texture_dimension_2d;
        let count = count.max(1);
        let columns = (count as f64).sqrt().ceil() as usize;
        let rows = count.div_ceil(columns);
        let widest = (columns as u32).saturating_mul(self.config.width.max(shadow_size));
        let tallest = (rows as u32).saturating_mul(self.config.height.max(shadow_size));
        if widest.max(tallest) > limit {
            return Err(RenderError::TooLarge {
                what: format!("a batch of {count} views of {}x{}", self.config.width, self.config.height),
                needed: widest.max(tallest),
                adapter: self.gpu.description.name.clone(),
                limit,
            });
        }
        let grid = Grid { columns, rows, shadow_size };
        if self.targets.as_ref().is_none_or(|targets| targets.grid != grid) {
            let targets =
                Targets::new(&self.gpu, &self.pipelines, grid, (&self.config, self.multisample), &self.images);
            self.targets = Some(targets);
        }
        Ok(grid)
    }

    /// Sorts the instances of all tiles by mesh and visibility and sends them to the device.
    fn upload(&mut self, tiles: &[TileRecords], grid: Grid) -> Vec<Draw> {
        debug_assert!(tiles.len() <= grid.columns * grid.rows);
        let lights: Vec<_> = tiles.iter().map(|tile| tile.light).collect();
        let mut materials: Vec<PackedRecord> = Vec::new();
        // One bucket a mesh, in drawing order; within it: camera only, both, shadow only, so that each pass draws one run.
        let mut buckets: BTreeMap<(u8, usize), [Vec<InstanceRecord>; 3]> = BTreeMap::new();
        for tile in tiles {
            let first_material = materials.len() as u32;
            materials.extend_from_slice(&tile.materials);
            for (kind, record, visibility) in &tile.instances {
                let key = match kind {
                    DrawKind::Mesh(data) => (0, self.geometry.of_data(&self.gpu, data)),
                    DrawKind::Sphere => (1, Geometry::SPHERE),
                    DrawKind::Cylinder => (2, Geometry::CYLINDER),
                    DrawKind::Box => (3, Geometry::BOX),
                    DrawKind::Ground => (4, Geometry::BOX),
                };
                let run = match visibility {
                    Visibility { camera: true, shadow: false } => 0,
                    Visibility { camera: true, shadow: true } => 1,
                    Visibility { camera: false, .. } => 2,
                };
                let mut record = *record;
                record.ids[1] += first_material;
                buckets.entry(key).or_default()[run].push(record);
            }
        }
        let mut instances: Vec<InstanceRecord> = Vec::new();
        let mut draws = Vec::with_capacity(buckets.len());
        for ((_, mesh), [camera_only, both, shadow_only]) in buckets {
            let start = instances.len() as u32;
            let shadow_start = start + camera_only.len() as u32;
            let camera_end = shadow_start + both.len() as u32;
            let end = camera_end + shadow_only.len() as u32;
            instances.extend(camera_only.into_iter().chain(both).chain(shadow_only));
            draws.push(Draw { mesh, camera: start..camera_end, shadow: shadow_start..end });
        }
        self.lights.write(&self.gpu, bytemuck::cast_slice(&lights));
        self.instances.write(&self.gpu, bytemuck::cast_slice(&instances));
        self.materials.write(&self.gpu, bytemuck::cast_slice(&materials));
        draws
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, targets: &Targets, draws: &[Draw]) {
        let scene = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("scene"),
            layout: &self.pipelines.scene_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.globals.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: self.materials.get().as_entire_binding() },
                wgpu::BindGroupEntry { binding: 2, resource: self.lights.get().as_entire_binding() },
            ],
        });
        for light in 0..2 {
            let mut pass = targets.begin_shadow(encoder, light);
            pass.set_pipeline(&self.pipelines.shadow[light]);
            pass.set_bind_group(0, &scene, &[]);
            self.draw(&mut pass, draws, |draw| draw.shadow.clone());
        }
        let mut pass = targets.begin_colour(encoder);
        pass.set_pipeline(&self.pipelines.colour);
        pass.set_bind_group(0, &scene, &[]);
        pass.set_bind_group(1, &targets.shade_group, &[]);
        self.draw(&mut pass, draws, |draw| draw.camera.clone());
        drop(pass);
        if let Some(pipeline) = &self.pipelines.identity {
            let mut pass = targets.begin_identity(encoder);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &scene, &[]);
            self.draw(&mut pass, draws, |draw| draw.camera.clone());
        }
    }

    fn draw(&self, pass: &mut wgpu::RenderPass<'_>, draws: &[Draw], run: impl Fn(&Draw) -> std::ops::Range<u32>) {
        pass.set_vertex_buffer(1, self.instances.get().slice(..));
        for draw in draws {
            let run = run(draw);
            if !run.is_empty() {
                self.geometry.draw(pass, draw.mesh, run);
            }
        }
    }
}

/// Camera effects of the looks that have any, frame by frame on all cores.
fn apply_effects(frames: &mut FrameBatch, views: &[SceneView<'_>]) {
    if views.iter().all(|view| view.look.effects.is_none()) {
        return;
    }
    let (width, height) = (frames.width, frames.height);
    let pixels = width * height;
    let cameras = &frames.cameras;
    frames
        .source_rgb
        .par_chunks_mut(pixels * 3)
        .zip(frames.canonical_rgb.par_chunks_mut(pixels * 3))
        .zip(frames.segmentation.par_chunks_mut(pixels))
        .zip(frames.instances.par_chunks_mut(pixels))
        .zip(frames.depth_m.par_chunks_mut(pixels))
        .enumerate()
        .for_each(|(i, ((((source_rgb, canonical_rgb), segmentation), instances), depth_m))| {
            let (view, camera) = (&views[i], &cameras[i]);
            let hand = view.anchors.bin_centre;
            let (now, depth) = camera.project(hand + view.arm_motion_m);
            let (before, _) = camera.project(hand);
            let moved = if depth > 0.0 { now - before } else { glam::Vec2::ZERO };
            let mut images = FrameImages {
                width,
                height,
                source_rgb,
                canonical_rgb,
                segmentation,
                instances,
                depth_m,
                focal_px: camera.intrinsics.fy,
                arm_motion_px: moved.to_array(),
                arm_class: Class::Arm as u8,
            };
            effects::apply(&view.look.effects, &mut images, Seed(view.look_seed).derive("sensor", view.tick));
        });
}

/// Shared texture data by address: the same `Arc` is uploaded once.
pub(super) fn address<T>(data: &Arc<T>) -> usize {
    Arc::as_ptr(data).addr()
}
