//! Numbers in attributes. In: elements. Out: poses, vectors and numbers, or an error with their place.

use super::{Reader, child};
use crate::contract::Pose;
use crate::objects::import::Result;
use crate::objects::import::text::shortened;
use glam::{EulerRot, Quat, Vec3};
use roxmltree::Node;

impl Reader<'_, '_> {
    pub(super) fn origin(&self, node: Node) -> Result<Pose> {
        let Some(origin) = child(node, "origin") else { return Ok(Pose::IDENTITY) };
        let translation = self.vector(origin, "xyz")?.unwrap_or(Vec3::ZERO);
        let angles = self.vector(origin, "rpy")?.unwrap_or(Vec3::ZERO);
        // Fixed axes: roll about x, then pitch about y, then yaw about z.
        Ok(Pose::new(translation, Quat::from_euler(EulerRot::ZYX, angles.z, angles.y, angles.x).normalize()))
    }

    pub(super) fn vector(&self, node: Node, key: &str) -> Result<Option<Vec3>> {
        if !node.has_attribute(key) {
            return Ok(None);
        }
        let values = self.numbers(node, key)?;
        let [x, y, z] = values[..] else {
            return Err(self.syntax(node, format!("{key} has {} numbers, not 3", values.len())));
        };
        Ok(Some(Vec3::new(x, y, z)))
    }

    pub(super) fn number(&self, node: Node, key: &str) -> Result<f32> {
        let values = self.numbers(node, key)?;
        let [value] = values[..] else {
            return Err(self.syntax(node, format!("<{}> needs one number as {key}", node.tag_name().name())));
        };
        Ok(value)
    }

    pub(super) fn numbers(&self, node: Node, key: &str) -> Result<Vec<f32>> {
        let text = node.attribute(key).unwrap_or("");
        text.split_ascii_whitespace()
            .map(|token| match token.parse::<f32>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => Err(self.syntax(node, format!("{key}: '{}' is not a finite number", shortened(token)))),
            })
            .collect()
    }

    pub(super) fn positive(&self, node: Node, values: &[f32]) -> Result<()> {
        if values.iter().all(|value| *value > 0.0) {
            return Ok(());
        }
        Err(self.syntax(node, format!("<{}>: every size must be above 0", node.tag_name().name())))
    }
}
