//! Cups, mugs and the wine glass: open vessels, hollow in collision. Published sizes: paper cups of 4 to 16 ounces (12
//! ounces: 90 over 60 mm, 112 mm high), mugs 80 x 82 to 95 mm and 118 to 350 g, a wine glass 89 x 137 mm and 133 g.

use super::{HouseholdConfig, Member, about, color};
use crate::contract::{MeshData, Pose, Rng};
use crate::objects::model::ConvexPart;
use crate::objects::surfaces::{CrossSection, joined, lathe, loft, staves, turned_hull};
use glam::{Quat, Vec3};
use std::f32::consts::PI;

const SEGMENTS: usize = 32;
/// Thinner walls would let fast things through and leave a pinch nothing to hold.
const LEAST_WALL: f32 = 0.004;

const CUP_COLORS: [[u8; 3]; 6] =
    [[240, 238, 230], [170, 120, 80], [35, 110, 75], [225, 225, 228], [200, 60, 45], [90, 60, 45]];
const MUG_COLORS: [[u8; 3]; 8] = [
    [235, 235, 230],
    [40, 70, 140],
    [180, 40, 40],
    [40, 40, 45],
    [225, 185, 60],
    [70, 140, 120],
    [140, 90, 140],
    [215, 205, 185],
];

/// A tapered or straight open vessel: outer radii at bottom and rim.
struct Vessel {
    bottom: f32,
    rim: f32,
    height: f32,
    /// Thickness of the side in collision, and as drawn.
    wall: f32,
    drawn_wall: f32,
    floor: f32,
}

impl Vessel {
    fn radius(&self, z: f32) -> f32 {
        self.bottom + (self.rim - self.bottom) * z / self.height
    }

    fn parts(&self, config: &HouseholdConfig) -> Vec<ConvexPart> {
        let (low, high) = ((self.bottom, 0.0), (self.rim, self.height));
        if !config.hollow {
            return vec![turned_hull(&[low, high], config.staves)];
        }
        // The bottom reaches into the staves by half their thickness: no gap, little counted twice.
        let inset = 0.5 * self.wall;
        let top = self.floor;
        let mut parts =
            vec![turned_hull(&[(self.bottom - inset, 0.0005), (self.radius(top) - inset, top)], config.staves)];
        parts.extend(staves(low, high, self.wall, config.staves));
        parts
    }

    /// Foot, side, rolled rim, inner side, inner bottom.
    fn mesh(&self, rim_roll: f32) -> MeshData {
        let (h, w) = (self.height, self.drawn_wall);
        let corner = 0.003_f32.min(0.2 * self.bottom);
        lathe(
            &[
                (0.0, 0.0),
                (self.bottom - corner, 0.0),
                (self.radius(corner), corner),
                (self.radius(h - 2.0 * rim_roll), h - 2.0 * rim_roll),
                (self.rim, h - rim_roll),
                (self.rim - 0.35 * w, h),
                (self.rim - 0.75 * w, h),
                (self.rim - w, h - rim_roll),
                (self.radius(self.floor + corner) - w, self.floor + corner),
                (self.radius(self.floor) - w - corner, self.floor),
                (0.0, self.floor),
            ],
            SEGMENTS,
        )
    }
}

/// A paper cup of 4, 8, 12 or 16 ounces.
pub(super) fn coffee_cup(rng: &mut Rng, index: usize, config: &HouseholdConfig) -> Member {
    let sizes = [(0.079, 0.056, 0.092, 0.008), (0.089, 0.060, 0.112, 0.011), (0.062, 0.046, 0.061, 0.005)];
    let large = (0.090, 0.060, 0.134, 0.014);
    let (rim, bottom, height, mass) = if index % 6 == 5 { large } else { sizes[index % 3] };
    let scale = rng.range(0.97, 1.03);
    let vessel = Vessel {
        bottom: 0.5 * about(rng, bottom, 0.02) * scale,
        rim: 0.5 * about(rng, rim, 0.01) * scale,
        height: height * scale,
        wall: LEAST_WALL,
        drawn_wall: 0.0025,
        floor: 0.005,
    };
    Member {
        parts: vessel.parts(config),
        mesh: vessel.mesh(0.0015),
        mass_kg: about(rng, mass, 0.15),
        friction: rng.range(0.6, 0.75),
        color: color(rng, &CUP_COLORS),
    }
}

/// A mug with a handle; every third tapers.
pub(super) fn mug(rng: &mut Rng, index: usize, config: &HouseholdConfig) -> Member {
    let rim = 0.5 * rng.range(0.074, 0.088);
    let vessel = Vessel {
        bottom: if index % 3 == 2 { rim * rng.range(0.78, 0.9) } else { rim },
        rim,
        height: rng.range(0.08, 0.1),
        wall: 0.005,
        drawn_wall: 0.0045,
        floor: 0.007,
    };
    let (out, width) = (rng.range(0.026, 0.034), rng.range(0.011, 0.014));
    let (low, high) = (0.22 * vessel.height, 0.78 * vessel.height);
    let mut parts = vessel.parts(config);
    parts.extend(handle_boxes(&vessel, low, high, out, width));
    Member {
        parts,
        mesh: joined([vessel.mesh(0.0015), handle_mesh(&vessel, low, high, out, width)]),
        mass_kg: rng.range(0.15, 0.35).min(5.2 * vessel.rim * vessel.height * 0.75 + 0.1),
        friction: rng.range(0.5, 0.65),
        color: color(rng, &MUG_COLORS),
    }
}

