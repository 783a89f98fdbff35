//! Draws that fill space evenly. 64 independent draws in five dimensions crowd in some places and leave others out; those of
//! a low-discrepancy sequence do neither, and a search that has no more of them finds more.

use crate::contract::Rng;

/// Points of the unit cube `[0, 1)^5`: the additive recurrence of Roberts ("The unreasonable effectiveness of quasirandom
/// sequences", 2018) from a random start (Cranley and Patterson, 1976), so that each point by itself is uniform.
pub struct QuasiRandom([f64; 5]);

/// Powers of the reciprocal of the root of `x^6 = x + 1`.
const STEPS: [f64; 5] = [
    0.881_271_461_633_569_5,
    0.776_639_389_089_768_3,
    0.684_430_129_585_342_7,
    0.603_168_740_685_728_2,
    0.531_555_397_715_791_4,
];

impl QuasiRandom {
    /// A sequence from a uniformly random start, for which five numbers of `rng` are drawn.
    pub fn new(rng: &mut Rng) -> Self {
        Self(std::array::from_fn(|_| f64::from(rng.f32())))
    }

    /// The next point; all coordinates are at least 0 and below 1.
    pub fn point(&mut self) -> [f32; 5] {
        for (at, step) in self.0.iter_mut().zip(STEPS) {
            *at = (*at + step).fract();
        }
        // The highest numbers would round to 1.
        self.0.map(|at| (at as f32).min(1.0 - f32::EPSILON))
    }
}

/// The number below which lies `share` of a standard normal distribution, for shares from 1e-6 to 1 - 1e-6; others give those
/// two's (Acklam's rational approximations, relative error 1.2e-9).
pub fn normal_quantile(share: f32) -> f32 {
    const MIDDLE: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const UNDER_MIDDLE: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const TAIL: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const UNDER_TAIL: [f64; 5] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416, 1.0];
    /// Where the tails begin.
    const EDGE: f64 = 0.02425;
    let polynomial = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    let share = f64::from(share).clamp(1e-6, 1.0 - 1e-6);
    let tail = |share: f64| {
        let x = (-2.0 * share.ln()).sqrt();
        polynomial(&TAIL, x) / polynomial(&UNDER_TAIL, x)
    };
    let found = if share < EDGE {
        tail(share)
    } else if share > 1.0 - EDGE {
        -tail(1.0 - share)
    } else {
        let (x, square) = (share - 0.5, (share - 0.5).powi(2));
        x * polynomial(&MIDDLE, square) / polynomial(&UNDER_MIDDLE, square)
    };
    found as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (share, expected) in [
            (0.5, 0.0),
            (0.75, 0.674_489_75),
            (0.975, 1.959_964),
            (0.99, 2.326_347_9),
            (0.999, 3.090_232_3),
            (1e-5, -4.264_890_8),
        ] {
            assert!((normal_quantile(share) - expected).abs() < 2e-4, "{share}: {}", normal_quantile(share));
            assert!((normal_quantile(1.0 - share) + normal_quantile(share)).abs() < 5e-3, "{share}");
        }
        assert!(normal_quantile(0.0).is_finite() && normal_quantile(1.0).is_finite());
    }

    /// Of 64 points in as many equal boxes (4 x 4 x 4 along three axes), how many boxes hold one.
    fn boxes(points: &[[f32; 5]], axes: [usize; 3]) -> usize {
        let name = |point: &[f32; 5]| axes.map(|axis| (4.0 * point[axis]) as usize);
        points.iter().map(name).collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn points_are_uniform_and_even() {
        let mut means = [0.0_f32; 5];
        let (mut even, mut independent) = (0, 0);
        for seed in 0..200 {
            let mut rng = Seed(seed).rng();
            let mut sequence = QuasiRandom::new(&mut rng);
            let points: Vec<[f32; 5]> = (0..64).map(|_| sequence.point()).collect();
            assert!(points.iter().flatten().all(|at| (0.0..1.0).contains(at)));
            (0..5).for_each(|axis| means[axis] += points[0][axis] / 200.0);
            let others: Vec<[f32; 5]> = (0..64).map(|_| std::array::from_fn(|_| rng.f32())).collect();
            for axes in [[0, 1, 2], [1, 3, 4], [0, 2, 4]] {
                even += boxes(&points, axes);
                independent += boxes(&others, axes);
            }
        }
        assert!(means.iter().all(|mean| (mean - 0.5).abs() < 0.08), "{means:?}");
        // Independent draws fill 1 - 1/e of the boxes.
        let share = |count: usize| count as f64 / f64::from(200 * 3 * 64);
        assert!((share(independent) - 0.635).abs() < 0.01, "{}", share(independent));
        assert!(share(even) > 0.7, "{}", share(even));
    }
}
