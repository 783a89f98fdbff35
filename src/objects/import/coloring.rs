//! Colours on triangles. In: a mesh with materials, texture coordinates and colours of vertices. Out: its drawable surface
//! with a colour at every vertex, cut finer where a texture has detail that the triangles are too large to show.

use super::mesh::{Facet, MeshMaterial, RawGroup, RawMesh};
use super::texture::{Texture, linear_color};
use crate::contract::MeshData;
use crate::contract::srgb::byte_of;
use glam::{Vec2, Vec3};
use std::collections::HashMap;

/// How fine textured triangles are cut.
pub(super) struct Detail {
    /// Edges are not cut below this, metres.
    finest_m: f32,
    /// Nor below this share of the largest extent.
    finest_share: f32,
    /// Triangles that cutting may add: every picture draws all of them.
    added: usize,
}

/// For the pictures that policies see, of which there are many.
pub(super) const COARSE: Detail = Detail { finest_m: 0.003, finest_share: 1.0 / 30.0, added: 1_500 };
/// For pictures that people look at.
pub(super) const FINE: Detail = Detail { finest_m: 0.001, finest_share: 1.0 / 100.0, added: 20_000 };

/// Edges so many times longer are cut whatever they show: detail may lie beside them.
const COARSEST: f32 = 6.0;
/// An edge whose middle is off by more than this is cut, in sRGB bytes.
const TOLERANCE: f32 = 16.0;
/// Triangles that are lower than this share of the finest edge are not cut: halves of their edges would be as long.
const LOWEST: f32 = 0.05;
/// How far texture coordinates of a picture that is there once may lie beyond it.
const BORDER: f32 = 1e-3;

/// Where a triangle's colour is from.
#[derive(Clone, Copy)]
struct Ground<'a> {
    /// Linear light, times texture and vertices.
    color: Vec3,
    texture: Option<&'a Texture>,
}

#[derive(Clone, Copy)]
struct Corner {
    position: Vec3,
    normal: Vec3,
    uv: Vec2,
    /// Of the vertex, linear light.
    color: Vec3,
}

impl Corner {
    fn between(a: &Self, b: &Self) -> Self {
        Self {
            position: (a.position + b.position) * 0.5,
            normal: (a.normal + b.normal).normalize_or(a.normal),
            uv: (a.uv + b.uv) * 0.5,
            color: (a.color + b.color) * 0.5,
        }
    }
}

/// Whether parts of a mesh differ in colour.
pub(super) fn is_colored(mesh: &RawMesh) -> bool {
    let mut first = None;
    let mut differs = |color: Vec3| *first.get_or_insert(color) != color;
    for group in &mesh.groups {
        for number in 0..group.triangles.len() {
            let ground = ground(mesh, group, number, Vec3::ONE);
            if ground.texture.is_some() || differs(ground.color) {
                return true;
            }
        }
    }
    mesh.vertex_colors.windows(2).any(|pair| pair[0] != pair[1])
}

/// The colour of triangle `number` of a group; `own` where no material is given.
fn ground<'a>(mesh: &'a RawMesh, group: &RawGroup, number: usize, own: Vec3) -> Ground<'a> {
    let material = group.material_of.get(number).copied().flatten();
    let Some(MeshMaterial { color, texture }) = material.and_then(|material| mesh.materials.get(usize::from(material)))
    else {
        return Ground { color: if mesh.vertex_colors.is_empty() { own } else { Vec3::ONE }, texture: None };
    };
    match texture {
        None => Ground { color: *color, texture: None },
        Some(texture) if group.uvs.get(number).is_some_and(|uvs| uvs.iter().all(|uv| uv.is_finite())) => {
            Ground { color: *color, texture: Some(texture) }
        }
        Some(texture) => Ground { color: *color * linear_color(texture.mean), texture: None },
    }
}

/// The surface with colours; `own` (linear light) where the mesh gives none.
pub(super) fn colored_surface(mesh: &RawMesh, own: Vec3, detail: &Detail) -> MeshData {
    let facets = mesh.facets();
    let (low, high) = facets
        .iter()
        .flat_map(|facet| facet.positions)
        .fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), point| (low.min(point), high.max(point)));
    let extent = if facets.is_empty() { 0.0 } else { (high - low).max_element() };
    let mut finest = detail.finest_m.max(extent * detail.finest_share);
    loop {
        let most = facets.len() + detail.added;
        let mut cutter = Cutter { finest, most, level: 0.0, repeated: false, surface: Builder::default() };
        if facets.iter().all(|facet| cutter.add(mesh, facet, own)) {
            return cutter.surface.mesh;
        }
        finest *= 1.3;
    }
}

