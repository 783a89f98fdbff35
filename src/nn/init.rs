//! Seeded initialisers, in PyTorch's formulas, drawn from the program's own generator.

use crate::contract::Rng;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0: biases, shifts, running means.
    Zeros,
    /// All 1: scales, running variances.
    Ones,
    /// This number everywhere.
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Largest magnitude.
        bound: f32,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation, whatever the shape.
        std: f32,
    },
    /// Normal cut off at two deviations (redrawn beyond), as TensorFlow's truncated normal.
    TruncatedNormal {
        /// Standard deviation before the cut.
        std: f32,
    },
    /// He et al., 2015: uniform with variance `gain^2 / fan_in`. A gain of sqrt(1/3) is PyTorch's default for
    /// convolutions and linear layers; sqrt(2) suits ReLU.
    KaimingUniform {
        /// Multiplies the standard deviation `1 / sqrt(fan_in)`.
        gain: f32,
    },
    /// He et al., 2015: normal with variance `gain^2 / fan_in`.
    KaimingNormal {
        /// Multiplies the standard deviation `1 / sqrt(fan_in)`.
        gain: f32,
    },
    /// Glorot and Bengio, 2010: uniform with variance `2 gain^2 / (fan_in + fan_out)`.
    XavierUniform {
        /// Multiplies the standard deviation `sqrt(2 / (fan_in + fan_out))`.
        gain: f32,
    },
    /// Glorot and Bengio, 2010: normal with variance `2 gain^2 / (fan_in + fan_out)`.
    XavierNormal {
        /// Multiplies the standard deviation `sqrt(2 / (fan_in + fan_out))`.
        gain: f32,
    },
}

impl Init {
    /// PyTorch's default for convolution and linear weights: uniform within `1 / sqrt(fan_in)`.
    pub const PYTORCH: Self = Self::KaimingUniform { gain: 0.577_350_26 };

    /// The nearest that candle-nn has a name for; only the truncated normal differs (it has no cut there).
    pub fn hint(self, shape: &[usize]) -> candle_nn::Init {
        use candle_nn::Init as Hint;
        let (fan_in, fan_both) = fans_as_f32(shape);
        let uniform = |bound: f32| Hint::Uniform { lo: -f64::from(bound), up: f64::from(bound) };
        let normal = |std: f32| Hint::Randn { mean: 0.0, stdev: f64::from(std) };
        match self {
            Self::Zeros => Hint::Const(0.0),
            Self::Ones => Hint::Const(1.0),
            Self::Constant(value) => Hint::Const(f64::from(value)),
            Self::Uniform { bound } => uniform(bound),
            Self::KaimingUniform { gain } => uniform(gain * (3.0 / fan_in).sqrt()),
            Self::XavierUniform { gain } => uniform(gain * (6.0 / fan_both).sqrt()),
            Self::Normal { std } | Self::TruncatedNormal { std } => normal(std),
            Self::KaimingNormal { gain } => normal(gain / fan_in.sqrt()),
            Self::XavierNormal { gain } => normal(gain * (2.0 / fan_both).sqrt()),
        }
    }
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

/// Fan-in, and the sum of both, at least 1.
fn fans_as_f32(shape: &[usize]) -> (f32, f32) {
    let (fan_in, fan_out) = fans(shape);
    (fan_in.max(1) as f32, (fan_in + fan_out).max(1) as f32)
}

/// The values of a parameter of this shape.
pub fn sample(init: Init, shape: &[usize], rng: &mut Rng) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let (fan_in, fan_both) = fans_as_f32(shape);
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

/// The values of a parameter that candle-nn asks for, from our generator.
pub fn sample_stock(hint: candle_nn::Init, shape: &candle_core::Shape, rng: &mut Rng) -> Vec<f32> {
    use candle_nn::Init as Hint;
    use candle_nn::init::NormalOrUniform;
    let count = shape.elem_count();
    let mut uniform = |low: f64, high: f64| (0..count).map(|_| rng.range(low as f32, high as f32)).collect();
    match hint {
        Hint::Const(value) => vec![value as f32; count],
        Hint::Uniform { lo, up } => uniform(lo, up),
        Hint::Randn { mean, stdev } => (0..count).map(|_| mean as f32 + stdev as f32 * rng.normal()).collect(),
        Hint::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape).max(1) as f64).sqrt();
            match dist {
                NormalOrUniform::Uniform => uniform(-3.0_f64.sqrt() * std, 3.0_f64.sqrt() * std),
                NormalOrUniform::Normal => (0..count).map(|_| std as f32 * rng.normal()).collect(),
            }
        }
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
