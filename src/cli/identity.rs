//! What a training run was begun with, by its contents: objects, textures and data sets are remembered by checksums beside
//! their paths. A run that is resumed refuses others under the same path, and takes the same under another one.

use super::{UsageError, common};
use crate::appearance::ImageSet;
use crate::data::paired::checksums_path;
use crate::files::atomic::sha256_file;
use crate::objects::digest;
use anyhow::Context;
use std::path::Path;

/// Where the checksums are in the settings' `data`.
pub const DIGESTS: &str = "digests";

/// Settings under `data` that name something of the user's, and the flags that set them.
const NAMED: [(&str, &str); 4] =
    [("objects", "--objects"), ("textures", "--textures"), ("from", "--data"), ("offline", "--offline")];

/// Adds the checksums of what the settings name.
///
/// # Errors
/// Something that is not there or cannot be read.
pub fn remember(data: &mut toml::Table) -> anyhow::Result<()> {
    let mut digests = toml::Table::new();
    for (key, _) in NAMED {
        if let Some(digest) = digest_of(key, data)? {
            digests.insert(key.to_owned(), digest.into());
        }
    }
    if !digests.is_empty() {
        data.insert(DIGESTS.to_owned(), digests.into());
    }
    Ok(())
}

/// Whether everything that `wanted` names is what the run was begun with. Returns `wanted` with the paths of `saved` where
/// the contents are the same, so that the rest of the settings can be compared.
///
/// # Errors
/// [`UsageError`] names what is not the same, and the flag.
pub fn check(saved: &toml::Table, wanted: &toml::Table) -> anyhow::Result<toml::Table> {
    let mut same = wanted.clone();
    let Some(digests) = saved.get(DIGESTS).and_then(toml::Value::as_table) else { return Ok(same) };
    for (key, flag) in NAMED {
        let Some(expected) = digests.get(key).and_then(toml::Value::as_str) else { continue };
        let path = text(wanted, key);
        let found = digest_of(key, wanted).with_context(|| {
            format!("looking at what the run was begun with; if it lies elsewhere now, pass {flag} with its new place")
        })?;
        if found.as_deref() != Some(expected) {
            let message = format!(
                "what is in {path} is not what the run was begun with: its contents differ; pass {flag} with the place of \
                 the same ones, or start another run"
            );
            return Err(UsageError(message).into());
        }
        if let Some(path) = saved.get(key) {
            same.insert(key.to_owned(), path.clone());
        }
    }
    Ok(same)
}

fn text<'a>(data: &'a toml::Table, key: &str) -> &'a str {
    data.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// None for what the program brings itself.
fn digest_of(key: &str, data: &toml::Table) -> anyhow::Result<Option<String>> {
    let name = text(data, key);
    let path = Path::new(name);
    Ok(match (key, name) {
        (_, "") | ("from", "live") | ("objects", "train" | "test" | "all") => None,
        ("objects", _) => Some(digest(&common::load_objects(name, common::ImportArgs::of_run(data)?)?)),
        ("textures", _) => Some(ImageSet::load(path)?.digest()),
        // It lists the checksum of every file.
        _ => Some(sha256_file(&checksums_path(path))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_and_paths_do_not() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name).display().to_string();
        for (name, colour) in [("a", 10), ("copy", 10), ("other", 200)] {
            std::fs::create_dir(place(name))?;
            image::RgbImage::from_pixel(4, 4, image::Rgb([colour; 3])).save(folder.path().join(name).join("x.png"))?;
        }
        let data = |textures: &str| {
            toml::Table::from_iter([
                ("from".to_owned(), "live".into()),
                ("objects".to_owned(), "train".into()),
                ("textures".to_owned(), place(textures).into()),
            ])
        };
        let mut saved = data("a");
        remember(&mut saved)?;
        let with = |textures: &str| {
            let mut wanted = saved.clone();
            wanted.insert("textures".to_owned(), place(textures).into());
            wanted
        };
        assert_eq!(check(&saved, &with("a"))?, saved);
        // The rest of the settings is then compared with the path that was saved.
        assert_eq!(check(&saved, &with("copy"))?, saved);
        let error = check(&saved, &with("other")).expect_err("other contents");
        assert!(error.is::<UsageError>() && error.to_string().contains("--textures"), "{error}");
        let error = check(&saved, &with("nowhere")).expect_err("nothing there");
        assert!(error.to_string().contains("--textures"), "{error:#}");
        // The same path, and other contents since.
        image::RgbImage::from_pixel(4, 4, image::Rgb([11; 3])).save(folder.path().join("a/x.png"))?;
        assert!(check(&saved, &saved).is_err());
        // Runs of earlier versions remember nothing.
        assert_eq!(check(&data("a"), &data("other"))?, data("other"));
        Ok(())
    }
}