struct Cutter {
    finest: f32,
    /// Triangles at most.
    most: usize,
    /// Of detail, for the triangle that is cut.
    level: f32,
    /// The triangle reaches over the border of its picture.
    repeated: bool,
    surface: Builder,
}

impl Cutter {
    /// Whether there was room for it.
    fn add(&mut self, mesh: &RawMesh, facet: &Facet, own: Vec3) -> bool {
        let group = &mesh.groups[facet.group];
        let ground = ground(mesh, group, facet.triangle, own);
        let uvs = group.uvs.get(facet.triangle).copied().unwrap_or_default();
        let vertices = group.triangles[facet.triangle];
        let corner = |i: usize| Corner {
            position: facet.positions[i],
            normal: facet.normals[i],
            uv: uvs[i],
            color: mesh.vertex_colors.get(vertices[i] as usize).copied().unwrap_or(Vec3::ONE),
        };
        let corners = [0, 1, 2].map(corner);
        if let Some(texture) = ground.texture {
            let edges = [0, 1, 2]
                .map(|i| (corners[i].position, corners[i].uv, corners[(i + 1) % 3].position, corners[(i + 1) % 3].uv));
            let longest = edges.iter().map(|(a, _, b, _)| a.distance(*b)).fold(0.0, f32::max);
            let texels = edges.iter().map(|(_, a, _, b)| ((*a - *b) * texture.size()).length()).fold(0.0, f32::max);
            // Half of the texels between two vertices once it is cut: a blend of all of them would blur twice.
            let spacing = 0.5 * texels * (self.finest / longest.max(1e-9)).min(1.0);
            self.level = spacing.max(1.0).log2();
            let inside = -BORDER..=1.0 + BORDER;
            self.repeated = !uvs.iter().all(|uv| inside.contains(&uv.x) && inside.contains(&uv.y));
        }
        self.cut(&ground, corners)
    }

    /// Edges are judged by themselves, so that both triangles at an edge cut it in the same place.
    fn cut(&mut self, ground: &Ground<'_>, corners: [Corner; 3]) -> bool {
        if self.surface.mesh.indices.len() / 3 >= self.most {
            return false;
        }
        let [a, b, c] = corners;
        if self.is_low(&corners) {
            return self.put(ground, corners);
        }
        let long = [self.is_coarse(ground, &a, &b), self.is_coarse(ground, &b, &c), self.is_coarse(ground, &c, &a)];
        let (ab, bc, ca) = (Corner::between(&a, &b), Corner::between(&b, &c), Corner::between(&c, &a));
        let pieces: &[[Corner; 3]] = match long {
            [false, false, false] => return self.put(ground, corners),
            [true, true, true] => &[[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]],
            [true, false, false] => &[[a, ab, c], [ab, b, c]],
            [false, true, false] => &[[a, b, bc], [a, bc, c]],
            [false, false, true] => &[[a, b, ca], [ca, b, c]],
            [true, true, false] => &[[ab, b, bc], [a, ab, bc], [a, bc, c]],
            [false, true, true] => &[[ca, bc, c], [a, b, bc], [a, bc, ca]],
            [true, false, true] => &[[a, ab, ca], [ab, b, c], [ab, c, ca]],
        };
        pieces.iter().all(|piece| self.cut(ground, *piece))
    }

    fn put(&mut self, ground: &Ground<'_>, corners: [Corner; 3]) -> bool {
        self.surface.push(corners.map(|corner| (corner.position, corner.normal, self.color(ground, &corner))));
        true
    }

    /// Whether it is a sliver: cutting one of its edges leaves pieces as long as it.
    fn is_low(&self, corners: &[Corner; 3]) -> bool {
        let [a, b, c] = corners.map(|corner| corner.position);
        let longest = a.distance(b).max(b.distance(c)).max(c.distance(a));
        (b - a).cross(c - a).length() < LOWEST * self.finest * longest
    }

    fn color(&self, ground: &Ground<'_>, corner: &Corner) -> Vec3 {
        let texel = ground.texture.map_or(Vec3::ONE, |texture| texture.sample(corner.uv, self.level, self.repeated));
        ground.color * texel * corner.color
    }

