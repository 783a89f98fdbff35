//! ViSP's own numbers: `tests/fixtures/visp/numbers.jsonl`, printed by `visp_peer.cpp` beside it.

use super::{AdaptiveGain, Mask, Moments, PoseError};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Gain { gain: [f64; 4], lambda: f64 },
    Servo { servo: [f64; 6], v: [f64; 3] },
    Moments { mask: Vec<String>, pixels: PixelSums, border: Border },
}

#[derive(Deserialize)]
struct PixelSums {
    m00: f64,
    x: f64,
    y: f64,
    mu20: f64,
    mu02: f64,
    mu11: f64,
    alpha: f64,
}

#[derive(Deserialize)]
struct Border {
    m00: f64,
    x: f64,
    y: f64,
    mu20: f64,
    mu02: f64,
    mu11: f64,
}

fn adaptive(at_zero: f64, at_infinity: f64, slope_at_zero: f64) -> AdaptiveGain {
    AdaptiveGain { at_zero, at_infinity, slope_at_zero }
}

fn assert_within(what: &str, pairs: &[(f64, f64)], tolerance: f64) {
    for (got, expected) in pairs {
        assert!((got - expected).abs() <= tolerance, "{what}: {got}, by ViSP {expected}");
    }
}

#[test]
fn gains_velocities_and_moments_equal_visp() -> anyhow::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/visp/numbers.jsonl");
    let mut counts = [0_usize; 3];
    for (number, text) in std::fs::read_to_string(path)?.lines().enumerate() {
        let place = format!("line {}", number + 1);
        match serde_json::from_str(text)? {
            Line::Gain { gain: [at_zero, at_infinity, slope, x], lambda } => {
                counts[0] += 1;
                assert_within(&place, &[(adaptive(at_zero, at_infinity, slope).value(x), lambda)], 1e-6);
            }
            Line::Servo { servo: [at_zero, at_infinity, slope, tx, ty, theta], v } => {
                counts[1] += 1;
                let velocity = PoseError { tx, ty, theta }.velocity(&adaptive(at_zero, at_infinity, slope));
                assert_within(&place, &[(velocity.vx, v[0]), (velocity.vy, v[1]), (velocity.wz, v[2])], 1e-6);
            }
            Line::Moments { mask, pixels, border } => {
                counts[2] += 1;
                let rows: Vec<&[u8]> = mask.iter().map(|row| row.as_bytes()).collect();
                let mask = Mask::from_fn(rows[0].len(), rows.len(), |column, row| rows[row][column] == b'1');
                let sums = Moments::from_pixels(&mask).expect("an area");
                // ViSP printed twelve digits.
                let exact = [
                    (sums.m00, pixels.m00),
                    (sums.x, pixels.x),
                    (sums.y, pixels.y),
                    (sums.mu20, pixels.mu20),
                    (sums.mu02, pixels.mu02),
                    (sums.mu11, pixels.mu11),
                    (sums.alpha(), pixels.alpha),
                ];
                for (got, expected) in exact {
                    assert_within(&place, &[(got, expected)], 1e-10 * expected.abs().max(100.0));
                }
                let polygon = Moments::from_border(&mask).expect("an area");
                // vpDot2 sums in single precision: relative to the spread, as mu11 may be 0.
                let spread = border.mu20.max(border.mu02);
                assert_within(&place, &[(polygon.m00, border.m00)], 1e-3 * border.m00);
                assert_within(&place, &[(polygon.x, border.x), (polygon.y, border.y)], 1e-3);
                let seconds = [(polygon.mu20, border.mu20), (polygon.mu02, border.mu02), (polygon.mu11, border.mu11)];
                assert_within(&place, &seconds, 1e-3 * spread);
            }
        }
    }
    assert_eq!(counts, [30, 120, 10]);
    Ok(())
}
