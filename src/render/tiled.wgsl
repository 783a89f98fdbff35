// The tiled renderer's shaders. Every environment is a tile of one atlas; one instanced draw per mesh kind covers all of
// them. The vertex stage moves an instance into its environment's tile and clips it there; the fragment stage shades the
// source domain and the canonical domain side by side, or one of them. Positions are metres from the environment's bin centre, so that
// the canonical light is the same uniform for all.
//
// Software adapters read storage buffers one lane at a time, so the fragment stage reads none: matrices come as instance
// attributes and materials as packed flat varyings that the vertex stage fetches.
//
// Lines that start with `//#` are switches of src/render/pipelines.rs.

//#clip enable clip_distances;

struct Globals {
    canonical_clip_from_bin: mat4x4<f32>,
    canonical_light: vec4<f32>,
    canonical_colour: vec4<f32>,
    canonical_sky: vec4<f32>,
    canonical_ground: vec4<f32>,
    // Size of the shadow atlas in texels (xy) and of one texel (zw).
    shadow_atlas: vec4<f32>,
    // Radius of the canonical shadow filter in texels.
    canonical_radius: vec4<f32>,
}

// Halves packed in pairs, see `PackedMaterial` and `PackedLight` in instances.rs.
struct Packed {
    low: vec4<u32>,
    high: vec4<u32>,
}

@group(0) @binding(0) var<uniform> globals: Globals;
@group(0) @binding(1) var<storage, read> materials: array<Packed>;
@group(0) @binding(2) var<storage, read> lights: array<Packed>;
@group(1) @binding(0) var shadow_map_source: texture_depth_2d;
@group(1) @binding(1) var shadow_map_canonical: texture_depth_2d;
@group(1) @binding(2) var shadow_sampler: sampler_comparison;
@group(1) @binding(3) var images: texture_2d_array<f32>;
@group(1) @binding(4) var image_sampler: sampler;

struct VertexIn {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    // Rows of bin_from_part, scale included.
    @location(2) row0: vec4<f32>,
    @location(3) row1: vec4<f32>,
    @location(4) row2: vec4<f32>,
    // Columns of clip_from_part for the camera and for the source light.
    @location(5) camera0: vec4<f32>,
    @location(6) camera1: vec4<f32>,
    @location(7) camera2: vec4<f32>,
    @location(8) camera3: vec4<f32>,
    @location(9) light0: vec4<f32>,
    @location(10) light1: vec4<f32>,
    @location(11) light2: vec4<f32>,
    @location(12) light3: vec4<f32>,
    // Scale (xy) and offset (zw) from a tile's clip space to the atlas's.
    @location(13) tile: vec4<f32>,
    // x: instance | shape << 8 | part << 10 | environment << 16; y: material; z: canonical colour; w: bits of the
    // texture offset. Shape: 0 box, 1 cylinder, 2 smooth all over, 3 the same in the mesh's own colours.
    @location(14) ids: vec4<u32>,
    // Square roots of the mesh's own colour.
//#tinted     @location(15) color: vec4<f32>,
}

struct ColourVertex {
    @builtin(position) clip: vec4<f32>,
//#clip     @builtin(clip_distances) inside: array<f32, 4>,
    @location(0) bin: vec3<f32>,
    @location(1) normal: vec3<f32>,
    // Position in the part's frame, metres.
    @location(2) local: vec3<f32>,
    @location(3) to_camera: vec3<f32>,
    @location(4) shadow: vec4<f32>,
    @location(5) @interpolate(flat) material_low: vec4<u32>,
    @location(6) @interpolate(flat) material_high: vec4<u32>,
    @location(7) @interpolate(flat) light_low: vec4<u32>,
    @location(8) @interpolate(flat) light_high: vec4<u32>,
    @location(9) @interpolate(flat) tile: vec4<f32>,
    @location(10) @interpolate(flat) ids: vec2<u32>,
//#discard     @location(11) tile_clip: vec3<f32>,
    // Of the mesh's own colours, linear light.
//#tinted     @location(12) tint: vec3<f32>,
}

