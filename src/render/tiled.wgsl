// The tiled renderer's shaders. Every environment is a tile of one atlas; one instanced draw per mesh kind covers all of
// them. The vertex stage moves an instance into its environment's tile and clips it there; the fragment stage shades the
// source domain and the canonical domain side by side.
//
// Lines that start with `//#` are switches of src/render/pipelines.rs.

//#clip enable clip_distances;

struct Instance {
    // Rows of world_from_part, scale included.
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    // environment | instance id << 16 | class << 24
    ids: u32,
    // Index into `materials`.
    material: u32,
    // Canonical albedo, linear, 10 bits a channel; bit 30: keep the source albedo; bit 31: unlit.
    canonical: u32,
    // Offset of the solid texture, so that equal materials differ from part to part.
    offset: f32,
}

struct Environment {
    clip_from_world: mat4x4<f32>,
    // 0: the source domain's light, 1: the canonical light.
    light_clip_from_world: array<mat4x4<f32>, 2>,
    // Scale (xy) and offset (zw) from a tile's clip space to the atlas's.
    tile: vec4<f32>,
    shadow_tile: vec4<f32>,
    camera_position: vec4<f32>,
    camera_forward: vec4<f32>,
    // w: radius of the shadow filter, in shadow texels.
    light_position: array<vec4<f32>, 2>,
    light_colour: array<vec4<f32>, 2>,
    // w of sky: exposure.
    sky: array<vec4<f32>, 2>,
    ground: array<vec4<f32>, 2>,
}

struct Material {
    // w: roughness
    colour_a: vec4<f32>,
    // w: metallic
    colour_b: vec4<f32>,
    // Frequencies (1/m) of the two waves, warp, sharpness.
    wave: vec4<f32>,
    // How much the second wave multiplies the first (0 stripes, 1 checks), cloud share, cloud frequency (1/m), grain.
    mix: vec4<f32>,
    // Axis of the first wave; w: image layer or -1.
    axis_u: vec4<f32>,
    // Axis of the second wave; w: image repeats per metre.
    axis_v: vec4<f32>,
}

struct Globals {
    // Atlas size in pixels (xy), shadow atlas size in texels (zw).
    sizes: vec4<f32>,
    // x: first environment of this draw's light (0 source, 1 canonical) for the shadow pass.
    light: vec4<u32>,
}

@group(0) @binding(0) var<storage, read> environments: array<Environment>;
@group(0) @binding(1) var<storage, read> instances: array<Instance>;
@group(0) @binding(2) var<storage, read> materials: array<Material>;
@group(0) @binding(3) var<uniform> globals: Globals;
@group(1) @binding(0) var shadow_map_source: texture_depth_2d;
@group(1) @binding(1) var shadow_map_canonical: texture_depth_2d;
@group(1) @binding(2) var shadow_sampler: sampler_comparison;
@group(1) @binding(3) var images: texture_2d_array<f32>;
@group(1) @binding(4) var image_sampler: sampler;

struct VertexIn {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @builtin(instance_index) instance: u32,
}

struct ColourVertex {
    @builtin(position) clip: vec4<f32>,
//#clip     @builtin(clip_distances) inside: array<f32, 4>,
    @location(0) world: vec3<f32>,
    @location(1) normal: vec3<f32>,
    // Position in the part's frame, metres.
    @location(2) local: vec3<f32>,
    @location(3) @interpolate(flat) instance: u32,
//#discard     @location(4) tile_clip: vec3<f32>,
}

struct DepthVertex {
    @builtin(position) clip: vec4<f32>,
//#clip     @builtin(clip_distances) inside: array<f32, 4>,
//#discard     @location(0) tile_clip: vec3<f32>,
}

fn world_position(i: Instance, p: vec3<f32>) -> vec3<f32> {
    let h = vec4<f32>(p, 1.0);
    return vec3<f32>(dot(i.row0, h), dot(i.row1, h), dot(i.row2, h));
}

fn distances(clip: vec4<f32>) -> array<f32, 4> {
    return array<f32, 4>(clip.w + clip.x, clip.w - clip.x, clip.w + clip.y, clip.w - clip.y);
}

fn to_tile(clip: vec4<f32>, tile: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(clip.xy * tile.xy + tile.zw * clip.w, clip.zw);
}

