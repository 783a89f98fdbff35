//! The generator's shapes, counts and rules, against figures worked out by hand.

use super::super::config::{CycleGanConfig, Method, Preset};
use super::*;
use crate::nn::networks::check_network;
use candle_core::DType;

fn config() -> GeneratorConfig {
    GeneratorConfig {
        filters: vec![6, 8, 10],
        bottleneck: 1,
        stem_kernel: 5,
        head_kernel: 5,
        refine: 1,
        raw_input: true,
        mask_classes: 0,
        affine: true,
    }
}

fn random(shape: (usize, usize, usize, usize), seed: u64) -> Result<Tensor> {
    let mut rng = Seed(seed).rng();
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    Tensor::from_vec((0..count).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>(), shape, &Device::Cpu)
}

fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

/// Changes the tensors of the store whose names satisfy `chosen`.
fn change(store: &ParamStore, chosen: impl Fn(&str) -> bool, scale: f64) -> anyhow::Result<()> {
    let mut state = store.state_tensors()?;
    for (name, tensor) in &mut state {
        if chosen(name) {
            *tensor = (&*tensor * scale)?;
        }
    }
    Ok(store.load_state(&state)?)
}

#[test]
fn outputs_are_as_declared_at_every_size() -> anyhow::Result<()> {
    // 59 halves to 30 and 15, and 30 doubles to 60; 15 halves to 8 and 4, and 8 doubles to 16: both drop a row and a column.
    for size in [16, 59, 15] {
        let generator = Generator::new(&config(), size, Seed(1), &Device::Cpu)?;
        check_network(&generator, 2, &mut Seed(2).rng())?;
    }
    let with_mask = GeneratorConfig { mask_classes: 5, ..config() };
    let generator = Generator::new(&with_mask, 16, Seed(1), &Device::Cpu)?;
    check_network(&generator, 3, &mut Seed(2).rng())?;
    assert_eq!(generator.store().parameter_count(), parameter_count(&with_mask));
    Ok(())
}

#[test]
fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
    // Weights, and two numbers a channel for the normalization.
    let block = |inputs: usize, outputs: usize, kernel: usize| inputs * outputs * kernel * kernel + 2 * outputs;
    let down = block(3, 6, 5) + block(6, 8, 3) + block(8, 10, 3) + block(10, 10, 3);
    let up = block(10, 8, 3) + block(8, 6, 3) + block(6, 6, 3) + (6 + 3) * 3 * 25 + 3;
    assert_eq!(Generator::new(&config(), 16, Seed(1), &Device::Cpu)?.store().parameter_count(), down + up);
    assert_eq!(parameter_count(&config()), down + up);
    let small = CycleGanConfig::preset(Method::CycleGan, Preset::Small).generator;
    let convolutions = 25 * 3 * 24 + 9 * (24 * 48 + 48 * 96 + 2 * 96 * 96 + 96 * 48 + 48 * 24 + 24 * 24) + 25 * 27 * 3;
    assert_eq!(parameter_count(&small), convolutions + 2 * (24 + 48 + 3 * 96 + 48 + 24 + 24) + 3);
    Ok(())
}

#[test]
fn the_published_network_halves_472_six_times_and_drops_twice() {
    let paper = CycleGanConfig::preset(Method::RlCycleGan, Preset::Paper);
    let mut sizes = vec![paper.size];
    for _ in 1..paper.generator.filters.len() {
        sizes.push(sizes[sizes.len() - 1].div_ceil(2));
    }
    assert_eq!(sizes, [472, 236, 118, 59, 30, 15, 8]);
    let misfits = sizes.windows(2).filter(|pair| 2 * pair[1] != pair[0]).count();
    assert_eq!(misfits, 2);
}

#[test]
fn the_first_row_and_column_are_dropped() -> anyhow::Result<()> {
    let numbers: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let x = Activations::from_tensor(&Tensor::from_vec(numbers, (1, 1, 4, 4), &Device::Cpu)?)?;
    let like = |h: usize, w: usize| Activations::from_tensor(&Tensor::zeros((1, 1, h, w), DType::F32, &Device::Cpu)?);
    let values = |x: &Activations| -> Result<Vec<f32>> { x.to_tensor()?.flatten_all()?.to_vec1() };
    assert_eq!(values(&drop_first(&x, &like(3, 3)?)?)?, [5.0, 6.0, 7.0, 9.0, 10.0, 11.0, 13.0, 14.0, 15.0]);
    assert_eq!(values(&drop_first(&x, &like(3, 4)?)?)?, values(&x)?[4..]);
    assert_eq!(values(&drop_first(&x, &like(4, 4)?)?)?, values(&x)?);
    Ok(())
}

