//! egui's triangles on the CPU: the same layout as in the window, without a window or a graphics device.
//!
//! In: clipped primitives and texture changes of a pass. Out: RGB pixels. Colours are multiplied and blended in gamma
//! space with premultiplied alpha, as egui expects.

use bevy_egui::egui::epaint::textures::TexturesDelta;
use bevy_egui::egui::epaint::{ClippedPrimitive, ImageDelta, Primitive, Vertex};
use bevy_egui::egui::{ImageData, Mesh, Pos2, Rect, TextureFilter, TextureId};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Lines that one thread paints at a time.
const BAND: usize = 48;

/// Premultiplied RGBA in gamma space.
struct Texture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
    smooth: bool,
}

impl Texture {
    fn texel(&self, x: i32, y: i32) -> [f32; 4] {
        let clamp = |v: i32, n: usize| (v.max(0) as usize).min(n.saturating_sub(1));
        self.pixels[clamp(y, self.height) * self.width + clamp(x, self.width)].map(f32::from)
    }

    /// In [0, 255].
    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (x, y) = (u * self.width as f32, v * self.height as f32);
        if !self.smooth {
            return self.texel(x.floor() as i32, y.floor() as i32);
        }
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i32, top as i32);
        if fx < 1e-3 && fy < 1e-3 {
            return self.texel(left, top);
        }
        let [a, b] = [self.texel(left, top), self.texel(left + 1, top)];
        let [c, d] = [self.texel(left, top + 1), self.texel(left + 1, top + 1)];
        std::array::from_fn(|i| {
            let (upper, lower) = (a[i] + (b[i] - a[i]) * fx, c[i] + (d[i] - c[i]) * fx);
            upper + (lower - upper) * fy
        })
    }
}

/// Textures by id, kept from pass to pass.
#[derive(Default)]
pub struct Painter {
    textures: BTreeMap<u128, Texture>,
}

fn key(id: TextureId) -> u128 {
    match id {
        TextureId::Managed(id) => u128::from(id),
        TextureId::User(id) => (1 << 64) | u128::from(id),
    }
}

impl Painter {
    /// Takes over the texture changes of a pass. Call [`Self::free`] after painting.
    pub fn update(&mut self, delta: &TexturesDelta) {
        for (id, change) in &delta.set {
            self.set(*id, change);
        }
    }

    pub fn free(&mut self, delta: &TexturesDelta) {
        for id in &delta.free {
            self.textures.remove(&key(*id));
        }
    }

    fn set(&mut self, id: TextureId, change: &ImageDelta) {
        let ImageData::Color(image) = &change.image;
        let [width, height] = image.size;
        let pixels = image.pixels.iter().map(|colour| colour.to_array());
        let smooth = change.options.magnification == TextureFilter::Linear;
        match (change.pos, self.textures.get_mut(&key(id))) {
            (Some([left, top]), Some(texture)) => {
                let rows: Vec<[u8; 4]> = pixels.collect();
                for (row, line) in rows.chunks_exact(width.max(1)).enumerate() {
                    let start = (top + row) * texture.width + left;
                    if let Some(place) = texture.pixels.get_mut(start..start + width) {
                        place.copy_from_slice(line);
                    }
                }
            }
            _ => {
                let texture = Texture { width, height, pixels: pixels.collect(), smooth };
                self.textures.insert(key(id), texture);
            }
        }
    }

    /// Sets one of the host's own textures from opaque RGBA pixels.
    pub fn set_user(&mut self, id: u64, (width, height): (usize, usize), rgba: &[u8]) {
        let pixels = rgba.chunks_exact(4).map(|p| [p[0], p[1], p[2], 255]).collect();
        self.textures.insert(key(TextureId::User(id)), Texture { width, height, pixels, smooth: true });
    }

