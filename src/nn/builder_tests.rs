use candle_core::{Module, ModuleT};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarMap};

use super::*;
use crate::contract::Seed;
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, Linear};
use crate::nn::ops::{Activation, Activations};
use crate::nn::{Adam, AdamConfig, HOST};

fn random(shape: &[usize], seed: u64) -> CandleResult<Tensor> {
    let mut rng = Seed(seed).rng();
    Tensor::from_vec((0..shape.iter().product()).map(|_| rng.normal()).collect::<Vec<f32>>(), shape, &HOST)
}

fn assert_near(a: &Tensor, b: &Tensor, tolerance: f32) -> CandleResult<()> {
    let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(apart <= tolerance, "{apart}");
    Ok(())
}

/// A stock candle-nn model: a convolution, a batch normalization and a linear layer.
fn stock_model(builder: &VarBuilder<'_>) -> CandleResult<impl Fn(&Tensor) -> CandleResult<Tensor> + use<>> {
    let settings = candle_nn::Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
    let conv = candle_nn::conv2d(3, 4, 3, settings, builder.pp("conv"))?;
    let norm = candle_nn::batch_norm(4, 1e-5, builder.pp("norm"))?;
    let linear = candle_nn::linear(4 * 9, 2, builder.pp("linear"))?;
    Ok(move |x: &Tensor| linear.forward(&norm.forward_t(&conv.forward(x)?, true)?.relu()?.flatten_from(1)?))
}

#[test]
fn a_stock_model_trains_from_our_store_with_our_adam_as_from_candles_own() -> anyhow::Result<()> {
    let store = ParamStore::new(Seed(5), &HOST);
    let model = stock_model(&store.builder())?;
    let map = VarMap::new();
    let other = stock_model(&VarBuilder::from_varmap(&map, DType::F32, &HOST))?;
    {
        let data = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(data.len(), store.params().count());
        for param in store.params() {
            data[param.name()].set(param.var())?;
        }
    }
    let names: Vec<String> = store.params().map(|param| param.name().to_owned()).collect();
    assert_eq!(names[..2], ["conv.weight", "conv.bias"], "in the order of their creation");
    let x = random(&[5, 3, 6, 6], 1)?;
    let mut ours = Adam::new(&[&store], AdamConfig::default())?;
    let settings = ParamsAdamW { lr: 0.01, weight_decay: 0.0, ..Default::default() };
    let mut theirs = AdamW::new(map.all_vars(), settings)?;
    ours.set_learning_rate(0.01);
    let mut losses = Vec::new();
    for _ in 0..3 {
        let loss = model(&x)?.sqr()?.mean_all()?;
        losses.push(loss.to_scalar::<f32>()?);
        ours.backward_step(&loss)?;
        theirs.backward_step(&other(&x)?.sqr()?.mean_all()?)?;
    }
    assert!(losses[2] < losses[0], "{losses:?}");
    let data = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for param in store.params() {
        assert_near(param.var(), &data[param.name()], 1e-5)?;
    }
    // Saved and loaded as any of our stores.
    let copy = ParamStore::new(Seed(6), &HOST);
    let again = stock_model(&copy.builder())?;
    copy.load_state(&store.state_tensors()?)?;
    assert_near(&model(&x)?, &again(&x)?, 0.0)?;
    Ok(())
}

