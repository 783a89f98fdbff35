//! The small Q-function's scores for many actions of one image, in plain floats: what the search for the best action asks
//! for hundreds of times.

use super::Score;
use super::action_roi::{ActionRoi, Hand, num_samples};
use super::critic::Critic;
use super::state_estimator::expand;
use crate::nn::layers::Linear;
use crate::nn::ops::{Matrix, multiply};
use crate::rl::action::ActionFeatures;
use crate::rl::qtopt::privileged::CELLS;
use candle_core::Result;

/// A fully connected layer as plain floats.
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Dense {
    fn new(layer: &Linear) -> Result<Self> {
        let (weight, bias) = layer.tensors();
        let inputs = weight.dims2()?.1;
        Ok(Self { weight: weight.flatten_all()?.to_vec1()?, bias: bias.to_vec1()?, inputs })
    }

    /// `rows` rows of `x` times the weight, without the bias; added to what is there when `accumulate`.
    fn apply(&self, rows: usize, x: &[f32], y: &mut Vec<f32>, accumulate: bool) {
        let outputs = self.bias.len();
        y.resize(rows * outputs, 0.0);
        let weight = Matrix::rows(&self.weight, self.inputs).transposed();
        multiply([rows, outputs, self.inputs], Matrix::rows(x, self.inputs), weight, y, accumulate);
    }
}

/// A critic as plain floats, with how each image meets its actions.
pub(super) struct Plain {
    shift: Vec<f32>,
    scale: Vec<f32>,
    embed: Dense,
    embed_map: Dense,
    action: Dense,
    hidden: Dense,
    value: Dense,
}

impl Plain {
    pub fn new(critic: &Critic, [shift, scale]: [Vec<f32>; 2]) -> Result<Self> {
        let Critic { embed, embed_map, action, hidden, value, .. } = critic;
        let (embed, embed_map) = (Dense::new(embed)?, Dense::new(embed_map)?);
        let [action, hidden, value] = [Dense::new(action)?, Dense::new(hidden)?, Dense::new(value)?];
        Ok(Self { shift, scale, embed, embed_map, action, hidden, value })
    }

    /// Adds the logits of actions, times `share`: their numbers, and what is read where they lead on the map of an image.
    fn add(&self, index: usize, expanded: &[f32], map_samples: &[f32], share: f32, logits: &mut [f32]) {
        let (rows, mut a, mut b) = (logits.len(), Vec::new(), Vec::new());
        self.embed.apply(rows, expanded, &mut a, false);
        self.embed_map.apply(rows, map_samples, &mut a, true);
        let bias: Vec<f32> = self.embed.bias.iter().zip(&self.embed_map.bias).map(|(a, b)| a + b).collect();
        bias_relu(&mut a, &bias);
        self.action.apply(rows, &a, &mut b, false);
        let width = self.action.bias.len();
        let at = index * width..(index + 1) * width;
        let (shift, scale) = (&self.shift[at.clone()], &self.scale[at]);
        for row in b.chunks_exact_mut(width) {
            for (((y, bias), shift), scale) in row.iter_mut().zip(&self.action.bias).zip(shift).zip(scale) {
                *y = (shift + scale * (*y + bias)).max(0.0);
            }
        }
        self.hidden.apply(rows, &b, &mut a, false);
        bias_relu(&mut a, &self.hidden.bias);
        for (logit, row) in logits.iter_mut().zip(a.chunks_exact(self.hidden.bias.len())) {
            let mut sums = [0.0_f32; 16];
            for (i, (x, w)) in row.iter().zip(&self.value.weight).enumerate() {
                sums[i % 16] += x * w;
            }
            *logit += share * (self.value.bias[0] + sums.iter().sum::<f32>());
        }
    }
}

/// The mean of critics.
pub(super) struct Scorer {
    pub critics: Vec<Plain>,
    pub maps: Vec<f32>,
    pub hands: Vec<Hand>,
    pub roi: ActionRoi,
}

/// Adds the bias to each row and cuts off what is negative.
fn bias_relu(y: &mut [f32], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y = (*y + b).max(0.0));
    }
}

impl Score for Scorer {
    fn score(&self, index: usize, actions: &[ActionFeatures], logits: &mut Vec<f32>) {
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let map = self.maps.len() / self.hands.len();
        let map = &self.maps[index * map..][..map];
        let mut map_samples = Vec::with_capacity(actions.len() * num_samples(map.len() / CELLS));
        actions.iter().for_each(|action| self.roi.sample(map, &self.hands[index], action, &mut map_samples));
        let from = logits.len();
        logits.resize(from + actions.len(), 0.0);
        let share = 1.0 / self.critics.len() as f32;
        self.critics.iter().for_each(|critic| critic.add(index, &expanded, &map_samples, share, &mut logits[from..]));
    }
}
