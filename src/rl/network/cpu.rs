//! The small Q-function: the image is encoded once, and a candidate action costs three small matrix products.
//!
//! First it finds the hand: convolutions make a coarse map, some heads of attention point to places of it, and two layers say
//! where in the image the hand is and how it is turned; a window of the image around that place says so more exactly. Then
//! it looks at two windows of the image as they would lie on a table: what the hand holds, turned with the hand, and the
//! whole bin. From the second one convolutions draw a map: heights, and what else is of use. What the hand holds and stands
//! over, where it is, and the gripper's state make `e`.
//!
//! An action's embedding `a` is made of its numbers (displacements with their sines and cosines as well) and of what the map
//! shows where the action leads (`reach.rs`). It meets `e` by a shift and a scale, `relu(shift(e) + scale(e) * a)`, so that
//! the image decides what the numbers of an action mean; two layers follow.
//!
//! Where the hand is, what it feels, where the divider stands and how high the objects are, the encoder is told while it
//! learns (`rl/privileged.rs`), and Q reads its words only: no gradient of Q goes back through them, else Q knows by heart
//! how each attempt ended that it has seen. `map_features` and `held_features` are what Q may teach it besides. All
//! convolutions have batch normalization: without it, telling a held object from none takes several times as many steps.

use super::critic::{Critic, HE, PLAIN};
use super::draw::{Convs, Draw, PER_CELL, marks};
use super::gaze::{Gaze, Pixels, Projection, Window, look};
use super::reach::{Hand, Reach, read_len};
use super::scorer::{Plain, Scorer};
use super::sizes::{CpuQConfig, after};
use super::{AT_ONCE, Encoded, Mode, QFunction, STATE_LEN, Score, height_m};
use crate::contract::{Action, Seed};
use crate::nn::layers::{Conv2d, Conv2dConfig, LayerNorm, Linear};
use crate::nn::ops::{self, Activation, Value};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::action::{ActionFeatures, ActionSpace};
use crate::rl::privileged::{CELL_M, CELLS, GRIP, MAP, POSE, TOLD_MAPS};
use candle_core::{Device, Result, Tensor, bail};
use glam::Vec2;
use rayon::prelude::*;
use std::f32::consts::PI;

/// Deviations of where it looks while it learns, in image coordinates and radians: a quarter of a pixel of 64.
const JITTER: (f32, f32) = (0.008, 0.05);

/// The mean of two finds the best action; the second target network's own one says again what that is worth. A critic alone
/// finds the actions that it errs about (van Hasselt et al., 2016; Fujimoto et al., 2018).
const CRITICS: [&str; 2] = ["", "second_"];

/// Numbers of an expanded action.
pub(super) const EXPANDED: usize = Action::ENCODED_LEN + 16;

/// The features, then sine and cosine of each displacement and of the rotation at two wavelengths.
pub(super) fn expand(action: &ActionFeatures) -> [f32; EXPANDED] {
    let mut expanded = [0.0; EXPANDED];
    expanded[..Action::ENCODED_LEN].copy_from_slice(action);
    // The rotation stays below a quarter turn, where its sine says it all.
    let axes = [action[0], action[1], action[2], action[3]];
    let waves = axes.iter().flat_map(|&u| [u * PI, u * 2.0 * PI]).flat_map(|angle| [angle.sin(), angle.cos()]);
    expanded[Action::ENCODED_LEN..].iter_mut().zip(waves).for_each(|(to, wave)| *to = wave);
    expanded
}

/// See the file's head.
pub struct CpuQ {
    store: ParamStore,
    projection: Projection,
    /// Around the hand, what it holds, and the bin.
    windows: [Window; 3],
    reach: Reach,
    find: Convs,
    attend: Conv2d,
    found: Linear,
    found_state: Linear,
    pose: Linear,
    aim: Convs,
    aimed: Linear,
    pose_aimed: Linear,
    look: Convs,
    felt: Linear,
    grip: Linear,
    noticed: Option<Linear>,
    held: Linear,
    draw: Draw,
    under: Linear,
    place: Linear,
    state: Linear,
    norm: LayerNorm,
    critics: Vec<Critic>,
}

