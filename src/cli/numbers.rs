//! Numbers of the command line, checked while words are parsed: what is impossible is refused with what is possible, as
//! wrong usage, before anything is done.

use std::ops::RangeInclusive;

/// A parser for clap: a number within `range`, no NaN or infinity.
pub fn real(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse::<f64>().ok().filter(|number| range.contains(number));
        // Minus zero is zero.
        number.map(|number| number + 0.0).ok_or_else(|| format!("it must be {}", possible(range.start(), range.end())))
    }
}

/// The same in 32 bits.
pub fn real32(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f32, String> + Clone + Send + Sync + 'static {
    let parse = real(range);
    move |text| parse(text).map(|number| number as f32)
}

/// A parser for clap: a whole number within `range`.
pub fn whole(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse::<u64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("it must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// The same for sizes and counts of things in memory.
pub fn count(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    let parse = whole(range);
    move |text| parse(text).and_then(|number| usize::try_from(number).map_err(|error| error.to_string()))
}

fn possible(low: &f64, high: &f64) -> String {
    format!("a number from {low} to {high}")
}

/// Environments that are played at once.
pub const ENVIRONMENTS: RangeInclusive<u64> = 1..=4096;
/// Rows of a contact sheet: more are taller than a PNG of this program may be.
pub const ROWS: RangeInclusive<u64> = 1..=500;
/// Grasp attempts, frames and episodes of a measurement.
pub const ATTEMPTS: RangeInclusive<u64> = 1..=100_000_000;
/// How long something is measured, seconds.
pub const SECONDS: RangeInclusive<f64> = 0.0..=86_400.0;
/// How long a training takes, minutes.
pub const MINUTES: RangeInclusive<f64> = 0.0..=crate::train::limits::MAX_MINUTES;
/// Weights of losses.
pub const WEIGHT: RangeInclusive<f64> = 0.0..=1e3;
/// What lengths of object files are multiplied by.
pub const SCALE: RangeInclusive<f64> = 1e-6..=1e6;
/// Densities of things, kg/m^3: from foam to beyond osmium.
pub const DENSITY: RangeInclusive<f64> = 1.0..=30_000.0;
/// Coulomb friction.
pub const FRICTION: RangeInclusive<f64> = 0.0..=10.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_in_range_is_told_what_is() {
        let divider = real32(-0.08..=0.08);
        assert_eq!(divider("0.03"), Ok(0.03));
        assert_eq!(divider("-0").map(f32::to_bits), Ok(0.0_f32.to_bits()));
        for nonsense in ["nan", "inf", "-inf", "9", "-0.081", "", "1e999", "0,03", "0.03m"] {
            assert_eq!(divider(nonsense), Err("it must be a number from -0.08 to 0.08".to_owned()), "{nonsense}");
        }
        let rows = count(1..=500);
        assert_eq!((rows("1"), rows("500")), (Ok(1), Ok(500)));
        for nonsense in ["0", "501", "-1", "1.5", "18446744073709551616", "x"] {
            assert_eq!(rows(nonsense), Err("it must be a whole number from 1 to 500".to_owned()), "{nonsense}");
        }
    }
}
