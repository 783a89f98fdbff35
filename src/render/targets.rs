//! Device memory of the tiled renderer: render targets, growing buffers, meshes and texture images.

use super::gpu::Gpu;
use super::instances::Grid;
use super::meshes::{Mesh, Vertex};
use super::pipelines::{COLOUR_FORMAT, DEPTH_FORMAT, IDENTITY_FORMAT, Pipelines, SAMPLES};
use super::renderer::{RenderConfig, address};
use crate::appearance::{ImageSet, images::LAYER_SIZE};
use crate::contract::MeshData;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use wgpu::util::DeviceExt;

/// A buffer that grows to what is written into it.
pub struct GrowingBuffer {
    label: &'static str,
    usage: wgpu::BufferUsages,
    buffer: Option<wgpu::Buffer>,
}

impl GrowingBuffer {
    pub fn new(label: &'static str, usage: wgpu::BufferUsages) -> Self {
        Self { label, usage, buffer: None }
    }

    pub fn write(&mut self, gpu: &Gpu, bytes: &[u8]) {
        let needed = (bytes.len() as u64).max(256);
        let buffer = match self.buffer.take().filter(|buffer| buffer.size() >= needed) {
            Some(buffer) => buffer,
            None => gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(self.label),
                size: needed.next_multiple_of(4096) * 3 / 2,
                usage: self.usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        };
        gpu.queue.write_buffer(&buffer, 0, bytes);
        self.buffer = Some(buffer);
    }

    /// Panics before the first `write`, which every capture does first.
    pub fn get(&self) -> &wgpu::Buffer {
        self.buffer.as_ref().expect("written before it is bound")
    }
}

struct DeviceMesh {
    vertices: wgpu::Buffer,
    indices: wgpu::Buffer,
    count: u32,
}

/// The primitive meshes, and every imported mesh that was ever drawn.
pub struct Geometry {
    meshes: Vec<DeviceMesh>,
    /// Meshes by the address of their shared data, which is held so that no address is ever used twice.
    of_data: BTreeMap<usize, (Arc<MeshData>, usize)>,
    /// What casts the shadows of detailed meshes.
    casters: BTreeMap<usize, usize>,
}

impl Geometry {
    pub const BOX: usize = 0;
    pub const CYLINDER: usize = 1;
    pub const SPHERE: usize = 2;
    const COARSE_CYLINDER: usize = 3;
    const COARSE_SPHERE: usize = 4;

    pub fn new(gpu: &Gpu, primitives: [Mesh; 5]) -> Self {
        let mut geometry = Self { meshes: Vec::new(), of_data: BTreeMap::new(), casters: BTreeMap::new() };
        for mesh in &primitives {
            geometry.add(gpu, mesh);
        }
        geometry
    }

    /// The mesh that casts the shadow of `mesh`.
    pub fn caster(&self, mesh: usize) -> usize {
        match mesh {
            Self::CYLINDER => Self::COARSE_CYLINDER,
            Self::SPHERE => Self::COARSE_SPHERE,
            other => self.casters.get(&other).copied().unwrap_or(other),
        }
    }

    fn add(&mut self, gpu: &Gpu, mesh: &Mesh) -> usize {
        let buffer = |contents: &[u8], usage| {
            gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: Some("mesh"), contents, usage })
        };
        self.meshes.push(DeviceMesh {
            vertices: buffer(bytemuck::cast_slice::<Vertex, u8>(&mesh.vertices), wgpu::BufferUsages::VERTEX),
            indices: buffer(bytemuck::cast_slice(&mesh.indices), wgpu::BufferUsages::INDEX),
            count: mesh.indices.len() as u32,
        });
        self.meshes.len() - 1
    }

    /// The mesh, or what it has for large pictures.
    pub fn of_data(&mut self, gpu: &Gpu, data: &Arc<MeshData>, large: bool) -> usize {
        let mesh = self.uploaded(gpu, data);
        let Some(detailed) = data.detailed.as_ref().filter(|_| large) else { return mesh };
        let detailed = self.uploaded(gpu, detailed);
        self.casters.insert(detailed, mesh);
        detailed
    }

    fn uploaded(&mut self, gpu: &Gpu, data: &Arc<MeshData>) -> usize {
        if let Some((_, mesh)) = self.of_data.get(&address(data)) {
            return *mesh;
        }
        let mesh = self.add(gpu, &Mesh::from_data(data));
        self.of_data.insert(address(data), (data.clone(), mesh));
        mesh
    }

    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>, mesh: usize, instances: Range<u32>) {
        let mesh = &self.meshes[mesh];
        pass.set_vertex_buffer(0, mesh.vertices.slice(..));
        pass.set_index_buffer(mesh.indices.slice(..), wgpu::IndexFormat::Uint32);
        pass.draw_indexed(0..mesh.count, 0, instances);
    }
}

