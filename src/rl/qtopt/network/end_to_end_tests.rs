use super::super::{image_activations, state_activations, state_of};
use super::*;
use crate::contract::action_space::tests::SPACE;
use crate::nn::GradientSource;
use crate::nn::ops::with_stock_path;
use crate::rl::qtopt::privileged::AUXILIARY_LEN;
use candle_core::{DType, Var};

/// Small enough for gradient checks.
fn sizes() -> EndToEndQConfig {
    EndToEndQConfig {
        filters: vec![6, 8],
        strides: vec![2, 2],
        embedding: 8,
        merged: 6,
        joint_filters: vec![5, 7],
        joint_strides: vec![2, 1],
        hidden: 6,
        auxiliary_width: 10,
    }
}

fn random(rng: &mut crate::contract::Rng, shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| f64::from(rng.normal())).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn actions(rng: &mut crate::contract::Rng, count: usize) -> Vec<ActionFeatures> {
    (0..count).map(|_| SPACE.features(&SPACE.random(rng))).collect()
}

#[test]
fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
    let count = |channels: usize, head: bool| -> anyhow::Result<usize> {
        let q = EndToEndQ::new([64, channels], &EndToEndQConfig::default(), head, Seed(3), &Device::Cpu)?;
        Ok(q.store().parameter_count())
    };
    let convs = 6 * 25 * 24 + 9 * (24 * 32 + 32 * 32 + 32 * 48 + 2 * 48 * 48) + 2 * (24 + 2 * 32 + 3 * 48);
    let action = 10 * 64 + 2 * 64 + 64 * 48 + 48;
    let joint = 9 * (48 * 32 + 32 * 64) + 2 * (32 + 64);
    // 64 pixels are 8 where the action is added, and 2 behind.
    let dense = 64 * 4 * 64 + 64 * 64 + 2 * (64 + 64) + 64 + 1;
    let critic = 9 * 48 * 48 + action + 2 * 48 + joint + dense;
    assert_eq!(count(6, false)?, convs + 2 * critic);
    assert_eq!(count(3, false)?, convs - 3 * 25 * 24 + 2 * critic);
    let head = 48 * 8 + 2 * 8 + 8 * 64 * 128 + 2 * 128 + (128 + 1) * (2 * 1024 + 4 + 2);
    assert_eq!(count(6, true)?, convs + 2 * critic + head);
    Ok(())
}

