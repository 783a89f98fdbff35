//! A look at a dataset: some pairs as a contact sheet.

use super::reader::{Pair, PairReader};
use crate::contract::{Class, Seed};
use crate::data::DataError;
use crate::draw::palette::{colour_classes, colour_depth, colour_instances};
use crate::draw::{ContactSheet, Picture, depth_range};

/// `rows` pairs of the dataset, spread over it by `seed` and shown in its order: randomized, canonical, classes,
/// depth, and instances where it has them. Damaged pairs are passed over.
///
/// # Errors
/// [`DataError::Input`] when no pair can be read.
pub fn sheet(reader: &PairReader, rows: usize, seed: Seed) -> Result<ContactSheet, DataError> {
    let mut rng = seed.derive("dataset sheet", 0).rng();
    let mut order: Vec<usize> = (0..reader.len()).collect();
    rng.shuffle(&mut order);
    let mut pairs: Vec<Pair> = order.iter().filter_map(|&i| reader.read(i).ok()).take(rows).collect();
    if pairs.is_empty() {
        return Err(DataError::Input(format!("no pair of the {} in the dataset can be read", reader.len())));
    }
    pairs.sort_by_key(|pair| pair.meta.index);
    let config = reader.config();
    let title = format!("{} → canonical", config.domain);
    let subtitle = format!(
        "{} pairs of {}x{}, seed {}, {} of them shown",
        reader.len(),
        config.width,
        config.height,
        config.seed,
        pairs.len()
    );
    Ok(sheet_of(&pairs, title, subtitle))
}

/// The contact sheet of some pairs.
pub fn sheet_of(pairs: &[Pair], title: impl Into<String>, subtitle: impl Into<String>) -> ContactSheet {
    let metres = |mm: &[u16]| -> Vec<f32> { mm.iter().map(|&mm| f32::from(mm) * 0.001).collect() };
    // The range of what lies in the bin: there the differences are that matter. The arm reaches up to the camera.
    let contents = |pair: &Pair| {
        let depths = metres(&pair.depth_mm).into_iter().zip(pair.segmentation.clone());
        let in_bin = [Class::Object, Class::Tray, Class::Divider].map(|class| class as u8);
        depths.filter(|(_, class)| in_bin.contains(class)).map(|(depth, _)| depth).collect::<Vec<_>>()
    };
    let (near, far) = depth_range(pairs.iter().flat_map(contents));
    let mut columns = vec!["randomized", "canonical", "segmentation", "depth"];
    let instances = !pairs.is_empty() && pairs.iter().all(|pair| pair.instances.is_some());
    if instances {
        columns.push("instances");
    }
    let sensed = !pairs.is_empty() && pairs.iter().all(|pair| pair.sensed_depth_mm.is_some());
    if sensed {
        columns.push("measured depth");
    }
    let mut sheet = ContactSheet::new(title, subtitle).columns(&columns).class_legend().depth_legend(near, far);
    for pair in pairs {
        let (w, h) = (pair.width, pair.height);
        let mut pictures = vec![
            Picture::photo(w, h, pair.randomized.clone()),
            Picture::photo(w, h, pair.canonical.clone()),
            Picture::exact(w, h, colour_classes(&pair.segmentation)),
            Picture::exact(w, h, colour_depth(&metres(&pair.depth_mm), near, far)),
        ];
        if let Some(ids) = pair.instances.as_ref().filter(|_| instances) {
            pictures.push(Picture::exact(w, h, colour_instances(ids)));
        }
        if let Some(mm) = pair.sensed_depth_mm.as_ref().filter(|_| sensed) {
            pictures.push(Picture::exact(w, h, colour_depth(&metres(mm), near, far)));
        }
        let meta = &pair.meta;
        let caption = format!(
            "pair {} · episode {} · step_index {} · {} · {} objects",
            meta.index,
            meta.episode,
            meta.step_index,
            meta.phase.name(),
            meta.objects.len()
        );
        sheet.row(caption, pictures);
    }
    sheet
}