@vertex
fn vertex_colour(in: VertexIn) -> ColourVertex {
    let instance = instances[in.instance];
    let environment = instance.ids & 0xffffu;
    let world = world_position(instance, in.position);
    let clip = environments[environment].clip_from_world * vec4<f32>(world, 1.0);
    // Columns' squared lengths are the squared scales: n * 1/s^2 through the same rows is the inverse transpose.
    let scale2 = instance.row0.xyz * instance.row0.xyz + instance.row1.xyz * instance.row1.xyz
        + instance.row2.xyz * instance.row2.xyz;
    let n = in.normal / max(scale2, vec3<f32>(1e-12));
    var out: ColourVertex;
    out.clip = to_tile(clip, environments[environment].tile);
//#clip     out.inside = distances(clip);
//#discard     out.tile_clip = clip.xyw;
    out.world = world;
    out.normal = vec3<f32>(dot(instance.row0.xyz, n), dot(instance.row1.xyz, n), dot(instance.row2.xyz, n));
    out.local = in.position * sqrt(scale2) + vec3<f32>(instance.offset);
    out.instance = in.instance;
    return out;
}

fn shadow_vertex(in: VertexIn, light: u32) -> DepthVertex {
    let instance = instances[in.instance];
    let environment = instance.ids & 0xffffu;
    let world = world_position(instance, in.position);
    let clip = environments[environment].light_clip_from_world[light] * vec4<f32>(world, 1.0);
    var out: DepthVertex;
    out.clip = to_tile(clip, environments[environment].shadow_tile);
//#clip     out.inside = distances(clip);
//#discard     out.tile_clip = clip.xyw;
    return out;
}

@vertex
fn vertex_shadow_source(in: VertexIn) -> DepthVertex {
    return shadow_vertex(in, 0u);
}

@vertex
fn vertex_shadow_canonical(in: VertexIn) -> DepthVertex {
    return shadow_vertex(in, 1u);
}

//#discard @fragment
//#discard fn fragment_shadow(@location(0) tile_clip: vec3<f32>) {
//#discard     if (max(abs(tile_clip.x), abs(tile_clip.y)) > tile_clip.z) { discard; }
//#discard }

fn hash3(p: vec3<i32>) -> f32 {
    var h = u32(p.x) * 0x8da6b343u ^ u32(p.y) * 0xd8163841u ^ u32(p.z) * 0xcb1ab31fu;
    h = (h ^ (h >> 13u)) * 0x5bd1e995u;
    return f32((h >> 8u) & 0xffffu) * (1.0 / 65535.0);
}

// Value noise in [0, 1], solid.
fn noise3(p: vec3<f32>) -> f32 {
    let base = floor(p);
    let f = p - base;
    let u = f * f * (3.0 - 2.0 * f);
    let i = vec3<i32>(base);
    let x00 = mix(hash3(i), hash3(i + vec3<i32>(1, 0, 0)), u.x);
    let x10 = mix(hash3(i + vec3<i32>(0, 1, 0)), hash3(i + vec3<i32>(1, 1, 0)), u.x);
    let x01 = mix(hash3(i + vec3<i32>(0, 0, 1)), hash3(i + vec3<i32>(1, 0, 1)), u.x);
    let x11 = mix(hash3(i + vec3<i32>(0, 1, 1)), hash3(i + vec3<i32>(1, 1, 1)), u.x);
    return mix(mix(x00, x10, u.y), mix(x01, x11, u.y), u.z);
}

// One formula for every procedural family: two waves along two axes, warped by noise, sharpened towards steps, mixed
// with clouds, under fine grain. Detail finer than a pixel fades to its mean, so that textures do not shimmer.
fn albedo_of(m: Material, local: vec3<f32>, footprint: f32) -> vec3<f32> {
    let cloud = noise3(local * m.mix.z);
    let fine = noise3(local * (m.mix.z * 3.7) + vec3<f32>(17.0));
    let cloud2 = 0.65 * cloud + 0.35 * fine;
    let phase_u = (dot(m.axis_u.xyz, local) * m.wave.x + m.wave.z * cloud2) * 6.2831853;
    let phase_v = (dot(m.axis_v.xyz, local) * m.wave.y + m.wave.z * fine) * 6.2831853;
    let visible = clamp(1.5 - 3.0 * footprint * max(m.wave.x, m.wave.y), 0.0, 1.0);
    let wave_u = sin(phase_u);
    let wave = mix(wave_u, wave_u * sin(phase_v), m.mix.x);
    let stepped = clamp(wave * m.wave.w * visible, -1.0, 1.0) * 0.5 + 0.5;
    let t = mix(stepped, clamp(cloud2 * 2.2 - 0.6, 0.0, 1.0), m.mix.y);
    let grain = 1.0 + m.mix.w * (fine - 0.5);
    return mix(m.colour_a.rgb, m.colour_b.rgb, t) * grain;
}

