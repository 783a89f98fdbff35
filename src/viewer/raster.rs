//! One triangle on the CPU, row by row: solid, textured, blended. The half of a pixel decides: rows and columns whose
//! centres lie on a left or upper edge belong to the triangle, so that neighbours never share a pixel.

use bevy_egui::egui::epaint::Vertex;

/// Premultiplied RGBA in gamma space.
#[derive(Default)]
pub struct Texture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 4]>,
    /// Interpolated between texels.
    pub smooth: bool,
    /// Every texel's alpha is 255.
    pub opaque: bool,
    /// Changes with the pixels.
    pub version: u64,
}

impl Texture {
    fn texel(&self, x: i32, y: i32) -> [f32; 4] {
        let clamp = |v: i32, n: usize| (v.max(0) as usize).min(n.saturating_sub(1));
        self.pixels[clamp(y, self.height) * self.width + clamp(x, self.width)].map(f32::from)
    }

    /// At texel coordinates; values in [0, 255].
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
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

/// Some whole lines of a picture, from `top` on.
pub struct Target<'a> {
    pub pixels: &'a mut [u8],
    pub width: usize,
    pub top: usize,
}

#[derive(Clone, Copy)]
struct Corner {
    x: f32,
    y: f32,
    /// Texel coordinates, then the four channels.
    values: [f32; 6],
}

/// Values that change linearly over the picture.
struct Plane {
    origin: [f32; 2],
    base: [f32; 6],
    per_x: [f32; 6],
    per_y: [f32; 6],
}

impl Plane {
    fn new([a, b, c]: [Corner; 3]) -> Option<Self> {
        let (x1, y1, x2, y2) = (b.x - a.x, b.y - a.y, c.x - a.x, c.y - a.y);
        let area = x1 * y2 - x2 * y1;
        if area.is_nan() || area.abs() < 1e-6 {
            return None;
        }
        let slope = |i: usize| {
            let (v1, v2) = (b.values[i] - a.values[i], c.values[i] - a.values[i]);
            ((v1 * y2 - v2 * y1) / area, (v2 * x1 - v1 * x2) / area)
        };
        let slopes: [(f32, f32); 6] = std::array::from_fn(slope);
        Some(Self { origin: [a.x, a.y], base: a.values, per_x: slopes.map(|(x, _)| x), per_y: slopes.map(|(_, y)| y) })
    }

    fn at(&self, x: f32, y: f32) -> [f32; 6] {
        let (dx, dy) = (x - self.origin[0], y - self.origin[1]);
        std::array::from_fn(|i| self.base[i] + self.per_x[i] * dx + self.per_y[i] * dy)
    }
}

/// The first pixel whose centre is not left of (above) `v`.
fn first(v: f32) -> i64 {
    (v - 0.5).ceil() as i64
}

impl Target<'_> {
    /// Paints (left, top, right, bottom) white.
    pub fn clear(&mut self, [left, top, right, bottom]: [usize; 4]) {
        for y in top..bottom {
            self.row(y, left, right).fill(255);
        }
    }

    fn row(&mut self, y: usize, left: usize, right: usize) -> &mut [u8] {
        let line = (y - self.top) * self.width;
        &mut self.pixels[(line + left) * 4..(line + right) * 4]
    }

    /// Inside the clip: left, top, right, bottom.
    pub fn triangle(
        &mut self,
        vertices: [&Vertex; 3],
        texture: &Texture,
        [left, top, right, bottom]: [usize; 4],
        scale: f32,
    ) {
        let (u, v) = (texture.width as f32, texture.height as f32);
        let mut corners = vertices.map(|vertex| {
            let [r, g, b, a] = vertex.color.to_array().map(f32::from);
            Corner {
                x: vertex.pos.x * scale,
                y: vertex.pos.y * scale,
                values: [vertex.uv.x * u, vertex.uv.y * v, r, g, b, a],
            }
        });
        if !corners.iter().all(|corner| corner.x.is_finite() && corner.y.is_finite()) {
            return;
        }
        corners.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
        let [a, b, c] = corners;
        let rows = (first(a.y).max(top as i64), first(c.y).min(bottom as i64));
        if rows.0 >= rows.1 {
            return;
        }
        let Some(plane) = Plane::new(corners) else { return };
        let varies = |range: std::ops::Range<usize>| {
            range.into_iter().any(|i| a.values[i] != b.values[i] || b.values[i] != c.values[i])
        };
        let (textured, shaded) = (varies(0..2), varies(2..6));
        let tint = [a.values[2], a.values[3], a.values[4], a.values[5]];
        let solid = (!textured && !shaded).then(|| multiply(texture.sample(a.values[0], a.values[1]), tint));
        let copied = textured && !shaded && texture.opaque && tint == [255.0; 4];
        // Always from the upper end to the lower, so that both triangles at an edge find the same places.
        let cross = |p: Corner, q: Corner, y: f32| p.x + (y - p.y) * (q.x - p.x) / (q.y - p.y);
        for y in rows.0..rows.1 {
            let centre = y as f32 + 0.5;
            let long = cross(a, c, centre);
            let short = if centre < b.y { cross(a, b, centre) } else { cross(b, c, centre) };
            let (from, to) = (first(long.min(short)).max(left as i64), first(long.max(short)).min(right as i64));
            if from >= to {
                continue;
            }
            let row = self.row(y as usize, from as usize, to as usize);
            match solid {
                Some(colour) => fill(row, colour),
                None => {
                    let start = plane.at(from as f32 + 0.5, centre);
                    let done =
                        copied && (copy(row, texture, start, plane.per_x) || stretch(row, texture, start, plane.per_x));
                    if !done {
                        shade(row, texture, start, plane.per_x);
                    }
                }
            }
        }
    }
}

