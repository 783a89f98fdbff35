//! Which vector instructions this processor has, and the small loops that every op uses, compiled once for each.
//!
//! [`simd_fn!`] turns a plain generic loop into three builds of itself (AVX-512, AVX2, baseline) and picks one at run
//! time. Sums keep sixteen running totals whatever the instructions, so all three builds give the same bits.

use std::sync::LazyLock;

use super::real::Real;

/// Lanes of the widest vector, and the granularity of every packed layout in this folder.
pub const LANES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

/// The best level this processor supports.
#[inline]
pub fn level() -> Level {
    static LEVEL: LazyLock<Level> = LazyLock::new(detect);
    *LEVEL
}

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Baseline
}

/// Defines a function generic over one [`Real`] as three builds of the same body, chosen by [`level`].
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$real:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$real: $crate::nn::ops::real::Real>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$real: $crate::nn::ops::real::Real>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
                fn avx512<$real: $crate::nn::ops::real::Real>($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,bmi2")]
                fn avx2<$real: $crate::nn::ops::real::Real>($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match $crate::nn::ops::simd::level() {
                    // SAFETY: `level` has just seen these features on this processor.
                    $crate::nn::ops::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::nn::ops::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::nn::ops::simd::Level::Baseline => {}
                }
            }
            #[allow(unreachable_code)]
            body($($arg),*)
        }
    };
}
pub(crate) use simd_fn;

/// Adds sixteen running totals pairwise: the one order every sum here ends with.
#[inline(always)]
pub fn fold<T: Real>(mut totals: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            totals[i] += totals[i + width];
        }
        width /= 2;
    }
    totals[0]
}

simd_fn! {
    /// Sum of all elements.
    pub fn sum<T>(x: &[T]) -> T {
        let mut totals = [T::ZERO; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for i in 0..LANES {
                totals[i] += chunk[i];
            }
        }
        for (total, &value) in totals.iter_mut().zip(rest) {
            *total += value;
        }
        fold(totals)
    }
}

simd_fn! {
    /// Sum of `(x - mean)^2`.
    pub fn sum_squared_deviations<T>(x: &[T], mean: T) -> T {
        let mut totals = [T::ZERO; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for i in 0..LANES {
                let d = chunk[i] - mean;
                totals[i] += d * d;
            }
        }
        for (total, &value) in totals.iter_mut().zip(rest) {
            let d = value - mean;
            *total += d * d;
        }
        fold(totals)
    }
}

simd_fn! {
    /// Sums of `a` and of `a * (b - mean)`: what every normalization's gradient needs.
    pub fn sum_and_centred_dot<T>(a: &[T], b: &[T], mean: T) -> (T, T) {
        let mut sums = [T::ZERO; LANES];
        let mut dots = [T::ZERO; LANES];
        let (chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let (rest, b_rest) = (chunks.remainder(), b_chunks.remainder());
        for (x, y) in chunks.zip(b_chunks) {
            for i in 0..LANES {
                sums[i] += x[i];
                dots[i] += x[i] * (y[i] - mean);
            }
        }
        for (i, (&x, &y)) in rest.iter().zip(b_rest).enumerate() {
            sums[i] += x;
            dots[i] += x * (y - mean);
        }
        (fold(sums), fold(dots))
    }
}

simd_fn! {
    /// Sum of `a * b`.
    pub fn dot<T>(a: &[T], b: &[T]) -> T {
        let mut totals = [T::ZERO; LANES];
        let (chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let (rest, b_rest) = (chunks.remainder(), b_chunks.remainder());
        for (x, y) in chunks.zip(b_chunks) {
            for i in 0..LANES {
                totals[i] += x[i] * y[i];
            }
        }
        for (i, (&x, &y)) in rest.iter().zip(b_rest).enumerate() {
            totals[i] += x * y;
        }
        fold(totals)
    }
}

simd_fn! {
    /// `a += b`.
    pub fn add_assign<T>(a: &mut [T], b: &[T]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
}

simd_fn! {
    /// `a += scale * b`.
    pub fn add_scaled<T>(a: &mut [T], b: &[T], scale: T) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a += scale * b;
        }
    }
}

simd_fn! {
    /// `y = scale * x + shift`.
    pub fn affine<T>(x: &[T], scale: T, shift: T, y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = scale * x + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_on_odd_lengths() {
        let x: Vec<f64> = (1..=37).map(f64::from).collect();
        assert_eq!(sum(&x), 703.0);
        assert_eq!(dot(&x, &x), 37.0 * 38.0 * 75.0 / 6.0);
        // Variance of 1..=37 is (37^2 - 1) / 12 = 114.
        assert_eq!(sum_squared_deviations(&x, 19.0), 114.0 * 37.0);
        assert_eq!(sum_and_centred_dot(&x, &x, 19.0), (703.0, 114.0 * 37.0));
    }
}
