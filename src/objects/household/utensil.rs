//! A plastic fork, knife and spoon: 160 to 190 mm long, about 25 mm wide, 15 mm high (handles are arched), 6 to 8 g.

use super::{Member, color};
use crate::contract::Rng;
use crate::objects::surfaces::{CrossSection, joined, loft, loft_hulls};
use glam::Vec3;

const COLORS: [[u8; 3]; 4] = [[240, 240, 238], [45, 45, 48], [220, 215, 190], [190, 205, 220]];

/// Fork, knife, spoon in turn.
pub(super) fn utensil(rng: &mut Rng, index: usize) -> Member {
    let length = rng.range(0.162, 0.188);
    let height = rng.range(0.0135, 0.0155);
    let thick = rng.range(0.0070, 0.0080);
    let handle_width = rng.range(0.0125, 0.0145);
    // Along x, arched: both ends on the table, the middle highest.
    let section = |share: f32, width: f32, flat: f32| {
        let rise = (height - thick) * (1.0 - (2.0 * share - 1.0).powi(2));
        CrossSection {
            centre: Vec3::new((share - 0.5) * length, 0.0, 0.5 * thick + rise),
            right: Vec3::Y * (0.5 * width),
            up: Vec3::Z * (0.5 * thick * flat),
            roundness: 0.35,
        }
    };
    let handle = |to: f32| -> Vec<CrossSection> {
        let count = 5;
        (0..=count)
            .map(|k| {
                let share = to * k as f32 / count as f32;
                let width = handle_width * if k == 0 { 0.8 } else { 1.0 - 0.25 * (share / to).powi(2) };
                section(share, width, 1.0)
            })
            .collect()
    };
    let head_width = match index % 3 {
        0 => 0.024,
        1 => 0.018,
        _ => 0.031,
    } * rng.range(0.95, 1.05);
    let head = |shares: &[(f32, f32)], flat: f32| -> Vec<CrossSection> {
        shares.iter().map(|&(share, width)| section(share, width * head_width, flat)).collect()
    };
    let from = 0.66;
    let handle = handle(from);
    let (bodies, tines): (Vec<Vec<CrossSection>>, Vec<Vec<CrossSection>>) = match index % 3 {
        0 => {
            let palm = head(&[(from, 0.5), (0.74, 0.95), (0.81, 1.0)], 0.8);
            // Four tines.
            let tines = (0..4)
                .map(|tine| {
                    let aside = Vec3::Y * ((tine as f32 - 1.5) / 4.0 * head_width * 1.05);
                    let mut sections = head(&[(0.805, 0.16), (0.9, 0.15), (1.0, 0.07)], 0.7);
                    sections.iter_mut().for_each(|section| section.centre += aside);
                    sections
                })
                .collect();
            (vec![handle.clone(), palm], tines)
        }
        1 => (
            vec![handle.clone(), head(&[(from, 0.62), (0.72, 0.95), (0.9, 1.0), (0.97, 0.7), (1.0, 0.25)], 0.8)],
            vec![],
        ),
        _ => {
            let bowl = head(
                &[(from, 0.4), (0.72, 0.75), (0.8, 0.98), (0.87, 1.0), (0.94, 0.8), (0.985, 0.45), (1.0, 0.15)],
                0.9,
            );
            (vec![handle.clone(), bowl], vec![])
        }
    };
    let sections: Vec<&Vec<CrossSection>> = bodies.iter().chain(&tines).collect();
    let mesh = joined(sections.iter().map(|sections| loft(sections, 12)));
    let parts = bodies
        .iter()
        .flat_map(|sections| loft_hulls(sections, 8))
        .chain(tines.iter().flat_map(|sections| loft_hulls(&[sections[0], sections[2]], 4)))
        .collect();
    Member { parts, mesh, mass_kg: rng.range(0.006, 0.008), friction: rng.range(0.5, 0.65), color: color(rng, &COLORS) }
}
