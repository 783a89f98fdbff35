use super::*;

#[test]
fn presets_are_valid_and_survive_toml() -> anyhow::Result<()> {
    for method in Method::ALL {
        for preset in Preset::ALL {
            let config = CycleGanConfig::preset(method, preset);
            config.validate()?;
            assert_eq!(toml::from_str::<CycleGanConfig>(&toml::to_string(&config)?)?, config);
            assert_eq!(
                (method.name().parse::<Method>()?, preset.name().parse::<Preset>().map_err(ConfigError)?),
                (method, preset)
            );
        }
    }
    let error = "stargan".parse::<Method>().err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("stargan") && error.contains("graspgan"), "{error}");
    Ok(())
}

#[test]
fn discriminators_of_earlier_runs_have_spectral_normalization() -> anyhow::Result<()> {
    let now = CycleGanConfig::preset(Method::CycleGan, Preset::Small).discriminator;
    assert_eq!(now.norm, DiscriminatorNorm::Instance);
    let earlier = toml::to_string(&now)?.replace("norm = \"instance\"\n", "");
    let earlier: DiscriminatorConfig = toml::from_str(&earlier)?;
    assert_eq!(earlier, DiscriminatorConfig { norm: DiscriminatorNorm::Spectral, ..now });
    Ok(())
}

#[test]
fn the_paper_preset_has_the_papers_numbers() {
    // Table 5 and appendix A.
    let paper = CycleGanConfig::preset(Method::RlCycleGan, Preset::Paper);
    assert_eq!((paper.weights.gan, paper.weights.cycle, paper.weights.scene), (1.0, 10.0, 10.0));
    assert_eq!((paper.adam.beta1, paper.adam.beta2, paper.generator_lr), (0.1, 0.999, 1e-4));
    assert_eq!((paper.batch, paper.size, paper.balance, paper.image_pool), (8, 472, None, 0));
    assert_eq!((paper.gan_loss, paper.distance), (GanLoss::Log, Distance::Squared));
    assert_eq!(paper.lr_scale(0.9), 1.0);
}

#[test]
fn the_learning_rate_falls_in_the_second_half() {
    let small = CycleGanConfig::preset(Method::CycleGan, Preset::Small);
    for (progress, expected) in [(0.0, 1.0), (0.5, 1.0), (0.75, 0.5), (1.0, 0.0)] {
        assert!((small.lr_scale(progress) - expected).abs() < 1e-12);
    }
}

#[test]
fn mistakes_are_named() {
    let check = |method: Method, change: fn(&mut CycleGanConfig), expected: &str| {
        let mut config = CycleGanConfig::preset(method, Preset::Small);
        change(&mut config);
        let message = config.validate().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "'{message}' does not say '{expected}'");
    };
    check(Method::CycleGan, |c| c.batch = 0, "batch");
    check(Method::CycleGan, |c| c.size = 4, "size");
    // The third scale of an 8-pixel image has one pixel left, of which instance normalization would make 0.
    check(Method::CycleGan, |c| c.size = 8, "discriminator.scales");
    check(Method::CycleGan, |c| c.generator.filters = vec![4; 8], "levels");
    check(Method::CycleGan, |c| c.weights.gan = 0.0, "weights.gan");
    check(Method::Gan, |c| c.weights.cycle = 1.0, "way back");
    check(
        Method::Gan,
        |c| c.balance = Some(BalanceConfig { cycle_ratio: 1.0, scene_ratio: 1.0, start_step: 0, num_steps: 1 }),
        "lacks",
    );
    check(Method::GraspGan, |c| c.generator.mask_classes = 0, "mask_classes");
    check(Method::CycleGan, |c| c.discriminator.strides = vec![2], "one length");
    check(Method::CycleGan, |c| c.discriminator.scales = 9, "scales");
    check(Method::CycleGan, |c| c.noise.cycle_std = -0.1, "noise");
    check(Method::RlCycleGan, |c| c.scene_interval = 0, "scene_interval");
    check(Method::CycleGan, |c| c.generator_lr = f64::NAN, "learning rates");
    check(Method::CycleGan, |c| c.adam.beta1 = 1.5, "adam.beta1");
    check(Method::RlCycleGan, |c| c.discriminator_adam.beta2 = -1.0, "discriminator_adam.beta2");
}
