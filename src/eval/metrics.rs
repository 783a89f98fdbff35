//! Figures that judge images, masks, depths and success rates.
//!
//! In: plain arrays (images are 8-bit sRGB `[height, width, 3]`, ids `[height, width]`, depths in metres). Out: numbers.
//! Nothing here knows a network or a simulator. Comparisons follow the definitions that papers and scikit-image use, so
//! that figures can be put beside theirs; [`presence`] defines what it means that a translated image lost or invented an
//! object.

pub mod image;
pub mod masks;
pub mod presence;
pub mod sliced_wasserstein;
pub mod statistics;

pub use image::{colour_bias, psnr, ssim};
pub use masks::{Confusion, DepthError};
pub use presence::{Fault, Presence, PresenceSettings, Rate, TruthFrame};
pub use sliced_wasserstein::sliced_wasserstein;
pub use statistics::{Interval, bootstrap_mean, mean, wilson};