    /// Whether what is drawn along an edge, the blend of its ends, is not what the texture has there.
    fn is_coarse(&self, ground: &Ground<'_>, a: &Corner, b: &Corner) -> bool {
        let length = a.position.distance(b.position);
        if ground.texture.is_none() || length <= self.finest {
            return false;
        }
        if length > COARSEST * self.finest {
            return true;
        }
        let middle = Corner::between(a, b);
        let (at_a, at_b) = (self.color(ground, a), self.color(ground, b));
        let off = |corner: &Corner, share: f32| difference(self.color(ground, corner), at_a.lerp(at_b, share));
        off(&middle, 0.5) > TOLERANCE
            || off(&Corner::between(a, &middle), 0.25) > TOLERANCE
            || off(&Corner::between(&middle, b), 0.75) > TOLERANCE
    }
}

/// The largest difference of two linear colours in sRGB bytes, by the square root in place of the exact curve.
fn difference(a: Vec3, b: Vec3) -> f32 {
    let encoded = |color: Vec3| color.max(Vec3::ZERO).powf(0.5);
    255.0 * (encoded(a) - encoded(b)).abs().max_element()
}

/// Bits of position and normal, and the colour.
type VertexKey = ([u32; 3], [u32; 3], [u8; 3]);

/// Triangles over shared vertices.
#[derive(Default)]
struct Builder {
    mesh: MeshData,
    number: HashMap<VertexKey, u32>,
}