#[test]
fn an_image_is_encoded_once_for_many_actions() -> anyhow::Result<()> {
    let q = EndToEndQ::new([32, 3], &sizes(), true, Seed(3), &Device::Cpu)?;
    let mut rng = Seed(4).rng();
    let images: Vec<Vec<u8>> = (0..2).map(|_| (0..32 * 32 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let states = [state_of(0.0, 1.5), state_of(1.0, 0.2)];
    let encode = |which: &[usize]| {
        let images: Vec<&[u8]> = which.iter().map(|&i| &images[i][..]).collect();
        let states: Vec<_> = which.iter().map(|&i| states[i]).collect();
        let images = image_activations(&images, 32, 3, &Device::Cpu)?;
        q.encode(&images, &state_activations(&states, &Device::Cpu)?, EncoderMode::Evaluate)
    };
    let actions = actions(&mut rng, 6);
    let both = q.logits(&encode(&[0, 1])?, &actions, false)?;
    assert_eq!(both.len(), 2);
    for (critic, together) in both.iter().enumerate() {
        let together = together.to_vec1::<f32>()?;
        for image in [0, 1] {
            let alone = encode(&[image])?;
            for row in 3 * image..3 * image + 3 {
                let alone = q.logits(&alone, &actions[row..=row], false)?[critic].to_vec1::<f32>()?[0];
                assert!((alone - together[row]).abs() < 1e-5, "{alone} {}", together[row]);
            }
        }
        // Image, action and state all count.
        let of = |image: usize, action: usize| -> anyhow::Result<f32> {
            Ok(q.logits(&encode(&[image])?, &actions[action..=action], false)?[critic].to_vec1()?[0])
        };
        assert!((of(0, 0)? - of(0, 1)?).abs() > 1e-5 && (of(0, 0)? - of(1, 0)?).abs() > 1e-5);
        let other_state = q.encode(
            &image_activations(&[&images[0]], 32, 3, &Device::Cpu)?,
            &state_activations(&[states[1]], &Device::Cpu)?,
            EncoderMode::Evaluate,
        )?;
        let other_state = q.logits(&other_state, &actions[..1], false)?[critic].to_vec1::<f32>()?[0];
        assert!((of(0, 0)? - other_state).abs() > 1e-5);
    }
    assert!((both[0].to_vec1::<f32>()?[0] - both[1].to_vec1::<f32>()?[0]).abs() > 1e-5, "the critics differ");
    assert!(q.logits(&encode(&[0, 1])?, &actions[..3], false).is_err());
    assert!(EndToEndQ::new([4, 3], &sizes(), false, Seed(3), &Device::Cpu).is_err());
    Ok(())
}

/// Sums of logits and of squared predictions while it trains, for checks.
fn losses(
    q: &EndToEndQ,
    images: &Tensor,
    states: &Activations,
    actions: &[ActionFeatures],
) -> anyhow::Result<[Tensor; 2]> {
    let encoded = q.encode(&Activations::from_tensor(images)?, states, EncoderMode::Train)?;
    let Some(predictions) = q.auxiliary_predictions(&encoded)? else { anyhow::bail!("no head") };
    assert_eq!(predictions.dims(), [images.dims()[0], AUXILIARY_LEN]);
    let logits = Tensor::stack(&q.logits(&encoded, actions, true)?, 0)?;
    // Not the sum: what normalizations keep constant would have no gradient.
    Ok([logits.sqr()?.sum_all()?, predictions.sqr()?.sum_all()?])
}

#[test]
fn gradients_of_all_layers_equal_central_differences() -> anyhow::Result<()> {
    let store = ParamStore::with_dtype(Seed(3), &Device::Cpu, DType::F64);
    let q = EndToEndQ::in_store(store, [16, 6], &sizes(), true)?;
    let mut rng = Seed(8).rng();
    let images = (random(&mut rng, &[5, 6, 16, 16])? * 0.5)?;
    let states = (0..5).map(|i| vec![f64::from(i % 2), 0.4 * f64::from(i)]).collect::<Vec<_>>();
    let states = Activations::from_tensor(&Tensor::new(states, &Device::Cpu)?)?;
    let actions = actions(&mut rng, 5);
    let total = || -> anyhow::Result<Tensor> {
        let [q, auxiliary] = losses(&q, &images, &states, &actions)?;
        Ok((q + auxiliary)?)
    };
    let gradients = crate::nn::backward(&total()?)?;
    for param in q.store().params() {
        let Some(gradient) = gradients.tensor(param.var())? else { anyhow::bail!("{} has no gradient", param.name()) };
        let (direction, start) = (random(&mut rng, param.var().dims())?, param.var().as_detached_tensor().copy()?);
        let expected = (&gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
        let step = 1e-6;
        let at = |step: f64| -> anyhow::Result<f64> {
            param.var().set(&(&start + (&direction * step)?)?)?;
            Ok(total()?.to_scalar()?)
        };
        let difference = (at(step)? - at(-step)?) / (2.0 * step);
        param.var().set(&start)?;
        let scale = difference.abs().max(0.05);
        assert!((expected - difference).abs() <= 1e-4 * scale, "{}: {expected} {difference}", param.name());
    }
    Ok(())
}

#[test]
fn q_and_the_head_train_one_encoder() -> anyhow::Result<()> {
    let q = EndToEndQ::new([16, 3], &sizes(), true, Seed(3), &Device::Cpu)?;
    let mut rng = Seed(5).rng();
    let images = random(&mut rng, &[4, 3, 16, 16])?.to_dtype(DType::F32)?;
    let states = state_activations(
        &[state_of(0.0, 1.5), state_of(1.0, 0.2), state_of(0.0, 0.7), state_of(1.0, 2.0)],
        &Device::Cpu,
    )?;
    let actions = actions(&mut rng, 4);
    for (index, loss) in losses(&q, &images, &states, &actions)?.iter().enumerate() {
        let gradients = crate::nn::backward(loss)?;
        for param in q.store().params() {
            let moved = gradients.tensor(param.var())?.is_some();
            let expected = param.name().starts_with("encoder.") || q.is_auxiliary_layer(param.name()) == (index == 1);
            assert_eq!(moved, expected, "{} by loss {index}", param.name());
        }
    }
    // Without a head there are no predictions, and to decide none are made.
    let plain = EndToEndQ::new([16, 3], &sizes(), false, Seed(3), &Device::Cpu)?;
    let images = Activations::from_tensor(&images)?;
    for (q, mode) in [(&plain, EncoderMode::Train), (&q, EncoderMode::Evaluate)] {
        assert!(q.auxiliary_predictions(&q.encode(&images, &states, mode)?)?.is_none());
    }
    Ok(())
}

#[test]
fn the_gradient_of_q_at_the_image_equals_central_differences() -> anyhow::Result<()> {
    let store = ParamStore::with_dtype(Seed(3), &Device::Cpu, DType::F64);
    let q = EndToEndQ::in_store(store, [16, 3], &sizes(), true)?;
    let mut rng = Seed(8).rng();
    let images = (random(&mut rng, &[3, 3, 16, 16])? * 0.5)?;
    let states = Activations::from_tensor(
        &Tensor::new(&[state_of(0.0, 1.5), state_of(1.0, 0.2), state_of(0.0, 0.7)], &Device::Cpu)?
            .to_dtype(DType::F64)?,
    )?;
    let actions = actions(&mut rng, 3);
    for _ in 0..3 {
        // Statistics of images, not those of the beginning.
        losses(&q, &images, &states, &actions)?;
    }
    let sum = |images: &Tensor, mode: EncoderMode| -> anyhow::Result<Tensor> {
        let encoded = q.encode(&Activations::from_tensor(images)?, &states, mode)?;
        Ok(Tensor::stack(&q.logits(&encoded, &actions, false)?, 0)?.sum_all()?)
    };
    let _frozen = q.store().freeze();
    let image = Var::from_tensor(&images)?;
    let value = sum(image.as_tensor(), EncoderMode::ImageGradient)?;
    let evaluated = sum(image.as_tensor(), EncoderMode::Evaluate)?;
    assert_eq!(value.to_scalar::<f64>()?.to_bits(), evaluated.to_scalar::<f64>()?.to_bits());
    assert!(crate::nn::backward(&evaluated)?.tensor(&image)?.is_none(), "to decide, no gradient reaches the image");
    let gradients = crate::nn::backward(&value)?;
    let Some(gradient) = gradients.tensor(&image)? else { anyhow::bail!("no gradient") };
    for param in q.store().params() {
        assert!(gradients.tensor(param.var())?.is_none(), "{}", param.name());
    }
    for _ in 0..8 {
        let direction = random(&mut rng, images.dims())?;
        let expected = (&gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
        let step = (&direction * 1e-7)?;
        let at = |images: Tensor| -> anyhow::Result<f64> { Ok(sum(&images, EncoderMode::Evaluate)?.to_scalar()?) };
        let difference = (at((&images + &step)?)? - at((&images - &step)?)?) / 2e-7;
        assert!((expected - difference).abs() <= 1e-5 * difference.abs(), "{expected} {difference}");
    }
    Ok(())
}

#[test]
fn the_stock_path_gives_the_same_values_and_gradients() -> anyhow::Result<()> {
    let step = || -> anyhow::Result<Vec<(String, Vec<f32>)>> {
        let q = EndToEndQ::new([16, 3], &sizes(), true, Seed(3), &Device::Cpu)?;
        let mut rng = Seed(5).rng();
        let images = random(&mut rng, &[6, 3, 16, 16])?.to_dtype(DType::F32)?;
        let states: Vec<_> = (0..6).map(|i| state_of((i % 2) as f32, 0.3 * i as f32)).collect();
        let states = state_activations(&states, &Device::Cpu)?;
        let [loss, auxiliary] = losses(&q, &images, &states, &actions(&mut rng, 6))?;
        let mut found = vec![("loss".to_owned(), vec![loss.to_scalar()?, auxiliary.to_scalar()?])];
        let gradients = crate::nn::backward(&(loss + auxiliary)?)?;
        for param in q.store().params() {
            let Some(gradient) = gradients.tensor(param.var())? else { anyhow::bail!("{}", param.name()) };
            found.push((param.name().to_owned(), gradient.flatten_all()?.to_vec1()?));
        }
        Ok(found)
    };
    let (native, stock) = (step()?, with_stock_path(step)??);
    for ((name, a), (_, b)) in native.iter().zip(&stock) {
        let scale = a.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
        let apart = a.iter().zip(b).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(apart <= 5e-3 * scale, "{name}: {apart} of {scale}");
    }
    Ok(())
}
