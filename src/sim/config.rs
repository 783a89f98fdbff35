//! How the simulation is stepped: rates, solver. In: TOML or code. Out: [`SimConfig`], and the
//! Rapier parameters that follow from it.

use bevy_rapier3d::rapier::prelude::{FrictionModel, IntegrationParameters, SpringCoefficients};
use serde::{Deserialize, Serialize};

/// Rates and solver of the physics; keys that a file leaves out have their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimConfig {
    /// Physics ticks a second.
    pub rate_hz: u32,
    /// Solver substeps a tick for objects on their own.
    pub solver_iterations: usize,
    /// Solver substeps a tick for the gripper and what it touches: a pinch needs more than a pile.
    pub grip_iterations: usize,
    /// Ticks after which dropped objects are taken as they lie.
    pub max_settle_ticks: u32,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self { rate_hz: 240, solver_iterations: 4, grip_iterations: 8, max_settle_ticks: 360 }
    }
}

impl SimConfig {
    /// Length of a tick, seconds.
    pub fn dt(&self) -> f32 {
        1.0 / self.rate_hz as f32
    }

    /// Rapier's defaults are for metre-sized things; these are for objects of 3 to 9 cm and 0.1 kg.
    pub(super) fn integration_parameters(&self) -> IntegrationParameters {
        IntegrationParameters {
            dt: self.dt(),
            // Tolerances scale with this: 2 mm of prediction, 0.5 mm of slop, 5 mm/s to sleep.
            length_unit: 0.1,
            num_solver_iterations: self.solver_iterations,
            // One Coulomb cone a contact point: the simplified model lets a pinched object turn.
            friction_model: FrictionModel::Coulomb,
            friction_in_bias_pass: true,
            warmstart_joints: true,
            // A recycled contact may be stale by 5 mm at this length unit, a tenth of an object.
            contact_recycling: false,
            // A contact is a spring of stiffness m (2 pi f)^2: at Rapier's 30 Hz a 25 N pinch on 0.1 kg would sink in
            // by millimetres.
            contact_softness: SpringCoefficients { natural_frequency: 200.0, damping_ratio: 10.0 },
            static_contact_softness: SpringCoefficients { natural_frequency: 240.0, damping_ratio: 10.0 },
            // Contacts are seen 6 mm ahead: what falls or is struck covers 4 mm a tick.
            normalized_prediction_distance: 0.06,
            // 3 m/s: 1.6 mm a substep, far less than any wall.
            normalized_max_linear_velocity: 30.0,
            normalized_max_corrective_velocity: 3.0,
            // Walls and floor are thick and speeds are capped: continuous detection has nothing to do.
            max_ccd_substeps: 0,
            ..IntegrationParameters::default()
        }
    }
}
