//! The learner of all four methods: one call of [`CycleGanLearner::update`] is one training step.
//!
//! A step translates both halves of the batch once, moves the discriminators on the translations (or earlier ones, from
//! their pools), then the generators against the moved discriminators. Gradients are applied selectively: while the
//! discriminators learn, the translations are constants; while the generators learn, the stores of discriminators and
//! Q-functions are frozen. Everything random in a step is decided by the seed and the step's number.

use super::balance::Balance;
use super::batch::UnpairedBatch;
use super::config::{CycleGanConfig, TermWeights};
use super::error::CycleGanError;
use super::generator::Generated;
use super::generator::Generator;
use super::noise::{with_blanks, with_noise};
use super::objective::{Objective, scalar};
use super::parts::{Images, TrainedDiscriminator, TrainedGenerator};
use super::scene::SceneLoss;
use super::task::{DomainClassifier, ImageDomain, TaskNetwork, domain_ramp};
use crate::contract::Seed;
use crate::gan::losses::{content_loss, cycle_loss, identity_loss, mask_loss};
use crate::nn::ops::{avg_pool, loss};
use crate::nn::{Activations, Gradients, backward};
use candle_core::{Device, Tensor};

/// Figures of a step by name.
pub type Metrics = Vec<(&'static str, f64)>;

/// What the generators made in the step before, `[n, 3, height, width]` each and without gradients.
#[derive(Clone, Debug)]
pub struct StepTranslations {
    /// G(x).
    pub gx: Tensor,
    /// Of methods with a cycle: F(G(x)), F(y) and G(F(y)).
    pub cycle: Option<[Tensor; 3]>,
}

/// Networks of other rooms that take part in a step.
#[derive(Default)]
pub struct Critics<'a> {
    /// RL-CycleGAN's Q-functions.
    pub scene: Option<&'a dyn SceneLoss>,
    /// GraspGAN's grasp network.
    pub task: Option<&'a mut dyn TaskNetwork>,
}

/// Everything that learns.
pub struct CycleGanLearner {
    pub(super) config: CycleGanConfig,
    pub(super) seed: Seed,
    /// Steps done.
    pub(super) steps: u64,
    /// G.
    pub(super) sim2real: TrainedGenerator,
    /// F.
    pub(super) real2sim: Option<TrainedGenerator>,
    /// D_Y, which knows reality.
    pub(super) real_discriminator: TrainedDiscriminator,
    /// D_X, which knows simulation.
    pub(super) sim_discriminator: Option<TrainedDiscriminator>,
    pub(super) domain: Option<DomainClassifier>,
    pub(super) balance: Balance,
    translations: Option<StepTranslations>,
}

/// The share of 8x8 blocks that the warm start blanks.
const P_BLANK: f32 = 0.25;

