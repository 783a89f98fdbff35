//! Mass properties of a union of convex parts of uniform density. In: polyhedra. Out: volume, centre of mass and
//! principal inertia. Where parts overlap, the common volume counts once.

use super::geometry::Polyhedron;
use glam::{DMat3, DQuat, DVec3, Quat, Vec3};

/// Vertical lines through the region where parts may overlap.
const COLUMNS: u32 = 2048;

/// Inertia of a rigid body about its centre of mass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inertia {
    /// Principal moments, kg m^2, all positive.
    pub principal_kg_m2: Vec3,
    /// Principal axes in the body's frame.
    pub body_from_principal: Quat,
}

impl Inertia {
    /// The tensor in the body's frame, kg m^2.
    pub fn tensor(&self) -> DMat3 {
        let axes = DMat3::from_quat(self.body_from_principal.as_dquat().normalize());
        axes * DMat3::from_diagonal(self.principal_kg_m2.as_dvec3()) * axes.transpose()
    }

    /// Diagonalizes a symmetric tensor.
    pub fn from_tensor(tensor: &DMat3) -> Self {
        let (values, rotation) = symmetric_eigen(tensor);
        Self { principal_kg_m2: values.as_vec3(), body_from_principal: rotation.as_quat().normalize() }
    }

    /// Whether a solid body can have these moments: positive, and no one larger than the sum of the other two (with
    /// 1 % for rounding in files).
    pub fn is_physical(&self) -> bool {
        let [a, b, c] = self.principal_kg_m2.to_array();
        let fits = |x: f32, y: f32, z: f32| x > 0.0 && x <= (y + z) * 1.01;
        self.principal_kg_m2.is_finite() && fits(a, b, c) && fits(b, c, a) && fits(c, a, b)
    }
}

/// Integrals of 1, x and x x^T over a solid.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub volume: f64,
    pub first: DVec3,
    pub second: DMat3,
}

impl Moments {
    pub const ZERO: Self = Self { volume: 0.0, first: DVec3::ZERO, second: DMat3::ZERO };

    fn add(&mut self, other: &Self, weight: f64) {
        self.volume += weight * other.volume;
        self.first += weight * other.first;
        self.second += other.second * weight;
    }

    pub fn center(&self) -> DVec3 {
        self.first / self.volume
    }

    /// Inertia about the centre of mass for a total mass in kilograms.
    pub fn inertia(&self, mass_kg: f64) -> Inertia {
        let center = self.center();
        let central = (self.second - outer(center, center) * self.volume) * (mass_kg / self.volume);
        let trace = central.x_axis.x + central.y_axis.y + central.z_axis.z;
        Inertia::from_tensor(&(DMat3::from_diagonal(DVec3::splat(trace)) - central))
    }

    /// Exact integrals over a polyhedron, as signed tetrahedra to the origin.
    pub fn of_polyhedron(solid: &Polyhedron) -> Self {
        let mut total = Self::ZERO;
        for &[a, b, c] in &solid.triangles {
            let (a, b, c) = (solid.points[a], solid.points[b], solid.points[c]);
            let six_volumes = a.dot(b.cross(c));
            let sum = a + b + c;
            total.volume += six_volumes / 6.0;
            total.first += sum * (six_volumes / 24.0);
            total.second += (outer(sum, sum) + outer(a, a) + outer(b, b) + outer(c, c)) * (six_volumes / 120.0);
        }
        total
    }

    /// Integrals over the union of convex solids: the exact sum, less what overlaps counted too often, which is found
    /// on `COLUMNS` vertical lines (exact along each). The lines stand at the points of a low-discrepancy sequence, so
    /// that faces along the axes do not favour any.
    pub fn of_union(solids: &[Polyhedron]) -> Self {
        let mut total = Self::ZERO;
        solids.iter().for_each(|solid| total.add(&Self::of_polyhedron(solid), 1.0));
        if let Some((low, high)) = overlap_region(solids) {
            total.add(&excess(solids, low, high), -1.0);
        }
        total
    }
}

fn outer(a: DVec3, b: DVec3) -> DMat3 {
    DMat3::from_cols(a * b.x, a * b.y, a * b.z)
}

