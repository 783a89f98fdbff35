//! Unit meshes for the primitive shapes, at two levels of detail, and the vertex format.

use crate::appearance::srgb_to_linear;
use crate::contract::MeshData;
use bytemuck::{Pod, Zeroable};
use glam::Vec3;

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Vertex {
    pub position: [f32; 3],
    pub normal: [f32; 3],
    /// Square roots of the linear colour, as bytes; white where a mesh has no colours of its own.
    pub color: [u8; 4],
}

const WHITE: [u8; 4] = [255; 4];

/// Triangles ready for the device.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    pub vertices: Vec<Vertex>,
    pub indices: Vec<u32>,
}

impl Mesh {
    fn push(&mut self, position: Vec3, normal: Vec3) -> u32 {
        self.vertices.push(Vertex { position: position.to_array(), normal: normal.to_array(), color: WHITE });
        (self.vertices.len() - 1) as u32
    }

    /// `[-0.5, 0.5]^3`, flat sides.
    pub fn unit_box() -> Self {
        let mut mesh = Self::default();
        for axis in 0..3 {
            for sign in [-1.0_f32, 1.0] {
                let normal = Vec3::AXES[axis] * sign;
                let (u, v) = (Vec3::AXES[(axis + 1) % 3], Vec3::AXES[(axis + 2) % 3] * sign);
                let corner = |a: f32, b: f32| (normal + u * a + v * b) * 0.5;
                let first = mesh.push(corner(-1.0, -1.0), normal);
                mesh.push(corner(1.0, -1.0), normal);
                mesh.push(corner(1.0, 1.0), normal);
                mesh.push(corner(-1.0, 1.0), normal);
                mesh.indices.extend([0, 1, 2, 0, 2, 3].map(|i| first + i));
            }
        }
        mesh
    }

    /// Radius 0.5, height 1 along z, smooth side, flat caps.
    pub fn unit_cylinder(segments: u32) -> Self {
        let mut mesh = Self::default();
        let rim = |i: u32| {
            let angle = std::f32::consts::TAU * i as f32 / segments as f32;
            Vec3::new(angle.cos(), angle.sin(), 0.0)
        };
        for i in 0..segments {
            let normal = rim(i);
            mesh.push(normal * 0.5 - Vec3::Z * 0.5, normal);
            mesh.push(normal * 0.5 + Vec3::Z * 0.5, normal);
        }
        for i in 0..segments {
            let (a, b) = (2 * i, 2 * ((i + 1) % segments));
            mesh.indices.extend([a, b, b + 1, a, b + 1, a + 1]);
        }
        for sign in [-1.0_f32, 1.0] {
            let first = mesh.vertices.len() as u32;
            for i in 0..segments {
                mesh.push(rim(i) * 0.5 + Vec3::Z * (0.5 * sign), Vec3::Z * sign);
            }
            for i in 1..segments - 1 {
                let (b, c) = if sign > 0.0 { (first + i, first + i + 1) } else { (first + i + 1, first + i) };
                mesh.indices.extend([first, b, c]);
            }
        }
        mesh
    }

    /// Radius 0.5.
    pub fn unit_sphere(segments: u32, rings: u32) -> Self {
        let mut mesh = Self::default();
        for ring in 0..=rings {
            let polar = std::f32::consts::PI * ring as f32 / rings as f32;
            for segment in 0..segments {
                let angle = std::f32::consts::TAU * segment as f32 / segments as f32;
                let normal = Vec3::new(polar.sin() * angle.cos(), polar.sin() * angle.sin(), polar.cos());
                mesh.push(normal * 0.5, normal);
            }
        }
        for ring in 0..rings {
            for segment in 0..segments {
                let next = (segment + 1) % segments;
                let (a, b) = (ring * segments + segment, ring * segments + next);
                let (c, d) = (a + segments, b + segments);
                if ring > 0 {
                    mesh.indices.extend([a, c, b]);
                }
                if ring < rings - 1 {
                    mesh.indices.extend([b, c, d]);
                }
            }
        }
        mesh
    }

    pub fn from_data(data: &MeshData) -> Self {
        let color = |i: usize| data.colors.get(i).map_or(WHITE, |&srgb| root_color(srgb));
        let vertices = data
            .positions
            .iter()
            .zip(&data.normals)
            .enumerate()
            .map(|(i, (p, n))| Vertex { position: p.to_array(), normal: n.to_array(), color: color(i) })
            .collect();
        Self { vertices, indices: data.indices.clone() }
    }
}

/// An sRGB colour as the vertex stage reads it.
fn root_color(srgb: [u8; 3]) -> [u8; 4] {
    let [r, g, b] = srgb_to_linear(srgb).to_array().map(|linear| (linear.sqrt() * 255.0).round() as u8);
    [r, g, b, 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed volume by the divergence theorem: positive only when every triangle faces outward.
    fn volume(mesh: &Mesh) -> f32 {
        let at = |i: u32| Vec3::from_array(mesh.vertices[i as usize].position);
        mesh.indices.chunks(3).map(|t| at(t[0]).dot(at(t[1]).cross(at(t[2]))) / 6.0).sum()
    }

    #[test]
    fn volumes_and_normals() {
        assert!((volume(&Mesh::unit_box()) - 1.0).abs() < 1e-5);
        // Regular prism with n sides in a circle of radius 1/2: n/8 sin(2 pi/n).
        let expected = 24.0 / 8.0 * (std::f32::consts::TAU / 24.0).sin();
        assert!((volume(&Mesh::unit_cylinder(24)) - expected).abs() < 1e-4);
        assert!((volume(&Mesh::unit_sphere(32, 24)) - std::f32::consts::FRAC_PI_6).abs() < 0.02);
        for mesh in [Mesh::unit_box(), Mesh::unit_cylinder(12), Mesh::unit_sphere(10, 7)] {
            for t in mesh.indices.chunks(3) {
                let at = |i: u32| Vec3::from_array(mesh.vertices[i as usize].position);
                let face = (at(t[1]) - at(t[0])).cross(at(t[2]) - at(t[0]));
                assert!(face.length() > 1e-6, "no empty triangle");
                for &i in t {
                    assert!(face.dot(Vec3::from_array(mesh.vertices[i as usize].normal)) > 0.0);
                }
            }
        }
    }
}
