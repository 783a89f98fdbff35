//! The known failures of RL-CycleGAN, each as a figure with an alarm: a Q that has become uniform, codes hidden in the cycle,
//! a Q that decodes what G hid. All are legal in `reality`: they read pictures, actions and rewards.

use super::learner::RlCycleGanLearner;
use super::translated::TranslatedQ;
use crate::contract::Seed;
use crate::contract::action_space::ActionFeatures;
use crate::draw::{Canvas, ContactSheet, Picture};
use crate::files::console::remark;
use crate::gan::cyclegan::UnpairedBatch;
use crate::gan::cyclegan::noise::with_noise;
use crate::gan::cyclegan::watch::HIDDEN_CODE_ALARM;
use crate::gan::images::to_bytes;
use crate::nn::Activations;
use crate::rl::error::RlError;
use crate::rl::qtopt::bellman::{logits_of, score_all, value_of};
use crate::rl::qtopt::collect::Episode;
use crate::rl::qtopt::diagnostics::evaluate_q;
use crate::rl::qtopt::network::{EncoderMode, QFunction, image_activations, state_activations};
use crate::rl::qtopt::stream::Samples;
use candle_core::Tensor;

/// Random actions at which a Q-function's spread is measured.
const ACTIONS: usize = 64;
/// Noise that no eye sees, in units of the images' `[-1, 1]`.
const FAINT: f64 = 0.03;
/// Recorded episodes that the model selection looks at.
const SELECTION_EPISODES: usize = 200;
/// Edge of a cell of the sheet, pixels.
const CELL: usize = 128;

/// Area under the ROC curve on held-out simulated episodes: of Q_sim, of Q_real behind G.
pub const AUC_SIM: &str = "watch/auc_q_sim";
/// The area for Q_real, which sees the same episodes translated by G.
pub const AUC_REAL: &str = "watch/auc_q_real_through_g";
/// The area on held-out recorded episodes, of Q_real: whether it can see in the other domain at all. Of what was recorded it
/// takes pictures, actions and rewards.
pub const AUC_REAL_Y: &str = "watch/auc_q_real_y";
/// The area for Q_sim, which sees the same recorded episodes translated by F: a model selection that needs no label of
/// `reality`.
pub const AUC_SIM_FY: &str = "watch/auc_q_sim_fy";
/// Deviation of Q over random actions in one state, averaged over states.
pub const SPREAD_SIM: &str = "watch/spread_q_sim";
/// The deviation for Q_real, in states of y.
pub const SPREAD_REAL: &str = "watch/spread_q_real";
/// One minus the correlation of Q_real on G(x) with itself on G(x) and faint noise.
pub const DECODES: &str = "watch/q_real_noise_sensitivity";
/// How much worse the cycles close under faint noise.
pub const HIDDEN: [&str; 2] = ["watch/hidden_code_sim", "watch/hidden_code_real"];
/// SoftOPC (Irpan et al., 2019): mean Q_real of the steps of recorded successes minus that of all recorded steps. A model
/// selection that needs no label of `reality`.
pub const SOFT_OPC: &str = "watch/soft_opc_q_real";

/// The figures as far as the method has them.
///
/// # Errors
/// A network that fails.
pub fn watches(
    learner: &RlCycleGanLearner,
    batch: &UnpairedBatch,
    [sim, real]: [&Samples; 2],
    [held_out_sim, held_out_real]: &[Vec<Episode>; 2],
    seed: Seed,
) -> Result<Vec<(String, f64)>, RlError> {
    let gan = learner.gan();
    let mut metrics: Vec<(String, f64)> = Vec::new();
    let mut add = |name: &str, value: f64| metrics.push((name.to_owned(), value));
    let hidden = gan.noise_sensitivity(batch, FAINT, seed).map_err(RlError::other)?;
    hidden.iter().zip(HIDDEN).for_each(|((_, value), name)| add(name, *value));
    let (Some(q), Some(through_g)) = (learner.q(), learner.translated_q_real()) else { return Ok(metrics) };
    let (q_sim, q_real) = (q.sim.averaged.as_ref(), q.real.averaged.as_ref());
    let episodes: Vec<&Episode> = held_out_sim.iter().collect();
    add(AUC_SIM, evaluate_q(learner.cem_policy(q_sim), &episodes)?.auc);
    add(AUC_REAL, evaluate_q(learner.cem_policy(&through_g), &episodes)?.auc);
    let recorded: Vec<&Episode> = held_out_real.iter().take(SELECTION_EPISODES).collect();
    add(AUC_REAL_Y, evaluate_q(learner.cem_policy(q_real), &recorded)?.auc);
    if let Some(f) = gan.real2sim() {
        let there_and_back = TranslatedQ { generators: vec![gan.sim2real(), f], q: q_sim };
        add("watch/auc_q_sim_fgx", evaluate_q(learner.cem_policy(&there_and_back), &episodes)?.auc);
        let back = TranslatedQ { generators: vec![f], q: q_sim };
        add(AUC_SIM_FY, evaluate_q(learner.cem_policy(&back), &recorded)?.auc);
    }
    add(SPREAD_SIM, spread(learner, q_sim, sim, seed)?);
    add(SPREAD_REAL, spread(learner, q_real, real, seed)?);
    add(DECODES, noise_sensitivity(learner, q_real, batch, sim, seed)?);
    add(SOFT_OPC, soft_opc(learner, q_real, &recorded)?);
    Ok(metrics)
}

