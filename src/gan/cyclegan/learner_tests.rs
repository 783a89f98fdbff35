//! The learner: which step changes what, saving and going on, and three steps against PyTorch's.

use super::super::config::{
    BalanceConfig, DiscriminatorConfig, DiscriminatorNorm, GeneratorConfig, Method, NoiseConfig, Preset,
};
use super::super::scene::SceneTerm;
use super::super::state::{LearnerState, NamedTensors};
use super::*;
use crate::gan::losses::{normalized_scene_error, scene_consistency};
use crate::nn::HOST;
use crate::nn::layers::Linear;
use crate::nn::ops::{Activation, GradientSource, flatten};
use crate::nn::{Adam, AdamConfig, NnError, ParamStore};
use candle_core::Device;
use std::collections::BTreeSet;

/// Q-functions that weigh the pixels: `[n, 2]` values of an image.
struct LinearQ {
    store: ParamStore,
    sim: Linear,
    real: Linear,
    ready: bool,
}

impl LinearQ {
    fn new(pixels: usize) -> Result<Self, NnError> {
        let store = ParamStore::new(Seed(77), &Device::Cpu);
        let sim = Linear::new(store.root().sub("sim"), 3 * pixels, 2, Activation::None)?;
        let real = Linear::new(store.root().sub("real"), 3 * pixels, 2, Activation::None)?;
        Ok(Self { store, sim, real, ready: true })
    }
}

impl SceneLoss for LinearQ {
    fn stores(&self) -> Vec<&ParamStore> {
        vec![&self.store]
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn loss(
        &self,
        x: [&Activations; 3],
        y: [&Activations; 3],
        _: &UnpairedBatch,
        _: Seed,
    ) -> Result<SceneTerm, CycleGanError> {
        let q = |layer: &Linear, image: &Activations| layer.forward(&flatten(image)?)?.to_tensor();
        let x = [q(&self.sim, x[0])?, q(&self.real, x[1])?, q(&self.sim, x[2])?];
        let y = [q(&self.real, y[0])?, q(&self.sim, y[1])?, q(&self.real, y[2])?];
        let values = |q: &Tensor| q.flatten_all()?.to_vec1::<f32>();
        let error = normalized_scene_error(&values(&x[0])?, &values(&x[1])?);
        let loss = scene_consistency([&x[0], &x[1], &x[2]], [&y[0], &y[1], &y[2]])?;
        Ok(SceneTerm { loss, metrics: vec![("scene/normalized_error_sim2real", error)] })
    }
}

/// A grasp network of one layer.
struct ToyTask {
    store: ParamStore,
    features: Linear,
    value: Linear,
    adam: Adam,
}

impl ToyTask {
    fn new(pixels: usize) -> Result<Self, NnError> {
        let store = ParamStore::new(Seed(78), &Device::Cpu);
        let features = Linear::new(store.root().sub("features"), 3 * pixels, 5, Activation::Relu)?;
        let value = Linear::new(store.root().sub("value"), 5, 1, Activation::None)?;
        let adam = Adam::new(&[&store], AdamConfig::default())?;
        Ok(Self { store, features, value, adam })
    }
}

impl TaskNetwork for ToyTask {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn feature_channels(&self) -> usize {
        5
    }

    fn features(&self, images: &Activations, _: ImageDomain, _: bool) -> candle_core::Result<Activations> {
        self.features.forward(&flatten(images)?)
    }

    fn loss(&self, features: &Activations, batch: &UnpairedBatch) -> Result<Tensor, CycleGanError> {
        let labels = batch.x_labels.as_ref().ok_or_else(|| CycleGanError::Input("no labels".into()))?;
        Ok(loss::sigmoid_cross_entropy(&self.value.forward(features)?.to_tensor()?, labels)?)
    }