impl Builder {
    fn push(&mut self, corners: [(Vec3, Vec3, Vec3); 3]) {
        for (position, normal, color) in corners {
            let color = color.to_array().map(byte_of);
            let bits = |vector: Vec3| (vector + Vec3::ZERO).to_array().map(f32::to_bits);
            let mesh = &mut self.mesh;
            let index = *self.number.entry((bits(position), bits(normal), color)).or_insert_with(|| {
                mesh.positions.push(position);
                mesh.normals.push(normal);
                mesh.colors.push(color);
                mesh.positions.len() as u32 - 1
            });
            mesh.indices.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::import::texture::Texture;
    use std::sync::Arc;

    fn texture(of: impl Fn(u32, u32) -> [u8; 3]) -> Arc<Texture> {
        let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb(of(x, y)));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes it");
        Arc::new(Texture::decoded(bytes.get_ref()).expect("a picture"))
    }

    /// A square of 60 mm in the plane, the texture once over it, u along x, v down along y.
    fn square(texture: Option<Arc<Texture>>) -> RawMesh {
        let positions = [(0.0, 0.0), (0.06, 0.0), (0.06, 0.06), (0.0, 0.06)].map(|(x, y)| Vec3::new(x, y, 0.0));
        let triangles = vec![[0, 1, 2], [0, 2, 3]];
        let uv = |index: u32| Vec2::new(positions[index as usize].x, 0.06 - positions[index as usize].y) / 0.06;
        RawMesh {
            positions: positions.to_vec(),
            groups: vec![RawGroup {
                uvs: triangles.iter().map(|triangle: &[u32; 3]| triangle.map(uv)).collect(),
                material_of: vec![Some(0); 2],
                triangles,
                ..RawGroup::default()
            }],
            materials: vec![MeshMaterial { color: Vec3::ONE, texture }],
            ..RawMesh::default()
        }
    }

    #[test]
    fn a_texture_is_drawn_where_it_is() {
        // Dark left of the middle, red to the right; a blue band at the top.
        let of = |x: u32, y: u32| if y < 16 { [0, 0, 255] } else { [[20; 3], [255, 0, 0]][usize::from(x >= 32)] };
        let mesh = square(Some(texture(of)));
        assert!(is_colored(&mesh));
        let drawn = colored_surface(&mesh, Vec3::ONE, &FINE);
        assert_eq!((drawn.colors.len(), drawn.normals.len()), (drawn.positions.len(), drawn.positions.len()));
        let mut seen = [0; 3];
        for (position, color) in drawn.positions.iter().zip(&drawn.colors) {
            // v is downwards: the upper quarter of the picture is at the largest y of what repeats below 0.
            let (column, row) = (position.x / 0.06, 1.0 - position.y / 0.06);
            // The picture repeats: what lies at its border shows both sides.
            let near = |value: f32, edge: f32| (value - edge).abs() < 0.06;
            if [0.0, 0.5, 1.0].iter().any(|&edge| near(column, edge))
                || [0.0, 0.25, 1.0].iter().any(|&edge| near(row, edge))
            {
                continue;
            }
            let expected = if row < 0.25 { 0 } else { 1 + usize::from(column > 0.5) };
            assert_eq!(*color, [[0, 0, 255], [20; 3], [255, 0, 0]][expected], "{position}");
            seen[expected] += 1;
        }
        assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
        // Fine where the colours meet, coarse where there is one.
        let edges = drawn.indices.chunks_exact(3).map(|t| {
            let at = |i: usize| drawn.positions[t[i] as usize];
            (at(0).distance(at(1)), (at(0).x + at(1).x) / 0.12)
        });
        let (near, far): (Vec<_>, Vec<_>) = edges.partition(|(_, x)| (x - 0.5).abs() < 0.05);
        let mean = |edges: &[(f32, f32)]| edges.iter().map(|edge| edge.0).sum::<f32>() / edges.len() as f32;
        assert!(mean(&near) < 0.7 * mean(&far), "{} {}", mean(&near), mean(&far));
    }

    #[test]
    fn cutting_leaves_no_gaps_and_no_overlap() {
        let mesh = square(Some(texture(|x, y| [(x * 37 % 256) as u8, (y * 91 % 256) as u8, ((x * y) % 256) as u8])));
        let drawn = colored_surface(&mesh, Vec3::ONE, &FINE);
        let count = drawn.indices.len() / 3;
        assert!(count > 500 && count <= FINE.added + 2, "{count}");
        let coarse = colored_surface(&mesh, Vec3::ONE, &COARSE).indices.len() / 3;
        assert!(coarse > 50 && coarse <= COARSE.added + 2, "{coarse}");
        let mut area = 0.0;
        // Every inner edge belongs to two triangles, in opposite directions.
        let mut edges: HashMap<[[u32; 2]; 2], i32> = HashMap::new();
        for triangle in drawn.indices.chunks_exact(3) {
            let at = [0, 1, 2].map(|i| drawn.positions[triangle[i] as usize]);
            let normal = (at[1] - at[0]).cross(at[2] - at[0]);
            assert!(normal.z > 0.0);
            area += normal.z / 2.0;
            for i in 0..3 {
                let key = [at[i], at[(i + 1) % 3]].map(|point| [point.x.to_bits(), point.y.to_bits()]);
                let (key, way) = if key[0] < key[1] { (key, 1) } else { ([key[1], key[0]], -1) };
                *edges.entry(key).or_default() += way;
            }
        }
        assert!((area - 0.0036).abs() < 1e-6, "{area}");
        let on_border = |[a, b]: &[[u32; 2]; 2]| {
            (0..2).any(|axis| a[axis] == b[axis] && [0.0_f32, 0.06].contains(&f32::from_bits(a[axis])))
        };
        // Slivers are left as they are; their neighbours may be cut.
        let open = edges.iter().filter(|(edge, ways)| **ways != 0 && !on_border(edge)).count();
        assert!(open < edges.len() / 50, "{open} of {}", edges.len());
    }

    #[test]
    fn a_hard_border_beside_a_plain_edge_ends() {
        // One column of texels differs, at the edge of the square: edges along it are plain, and all others near it are not.
        for side in [0, 63] {
            let mesh = square(Some(texture(|x, _| if x == side { [255; 3] } else { [0; 3] })));
            assert!(colored_surface(&mesh, Vec3::ONE, &FINE).indices.len() / 3 <= FINE.added + 2);
        }
    }

    #[test]
    fn plain_and_vertex_colours_cut_nothing() {
        let mut mesh = square(None);
        assert!(!is_colored(&mesh));
        mesh.materials.push(MeshMaterial { color: Vec3::X, texture: None });
        mesh.groups[0].material_of[1] = Some(1);
        assert!(is_colored(&mesh));
        let drawn = colored_surface(&mesh, Vec3::ONE, &FINE);
        // The border between two materials is sharp: its vertices are there twice.
        assert_eq!(drawn.colors, [[255; 3], [255; 3], [255; 3], [255, 0, 0], [255, 0, 0], [255, 0, 0]]);
        // Without materials, the vertices' colours alone, and what has none is as the caller says.
        mesh.materials.clear();
        assert_eq!(colored_surface(&mesh, Vec3::Y, &FINE).colors, [[0, 255, 0]; 4]);
        mesh.vertex_colors = vec![Vec3::X, Vec3::Y, Vec3::Z, Vec3::ZERO];
        assert!(is_colored(&mesh));
        assert_eq!(colored_surface(&mesh, Vec3::Y, &FINE).colors, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0; 3]]);
    }

    #[test]
    fn a_texture_without_coordinates_is_its_mean() {
        let mut mesh = square(Some(texture(|x, _| if x % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] })));
        mesh.groups[0].uvs.clear();
        assert!(!is_colored(&mesh));
        assert_eq!(colored_surface(&mesh, Vec3::ONE, &FINE).colors, [[188, 0, 188]; 4]);
    }
}
