//! What a caller can get wrong.

/// Wrong settings or wrong input of the servo.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ServoError {
    #[error("the servo's setting '{name}' is {value}; {cure}")]
    Setting { name: &'static str, value: f64, cure: &'static str },
    #[error(
        "the mask has {got_width}x{got_height} pixels, the servo's camera {width}x{height}; give masks of its size"
    )]
    MaskSize { got_width: usize, got_height: usize, width: usize, height: usize },
    #[error("{got} values do not fill {width}x{height} pixels; give one value a pixel, row by row")]
    Length { got: usize, width: usize, height: usize },
    #[error("the object's distance is {0} m; give a finite distance above 0 along the optical axis")]
    Distance(f64),
}

/// `value`, if `holds`.
pub(super) fn check(holds: bool, name: &'static str, value: f64, cure: &'static str) -> Result<(), ServoError> {
    if holds { Ok(()) } else { Err(ServoError::Setting { name, value, cure }) }
}