    fn step(&mut self, gradients: &Gradients, lr_scale: f64) -> Result<(), CycleGanError> {
        self.adam.step(gradients, lr_scale * 1e-3)?;
        Ok(())
    }
}

fn tiny(method: Method) -> CycleGanConfig {
    let preset = CycleGanConfig::preset(method, Preset::Small);
    CycleGanConfig {
        size: 16,
        batch: 2,
        generator: GeneratorConfig { filters: vec![4, 6, 8], bottleneck: 1, ..preset.generator.clone() },
        discriminator: DiscriminatorConfig {
            filters: vec![4, 6],
            scales: 2,
            state_planes: 1,
            ..preset.discriminator.clone()
        },
        image_pool: 3,
        warm_start_steps: 2,
        balance: preset.balance.map(|b| BalanceConfig { start_step: 1, num_steps: 2, ..b }),
        ..preset
    }
}

fn batch(step: u64) -> candle_core::Result<UnpairedBatch> {
    let mut rng = Seed(40).derive("batch", step).rng();
    let mut random = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    };
    let mut batch = UnpairedBatch::new(random(&[2, 3, 16, 16])?, random(&[2, 3, 16, 16])?);
    (batch.x_state, batch.y_state) = (Some(random(&[2, 1])?), Some(random(&[2, 1])?));
    batch.x_labels = Some(random(&[2, 1])?.abs()?);
    let class = random(&[2, 1, 16, 16])?.ge(0.0)?.to_dtype(candle_core::DType::F32)?;
    let rest = Tensor::zeros((2, crate::contract::Class::COUNT - 2, 16, 16), candle_core::DType::F32, &Device::Cpu)?;
    batch.x_mask = Some(Tensor::cat(&[&class, &class.affine(-1.0, 1.0)?, &rest], 1)?);
    Ok(batch)
}

fn bytes(tensors: &NamedTensors) -> candle_core::Result<Vec<(String, Vec<u64>)>> {
    let bits = |tensor: &Tensor| -> candle_core::Result<Vec<u64>> {
        let tensor = tensor.flatten_all()?;
        Ok(match tensor.dtype() {
            candle_core::DType::I64 => tensor.to_vec1::<i64>()?.into_iter().map(|x| x as u64).collect(),
            _ => tensor.to_vec1::<f32>()?.into_iter().map(|x| u64::from(x.to_bits())).collect(),
        })
    };
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), bits(tensor)?))).collect()
}

/// Names of the groups that differ.
fn changed(a: &LearnerState, b: &LearnerState) -> candle_core::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for name in a.groups.keys().chain(b.groups.keys()) {
        let group = |state: &LearnerState| state.groups.get(name).map(bytes).transpose();
        if group(a)? != group(b)? {
            names.insert(name.clone());
        }
    }
    Ok(names)
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_half_of_a_step_changes_its_own_networks_and_nothing_else() -> anyhow::Result<()> {
    let config = CycleGanConfig { warm_start_steps: 0, ..tiny(Method::RlCycleGan) };
    let mut learner = CycleGanLearner::new(&config, Seed(1), &HOST)?;
    let q = LinearQ::new(256)?;
    // A first step, so that the moments of Adam are not all zero.
    learner.update(&batch(0)?, 1.0, Critics { scene: Some(&q), task: None })?;
    learner.steps += 1;
    let (batch, start, q_before) = (batch(2)?, learner.state()?, bytes(&q.store.state_tensors()?)?);
    let (x, y) = (Activations::from_tensor(&batch.x)?, Activations::from_tensor(&batch.y)?);
    let generated = learner.sim2real.generator.generate(&x)?;
    let Some(f) = &learner.real2sim else { anyhow::bail!("no F") };
    let fy = f.generator.forward(&y)?;
    learner.update_discriminators(&batch, &generated.image, Some(&fy), 1.0)?;
    let after_discriminators = learner.state()?;
    let discriminators = [
        "real_discriminator",
        "real_discriminator_adam",
        "real_discriminator_pool",
        "sim_discriminator",
        "sim_discriminator_adam",
        "sim_discriminator_pool",
    ];
    assert_eq!(changed(&start, &after_discriminators)?, names(&discriminators));

    let critics = Critics { scene: Some(&q), task: None };
    let (objective, _) = learner.objective(&batch, [&x, &y], &generated, Some(&fy), &critics)?;
    assert!(objective.metrics.iter().any(|(name, _)| *name == "loss/scene"), "{:?}", objective.metrics);
    let gradients = backward(&objective.finish()?.0)?;
    for (network, store) in learner.networks().into_iter().chain([("q", &q.store)]) {
        for param in store.params() {
            let found = gradients.tensor(param.var())?.is_some();
            assert_eq!(found, ["sim2real", "real2sim"].contains(&network), "{network}: {}", param.name());
        }
    }
    learner.step_generators(&gradients, 1.0)?;
    let generators = ["sim2real", "sim2real_adam", "real2sim", "real2sim_adam"];
    assert_eq!(changed(&after_discriminators, &learner.state()?)?, names(&generators));
    assert!(bytes(&q.store.state_tensors()?)? == q_before);
    Ok(())
}