fn shadow_tap(light: u32, uv: vec2<f32>, depth: f32) -> f32 {
    if (light == 0u) {
        return textureSampleCompareLevel(shadow_map_source, shadow_sampler, uv, depth);
    }
    return textureSampleCompareLevel(shadow_map_canonical, shadow_sampler, uv, depth);
}

const TAPS: array<vec2<f32>, 12> = array<vec2<f32>, 12>(
    vec2<f32>(-0.37, -0.84), vec2<f32>(0.86, -0.34), vec2<f32>(0.33, 0.81), vec2<f32>(-0.88, 0.38),
    vec2<f32>(-0.10, -0.27), vec2<f32>(0.42, -0.79), vec2<f32>(0.25, 0.15), vec2<f32>(-0.45, 0.18),
    vec2<f32>(-0.75, -0.33), vec2<f32>(0.72, 0.36), vec2<f32>(-0.24, 0.76), vec2<f32>(0.36, -0.30),
);

override SHADOW_TAPS: u32 = 4u;

// 1 lit, 0 in shadow.
fn lit(light: u32, e: u32, world: vec3<f32>, normal: vec3<f32>) -> f32 {
    let p = environments[e].light_clip_from_world[light] * vec4<f32>(world + normal * 0.003, 1.0);
    let ndc = p.xyz / p.w;
    let tile = environments[e].shadow_tile;
    let atlas = ndc.xy * tile.xy + tile.zw;
    let texel = 1.0 / globals.sizes.zw;
    let uv = vec2<f32>(atlas.x * 0.5 + 0.5, 0.5 - atlas.y * 0.5);
    // Stay inside the tile by the filter's reach.
    let centre = vec2<f32>(tile.z * 0.5 + 0.5, 0.5 - tile.w * 0.5);
    let half = tile.xy * 0.5 - texel * 0.75;
    let radius = environments[e].light_position[light].w * texel;
    let depth = ndc.z - 0.0006;
    var sum = 0.0;
    for (var i = 0u; i < SHADOW_TAPS; i += 1u) {
        let at = clamp(uv + TAPS[i] * radius, centre - half, centre + half);
        sum += shadow_tap(light, at, depth);
    }
    let shaded = sum / f32(SHADOW_TAPS);
    // Outside the light's cone nothing casts; fade so that no line shows.
    let edge = max(abs(ndc.x), abs(ndc.y));
    return mix(shaded, 1.0, clamp((edge - 0.88) * 10.0, 0.0, 1.0));
}

fn encode_srgb(linear: vec3<f32>) -> vec3<f32> {
    let c = clamp(linear, vec3<f32>(0.0), vec3<f32>(1.0));
    // Within 0.4% of the exact curve: cheaper than pow on a software adapter.
    let s = sqrt(c);
    let curved = 0.585122381 * s + 0.783140355 * sqrt(s) - 0.368262736 * sqrt(sqrt(s));
    return select(curved, c * 12.92, c < vec3<f32>(0.0031308));
}

// Highlights roll off instead of clipping.
fn tone(c: vec3<f32>) -> vec3<f32> {
    let shoulder = 1.0 - exp2(-1.4427 * (c - 0.6) / 0.4);
    return select(c, 0.6 + 0.4 * shoulder, c > vec3<f32>(0.6));
}

fn ambient(light: u32, e: u32, n: vec3<f32>) -> vec3<f32> {
    return mix(environments[e].ground[light].rgb, environments[e].sky[light].rgb, n.z * 0.5 + 0.5);
}

struct Shaded {
    source: vec3<f32>,
    canonical: vec3<f32>,
}

