//! The 1,000 procedural objects that the program carries, one line of JSON an object. In: the embedded file. Out: the
//! built-in set, and the file again from its seed.

use super::error::{ObjectError, Result};
use super::generate::{GenerateConfig, Recipe, recipe};
use super::set::ObjectSet;
use crate::contract::Seed;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `procedural_objects/catalogue.jsonl`.
pub const CATALOGUE: &str = include_str!("../../procedural_objects/catalogue.jsonl");

/// The first line: everything that the others follow from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: String,
    pub seed: Seed,
    pub count: usize,
    pub config: GenerateConfig,
}

const FORMAT: &str = "bingrasp-objects-1";

/// A catalogue as data.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    pub header: Header,
    pub recipes: Vec<Recipe>,
}

impl Catalogue {
    /// `count` objects called `000`, `001`, ... (as many digits as the last one needs, at least three). Object i comes
    /// from the seed's i-th child, whatever the count and the number of threads.
    pub fn generate(seed: Seed, count: usize, config: &GenerateConfig) -> Result<Self> {
        let digits = count.saturating_sub(1).to_string().len().max(3);
        let one = |i: usize| recipe(seed.derive("object", i as u64), &format!("{i:0digits$}"), config);
        let recipes = (0..count).into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
        Ok(Self { header: Header { format: FORMAT.to_owned(), seed, count, config: *config }, recipes })
    }

    /// Reads the text that [`Self::to_text`] writes.
    pub fn parse(text: &str) -> Result<Self> {
        let error = |line: usize, what: String| ObjectError::Catalogue { line, what };
        let mut lines = text.lines().enumerate();
        let first = lines.next().ok_or_else(|| error(1, "the file is empty".into()))?.1;
        let header: Header = serde_json::from_str(first).map_err(|e| error(1, e.to_string()))?;
        if header.format != FORMAT {
            return Err(error(1, format!("the format is '{}', this program reads '{FORMAT}'", header.format)));
        }
        let recipes = lines
            .map(|(i, line)| serde_json::from_str(line).map_err(|e| error(i + 1, e.to_string())))
            .collect::<Result<Vec<Recipe>>>()?;
        if recipes.len() != header.count {
            return Err(error(1, format!("{} objects are announced and {} follow", header.count, recipes.len())));
        }
        Ok(Self { header, recipes })
    }

    /// One line of JSON for the header and one for each object.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::json!(self.header).to_string();
        for recipe in &self.recipes {
            text.push('\n');
            text.push_str(&serde_json::json!(recipe).to_string());
        }
        text.push('\n');
        text
    }

    pub fn to_set(&self) -> Result<ObjectSet> {
        let config = &self.header.config;
        let models = self.recipes.par_iter().map(|recipe| recipe.to_model(config).map(Arc::new));
        Ok(ObjectSet::new(models.collect::<Result<Vec<_>>>()?))
    }
}

/// The built-in set. The file is part of the program and a test reads every line of it.
pub(super) fn builtin() -> ObjectSet {
    match Catalogue::parse(CATALOGUE).and_then(|catalogue| catalogue.to_set()) {
        Ok(set) => set,
        Err(error) => unreachable!("the embedded catalogue is damaged: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_follows_from_its_seed() {
        let committed = Catalogue::parse(CATALOGUE).expect("readable");
        let Header { seed, count, config, .. } = committed.header;
        let again = Catalogue::generate(seed, count, &config).expect("possible");
        for (ours, theirs) in committed.recipes.iter().zip(&again.recipes) {
            assert_eq!(ours, theirs);
        }
        assert!(again.to_text() == CATALOGUE, "same objects but other bytes");
        assert!(CATALOGUE.len() < 1 << 20);
    }

    #[test]
    fn thread_count_changes_nothing() {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let make = || Catalogue::generate(Seed(3), 12, &GenerateConfig::default()).expect("possible").to_text();
        assert_eq!(pool(1).install(make), pool(3).install(make));
    }

    #[test]
    fn every_object_fits_between_the_jaws() {
        let set = ObjectSet::builtin();
        for object in set.objects() {
            assert!(object.grasp_width() <= 0.06, "{}: {}", object.name, object.grasp_width());
            assert!(object.mesh.is_none() && object.inertia.is_physical());
        }
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let text = CATALOGUE.lines().take(4).collect::<Vec<_>>().join("\n");
        assert!(Catalogue::parse(&text).unwrap_err().to_string().contains("1000 objects are announced and 3 follow"));
        let broken = text.replacen("\"name\":\"001\"", "\"nom\":\"001\"", 1);
        assert!(Catalogue::parse(&broken).unwrap_err().to_string().contains("line 3"));
    }
}