/// The smallest box around all pairwise intersections of bounding boxes.
fn overlap_region(solids: &[Polyhedron]) -> Option<(DVec3, DVec3)> {
    let boxes: Vec<(DVec3, DVec3)> = solids.iter().map(Polyhedron::bounds).collect();
    let mut region = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    for (i, a) in boxes.iter().enumerate() {
        for b in &boxes[i + 1..] {
            let (low, high) = (a.0.max(b.0), a.1.min(b.1));
            if low.cmplt(high).all() {
                region = (region.0.min(low), region.1.max(high));
            }
        }
    }
    region.0.cmplt(region.1).all().then_some(region)
}

fn excess(solids: &[Polyhedron], low: DVec3, high: DVec3) -> Moments {
    let boxes: Vec<(DVec3, DVec3)> = solids.iter().map(Polyhedron::bounds).collect();
    let size = high - low;
    let area = size.x * size.y / f64::from(COLUMNS);
    let mut total = Moments::ZERO;
    let mut spans: Vec<(f64, f64)> = Vec::with_capacity(solids.len());
    for column in 0..COLUMNS {
        // Roberts' R2 sequence: multiples of the inverse powers of the plastic number.
        let x = low.x + size.x * (0.5 + f64::from(column) * 0.754_877_666_246_692_7).fract();
        let y = low.y + size.y * (0.5 + f64::from(column) * 0.569_840_290_998_053_2).fract();
        spans.clear();
        for (solid, (from, to)) in solids.iter().zip(&boxes) {
            if x > from.x && x < to.x && y > from.y && y < to.y {
                spans.extend(solid.column(x, y));
            }
        }
        if spans.len() < 2 {
            continue;
        }
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Walking upwards, whatever lies below the highest end so far is counted a second time.
        let mut covered = spans[0].1;
        for &(from, to) in &spans[1..] {
            let end = to.min(covered);
            if end > from {
                add_span(&mut total, x, y, from, end, area);
            }
            covered = covered.max(to);
        }
    }
    total
}

fn add_span(total: &mut Moments, x: f64, y: f64, from: f64, to: f64, area: f64) {
    let (length, half_square, third_cube) =
        (to - from, (to * to - from * from) / 2.0, (to * to * to - from * from * from) / 3.0);
    let span = Moments {
        volume: length,
        first: DVec3::new(x * length, y * length, half_square),
        second: DMat3::from_cols(
            DVec3::new(x * x * length, x * y * length, x * half_square),
            DVec3::new(x * y * length, y * y * length, y * half_square),
            DVec3::new(x * half_square, y * half_square, third_cube),
        ),
    };
    total.add(&span, area);
}

