//! egui's triangles on the CPU: for pictures without a display, and for windows on machines without a GPU, where a
//! graphics driver that runs on the CPU would take several times as long.
//!
//! In: clipped primitives and texture changes of a pass. Out: RGBA pixels. Colours are multiplied and blended in gamma
//! space with premultiplied alpha, as egui expects. Tiles of the picture in which no triangle has changed are not painted
//! again.

use super::raster::{Target, Texture};
use bevy_egui::egui::epaint::textures::TexturesDelta;
use bevy_egui::egui::epaint::{ClippedPrimitive, ImageDelta, Primitive, Vertex};
use bevy_egui::egui::{ImageData, Mesh, TextureFilter, TextureId};
use rayon::prelude::*;
use std::collections::BTreeMap;

const TILE_WIDTH: usize = 128;
const TILE_HEIGHT: usize = 40;

/// Textures by id, and the picture that was painted last.
#[derive(Default)]
pub struct Painter {
    textures: BTreeMap<u128, Texture>,
    changes: u64,
    canvas: Vec<u8>,
    size: (usize, usize),
    /// What each tile showed when it was painted.
    tiles: Vec<u64>,
}

/// A primitive of this pass: where it may be (left, top, right, bottom; pixels), what it shows.
struct Item<'a> {
    mesh: &'a Mesh,
    texture: &'a Texture,
    bounds: [usize; 4],
    triangles: Vec<Triangle>,
}

/// Egui gathers everything with one texture and clip in a mesh: a tile asks each triangle.
#[derive(Clone, Copy)]
struct Triangle {
    /// Within the item's.
    bounds: [usize; 4],
    corners: [u32; 3],
    hash: u64,
}

fn touch([l, t, r, b]: [usize; 4], [left, top, right, bottom]: [usize; 4]) -> bool {
    l < right && r > left && t < bottom && b > top
}

fn within([l, t, r, b]: [usize; 4], [left, top, right, bottom]: [usize; 4]) -> [usize; 4] {
    [l.max(left), t.max(top), r.min(right), b.min(bottom)]
}

fn key(id: TextureId) -> u128 {
    match id {
        TextureId::Managed(id) => u128::from(id),
        TextureId::User(id) => (1 << 64) | u128::from(id),
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95)
}

