//! The learning-rate schedule that the learners share.

/// A linear rise over `num_warmup_steps`, then half a cosine from 1 to `final_scale` over the whole run (Loshchilov and
/// Hutter, 2017, without restarts). `done` is the share of the run that is over, in `[0, 1]`.
pub fn warmup_cosine(num_warmup_steps: u64, final_scale: f64, step: u64, done: f64) -> f64 {
    let rise = if step < num_warmup_steps { (step + 1) as f64 / num_warmup_steps as f64 } else { 1.0 };
    let turn = (std::f64::consts::PI * done.clamp(0.0, 1.0)).cos();
    rise * (final_scale + (1.0 - final_scale) * 0.5 * (1.0 + turn))
}

#[cfg(test)]
mod tests {
    use super::warmup_cosine;

    #[test]
    fn it_rises_and_falls_by_hand() {
        assert!((warmup_cosine(10, 0.1, 0, 0.0) - 0.1).abs() < 1e-12);
        assert!((warmup_cosine(10, 0.1, 500, 0.5) - 0.55).abs() < 1e-12);
        assert!((warmup_cosine(10, 0.1, 1000, 1.0) - 0.1).abs() < 1e-12);
    }
}
