//! One part of a batch on its way through the device: its buffers, its targets, its submission.

use super::gpu::{Gpu, RenderError};
use super::instances::{DrawKind, GlobalsRecord, Grid, InstanceRecord, PackedRecord, TileRecords, Visibility};
use super::pipelines::{DrawnImages, Pipelines};
use super::readback::{self, Mapping};
use super::renderer::RenderConfig;
use super::targets::{Geometry, GrowingBuffer, Targets};
use crate::contract::FrameBatch;
use std::collections::BTreeMap;

/// Edge beyond which a picture shows meshes in full detail, pixels.
const LARGE: u32 = 128;

/// What all slots share.
pub struct SlotDevice<'a> {
    pub gpu: &'a Gpu,
    pub pipelines: &'a Pipelines,
    pub config: &'a RenderConfig,
    pub multisample: bool,
    pub images: &'a wgpu::TextureView,
    pub drawn: DrawnImages,
}

/// Device memory of one part.
pub struct Slot {
    globals: wgpu::Buffer,
    instances: GrowingBuffer,
    materials: GrowingBuffer,
    lights: GrowingBuffer,
    targets: Option<Targets>,
}

/// A part that is being drawn.
pub struct Pending {
    submission: wgpu::SubmissionIndex,
    mappings: Vec<Mapping>,
    drawn: DrawnImages,
    /// Segmentation class by instance id, for every tile.
    classes: Vec<[u8; 256]>,
}

/// A mesh kind's place in the geometry and its run of instances.
struct Draw {
    mesh: usize,
    camera: std::ops::Range<u32>,
    shadow: std::ops::Range<u32>,
}

