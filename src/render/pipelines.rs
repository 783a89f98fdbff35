//! Shader variants and pipelines of the tiled renderer.

use super::gpu::Gpu;
use super::instances::InstanceRecord;
use super::meshes::Vertex;
use std::collections::BTreeMap;
use std::mem::size_of;

pub const COLOUR_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
pub const IDENTITY_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::R32Uint;
pub const DEPTH_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;
/// Samples a pixel when edges are smoothed: every adapter that wgpu admits offers four.
pub const SAMPLES: u32 = 4;

const SHADER: &str = include_str!("tiled.wgsl");

/// Which switches of the shader text are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Clip against the tile with clip distances; otherwise fragments outside are discarded.
    pub clip_distances: bool,
    /// The user's texture images are sampled.
    pub images: bool,
    /// Shadow samples a light.
    pub shadow_taps: u32,
    /// Multisampled colours with identity in a pass of its own; otherwise everything in one pass.
    pub multisample: bool,
}

/// Which images a capture draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnImages {
    pub source: bool,
    pub canonical: bool,
    /// Instances, faces and depth.
    pub identity: bool,
}

impl DrawnImages {
    /// By target: source colour, canonical colour, identity.
    pub fn targets(self) -> [bool; 3] {
        [self.source, self.canonical, self.identity]
    }

    /// Targets of the colour pass; none where no colour is wanted.
    pub fn colour_pass(self, multisample: bool) -> Option<[bool; 3]> {
        let colours = self.source || self.canonical;
        colours.then_some([self.source, self.canonical, self.identity && !multisample])
    }

    /// Identity is drawn in a pass of its own where its samples differ from the colours', and where it is alone.
    pub fn identity_pass(self, multisample: bool) -> bool {
        self.identity && (multisample || self.colour_pass(multisample).is_none())
    }
}

