//! A trained generator and a trained Q-function in stock candle-nn layers: the same outputs from the same files, without this
//! program's networks. What is written here once more is what a program that only wants to use the weights needs.
//!
//!     cargo run --release --example load_in_candle -- runs/rcan runs/end-to-end
//!
//! The second is a run of `train qtopt` with `--network end-to-end` or `--size-preset paper`. Without arguments all networks
//! get random weights.

use bingrasp::contract::action_space::ActionFeatures;
use bingrasp::contract::{Class, Rng, Seed};
use bingrasp::gan::rcan::{Generator, Preset, RcanConfig, load_generator};
use bingrasp::nn::{Activations, HOST, ParamStore};
use bingrasp::rl::qtopt::load_policy;
use bingrasp::rl::qtopt::network::{EncoderMode, EndToEndQ, EndToEndQConfig, LEAST_SIZE, PaperQ, QFunction};
use candle_core::{DType, Result, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, GroupNorm, Linear, Module, ModuleT, VarBuilder, batch_norm, conv2d,
    conv2d_no_bias, group_norm, linear, linear_no_bias,
};
use std::path::{Path, PathBuf};

/// Weights of a file by name.
fn weights(file: &Path) -> std::result::Result<VarBuilder<'static>, Box<dyn std::error::Error>> {
    Ok(VarBuilder::from_buffered_safetensors(std::fs::read(file)?, DType::F32, &HOST)?)
}

/// The generator's block: convolution, instance normalization (group normalization with a channel a group), ReLU.
struct Block(Conv2d, GroupNorm);

impl Block {
    fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig { padding: kernel / 2, stride, ..Conv2dConfig::default() };
        let conv = conv2d_no_bias(inputs, outputs, kernel, config, vb.pp("conv"))?;
        Ok(Self(conv, group_norm(outputs, outputs, 1e-5, vb.pp("norm"))?))
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.1.forward(&self.0.forward(x)?)?.relu()
    }
}

/// RCAN's generator: image, depth and mask of `[n, 3, height, width]` in `[-1, 1]`.
fn generate(x: &Tensor, config: &RcanConfig, vb: &VarBuilder<'_>) -> Result<[Tensor; 3]> {
    let shape = &config.generator;
    let (filters, levels) = (&shape.filters, shape.filters.len());
    let block =
        |inputs, outputs, kernel, stride, name: String| Block::new(inputs, outputs, kernel, stride, vb.pp(name));
    let source = x;
    let mut x = block(3, filters[0], shape.stem_kernel, 1, "stem".into())?.forward(source)?;
    let mut skips = Vec::new();
    for level in 1..levels {
        let strided = level <= shape.num_strided;
        let down = block(filters[level - 1], filters[level], 3, if strided { 2 } else { 1 }, format!("down{level}"))?;
        skips.push(x.clone());
        x = down.forward(&if strided { x } else { x.avg_pool2d(2)? })?;
    }
    for i in 0..shape.num_bottleneck {
        x = block(filters[levels - 1], filters[levels - 1], 3, 1, format!("bottleneck{i}"))?.forward(&x)?;
    }
    for (level, skip) in skips.iter().enumerate().rev() {
        let (own, below) = (filters[level], filters[level + 1]);
        let (_, _, h, w) = skip.dims4()?;
        x = x.upsample_bilinear2d(h, w, false)?;
        x = block(below, own, 3, 1, format!("up{level}"))?.forward(&x)?;
        x = block(2 * own, own, 1, 1, format!("mix{level}"))?.forward(&Tensor::cat(&[&x, skip], 1)?)?;
    }
    let with_source = |x: &Tensor| if shape.raw_input { Tensor::cat(&[x, source], 1) } else { Ok(x.clone()) };
    let extra = if shape.raw_input { 3 } else { 0 };
    for i in 0..shape.num_refine {
        let (inputs, joined) = if i == 0 { (filters[0] + extra, with_source(&x)?) } else { (filters[0], x) };
        x = block(inputs, filters[0], 3, 1, format!("refine{i}"))?.forward(&joined)?;
    }
    let (kernel, outputs) = (shape.head_kernel, 4 + Class::COUNT);
    let config = Conv2dConfig { padding: kernel / 2, ..Conv2dConfig::default() };
    let heads = conv2d(filters[0] + extra, outputs, kernel, config, vb.pp("heads"))?.forward(&with_source(&x)?)?;
    let mask = candle_nn::ops::softmax(&heads.narrow(1, 4, Class::COUNT)?, 1)?;
    Ok([heads.narrow(1, 0, 3)?.tanh()?, heads.narrow(1, 3, 1)?.tanh()?, mask])
}

