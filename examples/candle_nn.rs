//! Weights of this program in stock candle-nn layers, and stock weights in this program's layers; by name, through a file.
//!
//!     cargo run --release --example candle_nn

use bingrasp::contract::Seed;
use bingrasp::nn::layers::{Conv2d, Conv2dConfig};
use bingrasp::nn::{Adam, AdamConfig, HOST, ParamStore, Scope};
use candle_core::{DType, Module, Tensor};
use candle_nn::{Optimizer, VarBuilder, VarMap};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let x = Tensor::randn(0.0_f32, 1.0, (2, 3, 16, 16), &HOST)?;
    let stock_settings = candle_nn::Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
    let our_settings = Conv2dConfig::new(3, 8, 3).stride(2);

    // Ours, trained a step by our Adam through candle-nn's interface, and saved.
    let store = ParamStore::new(Seed(1), &HOST);
    let conv = Conv2d::new(store.root().sub("stem"), our_settings)?;
    let mut adam = Adam::new(&[&store], AdamConfig::default())?;
    adam.set_learning_rate(1e-2);
    adam.backward_step(&Module::forward(&conv, &x)?.sqr()?.mean_all()?)?;
    let file = folder.path().join("ours.safetensors");
    candle_core::safetensors::save(&store.state_tensors()?.into_iter().collect(), &file)?;

    // The file in a stock layer.
    let builder = VarBuilder::from_buffered_safetensors(std::fs::read(&file)?, DType::F32, &HOST)?;
    let stock = candle_nn::conv2d(3, 8, 3, stock_settings, builder.pp("stem"))?;
    println!(
        "ours in a stock layer: outputs differ by {:e}",
        apart(&Module::forward(&conv, &x)?, &stock.forward(&x)?)?
    );

    // A stock layer's weights in one of ours.
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &HOST);
    let stock = candle_nn::conv2d(3, 8, 3, stock_settings, builder.pp("stem"))?;
    let file = folder.path().join("stock.safetensors");
    map.save(&file)?;
    let builder = VarBuilder::from_buffered_safetensors(std::fs::read(&file)?, DType::F32, &HOST)?;
    let ours = Conv2d::new(Scope::from(builder.pp("stem")), our_settings)?;
    println!(
        "a stock layer in ours: outputs differ by {:e}",
        apart(&Module::forward(&ours, &x)?, &stock.forward(&x)?)?
    );
    Ok(())
}

fn apart(a: &Tensor, b: &Tensor) -> candle_core::Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}