impl CpuQ {
    /// # Errors
    /// A name that is taken (never, for one network a store).
    pub fn new(
        channels: usize,
        config: &CpuQConfig,
        space: &ActionSpace,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        let mut store = ParamStore::new(seed, device);
        let find = Convs::new(&mut store, "find", channels, 5, (&config.find_filters, &config.find_strides))?;
        let filters = config.find_filters.last().copied().unwrap_or(channels);
        let attend = Conv2dConfig::new(filters, config.heads, 1).init(PLAIN);
        let attend = Conv2d::new(store.root().sub("attend"), attend)?;
        let look = Convs::new(&mut store, "look", channels, 3, (&config.look_filters, &config.look_strides))?;
        let draw = Draw::new(&mut store, channels, config)?;
        let last = |filters: &[usize]| filters.last().copied().unwrap_or(channels);
        let seen = last(&config.look_filters) * after(config.window, &config.look_strides).pow(2);
        let aim = Convs::new(&mut store, "aim", channels, 3, (&config.aim_filters, &config.aim_strides))?;
        let near = last(&config.aim_filters) * after(config.window, &config.aim_strides).pow(2);
        let reached = read_len(TOLD_MAPS + config.map_features);
        let mut linear = |name: &str, sizes: [usize; 2], activation, weight, bias| {
            Linear::with_init(store.root().sub(name), sizes, activation, [weight, bias])
        };
        let (none, zero) = (Activation::None, Init::Zeros);
        let found = linear("found", [config.heads * (filters + 2), config.found], none, PLAIN, zero)?;
        let found_state = linear("found_state", [STATE_LEN, config.found], none, PLAIN, zero)?;
        let pose = linear("pose", [config.found, POSE], none, PLAIN, zero)?;
        let felt = linear("felt", [seen, config.felt], Activation::Relu, HE, zero)?;
        let grip = linear("grip", [config.felt, GRIP], none, PLAIN, zero)?;
        let noticed = (config.held_features > 0)
            .then(|| linear("noticed", [config.felt, config.held_features], none, PLAIN, zero))
            .transpose()?;
        let held = linear("held", [GRIP + config.held_features, config.features], none, PLAIN, zero)?;
        let under = linear("under", [reached, config.features], none, PLAIN, zero)?;
        let aimed = linear("aimed", [near, config.found / 2], Activation::Relu, HE, zero)?;
        // Nothing to add to what was found, at first.
        let pose_aimed = linear("pose_aimed", [config.found / 2, POSE], none, Init::Zeros, zero)?;
        let place = linear("place", [POSE, config.features], none, PLAIN, zero)?;
        let state = linear("state", [STATE_LEN, config.features], none, PLAIN, zero)?;
        let norm = LayerNorm::new(store.root().sub("norm"), config.features)?;
        let critics = CRITICS.into_iter().map(|name| Critic::new(&mut store, name, config, reached));
        let critics = critics.collect::<std::result::Result<_, _>>()?;
        let (side, cell_m) = (config.window, config.window_m);
        let around_hand = Window { side, cell_m, per_cell: 1, turned: true, at_hand: true };
        Ok(Self {
            store,
            projection: config.projection,
            windows: [
                Window { turned: false, ..around_hand },
                around_hand,
                Window { side: MAP, cell_m: CELL_M, per_cell: PER_CELL, turned: false, at_hand: false },
            ],
            reach: Reach { step_m: space.step_m },
            find,
            attend,
            found,
            found_state,
            pose,
            aim,
            aimed,
            pose_aimed,
            look,
            felt,
            grip,
            noticed,
            held,
            draw,
            under,
            place,
            state,
            norm,
            critics,
        })
    }
}