    /// Paints a pass on white. `[height, width, 3]`
    pub fn paint(&self, primitives: &[ClippedPrimitive], (width, height): (usize, usize), scale: f32) -> Vec<u8> {
        let mut canvas = vec![255_u8; width * height * 3];
        canvas.par_chunks_mut(width * 3 * BAND).enumerate().for_each(|(band, pixels)| {
            let top = band * BAND;
            let bottom = top + pixels.len() / (width * 3);
            let mut target = Band { pixels, width, top, bottom };
            for ClippedPrimitive { clip_rect, primitive } in primitives {
                if let Primitive::Mesh(mesh) = primitive
                    && let Some(texture) = self.textures.get(&key(mesh.texture_id))
                {
                    target.mesh(mesh, texture, *clip_rect, scale);
                }
            }
        });
        canvas
    }
}

/// Some lines of the picture.
struct Band<'a> {
    pixels: &'a mut [u8],
    width: usize,
    top: usize,
    bottom: usize,
}

/// A range of pixels whose centres lie between two coordinates.
fn span(low: f32, high: f32, limit: (usize, usize)) -> (usize, usize) {
    let bound = |v: f32| ((v - 0.5).ceil().max(0.0) as usize).clamp(limit.0, limit.1);
    (bound(low), bound(high))
}

impl Band<'_> {
    fn mesh(&mut self, mesh: &Mesh, texture: &Texture, clip: Rect, scale: f32) {
        let columns = span((clip.min.x * scale).round(), (clip.max.x * scale).round(), (0, self.width));
        let rows = span((clip.min.y * scale).round(), (clip.max.y * scale).round(), (self.top, self.bottom));
        if columns.0 >= columns.1 || rows.0 >= rows.1 {
            return;
        }
        for triangle in mesh.indices.chunks_exact(3) {
            let corners = [0, 1, 2].map(|i| mesh.vertices.get(triangle[i] as usize));
            if let [Some(a), Some(b), Some(c)] = corners {
                self.triangle([a, b, c], texture, (columns, rows), scale);
            }
        }
    }

    fn triangle(
        &mut self,
        corners: [&Vertex; 3],
        texture: &Texture,
        (columns, rows): ((usize, usize), (usize, usize)),
        scale: f32,
    ) {
        let mut corners = corners;
        let point = |vertex: &Vertex| Pos2::new(vertex.pos.x * scale, vertex.pos.y * scale);
        let edge = |a: Pos2, b: Pos2, p: Pos2| (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
        let mut p = corners.map(point);
        let mut area = edge(p[0], p[1], p[2]);
        if area < 0.0 {
            corners.swap(1, 2);
            p.swap(1, 2);
            area = -area;
        }
        if area.is_nan() || area < 1e-6 {
            return;
        }
        let least = |f: fn(&Pos2) -> f32| p.iter().map(f).fold(f32::INFINITY, f32::min);
        let most = |f: fn(&Pos2) -> f32| p.iter().map(f).fold(f32::NEG_INFINITY, f32::max);
        let columns = span(least(|p| p.x), most(|p| p.x), columns);
        let rows = span(least(|p| p.y), most(|p| p.y), rows);
        if columns.0 >= columns.1 {
            return;
        }
        // Pixels on a shared edge belong to one triangle: the one whose upper or left edge it is.
        let owns = |a: Pos2, b: Pos2| (a.y == b.y && b.x > a.x) || b.y < a.y;
        let edges = [(1, 2), (2, 0), (0, 1)].map(|(i, j)| (p[i], p[j], owns(p[i], p[j])));
        let colours = corners.map(|vertex| vertex.color.to_array().map(f32::from));
        let plain = colours[0] == colours[1] && colours[1] == colours[2];
        let flat = corners[0].uv == corners[1].uv && corners[1].uv == corners[2].uv;
        let flat_texel = flat.then(|| texture.sample(corners[0].uv.x, corners[0].uv.y));
        let solid = flat_texel.filter(|_| plain).map(|texel| multiply(texel, colours[0]));
        for y in rows.0..rows.1 {
            let line = (y - self.top) * self.width;
            for x in columns.0..columns.1 {
                let centre = Pos2::new(x as f32 + 0.5, y as f32 + 0.5);
                let weights = edges.map(|(a, b, owned)| {
                    let w = edge(a, b, centre);
                    if w > 0.0 || (w == 0.0 && owned) { w } else { -1.0 }
                });
                if weights.iter().any(|&w| w < 0.0) {
                    continue;
                }
                let colour = solid.unwrap_or_else(|| {
                    let share = weights.map(|w| w / area);
                    let mix = |f: fn(&Vertex) -> f32| (0..3).map(|i| share[i] * f(corners[i])).sum::<f32>();
                    let texel = flat_texel.unwrap_or_else(|| texture.sample(mix(|v| v.uv.x), mix(|v| v.uv.y)));
                    let tint = std::array::from_fn(|c| (0..3).map(|i| share[i] * colours[i][c]).sum::<f32>());
                    multiply(texel, tint)
                });
                blend(&mut self.pixels[(line + x) * 3..][..3], colour);
            }
        }
    }
}