/// A batch normalization whose scale is 1.
fn unscaled(channels: usize, vb: VarBuilder<'_>) -> Result<BatchNorm> {
    let [mean, variance, bias] = ["running_mean", "running_var", "bias"].map(|name| vb.get(channels, name));
    BatchNorm::new(channels, mean?, variance?, Tensor::ones(channels, DType::F32, &HOST)?, bias?, 1e-3)
}

/// Max pooling with TensorFlow's `SAME` padding of what is never negative.
fn pool(x: &Tensor, kernel: usize) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let [down, across] = [h, w].map(|side| side.div_ceil(kernel) * kernel - side);
    x.pad_with_zeros(2, down / 2, down - down / 2)?
        .pad_with_zeros(3, across / 2, across - across / 2)?
        .max_pool2d(kernel)
}

/// QT-Opt's published Q-function: logits of an action for each image.
fn score(images: &Tensor, joined: &Tensor, vb: &VarBuilder<'_>) -> Result<Tensor> {
    let (channels, mut number) = (images.dim(1)?, 1);
    let stem = Conv2dConfig { padding: 2, stride: 2, ..Conv2dConfig::default() };
    let mut x = conv2d(channels, 64, 6, stem, vb.pp("conv1"))?.forward(images)?;
    x = pool(&unscaled(64, vb.pp("conv1_norm"))?.forward_t(&x, false)?.relu()?, 3)?;
    let mut stack = |mut x: Tensor, count: usize, kernel: usize, padding: usize| {
        for _ in 0..count {
            number += 1;
            let config = Conv2dConfig { padding, ..Conv2dConfig::default() };
            x = conv2d_no_bias(64, 64, kernel, config, vb.pp(format!("conv{number}")))?.forward(&x)?;
            x = batch_norm(64, 1e-5, vb.pp(format!("conv{number}_norm")))?.forward_t(&x, false)?.relu()?;
        }
        Result::Ok(x)
    };
    x = pool(&stack(x, 6, 5, 2)?, 3)?;
    let mut context = None;
    let mut at = 0;
    let blocks = [
        ("translation", 3),
        ("rotation", 2),
        ("close", 1),
        ("open", 1),
        ("terminate", 1),
        ("gripper_closed", 1),
        ("gripper_height", 1),
    ];
    for (name, inputs) in blocks {
        let y = linear(inputs, 256, vb.pp(name))?.forward(&joined.narrow(1, at, inputs)?.contiguous()?)?;
        context = Some(context.map_or(Ok(y.clone()), |sum: Tensor| sum + &y)?);
        at += inputs;
    }
    let context = context.ok_or_else(|| candle_core::Error::msg("no blocks"))?;
    let context = unscaled(256, vb.pp("blocks_norm"))?.forward_t(&context, false)?.relu()?;
    let dense = |x: &Tensor, layer: Linear, norm: &str| {
        batch_norm(64, 1e-5, vb.pp(norm))?.forward_t(&layer.forward(x)?, false)?.relu()
    };
    let context = dense(&context, linear_no_bias(256, 64, vb.pp("merge"))?, "merge_norm")?;
    x = stack(x.broadcast_add(&context.unsqueeze(2)?.unsqueeze(3)?)?, 6, 3, 1)?;
    let x = stack(pool(&x, 2)?, 3, 3, 0)?.flatten_from(1)?;
    let width = x.dim(1)?;
    let x = dense(&x, linear_no_bias(width, 64, vb.pp("dense0"))?, "dense0_norm")?;
    let x = dense(&x, linear_no_bias(64, 64, vb.pp("dense1"))?, "dense1_norm")?;
    linear(64, 1, vb.pp("value"))?.forward(&x)?.flatten_all()
}

/// A fully connected layer without bias, batch normalization, ReLU.
fn dense(x: &Tensor, inputs: usize, outputs: usize, vb: &VarBuilder<'_>, name: &str) -> Result<Tensor> {
    let y = linear_no_bias(inputs, outputs, vb.pp(name))?.forward(x)?;
    batch_norm(outputs, 1e-5, vb.pp(format!("{name}_norm")))?.forward_t(&y, false)?.relu()
}

