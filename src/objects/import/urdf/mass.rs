//! Mass properties of links. In: `<inertial>` elements. Out: one mass for the object.

use super::{Reader, child};
use crate::contract::Pose;
use crate::objects::import::{RawMass, Result};
use crate::objects::mass::Inertia;
use glam::{DMat3, DVec3};
use roxmltree::Node;

/// No arm here lifts a hundredth of it.
const MAX_MASS_KG: f32 = 1_000.0;

/// One link's mass, in the root link's frame.
pub(super) struct LinkMass {
    mass_kg: f64,
    center: DVec3,
    tensor: Option<DMat3>,
}

impl Reader<'_, '_> {
    pub(super) fn inertial(&self, inertial: Node, root_from_link: Pose) -> Result<Option<LinkMass>> {
        let Some(mass) = child(inertial, "mass") else { return Ok(None) };
        let mass_kg = self.number(mass, "value")?;
        if mass_kg < 0.0 {
            return Err(self.syntax(mass, format!("the mass is {mass_kg} kg; it must be above 0")));
        }
        if mass_kg > MAX_MASS_KG {
            let what = format!("the mass is {mass_kg} kg; it must be at most {MAX_MASS_KG} (is it in grams?)");
            return Err(self.syntax(mass, what));
        }
        // Zero mass means a fixed body in URDF's users' practice; for an object it means that nobody knew.
        if mass_kg == 0.0 {
            return Ok(None);
        }
        let pose = root_from_link * self.origin(inertial)?;
        let tensor = match child(inertial, "inertia") {
            None => None,
            Some(node) => {
                let [xx, xy, xz, yy, yz, zz] = ["ixx", "ixy", "ixz", "iyy", "iyz", "izz"]
                    .map(|key| if node.has_attribute(key) { self.number(node, key).map(f64::from) } else { Ok(0.0) });
                let (xx, xy, xz, yy, yz, zz) = (xx?, xy?, xz?, yy?, yz?, zz?);
                let local = DMat3::from_cols(DVec3::new(xx, xy, xz), DVec3::new(xy, yy, yz), DVec3::new(xz, yz, zz));
                let turn = DMat3::from_quat(pose.rotation.as_dquat().normalize());
                Some(turn * local * turn.transpose())
            }
        };
        Ok(Some(LinkMass { mass_kg: f64::from(mass_kg), center: pose.translation.as_dvec3(), tensor }))
    }
}

/// One mass out of the links' (parallel axes); the inertia only where every link has one.
pub(super) fn combined(masses: &[LinkMass]) -> Option<RawMass> {
    let mass: f64 = masses.iter().map(|link| link.mass_kg).sum();
    if masses.is_empty() {
        return None;
    }
    let center = masses.iter().map(|link| link.center * link.mass_kg).sum::<DVec3>() / mass;
    let tensor = masses.iter().try_fold(DMat3::ZERO, |sum, link| {
        let arm = link.center - center;
        let outer = DMat3::from_cols(arm * arm.x, arm * arm.y, arm * arm.z);
        let shifted = (DMat3::from_diagonal(DVec3::splat(arm.length_squared())) - outer) * link.mass_kg;
        link.tensor.map(|tensor| sum + tensor + shifted)
    });
    Some(RawMass {
        mass_kg: mass as f32,
        center: Some(center.as_vec3()),
        inertia: tensor.map(|tensor| Inertia::from_tensor(&tensor)),
    })
}
