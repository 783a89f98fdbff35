//! Surfaces and solids of the pieces: limbs with rounded ends, sectors of turned bodies.
//!
//! In: outlines, metres. Out: [`PieceDescription`]s whose drawn surfaces overlap at the cuts, so that no gap opens when the
//! pieces move.

use crate::contract::MeshData;
use crate::objects::assembly::PieceDescription;
use crate::objects::model::ConvexPart;
use crate::objects::surfaces::{CrossSection, loft};
use glam::{Vec2, Vec3};
use std::f32::consts::TAU;

/// How far sectors are drawn beyond their cuts, metres.
const OVERLAP_M: f32 = 0.0015;
/// Points around the collision shape of a limb, and around what is drawn of it.
const CORNERS: usize = 12;
const SEGMENTS: usize = 28;

/// A body along x as cross-sections: half width along y, half height along z, height of the middle, and roundness (see
/// [`CrossSection`]) at a place along x.
pub(super) struct Limb<F: Fn(f32) -> [f32; 3]> {
    /// (half width, half height, middle) at x.
    pub outline: F,
    pub roundness: f32,
    /// Whether the ends are balls (true) or round in the plane of x and z alone.
    pub is_round: bool,
}

impl<F: Fn(f32) -> [f32; 3]> Limb<F> {
    fn section(&self, x: f32, shape_at: f32, scale: f32) -> CrossSection {
        let [width, height, middle] = (self.outline)(shape_at);
        CrossSection {
            centre: Vec3::new(x, 0.0, middle),
            right: Vec3::Y * (width * if self.is_round { scale } else { 1.0 }),
            up: Vec3::Z * (height * scale),
            roundness: self.roundness,
        }
    }

    /// The piece between two places. It ends in a knuckle of the limb's own thickness at each, which lies inside the next
    /// piece and fills the gap when they bend; at free ends the knuckle collides too.
    pub fn piece(&self, [from, to]: [f32; 2], is_free: [bool; 2], mass_kg: f32) -> PieceDescription {
        let bands = 6;
        let along = |k: usize, bands: usize| from + (to - from) * k as f32 / bands as f32;
        let knuckle = |at: f32, outwards: f32, angles: &[f32]| -> Vec<CrossSection> {
            let radius = (self.outline)(at)[1];
            let section = |angle: &f32| {
                let (sine, cosine) = angle.sin_cos();
                self.section(at + outwards * radius * sine, at, cosine)
            };
            angles.iter().map(section).collect()
        };
        let straight = |bands: usize| (0..=bands).map(move |k| self.section(along(k, bands), along(k, bands), 1.0));
        let mut solid: Vec<CrossSection> = straight(3).collect();
        for (at, outwards, is_free) in [(from, -1.0, is_free[0]), (to, 1.0, is_free[1])] {
            solid.extend(knuckle(at, outwards, if is_free { &[0.7, 1.3] } else { &[] }));
        }
        let points = solid.iter().flat_map(|section| section.points(CORNERS)).collect();
        // Flat knuckles are a little narrower than the next piece, so that they stay inside where it is bent or tapers.
        let drawn_knuckle = |at: f32, outwards: f32, is_free: bool| {
            let narrow = if is_free || self.is_round { 1.0 } else { 0.92 };
            let sections = knuckle(at, outwards, &[0.35, 0.7, 1.05, 1.4]).into_iter();
            sections.map(move |section| CrossSection { right: section.right * narrow, ..section })
        };
        let mut drawn: Vec<CrossSection> = drawn_knuckle(from, -1.0, is_free[0]).collect();
        drawn.reverse();
        drawn.extend(straight(bands));
        drawn.extend(drawn_knuckle(to, 1.0, is_free[1]));
        PieceDescription { parts: vec![ConvexPart::Hull { points }], mesh: Some(loft(&drawn, SEGMENTS)), mass_kg }
    }
}