// What the fragment stage receives: clip distances are the vertex stage's alone.
struct Fragment {
    @builtin(position) pixel: vec4<f32>,
    @location(0) bin: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) local: vec3<f32>,
    @location(3) to_camera: vec3<f32>,
    @location(4) shadow: vec4<f32>,
    @location(5) @interpolate(flat) material_low: vec4<u32>,
    @location(6) @interpolate(flat) material_high: vec4<u32>,
    @location(7) @interpolate(flat) light_low: vec4<u32>,
    @location(8) @interpolate(flat) light_high: vec4<u32>,
    @location(9) @interpolate(flat) tile: vec4<f32>,
    @location(10) @interpolate(flat) ids: vec2<u32>,
//#discard     @location(11) tile_clip: vec3<f32>,
//#tinted     @location(12) tint: vec3<f32>,
}

struct PlainVertex {
    @builtin(position) clip: vec4<f32>,
//#clip     @builtin(clip_distances) inside: array<f32, 4>,
    @location(0) @interpolate(flat) ids: u32,
//#discard     @location(1) tile_clip: vec3<f32>,
}

fn distances(clip: vec4<f32>) -> array<f32, 4> {
    return array<f32, 4>(clip.w + clip.x, clip.w - clip.x, clip.w + clip.y, clip.w - clip.y);
}

fn to_tile(clip: vec4<f32>, tile: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(clip.xy * tile.xy + tile.zw * clip.w, clip.zw);
}

fn bin_position(in: VertexIn) -> vec3<f32> {
    let h = vec4<f32>(in.position, 1.0);
    return vec3<f32>(dot(in.row0, h), dot(in.row1, h), dot(in.row2, h));
}

fn camera_clip(in: VertexIn) -> vec4<f32> {
    return in.camera0 * in.position.x + in.camera1 * in.position.y + in.camera2 * in.position.z + in.camera3;
}

fn light_clip(in: VertexIn) -> vec4<f32> {
    return in.light0 * in.position.x + in.light1 * in.position.y + in.light2 * in.position.z + in.light3;
}

// instance | face << 8: which flat face of which part this is, for the smoothing of edges.
fn face_of(ids: u32, n: vec3<f32>) -> u32 {
    let shape = (ids >> 8u) & 3u;
    let side = u32(dot(n, vec3<f32>(1.0, 2.0, 3.0)) + 3.5);
    let cap = select(0u, select(1u, 2u, n.z < 0.0), abs(n.z) > 0.9);
    let face = select(select(0u, cap, shape == 1u), side, shape == 0u);
    return (ids & 0xffu) | ((((ids >> 10u) & 31u) << 3u | face) << 8u);
}

fn halves(low: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(low), unpack2x16float(high));
}

@vertex
fn vertex_colour(in: VertexIn) -> ColourVertex {
    let clip = camera_clip(in);
    let environment = in.ids.x >> 16u;
    // Columns' squared lengths are the squared scales: n * 1/s^2 through the same rows is the inverse transpose.
    let scale2 = in.row0.xyz * in.row0.xyz + in.row1.xyz * in.row1.xyz + in.row2.xyz * in.row2.xyz;
    let n = in.normal / max(scale2, vec3<f32>(1e-12));
    let light = lights[environment];
    var out: ColourVertex;
    out.clip = to_tile(clip, in.tile);
//#clip     out.inside = distances(clip);
//#discard     out.tile_clip = clip.xyw;
    out.bin = bin_position(in);
    out.normal = normalize(vec3<f32>(dot(in.row0.xyz, n), dot(in.row1.xyz, n), dot(in.row2.xyz, n)));
    out.local = in.position * sqrt(scale2) + vec3<f32>(bitcast<f32>(in.ids.w));
    out.to_camera = halves(light.high.z, light.high.w).xyz - out.bin;
    // Lifted 3 mm off the surface against self-shadowing.
    let lifted = in.position + in.normal * 0.003 * inverseSqrt(max(scale2, vec3<f32>(1e-12)));
    out.shadow = in.light0 * lifted.x + in.light1 * lifted.y + in.light2 * lifted.z + in.light3;
    out.material_low = materials[in.ids.y].low;
    out.material_high = materials[in.ids.y].high;
    out.light_low = light.low;
    out.light_high = light.high;
    out.tile = in.tile;
    out.ids = vec2<u32>(face_of(in.ids.x, in.normal), in.ids.z);
//#tinted     out.tint = select(vec3<f32>(1.0), in.color.rgb * in.color.rgb, ((in.ids.x >> 8u) & 3u) == 3u);
    return out;
}

