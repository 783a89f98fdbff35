//! The colour of a glTF file. In: materials and the areas under them. Out: one sRGB colour.

use super::super::material::{mean_of, srgb_byte};
use super::Reader;
use serde_json::Value;

impl Reader<'_> {
    /// The base colour of the material that covers most, times the mean of its texture. Looks are a courtesy: what is
    /// wrong with them is told in `warnings`.
    pub(super) fn color(&mut self, warnings: &mut Vec<String>) -> Option<[u8; 3]> {
        let mut totals: Vec<(usize, f64)> = Vec::new();
        for (material, area) in self.areas.drain(..) {
            let Some(material) = material else { continue };
            match totals.iter_mut().find(|(known, _)| *known == material) {
                Some(total) => total.1 += area,
                None => totals.push((material, area)),
            }
        }
        let (index, _) = *totals.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let materials = &self.document.materials;
        let factor = |index: usize| {
            let base = &materials[index]["pbrMetallicRoughness"];
            let values: Vec<f32> =
                base["baseColorFactor"].as_array().into_iter().flatten().filter_map(number).collect();
            match values[..] {
                [r, g, b, ..] => [r, g, b],
                _ => [1.0; 3],
            }
        };
        if totals.iter().any(|(other, _)| materials[*other] != materials[index]) {
            let count = totals.len();
            warnings
                .push(format!("of {count} materials, number {index} covers most; the object is drawn in its colour"));
        }
        let own = factor(index).map(srgb_byte);
        let texture = materials[index]["pbrMetallicRoughness"]["baseColorTexture"]["index"].as_u64();
        let Some(texture) = texture else { return Some(own) };
        match self.texture(texture as usize).and_then(|bytes| mean_of(&bytes)) {
            Ok(mean) => {
                warnings.push("its texture is drawn as its mean colour".into());
                Some(std::array::from_fn(|i| (u16::from(mean[i]) * u16::from(own[i]) / 255) as u8))
            }
            Err(what) => {
                warnings.push(format!("its texture is left out: {what}"));
                Some(own)
            }
        }
    }

    fn texture(&mut self, index: usize) -> Result<Vec<u8>, String> {
        let texture = &self.document.textures[index];
        let webp = &texture["extensions"]["EXT_texture_webp"]["source"];
        let source = texture["source"].as_u64().or_else(|| webp.as_u64()).ok_or("it names no picture")? as usize;
        let image = &self.document.images[source];
        let place = format!("image {source}");
        if let Some(uri) = image["uri"].as_str() {
            return self.bytes_of(uri, &place).map_err(|error| error.to_string());
        }
        let view = image["bufferView"].as_u64().ok_or("the picture is nowhere")? as usize;
        let ((from, to), _) = self.view(view, &place).map_err(|error| error.to_string())?;
        let buffer = self.document.buffer_views[view].buffer;
        let bytes = self.buffer(buffer).map_err(|error| error.to_string())?;
        Ok(bytes[from as usize..to as usize].to_vec())
    }
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32)
}