impl Slot {
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            globals: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("globals"),
                size: size_of::<GlobalsRecord>() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
            instances: GrowingBuffer::new("instances", wgpu::BufferUsages::VERTEX),
            materials: GrowingBuffer::new("materials", wgpu::BufferUsages::STORAGE),
            lights: GrowingBuffer::new("lights", wgpu::BufferUsages::STORAGE),
            targets: None,
        }
    }

    /// Makes room for `grid`.
    pub fn prepare(&mut self, device: &SlotDevice<'_>, grid: Grid) {
        if self.targets.as_ref().is_none_or(|targets| targets.grid != grid) {
            let size = (device.config, device.multisample);
            self.targets = Some(Targets::new(device.gpu, device.pipelines, grid, size, device.images));
        }
    }

    /// Sends the tiles to the device and asks for their pixels.
    ///
    /// # Errors
    /// [`RenderError::Lost`] when the slot was never prepared.
    pub fn submit(
        &mut self,
        device: &SlotDevice<'_>,
        geometry: &mut Geometry,
        tiles: &[TileRecords],
        globals: &GlobalsRecord,
    ) -> Result<Pending, RenderError> {
        let large = device.config.width.max(device.config.height) > LARGE;
        let draws = self.upload(device.gpu, (geometry, large), tiles);
        let tinted = tiles.iter().any(|tile| tile.tinted);
        let queue = &device.gpu.queue;
        queue.write_buffer(&self.globals, 0, bytemuck::bytes_of(globals));
        let targets = self.targets.as_ref().ok_or_else(|| RenderError::Lost("no targets".to_owned()))?;
        let mut encoder = device.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(device, &mut encoder, (targets, geometry), &draws, tinted);
        let drawn = device.drawn;
        targets.encode_copies(&mut encoder, drawn.targets());
        let submission = queue.submit([encoder.finish()]);
        let mappings = targets.readbacks_of(drawn.targets()).map(|readback| Mapping::start(&readback.buffer)).collect();
        let classes = tiles.iter().map(|tile| tile.class_of_instance).collect();
        Ok(Pending { submission, mappings, drawn, classes })
    }

    /// Waits for a submission and copies its tiles into those images of `frames` that have room, from frame `first` on.
    ///
    /// # Errors
    /// The device is lost, fails to map, or stays silent for a minute.
    pub fn read(
        &self,
        gpu: &Gpu,
        pending: Pending,
        frames: &mut FrameBatch,
        first: usize,
        smooth_edges: bool,
    ) -> Result<(), RenderError> {
        readback::wait(gpu, pending.submission, &pending.mappings)?;
        if let Some(targets) = &self.targets {
            readback::unpack(targets, pending.drawn, &pending.classes, (frames, first), smooth_edges);
        }
        Ok(())
    }

    /// Sorts the instances of all tiles by mesh and visibility and sends them to the device.
    fn upload(&mut self, gpu: &Gpu, (geometry, large): (&mut Geometry, bool), tiles: &[TileRecords]) -> Vec<Draw> {
        let lights: Vec<_> = tiles.iter().map(|tile| tile.light).collect();
        let mut materials: Vec<PackedRecord> = Vec::new();
        // One bucket a mesh, in drawing order; within it: camera only, both, shadow only, so that each pass draws one run.
        let mut buckets: BTreeMap<(u8, usize), [Vec<InstanceRecord>; 3]> = BTreeMap::new();
        for tile in tiles {
            let first_material = materials.len() as u32;
            materials.extend_from_slice(&tile.materials);
            // Bins come first in a scene and are drawn last: objects and gripper stand before them.
            for (kind, record, visibility) in tile.instances.iter().rev() {
                let key = match kind {
                    DrawKind::Mesh(data) => (0, geometry.of_data(gpu, data, large)),
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
        self.lights.write(gpu, bytemuck::cast_slice(&lights));
        self.instances.write(gpu, bytemuck::cast_slice(&instances));
        self.materials.write(gpu, bytemuck::cast_slice(&materials));
        draws
    }

    fn encode(
        &self,
        device: &SlotDevice<'_>,
        encoder: &mut wgpu::CommandEncoder,
        (targets, geometry): (&Targets, &Geometry),
        draws: &[Draw],
        tinted: bool,
    ) {
        let pipelines = device.pipelines;
        let scene = device.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("scene"),
            layout: &pipelines.scene_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.globals.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: self.materials.get().as_entire_binding() },
                wgpu::BindGroupEntry { binding: 2, resource: self.lights.get().as_entire_binding() },
            ],
        });
        // Each colour has a light of its own.
        let lights = [device.drawn.source, device.drawn.canonical];
        for light in (0..2).filter(|&light| lights[light]) {
            let mut pass = targets.begin_shadow(encoder, light);
            pass.set_pipeline(&pipelines.shadow[light]);
            pass.set_bind_group(0, &scene, &[]);
            self.draw(&mut pass, geometry, draws, |draw| (geometry.caster(draw.mesh), draw.shadow.clone()));
        }
        if let Some((pipeline, wanted)) =
            pipelines.colour(device.drawn, tinted).zip(device.drawn.colour_pass(device.multisample))
        {
            let mut pass = targets.begin_colour(encoder, wanted);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &scene, &[]);
            pass.set_bind_group(1, &targets.shade_group, &[]);
            self.draw(&mut pass, geometry, draws, |draw| (draw.mesh, draw.camera.clone()));
        }
        if let Some(pipeline) = pipelines.identity(device.drawn) {
            let mut pass = targets.begin_identity(encoder);
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &scene, &[]);
            self.draw(&mut pass, geometry, draws, |draw| (draw.mesh, draw.camera.clone()));
        }
    }

    fn draw(
        &self,
        pass: &mut wgpu::RenderPass<'_>,
        geometry: &Geometry,
        draws: &[Draw],
        run: impl Fn(&Draw) -> (usize, std::ops::Range<u32>),
    ) {
        pass.set_vertex_buffer(1, self.instances.get().slice(..));
        for draw in draws {
            let (mesh, run) = run(draw);
            if !run.is_empty() {
                geometry.draw(pass, mesh, run);
            }
        }
    }
}
