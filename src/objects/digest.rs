//! What a set of objects is, whatever its folder is called: a checksum of everything that physics and pictures make of it.

use super::model::ObjectModel;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::sync::Arc;

/// SHA-256 over all objects in their order, lower-case hexadecimal: names, shapes, masses, colours. The same files read
/// with the same options give the same; a folder under another path, too.
pub fn digest(objects: &[Arc<ObjectModel>]) -> String {
    let mut hash = Hash(Sha256::new());
    for object in objects {
        // Every field, also those that are added one day; floats print so that they can be told apart.
        // Writing into a hash does not fail.
        let _ = writeln!(hash, "{object:?}");
    }
    hash.0.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Hash(Sha256);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{ObjectSet, Split};

    #[test]
    fn every_difference_shows_and_nothing_else() {
        let objects = ObjectSet::builtin().split(Split::Test)[..3].to_vec();
        let first = digest(&objects);
        assert_eq!(first.len(), 64);
        let copies: Vec<Arc<ObjectModel>> = objects.iter().map(|object| Arc::new(ObjectModel::clone(object))).collect();
        assert_eq!(digest(&copies), first);
        let changed = |change: &dyn Fn(&mut ObjectModel)| {
            let mut objects = copies.clone();
            change(Arc::make_mut(&mut objects[1]));
            digest(&objects)
        };
        let changes: [&dyn Fn(&mut ObjectModel); 4] = [
            &|object| object.name.push('x'),
            // The next number after it.
            &|object| object.mass_kg = f32::from_bits(object.mass_kg.to_bits() + 1),
            &|object| object.friction += 0.1,
            &|object| {
                object.parts.pop();
            },
        ];
        for change in changes {
            assert_ne!(changed(change), first);
        }
        assert_ne!(digest(&objects[..2]), first);
        assert_ne!(digest(&[Arc::clone(&objects[1]), Arc::clone(&objects[0]), Arc::clone(&objects[2])]), first);
    }
}