/// The shader's text with its switches resolved, for a colour pass with these targets.
///
/// `tinted`: some mesh brings colours of its own.
pub fn shader_text(variant: Variant, [source, canonical, identity]: [bool; 3], tinted: bool) -> String {
    let on = |switch: &str| match switch {
        "clip" => variant.clip_distances,
        "discard" => !variant.clip_distances,
        "images" => variant.images,
        "tinted" => tinted,
        "source" => source,
        "canonical" => canonical,
        "identity" => identity,
        _ => false,
    };
    let mut text = String::with_capacity(SHADER.len());
    for line in SHADER.lines() {
        match line.strip_prefix("//#") {
            Some(rest) => {
                let (switch, code) = rest.split_once(' ').unwrap_or((rest, ""));
                if on(switch) {
                    text.push_str(code);
                    text.push('\n');
                }
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

pub struct Pipelines {
    pub scene_layout: wgpu::BindGroupLayout,
    pub shade_layout: wgpu::BindGroupLayout,
    pub shadow: [wgpu::RenderPipeline; 2],
    variant: Variant,
    /// With all targets of a colour pass.
    module: wgpu::ShaderModule,
    plain_layout: wgpu::PipelineLayout,
    colour_layout: wgpu::PipelineLayout,
    /// By the targets of the pass, and whether meshes bring colours of their own: built when a capture first wants them.
    colour: BTreeMap<([bool; 3], bool), wgpu::RenderPipeline>,
    identity: Option<wgpu::RenderPipeline>,
}

fn module(gpu: &Gpu, variant: Variant, targets: [bool; 3], tinted: bool) -> wgpu::ShaderModule {
    gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("tiled"),
        source: wgpu::ShaderSource::Wgsl(shader_text(variant, targets, tinted).into()),
    })
}

fn all_targets(variant: Variant) -> [bool; 3] {
    [true, true, !variant.multisample]
}

impl Pipelines {
    pub fn new(gpu: &Gpu, variant: Variant) -> Self {
        let device = &gpu.device;
        let module = module(gpu, variant, all_targets(variant), false);
        let storage = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: true },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let scene_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("scene"),
            entries: &[
                wgpu::BindGroupLayoutEntry {
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    ..storage(0)
                },
                storage(1),
                storage(2),
            ],
        });
        let fragment = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty,
            count: None,
        };
        let texture = |sample_type, view_dimension| wgpu::BindingType::Texture {
            sample_type,
            view_dimension,
            multisampled: false,
        };
        let shadow_texture = texture(wgpu::TextureSampleType::Depth, wgpu::TextureViewDimension::D2);
        let shade_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("shade"),
            entries: &[
                fragment(0, shadow_texture),
                fragment(1, shadow_texture),
                fragment(2, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Comparison)),
                fragment(
                    3,
                    texture(wgpu::TextureSampleType::Float { filterable: true }, wgpu::TextureViewDimension::D2Array),
                ),
                fragment(4, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
            ],
        });
        let plain_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("plain"),
            bind_group_layouts: &[Some(&scene_layout)],
            immediate_size: 0,
        });
        let colour_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("colour"),
            bind_group_layouts: &[Some(&scene_layout), Some(&shade_layout)],
            immediate_size: 0,
        });
        let build = Build { gpu, module: &module, variant };
        let shadow =
            ["vertex_shadow_source", "vertex_shadow_canonical"].map(|entry| build.shadow(&plain_layout, entry));
        Self {
            scene_layout,
            shade_layout,
            shadow,
            variant,
            module,
            plain_layout,
            colour_layout,
            colour: BTreeMap::new(),
            identity: None,
        }
    }

    /// Builds what a capture of `images` needs and no capture needed before.
    pub fn prepare(&mut self, gpu: &Gpu, images: DrawnImages, tinted: bool) {
        let variant = self.variant;
        if let Some(targets) = images.colour_pass(variant.multisample)
            && !self.colour.contains_key(&(targets, tinted))
        {
            let is_own = tinted || targets != all_targets(variant);
            let own = is_own.then(|| module(gpu, variant, targets, tinted));
            let build = Build { gpu, module: own.as_ref().unwrap_or(&self.module), variant };
            let formats = [COLOUR_FORMAT, COLOUR_FORMAT, IDENTITY_FORMAT];
            let formats = [0, 1, 2].map(|i| targets[i].then_some(formats[i]));
            let samples = if variant.multisample { SAMPLES } else { 1 };
            let pipeline = build.shaded(&self.colour_layout, "fragment_colour", &formats, samples);
            self.colour.insert((targets, tinted), pipeline);
        }
        if images.identity_pass(variant.multisample) && self.identity.is_none() {
            let build = Build { gpu, module: &self.module, variant };
            let formats = [Some(IDENTITY_FORMAT)];
            self.identity = Some(build.shaded(&self.plain_layout, "fragment_identity", &formats, 1));
        }
    }

    /// The pipeline of the colour pass; none where there is no such pass, and before [`Self::prepare`].
    pub fn colour(&self, images: DrawnImages, tinted: bool) -> Option<&wgpu::RenderPipeline> {
        self.colour.get(&(images.colour_pass(self.variant.multisample)?, tinted))
    }

    /// The pipeline of the identity pass; none where there is no such pass, and before [`Self::prepare`].
    pub fn identity(&self, images: DrawnImages) -> Option<&wgpu::RenderPipeline> {
        self.identity.as_ref().filter(|_| images.identity_pass(self.variant.multisample))
    }
}

struct Build<'a> {
    gpu: &'a Gpu,
    module: &'a wgpu::ShaderModule,
    variant: Variant,
}

const VERTEX_ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Float32x3, 1 => Float32x3, 15 => Unorm8x4];
const INSTANCE_ATTRIBUTES: [wgpu::VertexAttribute; 13] = wgpu::vertex_attr_array![
    2 => Float32x4, 3 => Float32x4, 4 => Float32x4, 5 => Float32x4, 6 => Float32x4, 7 => Float32x4, 8 => Float32x4,
    9 => Float32x4, 10 => Float32x4, 11 => Float32x4, 12 => Float32x4, 13 => Float32x4, 14 => Uint32x4
];

