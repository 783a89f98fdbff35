//! The loss of a baseline JPEG without the file: YCbCr 4:2:0, 8x8 DCT, quantization by the standard tables, and back.
//! The entropy coding of a real file loses nothing, so it is left out.

/// Annex K tables of the JPEG standard (ITU-T T.81), row by row.
const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

/// libjpeg's scaling of the tables by quality.
fn scaled(table: &[u8; 64], quality: u8) -> [f32; 64] {
    let quality = i32::from(quality.clamp(1, 100));
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    std::array::from_fn(|i| ((i32::from(table[i]) * scale + 50) / 100).clamp(1, 255) as f32)
}

/// `basis[k][n]`: the orthonormal DCT-II of length 8.
fn basis() -> [[f32; 8]; 8] {
    std::array::from_fn(|k| {
        std::array::from_fn(|n| {
            let norm = if k == 0 { (1.0_f64 / 8.0).sqrt() } else { 0.5 };
            let angle = (2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0;
            (norm * angle.cos()) as f32
        })
    })
}

fn quantize_plane(plane: &mut [f32], width: usize, height: usize, table: &[f32; 64], basis: &[[f32; 8]; 8]) {
    for by in (0..height).step_by(8) {
        for bx in (0..width).step_by(8) {
            let at = |x: usize, y: usize| (by + y).min(height - 1) * width + (bx + x).min(width - 1);
            let block: [[f32; 8]; 8] = std::array::from_fn(|y| std::array::from_fn(|x| plane[at(x, y)] - 128.0));
            let rows: [[f32; 8]; 8] =
                std::array::from_fn(|y| std::array::from_fn(|k| (0..8).map(|n| basis[k][n] * block[y][n]).sum()));
            let coefficients: [[f32; 8]; 8] = std::array::from_fn(|v| {
                std::array::from_fn(|u| {
                    let value: f32 = (0..8).map(|n| basis[v][n] * rows[n][u]).sum();
                    let q = table[v * 8 + u];
                    (value / q).round() * q
                })
            });
            let columns: [[f32; 8]; 8] = std::array::from_fn(|n| {
                std::array::from_fn(|u| (0..8).map(|v| basis[v][n] * coefficients[v][u]).sum())
            });
            for y in 0..8.min(height - by) {
                for x in 0..8.min(width - bx) {
                    let value: f32 = (0..8).map(|u| basis[u][x] * columns[y][u]).sum();
                    plane[(by + y) * width + bx + x] = value + 128.0;
                }
            }
        }
    }
}

/// Encodes and decodes `rgb` (`width * height * 3` bytes) in place.
pub fn round_trip(rgb: &mut [u8], width: usize, height: usize, quality: u8) {
    let pixels = width * height;
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut luma = vec![0.0_f32; pixels];
    let mut chroma = [vec![0.0_f32; half_width * half_height], vec![0.0_f32; half_width * half_height]];
    let mut counts = vec![0.0_f32; half_width * half_height];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let [r, g, b] = [f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2])];
        luma[i] = 0.299 * r + 0.587 * g + 0.114 * b;
        let half = (i / width / 2) * half_width + (i % width) / 2;
        chroma[0][half] += -0.168_736 * r - 0.331_264 * g + 0.5 * b;
        chroma[1][half] += 0.5 * r - 0.418_688 * g - 0.081_312 * b;
        counts[half] += 1.0;
    }
    for plane in &mut chroma {
        plane.iter_mut().zip(&counts).for_each(|(value, &count)| *value = *value / count + 128.0);
    }
    let basis = basis();
    quantize_plane(&mut luma, width, height, &scaled(&LUMA, quality), &basis);
    let table = scaled(&CHROMA, quality);
    for plane in &mut chroma {
        quantize_plane(plane, half_width, half_height, &table, &basis);
    }
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let half = (i / width / 2) * half_width + (i % width) / 2;
        let (y, cb, cr) = (luma[i], chroma[0][half] - 128.0, chroma[1][half] - 128.0);
        let byte = |v: f32| (v + 0.5).clamp(0.0, 255.0) as u8;
        pixel[0] = byte(y + 1.402 * cr);
        pixel[1] = byte(y - 0.344_136 * cb - 0.714_136 * cr);
        pixel[2] = byte(y + 1.772 * cb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_real_encoder() {
        // A smooth picture with an edge, through the `image` crate's encoder and decoder and through ours.
        let (width, height) = (48_u32, 32_u32);
        let picture = image::RgbImage::from_fn(width, height, |x, y| {
            // The edge is in brightness alone: the real encoder keeps full chroma, ours halves it as cameras do.
            let edge = if x > 22 { 90 } else { 0 };
            image::Rgb([(40 + x + edge) as u8, (50 + y * 2 + edge) as u8, (100 - x + edge) as u8])
        });
        for quality in [90_u8, 60] {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode_image(&picture)
                .expect("encodes");
            let real = image::load_from_memory(bytes.get_ref()).expect("decodes").to_rgb8();
            let mut ours = picture.clone().into_raw();
            round_trip(&mut ours, width as usize, height as usize, quality);
            let difference = real.as_raw().iter().zip(&ours).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>()
                / ours.len() as f64;
            let loss = picture.as_raw().iter().zip(&ours).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>()
                / ours.len() as f64;
            assert!(loss > 0.3, "quality {quality} loses something: {loss}");
            assert!(difference < 3.0, "quality {quality}: {difference}");
        }
    }

    #[test]
    fn lower_quality_loses_more() {
        let noisy: Vec<u8> = (0..64 * 64 * 3).map(|i| ((i * 2_654_435_761_u64 as usize) >> 7) as u8).collect();
        let loss = |quality| {
            let mut copy = noisy.clone();
            round_trip(&mut copy, 64, 64, quality);
            copy.iter().zip(&noisy).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>()
        };
        assert!(loss(30) > loss(90));
    }
}
