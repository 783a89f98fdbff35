use super::*;

#[test]
fn presets_are_valid_and_survive_toml() -> anyhow::Result<()> {
    for preset in Preset::ALL {
        let config = QtOptConfig::preset(preset);
        config.validate().map_err(anyhow::Error::msg)?;
        assert_eq!(toml::from_str::<QtOptConfig>(&toml::to_string(&config)?)?, config);
        assert_eq!(preset.name().parse(), Ok(preset));
        // Runs from before there was a choice keep their settings, and `reproduce` their keys.
        assert!(!toml::to_string(&config)?.contains("end_to_end"));
    }
    for network in QNetwork::ALL {
        let config = QtOptConfig::preset(Preset::Small).with_network(network);
        config.validate().map_err(anyhow::Error::msg)?;
        assert_eq!(toml::from_str::<QtOptConfig>(&toml::to_string(&config)?)?, config);
        assert_eq!((config.q_network(), network.name().parse()), (network, Ok(network)));
        assert_eq!(config.with_network(QNetwork::StateEstimating), QtOptConfig::preset(Preset::Small));
    }
    Ok(())
}

#[test]
fn mistakes_are_named() {
    let check = |change: fn(&mut QtOptConfig), expected: &str| {
        let mut config = QtOptConfig::preset(Preset::Small);
        change(&mut config);
        let message = config.validate().err().unwrap_or_default();
        assert!(message.contains(expected), "'{message}' does not say '{expected}'");
    };
    check(|c| c.channels = 4, "6 (generated");
    check(|c| c.discount = 1.5, "discount");
    check(|c| c.cem.num_elites = 64, "elites");
    check(|c| c.cem.end_above_m = -0.1, "end_above_m");
    check(|c| c.acting.num_elites = 128, "acting: cem: give 1 to 16 iterations");
    check(|c| c.network.grip_strides.truncate(2), "filters");
    check(|c| c.shift = 1, "shift must be 0");
    check(|c| c.network.map_features = 300, "map_features");
    check(|c| c.network.coarse_pose_width = 1, "widths");
    check(|c| c.auxiliary_weight = 0.0, "nothing teaches");
    check(|c| c.network.map_features = 4, "auxiliary_interval");
    check(|c| c.encoder_supervision = EncoderSupervision::QGradient, "q-gradient");
    check(|c| c.exploration.p_keep_objects = 1.1, "shares");
    check(|c| c.size = 8, "16 to 1024");
    check(|c| c.adam.beta1 = 1.0, "adam.beta1 must be at least 0 and below 1, not 1");
    check(|c| c.adam.epsilon = f64::NAN, "adam.epsilon");
    check(|c| c.exploration.noise_std = f32::INFINITY, "noise");
    check(|c| c.exploration.give_up_value = f32::NAN, "give_up");
    check(|c| c.num_warmup_steps = u64::MAX, "num_warmup_steps");
    check(|c| c.training_buffer = 3, "training_buffer");
    check(|c| (c.preset, c.size) = (Preset::Paper, 64), "218");
    check(|c| (c.preset, c.size, c.end_to_end) = (Preset::Paper, 472, Some(EndToEndQConfig::default())), "end_to_end");
    let end_to_end = |change: fn(&mut QtOptConfig, &mut EndToEndQConfig), expected: &str| {
        let mut config = QtOptConfig::preset(Preset::Small).with_network(QNetwork::EndToEnd);
        let mut sizes = EndToEndQConfig::default();
        change(&mut config, &mut sizes);
        let message = QtOptConfig { end_to_end: Some(sizes), ..config }.validate().err().unwrap_or_default();
        assert!(message.contains(expected), "'{message}' does not say '{expected}'");
    };
    end_to_end(|_, sizes| sizes.joint_strides.truncate(1), "filters");
    end_to_end(|_, sizes| sizes.hidden = 0, "widths");
    end_to_end(|_, sizes| sizes.strides = vec![4; 6], "after strides");
    end_to_end(|c, _| c.auxiliary_interval = 2, "end-to-end");
    end_to_end(|c, _| c.shift = 32, "below half");
    assert!("huge".parse::<Preset>().is_err());
}

#[test]
fn a_policy_that_only_acts_searches_longer() -> anyhow::Result<()> {
    let small = QtOptConfig::preset(Preset::Small);
    assert_eq!((small.cem.num_iterations, small.cem.num_samples), (2, 64));
    let acting = small.acting_cem();
    assert_eq!((acting.num_iterations, acting.num_samples, acting.num_elites), (4, 128, 10));
    assert_eq!(acting.end_above_m, small.cem.end_above_m);
    // Runs from before the setting, too; the published size stays as it was published.
    let mut text: toml::Table = toml::from_str(&toml::to_string(&small)?)?;
    text.remove("acting");
    assert_eq!(text.try_into::<QtOptConfig>()?.acting_cem(), acting);
    let paper = QtOptConfig::preset(Preset::Paper);
    assert_eq!(paper.acting_cem(), paper.cem);
    let end_to_end = small.clone().with_network(QNetwork::EndToEnd);
    assert_eq!(end_to_end.acting_cem(), end_to_end.cem);
    assert_eq!(end_to_end.with_network(QNetwork::StateEstimating).acting_cem(), acting);
    Ok(())
}