/// What [`CpuQ`] makes of images, in order; then how each critic's image meets actions.
const MAPS: usize = 0;
const POSES: usize = 1;
const HANDS: usize = 2;
const SAID: usize = 3;
const GRIPS: usize = 4;
const MET: usize = 5;
const PARTS: usize = MET + 2 * CRITICS.len();

/// How the names of layers begin that learn from lessons.
const TAUGHT: [&str; 9] = ["find", "attend", "found", "pose", "aim", "look", "felt", "grip", "map"];

fn parts(encoded: &Encoded) -> Result<&[Value; PARTS]> {
    match encoded.parts.first_chunk() {
        Some(parts) if encoded.parts.len() == PARTS => Ok(parts),
        _ => bail!("encoded by another network"),
    }
}

/// An action that leads nowhere.
const STAY: ActionFeatures = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];

fn hands(parts: &[Value; PARTS]) -> Result<Vec<Hand>> {
    let hand = |numbers: &[f32]| Hand { place: Vec2::new(numbers[0], numbers[1]), yaw_rad: numbers[2] };
    Ok(floats(&parts[HANDS])?.chunks_exact(3).map(hand).collect())
}

fn floats(value: &Value) -> Result<Vec<f32>> {
    value.detach()?.to_tensor()?.flatten_all()?.to_vec1()
}

/// What images show: the part of an encoding that only lessons teach.
struct Seen {
    /// Maps `[n, channels, MAP, MAP]` as Q reads them, and as they are told.
    read: Tensor,
    said: Value,
    /// Where the hand is by both looks `[n, 2 * POSE]`, and as Q reads it `[n, POSE]`.
    poses: Value,
    known: Value,
    hands: Vec<Hand>,
    /// What the hand feels as Q reads it, and as it is told.
    held: Value,
    grip: Value,
}

impl Seen {
    /// Several batches as one.
    fn joined(parts: &[Self]) -> Result<Self> {
        let cat = |of: &dyn Fn(&Self) -> Result<Tensor>| -> Result<Tensor> {
            Tensor::cat(&parts.iter().map(of).collect::<Result<Vec<_>>>()?, 0)
        };
        let value = |of: fn(&Self) -> &Value| Value::from_tensor(&cat(&|seen| of(seen).to_tensor())?);
        Ok(Self {
            read: cat(&|seen| Ok(seen.read.clone()))?,
            said: value(|seen| &seen.said)?,
            poses: value(|seen| &seen.poses)?,
            known: value(|seen| &seen.known)?,
            hands: parts.iter().flat_map(|seen| seen.hands.iter().copied()).collect(),
            held: value(|seen| &seen.held)?,
            grip: value(|seen| &seen.grip)?,
        })
    }
}

impl CpuQ {
    /// In groups, without gradients.
    fn see_parts(&self, images: &Value, states: &Value, mode: Mode) -> Result<Seen> {
        let _frozen = self.store.freeze();
        let count = images.shape()[0];
        if count <= AT_ONCE {
            return self.see(images, states, mode);
        }
        let (images, states) = (images.to_tensor()?, states.to_tensor()?);
        let some = |group: usize| {
            let (first, len) = (group * AT_ONCE, AT_ONCE.min(count - group * AT_ONCE));
            let part = |tensor: &Tensor| Value::from_tensor(&tensor.narrow(0, first, len)?);
            self.see(&part(&images)?, &part(&states)?, mode)
        };
        let parts = (0..count.div_ceil(AT_ONCE)).into_par_iter().map(some);
        Seen::joined(&parts.collect::<Result<Vec<_>>>()?)
    }

