//! Solids whose volumes are worked out by hand, and files' ways of cutting them up.

use super::*;
use crate::objects::import::RawGroup;
use crate::objects::mass::Moments;
use glam::{DQuat, DVec3};

fn merged(solids: &[Polyhedron]) -> RawMesh {
    let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
    for solid in solids {
        let base = mesh.positions.len() as u32;
        mesh.positions.extend(solid.points.iter().map(|point| point.as_vec3()));
        mesh.groups[0].triangles.extend(solid.triangles.iter().map(|t| t.map(|index| base + index as u32)));
    }
    mesh
}

fn volume(parts: &[ConvexPart]) -> f64 {
    Moments::of_union(&parts.iter().filter_map(Polyhedron::of_part).collect::<Vec<_>>()).volume
}

#[test]
fn loose_boxes_in_one_group_come_apart_exactly() {
    let boxes = [
        Polyhedron::from_box(DVec3::new(0.05, 0.01, 0.01), DVec3::ZERO, DQuat::IDENTITY),
        Polyhedron::from_box(DVec3::new(0.01, 0.04, 0.01), DVec3::new(0.03, 0.02, 0.005), DQuat::from_rotation_x(0.5)),
    ];
    let mut warnings = Vec::new();
    let parts = convex_parts(&merged(&boxes), &mut warnings);
    assert!(parts.len() == 2 && parts.iter().all(|part| matches!(part, ConvexPart::Box { .. })), "{parts:?}");
    assert!(warnings.is_empty());
    assert!((volume(&parts) / Moments::of_union(&boxes).volume - 1.0).abs() < 1e-3);
}

#[test]
fn an_l_shaped_surface_is_decomposed() {
    // An L of three 3 cm cubes as one closed surface: a prism over a six-cornered outline.
    let outline = [(0.0, 0.0), (0.06, 0.0), (0.06, 0.03), (0.03, 0.03), (0.03, 0.06), (0.0, 0.06)];
    let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
    for z in [0.0, 0.03] {
        mesh.positions.extend(outline.iter().map(|&(x, y)| Vec3::new(x, y, z)));
    }
    let group = &mut mesh.groups[0].triangles;
    for [a, b, c] in [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]] {
        group.push([a, c, b]);
        group.push([a + 6, b + 6, c + 6]);
    }
    for i in 0..6_u32 {
        let j = (i + 1) % 6;
        group.push([i, j, j + 6]);
        group.push([i, j + 6, i + 6]);
    }
    assert!(surface::is_closed(group));
    let mut warnings = Vec::new();
    let parts = convex_parts(&mesh, &mut warnings);
    assert!(parts.len() == 2 && warnings.is_empty(), "{} parts, {warnings:?}", parts.len());
    // Three cubes of 27 cm^3; the hull would have 94.5.
    let volume = volume(&parts) * 1e6;
    assert!((volume - 81.0).abs() < 0.1, "{volume} cm^3");
    let again = convex_parts(&mesh, &mut warnings);
    assert_eq!(parts, again);
}

#[test]
fn flat_groups_are_told() {
    let square = RawMesh {
        positions: vec![Vec3::ZERO, Vec3::X, Vec3::ONE.with_z(0.0), Vec3::Y],
        groups: vec![RawGroup { name: "label".into(), triangles: vec![[0, 1, 2], [0, 2, 3]], ..RawGroup::default() }],
        ..RawMesh::default()
    };
    let mut warnings = Vec::new();
    assert!(convex_parts(&square, &mut warnings).is_empty());
    assert!(warnings[0].contains("label"), "{warnings:?}");
}

/// A closed surface of revolution about z: radius and height of its outline, counter-clockwise with the axis on the
/// left, in `sides` flat sides.
fn turned(outline: &[(f32, f32)], sides: u32) -> RawMesh {
    let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
    for side in 0..sides {
        let (sin, cos) = (std::f32::consts::TAU * side as f32 / sides as f32).sin_cos();
        mesh.positions.extend(outline.iter().map(|&(radius, z)| Vec3::new(radius * cos, radius * sin, z)));
    }
    let count = outline.len() as u32;
    for side in 0..sides {
        let (here, there) = (side * count, (side + 1) % sides * count);
        for i in 0..count {
            let j = (i + 1) % count;
            mesh.groups[0].triangles.extend([[here + i, there + i, there + j], [here + i, there + j, here + j]]);
        }
    }
    mesh
}

/// Area of a regular polygon.
fn polygon(radius: f64, sides: u32) -> f64 {
    f64::from(sides) / 2.0 * radius * radius * (std::f64::consts::TAU / f64::from(sides)).sin()
}