@vertex
fn vertex_identity(in: VertexIn) -> PlainVertex {
    let clip = camera_clip(in);
    var out: PlainVertex;
    out.clip = to_tile(clip, in.tile);
//#clip     out.inside = distances(clip);
//#discard     out.tile_clip = clip.xyw;
    out.ids = face_of(in.ids.x, in.normal);
    return out;
}

fn shadow_vertex(clip: vec4<f32>, tile: vec4<f32>) -> PlainVertex {
    var out: PlainVertex;
    out.clip = to_tile(clip, tile);
//#clip     out.inside = distances(clip);
//#discard     out.tile_clip = clip.xyw;
    out.ids = 0u;
    return out;
}

@vertex
fn vertex_shadow_source(in: VertexIn) -> PlainVertex {
    return shadow_vertex(light_clip(in), in.tile);
}

@vertex
fn vertex_shadow_canonical(in: VertexIn) -> PlainVertex {
    return shadow_vertex(globals.canonical_clip_from_bin * vec4<f32>(bin_position(in), 1.0), in.tile);
}

//#discard @fragment
//#discard fn fragment_shadow(@location(0) @interpolate(flat) ids: u32, @location(1) tile_clip: vec3<f32>) {
//#discard     if (max(abs(tile_clip.x), abs(tile_clip.y)) > tile_clip.z) { discard; }
//#discard }

fn hash(h: vec4<u32>) -> vec4<f32> {
    let a = (h ^ (h >> vec4<u32>(15u))) * 0x2c1b3c6du;
    return vec4<f32>((a >> vec4<u32>(8u)) & vec4<u32>(0xffffu)) * (1.0 / 65535.0);
}

// Value noise in [0, 1], solid.
fn noise3(p: vec3<f32>) -> f32 {
    let base = floor(p);
    let f = p - base;
    let u = f * f * (3.0 - 2.0 * f);
    let i = vec3<u32>(vec3<i32>(base)) * vec3<u32>(0x8da6b343u, 0xd8163841u, 0xcb1ab31fu);
    let xy = vec4<u32>(i.x, i.x + 0x8da6b343u, i.x, i.x + 0x8da6b343u)
        ^ vec4<u32>(i.y, i.y, i.y + 0xd8163841u, i.y + 0xd8163841u);
    let low = hash(xy ^ vec4<u32>(i.z));
    let high = hash(xy ^ vec4<u32>(i.z + 0xcb1ab31fu));
    let z = mix(low, high, vec4<f32>(u.z));
    let y = mix(z.xy, z.zw, vec2<f32>(u.y));
    return mix(y.x, y.y, u.x);
}

// sin(2 pi t) within 0.1%, without the general range reduction.
fn sine(t: f32) -> f32 {
    let x = t - floor(t + 0.5);
    let y = x * (8.0 - 16.0 * abs(x));
    return y * (0.775 + 0.225 * abs(y));
}