/// Values of the samples' own actions.
fn values(
    learner: &RlCycleGanLearner,
    q: &dyn QFunction,
    images: &Activations,
    samples: &Samples,
) -> Result<Vec<f32>, RlError> {
    let _frozen = q.store().freeze();
    let states: Vec<_> = samples.records.iter().map(|record| record.state).collect();
    let actions: Vec<ActionFeatures> = samples.records.iter().map(|record| record.action).collect();
    let encoded = q.encode(images, &state_activations(&states, learner.device())?, EncoderMode::Evaluate)?;
    Ok(logits_of(q, &encoded, &actions)?.into_iter().map(value_of).collect())
}

/// Mean over states of the deviation of Q over random actions.
fn spread(learner: &RlCycleGanLearner, q: &dyn QFunction, samples: &Samples, seed: Seed) -> Result<f64, RlError> {
    let config = learner.config();
    let _frozen = q.store().freeze();
    let images: Vec<&[u8]> = samples.images.iter().map(Vec::as_slice).collect();
    let states: Vec<_> = samples.records.iter().map(|record| record.state).collect();
    let images = image_activations(&images, config.qtopt.size, config.qtopt.channels, learner.device())?;
    let encoded = q.encode(&images, &state_activations(&states, learner.device())?, EncoderMode::Evaluate)?;
    let (space, mut rng) = (learner.space(), seed.derive("spread", 0).rng());
    let actions: Vec<ActionFeatures> = (0..ACTIONS).map(|_| space.features(&space.random(&mut rng))).collect();
    let deviation = |logits: &Vec<f32>| deviation(&logits.iter().map(|&logit| value_of(logit)).collect::<Vec<_>>());
    let each = score_all(q, &encoded, &actions)?;
    Ok(each.iter().map(deviation).sum::<f64>() / each.len().max(1) as f64)
}

fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    (values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// See [`DECODES`]. NaN where Q does not vary.
fn noise_sensitivity(
    learner: &RlCycleGanLearner,
    q_real: &dyn QFunction,
    batch: &UnpairedBatch,
    sim: &Samples,
    seed: Seed,
) -> Result<f64, RlError> {
    let g = learner.gan().sim2real();
    let _frozen = g.store().freeze();
    let x = batch.x.to_device(learner.device())?;
    let translated = g.forward(&Activations::from_tensor(&x)?)?;
    let noisy = with_noise(&translated, FAINT, seed.derive("faint", 0))?;
    let plain = values(learner, q_real, &translated, sim)?;
    Ok(1.0 - correlation(&plain, &values(learner, q_real, &noisy, sim)?))
}

/// Pearson's; NaN where either does not vary.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let count = a.len().min(b.len()) as f64;
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product =
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - mean_a) * (f64::from(b) - mean_b)).sum::<f64>() / count;
    product / (deviation(a) * deviation(b))
}