#[test]
fn thin_walled_turned_parts_stay_hollow() {
    let sides = 24;
    // Outlines in metres and the area of their cross-sections times their heights.
    let tube = (
        vec![(0.03, 0.0), (0.03, 0.08), (0.029, 0.08), (0.029, 0.0)],
        (polygon(0.03, sides) - polygon(0.029, sides)) * 0.08,
    );
    let washer = (
        vec![(0.02, 0.0), (0.02, 0.003), (0.008, 0.003), (0.008, 0.0)],
        (polygon(0.02, sides) - polygon(0.008, sides)) * 0.003,
    );
    let cup = (
        vec![(1e-9, 0.0), (0.035, 0.0), (0.035, 0.09), (0.034, 0.09), (0.034, 0.001), (1e-9, 0.001)],
        polygon(0.035, sides) * 0.09 - polygon(0.034, sides) * 0.089,
    );
    for (name, (outline, wanted)) in [("tube", tube), ("washer", washer), ("cup", cup)] {
        let mesh = turned(&outline, sides);
        let mut warnings = Vec::new();
        let parts = convex_parts(&mesh, &mut warnings);
        let found = volume(&parts);
        println!("{name}: {} parts {found} {wanted}", parts.len());
        assert!((found / wanted - 1.0).abs() < 0.1, "{name}: {found} m^3 in {} parts, not {wanted}", parts.len());
        assert!(parts.len() <= CUT_PARTS, "{name}: {} parts", parts.len());
        // The middle of the opening is free.
        let free = DVec3::new(0.0, 0.0, if name == "cup" { 0.05 } else { 0.0015 });
        let solids: Vec<Polyhedron> = parts.iter().filter_map(Polyhedron::of_part).collect();
        assert!(solids.iter().all(|solid| solid.depth(free) < -0.005), "{name}");
    }
}

/// A box without lid: outer edges 10 x 10 x 4 cm, walls of `wall` metres; vertices of quads, outwards.
fn open_box(wall: f32) -> Vec<[Vec3; 4]> {
    let (e, h, w) = (0.1, 0.04, wall);
    let ring = |inset: f32, z: f32| {
        [(inset, inset), (e - inset, inset), (e - inset, e - inset), (inset, e - inset)]
            .map(|(x, y)| Vec3::new(x, y, z))
    };
    let (outer_low, outer_high, inner_low, inner_high) = (ring(0.0, 0.0), ring(0.0, h), ring(w, w), ring(w, h));
    let mut quads = vec![
        [outer_low[0], outer_low[3], outer_low[2], outer_low[1]],
        [inner_low[0], inner_low[1], inner_low[2], inner_low[3]],
    ];
    for i in 0..4 {
        let j = (i + 1) % 4;
        quads.push([outer_low[i], outer_low[j], outer_high[j], outer_high[i]]);
        quads.push([inner_low[j], inner_low[i], inner_high[i], inner_high[j]]);
        quads.push([outer_high[i], outer_high[j], inner_high[j], inner_high[i]]);
    }
    quads
}

/// Quads with corners of their own, `each` of them a group.
fn unwelded(quads: &[[Vec3; 4]], each: usize) -> RawMesh {
    let mut mesh = RawMesh::default();
    for (number, chunk) in quads.chunks(each).enumerate() {
        let mut group = RawGroup { name: format!("side {number}"), ..RawGroup::default() };
        for quad in chunk {
            let first = mesh.positions.len() as u32;
            mesh.positions.extend(quad);
            group.triangles.extend([[first, first + 1, first + 2], [first, first + 2, first + 3]]);
        }
        mesh.groups.push(group);
    }
    mesh
}

