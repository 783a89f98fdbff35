//! The failure that the scene term is for, provoked: reality shows none of the simulator's objects, so that a translation
//! that the discriminator believes deletes them. The term keeps what Q reads.

use super::batch::UnpairedBatch;
use super::config::{CycleGanConfig, DiscriminatorConfig, GeneratorConfig, Method, NoiseConfig, Preset};
use super::learner::{Critics, CycleGanLearner};
use super::scene::{SceneLoss, SceneTerm};
use super::{CycleGanError, Generator};
use crate::contract::{Rng, Seed};
use crate::gan::losses::{normalized_scene_error, scene_consistency};
use crate::nn::ops::avg_pool;
use crate::nn::{Activations, HOST, ParamStore, with_large_stack};
use candle_core::{Device, Result, Tensor};

/// Edge of the pictures, of the cells in which squares lie, and of the squares.
const SIZE: usize = 16;
const CELL: usize = 8;
const SQUARE: usize = 5;
/// Edge of the blocks that Q reads.
const BLOCK: usize = 4;
/// Steps of training.
const STEPS: u64 = 250;
const CELLS: usize = (SIZE / CELL) * (SIZE / CELL);
/// Red minus green of the floor, and of a square.
const FLOOR: f32 = 0.2;
const OBJECT: f32 = 1.3;

/// The corner of a cell's square; none of an empty cell.
type Place = Option<[usize; 2]>;

/// Pictures of a floor with red squares, one with probability `p` in each cell; and which cells hold one, with its corner.
fn scenes(count: usize, p: f32, rng: &mut Rng) -> Result<(Tensor, Vec<Vec<Place>>)> {
    let mut planes = vec![0.0_f32; count * 3 * SIZE * SIZE];
    let mut truth = Vec::new();
    for image in planes.chunks_exact_mut(3 * SIZE * SIZE) {
        let mut fill = |[top, left]: [usize; 2], edge: usize, colour: [f32; 3]| {
            for (plane, value) in image.chunks_exact_mut(SIZE * SIZE).zip(colour) {
                plane.chunks_exact_mut(SIZE).skip(top).take(edge).for_each(|row| row[left..left + edge].fill(value));
            }
        };
        fill([0, 0], SIZE, [0.3, 0.1, -0.3]);
        let mut place = |cell: usize| {
            let mut within = || rng.below(CELL - SQUARE + 1);
            let at = [cell / (SIZE / CELL) * CELL + within(), cell % (SIZE / CELL) * CELL + within()];
            let held = rng.chance(p);
            if held {
                fill(at, SQUARE, [0.8, -0.5, -0.6]);
            }
            held.then_some(at)
        };
        truth.push((0..CELLS).map(&mut place).collect());
    }
    Ok((Tensor::from_vec(planes, (count, 3, SIZE, SIZE), &Device::Cpu)?, truth))
}

/// Reality's colours.
fn colour_map(x: &Tensor) -> Result<Tensor> {
    let scale = Tensor::new(&[0.6_f32, 0.6, 0.5], &Device::Cpu)?.reshape((1, 3, 1, 1))?;
    let shift = Tensor::new(&[0.3_f32, -0.3, 0.2], &Device::Cpu)?.reshape((1, 3, 1, 1))?;
    x.broadcast_mul(&scale)?.broadcast_add(&shift)
}

/// Red minus green as the simulator has it, `[n, 1, SIZE, SIZE]`.
fn redness(image: &Tensor, reality: bool) -> Result<Tensor> {
    let difference = (image.narrow(1, 0, 1)? - image.narrow(1, 1, 1)?)?;
    if reality { (difference - 0.6)? / 0.6 } else { Ok(difference) }
}

/// Frozen Q-functions that read the squares' places: a value for each block of pixels.
struct PlaceQ(ParamStore);

impl SceneLoss for PlaceQ {
    fn stores(&self) -> Vec<&ParamStore> {
        vec![&self.0]
    }

