//! What a caller can get wrong.

/// Wrong settings or wrong input of the servo.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ServoError {
    /// A setting of the servo, its camera or its target makes no sense.
    #[error("the servo's setting '{name}' is {value}; {cure}")]
    Setting {
        /// The setting, with its group: `gain.at_zero`.
        name: &'static str,
        /// The value that was given.
        value: f64,
        /// A request with the possible values.
        cure: &'static str,
    },
    /// A mask has another size than the servo's camera, or than the mask that it is compared with.
    #[error(
        "the mask has {got_width}x{got_height} pixels, the servo's camera {width}x{height}; give masks of its size"
    )]
    MaskSize {
        /// Columns of the mask.
        got_width: usize,
        /// Rows of the mask.
        got_height: usize,
        /// Columns that it should have.
        width: usize,
        /// Rows that it should have.
        height: usize,
    },
    /// A class map, a depth image or probabilities do not fill the image.
    #[error("{got} values do not fill {width}x{height} pixels; give one value a pixel, row by row")]
    Length {
        /// Values that were given.
        got: usize,
        /// Columns of the image.
        width: usize,
        /// Rows of the image.
        height: usize,
    },
    /// The object's distance, in metres, is not finite or not above 0.
    #[error("the object's distance is {0} m; give a finite distance above 0 along the optical axis")]
    Distance(f64),
}

/// `value`, if `holds`.
pub(super) fn check(holds: bool, name: &'static str, value: f64, cure: &'static str) -> Result<(), ServoError> {
    if holds { Ok(()) } else { Err(ServoError::Setting { name, value, cure }) }
}