impl Build<'_> {
    fn vertex<'b>(&'b self, entry: &'b str, buffers: &'b [wgpu::VertexBufferLayout<'b>]) -> wgpu::VertexState<'b> {
        wgpu::VertexState {
            module: self.module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers,
        }
    }

    fn shadow(&self, layout: &wgpu::PipelineLayout, entry: &str) -> wgpu::RenderPipeline {
        let buffers = vertex_layouts();
        let fragment = wgpu::FragmentState {
            module: self.module,
            entry_point: Some("fragment_shadow"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[],
        };
        self.gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(entry),
            layout: Some(layout),
            vertex: self.vertex(entry, &buffers),
            primitive: primitive(),
            depth_stencil: Some(wgpu::DepthStencilState {
                format: DEPTH_FORMAT,
                depth_write_enabled: Some(true),
                depth_compare: Some(wgpu::CompareFunction::LessEqual),
                stencil: wgpu::StencilState::default(),
                bias: wgpu::DepthBiasState { constant: 0, slope_scale: 1.5, clamp: 0.0 },
            }),
            multisample: wgpu::MultisampleState::default(),
            fragment: (!self.variant.clip_distances).then_some(fragment),
            multiview_mask: None,
            cache: None,
        })
    }

    fn shaded(
        &self,
        layout: &wgpu::PipelineLayout,
        entry: &str,
        formats: &[Option<wgpu::TextureFormat>],
        samples: u32,
    ) -> wgpu::RenderPipeline {
        let buffers = vertex_layouts();
        let targets: Vec<_> = formats.iter().map(|format| format.map(wgpu::ColorTargetState::from)).collect();
        let taps = [
            ("SHADOW_TAPS", f64::from(self.variant.shadow_taps)),
            ("CANONICAL_TAPS", f64::from(self.variant.shadow_taps.div_ceil(2))),
        ];
        let plain = entry == "fragment_identity";
        let constants: &[(&str, f64)] = if plain { &[] } else { &taps };
        let vertex = if plain { "vertex_identity" } else { "vertex_colour" };
        self.gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(entry),
            layout: Some(layout),
            vertex: self.vertex(vertex, &buffers),
            primitive: primitive(),
            depth_stencil: Some(wgpu::DepthStencilState {
                format: DEPTH_FORMAT,
                depth_write_enabled: Some(true),
                depth_compare: Some(wgpu::CompareFunction::GreaterEqual),
                stencil: wgpu::StencilState::default(),
                bias: wgpu::DepthBiasState::default(),
            }),
            multisample: wgpu::MultisampleState { count: samples, ..Default::default() },
            fragment: Some(wgpu::FragmentState {
                module: self.module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
                targets: &targets,
            }),
            multiview_mask: None,
            cache: None,
        })
    }
}

fn vertex_layouts() -> [wgpu::VertexBufferLayout<'static>; 2] {
    [
        wgpu::VertexBufferLayout {
            array_stride: size_of::<Vertex>() as u64,
            step_mode: wgpu::VertexStepMode::Vertex,
            attributes: &VERTEX_ATTRIBUTES,
        },
        wgpu::VertexBufferLayout {
            array_stride: size_of::<InstanceRecord>() as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &INSTANCE_ATTRIBUTES,
        },
    ]
}

fn primitive() -> wgpu::PrimitiveState {
    wgpu::PrimitiveState { cull_mode: Some(wgpu::Face::Back), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_keep_or_drop_their_lines() {
        let variant = Variant { clip_distances: true, images: false, shadow_taps: 4, multisample: true };
        let text = shader_text(variant, [true; 3], false);
        assert!(!text.contains("tint"));
        assert!(text.contains("enable clip_distances;") && !text.contains("discard;"));
        assert!(text.lines().all(|line| !line.starts_with("//#")));
        assert!(text.contains("out.source =") && text.contains("out.canonical =") && text.contains("out.identity ="));
        let text = shader_text(Variant { clip_distances: false, images: true, ..variant }, [true, false, false], true);
        assert!(text.contains("albedo *= in.tint;"));
        assert!(!text.contains("enable clip_distances;") && text.contains("discard;") && text.contains("level"));
        assert!(text.contains("out.source =") && !text.contains("out.canonical =") && !text.contains("out.identity ="));
    }

    #[test]
    fn each_image_is_drawn_in_one_pass() {
        for bits in 0..8_u32 {
            let images = DrawnImages { source: bits & 1 > 0, canonical: bits & 2 > 0, identity: bits & 4 > 0 };
            for multisample in [false, true] {
                let colour = images.colour_pass(multisample).unwrap_or_default();
                assert_eq!([colour[0], colour[1]], [images.source, images.canonical]);
                let identity = images.identity_pass(multisample);
                assert!(images.identity == (identity ^ colour[2]) && !(multisample && colour[2]), "{images:?}");
            }
        }
    }
}
