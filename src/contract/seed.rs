//! One seed names everything; streams are derived from it by purpose and index.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, 2019) of `rand_xoshiro`, seeded through SplitMix64; its state can be
//! written into checkpoints. A test pins its values, so that an update that changes a stream is seen.

use glam::{Quat, Vec3};
use rand::{Rng as _, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// A 64-bit seed. Children are independent for different `(purpose, index)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Seed {
    /// The seed of the stream called `purpose`, number `index` (an environment, an episode, a step).
    pub fn derive(self, purpose: &str, index: u64) -> Self {
        // FNV-1a over the name, then two rounds of SplitMix64 to mix in the parent and the index.
        let name = purpose
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        let mut state = self.0 ^ name.rotate_left(17);
        let mixed = splitmix64(&mut state);
        let mut state = mixed ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self(splitmix64(&mut state))
    }

    /// A generator at the start of this seed's stream.
    pub fn rng(self) -> Rng {
        Rng(Xoshiro256PlusPlus::seed_from_u64(self.0))
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A seed ([`Seed`] or `u64`) in settings files: a number, or text where it is beyond TOML's signed integers (from 2^63 on).
/// Both are read. For `#[serde(with = "...")]`.
pub mod seed_number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Copy + Into<u64>, S: Serializer>(seed: &T, serializer: S) -> Result<S::Ok, S::Error> {
        let seed: u64 = (*seed).into();
        match i64::try_from(seed) {
            Ok(number) => serializer.serialize_i64(number),
            Err(_) => serializer.collect_str(&seed),
        }
    }

    /// # Errors
    /// A value that is no whole number from 0 to 2^64 - 1.
    pub fn deserialize<'de, T: From<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
            Signed(i64),
            Real(f64),
        }
        let wrong = |found: String| {
            D::Error::custom(format!("a seed must be a whole number from 0 to 18446744073709551615, not {found}"))
        };
        match Either::deserialize(deserializer).map_err(|_| wrong("something else".into()))? {
            Either::Number(number) => Ok(number.into()),
            Either::Text(text) => text.parse::<u64>().map(T::from).map_err(|_| wrong(format!("'{text}'"))),
            Either::Signed(number) => Err(wrong(number.to_string())),
            Either::Real(number) => Err(wrong(number.to_string())),
        }
    }
}

impl From<u64> for Seed {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl From<Seed> for u64 {
    fn from(seed: Seed) -> Self {
        seed.0
    }
}

/// The generator's whole state: serialize it and the stream goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The next 64 bits of the stream, uniform over all of them.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn f32(&mut self) -> f32 {
        self.0.random()
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn f64(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.f32()
    }

    /// Uniform in `0..count`; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        // A range of 64 bits on every machine, so that streams do not depend on it.
        self.0.random_range(0..count.max(1) as u64) as usize
    }

    /// True with this probability: never at 0, always at 1.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.f32() < probability
    }

    /// Standard normal (Box-Muller, one of the two values, so that no half-used state has to be saved).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.f64()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.f64()).cos()) as f32
    }

    /// One element, uniformly. Panics on an empty slice, as indexing does.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Puts the items into a random order (Fisher-Yates); every order is equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Uniform on the unit sphere.
    pub fn direction(&mut self) -> Vec3 {
        let z = self.range(-1.0, 1.0);
        let angle = self.range(0.0, std::f32::consts::TAU);
        let radius = (1.0 - z * z).max(0.0).sqrt();
        Vec3::new(radius * angle.cos(), radius * angle.sin(), z)
    }

    /// Uniform over rotations (Shoemake).
    pub fn rotation(&mut self) -> Quat {
        let (u, v, w) = (self.f32(), self.f32() * std::f32::consts::TAU, self.f32() * std::f32::consts::TAU);
        let (a, b) = ((1.0 - u).sqrt(), u.sqrt());
        Quat::from_xyzw(a * v.sin(), a * v.cos(), b * w.sin(), b * w.cos()).normalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_output_of_xoshiro256plusplus() {
        // Hand-worked from the published update with state (1, 2, 3, 4): rotl(1 + 4, 23) + 1.
        let state: Vec<u8> = [1_u64, 2, 3, 4].iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut rng = Rng(Xoshiro256PlusPlus::from_seed(state.try_into().expect("32 bytes")));
        assert_eq!(rng.next_u64(), (5_u64 << 23) + 1);
        // The second state is (7, 0, 262146, 6 rotated by 45): the reference implementation prints 58720359.
        assert_eq!(rng.next_u64(), 58_720_359);
    }

    #[test]
    fn streams_have_the_values_that_they_always_had() {
        // By an implementation of SplitMix64 and xoshiro256++ in Python.
        let mut rng = Seed(7).rng();
        assert_eq!([rng.next_u64(), rng.next_u64()], [1021219803524665661, 3174977118032272916]);
        assert_eq!((rng.f32(), rng.f64()), (0.717_576_1, 0.42720981929150526));
        assert_eq!([(); 6].map(|()| rng.below(7)), [6, 3, 5, 2, 6, 0]);
        assert_eq!((rng.below(1), rng.below(0)), (0, 0));
    }

    #[test]
    fn settings_files_hold_every_seed() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Settings {
            #[serde(with = "seed_number")]
            seed: u64,
            #[serde(with = "seed_number")]
            other: Seed,
        }
        // TOML's integers end at 2^63 - 1.
        for (seed, text) in [
            (0, "seed = 0\nother = 0\n"),
            ((1 << 63) - 1, "seed = 9223372036854775807\nother = 9223372036854775807\n"),
            (1 << 63, "seed = \"9223372036854775808\"\nother = \"9223372036854775808\"\n"),
            (u64::MAX, "seed = \"18446744073709551615\"\nother = \"18446744073709551615\"\n"),
        ] {
            let settings = Settings { seed, other: Seed(seed) };
            assert_eq!(toml::to_string(&settings).expect("every seed fits"), text);
            assert_eq!(toml::from_str::<Settings>(text).expect("and is read"), settings);
        }
        for nonsense in ["-1", "1.5", "\"x\"", "\"18446744073709551616\"", "true"] {
            let error = toml::from_str::<Settings>(&format!("seed = {nonsense}\nother = 0")).expect_err("no seed");
            assert!(error.to_string().contains("from 0 to 18446744073709551615"), "{nonsense}: {error}");
        }
    }

    #[test]
    fn streams_differ_and_repeat() {
        let seed = Seed(7);
        assert_eq!(seed.derive("a", 3), seed.derive("a", 3));
        assert_ne!(seed.derive("a", 3), seed.derive("a", 4));
        assert_ne!(seed.derive("a", 3), seed.derive("b", 3));
        assert_ne!(seed.derive("a", 3), Seed(8).derive("a", 3));
    }

    #[test]
    fn moments() {
        let mut rng = Seed(1).rng();
        let n = 200_000;
        let normals: Vec<f64> = (0..n).map(|_| f64::from(rng.normal())).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n) - mean * mean;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }
}
