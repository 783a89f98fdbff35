//! Names for results, none of them twice: what is made from lossy text (other characters replaced, endings left out) can
//! become equal, and then one result would replace another.

use std::collections::BTreeSet;

/// Gives every result of a run a name of its own, also where file systems take `A` and `a` for one name.
#[derive(Clone, Debug, Default)]
pub struct UniqueNames {
    taken: BTreeSet<String>,
}

impl UniqueNames {
    /// The first of `wanted` that is free, else the last of them with the lowest number from 2 on that makes it so:
    /// `cup-2`. The same calls in the same order give the same names.
    pub fn take<'a>(&mut self, wanted: impl IntoIterator<Item = &'a str>) -> String {
        let mut last = "";
        for name in wanted {
            if self.claim(name) {
                return name.to_owned();
            }
            last = name;
        }
        let mut number = 2_u64;
        loop {
            let name = format!("{last}-{number}");
            if self.claim(&name) {
                return name;
            }
            number += 1;
        }
    }

    fn claim(&mut self, name: &str) -> bool {
        !name.is_empty() && self.taken.insert(name.to_lowercase())
    }
}

/// Text as a file or folder name: letters, digits, `-` and `_` stay, anything else becomes `-`. Where something changed, a
/// checksum of the text follows, so that `a/b`, `a b` and `a-b` keep names of their own.
pub fn plain_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let name: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    format!("{name}-{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let mut names = UniqueNames::default();
        let given: Vec<String> =
            [&["a", "a.png"][..], &["a", "a.jpg"], &["A", "A.png"], &["a-2"], &["a"], &["a"], &["", ""], &[""]]
                .into_iter()
                .map(|wanted| names.take(wanted.iter().copied()))
                .collect();
        // `A` is `a` elsewhere.
        assert_eq!(given, ["a", "a.jpg", "A.png", "a-2", "a-3", "a-4", "-2", "-3"]);
        let mut names = UniqueNames::default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let twins: Vec<String> = [&b"\xff"[..], b"\xfe", b"\xfd"].map(|b| names.take([text(b).as_str()])).into();
        assert_eq!(twins, ["\u{fffd}", "\u{fffd}-2", "\u{fffd}-3"]);
    }

    #[test]
    fn other_characters_keep_names_apart() {
        assert_eq!(plain_name("validation_psnr-db"), "validation_psnr-db");
        let names: BTreeSet<String> = ["a/b", "a b", "a-b", "a.b", "ä-b", "é-b", "", "-"].map(plain_name).into();
        assert_eq!(names.len(), 8, "{names:?}");
        // CRC-32 of "a/b", by zlib.
        assert_eq!(plain_name("a/b"), "a-b-07f4401c");
    }
}