/// Eigenvalues (ascending) and a rotation whose columns are the eigenvectors, by cyclic Jacobi rotations (Golub and
/// Van Loan, 8.5): arithmetic and square roots only, so that every machine gets the same bits.
fn symmetric_eigen(matrix: &DMat3) -> (DVec3, DQuat) {
    let mut a = matrix.to_cols_array_2d();
    let mut v = DMat3::IDENTITY.to_cols_array_2d();
    for _ in 0..32 {
        let off = a[1][0].powi(2) + a[2][0].powi(2) + a[2][1].powi(2);
        let diagonal = a[0][0].powi(2) + a[1][1].powi(2) + a[2][2].powi(2);
        if off <= 1e-30 * diagonal {
            break;
        }
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[q][p] == 0.0 {
                continue;
            }
            let tau = (a[q][q] - a[p][p]) / (2.0 * a[q][p]);
            let tangent = if tau >= 0.0 { 1.0 } else { -1.0 } / (tau.abs() + (1.0 + tau * tau).sqrt());
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            let sine = tangent * cosine;
            for k in 0..3 {
                let (x, y) = (a[p][k], a[q][k]);
                a[p][k] = cosine * x - sine * y;
                a[q][k] = sine * x + cosine * y;
            }
            for column in &mut a {
                let (x, y) = (column[p], column[q]);
                column[p] = cosine * x - sine * y;
                column[q] = sine * x + cosine * y;
            }
            for k in 0..3 {
                let (x, y) = (v[p][k], v[q][k]);
                v[p][k] = cosine * x - sine * y;
                v[q][k] = sine * x + cosine * y;
            }
        }
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| a[i][i].total_cmp(&a[j][j]));
    let values = DVec3::from_array(order.map(|i| a[i][i]));
    let [x, y, _] = order.map(|i| DVec3::from_array(v[i]));
    (values, DQuat::from_mat3(&DMat3::from_cols(x, y, x.cross(y))).normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuboid(half: DVec3, center: DVec3) -> Polyhedron {
        Polyhedron::from_box(half, center, DQuat::IDENTITY)
    }

    #[test]
    fn one_box_by_the_textbook() {
        let solid = cuboid(DVec3::new(0.5, 1.0, 1.5), DVec3::new(3.0, -2.0, 1.0));
        let moments = Moments::of_union(std::slice::from_ref(&solid));
        assert!((moments.volume - 6.0).abs() < 1e-12);
        assert!(moments.center().distance(DVec3::new(3.0, -2.0, 1.0)) < 1e-12);
        // m/12 (b^2 + c^2) with edges 1, 2, 3 and m = 12: 13, 10, 5.
        let inertia = moments.inertia(12.0);
        assert!(inertia.principal_kg_m2.distance(Vec3::new(5.0, 10.0, 13.0)) < 1e-4);
        assert!(inertia.is_physical());
    }

    #[test]
    fn overlap_counts_once() {
        // Two cubes of edge 2 that share a 1 x 2 x 2 slab make one 3 x 2 x 2 prism.
        let pair = [cuboid(DVec3::ONE, DVec3::ZERO), cuboid(DVec3::ONE, DVec3::X)];
        let union = Moments::of_union(&pair);
        let whole = Moments::of_polyhedron(&cuboid(DVec3::new(1.5, 1.0, 1.0), DVec3::X * 0.5));
        assert!((union.volume - whole.volume).abs() < 1e-9, "{} {}", union.volume, whole.volume);
        assert!(union.center().distance(whole.center()) < 2e-3);
        assert!(union.second.abs_diff_eq(whole.second, 0.02));
        // A cube given three times, one of them a little smaller, is one cube.
        let copies = [pair[0].clone(), cuboid(DVec3::splat(0.9), DVec3::ZERO), pair[0].clone()];
        assert!((Moments::of_union(&copies).volume - 8.0).abs() < 0.03);
    }

    #[test]
    fn tilted_overlap_against_random_points() {
        let tilt = DQuat::from_euler(glam::EulerRot::XYZ, 0.7, 0.3, -0.5);
        let solids = [
            cuboid(DVec3::new(0.02, 0.05, 0.01), DVec3::ZERO),
            Polyhedron::from_box(DVec3::new(0.015, 0.012, 0.04), DVec3::new(0.01, 0.02, 0.005), tilt),
        ];
        let union = Moments::of_union(&solids);
        // An independent count: random points of a box that holds both.
        let mut rng = crate::contract::Seed(9).rng();
        let (samples, edge) = (4_000_000_u32, 0.12);
        let (mut count, mut sum) = (0_u32, DVec3::ZERO);
        for _ in 0..samples {
            let unit: [f64; 3] = std::array::from_fn(|_| rng.f64() - 0.5);
            let point = DVec3::from_array(unit) * edge;
            if solids.iter().any(|solid| solid.depth(point) > 0.0) {
                count += 1;
                sum += point;
            }
        }
        let volume = f64::from(count) / f64::from(samples) * edge.powi(3);
        assert!((union.volume / volume - 1.0).abs() < 0.005, "{} {volume}", union.volume);
        assert!(union.center().distance(sum / f64::from(count)) < 5e-5);
    }

    #[test]
    fn eigenvectors_rebuild_the_tensor() {
        let axes = DMat3::from_quat(DQuat::from_euler(glam::EulerRot::ZYX, 1.0, 2.0, 3.0));
        let tensor = axes * DMat3::from_diagonal(DVec3::new(3.0, 1.0, 2.0)) * axes.transpose();
        let inertia = Inertia::from_tensor(&tensor);
        assert!(inertia.principal_kg_m2.distance(Vec3::new(1.0, 2.0, 3.0)) < 1e-5);
        assert!(inertia.tensor().abs_diff_eq(tensor, 1e-5));
        // PyBullet's placeholder (1, 1, 0) is no solid body, nor is one moment above the sum of the others.
        assert!(!Inertia { principal_kg_m2: Vec3::new(1.0, 1.0, 0.0), ..inertia }.is_physical());
        assert!(!Inertia { principal_kg_m2: Vec3::new(1.0, 1.0, 3.0), ..inertia }.is_physical());
    }
}
