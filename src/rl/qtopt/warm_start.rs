//! Beginning with the weights of another run: as they are; of a network that saw the picture alone in one that sees a
//! generated picture before it, and perhaps the generator's maps behind both; or of a state-estimating network in one whose encoder Q teaches too (`map_features`,
//! `grip_features`), or that also reads what the gripper measures (`measured_width`). At first the new network says what
//! the trained one says.

use super::network::COARSE_SAMPLES;
use crate::nn::{NnError, ParamStore};
use candle_core::{Result, Tensor};
use std::cmp::Ordering;

/// Channels of one picture.
const PICTURE: usize = 3;

/// `trained` in the shapes of `store`, whose images have `channels`. A convolution that takes more of them a pixel than the
/// trained one, which took a picture, gets the trained weights for the first picture, the generated one, and zeros for the
/// source behind it (RCAN, section 4.3) and for maps, so that both networks say the same of a generated picture that equals
/// what the trained one saw. Features that the trained
/// network lacks begin with the store's own weights, and what reads them with zeros.
///
/// # Errors
/// Shapes that differ in another way are left as they are: loading them says which.
pub(super) fn fit(
    trained: Vec<(String, Tensor)>,
    store: &ParamStore,
    channels: usize,
) -> std::result::Result<Vec<(String, Tensor)>, NnError> {
    let wanted = store.state_tensors()?;
    let own = |name: &str| wanted.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
    let fitted = trained.into_iter().map(|(name, tensor)| {
        let Some(own) = own(&name).filter(|own| own.dims() != tensor.dims()) else { return Ok((name, tensor)) };
        let grown = match grown(&name, &tensor, own)? {
            None => widen(&tensor, own.dims(), channels)?,
            grown => grown,
        };
        Ok((name, grown.unwrap_or(tensor)))
    });
    let mut fitted = fitted.collect::<Result<Vec<_>>>()?;
    for (name, tensor) in &wanted {
        let added = ADDED_LAYERS.iter().any(|layer| name.starts_with(layer));
        if added && !fitted.iter().any(|(known, _)| known == name) {
            let begins = if name.starts_with(MEASURED_OUTPUT) { tensor.zeros_like()? } else { tensor.clone() };
            fitted.push((name.clone(), begins));
        }
    }
    Ok(fitted)
}

/// Layers that a network may lack: what Q may train of the grip, and what reads the gripper's measurements.
const ADDED_LAYERS: [&str; 2] = ["grip_features.", "measured."];
/// What the gripper's measurements add to the features of image and state.
const MEASURED_OUTPUT: &str = "measured.output.";

/// A parameter of a state-estimating network in the shape that it has with more features; None where the shapes are no
/// such pair.
fn grown(name: &str, trained: &Tensor, own: &Tensor) -> Result<Option<Tensor>> {
    let (few, many) = (trained.dims(), own.dims());
    if few.len() != many.len() {
        return Ok(None);
    }
    let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
    let grows = |axis: usize| {
        let place = |(index, (few, many)): (usize, (&usize, &usize))| match few.cmp(many) {
            Ordering::Less => index == axis,
            Ordering::Equal => index != axis,
            Ordering::Greater => false,
        };
        few.iter().zip(many).enumerate().all(place)
    };
    // Inputs of a linear layer stand in its second dimension, outputs of any layer in the first.
    let behind = match layer {
        "height_map_decoder.output" if grows(0) => {
            let new = own.narrow(0, few[0], many[0] - few[0])?;
            return Tensor::cat(&[trained, &new], 0).map(Some);
        }
        "grip_embedding" if grows(1) => 0,
        "map_embedding" | "embed_map" | "second_embed_map" if grows(1) && few[1] > COARSE_SAMPLES => COARSE_SAMPLES,
        _ => return Ok(None),
    };
    let before = few[1] - behind;
    let zeros = Tensor::zeros((few[0], many[1] - few[1]), trained.dtype(), trained.device())?;
    Tensor::cat(&[&trained.narrow(1, 0, before)?, &zeros, &trained.narrow(1, before, behind)?], 1).map(Some)
}

/// A kernel `[out, 3 parts + rest, k, k]` as `[out, channels parts + rest, k, k]`; channels of images come first, a channel's
/// parts (pixels of a cell) one after the other. None where the shapes are no such pair.
fn widen(kernel: &Tensor, wanted: &[usize], channels: usize) -> Result<Option<Tensor>> {
    let (&[out, few, height, width], &[out_wanted, many, height_wanted, width_wanted]) = (kernel.dims(), wanted) else {
        return Ok(None);
    };
    let same = (out, height, width) == (out_wanted, height_wanted, width_wanted);
    let more = channels.saturating_sub(PICTURE);
    if !same || many <= few || more == 0 || (many - few) % more != 0 {
        return Ok(None);
    }
    let picture = PICTURE * (many - few) / more;
    if picture > few {
        return Ok(None);
    }
    let source = Tensor::zeros((out, many - few, height, width), kernel.dtype(), kernel.device())?;
    let rest = kernel.narrow(1, picture, few - picture)?;
    Ok(Some(Tensor::cat(&[&kernel.narrow(1, 0, picture)?, &source, &rest], 1)?))
}
