//! Saliency: on which pixels a Q-value hangs, by the size of its gradient there (Simonyan et al., 2014).
//!
//! RL-CycleGAN's appendix finds with it that Q of a translation may be the generators' work: trained end to end they compute
//! Q and hide it in the picture, and the Q-functions decode it. Q_real then hangs on other pixels of G(x) than Q_sim on those
//! of x.

use super::learner::RlCycleGanLearner;
use crate::contract::action_space::ActionFeatures;
use crate::draw::{Canvas, ContactSheet, Picture, heat_overlay};
use crate::gan::cyclegan::{Generator, UnpairedBatch};
use crate::gan::images::to_bytes;
use crate::nn::ops::GradientSource;
use crate::nn::{Activations, HOST, backward};
use crate::rl::error::RlError;
use crate::rl::qtopt::network::{EncoderMode, QFunction, STATE_LEN, state_activations};
use crate::rl::qtopt::stream::Samples;
use candle_core::{DType, Result, Tensor, Var};

/// How alike the maps of Q_sim at x and of Q_real at G(x) are: the mean correlation, 1 where both hang on the same places.
pub const AGREEMENT: &str = "watch/saliency_q_real_gx";
/// Edge of the blocks over which maps are averaged before they are compared: a look aside by a pixel is none.
const BLOCK: usize = 4;
/// Edge of a cell of the sheet, pixels.
const CELL: usize = 128;
/// The columns of `columns` behind those of the pictures.
pub const THROUGH_G: &str = "x, Q_real(G(x))";

/// The states of some images and what is asked of Q there.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The gripper's state beside each image.
    pub states: &'a [[f32; STATE_LEN]],
    /// The action whose value is asked for, one an image.
    pub actions: &'a [ActionFeatures],
}

/// The size of the gradient of Q's logit at each pixel, summed over colours: a map `[height, width]` for each of `images`
/// `[n, 3, height, width]`, which `q` sees through `generators`, one after the other.
///
/// # Errors
/// Another shape, not as many states and actions as images.
pub fn saliency(
    q: &dyn QFunction,
    generators: &[&Generator],
    images: &Tensor,
    asked: Asked<'_>,
) -> Result<Vec<Vec<f32>>> {
    let device = q.store().device();
    let _frozen: Vec<_> =
        generators.iter().map(|generator| generator.store()).chain([q.store()]).map(|s| s.freeze()).collect();
    let image = Var::from_tensor(&images.to_device(device)?)?;
    let mut seen = Activations::from_tensor(image.as_tensor())?;
    for generator in generators {
        seen = generator.forward(&seen)?;
    }
    let encoded = q.encode(&seen, &state_activations(asked.states, device)?, EncoderMode::ImageGradient)?;
    let critics = q.logits(&encoded, asked.actions, false)?;
    // No layer mixes images here, so that the gradient of the sum is that of each image's own value.
    let value = Tensor::stack(&critics, 0)?.mean(0)?.sum_all()?;
    let Some(gradient) = backward(&value)?.tensor(&image)? else {
        let [n, _, height, width] = seen.dims4()?;
        return Ok(vec![vec![0.0; height * width]; n]);
    };
    gradient.abs()?.sum(1)?.flatten_from(1)?.to_dtype(DType::F32)?.to_device(&HOST)?.to_vec2::<f32>()
}