fn multiply(texel: [f32; 4], tint: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| texel[i] * tint[i] * (1.0 / 255.0))
}

fn blend(pixel: &mut [u8], colour: [f32; 4]) {
    let keep = 1.0 - colour[3] * (1.0 / 255.0);
    for (value, c) in pixel.iter_mut().zip(colour) {
        *value = (c + f32::from(*value) * keep + 0.5).clamp(0.0, 255.0) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bevy_egui::egui::{Color32, pos2, vec2};

    fn painted(draw: impl FnOnce(&mut Mesh)) -> Vec<u8> {
        let mut painter = Painter::default();
        painter.set_user(0, (2, 1), &[255, 0, 0, 255, 0, 255, 0, 255]);
        painter
            .textures
            .insert(key(TextureId::default()), Texture { width: 1, height: 1, pixels: vec![[255; 4]], smooth: true });
        let mut mesh = Mesh::default();
        draw(&mut mesh);
        let clip_rect = Rect::from_min_size(Pos2::ZERO, vec2(8.0, 8.0));
        painter.paint(&[ClippedPrimitive { clip_rect, primitive: Primitive::Mesh(mesh) }], (16, 16), 2.0)
    }

    fn at(picture: &[u8], x: usize, y: usize) -> [u8; 3] {
        std::array::from_fn(|i| picture[(y * 16 + x) * 3 + i])
    }

    #[test]
    fn a_translucent_rectangle_is_blended_once() {
        let colour = Color32::from_rgba_premultiplied(0, 0, 100, 128);
        let picture = painted(|mesh| {
            mesh.add_colored_rect(Rect::from_min_max(pos2(1.0, 1.0), pos2(3.0, 3.0)), colour);
        });
        // 255 * (1 - 128/255) = 127, plus the colour; the shared diagonal is not painted twice.
        for (x, y) in [(2, 2), (5, 5), (3, 3), (2, 5), (4, 3)] {
            assert_eq!(at(&picture, x, y), [127, 127, 227], "{x} {y}");
        }
        assert_eq!(at(&picture, 1, 2), [255; 3]);
        assert_eq!(at(&picture, 6, 2), [255; 3]);
    }

    #[test]
    fn textures_are_stretched_and_clipped() {
        let picture = painted(|mesh| {
            mesh.texture_id = TextureId::User(0);
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            mesh.add_rect_with_uv(Rect::from_min_max(pos2(0.0, 0.0), pos2(8.0, 20.0)), uv, Color32::WHITE);
        });
        assert_eq!((at(&picture, 0, 0), at(&picture, 15, 15)), ([255, 0, 0], [0, 255, 0]));
        let middle = at(&picture, 8, 8);
        assert!(middle[0] > 80 && middle[1] > 80, "{middle:?}");
    }
}