#[test]
fn a_box_without_lid_is_five_boards_however_it_is_grouped() {
    // 10 x 10 x 4 cm less 9.8 x 9.8 x 3.9 cm: 400 - 374.556 cm^3.
    let wanted = 25.444;
    for each in [100, 1, 4] {
        let mut warnings = Vec::new();
        let parts = convex_parts(&unwelded(&open_box(0.001), each), &mut warnings);
        let found = volume(&parts) * 1e6;
        assert!((found - wanted).abs() < 0.05, "{each} a group: {found} cm^3 in {} parts", parts.len());
        assert_eq!(parts.len(), 5, "{each} a group");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn a_crate_of_one_group_a_side_is_a_box() {
    let cube = Polyhedron::from_box(DVec3::splat(0.025), DVec3::ZERO, DQuat::IDENTITY);
    let whole = merged(&[cube]);
    let mut mesh = RawMesh { positions: whole.positions, ..RawMesh::default() };
    for side in whole.groups[0].triangles.chunks(2) {
        mesh.groups.push(RawGroup { name: "side".into(), triangles: side.to_vec(), ..RawGroup::default() });
    }
    let mut warnings = Vec::new();
    let parts = convex_parts(&mesh, &mut warnings);
    let [ConvexPart::Box { half_extents, .. }] = parts[..] else { panic!("{parts:?}") };
    assert!(half_extents.distance(Vec3::splat(0.025)) < 1e-6);
    // Rounded corners that no longer coincide, and two closed groups that share their corners.
    mesh.positions =
        mesh.groups.iter().flat_map(|g| g.triangles.iter().flatten()).map(|&i| mesh.positions[i as usize]).collect();
    let mut next = 0;
    for triangle in mesh.groups.iter_mut().flat_map(|group| &mut group.triangles) {
        *triangle = [next, next + 1, next + 2];
        next += 3;
    }
    mesh.positions.iter_mut().enumerate().for_each(|(i, point)| point.x += 1e-8 * (i % 7) as f32);
    assert!((volume(&convex_parts(&mesh, &mut warnings)) - 125e-6).abs() < 1e-9);
}

#[test]
fn a_sheet_without_lid_gets_walls() {
    // The outer five sides only: nothing encloses a volume.
    let quads: Vec<[Vec3; 4]> = open_box(0.001)
        .into_iter()
        .enumerate()
        .filter(|(i, _)| *i == 0 || (*i >= 2 && (*i - 2) % 3 == 0))
        .map(|(_, quad)| quad)
        .collect();
    assert_eq!(quads.len(), 5);
    let mut warnings = Vec::new();
    let parts = convex_parts(&unwelded(&quads, 5), &mut warnings);
    assert!(warnings.iter().any(|warning| warning.contains("100.0 cm^2 of openings")), "{warnings:?}");
    // Walls of 2 mm, inwards: 10 x 10 x 4 less 9.6 x 9.6 x 3.8 cm.
    let found = volume(&parts) * 1e6;
    assert!((found / (400.0 - 9.6 * 9.6 * 3.8) - 1.0).abs() < 0.1, "{found} cm^3");
}

#[test]
fn a_plate_keeps_a_hole_that_is_small_by_volume() {
    // 8 x 8 x 0.4 cm with an octagonal hole of 1 cm across its corners: 2.8% of the volume.
    let corner = |radius: f32, i: u32| {
        let (sin, cos) = (std::f32::consts::TAU * (i as f32 + 0.5) / 8.0).sin_cos();
        // The outer ring lies on the square: its corners at 45 degrees are replaced by two points a side.
        (radius * cos, radius * sin)
    };
    let square = |i: u32| {
        let (x, y) = corner(1.0, i);
        let scale = 0.04 / x.abs().max(y.abs());
        (x * scale, y * scale)
    };
    let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
    for z in [0.0, 0.004] {
        mesh.positions.extend((0..8).map(|i| Vec3::new(square(i).0, square(i).1, z)));
        mesh.positions.extend((0..8).map(|i| Vec3::new(corner(0.005, i).0, corner(0.005, i).1, z)));
    }
    for i in 0..8_u32 {
        let j = (i + 1) % 8;
        for [a, b, c, d] in [
            [i, j, j + 16, i + 16],
            [i + 8, i + 24, j + 24, j + 8],
            [i, i + 8, j + 8, j],
            [i + 16, j + 16, j + 24, i + 24],
        ] {
            mesh.groups[0].triangles.extend([[a, b, c], [a, c, d]]);
        }
    }
    let mut warnings = Vec::new();
    let parts = convex_parts(&mesh, &mut warnings);
    let solids: Vec<Polyhedron> = parts.iter().filter_map(Polyhedron::of_part).collect();
    assert!(
        parts.len() > 1 && solids.iter().all(|solid| solid.depth(DVec3::new(0.0, 0.0, 0.002)) < 0.0),
        "{}",
        parts.len()
    );
}

#[test]
fn a_sealed_cavity_and_an_inside_out_box_are_solids() {
    let cube = |half: f64| Polyhedron::from_box(DVec3::splat(half), DVec3::ZERO, DQuat::IDENTITY);
    let mut mesh = merged(&[cube(0.03), cube(0.02)]);
    mesh.groups[0].triangles[12..].iter_mut().for_each(|triangle| triangle.swap(1, 2));
    let mut warnings = Vec::new();
    assert!((volume(&convex_parts(&mesh, &mut warnings)) - 216e-6).abs() < 1e-9);
    assert!(warnings[0].contains("cavity"), "{warnings:?}");
    let inside_out = merged(&[cube(0.03)]).flipped();
    assert!((volume(&convex_parts(&inside_out, &mut warnings)) - 216e-6).abs() < 1e-9);
}

#[test]
fn many_parts_are_merged_and_a_known_mesh_is_not_cut_again() {
    let row: Vec<Polyhedron> = (0..40)
        .map(|i| Polyhedron::from_box(DVec3::splat(0.002), DVec3::X * (0.004 * f64::from(i)), DQuat::IDENTITY))
        .collect();
    let parts: Vec<ConvexPart> = row
        .iter()
        .filter_map(|solid| {
            ConvexPart::from_points(&solid.points.iter().map(|point| point.as_vec3()).collect::<Vec<_>>())
        })
        .collect();
    let merged = at_most(parts.clone(), 7);
    assert!(merged.len() <= 7);
    // Cubes in a row merge without a gap: 40 * 0.064 cm^3.
    assert!((volume(&merged) * 1e6 - 2.56).abs() < 1e-3);
    assert_eq!(at_most(parts.clone(), 64), parts);
    let surface = Surface::new(&[Vec3::ZERO, Vec3::X, Vec3::Y], &[[0, 1, 2]]);
    let mut calls = 0;
    for _ in 0..3 {
        cache::decomposed(&surface, 5, || {
            calls += 1;
            Clouds::default()
        });
    }
    assert_eq!(calls, 1);
}
