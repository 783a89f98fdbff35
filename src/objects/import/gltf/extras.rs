//! The physics that bingrasp's own export keeps in glTF files. In: `asset`. Out: mass, friction, restitution, inertia.

use super::super::RawMass;
use crate::objects::mass::Inertia;
use glam::{Quat, Vec3};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The physics of an object in a glTF file's `asset.extras.bingrasp`, in the file's metres and z-up body frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::objects) struct Extras {
    pub mass_kg: f32,
    pub friction: f32,
    pub restitution: f32,
    pub center_of_mass_m: [f32; 3],
    pub principal_inertia_kg_m2: [f32; 3],
    /// Principal axes in the body's frame, x, y, z, w.
    pub body_from_principal: [f32; 4],
    /// The scene that holds the convex parts, where they are not what is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_scene: Option<usize>,
}

impl Extras {
    pub(super) fn mass(&self) -> RawMass {
        let inertia = Inertia {
            principal_kg_m2: Vec3::from_array(self.principal_inertia_kg_m2),
            body_from_principal: Quat::from_array(self.body_from_principal).normalize(),
        };
        let center = Vec3::from_array(self.center_of_mass_m);
        RawMass { mass_kg: self.mass_kg, center: Some(center), inertia: Some(inertia) }
    }
}

/// `asset.extras.bingrasp`, if it is there.
pub(super) fn of(asset: &Value) -> Result<Option<Extras>, String> {
    let Some(ours) = asset.get("extras").and_then(|extras| extras.get("bingrasp")) else { return Ok(None) };
    let extras: Extras = serde_json::from_value(ours.clone()).map_err(|error| error.to_string())?;
    let numbers =
        extras.center_of_mass_m.iter().chain(&extras.principal_inertia_kg_m2).chain(&extras.body_from_principal);
    let turned = extras.body_from_principal.iter().map(|component| component * component).sum::<f32>();
    if !numbers.copied().all(f32::is_finite) || !(0.9..1.1).contains(&turned) {
        return Err("its numbers are no centre, inertia and unit rotation".into());
    }
    Ok(Some(extras))
}