#[test]
fn a_frozen_q_gives_the_generators_the_same_gradient() -> anyhow::Result<()> {
    let q = LinearQ::new(256)?;
    let learner = CycleGanLearner::new(&tiny(Method::RlCycleGan), Seed(2), &HOST)?;
    let batch = batch(0)?;
    let gradient = |frozen: bool| -> anyhow::Result<Vec<f32>> {
        let _frozen = frozen.then(|| q.store.freeze());
        let (x, y) = (Activations::from_tensor(&batch.x)?, Activations::from_tensor(&batch.y)?);
        let Some(f) = &learner.real2sim else { anyhow::bail!("no F") };
        let g = &learner.sim2real.generator;
        let (gx, fy) = (g.forward(&x)?, f.generator.forward(&y)?);
        let (fgx, gfy) = (f.generator.forward(&gx)?, g.forward(&fy)?);
        let gradients = backward(&q.loss([&x, &gx, &fgx], [&y, &fy, &gfy], &batch, Seed(0))?.loss)?;
        let mut all = Vec::new();
        for param in g.store().params() {
            let Some(gradient) = gradients.tensor(param.var())? else { anyhow::bail!("no gradient") };
            all.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(all)
    };
    let (frozen, free) = (gradient(true)?, gradient(false)?);
    assert!(frozen.iter().any(|g| g.abs() > 1e-3));
    assert_eq!(frozen, free);
    Ok(())
}

#[test]
fn a_killed_and_restored_learner_ends_in_the_same_bytes() -> anyhow::Result<()> {
    let q = LinearQ::new(256)?;
    let critics = |method: Method| Critics { scene: (method == Method::RlCycleGan).then_some(&q as _), task: None };
    for method in [Method::Gan, Method::CycleGan, Method::RlCycleGan] {
        let config = tiny(method);
        let mut whole = CycleGanLearner::new(&config, Seed(3), &HOST)?;
        for step in 0..9 {
            whole.update(&batch(step)?, 1.0, critics(method))?;
        }
        let mut learner = CycleGanLearner::new(&config, Seed(3), &HOST)?;
        // Within the warm start, while the balance is measured, and when the pools are full.
        for (first, last) in [(0, 1), (1, 4), (4, 7), (7, 9)] {
            for step in first..last {
                learner.update(&batch(step)?, 1.0, critics(method))?;
            }
            let mut state = learner.state()?;
            state.values = serde_json::from_str(&serde_json::to_string(&state.values)?)?;
            learner = CycleGanLearner::new(&config, Seed(3), &HOST)?;
            learner.load_state(&state)?;
        }
        assert_eq!(changed(&whole.state()?, &learner.state()?)?, BTreeSet::new(), "{method}");
        assert_eq!(whole.state()?.values, learner.state()?.values);
        assert_eq!(learner.steps(), 9);
        if method.has_cycle() {
            assert_ne!(learner.term_weights().cycle, config.weights.cycle, "the balance was measured");
        }
    }
    Ok(())
}

#[test]
fn a_state_of_another_method_is_refused() -> anyhow::Result<()> {
    let mut gan = CycleGanLearner::new(&tiny(Method::Gan), Seed(4), &HOST)?;
    let mut cycle = CycleGanLearner::new(&tiny(Method::CycleGan), Seed(4), &HOST)?;
    let message = |result: Result<(), CycleGanError>| result.err().map(|e| e.to_string()).unwrap_or_default();
    let text = message(cycle.load_state(&gan.state()?));
    assert!(text.contains("real2sim"), "{text}");
    let text = message(gan.load_state(&cycle.state()?));
    assert!(text.contains("does not have"), "{text}");
    Ok(())
}

#[test]
fn methods_have_the_networks_and_terms_of_their_papers() -> anyhow::Result<()> {
    let q = LinearQ::new(256)?;
    let mut task = ToyTask::new(256)?;
    for method in Method::ALL {
        let config = CycleGanConfig { warm_start_steps: 0, scene_interval: 1, ..tiny(method) };
        let channels = (method == Method::GraspGan).then(|| task.feature_channels());
        let mut learner = CycleGanLearner::with_task_features(&config, Seed(5), channels, &HOST)?;
        let critics = match method {
            Method::RlCycleGan => Critics { scene: Some(&q), task: None },
            Method::GraspGan => Critics { scene: None, task: Some(&mut task) },
            _ => Critics::default(),
        };
        let metrics = learner.update(&batch(0)?, 1.0, critics)?;
        let networks: BTreeSet<&str> = learner.networks().into_iter().map(|(name, _)| name).collect();
        let losses: BTreeSet<&str> =
            metrics.iter().map(|(name, _)| *name).filter(|name| name.starts_with("loss/")).collect();
        let gan = ["loss/discriminator_real", "loss/gan_sim2real", "loss/total"];
        let (extra_networks, extra_losses): (&[&str], &[&str]) = match method {
            Method::Gan => (&[], &[]),
            Method::GraspGan => (
                &["domain_classifier"],
                &[
                    "loss/content",
                    "loss/domain",
                    "loss/feature",
                    "loss/mask",
                    "loss/task",
                    "loss/task_adapted",
                    "loss/task_sim",
                ],
            ),
            _ => (
                &["real2sim", "sim_discriminator"],
                &["loss/cycle_real", "loss/cycle_sim", "loss/discriminator_sim", "loss/gan_real2sim"],
            ),
        };
        let scene: &[&str] = if method == Method::RlCycleGan { &["loss/scene"] } else { &[] };
        let all = |parts: &[&[&'static str]]| parts.concat().into_iter().collect::<BTreeSet<&str>>();
        assert_eq!(networks, all(&[&["sim2real", "real_discriminator"], extra_networks]), "{method}");
        assert_eq!(losses, all(&[&gan, extra_losses, scene]), "{method}");
        assert!(metrics.iter().all(|(_, value)| value.is_finite()), "{metrics:?}");
        // Undecided at the start: ln 4 within what random weights and noise do.
        let loss = metrics.iter().find(|(name, _)| *name == "loss/discriminator_real").map_or(0.0, |m| m.1);
        assert!((loss - 4.0_f64.ln()).abs() < 0.7, "{loss}");
    }
    Ok(())
}

#[test]
fn the_scene_term_waits_for_q_and_takes_part_every_other_step() -> anyhow::Result<()> {
    let mut q = LinearQ::new(256)?;
    q.ready = false;
    let config = CycleGanConfig { warm_start_steps: 0, ..tiny(Method::RlCycleGan) };
    let mut learner = CycleGanLearner::new(&config, Seed(6), &HOST)?;
    let mut seen = Vec::new();
    for step in 0..6 {
        q.ready = step >= 3;
        let metrics = learner.update(&batch(step)?, 1.0, Critics { scene: Some(&q), task: None })?;
        seen.push(metrics.iter().any(|(name, _)| *name == "loss/scene"));
    }
    assert_eq!(seen, [false, false, false, false, true, false]);
    let without = learner.update(&batch(6)?, 1.0, Critics::default()).err().map(|e| e.to_string());
    assert!(without.unwrap_or_default().contains("weights.scene"));
    Ok(())
}

#[test]
fn a_batch_that_does_not_fit_is_refused() -> anyhow::Result<()> {
    let mut learner = CycleGanLearner::new(&tiny(Method::GraspGan), Seed(7), &HOST)?;
    let mut refused = |change: fn(&mut UnpairedBatch), expected: &str| -> anyhow::Result<()> {
        let mut batch = batch(0)?;
        change(&mut batch);
        let error = learner.update(&batch, 1.0, Critics::default()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "'{error}' does not say '{expected}'");
        Ok(())
    };
    refused(|b| b.x_state = None, "state_planes")?;
    refused(|b| b.x_mask = None, "mask")?;
    refused(|b| b.y = b.y.narrow(0, 0, 1).unwrap_or(b.x_state.clone().unwrap_or(b.x.clone())), "one shape")?;
    Ok(())
}

#[test]
fn the_warm_start_goes_towards_the_identity_and_leaves_discriminators_alone() -> anyhow::Result<()> {
    let config = CycleGanConfig { warm_start_steps: 120, generator_lr: 3e-3, ..tiny(Method::CycleGan) };
    let mut learner = CycleGanLearner::new(&config, Seed(8), &HOST)?;
    let start = learner.state()?;
    let mut losses = Vec::new();
    for step in 0..120 {
        // Smooth images: a blanked block can be told from its surroundings.
        let mut batch = batch(step % 4)?;
        batch.x =
            batch.x.mean_keepdim(3)?.mean_keepdim(2)?.affine(8.0, 0.0)?.broadcast_as((2, 3, 16, 16))?.contiguous()?;
        let metrics = learner.update(&batch, 1.0, Critics::default())?;
        assert_eq!(metrics[0].0, "loss/warm_start_sim2real");
        losses.push(metrics[0].1);
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[100..]) < 0.3 * mean(&losses[..20]), "{losses:?}");
    let changed = changed(&start, &learner.state()?)?;
    assert!(changed.contains("sim2real_averaged") && !changed.iter().any(|name| name.contains("discriminator")));
    Ok(())
}

#[test]
fn pictures_are_named_and_have_the_averaged_generators_images() -> anyhow::Result<()> {
    let learner = CycleGanLearner::new(&tiny(Method::CycleGan), Seed(9), &HOST)?;
    let images = learner.translations(&batch(0)?)?;
    assert_eq!(
        images.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["x", "G(x)", "F(G(x))", "y", "F(y)", "G(F(y))"]
    );
    let gx = learner.sim2real().forward(&Activations::from_tensor(&images[0].1)?)?.to_tensor()?;
    assert_eq!((gx - &images[1].1)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
    let gan = CycleGanLearner::new(&tiny(Method::Gan), Seed(9), &HOST)?;
    assert_eq!(gan.translations(&batch(0)?)?.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["x", "G(x)", "y"]);
    Ok(())
}

/// The fixture was computed by PyTorch in float64: see `cyclegan.py` beside it.
#[test]
fn three_steps_equal_pytorchs() -> anyhow::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch/cyclegan.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    let named = |prefix: &str| -> NamedTensors {
        let of = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
        tensors.iter().filter_map(of).collect()
    };
    let mut config = tiny(Method::RlCycleGan);
    (config.discriminator.norm, config.discriminator.strides) = (DiscriminatorNorm::Spectral, vec![2, 1]);
    let adam = AdamConfig { beta1: 0.5, epsilon: 1e-4, clip_norm: None, ..AdamConfig::default() };
    (config.adam, config.discriminator_adam) = (adam, adam);
    (config.generator_lr, config.discriminator_lr) = (1e-3, 1e-3);
    (config.image_pool, config.warm_start_steps, config.balance, config.scene_interval) = (0, 0, None, 1);
    config.noise = NoiseConfig { discriminator_std: 0.0, cycle_std: 0.0 };
    config.weights.scene = 2.0;
    let mut learner = CycleGanLearner::new(&config, Seed(0), &HOST)?;
    for (name, store) in learner.networks() {
        store.load_state(&named(&format!("start/{name}/")))?;
    }
    let q = LinearQ::new(256)?;
    let mut weights: NamedTensors = Vec::new();
    for side in ["sim", "real"] {
        weights.push((format!("{side}.weight"), tensors[&format!("q_{side}")].t()?.contiguous()?));
        weights.push((format!("{side}.bias"), Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?));
    }
    q.store.load_state(&weights)?;
    let mut batch = UnpairedBatch::new(tensors["x"].clone(), tensors["y"].clone());
    (batch.x_state, batch.y_state) = (Some(tensors["x_state"].clone()), Some(tensors["y_state"].clone()));

    let close = |what: &str, found: &Tensor, expected: &Tensor| -> anyhow::Result<()> {
        let scale = expected.abs()?.max_all()?.to_scalar::<f32>()?.max(1.0);
        let difference = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()? / scale;
        anyhow::ensure!(difference <= 1e-5, "{what} differs by {difference}");
        Ok(())
    };
    for (step, expected) in tensors["losses"].to_vec2::<f32>()?.into_iter().enumerate() {
        let metrics = learner.update(&batch, 1.0, Critics { scene: Some(&q), task: None })?;
        let names = [
            "discriminator_real",
            "discriminator_sim",
            "gan_sim2real",
            "gan_real2sim",
            "cycle_sim",
            "cycle_real",
            "scene",
            "total",
        ];
        for (name, expected) in names.into_iter().zip(expected) {
            let found = metrics.iter().find(|(found, _)| found.strip_prefix("loss/") == Some(name)).map(|m| m.1);
            let Some(found) = found else { anyhow::bail!("no loss '{name}' in {metrics:?}") };
            let error = (found - f64::from(expected)).abs() / f64::from(expected.abs().max(1.0));
            anyhow::ensure!(error <= 1e-5, "step {step}: {name} is {found}, PyTorch's is {expected}");
        }
        if step > 0 {
            continue;
        }
        // The first step's moment is half of the gradient.
        let state = learner.state()?;
        for (network, _) in learner.networks() {
            let moments: std::collections::BTreeMap<_, _> =
                state.groups[&format!("{network}_adam")].iter().cloned().collect();
            for (name, gradient) in named(&format!("gradient/{network}/")) {
                let found = (&moments[&format!("{name}.exp_avg")] * 2.0)?;
                close(&format!("the gradient of {network}'s {name}"), &found, &gradient)?;
            }
        }
    }
    for (network, store) in learner.networks() {
        let expected: std::collections::BTreeMap<_, _> = named(&format!("after/{network}/")).into_iter().collect();
        let found = store.state_tensors()?;
        assert_eq!(found.len(), expected.len());
        for (name, tensor) in found {
            close(&format!("{network}'s {name} after three steps"), &tensor, &expected[&name])?;
        }
    }
    Ok(())
}