/// One image of the atlas as it comes back to the host.
pub struct Readback {
    texture: wgpu::Texture,
    pub buffer: wgpu::Buffer,
    pub bytes_per_row: u32,
}

/// Everything that has the size of the atlas.
pub struct Targets {
    pub grid: Grid,
    /// Width and height of a tile in pixels.
    pub tile: (usize, usize),
    pub width: u32,
    pub height: u32,
    /// Source colour, canonical colour, identity.
    pub readbacks: [Readback; 3],
    views: [wgpu::TextureView; 3],
    /// Multisampled source and canonical colour.
    smooth: Option<[wgpu::TextureView; 2]>,
    depth: wgpu::TextureView,
    smooth_depth: Option<wgpu::TextureView>,
    shadows: [wgpu::TextureView; 2],
    pub shade_group: wgpu::BindGroup,
}

impl Targets {
    pub fn new(
        gpu: &Gpu,
        pipelines: &Pipelines,
        grid: Grid,
        (config, multisample): (&RenderConfig, bool),
        images: &wgpu::TextureView,
    ) -> Self {
        let (width, height) = (grid.columns as u32 * config.width, grid.rows as u32 * config.height);
        let texture = |label, (width, height), format, samples, usage| {
            gpu.device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: samples,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::RENDER_ATTACHMENT | usage,
                view_formats: &[],
            })
        };
        let view = |texture: &wgpu::Texture| texture.create_view(&wgpu::TextureViewDescriptor::default());
        let size = (width, height);
        let plain = wgpu::TextureUsages::empty();
        let readbacks = [("source", COLOUR_FORMAT), ("canonical", COLOUR_FORMAT), ("identity", IDENTITY_FORMAT)].map(
            |(label, format)| {
                let bytes_per_row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
                Readback {
                    texture: texture(label, size, format, 1, wgpu::TextureUsages::COPY_SRC),
                    buffer: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some(label),
                        size: u64::from(bytes_per_row) * u64::from(height),
                        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    }),
                    bytes_per_row,
                }
            },
        );
        let views = [0, 1, 2].map(|i| view(&readbacks[i].texture));
        let smooth = multisample.then(|| {
            ["smooth source", "smooth canonical"].map(|l| view(&texture(l, size, COLOUR_FORMAT, SAMPLES, plain)))
        });
        let depth = view(&texture("depth", size, DEPTH_FORMAT, 1, plain));
        let smooth_depth = multisample.then(|| view(&texture("smooth depth", size, DEPTH_FORMAT, SAMPLES, plain)));
        let shadow_size = (grid.columns as u32 * grid.shadow_size, grid.rows as u32 * grid.shadow_size);
        let shadows = ["source shadow", "canonical shadow"]
            .map(|label| view(&texture(label, shadow_size, DEPTH_FORMAT, 1, wgpu::TextureUsages::TEXTURE_BINDING)));
        let comparison = gpu.device.create_sampler(&wgpu::SamplerDescriptor {
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            compare: Some(wgpu::CompareFunction::LessEqual),
            ..Default::default()
        });
        let repeat = gpu.device.create_sampler(&wgpu::SamplerDescriptor {
            address_mode_u: wgpu::AddressMode::Repeat,
            address_mode_v: wgpu::AddressMode::Repeat,
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            mipmap_filter: wgpu::MipmapFilterMode::Linear,
            ..Default::default()
        });
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let shade_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("shade"),
            layout: &pipelines.shade_layout,
            entries: &[
                entry(0, wgpu::BindingResource::TextureView(&shadows[0])),
                entry(1, wgpu::BindingResource::TextureView(&shadows[1])),
                entry(2, wgpu::BindingResource::Sampler(&comparison)),
                entry(3, wgpu::BindingResource::TextureView(images)),
                entry(4, wgpu::BindingResource::Sampler(&repeat)),
            ],
        });
        let tile = (config.width as usize, config.height as usize);
        Self { grid, tile, width, height, readbacks, views, smooth, depth, smooth_depth, shadows, shade_group }
    }

    pub fn begin_shadow<'e>(&self, encoder: &'e mut wgpu::CommandEncoder, light: usize) -> wgpu::RenderPass<'e> {
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("shadow"),
            color_attachments: &[],
            depth_stencil_attachment: Some(depth_attachment(&self.shadows[light], 1.0, wgpu::StoreOp::Store)),
            ..Default::default()
        })
    }

    /// Those of source colour, canonical colour and identity that are `wanted`; identity only when edges are not smoothed.
    pub fn begin_colour<'e>(&self, encoder: &'e mut wgpu::CommandEncoder, wanted: [bool; 3]) -> wgpu::RenderPass<'e> {
        let attachments: Vec<_> = (0..3)
            .map(|i| {
                let view = &self.views[i];
                let attachment = match self.smooth.as_ref().and_then(|smooth| smooth.get(i)) {
                    Some(smooth) => colour_attachment(smooth, Some(view)),
                    None => colour_attachment(view, None),
                };
                wanted[i].then_some(attachment)
            })
            .collect();
        let depth = self.smooth_depth.as_ref().unwrap_or(&self.depth);
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("colour"),
            color_attachments: &attachments,
            depth_stencil_attachment: Some(depth_attachment(depth, 0.0, wgpu::StoreOp::Discard)),
            ..Default::default()
        })
    }

    pub fn begin_identity<'e>(&self, encoder: &'e mut wgpu::CommandEncoder) -> wgpu::RenderPass<'e> {
        encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("identity"),
            color_attachments: &[Some(colour_attachment(&self.views[2], None))],
            depth_stencil_attachment: Some(depth_attachment(&self.depth, 0.0, wgpu::StoreOp::Discard)),
            ..Default::default()
        })
    }

    /// The images among `drawn` (source, canonical, identity).
    pub fn readbacks_of(&self, drawn: [bool; 3]) -> impl Iterator<Item = &Readback> {
        self.readbacks.iter().zip(drawn).filter(|(_, drawn)| *drawn).map(|(readback, _)| readback)
    }

    pub fn encode_copies(&self, encoder: &mut wgpu::CommandEncoder, drawn: [bool; 3]) {
        for readback in self.readbacks_of(drawn) {
            encoder.copy_texture_to_buffer(
                readback.texture.as_image_copy(),
                wgpu::TexelCopyBufferInfo {
                    buffer: &readback.buffer,
                    layout: wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(readback.bytes_per_row),
                        rows_per_image: None,
                    },
                },
                wgpu::Extent3d { width: self.width, height: self.height, depth_or_array_layers: 1 },
            );
        }
    }
}

