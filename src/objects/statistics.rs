//! A set of objects in figures. In: objects. Out: [`Statistics`], and ours beside PyBullet's as a page
//! (`procedural_objects/STATISTICS.md`).

use super::grasp::{Jaws, stable_poses, top_down_grasp};
use super::model::ObjectModel;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;

/// PyBullet's `random_urdfs`, measured by `bingrasp objects stats --objects .../random_urdfs --json`.
pub const PYBULLET: &str = include_str!("../../procedural_objects/pybullet_random_urdfs.json");

/// Smallest, 5th percentile, median, 95th percentile, largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub min: f64,
    pub p5: f64,
    pub median: f64,
    pub p95: f64,
    pub max: f64,
}

impl Spread {
    /// Percentiles by linear interpolation between order statistics; zeros for no values.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let position = share * values.len().saturating_sub(1) as f64;
            let (low, high) = (position.floor() as usize, position.ceil() as usize);
            match (values.get(low), values.get(high)) {
                (Some(a), Some(b)) => round6(a + (b - a) * (position - low as f64)),
                _ => 0.0,
            }
        };
        Self { min: at(0.0), p5: at(0.05), median: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

/// Six significant digits, so that the figures read well and do not hang on the last bit.
fn round6(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    pub objects: usize,
    /// Files that could not be used.
    pub failures: usize,
    pub mass_kg: Spread,
    pub friction: Spread,
    pub parts: Spread,
    /// Edges of the bounding box in the object's own frame, smallest, middle, largest.
    pub extents_cm: [Spread; 3],
    pub volume_cm3: Spread,
    pub density_kg_m3: Spread,
    /// Smallest opening that takes the whole object.
    pub grasp_width_cm: Spread,
    /// Share of the objects that an 8.5 cm opening takes whole, in some direction.
    pub fits_jaws: f64,
    /// Mean probability of coming to rest in a pose that offers a grasp from straight above.
    pub graspable_from_above: f64,
}

impl Statistics {
    pub fn of(objects: &[Arc<ObjectModel>], failures: usize) -> Self {
        let jaws = Jaws::default();
        let rows: Vec<Row> = objects.par_iter().map(|object| Row::of(object, &jaws)).collect();
        let spread = |value: fn(&Row) -> f64| Spread::of(rows.iter().map(value).collect());
        let mean = |value: &dyn Fn(&Row) -> f64| round6(rows.iter().map(value).sum::<f64>() / rows.len().max(1) as f64);
        Self {
            objects: objects.len(),
            failures,
            mass_kg: spread(|row| row.mass_kg),
            friction: spread(|row| row.friction),
            parts: spread(|row| row.parts),
            extents_cm: [
                spread(|row| row.extents_cm[0]),
                spread(|row| row.extents_cm[1]),
                spread(|row| row.extents_cm[2]),
            ],
            volume_cm3: spread(|row| row.volume_cm3),
            density_kg_m3: spread(|row| row.mass_kg / row.volume_cm3 * 1e6),
            grasp_width_cm: spread(|row| row.grasp_width_cm),
            fits_jaws: mean(&|row| if row.grasp_width_cm <= f64::from(jaws.max_opening_m) * 100.0 { 1.0 } else { 0.0 }),
            graspable_from_above: mean(&|row| row.graspable),
        }
    }

    /// PyBullet's set as it was measured.
    ///
    /// # Errors
    /// Never for the embedded file, which a test reads.
    pub fn pybullet() -> Result<Self, serde_json::Error> {
        serde_json::from_str(PYBULLET)
    }
}

struct Row {
    mass_kg: f64,
    friction: f64,
    parts: f64,
    extents_cm: [f64; 3],
    volume_cm3: f64,
    grasp_width_cm: f64,
    graspable: f64,
}

impl Row {
    fn of(object: &ObjectModel, jaws: &Jaws) -> Self {
        let solids = object.solids();
        let graspable = stable_poses(&solids)
            .iter()
            .filter(|pose| top_down_grasp(&solids, pose, jaws, Some(jaws.max_opening_m)).is_some())
            .map(|pose| f64::from(pose.probability))
            .sum();
        Self {
            mass_kg: f64::from(object.mass_kg),
            friction: f64::from(object.friction),
            parts: object.parts.len() as f64,
            extents_cm: object.aabb().sorted_extents().map(|edge| f64::from(edge) * 100.0),
            volume_cm3: f64::from(object.volume_m3) * 1e6,
            grasp_width_cm: f64::from(object.grasp_width()) * 100.0,
            graspable,
        }
    }
}

/// Ours beside PyBullet's, as Markdown.
pub fn page(ours: &Statistics, pybullet: &Statistics) -> String {
    let mut text = String::from(
        "# The procedural objects in figures\n\n\
         Written by `bingrasp objects stats --markdown`; a test holds it to the catalogue. PyBullet's set is the public \
         `random_urdfs`\nof `pybullet_data`, read by this program's importer (`bingrasp objects stats --objects \
         .../random_urdfs`). One of its 1,000\nobjects (168) has only NaN coordinates and is refused; its parts are \
         pieces of an approximate decomposition, ours are prisms.\n\n",
    );
    let _ = writeln!(text, "| set | objects | refused | fit the jaws whole | graspable from above |");
    let _ = writeln!(text, "|---|---:|---:|---:|---:|");
    for (name, set) in [("bingrasp", ours), ("PyBullet", pybullet)] {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {:.1} % | {:.1} % |",
            set.objects,
            set.failures,
            set.fits_jaws * 100.0,
            set.graspable_from_above * 100.0
        );
    }
    let _ = writeln!(text, "\n| figure | set | smallest | 5 % | median | 95 % | largest |");
    let _ = writeln!(text, "|---|---|---:|---:|---:|---:|---:|");
    type Get = fn(&Statistics) -> Spread;
    let rows: [(&str, Get, usize); 9] = [
        ("smallest extent, cm", |set| set.extents_cm[0], 2),
        ("middle extent, cm", |set| set.extents_cm[1], 2),
        ("largest extent, cm", |set| set.extents_cm[2], 2),
        ("narrowest width, cm", |set| set.grasp_width_cm, 2),
        ("volume, cm^3", |set| set.volume_cm3, 1),
        ("parts", |set| set.parts, 0),
        ("mass, kg", |set| set.mass_kg, 3),
        ("density, kg/m^3", |set| set.density_kg_m3, 0),
        ("friction", |set| set.friction, 2),
    ];
    for (name, get, digits) in rows {
        for (who, set) in [("bingrasp", ours), ("PyBullet", pybullet)] {
            let Spread { min, p5, median, p95, max } = get(set);
            let _ = writeln!(
                text,
                "| {name} | {who} | {min:.digits$} | {p5:.digits$} | {median:.digits$} | {p95:.digits$} | {max:.digits$} |"
            );
        }
    }
    text.push_str(
        "\nThe jaws open 8.5 cm. Extents are those of the bounding box in the object's own frame, in ascending order. The narrowest width is \
         the distance\nbetween the two closest parallel planes around the object. \"Graspable from above\" weighs every \
         resting pose on a table with\nits probability and asks for a place where 2 cm wide pads hold walls steeper than \
         63 degrees, with room for the fingers and\nthe centre of mass within 3 cm.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::ObjectSet;

    #[test]
    fn percentiles_interpolate() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!(spread, Spread { min: 1.0, p5: 1.2, median: 3.0, p95: 4.8, max: 5.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn the_committed_page_is_the_catalogue() {
        let ours = Statistics::of(ObjectSet::builtin().objects(), 0);
        let pybullet = Statistics::pybullet().expect("the embedded figures");
        let page = page(&ours, &pybullet);
        assert!(
            page == include_str!("../../procedural_objects/STATISTICS.md"),
            "run `bingrasp objects stats --markdown`"
        );
        // The calibration that the design asks for.
        assert_eq!(ours.mass_kg, pybullet.mass_kg);
        assert_eq!(ours.friction, pybullet.friction);
        for (ours, theirs) in ours.extents_cm.iter().zip(&pybullet.extents_cm) {
            assert!((ours.median / theirs.median - 1.0).abs() < 0.1, "{ours:?} {theirs:?}");
        }
        assert!((ours.volume_cm3.median / pybullet.volume_cm3.median - 1.0).abs() < 0.1);
        assert!((ours.fits_jaws - 1.0).abs() < 1e-9 && ours.graspable_from_above > 0.97);
    }
}
