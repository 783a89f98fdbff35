//! Image against image.

/// Peak signal-to-noise ratio in decibels over all values, the peak being 255. Infinite for equal images; `None` when
/// the lengths differ or there is nothing to compare.
pub fn psnr(image: &[u8], truth: &[u8]) -> Option<f64> {
    if image.len() != truth.len() || image.is_empty() {
        return None;
    }
    let squares: u64 = image.iter().zip(truth).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let mean = squares as f64 / image.len() as f64 / (255.0 * 255.0);
    Some(-10.0 * mean.log10())
}

/// Half the width of the window: 11 pixels across.
const RADIUS: usize = 5;
const SIGMA: f64 = 1.5;

/// Structural similarity (Wang et al., 2004): Gaussian window of 11x11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03,
/// each colour channel by itself, then their mean. Windows that would reach over the border are left out. The same
/// figure as scikit-image's `structural_similarity(a, b, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5,
/// use_sample_covariance=False)`.
///
/// `None` when the lengths are not `width * height * 3` or the image is smaller than the window.
pub fn ssim(image: &[u8], truth: &[u8], width: usize, height: usize) -> Option<f64> {
    let side = 2 * RADIUS + 1;
    let length = width.checked_mul(height)?.checked_mul(3)?;
    if image.len() != length || truth.len() != length || width < side || height < side {
        return None;
    }
    let window = gaussian_window();
    let (c1, c2) = (0.01_f64.powi(2), 0.03_f64.powi(2));
    let mut total = 0.0;
    for channel in 0..3 {
        let plane =
            |rgb: &[u8]| -> Vec<f64> { rgb[channel..].iter().step_by(3).map(|&v| f64::from(v) / 255.0).collect() };
        let (x, y) = (plane(image), plane(truth));
        let blurred = |f: &dyn Fn(usize) -> f64| blur(&(0..x.len()).map(f).collect::<Vec<_>>(), width, height, &window);
        let (mx, my) = (blurred(&|i| x[i]), blurred(&|i| y[i]));
        let (mxx, myy, mxy) = (blurred(&|i| x[i] * x[i]), blurred(&|i| y[i] * y[i]), blurred(&|i| x[i] * y[i]));
        let mut sum = 0.0;
        for i in 0..mx.len() {
            let (a, b) = (mx[i], my[i]);
            let (vx, vy, cov) = (mxx[i] - a * a, myy[i] - b * b, mxy[i] - a * b);
            sum += (2.0 * a * b + c1) * (2.0 * cov + c2) / ((a * a + b * b + c1) * (vx + vy + c2));
        }
        total += sum / mx.len() as f64;
    }
    Some(total / 3.0)
}

fn gaussian_window() -> [f64; 2 * RADIUS + 1] {
    let raw: [f64; 2 * RADIUS + 1] =
        std::array::from_fn(|i| (-0.5 * ((i as f64 - RADIUS as f64) / SIGMA).powi(2)).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|v| v / sum)
}

/// Separable convolution where the window fits: `[height - 10, width - 10]`.
fn blur(plane: &[f64], width: usize, height: usize, window: &[f64]) -> Vec<f64> {
    let (w, h) = (width - 2 * RADIUS, height - 2 * RADIUS);
    let mut rows = Vec::with_capacity(w * height);
    for line in plane.chunks_exact(width) {
        rows.extend((0..w).map(|x| window.iter().zip(&line[x..]).map(|(k, v)| k * v).sum::<f64>()));
    }
    let at = |x: usize, y: usize| window.iter().enumerate().map(|(k, weight)| weight * rows[(y + k) * w + x]).sum();
    (0..w * h).map(|i| at(i % w, i / w)).collect()
}

/// Mean of `image - truth` for each channel, in `[-1, 1]`. RCAN's mean pairwise squared error is blind to it, so report
/// it beside that. `None` when the lengths differ or are no whole pixels.
pub fn colour_bias(image: &[u8], truth: &[u8]) -> Option<[f64; 3]> {
    if image.len() != truth.len() || image.is_empty() || !image.len().is_multiple_of(3) {
        return None;
    }
    let mut sums = [0_i64; 3];
    for (i, (a, b)) in image.iter().zip(truth).enumerate() {
        sums[i % 3] += i64::from(*a) - i64::from(*b);
    }
    Some(sums.map(|sum| sum as f64 / (image.len() / 3) as f64 / 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Reference {
        width: usize,
        height: usize,
        truth: Vec<u8>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        image: Vec<u8>,
        psnr_db: f64,
        ssim: f64,
        bias: [f64; 3],
    }

    #[test]
    fn agrees_with_scikit_image() {
        let text = include_str!("../../../tests/fixtures/metrics/reference.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        assert_eq!(reference.cases.len(), 4);
        for case in &reference.cases {
            let Case { name, image, .. } = case;
            let found = psnr(image, &reference.truth).unwrap();
            assert!((found - case.psnr_db).abs() < 1e-9, "{name}: PSNR {found}, expected {}", case.psnr_db);
            let found = ssim(image, &reference.truth, reference.width, reference.height).unwrap();
            assert!((found - case.ssim).abs() < 1e-9, "{name}: SSIM {found}, expected {}", case.ssim);
            let found = colour_bias(image, &reference.truth).unwrap();
            assert!(found.iter().zip(case.bias).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: bias {found:?}");
        }
    }

    #[test]
    fn equal_images_and_wrong_sizes() {
        let image: Vec<u8> = (0..11 * 12 * 3).map(|i| (i * 7 % 256) as u8).collect();
        assert_eq!(psnr(&image, &image), Some(f64::INFINITY));
        assert!((ssim(&image, &image, 11, 12).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(colour_bias(&image, &image), Some([0.0; 3]));
        assert_eq!(psnr(&image, &image[1..]), None);
        assert_eq!(ssim(&image, &image, 12, 12), None);
        assert_eq!(ssim(&image[..300], &image[..300], 10, 10), None);
        assert_eq!(colour_bias(&[], &[]), None);
    }
}