fn colour_attachment<'v>(
    view: &'v wgpu::TextureView,
    resolve_target: Option<&'v wgpu::TextureView>,
) -> wgpu::RenderPassColorAttachment<'v> {
    let store = if resolve_target.is_some() { wgpu::StoreOp::Discard } else { wgpu::StoreOp::Store };
    wgpu::RenderPassColorAttachment {
        view,
        depth_slice: None,
        resolve_target,
        ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store },
    }
}

fn depth_attachment(
    view: &wgpu::TextureView,
    clear: f32,
    store: wgpu::StoreOp,
) -> wgpu::RenderPassDepthStencilAttachment<'_> {
    wgpu::RenderPassDepthStencilAttachment {
        view,
        depth_ops: Some(wgpu::Operations { load: wgpu::LoadOp::Clear(clear), store }),
        stencil_ops: None,
    }
}

/// The user's texture images with mipmaps, or a single white texel when there are none.
pub fn image_array(gpu: &Gpu, images: &ImageSet) -> wgpu::TextureView {
    let layers = images.len().max(1) as u32;
    let size = if images.is_empty() { 1 } else { LAYER_SIZE };
    let levels = size.ilog2() + 1;
    let mut bytes = Vec::new();
    if images.is_empty() {
        bytes.extend([255_u8; 4]);
    }
    for layer in &images.layers {
        bytes.extend_from_slice(layer);
        let mut current = layer.clone();
        let mut edge = LAYER_SIZE as usize;
        while edge > 1 {
            current = halved(&current, edge);
            edge /= 2;
            bytes.extend_from_slice(&current);
        }
    }
    let texture = gpu.device.create_texture_with_data(
        &gpu.queue,
        &wgpu::TextureDescriptor {
            label: Some("images"),
            size: wgpu::Extent3d { width: size, height: size, depth_or_array_layers: layers },
            mip_level_count: levels,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8UnormSrgb,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        },
        wgpu::util::TextureDataOrder::LayerMajor,
        &bytes,
    );
    texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(wgpu::TextureViewDimension::D2Array),
        ..Default::default()
    })
}

/// A square RGBA picture at half its size, by the mean of four texels.
fn halved(pixels: &[u8], edge: usize) -> Vec<u8> {
    let half = edge / 2;
    let mut out = Vec::with_capacity(half * half * 4);
    for y in 0..half {
        for x in 0..half {
            for c in 0..4 {
                let at = |dx: usize, dy: usize| u32::from(pixels[((2 * y + dy) * edge + 2 * x + dx) * 4 + c]);
                out.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    out
}