/// One of `count` sectors of a convex body that an outline of (radius, height), from bottom to top, sweeps around z.
pub(super) fn sector(outline: &[(f32, f32)], index: usize, count: usize, mass_kg: f32) -> PieceDescription {
    let angle = TAU / count as f32;
    let start = angle * index as f32;
    let at = |turn: f32| Vec2::from_angle(turn);
    let ring = |turn: f32, (radius, height): (f32, f32)| (at(turn) * radius).extend(height);
    // Sixteen corners around the whole, as turned solids have at least twelve.
    let steps = 16 / count;
    let mut points: Vec<Vec3> = [outline[0], outline[outline.len() - 1]].map(|(_, height)| Vec3::Z * height).to_vec();
    for k in 0..=steps {
        let turn = start + angle * k as f32 / steps as f32;
        points.extend(outline.iter().filter(|(radius, _)| *radius > 0.0).map(|&corner| ring(turn, corner)));
    }
    let widest = outline.iter().map(|corner| corner.0).fold(0.0, f32::max);
    let over = OVERLAP_M / widest;
    let (from, width, bands) = (start - over, angle + 2.0 * over, 48 / count);
    let turns: Vec<f32> = (0..=bands).map(|k| from + width * k as f32 / bands as f32).collect();
    let mut grid = Grid::new(turns.len());
    for row in 0..outline.len() {
        let before = outline[row.saturating_sub(1)];
        let after = outline[(row + 1).min(outline.len() - 1)];
        let normal = Vec2::new(after.1 - before.1, before.0 - after.0).normalize_or(Vec2::Y);
        grid.row(turns.iter().map(|&turn| (ring(turn, outline[row]), (at(turn) * normal.x).extend(normal.y))));
    }
    let middle = Vec3::Z * 0.5 * (outline[0].1 + outline[outline.len() - 1].1);
    PieceDescription { parts: vec![ConvexPart::Hull { points }], mesh: Some(grid.closed_to(middle)), mass_kg }
}

/// A surface of rows of points, each followed upwards by the next; seen from outside, rows run to the right.
struct Grid {
    columns: usize,
    mesh: MeshData,
}

impl Grid {
    fn new(columns: usize) -> Self {
        Self { columns, mesh: MeshData::default() }
    }

    fn row(&mut self, points: impl Iterator<Item = (Vec3, Vec3)>) {
        for (position, normal) in points {
            self.mesh.positions.push((position * 1e6).round() * 1e-6);
            self.mesh.normals.push(normal);
        }
        let count = self.mesh.positions.len() / self.columns;
        if count < 2 {
            return;
        }
        let (below, above) = (((count - 2) * self.columns) as u32, ((count - 1) * self.columns) as u32);
        for k in 0..self.columns as u32 - 1 {
            self.mesh.indices.extend([below + k, below + k + 1, above + k + 1]);
            self.mesh.indices.extend([below + k, above + k + 1, above + k]);
        }
    }

    /// With triangles from its border to a point inside.
    fn closed_to(mut self, point: Vec3) -> MeshData {
        let (columns, rows) = (self.columns, self.mesh.positions.len() / self.columns);
        // Along the border with the surface on the right-hand side, so that the closing faces look outwards.
        let mut border: Vec<usize> = (0..rows).map(|row| row * columns).collect();
        border.extend((1..columns).map(|k| (rows - 1) * columns + k));
        border.extend((0..rows - 1).rev().map(|row| row * columns + columns - 1));
        border.extend((0..columns - 1).rev());
        for ends in border.windows(2) {
            let [a, b] = [ends[0], ends[1]].map(|index| self.mesh.positions[index]);
            let normal = (b - a).cross(point - a);
            let Some(normal) = normal.try_normalize() else { continue };
            let first = self.mesh.positions.len() as u32;
            self.mesh.positions.extend([a, b, point]);
            self.mesh.normals.extend([normal; 3]);
            self.mesh.indices.extend([first, first + 1, first + 2]);
        }
        self.mesh
    }
}