/// Three bars: out, down, back.
fn handle_boxes(vessel: &Vessel, low: f32, high: f32, out: f32, width: f32) -> Vec<ConvexPart> {
    let thick = 0.008;
    let bar = |from: Vec3, to: Vec3| {
        let way = to - from;
        ConvexPart::Box {
            half_extents: 0.5 * Vec3::new(way.length() + 0.5 * thick, width, thick),
            body_from_part: Pose::new(0.5 * (from + to), Quat::from_rotation_arc(Vec3::X, way.normalize())),
        }
    };
    let at = |x: f32, z: f32| Vec3::new(x, 0.0, z);
    let (top, bottom) = (vessel.radius(high) - 0.5 * vessel.wall, vessel.radius(low) - 0.5 * vessel.wall);
    let edge = vessel.radius(high).max(vessel.radius(low)) + out - 0.5 * thick;
    vec![
        bar(at(top, high), at(edge, high - 0.006)),
        bar(at(edge, high - 0.006), at(edge, low + 0.006)),
        bar(at(edge, low + 0.006), at(bottom, low)),
    ]
}

/// The same as a bent tube.
fn handle_mesh(vessel: &Vessel, low: f32, high: f32, out: f32, width: f32) -> MeshData {
    let (top, bottom) = (vessel.radius(high) - 0.5 * vessel.wall, vessel.radius(low) - 0.5 * vessel.wall);
    let edge = vessel.radius(high).max(vessel.radius(low)) + out - 0.004;
    let middle = 0.5 * (low + high);
    // A superellipse from the upper joint over the outermost point to the lower one.
    let sections: Vec<CrossSection> = (0..=12)
        .map(|k| {
            let angle = PI * (0.5 - k as f32 / 12.0);
            let root = if angle > 0.0 { top } else { bottom };
            let bend = |x: f32| x.abs().powf(0.62) * x.signum();
            let centre = Vec3::new(
                root + (edge - root) * bend(angle.cos()),
                0.0,
                middle + 0.5 * (high - low) * bend(angle.sin()),
            );
            // Tangent of the plain ellipse: near enough for the tube's thickness.
            let tangent = Vec3::new(angle.sin(), 0.0, -angle.cos());
            let right = Vec3::Y * (0.5 * width);
            let up = tangent.cross(Vec3::Y).normalize() * 0.004;
            CrossSection { centre, right, up, roundness: 0.7 }
        })
        .collect();
    loft(&sections, 10)
}

/// Foot, stem and bowl.
pub(super) fn wine_glass(rng: &mut Rng, config: &HouseholdConfig) -> Member {
    let scale = rng.range(0.96, 1.04);
    let height = 0.137 * scale;
    let (foot, stem, widest, rim) = (0.036 * scale, 0.0055, 0.0445 * scale, 0.036 * scale);
    let (stem_top, base_top, widest_z) = (0.052 * scale, 0.072 * scale, 0.09 * scale);
    let wall = LEAST_WALL;
    let base = 0.8 * widest;
    let mut parts = vec![
        turned_hull(&[(foot, 0.0), (foot, 0.003), (0.3 * foot, 0.007)], config.staves),
        turned_hull(&[(stem, 0.006), (stem, stem_top)], 8),
        turned_hull(&[(stem, stem_top - 0.002), (0.62 * base, stem_top + 0.007), (base, base_top)], config.staves),
    ];
    if config.hollow {
        // Below the widest ring and above it: at most ten pieces each.
        let count = config.staves.min(10);
        parts.extend(staves((base, base_top - 0.001), (widest, widest_z), wall, count));
        parts.extend(staves((widest, widest_z), (rim, height), wall, count));
    } else {
        parts.push(turned_hull(&[(base, base_top), (widest, widest_z), (rim, height)], config.staves));
    }
    let w = 0.0022;
    let mesh = lathe(
        &[
            (0.0, 0.0),
            (foot, 0.0),
            (foot, 0.002),
            (0.3 * foot, 0.006),
            (stem, 0.016),
            (stem, stem_top - 0.003),
            (0.3 * base, stem_top + 0.001),
            (0.66 * base, stem_top + 0.008),
            (base, base_top),
            (0.97 * widest, 0.5 * (base_top + widest_z)),
            (widest, widest_z),
            (0.97 * widest, widest_z + 0.3 * (height - widest_z)),
            (rim, height - 0.001),
            (rim - 0.5 * w, height),
            (rim - w, height - 0.001),
            (widest - w, widest_z),
            (base - w, base_top + 0.002),
            (0.4 * base, base_top - 0.002),
            (0.0, base_top - 0.003),
        ],
        SEGMENTS,
    );
    Member { parts, mesh, mass_kg: rng.range(0.125, 0.142), friction: rng.range(0.45, 0.55), color: [205, 220, 225] }
}
