//! Each watch with its failure provoked: figures that were worked out elsewhere, and networks that fail as it says.

use super::super::tests::{run_config, with_batch};
use super::*;
use crate::gan::cyclegan::Method;
use crate::nn::ops::avg_pool;
use crate::nn::with_large_stack;
use crate::rl::qtopt::network::{Encoded, Score};
use crate::rl::replay::Termination;
use crate::train::{Learner, Module};

#[test]
fn alarms_compare_with_the_start_and_name_the_failure() {
    let figures = |spread: f64, auc: f64, hidden: f64, decodes: f64| {
        [(SPREAD_REAL, spread), (AUC_SIM, auc), (HIDDEN[1], hidden), (DECODES, decodes)]
            .map(|(name, value)| (name.to_owned(), value))
    };
    let first = figures(0.2, 0.85, 1.0, 0.01);
    assert!(alarms(&first, &first).is_empty());
    assert!(alarms(&first, &figures(0.07, 0.76, 2.9, 0.19)).is_empty());
    let all = alarms(&first, &figures(0.05, 0.7, 3.5, 0.4));
    let words = ["Q_real becomes uniform", "Q_sim separates", "F(y) hides", "decode"];
    assert_eq!(all.len(), 4);
    assert!(all.iter().zip(words).all(|(alarm, word)| alarm.contains(word)), "{all:?}");
    // What was not measured does not alarm.
    assert!(alarms(&first, &figures(f64::NAN, f64::NAN, f64::NAN, f64::NAN)).is_empty());
}

#[test]
fn correlation_as_by_hand() {
    assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
    assert!((correlation(&[1.0, 2.0, 3.0], &[1.0, 0.0, -1.0]) + 1.0).abs() < 1e-12);
    assert!(correlation(&[1.0, 1.0], &[0.0, 1.0]).is_nan());
}

/// Sees nothing but what differs from pixel to pixel, fifty times enlarged: it reads codes that no eye sees.
struct Decoder<'a>(&'a dyn QFunction);

impl QFunction for Decoder<'_> {
    fn store(&self) -> &crate::nn::ParamStore {
        self.0.store()
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> candle_core::Result<Encoded> {
        let smooth = avg_pool(images, [2; 2], [2; 2])?.to_tensor()?;
        let [_, _, height, width] = images.dims4()?;
        let smooth = smooth.upsample_nearest2d(height, width)?;
        let code = ((images.to_tensor()? - smooth)? * 50.0)?.clamp(-1.0, 1.0)?;
        self.0.encode(&Activations::from_tensor(&code.contiguous()?)?, states, mode)
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], train: bool) -> candle_core::Result<Vec<Tensor>> {
        self.0.logits(encoded, actions, train)
    }

    fn auxiliary_predictions(&self, encoded: &Encoded) -> candle_core::Result<Option<Tensor>> {
        self.0.auxiliary_predictions(encoded)
    }

    fn scorer(&self, encoded: &Encoded) -> candle_core::Result<Option<Box<dyn Score>>> {
        self.0.scorer(encoded)
    }
}

#[test]
fn a_q_that_decodes_what_g_hid_raises_its_alarm() -> anyhow::Result<()> {
    with_large_stack(|| {
        let mut run = run_config(Method::RlCycleGan, 10);
        run.learner.gan.batch = 16;
        let (learner, _, mut batch) = with_batch(&run, 1)?;
        // One state and one action: Q differs by the pictures alone.
        let first = batch.sim.records[0];
        batch.sim.records.iter_mut().for_each(|record| (record.state, record.action) = (first.state, first.action));
        let Some(q) = learner.q() else { anyhow::bail!("no Q") };
        let q_real = q.real.averaged.as_ref();
        let figure = |q: &dyn QFunction| -> anyhow::Result<Vec<(String, f64)>> {
            let value = noise_sensitivity(&learner, q, &batch.unpaired, &batch.sim, Seed(4))?;
            Ok(vec![(DECODES.to_owned(), value)])
        };
        let (healthy, decoding) = (figure(q_real)?, figure(&Decoder(q_real))?);
        assert!(alarms(&healthy, &healthy).is_empty(), "{healthy:?}");
        let found = alarms(&healthy, &decoding);
        assert!(found.len() == 1 && found[0].contains("decode"), "{decoding:?} {found:?}");
        Ok(())
    })?
}

#[test]
fn a_q_that_no_longer_separates_successes_from_failures_raises_its_alarm() -> anyhow::Result<()> {
    with_large_stack(|| {
        let run = run_config(Method::RlCycleGan, 10);
        let (mut learner, mut source, batch) = with_batch(&run, 1)?;
        let mut held_out = source.held_out().clone();
        // Those succeed of which Q_sim, in the recording Q_real, expects most.
        let Some(q) = learner.q() else { anyhow::bail!("no Q") };
        for (held_out, q) in held_out.iter_mut().zip([&q.sim, &q.real]) {
            held_out.retain(|episode| {
                episode.transitions.last().is_some_and(|last| last.record.termination == Termination::Terminated)
            });
            let last: Vec<_> = held_out.iter().filter_map(|episode| episode.transitions.last()).collect();
            let ends: Vec<&[u8]> = last.iter().map(|transition| &transition.image[..]).collect();
            let records = last.iter().map(|transition| transition.record).collect();
            let images = image_activations(&ends, run.learner.gan.size, 3, learner.device())?;
            let samples = Samples { records, ..Samples::default() };
            let expected = values(&learner, q.averaged.as_ref(), &images, &samples)?;
            let mean = expected.iter().sum::<f32>() / expected.len() as f32;
            for (episode, value) in held_out.iter_mut().zip(&expected) {
                episode.success = *value > mean;
            }
        }
        let samples = [&batch.sim, &batch.real];
        let look = |learner: &RlCycleGanLearner| watches(learner, &batch.unpaired, samples, &held_out, Seed(1));
        let before = look(&learner)?;
        // Q upside down: what it liked best it likes least.
        for (name, module) in learner.modules() {
            if let (true, Module::Network(store)) = (name.ends_with("_averaged") && name.starts_with("q_"), module) {
                for param in store.params().filter(|param| param.name().contains("value.")) {
                    param.var().set(&param.var().as_tensor().neg()?)?;
                }
            }
        }
        let after = look(&learner)?;
        let auc = |figures: &[(String, f64)], wanted: &str| {
            figures.iter().find(|(name, _)| name == wanted).map_or(f64::NAN, |(_, value)| *value)
        };
        for name in [AUC_SIM, AUC_REAL_Y] {
            assert_eq!((auc(&before, name), auc(&after, name)), (1.0, 0.0), "{name}");
        }
        assert!((0.0..=1.0).contains(&auc(&before, AUC_SIM_FY)), "{before:?}");
        assert!(alarms(&before, &after).iter().any(|alarm| alarm.contains("Q_sim separates grasps worse")));
        Ok(())
    })?
}
