//! Which images of a frame are wanted: the others are neither drawn nor read back.

use std::fmt;
use std::str::FromStr;

/// A set of the images that a renderer can deliver of one moment. The default is a paired frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameChannels {
    /// Colours of the source domain.
    pub source: bool,
    /// Colours of the canonical domain.
    pub canonical: bool,
    /// Segmentation classes and instance ids.
    pub identity: bool,
    /// True depth.
    pub depth: bool,
    /// Depth as the domain's depth camera measures it.
    pub sensed_depth: bool,
}

impl FrameChannels {
    /// No image at all.
    pub const NONE: Self = Self { source: false, canonical: false, identity: false, depth: false, sensed_depth: false };
    /// What a policy sees.
    pub const SOURCE: Self = Self { source: true, ..Self::NONE };
    /// Source and canonical colours, ids and true depth: what a paired dataset stores.
    pub const PAIRED: Self = Self { source: true, canonical: true, identity: true, depth: true, sensed_depth: false };
    /// Every image, the measured depth among them.
    pub const ALL: Self = Self { sensed_depth: true, ..Self::PAIRED };

    /// Every channel with its name on the command line.
    const NAMES: [(&'static str, Self); 5] = [
        ("source", Self::SOURCE),
        ("canonical", Self { canonical: true, ..Self::NONE }),
        ("identity", Self { identity: true, ..Self::NONE }),
        ("depth", Self { depth: true, ..Self::NONE }),
        ("sensed-depth", Self { sensed_depth: true, ..Self::NONE }),
    ];

    /// No image is in the set.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The images of both sets.
    pub const fn union(self, other: Self) -> Self {
        Self {
            source: self.source || other.source,
            canonical: self.canonical || other.canonical,
            identity: self.identity || other.identity,
            depth: self.depth || other.depth,
            sensed_depth: self.sensed_depth || other.sensed_depth,
        }
    }

    /// What is in this set and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self {
            source: self.source && !other.source,
            canonical: self.canonical && !other.canonical,
            identity: self.identity && !other.identity,
            depth: self.depth && !other.depth,
            sensed_depth: self.sensed_depth && !other.sensed_depth,
        }
    }
}

impl Default for FrameChannels {
    fn default() -> Self {
        Self::PAIRED
    }
}

/// Names with commas between them, "none" for the empty set.
impl fmt::Display for FrameChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(_, channel)| channel.without(*self).is_none());
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

/// The inverse of [`fmt::Display`]; "paired" and "all" are sets of their own.
impl FromStr for FrameChannels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).try_fold(Self::NONE, |set, name| {
            let known = Self::NAMES.into_iter().chain([
                ("paired", Self::PAIRED),
                ("all", Self::ALL),
                ("none", Self::NONE),
            ]);
            let channel = known.into_iter().find(|(known, _)| *known == name).map(|(_, channel)| channel);
            channel.map(|channel| set.union(channel)).ok_or_else(|| {
                format!(
                    "unknown channel '{name}'; name some of source, canonical, identity, depth, sensed-depth with commas \
                     between them, or paired, all, none"
                )
            })
        })
    }
}

/// A frame lacks images that were not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frames hold {held} and lack {missing}; ask for it where they are captured")]
pub struct MissingChannels {
    /// Images that the frames do hold.
    pub held: FrameChannels,
    /// Images that were required and not captured.
    pub missing: FrameChannels,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sets_are_inverse() {
        for bits in 0..32_u32 {
            let has = |bit: u32| bits >> bit & 1 == 1;
            let set = FrameChannels {
                source: has(0),
                canonical: has(1),
                identity: has(2),
                depth: has(3),
                sensed_depth: has(4),
            };
            assert_eq!(set.to_string().parse(), Ok(set));
            assert_eq!(set.union(set), set);
            assert!(set.without(set).is_none());
            assert_eq!(FrameChannels::ALL.without(set).union(set), FrameChannels::ALL);
        }
        assert_eq!("source, depth".parse(), Ok(FrameChannels { depth: true, ..FrameChannels::SOURCE }));
        assert_eq!(FrameChannels::PAIRED.to_string(), "source,canonical,identity,depth");
        let message = "source,masks".parse::<FrameChannels>().expect_err("no such channel");
        assert!(message.contains("'masks'") && message.contains("identity"), "{message}");
    }
}