/// Convolutions without bias, each with batch normalization and ReLU; the first one's kernel is `first`, the others' is 3.
fn convs(x: &Tensor, first: usize, sizes: [&[usize]; 2], vb: &VarBuilder<'_>, name: &str) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, (&filters, &stride)) in sizes[0].iter().zip(sizes[1]).enumerate() {
        let kernel = if i == 0 { first } else { 3 };
        let config = Conv2dConfig { padding: kernel / 2, stride, ..Conv2dConfig::default() };
        x = conv2d_no_bias(x.dim(1)?, filters, kernel, config, vb.pp(format!("{name}{i}")))?.forward(&x)?;
        x = batch_norm(filters, 1e-5, vb.pp(format!("{name}{i}_norm")))?.forward_t(&x, false)?.relu()?;
    }
    Ok(x)
}

/// The small end-to-end Q-function: logits of an action for each image, of both critics.
fn score_end_to_end(
    images: &Tensor,
    joined: &Tensor,
    config: &EndToEndQConfig,
    vb: &VarBuilder<'_>,
) -> Result<Vec<Tensor>> {
    let features = convs(images, 5, [&config.filters, &config.strides], vb, "encoder.conv")?;
    let (inputs, merged) = (features.dim(1)?, config.merged);
    ["critic0", "critic1"]
        .map(|critic| {
            let vb = vb.pp(critic);
            let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
            let map = conv2d_no_bias(inputs, merged, 3, padded, vb.pp("image"))?.forward(&features)?;
            let action = dense(joined, joined.dim(1)?, config.embedding, &vb, "embedding")?;
            let action = linear(config.embedding, merged, vb.pp("action"))?.forward(&action)?;
            let sum = map.broadcast_add(&action.unsqueeze(2)?.unsqueeze(3)?)?;
            let sum = batch_norm(merged, 1e-5, vb.pp("merged_norm"))?.forward_t(&sum, false)?.relu()?;
            let x = convs(&sum, 3, [&config.joint_filters, &config.joint_strides], &vb, "joint")?.flatten_from(1)?;
            let x = dense(&x, x.dim(1)?, config.hidden, &vb, "dense0")?;
            let x = dense(&x, config.hidden, config.hidden, &vb, "dense1")?;
            linear(config.hidden, 1, vb.pp("value"))?.forward(&x)?.flatten_all()
        })
        .into_iter()
        .collect()
}

fn random(shape: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let count = shape.iter().product();
    Tensor::from_vec((0..count).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>(), shape, &HOST)
}

/// Gives a network weights and statistics through which a signal passes, and writes them to a file. (The published Q-function
/// begins with weights that let none through before its statistics have followed.)
fn save(store: &ParamStore, file: &Path, rng: &mut Rng) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut tensors = store.state_tensors()?;
    for (name, tensor) in &mut tensors {
        let shape = tensor.dims().to_vec();
        if name.ends_with("running_mean") {
            *tensor = (random(&shape, rng)? * 0.1)?;
        } else if name.ends_with("running_var") {
            *tensor = ((random(&shape, rng)? * 0.2)? + 1.0)?;
        } else if shape.len() > 1 {
            let fan_in: usize = shape[1..].iter().product();
            *tensor = (random(&shape, rng)? * (6.0 / fan_in as f64).sqrt())?;
        }
    }
    store.load_state(&tensors)?;
    Ok(candle_core::safetensors::save(&tensors.into_iter().collect(), file)?)
}