    fn see(&self, images: &Value, states: &Value, mode: Mode) -> Result<Seen> {
        let train = mode.trains();
        let map = self.find.forward(images, train)?;
        let pointed = look_at(&map, &self.attend.forward(&map)?)?;
        let found = ops::add(&self.found.forward(&pointed)?, &self.found_state.forward(states)?)?;
        let found = ops::activate(&found, Activation::Relu)?;
        let pose = self.pose.forward(&found)?;
        // The first look is told where the hand is, and the second what the first one missed.
        let pixels = Pixels::new(images)?;
        let rough = pose.detach()?;
        let near = look(&pixels, &self.projection, &gazes(&rough, states, mode)?, self.windows[0])?;
        let near = self.aimed.forward(&ops::flatten(&self.aim.forward(&near, train)?)?)?;
        let exact = ops::add(&rough, &self.pose_aimed.forward(&near)?)?;
        let known = exact.detach()?;
        let gazes = gazes(&known, states, mode)?;
        let hands: Vec<Hand> =
            gazes.iter().map(|gaze| Hand { place: gaze.place(&self.projection), yaw_rad: gaze.yaw_rad }).collect();
        let held = self.look.forward(&look(&pixels, &self.projection, &gazes, self.windows[1])?, train)?;
        let centre = vec![Gaze::centre(&self.projection); gazes.len()];
        let window = look(&pixels, &self.projection, &centre, self.windows[2])?;
        let drawn = self.draw.forward(&window, marks(&hands, &floats(states)?)?, train)?.to_tensor()?;
        // Of the map, Q reads what is told as it is, and teaches what else it shows.
        let said = drawn.narrow(1, 0, TOLD_MAPS)?;
        let others = drawn.dim(1)? - TOLD_MAPS;
        let read = match others {
            0 => said.detach(),
            _ => Tensor::cat(&[&said.detach(), &drawn.narrow(1, TOLD_MAPS, others)?], 1)?,
        };
        let felt = self.felt.forward(&ops::flatten(&held)?)?;
        let grip = self.grip.forward(&felt)?;
        let held = match &self.noticed {
            None => grip.detach()?,
            Some(noticed) => ops::concat(&[&grip.detach()?, &noticed.forward(&felt)?])?,
        };
        let poses = Value::stock(Tensor::cat(&[pose.to_tensor()?, exact.to_tensor()?], 1)?);
        Ok(Seen { read, said: Value::stock(said), poses, known, hands, held, grip })
    }
}

impl QFunction for CpuQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Value, states: &Value, mode: Mode) -> Result<Encoded> {
        let Seen { read, said, poses, known, hands, held, grip } = match mode {
            Mode::Train => self.see(images, states, mode)?,
            Mode::Evaluate | Mode::Listen => self.see_parts(images, states, mode)?,
        };
        let under = self.reach.gather(&read, &hands, &vec![STAY; hands.len()])?;
        let mut joined = ops::add(&self.state.forward(states)?, &self.place.forward(&known)?)?;
        joined = ops::add(&joined, &self.held.forward(&held)?)?;
        joined = ops::add(&joined, &self.under.forward(&Value::from_tensor(&under)?)?)?;
        let features = self.norm.forward(&joined, Activation::Relu)?;
        let numbers = hands.iter().flat_map(|hand| [hand.place.x, hand.place.y, hand.yaw_rad]).collect();
        let hands = Value::from_tensor(&Tensor::from_vec(numbers, (hands.len(), 3), &Device::Cpu)?)?;
        let mut parts = vec![Value::stock(read), poses, hands, said, grip];
        for critic in &self.critics {
            parts.extend(critic.meet(&features)?);
        }
        Ok(Encoded { parts, count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], _train: bool) -> Result<Vec<Tensor>> {
        let parts = parts(encoded)?;
        if actions.len() != encoded.count {
            // Many actions an image are scored without gradients, by the scorer.
            bail!("{} actions for {} images; give one for each", actions.len(), encoded.count)
        }
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let expanded = Tensor::from_vec(expanded, (actions.len(), EXPANDED), self.store.device())?;
        let reached = self.reach.gather(&parts[MAPS].to_tensor()?, &hands(parts)?, actions)?;
        let (expanded, reached) = (Value::from_tensor(&expanded)?, Value::from_tensor(&reached)?);
        let met = parts[MET..].chunks_exact(2);
        self.critics
            .iter()
            .zip(met)
            .map(|(critic, met)| critic.logits([&met[0], &met[1]], &expanded, &reached))
            .collect()
    }