// One formula for every procedural family: two waves along two axes, warped by noise, sharpened towards steps, mixed
// with clouds, under fine grain. Detail finer than a pixel fades to its mean, so that textures do not shimmer.
fn albedo_of(in: Fragment, colour_a: vec3<f32>, colour_b: vec3<f32>, footprint: f32) -> vec3<f32> {
    let wave_u = halves(in.material_high.x, in.material_high.y);
    let wave_v = halves(in.material_high.z, in.material_high.w);
    let mixing = halves(in.material_low.z, in.material_low.w);
    let frequency = mixing.z;
    let cloud = noise3(in.local * frequency);
    let fine = noise3(in.local * (frequency * 3.7) + vec3<f32>(17.0));
    let cloud2 = 0.65 * cloud + 0.35 * fine;
    let u = sine(dot(wave_u.xyz, in.local) + wave_u.w * cloud2);
    let v = sine(dot(wave_v.xyz, in.local) + wave_u.w * fine);
    let finest = sqrt(max(dot(wave_u.xyz, wave_u.xyz), dot(wave_v.xyz, wave_v.xyz)));
    let visible = clamp(1.5 - 3.0 * footprint * finest, 0.0, 1.0);
    let wave = mix(u, u * v, mixing.x);
    let stepped = clamp(wave * wave_v.w * visible, -1.0, 1.0) * 0.5 + 0.5;
    let t = mix(stepped, clamp(cloud2 * 2.2 - 0.6, 0.0, 1.0), mixing.y);
    let grain = 1.0 + mixing.w * (fine - 0.5);
    return mix(colour_a, colour_b, t) * grain;
}

// The first three stand around the centre evenly, as do the first two of the canonical light's.
const TAPS: array<vec2<f32>, 12> = array<vec2<f32>, 12>(
    vec2<f32>(0.0, -0.9), vec2<f32>(0.78, 0.45), vec2<f32>(-0.78, 0.45), vec2<f32>(0.0, 0.1),
    vec2<f32>(-0.66, -0.42), vec2<f32>(0.42, -0.42), vec2<f32>(0.25, 0.75), vec2<f32>(-0.35, 0.12),
    vec2<f32>(-0.95, -0.1), vec2<f32>(0.86, -0.2), vec2<f32>(-0.24, 0.9), vec2<f32>(0.36, 0.2),
);
const CANONICAL: array<vec2<f32>, 6> = array<vec2<f32>, 6>(
    vec2<f32>(-0.55, 0.6), vec2<f32>(0.55, -0.6), vec2<f32>(0.6, 0.55), vec2<f32>(-0.6, -0.55),
    vec2<f32>(0.0, 0.25), vec2<f32>(0.0, -0.25),
);

override SHADOW_TAPS: u32 = 3u;

struct ShadowPlace {
    uv: vec2<f32>,
    low: vec2<f32>,
    high: vec2<f32>,
    depth: f32,
    outside: f32,
}

// Where to look in a shadow atlas, inside the environment's tile.
fn shadow_place(clip: vec4<f32>, tile: vec4<f32>) -> ShadowPlace {
    let ndc = clip.xyz / clip.w;
    let atlas = ndc.xy * tile.xy + tile.zw;
    let centre = vec2<f32>(tile.z * 0.5 + 0.5, 0.5 - tile.w * 0.5);
    let reach = tile.xy * 0.5 - globals.shadow_atlas.zw * 0.75;
    var place: ShadowPlace;
    place.uv = vec2<f32>(atlas.x * 0.5 + 0.5, 0.5 - atlas.y * 0.5);
    place.low = centre - reach;
    place.high = centre + reach;
    place.depth = ndc.z - 0.0006;
    // Outside the light's cone nothing casts; fade so that no line shows.
    place.outside = clamp((max(abs(ndc.x), abs(ndc.y)) - 0.88) * 10.0, 0.0, 1.0);
    return place;
}

// 1 lit, 0 in shadow.
fn lit_source(in: Fragment, radius_texels: f32) -> f32 {
    let place = shadow_place(in.shadow, in.tile);
    let radius = radius_texels * globals.shadow_atlas.zw;
    var sum = 0.0;
    for (var i = 0u; i < SHADOW_TAPS; i += 1u) {
        let at = clamp(place.uv + TAPS[i] * radius, place.low, place.high);
        sum += textureSampleCompareLevel(shadow_map_source, shadow_sampler, at, place.depth);
    }
    return mix(sum / f32(SHADOW_TAPS), 1.0, place.outside);
}

override CANONICAL_TAPS: u32 = 2u;