#[test]
fn our_tensors_in_stock_layers_and_stock_tensors_in_ours_give_equal_outputs() -> anyhow::Result<()> {
    let store = ParamStore::new(Seed(7), &HOST);
    let conv = Conv2d::new(store.root().sub("conv"), Conv2dConfig::new(3, 5, 3).stride(2))?;
    let norm = BatchNorm::new(store.root().sub("norm"), 5)?;
    let linear = Linear::new(store.root().sub("linear"), 5, 2, Activation::None)?;
    let x = random(&[2, 3, 8, 8], 2)?;
    let settings = candle_nn::Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
    // Through a training step first, so that the running statistics are not those of the beginning.
    let y = norm.forward_t(&Module::forward(&conv, &x)?, true)?;
    let stock_conv = candle_nn::conv2d(3, 5, 3, settings, store.builder().pp("conv"))?;
    assert_near(&Module::forward(&conv, &x)?, &stock_conv.forward(&x)?, 1e-5)?;
    let stock_norm = candle_nn::batch_norm(5, 1e-5, store.builder().pp("norm"))?;
    assert_near(&norm.forward_t(&y, false)?, &stock_norm.forward_t(&y, false)?, 1e-5)?;
    let rows = random(&[4, 5], 3)?;
    let stock_linear = candle_nn::linear(5, 2, store.builder().pp("linear"))?;
    assert_near(&rows.apply(&linear)?, &stock_linear.forward(&rows)?, 1e-5)?;

    // Candle-nn's variables in our layers, by the same names.
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &HOST);
    let theirs = candle_nn::conv2d(3, 5, 3, settings, builder.pp("other"))?;
    let ours = Conv2d::new(Scope::from(builder.pp("other")), Conv2dConfig::new(3, 5, 3).stride(2))?;
    assert_near(&theirs.forward(&x)?, &ours.forward(&Activations::from_tensor(&x)?)?.to_tensor()?, 1e-5)?;
    // The same variables: what moves one moves the other.
    let vars = map.all_vars();
    let mut adam = <Adam as Optimizer>::new(vars, AdamConfig::default())?;
    adam.backward_step(&Module::forward(&ours, &x)?.sqr()?.mean_all()?)?;
    assert_near(&theirs.forward(&x)?, &Module::forward(&ours, &x)?, 1e-5)?;
    Ok(())
}

#[test]
fn a_backend_says_what_it_does_not_have() -> anyhow::Result<()> {
    let store = ParamStore::new(Seed(8), &HOST);
    store.root().sub("conv").param("weight", &[2, 3], Init::PYTORCH)?;
    let builder = store.builder();
    assert!(builder.pp("conv").contains_tensor("weight") && !builder.contains_tensor("weight"));
    let error = builder.pp("conv").get((3, 2), "weight").map(drop).map_err(|error| error.to_string());
    assert!(error.clone().is_err_and(|message| message.contains("conv.weight")), "{error:?}");
    let error = builder.get_unchecked("bias").map(drop).map_err(|error| error.to_string());
    assert!(error.clone().is_err_and(|message| message.contains("bias")), "{error:?}");
    assert!(builder.to_dtype(DType::F64).get(2, "new").is_err(), "it creates f32 only");
    let empty = std::collections::HashMap::<String, Tensor>::new();
    let layers = VarBuilder::from_tensors(empty, DType::F32, &HOST);
    assert!(Conv2d::new(layers.into(), Conv2dConfig::new(1, 1, 3)).is_err());
    Ok(())
}

#[test]
fn hints_draw_what_candle_nn_means_by_them() {
    let moments = |hint: candle_nn::Init| {
        let values = sample_stock(hint, &Shape::from((64, 32, 3, 3)), &mut Seed(3).rng());
        let count = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        (mean, values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count)
    };
    // Kaiming for ReLU with a fan-in of 288: variance 2 / 288, uniform or normal.
    let kaiming = |dist| candle_nn::Init::Kaiming {
        dist,
        fan: candle_nn::init::FanInOut::FanIn,
        non_linearity: candle_nn::init::NonLinearity::ReLU,
    };
    for dist in [candle_nn::init::NormalOrUniform::Uniform, candle_nn::init::NormalOrUniform::Normal] {
        assert!((moments(kaiming(dist)).1 * 144.0 - 1.0).abs() < 0.04);
    }
    let (mean, variance) = moments(candle_nn::Init::Uniform { lo: 1.0, up: 3.0 });
    assert!((mean - 2.0).abs() < 0.02 && (variance * 3.0 - 1.0).abs() < 0.04);
    let (mean, variance) = moments(candle_nn::Init::Randn { mean: 0.5, stdev: 2.0 });
    assert!((mean - 0.5).abs() < 0.05 && (variance / 4.0 - 1.0).abs() < 0.04);
    // Ours as hints: within 1 / sqrt(288).
    let (_, variance) = moments(Init::PYTORCH.hint(&[64, 32, 3, 3]));
    assert!((variance * 864.0 - 1.0).abs() < 0.04);
}