    fn tell(&self, encoded: &Encoded) -> Result<Option<Tensor>> {
        let parts = parts(encoded)?;
        let said = parts[SAID].to_tensor()?.reshape((encoded.count, TOLD_MAPS * CELLS))?;
        Ok(Some(Tensor::cat(&[said, parts[POSES].to_tensor()?, parts[GRIPS].to_tensor()?], 1)?))
    }

    fn is_taught(&self, parameter: &str) -> bool {
        TAUGHT.iter().any(|layer| parameter.starts_with(layer))
    }

    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>> {
        let parts = parts(encoded)?;
        let met = parts[MET..].chunks_exact(2);
        let critics =
            self.critics.iter().zip(met).map(|(critic, met)| Plain::new(critic, [floats(&met[0])?, floats(&met[1])?]));
        let critics = critics.collect::<Result<_>>()?;
        let (maps, hands) = (floats(&parts[MAPS])?, hands(parts)?);
        Ok(Some(Box::new(Scorer { critics, maps, hands, reach: self.reach })))
    }
}

/// Where the hand is said to be, `[n, POSE]`. While anything learns it looks a little aside; the words themselves decide how far,
/// so that the same training gives the same bytes.
fn gazes(pose: &Value, states: &Value, mode: Mode) -> Result<Vec<Gaze>> {
    let numbers: Vec<[f32; POSE]> = {
        let flat = pose.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        flat.chunks_exact(POSE).map(|pose| std::array::from_fn(|i| pose[i])).collect()
    };
    let states = states.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
    let gaze = |(pose, state): ([f32; POSE], &[f32])| {
        let bits = u64::from(pose[0].to_bits()) << 32 | u64::from(pose[1].to_bits());
        let gaze = Gaze::new(pose, height_m(state));
        if mode == Mode::Evaluate {
            return gaze;
        }
        let mut rng = Seed(bits).derive("gaze", 0).rng();
        let gaze = gaze.moved(&mut rng, JITTER.0, JITTER.1);
        // Half a turn is the same hand: twice as much to learn from.
        Gaze { yaw_rad: gaze.yaw_rad + if rng.chance(0.5) { PI } else { 0.0 }, ..gaze }
    };
    Ok(numbers.into_iter().zip(states.chunks_exact(STATE_LEN)).map(gaze).collect())
}

/// What each head finds where its attention (a softmax over the map) points to, and where that is:
/// `[n, heads * (filters + 2)]`.
fn look_at(map: &Value, attention: &Value) -> Result<Value> {
    let [n, filters, h, w] = map.dims4()?;
    let heads = attention.dims4()?[1];
    let attention = attention.to_tensor()?.reshape((n, heads, h * w))?;
    let highest = attention.detach().max_keepdim(2)?;
    let weights = attention.broadcast_sub(&highest)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(2)?)?;
    let at = |index: usize, count: usize| 2.0 * (index as f32 + 0.5) / count as f32 - 1.0;
    let places: Vec<f32> = (0..h * w).flat_map(|pixel| [at(pixel % w, w), at(pixel / w, h)]).collect();
    let places = Tensor::from_vec(places, (h * w, 2), attention.device())?;
    let found = weights.matmul(&map.to_tensor()?.reshape((n, filters, h * w))?.transpose(1, 2)?.contiguous()?)?;
    let where_to = weights.reshape((n * heads, h * w))?.matmul(&places)?.reshape((n, heads, 2))?;
    Value::from_tensor(&Tensor::cat(&[&found, &where_to], 2)?.reshape((n, heads * (filters + 2)))?)
}

#[cfg(test)]
mod tests {
    use super::super::{images_value, states_value};
    use super::*;
    use crate::rl::action::tests::SPACE;