fn fill(row: &mut [u8], colour: [f32; 4]) {
    let bytes = colour.map(|c| (c + 0.5) as u8);
    if bytes[3] == 255 {
        row.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&bytes));
    } else if bytes[3] > 0 || bytes != [0; 4] {
        row.chunks_exact_mut(4).for_each(|pixel| blend(pixel, colour));
    }
}

/// A row of texels one to one. False when they do not lie on the pixels.
fn copy(row: &mut [u8], texture: &Texture, start: [f32; 6], step: [f32; 6]) -> bool {
    let aligned = (step[0] - 1.0).abs() < 1e-4 && step[1].abs() < 1e-4;
    let phase = |v: f32| (v - 0.5 - (v - 0.5).round()).abs() < 0.02;
    if !(aligned && phase(start[0]) && phase(start[1])) {
        return false;
    }
    let (x, y) = ((start[0] - 0.5).round(), (start[1] - 0.5).round());
    let count = row.len() / 4;
    let inside = x >= 0.0 && y >= 0.0 && (y as usize) < texture.height && x as usize + count <= texture.width;
    if inside {
        let from = y as usize * texture.width + x as usize;
        row.copy_from_slice(texture.pixels[from..from + count].as_flattened());
    }
    inside
}

/// A row between two rows of texels. False when the row is slanted in the texture, or the texels are not blended.
fn stretch(row: &mut [u8], texture: &Texture, start: [f32; 6], step: [f32; 6]) -> bool {
    let count = row.len() / 4;
    let level = (step[1] * count as f32).abs() < 0.02;
    let (width, height) = (texture.width as i64, texture.height as i64);
    if !(level && texture.smooth && step[0] > 0.0 && width > 0 && height > 0) {
        return false;
    }
    let above = (start[1] - 0.5).floor();
    let down = ((start[1] - 0.5 - above) * 256.0).round() as u32;
    let line = |y: i64| {
        let first = y.clamp(0, height - 1) as usize * texture.width;
        &texture.pixels[first..first + texture.width]
    };
    let (upper, lower) = (line(above as i64), line(above as i64 + 1));
    // Sixteen bits behind the point: a picture of 4,096 pixels is off by a sixteenth of a texel at its end.
    const ONE: f32 = 65_536.0;
    let (mut x, step) = (((start[0] - 0.5) * ONE) as i64, (step[0] * ONE).round() as i64);
    for pixel in row.chunks_exact_mut(4) {
        let left = x >> 16;
        let across = (x >> 8) as u32 & 255;
        let (a, b) = (left.clamp(0, width - 1) as usize, (left + 1).clamp(0, width - 1) as usize);
        let texel = |line: &[[u8; 4]], i: usize| u32::from_le_bytes(line[i]);
        let over = mixed(texel(upper, a), texel(upper, b), across);
        let under = mixed(texel(lower, a), texel(lower, b), across);
        pixel.copy_from_slice(&mixed(over, under, down).to_le_bytes());
        x += step;
    }
    true
}

/// `share` of 256 of the way from one colour to another, two channels at a time.
fn mixed(from: u32, to: u32, share: u32) -> u32 {
    const EVEN: u32 = 0x00FF_00FF;
    const HALF: u32 = 0x0080_0080;
    let even = ((from & EVEN) * (256 - share) + (to & EVEN) * share + HALF) >> 8 & EVEN;
    let odd = ((from >> 8 & EVEN) * (256 - share) + (to >> 8 & EVEN) * share + HALF) & !EVEN;
    even | odd
}

fn shade(row: &mut [u8], texture: &Texture, start: [f32; 6], step: [f32; 6]) {
    for (i, pixel) in row.chunks_exact_mut(4).enumerate() {
        let n = i as f32;
        let [u, v, r, g, b, a] = std::array::from_fn(|k| start[k] + step[k] * n);
        let texel = texture.sample(u, v);
        if texel[3] > 0.0 {
            blend(pixel, multiply(texel, [r, g, b, a]));
        }
    }
}

fn multiply(texel: [f32; 4], tint: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|i| texel[i] * tint[i] * (1.0 / 255.0))
}

fn blend(pixel: &mut [u8], colour: [f32; 4]) {
    let keep = 1.0 - colour[3] * (1.0 / 255.0);
    for (value, c) in pixel[..3].iter_mut().zip(colour) {
        *value = (c + f32::from(*value) * keep + 0.5).clamp(0.0, 255.0) as u8;
    }
}