fn hash_vertex(v: &Vertex) -> u64 {
    let pair = |a: f32, b: f32| u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32;
    let hash = mix(pair(v.pos.x, v.pos.y), pair(v.uv.x, v.uv.y));
    mix(hash, u64::from(u32::from_le_bytes(v.color.to_array())))
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
        self.changes += 1;
        let ImageData::Color(image) = &change.image;
        let [width, height] = image.size;
        let pixels: Vec<[u8; 4]> = image.pixels.iter().map(|colour| colour.to_array()).collect();
        let smooth = change.options.magnification == TextureFilter::Linear;
        match (change.pos, self.textures.get_mut(&key(id))) {
            (Some([left, top]), Some(texture)) => {
                texture.version = self.changes;
                for (row, line) in pixels.chunks_exact(width.max(1)).enumerate() {
                    let start = (top + row) * texture.width + left;
                    if let Some(place) = texture.pixels.get_mut(start..start + width) {
                        place.copy_from_slice(line);
                    }
                }
            }
            _ => {
                let texture = Texture { width, height, pixels, smooth, opaque: false, version: self.changes };
                self.textures.insert(key(id), texture);
            }
        }
    }

    /// Sets one of the host's own textures from opaque RGBA pixels.
    pub fn set_user(&mut self, id: u64, (width, height): (usize, usize), rgba: &[u8]) {
        self.changes += 1;
        let version = self.changes;
        let texture = self.textures.entry(key(TextureId::User(id))).or_default();
        texture.pixels.clear();
        texture.pixels.extend_from_slice(bytemuck::cast_slice(&rgba[..width * height * 4]));
        (texture.width, texture.height) = (width, height);
        (texture.smooth, texture.opaque, texture.version) = (true, true, version);
    }

    /// Paints a pass on white. `[height, width, 4]`
    pub fn paint(&mut self, primitives: &[ClippedPrimitive], size: (usize, usize), scale: f32) -> &[u8] {
        let (width, height) = size;
        let columns = width.div_ceil(TILE_WIDTH);
        if self.size != size {
            self.size = size;
            self.canvas = vec![255; width * height * 4];
            self.tiles = vec![0; columns * height.div_ceil(TILE_HEIGHT)];
        }
        let (mut canvas, mut tiles) = (std::mem::take(&mut self.canvas), std::mem::take(&mut self.tiles));
        let items: Vec<Item<'_>> =
            primitives.iter().filter_map(|primitive| self.item(primitive, size, scale)).collect();
        let bands = canvas.par_chunks_mut((width * 4 * TILE_HEIGHT).max(1));
        bands.zip(tiles.par_chunks_mut(columns.max(1))).enumerate().for_each(|(band, (pixels, tiles))| {
            let top = band * TILE_HEIGHT;
            let bottom = top + pixels.len() / (width * 4);
            let here = |of: [usize; 4]| touch(of, [0, top, width, bottom]);
            let shown: Vec<(&Item<'_>, &Triangle)> = items
                .iter()
                .filter(|item| here(item.bounds))
                .flat_map(|item| item.triangles.iter().map(move |triangle| (item, triangle)))
                .filter(|(_, triangle)| here(triangle.bounds))
                .collect();
            for (column, known) in tiles.iter_mut().enumerate() {
                let left = column * TILE_WIDTH;
                let right = (left + TILE_WIDTH).min(width);
                let tile = [left, top, right, bottom];
                let shown = || shown.iter().filter(|(_, triangle)| touch(triangle.bounds, tile));
                // Never the value that a tile has before it is painted.
                let hash = shown().fold(1, |hash, (_, triangle)| mix(hash, triangle.hash)) | 1;
                if *known == hash {
                    continue;
                }
                *known = hash;
                let mut target = Target { pixels: &mut *pixels, width, top };
                target.clear(tile);
                for (item, triangle) in shown() {
                    // Looked up when the item was made.
                    let corners = triangle.corners.map(|i| &item.mesh.vertices[i as usize]);
                    target.triangle(corners, item.texture, within(item.bounds, tile), scale);
                }
            }
        });
        (self.canvas, self.tiles) = (canvas, tiles);
        &self.canvas
    }

    fn item<'a>(
        &'a self,
        primitive: &'a ClippedPrimitive,
        (width, height): (usize, usize),
        scale: f32,
    ) -> Option<Item<'a>> {
        let Primitive::Mesh(mesh) = &primitive.primitive else { return None };
        let texture = self.textures.get(&key(mesh.texture_id))?;
        let clip = primitive.clip_rect;
        let edge = |v: f32, most: usize| ((v * scale).round().max(0.0) as usize).min(most);
        let bounds =
            [edge(clip.min.x, width), edge(clip.min.y, height), edge(clip.max.x, width), edge(clip.max.y, height)];
        // What else decides a pixel: the texture, and where it is cut off.
        let common = bounds.iter().fold(texture.version, |hash, &v| mix(hash, v as u64));
        let triangles = mesh.indices.chunks_exact(3).filter_map(|corners| {
            let corners = [corners[0], corners[1], corners[2]];
            let [a, b, c] = corners.map(|i| mesh.vertices.get(i as usize));
            let of = [a?, b?, c?];
            let least = |axis: fn(&Vertex) -> f32| of.iter().map(|v| axis(v)).fold(f32::INFINITY, f32::min) * scale;
            let most = |axis: fn(&Vertex) -> f32| of.iter().map(|v| axis(v)).fold(f32::NEG_INFINITY, f32::max) * scale;
            // Pixels whose centres may be inside, and a little more.
            let hull = [
                (least(|v| v.pos.x) - 1.0).max(0.0) as usize,
                (least(|v| v.pos.y) - 1.0).max(0.0) as usize,
                (most(|v| v.pos.x) + 1.0).max(0.0) as usize + 1,
                (most(|v| v.pos.y) + 1.0).max(0.0) as usize + 1,
            ];
            let hash = of.iter().fold(common, |hash, v| mix(hash, hash_vertex(v)));
            touch(hull, bounds).then(|| Triangle { bounds: within(hull, bounds), corners, hash })
        });
        let triangles: Vec<Triangle> = triangles.collect();
        (!triangles.is_empty()).then_some(Item { mesh, texture, bounds, triangles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bevy_egui::egui::{Color32, Pos2, Rect, pos2, vec2};

    fn painter() -> Painter {
        let mut painter = Painter::default();
        painter.set_user(0, (2, 1), &[255, 0, 0, 255, 0, 255, 0, 255]);
        let white = Texture { width: 1, height: 1, pixels: vec![[255; 4]], smooth: true, opaque: false, version: 1 };
        painter.textures.insert(key(TextureId::default()), white);
        painter
    }

    fn pass(draw: impl FnOnce(&mut Mesh)) -> [ClippedPrimitive; 1] {
        let mut mesh = Mesh::default();
        draw(&mut mesh);
        let clip_rect = Rect::from_min_size(Pos2::ZERO, vec2(8.0, 8.0));
        [ClippedPrimitive { clip_rect, primitive: Primitive::Mesh(mesh) }]
    }

    fn painted(draw: impl FnOnce(&mut Mesh)) -> Vec<u8> {
        painter().paint(&pass(draw), (16, 16), 2.0).to_vec()
    }

    fn at(picture: &[u8], x: usize, y: usize) -> [u8; 3] {
        std::array::from_fn(|i| picture[(y * 16 + x) * 4 + i])
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

    #[test]
    fn what_changes_is_painted_again_and_leaves_no_trace() {
        let square = |x: f32| {
            pass(|mesh| {
                mesh.add_colored_rect(Rect::from_min_size(pos2(x, 1.0), vec2(2.0, 2.0)), Color32::BLACK);
            })
        };
        let mut painter = painter();
        painter.paint(&square(1.0), (16, 16), 2.0);
        let moved = painter.paint(&square(4.0), (16, 16), 2.0).to_vec();
        assert_eq!((at(&moved, 3, 3), at(&moved, 9, 3)), ([255; 3], [0; 3]));
        // A texture that changes shows, though no triangle does.
        let textured = pass(|mesh| {
            mesh.texture_id = TextureId::User(0);
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            mesh.add_rect_with_uv(Rect::from_min_max(pos2(0.0, 0.0), pos2(8.0, 8.0)), uv, Color32::WHITE);
        });
        painter.paint(&textured, (16, 16), 2.0);
        painter.set_user(0, (1, 1), &[0, 0, 255, 255]);
        assert_eq!(at(painter.paint(&textured, (16, 16), 2.0), 2, 2), [0, 0, 255]);
    }

    #[test]
    fn a_stretched_picture_is_interpolated() {
        // A ramp of 8 texels, 20 apart, over 16 pixels: pixel i shows texel coordinate (i + 0.5) / 2.
        let rgba: Vec<u8> = (0..64).flat_map(|i| [20 * (i % 8) as u8, 10, 200, 255]).collect();
        let mut painter = painter();
        painter.set_user(1, (8, 8), &rgba);
        let whole = pass(|mesh| {
            mesh.texture_id = TextureId::User(1);
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            mesh.add_rect_with_uv(Rect::from_min_max(pos2(0.0, 0.0), pos2(8.0, 8.0)), uv, Color32::WHITE);
        });
        let picture = painter.paint(&whole, (16, 16), 2.0).to_vec();
        for x in 0..16 {
            let expected = (20.0 * ((x as f32 + 0.5) / 2.0 - 0.5)).clamp(0.0, 140.0);
            let [red, green, blue] = at(&picture, x, 7);
            assert!((f32::from(red) - expected).abs() <= 1.0, "{x}: {red} {expected}");
            assert_eq!((green, blue), (10, 200));
        }
    }

    #[test]
    fn a_picture_at_its_own_size_is_copied_exactly() {
        let rgba: Vec<u8> = (0..16 * 16).flat_map(|i| [i as u8, 255 - i as u8, 7, 255]).collect();
        let mut painter = painter();
        painter.set_user(1, (16, 16), &rgba);
        let whole = pass(|mesh| {
            mesh.texture_id = TextureId::User(1);
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            mesh.add_rect_with_uv(Rect::from_min_max(pos2(0.0, 0.0), pos2(8.0, 8.0)), uv, Color32::WHITE);
        });
        assert_eq!(painter.paint(&whole, (16, 16), 2.0), rgba);
    }
}