fn lit_canonical(in: Fragment) -> f32 {
    let place = shadow_place(globals.canonical_clip_from_bin * vec4<f32>(in.bin + in.normal * 0.003, 1.0), in.tile);
    let radius = globals.canonical_radius.x * globals.shadow_atlas.zw;
    var sum = 0.0;
    for (var i = 0u; i < CANONICAL_TAPS; i += 1u) {
        let at = clamp(place.uv + CANONICAL[i] * radius, place.low, place.high);
        sum += textureSampleCompareLevel(shadow_map_canonical, shadow_sampler, at, place.depth);
    }
    return mix(sum / f32(CANONICAL_TAPS), 1.0, place.outside);
}

fn encode_srgb(linear: vec3<f32>) -> vec3<f32> {
    let c = clamp(linear, vec3<f32>(0.0), vec3<f32>(1.0));
    // Least-squares fit, within a tenth of a byte's step of the exact curve: cheaper than pow on a software adapter.
    let s = sqrt(c);
    let curved = 0.83380383 * s + 0.29806858 * sqrt(s) - 0.05533848 * c - 0.07689536;
    return select(curved, c * 12.92, c < vec3<f32>(0.0031308));
}

// Highlights roll off instead of clipping: slope 1 up to 0.6, then towards 1.
fn tone(c: vec3<f32>) -> vec3<f32> {
    let over = max(c - 0.6, vec3<f32>(0.0));
    return min(c, vec3<f32>(0.6)) + over / (1.0 + over * 2.5);
}

// What a part's surface reflects, linear light.
fn surface_albedo(in: Fragment, n: vec3<f32>) -> vec3<f32> {
    // Colours are packed as square roots.
    let a = unpack4x8unorm(in.material_low.x).xyz;
    let b = unpack4x8unorm(in.material_low.y).xyz;
    // Depth is 1 / pixel.w; the light colour's w is the angle of a pixel.
    let footprint = unpack2x16float(in.light_low.w).y / in.pixel.w;
    var albedo = albedo_of(in, a * a, b * b, footprint);
//#images     {
//#images         // An image's layer is in the place of the check share, its scale in that of the first wave.
//#images         let layer = i32(-unpack2x16float(in.material_low.z).x) - 1;
//#images         let scale = unpack2x16float(in.material_high.x).x;
//#images         // Planar projection along the dominant axis of the normal.
//#images         let o = abs(n);
//#images         let uv_side = select(in.local.xz, in.local.yz, o.x > o.y);
//#images         let uv = select(uv_side, in.local.xy, o.z > max(o.x, o.y)) * scale;
//#images         let level = max(log2(footprint * scale * 256.0), 0.0);
//#images         let texel = textureSampleLevel(images, image_sampler, uv, max(layer, 0), level).rgb;
//#images         albedo = select(albedo, texel * (a * a), layer >= 0);
//#images     }
//#tinted     albedo *= in.tint;
    return albedo;
}

