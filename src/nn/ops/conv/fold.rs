//! Enlarging by two (nearest) and convolving with a k x k kernel equals one transposed convolution with stride two and a
//! (k + 1) x (k + 1) kernel, because each result pixel sees every source pixel through one or two kernel elements per
//! axis. This folds the kernel, and unfolds the gradient.

use super::super::memory::Buffer;
use super::super::real::Real;

/// The kernel elements of an odd kernel `k` behind element `u` of the folded one.
fn elements(k: usize, u: usize) -> impl Iterator<Item = usize> {
    // With q = (k - 1) / 2 these are 2 q - u and 2 q - u + 1, as far as they exist.
    let upper = k - u.min(k);
    (upper.saturating_sub(1)..=upper).filter(move |&e| e < k)
}

/// From `[o][c][k][k]` to `[c][o][k + 1][k + 1]`: the weight of the underlying stride-two convolution.
pub fn fold_kernel<T: Real>(weight: &[T], o: usize, c: usize, k: usize) -> Buffer<T> {
    let folded = k + 1;
    let mut out = Buffer::zeroed(o * c * folded * folded);
    for oi in 0..o {
        for ci in 0..c {
            let from = &weight[(oi * c + ci) * k * k..][..k * k];
            let to = &mut out[(ci * o + oi) * folded * folded..][..folded * folded];
            for uy in 0..folded {
                for ux in 0..folded {
                    for ky in elements(k, uy) {
                        for kx in elements(k, ux) {
                            to[uy * folded + ux] += from[ky * k + kx];
                        }
                    }
                }
            }
        }
    }
    out
}

/// The transpose of [`fold_kernel`], for gradients.
pub fn unfold_gradient<T: Real>(folded_gradient: &[T], o: usize, c: usize, k: usize) -> Buffer<T> {
    let folded = k + 1;
    let mut out = Buffer::zeroed(o * c * k * k);
    for oi in 0..o {
        for ci in 0..c {
            let from = &folded_gradient[(ci * o + oi) * folded * folded..][..folded * folded];
            let to = &mut out[(oi * c + ci) * k * k..][..k * k];
            for uy in 0..folded {
                for ux in 0..folded {
                    for ky in elements(k, uy) {
                        for kx in elements(k, ux) {
                            to[ky * k + kx] += from[uy * folded + ux];
                        }
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_three_kernel_folds_as_by_hand() {
        // One axis: folded elements are w2, w1 + w2, w0 + w1, w0.
        assert_eq!(
            (0..4).map(|u| elements(3, u).collect::<Vec<_>>()).collect::<Vec<_>>(),
            [vec![2], vec![1, 2], vec![0, 1], vec![0]]
        );
        let weight: Vec<f64> = (1..=9).map(f64::from).collect();
        let folded = fold_kernel(&weight, 1, 1, 3);
        assert_eq!(folded[0], 9.0);
        assert_eq!(folded[5], 5.0 + 6.0 + 8.0 + 9.0);
        assert_eq!(folded[15], 1.0);
        assert_eq!(folded.iter().sum::<f64>(), 45.0 * 4.0);
    }

    #[test]
    fn unfolding_is_the_transpose() {
        let (o, c, k) = (2, 3, 5);
        let weight: Vec<f64> = (0..o * c * k * k).map(|i| ((i * 37) % 23) as f64 - 11.0).collect();
        let probe: Vec<f64> = (0..o * c * (k + 1) * (k + 1)).map(|i| ((i * 17) % 19) as f64 - 9.0).collect();
        let left: f64 = fold_kernel(&weight, o, c, k).iter().zip(&probe).map(|(a, b)| a * b).sum();
        let right: f64 = unfold_gradient(&probe, o, c, k).iter().zip(&weight).map(|(a, b)| a * b).sum();
        assert!((left - right).abs() < 1e-9);
    }
}
