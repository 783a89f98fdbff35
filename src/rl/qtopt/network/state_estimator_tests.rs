use super::super::{image_activations, in_image_coordinates, moved_bytes, state_activations, state_of};
use super::*;
use crate::contract::action_space::tests::SPACE;
use crate::nn::GradientSource;
use candle_core::{DType, Var};

#[test]
fn the_scorer_is_the_network() -> anyhow::Result<()> {
    let q = StateEstimatorQ::new(3, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
    let mut rng = Seed(4).rng();
    let images: Vec<Vec<u8>> = (0..3).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let encoded = q.encode(
        &image_activations(&slices, 24, 3, &Device::Cpu)?,
        &state_activations(&[state_of(0.0, 1.5), state_of(1.0, 0.2), state_of(0.0, 0.7)], &Device::Cpu)?,
        EncoderMode::Evaluate,
    )?;
    let actions: Vec<ActionFeatures> = (0..3).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
    let critics = q.logits(&encoded, &actions, false)?;
    let critics: Vec<Vec<f32>> = critics.iter().map(Tensor::to_vec1).collect::<Result<_>>()?;
    let expected: Vec<f32> = (0..3).map(|i| 0.5 * (critics[0][i] + critics[1][i])).collect();
    assert!((critics[0][0] - critics[1][0]).abs() > 1e-6, "the critics differ");
    let Some(scorer) = q.scorer(&encoded)? else { anyhow::bail!("no scorer") };
    for (index, expected) in expected.iter().enumerate() {
        // Among other actions, so that rows are not mixed up.
        let mut logits = Vec::new();
        scorer.score(index, &actions, &mut logits);
        assert!((logits[index] - expected).abs() < 1e-5, "{} {expected}", logits[index]);
    }
    assert!((expected[0] - expected[1]).abs() > 1e-6, "the network answers to its inputs");
    Ok(())
}

#[test]
fn lessons_teach_their_layers_and_q_teaches_the_others() -> anyhow::Result<()> {
    let q = StateEstimatorQ::new(3, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
    let mut rng = Seed(5).rng();
    let images: Vec<Vec<u8>> = (0..2).map(|_| (0..64 * 64 * 3).map(|_| rng.below(256) as u8).collect()).collect();
    let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let states = state_activations(&[state_of(0.0, 1.5), state_of(1.0, 0.2)], &Device::Cpu)?;
    let encoded = q.encode(&image_activations(&slices, 64, 3, &Device::Cpu)?, &states, EncoderMode::Train)?;
    let actions: Vec<ActionFeatures> = (0..2).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
    let Some(predictions) = q.auxiliary_predictions(&encoded)? else { anyhow::bail!("it says nothing") };
    let judged = Tensor::stack(&q.logits(&encoded, &actions, true)?, 0)?;
    for (loss, by_auxiliary_loss) in [(predictions.sqr()?.sum_all()?, true), (judged.sum_all()?, false)] {
        let gradients = crate::nn::backward(&loss)?;
        for param in q.store().params() {
            let moved = crate::nn::GradientSource::tensor(&gradients, param.var())?.is_some();
            assert_eq!(
                moved,
                q.is_auxiliary_layer(param.name()) == by_auxiliary_loss,
                "{} by the auxiliary loss: {by_auxiliary_loss}",
                param.name()
            );
        }
    }
    Ok(())
}

#[test]
fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
    let q = StateEstimatorQ::new(6, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
    let coarse_convs = 6 * 25 * 12 + 9 * (12 * 16 + 16 * 24 + 24 * 24) + 2 * (12 + 16 + 24 + 24);
    let coarse_pose = coarse_convs + (24 * 8 + 8) + (8 * 26 * 128 + 128) + (2 * 128 + 128) + (128 * 4 + 4);
    let fine_pose = 9 * (6 * 16 + 16 * 24 + 24 * 32) + 2 * (16 + 24 + 32) + (32 * 16 * 64 + 64) + (64 * 4 + 4);
    let grip =
        9 * (6 * 24 + 24 * 40 + 40 * 48 + 48 * 16) + 2 * (24 + 40 + 48 + 16) + (16 * 64 * 64 + 64) + (64 * 2 + 2);
    let drawn = 9 * ((4 * 6 + 4) * 24 + 24 * 32 + 32 * 40 + 2 * 40 * 40) + 2 * (24 + 32 + 3 * 40);
    let map = drawn + (24 + 40) * 24 + 2 * 24 + (24 * 9 * 2 + 2);
    let read = 2 * 72 + 36;
    let features = (4 * 256 + 256) + 2 * (2 * 256 + 256) + (read * 256 + 256) + 2 * 256;
    let embed = (24 * 64 + 64) + (read * 64 + 64);
    let critic = 2 * (256 * 256 + 256) + embed + (64 * 256 + 256) + (256 * 128 + 128) + (128 + 1);
    let measured = (6 * 32 + 32) + (32 * 256 + 256);
    assert_eq!(q.store().parameter_count(), coarse_pose + fine_pose + grip + map + features + measured + 2 * critic);
    Ok(())
}

fn random(rng: &mut crate::contract::Rng, shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| f64::from(rng.normal())).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

#[test]
fn the_gradient_of_q_at_the_image_equals_central_differences() -> anyhow::Result<()> {
    for features in [0, 3] {
        let config = StateEstimatorQConfig {
            map_features: features,
            grip_features: features,
            ..StateEstimatorQConfig::default()
        };
        let store = ParamStore::with_dtype(Seed(3), &Device::Cpu, DType::F64);
        let q = StateEstimatorQ::in_store(store, 3, &config, &SPACE)?;
        let mut rng = Seed(8).rng();
        for param in q.store().params().filter(|param| param.name().starts_with("fine_pose.output")) {
            // It starts with zeros, which nothing would pass.
            param.var().set(&(random(&mut rng, param.var().dims())? * 0.1)?)?;
        }
        let images = (random(&mut rng, &[3, 3, 32, 32])? * 0.5)?;
        let states = Tensor::new(&[state_of(0.0, 1.5), state_of(1.0, 0.2), state_of(0.0, 0.7)], &Device::Cpu)?
            .to_dtype(DType::F64)?;
        let states = Activations::from_tensor(&states)?;
        for _ in 0..3 {
            // Statistics of images, not those of the beginning.
            q.encode(&Activations::from_tensor(&images)?, &states, EncoderMode::Train)?;
        }
        let actions: Vec<ActionFeatures> = (0..3).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let sum = |encoded: &Encoded| Tensor::stack(&q.logits(encoded, &actions, false)?, 0)?.sum_all();
        let _frozen = q.store().freeze();
        let image = Var::from_tensor(&images)?;
        let tracked = Activations::from_tensor(image.as_tensor())?;
        let (encoded, crops) = q.encode_at((&tracked, &[]), &states, EncoderMode::ImageGradient, None)?;
        let gradients = crate::nn::backward(&sum(&encoded)?)?;
        let Some(gradient) = gradients.tensor(&image)? else { anyhow::bail!("no gradient") };
        for param in q.store().params() {
            assert!(gradients.tensor(param.var())?.is_none(), "{}", param.name());
        }
        let at = |images: Tensor| -> anyhow::Result<f64> {
            let images = Activations::from_tensor(&images)?;
            let encoded = q.encode_at((&images, &[]), &states, EncoderMode::ImageGradient, Some(&crops))?.0;
            Ok(sum(&encoded)?.to_scalar()?)
        };
        for _ in 0..8 {
            let direction = random(&mut rng, images.dims())?;
            let expected = (&gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
            let step = (&direction * 1e-7)?;
            let difference = (at((&images + &step)?)? - at((&images - &step)?)?) / 2e-7;
            assert!((expected - difference).abs() <= 1e-5 * difference.abs(), "{features}: {expected} {difference}");
        }
    }
    Ok(())
}

#[test]
fn with_the_images_gradient_q_is_what_it_is_to_decide() -> anyhow::Result<()> {
    let config = StateEstimatorQConfig { map_features: 2, grip_features: 3, ..StateEstimatorQConfig::default() };
    let q = StateEstimatorQ::new(3, &config, &SPACE, Seed(3), &Device::Cpu)?;
    let mut rng = Seed(9).rng();
    let images = random(&mut rng, &[4, 3, 32, 32])?.to_dtype(DType::F32)?;
    let states = state_activations(
        &[state_of(0.0, 1.5), state_of(1.0, 0.2), state_of(0.0, 0.7), state_of(1.0, 2.0)],
        &Device::Cpu,
    )?;
    q.encode(&Activations::from_tensor(&images)?, &states, EncoderMode::Train)?;
    let actions: Vec<ActionFeatures> = (0..4).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
    let image = Var::from_tensor(&images)?;
    let logits = |mode: EncoderMode| -> anyhow::Result<Vec<Vec<f32>>> {
        let encoded = q.encode(&Activations::from_tensor(image.as_tensor())?, &states, mode)?;
        Ok(q.logits(&encoded, &actions, false)?.iter().map(Tensor::to_vec1).collect::<Result<_>>()?)
    };
    assert_eq!(logits(EncoderMode::Evaluate)?, logits(EncoderMode::ImageGradient)?);
    // To decide, no gradient reaches the image.
    let encoded = q.encode(&Activations::from_tensor(image.as_tensor())?, &states, EncoderMode::Evaluate)?;
    let gradients = crate::nn::backward(&q.logits(&encoded, &actions, false)?[0].sum_all()?)?;
    assert!(gradients.tensor(&image)?.is_none());
    Ok(())
}

#[test]
fn a_moved_image_is_read_where_it_lies() -> anyhow::Result<()> {
    let q = StateEstimatorQ::new(3, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
    let _frozen = q.store().freeze();
    let mut rng = Seed(12).rng();
    // A smooth picture in black, so that what comes in at the edge is what was there.
    let size = 64_usize;
    let mut image = vec![0_u8; size * size * 3];
    for (at, value) in image.iter_mut().enumerate() {
        let [x, y] = [at / 3 % size, at / 3 / size].map(|i| (i as f32 - 31.5) / 31.5);
        let inside = (1.0 - (x * x + y * y) * 2.0).max(0.0);
        *value = (200.0 * inside * (0.6 + 0.4 * ((3 + at % 3) as f32 * x + 2.0 * y).sin())) as u8;
    }
    let shift = [3_i32, -2];
    let moved = moved_bytes(&image, [size, 3], shift);
    let states = state_activations(&[state_of(0.0, 1.5)], &Device::Cpu)?;
    let by = [in_image_coordinates(shift, size)];
    let hand = [CropPose { at: Vec2::new(0.1, -0.05), yaw_rad: 0.4, height_m: 0.15 }];
    let held = CropPoses { coarse: hand.to_vec(), fine: hand.to_vec() };
    let actions = [SPACE.features(&SPACE.random(&mut rng))];
    let logits = |image: &[u8], moved: &[Vec2]| -> anyhow::Result<Vec<f32>> {
        let images = image_activations(&[image], size, 3, &Device::Cpu)?;
        let (encoded, _) = q.encode_at((&images, moved), &states, EncoderMode::ImageGradient, Some(&held))?;
        let logits = Tensor::stack(&q.logits(&encoded, &actions, false)?, 0)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(logits.into_iter().chain(floats(&encoded.parts[MAPS])?).chain(floats(&encoded.parts[GRIPS])?).collect())
    };
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).skip(2).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (plain, calibrated, uncalibrated) = (logits(&image, &[])?, logits(&moved, &by)?, logits(&moved, &[])?);
    // All crops are the same: so are the map, what the hand holds, and all that follows from them.
    assert!(distance(&plain, &calibrated) < 1e-4, "{}", distance(&plain, &calibrated));
    assert!(distance(&plain, &uncalibrated) > 1e-2, "{}", distance(&plain, &uncalibrated));
    // Poses are those without the displacement.
    let pose = Activations::from_tensor(&Tensor::new(&[[0.5_f32, 0.25, 1.0, 0.0]], &Device::Cpu)?)?;
    let back = floats(&moved_back(&pose, &by)?)?;
    assert!(back.iter().zip([0.5 - 0.09375, 0.25 + 0.0625, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?}");
    // Several groups are as one.
    let many = vec![&moved[..]; 20];
    let images = image_activations(&many, size, 3, &Device::Cpu)?;
    let states = state_activations(&[state_of(0.0, 1.5); 20], &Device::Cpu)?;
    let encoded = q.encode_moved(&images, &[by[0]; 20], &states, EncoderMode::Evaluate)?;
    let values = q.logits(&encoded, &[actions[0]; 20], false)?[0].to_vec1::<f32>()?;
    assert!(values.iter().all(|value| (value - values[0]).abs() < 1e-5), "{values:?}");
    Ok(())
}
