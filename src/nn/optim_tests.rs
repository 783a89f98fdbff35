//! Optimizers against PyTorch's formulas by hand, the guard, and exact resume.

use candle_core::Device;
use candle_core::backprop::GradStore;
use candle_core::{Result as CandleResult, Var};

use super::*;
use crate::contract::Seed;
use crate::nn::init::Init;

fn store() -> Result<(ParamStore, Param)> {
    let store = ParamStore::new(Seed(1), &Device::Cpu);
    let param = store.root().param("w", &[3], Init::PYTORCH)?;
    param.var().set(&Tensor::new(&[1.0_f32, -2.0, 0.5], &Device::Cpu)?)?;
    Ok((store, param))
}

/// Gradients `[a, b, c]` for the parameter.
fn grads(param: &Param, gradient: [f32; 3]) -> CandleResult<GradStore> {
    (param.tensor() * Tensor::new(&gradient, &Device::Cpu)?)?.sum_all()?.backward()
}

fn values(var: &Var) -> CandleResult<Vec<f32>> {
    var.as_tensor().to_vec1()
}

/// Adam written down again in f64, straight from the paper's algorithm 1.
fn reference(config: AdamConfig, rate: f64, steps: &[[f32; 3]]) -> Vec<f64> {
    let mut w = [1.0, -2.0, 0.5];
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    for (t, gradient) in steps.iter().enumerate() {
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let clip = config.clip_norm.map_or(1.0, |limit| (limit / norm).min(1.0));
        for i in 0..3 {
            let mut g = f64::from(gradient[i]) * clip;
            if config.decoupled {
                w[i] -= rate * config.weight_decay * w[i];
            } else {
                g += config.weight_decay * w[i];
            }
            m[i] = config.beta1 * m[i] + (1.0 - config.beta1) * g;
            v[i] = config.beta2 * v[i] + (1.0 - config.beta2) * g * g;
            let t = t as i32 + 1;
            let m_hat = m[i] / (1.0 - config.beta1.powi(t));
            let v_hat: f64 = v[i] / (1.0 - config.beta2.powi(t));
            w[i] -= rate * m_hat / (v_hat.sqrt() + config.epsilon);
        }
    }
    w.to_vec()
}

const STEPS: [[f32; 3]; 4] = [[0.1, -3.0, 2.0], [0.2, 1.0, -1.0], [0.0, 0.5, 4.0], [-0.3, 2.0, 0.0]];

#[test]
fn adam_follows_the_paper() -> Result<()> {
    let configs = [
        AdamConfig::default(),
        AdamConfig { weight_decay: 0.1, ..Default::default() },
        AdamConfig { weight_decay: 0.1, decoupled: true, clip_norm: Some(1.5), beta1: 0.5, ..Default::default() },
    ];
    for config in configs {
        let (store, param) = store()?;
        let mut adam = Adam::new(&[&store], config)?;
        for step in STEPS {
            adam.step(&grads(&param, step)?, 0.05)?;
        }
        for (a, b) in values(param.var())?.iter().zip(reference(config, 0.05, &STEPS)) {
            assert!((f64::from(*a) - b).abs() < 2e-6, "{config:?}: {a} against {b}");
        }
    }
    Ok(())
}

#[test]
fn chosen_parameters_learn_at_their_own_rate() -> Result<()> {
    let store = ParamStore::new(Seed(1), &Device::Cpu);
    let params =
        [store.root().param("seen.w", &[3], Init::PYTORCH)?, store.root().param("judged.w", &[3], Init::PYTORCH)?];
    let config = AdamConfig { weight_decay: 0.1, decoupled: true, ..Default::default() };
    let mut adam = Adam::new(&[&store], config)?.scale_rates(3.0, |name| name.starts_with("seen"));
    for param in &params {
        param.var().set(&Tensor::new(&[1.0_f32, -2.0, 0.5], &Device::Cpu)?)?;
    }
    for step in STEPS {
        let gradient = Tensor::new(&step, &Device::Cpu)?;
        let both = ((params[0].tensor() + params[1].tensor())? * gradient)?.sum_all()?;
        adam.step(&both.backward()?, 0.02)?;
    }
    for (param, rate) in params.iter().zip([0.06, 0.02]) {
        for (a, b) in values(param.var())?.iter().zip(reference(config, rate, &STEPS)) {
            assert!((f64::from(*a) - b).abs() < 2e-6, "{rate}: {a} against {b}");
        }
    }
    Ok(())
}