/// The largest difference to stock layers, beside that between the two inputs.
fn compare(what: &str, ours: &Tensor, stock: &Tensor) -> Result<()> {
    let largest = |tensor: Tensor| tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let (difference, apart) = (largest((ours - stock)?)?, largest((ours.get(0)? - ours.get(1)?)?)?);
    println!("{what} {:?}: the two inputs are {apart:.1e} apart, stock layers {difference:.1e}", ours.dims());
    if difference <= 1e-5_f32.max(1e-3 * apart) {
        Ok(())
    } else {
        Err(candle_core::Error::msg(format!("{what} differs")))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (generator_run, q_run) = (arguments.next(), arguments.next());
    let folder = tempfile::tempdir()?;
    let mut rng = Seed(1).rng();
    // A run keeps its newest weights in checkpoints/step-NNNNNNNNN/NAME.safetensors.
    let file_of =
        |run: &Path, step: u64, name: &str| run.join(format!("checkpoints/step-{step:09}/{name}.safetensors"));

    let (generator, config, file) = match generator_run {
        Some(run) => {
            let loaded = load_generator(&run, &HOST)?;
            let file = file_of(&run, loaded.step, "generator_averaged");
            (loaded.generator, loaded.config.learner, file)
        }
        None => {
            let config = RcanConfig::preset(Preset::Small);
            let generator = Generator::new(&config, Seed(2), &HOST)?;
            let file = folder.path().join("generator.safetensors");
            save(generator.store(), &file, &mut rng)?;
            (generator, config, file)
        }
    };
    let images = random(&[2, 3, config.size, config.size], &mut rng)?;
    let ours = generator.forward(&Activations::from_tensor(&images)?)?;
    let [image, depth, mask] = generate(&images, &config, &weights(&file)?)?;
    compare("canonical image", &ours.image, &image)?;
    compare("depth", &ours.depth, &depth)?;
    compare("mask", &ours.mask, &mask)?;

    match q_run {
        Some(run) => {
            let loaded = load_policy(&run, &HOST)?;
            let file = file_of(&loaded.run, loaded.step, "q_averaged");
            let (learner, policy) = (loaded.config.learner, loaded.policy);
            let published = learner.preset == bingrasp::rl::qtopt::Preset::Paper;
            if !published && learner.end_to_end.is_none() {
                return Err(
                    "this example has no state-estimating network: give it a run of `train qtopt` with `--network \
                            end-to-end` or `--size-preset paper`"
                        .into(),
                );
            }
            let image = [policy.channels, policy.size];
            compare_q(policy.q.as_ref(), image, learner.end_to_end.as_ref(), &file, &mut rng)?;
        }
        None => {
            let file = folder.path().join("q.safetensors");
            let q = PaperQ::new(LEAST_SIZE, 3, Seed(3), &HOST)?;
            save(q.store(), &file, &mut rng)?;
            compare_q(&q, [3, LEAST_SIZE], None, &file, &mut rng)?;
            let config = EndToEndQConfig::default();
            let q = EndToEndQ::new([64, 3], &config, false, Seed(4), &HOST)?;
            save(q.store(), &file, &mut rng)?;
            compare_q(&q, [3, 64], Some(&config), &file, &mut rng)?;
        }
    }
    Ok(())
}

/// Compares a Q-function on images of `[channels, size]` with stock layers that read `file`: the small end-to-end network where
/// its sizes are given, else the published one.
fn compare_q(
    q: &dyn QFunction,
    [channels, size]: [usize; 2],
    end_to_end: Option<&EndToEndQConfig>,
    file: &Path,
    rng: &mut Rng,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let images = random(&[2, channels, size, size], rng)?;
    // The gripper is open and closed, 10 and 3 cm high; each image has an action.
    let states = Tensor::new(&[[0.0_f32, 1.0], [1.0, 0.3]], &HOST)?;
    let actions: Vec<ActionFeatures> = (0..2).map(|_| std::array::from_fn(|_| rng.range(-1.0, 1.0))).collect();
    let encoded =
        q.encode(&Activations::from_tensor(&images)?, &Activations::from_tensor(&states)?, EncoderMode::Evaluate)?;
    let ours = q.logits(&encoded, &actions, false)?;
    let flat: Vec<f32> = actions.iter().flatten().copied().collect();
    let joined = Tensor::cat(&[&Tensor::from_vec(flat, (2, actions[0].len()), &HOST)?, &states], 1)?;
    let weights = weights(file)?;
    let stock = match end_to_end {
        Some(config) => score_end_to_end(&images, &joined, config, &weights)?,
        None => vec![score(&images, &joined, &weights)?],
    };
    let network = if end_to_end.is_some() { "end-to-end Q" } else { "published Q" };
    for (critic, (ours, stock)) in ours.iter().zip(&stock).enumerate() {
        compare(&format!("logits of the {network}, critic {critic}"), ours, stock)?;
    }
    Ok(())
}
