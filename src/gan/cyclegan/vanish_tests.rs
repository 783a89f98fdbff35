//! The failure that the scene term is for, provoked: reality shows fewer objects than the simulator, so that a translation
//! that the discriminator believes deletes some. The term keeps what Q reads.

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
const CELLS: usize = (SIZE / CELL) * (SIZE / CELL);
/// Red minus green of the floor, and of a square.
const FLOOR: f32 = 0.2;
const OBJECT: f32 = 1.3;

/// Pictures of a floor with red squares, one with probability `p` in each cell; and which cells hold one, with its corner.
fn scenes(count: usize, p: f32, rng: &mut Rng) -> Result<(Tensor, Vec<Vec<Option<[usize; 2]>>>)> {
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

/// Frozen Q-functions that read the squares' places: a value for each cell.
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
            avg_pool(&red, [CELL; 2], [CELL; 2])?.to_tensor()?.flatten_from(1)
        };
        let x = [q(x[0], false)?, q(x[1], true)?, q(x[2], false)?];
        let y = [q(y[0], true)?, q(y[1], false)?, q(y[2], true)?];
        let values = |q: &Tensor| q.flatten_all()?.to_vec1::<f32>();
        let error = normalized_scene_error(&values(&x[0])?, &values(&x[1])?);
        let loss = scene_consistency([&x[0], &x[1], &x[2]], [&y[0], &y[1], &y[2]])?;
        Ok(SceneTerm { loss, metrics: vec![("scene_error/gx", error)] })
    }
}

/// The share of squares that G deleted (less than half as red as they were), and of empty cells in which it drew one.
fn vanished_and_invented(g: &Generator) -> anyhow::Result<[f64; 2]> {
    let (x, truth) = scenes(64, 0.5, &mut Seed(33).rng())?;
    let _frozen = g.store().freeze();
    let gx = g.forward(&Activations::from_tensor(&x)?)?.to_tensor()?;
    let red = redness(&gx, true)?.flatten_from(1)?.to_vec2::<f32>()?;
    let middle = 0.5 * (FLOOR + OBJECT);
    let (mut faults, mut judged) = ([0_u32; 2], [0_u32; 2]);
    for (red, cells) in red.iter().zip(&truth) {
        for (cell, place) in cells.iter().enumerate() {
            let mean = |[top, left]: [usize; 2], edge: usize| {
                let rows = (top..top + edge).flat_map(|y| &red[y * SIZE + left..y * SIZE + left + edge]);
                rows.sum::<f32>() / (edge * edge) as f32
            };
            let corner = [cell / (SIZE / CELL) * CELL, cell % (SIZE / CELL) * CELL];
            let (kind, fault) = match place {
                Some(at) => (0, mean(*at, SQUARE) < middle),
                None => (1, mean([corner[0] + 2, corner[1] + 2], 4) > middle),
            };
            judged[kind] += 1;
            faults[kind] += u32::from(fault);
        }
    }
    Ok([0, 1].map(|kind| f64::from(faults[kind]) / f64::from(judged[kind].max(1))))
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
    let cyc = std::env::var("CYC").ok().and_then(|v| v.parse().ok()).unwrap_or(1.0);
    config.weights.cycle = cyc;
    config.weights.scene = scene;
    config
}

#[test]
fn learning_where_reality_shows_fewer_objects_deletes_some_and_the_scene_term_keeps_them() -> anyhow::Result<()> {
    let steps: u64 = std::env::var("STEPS").ok().and_then(|v| v.parse().ok()).unwrap_or(400);
    let trained = |method: Method, scene: f64| -> anyhow::Result<[f64; 2]> {
        with_large_stack(move || {
            let config = config(method, scene);
            let mut learner = CycleGanLearner::new(&config, Seed(31), &HOST)?;
            let q = PlaceQ(ParamStore::new(Seed(0), &HOST));
            let t = std::time::Instant::now();
            for step in 0..steps {
                let rng = &mut Seed(32).derive("batch", step).rng();
                let x = scenes(config.batch, 0.5, rng)?.0;
                let y = colour_map(&scenes(config.batch, 0.25, rng)?.0)?;
                let critics = Critics { scene: (scene > 0.0).then_some(&q as _), task: None };
                learner.update(&UnpairedBatch::new(x, y), config.lr_scale(step as f64 / steps as f64), critics)?;
                if step % 100 == 99 {
                    let f = vanished_and_invented(learner.sim2real())?;
                    println!("{method} scene {scene} step {step}: {f:?} {:.1} s", t.elapsed().as_secs_f64());
                }
            }
            vanished_and_invented(learner.sim2real())
        })?
    };
    let scene = std::env::var("SCENE").ok().and_then(|v| v.parse().ok()).unwrap_or(10.0);
    trained(Method::Gan, 0.0).ok();
    let without = trained(Method::CycleGan, 0.0)?;
    let with = trained(Method::RlCycleGan, scene)?;
    println!("vanished, invented: {without:?} without, {with:?} with");
    Ok(())
}