    fn loss(
        &self,
        x: [&Activations; 3],
        y: [&Activations; 3],
        _: &UnpairedBatch,
        _: Seed,
    ) -> std::result::Result<SceneTerm, CycleGanError> {
        let q = |image: &Activations, reality: bool| -> Result<Tensor> {
            let red = Activations::from_tensor(&redness(&image.to_tensor()?, reality)?.contiguous()?)?;
            avg_pool(&red, [BLOCK; 2], [BLOCK; 2])?.to_tensor()?.flatten_from(1)
        };
        let x = [q(x[0], false)?, q(x[1], true)?, q(x[2], false)?];
        let y = [q(y[0], true)?, q(y[1], false)?, q(y[2], true)?];
        let values = |q: &Tensor| q.flatten_all()?.to_vec1::<f32>();
        let error = normalized_scene_error(&values(&x[0])?, &values(&x[1])?);
        let loss = scene_consistency([&x[0], &x[1], &x[2]], [&y[0], &y[1], &y[2]])?;
        Ok(SceneTerm { loss, metrics: vec![("scene_error/gx", error)] })
    }
}

/// The share of squares that G deleted: what is less than half as red there as it was.
fn vanished(g: &Generator) -> anyhow::Result<f64> {
    let (x, truth) = scenes(64, 0.5, &mut Seed(33).rng())?;
    let _frozen = g.store().freeze();
    let gx = g.forward(&Activations::from_tensor(&x)?)?.to_tensor()?;
    let red = redness(&gx, true)?.flatten_from(1)?.to_vec2::<f32>()?;
    let (mut deleted, mut squares) = (0_u32, 0_u32);
    for (red, cells) in red.iter().zip(&truth) {
        for [top, left] in cells.iter().flatten() {
            let rows = (*top..top + SQUARE).flat_map(|y| &red[y * SIZE + left..y * SIZE + left + SQUARE]);
            let mean = rows.sum::<f32>() / (SQUARE * SQUARE) as f32;
            squares += 1;
            deleted += u32::from(mean < 0.5 * (FLOOR + OBJECT));
        }
    }
    Ok(f64::from(deleted) / f64::from(squares.max(1)))
}

fn config(method: Method, scene: f64) -> CycleGanConfig {
    let preset = CycleGanConfig::preset(method, Preset::Small);
    let mut config = CycleGanConfig {
        size: SIZE,
        batch: 8,
        generator: GeneratorConfig { filters: vec![8, 16], bottleneck: 1, ..preset.generator.clone() },
        discriminator: DiscriminatorConfig { filters: vec![16, 24], scales: 2, ..preset.discriminator.clone() },
        warm_start_steps: 60,
        generator_lr: 2e-3,
        discriminator_lr: 1e-3,
        ema_decay: 0.98,
        scene_interval: 1,
        balance: None,
        noise: NoiseConfig { discriminator_std: 0.05, cycle_std: 0.0 },
        ..preset
    };
    // Weak, so that what is deleted need not be kept for the way back.
    config.weights.cycle = 0.3;
    config.weights.scene = scene;
    config
}

#[test]
fn learning_where_reality_shows_no_objects_deletes_them_and_the_scene_term_keeps_them() -> anyhow::Result<()> {
    let trained = |method: Method, scene: f64| -> anyhow::Result<f64> {
        with_large_stack(move || {
            let config = config(method, scene);
            let mut learner = CycleGanLearner::new(&config, Seed(31), &HOST)?;
            let q = PlaceQ(ParamStore::new(Seed(0), &HOST));
            for step in 0..STEPS {
                let rng = &mut Seed(32).derive("batch", step).rng();
                let x = scenes(config.batch, 0.5, rng)?.0;
                let y = colour_map(&scenes(config.batch, 0.0, rng)?.0)?;
                let critics = Critics { scene: (scene > 0.0).then_some(&q as _), task: None };
                learner.update(&UnpairedBatch::new(x, y), config.lr_scale(step as f64 / STEPS as f64), critics)?;
            }
            vanished(learner.sim2real())
        })?
    };
    let (without, with) = (trained(Method::CycleGan, 0.0)?, trained(Method::RlCycleGan, 100.0)?);
    println!("vanished: {without:.2} without the scene term, {with:.2} with it");
    assert!(without > 0.3 && with < 0.1, "{without:.2} without the scene term, {with:.2} with it");
    Ok(())
}