#[test]
fn the_device_path_is_the_same_adam() -> Result<()> {
    let store = ParamStore::with_dtype(Seed(1), &Device::Cpu, DType::F64);
    let param = store.root().param("w", &[3], Init::PYTORCH)?;
    param.var().set(&Tensor::new(&[1.0_f64, -2.0, 0.5], &Device::Cpu)?)?;
    let config = AdamConfig { weight_decay: 0.1, clip_norm: Some(1.5), ..Default::default() };
    let mut adam = Adam::new(&[&store], config)?;
    for step in STEPS {
        let factors = Tensor::new(&step.map(f64::from), &Device::Cpu)?;
        adam.step(&(param.tensor() * factors)?.sum_all()?.backward()?, 0.05)?;
    }
    for (a, b) in param.tensor().to_vec1::<f64>()?.iter().zip(reference(config, 0.05, &STEPS)) {
        assert!((a - b).abs() < 1e-12, "{a} against {b}");
    }
    Ok(())
}

#[test]
fn momentum_by_hand() -> Result<()> {
    let (store, param) = store()?;
    let mut sgd = Sgd::new(&[&store], SgdConfig { momentum: 0.5, ..Default::default() });
    sgd.step(&grads(&param, [1.0, 2.0, 0.0])?, 0.1)?;
    assert_eq!(values(param.var())?, [0.9, -2.2, 0.5]);
    // Velocity 0.5 * 1 + 1 = 1.5 and 0.5 * 2 - 2 = -1.
    sgd.step(&grads(&param, [1.0, -2.0, 0.0])?, 0.1)?;
    for (a, b) in values(param.var())?.iter().zip([0.75, -2.1, 0.5]) {
        assert!((a - b).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn bad_gradients_are_skipped_counted_and_in_the_end_refused() -> Result<()> {
    let (store, param) = store()?;
    let mut adam = Adam::new(&[&store], AdamConfig::default())?;
    let before = values(param.var())?;
    let bad = grads(&param, [f32::NAN, 0.0, 0.0])?;
    let worse = grads(&param, [f32::INFINITY, 0.0, 0.0])?;
    for grads in [&bad, &worse] {
        assert!(adam.step(grads, 0.1)?.skipped);
    }
    assert_eq!(values(param.var())?, before);
    // A good step in between starts the count again.
    assert!(!adam.step(&grads(&param, [1.0; 3])?, 0.1)?.skipped);
    assert!(adam.step(&bad, 0.1)?.skipped);
    assert!(adam.step(&bad, 0.1)?.skipped);
    assert!(matches!(adam.step(&bad, 0.1), Err(NnError::Diverged { in_a_row: 3, .. })));
    assert_eq!(adam.skipped_steps(), 5);
    Ok(())
}

#[test]
fn a_restored_run_continues_bit_for_bit() -> Result<()> {
    let (store_a, param_a) = store()?;
    let mut a = Adam::new(&[&store_a], AdamConfig::default())?;
    for step in &STEPS[..2] {
        a.step(&grads(&param_a, *step)?, 0.05)?;
    }
    let (weights, moments) = (store_a.state_tensors()?, a.state_tensors()?);

    let (store_b, param_b) = store()?;
    let mut b = Adam::new(&[&store_b], AdamConfig::default())?;
    store_b.load_state(&weights)?;
    b.load_state(&moments)?;
    for step in &STEPS[2..] {
        a.step(&grads(&param_a, *step)?, 0.05)?;
        b.step(&grads(&param_b, *step)?, 0.05)?;
    }
    assert_eq!(values(param_a.var())?, values(param_b.var())?);

    let mut short = moments.clone();
    short.remove(0);
    assert!(matches!(b.load_state(&short), Err(NnError::Missing { name }) if name == "w.exp_avg"));
    let mut negative = moments;
    negative[2].1 = Tensor::new(&[-1_i64], &Device::Cpu)?;
    assert!(matches!(b.load_state(&negative), Err(NnError::InvalidValue { .. })));
    Ok(())
}