#[test]
fn skips_are_added() -> anyhow::Result<()> {
    let config = GeneratorConfig { refine: 0, raw_input: false, ..config() };
    let generator = Generator::new(&config, 16, Seed(3), &Device::Cpu)?;
    let x = Activations::from_tensor(&random((2, 3, 16, 16), 4)?)?;
    let before = generator.forward(&x)?.to_tensor()?;
    // Nothing comes up from below: scale and shift of the last enlargement are 0, and so is its ReLU.
    change(generator.store(), |name| name.starts_with("up0.norm"), 0.0)?;
    let cut = generator.forward(&x)?.to_tensor()?;
    let stem = generator.stem.forward(&[(&x).into()])?;
    let by_hand = generator.head.forward_fused(&[(&stem).into()], None)?.to_tensor()?;
    assert!(difference(&cut, &by_hand)? < 1e-6);
    assert!(difference(&before, &by_hand)? > 1e-2);
    Ok(())
}

#[test]
fn the_scale_of_the_weights_does_not_matter() -> anyhow::Result<()> {
    let generator = Generator::new(&config(), 16, Seed(5), &Device::Cpu)?;
    for _ in 0..50 {
        generator.power_iteration()?;
    }
    let x = Activations::from_tensor(&random((2, 3, 16, 16), 6)?)?;
    let before = generator.forward(&x)?.to_tensor()?;
    change(generator.store(), |name| name.ends_with("weight_orig"), 10.0)?;
    assert!(difference(&generator.forward(&x)?.to_tensor()?, &before)? < 1e-5);
    Ok(())
}

#[test]
fn after_fifty_steps_the_largest_singular_value_is_1() -> anyhow::Result<()> {
    let generator = Generator::new(&config(), 16, Seed(7), &Device::Cpu)?;
    for _ in 0..50 {
        generator.power_iteration()?;
    }
    for conv in generator.blocks().map(|block| &block.conv).chain([&generator.head]) {
        let weight = conv.effective_weight()?;
        let rows = weight.dim(0)?;
        let weight = weight.reshape((rows, ()))?.to_dtype(DType::F64)?;
        // By 200 rounds of our own on W W^T, from a start that no singular vector is orthogonal to.
        let gram = weight.matmul(&weight.t()?)?;
        let mut vector = Tensor::from_vec((0..rows).map(|i| 1.0 + 0.37 * i as f64).collect(), (rows, 1), &Device::Cpu)?;
        let mut norm = 0.0;
        for _ in 0..200 {
            vector = gram.matmul(&vector)?;
            norm = vector.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
            vector = (vector / norm)?;
        }
        assert!((norm.sqrt() - 1.0).abs() < 1e-3, "{rows} rows: {}", norm.sqrt());
    }
    Ok(())
}

#[test]
fn a_pass_leaves_the_singular_vectors_alone() -> anyhow::Result<()> {
    let generator = Generator::new(&config(), 16, Seed(8), &Device::Cpu)?;
    let vectors = || -> anyhow::Result<Vec<Vec<f32>>> {
        let state = generator.store().state_tensors()?;
        let chosen = state.iter().filter(|(name, _)| name.ends_with("weight_u") || name.ends_with("weight_v"));
        Ok(chosen.map(|(_, tensor)| tensor.to_vec1::<f32>()).collect::<Result<_>>()?)
    };
    let before = vectors()?;
    generator.forward(&Activations::from_tensor(&random((1, 3, 16, 16), 9)?)?)?;
    assert_eq!(vectors()?, before);
    generator.power_iteration()?;
    assert_ne!(vectors()?, before);
    Ok(())
}

#[test]
fn a_translation_is_the_forward_pass_in_bytes() -> anyhow::Result<()> {
    let generator = Generator::new(&config(), 16, Seed(10), &Device::Cpu)?;
    let images = random((2, 3, 16, 16), 11)?;
    let image = generator.forward(&Activations::from_tensor(&images)?)?.to_tensor()?;
    let bytes = generator.translate(&images)?;
    let (x, y) = (7, 12);
    for c in 0..3 {
        let value = image.get(1)?.get(c)?.get(y)?.get(x)?.to_scalar::<f32>()?;
        assert_eq!(f32::from(bytes[1][3 * (y * 16 + x) + c]), ((value + 1.0) * 127.5).round());
    }
    assert_eq!((bytes.len(), bytes[0].len()), (2, 3 * 16 * 16));
    Ok(())
}