impl CycleGanLearner {
    /// A learner without a grasp network beside it.
    ///
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &CycleGanConfig, seed: Seed, device: &Device) -> Result<Self, CycleGanError> {
        Self::with_task_features(config, seed, None, device)
    }

    /// GraspGAN's: a grasp network whose features have so many channels will be given to every step.
    ///
    /// # Errors
    /// An impossible setting.
    pub fn with_task_features(
        config: &CycleGanConfig,
        seed: Seed,
        channels: Option<usize>,
        device: &Device,
    ) -> Result<Self, CycleGanError> {
        config.validate()?;
        let cycle = config.method.has_cycle();
        let way_back = || TrainedGenerator::new(config, false, seed.derive("real2sim", 0), device);
        let judge = |name: &str| TrainedDiscriminator::new(config, seed.derive(name, 0), device);
        let domain = |channels| {
            DomainClassifier::new(channels, config.discriminator_adam, seed.derive("domain-classifier", 0), device)
        };
        Ok(Self {
            config: config.clone(),
            seed,
            steps: 0,
            sim2real: TrainedGenerator::new(config, true, seed.derive("sim2real", 0), device)?,
            real2sim: cycle.then(way_back).transpose()?,
            real_discriminator: judge("real-discriminator")?,
            sim_discriminator: cycle.then(|| judge("sim-discriminator")).transpose()?,
            domain: channels.map(domain).transpose()?,
            balance: Balance::new(config),
            translations: None,
        })
    }

    /// The settings of the run, with the weights as they were before any balancing.
    pub fn config(&self) -> &CycleGanConfig {
        &self.config
    }

    /// Where the networks are, and batches go.
    pub fn device(&self) -> &Device {
        self.sim2real.generator.store().device()
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The averaged G: simulation to reality.
    pub fn sim2real(&self) -> &Generator {
        &self.sim2real.averaged
    }

    /// The averaged F: reality to simulation; methods without a cycle have none.
    pub fn real2sim(&self) -> Option<&Generator> {
        self.real2sim.as_ref().map(|trained| &trained.averaged)
    }

    /// What the last step's generators made of its batch; none after a step of the warm start.
    pub fn step_translations(&self) -> Option<&StepTranslations> {
        self.translations.as_ref()
    }

    /// The weights of cycle and scene as they are now: configured, or set by measuring.
    pub fn term_weights(&self) -> TermWeights {
        self.balance.weights
    }

    /// Learns from one batch; `lr_scale` multiplies the learning rates.
    ///
    /// # Errors
    /// A batch or a critic that does not fit the settings; gradients that are not finite three times in a row.
    pub fn update(
        &mut self,
        batch: &UnpairedBatch,
        lr_scale: f64,
        critics: Critics<'_>,
    ) -> Result<Metrics, CycleGanError> {
        batch.check(&self.config)?;
        let batch = &batch.to_device(self.device())?;
        if self.config.weights.scene > 0.0 && critics.scene.is_none() {
            return Err(CycleGanError::Input(
                "weights.scene needs Q-functions beside the learner; set it to 0 without them".into(),
            ));
        }
        let warm = self.steps < self.config.warm_start_steps;
        let mut generators = std::iter::once(&self.sim2real).chain(&self.real2sim);
        generators.try_for_each(|trained| trained.generator.power_iteration())?;
        self.translations = None;
        let metrics = if warm { self.warm_start(batch, lr_scale)? } else { self.translate(batch, lr_scale, critics)? };
        for trained in std::iter::once(&self.sim2real).chain(&self.real2sim) {
            trained.average(self.config.ema_decay, self.steps)?;
        }
        self.steps += 1;
        Ok(metrics)
    }

    /// The seed of something random in this step.
    fn seed_of(&self, purpose: &str) -> Seed {
        self.seed.derive(purpose, self.steps)
    }

    /// One step towards the identity: each generator fills in the blanked blocks of its own input. Without it colours
    /// may start out inverted, and never come back: the cycle does not mind.
    fn warm_start(&mut self, batch: &UnpairedBatch, lr_scale: f64) -> Result<Metrics, CycleGanError> {
        let names = ["loss/warm_start_sim2real", "loss/warm_start_real2sim"];
        let inputs = [(&batch.x, self.seed_of("blank-x")), (&batch.y, self.seed_of("blank-y"))];
        let lr = lr_scale * self.config.generator_lr;
        let mut metrics = Metrics::new();
        let generators = std::iter::once(&mut self.sim2real).chain(&mut self.real2sim);
        for ((trained, name), (images, seed)) in generators.zip(names).zip(inputs) {
            let blanked = Activations::from_tensor(&with_blanks(images, 8, P_BLANK, seed)?)?;
            let image = trained.generator.forward(&blanked)?.to_tensor()?;
            let loss = loss::squared_error(&image, images)?;
            trained.adam.step(&backward(&loss)?, lr)?;
            metrics.push((name, scalar(&loss)?));
        }
        Ok(metrics)
    }

    fn translate(
        &mut self,
        batch: &UnpairedBatch,
        lr_scale: f64,
        mut critics: Critics<'_>,
    ) -> Result<Metrics, CycleGanError> {
        let (x, y) = (Activations::from_tensor(&batch.x)?, Activations::from_tensor(&batch.y)?);
        let generated = self.sim2real.generator.generate(&x)?;
        let fy = self.real2sim.as_ref().map(|f| f.generator.forward(&y)).transpose()?;
        let mut metrics = self.update_discriminators(batch, &generated.image, fy.as_ref(), lr_scale)?;
        metrics.extend(self.update_task(batch, &x, &generated.image, &y, lr_scale, &mut critics)?);

        let (objective, cycle) = self.objective(batch, [&x, &y], &generated, fy.as_ref(), &critics)?;
        let (total, terms) = objective.finish()?;
        self.translations = Some(StepTranslations { gx: generated.image.detach()?.to_tensor()?, cycle });
        metrics.extend(terms);
        metrics.extend(self.measure_balance(batch, &critics)?);
        metrics.extend(self.step_generators(&backward(&total)?, lr_scale)?);
        Ok(metrics)
    }

    fn update_discriminators(
        &mut self,
        batch: &UnpairedBatch,
        gx: &Activations,
        fy: Option<&Activations>,
        lr_scale: f64,
    ) -> Result<Metrics, CycleGanError> {
        let x = Images { pixels: &batch.x, state: batch.x_state.as_ref() };
        let y = Images { pixels: &batch.y, state: batch.y_state.as_ref() };
        let (real_seed, sim_seed) = (self.seed_of("real-discriminator-noise"), self.seed_of("sim-discriminator-noise"));
        let gx = gx.detach()?.to_tensor()?;
        let names = ["loss/discriminator_real", "accuracy/discriminator_real", "grad_norm/discriminator_real"];
        let trained = &mut self.real_discriminator;
        trained.discriminator.power_iteration()?;
        let mut metrics = trained.update(&self.config, y, Images { pixels: &gx, ..x }, (lr_scale, real_seed), names)?;
        if let (Some(trained), Some(fy)) = (&mut self.sim_discriminator, fy) {
            let fy = fy.detach()?.to_tensor()?;
            let names = ["loss/discriminator_sim", "accuracy/discriminator_sim", "grad_norm/discriminator_sim"];
            trained.discriminator.power_iteration()?;
            metrics.extend(trained.update(
                &self.config,
                x,
                Images { pixels: &fy, ..y },
                (lr_scale, sim_seed),
                names,
            )?);
        }
        Ok(metrics)
    }

    /// GraspGAN's step of the grasp network and the domain classifier, on x, G(x) and y as they are.
    fn update_task(
        &mut self,
        batch: &UnpairedBatch,
        x: &Activations,
        gx: &Activations,
        y: &Activations,
        lr_scale: f64,
        critics: &mut Critics<'_>,
    ) -> Result<Metrics, CycleGanError> {
        let weights = self.config.weights;
        if weights.task + weights.feature + weights.domain <= 0.0 {
            return Ok(Metrics::new());
        }
        let (Some(task), Some(domain)) = (&mut critics.task, &mut self.domain) else {
            return Err(CycleGanError::Input(
                "weights.task, feature and domain need a grasp network beside the learner; set them to 0 without one"
                    .into(),
            ));
        };
        let gx = gx.detach()?;
        let sim = task.features(x, ImageDomain::Simulation, true)?;
        let adapted = task.features(&gx, ImageDomain::Adapted, true)?;
        let real = task.features(y, ImageDomain::Reality, true)?;
        let progress = (self.steps - self.config.warm_start_steps) as f64 / self.config.domain_ramp_steps.max(1) as f64;
        let mut objective = Objective::default();
        objective.add("loss/task_sim", 1.0, &task.loss(&sim, batch)?)?;
        objective.add("loss/task_adapted", 1.0, &task.loss(&adapted, batch)?)?;
        if weights.domain > 0.0 {
            objective.add("loss/domain", weights.domain, &domain.loss(&adapted, &real, domain_ramp(progress))?)?;
        }
        let metrics = objective.metrics.clone();
        let gradients = backward(&objective.finish()?.0)?;
        task.step(&gradients, lr_scale)?;
        if weights.domain > 0.0 {
            domain.adam.step(&gradients, lr_scale * self.config.discriminator_lr)?;
        }
        Ok(metrics)
    }

    /// The generators' objective. Discriminators and critics are frozen while it is built, so that its gradient reaches
    /// nothing but G and F.
    fn objective(
        &self,
        batch: &UnpairedBatch,
        [x, y]: [&Activations; 2],
        generated: &Generated,
        fy: Option<&Activations>,
        critics: &Critics<'_>,
    ) -> Result<(Objective, Option<[Tensor; 3]>), CycleGanError> {
        let (config, weights, gx) = (&self.config, self.balance.weights, &generated.image);
        let (mut objective, mut translations) = (Objective::default(), None);
        let judge = |trained: &TrainedDiscriminator, image: &Activations, state: Option<&Tensor>, purpose: &str| {
            let _frozen = trained.discriminator.store().freeze();
            let noisy = with_noise(image, config.noise.discriminator_std, self.seed_of(purpose))?;
            config.gan_loss.generator(&trained.discriminator.forward(&noisy, state)?)
        };
        let gan = judge(&self.real_discriminator, gx, batch.x_state.as_ref(), "sim2real-noise")?;
        objective.add("loss/gan_sim2real", weights.gan, &gan)?;
        if let (Some(f), Some(fy), Some(trained)) = (&self.real2sim, fy, &self.sim_discriminator) {
            let gan = judge(trained, fy, batch.y_state.as_ref(), "real2sim-noise")?;
            objective.add("loss/gan_real2sim", weights.gan, &gan)?;
            let cycle_std = config.noise.cycle_std;
            let fgx = f.generator.forward(&with_noise(gx, cycle_std, self.seed_of("sim-cycle-noise"))?)?;
            let gfy = with_noise(fy, cycle_std, self.seed_of("real-cycle-noise"))?;
            let gfy = self.sim2real.generator.forward(&gfy)?;
            let plain = |image: &Activations| image.detach()?.to_tensor();
            translations = Some([plain(&fgx)?, plain(fy)?, plain(&gfy)?]);
            if weights.cycle > 0.0 {
                let sim = cycle_loss(config.distance, &fgx.to_tensor()?, &batch.x)?;
                objective.add("loss/cycle_sim", weights.cycle, &sim)?;
                let pooled = |image: &Activations| match config.real_cycle_pooling {
                    1 => image.to_tensor(),
                    edge => avg_pool(image, [edge; 2], [edge; 2])?.to_tensor(),
                };
                let real = cycle_loss(config.distance, &pooled(&gfy)?, &pooled(y)?)?;
                objective.add("loss/cycle_real", weights.cycle * weights.real_cycle, &real)?;
            }
            let due = self.steps % config.scene_interval == 0 && weights.scene > 0.0;
            if let Some(scene) = critics.scene.filter(|scene| due && scene.is_ready()) {
                let _frozen: Vec<_> = scene.stores().into_iter().map(|store| store.freeze()).collect();
                let term = scene.loss([x, gx, &fgx], [y, fy, &gfy], batch, self.seed_of("scene"))?;
                objective.add("loss/scene", weights.scene * config.scene_interval as f64, &term.loss)?;
                objective.metrics.extend(term.metrics);
            }
            if weights.identity > 0.0 {
                let sim = identity_loss(config.distance, &f.generator.forward(x)?.to_tensor()?, &batch.x)?;
                objective.add("loss/identity_sim", weights.identity, &sim)?;
            }
        }
        if weights.identity > 0.0 {
            let image = self.sim2real.generator.forward(y)?.to_tensor()?;
            objective.add(
                "loss/identity_real",
                weights.identity,
                &identity_loss(config.distance, &image, &batch.y)?,
            )?;
        }
        if weights.content > 0.0 {
            objective.add("loss/content", weights.content, &content_loss(&gx.to_tensor()?, &batch.x)?)?;
        }
        if let (Some(mask), Some(target)) = (&generated.mask, &batch.x_mask)
            && weights.mask > 0.0
        {
            objective.add("loss/mask", weights.mask, &mask_loss(mask, target)?)?;
        }
        if let Some(task) = critics.task.as_deref().filter(|_| weights.task + weights.feature > 0.0) {
            let _frozen = task.store().freeze();
            let adapted = task.features(gx, ImageDomain::Adapted, false)?;
            if weights.task > 0.0 {
                objective.add("loss/task", weights.task, &task.loss(&adapted, batch)?)?;
            }
            if weights.feature > 0.0 {
                let target = task.features(x, ImageDomain::Simulation, false)?.to_tensor()?;
                let feature = loss::squared_error(&adapted.to_tensor()?, &target)?;
                objective.add("loss/feature", weights.feature, &feature)?;
            }
        }
        Ok((objective, translations))
    }

    fn step_generators(&mut self, gradients: &Gradients, lr_scale: f64) -> Result<Metrics, CycleGanError> {
        let lr = lr_scale * self.config.generator_lr;
        let mut metrics = vec![("grad_norm/sim2real", self.sim2real.adam.step(gradients, lr)?.gradient_norm)];
        if let Some(f) = &mut self.real2sim {
            metrics.push(("grad_norm/real2sim", f.adam.step(gradients, lr)?.gradient_norm));
        }
        Ok(metrics)
    }

    /// What the averaged generators make of a batch, `[n, 3, height, width]` each, by name: x, G(x), F(G(x)), y, F(y),
    /// G(F(y)) as far as the method has them.
    ///
    /// # Errors
    /// Another shape.
    pub fn translations(&self, batch: &UnpairedBatch) -> Result<Vec<(&'static str, Tensor)>, CycleGanError> {
        let batch = batch.to_device(self.device())?;
        let forward = |generator: &Generator, image: &Tensor| -> candle_core::Result<Tensor> {
            let _frozen = generator.store().freeze();
            generator.forward(&Activations::from_tensor(image)?)?.to_tensor()
        };
        let gx = forward(self.sim2real(), &batch.x)?;
        let mut images = vec![("x", batch.x.clone()), ("G(x)", gx.clone())];
        if let Some(f) = self.real2sim() {
            let fy = forward(f, &batch.y)?;
            images.push(("F(G(x))", forward(f, &gx)?));
            images.push(("y", batch.y.clone()));
            images.push(("G(F(y))", forward(self.sim2real(), &fy)?));
            images.insert(images.len() - 1, ("F(y)", fy));
        } else {
            images.push(("y", batch.y.clone()));
        }
        Ok(images)
    }
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