// Source domain: diffuse, a highlight, and a soft picture of the surroundings in glossy surfaces.
fn shade_source(in: Fragment, n: vec3<f32>, albedo: vec3<f32>) -> vec3<f32> {
    let roughness = unpack4x8unorm(in.material_low.x).w;
    let metallic = unpack4x8unorm(in.material_low.y).w;
    let light_position = halves(in.light_low.x, in.light_low.y);
    let light_colour = halves(in.light_low.z, in.light_low.w);
    // Ambient colours, packed as square roots of half their value; w: exposure / 2.
    let sky_packed = unpack4x8unorm(in.light_high.x);
    let ground_packed = unpack4x8unorm(in.light_high.y);
    let sky = 2.0 * sky_packed.xyz * sky_packed.xyz;
    let ground = 2.0 * ground_packed.xyz * ground_packed.xyz;
    let view = in.to_camera * inverseSqrt(dot(in.to_camera, in.to_camera));
    let l = normalize(light_position.xyz - in.bin);
    let shadow = lit_source(in, light_position.w);
    let diffuse = max(dot(n, l), 0.0) * shadow;
    let f0 = mix(vec3<f32>(0.04), albedo, metallic);
    let r2 = roughness * roughness;
    let shininess = 2.0 / (r2 * r2 + 0.002);
    let ndh = max(dot(n, normalize(l + view)), 0.0);
    // A Gaussian lobe in place of a power, and a rational one in place of the Gaussian.
    let away = 1.0 + (1.0 - ndh) * shininess * 0.5;
    let lobe = (shininess + 2.0) * 0.125 / (away * away);
    let ndv = max(dot(n, view), 0.0);
    let grazing = (1.0 - ndv) * (1.0 - ndv);
    let fresnel = f0 + (max(vec3<f32>(1.0 - roughness), f0) - f0) * (grazing * grazing);
    let mirrored_z = 2.0 * dot(n, view) * n.z - view.z;
    let horizon = clamp(mirrored_z / (0.5 + 2.0 * roughness) + 0.5, 0.0, 1.0);
    let surroundings = mix(ground, sky * 1.4, horizon);
    let up = n.z * 0.5 + 0.5;
    let source = albedo * (1.0 - metallic) * (light_colour.rgb * diffuse + mix(ground, sky, up))
        + f0 * light_colour.rgb * (lobe * diffuse)
        + fresnel * surroundings * (1.0 - 0.5 * roughness);
    return encode_srgb(tone(source * (2.0 * sky_packed.w)));
}

// Canonical domain: matte, one fixed light.
fn shade_canonical(in: Fragment, n: vec3<f32>, albedo: vec3<f32>) -> vec3<f32> {
    let packed = vec3<f32>(vec3<u32>(in.ids.y, in.ids.y >> 10u, in.ids.y >> 20u) & vec3<u32>(1023u)) * (1.0 / 1023.0);
    let keep = (in.ids.y & 0x40000000u) != 0u;
    let unlit = (in.ids.y & 0x80000000u) != 0u;
    let canonical_albedo = select(packed, albedo, keep);
    let up = n.z * 0.5 + 0.5;
    let lc = normalize(globals.canonical_light.xyz - in.bin);
    let canonical_lit = canonical_albedo * (globals.canonical_colour.rgb * (max(dot(n, lc), 0.0) * lit_canonical(in))
        + mix(globals.canonical_ground.rgb, globals.canonical_sky.rgb, up));
    return encode_srgb(select(tone(canonical_lit), canonical_albedo, unlit));
}

// instance | face << 8 | depth in tenths of a millimetre << 16. The fragment's w is 1 / depth.
fn identity(ids: u32, inverse_depth: f32) -> u32 {
    let tenths = u32(clamp(10000.0 / inverse_depth + 0.5, 0.0, 65535.0));
    return (ids & 0xffffu) | (tenths << 16u);
}

// The images of the colour pass; those that are not wanted have no target.
struct Images {
//#source     @location(0) source: vec4<f32>,
//#canonical     @location(1) canonical: vec4<f32>,
//#identity     @location(2) identity: u32,
}

@fragment
fn fragment_colour(in: Fragment) -> Images {
//#discard     if (max(abs(in.tile_clip.x), abs(in.tile_clip.y)) > in.tile_clip.z) { discard; }
    let n = normalize(in.normal);
    let albedo = surface_albedo(in, n);
    var out: Images;
//#source     out.source = vec4<f32>(shade_source(in, n, albedo), 1.0);
//#canonical     out.canonical = vec4<f32>(shade_canonical(in, n, albedo), 1.0);
//#identity     out.identity = identity(in.ids.x, in.pixel.w);
    return out;
}

struct FragmentPlain {
    @builtin(position) pixel: vec4<f32>,
    @location(0) @interpolate(flat) ids: u32,
//#discard     @location(1) tile_clip: vec3<f32>,
}

@fragment
fn fragment_identity(in: FragmentPlain) -> @location(0) u32 {
//#discard     if (max(abs(in.tile_clip.x), abs(in.tile_clip.y)) > in.tile_clip.z) { discard; }
    return identity(in.ids, in.pixel.w);
}