    #[test]
    fn the_scorer_is_the_network() -> anyhow::Result<()> {
        let q = CpuQ::new(3, &CpuQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let mut rng = Seed(4).rng();
        let images: Vec<Vec<u8>> = (0..3).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let encoded = q.encode(
            &images_value(&slices, 24, 3)?,
            &states_value(&[[0.0, 1.5], [1.0, 0.2], [0.0, 0.7]])?,
            Mode::Evaluate,
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
    fn a_head_finds_what_it_points_to() -> anyhow::Result<()> {
        // Two filters on a map of 1x4 pixels; one head looks at the third pixel only, the other everywhere alike.
        let map = Tensor::from_vec(vec![1.0_f32, 2.0, 3.0, 6.0, 0.0, 0.0, 5.0, 1.0], (1, 2, 1, 4), &Device::Cpu)?;
        let attention = vec![-90.0_f32, -90.0, 10.0, -90.0, 7.0, 7.0, 7.0, 7.0];
        let attention = Tensor::from_vec(attention, (1, 2, 1, 4), &Device::Cpu)?;
        let found = look_at(&Value::from_tensor(&map)?, &Value::from_tensor(&attention)?)?;
        let found = found.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        // Pixel centres lie at -0.75, -0.25, 0.25, 0.75.
        let expected = [3.0, 5.0, 0.25, 0.0, 3.0, 1.5, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        Ok(())
    }

    #[test]
    fn lessons_teach_their_layers_and_q_teaches_the_others() -> anyhow::Result<()> {
        let q = CpuQ::new(3, &CpuQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let mut rng = Seed(5).rng();
        let images: Vec<Vec<u8>> = (0..2).map(|_| (0..64 * 64 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let states = states_value(&[[0.0, 1.5], [1.0, 0.2]])?;
        let encoded = q.encode(&images_value(&slices, 64, 3)?, &states, Mode::Train)?;
        let actions: Vec<ActionFeatures> = (0..2).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let Some(said) = q.tell(&encoded)? else { anyhow::bail!("it says nothing") };
        let judged = Tensor::stack(&q.logits(&encoded, &actions, true)?, 0)?;
        for (loss, by_lessons) in [(said.sqr()?.sum_all()?, true), (judged.sum_all()?, false)] {
            let gradients = crate::nn::backward(&loss)?;
            for param in q.store().params() {
                let moved = crate::nn::GradientSource::tensor(&gradients, param.var())?.is_some();
                assert_eq!(moved, q.is_taught(param.name()) == by_lessons, "{} by lessons: {by_lessons}", param.name());
            }
        }
        Ok(())
    }

    #[test]
    fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
        let q = CpuQ::new(6, &CpuQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let find = 6 * 25 * 12 + 9 * (12 * 16 + 16 * 24 + 24 * 24) + 2 * (12 + 16 + 24 + 24);
        let pose = (24 * 8 + 8) + (8 * 26 * 128 + 128) + (2 * 128 + 128) + (128 * 4 + 4);
        let aim = 9 * (6 * 16 + 16 * 24 + 24 * 32) + 2 * (16 + 24 + 32) + (32 * 16 * 64 + 64) + (64 * 4 + 4);
        let held =
            9 * (6 * 24 + 24 * 40 + 40 * 48 + 48 * 16) + 2 * (24 + 40 + 48 + 16) + (16 * 64 * 64 + 64) + (64 * 2 + 2);
        let drawn = 9 * ((4 * 6 + 4) * 24 + 24 * 32 + 32 * 40 + 2 * 40 * 40) + 2 * (24 + 32 + 3 * 40);
        let map = drawn + (24 + 40) * 24 + 2 * 24 + (24 * 9 * 2 + 2);
        let read = 2 * 72 + 36;
        let features = (4 * 256 + 256) + 2 * (2 * 256 + 256) + (read * 256 + 256) + 2 * 256;
        let embed = (24 * 64 + 64) + (read * 64 + 64);
        let critic = 2 * (256 * 256 + 256) + embed + (64 * 256 + 256) + (256 * 128 + 128) + (128 + 1);
        assert_eq!(q.store().parameter_count(), find + pose + aim + held + map + features + 2 * critic);
        Ok(())
    }
}