/// See [`SOFT_OPC`].
fn soft_opc(learner: &RlCycleGanLearner, q: &dyn QFunction, episodes: &[&Episode]) -> Result<f64, RlError> {
    let (mut successes, mut all) = (Vec::new(), Vec::new());
    for episode in episodes {
        let images: Vec<&[u8]> = episode.transitions.iter().map(|transition| &transition.image[..]).collect();
        let config = &learner.config().qtopt;
        let images = image_activations(&images, config.size, config.channels, learner.device())?;
        let samples = Samples {
            records: episode.transitions.iter().map(|transition| transition.record).collect(),
            ..Samples::default()
        };
        let values = values(learner, q, &images, &samples)?;
        if episode.success {
            successes.extend_from_slice(&values);
        }
        all.extend(values);
    }
    let mean = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    Ok(mean(&successes) - mean(&all))
}

/// What of these figures should alarm, as sentences; `first` are the figures at the beginning of the run.
pub fn alarms(first: &[(String, f64)], metrics: &[(String, f64)]) -> Vec<String> {
    let find = |metrics: &[(String, f64)], name: &str| {
        metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value).filter(|value| value.is_finite())
    };
    let (now, then) = (|name: &str| find(metrics, name), |name: &str| find(first, name));
    let mut alarms = Vec::new();
    for (name, what) in [(SPREAD_SIM, "Q_sim"), (SPREAD_REAL, "Q_real")] {
        if let (Some(value), Some(start)) = (now(name), then(name))
            && value < 0.3 * start
        {
            alarms.push(format!("{what} becomes uniform: its spread over actions fell from {start:.3} to {value:.3}"));
        }
    }
    for (name, what) in [(AUC_SIM, "Q_sim"), (AUC_REAL, "Q_real behind G")] {
        if let (Some(value), Some(start)) = (now(name), then(name))
            && value < start - 0.1
        {
            alarms
                .push(format!("{what} separates grasps worse: area under the curve {start:.2} before, {value:.2} now"));
        }
    }
    for (name, what) in HIDDEN.into_iter().zip(["G(x)", "F(y)"]) {
        if let Some(value) = now(name).filter(|value| *value > HIDDEN_CODE_ALARM) {
            alarms.push(format!(
                "{what} hides a code for the way back: faint noise makes the cycle {value:.1} times worse"
            ));
        }
    }
    if let Some(value) = now(DECODES).filter(|value| *value > 0.2) {
        alarms.push(format!("Q_real may decode what G hid: faint noise leaves a correlation of {:.2}", 1.0 - value));
    }
    alarms
}

/// Prints alarms with their step.
pub fn print_alarms(step: u64, alarms: &[String]) {
    alarms.iter().for_each(|alarm| remark(format_args!("alarm at step {step}: {alarm}")));
}

/// x, G(x), F(G(x)), y, F(y), G(F(y)), one row a pair of states, with the Q-values of what was done there.
///
/// # Errors
/// A network that fails.
pub fn sheet(
    learner: &RlCycleGanLearner,
    batch: &UnpairedBatch,
    [sim, real]: [&Samples; 2],
) -> Result<Canvas, RlError> {
    let images = learner.gan().translations(batch).map_err(RlError::other)?;
    let names: Vec<&str> = images.iter().map(|(name, _)| *name).collect();
    let size = learner.config().gan.size;
    let mut columns: Vec<Vec<String>> = Vec::new();
    if let Some(q) = learner.q() {
        for (name, image) in &images {
            let samples = if name.contains('x') { sim } else { real };
            let q = if ["x", "F(G(x))", "F(y)"].contains(name) { &q.sim } else { &q.real };
            let values = values(learner, q.averaged.as_ref(), &Activations::from_tensor(image)?, samples)?;
            columns.push(values.into_iter().map(|value| format!("{value:.2}")).collect());
        }
    }
    let title = format!("{} after {} steps", learner.config().gan.method, learner.gan().steps());
    let numbers = if columns.is_empty() { "" } else { "; numbers: Q of what was done there" };
    let subtitle = format!("x simulation, y reality (another state){numbers}");
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(CELL);
    let bytes = images.iter().map(|(_, image)| pictures(image, size)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..bytes.first().map_or(0, Vec::len) {
        let label = |column: usize| columns.get(column).and_then(|values| values.get(row)).cloned().unwrap_or_default();
        let pictures = bytes.iter().enumerate();
        sheet.row(String::new(), pictures.map(|(i, column)| column[row].clone().labelled(label(i))).collect());
    }
    Ok(sheet.draw())
}

fn pictures(images: &Tensor, size: usize) -> candle_core::Result<Vec<Picture>> {
    Ok(to_bytes(images)?.into_iter().map(|bytes| Picture::photo(size, size, bytes)).collect())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
