//! The generalized advantage estimator (Schulman et al., 2016, equation 16).

/// Advantages and returns of a rollout, `[num_steps * num_envs]`, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// How much better each step did than the critic expected, discounted; not normalized.
    pub advantages: Vec<f32>,
    /// Advantage plus value: what the value is to learn.
    pub returns: Vec<f32>,
}

/// One environment step as the estimator needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepValue {
    /// Reward of this step alone, undiscounted.
    pub reward: f32,
    /// The critic's value of the observation before the step.
    pub value: f32,
    /// The episode ended with this step; the next observation belongs to another one.
    pub done: bool,
    /// Value of the last observation of an episode that a time limit cut off; 0 where it ended by itself.
    pub final_value: f32,
}

/// `steps` are `[num_steps, num_envs]`, `last_values` the values of the observations after the rollout.
///
/// `delta_t = r_t + gamma V(s_t+1) - V(s_t)`, `A_t = delta_t + gamma lambda A_t+1`; over an episode's end the advantage does
/// not go on, and the next value is the final one's.
///
/// # Panics
/// Never: steps beyond whole rows are left out.
pub fn generalized_advantages(steps: &[StepValue], last_values: &[f32], gamma: f64, lambda: f64) -> Advantages {
    let envs = last_values.len();
    let mut advantages = vec![0.0_f32; steps.len()];
    let mut carried = vec![0.0_f64; envs];
    let mut next_values: Vec<f64> = last_values.iter().map(|&value| f64::from(value)).collect();
    for (rows, out) in steps.chunks_exact(envs.max(1)).zip(advantages.chunks_exact_mut(envs.max(1))).rev() {
        for (env, (step, out)) in rows.iter().zip(out).enumerate() {
            let (next, carry) =
                if step.done { (f64::from(step.final_value), 0.0) } else { (next_values[env], carried[env]) };
            let delta = f64::from(step.reward) + gamma * next - f64::from(step.value);
            let advantage = delta + gamma * lambda * carry;
            (*out, carried[env], next_values[env]) = (advantage as f32, advantage, f64::from(step.value));
        }
    }
    let returns = advantages.iter().zip(steps).map(|(advantage, step)| advantage + step.value).collect();
    Advantages { advantages, returns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(reward: f32, value: f32, done: bool) -> StepValue {
        StepValue { reward, value, done, final_value: 0.0 }
    }

    fn assert_near(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}, not {expected:?}");
    }

    /// gamma 0.99, lambda 0.95. A_2 = 1 - 0.6; A_1 = 0.2 + 0.99 * 0.6 - 0.4 + 0.9405 * 0.4; and so on.
    #[test]
    fn an_episode_by_hand() {
        let steps = [step(0.1, 0.5, false), step(0.2, 0.4, false), step(1.0, 0.6, true)];
        let out = generalized_advantages(&steps, &[9.0], 0.99, 0.95);
        assert_near(&out.advantages, &[0.720_373_1, 0.7702, 0.4]);
        assert_near(&out.returns, &[1.220_373_1, 1.1702, 1.0]);
    }

    #[test]
    fn environments_do_not_mix_and_cut_episodes_bootstrap() {
        let a = [step(0.1, 0.5, false), step(0.2, 0.4, false), step(1.0, 0.6, true)];
        // Cut off by a time limit after the first step (final value 2), then two steps of an unfinished episode.
        let b = [StepValue { final_value: 2.0, ..step(0.3, 1.0, true) }, step(0.0, 0.7, false), step(0.5, 0.2, false)];
        let steps: Vec<_> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        let out = generalized_advantages(&steps, &[9.0, 0.8], 0.99, 0.95);
        let of = |env: usize| out.advantages.iter().skip(env).step_by(2).copied().collect::<Vec<_>>();
        assert_near(&of(0), &[0.720_373_1, 0.7702, 0.4]);
        // 0.3 + 1.98 - 1; then 0.198 - 0.7 + 0.9405 * 1.092, and 0.5 + 0.792 - 0.2.
        assert_near(&of(1), &[1.28, -0.502 + 0.9405 * 1.092, 1.092]);
    }

    #[test]
    fn lambda_one_gives_returns_and_lambda_zero_errors_of_one_step() {
        let steps = [step(1.0, 0.3, false), step(2.0, -0.1, false), step(4.0, 0.5, true)];
        let whole = generalized_advantages(&steps, &[0.0], 0.5, 1.0);
        // Discounted sums of rewards: 1 + 1 + 1, 2 + 2, 4.
        assert_near(&whole.returns, &[3.0, 4.0, 4.0]);
        let single = generalized_advantages(&steps, &[0.0], 0.5, 0.0);
        assert_near(&single.advantages, &[1.0 - 0.05 - 0.3, 2.0 + 0.25 + 0.1, 3.5]);
    }
}