fn shade(in: ColourVertex) -> Shaded {
    let instance = instances[in.instance];
    let e = instance.ids & 0xffffu;
    let m = materials[instance.material];
    let n = normalize(in.normal);
    let to_camera = environments[e].camera_position.xyz - in.world;
    let distance_m = length(to_camera);
    let footprint = distance_m * environments[e].camera_position.w;
    var albedo = albedo_of(m, in.local, footprint);
//#images     {
//#images         // Planar projection along the dominant axis of the normal, in the part's frame.
//#images         let a = abs(n);
//#images         let uv_z = select(in.local.xz, in.local.yz, a.x > a.y);
//#images         let uv = select(uv_z, in.local.xy, a.z > max(a.x, a.y)) * m.axis_v.w;
//#images         let level = max(log2(footprint * m.axis_v.w * 256.0), 0.0);
//#images         let layer = i32(m.axis_u.w);
//#images         let texel = textureSampleLevel(images, image_sampler, uv, max(layer, 0), level).rgb;
//#images         albedo = select(albedo, texel * m.colour_a.rgb, layer >= 0);
//#images     }
    // Source domain: diffuse, a highlight, and a soft picture of the surroundings in glossy surfaces.
    let view = to_camera / distance_m;
    let to_light = environments[e].light_position[0].xyz - in.world;
    let l = normalize(to_light);
    let diffuse = max(dot(n, l), 0.0);
    let shadow = lit(0u, e, in.world, n);
    let roughness = m.colour_a.w;
    let metallic = m.colour_b.w;
    let f0 = mix(vec3<f32>(0.04), albedo, metallic);
    let half = normalize(l + view);
    let shininess = 2.0 / (roughness * roughness * roughness * roughness + 0.002);
    let ndh = max(dot(n, half), 0.0);
    // Gaussian lobe in place of a power: exp2 once.
    let lobe = exp2(-(1.0 - ndh) * shininess * 1.4427) * (shininess + 2.0) * 0.125;
    let ndv = max(dot(n, view), 0.0);
    let grazing = (1.0 - ndv) * (1.0 - ndv);
    let fresnel = f0 + (max(vec3<f32>(1.0 - roughness), f0) - f0) * grazing * grazing;
    let mirrored = reflect(-view, n);
    let horizon = clamp(mirrored.z / (0.25 + roughness) * 0.5 + 0.5, 0.0, 1.0);
    let surroundings = mix(environments[e].ground[0].rgb, environments[e].sky[0].rgb * 1.4, horizon);
    let light = environments[e].light_colour[0].rgb;
    let body = albedo * (1.0 - metallic);
    let source = body * (light * (diffuse * shadow) + ambient(0u, e, n))
        + f0 * light * (lobe * diffuse * shadow)
        + fresnel * surroundings * (1.0 - 0.5 * roughness);
    // Canonical domain: matte, one fixed light.
    let packed = vec3<f32>(vec3<u32>(instance.canonical, instance.canonical >> 10u, instance.canonical >> 20u)
        & vec3<u32>(1023u)) * (1.0 / 1023.0);
    let keep = (instance.canonical & 0x40000000u) != 0u;
    let unlit = (instance.canonical & 0x80000000u) != 0u;
    let canonical_albedo = select(packed, albedo, keep);
    let l1 = normalize(environments[e].light_position[1].xyz - in.world);
    let canonical_lit = canonical_albedo
        * (environments[e].light_colour[1].rgb * (max(dot(n, l1), 0.0) * lit(1u, e, in.world, n))
            + ambient(1u, e, n));
    var out: Shaded;
    out.source = encode_srgb(tone(source * environments[e].sky[0].w));
    out.canonical = encode_srgb(select(tone(canonical_lit), canonical_albedo, unlit));
    return out;
}

// instance | class << 8 | depth in tenths of a millimetre << 16
fn identity(in: ColourVertex) -> u32 {
    let ids = instances[in.instance].ids;
    let e = ids & 0xffffu;
    let depth = dot(environments[e].camera_forward.xyz, in.world - environments[e].camera_position.xyz);
    let tenths = u32(clamp(depth * 10000.0 + 0.5, 0.0, 65535.0));
    return ((ids >> 16u) & 0xffu) | ((ids >> 16u) & 0xff00u) | (tenths << 16u);
}

struct Everything {
    @location(0) source: vec4<f32>,
    @location(1) canonical: vec4<f32>,
    @location(2) identity: u32,
}

struct Colours {
    @location(0) source: vec4<f32>,
    @location(1) canonical: vec4<f32>,
}

@fragment
fn fragment_everything(in: ColourVertex) -> Everything {
//#discard     if (max(abs(in.tile_clip.x), abs(in.tile_clip.y)) > in.tile_clip.z) { discard; }
    let s = shade(in);
    var out: Everything;
    out.source = vec4<f32>(s.source, 1.0);
    out.canonical = vec4<f32>(s.canonical, 1.0);
    out.identity = identity(in);
    return out;
}

@fragment
fn fragment_colours(in: ColourVertex) -> Colours {
//#discard     if (max(abs(in.tile_clip.x), abs(in.tile_clip.y)) > in.tile_clip.z) { discard; }
    let s = shade(in);
    return Colours(vec4<f32>(s.source, 1.0), vec4<f32>(s.canonical, 1.0));
}

@fragment
fn fragment_identity(in: ColourVertex) -> @location(0) u32 {
//#discard     if (max(abs(in.tile_clip.x), abs(in.tile_clip.y)) > in.tile_clip.z) { discard; }
    return identity(in);
}
