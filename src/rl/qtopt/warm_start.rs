//! Beginning with the weights of another run: as they are, or of a network that saw the picture alone in one that sees a
//! generated picture before it.

use crate::nn::{NnError, ParamStore};
use candle_core::{Result, Tensor};

/// Channels of one picture.
const PICTURE: usize = 3;

/// `trained` in the shapes of `store`. A convolution that takes three channels a pixel more than the trained one gets the
/// trained weights for the first picture, the generated one, and zeros for the second, the source (RCAN, section 4.3), so
/// that both networks say the same of a generated picture that equals what the trained one saw.
///
/// # Errors
/// Shapes that differ in another way are left as they are: loading them says which.
pub(super) fn fit(
    trained: Vec<(String, Tensor)>,
    store: &ParamStore,
) -> std::result::Result<Vec<(String, Tensor)>, NnError> {
    let wanted = store.state_tensors()?;
    let shape = |name: &str| wanted.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.dims().to_vec());
    let fitted = trained.into_iter().map(|(name, tensor)| {
        let widened = shape(&name).map_or(Ok(None), |dims| widen(&tensor, &dims))?;
        Ok((name, widened.unwrap_or(tensor)))
    });
    Ok(fitted.collect::<Result<Vec<_>>>()?)
}

/// A kernel `[out, 3 parts + rest, k, k]` as `[out, 6 parts + rest, k, k]`; channels of pictures come first, a picture's
/// parts (pixels of a cell) one after the other. None where the shapes are no such pair.
fn widen(kernel: &Tensor, wanted: &[usize]) -> Result<Option<Tensor>> {
    let (&[out, few, height, width], &[out_wanted, many, height_wanted, width_wanted]) = (kernel.dims(), wanted) else {
        return Ok(None);
    };
    let same = (out, height, width) == (out_wanted, height_wanted, width_wanted);
    // As many new channels as the first picture has, which are at most all that there were.
    if !same || many <= few || (many - few) % PICTURE != 0 || many - few > few {
        return Ok(None);
    }
    let picture = many - few;
    let source = Tensor::zeros((out, picture, height, width), kernel.dtype(), kernel.device())?;
    let rest = kernel.narrow(1, picture, few - picture)?;
    Ok(Some(Tensor::cat(&[&kernel.narrow(1, 0, picture)?, &source, &rest], 1)?))
}