/// Pearson's correlation of two maps of `size` pixels squared, over means of blocks; NaN where either does not vary.
fn agreement(a: &[f32], b: &[f32], size: usize) -> f64 {
    let blocks = size.div_ceil(BLOCK);
    let pooled = |map: &[f32]| {
        let mut sums = vec![0.0_f64; blocks * blocks];
        for (at, value) in map.iter().enumerate() {
            sums[at / size / BLOCK * blocks + at % size / BLOCK] += f64::from(*value);
        }
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        sums.iter_mut().for_each(|sum| *sum -= mean);
        sums
    };
    let (a, b) = (pooled(a), pooled(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// A column of a sheet: its name, and a picture for each state.
pub type Column = (&'static str, Vec<Picture>);

/// Q_sim, Q_real and G, whose pictures are looked at.
pub struct Judges<'a> {
    /// Q_sim: judges x, F(G(x)) and F(y).
    pub sim: &'a dyn QFunction,
    /// Q_real: judges G(x), y and G(F(y)).
    pub real: &'a dyn QFunction,
    /// G.
    pub sim2real: &'a Generator,
}

impl Judges<'_> {
    /// The saliency of each of these pictures (`x`, `G(x)`, ... in any order, by name) for the Q-function that judges it, and
    /// of x for Q_real behind G, each over its picture; and [`AGREEMENT`]. `x` and `y` say what is asked of the pictures of
    /// either domain.
    ///
    /// # Errors
    /// As [`saliency`].
    pub fn columns(&self, images: &[(&'static str, Tensor)], [x, y]: [Asked<'_>; 2]) -> Result<(Vec<Column>, f64)> {
        let mut columns = Vec::with_capacity(images.len() + 1);
        let (mut of_x, mut of_gx) = (Vec::new(), Vec::new());
        for (name, image) in images {
            let asked = if name.contains('x') { x } else { y };
            let q = if ["x", "F(G(x))", "F(y)"].contains(name) { self.sim } else { self.real };
            let maps = saliency(q, &[], image, asked)?;
            columns.push((*name, overlays(image, &maps)?));
            match *name {
                "x" => of_x = maps,
                "G(x)" => of_gx = maps,
                _ => {}
            }
        }
        if let Some((_, image)) = images.iter().find(|(name, _)| *name == "x") {
            let maps = saliency(self.real, &[self.sim2real], image, x)?;
            columns.push((THROUGH_G, overlays(image, &maps)?));
        }
        let size = images.first().map_or(Ok(1), |(_, image)| image.dim(3))?;
        let each: Vec<f64> =
            of_x.iter().zip(&of_gx).map(|(a, b)| agreement(a, b, size)).filter(|value| value.is_finite()).collect();
        Ok((columns, each.iter().sum::<f64>() / each.len() as f64))
    }
}

/// Maps over their pictures.
fn overlays(images: &Tensor, maps: &[Vec<f32>]) -> Result<Vec<Picture>> {
    let (_, _, height, width) = images.dims4()?;
    let picture = |(rgb, map): (Vec<u8>, &Vec<f32>)| Picture::photo(width, height, heat_overlay(&rgb, map));
    Ok(to_bytes(images)?.into_iter().zip(maps).map(picture).collect())
}

/// What a sheet of saliency says below its title.
pub const SUBTITLE: &str = "colour: pixels on which Q of the action depends, |dQ/dpixel|; x, F(G(x)), F(y) by Q_sim, the others by \
                            Q_real; last, x by Q_real behind G";

/// A sheet of `columns` of a batch, and the figure [`AGREEMENT`]; none for a method without Q-functions.
///
/// # Errors
/// A network that fails.
pub fn sheet(
    learner: &RlCycleGanLearner,
    batch: &UnpairedBatch,
    [sim, real]: [&Samples; 2],
) -> std::result::Result<Option<(Canvas, f64)>, RlError> {
    let Some(q) = learner.q() else { return Ok(None) };
    let images = learner.gan().translations(batch).map_err(RlError::other)?;
    let parts = |samples: &Samples| -> (Vec<_>, Vec<_>) {
        samples.records.iter().map(|record| (record.state, record.action)).unzip()
    };
    let (x, y) = (parts(sim), parts(real));
    let asked = [&x, &y].map(|(states, actions)| Asked { states, actions });
    let judges =
        Judges { sim: q.sim.averaged.as_ref(), real: q.real.averaged.as_ref(), sim2real: learner.gan().sim2real() };
    let (columns, agreement) = judges.columns(&images, asked)?;
    let title = format!("saliency of {} after {} steps", learner.config().gan.method, learner.gan().steps());
    Ok(Some((draw(title, columns, CELL).draw(), agreement)))
}

/// The sheet of some columns, one row a state.
pub fn draw(title: String, columns: Vec<Column>, cell: usize) -> ContactSheet {
    let (names, mut pictures): (Vec<&str>, Vec<_>) =
        columns.into_iter().map(|(name, pictures)| (name, pictures.into_iter())).unzip();
    let mut sheet = ContactSheet::new(title, SUBTITLE).columns(&names).cell(cell);
    loop {
        let row: Vec<Picture> = pictures.iter_mut().filter_map(Iterator::next).collect();
        if row.is_empty() {
            return sheet;
        }
        sheet.row("", row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::gan::cyclegan::noise::noise;
    use crate::gan::cyclegan::{CycleGanConfig, Method, Preset};
    use crate::nn::with_large_stack;
    use crate::rl::qtopt::end_to_end_train_tests::small_network;
    use crate::rl::qtopt::network::{build, state_of};
    use crate::rl::qtopt::train_tests::{SIZE, SPACE, config};

    #[test]
    fn a_map_is_what_a_small_change_of_a_pixel_does_to_q() -> anyhow::Result<()> {
        with_large_stack(|| {
            let mut settings = config(1).learner;
            // Nothing is cropped at estimated places, which are constants to the gradient.
            settings.end_to_end = Some(small_network());
            settings.auxiliary_weight = 0.0;
            let q = build(&settings, &SPACE, Seed(4), &HOST)?;
            let mut gan = CycleGanConfig::preset(Method::CycleGan, Preset::Small);
            (gan.size, gan.generator.filters) = (SIZE, vec![6, 8]);
            let g = Generator::new(&gan.generator, SIZE, Seed(5), &HOST)?;
            let images = (noise(&[2, 3, SIZE, SIZE], 0.3, Seed(6), &HOST)? * 0.5)?;
            let actions = [SPACE.features(&SPACE.random(&mut Seed(7).rng())); 2];
            let asked = Asked { states: &[state_of(1.0, 0.5), state_of(0.0, 2.0)], actions: &actions };
            let logit = |images: &Tensor, generators: &[&Generator]| -> anyhow::Result<Vec<f32>> {
                let mut seen = Activations::from_tensor(images)?;
                for generator in generators {
                    seen = generator.forward(&seen)?;
                }
                let encoded = q.encode(&seen, &state_activations(asked.states, &HOST)?, EncoderMode::Evaluate)?;
                Ok(Tensor::stack(&q.logits(&encoded, asked.actions, false)?, 0)?.mean(0)?.to_vec1()?)
            };
            for generators in [&[][..], &[&g][..]] {
                let maps = saliency(q.as_ref(), generators, &images, asked)?;
                assert_eq!((maps.len(), maps[0].len()), (2, SIZE * SIZE));
                let place = (0..SIZE * SIZE).max_by(|&a, &b| maps[1][a].total_cmp(&maps[1][b])).unwrap_or(0);
                let mut slope = 0.0;
                for colour in 0..3 {
                    let moved = |by: f32| -> anyhow::Result<Vec<f32>> {
                        let mut pixels = images.flatten_all()?.to_vec1::<f32>()?;
                        pixels[(3 + colour) * SIZE * SIZE + place] += by;
                        logit(&Tensor::from_vec(pixels, images.dims(), &HOST)?, generators)
                    };
                    let (more, less) = (moved(2e-2)?, moved(-2e-2)?);
                    // The other image's Q does not move.
                    assert_eq!(more[0], less[0]);
                    slope += ((more[1] - less[1]) / 4e-2).abs();
                }
                let error = (slope - maps[1][place]).abs() / maps[1][place];
                assert!(maps[1][place] > 0.0 && error < 0.15, "{slope} {}", maps[1][place]);
            }
            Ok(())
        })?
    }

    #[test]
    fn maps_agree_where_they_are_hot_at_the_same_places() {
        let spot = |row: usize, column: usize| -> Vec<f32> {
            let near = |at: usize| (at / 16 / 4, at % 16 / 4) == (row, column);
            (0..256).map(|at| if near(at) { 2.0 } else { 1.0 }).collect()
        };
        assert!((agreement(&spot(1, 2), &spot(1, 2), 16) - 1.0).abs() < 1e-12);
        // Of 16 blocks one is 15/16 above the mean in each map, and the others 1/16 below: (14 - 30) / 16^2 over 15 / 16.
        assert!((agreement(&spot(1, 2), &spot(3, 0), 16) + 1.0 / 15.0).abs() < 1e-12);
        assert!(agreement(&[1.0; 256], &spot(0, 0), 16).is_nan());
    }
}
