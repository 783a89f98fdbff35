//! Seeded initialisers, in PyTorch's formulas, drawn from the program's own generator.

use crate::contract::Rng;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Zeros,
    Ones,
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        bound: f32,
    },
    Normal {
        std: f32,
    },
    /// Normal cut off at two deviations (redrawn beyond), as TensorFlow's truncated normal.
    TruncatedNormal {
        std: f32,
    },
    /// He et al., 2015: uniform with variance `gain^2 / fan_in`. A gain of sqrt(1/3) is PyTorch's default for
    /// convolutions and linear layers; sqrt(2) suits ReLU.
    KaimingUniform {
        gain: f32,
    },
    KaimingNormal {
        gain: f32,
    },
    /// Glorot and Bengio, 2010: uniform with variance `2 gain^2 / (fan_in + fan_out)`.
    XavierUniform {
        gain: f32,
    },
    XavierNormal {
        gain: f32,
    },
}

impl Init {
    /// PyTorch's default for convolution and linear weights: uniform within `1 / sqrt(fan_in)`.
    pub const PYTORCH: Self = Self::KaimingUniform { gain: 0.577_350_26 };
}

/// `(fan_in, fan_out)` of a weight `[out, in, kernel...]`; a vector counts its length for both.
pub fn fans(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (*n, *n),
        [out, input, kernel @ ..] => {
            let field: usize = kernel.iter().product();
            (input * field, out * field)
        }
    }
}

/// The values of a parameter of this shape.
pub fn sample(init: Init, shape: &[usize], rng: &mut Rng) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let (fan_in, fan_out) = fans(shape);
    let (fan_in, fan_both) = (fan_in.max(1) as f32, (fan_in + fan_out).max(1) as f32);
    let mut uniform = |bound: f32| (0..count).map(|_| rng.range(-bound, bound)).collect();
    match init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Constant(value) => vec![value; count],
        Init::Uniform { bound } => uniform(bound),
        Init::KaimingUniform { gain } => uniform(gain * (3.0 / fan_in).sqrt()),
        Init::XavierUniform { gain } => uniform(gain * (6.0 / fan_both).sqrt()),
        Init::Normal { std } => (0..count).map(|_| std * rng.normal()).collect(),
        Init::KaimingNormal { gain } => (0..count).map(|_| gain / fan_in.sqrt() * rng.normal()).collect(),
        Init::XavierNormal { gain } => (0..count).map(|_| gain * (2.0 / fan_both).sqrt() * rng.normal()).collect(),
        Init::TruncatedNormal { std } => (0..count)
            .map(|_| {
                loop {
                    let x = rng.normal();
                    if x.abs() <= 2.0 {
                        return std * x;
                    }
                }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    fn moments(init: Init, shape: &[usize]) -> (f64, f64, f64) {
        let values = sample(init, shape, &mut Seed(3).rng());
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let highest = values.iter().fold(0.0_f64, |m, &x| m.max(f64::from(x.abs())));
        (mean, variance, highest)
    }

    #[test]
    fn variances_follow_the_papers() {
        let shape = [64, 32, 3, 3];
        let (fan_in, fan_out) = fans(&shape);
        assert_eq!((fan_in, fan_out), (288, 576));
        let close = |init, expected: f64| {
            let (mean, variance, _) = moments(init, &shape);
            assert!(mean.abs() < 4.0 * (expected / 18432.0).sqrt(), "{init:?} mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.04, "{init:?} variance {variance}, expected {expected}");
        };
        // Uniform in +-1/sqrt(288): variance 1 / (3 * 288).
        close(Init::PYTORCH, 1.0 / 864.0);
        close(Init::KaimingNormal { gain: 2.0_f32.sqrt() }, 2.0 / 288.0);
        close(Init::XavierUniform { gain: 1.0 }, 2.0 / 864.0);
        close(Init::XavierNormal { gain: 1.0 }, 2.0 / 864.0);
        close(Init::Normal { std: 0.02 }, 0.0004);
        // A normal cut at two deviations keeps 0.7737 of its variance.
        close(Init::TruncatedNormal { std: 0.02 }, 0.0004 * 0.773_74);
        assert!(moments(Init::TruncatedNormal { std: 0.02 }, &shape).2 <= 0.04);
        assert!(moments(Init::PYTORCH, &shape).2 <= 1.0 / 288.0_f64.sqrt() + 1e-6);
    }
}
