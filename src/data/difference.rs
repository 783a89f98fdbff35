//! Two settings side by side: what is not the same?

use serde::Serialize;

/// The settings in which `there` (on disk) and `here` (wanted) differ, as `seed is 1 there and 2 here`; `None` when they
/// are the same.
pub fn difference<T: Serialize>(there: &T, here: &T) -> Option<String> {
    let table = |settings: &T| toml::Value::try_from(settings).ok();
    let mut found = Vec::new();
    compare("", table(there).as_ref(), table(here).as_ref(), &mut found);
    let more = found.len().saturating_sub(4);
    found.truncate(4);
    let mut text = found.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    (!text.is_empty()).then_some(text)
}

fn compare(name: &str, there: Option<&toml::Value>, here: Option<&toml::Value>, found: &mut Vec<String>) {
    if let (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) = (there, here) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let name = if name.is_empty() || name == "dataset" { key.clone() } else { format!("{name}.{key}") };
            compare(&name, a.get(key), b.get(key), found);
        }
    } else if there != here {
        let show = |value: Option<&toml::Value>| value.map_or("not set".into(), ToString::to_string);
        found.push(format!("{name} is {} there and {} here", show(there), show(here)));
    }
}
