//! The two float types the native kernels run in: `f32` for training, `f64` for gradient checks.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};
use std::sync::Arc;

use candle_core::{CpuStorage, WithDType};

use super::activations::Data;
use super::memory::Buffer;

/// A float the kernels are generic over. Everything a kernel needs beyond arithmetic is listed here.
pub trait Real:
    WithDType
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
{
    const ZERO: Self;
    const ONE: Self;
    const NEG_INFINITY: Self;

    fn of(value: f64) -> Self;
    fn of_f32(value: f32) -> Self;
    fn as_f64(self) -> f64;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn ln_1p(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn abs(self) -> Self;

    fn wrap(buffer: Arc<Buffer<Self>>) -> Data;
    fn unwrap(data: &Data) -> Option<&Arc<Buffer<Self>>>;
    fn storage(values: Vec<Self>) -> CpuStorage;
    /// True for `f32`: the explicit AVX-512 kernels exist for it.
    const SINGLE: bool;
}

macro_rules! real {
    ($float:ty, $dtype:ident, $single:expr) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = <$float>::NEG_INFINITY;
            const SINGLE: bool = $single;

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $float
            }
            #[inline(always)]
            fn of_f32(value: f32) -> Self {
                value.into()
            }
            #[inline(always)]
            fn as_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$float>::sqrt(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                <$float>::exp(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                <$float>::ln_1p(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                <$float>::ln(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                <$float>::tanh(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$float>::abs(self)
            }
            fn wrap(buffer: Arc<Buffer<Self>>) -> Data {
                Data::$dtype(buffer)
            }
            fn unwrap(data: &Data) -> Option<&Arc<Buffer<Self>>> {
                match data {
                    Data::$dtype(buffer) => Some(buffer),
                    _ => None,
                }
            }
            fn storage(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$dtype(values)
            }
        }
    };
}
real!(f32, F32, true);
real!(f64, F64, false);
